/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSRs that the CPU model does not show (KVM_X86_SET_MSR_FILTER).
 *
 * KVM lets a guest at some MSRs whatever CPUID says.  A model without the feature has
 * no such MSR either: the guest's access comes to us, is logged, and is #GP.  Our own
 * reads and writes of state do not pass the filter.
 *
 * Where the kernel has no filter (before 5.10), these MSRs stay open: a guest that
 * believes CPUID sees no difference.  Main thread.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>

#define RANGE_MAX 512
#define NEVER     0 /* leaf 0 has no features */

typedef struct Gated {
    uint32_t first, last;
    uint32_t leaf; /* of the feature that brings them, or NEVER */
    bool in_ecx;   /* else in EAX */
    uint8_t bit;
} Gated;

/* SDM 4-2.1, APM 2 appendix A, Documentation/virt/kvm/x86/msr.rst. */
static const Gated gated[] = {
    { 0x11, 0x12, 0x40000001, false, 0 },              /* kvmclock, by its old names */
    { 0x480, 0x493, 1, true, 5 },                      /* VMX capabilities */
    { 0x40000000, 0x400001ff, NEVER, false, 0 },       /* Hyper-V and Xen, not offered */
    { 0x4b564d00, 0x4b564d01, 0x40000001, false, 3 },  /* kvmclock */
    { 0x4b564d02, 0x4b564d02, 0x40000001, false, 4 },  /* asynchronous page faults */
    { 0x4b564d03, 0x4b564d03, 0x40000001, false, 5 },  /* steal time */
    { 0x4b564d04, 0x4b564d04, 0x40000001, false, 6 },  /* paravirtual EOI */
    { 0x4b564d05, 0x4b564d05, 0x40000001, false, 12 }, /* polling while halted */
    { 0x4b564d06, 0x4b564d07, 0x40000001, false, 14 }, /* asynchronous page faults by interrupt */
    { 0xc0010117, 0xc0010117, 0x80000001, true, 2 },   /* SVM: VM_HSAVE_PA */
};
G_STATIC_ASSERT(G_N_ELEMENTS(gated) <= KVM_MSR_FILTER_MAX_RANGES);

static bool has_feature(const X86Cpuid *cpuid, unsigned n, const Gated *g)
{
    for (unsigned i = 0; g->leaf != NEVER && i < n; i++) {
        if (cpuid[i].leaf == g->leaf) {
            return (g->in_ecx ? cpuid[i].ecx : cpuid[i].eax) & (1u << g->bit);
        }
    }
    return false;
}

bool kvm_filter_msrs(Kvm *kvm, const X86Cpuid *cpuid, unsigned n, GError **error)
{
    static const uint8_t none[RANGE_MAX / 8]; /* a clear bit is an MSR that is not there */
    struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
    unsigned ranges = 0;

    if (kvm->filtered || !kvm_check(kvm, KVM_CAP_X86_MSR_FILTER)) {
        return true;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(gated); i++) {
        if (!has_feature(cpuid, n, &gated[i])) {
            filter.ranges[ranges++] = (struct kvm_msr_filter_range) {
                .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
                .base = gated[i].first,
                .nmsrs = gated[i].last - gated[i].first + 1,
                .bitmap = (uint8_t *)(uintptr_t)none,
            };
        }
    }
    if (kvm_ioctl(kvm->vm, KVM_X86_SET_MSR_FILTER, &filter) < 0) {
        return error_set_errno(error, errno, "cannot hide the MSRs that the CPU model does not show");
    }
    kvm->filtered = true;
    return true;
}
