/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUs in the ACPI namespace (ACPI 6.4: 8.4 processor devices, 6.2.10 _MAT, 6.3 insertion and removal), over the
 * registers of hw/acpi/cpu-hotplug.c.  A CPU is one device, C000 and on, in \_SB.CPUS, whether it is there or not:
 *
 *     _STA, _EJ0, _OST --> CSTA, CEJ0, COST (CPU, ...) --> SELECT, then one register; CPLK keeps others away meanwhile
 *     \_GPE._E02 --> CSCN: while there is a CPU with an event: CNTF: Notify
 *
 * Main thread.
 */
#include "hw/acpi/aml.h"
#include "hw/acpi/bytes.h"
#include "hw/acpi/cpu-hotplug.h"
#include "hw/acpi/processor.h"
#include "vmm/machine.h"

#define STA_ALL 0x0f /* present, enabled, shown, works: 6.3.7 */
#define NOTIFY_DEVICE_CHECK  1
#define NOTIFY_EJECT_REQUEST 3
#define MADT_ENABLED 1

static void store(Aml *aml, uint64_t value, const char *to)
{
    aml_op(aml, AML_STORE);
    aml_int(aml, value);
    aml_path(aml, to);
}

static void store_arg(Aml *aml, unsigned arg, const char *to)
{
    aml_op(aml, AML_STORE);
    aml_arg(aml, arg);
    aml_path(aml, to);
}

static void begin_locked_method(Aml *aml, const char *name, unsigned args)
{
    aml_begin_method(aml, name, args, true);
    aml_acquire(aml, "CPLK");
}

static void end_locked_method(Aml *aml)
{
    aml_release(aml, "CPLK");
    aml_end(aml);
}

/* Control bits are written as a byte with nothing else in it; they read as status. */
static void write_registers(Aml *aml, uint16_t base)
{
    aml_mutex(aml, "CPLK");
    aml_operation_region(aml, "PRST", AML_SYSTEM_IO, base, ACPI_CPU_HOTPLUG_SIZE);
    aml_begin_field(aml, "PRST", AML_BYTE_ACCESS, false);
    aml_field_skip(aml, 32);
    aml_field(aml, "CPEN", 1);
    aml_field(aml, "CINS", 1);
    aml_field(aml, "CRMV", 1);
    aml_field(aml, "CEJB", 1);
    aml_field_skip(aml, 4);
    aml_field(aml, "CCMD", 8);
    aml_end(aml);
    aml_begin_field(aml, "PRST", AML_DWORD_ACCESS, true);
    aml_field(aml, "CSEL", 32);
    aml_field_skip(aml, 32);
    aml_field(aml, "CDAT", 32);
    aml_end(aml);
}

static void write_methods(Aml *aml)
{
    begin_locked_method(aml, "CSTA", 1);
    store_arg(aml, 0, "CSEL");
    aml_op(aml, AML_STORE);
    aml_int(aml, 0);
    aml_local(aml, 0);
    aml_begin_if(aml);
    aml_path(aml, "CPEN");
    aml_op(aml, AML_STORE);
    aml_int(aml, STA_ALL);
    aml_local(aml, 0);
    aml_end(aml);
    aml_release(aml, "CPLK");
    aml_op(aml, AML_RETURN);
    aml_local(aml, 0);
    aml_end(aml);

    begin_locked_method(aml, "CEJ0", 1);
    store_arg(aml, 0, "CSEL");
    store(aml, 1, "CEJB");
    end_locked_method(aml);

    begin_locked_method(aml, "COST", 3); /* CPU, event, status */
    store_arg(aml, 0, "CSEL");
    store(aml, 1, "CCMD");
    store_arg(aml, 1, "CDAT");
    store(aml, 2, "CCMD");
    store_arg(aml, 2, "CDAT");
    end_locked_method(aml);
}

static void write_event(Aml *aml, const char *flag, unsigned notification)
{
    aml_begin_if(aml);
    aml_path(aml, flag);
    store(aml, 1, flag);
    aml_path(aml, "CNTF");
    aml_path(aml, "CDAT");
    aml_int(aml, notification);
    aml_op(aml, AML_STORE);
    aml_int(aml, 1);
    aml_local(aml, 0);
    aml_end(aml);
}

