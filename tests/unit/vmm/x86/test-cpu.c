/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reset values of a CPU, its list of MSRs and its saved form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vmm/error.h"
#include "vmm/x86/cpu.h"

static X86Cpu cpu, other;

static void test_bootstrap_processor_starts_at_the_reset_vector(void **state)
{
    x86_cpu_reset(&cpu, 0, true, 0x12345);
    assert_int_equal(cpu.rip, 0xfff0);
    assert_int_equal(cpu.segment[X86_CS].base, 0xffff0000);
    assert_int_equal(cpu.segment[X86_CS].selector, 0xf000);
    assert_int_equal(cpu.gpr[X86_RDX], 0x12345);
    assert_int_equal(cpu.apic_base, 0xfee00900);
    assert_int_equal(cpu.run_state, X86_RUNNABLE);
}

static void test_other_processors_wait_for_init(void **state)
{
    x86_cpu_reset(&cpu, 3, false, 0);
    assert_int_equal(cpu.apic_base, 0xfee00800);
    assert_int_equal(cpu.run_state, X86_WAIT_INIT);
    assert_int_equal(cpu.lapic[0x20], 3);
    assert_int_equal(cpu.lapic[0x352], 1); /* LINT0 masked */
}

static void test_reset_keeps_the_tsc_frequency_and_nothing_else(void **state)
{
    memset(&cpu, 0xff, sizeof(cpu));
    cpu.tsc_khz = 2000000;
    x86_cpu_reset(&cpu, 0, true, 0);
    assert_int_equal(cpu.tsc_khz, 2000000);
    assert_int_equal(cpu.dr[0], 0);
    assert_int_equal(cpu.exception_pending, 0);
    assert_null(x86_cpu_msr(&cpu, 0x10));
}

static void test_msrs_stay_sorted(void **state)
{
    x86_cpu_reset(&cpu, 0, true, 0);
    assert_true(x86_cpu_set_msr(&cpu, 0xc0010114, 1));
    assert_true(x86_cpu_set_msr(&cpu, 0x10, 2));
    assert_true(x86_cpu_set_msr(&cpu, 0x10, 3));
    assert_int_equal(cpu.msr[0].index, 0x10);
    assert_int_equal(*x86_cpu_msr(&cpu, 0x10), 3);
    assert_int_equal(cpu.msr[cpu.msrs - 1].index, 0xc0010114);
}

static void test_a_full_list_of_msrs_takes_no_more(void **state)
{
    x86_cpu_reset(&cpu, 0, true, 0);
    cpu.msrs = 0;
    for (uint32_t i = 0; i < X86_MSRS_MAX; i++) {
        assert_true(x86_cpu_set_msr(&cpu, i, i));
    }
    assert_false(x86_cpu_set_msr(&cpu, X86_MSRS_MAX, 1));
    assert_true(x86_cpu_set_msr(&cpu, 5, 6));
}

static GByteArray *saved(X86Cpu *from)
{
    StateList *list = state_list_new();
    GByteArray *out = g_byte_array_new();
    GError *error = NULL;

    state_list_add(list, "/cpu", &x86_cpu_state, from, sizeof(*from), NULL);
    if (!state_save(list, out, &error)) {
        fail_msg("%s", error->message);
    }
    state_list_free(list);
    return out;
}

static bool loaded(X86Cpu *to, const GByteArray *stream, GError **error)
{
    StateList *list = state_list_new();
    bool ok;

    state_list_add(list, "/cpu", &x86_cpu_state, to, sizeof(*to), NULL);
    ok = state_load(list, stream->data, stream->len, error);
    state_list_free(list);
    return ok;
}

static void test_state_survives_save_and_load(void **state)
{
    g_autoptr(GByteArray) stream = NULL;
    GError *error = NULL;

    x86_cpu_reset(&cpu, 2, false, 0x600);
    cpu.gpr[X86_R15] = 0x1122334455667788;
    cpu.xsave_size = 832;
    cpu.xsave[831] = 9;
    x86_cpu_set_msr(&cpu, 0xc0000082, UINT64_MAX);
    cpu.pdptrs_valid = true;
    cpu.lapic[0x80] = 0x20;
    stream = saved(&cpu);
    memset(&other, 0x55, sizeof(other));
    other.xsave_size = 576;
    other.msrs = 0;
    if (!loaded(&other, stream, &error)) {
        fail_msg("%s", error->message);
    }
    assert_memory_equal(other.gpr, cpu.gpr, sizeof(cpu.gpr));
    assert_int_equal(other.xsave_size, 832);
    assert_memory_equal(other.xsave, cpu.xsave, 832);
    assert_int_equal(*x86_cpu_msr(&other, 0xc0000082), UINT64_MAX);
    assert_true(other.pdptrs_valid);
    assert_memory_equal(other.lapic, cpu.lapic, sizeof(cpu.lapic));
}

static void test_unsorted_msrs_are_refused(void **state)
{
    g_autoptr(GByteArray) stream = NULL;
    GError *error = NULL;

    x86_cpu_reset(&cpu, 0, true, 0);
    cpu.msr[0].index = UINT32_MAX;
    stream = saved(&cpu);
    x86_cpu_reset(&other, 0, true, 0);
    assert_false(loaded(&other, stream, &error));
    assert_non_null(strstr(error->message, "out of order"));
    g_error_free(error);
}

static void test_msrs_that_are_as_after_a_reset_need_not_exist_elsewhere(void **state)
{
    assert_int_equal(x86_msr_reset_value(0xc0000104), UINT64_C(1) << 32); /* AMD's TSC ratio, which KVM saves */
    assert_int_equal(x86_msr_reset_value(0x277), 0x0007040600070406);
    assert_int_equal(x86_msr_reset_value(0x174), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bootstrap_processor_starts_at_the_reset_vector),
        cmocka_unit_test(test_other_processors_wait_for_init),
        cmocka_unit_test(test_reset_keeps_the_tsc_frequency_and_nothing_else),
        cmocka_unit_test(test_msrs_stay_sorted),
        cmocka_unit_test(test_a_full_list_of_msrs_takes_no_more),
        cmocka_unit_test(test_state_survives_save_and_load),
        cmocka_unit_test(test_unsorted_msrs_are_refused),
        cmocka_unit_test(test_msrs_that_are_as_after_a_reset_need_not_exist_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
