/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment registers: what loads check and what they load, moves, far pointers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define UD2 0x0f, 0x0b
#define ACCESSED (UINT64_C(1) << 40)

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

/* ---- loads ---- */

static void test_a_load_takes_base_limit_and_attributes_and_sets_accessed(void **state)
{
    SoftRig *rig = *state;
    const X86Segment *ds;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x1240923456780abc); /* base 0x12345678, limit 0x00abc, writable, not accessed */
    rig->cpu->gpr[X86_RAX] = SEL_FREE;
    rig_code(rig, 0x8e, 0xd8, UD2); /* mov ds, eax */
    run(rig);
    ds = &rig->cpu->segment[X86_DS];
    assert_int_equal(ds->selector, SEL_FREE);
    assert_int_equal(ds->base, 0x12345678);
    assert_int_equal(ds->limit, 0xabc);
    assert_int_equal(ds->attributes, 0x4093);
    assert_true(rig_gdt_entry(rig, SEL_FREE) & ACCESSED);
}

static void test_a_null_selector_loads_and_may_not_be_used(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->gpr[X86_RAX] = 3;
    rig_code(rig, 0x8e, 0xd8, UD2); /* mov ds, eax */
    run(rig);
    assert_int_equal(rig->cpu->segment[X86_DS].selector, 3);
    rig_code(rig, 0xa1, 0, 0, 0x20, 0); /* mov eax, [0x200000] */
    rig->cpu->rip = RIG_CODE;
    assert_faults(rig, VECTOR_GP, 0);
}

static void load_ds_faults(SoftRig *rig, unsigned selector, unsigned vector)
{
    rig->cpu->gpr[X86_RAX] = selector;
    rig_code(rig, 0x8e, 0xd8, UD2); /* mov ds, eax */
    assert_faults(rig, vector, selector & SELECTOR_MASK);
}

static void test_a_load_beyond_the_table_faults(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->gdt.limit = SEL_DATA + 6;
    load_ds_faults(rig, SEL_DATA, VECTOR_GP);
    rig->cpu->gdt.limit = SEL_DATA + 7;
    rig_code(rig, 0x8e, 0xd8, UD2);
    run(rig);
}

static void test_a_load_from_no_ldt_faults(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    load_ds_faults(rig, 0x0c, VECTOR_GP);
    rig->cpu->ldt = (X86Segment){ SEL_LDT, SEG_P | SYSTEM_LDT, 0x0e, RIG_LDT };
    load_ds_faults(rig, 0x0c, VECTOR_GP); /* beyond its limit */
}

static void test_a_load_from_the_ldt_uses_its_own_table(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_write(rig, RIG_LDT + 8, 8, 0x00cf920000001234);
    rig->cpu->gpr[X86_RAX] = 0x0c;
    rig->cpu->gpr[X86_RCX] = SEL_LDT;
    rig_code(rig, 0x0f, 0x00, 0xd1, 0x8e, 0xd8, UD2); /* lldt cx; mov ds, eax */
    run(rig);
    assert_int_equal(rig->cpu->segment[X86_DS].limit, 0x1234 << 12 | 0xf0000fff);
    assert_true(rig_read(rig, RIG_LDT + 8, 8) & ACCESSED);
}

static void test_a_load_of_what_cannot_be_read_faults(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    load_ds_faults(rig, SEL_TSS, VECTOR_GP);
    rig_gdt(rig, SEL_FREE, 0x00cf99000000ffff); /* code, execute only */
    load_ds_faults(rig, SEL_FREE, VECTOR_GP);
}

static void test_a_load_checks_cpl_and_rpl_but_for_conforming_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    load_ds_faults(rig, SEL_DATA, VECTOR_GP);
    load_ds_faults(rig, SEL_DATA_1 | 3, VECTOR_GP);
    rig->cpu->gpr[X86_RAX] = SEL_CONFORMING | 3;
    rig_code(rig, 0x8e, 0xd8, UD2);
    run(rig);
    transfer_rig_enter_32(rig, 0);
    load_ds_faults(rig, SEL_DATA | 1, VECTOR_GP); /* RPL above DPL */
}

static void test_a_load_of_a_segment_that_is_not_present_faults(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x00cf13000000ffff);
    load_ds_faults(rig, SEL_FREE, VECTOR_NP);
    rig_code(rig, 0x8e, 0xd0); /* mov ss, eax */
    assert_faults(rig, VECTOR_SS, SEL_FREE);
}

static void load_ss_faults(SoftRig *rig, unsigned selector)
{
    rig->cpu->gpr[X86_RAX] = selector;
    rig_code(rig, 0x8e, 0xd0); /* mov ss, eax */
    assert_faults(rig, VECTOR_GP, selector & SELECTOR_MASK);
}

