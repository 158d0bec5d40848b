/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far JMP, CALL and RET to code segments, in every mode but virtual-8086 (test-soft-v86.c);
 * call gates are in test-soft-gate.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define TARGET 0x8120 /* a HLT, within reach of 16 bits */
#define CODE64_DB 0x00ef9b000000ffff /* L and D */

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

/* ---- direct far JMP and CALL ---- */

static void test_a_far_jump_loads_cs_with_the_cpl_as_rpl(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_USER_CODE32, 0x00cffa000000ffff); /* not accessed */
    rig_code(rig, JMP_FAR(SEL_USER_CODE32, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig_gdt_entry(rig, SEL_USER_CODE32), 0x00cffb000000ffff);
}

static void test_a_far_call_pushes_cs_and_ip(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_code(rig, CALL_FAR(SEL_CODE32, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 8);
    assert_int_equal(rig_read(rig, RIG_STACK - 4, 4), SEL_CODE32);
    assert_int_equal(rig_read(rig, RIG_STACK - 8, 4), RIG_CODE + 7);
}

static void test_a_far_call_of_16_bits_pushes_words(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_code(rig, 0x66, 0x9a, 0x20, 0x81, SEL_CODE32, 0);
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 4);
    assert_int_equal(rig_read(rig, RIG_STACK - 4, 4), SEL_CODE32 << 16 | ((RIG_CODE + 6) & 0xffff));
}

static void test_a_far_jump_to_conforming_code_keeps_the_cpl(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_code(rig, JMP_FAR(SEL_CONFORMING, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_CONFORMING | 3, TARGET, 3);
    transfer_rig_enter_32(rig, 0);
    rig_step(rig);
    assert_at(rig, SEL_CONFORMING, TARGET, 0);
}

static void far_jump_faults(SoftRig *rig, unsigned selector, unsigned vector)
{
    rig_code(rig, JMP_FAR(selector, TARGET));
    assert_faults(rig, vector, selector & SELECTOR_MASK);
    rig_code(rig, CALL_FAR(selector, TARGET));
    assert_faults(rig, vector, selector & SELECTOR_MASK);
}

static void test_a_far_transfer_checks_the_code_segment(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    far_jump_faults(rig, 0, VECTOR_GP);
    far_jump_faults(rig, 0x100, VECTOR_GP);              /* beyond the GDT */
    far_jump_faults(rig, SEL_USER_DATA | 3, VECTOR_GP);  /* data */
    far_jump_faults(rig, SEL_CODE32, VECTOR_GP);         /* more privileged */
    transfer_rig_enter_32(rig, 0);
    far_jump_faults(rig, SEL_CODE32 | 1, VECTOR_GP);     /* RPL above CPL */
    far_jump_faults(rig, SEL_USER_CODE32, VECTOR_GP);    /* less privileged */
    rig_gdt(rig, SEL_FREE, 0x00cfff000000ffff);
    far_jump_faults(rig, SEL_FREE, VECTOR_GP);           /* conforming, less privileged */
    rig_gdt(rig, SEL_FREE, NOT_PRESENT(0x00cf9b000000ffff));
    far_jump_faults(rig, SEL_FREE, VECTOR_NP);
}

static void test_a_far_transfer_checks_the_limit_of_the_target(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x00409b000000811f); /* the last byte is before TARGET */
    rig_code(rig, CALL_FAR(SEL_FREE, TARGET));
    assert_faults(rig, VECTOR_GP, 0);
    rig_gdt(rig, SEL_FREE, 0x00409b0000008120);
    rig_step(rig);
    assert_at(rig, SEL_FREE, TARGET, 0);
}

static void test_a_far_call_that_cannot_push_changes_nothing(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    transfer_rig_page_32(rig);
    rig->cpu->gpr[X86_RSP] = RIG_HOLE + 4;
    rig_code(rig, CALL_FAR(SEL_CODE32, TARGET));
    assert_faults(rig, VECTOR_PF, 2);
    rig->cpu->segment[X86_SS].limit = 0xfff;
    rig->cpu->gpr[X86_RSP] = 4;
    soft_update_mode(rig->cpu);
    assert_faults(rig, VECTOR_SS, 0);
}

