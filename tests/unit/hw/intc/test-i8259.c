/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pair of 8259A: as a PC's firmware and kernels program it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hw/intc/i8259.h"
#include "tests/unit/rig.h"

#define MASTER_COMMAND 0x20
#define MASTER_DATA    0x21
#define SLAVE_COMMAND  0xa0
#define SLAVE_DATA     0xa1
#define ELCR           0x4d0

#define EOI            0x20
#define READ_IRR       0x0a
#define READ_ISR       0x0b
#define POLL           0x0c

static void program(Rig *r, uint8_t icw4)
{
    rig_out8(r, MASTER_COMMAND, 0x11);
    rig_out8(r, MASTER_DATA, 0x30);
    rig_out8(r, MASTER_DATA, 0x04);
    rig_out8(r, MASTER_DATA, icw4);
    rig_out8(r, SLAVE_COMMAND, 0x11);
    rig_out8(r, SLAVE_DATA, 0x38);
    rig_out8(r, SLAVE_DATA, 0x02);
    rig_out8(r, SLAVE_DATA, icw4);
}

static int setup(void **state)
{
    Rig *r = rig_new("isa-i8259");

    program(r, 0x01);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static void set(Rig *r, unsigned irq, bool level)
{
    irq_set(gsi_line(domain_irqs(r->domain), irq), level);
}

static void edge(Rig *r, unsigned irq)
{
    irq_pulse(gsi_line(domain_irqs(r->domain), irq));
}

static int acknowledge(Rig *r)
{
    return i8259_acknowledge(r->dev);
}

static uint8_t read_register(Rig *r, uint16_t command_port, uint8_t which)
{
    rig_out8(r, command_port, which);
    return rig_in8(r, command_port);
}

static void test_edge_is_latched_until_acknowledged(void **state)
{
    Rig *r = *state;

    edge(r, 4);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_IRR), 0x10);
    assert_int_equal(acknowledge(r), 0x34);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_IRR), 0);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_ISR), 0x10);
    rig_out8(r, MASTER_COMMAND, EOI);
    assert_int_equal(rig_in8(r, MASTER_COMMAND), 0);
}

static void test_high_line_is_one_edge(void **state)
{
    Rig *r = *state;

    set(r, 4, true);
    assert_int_equal(acknowledge(r), 0x34);
    rig_out8(r, MASTER_COMMAND, EOI);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_IRR), 0);
}

static void test_nothing_pending_is_spurious_7(void **state)
{
    Rig *r = *state;

    assert_int_equal(acknowledge(r), 0x37);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_ISR), 0);
}

static void test_lower_number_is_served_first_and_blocks_higher(void **state)
{
    Rig *r = *state;

    edge(r, 6);
    edge(r, 1);
    assert_int_equal(acknowledge(r), 0x31);
    assert_int_equal(acknowledge(r), 0x37); /* 6 waits for the EOI */
    rig_out8(r, MASTER_COMMAND, EOI);
    assert_int_equal(acknowledge(r), 0x36);
}

static void test_masked_input_waits(void **state)
{
    Rig *r = *state;

    rig_out8(r, MASTER_DATA, 0x10);
    edge(r, 4);
    assert_int_equal(acknowledge(r), 0x37);
    rig_out8(r, MASTER_DATA, 0);
    assert_int_equal(acknowledge(r), 0x34);
}

static void test_slave_interrupts_through_the_cascade(void **state)
{
    Rig *r = *state;

    edge(r, 12);
    assert_int_equal(acknowledge(r), 0x3c);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_ISR), 0x04);
    assert_int_equal(read_register(r, SLAVE_COMMAND, READ_ISR), 0x10);
    rig_out8(r, SLAVE_COMMAND, EOI);
    rig_out8(r, MASTER_COMMAND, EOI);
    edge(r, 8);
    edge(r, 9);
    assert_int_equal(acknowledge(r), 0x38);
    rig_out8(r, SLAVE_COMMAND, EOI);
    rig_out8(r, MASTER_COMMAND, EOI);
    assert_int_equal(acknowledge(r), 0x39);
}

