/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm/x86/lapic: vectors and priorities, destinations, x2APIC, the PIC's interrupt.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/vmm/x86/lapic-rig.h"
#include "vmm/epoch.h"

/* ---- vectors ---- */

static void test_an_interrupt_is_requested_served_and_ended(void **state)
{
    send_fixed(0, 0x41);
    assert_true(told(0));
    assert_int_equal(lapic_read(apic(0), IRR + 0x20), 2);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    assert_int_equal(lapic_read(apic(0), IRR + 0x20), 0);
    assert_int_equal(lapic_read(apic(0), ISR + 0x20), 2);
    assert_int_equal(lapic_read(apic(0), PPR), 0x40);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(lapic_read(apic(0), ISR + 0x20), 0);
    assert_int_equal(lapic_read(apic(0), PPR), 0);
    assert_false(told(0));
    assert_int_equal(rig->eois, 0); /* an edge has no EOI message */
}

static void test_higher_class_first_and_the_rest_after_its_end(void **state)
{
    send_fixed(0, 0x31);
    send_fixed(0, 0x52);
    send_fixed(0, 0x35);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x52);
    told(0);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    lapic_write(apic(0), EOI, 0);
    assert_true(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), 0x35);
    told(0);
    assert_int_equal(lapic_acknowledge(apic(0)), -1); /* 0x31 is of the same class */
    send_fixed(0, 0x60);
    assert_true(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), 0x60); /* nests */
    assert_int_equal(lapic_read(apic(0), PPR), 0x60);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(lapic_read(apic(0), PPR), 0x30);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x31);
}

static void test_task_priority_holds_back_and_lets_go(void **state)
{
    lapic_write(apic(0), TPR, 0x5f);
    send_fixed(0, 0x5e);
    told(0);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    assert_int_equal(lapic_cr8(apic(0)), 5);
    lapic_set_cr8(apic(0), 4);
    assert_true(told(0));
    assert_int_equal(lapic_read(apic(0), TPR), 0x40);
    assert_int_equal(lapic_read(apic(0), PPR), 0x40);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x5e);
}

static void test_level_interrupts_end_on_the_bus(void **state)
{
    send(0xfee00000, 0x8041);
    assert_int_equal(lapic_read(apic(0), TMR + 0x20), 2);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(rig->eois, 1);
    assert_int_equal(rig->eoi[0], 0x41);
    send(0xfee00000, 0x41); /* the same vector, an edge now */
    assert_int_equal(lapic_read(apic(0), TMR + 0x20), 0);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(rig->eois, 1);
    lapic_write(apic(0), EOI, 0); /* nothing is in service */
    assert_int_equal(rig->eois, 1);
}

