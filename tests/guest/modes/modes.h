/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The modes guest: what its C files share.  It runs every probe (probe.h) and prints one line of what was seen for each;
 * layout.h says where things are.
 */
#pragma once

#include "../guest.h"
#include "layout.h"

typedef struct ProbeSet { /* then `count` values of 8 bytes */
    uint32_t address;
    uint16_t size, count;
    uint64_t value[];
} ProbeSet;

typedef struct Probe {
    const char *name;
    const uint8_t *code, *end; /* end: its UD2 */
    const ProbeSet *sets, *sets_end;
    uint32_t mode, ring, needs, unused;
} Probe;

static inline const ProbeSet *next_set(const ProbeSet *set)
{
    return (const ProbeSet *)&set->value[set->count];
}

/* Memory whose changes a transcript shows, in dwords named by their distance from `zero`. */
typedef struct Watch {
    const char *name;
    uint32_t base, size, zero;
} Watch;
extern const Watch watches[]; /* name NULL ends */

static inline volatile uint8_t *at8(uint32_t address)
{
    return (volatile uint8_t *)(uintptr_t)address;
}
static inline volatile uint16_t *at16(uint32_t address)
{
    return (volatile uint16_t *)(uintptr_t)address;
}
static inline volatile uint32_t *at32(uint32_t address)
{
    return (volatile uint32_t *)(uintptr_t)address;
}
static inline volatile uint64_t *at64(uint32_t address)
{
    return (volatile uint64_t *)(uintptr_t)address;
}

/* ---- switch.S ---- */
void probe_run(void);

/* ---- features.c ---- */
void features_init(void);
bool have_feature(unsigned need);

/* ---- tables.c ---- */
void tables_init(void);
/* Everything as a probe of that mode and ring finds it, but for its own settings. */
void tables_build(const Probe *probe);
/* After the settings: the frame that starts it, debug registers and MSRs. */
void tables_arm(const Probe *probe);

/* ---- report.c ---- */
void report_name(const Probe *probe, const unsigned *pick);
void report_snapshot(void);
void report_outcome(const Probe *probe);
