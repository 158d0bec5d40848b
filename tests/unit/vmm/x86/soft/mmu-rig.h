/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory accesses of a vCPU without any code: it is inside, and what an access raises is
 * handed back.  Tables are made with mmu_put64() and mmu_put32() anywhere in the rig's RAM.
 */
#pragma once

#include <setjmp.h>
#include <string.h>

#include "soft-rig.h"
#include "vmm/x86/soft/system.h"
#include "vmm/x86/soft/mmu.h"
#include "vmm/x86/soft/op.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define XD (UINT64_C(1) << 63)

/* Where tests keep their tables, and what those map. */
#define TABLES UINT64_C(0x400000)
#define FRAME  UINT64_C(0x800000)

static inline void mmu_put64(SoftRig *rig, uint64_t gpa, uint64_t value)
{
    memcpy(rig->host + gpa, &value, sizeof(value));
}

static inline void mmu_put32(SoftRig *rig, uint64_t gpa, uint32_t value)
{
    memcpy(rig->host + gpa, &value, sizeof(value));
}

static inline uint64_t mmu_get64(const SoftRig *rig, uint64_t gpa)
{
    uint64_t value;

    memcpy(&value, rig->host + gpa, sizeof(value));
    return value;
}

static inline SoftRig *mmu_rig_new(void)
{
    SoftRig *rig = soft_rig_new();

    soft_rig_enter_64(rig, 0);
    soft_outside_end(rig->cpu);
    return rig;
}

static inline void mmu_rig_free(SoftRig *rig)
{
    soft_outside_begin(rig->cpu);
    soft_rig_free(rig);
}

/* After a change of control registers or of CPL, AC. */
static inline void mmu_changed(SoftRig *rig)
{
    soft_tlb_flush(rig->cpu);
    soft_update_mode(rig->cpu);
}

/* NULL: nothing was raised. */
static inline const SoftEvent *mmu_load(SoftRig *rig, uint64_t linear, unsigned size, unsigned access, uint64_t *value)
{
    if (_setjmp(rig->cpu->jump)) {
        return &rig->cpu->event;
    }
    *value = soft_load(rig->cpu, linear, size, access);
    return NULL;
}

static inline const SoftEvent *mmu_store(SoftRig *rig, uint64_t linear, unsigned size, uint64_t value, unsigned access)
{
    if (_setjmp(rig->cpu->jump)) {
        return &rig->cpu->event;
    }
    soft_store(rig->cpu, linear, size, value, access);
    return NULL;
}

static inline const SoftEvent *mmu_fetch(SoftRig *rig, uint64_t linear, const uint8_t **code)
{
    if (_setjmp(rig->cpu->jump)) {
        return &rig->cpu->event;
    }
    *code = soft_code(rig->cpu, linear);
    return NULL;
}

static inline const SoftEvent *mmu_probe(SoftRig *rig, uint64_t linear, uint64_t size, unsigned access)
{
    if (_setjmp(rig->cpu->jump)) {
        return &rig->cpu->event;
    }
    soft_probe(rig->cpu, linear, size, access);
    return NULL;
}

static inline const SoftEvent *mmu_write_begin(SoftRig *rig, uint64_t linear, unsigned size, bool contents, bool locked,
                                               void **at)
{
    if (_setjmp(rig->cpu->jump)) {
        return &rig->cpu->event;
    }
    *at = soft_write_begin(rig->cpu, linear, size, 0, contents, locked);
    return NULL;
}

static inline const SoftEvent *mmu_read_begin(SoftRig *rig, uint64_t linear, unsigned size, const void **at)
{
    if (_setjmp(rig->cpu->jump)) {
        return &rig->cpu->event;
    }
    *at = soft_read_begin(rig->cpu, linear, size, 0);
    return NULL;
}

static inline const SoftEvent *mmu_cr3(SoftRig *rig, uint64_t value, bool keep)
{
    if (_setjmp(rig->cpu->jump)) {
        return &rig->cpu->event;
    }
    soft_set_cr3(rig->cpu, value, keep);
    return NULL;
}
