/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -d in_asm, int, cpu, exec: lines about what the software CPU does.  Called only while
 * vm->trace is set; each goes outside by itself.
 */
#pragma once

#include "vmm/x86/soft/op.h"

void soft_trace_block(SoftCpu *cpu, Block *block); /* about to be entered */
void soft_trace_event(SoftCpu *cpu);               /* cpu->event is about to be delivered */