static void test_a_far_jump_through_memory_reads_offset_then_selector(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_write(rig, RIG_DATA, 4, TARGET);
    rig_write(rig, RIG_DATA + 4, 2, SEL_CODE32);
    rig_code(rig, 0xff, 0x2d, 0x00, 0x00, 0x20, 0x00); /* jmp far [RIG_DATA] */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
}

static void test_a_far_jump_leaves_64_bit_code_for_compatibility_mode(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_write(rig, RIG_DATA, 8, 0x1234567800000000 | TARGET);
    rig_write(rig, RIG_DATA + 8, 2, SEL_CODE32);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_code(rig, 0x48, 0xff, 0x2b); /* jmp far m16:64 [rbx]: 32 bits of the offset count */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->mode & MODE_CODE, MODE_CODE32);
}

static void test_a_far_call_from_64_bit_code_pushes_quadwords_with_rex_w(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_write(rig, RIG_DATA, 8, TARGET);
    rig_write(rig, RIG_DATA + 8, 2, SEL_CODE64);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_code(rig, 0x48, 0xff, 0x1b); /* call far m16:64 [rbx] */
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 16);
    assert_int_equal(rig_read(rig, RIG_STACK - 8, 8), SEL_CODE64);
    assert_int_equal(rig_read(rig, RIG_STACK - 16, 8), RIG_CODE + 3);
}

static void test_on_amd_a_far_jump_ignores_rex_w(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->vm->intel = false;
    rig_write(rig, RIG_DATA, 4, TARGET);
    rig_write(rig, RIG_DATA + 4, 2, SEL_CODE32);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_code(rig, 0x48, 0xff, 0x2b); /* jmp far [rbx] */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
}

static void test_compatibility_mode_jumps_to_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 0);
    rig_code(rig, JMP_FAR(SEL_CODE64, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->mode & MODE_CODE, MODE_CODE64);
}

static void test_long_mode_refuses_code_with_l_and_d_and_targets_that_are_not_canonical(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_gdt(rig, SEL_FREE, CODE64_DB);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_write(rig, RIG_DATA, 8, TARGET);
    rig_write(rig, RIG_DATA + 8, 2, SEL_FREE);
    rig_code(rig, 0x48, 0xff, 0x1b);
    assert_faults(rig, VECTOR_GP, SEL_FREE);
    rig_write(rig, RIG_DATA, 8, 0x0000800000000000);
    rig_write(rig, RIG_DATA + 8, 2, SEL_CODE64);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_in_real_mode_a_far_call_loads_paragraphs(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    rig_code(rig, 0x9a, 0x10, 0x00, 0x00, 0x20); /* call 0x2000:0x10 */
    rig_step(rig);
    assert_at(rig, 0x2000, 0x10, 0);
    assert_int_equal(rig->cpu->segment[X86_CS].base, 0x20000);
    assert_int_equal(rig->cpu->seg_base[X86_CS], 0x20000);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x7ffc);
    assert_int_equal(rig_read(rig, 0x7ffc, 4), 0x10000005);
}

static void test_in_real_mode_an_offset_of_32_bits_is_checked(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    rig_code(rig, 0x66, FAR(0xea, 0x2000, 0x10000));
    assert_faults(rig, VECTOR_GP, 0);
    rig_code(rig, 0x66, FAR(0xea, 0x2000, 0xffff));
    rig_step(rig);
    assert_at(rig, 0x2000, 0xffff, 0);
}

/* ---- far RET ---- */

static void test_a_far_return_to_the_same_level_releases_its_bytes(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    put_stack(rig, 4, TARGET, SEL_CODE32);
    rig_code(rig, 0xca, 0x10, 0x00); /* retf 16 */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK + 24);
}

