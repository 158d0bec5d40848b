/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/offload.c and net/coalesce.c: checksums and segments, against a checksum of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/coalesce.h"
#include "vmm/iov.h"

#define IP4_AT  14
#define TCP4_AT 34
#define TCP6_AT 54

typedef struct Frames {
    uint8_t bytes[64][2048];
    size_t length[64];
    unsigned n, most;
} Frames;

static bool take(void *opaque, const NetPacket *frame)
{
    Frames *f = opaque;

    assert_int_equal(frame->header.flags, 0);
    assert_int_equal(frame->header.gso_type, 0);
    f->length[f->n] = frame->length;
    assert_int_equal(iov_to_buffer(frame->iov, frame->n, 0, f->bytes[f->n], sizeof(f->bytes[0])), frame->length);
    f->n++;
    return !f->most || f->n < f->most;
}

/* RFC 1071 word by word, in network order. */
static uint32_t plain_sum(const uint8_t *p, size_t length, uint32_t sum)
{
    for (size_t i = 0; i < length; i++) {
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

/* What a right TCP checksum makes of the whole: 0xffff. */
static uint32_t tcp_check(const uint8_t *frame, size_t length, bool ipv6)
{
    size_t at = ipv6 ? TCP6_AT : TCP4_AT, bytes = length - at;
    const uint8_t tail[] = { 0, 6, (uint8_t)(bytes >> 8), (uint8_t)bytes };
    uint32_t sum = ipv6 ? plain_sum(frame + IP4_AT + 8, 32, 0) : plain_sum(frame + IP4_AT + 12, 8, 0);

    return plain_sum(frame + at, bytes, plain_sum(tail, sizeof(tail), sum));
}

static size_t make_tcp(uint8_t *frame, bool ipv6, size_t payload)
{
    static const uint8_t ip4[] = { 0x45, 0, 0, 0, 0x12, 0xff, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 10, 0, 2, 2 };
    size_t at = ipv6 ? TCP6_AT : TCP4_AT, length = at + 20 + payload;

    memset(frame, 0, at + 20);
    memset(frame, 0x52, 12);
    frame[12] = ipv6 ? 0x86 : 0x08;
    frame[13] = ipv6 ? 0xdd : 0x00;
    if (ipv6) {
        frame[IP4_AT] = 0x60;
        frame[IP4_AT + 4] = (uint8_t)((20 + payload) >> 8);
        frame[IP4_AT + 5] = (uint8_t)(20 + payload);
        frame[IP4_AT + 6] = 6;
        memset(frame + IP4_AT + 8, 0xfe, 32);
    } else {
        memcpy(frame + IP4_AT, ip4, sizeof(ip4));
        frame[IP4_AT + 2] = (uint8_t)((40 + payload) >> 8);
        frame[IP4_AT + 3] = (uint8_t)(40 + payload);
    }
    memcpy(frame + at + 4, "\xff\xff\xff\x00", 4); /* the sequence number wraps */
    frame[at + 12] = 5 << 4;
    frame[at + 13] = 0x80 | 0x10 | 0x08 | 0x01; /* CWR ACK PSH FIN */
    for (size_t i = 0; i < payload; i++) {
        frame[at + 20 + i] = (uint8_t)(i * 7);
    }
    return length;
}

static NetPacket packet_of(struct iovec *iov, uint8_t *frame, size_t length, uint8_t gso, uint16_t size, size_t start)
{
    *iov = (struct iovec) { frame, length };
    return (NetPacket) { .header = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = gso, .gso_size = size,
                                     .csum_start = (uint16_t)start, .csum_offset = 16 },
                         .iov = iov, .n = 1, .length = length };
}

static void check_segments(bool ipv6)
{
    static const uint8_t sequence[4][4] = { "\xff\xff\xff\x00", "\x00\x00\x00\x00", "\x00\x00\x01\x00",
                                             "\x00\x00\x02\x00" };
    size_t at = ipv6 ? TCP6_AT : TCP4_AT;
    uint8_t frame[2048], room[4096];
    size_t length = make_tcp(frame, ipv6, 3 * 256 + 100);
    struct iovec iov;
    uint8_t gso = ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    NetPacket packet = packet_of(&iov, frame, length, gso, 256, at);
    g_autofree Frames *out = g_new0(Frames, 1);

    assert_true(net_packet_is_sane(&packet));
    assert_true(net_finish(&packet, 0, room, take, out));
    assert_int_equal(out->n, 4);
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t *segment = out->bytes[i];

        assert_int_equal(out->length[i], at + 20 + (i < 3 ? 256 : 100));
        assert_int_equal(tcp_check(segment, out->length[i], ipv6), 0xffff);
        assert_memory_equal(segment + at + 4, sequence[i], 4);
        assert_memory_equal(segment + at + 20, frame + at + 20 + 256 * i, out->length[i] - at - 20);
        assert_int_equal(segment[at + 13], 0x10 | (i == 0 ? 0x80 : 0) | (i == 3 ? 0x09 : 0));
        if (!ipv6) {
            assert_int_equal(plain_sum(segment + IP4_AT, 20, 0), 0xffff);
            assert_int_equal(segment[IP4_AT + 4] << 8 | segment[IP4_AT + 5], 0x12ff + i);
        }
    }
}

