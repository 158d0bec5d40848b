/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/runstate.c: states, and what takes a domain from one to another. */
#include "runstate-rig.h"

#include "vmm/domain-internal.h"

/* ---- stop and cont ---- */

static void test_a_domain_starts_parked_in_prelaunch(void **state)
{
    Fixture *f = *state;

    assert_int_equal(domain_run_state(f->domain), RUN_STATE_PRELAUNCH);
    assert_true(vcpus_parked(f->domain));
    assert_int_equal(f->fake->runs, 0);
}

static void test_stop_returns_with_every_vcpu_out(void **state)
{
    Fixture *f = *state;

    start(f);
    assert_true(domain_stop(f->domain, RUN_STATE_PAUSED));
    assert_true(vcpus_parked(f->domain));
    assert_int_equal(f->fake->inside, 0);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_PAUSED);
    assert_string_equal(f->events->str, "Rs");
}

static void test_stopping_what_is_stopped_does_nothing(void **state)
{
    Fixture *f = *state;

    assert_false(domain_stop(f->domain, RUN_STATE_PAUSED));
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_PRELAUNCH);
}

static void test_no_wakeup_is_lost(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < 300; i++) {
        assert_true(domain_cont(f->domain, NULL));
        if (i % 2) {
            wait_inside(f, CPUS);
        }
        assert_true(domain_stop(f->domain, RUN_STATE_PAUSED));
        assert_int_equal(f->fake->inside, 0);
    }
}

static void test_guest_time_stands_still_while_stopped(void **state)
{
    Fixture *f = *state;
    int64_t stopped;

    start(f);
    domain_stop(f->domain, RUN_STATE_PAUSED);
    stopped = clock_ns(domain_clock(f->domain));
    assert_true(stopped > 0);
    g_usleep(2000);
    assert_true(clock_ns(domain_clock(f->domain)) == stopped);
}

static void test_kvmclock_goes_on_where_it_stopped(void **state)
{
    Fixture *f = *state;

    start(f);
    f->fake->kvmclock_ns = 1234;
    domain_stop(f->domain, RUN_STATE_PAUSED);
    f->fake->kvmclock_ns = 99999;
    start(f);
    assert_int_equal(f->fake->kvmclock_ns, 1234);
}

/* ---- requests ---- */

static void test_a_vcpu_asks_for_a_reset_and_runs_again(void **state)
{
    Fixture *f = *state;

    start(f);
    fake_accel_exit(f->domain, VCPU_EXIT_RESET);
    run_until_events(f, "Rr");
    wait_inside(f, CPUS);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_RUNNING);
    assert_int_equal(f->fake->stores, 2 * CPUS);
}

static void test_no_reboot_turns_a_reset_into_the_end(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->reboot = 1;
    start(f);
    domain_request_reset(f->domain, REASON_GUEST_RESET);
    assert_int_equal(domain_main(f->domain), 0);
    assert_string_equal(f->events->str, "R!e");
}

static void test_a_reset_of_a_stopped_domain_leaves_it_in_prelaunch(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_stop(f->domain, RUN_STATE_PAUSED);
    domain_request_reset(f->domain, REASON_HOST_QMP_RESET);
    run_until(f, RUN_STATE_PRELAUNCH);
    assert_true(vcpus_parked(f->domain));
}

static void test_power_off_ends_the_domain_with_status_0(void **state)
{
    Fixture *f = *state;

    start(f);
    fake_accel_exit(f->domain, VCPU_EXIT_SHUTDOWN);
    assert_int_equal(domain_main(f->domain), 0);
    assert_true(vcpus_parked(f->domain));
}

static void hear_bell(void *opaque)
{
    g_string_append_c(((Fixture *)opaque)->events, 'b');
}

static void test_what_was_rung_for_last_is_done_before_the_end(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_quit(f->domain, 0);
    loop_post(domain_loop(f->domain), hear_bell, f);
    assert_int_equal(domain_main(f->domain), 0);
    assert_string_equal(f->events->str, "Rbe");
}

