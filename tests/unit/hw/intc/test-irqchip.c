/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chips that the accelerator holds: they answer no ports, and a domain saved with
 * them resumes with ours, and the other way round.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"
#include "hw/timer/i8254.h"
#include "tests/unit/rig.h"

static void irqchip_on(Domain *domain)
{
    fake_accel(domain)->irqchip = IRQCHIP_ON;
}

/* Saves r, frees it, and loads that into another rig. */
static Rig *move(Rig *from, const char *options, void (*setup)(Domain *domain))
{
    g_autoptr(GByteArray) saved = rig_save(from);
    g_autofree char *error = NULL;
    Rig *to;

    rig_free(from);
    to = rig_new_with(options, setup);
    error = rig_load(to, saved);
    assert_null(error);
    return to;
}

static void test_accelerators_chips_answer_no_ports_of_ours(void **state)
{
    Rig *r = rig_new_with("isa-i8259", irqchip_on);

    assert_int_equal(rig_in8(r, 0x21), 0xff);
    irq_set(gsi_line(domain_irqs(r->domain), 4), true);
    assert_int_equal(fake_accel(r->domain)->pic[0].irr, 0);
    rig_free(r);
    r = rig_new_with("ioapic", irqchip_on);
    assert_int_equal(rig_read(r, IOAPIC_ADDRESS, 4), 0xffffffff);
    rig_free(r);
    r = rig_new_with("isa-pit", irqchip_on);
    assert_int_equal(rig_in8(r, 0x61), 0xff);
    rig_free(r);
}

static void test_reset_resets_the_accelerators_chips(void **state)
{
    Rig *r = rig_new_with("ioapic", irqchip_on);

    assert_int_equal(fake_accel(r->domain)->ioapic.base, IOAPIC_ADDRESS);
    assert_int_equal(fake_accel(r->domain)->ioapic.redirection[23], 0x10000);
    fake_accel(r->domain)->ioapic.redirection[23] = 0x55;
    device_reset(r->dev);
    assert_int_equal(fake_accel(r->domain)->ioapic.redirection[23], 0x10000);
    rig_free(r);
}

static void test_pic_moves_from_the_accelerator_to_ours(void **state)
{
    Rig *r = rig_new_with("isa-i8259", irqchip_on);

    fake_accel(r->domain)->pic[0] = (I8259State) { .vector_base = 0x30, .irr = 0x10, .imr = 0x02 };
    fake_accel(r->domain)->pic[1] = (I8259State) { .vector_base = 0x38, .elcr = 0x08 };
    r = move(r, "isa-i8259", NULL);
    assert_int_equal(rig_in8(r, 0x21), 0x02);
    assert_int_equal(rig_in8(r, 0x4d1), 0x08);
    assert_int_equal(i8259_acknowledge(r->dev), 0x34);
    rig_free(r);
}

static void test_ioapic_moves_from_ours_to_the_accelerator(void **state)
{
    Rig *r = rig_new("ioapic");

    rig_write(r, IOAPIC_ADDRESS, 0x12, 4); /* pin 1 */
    rig_write(r, IOAPIC_ADDRESS + 0x10, 0x8051, 4);
    irq_set(gsi_line(domain_irqs(r->domain), 1), true);
    r = move(r, "ioapic", irqchip_on);
    assert_int_equal(fake_accel(r->domain)->ioapic.select, 0x12);
    assert_int_equal(fake_accel(r->domain)->ioapic.irr, 0x2);
    assert_int_equal(fake_accel(r->domain)->ioapic.redirection[1], 0xc051);
    rig_free(r);
}

static void test_pit_goes_on_counting_in_ours(void **state)
{
    Rig *r = rig_new_with("isa-pit", irqchip_on);

    rig_advance(r, NS_PER_SEC);
    fake_accel(r->domain)->pit.channel[0] = (I8254Channel) {
        .count = I8254_HZ / 100, .mode = 2, .gate = true, .access = 3, .read_state = 3, .write_state = 3,
        .loaded_ns = NS_PER_SEC - 4 * NS_PER_MS,
    };
    r = move(r, "isa-pit", NULL);
    r->edges[0] = 0;
    rig_advance(r, 5 * NS_PER_MS);
    assert_int_equal(r->edges[0], 0);
    rig_advance(r, 2 * NS_PER_MS);
    assert_int_equal(r->edges[0], 1);
    rig_free(r);
}

static void test_pit_that_was_never_programmed_loads(void **state)
{
    Rig *r = rig_new_with("isa-pit", irqchip_on);

    fake_accel(r->domain)->pit.channel[0] = (I8254Channel) { .count = 65536, .mode = 0xff, .gate = true }; /* KVM's */
    r = move(r, "isa-pit", NULL);
    rig_advance(r, NS_PER_SEC);
    assert_int_equal(r->edges[0], 1); /* the line's rise at reset */
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accelerators_chips_answer_no_ports_of_ours),
        cmocka_unit_test(test_reset_resets_the_accelerators_chips),
        cmocka_unit_test(test_pic_moves_from_the_accelerator_to_ours),
        cmocka_unit_test(test_ioapic_moves_from_ours_to_the_accelerator),
        cmocka_unit_test(test_pit_goes_on_counting_in_ours),
        cmocka_unit_test(test_pit_that_was_never_programmed_loads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
