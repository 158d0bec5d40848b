/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/filter*.c: two NICs at the ports of a hub, and what stands at the port of the first. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/devices.h"
#include "net/filter.h"
#include "tests/unit/monitor/monitor-rig.h"
#include "vmm/object.h"
#include "vmm/timer.h"

#define OK          "{\"return\": {}}"
#define ERROR(TEXT) "{\"error\": {\"class\": \"GenericError\", \"desc\": \"" TEXT "..."
#define RECORD      16
#define HEADER      24

typedef struct TestNic {
    NetNic nic; /* first */
    unsigned received, ready;
    uint8_t last;
    bool full;
} TestNic;

typedef struct Bench {
    MonitorRig *rig;
    TestNic a, b;
    char *file;
} Bench;

static bool nic_receive(NetNic *nic, unsigned queue, const NetPacket *packet)
{
    TestNic *n = (TestNic *)nic;

    if (n->full) {
        return false;
    }
    n->received++;
    n->last = ((uint8_t *)packet->iov[0].iov_base)[14];
    return true;
}

static void nic_ready(NetNic *nic, unsigned queue)
{
    ((TestNic *)nic)->ready++;
}

static void nic_link(NetNic *nic)
{
}

static const NetNicOps ops = { .receive = nic_receive, .send_ready = nic_ready, .link_changed = nic_link };

static void plug(Bench *b, TestNic *n, const char *id)
{
    Loop *loop = NULL;
    g_autofree char *text = g_strdup_printf("hubport,id=%s,hubid=0", id);

    assert_true(netdev_add_text(b->rig->domain, text, NULL));
    n->nic = (NetNic){.ops = &ops, .id = (char *)id, .model = "test", .backend = netdev_find(b->rig->domain, id, NULL)};
    assert_true(net_nic_realize(&n->nic, b->rig->domain, &loop, 1, NULL));
}

static int setup(void **state)
{
    Bench *b = g_new0(Bench, 1);
    void *rig;

    signal(SIGPIPE, SIG_IGN); /* as main() does */
    devices_register();
    monitor_rig_negotiated(&rig);
    b->rig = rig;
    clock_set_manual(domain_clock(b->rig->domain));
    clock_set(domain_clock(b->rig->domain), NS_PER_SEC);
    b->file = g_build_filename(b->rig->folder, "dump", NULL);
    plug(b, &b->a, "a");
    plug(b, &b->b, "b");
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    Bench *b = *state;
    void *rig = b->rig;

    net_nic_unrealize(&b->a.nic);
    net_nic_unrealize(&b->b.nic);
    net_remove_all(b->rig->domain);
    objects_free(b->rig->domain);
    unlink(b->file);
    g_free(b->file);
    g_free(b);
    return monitor_rig_teardown(&rig);
}

static bool send_frame(TestNic *from, size_t length, uint8_t mark)
{
    uint8_t frame[9000] = { 0 };
    struct iovec iov[] = { { frame, 10 }, { frame + 10, length - 10 } };
    const NetPacket packet = { .iov = iov, .n = 2, .length = length };

    frame[14] = mark;
    return net_send(&from->nic, 0, &packet);
}

static void add(Bench *b, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = keyval_parse(text, "qom-type", NULL);

    if (!object_add(b->rig->domain, json, &error)) {
        fail_msg("%s: %s", text, error->message);
    }
}

static void add_dump(Bench *b, const char *more)
{
    g_autofree char *text = g_strdup_printf("filter-dump,id=f,netdev=a,file=%s%s", b->file, more);

    add(b, text);
}

static void set(Bench *b, const char *id, const char *name, const char *value)
{
    g_autoptr(Json) json = json_new_string(value);

    assert_true(object_set(object_find(b->rig->domain, id, NULL, NULL), name, json, NULL));
}

static void at(Bench *b, int64_t ms)
{
    clock_set(domain_clock(b->rig->domain), NS_PER_SEC + ms * NS_PER_MS);
    while (loop_run_once(domain_loop(b->rig->domain), false)) {
    }
}

/* ---- filter-dump ---- */

static void test_a_dump_has_frames_of_both_ways(void **state)
{
    Bench *b = *state;
    g_autofree char *bytes = NULL;
    gsize length;
    uint32_t word[6];

    add_dump(b, "");
    send_frame(&b->a, 60, 7);
    send_frame(&b->b, 100, 8);
    assert_true(g_file_get_contents(b->file, &bytes, &length, NULL));
    assert_int_equal(length, HEADER + RECORD + 60 + RECORD + 100);
    memcpy(word, bytes, sizeof(word));
    assert_int_equal(word[0], 0xa1b2c3d4);
    assert_int_equal(word[4], 65536);
    assert_int_equal(word[5], 1);
    memcpy(word, bytes + HEADER, RECORD);
    assert_int_equal(word[2], 60);
    assert_int_equal(word[3], 60);
    assert_int_equal(bytes[HEADER + RECORD + 14], 7);
    assert_int_equal(bytes[HEADER + RECORD + 60 + RECORD + 14], 8);
}

