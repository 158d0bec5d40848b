/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RFLAGS as one word (SDM 1-3.4.3), put together from the arithmetic flags (SoftCc) and
 * the rest.
 */
#include "vmm/x86/soft/cpu.h"

#define FLAGS_ALL                                                                                                    \
    (EFLAGS_ARITHMETIC | EFLAGS_TF | EFLAGS_IF | EFLAGS_DF | EFLAGS_IOPL | EFLAGS_NT | EFLAGS_RF | EFLAGS_VM |       \
     EFLAGS_AC | EFLAGS_VIF | EFLAGS_VIP | EFLAGS_ID)
#define FLAGS_IN_AH (EFLAGS_SF | EFLAGS_ZF | EFLAGS_AF | EFLAGS_PF | EFLAGS_CF)

uint64_t soft_get_rflags(const SoftCpu *cpu)
{
    return cpu->eflags | EFLAGS_FIXED | (cpu->cc >> 8 & FLAGS_IN_AH) | (cpu->cc & CC_OF ? EFLAGS_OF : 0);
}

void soft_set_rflags(SoftCpu *cpu, uint64_t rflags)
{
    cpu->cc = (SoftCc)(((rflags & FLAGS_IN_AH) | EFLAGS_FIXED) << 8 | (rflags & EFLAGS_OF ? CC_OF : 0));
    cpu->eflags = (uint32_t)(rflags & FLAGS_ALL & ~EFLAGS_ARITHMETIC) | EFLAGS_FIXED;
    soft_update_mode(cpu);
}
