/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String instructions where tests/soft cannot look: pages that alias, code and devices as
 * destinations, segment limits, 16-bit addresses, kicks and single steps between iterations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/cpu.h"

#define ALIAS (RIG_RAM + RIG_DATA % (UINT64_C(2) << 20)) /* shows the 2 MiB at RIG_DATA again, in 64-bit mode */

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

static void enter_64(SoftRig *rig, const void *code, unsigned n)
{
    const uint64_t entry = RIG_DATA | 0x87;

    soft_rig_enter_64(rig, 0);
    memcpy(rig->host + RIG_PML4 + 0x2000 + 8 * (ALIAS >> 21), &entry, sizeof(entry));
    soft_rig_code(rig, code, n);
    for (unsigned i = 0; i < 0x4000; i++) {
        rig->host[RIG_DATA + i] = (uint8_t)(i * 7 + (i >> 8));
    }
}

static void set_operands(SoftRig *rig, uint64_t from, uint64_t to, uint64_t count)
{
    rig->cpu->gpr[X86_RSI] = from;
    rig->cpu->gpr[X86_RDI] = to;
    rig->cpu->gpr[X86_RCX] = count;
}

static void assert_ends_in(SoftRig *rig, unsigned vector)
{
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, vector);
}

static void assert_operands(const SoftRig *rig, uint64_t from, uint64_t to, uint64_t count)
{
    assert_int_equal(rig->cpu->gpr[X86_RSI], from);
    assert_int_equal(rig->cpu->gpr[X86_RDI], to);
    assert_int_equal(rig->cpu->gpr[X86_RCX], count);
}

static const uint8_t rep_movsb[] = { 0xf3, 0xa4, 0x0f, 0x0b };

static void test_a_copy_one_byte_up_fills_with_the_first_byte(void **state)
{
    SoftRig *rig = *state;
    uint8_t expected[0x2001];

    enter_64(rig, rep_movsb, sizeof(rep_movsb));
    set_operands(rig, RIG_DATA + 10, RIG_DATA + 11, 0x2000);
    memset(expected, rig->host[RIG_DATA + 10], sizeof(expected));
    assert_ends_in(rig, VECTOR_UD);
    assert_memory_equal(rig->host + RIG_DATA + 10, expected, sizeof(expected));
    assert_operands(rig, RIG_DATA + 0x200a, RIG_DATA + 0x200b, 0);
}

static void test_two_views_of_a_page_overlap_as_their_memory_does(void **state)
{
    SoftRig *rig = *state;
    uint8_t expected[0x101];

    enter_64(rig, rep_movsb, sizeof(rep_movsb));
    set_operands(rig, RIG_DATA + 10, ALIAS + 11, 0x100);
    memset(expected, rig->host[RIG_DATA + 10], sizeof(expected));
    assert_ends_in(rig, VECTOR_UD);
    assert_memory_equal(rig->host + RIG_DATA + 10, expected, sizeof(expected));
}

static void test_a_copy_downwards_crosses_pages(void **state)
{
    static const uint8_t code[] = { 0xfd, 0xf3, 0xa5, 0xfc, 0x0f, 0x0b }; /* std; rep movsd; cld */
    SoftRig *rig = *state;
    uint8_t before[0x1800];

    enter_64(rig, code, sizeof(code));
    set_operands(rig, RIG_DATA + 0x17fe, RIG_DATA + 0x27fd, 0x600);
    memcpy(before, rig->host + RIG_DATA + 2, sizeof(before));
    assert_ends_in(rig, VECTOR_UD);
    assert_memory_equal(rig->host + RIG_DATA + 0x1001, before, sizeof(before));
    assert_operands(rig, RIG_DATA - 2, RIG_DATA + 0xffd, 0);
}

static void test_a_fault_leaves_the_registers_at_its_element(void **state)
{
    static const uint8_t code[] = { 0xf3, 0x48, 0xab }; /* rep stosq */
    SoftRig *rig = *state;

    enter_64(rig, code, sizeof(code));
    set_operands(rig, 0, RIG_RAM + 0x1ffffc - 0x2000, 0x1000); /* misaligned, to the end of the alias */
    assert_ends_in(rig, VECTOR_PF);
    assert_int_equal(soft_cpu_exception(rig->cpu)->address, RIG_RAM + 0x200000);
    assert_operands(rig, 0, RIG_RAM + 0x1ffffc, 0xc00);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
}