static void test_a_far_return_outwards_takes_the_stack_and_drops_segments(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->segment[X86_ES] = (X86Segment){ SEL_USER_DATA | 3, 0xc0f3, UINT32_MAX, 0 };
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, 0, 0, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xca, 0x08, 0x00); /* retf 8 */
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_USER_DATA | 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA + 8);
    assert_int_equal(rig->cpu->segment[X86_ES].selector, SEL_USER_DATA | 3);
    assert_int_equal(rig->cpu->segment[X86_DS].selector, 0);
    assert_true(rig->cpu->segment[X86_DS].attributes & X86_SEG_UNUSABLE);
}

static void test_a_return_to_a_16_bit_stack_keeps_the_upper_half_of_esp(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x0000f3000000ffff); /* B clear */
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, 0x55551234, SEL_FREE | 3);
    rig_code(rig, 0xcb);
    rig_step(rig);
    assert_int_equal(rig->cpu->gpr[X86_RSP], (RIG_STACK & 0xffff0000) | 0x1234);
}

static void return_faults(SoftRig *rig, unsigned selector, unsigned vector)
{
    put_stack(rig, 4, TARGET, selector, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xcb);
    assert_faults(rig, vector, selector & SELECTOR_MASK);
    put_stack(rig, 4, TARGET, selector, 2, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xcf); /* iret */
    assert_faults(rig, vector, selector & SELECTOR_MASK);
}

static void test_a_return_checks_the_code_segment(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    return_faults(rig, 0, VECTOR_GP);
    return_faults(rig, 0x100, VECTOR_GP);
    return_faults(rig, SEL_DATA, VECTOR_GP);
    return_faults(rig, SEL_CODE32 | 3, VECTOR_GP);      /* DPL is not RPL */
    rig_gdt(rig, SEL_FREE, 0x00cfff000000ffff);         /* conforming of level 3, RPL 0 */
    return_faults(rig, SEL_FREE, VECTOR_GP);
    rig_gdt(rig, SEL_FREE, NOT_PRESENT(0x00cf9b000000ffff));
    return_faults(rig, SEL_FREE, VECTOR_NP);
    transfer_rig_enter_32(rig, 3);
    return_faults(rig, SEL_CODE32, VECTOR_GP);          /* inwards */
}

static void return_outwards_faults(SoftRig *rig, unsigned ss, unsigned vector)
{
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, RIG_DATA, ss);
    rig_code(rig, 0xcb);
    assert_faults(rig, vector, ss & SELECTOR_MASK);
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, 2, RIG_DATA, ss);
    rig_code(rig, 0xcf);
    assert_faults(rig, vector, ss & SELECTOR_MASK);
}

static void test_a_return_outwards_checks_the_stack_segment(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    return_outwards_faults(rig, 0, VECTOR_GP);
    return_outwards_faults(rig, 3, VECTOR_GP);
    return_outwards_faults(rig, 0x103, VECTOR_GP);
    return_outwards_faults(rig, SEL_USER_DATA | 2, VECTOR_GP);
    return_outwards_faults(rig, SEL_DATA | 3, VECTOR_GP);
    return_outwards_faults(rig, SEL_USER_CODE32 | 3, VECTOR_GP);
    rig_gdt(rig, SEL_FREE, NOT_PRESENT(0x00cff3000000ffff));
    return_outwards_faults(rig, SEL_FREE | 3, VECTOR_SS);
}

static void test_a_return_whose_stack_is_not_there_changes_nothing(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    transfer_rig_page_32(rig);
    rig->cpu->gpr[X86_RSP] = RIG_HOLE - 8;
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3); /* SS:ESP would be in the hole */
    rig_code(rig, 0xcb);
    assert_faults(rig, VECTOR_PF, 0);
    assert_int_equal(soft_cpu_exception(rig->cpu)->address, RIG_HOLE);
}

