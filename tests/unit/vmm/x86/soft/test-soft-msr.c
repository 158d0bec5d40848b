/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs through RDMSR and WRMSR, and their saved form.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/system.h"

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

static bool execute(SoftRig *rig, uint8_t opcode, uint32_t index, uint64_t value)
{
    const uint8_t code[] = { 0x0f, opcode, 0xf4 };

    soft_rig_enter_64(rig, 0);
    soft_rig_code(rig, code, sizeof(code));
    soft_code_written(rig->vm, NULL, rig->host + RIG_CODE, sizeof(code));
    rig->cpu->halted = false;
    rig->cpu->gpr[X86_RCX] = UINT64_C(0xdeadbeef00000000) | index; /* the upper half does not count */
    rig->cpu->gpr[X86_RAX] = UINT64_C(0xdeadbeef00000000) | (uint32_t)value;
    rig->cpu->gpr[X86_RDX] = UINT64_C(0xdeadbeef00000000) | value >> 32;
    if (soft_rig_run(rig) == SOFT_EXIT_HALTED) {
        return true;
    }
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_GP);
    assert_int_equal(soft_cpu_exception(rig->cpu)->error, 0);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
    return false;
}

/* False: #GP(0). */
static bool wrmsr(SoftRig *rig, uint32_t index, uint64_t value)
{
    return execute(rig, 0x30, index, value);
}

static bool rdmsr(SoftRig *rig, uint32_t index, uint64_t *ret)
{
    bool ok = execute(rig, 0x32, index, 0);

    *ret = rig->cpu->gpr[X86_RDX] << 32 | rig->cpu->gpr[X86_RAX];
    if (ok) {
        assert_int_equal(rig->cpu->gpr[X86_RDX] >> 32, 0);
        assert_int_equal(rig->cpu->gpr[X86_RAX] >> 32, 0);
    }
    return ok;
}

#define NO_MSR UINT64_C(0x0123456789abcdef)
static uint64_t read_or(SoftRig *rig, uint32_t index, uint64_t otherwise)
{
    uint64_t value;

    return rdmsr(rig, index, &value) ? value : otherwise;
}

static void assert_refused(SoftRig *rig, uint32_t index, uint64_t value)
{
    uint64_t before = read_or(rig, index, NO_MSR);

    if (wrmsr(rig, index, value)) {
        fail_msg("MSR %#x takes %#" G_GINT64_MODIFIER "x", index, value);
    }
    assert_int_equal(read_or(rig, index, NO_MSR), before);
}

static void assert_holds(SoftRig *rig, uint32_t index, uint64_t value)
{
    if (!wrmsr(rig, index, value)) {
        fail_msg("MSR %#x refuses %#" G_GINT64_MODIFIER "x", index, value);
    }
    if (read_or(rig, index, NO_MSR) != value) {
        fail_msg("MSR %#x reads back as %#" G_GINT64_MODIFIER "x, not %#" G_GINT64_MODIFIER "x", index,
                 read_or(rig, index, NO_MSR), value);
    }
}

static void clear_subleaf(SoftRig *rig, uint32_t leaf, uint32_t subleaf, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    X86Cpuid list[X86_CPUID_MAX];

    memcpy(list, rig->cpu->cpuid, sizeof(list));
    for (unsigned i = 0; i < rig->cpu->cpuids; i++) {
        if (list[i].leaf == leaf && list[i].subleaf == subleaf) {
            list[i].ebx &= ~ebx;
            list[i].ecx &= ~ecx;
            list[i].edx &= ~edx;
        }
    }
    soft_cpu_set_cpuid(rig->cpu, list, rig->cpu->cpuids);
}

static void clear_cpuid(SoftRig *rig, uint32_t leaf, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    clear_subleaf(rig, leaf, 0, ebx, ecx, edx);
}

/* A guest of that vendor, whatever the host is. */
static void set_vendor(SoftRig *rig, const char *vendor)
{
    X86Cpuid list[X86_CPUID_MAX];

    memcpy(list, rig->cpu->cpuid, sizeof(list));
    memcpy(&list[0].ebx, vendor, 4);
    memcpy(&list[0].edx, vendor + 4, 4);
    memcpy(&list[0].ecx, vendor + 8, 4);
    soft_cpu_set_cpuid(rig->cpu, list, rig->cpu->cpuids);
}

