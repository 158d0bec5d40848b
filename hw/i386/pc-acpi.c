/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DSDT of PC boards (ACPI 6.4; PCI Firmware Specification 3.2 for _OSC and
 * _PRT; ICH9 data sheet for the PIRQ registers) and the facts for the fixed tables.
 */
#include "hw/i386/pc-acpi.h"

#include <string.h>

#include "hw/acpi/aml.h"
#include "hw/acpi/cpu-hotplug.h"
#include "hw/acpi/processor.h"
#include "hw/i386/pc-tables.h"
#include "vmm/error.h"

#define PCI_OSC_UUID "33db4d5b-1ff7-401c-9657-7441c03dd766"
/* What a kernel may control itself: PME, AER, the capability structure, and PCIe hot plug. */
#define OSC_CONTROL 0x1c
#define OSC_HOTPLUG 0x01

/* \_PIC tells which interrupt controllers the OS uses; _PRT answers accordingly. */
static void write_pic_mode(Aml *aml)
{
    aml_name_int(aml, "PICF", 0);
    aml_begin_method(aml, "_PIC", 1, false);
    aml_op(aml, AML_STORE);
    aml_arg(aml, 0);
    aml_path(aml, "PICF");
    aml_end(aml);
}

static void write_sleep_state(Aml *aml, const char *name, uint8_t type)
{
    aml_name(aml, name);
    aml_begin_package(aml, 4);
    aml_int(aml, type);
    aml_int(aml, type);
    aml_int(aml, 0);
    aml_int(aml, 0);
    aml_end(aml);
}

static void write_osc(Aml *aml, bool native_hotplug)
{
    aml_begin_method(aml, "_OSC", 4, true);
    aml_op(aml, AML_CREATE_DWORD_FIELD);
    aml_arg(aml, 3);
    aml_int(aml, 0);
    aml_new_name(aml, "CDW1");
    aml_begin_if(aml);
    aml_op(aml, AML_LEQUAL);
    aml_arg(aml, 0);
    aml_to_uuid(aml, PCI_OSC_UUID);
    {
        aml_op(aml, AML_CREATE_DWORD_FIELD);
        aml_arg(aml, 3);
        aml_int(aml, 8);
        aml_new_name(aml, "CDW3");
        aml_op(aml, AML_AND); /* Local0 = CDW3 & what is granted */
        aml_path(aml, "CDW3");
        aml_int(aml, OSC_CONTROL | (native_hotplug ? OSC_HOTPLUG : 0));
        aml_local(aml, 0);
        aml_begin_if(aml); /* unknown revision */
        aml_op(aml, AML_LNOT);
        aml_op(aml, AML_LEQUAL);
        aml_arg(aml, 1);
        aml_int(aml, 1);
        aml_op(aml, AML_OR);
        aml_path(aml, "CDW1");
        aml_int(aml, 0x08);
        aml_path(aml, "CDW1");
        aml_end(aml);
        aml_begin_if(aml); /* some were not granted */
        aml_op(aml, AML_LNOT);
        aml_op(aml, AML_LEQUAL);
        aml_path(aml, "CDW3");
        aml_local(aml, 0);
        aml_op(aml, AML_OR);
        aml_path(aml, "CDW1");
        aml_int(aml, 0x10);
        aml_path(aml, "CDW1");
        aml_end(aml);
        aml_op(aml, AML_STORE);
        aml_local(aml, 0);
        aml_path(aml, "CDW3");
    }
    aml_end(aml);
    aml_begin_else(aml);
    aml_op(aml, AML_OR); /* unknown UUID */
    aml_path(aml, "CDW1");
    aml_int(aml, 0x04);
    aml_path(aml, "CDW1");
    aml_end(aml);
    aml_op(aml, AML_RETURN);
    aml_arg(aml, 3);
    aml_end(aml);
}

