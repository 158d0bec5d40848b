/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest time that is a count of instructions (-icount shift=N): 2^N ns each, and as many
 * ticks of the TSC.  The same guest with the same input then runs the same way, at any
 * speed of the host.
 *
 * The vCPU's thread drives the domain's virtual clock.  It runs up to the next deadline of
 * any timer on that clock, then waits until the loops have run what is due, so a timer
 * always finds the same instruction done.  A guest that halts has nothing to count: its
 * time goes on as the host's does until the next deadline (sleep=on), or is there at once.
 *
 * What comes from outside (a key, a disk's data) comes when it comes.
 *
 * Threads: soft_count_run() is the vCPU's; the clock is read and moved by any.
 */
#include "vmm/accel-soft.h"

/* ---- the clock ---- */

static SoftVcpu *only_vcpu(SoftAccel *soft)
{
    return soft->vcpus->len ? soft->vcpus->pdata[0] : NULL;
}

static int64_t exact_ns(const SoftVcpu *sv)
{
    const SoftCount *count = &sv->soft->count;

    return (int64_t)(soft_cpu_count(sv->cpu) << count->shift) + count->base;
}

static int64_t counter_now(void *opaque)
{
    SoftAccel *soft = opaque;
    const SoftVcpu *sv = only_vcpu(soft);

    return sv && vcpu_current() == sv->vcpu ? exact_ns(sv) : __atomic_load_n(&soft->count.seen, __ATOMIC_ACQUIRE);
}

static void counter_set(void *opaque, int64_t ns)
{
    SoftAccel *soft = opaque;
    const SoftVcpu *sv = only_vcpu(soft);

    soft->count.base += ns - (sv ? exact_ns(sv) : soft->count.base);
    __atomic_store_n(&soft->count.seen, ns, __ATOMIC_RELEASE);
}

/* It looks at the deadlines anew. */
static void wake_vcpu(void *opaque)
{
    SoftVcpu *sv = only_vcpu(opaque);

    if (sv) {
        vcpu_kick(sv->vcpu);
    }
}

static const ClockCounter counter = {
    .now = counter_now, .set = counter_set, .earlier = wake_vcpu, .ran = wake_vcpu,
};

bool soft_count_init(Accel *accel, unsigned shift, bool sleep, GError **error)
{
    SoftAccel *soft = soft_of(accel);

    soft->count = (SoftCount) { .on = true, .sleep = sleep, .shift = shift };
    soft->count.alarm = timer_new(domain_loop(accel->domain), clock_realtime, wake_vcpu, soft);
    soft_vm_set_deterministic(soft->vm, 1u << shift);
    soft_clock_init(soft);
    clock_set_counter(domain_clock(accel->domain), &counter, soft);
    return true;
}

void soft_count_finish(SoftAccel *soft)
{
    if (soft->count.on) {
        timer_free(soft->count.alarm);
        clock_set_counter(domain_clock(soft->accel.domain), NULL, NULL); /* posts may still end */
    }
}

/* ---- running ---- */

/* Time passes without instructions. */
static void skip(SoftVcpu *sv, int64_t ns)
{
    sv->soft->count.base += ns;
    soft_cpu_set_tsc_offset(sv->cpu, soft_cpu_tsc_offset(sv->cpu) + (uint64_t)ns);
}

static int64_t publish(SoftVcpu *sv)
{
    int64_t now = exact_ns(sv);

    __atomic_store_n(&sv->soft->count.seen, now, __ATOMIC_RELEASE);
    return now;
}

/* The deadline is not due yet. */
static void fall_asleep(SoftVcpu *sv, int64_t until)
{
    SoftCount *count = &sv->soft->count;

    if (count->sleep) {
        count->asleep_since = clock_ns(clock_realtime);
    }
    if (until == INT64_MAX) {
        return;
    }
    if (count->sleep) {
        timer_mod(count->alarm, count->asleep_since + until - exact_ns(sv));
    } else {
        skip(sv, until - exact_ns(sv));
    }
}

/* No further than to the deadline, which may have come nearer. */
static void wake_up(SoftVcpu *sv, int64_t until)
{
    SoftCount *count = &sv->soft->count;
    int64_t now = exact_ns(sv), slept = clock_ns(clock_realtime) - count->asleep_since;

    if (count->asleep_since) {
        timer_del(count->alarm);
        count->asleep_since = 0;
        if (until > now) {
            skip(sv, MIN(slept, until - now));
        }
    }
}

SoftExit soft_count_run(SoftVcpu *sv)
{
    SoftCount *count = &sv->soft->count;
    Clock *clock = domain_clock(sv->vcpu->domain);
    int64_t until = clock_next_deadline(clock), now;
    SoftExit why;

    wake_up(sv, until);
    now = publish(sv);
    if (until <= now) { /* until they have run */
        clock_allow(clock, now);
        return SOFT_EXIT_HALTED;
    }
    clock_hold(clock);
    soft_cpu_limit(sv->cpu, until == INT64_MAX ? 0 : ((uint64_t)(until - now - 1) >> count->shift) + 1);
    why = soft_run(sv->cpu);
    until = clock_next_deadline(clock);
    if (why == SOFT_EXIT_HALTED && until > exact_ns(sv)) {
        fall_asleep(sv, until);
    }
    now = publish(sv);
    if (until <= now) {
        clock_allow(clock, now);
        return why == SOFT_EXIT_KICKED ? SOFT_EXIT_HALTED : why;
    }
    return why;
}