static void test_a_fault_leaves_the_flags_of_a_comparison(void **state)
{
    static const uint8_t code[] = { 0xf3, 0xa6 }; /* repe cmpsb */
    SoftRig *rig = *state;

    enter_64(rig, code, sizeof(code));
    set_operands(rig, RIG_RAM + 0x1ffff8, RIG_RAM + 0x1ffff8, 100);
    rig->cpu->cc = CC_CF | CC_OF;
    assert_ends_in(rig, VECTOR_PF);
    assert_int_equal(rig->cpu->cc, CC_CF | CC_OF);
    assert_operands(rig, RIG_RAM + 0x200000, RIG_RAM + 0x200000, 92);
}

static void test_a_search_stops_behind_what_it_finds(void **state)
{
    static const uint8_t code[] = { 0xf2, 0xae, 0x0f, 0x0b }; /* repne scasb */
    SoftRig *rig = *state;

    enter_64(rig, code, sizeof(code));
    memset(rig->host + RIG_DATA, 0, 0x3000);
    rig->host[RIG_DATA + 0x2345] = 'x';
    set_operands(rig, 0, RIG_DATA, UINT64_MAX);
    rig->cpu->gpr[X86_RAX] = 'x';
    assert_ends_in(rig, VECTOR_UD);
    assert_operands(rig, 0, RIG_DATA + 0x2346, UINT64_MAX - 0x2346);
    assert_true(rig->cpu->cc & CC_ZF);
}

static void test_no_iteration_changes_no_flag(void **state)
{
    static const uint8_t code[] = { 0xf2, 0xae, 0x0f, 0x0b };
    SoftRig *rig = *state;

    enter_64(rig, code, sizeof(code));
    set_operands(rig, 0, UINT64_MAX, 0);
    rig->cpu->cc = CC_CF | CC_OF;
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->cc, CC_CF | CC_OF);
}

static void test_code_that_is_overwritten_runs_as_written(void **state)
{
    static const uint8_t code[] = { 0xf3, 0xaa, 0x90, 0x90, 0x0f, 0x0b }; /* rep stosb; nop; nop; ud2 */
    SoftRig *rig = *state;

    enter_64(rig, code, sizeof(code));
    set_operands(rig, 0, RIG_CODE + 2, 3 * PAGE_SIZE);
    rig->cpu->gpr[X86_RAX] = 0xcc;
    assert_ends_in(rig, VECTOR_BP);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 3);
    assert_int_equal(rig->host[RIG_CODE + 1 + 3 * PAGE_SIZE], 0xcc);
}

static void test_16_bit_addresses_wrap_and_keep_the_rest_of_the_register(void **state)
{
    static const uint8_t code[] = { 0xf3, 0xaa, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->segment[X86_ES].base = rig->cpu->seg_base[X86_ES] = 0x30000;
    set_operands(rig, 0, 0xabcdfffe, 0x12340004);
    rig->cpu->gpr[X86_RAX] = 0x55;
    assert_ends_in(rig, VECTOR_UD);
    assert_operands(rig, 0, 0xabcd0002, 0x12340000);
    assert_int_equal(rig->host[0x3fffe] + rig->host[0x3ffff] + rig->host[0x30000] + rig->host[0x30001], 4 * 0x55);
    assert_int_equal(rig->host[0x40000], 0);
}

static void test_an_element_beyond_the_limit_is_a_protection_fault(void **state)
{
    static const uint8_t code[] = { 0xf3, 0xab };
    SoftRig *rig = *state;

    soft_rig_enter_32(rig);
    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->segment[X86_ES] = (X86Segment){ 0x20, 0x4093, 0x1002, RIG_DATA };
    soft_update_mode(rig->cpu);
    set_operands(rig, 0, 0, 0x1000);
    assert_ends_in(rig, VECTOR_GP);
    assert_operands(rig, 0, 0x1000, 0x1000 - 0x400);
}

static void test_the_source_is_in_the_segment_of_the_prefix(void **state)
{
    static const uint8_t code[] = { 0x65, 0xac, 0x0f, 0x0b }; /* lodsb gs: */
    SoftRig *rig = *state;

    enter_64(rig, code, sizeof(code));
    rig->cpu->segment[X86_GS].base = RIG_DATA;
    soft_update_mode(rig->cpu);
    set_operands(rig, 5, 0, 0);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RAX], rig->host[RIG_DATA + 5]);
    assert_operands(rig, 6, 0, 0);
}

/* ---- between iterations ---- */

