/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's vCPUs: creation, the run loop, kicks and the gate (accel-kvm.h).
 *
 * A kick sets immediate_exit in the shared page and, if the vCPU is inside, sends
 * its thread a signal.  No kick is lost: the vCPU sets `inside` before the kernel
 * reads immediate_exit, the kicker sets immediate_exit before it reads `inside`.
 * The vCPU clears immediate_exit before it returns to its loop, which looks at what
 * was asked for afterwards.
 *
 * KVM finishes an I/O exit on the next KVM_RUN, so a vCPU leaves only by EINTR (or
 * by an exit that leaves nothing to finish): its registers are then consistent.
 */
#include "vmm/accel-kvm.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/epoch.h"
#include "vmm/log.h"

#define SIGNAL_KICK SIGUSR1

static void kick_handler(int signal)
{
    /* Its delivery is what interrupts KVM_RUN. */
}

/* KVM keeps a vCPU as long as its VM and makes none twice: one that was unplugged is used again. */
static KvmVcpu *take_unplugged(Kvm *kvm, uint32_t apic_id)
{
    gpointer kv = NULL;

    g_hash_table_steal_extended(kvm->unplugged, GUINT_TO_POINTER(apic_id), NULL, &kv);
    return kv;
}

void kvm_vcpu_free(void *opaque)
{
    KvmVcpu *kv = opaque;

    kvm_debug_vcpu_finish(kv);
    kvm_dirty_unmap_ring(kv);
    if (kv->run != MAP_FAILED) {
        munmap(kv->run, kv->kvm->run_size);
    }
    if (kv->stats_fd >= 0) {
        close(kv->stats_fd);
    }
    if (kv->fd >= 0) {
        close(kv->fd);
    }
    g_free(kv);
}

/* NULL, and nothing is left. */
static KvmVcpu *vcpu_make(Kvm *kvm, Vcpu *vcpu, GError **error)
{
    KvmVcpu *kv = g_new0(KvmVcpu, 1);
    int coalesced = kvm_check(kvm, KVM_CAP_COALESCED_MMIO);

    kv->kvm = kvm;
    kv->vcpu = vcpu;
    kv->run = MAP_FAILED;
    kv->stats_fd = -1;
    kvm_debug_vcpu_init(kv);
    kv->fd = kvm_ioctl(kvm->vm, KVM_CREATE_VCPU, (void *)(uintptr_t)vcpu->apic_id);
    if (kv->fd < 0) {
        error_set_errno(error, errno, "cannot create vCPU %u with KVM", vcpu->index);
        error_hint(error, "This host's KVM gives at most %u vCPUs.", kvm->vcpus_max);
        kvm_vcpu_free(kv);
        return NULL;
    }
    kv->run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, kv->fd, 0);
    if (kv->run == MAP_FAILED) {
        error_set_errno(error, errno, "cannot map the state of vCPU %u", vcpu->index);
        kvm_vcpu_free(kv);
        return NULL;
    }
    if (coalesced > 0 && ((size_t)coalesced + 1) * GUEST_PAGE_SIZE <= kvm->run_size) {
        kv->coalesced = (void *)((uint8_t *)kv->run + (size_t)coalesced * GUEST_PAGE_SIZE);
    }
    kvm_dirty_map_ring(kv);
    kv->tsc_khz = (uint32_t)MAX(kvm_ioctl(kv->fd, KVM_GET_TSC_KHZ, NULL), 0);
    if (kvm->stats_fd) {
        kv->stats_fd = kvm_ioctl(kv->fd, KVM_GET_STATS_FD, NULL);
    }
    if (kvm->mce_banks) {
        kvm_ioctl(kv->fd, KVM_X86_SETUP_MCE, &kvm->mce_capabilities);
    }
    if (!kvm_msrs_probe(kv, error)) {
        kvm_vcpu_free(kv);
        return NULL;
    }
    return kv;
}

