/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/misc/debug-exit.c, pvpanic.c, pc-testdev.c, hw/char/debugcon.c: devices for test guests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rig.h"
#include "vmm/chardev-internal.h"
#include "vmm/chardev.h"
#include "vmm/runstate.h"

static void add_ring(Domain *domain)
{
    assert_non_null(chardev_add_text(domain, "ringbuf,id=ring,size=64", NULL));
}

static void test_debugcon_hands_bytes_to_the_host(void **state)
{
    Rig *r = rig_new_with("isa-debugcon,chardev=ring", add_ring);
    uint8_t text[8] = { 0 };

    rig_out8(r, 0xe9, 'o');
    rig_out8(r, 0xe9, 'k');
    assert_int_equal(chardev_ringbuf_read(chardev_find(r->domain, "ring", NULL), text, sizeof(text)), 2);
    assert_memory_equal(text, "ok", 2);
    rig_free(r);
}

static void test_debugcon_reads_as_its_signature(void **state)
{
    Rig *r = rig_new_with("isa-debugcon,chardev=ring,iobase=0x402,readback=0x42", add_ring);

    assert_int_equal(rig_in8(r, 0x402), 0x42);
    rig_free(r);
}

static void test_debugcon_needs_a_chardev(void **state)
{
    Rig *r = rig_new(NULL);
    g_autofree char *text = rig_try_add(r, "isa-debugcon");

    assert_non_null(strstr(text, "chardev"));
    rig_free(r);
}

static void test_debug_exit_ends_the_domain_with_an_odd_status(void **state)
{
    Rig *r = rig_new("isa-debug-exit");

    rig_out8(r, 0x501, 0x10);
    assert_int_equal(domain_main(r->domain), 0x21);
    rig_free(r);
}

static void test_debug_exit_goes_where_iobase_says(void **state)
{
    Rig *r = rig_new("isa-debug-exit,iobase=0xf4,iosize=4");

    assert_int_equal(rig_in32(r, 0x501), 0xffffffff);
    assert_int_equal(rig_in32(r, 0xf4), 0);
    rig_out32(r, 0xf4, 0);
    assert_int_equal(domain_main(r->domain), 1);
    rig_free(r);
}

static RunEvent seen;
static unsigned events;

static void note(Domain *domain, RunEvent event, RequestReason reason, void *opaque)
{
    seen = event;
    events++;
}

static void test_pvpanic_tells_which_events_it_takes(void **state)
{
    Rig *r = rig_new("pvpanic,events=1");

    assert_int_equal(rig_in8(r, 0x505), 1);
    rig_free(r);
}

static void test_a_written_panic_is_one(void **state)
{
    Rig *r = rig_new("pvpanic");

    events = 0;
    domain_observe(r->domain, note, NULL);
    rig_out8(r, 0x505, 1);
    rig_settle(r);
    assert_true(events >= 1);
    domain_unobserve(r->domain, note, NULL);
    rig_free(r);
}

static void test_an_event_that_was_not_offered_is_ignored(void **state)
{
    Rig *r = rig_new("pvpanic,events=2");

    events = 0;
    domain_observe(r->domain, note, NULL);
    rig_out8(r, 0x505, 1);
    rig_settle(r);
    assert_int_equal(events, 0);
    domain_unobserve(r->domain, note, NULL);
    rig_free(r);
}

static void test_testdev_remembers_at_every_size(void **state)
{
    Rig *r = rig_new("pc-testdev");

    rig_out8(r, 0xe0, 0x12);
    rig_out8(r, 0xe1, 0x34);
    assert_int_equal(rig_in8(r, 0xe0), 0x12);
    assert_int_equal(rig_in8(r, 0xe1), 0x34);
    memory_store(domain_memory(r->domain), 0xff000003, 8, UINT64_C(0x1122334455667788));
    assert_int_equal(rig_read(r, 0xff000004, 4), 0x44556677);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_debugcon_hands_bytes_to_the_host),
        cmocka_unit_test(test_debugcon_reads_as_its_signature),
        cmocka_unit_test(test_debugcon_needs_a_chardev),
        cmocka_unit_test(test_debug_exit_ends_the_domain_with_an_odd_status),
        cmocka_unit_test(test_debug_exit_goes_where_iobase_says),
        cmocka_unit_test(test_pvpanic_tells_which_events_it_takes),
        cmocka_unit_test(test_a_written_panic_is_one),
        cmocka_unit_test(test_an_event_that_was_not_offered_is_ignored),
        cmocka_unit_test(test_testdev_remembers_at_every_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
