/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/isa/ich9-lpc.c and hw/acpi/ich9-pm.c: power management, reset ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hw/i386/q35.h"
#include "hw/isa/ich9-lpc.h"
#include "tests/unit/rig.h"
#include "vmm/domain-internal.h"
#include "vmm/runstate-commands.h"

#define PM 0x600
enum { PM1_STS = PM, PM1_EN = PM + 2, PM1_CNT = PM + 4, PM1_TMR = PM + 8, GPE0_EN = PM + 0x28 };
#define TMR_HALF_NS INT64_C(2343490000) /* 2^23 ticks of 3.579545 MHz, and a little */

static RunEvent last_event;
static unsigned events;

static void note_event(Domain *domain, RunEvent event, RequestReason reason, void *opaque)
{
    last_event = event;
    events++;
}

static int setup(void **state)
{
    Rig *r = rig_new("ICH9-LPC,addr=1f.0");

    events = 0;
    domain_observe(r->domain, note_event, NULL);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_PMBASE, PM | 1, 4);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_ACPI_CNTL, ICH9_LPC_ACPI_EN, 1);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    Rig *r = *state;

    domain_unobserve(r->domain, note_event, NULL);
    rig_free(r);
    return 0;
}

static void test_the_block_is_where_pmbase_says_while_enabled(void **state)
{
    Rig *r = *state;

    assert_int_equal(rig_in16(r, PM1_CNT), 0);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_PMBASE, 0x801, 4);
    assert_int_equal(rig_in16(r, PM1_CNT), 0xffff);
    assert_int_equal(rig_in16(r, 0x804), 0);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_ACPI_CNTL, 0, 1);
    assert_int_equal(rig_in16(r, 0x804), 0xffff);
}

static void test_the_timer_counts_at_3579545_hz_in_24_bits(void **state)
{
    Rig *r = *state;

    assert_int_equal(rig_in32(r, PM1_TMR), 0);
    rig_advance(r, NS_PER_SEC);
    assert_int_equal(rig_in32(r, PM1_TMR), 3579545);
    rig_advance(r, 4 * NS_PER_SEC);
    assert_int_equal(rig_in32(r, PM1_TMR), 5 * 3579545 & 0xffffff);
}

static void test_the_sci_needs_status_enable_and_sci_en(void **state)
{
    Rig *r = *state;

    rig_out16(r, PM1_EN, 1);
    rig_advance(r, TMR_HALF_NS);
    assert_int_equal(rig_in16(r, PM1_STS), 1);
    assert_false(rig_irq(r, 9));
    rig_out16(r, PM1_CNT, 1);
    assert_true(rig_irq(r, 9));
    rig_out16(r, PM1_STS, 1);
    assert_int_equal(rig_in16(r, PM1_STS), 0);
    assert_false(rig_irq(r, 9));
}

static void test_each_toggle_of_the_highest_bit_is_an_event(void **state)
{
    Rig *r = *state;

    rig_out16(r, PM1_CNT, 1);
    rig_out16(r, PM1_EN, 1);
    rig_advance(r, TMR_HALF_NS);
    assert_true(rig_irq(r, 9));
    rig_out16(r, PM1_STS, 1);
    rig_advance(r, TMR_HALF_NS);
    assert_true(rig_irq(r, 9));
}

static void test_the_power_button_is_an_event(void **state)
{
    Rig *r = *state;

    rig_out16(r, PM1_CNT, 1);
    rig_out16(r, PM1_EN, 1 << 8);
    domain_request_powerdown(r->domain);
    rig_settle(r);
    assert_int_equal(rig_in16(r, PM1_STS), 1 << 8);
    assert_true(rig_irq(r, 9));
}

static void test_the_smi_command_port_switches_acpi_mode(void **state)
{
    Rig *r = *state;

    rig_out8(r, Q35_SMI_CMD, Q35_ACPI_ENABLE);
    assert_int_equal(rig_in16(r, PM1_CNT), 1);
    rig_out8(r, Q35_SMI_CMD, Q35_ACPI_DISABLE);
    assert_int_equal(rig_in16(r, PM1_CNT), 0);
    rig_out8(r, Q35_SMI_CMD + 1, 0x77);
    assert_int_equal(rig_in8(r, Q35_SMI_CMD + 1), 0x77);
}

static void test_bytes_of_a_register_can_be_written_alone(void **state)
{
    Rig *r = *state;

    rig_out32(r, GPE0_EN, 0x11223344);
    rig_out8(r, GPE0_EN + 1, 0x55);
    assert_int_equal(rig_in32(r, GPE0_EN), 0x11225544);
    assert_int_equal(rig_in8(r, GPE0_EN + 3), 0x11);
}

