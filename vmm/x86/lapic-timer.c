/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's timer (SDM volume 3, 11.5.4): one-shot, periodic, TSC deadline.
 *
 * It counts at 1 GHz before its divider, as KVM's does, on the domain's clock.  A
 * deadline is turned into a time of that clock when it is set; if the two clocks have
 * drifted apart by then so that it would be early, it waits again.
 *
 * What differs from the manual, as in KVM: periods shorter than MIN_PERIOD_NS
 * interrupt that often only; a change of the divider keeps the present count.
 *
 * While the CPU runs, the loop waits for the timer; while it is halted, its own thread
 * does, so that an idle guest's ticks concern nobody else.
 *
 * Locking: apic->lock, by the CPU's registers and around the expiry.
 */
#include "vmm/x86/lapic-priv.h"

#define MIN_PERIOD_NS (50 * INT64_C(1000))
#define FOREVER_NS    (INT64_MAX / 4)
#define KHZ_NS        1000000u /* ns in as long as a clock of 1 kHz ticks once */

static unsigned mode_of(const Lapic *apic)
{
    return apic->lvt[0] >> LVT_TIMER_SHIFT & 3;
}

/* Bits 3, 1, 0 count from 2 to 128, and 7 is 1. */
static unsigned shift_of(const Lapic *apic)
{
    return (((apic->divide & 3) | (apic->divide >> 1 & 4)) + 1) & 7;
}

static int64_t ns_of(const Lapic *apic, uint32_t count)
{
    return (int64_t)count << shift_of(apic);
}

static int64_t now_ns(const Lapic *apic)
{
    return clock_ns(apic->bus->clock);
}

/* ---- counting; lock held ---- */

static void expire_at(Lapic *apic, int64_t ns)
{
    apic->own_wait_ns = 0;
    timer_mod(apic->timer, ns);
}

static void stop(Lapic *apic)
{
    apic->timer_ns = 0;
    apic->deadline = 0;
    apic->own_wait_ns = 0;
    timer_del(apic->timer);
}

static void count_down(Lapic *apic, uint32_t count)
{
    apic->timer_ns = now_ns(apic) + ns_of(apic, count);
    expire_at(apic, apic->timer_ns);
}

static uint32_t current_count(const Lapic *apic)
{
    int64_t period = ns_of(apic, apic->initial_count);
    int64_t left = apic->timer_ns - now_ns(apic);

    if (!apic->timer_ns || !period) {
        return 0;
    }
    if (left < 0) { /* the loop is late */
        left = mode_of(apic) == TIMER_PERIODIC ? period - 1 - (-left - 1) % period : 0;
    }
    return (uint32_t)(left >> shift_of(apic));
}

/* Interrupts if it has come, else waits for it. */
static void await_deadline(Lapic *apic)
{
    uint64_t tsc = apic->bus->ops->tsc(apic->cpu);
    unsigned __int128 ns;

    if (apic->deadline <= tsc) {
        stop(apic);
        lapic_local(apic, APIC_LVT_TIMER);
        return;
    }
    ns = (unsigned __int128)(apic->deadline - tsc) * KHZ_NS / MAX(apic->features.tsc_khz, 1) + 1;
    expire_at(apic, now_ns(apic) + (int64_t)MIN(ns, (unsigned __int128)FOREVER_NS));
}

static void expired(void *opaque)
{
    Lapic *apic = opaque;
    int64_t period = ns_of(apic, apic->initial_count), now = now_ns(apic);

    switch (mode_of(apic)) {
    case TIMER_DEADLINE:
        if (apic->deadline) {
            await_deadline(apic);
        }
        return;
    case TIMER_PERIODIC:
        if (!period) {
            return;
        }
        apic->timer_ns += MAX((now - apic->timer_ns) / period + 1, 1) * period;
        expire_at(apic, MAX(apic->timer_ns, now + MIN_PERIOD_NS));
        break;
    default:
        apic->timer_ns = 0;
        break;
    }
    lapic_local(apic, APIC_LVT_TIMER);
}

/* ---- the CPU waits itself ---- */

