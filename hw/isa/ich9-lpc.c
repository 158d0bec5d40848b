/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LPC bridge of the ICH9 (I/O Controller Hub 9 data sheet 316972, chapter 13):
 * PCI interrupt routing, power management, port 92h, the APM ports; the ISA bus is
 * behind it.
 *
 * PIRQA to PIRQH are shared lines onto GSI 16 to 23.  In PIC mode they reach the
 * 8259 inputs that PIRQn_ROUT names as well: a PIC input is high while one of the
 * PIRQs routed to it is.  Both ways are driven at all times; the guest masks the
 * one that it does not use.
 *
 * Not modelled: the chipset configuration space (RCBA reads as disabled) and with
 * it the programmable routing of slots 25 to 31, GPIO, SMIs, DMA, LPC decode ranges
 * (ISA devices decode for themselves).
 *
 * Locking: the device's lock.  PIRQ levels are read from their lines, which any
 * thread may do.
 */
#include "hw/isa/ich9-lpc.h"

#include "hw/acpi/cpu-hotplug.h"
#include "hw/acpi/ich9-pm.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/i386/q35.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"

#define PIRQ_OFF 0x80

typedef struct Lpc {
    PciDevice pci;
    IsaBus isa;
    IrqShare *pirq[Q35_PIRQS];   /* sources: PCI pins */
    IrqLine *pic_input[ISA_IRQS]; /* what PIRQs drive in PIC mode; NULL: cannot */
    IrqLine *sci;
    MemoryRegion apm, port92;
    bool pm_mapped;
    bool acpi_hotplug;
    /* Guest state */
    Ich9Pm pm;
    AcpiPciHotplug hotplug; /* unused without hotplug_by_acpi */
    AcpiCpuHotplug cpus;    /* likewise where there is one CPU for ever */
    uint8_t apm_control, apm_status, fast_init;
    /* Derived */
    bool hotplug_by_acpi;   /* acpi_hotplug, on a machine that has ACPI */
} Lpc;

static Lpc *lpc(Device *dev)
{
    return (Lpc *)dev;
}

/* ---- interrupt routing: 5.10.1, 10.1.50 ---- */
/* Inside devices (25 to 31) have their pins on PIRQA to D, slots theirs on PIRQE to H, turned. */
unsigned ich9_pirq(unsigned slot, unsigned pin)
{
    return slot >= 25 ? pin % 4 : 4 + (slot + pin) % 4;
}

static IrqLine *connect_pin(PciBus *bus, unsigned slot, unsigned pin)
{
    return irq_share_add(((Lpc *)bus->opaque)->pirq[ich9_pirq(slot, pin - 1)]);
}

static void disconnect_pin(PciBus *bus, unsigned slot, unsigned pin, IrqLine *line)
{
    irq_share_remove(((Lpc *)bus->opaque)->pirq[ich9_pirq(slot, pin - 1)], line);
}

/* PIRQn_ROUT: bit 7 set: not routed; 13.1.13 lists the inputs that exist. */
static unsigned pirq_route(Lpc *l, unsigned n)
{
    uint8_t rout = pci_config_byte(&l->pci, n < 4 ? ICH9_LPC_PIRQ_A + n : ICH9_LPC_PIRQ_E + n - 4);

    return rout & PIRQ_OFF ? ISA_IRQS : rout & 0x0f;
}

static bool pic_input_wanted(Lpc *l, unsigned irq)
{
    IrqFabric *fabric = domain_irqs(l->pci.dev.domain);
    bool level = false;

    for (unsigned n = 0; n < Q35_PIRQS; n++) {
        level = level || (pirq_route(l, n) == irq && irq_level(gsi_line(fabric, Q35_PIRQ_GSI + n)));
    }
    return level;
}

/* Several threads may get here for several PIRQs, or for a new route: whoever comes last sees the
 * outcome of all, or goes round once more. */
static void update_pic_input(Lpc *l, unsigned irq)
{
    bool level;

    if (irq >= ISA_IRQS || !l->pic_input[irq]) {
        return;
    }
    do {
        level = pic_input_wanted(l, irq);
        irq_set(l->pic_input[irq], level);
    } while (level != pic_input_wanted(l, irq));
}

static void pirq_changed(void *opaque, unsigned n, bool level)
{
    update_pic_input(opaque, pirq_route(opaque, n));
}

