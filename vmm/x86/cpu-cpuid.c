/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPUID leaves of one vCPU (SDM 2A, CPUID; APM 3, appendix E), made of its
 * model, the board's topology and, where sizes are the host's (XSAVE areas, PMU,
 * tiles), the accelerator's leaves.
 *
 * Left out: power and thermal leaves (5, all of 6 but ARAT), which are zero.
 */
#include "vmm/x86/cpu-model-priv.h"

#include <string.h>

#define BIT(N) (1u << (N))

#define LEAF1_EDX_HTT          BIT(28)
#define X1_ECX_CMP_LEGACY      BIT(1)
#define AMD_EDX_SHARED         0x0183f3ffu /* bits of 80000001.EDX that repeat leaf 1 on AMD */
#define TOPOLOGY_SMT           (1u << 8)
#define TOPOLOGY_CORE          (2u << 8)
#define TOPOLOGY_DIE           (5u << 8)

typedef struct Leaves {
    X86Cpuid *list;
    unsigned n, max;
} Leaves;

typedef struct Cache {
    unsigned level, type; /* type: 1 data, 2 instruction, 3 unified */
    unsigned line, ways, sets;
    bool inclusive, complex_index;
    bool shared_by_socket; /* else by the threads of a core */
} Cache;

/* A plausible processor: the sizes guests have seen from QEMU for years. */
static const Cache caches[] = {
    { .level = 1, .type = 1, .line = 64, .ways = 8, .sets = 64 },
    { .level = 1, .type = 2, .line = 64, .ways = 8, .sets = 64 },
    { .level = 2, .type = 3, .line = 64, .ways = 16, .sets = 4096 },
    { .level = 3, .type = 3, .line = 64, .ways = 16, .sets = 16384, .inclusive = true, .complex_index = true,
      .shared_by_socket = true },
};

static void put(Leaves *l, uint32_t leaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    if (l->n < l->max) {
        l->list[l->n++] = (X86Cpuid) { leaf, 0, false, eax, ebx, ecx, edx };
    }
}

static void put_sub(Leaves *l, uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    if (l->n < l->max) {
        l->list[l->n++] = (X86Cpuid) { leaf, subleaf, true, eax, ebx, ecx, edx };
    }
}

static uint32_t text4(const char *text)
{
    uint32_t value;

    memcpy(&value, text, 4);
    return value;
}

static bool is_amd(const CpuModel *m)
{
    return !strcmp(m->vendor, "AuthenticAMD") || !strcmp(m->vendor, "HygonGenuine");
}

static unsigned per_socket(const CpuTopology *t)
{
    return t->dies * t->cores * t->threads;
}

static unsigned cache_count(const CpuModel *m)
{
    return m->l3_cache ? 4 : 3;
}

/* APIC ids that share it, as leaf 4 and 0x8000001d tell it. */
static unsigned cache_sharers(const Cache *c, const CpuTopology *t)
{
    return 1u << cpu_topology_shift(t, c->shared_by_socket ? CPU_LEVEL_SOCKET : CPU_LEVEL_CORE);
}

static uint32_t cache_bytes(const Cache *c)
{
    return c->line * c->ways * c->sets;
}

/* Leaves 4 and 0x8000001d have one form; 4 tells the cores of a package as well. */
static void put_caches(Leaves *l, uint32_t leaf, const CpuModel *m, const CpuTopology *t)
{
    unsigned package_cores = 1u << (cpu_topology_shift(t, CPU_LEVEL_SOCKET) - cpu_topology_shift(t, CPU_LEVEL_CORE));

    for (unsigned i = 0; i < cache_count(m); i++) {
        const Cache *c = &caches[i];

        put_sub(l, leaf, i,
                c->type | c->level << 5 | BIT(8) | (cache_sharers(c, t) - 1) << 14 |
                (leaf == 4 ? (MIN(package_cores, 64) - 1) << 26 : 0),
                (c->line - 1) | (c->ways - 1) << 22, c->sets - 1,
                (c->inclusive ? BIT(1) : 0) | (c->complex_index ? BIT(2) : 0));
    }
    put_sub(l, leaf, cache_count(m), 0, 0, 0, 0);
}

