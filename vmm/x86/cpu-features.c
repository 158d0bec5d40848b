/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of CPU features; see cpu-features.h.
 *
 * Left out: bits that are not features but state (OSXSAVE, OSPKE), that KVM alone
 * decides, or that no accelerator of ours gives (SGX, Intel PT, MPX, SEV).
 */
#include "vmm/x86/cpu-features.h"

#include <string.h>

static const char *const names_1_edx[32] = {
    "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce",
    "cx8", "apic", NULL, "sep", "mtrr", "pge", "mca", "cmov",
    "pat", "pse36", "pn", "clflush", NULL, "ds", "acpi", "mmx",
    "fxsr", "sse", "sse2", "ss", "ht", "tm", "ia64", "pbe",
};

static const char *const names_1_ecx[32] = {
    "pni", "pclmulqdq", "dtes64", "monitor", "ds-cpl", "vmx", "smx", "est",
    "tm2", "ssse3", "cid", NULL, "fma", "cx16", "xtpr", "pdcm",
    NULL, "pcid", "dca", "sse4.1", "sse4.2", "x2apic", "movbe", "popcnt",
    "tsc-deadline", "aes", "xsave", NULL, "avx", "f16c", "rdrand", "hypervisor",
};

static const char *const names_7_ebx[32] = {
    "fsgsbase", "tsc-adjust", NULL, "bmi1", "hle", "avx2", NULL, "smep",
    "bmi2", "erms", "invpcid", "rtm", NULL, NULL, NULL, NULL,
    "avx512f", "avx512dq", "rdseed", "adx", "smap", "avx512ifma", NULL, "clflushopt",
    "clwb", NULL, "avx512pf", "avx512er", "avx512cd", "sha-ni", "avx512bw", "avx512vl",
};

static const char *const names_7_ecx[32] = {
    NULL, "avx512vbmi", "umip", "pku", NULL, "waitpkg", "avx512vbmi2", NULL,
    "gfni", "vaes", "vpclmulqdq", "avx512vnni", "avx512bitalg", NULL, "avx512-vpopcntdq", NULL,
    "la57", NULL, NULL, NULL, NULL, NULL, "rdpid", NULL,
    "bus-lock-detect", "cldemote", NULL, "movdiri", "movdir64b", NULL, NULL, "pks",
};

static const char *const names_7_edx[32] = {
    NULL, NULL, "avx512-4vnniw", "avx512-4fmaps", "fsrm", NULL, NULL, NULL,
    "avx512-vp2intersect", NULL, "md-clear", NULL, NULL, NULL, "serialize", NULL,
    "tsx-ldtrk", NULL, NULL, NULL, NULL, NULL, "amx-bf16", "avx512-fp16",
    "amx-tile", "amx-int8", "spec-ctrl", "stibp", "flush-l1d", "arch-capabilities", "core-capability", "ssbd",
};

static const char *const names_7_1_eax[32] = {
    [4] = "avx-vnni", [5] = "avx512-bf16", [7] = "cmpccxadd", [10] = "fzrm", [11] = "fsrs", [12] = "fsrc",
    [21] = "amx-fp16", [23] = "avx-ifma",
};

/* Bits of IA32_SPEC_CTRL. */
static const char *const names_7_2_edx[32] = { "intel-psfd", "ipred-ctrl", "rrsba-ctrl", "ddpd-u", "bhi-ctrl" };

/* Bits that AMD repeats from leaf 1 have no names here. */
static const char *const names_80000001_edx[32] = {
    [11] = "syscall", [19] = "mp", [20] = "nx", [22] = "mmxext", [25] = "fxsr-opt", [26] = "pdpe1gb",
    [27] = "rdtscp", [29] = "lm", [30] = "3dnowext", [31] = "3dnow",
};

static const char *const names_80000001_ecx[32] = {
    "lahf-lm", "cmp-legacy", "svm", "extapic", "cr8legacy", "abm", "sse4a", "misalignsse",
    "3dnowprefetch", "osvw", "ibs", "xop", "skinit", "wdt", NULL, "lwp",
    "fma4", "tce", NULL, "nodeid-msr", NULL, "tbm", "topoext", "perfctr-core",
    "perfctr-nb",
};

static const char *const names_80000007_edx[32] = { [8] = "invtsc" };

static const char *const names_80000008_ebx[32] = {
    [0] = "clzero", [2] = "xsaveerptr", [9] = "wbnoinvd", [12] = "ibpb", [14] = "ibrs", [15] = "amd-stibp",
    [17] = "stibp-always-on", [24] = "amd-ssbd", [25] = "virt-ssbd", [26] = "amd-no-ssb", [28] = "amd-psfd",
    [29] = "btc-no",
};

