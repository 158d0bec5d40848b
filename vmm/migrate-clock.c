/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clocks of a domain that goes on after it was restored or moved: for the time that it
 * stood still they are all set on together (guest time and with it the timers of devices,
 * kvmclock, every TSC), so the guest's monotonic clock goes on by as much as the world's, its
 * wall clock is right, and no clock disagrees with another.
 *
 * The world's clock may have been set meanwhile, or differ between two hosts: time never goes
 * back.  Under -icount time is the count's own.  Main thread.
 */
#include "vmm/domain-internal.h"
#include "vmm/log.h"

#define MSR_TSC 0x10

/* Interrupts that came to the local APIC since the load are in the accelerator only, so it is asked again; its TSC
 * may have run since. */
static bool set_tsc_on(Vcpu *vcpu, int64_t behind_ns, GError **error)
{
    const uint64_t *loaded = x86_cpu_msr(&vcpu->cpu, MSR_TSC);
    uint64_t tsc = (loaded ? *loaded : 0) + (uint64_t)((unsigned __int128)behind_ns * vcpu->cpu.tsc_khz / 1000000);

    vcpu->fetched = vcpu->dirty;
    if (!vcpu_fetch(vcpu, error)) {
        return false;
    }
    x86_cpu_set_msr(&vcpu->cpu, MSR_TSC, tsc);
    vcpu->full = true;
    vcpu_set_dirty(vcpu);
    return true;
}

void migrate_catch_up(Domain *domain)
{
    struct GuestTime *time = &domain->run.time;
    int64_t behind_ns = g_get_real_time() * 1000 - time->stopped_at_ns;
    g_autoptr(GError) error = NULL;

    if (!time->restored) {
        return;
    }
    time->restored = false;
    if (!time->stopped_at_ns || behind_ns <= 0 || clock_is_counted(domain->clock)) {
        return;
    }
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        if (!set_tsc_on(domain_vcpu(domain, i), behind_ns, &error)) {
            log_error(error);
            return;
        }
    }
    time->kvmclock_ns += (uint64_t)behind_ns;
    time->virtual_ns += behind_ns;
    clock_set(domain->clock, time->virtual_ns);
}
