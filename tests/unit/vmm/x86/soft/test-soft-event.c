/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events whatever gate they go through: NMI, page faults, debug exceptions, and exceptions
 * during a delivery.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define UD2 0x0f, 0x0b
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

/* The i-th word from the stack pointer on. */
static uint64_t word(const SoftRig *rig, unsigned i, unsigned size)
{
    return rig_read(rig, rig->cpu->gpr[X86_RSP] + i * size, size);
}

/* ---- events of several kinds ---- */

static void test_an_nmi_masks_nmis_until_iret(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_write(rig, RIG_HANDLERS + 2 * 16, 2, 0xcf43); /* inc ebx; iret */
    rig_code(rig, 0x41, 0xf4);                        /* inc ecx; hlt */
    soft_signal(rig->cpu, SOFT_NMI);
    soft_cpu_trap(rig->cpu, false);
    soft_cpu_limit(rig->cpu, 1);
    soft_run(rig->cpu);
    assert_true(rig->cpu->nmi_masked);
    soft_signal(rig->cpu, SOFT_NMI);
    soft_cpu_limit(rig->cpu, 0);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->gpr[X86_RBX], 2);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 1);
    assert_false(rig->cpu->nmi_masked);
}

static void test_a_page_fault_sets_cr2(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    transfer_rig_page_32(rig);
    rig->cpu->gpr[X86_RBX] = RIG_HOLE + 0x123;
    rig_code(rig, 0x89, 0x03); /* mov [ebx], eax */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_PF);
    assert_int_equal(rig->cpu->cr2, RIG_HOLE + 0x123);
    assert_int_equal(word(rig, 0, 4), 2);
}

static void test_a_single_step_returns_to_the_next_instruction_and_sets_dr6(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->dr6 = 0xffff0ff1;
    rig->cpu->dr7 = 0x400 | 1 << 13;
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_TF);
    rig_code(rig, 0x40, 0x40); /* inc eax */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_DB);
    assert_int_equal(word(rig, 0, 4), RIG_CODE + 1);
    assert_int_equal(word(rig, 2, 4), EFLAGS_FIXED | EFLAGS_TF);
    assert_int_equal(soft_get_rflags(rig->cpu) & EFLAGS_TF, 0);
    assert_int_equal(rig->cpu->dr6, 0xffff4ff0);
    assert_int_equal(rig->cpu->dr7, 0x400); /* GD is cleared */
}

static void test_a_single_step_ends_hlt(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_write(rig, RIG_HANDLERS + VECTOR_DB * 16, 2, 0xfeeb); /* jmp . */
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_TF);
    rig_code(rig, 0xf4);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_DB);
    assert_int_equal(word(rig, 0, 4), RIG_CODE + 1);
    assert_false(rig->cpu->halted);
}

static void test_a_watchpoint_of_mov_ss_comes_with_the_int1_after_it(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_write(rig, RIG_DATA, 2, SEL_DATA);
    rig_write(rig, RIG_HANDLERS + VECTOR_DB * 16, 2, 0xcf43); /* inc ebx; iret */
    rig->cpu->gpr[X86_RCX] = RIG_DATA;
    rig->cpu->dr[1] = RIG_DATA;
    rig->cpu->dr7 = 0x00f00408; /* 4 bytes, read or write */
    soft_update_mode(rig->cpu);
    rig_code(rig, 0x8e, 0x11, 0xf1, 0xf4); /* mov ss, [ecx]; int1; hlt */
    soft_cpu_trap(rig->cpu, false);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 4);
    assert_int_equal(rig->cpu->gpr[X86_RBX], 1);
    assert_int_equal(rig->cpu->dr6 & 15, 2);
}

static void test_an_instruction_breakpoint_pushes_rf_as_it_is(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->dr[0] = RIG_CODE;
    rig->cpu->dr7 = 0x401;
    soft_update_mode(rig->cpu);
    rig_code(rig, 0x40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_DB);
    assert_int_equal(word(rig, 0, 4), RIG_CODE);
    assert_int_equal(word(rig, 2, 4), EFLAGS_FIXED);
    assert_int_equal(rig->cpu->dr6 & 15, 1);
}

/* ---- exceptions on the way ---- */

static void test_a_contributory_exception_of_another_is_a_double_fault(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_idt32(rig, VECTOR_GP, NOT_PRESENT(rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE32, 0)));
    rig->cpu->gpr[X86_RAX] = SEL_TSS;
    rig_code(rig, 0x8e, 0xd8); /* #GP, then #NP */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_DF);
    assert_int_equal(word(rig, 0, 4), 0);
    assert_int_equal(word(rig, 1, 4), RIG_CODE);
}

static void test_an_exception_of_a_benign_one_is_handled_after_it(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_idt32(rig, VECTOR_UD, NOT_PRESENT(rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE32, 0)));
    rig_code(rig, UD2); /* #UD, then #NP */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_NP);
    assert_int_equal(word(rig, 0, 4), IDT_ERROR(VECTOR_UD) | 1);
}

