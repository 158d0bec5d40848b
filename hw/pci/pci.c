/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI function: config space under write masks, capabilities, INTx, reset and
 * saved state (PCI Local Bus 3.0 chapter 6, PCI Power Management 1.2, PCIe Base
 * 5.0 chapter 7).
 *
 * Config space is bytes under three masks: what a write changes, what a written
 * one clears, what the device changes by itself.  What realize leaves there is the
 * reset value and, outside of the masks, the truth for ever: a stream that says
 * otherwise was saved from another device.
 *
 * Not modelled: built-in self test, expansion ROMs, parity and system errors,
 * function level reset, power states beside D0 and D3hot.
 *
 * Locking: the device's lock, taken by pci_config_load() and pci_config_store().
 */
#include "hw/pci/pci-internal.h"

#include <string.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/log.h"

#define COMMAND_WRITABLE \
    (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | \
     PCI_COMMAND_INTX_DISABLE)
#define STATUS_W1C \
    (PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT | \
     PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)
#define EXPRESS_CAP_SIZE 0x3c

/* ---- config cycles ---- */
void pci_config_put(PciDevice *pci, unsigned offset, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        __atomic_store_n(&pci->config[offset + i], (uint8_t)(value >> (8 * i)), __ATOMIC_RELAXED);
    }
}

static uint16_t status_now(PciDevice *pci)
{
    uint16_t status = pci_config_word(pci, PCI_STATUS) & ~PCI_STATUS_INTERRUPT;

    return __atomic_load_n(&pci->intx_level, __ATOMIC_SEQ_CST) ? status | PCI_STATUS_INTERRUPT : status;
}

uint32_t pci_config_read(PciDevice *pci, unsigned offset, unsigned size)
{
    uint32_t value = 0;

    if (pci_touches(offset, size, PCI_STATUS, 2)) {
        pci_config_put(pci, PCI_STATUS, status_now(pci), 2);
    }
    pci_msi_read(pci, offset, size);
    if (pci->config_read) {
        pci->config_read(pci, offset, size);
    }
    for (unsigned i = 0; i < size; i++) {
        value |= (uint32_t)pci_config_byte(pci, offset + i) << (8 * i);
    }
    log_if(LOG_PCI, "%s: config read %#x/%u = %#x", device_name(&pci->dev), offset, size, value);
    return value;
}

/* Carries out what changed in [offset, offset + size): by a write, a reset or a load. */
static void config_took_effect(PciDevice *pci, unsigned offset, unsigned size)
{
    bool bridge = pci_is_bridge(pci);

    if (pci_touches(offset, size, PCI_COMMAND, 2) || pci_touches(offset, size, PCI_BASE_ADDRESS_0, bridge ? 8 : 24) ||
        (bridge && (pci_touches(offset, size, PCI_IO_BASE, 2) || pci_touches(offset, size, PCI_MEMORY_BASE, 20))) ||
        (pci->pm_cap && pci_touches(offset, size, pci->pm_cap + PCI_PM_CTRL, 2))) {
        pci_update_mapping(pci);
    }
    if (pci_touches(offset, size, PCI_COMMAND, 2)) {
        pci_update_intx(pci);
    }
}

void pci_config_write(PciDevice *pci, unsigned offset, uint32_t value, unsigned size)
{
    uint8_t control = pci_config_byte(pci, PCI_BRIDGE_CONTROL);

    log_if(LOG_PCI, "%s: config write %#x/%u = %#x", device_name(&pci->dev), offset, size, value);
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i)), old = pci->config[offset + i];
        uint8_t w = pci->wmask[offset + i];

        pci_config_put(pci, offset + i, ((old & ~w) | (byte & w)) & ~(byte & pci->w1cmask[offset + i]), 1);
    }
    config_took_effect(pci, offset, size);
    if (pci_is_bridge(pci) && pci_touches(offset, size, PCI_BRIDGE_CONTROL, 2)) {
        pci_bridge_control_wrote(pci, control);
    }
    pci_msi_wrote(pci, offset, size);
    if (pci->config_wrote) {
        pci->config_wrote(pci, offset, size);
    }
}

/* ---- identity and capabilities: realize ---- */
void pci_set_info(PciDevice *pci, const PciInfo *info)
{
    uint8_t *c = pci->config;
    bool subsystem = info->subsystem_vendor || info->subsystem;

    pci_set16(c + PCI_VENDOR_ID, info->vendor);
    pci_set16(c + PCI_DEVICE_ID, info->device);
    c[PCI_REVISION_ID] = info->revision;
    c[PCI_CLASS_PROG] = info->prog_if;
    pci_set16(c + PCI_CLASS_DEVICE, info->class_code);
    c[PCI_HEADER_TYPE] = (uint8_t)(info->header_type | (pci->multifunction ? 0x80 : 0));
    pci->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    pci->wmask[PCI_INTERRUPT_LINE] = 0xff;
    pci_set16(pci->wmask + PCI_COMMAND, COMMAND_WRITABLE);
    pci_set16(pci->w1cmask + PCI_STATUS, STATUS_W1C);
    pci_set16(pci->hwmask + PCI_STATUS, PCI_STATUS_INTERRUPT);
    if (info->header_type == PCI_HEADER_TYPE_NORMAL) {
        pci_set16(c + PCI_SUBSYSTEM_VENDOR_ID, subsystem ? info->subsystem_vendor : PCI_SUBSYSTEM_DEFAULT_VENDOR);
        pci_set16(c + PCI_SUBSYSTEM_ID, subsystem ? info->subsystem : PCI_SUBSYSTEM_DEFAULT);
    }
}