/* The host's caches, shared by as many of our ids as by the host's threads at most. */
static void put_host_caches(Leaves *l, uint32_t leaf, const CpuModel *m, const CpuTopology *t)
{
    unsigned package_cores = 1u << (cpu_topology_shift(t, CPU_LEVEL_SOCKET) - cpu_topology_shift(t, CPU_LEVEL_CORE));

    for (uint32_t i = 0; i < 16; i++) {
        X86Cpuid c = cpu_model_host_leaf(m, leaf, i);
        unsigned level = c.eax >> 5 & 7;
        unsigned sharers = 1u << cpu_topology_shift(t, level >= 3 ? CPU_LEVEL_SOCKET : CPU_LEVEL_CORE);

        if (!(c.eax & 31)) {
            put_sub(l, leaf, i, 0, 0, 0, 0);
            return;
        }
        c.eax = (c.eax & 0x3fff) | (sharers - 1) << 14 | (leaf == 4 ? (MIN(package_cores, 64) - 1) << 26 : 0);
        put_sub(l, leaf, i, c.eax, c.ebx, c.ecx, c.edx);
    }
}

static void put_cache_leaf(Leaves *l, uint32_t leaf, const CpuModel *m, const CpuTopology *t)
{
    if (m->host_cache && (cpu_model_host_leaf(m, leaf, 0).eax & 31)) {
        put_host_caches(l, leaf, m, t);
    } else {
        put_caches(l, leaf, m, t);
    }
}

static void put_basic(Leaves *l, const CpuModel *m, const CpuTopology *t, uint32_t apic_id)
{
    const uint32_t *w = m->features.word;
    uint32_t logical = MIN(1u << cpu_topology_shift(t, CPU_LEVEL_SOCKET), 255);

    put(l, 1, cpu_model_signature(m), (apic_id & 0xff) << 24 | logical << 16 | 8 << 8, w[WORD_1_ECX],
        w[WORD_1_EDX] | (per_socket(t) > 1 ? LEAF1_EDX_HTT : 0));
    if (is_amd(m)) {
        return;
    }
    /* One descriptor: the caches are in leaf 4. */
    put(l, 2, 0x00ff0001, 0, 0, 0);
    put_cache_leaf(l, 4, m, t);
}

static void put_features(Leaves *l, const CpuModel *m)
{
    const uint32_t *w = m->features.word;

    put(l, 6, w[WORD_6_EAX], 0, 0, 0);
    put_sub(l, 7, 0, w[WORD_7_2_EDX] ? 2 : w[WORD_7_1_EAX] ? 1 : 0, w[WORD_7_EBX], w[WORD_7_ECX], w[WORD_7_EDX]);
    put_sub(l, 7, 1, w[WORD_7_1_EAX], 0, 0, 0);
    put_sub(l, 7, 2, 0, 0, 0, w[WORD_7_2_EDX]);
}

static void put_topology(Leaves *l, uint32_t leaf, const CpuTopology *t, uint32_t apic_id)
{
    unsigned core = cpu_topology_shift(t, CPU_LEVEL_CORE), die = cpu_topology_shift(t, CPU_LEVEL_DIE);
    unsigned socket = cpu_topology_shift(t, CPU_LEVEL_SOCKET);
    uint32_t sub = 0;

    put_sub(l, leaf, sub, core, t->threads, sub | TOPOLOGY_SMT, apic_id);
    sub++;
    if (leaf == 0x1f && t->dies > 1) {
        put_sub(l, leaf, sub, die, t->threads * t->cores, sub | TOPOLOGY_CORE, apic_id);
        sub++;
        put_sub(l, leaf, sub, socket, per_socket(t), sub | TOPOLOGY_DIE, apic_id);
    } else {
        put_sub(l, leaf, sub, socket, per_socket(t), sub | TOPOLOGY_CORE, apic_id);
    }
    sub++;
    put_sub(l, leaf, sub, 0, 0, sub, apic_id);
}

/* ---- XSAVE, SDM 1-13.1: which components the model's features bring ---- */
static uint64_t xcr0_of(const CpuModel *m)
{
    const CpuFeatures *f = &m->features;
    X86Cpuid host = cpu_model_host_leaf(m, 0xd, 0);
    uint64_t mask = 3;

    mask |= cpu_has(f, WORD_1_ECX, 28) ? 4 : 0;      /* avx */
    mask |= cpu_has(f, WORD_7_EBX, 16) ? 0xe0 : 0;   /* avx512f */
    mask |= cpu_has(f, WORD_7_ECX, 3) ? 0x200 : 0;   /* pku */
    mask |= cpu_has(f, WORD_7_EDX, 24) ? 0x60000 : 0; /* amx-tile */
    return mask & (host.eax | (uint64_t)host.edx << 32);
}

