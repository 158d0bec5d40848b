/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI buses: who sits at which address, config cycles to them, and where their
 * INTx pins lead (PCI-to-PCI Bridge Architecture 1.2; PCIe Base 5.0, 2.2.8.1).
 *
 * The main thread fills and clears function[]; vCPUs read it without a lock and
 * take the lock of the function they found, which the epoch keeps in memory.
 */
#include "hw/pci/pci-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/error.h"

/* ---- addresses ---- */
static bool address_parse(const char *text, void *value, GError **error)
{
    unsigned long slot, fn = 0;
    char *end;
    bool ok = g_ascii_isxdigit(*text);

    if (strcmp(text, "-1") == 0) {
        *(int32_t *)value = -1;
        return true;
    }
    slot = ok ? strtoul(text, &end, 16) : 0;
    if (ok && *end == '.') {
        ok = g_ascii_isxdigit(end[1]);
        fn = ok ? strtoul(end + 1, &end, 16) : 0;
    }
    if (!ok || *end || slot > 31 || fn > 7) {
        return error_set(error,
                         "'%s' is no PCI address: a slot (hexadecimal, 0 to 1f) and a function (0 to 7) are wanted",
                         text);
    }
    *(int32_t *)value = (int32_t)PCI_DEVFN(slot, fn);
    return true;
}

static char *address_format(const void *value)
{
    int32_t devfn = *(const int32_t *)value;

    return devfn < 0 ? g_strdup("-1") : g_strdup_printf("%02x.%x", PCI_SLOT(devfn), PCI_FUNC(devfn));
}

const FieldCodec pci_address_codec = {
    .name = "PCI address",
    .example = "02.0",
    .size = sizeof(int32_t),
    .parse = address_parse,
    .format = address_format,
};

/* ---- plugging ---- */
static PciDevice *function_at(PciBus *bus, unsigned devfn)
{
    return __atomic_load_n(&bus->function[devfn], __ATOMIC_ACQUIRE);
}

static bool slot_empty(PciBus *bus, unsigned slot)
{
    for (unsigned fn = 0; fn < 8; fn++) {
        if (function_at(bus, PCI_DEVFN(slot, fn))) {
            return false;
        }
    }
    return true;
}

/* PCI Local Bus 3.0, 3.2.2.3.4: function 0 exists and its header tells of the others. */
static bool check_functions(PciBus *bus, PciDevice *pci, unsigned devfn, GError **error)
{
    unsigned slot = PCI_SLOT(devfn);
    PciDevice *first = function_at(bus, PCI_DEVFN(slot, 0));

    if (PCI_FUNC(devfn)) {
        if (first && !first->multifunction) {
            error_set(error, "PCI address %02x.%x of bus '%s' cannot be used: '%s' in function 0 is not multifunction",
                      slot, PCI_FUNC(devfn), bus->bus.name, device_name(&first->dev));
            return error_hint(error, "Set multifunction=on on '%s', or choose another slot.", device_name(&first->dev));
        }
        return true;
    }
    for (unsigned fn = 1; fn < 8 && !pci->multifunction; fn++) {
        PciDevice *other = function_at(bus, PCI_DEVFN(slot, fn));

        if (other) {
            error_set(error, "PCI address %02x.0 of bus '%s' needs a multifunction device: '%s' is function %u", slot,
                      bus->bus.name, device_name(&other->dev), fn);
            return error_hint(error, "Set multifunction=on, or choose another slot.");
        }
    }
    return true;
}

