/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/acpi/cpu-hotplug.c, as a guest's AML and a QMP client use it together; vmm/cpu-bus.c below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hw/i386/q35.h"
#include "hw/isa/ich9-lpc.h"
#include "tests/unit/monitor/machine-rig.h"
#include "vmm/domain-internal.h"

enum { SELECT = 0xcd8, DATA2 = 0xcd8, STATUS = 0xcdc, CONTROL = 0xcdc, COMMAND = 0xcdd, DATA = 0xce0 };
enum { PRESENT = 1, INSERT = 2, REMOVE = 4, EJECT = 8, FIRMWARE = 16 };
enum { NEXT, OST_EVENT, OST_STATUS, APIC_ID };
enum { PM = 0x600, GPE0_STS = PM + 0x20 };
#define GPE 4 /* bit 2 */

#define COMMAND_(NAME, ARGS) "{\"execute\": \"" NAME "\", \"arguments\": {" ARGS "}}"
#define ADD(ID, CORE) COMMAND_("device_add", "\"driver\": \"qemu64-x86_64-cpu\", \"id\": \"" ID "\", " \
                               "\"socket-id\": 0, \"core-id\": " CORE ", \"thread-id\": 0")
#define DEL(ID) COMMAND_("device_del", "\"id\": \"" ID "\"")
#define OK "{\"return\": {}}"
#define REFUSED(TEXT) "{\"error\": {\"class\": \"GenericError\", \"desc\": \"" TEXT "\"}}"

static Rig *rig(void **state)
{
    return ((MachineRig *)*state)->rig;
}

static Domain *domain(void **state)
{
    return rig(state)->domain;
}

/* A domain of one CPU of four, that runs. */
static int setup(void **state)
{
    MachineRig *m = g_new0(MachineRig, 1);
    g_autofree char *wrong = NULL;

    m->rig = rig_new_cpus("1,maxcpus=4");
    *state = m;
    wrong = rig_try_add(m->rig, "ICH9-LPC,addr=1f.0");
    assert_null(wrong);
    m->monitor = monitor_rig_new(m->rig->domain);
    machine_rig_ask(state, "", "{\"QMP\": ...");
    machine_rig_ask(state, "{\"execute\": \"qmp_capabilities\"}", OK);
    assert_true(machine_finalize(m->rig->machine, NULL));
    rig_config_write(m->rig, Q35_LPC_DEVFN, ICH9_LPC_PMBASE, PM | 1, 4);
    rig_config_write(m->rig, Q35_LPC_DEVFN, ICH9_LPC_ACPI_CNTL, ICH9_LPC_ACPI_EN, 1);
    return 0;
}

static int setup_running(void **state)
{
    setup(state);
    assert_true(domain_cont(domain(state), NULL));
    machine_rig_ask(state, "", "{\"timestamp\": ...");
    return 0;
}

static uint8_t status_of(void **state, uint32_t cpu)
{
    rig_out32(rig(state), SELECT, cpu);
    return rig_in8(rig(state), STATUS);
}

static void tell(void **state, uint32_t cpu, uint8_t control)
{
    rig_out32(rig(state), SELECT, cpu);
    rig_out8(rig(state), CONTROL, control);
}

static void report(void **state, uint32_t cpu, uint32_t event, uint32_t status)
{
    rig_out32(rig(state), SELECT, cpu);
    rig_out8(rig(state), COMMAND, OST_EVENT);
    rig_out32(rig(state), DATA, event);
    rig_out8(rig(state), COMMAND, OST_STATUS);
    rig_out32(rig(state), DATA, status);
}

/* ---- what the guest sees ---- */

static void test_only_cpus_that_are_there_are_present(void **state)
{
    assert_int_equal(status_of(state, 0), PRESENT);
    assert_int_equal(status_of(state, 1), 0);
    assert_int_equal(status_of(state, 3), 0);
}