int64_t lapic_timer_begin_wait(Lapic *apic)
{
    int64_t deadline, until = INT64_MAX;

    lock_acquire(&apic->lock);
    deadline = timer_deadline(apic->timer);
    if (deadline != INT64_MAX) {
        until = clock_when(apic->bus->clock, deadline);
    }
    if (until != INT64_MAX) {
        timer_del(apic->timer);
        apic->own_wait_ns = deadline;
    }
    lock_release(&apic->lock);
    return until;
}

void lapic_timer_end_wait(Lapic *apic)
{
    int64_t deadline;

    lock_acquire(&apic->lock);
    deadline = apic->own_wait_ns;
    apic->own_wait_ns = 0;
    if (deadline && deadline <= now_ns(apic)) {
        expired(apic);
    } else if (deadline) {
        timer_mod(apic->timer, deadline);
    }
    lock_release(&apic->lock);
}

/* ---- registers ---- */

void lapic_timer_set_lvt(Lapic *apic, uint32_t value)
{
    unsigned mode = value >> LVT_TIMER_SHIFT & 3;

    lock_acquire(&apic->lock);
    if ((mode_of(apic) == TIMER_DEADLINE) != (mode == TIMER_DEADLINE)) {
        stop(apic);
        apic->initial_count = 0;
    }
    __atomic_store_n(&apic->lvt[0], value, __ATOMIC_SEQ_CST);
    lock_release(&apic->lock);
}

void lapic_timer_set_initial(Lapic *apic, uint32_t value)
{
    lock_acquire(&apic->lock);
    if (mode_of(apic) != TIMER_DEADLINE) {
        apic->initial_count = value;
        if (value) {
            count_down(apic, value);
        } else {
            stop(apic);
        }
    }
    lock_release(&apic->lock);
}

void lapic_timer_set_divide(Lapic *apic, uint32_t value)
{
    uint32_t count;

    lock_acquire(&apic->lock);
    count = current_count(apic);
    apic->divide = value & 0xb;
    if (apic->timer_ns) {
        count_down(apic, count);
    }
    lock_release(&apic->lock);
}

uint32_t lapic_timer_count(Lapic *apic)
{
    uint32_t count;

    lock_acquire(&apic->lock);
    count = current_count(apic);
    lock_release(&apic->lock);
    return count;
}

uint64_t lapic_timer_deadline(Lapic *apic)
{
    uint64_t deadline;

    lock_acquire(&apic->lock);
    deadline = apic->deadline;
    lock_release(&apic->lock);
    return deadline;
}

void lapic_timer_set_deadline(Lapic *apic, uint64_t tsc)
{
    lock_acquire(&apic->lock);
    if (mode_of(apic) == TIMER_DEADLINE) {
        apic->deadline = tsc;
        if (tsc) {
            await_deadline(apic);
        } else {
            stop(apic);
        }
    }
    lock_release(&apic->lock);
}

void lapic_tsc_changed(Lapic *apic)
{
    lock_acquire(&apic->lock);
    if (apic->deadline) {
        await_deadline(apic);
    }
    lock_release(&apic->lock);
}

/* ---- life ---- */

void lapic_timer_restore(Lapic *apic, uint32_t initial, uint32_t current, uint32_t divide, uint64_t deadline)
{
    lock_acquire(&apic->lock);
    stop(apic);
    apic->initial_count = initial;
    apic->divide = divide & 0xb;
    if (mode_of(apic) == TIMER_DEADLINE) {
        apic->deadline = deadline;
        if (deadline) {
            await_deadline(apic);
        }
    } else if (initial && (current || mode_of(apic) == TIMER_PERIODIC)) {
        count_down(apic, current ? MIN(current, initial) : initial);
    }
    lock_release(&apic->lock);
}

void lapic_timer_init(Lapic *apic)
{
    lock_init(&apic->lock, LOCK_LEAF, "local APIC timer");
    apic->timer = timer_new_locked(apic->bus->loop, apic->bus->clock, &apic->lock, expired, apic);
}

void lapic_timer_finish(Lapic *apic)
{
    lock_acquire(&apic->lock);
    timer_free(apic->timer);
    lock_release(&apic->lock);
}
