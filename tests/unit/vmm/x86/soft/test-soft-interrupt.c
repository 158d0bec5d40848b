/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of exceptions and interrupts in real, protected and long mode: frames, stacks,
 * flags, error codes, and exceptions on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define INT_40 0xcd, 0x40
#define UD2    0x0f, 0x0b
#define NOT_PRESENT(descriptor) ((descriptor) & ~(UINT64_C(0x80) << 40))
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

static void signal_interrupt(SoftRig *rig, unsigned vector)
{
    rig->cpu->eflags |= EFLAGS_IF;
    soft_update_mode(rig->cpu);
    rig->next_vector = (int)vector;
    soft_signal(rig->cpu, SOFT_INTERRUPT);
}

/* ---- real mode ---- */

static void enter_real(SoftRig *rig)
{
    soft_rig_enter_16(rig);
    rig->cpu->idt = (X86Table){ 0, 0x3ff };
    for (unsigned vector = 0; vector < 256; vector++) {
        rig_write(rig, vector * 4, 4, RIG_HANDLERS + vector * 16);
        rig_write(rig, RIG_HANDLERS + vector * 16, 1, 0xf4);
    }
}

static void test_in_real_mode_int_pushes_three_words(void **state)
{
    SoftRig *rig = *state;

    enter_real(rig);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_IF | EFLAGS_AC | EFLAGS_CF);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), 0x40);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x7ffa);
    assert_int_equal(word(rig, 0, 2), 2);
    assert_int_equal(word(rig, 1, 2), 0x1000);
    assert_int_equal(word(rig, 2, 2), EFLAGS_FIXED | EFLAGS_IF | EFLAGS_CF);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_CF);
}

static void test_in_real_mode_exceptions_have_no_error_code(void **state)
{
    SoftRig *rig = *state;

    enter_real(rig);
    rig_code(rig, 0xa1, 0xff, 0xff); /* mov ax, [0xffff]: #GP */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x7ffa);
    assert_int_equal(word(rig, 0, 2), 0);
}

static void test_in_real_mode_a_vector_beyond_the_table_is_a_general_protection_fault(void **state)
{
    SoftRig *rig = *state;

    enter_real(rig);
    rig->cpu->idt.limit = 0x40 * 4 + 2;
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(word(rig, 0, 2), 0); /* of the INT itself */
}

static void test_in_real_mode_no_table_at_all_is_a_triple_fault(void **state)
{
    SoftRig *rig = *state;

    enter_real(rig);
    rig->cpu->idt.limit = 0;
    rig_code(rig, INT_40);
    assert_int_equal(rig_step(rig), SOFT_EXIT_TRIPLE_FAULT);
    assert_true(rig->cpu->shutdown);
}

static void test_in_real_mode_an_external_interrupt_returns_to_the_next_instruction(void **state)
{
    SoftRig *rig = *state;

    enter_real(rig);
    rig_code(rig, 0x40);
    signal_interrupt(rig, 0x50);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), 0x50);
    assert_int_equal(word(rig, 0, 2), 0);
}

/* ---- protected mode ---- */

static void test_an_interrupt_gate_clears_if_and_a_trap_gate_does_not(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_IF | EFLAGS_NT | EFLAGS_AC);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), 0x40);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_AC);
    transfer_rig_enter_32(rig, 0);
    rig_idt32(rig, 0x40, rig_gate(SYSTEM_TRAP_GATE32, 0, SEL_CODE32, RIG_HANDLERS + 0x400));
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_IF | EFLAGS_NT);
    rig_step(rig);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_IF);
}

static void test_a_fault_pushes_its_own_address_with_rf_and_the_error_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_CF);
    rig->cpu->gpr[X86_RAX] = SEL_TSS;
    rig_code(rig, 0x90, 0x8e, 0xd8); /* nop; mov ds, eax: #GP */
    rig->cpu->rip = RIG_CODE + 1;
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 16);
    assert_int_equal(word(rig, 0, 4), SEL_TSS);
    assert_int_equal(word(rig, 1, 4), RIG_CODE + 1);
    assert_int_equal(word(rig, 2, 4), SEL_CODE32);
    assert_int_equal(word(rig, 3, 4), EFLAGS_FIXED | EFLAGS_CF | EFLAGS_RF);
}

