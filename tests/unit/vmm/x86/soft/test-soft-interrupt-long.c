/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of exceptions and interrupts in long mode.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define INT_40 0xcd, 0x40
#define UD2    0x0f, 0x0b
#define IDT_ERROR(vector) ((vector) * 8 + 2)

static int setup(void **state)
{
    *state = soft_rig_new();
    return 0;
}

static int teardown(void **state)
{
    soft_rig_free(*state);
    return 0;
}

static uint64_t word(const SoftRig *rig, unsigned i)
{
    return rig_read(rig, rig->cpu->gpr[X86_RSP] + i * 8, 8);
}

static void test_a_64_bit_gate_aligns_the_stack_and_always_pushes_it(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->gpr[X86_RSP] = RIG_STACK + 7;
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_IF | EFLAGS_CF);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), 0x40);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 40);
    assert_int_equal(word(rig, 0), RIG_CODE + 2);
    assert_int_equal(word(rig, 1), SEL_CODE64);
    assert_int_equal(word(rig, 2), EFLAGS_FIXED | EFLAGS_IF | EFLAGS_CF);
    assert_int_equal(word(rig, 3), RIG_STACK + 7);
    assert_int_equal(word(rig, 4), SEL_DATA);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_DATA);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_CF);
}

static void test_a_64_bit_gate_from_level_3_takes_rsp0_and_a_null_ss(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig->cpu->gpr[X86_RBX] = RIG_HOLE;
    rig_code(rig, 0x8b, 0x03); /* mov eax, [rbx] */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_PF);
    assert_int_equal(rig->cpu->cpl, 0);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 0);
    assert_true(rig->cpu->segment[X86_SS].attributes & X86_SEG_UNUSABLE);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 48);
    assert_int_equal(word(rig, 0), 4);
    assert_int_equal(word(rig, 1), RIG_CODE);
    assert_int_equal(word(rig, 2), SEL_USER_CODE64 | 3);
    assert_int_equal(word(rig, 3), EFLAGS_FIXED | EFLAGS_RF);
    assert_int_equal(word(rig, 4), RIG_STACK);
    assert_int_equal(word(rig, 5), SEL_USER_DATA | 3);
}

static void test_an_interrupt_of_compatibility_mode_enters_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    rig_code(rig, UD2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_UD);
    assert_int_equal(rig->cpu->mode & MODE_CODE, MODE_CODE64);
    assert_int_equal(word(rig, 1), SEL_USER_CODE32 | 3);
    assert_int_equal(word(rig, 3), RIG_STACK);
}

static void test_an_ist_is_taken_at_every_level(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_idt64(rig, 0x40, SYSTEM_TRAP_GATE32, 0, SEL_CODE64, RIG_HANDLERS + 0x400, 1);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), 0x40);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_IST1 - 40);
    assert_int_equal(word(rig, 3), RIG_STACK);
}

/* INT 0x40 as it is in the IDT ends in another handler. */
static void int_40_raises_64(SoftRig *rig, unsigned vector, unsigned error)
{
    rig_code(rig, INT_40);
    rig->cpu->rip = RIG_CODE;
    rig_step(rig);
    assert_int_equal(rig_handler(rig), vector);
    assert_int_equal(word(rig, 0), error);
    assert_int_equal(word(rig, 1), RIG_CODE);
}