/* ---- values ---- */
static void msrs_start_at_their_reset_values(void **state)
{
    SoftRig *rig = *state;

    assert_int_equal(read_or(rig, 0x1a0, 0), 1);
    assert_int_equal(read_or(rig, 0x277, 0), 0x0007040600070406);
    assert_int_equal(read_or(rig, 0x2ff, 1), 0);
    assert_int_equal(read_or(rig, 0x250, 1), 0);
    assert_int_equal(read_or(rig, 0xfe, 0), 0x508);
    assert_int_equal(read_or(rig, 0x179, 0), 0x100010a);
    assert_int_equal(read_or(rig, 0x48, 1), 0);
    assert_int_equal(read_or(rig, 0xc0000081, 1), 0);
    assert_int_equal(rig->cpu->smbase, 0x30000);
}

static void unknown_msrs_fault(void **state)
{
    uint64_t value;

    assert_false(rdmsr(*state, 0x3a, &value));
    assert_false(rdmsr(*state, 0xda0, &value)); /* XSS: no XSAVES */
    assert_false(rdmsr(*state, 0xffffffff, &value));
    assert_false(wrmsr(*state, 0x480, 0));
    assert_false(wrmsr(*state, 0x204f, 0));
}

static void assert_must_be_canonical(SoftRig *rig, const uint32_t *msrs, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_refused(rig, msrs[i], UINT64_C(1) << 47);
        assert_refused(rig, msrs[i], UINT64_C(0xfffe) << 48);
    }
}

/* SYSENTER_ESP and SYSENTER_EIP have 32 bits on AMD's processors: registers_of_32_bits_refuse_or_ignore_more(). */
static void linear_addresses_must_be_canonical(void **state)
{
    static const uint32_t msrs[] = { 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102, 0x175, 0x176 };

    set_vendor(*state, "AuthenticAMD");
    assert_must_be_canonical(*state, msrs, G_N_ELEMENTS(msrs) - 2);
    set_vendor(*state, "GenuineIntel");
    assert_must_be_canonical(*state, msrs, G_N_ELEMENTS(msrs));
    assert_holds(*state, 0x175, UINT64_C(0xffff8000) << 32);
    assert_holds(*state, 0xc0000082, UINT64_C(0xffff8000) << 32 | 5);
    assert_holds(*state, 0xc0000102, 0x7fffffffffff);
}

static void fs_and_gs_bases_are_the_segments(void **state)
{
    SoftRig *rig = *state;

    assert_true(wrmsr(rig, 0xc0000100, 0x123456789000));
    assert_int_equal(rig->cpu->segment[X86_FS].base, 0x123456789000);
    assert_int_equal(rig->cpu->seg_base[X86_FS], 0x123456789000);
    assert_true(wrmsr(rig, 0xc0000101, 0x123456789008));
    assert_int_equal(rig->cpu->segment[X86_GS].base, 0x123456789008);
    assert_int_equal(rig->cpu->seg_base[X86_GS], 0x123456789008);
}

static void assert_keeps_the_lower_half(SoftRig *rig, uint32_t index)
{
    assert_true(wrmsr(rig, index, UINT64_C(0x8123000000047700)));
    assert_int_equal(read_or(rig, index, NO_MSR), 0x47700);
}

static void registers_of_32_bits_refuse_or_ignore_more(void **state)
{
    SoftRig *rig = *state;

    set_vendor(rig, "GenuineIntel");
    assert_refused(rig, 0xc0000103, UINT64_C(1) << 32);
    assert_refused(rig, 0x175, UINT64_C(0x8123000000047700));
    assert_refused(rig, 0x176, UINT64_C(0x8123000000047700));
    assert_keeps_the_lower_half(rig, 0xc0000084);
    assert_keeps_the_lower_half(rig, 0x174);
    assert_holds(rig, 0xc0000103, 0xffffffff);
    assert_holds(rig, 0xc0000081, UINT64_C(0x0023001000000000));
    set_vendor(rig, "AuthenticAMD");
    assert_keeps_the_lower_half(rig, 0xc0000084);
    assert_keeps_the_lower_half(rig, 0xc0000103);
    assert_keeps_the_lower_half(rig, 0x174);
    assert_keeps_the_lower_half(rig, 0x175);
    assert_keeps_the_lower_half(rig, 0x176);
}

