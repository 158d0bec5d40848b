/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual-8086 mode: in by IRET, out by exceptions and interrupts, and what IOPL and
 * CR4.VME make of INT n and IRET inside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define INT_40 0xcd, 0x40
#define UD2    0x0f, 0x0b
#define STACK  (0x60020 + 0x1000) /* linear SS:SP at the start */

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
    return rig_read(rig, rig->cpu->gpr[X86_RSP] + i * 4, 4);
}

/* The program's own vector 0x40, at 0x2000:0x10, and whether INT 0x40 goes there. */
static void enable_vme(SoftRig *rig, bool redirect)
{
    rig->cpu->cr4 |= CR4_VME;
    rig->cpu->tr.limit = 0x1ff;
    rig_write(rig, RIG_TSS + 102, 2, 0x100);
    rig_write(rig, RIG_TSS + 0x100 - 32 + 0x40 / 8, 1, redirect ? 0 : 1);
    rig_write(rig, 0x40 * 4, 4, 0x20000010);
    soft_update_mode(rig->cpu);
}

static void test_iret_enters_virtual_8086_mode(void **state)
{
    SoftRig *rig = *state;
    static const uint32_t frame[] = {
        0x1234, 0x2000, EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IF | EFLAGS_IOPL, 0x5678, 0x3000, 0x4000, 0x4100, 0x4200,
        0x4300,
    };

    transfer_rig_enter_32(rig, 0);
    memcpy(rig->host + RIG_STACK, frame, sizeof(frame));
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_true(rig->cpu->mode & MODE_VM86);
    assert_int_equal(rig->cpu->cpl, 3);
    assert_int_equal(rig->cpu->rip, 0x1234);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x5678);
    assert_int_equal(rig->cpu->segment[X86_CS].base, 0x20000);
    assert_int_equal(rig->cpu->segment[X86_SS].base, 0x30000);
    assert_int_equal(rig->cpu->segment[X86_ES].base, 0x40000);
    assert_int_equal(rig->cpu->segment[X86_DS].base, 0x41000);
    assert_int_equal(rig->cpu->segment[X86_FS].base, 0x42000);
    assert_int_equal(rig->cpu->segment[X86_GS].base, 0x43000);
    assert_int_equal(rig->cpu->segment[X86_GS].limit, 0xffff);
    assert_int_equal(rig->cpu->segment[X86_GS].attributes, 0xf3);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IF | EFLAGS_IOPL);
}

static void test_iret_to_virtual_8086_mode_checks_eip(void **state)
{
    SoftRig *rig = *state;
    static const uint32_t frame[] = { 0x10000, 0x2000, EFLAGS_FIXED | EFLAGS_VM, 0, 0, 0, 0, 0, 0 };

    transfer_rig_enter_32(rig, 0);
    memcpy(rig->host + RIG_STACK, frame, sizeof(frame));
    rig_code(rig, 0xcf);
    assert_faults(rig, VECTOR_GP, 0);
    rig_write(rig, RIG_STACK, 4, 0xffff);
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, 0xffff);
}

static void test_only_level_0_enters_it(void **state)
{
    SoftRig *rig = *state;
    static const uint32_t frame[] = { 0x8000, SEL_USER_CODE32 | 3, EFLAGS_FIXED | EFLAGS_VM };

    transfer_rig_enter_32(rig, 3);
    memcpy(rig->host + RIG_STACK, frame, sizeof(frame));
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, 0x8000);
    assert_false(rig->cpu->eflags & EFLAGS_VM);
}

static void test_an_exception_leaves_with_all_segments_on_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 0);
    rig_code(rig, UD2);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_UD);
    assert_int_equal(rig->cpu->cpl, 0);
    assert_false(rig->cpu->eflags & EFLAGS_VM);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 36);
    assert_int_equal(word(rig, 0), 0);
    assert_int_equal(word(rig, 1), 0x1000);
    assert_int_equal(word(rig, 2), EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IF | EFLAGS_RF);
    assert_int_equal(word(rig, 3), 0x1000);
    assert_int_equal(word(rig, 4), 0x6000 + X86_SS);
    assert_int_equal(word(rig, 5), 0x6000 + X86_ES);
    assert_int_equal(word(rig, 6), 0x6000 + X86_DS);
    assert_int_equal(word(rig, 7), 0x6000 + X86_FS);
    assert_int_equal(word(rig, 8), 0x6000 + X86_GS);
    assert_segment(rig, X86_ES, 0, X86_SEG_UNUSABLE, 0);
    assert_segment(rig, X86_DS, 0, X86_SEG_UNUSABLE, 0);
    assert_segment(rig, X86_FS, 0, X86_SEG_UNUSABLE, 0);
    assert_segment(rig, X86_GS, 0, X86_SEG_UNUSABLE, 0);
    assert_segment(rig, X86_SS, SEL_DATA, 0xc093, UINT32_MAX);
}

