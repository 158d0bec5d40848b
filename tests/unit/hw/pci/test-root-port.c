/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/pci/root-port.c, pci-bridge.c, pci-assign.c: windows, numbering, hot plug. */
#include "tests/unit/hw/pci/pci-rig.h"

#include <string.h>

#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/event.h"
#include "vmm/timer.h"

extern const DeviceClass pcie_root_port_class;

static PciDevice *add_port(PciRig *r, const char *id, const char *slot)
{
    const char *props[] = { "slot", slot, "chassis", "1", NULL };

    return pci_rig_plug(r, &pcie_root_port_class, "pcie.0", id, props, NULL);
}

static void set_number(PciDevice *port, uint8_t number)
{
    pci_rig_set_config(port, PCI_SECONDARY_BUS, number, 1);
    pci_rig_set_config(port, PCI_SUBORDINATE_BUS, number, 1);
}

static const PciWindows windows = {
    .mem32_base = 0xc0000000, .mem32_end = 0xfec00000,
    .mem64_base = UINT64_C(0x100000000), .mem64_end = UINT64_C(0x900000000),
    .io_base = 0x1000, .io_end = 0x10000,
};

static void test_the_bus_behind_a_port_is_named_by_its_id(void **state)
{
    PciRig *r = *state;

    add_port(r, "rp1", "1");
    assert_non_null(bus_find(r->domain, "rp1"));
}

static void test_config_cycles_reach_the_bus_that_the_port_was_given(void **state)
{
    PciRig *r = *state;
    PciDevice *port = add_port(r, "rp1", "1");

    pci_rig_add(r, "rp1", NULL, NULL);
    assert_int_equal(pci_config_load(r->bus, 5, 0, PCI_VENDOR_ID, 2), 0xffff);
    set_number(port, 5);
    assert_int_equal(pci_config_load(r->bus, 5, 0, PCI_VENDOR_ID, 2), 0x1234);
}

