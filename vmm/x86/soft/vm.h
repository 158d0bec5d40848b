/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the vCPUs of a domain share.  Private to the library.
 *
 * lock protects the code store: blocks, their lists and links, code pages, stubs.  A vCPU
 * takes it by soft_vm_lock() only.  It ranks below LOCK_MAPPING's holders: who holds it takes
 * no lock of Lodge and calls no hook.
 */
#pragma once

#include <pthread.h>

#include "vmm/x86/soft/cpu.h"

typedef struct SoftRange { uint64_t first, last; uint8_t *host; uint8_t *flags; RamBlock *ram; uint64_t ram_offset;
                           bool readonly; } SoftRange;
/* What RAM (and ROM) is where: sorted, immutable once published; replaced under REQUEST_FLUSH. */
typedef struct SoftMap { unsigned n; SoftRange range[]; } SoftMap;

struct SoftVm {
    AddressSpace *memory, *ports, *smm;
    SoftMap *map[2];              /* atomic; [1]: system management mode, NULL without */
    struct SoftMapListener *listener[2]; /* map.c */
    struct SoftCode *code;        /* block.c */
    struct SoftStubs *stubs;      /* stub.c */
    pthread_mutex_t lock;
    pthread_mutex_t broadcast;    /* one soft_broadcast() or exclusive section at a time */
    pthread_mutex_t cpus_lock;    /* leaf */
    SoftCpu **cpus;               /* under cpus_lock */
    unsigned n_cpus;
    uint32_t deterministic;
    bool single_vendor_intel;     /* the host's vendor, for what vendors do differently */
    unsigned trace;
    void (*trace_line)(const char *text);
    uint64_t isa[8];              /* bit map of ZydisISASet the guest's CPUID offers; decode.c */
    bool isa_known;
};

/* map.c */
bool soft_map_init(SoftVm *vm, GError **error);
void soft_map_finish(SoftVm *vm);
bool soft_map_set_smm(SoftVm *vm);
/* The range that holds gpa in the CPU's present space, NULL: a device or nothing. */
const SoftRange *soft_map_find(const SoftCpu *cpu, uint64_t gpa);
/* block.c */
bool soft_code_init(SoftVm *vm, uint64_t bytes, GError **error);
void soft_code_finish(SoftVm *vm);
/* The block at cpu->rip in cpu->mode: found or decoded, entered into the jump cache, linked from linked_from.  Raises
 * what fetching raises (ip synced to rip). */
Block *soft_lookup(SoftCpu *cpu);
/* stub.c */
bool soft_stubs_init(SoftVm *vm, GError **error);
void soft_stubs_finish(SoftVm *vm);
