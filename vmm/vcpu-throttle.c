/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slower vCPUs: a share of the time they do nothing, so that what they write to memory can be carried away
 * (auto-converge).  A timer of the main loop has each of them stay outside of the guest for a while, after it could run
 * for SLICE_NS; the accelerator knows nothing of it.  Who parks them does not wait for the end of a while.
 *
 * The domain's clocks go on: the guest sees what it would see on a host that is too busy.
 */
#include "vmm/domain-internal.h"
#include "vmm/timer.h"

#define SLICE_NS (10 * NS_PER_MS)

static void on_slice(void *opaque)
{
    Domain *domain = opaque;
    int64_t percent = domain->throttle.percent, now = clock_ns(clock_realtime);
    int64_t rest = SLICE_NS * percent / (100 - percent);

    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        vcpu_stay_out(domain_vcpu(domain, i), now + rest);
    }
    timer_mod(domain->throttle.timer, now + rest + SLICE_NS);
}

void vcpus_throttle(Domain *domain, unsigned percent)
{
    g_clear_pointer(&domain->throttle.timer, timer_free);
    __atomic_store_n(&domain->throttle.percent, MIN(percent, 99u), __ATOMIC_RELAXED);
    if (percent) {
        domain->throttle.timer = timer_new(domain_loop(domain), clock_realtime, on_slice, domain);
        on_slice(domain);
    } else {
        for (unsigned i = 0; i < domain_vcpus(domain); i++) {
            vcpu_stay_out(domain_vcpu(domain, i), 0);
        }
    }
}

unsigned vcpus_throttled(const Domain *domain)
{
    return __atomic_load_n(&domain->throttle.percent, __ATOMIC_RELAXED);
}