static void test_a_64_bit_gate_checks_itself_its_target_and_its_stack(void **state)
{
    SoftRig *rig = *state;
    const uint64_t handler = RIG_HANDLERS + 0x400;

    transfer_rig_enter_64(rig, 0);
    rig_idt64(rig, 0x40, SYSTEM_TASK_GATE, 0, SEL_CODE64, handler, 0);
    int_40_raises_64(rig, VECTOR_GP, IDT_ERROR(0x40));
    rig_idt64(rig, 0x40, SYSTEM_INTERRUPT_GATE16, 0, SEL_CODE64, handler, 0);
    int_40_raises_64(rig, VECTOR_GP, IDT_ERROR(0x40));
    rig_idt64(rig, 0x40, SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE32, handler, 0);
    int_40_raises_64(rig, VECTOR_GP, SEL_CODE32);
    rig_idt64(rig, 0x40, SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE64, 0x0000800000000000, 0);
    int_40_raises_64(rig, VECTOR_GP, 0);
    rig_idt64(rig, 0x40, SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE64, handler, 7);
    rig->cpu->tr.limit = 36 + 6 * 8 + 6; /* IST7 is beyond */
    int_40_raises_64(rig, VECTOR_TS, SEL_TSS);
    rig->cpu->tr.limit = 0x67;
    rig_write(rig, RIG_TSS + TSS64_IST1 + 6 * 8, 8, 0x0000900000000000);
    int_40_raises_64(rig, VECTOR_SS, 0);
    rig_write(rig, RIG_TSS + TSS64_IST1 + 6 * 8, 8, 0x0000800000000000); /* the frame below it would be canonical */
    int_40_raises_64(rig, VECTOR_SS, 0);
    rig_write(rig, RIG_TSS + TSS64_IST1 + 6 * 8, 8, 0xffff800000000000); /* and here it would not */
    int_40_raises_64(rig, VECTOR_SS, 0);
    rig->cpu->idt.limit = 0x40 * 16 + 14;
    int_40_raises_64(rig, VECTOR_GP, IDT_ERROR(0x40));
    rig->cpu->idt.limit = 0x40 * 16 + 15;
    rig_write(rig, RIG_IDT + 0x40 * 16 + 5, 1, SYSTEM_INTERRUPT_GATE32); /* not present */
    int_40_raises_64(rig, VECTOR_NP, IDT_ERROR(0x40));
}

static void test_a_frame_across_two_pages_is_whole(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig_write(rig, RIG_TSS + TSS64_RSP0, 8, RIG_STACK0 + 0x10);
    rig_code(rig, UD2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 + 0x10 - 40);
    assert_int_equal(word(rig, 0), RIG_CODE);
    assert_int_equal(word(rig, 4), SEL_USER_DATA | 3);
}

static void test_tables_and_the_new_stack_may_be_the_supervisors(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    transfer_rig_split(rig);
    rig_gdt(rig, SEL_CODE64, 0x00af9a000000ffff); /* not accessed */
    memcpy(rig->host + RIG_USER, (const uint8_t[]){ UD2 }, 2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_UD);
    assert_int_equal(rig_gdt_entry(rig, SEL_CODE64), 0x00af9b000000ffff);
    assert_int_equal(word(rig, 0), RIG_USER);
}

static void test_a_64_bit_gate_to_level_1_takes_rsp1(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig_gdt(rig, SEL_FREE, 0x00afbb000000ffff);
    rig_idt64(rig, 0x40, SYSTEM_TRAP_GATE32, 3, SEL_FREE, RIG_HANDLERS + 0x400, 0);
    rig_write(rig, RIG_TSS + TSS64_RSP0 + 8, 8, RIG_STACK1);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_at(rig, SEL_FREE | 1, RIG_HANDLERS + 0x400, 1);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 1);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK1 - 40);
}

static void test_conforming_64_bit_handlers_keep_the_level_and_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig_gdt(rig, SEL_FREE, 0x00af9f000000ffff);
    rig_idt64(rig, 0x40, SYSTEM_TRAP_GATE32, 3, SEL_FREE, RIG_HANDLERS + 0x400, 0);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_at(rig, SEL_FREE | 3, RIG_HANDLERS + 0x400, 3);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_USER_DATA | 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_64_bit_gate_aligns_the_stack_and_always_pushes_it),
        TEST(test_a_64_bit_gate_from_level_3_takes_rsp0_and_a_null_ss),
        TEST(test_an_interrupt_of_compatibility_mode_enters_64_bit_code),
        TEST(test_an_ist_is_taken_at_every_level),
        TEST(test_a_64_bit_gate_checks_itself_its_target_and_its_stack),
        TEST(test_a_frame_across_two_pages_is_whole),
        TEST(test_tables_and_the_new_stack_may_be_the_supervisors),
        TEST(test_a_64_bit_gate_to_level_1_takes_rsp1),
        TEST(test_conforming_64_bit_handlers_keep_the_level_and_the_stack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
