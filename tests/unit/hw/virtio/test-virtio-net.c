/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net on PCI, as a driver sees it; at the other end of its wire is the test, by a stream socket.
 */
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/announce.h"
#include "net/net-commands.h"
#include "virtio-guest.h"
#include "vmm/object.h"

#define DEVICE  "virtio-net-pci,netdev=n,addr=5,mac=52:54:00:00:00:07"
#define RX      0
#define TX      1
#define CONTROL 2
#define BUFFERS 0x20000 /* receive buffers */
#define FRAMES  0x40000 /* what is sent */
#define COMMAND 0x60000
#define HEADER  12
#define BIT(F)  (UINT64_C(1) << (F))
#define EVENTS  (UINT64_C(1) << 29)
#define BASIC   (EVENTS | BIT(VIRTIO_NET_F_STATUS))
#define WITH_CONTROL (BASIC | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_VLAN) | \
                      BIT(VIRTIO_NET_F_CTRL_MAC_ADDR))

typedef struct Guest {
    VirtioGuest g;
    DriverQueue rx, tx, control;
} Guest;

static int wire; /* the test's end; what the setup of a rig leaves */

/* ---- rigs ---- */

static void with_wire(Domain *domain)
{
    g_autofree char *text = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    wire = pair[0];
    text = g_strdup_printf("stream,id=n,addr.type=fd,addr.str=%d", pair[1]);
    assert_true(netdev_add_text(domain, text, NULL));
}

static void with_iothread_and_datagrams(Domain *domain)
{
    g_autoptr(Json) options = keyval_parse("iothread,id=io0", "qom-type", NULL);
    g_autofree char *text = NULL;
    int pair[2];

    assert_non_null(object_add(domain, options, NULL));
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    wire = pair[0];
    text = g_strdup_printf("dgram,id=n,local.type=fd,local.str=%d", pair[1]);
    assert_true(netdev_add_text(domain, text, NULL));
}

static struct sockaddr_in group = { .sin_family = AF_INET };

/* The test and the netdev are members of a multicast group; `wire` hears what is said there. */
static void with_group(Domain *domain)
{
    const struct ip_mreqn member = { .imr_multiaddr = { htonl(0xef070707) },
                                     .imr_address = { htonl(INADDR_LOOPBACK) } };
    const int on = 1;
    g_autofree char *text = NULL;
    socklen_t length = sizeof(group);

    group.sin_addr = member.imr_multiaddr;
    group.sin_port = 0;
    wire = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(wire, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    assert_int_equal(bind(wire, (struct sockaddr *)&group, length), 0);
    assert_int_equal(getsockname(wire, (struct sockaddr *)&group, &length), 0);
    assert_int_equal(setsockopt(wire, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)), 0);
    assert_int_equal(setsockopt(wire, IPPROTO_IP, IP_MULTICAST_IF, &member, sizeof(member)), 0);
    text = g_strdup_printf("socket,id=n,mcast=239.7.7.7:%u,localaddr=127.0.0.1", ntohs(group.sin_port));
    assert_true(netdev_add_text(domain, text, NULL));
}

static int setup(void **state)
{
    *state = g_new0(Guest, 1);
    wire = -1;
    return 0;
}

static int teardown(void **state)
{
    Guest *t = *state;

    if (t->g.rig) {
        rig_free(t->g.rig);
    }
    close(wire);
    g_free(t);
    return 0;
}

static void start(Guest *t, const char *device, void (*with)(Domain *domain), uint64_t features)
{
    guest_init(&t->g, rig_new_with(device, with));
    assert_true(guest_negotiate(&t->g, features));
    guest_add_queue(&t->g, RX, &t->rx, 64);
    guest_add_queue(&t->g, TX, &t->tx, 64);
    guest_add_queue(&t->g, CONTROL, &t->control, 64);
    guest_driver_ok(&t->g);
}

static uint8_t *ram(Guest *t, uint64_t address)
{
    return rig_ram(t->g.rig, address);
}

/* ---- the wire ---- */

static void put_on_wire(const uint8_t *frame, uint32_t length)
{
    uint32_t head = htonl(length);

    assert_int_equal(write(wire, &head, sizeof(head)), sizeof(head));
    assert_int_equal(write(wire, frame, length), length);
}

