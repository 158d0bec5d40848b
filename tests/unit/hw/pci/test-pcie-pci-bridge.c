/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/pci/pcie-pci-bridge.c, and the reset of a bus in pci-bridge.c. */
#include "tests/unit/hw/pci/pci-rig.h"

#include "vmm/error.h"

extern const DeviceClass pcie_pci_bridge_class, pci_bridge_plain_class, pcie_root_port_class;

/* pcie.0 -> root port in slot 2 (bus 1) -> bridge (bus 2) -> cards */
typedef struct Tree {
    PciDevice *port, *bridge, *card;
} Tree;

static void number(PciDevice *bridge, uint8_t secondary, uint8_t subordinate)
{
    pci_rig_set_config(bridge, PCI_SECONDARY_BUS, secondary, 1);
    pci_rig_set_config(bridge, PCI_SUBORDINATE_BUS, subordinate, 1);
}

static Tree tree(PciRig *r, const char *addr)
{
    const char *port_props[] = { "addr", "02.0", "slot", "1", NULL };
    Tree t = { .port = pci_rig_plug(r, &pcie_root_port_class, "pcie.0", "port", port_props, NULL) };

    t.bridge = pci_rig_plug(r, &pcie_pci_bridge_class, "port", "pci.2", NULL, NULL);
    t.card = pci_rig_add(r, "pci.2", addr, NULL);
    number(t.port, 1, 2);
    number(t.bridge, 2, 2);
    return t;
}

