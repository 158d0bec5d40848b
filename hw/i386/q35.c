/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pc-q35: a PC with PCI Express: Q35 host bridge, ICH9 LPC bridge and what sits on
 * ISA.  No firmware runs: at each reset the board does its part (initialize()) and
 * enters the kernel directly, or, after ACPI S3, where the guest wants to be woken.
 *
 *   0x00000000  RAM; 0xa0000 VGA area, 0xe0000 ACPI tables, 0xf0000 SMBIOS,
 *               0xf8000 MP tables (acpi=off) or what hw/i386/boot-wake.c needs
 *   0xb0000000  ECAM, 256 buses        0xc0000000  32-bit PCI memory, to the chips
 *   0xfec00000  IOAPIC   0xfed00000  HPET   0xfee00000  LAPIC
 *   4 GiB       RAM that found no place below, then room for -m maxmem, then, from
 *               the next GiB on, 64-bit PCI memory
 *   ports       0x600 power management, 0xcf8 config cycles, 0x1000- PCI
 *
 * Main thread.
 */
#include "hw/i386/q35.h"

#include "hw/acpi/cpu-hotplug.h"
#include "hw/acpi/pci-hotplug.h"
#include "hw/i386/boot.h"
#include "hw/i386/pc-acpi.h"
#include "hw/i386/pc-tables.h"
#include "hw/isa/ich9-lpc.h"
#include "hw/isa/isa.h"
#include "hw/pci/q35-host.h"
#include "hw/timer/mc146818.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/machine.h"

#define GIB (UINT64_C(1) << 30)
#define FOUR_GIB (UINT64_C(1) << 32)
/* RAM that would reach ECAM is cut at 2 GiB, so that both parts are aligned well. */
#define LOW_RAM_CUT UINT64_C(0x80000000)
#define MEM64_SIZE (32 * GIB)
#define PCI_SLOTS 32
#define PCI_PINS 4
/* What KVM needs for itself on processors without unrestricted guests. */
#define KVM_PAGES_BASE UINT64_C(0xfeffc000)
#define KVM_PAGES_SIZE UINT64_C(0x4000)

typedef struct Q35Options {
    MachineOptions common;
    bool hpet, i8042;
    int smm, vmport; /* OnOffAuto */
    uint64_t max_ram_below_4g;
} Q35Options;

typedef struct Q35 {
    Device *host;
    MemoryRegion low, high; /* of RAM */
    uint64_t below_4g, above_4g;
    PciWindows windows;
    X86Boot *boot;
    uint64_t facs; /* guest address; 0: no ACPI tables */
} Q35;

static const Q35Options *options(const Machine *machine)
{
    return machine->options;
}

static Q35 *board(const Machine *machine)
{
    return machine->board;
}

static bool has_hpet(const Machine *machine)
{
    return options(machine)->hpet;
}

static bool has_i8042(const Machine *machine)
{
    return options(machine)->i8042;
}

static bool has_acpi(const Machine *machine)
{
    return machine_common(machine)->acpi != ON_OFF_AUTO_OFF;
}

static const BoardRow rows[] = {
    { .driver = "mch", .bus = "pcie.0", .props = "addr=00.0" },
    { .driver = "ICH9-LPC", .id = "lpc", .bus = "pcie.0", .props = "addr=1f.0,multifunction=on" },
    { .driver = "isa-i8259" },
    { .driver = "ioapic" },
    { .driver = "isa-pit" },
    { .driver = "mc146818rtc", .id = "rtc" },
    { .driver = "hpet", .when = has_hpet },
    { .driver = "i8042", .when = has_i8042 },
    { 0 }
};

/* ---- memory ---- */
static uint64_t align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static void split_ram(Machine *machine)
{
    Q35 *b = board(machine);
    uint64_t limit = machine->ram_size >= Q35_ECAM_BASE ? LOW_RAM_CUT : Q35_ECAM_BASE;

    if (options(machine)->max_ram_below_4g) {
        limit = MIN(limit, options(machine)->max_ram_below_4g);
    }
    b->below_4g = MIN(machine->ram_size, limit);
    b->above_4g = machine->ram_size - b->below_4g;
}

