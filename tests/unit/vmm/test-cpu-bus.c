/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/cpu-bus.c: where a CPU may be plugged in, and in which state its thread is then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rig.h"
#include "vmm/domain-internal.h"
#include "vmm/error.h"

#define CPU "qemu64-x86_64-cpu"

static Rig *rig(void **state)
{
    return *state;
}

/* A controller that writes down what it is told: + came, ! came to a running guest, ? is asked for, - went. */
static GString *told;

static void came(void *opaque, const Vcpu *vcpu, bool hot)
{
    g_string_append_printf(told, "%c%u", hot ? '!' : '+', vcpu->index);
}

static void ask(void *opaque, const Vcpu *vcpu)
{
    g_string_append_printf(told, "?%u", vcpu->index);
}

static void went(void *opaque, const Vcpu *vcpu)
{
    g_string_append_printf(told, "-%u", vcpu->index);
}

static const CpuHotplugOps ops = { .came = came, .ask = ask, .went = went };

static int setup(void **state)
{
    Rig *r = rig_new_cpus("2,maxcpus=8,sockets=2,dies=2,cores=2,threads=1");

    told = g_string_new(NULL);
    cpu_bus_set_controller(&r->machine->cpus, &ops, NULL);
    *state = r;
    return 0;
}

static int setup_running(void **state)
{
    setup(state);
    assert_true(machine_finalize(rig(state)->machine, NULL));
    assert_true(domain_cont(rig(state)->domain, NULL));
    return 0;
}

static int teardown(void **state)
{
    cpu_bus_set_controller(&rig(state)->machine->cpus, NULL, NULL);
    rig_free(*state);
    g_string_free(told, TRUE);
    return 0;
}

static Device *try_plug(void **state, const char *text, GError **error)
{
    g_autoptr(Json) options = keyval_parse(text, "driver", NULL);

    return device_add(rig(state)->domain, options, error);
}

static void plug(void **state, const char *text)
{
    assert_non_null(try_plug(state, text, NULL));
}

static void assert_refused(void **state, const char *text, const char *reason)
{
    g_autoptr(GError) error = NULL;
    unsigned before = domain_vcpus(rig(state)->domain);

    assert_null(try_plug(state, text, &error));
    assert_non_null(error);
    assert_non_null(strstr(error->message, reason));
    assert_int_equal(domain_vcpus(rig(state)->domain), before);
}

static Vcpu *newest(void **state)
{
    return domain_vcpu(rig(state)->domain, domain_vcpus(rig(state)->domain) - 1);
}

static bool is_parked(Vcpu *vcpu)
{
    bool parked;

    pthread_mutex_lock(&vcpu->mutex);
    parked = vcpu->parked;
    pthread_mutex_unlock(&vcpu->mutex);
    return parked;
}

/* ---- places ---- */

static void test_a_place_is_a_number_and_an_apic_id(void **state)
{
    plug(state, CPU ",id=c,socket-id=1,die-id=0,core-id=1,thread-id=0");
    assert_int_equal(newest(state)->index, 5);
    assert_int_equal(newest(state)->apic_id, cpu_topology_apic_id(&rig(state)->machine->topology, 5));
    assert_string_equal(newest(state)->dev->path, "/machine/peripheral/c");
}

static void test_an_apic_id_is_a_place_too(void **state)
{
    plug(state, CPU ",apic-id=7");
    assert_int_equal(newest(state)->index, 7);
    assert_string_equal(newest(state)->dev->path, "/machine/peripheral-anon/device[0]");
    assert_refused(state, CPU ",apic-id=8", "Invalid CPU with APIC ID 8, valid index range 0:7");
    assert_refused(state, CPU ",apic-id=6,core-id=1", "property core-id: 1 does not match CPU 6, whose core-id is 0");
}

static void test_every_level_has_to_be_said(void **state)
{
    assert_refused(state, CPU, "CPU socket-id is not set");
    assert_refused(state, CPU ",socket-id=1", "CPU die-id is not set");
    assert_refused(state, CPU ",socket-id=1,die-id=0", "CPU core-id is not set");
    assert_refused(state, CPU ",socket-id=1,die-id=0,core-id=0", "CPU thread-id is not set");
}

static void test_levels_have_bounds(void **state)
{
    assert_refused(state, CPU ",socket-id=2,die-id=0,core-id=0,thread-id=0", "CPU socket-id: 2 must be in range 0:1");
    assert_refused(state, CPU ",socket-id=1,die-id=2,core-id=0,thread-id=0", "CPU die-id: 2 must be in range 0:1");
    assert_refused(state, CPU ",socket-id=1,die-id=0,core-id=2,thread-id=0", "CPU core-id: 2 must be in range 0:1");
    assert_refused(state, CPU ",socket-id=1,die-id=0,core-id=0,thread-id=1", "CPU thread-id: 1 must be in range 0:0");
    assert_refused(state, CPU ",socket-id=1,die-id=0,core-id=0,thread-id=0,node-id=1", "property node-id: 1 does not");
}

static void test_a_place_is_taken_once(void **state)
{
    assert_refused(state, CPU ",socket-id=0,die-id=0,core-id=1,thread-id=0", "CPU[1] with APIC ID 1 exists");
}

static void test_cpus_are_what_the_machine_has(void **state)
{
    assert_refused(state, "max-x86_64-cpu,apic-id=7", "Invalid CPU type, expected cpu type: 'qemu64-x86_64-cpu'");
    assert_refused(state, "x86_64-cpu,apic-id=7", "Invalid CPU type");
    assert_refused(state, "qemu65-x86_64-cpu,apic-id=7", "'qemu65-x86_64-cpu' is not a valid device model name");
    assert_refused(state, CPU ",apic-id=7,level=3", "Property 'x86_64-cpu.level' not found");
}

