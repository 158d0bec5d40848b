/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 82540EM, and what the 82574L shares with it, as a driver sees them; at the other end of the wire is the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "e1000-driver.h"
#include "net/backend.h"
#include "net/offload.h"

static int setup_old(void **state)
{
    *state = g_new0(Nic, 1);
    nic_init(*state, "e1000");
    return 0;
}

static int setup_new(void **state)
{
    *state = g_new0(Nic, 1);
    nic_init(*state, "e1000e");
    return 0;
}

static int teardown(void **state)
{
    nic_finish(*state);
    g_free(*state);
    return 0;
}

/* ---- EEPROM and PHY ---- */

static uint16_t eerd(Nic *n, unsigned word, unsigned shift, uint32_t done)
{
    nic_put(n, R_EERD, word << shift | EERD_START);
    assert_true(nic_get(n, R_EERD) & done);
    return (uint16_t)(nic_get(n, R_EERD) >> 16);
}

static void wires(Nic *n, uint32_t bits)
{
    nic_put(n, R_EECD, EECD_REQ | EECD_CS | bits);
}

static unsigned clock_bit(Nic *n, bool bit)
{
    wires(n, bit ? EECD_DI : 0);
    wires(n, (bit ? EECD_DI : 0) | EECD_SK);
    return nic_get(n, R_EECD) & EECD_DO ? 1 : 0;
}

static void clock_out(Nic *n, uint32_t value, unsigned bits)
{
    while (bits--) {
        clock_bit(n, value >> bits & 1);
    }
}

/* A command of Microwire, and what comes after it. */
static uint16_t microwire(Nic *n, uint32_t command, uint16_t data)
{
    uint16_t value = 0;

    wires(n, 0);
    clock_out(n, command, 9);
    for (unsigned i = 0; i < 16; i++) {
        value = (uint16_t)(value << 1 | clock_bit(n, data >> (15 - i) & 1));
    }
    nic_put(n, R_EECD, EECD_REQ);
    return value;
}

static void test_the_eeprom_has_the_address_and_a_right_checksum(void **state)
{
    Nic *n = *state;
    uint16_t sum = 0;

    assert_int_equal(eerd(n, 0, 8, 1 << 4), 0x5452);
    assert_int_equal(eerd(n, 2, 8, 1 << 4), 0x0700);
    for (unsigned i = 0; i < 64; i++) {
        sum += eerd(n, i, 8, 1 << 4);
    }
    assert_int_equal(sum, 0xbaba);
    assert_int_equal(nic_get(n, R_RA), 0x00005452);
    assert_int_equal(nic_get(n, R_RA + 4), 0x80000700);
}

static void test_the_eeprom_is_read_by_wire(void **state)
{
    Nic *n = *state;

    nic_put(n, R_EECD, EECD_REQ);
    assert_true(nic_get(n, R_EECD) & EECD_GNT);
    assert_int_equal(microwire(n, 6 << 6 | 0, 0), 0x5452);
    assert_int_equal(microwire(n, 6 << 6 | 2, 0), 0x0700);
    nic_put(n, R_EECD, 0);
    assert_false(nic_get(n, R_EECD) & EECD_GNT);
}

static void test_the_eeprom_is_written_once_that_is_enabled_and_keeps_it_over_a_reset(void **state)
{
    Nic *n = *state;

    microwire(n, 5 << 6 | 0x20, 0x1234);
    assert_int_not_equal(eerd(n, 0x20, 8, 1 << 4), 0x1234);
    microwire(n, 4 << 6 | 0x30, 0); /* EWEN */
    microwire(n, 5 << 6 | 0x20, 0x1234);
    nic_put(n, R_CTRL, CTRL_RST);
    assert_int_equal(eerd(n, 0x20, 8, 1 << 4), 0x1234);
}

static void test_the_newer_eeprom_is_written_by_a_register(void **state)
{
    Nic *n = *state;

    nic_put(n, R_EEWR, 0xbeefu << 16 | 0x20 << 2 | EERD_START);
    assert_int_equal(nic_get(n, R_EEWR) & 2, 2);
    assert_int_equal(eerd(n, 0x20, 2, 1 << 1), 0xbeef);
    assert_int_equal(eerd(n, 0x3fff, 2, 1 << 1), 0xffff);
}

static void test_the_phy_says_what_it_is_and_that_there_is_a_link(void **state)
{
    Nic *n = *state;

    assert_int_equal(nic_phy(n, PHY_ID1), 0x0141);
    assert_int_equal(nic_phy(n, PHY_ID2), 0x0c20);
    assert_true(nic_phy(n, PHY_STATUS) & PHY_STATUS_LINK);
    assert_int_equal(nic_get(n, R_STATUS) & 0xff, STATUS_FD | STATUS_LU | STATUS_SPEED_1000);
    nic_put(n, R_MDIC, MDIC_OP_READ | 2u << 21);
    assert_true(nic_get(n, R_MDIC) & MDIC_ERROR);
}