/* ---- config space ---- */
static void update_pm(Lpc *l)
{
    bool enabled = pci_config_byte(&l->pci, ICH9_LPC_ACPI_CNTL) & ICH9_LPC_ACPI_EN;
    uint16_t base = pci_config_word(&l->pci, ICH9_LPC_PMBASE) & 0xff80;

    memory_begin();
    if (l->pm_mapped && (!enabled || l->pm.region.address != base)) {
        memory_remove(&l->pm.region);
        l->pm_mapped = false;
    }
    if (enabled && !l->pm_mapped) {
        memory_add(l->isa.ports, base, &l->pm.region, 0);
        l->pm_mapped = true;
    }
    memory_commit();
}

static void lpc_config_wrote(PciDevice *pci, unsigned offset, unsigned size)
{
    Lpc *l = (Lpc *)pci;

    if (offset < ICH9_LPC_ACPI_CNTL + 1 && offset + size > ICH9_LPC_PMBASE) {
        update_pm(l);
    }
    if (offset < ICH9_LPC_PIRQ_E + 4 && offset + size > ICH9_LPC_PIRQ_A) {
        for (unsigned i = 0; i < ISA_IRQS; i++) {
            update_pic_input(l, i);
        }
    }
}

/* ---- APM ports b2h, b3h: 13.7.4.  A command would raise an SMI; what SMM firmware would do about
 * the ACPI commands is done here. ---- */
static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    Lpc *l = opaque;

    return offset ? l->apm_status : l->apm_control;
}

static void apm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Lpc *l = opaque;

    if (offset) {
        l->apm_status = (uint8_t)value;
        return;
    }
    l->apm_control = (uint8_t)value;
    if (value == Q35_ACPI_ENABLE || value == Q35_ACPI_DISABLE) {
        ich9_pm_set_acpi(&l->pm, value == Q35_ACPI_ENABLE);
    }
}

static const MemoryOps apm_ops = {
    .read = apm_read, .write = apm_write, .min = 1, .max = 2, .impl_min = 1, .impl_max = 1,
};

void ich9_lpc_enable_acpi(Device *dev)
{
    lock_acquire(dev->lock);
    ich9_pm_set_acpi(&lpc(dev)->pm, true);
    lock_release(dev->lock);
}

/* ---- port 92h: 13.7.3.  Address line 20 is never held low. ---- */
enum { INIT_NOW = 1 << 0, ALT_A20_GATE = 1 << 1 };

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned size)
{
    return lpc(opaque)->fast_init | ALT_A20_GATE;
}

static void port92_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Lpc *l = opaque;
    bool init = (value & INIT_NOW) && !(l->fast_init & INIT_NOW);

    l->fast_init = value & INIT_NOW;
    if (init) {
        domain_request_reset(l->pci.dev.domain, REASON_GUEST_RESET);
    }
}

static const MemoryOps port92_ops = { .read = port92_read, .write = port92_write, .min = 1, .max = 1 };

/* ---- hot plug by ACPI ---- */
static void slot_event(PciBus *bus, PciDevice *port, bool came)
{
    Lpc *l = bus->opaque;

    lock_acquire(l->pci.dev.lock);
    acpi_pci_hotplug_event(&l->hotplug, port, came);
    ich9_pm_raise_gpe(&l->pm, ACPI_PCI_HOTPLUG_GPE);
    lock_release(l->pci.dev.lock);
}

static void cpu_event(Device *dev)
{
    ich9_pm_raise_gpe(&lpc(dev)->pm, ACPI_CPU_HOTPLUG_GPE);
}

static bool has_cpu_hotplug(const Lpc *l)
{
    const Machine *machine = domain_machine(l->pci.dev.domain); /* tests have domains without one */

    return machine && machine->topology.maxcpus > 1 && machine_common(machine)->acpi != ON_OFF_AUTO_OFF;
}

bool ich9_lpc_hotplug_by_acpi(Device *dev)
{
    return lpc(dev)->hotplug_by_acpi;
}

static void lpc_aml(Device *dev, struct Aml *aml)
{
    if (lpc(dev)->hotplug_by_acpi) {
        acpi_pci_hotplug_aml(&lpc(dev)->hotplug, aml);
    }
}

static bool hotplug_needed(const void *opaque)
{
    return ((const Lpc *)opaque)->hotplug_by_acpi;
}