static void test_sleep_type_5_is_soft_off(void **state)
{
    Rig *r = *state;

    rig_out16(r, PM1_CNT, 1 << 13 | Q35_S5_TYPE << 10);
    rig_settle(r);
    assert_int_equal(events, 1);
    assert_int_equal(last_event, RUN_EVENT_SHUTDOWN);
}

static void test_other_sleep_types_do_nothing(void **state)
{
    Rig *r = *state;

    rig_out16(r, PM1_CNT, 1 << 13 | 3 << 10);
    rig_settle(r);
    assert_int_equal(events, 0);
    assert_int_equal(rig_in16(r, PM1_CNT), 3 << 10); /* SLP_EN is write-only */
}

/* ---- sleep ---- */

enum { STS_PWRBTN = 1 << 8, STS_RTC = 1 << 10, STS_WAK = 1 << 15 };

static void fall_asleep(Rig *r)
{
    assert_true(domain_cont(r->domain, NULL));
    rig_out16(r, PM1_CNT, 1 << 13 | Q35_S3_TYPE << 10);
    rig_settle(r);
    rig_settle(r);
}

static void assert_sleeps(Rig *r)
{
    assert_int_equal(domain_run_state(r->domain), RUN_STATE_SUSPENDED);
}

/* The bridge is where it is only when firmware, which this board has none of, says it again. */
static void assert_woken(Rig *r, uint16_t status)
{
    rig_settle(r);
    assert_int_equal(domain_run_state(r->domain), RUN_STATE_RUNNING);
    assert_int_equal(last_event, RUN_EVENT_WAKEUP);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_PMBASE, PM | 1, 4);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_ACPI_CNTL, ICH9_LPC_ACPI_EN, 1);
    assert_int_equal(rig_in16(r, PM1_STS), status);
    assert_int_equal(rig_in16(r, PM1_EN), 0);
    assert_int_equal(rig_in16(r, PM1_CNT), 0);
}

static void test_a_client_wakes_it_as_by_the_button(void **state)
{
    Rig *r = *state;

    fall_asleep(r);
    assert_sleeps(r);
    assert_int_equal(last_event, RUN_EVENT_SUSPEND);
    domain_request_wakeup(r->domain);
    assert_woken(r, STS_WAK | STS_PWRBTN);
}

static void test_the_power_button_wakes_enabled_or_not(void **state)
{
    Rig *r = *state;

    fall_asleep(r);
    domain_request_powerdown(r->domain);
    rig_settle(r);
    assert_woken(r, STS_WAK | STS_PWRBTN);
}

static void rtc_alarm(Rig *r)
{
    device_post(r->dev, ich9_lpc_rtc_alarm);
    rig_settle(r);
}

static void test_an_alarm_wakes_where_it_is_enabled(void **state)
{
    Rig *r = *state;

    rig_out16(r, PM1_EN, STS_RTC);
    fall_asleep(r);
    rtc_alarm(r);
    assert_woken(r, STS_WAK | STS_RTC);
}

static void test_an_alarm_that_is_not_enabled_is_remembered(void **state)
{
    Rig *r = *state;

    fall_asleep(r);
    rtc_alarm(r);
    assert_sleeps(r);
    domain_request_wakeup(r->domain);
    assert_woken(r, STS_WAK | STS_RTC | STS_PWRBTN);
}

static void test_an_alarm_before_it_sleeps_wakes_it_at_once(void **state)
{
    Rig *r = *state;

    rig_out16(r, PM1_EN, STS_RTC);
    rtc_alarm(r);
    fall_asleep(r);
    assert_woken(r, STS_WAK | STS_RTC);
}

static void test_an_overflow_of_the_timer_wakes_where_it_is_enabled(void **state)
{
    Rig *r = *state;

    rig_out16(r, PM1_EN, 1);
    fall_asleep(r);
    assert_sleeps(r);
    rig_advance(r, TMR_HALF_NS);
    assert_woken(r, STS_WAK | 1);
}

static void test_an_alarm_while_awake_is_an_event(void **state)
{
    Rig *r = *state;

    rig_out16(r, PM1_CNT, 1);
    rig_out16(r, PM1_EN, STS_RTC);
    rtc_alarm(r);
    assert_true(rig_irq(r, 9));
    assert_int_equal(rig_in16(r, PM1_STS), STS_RTC);
    assert_int_equal(events, 0);
}

static void test_a_reset_ends_sleep_with_nothing_pending(void **state)
{
    Rig *r = *state;

    fall_asleep(r);
    domain_request_reset(r->domain, REASON_HOST_QMP_RESET);
    rig_settle(r);
    assert_int_equal(domain_run_state(r->domain), RUN_STATE_RUNNING);
    assert_int_equal(last_event, RUN_EVENT_RESET);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_PMBASE, PM | 1, 4);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_ACPI_CNTL, ICH9_LPC_ACPI_EN, 1);
    assert_int_equal(rig_in16(r, PM1_STS), 0);
}

