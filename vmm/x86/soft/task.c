/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task switches (SDM 3-7): by far JMP and CALL, task gates, events and IRET, with TSSs of 16
 * and 32 bits.  Long mode has none.
 *
 * Up to commit_task() nothing of the old task has changed but what its own TSS holds, and
 * an exception is one of the old task.  After it, it is one of the new task before its first
 * instruction (SDM 3-7.3, step 13): segment registers that are not loaded by then have
 * their selectors, and are unusable.
 */
#include "vmm/x86/soft/transfer.h"

#define DR7_LOCAL     UINT64_C(0x155) /* L0-L3, LE */
#define TSS_CR3       28u
#define TSS_TRAP      100u
#define TASK_GPRS     8u

/* What the two formats have in common, and in this order: the instruction pointer, flags, eight general registers,
 * segment selectors from ES on, LDT selector. */
typedef struct Layout { uint8_t size, ip, segments; uint16_t limit; } Layout;
static const Layout layout16 = { 2, 14, 4, 0x2b }, layout32 = { 4, 32, 6, 0x67 };

static unsigned flags_at(const Layout *l)
{
    return l->ip + l->size;
}

static unsigned gpr_at(const Layout *l, unsigned i)
{
    return l->ip + (2 + i) * l->size;
}

static unsigned segment_at(const Layout *l, unsigned i)
{
    return l->ip + (2 + TASK_GPRS + i) * l->size;
}

static unsigned ldt_at(const Layout *l)
{
    return segment_at(l, l->segments);
}

typedef struct Task {
    const Layout *layout;
    X86Segment tr;
    uint32_t ip, flags, gpr[TASK_GPRS], cr3;
    uint16_t selector[X86_SEGMENTS], ldt;
    bool trap;
} Task;

static const Layout *layout_of(const X86Segment *tr)
{
    return tr->attributes & 8 ? &layout32 : &layout16;
}

static uint32_t load(SoftCpu *cpu, const X86Segment *tr, unsigned offset, unsigned size)
{
    return (uint32_t)soft_load(cpu, (tr->base + offset) & cpu->linear_mask, size, ACCESS_SYSTEM);
}

static void store(SoftCpu *cpu, const X86Segment *tr, unsigned offset, unsigned size, uint32_t value)
{
    soft_store(cpu, (tr->base + offset) & cpu->linear_mask, size, size == 2 ? value & 0xffff : value,
               ACCESS_WRITE | ACCESS_SYSTEM);
}

/* ---- before the commit ---- */

static void read_task(SoftCpu *cpu, const SoftDescriptor *tss, Task *t)
{
    const Layout *l;

    soft_unpack_descriptor(tss, tss->selector, &t->tr);
    l = t->layout = layout_of(&t->tr);
    if (t->tr.limit < l->limit) {
        soft_raise_selector(cpu, VECTOR_TS, tss->selector);
    }
    t->ip = load(cpu, &t->tr, l->ip, l->size);
    t->flags = load(cpu, &t->tr, flags_at(l), l->size);
    for (unsigned i = 0; i < TASK_GPRS; i++) {
        t->gpr[i] = load(cpu, &t->tr, gpr_at(l, i), l->size) | (l->size == 2 ? 0xffff0000 : 0);
    }
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        t->selector[i] = i < l->segments ? (uint16_t)load(cpu, &t->tr, segment_at(l, i), 2) : 0;
    }
    t->ldt = (uint16_t)load(cpu, &t->tr, ldt_at(l), 2);
    t->cr3 = l->size == 4 ? load(cpu, &t->tr, TSS_CR3, 4) : 0;
    t->trap = l->size == 4 && load(cpu, &t->tr, TSS_TRAP, 2) & 1;
}

/* The old task's TSS may not be as large as its format wants, since LTR does not look at that. */
static void probe_writes(SoftCpu *cpu, const Task *t, const SoftDescriptor *tss, SoftTransfer kind)
{
    const Layout *l = layout_of(&cpu->tr);

    if (cpu->tr.limit < l->limit) {
        soft_raise_selector(cpu, VECTOR_TS, cpu->tr.selector);
    }
    soft_probe(cpu, (cpu->tr.base + l->ip) & cpu->linear_mask, ldt_at(l) - l->ip, ACCESS_WRITE | ACCESS_SYSTEM);
    if (kind == TRANSFER_CALL || kind == TRANSFER_EVENT) {
        soft_probe(cpu, t->tr.base & cpu->linear_mask, 2, ACCESS_WRITE | ACCESS_SYSTEM);
    }
    if (kind != TRANSFER_RETURN) {
        soft_probe(cpu, tss->linear, 8, ACCESS_WRITE | ACCESS_SYSTEM);
    }
}

