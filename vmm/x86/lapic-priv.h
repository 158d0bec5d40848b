/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC as its files share it:
 *
 *   lapic.c        vectors: acceptance, priorities, acknowledgement, EOI, local sources
 *   lapic-regs.c   registers: xAPIC page, x2APIC and other MSRs
 *   lapic-bus.c    who receives a message
 *   lapic-timer.c  the timer
 *   lapic-state.c  reset and saved form
 */
#pragma once

#include "vmm/locks.h"
#include "vmm/x86/lapic.h"

/* Offsets of registers, SDM 3-11.4.1 table 11-1. */
enum {
    APIC_ID = 0x20, APIC_VERSION = 0x30, APIC_TPR = 0x80, APIC_APR = 0x90, APIC_PPR = 0xa0, APIC_EOI = 0xb0,
    APIC_RRD = 0xc0, APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ISR = 0x100, APIC_TMR = 0x180,
    APIC_IRR = 0x200, APIC_ESR = 0x280, APIC_LVT_CMCI = 0x2f0, APIC_ICR = 0x300, APIC_ICR2 = 0x310,
    APIC_LVT_TIMER = 0x320, APIC_LVT_THERMAL = 0x330, APIC_LVT_PERF = 0x340, APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370, APIC_TMICT = 0x380, APIC_TMCCT = 0x390, APIC_TDCR = 0x3e0,
    APIC_SELF_IPI = 0x3f0,
};

/* IA32_APIC_BASE, SDM 3-11.4.4 */
#define BASE_BSP     (UINT64_C(1) << 8)
#define BASE_X2APIC  (UINT64_C(1) << 10)
#define BASE_ENABLED (UINT64_C(1) << 11)

/* Local vector table, SDM 3-11.5.1 */
#define LVT_VECTOR      0xffu
#define LVT_MODE_SHIFT  8
#define LVT_REMOTE_IRR  (1u << 14)
#define LVT_LEVEL       (1u << 15)
#define LVT_MASKED      (1u << 16)
#define LVT_TIMER_SHIFT 17

enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };

/* Delivery modes, SDM 3-11.6.1 */
enum { DELIVER_FIXED, DELIVER_LOWEST, DELIVER_SMI, DELIVER_NMI = 4, DELIVER_INIT, DELIVER_SIPI, DELIVER_EXTINT };

#define SVR_ENABLED      (1u << 8)
#define SVR_FOCUS_OFF    (1u << 9)
#define SVR_NO_BROADCAST (1u << 12)      /* of EOIs; only with VERSION_NO_BROADCAST */
#define VERSION_NO_BROADCAST (1u << 24)

/* Errors, SDM 3-11.5.3 */
enum { ERROR_SENT_VECTOR = 1 << 5, ERROR_RECEIVED_VECTOR = 1 << 6, ERROR_REGISTER = 1 << 7 };

typedef struct VectorSet { uint64_t word[4]; } VectorSet;

struct Lapic {
    LapicBus *bus;
    void *cpu;
    uint32_t id;                 /* the x2APIC one; never changes */
    bool bsp;
    LapicFeatures features;
    /* Guest state.  base, svr, ldr, dfr, xapic_id, tpr and isr are read by senders: atomics. */
    uint64_t base;
    uint32_t version, xapic_id, tpr, ldr, dfr, svr, icr, icr2;
    uint32_t lvt[6];             /* from APIC_LVT_TIMER on */
    uint32_t esr;                /* as it is read */
    uint32_t errors;             /* atomic: since ESR was last written */
    VectorSet irr, tmr;          /* atomics */
    VectorSet isr;
    bool extint_message;         /* atomic: a message asked for the PIC's vector */
    /* The timer; lock. */
    Lock lock;
    uint32_t initial_count, divide;
    int64_t timer_ns;            /* when the present count ends, on the bus' clock; 0: it stands */
    uint64_t deadline;           /* of the TSC; 0: none */
    Timer *timer;
    int64_t own_wait_ns;         /* its deadline while the CPU waits for it itself; 0: the loop does */
};

typedef struct LapicList { unsigned n; Lapic *apic[]; } LapicList;

struct LapicBus {
    Loop *loop;
    Clock *clock;
    const LapicOps *ops;
    LapicList *list;             /* atomic, replaced as a whole, reclaimed by epochs */
    unsigned turn;               /* atomic: who is next among equals */
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
    bool extint;                 /* atomic */
    int (*acknowledge)(void *opaque);
    void *acknowledge_opaque;
};

typedef struct LapicMessage {
    uint32_t destination;        /* UINT32_MAX: all */
    bool logical, any, level;    /* any: one of those named */
    uint8_t mode, vector;
} LapicMessage;

/* ---- lapic.c ---- */
static inline bool lapic_is_x2(const Lapic *apic)
{
    return __atomic_load_n(&apic->base, __ATOMIC_RELAXED) & BASE_X2APIC;
}

static inline bool lapic_is_on(const Lapic *apic) /* globally */
{
    return __atomic_load_n(&apic->base, __ATOMIC_RELAXED) & BASE_ENABLED;
}

/* Accepts interrupts: globally and by software enabled. */
static inline bool lapic_is_enabled(const Lapic *apic)
{
    return lapic_is_on(apic) && (__atomic_load_n(&apic->svr, __ATOMIC_RELAXED) & SVR_ENABLED);
}

static inline uint32_t *lapic_lvt(Lapic *apic, unsigned offset)
{
    return &apic->lvt[(offset - APIC_LVT_TIMER) >> 4];
}

int lapic_vectors_highest(const VectorSet *set); /* -1: empty */
unsigned lapic_priority(const Lapic *apic);   /* PPR; any thread, as of about now */
/* A message has arrived here.  Any thread. */
void lapic_accept(Lapic *apic, unsigned mode, uint8_t vector, bool level);
/* What a local source does: as its entry of the LVT says. */
void lapic_local(Lapic *apic, unsigned lvt_offset);
void lapic_raise_error(Lapic *apic, uint32_t error);
void lapic_set_tpr(Lapic *apic, uint32_t value);
void lapic_end_of_interrupt(Lapic *apic);
/* The PIC's interrupt would be taken by this CPU. */
bool lapic_takes_extint(const Lapic *apic);

/* ---- lapic-bus.c ---- */
void lapic_bus_add(LapicBus *bus, Lapic *apic);
void lapic_bus_remove(LapicBus *bus, Lapic *apic);
void lapic_send_icr(Lapic *apic, uint64_t icr);
LapicList *lapic_bus_list(const LapicBus *bus); /* valid until the caller's next quiescent point */

/* ---- lapic-timer.c ---- */
void lapic_timer_init(Lapic *apic);
void lapic_timer_finish(Lapic *apic);
void lapic_timer_set_lvt(Lapic *apic, uint32_t value);
void lapic_timer_set_initial(Lapic *apic, uint32_t value);
void lapic_timer_set_divide(Lapic *apic, uint32_t value);
uint32_t lapic_timer_count(Lapic *apic);
uint64_t lapic_timer_deadline(Lapic *apic);
void lapic_timer_set_deadline(Lapic *apic, uint64_t tsc);
/* Reset; load: what remains of the present count, or the deadline. */
void lapic_timer_restore(Lapic *apic, uint32_t initial, uint32_t current, uint32_t divide, uint64_t deadline);

/* ---- lapic-state.c ---- */
void lapic_reset_registers(Lapic *apic);
uint32_t lapic_x2apic_ldr(uint32_t id); /* SDM 3-11.12.10.2 */
void lapic_tell_page(Lapic *apic);
