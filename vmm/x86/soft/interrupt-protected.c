/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts and exceptions in protected and virtual-8086 mode (SDM 3-6.10 to 3-6.12, 2A
 * INT n): interrupt, trap and task gates of 16 and 32 bits.
 */
#include "vmm/x86/soft/transfer.h"

#define GATE_TYPES                                                                                                   \
    (1 << SYSTEM_TASK_GATE | 1 << SYSTEM_INTERRUPT_GATE16 | 1 << SYSTEM_TRAP_GATE16 | 1 << SYSTEM_INTERRUPT_GATE32 | \
     1 << SYSTEM_TRAP_GATE32)

static void read_gate(SoftCpu *cpu, SoftDescriptor *gate)
{
    const SoftEvent *e = &cpu->delivering;

    if (e->vector * 8u + 7 > cpu->idt.limit) {
        soft_raise_error(cpu, VECTOR_GP, soft_event_idt_error(cpu));
    }
    *gate = (SoftDescriptor){ .low = soft_load_system64(cpu, cpu->idt.base + e->vector * 8u) };
    if (!descriptor_is_system(gate) || !(GATE_TYPES >> descriptor_type(gate) & 1) ||
        (e->kind == EVENT_SOFTWARE_INT && descriptor_dpl(gate) < cpu->cpl)) {
        soft_raise_error(cpu, VECTOR_GP, soft_event_idt_error(cpu));
    }
    if (!descriptor_is_present(gate)) {
        soft_raise_error(cpu, VECTOR_NP, soft_event_idt_error(cpu));
    }
}

/* (E)FLAGS, CS, (E)IP and the error code: on every stack, of every size. */
static void push_return(SoftCpu *cpu, SoftFrame *f, unsigned size)
{
    soft_frame_push(cpu, f, soft_event_flags(cpu), size);
    soft_frame_push(cpu, f, cpu->segment[X86_CS].selector, size);
    soft_frame_push(cpu, f, soft_event_return_ip(cpu), size);
    if (cpu->delivering.has_error) {
        soft_frame_push(cpu, f, cpu->delivering.error, size);
    }
}

static void commit(SoftCpu *cpu, const SoftFrame *f, const SoftDescriptor *gate, const SoftDescriptor *code,
                   unsigned cpl, uint64_t target)
{
    uint32_t cleared = EFLAGS_TF | EFLAGS_NT | EFLAGS_RF | EFLAGS_VM;

    if (!(descriptor_type(gate) & 1)) {
        cleared |= EFLAGS_IF; /* an interrupt gate */
    }
    soft_frame_commit(cpu, f);
    soft_commit_code(cpu, code, cpl, target);
    cpu->eflags &= ~cleared;
    soft_update_mode(cpu);
}

/* Segment registers of virtual-8086 mode mean nothing to the handler: they are pushed, and null for it. */
static void push_v86_segments(SoftCpu *cpu, SoftFrame *f, unsigned size)
{
    static const uint8_t order[] = { X86_GS, X86_FS, X86_DS, X86_ES };

    for (unsigned i = 0; i < sizeof(order); i++) {
        soft_frame_push(cpu, f, cpu->segment[order[i]].selector, size);
    }
}

static void clear_v86_segments(SoftCpu *cpu)
{
    soft_set_null(cpu, X86_GS, 0);
    soft_set_null(cpu, X86_FS, 0);
    soft_set_null(cpu, X86_DS, 0);
    soft_set_null(cpu, X86_ES, 0);
}

static void deliver_inwards(SoftCpu *cpu, const SoftDescriptor *gate, const SoftDescriptor *code, unsigned size,
                            uint64_t target)
{
    bool v86 = cpu->eflags & EFLAGS_VM;
    unsigned level = descriptor_dpl(code), words = (v86 ? 9 : 5) + cpu->delivering.has_error;
    SoftDescriptor ss;
    X86Segment stack;
    SoftFrame f;
    uint64_t sp;

    if (v86 && level) {
        soft_raise_selector(cpu, VECTOR_GP, code->selector);
    }
    sp = soft_inner_stack(cpu, level, &ss);
    soft_unpack_descriptor(&ss, ss.selector, &stack);
    soft_frame_inner(&f, &stack, sp);
    soft_frame_check(cpu, &f, words, size);
    soft_check_code_target(cpu, code, target);
    if (v86) {
        push_v86_segments(cpu, &f, size);
    }
    soft_frame_push(cpu, &f, cpu->segment[X86_SS].selector, size);
    soft_frame_push(cpu, &f, cpu->gpr[X86_RSP], size);
    push_return(cpu, &f, size);
    soft_mark_accessed(cpu, code);
    soft_mark_accessed(cpu, &ss);
    if (v86) {
        clear_v86_segments(cpu);
    }
    soft_set_segment(cpu, X86_SS, &stack);
    commit(cpu, &f, gate, code, level, target);
}

static void deliver_same_level(SoftCpu *cpu, const SoftDescriptor *gate, const SoftDescriptor *code, unsigned size,
                               uint64_t target)
{
    SoftFrame f;

    if (cpu->eflags & EFLAGS_VM) {
        soft_raise_selector(cpu, VECTOR_GP, code->selector);
    }
    soft_frame_present(cpu, &f);
    soft_frame_check(cpu, &f, 3 + cpu->delivering.has_error, size);
    soft_check_code_target(cpu, code, target);
    push_return(cpu, &f, size);
    soft_mark_accessed(cpu, code);
    commit(cpu, &f, gate, code, cpu->cpl, target);
}

void soft_deliver_protected(SoftCpu *cpu)
{
    SoftDescriptor gate, code, tss;
    unsigned size;
    uint64_t target;

    read_gate(cpu, &gate);
    if (descriptor_type(&gate) == SYSTEM_TASK_GATE) {
        soft_read_available_tss(cpu, gate_selector(&gate), &tss);
        soft_task_switch(cpu, &tss, TRANSFER_EVENT);
        return;
    }
    size = descriptor_type(&gate) & 8 ? 4 : 2;
    target = gate_offset(&gate) & (size == 4 ? UINT32_MAX : 0xffff);
    soft_read_gate_target(cpu, gate_selector(&gate), &code);
    if (!descriptor_is_conforming(&code) && descriptor_dpl(&code) < cpu->cpl) {
        deliver_inwards(cpu, &gate, &code, size, target);
    } else {
        deliver_same_level(cpu, &gate, &code, size, target);
    }
}
