/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/migrate-clock.c: a domain that goes on after a minute somewhere else, on an accelerator that runs nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fake-accel.h"
#include "vmm/bytes.h"
#include "vmm/domain-internal.h"
#include "vmm/machine.h"
#include "vmm/timer.h"

#define AWAY_NS    (60 * NS_PER_SEC)
#define SLACK_NS   (20 * NS_PER_SEC) /* on a host under load; what is wrong is wrong by a minute */
#define TSC_KHZ    1000000u          /* a tick is a nanosecond */
#define LVT_TIMER  0x320
#define PERIODIC   (1u << 17)
#define DEADLINE   (1u << 18)

typedef struct Fixture {
    Domain *domain;
    FakeAccel *fake;
} Fixture;

static bool build(Machine *machine, GError **error)
{
    return true;
}

static const MachineClass bare_class = {
    .name = "bare", .desc = "vCPUs only", .max_cpus = 8, .default_cpu = "qemu64,check=off", .default_ram = 1 << 20,
    .options = &machine_options, .build = build,
};

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    Machine *machine;

    f->domain = domain_new("test", NULL);
    f->fake = fake_accel_new(f->domain);
    machine = machine_new(f->domain, &bare_class);
    domain_set_machine(f->domain, machine);
    assert_true(machine_set_smp(machine, "2", NULL));
    assert_true(machine_build(machine, NULL));
    assert_int_equal(machine_finalize(machine, NULL), true);
    f->fake->kvmclock_ns = 1000;
    assert_true(domain_cont(f->domain, NULL));
    assert_true(domain_stop(f->domain, RUN_STATE_PAUSED));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    domain_free(f->domain);
    g_free(f);
    return 0;
}

/* As if it had been loaded, a minute after it was stopped. */
static X86Cpu *restore(Fixture *f, int64_t away_ns)
{
    Vcpu *vcpu = domain_vcpu(f->domain, 1);

    f->domain->run.time.restored = true;
    f->domain->run.time.stopped_at_ns = g_get_real_time() * 1000 - away_ns;
    vcpu->cpu.tsc_khz = TSC_KHZ;
    x86_cpu_set_msr(&vcpu->cpu, 0x10, 5000);
    vcpu->fetched = vcpu->dirty = true;
    return &vcpu->cpu;
}

static void timer_of(X86Cpu *cpu, uint32_t mode, uint32_t initial, uint32_t left)
{
    put32(cpu->lapic + LVT_TIMER, mode | 0x40);
    put32(cpu->lapic + 0x3e0, 0xb); /* divided by 1 */
    put32(cpu->lapic + 0x380, initial);
    put32(cpu->lapic + 0x390, left);
}

static void assert_near(uint64_t value, int64_t expected)
{
    assert_in_range(value, expected, expected + SLACK_NS);
}

static void test_every_clock_goes_on_by_the_time_away(void **state)
{
    Fixture *f = *state;
    X86Cpu *cpu = restore(f, AWAY_NS);
    int64_t stopped = f->domain->run.time.virtual_ns;

    assert_true(domain_cont(f->domain, NULL));
    assert_near((uint64_t)clock_ns(domain_clock(f->domain)), stopped + AWAY_NS);
    assert_near(f->fake->kvmclock_ns, 1000 + AWAY_NS);
    assert_near(*x86_cpu_msr(cpu, 0x10), 5000 + AWAY_NS);
}

static void test_clocks_that_are_set_on_agree_with_each_other(void **state)
{
    Fixture *f = *state;
    X86Cpu *cpu = restore(f, AWAY_NS);
    int64_t stopped = f->domain->run.time.virtual_ns;

    assert_true(domain_cont(f->domain, NULL));
    assert_in_range(f->fake->kvmclock_ns - 1000 - (*x86_cpu_msr(cpu, 0x10) - 5000), 0, SLACK_NS); /* it is set first */
    assert_int_equal(f->domain->run.time.virtual_ns - stopped, f->fake->kvmclock_ns - 1000);
}

static void test_it_happens_once(void **state)
{
    Fixture *f = *state;

    restore(f, AWAY_NS);
    assert_true(domain_cont(f->domain, NULL));
    assert_true(domain_stop(f->domain, RUN_STATE_PAUSED));
    f->domain->run.time.kvmclock_ns = 7;
    assert_true(domain_cont(f->domain, NULL));
    assert_int_equal(f->fake->kvmclock_ns, 7);
}

