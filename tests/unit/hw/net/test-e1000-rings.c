/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings of the 82540EM, and what the 82574L shares with it: frames as a driver sends and receives them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "e1000-driver.h"
#include "net/backend.h"
#include "net/offload.h"

/* ---- transmit ---- */

static void test_a_frame_goes_out_and_its_descriptor_comes_back(void **state)
{
    Nic *n = *state;
    uint8_t frame[1514], got[2048];

    nic_start(n, 0);
    nic_put(n, R_IMS, ICR_TXDW);
    make_frame(frame, OTHERS, sizeof(frame));
    nic_send(n, frame, sizeof(frame));
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), sizeof(frame));
    assert_memory_equal(got, frame, sizeof(frame));
    assert_int_equal(nic_ram(n, TX_RING_AT)[12], TXD_DD);
    assert_int_equal(nic_get(n, R_TDH), 1);
    assert_true(rig_irq(n->rig, NIC_GSI));
    assert_int_equal(nic_get(n, R_ICR), ICR_TXDW | ICR_TXQE);
    assert_int_equal(nic_get(n, R_GPTC), 1);
    assert_int_equal(nic_get(n, R_GPTC), 0); /* reading clears */
    assert_int_equal(nic_get(n, R_GOTCL), 1518);
}

static void test_a_frame_in_pieces_waits_for_its_end(void **state)
{
    Nic *n = *state;
    uint8_t frame[100], got[200];

    nic_start(n, 0);
    make_frame(frame, OTHERS, sizeof(frame));
    memcpy(nic_ram(n, TX_DATA_AT), frame, sizeof(frame));
    nic_describe(n, TX_DATA_AT, 30, 0);
    nic_kick(n);
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), -1);
    nic_describe(n, TX_DATA_AT + 30, TXD_EOP | TXD_RS | 70, 0);
    nic_kick(n);
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), sizeof(frame));
    assert_memory_equal(got, frame, sizeof(frame));
    assert_int_equal(nic_ram(n, TX_RING_AT)[12], 0);
    assert_int_equal(nic_ram(n, TX_RING_AT + 16)[12], TXD_DD);
}

static void test_short_frames_are_padded(void **state)
{
    Nic *n = *state;
    uint8_t frame[20], got[200];

    nic_start(n, 0);
    make_frame(frame, OTHERS, sizeof(frame));
    nic_send(n, frame, sizeof(frame));
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), 60);
    assert_int_equal(got[20], 0);
}

static void test_a_tag_is_put_in(void **state)
{
    Nic *n = *state;
    uint8_t frame[100], got[200];

    nic_start(n, 0);
    nic_put(n, R_CTRL, CTRL_SLU | CTRL_VME);
    make_frame(frame, OTHERS, sizeof(frame));
    memcpy(nic_ram(n, TX_DATA_AT), frame, sizeof(frame));
    nic_describe(n, TX_DATA_AT, TXD_EOP | TXD_VLE | 100, 0x2005u << 16);
    nic_kick(n);
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), 104);
    assert_memory_equal(got, frame, 12);
    assert_memory_equal(got + 12, "\x81\x00\x20\x05\x88\xb5", 6);
}

/* IP header at 14, TCP at 34: what Linux puts into a context. */
static void describe_context(Nic *n, uint32_t command, uint32_t headers, uint32_t mss)
{
    uint64_t ip = 14 | 24 << 8 | 33 << 16, tu = 34 | 50 << 8;

    nic_describe(n, ip | tu << 32, TXD_DEXT | command, headers << 8 | mss << 16);
}

static void test_checksums_are_put_in(void **state)
{
    uint16_t pseudo = (uint16_t)~net_sum_end(net_sum("\x0a\0\0\x01\x0a\0\0\x02\0\x06\0\xae", 12, 0));
    uint8_t right[208], got[300];
    Nic *n = *state;

    nic_start(n, 0);
    make_tcp(right, OTHERS, sizeof(right));
    memcpy(nic_ram(n, TX_DATA_AT), right, sizeof(right));
    memset(nic_ram(n, TX_DATA_AT + 24), 0xaa, 2);
    memcpy(nic_ram(n, TX_DATA_AT + 50), &pseudo, 2);
    describe_context(n, TUCMD_TCP | TUCMD_IP, 0, 0);
    nic_describe(n, TX_DATA_AT, TXD_DEXT | TXD_DTYP_DATA | TXD_EOP | TXD_RS | sizeof(right), TXD_IXSM | TXD_TXSM);
    nic_kick(n);
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), sizeof(right));
    assert_memory_equal(got, right, sizeof(right));
}