static void write_windows(Aml *aml, const PcAcpi *pc)
{
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_res_window(aml, 16, AML_RANGE_BUS, false, 0, pc->last_bus);
    aml_res_io(aml, 0xcf8, 0xcf8, 1, 8);
    aml_res_window(aml, 16, AML_RANGE_IO, false, 0x0000, 0x0cf7);
    aml_res_window(aml, 16, AML_RANGE_IO, false, 0x0d00, 0xffff);
    aml_res_window(aml, 32, AML_RANGE_MEMORY, true, 0xa0000, 0xbffff);
    aml_res_window(aml, 32, AML_RANGE_MEMORY, false, pc->mem32_first, pc->mem32_last);
    if (pc->mem64_last) {
        aml_res_window(aml, 64, AML_RANGE_MEMORY, true, pc->mem64_first, pc->mem64_last);
    }
    aml_end(aml);
}

/* 6.2.13: one entry per slot and pin of bus 0; buses below follow by the bridges' swizzle. */
static void write_routing(Aml *aml, const PcAcpi *pc, const char *name, bool apic)
{
    aml_name(aml, name);
    aml_begin_package(aml, 31 * 4);
    for (unsigned slot = 1; slot < 32; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            unsigned pirq = pc->pirq(slot, pin);
            char link[] = { 'L', 'N', 'K', (char)('A' + pirq), 0 };

            aml_begin_package(aml, 4);
            aml_int(aml, (uint64_t)slot << 16 | 0xffff);
            aml_int(aml, pin);
            if (apic) {
                aml_int(aml, 0);
                aml_int(aml, pc->pirq_gsi + pirq);
            } else {
                aml_path(aml, link);
                aml_int(aml, 0);
            }
            aml_end(aml);
        }
    }
    aml_end(aml);
}

static void write_prt(Aml *aml, const PcAcpi *pc)
{
    write_routing(aml, pc, "PRTP", false);
    write_routing(aml, pc, "PRTA", true);
    aml_begin_method(aml, "_PRT", 0, false);
    aml_begin_if(aml);
    aml_path(aml, "\\PICF");
    aml_op(aml, AML_RETURN);
    aml_path(aml, "PRTA");
    aml_end(aml);
    aml_op(aml, AML_RETURN);
    aml_path(aml, "PRTP");
    aml_end(aml);
}

/* 6.2.13.1: PIRQn as an interrupt link device, for an OS in PIC mode. */
static void write_link(Aml *aml, unsigned n)
{
    static const uint32_t possible[] = { 5, 10, 11 };
    static const uint32_t none = 0;
    char link[] = { 'L', 'N', 'K', (char)('A' + n), 0 };
    g_autofree char *reg = g_strdup_printf("\\_SB.PCI0.LPC.PRQ%c", 'A' + n);

    aml_begin_device(aml, link);
    aml_name_eisa(aml, "_HID", "PNP0C0F");
    aml_name_int(aml, "_UID", n);
    aml_name(aml, "_PRS");
    aml_begin_resources(aml);
    aml_res_interrupt(aml, true, true, true, true, possible, G_N_ELEMENTS(possible));
    aml_end(aml);
    aml_begin_method(aml, "_STA", 0, false);
    aml_begin_if(aml); /* bit 7: not routed */
    aml_op(aml, AML_AND);
    aml_path(aml, reg);
    aml_int(aml, 0x80);
    aml_nothing(aml);
    aml_op(aml, AML_RETURN);
    aml_int(aml, 0x09);
    aml_end(aml);
    aml_op(aml, AML_RETURN);
    aml_int(aml, 0x0b);
    aml_end(aml);
    aml_begin_method(aml, "_DIS", 0, false);
    aml_op(aml, AML_OR);
    aml_path(aml, reg);
    aml_int(aml, 0x80);
    aml_path(aml, reg);
    aml_end(aml);
    aml_name(aml, "PRR0");
    aml_begin_resources(aml);
    aml_res_interrupt(aml, true, true, true, true, &none, 1);
    aml_end(aml);
    aml_begin_method(aml, "_CRS", 0, true);
    aml_op(aml, AML_CREATE_DWORD_FIELD);
    aml_path(aml, "PRR0");
    aml_int(aml, 5); /* the number, behind tag, length, flags and count */
    aml_new_name(aml, "PRRI");
    aml_op(aml, AML_AND);
    aml_path(aml, reg);
    aml_int(aml, 0x0f);
    aml_path(aml, "PRRI");
    aml_op(aml, AML_RETURN);
    aml_path(aml, "PRR0");
    aml_end(aml);
    aml_begin_method(aml, "_SRS", 1, true);
    aml_op(aml, AML_CREATE_DWORD_FIELD);
    aml_arg(aml, 0);
    aml_int(aml, 5);
    aml_new_name(aml, "PRRI");
    aml_op(aml, AML_STORE);
    aml_path(aml, "PRRI");
    aml_path(aml, reg);
    aml_end(aml);
    aml_end(aml);
}