/* 64-bit PCI memory starts behind RAM and what -m maxmem may add, a GiB's slack for each slot's alignment. */
static bool place_windows(Machine *machine, GError **error)
{
    Q35 *b = board(machine);
    uint64_t top = UINT64_C(1) << cpu_model_phys_bits(machine->cpu_model);
    uint64_t base = align_up(FOUR_GIB + b->above_4g, GIB);

    if (machine->max_ram_size > machine->ram_size) {
        base = align_up(base + machine->max_ram_size - machine->ram_size + machine->ram_slots * GIB, GIB);
    }
    if (base > top) {
        error_set(error, "RAM would end at %#" G_GINT64_MODIFIER "x, the processor reaches to %#" G_GINT64_MODIFIER "x",
                  base, top);
        return error_hint(error, "Give less memory (-m), or a CPU model with more address bits.");
    }
    b->windows = (PciWindows) {
        .mem32_base = Q35_ECAM_BASE + Q35_ECAM_SIZE,
        .mem32_end = Q35_MEM32_END,
        .mem64_base = base,
        .mem64_end = MIN(base + MEM64_SIZE, top),
        .io_base = Q35_IO_BASE,
        .io_end = Q35_IO_END,
    };
    return true;
}

/* ---- build ---- */
static bool check_options(const Machine *machine, GError **error)
{
    const Q35Options *o = options(machine);

    if (machine->boot.bios) {
        error_set(error, "machine '%s' boots a kernel directly and takes no -bios", machine->class->name);
        return error_hint(error, "Use -kernel.");
    }
    if (machine->boot.dtb) {
        error_set(error, "machine '%s' is described by ACPI and takes no -dtb", machine->class->name);
        return error_hint(error, "Use -machine microvm.");
    }
    if (o->smm == ON_OFF_AUTO_ON) {
        error_set(error, "smm=on: system management mode is not available");
        return error_hint(error, "Leave smm= out.");
    }
    if (o->vmport == ON_OFF_AUTO_ON) {
        error_set(error, "vmport=on: there is no VMware port");
        return error_hint(error, "Leave vmport= out.");
    }
    if (o->max_ram_below_4g && (o->max_ram_below_4g < 16 << 20 || o->max_ram_below_4g % (1 << 20))) {
        return error_set(error, "max-ram-below-4g must be whole MiB, at least 16M");
    }
    return true;
}

static bool build_host_bridge(Machine *machine, GError **error)
{
    Q35 *b = board(machine);

    b->host = device_new(machine->domain, &q35_host_class, NULL);
    q35_host_set_ram(b->host, &b->low);
    if (!device_realize(b->host, NULL, error)) {
        device_free(g_steal_pointer(&b->host));
        return false;
    }
    return true;
}

/* The host bridge comes with it: it cuts low RAM into pieces. */
static bool q35_map_ram(Machine *machine, GError **error)
{
    Q35 *b = machine->board = g_new0(Q35, 1);
    MemoryRegion *root = domain_memory_root(machine->domain);

    if (!check_options(machine, error)) {
        return false;
    }
    split_ram(machine);
    if (!place_windows(machine, error)) {
        return false;
    }
    memory_begin();
    memory_region_init_alias(&b->low, "ram-below-4g", &machine->ram, 0, b->below_4g);
    memory_add(root, 0, &b->low, 0);
    if (b->above_4g) {
        memory_region_init_alias(&b->high, "ram-above-4g", &machine->ram, b->below_4g, b->above_4g);
        memory_add(root, FOUR_GIB, &b->high, 0);
    }
    memory_commit();
    return build_host_bridge(machine, error);
}

static Device *lpc(const Machine *machine)
{
    return &pci_find_function(q35_host_bus(board(machine)->host), 0, Q35_LPC_DEVFN)->dev;
}

static bool q35_build(Machine *machine, GError **error)
{
    Q35 *b = board(machine);
    Device *rtc;

    machine->serial_ports = ISA_SERIAL_PORTS;
    if (!machine_realize_rows(machine, error)) {
        return false;
    }
    rtc = device_find(machine->domain, "/machine/rtc");
    mc146818_set_memory(rtc, b->below_4g, b->above_4g);
    mc146818_set_alarm(rtc, lpc(machine), ich9_lpc_rtc_alarm);
    return true;
}

/* ---- what the kernel is told ---- */