/* A vCPU may have left it to the main loop right before it was parked. */
static void test_what_was_left_before_a_stop_is_done_before_the_end(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_stop(f->domain, RUN_STATE_PAUSED);
    domain_quit(f->domain, 0);
    loop_post(domain_loop(f->domain), hear_bell, f);
    assert_int_equal(domain_main(f->domain), 0);
    assert_string_equal(f->events->str, "Rsbe");
}

static void test_no_shutdown_keeps_the_domain_until_it_is_reset(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;

    domain_actions(f->domain)->shutdown = 1;
    start(f);
    domain_request_shutdown(f->domain, REASON_GUEST_SHUTDOWN);
    run_until(f, RUN_STATE_SHUTDOWN);
    assert_true(vcpus_parked(f->domain));
    assert_false(domain_cont(f->domain, &error));
    assert_string_equal(error->message, "The domain cannot go on in state 'shutdown'");
    domain_request_reset(f->domain, REASON_HOST_QMP_RESET);
    run_until(f, RUN_STATE_PRELAUNCH);
    start(f);
}

static void test_a_signal_ends_the_domain_despite_no_shutdown(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->shutdown = 1;
    start(f);
    domain_request_shutdown(f->domain, REASON_HOST_SIGNAL);
    assert_int_equal(domain_main(f->domain), 0);
}

static void test_what_the_guest_asks_hides_no_signal(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->shutdown = 1;
    start(f);
    domain_request_shutdown(f->domain, REASON_HOST_SIGNAL);
    domain_request_shutdown(f->domain, REASON_GUEST_SHUTDOWN);
    loop_run_once(domain_loop(f->domain), false);
    assert_true(domain_is_quitting(f->domain));
    assert_int_equal(domain_main(f->domain), 0);
}

static void test_panic_ends_the_domain_by_default(void **state)
{
    Fixture *f = *state;

    start(f);
    fake_accel_exit(f->domain, VCPU_EXIT_CRASH);
    assert_int_equal(domain_main(f->domain), 0);
    assert_string_equal(f->events->str, "RPs!e");
}

static void test_panic_exit_failure_gives_status_1(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->panic = 2;
    start(f);
    domain_request_panic(f->domain, PANIC_PANICKED);
    assert_int_equal(domain_main(f->domain), 1);
}

static void test_panic_pause_keeps_the_guest_as_it_is(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->panic = 0;
    start(f);
    domain_request_panic(f->domain, PANIC_PANICKED);
    run_until(f, RUN_STATE_GUEST_PANICKED);
    assert_true(vcpus_parked(f->domain));
}

static void test_panic_none_lets_the_vcpu_go_on(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->panic = 3;
    start(f);
    for (unsigned i = 0; i < 1000; i++) { /* also while the main loop is quicker than the vCPU */
        g_string_truncate(f->events, 0);
        fake_accel_exit(f->domain, VCPU_EXIT_CRASH);
        run_until_events(f, "P");
        wait_inside(f, CPUS);
    }
}

static void test_a_failed_vcpu_stops_the_domain(void **state)
{
    Fixture *f = *state;

    start(f);
    fake_accel_exit(f->domain, VCPU_EXIT_FAILED);
    run_until(f, RUN_STATE_INTERNAL_ERROR);
    assert_true(vcpus_parked(f->domain));
    assert_false(domain_cont(f->domain, NULL));
}

static void test_a_breakpoint_stops_the_domain_and_it_can_go_on(void **state)
{
    Fixture *f = *state;

    start(f);
    fake_accel_exit(f->domain, VCPU_EXIT_DEBUG);
    run_until(f, RUN_STATE_DEBUG);
    start(f);
    assert_string_equal(f->events->str, "RsR");
}