static void test_a_large_ipv4_packet_becomes_segments(void **state)
{
    check_segments(false);
}

static void test_a_large_ipv6_packet_becomes_segments(void **state)
{
    check_segments(true);
}

static void test_a_receiver_of_large_packets_gets_one_with_a_checksum(void **state)
{
    uint8_t frame[2048], room[4096];
    size_t length = make_tcp(frame, false, 1000);
    struct iovec iov;
    NetPacket packet = packet_of(&iov, frame, length, VIRTIO_NET_HDR_GSO_TCPV4, 256, TCP4_AT);
    g_autofree Frames *out = g_new0(Frames, 1);

    assert_true(net_finish(&packet, NET_TSO4, room, take, out));
    assert_int_equal(out->n, 1);
    assert_int_equal(out->length[0], length);
    assert_int_equal(tcp_check(out->bytes[0], length, false), 0xffff);
}

/* A driver leaves the sum of the pseudo header where the checksum belongs. */
static void test_a_checksum_is_completed(void **state)
{
    uint8_t frame[256], room[256];
    size_t length = make_tcp(frame, false, 33);
    const uint8_t tail[] = { 0, 6, 0, 53 };
    uint32_t pseudo = plain_sum(tail, sizeof(tail), plain_sum(frame + IP4_AT + 12, 8, 0));
    struct iovec iov;
    NetPacket packet = packet_of(&iov, frame, length, VIRTIO_NET_HDR_GSO_NONE, 0, TCP4_AT);
    g_autofree Frames *out = g_new0(Frames, 1);

    frame[TCP4_AT + 16] = (uint8_t)(pseudo >> 8);
    frame[TCP4_AT + 17] = (uint8_t)pseudo;
    assert_true(net_finish(&packet, 0, room, take, out));
    assert_int_equal(tcp_check(out->bytes[0], length, false), 0xffff);
}

static void test_who_has_no_room_gets_no_more(void **state)
{
    uint8_t frame[2048], room[4096];
    size_t length = make_tcp(frame, false, 1000);
    struct iovec iov;
    NetPacket packet = packet_of(&iov, frame, length, VIRTIO_NET_HDR_GSO_TCPV4, 100, TCP4_AT);
    g_autofree Frames *out = g_new0(Frames, 1);

    out->most = 3;
    assert_true(net_finish(&packet, 0, room, take, out));
    assert_int_equal(out->n, 3);
}

static bool is_sane(size_t length, struct virtio_net_hdr header)
{
    NetPacket packet = { .header = header, .length = length };

    return net_packet_is_sane(&packet);
}

static void test_headers_that_make_no_sense_are_seen(void **state)
{
    const uint8_t csum = VIRTIO_NET_HDR_F_NEEDS_CSUM;

    assert_true(is_sane(60, (struct virtio_net_hdr) { .flags = csum, .csum_start = 34, .csum_offset = 24 }));
    assert_false(is_sane(60, (struct virtio_net_hdr) { .flags = csum, .csum_start = 34, .csum_offset = 25 }));
    assert_false(is_sane(60, (struct virtio_net_hdr) { .flags = csum, .csum_start = 0xffff, .csum_offset = 0xffff }));
    assert_false(is_sane(60, (struct virtio_net_hdr) { .flags = csum, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 }));
    assert_false(is_sane(60, (struct virtio_net_hdr) { .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 9 }));
    assert_false(is_sane(60, (struct virtio_net_hdr) { .flags = csum, .gso_type = 77, .gso_size = 9 }));
}

static bool can_be_cut(uint8_t *frame, size_t length)
{
    uint8_t room[4096];
    struct iovec iov;
    NetPacket packet = packet_of(&iov, frame, length, VIRTIO_NET_HDR_GSO_TCPV4, 100, TCP4_AT);
    g_autofree Frames *out = g_new0(Frames, 1);

    return net_finish(&packet, 0, room, take, out) || out->n;
}

static void test_what_is_no_tcp_is_not_cut(void **state)
{
    uint8_t frame[2048];
    size_t length = make_tcp(frame, false, 1000);

    assert_true(can_be_cut(frame, length));
    assert_false(can_be_cut(frame, 40));               /* its end is missing */
    assert_false(can_be_cut(frame, length - 1));
    frame[IP4_AT + 9] = 17;                             /* UDP */
    assert_false(can_be_cut(frame, length));
    make_tcp(frame, false, 1000);
    frame[IP4_AT + 6] = 0x20;                           /* a fragment */
    assert_false(can_be_cut(frame, length));
    make_tcp(frame, false, 1000);
    frame[TCP4_AT + 12] = 4 << 4;                       /* a header too short */
    assert_false(can_be_cut(frame, length));
    make_tcp(frame, false, 1000);
    frame[IP4_AT] = 0x44;
    assert_false(can_be_cut(frame, length));
    make_tcp(frame, false, 1000);
    memset(frame + IP4_AT + 2, 0, 2);                   /* shorter than its headers */
    assert_false(can_be_cut(frame, length));
}

