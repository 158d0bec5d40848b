/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm/x86/lapic: the timer, the saved form, senders on other threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/vmm/x86/lapic-rig.h"
#include "vmm/epoch.h"
#include "vmm/error.h"

/* ---- the timer: 1 GHz ---- */

static void advance(int64_t ns)
{
    clock_set(rig->clock, clock_ns(rig->clock) + ns);
}

static void test_one_shot(void **state)
{
    lapic_write(apic(0), TDCR, 0xb); /* by 1 */
    lapic_write(apic(0), TIMER, 0x41);
    lapic_write(apic(0), TMICT, 100000);
    assert_int_equal(lapic_read(apic(0), TMCCT), 100000);
    advance(40000);
    assert_int_equal(lapic_read(apic(0), TMCCT), 60000);
    assert_false(told(0));
    advance(60000);
    assert_true(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    assert_int_equal(lapic_read(apic(0), TMCCT), 0);
    assert_int_equal(lapic_read(apic(0), TMICT), 100000);
    lapic_write(apic(0), EOI, 0);
    advance(1000000);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    lapic_write(apic(0), TMICT, 100);
    lapic_write(apic(0), TMICT, 0); /* stops */
    advance(1000);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
}

static void test_divider(void **state)
{
    static const struct { uint32_t code, by; } row[] = {
        { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 }
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(row); i++) {
        lapic_write(apic(0), TDCR, row[i].code);
        lapic_write(apic(0), TMICT, 1000);
        advance(100 * row[i].by);
        assert_int_equal(lapic_read(apic(0), TMCCT), 900);
    }
}

static void test_periodic(void **state)
{
    lapic_write(apic(0), TDCR, 0xb);
    lapic_write(apic(0), TIMER, 0x20041);
    lapic_write(apic(0), TMICT, 1000000);
    for (unsigned i = 0; i < 3; i++) {
        advance(1000000);
        assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
        lapic_write(apic(0), EOI, 0);
    }
    advance(250000);
    assert_int_equal(lapic_read(apic(0), TMCCT), 750000);
    lapic_write(apic(0), TIMER, 0x30041); /* masked: counts on, unheard */
    advance(1000000);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    assert_int_equal(lapic_read(apic(0), TMCCT), 750000);
}

static void test_tsc_deadline(void **state)
{
    uint64_t now;

    lapic_write(apic(0), TIMER, 0x40041);
    lapic_write(apic(0), TMICT, 5); /* not in this mode */
    assert_int_equal(lapic_read(apic(0), TMICT), 0);
    now = rig_tsc(0);
    set_msr(0, DEADLINE, now + 2000);
    assert_int_equal(msr(0, DEADLINE), now + 2000);
    advance(998);
    assert_false(told(0));
    advance(3);
    assert_true(told(0));
    assert_int_equal(msr(0, DEADLINE), 0);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    lapic_write(apic(0), EOI, 0);
    set_msr(0, DEADLINE, now); /* past: at once */
    assert_true(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    lapic_write(apic(0), EOI, 0);
    set_msr(0, DEADLINE, rig_tsc(0) + 2000);
    set_msr(0, DEADLINE, 0); /* disarmed */
    advance(5000);
    assert_false(told(0));
    set_msr(0, DEADLINE, rig_tsc(0) + 2000);
    lapic_write(apic(0), TIMER, 0x41); /* another mode forgets it */
    assert_int_equal(msr(0, DEADLINE), 0);
    set_msr(0, DEADLINE, 1);
    assert_int_equal(msr(0, DEADLINE), 0);
}

static void test_a_deadline_waits_for_a_tsc_that_went_back(void **state)
{
    lapic_write(apic(0), TIMER, 0x40041);
    rig->cpu[0].tsc_extra = 10000;
    set_msr(0, DEADLINE, rig_tsc(0) + 2000);
    rig->cpu[0].tsc_extra = 0;
    advance(1500);
    assert_false(told(0));
    advance(5000);
    assert_true(told(0));
}

/* ---- saved form ---- */

static void test_saved_form(void **state)
{
    static X86Cpu saved, again;
    uint32_t word;

    power_on(2, X2APIC);
    set_msr(2, X2 + 8, 0x21);
    set_msr(2, X2 + 0x32, 0x400ef);
    set_msr(2, DEADLINE, rig_tsc(2) + 2000000);
    set_msr(2, X2 + 0x30, UINT64_C(7) << 32 | 0x4b); /* to nobody */
    send_fixed(2, 0x71);
    assert_int_equal(lapic_acknowledge(apic(2)), 0x71);
    send(0xfee02000, 0x8065);
    lapic_save(apic(2), &saved);
    assert_int_equal(saved.apic_base, X2APIC);
    assert_int_equal(saved.cr8, 2);
    memcpy(&word, saved.lapic + ID, 4);
    assert_int_equal(word, 2);
    memcpy(&word, saved.lapic + ICR2, 4);
    assert_int_equal(word, 7);
    memcpy(&word, saved.lapic + ISR + 0x30, 4);
    assert_int_equal(word, 1 << 17);
    memcpy(&word, saved.lapic + IRR + 0x30, 4);
    assert_int_equal(word, 1 << 5);
    memcpy(&word, saved.lapic + TMR + 0x30, 4);
    assert_int_equal(word, 1 << 5);
    lapic_init(apic(2));
    assert_true(lapic_load(apic(2), &saved, NULL));
    assert_true(told(2));
    lapic_save(apic(2), &again);
    assert_memory_equal(saved.lapic, again.lapic, sizeof(saved.lapic));
    assert_int_equal(msr(2, DEADLINE), *x86_cpu_msr(&saved, DEADLINE));
    set_msr(2, X2 + 0xb, 0);
    assert_int_equal(lapic_acknowledge(apic(2)), 0x65);
    set_msr(2, X2 + 0xb, 0);
    assert_int_equal(rig->eoi[0], 0x65);
    set_msr(2, X2 + 8, 0);
    advance(1000001);
    assert_int_equal(lapic_acknowledge(apic(2)), 0xef);
}

static void test_a_count_goes_on_where_it_was_saved(void **state)
{
    static X86Cpu saved;

    lapic_write(apic(0), TDCR, 0xb);
    lapic_write(apic(0), TIMER, 0x20041);
    lapic_write(apic(0), TMICT, 1000000);
    advance(300000);
    lapic_save(apic(0), &saved);
    lapic_init(apic(0));
    advance(5000000);
    assert_true(lapic_load(apic(0), &saved, NULL));
    told(0);
    assert_int_equal(lapic_read(apic(0), TMCCT), 700000);
    advance(700000);
    assert_true(told(0));
}

static void test_hostile_states_are_refused_or_cut(void **state)
{
    static X86Cpu bad;
    GError *error = NULL;

    x86_cpu_reset(&bad, 1, false, 0);
    bad.apic_base = 0xfee00400;
    assert_false(lapic_load(apic(1), &bad, &error));
    assert_non_null(strstr(error->message, "IA32_APIC_BASE"));
    g_error_free(error);
    x86_cpu_reset(&bad, 1, false, 0);
    memset(bad.lapic, 0xff, sizeof(bad.lapic));
    assert_true(lapic_load(apic(1), &bad, NULL));
    assert_int_equal(lapic_read(apic(1), TIMER), 0x700ff);
    assert_int_equal(lapic_read(apic(1), TPR), 0xff);
    assert_int_equal(lapic_read(apic(1), TDCR), 0xb);
    lapic_write(apic(1), TPR, 0);
    assert_int_equal(lapic_acknowledge(apic(1)), -1); /* everything is in service */
    for (unsigned i = 0; i < 300; i++) {
        lapic_write(apic(1), EOI, 0);
    }
    assert_int_equal(lapic_acknowledge(apic(1)), 0xff);
}

/* ---- threads ---- */

#define SENDERS 3
#define SENT    40000

static unsigned finished; /* atomic */

static void *sender(void *opaque)
{
    unsigned n = (unsigned)(uintptr_t)opaque;

    epoch_thread_begin();
    for (unsigned i = 0; i < SENT; i++) {
        MsiMessage m = { 0xfee00000, 0x40 + n };

        lapic_bus_send(rig->bus, m);
    }
    epoch_thread_end();
    __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* A CPU that looks only when it was told, as a halted one does: what it was not told of would lie in IRR for
 * ever. */
static void test_no_interrupt_is_lost(void **state)
{
    pthread_t thread[SENDERS];
    unsigned taken[SENDERS] = { 0 };
    bool last;

    finished = 0;
    for (unsigned n = 0; n < SENDERS; n++) {
        assert_int_equal(pthread_create(&thread[n], NULL, sender, (void *)(uintptr_t)(n * 0x20)), 0);
    }
    do {
        last = __atomic_load_n(&finished, __ATOMIC_SEQ_CST) == SENDERS;
        while (told(0)) {
            int vector = lapic_acknowledge(apic(0));

            if (vector >= 0) {
                taken[(vector - 0x40) / 0x20]++;
                lapic_write(apic(0), EOI, 0);
            }
        }
    } while (!last);
    for (unsigned n = 0; n < SENDERS; n++) {
        pthread_join(thread[n], NULL);
        assert_in_range(taken[n], 1, SENT);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(lapic_read(apic(0), IRR + 0x10 * i), 0);
    }
}

#define CASE(F) cmocka_unit_test_setup_teardown(F, lapic_rig_setup, lapic_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_one_shot),
        CASE(test_divider),
        CASE(test_periodic),
        CASE(test_tsc_deadline),
        CASE(test_a_deadline_waits_for_a_tsc_that_went_back),
        CASE(test_saved_form),
        CASE(test_a_count_goes_on_where_it_was_saved),
        CASE(test_hostile_states_are_refused_or_cut),
        CASE(test_no_interrupt_is_lost),
    };

    epoch_thread_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