static bool build_tables(Machine *machine, AcpiTables *ret, GError **error)
{
    const Q35 *b = board(machine);
    PcAcpi facts = {
        .machine = machine,
        .below_4g = b->below_4g,
        .above_4g = b->above_4g,
        .pm_base = Q35_PMBASE,
        .gpe0_length = Q35_GPE0_LENGTH,
        .sci = Q35_SCI,
        .acpi_enable = Q35_ACPI_ENABLE,
        .acpi_disable = Q35_ACPI_DISABLE,
        .s3 = ich9_lpc_has_s3(lpc(machine)),
        .s3_type = Q35_S3_TYPE,
        .s4 = ich9_lpc_has_s4(lpc(machine)),
        .s4_type = Q35_S4_TYPE,
        .s5_type = Q35_S5_TYPE,
        .reset_port = Q35_RESET_PORT,
        .reset_value = Q35_RESET_VALUE,
        .ioapic_address = Q35_IOAPIC_BASE,
        .lapic_address = Q35_LAPIC_BASE,
        .hpet_address = has_hpet(machine) ? Q35_HPET_BASE : 0,
        .century = 0x32,
        .pic = true,
        .pit = true,
        .i8042 = has_i8042(machine),
        .ecam = Q35_ECAM_BASE,
        .last_bus = 255,
        .mem32_first = b->windows.mem32_base,
        .mem32_last = b->windows.mem32_end - 1,
        .mem64_first = b->windows.mem64_base,
        .mem64_last = b->windows.mem64_end > b->windows.mem64_base ? b->windows.mem64_end - 1 : 0,
        .lpc_devfn = Q35_LPC_DEVFN,
        .pirq = ich9_pirq,
        .pirq_gsi = Q35_PIRQ_GSI,
        .hotplug_base = ich9_lpc_hotplug_by_acpi(lpc(machine)) ? Q35_PCI_HOTPLUG : 0,
        .hotplug_ports = ACPI_PCI_HOTPLUG_SIZE,
        .cpu_hotplug_base = machine->topology.maxcpus > 1 ? Q35_CPU_HOTPLUG : 0,
    };

    return pc_acpi_build(&facts, ret, error);
}

static bool build_acpi(Machine *machine, uint64_t *ret_rsdp, GError **error)
{
    AcpiTables tables;

    if (!build_tables(machine, &tables, error)) {
        return false;
    }
    pc_add_acpi(machine, &tables);
    *ret_rsdp = tables.rsdp;
    board(machine)->facs = tables.facs;
    machine->can_sleep = ich9_lpc_has_s3(lpc(machine));
    acpi_tables_clear(&tables);
    return true;
}

/* Flags of their entries in the MADT say which CPUs are there.  A guest that has not run yet reads them at its start,
 * others do after a reset. */
static void q35_cpus_changed(Machine *machine)
{
    RunState state = domain_run_state(machine->domain);
    g_autoptr(GError) error = NULL;
    AcpiTables tables;

    if (!board(machine)->boot || !has_acpi(machine)) {
        return; /* they are built later */
    }
    if (!build_tables(machine, &tables, &error)) {
        log_error(error);
        return;
    }
    pc_replace_acpi(machine, &tables, state == RUN_STATE_PRELAUNCH);
    acpi_tables_clear(&tables);
}

static void q35_reset_cpu(Machine *machine, Vcpu *vcpu)
{
    x86_boot_reset_cpu(vcpu);
}

/* Without ACPI a kernel finds processors and interrupts by the MP specification. */
static bool build_mptable(Machine *machine, GError **error)
{
    MpPciIrq irqs[PCI_SLOTS * PCI_PINS];
    MpFacts facts = {
        .lapic_address = Q35_LAPIC_BASE,
        .ioapic_address = Q35_IOAPIC_BASE,
        .pit = true,
        .pci = true,
        .pci_irqs = irqs,
        .n_pci_irqs = G_N_ELEMENTS(irqs),
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(irqs); i++) {
        unsigned slot = i / PCI_PINS, pin = i % PCI_PINS;

        irqs[i] = (MpPciIrq) { (uint8_t)slot, (uint8_t)pin, (uint8_t)(Q35_PIRQ_GSI + ich9_pirq(slot, pin)) };
    }
    return pc_add_mptable(machine, &facts, error);
}

static bool q35_finalize(Machine *machine, GError **error)
{
    static const E820Entry reserved[] = {
        { Q35_ECAM_BASE, Q35_ECAM_SIZE, E820_RESERVED },
        { KVM_PAGES_BASE, KVM_PAGES_SIZE, E820_RESERVED },
    };
    Q35 *b = board(machine);
    E820Entry e820[E820_MAX];
    X86BootLayout layout = { .below_4g = b->below_4g, .e820 = e820 };

    if (!machine->boot.kernel) {
        error_set(error, "machine '%s' has no firmware yet and needs a kernel", machine->class->name);
        return error_hint(error, "Give one with -kernel.");
    }
    layout.e820_entries = x86_boot_e820(b->below_4g, b->above_4g, reserved, G_N_ELEMENTS(reserved), e820);
    if (!pc_add_smbios(machine, b->below_4g, b->above_4g, error) ||
        !(has_acpi(machine) ? build_acpi(machine, &layout.rsdp, error) : build_mptable(machine, error))) {
        return false;
    }
    b->boot = x86_boot_new(machine, &layout, error);
    return b->boot != NULL;
}

