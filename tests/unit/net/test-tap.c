/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio NIC on a TAP interface (net/tap*.c), as a driver sees it; at the other end of the wire is the test, by a
 * packet socket in a network namespace of its own.  Once with reads that wait in the kernel and once with polling;
 * where the host lets nobody make an interface, skipped by name.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/net.h"
#include "tests/unit/hw/virtio/virtio-guest.h"

#define NAME    "lodge-test"
#define DEVICE  "virtio-net-pci,netdev=n,addr=5,mac=52:54:00:00:00:07"
#define RX      0
#define TX      1
#define BUFFERS 0x200000
#define FRAMES  0x40000
#define HEADER  12
#define STATUS  (UINT64_C(1) << VIRTIO_NET_F_STATUS)
#define TYPE    0x88b5 /* an EtherType for experiments (IEEE 802): the kernel makes no such frames by itself */
#define FRAME   60

typedef struct Guest {
    VirtioGuest g;
    DriverQueue rx, tx;
    unsigned added, seen;
} Guest;

static int wire = -1;
static bool allowed; /* to make interfaces */

static int bring_up(void)
{
    struct ifreq request = { .ifr_flags = IFF_UP | IFF_NOARP };
    struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(TYPE) };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(TYPE));

    assert_true(fd >= 0);
    strcpy(request.ifr_name, NAME);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
    address.sll_ifindex = (int)if_nametoindex(NAME);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void with_tap(Domain *domain)
{
    g_autoptr(GError) error = NULL;

    if (!netdev_add_text(domain, "tap,id=n,ifname=" NAME ",script=no,downscript=no", &error)) {
        fail_msg("%s", error->message);
    }
}

static int setup(void **state)
{
    *state = g_new0(Guest, 1);
    return 0;
}

static int setup_polling(void **state)
{
    setenv("LODGE_LOOP", "epoll", true);
    return setup(state);
}

static int teardown(void **state)
{
    Guest *t = *state;

    unsetenv("LODGE_LOOP");
    if (t->g.rig) {
        rig_free(t->g.rig);
    }
    if (wire >= 0) {
        close(wire);
    }
    wire = -1;
    g_free(t);
    return 0;
}

static Guest *start(void **state)
{
    Guest *t = *state;

    if (!allowed) {
        skip();
    }
    guest_init(&t->g, rig_new_with(DEVICE, with_tap));
    wire = bring_up();
    assert_true(guest_negotiate(&t->g, STATUS));
    guest_add_queue(&t->g, RX, &t->rx, 64);
    guest_add_queue(&t->g, TX, &t->tx, 64);
    guest_driver_ok(&t->g);
    return t;
}

static void give_buffers(Guest *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const DriverBuffer buffer = { BUFFERS + t->added++ % 64 * 2048, 2048, true };

        driver_add(&t->rx, &buffer, 1);
    }
    guest_kick(&t->g, RX);
}

static void make_frame(uint8_t *frame, uint8_t number)
{
    static const uint8_t head[] = { 0x52, 0x54, 0, 0, 0, 7, 0x52, 0x54, 0, 0, 0, 8, TYPE >> 8, TYPE & 0xff };

    memset(frame, number, FRAME);
    memcpy(frame, head, sizeof(head));
}

static void put_on_wire(uint8_t first, unsigned n)
{
    uint8_t frame[FRAME];

    for (unsigned i = 0; i < n; i++) {
        make_frame(frame, (uint8_t)(first + i));
        assert_int_equal(write(wire, frame, FRAME), FRAME);
    }
}

/* The next frame that arrives is this one. */
static void assert_arrives(Guest *t, uint8_t number)
{
    uint8_t frame[FRAME];
    const uint8_t *at;
    uint32_t length;
    uint16_t id;

    make_frame(frame, number);
    guest_wait(&t->g, &t->rx, &id, &length);
    at = rig_ram(t->g.rig, BUFFERS + (uint64_t)(t->seen++ % 64) * 2048);
    assert_int_equal(length, HEADER + FRAME);
    assert_memory_equal(at + HEADER, frame, FRAME);
}

static void assert_nothing_arrives(Guest *t)
{
    uint32_t length;
    uint16_t id;

    for (unsigned i = 0; i < 20; i++) {
        guest_run(&t->g);
    }
    assert_false(driver_take_used(&t->rx, &id, &length));
}

static void test_frames_arrive_one_by_one(void **state)
{
    Guest *t = start(state);

    give_buffers(t, 60);
    for (unsigned i = 0; i < 40; i++) {
        put_on_wire((uint8_t)i, 1);
        assert_arrives(t, (uint8_t)i);
    }
}

