/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PUSHF, POPF, CLI, STI, CLAC and STAC by privilege level and mode, and what follows from
 * the flags they set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/cpu.h"

static void assert_ends_in(SoftRig *rig, unsigned vector)
{
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, vector);
}

static void push(SoftRig *rig, uint64_t value, unsigned size)
{
    rig->cpu->gpr[X86_RSP] -= size;
    memcpy(rig->host + rig->cpu->gpr[X86_RSP], &value, size);
}

static uint64_t top(const SoftRig *rig, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, rig->host + rig->cpu->gpr[X86_RSP], size);
    return value;
}

/* Virtual-8086 mode at 0x1000:0 with the stack at 0:0x8000. */
static void enter_v86(SoftRig *rig, uint64_t cr4, uint32_t flags)
{
    soft_rig_enter_16(rig);
    rig->cpu->cr0 |= CR0_PE;
    rig->cpu->cr4 = cr4;
    rig->cpu->cpl = 3;
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        rig->cpu->segment[s].attributes = 0xf3;
    }
    soft_set_rflags(rig->cpu, EFLAGS_VM | flags);
}

#define ALL 0x3f7fd7u /* every flag but VM and the reserved ones, as POPF may be given them */

static void test_popf_at_cpl_0_changes_all_but_vm_and_the_virtual_ones(void **state)
{
    static const uint8_t code[] = { 0x9d, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    push(rig, ALL & ~(uint64_t)EFLAGS_TF, 8);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(soft_get_rflags(rig->cpu),
                     ALL & ~(uint64_t)(EFLAGS_TF | EFLAGS_RF | EFLAGS_VIF | EFLAGS_VIP | EFLAGS_VM));
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK);
}

static void test_popf_at_cpl_3_keeps_if_and_iopl(void **state)
{
    static const uint8_t code[] = { 0x9d, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 3);
    soft_rig_code(rig, code, sizeof(code));
    push(rig, EFLAGS_IF | EFLAGS_IOPL | EFLAGS_CF | EFLAGS_ID, 8);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_CF | EFLAGS_ID);
}

static void test_popf_within_the_io_privilege_level_changes_if(void **state)
{
    static const uint8_t code[] = { 0x66, 0x9d, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 3);
    soft_rig_code(rig, code, sizeof(code));
    soft_set_rflags(rig->cpu, EFLAGS_IOPL | EFLAGS_ID);
    push(rig, EFLAGS_IF, 2);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_IF | EFLAGS_IOPL | EFLAGS_ID);
}

static void test_pushf_shows_neither_rf_nor_vm(void **state)
{
    static const uint8_t code[] = { 0x90, 0x9c, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    soft_set_rflags(rig->cpu, EFLAGS_RF | EFLAGS_OF | EFLAGS_SF | EFLAGS_AC);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(top(rig, 8), EFLAGS_FIXED | EFLAGS_OF | EFLAGS_SF | EFLAGS_AC);
}

static void test_tf_traps_after_the_instruction_behind_popf(void **state)
{
    static const uint8_t code[] = { 0x9d, 0x90, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    push(rig, EFLAGS_TF, 8);
    assert_ends_in(rig, VECTOR_DB);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
}

static void test_popf_that_clears_tf_traps_itself(void **state)
{
    static const uint8_t code[] = { 0x9d, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    push(rig, 0, 8);
    soft_set_rflags(rig->cpu, EFLAGS_TF);
    assert_ends_in(rig, VECTOR_DB);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 1);
    assert_false(rig->cpu->eflags & EFLAGS_TF);
}

static void test_cli_beyond_the_io_privilege_level_is_a_protection_fault(void **state)
{
    static const uint8_t code[] = { 0xfa };
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 3);
    soft_rig_code(rig, code, sizeof(code));
    assert_ends_in(rig, VECTOR_GP);
}

static void test_pvi_gives_cpl_3_a_virtual_if(void **state)
{
    static const uint8_t code[] = { 0xfb, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 3);
    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->cr4 |= CR4_PVI;
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->eflags, EFLAGS_FIXED | EFLAGS_VIF);
}

static void test_sti_with_a_virtual_interrupt_pending_is_a_protection_fault(void **state)
{
    static const uint8_t code[] = { 0xfb };
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 3);
    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->cr4 |= CR4_PVI;
    soft_set_rflags(rig->cpu, EFLAGS_VIP);
    assert_ends_in(rig, VECTOR_GP);
}

static void test_v86_without_vme_faults_on_pushf(void **state)
{
    static const uint8_t code[] = { 0x9c };
    SoftRig *rig = *state;

    enter_v86(rig, 0, 0);
    memcpy(rig->host + 0x10000, code, sizeof(code));
    assert_ends_in(rig, VECTOR_GP);
}

static void test_vme_pushes_the_virtual_if_and_iopl_3(void **state)
{
    static const uint8_t code[] = { 0x9c, 0x0f, 0x0b };
    SoftRig *rig = *state;

    enter_v86(rig, CR4_VME, EFLAGS_VIF);
    memcpy(rig->host + 0x10000, code, sizeof(code));
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(top(rig, 2), EFLAGS_FIXED | EFLAGS_IF | EFLAGS_IOPL);
}

