/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Call gates of 16, 32 and 64 bits, with and without a change of stacks, task gates, and
 * far JMP or CALL to a TSS (SDM 3-5.8.3 to 3-5.8.5, 2A CALL, JMP).
 */
#include "vmm/x86/soft/transfer.h"

void soft_read_gate_target(SoftCpu *cpu, uint16_t selector, SoftDescriptor *ret)
{
    if (selector_is_null(selector) || !soft_read_descriptor(cpu, selector, ret) || !descriptor_is_code(ret) ||
        descriptor_dpl(ret) > cpu->cpl ||
        (soft_in_long_mode(cpu) && (!descriptor_is_long(ret) || descriptor_is_big(ret)))) {
        soft_raise_selector(cpu, VECTOR_GP, selector);
    }
    if (!descriptor_is_present(ret)) {
        soft_raise_selector(cpu, VECTOR_NP, selector);
    }
}

/* ---- stacks in the TSS ---- */

static bool tss_is_32bit(const SoftCpu *cpu)
{
    return cpu->tr.attributes & 8;
}

uint64_t soft_inner_stack(SoftCpu *cpu, unsigned level, SoftDescriptor *ret_ss)
{
    bool wide = tss_is_32bit(cpu);
    unsigned size = wide ? 4 : 2, offset = size + level * 2 * size;
    uint64_t linear = cpu->tr.base + offset, sp;
    uint16_t ss;

    if (offset + size + 1 > cpu->tr.limit) {
        soft_raise_selector(cpu, VECTOR_TS, cpu->tr.selector);
    }
    sp = soft_load(cpu, linear & cpu->linear_mask, size, ACCESS_SYSTEM);
    ss = (uint16_t)soft_load(cpu, (linear + size) & cpu->linear_mask, 2, ACCESS_SYSTEM);
    soft_read_stack_descriptor(cpu, ss, level, VECTOR_TS, ret_ss);
    return sp;
}

/* The pointer must be canonical itself, wherever the first push is: SDM 2A, INT n and CALL, "StackAddress". */
uint64_t soft_tss_pointer64(SoftCpu *cpu, unsigned offset)
{
    uint64_t sp;

    if (offset + 7 > cpu->tr.limit) {
        soft_raise_selector(cpu, VECTOR_TS, cpu->tr.selector);
    }
    sp = soft_load_system64(cpu, cpu->tr.base + offset);
    if (!soft_is_canonical(sp)) {
        soft_raise_error(cpu, VECTOR_SS, 0);
    }
    return sp;
}

/* ---- call gates ---- */

/* Bytes a word that the gate pushes has. */
static unsigned gate_size(const SoftCpu *cpu, const SoftDescriptor *gate)
{
    return descriptor_type(gate) == SYSTEM_CALL_GATE16 ? 2 : soft_in_long_mode(cpu) ? 8 : 4;
}

static uint64_t gate_target(const SoftDescriptor *gate)
{
    uint64_t offset = gate_offset(gate) | gate->high << 32;

    return descriptor_type(gate) == SYSTEM_CALL_GATE16 ? offset & 0xffff : offset;
}

/* Copies the caller's parameters, SDM 3-5.8.5. */
static void push_parameters(SoftCpu *cpu, SoftFrame *f, unsigned n, unsigned size)
{
    for (unsigned i = n; i-- > 0;) {
        soft_frame_push(cpu, f, soft_stack_read(cpu, (int64_t)i * size, size), size);
    }
}

static void call_inwards(SoftCpu *cpu, const SoftDescriptor *gate, const SoftDescriptor *code, unsigned level)
{
    unsigned size = gate_size(cpu, gate), parameters = gate->low >> 32 & 31;
    bool long_mode = soft_in_long_mode(cpu);
    SoftDescriptor ss;
    X86Segment stack;
    SoftFrame f;

    if (long_mode) {
        parameters = 0;
        soft_frame_inner64(&f, soft_tss_pointer64(cpu, TSS64_RSP0 + level * 8));
    } else {
        uint64_t sp = soft_inner_stack(cpu, level, &ss);

        soft_unpack_descriptor(&ss, ss.selector, &stack);
        soft_frame_inner(&f, &stack, sp);
        soft_frame_check(cpu, &f, parameters + 4, size);
    }
    soft_check_code_target(cpu, code, gate_target(gate));
    soft_frame_push(cpu, &f, cpu->segment[X86_SS].selector, size);
    soft_frame_push(cpu, &f, cpu->gpr[X86_RSP], size);
    push_parameters(cpu, &f, parameters, size);
    soft_frame_push(cpu, &f, cpu->segment[X86_CS].selector, size);
    soft_frame_push(cpu, &f, cpu->next_ip, size);
    soft_mark_accessed(cpu, code);
    if (long_mode) {
        soft_set_null(cpu, X86_SS, (uint16_t)level);
    } else {
        soft_mark_accessed(cpu, &ss);
        soft_set_segment(cpu, X86_SS, &stack);
    }
    soft_frame_commit(cpu, &f);
    soft_commit_code(cpu, code, level, gate_target(gate));
}