typedef struct Kicker { SoftCpu *cpu; unsigned accesses, kick_at; } Kicker;

static void kicker_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Kicker *k = opaque;

    if (++k->accesses == k->kick_at) {
        soft_signal(k->cpu, SOFT_KICK);
    }
}

static void test_a_kick_is_taken_between_two_iterations(void **state)
{
    static const uint8_t code[] = { 0xf3, 0xaa, 0x0f, 0x0b };
    static const MemoryOps ops = { .write = kicker_write };
    SoftRig *rig = *state;
    Kicker kicker = { rig->cpu, 0, 3 };
    MemoryRegion region;

    soft_rig_enter_32(rig);
    soft_rig_code(rig, code, sizeof(code));
    memory_region_init_io(&region, "kicker", PAGE_SIZE, &ops, &kicker, NULL);
    memory_add(&rig->root, RIG_DEVICE, &region, 1);
    set_operands(rig, 0, RIG_DEVICE, 100);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_KICKED);
    assert_operands(rig, 0, RIG_DEVICE + 3, 97);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
    assert_true(rig->cpu->eflags & EFLAGS_RF);
    assert_int_equal(rig->cpu->instructions, 0);
    assert_ends_in(rig, VECTOR_UD);
    assert_operands(rig, 0, RIG_DEVICE + 100, 0);
    assert_false(rig->cpu->eflags & EFLAGS_RF);
    assert_int_equal(kicker.accesses, 100);
    memory_remove(&region);
    memory_region_finish(&region);
}

static void test_each_iteration_is_a_step(void **state)
{
    SoftRig *rig = *state;

    enter_64(rig, rep_movsb, sizeof(rep_movsb));
    set_operands(rig, RIG_DATA, RIG_DATA + 0x1000, 2);
    soft_set_rflags(rig->cpu, EFLAGS_TF);
    assert_ends_in(rig, VECTOR_DB);
    assert_operands(rig, RIG_DATA + 1, RIG_DATA + 0x1001, 1);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
    assert_true(rig->cpu->eflags & EFLAGS_RF);
    assert_ends_in(rig, VECTOR_DB);
    assert_operands(rig, RIG_DATA + 2, RIG_DATA + 0x1002, 0);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
    assert_false(rig->cpu->eflags & EFLAGS_RF);
}

/* SDM 2B REP: a comparison that is to go on has no flags yet. */
static void test_a_step_leaves_the_flags_of_a_comparison(void **state)
{
    static const uint8_t code[] = { 0xf2, 0xae, 0x0f, 0x0b }; /* repne scasb; ud2 */
    SoftRig *rig = *state;

    enter_64(rig, code, sizeof(code));
    memcpy(rig->host + RIG_DATA, "ab", 2);
    set_operands(rig, 0, RIG_DATA, 5);
    rig->cpu->gpr[X86_RAX] = 'b';
    soft_set_rflags(rig->cpu, EFLAGS_TF | EFLAGS_CF | EFLAGS_OF | EFLAGS_ZF);
    assert_ends_in(rig, VECTOR_DB);
    assert_operands(rig, 0, RIG_DATA + 1, 4);
    assert_int_equal(soft_get_rflags(rig->cpu) & 0x8d5, EFLAGS_CF | EFLAGS_OF | EFLAGS_ZF);
    assert_ends_in(rig, VECTOR_DB);
    assert_operands(rig, 0, RIG_DATA + 2, 3);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
    assert_int_equal(soft_get_rflags(rig->cpu) & 0x8d5, EFLAGS_ZF | EFLAGS_PF);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_copy_one_byte_up_fills_with_the_first_byte),
        T(test_two_views_of_a_page_overlap_as_their_memory_does),
        T(test_a_copy_downwards_crosses_pages),
        T(test_a_fault_leaves_the_registers_at_its_element),
        T(test_a_fault_leaves_the_flags_of_a_comparison),
        T(test_a_search_stops_behind_what_it_finds),
        T(test_no_iteration_changes_no_flag),
        T(test_code_that_is_overwritten_runs_as_written),
        T(test_16_bit_addresses_wrap_and_keep_the_rest_of_the_register),
        T(test_an_element_beyond_the_limit_is_a_protection_fault),
        T(test_the_source_is_in_the_segment_of_the_prefix),
        T(test_a_kick_is_taken_between_two_iterations),
        T(test_each_iteration_is_a_step),
        T(test_a_step_leaves_the_flags_of_a_comparison),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