static void test_a_dump_keeps_maxlen_bytes_of_the_way_it_is_told(void **state)
{
    Bench *b = *state;
    g_autofree char *bytes = NULL;
    gsize length;
    uint32_t word[4];

    add_dump(b, ",maxlen=20,queue=rx");
    send_frame(&b->a, 60, 7);
    send_frame(&b->b, 100, 8);
    assert_true(g_file_get_contents(b->file, &bytes, &length, NULL));
    assert_int_equal(length, HEADER + RECORD + 20);
    memcpy(word, bytes + HEADER, RECORD);
    assert_int_equal(word[2], 20);
    assert_int_equal(word[3], 60);
}

static void test_a_frame_that_waits_for_room_is_dumped_once(void **state)
{
    Bench *b = *state;
    struct iovec iov = { (uint8_t[60]) { 0 }, 60 };
    const NetPacket packet = { .iov = &iov, .n = 1, .length = 60 };
    struct stat st;

    add_dump(b, "");
    b->a.full = true;
    assert_false(net_receive(b->a.nic.backend, &b->a.nic.queue[0], &packet));
    b->a.full = false;
    assert_true(net_receive(b->a.nic.backend, &b->a.nic.queue[0], &packet));
    assert_int_equal(stat(b->file, &st), 0);
    assert_int_equal(st.st_size, HEADER + RECORD + 60);
}

static void test_a_dump_is_switched_and_goes(void **state)
{
    Bench *b = *state;
    struct stat st;

    add_dump(b, ",status=off");
    send_frame(&b->a, 60, 1);
    set(b, "f", "status", "on");
    send_frame(&b->a, 60, 2);
    monitor_rig_ask(b->rig, "{\"execute\": \"qom-set\", \"arguments\": {\"path\": \"/objects/f\", \"property\": "
                            "\"status\", \"value\": \"off\"}}", OK);
    send_frame(&b->a, 60, 3);
    monitor_rig_ask(b->rig, "{\"execute\": \"object-del\", \"arguments\": {\"id\": \"f\"}}", OK);
    send_frame(&b->a, 60, 4);
    assert_int_equal(stat(b->file, &st), 0);
    assert_int_equal(st.st_size, HEADER + RECORD + 60);
    assert_int_equal(b->b.received, 4);
}

