/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both ring layouts, driven by a driver of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "queue-rig.h"

#define PACKED    VIRTIO_BIT(VIRTIO_F_RING_PACKED)
#define EVENT_IDX VIRTIO_BIT(VIRTIO_F_EVENT_IDX)
#define INDIRECT  VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC)
#define DATA      0x10000 /* where buffers lie */
#define TABLE     0x20000

static int setup(void **state)
{
    *state = g_new0(QueueRig, 1);
    rig_setup(*state);
    return 0;
}

static int teardown(void **state)
{
    rig_teardown(*state);
    g_free(*state);
    return 0;
}

static VirtqueueChain *pop(QueueRig *r)
{
    return virtqueue_pop(r->vq, sizeof(VirtqueueChain));
}

static const DriverBuffer out_in[] = { { DATA, 16, false }, { DATA + 0x100, 512, true }, { DATA + 0x400, 1, true } };

static void check_out_in(QueueRig *r, const VirtqueueChain *c)
{
    uint8_t *ram = ram_block_host(r->block);

    assert_non_null(c);
    assert_int_equal(c->outs, 1);
    assert_int_equal(c->ins, 2);
    assert_int_equal(c->out_bytes, 16);
    assert_int_equal(c->in_bytes, 513);
    assert_ptr_equal(c->out[0].iov_base, ram + DATA);
    assert_ptr_equal(c->in[0].iov_base, ram + DATA + 0x100);
    assert_int_equal(c->in[1].iov_len, 1);
}

static void check_broken(QueueRig *r)
{
    assert_null(pop(r));
    assert_true(r->virtio.status & VIRTIO_S_NEEDS_RESET);
    assert_int_equal(r->config_interrupts, 1);
    assert_null(pop(r));
    assert_int_equal(virtqueue_in_flight(r->vq), 0);
}

/* ---- what a good driver sees ---- */

static void chain_roundtrip(QueueRig *r, uint64_t features)
{
    VirtqueueChain *c;
    uint32_t length;
    uint16_t id, used;

    rig_start(r, 8, features);
    assert_null(pop(r));
    id = driver_add(&r->driver, out_in, 3);
    c = pop(r);
    check_out_in(r, c);
    assert_int_equal(virtqueue_in_flight(r->vq), 1);
    assert_false(driver_take_used(&r->driver, &used, &length));
    virtqueue_push(r->vq, c, 513);
    assert_int_equal(virtqueue_in_flight(r->vq), 0);
    assert_true(driver_take_used(&r->driver, &used, &length));
    assert_int_equal(used, id);
    assert_int_equal(length, 513);
    assert_null(pop(r));
}

static void test_split_chain_comes_and_goes_back(void **state)
{
    chain_roundtrip(*state, 0);
}

static void test_packed_chain_comes_and_goes_back(void **state)
{
    chain_roundtrip(*state, PACKED);
}

static void indirect_roundtrip(QueueRig *r, uint64_t features)
{
    VirtqueueChain *c;
    uint32_t length;
    uint16_t id, used;

    rig_start(r, 4, features | INDIRECT);
    id = driver_add_indirect(&r->driver, out_in, 3, TABLE);
    c = pop(r);
    check_out_in(r, c);
    virtqueue_push(r->vq, c, 1);
    assert_true(driver_take_used(&r->driver, &used, &length));
    assert_int_equal(used, id);
    assert_int_equal(length, 1);
}

static void test_split_indirect_table_is_followed(void **state)
{
    indirect_roundtrip(*state, 0);
}

static void test_packed_indirect_table_is_followed(void **state)
{
    indirect_roundtrip(*state, PACKED);
}

