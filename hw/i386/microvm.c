/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * microvm: the machine that starts fastest.  No PCI, no firmware; virtio-mmio
 * transports, an IOAPIC, and as much of a PC's small chips as asked for.  Described by
 * hardware-reduced ACPI, or with acpi=off by MP tables, a device tree and
 * virtio_mmio.device= on the kernel's command line.
 *
 *   0xfea00000  acpi-ged: sleep, reset, power button (GSI 9)
 *   0xfeb00000  eight virtio-mmio transports, 512 bytes each, GSI 16-23 (5-12 without ACPI)
 *   0xfec00000  IOAPIC        0xfee00000  LAPIC
 *   0x3f8       isa-serial, IRQ 4
 *
 * Main thread.
 */
#include "hw/i386/microvm.h"

#include <libfdt.h>
#include <string.h>

#include "hw/acpi/aml.h"
#include "hw/acpi/ged.h"
#include "hw/acpi/processor.h"
#include "hw/acpi/tables.h"
#include "hw/i386/boot.h"
#include "hw/i386/fdt.h"
#include "hw/i386/pc-tables.h"
#include "hw/isa/isa.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

#define TRANSPORTS        8
#define TRANSPORT_BASE    UINT64_C(0xfeb00000)
#define TRANSPORT_SIZE    512
#define TRANSPORT_GSI     16
#define TRANSPORT_ISA_IRQ 5
#define IOAPIC_BASE       0xfec00000u
#define LAPIC_BASE        0xfee00000u
#define RAM_BELOW_4G_MAX  UINT64_C(0xc0000000)

typedef struct MicrovmOptions {
    MachineOptions common;
    int rtc, pit, pic; /* OnOffAuto */
    bool isa_serial, auto_kernel_cmdline;
    char *dumpdtb;
} MicrovmOptions;

typedef struct Microvm {
    IsaBus isa;
    MemoryRegion low, high;
    uint64_t below_4g, above_4g;
    X86Boot *boot;
} Microvm;

static const MicrovmOptions *options(const Machine *machine)
{
    return machine->options;
}

static bool has_acpi(const Machine *machine)
{
    return machine_common(machine)->acpi != ON_OFF_AUTO_OFF;
}

static bool has_ged(const Machine *machine)
{
    return has_acpi(machine);
}

static bool has_rtc(const Machine *machine)
{
    return options(machine)->rtc == ON_OFF_AUTO_ON;
}

/* Without an RTC and with kvmclock nobody needs the PIT, but calibration of the TSC does when the
 * CPU model has no paravirtual clock. */
static bool has_pit(const Machine *machine)
{
    return options(machine)->pit == ON_OFF_AUTO_ON ||
           (options(machine)->pit == ON_OFF_AUTO_AUTO && !cpu_model_feature(machine->cpu_model, "kvmclock"));
}

static bool has_pic(const Machine *machine)
{
    return options(machine)->pic != ON_OFF_AUTO_OFF || has_pit(machine);
}

static const BoardRow rows[] = {
    { .driver = "isa-i8259", .when = has_pic },
    { .driver = "ioapic" },
    { .driver = "isa-pit", .when = has_pit },
    { .driver = "mc146818rtc", .when = has_rtc },
    { .driver = "acpi-ged", .id = "ged", .when = has_ged },
    { 0 }
};

static Microvm *board(const Machine *machine)
{
    return machine->board;
}

static unsigned transport_gsi(const Machine *machine, unsigned n)
{
    return (has_acpi(machine) ? TRANSPORT_GSI : TRANSPORT_ISA_IRQ) + n;
}

static bool build_transports(Machine *machine, GError **error)
{
    const DeviceClass *class = device_class_find("virtio-mmio", error);

    for (unsigned n = 0; class && n < TRANSPORTS; n++) {
        Device *dev = device_new(machine->domain, class, NULL);
        g_autofree char *base = g_strdup_printf("0x%" G_GINT64_MODIFIER "x", TRANSPORT_BASE + n * TRANSPORT_SIZE);
        g_autofree char *gsi = g_strdup_printf("%u", transport_gsi(machine, n));

        if (!device_set_text(dev, "base", base, error) || !device_set_text(dev, "gsi", gsi, error) ||
            !device_realize(dev, NULL, error)) {
            device_free(dev);
            return false;
        }
    }
    return class != NULL;
}

