/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/pci/pci.c, pci-bar.c, pci-bus.c: functions, BARs, addresses, INTx. */
#include "tests/unit/hw/pci/pci-rig.h"

#include <string.h>

#include "hw/pci/q35-host.h"
#include "vmm/error.h"
#include "vmm/state.h"

#define BAR(N) (PCI_BASE_ADDRESS_0 + 4 * (N))
#define ON (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)

static void test_an_address_without_function_reads_as_ones(void **state)
{
    PciRig *r = *state;

    assert_int_equal(pci_config_load(r->bus, 0, PCI_DEVFN(7, 0), PCI_VENDOR_ID, 4), 0xffffffff);
    assert_int_equal(pci_config_load(r->bus, 9, PCI_DEVFN(0, 0), PCI_VENDOR_ID, 2), 0xffff);
}

static void test_identity_cannot_be_written(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, PCI_VENDOR_ID, 0xdeadbeef, 4);
    assert_int_equal(pci_rig_config(pci, PCI_VENDOR_ID, 4), 0x56781234);
    assert_int_equal(pci_rig_config(pci, PCI_CLASS_REVISION, 4), 0x00ff0009);
}

static void test_a_bar_is_sized_by_writing_ones(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, BAR(0), 0xffffffff, 4);
    pci_rig_set_config(pci, BAR(1), 0xffffffff, 4);
    pci_rig_set_config(pci, BAR(2), 0xffffffff, 4);
    pci_rig_set_config(pci, BAR(3), 0xffffffff, 4);
    assert_int_equal(pci_rig_config(pci, BAR(0), 4), 0xfffff000);
    assert_int_equal(pci_rig_config(pci, BAR(1), 4), 0xfffffff1);
    assert_int_equal(pci_rig_config(pci, BAR(2), 4), 0xfff0000c);
    assert_int_equal(pci_rig_config(pci, BAR(3), 4), 0xffffffff);
}

static void test_a_bar_is_there_while_memory_is_decoded(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, BAR(0), 0xe0000000, 4);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
    pci_rig_set_config(pci, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0x5a5a5a5a);
    pci_rig_set_config(pci, PCI_COMMAND, 0, 2);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
}

static void test_a_bar_moves_with_the_write(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    pci_rig_set_config(pci, BAR(0), 0xe0000000, 4);
    pci_rig_set_config(pci, BAR(0), 0xe0100000, 4);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
    assert_int_equal(pci_rig_load(r, 0xe0100000), 0x5a5a5a5a);
}

static void test_a_64_bit_bar_goes_above_4_gib(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, BAR(2), 0x00000000, 4);
    pci_rig_set_config(pci, BAR(3), 0x00000008, 4);
    pci_rig_set_config(pci, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_int_equal(pci_rig_load(r, UINT64_C(0x8000ffffc)), 0x5a5a5a5a);
    assert_int_equal(pci_rig_load(r, UINT64_C(0x800100000)), 0xffffffff);
}

static void test_ports_need_io_decoding(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, BAR(1), 0xc000, 4);
    pci_rig_set_config(pci, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_int_equal(pci_rig_in(r, 0xc000, 1), 0xff);
    pci_rig_set_config(pci, PCI_COMMAND, PCI_COMMAND_IO, 2);
    assert_int_equal(pci_rig_in(r, 0xc000, 1), 0xa5);
}

static void test_a_sleeping_function_decodes_nothing(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, BAR(0), 0xe0000000, 4);
    pci_rig_set_config(pci, PCI_COMMAND, ON, 2);
    pci_rig_set_config(pci, pci->pm_cap + PCI_PM_CTRL, 3, 2);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
    pci_rig_set_config(pci, pci->pm_cap + PCI_PM_CTRL, 0, 2);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0x5a5a5a5a);
}

static void test_dma_needs_bus_mastering(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    assert_false(pci->dma.enabled);
    pci_rig_set_config(pci, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    assert_true(pci->dma.enabled);
}

static void test_reset_puts_everything_back(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, BAR(0), 0xe0000000, 4);
    pci_rig_set_config(pci, PCI_COMMAND, ON | PCI_COMMAND_MASTER, 2);
    pci_set_intx(pci, true);
    device_reset(&pci->dev);
    assert_int_equal(pci_rig_config(pci, PCI_COMMAND, 2), 0);
    assert_int_equal(pci_rig_config(pci, BAR(0), 4), 0);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
    assert_false(pci->dma.enabled);
    assert_false(r->gsi[22]);
}

