/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual CPUs: a thread each, which runs the accelerator until something stops it.
 *
 *     created --vcpu_start()--> parked <--vcpus_unpark() / vcpus_park()--> running
 *
 * Parked: the thread sleeps outside the accelerator; its architectural state is in
 * (or can be fetched into) `cpu`.  All parking is asked for by the main thread;
 * from a vCPU thread a stop is a request (domain_request_*), never a wait.
 */
#pragma once

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/loop.h"
#include "vmm/x86/cpu.h"

typedef struct Domain Domain;
typedef struct Vcpu Vcpu;
typedef struct CpuModel CpuModel;
typedef struct Device Device;

/* What a debugger asks the accelerator to stop at, and what stopped a vCPU. */
typedef enum AccelBreakKind { ACCEL_BREAK_SOFTWARE, ACCEL_BREAK_HARDWARE, ACCEL_WATCH_WRITE, ACCEL_WATCH_READ,
                              ACCEL_WATCH_ACCESS } AccelBreakKind;
typedef struct VcpuStop {
    bool step;           /* one instruction was asked for, and is done; nothing else below */
    AccelBreakKind kind;
    uint64_t address;    /* of the breakpoint, as it was given */
} VcpuStop;

struct Vcpu {
    Domain *domain;
    unsigned index;
    uint32_t apic_id;
    unsigned socket, die, core, thread;
    int node;               /* NUMA node, -1: none */
    Device *dev;            /* as which it was plugged in (vmm/cpu-bus.h); NULL: in tests */
    const CpuModel *model;
    void *accel;            /* the accelerator's */
    pthread_t pthread;
    int tid;                /* Linux thread id; 0: not started */
    X86Cpu cpu;             /* valid while `dirty` or after vcpu_fetch() */
    bool fetched;           /* cpu holds the state; the accelerator's is stale once dirty */
    bool dirty;             /* write cpu back before the next run */
    bool full;              /* ... all of it: after a reset */
    bool halted;            /* atomic, as is the next */
    unsigned kicked;
    int64_t halt_until;     /* when VCPU_EXIT_HALTED ends by itself, by clock_realtime; INT64_MAX: never */
    VcpuStop stop;          /* why run() ended with VCPU_EXIT_DEBUG; its thread writes */
    /* Under mutex; cond tells of every change. */
    bool park_wanted, parked, quit;
    bool held;              /* a debugger's, set by the main thread: stays parked while the others run */
    bool stopped;           /* by a debugger, which has not heard of it yet: stays parked */
    bool told;              /* it has heard of `stop`: to go on is to get over that breakpoint; while parked */
    int64_t out_until;      /* vcpu_stay_out(); 0: not */
    GError *failure;        /* of the thread's first step, for vcpu_start() */
    uint64_t exits[16];     /* counters by kind, this vCPU's thread writes */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    GQueue work;            /* vcpu_call() */
};

/* ---- main thread ---- */
Vcpu *vcpu_new(Domain *domain, unsigned index, uint32_t apic_id, GError **error);
/* Ends its thread, and leaves it reset: an accelerator that keeps it keeps one that takes no interrupt. */
void vcpu_retire(Vcpu *vcpu);
void vcpu_free(Vcpu *vcpu); /* ends its thread, if it has not */
bool vcpu_start(Vcpu *vcpu, GError **error); /* creates the thread, parked */
/* All at once: park returns when every one is out of the guest. */
void vcpus_park(Domain *domain);
void vcpus_unpark(Domain *domain);
/* Parked: hands every changed state to the accelerator, before time goes on and before the first vCPU runs
 * (which may send the others INIT at once). */
void vcpus_store(Domain *domain);
bool vcpus_parked(Domain *domain);
/* One that was plugged into a domain that may run: hands its state over, parked; then lets it run if the others do. */
bool vcpu_store(Vcpu *vcpu, GError **error);
void vcpu_join_others(Vcpu *vcpu);
/* Parks them for a moment, for who looks at the guest from outside, and lets them go on if they ran (what freeze
 * returned). */
bool vcpus_freeze(Domain *domain);
void vcpus_thaw(Domain *domain, bool ran);
/* So many percent of the time they do nothing, 0: they run as they can.  Less than 100. */
void vcpus_throttle(Domain *domain, unsigned percent);
unsigned vcpus_throttled(const Domain *domain); /* any thread */
/* Whether vcpus_unpark() leaves it out from now on. */
void vcpu_hold(Vcpu *vcpu, bool held);
/* Why it ended by VCPU_EXIT_DEBUG, told once; until then it stays parked.  False: it did not.  ret may be NULL. */
bool vcpu_take_stop(Vcpu *vcpu, VcpuStop *ret);
bool vcpus_any_stopped(Domain *domain); /* that is not held, and was not told of */
/* Runs fn on the vCPU's thread between two runs and waits. */
void vcpu_call(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque);
/* Parked: brings the state into vcpu->cpu / marks it as to be written back. */
bool vcpu_fetch(Vcpu *vcpu, GError **error);
void vcpu_set_dirty(Vcpu *vcpu);
/* Parked: power-on state (bsp runs, others wait for INIT). */
void vcpu_reset(Vcpu *vcpu);

/* ---- any thread ---- */
void vcpu_kick(Vcpu *vcpu); /* makes it leave the guest once; cheap when already out */
/* Does not run the guest before that time of clock_realtime; it can be parked meanwhile.  0: no more. */
void vcpu_stay_out(Vcpu *vcpu, int64_t until);
void vcpu_wake(Vcpu *vcpu); /* ends its halt, or the next one: something was signalled to it */
Vcpu *vcpu_current(void);   /* NULL outside of vCPU threads */