static void test_only_the_first_page_of_the_newer_phy_has_registers(void **state)
{
    Nic *n = *state;

    assert_int_equal(nic_phy(n, PHY_ID2), 0x0cb1);
    nic_set_phy(n, PHY_PAGE_SELECT, 3);
    assert_int_equal(nic_phy(n, PHY_ID2), 0);
    assert_int_equal(nic_phy(n, PHY_PAGE_SELECT), 3);
    nic_set_phy(n, PHY_PAGE_SELECT, 0);
    assert_int_equal(nic_phy(n, PHY_ID2), 0x0cb1);
}

static void test_set_link_unplugs_the_cable_and_negotiates_when_it_comes(void **state)
{
    Nic *n = *state;

    nic_put(n, R_IMS, ICR_LSC);
    assert_true(net_set_link(n->rig->domain, "n", false, NULL));
    assert_true(rig_irq(n->rig, NIC_GSI));
    assert_int_equal(nic_get(n, R_ICR), ICR_LSC);
    assert_false(rig_irq(n->rig, NIC_GSI));
    assert_false(nic_get(n, R_STATUS) & STATUS_LU);
    assert_false(nic_phy(n, PHY_STATUS) & PHY_STATUS_LINK);
    assert_true(net_set_link(n->rig->domain, "n", true, NULL));
    assert_false(nic_get(n, R_STATUS) & STATUS_LU);
    rig_advance(n->rig, 10 * NS_PER_MS);
    assert_true(rig_irq(n->rig, NIC_GSI));
    assert_true(nic_get(n, R_STATUS) & STATUS_LU);
    assert_true(nic_phy(n, PHY_STATUS) & PHY_STATUS_DONE);
}

static void test_negotiation_starts_anew_when_it_is_told_to(void **state)
{
    Nic *n = *state;

    nic_set_phy(n, PHY_CTRL, PHY_CTRL_AUTONEG | PHY_CTRL_RESTART);
    assert_false(nic_phy(n, PHY_STATUS) & PHY_STATUS_LINK);
    assert_int_equal(nic_phy(n, PHY_CTRL), PHY_CTRL_AUTONEG);
    rig_advance(n->rig, 10 * NS_PER_MS);
    assert_true(nic_phy(n, PHY_STATUS) & PHY_STATUS_LINK);
    nic_set_phy(n, PHY_CTRL, PHY_CTRL_AUTONEG | PHY_CTRL_POWER);
    assert_false(nic_phy(n, PHY_STATUS) & PHY_STATUS_LINK);
}

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
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), 60); /* its announcement */
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

/* ---- interrupts, reset ---- */

static void test_an_interrupt_waits_for_its_throttle(void **state)
{
    Nic *n = *state;

    nic_put(n, R_ITR, 1000); /* 256 us */
    nic_put(n, R_IMS, ICR_TXDW);
    nic_put(n, R_ICS, ICR_TXDW);
    assert_true(rig_irq(n->rig, NIC_GSI));
    nic_get(n, R_ICR);
    nic_put(n, R_ICS, ICR_TXDW);
    assert_false(rig_irq(n->rig, NIC_GSI));
    rig_advance(n->rig, 255999);
    assert_false(rig_irq(n->rig, NIC_GSI));
    rig_advance(n->rig, 1);
    assert_true(rig_irq(n->rig, NIC_GSI));
}