static void test_ss_must_be_writable_data_of_this_very_level(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    load_ss_faults(rig, 0);
    load_ss_faults(rig, SEL_CODE32);
    load_ss_faults(rig, SEL_DATA | 1);
    load_ss_faults(rig, SEL_USER_DATA);
    rig_gdt(rig, SEL_FREE, 0x00cf91000000ffff); /* read only */
    load_ss_faults(rig, SEL_FREE);
}

static void test_a_descriptor_that_is_not_mapped_is_a_page_fault(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    transfer_rig_page_32(rig);
    rig->cpu->gdt.base = RIG_HOLE;
    rig->cpu->gpr[X86_RAX] = SEL_DATA;
    rig_code(rig, 0x8e, 0xd8);
    assert_faults(rig, VECTOR_PF, 0);
    assert_int_equal(soft_cpu_exception(rig->cpu)->address, RIG_HOLE + SEL_DATA);
}

static void test_descriptors_are_read_with_supervisor_rights(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    transfer_rig_page_32(rig);
    rig_write(rig, RIG_PML4, 4, 0x83); /* the tables' pages are the supervisor's */
    soft_tlb_flush(rig->cpu);
    rig->cpu->rip = 0x400000;
    memcpy(rig->host + 0x400000, (const uint8_t[]){ 0x8e, 0xd8, UD2 }, 4);
    rig->cpu->gpr[X86_RAX] = SEL_USER_DATA | 3;
    run(rig);
}

static void test_ss_may_be_null_in_64_bit_code_below_level_3(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->gpr[X86_RAX] = 0;
    rig_code(rig, 0x8e, 0xd0, 0x50, UD2); /* mov ss, eax; push rax */
    run(rig);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 0);
    rig->cpu->rip = RIG_CODE;
    load_ss_faults(rig, 1);
    transfer_rig_enter_64(rig, 3);
    load_ss_faults(rig, 3);
    transfer_rig_enter_compatibility(rig, 0);
    load_ss_faults(rig, 0);
}

static void test_fs_from_a_descriptor_has_a_base_of_32_bits(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x8040920000000fff);
    rig->cpu->segment[X86_FS].base = 0xffff800000000000;
    rig->cpu->gpr[X86_RAX] = SEL_FREE;
    rig_code(rig, 0x8e, 0xe0, UD2); /* mov fs, eax */
    run(rig);
    assert_int_equal(rig->cpu->segment[X86_FS].base, 0x80000000);
}

static void test_cs_cannot_be_loaded_by_mov(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->gpr[X86_RAX] = SEL_CODE32;
    rig_code(rig, 0x8e, 0xc8);
    assert_faults(rig, VECTOR_UD, 0);
}

/* ---- moves, pushes, far pointers ---- */

static void test_a_store_of_a_selector_is_16_bits_wide_and_a_register_is_cleared_above(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_write(rig, RIG_DATA, 8, UINT64_MAX);
    rig->cpu->gpr[X86_RAX] = rig->cpu->gpr[X86_RCX] = UINT64_MAX;
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    /* mov eax, ds; mov cx, ds; mov [rbx], ds */
    rig_code(rig, 0x8c, 0xd8, 0x66, 0x8c, 0xd9, 0x8c, 0x1b, UD2);
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RAX], SEL_DATA);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 0xffffffffffff0000 | SEL_DATA);
    assert_int_equal(rig_read(rig, RIG_DATA, 8), 0xffffffffffff0000 | SEL_DATA);
}

static void test_push_and_pop_of_a_segment_move_the_stack_by_the_operand_size(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_code(rig, 0x1e, 0x66, 0x06, 0x66, 0x07, 0x0f, 0xa1, UD2); /* push ds; push es (16); pop es (16); pop fs */
    rig_write(rig, RIG_STACK - 8, 8, UINT64_MAX);
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK);
    assert_int_equal(rig_read(rig, RIG_STACK - 6, 2), SEL_DATA);
    assert_int_equal(rig_read(rig, RIG_STACK - 4, 2), SEL_DATA);
}

static void test_a_pop_of_a_bad_selector_leaves_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_write(rig, RIG_STACK, 4, SEL_TSS);
    rig_code(rig, 0x1f); /* pop ds */
    assert_faults(rig, VECTOR_GP, SEL_TSS);
}

