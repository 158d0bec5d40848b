/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions on descriptors and hidden parts: LAR, LSL, VERR, VERW, ARPL, the bases of FS
 * and GS, LDTR and TR.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define UD2 0x0f, 0x0b

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

/* Runs the code up to its UD2. */
static void run(SoftRig *rig)
{
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_UD);
}

static bool zf(const SoftRig *rig)
{
    return soft_get_rflags(rig->cpu) & EFLAGS_ZF;
}

/* ---- LAR, LSL, VERR, VERW, ARPL ---- */

static void test_lar_and_lsl_give_what_the_descriptor_says(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig->cpu->gpr[X86_RAX] = rig->cpu->gpr[X86_RDX] = UINT64_MAX;
    rig->cpu->gpr[X86_RCX] = SEL_USER_CODE64 | 3;
    rig_code(rig, 0x0f, 0x02, 0xc1, 0x0f, 0x03, 0xd1, UD2); /* lar eax, ecx; lsl edx, ecx */
    run(rig);
    assert_true(zf(rig));
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0xaffb00); /* as the host's own 0x33 */
    assert_int_equal(rig->cpu->gpr[X86_RDX], 0xffffffff);
}

static bool lar_sees(SoftRig *rig, unsigned selector)
{
    rig->cpu->gpr[X86_RCX] = selector;
    rig->cpu->rip = RIG_CODE;
    rig_code(rig, 0x0f, 0x02, 0xc1, UD2); /* lar eax, ecx */
    run(rig);
    return zf(rig);
}

static bool lsl_sees(SoftRig *rig, unsigned selector)
{
    rig->cpu->gpr[X86_RCX] = selector;
    rig->cpu->rip = RIG_CODE;
    rig_code(rig, 0x0f, 0x03, 0xc1, UD2); /* lsl eax, ecx */
    run(rig);
    return zf(rig);
}

static void test_lar_and_lsl_do_not_see_what_is_null_beyond_or_more_privileged(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    assert_false(lar_sees(rig, 0));
    assert_false(lar_sees(rig, 0x100));
    assert_false(lar_sees(rig, SEL_DATA));
    assert_true(lar_sees(rig, SEL_CONFORMING));
    transfer_rig_enter_32(rig, 0);
    assert_false(lar_sees(rig, SEL_DATA | 1));
    assert_true(lar_sees(rig, SEL_DATA));
}

static void test_lar_sees_call_gates_and_lsl_does_not(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE32, 0));
    rig_gdt(rig, SEL_FREE2, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE32, 0));
    assert_true(lar_sees(rig, SEL_FREE));
    assert_false(lsl_sees(rig, SEL_FREE));
    assert_false(lar_sees(rig, SEL_FREE2));
    assert_true(lsl_sees(rig, SEL_TSS));
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0x67);
}

static void test_in_long_mode_lar_does_not_see_16_bit_types(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_gdt(rig, SEL_FREE, rig_system(SYSTEM_TSS16, 0, 0x2b));
    assert_false(lar_sees(rig, SEL_FREE));
    assert_true(lar_sees(rig, SEL_TSS));
}

static void test_verr_and_verw_tell_readable_and_writable(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->gpr[X86_RCX] = SEL_USER_CODE32;
    rig_code(rig, 0x0f, 0x00, 0xe1, 0x0f, 0x94, 0xc0, 0x0f, 0x00, 0xe9, UD2); /* verr cx; sete al; verw cx */
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RAX] & 0xff, 1);
    assert_false(zf(rig));
    rig->cpu->gpr[X86_RCX] = SEL_DATA;
    rig->cpu->rip = RIG_CODE;
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RAX] & 0xff, 0);
    rig->cpu->gpr[X86_RCX] = SEL_USER_DATA | 3;
    rig->cpu->rip = RIG_CODE;
    run(rig);
    assert_true(zf(rig));
}

static void test_verr_does_not_exist_in_real_mode(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    rig_code(rig, 0x0f, 0x00, 0xe1);
    assert_faults(rig, VECTOR_UD, 0);
}

static void test_arpl_raises_a_lower_rpl(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_write(rig, RIG_DATA, 4, 0xffff0010);
    rig->cpu->gpr[X86_RCX] = 3;
    rig_code(rig, 0x63, 0x0d, 0x00, 0x00, 0x20, 0x00, UD2); /* arpl [RIG_DATA], cx */
    run(rig);
    assert_true(zf(rig));
    assert_int_equal(rig_read(rig, RIG_DATA, 4), 0xffff0013);
    rig->cpu->rip = RIG_CODE;
    run(rig);
    assert_false(zf(rig));
}

