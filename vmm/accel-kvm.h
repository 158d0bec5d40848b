/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The KVM accelerator (Linux Documentation/virt/kvm/api.rst), as its files share it:
 *
 *   accel-kvm.c         the class, opening, capabilities, set-up of a VM
 *   accel-kvm-vcpu.c    vCPUs: the run loop, kicks, the gate; accel-kvm-exit.c: the dispatch of exits
 *   accel-kvm-state.c   registers in and out; accel-kvm-msr.c: MSRs
 *   accel-kvm-memory.c  memory slots, ioeventfds, coalesced zones; accel-kvm-dirty.c: dirty log and ring
 *   accel-kvm-irq.c     the interrupt fabric: routes, MSI, irqfd; accel-kvm-chips.c: PIC, IOAPIC, PIT, clock
 *   accel-kvm-cpuid.c   what CPUID and feature MSRs this host can give
 *   accel-kvm-debug.c   breakpoints, watchpoints, single step
 *   accel-kvm-stats.c   the kernel's statistics
 *
 * Only accel.c and those files include this header.
 *
 * The gate.  Memory slots cannot be replaced in one step: a slot that is split or
 * changes to read-only is deleted first.  kvm_hold() makes every vCPU leave KVM_RUN
 * and stay out until kvm_release(), so that no guest instruction sees the hole.
 *   1. kvm->hold and vcpu->inside are written and then the other is read, sequentially consistent:
 *      either the vCPU sees the hold and waits, or the holder sees it inside and kicks it.
 *   2. A vCPU inside holds no lock of ours, so the holder may hold any.
 */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>

#include "vmm/accel.h"
#include "vmm/domain.h"
#include "vmm/error.h"

typedef struct KvmOptions {
    char *device;
    int kernel_irqchip; /* IrqchipMode */
    uint32_t dirty_ring_size;
    bool has_shadow_mem;
    uint64_t shadow_mem;
    int notify_vmexit;
    uint32_t notify_window;
} KvmOptions;

/* One address space with its slots: 0 is what the CPU sees, 1 what it sees in SMM. */
typedef struct Kvm Kvm;
typedef struct KvmSpace {
    MemoryListener listener; /* first */
    Kvm *kvm;
    unsigned id;
    GPtrArray *slots;   /* KvmSlot by number, NULL: free; slot_lock */
    GArray *removed;    /* MemoryRange of the transaction under way; LOCK_MAPPING */
    GArray *added;
} KvmSpace;

typedef struct KvmSlot {
    uint64_t address, size;
    RamBlock *block;    /* referenced */
    uint64_t offset;    /* in the block */
    uint32_t number, flags;
} KvmSlot;

#define KVM_SPACES 2

typedef struct KvmVcpu {
    Kvm *kvm;
    Vcpu *vcpu;
    int fd;
    int stats_fd;            /* -1: none; opened before it runs, since KVM_RUN keeps every request of fd waiting */
    int tid;                 /* of its thread, 0 before vcpu_begin */
    struct kvm_run *run;
    struct kvm_coalesced_mmio_ring *coalesced; /* NULL: none; one ring for the VM */
    struct kvm_dirty_gfn *ring;                /* NULL: none */
    uint32_t ring_next;      /* slot_lock */
    bool inside;             /* atomic: in KVM_RUN, or about to be */
    bool tsc_stopped;        /* guest time stands still: its TSC, which runs on in KVM, is saved as it was then */
    uint64_t stopped_tsc;
    uint32_t tsc_khz;        /* atomic; 0: KVM does not tell */
    /* Debugging from outside. */
    bool stepping;
    unsigned watches;        /* debug registers in use */
    AccelBreakpoint watch[4]; /* ... and for what */
    GArray *soft;            /* uint64_t: addresses of its code breakpoints */
} KvmVcpu;