/* 5 chains of 3 descriptors through 7 (packed) or 8 entries: positions and wrap counters turn over. */
static void many_rounds(QueueRig *r, unsigned size, uint64_t features)
{
    rig_start(r, size, features);
    for (unsigned round = 0; round < 1000; round++) {
        uint16_t first = driver_add(&r->driver, out_in, 3), second = driver_add(&r->driver, out_in, 2), used;
        VirtqueueChain *a = pop(r), *b = pop(r);
        uint32_t length;

        assert_non_null(a);
        assert_non_null(b);
        assert_null(pop(r));
        virtqueue_push(r->vq, b, 2); /* in the other order */
        virtqueue_push(r->vq, a, 1);
        assert_true(driver_take_used(&r->driver, &used, &length));
        assert_int_equal(used, second);
        assert_int_equal(length, 2);
        assert_true(driver_take_used(&r->driver, &used, &length));
        assert_int_equal(used, first);
        assert_int_equal(length, 1);
        assert_false(driver_take_used(&r->driver, &used, &length));
    }
}

static void test_split_positions_wrap(void **state)
{
    many_rounds(*state, 8, EVENT_IDX);
}

static void test_packed_positions_wrap_in_a_ring_of_odd_size(void **state)
{
    many_rounds(*state, 7, PACKED | EVENT_IDX);
}

static void unpop_returns_it(QueueRig *r, uint64_t features)
{
    VirtqueueChain *c;
    uint16_t id, used;
    uint32_t length;

    rig_start(r, 4, features);
    virtqueue_push(r->vq, (driver_add(&r->driver, out_in, 3), pop(r)), 0);
    driver_take_used(&r->driver, &used, &length);
    id = driver_add(&r->driver, out_in, 3); /* wraps */
    virtqueue_unpop(r->vq, pop(r));
    assert_int_equal(virtqueue_in_flight(r->vq), 0);
    c = pop(r);
    check_out_in(r, c);
    virtqueue_push(r->vq, c, 7);
    assert_true(driver_take_used(&r->driver, &used, &length));
    assert_int_equal(used, id);
}

static void test_split_unpopped_chain_is_popped_again(void **state)
{
    unpop_returns_it(*state, 0);
}

static void test_packed_unpopped_chain_is_popped_again(void **state)
{
    unpop_returns_it(*state, PACKED);
}

/* ---- notifications ---- */

static void doorbells_are_suppressed(QueueRig *r, uint64_t features)
{
    rig_start(r, 8, features);
    virtqueue_set_notification(r->vq, false);
    driver_add(&r->driver, out_in, 1);
    /* Without DISABLE (split, event index) the old event is one behind: one kick is allowed. */
    if (!(features & EVENT_IDX) || features & PACKED) {
        assert_false(driver_must_kick(&r->driver));
    } else {
        driver_must_kick(&r->driver);
    }
    driver_add(&r->driver, out_in, 1);
    assert_false(driver_must_kick(&r->driver));
    assert_true(virtqueue_set_notification(r->vq, true)); /* chains came meanwhile */
    virtqueue_push(r->vq, pop(r), 0);
    virtqueue_push(r->vq, pop(r), 0);
    assert_false(virtqueue_set_notification(r->vq, true));
    driver_add(&r->driver, out_in, 1);
    assert_true(driver_must_kick(&r->driver));
}

static void test_split_doorbells_are_suppressed_by_flag(void **state)
{
    doorbells_are_suppressed(*state, 0);
}

static void test_split_doorbells_are_suppressed_by_index(void **state)
{
    doorbells_are_suppressed(*state, EVENT_IDX);
}

static void test_packed_doorbells_are_suppressed_by_flag(void **state)
{
    doorbells_are_suppressed(*state, PACKED);
}

static void test_packed_doorbells_are_suppressed_by_index(void **state)
{
    doorbells_are_suppressed(*state, PACKED | EVENT_IDX);
}

/* A device that pops until it gets NULL and never calls set_notification() misses no doorbell. */
static void empty_pop_rearms(QueueRig *r, uint64_t features)
{
    rig_start(r, 8, features);
    for (unsigned i = 0; i < 20; i++) {
        uint16_t used;
        uint32_t length;

        driver_add(&r->driver, out_in, 1);
        assert_true(driver_must_kick(&r->driver));
        virtqueue_push(r->vq, pop(r), 0);
        assert_null(pop(r));
        driver_take_used(&r->driver, &used, &length);
    }
}