static void test_a_large_packet_is_cut_into_segments_with_right_checksums(void **state)
{
    static uint8_t large[34 + 20 + 2500];
    uint16_t pseudo = (uint16_t)~net_sum_end(net_sum("\x0a\0\0\x01\x0a\0\0\x02\0\x06", 10, 0));
    uint8_t got[2048];
    Nic *n = *state;

    nic_start(n, 0);
    make_tcp(large, OTHERS, sizeof(large));
    memcpy(nic_ram(n, TX_DATA_AT), large, sizeof(large));
    memset(nic_ram(n, TX_DATA_AT + 16), 0, 2); /* the length is the hardware's */
    memset(nic_ram(n, TX_DATA_AT + 24), 0, 2);
    memcpy(nic_ram(n, TX_DATA_AT + 50), &pseudo, 2);
    describe_context(n, TXD_TSE | TUCMD_TCP | TUCMD_IP | 2500, 54, 1000);
    nic_describe(n, TX_DATA_AT, TXD_DEXT | TXD_DTYP_DATA | TXD_TSE | TXD_EOP | sizeof(large), TXD_IXSM | TXD_TXSM);
    nic_kick(n);
    for (unsigned i = 0; i < 3; i++) {
        size_t bytes = i < 2 ? 1000 : 500;
        const uint8_t pseudo_header[] = { 10, 0, 0, 1, 10, 0, 0, 2, 0, 6, (uint8_t)((20 + bytes) >> 8),
                                          (uint8_t)(20 + bytes) };

        assert_int_equal(nic_wire_take(n, got, sizeof(got)), 54 + bytes);
        assert_memory_equal(got + 54, large + 54 + 1000 * i, bytes);
        assert_int_equal(net_sum_end(net_sum(got + 14, 20, 0)), 0);
        assert_int_equal(net_sum_end(net_sum(got + 34, 20 + bytes, net_sum(pseudo_header, 12, 0))), 0);
    }
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), -1);
    assert_int_equal(nic_get(n, R_GPTC), 3);
}

static void test_nonsense_in_the_rings_does_no_harm(void **state)
{
    Nic *n = *state;
    uint8_t got[100];

    nic_start(n, 0);
    nic_describe(n, 0xffffffffffff0000, TXD_EOP | TXD_RS | 100, 0);      /* not in memory */
    nic_describe(n, TX_DATA_AT, TXD_EOP | TXD_RS | 5, 0);                /* no frame */
    nic_describe(n, TX_DATA_AT, TXD_EOP | TXD_RS, 0);                    /* empty */
    describe_context(n, TXD_TSE, 3, 0xffff);                             /* headers of three bytes, not TCP */
    nic_describe(n, TX_DATA_AT, TXD_DEXT | TXD_DTYP_DATA | TXD_TSE | TXD_EOP | 1000, 0);
    nic_describe(n, TX_DATA_AT, TXD_DEXT | TXD_DTYP_DATA | TXD_RS | 0xfffff, 0); /* a frame of a megabyte */
    nic_describe(n, TX_DATA_AT, TXD_DEXT | TXD_DTYP_DATA | TXD_RS | TXD_EOP | 60, 0);
    nic_kick(n);
    assert_int_equal(nic_get(n, R_TDH), n->tx_tail);
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), -1);
    nic_put(n, R_TDT, 999); /* beyond the ring */
    nic_settle(n);
    assert_int_equal(nic_get(n, R_TDH), 7);
}

static void test_a_ring_without_an_end_of_a_frame_is_given_up(void **state)
{
    Nic *n = *state;
    uint8_t frame[60], got[100];

    nic_start(n, 0);
    for (unsigned i = 0; i < RING_ENTRIES - 1; i++) {
        nic_describe(n, TX_DATA_AT, 10, 0);
    }
    nic_kick(n);
    assert_int_equal(nic_get(n, R_TDH), RING_ENTRIES - 1);
    nic_describe(n, TX_DATA_AT, TXD_EOP | 10, 0); /* still the same frame */
    nic_kick(n);
    make_frame(frame, OTHERS, sizeof(frame));
    nic_send(n, frame, sizeof(frame));
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), 60);
    assert_memory_equal(got, frame, sizeof(frame));
}