static void test_software_disabled_takes_no_vectors_but_nmi_and_init(void **state)
{
    lapic_write(apic(0), LINT0, 0x700);
    lapic_write(apic(0), SVR, 0xff);
    send_fixed(0, 0x41);
    assert_false(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    assert_int_equal(lapic_read(apic(0), LINT0), 0x10700); /* masked with the others */
    lapic_write(apic(0), LINT0, 0x700);
    assert_int_equal(lapic_read(apic(0), LINT0), 0x10700);
    send(0xfee00000, 0x400);
    send(0xfee00000, 0x200);
    send(0xfee00000, 0x500);
    assert_int_equal(rig->cpu[0].nmis, 1);
    assert_int_equal(rig->cpu[0].smis, 1);
    assert_int_equal(rig->cpu[0].inits, 1);
}

static void test_vectors_of_exceptions_are_errors(void **state)
{
    lapic_write(apic(0), ERROR_LVT, 0xfe);
    send_fixed(0, 15);
    assert_int_equal(lapic_acknowledge(apic(0)), 0xfe);
    assert_int_equal(lapic_read(apic(0), ESR), 0); /* latched by a write */
    lapic_write(apic(0), ESR, 0);
    assert_int_equal(lapic_read(apic(0), ESR), 0x40);
    lapic_write(apic(0), ICR, 0x40000 | 3); /* to itself */
    lapic_read(apic(0), 0x40);              /* reserved */
    lapic_write(apic(0), ESR, 0);
    assert_int_equal(lapic_read(apic(0), ESR), 0xa0);
    lapic_write(apic(0), ESR, 0);
    assert_int_equal(lapic_read(apic(0), ESR), 0);
}

/* ---- destinations ---- */

static unsigned told_mask(void)
{
    unsigned mask = 0;

    for (unsigned n = 0; n < CPUS; n++) {
        mask |= told(n) << n;
    }
    return mask;
}

static void test_physical_destinations(void **state)
{
    send_fixed(2, 0x41);
    assert_int_equal(told_mask(), 1 << 2);
    send_fixed(0xff, 0x42);
    assert_int_equal(told_mask(), 0xf);
    assert_false(lapic_bus_send(rig->bus, (MsiMessage) { 0xfee00000 | 9 << 12, 0x41 }));
    assert_false(lapic_bus_send(rig->bus, (MsiMessage) { 0xfed00000, 0x41 }));
}

static void test_flat_and_cluster_logical_destinations(void **state)
{
    for (unsigned n = 0; n < CPUS; n++) {
        lapic_write(apic(n), LDR, 1u << (24 + n));
    }
    send(0xfee00004 | 0x5 << 12, 0x41);
    assert_int_equal(told_mask(), 5);
    for (unsigned n = 0; n < CPUS; n++) {
        lapic_write(apic(n), DFR, 0x0fffffff);
        lapic_write(apic(n), LDR, (n / 2 << 4 | 1u << n % 2) << 24);
    }
    send(0xfee00004 | 0x13 << 12, 0x42);
    assert_int_equal(told_mask(), 0xc);
    send(0xfee00004 | 0x02 << 12, 0x43);
    assert_int_equal(told_mask(), 2);
}

static void test_lowest_priority_goes_to_one(void **state)
{
    unsigned seen = 0;

    lapic_write(apic(0), TPR, 0x20);
    lapic_write(apic(2), TPR, 0x30);
    for (unsigned i = 0; i < 4; i++) {
        unsigned mask;

        send(0xfee00008 | 0xff << 12, 0x141);
        mask = told_mask();
        assert_true(mask == 2 || mask == 8);
        seen |= mask;
    }
    assert_int_equal(seen, 2 | 8); /* in turn */
    lapic_write(apic(1), SVR, 0xff);
    lapic_write(apic(3), TPR, 0xf0);
    send(0xfee00000 | 0xff << 12, 0x142);
    assert_int_equal(told_mask(), 1);
}

static void test_ipis_by_shorthand(void **state)
{
    lapic_write(apic(1), ICR, 0x40041);
    assert_int_equal(told_mask(), 2);
    lapic_write(apic(1), ICR, 0x80042);
    assert_int_equal(told_mask(), 0xf);
    lapic_write(apic(1), ICR, 0xc0043);
    assert_int_equal(told_mask(), 0xd);
    lapic_write(apic(1), ICR2, 0x03000000);
    lapic_write(apic(1), ICR, 0x44);
    assert_int_equal(told_mask(), 8);
    assert_int_equal(lapic_read(apic(1), ICR), 0x44);
    assert_int_equal(lapic_read(apic(1), ICR2), 0x03000000);
}

static void test_ipis_by_a_bitmap_of_ids(void **state)
{
    assert_int_equal(lapic_send_ipis(apic(1), 0xd, 0, 0x51), 3);
    assert_int_equal(told_mask(), 0xd);
    assert_int_equal(lapic_send_ipis(apic(1), 5, 1, 0x52), 2);
    assert_int_equal(told_mask(), 0xa);
    assert_int_equal(lapic_send_ipis(apic(1), (unsigned __int128)1 << 127, UINT32_MAX - 124, 0x53), 1); /* it wraps to 2 */
    assert_int_equal(told_mask(), 4);
    assert_int_equal(lapic_send_ipis(apic(0), 2, 0, 0x400), 1);
    assert_int_equal(rig->cpu[1].nmis, 1);
    assert_int_equal(lapic_send_ipis(apic(1), 0xf, 0, 0x0f), 0); /* no vector */
    assert_int_equal(lapic_send_ipis(apic(1), 0xf, 4, 0x51), 0);
    assert_int_equal(lapic_send_ipis(apic(1), 0xf, 0, 0x40051), -EINVAL);
    assert_int_equal(lapic_send_ipis(apic(1), 0xf, 0, 0x851), -EINVAL);
    assert_int_equal(told_mask(), 0);
}

static void test_start_up(void **state)
{
    lapic_write(apic(0), ICR, 0xc4500);
    lapic_write(apic(0), ICR, 0xc8500); /* de-assert */
    lapic_write(apic(0), ICR2, 0x02000000);
    lapic_write(apic(0), ICR, 0x69f);
    assert_int_equal(rig->cpu[0].inits, 0);
    assert_int_equal(rig->cpu[1].inits, 1);
    assert_int_equal(rig->cpu[2].inits, 1);
    assert_int_equal(rig->cpu[2].sipis, 1);
    assert_int_equal(rig->cpu[2].sipi, 0x9f);
    assert_int_equal(rig->cpu[1].sipis, 0);
}

static void test_init_resets_all_but_the_id(void **state)
{
    lapic_write(apic(2), TPR, 0x20);
    lapic_write(apic(2), LDR, 0x01000000);
    lapic_write(apic(2), TIMER, 0x20041);
    lapic_write(apic(2), TMICT, 1000);
    send_fixed(2, 0x41);
    lapic_init(apic(2));
    assert_int_equal(lapic_read(apic(2), ID), 0x02000000);
    assert_int_equal(lapic_read(apic(2), TPR), 0);
    assert_int_equal(lapic_read(apic(2), SVR), 0xff);
    assert_int_equal(lapic_read(apic(2), LDR), 0);
    assert_int_equal(lapic_read(apic(2), DFR), 0xffffffff);
    assert_int_equal(lapic_read(apic(2), TIMER), 0x10000);
    assert_int_equal(lapic_read(apic(2), TMICT), 0);
    assert_int_equal(lapic_read(apic(2), IRR + 0x20), 0);
}

/* ---- x2APIC ---- */

static void test_modes_change_only_as_the_manual_draws_them(void **state)
{
    uint64_t value;

    assert_int_equal(rig->cpu[0].page, 0xfee00000);
    assert_int_equal(lapic_msr_write(apic(0), BASE, 0xfee00400), LAPIC_MSR_GP); /* x2APIC without EN */
    assert_int_equal(lapic_msr_read(apic(0), X2 + 2, &value), LAPIC_MSR_GP);
    set_msr(0, BASE, X2APIC | 0x100);
    assert_int_equal(rig->cpu[0].page, UINT64_MAX);
    assert_int_equal(lapic_msr_write(apic(0), BASE, XAPIC | 0x100), LAPIC_MSR_GP); /* back only through disabled */
    set_msr(0, BASE, 0xfee00100);
    assert_int_equal(lapic_msr_write(apic(0), BASE, X2APIC | 0x100), LAPIC_MSR_GP);
    set_msr(0, BASE, 0xfed00900);
    assert_int_equal(rig->cpu[0].page, 0xfed00000);
    lapic_write(apic(0), ID, 0x07000000);
    assert_int_equal(lapic_read(apic(0), ID), 0x07000000);
    set_msr(0, BASE, 0xfed00100);
    set_msr(0, BASE, 0xfed00900);
    assert_int_equal(lapic_read(apic(0), ID), 0); /* as after a reset */
    assert_int_equal(lapic_msr_write(apic(0), BASE, XAPIC | 1), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(0), BASE, XAPIC | UINT64_C(1) << 40), LAPIC_MSR_GP);
    assert_int_equal(msr(0, BASE), 0xfed00900);
    assert_int_equal(lapic_msr_read(apic(0), 0x10, &value), LAPIC_MSR_OTHER);
}