static const char *const names_80000021_eax[32] = {
    [0] = "no-nested-data-bp", [2] = "lfence-always-serializing", [6] = "null-sel-clr-base", [8] = "auto-ibrs",
    [29] = "srso-no",
};

static const char *const names_6_eax[32] = { [2] = "arat" };

static const char *const names_d_1_eax[32] = { "xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd" };

static const char *const names_kvm[32] = {
    [0] = "kvmclock-old", [1] = "kvm-nopiodelay", [2] = "kvm-mmu", [3] = "kvmclock-new", [4] = "kvm-asyncpf",
    [5] = "kvm-steal-time", [6] = "kvm-pv-eoi", [7] = "kvm-pv-unhalt", [9] = "kvm-pv-tlb-flush",
    [10] = "kvm-asyncpf-vmexit", [11] = "kvm-pv-ipi", [12] = "kvm-poll-control", [13] = "kvm-pv-sched-yield",
    [14] = "kvm-asyncpf-int", [24] = "kvmclock-stable-bit",
};

static const char *const names_svm[32] = {
    "npt", "lbrv", "svm-lock", "nrip-save", "tsc-scale", "vmcb-clean", "flushbyasid", "decodeassists",
    [10] = "pause-filter", [12] = "pfthreshold", [13] = "avic", [15] = "v-vmsave-vmload", [16] = "vgif",
    [28] = "svme-addr-chk",
};

static const char *const names_arch_capabilities[32] = {
    "rdctl-no", "ibrs-all", "rsba", "skip-l1dfl-vmentry", "ssb-no", "mds-no", "pschange-mc-no", "tsx-ctrl", "taa-no",
    [13] = "sbdr-ssdp-no", [14] = "fbsdp-no", [15] = "psdp-no", [17] = "fb-clear", [19] = "rrsba", [20] = "bhi-no",
    [24] = "pbrsb-no", [26] = "gds-no", [27] = "rfds-no",
};

static const char *const names_arch_capabilities_high[32] = { [62 - 32] = "its-no" };

const CpuWordInfo cpu_words[CPU_WORDS] = {
    [WORD_1_EDX] = { .leaf = 1, .reg = REGISTER_EDX, .names = names_1_edx },
    [WORD_1_ECX] = { .leaf = 1, .reg = REGISTER_ECX, .names = names_1_ecx },
    [WORD_7_EBX] = { .leaf = 7, .reg = REGISTER_EBX, .names = names_7_ebx },
    [WORD_7_ECX] = { .leaf = 7, .reg = REGISTER_ECX, .names = names_7_ecx },
    [WORD_7_EDX] = { .leaf = 7, .reg = REGISTER_EDX, .names = names_7_edx },
    [WORD_7_1_EAX] = { .leaf = 7, .subleaf = 1, .reg = REGISTER_EAX, .names = names_7_1_eax },
    [WORD_7_2_EDX] = { .leaf = 7, .subleaf = 2, .reg = REGISTER_EDX, .names = names_7_2_edx },
    [WORD_80000001_EDX] = { .leaf = 0x80000001, .reg = REGISTER_EDX, .names = names_80000001_edx },
    [WORD_80000001_ECX] = { .leaf = 0x80000001, .reg = REGISTER_ECX, .names = names_80000001_ecx },
    [WORD_80000007_EDX] = { .leaf = 0x80000007, .reg = REGISTER_EDX, .names = names_80000007_edx },
    [WORD_80000008_EBX] = { .leaf = 0x80000008, .reg = REGISTER_EBX, .names = names_80000008_ebx },
    [WORD_80000021_EAX] = { .leaf = 0x80000021, .reg = REGISTER_EAX, .names = names_80000021_eax },
    [WORD_6_EAX] = { .leaf = 6, .reg = REGISTER_EAX, .names = names_6_eax },
    [WORD_D_1_EAX] = { .leaf = 0xd, .subleaf = 1, .reg = REGISTER_EAX, .names = names_d_1_eax },
    [WORD_KVM] = { .leaf = 0x40000001, .reg = REGISTER_EAX, .names = names_kvm },
    [WORD_SVM] = { .leaf = 0x8000000a, .reg = REGISTER_EDX, .names = names_svm },
    [WORD_ARCH_CAPABILITIES] = { .msr = 0x10a, .names = names_arch_capabilities },
    [WORD_ARCH_CAPABILITIES_HIGH] = { .msr = 0x10a, .shift = 32, .names = names_arch_capabilities_high },
};

