/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APICs in userspace, for a CPU that is ours (SDM volume 3, chapter 11): the
 * registers, xAPIC and x2APIC; the system bus that carries messages between them and
 * from MSIs; the timer.
 *
 * A Lapic belongs to its CPU's thread (or to the main thread while that is parked),
 * but for what others send it: IRR, TMR, ESR and the requests of LapicOps, by
 * atomics.  No message is lost: a sender sets IRR first and then calls
 * ops->interrupt(), whose receiver clears that request first and then looks at IRR.
 *
 * Saved form: X86Cpu.lapic, as KVM_GET_LAPIC gives it, the ID in bits 31-0; and
 * X86Cpu.apic_base, cr8 (a copy of TPR) and MSR 0x6e0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/irq.h"
#include "vmm/timer.h"
#include "vmm/x86/cpu.h"

typedef struct Lapic Lapic;
typedef struct LapicBus LapicBus;

/* What a local APIC asks of its CPU. */
typedef struct LapicOps {
    /* Any thread; locks may be held. */
    void (*interrupt)(void *cpu); /* lapic_acknowledge() may have something */
    void (*nmi)(void *cpu);
    void (*smi)(void *cpu);
    void (*init)(void *cpu);      /* INIT: the CPU calls lapic_init() when it takes it */
    void (*sipi)(void *cpu, uint8_t vector);
    /* The CPU's time stamp counter now; its thread, or the loop of the timer. */
    uint64_t (*tsc)(void *cpu);
    /* The register page is at gpa from now on, UINT64_MAX: nowhere.  The CPU's thread, or parked. */
    void (*moved)(void *cpu, uint64_t gpa);
} LapicOps;

/* ---- the bus: main thread ---- */
/* Timers run on loop, by clock. */
LapicBus *lapic_bus_new(Loop *loop, Clock *clock, const LapicOps *ops);
void lapic_bus_free(LapicBus *bus); /* no Lapic left */
/* EOIs of level-triggered vectors, with no lock held, on the CPU's thread. */
void lapic_bus_set_eoi(LapicBus *bus, void (*eoi)(void *opaque, uint8_t vector), void *opaque);

/* ---- the bus: any thread that is registered with epochs ---- */
/* SDM 3-11.11; false: nobody takes it. */
bool lapic_bus_send(LapicBus *bus, MsiMessage message);
/* The INTR pin of the PIC, which is LINT0 of every CPU, and what its interrupt acknowledge cycle is. */
void lapic_bus_set_extint(LapicBus *bus, bool level, int (*acknowledge)(void *opaque), void *opaque);

/* ---- one local APIC: main thread ---- */
typedef struct LapicFeatures {
    bool x2apic, tsc_deadline;
    unsigned phys_bits;
    uint32_t tsc_khz;
} LapicFeatures;

Lapic *lapic_new(LapicBus *bus, uint32_t id, bool bsp, void *cpu);
void lapic_free(Lapic *apic);
void lapic_set_features(Lapic *apic, const LapicFeatures *features);
/* Parked.  lapic_load() tells ops->moved(). */
bool lapic_load(Lapic *apic, const X86Cpu *state, GError **error);
void lapic_save(Lapic *apic, X86Cpu *state);

/* ---- one local APIC: its CPU's thread, or parked ---- */
void lapic_init(Lapic *apic); /* INIT, SDM 3-11.4.7.3 */
/* What ICR says (no destination in it) to the CPUs whose APIC IDs are first + n for each bit n of `mask`.  Returns how
 * many took it, -EINVAL for an ICR with a destination. */
int lapic_send_ipis(Lapic *apic, unsigned __int128 mask, uint32_t first, uint64_t icr);
/* The vector of the interrupt now taken, of the PIC's where it comes through; -1: none. */
int lapic_acknowledge(Lapic *apic);
uint32_t lapic_read(Lapic *apic, unsigned offset); /* xAPIC */
void lapic_write(Lapic *apic, unsigned offset, uint32_t value);
uint64_t lapic_cr8(const Lapic *apic);
void lapic_set_cr8(Lapic *apic, uint64_t value);
/* IA32_APIC_BASE, the TSC deadline, x2APIC's registers. */
typedef enum LapicMsr { LAPIC_MSR_OTHER, LAPIC_MSR_OK, LAPIC_MSR_GP } LapicMsr;
LapicMsr lapic_msr_read(Lapic *apic, uint32_t index, uint64_t *ret_value);
LapicMsr lapic_msr_write(Lapic *apic, uint32_t index, uint64_t value);
/* A halted CPU may wait for its timer itself: returns until when, by clock_realtime, or INT64_MAX: it need not, since
 * nothing is set, or the clock stands and the loop waits for it.  The loop does nothing until the wait is ended, which
 * is before the CPU runs; no earlier end is needed. */
int64_t lapic_timer_begin_wait(Lapic *apic);
void lapic_timer_end_wait(Lapic *apic);
/* The TSC was set: what waits for a value of it waits anew. */
void lapic_tsc_changed(Lapic *apic);
