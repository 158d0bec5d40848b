/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-balloon on PCI, as a driver sees it: pages, target and size, statistics, reporting.
 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "virtio-guest.h"
#include "vmm/balloon.h"
#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/timer.h"

#define DEVICE   "virtio-balloon-pci,addr=5,guest-stats-polling-interval=2"
#define INTERVAL (2 * NS_PER_SEC)
#define REPORTS  "virtio-balloon-pci,addr=5,free-page-reporting=on"
#define LIST     0x20000
#define PAGE     0x1000
#define VICTIM   0x30000

typedef struct Guest {
    VirtioGuest g;
    DriverQueue inflate, deflate, stats, reports;
} Guest;

static int start(void **state, const char *device, uint64_t features)
{
    Guest *t = g_new0(Guest, 1);

    guest_init(&t->g, rig_new(device));
    assert_true(guest_negotiate(&t->g, features));
    guest_add_queue(&t->g, 0, &t->inflate, 8);
    guest_add_queue(&t->g, 1, &t->deflate, 8);
    guest_add_queue(&t->g, 2, &t->stats, 8);
    if (strstr(device, "reporting")) {
        guest_add_queue(&t->g, 3, &t->reports, 8);
    }
    guest_driver_ok(&t->g);
    *state = t;
    return 0;
}

static int setup(void **state)
{
    return start(state, DEVICE, UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ);
}

static int setup_reports(void **state)
{
    return start(state, REPORTS, UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING | UINT64_C(1) << VIRTIO_BALLOON_F_PAGE_POISON);
}

static int teardown(void **state)
{
    Guest *t = *state;

    rig_free(t->g.rig);
    g_free(t);
    return 0;
}

static void send(Guest *t, unsigned n, DriverQueue *q, uint64_t address, uint32_t bytes, bool write)
{
    const DriverBuffer buffer = { address, bytes, write };

    driver_add(q, &buffer, 1);
    guest_kick(&t->g, n);
}

static void wait(Guest *t, DriverQueue *q)
{
    uint16_t id;
    uint32_t length;

    guest_wait(&t->g, q, &id, &length);
    assert_int_equal(length, 0);
}

/* The first byte of the page at VICTIM + n pages. */
static uint8_t page(Guest *t, unsigned n)
{
    return *(uint8_t *)rig_ram(t->g.rig, VICTIM + n * PAGE);
}

static void fill_pages(Guest *t)
{
    memset(rig_ram(t->g.rig, VICTIM), 0xaa, 4 * PAGE);
}

static void test_inflated_pages_are_given_back(void **state)
{
    Guest *t = *state;
    uint8_t *list = rig_ram(t->g.rig, LIST);

    fill_pages(t);
    put32(list, VICTIM / PAGE + 2);
    put32(list + 4, VICTIM / PAGE + 1);
    send(t, 0, &t->inflate, LIST, 8, false);
    wait(t, &t->inflate);
    assert_int_equal(page(t, 0), 0xaa);
    assert_int_equal(page(t, 1), 0);
    assert_int_equal(page(t, 2), 0);
    assert_int_equal(page(t, 3), 0xaa);
}

static void test_deflated_pages_keep_what_is_in_them(void **state)
{
    Guest *t = *state;

    fill_pages(t);
    put32(rig_ram(t->g.rig, LIST), VICTIM / PAGE);
    send(t, 1, &t->deflate, LIST, 4, false);
    wait(t, &t->deflate);
    assert_int_equal(page(t, 0), 0xaa);
}

