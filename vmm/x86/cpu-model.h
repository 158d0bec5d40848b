/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models: what CPUID and the feature MSRs tell the guest.  `host` (what the
 * accelerator offers, passed on), `max` (everything it can give), and named
 * models as tables, a portable baseline among them.  -cpu MODEL,+f,-f,f=on|off.
 * CPUID: SDM 2A, APM 3 appendix E.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/accel.h"

typedef struct CpuTopology {
    unsigned cpus, maxcpus, sockets, dies, cores, threads;
} CpuTopology;
extern const FieldStruct smp_options; /* -smp */
/* Fills what was not given as QEMU users expect (cores preferred); refuses products that do not match. */
bool cpu_topology_parse(const char *text, unsigned max, CpuTopology *ret, GError **error);
uint32_t cpu_topology_apic_id(const CpuTopology *t, unsigned index); /* SDM 3-9.9 field widths */
typedef enum CpuLevel { CPU_LEVEL_CORE, CPU_LEVEL_DIE, CPU_LEVEL_SOCKET } CpuLevel;
unsigned cpu_topology_shift(const CpuTopology *t, CpuLevel level); /* lowest bit of its field in an APIC id */
void cpu_topology_place(const CpuTopology *t, unsigned index, unsigned *socket, unsigned *die, unsigned *core,
                        unsigned *thread);

/* text: -cpu; accel filters it.  Features that cannot be given, the model's or asked for, are one error that
 * names them with `enforce`, else one warning (check=off: none). */
CpuModel *cpu_model_new(const char *text, Accel *accel, GError **error);
void cpu_model_free(CpuModel *model);
/* The CPUID leaves of one vCPU, topology filled in.  Returns how many. */
unsigned cpu_model_cpuid(const CpuModel *model, const CpuTopology *t, uint32_t apic_id, X86Cpuid *ret, unsigned max);
bool cpu_model_feature(const CpuModel *model, const char *name);
uint32_t cpu_model_signature(const CpuModel *model);
unsigned cpu_model_phys_bits(const CpuModel *model);
uint64_t cpu_model_feature_msr(const CpuModel *model, uint32_t msr);
uint32_t cpu_model_tsc_khz(const CpuModel *model); /* asked for by tsc-frequency; 0: the host's */
void cpu_models_help(GString *out); /* -cpu help */
typedef void (*CpuModelFn)(const char *name, const char *desc, void *opaque);
void cpu_models_each(CpuModelFn fn, void *opaque);
