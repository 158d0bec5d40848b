/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines: what arrives at the sink, and when.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/epoch.h"
#include "vmm/irq.h"

typedef struct Fixture {
    IrqLine line;
    Lock device;
    GString *seen; /* "n+" high, "n-" low */
    IrqFabric fabric;
} Fixture;

static void sink(void *opaque, unsigned n, bool level)
{
    Fixture *f = opaque;

    g_string_append_printf(f->seen, "%u%c", n, level ? '+' : '-');
}

static void accel_gsi_set(IrqFabric *fabric, unsigned gsi, bool level)
{
    Fixture *f = (Fixture *)((char *)fabric - offsetof(Fixture, fabric));

    g_string_append_printf(f->seen, "k%u%c", gsi, level ? '+' : '-');
}

static void accel_override(IrqFabric *fabric, unsigned gsi, bool on)
{
    Fixture *f = (Fixture *)((char *)fabric - offsetof(Fixture, fabric));

    g_string_append_printf(f->seen, "o%u%c", gsi, on ? '+' : '-');
}

static const IrqFabricOps kernel_ops = { .gsi_set = accel_gsi_set, .gsi_override = accel_override };

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    epoch_thread_begin();
    f->seen = g_string_new(NULL);
    lock_init(&f->device, LOCK_DEVICE, "device");
    irq_line_init(&f->line, sink, f, 5);
    irq_fabric_init(&f->fabric, &kernel_ops);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    epoch_synchronize();
    irq_fabric_finish(&f->fabric);
    irq_line_finish(&f->line);
    lock_finish(&f->device);
    g_string_free(f->seen, true);
    g_free(f);
    epoch_thread_end();
    return 0;
}

#define SEEN(TEXT) do { assert_string_equal(f->seen->str, TEXT); g_string_truncate(f->seen, 0); } while (0)

static void test_change_of_level_arrives_once(void **state)
{
    Fixture *f = *state;

    irq_set(&f->line, true);
    irq_set(&f->line, true);
    SEEN("5+");
    assert_true(irq_level(&f->line));
    irq_set(&f->line, false);
    SEEN("5-");
    irq_set(NULL, true);
    irq_pulse(NULL);
}

static void test_level_waits_for_the_device_lock(void **state)
{
    Fixture *f = *state;

    lock_acquire(&f->device);
    irq_set(&f->line, true);
    SEEN("");
    lock_release(&f->device);
    SEEN("5+");
}

static void *raise_line(void *opaque)
{
    irq_set(opaque, true);
    return NULL;
}

/* The first thread is held up between setting the line and delivering it. */
static void test_who_finds_the_level_set_returns_after_its_delivery(void **state)
{
    Fixture *f = *state;
    pthread_t thread;

    lock_acquire(&f->device);
    irq_set(&f->line, true);
    assert_int_equal(pthread_create(&thread, NULL, raise_line, &f->line), 0);
    pthread_join(thread, NULL);
    assert_string_equal(f->seen->str, "5+");
    lock_release(&f->device);
    assert_string_equal(f->seen->str, "5+");
}

static void test_only_the_newest_level_is_delivered(void **state)
{
    Fixture *f = *state;

    lock_acquire(&f->device);
    irq_set(&f->line, true);
    irq_set(&f->line, false);
    lock_release(&f->device);
    SEEN("");
}

/* A vCPU lowers the line under its device's lock, another thread raises it before that is delivered. */
static void test_fall_and_rise_are_an_edge(void **state)
{
    Fixture *f = *state;
    pthread_t thread;

    irq_set(&f->line, true);
    SEEN("5+");
    lock_acquire(&f->device);
    irq_set(&f->line, false);
    assert_int_equal(pthread_create(&thread, NULL, raise_line, &f->line), 0);
    pthread_join(thread, NULL);
    SEEN("5-5+");
    lock_release(&f->device);
    SEEN("");
}

static void test_every_pulse_is_an_edge(void **state)
{
    Fixture *f = *state;

    lock_acquire(&f->device);
    irq_pulse(&f->line);
    irq_pulse(&f->line);
    lock_release(&f->device);
    SEEN("5+5-5+5-");
}