static void test_frames_that_are_no_ram_are_left(void **state)
{
    Guest *t = *state;
    uint8_t *list = rig_ram(t->g.rig, LIST);

    put32(list, UINT32_MAX);
    put32(list + 4, 0);
    put32(list + 8, GUEST_BAR / PAGE);
    send(t, 0, &t->inflate, LIST, 12 + 3, false);
    wait(t, &t->inflate);
    assert_false(guest_status(&t->g) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static uint64_t size_now(Guest *t)
{
    CommandCall call = { .domain = t->g.rig->domain };
    uint64_t actual = 0;

    assert_true(balloon_commands[1].run(&call, NULL, &actual, NULL));
    return actual;
}

static void test_a_target_is_told_and_followed(void **state)
{
    Guest *t = *state;
    CommandCall call = { .domain = t->g.rig->domain };
    uint64_t ram = t->g.rig->machine->ram_size, target = ram - 3 * PAGE;

    assert_true(balloon_commands[0].run(&call, &target, NULL, NULL));
    assert_int_equal(rig_read(t->g.rig, t->g.device, 4), 3);
    assert_int_equal(size_now(t), ram);
    rig_write(t->g.rig, t->g.device + 4, 2, 4);
    assert_int_equal(size_now(t), ram - 2 * PAGE);
    target = UINT64_MAX;
    assert_true(balloon_commands[0].run(&call, &target, NULL, NULL));
    assert_int_equal(rig_read(t->g.rig, t->g.device, 4), 0);
}

static void test_there_is_one_balloon(void **state)
{
    Guest *t = *state;
    g_autofree char *why = rig_try_add(t->g.rig, "virtio-balloon-pci,addr=6");

    assert_non_null(why);
    assert_non_null(strstr(why, "only one"));
}

/* `guest-stats` as text. */
static char *stats(Guest *t)
{
    void *base;
    const Property *p = device_property(t->g.rig->dev, "guest-stats", &base);
    JsonWriter *w = json_writer_new(false);

    json_write_begin_object(w, NULL);
    field_write(&p->field, base, w);
    json_write_end_object(w);
    return json_writer_finish(w);
}

static void send_stats(Guest *t, uint64_t free_bytes)
{
    uint8_t *list = rig_ram(t->g.rig, LIST);

    put16(list, VIRTIO_BALLOON_S_MEMFREE);
    put64(list + 2, free_bytes);
    put16(list + 10, 0xffff); /* of a later version */
    put64(list + 12, 1);
    send(t, 2, &t->stats, LIST, 20, false);
    for (unsigned i = 0; i < 20; i++) {
        guest_run(&t->g);
    }
}

static void test_statistics_come_every_interval(void **state)
{
    Guest *t = *state;
    g_autofree char *first = NULL, *second = NULL;
    uint16_t id;
    uint32_t length;

    send_stats(t, 12345);
    first = stats(t);
    assert_non_null(strstr(first, "\"stat-free-memory\": 12345,"));
    assert_non_null(strstr(first, "\"stat-swap-in\": 18446744073709551615"));
    assert_false(driver_take_used(&t->stats, &id, &length));
    rig_advance(t->g.rig, INTERVAL);
    wait(t, &t->stats);
    send_stats(t, 777);
    second = stats(t);
    assert_non_null(strstr(second, "\"stat-free-memory\": 777,"));
}

static void test_the_buffer_of_statistics_survives_saving(void **state)
{
    Guest *t = *state;

    send_stats(t, 1);
    guest_move(&t->g, &t->stats, DEVICE, NULL);
    rig_advance(t->g.rig, INTERVAL);
    wait(t, &t->stats);
}

static void test_reported_pages_are_given_back(void **state)
{
    Guest *t = *state;

    fill_pages(t);
    send(t, 3, &t->reports, VICTIM + PAGE / 2, 2 * PAGE, true);
    wait(t, &t->reports);
    assert_int_equal(page(t, 0), 0xaa);
    assert_int_equal(page(t, 1), 0);
    assert_int_equal(page(t, 2), 0xaa); /* half of it was reported */
}

static void test_poisoned_pages_keep_their_poison(void **state)
{
    Guest *t = *state;

    fill_pages(t);
    rig_write(t->g.rig, t->g.device + 12, 0xaaaaaaaa, 4);
    send(t, 3, &t->reports, VICTIM, PAGE, true);
    wait(t, &t->reports);
    assert_int_equal(page(t, 0), 0xaa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_inflated_pages_are_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deflated_pages_keep_what_is_in_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_frames_that_are_no_ram_are_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_target_is_told_and_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_there_is_one_balloon, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statistics_come_every_interval, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_buffer_of_statistics_survives_saving, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reported_pages_are_given_back, setup_reports, teardown),
        cmocka_unit_test_setup_teardown(test_poisoned_pages_keep_their_poison, setup_reports, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
