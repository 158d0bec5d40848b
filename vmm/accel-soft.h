/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU as an accelerator (vmm/x86/soft/soft.h), as its files share it:
 *
 *   accel-soft.c        the class, options, opening, CPUID
 *   accel-soft-vcpu.c   vCPUs: the run loop, what the CPU asks for, registers in and out, debugging
 *   accel-soft-irq.c    the fabric: MSIs and their routes to the local APICs (vmm/x86/lapic.h)
 *   accel-soft-clock.c  the TSC and kvmclock
 *   accel-soft-count.c  time that is a count of instructions (-icount)
 *
 * PIC, IOAPIC and PIT are the machine's own (irqchip "split").
 *
 * Locking: mutex guards `vcpus` and the change between stopped and running time; it
 * is a leaf.
 */
#pragma once

#include <pthread.h>

#include "vmm/accel.h"
#include "vmm/dma.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/x86/lapic.h"
#include "vmm/x86/soft/soft.h"

typedef struct SoftOptions {
    int thread;
    uint64_t tb_size;
    bool translate;
} SoftOptions;

typedef struct SoftAccel SoftAccel;

/* -icount: guest time is a count of instructions (accel-soft-count.c). */
typedef struct SoftCount {
    bool on, sleep;
    unsigned shift;          /* an instruction takes 2^shift ns, and ticks of the TSC */
    int64_t base;            /* ns to be added to those of the instructions: vCPU's thread, or parked */
    int64_t seen;            /* atomic: guest time for other threads, which no timer that is not due has come to */
    int64_t asleep_since;    /* ns of clock_realtime; 0: awake */
    Timer *alarm;            /* the guest sleeps until then */
} SoftCount;

#define SOFT_KVM_MSR_FIRST 0x4b564d02u /* paravirtual features that only KVM has */
#define SOFT_KVM_MSRS      6

typedef struct SoftVcpu {
    SoftAccel *soft;
    Vcpu *vcpu;
    SoftCpu *cpu;
    Lapic *lapic;
    AccelBreakpoint *breakpoints; /* as in `cpu`; written while parked */
    uint64_t stopped_tsc;    /* while time stands still */
    uint64_t system_time;    /* MSR_KVM_SYSTEM_TIME_NEW */
    uint32_t clock_version;  /* of the page there */
    /* Set by a guest that ran under KVM: kept, without effect. */
    uint64_t kvm_msr[SOFT_KVM_MSRS];
} SoftVcpu;

struct SoftAccel {
    Accel accel;
    SoftVm *vm;
    LapicBus *bus;
    IrqFabric *fabric;
    DmaSpace ram;            /* for pages that the guest shares with us */
    pthread_mutex_t mutex;
    GPtrArray *vcpus;        /* SoftVcpu */
    uint32_t tsc_khz;
    bool tsc_stable;
    bool stopped;            /* atomic, written under mutex: time stands still */
    uint64_t wall_clock;     /* MSR_KVM_WALL_CLOCK_NEW; atomic */
    /* kvmclock: clock_ns at clock_tsc of the host's TSC (while stopped: then); mutex. */
    uint64_t clock_ns, clock_tsc;
    uint32_t clock_multiplier; /* ns of a tick: * 2^clock_shift * multiplier / 2^32 */
    int8_t clock_shift;
    SoftCount count;
};

extern const AccelClass accel_soft_class;

static inline SoftAccel *soft_of(Accel *accel)
{
    return (SoftAccel *)accel;
}

static inline SoftVcpu *soft_vcpu_of(const Vcpu *vcpu)
{
    return vcpu->accel;
}

/* ---- accel-soft-vcpu.c ---- */
extern const LapicOps soft_lapic_ops;
bool soft_vcpu_create(Accel *accel, Vcpu *vcpu, GError **error);
void soft_vcpu_destroy(Vcpu *vcpu);
bool soft_vcpu_begin(Vcpu *vcpu, GError **error);
bool soft_vcpu_set_cpuid(Vcpu *vcpu, const X86Cpuid *cpuid, unsigned n, GError **error);
VcpuExit soft_vcpu_run(Vcpu *vcpu, GError **error);
void soft_vcpu_kick(Vcpu *vcpu);
bool soft_vcpu_fetch(Vcpu *vcpu, GError **error);
bool soft_vcpu_store(Vcpu *vcpu, bool full, GError **error);
bool soft_vcpu_nmi(Vcpu *vcpu, GError **error);
bool soft_vcpu_smi(Vcpu *vcpu, GError **error);
bool soft_set_breakpoints(Vcpu *vcpu, const AccelBreakpoint *list, unsigned n, bool step, GError **error);
bool soft_stats(Accel *accel, Vcpu *vcpu, AccelStatFn fn, void *opaque);

/* ---- accel-soft-irq.c ---- */
void soft_fabric_create(SoftAccel *soft);
void soft_fabric_free(SoftAccel *soft);

/* ---- accel-soft-clock.c ---- */
void soft_clock_init(SoftAccel *soft);
/* Before a vCPU runs: lets time go on. */
void soft_clock_resume(SoftAccel *soft);
uint64_t soft_clock_tsc(const SoftVcpu *sv);
bool soft_clock_get(Accel *accel, uint64_t *kvmclock_ns, GError **error);
bool soft_clock_set(Accel *accel, uint64_t kvmclock_ns, GError **error);
/* A loaded state's frequency is this host's, as far as a guest can tell. */
uint32_t soft_tsc_khz(const Vcpu *vcpu);
bool soft_tsc_fits(const Vcpu *vcpu, uint32_t khz, GError **error);
/* kvmclock's MSRs; false: none of them. */
bool soft_clock_msr_read(SoftVcpu *sv, uint32_t index, uint64_t *ret_value);
bool soft_clock_msr_write(SoftVcpu *sv, uint32_t index, uint64_t value);
/* The guest has set this vCPU's TSC: its page is out of date. */
void soft_clock_tsc_set(SoftVcpu *sv);
void soft_clock_save(SoftVcpu *sv, X86Cpu *cpu);
void soft_clock_load(SoftVcpu *sv, const X86Cpu *cpu);

/* ---- accel-soft-count.c ---- */
bool soft_count_init(Accel *accel, unsigned shift, bool sleep, GError **error);
void soft_count_finish(SoftAccel *soft);
SoftExit soft_count_run(SoftVcpu *sv);