static const StateDesc hotplug_state = {
    .name = "acpi-pci-hotplug",
    .version = 1,
    .needed = hotplug_needed,
    .fields = (const StateField[]) { STATE_STRUCT(Lpc, hotplug, &acpi_pci_hotplug_state), STATE_END },
};

static bool cpus_needed(const void *opaque)
{
    return has_cpu_hotplug(opaque);
}

static const StateDesc cpus_state = {
    .name = "acpi-cpu-hotplug",
    .version = 1,
    .needed = cpus_needed,
    .fields = (const StateField[]) { STATE_STRUCT(Lpc, cpus, &acpi_cpu_hotplug_state), STATE_END },
};

/* ---- sleep ---- */
bool ich9_lpc_has_s3(Device *dev)
{
    return !lpc(dev)->pm.no_s3;
}

bool ich9_lpc_has_s4(Device *dev)
{
    return !lpc(dev)->pm.no_s4;
}

void ich9_lpc_rtc_alarm(Device *dev)
{
    ich9_pm_rtc_alarm(&lpc(dev)->pm);
}

static void slept(Device *dev)
{
    ich9_pm_slept(&lpc(dev)->pm);
}

/* ---- lifecycle ---- */
static void press_power_button(Device *dev)
{
    ich9_pm_power_button(&lpc(dev)->pm);
}

static void run_event(Domain *domain, RunEvent event, RequestReason reason, void *opaque)
{
    if (event == RUN_EVENT_POWERDOWN) {
        device_post(opaque, press_power_button);
    } else if (event == RUN_EVENT_SUSPEND) {
        device_post(opaque, slept);
    }
}

static void pm_timer_fired(Device *dev)
{
    ich9_pm_tick(&lpc(dev)->pm);
}

static void init_config(PciDevice *pci)
{
    pci_set16(pci->config + ICH9_LPC_PMBASE, 1); /* in port space */
    pci_set16(pci->wmask + ICH9_LPC_PMBASE, 0xff80);
    pci->wmask[ICH9_LPC_ACPI_CNTL] = ICH9_LPC_ACPI_EN; /* SCI_IRQ_SEL 0: interrupt 9 */
    for (unsigned n = 0; n < Q35_PIRQS; n++) {
        unsigned at = n < 4 ? ICH9_LPC_PIRQ_A + n : ICH9_LPC_PIRQ_E + n - 4;

        pci->config[at] = PIRQ_OFF;
        pci->wmask[at] = PIRQ_OFF | 0x0f;
    }
}

static void lpc_unrealize(Device *dev)
{
    Lpc *l = lpc(dev);
    IrqFabric *fabric = domain_irqs(dev->domain);

    acpi_cpu_hotplug_finish(&l->cpus);
    domain_unobserve(dev->domain, run_event, l);
    timer_free(g_steal_pointer(&l->pm.timer));
    isa_bus_disconnect(&l->isa, Q35_SCI, g_steal_pointer(&l->sci));
    for (unsigned n = 0; n < Q35_PIRQS; n++) {
        gsi_disconnect(fabric, Q35_PIRQ_GSI + n, pirq_changed, l);
        g_clear_pointer(&l->pirq[n], irq_share_free);
    }
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        isa_bus_disconnect(&l->isa, i, g_steal_pointer(&l->pic_input[i]));
    }
    isa_bus_finish(&l->isa);
}

