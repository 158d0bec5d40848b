/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breakpoints and steps, the guest's own and a debugger's; lines of -d.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"
#include "vmm/x86/soft/cpu.h"

static void set_breakpoint(SoftRig *rig, unsigned n, uint64_t address, unsigned type, unsigned length)
{
    rig->cpu->dr[n] = address;
    rig->cpu->dr7 |= UINT64_C(1) << (2 * n) | (uint64_t)(type | length << 2) << (16 + 4 * n);
    soft_tlb_flush(rig->cpu);
    soft_update_mode(rig->cpu);
}

static void assert_debug(SoftRig *rig, uint64_t dr6, uint64_t rip)
{
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_DB);
    assert_int_equal(rig->cpu->event.dr6, dr6);
    assert_int_equal(rig->cpu->rip, rip);
}

/* inc eax; inc eax; mov [RIG_DATA + 4], eax; mov eax, [RIG_DATA]; inc eax; ud2 */
static const uint8_t code[] = { 0xff, 0xc0, 0xff, 0xc0, 0x89, 0x04, 0x25, 4, 0, 0x20, 0, 0x8b, 0x04, 0x25, 0, 0, 0x20, 0,
                                0xff, 0xc0, 0x0f, 0x0b };
enum { STORE = 4, LOAD = 11, AFTER = 18, END = 20, EXECUTE = 0, WRITE = 1, ACCESS = 3, LENGTH_4 = 3 };

static void test_a_breakpoint_on_code_is_a_fault_that_rf_overcomes(void **state)
{
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    set_breakpoint(rig, 1, RIG_CODE + 2, EXECUTE, 0);
    assert_debug(rig, 2, RIG_CODE + 2);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 1);
    soft_set_rflags(rig->cpu, EFLAGS_RF);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_UD);
    assert_false(rig->cpu->eflags & EFLAGS_RF);
}

static void test_a_breakpoint_on_writes_traps_after_the_store_only(void **state)
{
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    set_breakpoint(rig, 0, RIG_DATA + 6, WRITE, 0);
    set_breakpoint(rig, 3, RIG_DATA, WRITE, LENGTH_4);
    assert_debug(rig, 1, RIG_CODE + LOAD);
    assert_int_equal(rig->host[RIG_DATA + 4], 2);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_UD);
}

static void test_a_breakpoint_on_accesses_traps_after_the_load(void **state)
{
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    set_breakpoint(rig, 2, RIG_DATA + 3, ACCESS, 0);
    assert_debug(rig, 4, RIG_CODE + AFTER);
}

static void test_a_step_and_a_breakpoint_are_one_exception(void **state)
{
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->rip = RIG_CODE + STORE;
    set_breakpoint(rig, 0, RIG_DATA + 4, WRITE, LENGTH_4);
    soft_set_rflags(rig->cpu, EFLAGS_TF);
    assert_debug(rig, 1 | DR6_BS, RIG_CODE + LOAD);
}

static void test_nothing_traps_behind_a_load_of_ss(void **state)
{
    /* mov ss, eax; inc ecx; inc ecx */
    static const uint8_t load_ss[] = { 0x8e, 0xd0, 0xff, 0xc1, 0xff, 0xc1 };
    SoftRig *rig = *state;

    soft_rig_code(rig, load_ss, sizeof(load_ss));
    rig->cpu->gpr[X86_RAX] = 0x10;
    set_breakpoint(rig, 0, RIG_CODE + 2, EXECUTE, 0);
    soft_set_rflags(rig->cpu, EFLAGS_TF);
    assert_debug(rig, DR6_BS, RIG_CODE + 4);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 1);
}

static void test_a_data_breakpoint_of_a_load_of_ss_waits(void **state)
{
    /* mov ss, [RIG_DATA]; inc ecx; inc ecx */
    static const uint8_t load_ss[] = { 0x8e, 0x14, 0x25, 0, 0, 0x20, 0, 0xff, 0xc1, 0xff, 0xc1 };
    SoftRig *rig = *state;

    soft_rig_code(rig, load_ss, sizeof(load_ss));
    rig->host[RIG_DATA] = 0x10;
    set_breakpoint(rig, 0, RIG_DATA, ACCESS, 0);
    assert_debug(rig, 1, RIG_CODE + 9);
}

static void test_the_shadow_of_sti_holds_no_step_back(void **state)
{
    static const uint8_t sti[] = { 0xfb, 0xff, 0xc1 };
    SoftRig *rig = *state;

    soft_rig_code(rig, sti, sizeof(sti));
    soft_set_rflags(rig->cpu, EFLAGS_TF);
    assert_debug(rig, DR6_BS, RIG_CODE + 1);
}

static void test_a_disabled_breakpoint_is_none(void **state)
{
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    set_breakpoint(rig, 1, RIG_CODE + 2, EXECUTE, 0);
    rig->cpu->dr7 &= ~UINT64_C(0xff);
    soft_update_mode(rig->cpu);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_UD);
}