static void test_split_empty_pop_asks_for_the_next_doorbell(void **state)
{
    empty_pop_rearms(*state, EVENT_IDX);
}

static void test_packed_empty_pop_asks_for_the_next_doorbell(void **state)
{
    empty_pop_rearms(*state, PACKED | EVENT_IDX);
}

static void use_one(QueueRig *r)
{
    uint16_t used;
    uint32_t length;

    driver_add(&r->driver, out_in, 2);
    virtqueue_push(r->vq, pop(r), 0);
    virtqueue_notify(r->vq);
    driver_take_used(&r->driver, &used, &length);
}

static void test_interrupt_of_a_batch_goes_with_what_the_loop_submits(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, 0);
    driver_add(&r->driver, out_in, 2);
    virtqueue_push(r->vq, pop(r), 0);
    virtqueue_notify_soon(r->vq);
    loop_run_once(r->loop, false);
    assert_int_equal(r->interrupts_soon, 1);
    assert_int_equal(r->interrupts, 0);
}

static void test_suspending_interrupts_at_once_for_what_waits_for_a_batch(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, 0);
    driver_add(&r->driver, out_in, 2);
    virtqueue_push(r->vq, pop(r), 0);
    virtqueue_notify_soon(r->vq);
    virtqueue_suspend(r->vq);
    assert_int_equal(r->interrupts, 1);
    loop_run_once(r->loop, false);
    assert_int_equal(r->interrupts_soon, 0);
}

static void interrupts_follow_the_flag(QueueRig *r, uint64_t features)
{
    rig_start(r, 8, features);
    virtqueue_notify(r->vq);
    assert_int_equal(r->interrupts, 0); /* nothing was used */
    use_one(r);
    assert_int_equal(r->interrupts, 1);
    driver_allow_interrupts(&r->driver, false);
    use_one(r);
    assert_int_equal(r->interrupts, 1);
    driver_allow_interrupts(&r->driver, true);
    use_one(r);
    assert_int_equal(r->interrupts, 2);
}

static void test_split_interrupts_follow_the_flag(void **state)
{
    interrupts_follow_the_flag(*state, 0);
}

static void test_packed_interrupts_follow_the_flag(void **state)
{
    interrupts_follow_the_flag(*state, PACKED);
}

static void interrupts_follow_the_index(QueueRig *r, uint64_t features, unsigned step)
{
    rig_start(r, 6 + 2 * !(features & PACKED), features | EVENT_IDX);
    use_one(r); /* the first one always interrupts */
    r->interrupts = 0;
    for (unsigned i = 0; i < 20; i++) {
        driver_interrupt_after(&r->driver, 2 * step);
        use_one(r);
        assert_int_equal(r->interrupts, i);
        use_one(r);
        assert_int_equal(r->interrupts, i + 1);
    }
}

static void test_split_interrupts_follow_the_index(void **state)
{
    interrupts_follow_the_index(*state, 0, 1);
}

static void test_packed_interrupts_follow_the_index(void **state)
{
    interrupts_follow_the_index(*state, PACKED, 2);
}

static void test_doorbell_calls_the_device(void **state)
{
    QueueRig *r = *state;
    unsigned before;

    rig_start(r, 8, 0);
    before = r->readies;
    virtqueue_kick(r->vq);
    while (r->readies == before) {
        loop_run_once(r->loop, true);
    }
    assert_int_equal(r->readies, before + 1);
}

/* ---- what a bad driver gets ---- */

static void test_ring_outside_ram_breaks_the_device(void **state)
{
    QueueRig *r = *state;
    VirtqueueSetup *setup = virtqueue_setup(r->vq);

    *setup = (VirtqueueSetup) { .size = 8, .size_max = 8, .desc = RIG_RAM_SIZE, .avail = 0x1000, .used = 0x2000 };
    assert_false(virtqueue_map(r->vq, &r->dma, 0));
    assert_true(r->virtio.status & VIRTIO_S_NEEDS_RESET);
}