static void test_x2apic_registers(void **state)
{
    uint64_t value;

    power_on(3, X2APIC);
    assert_int_equal(msr(3, X2 + 2), 3);
    assert_int_equal(msr(3, X2 + 0xd), 8);
    set_msr(3, X2 + 8, 0x20);
    assert_int_equal(msr(3, X2 + 8), 0x20);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 8, 0x120), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 0xb, 1), LAPIC_MSR_GP); /* EOI takes 0 */
    assert_int_equal(lapic_msr_read(apic(3), X2 + 0xb, &value), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_read(apic(3), X2 + 0xe, &value), LAPIC_MSR_GP);  /* DFR */
    assert_int_equal(lapic_msr_read(apic(3), X2 + 0x31, &value), LAPIC_MSR_GP); /* ICR2 */
    assert_int_equal(lapic_msr_write(apic(3), X2 + 2, 3), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 0xd, 8), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 0x30, UINT64_C(1) << 20), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 0x38, UINT64_C(1) << 32), LAPIC_MSR_GP);
    set_msr(3, X2 + 0x3f, 0x41);
    assert_int_equal(lapic_acknowledge(apic(3)), 0x41);
    set_msr(3, X2 + 0xb, 0);
    assert_int_equal(lapic_acknowledge(apic(3)), -1);
}