static void test_frames_wait_for_a_slow_peer_and_survive_a_move(void **state)
{
    static uint8_t frame[1500], got[2000];
    unsigned sent = 0, taken = 0;
    Nic *n = *state;

    nic_start(n, 0);
    make_frame(frame, OTHERS, sizeof(frame));
    while (nic_get(n, R_TDH) == n->tx_tail && sent < 1000) { /* until the socket is full */
        nic_send(n, frame, sizeof(frame));
        sent++;
    }
    assert_in_range(sent, 2, 999);
    while (nic_wire_take(n, got, sizeof(got)) > 0) {
        taken++;
    }
    assert_int_equal(taken, sent - 1);
    nic_move(n, "e1000");
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), sizeof(frame));
    assert_memory_equal(got, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_TDH), n->tx_tail);
}

/* ---- receive ---- */

static void test_a_frame_comes_into_a_buffer(void **state)
{
    Nic *n = *state;
    uint8_t frame[100];

    nic_start(n, RCTL_SECRC);
    nic_put(n, R_IMS, ICR_RXT0);
    make_frame(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_memory_equal(nic_rx_buffer(n, 0), frame, sizeof(frame));
    assert_int_equal(pci_get16(nic_rx(n, 0) + 8), sizeof(frame));
    assert_int_equal(nic_rx(n, 0)[12], RXD_DD | RXD_EOP | RXD_IXSM);
    assert_int_equal(nic_rx(n, 0)[13], 0);
    assert_true(rig_irq(n->rig, NIC_GSI));
    assert_true(nic_get(n, R_ICR) & ICR_RXT0);
    assert_int_equal(nic_get(n, R_RDH), 1);
    assert_int_equal(nic_get(n, R_GPRC), 1);
}

static void test_without_crc_stripping_four_bytes_more_come_and_short_frames_are_padded(void **state)
{
    Nic *n = *state;
    uint8_t frame[20];

    nic_start(n, 0);
    make_frame(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(pci_get16(nic_rx(n, 0) + 8), 64);
}

static void test_a_frame_takes_several_descriptors(void **state)
{
    Nic *n = *state;
    uint8_t frame[600];

    nic_start(n, RCTL_SECRC | 3 << 16); /* 256 bytes */
    make_frame(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_memory_equal(nic_rx_buffer(n, 1), frame + 256, 256);
    assert_int_equal(nic_rx(n, 1)[12], RXD_DD);
    assert_int_equal(pci_get16(nic_rx(n, 2) + 8), 600 - 512);
    assert_int_equal(nic_rx(n, 2)[12] & RXD_EOP, RXD_EOP);
}

static void test_filters_choose_frames(void **state)
{
    static const char multicast[] = "\x01\x00\x5e\x00\x00\xfb"; /* hash 0xfb0: MTA 125, bit 16 */
    Nic *n = *state;
    uint8_t frame[60];

    nic_start(n, RCTL_SECRC);
    make_frame(frame, OTHERS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    make_frame(frame, multicast, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 0);
    nic_put(n, R_MTA + 4 * 125, 1 << 16);
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 1);
    assert_true(nic_rx(n, 0)[12] & RXD_PIF);
    make_frame(frame, BROADCAST, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 2);
    nic_put(n, R_RCTL, RCTL_EN | RCTL_SECRC | RCTL_UPE);
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 2);
    make_frame(frame, OTHERS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 3);
}

static void test_vlans_are_filtered_and_their_tag_is_taken_out(void **state)
{
    Nic *n = *state;
    uint8_t frame[104];

    nic_start(n, RCTL_SECRC | RCTL_VFE);
    nic_put(n, R_CTRL, CTRL_SLU | CTRL_VME);
    make_frame(frame, OURS, sizeof(frame));
    memcpy(frame + 12, "\x81\x00\x20\x05\x88\xb5", 6);
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 0);
    nic_put(n, R_VFTA, 1 << 5);
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(pci_get16(nic_rx(n, 0) + 8), 100);
    assert_true(nic_rx(n, 0)[12] & RXD_VP);
    assert_int_equal(pci_get16(nic_rx(n, 0) + 14), 0x2005);
    assert_memory_equal(nic_rx_buffer(n, 0) + 12, "\x88\xb5", 2);
    assert_memory_equal(nic_rx_buffer(n, 0) + 14, frame + 18, sizeof(frame) - 18);
}

static void test_checksums_are_looked_at(void **state)
{
    Nic *n = *state;
    uint8_t frame[200];

    nic_start(n, RCTL_SECRC);
    nic_put(n, R_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL);
    make_tcp(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_rx(n, 0)[12], RXD_DD | RXD_EOP | RXD_TCPCS | RXD_IPCS);
    assert_int_equal(nic_rx(n, 0)[13], 0);
    frame[150]++;
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_rx(n, 1)[13], RXD_TCPE);
    frame[150]--;
    frame[22]--; /* TTL */
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_rx(n, 2)[13], RXD_IPE);
}

