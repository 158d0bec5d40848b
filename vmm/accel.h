/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accelerators: what runs guest code.  `kvm` and the software CPU (`tcg`) are the
 * two; nothing above this header knows which one runs.
 *
 * Invariants:
 *  1. probe() needs no machine and leaves nothing behind.
 *  2. Saved CPU, interrupt controller, timer and clock state is one format
 *     (X86Cpu, the sections of i8259, ioapic, i8254, kvmclock): a domain saved
 *     under one accelerator resumes under the other.
 *  3. run() returns only for what is listed in VcpuExit; I/O is dispatched inside
 *     it to the address spaces, with no lock held.
 *  4. After kick() returns, run() has left or will leave the guest without
 *     executing unboundedly many instructions.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/field.h"
#include "vmm/irq.h"
#include "vmm/memory.h"
#include "vmm/vcpu.h"

typedef struct Accel Accel;
typedef struct AccelClass AccelClass;

typedef enum VcpuExit {
    VCPU_EXIT_KICKED,   /* leave to the run loop: work, park */
    VCPU_EXIT_HALTED,   /* only without an in-kernel LAPIC: sleep until an interrupt */
    VCPU_EXIT_RESET,    /* triple fault, or asked for by the guest */
    VCPU_EXIT_SHUTDOWN, /* guest asked (KVM_SYSTEM_EVENT_SHUTDOWN) */
    VCPU_EXIT_CRASH,    /* guest reported a crash */
    VCPU_EXIT_DEBUG,    /* vcpu->stop says why */
    VCPU_EXIT_FAILED,   /* cannot go on: vcpu->domain pauses with internal-error; error set */
} VcpuExit;

typedef enum IrqchipMode { IRQCHIP_AUTO, IRQCHIP_ON, IRQCHIP_SPLIT, IRQCHIP_OFF } IrqchipMode;

typedef struct AccelProbe {
    bool usable;
    char *reason; /* why not, a whole sentence; owned by the caller (g_free) */
} AccelProbe;

/* What vcpu->exits[] counts; the vCPU's thread writes. */
typedef enum VcpuCounter { VCPU_COUNT_RUNS, VCPU_COUNT_PIO, VCPU_COUNT_MMIO, VCPU_COUNT_COALESCED, VCPU_COUNT_MSR,
                           VCPU_COUNT_EOI, VCPU_COUNT_KICKED, VCPU_COUNT_OTHER, VCPU_COUNTERS } VcpuCounter;

/* Chips whose state the accelerator may hold (irqchip whole). */
typedef enum AccelChip { ACCEL_PIC_MASTER, ACCEL_PIC_SLAVE, ACCEL_IOAPIC, ACCEL_PIT, ACCEL_CHIPS } AccelChip;

typedef struct AccelBreakpoint { AccelBreakKind kind; uint64_t address; uint64_t length; } AccelBreakpoint;

/* One statistic: a number, or the counts of a histogram (KVM API 4.132, "KVM_GET_STATS_FD"). */
typedef enum AccelStatKind { ACCEL_STAT_CUMULATIVE, ACCEL_STAT_INSTANT, ACCEL_STAT_PEAK, ACCEL_STAT_LINEAR_HISTOGRAM,
                             ACCEL_STAT_LOG2_HISTOGRAM, ACCEL_STAT_KINDS } AccelStatKind;
typedef enum AccelStatUnit { ACCEL_STAT_NO_UNIT, ACCEL_STAT_BYTES, ACCEL_STAT_SECONDS, ACCEL_STAT_CYCLES,
                             ACCEL_STAT_BOOLEAN, ACCEL_STAT_UNITS } AccelStatUnit;
typedef struct AccelStat {
    const char *name;
    AccelStatKind kind;
    AccelStatUnit unit;
    unsigned base;          /* the unit is multiplied by base^exponent: 2 or 10 */
    int exponent;
    uint32_t bucket_size;   /* of a linear histogram */
    const uint64_t *values;
    unsigned n;             /* 1, but for histograms */
} AccelStat;
typedef void (*AccelStatFn)(const AccelStat *stat, void *opaque);

#define ICOUNT_SHIFT_MAX 10

struct AccelClass {
    const char *name;      /* "kvm" */
    const char *type_name; /* "kvm-accel" */
    const char *desc;
    bool tsc_frequency_kept; /* a state is loaded only where the TSC is as fast: a guest may rely on it */
    const FieldStruct *options; /* -accel NAME,key=value */

