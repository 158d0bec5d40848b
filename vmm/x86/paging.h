/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a guest-linear address lies, by the page tables of a saved CPU state: for
 * debuggers, dumps and monitors.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/memory.h"
#include "vmm/x86/cpu.h"

/* False: nothing is mapped there.  Rights are not looked at and no flag is set: who asks is outside of the guest.  A
 * registered thread (vmm/epoch.h), while no vCPU changes the tables. */
bool x86_translate(const X86Cpu *cpu, AddressSpace *memory, uint64_t linear, uint64_t *ret_gpa);

/* A page that is mapped. */
typedef struct X86Mapping {
    uint64_t linear, gpa, size;
    uint64_t entry;      /* of the last level, as it is in memory */
    bool writable, user; /* by the entries of all levels */
} X86Mapping;
typedef bool (*X86MappingFn)(const X86Mapping *mapping, void *opaque); /* false: stop */

bool x86_paging_is_on(const X86Cpu *cpu);
/* Every page, in order of addresses.  False: fn stopped it, or after max_tables tables (a table may name itself, and so
 * map more than there is).  Tables outside of RAM are passed over; else as x86_translate(). */
bool x86_paging_each(const X86Cpu *cpu, AddressSpace *memory, unsigned max_tables, X86MappingFn fn, void *opaque);
