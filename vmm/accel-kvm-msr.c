/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs between KVM and X86Cpu.
 *
 * Which MSRs are state is KVM's list, less what is kept elsewhere, plus what the
 * list leaves out (MTRRs, machine check banks), tried out on the first vCPU.
 * Feature MSRs belong to the CPU model and are set with CPUID (accel-kvm-cpuid.c).
 * An MSR that X86Cpu does not hold is zero; so zeroes need no room there.
 *
 * Order of writing: ascending, which puts the TSC before kvmclock, whose page is
 * computed from it.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MSR_TSC          0x10
#define MSR_TSC_ADJUST   0x3b
#define MSR_TSC_DEADLINE 0x6e0
#define BATCH 64

/* As struct kvm_msrs, with room for its entries. */
typedef struct MsrBatch {
    uint32_t nmsrs, pad;
    struct kvm_msr_entry entry[BATCH];
} MsrBatch;

typedef struct MsrRange {
    uint32_t first, last;
} MsrRange;

/* Not saved with the others. */
static const MsrRange excluded[] = {
    { 0x11, 0x12 },             /* kvmclock's old names; the new ones are saved */
    { 0x1b, 0x1b },             /* IA32_APIC_BASE and EFER are special registers */
    { 0xc0000080, 0xc0000080 },
    { 0x8b, 0x8b },             /* microcode revision */
    { 0xce, 0xce },             /* MSR_PLATFORM_INFO */
    { 0x10a, 0x10a },           /* IA32_ARCH_CAPABILITIES */
    { 0x179, 0x179 },           /* IA32_MCG_CAP */
    { 0x345, 0x345 },           /* IA32_PERF_CAPABILITIES */
    { 0x480, 0x493 },           /* VMX capabilities */
    { 0xc0011029, 0xc0011029 }, /* DE_CFG */
    { 0x40000000, 0x400001ff }, /* Hyper-V, not offered */
};

static const MsrRange added[] = {
    { 0x200, 0x20f }, { 0x250, 0x250 }, { 0x258, 0x259 }, { 0x268, 0x26f }, { 0x2ff, 0x2ff }, /* MTRRs */
};

/* Clocks and what hangs on them: written with a whole state only. */
static bool is_clock(uint32_t index)
{
    return index == MSR_TSC || index == MSR_TSC_ADJUST || (index >= 0x4b564d00 && index <= 0x4b564dff);
}

bool kvm_set_msr(KvmVcpu *kv, uint32_t index, uint64_t value)
{
    MsrBatch batch = { .nmsrs = 1, .entry = { { .index = index, .data = value } } };

    return kvm_ioctl(kv->fd, KVM_SET_MSRS, &batch) == 1;
}

