/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the vCPUs of a domain share.  Private to the library.
 *
 * lock protects the code store: blocks, their lists and links, code pages, stubs.  A vCPU
 * takes it by soft_vm_lock() and is outside while it holds it.  Who holds it takes no lock of
 * Lodge and calls no hook or device; cpus_lock may be taken inside it, not the other way round.
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
    struct SoftRams *rams;        /* atomic; map.c */
    struct SoftCode *code;        /* block.c */
    struct SoftTranslator *translator; /* translate.c; NULL: blocks are interpreted */
    struct SoftStubs *stubs;      /* stub.c */
    pthread_mutex_t lock;
    pthread_mutex_t cpus_lock;    /* one soft_broadcast() or exclusive section at a time */
    SoftCpu **cpus;               /* under cpus_lock */
    unsigned n_cpus;
    uint32_t deterministic;
    uint32_t code_generation;     /* atomic: rises when blocks are to be forgotten; see block.c */
    bool stubs_full;              /* under lock: soft_stub_emit() found no room (and returned false); block.c drops all
                                   * code, calls soft_stubs_reset(), and decodes again */
    uint64_t host_xcr0;           /* the host's; stub.c */
    uint32_t mxcsr_mask;          /* bits of MXCSR that the host has */
    bool host_keeps_pointers;     /* of x87, that were loaded: saves them again */
    bool xsaveopt;                /* the host has XSAVEOPT */
    bool intel;                   /* the vendor of the guest's CPUID, for what vendors do differently */
    bool null_keeps_base;         /* of FS and GS in long mode */
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
/* What is decoded of a page of RAM: kept by map.c beside the page's flags (soft_page_flags()), in memory that is zero
 * at first and touched only for pages with code; block.c's to use. */
#define CODE_CHUNK 16
typedef struct SoftCodePage {
    uint64_t chunks[PAGE_SIZE / CODE_CHUNK / 64]; /* atomic: pieces of CODE_CHUNK bytes that blocks were made of */
    BlockRef blocks;                              /* under lock: blocks with bytes on this page */
    uint32_t unused[7];
} SoftCodePage;
SoftCodePage *soft_code_page(SoftVm *vm, const void *host);

/* block.c */
bool soft_code_init(SoftVm *vm, uint64_t bytes, bool translate, GError **error);
void soft_code_finish(SoftVm *vm);
/* The block at cpu->rip in soft_next_mode(): found or decoded, entered into the jump cache, linked from linked_from.
 * Raises what fetching raises (ip synced to rip).  NULL: once more from the top of the run loop. */
Block *soft_lookup(SoftCpu *cpu);
/* The mode to decode the next instruction in. */
static inline uint32_t soft_next_mode(const SoftCpu *cpu)
{
    bool single = cpu->shadow || (cpu->limit && cpu->limit - cpu->instructions <= 64);

    return cpu->mode | (single ? MODE_SINGLE : 0);
}
/* code-rest.c */
/* At a halt; inside.  Goes outside, now and then. */
void soft_code_rest(SoftCpu *cpu);
/* Before a vCPU goes on that was halted. */
void soft_code_wake(SoftCpu *cpu);
/* stub.c */
bool soft_stubs_init(SoftVm *vm, GError **error);
void soft_stubs_finish(SoftVm *vm);
void soft_stubs_reset(SoftVm *vm); /* under lock; no block is left that any vCPU could run */
void soft_stubs_counters(const SoftVm *vm, SoftCounterFn fn, void *opaque);
