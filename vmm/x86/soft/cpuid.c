/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID (SDM 2A CPUID, APM 3 appendix E): what this CPU can give at most, what a guest was
 * given, and the instruction.
 *
 * Features are of two kinds: those whose instructions run natively, which the host must have
 * too, and those made here.  Hidden although hosts have them: MONITOR, VMX, SVM, TSX, SGX,
 * CET, AMX, AVX-512, protection keys, LA57, XSAVES, WAITPKG, performance counters, and leaves
 * 0x15 and 0x16, since the local APIC's timer does not run at the crystal's frequency.
 *
 * Feature MSRs say that the processor has none of the flaws that Linux works around:
 * workarounds cost the software CPU more than hardware, and it speculates nothing.  (It is no
 * boundary against speculation of the host's processor within a guest.)
 */
#include "vmm/x86/soft/system.h"
#include "vmm/x86/soft/vm.h"

#include <cpuid.h>

enum { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

#define B(n) (1u << (n))

#define MSR_UCODE_REV         0x8bu
#define MSR_PLATFORM_INFO     0xceu
#define MSR_ARCH_CAPABILITIES 0x10au
#define MSR_MCG_CAP           0x179u

#define KVM_LEAF        0x40000000u
#define KVM_SIGNATURE   0x4b4d564bu /* "KVMK", the first of three */
#define AMD_EDX_SHARED  0x0183f3ffu /* bits of 80000001.EDX that repeat leaf 1 on AMD */
#define LEAVES_BASIC    0xdu
#define LEAVES_EXTENDED 0x80000021u
#define LINEAR_BITS     48u
#define XSAVE_LEGACY    576u
#define XSAVE_AVX       256u

/* The words of SoftCpu.feature[], and of each the bits that are given: if the host has them (native), always (own). */
typedef struct WordRow {
    uint32_t leaf, subleaf;
    uint8_t reg;
    uint32_t native, own;
} WordRow;

static const WordRow words[FEATURE_WORDS] = {
    [FEATURE_1_ECX] = { 1, 0, REG_ECX,
        /* SSE3 PCLMULQDQ SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND */
        B(0) | B(1) | B(9) | B(12) | B(13) | B(19) | B(20) | B(22) | B(23) | B(25) | B(26) | B(28) | B(29) | B(30),
        /* PCID x2APIC TSC-deadline, a hypervisor */
        B(17) | B(21) | B(24) | B(31) },
    [FEATURE_1_EDX] = { 1, 0, REG_EDX, B(27) /* self-snoop */,
        /* FPU VME DE PSE TSC MSR PAE MCE CX8 APIC, SEP MTRR PGE MCA CMOV PAT PSE36, CLFSH, MMX FXSR SSE SSE2 */
        0x3ff | B(11) | B(12) | B(13) | B(14) | B(15) | B(16) | B(17) | B(19) | B(23) | B(24) | B(25) | B(26) },
    [FEATURE_7_EBX] = { 7, 0, REG_EBX,
        /* BMI1 AVX2 BMI2 RDSEED ADX SHA */
        B(3) | B(5) | B(8) | B(18) | B(19) | B(29),
        /* FSGSBASE TSC_ADJUST FDP_EXCPTN_ONLY SMEP ERMS INVPCID ZERO_FCS_FDS SMAP CLFLUSHOPT CLWB */
        B(0) | B(1) | B(6) | B(7) | B(9) | B(10) | B(13) | B(20) | B(23) | B(24) },
    [FEATURE_7_ECX] = { 7, 0, REG_ECX, B(8) | B(9) | B(10) /* GFNI VAES VPCLMULQDQ */, B(2) | B(22) /* UMIP RDPID */ },
    [FEATURE_7_EDX] = { 7, 0, REG_EDX, 0,
        /* FSRM MD_CLEAR SERIALIZE, IBRS and IBPB, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD */
        B(4) | B(10) | B(14) | B(26) | B(27) | B(28) | B(29) | B(31) },
    [FEATURE_7_1_EAX] = { 7, 1, REG_EAX, B(4) /* AVX-VNNI */, B(10) | B(11) | B(12) /* FZRM FSRS FSRC */ },
    /* Linux clears the branch history by software where hardware has no control for it, whatever BHI_NO says. */
    [FEATURE_7_2_EDX] = { 7, 2, REG_EDX, 0, B(4) /* BHI_CTRL */ },
    [FEATURE_D_1_EAX] = { 0xd, 1, REG_EAX, B(0) | B(1) | B(2) /* XSAVEOPT XSAVEC XGETBV1 */, 0 },
    [FEATURE_80000001_ECX] = { 0x80000001, 0, REG_ECX, B(5) | B(6) /* LZCNT SSE4A */,
        B(0) | B(8) | B(22) /* LAHF, PREFETCHW, the leaves of the topology */ },
    [FEATURE_80000001_EDX] = { 0x80000001, 0, REG_EDX, 0,
        /* SYSCALL NX, what SSE has of AMD's MMX extensions, pages of 1 GiB, RDTSCP, long mode */
        B(11) | B(20) | B(22) | B(26) | B(27) | B(29) },
    [FEATURE_80000007_EDX] = { 0x80000007, 0, REG_EDX, B(8) /* invariant TSC */, 0 },
    [FEATURE_80000008_EBX] = { 0x80000008, 0, REG_EBX, B(2) /* XSAVEERPTR */,
        /* WBNOINVD IBPB IBRS STIBP SSBD SSB_NO BTC_NO */
        B(9) | B(12) | B(14) | B(15) | B(24) | B(26) | B(29) },
    [FEATURE_80000021_EAX] = { 0x80000021, 0, REG_EAX, 0,
        /* LFENCE serializes, null selectors clear bases, automatic IBRS, SRSO_NO */
        B(2) | B(6) | B(8) | B(29) },
};

/* What needs the host's system to have turned on AVX. */
static const struct { uint8_t word; uint32_t bits; } needs_avx[] = {
    { FEATURE_1_ECX, B(12) | B(28) | B(29) }, { FEATURE_7_EBX, B(5) }, { FEATURE_7_ECX, B(9) | B(10) },
    { FEATURE_7_1_EAX, B(4) },
};

/* ---- the host ---- */
typedef struct Host {
    uint32_t max_basic, max_extended;
    bool avx, amd;
} Host;

static X86Cpuid host_leaf(uint32_t leaf, uint32_t subleaf)
{
    X86Cpuid c = { .leaf = leaf, .subleaf = subleaf };

    __cpuid_count(leaf, subleaf, c.eax, c.ebx, c.ecx, c.edx);
    return c;
}

static uint32_t host_xcr0(void)
{
    uint32_t low, high;

    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static Host host_probe(void)
{
    X86Cpuid c0 = host_leaf(0, 0), c1 = host_leaf(1, 0);

    return (Host) {
        .max_basic = c0.eax, .max_extended = host_leaf(0x80000000, 0).eax,
        .avx = c1.ecx & bit_OSXSAVE && (host_xcr0() & (XCR0_SSE | XCR0_AVX)) == (XCR0_SSE | XCR0_AVX),
        .amd = c0.ebx == signature_AMD_ebx,
    };
}

static uint32_t *reg_of(X86Cpuid *c, unsigned reg)
{
    return reg == REG_EAX ? &c->eax : reg == REG_EBX ? &c->ebx : reg == REG_ECX ? &c->ecx : &c->edx;
}

static uint32_t supported_word(const Host *h, unsigned word)
{
    const WordRow *row = &words[word];
    uint32_t bits = 0;

    if (row->leaf <= (row->leaf & 0x80000000 ? h->max_extended : h->max_basic)) {
        X86Cpuid c = host_leaf(row->leaf, row->subleaf);

        bits = *reg_of(&c, row->reg) & row->native;
    }
    for (unsigned i = 0; i < sizeof(needs_avx) / sizeof(needs_avx[0]) && !h->avx; i++) {
        bits &= needs_avx[i].word == word ? ~needs_avx[i].bits : UINT32_MAX;
    }
    return bits | row->own;
}

/* ---- what can be given ---- */
typedef struct Leaves { X86Cpuid *list; unsigned n, max; } Leaves;

static void put(Leaves *l, const X86Cpuid *leaf)
{
    if (l->n < l->max) {
        l->list[l->n++] = *leaf;
    }
}

/* With the words that this leaf has; its other registers as they are. */
static void put_features(Leaves *l, const Host *h, const X86Cpuid *leaf)
{
    X86Cpuid c = *leaf;

    for (unsigned w = FEATURE_DERIVED + 1; w < FEATURE_WORDS; w++) {
        if (words[w].leaf == c.leaf && words[w].subleaf == c.subleaf) {
            *reg_of(&c, words[w].reg) |= supported_word(h, w);
        }
    }
    put(l, &c);
}

static void put_host(Leaves *l, const Host *h, uint32_t leaf)
{
    X86Cpuid c;

    if (leaf <= (leaf & 0x80000000 ? h->max_extended : h->max_basic)) {
        c = host_leaf(leaf, 0);
        put(l, &c);
    }
}

/* Deterministic parameters of the host's caches: subleaves up to the first of type 0. */
static void put_host_caches(Leaves *l, const Host *h, uint32_t leaf)
{
    for (uint32_t i = 0; leaf <= (leaf & 0x80000000 ? h->max_extended : h->max_basic) && i < 16; i++) {
        X86Cpuid c = host_leaf(leaf, i);

        c.indexed = true;
        put(l, &c);
        if (!(c.eax & 31)) {
            return;
        }
    }
}

static void put_basic(Leaves *l, const Host *h)
{
    X86Cpuid c = host_leaf(0, 0);

    c.eax = LEAVES_BASIC;
    put(l, &c);
    c = (X86Cpuid) { .leaf = 1, .eax = host_leaf(1, 0).eax, .ebx = 8 << 8 /* CLFLUSH: 8 quadwords */ };
    put_features(l, h, &c);
    put_host(l, h, 2);
    put_host_caches(l, h, 4);
    put(l, &(X86Cpuid) { .leaf = 6, .eax = B(2) /* the APIC's timer never stops */ });
    put_features(l, h, &(X86Cpuid) { .leaf = 7, .subleaf = 0, .indexed = true, .eax = 2 });
    put_features(l, h, &(X86Cpuid) { .leaf = 7, .subleaf = 1, .indexed = true });
    put_features(l, h, &(X86Cpuid) { .leaf = 7, .subleaf = 2, .indexed = true });
}

static void put_xsave(Leaves *l, const Host *h)
{
    uint32_t size = h->avx ? XSAVE_LEGACY + XSAVE_AVX : XSAVE_LEGACY;

    if (!(supported_word(h, FEATURE_1_ECX) & B(26))) {
        return;
    }
    put(l, &(X86Cpuid) { .leaf = 0xd, .subleaf = 0, .indexed = true,
                         .eax = XCR0_X87 | XCR0_SSE | (h->avx ? XCR0_AVX : 0), .ebx = size, .ecx = size });
    put_features(l, h, &(X86Cpuid) { .leaf = 0xd, .subleaf = 1, .indexed = true, .ebx = size });
    if (h->avx) {
        put(l, &(X86Cpuid) { .leaf = 0xd, .subleaf = 2, .indexed = true, .eax = XSAVE_AVX, .ebx = XSAVE_LEGACY });
    }
}

/* KVM's signature and clock: the embedder makes it, Linux trusts it. */
static void put_hypervisor(Leaves *l)
{
    put(l, &(X86Cpuid) { .leaf = KVM_LEAF, .eax = KVM_LEAF + 1, .ebx = KVM_SIGNATURE, .ecx = 0x564b4d56, .edx = 0x4d });
    /* CLOCKSOURCE, NOP_IO_DELAY, CLOCKSOURCE2, PV_SEND_IPI, CLOCKSOURCE_STABLE */
    put(l, &(X86Cpuid) { .leaf = KVM_LEAF + 1, .eax = B(0) | B(1) | B(3) | B(11) | B(24) });
}

static void put_extended(Leaves *l, const Host *h)
{
    X86Cpuid c = host_leaf(0x80000000, 0), c1 = host_leaf(1, 0), c8 = host_leaf(0x80000008, 0);

    c.eax = LEAVES_EXTENDED;
    put(l, &c);
    put_features(l, h, &(X86Cpuid) { .leaf = 0x80000001, .eax = h->amd ? c1.eax : 0,
                                     .edx = h->amd ? supported_word(h, FEATURE_1_EDX) & AMD_EDX_SHARED : 0 });
    for (uint32_t leaf = 0x80000002; leaf <= 0x80000006; leaf++) {
        put_host(l, h, leaf);
    }
    put_features(l, h, &(X86Cpuid) { .leaf = 0x80000007 });
    put_features(l, h, &(X86Cpuid) { .leaf = 0x80000008, .eax = (c8.eax & 0xff) | LINEAR_BITS << 8 });
    if (h->amd) {
        put_host_caches(l, h, 0x8000001d);
    }
    put_features(l, h, &(X86Cpuid) { .leaf = 0x80000021 });
}

unsigned soft_supported_cpuid(X86Cpuid *ret, unsigned max)
{
    Host h = host_probe();
    Leaves l = { ret, 0, max };

    put_basic(&l, &h);
    put_xsave(&l, &h);
    put_hypervisor(&l);
    put_extended(&l, &h);
    return l.n;
}

uint64_t soft_supported_msr_feature(uint32_t index)
{
    switch (index) {
    case MSR_ARCH_CAPABILITIES:
        /* RDCL_NO IBRS_ALL SKIP_L1DFL SSB_NO MDS_NO PSCHANGE_MC_NO TAA_NO, SBDR_SSDP_NO FBSDP_NO PSDP_NO, BHI_NO,
         * PBRSB_NO, GDS_NO RFDS_NO; ITS_NO.  Without IBRS, IBRS_ALL goes. */
        return B(0) | B(1) | B(3) | B(4) | B(5) | B(6) | B(8) | B(13) | B(14) | B(15) | B(20) | B(24) | B(26) | B(27) |
               UINT64_C(1) << 62;
    case MSR_UCODE_REV:
        return host_probe().amd ? 0x01000065 : UINT64_C(0x100000000);
    case MSR_PLATFORM_INFO:
        return UINT64_C(1) << 31; /* faulting of CPUID */
    case MSR_MCG_CAP:
        return B(24) | B(8) | 10; /* recovery, MCG_CTL, ten banks */
    default:
        return 0;
    }
}

/* ---- what a guest was given ---- */
const X86Cpuid *soft_cpuid(const SoftCpu *cpu, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < cpu->cpuids; i++) {
        const X86Cpuid *c = &cpu->cpuid[i];

        if (c->leaf == leaf && (!c->indexed || c->subleaf == subleaf)) {
            return c;
        }
    }
    return NULL;
}

static uint32_t given_word(const SoftCpu *cpu, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
    const X86Cpuid *c = soft_cpuid(cpu, leaf, subleaf);

    if (!c) {
        return 0;
    }
    return reg == REG_EAX ? c->eax : reg == REG_EBX ? c->ebx : reg == REG_ECX ? c->ecx : c->edx;
}

bool soft_has(const SoftCpu *cpu, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
    for (unsigned w = FEATURE_DERIVED + 1; w < FEATURE_WORDS; w++) {
        if (words[w].leaf == leaf && words[w].subleaf == subleaf && words[w].reg == reg) {
            return cpu->feature[w] >> bit & 1;
        }
    }
    return given_word(cpu, leaf, subleaf, reg) >> bit & 1;
}

static bool vendor_is_amd(const SoftCpu *cpu)
{
    uint32_t ebx = given_word(cpu, 0, 0, REG_EBX);

    return ebx == signature_AMD_ebx || ebx == 0x6f677948; /* "AuthenticAMD", "HygonGenuine" */
}

static void derive(SoftCpu *cpu, unsigned feature, bool offered)
{
    cpu->feature[FEATURE_DERIVED] |= offered ? B(feature & 31) : 0;
}

static void derive_all(SoftCpu *cpu)
{
    const uint32_t *f = cpu->feature;
    bool amd = vendor_is_amd(cpu);

    cpu->feature[FEATURE_DERIVED] = 0;
    derive(cpu, FEATURE_ALWAYS, true);
    derive(cpu, FEATURE_INTEL, !amd);
    derive(cpu, FEATURE_AMD, amd);
    derive(cpu, FEATURE_IBRS, f[FEATURE_7_EDX] & B(26) || f[FEATURE_80000008_EBX] & B(14));
    derive(cpu, FEATURE_STIBP, f[FEATURE_7_EDX] & B(27) || f[FEATURE_80000008_EBX] & B(15));
    derive(cpu, FEATURE_SSBD, f[FEATURE_7_EDX] & B(31) || f[FEATURE_80000008_EBX] & B(24));
    derive(cpu, FEATURE_IBPB, f[FEATURE_7_EDX] & B(26) || f[FEATURE_80000008_EBX] & B(12));
    derive(cpu, FEATURE_SPEC_CTRL, soft_offers(cpu, FEATURE_IBRS) || soft_offers(cpu, FEATURE_STIBP) ||
                                       soft_offers(cpu, FEATURE_SSBD) || soft_offers(cpu, FEATURE_PSFD) ||
                                       soft_offers(cpu, FEATURE_BHI_CTRL));
    derive(cpu, FEATURE_TSC_AUX, f[FEATURE_80000001_EDX] & B(27) || f[FEATURE_7_ECX] & B(22));
    derive(cpu, FEATURE_SMM, cpu->vm->smm);
    derive(cpu, FEATURE_KVM_CALLS,
           given_word(cpu, KVM_LEAF, 0, REG_EBX) == KVM_SIGNATURE && soft_cpuid(cpu, KVM_LEAF + 1, 0));
}

void soft_cpu_set_feature_msr(SoftCpu *cpu, uint32_t index, uint64_t value)
{
    switch (index) {
    case MSR_ARCH_CAPABILITIES:
        value &= soft_supported_msr_feature(index);
        cpu->arch_capabilities = soft_offers(cpu, FEATURE_IBRS) ? value : value & ~UINT64_C(2);
        break;
    case MSR_PLATFORM_INFO:
        cpu->platform_info = value & soft_supported_msr_feature(index);
        break;
    case MSR_UCODE_REV:
        cpu->microcode = value;
        break;
    }
}

#define signature_HYGON_ebx 0x6f677948 /* "HygonGenuine" */
#define signature_HYGON_ecx 0x656e6975

/* The guest takes the ways of the vendor that it is told of; an unknown one has those of the host's. */
static void follow_vendor(SoftCpu *cpu)
{
    const X86Cpuid *c = soft_cpuid(cpu, 0, 0);

    if (c && c->ebx == signature_INTEL_ebx && c->ecx == signature_INTEL_ecx) {
        cpu->vm->intel = true;
    } else if (c && ((c->ebx == signature_AMD_ebx && c->ecx == signature_AMD_ecx) ||
                     (c->ebx == signature_HYGON_ebx && c->ecx == signature_HYGON_ecx))) {
        cpu->vm->intel = false;
    }
    cpu->vm->null_keeps_base = !cpu->vm->intel && !soft_offers(cpu, FEATURE_NULL_CLEARS_BASE);
}

void soft_cpu_set_cpuid(SoftCpu *cpu, const X86Cpuid *cpuid, unsigned n)
{
    unsigned bits;

    cpu->cpuids = n < X86_CPUID_MAX ? n : X86_CPUID_MAX;
    for (unsigned i = 0; i < cpu->cpuids; i++) {
        cpu->cpuid[i] = cpuid[i];
    }
    for (unsigned w = FEATURE_DERIVED + 1; w < FEATURE_WORDS; w++) {
        cpu->feature[w] = given_word(cpu, words[w].leaf, words[w].subleaf, words[w].reg);
    }
    derive_all(cpu);
    follow_vendor(cpu);
    bits = given_word(cpu, 0x80000008, 0, REG_EAX) & 0xff;
    cpu->phys_bits = bits < 32 ? 36 : bits > 52 ? 52 : bits;
    soft_cpu_set_feature_msr(cpu, MSR_ARCH_CAPABILITIES, soft_supported_msr_feature(MSR_ARCH_CAPABILITIES));
    soft_cpu_set_feature_msr(cpu, MSR_PLATFORM_INFO, soft_supported_msr_feature(MSR_PLATFORM_INFO));
    soft_cpu_set_feature_msr(cpu, MSR_UCODE_REV, soft_supported_msr_feature(MSR_UCODE_REV));
}

/* ---- the instruction ---- */
/* Beyond the highest leaf of its class Intel's processors answer with the highest basic leaf, AMD's with zeros. */
static const X86Cpuid *look_up(const SoftCpu *cpu, uint32_t leaf, uint32_t subleaf)
{
    const X86Cpuid *c = soft_cpuid(cpu, leaf, subleaf), *class;
    uint32_t first = leaf >> 28 == KVM_LEAF >> 28 ? leaf & 0xffffff00 : leaf & 0x80000000;

    if (c || soft_offers(cpu, FEATURE_AMD)) {
        return c;
    }
    class = soft_cpuid(cpu, first, 0);
    if (class && leaf <= class->eax) {
        return NULL;
    }
    return soft_cpuid(cpu, given_word(cpu, 0, 0, REG_EAX), subleaf);
}

/* CPUID.1:EDX.APIC follows IA32_APIC_BASE. */
static bool apic_enabled(SoftCpu *cpu)
{
    uint64_t base = APIC_BASE_ENABLE;
    bool known;

    soft_outside_begin(cpu);
    known = cpu->hooks->msr_read(cpu, cpu->opaque, MSR_APIC_BASE, &base);
    soft_outside_end(cpu);
    return !known || base & APIC_BASE_ENABLE;
}

/* SDM 1-13.2: sizes that follow XCR0. */
static uint32_t xsave_size(const SoftCpu *cpu)
{
    return cpu->xcr0 & XCR0_AVX ? XSAVE_LEGACY + XSAVE_AVX : XSAVE_LEGACY;
}

void soft_cpuid_execute(SoftCpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t ret[4])
{
    const X86Cpuid *c = look_up(cpu, leaf, subleaf), *first;

    ret[REG_EAX] = c ? c->eax : 0;
    ret[REG_EBX] = c ? c->ebx : 0;
    ret[REG_ECX] = c ? c->ecx : 0;
    ret[REG_EDX] = c ? c->edx : 0;
    if (!c) {
        /* Levels of the topology that are not there still tell which was asked for, and the x2APIC id. */
        first = leaf == 0xb || leaf == 0x1f ? soft_cpuid(cpu, leaf, 0) : NULL;
        ret[REG_ECX] = first ? subleaf & 0xff : 0;
        ret[REG_EDX] = first ? first->edx : 0;
        return;
    }
    if (c->leaf == 1) {
        ret[REG_ECX] = (c->ecx & ~B(27)) | (cpu->cr4 & CR4_OSXSAVE ? B(27) : 0);
        ret[REG_EDX] = c->edx & B(9) && !apic_enabled(cpu) ? c->edx & ~B(9) : c->edx;
    } else if (c->leaf == 0xd && c->subleaf <= 1) {
        ret[REG_EBX] = xsave_size(cpu);
    }
}