/* Bytes of the next frame that the guest sent. */
static uint32_t take_from_wire(Guest *t, uint8_t *frame)
{
    uint32_t head, got = 0;

    while (recv(wire, &head, sizeof(head), MSG_DONTWAIT) != sizeof(head)) {
        guest_run(&t->g);
    }
    while (got < ntohl(head)) {
        ssize_t n = recv(wire, frame + got, ntohl(head) - got, MSG_DONTWAIT);

        got += n > 0 ? (uint32_t)n : 0;
        guest_run(&t->g);
    }
    return got;
}

static bool wire_is_silent(Guest *t)
{
    uint8_t byte;

    for (unsigned i = 0; i < 20; i++) {
        guest_run(&t->g);
    }
    return recv(wire, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

static void make_frame(uint8_t *frame, const char *to, uint32_t length)
{
    memset(frame, 0, 14);
    memcpy(frame, to, 6);
    memcpy(frame + 6, "\x52\x54\x00\x00\x00\x99", 6);
    frame[12] = 0x88;
    frame[13] = 0xb5; /* for experiments */
    for (uint32_t i = 14; i < length; i++) {
        frame[i] = (uint8_t)(i * 3);
    }
}
#define OURS      "\x52\x54\x00\x00\x00\x07"
#define OTHERS    "\x52\x54\x00\x00\x00\x08"
#define BROADCAST "\xff\xff\xff\xff\xff\xff"

static void offer_buffers(Guest *t, unsigned n, uint32_t bytes)
{
    for (unsigned i = 0; i < n; i++) {
        const DriverBuffer buffer = { BUFFERS + (uint64_t)i * 0x1000, bytes, true };

        driver_add(&t->rx, &buffer, 1);
    }
    if (driver_must_kick(&t->rx)) {
        guest_kick(&t->g, RX);
    }
}

static uint16_t send_frame(Guest *t, const uint8_t *frame, uint32_t length, const struct virtio_net_hdr *header)
{
    const DriverBuffer buffers[] = { { FRAMES, HEADER, false }, { FRAMES + HEADER, length, false } };
    uint16_t id;

    memset(ram(t, FRAMES), 0, HEADER);
    if (header) {
        memcpy(ram(t, FRAMES), header, sizeof(*header));
    }
    memcpy(ram(t, FRAMES + HEADER), frame, length);
    id = driver_add(&t->tx, buffers, 2);
    if (driver_must_kick(&t->tx)) {
        guest_kick(&t->g, TX);
    }
    return id;
}

static void wait_sent(Guest *t)
{
    uint32_t length;
    uint16_t id;

    guest_wait(&t->g, &t->tx, &id, &length);
}

static void expect_frame(Guest *t, const uint8_t *frame, uint32_t length)
{
    uint32_t used;
    uint16_t id;

    guest_wait(&t->g, &t->rx, &id, &used);
    assert_int_equal(used, HEADER + length);
    assert_memory_equal(ram(t, BUFFERS + HEADER), frame, length);
}

static uint8_t command(Guest *t, uint8_t class, uint8_t cmd, const void *data, uint32_t length)
{
    const DriverBuffer buffers[] = { { COMMAND, 2, false }, { COMMAND + 2, length, false },
                                     { COMMAND + 0x1000, 1, true } };
    uint32_t used;
    uint16_t id;

    ram(t, COMMAND)[0] = class;
    ram(t, COMMAND)[1] = cmd;
    memcpy(ram(t, COMMAND + 2), data, length);
    *ram(t, COMMAND + 0x1000) = 0xff;
    driver_add(&t->control, buffers, 3);
    guest_kick(&t->g, CONTROL);
    guest_wait(&t->g, &t->control, &id, &used);
    assert_int_equal(used, 1);
    return *ram(t, COMMAND + 0x1000);
}

/* ---- frames ---- */

static void frames_go_both_ways(Guest *t)
{
    uint8_t frame[1514], got[2048];

    make_frame(frame, OTHERS, sizeof(frame));
    send_frame(t, frame, sizeof(frame), NULL);
    wait_sent(t);
    assert_int_equal(take_from_wire(t, got), sizeof(frame));
    assert_memory_equal(got, frame, sizeof(frame));
    offer_buffers(t, 1, 0x1000);
    make_frame(frame, OURS, sizeof(frame));
    put_on_wire(frame, sizeof(frame));
    expect_frame(t, frame, sizeof(frame));
}

static void test_split_rings_carry_frames(void **state)
{
    start(*state, DEVICE, with_wire, BASIC);
    frames_go_both_ways(*state);
}

static void test_packed_rings_carry_frames(void **state)
{
    start(*state, DEVICE ",packed=on", with_wire, BASIC | BIT(VIRTIO_F_RING_PACKED));
    frames_go_both_ways(*state);
}

static void test_a_multicast_group_is_a_wire_that_gives_nobody_his_own(void **state)
{
    Guest *t = *state;
    uint8_t sent[60], frame[60], got[100];

    start(t, DEVICE, with_group, BASIC);
    offer_buffers(t, 4, 2048);
    make_frame(sent, BROADCAST, sizeof(sent));
    send_frame(t, sent, sizeof(sent), NULL);
    wait_sent(t);
    while (recv(wire, got, sizeof(got), MSG_DONTWAIT) != sizeof(sent)) {
        guest_run(&t->g);
    }
    assert_memory_equal(got, sent, sizeof(sent));
    make_frame(frame, OURS, sizeof(frame));
    assert_int_equal(sendto(wire, frame, sizeof(frame), 0, (struct sockaddr *)&group, sizeof(group)), sizeof(frame));
    expect_frame(t, frame, sizeof(frame)); /* the first that comes */
}

static void test_an_iothread_carries_frames(void **state)
{
    Guest *t = *state;
    uint8_t frame[100], got[200];

    start(t, DEVICE ",iothread=io0", with_iothread_and_datagrams, BASIC);
    make_frame(frame, OTHERS, sizeof(frame));
    send_frame(t, frame, sizeof(frame), NULL);
    wait_sent(t);
    assert_int_equal(recv(wire, got, sizeof(got), 0), sizeof(frame));
    assert_memory_equal(got, frame, sizeof(frame));
    offer_buffers(t, 1, 0x1000);
    make_frame(frame, OURS, sizeof(frame));
    assert_int_equal(send(wire, frame, sizeof(frame), 0), sizeof(frame));
    expect_frame(t, frame, sizeof(frame));
}

static void merged_buffers(Guest *t)
{
    uint8_t frame[1000];
    uint32_t used;
    uint16_t id;

    make_frame(frame, OURS, sizeof(frame));
    offer_buffers(t, 3, 512);
    put_on_wire(frame, sizeof(frame));
    guest_wait(&t->g, &t->rx, &id, &used);
    assert_int_equal(used, 512);
    assert_int_equal(ram(t, BUFFERS)[10], 2); /* num_buffers */
    assert_true(driver_take_used(&t->rx, &id, &used)); /* it is there together with the first */
    assert_int_equal(used, HEADER + sizeof(frame) - 512);
    assert_memory_equal(ram(t, BUFFERS + HEADER), frame, 500);
    assert_memory_equal(ram(t, BUFFERS + 0x1000), frame + 500, 500);
}

static void test_a_frame_is_put_into_several_buffers(void **state)
{
    start(*state, DEVICE, with_wire, BASIC | BIT(VIRTIO_NET_F_MRG_RXBUF));
    merged_buffers(*state);
}

static void test_a_frame_is_put_into_several_buffers_of_a_packed_ring(void **state)
{
    start(*state, DEVICE ",packed=on", with_wire, BASIC | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_RING_PACKED));
    merged_buffers(*state);
}

static void test_frames_wait_for_buffers(void **state)
{
    Guest *t = *state;
    uint8_t first[100], second[200];

    start(t, DEVICE, with_wire, BASIC);
    make_frame(first, OURS, sizeof(first));
    make_frame(second, OURS, sizeof(second));
    put_on_wire(first, sizeof(first));
    put_on_wire(second, sizeof(second));
    rig_settle(t->g.rig);
    offer_buffers(t, 1, 0x1000);
    expect_frame(t, first, sizeof(first));
    offer_buffers(t, 1, 0x1000);
    expect_frame(t, second, sizeof(second));
}

static void test_a_frame_waits_for_enough_of_merged_buffers(void **state)
{
    Guest *t = *state;
    uint8_t frame[1000];
    uint32_t used;
    uint16_t id;

    start(t, DEVICE, with_wire, BASIC | BIT(VIRTIO_NET_F_MRG_RXBUF));
    make_frame(frame, OURS, sizeof(frame));
    offer_buffers(t, 1, 512);
    put_on_wire(frame, sizeof(frame));
    rig_settle(t->g.rig);
    assert_false(driver_take_used(&t->rx, &id, &used));
    offer_buffers(t, 1, 512);
    guest_wait(&t->g, &t->rx, &id, &used);
    assert_int_equal(used, 512);
}

static void test_the_guest_waits_for_a_slow_peer(void **state)
{
    static uint8_t frame[60000], got[65536];
    Guest *t = *state;
    unsigned sent = 0, used = 0;
    uint32_t length;
    uint16_t id;

    start(t, DEVICE, with_wire, BASIC);
    make_frame(frame, OTHERS, sizeof(frame));
    for (unsigned i = 0; i < 30; i++) { /* the socket takes some, the backend some more */
        send_frame(t, frame, sizeof(frame), NULL);
        rig_settle(t->g.rig);
        sent++;
        used += driver_take_used(&t->tx, &id, &length);
    }
    assert_in_range(used, 1, sent - 1);
    for (unsigned i = 0; i < sent; i++) {
        assert_int_equal(take_from_wire(t, got), sizeof(frame));
    }
    for (; used < sent; used++) {
        wait_sent(t);
    }
}

static void test_large_segments_are_cut_for_a_wire_that_takes_none(void **state)
{
    static const uint8_t ip[] = { 0x45, 0, 1000 >> 8, 1000 & 255, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 };
    const struct virtio_net_hdr header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                           .gso_size = 500, .csum_start = 34, .csum_offset = 16 };
    uint8_t frame[1014] = { 0 }, got[2048];
    Guest *t = *state;

    start(t, DEVICE, with_wire, BASIC | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4));
    make_frame(frame, OTHERS, sizeof(frame));
    frame[12] = 8;
    frame[13] = 0;
    memcpy(frame + 14, ip, sizeof(ip));
    frame[34 + 12] = 5 << 4;
    send_frame(t, frame, sizeof(frame), &header);
    wait_sent(t);
    assert_int_equal(take_from_wire(t, got), 54 + 500);
    assert_int_equal(take_from_wire(t, got), 54 + 460);
}

