/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far JMP and CALL (SDM 2A JMP, CALL; 3-5.8.1): to a code segment in every mode; what
 * names a gate or a TSS goes on in transfer-gate.c.
 */
#include "vmm/x86/soft/transfer.h"

/* CS and (E/R)IP of the next instruction. */
static void push_return_address(SoftCpu *cpu, SoftFrame *f, unsigned size)
{
    soft_frame_present(cpu, f);
    soft_frame_check(cpu, f, 2, size);
    soft_frame_push(cpu, f, cpu->segment[X86_CS].selector, size);
    soft_frame_push(cpu, f, cpu->next_ip, size);
}

static void to_paragraph(SoftCpu *cpu, uint16_t selector, uint64_t offset, unsigned size, SoftTransfer kind)
{
    SoftFrame f;

    if (offset > cpu->segment[X86_CS].limit) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    if (kind == TRANSFER_CALL) {
        push_return_address(cpu, &f, size);
        soft_frame_commit(cpu, &f);
    }
    soft_set_paragraph(cpu, X86_CS, selector);
    cpu->rip = offset;
    soft_update_mode(cpu);
}

static void to_code_segment(SoftCpu *cpu, const SoftDescriptor *d, uint64_t offset, unsigned size, SoftTransfer kind)
{
    unsigned dpl = descriptor_dpl(d), rpl = d->selector & SELECTOR_RPL;
    SoftFrame f;

    soft_check_code_size(cpu, d);
    if (descriptor_is_conforming(d) ? dpl > cpu->cpl : rpl > cpu->cpl || dpl != cpu->cpl) {
        soft_raise_selector(cpu, VECTOR_GP, d->selector);
    }
    if (!descriptor_is_present(d)) {
        soft_raise_selector(cpu, VECTOR_NP, d->selector);
    }
    soft_check_code_target(cpu, d, offset);
    if (kind == TRANSFER_CALL) {
        push_return_address(cpu, &f, size);
    }
    soft_mark_accessed(cpu, d);
    if (kind == TRANSFER_CALL) {
        soft_frame_commit(cpu, &f);
    }
    soft_commit_code(cpu, d, cpu->cpl, offset);
    soft_update_mode(cpu);
}

void soft_far_transfer(SoftCpu *cpu, uint16_t selector, uint64_t offset, unsigned size, SoftTransfer kind)
{
    SoftDescriptor d;

    if (!(cpu->mode & MODE_PROTECTED)) {
        to_paragraph(cpu, selector, offset, size, kind);
        return;
    }
    if (selector_is_null(selector) || !soft_read_descriptor(cpu, selector, &d)) {
        soft_raise_selector(cpu, VECTOR_GP, selector);
    }
    if (descriptor_is_code(&d)) {
        to_code_segment(cpu, &d, offset, size, kind);
    } else if (descriptor_is_system(&d)) {
        soft_gate_transfer(cpu, &d, kind);
    } else {
        soft_raise_selector(cpu, VECTOR_GP, selector);
    }
}