static void test_les_loads_offset_and_segment_together_or_not_at_all(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_write(rig, RIG_DATA, 4, 0x11223344);
    rig_write(rig, RIG_DATA + 4, 2, SEL_DATA);
    rig->cpu->segment[X86_ES].selector = 0;
    rig_code(rig, 0xc4, 0x05, 0x00, 0x00, 0x20, 0x00, UD2); /* les eax, [RIG_DATA] */
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0x11223344);
    assert_int_equal(rig->cpu->segment[X86_ES].selector, SEL_DATA);
    rig_write(rig, RIG_DATA + 4, 2, SEL_TSS);
    rig->cpu->gpr[X86_RAX] = 0;
    rig->cpu->rip = RIG_CODE;
    assert_faults(rig, VECTOR_GP, SEL_TSS);
}

static void test_lgs_with_rex_w_loads_64_bits(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_write(rig, RIG_DATA, 8, 0x1122334455667788);
    rig_write(rig, RIG_DATA + 8, 2, SEL_DATA);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_code(rig, 0x48, 0x0f, 0xb5, 0x03, UD2); /* lgs rax, [rbx] */
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0x1122334455667788);
    assert_int_equal(rig->cpu->segment[X86_GS].selector, SEL_DATA);
}

/* ---- interrupt shadow ---- */

static void test_an_interrupt_waits_for_the_instruction_after_mov_ss(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->eflags |= EFLAGS_IF;
    rig->cpu->gpr[X86_RAX] = SEL_DATA;
    rig->next_vector = 0x40;
    rig_code(rig, 0x8e, 0xd0, 0x43, 0x43, 0x43); /* mov ss, eax; inc ebx; inc ebx; inc ebx */
    soft_cpu_trap(rig->cpu, false);
    soft_cpu_limit(rig->cpu, 1);
    soft_run(rig->cpu); /* MOV SS */
    soft_signal(rig->cpu, SOFT_INTERRUPT);
    soft_cpu_limit(rig->cpu, 0);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->gpr[X86_RBX], 1);
    assert_int_equal(rig->cpu->rip, RIG_HANDLERS + 0x40 * 16 + 1);
}

static void test_real_mode_makes_a_null_segment_usable(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    rig->cpu->segment[X86_DS] = (X86Segment){ 0, X86_SEG_UNUSABLE, 0, 0 };
    soft_update_mode(rig->cpu);
    rig->cpu->gpr[X86_RAX] = 0x1234;
    rig_code(rig, 0x8e, 0xd8, UD2); /* mov ds, ax */
    run(rig);
    assert_segment(rig, X86_DS, 0x1234, 0x93, 0xffff);
}

static void test_a_null_selector_clears_the_base_of_fs_or_not(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->vm->null_keeps_base = false;
    rig->cpu->segment[X86_FS].base = rig->cpu->segment[X86_GS].base = 0x123456789000;
    rig->cpu->gpr[X86_RAX] = 0;
    rig_code(rig, 0x8e, 0xe0, UD2); /* mov fs, eax */
    run(rig);
    assert_int_equal(rig->cpu->segment[X86_FS].base, 0);
    rig->cpu->vm->null_keeps_base = true;
    rig_code(rig, 0x8e, 0xe8, UD2); /* mov gs, eax */
    rig->cpu->rip = RIG_CODE;
    run(rig);
    assert_int_equal(rig->cpu->segment[X86_GS].base, 0x123456789000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_load_takes_base_limit_and_attributes_and_sets_accessed),
        TEST(test_a_null_selector_loads_and_may_not_be_used),
        TEST(test_a_load_beyond_the_table_faults),
        TEST(test_a_load_from_no_ldt_faults),
        TEST(test_a_load_from_the_ldt_uses_its_own_table),
        TEST(test_a_load_of_what_cannot_be_read_faults),
        TEST(test_a_load_checks_cpl_and_rpl_but_for_conforming_code),
        TEST(test_a_load_of_a_segment_that_is_not_present_faults),
        TEST(test_ss_must_be_writable_data_of_this_very_level),
        TEST(test_a_descriptor_that_is_not_mapped_is_a_page_fault),
        TEST(test_descriptors_are_read_with_supervisor_rights),
        TEST(test_ss_may_be_null_in_64_bit_code_below_level_3),
        TEST(test_fs_from_a_descriptor_has_a_base_of_32_bits),
        TEST(test_cs_cannot_be_loaded_by_mov),
        TEST(test_a_store_of_a_selector_is_16_bits_wide_and_a_register_is_cleared_above),
        TEST(test_push_and_pop_of_a_segment_move_the_stack_by_the_operand_size),
        TEST(test_a_pop_of_a_bad_selector_leaves_the_stack),
        TEST(test_les_loads_offset_and_segment_together_or_not_at_all),
        TEST(test_lgs_with_rex_w_loads_64_bits),
        TEST(test_an_interrupt_waits_for_the_instruction_after_mov_ss),
        TEST(test_real_mode_makes_a_null_segment_usable),
        TEST(test_a_null_selector_clears_the_base_of_fs_or_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
