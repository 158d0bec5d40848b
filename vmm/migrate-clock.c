/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clocks of a domain that goes on after it was saved, restored or moved, wherever that
 * is: for the time that it stood still they are all set on together (guest time and with it
 * PIT, HPET, PM timer and the timers of devices, kvmclock, every TSC, local APIC timers).
 *
 * So no clock goes back, none disagrees with another, and the guest's monotonic clock goes
 * on by as much as the world's did, which is what makes its wall clock right: a kernel
 * reckons its wall clock from its monotonic one, and asks the RTC or kvmclock for the time
 * only when it boots and when it wakes from a sleep that it went into itself.  One of the
 * two has to give way; who wants a monotonic clock that knows nothing of the time away
 * gives the domain a time of its own (-rtc clock=vm), and sets the guest's clock by its agent.
 *
 * A guest that takes its time from a counter which wraps meanwhile (the PM timer: 4.7 s; the
 * HPET as Linux reads it: 43 s) cannot see how often, and is behind by that.
 *
 * The world's clock may have been set meanwhile, or differ between two hosts: time never goes
 * back.  Under -icount time is the count's own.  Main thread.
 */
#include "vmm/bytes.h"
#include "vmm/domain-internal.h"
#include "vmm/log.h"
#include "vmm/machine.h"
#include "vmm/timer.h"

#define MSR_TSC 0x10

/* SDM 3-11.5.4 */
#define LVT_TIMER     0x320
#define LVT_PERIODIC  (1u << 17)
#define LVT_DEADLINE  (1u << 18)
#define INITIAL_COUNT 0x380
#define CURRENT_COUNT 0x390
#define DIVIDE        0x3e0

/* A timer that would have come meanwhile comes at once.  It counts nanoseconds, divided; a deadline is a time of the
 * TSC. */
static void set_lapic_timer_on(X86Cpu *cpu, uint64_t behind_ns)
{
    uint32_t mode = get32(cpu->lapic + LVT_TIMER), divide = get32(cpu->lapic + DIVIDE);
    unsigned shift = (((divide & 3) | (divide >> 1 & 4)) + 1) & 7;
    uint64_t period = (uint64_t)get32(cpu->lapic + INITIAL_COUNT) << shift;
    uint64_t left = (uint64_t)get32(cpu->lapic + CURRENT_COUNT) << shift;

    if ((mode & LVT_DEADLINE) || !period || !left) {
        return;
    }
    if (left > behind_ns) {
        left -= behind_ns;
    } else {
        left = mode & LVT_PERIODIC ? period - (behind_ns - left) % period : 0;
    }
    put32(cpu->lapic + CURRENT_COUNT, MAX((uint32_t)(left >> shift), 1));
}

/* Interrupts that came to the local APIC since the load are in the accelerator only, so it is asked again; its TSC
 * may have run since. */
static bool set_vcpu_on(Vcpu *vcpu, uint64_t behind_ns, GError **error)
{
    const uint64_t *loaded;
    uint64_t tsc;

    if (!vcpu_fetch(vcpu, error)) {
        return false;
    }
    loaded = x86_cpu_msr(&vcpu->cpu, MSR_TSC);
    tsc = (loaded ? *loaded : 0) + (uint64_t)((unsigned __int128)behind_ns * vcpu->cpu.tsc_khz / 1000000);
    vcpu->fetched = vcpu->dirty;
    if (!vcpu_fetch(vcpu, error)) {
        return false;
    }
    x86_cpu_set_msr(&vcpu->cpu, MSR_TSC, tsc);
    set_lapic_timer_on(&vcpu->cpu, behind_ns);
    vcpu->full = true;
    vcpu_set_dirty(vcpu);
    return true;
}

static bool has_time_of_its_own(const Domain *domain)
{
    return clock_is_counted(domain->clock) || (domain->machine && domain->machine->rtc.clock == RTC_CLOCK_VM);
}

static void set_time_on(Domain *domain, int64_t ns)
{
    struct GuestTime *time = &domain->run.time;

    time->kvmclock_ns += (uint64_t)ns;
    time->virtual_ns += ns;
    clock_set(domain->clock, time->virtual_ns);
}

void migrate_catch_up(Domain *domain)
{
    struct GuestTime *time = &domain->run.time;
    int64_t behind_ns = g_get_real_time() * 1000 - time->stopped_at_ns, now = clock_ns(clock_realtime);
    g_autoptr(GError) error = NULL;

    if (!time->restored) {
        return;
    }
    time->restored = false;
    if (!time->stopped_at_ns || behind_ns <= 0 || has_time_of_its_own(domain)) {
        return;
    }
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        if (!set_vcpu_on(domain_vcpu(domain, i), (uint64_t)behind_ns, &error)) {
            log_error(error);
            return;
        }
    }
    set_time_on(domain, behind_ns);
    time->caught_up_ns = now;
    vcpus_store(domain); /* before a device may send them an interrupt, which this would take back */
}

/* To put all of that in place has taken time, too. */
void migrate_catch_up_rest(Domain *domain)
{
    struct GuestTime *time = &domain->run.time;

    if (time->caught_up_ns) {
        set_time_on(domain, clock_ns(clock_realtime) - time->caught_up_ns);
        time->caught_up_ns = 0;
    }
}
