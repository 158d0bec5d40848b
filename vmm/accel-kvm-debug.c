/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debugging a guest from outside: breakpoints in code (an INT3 in guest memory) and
 * in debug registers, watchpoints, single step.  Main thread, vCPUs parked; the exit
 * comes on the vCPU's thread.
 *
 * A code breakpoint is the domain's: several vCPUs share one INT3, which goes when
 * the last of them lets it go.  KVM hands out every #BP and #DB while debugging;
 * those that are not ours go back to the guest.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "vmm/vcpu-memory.h"

#define INT3 0xcc
#define HARDWARE_MAX 4

#define DR6_STEP   (1u << 14)
#define DR7_FIXED  0x400u
#define DR7_GLOBAL 0x200u /* exact */

#define VECTOR_DB 1
#define VECTOR_BP 3

typedef struct KvmSoftBreak {
    uint64_t address;
    uint64_t physical;
    uint8_t original;
    unsigned users;
} KvmSoftBreak;

static bool soft_insert(KvmVcpu *kv, uint64_t address, GError **error)
{
    Kvm *kvm = kv->kvm;
    AddressSpace *memory = domain_memory(kvm->accel.domain);
    KvmSoftBreak *b = g_hash_table_lookup(kvm->breakpoints, &address);
    uint8_t int3 = INT3, now = 0;

    if (b) {
        b->users++;
        return true;
    }
    b = g_new0(KvmSoftBreak, 1);
    b->address = address;
    b->users = 1;
    if (!vcpu_translate(kv->vcpu, address, &b->physical) ||
        memory_read(memory, b->physical, &b->original, 1) != MEMORY_OK ||
        memory_patch(memory, b->physical, &int3, 1) != MEMORY_OK ||
        memory_read(memory, b->physical, &now, 1) != MEMORY_OK || now != INT3) {
        g_free(b);
        return error_set(error, "vCPU %u: no memory of the guest can hold a breakpoint at %#" PRIx64, kv->vcpu->index,
                         address);
    }
    g_hash_table_insert(kvm->breakpoints, &b->address, b);
    return true;
}

static void soft_remove(Kvm *kvm, uint64_t address)
{
    KvmSoftBreak *b = g_hash_table_lookup(kvm->breakpoints, &address);
    AddressSpace *memory = domain_memory(kvm->accel.domain);
    uint8_t now = 0;

    if (!b || --b->users) {
        return;
    }
    /* Who wrote other code over it (the guest; a reset, which loads the kernel anew) has taken it away already. */
    if (memory_read(memory, b->physical, &now, 1) == MEMORY_OK && now == INT3) {
        memory_patch(memory, b->physical, &b->original, 1);
    }
    g_hash_table_remove(kvm->breakpoints, &address);
}

static void soft_remove_all(Kvm *kvm, GArray *addresses)
{
    for (unsigned i = 0; i < addresses->len; i++) {
        soft_remove(kvm, g_array_index(addresses, uint64_t, i));
    }
    g_array_set_size(addresses, 0);
}

/* SDM 3-18.2.4: enable bits at 2n, type and length at 16 + 4n. */
static bool hardware_add(KvmVcpu *kv, const AccelBreakpoint *b, struct kvm_guest_debug *dbg, GError **error)
{
    unsigned n = kv->watches;
    uint64_t length = b->kind == ACCEL_BREAK_HARDWARE ? 1 : b->length;
    uint64_t type = b->kind == ACCEL_BREAK_HARDWARE ? 0 : b->kind == ACCEL_WATCH_WRITE ? 1 : 3;
    uint64_t code = length == 1 ? 0 : length == 2 ? 1 : length == 8 ? 2 : 3;

    if (n == HARDWARE_MAX) {
        return error_set(error, "vCPU %u has no more than %d debug registers", kv->vcpu->index, HARDWARE_MAX);
    }
    if ((length != 1 && length != 2 && length != 4 && length != 8) || b->address % length) {
        return error_set(error, "a watchpoint covers 1, 2, 4 or 8 aligned bytes, not %" PRIu64 " at %#" PRIx64, length,
                         b->address);
    }
    dbg->control |= KVM_GUESTDBG_USE_HW_BP;
    dbg->arch.debugreg[n] = b->address;
    dbg->arch.debugreg[7] |= DR7_FIXED | DR7_GLOBAL | 2u << (2 * n) | (type | code << 2) << (16 + 4 * n);
    kv->watch[kv->watches++] = *b;
    return true;
}

