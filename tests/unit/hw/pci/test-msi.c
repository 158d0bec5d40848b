/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/pci/msi.c: MSI and MSI-X, their masks and pending bits. */
#include "tests/unit/hw/pci/pci-rig.h"

#include <string.h>

#include "vmm/error.h"
#include "vmm/state.h"

#define TABLE UINT64_C(0xe0000000)
#define PBA (TABLE + 2048)
#define ENTRY(N) (TABLE + (N) * PCI_MSIX_ENTRY_SIZE)

/* A master with its table at TABLE; MSI-X is still off. */
static PciDevice *add(PciRig *r)
{
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, PCI_BASE_ADDRESS_4, TABLE, 4);
    pci_rig_set_config(pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    return pci;
}

static void set_msix(PciDevice *pci, uint16_t flags)
{
    pci_rig_set_config(pci, pci->msix_cap + PCI_MSIX_FLAGS, flags, 2);
}

static void set_entry(PciRig *r, unsigned n, uint32_t data, bool masked)
{
    pci_rig_store(r, ENTRY(n) + PCI_MSIX_ENTRY_LOWER_ADDR, 0xfee01000);
    pci_rig_store(r, ENTRY(n) + PCI_MSIX_ENTRY_UPPER_ADDR, 0);
    pci_rig_store(r, ENTRY(n) + PCI_MSIX_ENTRY_DATA, data);
    pci_rig_store(r, ENTRY(n) + PCI_MSIX_ENTRY_VECTOR_CTRL, masked);
}

static void test_the_capability_tells_of_table_and_pba(void **state)
{
    PciDevice *pci = add(*state);

    assert_int_equal(pci_rig_config(pci, pci->msix_cap + PCI_MSIX_FLAGS, 2), 3);
    assert_int_equal(pci_rig_config(pci, pci->msix_cap + PCI_MSIX_TABLE, 4), 4);
    assert_int_equal(pci_rig_config(pci, pci->msix_cap + PCI_MSIX_PBA, 4), 2048 | 4);
}

static void test_an_open_vector_sends_what_its_entry_says(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    set_entry(r, 1, 0x41, false);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    pci_msix_notify(pci, 1);
    assert_int_equal(r->messages, 1);
    assert_int_equal(r->message[0].address, 0xfee01000);
    assert_int_equal(r->message[0].data, 0x41);
}

static void test_a_message_changed_while_open_is_used_from_then_on(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    set_entry(r, 1, 0x41, false);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    pci_rig_store(r, ENTRY(1) + PCI_MSIX_ENTRY_DATA, 0x42);
    pci_msix_notify(pci, 1);
    assert_int_equal(r->message[0].data, 0x42);
}

static void test_a_disabled_function_sends_nothing(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    set_entry(r, 1, 0x41, false);
    pci_msix_notify(pci, 1);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    assert_int_equal(r->messages, 0);
}

