/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models, for monitor clients.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/x86/cpu-model.h"

extern const Command cpu_model_commands[];

/* Properties of CPUs in the object tree: features, whether this model has them, and its identity. */
typedef void (*CpuPropertyFn)(const char *name, const char *type, const char *help, void *opaque);
void cpu_model_each_property(CpuPropertyFn fn, void *opaque); /* what -cpu takes too */
Json *cpu_model_property(const CpuModel *model, const char *name); /* NULL: a CPU that runs has no such */
char *cpu_model_type_name(const char *model); /* "max-x86_64-cpu"; the caller frees */
const char *cpu_model_name(const CpuModel *model);