static void test_a_full_disk_ends_the_dump_and_nothing_else(void **state)
{
    Bench *b = *state;

    if (access("/dev/full", W_OK) != 0) {
        skip();
    }
    monitor_rig_ask(b->rig,
                    "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"filter-dump\", \"id\": \"f\", "
                    "\"netdev\": \"a\", \"file\": \"/dev/full\"}}",
                    ERROR("f: cannot write to '/dev/full'"));
    /* A pipe that takes no more is the same, seen later. */
    unlink(b->file);
    assert_int_equal(mkfifo(b->file, 0600), 0);
    int reader = open(b->file, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    add_dump(b, "");
    close(reader);
    send_frame(&b->a, 60, 1);
    send_frame(&b->a, 60, 2);
    assert_int_equal(b->b.received, 2);
}

static size_t drain(int reader)
{
    uint8_t buffer[65536];
    size_t total = 0;
    ssize_t n;

    while ((n = read(reader, buffer, sizeof(buffer))) > 0) {
        total += (size_t)n;
    }
    return total;
}

static void test_a_slow_reader_loses_frames_and_no_half_ones(void **state)
{
    Bench *b = *state;
    size_t total;

    assert_int_equal(mkfifo(b->file, 0600), 0);
    int reader = open(b->file, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    add_dump(b, "");
    for (unsigned i = 0; i < 100; i++) {
        assert_true(send_frame(&b->a, 1500, 1));
    }
    total = drain(reader);
    assert_int_equal(b->b.received, 100);
    assert_true(total > HEADER);
    assert_int_equal((total - HEADER) % (RECORD + 1500), 0);
    close(reader);
}

static void test_a_record_that_went_in_part_is_finished_first(void **state)
{
    Bench *b = *state;
    size_t total;
    int reader;

    assert_int_equal(mkfifo(b->file, 0600), 0);
    reader = open(b->file, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    add_dump(b, "");
    for (unsigned i = 0; i < 100; i++) {
        assert_true(send_frame(&b->a, 9000, 1)); /* more than PIPE_BUF */
    }
    total = drain(reader) - HEADER;
    assert_int_not_equal(total % (RECORD + 9000), 0);
    send_frame(&b->a, 9000, 1);
    total += drain(reader);
    assert_int_equal(total % (RECORD + 9000), 0);
    assert_int_equal(b->b.received, 101);
    close(reader);
}

static void test_a_dump_goes_with_its_netdev(void **state)
{
    Bench *b = *state;

    add_dump(b, "");
    assert_true(netdev_del(b->rig->domain, "a", NULL));
    assert_null(object_find(b->rig->domain, "f", NULL, NULL));
    assert_true(send_frame(&b->a, 60, 1));
}

static void test_mistakes_are_told(void **state)
{
    MonitorRig *r = ((Bench *)*state)->rig;

    monitor_rig_ask(r, "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"filter-dump\", \"id\": \"f\", "
                       "\"netdev\": \"a\"}}", ERROR("f: Parameter 'file' is missing"));
    monitor_rig_ask(r,
                    "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"filter-rate\", \"id\": \"f\", "
                    "\"netdev\": \"x\"}}",
                    "{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"f: netdev 'x' does not...");
    monitor_rig_ask(r,
                    "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"filter-rate\", \"id\": \"f\", "
                    "\"netdev\": \"a\", \"position\": \"id=g\"}}",
                    ERROR("f: position 'id=g' is neither head nor tail"));
}

/* ---- filter-rate ---- */

static void test_frames_wait_for_the_rate_and_then_pass(void **state)
{
    Bench *b = *state;

    /* 1000 bytes take a second; one burst of 1000 is ahead of it. */
    add(b, "filter-rate,id=r,netdev=a,bps=1000,burst=1000,queue=rx");
    assert_true(send_frame(&b->a, 1000, 1));
    assert_true(send_frame(&b->a, 1000, 2));
    assert_false(send_frame(&b->a, 1000, 3));
    at(b, 999);
    assert_int_equal(b->a.ready, 1); /* when the filter came */
    at(b, 1001);
    assert_int_equal(b->a.ready, 2);
    assert_true(send_frame(&b->a, 1000, 3));
    assert_int_equal(b->b.received, 3);
    for (unsigned i = 0; i < 10; i++) {
        assert_true(send_frame(&b->b, 1000, 4)); /* the other way */
    }
    assert_int_equal(b->a.received, 10);
}

static void test_frames_a_second_are_counted(void **state)
{
    Bench *b = *state;
    unsigned sent = 0;

    add(b, "filter-rate,id=r,netdev=a,pps=100");
    for (unsigned ms = 0; ms < 1000; ms++) {
        at(b, ms);
        sent += send_frame(&b->a, 60, 1);
    }
    assert_int_equal(sent, 100);
}

static void test_a_rate_is_changed_while_frames_wait(void **state)
{
    Bench *b = *state;

    add(b, "filter-rate,id=r,netdev=a,bps=1,burst=0");
    assert_true(send_frame(&b->a, 1000, 1));
    assert_false(send_frame(&b->a, 1000, 2));
    b->a.ready = 0;
    set(b, "r", "bps", "0");
    assert_int_equal(b->a.ready, 1);
    assert_true(send_frame(&b->a, 1000, 2));
}

static void test_a_frame_that_waits_is_dumped_once(void **state)
{
    Bench *b = *state;
    struct stat st;

    /* What the guest sends meets the dump, which was put at the NIC, first. */
    add(b, "filter-rate,id=r,netdev=a,pps=1");
    add_dump(b, ",position=id=r");
    assert_true(send_frame(&b->a, 60, 1));
    assert_false(send_frame(&b->a, 60, 2));
    assert_false(send_frame(&b->a, 60, 2));
    at(b, 1001);
    assert_true(send_frame(&b->a, 60, 2));
    assert_int_equal(stat(b->file, &st), 0);
    assert_int_equal(st.st_size, HEADER + 2 * (RECORD + 60));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_dump_has_frames_of_both_ways),
        TEST(a_dump_keeps_maxlen_bytes_of_the_way_it_is_told),
        TEST(a_frame_that_waits_for_room_is_dumped_once),
        TEST(a_dump_is_switched_and_goes),
        TEST(a_full_disk_ends_the_dump_and_nothing_else),
        TEST(a_slow_reader_loses_frames_and_no_half_ones),
        TEST(a_record_that_went_in_part_is_finished_first),
        TEST(a_dump_goes_with_its_netdev),
        TEST(mistakes_are_told),
        TEST(frames_wait_for_the_rate_and_then_pass),
        TEST(frames_a_second_are_counted),
        TEST(a_rate_is_changed_while_frames_wait),
        TEST(a_frame_that_waits_is_dumped_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
