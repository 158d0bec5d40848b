/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PUSHF, POPF, CLI, STI, CLD, STD, CLAC, STAC (SDM 2A and 2B under their names), with the
 * virtual interrupt flag of CR4.VME and CR4.PVI (SDM 3-20.3.3, 3-20.4).
 *
 * Kernels run them all the time, so none ends its block unless something follows from it.
 * In particular the shadow of STI needs nothing while nothing is pending: interrupts are taken
 * in the run loop only, and the next instruction of the block comes before that.
 */
#include "vmm/x86/soft/decode.h"

/* ---- what is allowed ---- */

static unsigned iopl(const SoftCpu *cpu)
{
    return (cpu->eflags & EFLAGS_IOPL) >> EFLAGS_IOPL_SHIFT;
}

/* In virtual-8086 mode (CPL 3) too. */
static bool may_change_if(const SoftCpu *cpu)
{
    return cpu->cpl <= iopl(cpu);
}

/* CLI and STI change VIF instead. */
static bool has_virtual_if(const SoftCpu *cpu)
{
    return cpu->mode & MODE_VM86 ? (cpu->cr4 & CR4_VME) != 0 : cpu->cpl == 3 && cpu->cr4 & CR4_PVI;
}

/* PUSHF and POPF in virtual-8086 mode below IOPL 3 use VIF.  Synced; False: plain; does not return: #GP(0). */
static bool flags_use_vif(SoftCpu *cpu, unsigned size)
{
    if (LIKELY(!(cpu->mode & MODE_VM86)) || iopl(cpu) == 3) {
        return false;
    }
    if (!(cpu->cr4 & CR4_VME) || size != 2) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    return true;
}

/* ---- how it goes on ---- */

/* The next instruction is to be looked for anew.  It need not be the next op's: NOPs may have none. */
static const Op *leave_after(SoftCpu *cpu, const Op *op)
{
    return soft_leave_before(cpu, op->ip + op->length);
}

static const Op *after_change(SoftCpu *cpu, const Op *op, uint32_t before)
{
    uint32_t changed = before ^ cpu->eflags;

    if (UNLIKELY(changed & (EFLAGS_TF | EFLAGS_AC | EFLAGS_RF))) {
        soft_update_mode(cpu);
        return leave_after(cpu, op);
    }
    /* An interrupt that had to wait left `attention` clear. */
    if (changed & cpu->eflags & EFLAGS_IF && UNLIKELY(__atomic_load_n(&cpu->pending, __ATOMIC_RELAXED))) {
        soft_update_attention(cpu);
        return leave_after(cpu, op);
    }
    SOFT_NEXT(cpu, op);
}

/* ---- PUSHF ---- */

static inline __attribute__((always_inline)) const Op *pushf(SoftCpu *cpu, const Op *op, unsigned size)
{
    uint64_t flags = soft_get_rflags(cpu) & ~(uint64_t)(EFLAGS_RF | EFLAGS_VM);

    if (size == 8) {
        uint64_t sp = cpu->gpr[X86_RSP] - 8;
        void *p = soft_tlb_write(cpu, sp, 8);

        if (LIKELY(p)) {
            *(volatile uint64_t *)p = flags;
            cpu->gpr[X86_RSP] = sp;
            SOFT_NEXT(cpu, op);
        }
    }
    soft_sync(cpu, op);
    if (flags_use_vif(cpu, size)) {
        flags = (flags & ~(uint64_t)EFLAGS_IF) | EFLAGS_IOPL | (flags & EFLAGS_VIF ? EFLAGS_IF : 0);
    }
    soft_push(cpu, flags, size);
    SOFT_NEXT(cpu, op);
}

static const Op *op_pushfw(SoftCpu *cpu, const Op *op)
{
    return pushf(cpu, op, 2);
}

static const Op *op_pushfd(SoftCpu *cpu, const Op *op)
{
    return pushf(cpu, op, 4);
}

static const Op *op_pushfq(SoftCpu *cpu, const Op *op)
{
    return pushf(cpu, op, 8);
}

/* ---- POPF ---- */

/* Table "Effect of POPF/POPFD on the EFLAGS Register". */
static inline uint32_t popf_mask(const SoftCpu *cpu, unsigned size)
{
    uint32_t mask = EFLAGS_TF | EFLAGS_DF | EFLAGS_NT | (size == 2 ? 0 : EFLAGS_AC | EFLAGS_ID);

    mask |= cpu->cpl == 0 ? EFLAGS_IOPL : 0;
    return mask | (may_change_if(cpu) ? EFLAGS_IF : 0);
}

static void set_arithmetic(SoftCpu *cpu, uint64_t flags)
{
    cpu->cc = (SoftCc)(((flags & 0xd5) | EFLAGS_FIXED) << 8 | (flags & EFLAGS_OF ? CC_OF : 0));
}

