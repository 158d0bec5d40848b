/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's registers as text for people, laid out as `info registers` of QEMU is.
 */
#pragma once

#include <glib.h>

#include "vmm/x86/cpu.h"

void x86_cpu_print(const X86Cpu *cpu, GString *out);        /* integer registers, segments, control */
void x86_cpu_print_vector(const X86Cpu *cpu, GString *out); /* x87 and SSE */
void x86_cpu_print_lapic(const X86Cpu *cpu, GString *out);  /* vmm/x86/lapic-print.c */