static void test_the_handler_must_be_of_level_0(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 3);
    rig_idt32(rig, 0x40, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_CODE32_1, RIG_HANDLERS));
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(word(rig, 0), SEL_CODE32_1);
    transfer_rig_enter_v86(rig, 3);
    rig_idt32(rig, 0x40, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_CONFORMING, RIG_HANDLERS));
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(word(rig, 0), SEL_CONFORMING);
}

static void test_int_wants_iopl_3_and_int3_does_not(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 2);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(word(rig, 0), 0);
    transfer_rig_enter_v86(rig, 2);
    rig_idt32(rig, VECTOR_BP, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_CODE32, RIG_HANDLERS + 0x30));
    rig_code(rig, 0xcc);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_BP);
    assert_int_equal(word(rig, 0), 1);
}

static void test_int_with_iopl_3_goes_through_the_idt(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 3);
    rig_idt32(rig, 0x40, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_CODE32, RIG_HANDLERS + 0x400));
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), 0x40);
    assert_int_equal(word(rig, 0), 2);
    assert_int_equal(word(rig, 2), EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IF | EFLAGS_IOPL);
}

static void test_with_vme_a_clear_bit_redirects_int_to_the_program(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 3);
    enable_vme(rig, true);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig->cpu->segment[X86_CS].selector, 0x2000);
    assert_int_equal(rig->cpu->rip, 0x10);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x1000 - 6);
    assert_int_equal(rig_read(rig, STACK - 6, 2), 2);
    assert_int_equal(rig_read(rig, STACK - 4, 2), 0x1000);
    assert_int_equal(rig_read(rig, STACK - 2, 2), EFLAGS_FIXED | EFLAGS_IF | EFLAGS_IOPL);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IOPL);
}

static void test_with_vme_below_iopl_3_vif_takes_the_place_of_if(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 0);
    enable_vme(rig, true);
    rig->cpu->eflags |= EFLAGS_VIF;
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, 0x10);
    assert_int_equal(rig_read(rig, STACK - 2, 2), EFLAGS_FIXED | EFLAGS_IF | EFLAGS_IOPL);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IF);
}

static void test_with_vme_a_set_bit_does_as_without(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 0);
    enable_vme(rig, false);
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    transfer_rig_enter_v86(rig, 3);
    enable_vme(rig, false);
    rig_idt32(rig, 0x40, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_CODE32, RIG_HANDLERS + 0x400));
    rig_step(rig);
    assert_int_equal(rig_handler(rig), 0x40);
}

static void test_a_redirection_map_beyond_the_tss_faults(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 3);
    enable_vme(rig, true);
    rig->cpu->tr.limit = 0x67;
    rig_code(rig, INT_40);
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_GP);
    assert_int_equal(word(rig, 0), 0);
}

static void put_iret_frame(SoftRig *rig, uint16_t flags)
{
    rig_write(rig, STACK, 2, 0x20);
    rig_write(rig, STACK + 2, 2, 0x2000);
    rig_write(rig, STACK + 4, 2, flags);
    rig_code(rig, 0xcf);
}

static void test_iret_with_iopl_3_keeps_iopl(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 3);
    put_iret_frame(rig, EFLAGS_FIXED | EFLAGS_CF);
    rig_step(rig);
    assert_int_equal(rig->cpu->segment[X86_CS].selector, 0x2000);
    assert_int_equal(rig->cpu->rip, 0x20);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x1006);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_CF | EFLAGS_VM | EFLAGS_IOPL);
}