static void test_bad_frames_are_counted_and_dropped(void **state)
{
    const struct virtio_net_hdr beyond = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 0xffff };
    const struct virtio_net_hdr unknown = { .gso_type = 99, .gso_size = 1 };
    uint8_t frame[64];
    Guest *t = *state;
    NetNic *nic;

    start(t, DEVICE, with_wire, BASIC | BIT(VIRTIO_NET_F_CSUM));
    make_frame(frame, OTHERS, sizeof(frame));
    send_frame(t, frame, 13, NULL);
    wait_sent(t);
    send_frame(t, frame, sizeof(frame), &beyond);
    wait_sent(t);
    send_frame(t, frame, sizeof(frame), &unknown);
    wait_sent(t);
    assert_true(wire_is_silent(t));
    nic = netdev_find(t->g.rig->domain, "n", NULL)->nic;
    assert_int_equal(nic->queue[0].sent.errors, 2);
    assert_int_equal(nic->queue[0].sent.packets, 0);
    assert_false(guest_status(&t->g) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void test_a_frame_without_header_breaks_the_device(void **state)
{
    const DriverBuffer bad = { FRAMES, 11, false };
    Guest *t = *state;

    start(t, DEVICE, with_wire, BASIC);
    driver_add(&t->tx, &bad, 1);
    guest_kick(&t->g, TX);
    while (!(guest_status(&t->g) & VIRTIO_CONFIG_S_NEEDS_RESET)) {
        guest_run(&t->g);
    }
}

static void test_a_peer_that_talks_nonsense_is_disconnected(void **state)
{
    static const uint8_t nonsense[] = { 0x7f, 0xff, 0xff, 0xff, 1, 2, 3 };
    Guest *t = *state;
    uint8_t frame[64];

    start(t, DEVICE, with_wire, BASIC);
    assert_int_equal(write(wire, nonsense, sizeof(nonsense)), sizeof(nonsense));
    rig_settle(t->g.rig);
    assert_int_equal(read(wire, frame, 1), 0);
    make_frame(frame, OTHERS, sizeof(frame));
    send_frame(t, frame, sizeof(frame), NULL); /* lost, as without a cable */
    wait_sent(t);
}

/* ---- filters and commands ---- */

static void test_a_filter_lets_through_what_is_asked_for(void **state)
{
    static const uint8_t off = 0, table[] = { 1, 0, 0, 0, 0x52, 0x54, 0, 0, 0, 8, 0, 0, 0, 0 };
    uint8_t ours[64], others[64], broadcast[64];
    Guest *t = *state;
    GString *info = g_string_new(NULL);

    make_frame(ours, OURS, sizeof(ours));
    make_frame(others, OTHERS, sizeof(others));
    make_frame(broadcast, BROADCAST, sizeof(broadcast));
    start(t, DEVICE, with_wire, WITH_CONTROL);
    offer_buffers(t, 1, 0x1000);
    put_on_wire(others, sizeof(others)); /* a device that was just reset takes everything */
    expect_frame(t, others, sizeof(others));
    assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), VIRTIO_NET_OK);
    offer_buffers(t, 1, 0x1000);
    put_on_wire(others, sizeof(others));
    put_on_wire(broadcast, sizeof(broadcast));
    expect_frame(t, broadcast, sizeof(broadcast));
    assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, sizeof(table)),
                     VIRTIO_NET_OK);
    offer_buffers(t, 1, 0x1000);
    put_on_wire(others, sizeof(others));
    expect_frame(t, others, sizeof(others));
    assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x52\x54\0\0\0\x55", 6),
                     VIRTIO_NET_OK);
    assert_int_equal(rig_read(t->g.rig, t->g.device + 5, 1), 0x55);
    net_info(t->g.rig->domain, info);
    assert_non_null(strstr(info->str, "macaddr=52:54:00:00:00:55"));
    g_string_free(info, TRUE);
}

