/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the software CPU's CPUID offers, what CPU models make of it, and the answers to
 * a guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <cpuid.h>

#include "soft-rig.h"
#include "vmm/x86/cpu-model.h"
#include "vmm/x86/soft/system.h"

typedef struct Supported {
    X86Cpuid list[X86_CPUID_MAX];
    unsigned n;
} Supported;

static int setup(void **state)
{
    Supported *s = g_new0(Supported, 1);

    s->n = soft_supported_cpuid(s->list, X86_CPUID_MAX);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    g_free(*state);
    return 0;
}

static X86Cpuid leaf(const Supported *s, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (s->list[i].leaf == leaf && (!s->list[i].indexed || s->list[i].subleaf == subleaf)) {
            return s->list[i];
        }
    }
    return (X86Cpuid) { 0 };
}

#define BIT(n) (1u << (n))

/* ---- what is offered ---- */
static void what_is_not_made_here_is_hidden(void **state)
{
    X86Cpuid c1 = leaf(*state, 1, 0), c7 = leaf(*state, 7, 0), c71 = leaf(*state, 7, 1), cd = leaf(*state, 0xd, 0),
             cd1 = leaf(*state, 0xd, 1), x1 = leaf(*state, 0x80000001, 0);

    /* MONITOR VMX SMX PDCM OSXSAVE; DS ACPI HTT TM */
    assert_int_equal(c1.ecx & (BIT(3) | BIT(5) | BIT(6) | BIT(15) | BIT(27)), 0);
    assert_int_equal(c1.edx & (BIT(21) | BIT(22) | BIT(28) | BIT(29)), 0);
    /* SGX HLE RTM MPX, AVX-512, PT */
    assert_int_equal(c7.ebx & (BIT(2) | BIT(4) | BIT(11) | BIT(14) | BIT(16) | BIT(17) | BIT(21) | BIT(25) | BIT(26) |
                               BIT(27) | BIT(28) | BIT(30) | BIT(31)), 0);
    /* AVX-512 VBMI, PKU, OSPKE, WAITPKG, CET_SS, LA57, MOVDIRI, MOVDIR64B, ENQCMD */
    assert_int_equal(c7.ecx & (BIT(1) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(11) | BIT(16) | BIT(27) |
                               BIT(28) | BIT(29)), 0);
    /* UINTR, CET_IBT, AMX */
    assert_int_equal(c7.edx & (BIT(5) | BIT(20) | BIT(22) | BIT(24) | BIT(25)), 0);
    assert_int_equal(c71.eax & ~(BIT(4) | BIT(10) | BIT(11) | BIT(12)), 0);
    assert_int_equal(cd.eax & ~7u, 0);
    assert_int_equal(cd1.eax & ~7u, 0); /* XSAVES, XFD */
    assert_int_equal(x1.ecx & BIT(2), 0); /* SVM */
    assert_int_equal(leaf(*state, 0xa, 0).eax, 0);
    assert_int_equal(leaf(*state, 0x15, 0).eax, 0);
}

static void what_is_made_here_is_offered_on_every_host(void **state)
{
    X86Cpuid c1 = leaf(*state, 1, 0), c7 = leaf(*state, 7, 0), x1 = leaf(*state, 0x80000001, 0);

    /* PCID, x2APIC, TSC deadline, hypervisor */
    assert_int_equal(~c1.ecx & (BIT(17) | BIT(21) | BIT(24) | BIT(31)), 0);
    /* FSGSBASE, TSC_ADJUST, SMEP, ERMS, INVPCID, SMAP, CLFLUSHOPT, CLWB */
    assert_int_equal(~c7.ebx & (BIT(0) | BIT(1) | BIT(7) | BIT(9) | BIT(10) | BIT(20) | BIT(23) | BIT(24)), 0);
    assert_int_equal(~c7.ecx & (BIT(2) | BIT(22)), 0); /* UMIP, RDPID */
    assert_int_equal(~c7.edx & (BIT(4) | BIT(26) | BIT(29)), 0); /* FSRM, IBRS, ARCH_CAPABILITIES */
    assert_int_equal(~x1.edx & (BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29)), 0);
    assert_int_equal(leaf(*state, 6, 0).eax, BIT(2));
    assert_int_equal(leaf(*state, 0x40000001, 0).eax, BIT(0) | BIT(1) | BIT(3) | BIT(11) | BIT(24));
}

