/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where firmware's tables lie on every board here, and the facts about processors
 * that all of them repeat.  Main thread.
 */
#pragma once

#include "hw/acpi/tables.h"
#include "hw/i386/mptable.h"
#include "vmm/machine.h"

#define ACPI_TABLES_BASE 0xe0000u
#define ACPI_TABLES_ROOM 0x10000u

/* Possible CPUs of the machine, topology.maxcpus of them; freed by the caller. */
AcpiCpu *pc_list_cpus(const Machine *machine);
void pc_add_acpi(Machine *machine, const AcpiTables *tables);
/* Tables of the same length, by the next reset; now: at once. */
void pc_replace_acpi(Machine *machine, const AcpiTables *tables, bool now);
bool pc_add_smbios(Machine *machine, uint64_t below_4g, uint64_t above_4g, GError **error);
/* Fills the processors into *facts. */
bool pc_add_mptable(Machine *machine, MpFacts *facts, GError **error);
