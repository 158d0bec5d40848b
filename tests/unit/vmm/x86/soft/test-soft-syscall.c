/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT, as each vendor has them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"
#include "vmm/x86/soft/vm.h"

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

/* ---- SYSCALL, SYSRET ---- */

static void set_syscall(SoftRig *rig)
{
    rig->cpu->star = (uint64_t)(SEL_USER_CODE32 | 3) << 48 | (uint64_t)SEL_CODE64 << 32;
    rig->cpu->lstar = TARGET;
    rig->cpu->fmask = EFLAGS_IF | EFLAGS_DF;
}

static void test_syscall_saves_rip_and_flags_and_loads_flat_segments(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    set_syscall(rig);
    soft_set_rflags(rig->cpu, 0x3602); /* DF, IF, IOPL */
    rig_code(rig, 0x0f, 0x05);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RCX], RIG_CODE + 2);
    assert_int_equal(rig->cpu->gpr[X86_R11], 0x3602);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x3002);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_DATA);
    assert_int_equal(rig->cpu->segment[X86_SS].attributes, 0xc093);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xa09b);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK);
}

static void test_sysret_returns_to_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    set_syscall(rig);
    rig->cpu->gpr[X86_RCX] = 0x7ff000;
    rig->cpu->gpr[X86_R11] = 0x13246;
    rig_code(rig, 0x48, 0x0f, 0x07);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE64 | 3, 0x7ff000, 3);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x3246);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_USER_DATA | 3);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xa0fb);
    assert_int_equal(rig->cpu->segment[X86_SS].attributes, 0xc0f3);
}

static void test_sysret_without_rex_w_returns_to_compatibility_mode(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    set_syscall(rig);
    rig->cpu->gpr[X86_RCX] = 0x1234567800000000 | TARGET;
    rig->cpu->gpr[X86_R11] = 0x202;
    rig_code(rig, 0x0f, 0x07);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xc0fb);
}

static void test_sysret_checks_level_and_rcx(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    set_syscall(rig);
    rig->cpu->gpr[X86_RCX] = 0x0000800000000000;
    rig_code(rig, 0x48, 0x0f, 0x07);
    assert_faults(rig, VECTOR_GP, 0);
    transfer_rig_enter_64(rig, 3);
    rig->cpu->gpr[X86_RCX] = TARGET;
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_syscall_wants_sce_and_on_intel_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    set_syscall(rig);
    rig->cpu->efer &= ~EFER_SCE;
    rig_code(rig, 0x0f, 0x05);
    assert_faults(rig, VECTOR_UD, 0);
    transfer_rig_enter_compatibility(rig, 3);
    assert_faults(rig, VECTOR_UD, 0);
}

static void test_on_amd_syscall_from_compatibility_mode_goes_to_cstar(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    set_syscall(rig);
    rig->cpu->cstar = 0x8130;
    rig->cpu->vm->intel = false;
    rig_code(rig, 0x0f, 0x05);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, 0x8130, 0);
}

static void test_sysret_to_a_program_that_steps_traps_at_once(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    set_syscall(rig);
    rig->cpu->gpr[X86_RCX] = TARGET;
    rig->cpu->gpr[X86_R11] = EFLAGS_FIXED | EFLAGS_TF;
    rig_code(rig, 0x48, 0x0f, 0x07);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_DB);
    assert_at(rig, SEL_USER_CODE64 | 3, TARGET, 3);
}

static void test_syscall_that_masks_tf_does_not_trap(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    set_syscall(rig);
    rig->cpu->fmask = EFLAGS_TF;
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_TF);
    rig_code(rig, 0x0f, 0x05);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED); /* at TARGET */
    assert_int_equal(rig->cpu->gpr[X86_R11], EFLAGS_FIXED | EFLAGS_TF);
}

static void test_on_amd_syscall_and_sysret_exist_outside_of_long_mode(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->vm->intel = false;
    rig->cpu->efer = EFER_SCE;
    rig->cpu->star = (uint64_t)(SEL_USER_CODE32 | 3) << 48 | (uint64_t)SEL_CODE32 << 32 | RIG_CODE;
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_IF);
    rig->cpu->rip = RIG_CODE + 0x10;
    rig_code(rig, 0x0f, 0x07, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0x05); /* sysret ... syscall */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, RIG_CODE, 0);
    assert_int_equal(rig->cpu->gpr[X86_RCX], RIG_CODE + 0x12);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xc09b);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, RIG_CODE + 0x12, 3);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_IF);
}

