/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside memory: what the walker (mmu.c), the TLBs (tlb.c), data accesses (access.c), devices
 * (bus.c) and the memory map (map.c) share.
 *
 * Host addresses that were found inside stay valid until the vCPU goes outside and serves a
 * request there; then `voids` has risen.
 */
#pragma once

#include "vmm/x86/soft/vm.h"

/* Page-fault error codes, SDM 3-4.7. */
enum { FAULT_P = 1, FAULT_W = 2, FAULT_U = 4, FAULT_RSVD = 8, FAULT_I = 16 };

/* What the page tables say of a page. */
typedef struct SoftWalk {
    uint64_t gpa;    /* of the byte asked for */
    unsigned shift;  /* log2 of the page's size */
    bool user, writable, no_exec, dirty, global;
    uint32_t error;  /* why not, without what the access adds */
} SoftWalk;

/* A piece of an access, within a page. */
typedef struct SoftPlace {
    uint64_t gpa;
    uint8_t *host;   /* NULL: a device, nothing, or a write to ROM */
    uint8_t *flags;  /* of a write to RAM: its page's; NULL: nothing is to be done after the write */
} SoftPlace;

#define ASID_BITS  12
#define ASIDS      4095 /* 1..4094: the user set's */
#define LARGE_BITS 1024
#define CODE_BITS  2048

struct SoftMmu {
    unsigned hint;            /* of the range last found in the map */
    uint32_t voids;
    bool used[TLB_SETS], wrote[TLB_SETS]; /* the set may hold entries; write entries */
    uint16_t next_asid;       /* the next to give out */
    uint16_t oldest_asid;     /* those below are void */
    uint16_t asid_of[4096];   /* by PCID; 0 or a void one: none */
    /* Beside TlbSet.read: the page's flags byte if stores are allowed (writable, D set), else NULL. */
    uint8_t *flags[TLB_NONE][TLB_SIZE];
    /* Places in the supervisor's sets whose entry is not global. */
    uint64_t local[TLB_NONE][TLB_SIZE / 64], local_exec[TLB_EXEC / 64];
    /* Addresses of which an entry was made from a page of 2 or 4 MiB, or of 1 GiB; hashed. */
    uint64_t large[LARGE_BITS / 64], giant[LARGE_BITS / 64];
    /* Pages that soft_code() was asked about since the jump cache was flushed, for supervisor and user; hashed. */
    uint64_t code[2][CODE_BITS / 64];
    uint32_t supervisor_tag;
    uint64_t user_generation;
    bool local_jumps;         /* the supervisor may have jumps to pages that are not global */
    /* The write that has begun, if it is not one piece of RAM. */
    SoftPlace part[2];
    unsigned part_size[2], parts;
    uint8_t *write_flags;     /* if it is one */
    bool write_watched;
};

/* ---- map.c ---- */
static inline const SoftRange *soft_range(const SoftCpu *cpu, uint64_t gpa)
{
    SoftMap *const *maps = cpu->vm->map;
    const SoftMap *map = __atomic_load_n(&maps[cpu->in_smm && cpu->vm->smm], __ATOMIC_ACQUIRE);
    unsigned low = cpu->mmu->hint, high = map->n;

    if (LIKELY(low < high && gpa - map->range[low].first <= map->range[low].last - map->range[low].first)) {
        return &map->range[low];
    }
    for (low = 0; low < high;) {
        unsigned middle = low + (high - low) / 2;

        if (map->range[middle].last < gpa) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == map->n || map->range[low].first > gpa) {
        return NULL;
    }
    cpu->mmu->hint = low;
    return &map->range[low];
}

/* ---- tlb.c ---- */
/* Whose rights the access has. */
static inline unsigned soft_set_of(const SoftCpu *cpu, unsigned access)
{
    return access & ACCESS_SYSTEM ? TLB_SUPERVISOR : cpu->tlb_index;
}

/* flags: of a page that may be written to, else NULL. */
void soft_tlb_fill(SoftCpu *cpu, uint64_t linear, unsigned access, const SoftWalk *w, const uint8_t *host,
                   uint8_t *flags);

/* ---- mmu.c ---- */
/* The page at linear, past the TLB; raises what the access raises (#PF, or #GP, #SS if it is not canonical). */
void soft_resolve(SoftCpu *cpu, uint64_t linear, unsigned access, SoftPlace *ret);

/* ---- bus.c ---- */
static inline bool soft_is_apic(const SoftCpu *cpu, uint64_t gpa)
{
    return !((gpa ^ cpu->apic_page) & PAGE_MASK);
}

/* Devices and what is no whole page, by guest-physical address; the vCPU goes outside, if it is not. */
void soft_bus_read(SoftCpu *cpu, uint64_t gpa, void *to, unsigned size);
void soft_bus_write(SoftCpu *cpu, uint64_t gpa, const void *from, unsigned size);

/* ---- access.c ---- */
/* After bytes of RAM were written whose page had flags: they are logged, and code made of them is dropped. */
void soft_wrote(SoftCpu *cpu, uint8_t *flags, const uint8_t *host, uint64_t size);
