/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's vectors: how interrupts are accepted, ordered, taken and ended
 * (SDM volume 3, 11.8), and its local sources (11.5).
 *
 * Left out: the focus processor (no processor since the Pentium 4 has it), remote IRR
 * and level-triggered delivery of LINT0 and LINT1 (they interrupt at their rising
 * edge), the performance and thermal sources (nothing raises them).
 *
 * Locking: none.  IRR, TMR and the errors are atomics, which any thread may set;
 * ISR and TPR are written by the CPU's thread and read by senders that look for the
 * lowest priority, who may be late.
 */
#include "vmm/x86/lapic-priv.h"

#define EXCEPTIONS 16 /* vectors below are not for interrupts */
#define CLASS      0xf0u

/* ---- sets of vectors ---- */

int lapic_vectors_highest(const VectorSet *set)
{
    for (int i = G_N_ELEMENTS(set->word) - 1; i >= 0; i--) {
        uint64_t word = __atomic_load_n(&set->word[i], __ATOMIC_SEQ_CST);

        if (word) {
            return 64 * i + 63 - __builtin_clzll(word);
        }
    }
    return -1;
}

static bool has_vector(const VectorSet *set, uint8_t vector)
{
    return __atomic_load_n(&set->word[vector / 64], __ATOMIC_SEQ_CST) >> vector % 64 & 1;
}

static void put_vector(VectorSet *set, uint8_t vector, bool on)
{
    uint64_t bit = UINT64_C(1) << vector % 64;

    if (on) {
        __atomic_fetch_or(&set->word[vector / 64], bit, __ATOMIC_SEQ_CST);
    } else {
        __atomic_fetch_and(&set->word[vector / 64], ~bit, __ATOMIC_SEQ_CST);
    }
}

/* ---- priorities: SDM 3-11.8.3 ---- */

unsigned lapic_priority(const Lapic *apic)
{
    unsigned tpr = __atomic_load_n(&apic->tpr, __ATOMIC_RELAXED);
    int vector = lapic_vectors_highest(&apic->isr);
    unsigned service = vector < 0 ? 0 : (unsigned)vector & CLASS;

    return (tpr & CLASS) >= service ? tpr : service;
}

/* The vector to be taken now; -1: none. */
static int pending(const Lapic *apic)
{
    int vector = lapic_is_on(apic) ? lapic_vectors_highest(&apic->irr) : -1;

    return vector >= 0 && ((unsigned)vector & CLASS) > (lapic_priority(apic) & CLASS) ? vector : -1;
}

bool lapic_takes_extint(const Lapic *apic)
{
    uint32_t lint0 = __atomic_load_n(&apic->lvt[(APIC_LVT_LINT0 - APIC_LVT_TIMER) >> 4], __ATOMIC_RELAXED);

    if (!lapic_is_on(apic)) {
        return apic->bsp; /* the pin is INTR then, and wired to this one */
    }
    return !(lint0 & LVT_MASKED) && (lint0 >> LVT_MODE_SHIFT & 7) == DELIVER_EXTINT;
}

static bool extint_pending(const Lapic *apic)
{
    return __atomic_load_n(&apic->extint_message, __ATOMIC_SEQ_CST) ||
           (__atomic_load_n(&apic->bus->extint, __ATOMIC_SEQ_CST) && lapic_takes_extint(apic));
}

/* After anything that may let an interrupt through. */
static void look_again(Lapic *apic)
{
    if (pending(apic) >= 0 || extint_pending(apic)) {
        apic->bus->ops->interrupt(apic->cpu);
    }
}

/* ---- acceptance ---- */

static void accept_fixed(Lapic *apic, uint8_t vector, bool level)
{
    if (!lapic_is_enabled(apic)) {
        return;
    }
    if (vector < EXCEPTIONS) {
        lapic_raise_error(apic, ERROR_RECEIVED_VECTOR);
        return;
    }
    if (has_vector(&apic->tmr, vector) != level) {
        put_vector(&apic->tmr, vector, level);
    }
    put_vector(&apic->irr, vector, true);
    apic->bus->ops->interrupt(apic->cpu);
}