bool kvm_set_breakpoints(Vcpu *vcpu, const AccelBreakpoint *list, unsigned n, bool step, GError **error)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);
    struct kvm_guest_debug dbg = { .control = n || step ? KVM_GUESTDBG_ENABLE : 0 };
    g_autoptr(GArray) before = g_steal_pointer(&kv->soft);
    /* KVM steps from where the guest is now: what puts it elsewhere later takes the step away. */
    bool ok = !step || vcpu_store(vcpu, error);

    /* What stays is not taken out meanwhile: it might be mapped no more where this vCPU is now. */
    kv->soft = g_array_new(false, false, sizeof(uint64_t));
    kv->watches = 0;
    kv->stepping = step;
    for (unsigned i = 0; i < n && ok; i++) {
        if (list[i].kind == ACCEL_BREAK_SOFTWARE) {
            ok = soft_insert(kv, list[i].address, error);
            if (ok) {
                g_array_append_val(kv->soft, list[i].address);
                dbg.control |= KVM_GUESTDBG_USE_SW_BP;
            }
        } else {
            ok = hardware_add(kv, &list[i], &dbg, error);
        }
    }
    dbg.control |= step ? KVM_GUESTDBG_SINGLESTEP | kv->kvm->step_control : 0;
    soft_remove_all(kv->kvm, before);
    if (ok && kvm_ioctl(kv->fd, KVM_SET_GUEST_DEBUG, &dbg) < 0) {
        ok = error_set_errno(error, errno, "vCPU %u: KVM refuses to debug", vcpu->index);
    }
    if (!ok) {
        struct kvm_guest_debug off = { 0 };

        soft_remove_all(kv->kvm, kv->soft);
        kv->watches = 0;
        kv->stepping = false;
        kvm_ioctl(kv->fd, KVM_SET_GUEST_DEBUG, &off);
    }
    return ok;
}

/* The guest's own exception, given back to it. */
static void reinject(KvmVcpu *kv, uint8_t vector)
{
    struct kvm_vcpu_events events;

    if (kvm_ioctl(kv->fd, KVM_GET_VCPU_EVENTS, &events) < 0) {
        return;
    }
    events.exception.injected = 1;
    events.exception.nr = vector;
    events.exception.has_error_code = 0;
    events.flags = 0;
    kvm_ioctl(kv->fd, KVM_SET_VCPU_EVENTS, &events);
}

/* A breakpoint before the step that ended with it: it is the rarer news. */
static bool say_stop(KvmVcpu *kv, uint64_t dr6)
{
    for (unsigned i = 0; i < kv->watches; i++) {
        if (dr6 >> i & 1) {
            kv->vcpu->stop = (VcpuStop) { .kind = kv->watch[i].kind, .address = kv->watch[i].address };
            return true;
        }
    }
    kv->vcpu->stop = (VcpuStop) { .step = true };
    return kv->stepping && dr6 & DR6_STEP;
}

bool kvm_debug_exit(KvmVcpu *kv)
{
    const struct kvm_debug_exit_arch *d = &kv->run->debug.arch;
    bool ours = false;

    if (d->exception == VECTOR_BP) {
        for (unsigned i = 0; i < kv->soft->len; i++) {
            ours |= g_array_index(kv->soft, uint64_t, i) == d->pc;
        }
        kv->vcpu->stop = (VcpuStop) { .kind = ACCEL_BREAK_SOFTWARE, .address = d->pc };
    } else {
        ours = say_stop(kv, d->dr6);
    }
    if (!ours) {
        reinject(kv, d->exception == VECTOR_BP ? VECTOR_BP : VECTOR_DB);
    }
    return ours;
}

void kvm_debug_init(Kvm *kvm)
{
    kvm->breakpoints = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
}

void kvm_debug_free(Kvm *kvm)
{
    g_hash_table_unref(kvm->breakpoints);
}

void kvm_debug_vcpu_init(KvmVcpu *kv)
{
    kv->soft = g_array_new(false, false, sizeof(uint64_t));
}

void kvm_debug_vcpu_finish(KvmVcpu *kv)
{
    g_array_unref(kv->soft);
}