static void put_xsave(Leaves *l, const CpuModel *m)
{
    uint64_t xcr0 = xcr0_of(m);
    uint32_t size = 576;

    if (!cpu_has(&m->features, WORD_1_ECX, 26)) {
        return;
    }
    for (unsigned i = 2; i < 63; i++) {
        X86Cpuid c = cpu_model_host_leaf(m, 0xd, i);

        if (xcr0 >> i & 1) {
            size = MAX(size, c.ebx + c.eax);
        }
    }
    put_sub(l, 0xd, 0, (uint32_t)xcr0, size, size, (uint32_t)(xcr0 >> 32));
    put_sub(l, 0xd, 1, m->features.word[WORD_D_1_EAX], size, 0, 0);
    for (unsigned i = 2; i < 63; i++) {
        X86Cpuid c = cpu_model_host_leaf(m, 0xd, i);

        if (xcr0 >> i & 1) {
            put_sub(l, 0xd, i, c.eax, c.ebx, c.ecx, c.edx);
        }
    }
}

static void put_host(Leaves *l, const CpuModel *m, uint32_t leaf, bool indexed, uint32_t subleaves)
{
    for (uint32_t i = 0; i < subleaves; i++) {
        X86Cpuid c = cpu_model_host_leaf(m, leaf, i);

        if (indexed) {
            put_sub(l, leaf, i, c.eax, c.ebx, c.ecx, c.edx);
        } else {
            put(l, leaf, c.eax, c.ebx, c.ecx, c.edx);
        }
    }
}

static uint32_t highest_basic(const CpuModel *m, const CpuTopology *t)
{
    const uint32_t *w = m->features.word;
    uint32_t level = m->level;

    if (m->level_given) {
        return level;
    }
    level = w[WORD_7_EBX] | w[WORD_7_ECX] | w[WORD_7_EDX] | w[WORD_7_1_EAX] | w[WORD_7_2_EDX] ? MAX(level, 7) : level;
    level = per_socket(t) > 1 ? MAX(level, 0xb) : level;
    level = cpu_has(&m->features, WORD_1_ECX, 26) ? MAX(level, 0xd) : level;
    level = cpu_has(&m->features, WORD_7_EDX, 24) ? MAX(level, 0x1e) : level;
    return t->dies > 1 ? MAX(level, 0x1f) : level;
}

static void put_hypervisor(Leaves *l, const CpuModel *m)
{
    static const char signature[12] = "KVMKVMKVM\0\0";

    if (!m->kvm || !m->features.word[WORD_KVM] || !cpu_has(&m->features, WORD_1_ECX, 31)) {
        return;
    }
    put(l, 0x40000000, 0x40000001, text4(signature), text4(signature + 4), text4(signature + 8));
    put(l, 0x40000001, m->features.word[WORD_KVM], 0, 0, 0);
}

/* ---- extended leaves ---- */
/* Leaf 0x80000006's code of an associativity, APM 3 table E-4. */
static uint32_t ways_code(unsigned ways)
{
    return ways >= 16 ? 8 : ways >= 8 ? 6 : ways >= 4 ? 4 : ways >= 2 ? 2 : 1;
}

static void put_amd_caches(Leaves *l, const CpuModel *m)
{
    uint32_t l1 = cache_bytes(&caches[0]) / 1024 << 24 | caches[0].ways << 16 | 1 << 8 | caches[0].line;
    uint32_t l2 = cache_bytes(&caches[2]) / 1024 << 16 | ways_code(caches[2].ways) << 12 | 1 << 8 | 64;
    uint32_t l3 = cache_bytes(&caches[3]) / (512 * 1024) << 18 | ways_code(caches[3].ways) << 12 | 1 << 8 | 64;

    /* 255-entry fully associative L1 TLBs, 512-entry L2 TLBs. */
    put(l, 0x80000005, 0xff20ff20, 0xff20ff20, l1, l1);
    put(l, 0x80000006, 0, 0x42004200, l2, m->l3_cache ? l3 : 0);
}