static bool microvm_map_ram(Machine *machine, GError **error)
{
    Microvm *b = machine->board = g_new0(Microvm, 1);
    MemoryRegion *root = domain_memory_root(machine->domain);

    if (machine->boot.bios) {
        error_set(error, "machine 'microvm' boots a kernel directly and takes no -bios");
        return error_hint(error, "Use -kernel.");
    }
    b->below_4g = MIN(machine->ram_size, RAM_BELOW_4G_MAX);
    b->above_4g = machine->ram_size - b->below_4g;
    memory_begin();
    memory_region_init_alias(&b->low, "ram-below-4g", &machine->ram, 0, b->below_4g);
    memory_add(root, 0, &b->low, 0);
    if (b->above_4g) {
        memory_region_init_alias(&b->high, "ram-above-4g", &machine->ram, b->below_4g, b->above_4g);
        memory_add(root, UINT64_C(1) << 32, &b->high, 0);
    }
    memory_commit();
    return true;
}

static bool microvm_build(Machine *machine, GError **error)
{
    isa_bus_init(&board(machine)->isa, machine->domain, NULL, "isa.0", domain_port_root(machine->domain));
    machine->serial_ports = options(machine)->isa_serial ? ISA_SERIAL_PORTS : 0;
    return machine_realize_rows(machine, error) && build_transports(machine, error);
}

/* ---- description: ACPI ---- */

static GByteArray *write_dsdt(const Machine *machine)
{
    Aml *aml = aml_new();

    aml_name(aml, "_S5");
    aml_begin_package(aml, 4);
    aml_int(aml, ACPI_GED_S5_TYPE);
    aml_int(aml, 0);
    aml_int(aml, 0);
    aml_int(aml, 0);
    aml_end(aml);
    aml_begin_scope(aml, "\\_SB");
    acpi_write_processor_states(aml);
    for (unsigned i = 0; i < domain_vcpus(machine->domain); i++) {
        acpi_begin_processor(aml, i);
        aml_end(aml);
    }
    for (unsigned n = 0; n < TRANSPORTS; n++) {
        g_autofree char *name = g_strdup_printf("VR%02u", n);
        uint32_t gsi = transport_gsi(machine, n);

        aml_begin_device(aml, name);
        aml_name_string(aml, "_HID", "LNRO0005");
        aml_name_int(aml, "_UID", n);
        aml_name_int(aml, "_CCA", 1);
        aml_name(aml, "_CRS");
        aml_begin_resources(aml);
        aml_res_memory32(aml, true, (uint32_t)(TRANSPORT_BASE + n * TRANSPORT_SIZE), TRANSPORT_SIZE);
        aml_res_interrupt(aml, true, true, false, false, &gsi, 1);
        aml_end(aml);
        aml_end(aml);
    }
    acpi_write_devices(aml, machine->domain);
    aml_end(aml);
    return aml_finish(aml);
}

static bool build_acpi(Machine *machine, uint64_t *rsdp, GError **error)
{
    g_autoptr(GByteArray) dsdt = write_dsdt(machine);
    g_autofree AcpiCpu *cpus = pc_list_cpus(machine);
    AcpiOverride pit = { 0, 2, ACPI_CONFORMING };
    AcpiFacts facts = {
        .dsdt = dsdt->data, .dsdt_length = dsdt->len, .cpus = cpus, .n_cpus = machine->topology.maxcpus,
        .lapic_address = LAPIC_BASE, .ioapic_address = IOAPIC_BASE, .pic = has_pic(machine),
        .overrides = &pit, .n_overrides = has_pit(machine) ? 1 : 0, .hw_reduced = true,
        .reset = { 0, ACPI_GED_BASE + ACPI_GED_RESET, ACPI_GED_RESET_VALUE },
        .sleep_control = ACPI_GED_BASE + ACPI_GED_SLEEP_CTL, .sleep_status = ACPI_GED_BASE + ACPI_GED_SLEEP_STS,
        .century = has_rtc(machine) ? 0x32 : 0, .legacy_devices = options(machine)->isa_serial,
    };
    AcpiTables tables;

    if (!acpi_tables_build(&facts, ACPI_TABLES_BASE, ACPI_TABLES_ROOM, &tables, error)) {
        return false;
    }
    pc_add_acpi(machine, &tables);
    *rsdp = tables.rsdp;
    acpi_tables_clear(&tables);
    return true;
}