static void test_a_software_interrupt_pushes_the_next_address_without_rf(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_code(rig, 0xcc); /* int3 */
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_BP);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 12);
    assert_int_equal(word(rig, 0, 4), RIG_CODE + 1);
    assert_int_equal(word(rig, 2, 4), EFLAGS_FIXED);
}

static void test_into_traps_only_with_of(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_code(rig, 0xce, UD2);
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 1);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_OF);
    rig->cpu->rip = RIG_CODE;
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_OF);
    assert_int_equal(word(rig, 0, 4), RIG_CODE + 1);
}

static void test_an_interrupt_from_level_3_switches_stacks(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_code(rig, UD2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_UD);
    assert_int_equal(rig->cpu->cpl, 0);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_DATA);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 20);
    assert_int_equal(word(rig, 0, 4), RIG_CODE);
    assert_int_equal(word(rig, 1, 4), SEL_USER_CODE32 | 3);
    assert_int_equal(word(rig, 2, 4), EFLAGS_FIXED | EFLAGS_RF);
    assert_int_equal(word(rig, 3, 4), RIG_STACK);
    assert_int_equal(word(rig, 4, 4), SEL_USER_DATA | 3);
}

static void test_a_16_bit_gate_pushes_words(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_idt32(rig, VECTOR_GP, rig_gate(SYSTEM_INTERRUPT_GATE16, 0, SEL_CODE32, 0x55550000 + RIG_HANDLERS + VECTOR_GP * 16));
    rig->cpu->gpr[X86_RAX] = SEL_TSS;
    rig_code(rig, 0x8e, 0xd8);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 12);
    assert_int_equal(word(rig, 0, 2), SEL_TSS);
    assert_int_equal(word(rig, 1, 2), RIG_CODE & 0xffff);
    assert_int_equal(word(rig, 2, 2), SEL_USER_CODE32 | 3);
    assert_int_equal(word(rig, 3, 2), EFLAGS_FIXED);
    assert_int_equal(word(rig, 4, 2), RIG_STACK & 0xffff);
    assert_int_equal(word(rig, 5, 2), SEL_USER_DATA | 3);
}

static void test_conforming_handlers_run_at_the_level_of_what_they_interrupt(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_idt32(rig, 0x40, rig_gate(SYSTEM_TRAP_GATE32, 3, SEL_CONFORMING, RIG_HANDLERS + 0x400));
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), 0x40);
    assert_int_equal(rig->cpu->cpl, 3);
    assert_int_equal(rig->cpu->segment[X86_CS].selector, SEL_CONFORMING | 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 12);
}

static void test_only_software_interrupts_are_checked_against_the_gate(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(word(rig, 0, 4), IDT_ERROR(0x40));
    assert_int_equal(word(rig, 1, 4), RIG_CODE);
    transfer_rig_enter_32(rig, 3);
    rig_code(rig, 0xf1); /* int1 */
    rig->cpu->rip = RIG_CODE;
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_DB);
    assert_int_equal(word(rig, 0, 4), RIG_CODE + 1);
}

/* INT 0x40 with that gate ends in the handler of another exception. */
static void int_40_raises(SoftRig *rig, uint64_t gate, unsigned vector, unsigned error)
{
    rig_idt32(rig, 0x40, gate);
    rig_code(rig, INT_40);
    rig->cpu->rip = RIG_CODE;
    rig_step(rig);
    assert_int_equal(rig_handler(rig), vector);
    assert_int_equal(word(rig, 0, 4), error);
    assert_int_equal(word(rig, 1, 4), RIG_CODE);
}

