/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the 82574L has beyond the 82540EM: extended and split descriptors, two receive queues, MSI-X.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "e1000-driver.h"

#define MSIX_CONTROL_ENABLE 0x8000

static unsigned find_capability(Nic *n, unsigned id)
{
    unsigned at = rig_config_read(n->rig, NIC_DEVFN, 0x34, 1);

    while (at && rig_config_read(n->rig, NIC_DEVFN, at, 1) != id) {
        at = rig_config_read(n->rig, NIC_DEVFN, at + 1, 1);
    }
    assert_int_not_equal(at, 0);
    return at;
}

/* Vector n sends n. */
static void enable_msix(Nic *n)
{
    unsigned at = find_capability(n, 0x11);

    for (unsigned i = 0; i < 5; i++) {
        rig_write(n->rig, NIC_MSIX + 16 * i, 0xfee00000, 4);
        rig_write(n->rig, NIC_MSIX + 16 * i + 8, i, 4);
        rig_write(n->rig, NIC_MSIX + 16 * i + 12, 0, 4);
    }
    rig_config_write(n->rig, NIC_DEVFN, at + 2, MSIX_CONTROL_ENABLE, 2);
}

static void assert_message(Nic *n, uint64_t count, uint32_t data)
{
    FakeMsi msi = fake_accel_msi(n->rig->domain);

    assert_int_equal(msi.count, count);
    assert_int_equal(msi.last.data, data);
}

/* As Linux sets it up: vector 0 receive, 1 transmit, 2 the rest. */
static void use_msix(Nic *n)
{
    enable_msix(n);
    nic_put(n, R_IVAR, 1u << 31 | 10 << 16 | 9 << 8 | 8);
    nic_put(n, R_EIAC, ICR_RXQ0 | ICR_TXQ0);
    nic_put(n, R_IMS, ICR_RXQ0 | ICR_TXQ0 | ICR_OTHER | ICR_LSC);
}

/* ---- descriptors ---- */

static void test_extended_descriptors_tell_the_hash(void **state)
{
    Nic *n = *state;
    uint8_t frame[200], *d;

    for (unsigned i = 0; i < 10; i++) { /* Microsoft's key for verification */
        static const uint8_t key[] = {
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
            0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
            0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
        };

        nic_put(n, R_RSSRK + 4 * i, pci_get32(key + 4 * i));
    }
    nic_put(n, R_MRQC, 1 | MRQC_TCP_IPV4 | MRQC_IPV4);
    nic_put(n, R_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL | RXCSUM_PCSD);
    nic_put(n, R_RFCTL, RFCTL_EXTEN);
    nic_start(n, RCTL_SECRC);
    make_tcp(frame, OURS, sizeof(frame));
    /* 66.9.149.187:2794 to 161.142.100.80:1766 */
    memcpy(frame + 26, "\x42\x09\x95\xbb\xa1\x8e\x64\x50\x0a\xea\x06\xe6", 12);
    nic_wire_put(n, frame, sizeof(frame));
    d = nic_rx(n, 0);
    assert_int_equal(pci_get32(d), 1);
    assert_int_equal(pci_get32(d + 4), 0x51ccc178);
    assert_int_equal(pci_get32(d + 8) & 0xff, RXD_DD | RXD_EOP | RXD_TCPCS | RXD_IPCS);
    assert_int_equal(pci_get16(d + 12), sizeof(frame));
}

static void test_the_hash_chooses_the_queue(void **state)
{
    Nic *n = *state;
    uint8_t frame[200];

    nic_put(n, R_MRQC, 1 | MRQC_TCP_IPV4);
    for (unsigned i = 0; i < 32; i++) {
        nic_put(n, R_RETA + 4 * i, 0x80808080);
    }
    nic_start(n, RCTL_SECRC);
    nic_put(n, R_RDBAL + 0x100, RX_RING_AT + 0x1000);
    nic_put(n, R_RDLEN + 0x100, RING_ENTRIES * 16);
    pci_set32(nic_ram(n, RX_RING_AT + 0x1000), RX_DATA_AT + 0x20000);
    nic_put(n, R_RDT + 0x100, 4);
    make_tcp(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 0);
    assert_int_equal(nic_get(n, R_RDH + 0x100), 1);
    assert_memory_equal(nic_ram(n, RX_DATA_AT + 0x20000), frame, sizeof(frame));
    make_frame(frame, OURS, sizeof(frame)); /* no hash */
    nic_wire_put(n, frame, sizeof(frame));
    assert_int_equal(nic_get(n, R_RDH), 1);
}