/* ---- description: MP tables, device tree, command line ---- */

static bool build_mptable(Machine *machine, GError **error)
{
    MpFacts facts = { .lapic_address = LAPIC_BASE, .ioapic_address = IOAPIC_BASE, .pit = has_pit(machine) };

    for (unsigned n = 0; n < TRANSPORTS; n++) {
        facts.level_irqs |= 1u << transport_gsi(machine, n);
    }
    return pc_add_mptable(machine, &facts, error);
}

static GByteArray *build_fdt(Machine *machine, GError **error)
{
    FdtDevice devices[TRANSPORTS + 2];
    char names[TRANSPORTS][16];
    unsigned n = 0;
    FdtFacts facts = {
        .machine = machine, .below_4g = board(machine)->below_4g, .above_4g = board(machine)->above_4g,
        .lapic_address = LAPIC_BASE, .ioapic_address = IOAPIC_BASE, .devices = devices,
        .bootargs = machine->boot.append, .stdout_path = options(machine)->isa_serial ? "/isa/serial@3f8" : NULL,
    };

    for (; n < TRANSPORTS; n++) {
        g_snprintf(names[n], sizeof(names[n]), "virtio_mmio");
        devices[n] = (FdtDevice) { names[n], "virtio,mmio", TRANSPORT_BASE + n * TRANSPORT_SIZE, TRANSPORT_SIZE, false,
                                   (int)transport_gsi(machine, n), true };
    }
    if (options(machine)->isa_serial) {
        devices[n++] = (FdtDevice) { "serial", "ns16550a", 0x3f8, 8, true, 4, false };
    }
    if (has_rtc(machine)) {
        devices[n++] = (FdtDevice) { "rtc", "motorola,mc146818", 0x70, 2, true, 8, false };
    }
    facts.n_devices = n;
    return fdt_build(&facts, error);
}

