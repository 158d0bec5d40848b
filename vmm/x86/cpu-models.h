/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of named CPU models.  Constant; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CPU_STEPPING_0 16 /* says 0 where 0 would mean the base's */

typedef struct CpuModelDef CpuModelDef;
struct CpuModelDef {
    const char *name;
    const CpuModelDef *base;      /* its features too; NULL: none */
    const char *vendor;           /* CPUID leaf 0, 12 letters; as are those below: of the base if not given */
    unsigned family, model, stepping;
    uint32_t level, xlevel;       /* highest basic and extended leaf */
    const char *model_id;         /* 0x80000002, at most 48 letters */
    const char *features, *without; /* names, blanks between them; NULL: none */
    bool bare;                    /* none but these: nor those that every model here gets */
    bool portable;                /* of KVM's paravirtual features only those that every accelerator has */
};

/* name NULL ends; `host` and `max` are not in it. */
extern const CpuModelDef cpu_model_defs[];
