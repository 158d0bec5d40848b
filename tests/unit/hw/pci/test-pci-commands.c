/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI functions, as a QMP client sees them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/monitor/machine-rig.h"

#define DEVFN (5 << 3)

static void test_functions_are_shown_as_the_guest_set_them(void **state)
{
    Rig *rig = ((MachineRig *)*state)->rig;
    g_autofree char *list = NULL;

    rig_config_write(rig, DEVFN, PCI_BASE_ADDRESS_1, 0xc0100000, 4);
    rig_config_write(rig, DEVFN, PCI_INTERRUPT_LINE, 11, 1);
    list = machine_rig_answer(state, "{\"execute\": \"query-pci\"}");
    assert_true(g_str_has_prefix(list, "{\"return\": [{\"bus\": 0, \"devices\": [{\"bus\": 0, \"slot\": 5, \"function\": 0, "
                                       "\"class_info\": {\"class\": 255}, \"id\": {\"device\": 4164, \"vendor\": 6900, "));
    assert_non_null(strstr(list, "\"irq\": 11, \"irq_pin\": 1, \"qdev_id\": \"rng0\""));
    assert_non_null(strstr(list, "{\"bar\": 1, \"type\": \"memory\", \"address\": 3222274048, \"size\": 4096, "
                                 "\"prefetch\": false, \"mem_type_64\": false}"));
    assert_null(strstr(list, "pci_bridge"));
}

static void test_what_is_behind_a_bridge_is_inside_of_it(void **state)
{
    Rig *rig = ((MachineRig *)*state)->rig;
    char *wrong = rig_try_add(rig, "pcie-root-port,id=port,addr=06.0,chassis=1");
    g_autofree char *list = NULL;
    const char *bridge;

    assert_null(wrong);
    wrong = rig_try_add(rig, "virtio-rng-pci,id=behind,bus=port,addr=00.0");
    assert_null(wrong);
    rig_config_write(rig, 6 << 3, PCI_SECONDARY_BUS, 3, 1);
    rig_config_write(rig, 6 << 3, PCI_MEMORY_BASE, 0xc010, 2);
    rig_config_write(rig, 6 << 3, PCI_MEMORY_LIMIT, 0xc020, 2);
    list = machine_rig_answer(state, "{\"execute\": \"query-pci\"}");
    bridge = strstr(list, "\"pci_bridge\": {\"bus\": {\"number\": 0, \"secondary\": 3, ");
    assert_non_null(bridge);
    assert_non_null(strstr(bridge, "\"memory_range\": {\"base\": 3222274048, \"limit\": 3224371199}"));
    assert_non_null(strstr(bridge, "\"devices\": [{\"bus\": 3, \"slot\": 0, \"function\": 0, "));
    assert_non_null(strstr(bridge, "\"qdev_id\": \"behind\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RIGGED(TEST) cmocka_unit_test_setup_teardown(TEST, machine_rig_setup, machine_rig_teardown)
        RIGGED(test_functions_are_shown_as_the_guest_set_them),
        RIGGED(test_what_is_behind_a_bridge_is_inside_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
