/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk on PCI, as a driver sees it: requests, reset, pause, unplug, saved state.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/node.h"
#include "hw/virtio/virtio.h"
#include "virtio-guest.h"
#include "vmm/event.h"
#include "vmm/object.h"

#define IMAGE   "/var/tmp/lodge-test-virtio-blk.img"
#define SECTORS 2048
#define DEVICE  "virtio-blk-pci,drive=disk0,addr=5"
#define HEADERS 0x10000 /* in guest RAM, 32 bytes a request: header and status */
#define DATA    0x20000
#define EVENTS  (UINT64_C(1) << 29)
#define PACKED  (UINT64_C(1) << VIRTIO_F_RING_PACKED)

typedef struct Guest {
    VirtioGuest g;
    DriverQueue q;
} Guest;

/* ---- rigs ---- */

static void add_node(Domain *domain, const char *text)
{
    g_autoptr(GError) error = NULL;

    blockdev_add_text(domain, text, &error);
    if (error) {
        fail_msg("%s", error->message);
    }
}

static void with_file(Domain *domain)
{
    add_node(domain, "driver=raw,node-name=disk0,discard=unmap,file.driver=file,file.filename=" IMAGE);
}

static void with_read_only_file(Domain *domain)
{
    add_node(domain, "driver=raw,node-name=disk0,read-only=on,file.driver=file,file.filename=" IMAGE);
}

static void with_slow_disk(Domain *domain)
{
    add_node(domain, "driver=null-co,node-name=disk0,size=1M,latency-ns=20000000");
}

static void with_iothread(Domain *domain)
{
    g_autoptr(Json) options = keyval_parse("iothread,id=io0", "qom-type", NULL);

    assert_non_null(object_add(domain, options, NULL));
    with_file(domain);
}

static int setup(void **state)
{
    FILE *f = fopen(IMAGE, "w");

    for (unsigned i = 0; i < SECTORS * 512; i++) {
        fputc((int)('a' + i / 512 % 26), f);
    }
    fclose(f);
    *state = g_new0(Guest, 1);
    return 0;
}

static void start(Guest *t, const char *device, void (*with)(Domain *domain), uint64_t features)
{
    guest_init(&t->g, rig_new_with(device, with));
    assert_true(guest_negotiate(&t->g, features));
    guest_add_queue(&t->g, 0, &t->q, 64);
    guest_driver_ok(&t->g);
}

static int teardown(void **state)
{
    Guest *t = *state;

    if (t->g.rig) {
        block_close_all(t->g.rig->domain);
        rig_free(t->g.rig);
    }
    g_free(t);
    unlink(IMAGE);
    return 0;
}

/* ---- requests ---- */

static uint8_t *ram(Guest *t, uint64_t address)
{
    return rig_ram(t->g.rig, address);
}

/* Slot n of the request area. */
static uint16_t submit(Guest *t, unsigned n, uint32_t type, uint64_t sector, uint64_t data, uint32_t bytes)
{
    uint64_t header = HEADERS + 32 * n;
    bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
    const DriverBuffer with_data[] = { { header, 16, false }, { data, bytes, in }, { header + 16, 1, true } };
    const DriverBuffer without[] = { { header, 16, false }, { header + 16, 1, true } };

    driver_put32(&t->q, header, type);
    driver_put32(&t->q, header + 4, 0);
    driver_put64(&t->q, header + 8, sector);
    *ram(t, header + 16) = 0xff;
    return bytes ? driver_add(&t->q, with_data, 3) : driver_add(&t->q, without, 2);
}

static uint8_t status_of(Guest *t, unsigned n)
{
    return *ram(t, HEADERS + 32 * n + 16);
}

static uint8_t request(Guest *t, uint32_t type, uint64_t sector, uint64_t data, uint32_t bytes)
{
    uint32_t length;
    uint16_t id, used;

    id = submit(t, 0, type, sector, data, bytes);
    if (driver_must_kick(&t->q)) {
        guest_kick(&t->g, 0);
    }
    guest_wait(&t->g, &t->q, &used, &length);
    assert_int_equal(used, id);
    return status_of(t, 0);
}