static void test_a_gate_checks_itself_and_its_target(void **state)
{
    SoftRig *rig = *state;
    const uint32_t handler = RIG_HANDLERS + 0x400;

    transfer_rig_enter_32(rig, 0);
    int_40_raises(rig, NOT_PRESENT(rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE32, handler)), VECTOR_NP,
                  IDT_ERROR(0x40));
    int_40_raises(rig, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE32, handler), VECTOR_GP, IDT_ERROR(0x40));
    int_40_raises(rig, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, 0, handler), VECTOR_GP, 0);
    int_40_raises(rig, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, 0x100, handler), VECTOR_GP, 0x100);
    int_40_raises(rig, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_DATA, handler), VECTOR_GP, SEL_DATA);
    int_40_raises(rig, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_USER_CODE32, handler), VECTOR_GP, SEL_USER_CODE32);
    rig_gdt(rig, SEL_FREE, NOT_PRESENT(0x00cf9b000000ffff));
    int_40_raises(rig, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_FREE, handler), VECTOR_NP, SEL_FREE);
    rig_gdt(rig, SEL_FREE, 0x00409b0000000fff);
    int_40_raises(rig, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_FREE, handler), VECTOR_GP, 0);
}

static void test_a_vector_beyond_the_idt_names_it(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->idt.limit = 0x40 * 8 + 6;
    int_40_raises(rig, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE32, 0), VECTOR_GP, IDT_ERROR(0x40));
}

static void test_faults_of_an_external_interrupt_have_ext_set(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_idt32(rig, 0x50, NOT_PRESENT(rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_CODE32, 0)));
    rig_code(rig, 0x90);
    signal_interrupt(rig, 0x50);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_NP);
    assert_int_equal(word(rig, 0, 4), IDT_ERROR(0x50) | 1);
    assert_int_equal(word(rig, 1, 4), RIG_CODE);
}

static void test_faults_of_an_exception_have_ext_set(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_idt32(rig, VECTOR_UD, rig_gate(SYSTEM_INTERRUPT_GATE32, 0, SEL_DATA, 0));
    rig_code(rig, UD2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(word(rig, 0, 4), SEL_DATA | 1);
}

static void user_int_raises(SoftRig *rig, unsigned vector, unsigned error)
{
    /* Handlers of these exceptions conform, so that they need no stack of level 0. */
    rig_idt32(rig, vector, rig_gate(SYSTEM_TRAP_GATE32, 0, SEL_CONFORMING, RIG_HANDLERS + vector * 16));
    rig_idt32(rig, 0x40, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_CODE32, RIG_HANDLERS + 0x400));
    rig_write(rig, RIG_HANDLERS + vector * 16, 2, 0xfeeb); /* jmp . */
    rig_code(rig, INT_40);
    rig->cpu->rip = RIG_CODE;
    rig->cpu->gpr[X86_RSP] = RIG_STACK;
    rig_step(rig);
    assert_int_equal(rig_handler(rig), vector);
    assert_int_equal(word(rig, 0, 4), error);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 16);
    rig->cpu->segment[X86_CS].selector = SEL_USER_CODE32 | 3;
}

static void test_a_new_stack_is_checked(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->tr.limit = 8;
    user_int_raises(rig, VECTOR_TS, SEL_TSS);
    rig->cpu->tr.limit = 0x67;
    rig_write(rig, RIG_TSS + 8, 2, 0);
    user_int_raises(rig, VECTOR_TS, 0);
    rig_write(rig, RIG_TSS + 8, 2, SEL_USER_DATA | 3);
    user_int_raises(rig, VECTOR_TS, SEL_USER_DATA);
    rig_gdt(rig, SEL_FREE, NOT_PRESENT(0x00cf93000000ffff));
    rig_write(rig, RIG_TSS + 8, 2, SEL_FREE);
    user_int_raises(rig, VECTOR_SS, SEL_FREE);
    rig_gdt(rig, SEL_FREE, 0x0040930000000fff);
    rig_write(rig, RIG_TSS + 4, 4, 0x2000);
    user_int_raises(rig, VECTOR_SS, SEL_FREE);
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

/* ---- long mode ---- */

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
    assert_int_equal(word(rig, 0, 8), RIG_CODE + 2);
    assert_int_equal(word(rig, 1, 8), SEL_CODE64);
    assert_int_equal(word(rig, 2, 8), EFLAGS_FIXED | EFLAGS_IF | EFLAGS_CF);
    assert_int_equal(word(rig, 3, 8), RIG_STACK + 7);
    assert_int_equal(word(rig, 4, 8), SEL_DATA);
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
    assert_int_equal(word(rig, 0, 8), 4);
    assert_int_equal(word(rig, 1, 8), RIG_CODE);
    assert_int_equal(word(rig, 2, 8), SEL_USER_CODE64 | 3);
    assert_int_equal(word(rig, 3, 8), EFLAGS_FIXED | EFLAGS_RF);
    assert_int_equal(word(rig, 4, 8), RIG_STACK);
    assert_int_equal(word(rig, 5, 8), SEL_USER_DATA | 3);
}