static bool lpc_realize(Device *dev, GError **error)
{
    static const PciInfo info = { .vendor = 0x8086, .device = 0x2918, .revision = 2, .class_code = 0x0601 };
    static const uint16_t pic_inputs = 0xdef8; /* 3-7, 9-12, 14, 15: 13.1.13 */
    Lpc *l = lpc(dev);
    PciBus *bus = pci_bus(&l->pci);
    IrqFabric *fabric = domain_irqs(dev->domain);

    pci_set_info(&l->pci, &info);
    init_config(&l->pci);
    l->pci.config_wrote = lpc_config_wrote;
    isa_bus_init(&l->isa, dev->domain, dev, "isa.0", bus->ports);
    for (unsigned n = 0; n < Q35_PIRQS; n++) {
        l->pirq[n] = irq_share_new(gsi_line(fabric, Q35_PIRQ_GSI + n));
        gsi_connect(fabric, Q35_PIRQ_GSI + n, pirq_changed, l, n);
    }
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        l->pic_input[i] = pic_inputs >> i & 1 ? isa_bus_connect(&l->isa, i) : NULL;
    }
    l->sci = isa_bus_connect(&l->isa, Q35_SCI);
    ich9_pm_init(&l->pm, dev, l->sci, device_timer_new(dev, domain_clock(dev->domain), pm_timer_fired));
    l->pm_mapped = false;
    device_init_io(dev, &l->apm, "apm", &apm_ops, 2);
    device_init_io(dev, &l->port92, "port92", &port92_ops, 1);
    memory_add(bus->ports, Q35_SMI_CMD, &l->apm, 0);
    memory_add(bus->ports, 0x92, &l->port92, 0);
    domain_observe(dev->domain, run_event, l);
    bus->connect_pin = connect_pin;
    bus->disconnect_pin = disconnect_pin;
    bus->opaque = l;
    l->hotplug_by_acpi = l->acpi_hotplug && machine_common(domain_machine(dev->domain))->acpi != ON_OFF_AUTO_OFF;
    if (l->hotplug_by_acpi) {
        acpi_pci_hotplug_init(&l->hotplug, dev, bus, Q35_PCI_HOTPLUG);
        bus->slot_event = slot_event;
    }
    if (has_cpu_hotplug(l)) {
        acpi_cpu_hotplug_init(&l->cpus, dev, bus->ports, Q35_CPU_HOTPLUG, cpu_event);
    }
    return true;
}

static void lpc_reset(Device *dev)
{
    Lpc *l = lpc(dev);

    l->apm_control = l->apm_status = l->fast_init = 0;
    if (!domain_is_waking(dev->domain)) {
        acpi_pci_hotplug_reset(&l->hotplug); /* their events stay pending over a sleep, too */
        acpi_cpu_hotplug_reset(&l->cpus);
    }
    ich9_pm_reset(&l->pm);
    lpc_config_wrote(&l->pci, 0, PCI_CONFIG_SIZE);
}

static const StateDesc lpc_state = {
    .name = "ich9-lpc",
    .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(Lpc, pm, &ich9_pm_state),
        STATE_U8(Lpc, apm_control),
        STATE_U8(Lpc, apm_status),
        STATE_U8(Lpc, fast_init),
        STATE_END,
    },
    .subsections = (const StateDesc *const[]) { &hotplug_state, &cpus_state, NULL },
};

/* A number to those who know it from QEMU, a switch to everyone else. */
static bool parse_disable(const char *text, void *value, GError **error)
{
    static const char *const yes[] = { "1", "on", "yes", "true", NULL };
    static const char *const no[] = { "0", "off", "no", "false", NULL };

    *(bool *)value = g_strv_contains(yes, text);
    return *(bool *)value || g_strv_contains(no, text) || error_set(error, "'%s' is neither 0 nor 1", text);
}

static char *format_disable(const void *value)
{
    return g_strdup(*(const bool *)value ? "1" : "0");
}

static const FieldCodec disable_codec = {
    .name = "0 or 1", .example = "1", .size = sizeof(bool), .accepts_int = true, .parse = parse_disable,
    .format = format_disable,
};

static const Property lpc_props[] = {
    PROP_CODED("disable_s3", Lpc, pm.no_s3, &disable_codec, .def.s = "0", .help = "1: no suspend to memory (ACPI S3)"),
    PROP_CODED("disable_s4", Lpc, pm.no_s4, &disable_codec, .def.s = "0", .help = "1: no suspend to disk (ACPI S4)"),
    PROP_BOOL("acpi-pci-hotplug-with-bridge-support", Lpc, acpi_hotplug, true,
              .help = "Tell of hot plug in root ports by ACPI, where the machine has it, instead of by the ports "
                      "themselves"),
    PROP_END
};

const DeviceClass ich9_lpc_class = {
    .name = "ICH9-LPC",
    .desc = "ICH9 LPC bridge",
    .category = "Bridge",
    .base = &pci_device_class,
    .bus = &pci_bus_class,
    .size = sizeof(Lpc),
    .board_only = true,
    .props = lpc_props,
    .state = &lpc_state,
    .realize = lpc_realize,
    .unrealize = lpc_unrealize,
    .reset = lpc_reset,
    .aml = lpc_aml,
};