static void test_frames_that_come_together_arrive_in_order(void **state)
{
    Guest *t = start(state);

    give_buffers(t, 60);
    for (unsigned i = 0; i < 10; i++) { /* more at once each time, and fewer again */
        unsigned n = 1 + 5 * (i % 4);

        put_on_wire((uint8_t)(20 * i), n);
        for (unsigned k = 0; k < n; k++) {
            assert_arrives(t, (uint8_t)(20 * i + k));
        }
        give_buffers(t, n);
    }
}

static void test_frames_wait_for_buffers_in_order(void **state)
{
    Guest *t = start(state);

    give_buffers(t, 8);
    put_on_wire(0, 50);
    for (unsigned i = 0; i < 8; i++) {
        assert_arrives(t, (uint8_t)i);
    }
    assert_nothing_arrives(t);
    for (unsigned i = 8; i < 50; i++) {
        give_buffers(t, 1);
        assert_arrives(t, (uint8_t)i);
    }
}

static void test_interface_goes_with_its_netdev_though_reads_wait(void **state)
{
    Guest *t = start(state);

    give_buffers(t, 8);
    guest_run(&t->g);
    assert_int_not_equal(if_nametoindex(NAME), 0);
    assert_true(netdev_del(t->g.rig->domain, "n", NULL));
    assert_int_equal(if_nametoindex(NAME), 0);
    assert_nothing_arrives(t);
}

static void test_frames_arrive_after_the_driver_began_anew(void **state)
{
    Guest *t = start(state);

    give_buffers(t, 2);
    put_on_wire(1, 1);
    assert_arrives(t, 1);
    guest_reset(&t->g);
    assert_true(guest_negotiate(&t->g, STATUS));
    t->added = t->seen = 0;
    guest_add_queue(&t->g, RX, &t->rx, 64);
    guest_driver_ok(&t->g);
    give_buffers(t, 2);
    put_on_wire(2, 1);
    assert_arrives(t, 2);
}

static void test_frames_of_the_guest_leave(void **state)
{
    Guest *t = start(state);
    uint8_t frame[FRAME], got[FRAME];
    const DriverBuffer buffer = { FRAMES, HEADER + FRAME, false };

    make_frame(frame, 9);
    memset(rig_ram(t->g.rig, FRAMES), 0, HEADER);
    memcpy(rig_ram(t->g.rig, FRAMES + HEADER), frame, FRAME);
    driver_add(&t->tx, &buffer, 1);
    guest_kick(&t->g, TX);
    while (recv(wire, got, FRAME, MSG_DONTWAIT) != FRAME) {
        guest_run(&t->g);
    }
    assert_memory_equal(got, frame, FRAME);
}

/* By number it may be one of ours. */
static void test_descriptor_that_is_no_vhost_net_is_refused_and_stays_open(void **state)
{
    Guest *t = start(state);
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    g_autofree char *text = g_strdup_printf("tap,id=m,ifname=lodge-test2,script=no,downscript=no,vhostfd=%d", fd);
    g_autofree char *expected = g_strdup_printf("descriptor '%d' is no /dev/vhost-net", fd);
    g_autoptr(GError) error = NULL;

    assert_false(netdev_add_text(t->g.rig->domain, text, &error));
    assert_non_null(strstr(error->message, expected));
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    assert_int_equal(if_nametoindex("lodge-test2"), 0);
}

static void test_script_that_fails_is_named_with_its_interface(void **state)
{
    Guest *t = start(state);
    g_autoptr(GError) error = NULL;

    assert_false(netdev_add_text(t->g.rig->domain, "tap,id=m,ifname=lodge-test2,script=/bin/false", &error));
    assert_non_null(strstr(error->message, "interface 'lodge-test2' is not set up: '/bin/false' failed with status 1"));
}

/* Interfaces send nothing of their own when they come up. */
static void be_silent(void)
{
    int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

    if (fd >= 0 && write(fd, "1", 1) < 0) { /* no such file: no IPv6 */
        perror("disable_ipv6");
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* A namespace in which this process may make interfaces. */
static bool enter_namespace(void)
{
    int fd;

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        return false;
    }
    be_silent();
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

#define BOTH(NAME)                                                                                                     \
    { #NAME, test_##NAME, setup, teardown, NULL }, { #NAME " by polling", test_##NAME, setup_polling, teardown, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(frames_arrive_one_by_one),
        BOTH(frames_that_come_together_arrive_in_order),
        BOTH(frames_wait_for_buffers_in_order),
        BOTH(interface_goes_with_its_netdev_though_reads_wait),
        BOTH(frames_arrive_after_the_driver_began_anew),
        BOTH(frames_of_the_guest_leave),
        BOTH(descriptor_that_is_no_vhost_net_is_refused_and_stays_open),
        BOTH(script_that_fails_is_named_with_its_interface),
    };

    allowed = enter_namespace();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