void lapic_accept(Lapic *apic, unsigned mode, uint8_t vector, bool level)
{
    const LapicOps *ops = apic->bus->ops;

    switch (mode) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        accept_fixed(apic, vector, level);
        break;
    case DELIVER_SMI:
        ops->smi(apic->cpu);
        break;
    case DELIVER_NMI:
        ops->nmi(apic->cpu);
        break;
    case DELIVER_INIT:
        ops->init(apic->cpu);
        break;
    case DELIVER_SIPI:
        ops->sipi(apic->cpu, vector);
        break;
    case DELIVER_EXTINT:
        __atomic_store_n(&apic->extint_message, true, __ATOMIC_SEQ_CST);
        ops->interrupt(apic->cpu);
        break;
    default: /* reserved */
        break;
    }
}

void lapic_local(Lapic *apic, unsigned lvt_offset)
{
    uint32_t lvt = __atomic_load_n(lapic_lvt(apic, lvt_offset), __ATOMIC_SEQ_CST);
    bool has_mode = lvt_offset != APIC_LVT_TIMER && lvt_offset != APIC_LVT_ERROR;

    if (!(lvt & LVT_MASKED) && lapic_is_on(apic)) {
        lapic_accept(apic, has_mode ? lvt >> LVT_MODE_SHIFT & 7 : DELIVER_FIXED, (uint8_t)(lvt & LVT_VECTOR), false);
    }
}

void lapic_raise_error(Lapic *apic, uint32_t error)
{
    if ((__atomic_fetch_or(&apic->errors, error, __ATOMIC_SEQ_CST) & error) != error) {
        lapic_local(apic, APIC_LVT_ERROR);
    }
}

/* ---- the CPU's side ---- */

static int acknowledge_extint(Lapic *apic)
{
    LapicBus *bus = apic->bus;
    bool message = __atomic_exchange_n(&apic->extint_message, false, __ATOMIC_SEQ_CST);
    bool pin = __atomic_load_n(&bus->extint, __ATOMIC_SEQ_CST) && lapic_takes_extint(apic);
    int (*acknowledge)(void *opaque) = __atomic_load_n(&bus->acknowledge, __ATOMIC_ACQUIRE);

    return acknowledge && (message || pin) ? acknowledge(bus->acknowledge_opaque) : -1;
}

int lapic_acknowledge(Lapic *apic)
{
    int vector = pending(apic);

    if (vector >= 0) {
        put_vector(&apic->irr, (uint8_t)vector, false);
        put_vector(&apic->isr, (uint8_t)vector, true);
    } else {
        vector = acknowledge_extint(apic);
    }
    if (vector >= 0) {
        look_again(apic);
    }
    return vector;
}

void lapic_end_of_interrupt(Lapic *apic)
{
    LapicBus *bus = apic->bus;
    int vector = lapic_vectors_highest(&apic->isr);

    if (vector < 0) {
        return;
    }
    put_vector(&apic->isr, (uint8_t)vector, false);
    if (has_vector(&apic->tmr, (uint8_t)vector) && !(apic->svr & SVR_NO_BROADCAST) && bus->eoi) {
        bus->eoi(bus->eoi_opaque, (uint8_t)vector);
    }
    look_again(apic);
}

void lapic_set_tpr(Lapic *apic, uint32_t value)
{
    __atomic_store_n(&apic->tpr, value & 0xff, __ATOMIC_RELAXED);
    look_again(apic);
}

uint64_t lapic_cr8(const Lapic *apic)
{
    return apic->tpr >> 4;
}

void lapic_set_cr8(Lapic *apic, uint64_t value)
{
    lapic_set_tpr(apic, (uint32_t)(value & 15) << 4);
}