/* What Linux' virtio_mmio.device= parameter wants, for each transport that has a device. */
static char *virtio_parameters(Machine *machine)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (unsigned n = 0; n < TRANSPORTS; n++) {
        g_autofree char *name = g_strdup_printf("virtio-mmio-bus.%u", n);
        Bus *bus = bus_find(machine->domain, name);

        if (bus && bus->children->len) {
            g_string_append_printf(text, "%svirtio_mmio.device=%u@0x%" G_GINT64_MODIFIER "x:%u", text->len ? " " : "",
                                   TRANSPORT_SIZE, TRANSPORT_BASE + n * TRANSPORT_SIZE, transport_gsi(machine, n));
        }
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* -dtb: the user's tree instead of ours. */
static bool load_dtb(Machine *machine, uint8_t **ret, size_t *length, GError **error)
{
    const char *path = machine->boot.dtb;

    if (!host_read_file(path, FDT_MAX, ret, length, error)) {
        g_prefix_error(error, "-dtb: ");
        return false;
    }
    if (*length < sizeof(struct fdt_header) || fdt_check_header(*ret) < 0 || fdt_totalsize(*ret) > *length) {
        g_clear_pointer(ret, g_free);
        error_set(error, "-dtb: '%s' is not a flattened device tree", path);
        return error_hint(error, "Compile a source with dtc -O dtb.");
    }
    return true;
}

static bool dump_dtb(Machine *machine, const GByteArray *fdt, GError **error)
{
    const char *path = options(machine)->dumpdtb;

    if (!host_write_file(path, fdt->data, fdt->len, 0644, error)) {
        g_prefix_error(error, "dumpdtb: ");
        return false;
    }
    domain_quit(machine->domain, 0);
    return true;
}

static bool microvm_finalize(Machine *machine, GError **error)
{
    Microvm *b = board(machine);
    E820Entry e820[E820_MAX];
    g_autoptr(GByteArray) fdt = build_fdt(machine, error);
    g_autofree char *parameters = NULL;
    g_autofree uint8_t *dtb = NULL;
    X86BootLayout layout = { .below_4g = b->below_4g, .e820 = e820 };

    if (!fdt) {
        return false;
    }
    if (options(machine)->dumpdtb) {
        return dump_dtb(machine, fdt, error);
    }
    if (!machine->boot.kernel) {
        error_set(error, "machine 'microvm' has no firmware and needs a kernel");
        return error_hint(error, "Give one with -kernel.");
    }
    layout.e820_entries = x86_boot_e820(b->below_4g, b->above_4g, NULL, 0, e820);
    if (!pc_add_smbios(machine, b->below_4g, b->above_4g, error)) {
        return false;
    }
    if (has_acpi(machine)) {
        if (!build_acpi(machine, &layout.rsdp, error)) {
            return false;
        }
    } else {
        if (!build_mptable(machine, error)) {
            return false;
        }
        if (options(machine)->auto_kernel_cmdline) {
            parameters = virtio_parameters(machine);
            layout.append_more = parameters;
        }
        layout.dtb = fdt->data;
        layout.dtb_length = fdt->len;
    }
    if (machine->boot.dtb) {
        if (!load_dtb(machine, &dtb, &layout.dtb_length, error)) {
            return false;
        }
        layout.dtb = dtb;
    }
    b->boot = x86_boot_new(machine, &layout, error);
    return b->boot != NULL;
}

static void microvm_reset(Machine *machine)
{
    g_autoptr(GError) error = NULL;

    if (!x86_boot_reset(board(machine)->boot, &error)) {
        log_error(error);
        domain_request_pause(machine->domain, RUN_STATE_INTERNAL_ERROR);
    }
}

static void microvm_destroy(Machine *machine)
{
    Microvm *b = board(machine);

    if (!b) {
        return;
    }
    x86_boot_free(b->boot);
    if (b->isa.bus.class) {
        isa_bus_finish(&b->isa);
    }
    memory_remove(&b->low);
    memory_remove(&b->high);
    g_free(b);
}

static const Field option_fields[] = {
    F_ENUM("rtc", MicrovmOptions, rtc, &field_on_off_auto, ON_OFF_AUTO_AUTO, .help = "Real-time clock; auto is off"),
    F_ENUM("pit", MicrovmOptions, pit, &field_on_off_auto, ON_OFF_AUTO_AUTO,
           .help = "Interval timer; auto is on where the CPU model has no kvmclock"),
    F_ENUM("pic", MicrovmOptions, pic, &field_on_off_auto, ON_OFF_AUTO_AUTO,
           .help = "8259 interrupt controllers; auto is on"),
    F_BOOL("isa-serial", MicrovmOptions, isa_serial, true, .help = "Serial ports for -serial and -nographic"),
    F_BOOL("auto-kernel-cmdline", MicrovmOptions, auto_kernel_cmdline, true,
           .help = "Without ACPI: add virtio_mmio.device= to the kernel's command line"),
    F_STR("dumpdtb", MicrovmOptions, dumpdtb, NULL, .help = "Write the device tree to this file and end"),
    FIELD_END
};
static const FieldStruct option_struct = {
    .name = "MicrovmOptions", .size = sizeof(MicrovmOptions), .base = &machine_options, .fields = option_fields,
};

const MachineClass microvm_machine_class = {
    .name = "microvm", .desc = "Minimal machine with virtio-mmio devices", .max_cpus = 288,
    .default_cpu = "qemu64", .default_ram = UINT64_C(128) << 20, .default_ram_id = "microvm.ram",
    .options = &option_struct, .rows = rows, .map_ram = microvm_map_ram, .build = microvm_build,
    .finalize = microvm_finalize, .reset = microvm_reset, .destroy = microvm_destroy,
};
