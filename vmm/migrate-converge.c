/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Capability auto-converge: a guest that writes to memory faster than it can be carried away is slowed down
 * (vmm/vcpu-throttle.c), step by step, as the parameters say.  What counts is what is dirty after a pass against what
 * went out in it, as QEMU does it; twice too much makes a step.
 *
 * The migration's thread.
 */
#include "vmm/error.h"
#include "vmm/migrate-internal.h"

#define TOO_OFTEN 2

/* tailslow: not further than to what the guest could write if it wrote as much as went out. */
static unsigned next_step(const MigrateThrottle *t, unsigned now, uint64_t dirty, uint64_t bearable)
{
    unsigned share = 100 - now, step = __atomic_load_n(&t->increment, __ATOMIC_RELAXED);

    if (!now) {
        return __atomic_load_n(&t->initial, __ATOMIC_RELAXED);
    }
    if (__atomic_load_n(&t->tailslow, __ATOMIC_RELAXED)) {
        step = MIN(step, share - (unsigned)((double)share * (double)bearable / (double)dirty));
    }
    return MIN(now + step, (unsigned)__atomic_load_n(&t->max, __ATOMIC_RELAXED));
}

static bool step_throttle(Migration *m, GError **error)
{
    vcpus_throttle(m->domain, m->throttle);
    return true;
}

bool migrate_converge(Migration *m, uint64_t dirty, uint64_t sent, GError **error)
{
    const MigrateThrottle *t = &m->control->parameters.throttle;
    uint64_t bearable = sent * __atomic_load_n(&t->trigger, __ATOMIC_RELAXED) / 100;

    if (!m->control->capability[MIGRATE_AUTO_CONVERGE] || dirty <= bearable || ++m->too_dirty < TOO_OFTEN) {
        return true;
    }
    m->too_dirty = 0;
    m->throttle = next_step(t, vcpus_throttled(m->domain), dirty, bearable);
    return migration_on_main(m, step_throttle, error);
}