/* Other spellings, and names of several bits. */
static const struct { const char *name, *stands_for; } aliases[] = {
    { "kvmclock", "kvmclock-old kvmclock-new" },
    { "sse3", "pni" }, { "sse4-1", "sse4.1" }, { "sse4-2", "sse4.2" }, { "pclmuldq", "pclmulqdq" },
    { "i64", "lm" }, { "xd", "nx" }, { "ffxsr", "fxsr-opt" }, { "lzcnt", "abm" }, { "sha", "sha-ni" },
};

static bool same_name(const char *a, const char *b)
{
    while (*a && (*a == *b || (*a == '_' && *b == '-'))) {
        a++;
        b++;
    }
    return !*a && !*b;
}

static bool find_bit(const char *name, CpuFeatures *ret)
{
    for (unsigned w = 0; w < CPU_WORDS; w++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            if (cpu_words[w].names[bit] && same_name(name, cpu_words[w].names[bit])) {
                ret->word[w] |= 1u << bit;
                return true;
            }
        }
    }
    return false;
}

bool cpu_feature_find(const char *name, CpuFeatures *ret)
{
    *ret = (CpuFeatures) { 0 };
    for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++) {
        if (same_name(name, aliases[i].name)) {
            cpu_features_add(ret, aliases[i].stands_for);
            return true;
        }
    }
    return find_bit(name, ret);
}

void cpu_features_add(CpuFeatures *features, const char *names)
{
    g_auto(GStrv) list = g_strsplit(names, " ", -1);

    for (unsigned i = 0; list[i]; i++) {
        g_assert(!list[i][0] || find_bit(list[i], features)); /* our own tables */
    }
}

void cpu_features_remove(CpuFeatures *features, const CpuFeatures *what)
{
    for (unsigned w = 0; w < CPU_WORDS; w++) {
        features->word[w] &= ~what->word[w];
    }
}

bool cpu_features_any(const CpuFeatures *features)
{
    for (unsigned w = 0; w < CPU_WORDS; w++) {
        if (features->word[w]) {
            return true;
        }
    }
    return false;
}

void cpu_features_print(const CpuFeatures *features, GString *out)
{
    const char *separator = "";

    for (unsigned w = 0; w < CPU_WORDS; w++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            if (cpu_has(features, w, bit) && cpu_words[w].names[bit]) {
                g_string_append_printf(out, "%s%s", separator, cpu_words[w].names[bit]);
                separator = " ";
            }
        }
    }
}

const char **cpu_feature_names(void)
{
    GPtrArray *names = g_ptr_array_new();

    for (unsigned i = 0; i < G_N_ELEMENTS(aliases); i++) {
        g_ptr_array_add(names, (gpointer)aliases[i].name);
    }
    for (unsigned w = 0; w < CPU_WORDS; w++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            if (cpu_words[w].names[bit]) {
                g_ptr_array_add(names, (gpointer)cpu_words[w].names[bit]);
            }
        }
    }
    g_ptr_array_add(names, NULL);
    return (const char **)g_ptr_array_free(names, false);
}

/* In an order that lets one pass follow a chain. */
static const struct { const char *needed, *by; } dependencies[] = {
    { "xsave", "avx pku xsaveopt xsavec xgetbv1 xsaves xfd amx-tile" },
    { "avx", "avx2 fma f16c fma4 xop vaes vpclmulqdq avx-vnni avx-ifma" },
    { "avx2", "avx512f" },
    { "avx512f", "avx512dq avx512ifma avx512pf avx512er avx512cd avx512bw avx512vl avx512vbmi avx512vbmi2 avx512vnni "
                 "avx512bitalg avx512-vpopcntdq avx512-4vnniw avx512-4fmaps avx512-vp2intersect avx512-fp16 "
                 "avx512-bf16" },
    { "amx-tile", "amx-bf16 amx-int8 amx-fp16" },
    { "arch-capabilities", "rdctl-no ibrs-all rsba skip-l1dfl-vmentry ssb-no mds-no pschange-mc-no tsx-ctrl taa-no "
                           "sbdr-ssdp-no fbsdp-no psdp-no fb-clear rrsba bhi-no pbrsb-no" },
    { "svm", "npt lbrv svm-lock nrip-save tsc-scale vmcb-clean flushbyasid decodeassists pause-filter pfthreshold avic "
             "v-vmsave-vmload vgif svme-addr-chk" },
};

void cpu_features_drop_orphans(CpuFeatures *have)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(dependencies); i++) {
        CpuFeatures needed = { 0 }, orphans = { 0 };
        CpuFeatures missing;

        cpu_features_add(&needed, dependencies[i].needed);
        missing = needed;
        cpu_features_remove(&missing, have);
        if (cpu_features_any(&missing)) {
            cpu_features_add(&orphans, dependencies[i].by);
            cpu_features_remove(have, &orphans);
        }
    }
}