static void test_who_is_no_master_sends_nothing(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    set_entry(r, 1, 0x41, false);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    pci_rig_set_config(pci, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    pci_msix_notify(pci, 1);
    assert_int_equal(r->messages, 0);
}

static void test_a_masked_vector_is_pending_and_sent_once_at_unmasking(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    set_entry(r, 1, 0x41, true);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    pci_msix_notify(pci, 1);
    pci_msix_notify(pci, 1);
    assert_int_equal(r->messages, 0);
    assert_int_equal(pci_rig_load(r, PBA), 1 << 1);
    pci_rig_store(r, ENTRY(1) + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    assert_int_equal(r->messages, 1);
    assert_int_equal(pci_rig_load(r, PBA), 0);
}

static void test_the_function_mask_holds_every_vector(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    set_entry(r, 0, 0x40, false);
    set_entry(r, 3, 0x43, false);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    pci_msix_notify(pci, 0);
    pci_msix_notify(pci, 3);
    assert_int_equal(r->messages, 0);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    assert_int_equal(r->messages, 2);
}

static void test_disabling_forgets_what_is_pending(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    set_entry(r, 1, 0x41, true);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    pci_msix_notify(pci, 1);
    set_msix(pci, 0);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    pci_rig_store(r, ENTRY(1) + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    assert_int_equal(r->messages, 0);
}

static void test_reserved_bits_of_vector_control_read_zero(void **state)
{
    PciRig *r = *state;

    add(r);
    pci_rig_store(r, ENTRY(2) + PCI_MSIX_ENTRY_VECTOR_CTRL, 0xffffffff);
    assert_int_equal(pci_rig_load(r, ENTRY(2) + PCI_MSIX_ENTRY_VECTOR_CTRL), 1);
}

static void test_a_message_that_may_come_soon_goes_at_once_without_a_descriptor(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    set_entry(r, 1, 0x41, false);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    pci_msix_notify_soon(pci, 1, domain_loop(r->domain));
    assert_int_equal(r->messages, 1);
    set_entry(r, 1, 0x41, true);
    pci_msix_notify_soon(pci, 1, domain_loop(r->domain));
    assert_int_equal(r->messages, 1);
    pci_rig_store(r, ENTRY(1) + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    assert_int_equal(r->messages, 2); /* it was remembered */
}

static void test_a_vector_beyond_the_table_does_nothing(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);
    g_autoptr(GError) error = NULL;

    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    pci_msix_notify(pci, 4);
    pci_msix_notify_soon(pci, 4, domain_loop(r->domain));
    assert_int_equal(r->messages, 0);
    assert_int_equal(pci_msix_irqfd(pci, 4, &error), -1);
    assert_string_equal(error->message, "'pci-test' has no MSI-X vector 4");
}

static void test_the_table_survives_saving_with_what_is_pending(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);
    g_autoptr(GByteArray) saved = g_byte_array_new();

    set_entry(r, 1, 0x41, true);
    set_msix(pci, PCI_MSIX_FLAGS_ENABLE);
    pci_msix_notify(pci, 1);
    assert_true(state_save(domain_state(r->domain), saved, NULL));
    device_reset(&pci->dev);
    assert_true(state_load(domain_state(r->domain), saved->data, saved->len, NULL));
    assert_int_equal(pci_rig_load(r, ENTRY(1) + PCI_MSIX_ENTRY_DATA), 0x41);
    pci_rig_store(r, ENTRY(1) + PCI_MSIX_ENTRY_VECTOR_CTRL, 0);
    assert_int_equal(r->messages, 1);
}

/* ---- MSI ---- */
static void enable_msi(PciDevice *pci, unsigned log2_vectors)
{
    pci_rig_set_config(pci, pci->msi_cap + PCI_MSI_ADDRESS_LO, 0xfee02000, 4);
    pci_rig_set_config(pci, pci->msi_cap + PCI_MSI_DATA_64, 0x30, 2);
    pci_rig_set_config(pci, pci->msi_cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | log2_vectors << 4, 2);
}

static void test_msi_vectors_differ_in_their_low_bits(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    enable_msi(pci, 2);
    pci_msi_notify(pci, 0);
    pci_msi_notify(pci, 3);
    assert_int_equal(r->message[0].address, 0xfee02000);
    assert_int_equal(r->message[0].data, 0x30);
    assert_int_equal(r->message[1].data, 0x33);
}

static void test_msi_vectors_not_given_share_the_last(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    enable_msi(pci, 1);
    pci_msi_notify(pci, 3);
    assert_int_equal(r->message[0].data, 0x31);
}

static void test_a_masked_msi_is_pending_until_unmasked(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = add(r);

    enable_msi(pci, 2);
    pci_rig_set_config(pci, pci->msi_cap + PCI_MSI_MASK_64, 1 << 2, 4);
    pci_msi_notify(pci, 2);
    assert_int_equal(r->messages, 0);
    assert_int_equal(pci_rig_config(pci, pci->msi_cap + PCI_MSI_PENDING_64, 4), 1 << 2);
    pci_rig_set_config(pci, pci->msi_cap + PCI_MSI_MASK_64, 0, 4);
    assert_int_equal(r->messages, 1);
    assert_int_equal(r->message[0].data, 0x32);
    assert_int_equal(pci_rig_config(pci, pci->msi_cap + PCI_MSI_PENDING_64, 4), 0);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, pci_rig_setup, pci_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_capability_tells_of_table_and_pba),
        TEST(test_an_open_vector_sends_what_its_entry_says),
        TEST(test_a_message_changed_while_open_is_used_from_then_on),
        TEST(test_a_disabled_function_sends_nothing),
        TEST(test_who_is_no_master_sends_nothing),
        TEST(test_a_masked_vector_is_pending_and_sent_once_at_unmasking),
        TEST(test_the_function_mask_holds_every_vector),
        TEST(test_disabling_forgets_what_is_pending),
        TEST(test_reserved_bits_of_vector_control_read_zero),
        TEST(test_a_message_that_may_come_soon_goes_at_once_without_a_descriptor),
        TEST(test_a_vector_beyond_the_table_does_nothing),
        TEST(test_the_table_survives_saving_with_what_is_pending),
        TEST(test_msi_vectors_differ_in_their_low_bits),
        TEST(test_msi_vectors_not_given_share_the_last),
        TEST(test_a_masked_msi_is_pending_until_unmasked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