/* ---- reset: what firmware does ---- */
static void program_chipset(PciBus *root)
{
    static const uint8_t pirq_input[Q35_PIRQS] = { 10, 10, 11, 11, 10, 10, 11, 11 };

    pci_config_store(root, 0, 0, Q35_MCH_PCIEXBAR + 4, Q35_ECAM_BASE >> 32, 4);
    pci_config_store(root, 0, 0, Q35_MCH_PCIEXBAR, (uint32_t)Q35_ECAM_BASE | Q35_MCH_PCIEXBAR_EN, 4);
    for (unsigned i = 0; i < Q35_MCH_PAMS; i++) {
        pci_config_store(root, 0, 0, Q35_MCH_PAM0 + i, i ? 0x33 : 0x30, 1); /* RAM */
    }
    for (unsigned n = 0; n < Q35_PIRQS; n++) {
        unsigned at = n < 4 ? ICH9_LPC_PIRQ_A + n : ICH9_LPC_PIRQ_E + n - 4;

        pci_config_store(root, 0, Q35_LPC_DEVFN, at, pirq_input[n], 1);
    }
    pci_config_store(root, 0, Q35_LPC_DEVFN, ICH9_LPC_PMBASE, Q35_PMBASE | 1, 4);
    pci_config_store(root, 0, Q35_LPC_DEVFN, ICH9_LPC_ACPI_CNTL, ICH9_LPC_ACPI_EN, 1);
}

static void initialize(Machine *machine)
{
    const Q35 *b = board(machine);
    PciBus *root = q35_host_bus(b->host);

    program_chipset(root);
    pci_assign_resources(root, &b->windows);
    ich9_lpc_enable_acpi(lpc(machine));
}

static void q35_reset(Machine *machine)
{
    Q35 *b = board(machine);
    g_autoptr(GError) error = NULL;

    initialize(machine);
    if (!x86_boot_reset(b->boot, &error)) {
        log_error(error);
        domain_request_pause(machine->domain, RUN_STATE_INTERNAL_ERROR);
    }
}

static bool q35_wakeup(Machine *machine, GError **error)
{
    const Q35 *b = board(machine);

    initialize(machine);
    return x86_boot_wake(machine->domain, b->facs, error);
}

static void q35_destroy(Machine *machine)
{
    Q35 *b = board(machine);

    if (!b) {
        return;
    }
    x86_boot_free(b->boot);
    memory_remove(&b->low);
    memory_remove(&b->high);
    epoch_synchronize(); /* the host bridge's regions, which refer to low RAM, are finished now */
    g_free(b);
}

/* ---- options and versions ---- */
static const Field option_fields[] = {
    F_BOOL("hpet", Q35Options, hpet, true, .help = "High precision event timer"),
    F_BOOL("i8042", Q35Options, i8042, true, .help = "Keyboard controller with keyboard and mouse"),
    F_ENUM("smm", Q35Options, smm, &field_on_off_auto, ON_OFF_AUTO_AUTO, .help = "System management mode; auto is off"),
    F_ENUM("vmport", Q35Options, vmport, &field_on_off_auto, ON_OFF_AUTO_AUTO, .help = "VMware port; auto is off"),
    F_SIZE("max-ram-below-4g", Q35Options, max_ram_below_4g, 0,
           .help = "Most RAM to put below 4 GiB; 0: as the board likes"),
    FIELD_END
};

static const FieldStruct option_struct = {
    .name = "Q35Options",
    .size = sizeof(Q35Options),
    .base = &machine_options,
    .fields = option_fields,
};

const MachineClass q35_machine_class = {
    .name = "pc-q35-7.2",
    .alias = "q35",
    .desc = "Standard PC (Q35 + ICH9, 2009)",
    .is_default = true,
    .max_cpus = ACPI_CPUS_MAX,
    .default_cpu = "qemu64",
    .default_ram = UINT64_C(128) << 20,
    .default_ram_id = "pc.ram",
    .options = &option_struct,
    .rows = rows,
    .has_pci = true,
    .map_ram = q35_map_ram,
    .build = q35_build,
    .cpus_changed = q35_cpus_changed,
    .reset_cpu = q35_reset_cpu,
    .reset = q35_reset,
    .wakeup = q35_wakeup,
    .finalize = q35_finalize,
    .destroy = q35_destroy,
};