static void test_ring_that_leaves_ram_breaks_the_device(void **state)
{
    QueueRig *r = *state;
    VirtqueueSetup *setup = virtqueue_setup(r->vq);

    *setup = (VirtqueueSetup) { .size = 8, .size_max = 8, .desc = RIG_RAM_SIZE - 112, .avail = 0x1000, .used = 0x2000 };
    assert_false(virtqueue_map(r->vq, &r->dma, 0));
    assert_true(r->virtio.status & VIRTIO_S_NEEDS_RESET);
}

static void test_misaligned_ring_breaks_the_device(void **state)
{
    QueueRig *r = *state;
    VirtqueueSetup *setup = virtqueue_setup(r->vq);

    *setup = (VirtqueueSetup) { .size = 8, .size_max = 8, .desc = 0x1008, .avail = 0x1100, .used = 0x2000 };
    assert_false(virtqueue_map(r->vq, &r->dma, 0));
    assert_true(r->virtio.status & VIRTIO_S_NEEDS_RESET);
}

static void test_split_size_that_is_no_power_of_two_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 6, 0);
    check_broken(r);
}

static void test_avail_index_beyond_the_ring_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, 0);
    driver_put16(&r->driver, r->driver.avail + 2, 9);
    check_broken(r);
}

static void test_head_beyond_the_ring_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, 0);
    driver_put16(&r->driver, r->driver.avail + 4, 8);
    driver_put16(&r->driver, r->driver.avail + 2, 1);
    check_broken(r);
}

static void test_next_beyond_the_ring_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, 0);
    driver_put_desc(&r->driver, r->driver.desc, DATA, 16, VIRTQ_DESC_F_NEXT, 8);
    driver_put16(&r->driver, r->driver.avail + 2, 1);
    check_broken(r);
}

static void test_looped_chain_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, 0);
    driver_put_desc(&r->driver, r->driver.desc, DATA, 16, VIRTQ_DESC_F_NEXT, 1);
    driver_put_desc(&r->driver, r->driver.desc + 16, DATA, 16, VIRTQ_DESC_F_NEXT, 0);
    driver_put16(&r->driver, r->driver.avail + 2, 1);
    check_broken(r);
}

static void test_packed_endless_chain_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 2, PACKED);
    driver_put_desc(&r->driver, r->driver.desc, DATA, 16, 0, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_AVAIL);
    driver_put_desc(&r->driver, r->driver.desc + 16, DATA, 16, 0, VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_AVAIL);
    check_broken(r);
}

static void buffer_outside_ram(QueueRig *r, uint64_t features)
{
    const DriverBuffer bad[] = { { DATA, 16, false }, { RIG_RAM_SIZE - 16, 32, true } };

    rig_start(r, 8, features);
    driver_add(&r->driver, bad, 2);
    check_broken(r);
}

static void test_split_buffer_that_leaves_ram_breaks_the_device(void **state)
{
    buffer_outside_ram(*state, 0);
}

static void test_packed_buffer_that_leaves_ram_breaks_the_device(void **state)
{
    buffer_outside_ram(*state, PACKED);
}

static void test_buffer_that_wraps_the_address_space_breaks_the_device(void **state)
{
    QueueRig *r = *state;
    const DriverBuffer bad = { UINT64_MAX - 8, 4096, false };

    rig_start(r, 8, 0);
    driver_add(&r->driver, &bad, 1);
    check_broken(r);
}

static void readable_after_writable(QueueRig *r, uint64_t features)
{
    const DriverBuffer bad[] = { { DATA, 16, true }, { DATA, 16, false } };

    rig_start(r, 8, features);
    driver_add(&r->driver, bad, 2);
    check_broken(r);
}

static void test_split_readable_after_writable_breaks_the_device(void **state)
{
    readable_after_writable(*state, 0);
}

static void test_packed_readable_after_writable_breaks_the_device(void **state)
{
    readable_after_writable(*state, PACKED);
}

static void test_indirect_that_was_not_negotiated_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, 0);
    driver_add_indirect(&r->driver, out_in, 3, TABLE);
    check_broken(r);
}