static void test_cpus_that_cannot_be_read_as_nothing(void **state)
{
    tell(state, 4, EJECT);
    assert_int_equal(status_of(state, 4), 0);
    assert_int_equal(status_of(state, 0xffffffff), 0);
    assert_int_equal(rig_in32(rig(state), DATA), 0);
}

static void test_the_apic_id_of_a_cpu_can_be_asked_for(void **state)
{
    rig_out32(rig(state), SELECT, 3);
    rig_out8(rig(state), COMMAND, APIC_ID);
    assert_int_equal(rig_in32(rig(state), DATA), 3);
    assert_int_equal(rig_in32(rig(state), DATA2), 0);
}

static void test_unknown_commands_are_ignored(void **state)
{
    rig_out32(rig(state), SELECT, 2);
    rig_out8(rig(state), COMMAND, APIC_ID);
    rig_out8(rig(state), COMMAND, 77);
    assert_int_equal(rig_in32(rig(state), DATA), 2);
}

static void test_a_cpu_that_comes_is_an_event(void **state)
{
    machine_rig_ask(state, ADD("c2", "2"), OK);
    assert_int_equal(rig_in32(rig(state), GPE0_STS), GPE);
    rig_out32(rig(state), SELECT, 0);
    rig_out8(rig(state), COMMAND, NEXT);
    assert_int_equal(rig_in32(rig(state), DATA), 2);
    assert_int_equal(rig_in8(rig(state), STATUS), PRESENT | INSERT);
    rig_out8(rig(state), CONTROL, INSERT);
    assert_int_equal(rig_in8(rig(state), STATUS), PRESENT);
}

static void test_the_next_event_is_looked_for_from_the_selected_cpu_on(void **state)
{
    machine_rig_ask(state, ADD("c1", "1"), OK);
    machine_rig_ask(state, ADD("c3", "3"), OK);
    rig_out32(rig(state), SELECT, 2);
    rig_out8(rig(state), COMMAND, NEXT);
    assert_int_equal(rig_in32(rig(state), DATA), 3);
    tell(state, 3, INSERT);
    rig_out8(rig(state), COMMAND, NEXT);
    assert_int_equal(rig_in32(rig(state), DATA), 1);
}

static void test_firmware_may_mark_a_cpu(void **state)
{
    tell(state, 0, FIRMWARE);
    assert_int_equal(status_of(state, 0), PRESENT | FIRMWARE);
    tell(state, 0, FIRMWARE);
    assert_int_equal(status_of(state, 0), PRESENT);
}

/* ---- unplugging ---- */

static void test_a_cpu_goes_when_the_guest_ejects_it(void **state)
{
    machine_rig_ask(state, ADD("c1", "1"), OK);
    machine_rig_ask(state, DEL("c1"), OK);
    assert_int_equal(status_of(state, 1), PRESENT | INSERT | REMOVE);
    assert_int_equal(domain_vcpus(domain(state)), 2);
    machine_rig_ask(state, DEL("c1"), REFUSED("Device 'c1' is already in the process of unplug"));
    tell(state, 1, EJECT);
    assert_int_equal(status_of(state, 1), 0);
    rig_settle(rig(state));
    machine_rig_ask(state, "", "{\"timestamp\": ...");
    assert_int_equal(domain_vcpus(domain(state)), 1);
    machine_rig_ask(state, ADD("c1", "1"), OK);
    assert_int_equal(status_of(state, 1), PRESENT | INSERT);
}

static void test_the_boot_cpu_stays(void **state)
{
    machine_rig_ask(state, DEL("/machine/cpu[0]"), REFUSED("CPU 0 cannot be unplugged: it is the boot CPU"));
    tell(state, 0, EJECT);
    rig_settle(rig(state));
    assert_int_equal(status_of(state, 0), PRESENT);
    assert_int_equal(domain_vcpus(domain(state)), 1);
}

static void test_an_ejected_cpu_is_ejected_once(void **state)
{
    machine_rig_ask(state, ADD("c1", "1"), OK);
    tell(state, 1, EJECT);
    tell(state, 1, EJECT);
    rig_settle(rig(state));
    assert_int_equal(domain_vcpus(domain(state)), 1);
}

