/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A user network, seen from its NIC: what it takes along (net/user-state.c); programs (net/user-command.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/backend.h"
#include "tests/unit/net/egress-rig.h"
#include "vmm/error.h"
#include "vmm/state.h"
#include "vmm/timer.h"

#define ETHER 14

typedef struct Bench {
    Domain *domain;
    NetNic nic;
    GPtrArray *received; /* GByteArray */
} Bench;

static bool nic_receive(NetNic *nic, unsigned queue, const NetPacket *packet)
{
    Bench *b = (Bench *)((char *)nic - offsetof(Bench, nic));
    GByteArray *frame = g_byte_array_new();

    g_byte_array_append(frame, packet->iov[0].iov_base, (guint)packet->length);
    g_ptr_array_add(b->received, frame);
    return true;
}

static void nic_ready(NetNic *nic, unsigned queue)
{
}

static void nic_link(NetNic *nic)
{
}

static const NetNicOps ops = { .receive = nic_receive, .send_ready = nic_ready, .link_changed = nic_link };

static Bench *bench_new(const char *netdev)
{
    Bench *b = g_new0(Bench, 1);
    Loop *loop = NULL;

    b->domain = domain_new(NULL, NULL);
    clock_set_manual(domain_clock(b->domain));
    b->received = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    assert_true(netdev_add_text(b->domain, netdev, NULL));
    b->nic = (NetNic) { .ops = &ops, .id = "nic", .model = "test", .backend = netdev_find(b->domain, "n", NULL) };
    assert_true(net_nic_realize(&b->nic, b->domain, &loop, 1, NULL));
    return b;
}

static void bench_free(Bench *b)
{
    net_nic_unrealize(&b->nic);
    net_remove_all(b->domain);
    domain_free(b->domain);
    g_ptr_array_unref(b->received);
    g_free(b);
}

static void send_frame(Bench *b, const uint8_t *frame, size_t length)
{
    struct iovec iov = { (void *)frame, length };
    const NetPacket packet = { .header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = ETHER + 20,
                                           .csum_offset = 16 },
                               .iov = &iov, .n = 1, .length = length };

    assert_true(net_send(&b->nic, 0, &packet));
}

/* Without a checksum, which is completed on the way; the sum of the pseudo header stands there. */
static void send_segment_to(Bench *b, unsigned from_port, const char *to, unsigned to_port, unsigned flags,
                            uint32_t seq, uint32_t ack)
{
    uint8_t frame[128];
    size_t length = frame_tcp(frame, GUEST, from_port, to, to_port, flags, seq, ack, 0);
    const uint8_t *ip = frame + ETHER;
    uint32_t sum = 6 + 20, header = 0;

    for (unsigned i = 12; i < 20; i += 2) {
        sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    frame[ETHER + 20 + 16] = (uint8_t)(sum >> 8);
    frame[ETHER + 20 + 17] = (uint8_t)sum;
    for (unsigned i = 0; i < 20; i += 2) {
        header += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    }
    header = ~((header & 0xffff) + (header >> 16));
    frame[ETHER + 10] = (uint8_t)(header >> 8);
    frame[ETHER + 11] = (uint8_t)header;
    send_frame(b, frame, length);
}

static void send_segment(Bench *b, unsigned flags, uint32_t seq, uint32_t ack)
{
    send_segment_to(b, 40000, GATEWAY, 9, flags, seq, ack);
}

/* So libslirp knows where the guest is. */
static void introduce(Bench *b)
{
    static const uint8_t arp[60] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
        0x52, 0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2,
    };
    struct iovec iov = { (void *)arp, sizeof(arp) };
    const NetPacket packet = { .iov = &iov, .n = 1, .length = sizeof(arp) };

    assert_true(net_send(&b->nic, 0, &packet));
}

static const GByteArray *find_segment(const Bench *b, unsigned flags)
{
    for (unsigned i = 0; i < b->received->len; i++) {
        const GByteArray *frame = b->received->pdata[i];
        EgressPacket p;

        egress_parse(frame->data, frame->len, &p);
        if (p.kind == EGRESS_FLOW && p.protocol == EGRESS_TCP && p.flags & flags) {
            return frame;
        }
    }
    return NULL;
}

static unsigned count_segments(const Bench *b, unsigned flag)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->received->len; i++) {
        const GByteArray *frame = b->received->pdata[i];
        EgressPacket p;

        egress_parse(frame->data, frame->len, &p);
        n += p.kind == EGRESS_FLOW && p.protocol == EGRESS_TCP && p.flags & flag;
    }
    return n;
}

