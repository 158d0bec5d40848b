/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IRET, but for virtual-8086 mode (test-soft-v86.c) and nested tasks (test-soft-task.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define TARGET 0x8120 /* a HLT */

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

#define ALL_FLAGS 0x003fffff

static void test_iret_in_real_mode_loads_all_but_vm_vif_and_vip(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    put_stack(rig, 4, 0x10, 0x2000, ALL_FLAGS & ~EFLAGS_TF);
    rig_code(rig, 0x66, 0xcf);
    rig_step(rig);
    assert_at(rig, 0x2000, 0x10, 0);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x00247ed7); /* AC, ID; RF is for breakpoints only */
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x800c);
}

static void test_iret_to_the_same_level_loads_what_the_cpl_allows(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, ALL_FLAGS & ~EFLAGS_TF);
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x00244cd7); /* not IF, IOPL, VM, VIF, VIP */
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK + 12);
}

static void test_iret_of_16_bits_leaves_the_upper_flags(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_ID);
    put_stack(rig, 2, TARGET, SEL_CODE32, 0x3202);
    rig_code(rig, 0x66, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_ID | 0x3202);
}

static void test_iret_outwards_takes_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, 0x3202, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x3202);
    assert_int_equal(rig->cpu->segment[X86_DS].selector, 0);
}

static void test_iret_checks_the_target_before_anything_changes(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x0040fb000000811f);
    put_stack(rig, 4, TARGET, SEL_FREE | 3, 0x3202, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xcf);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_iretq_always_takes_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x202, 0x1234567890, SEL_DATA);
    rig_code(rig, 0x48, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x1234567890);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_DATA);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x202);
}

static void test_iretq_to_a_user_keeps_the_bases_of_null_segments(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->segment[X86_FS] = (X86Segment){ 3, X86_SEG_UNUSABLE, 0, 0x123456789000 };
    put_stack(rig, 8, TARGET, SEL_USER_CODE64 | 3, 0x202, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0x48, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE64 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_FS].selector, 0);
    assert_int_equal(rig->cpu->segment[X86_FS].base, 0x123456789000);
    assert_int_equal(rig->cpu->segment[X86_DS].selector, 0);
}

static void test_iretq_goes_to_compatibility_mode(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 8, 0x100000000 | TARGET, SEL_USER_CODE32 | 3, 0x202, 0x1100000000 | RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0x48, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA);
    assert_int_equal(rig->cpu->mode & MODE_CODE, MODE_CODE32);
}

static void test_iretq_may_load_a_null_ss_below_level_3_only(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 8, TARGET, SEL_USER_CODE64 | 3, 0x202, RIG_DATA, 3);
    rig_code(rig, 0x48, 0xcf);
    assert_faults(rig, VECTOR_GP, 0);
    put_stack(rig, 8, TARGET, SEL_CODE32, 0x202, RIG_DATA, 0);
    assert_faults(rig, VECTOR_GP, 0);
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x202, RIG_DATA, 0);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
}

static void test_iretq_refuses_targets_that_are_not_canonical_and_nested_tasks(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 8, 0x0000800000000000, SEL_CODE64, 0x202, RIG_DATA, SEL_DATA);
    rig_code(rig, 0x48, 0xcf);
    assert_faults(rig, VECTOR_GP, 0);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_NT);
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x202, RIG_DATA, SEL_DATA);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_iretq_over_a_page_that_is_not_there_changes_nothing(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->gpr[X86_RSP] = RIG_HOLE - 32;
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x202, RIG_DATA);
    rig_code(rig, 0x48, 0xcf);
    assert_faults(rig, VECTOR_PF, 0);
    assert_int_equal(soft_cpu_exception(rig->cpu)->address, RIG_HOLE);
}

static void test_iret_in_64_bit_code_without_rex_w_pops_doublewords(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 4, TARGET, SEL_CODE64, 0x202, RIG_DATA, SEL_DATA);
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA);
}