static void test_iret_of_32_bits_keeps_vm_iopl_vif_and_vip(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 3);
    rig->cpu->eflags |= EFLAGS_VIF | EFLAGS_VIP;
    rig_write(rig, STACK, 4, 0x20);
    rig_write(rig, STACK + 4, 4, 0x2000);
    rig_write(rig, STACK + 8, 4, EFLAGS_FIXED | EFLAGS_ID);
    rig_code(rig, 0x66, 0xcf);
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, 0x20);
    assert_int_equal(soft_get_rflags(rig->cpu),
                     EFLAGS_FIXED | EFLAGS_ID | EFLAGS_VM | EFLAGS_IOPL | EFLAGS_VIF | EFLAGS_VIP);
}

static void test_iret_checks_the_offset(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 3);
    rig_write(rig, STACK, 4, 0x10000);
    rig_code(rig, 0x66, 0xcf);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_iret_below_iopl_3_faults(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 2);
    put_iret_frame(rig, EFLAGS_FIXED);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_iret_with_vme_moves_if_to_vif(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 0);
    enable_vme(rig, true);
    put_iret_frame(rig, EFLAGS_FIXED | EFLAGS_IF);
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, 0x20);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IF | EFLAGS_VIF);
    rig->cpu->gpr[X86_RSP] = 0x1000;
    put_iret_frame(rig, EFLAGS_FIXED);
    rig_write(rig, 0x20020, 1, 0xcf); /* where it is now */
    rig_step(rig);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_VM | EFLAGS_IF);
}

static void test_iret_with_vme_faults_when_an_interrupt_waits_or_to_single_step(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 0);
    enable_vme(rig, true);
    put_iret_frame(rig, EFLAGS_FIXED | EFLAGS_TF);
    assert_faults(rig, VECTOR_GP, 0);
    rig->cpu->eflags |= EFLAGS_VIP;
    put_iret_frame(rig, EFLAGS_FIXED | EFLAGS_IF);
    assert_faults(rig, VECTOR_GP, 0);
    rig_code(rig, 0x66, 0xcf); /* 32 bits: no VME */
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_segment_loads_are_paragraphs(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 0);
    rig->cpu->gpr[X86_RAX] = 0x4321;
    rig_code(rig, 0x8e, 0xd8); /* mov ds, ax */
    rig_step(rig);
    assert_int_equal(rig->cpu->segment[X86_DS].base, 0x43210);
    assert_int_equal(rig->cpu->segment[X86_DS].limit, 0xffff);
    assert_int_equal(rig->cpu->segment[X86_DS].attributes, 0xf3);
}

static void test_a_far_call_stays_inside(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_v86(rig, 0);
    rig_code(rig, 0x9a, 0x10, 0x00, 0x00, 0x20); /* call 0x2000:0x10 */
    rig_step(rig);
    assert_int_equal(rig->cpu->segment[X86_CS].base, 0x20000);
    assert_int_equal(rig->cpu->rip, 0x10);
    assert_int_equal(rig_read(rig, STACK - 4, 4), 0x10000005);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_iret_enters_virtual_8086_mode),
        TEST(test_iret_to_virtual_8086_mode_checks_eip),
        TEST(test_only_level_0_enters_it),
        TEST(test_an_exception_leaves_with_all_segments_on_the_stack),
        TEST(test_the_handler_must_be_of_level_0),
        TEST(test_int_wants_iopl_3_and_int3_does_not),
        TEST(test_int_with_iopl_3_goes_through_the_idt),
        TEST(test_with_vme_a_clear_bit_redirects_int_to_the_program),
        TEST(test_with_vme_below_iopl_3_vif_takes_the_place_of_if),
        TEST(test_with_vme_a_set_bit_does_as_without),
        TEST(test_a_redirection_map_beyond_the_tss_faults),
        TEST(test_iret_with_iopl_3_keeps_iopl),
        TEST(test_iret_of_32_bits_keeps_vm_iopl_vif_and_vip),
        TEST(test_iret_checks_the_offset),
        TEST(test_iret_below_iopl_3_faults),
        TEST(test_iret_with_vme_moves_if_to_vif),
        TEST(test_iret_with_vme_faults_when_an_interrupt_waits_or_to_single_step),
        TEST(test_segment_loads_are_paragraphs),
        TEST(test_a_far_call_stays_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