static unsigned suspend_disks;

static void count_event(const Event *event, void *opaque)
{
    suspend_disks += event->type == &event_suspend_disk;
}

static void test_sleep_type_4_is_soft_off_and_told(void **state)
{
    Rig *r = *state;

    suspend_disks = 0;
    event_listen(r->domain, count_event, NULL);
    rig_out16(r, PM1_CNT, 1 << 13 | Q35_S4_TYPE << 10);
    rig_settle(r);
    assert_int_equal(suspend_disks, 1);
    assert_int_equal(last_event, RUN_EVENT_SHUTDOWN);
    event_unlisten(r->domain, count_event, NULL);
}

static void test_disabled_sleep_states_do_nothing(void **state)
{
    Rig *r = rig_new("ICH9-LPC,addr=1f.0,disable_s3=1,disable_s4=on");

    *state = r;
    events = 0;
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_PMBASE, PM | 1, 4);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_ACPI_CNTL, ICH9_LPC_ACPI_EN, 1);
    assert_true(domain_cont(r->domain, NULL));
    domain_observe(r->domain, note_event, NULL);
    rig_out16(r, PM1_CNT, 1 << 13 | Q35_S3_TYPE << 10);
    rig_out16(r, PM1_CNT, 1 << 13 | Q35_S4_TYPE << 10);
    rig_settle(r);
    assert_int_equal(events, 0);
    domain_unobserve(r->domain, note_event, NULL);
    rig_free(r);
}

static void test_what_woke_it_survives_save_and_restore(void **state)
{
    Rig *r = *state;
    g_autoptr(GByteArray) saved = NULL;

    fall_asleep(r);
    rtc_alarm(r);
    saved = rig_save(r);
    device_reset(r->dev);
    assert_null(rig_load(r, saved));
    assert_sleeps(r);
    domain_request_wakeup(r->domain);
    assert_woken(r, STS_WAK | STS_RTC | STS_PWRBTN);
}

static void test_pending_events_survive_save_and_restore(void **state)
{
    Rig *r = *state;
    g_autoptr(GByteArray) saved = NULL;

    rig_out16(r, PM1_CNT, 1);
    rig_out16(r, PM1_EN, 1);
    rig_advance(r, TMR_HALF_NS);
    saved = rig_save(r);
    device_reset(r->dev);
    assert_false(rig_irq(r, 9));
    assert_null(rig_load(r, saved));
    assert_true(rig_irq(r, 9));
    assert_int_equal(rig_in16(r, PM1_STS), 1);
}

/* ---- hot plug by ACPI: hw/acpi/pci-hotplug.c ---- */

enum { HP_SELECT = Q35_PCI_HOTPLUG, HP_EVENT = Q35_PCI_HOTPLUG + 4, HP_EJECT = Q35_PCI_HOTPLUG + 8, GPE0_STS = PM + 0x20 };
enum { PORT = PCI_DEVFN(2, 0) };

/* A port on 02.0 of a domain that runs. */
static int setup_hotplug(void **state)
{
    Rig *r = rig_new("ICH9-LPC,addr=1f.0,acpi-pci-hotplug-with-bridge-support=on");

    domain_observe(r->domain, note_event, NULL);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_PMBASE, PM | 1, 4);
    rig_config_write(r, Q35_LPC_DEVFN, ICH9_LPC_ACPI_CNTL, ICH9_LPC_ACPI_EN, 1);
    assert_null(rig_try_add(r, "pcie-root-port,id=rp,addr=2,chassis=1,slot=1"));
    r->domain->complete = true;
    r->domain->run.state = RUN_STATE_RUNNING;
    *state = r;
    return 0;
}

static void test_acpi_tells_of_a_card_that_comes(void **state)
{
    Rig *r = *state;

    assert_null(rig_try_add(r, "virtio-rng-pci,id=card,bus=rp"));
    assert_int_equal(rig_in32(r, GPE0_STS), 1 << 1);
    rig_out32(r, HP_SELECT, PCI_DEVFN(3, 0));
    assert_int_equal(rig_in32(r, HP_EVENT), 0);
    rig_out32(r, HP_SELECT, PORT);
    assert_int_equal(rig_in32(r, HP_EVENT), 1);
    assert_int_equal(rig_in32(r, HP_EVENT), 0);
}