static void test_vlans_are_filtered(void **state)
{
    static const uint8_t off = 0, vlan[] = { 7, 0 }, beyond[] = { 0, 16 };
    uint8_t tagged[64], other[64];
    Guest *t = *state;

    make_frame(tagged, OURS, sizeof(tagged));
    memcpy(tagged + 12, "\x81\x00\x20\x07", 4);
    memcpy(other, tagged, sizeof(other));
    other[15] = 8;
    start(t, DEVICE, with_wire, WITH_CONTROL);
    assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), VIRTIO_NET_OK);
    assert_int_equal(command(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, vlan, 2), VIRTIO_NET_OK);
    assert_int_equal(command(t, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, beyond, 2), VIRTIO_NET_ERR);
    offer_buffers(t, 1, 0x1000);
    put_on_wire(other, sizeof(other));
    put_on_wire(tagged, sizeof(tagged));
    expect_frame(t, tagged, sizeof(tagged));
}

static void test_commands_that_are_none_are_refused(void **state)
{
    static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6 }, pairs[] = { 2, 0 };
    Guest *t = *state;

    start(t, DEVICE, with_wire, WITH_CONTROL);
    assert_int_equal(command(t, 99, 0, huge, 1), VIRTIO_NET_ERR);
    assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, 99, huge, 1), VIRTIO_NET_ERR);
    assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, huge, sizeof(huge)),
                     VIRTIO_NET_ERR);
    assert_int_equal(command(t, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, huge, 3), VIRTIO_NET_ERR);
    assert_int_equal(command(t, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, pairs, 2), VIRTIO_NET_ERR);
    assert_int_equal(command(t, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, pairs, 1), VIRTIO_NET_ERR);
}