static void save_task(SoftCpu *cpu, SoftTransfer kind)
{
    const X86Segment *tr = &cpu->tr;
    const Layout *l = layout_of(tr);
    bool event = kind == TRANSFER_EVENT;
    uint64_t flags = event ? soft_event_flags(cpu) : soft_get_rflags(cpu) & ~(uint64_t)EFLAGS_RF;

    if (kind == TRANSFER_RETURN) {
        flags &= ~(uint64_t)EFLAGS_NT;
    }
    store(cpu, tr, l->ip, l->size, (uint32_t)(event ? soft_event_return_ip(cpu) : cpu->next_ip));
    store(cpu, tr, flags_at(l), l->size, (uint32_t)flags);
    for (unsigned i = 0; i < TASK_GPRS; i++) {
        store(cpu, tr, gpr_at(l, i), l->size, (uint32_t)cpu->gpr[i]);
    }
    for (unsigned i = 0; i < l->segments; i++) {
        store(cpu, tr, segment_at(l, i), 2, cpu->segment[i].selector);
    }
}

/* Busy bits and back link, SDM 3-7.3 steps 6 to 10. */
static void link_tasks(SoftCpu *cpu, const Task *t, const SoftDescriptor *tss, SoftTransfer kind)
{
    SoftDescriptor old;

    if ((kind == TRANSFER_JUMP || kind == TRANSFER_RETURN) && soft_read_descriptor(cpu, cpu->tr.selector, &old)) {
        soft_mark_busy(cpu, &old, false);
    }
    if (kind == TRANSFER_CALL || kind == TRANSFER_EVENT) {
        store(cpu, &t->tr, 0, 2, cpu->tr.selector);
    }
    if (kind != TRANSFER_RETURN) {
        soft_mark_busy(cpu, tss, true);
    }
}

/* ---- the commit ---- */

static void commit_task(SoftCpu *cpu, const Task *t)
{
    uint32_t flags = t->flags;

    if (t->layout->size == 4 && cpu->cr0 & CR0_PG) {
        soft_set_cr3(cpu, t->cr3, false);
    }
    cpu->dr7 &= ~DR7_LOCAL;
    cpu->cr0 |= CR0_TS;
    cpu->tr = t->tr;
    cpu->tr.attributes |= SYSTEM_TYPE_BUSY;
    cpu->ldt = (X86Segment){ t->ldt, X86_SEG_UNUSABLE, 0, 0 };
    for (unsigned i = 0; i < TASK_GPRS; i++) {
        cpu->gpr[i] = t->gpr[i];
    }
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        cpu->segment[i] = (X86Segment){ t->selector[i], X86_SEG_UNUSABLE, 0, 0 };
    }
    cpu->cpl = flags & EFLAGS_VM ? 3 : t->selector[X86_CS] & SELECTOR_RPL;
    cpu->rip = cpu->ip = cpu->next_ip = t->ip;
    cpu->block = NULL; /* ip is no longer in it */
    soft_set_rflags(cpu, cpu->dr7 & 0xff ? flags : flags & ~(uint32_t)EFLAGS_RF);
}

/* ---- in the new task ---- */

static void load_ldt(SoftCpu *cpu)
{
    uint16_t selector = cpu->ldt.selector;
    SoftDescriptor d;

    if (selector_is_null(selector)) {
        return;
    }
    if (selector & SELECTOR_TI || !soft_read_descriptor(cpu, selector, &d) || !descriptor_is_system(&d) ||
        descriptor_type(&d) != SYSTEM_LDT || !descriptor_is_present(&d)) {
        soft_raise_selector(cpu, VECTOR_TS, selector);
    }
    soft_unpack_descriptor(&d, selector, &cpu->ldt);
}