static void test_acpi_asks_for_a_card_and_ejecting_takes_it_out(void **state)
{
    Rig *r = *state;

    assert_null(rig_try_add(r, "virtio-rng-pci,id=card,bus=rp"));
    rig_out32(r, HP_SELECT, PORT);
    rig_in32(r, HP_EVENT);
    assert_true(device_del(r->domain, "card", NULL));
    assert_int_equal(rig_in32(r, HP_EVENT), 2);
    rig_settle(r);
    assert_non_null(device_find(r->domain, "card"));
    rig_out32(r, HP_EJECT, PORT);
    rig_settle(r);
    assert_null(device_find(r->domain, "card"));
}

static void test_events_that_nobody_asked_for_are_saved(void **state)
{
    Rig *r = *state;
    g_autoptr(GByteArray) saved = NULL;
    g_autofree char *failure = NULL;

    assert_null(rig_try_add(r, "virtio-rng-pci,id=card,bus=rp"));
    rig_out32(r, HP_SELECT, PORT);
    saved = rig_save(r);
    assert_int_equal(rig_in32(r, HP_EVENT), 1);
    failure = rig_load(r, saved);
    assert_null(failure);
    assert_int_equal(rig_in32(r, HP_EVENT), 1);
}

static void test_ejecting_what_is_no_port_does_nothing(void **state)
{
    Rig *r = *state;

    rig_out32(r, HP_EJECT, Q35_LPC_DEVFN);
    rig_out32(r, HP_EJECT, 0xffffffff);
    rig_out32(r, HP_EJECT, PORT);
    rig_out32(r, HP_SELECT, 0xffffffff);
    assert_int_equal(rig_in32(r, HP_EVENT), 0);
    rig_settle(r);
}

static void test_a_port_under_acpi_has_no_button(void **state)
{
    Rig *r = *state;
    PciDevice *port = pci_find_function(rig_pci_root(r), 0, PORT);

    assert_int_equal(rig_config_read(r, PORT, port->pcie_cap + PCI_EXP_SLTCAP, 4) & 0x7ffff, 0);
}

/* ---- properties ---- */

static void test_sleep_states_are_there_unless_disabled(void **state)
{
    Rig *r = rig_new("ICH9-LPC,addr=1f.0");
    g_autoptr(GError) error = NULL;

    assert_true(ich9_lpc_has_s3(r->dev) && ich9_lpc_has_s4(r->dev));
    assert_true(device_global_add(r->domain, "ICH9-LPC", "disable_s3", "1", NULL));
    assert_true(device_global_add(r->domain, "ICH9-LPC", "disable_s4", "off", NULL));
    assert_false(device_global_add(r->domain, "ICH9-LPC", "disable_s3", "2", &error));
    assert_non_null(strstr(error->message, "'2' is neither 0 nor 1"));
    rig_free(r);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
#define HOTPLUG_TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup_hotplug, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_block_is_where_pmbase_says_while_enabled),
        TEST(test_the_timer_counts_at_3579545_hz_in_24_bits),
        TEST(test_the_sci_needs_status_enable_and_sci_en),
        TEST(test_each_toggle_of_the_highest_bit_is_an_event),
        TEST(test_the_power_button_is_an_event),
        TEST(test_the_smi_command_port_switches_acpi_mode),
        TEST(test_bytes_of_a_register_can_be_written_alone),
        TEST(test_sleep_type_5_is_soft_off),
        TEST(test_other_sleep_types_do_nothing),
        TEST(test_pending_events_survive_save_and_restore),
        TEST(test_a_client_wakes_it_as_by_the_button),
        TEST(test_the_power_button_wakes_enabled_or_not),
        TEST(test_an_alarm_wakes_where_it_is_enabled),
        TEST(test_an_alarm_that_is_not_enabled_is_remembered),
        TEST(test_an_alarm_before_it_sleeps_wakes_it_at_once),
        TEST(test_an_overflow_of_the_timer_wakes_where_it_is_enabled),
        TEST(test_an_alarm_while_awake_is_an_event),
        TEST(test_a_reset_ends_sleep_with_nothing_pending),
        TEST(test_sleep_type_4_is_soft_off_and_told),
        TEST(test_what_woke_it_survives_save_and_restore),
        cmocka_unit_test(test_disabled_sleep_states_do_nothing),
        cmocka_unit_test(test_sleep_states_are_there_unless_disabled),
        HOTPLUG_TEST(test_acpi_tells_of_a_card_that_comes),
        HOTPLUG_TEST(test_acpi_asks_for_a_card_and_ejecting_takes_it_out),
        HOTPLUG_TEST(test_events_that_nobody_asked_for_are_saved),
        HOTPLUG_TEST(test_ejecting_what_is_no_port_does_nothing),
        HOTPLUG_TEST(test_a_port_under_acpi_has_no_button),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