static void test_the_time_of_a_domain_that_sleeps_goes_on_when_it_has_arrived(void **state)
{
    Fixture *f = *state;
    struct GuestTime *time = &f->domain->run.time;
    int64_t stopped = time->virtual_ns;
    X86Cpu *cpu = restore(f, AWAY_NS);

    assert_false(clock_running(domain_clock(f->domain)));
    run_control_set_state(f->domain, RUN_STATE_SUSPENDED);
    assert_true(clock_running(domain_clock(f->domain)));
    assert_near((uint64_t)clock_ns(domain_clock(f->domain)), stopped + AWAY_NS);
    assert_near(f->fake->kvmclock_ns, 1000 + AWAY_NS);
    assert_near(*x86_cpu_msr(cpu, 0x10), 5000 + AWAY_NS);
}

static void test_the_time_of_a_domain_that_sleeps_stands_still_while_it_moves(void **state)
{
    Fixture *f = *state;
    struct GuestTime *time = &f->domain->run.time;

    run_control_set_state(f->domain, RUN_STATE_SUSPENDED);
    time->stopped_at_ns = 0;
    run_control_set_state(f->domain, RUN_STATE_FINISH_MIGRATE);
    assert_false(clock_running(domain_clock(f->domain)));
    assert_int_equal(time->virtual_ns, clock_ns(domain_clock(f->domain)));
    assert_in_range(g_get_real_time() * 1000 - time->stopped_at_ns, 0, SLACK_NS);
}

static void test_time_never_goes_back(void **state)
{
    Fixture *f = *state;
    X86Cpu *cpu = restore(f, -AWAY_NS);
    int64_t stopped = f->domain->run.time.virtual_ns;

    assert_true(domain_cont(f->domain, NULL));
    assert_in_range(clock_ns(domain_clock(f->domain)), stopped, stopped + SLACK_NS);
    assert_int_equal(f->fake->kvmclock_ns, 1000);
    assert_int_equal(*x86_cpu_msr(cpu, 0x10), 5000);
}

static void test_a_time_of_its_own_stands_still_meanwhile(void **state)
{
    Fixture *f = *state;

    restore(f, AWAY_NS);
    domain_machine(f->domain)->rtc.clock = RTC_CLOCK_VM;
    assert_true(domain_cont(f->domain, NULL));
    assert_int_equal(f->fake->kvmclock_ns, 1000);
}

static void test_a_one_shot_timer_that_is_due_comes_at_once(void **state)
{
    Fixture *f = *state;
    X86Cpu *cpu = restore(f, NS_PER_SEC);

    timer_of(cpu, 0, 900000000, 500000000);
    assert_true(domain_cont(f->domain, NULL));
    assert_int_equal(get32(cpu->lapic + 0x390), 1);
}

static void test_a_one_shot_timer_that_has_come_does_not_come_again(void **state)
{
    Fixture *f = *state;
    X86Cpu *cpu = restore(f, NS_PER_SEC);

    timer_of(cpu, 0, 900000000, 0);
    assert_true(domain_cont(f->domain, NULL));
    assert_int_equal(get32(cpu->lapic + 0x390), 0);
}

static void test_a_periodic_timer_keeps_its_beat(void **state)
{
    Fixture *f = *state;
    X86Cpu *cpu = restore(f, 10 * NS_PER_SEC);

    timer_of(cpu, PERIODIC, 1000000, 400000);
    assert_true(domain_cont(f->domain, NULL));
    assert_in_range(get32(cpu->lapic + 0x390), 1, 1000000);
}

static void test_a_deadline_is_the_tscs(void **state)
{
    Fixture *f = *state;
    X86Cpu *cpu = restore(f, AWAY_NS);

    timer_of(cpu, DEADLINE, 900000000, 500000000);
    assert_true(domain_cont(f->domain, NULL));
    assert_int_equal(get32(cpu->lapic + 0x390), 500000000);
}

#define CASE(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_every_clock_goes_on_by_the_time_away),
        CASE(test_clocks_that_are_set_on_agree_with_each_other),
        CASE(test_it_happens_once),
        CASE(test_the_time_of_a_domain_that_sleeps_goes_on_when_it_has_arrived),
        CASE(test_the_time_of_a_domain_that_sleeps_stands_still_while_it_moves),
        CASE(test_time_never_goes_back),
        CASE(test_a_time_of_its_own_stands_still_meanwhile),
        CASE(test_a_one_shot_timer_that_is_due_comes_at_once),
        CASE(test_a_one_shot_timer_that_has_come_does_not_come_again),
        CASE(test_a_periodic_timer_keeps_its_beat),
        CASE(test_a_deadline_is_the_tscs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