/* ---- config mechanisms ---- */
static void test_ports_cf8_and_cfc_reach_config_space(void **state)
{
    PciRig *r = *state;

    pci_rig_add(r, "pcie.0", "02.0", NULL);
    pci_rig_out(r, 0xcf8, 0x80001000, 4);
    assert_int_equal(pci_rig_in(r, 0xcf8, 4), 0x80001000);
    assert_int_equal(pci_rig_in(r, 0xcfc, 4), 0x56781234);
    assert_int_equal(pci_rig_in(r, 0xcfe, 2), 0x5678);
    pci_rig_out(r, 0xcf8, 0x00001000, 4);
    assert_int_equal(pci_rig_in(r, 0xcfc, 4), 0xffffffff);
}

static void test_ecam_is_where_pciexbar_says(void **state)
{
    PciRig *r = *state;

    pci_rig_add(r, "pcie.0", "02.0", NULL);
    pci_config_store(r->bus, 0, 0, Q35_MCH_PCIEXBAR, 0xb0000000 | Q35_MCH_PCIEXBAR_EN, 4);
    assert_int_equal(pci_rig_load(r, 0xb0010000), 0x56781234);
    pci_config_store(r->bus, 0, 0, Q35_MCH_PCIEXBAR, 0xc0000000 | Q35_MCH_PCIEXBAR_EN, 4);
    assert_int_equal(pci_rig_load(r, 0xb0010000), 0xffffffff);
    assert_int_equal(pci_rig_load(r, 0xc0010000), 0x56781234);
}

static void test_conventional_functions_have_no_extended_space(void **state)
{
    PciRig *r = *state;

    assert_int_equal(pci_config_load(r->bus, 0, 0, 0x100, 4), 0xffffffff);
}