static void test_a_page_fault_of_a_contributory_exception_is_handled_after_it(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    transfer_rig_page_32(rig);
    rig_idt32(rig, VECTOR_PF, rig_gate(SYSTEM_TRAP_GATE32, 0, SEL_CONFORMING, RIG_HANDLERS + VECTOR_PF * 16));
    rig_write(rig, RIG_HANDLERS + VECTOR_PF * 16, 2, 0xfeeb);
    rig_write(rig, RIG_TSS + 4, 4, RIG_HOLE + 0x100); /* the stack of level 0 */
    rig->cpu->gpr[X86_RAX] = SEL_TSS;
    rig_code(rig, 0x8e, 0xd8); /* #GP, then #PF */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_PF);
    assert_int_equal(rig->cpu->cr2, RIG_HOLE + 0xfc);
}

static void test_a_page_fault_of_a_page_fault_is_a_double_fault(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig_write(rig, RIG_TSS + TSS64_RSP0, 8, RIG_HOLE + 0x100);
    rig_idt64(rig, VECTOR_DF, SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE64, RIG_HANDLERS + VECTOR_DF * 16, 1);
    rig->cpu->gpr[X86_RBX] = RIG_HOLE;
    rig_code(rig, 0x89, 0x03);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_DF);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_IST1 - 48);
    assert_int_equal(word(rig, 0, 8), 0);
    assert_int_equal(rig->cpu->cr2, RIG_HOLE + 0xf8);
}

static void test_a_fault_of_a_double_fault_shuts_down(void **state)
{
    SoftRig *rig = *state;
    SoftExit exit;

    transfer_rig_enter_32(rig, 0);
    rig_idt32(rig, VECTOR_GP, 0);
    rig_idt32(rig, VECTOR_DF, 0);
    rig->cpu->gpr[X86_RAX] = SEL_TSS;
    rig_code(rig, 0x8e, 0xd8);
    exit = rig_step(rig);
    assert_int_equal(exit, SOFT_EXIT_TRIPLE_FAULT);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
    assert_false(rig->cpu->in_delivery);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_TRIPLE_FAULT);
}

static void test_a_delivery_that_fails_leaves_the_registers(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig_write(rig, RIG_TSS + TSS64_RSP0, 8, RIG_HOLE + 16); /* two words fit, the others are in the hole... */
    rig_write(rig, RIG_PML4 + 0x2000 + (RIG_HOLE >> 21) * 8, 8, RIG_HOLE | 0x87);
    rig_write(rig, RIG_PML4 + 0x2000 + (RIG_HOLE >> 21) * 8 - 8, 8, 0); /* ... which is before it now */
    rig_idt64(rig, VECTOR_PF, SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE64, RIG_HANDLERS + VECTOR_PF * 16, 1);
    soft_tlb_flush(rig->cpu);
    rig_code(rig, UD2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_PF);
    assert_int_equal(rig->cpu->cr2, RIG_HOLE - 8);
    assert_int_equal(word(rig, 1, 8), RIG_CODE);
    assert_int_equal(word(rig, 2, 8), SEL_USER_CODE64 | 3);
    assert_int_equal(word(rig, 4, 8), RIG_STACK);
    assert_int_equal(word(rig, 5, 8), SEL_USER_DATA | 3);
}

static void test_an_invalid_tss_of_another_contributory_exception_is_a_double_fault(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_write(rig, RIG_TSS + 8, 2, SEL_USER_DATA); /* no stack for level 0 */
    rig_idt32(rig, VECTOR_DF, rig_gate(SYSTEM_TRAP_GATE32, 0, SEL_CONFORMING, RIG_HANDLERS + VECTOR_DF * 16));
    rig_write(rig, RIG_HANDLERS + VECTOR_DF * 16, 2, 0xfeeb); /* jmp . */
    rig->cpu->gpr[X86_RAX] = SEL_TSS;
    rig_code(rig, 0x8e, 0xd8); /* #GP, then #TS */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_DF);
}

static void test_a_delivery_that_is_over_counts_no_more(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->gpr[X86_RAX] = SEL_TSS;
    rig_code(rig, 0x8e, 0xd8);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    rig->cpu->rip = RIG_CODE; /* the handler does it again */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
}

static void test_only_debug_exceptions_clear_gd(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->dr7 = 0x2400;
    rig_code(rig, UD2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_UD);
    assert_int_equal(rig->cpu->dr7, 0x2400);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_nmi_masks_nmis_until_iret),
        TEST(test_a_page_fault_sets_cr2),
        TEST(test_a_single_step_returns_to_the_next_instruction_and_sets_dr6),
        TEST(test_a_single_step_ends_hlt),
        TEST(test_a_watchpoint_of_mov_ss_comes_with_the_int1_after_it),
        TEST(test_an_instruction_breakpoint_pushes_rf_as_it_is),
        TEST(test_a_contributory_exception_of_another_is_a_double_fault),
        TEST(test_an_exception_of_a_benign_one_is_handled_after_it),
        TEST(test_a_page_fault_of_a_contributory_exception_is_handled_after_it),
        TEST(test_a_page_fault_of_a_page_fault_is_a_double_fault),
        TEST(test_a_fault_of_a_double_fault_shuts_down),
        TEST(test_a_delivery_that_fails_leaves_the_registers),
        TEST(test_an_invalid_tss_of_another_contributory_exception_is_a_double_fault),
        TEST(test_a_delivery_that_is_over_counts_no_more),
        TEST(test_only_debug_exceptions_clear_gd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