static void what_runs_natively_is_the_hosts(void **state)
{
    X86Cpuid c1 = leaf(*state, 1, 0), c7 = leaf(*state, 7, 0);
    const uint32_t native_1 = BIT(1) | BIT(9) | BIT(12) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) | BIT(30);
    const uint32_t native_7 = BIT(3) | BIT(8) | BIT(18) | BIT(19) | BIT(29);
    unsigned a, b, c, d;

    __cpuid(1, a, b, c, d);
    assert_int_equal(c1.ecx & native_1, c & native_1);
    __cpuid_count(7, 0, a, b, c, d);
    assert_int_equal(c7.ebx & native_7, b & native_7);
}

static void leaves_are_consistent(void **state)
{
    const Supported *s = *state;
    X86Cpuid cd = leaf(s, 0xd, 0);

    for (unsigned i = 0; i < s->n; i++) {
        for (unsigned j = 0; j < i; j++) {
            assert_false(s->list[i].leaf == s->list[j].leaf && s->list[i].subleaf == s->list[j].subleaf);
        }
    }
    assert_int_equal(leaf(s, 0, 0).eax, 0xd);
    assert_int_equal(leaf(s, 0x80000000, 0).eax, 0x80000021);
    assert_int_equal(leaf(s, 7, 0).eax, 2);
    assert_int_equal(cd.ebx, cd.eax & 4 ? 832 : 576);
    assert_int_equal(leaf(s, 0x80000008, 0).eax >> 8 & 0xff, 48);
    assert_in_range(leaf(s, 0x80000008, 0).eax & 0xff, 36, 52);
}

static void a_short_list_is_cut_not_overrun(void **state)
{
    X86Cpuid list[6] = { [5] = { .leaf = 0x12345678 } };

    assert_int_equal(soft_supported_cpuid(list, 5), 5);
    assert_int_equal(list[5].leaf, 0x12345678);
    assert_int_equal(soft_supported_cpuid(list, 0), 0);
}

/* ---- CPU models ---- */
static unsigned supported_cpuid(Accel *accel, X86Cpuid *ret, unsigned max)
{
    return soft_supported_cpuid(ret, max);
}

static uint64_t supported_msr(Accel *accel, uint32_t msr)
{
    return soft_supported_msr_feature(msr);
}

static const AccelClass soft_class = {
    .name = "tcg", .supported_cpuid = supported_cpuid, .supported_msr_features = supported_msr,
};

/* With `enforce`: nothing of the model is missing. */
static void assert_complete(const char *text)
{
    Accel accel = { .class = &soft_class };
    g_autoptr(GError) error = NULL;
    CpuModel *m = cpu_model_new(text, &accel, &error);

    if (!m) {
        fail_msg("%s", error->message);
    }
    cpu_model_free(m);
}

static void portable_models_are_given_in_full(void **state)
{
    assert_complete("qemu64,enforce");
    assert_complete("kvm64,enforce");
    assert_complete("x86-64-v2,enforce");
    assert_complete("Nehalem,enforce");
    assert_complete("max,enforce");
    assert_complete("host,enforce");
}

static void max_makes_linux_drop_its_workarounds(void **state)
{
    Accel accel = { .class = &soft_class };
    CpuModel *m = cpu_model_new("max", &accel, NULL);

    assert_non_null(m);
    assert_true(cpu_model_feature(m, "arch-capabilities"));
    assert_true(cpu_model_feature(m, "rdctl-no"));
    assert_true(cpu_model_feature(m, "mds-no"));
    assert_true(cpu_model_feature(m, "taa-no"));
    assert_true(cpu_model_feature(m, "ssb-no"));
    assert_true(cpu_model_feature(m, "ibrs-all"));
    assert_true(cpu_model_feature(m, "bhi-no"));
    assert_true(cpu_model_feature(m, "bhi-ctrl"));
    assert_true(cpu_model_feature(m, "its-no"));
    assert_true(cpu_model_feature(m, "invpcid"));
    assert_false(cpu_model_feature(m, "vmx"));
    cpu_model_free(m);
}

/* ---- answers ---- */
static void ask(SoftCpu *cpu, uint32_t eax, uint32_t ecx, uint32_t ret[4])
{
    soft_outside_end(cpu); /* where instructions are */
    soft_cpuid_execute(cpu, eax, ecx, ret);
    soft_outside_begin(cpu);
}

static void set_vendor(SoftRig *rig, Supported *s, const char *vendor)
{
    memcpy(&s->list[0].ebx, vendor, 4);
    memcpy(&s->list[0].edx, vendor + 4, 4);
    memcpy(&s->list[0].ecx, vendor + 8, 4);
    soft_cpu_set_cpuid(rig->cpu, s->list, s->n);
}

