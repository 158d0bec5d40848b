/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT (SDM 2B, 3-5.8.7, 3-5.8.8; APM 3).  They load CS and
 * SS with fixed attributes and read no descriptor.
 *
 * Vendors differ: Intel's SYSCALL and SYSRET exist only in 64-bit mode, and SYSRET checks
 * RCX before the switch; AMD's exist in every protected mode, and SYSENTER and SYSEXIT not
 * in long mode.
 */
#include "vmm/x86/soft/transfer.h"

static void set_flat(SoftCpu *cpu, unsigned seg, unsigned selector, uint32_t attributes)
{
    cpu->segment[seg] = (X86Segment){ (uint16_t)selector, attributes, UINT32_MAX, 0 };
}

/* SS is the descriptor after CS. */
static void set_code_and_stack(SoftCpu *cpu, unsigned cs, uint32_t attributes, unsigned cpl)
{
    uint32_t dpl = cpl << 5;

    set_flat(cpu, X86_CS, cs | cpl, attributes | dpl);
    set_flat(cpu, X86_SS, (cs + 8) | cpl, SEG_ATTR_DATA | dpl);
    cpu->cpl = (uint8_t)cpl;
}

static void require_syscall(SoftCpu *cpu)
{
    bool mode = cpu->vm->intel ? soft_in_64bit_code(cpu) : cpu->cr0 & CR0_PE;

    if (UNLIKELY(!(cpu->efer & EFER_SCE) || !mode)) {
        soft_raise(cpu, VECTOR_UD);
    }
}

/* Single step goes by the TF that SYSCALL and SYSRET leave, where others go by the one they began with. */
static void set_flags(SoftCpu *cpu, uint64_t flags)
{
    cpu->began_eflags &= ~(uint32_t)EFLAGS_TF;
    if (UNLIKELY(flags & EFLAGS_TF)) {
        cpu->debug_pending |= DR6_BS;
    }
    soft_set_rflags(cpu, flags);
}

const Op *soft_op_syscall(SoftCpu *cpu, const Op *op)
{
    uint64_t flags = soft_get_rflags(cpu) & ~(uint64_t)EFLAGS_RF;
    unsigned cs = cpu->star >> 32 & SELECTOR_MASK;

    soft_sync(cpu, op);
    require_syscall(cpu);
    cpu->gpr[X86_RCX] = cpu->next_ip;
    if (soft_in_long_mode(cpu)) {
        cpu->gpr[X86_R11] = flags;
        cpu->rip = soft_in_64bit_code(cpu) ? cpu->lstar : cpu->cstar;
        set_code_and_stack(cpu, cs, SEG_ATTR_CODE64, 0);
        set_flags(cpu, flags & ~cpu->fmask);
    } else {
        cpu->rip = (uint32_t)cpu->star;
        set_code_and_stack(cpu, cs, SEG_ATTR_CODE32, 0);
        set_flags(cpu, flags & ~(uint64_t)(EFLAGS_IF | EFLAGS_VM));
    }
    return soft_goto(cpu, cpu->rip);
}

const Op *soft_op_sysret(SoftCpu *cpu, const Op *op)
{
    bool to_64 = op->size == 8;
    unsigned cs = cpu->star >> 48 & SELECTOR_MASK;
    uint64_t flags;

    soft_sync(cpu, op);
    require_syscall(cpu);
    /* AMD finds a bad RCX at CPL 3, when it fetches from there. */
    if (cpu->cpl || (to_64 && cpu->vm->intel && !soft_is_canonical(cpu->gpr[X86_RCX]))) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    if (soft_in_long_mode(cpu)) {
        flags = cpu->gpr[X86_R11] & ~(uint64_t)(EFLAGS_RF | EFLAGS_VM);
    } else {
        flags = soft_get_rflags(cpu) | EFLAGS_IF;
    }
    cpu->rip = to_64 ? cpu->gpr[X86_RCX] : (uint32_t)cpu->gpr[X86_RCX];
    set_code_and_stack(cpu, cs, SEG_ATTR_CODE32, 3);
    if (to_64) {
        set_flat(cpu, X86_CS, (cs + 16) | 3, SEG_ATTR_CODE64 | SEG_ATTR_DPL3);
    }
    set_flags(cpu, flags);
    if (to_64 && !soft_is_canonical(cpu->rip)) {
        return NULL; /* to where it is found; the jump cache knows canonical addresses only */
    }
    return soft_goto(cpu, cpu->rip);
}

static unsigned sysenter_cs(SoftCpu *cpu)
{
    if (!cpu->vm->intel && soft_in_long_mode(cpu)) {
        soft_raise(cpu, VECTOR_UD);
    }
    if (!(cpu->cr0 & CR0_PE) || !(cpu->sysenter_cs & SELECTOR_MASK)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    return cpu->sysenter_cs & SELECTOR_MASK;
}

const Op *soft_op_sysenter(SoftCpu *cpu, const Op *op)
{
    bool long_mode = soft_in_long_mode(cpu);
    unsigned cs;

    soft_sync(cpu, op);
    cs = sysenter_cs(cpu);
    set_code_and_stack(cpu, cs, long_mode ? SEG_ATTR_CODE64 : SEG_ATTR_CODE32, 0);
    cpu->gpr[X86_RSP] = long_mode ? cpu->sysenter_esp : (uint32_t)cpu->sysenter_esp;
    cpu->rip = long_mode ? cpu->sysenter_eip : (uint32_t)cpu->sysenter_eip;
    soft_set_rflags(cpu, soft_get_rflags(cpu) & ~(uint64_t)(EFLAGS_VM | EFLAGS_IF | EFLAGS_RF));
    return soft_goto(cpu, cpu->rip);
}

const Op *soft_op_sysexit(SoftCpu *cpu, const Op *op)
{
    bool to_64 = op->size == 8;
    uint64_t rip = cpu->gpr[X86_RDX], rsp = cpu->gpr[X86_RCX];
    unsigned cs;

    soft_sync(cpu, op);
    if (cpu->cpl) { /* first, also where AMD has no such instruction */
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    cs = sysenter_cs(cpu);
    if (to_64 && (!soft_is_canonical(rip) || !soft_is_canonical(rsp))) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    cpu->rip = to_64 ? rip : (uint32_t)rip;
    cpu->gpr[X86_RSP] = to_64 ? rsp : (uint32_t)rsp;
    set_code_and_stack(cpu, cs + (to_64 ? 32 : 16), to_64 ? SEG_ATTR_CODE64 : SEG_ATTR_CODE32, 3);
    soft_update_mode(cpu);
    return soft_goto(cpu, cpu->rip);
}
