/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "runstate-rig.h"

static bool build(Machine *machine, GError **error)
{
    return true;
}

const MachineClass runstate_rig_class = {
    .name = "bare", .desc = "vCPUs only", .max_cpus = 8, .default_cpu = "qemu64,check=off", .default_ram = 1 << 20,
    .options = &machine_options, .build = build,
};

void runstate_rig_note(Domain *domain, RunEvent event, RequestReason reason, void *opaque)
{
    static const char letters[] = "sRr!pzwPe"; /* in the order of RunEvent */

    g_string_append_c(((Fixture *)opaque)->events, letters[event]);
}

int runstate_rig_set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    Machine *machine;

    f->events = g_string_new(NULL);
    f->domain = domain_new("test", NULL);
    f->fake = fake_accel_new(f->domain);
    machine = machine_new(f->domain, &runstate_rig_class);
    domain_set_machine(f->domain, machine);
    assert_true(machine_set_smp(machine, "4", NULL));
    assert_true(machine_build(machine, NULL));
    domain_observe(f->domain, runstate_rig_note, f);
    *state = f;
    return 0;
}

int runstate_rig_set_up_final(void **state)
{
    runstate_rig_set_up(state);
    return machine_finalize(domain_machine(((Fixture *)*state)->domain), NULL) ? 0 : -1;
}

int runstate_rig_tear_down(void **state)
{
    Fixture *f = *state;

    domain_free(f->domain);
    g_string_free(f->events, TRUE);
    g_free(f);
    return 0;
}

void wait_inside(Fixture *f, unsigned n)
{
    pthread_mutex_lock(&f->fake->mutex);
    while (f->fake->inside != n) {
        pthread_cond_wait(&f->fake->cond, &f->fake->mutex);
    }
    pthread_mutex_unlock(&f->fake->mutex);
}

void run_until(Fixture *f, RunState state)
{
    while (domain_run_state(f->domain) != state) {
        loop_run_once(domain_loop(f->domain), true);
    }
}

void run_until_events(Fixture *f, const char *events)
{
    while (f->events->len < strlen(events)) {
        loop_run_once(domain_loop(f->domain), true);
    }
    assert_string_equal(f->events->str, events);
}

void start(Fixture *f)
{
    assert_true(domain_cont(f->domain, NULL));
    wait_inside(f, CPUS);
}