static void test_an_interrupt_of_compatibility_mode_enters_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    rig_code(rig, UD2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_UD);
    assert_int_equal(rig->cpu->mode & MODE_CODE, MODE_CODE64);
    assert_int_equal(word(rig, 1, 8), SEL_USER_CODE32 | 3);
    assert_int_equal(word(rig, 3, 8), RIG_STACK);
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
    assert_int_equal(word(rig, 3, 8), RIG_STACK);
}

/* INT 0x40 as it is in the IDT ends in another handler. */
static void int_40_raises_64(SoftRig *rig, unsigned vector, unsigned error)
{
    rig_code(rig, INT_40);
    rig->cpu->rip = RIG_CODE;
    rig_step(rig);
    assert_int_equal(rig_handler(rig), vector);
    assert_int_equal(word(rig, 0, 8), error);
    assert_int_equal(word(rig, 1, 8), RIG_CODE);
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
    rig->cpu->idt.limit = 0x40 * 16 + 14;
    int_40_raises_64(rig, VECTOR_GP, IDT_ERROR(0x40));
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
    assert_int_equal(word(rig, 0, 8), RIG_CODE);
    assert_int_equal(word(rig, 4, 8), SEL_USER_DATA | 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_in_real_mode_int_pushes_three_words),
        TEST(test_in_real_mode_exceptions_have_no_error_code),
        TEST(test_in_real_mode_a_vector_beyond_the_table_is_a_general_protection_fault),
        TEST(test_in_real_mode_no_table_at_all_is_a_triple_fault),
        TEST(test_in_real_mode_an_external_interrupt_returns_to_the_next_instruction),
        TEST(test_an_interrupt_gate_clears_if_and_a_trap_gate_does_not),
        TEST(test_a_fault_pushes_its_own_address_with_rf_and_the_error_code),
        TEST(test_a_software_interrupt_pushes_the_next_address_without_rf),
        TEST(test_into_traps_only_with_of),
        TEST(test_an_interrupt_from_level_3_switches_stacks),
        TEST(test_a_16_bit_gate_pushes_words),
        TEST(test_conforming_handlers_run_at_the_level_of_what_they_interrupt),
        TEST(test_only_software_interrupts_are_checked_against_the_gate),
        TEST(test_a_gate_checks_itself_and_its_target),
        TEST(test_a_vector_beyond_the_idt_names_it),
        TEST(test_faults_of_an_external_interrupt_have_ext_set),
        TEST(test_faults_of_an_exception_have_ext_set),
        TEST(test_a_new_stack_is_checked),
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
        TEST(test_a_64_bit_gate_aligns_the_stack_and_always_pushes_it),
        TEST(test_a_64_bit_gate_from_level_3_takes_rsp0_and_a_null_ss),
        TEST(test_an_interrupt_of_compatibility_mode_enters_64_bit_code),
        TEST(test_an_ist_is_taken_at_every_level),
        TEST(test_a_64_bit_gate_checks_itself_its_target_and_its_stack),
        TEST(test_a_frame_across_two_pages_is_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