static void test_headers_go_into_a_buffer_of_their_own(void **state)
{
    Nic *n = *state;
    uint8_t frame[3000], *d;

    nic_put(n, R_RFCTL, RFCTL_EXTEN);
    nic_put(n, R_PSRCTL, 2 | 1 << 8 | 1 << 16); /* 256 bytes, 1 KiB, 1 KiB */
    nic_start(n, RCTL_SECRC | RCTL_LPE | 1 << 10);
    for (unsigned i = 0; i < 2; i++) {
        d = nic_ram(n, RX_RING_AT + 32 * i);
        memset(d, 0, 32);
        pci_set32(d, RX_DATA_AT + 0x4000 * i);
        pci_set32(d + 8, RX_DATA_AT + 0x4000 * i + 0x1000);
        pci_set32(d + 16, RX_DATA_AT + 0x4000 * i + 0x2000);
    }
    nic_put(n, R_RDT, 14); /* in units of 16 bytes */
    make_tcp(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    d = nic_ram(n, RX_RING_AT);
    assert_int_equal(pci_get16(d + 12), 54);
    assert_int_equal(pci_get16(d + 16), 54 | RXD_HEADER_SPLIT);
    assert_int_equal(pci_get16(d + 18), 1024);
    assert_int_equal(pci_get16(d + 20), 1024);
    assert_int_equal(pci_get32(d + 8) & 3, RXD_DD);
    assert_int_equal(pci_get32(d + 32 + 8) & 3, RXD_DD | RXD_EOP);
    assert_int_equal(pci_get16(d + 32 + 12), 256);
    assert_int_equal(pci_get16(d + 32 + 18), 3000 - 54 - 2048 - 256);
    assert_int_equal(nic_get(n, R_RDH), 4);
    assert_memory_equal(nic_ram(n, RX_DATA_AT), frame, 54);
    assert_memory_equal(nic_ram(n, RX_DATA_AT + 0x1000), frame + 54, 1024);
    assert_memory_equal(nic_ram(n, RX_DATA_AT + 0x2000), frame + 54 + 1024, 1024);
    assert_memory_equal(nic_ram(n, RX_DATA_AT + 0x4000), frame + 54 + 2048, 256);
}

/* ---- interrupts ---- */

static void test_a_queue_has_its_vector_which_acknowledges_itself(void **state)
{
    Nic *n = *state;
    uint8_t frame[60];

    use_msix(n);
    nic_start(n, RCTL_SECRC);
    make_frame(frame, OURS, sizeof(frame));
    nic_wire_put(n, frame, sizeof(frame));
    assert_message(n, 1, 0);
    assert_false(nic_get(n, R_IMS) & ICR_RXQ0);
    nic_wire_put(n, frame, sizeof(frame)); /* masked now */
    assert_message(n, 1, 0);
    nic_put(n, R_IMS, ICR_RXQ0);
    assert_message(n, 2, 0);
    nic_send(n, frame, sizeof(frame));
    assert_message(n, 3, 1);
}

static void test_other_causes_have_a_vector_and_are_read(void **state)
{
    Nic *n = *state;

    use_msix(n);
    nic_put(n, R_ICS, ICR_LSC);
    assert_message(n, 1, 2);
    nic_put(n, R_ICS, ICR_LSC); /* it was told and not read */
    assert_message(n, 1, 2);
    assert_int_equal(nic_get(n, R_ICR), ICR_ASSERTED | ICR_OTHER | ICR_LSC);
    nic_put(n, R_ICS, ICR_LSC);
    assert_message(n, 2, 2);
}

static void test_a_vector_waits_for_its_throttle(void **state)
{
    Nic *n = *state;

    use_msix(n);
    nic_put(n, R_EITR, 100); /* 25.6 us */
    nic_put(n, R_ICS, ICR_RXQ0);
    assert_message(n, 1, 0);
    nic_put(n, R_IMS, ICR_RXQ0);
    nic_put(n, R_ICS, ICR_RXQ0);
    assert_message(n, 1, 0);
    nic_put(n, R_ICS, ICR_TXQ0); /* another vector's is open */
    assert_message(n, 2, 1);
    rig_advance(n->rig, 25600);
    assert_message(n, 3, 0);
}

static void test_one_msi_is_sent_at_each_rise(void **state)
{
    Nic *n = *state;
    unsigned at = find_capability(n, 5);

    rig_config_write(n->rig, NIC_DEVFN, at + 4, 0xfee00000, 4);
    rig_config_write(n->rig, NIC_DEVFN, at + 12, 77, 2);
    rig_config_write(n->rig, NIC_DEVFN, at + 2, 1, 2);
    nic_put(n, R_IMS, ICR_RXT0);
    nic_put(n, R_ICS, ICR_RXT0);
    assert_message(n, 1, 77);
    assert_false(rig_irq(n->rig, NIC_GSI));
    nic_put(n, R_ICS, ICR_RXT0);
    assert_message(n, 1, 77);
    nic_get(n, R_ICR);
    nic_put(n, R_ICS, ICR_RXT0);
    assert_message(n, 2, 77);
}

static void test_reading_the_causes_masks_them_if_it_is_to(void **state)
{
    Nic *n = *state;

    nic_put(n, R_CTRL_EXT, CTRL_EXT_IAME);
    nic_put(n, R_IAM, ICR_RXT0);
    nic_put(n, R_IMS, ICR_RXT0 | ICR_LSC);
    nic_put(n, R_ICS, ICR_RXT0);
    assert_int_equal(nic_get(n, R_ICR), ICR_ASSERTED | ICR_RXT0);
    assert_int_equal(nic_get(n, R_IMS), ICR_LSC);
    nic_put(n, R_ICS, ICR_RXT0);
    assert_int_equal(nic_get(n, R_ICR), ICR_RXT0); /* not let through: it stays */
    assert_int_equal(nic_get(n, R_ICR), ICR_RXT0);
}

static void test_messages_go_on_after_a_move(void **state)
{
    Nic *n = *state;

    use_msix(n);
    nic_put(n, R_IMC, ICR_RXQ0);
    nic_put(n, R_ICS, ICR_RXQ0);
    nic_move(n, "e1000e");
    assert_message(n, 0, 0);
    nic_put(n, R_IMS, ICR_RXQ0);
    assert_message(n, 1, 0);
}

/* ---- the rest ---- */

static void test_the_clock_counts_as_it_is_told(void **state)
{
    Nic *n = *state;

    assert_int_equal(nic_get(n, R_SYSTIML), 0);
    nic_put(n, R_TIMINCA, 1u << 24 | 40); /* nanoseconds */
    rig_advance(n->rig, 4000);
    assert_int_equal(nic_get(n, R_SYSTIML), 4000);
    nic_put(n, R_TIMINCA, 2u << 24 | 160); /* twice as fast, in steps of 80 ns */
    rig_advance(n->rig, 800);
    assert_int_equal(nic_get(n, R_SYSTIML), 4000 + 1600);
    nic_put(n, R_SYSTIML + 4, 7);
    nic_move(n, "e1000e");
    assert_int_equal(nic_get(n, R_SYSTIML), 4000 + 1600);
    assert_int_equal(nic_get(n, R_SYSTIML + 4), 7);
}

static void test_bus_mastering_is_seen_to_end(void **state)
{
    Nic *n = *state;

    assert_true(nic_get(n, R_STATUS) & STATUS_GIO_MASTER_EN);
    nic_put(n, R_CTRL, CTRL_GIO_MASTER_DIS);
    assert_false(nic_get(n, R_STATUS) & STATUS_GIO_MASTER_EN);
}

static void test_it_is_what_drivers_look_for(void **state)
{
    Nic *n = *state;

    assert_int_equal(rig_config_read(n->rig, NIC_DEVFN, 0, 4), 0x10d38086);
    assert_int_equal(rig_config_read(n->rig, NIC_DEVFN, 0x2c, 4), 0x00008086);
    assert_int_equal(rig_config_read(n->rig, NIC_DEVFN, find_capability(n, 0x11) + 2, 2), 4); /* five vectors */
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, nic_setup_e1000e, nic_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_extended_descriptors_tell_the_hash),
        TEST(test_the_hash_chooses_the_queue),
        TEST(test_headers_go_into_a_buffer_of_their_own),
        TEST(test_a_queue_has_its_vector_which_acknowledges_itself),
        TEST(test_other_causes_have_a_vector_and_are_read),
        TEST(test_a_vector_waits_for_its_throttle),
        TEST(test_one_msi_is_sent_at_each_rise),
        TEST(test_reading_the_causes_masks_them_if_it_is_to),
        TEST(test_messages_go_on_after_a_move),
        TEST(test_the_clock_counts_as_it_is_told),
        TEST(test_bus_mastering_is_seen_to_end),
        TEST(test_it_is_what_drivers_look_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