bool kvm_vcpu_create(Accel *accel, Vcpu *vcpu, GError **error)
{
    Kvm *kvm = kvm_of(accel);
    KvmVcpu *kv = take_unplugged(kvm, vcpu->apic_id);

    kv = kv ? kv : vcpu_make(kvm, vcpu, error);
    if (!kv) {
        return false;
    }
    kv->vcpu = vcpu;
    vcpu->accel = kv;
    pthread_mutex_lock(&kvm->gate_mutex);
    g_ptr_array_add(kvm->vcpus, kv);
    if (vcpu->index == 0) {
        __atomic_store_n(&kvm->bsp, kv, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&kvm->gate_mutex);
    return true;
}

void kvm_vcpu_destroy(Vcpu *vcpu)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);
    Kvm *kvm = kv->kvm;

    kvm_set_breakpoints(vcpu, NULL, 0, false, NULL);
    if (kvm->ring_entries) {
        kvm_dirty_harvest(kvm); /* its ring is not looked at from now on */
    }
    pthread_mutex_lock(&kvm->gate_mutex);
    g_ptr_array_remove(kvm->vcpus, kv);
    if (kvm->bsp == kv) {
        __atomic_store_n(&kvm->bsp, NULL, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&kvm->gate_mutex);
    kv->tid = 0;
    vcpu->accel = NULL;
    g_hash_table_insert(kvm->unplugged, GUINT_TO_POINTER(vcpu->apic_id), kv);
}

bool kvm_vcpu_begin(Vcpu *vcpu, GError **error)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);
    struct sigaction action = { .sa_handler = kick_handler, .sa_flags = SA_RESTART };
    sigset_t set;

    sigaction(SIGNAL_KICK, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGNAL_KICK);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    __atomic_store_n(&kv->tid, (int)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    return true;
}

void kvm_vcpu_kick(Vcpu *vcpu)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);

    __atomic_store_n(&kv->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&kv->inside, __ATOMIC_SEQ_CST)) {
        syscall(SYS_tgkill, getpid(), __atomic_load_n(&kv->tid, __ATOMIC_SEQ_CST), SIGNAL_KICK);
    }
}

void kvm_hold(Kvm *kvm)
{
    pthread_mutex_lock(&kvm->gate_mutex);
    __atomic_fetch_add(&kvm->hold, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < kvm->vcpus->len; i++) {
        KvmVcpu *kv = kvm->vcpus->pdata[i];

        if (__atomic_load_n(&kv->inside, __ATOMIC_SEQ_CST)) {
            kvm_vcpu_kick(kv->vcpu);
        }
    }
    for (unsigned i = 0; i < kvm->vcpus->len; i++) {
        KvmVcpu *kv = kvm->vcpus->pdata[i];

        while (__atomic_load_n(&kv->inside, __ATOMIC_SEQ_CST)) {
            pthread_cond_wait(&kvm->gate_cond, &kvm->gate_mutex);
        }
    }
    pthread_mutex_unlock(&kvm->gate_mutex);
}

void kvm_release(Kvm *kvm)
{
    pthread_mutex_lock(&kvm->gate_mutex);
    __atomic_fetch_sub(&kvm->hold, 1, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&kvm->gate_cond);
    pthread_mutex_unlock(&kvm->gate_mutex);
}

static void gate_leave(KvmVcpu *kv)
{
    Kvm *kvm = kv->kvm;

    __atomic_store_n(&kv->inside, false, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&kvm->hold, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&kvm->gate_mutex);
        pthread_cond_broadcast(&kvm->gate_cond);
        pthread_mutex_unlock(&kvm->gate_mutex);
    }
}

static void gate_enter(KvmVcpu *kv)
{
    Kvm *kvm = kv->kvm;

    __atomic_store_n(&kv->inside, true, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&kvm->hold, __ATOMIC_SEQ_CST)) {
        gate_leave(kv);
        pthread_mutex_lock(&kvm->gate_mutex);
        while (kvm->hold) {
            pthread_cond_wait(&kvm->gate_cond, &kvm->gate_mutex);
        }
        pthread_mutex_unlock(&kvm->gate_mutex);
        __atomic_store_n(&kv->inside, true, __ATOMIC_SEQ_CST);
    }
}

