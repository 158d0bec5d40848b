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