static void test_a_port_forwards_what_is_in_its_window(void **state)
{
    PciRig *r = *state;
    PciDevice *port = add_port(r, "rp1", "1"), *card = pci_rig_add(r, "rp1", NULL, NULL);

    set_number(port, 5);
    pci_rig_set_config(card, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    pci_rig_set_config(card, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    pci_rig_set_config(port, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    pci_rig_set_config(port, PCI_MEMORY_BASE, 0xe010e010, 4); /* e0100000-e01fffff */
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
    pci_rig_set_config(port, PCI_MEMORY_BASE, 0xe000e000, 4);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0x5a5a5a5a);
    pci_rig_set_config(port, PCI_COMMAND, 0, 2);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
}

static void test_a_window_whose_base_is_above_its_limit_is_closed(void **state)
{
    PciRig *r = *state;
    PciDevice *port = add_port(r, "rp1", "1"), *card = pci_rig_add(r, "rp1", NULL, NULL);

    set_number(port, 5);
    pci_rig_set_config(card, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    pci_rig_set_config(card, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    pci_rig_set_config(port, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    pci_rig_set_config(port, PCI_MEMORY_BASE, 0xdff0e000, 4);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
}

static void test_the_whole_address_space_may_be_a_window(void **state)
{
    PciRig *r = *state;
    PciDevice *port = add_port(r, "rp1", "1");

    pci_rig_set_config(port, PCI_PREF_BASE_UPPER32, 0, 4);
    pci_rig_set_config(port, PCI_PREF_LIMIT_UPPER32, 0xffffffff, 4);
    pci_rig_set_config(port, PCI_PREF_MEMORY_BASE, 0xfff00000, 4);
    pci_rig_set_config(port, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    assert_int_equal(pci_rig_load(r, 0x80000000), 0xffffffff);
}

static void test_dma_needs_every_bridge_above(void **state)
{
    PciRig *r = *state;
    PciDevice *port = add_port(r, "rp1", "1"), *card = pci_rig_add(r, "rp1", NULL, NULL);

    set_number(port, 5);
    pci_rig_set_config(card, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    assert_false(card->dma.enabled);
    pci_rig_set_config(port, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    assert_true(card->dma.enabled);
    pci_rig_set_config(port, PCI_COMMAND, 0, 2);
    assert_false(card->dma.enabled);
}

static void test_pins_turn_by_the_slot_of_the_port(void **state)
{
    PciRig *r = *state;
    PciDevice *port = add_port(r, "rp1", "1"), *card = pci_rig_add(r, "rp1", NULL, NULL);

    assert_int_equal(PCI_SLOT(port->devfn), 1);
    pci_set_intx(card, true); /* INTA of slot 0 is INTA of slot 1: PIRQF */
    assert_true(r->gsi[21]);
}

static void test_a_port_has_one_slot(void **state)
{
    PciRig *r = *state;
    g_autoptr(GError) error = NULL;

    add_port(r, "rp1", "1");
    assert_null(pci_rig_add(r, "rp1", "01.0", &error));
    assert_string_equal(error->message, "PCI bus 'rp1' has only slot 0: slot 0x1 does not exist there");
}

static void test_ports_differ_in_chassis_or_slot(void **state)
{
    static const char *const props[] = { "slot", "1", "chassis", "1", NULL };
    PciRig *r = *state;
    g_autoptr(GError) error = NULL;

    add_port(r, "rp1", "1");
    assert_null(pci_rig_plug(r, &pcie_root_port_class, "pcie.0", "rp2", props, &error));
    assert_non_null(strstr(error->message, "slot 1 of chassis 1 is 'rp1' already"));
    assert_string_equal(error_get_hint(error), "Give each root port a slot= or chassis= of its own.");
}

/* ---- the firmware's part ---- */
static void test_assigning_numbers_buses_and_places_everything(void **state)
{
    PciRig *r = *state;
    PciDevice *a = add_port(r, "rp1", "1"), *b = add_port(r, "rp2", "2"), *card = pci_rig_add(r, "rp2", NULL, NULL);

    device_reset(&a->dev);
    device_reset(&b->dev);
    device_reset(&card->dev);
    pci_assign_resources(r->bus, &windows);
    assert_int_equal(pci_rig_config(a, PCI_SECONDARY_BUS, 1), 1);
    assert_int_equal(pci_rig_config(b, PCI_SECONDARY_BUS, 1), 2);
    assert_int_equal(pci_config_load(r->bus, 2, 0, PCI_VENDOR_ID, 2), 0x1234);
    assert_int_equal(pci_rig_load(r, pci_rig_config(card, PCI_BASE_ADDRESS_0, 4)), 0x5a5a5a5a);
    assert_int_equal(pci_rig_in(r, (uint16_t)(pci_rig_config(card, PCI_BASE_ADDRESS_1, 4) & ~3u), 1), 0xa5);
    assert_true(pci_rig_config(card, PCI_BASE_ADDRESS_3, 4) >= 1);
    assert_int_equal(pci_rig_load(r, (pci_rig_config(card, PCI_BASE_ADDRESS_2, 4) & ~15u) |
                                         (uint64_t)pci_rig_config(card, PCI_BASE_ADDRESS_3, 4) << 32),
                     0x5a5a5a5a);
}

static void test_an_empty_hot_plug_port_keeps_room(void **state)
{
    PciRig *r = *state;
    PciDevice *port = add_port(r, "rp1", "1");
    uint32_t window;

    device_reset(&port->dev);
    pci_assign_resources(r->bus, &windows);
    window = pci_rig_config(port, PCI_MEMORY_BASE, 4);
    assert_int_equal((window >> 16) - (window & 0xffff), 0x10); /* two MiB: limit's last MiB is one above base */
}

static void test_what_does_not_fit_stays_unprogrammed(void **state)
{
    static const PciWindows tight = { .mem32_base = 0xc0000000, .mem32_end = 0xc0001000 };
    PciRig *r = *state;
    PciDevice *card = pci_rig_add(r, "pcie.0", "02.0", NULL);

    device_reset(&card->dev);
    pci_assign_resources(r->bus, &tight);
    assert_int_equal(pci_rig_config(card, PCI_BASE_ADDRESS_0, 4), 0xc0000000);
    assert_int_equal(pci_rig_config(card, PCI_BASE_ADDRESS_4, 4), 0);
    assert_int_equal(pci_rig_config(card, PCI_COMMAND, 2), PCI_COMMAND_MEMORY);
}

/* ---- hot plug ---- */
static uint16_t slot_status(PciDevice *port)
{
    return (uint16_t)pci_rig_config(port, port->pcie_cap + PCI_EXP_SLTSTA, 2);
}

static void enable_events(PciDevice *port)
{
    pci_rig_set_config(port, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    pci_rig_set_config(port, port->msi_cap + PCI_MSI_ADDRESS_LO, 0xfee00000, 4);
    pci_rig_set_config(port, port->msi_cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE, 2);
    pci_rig_set_config(port, port->pcie_cap + PCI_EXP_SLTCTL,
                       PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_PWR_IND_ON, 2);
    pci_rig_set_config(port, port->pcie_cap + PCI_EXP_SLTSTA, 0xffff, 2);
}

/* A port on bus 5 of a domain that runs, its events enabled. */
static PciDevice *running_port(PciRig *r)
{
    PciDevice *port = add_port(r, "rp1", "1");

    device_reset(&port->dev);
    r->domain->complete = true;
    r->domain->run.state = RUN_STATE_RUNNING;
    enable_events(port);
    set_number(port, 5);
    return port;
}

static void command(PciDevice *port, uint16_t slot_control)
{
    uint16_t interrupts = PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_HPIE;

    pci_rig_set_config(port, port->pcie_cap + PCI_EXP_SLTCTL, interrupts | slot_control, 2);
}

#define POWER_ON  PCI_EXP_SLTCTL_PWR_IND_ON
#define POWER_OFF (PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF)
#define BLINK     PCI_EXP_SLTCTL_PWR_IND_BLINK

static PciDevice *plug_card(PciRig *r)
{
    return pci_rig_plug(r, &pci_test_class, "rp1", "card", (const char *[]) { NULL }, NULL);
}

static uint32_t card_vendor(PciRig *r)
{
    return pci_config_load(r->bus, 5, 0, PCI_VENDOR_ID, 2);
}

static void note_event(const Event *event, void *opaque)
{
    const Json *device = json_object_get_member(event->data, "device");

    g_string_append_printf(opaque, "%s %s;", event->type->name, device ? json_get_string(device) : "");
}

static void test_a_card_that_comes_is_told(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);

    assert_false(slot_status(port) & PCI_EXP_SLTSTA_PDS);
    plug_card(r);
    assert_true(slot_status(port) & PCI_EXP_SLTSTA_PDS);
    assert_true(slot_status(port) & PCI_EXP_SLTSTA_PDC);
    assert_true(slot_status(port) & PCI_EXP_SLTSTA_DLLSC); /* what Linux listens to */
    assert_int_equal(r->messages, 1);
}

static void test_a_card_that_comes_before_the_start_is_there_and_on(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);

    r->domain->run.state = RUN_STATE_PRELAUNCH;
    plug_card(r);
    assert_true(slot_status(port) & PCI_EXP_SLTSTA_PDS);
    assert_false(slot_status(port) & PCI_EXP_SLTSTA_PDC);
    assert_int_equal(card_vendor(r), 0x1234);
    assert_true(pci_rig_config(port, port->pcie_cap + PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA);
}

static void test_a_card_that_goes_before_the_start_never_was(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);

    r->domain->run.state = RUN_STATE_PRELAUNCH;
    plug_card(r);
    assert_true(device_del(r->domain, "card", NULL));
    assert_null(device_find(r->domain, "card"));
    assert_false(slot_status(port) & (PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_ABP));
    assert_int_equal(pci_rig_config(port, port->pcie_cap + PCI_EXP_SLTCTL, 2) & POWER_OFF, POWER_OFF);
}

static void test_nothing_in_a_slot_that_is_off_can_be_reached(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r), *card;

    card = plug_card(r);
    pci_rig_set_config(card, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    pci_rig_set_config(card, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    pci_rig_set_config(port, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    pci_rig_set_config(port, PCI_MEMORY_BASE, 0xe000e000, 4);
    command(port, PCI_EXP_SLTCTL_PCC | BLINK);
    assert_int_equal(card_vendor(r), 0xffff);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0xffffffff);
    assert_false(card->dma.enabled);
    command(port, POWER_ON);
    assert_int_equal(card_vendor(r), 0x1234);
    assert_int_equal(pci_rig_load(r, 0xe0000000), 0x5a5a5a5a);
    assert_true(card->dma.enabled);
    assert_true(slot_status(port) & PCI_EXP_SLTSTA_DLLSC);
}

static void test_unplugging_presses_the_button_and_power_off_removes_the_card(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);
    g_autoptr(GString) heard = g_string_new(NULL);

    plug_card(r);
    event_listen(r->domain, note_event, heard);
    assert_true(device_del(r->domain, "card", NULL));
    assert_true(slot_status(port) & PCI_EXP_SLTSTA_ABP);
    assert_non_null(device_find(r->domain, "card"));
    command(port, BLINK);
    command(port, PCI_EXP_SLTCTL_PCC | BLINK);
    pci_rig_run(r);
    assert_non_null(device_find(r->domain, "card"));
    command(port, POWER_OFF);
    pci_rig_run(r);
    assert_null(device_find(r->domain, "card"));
    assert_false(slot_status(port) & PCI_EXP_SLTSTA_PDS);
    assert_string_equal(heard->str, "DEVICE_DELETED card;");
    event_unlisten(r->domain, note_event, heard);
}

static void test_the_button_is_pressed_again_only_when_nobody_answered(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);
    g_autoptr(GError) error = NULL;

    plug_card(r);
    assert_true(device_del(r->domain, "card", NULL));
    assert_false(device_del(r->domain, "card", &error));
    assert_string_equal(error->message, "Device 'card' is already in the process of unplug");
    pci_rig_set_config(port, port->pcie_cap + PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_ABP, 2);
    clock_set(domain_clock(r->domain), 5 * NS_PER_SEC);
    assert_true(device_del(r->domain, "card", NULL));
    assert_true(slot_status(port) & PCI_EXP_SLTSTA_ABP);
}

static void test_a_guest_that_is_about_it_is_not_disturbed(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);
    g_autoptr(GError) error = NULL;

    plug_card(r);
    command(port, BLINK);
    assert_false(device_del(r->domain, "card", &error));
    assert_string_equal(error->message,
                        "'card' cannot be unplugged now: the guest is about to take it in or to let go of it");
    assert_false(slot_status(port) & PCI_EXP_SLTSTA_ABP);
}

static void test_a_guest_that_keeps_the_card_is_told_of(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);
    g_autoptr(GString) heard = g_string_new(NULL);

    plug_card(r);
    event_listen(r->domain, note_event, heard);
    assert_true(device_del(r->domain, "card", NULL));
    command(port, BLINK);
    command(port, POWER_ON);
    pci_rig_run(r);
    assert_string_equal(heard->str, "DEVICE_UNPLUG_GUEST_ERROR card;");
    assert_true(device_del(r->domain, "card", NULL));
    event_unlisten(r->domain, note_event, heard);
}

static void test_a_card_that_the_guest_never_switched_on_goes_at_once(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);

    command(port, POWER_OFF);
    plug_card(r);
    assert_true(device_del(r->domain, "card", NULL));
    assert_null(device_find(r->domain, "card"));
    assert_false(slot_status(port) & PCI_EXP_SLTSTA_PDS);
}

static void test_a_guest_that_starts_anew_has_let_go(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);

    plug_card(r);
    assert_true(device_del(r->domain, "card", NULL));
    device_complete_unplugs(r->domain);
    assert_null(device_find(r->domain, "card"));
    device_reset(&port->dev);
    assert_false(slot_status(port) & (PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_ABP));
    assert_int_equal(pci_rig_config(port, port->pcie_cap + PCI_EXP_SLTCTL, 2) & POWER_OFF, POWER_OFF);
}

static void test_power_that_comes_back_at_once_keeps_the_card(void **state)
{
    PciRig *r = *state;
    PciDevice *port = running_port(r);

    plug_card(r);
    command(port, POWER_OFF);
    command(port, POWER_ON);
    pci_rig_run(r);
    assert_non_null(device_find(r->domain, "card"));
}

static void test_the_root_bus_gives_nothing_back(void **state)
{
    PciRig *r = *state;
    PciDevice *card = pci_rig_add(r, "pcie.0", "02.0", NULL);
    g_autoptr(GError) error = NULL;

    assert_false(r->bus->bus.class->unplug(&r->bus->bus, &card->dev, &error));
    assert_string_equal(error->message, "'pci-test' cannot be unplugged: bus 'pcie.0' has no hot plug controller");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, pci_rig_setup, pci_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_bus_behind_a_port_is_named_by_its_id),
        TEST(test_config_cycles_reach_the_bus_that_the_port_was_given),
        TEST(test_a_port_forwards_what_is_in_its_window),
        TEST(test_a_window_whose_base_is_above_its_limit_is_closed),
        TEST(test_the_whole_address_space_may_be_a_window),
        TEST(test_dma_needs_every_bridge_above),
        TEST(test_pins_turn_by_the_slot_of_the_port),
        TEST(test_a_port_has_one_slot),
        TEST(test_ports_differ_in_chassis_or_slot),
        TEST(test_assigning_numbers_buses_and_places_everything),
        TEST(test_an_empty_hot_plug_port_keeps_room),
        TEST(test_what_does_not_fit_stays_unprogrammed),
        TEST(test_a_card_that_comes_is_told),
        TEST(test_a_card_that_comes_before_the_start_is_there_and_on),
        TEST(test_a_card_that_goes_before_the_start_never_was),
        TEST(test_nothing_in_a_slot_that_is_off_can_be_reached),
        TEST(test_unplugging_presses_the_button_and_power_off_removes_the_card),
        TEST(test_the_button_is_pressed_again_only_when_nobody_answered),
        TEST(test_a_guest_that_is_about_it_is_not_disturbed),
        TEST(test_a_guest_that_keeps_the_card_is_told_of),
        TEST(test_a_card_that_the_guest_never_switched_on_goes_at_once),
        TEST(test_a_guest_that_starts_anew_has_let_go),
        TEST(test_power_that_comes_back_at_once_keeps_the_card),
        TEST(test_the_root_bus_gives_nothing_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