struct Kvm {
    Accel accel; /* first */
    KvmOptions options;
    int fd, vm;
    size_t run_size;
    /* What this kernel can do, constant after open. */
    unsigned slots_max, gsis_max, vcpus_max, mce_banks;
    uint64_t mce_capabilities;
    uint32_t xsave_size;
    bool coalesced_pio, any_length_doorbells, sregs2, payload, triple_fault, smm, tsc_control;
    bool manual_protect, stats_fd;
    IrqchipMode irqchip;
    bool has_pit;
    IrqFabric *fabric;
    /* Memory. */
    Lock slot_lock;     /* LOCK_RAM: slots of both spaces, rings' positions */
    KvmSpace space[KVM_SPACES], ports;
    AddressSpace *smm_space; /* NULL: no SMM */
    uint32_t ring_entries;
    pthread_mutex_t coalesced_mutex; /* orders the draining of the ring; vCPUs take it before any device lock */
    /* The gate; mutex also guards vcpus. */
    pthread_mutex_t gate_mutex;
    pthread_cond_t gate_cond;
    unsigned hold;      /* written under gate_mutex, read anywhere */
    GPtrArray *vcpus;   /* KvmVcpu */
    GHashTable *unplugged; /* APIC id to KvmVcpu, owned; main thread */
    /* MSRs that are state here, sorted; constant once the first vCPU exists. */
    GArray *msrs;       /* uint32_t */
    struct kvm_pit_state2 paused_pit;
    bool pit_saved;
    uint32_t step_control;   /* KVM_GUESTDBG_ bits: interrupts wait while stepping, where this kernel can */
    GHashTable *breakpoints; /* linear address to KvmSoftBreak; main thread */
    /* Split irqchip: the INTR pin of our PIC, which goes to vCPU 0. */
    KvmVcpu *bsp;
    bool extint;             /* atomic */
    int (*acknowledge)(void *opaque);
    void *acknowledge_opaque;
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
    char *failure;           /* set once, atomic; NULL: none */
};

extern const AccelClass accel_kvm_class;

static inline Kvm *kvm_of(Accel *accel)
{
    return (Kvm *)accel;
}

static inline KvmVcpu *kvm_vcpu_of(const Vcpu *vcpu)
{
    return vcpu->accel;
}

/* ---- accel-kvm.c ---- */
/* Retries on EINTR; -1 and errno as ioctl(2). */
int kvm_ioctl(int fd, unsigned long request, void *argument);
int kvm_check(const Kvm *kvm, unsigned capability); /* of the VM; 0: absent */
int kvm_enable(int fd, unsigned capability, uint64_t arg0, uint64_t arg1);
/* The host failed where nothing can be returned and locks may be held: every vCPU then leaves with
 * VCPU_EXIT_FAILED and this (first) reason.  gate_mutex is not held. */
