/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/vcpu.c: the threads of vCPUs, and their part of the saved state. */
#include "runstate-rig.h"

/* ---- vCPUs ---- */

static void note_thread(Vcpu *vcpu, void *opaque)
{
    *(pthread_t *)opaque = pthread_self();
    assert_ptr_equal(vcpu_current(), vcpu);
}

static void test_a_call_runs_on_the_vcpus_thread(void **state)
{
    Fixture *f = *state;
    Vcpu *vcpu = domain_vcpu(f->domain, 2);
    pthread_t parked = pthread_self(), running = pthread_self();

    vcpu_call(vcpu, note_thread, &parked);
    assert_true(pthread_equal(parked, vcpu->pthread));
    start(f);
    vcpu_call(vcpu, note_thread, &running);
    assert_true(pthread_equal(running, vcpu->pthread));
    assert_null(vcpu_current());
}

static void test_a_call_does_not_unpark(void **state)
{
    Fixture *f = *state;
    pthread_t thread;

    vcpu_call(domain_vcpu(f->domain, 0), note_thread, &thread);
    assert_true(vcpus_parked(f->domain));
    assert_int_equal(f->fake->runs, 0);
}

static void test_only_the_first_vcpu_is_the_boot_processor(void **state)
{
    Fixture *f = *state;

    assert_int_equal(domain_vcpu(f->domain, 0)->cpu.run_state, X86_RUNNABLE);
    assert_int_equal(domain_vcpu(f->domain, 1)->cpu.run_state, X86_WAIT_INIT);
    assert_int_equal(domain_vcpu(f->domain, 3)->cpu.run_state, X86_WAIT_INIT);
}

static void test_a_thread_is_named_after_its_vcpu(void **state)
{
    Fixture *f = *state;
    char name[16];

    assert_int_equal(pthread_getname_np(domain_vcpu(f->domain, 1)->pthread, name, sizeof(name)), 0);
    assert_string_equal(name, "CPU 1/FAKE");
}

static void test_a_halted_vcpu_sleeps_until_kicked(void **state)
{
    Fixture *f = *state;
    Vcpu *halted = NULL;

    start(f);
    fake_accel_exit(f->domain, VCPU_EXIT_HALTED);
    wait_inside(f, CPUS - 1);
    while (!halted) {
        for (unsigned i = 0; i < CPUS; i++) {
            if (__atomic_load_n(&domain_vcpu(f->domain, i)->halted, __ATOMIC_SEQ_CST)) {
                halted = domain_vcpu(f->domain, i);
            }
        }
    }
    vcpu_kick(halted);
    wait_inside(f, CPUS);
}

static void test_a_halted_vcpu_parks(void **state)
{
    Fixture *f = *state;

    start(f);
    fake_accel_exit(f->domain, VCPU_EXIT_HALTED);
    wait_inside(f, CPUS - 1);
    assert_true(domain_stop(f->domain, RUN_STATE_PAUSED));
    assert_true(vcpus_parked(f->domain));
}

static void test_a_vcpu_that_does_not_begin_fails_the_start(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;

    f->fake->fail_begin = true;
    assert_false(machine_finalize(domain_machine(f->domain), &error));
    assert_string_equal(error->message, "this vCPU does not begin");
}

/* ---- saved state ---- */

static void test_registers_are_saved_and_loaded(void **state)
{
    Fixture *f = *state;
    Vcpu *vcpu = domain_vcpu(f->domain, 1);
    g_autoptr(GByteArray) saved = g_byte_array_new();

    vcpu->cpu.rip = 0x1234;
    vcpu->fetched = true;
    assert_true(state_save(domain_state(f->domain), saved, NULL));
    vcpu->cpu.rip = 0;
    assert_true(state_load(domain_state(f->domain), saved->data, saved->len, NULL));
    assert_int_equal(vcpu->cpu.rip, 0x1234);
}

static void test_registers_that_cannot_be_had_fail_the_save(void **state)
{
    Fixture *f = *state;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) error = NULL;

    start(f);
    domain_stop(f->domain, RUN_STATE_PAUSED);
    f->fake->fail_fetch = true;
    assert_false(state_save(domain_state(f->domain), saved, &error));
    assert_string_equal(error->message, "/machine/cpu[0]: asked by a test to fail");
}

static void test_guest_time_is_saved_and_loaded(void **state)
{
    Fixture *f = *state;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    int64_t stopped;

    start(f);
    domain_stop(f->domain, RUN_STATE_PAUSED);
    stopped = clock_ns(domain_clock(f->domain));
    assert_true(state_save(domain_state(f->domain), saved, NULL));
    start(f);
    domain_stop(f->domain, RUN_STATE_PAUSED);
    assert_true(state_load(domain_state(f->domain), saved->data, saved->len, NULL));
    assert_true(clock_ns(domain_clock(f->domain)) == stopped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_runs_on_the_vcpus_thread),
        TEST(test_a_call_does_not_unpark),
        TEST(test_only_the_first_vcpu_is_the_boot_processor),
        TEST(test_a_thread_is_named_after_its_vcpu),
        TEST(test_a_halted_vcpu_sleeps_until_kicked),
        TEST(test_a_halted_vcpu_parks),
        cmocka_unit_test_setup_teardown(test_a_vcpu_that_does_not_begin_fails_the_start, runstate_rig_set_up, runstate_rig_tear_down),
        TEST(test_registers_are_saved_and_loaded),
        TEST(test_registers_that_cannot_be_had_fail_the_save),
        TEST(test_guest_time_is_saved_and_loaded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