static void test_indirect_table_of_odd_length_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, INDIRECT);
    driver_put_desc(&r->driver, r->driver.desc, TABLE, 24, VIRTQ_DESC_F_INDIRECT, 0);
    driver_put16(&r->driver, r->driver.avail + 2, 1);
    check_broken(r);
}

static void test_indirect_table_outside_ram_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, INDIRECT);
    driver_put_desc(&r->driver, r->driver.desc, RIG_RAM_SIZE - 16, 32, VIRTQ_DESC_F_INDIRECT, 0);
    driver_put16(&r->driver, r->driver.avail + 2, 1);
    check_broken(r);
}

static void test_nested_indirect_table_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, INDIRECT);
    driver_put_desc(&r->driver, TABLE, TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    driver_put_desc(&r->driver, r->driver.desc, TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    driver_put16(&r->driver, r->driver.avail + 2, 1);
    check_broken(r);
}

static void test_looped_indirect_table_breaks_the_device(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, INDIRECT);
    driver_put_desc(&r->driver, TABLE, DATA, 16, VIRTQ_DESC_F_NEXT, 0);
    driver_put_desc(&r->driver, r->driver.desc, TABLE, 16, VIRTQ_DESC_F_INDIRECT, 0);
    driver_put16(&r->driver, r->driver.avail + 2, 1);
    check_broken(r);
}

static void test_more_than_4_gib_breaks_the_device(void **state)
{
    QueueRig *r = *state;
    const DriverBuffer bad[] = { { DATA, RIG_RAM_SIZE - DATA, false }, { 0, UINT32_MAX, false } };

    rig_start(r, 8, 0);
    driver_add(&r->driver, bad, 2);
    check_broken(r);
}

/* ---- stop, save, dirty pages ---- */

static void test_suspended_queue_pops_nothing_and_is_quiet_when_its_chains_are_held(void **state)
{
    QueueRig *r = *state;
    VirtqueueChain *c;

    rig_start(r, 8, 0);
    driver_add(&r->driver, out_in, 3);
    driver_add(&r->driver, out_in, 3);
    c = pop(r);
    virtqueue_suspend(r->vq);
    assert_null(pop(r));
    assert_false(virtqueue_is_quiet(r->vq));
    virtqueue_hold(r->vq, c, true);
    assert_true(virtqueue_is_quiet(r->vq));
    virtqueue_detach(r->vq, c);
    assert_int_equal(virtqueue_in_flight(r->vq), 0);
}

static void held_chain_survives(QueueRig *r, uint64_t features)
{
    g_autoptr(GByteArray) saved = g_byte_array_new();
    VirtqueueChain *c;
    const uint8_t *data;
    uint32_t length;
    uint16_t id, used;
    size_t bytes;

    rig_start(r, 8, features);
    id = driver_add(&r->driver, out_in, 3);
    c = pop(r);
    virtqueue_chain_save(c, saved);
    virtqueue_detach(r->vq, c);
    data = saved->data;
    bytes = saved->len;
    c = virtqueue_chain_load(r->vq, sizeof(*c), &data, &bytes, NULL);
    assert_int_equal(bytes, 0);
    check_out_in(r, c);
    assert_true(c->held);
    virtqueue_push(r->vq, c, 513);
    assert_true(driver_take_used(&r->driver, &used, &length));
    assert_int_equal(used, id);
}

static void test_split_held_chain_survives_save_and_load(void **state)
{
    held_chain_survives(*state, 0);
}

static void test_packed_held_chain_survives_save_and_load(void **state)
{
    held_chain_survives(*state, PACKED);
}

static void test_truncated_saved_chain_is_refused(void **state)
{
    QueueRig *r = *state;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    VirtqueueChain *c;
    const uint8_t *data;
    size_t bytes;

    rig_start(r, 8, 0);
    driver_add(&r->driver, out_in, 3);
    c = pop(r);
    virtqueue_chain_save(c, saved);
    virtqueue_detach(r->vq, c);
    data = saved->data;
    bytes = saved->len - 1;
    assert_null(virtqueue_chain_load(r->vq, sizeof(*c), &data, &bytes, &error));
    assert_string_equal(error->message, "a saved request of queue 0 is malformed");
    assert_int_equal(virtqueue_in_flight(r->vq), 0);
}

