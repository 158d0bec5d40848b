/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of interrupts and exceptions (SDM 3-6, 2A INT n): what all modes share.
 *
 * An exception during a delivery comes back here by the run loop: cpu->event is the new
 * one, cpu->delivering the one before.  They combine as table 6-5 says, or the new one is
 * handled as if nothing had been before; up to #DF, after which there is only the shutdown
 * state.
 *
 * Which instruction they return to: faults to the present one (cpu->ip), all others to
 * the next (cpu->next_ip); the run loop makes both cpu->rip before what comes from outside.
 * A delivery that fails is a fault of the same instruction, or of the next, if the present
 * one was complete (traps).
 */
#include "vmm/x86/soft/trace.h"
#include "vmm/x86/soft/transfer.h"

/* ---- two at a time ---- */

typedef enum Class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT } Class;

/* SDM 3-6.15 table 6-4. */
static Class event_class(const SoftEvent *e)
{
    const uint32_t contributory = 1 << VECTOR_DE | 1 << VECTOR_TS | 1 << VECTOR_NP | 1 << VECTOR_SS | 1 << VECTOR_GP;

    if (e->kind != EVENT_FAULT || e->vector > 31) {
        return BENIGN;
    }
    if (e->vector == VECTOR_DF) {
        return DOUBLE_FAULT;
    }
    return e->vector == VECTOR_PF ? PAGE_FAULT : contributory >> e->vector & 1 ? CONTRIBUTORY : BENIGN;
}

static _Noreturn void shut_down(SoftCpu *cpu)
{
    cpu->in_delivery = false;
    cpu->shutdown = true;
    cpu->rip = cpu->ip;
    soft_update_attention(cpu);
    soft_leave(cpu, SOFT_EXIT_TRIPLE_FAULT);
}

/* SDM 3-6.15 table 6-5; and the EXT bit of what was not the program's own doing, 3-6.13. */
static void combine(SoftCpu *cpu, SoftEvent *second)
{
    Class first_class = event_class(&cpu->delivering), second_class = event_class(second);

    if (first_class == DOUBLE_FAULT && second_class != BENIGN) {
        shut_down(cpu);
    }
    if ((first_class == CONTRIBUTORY && second_class == CONTRIBUTORY) ||
        (first_class == PAGE_FAULT && (second_class == CONTRIBUTORY || second_class == PAGE_FAULT))) {
        *second = (SoftEvent){ .kind = EVENT_FAULT, .vector = VECTOR_DF, .has_error = true };
    } else if (second->vector >= VECTOR_TS && second->vector <= VECTOR_GP && second->has_error &&
               cpu->delivering.kind != EVENT_SOFTWARE_INT) {
        second->error |= 1;
    }
}

/* ---- what an event is to be delivered with ---- */

uint64_t soft_event_return_ip(const SoftCpu *cpu)
{
    return cpu->delivering.kind == EVENT_FAULT ? cpu->ip : cpu->next_ip;
}

/* RF is set for faults, so that an instruction breakpoint does not stop the return: but for the fault that such a
 * breakpoint is (its handler decides), SDM 3-17.3.1.1. */
uint64_t soft_event_flags(const SoftCpu *cpu)
{
    const SoftEvent *e = &cpu->delivering;
    uint64_t flags = soft_get_rflags(cpu);

    if (e->kind == EVENT_SOFTWARE_INT || e->kind == EVENT_ICEBP) {
        return flags & ~(uint64_t)EFLAGS_RF;
    }
    if (e->kind == EVENT_FAULT && (e->vector != VECTOR_DB || e->dr6 & DR6_BD)) {
        return flags | EFLAGS_RF;
    }
    return flags;
}

uint32_t soft_event_idt_error(const SoftCpu *cpu)
{
    return cpu->delivering.vector * 8u + 2;
}

/* Traps that waited (for the end of a MOV SS) come with it. */
static void set_debug_status(SoftCpu *cpu, uint64_t dr6)
{
    dr6 |= cpu->debug_pending;
    cpu->debug_pending = 0;
    if (dr6) {
        cpu->dr6 = (cpu->dr6 & ~DR6_B) | dr6;
    }
    cpu->dr7 &= ~DR7_GD;
}

/* What happens whether the delivery succeeds or not. */
static void begin(SoftCpu *cpu, SoftEvent *e)
{
    if (e->kind == EVENT_FAULT && e->vector == VECTOR_PF) {
        cpu->cr2 = e->cr2;
    }
    if (cpu->in_delivery) {
        combine(cpu, e);
    } else if (e->kind == EVENT_TRAP) {
        cpu->ip = cpu->next_ip;
    }
    if (e->kind == EVENT_NMI) {
        cpu->nmi_masked = true;
    }
    if (e->vector == VECTOR_DB && (e->kind == EVENT_FAULT || e->kind == EVENT_TRAP || e->kind == EVENT_ICEBP)) {
        set_debug_status(cpu, e->dr6);
    }
    if (UNLIKELY(cpu->vm->trace)) {
        soft_trace_event(cpu);
    }
}

void soft_deliver(SoftCpu *cpu)
{
    begin(cpu, &cpu->event);
    cpu->delivering = cpu->event;
    cpu->in_delivery = true;
    cpu->shadow = false;
    cpu->halted = false; /* the single step after HLT ends it, too */
    if (!(cpu->cr0 & CR0_PE)) {
        soft_deliver_real(cpu);
    } else if (soft_in_long_mode(cpu)) {
        soft_deliver_long(cpu);
    } else {
        soft_deliver_protected(cpu);
    }
    cpu->in_delivery = false;
}
