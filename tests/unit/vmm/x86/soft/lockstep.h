/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two engines of the software CPU run the same guest side by side and are compared as they
 * go: registers, flags, vector state, and all of RAM.  An engine is a rig and a way to
 * advance it; time must be deterministic in both (soft_vm_set_deterministic()).
 */
#pragma once

#include "soft-rig.h"

typedef struct LockstepEngine {
    const char *name;
    SoftRig *rig;
    /* Executes exactly n instructions, fewer only when an exception ends it (soft_cpu_trap()). */
    SoftExit (*advance)(SoftRig *rig, uint64_t n);
} LockstepEngine;

/* Whole blocks as far as they fit. */
SoftExit lockstep_by_blocks(SoftRig *rig, uint64_t n);
/* Every instruction a block of its own. */
SoftExit lockstep_by_instructions(SoftRig *rig, uint64_t n);

/* Up to `total` instructions, compared after every `stride`.  False: they differ; *ret_report says where and how, down to
 * the first differing instruction, by running again from the last equal state; freed by the caller. */
bool lockstep_run(LockstepEngine *a, LockstepEngine *b, uint64_t total, uint64_t stride, char **ret_report);