static bool pci_bus_attach(Bus *base, Device *dev, GError **error)
{
    PciBus *bus = (PciBus *)base;
    PciDevice *pci = pci_device(dev);
    int devfn = pci->addr;

    if (devfn < 0) {
        for (unsigned slot = bus->slot_min; slot <= bus->slot_max && devfn < 0; slot++) {
            devfn = slot_empty(bus, slot) ? (int)PCI_DEVFN(slot, 0) : -1;
        }
        if (devfn < 0) {
            error_set(error, "PCI bus '%s' has no free slot", base->name);
            return error_hint(error, "Add a pcie-root-port and plug into it with bus=.");
        }
    } else if (PCI_SLOT(devfn) > bus->slot_max) {
        error_set(error, "PCI bus '%s' has only slot 0: slot %#x does not exist there", base->name, PCI_SLOT(devfn));
        return error_hint(error, "A PCI Express port leads to one slot. Leave addr= out, or use another port.");
    } else if (function_at(bus, (unsigned)devfn)) {
        return error_set(error, "PCI address %02x.%x of bus '%s' is taken by '%s'", PCI_SLOT(devfn), PCI_FUNC(devfn),
                         base->name, device_name(&function_at(bus, (unsigned)devfn)->dev));
    }
    if (!check_functions(bus, pci, (unsigned)devfn, error)) {
        return false;
    }
    pci->devfn = (uint8_t)devfn;
    __atomic_store_n(&bus->function[devfn], pci, __ATOMIC_RELEASE);
    return true;
}

static void pci_bus_plugged(Bus *base, Device *dev)
{
    PciBus *bus = (PciBus *)base;
    PciDevice *pci = pci_device(dev);

    pci_seal(pci);
    __atomic_store_n(&pci->visible, true, __ATOMIC_RELEASE);
    if (bus->plugged) {
        bus->plugged(bus, pci);
    }
}

/* Hides the function, then takes what it maps out of the map. */
static void pci_bus_detach(Bus *base, Device *dev)
{
    PciBus *bus = (PciBus *)base;
    PciDevice *pci = pci_device(dev);

    __atomic_store_n(&pci->visible, false, __ATOMIC_RELEASE);
    if (bus->function[pci->devfn] == pci) {
        __atomic_store_n(&bus->function[pci->devfn], NULL, __ATOMIC_RELEASE);
    }
    lock_acquire(dev->lock);
    pci_update_mapping(pci);
    lock_release(dev->lock);
}

static bool pci_bus_unplug(Bus *base, Device *dev, GError **error)
{
    PciBus *bus = (PciBus *)base;

    if (!bus->unplug) {
        error_set(error, "'%s' cannot be unplugged: bus '%s' has no hot plug controller", device_name(dev), base->name);
        return error_hint(error, "Plug devices that shall go again into a pcie-root-port.");
    }
    return bus->unplug(bus, pci_device(dev), error);
}

static char *pci_bus_address(Device *dev)
{
    PciDevice *pci = pci_device(dev);

    return g_strdup_printf("%02x.%x", PCI_SLOT(pci->devfn), PCI_FUNC(pci->devfn));
}

const BusClass pci_bus_class = {
    .name = "PCI",
    .missing = "On machines without PCI the virtio devices' names end in -device.",
    .size = sizeof(PciBus),
    .attach = pci_bus_attach,
    .detach = pci_bus_detach,
    .plugged = pci_bus_plugged,
    .unplug = pci_bus_unplug,
    .address = pci_bus_address,
};

void pci_bus_init(PciBus *bus, Domain *domain, Device *parent, const char *name)
{
    bus_init(&bus->bus, &pci_bus_class, domain, parent, name);
    bus->slot_max = 31;
}

/* ---- INTx ---- */
typedef struct Pin {
    PciBus *root;
    unsigned slot, pin;
} Pin;

/* On the way up each bridge turns the pins by the slot the function sits in. */
static Pin root_pin(PciDevice *pci)
{
    Pin p = { pci_bus(pci), PCI_SLOT(pci->devfn), pci->config[PCI_INTERRUPT_PIN] };

    while (p.root->bridge) {
        p.pin = (p.pin - 1 + p.slot) % 4 + 1;
        p.slot = PCI_SLOT(p.root->bridge->devfn);
        p.root = pci_bus(p.root->bridge);
    }
    return p;
}