static void test_a_guest_that_does_not_answer_may_be_asked_again(void **state)
{
    machine_rig_ask(state, ADD("c1", "1"), OK);
    machine_rig_ask(state, DEL("c1"), OK);
    tell(state, 1, REMOVE);
    rig_advance(rig(state), 5 * NS_PER_SEC);
    machine_rig_ask(state, DEL("c1"), OK);
    assert_true(status_of(state, 1) & REMOVE);
}

static void test_a_guest_that_keeps_a_cpu_says_so(void **state)
{
    machine_rig_ask(state, ADD("c1", "1"), OK);
    machine_rig_ask(state, DEL("c1"), OK);
    report(state, 1, 3, 0x84); /* under way */
    report(state, 1, 3, 0x82); /* busy */
    rig_settle(rig(state));
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *event = monitor_rig_line(((MachineRig *)*state)->monitor);

        assert_non_null(strstr(event, "\"event\": \"ACPI_DEVICE_OST\", \"data\": {\"info\": {\"device\": \"c1\", "
                                      "\"slot\": \"1\", \"slot-type\": \"CPU\", \"source\": 3, \"status\": 13"));
    }
    machine_rig_ask(state, "", "{\"timestamp\": ...");
    machine_rig_ask(state, DEL("c1"), OK);
}

static void test_reports_without_end_are_not_kept(void **state)
{
    unsigned told = 0;

    for (unsigned i = 0; i < 10000; i++) {
        report(state, 2, 1, i);
    }
    rig_settle(rig(state));
    while (!monitor_rig_is_silent(((MachineRig *)*state)->monitor)) {
        g_autofree char *event = monitor_rig_line(((MachineRig *)*state)->monitor);

        told += strstr(event, "ACPI_DEVICE_OST") != NULL;
    }
    assert_in_range(told, 1, 1000);
    report(state, 2, 1, 7);
    rig_settle(rig(state));
    machine_rig_ask(state, "", "{\"timestamp\": ...");
}

static void test_what_was_reported_can_be_asked_for(void **state)
{
    machine_rig_ask(state, ADD("c1", "1"), OK);
    report(state, 1, 1, 0);
    rig_settle(rig(state));
    machine_rig_ask(state, "", "{\"timestamp\": ...");
    report(state, 2, 0x103, 7);
    rig_settle(rig(state));
    machine_rig_ask(state, "", "{\"timestamp\": ...");
    machine_rig_ask(state, "{\"execute\": \"query-acpi-ospm-status\"}",
                    "{\"return\": [{\"slot\": \"0\", \"slot-type\": \"CPU\", \"source\": 0, \"status\": 0}, "
                    "{\"device\": \"c1\", \"slot\": \"1\", \"slot-type\": \"CPU\", \"source\": 1, \"status\": 0}, "
                    "{\"slot\": \"2\", \"slot-type\": \"CPU\", \"source\": 259, \"status\": 7}, "
                    "{\"slot\": \"3\", \"slot-type\": \"CPU\", \"source\": 0, \"status\": 0}]}");
}

/* ---- resets, saved state ---- */

static void test_a_reset_keeps_cpus_and_forgets_events(void **state)
{
    machine_rig_ask(state, ADD("c1", "1"), OK);
    domain_stop(domain(state), RUN_STATE_PAUSED);
    machine_reset(rig(state)->machine);
    assert_int_equal(status_of(state, 1), PRESENT);
    assert_int_equal(domain_vcpus(domain(state)), 2);
}

static void test_a_reset_takes_out_what_was_asked_for(void **state)
{
    machine_rig_ask(state, ADD("c1", "1"), OK);
    machine_rig_ask(state, DEL("c1"), OK);
    domain_stop(domain(state), RUN_STATE_PAUSED);
    machine_reset(rig(state)->machine);
    assert_int_equal(status_of(state, 1), 0);
    assert_int_equal(domain_vcpus(domain(state)), 1);
}