static void test_a_held_vcpu_stays_parked_while_the_others_run(void **state)
{
    Fixture *f = *state;

    vcpu_hold(domain_vcpu(f->domain, 2), true);
    assert_true(domain_cont(f->domain, NULL));
    wait_inside(f, CPUS - 1);
    assert_true(domain_vcpu(f->domain, 2)->parked);
    assert_true(domain_stop(f->domain, RUN_STATE_PAUSED));
    vcpu_hold(domain_vcpu(f->domain, 2), false);
    start(f);
}

static Vcpu *find_stopped(Fixture *f)
{
    for (unsigned i = 0; i < CPUS; i++) {
        if (domain_vcpu(f->domain, i)->stopped) {
            return domain_vcpu(f->domain, i);
        }
    }
    return NULL;
}

static void test_why_a_vcpu_stopped_is_told_once(void **state)
{
    Fixture *f = *state;
    VcpuStop stop;
    Vcpu *vcpu;

    start(f);
    f->fake->next_stop = (VcpuStop) { .kind = ACCEL_WATCH_READ, .address = 0x1234 };
    fake_accel_exit(f->domain, VCPU_EXIT_DEBUG);
    run_until(f, RUN_STATE_DEBUG);
    vcpu = find_stopped(f);
    assert_non_null(vcpu);
    assert_true(vcpu_take_stop(vcpu, &stop));
    assert_int_equal(stop.kind, ACCEL_WATCH_READ);
    assert_int_equal(stop.address, 0x1234);
    assert_false(vcpu_take_stop(vcpu, &stop));
}

static void test_other_requests_do_not_let_a_stopped_vcpu_run_on(void **state)
{
    Fixture *f = *state;

    unsigned runs;

    start(f);
    runs = f->fake->runs;
    fake_accel_exit(f->domain, VCPU_EXIT_DEBUG);
    wait_inside(f, CPUS - 1);
    vcpus_unpark(f->domain); /* as the main loop does after each request */
    run_until(f, RUN_STATE_DEBUG);
    assert_int_equal(f->fake->runs, runs);
    assert_non_null(find_stopped(f));
}

static void wait_one_stopped(Fixture *f)
{
    wait_inside(f, CPUS - 1);
    while (!find_stopped(f)) {
        g_usleep(100);
    }
    fake_accel_wait_parked(find_stopped(f));
}

static void test_a_breakpoint_hides_no_other_cause(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_request_pause(f->domain, RUN_STATE_IO_ERROR);
    fake_accel_exit(f->domain, VCPU_EXIT_DEBUG);
    wait_one_stopped(f);
    run_until(f, RUN_STATE_IO_ERROR);
    assert_non_null(find_stopped(f));
    start(f);
    assert_string_equal(f->events->str, "RsR");
}

static void test_suspend_and_wakeup(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_request_suspend(f->domain);
    run_until(f, RUN_STATE_SUSPENDED);
    assert_true(vcpus_parked(f->domain));
    domain_request_wakeup(f->domain);
    run_until(f, RUN_STATE_RUNNING);
    wait_inside(f, CPUS);
    assert_string_equal(f->events->str, "Rzw");
}

static void test_time_goes_on_while_it_sleeps(void **state)
{
    Fixture *f = *state;
    Clock *clock = domain_clock(f->domain);
    int64_t before;

    start(f);
    domain_request_suspend(f->domain);
    run_until(f, RUN_STATE_SUSPENDED);
    assert_true(clock_running(clock));
    before = clock_ns(clock);
    g_usleep(2000);
    assert_true(clock_ns(clock) >= before + 2 * NS_PER_MS);
    domain_quit(f->domain, 0);
    domain_main(f->domain);
    assert_false(clock_running(clock));
}

static void test_what_sleeps_neither_stops_nor_goes_on(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_request_suspend(f->domain);
    run_until(f, RUN_STATE_SUSPENDED);
    assert_false(domain_stop(f->domain, RUN_STATE_PAUSED));
    assert_true(domain_cont(f->domain, NULL));
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_SUSPENDED);
    assert_true(vcpus_parked(f->domain));
    assert_string_equal(f->events->str, "Rz");
}