static void test_iret_unmasks_nmis_even_if_it_faults(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->nmi_masked = true;
    put_stack(rig, 8, TARGET, SEL_DATA, 0x202, RIG_DATA, SEL_DATA);
    rig_code(rig, 0x48, 0xcf);
    assert_faults(rig, VECTOR_GP, SEL_DATA);
    assert_false(rig->cpu->nmi_masked);
}

static void test_iret_loads_rf_where_there_are_breakpoints(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->dr[0] = TARGET;
    rig->cpu->dr7 = 0x401;
    soft_update_mode(rig->cpu);
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x10202, RIG_DATA, SEL_DATA);
    rig_code(rig, 0x48, 0xcf);
    soft_cpu_trap(rig->cpu, true);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_HALTED); /* at TARGET, without #DB */
    assert_int_equal(rig->cpu->rip, TARGET + 1);
}

static void test_iret_marks_its_segments_accessed(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x00affa000000ffff);
    rig_gdt(rig, SEL_FREE2, 0x00cff2000000ffff);
    put_stack(rig, 8, TARGET, SEL_FREE | 3, 0x202, RIG_DATA, SEL_FREE2 | 3);
    rig_code(rig, 0x48, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_FREE | 3, TARGET, 3);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE), 0x00affb000000ffff);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE2), 0x00cff3000000ffff);
}

static void test_iret_at_level_3_loads_if_only_with_iopl_3(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_IOPL);
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, EFLAGS_FIXED | EFLAGS_IF);
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_IF | EFLAGS_IOPL);
}

static void test_iret_at_level_0_loads_iopl_and_with_32_bits_vif_and_vip(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    put_stack(rig, 4, TARGET, SEL_CODE32, ALL_FLAGS & ~EFLAGS_TF & ~EFLAGS_NT & ~EFLAGS_VM);
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x003c3ed7);
    transfer_rig_enter_32(rig, 0);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_VIF | EFLAGS_VIP);
    rig->cpu->gpr[X86_RSP] = RIG_STACK;
    put_stack(rig, 2, TARGET, SEL_CODE32, EFLAGS_FIXED);
    rig_code(rig, 0x66, 0xcf);
    rig_step(rig);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_VIF | EFLAGS_VIP);
}

static void test_iret_of_16_bits_in_real_mode_leaves_the_upper_flags(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_AC | EFLAGS_ID);
    put_stack(rig, 2, 0x10, 0x2000, 0x3202);
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_AC | EFLAGS_ID | 0x3202);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_iret_in_real_mode_loads_all_but_vm_vif_and_vip),
        TEST(test_iret_to_the_same_level_loads_what_the_cpl_allows),
        TEST(test_iret_of_16_bits_leaves_the_upper_flags),
        TEST(test_iret_outwards_takes_the_stack),
        TEST(test_iret_checks_the_target_before_anything_changes),
        TEST(test_iretq_always_takes_the_stack),
        TEST(test_iretq_to_a_user_keeps_the_bases_of_null_segments),
        TEST(test_iretq_goes_to_compatibility_mode),
        TEST(test_iretq_may_load_a_null_ss_below_level_3_only),
        TEST(test_iretq_refuses_targets_that_are_not_canonical_and_nested_tasks),
        TEST(test_iretq_over_a_page_that_is_not_there_changes_nothing),
        TEST(test_iret_in_64_bit_code_without_rex_w_pops_doublewords),
        TEST(test_iret_unmasks_nmis_even_if_it_faults),
        TEST(test_iret_loads_rf_where_there_are_breakpoints),
        TEST(test_iret_marks_its_segments_accessed),
        TEST(test_iret_at_level_3_loads_if_only_with_iopl_3),
        TEST(test_iret_at_level_0_loads_iopl_and_with_32_bits_vif_and_vip),
        TEST(test_iret_of_16_bits_in_real_mode_leaves_the_upper_flags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
