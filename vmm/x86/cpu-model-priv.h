/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CPU model, as cpu-model.c (making one), cpu-cpuid.c (its leaves) and
 * cpu-model-commands.c (showing it) share it.
 * Constant once made.
 */
#pragma once

#include "vmm/x86/cpu-features.h"
#include "vmm/x86/cpu-model.h"

struct CpuModel {
    char *name;
    Accel *accel;
    char vendor[13];
    unsigned family, model, stepping;
    uint32_t level, xlevel;
    bool level_given, xlevel_given;
    char model_id[49];
    unsigned phys_bits;
    CpuFeatures features;
    CpuFeatures missing; /* wanted, and not given by the accelerator */
    bool kvm, pmu, l3_cache, host_cache;
    uint32_t tsc_khz;
    /* What the accelerator gives at most. */
    X86Cpuid *host;
    unsigned host_leaves;
};

extern const FieldStruct cpu_options; /* what -cpu takes beside features */

/* The accelerator's leaf, all zero if it has none. */
X86Cpuid cpu_model_host_leaf(const CpuModel *model, uint32_t leaf, uint32_t subleaf);