/* ---- link, removal, saved state ---- */

static unsigned link_status(Guest *t)
{
    return (unsigned)rig_read(t->g.rig, t->g.device + offsetof(struct virtio_net_config, status), 2);
}

static void test_a_pulled_cable_is_seen_and_carries_nothing(void **state)
{
    uint8_t frame[64];
    Guest *t = *state;

    start(t, DEVICE, with_wire, BASIC);
    assert_int_equal(link_status(t), VIRTIO_NET_S_LINK_UP);
    assert_true(net_set_link(t->g.rig->domain, "virtio-net-pci.0", false, NULL));
    assert_int_equal(link_status(t), 0);
    make_frame(frame, OTHERS, sizeof(frame));
    send_frame(t, frame, sizeof(frame), NULL);
    wait_sent(t);
    assert_true(wire_is_silent(t));
    assert_true(net_set_link(t->g.rig->domain, "virtio-net-pci.0", true, NULL));
    frames_go_both_ways(t);
    assert_true(net_set_link(t->g.rig->domain, "n", false, NULL)); /* by its other end */
    assert_int_equal(link_status(t), 0);
}

static void test_a_removed_backend_leaves_a_nic_without_link(void **state)
{
    uint8_t frame[64];
    Guest *t = *state;

    start(t, DEVICE, with_wire, BASIC);
    assert_true(netdev_del(t->g.rig->domain, "n", NULL));
    assert_int_equal(link_status(t), 0);
    make_frame(frame, OTHERS, sizeof(frame));
    send_frame(t, frame, sizeof(frame), NULL);
    wait_sent(t);
}