static void write_lpc(Aml *aml, const PcAcpi *pc)
{
    aml_begin_device(aml, "LPC");
    aml_name_int(aml, "_ADR", (uint64_t)(pc->lpc_devfn >> 3) << 16 | (pc->lpc_devfn & 7));
    aml_operation_region(aml, "PIRQ", AML_PCI_CONFIG, 0x60, 0x0c);
    aml_begin_field(aml, "PIRQ", AML_BYTE_ACCESS, true);
    for (unsigned n = 0; n < PC_PIRQS; n++) {
        char name[] = { 'P', 'R', 'Q', (char)('A' + n), 0 };

        if (n == 4) {
            aml_field_skip(aml, 32);
        }
        aml_field(aml, name, 8);
    }
    aml_end(aml);
    acpi_write_devices(aml, pc->machine->domain);
    aml_end(aml);
}

/* What lies in the windows but belongs to the board: no driver may take it. */
static void write_board_resources(Aml *aml, const PcAcpi *pc)
{
    aml_begin_device(aml, "MBRD");
    aml_name_eisa(aml, "_HID", "PNP0C02");
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_res_io(aml, pc->pm_base, pc->pm_base, 1, 0x80);
    if (pc->hotplug_base) {
        aml_res_io(aml, pc->hotplug_base, pc->hotplug_base, 1, pc->hotplug_ports);
    }
    if (pc->cpu_hotplug_base) {
        aml_res_io(aml, pc->cpu_hotplug_base, pc->cpu_hotplug_base, 1, ACPI_CPU_HOTPLUG_SIZE);
    }
    if (pc->ecam) {
        aml_res_memory32(aml, false, (uint32_t)pc->ecam, (pc->last_bus + 1u) << 20);
    }
    aml_end(aml);
    aml_end(aml);
}

static void write_processors(Aml *aml, const PcAcpi *pc)
{
    if (pc->cpu_hotplug_base) {
        acpi_cpu_hotplug_aml(pc->machine, pc->cpu_hotplug_base, aml);
        return;
    }
    for (unsigned i = 0; i < domain_vcpus(pc->machine->domain); i++) {
        acpi_begin_processor(aml, i);
        aml_end(aml);
    }
}

static GByteArray *write_dsdt(const PcAcpi *pc)
{
    Aml *aml = aml_new();

    write_pic_mode(aml);
    if (pc->s3) {
        write_sleep_state(aml, "_S3", pc->s3_type);
    }
    if (pc->s4) {
        write_sleep_state(aml, "_S4", pc->s4_type);
    }
    write_sleep_state(aml, "_S5", pc->s5_type);
    aml_begin_scope(aml, "\\_SB");
    acpi_write_processor_states(aml);
    write_processors(aml, pc);
    aml_begin_device(aml, "PCI0");
    aml_name_eisa(aml, "_HID", "PNP0A08");
    aml_name_eisa(aml, "_CID", "PNP0A03");
    aml_name_int(aml, "_SEG", 0);
    aml_name_int(aml, "_UID", 0);
    aml_name_int(aml, "_BBN", 0);
    write_windows(aml, pc);
    write_osc(aml, !pc->hotplug_base);
    write_lpc(aml, pc);
    for (unsigned n = 0; n < PC_PIRQS; n++) {
        write_link(aml, n);
    }
    write_prt(aml, pc);
    aml_end(aml);
    write_board_resources(aml, pc);
    aml_end(aml);
    return aml_finish(aml);
}

