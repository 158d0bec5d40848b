/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clock of the 82574L that its driver makes a PTP clock of (DS 7.8 and 10.2.10): SYSTIM grows by INCVALUE every
 * INCPERIOD cycles of 25 MHz, in guest time.  Frames get no time stamps: the registers that would switch them on are
 * absent, so drivers see that they stay off.
 *
 * Locking: the device's lock is held.
 */
#include "hw/net/e1000.h"

#define CYCLE_NS       40
#define INCVALUE(T)    ((T) & 0xffffff)
#define INCPERIOD(T)   ((T) >> 24)

static uint64_t value_now(const E1000 *e)
{
    uint64_t cycles = (uint64_t)(e1000_now(e) - e->systim_since) / CYCLE_NS;

    return e->systim + (INCPERIOD(e->timinca) ? cycles / INCPERIOD(e->timinca) * INCVALUE(e->timinca) : 0);
}

static void start_from(E1000 *e, uint64_t value)
{
    e->systim = value;
    e->systim_since = e1000_now(e);
}

void e1000_timinca_write(E1000 *e, uint32_t value)
{
    start_from(e, value_now(e));
    e->timinca = value;
}

/* The low half is read first and keeps the high one. */
uint32_t e1000_systiml(E1000 *e)
{
    uint64_t value = value_now(e);

    e->systimh = (uint32_t)(value >> 32);
    return (uint32_t)value;
}

void e1000_systim_write(E1000 *e, uint32_t value, bool high)
{
    uint64_t now = value_now(e);

    start_from(e, high ? (uint64_t)value << 32 | (uint32_t)now : (now & ~(uint64_t)UINT32_MAX) | value);
}