static void test_before_the_start_nobody_is_asked(void **state)
{
    machine_rig_ask(state, ADD("c1", "1"), OK);
    assert_int_equal(status_of(state, 1), PRESENT);
    machine_rig_ask(state, DEL("c1"), "{\"timestamp\": ...");
    machine_rig_ask(state, "", OK);
    assert_int_equal(domain_vcpus(domain(state)), 1);
    assert_int_equal(rig_in32(rig(state), GPE0_STS), 0);
}

static void test_saved_events_come_back(void **state)
{
    g_autoptr(GByteArray) saved = NULL;
    g_autofree char *wrong = NULL;

    machine_rig_ask(state, ADD("c1", "1"), OK);
    report(state, 1, 1, 5);
    domain_stop(domain(state), RUN_STATE_PAUSED);
    saved = rig_save(rig(state));
    tell(state, 1, INSERT);
    report(state, 1, 0, 0);
    wrong = rig_load(rig(state), saved);
    assert_null(wrong);
    assert_int_equal(status_of(state, 1), PRESENT | INSERT);
}

static void test_a_state_with_other_cpus_is_refused(void **state)
{
    g_autoptr(GByteArray) saved = NULL;
    g_autofree char *wrong = NULL;

    machine_rig_ask(state, ADD("c1", "1"), OK);
    domain_stop(domain(state), RUN_STATE_PAUSED);
    saved = rig_save(rig(state));
    machine_rig_ask(state, "", "{\"timestamp\": ...");
    tell(state, 1, EJECT);
    rig_settle(rig(state));
    wrong = rig_load(rig(state), saved);
    assert_non_null(strstr(wrong, "the saved state holds '/machine/cpu[1]', which this domain does not have"));
}

static void test_an_ejection_under_way_is_saved(void **state)
{
    g_autoptr(GByteArray) saved = NULL;
    g_autofree char *wrong = NULL;

    machine_rig_ask(state, ADD("c1", "1"), OK);
    domain_stop(domain(state), RUN_STATE_PAUSED);
    tell(state, 1, EJECT); /* the main loop has not come to it */
    saved = rig_save(rig(state));
    wrong = rig_load(rig(state), saved);
    assert_null(wrong);
    assert_int_equal(status_of(state, 1), 0);
    rig_settle(rig(state));
    assert_int_equal(domain_vcpus(domain(state)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define RUNNING(TEST) cmocka_unit_test_setup_teardown(TEST, setup_running, machine_rig_teardown)
        RUNNING(test_only_cpus_that_are_there_are_present),
        RUNNING(test_cpus_that_cannot_be_read_as_nothing),
        RUNNING(test_the_apic_id_of_a_cpu_can_be_asked_for),
        RUNNING(test_unknown_commands_are_ignored),
        RUNNING(test_a_cpu_that_comes_is_an_event),
        RUNNING(test_the_next_event_is_looked_for_from_the_selected_cpu_on),
        RUNNING(test_firmware_may_mark_a_cpu),
        RUNNING(test_a_cpu_goes_when_the_guest_ejects_it),
        RUNNING(test_the_boot_cpu_stays),
        RUNNING(test_an_ejected_cpu_is_ejected_once),
        RUNNING(test_a_guest_that_does_not_answer_may_be_asked_again),
        RUNNING(test_a_guest_that_keeps_a_cpu_says_so),
        RUNNING(test_reports_without_end_are_not_kept),
        RUNNING(test_what_was_reported_can_be_asked_for),
        RUNNING(test_a_reset_keeps_cpus_and_forgets_events),
        RUNNING(test_a_reset_takes_out_what_was_asked_for),
        cmocka_unit_test_setup_teardown(test_before_the_start_nobody_is_asked, setup, machine_rig_teardown),
        RUNNING(test_saved_events_come_back),
        RUNNING(test_a_state_with_other_cpus_is_refused),
        RUNNING(test_an_ejection_under_way_is_saved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