/* To another domain with that netdev; the old one ends first, as a thread has one loop. */
static Bench *move(Bench *from, const char *netdev)
{
    g_autoptr(GByteArray) state = g_byte_array_new();
    g_autoptr(GError) error = NULL;
    Bench *to;

    assert_true(state_save(domain_state(from->domain), state, NULL));
    bench_free(from);
    to = bench_new(netdev);
    if (!state_load(domain_state(to->domain), state->data, state->len, &error)) {
        fail_msg("%s", error->message);
    }
    return to;
}

static void test_a_guest_learns_that_its_connection_is_gone(void **state)
{
    Bench *b = bench_new("user,id=n");
    const GByteArray *asked;
    EgressPacket p;

    introduce(b);
    send_segment(b, EGRESS_SYN, 1000, 0);
    b = move(b, "user,id=n");
    asked = find_segment(b, EGRESS_SYN);
    assert_non_null(asked);
    egress_parse(asked->data, asked->len, &p);
    assert_int_equal(p.destination_port, 40000);
    assert_int_equal(p.source_port, 9);
    /* The guest says where it is, and libslirp knows of nothing. */
    introduce(b);
    send_segment(b, EGRESS_ACK, 1001, 5001);
    while (loop_run_once(domain_loop(b->domain), false)) {
    }
    assert_non_null(find_segment(b, EGRESS_RST));
    bench_free(b);
}

static void test_what_is_over_is_not_asked_about(void **state)
{
    Bench *b = bench_new("user,id=n");

    introduce(b);
    send_segment(b, EGRESS_SYN, 1000, 0);
    send_segment(b, EGRESS_RST, 1001, 0);
    b = move(b, "user,id=n");
    assert_null(find_segment(b, EGRESS_SYN));
    bench_free(b);
}

static void test_another_network_may_stand_there_afterwards(void **state)
{
    bench_free(move(move(bench_new("user,id=n"), "hubport,id=n,hubid=0"), "user,id=n"));
}

static void test_a_damaged_state_is_refused(void **state)
{
    Bench *b = bench_new("user,id=n");
    g_autoptr(GByteArray) saved = g_byte_array_new();

    introduce(b);
    send_segment(b, EGRESS_SYN, 1000, 0);
    assert_true(state_save(domain_state(b->domain), saved, NULL));
    for (unsigned i = 0; i < saved->len; i += 7) {
        saved->data[i] ^= 0x55;
        assert_false(state_load(domain_state(b->domain), saved->data, saved->len, NULL));
        saved->data[i] ^= 0x55;
    }
    assert_true(state_load(domain_state(b->domain), saved->data, saved->len, NULL));
    bench_free(b);
}

/* libslirp's connect() would wait for ever once a few hundred wait for somebody who takes them. */
static void test_connections_to_a_program_are_taken_at_once_and_a_few_get_one(void **state)
{
    Bench *b = bench_new("user,id=n,guestfwd=tcp:10.0.2.100:7-cmd:cat");

    introduce(b);
    for (unsigned i = 0; i < 600; i++) {
        send_segment_to(b, 40000 + i, "10.0.2.100", 7, EGRESS_SYN, 1000, 0);
    }
    assert_int_equal(count_segments(b, EGRESS_SYN), 600);
    for (unsigned i = 0, n = b->received->len; i < n; i++) {
        const GByteArray *frame = b->received->pdata[i];
        EgressPacket p;

        egress_parse(frame->data, frame->len, &p);
        if (p.kind == EGRESS_FLOW) {
            send_segment_to(b, p.destination_port, "10.0.2.100", 7, EGRESS_ACK, 1001, p.seq + 1);
        }
    }
    while (count_segments(b, EGRESS_FIN) < 600 - 32) {
        loop_run_once(domain_loop(b->domain), true);
    }
    assert_int_equal(count_segments(b, EGRESS_FIN), 600 - 32);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_guest_learns_that_its_connection_is_gone),
        cmocka_unit_test(test_what_is_over_is_not_asked_about),
        cmocka_unit_test(test_another_network_may_stand_there_afterwards),
        cmocka_unit_test(test_a_damaged_state_is_refused),
        cmocka_unit_test(test_connections_to_a_program_are_taken_at_once_and_a_few_get_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