uint8_t pci_add_capability(PciDevice *pci, uint8_t id, uint8_t size)
{
    uint8_t at = (uint8_t)pci->next_cap;

    g_assert(pci->next_cap + size <= PCI_CONFIG_SIZE);
    pci->config[at] = id;
    pci->config[at + PCI_CAP_LIST_NEXT] = pci->config[PCI_CAPABILITY_LIST];
    pci->config[PCI_CAPABILITY_LIST] = at;
    pci_set16(pci->config + PCI_STATUS, pci_get16(pci->config + PCI_STATUS) | PCI_STATUS_CAP_LIST);
    pci->next_cap += (size + 3) & ~3;
    return at;
}

uint16_t pci_add_ext_capability(PciDevice *pci, uint16_t id, uint8_t version, uint16_t size)
{
    uint16_t at = pci->next_ecap;

    g_assert(at + size <= PCIE_CONFIG_SIZE);
    pci_set32(pci->config + at, id | (uint32_t)version << 16);
    if (pci->last_ecap) {
        pci_set32(pci->config + pci->last_ecap, pci_get32(pci->config + pci->last_ecap) | (uint32_t)at << 20);
    }
    pci->last_ecap = at;
    pci->next_ecap += (size + 3) & ~3;
    return at;
}

void pci_set_intx_pin(PciDevice *pci, uint8_t pin)
{
    pci->config[PCI_INTERRUPT_PIN] = pin;
    pci_bus_connect_pin(pci);
}