    void (*probe)(AccelProbe *ret);
    Accel *(*open)(Domain *domain, const void *options, GError **error);
    void (*close)(Accel *accel);
    /* -icount: guest time by instructions, 2^shift ns each.  Before setup(); NULL: this accelerator cannot count. */
    bool (*count)(Accel *accel, unsigned shift, bool sleep, GError **error);
    /* After the machine has decided: interrupt controllers, boot parameters of the VM. */
    bool (*setup)(Accel *accel, IrqchipMode mode, GError **error);
    IrqFabric *(*fabric)(Accel *accel);
    IrqchipMode (*irqchip)(const Accel *accel);
    unsigned (*max_vcpus)(const Accel *accel);
    /* CPUID this accelerator can give at most; NULL-leaf terminated count returned. */
    unsigned (*supported_cpuid)(Accel *accel, X86Cpuid *ret, unsigned max);
    uint64_t (*supported_msr_features)(Accel *accel, uint32_t msr); /* feature MSRs: 0x10a, 0x3a ... */

    bool (*vcpu_create)(Accel *accel, Vcpu *vcpu, GError **error); /* main thread */
    void (*vcpu_destroy)(Vcpu *vcpu);
    bool (*vcpu_begin)(Vcpu *vcpu, GError **error);                /* first thing on its thread */
    bool (*vcpu_set_cpuid)(Vcpu *vcpu, const X86Cpuid *cpuid, unsigned n, GError **error);
    VcpuExit (*run)(Vcpu *vcpu, GError **error);
    void (*kick)(Vcpu *vcpu);                                      /* any thread */
    bool (*fetch)(Vcpu *vcpu, GError **error);                     /* into vcpu->cpu */
    bool (*store)(Vcpu *vcpu, bool full, GError **error);          /* from vcpu->cpu; full: reset or load */
    uint32_t (*tsc_khz)(const Vcpu *vcpu);                         /* of the guest; any thread; NULL: nobody can tell */
    bool (*tsc_fits)(const Vcpu *vcpu, uint32_t khz, GError **error); /* whether a load can make it that; any thread */
    bool (*nmi)(Vcpu *vcpu, GError **error);
    bool (*smi)(Vcpu *vcpu, GError **error);
    /* What vCPUs in system management mode see; false: this accelerator has no SMM.  Main thread, before vCPUs. */
    bool (*set_smm_space)(Accel *accel, AddressSpace *space, GError **error);

    /* The memory map of the guest: listeners are added to these by open(). */
    bool (*dirty_log)(Accel *accel);                               /* can it log */
    /* Pause and resume of time; main thread, vCPUs parked. */
    bool (*clock_get)(Accel *accel, uint64_t *kvmclock_ns, GError **error);
    bool (*clock_set)(Accel *accel, uint64_t kvmclock_ns, GError **error);
    bool (*chip_get)(Accel *accel, AccelChip chip, void *state, GError **error); /* of the hw chip's struct form */
    bool (*chip_set)(Accel *accel, AccelChip chip, const void *state, GError **error);
    /* Split irqchip: EOI broadcasts reach the IOAPIC here. */
    void (*set_eoi_handler)(Accel *accel, void (*eoi)(void *opaque, uint8_t vector), void *opaque);
    /* No in-kernel LAPIC/PIC: external interrupt pin of the BSP. */
    void (*set_extint)(Accel *accel, bool level, int (*acknowledge)(void *opaque), void *opaque);

    /* Parked; the whole list each time.  step: stop after one instruction, which no interrupt comes before.  False: as
     * if the list were empty. */
    bool (*set_breakpoints)(Vcpu *vcpu, const AccelBreakpoint *list, unsigned n, bool step, GError **error);
    /* Counters of a vCPU, or (NULL) of the VM; main thread.  false: this host has none. */
    bool (*stats)(Accel *accel, Vcpu *vcpu, AccelStatFn fn, void *opaque);
};

struct Accel {
    const AccelClass *class;
    Domain *domain;
};

extern const AccelClass *const accel_classes[]; /* in default order; NULL ends */
/* names: NULL (default order) or what to try, in order: texts of -accel ("kvm,dirty-ring-size=4096"), or the
 * names of -machine accel=kvm:tcg, split; NULL ends.  Says in one log line which is used and why, when the
 * first choice was not. */
Accel *accel_open(Domain *domain, const char *const *names, GError **error);
void accel_help(GString *out);