static void move(Guest *t)
{
    int before = wire;

    guest_move(&t->g, &t->rx, DEVICE, with_wire);
    close(before);
    t->tx.ram = t->control.ram = rig_ram(t->g.rig, 0);
}

static void expect_rarp(Guest *t)
{
    uint8_t got[2048];

    assert_int_equal(take_from_wire(t, got), 60);
    assert_memory_equal(got, BROADCAST OURS "\x80\x35\0\1\x08\0\6\4\0\3" OURS "\0\0\0\0" OURS "\0\0\0\0", 42);
}

static void test_a_restored_guest_goes_on_and_is_asked_to_announce_itself(void **state)
{
    static const uint8_t off = 0;
    uint8_t ours[64], others[64];
    Guest *t = *state;

    make_frame(ours, OURS, sizeof(ours));
    make_frame(others, OTHERS, sizeof(others));
    start(t, DEVICE, with_wire, WITH_CONTROL | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE));
    assert_int_equal(command(t, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), VIRTIO_NET_OK);
    offer_buffers(t, 1, 0x1000);
    move(t);
    assert_true(wire_is_silent(t)); /* until it runs */
    assert_int_equal(link_status(t), VIRTIO_NET_S_LINK_UP);
    assert_true(domain_cont(t->g.rig->domain, NULL));
    expect_rarp(t);
    assert_int_equal(link_status(t), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
    assert_int_equal(command(t, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, &off, 0), VIRTIO_NET_OK);
    put_on_wire(others, sizeof(others)); /* the filter came along */
    put_on_wire(ours, sizeof(ours));
    expect_frame(t, ours, sizeof(ours));
}

static void test_a_restored_guest_is_announced_in_five_rounds(void **state)
{
    Guest *t = *state;
    int64_t began;

    start(t, DEVICE, with_wire, BASIC);
    move(t);
    began = clock_ns(clock_realtime);
    assert_true(domain_cont(t->g.rig->domain, NULL));
    for (unsigned i = 0; i < 5; i++) {
        expect_rarp(t);
    }
    assert_in_range(clock_ns(clock_realtime) - began, (50 + 150 + 250 + 350) * NS_PER_MS, 60 * NS_PER_SEC);
    assert_int_equal(g_hash_table_size(domain_table(t->g.rig->domain, TABLE_ANNOUNCEMENTS)), 0);
}