/* The card's memory is at e0000000, and all that leads there is open. */
static void open_all(Tree *t)
{
    pci_rig_set_config(t->card, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    pci_rig_set_config(t->card, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    pci_rig_set_config(t->bridge, PCI_MEMORY_BASE, 0xe000e000, 4);
    pci_rig_set_config(t->bridge, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    pci_rig_set_config(t->port, PCI_MEMORY_BASE, 0xe000e000, 4);
    pci_rig_set_config(t->port, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void reset_bus(PciDevice *bridge, bool on)
{
    pci_rig_set_config(bridge, PCI_BRIDGE_CONTROL, on ? PCI_BRIDGE_CTL_BUS_RESET : 0, 2);
}

static void test_it_is_known_as_an_express_bridge(void **state)
{
    Tree t = tree(*state, NULL);

    assert_int_equal(pci_rig_config(t.bridge, PCI_VENDOR_ID, 4), 0x000e1b36);
    assert_int_equal(pci_rig_config(t.bridge, PCI_CLASS_DEVICE, 2), 0x0604);
    assert_int_equal(pci_rig_config(t.bridge, t.bridge->pcie_cap + PCI_EXP_FLAGS, 2), 0x72);
    assert_int_equal(t.card->devfn, PCI_DEVFN(1, 0));
}

static void test_cards_behind_it_are_conventional(void **state)
{
    PciRig *r = *state;

    tree(r, NULL);
    assert_int_equal(pci_config_load(r->bus, 2, PCI_DEVFN(1, 0), PCI_VENDOR_ID, 2), 0x1234);
    assert_int_equal(pci_config_load(r->bus, 2, PCI_DEVFN(1, 0), PCI_CONFIG_SIZE, 4), 0xffffffff);
    assert_int_equal(pci_device(device_find(r->domain, "pci.2"))->pcie_cap != 0, 1);
}

static void test_card_loses_its_express_capability_there(void **state)
{
    Tree t = tree(*state, NULL);
    unsigned at = pci_rig_config(t.card, PCI_CAPABILITY_LIST, 1);

    assert_int_equal(t.card->pcie_cap, 0);
    for (; at; at = pci_rig_config(t.card, at + PCI_CAP_LIST_NEXT, 1)) {
        assert_int_not_equal(pci_rig_config(t.card, at, 1), PCI_CAP_ID_EXP);
    }
}

static void test_memory_is_reached_through_both_windows(void **state)
{
    PciRig *r = *state;
    Tree t = tree(r, NULL);

    open_all(&t);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0x5a5a5a5a);
    pci_rig_set_config(t.bridge, PCI_MEMORY_BASE, 0xe010e010, 4);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
}

/* INTA in slot 3 is INTD of the bridge, which slot 0 leaves, and slot 2 of the root bus leads to PIRQF. */
static void test_pins_turn_at_each_bridge(void **state)
{
    PciRig *r = *state;
    Tree t = tree(r, "03.0");

    pci_set_intx(t.card, true);
    assert_true(r->gsi[21]);
    assert_false(r->gsi[20] || r->gsi[22] || r->gsi[23]);
}

static void test_firmware_part_reaches_through_it(void **state)
{
    static const PciWindows windows = {
        .mem32_base = 0xc0000000, .mem32_end = 0xfec00000,
        .mem64_base = UINT64_C(0x100000000), .mem64_end = UINT64_C(0x900000000),
        .io_base = 0x1000, .io_end = 0x10000,
    };
    PciRig *r = *state;
    Tree t = tree(r, NULL);

    pci_assign_resources(r->bus, &windows);
    assert_int_equal(pci_rig_config(t.bridge, PCI_PRIMARY_BUS, 1), 1);
    assert_int_equal(pci_rig_config(t.bridge, PCI_SECONDARY_BUS, 1), 2);
    assert_int_equal(pci_rig_load(r, pci_rig_config(t.card, PCI_BASE_ADDRESS_0, 4)), 0x5a5a5a5a);
    assert_int_equal(pci_rig_in(r, (uint16_t)(pci_rig_config(t.card, PCI_BASE_ADDRESS_1, 4) & ~3u), 1), 0xa5);
}

static void test_what_is_behind_a_slot_that_is_off_is_out_of_reach(void **state)
{
    PciRig *r = *state;
    Tree t = tree(r, NULL);

    open_all(&t);
    pci_rig_set_config(t.port, t.port->pcie_cap + PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_ON, 2);
    assert_int_equal(pci_config_load(r->bus, 2, PCI_DEVFN(1, 0), PCI_VENDOR_ID, 2), 0xffff);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
}

/* ---- reset of the bus ---- */

static void test_bus_in_reset_is_out_of_reach(void **state)
{
    PciRig *r = *state;
    Tree t = tree(r, NULL);

    open_all(&t);
    reset_bus(t.bridge, true);
    assert_int_equal(pci_config_load(r->bus, 2, PCI_DEVFN(1, 0), PCI_VENDOR_ID, 2), 0xffff);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
    assert_false(t.card->dma.enabled);
    assert_int_equal(pci_config_load(r->bus, 1, 0, PCI_VENDOR_ID, 2), 0x1b36);
}

static void test_reset_of_the_bus_resets_what_is_behind(void **state)
{
    PciRig *r = *state;
    Tree t = tree(r, NULL);

    open_all(&t);
    reset_bus(t.bridge, true);
    pci_rig_run(r);
    reset_bus(t.bridge, false);
    assert_int_equal(pci_config_load(r->bus, 2, PCI_DEVFN(1, 0), PCI_BASE_ADDRESS_0, 4), 0);
    assert_int_equal(pci_rig_config(t.bridge, PCI_MEMORY_BASE, 4), 0xe000e000);
    assert_false(t.card->dev.paused);
}

static void test_reset_of_a_port_goes_through_bridges(void **state)
{
    PciRig *r = *state;
    Tree t = tree(r, NULL);

    open_all(&t);
    reset_bus(t.port, true);
    pci_rig_run(r);
    assert_int_equal(pci_config_long(t.card, PCI_BASE_ADDRESS_0), 0);
    assert_int_equal(pci_config_byte(t.bridge, PCI_SECONDARY_BUS), 0);
}

static void test_bus_comes_back_when_the_reset_is_done(void **state)
{
    PciRig *r = *state;
    Tree t = tree(r, NULL);

    reset_bus(t.bridge, true);
    reset_bus(t.bridge, false);
    assert_int_equal(pci_config_load(r->bus, 2, PCI_DEVFN(1, 0), PCI_VENDOR_ID, 2), 0xffff);
    pci_rig_run(r);
    assert_int_equal(pci_config_load(r->bus, 2, PCI_DEVFN(1, 0), PCI_VENDOR_ID, 2), 0x1234);
}

static void test_domain_that_goes_quiet_has_no_reset_under_way(void **state)
{
    PciRig *r = *state;
    Tree t = tree(r, NULL);

    open_all(&t);
    reset_bus(t.bridge, true);
    device_pause(&t.card->dev);
    device_pause(&t.bridge->dev);
    assert_int_equal(pci_config_long(t.card, PCI_BASE_ADDRESS_0), 0);
    assert_true(t.card->dev.paused);
    device_resume(&t.bridge->dev);
    device_resume(&t.card->dev);
    reset_bus(t.bridge, false);
    pci_rig_set_config(t.card, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    pci_rig_run(r);
    assert_int_equal(pci_rig_config(t.card, PCI_BASE_ADDRESS_0, 4), 0xe0000000);
}

/* A card whose requests take their time: the main loop goes on meanwhile, and the guest, which switches the slot off. */
static PciDevice *slow_port;
static bool gone_too_early;

static void switch_off(PciDevice *port)
{
    pci_rig_set_config(port, port->pcie_cap + PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF, 2);
}

static void wait_in_pause(Device *dev)
{
    Domain *domain = dev->domain;
    g_autofree char *name = g_strdup(dev->id);

    switch_off(slow_port);
    for (unsigned i = 0; i < 4; i++) {
        loop_run_once(domain_loop(domain), false);
        gone_too_early |= !device_find(domain, name);
    }
}

static void test_card_stays_while_a_reset_waits_for_it(void **state)
{
    PciRig *r = *state;
    const char *props[] = { "addr", "02.0", "slot", "1", NULL };
    PciDevice *port = pci_rig_plug(r, &pcie_root_port_class, "pcie.0", "port", props, NULL);
    DeviceClass slow_class = pci_test_class;

    slow_class.pause = wait_in_pause;
    pci_rig_plug(r, &slow_class, "port", "card", NULL, NULL);
    number(port, 1, 1);
    pci_rig_set_config(port, port->pcie_cap + PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_ON, 2);
    slow_port = port;
    gone_too_early = false;
    reset_bus(port, true);
    pci_rig_run(r);
    pci_rig_run(r);
    assert_false(gone_too_early);
    assert_null(device_find(r->domain, "card"));
}

static void test_machine_reset_ends_that_of_the_bus(void **state)
{
    PciRig *r = *state;
    Tree t = tree(r, NULL);

    reset_bus(t.bridge, true);
    device_reset(&t.bridge->dev);
    number(t.bridge, 2, 2);
    assert_int_equal(pci_config_load(r->bus, 2, PCI_DEVFN(1, 0), PCI_VENDOR_ID, 2), 0x1234);
    pci_rig_set_config(t.card, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    pci_rig_run(r);
    assert_int_equal(pci_rig_config(t.card, PCI_BASE_ADDRESS_0, 4), 0xe0000000);
}

/* ---- pci-bridge, and what fits where ---- */

static void test_conventional_bridge_follows_with_its_chassis(void **state)
{
    PciRig *r = *state;
    const char *props[] = { "addr", "01.0", "chassis_nr", "7", NULL };
    PciDevice *plain, *card;

    pci_rig_plug(r, &pcie_pci_bridge_class, "pcie.0", "pci.1", NULL, NULL);
    plain = pci_rig_plug(r, &pci_bridge_plain_class, "pci.1", "pci.2", props, NULL);
    card = pci_rig_add(r, "pci.2", NULL, NULL);
    number(pci_device(device_find(r->domain, "pci.1")), 1, 2);
    number(plain, 2, 2);
    assert_int_equal(pci_rig_config(plain, PCI_VENDOR_ID, 4), 0x00011b36);
    assert_int_equal(pci_rig_config(plain, pci_rig_config(plain, PCI_CAPABILITY_LIST, 1), 4) & 0xffff00ff, 0x07200004);
    assert_int_equal(pci_config_load(r->bus, 2, card->devfn, PCI_VENDOR_ID, 2), 0x1234);
}

static void test_express_bridge_needs_express(void **state)
{
    PciRig *r = *state;
    g_autoptr(GError) error = NULL;

    tree(r, NULL);
    assert_null(pci_rig_plug(r, &pcie_pci_bridge_class, "pci.2", "pci.3", NULL, &error));
    assert_string_equal(error->message, "pci.3: it plugs into PCI Express, and bus 'pci.2' is conventional PCI");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, pci_rig_setup, pci_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_it_is_known_as_an_express_bridge),
        TEST(test_cards_behind_it_are_conventional),
        TEST(test_card_loses_its_express_capability_there),
        TEST(test_memory_is_reached_through_both_windows),
        TEST(test_pins_turn_at_each_bridge),
        TEST(test_firmware_part_reaches_through_it),
        TEST(test_what_is_behind_a_slot_that_is_off_is_out_of_reach),
        TEST(test_bus_in_reset_is_out_of_reach),
        TEST(test_reset_of_the_bus_resets_what_is_behind),
        TEST(test_reset_of_a_port_goes_through_bridges),
        TEST(test_bus_comes_back_when_the_reset_is_done),
        TEST(test_domain_that_goes_quiet_has_no_reset_under_way),
        TEST(test_card_stays_while_a_reset_waits_for_it),
        TEST(test_machine_reset_ends_that_of_the_bus),
        TEST(test_conventional_bridge_follows_with_its_chassis),
        TEST(test_express_bridge_needs_express),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
