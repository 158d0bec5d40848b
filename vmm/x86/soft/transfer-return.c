/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far RET (SDM 2B RET, 3-5.8.6): in real and virtual-8086 mode, to the same level, and
 * outwards.  What it has in common with IRET is here.
 */
#include "vmm/x86/soft/transfer.h"

void soft_read_return_target(SoftCpu *cpu, uint16_t selector, SoftDescriptor *ret)
{
    unsigned rpl = selector & SELECTOR_RPL;

    if (selector_is_null(selector) || !soft_read_descriptor(cpu, selector, ret) || !descriptor_is_code(ret) ||
        rpl < cpu->cpl || (descriptor_is_conforming(ret) ? descriptor_dpl(ret) > rpl : descriptor_dpl(ret) != rpl)) {
        soft_raise_selector(cpu, VECTOR_GP, selector);
    }
    soft_check_code_size(cpu, ret);
    if (!descriptor_is_present(ret)) {
        soft_raise_selector(cpu, VECTOR_NP, selector);
    }
}

bool soft_read_return_stack(SoftCpu *cpu, uint16_t selector, const SoftDescriptor *code, SoftDescriptor *ret)
{
    unsigned level = code->selector & SELECTOR_RPL;

    if (selector_is_null(selector) && soft_in_long_mode(cpu) && descriptor_is_long(code) && level != 3 &&
        (selector & SELECTOR_RPL) == level) {
        return false;
    }
    soft_read_stack_descriptor(cpu, selector, level, VECTOR_GP, ret);
    return true;
}

/* After CS: in 64-bit code the stack pointer has 64 bits, else as many as the new SS.B says. */
void soft_commit_return_stack(SoftCpu *cpu, const SoftDescriptor *ss, uint16_t selector, uint64_t sp)
{
    if (ss) {
        soft_unpack_descriptor(ss, selector, &cpu->segment[X86_SS]);
    } else {
        soft_set_null(cpu, X86_SS, selector);
    }
    if (soft_in_long_mode(cpu) && cpu->segment[X86_CS].attributes & SEG_L) {
        cpu->gpr[X86_RSP] = sp;
    } else {
        soft_set_stack_pointer(cpu, sp, cpu->segment[X86_SS].attributes & SEG_DB ? UINT32_MAX : 0xffff);
    }
}

static void return_to_paragraph(SoftCpu *cpu, uint64_t offset, uint16_t selector, unsigned bytes)
{
    if (offset > cpu->segment[X86_CS].limit) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    soft_stack_move(cpu, bytes);
    soft_set_paragraph(cpu, X86_CS, selector);
    cpu->rip = offset;
    soft_update_mode(cpu);
}

/* The caller's SS:ESP lies beyond the parameters, which are released on both stacks. */
static void return_outwards(SoftCpu *cpu, const SoftDescriptor *code, uint64_t offset, unsigned size, unsigned release)
{
    uint64_t sp = soft_stack_read(cpu, 2 * size + release, size);
    uint16_t selector = (uint16_t)soft_stack_read(cpu, 3 * size + release, size);
    SoftDescriptor ss;
    bool has_ss = soft_read_return_stack(cpu, selector, code, &ss);

    soft_check_code_target(cpu, code, offset);
    soft_mark_accessed(cpu, code);
    if (has_ss) {
        soft_mark_accessed(cpu, &ss);
    }
    soft_commit_code(cpu, code, code->selector & SELECTOR_RPL, offset);
    soft_commit_return_stack(cpu, has_ss ? &ss : NULL, selector, sp + release);
    soft_drop_privileged_segments(cpu);
    soft_update_mode(cpu);
}

void soft_far_return(SoftCpu *cpu, unsigned size, unsigned release)
{
    uint64_t offset = soft_stack_read(cpu, 0, size);
    uint16_t selector = (uint16_t)soft_stack_read(cpu, size, size);
    SoftDescriptor code;

    if (!(cpu->mode & MODE_PROTECTED)) {
        return_to_paragraph(cpu, offset, selector, 2 * size + release);
        return;
    }
    soft_read_return_target(cpu, selector, &code);
    if ((selector & SELECTOR_RPL) > cpu->cpl) {
        return_outwards(cpu, &code, offset, size, release);
        return;
    }
    soft_check_code_target(cpu, &code, offset);
    soft_mark_accessed(cpu, &code);
    soft_stack_move(cpu, 2 * size + release);
    soft_commit_code(cpu, &code, cpu->cpl, offset);
    soft_update_mode(cpu);
}