static void test_nics_are_announced_when_that_is_asked_for(void **state)
{
    static char another[] = "another", nic[] = "virtio-net-pci.0";
    char *others[] = { another, NULL }, *ours[] = { another, nic, NULL };
    NetAnnounce p = { .initial = 1, .max = 1, .rounds = 3, .step = 1, .interfaces = others };
    Guest *t = *state;
    Domain *domain;

    start(t, DEVICE, with_wire, BASIC);
    domain = t->g.rig->domain;
    net_announce_self(domain, "", &p);
    assert_true(wire_is_silent(t));
    p.interfaces = ours;
    net_announce_self(domain, "x", &p);
    for (unsigned i = 0; i < 3; i++) {
        expect_rarp(t);
    }
    p = (NetAnnounce) { .initial = 1000 * 1000, .max = 1000 * 1000, .rounds = 9 };
    net_announce_self(domain, "x", &p);
    expect_rarp(t);
    assert_int_equal(g_hash_table_size(domain_table(domain, TABLE_ANNOUNCEMENTS)), 1);
    p.rounds = 0; /* ends it */
    net_announce_self(domain, "x", &p);
    assert_int_equal(g_hash_table_size(domain_table(domain, TABLE_ANNOUNCEMENTS)), 0);
    p.rounds = 9; /* the domain's end ends it */
    net_announce_self(domain, "x", &p);
}

static void test_wrong_options_are_named(void **state)
{
    Guest *t = *state;
    g_autofree char *size = NULL, *mac = NULL, *group = NULL, *busy = NULL, *rom = NULL, *ufo = NULL, *timer = NULL;

    t->g.rig = rig_new_with(NULL, with_wire);
    size = rig_try_add(t->g.rig, "virtio-net-pci,rx_queue_size=300");
    assert_non_null(strstr(size, "powers of two"));
    mac = rig_try_add(t->g.rig, "virtio-net-pci,mac=1:2:3");
    assert_non_null(strstr(mac, "'1:2:3' is no MAC address"));
    group = rig_try_add(t->g.rig, "virtio-net-pci,mac=01:00:5e:00:00:01");
    assert_non_null(strstr(group, "group address"));
    rom = rig_try_add(t->g.rig, "virtio-net-pci,romfile=efi-virtio.rom");
    assert_non_null(strstr(rom, "only an empty romfile is possible"));
    ufo = rig_try_add(t->g.rig, "virtio-net-pci,host_ufo=on");
    assert_non_null(strstr(ufo, "UDP is not cut here"));
    timer = rig_try_add(t->g.rig, "virtio-net-pci,tx=timer");
    assert_non_null(strstr(timer, "It is one of: bh"));
    /* What libvirt writes of <rom bar='off'/> and <driver txmode='iothread'>, <host gso='off' ufo='off'/>. */
    assert_null(rig_try_add(t->g.rig, "virtio-net-pci,netdev=n,romfile=,rombar=0,tx=bh,gso=off,host_ufo=off,"
                                      "guest_ufo=off"));
    busy = rig_try_add(t->g.rig, "virtio-net-pci,netdev=n");
    assert_non_null(strstr(busy, "netdev 'n' is in use by 'virtio-net-pci.0'"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(split_rings_carry_frames),
        TEST(packed_rings_carry_frames),
        TEST(a_multicast_group_is_a_wire_that_gives_nobody_his_own),
        TEST(an_iothread_carries_frames),
        TEST(a_frame_is_put_into_several_buffers),
        TEST(a_frame_is_put_into_several_buffers_of_a_packed_ring),
        TEST(frames_wait_for_buffers),
        TEST(a_frame_waits_for_enough_of_merged_buffers),
        TEST(the_guest_waits_for_a_slow_peer),
        TEST(large_segments_are_cut_for_a_wire_that_takes_none),
        TEST(bad_frames_are_counted_and_dropped),
        TEST(a_frame_without_header_breaks_the_device),
        TEST(a_peer_that_talks_nonsense_is_disconnected),
        TEST(a_filter_lets_through_what_is_asked_for),
        TEST(vlans_are_filtered),
        TEST(commands_that_are_none_are_refused),
        TEST(a_pulled_cable_is_seen_and_carries_nothing),
        TEST(a_removed_backend_leaves_a_nic_without_link),
        TEST(a_restored_guest_goes_on_and_is_asked_to_announce_itself),
        TEST(a_restored_guest_is_announced_in_five_rounds),
        TEST(nics_are_announced_when_that_is_asked_for),
        TEST(wrong_options_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