static void load_code(SoftCpu *cpu)
{
    uint16_t selector = cpu->segment[X86_CS].selector;
    SoftDescriptor d;

    if (selector_is_null(selector) || !soft_read_descriptor(cpu, selector, &d) || !descriptor_is_code(&d) ||
        (descriptor_is_conforming(&d) ? descriptor_dpl(&d) > cpu->cpl : descriptor_dpl(&d) != cpu->cpl)) {
        soft_raise_selector(cpu, VECTOR_TS, selector);
    }
    if (!descriptor_is_present(&d)) {
        soft_raise_selector(cpu, VECTOR_NP, selector);
    }
    soft_mark_accessed(cpu, &d);
    soft_unpack_descriptor(&d, selector, &cpu->segment[X86_CS]);
}

static void load_stack_and_data(SoftCpu *cpu)
{
    static const uint8_t data[] = { X86_DS, X86_ES, X86_FS, X86_GS };
    SoftDescriptor d;

    soft_read_stack_descriptor(cpu, cpu->segment[X86_SS].selector, cpu->cpl, VECTOR_TS, &d);
    soft_mark_accessed(cpu, &d);
    soft_unpack_descriptor(&d, d.selector, &cpu->segment[X86_SS]);
    for (unsigned i = 0; i < sizeof(data); i++) {
        uint16_t selector = cpu->segment[data[i]].selector;

        if (!selector_is_null(selector)) {
            soft_read_data_descriptor(cpu, selector, cpu->cpl, VECTOR_TS, &d);
            soft_mark_accessed(cpu, &d);
            soft_unpack_descriptor(&d, selector, &cpu->segment[data[i]]);
        }
    }
}

static void load_segments(SoftCpu *cpu)
{
    load_ldt(cpu);
    if (cpu->eflags & EFLAGS_VM) {
        for (unsigned i = 0; i < X86_SEGMENTS; i++) {
            soft_set_paragraph(cpu, i, cpu->segment[i].selector);
        }
    } else {
        load_code(cpu);
        load_stack_and_data(cpu);
    }
    soft_update_mode(cpu);
}

static void raise_task_trap(SoftCpu *cpu)
{
    SoftEvent event = { .kind = EVENT_TRAP, .vector = VECTOR_DB, .dr6 = DR6_BT };

    cpu->in_delivery = false; /* what switched the tasks is delivered */
    soft_raise_event(cpu, &event);
}

void soft_task_switch(SoftCpu *cpu, const SoftDescriptor *tss, SoftTransfer kind)
{
    Task task;

    read_task(cpu, tss, &task);
    probe_writes(cpu, &task, tss, kind);
    save_task(cpu, kind);
    link_tasks(cpu, &task, tss, kind);
    if (kind == TRANSFER_CALL || kind == TRANSFER_EVENT) {
        task.flags |= EFLAGS_NT;
    }
    commit_task(cpu, &task);
    load_segments(cpu);
    if (kind == TRANSFER_EVENT && cpu->delivering.has_error) {
        soft_push(cpu, cpu->delivering.error, task.layout->size);
    }
    if (task.ip > cpu->segment[X86_CS].limit) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    if (task.trap) {
        raise_task_trap(cpu);
    }
}

/* ---- which TSS ---- */

void soft_read_available_tss(SoftCpu *cpu, uint16_t selector, SoftDescriptor *ret)
{
    if (selector_is_null(selector) || selector & SELECTOR_TI || !soft_read_descriptor(cpu, selector, ret) ||
        !descriptor_is_system(ret) || (descriptor_type(ret) != SYSTEM_TSS16 && descriptor_type(ret) != SYSTEM_TSS32)) {
        soft_raise_selector(cpu, VECTOR_GP, selector);
    }
    if (!descriptor_is_present(ret)) {
        soft_raise_selector(cpu, VECTOR_NP, selector);
    }
}

void soft_task_return(SoftCpu *cpu)
{
    uint16_t selector = (uint16_t)load(cpu, &cpu->tr, 0, 2);
    SoftDescriptor tss;

    if (selector & SELECTOR_TI || !soft_read_descriptor(cpu, selector, &tss) || !descriptor_is_system(&tss) ||
        (descriptor_type(&tss) != SYSTEM_TSS16_BUSY && descriptor_type(&tss) != SYSTEM_TSS32_BUSY)) {
        soft_raise_selector(cpu, VECTOR_TS, selector);
    }
    if (!descriptor_is_present(&tss)) {
        soft_raise_selector(cpu, VECTOR_NP, selector);
    }
    soft_task_switch(cpu, &tss, TRANSFER_RETURN);
}