/* ---- SYSENTER, SYSEXIT ---- */

static void test_sysenter_goes_to_its_msrs(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->sysenter_cs = SEL_CODE32;
    rig->cpu->sysenter_eip = TARGET;
    rig->cpu->sysenter_esp = RIG_STACK0;
    soft_set_rflags(rig->cpu, 0x3202);
    rig_code(rig, 0x0f, 0x34);
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x3002);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xc09b);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_USER_CODE32);
}

static void test_sysenter_in_long_mode_enters_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    rig->cpu->sysenter_cs = SEL_CODE64;
    rig->cpu->sysenter_eip = 0xffff800000001000;
    rig->cpu->sysenter_esp = 0xffff800000002000;
    rig_code(rig, 0x0f, 0x34);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, 0xffff800000001000, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0xffff800000002000);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xa09b);
}

static void test_sysenter_wants_a_selector_and_protected_mode(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->sysenter_cs = 3;
    rig_code(rig, 0x0f, 0x34);
    assert_faults(rig, VECTOR_GP, 0);
    soft_rig_enter_16(rig);
    rig->cpu->sysenter_cs = SEL_CODE32;
    rig_code(rig, 0x0f, 0x34);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_sysexit_returns_to_level_3(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->sysenter_cs = 0x100;
    rig->cpu->gpr[X86_RDX] = TARGET;
    rig->cpu->gpr[X86_RCX] = RIG_DATA;
    rig_code(rig, 0x0f, 0x35);
    rig_step(rig);
    assert_at(rig, 0x113, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 0x11b);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xc0fb);
}

static void test_sysexit_of_64_bits_checks_its_registers(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->sysenter_cs = 0x100;
    rig->cpu->gpr[X86_RDX] = TARGET;
    rig->cpu->gpr[X86_RCX] = 0x0000800000000000;
    rig_code(rig, 0x48, 0x0f, 0x35);
    assert_faults(rig, VECTOR_GP, 0);
    rig->cpu->gpr[X86_RCX] = 0x7fffffffffff;
    rig_step(rig);
    assert_at(rig, 0x123, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 0x12b);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xa0fb);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x7fffffffffff);
}

static void test_sysexit_is_for_level_0(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->sysenter_cs = 0x100;
    rig_code(rig, 0x0f, 0x35);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_on_amd_long_mode_has_no_sysexit_but_checks_the_level_first(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    rig->cpu->vm->intel = false;
    rig->cpu->sysenter_cs = 0x100;
    rig_code(rig, 0x48, 0x0f, 0x35);
    assert_faults(rig, VECTOR_GP, 0);
    rig->cpu->cpl = 0;
    soft_update_mode(rig->cpu);
    assert_faults(rig, VECTOR_UD, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_syscall_saves_rip_and_flags_and_loads_flat_segments),
        TEST(test_sysret_returns_to_64_bit_code),
        TEST(test_sysret_without_rex_w_returns_to_compatibility_mode),
        TEST(test_sysret_checks_level_and_rcx),
        TEST(test_syscall_wants_sce_and_on_intel_64_bit_code),
        TEST(test_on_amd_syscall_from_compatibility_mode_goes_to_cstar),
        TEST(test_sysret_to_a_program_that_steps_traps_at_once),
        TEST(test_syscall_that_masks_tf_does_not_trap),
        TEST(test_on_amd_syscall_and_sysret_exist_outside_of_long_mode),
        TEST(test_sysenter_goes_to_its_msrs),
        TEST(test_sysenter_in_long_mode_enters_64_bit_code),
        TEST(test_sysenter_wants_a_selector_and_protected_mode),
        TEST(test_sysexit_returns_to_level_3),
        TEST(test_sysexit_of_64_bits_checks_its_registers),
        TEST(test_sysexit_is_for_level_0),
        TEST(test_on_amd_long_mode_has_no_sysexit_but_checks_the_level_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