static void test_in_real_mode_a_far_return_loads_paragraphs(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    put_stack(rig, 2, 0x10, 0x2000);
    rig_code(rig, 0xca, 0x02, 0x00);
    rig_step(rig);
    assert_at(rig, 0x2000, 0x10, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x8006);
    assert_int_equal(rig->cpu->seg_base[X86_CS], 0x20000);
}

static void test_in_real_mode_a_far_return_checks_the_limit(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    put_stack(rig, 4, 0x10000, 0x2000);
    rig_code(rig, 0x66, 0xcb);
    assert_faults(rig, VECTOR_GP, 0);
    put_stack(rig, 4, 0xffff, 0x2000);
    rig_step(rig);
    assert_at(rig, 0x2000, 0xffff, 0);
}

static void test_a_far_return_checks_the_limit_of_the_target(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x00409b000000811f);
    rig_gdt(rig, SEL_FREE2, 0x0040fb000000811f);
    put_stack(rig, 4, TARGET, SEL_FREE);
    rig_code(rig, 0xcb);
    assert_faults(rig, VECTOR_GP, 0);
    put_stack(rig, 4, TARGET, SEL_FREE2 | 3, RIG_DATA, SEL_USER_DATA | 3);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_a_far_return_marks_its_segments_accessed(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x00cf9a000000ffff);
    rig_gdt(rig, SEL_FREE2, 0x00cffa000000ffff);
    rig_gdt(rig, SEL_FREE3, 0x00cff2000000ffff);
    put_stack(rig, 4, RIG_CODE, SEL_FREE, RIG_CODE, SEL_FREE2 | 3, RIG_DATA, SEL_FREE3 | 3);
    rig_code(rig, 0xcb);
    rig_step(rig);
    rig_step(rig);
    assert_at(rig, SEL_FREE2 | 3, RIG_CODE, 3);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE), 0x00cf9b000000ffff);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE2), 0x00cffb000000ffff);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE3), 0x00cff3000000ffff);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_far_jump_loads_cs_with_the_cpl_as_rpl),
        TEST(test_a_far_call_pushes_cs_and_ip),
        TEST(test_a_far_call_of_16_bits_pushes_words),
        TEST(test_a_far_jump_to_conforming_code_keeps_the_cpl),
        TEST(test_a_far_transfer_checks_the_code_segment),
        TEST(test_a_far_transfer_checks_the_limit_of_the_target),
        TEST(test_a_far_call_that_cannot_push_changes_nothing),
        TEST(test_a_far_jump_through_memory_reads_offset_then_selector),
        TEST(test_a_far_jump_leaves_64_bit_code_for_compatibility_mode),
        TEST(test_a_far_call_from_64_bit_code_pushes_quadwords_with_rex_w),
        TEST(test_on_amd_a_far_jump_ignores_rex_w),
        TEST(test_compatibility_mode_jumps_to_64_bit_code),
        TEST(test_long_mode_refuses_code_with_l_and_d_and_targets_that_are_not_canonical),
        TEST(test_in_real_mode_a_far_call_loads_paragraphs),
        TEST(test_in_real_mode_an_offset_of_32_bits_is_checked),
        TEST(test_a_far_return_to_the_same_level_releases_its_bytes),
        TEST(test_a_far_return_outwards_takes_the_stack_and_drops_segments),
        TEST(test_a_return_to_a_16_bit_stack_keeps_the_upper_half_of_esp),
        TEST(test_a_return_checks_the_code_segment),
        TEST(test_a_return_outwards_checks_the_stack_segment),
        TEST(test_a_return_whose_stack_is_not_there_changes_nothing),
        TEST(test_in_real_mode_a_far_return_loads_paragraphs),
        TEST(test_in_real_mode_a_far_return_checks_the_limit),
        TEST(test_a_far_return_checks_the_limit_of_the_target),
        TEST(test_a_far_return_marks_its_segments_accessed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