static void test_slave_that_changes_its_mind_gives_15(void **state)
{
    Rig *r = *state;

    edge(r, 10);
    rig_out8(r, SLAVE_DATA, 0xff); /* the master has latched the cascade */
    assert_int_equal(acknowledge(r), 0x3f);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_ISR), 0x04);
    assert_int_equal(read_register(r, SLAVE_COMMAND, READ_ISR), 0);
}

static void test_level_input_asks_until_it_drops(void **state)
{
    Rig *r = *state;

    rig_out8(r, ELCR + 1, 0x08); /* 11 */
    set(r, 11, true);
    assert_int_equal(acknowledge(r), 0x3b);
    rig_out8(r, SLAVE_COMMAND, EOI);
    rig_out8(r, MASTER_COMMAND, EOI);
    assert_int_equal(acknowledge(r), 0x3b);
    rig_out8(r, SLAVE_COMMAND, EOI);
    rig_out8(r, MASTER_COMMAND, EOI);
    set(r, 11, false);
    assert_int_equal(read_register(r, SLAVE_COMMAND, READ_IRR), 0);
}

static void test_elcr_holds_only_what_may_be_level(void **state)
{
    Rig *r = *state;

    rig_out16(r, ELCR, 0xffff);
    assert_int_equal(rig_in8(r, ELCR), 0xf8);
    assert_int_equal(rig_in8(r, ELCR + 1), 0xde);
}

static void test_specific_eoi_ends_only_that_one(void **state)
{
    Rig *r = *state;

    edge(r, 5);
    acknowledge(r);
    edge(r, 3);
    acknowledge(r);
    rig_out8(r, MASTER_COMMAND, 0x65);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_ISR), 0x08);
}

static void test_rotation_makes_the_served_one_the_lowest(void **state)
{
    Rig *r = *state;

    edge(r, 3);
    acknowledge(r);
    rig_out8(r, MASTER_COMMAND, 0xa0); /* rotate on non-specific EOI */
    edge(r, 1);
    edge(r, 4);
    assert_int_equal(acknowledge(r), 0x34);
    rig_out8(r, MASTER_COMMAND, EOI);
    assert_int_equal(acknowledge(r), 0x31);
}

static void test_set_priority_names_the_lowest(void **state)
{
    Rig *r = *state;

    rig_out8(r, MASTER_COMMAND, 0xc4);
    edge(r, 0);
    edge(r, 5);
    assert_int_equal(acknowledge(r), 0x35);
}

static void test_special_mask_lets_lower_priorities_in(void **state)
{
    Rig *r = *state;

    edge(r, 1);
    acknowledge(r);
    rig_out8(r, MASTER_DATA, 0x02);
    rig_out8(r, MASTER_COMMAND, 0x68); /* special mask on */
    edge(r, 6);
    assert_int_equal(acknowledge(r), 0x36);
    rig_out8(r, MASTER_COMMAND, EOI); /* passes over the masked one */
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_ISR), 0x02);
    rig_out8(r, MASTER_COMMAND, 0x48); /* off */
    edge(r, 6);
    assert_int_equal(acknowledge(r), 0x37);
}

static void test_automatic_eoi_leaves_nothing_in_service(void **state)
{
    Rig *r = *state;

    program(r, 0x03);
    edge(r, 4);
    assert_int_equal(acknowledge(r), 0x34);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_ISR), 0);
    rig_out8(r, MASTER_COMMAND, 0x80); /* rotate in automatic EOI mode */
    edge(r, 4);
    acknowledge(r);
    edge(r, 4);
    edge(r, 5);
    assert_int_equal(acknowledge(r), 0x35);
}

static void test_special_fully_nested_slave_interrupts_itself(void **state)
{
    Rig *r = *state;

    program(r, 0x11);
    edge(r, 12);
    assert_int_equal(acknowledge(r), 0x3c);
    edge(r, 9);
    assert_int_equal(acknowledge(r), 0x39);
}

