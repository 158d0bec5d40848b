/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models and their CPUID leaves, on an accelerator that gives what each test
 * says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "vmm/error.h"
#include "vmm/x86/cpu-model.h"

/* A host with AVX2, without AVX-512. */
static const X86Cpuid host_cpuid[] = {
    { 0, 0, false, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69 }, /* GenuineIntel */
    { 1, 0, false, 0x000306c3, 0, 0xfffaf383u & ~(1u << 27), 0x1f8bfbff },
    { 6, 0, false, 4, 0, 0, 0 },
    { 7, 0, true, 0, 0x021c2fbb & ~(1u << 4 | 1u << 11), 0, 0xac000400 },
    { 0xd, 0, true, 7, 832, 832, 0 },
    { 0xd, 1, true, 1, 832, 0, 0 },
    { 0xd, 2, true, 256, 576, 0, 0 },
    { 0x40000001, 0, false, 0x01007efb, 0, 0, 0 },
    { 0x80000000, 0, false, 0x80000008, 0, 0, 0 },
    { 0x80000001, 0, false, 0, 0, 0x121, 0x2c100800 },
    { 0x80000002, 0, false, 0x74736554, 0x554350, 0, 0 }, /* TestPCU */
    { 0x80000007, 0, false, 0, 0, 0, 0x100 },
    { 0x80000008, 0, false, 0x3027, 0, 0, 0 }, /* 39 bits */
};

static unsigned supported_cpuid(Accel *accel, X86Cpuid *ret, unsigned max)
{
    memcpy(ret, host_cpuid, sizeof(host_cpuid));
    return G_N_ELEMENTS(host_cpuid);
}

static uint64_t supported_msr_features(Accel *accel, uint32_t msr)
{
    return msr == 0x8b ? 0x2800000000 : 0;
}

static const AccelClass fake_class = {
    .name = "kvm", .supported_cpuid = supported_cpuid, .supported_msr_features = supported_msr_features,
};
static Accel fake = { .class = &fake_class };

static const CpuTopology one = { 1, 1, 1, 1, 1, 1 };

static CpuModel *model(const char *text)
{
    GError *error = NULL;
    CpuModel *m = cpu_model_new(text, &fake, &error);

    if (!m) {
        fail_msg("%s", error->message);
    }
    return m;
}

static void assert_refused(const char *text, const char *why, const char *way_out)
{
    GError *error = NULL;

    assert_null(cpu_model_new(text, &fake, &error));
    if (!strstr(error->message, why)) {
        fail_msg("'%s' does not say '%s'", error->message, why);
    }
    assert_non_null(error_get_hint(error));
    if (!strstr(error_get_hint(error), way_out)) {
        fail_msg("'%s' does not say '%s'", error_get_hint(error), way_out);
    }
    g_error_free(error);
}

static X86Cpuid leaf_of(const CpuModel *m, const CpuTopology *t, uint32_t apic_id, uint32_t leaf, uint32_t subleaf)
{
    X86Cpuid list[X86_CPUID_MAX];
    unsigned n = cpu_model_cpuid(m, t, apic_id, list, G_N_ELEMENTS(list));

    for (unsigned i = 0; i < n; i++) {
        if (list[i].leaf == leaf && (!list[i].indexed || list[i].subleaf == subleaf)) {
            return list[i];
        }
    }
    return (X86Cpuid) { .leaf = UINT32_MAX };
}

static void test_qemu64_has_its_signature_and_vendor(void **state)
{
    CpuModel *m = model("qemu64");
    X86Cpuid c = leaf_of(m, &one, 0, 0, 0);

    assert_int_equal(cpu_model_signature(m), 0x00060fb1);
    assert_int_equal(c.ebx, 0x68747541); /* Auth */
    assert_int_equal(c.edx, 0x69746e65); /* enti */
    assert_int_equal(c.ecx, 0x444d4163); /* cAMD */
    cpu_model_free(m);
}

static void test_host_takes_the_hosts_signature(void **state)
{
    CpuModel *m = model("host");

    assert_int_equal(cpu_model_signature(m), 0x000306c3);
    assert_true(cpu_model_feature(m, "avx2"));
    assert_false(cpu_model_feature(m, "avx512f"));
    assert_int_equal(cpu_model_feature_msr(m, 0x8b), 0x2800000000);
    cpu_model_free(m);
}

static void test_host_leaves_out_what_cannot_migrate(void **state)
{
    CpuModel *m = model("host"), *n = model("host,migratable=off");

    assert_false(cpu_model_feature(m, "invtsc"));
    assert_true(cpu_model_feature(n, "invtsc"));
    cpu_model_free(m);
    cpu_model_free(n);
}

