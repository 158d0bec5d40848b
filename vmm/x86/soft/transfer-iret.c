/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IRET (SDM 2A IRET/IRETD/IRETQ): from real mode, to the same level, outwards, from 64-bit
 * code, to virtual-8086 mode, from a nested task.
 *
 * NMIs are unmasked whether it faults or not, SDM 3-6.7.1 and 3C-26.5.
 */
#include "vmm/x86/soft/transfer.h"

/* RF only matters to instruction breakpoints (SDM 3-17.3.1.1): without any it is dropped, so that nothing has to clear
 * it after the next instruction. */
static uint32_t keep_rf(const SoftCpu *cpu, uint32_t flags)
{
    return cpu->dr7 & 0xff ? flags : flags & ~(uint32_t)EFLAGS_RF;
}

/* What IRET to protected mode loads at this CPL. */
static uint32_t loaded_flags(const SoftCpu *cpu, unsigned size)
{
    uint32_t mask = EFLAGS_ARITHMETIC | EFLAGS_TF | EFLAGS_DF | EFLAGS_NT;

    if (size > 2) {
        mask |= EFLAGS_RF | EFLAGS_AC | EFLAGS_ID;
    }
    if (cpu->cpl <= (cpu->eflags & EFLAGS_IOPL) >> EFLAGS_IOPL_SHIFT) {
        mask |= EFLAGS_IF;
    }
    if (cpu->cpl == 0) {
        mask |= EFLAGS_IOPL | (size > 2 ? EFLAGS_VIF | EFLAGS_VIP : 0);
    }
    return mask;
}

static uint32_t merge_flags(const SoftCpu *cpu, uint32_t image, uint32_t mask)
{
    uint32_t old = (uint32_t)soft_get_rflags(cpu) & ~(uint32_t)EFLAGS_RF;

    return keep_rf(cpu, (old & ~mask) | (image & mask));
}

static void iret_real(SoftCpu *cpu, unsigned size)
{
    uint64_t offset = soft_stack_read(cpu, 0, size);
    uint16_t selector = (uint16_t)soft_stack_read(cpu, size, size);
    uint32_t image = (uint32_t)soft_stack_read(cpu, 2 * size, size);
    uint32_t mask = EFLAGS_ARITHMETIC | EFLAGS_TF | EFLAGS_IF | EFLAGS_DF | EFLAGS_IOPL | EFLAGS_NT;

    if (size > 2) {
        mask |= EFLAGS_RF | EFLAGS_AC | EFLAGS_ID;
    }
    if (offset > cpu->segment[X86_CS].limit) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    soft_stack_move(cpu, 3 * size);
    soft_set_paragraph(cpu, X86_CS, selector);
    cpu->rip = offset;
    soft_set_rflags(cpu, merge_flags(cpu, image, mask));
}

/* (E/R)IP, CS, flags; then (E/R)SP, SS, once it is known where to. */
static void read_frame(SoftCpu *cpu, uint64_t *word, unsigned first, unsigned n, unsigned size)
{
    const uint64_t *p = size == 8 ? soft_tlb_read(cpu, cpu->gpr[X86_RSP] + first * 8, n * 8) : NULL;

    for (unsigned i = 0; i < n; i++) {
        word[first + i] = LIKELY(p) ? ((const volatile uint64_t *)p)[i] :
                                      soft_stack_read(cpu, (first + i) * size, size);
    }
}

static void return_with_stack(SoftCpu *cpu, const SoftDescriptor *code, const uint64_t *word, unsigned size)
{
    uint16_t selector = (uint16_t)word[4];
    uint32_t mask = loaded_flags(cpu, size);
    unsigned level = code->selector & SELECTOR_RPL;
    bool outwards = level > cpu->cpl;
    SoftDescriptor ss;
    bool has_ss = soft_read_return_stack(cpu, selector, code, &ss);

    soft_check_code_target(cpu, code, word[0]);
    soft_mark_accessed(cpu, code);
    if (has_ss) {
        soft_mark_accessed(cpu, &ss);
    }
    soft_commit_code(cpu, code, level, word[0]);
    soft_commit_return_stack(cpu, has_ss ? &ss : NULL, selector, word[3]);
    if (outwards) {
        soft_drop_privileged_segments(cpu);
    }
    soft_set_rflags(cpu, merge_flags(cpu, (uint32_t)word[2], mask));
}

static void return_same_level(SoftCpu *cpu, const SoftDescriptor *code, const uint64_t *word, unsigned size)
{
    soft_check_code_target(cpu, code, word[0]);
    soft_mark_accessed(cpu, code);
    soft_stack_move(cpu, 3 * size);
    soft_commit_code(cpu, code, cpu->cpl, word[0]);
    soft_set_rflags(cpu, merge_flags(cpu, (uint32_t)word[2], loaded_flags(cpu, size)));
}

static void iret_protected(SoftCpu *cpu, unsigned size)
{
    SoftDescriptor code;
    uint64_t word[5];

    if (cpu->eflags & EFLAGS_NT) {
        if (soft_in_long_mode(cpu)) {
            soft_raise_error(cpu, VECTOR_GP, 0);
        }
        soft_task_return(cpu);
        return;
    }
    read_frame(cpu, word, 0, 3, size);
    if (size == 4 && word[2] & EFLAGS_VM && cpu->cpl == 0 && !soft_in_long_mode(cpu)) {
        soft_iret_to_v86(cpu, (uint32_t)word[0], (uint16_t)word[1], (uint32_t)word[2]);
        return;
    }
    soft_read_return_target(cpu, (uint16_t)word[1], &code);
    if (soft_in_64bit_code(cpu) || (word[1] & SELECTOR_RPL) > cpu->cpl) {
        read_frame(cpu, word, 3, 2, size);
        return_with_stack(cpu, &code, word, size);
    } else {
        return_same_level(cpu, &code, word, size);
    }
}

void soft_iret(SoftCpu *cpu, unsigned size)
{
    cpu->nmi_masked = false; /* `attention` follows at the end, or with the delivery of the fault */
    if (!(cpu->cr0 & CR0_PE)) {
        iret_real(cpu, size);
    } else if (cpu->mode & MODE_VM86) {
        soft_iret_from_v86(cpu, size);
    } else {
        iret_protected(cpu, size);
    }
}