static void test_poll_acknowledges(void **state)
{
    Rig *r = *state;

    edge(r, 6);
    rig_out8(r, MASTER_COMMAND, POLL);
    assert_int_equal(rig_in8(r, MASTER_COMMAND), 0x86);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_ISR), 0x40);
    rig_out8(r, MASTER_COMMAND, POLL);
    assert_int_equal(rig_in8(r, MASTER_COMMAND), 0);
}

static void test_icw1_starts_over(void **state)
{
    Rig *r = *state;

    edge(r, 3);
    acknowledge(r);
    edge(r, 4);
    rig_out8(r, MASTER_DATA, 0x55);
    rig_out8(r, MASTER_COMMAND, 0x10); /* without ICW4 */
    rig_out8(r, MASTER_DATA, 0x47);
    rig_out8(r, MASTER_DATA, 0x04);
    assert_int_equal(rig_in8(r, MASTER_DATA), 0);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_ISR), 0);
    assert_int_equal(read_register(r, MASTER_COMMAND, READ_IRR), 0);
    edge(r, 0);
    assert_int_equal(acknowledge(r), 0x40);
}

static void test_nothing_interrupts_before_it_is_programmed(void **state)
{
    Rig *r = *state;

    device_reset(r->dev);
    assert_int_equal(rig_in8(r, MASTER_DATA), 0xff);
    assert_int_equal(rig_in8(r, SLAVE_DATA), 0xff);
    edge(r, 0);
    assert_int_equal(acknowledge(r), 7); /* spurious: there is nothing to acknowledge */

    program(r, 0x01);
    assert_int_equal(rig_in8(r, MASTER_DATA), 0);
    edge(r, 0);
    assert_int_equal(acknowledge(r), 0x30);
}

static void test_pending_interrupt_survives_save_and_restore(void **state)
{
    Rig *r = *state;

    rig_out8(r, ELCR + 1, 0x08);
    edge(r, 12);
    rig_out8(r, MASTER_COMMAND, READ_ISR);
    *state = r = rig_save_restore(r);
    assert_int_equal(acknowledge(r), 0x3c);
    assert_int_equal(rig_in8(r, MASTER_COMMAND), 0x04);
    assert_int_equal(rig_in8(r, ELCR + 1), 0x08);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

static void test_people_see_both(void **state)
{
    Rig *r = *state;
    g_autoptr(GString) out = g_string_new(NULL);

    rig_out8(r, SLAVE_DATA, 0xef);
    i8259_set_input(r->dev, 12, true);
    assert_true(r->dev->class->print(r->dev, out, NULL));
    assert_string_equal(out->str, "pic1: irr=10 imr=ef isr=00 hprio=0 irq_base=38 rr_sel=0 elcr=00 fnm=0\n"
                                  "pic0: irr=04 imr=00 isr=00 hprio=0 irq_base=30 rr_sel=0 elcr=00 fnm=0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_edge_is_latched_until_acknowledged),
        TEST(test_high_line_is_one_edge),
        TEST(test_nothing_pending_is_spurious_7),
        TEST(test_lower_number_is_served_first_and_blocks_higher),
        TEST(test_masked_input_waits),
        TEST(test_slave_interrupts_through_the_cascade),
        TEST(test_slave_that_changes_its_mind_gives_15),
        TEST(test_level_input_asks_until_it_drops),
        TEST(test_elcr_holds_only_what_may_be_level),
        TEST(test_specific_eoi_ends_only_that_one),
        TEST(test_rotation_makes_the_served_one_the_lowest),
        TEST(test_set_priority_names_the_lowest),
        TEST(test_special_mask_lets_lower_priorities_in),
        TEST(test_automatic_eoi_leaves_nothing_in_service),
        TEST(test_special_fully_nested_slave_interrupts_itself),
        TEST(test_poll_acknowledges),
        TEST(test_icw1_starts_over),
        TEST(test_nothing_interrupts_before_it_is_programmed),
        TEST(test_pending_interrupt_survives_save_and_restore),
        TEST(test_people_see_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