static void memory_types_are_checked(void **state)
{
    SoftRig *rig = *state;
    uint64_t top = UINT64_C(1) << rig->cpu->phys_bits;

    assert_holds(rig, 0x277, 0x0007050600070106);
    assert_refused(rig, 0x277, 0x0007050600070102);
    assert_refused(rig, 0x277, UINT64_C(0x08) << 56);
    assert_holds(rig, 0x26f, 0x0606050401000606);
    assert_refused(rig, 0x26f, 0x0606050407000606); /* UC- is PAT's alone */
    assert_refused(rig, 0x258, 2);
    assert_holds(rig, 0x2ff, 0xc06);
    assert_refused(rig, 0x2ff, 0xc03);
    assert_refused(rig, 0x2ff, 0x1c06);
    assert_holds(rig, 0x200, 0xc0000006);
    assert_holds(rig, 0x20f, (top - 1) & ~UINT64_C(0x7ff));
    assert_refused(rig, 0x200, 0xc0000106);
    assert_refused(rig, 0x200, top);
    assert_refused(rig, 0x201, 0x400);
    assert_refused(rig, 0xfe, 0x508);
    assert_false(wrmsr(rig, 0x210, 0)); /* there are eight */
}

static void speculation_controls_take_what_is_offered(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    assert_holds(rig, 0x48, 0x407);
    assert_refused(rig, 0x48, 0x80);
    assert_refused(rig, 0x48, 8);
    assert_true(wrmsr(rig, 0x49, 1));
    assert_false(wrmsr(rig, 0x49, 2));
    assert_false(rdmsr(rig, 0x49, &value));
    assert_true(wrmsr(rig, 0x10b, 1));
    assert_false(wrmsr(rig, 0x10b, 2));
    assert_false(rdmsr(rig, 0x10b, &value));
    clear_cpuid(rig, 7, 0, 0, 1u << 31 | 1 << 28);
    clear_cpuid(rig, 0x80000008, 1 << 24, 0, 0);
    assert_refused(rig, 0x48, 4); /* SSBD */
    assert_false(wrmsr(rig, 0x10b, 1));
    clear_cpuid(rig, 7, 0, 0, UINT32_MAX);
    clear_cpuid(rig, 0x80000008, UINT32_MAX, 0, 0);
    assert_refused(rig, 0x48, 1); /* BHI_CTRL is left */
    clear_subleaf(rig, 7, 2, 0, 0, UINT32_MAX);
    assert_false(rdmsr(rig, 0x48, &value));
    assert_false(wrmsr(rig, 0x49, 1));
    assert_false(rdmsr(rig, 0x10a, &value));
}

static void arch_capabilities_is_read_only_and_needs_ibrs_for_ibrs_all(void **state)
{
    SoftRig *rig = *state;

    assert_int_equal(read_or(rig, 0x10a, 0), soft_supported_msr_feature(0x10a));
    assert_refused(rig, 0x10a, 0);
    soft_cpu_set_feature_msr(rig->cpu, 0x10a, UINT64_MAX);
    assert_int_equal(read_or(rig, 0x10a, 0), soft_supported_msr_feature(0x10a));
    soft_cpu_set_feature_msr(rig->cpu, 0x10a, 0x20);
    assert_int_equal(read_or(rig, 0x10a, 0), 0x20);
    clear_cpuid(rig, 7, 0, 0, 1 << 26);
    clear_cpuid(rig, 0x80000008, 1 << 14, 0, 0);
    assert_int_equal(read_or(rig, 0x10a, 0), soft_supported_msr_feature(0x10a) & ~UINT64_C(2));
}

static void machine_check_banks_are_cleared_not_set(void **state)
{
    SoftRig *rig = *state;

    assert_holds(rig, 0x400, UINT64_MAX);
    assert_refused(rig, 0x400, 1);
    assert_refused(rig, 0x401, 1);
    assert_holds(rig, 0x401, 0);
    assert_holds(rig, 0x402, 0x1234);
    assert_holds(rig, 0x17b, UINT64_MAX);
    assert_refused(rig, 0x17b, 1);
    assert_holds(rig, 0x17a, 4);
    assert_refused(rig, 0x17a, 8);
    assert_false(wrmsr(rig, 0x428, 0));
    set_vendor(rig, "AuthenticAMD");
    assert_true(wrmsr(rig, 0xc0010015, 1 << 18)); /* HWCR.McStatusWrEn */
    assert_holds(rig, 0x401, 1);
}