/* ---- facts of NUMA ---- */

/* Nodes fill RAM in order; a node that spans the hole below 4 GiB has two ranges, and node 0 leaves
 * out 640 KiB to 1 MiB. */
static GArray *list_memory(const PcAcpi *pc)
{
    const GArray *numa = pc->machine->numa;
    GArray *ranges = g_array_new(FALSE, TRUE, sizeof(AcpiMemory));
    uint64_t at = 0;

    for (guint n = 0; n < numa->len; n++) {
        uint64_t left = g_array_index(numa, NumaNode, n).memory;

        while (left) {
            bool low = at < pc->below_4g;
            uint64_t size = low ? MIN(left, pc->below_4g - at) : left;
            AcpiMemory range = { low ? at : (UINT64_C(1) << 32) + at - pc->below_4g, size, n, false };

            if (at == 0 && size > 0x100000) {
                AcpiMemory base = { 0, 0xa0000, n, false };

                g_array_append_val(ranges, base);
                range.address = 0x100000;
                range.size -= 0x100000;
            }
            g_array_append_val(ranges, range);
            at += size;
            left -= size;
        }
    }
    return ranges;
}

/* 5.2.17: 10 to itself, 20 to others, or as -numa dist says. */
static uint8_t *list_distances(const Machine *machine)
{
    guint nodes = machine->numa->len;
    uint8_t *d;

    if (!machine->distances || !machine->distances->len) {
        return NULL;
    }
    d = g_malloc(nodes * nodes);
    for (guint i = 0; i < nodes * nodes; i++) {
        d[i] = i / nodes == i % nodes ? 10 : 20;
    }
    for (guint i = 0; i < machine->distances->len; i++) {
        const uint8_t *row = (const uint8_t *)machine->distances->data + i * 3; /* src, dst, value */

        if (row[0] < nodes && row[1] < nodes) {
            d[row[0] * nodes + row[1]] = row[2];
        }
    }
    return d;
}

bool pc_acpi_build(const PcAcpi *pc, AcpiTables *ret, GError **error)
{
    const Machine *machine = pc->machine;
    AcpiOverride overrides[2];
    g_autoptr(GByteArray) dsdt = write_dsdt(pc);
    g_autofree AcpiCpu *cpus = pc_list_cpus(machine);
    bool numa = machine->numa && machine->numa->len;
    g_autoptr(GArray) memory = numa ? list_memory(pc) : NULL;
    g_autofree uint8_t *distances = numa ? list_distances(machine) : NULL;
    AcpiFacts facts = {
        .dsdt = dsdt->data, .dsdt_length = dsdt->len,
        .cpus = cpus, .n_cpus = machine->topology.maxcpus,
        .lapic_address = pc->lapic_address, .ioapic_address = pc->ioapic_address,
        .pic = pc->pic, .overrides = overrides,
        .pm_base = pc->pm_base, .gpe0_length = pc->gpe0_length, .sci = pc->sci,
        .smi_command = pc->smi_command, .acpi_enable = pc->acpi_enable, .acpi_disable = pc->acpi_disable,
        .reset = { 1, pc->reset_port, pc->reset_value },
        .century = pc->century, .i8042 = pc->i8042, .legacy_devices = true,
        .hpet_address = pc->hpet_address, .ecam = pc->ecam, .ecam_last_bus = pc->last_bus,
        .memory = numa ? (const AcpiMemory *)memory->data : NULL, .n_memory = numa ? memory->len : 0,
        .distances = distances, .nodes = numa ? machine->numa->len : 0,
    };

    if (pc->pit) {
        overrides[facts.n_overrides++] = (AcpiOverride){ 0, 2, ACPI_CONFORMING };
    }
    overrides[facts.n_overrides++] = (AcpiOverride){ pc->sci, pc->sci, ACPI_LEVEL_HIGH };
    return acpi_tables_build(&facts, ACPI_TABLES_BASE, ACPI_TABLES_ROOM, ret, error);
}
