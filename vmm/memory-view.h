/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the memory map: what memory.c (tree, transactions), memory-view.c
 * (flattening, differences) and memory-access.c (dispatch) share.
 *
 * Invariants of a View:
 *  1. Ranges are sorted, do not overlap, and name no container or alias.
 *  2. Doorbells are sorted by address and lie wholly within a range of their region.
 *  3. It is constant once published and holds a reference on each range's block, so
 *     blocks live as long as any reader can find them.
 */
#pragma once

#include "vmm/memory.h"

typedef struct ViewRange {
    uint64_t first, last; /* inclusive */
    MemoryRegion *region;
    uint64_t offset;      /* of first in the region */
    RamBlock *ram;        /* NULL: no memory behind it; referenced */
    uint8_t *host;        /* of first; NULL without ram */
    uint64_t ram_offset;  /* of first in the block */
    bool readonly;        /* writes are dropped */
    bool romd;            /* ROM device that reads as memory */
    bool bells;           /* some doorbell lies within */
} ViewRange;

typedef struct ViewBell {
    uint64_t address;
    MemoryDoorbell bell;
} ViewBell;

typedef struct View {
    unsigned n_ranges, n_bells;
    ViewRange *ranges;
    ViewBell *bells;
} View;

struct AddressSpace {
    char *name;
    MemoryRegion *root;
    bool ports;
    unsigned hint;        /* slot of the last-hit cache */
    View *view;           /* atomic: release by the committer, acquire by readers */
    GPtrArray *listeners; /* MemoryListener by rising priority; LOCK_MAPPING */
};

/* LOCK_MAPPING held. */
View *view_new(MemoryRegion *root);
void view_free(void *view); /* NULL is fine */
bool view_equal(const View *a, const View *b);
/* The range that holds address, or NULL. */
const ViewRange *view_find(const View *view, uint64_t address);
/* The first range at or above address, or NULL. */
const ViewRange *view_next(const View *view, uint64_t address);
/* The first doorbell at address, or NULL; its equals follow it. */
const ViewBell *view_bell(const View *view, uint64_t address);
MemoryRange view_range_export(const ViewRange *r);

/* Tell one listener set what left the old view, and what came or stayed in the new one. */
void view_removed(GPtrArray *listeners, const View *old, const View *new);
void view_added(GPtrArray *listeners, const View *old, const View *new);

static inline const View *address_space_view(const AddressSpace *as)
{
    return __atomic_load_n(&as->view, __ATOMIC_ACQUIRE);
}

static inline uint64_t region_last(const MemoryRegion *mr)
{
    return mr->size == UINT64_MAX ? UINT64_MAX : mr->size - 1;
}

/* True on a thread that changes the map: no device may be called. */
bool memory_in_transaction(void);