static void test_frames_wait_for_descriptors(void **state)
{
    Nic *n = *state;
    uint8_t frame[60];

    nic_start(n, RCTL_SECRC);
    nic_put(n, R_RDT, 0);
    make_frame(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 0);
    nic_put(n, R_RDT, 1);
    nic_settle(n);
    assert_int_equal(nic_get(n, R_RDH), 1);
    assert_memory_equal(nic_rx_buffer(n, 0), frame, sizeof(frame));
}

static void test_few_free_descriptors_are_told(void **state)
{
    Nic *n = *state;
    uint8_t frame[60];

    nic_start(n, RCTL_SECRC); /* RDMTS: a half */
    make_frame(frame, OURS, sizeof(frame));
    for (unsigned i = 0; i < 6; i++) {
        nic_wire_put(n, frame, sizeof(frame));
    }
    assert_false(nic_get(n, R_ICR) & ICR_RXDMT0);
    nic_wire_put(n, frame, sizeof(frame));
    assert_true(nic_get(n, R_ICR) & ICR_RXDMT0);
}

static void test_a_receive_ring_that_is_not_in_memory_does_no_harm(void **state)
{
    Nic *n = *state;
    uint8_t frame[60];

    nic_start(n, RCTL_SECRC);
    nic_put(n, R_RDBAL, 0xfffff000);
    make_frame(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    nic_put(n, R_RDH, 0xffff);
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 0xffff);
}

static void test_a_phy_in_loopback_gives_frames_back(void **state)
{
    Nic *n = *state;
    uint8_t frame[100], got[200];

    nic_start(n, RCTL_SECRC);
    nic_set_phy(n, PHY_CTRL, PHY_CTRL_LOOPBACK);
    make_frame(frame, OURS, sizeof(frame));
    nic_send(n, frame, sizeof(frame));
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), -1);
    assert_memory_equal(nic_rx_buffer(n, 0), frame, sizeof(frame));
}

#define OLD(NAME) cmocka_unit_test_setup_teardown(NAME, nic_setup_e1000, nic_teardown)
#define NEW(NAME) cmocka_unit_test_setup_teardown(NAME, nic_setup_e1000e, nic_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OLD(test_a_frame_goes_out_and_its_descriptor_comes_back),
        OLD(test_a_frame_in_pieces_waits_for_its_end),
        OLD(test_short_frames_are_padded),
        OLD(test_a_tag_is_put_in),
        OLD(test_checksums_are_put_in),
        NEW(test_checksums_are_put_in),
        OLD(test_a_large_packet_is_cut_into_segments_with_right_checksums),
        NEW(test_a_large_packet_is_cut_into_segments_with_right_checksums),
        OLD(test_nonsense_in_the_rings_does_no_harm),
        OLD(test_a_ring_without_an_end_of_a_frame_is_given_up),
        OLD(test_frames_wait_for_a_slow_peer_and_survive_a_move),
        OLD(test_a_frame_comes_into_a_buffer),
        OLD(test_without_crc_stripping_four_bytes_more_come_and_short_frames_are_padded),
        OLD(test_a_frame_takes_several_descriptors),
        OLD(test_filters_choose_frames),
        OLD(test_vlans_are_filtered_and_their_tag_is_taken_out),
        OLD(test_checksums_are_looked_at),
        OLD(test_frames_wait_for_descriptors),
        OLD(test_few_free_descriptors_are_told),
        OLD(test_a_receive_ring_that_is_not_in_memory_does_no_harm),
        OLD(test_a_phy_in_loopback_gives_frames_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