/* ---- INTx ---- */
static void test_inta_of_slot_2_is_pirq_g(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_set_intx(pci, true);
    assert_true(r->gsi[22]);
    assert_true(pci_rig_config(pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    pci_set_intx(pci, false);
    assert_false(r->gsi[22]);
    assert_false(pci_rig_config(pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
}

static void test_functions_share_a_line(void **state)
{
    PciRig *r = *state;
    PciDevice *a = pci_rig_add(r, "pcie.0", "02.0", NULL), *b = pci_rig_add(r, "pcie.0", "06.0", NULL);

    pci_set_intx(a, true);
    pci_set_intx(b, true);
    pci_set_intx(a, false);
    assert_true(r->gsi[22]);
    pci_set_intx(b, false);
    assert_false(r->gsi[22]);
}

static void test_intx_disable_holds_the_line_low_and_keeps_the_status(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_set_intx(pci, true);
    pci_rig_set_config(pci, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    assert_false(r->gsi[22]);
    assert_true(pci_rig_config(pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
    pci_rig_set_config(pci, PCI_COMMAND, 0, 2);
    assert_true(r->gsi[22]);
}

static void test_a_routed_pirq_drives_the_pic_too(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_config_store(r->bus, 0, 0xf8, 0x6a, 11, 1); /* PIRQG */
    pci_set_intx(pci, true);
    assert_true(r->gsi[11]);
    pci_config_store(r->bus, 0, 0xf8, 0x6a, 10, 1);
    assert_false(r->gsi[11]);
    assert_true(r->gsi[10]);
    pci_config_store(r->bus, 0, 0xf8, 0x6a, 0x80, 1);
    assert_false(r->gsi[10]);
}

/* ---- addresses ---- */
static void test_an_address_is_given_once(void **state)
{
    PciRig *r = *state;
    g_autoptr(GError) error = NULL;

    pci_rig_add(r, "pcie.0", "02.0", NULL);
    assert_null(pci_rig_add(r, "pcie.0", "2", &error));
    assert_string_equal(error->message, "PCI address 02.0 of bus 'pcie.0' is taken by 'pci-test'");
}

static void test_without_an_address_the_first_free_slot_is_taken(void **state)
{
    PciRig *r = *state;

    assert_int_equal(pci_rig_add(r, "pcie.0", "01.0", NULL)->devfn, PCI_DEVFN(1, 0));
    assert_int_equal(pci_rig_add(r, "pcie.0", NULL, NULL)->devfn, PCI_DEVFN(2, 0));
}

static void test_a_second_function_needs_multifunction_on_the_first(void **state)
{
    PciRig *r = *state;
    g_autoptr(GError) error = NULL;

    pci_rig_add(r, "pcie.0", "02.0", NULL);
    assert_null(pci_rig_add(r, "pcie.0", "02.1", &error));
    assert_string_equal(error->message,
                        "PCI address 02.1 of bus 'pcie.0' cannot be used: 'pci-test' in function 0 is not multifunction");
    assert_string_equal(error_get_hint(error), "Set multifunction=on on 'pci-test', or choose another slot.");
}

static void test_multifunction_shows_in_the_header_type(void **state)
{
    static const char *const props[] = { "addr", "02.0", "multifunction", "on", NULL };
    PciRig *r = *state;
    PciDevice *first = pci_rig_plug(r, &pci_test_class, "pcie.0", "first", props, NULL);

    assert_int_equal(pci_rig_config(first, PCI_HEADER_TYPE, 1), 0x80);
    assert_non_null(pci_rig_add(r, "pcie.0", "02.7", NULL));
}

static void test_addresses_are_slot_and_function(void **state)
{
    int32_t devfn = 0;
    g_autoptr(GError) error = NULL;

    assert_true(pci_address_codec.parse("5", &devfn, NULL));
    assert_int_equal(devfn, PCI_DEVFN(5, 0));
    assert_true(pci_address_codec.parse("0x1f.0x7", &devfn, NULL));
    assert_int_equal(devfn, PCI_DEVFN(31, 7));
    assert_true(pci_address_codec.parse("1e.2", &devfn, NULL));
    assert_int_equal(devfn, PCI_DEVFN(30, 2));
    assert_false(pci_address_codec.parse("20.0", &devfn, &error));
    assert_string_equal(error->message,
                        "'20.0' is no PCI address: a slot (hexadecimal, 0 to 1f) and a function (0 to 7) are wanted");
    assert_false(pci_address_codec.parse("1.8", &devfn, NULL));
    assert_false(pci_address_codec.parse("1.", &devfn, NULL));
    assert_false(pci_address_codec.parse("", &devfn, NULL));
    assert_true(pci_address_codec.parse("-1", &devfn, NULL));
    assert_int_equal(devfn, -1);
}

/* ---- coming, going, saving ---- */
static void test_a_removed_function_leaves_nothing(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);

    pci_rig_set_config(pci, BAR(0), 0xe0000000, 4);
    pci_rig_set_config(pci, PCI_COMMAND, ON, 2);
    pci_set_intx(pci, true);
    device_free(&pci->dev);
    assert_int_equal(pci_config_load(r->bus, 0, PCI_DEVFN(2, 0), 0, 4), 0xffffffff);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
    assert_false(r->gsi[22]);
}

static void test_a_loaded_function_is_mapped_and_interrupts_as_before(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);
    g_autoptr(GByteArray) saved = g_byte_array_new();

    pci_rig_set_config(pci, BAR(0), 0xe0000000, 4);
    pci_rig_set_config(pci, PCI_COMMAND, ON, 2);
    pci_set_intx(pci, true);
    assert_true(state_save(domain_state(r->domain), saved, NULL));
    device_reset(&pci->dev);
    assert_false(r->gsi[22]);
    assert_true(state_load(domain_state(r->domain), saved->data, saved->len, NULL));
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0x5a5a5a5a);
    assert_true(r->gsi[22]);
}

static void test_state_of_another_device_is_refused(void **state)
{
    PciRig *r = *state;
    PciDevice *pci = pci_rig_add(r, "pcie.0", "02.0", NULL);
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) error = NULL;

    assert_true(state_save(domain_state(r->domain), saved, NULL));
    pci->config[PCI_DEVICE_ID] = pci->reset_config[PCI_DEVICE_ID] = 0x79;
    assert_false(state_load(domain_state(r->domain), saved->data, saved->len, &error));
    assert_non_null(strstr(error->message,
                           "config space byte 0x2 is 0x78 there and 0x79 here: it was saved from another device"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, pci_rig_setup, pci_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_address_without_function_reads_as_ones),
        TEST(test_identity_cannot_be_written),
        TEST(test_a_bar_is_sized_by_writing_ones),
        TEST(test_a_bar_is_there_while_memory_is_decoded),
        TEST(test_a_bar_moves_with_the_write),
        TEST(test_a_64_bit_bar_goes_above_4_gib),
        TEST(test_ports_need_io_decoding),
        TEST(test_a_sleeping_function_decodes_nothing),
        TEST(test_dma_needs_bus_mastering),
        TEST(test_reset_puts_everything_back),
        TEST(test_ports_cf8_and_cfc_reach_config_space),
        TEST(test_ecam_is_where_pciexbar_says),
        TEST(test_conventional_functions_have_no_extended_space),
        TEST(test_inta_of_slot_2_is_pirq_g),
        TEST(test_functions_share_a_line),
        TEST(test_intx_disable_holds_the_line_low_and_keeps_the_status),
        TEST(test_a_routed_pirq_drives_the_pic_too),
        TEST(test_an_address_is_given_once),
        TEST(test_without_an_address_the_first_free_slot_is_taken),
        TEST(test_a_second_function_needs_multifunction_on_the_first),
        TEST(test_multifunction_shows_in_the_header_type),
        TEST(test_addresses_are_slot_and_function),
        TEST(test_a_removed_function_leaves_nothing),
        TEST(test_a_loaded_function_is_mapped_and_interrupts_as_before),
        TEST(test_state_of_another_device_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