/* ---- a debugger ---- */

static void test_a_debugger_steps_over_each_instruction(void **state)
{
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    soft_cpu_set_debug(rig->cpu, NULL, 0, true);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 4);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 2);
    assert_int_equal(rig->cpu->dr6 & DR6_BS, 0);
}

static void test_a_debugger_stops_before_code_and_after_data(void **state)
{
    const SoftWatch watches[] = { { RIG_CODE + 2, 1, .execute = true }, { RIG_DATA, 2, .read = true } };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    soft_cpu_set_debug(rig->cpu, watches, 2, false);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
    soft_cpu_set_debug(rig->cpu, watches + 1, 1, false);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE + AFTER);
    soft_cpu_set_debug(rig->cpu, NULL, 0, false);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(rig->cpu->rip, RIG_CODE + END);
}

static void test_the_guests_own_step_survives_a_debuggers(void **state)
{
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    soft_set_rflags(rig->cpu, EFLAGS_TF);
    soft_cpu_set_debug(rig->cpu, NULL, 0, true);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
    assert_debug(rig, DR6_BS, RIG_CODE + 2);
}

static void test_a_debugger_hears_what_it_was(void **state)
{
    const SoftWatch watches[] = { { RIG_DATA + 4, 4, .write = true }, { RIG_CODE + 2, 1, .execute = true } };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    soft_cpu_set_debug(rig->cpu, watches, 2, false);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(soft_cpu_debug_hit(rig->cpu), 1);
    soft_cpu_set_debug(rig->cpu, NULL, 0, true);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(soft_cpu_debug_hit(rig->cpu), -1);
    soft_cpu_set_debug(rig->cpu, watches, 2, false);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(soft_cpu_debug_hit(rig->cpu), 0);
    assert_int_equal(rig->cpu->rip, RIG_CODE + LOAD);
}

static void test_a_breakpoint_is_found_in_code_that_has_run_already(void **state)
{
    static const uint8_t jump[] = { 0xff, 0xc0, 0xe9, 0xf9, 0x0f, 0, 0 }; /* inc eax; jmp to the next page */
    static const uint8_t loop[] = { 0xff, 0xc9, 0x75, 0xfc, 0x0f, 0x0b }; /* 1: dec ecx; jnz 1b; ud2 */
    const SoftWatch watch = { RIG_CODE + 0x1004, 1, .execute = true };
    SoftRig *rig = *state;

    soft_rig_code(rig, jump, sizeof(jump));
    memcpy(rig->host + RIG_CODE + 0x1000, loop, sizeof(loop));
    for (unsigned i = 0; i < 2; i++) {
        rig->cpu->rip = RIG_CODE;
        rig->cpu->gpr[X86_RCX] = 3;
        assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    }
    rig->cpu->rip = RIG_CODE;
    rig->cpu->gpr[X86_RCX] = 3;
    soft_cpu_set_debug(rig->cpu, &watch, 1, false);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 0x1004);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 0);
}

static void test_a_watch_stops_between_elements_of_a_string(void **state)
{
    static const uint8_t string[] = { 0xf3, 0xaa, 0x0f, 0x0b }; /* rep stosb; ud2 */
    const SoftWatch watch = { RIG_DATA + 5, 1, .write = true };
    SoftRig *rig = *state;

    soft_rig_code(rig, string, sizeof(string));
    rig->cpu->gpr[X86_RDI] = RIG_DATA;
    rig->cpu->gpr[X86_RCX] = 100;
    rig->cpu->gpr[X86_RAX] = 0x77;
    soft_cpu_set_debug(rig->cpu, &watch, 1, false);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
    assert_int_equal(rig->cpu->gpr[X86_RDI], RIG_DATA + 6);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 94);
    assert_int_equal(rig->host[RIG_DATA + 6], 0);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 0);
}

static void test_a_watch_sees_what_an_event_pushes(void **state)
{
    static const uint8_t int_40[] = { 0xcd, 0x40 };
    const SoftWatch watch = { RIG_STACK - 8, 8, .write = true };
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->gpr[X86_RSP] = RIG_STACK;
    soft_rig_code(rig, int_40, sizeof(int_40));
    soft_cpu_set_debug(rig->cpu, &watch, 1, false);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(rig_handler(rig), 0x40);
    assert_int_equal(soft_cpu_debug_hit(rig->cpu), 0);
}

static void test_a_debugger_goes_on_from_a_breakpoint_once(void **state)
{
    static const uint8_t loop[] = { 0xff, 0xc9, 0x75, 0xfc, 0x0f, 0x0b }; /* 1: dec ecx; jnz 1b; ud2 */
    const SoftWatch watch = { RIG_CODE, 1, .execute = true };
    SoftRig *rig = *state;

    soft_rig_code(rig, loop, sizeof(loop));
    rig->cpu->gpr[X86_RCX] = 3;
    soft_cpu_set_debug(rig->cpu, &watch, 1, false);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_DEBUG);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_DEBUG); /* nobody has heard of it */
    assert_int_equal(rig->cpu->gpr[X86_RCX], 3);
    soft_cpu_pass_breakpoint(rig->cpu, RIG_CODE);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 2);
}

