/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port instructions: sizes, permission, order of memory and port, breakpoints.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/cpu.h"

#define TSS (RIG_DATA + 0x10000)

static void assert_ends_in(SoftRig *rig, unsigned vector)
{
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, vector);
}

static void assert_port(const SoftRig *rig, unsigned port, uint64_t value, unsigned size)
{
    assert_true(rig->last_was_port);
    assert_int_equal(rig->last_offset, port);
    assert_int_equal(rig->last_value, value);
    assert_int_equal(rig->last_size, size);
}

/* CPL 3 under a TSS whose map allows ports 8 to 15 only. */
static void enter_user(SoftRig *rig)
{
    const uint16_t map = 104;

    soft_rig_enter_64(rig, 3);
    memset(rig->host + TSS, 0xff, 0x100);
    memcpy(rig->host + TSS + 102, &map, sizeof(map));
    rig->host[TSS + 105] = 0;
    rig->cpu->tr = (X86Segment){ 0x40, 0x8b, 104 + 2, TSS };
}

static void test_in_merges_as_mov_would(void **state)
{
    static const uint8_t code[] = { 0xe4, 0x21, 0x0f, 0x0b }; /* in al, 0x21 */
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    rig->device_value = 0x5a;
    rig->cpu->gpr[X86_RAX] = 0x1122334455667788;
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0x112233445566775a);
    assert_port(rig, 0x21, 0, 1);
}

static void test_in_of_a_doubleword_clears_the_upper_half(void **state)
{
    static const uint8_t code[] = { 0x48, 0xed, 0x0f, 0x0b }; /* rex.w in eax, dx */
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    rig->device_value = 0x89abcdef;
    rig->cpu->gpr[X86_RAX] = UINT64_MAX;
    rig->cpu->gpr[X86_RDX] = 0x10cf8;
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0x89abcdef);
    assert_port(rig, 0xcf8, 0, 4);
}

static void test_out_sends_its_size(void **state)
{
    static const uint8_t code[] = { 0x66, 0xef, 0x0f, 0x0b }; /* out dx, ax */
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->gpr[X86_RAX] = 0x1122334455667788;
    rig->cpu->gpr[X86_RDX] = 0x80;
    assert_ends_in(rig, VECTOR_UD);
    assert_port(rig, 0x80, 0x7788, 2);
}

static void test_the_map_allows_a_port(void **state)
{
    static const uint8_t code[] = { 0xe6, 0x0f, 0x0f, 0x0b }; /* out 0xf, al */
    SoftRig *rig = *state;

    enter_user(rig);
    soft_rig_code(rig, code, sizeof(code));
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->writes, 1);
}

static void test_the_map_forbids_a_port_that_is_only_partly_allowed(void **state)
{
    static const uint8_t code[] = { 0x66, 0xe7, 0x0f }; /* out 0xf, ax */
    SoftRig *rig = *state;

    enter_user(rig);
    soft_rig_code(rig, code, sizeof(code));
    assert_ends_in(rig, VECTOR_GP);
    assert_int_equal(rig->writes, 0);
}

static void test_a_port_beyond_the_map_is_forbidden(void **state)
{
    static const uint8_t code[] = { 0xe6, 0x18 };
    SoftRig *rig = *state;

    enter_user(rig);
    memset(rig->host + TSS + 104, 0, 16);
    soft_rig_code(rig, code, sizeof(code));
    assert_ends_in(rig, VECTOR_GP);
}

static void test_the_io_privilege_level_makes_the_map_irrelevant(void **state)
{
    static const uint8_t code[] = { 0xe6, 0x80, 0x0f, 0x0b };
    SoftRig *rig = *state;

    enter_user(rig);
    soft_rig_code(rig, code, sizeof(code));
    soft_set_rflags(rig->cpu, EFLAGS_IOPL);
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->writes, 1);
}

static void test_ins_faults_before_it_reads_the_port(void **state)
{
    static const uint8_t code[] = { 0x6c }; /* insb */
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->gpr[X86_RDI] = RIG_RAM;
    assert_ends_in(rig, VECTOR_PF);
    assert_int_equal(soft_cpu_exception(rig->cpu)->error, 2);
    assert_int_equal(rig->reads, 0);
}

static void test_rep_insw_fills_memory(void **state)
{
    static const uint8_t code[] = { 0xf3, 0x66, 0x6d, 0x0f, 0x0b };
    static const uint8_t expected[] = { 0x34, 0x12, 0x34, 0x12, 0x34, 0x12 };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    rig->device_value = 0x1234;
    rig->cpu->gpr[X86_RDI] = RIG_DATA + 0xffd;
    rig->cpu->gpr[X86_RCX] = 3;
    assert_ends_in(rig, VECTOR_UD);
    assert_memory_equal(rig->host + RIG_DATA + 0xffd, expected, sizeof(expected));
    assert_int_equal(rig->cpu->gpr[X86_RDI], RIG_DATA + 0x1003);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 0);
    assert_int_equal(rig->reads, 3);
}

static void test_rep_outsb_needs_permission_even_for_nothing(void **state)
{
    static const uint8_t code[] = { 0xf3, 0x6e };
    SoftRig *rig = *state;

    enter_user(rig);
    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->gpr[X86_RDX] = 0x80;
    assert_ends_in(rig, VECTOR_GP);
}

static void test_a_breakpoint_on_a_port_traps_after_the_access(void **state)
{
    static const uint8_t code[] = { 0xe6, 0x81 };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->cr4 |= CR4_DE;
    rig->cpu->dr[2] = 0x80;
    rig->cpu->dr7 = 1 << 4 | 0x6 << 24; /* L2; two bytes, port */
    soft_update_mode(rig->cpu);
    assert_ends_in(rig, VECTOR_DB);
    assert_int_equal(rig->cpu->event.dr6, 1 << 2);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
    assert_int_equal(rig->writes, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, soft_rig_setup_64, soft_rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_in_merges_as_mov_would),
        T(test_in_of_a_doubleword_clears_the_upper_half),
        T(test_out_sends_its_size),
        T(test_the_map_allows_a_port),
        T(test_the_map_forbids_a_port_that_is_only_partly_allowed),
        T(test_a_port_beyond_the_map_is_forbidden),
        T(test_the_io_privilege_level_makes_the_map_irrelevant),
        T(test_ins_faults_before_it_reads_the_port),
        T(test_rep_insw_fills_memory),
        T(test_rep_outsb_needs_permission_even_for_nothing),
        T(test_a_breakpoint_on_a_port_traps_after_the_access),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
