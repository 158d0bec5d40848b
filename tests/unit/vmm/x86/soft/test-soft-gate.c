/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Call gates of 16, 32 and 64 bits: checks, parameters, and the stacks of the TSS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define TARGET 0x8120 /* a HLT, within reach of 16 bits */

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

static void test_a_call_gate_to_the_same_level_keeps_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE32, TARGET));
    rig_code(rig, CALL_FAR(SEL_FREE, 0x12345678)); /* the offset does not count */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 8);
    assert_int_equal(rig_read(rig, RIG_STACK - 4, 4), SEL_CODE32);
    assert_int_equal(rig_read(rig, RIG_STACK - 8, 4), RIG_CODE + 7);
}

static void test_a_call_gate_inwards_switches_stacks_and_copies_parameters(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET) | UINT64_C(2) << 32);
    put_stack(rig, 4, 0x11111111, 0x22222222);
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_segment(rig, X86_SS, SEL_DATA, 0xc093, UINT32_MAX);
    assert_false(rig->cpu->mode & MODE_USER);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 24);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 4, 4), SEL_USER_DATA | 3);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 8, 4), RIG_STACK);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 12, 4), 0x22222222);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 16, 4), 0x11111111);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 20, 4), SEL_USER_CODE32 | 3);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 24, 4), RIG_CODE + 7);
}

static void test_a_call_gate_of_16_bits_pushes_words(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE16, 3, SEL_CODE32, 0x12340000 | TARGET) | UINT64_C(1) << 32);
    put_stack(rig, 2, 0x1111);
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 10);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 4, 4), (SEL_USER_DATA | 3) << 16 | (RIG_STACK & 0xffff));
    assert_int_equal(rig_read(rig, RIG_STACK0 - 6, 2), 0x1111);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 10, 4), (SEL_USER_CODE32 | 3) << 16 | ((RIG_CODE + 7) & 0xffff));
}

static void test_a_call_gate_to_level_1_takes_its_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32_1, TARGET));
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    rig_step(rig);
    assert_at(rig, SEL_CODE32_1 | 1, TARGET, 1);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_DATA_1 | 1);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK1 - 16);
}

static void test_a_call_gate_to_conforming_code_keeps_level_and_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CONFORMING, TARGET));
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    rig_step(rig);
    assert_at(rig, SEL_CONFORMING | 3, TARGET, 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 8);
}

static void test_a_jump_through_a_gate_cannot_go_inwards(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET));
    rig_code(rig, JMP_FAR(SEL_FREE, 0));
    assert_faults(rig, VECTOR_GP, SEL_CODE32);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_USER_CODE32, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
}

static void gate_faults(SoftRig *rig, uint64_t gate, unsigned vector, unsigned error)
{
    rig_gdt(rig, SEL_FREE, gate);
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    assert_faults(rig, vector, error);
}

static void test_a_call_gate_checks_itself_and_its_target(void **state)
{
    SoftRig *rig = *state;
    const uint64_t good = rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET);

    transfer_rig_enter_32(rig, 3);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 2, SEL_CODE32, TARGET), VECTOR_GP, SEL_FREE); /* DPL below CPL */
    gate_faults(rig, NOT_PRESENT(good), VECTOR_NP, SEL_FREE);
    gate_faults(rig, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_CODE32, TARGET), VECTOR_GP, SEL_FREE);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, 0, TARGET), VECTOR_GP, 0);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, 0x100, TARGET), VECTOR_GP, 0x100);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_DATA, TARGET), VECTOR_GP, SEL_DATA);
    rig_gdt(rig, SEL_FREE2, NOT_PRESENT(0x00cf9b000000ffff));
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_FREE2, TARGET), VECTOR_NP, SEL_FREE2);
    rig_gdt(rig, SEL_FREE2, 0x00409b000000811f); /* limit */
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_FREE2, TARGET), VECTOR_GP, 0);
    transfer_rig_enter_32(rig, 0);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_USER_CODE32, TARGET), VECTOR_GP, SEL_USER_CODE32);
}