/* ---- the way back ---- */

#define TAKES (NET_CSUM | NET_TSO4 | NET_TSO6)

static void check_put_together(bool ipv6)
{
    size_t at = ipv6 ? TCP6_AT : TCP4_AT;
    uint8_t frame[2048], room[4096], finished[4096];
    size_t length = make_tcp(frame, ipv6, 3 * 256 + 100);
    struct iovec iov, whole;
    NetPacket packet, cut;
    g_autofree Frames *segments = g_new0(Frames, 1), *out = g_new0(Frames, 1);
    NetCoalescer c = { .frame = room };

    frame[at + 13] = 0x18; /* ACK PSH */
    cut = packet_of(&iov, frame, length, ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4, 256, at);
    assert_true(net_finish(&cut, 0, finished, take, segments));
    for (unsigned i = 0; i < segments->n; i++) {
        assert_true(net_coalesce(&c, segments->bytes[i], segments->length[i], TAKES));
    }
    assert_true(net_coalesced(&c, &whole, &packet));
    assert_int_equal(packet.length, length);
    assert_int_equal(packet.header.gso_size, 256);
    assert_int_equal(packet.header.gso_type, cut.header.gso_type);
    assert_true(net_packet_is_sane(&packet));
    assert_memory_equal(room + at + 20, frame + at + 20, length - at - 20);
    /* Whoever completes the checksum, as for a packet that is not cut, gets the right one. */
    packet.header.gso_type = VIRTIO_NET_HDR_GSO_NONE;
    assert_true(net_finish(&packet, 0, finished, take, out));
    assert_int_equal(tcp_check(out->bytes[0], length, ipv6), 0xffff);
    assert_true(ipv6 || plain_sum(out->bytes[0] + IP4_AT, 20, 0) == 0xffff);
    assert_false(net_coalesced(&c, &whole, &packet));
}

static void test_segments_are_put_together_ipv4(void **state)
{
    check_put_together(false);
}

static void test_segments_are_put_together_ipv6(void **state)
{
    check_put_together(true);
}

static void test_only_what_goes_on_is_put_together(void **state)
{
    uint8_t first[2048], second[2048], room[4096];
    size_t length = make_tcp(first, false, 100);
    NetCoalescer c = { .frame = room };
    struct iovec iov;
    NetPacket packet;

    first[TCP4_AT + 13] = 0x10;
    memcpy(second, first, length);
    second[TCP4_AT + 7] += 100; /* the sequence number that follows */
    assert_false(net_coalesce(&c, first, length, NET_CSUM)); /* the guest takes none */
    assert_true(net_coalesce(&c, first, length, TAKES));
    assert_false(net_coalesce(&c, first, length, TAKES)); /* again */
    second[TCP4_AT + 1] ^= 1;                             /* another port */
    assert_false(net_coalesce(&c, second, length, TAKES));
    second[TCP4_AT + 1] ^= 1;
    second[IP4_AT + 15] ^= 1; /* another host */
    assert_false(net_coalesce(&c, second, length, TAKES));
    second[IP4_AT + 15] ^= 1;
    second[TCP4_AT + 13] = 0x11; /* FIN */
    assert_false(net_coalesce(&c, second, length, TAKES));
    second[TCP4_AT + 13] = 0x18; /* PSH ends it */
    assert_true(net_coalesce(&c, second, length, TAKES));
    second[TCP4_AT + 7] += 100;
    assert_false(net_coalesce(&c, second, length, TAKES));
    assert_true(net_coalesced(&c, &iov, &packet));
    assert_int_equal(packet.length, length + 100);
    assert_true(net_coalesce(&c, first, length, TAKES));
    assert_true(net_coalesced(&c, &iov, &packet)); /* one alone stays as it was */
    assert_int_equal(packet.header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
    assert_memory_equal(room, first, length);
}

#define TEST(NAME) cmocka_unit_test(test_##NAME)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_large_ipv4_packet_becomes_segments),
        TEST(a_large_ipv6_packet_becomes_segments),
        TEST(a_receiver_of_large_packets_gets_one_with_a_checksum),
        TEST(a_checksum_is_completed),
        TEST(who_has_no_room_gets_no_more),
        TEST(headers_that_make_no_sense_are_seen),
        TEST(what_is_no_tcp_is_not_cut),
        TEST(segments_are_put_together_ipv4),
        TEST(segments_are_put_together_ipv6),
        TEST(only_what_goes_on_is_put_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
