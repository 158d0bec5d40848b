/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What offset and type of access a segment allows.
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

static void put_ds(SoftRig *rig, uint64_t descriptor)
{
    rig_gdt(rig, SEL_FREE, descriptor);
    rig->cpu->gpr[X86_RCX] = SEL_FREE;
}

static void test_the_last_byte_of_a_segment_can_be_read_and_none_beyond(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    put_ds(rig, 0x0040932000000fff); /* base 0x200000, limit 0xfff */
    rig_write(rig, RIG_DATA + 0xffc, 4, 0x12345678);
    rig->cpu->gpr[X86_RBX] = 0xffc;
    rig_code(rig, 0x8e, 0xd9, 0x8b, 0x03, 0x43, 0x8b, 0x13); /* mov ds, ecx; mov eax, [ebx]; inc ebx; mov edx, [ebx] */
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_GP);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0x12345678);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 5);
}

static void test_an_expand_down_segment_begins_beyond_its_limit(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    put_ds(rig, 0x0040960000000fff); /* expand down, big: 0x1000 to 4 GiB */
    rig->cpu->gpr[X86_RBX] = 0x1000;
    rig_code(rig, 0x8e, 0xd9, 0x8b, 0x03, 0x4b, 0x8b, 0x03); /* ...; dec ebx; mov eax, [ebx] */
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_GP);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 5);
}

static void test_a_small_expand_down_segment_ends_at_64_kib(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    put_ds(rig, 0x0000960000000fff);
    rig->cpu->gpr[X86_RBX] = 0xfffc;
    rig_code(rig, 0x8e, 0xd9, 0x8b, 0x03, 0x43, 0x8b, 0x03); /* ...; inc ebx; ... */
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_GP);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 5);
}

static void test_a_read_only_segment_cannot_be_written(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    put_ds(rig, 0x00cf91000000ffff);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_code(rig, 0x8e, 0xd9, 0x8b, 0x03, 0x89, 0x03); /* ...; mov [ebx], eax */
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_GP);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 4);
}

static void test_a_push_beyond_the_stack_segment_is_a_stack_fault(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->segment[X86_SS].limit = 0xfff;
    rig->cpu->gpr[X86_RSP] = 0x1003;
    soft_update_mode(rig->cpu);
    rig_code(rig, 0x50); /* push eax */
    assert_faults(rig, VECTOR_SS, 0);
    rig_code(rig, 0x1e); /* push ds */
    assert_faults(rig, VECTOR_SS, 0);
}

static void test_a_word_at_the_end_of_a_real_mode_segment_faults(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    rig_code(rig, 0xa1, 0xff, 0xff); /* mov ax, [0xffff] */
    assert_faults(rig, VECTOR_GP, 0);
    rig->cpu->gpr[X86_RBP] = 0xffff;
    rig_code(rig, 0x8b, 0x46, 0x00); /* mov ax, [bp] */
    assert_faults(rig, VECTOR_SS, 0);
}

static void test_real_mode_keeps_the_limit_of_protected_mode(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    rig->cpu->segment[X86_DS].limit = UINT32_MAX;
    soft_update_mode(rig->cpu);
    rig_write(rig, 0x212340, 2, 0xbeef);
    rig->cpu->gpr[X86_RAX] = 0x1234;
    rig->cpu->gpr[X86_RBX] = 0x200000;
    rig_code(rig, 0x8e, 0xd8, 0x67, 0x8b, 0x03, UD2); /* mov ds, ax; mov ax, [ebx] */
    run(rig);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0xbeef);
    assert_int_equal(rig->cpu->segment[X86_DS].base, 0x12340);
}

static void test_a_stack_that_is_not_canonical_is_a_stack_fault(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->gpr[X86_RSP] = 0x0000900000000000;
    rig_code(rig, 0x0f, 0xa0); /* push fs */
    assert_faults(rig, VECTOR_SS, 0);
    rig_code(rig, 0x0f, 0xa1); /* pop fs */
    assert_faults(rig, VECTOR_SS, 0);
}

static void test_a_near_jump_beyond_the_limit_faults_before_it(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->segment[X86_CS].limit = RIG_CODE + 0x10;
    soft_update_mode(rig->cpu);
    rig_code(rig, 0xeb, 0x0f); /* jmp .+0x11 */
    assert_faults(rig, VECTOR_GP, 0);
    rig_code(rig, 0xeb, 0x0e);
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 0x10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_last_byte_of_a_segment_can_be_read_and_none_beyond),
        TEST(test_an_expand_down_segment_begins_beyond_its_limit),
        TEST(test_a_small_expand_down_segment_ends_at_64_kib),
        TEST(test_a_read_only_segment_cannot_be_written),
        TEST(test_a_push_beyond_the_stack_segment_is_a_stack_fault),
        TEST(test_a_word_at_the_end_of_a_real_mode_segment_faults),
        TEST(test_real_mode_keeps_the_limit_of_protected_mode),
        TEST(test_a_stack_that_is_not_canonical_is_a_stack_fault),
        TEST(test_a_near_jump_beyond_the_limit_faults_before_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
