/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store of decoded blocks, as block.c (finding and making them) and code-store.c
 * (room, dropping) share it.  Under vm->lock unless said otherwise.
 *
 * Life of a block:
 *
 *     made --publish--> found by its key --soft_block_drop()--> dead --region reused--> gone
 *
 * A dead block is in no list and no other block leads to it, but vCPUs may still be in it, or
 * hold it in their jump cache; each of its ops has become soft_op_leave, so they get out at the
 * next instruction, or at the block's end if it was translated (translate.h).  Its memory is
 * reused when every vCPU has passed the top of its run loop since (code_generation,
 * see_generation() in run.c) or is not running.
 */
#pragma once

#include "vmm/x86/soft/decode.h"
#include "vmm/x86/soft/vm.h"

#define CODE_REGIONS 8
#define HASH_BITS    15

typedef struct CodeRegion {
    uint8_t *start, *next, *end;
    uint8_t *native, *native_next, *native_end; /* code of its blocks, as it is written; native_next: atomic */
    uint32_t dropped_at; /* generation from which on no vCPU knows a block of it; if it is empty */
    bool touched;        /* has memory of the host */
} CodeRegion;

#define REST_HANDLERS  512
#define REST_SEEN_BITS 12

/* code-rest.c */
typedef struct SoftRest {
    uint64_t looked_at;      /* atomic, ticks of the host's TSC */
    uint64_t instructions;   /* of all vCPUs then */
    uint64_t enough;         /* atomic: no tidying below so many bytes of blocks; 0: never tidied */
    unsigned left;           /* atomic: regions still to be emptied */
    bool tidied;             /* since the last look */
    unsigned n_handlers;     /* atomic */
    OpFn *handlers[REST_HANDLERS]; /* atomic: those that blocks since the last tidying use, as far as there is room */
    uint64_t seen[(1 << REST_SEEN_BITS) / 64]; /* the hashes of them: one that shares its with another is left out */
} SoftRest;

typedef struct SoftCode {
    uint8_t *arena;
    uint64_t bytes;
    CodeRegion region[CODE_REGIONS];
    unsigned current;        /* atomic, for code-rest.c */
    bool resetting;          /* everything is being dropped, for the stubs: nothing is made until that is over */
    SoftRest rest;
    uint64_t made, dropped, drops_by_writes, regions_reused;
    BlockRef hash[1 << HASH_BITS]; /* atomic, as are Block.hash_next: vCPUs search without the lock */
    SoftDecode decode;
} SoftCode;

#define BLOCK_UNIT 32 /* blocks begin at multiples: no op is in two cache lines */
#define CODE_BYTES_MAX ((UINT64_C(1) << 31) * BLOCK_UNIT) /* twice a BlockRef is one, too */

static inline Block *soft_block_at(const SoftCode *code, BlockRef ref)
{
    return ref ? (Block *)(code->arena + (uint64_t)(ref - 1) * BLOCK_UNIT) : NULL;
}

static inline BlockRef soft_block_ref(const SoftCode *code, const Block *block)
{
    return (BlockRef)((uint64_t)((const uint8_t *)block - code->arena) / BLOCK_UNIT) + 1;
}

/* The first of those that may be that one.  Without the lock, chains lose blocks but never lead astray. */
static inline Block *soft_block_next(const SoftCode *code, const BlockRef *at)
{
    return soft_block_at(code, __atomic_load_n(at, __ATOMIC_ACQUIRE));
}

static inline unsigned soft_block_hash(const uint8_t *code, uint32_t mode)
{
    return (unsigned)((((uintptr_t)code ^ (uint64_t)mode << 40) * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - HASH_BITS));
}

/* Room for a block of n ops, or NULL: not before every vCPU has passed its loop's top; try again from there. */
Block *soft_block_alloc(SoftVm *vm, unsigned n);
/* Room for a block may be made now; false: as above. */
bool soft_code_ready(SoftVm *vm);
/* Drops all blocks of a region. */
void soft_region_empty(SoftVm *vm, CodeRegion *region);
/* No vCPU can know a block that was dead at that generation. */
bool soft_code_forgotten(SoftVm *vm, uint32_t generation);
/* What a block that is being made consists of: code-rest.c fetches it ahead. */
void soft_code_made(SoftVm *vm, const Block *block);
/* Unpublishes it for good. */
void soft_block_drop(SoftVm *vm, Block *block);
/* Drops everything; soft_code_ready() is false until the stubs could be reset. */
void soft_code_reset(SoftVm *vm);
/* The blocks on a page that were made of any of the bytes [host, host + size), which lie on it. */
void soft_code_drop_range(SoftVm *vm, const uint8_t *host, uint64_t size);
