/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An accelerator that runs nothing: it records what devices and the run loop ask of
 * one.  Interrupt controllers are ours (split), unless a test says otherwise before
 * it makes them; its vCPUs "run" until kicked, or until a test hands them an exit.
 */
#pragma once

#include "vmm/accel.h"
#include "vmm/x86/chips.h"

typedef struct FakeMsi { uint64_t count; MsiMessage last; } FakeMsi;

typedef struct FakeAccel {
    Accel accel;
    IrqFabric fabric;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    /* Under mutex. */
    FakeMsi msi;          /* messages sent, through routes too */
    VcpuExit next_exit;   /* of the next run() of any vCPU, unless KICKED */
    unsigned runs, stores; /* run() and store() so far */
    unsigned inside;      /* vCPUs within run() */
    bool fail_begin, fail_fetch, fail_store;
    VcpuStop next_stop;   /* of an exit by VCPU_EXIT_DEBUG */
    /* What set_breakpoints() said last, and of which vCPUs (bits by index) it asked a step.  fail_breakpoints: it refuses
     * any. */
    AccelBreakpoint armed[8];
    unsigned armed_count, steps;
    bool fail_breakpoints;
    uint64_t kvmclock_ns;
    /* What chip_set() stored and chip_get() gives, when irqchip is IRQCHIP_ON. */
    IrqchipMode irqchip;
    I8259State pic[2];
    IoapicState ioapic;
    I8254State pit;
    /* What a vCPU does, a little at a time, until it is kicked; set before it starts.  NULL: it sleeps. */
    void (*guest)(Vcpu *vcpu, void *opaque);
    void *opaque;
    bool set_up;          /* setup() was called */
} FakeAccel;

FakeAccel *fake_accel_new(Domain *domain); /* and sets it on the domain, which closes it */
FakeAccel *fake_accel(Domain *domain);
FakeMsi fake_accel_msi(Domain *domain);
/* The next vCPU to run, or one that runs now, leaves with this. */
void fake_accel_exit(Domain *domain, VcpuExit why);
/* Until the vCPU has parked itself, and so has asked for what follows. */
void fake_accel_wait_parked(Vcpu *vcpu);