/* Who stops a domain whose guest has just asked for sleep finds it asleep. */
static void test_a_stop_does_not_lose_what_asked_to_sleep(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_request_suspend(f->domain);
    assert_false(domain_stop(f->domain, RUN_STATE_PAUSED));
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_SUSPENDED);
    assert_true(clock_running(domain_clock(f->domain)));
    domain_request_wakeup(f->domain);
    run_until(f, RUN_STATE_RUNNING);
    domain_request_pause(f->domain, RUN_STATE_IO_ERROR);
    domain_request_suspend(f->domain);
    run_until(f, RUN_STATE_SUSPENDED);
    domain_request_wakeup(f->domain);
    run_until(f, RUN_STATE_RUNNING);
    wait_inside(f, CPUS);
    assert_string_equal(f->events->str, "Rzwzw");
}

static void test_what_asked_to_sleep_is_moved_asleep_and_thaws_so(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_freeze(f->domain);
    domain_request_suspend(f->domain);
    assert_false(domain_stop(f->domain, RUN_STATE_PAUSED));
    domain_thaw(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_SUSPENDED);
    domain_request_wakeup(f->domain);
    run_until(f, RUN_STATE_RUNNING);
    domain_request_suspend(f->domain);
    run_control_finish_migrate(f->domain);
    assert_int_equal(domain_run_state(f->domain), RUN_STATE_FINISH_MIGRATE);
    assert_int_equal(f->domain->run.next, RUN_STATE_SUSPENDED);
    assert_false(clock_running(domain_clock(f->domain)));
}

static void test_a_reset_wakes_it(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_request_suspend(f->domain);
    run_until(f, RUN_STATE_SUSPENDED);
    domain_request_reset(f->domain, REASON_HOST_QMP_RESET);
    run_until(f, RUN_STATE_RUNNING);
    wait_inside(f, CPUS);
    assert_string_equal(f->events->str, "Rzr");
}

static void test_a_shutdown_that_pauses_ends_sleep(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->shutdown = SHUTDOWN_PAUSE;
    start(f);
    domain_request_suspend(f->domain);
    run_until(f, RUN_STATE_SUSPENDED);
    domain_request_shutdown(f->domain, REASON_GUEST_SHUTDOWN);
    run_until(f, RUN_STATE_SHUTDOWN);
    assert_false(clock_running(domain_clock(f->domain)));
    assert_string_equal(f->events->str, "Rz!");
}

static bool no_way_back(Machine *machine, GError **error)
{
    assert_false(domain_is_waking(machine->domain)); /* what was reset is */
    return error_set(error, "there is no way back");
}

static void lose_the_way_back(Fixture *f)
{
    static MachineClass lost_class;

    lost_class = runstate_rig_class;
    lost_class.wakeup = no_way_back;
    domain_machine(f->domain)->class = &lost_class;
    start(f);
    domain_request_suspend(f->domain);
    run_until(f, RUN_STATE_SUSPENDED);
    domain_request_wakeup(f->domain);
}

static void test_without_a_way_back_it_is_reset(void **state)
{
    Fixture *f = *state;

    lose_the_way_back(f);
    run_until_events(f, "Rzwr");
    wait_inside(f, CPUS);
}

static void test_without_a_way_back_no_reboot_holds(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->reboot = REBOOT_SHUTDOWN;
    lose_the_way_back(f);
    run_until_events(f, "Rzw!");
}

static void test_a_wakeup_of_what_is_awake_does_nothing(void **state)
{
    Fixture *f = *state;

    start(f);
    domain_request_wakeup(f->domain);
    domain_request_powerdown(f->domain);
    run_until_events(f, "Rp");
}

/* ---- in any state ---- */

static void *ask_for_pause(void *domain)
{
    domain_request_pause(domain, RUN_STATE_IO_ERROR);
    return NULL;
}