static void test_arpl_that_changes_nothing_needs_no_writable_segment(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x00cf91000000ffff);
    rig->cpu->gpr[X86_RCX] = SEL_FREE;
    rig->cpu->gpr[X86_RDX] = 3;
    rig_write(rig, RIG_DATA, 4, 0xffff0013);
    rig_code(rig, 0x8e, 0xd9, 0x63, 0x15, 0x00, 0x00, 0x20, 0x00, UD2); /* mov ds, cx; arpl [RIG_DATA], dx */
    run(rig);
    assert_false(zf(rig));

    rig_write(rig, RIG_DATA, 4, 0xffff0010);
    rig->cpu->rip = RIG_CODE + 2;
    assert_faults(rig, VECTOR_GP, 0);
    assert_int_equal(rig_read(rig, RIG_DATA, 4), 0xffff0010);
}

/* ---- bases of FS and GS ---- */

static void test_fsgsbase_instructions_move_bases(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig->cpu->gpr[X86_RAX] = 0x00007fff00000000 | RIG_DATA;
    /* wrfsbase rax; rdfsbase rcx; wrgsbase eax; rdgsbase rdx; mov rbx, gs:[0] */
    rig_code(rig, 0xf3, 0x48, 0x0f, 0xae, 0xd0, 0xf3, 0x48, 0x0f, 0xae, 0xc1, 0xf3, 0x0f, 0xae, 0xd8, 0xf3, 0x48, 0x0f,
             0xae, 0xca, 0x65, 0x48, 0x8b, 0x1c, 0x25, 0, 0, 0, 0, UD2);
    rig_write(rig, RIG_DATA, 8, 0x123456789abc);
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 0x00007fff00000000 | RIG_DATA);
    assert_int_equal(rig->cpu->gpr[X86_RDX], RIG_DATA);
    assert_int_equal(rig->cpu->gpr[X86_RBX], 0x123456789abc);
}

static void test_wrfsbase_wants_a_canonical_base_and_cr4(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig->cpu->gpr[X86_RAX] = 0x0000800000000000;
    rig_code(rig, 0xf3, 0x48, 0x0f, 0xae, 0xd0);
    assert_faults(rig, VECTOR_GP, 0);
    rig->cpu->cr4 &= ~CR4_FSGSBASE;
    soft_update_mode(rig->cpu);
    assert_faults(rig, VECTOR_UD, 0);
}

static void test_swapgs_exchanges_and_is_for_level_0(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->segment[X86_GS].base = 1;
    rig->cpu->kernel_gs_base = RIG_DATA;
    soft_update_mode(rig->cpu);
    rig_write(rig, RIG_DATA, 8, 77);
    rig_code(rig, 0x0f, 0x01, 0xf8, 0x65, 0x48, 0x8b, 0x1c, 0x25, 0, 0, 0, 0, UD2); /* swapgs; mov rbx, gs:[0] */
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RBX], 77);
    assert_int_equal(rig->cpu->kernel_gs_base, 1);
    transfer_rig_enter_64(rig, 3);
    assert_faults(rig, VECTOR_GP, 0);
}

/* ---- LDTR and TR ---- */

static void test_sldt_and_str_store_16_bits_or_a_cleared_register(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig->cpu->gpr[X86_RAX] = rig->cpu->gpr[X86_RCX] = UINT64_MAX;
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_write(rig, RIG_DATA, 8, UINT64_MAX);
    /* sldt eax; str cx; str [rbx] */
    rig_code(rig, 0x0f, 0x00, 0xc0, 0x66, 0x0f, 0x00, 0xc9, 0x0f, 0x00, 0x0b, UD2);
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 0xffffffffffff0000 | SEL_TSS);
    assert_int_equal(rig_read(rig, RIG_DATA, 8), 0xffffffffffff0000 | SEL_TSS);
}