static void test_plus_and_minus_change_features(void **state)
{
    CpuModel *m = model("qemu64,+ssse3,-cx16");

    assert_true(cpu_model_feature(m, "ssse3"));
    assert_false(cpu_model_feature(m, "cx16"));
    cpu_model_free(m);
}

static void test_minus_wins_over_on_wherever_it_stands(void **state)
{
    CpuModel *m = model("qemu64,-ssse3,ssse3=on");

    assert_false(cpu_model_feature(m, "ssse3"));
    cpu_model_free(m);
}

static void test_underscores_and_old_names_are_understood(void **state)
{
    CpuModel *m = model("qemu64,sse4_1=on,+sse4_2,+tsc_adjust");

    assert_true(cpu_model_feature(m, "sse4.1"));
    assert_true(cpu_model_feature(m, "sse4.2"));
    assert_true(cpu_model_feature(m, "tsc-adjust"));
    cpu_model_free(m);
}

static void test_enforce_names_what_cannot_be_given(void **state)
{
    assert_refused("qemu64,+avx512f,enforce", "avx512f", "enforce");
}

static void test_without_enforce_it_is_left_out(void **state)
{
    CpuModel *m = model("Skylake-Server,check=off");

    assert_false(cpu_model_feature(m, "avx512f"));
    assert_true(cpu_model_feature(m, "avx2"));
    cpu_model_free(m);
}

static void test_unknown_model_names_the_nearest(void **state)
{
    assert_refused("Haswel", "Haswel", "Haswell");
}

static void test_unknown_feature_names_the_nearest(void **state)
{
    assert_refused("host,+avx22", "avx22", "avx2");
}

static void test_unknown_option_names_the_nearest(void **state)
{
    assert_refused("host,phys-bit=40", "phys-bit", "phys-bits");
}

static void test_phys_bits_beyond_the_host_are_refused(void **state)
{
    assert_refused("qemu64,phys-bits=46", "39", "phys-bits=39");
}

static void test_phys_bits_reach_cpuid(void **state)
{
    CpuModel *m = model("qemu64,phys-bits=36");

    assert_int_equal(cpu_model_phys_bits(m), 36);
    assert_int_equal(leaf_of(m, &one, 0, 0x80000008, 0).eax, 0x3024);
    cpu_model_free(m);
}

static void test_kvm_off_hides_the_signature(void **state)
{
    CpuModel *m = model("qemu64"), *n = model("qemu64,kvm=off");

    assert_int_equal(leaf_of(m, &one, 0, 0x40000000, 0).ebx, 0x4b4d564b);
    assert_int_equal(leaf_of(n, &one, 0, 0x40000000, 0).leaf, UINT32_MAX);
    cpu_model_free(m);
    cpu_model_free(n);
}

static void test_kvmclock_is_one_name_for_both_bits(void **state)
{
    CpuModel *m = model("qemu64,-kvmclock");

    assert_int_equal(leaf_of(m, &one, 0, 0x40000001, 0).eax & 9, 0);
    cpu_model_free(m);
}

static void test_taking_xsave_away_takes_avx_with_it(void **state)
{
    CpuModel *m = model("host,-xsave");

    assert_false(cpu_model_feature(m, "avx"));
    assert_false(cpu_model_feature(m, "avx2"));
    assert_int_equal(leaf_of(m, &one, 0, 0xd, 0).leaf, UINT32_MAX);
    cpu_model_free(m);
}

static void test_portable_models_have_only_what_every_accelerator_has(void **state)
{
    CpuModel *v1 = model("x86-64-v1"), *v2 = model("x86-64-v2"), *other = model("qemu64");

    assert_true(cpu_model_feature(v1, "kvmclock"));
    assert_false(cpu_model_feature(v1, "kvm-asyncpf"));
    assert_false(cpu_model_feature(v1, "kvmclock-stable-bit"));
    assert_false(cpu_model_feature(v1, "kvm-steal-time"));
    assert_false(cpu_model_feature(v2, "kvm-pv-eoi"));
    assert_true(cpu_model_feature(other, "kvm-pv-eoi"));
    assert_false(cpu_model_feature(v1, "pni"));
    assert_true(cpu_model_feature(v2, "pni"));
    cpu_model_free(v1);
    cpu_model_free(v2);
    cpu_model_free(other);
}

static void test_xsave_leaf_holds_what_the_features_need(void **state)
{
    CpuModel *m = model("x86-64-v3"), *n = model("host,-avx");

    assert_int_equal(leaf_of(m, &one, 0, 0xd, 0).eax, 7);
    assert_int_equal(leaf_of(m, &one, 0, 0xd, 0).ecx, 832);
    assert_int_equal(leaf_of(n, &one, 0, 0xd, 0).eax, 3);
    assert_int_equal(leaf_of(n, &one, 0, 0xd, 0).ecx, 576);
    cpu_model_free(m);
    cpu_model_free(n);
}