void pci_bus_connect_pin(PciDevice *pci)
{
    Pin p = root_pin(pci);

    pci->intx = p.root->connect_pin ? p.root->connect_pin(p.root, p.slot, p.pin) : NULL;
}

void pci_bus_disconnect_pin(PciDevice *pci)
{
    if (pci->intx) {
        Pin p = root_pin(pci);

        p.root->disconnect_pin(p.root, p.slot, p.pin, g_steal_pointer(&pci->intx));
    }
}

/* ---- finding ---- */
uint8_t pci_bus_number(PciBus *bus)
{
    return bus->bridge ? pci_config_byte(bus->bridge, PCI_SECONDARY_BUS) : bus->number;
}

static bool leads_to(const PciDevice *bridge, uint8_t number)
{
    uint8_t first = pci_config_byte(bridge, PCI_SECONDARY_BUS), last = pci_config_byte(bridge, PCI_SUBORDINATE_BUS);

    return first && first <= number && number <= last; /* 0: not numbered yet */
}

/* Down the bridges that are open and whose range holds `number`.  A guest may number buses in circles or twice; the
 * depth is that of the tree, whatever it writes. */
PciBus *pci_find_bus(PciBus *root, uint8_t number)
{
    PciBus *bus = root;

    while (bus && pci_bus_number(bus) != number) {
        PciBus *next = NULL;

        for (unsigned i = 0; i < PCI_DEVFN_COUNT && !next; i++) {
            PciDevice *pci = function_at(bus, i);

            if (pci && __atomic_load_n(&pci->visible, __ATOMIC_ACQUIRE) && pci_is_bridge(pci) &&
                leads_to(pci, number) && pci_bridge_is_open(pci)) {
                next = pci_bridge_secondary(pci);
            }
        }
        bus = next;
    }
    return bus;
}

PciDevice *pci_find_function(PciBus *root, uint8_t number, uint8_t devfn)
{
    PciBus *bus = pci_find_bus(root, number);
    PciDevice *pci = bus ? function_at(bus, devfn) : NULL;

    return pci && __atomic_load_n(&pci->visible, __ATOMIC_ACQUIRE) ? pci : NULL;
}

void pci_each(PciBus *bus, PciFn fn, void *opaque)
{
    for (unsigned i = 0; i < PCI_DEVFN_COUNT; i++) {
        PciDevice *pci = function_at(bus, i);

        if (pci && __atomic_load_n(&pci->visible, __ATOMIC_ACQUIRE)) {
            fn(pci, opaque);
            if (pci_is_bridge(pci)) {
                pci_each(pci_bridge_secondary(pci), fn, opaque);
            }
        }
    }
}

/* ---- config cycles ---- */
/* A function that was unplugged between being found and being locked answers no more. */
static bool begin_cycle(PciDevice *pci, unsigned offset, unsigned size)
{
    if (!pci || offset + size > PCIE_CONFIG_SIZE || (!pci->pcie_cap && offset + size > PCI_CONFIG_SIZE)) {
        return false;
    }
    lock_acquire(pci->dev.lock);
    if (__atomic_load_n(&pci->visible, __ATOMIC_ACQUIRE)) {
        return true;
    }
    lock_release(pci->dev.lock);
    return false;
}

uint32_t pci_config_load(PciBus *root, uint8_t number, uint8_t devfn, unsigned offset, unsigned size)
{
    PciDevice *pci = pci_find_function(root, number, devfn);
    uint32_t value;

    if (!begin_cycle(pci, offset, size)) {
        return UINT32_MAX >> (32 - 8 * size);
    }
    value = pci_config_read(pci, offset, size);
    lock_release(pci->dev.lock);
    return value;
}

void pci_config_store(PciBus *root, uint8_t number, uint8_t devfn, unsigned offset, uint32_t value, unsigned size)
{
    PciDevice *pci = pci_find_function(root, number, devfn);

    if (begin_cycle(pci, offset, size)) {
        pci_config_write(pci, offset, value, size);
        lock_release(pci->dev.lock);
    }
}