static int by_index(gconstpointer a, gconstpointer b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void add_candidate(GArray *entries, uint32_t index)
{
    struct kvm_msr_entry entry = { .index = index };

    for (unsigned i = 0; i < G_N_ELEMENTS(excluded); i++) {
        if (index >= excluded[i].first && index <= excluded[i].last) {
            return;
        }
    }
    g_array_append_val(entries, entry);
}

/* KVM_GET_MSRS or KVM_SET_MSRS over all entries; those that KVM does not take are dropped. */
static void keep_what_works(KvmVcpu *kv, unsigned long request, GArray *entries)
{
    for (unsigned at = 0; at < entries->len;) {
        MsrBatch batch = { .nmsrs = MIN(BATCH, entries->len - at) };
        struct kvm_msr_entry *first = &g_array_index(entries, struct kvm_msr_entry, at);
        int n;

        memcpy(batch.entry, first, batch.nmsrs * sizeof(batch.entry[0]));
        n = MAX(kvm_ioctl(kv->fd, request, &batch), 0);
        memcpy(first, batch.entry, (unsigned)n * sizeof(batch.entry[0]));
        at += (unsigned)n;
        if ((unsigned)n < batch.nmsrs) {
            g_array_remove_index(entries, at);
        }
    }
}

static void sort_without_duplicates(GArray *msrs)
{
    g_array_sort(msrs, by_index);
    for (unsigned i = msrs->len; i > 1; i--) {
        if (g_array_index(msrs, uint32_t, i - 1) == g_array_index(msrs, uint32_t, i - 2)) {
            g_array_remove_index(msrs, i - 1);
        }
    }
}

bool kvm_msrs_probe(KvmVcpu *kv, GError **error)
{
    Kvm *kvm = kv->kvm;
    struct kvm_msr_list none = { 0 };
    g_autofree struct kvm_msr_list *list = NULL;
    g_autoptr(GArray) entries = NULL;

    if (kvm->msrs) {
        return true;
    }
    if (kvm_ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, &none) < 0 && errno != E2BIG) {
        return error_set_errno(error, errno, "cannot read KVM's list of MSRs");
    }
    list = g_malloc0(sizeof(*list) + none.nmsrs * sizeof(list->indices[0]));
    list->nmsrs = none.nmsrs;
    if (kvm_ioctl(kvm->fd, KVM_GET_MSR_INDEX_LIST, list) < 0) {
        return error_set_errno(error, errno, "cannot read KVM's list of MSRs");
    }
    entries = g_array_new(false, false, sizeof(struct kvm_msr_entry));
    for (uint32_t i = 0; i < list->nmsrs; i++) {
        add_candidate(entries, list->indices[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(added); i++) {
        for (uint32_t index = added[i].first; index <= added[i].last; index++) {
            add_candidate(entries, index);
        }
    }
    for (uint32_t bank = 0; bank < 4 * kvm->mce_banks; bank++) {
        add_candidate(entries, 0x400 + bank);
    }
    /* The vCPU is fresh: writing back what was read does no harm. */
    keep_what_works(kv, KVM_GET_MSRS, entries);
    keep_what_works(kv, KVM_SET_MSRS, entries);
    kvm->msrs = g_array_new(false, false, sizeof(uint32_t));
    for (unsigned i = 0; i < entries->len; i++) {
        uint32_t index = g_array_index(entries, struct kvm_msr_entry, i).index;

        g_array_append_val(kvm->msrs, index);
    }
    sort_without_duplicates(kvm->msrs);
    return true;
}

bool kvm_msrs_fetch(KvmVcpu *kv, X86Cpu *cpu, GError **error)
{
    const GArray *msrs = kv->kvm->msrs;

    cpu->msrs = 0;
    for (unsigned at = 0; at < msrs->len;) {
        MsrBatch batch = { .nmsrs = MIN(BATCH, msrs->len - at) };
        int n;

        for (unsigned i = 0; i < batch.nmsrs; i++) {
            batch.entry[i].index = g_array_index(msrs, uint32_t, at + i);
        }
        n = kvm_ioctl(kv->fd, KVM_GET_MSRS, &batch);
        if (n < 0) {
            return error_set_errno(error, errno, "vCPU %u: cannot read MSRs", kv->vcpu->index);
        }
        for (int i = 0; i < n; i++) {
            if (batch.entry[i].data && !x86_cpu_set_msr(cpu, batch.entry[i].index, batch.entry[i].data)) {
                return error_set(error, "vCPU %u has more MSRs than can be saved", kv->vcpu->index);
            }
        }
        /* One that this vCPU's CPUID takes away reads as nothing. */
        at += MAX(n, 0) + (n < (int)batch.nmsrs);
    }
    if (kv->tsc_stopped) {
        x86_cpu_set_msr(cpu, MSR_TSC, kv->stopped_tsc);
    }
    return true;
}

bool kvm_get_tsc(KvmVcpu *kv, uint64_t *ret_tsc)
{
    MsrBatch get = { .nmsrs = 1, .entry = { { .index = MSR_TSC } } };

    if (kvm_ioctl(kv->fd, KVM_GET_MSRS, &get) != 1) {
        return false;
    }
    *ret_tsc = get.entry[0].data;
    return true;
}

static bool known(const Kvm *kvm, uint32_t index)
{
    return bsearch(&index, kvm->msrs->data, kvm->msrs->len, sizeof(uint32_t), by_index) != NULL;
}

/* Writes one batch.  An MSR that this CPU model does not have, or that takes nothing, matters only if it holds
 * something. */
static bool store_batch(KvmVcpu *kv, MsrBatch *batch, GError **error)
{
    unsigned at = 0;

    while (at < batch->nmsrs) {
        MsrBatch rest = { .nmsrs = batch->nmsrs - at };
        int n;

        memcpy(rest.entry, &batch->entry[at], rest.nmsrs * sizeof(rest.entry[0]));
        n = kvm_ioctl(kv->fd, KVM_SET_MSRS, &rest);
        if (n < 0) {
            return error_set_errno(error, errno, "vCPU %u: cannot set MSRs", kv->vcpu->index);
        }
        at += n;
        if (at == batch->nmsrs) {
            break;
        }
        if (batch->entry[at].data && batch->entry[at].data != x86_msr_reset_value(batch->entry[at].index)) {
            return error_set(error, "vCPU %u: KVM refuses %#" PRIx64 " for MSR %#" PRIx32, kv->vcpu->index,
                             (uint64_t)batch->entry[at].data, (uint32_t)batch->entry[at].index);
        }
        at++;
    }
    batch->nmsrs = 0;
    return true;
}

bool kvm_msrs_store(KvmVcpu *kv, X86Cpu *cpu, bool full, GError **error)
{
    const GArray *msrs = kv->kvm->msrs;
    MsrBatch batch = { 0 };

    for (unsigned i = 0; i < cpu->msrs; i++) {
        if (!known(kv->kvm, cpu->msr[i].index) && cpu->msr[i].value != x86_msr_reset_value(cpu->msr[i].index)) {
            return error_set(error, "vCPU %u: MSR %#" PRIx32 " is not one of this host's", kv->vcpu->index,
                             cpu->msr[i].index);
        }
    }
    for (unsigned i = 0; i < msrs->len; i++) {
        uint32_t index = g_array_index(msrs, uint32_t, i);
        const uint64_t *value = x86_cpu_msr(cpu, index);

        if (index == MSR_TSC_DEADLINE || (!full && is_clock(index))) {
            continue;
        }
        batch.entry[batch.nmsrs++] = (struct kvm_msr_entry) { .index = index, .data = value ? *value : 0 };
        if (batch.nmsrs == BATCH && !store_batch(kv, &batch, error)) {
            return false;
        }
    }
    if (!store_batch(kv, &batch, error)) {
        return false;
    }
    if (full && kv->tsc_stopped) {
        const uint64_t *tsc = x86_cpu_msr(cpu, MSR_TSC);

        kv->stopped_tsc = tsc ? *tsc : 0;
    }
    return true;
}

bool kvm_tsc_deadline_store(KvmVcpu *kv, X86Cpu *cpu, GError **error)
{
    const uint64_t *value = x86_cpu_msr(cpu, MSR_TSC_DEADLINE);

    if (value && !kvm_set_msr(kv, MSR_TSC_DEADLINE, *value)) {
        return error_set(error, "vCPU %u: KVM refuses the TSC deadline", kv->vcpu->index);
    }
    return true;
}