static void test_umip_keeps_sldt_and_str_from_users(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig->cpu->cr4 |= CR4_UMIP;
    soft_update_mode(rig->cpu);
    rig_code(rig, 0x0f, 0x00, 0xc0);
    assert_faults(rig, VECTOR_GP, 0);
    rig_code(rig, 0x0f, 0x00, 0xc8);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_ltr_makes_the_tss_busy(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->gpr[X86_RAX] = SEL_TSS2;
    rig_code(rig, 0x0f, 0x00, 0xd8, UD2); /* ltr ax */
    run(rig);
    assert_int_equal(rig->cpu->tr.selector, SEL_TSS2);
    assert_int_equal(rig->cpu->tr.base, RIG_TSS2);
    assert_int_equal(rig->cpu->tr.attributes & SEG_TYPE, SYSTEM_TSS32_BUSY);
    assert_int_equal(rig_gdt_entry(rig, SEL_TSS2) >> 40 & 15, SYSTEM_TSS32_BUSY);
}

static void load_tr_faults(SoftRig *rig, unsigned selector, unsigned vector)
{
    rig->cpu->gpr[X86_RAX] = selector;
    rig_code(rig, 0x0f, 0x00, 0xd8); /* ltr ax */
    assert_faults(rig, vector, selector & SELECTOR_MASK);
}

static void test_ltr_refuses_what_is_no_available_tss(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    load_tr_faults(rig, 0, VECTOR_GP);
    load_tr_faults(rig, SEL_TSS, VECTOR_GP); /* busy */
    load_tr_faults(rig, SEL_DATA, VECTOR_GP);
    load_tr_faults(rig, SEL_TSS2 | SELECTOR_TI, VECTOR_GP);
    rig_gdt(rig, SEL_FREE, rig_system(SYSTEM_TSS32, RIG_TSS2, 0x67) & ~(UINT64_C(0x80) << 40));
    load_tr_faults(rig, SEL_FREE, VECTOR_NP);
    transfer_rig_enter_64(rig, 0);
    rig_gdt(rig, SEL_FREE, rig_system(SYSTEM_TSS16, RIG_TSS2, 0x67));
    load_tr_faults(rig, SEL_FREE, VECTOR_GP);
    transfer_rig_enter_32(rig, 3);
    rig->cpu->gpr[X86_RAX] = SEL_TSS2;
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_in_long_mode_ltr_reads_16_bytes(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_gdt(rig, SEL_TSS2 + 8, 0xffff8000);
    rig->cpu->gpr[X86_RAX] = SEL_TSS2;
    rig_code(rig, 0x0f, 0x00, 0xd8, UD2);
    run(rig);
    assert_int_equal(rig->cpu->tr.base, 0xffff800000000000 | RIG_TSS2);
}

static void test_in_long_mode_ltr_checks_the_upper_half(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_gdt(rig, SEL_TSS2 + 8, UINT64_C(1) << 40); /* type not 0 */
    load_tr_faults(rig, SEL_TSS2, VECTOR_GP);
    rig_gdt(rig, SEL_TSS2 + 8, 0x00008000); /* base not canonical */
    load_tr_faults(rig, SEL_TSS2, VECTOR_GP);
    rig_gdt(rig, SEL_TSS2 + 8, 0);
    rig->cpu->gdt.limit = SEL_TSS2 + 14;
    load_tr_faults(rig, SEL_TSS2, VECTOR_GP);
    rig->cpu->gdt.limit = SEL_TSS2 + 15;
    rig_code(rig, 0x0f, 0x00, 0xd8, UD2);
    run(rig);
}

static void test_lldt_with_null_leaves_no_ldt(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->gpr[X86_RAX] = SEL_LDT;
    rig->cpu->gpr[X86_RCX] = 0;
    rig_code(rig, 0x0f, 0x00, 0xd0, 0x0f, 0x00, 0xd1, UD2); /* lldt ax; lldt cx */
    run(rig);
    assert_true(rig->cpu->ldt.attributes & X86_SEG_UNUSABLE);
    rig->cpu->gpr[X86_RAX] = SEL_TSS2;
    rig->cpu->rip = RIG_CODE;
    assert_faults(rig, VECTOR_GP, SEL_TSS2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lar_and_lsl_give_what_the_descriptor_says),
        TEST(test_lar_and_lsl_do_not_see_what_is_null_beyond_or_more_privileged),
        TEST(test_lar_sees_call_gates_and_lsl_does_not),
        TEST(test_in_long_mode_lar_does_not_see_16_bit_types),
        TEST(test_verr_and_verw_tell_readable_and_writable),
        TEST(test_verr_does_not_exist_in_real_mode),
        TEST(test_arpl_raises_a_lower_rpl),
        TEST(test_arpl_that_changes_nothing_needs_no_writable_segment),
        TEST(test_fsgsbase_instructions_move_bases),
        TEST(test_wrfsbase_wants_a_canonical_base_and_cr4),
        TEST(test_swapgs_exchanges_and_is_for_level_0),
        TEST(test_sldt_and_str_store_16_bits_or_a_cleared_register),
        TEST(test_umip_keeps_sldt_and_str_from_users),
        TEST(test_ltr_makes_the_tss_busy),
        TEST(test_ltr_refuses_what_is_no_available_tss),
        TEST(test_in_long_mode_ltr_reads_16_bytes),
        TEST(test_in_long_mode_ltr_checks_the_upper_half),
        TEST(test_lldt_with_null_leaves_no_ldt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
