/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Four local APICs on a bus (vmm/x86/lapic.h), with CPUs that only note what they are told,
 * and a clock that moves when told.  Facts: SDM volume 3, chapter 11.
 */
#pragma once

#include <pthread.h>

#include "vmm/x86/lapic.h"

#define CPUS 4
#define KHZ  2000000u

enum { ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100 };
enum { TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR2 = 0x310, TIMER = 0x320, LINT0 = 0x350 };
enum { ERROR_LVT = 0x370, TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0 };
enum { BASE = 0x1b, DEADLINE = 0x6e0, X2 = 0x800 }; /* MSRs */

#define XAPIC  UINT64_C(0xfee00800)
#define X2APIC UINT64_C(0xfee00c00)

typedef struct Cpu {
    Lapic *apic;
    unsigned interrupts; /* atomic */
    unsigned nmis, smis, inits, sipis;
    uint8_t sipi;
    uint64_t page;
    uint64_t tsc_extra;
} Cpu;

typedef struct Rig {
    Loop *loop;
    Clock *clock;
    LapicBus *bus;
    Cpu cpu[CPUS];
    unsigned pic_acknowledged;
    int pic_vector;
    uint8_t eoi[8];
    unsigned eois;
} Rig;

extern Rig *rig;

int lapic_rig_setup(void **state); /* all are xAPICs, software enabled */
int lapic_rig_teardown(void **state);
/* The state after a reset, in the given mode; software enabled. */
void power_on(unsigned n, uint64_t base);
Lapic *apic(unsigned n);
uint64_t rig_tsc(unsigned n);
int pic_acknowledge(void *opaque);
/* Whether it was told that there is something; forgets it, as a CPU does before it acknowledges. */
bool told(unsigned n);
void send(uint64_t address, uint32_t data); /* somebody takes it */
void send_fixed(unsigned n, uint8_t vector);
uint64_t msr(unsigned n, uint32_t index);
void set_msr(unsigned n, uint32_t index, uint64_t value);
