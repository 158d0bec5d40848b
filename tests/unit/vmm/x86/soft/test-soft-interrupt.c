/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of exceptions and interrupts in real and protected mode: gates, frames, stacks,
 * flags, error codes.
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
    assert_segment(rig, X86_SS, SEL_DATA, 0xc093, UINT32_MAX);
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
    rig_idt32(rig, VECTOR_GP,
              rig_gate(SYSTEM_INTERRUPT_GATE16, 0, SEL_CODE32, 0x55550000 + RIG_HANDLERS + VECTOR_GP * 16));
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

static void test_tables_and_the_new_stack_may_be_the_supervisors(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    transfer_rig_page_32(rig);
    transfer_rig_split(rig);
    rig_gdt(rig, SEL_FREE, 0x00cf92000000ffff); /* not accessed */
    rig_write(rig, RIG_TSS + 8, 2, SEL_FREE);
    memcpy(rig->host + RIG_USER, (const uint8_t[]){ UD2 }, 2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_UD);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE), 0x00cf93000000ffff);
    assert_int_equal(word(rig, 0, 4), RIG_USER);
}

static void test_a_handlers_code_is_marked_accessed(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x00cf9a000000ffff);
    rig_idt32(rig, 0x40, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_FREE, RIG_HANDLERS + 0x400));
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE), 0x00cf9b000000ffff);
    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, 0x00cf9a000000ffff);
    rig_idt32(rig, 0x40, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_FREE, RIG_HANDLERS + 0x400));
    rig_step(rig);
    assert_int_equal(rig_gdt_entry(rig, SEL_FREE), 0x00cf9b000000ffff);
}

static void test_the_error_code_needs_room_too(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->segment[X86_SS].limit = 0xfff;
    soft_update_mode(rig->cpu);
    rig->cpu->gpr[X86_RSP] = 12; /* three words fit */
    rig->cpu->gpr[X86_RAX] = SEL_TSS;
    rig_code(rig, 0x8e, 0xd8);
    assert_int_equal(rig_step(rig), SOFT_EXIT_TRIPLE_FAULT);
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
        TEST(test_tables_and_the_new_stack_may_be_the_supervisors),
        TEST(test_a_handlers_code_is_marked_accessed),
        TEST(test_the_error_code_needs_room_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