/* The command selects a CPU with an event; where none has one, the selected one shows none. */
static void write_scan(Aml *aml)
{
    begin_locked_method(aml, "CSCN", 0);
    store(aml, 0, "CSEL");
    aml_op(aml, AML_STORE);
    aml_int(aml, 1);
    aml_local(aml, 0);
    aml_begin_while(aml);
    aml_local(aml, 0);
    aml_op(aml, AML_STORE);
    aml_int(aml, 0);
    aml_local(aml, 0);
    store(aml, 0, "CCMD");
    write_event(aml, "CINS", NOTIFY_DEVICE_CHECK);
    write_event(aml, "CRMV", NOTIFY_EJECT_REQUEST);
    aml_end(aml);
    end_locked_method(aml);
}

static void write_notify(Aml *aml, unsigned cpus)
{
    aml_begin_method(aml, "CNTF", 2, true); /* CPU, notification */
    for (unsigned i = 0; i < cpus; i++) {
        g_autofree char *name = acpi_processor_name(i);

        aml_begin_if(aml);
        aml_op(aml, AML_LEQUAL);
        aml_arg(aml, 0);
        aml_int(aml, i);
        aml_op(aml, AML_NOTIFY);
        aml_path(aml, name);
        aml_arg(aml, 1);
        aml_end(aml);
    }
    aml_end(aml);
}

/* Its entry of the MADT (5.2.12.2, 5.2.12.12), enabled: it is asked for when the CPU is there. */
static void write_mat(Aml *aml, const Machine *machine, unsigned index)
{
    uint32_t apic_id = cpu_topology_apic_id(&machine->topology, index);
    g_autoptr(GByteArray) entry = g_byte_array_new();

    if (apic_id < 255 && index < 255) {
        bytes_put(entry, 0, 1);
        bytes_put(entry, 8, 1);
        bytes_put(entry, index, 1);
        bytes_put(entry, apic_id, 1);
        bytes_put(entry, MADT_ENABLED, 4);
    } else {
        bytes_put(entry, 9, 1);
        bytes_put(entry, 16, 1);
        bytes_put(entry, 0, 2);
        bytes_put(entry, apic_id, 4);
        bytes_put(entry, MADT_ENABLED, 4);
        bytes_put(entry, index, 4);
    }
    aml_name(aml, "_MAT");
    aml_buffer(aml, entry->data, entry->len);
}

static void write_cpu(Aml *aml, const Machine *machine, unsigned index)
{
    int node = machine_cpu_node(machine, index);

    acpi_begin_processor(aml, index);
    aml_begin_method(aml, "_STA", 0, true);
    aml_op(aml, AML_RETURN);
    aml_path(aml, "CSTA");
    aml_int(aml, index);
    aml_end(aml);
    write_mat(aml, machine, index);
    if (index) { /* the boot CPU stays */
        aml_begin_method(aml, "_EJ0", 1, true);
        aml_path(aml, "CEJ0");
        aml_int(aml, index);
        aml_end(aml);
    }
    aml_begin_method(aml, "_OST", 3, true);
    aml_path(aml, "COST");
    aml_int(aml, index);
    aml_arg(aml, 0);
    aml_arg(aml, 1);
    aml_end(aml);
    if (node >= 0) {
        aml_name_int(aml, "_PXM", (unsigned)node);
    }
    aml_end(aml);
}

void acpi_cpu_hotplug_aml(const Machine *machine, uint16_t base, Aml *aml)
{
    unsigned cpus = machine->topology.maxcpus;

    aml_begin_device(aml, "CPUS");
    aml_name_string(aml, "_HID", "ACPI0010");
    aml_name_eisa(aml, "_CID", "PNP0A05");
    write_registers(aml, base);
    write_methods(aml);
    write_notify(aml, cpus);
    write_scan(aml);
    for (unsigned i = 0; i < cpus; i++) {
        write_cpu(aml, machine, i);
    }
    aml_end(aml);
    aml_begin_scope(aml, "\\_GPE");
    aml_begin_method(aml, "_E02", 0, true);
    aml_path(aml, "\\_SB.CPUS.CSCN");
    aml_end(aml);
    aml_end(aml);
}
