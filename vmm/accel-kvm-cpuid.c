/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What CPUID and the feature MSRs can be on this host, and handing a vCPU its own.
 *
 * KVM_GET_SUPPORTED_CPUID is the host's processor filtered by KVM.  It leaves out a
 * few bits that depend on how the VM is set up (TSC deadline timer, x2APIC, the
 * hypervisor bit) and holds the host's topology, which CPU models replace.
 */
#include "vmm/accel-kvm.h"

#include <cpuid.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/x86/cpu-model.h"

#define CPUID_LEAVES_MAX 512

#define LEAF1_ECX_X2APIC       (1u << 21)
#define LEAF1_ECX_TSC_DEADLINE (1u << 24)
#define LEAF1_ECX_HYPERVISOR   (1u << 31)
#define LEAF6_EAX_ARAT         (1u << 2)
#define BRAND_FIRST            0x80000002 /* the processor's name, three leaves */
#define BRAND_LAST             0x80000004
#define KVM_PV_LEAF            0x40000001
#define PV_MSI_EXT_DEST_ID     (1u << 15)

#define ARCH_REQ_XCOMP_GUEST_PERM 0x1025
#define XFEATURE_XTILEDATA        18

static const uint32_t feature_msrs[] = { 0x8b, 0xce, 0x10a, 0x345 };

/* Without this permission the tile registers of AMX are not offered to guests. */
void kvm_request_amx(Kvm *kvm)
{
    uint64_t components = 0;
    struct kvm_device_attr attr = { .attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (uintptr_t)&components };

    if (kvm_ioctl(kvm->fd, KVM_GET_DEVICE_ATTR, &attr) == 0 && (components & (UINT64_C(1) << XFEATURE_XTILEDATA))) {
        syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_GUEST_PERM, XFEATURE_XTILEDATA);
    }
}

static struct kvm_cpuid2 *host_cpuid(Kvm *kvm)
{
    struct kvm_cpuid2 *c = g_malloc0(sizeof(*c) + CPUID_LEAVES_MAX * sizeof(c->entries[0]));

    c->nent = CPUID_LEAVES_MAX;
    if (kvm_ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, c) < 0) {
        c->nent = 0;
    }
    return c;
}

static void adjust(Kvm *kvm, X86Cpuid *leaf)
{
    if (leaf->leaf == 1) {
        leaf->ecx |= LEAF1_ECX_HYPERVISOR | LEAF1_ECX_X2APIC;
        if (kvm_check(kvm, KVM_CAP_TSC_DEADLINE_TIMER)) {
            leaf->ecx |= LEAF1_ECX_TSC_DEADLINE;
        }
    } else if (leaf->leaf == 6 && leaf->subleaf == 0) {
        leaf->eax |= LEAF6_EAX_ARAT; /* the emulated timer never stops */
    } else if (leaf->leaf >= BRAND_FIRST && leaf->leaf <= BRAND_LAST) {
        __cpuid(leaf->leaf, leaf->eax, leaf->ebx, leaf->ecx, leaf->edx); /* KVM hands out none */
    } else if (leaf->leaf == KVM_PV_LEAF) {
        leaf->eax &= ~PV_MSI_EXT_DEST_ID; /* ours to give, and not given */
    }
}

unsigned kvm_supported_cpuid(Accel *accel, X86Cpuid *ret, unsigned max)
{
    Kvm *kvm = kvm_of(accel);
    g_autofree struct kvm_cpuid2 *c = host_cpuid(kvm);
    unsigned n = MIN(c->nent, max);

    for (unsigned i = 0; i < n; i++) {
        const struct kvm_cpuid_entry2 *e = &c->entries[i];

        ret[i] = (X86Cpuid) {
            .leaf = e->function, .subleaf = e->index, .indexed = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .eax = e->eax, .ebx = e->ebx, .ecx = e->ecx, .edx = e->edx,
        };
        adjust(kvm, &ret[i]);
    }
    return n;
}

/* 0 where the host has no such feature MSR. */
uint64_t kvm_supported_msr_features(Accel *accel, uint32_t msr)
{
    struct { uint32_t nmsrs, pad; struct kvm_msr_entry entry; } get = { .nmsrs = 1, .entry = { .index = msr } };

    return kvm_ioctl(kvm_of(accel)->fd, KVM_GET_MSRS, &get) == 1 ? get.entry.data : 0;
}

bool kvm_vcpu_set_cpuid(Vcpu *vcpu, const X86Cpuid *cpuid, unsigned n, GError **error)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);
    g_autofree struct kvm_cpuid2 *c = g_malloc0(sizeof(*c) + n * sizeof(c->entries[0]));

    c->nent = n;
    for (unsigned i = 0; i < n; i++) {
        c->entries[i] = (struct kvm_cpuid_entry2) {
            .function = cpuid[i].leaf, .index = cpuid[i].subleaf,
            .flags = cpuid[i].indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = cpuid[i].eax, .ebx = cpuid[i].ebx, .ecx = cpuid[i].ecx, .edx = cpuid[i].edx,
        };
    }
    if (kvm_ioctl(kv->fd, KVM_SET_CPUID2, c) < 0) {
        return error_set_errno(error, errno, "vCPU %u: KVM refuses the CPU model's %u CPUID leaves", vcpu->index, n);
    }
    /* KVM's MSRs and hypercalls are there as the model shows them, and else #GP.  Those of other features KVM
     * checks by itself, so no KVM_X86_SET_MSR_FILTER is needed, which takes some ten milliseconds. */
    kvm_enable(kv->fd, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1, 0);
    if (vcpu->model && cpu_model_tsc_khz(vcpu->model)) {
        uint32_t khz = cpu_model_tsc_khz(vcpu->model);

        if (!kvm_tsc_set_khz(kv, khz)) {
            error_set_errno(error, errno, "-cpu: this host's TSC cannot be made to run at %" PRIu32 " kHz", khz);
            return error_hint(error, "Leave 'tsc-frequency' out.");
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(feature_msrs) && vcpu->model; i++) {
        /* Refused where the kernel offers none: then the model's value is its own default, too. */
        kvm_set_msr(kv, feature_msrs[i], cpu_model_feature_msr(vcpu->model, feature_msrs[i]));
    }
    return true;
}