static void test_received_frames_are_told_late_but_not_too_late(void **state)
{
    Nic *n = *state;
    uint8_t frame[60];

    nic_start(n, RCTL_SECRC);
    nic_put(n, R_RDTR, 10);
    nic_put(n, R_RADV, 15);
    nic_put(n, R_IMS, ICR_RXT0);
    make_frame(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    rig_advance(n->rig, 8 * 1024);
    nic_wire_put(n, frame, sizeof(frame)); /* the delay begins anew */
    rig_advance(n->rig, 7 * 1024 - 1);
    assert_false(rig_irq(n->rig, NIC_GSI));
    rig_advance(n->rig, 1);
    assert_true(rig_irq(n->rig, NIC_GSI));
}

static void test_masked_causes_are_seen_and_not_told(void **state)
{
    Nic *n = *state;

    nic_put(n, R_ICS, ICR_RXT0);
    assert_false(rig_irq(n->rig, NIC_GSI));
    nic_put(n, R_IMS, ICR_RXT0);
    assert_true(rig_irq(n->rig, NIC_GSI));
    nic_put(n, R_IMC, ICR_RXT0);
    assert_false(rig_irq(n->rig, NIC_GSI));
    assert_int_equal(nic_get(n, R_ICR), ICR_RXT0);
    assert_int_equal(nic_get(n, R_ICR), 0);
}

static void test_a_reset_by_the_io_bar_stops_everything(void **state)
{
    Nic *n = *state;
    uint8_t frame[60];

    nic_start(n, RCTL_SECRC);
    nic_put(n, R_IMS, ICR_RXT0);
    nic_put(n, R_ICS, ICR_RXT0);
    rig_out32(n->rig, NIC_IO, R_CTRL);
    rig_out32(n->rig, NIC_IO + 4, CTRL_RST);
    assert_false(rig_irq(n->rig, NIC_GSI));
    assert_int_equal(nic_get(n, R_RCTL), 0);
    assert_int_equal(nic_get(n, R_IMS), 0);
    assert_false(nic_get(n, R_CTRL) & CTRL_RST);
    make_frame(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 0);
    assert_int_equal(nic_get(n, R_RA + 4), 0x80000700);
}

static void test_a_restored_nic_goes_on_and_announces_itself(void **state)
{
    Nic *n = *state;
    uint8_t frame[100], got[200];

    nic_start(n, RCTL_SECRC);
    nic_put(n, R_IMS, ICR_RXT0);
    nic_put(n, R_ICS, ICR_RXT0);
    nic_move(n, "e1000");
    assert_true(rig_irq(n->rig, NIC_GSI));
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), 60);
    assert_memory_equal(got + 6, OURS, 6);
    assert_memory_equal(got + 12, "\x80\x35", 2); /* RARP */
    make_frame(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_memory_equal(nic_rx_buffer(n, 0), frame, sizeof(frame));
}

/* ---- what others see ---- */

static void test_the_filter_can_be_looked_at(void **state)
{
    NetRxFilter filter = {
        .unicasts = g_array_new(FALSE, FALSE, NET_MAC_BYTES), .multicasts = g_array_new(FALSE, FALSE, NET_MAC_BYTES),
        .vlans = g_array_new(FALSE, FALSE, sizeof(uint16_t)),
    };
    Nic *n = *state;
    NetNic *nic = netdev_find(n->rig->domain, "n", NULL)->nic;

    nic_start(n, RCTL_VFE | RCTL_MPE);
    nic_put(n, R_VFTA + 4, 1 << 3);
    nic_put(n, R_RA + 8, 0x00005452);
    nic_put(n, R_RA + 12, 0x80000900);
    nic->ops->look_at_filter(nic, &filter);
    assert_false(filter.promiscuous);
    assert_true(filter.broadcast);
    assert_int_equal(filter.multicast, NET_RX_ALL);
    assert_memory_equal(filter.mac, OURS, NET_MAC_BYTES);
    assert_int_equal(filter.unicasts->len, 1);
    assert_memory_equal(filter.unicasts->data, "\x52\x54\x00\x00\x00\x09", NET_MAC_BYTES);
    assert_int_equal(filter.vlans->len, 1);
    assert_int_equal(g_array_index(filter.vlans, uint16_t, 0), 35);
    g_array_unref(filter.unicasts);
    g_array_unref(filter.multicasts);
    g_array_unref(filter.vlans);
}

#define OLD(NAME) cmocka_unit_test_setup_teardown(NAME, setup_old, teardown)
#define NEW(NAME) cmocka_unit_test_setup_teardown(NAME, setup_new, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OLD(test_the_eeprom_has_the_address_and_a_right_checksum),
        OLD(test_the_eeprom_is_read_by_wire),
        OLD(test_the_eeprom_is_written_once_that_is_enabled_and_keeps_it_over_a_reset),
        NEW(test_the_newer_eeprom_is_written_by_a_register),
        OLD(test_the_phy_says_what_it_is_and_that_there_is_a_link),
        NEW(test_only_the_first_page_of_the_newer_phy_has_registers),
        OLD(test_set_link_unplugs_the_cable_and_negotiates_when_it_comes),
        OLD(test_negotiation_starts_anew_when_it_is_told_to),
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
        OLD(test_an_interrupt_waits_for_its_throttle),
        OLD(test_received_frames_are_told_late_but_not_too_late),
        OLD(test_masked_causes_are_seen_and_not_told),
        OLD(test_a_reset_by_the_io_bar_stops_everything),
        OLD(test_a_restored_nic_goes_on_and_announces_itself),
        OLD(test_the_filter_can_be_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