/* ---- split irqchip: the PIC is ours, the local APIC that takes its interrupt is not ---- */
void kvm_set_extint(Accel *accel, bool level, int (*acknowledge)(void *opaque), void *opaque)
{
    Kvm *kvm = kvm_of(accel);
    KvmVcpu *bsp = __atomic_load_n(&kvm->bsp, __ATOMIC_ACQUIRE);

    if (kvm->acknowledge != acknowledge) { /* the first time, in the PIC's first reset */
        kvm->acknowledge_opaque = opaque;
        kvm->acknowledge = acknowledge;
    }
    __atomic_store_n(&kvm->extint, level, __ATOMIC_SEQ_CST);
    if (level && bsp) {
        kvm_vcpu_kick(bsp->vcpu); /* it looks at extint before it enters again */
    }
}

/* Before vCPU 0 enters: hands the interrupt over if the guest takes it now, else asks to be told when.  Not
 * if it is to leave at once: a vector that KVM holds and has not injected is in no state that can be saved. */
static void offer_extint(KvmVcpu *kv)
{
    Kvm *kvm = kv->kvm;
    struct kvm_interrupt interrupt;
    int vector;

    if (__atomic_load_n(&kvm->extint, __ATOMIC_SEQ_CST) && kv->run->ready_for_interrupt_injection && kv->run->if_flag &&
        !__atomic_load_n(&kv->run->immediate_exit, __ATOMIC_SEQ_CST)) {
        vector = kvm->acknowledge(kvm->acknowledge_opaque);
        interrupt.irq = (uint32_t)vector;
        if (vector >= 0 && kvm_ioctl(kv->fd, KVM_INTERRUPT, &interrupt) < 0) {
            kvm_fail(kvm, "vCPU %u refuses the PIC's interrupt: %s", kv->vcpu->index, g_strerror(errno));
        }
        kv->run->ready_for_interrupt_injection = 0; /* until the next exit says so again */
    }
    kv->run->request_interrupt_window = __atomic_load_n(&kvm->extint, __ATOMIC_SEQ_CST);
}

/* One KVM_RUN; 0 or the errno. */
static int enter_guest(KvmVcpu *kv)
{
    int err;

    epoch_offline();
    gate_enter(kv);
    err = ioctl(kv->fd, KVM_RUN, NULL) < 0 ? errno : 0;
    gate_leave(kv);
    epoch_online();
    return err;
}

VcpuExit kvm_vcpu_run(Vcpu *vcpu, GError **error)
{
    KvmVcpu *kv = kvm_vcpu_of(vcpu);

    for (;;) {
        VcpuExit exit = VCPU_EXIT_KICKED;
        const char *failure = __atomic_load_n(&kv->kvm->failure, __ATOMIC_ACQUIRE);
        int err;

        if (failure) {
            error_set(error, "KVM: %s", failure);
            return VCPU_EXIT_FAILED;
        }
        if (kv->kvm->irqchip == IRQCHIP_SPLIT && vcpu->index == 0) {
            offer_extint(kv);
        }
        err = enter_guest(kv);
        vcpu->exits[VCPU_COUNT_RUNS]++;
        kvm_drain_coalesced(kv);
        if (!err) {
            if (!kvm_dispatch(kv, &exit, error)) {
                return exit;
            }
            continue;
        }
        if (err == EINTR) {
            vcpu->exits[VCPU_COUNT_KICKED]++;
            __atomic_store_n(&kv->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
            return VCPU_EXIT_KICKED;
        }
        if (err == EAGAIN) { /* woken while it waits for INIT */
            continue;
        }
        error_set_errno(error, err, "vCPU %u cannot run", vcpu->index);
        if (err == EFAULT) {
            error_hint(error, "Guest memory could not be read or written: its file may have been cut, or the host is "
                              "out of memory.");
        }
        return VCPU_EXIT_FAILED;
    }
}