static void beyond_the_last_leaf_intel_repeats_it_and_amd_says_nothing(void **state)
{
    SoftRig *rig = soft_rig_new();
    uint32_t r[4];

    set_vendor(rig, *state, "GenuineIntel");
    ask(rig->cpu, 0x7777, 0, r);
    assert_int_equal(r[0], leaf(*state, 0xd, 0).eax);
    ask(rig->cpu, 0x80007777, 0, r);
    assert_int_equal(r[0], leaf(*state, 0xd, 0).eax);
    ask(rig->cpu, 3, 0, r); /* within, and empty */
    assert_int_equal(r[0] | r[1] | r[2] | r[3], 0);
    set_vendor(rig, *state, "AuthenticAMD");
    ask(rig->cpu, 0x7777, 0, r);
    assert_int_equal(r[0] | r[1] | r[2] | r[3], 0);
    soft_rig_free(rig);
}

static void missing_levels_of_the_topology_tell_the_id(void **state)
{
    SoftRig *rig = soft_rig_new();
    Supported *s = *state;
    uint32_t r[4];

    s->list[s->n++] = (X86Cpuid) { .leaf = 0xb, .indexed = true, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 5 };
    soft_cpu_set_cpuid(rig->cpu, s->list, s->n);
    ask(rig->cpu, 0xb, 7, r);
    assert_int_equal(r[0] | r[1], 0);
    assert_int_equal(r[2], 7);
    assert_int_equal(r[3], 5);
    soft_rig_free(rig);
}

static void what_a_model_gives_reaches_the_guest(void **state)
{
    Accel accel = { .class = &soft_class };
    const CpuTopology one = { 1, 1, 1, 1, 1, 1 };
    CpuModel *m = cpu_model_new("max", &accel, NULL);
    SoftRig *rig = soft_rig_new();
    X86Cpuid list[X86_CPUID_MAX];
    uint32_t r[4];

    assert_non_null(m);
    soft_cpu_set_cpuid(rig->cpu, list, cpu_model_cpuid(m, &one, 0, list, X86_CPUID_MAX));
    ask(rig->cpu, 7, 0, r);
    assert_int_equal(r[0], 2);
    ask(rig->cpu, 7, 2, r);
    assert_int_equal(r[3], BIT(4));
    assert_true(soft_offers(rig->cpu, FEATURE_BHI_CTRL));
    soft_rig_free(rig);
    cpu_model_free(m);
}

static void soft_has_knows_every_bit(void **state)
{
    SoftRig *rig = soft_rig_new();
    const Supported *s = *state;

    for (unsigned i = 0; i < s->n; i++) {
        const uint32_t r[4] = { s->list[i].eax, s->list[i].ebx, s->list[i].ecx, s->list[i].edx };

        for (unsigned bit = 0; bit < 128; bit++) {
            assert_int_equal(soft_has(rig->cpu, s->list[i].leaf, s->list[i].subleaf, bit / 32, bit % 32),
                             r[bit / 32] >> bit % 32 & 1);
        }
    }
    assert_false(soft_has(rig->cpu, 0x12345, 0, 0, 0));
    soft_rig_free(rig);
}

static void physical_addresses_have_the_width_that_cpuid_tells(void **state)
{
    SoftRig *rig = soft_rig_new();
    Supported *s = *state;

    assert_int_equal(rig->cpu->phys_bits, leaf(s, 0x80000008, 0).eax & 0xff);
    for (unsigned i = 0; i < s->n; i++) {
        s->list[i].eax = s->list[i].leaf == 0x80000008 ? 0x30ff : s->list[i].eax;
    }
    soft_cpu_set_cpuid(rig->cpu, s->list, s->n);
    assert_int_equal(rig->cpu->phys_bits, 52);
    soft_cpu_set_cpuid(rig->cpu, s->list, 1);
    assert_int_equal(rig->cpu->phys_bits, 36);
    soft_rig_free(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_made_here_is_hidden),
        TEST(what_is_made_here_is_offered_on_every_host),
        TEST(what_runs_natively_is_the_hosts),
        TEST(leaves_are_consistent),
        TEST(a_short_list_is_cut_not_overrun),
        TEST(portable_models_are_given_in_full),
        TEST(max_makes_linux_drop_its_workarounds),
        TEST(beyond_the_last_leaf_intel_repeats_it_and_amd_says_nothing),
        TEST(missing_levels_of_the_topology_tell_the_id),
        TEST(what_a_model_gives_reaches_the_guest),
        TEST(soft_has_knows_every_bit),
        TEST(physical_addresses_have_the_width_that_cpuid_tells),
    };

    return cmocka_run_group_tests_name("soft-cpuid", tests, NULL, NULL);
}