static void test_pulse_on_a_high_line_is_one_edge(void **state)
{
    Fixture *f = *state;

    irq_set(&f->line, true);
    SEEN("5+");
    irq_pulse(&f->line);
    SEEN("5-5+");
    lock_acquire(&f->device);
    irq_pulse(&f->line);
    irq_set(&f->line, false);
    lock_release(&f->device);
    SEEN("5-5+5-");
}

static void test_resync_delivers_again(void **state)
{
    Fixture *f = *state;

    irq_set(&f->line, true);
    SEEN("5+");
    irq_resync(&f->line);
    SEEN("5+");
    irq_resync(NULL);
}

static void test_shared_line_is_high_while_any_source_is(void **state)
{
    Fixture *f = *state;
    IrqShare *share = irq_share_new(&f->line);
    IrqLine *a = irq_share_add(share), *b = irq_share_add(share);

    irq_set(a, true);
    irq_set(b, true);
    SEEN("5+");
    irq_set(a, false);
    SEEN("");
    irq_set(b, false);
    SEEN("5-");
    irq_pulse(a);
    SEEN("5+5-");
    irq_set(b, true);
    irq_share_remove(share, b);
    SEEN("5+5-");
    irq_share_remove(share, a);
    irq_share_free(share);
}

static void test_gsi_reaches_the_accelerator_and_every_chip(void **state)
{
    Fixture *f = *state;

    gsi_connect(&f->fabric, 4, sink, f, 40);
    gsi_connect(&f->fabric, 4, sink, f, 41);
    irq_set(gsi_line(&f->fabric, 4), true);
    SEEN("k4+40+41+");
    gsi_disconnect(&f->fabric, 4, sink, f);
    irq_set(gsi_line(&f->fabric, 4), false);
    SEEN("k4-");
}

static void test_added_sources_are_wired_or(void **state)
{
    Fixture *f = *state;
    IrqShare *share = irq_share_new(gsi_line(&f->fabric, 9));
    IrqLine *a = irq_share_add(share), *b = gsi_add_source(&f->fabric, 9);

    irq_set(a, true);
    irq_set(b, true);
    SEEN("k9+");
    irq_set(a, false);
    SEEN("");
    gsi_remove_source(b);
    SEEN("k9-");
    irq_share_remove(share, a);
    irq_share_free(share);
}

static void test_override_replaces_the_line(void **state)
{
    Fixture *f = *state;
    IrqLine *pit = gsi_line(&f->fabric, 0), *hpet = gsi_override_line(&f->fabric, 0);

    irq_set(hpet, true);
    SEEN("");
    gsi_override(&f->fabric, 0, true);
    SEEN("o0+k0+");
    irq_set(pit, true);
    irq_set(pit, false);
    SEEN("");
    irq_set(hpet, false);
    SEEN("k0-");
    irq_set(pit, true);
    gsi_override(&f->fabric, 0, false);
    SEEN("o0-k0+");
}

/* A router: its sink sets another line. */
static void route(void *opaque, unsigned n, bool level)
{
    Fixture *f = opaque;

    irq_set(gsi_line(&f->fabric, n), level);
}

static void test_sink_may_set_another_line(void **state)
{
    Fixture *f = *state;
    IrqLine pirq;

    irq_line_init(&pirq, route, f, 11);
    lock_acquire(&f->device);
    irq_set(&pirq, true);
    lock_release(&f->device);
    SEEN("k11+");
    irq_set(&pirq, false);
    SEEN("k11-");
    irq_line_finish(&pirq);
}

static void test_irqfd_without_support_is_refused(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;

    assert_false(gsi_irqfd(&f->fabric, 3, 7, -1, true, &error));
    assert_non_null(error);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_change_of_level_arrives_once),
        TEST(test_level_waits_for_the_device_lock),
        TEST(test_who_finds_the_level_set_returns_after_its_delivery),
        TEST(test_only_the_newest_level_is_delivered),
        TEST(test_fall_and_rise_are_an_edge),
        TEST(test_every_pulse_is_an_edge),
        TEST(test_pulse_on_a_high_line_is_one_edge),
        TEST(test_resync_delivers_again),
        TEST(test_shared_line_is_high_while_any_source_is),
        TEST(test_gsi_reaches_the_accelerator_and_every_chip),
        TEST(test_added_sources_are_wired_or),
        TEST(test_override_replaces_the_line),
        TEST(test_sink_may_set_another_line),
        TEST(test_irqfd_without_support_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