static void test_written_bytes_and_used_ring_are_marked_dirty(void **state)
{
    QueueRig *r = *state;

    rig_start(r, 8, 0);
    driver_add(&r->driver, out_in, 3);
    ram_dirty_enable(r->block, DIRTY_MIGRATION);
    for (uint64_t page = 0; page < RIG_RAM_SIZE; page += GUEST_PAGE_SIZE) {
        ram_dirty_take(r->block, DIRTY_MIGRATION, page);
    }
    virtqueue_push(r->vq, pop(r), 513);
    assert_true(ram_dirty_test(r->block, DIRTY_MIGRATION, DATA, 1));
    assert_true(ram_dirty_test(r->block, DIRTY_MIGRATION, r->driver.used, 1));
    assert_false(ram_dirty_test(r->block, DIRTY_MIGRATION, DATA + 0x1000, 1));
    ram_dirty_disable(r->block, DIRTY_MIGRATION);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(split_chain_comes_and_goes_back),
        TEST(packed_chain_comes_and_goes_back),
        TEST(split_indirect_table_is_followed),
        TEST(packed_indirect_table_is_followed),
        TEST(split_positions_wrap),
        TEST(packed_positions_wrap_in_a_ring_of_odd_size),
        TEST(split_unpopped_chain_is_popped_again),
        TEST(packed_unpopped_chain_is_popped_again),
        TEST(split_doorbells_are_suppressed_by_flag),
        TEST(split_doorbells_are_suppressed_by_index),
        TEST(packed_doorbells_are_suppressed_by_flag),
        TEST(packed_doorbells_are_suppressed_by_index),
        TEST(split_empty_pop_asks_for_the_next_doorbell),
        TEST(packed_empty_pop_asks_for_the_next_doorbell),
        TEST(interrupt_of_a_batch_goes_with_what_the_loop_submits),
        TEST(suspending_interrupts_at_once_for_what_waits_for_a_batch),
        TEST(split_interrupts_follow_the_flag),
        TEST(packed_interrupts_follow_the_flag),
        TEST(split_interrupts_follow_the_index),
        TEST(packed_interrupts_follow_the_index),
        TEST(doorbell_calls_the_device),
        TEST(ring_outside_ram_breaks_the_device),
        TEST(ring_that_leaves_ram_breaks_the_device),
        TEST(misaligned_ring_breaks_the_device),
        TEST(split_size_that_is_no_power_of_two_breaks_the_device),
        TEST(avail_index_beyond_the_ring_breaks_the_device),
        TEST(head_beyond_the_ring_breaks_the_device),
        TEST(next_beyond_the_ring_breaks_the_device),
        TEST(looped_chain_breaks_the_device),
        TEST(packed_endless_chain_breaks_the_device),
        TEST(split_buffer_that_leaves_ram_breaks_the_device),
        TEST(packed_buffer_that_leaves_ram_breaks_the_device),
        TEST(buffer_that_wraps_the_address_space_breaks_the_device),
        TEST(split_readable_after_writable_breaks_the_device),
        TEST(packed_readable_after_writable_breaks_the_device),
        TEST(indirect_that_was_not_negotiated_breaks_the_device),
        TEST(indirect_table_of_odd_length_breaks_the_device),
        TEST(indirect_table_outside_ram_breaks_the_device),
        TEST(nested_indirect_table_breaks_the_device),
        TEST(looped_indirect_table_breaks_the_device),
        TEST(more_than_4_gib_breaks_the_device),
        TEST(suspended_queue_pops_nothing_and_is_quiet_when_its_chains_are_held),
        TEST(split_held_chain_survives_save_and_load),
        TEST(packed_held_chain_survives_save_and_load),
        TEST(truncated_saved_chain_is_refused),
        TEST(written_bytes_and_used_ring_are_marked_dirty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
