/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-mmio: its registers (Virtio 1.2, 4.2.2) with nothing behind them, and with
 * an entropy source.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/rig.h"
#include "virtio-driver.h"

#define BASE    UINT64_C(0xfeb00000)
#define GSI     5
#define QUEUES  0x100000
#define DATA    0x20000
#define BYTES   32
#define RESET   0x0c0 /* QueueReset, 4.2.2 */
#define ALL_OK  (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
                 VIRTIO_CONFIG_S_DRIVER_OK)
#define QUEUE_INTERRUPT 1

static uint32_t get(Rig *r, unsigned offset)
{
    return (uint32_t)rig_read(r, BASE + offset, 4);
}

static void put(Rig *r, unsigned offset, uint32_t value)
{
    rig_write(r, BASE + offset, value, 4);
}

static int setup_empty(void **state)
{
    *state = rig_new("virtio-mmio,base=0xfeb00000,gsi=5");
    return 0;
}

static int setup(void **state)
{
    g_autofree char *failure = NULL;

    setup_empty(state);
    failure = rig_try_add(*state, "virtio-rng-device");
    assert_null(failure);
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* Reset to FEATURES_OK; the device is asked for nothing but VIRTIO_F_VERSION_1 and what is wanted in word 1. */
static void negotiate(Rig *r, uint32_t high)
{
    put(r, VIRTIO_MMIO_STATUS, 0);
    put(r, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    put(r, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    put(r, VIRTIO_MMIO_DRIVER_FEATURES, 1u << (VIRTIO_F_VERSION_1 - 32) | high);
    put(r, VIRTIO_MMIO_STATUS, get(r, VIRTIO_MMIO_STATUS) | VIRTIO_CONFIG_S_FEATURES_OK);
}

static void start_queue(Rig *r, DriverQueue *q)
{
    driver_queue_init(q, rig_ram(r, 0), QUEUES, 8, false, false);
    put(r, VIRTIO_MMIO_QUEUE_SEL, 0);
    put(r, VIRTIO_MMIO_QUEUE_NUM, 8);
    put(r, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)q->desc);
    put(r, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
    put(r, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)q->avail);
    put(r, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
    put(r, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)q->used);
    put(r, VIRTIO_MMIO_QUEUE_USED_HIGH, 0);
    put(r, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void start(Rig *r, DriverQueue *q, uint32_t high)
{
    negotiate(r, high);
    start_queue(r, q);
    put(r, VIRTIO_MMIO_STATUS, ALL_OK);
}

static void ask(Rig *r, DriverQueue *q)
{
    const DriverBuffer buffer = { DATA, BYTES, true };

    driver_add(q, &buffer, 1);
    put(r, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
}

static uint32_t answer(Rig *r, DriverQueue *q)
{
    uint32_t length;
    uint16_t id;

    while (!driver_take_used(q, &id, &length)) {
        loop_run_once(domain_loop(r->domain), true);
    }
    return length;
}

/* ---- registers ---- */

static void test_an_empty_transport_says_that_there_is_no_device(void **state)
{
    Rig *r = *state;

    assert_int_equal(get(r, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    assert_int_equal(get(r, VIRTIO_MMIO_VERSION), 2);
    assert_int_equal(get(r, VIRTIO_MMIO_DEVICE_ID), 0);
    put(r, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    assert_int_equal(get(r, VIRTIO_MMIO_STATUS), 0);
}

static void test_identity(void **state)
{
    Rig *r = *state;

    assert_int_equal(get(r, VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_RNG);
    put(r, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    assert_true(get(r, VIRTIO_MMIO_DEVICE_FEATURES) & 1u << (VIRTIO_F_VERSION_1 - 32));
    put(r, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    assert_int_equal(get(r, VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

static void test_narrow_accesses_of_registers_read_zero_and_write_nothing(void **state)
{
    Rig *r = *state;

    assert_int_equal(rig_read(r, BASE + VIRTIO_MMIO_MAGIC_VALUE, 2), 0);
    rig_write(r, BASE + VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE, 1);
    assert_int_equal(get(r, VIRTIO_MMIO_STATUS), 0);
}

static void test_a_queue_that_is_not_there_has_no_entries(void **state)
{
    Rig *r = *state;

    assert_int_equal(get(r, VIRTIO_MMIO_QUEUE_NUM_MAX), 8);
    put(r, VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_int_equal(get(r, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    put(r, VIRTIO_MMIO_QUEUE_READY, 1);
    assert_int_equal(get(r, VIRTIO_MMIO_QUEUE_READY), 0);
}

static void test_a_driver_without_version_1_gets_no_features_ok(void **state)
{
    Rig *r = *state;

    put(r, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    put(r, VIRTIO_MMIO_STATUS,
        VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
    assert_false(get(r, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK);
}

static void test_there_are_no_shared_memory_regions(void **state)
{
    Rig *r = *state;

    assert_int_equal(get(r, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
    assert_int_equal(get(r, VIRTIO_MMIO_SHM_LEN_HIGH), UINT32_MAX);
}

/* ---- queues ---- */

static void test_a_used_buffer_raises_the_line_until_it_is_acknowledged(void **state)
{
    Rig *r = *state;
    DriverQueue q;

    start(r, &q, 0);
    ask(r, &q);
    assert_int_equal(answer(r, &q), BYTES);
    rig_settle(r);
    assert_int_equal(get(r, VIRTIO_MMIO_INTERRUPT_STATUS), QUEUE_INTERRUPT);
    assert_true(rig_irq(r, GSI));
    put(r, VIRTIO_MMIO_INTERRUPT_ACK, QUEUE_INTERRUPT);
    assert_false(rig_irq(r, GSI));
    assert_int_equal(get(r, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void test_an_enabled_queue_cannot_be_moved(void **state)
{
    Rig *r = *state;
    DriverQueue q;

    start(r, &q, 0);
    put(r, VIRTIO_MMIO_QUEUE_DESC_LOW, 0x200000);
    ask(r, &q);
    assert_int_equal(answer(r, &q), BYTES);
}

static void test_status_0_takes_everything_back_at_once(void **state)
{
    Rig *r = *state;
    DriverQueue q;

    start(r, &q, 0);
    ask(r, &q);
    answer(r, &q);
    put(r, VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(get(r, VIRTIO_MMIO_STATUS), 0);
    assert_int_equal(get(r, VIRTIO_MMIO_QUEUE_READY), 0);
    assert_int_equal(get(r, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    assert_false(rig_irq(r, GSI));
}

/* A driver need not wait: what it sets up takes effect when the old queue is gone. */
static void test_a_driver_starts_anew_right_after_its_reset(void **state)
{
    Rig *r = *state;
    DriverQueue q;

    start(r, &q, 0);
    ask(r, &q);
    answer(r, &q);
    start(r, &q, 0);
    ask(r, &q);
    assert_int_equal(answer(r, &q), BYTES);
}

static void test_one_queue_is_reset_and_enabled_again(void **state)
{
    Rig *r = *state;
    DriverQueue q;

    start(r, &q, 1u << (VIRTIO_F_RING_RESET - 32));
    put(r, RESET, 1);
    rig_settle(r);
    assert_int_equal(get(r, RESET), 0);
    assert_int_equal(get(r, VIRTIO_MMIO_QUEUE_READY), 0);
    start_queue(r, &q);
    ask(r, &q);
    assert_int_equal(answer(r, &q), BYTES);
}

static void test_queue_reset_that_was_not_negotiated_does_nothing(void **state)
{
    Rig *r = *state;
    DriverQueue q;

    start(r, &q, 0);
    put(r, RESET, 1);
    rig_settle(r);
    assert_int_equal(get(r, VIRTIO_MMIO_QUEUE_READY), 1);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_empty_transport_says_that_there_is_no_device, setup_empty, teardown),
        TEST(identity),
        TEST(narrow_accesses_of_registers_read_zero_and_write_nothing),
        TEST(a_queue_that_is_not_there_has_no_entries),
        TEST(a_driver_without_version_1_gets_no_features_ok),
        TEST(there_are_no_shared_memory_regions),
        TEST(a_used_buffer_raises_the_line_until_it_is_acknowledged),
        TEST(an_enabled_queue_cannot_be_moved),
        TEST(status_0_takes_everything_back_at_once),
        TEST(a_driver_starts_anew_right_after_its_reset),
        TEST(one_queue_is_reset_and_enabled_again),
        TEST(queue_reset_that_was_not_negotiated_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