static void test_x2apic_destinations(void **state)
{
    for (unsigned n = 0; n < CPUS; n++) {
        power_on(n, X2APIC);
    }
    set_msr(0, X2 + 0x30, UINT64_C(2) << 32 | 0x41);
    assert_int_equal(told_mask(), 4);
    assert_int_equal(msr(0, X2 + 0x30), UINT64_C(2) << 32 | 0x41);
    set_msr(0, X2 + 0x30, UINT64_C(0xb) << 32 | 0x842);
    assert_int_equal(told_mask(), 0xb);
    set_msr(0, X2 + 0x30, UINT64_C(0xffffffff) << 32 | 0x43);
    assert_int_equal(told_mask(), 0xf);
    assert_false(lapic_bus_send(rig->bus, (MsiMessage) { 0xfee00000 | 0xff << 12, 0x41 })); /* number 255 */
    send(UINT64_C(0xffffff00fee00000) | 0xff << 12, 0x44);
    assert_int_equal(told_mask(), 0xf);
}

/* ---- the PIC ---- */

static void test_the_pics_interrupt_comes_through_lint0(void **state)
{
    rig->pic_vector = 0x30;
    lapic_write(apic(0), LINT0, 0x700);
    lapic_bus_set_extint(rig->bus, true, pic_acknowledge, rig);
    assert_int_equal(told_mask(), 1);
    send_fixed(0, 0x41);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    assert_true(told(0)); /* there is another */
    assert_int_equal(lapic_acknowledge(apic(0)), 0x30);
    assert_int_equal(rig->pic_acknowledged, 1);
    lapic_bus_set_extint(rig->bus, false, pic_acknowledge, rig);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    assert_int_equal(rig->pic_acknowledged, 1);
    lapic_write(apic(0), LINT0, 0x10700);
    told(0);
    lapic_bus_set_extint(rig->bus, true, pic_acknowledge, rig);
    assert_int_equal(told_mask(), 0);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
}

static void test_lint0_may_be_a_vector_and_a_message_may_be_extint(void **state)
{
    rig->pic_vector = 0x31;
    lapic_write(apic(0), LINT0, 0x45);
    lapic_bus_set_extint(rig->bus, true, pic_acknowledge, rig);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x45);
    assert_int_equal(rig->pic_acknowledged, 0);
    send(0xfee01000, 0x700);
    assert_int_equal(lapic_acknowledge(apic(1)), 0x31);
    assert_int_equal(lapic_acknowledge(apic(1)), -1);
}

static void test_a_disabled_apic_leaves_the_pin_to_the_first_cpu(void **state)
{
    rig->pic_vector = 0x32;
    set_msr(0, BASE, 0xfee00100);
    set_msr(1, BASE, 0xfee00000);
    lapic_bus_set_extint(rig->bus, true, pic_acknowledge, rig);
    assert_int_equal(told_mask(), 1);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x32);
    assert_false(lapic_bus_send(rig->bus, (MsiMessage) { 0xfee00000, 0x41 }));
}

#define CASE(F) cmocka_unit_test_setup_teardown(F, lapic_rig_setup, lapic_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_interrupt_is_requested_served_and_ended),
        CASE(test_higher_class_first_and_the_rest_after_its_end),
        CASE(test_task_priority_holds_back_and_lets_go),
        CASE(test_level_interrupts_end_on_the_bus),
        CASE(test_software_disabled_takes_no_vectors_but_nmi_and_init),
        CASE(test_vectors_of_exceptions_are_errors),
        CASE(test_physical_destinations),
        CASE(test_flat_and_cluster_logical_destinations),
        CASE(test_lowest_priority_goes_to_one),
        CASE(test_ipis_by_shorthand),
        CASE(test_ipis_by_a_bitmap_of_ids),
        CASE(test_start_up),
        CASE(test_init_resets_all_but_the_id),
        CASE(test_modes_change_only_as_the_manual_draws_them),
        CASE(test_x2apic_registers),
        CASE(test_x2apic_destinations),
        CASE(test_the_pics_interrupt_comes_through_lint0),
        CASE(test_lint0_may_be_a_vector_and_a_message_may_be_extint),
        CASE(test_a_disabled_apic_leaves_the_pin_to_the_first_cpu),
    };

    epoch_thread_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