static void check_sector(Guest *t, uint64_t address, char expected)
{
    for (unsigned i = 0; i < 512; i++) {
        assert_int_equal(ram(t, address)[i], expected);
    }
}

static void read_and_write(Guest *t)
{
    assert_int_equal(request(t, VIRTIO_BLK_T_IN, 3, DATA, 1024), VIRTIO_BLK_S_OK);
    check_sector(t, DATA, 'd');
    check_sector(t, DATA + 512, 'e');
    memset(ram(t, DATA), 'X', 512);
    assert_int_equal(request(t, VIRTIO_BLK_T_OUT, 4, DATA, 512), VIRTIO_BLK_S_OK);
    assert_int_equal(request(t, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(request(t, VIRTIO_BLK_T_IN, 4, DATA + 512, 512), VIRTIO_BLK_S_OK);
    check_sector(t, DATA + 512, 'X');
}

static void test_split_ring_reads_and_writes(void **state)
{
    start(*state, DEVICE, with_file, EVENTS);
    read_and_write(*state);
}

static void test_packed_ring_reads_and_writes(void **state)
{
    start(*state, DEVICE ",packed=on", with_file, EVENTS | PACKED);
    read_and_write(*state);
}

static void test_iothread_reads_and_writes(void **state)
{
    start(*state, DEVICE ",iothread=io0", with_iothread, EVENTS);
    read_and_write(*state);
}

static bool frozen;

static void freeze(int signal)
{
    const struct timespec a_while = { .tv_nsec = 100000000 };

    __atomic_store_n(&frozen, true, __ATOMIC_SEQ_CST);
    nanosleep(&a_while, NULL);
    __atomic_store_n(&frozen, false, __ATOMIC_SEQ_CST);
}

/* As where other processes have its processor: it sleeps, and is woken, but does not run. */
static void freeze_thread(Loop *loop)
{
    const struct sigaction action = { .sa_handler = freeze };

    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0); /* which threads do not block */
    g_usleep(10000);
    assert_int_equal(syscall(SYS_tgkill, getpid(), loop_thread_id(loop), SIGTRAP), 0);
    while (!__atomic_load_n(&frozen, __ATOMIC_SEQ_CST)) {
        g_usleep(100);
    }
}

static void test_device_goes_after_what_its_iothread_was_left_to_do(void **state)
{
    Guest *t = *state;
    Device *dev;

    start(t, DEVICE ",iothread=io0", with_iothread, EVENTS);
    read_and_write(t);
    dev = t->g.rig->dev;
    device_pause(dev->backend);
    freeze_thread(virtqueue_loop(((Virtio *)dev->backend)->queue[0]));
    guest_write_status(&t->g, 0); /* by a vCPU that could still reach it */
    device_free(dev);
    assert_false(__atomic_load_n(&frozen, __ATOMIC_SEQ_CST));
}

static void test_doorbell_without_ioeventfd_works(void **state)
{
    start(*state, DEVICE ",ioeventfd=off", with_file, 0);
    read_and_write(*state);
}

static void test_config_space_tells_the_size(void **state)
{
    Guest *t = *state;

    start(t, DEVICE ",num-queues=3,logical_block_size=4096,physical_block_size=4096", with_file, 0);
    assert_int_equal(rig_read(t->g.rig, t->g.device, 4), SECTORS);
    assert_int_equal(rig_read(t->g.rig, t->g.device + offsetof(struct virtio_blk_config, blk_size), 4), 4096);
    assert_int_equal(rig_read(t->g.rig, t->g.device + offsetof(struct virtio_blk_config, num_queues), 2), 3);
    assert_int_equal(rig_read(t->g.rig, t->g.device + offsetof(struct virtio_blk_config, seg_max), 4), 254);
}

static void test_adjacent_requests_of_a_batch_are_all_done(void **state)
{
    Guest *t = *state;
    uint32_t length;
    uint16_t used;

    start(t, DEVICE, with_file, EVENTS);
    submit(t, 0, VIRTIO_BLK_T_IN, 2, DATA + 0x1000, 512); /* not in order */
    submit(t, 1, VIRTIO_BLK_T_IN, 0, DATA, 1024);
    submit(t, 2, VIRTIO_BLK_T_IN, 20, DATA + 0x2000, 512);
    submit(t, 3, VIRTIO_BLK_T_IN, 3, DATA + 0x3000, 512);
    guest_kick(&t->g, 0);
    guest_wait(&t->g, &t->q, &used, &length);
    guest_wait(&t->g, &t->q, &used, &length);
    guest_wait(&t->g, &t->q, &used, &length);
    guest_wait(&t->g, &t->q, &used, &length);
    check_sector(t, DATA, 'a');
    check_sector(t, DATA + 512, 'b');
    check_sector(t, DATA + 0x1000, 'c');
    check_sector(t, DATA + 0x2000, 'u');
    check_sector(t, DATA + 0x3000, 'd');
    assert_int_equal(status_of(t, 3), VIRTIO_BLK_S_OK);
}

static void test_serial_is_told(void **state)
{
    Guest *t = *state;

    start(t, DEVICE ",serial=lodge-1", with_file, 0);
    memset(ram(t, DATA), 'X', 20);
    assert_int_equal(request(t, VIRTIO_BLK_T_GET_ID, 0, DATA, 20), VIRTIO_BLK_S_OK);
    assert_memory_equal(ram(t, DATA), "lodge-1\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
}

static uint8_t range_request(Guest *t, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    driver_put64(&t->q, DATA, sector);
    driver_put32(&t->q, DATA + 8, sectors);
    driver_put32(&t->q, DATA + 12, flags);
    return request(t, type, 0, DATA, 16);
}

static void test_zeroes_and_discards_are_done(void **state)
{
    Guest *t = *state;

    start(t, DEVICE, with_file, 0);
    assert_int_equal(range_request(t, VIRTIO_BLK_T_WRITE_ZEROES, 5, 2, 1), VIRTIO_BLK_S_OK);
    assert_int_equal(range_request(t, VIRTIO_BLK_T_DISCARD, 7, 1, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(range_request(t, VIRTIO_BLK_T_DISCARD, 7, 1, 1), VIRTIO_BLK_S_UNSUPP); /* reserved flag */
    assert_int_equal(range_request(t, VIRTIO_BLK_T_WRITE_ZEROES, SECTORS - 1, 2, 0), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(t, VIRTIO_BLK_T_IN, 4, DATA, 1024), VIRTIO_BLK_S_OK);
    check_sector(t, DATA, 'e');
    check_sector(t, DATA + 512, 0);
}

static void test_request_beyond_the_disk_fails(void **state)
{
    start(*state, DEVICE, with_file, 0);
    assert_int_equal(request(*state, VIRTIO_BLK_T_IN, SECTORS - 1, DATA, 1024), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(*state, VIRTIO_BLK_T_IN, UINT64_MAX, DATA, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(request(*state, VIRTIO_BLK_T_IN, 0, DATA, 100), VIRTIO_BLK_S_IOERR);
}

static void test_unknown_request_is_unsupported(void **state)
{
    start(*state, DEVICE, with_file, 0);
    assert_int_equal(request(*state, 77, 0, 0, 0), VIRTIO_BLK_S_UNSUPP);
}

static void test_read_only_disk_says_so_and_takes_no_writes(void **state)
{
    Guest *t = *state;

    start(t, DEVICE, with_read_only_file, UINT64_C(1) << VIRTIO_BLK_F_RO);
    assert_true(t->g.features & (1 << VIRTIO_BLK_F_RO));
    assert_int_equal(request(t, VIRTIO_BLK_T_OUT, 0, DATA, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(range_request(t, VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_IOERR);
}

static void test_request_without_status_byte_breaks_the_device_until_it_is_reset(void **state)
{
    Guest *t = *state;
    const DriverBuffer bad = { HEADERS, 16, false };

    start(t, DEVICE, with_file, EVENTS);
    driver_add(&t->q, &bad, 1);
    guest_kick(&t->g, 0);
    while (!(guest_status(&t->g) & VIRTIO_CONFIG_S_NEEDS_RESET)) {
        guest_run(&t->g);
    }
    assert_true(guest_negotiate(&t->g, EVENTS));
    guest_add_queue(&t->g, 0, &t->q, 64);
    guest_driver_ok(&t->g);
    read_and_write(t);
}

/* The queue meets the bad request after the driver has reset the device already. */
static void test_bad_request_that_a_reset_overtakes_does_not_break_the_device(void **state)
{
    Guest *t = *state;
    const DriverBuffer bad = { HEADERS, 16, false };

    start(t, DEVICE, with_file, EVENTS);
    driver_add(&t->q, &bad, 1);
    guest_kick(&t->g, 0);
    guest_write_status(&t->g, 0); /* before the loop runs */
    rig_settle(t->g.rig);
    assert_int_equal(guest_status(&t->g), 0);
}

/* ---- status ---- */

static void test_driver_without_version_1_is_refused(void **state)
{
    Guest *t = *state;

    guest_init(&t->g, rig_new_with(DEVICE, with_file));
    guest_write_status(&t->g, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    guest_write_status(&t->g, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK);
    assert_int_equal(guest_status(&t->g), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
}

static void test_reset_waits_for_requests_under_way(void **state)
{
    Guest *t = *state;
    uint32_t length;
    uint16_t used;

    start(t, DEVICE, with_slow_disk, EVENTS);
    submit(t, 0, VIRTIO_BLK_T_IN, 0, DATA, 512);
    guest_kick(&t->g, 0);
    rig_settle(t->g.rig); /* it is under way */
    guest_write_status(&t->g, 0);
    assert_int_not_equal(guest_status(&t->g), 0);
    guest_wait_reset(&t->g);
    assert_true(driver_take_used(&t->q, &used, &length)); /* it was done before the reset was */
    assert_true(guest_negotiate(&t->g, EVENTS));
    guest_add_queue(&t->g, 0, &t->q, 64);
    guest_driver_ok(&t->g);
    assert_int_equal(request(t, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
}

static void test_queue_reset_leaves_the_device_running(void **state)
{
    Guest *t = *state;
    enum { Q_RESET = 0x3a, Q_ENABLE = 0x1c };

    start(t, DEVICE, with_file, EVENTS | UINT64_C(1) << 40);
    read_and_write(t);
    rig_write(t->g.rig, t->g.common + Q_RESET, 1, 2);
    while (rig_read(t->g.rig, t->g.common + Q_RESET, 2)) {
        guest_run(&t->g);
    }
    assert_int_equal(rig_read(t->g.rig, t->g.common + Q_ENABLE, 2), 0);
    guest_add_queue(&t->g, 0, &t->q, 32);
    assert_int_equal(request(t, VIRTIO_BLK_T_IN, 0, DATA, 512), VIRTIO_BLK_S_OK);
    check_sector(t, DATA, 'a');
}

/* ---- pause, unplug, state ---- */

static void pause_all(Rig *r)
{
    device_pause(r->dev->backend);
    device_pause(r->dev);
}

static void resume_all(Rig *r)
{
    device_resume(r->dev->backend);
    device_resume(r->dev);
}

static void test_pause_waits_for_requests_and_holds_new_ones(void **state)
{
    Guest *t = *state;
    uint32_t length;
    uint16_t used;

    start(t, DEVICE, with_slow_disk, EVENTS);
    submit(t, 0, VIRTIO_BLK_T_IN, 0, DATA, 512);
    guest_kick(&t->g, 0);
    rig_settle(t->g.rig);
    pause_all(t->g.rig);
    assert_true(driver_take_used(&t->q, &used, &length));
    submit(t, 1, VIRTIO_BLK_T_IN, 0, DATA, 512);
    guest_kick(&t->g, 0);
    rig_settle(t->g.rig);
    assert_false(driver_take_used(&t->q, &used, &length));
    resume_all(t->g.rig);
    guest_wait(&t->g, &t->q, &used, &length);
    assert_int_equal(status_of(t, 1), VIRTIO_BLK_S_OK);
}

static void test_unplug_waits_for_requests(void **state)
{
    Guest *t = *state;
    uint32_t length;
    uint16_t used;

    start(t, DEVICE, with_slow_disk, EVENTS);
    submit(t, 0, VIRTIO_BLK_T_IN, 0, DATA, 512);
    guest_kick(&t->g, 0);
    rig_settle(t->g.rig);
    device_free(t->g.rig->dev);
    t->g.rig->dev = NULL;
    assert_true(driver_take_used(&t->q, &used, &length));
    rig_settle(t->g.rig);
    assert_true(blockdev_del(t->g.rig->domain, "disk0", NULL)); /* nothing holds it any more */
}

/* The image moves to a fresh rig; so does guest RAM. */
static void move(Guest *t, const char *device, void (*with)(Domain *domain))
{
    g_autoptr(GByteArray) saved = NULL;
    g_autofree char *failure = NULL;
    g_autofree uint8_t *memory = NULL;

    pause_all(t->g.rig);
    saved = rig_save(t->g.rig);
    memory = g_memdup2(ram(t, 0), RIG_RAM);
    block_close_all(t->g.rig->domain);
    rig_free(t->g.rig);
    t->g.rig = rig_new_with(device, with);
    pause_all(t->g.rig);
    memcpy(ram(t, 0), memory, RIG_RAM);
    t->q.ram = ram(t, 0);
    failure = rig_load(t->g.rig, saved);
    if (failure) {
        fail_msg("%s", failure);
    }
    resume_all(t->g.rig);
    rig_settle(t->g.rig);
}

static void moves(Guest *t, const char *device, uint64_t features)
{
    uint32_t length;
    uint16_t used;

    start(t, device, with_file, features);
    read_and_write(t);
    submit(t, 1, VIRTIO_BLK_T_IN, 1, DATA, 512); /* in the ring, not seen yet */
    move(t, device, with_file);
    guest_wait(&t->g, &t->q, &used, &length);
    check_sector(t, DATA, 'b');
    assert_int_equal(request(t, VIRTIO_BLK_T_IN, 10, DATA, 512), VIRTIO_BLK_S_OK);
    check_sector(t, DATA, 'k');
}

static void test_split_ring_goes_on_after_a_restore(void **state)
{
    moves(*state, DEVICE, EVENTS);
}

static void test_packed_ring_goes_on_after_a_restore(void **state)
{
    moves(*state, DEVICE ",packed=on", EVENTS | PACKED);
}

static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit = { bytes, RLIM_INFINITY };

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A write fails for a reason of the host, is held, and is done when the reason is gone. */
static void take_disk(const BlockDisk *disk, void *opaque)
{
    *(BlockDisk *)opaque = *disk;
}

static bool has_failed(Guest *t)
{
    BlockDisk disk;

    block_each_disk(t->g.rig->domain, take_disk, &disk);
    return disk.status.io_status != BLOCK_IO_OK;
}

static void fail_one_write(Guest *t)
{
    uint32_t length;
    uint16_t used;

    start(t, DEVICE ",werror=stop", with_file, EVENTS);
    memset(ram(t, DATA), 'W', 512);
    limit_file_size(512);
    submit(t, 0, VIRTIO_BLK_T_OUT, 9, DATA, 512);
    guest_kick(&t->g, 0);
    for (unsigned i = 0; i < 30000 && !has_failed(t); i++) {
        g_usleep(1000);
        rig_settle(t->g.rig);
    }
    limit_file_size(RLIM_INFINITY);
    assert_true(has_failed(t));
    assert_false(driver_take_used(&t->q, &used, &length));
}

static void check_write_is_done(Guest *t)
{
    uint32_t length;
    uint16_t used;

    guest_wait(&t->g, &t->q, &used, &length);
    assert_int_equal(status_of(t, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(request(t, VIRTIO_BLK_T_IN, 9, DATA + 512, 512), VIRTIO_BLK_S_OK);
    check_sector(t, DATA + 512, 'W');
}

static void test_failed_write_is_held_and_retried(void **state)
{
    Guest *t = *state;

    fail_one_write(t);
    pause_all(t->g.rig);
    resume_all(t->g.rig);
    check_write_is_done(t);
}

static void test_held_write_is_saved_and_retried_after_a_restore(void **state)
{
    Guest *t = *state;

    fail_one_write(t);
    move(t, DEVICE ",werror=stop", with_file);
    check_write_is_done(t);
}

static void test_held_write_is_dropped_by_a_reset(void **state)
{
    Guest *t = *state;

    fail_one_write(t);
    assert_true(guest_negotiate(&t->g, EVENTS));
    guest_add_queue(&t->g, 0, &t->q, 64);
    guest_driver_ok(&t->g);
    assert_int_equal(request(t, VIRTIO_BLK_T_IN, 9, DATA, 512), VIRTIO_BLK_S_OK);
    check_sector(t, DATA, 'j');
}

static void test_failed_write_is_reported(void **state)
{
    Guest *t = *state;
    uint32_t length;
    uint16_t used;

    start(t, DEVICE ",werror=report", with_file, EVENTS);
    limit_file_size(512);
    submit(t, 0, VIRTIO_BLK_T_OUT, 9, DATA, 512);
    guest_kick(&t->g, 0);
    guest_wait(&t->g, &t->q, &used, &length);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(status_of(t, 0), VIRTIO_BLK_S_IOERR);
}

/* ---- what the monitor is told ---- */

static void note_error(const Event *event, void *opaque)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    json_write_value(w, NULL, event->data);
    text = json_writer_finish(w);
    g_string_append_printf(opaque, "%s %s\n", event->type->name, text);
}

static void test_failed_requests_are_told_with_what_is_done_about_them(void **state)
{
    Guest *t = *state;
    g_autoptr(GString) heard = g_string_new(NULL);
    uint32_t length;
    uint16_t used;

    start(t, DEVICE ",id=vd,werror=report", with_file, EVENTS);
    event_listen(t->g.rig->domain, note_error, heard);
    limit_file_size(512);
    submit(t, 0, VIRTIO_BLK_T_OUT, 9, DATA, 512);
    guest_kick(&t->g, 0);
    guest_wait(&t->g, &t->q, &used, &length);
    limit_file_size(RLIM_INFINITY);
    rig_settle(t->g.rig);
    event_unlisten(t->g.rig->domain, note_error, heard);
    assert_string_equal(heard->str,
                        "BLOCK_IO_ERROR {\"device\": \"\", \"qom-path\": \"/machine/peripheral/vd/virtio-backend\", "
                        "\"node-name\": \"disk0\", \"operation\": \"write\", \"action\": \"report\", "
                        "\"reason\": \"File too large\"}\n");
}

static void test_requests_are_counted(void **state)
{
    Guest *t = *state;
    const struct BlockOpCounters *op;
    BlockDisk disk;

    start(t, DEVICE, with_file, EVENTS);
    request(t, VIRTIO_BLK_T_IN, 0, DATA, 1024);
    request(t, VIRTIO_BLK_T_IN, SECTORS, DATA, 512);
    request(t, VIRTIO_BLK_T_OUT, 6, DATA, 512);
    request(t, VIRTIO_BLK_T_OUT, 2, DATA, 512);
    request(t, VIRTIO_BLK_T_FLUSH, 0, 0, 0);
    range_request(t, VIRTIO_BLK_T_DISCARD, 8, 16, 0);
    block_each_disk(t->g.rig->domain, take_disk, &disk);
    op = disk.status.counters.op;
    assert_int_equal(op[BLOCK_OP_READ].operations, 1);
    assert_int_equal(op[BLOCK_OP_READ].bytes, 1024);
    assert_true(op[BLOCK_OP_READ].time_ns > 0);
    assert_int_equal(op[BLOCK_OP_READ].invalid, 1);
    assert_int_equal(op[BLOCK_OP_WRITE].operations, 2);
    assert_int_equal(op[BLOCK_OP_WRITE].bytes, 1024);
    assert_int_equal(op[BLOCK_OP_FLUSH].operations, 1);
    assert_int_equal(op[BLOCK_OP_UNMAP].bytes, 16 * 512);
    assert_int_equal(disk.node->highest_write, 7 * 512);
    assert_false(disk.status.write_cache); /* the driver did not say that it can flush */
}

static void test_disk_that_stopped_the_domain_says_so_until_it_goes_on(void **state)
{
    Guest *t = *state;
    BlockDisk disk;

    fail_one_write(t);
    block_each_disk(t->g.rig->domain, take_disk, &disk);
    assert_int_equal(disk.status.io_status, BLOCK_IO_FAILED);
    assert_int_equal(disk.status.counters.op[BLOCK_OP_WRITE].failed, 1);
    pause_all(t->g.rig);
    resume_all(t->g.rig);
    check_write_is_done(t);
    block_each_disk(t->g.rig->domain, take_disk, &disk);
    assert_int_equal(disk.status.io_status, BLOCK_IO_OK);
}

/* ---- options ---- */

static void check_refused(Guest *t, const char *options, const char *message)
{
    g_autofree char *text = NULL;

    if (!t->g.rig) {
        t->g.rig = rig_new_with(NULL, with_file);
    }
    text = rig_try_add(t->g.rig, options);
    assert_non_null(text);
    assert_non_null(strstr(text, message));
}

static void test_wrong_options_are_named(void **state)
{
    check_refused(*state, "virtio-blk-pci,drive=disk9", "there is no drive or block node 'disk9'");
    check_refused(*state, DEVICE ",queue-size=100", "queue-size 100 is not a power of two");
    check_refused(*state, DEVICE ",logical_block_size=4096", "greater than physical_block_size");
    check_refused(*state, DEVICE ",disable-legacy=off", "disable-legacy=off is not supported");
    check_refused(*state, DEVICE ",seriall=1", "serial");
    check_refused(*state, DEVICE ",rerror=enospc", "rerror=enospc makes no sense");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(split_ring_reads_and_writes),
        TEST(packed_ring_reads_and_writes),
        TEST(iothread_reads_and_writes),
        TEST(device_goes_after_what_its_iothread_was_left_to_do),
        TEST(doorbell_without_ioeventfd_works),
        TEST(config_space_tells_the_size),
        TEST(adjacent_requests_of_a_batch_are_all_done),
        TEST(serial_is_told),
        TEST(zeroes_and_discards_are_done),
        TEST(request_beyond_the_disk_fails),
        TEST(unknown_request_is_unsupported),
        TEST(read_only_disk_says_so_and_takes_no_writes),
        TEST(request_without_status_byte_breaks_the_device_until_it_is_reset),
        TEST(bad_request_that_a_reset_overtakes_does_not_break_the_device),
        TEST(driver_without_version_1_is_refused),
        TEST(reset_waits_for_requests_under_way),
        TEST(queue_reset_leaves_the_device_running),
        TEST(pause_waits_for_requests_and_holds_new_ones),
        TEST(unplug_waits_for_requests),
        TEST(split_ring_goes_on_after_a_restore),
        TEST(packed_ring_goes_on_after_a_restore),
        TEST(failed_write_is_held_and_retried),
        TEST(held_write_is_saved_and_retried_after_a_restore),
        TEST(held_write_is_dropped_by_a_reset),
        TEST(failed_write_is_reported),
        TEST(failed_requests_are_told_with_what_is_done_about_them),
        TEST(requests_are_counted),
        TEST(disk_that_stopped_the_domain_says_so_until_it_goes_on),
        TEST(wrong_options_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