static void debugctl_and_misc_enable_have_reserved_bits(void **state)
{
    assert_true(wrmsr(*state, 0x1d9, 3));
    assert_int_equal(read_or(*state, 0x1d9, 1), 0);
    assert_refused(*state, 0x1d9, 4);
    assert_holds(*state, 0x1a0, 0x40001);
    assert_refused(*state, 0x1a0, 2);
}

static void cpuid_faulting_is_turned_on_where_it_is_there(void **state)
{
    SoftRig *rig = *state;

    assert_int_equal(read_or(rig, 0xce, 0), UINT64_C(1) << 31);
    assert_refused(rig, 0xce, 0);
    assert_holds(rig, 0x140, 1);
    assert_refused(rig, 0x140, 2);
    assert_holds(rig, 0x140, 0);
    soft_cpu_set_feature_msr(rig->cpu, 0xce, 0);
    assert_refused(rig, 0x140, 1);
}

static void amds_registers_are_there_for_amds_guests(void **state)
{
    SoftRig *rig = *state;

    set_vendor(rig, "GenuineIntel");
    assert_false(wrmsr(rig, 0xc0010015, 0));
    assert_int_equal(read_or(rig, 0x17, 1), 0);
    set_vendor(rig, "AuthenticAMD");
    assert_int_equal(read_or(rig, 0xc0010010, 1), 0);
    assert_true(wrmsr(rig, 0xc0010010, 0x1234));
    assert_int_equal(read_or(rig, 0xc0010010, 1), 0);
    assert_int_equal(read_or(rig, 0xc0010015, 0), 1 << 24);
    assert_true(wrmsr(rig, 0xc0010015, 1 << 6)); /* Linux, on every K8 */
    assert_false(wrmsr(rig, 0xc0010015, 1 << 0));
    assert_int_equal(read_or(rig, 0xc0010055, 1), 0);
    assert_int_equal(read_or(rig, 0xc0011029, 0), 2);
    assert_true(wrmsr(rig, 0xc0011029, 2));
    assert_false(wrmsr(rig, 0x79, 0));
    assert_false(wrmsr(rig, 0x17, 0));
}

static void microcode_updates_are_forgotten(void **state)
{
    SoftRig *rig = *state;

    soft_cpu_set_feature_msr(rig->cpu, 0x8b, UINT64_C(0x12300000000));
    assert_true(wrmsr(rig, 0x8b, 0));
    assert_int_equal(read_or(rig, 0x8b, 0), UINT64_C(0x12300000000));
}

static void long_mode_msrs_need_long_mode(void **state)
{
    uint64_t value;

    clear_cpuid(*state, 0x80000001, 0, 0, 1 << 29 | 1 << 11 | 1 << 27);
    clear_cpuid(*state, 7, 0, 1 << 22, 0);
    assert_false(rdmsr(*state, 0xc0000081, &value));
    assert_false(rdmsr(*state, 0xc0000082, &value));
    assert_false(rdmsr(*state, 0xc0000102, &value));
    assert_false(rdmsr(*state, 0xc0000103, &value));
}

/* ---- time ---- */
static void tsc_and_tsc_adjust_tell_each_other(void **state)
{
    SoftRig *rig = *state;
    uint64_t before;

    soft_vm_set_deterministic(rig->vm, 1);
    soft_cpu_set_tsc(rig->cpu, 1000);
    before = soft_cpu_tsc(rig->cpu);
    assert_true(wrmsr(rig, 0x3b, 500)); /* WRMSR and HLT */
    assert_int_equal(soft_cpu_tsc(rig->cpu), before + 500 + 2);
    assert_int_equal(read_or(rig, 0x3b, 0), 500);
    assert_true(wrmsr(rig, 0x10, UINT64_C(5) << 40));
    assert_in_range(soft_cpu_tsc(rig->cpu), UINT64_C(5) << 40, (UINT64_C(5) << 40) + 2);
    assert_true(read_or(rig, 0x3b, 0) > UINT64_C(4) << 40);
    clear_cpuid(rig, 7, 1 << 1, 0, 0);
    assert_false(wrmsr(rig, 0x3b, 0));
}

/* ---- saved ---- */
static const uint64_t *saved(X86Cpu *cpu, uint32_t index)
{
    return x86_cpu_msr(cpu, index);
}