static void test_vme_pops_if_into_the_virtual_one(void **state)
{
    static const uint8_t code[] = { 0x9d, 0x0f, 0x0b };
    SoftRig *rig = *state;

    enter_v86(rig, CR4_VME, 0);
    memcpy(rig->host + 0x10000, code, sizeof(code));
    push(rig, EFLAGS_IF | EFLAGS_NT | EFLAGS_IOPL | EFLAGS_ZF, 2);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_VM | EFLAGS_VIF | EFLAGS_NT | EFLAGS_ZF);
}

static void test_popfd_in_v86_below_iopl_3_faults_even_with_vme(void **state)
{
    static const uint8_t code[] = { 0x66, 0x9d };
    SoftRig *rig = *state;

    enter_v86(rig, CR4_VME, 0);
    memcpy(rig->host + 0x10000, code, sizeof(code));
    assert_ends_in(rig, VECTOR_GP);
}

/* ---- interrupts ---- */

/* Takes vector 0x20 through a gate to RIG_CODE + 0x100, where there is UD2. */
static void accept_interrupts(SoftRig *rig)
{
    static const uint8_t ud2[] = { 0x0f, 0x0b };
    const uint64_t gate[2] = { (uint64_t)(RIG_CODE & 0xffff0000) << 32 | 0x8e0000080100, 0 };

    memcpy(rig->host + RIG_CODE + 0x100, ud2, sizeof(ud2));
    memcpy(rig->host + RIG_DATA + 0x20 * 16, gate, sizeof(gate));
    rig->cpu->idt = (X86Table){ RIG_DATA, 0xfff };
    rig->next_vector = 0x20;
}

static void test_an_interrupt_comes_one_instruction_after_sti(void **state)
{
    static const uint8_t code[] = { 0xfb, 0xff, 0xc0, 0xff, 0xc0, 0xff, 0xc0 }; /* sti; inc eax ... */
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    accept_interrupts(rig);
    soft_signal(rig->cpu, SOFT_INTERRUPT);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 0x100);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 1);
    assert_int_equal(top(rig, 8), RIG_CODE + 3);
}

static void test_an_interrupt_comes_right_after_popf(void **state)
{
    static const uint8_t code[] = { 0x9d, 0xff, 0xc0, 0xff, 0xc0 };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    accept_interrupts(rig);
    soft_signal(rig->cpu, SOFT_INTERRUPT);
    push(rig, EFLAGS_IF, 8);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0);
    assert_int_equal(top(rig, 8), RIG_CODE + 1);
}

static void test_sti_and_hlt_sleep_and_wake(void **state)
{
    static const uint8_t code[] = { 0xfb, 0xf4, 0xff, 0xc0 }; /* sti; hlt; inc eax */
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    accept_interrupts(rig);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);
    soft_signal(rig->cpu, SOFT_INTERRUPT);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(top(rig, 8), RIG_CODE + 2);
}

/* ---- SMAP ---- */

static void test_stac_opens_user_pages_and_clac_closes_them(void **state)
{
    /* stac; mov rax, [RIG_DATA]; clac; mov rax, [RIG_DATA] */
    static const uint8_t code[] = { 0x0f, 0x01, 0xcb, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0x20, 0,
                                    0x0f, 0x01, 0xca, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0x20, 0 };
    const uint64_t code_page = RIG_CODE / (2 << 20) << 21 | 0x83;
    SoftRig *rig = *state;

    memcpy(rig->host + RIG_PML4 + 0x2000, &code_page, sizeof(code_page)); /* the code's is a supervisor's */
    rig->cpu->cr4 |= CR4_SMAP;
    soft_tlb_flush(rig->cpu);
    soft_update_mode(rig->cpu);
    soft_rig_code(rig, code, sizeof(code));
    rig->host[RIG_DATA] = 0x77;
    assert_ends_in(rig, VECTOR_PF);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0x77);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 14);
}

static void test_clac_is_undefined_for_users(void **state)
{
    static const uint8_t code[] = { 0x0f, 0x01, 0xca };
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 3);
    soft_rig_code(rig, code, sizeof(code));
    assert_ends_in(rig, VECTOR_UD);
}

#define T(name) cmocka_unit_test_setup_teardown(name, soft_rig_setup_64, soft_rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_popf_at_cpl_0_changes_all_but_vm_and_the_virtual_ones),
        T(test_popf_at_cpl_3_keeps_if_and_iopl),
        T(test_popf_within_the_io_privilege_level_changes_if),
        T(test_pushf_shows_neither_rf_nor_vm),
        T(test_tf_traps_after_the_instruction_behind_popf),
        T(test_popf_that_clears_tf_traps_itself),
        T(test_cli_beyond_the_io_privilege_level_is_a_protection_fault),
        T(test_pvi_gives_cpl_3_a_virtual_if),
        T(test_sti_with_a_virtual_interrupt_pending_is_a_protection_fault),
        T(test_v86_without_vme_faults_on_pushf),
        T(test_vme_pushes_the_virtual_if_and_iopl_3),
        T(test_vme_pops_if_into_the_virtual_one),
        T(test_popfd_in_v86_below_iopl_3_faults_even_with_vme),
        T(test_an_interrupt_comes_one_instruction_after_sti),
        T(test_an_interrupt_comes_right_after_popf),
        T(test_sti_and_hlt_sleep_and_wake),
        T(test_stac_opens_user_pages_and_clac_closes_them),
        T(test_clac_is_undefined_for_users),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