static void call_same_level(SoftCpu *cpu, const SoftDescriptor *gate, const SoftDescriptor *code)
{
    unsigned size = gate_size(cpu, gate);
    SoftFrame f;

    soft_frame_present(cpu, &f);
    if (soft_in_long_mode(cpu)) { /* from compatibility mode too the gate pushes as 64-bit code does */
        soft_frame_inner64(&f, cpu->gpr[X86_RSP]);
        f.access = 0;
    }
    soft_frame_check(cpu, &f, 2, size);
    soft_check_code_target(cpu, code, gate_target(gate));
    soft_frame_push(cpu, &f, cpu->segment[X86_CS].selector, size);
    soft_frame_push(cpu, &f, cpu->next_ip, size);
    soft_mark_accessed(cpu, code);
    soft_frame_commit(cpu, &f);
    soft_commit_code(cpu, code, cpu->cpl, gate_target(gate));
}

static void jump_through_gate(SoftCpu *cpu, const SoftDescriptor *gate, const SoftDescriptor *code)
{
    soft_check_code_target(cpu, code, gate_target(gate));
    soft_mark_accessed(cpu, code);
    soft_commit_code(cpu, code, cpu->cpl, gate_target(gate));
}

static void through_call_gate(SoftCpu *cpu, const SoftDescriptor *gate, SoftTransfer kind)
{
    SoftDescriptor code;
    bool conforming;
    unsigned dpl;

    soft_read_gate_target(cpu, gate_selector(gate), &code);
    conforming = descriptor_is_conforming(&code);
    dpl = descriptor_dpl(&code);
    if (kind == TRANSFER_JUMP) {
        if (!conforming && dpl != cpu->cpl) {
            soft_raise_selector(cpu, VECTOR_GP, code.selector);
        }
        jump_through_gate(cpu, gate, &code);
    } else if (!conforming && dpl < cpu->cpl) {
        call_inwards(cpu, gate, &code, dpl);
    } else {
        call_same_level(cpu, gate, &code);
    }
    soft_update_mode(cpu);
}

void soft_gate_transfer(SoftCpu *cpu, SoftDescriptor *gate, SoftTransfer kind)
{
    bool long_mode = soft_in_long_mode(cpu);
    unsigned type = descriptor_type(gate);
    SoftDescriptor tss;
    uint32_t legal = long_mode ? 1 << SYSTEM_CALL_GATE32 :
                                 1 << SYSTEM_CALL_GATE32 | 1 << SYSTEM_CALL_GATE16 | 1 << SYSTEM_TASK_GATE |
                                     1 << SYSTEM_TSS16 | 1 << SYSTEM_TSS32;

    if (!(legal >> type & 1) || descriptor_dpl(gate) < cpu->cpl ||
        descriptor_dpl(gate) < (gate->selector & SELECTOR_RPL) ||
        (long_mode && !soft_read_descriptor_high(cpu, gate))) {
        soft_raise_selector(cpu, VECTOR_GP, gate->selector);
    }
    if (type == SYSTEM_TSS16 || type == SYSTEM_TSS32) {
        soft_read_available_tss(cpu, gate->selector, &tss);
        soft_task_switch(cpu, &tss, kind);
        return;
    }
    if (!descriptor_is_present(gate)) {
        soft_raise_selector(cpu, VECTOR_NP, gate->selector);
    }
    if (type == SYSTEM_TASK_GATE) {
        soft_read_available_tss(cpu, gate_selector(gate), &tss);
        soft_task_switch(cpu, &tss, kind);
    } else {
        through_call_gate(cpu, gate, kind);
    }
}