static void msrs_are_saved_by_kvms_indexes(void **state)
{
    g_autofree X86Cpu *cpu = g_new0(X86Cpu, 1);
    SoftRig *rig = *state;

    assert_true(wrmsr(rig, 0xc0000082, 0x1234));
    assert_true(wrmsr(rig, 0x26f, 0x06));
    assert_true(wrmsr(rig, 0x200, 0xc0000006));
    assert_true(x86_cpu_set_msr(cpu, 0x6e0, 77)); /* the embedder's */
    assert_true(x86_cpu_set_msr(cpu, 0xc0000083, 5)); /* of an older state */
    soft_cpu_save(rig->cpu, cpu);
    assert_int_equal(*saved(cpu, 0xc0000082), 0x1234);
    assert_int_equal(*saved(cpu, 0x26f), 6);
    assert_int_equal(*saved(cpu, 0x200), 0xc0000006);
    assert_int_equal(*saved(cpu, 0x9e), 0x30000);
    assert_int_equal(*saved(cpu, 0x6e0), 77);
    assert_null(saved(cpu, 0xc0000083));
    assert_null(saved(cpu, 0x8b));
    assert_null(saved(cpu, 0xc0000100));
}

static void an_msr_that_is_not_listed_is_zero(void **state)
{
    g_autofree X86Cpu *cpu = g_new0(X86Cpu, 1);
    SoftRig *rig = *state;

    assert_true(wrmsr(rig, 0xc0000082, 0x1234));
    soft_cpu_save(rig->cpu, cpu);
    cpu->msrs = 0;
    assert_true(soft_cpu_load(rig->cpu, cpu, NULL));
    assert_int_equal(rig->cpu->lstar, 0);
    assert_int_equal(rig->cpu->pat, 0);
}

static bool loads_with(SoftRig *rig, uint32_t index, uint64_t value)
{
    g_autofree X86Cpu *cpu = g_new0(X86Cpu, 1);
    g_autoptr(GError) error = NULL;
    bool ok;

    soft_cpu_save(rig->cpu, cpu);
    assert_true(x86_cpu_set_msr(cpu, index, value));
    ok = soft_cpu_load(rig->cpu, cpu, &error);
    if (!ok) {
        g_autofree char *name = g_strdup_printf("%#x", index);

        assert_non_null(strstr(error->message, name));
    }
    return ok;
}

static void a_state_with_an_msr_that_is_not_here_is_refused(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    assert_false(loads_with(rig, 0x3a, 5));            /* FEATURE_CONTROL */
    assert_false(loads_with(rig, 0xda0, 0x800));       /* XSS */
    assert_false(loads_with(rig, 0xc0000102, UINT64_C(1) << 47));
    assert_false(loads_with(rig, 0x277, 0x2));
    assert_true(loads_with(rig, 0x3a, 0));
    assert_true(loads_with(rig, 0x4b564d02, 1));       /* of the hooks */
    assert_true(loads_with(rig, 0x6e0, 1));
    assert_true(loads_with(rig, 0x34, 3));             /* SMIs that KVM counted */
    assert_true(loads_with(rig, 0x401, UINT64_C(1) << 63)); /* an instruction could not set it */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(msrs_start_at_their_reset_values),
        TEST(unknown_msrs_fault),
        TEST(linear_addresses_must_be_canonical),
        TEST(fs_and_gs_bases_are_the_segments),
        TEST(registers_of_32_bits_refuse_or_ignore_more),
        TEST(memory_types_are_checked),
        TEST(speculation_controls_take_what_is_offered),
        TEST(arch_capabilities_is_read_only_and_needs_ibrs_for_ibrs_all),
        TEST(machine_check_banks_are_cleared_not_set),
        TEST(debugctl_and_misc_enable_have_reserved_bits),
        TEST(cpuid_faulting_is_turned_on_where_it_is_there),
        TEST(amds_registers_are_there_for_amds_guests),
        TEST(microcode_updates_are_forgotten),
        TEST(long_mode_msrs_need_long_mode),
        TEST(tsc_and_tsc_adjust_tell_each_other),
        TEST(msrs_are_saved_by_kvms_indexes),
        TEST(an_msr_that_is_not_listed_is_zero),
        TEST(a_state_with_an_msr_that_is_not_here_is_refused),
    };

    return cmocka_run_group_tests_name("soft-msr", tests, NULL, NULL);
}