/* ---- threads ---- */

static void test_before_the_machine_is_complete_there_is_no_thread(void **state)
{
    plug(state, CPU ",apic-id=7");
    assert_int_equal(newest(state)->tid, 0);
    assert_string_equal(told->str, "+7");
    assert_true(machine_finalize(rig(state)->machine, NULL));
    assert_true(is_parked(newest(state)));
}

static void test_one_that_comes_to_a_running_domain_runs(void **state)
{
    unsigned stores;

    stores = fake_accel(rig(state)->domain)->stores;
    plug(state, CPU ",apic-id=7");
    assert_string_equal(told->str, "!7");
    assert_int_not_equal(newest(state)->tid, 0);
    assert_false(is_parked(newest(state)));
    assert_int_equal(newest(state)->cpu.run_state, X86_WAIT_INIT);
    assert_true(fake_accel(rig(state)->domain)->stores > stores);
}

static void test_one_that_comes_to_a_paused_domain_waits(void **state)
{
    domain_stop(rig(state)->domain, RUN_STATE_PAUSED);
    plug(state, CPU ",apic-id=7");
    assert_true(is_parked(newest(state)));
    assert_true(domain_cont(rig(state)->domain, NULL));
    assert_false(is_parked(newest(state)));
}

static void test_one_that_cannot_begin_leaves_nothing_behind(void **state)
{
    fake_accel(rig(state)->domain)->fail_begin = true;
    assert_refused(state, CPU ",id=c,apic-id=7", "this vCPU does not begin");
    fake_accel(rig(state)->domain)->fail_begin = false;
    fake_accel(rig(state)->domain)->fail_store = true;
    assert_refused(state, CPU ",id=c,apic-id=7", "asked by a test to fail");
    fake_accel(rig(state)->domain)->fail_store = false;
    plug(state, CPU ",id=c,apic-id=7");
    assert_string_equal(told->str, "!7");
}

/* ---- going ---- */

static void test_the_guest_is_asked_before_one_goes(void **state)
{
    plug(state, CPU ",id=c,apic-id=7");
    assert_true(device_del(rig(state)->domain, "c", NULL));
    assert_int_equal(domain_vcpus(rig(state)->domain), 3);
    cpu_bus_remove(&rig(state)->machine->cpus, 7);
    assert_int_equal(domain_vcpus(rig(state)->domain), 2);
    assert_null(device_find(rig(state)->domain, "c"));
    assert_string_equal(told->str, "!7?7-7");
}

static void test_one_of_smp_may_go_and_come_back(void **state)
{
    assert_true(device_del(rig(state)->domain, "/machine/cpu[1]", NULL));
    cpu_bus_remove(&rig(state)->machine->cpus, 1);
    assert_null(domain_find_vcpu(rig(state)->domain, 1));
    plug(state, CPU ",id=back,apic-id=1");
    assert_string_equal(domain_find_vcpu(rig(state)->domain, 1)->dev->path, "/machine/peripheral/back");
    assert_string_equal(told->str, "?1-1!1");
}

static void test_removing_what_is_not_there_does_nothing(void **state)
{
    cpu_bus_remove(&rig(state)->machine->cpus, 6);
    cpu_bus_refused(&rig(state)->machine->cpus, 6);
    assert_int_equal(domain_vcpus(rig(state)->domain), 2);
}

static void test_without_a_controller_none_comes_or_goes(void **state)
{
    g_autoptr(GError) error = NULL;

    cpu_bus_set_controller(&rig(state)->machine->cpus, NULL, NULL);
    assert_refused(state, CPU ",apic-id=7", "this machine cannot tell its guest of a CPU that comes");
    assert_false(device_del(rig(state)->domain, "/machine/cpu[1]", &error));
    assert_non_null(strstr(error->message, "cannot ask its guest"));
}

static void note(Vcpu *vcpu, bool is_there, void *opaque)
{
    g_string_append_printf(opaque, "%s%u", is_there ? "came" : "goes", vcpu->index);
}

static void test_observers_see_both(void **state)
{
    g_autoptr(GString) seen = g_string_new(NULL);
    CpuBus *bus = &rig(state)->machine->cpus;

    cpu_bus_observe(bus, note, seen);
    plug(state, CPU ",apic-id=7");
    cpu_bus_remove(bus, 7);
    cpu_bus_unobserve(bus, note, seen);
    plug(state, CPU ",apic-id=6");
    assert_string_equal(seen->str, "came7goes7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define COLD(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)
#define RUNNING(TEST) cmocka_unit_test_setup_teardown(TEST, setup_running, teardown)
        COLD(test_a_place_is_a_number_and_an_apic_id),
        COLD(test_an_apic_id_is_a_place_too),
        COLD(test_every_level_has_to_be_said),
        COLD(test_levels_have_bounds),
        COLD(test_a_place_is_taken_once),
        COLD(test_cpus_are_what_the_machine_has),
        COLD(test_before_the_machine_is_complete_there_is_no_thread),
        RUNNING(test_one_that_comes_to_a_running_domain_runs),
        RUNNING(test_one_that_comes_to_a_paused_domain_waits),
        RUNNING(test_one_that_cannot_begin_leaves_nothing_behind),
        RUNNING(test_the_guest_is_asked_before_one_goes),
        RUNNING(test_one_of_smp_may_go_and_come_back),
        RUNNING(test_removing_what_is_not_there_does_nothing),
        RUNNING(test_without_a_controller_none_comes_or_goes),
        RUNNING(test_observers_see_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
