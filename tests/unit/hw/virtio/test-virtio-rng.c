/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-rng on PCI, as a driver sees it: buffers, the limit on bytes, reset.
 */
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio-guest.h"
#include "vmm/timer.h"

#define LIMITED "virtio-rng-pci,addr=5,max-bytes=16,period=100"
#define PERIOD  (100 * NS_PER_MS)
#define DATA    0x20000
#define BYTES   64

typedef struct Guest {
    VirtioGuest g;
    DriverQueue q;
} Guest;

static void begin(Guest *t)
{
    assert_true(guest_negotiate(&t->g, 0));
    guest_add_queue(&t->g, 0, &t->q, 8);
    guest_driver_ok(&t->g);
}

static int start(void **state, const char *device)
{
    Guest *t = g_new0(Guest, 1);

    guest_init(&t->g, rig_new(device));
    begin(t);
    *state = t;
    return 0;
}

static int setup(void **state)
{
    return start(state, "virtio-rng-pci,addr=5");
}

static int setup_limited(void **state)
{
    return start(state, LIMITED);
}

static int teardown(void **state)
{
    Guest *t = *state;

    rig_free(t->g.rig);
    g_free(t);
    return 0;
}

static void ask(Guest *t, uint32_t bytes, bool write)
{
    const DriverBuffer buffer = { DATA, bytes, write };

    driver_add(&t->q, &buffer, 1);
    guest_kick(&t->g, 0);
}

static uint32_t answer(Guest *t)
{
    uint16_t id;
    uint32_t length;

    guest_wait(&t->g, &t->q, &id, &length);
    return length;
}

static bool is_answered(Guest *t, uint32_t *ret_length)
{
    uint16_t id;

    for (int i = 0; i < 20; i++) {
        guest_run(&t->g);
    }
    return driver_take_used(&t->q, &id, ret_length);
}

static void test_a_buffer_is_filled(void **state)
{
    static const uint8_t zeroes[BYTES];
    Guest *t = *state;
    uint8_t *data = rig_ram(t->g.rig, DATA);

    ask(t, BYTES, true);
    assert_int_equal(answer(t), BYTES);
    assert_memory_not_equal(data, zeroes, BYTES);
    assert_int_equal(data[BYTES], 0); /* and nothing behind it */
}

static void test_two_buffers_get_different_bytes(void **state)
{
    Guest *t = *state;
    uint8_t first[BYTES];

    ask(t, BYTES, true);
    answer(t);
    memcpy(first, rig_ram(t->g.rig, DATA), BYTES);
    ask(t, BYTES, true);
    answer(t);
    assert_memory_not_equal(rig_ram(t->g.rig, DATA), first, BYTES);
}

static void test_a_buffer_that_cannot_be_written_comes_back_empty(void **state)
{
    Guest *t = *state;

    ask(t, BYTES, false);
    assert_int_equal(answer(t), 0);
    assert_false(guest_status(&t->g) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void test_no_more_than_the_limit_comes_in_a_period(void **state)
{
    Guest *t = *state;
    uint32_t length;

    ask(t, BYTES, true);
    assert_int_equal(answer(t), 16);
    ask(t, BYTES, true);
    assert_false(is_answered(t, &length));
    rig_advance(t->g.rig, PERIOD - 1);
    assert_false(is_answered(t, &length));
}

static void test_the_next_period_has_bytes_again(void **state)
{
    Guest *t = *state;

    ask(t, BYTES, true);
    answer(t);
    ask(t, BYTES, true);
    rig_advance(t->g.rig, PERIOD);
    assert_int_equal(answer(t), 16);
}

static void test_a_reset_takes_back_a_request_that_waits(void **state)
{
    Guest *t = *state;

    ask(t, BYTES, true);
    answer(t);
    ask(t, BYTES, true);
    guest_run(&t->g);
    guest_reset(&t->g);
    memset(rig_ram(t->g.rig, DATA), 0, BYTES);
    rig_advance(t->g.rig, 2 * PERIOD);
    assert_int_equal(*(uint8_t *)rig_ram(t->g.rig, DATA) | *(uint8_t *)rig_ram(t->g.rig, DATA + 1), 0);
    begin(t);
    ask(t, BYTES, true);
    assert_int_equal(answer(t), 16);
}

static void test_a_request_that_waits_survives_saving(void **state)
{
    Guest *t = *state;

    ask(t, BYTES, true);
    answer(t);
    ask(t, BYTES, true);
    guest_run(&t->g);
    guest_move(&t->g, &t->q, LIMITED, NULL);
    rig_advance(t->g.rig, PERIOD);
    assert_int_equal(answer(t), 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_buffer_is_filled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_buffers_get_different_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_buffer_that_cannot_be_written_comes_back_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_more_than_the_limit_comes_in_a_period, setup_limited, teardown),
        cmocka_unit_test_setup_teardown(test_the_next_period_has_bytes_again, setup_limited, teardown),
        cmocka_unit_test_setup_teardown(test_a_reset_takes_back_a_request_that_waits, setup_limited, teardown),
        cmocka_unit_test_setup_teardown(test_a_request_that_waits_survives_saving, setup_limited, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