void pci_add_pm(PciDevice *pci)
{
    pci->pm_cap = pci_add_capability(pci, PCI_CAP_ID_PM, PCI_PM_SIZEOF);
    pci_set16(pci->config + pci->pm_cap + PCI_PM_PMC, 3); /* version 1.2 */
    /* State survives D3hot.  PCI_PM_CTRL_NO_SOFT_RESET does not say so: Linux (from 6.11) takes it for a promise that
     * virtio devices keep theirs over ACPI S3, where they lose their power, and does not set them up anew. */
    pci_set16(pci->wmask + pci->pm_cap + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
}

void pci_add_express(PciDevice *pci, uint8_t port_type)
{
    uint8_t *c, *w, *w1c;

    if (pci_bus(pci)->conventional) {
        return;
    }
    if (port_type == PCI_EXP_TYPE_ENDPOINT && !pci_bus(pci)->bridge) {
        port_type = PCI_EXP_TYPE_RC_END;
    }
    pci->pcie_cap = pci_add_capability(pci, PCI_CAP_ID_EXP, EXPRESS_CAP_SIZE);
    c = pci->config + pci->pcie_cap;
    w = pci->wmask + pci->pcie_cap;
    w1c = pci->w1cmask + pci->pcie_cap;
    pci_set16(c + PCI_EXP_FLAGS, 2 | port_type << 4);
    pci_set32(c + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER);
    pci_set16(w + PCI_EXP_DEVCTL,
              PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE |
                  PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_READRQ);
    pci_set16(c + PCI_EXP_DEVCTL, 2 << 12); /* read requests of 512 bytes, the default */
    pci_set16(w1c + PCI_EXP_DEVSTA, PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED | PCI_EXP_DEVSTA_URD);
    if (port_type != PCI_EXP_TYPE_RC_END) { /* those have no link */
        pci_set32(c + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4);
        pci_set16(c + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
        pci_set16(w + PCI_EXP_LNKCTL,
                  PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES);
        pci_set32(c + PCI_EXP_LNKCAP2, PCI_EXP_LNKCAP2_SLS_2_5GB);
        pci_set16(c + PCI_EXP_LNKCTL2, 1);
    }
}

/* ---- INTx ---- */
static bool intx_wanted(PciDevice *pci)
{
    return __atomic_load_n(&pci->intx_level, __ATOMIC_SEQ_CST) &&
           !(__atomic_load_n(&pci->config[PCI_COMMAND + 1], __ATOMIC_SEQ_CST) & PCI_COMMAND_INTX_DISABLE >> 8);
}

/* The device's loop may raise INTx while a vCPU writes COMMAND.  Each stores its input, then
 * delivers; whoever delivers last finds the outcome of both, or goes round once more. */
void pci_update_intx(PciDevice *pci)
{
    bool level;

    do {
        level = intx_wanted(pci);
        irq_set(pci->intx, level);
    } while (level != intx_wanted(pci));
}

void pci_set_intx(PciDevice *pci, bool level)
{
    __atomic_store_n(&pci->intx_level, level, __ATOMIC_SEQ_CST);
    pci_update_intx(pci);
}

/* ---- lifecycle ---- */
void pci_seal(PciDevice *pci)
{
    if (!pci->sealed) {
        memcpy(pci->reset_config, pci->config, sizeof(pci->config));
        pci->sealed = true;
    }
}

static bool pci_realize(Device *dev, GError **error)
{
    PciDevice *pci = pci_device(dev);
    PciBus *bus = pci_bus(pci);

    memset(pci->config, 0, sizeof(pci->config));
    memset(pci->wmask, 0, sizeof(pci->wmask));
    memset(pci->w1cmask, 0, sizeof(pci->w1cmask));
    memset(pci->hwmask, 0, sizeof(pci->hwmask));
    pci->next_cap = PCI_STD_HEADER_SIZEOF;
    pci->next_ecap = PCI_CONFIG_SIZE;
    pci->sealed = false;
    pci->last_ecap = 0;
    pci->msi_cap = pci->msix_cap = pci->pcie_cap = pci->pm_cap = 0;
    memset(pci->bar, 0, sizeof(pci->bar));
    dma_space_init(&pci->dma, bus->dma_space);
    dma_space_set_enabled(&pci->dma, false);
    return true;
}

static void pci_unrealize(Device *dev)
{
    PciDevice *pci = pci_device(dev);

    pci_bus_disconnect_pin(pci);
    pci_msi_free(pci);
}

static void pci_reset(Device *dev)
{
    PciDevice *pci = pci_device(dev);

    pci_seal(pci);
    for (unsigned i = 0; i < PCIE_CONFIG_SIZE; i += 4) {
        pci_config_put(pci, i, pci_get32(pci->reset_config + i), 4);
    }
    pci_msi_reset(pci);
    __atomic_store_n(&pci->intx_level, false, __ATOMIC_SEQ_CST);
    pci_update_mapping(pci);
    pci_update_intx(pci);
}

/* ---- saved state ---- */
static bool pci_state_check(const void *struct_, GError **error)
{
    const PciDevice *pci = struct_;

    for (unsigned i = 0; i < PCIE_CONFIG_SIZE; i++) {
        uint8_t fixed = (uint8_t)~(pci->wmask[i] | pci->w1cmask[i] | pci->hwmask[i]);

        if ((pci->config[i] ^ pci->reset_config[i]) & fixed) {
            return error_set(error,
                             "config space byte %#x is %#04x there and %#04x here: it was saved from another device", i,
                             pci->config[i], pci->reset_config[i]);
        }
    }
    return pci_msi_check(pci, error);
}

static bool pci_state_save(void *struct_, GError **error)
{
    PciDevice *pci = struct_;

    pci_config_put(pci, PCI_STATUS, status_now(pci), 2);
    pci_msi_read(pci, 0, PCIE_CONFIG_SIZE);
    return true;
}

static bool pci_state_loaded(void *struct_, GError **error)
{
    PciDevice *pci = struct_;
    bool intx = pci_config_word(pci, PCI_STATUS) & PCI_STATUS_INTERRUPT;

    __atomic_store_n(&pci->intx_level, intx, __ATOMIC_SEQ_CST);
    config_took_effect(pci, 0, PCIE_CONFIG_SIZE);
    pci_msi_loaded(pci);
    if (pci->config_wrote) {
        pci->config_wrote(pci, 0, PCIE_CONFIG_SIZE);
    }
    return true;
}

static const StateDesc pci_state = {
    .name = "pci-device",
    .version = 1,
    .save = pci_state_save,
    .check = pci_state_check,
    .loaded = pci_state_loaded,
    .fields = (const StateField[]) {
        STATE_BYTES(PciDevice, config),
        STATE_END,
    },
    .subsections = (const StateDesc *const[]) { &pci_msix_state, NULL },
};

/* What firmware would run from the function: there is none, which is what this property can say. */
static bool parse_no_rom(const char *text, void *value, GError **error)
{
    *(bool *)value = true;
    return !*text || error_set(error, "only an empty romfile is possible: there are no option ROMs");
}

static char *format_no_rom(const void *value)
{
    return g_strdup("");
}

static const FieldCodec no_rom_codec = {
    .name = "''", .example = "", .size = sizeof(bool), .parse = parse_no_rom, .format = format_no_rom,
};

static const Property pci_props[] = {
    PROP_CODED("addr", PciDevice, addr, &pci_address_codec, .def.s = "-1",
               .help = "Slot and function on the bus, as in 02.0; -1: the first free slot"),
    PROP_BOOL("multifunction", PciDevice, multifunction, false, .help = "Other functions share the slot"),
    PROP_UINT("rombar", PciDevice, rombar, 1, .max = 1, .help = "Says nothing: a function has no option ROM"),
    PROP_CODED("romfile", PciDevice, no_rom, &no_rom_codec, .def.s = "", .help = "Empty: a function has no option ROM"),
    PROP_END,
};

const DeviceClass pci_device_class = {
    .name = "pci-device",
    .desc = "PCI function",
    .size = sizeof(PciDevice),
    .bus = &pci_bus_class,
    .props = pci_props,
    .state = &pci_state,
    .abstract = true,
    .realize = pci_realize,
    .unrealize = pci_unrealize,
    .reset = pci_reset,
};