static void test_topology_leaf_tells_threads_and_cores(void **state)
{
    static const CpuTopology t = { 8, 8, 2, 1, 2, 2 };
    CpuModel *m = model("Haswell,check=off");
    X86Cpuid smt = leaf_of(m, &t, 7, 0xb, 0), core = leaf_of(m, &t, 7, 0xb, 1), end = leaf_of(m, &t, 7, 0xb, 2);

    assert_int_equal(smt.eax, 1);
    assert_int_equal(smt.ebx, 2);
    assert_int_equal(smt.ecx, 0x100);
    assert_int_equal(core.eax, 2);
    assert_int_equal(core.ebx, 4);
    assert_int_equal(core.ecx, 0x201);
    assert_int_equal(end.ecx, 2);
    assert_int_equal(smt.edx, 7);
    assert_int_equal(leaf_of(m, &t, 7, 1, 0).ebx, 0x07040800);
    cpu_model_free(m);
}

static void test_dies_bring_leaf_1f(void **state)
{
    static const CpuTopology t = { 4, 4, 1, 2, 2, 1 };
    CpuModel *m = model("Haswell,check=off");

    assert_int_equal(leaf_of(m, &t, 0, 0, 0).eax, 0x1f);
    assert_int_equal(leaf_of(m, &t, 0, 0x1f, 2).ecx, 0x502);
    assert_int_equal(leaf_of(m, &t, 0, 0x1f, 2).ebx, 4);
    cpu_model_free(m);
}

static void test_amd_repeats_leaf_1_bits(void **state)
{
    CpuModel *m = model("qemu64"), *n = model("kvm64");

    assert_int_equal(leaf_of(m, &one, 0, 0x80000001, 0).edx & 1, 1);
    assert_int_equal(leaf_of(n, &one, 0, 0x80000001, 0).edx & 1, 0);
    cpu_model_free(m);
    cpu_model_free(n);
}

static void test_overrides_change_the_signature(void **state)
{
    CpuModel *m = model("qemu64,vendor=GenuineIntel,family=6,model=94,stepping=3,model-id=Mine,level=11");

    assert_int_equal(cpu_model_signature(m), 0x000506e3);
    assert_int_equal(leaf_of(m, &one, 0, 0, 0).eax, 11);
    assert_int_equal(leaf_of(m, &one, 0, 0x80000002, 0).eax, 0x656e694d);
    cpu_model_free(m);
}

static void test_help_lists_models_and_features(void **state)
{
    g_autoptr(GString) out = g_string_new(NULL);

    cpu_models_help(out);
    assert_non_null(strstr(out->str, "EPYC-Milan"));
    assert_non_null(strstr(out->str, "kvm-pv-eoi"));
    assert_non_null(strstr(out->str, "host-phys-bits"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qemu64_has_its_signature_and_vendor),
        cmocka_unit_test(test_host_takes_the_hosts_signature),
        cmocka_unit_test(test_host_leaves_out_what_cannot_migrate),
        cmocka_unit_test(test_plus_and_minus_change_features),
        cmocka_unit_test(test_minus_wins_over_on_wherever_it_stands),
        cmocka_unit_test(test_underscores_and_old_names_are_understood),
        cmocka_unit_test(test_enforce_names_what_cannot_be_given),
        cmocka_unit_test(test_without_enforce_it_is_left_out),
        cmocka_unit_test(test_unknown_model_names_the_nearest),
        cmocka_unit_test(test_unknown_feature_names_the_nearest),
        cmocka_unit_test(test_unknown_option_names_the_nearest),
        cmocka_unit_test(test_phys_bits_beyond_the_host_are_refused),
        cmocka_unit_test(test_phys_bits_reach_cpuid),
        cmocka_unit_test(test_kvm_off_hides_the_signature),
        cmocka_unit_test(test_kvmclock_is_one_name_for_both_bits),
        cmocka_unit_test(test_taking_xsave_away_takes_avx_with_it),
        cmocka_unit_test(test_portable_models_have_only_what_every_accelerator_has),
        cmocka_unit_test(test_xsave_leaf_holds_what_the_features_need),
        cmocka_unit_test(test_topology_leaf_tells_threads_and_cores),
        cmocka_unit_test(test_dies_bring_leaf_1f),
        cmocka_unit_test(test_amd_repeats_leaf_1_bits),
        cmocka_unit_test(test_overrides_change_the_signature),
        cmocka_unit_test(test_help_lists_models_and_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
