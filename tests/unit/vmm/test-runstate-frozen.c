/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/runstate.c: what is asked of a domain while it is frozen (domain_freeze()) counts when it thaws. */
#include "runstate-rig.h"

static void carry_out(Fixture *f)
{
    while (loop_run_once(domain_loop(f->domain), false)) {
    }
}

static void test_what_ran_runs_on_when_it_thaws(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_freeze(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_SAVE_VM);
    assert_true(vcpus_parked(f->domain));
    domain_thaw(f->domain);
    wait_inside(f, CPUS);
    assert_string_equal(f->events->str, "RsR");
}

static void test_what_did_not_run_does_not_run_when_it_thaws(void **state)
{
    Fixture *f = *state;

    domain_freeze(f->domain);
    domain_thaw(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_PRELAUNCH);
}

static void test_a_reset_waits_until_it_thaws_and_it_runs_on(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_freeze(f->domain);
    domain_request_reset(f->domain, REASON_HOST_QMP_RESET);
    carry_out(f);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_SAVE_VM);
    assert_string_equal(f->events->str, "Rs");
    domain_thaw(f->domain);
    wait_inside(f, CPUS);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_RUNNING);
    assert_string_equal(f->events->str, "RsrR");
}

static void test_a_reset_of_what_was_paused_waits_as_well(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_stop(f->domain, RUN_STATE_PAUSED);
    domain_freeze(f->domain);
    domain_request_reset(f->domain, REASON_HOST_QMP_RESET);
    domain_carry_out_requests(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_PAUSED);
    domain_thaw(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_PRELAUNCH);
    assert_string_equal(f->events->str, "Rsr");
}

static void test_a_stop_while_it_is_frozen_holds(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_freeze(f->domain);
    assert_true(domain_stop(f->domain, RUN_STATE_PAUSED));
    domain_request_reset(f->domain, REASON_HOST_QMP_RESET);
    carry_out(f);
    domain_thaw(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_PRELAUNCH);
    assert_true(vcpus_parked(f->domain));
}

static void test_who_lets_it_run_while_it_is_frozen_waits(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_stop(f->domain, RUN_STATE_PAUSED);
    domain_freeze(f->domain);
    assert_true(domain_cont(f->domain, NULL));
    assert_true(vcpus_parked(f->domain));
    assert_string_equal(f->events->str, "Rs");
    domain_thaw(f->domain);
    wait_inside(f, CPUS);
    assert_string_equal(f->events->str, "RsR");
}

static void test_what_sleeps_wakes_when_it_thaws(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_request_suspend(f->domain);
    run_until(f, RUN_STATE_SUSPENDED);
    domain_freeze(f->domain);
    domain_request_wakeup(f->domain);
    carry_out(f);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_SUSPENDED);
    domain_thaw(f->domain);
    wait_inside(f, CPUS);
    assert_string_equal(f->events->str, "Rzw");
}

static void test_what_fell_asleep_last_sleeps_when_it_thaws(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_request_suspend(f->domain);
    domain_freeze(f->domain);
    domain_thaw(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_SUSPENDED);
    assert_true(clock_running(domain_clock(f->domain)));
    assert_true(vcpus_parked(f->domain));
}

static void test_what_panicked_last_stays_so_when_it_thaws(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->panic = PANIC_PAUSE;
    start(f);
    domain_request_panic(f->domain, PANIC_PANICKED);
    domain_freeze(f->domain);
    domain_thaw(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_GUEST_PANICKED);
}

static void test_what_powered_off_last_is_off_when_it_thaws(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->shutdown = SHUTDOWN_PAUSE;
    start(f);
    domain_request_shutdown(f->domain, REASON_GUEST_SHUTDOWN);
    domain_freeze(f->domain);
    carry_out(f);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_SAVE_VM);
    domain_thaw(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_SHUTDOWN);
}

static void test_an_io_error_while_it_is_frozen_holds(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_freeze(f->domain);
    domain_request_pause(f->domain, RUN_STATE_IO_ERROR);
    run_until(f, RUN_STATE_IO_ERROR);
    domain_thaw(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_IO_ERROR);
}

static void test_the_power_button_works_while_it_is_frozen(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_freeze(f->domain);
    domain_request_powerdown(f->domain);
    run_until_events(f, "Rsp");
    domain_thaw(f->domain);
    wait_inside(f, CPUS);
}

static void test_the_user_ends_what_is_frozen(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_freeze(f->domain);
    domain_request_shutdown(f->domain, REASON_HOST_SIGNAL);
    assert_int_equal(domain_main(f->domain), 0);
    assert_string_equal(f->events->str, "Rs!e");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_ran_runs_on_when_it_thaws),
        TEST(test_what_did_not_run_does_not_run_when_it_thaws),
        TEST(test_a_reset_waits_until_it_thaws_and_it_runs_on),
        TEST(test_a_reset_of_what_was_paused_waits_as_well),
        TEST(test_a_stop_while_it_is_frozen_holds),
        TEST(test_who_lets_it_run_while_it_is_frozen_waits),
        TEST(test_what_sleeps_wakes_when_it_thaws),
        TEST(test_what_fell_asleep_last_sleeps_when_it_thaws),
        TEST(test_what_panicked_last_stays_so_when_it_thaws),
        TEST(test_what_powered_off_last_is_off_when_it_thaws),
        TEST(test_an_io_error_while_it_is_frozen_holds),
        TEST(test_the_power_button_works_while_it_is_frozen),
        TEST(test_the_user_ends_what_is_frozen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