static void test_a_debuggers_step_gets_over_its_breakpoint(void **state)
{
    const SoftWatch watch = { RIG_CODE, 1, .execute = true };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    soft_cpu_set_debug(rig->cpu, &watch, 1, true);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
    assert_int_equal(soft_cpu_debug_hit(rig->cpu), -1);
}

static void test_a_debuggers_step_takes_no_interrupt(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    soft_rig_code(rig, code, sizeof(code));
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_IF);
    rig->next_vector = 0x40;
    soft_signal(rig->cpu, SOFT_INTERRUPT);
    soft_cpu_set_debug(rig->cpu, NULL, 0, true);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
    soft_cpu_set_debug(rig->cpu, NULL, 0, false);
    assert_int_equal(rig_step(rig), SOFT_EXIT_KICKED);
    assert_int_equal(rig_handler(rig), 0x40);
}

static void test_a_debuggers_step_ends_at_the_handler_of_an_exception(void **state)
{
    static const uint8_t int3[] = { 0xcc };
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    soft_rig_code(rig, int3, sizeof(int3));
    soft_cpu_set_debug(rig->cpu, NULL, 0, true);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_DEBUG);
    assert_int_equal(rig_handler(rig), VECTOR_BP);
    assert_int_equal(soft_cpu_debug_hit(rig->cpu), -1);
}

/* ---- lines ---- */

static char traced[8192];

static void line(const char *text)
{
    size_t n = strlen(traced);

    snprintf(traced + n, sizeof(traced) - n, "%s\n", text);
}

static void test_code_is_shown_once_and_each_entry(void **state)
{
    static const uint8_t loop[] = { 0xff, 0xc9, 0x75, 0xfc, 0x0f, 0x0b }; /* 1: dec ecx; jnz 1b; ud2 */
    SoftRig *rig = *state;
    char *first;

    traced[0] = 0;
    soft_rig_code(rig, loop, sizeof(loop));
    rig->cpu->gpr[X86_RCX] = 3;
    soft_vm_set_trace(rig->vm, SOFT_TRACE_ASM | SOFT_TRACE_EXEC, line);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    first = strstr(traced, "dec ecx");
    assert_non_null(first);
    assert_null(strstr(first + 1, "dec ecx"));
    first = strstr(traced, "enter 0000000000100000");
    assert_non_null(first);
    first = strstr(first + 1, "enter 0000000000100000");
    assert_non_null(first);
    first = strstr(first + 1, "enter 0000000000100000");
    assert_non_null(first);
    assert_null(strstr(first + 1, "enter 0000000000100000"));
}

static void test_events_and_registers_are_shown(void **state)
{
    SoftRig *rig = *state;

    traced[0] = 0;
    soft_rig_code(rig, code, sizeof(code));
    rig->cpu->gpr[X86_R10] = 0x123456789abcdef0;
    rig->cpu->idt.limit = 0;
    soft_vm_set_trace(rig->vm, SOFT_TRACE_INT | SOFT_TRACE_CPU, line);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_TRIPLE_FAULT);
    assert_non_null(strstr(traced, "R10=123456789abcdef0"));
    assert_non_null(strstr(traced, "fault 06 #UD"));
    assert_non_null(strstr(traced, "ip 0008:0000000000100014"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, soft_rig_setup_64, soft_rig_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_breakpoint_on_code_is_a_fault_that_rf_overcomes),
        T(test_a_breakpoint_on_writes_traps_after_the_store_only),
        T(test_a_breakpoint_on_accesses_traps_after_the_load),
        T(test_a_step_and_a_breakpoint_are_one_exception),
        T(test_nothing_traps_behind_a_load_of_ss),
        T(test_a_data_breakpoint_of_a_load_of_ss_waits),
        T(test_the_shadow_of_sti_holds_no_step_back),
        T(test_a_disabled_breakpoint_is_none),
        T(test_a_debugger_steps_over_each_instruction),
        T(test_a_debugger_stops_before_code_and_after_data),
        T(test_the_guests_own_step_survives_a_debuggers),
        T(test_a_debugger_hears_what_it_was),
        T(test_a_breakpoint_is_found_in_code_that_has_run_already),
        T(test_a_watch_stops_between_elements_of_a_string),
        T(test_a_watch_sees_what_an_event_pushes),
        T(test_a_debugger_goes_on_from_a_breakpoint_once),
        T(test_a_debuggers_step_gets_over_its_breakpoint),
        T(test_a_debuggers_step_takes_no_interrupt),
        T(test_a_debuggers_step_ends_at_the_handler_of_an_exception),
        T(test_code_is_shown_once_and_each_entry),
        T(test_events_and_registers_are_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