static void test_any_thread_may_ask_for_a_pause(void **state)
{
    Fixture *f = *state;
    GThread *thread;

    start(f);
    thread = g_thread_new("asker", ask_for_pause, f->domain);
    run_until(f, RUN_STATE_IO_ERROR);
    g_thread_join(thread);
    assert_true(domain_cont(f->domain, NULL));
}

static void test_a_watchdog_pauses_if_it_is_to(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->watchdog = WATCHDOG_PAUSE;
    start(f);
    domain_request_watchdog(f->domain);
    run_until(f, RUN_STATE_WATCHDOG);
}

static void test_a_watchdog_takes_no_pause_back(void **state)
{
    Fixture *f = *state;

    domain_actions(f->domain)->watchdog = WATCHDOG_NONE;
    start(f);
    domain_request_pause(f->domain, RUN_STATE_IO_ERROR);
    domain_request_watchdog(f->domain);
    run_until(f, RUN_STATE_IO_ERROR);
}

static void test_quit_gives_its_status(void **state)
{
    Fixture *f = *state;

    domain_quit(f->domain, 7);
    assert_int_equal(domain_main(f->domain), 7);
}

static void test_an_observer_that_left_is_not_told(void **state)
{
    Fixture *f = *state;

    domain_unobserve(f->domain, runstate_rig_note, f);
    start(f);
    assert_string_equal(f->events->str, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_domain_starts_parked_in_prelaunch),
        TEST(test_stop_returns_with_every_vcpu_out),
        TEST(test_stopping_what_is_stopped_does_nothing),
        TEST(test_no_wakeup_is_lost),
        TEST(test_guest_time_stands_still_while_stopped),
        TEST(test_kvmclock_goes_on_where_it_stopped),
        TEST(test_a_vcpu_asks_for_a_reset_and_runs_again),
        TEST(test_no_reboot_turns_a_reset_into_the_end),
        TEST(test_a_reset_of_a_stopped_domain_leaves_it_in_prelaunch),
        TEST(test_power_off_ends_the_domain_with_status_0),
        TEST(test_what_was_rung_for_last_is_done_before_the_end),
        TEST(test_what_was_left_before_a_stop_is_done_before_the_end),
        TEST(test_no_shutdown_keeps_the_domain_until_it_is_reset),
        TEST(test_a_signal_ends_the_domain_despite_no_shutdown),
        TEST(test_what_the_guest_asks_hides_no_signal),
        TEST(test_panic_ends_the_domain_by_default),
        TEST(test_panic_exit_failure_gives_status_1),
        TEST(test_panic_pause_keeps_the_guest_as_it_is),
        TEST(test_panic_none_lets_the_vcpu_go_on),
        TEST(test_a_failed_vcpu_stops_the_domain),
        TEST(test_a_breakpoint_stops_the_domain_and_it_can_go_on),
        TEST(test_a_held_vcpu_stays_parked_while_the_others_run),
        TEST(test_why_a_vcpu_stopped_is_told_once),
        TEST(test_other_requests_do_not_let_a_stopped_vcpu_run_on),
        TEST(test_a_breakpoint_hides_no_other_cause),
        TEST(test_suspend_and_wakeup),
        TEST(test_time_goes_on_while_it_sleeps),
        TEST(test_what_sleeps_neither_stops_nor_goes_on),
        TEST(test_a_stop_does_not_lose_what_asked_to_sleep),
        TEST(test_what_asked_to_sleep_is_moved_asleep_and_thaws_so),
        TEST(test_a_reset_wakes_it),
        TEST(test_a_shutdown_that_pauses_ends_sleep),
        TEST(test_without_a_way_back_it_is_reset),
        TEST(test_without_a_way_back_no_reboot_holds),
        TEST(test_a_wakeup_of_what_is_awake_does_nothing),
        TEST(test_any_thread_may_ask_for_a_pause),
        TEST(test_a_watchdog_pauses_if_it_is_to),
        TEST(test_a_watchdog_takes_no_pause_back),
        TEST(test_quit_gives_its_status),
        TEST(test_an_observer_that_left_is_not_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
