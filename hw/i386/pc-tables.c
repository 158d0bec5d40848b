/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tables that every board puts into low memory: ACPI, then SMBIOS, then MP. */
#include "hw/i386/pc-tables.h"

#include "hw/i386/smbios.h"

#define SMBIOS_BASE  0xf0000u
#define SMBIOS_ROOM  0x8000u
#define MPTABLE_BASE 0xf8000u
#define MPTABLE_ROOM 0x8000u

AcpiCpu *pc_list_cpus(const Machine *machine)
{
    AcpiCpu *cpus = g_new0(AcpiCpu, machine->topology.maxcpus);

    for (unsigned i = 0; i < machine->topology.maxcpus; i++) {
        int node = machine_cpu_node(machine, i);

        cpus[i] = (AcpiCpu) { cpu_topology_apic_id(&machine->topology, i), domain_find_vcpu(machine->domain, i) != NULL,
                              node < 0 ? 0 : (uint32_t)node };
    }
    return cpus;
}

void pc_add_acpi(Machine *machine, const AcpiTables *tables)
{
    machine_add_rom(machine, "acpi", tables->address, tables->blob->data, tables->blob->len);
}

void pc_replace_acpi(Machine *machine, const AcpiTables *tables, bool now)
{
    machine_replace_rom(machine, "acpi", tables->blob->data, now);
}

static bool add_table(Machine *machine, const char *name, uint64_t address, GByteArray *table)
{
    if (!table) {
        return false;
    }
    machine_add_rom(machine, name, address, table->data, table->len);
    g_byte_array_unref(table);
    return true;
}

bool pc_add_smbios(Machine *machine, uint64_t below_4g, uint64_t above_4g, GError **error)
{
    return add_table(machine, "smbios", SMBIOS_BASE,
                     smbios_build(machine, below_4g, above_4g, SMBIOS_BASE, SMBIOS_ROOM, error));
}

bool pc_add_mptable(Machine *machine, MpFacts *facts, GError **error)
{
    unsigned cpus = domain_vcpus(machine->domain);
    g_autofree uint32_t *ids = g_new(uint32_t, cpus);

    for (unsigned i = 0; i < cpus; i++) {
        ids[i] = domain_vcpu(machine->domain, i)->apic_id;
    }
    facts->apic_ids = ids;
    facts->cpus = cpus;
    facts->signature = cpu_model_signature(machine->cpu_model);
    return add_table(machine, "mptable", MPTABLE_BASE, mptable_build(facts, MPTABLE_BASE, MPTABLE_ROOM, error));
}