/* Virtual-8086 mode with VME: IF stays, VIF takes the value. */
static void popf_to_vif(SoftCpu *cpu, uint64_t flags)
{
    if (flags & EFLAGS_TF || (flags & EFLAGS_IF && cpu->eflags & EFLAGS_VIP)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    cpu->eflags &= ~(uint32_t)(EFLAGS_TF | EFLAGS_DF | EFLAGS_NT | EFLAGS_VIF | EFLAGS_RF);
    cpu->eflags |= flags & (EFLAGS_DF | EFLAGS_NT);
    cpu->eflags |= flags & EFLAGS_IF ? EFLAGS_VIF : 0;
}

static inline __attribute__((always_inline)) const Op *popf(SoftCpu *cpu, const Op *op, unsigned size)
{
    uint32_t before = cpu->eflags, mask;
    const void *p = size == 8 ? soft_tlb_read(cpu, cpu->gpr[X86_RSP], 8) : NULL;
    uint64_t flags;

    if (LIKELY(p)) {
        flags = *(const volatile uint64_t *)p;
        mask = popf_mask(cpu, size);
        cpu->gpr[X86_RSP] += 8;
        cpu->eflags = (before & ~(mask | EFLAGS_RF)) | ((uint32_t)flags & mask);
    } else {
        soft_sync(cpu, op);
        flags = soft_stack_read(cpu, 0, size);
        if (flags_use_vif(cpu, size)) {
            popf_to_vif(cpu, flags);
        } else {
            mask = popf_mask(cpu, size);
            cpu->eflags = (before & ~(mask | EFLAGS_RF)) | ((uint32_t)flags & mask);
        }
        soft_stack_move(cpu, (int64_t)size);
    }
    set_arithmetic(cpu, flags);
    return after_change(cpu, op, before);
}

static const Op *op_popfw(SoftCpu *cpu, const Op *op)
{
    return popf(cpu, op, 2);
}

static const Op *op_popfd(SoftCpu *cpu, const Op *op)
{
    return popf(cpu, op, 4);
}

static const Op *op_popfq(SoftCpu *cpu, const Op *op)
{
    return popf(cpu, op, 8);
}

/* ---- CLI, STI ---- */

static const Op *op_cli(SoftCpu *cpu, const Op *op)
{
    if (LIKELY(may_change_if(cpu))) {
        cpu->eflags &= ~(uint32_t)EFLAGS_IF;
    } else if (has_virtual_if(cpu)) {
        cpu->eflags &= ~(uint32_t)EFLAGS_VIF;
    } else {
        soft_sync(cpu, op);
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    SOFT_NEXT(cpu, op);
}

/* The next op is an instruction, which comes before any look at interrupts. */
static bool next_is_certain(const Op *op)
{
    OpFn *fn = __atomic_load_n(&op[1].fn, __ATOMIC_RELAXED);

    return fn != soft_op_leave && fn != soft_op_goto;
}

static const Op *op_sti(SoftCpu *cpu, const Op *op)
{
    if (LIKELY(may_change_if(cpu))) {
        if (cpu->eflags & EFLAGS_IF) {
            SOFT_NEXT(cpu, op); /* no shadow */
        }
        cpu->eflags |= EFLAGS_IF;
        if (LIKELY(next_is_certain(op)) && LIKELY(!__atomic_load_n(&cpu->pending, __ATOMIC_RELAXED)) &&
            !(cpu->mode & MODE_SINGLE)) {
            SOFT_NEXT(cpu, op);
        }
        cpu->shadow = cpu->shadow_sti = true;
        soft_update_attention(cpu);
        return leave_after(cpu, op);
    }
    soft_sync(cpu, op);
    if (!has_virtual_if(cpu) || cpu->eflags & EFLAGS_VIP) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    cpu->eflags |= EFLAGS_VIF;
    SOFT_NEXT(cpu, op);
}

/* ---- CLD, STD ---- */

static const Op *op_cld(SoftCpu *cpu, const Op *op)
{
    cpu->eflags &= ~(uint32_t)EFLAGS_DF;
    SOFT_NEXT(cpu, op);
}

static const Op *op_std(SoftCpu *cpu, const Op *op)
{
    cpu->eflags |= EFLAGS_DF;
    SOFT_NEXT(cpu, op);
}

/* ---- CLAC, STAC: handlers read cpu->tlb each time, so the block goes on ---- */

static void check_cpl0(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(cpu->cpl)) {
        soft_sync(cpu, op);
        soft_raise(cpu, VECTOR_UD);
    }
}

static void set_tlb(SoftCpu *cpu, unsigned index)
{
    if (cpu->cr4 & CR4_SMAP) {
        cpu->tlb_index = (uint8_t)index;
        cpu->tlb = &cpu->tlbs[index];
    }
}

static const Op *op_clac(SoftCpu *cpu, const Op *op)
{
    check_cpl0(cpu, op);
    cpu->eflags &= ~(uint32_t)EFLAGS_AC;
    set_tlb(cpu, TLB_SUPERVISOR);
    SOFT_NEXT(cpu, op);
}

static const Op *op_stac(SoftCpu *cpu, const Op *op)
{
    check_cpl0(cpu, op);
    cpu->eflags |= EFLAGS_AC;
    set_tlb(cpu, TLB_SUPERVISOR_AC);
    SOFT_NEXT(cpu, op);
}

const SoftInstr soft_flag_instructions[] = {
    { ZYDIS_MNEMONIC_PUSHF, op_pushfw, 0, 0, 0 },
    { ZYDIS_MNEMONIC_PUSHFD, op_pushfd, 0, 0, 0 },
    { ZYDIS_MNEMONIC_PUSHFQ, op_pushfq, 0, 0, 0 },
    { ZYDIS_MNEMONIC_POPF, op_popfw, 0, 0, 0 },
    { ZYDIS_MNEMONIC_POPFD, op_popfd, 0, 0, 0 },
    { ZYDIS_MNEMONIC_POPFQ, op_popfq, 0, 0, 0 },
    { ZYDIS_MNEMONIC_CLI, op_cli, 0, 0, 0 },
    { ZYDIS_MNEMONIC_STI, op_sti, 0, 0, 0 },
    { ZYDIS_MNEMONIC_CLD, op_cld, 0, 0, 0 },
    { ZYDIS_MNEMONIC_STD, op_std, 0, 0, 0 },
    { ZYDIS_MNEMONIC_CLAC, op_clac, 0, 0, 0 },
    { ZYDIS_MNEMONIC_STAC, op_stac, 0, 0, 0 },
    { 0 },
};