static void put_amd_topology(Leaves *l, const CpuModel *m, const CpuTopology *t, uint32_t apic_id)
{
    unsigned core_shift = cpu_topology_shift(t, CPU_LEVEL_CORE), die_shift = cpu_topology_shift(t, CPU_LEVEL_DIE);
    uint32_t core = apic_id >> core_shift & (BIT(cpu_topology_shift(t, CPU_LEVEL_SOCKET) - core_shift) - 1);
    uint32_t node = apic_id >> die_shift;

    put_cache_leaf(l, 0x8000001d, m, t);
    put(l, 0x8000001e, apic_id, (t->threads - 1) << 8 | (core & 0xff), (t->dies - 1) << 8 | (node & 0xff), 0);
}

static void put_extended(Leaves *l, const CpuModel *m, const CpuTopology *t, uint32_t apic_id)
{
    const uint32_t *w = m->features.word;
    bool amd = is_amd(m), topoext = amd && cpu_has(&m->features, WORD_80000001_ECX, 22);
    uint32_t xlevel = m->xlevel, linear = cpu_has(&m->features, WORD_7_ECX, 16) ? 57 : 48, ecx8 = 0;

    if (!m->xlevel_given) {
        xlevel = topoext ? MAX(xlevel, 0x8000001e) : xlevel;
        xlevel = w[WORD_80000021_EAX] ? MAX(xlevel, 0x80000021) : xlevel;
    }
    put(l, 0x80000000, xlevel, amd ? text4(m->vendor) : 0, amd ? text4(m->vendor + 8) : 0,
        amd ? text4(m->vendor + 4) : 0);
    put(l, 0x80000001, cpu_model_signature(m), 0,
        w[WORD_80000001_ECX] | (amd && per_socket(t) > 1 ? X1_ECX_CMP_LEGACY : 0),
        w[WORD_80000001_EDX] | (amd ? w[WORD_1_EDX] & AMD_EDX_SHARED : 0));
    for (unsigned i = 0; i < 3; i++) {
        const char *id = m->model_id + 16 * i;

        put(l, 0x80000002 + i, text4(id), text4(id + 4), text4(id + 8), text4(id + 12));
    }
    if (amd) {
        put_amd_caches(l, m);
        ecx8 = (per_socket(t) - 1) | (per_socket(t) > 1 ? cpu_topology_shift(t, CPU_LEVEL_SOCKET) << 12 : 0);
    } else {
        put(l, 0x80000006, 0, 0, cache_bytes(&caches[2]) / 1024 << 16 | ways_code(caches[2].ways) << 12 | 64, 0);
    }
    put(l, 0x80000007, 0, 0, 0, w[WORD_80000007_EDX]);
    put(l, 0x80000008, m->phys_bits | linear << 8, w[WORD_80000008_EBX], ecx8, 0);
    if (cpu_has(&m->features, WORD_80000001_ECX, 2)) {
        put(l, 0x8000000a, 1, 16, 0, w[WORD_SVM]);
    }
    if (topoext) {
        put_amd_topology(l, m, t, apic_id);
    }
    if (xlevel >= 0x80000021) {
        put(l, 0x80000021, w[WORD_80000021_EAX], 0, 0, 0);
    }
}

unsigned cpu_model_cpuid(const CpuModel *m, const CpuTopology *t, uint32_t apic_id, X86Cpuid *ret, unsigned max)
{
    Leaves l = { ret, 0, max };

    put(&l, 0, highest_basic(m, t), text4(m->vendor), text4(m->vendor + 8), text4(m->vendor + 4));
    put_basic(&l, m, t, apic_id);
    put_features(&l, m);
    if (m->pmu && !is_amd(m)) {
        put_host(&l, m, 0xa, false, 1);
    }
    put_topology(&l, 0xb, t, apic_id);
    put_xsave(&l, m);
    if (cpu_has(&m->features, WORD_7_EDX, 24)) {
        put_host(&l, m, 0x1d, true, 2);
        put_host(&l, m, 0x1e, true, 1);
    }
    if (t->dies > 1 && !is_amd(m)) {
        put_topology(&l, 0x1f, t, apic_id);
    }
    put_hypervisor(&l, m);
    put_extended(&l, m, t, apic_id);
    return l.n;
}