static void test_a_call_gate_inwards_checks_the_new_stack(void **state)
{
    SoftRig *rig = *state;
    const uint64_t gate = rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET);

    transfer_rig_enter_32(rig, 3);
    rig->cpu->tr.limit = 8; /* SS0 is beyond */
    gate_faults(rig, gate, VECTOR_TS, SEL_TSS);
    rig->cpu->tr.limit = 0x67;
    rig_write(rig, RIG_TSS + 8, 2, 0);
    gate_faults(rig, gate, VECTOR_TS, 0);
    rig_write(rig, RIG_TSS + 8, 2, SEL_DATA | 1); /* RPL */
    gate_faults(rig, gate, VECTOR_TS, SEL_DATA);
    rig_write(rig, RIG_TSS + 8, 2, SEL_USER_DATA); /* DPL */
    gate_faults(rig, gate, VECTOR_TS, SEL_USER_DATA);
    rig_write(rig, RIG_TSS + 8, 2, SEL_CODE32);
    gate_faults(rig, gate, VECTOR_TS, SEL_CODE32);
    rig_gdt(rig, SEL_FREE2, NOT_PRESENT(0x00cf93000000ffff));
    rig_write(rig, RIG_TSS + 8, 2, SEL_FREE2);
    gate_faults(rig, gate, VECTOR_SS, SEL_FREE2);
    rig_gdt(rig, SEL_FREE2, 0x0040930000000fff);
    rig_write(rig, RIG_TSS + 4, 4, 0x1004); /* beyond its limit */
    gate_faults(rig, gate, VECTOR_SS, SEL_FREE2);
}

static void test_a_16_bit_tss_has_stacks_too(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->tr.attributes = SEG_P | SYSTEM_TSS16_BUSY;
    rig_write(rig, RIG_TSS + 2, 2, 0x7000);
    rig_write(rig, RIG_TSS + 4, 2, SEL_DATA);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET));
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    rig_step(rig);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x7000 - 16);
}

static void test_a_64_bit_call_gate_pushes_quadwords_and_leaves_ss_null(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE64, TARGET) | UINT64_C(1) << 32); /* no parameters */
    rig_gdt(rig, SEL_FREE2, 0);
    rig->cpu->tr.limit = TSS64_RSP0 + 7;
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 0);
    assert_true(rig->cpu->segment[X86_SS].attributes & X86_SEG_UNUSABLE);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 32);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 8, 8), SEL_USER_DATA | 3);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 16, 8), RIG_STACK);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 24, 8), SEL_USER_CODE32 | 3);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 32, 8), RIG_CODE + 7);
}

static void test_a_64_bit_call_gate_checks_its_upper_half_and_its_target(void **state)
{
    SoftRig *rig = *state;
    const uint64_t gate = rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE64, TARGET);

    transfer_rig_enter_compatibility(rig, 0);
    rig_gdt(rig, SEL_FREE2, UINT64_C(1) << 40);
    gate_faults(rig, gate, VECTOR_GP, SEL_FREE);
    rig_gdt(rig, SEL_FREE2, 0x8000); /* target not canonical */
    gate_faults(rig, gate, VECTOR_GP, 0);
    rig_gdt(rig, SEL_FREE2, 0);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE32, TARGET), VECTOR_GP, SEL_CODE32);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE16, 0, SEL_CODE64, TARGET), VECTOR_GP, SEL_FREE);
    gate_faults(rig, rig_gate(SYSTEM_TASK_GATE, 0, SEL_TSS2, 0), VECTOR_GP, SEL_FREE);
    gate_faults(rig, rig_system(SYSTEM_TSS32, RIG_TSS2, 0x67), VECTOR_GP, SEL_FREE);
}

