/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of the 82540EM, and what the 82574L shares with it, as a driver sees them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "e1000-driver.h"
#include "net/backend.h"

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

static void test_all_pages_of_the_newer_phy_have_its_first_registers_and_one_the_others(void **state)
{
    Nic *n = *state;

    assert_int_equal(nic_phy(n, PHY_ID2), 0x0cb1);
    assert_int_equal(nic_phy(n, PHY_SPEC_CTRL), 0x0360);
    nic_set_phy(n, PHY_PAGE_SELECT, 769);
    assert_int_equal(nic_phy(n, PHY_ID2), 0x0cb1);
    assert_true(nic_phy(n, PHY_STATUS) & PHY_STATUS_LINK);
    nic_set_phy(n, PHY_CTRL, 0x0140);
    assert_int_equal(nic_phy(n, PHY_SPEC_CTRL), 0);
    nic_set_phy(n, PHY_SPEC_CTRL, 0x1234);
    assert_int_equal(nic_phy(n, PHY_PAGE_SELECT), 769);
    nic_set_phy(n, PHY_PAGE_SELECT, 0);
    assert_int_equal(nic_phy(n, PHY_CTRL), 0x0140);
    assert_int_equal(nic_phy(n, PHY_SPEC_CTRL), 0x0360);
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

/* ethtool -t: what Intel's drivers write to find a broken card. */
static void test_registers_and_interrupts_are_what_the_drivers_self_test_wants(void **state)
{
    Nic *n = *state;

    nic_put(n, 0x5404, UINT32_MAX); /* RAH0 */
    assert_int_equal(nic_get(n, 0x5404), 0x8003ffff);
    nic_put(n, 0x5400, 0xa5a5a5a5); /* RAL0 */
    assert_int_equal(nic_get(n, 0x5400), 0xa5a5a5a5);
    for (unsigned i = 0; i < 10; i++) {
        nic_put(n, R_IMS, 1u << i);
        nic_put(n, R_ICS, 1u << i);
        assert_int_equal(nic_get(n, R_ICR) & 0x3ff, 1u << i);
        nic_put(n, R_IMC, 1u << i);
    }
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
    assert_int_equal(nic_wire_take(n, got, sizeof(got)), -1); /* until the guest runs */
    assert_true(domain_cont(n->rig->domain, NULL));
    for (unsigned i = 0; i < 10000 && nic_wire_take(n, got, sizeof(got)) != 60; i++) {
        nic_settle(n);
    }
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

#define OLD(NAME) cmocka_unit_test_setup_teardown(NAME, nic_setup_e1000, nic_teardown)
#define NEW(NAME) cmocka_unit_test_setup_teardown(NAME, nic_setup_e1000e, nic_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OLD(test_the_eeprom_has_the_address_and_a_right_checksum),
        OLD(test_the_eeprom_is_read_by_wire),
        OLD(test_the_eeprom_is_written_once_that_is_enabled_and_keeps_it_over_a_reset),
        NEW(test_the_newer_eeprom_is_written_by_a_register),
        OLD(test_the_phy_says_what_it_is_and_that_there_is_a_link),
        NEW(test_all_pages_of_the_newer_phy_have_its_first_registers_and_one_the_others),
        OLD(test_set_link_unplugs_the_cable_and_negotiates_when_it_comes),
        OLD(test_negotiation_starts_anew_when_it_is_told_to),
        OLD(test_an_interrupt_waits_for_its_throttle),
        OLD(test_received_frames_are_told_late_but_not_too_late),
        OLD(test_masked_causes_are_seen_and_not_told),
        OLD(test_registers_and_interrupts_are_what_the_drivers_self_test_wants),
        NEW(test_registers_and_interrupts_are_what_the_drivers_self_test_wants),
        OLD(test_a_reset_by_the_io_bar_stops_everything),
        OLD(test_a_restored_nic_goes_on_and_announces_itself),
        OLD(test_the_filter_can_be_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