void kvm_fail(Kvm *kvm, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* ---- accel-kvm-vcpu.c ---- */
bool kvm_vcpu_create(Accel *accel, Vcpu *vcpu, GError **error);
void kvm_vcpu_destroy(Vcpu *vcpu);
void kvm_vcpu_free(void *kv);
bool kvm_vcpu_begin(Vcpu *vcpu, GError **error);
VcpuExit kvm_vcpu_run(Vcpu *vcpu, GError **error);
void kvm_vcpu_kick(Vcpu *vcpu);
void kvm_set_extint(Accel *accel, bool level, int (*acknowledge)(void *opaque), void *opaque);
void kvm_hold(Kvm *kvm);
void kvm_release(Kvm *kvm);

/* ---- accel-kvm-exit.c ---- */
/* What one return of KVM_RUN asks for; true: go on running. */
bool kvm_dispatch(KvmVcpu *kv, VcpuExit *ret, GError **error);
void kvm_drain_coalesced(KvmVcpu *kv);

/* ---- accel-kvm-state.c, accel-kvm-msr.c ---- */
bool kvm_fetch(Vcpu *vcpu, GError **error);
bool kvm_store(Vcpu *vcpu, bool full, GError **error);
uint32_t kvm_tsc_khz(const Vcpu *vcpu);
bool kvm_tsc_fits(const Vcpu *vcpu, uint32_t khz, GError **error);
bool kvm_tsc_set_khz(KvmVcpu *kv, uint32_t khz); /* false: KVM refuses, errno says why */
bool kvm_msrs_probe(KvmVcpu *kv, GError **error); /* first vCPU: fills kvm->msrs */
bool kvm_msrs_fetch(KvmVcpu *kv, X86Cpu *cpu, GError **error);
/* All but the TSC deadline; `full`: clocks too. */
bool kvm_msrs_store(KvmVcpu *kv, X86Cpu *cpu, bool full, GError **error);
bool kvm_tsc_deadline_store(KvmVcpu *kv, X86Cpu *cpu, GError **error);
bool kvm_get_tsc(KvmVcpu *kv, uint64_t *ret_tsc);
bool kvm_set_msr(KvmVcpu *kv, uint32_t index, uint64_t value);

/* ---- accel-kvm-memory.c, accel-kvm-dirty.c ---- */
void kvm_memory_init(Kvm *kvm);
void kvm_memory_finish(Kvm *kvm);
void kvm_memory_listen(Kvm *kvm);
bool kvm_set_smm_space(Accel *accel, AddressSpace *space, GError **error);
KvmSlot *kvm_slot_find(KvmSpace *space, uint64_t address); /* slot_lock; NULL: none holds it */
bool kvm_slot_apply(KvmSpace *space, const KvmSlot *slot, uint64_t size); /* size 0 deletes */
bool kvm_dirty_init(Kvm *kvm, GError **error);
void kvm_dirty_map_ring(KvmVcpu *kv);
void kvm_dirty_unmap_ring(KvmVcpu *kv);
void kvm_dirty_harvest(Kvm *kvm); /* every ring */
void kvm_dirty_pull(KvmSpace *space, KvmSlot *slot); /* slot_lock; into the block's bitmaps */
void kvm_log_start(MemoryListener *l, const MemoryRange *range);
void kvm_log_stop(MemoryListener *l, const MemoryRange *range);
void kvm_log_sync(MemoryListener *l, const MemoryRange *range);

/* ---- accel-kvm-irq.c, accel-kvm-chips.c ---- */
bool kvm_fabric_create(Kvm *kvm, GError **error); /* after the irqchip */
void kvm_fabric_free(Kvm *kvm);
void kvm_pit_legacy(Kvm *kvm, bool on);
bool kvm_chip_get(Accel *accel, AccelChip chip, void *state, GError **error);
bool kvm_chip_set(Accel *accel, AccelChip chip, const void *state, GError **error);
bool kvm_clock_get(Accel *accel, uint64_t *kvmclock_ns, GError **error);
bool kvm_clock_set(Accel *accel, uint64_t kvmclock_ns, GError **error);
bool kvm_nmi(Vcpu *vcpu, GError **error);
bool kvm_smi(Vcpu *vcpu, GError **error);

/* ---- accel-kvm-cpuid.c ---- */
unsigned kvm_supported_cpuid(Accel *accel, X86Cpuid *ret, unsigned max);
uint64_t kvm_supported_msr_features(Accel *accel, uint32_t msr);
bool kvm_vcpu_set_cpuid(Vcpu *vcpu, const X86Cpuid *cpuid, unsigned n, GError **error);
void kvm_request_amx(Kvm *kvm); /* before the first vCPU */

/* ---- accel-kvm-debug.c, accel-kvm-stats.c ---- */
bool kvm_set_breakpoints(Vcpu *vcpu, const AccelBreakpoint *list, unsigned n, bool step, GError **error);
bool kvm_debug_exit(KvmVcpu *kv); /* ours (true), or the guest's own: handed back to it */
void kvm_debug_init(Kvm *kvm);
void kvm_debug_free(Kvm *kvm);
void kvm_debug_vcpu_init(KvmVcpu *kv);
void kvm_debug_vcpu_finish(KvmVcpu *kv);
bool kvm_stats(Accel *accel, Vcpu *vcpu, AccelStatFn fn, void *opaque);