static void test_a_call_gate_inwards_uses_pages_of_the_supervisor(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    transfer_rig_page_32(rig);
    transfer_rig_split(rig);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_FREE2, TARGET));
    rig_gdt(rig, SEL_FREE2, 0x00cf9a000000ffff); /* not accessed */
    rig_gdt(rig, SEL_FREE3, 0x00cf92000000ffff);
    rig_write(rig, RIG_TSS + 8, 2, SEL_FREE3);
    memcpy(rig->host + RIG_USER, (const uint8_t[]){ CALL_FAR(SEL_FREE, 0) }, 7);
    rig_step(rig);
    assert_at(rig, SEL_FREE2, TARGET, 0);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE2), 0x00cf9b000000ffff);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE3), 0x00cf93000000ffff);
    assert_segment(rig, X86_SS, SEL_FREE3, 0xc093, UINT32_MAX);
}

static void test_a_stack_that_is_not_canonical_is_a_stack_fault(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE64, TARGET));
    rig_gdt(rig, SEL_FREE2, 0);
    rig_write(rig, RIG_TSS + TSS64_RSP0, 8, 0x0000900000000000);
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    assert_faults(rig, VECTOR_SS, 0);
    rig_write(rig, RIG_TSS + TSS64_RSP0, 8, 0x0000800000000000); /* the words below it would be canonical */
    assert_faults(rig, VECTOR_SS, 0);
}

static void test_a_64_bit_call_gate_of_the_same_level_pushes_quadwords(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 0);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE64, TARGET));
    rig_gdt(rig, SEL_FREE2, 0);
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 16);
    assert_int_equal(rig_read(rig, RIG_STACK - 8, 8), SEL_CODE32);
    assert_int_equal(rig_read(rig, RIG_STACK - 16, 8), RIG_CODE + 7);
}

static void test_a_64_bit_call_gate_to_level_1_takes_rsp1(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_FREE3, TARGET));
    rig_gdt(rig, SEL_FREE2, 0);
    rig_gdt(rig, SEL_FREE3, 0x00afbb000000ffff);
    rig_write(rig, RIG_TSS + TSS64_RSP0 + 8, 8, RIG_STACK1);
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    rig_step(rig);
    assert_at(rig, SEL_FREE3 | 1, TARGET, 1);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK1 - 32);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 1);
}

static void test_a_call_gate_to_the_same_level_checks_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->segment[X86_SS].limit = RIG_STACK - 6; /* the second word would not fit */
    soft_update_mode(rig->cpu);
    rig->cpu->gpr[X86_RSP] = RIG_STACK - 1;
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE32, TARGET));
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    assert_faults(rig, VECTOR_SS, 0);
}

static void test_transfers_through_a_gate_mark_the_code_accessed(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_FREE2, RIG_CODE));
    rig_gdt(rig, SEL_FREE2, 0x00cf9a000000ffff);
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    rig_step(rig);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE2), 0x00cf9b000000ffff);
    rig_gdt(rig, SEL_FREE2, 0x00cf9a000000ffff);
    rig_code(rig, JMP_FAR(SEL_FREE, 0));
    rig_step(rig);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE2), 0x00cf9b000000ffff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_call_gate_to_the_same_level_keeps_the_stack),
        TEST(test_a_call_gate_inwards_switches_stacks_and_copies_parameters),
        TEST(test_a_call_gate_of_16_bits_pushes_words),
        TEST(test_a_call_gate_to_level_1_takes_its_stack),
        TEST(test_a_call_gate_to_conforming_code_keeps_level_and_stack),
        TEST(test_a_jump_through_a_gate_cannot_go_inwards),
        TEST(test_a_call_gate_checks_itself_and_its_target),
        TEST(test_a_call_gate_inwards_checks_the_new_stack),
        TEST(test_a_16_bit_tss_has_stacks_too),
        TEST(test_a_64_bit_call_gate_pushes_quadwords_and_leaves_ss_null),
        TEST(test_a_64_bit_call_gate_checks_its_upper_half_and_its_target),
        TEST(test_a_call_gate_inwards_uses_pages_of_the_supervisor),
        TEST(test_a_stack_that_is_not_canonical_is_a_stack_fault),
        TEST(test_a_64_bit_call_gate_of_the_same_level_pushes_quadwords),
        TEST(test_a_64_bit_call_gate_to_level_1_takes_rsp1),
        TEST(test_a_call_gate_to_the_same_level_checks_the_stack),
        TEST(test_transfers_through_a_gate_mark_the_code_accessed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
