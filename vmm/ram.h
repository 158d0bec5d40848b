/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RAM blocks: host memory that guests see.
 *
 * A block has a chosen backing with abilities that can be asked for, a host
 * address fixed for life, and pages that may be remapped in place (restore by
 * mapping, discard).  Blocks are reference counted: a DMA mapping or a listener
 * that keeps the host address holds a reference.
 *
 * Dirty bits are per client and per 4 KiB page, set atomically by any thread and
 * taken by the client.
 *
 * The list of blocks is one per process (ram.c).
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define GUEST_PAGE_SIZE UINT64_C(4096)

typedef struct RamBlock RamBlock;
struct RamFillPart;

typedef enum RamBackingKind { RAM_ANONYMOUS, RAM_MEMFD, RAM_FILE } RamBackingKind;

typedef struct RamBacking {
    RamBackingKind kind;
    bool shared;              /* MAP_SHARED: vhost-user and other processes see it */
    bool prealloc;
    uint32_t prealloc_threads;
    bool reserve;             /* false: MAP_NORESERVE */
    bool merge, dump;         /* madvise MERGEABLE, DODUMP */
    bool readonly;
    bool hugetlb;
    uint64_t hugetlb_size;    /* 0: default */
    const char *path;         /* RAM_FILE: file or directory; borrowed during ram_block_new() */
    uint64_t file_offset;
    bool discard_data, pmem;
    uint64_t align;           /* 0: natural */
    /* NUMA of the host: mbind(2) */
    int policy;               /* MPOL_*; MPOL_DEFAULT: none */
    const unsigned long *host_nodes; /* bitmap of max_node bits; borrowed */
    unsigned max_node;
} RamBacking;

typedef enum RamAbility {
    RAM_CAN_SHARE         = 1 << 0, /* has a descriptor another process can map and see writes */
    RAM_CAN_COPY_ON_WRITE = 1 << 1, /* a private mapping: pages may be replaced without anyone else seeing it */
    RAM_CAN_PUNCH         = 1 << 2, /* discarded pages give memory back */
} RamAbility;

typedef enum DirtyClient { DIRTY_MIGRATION, DIRTY_DISPLAY, DIRTY_CHECKPOINT, DIRTY_RATE, DIRTY_CLIENTS } DirtyClient;

/* Main thread.  size is rounded up to the backing's page size. id names the section in saved state. */
RamBlock *ram_block_new(const char *id, uint64_t size, const RamBacking *backing, GError **error);
RamBlock *ram_block_ref(RamBlock *block);
void ram_block_unref(RamBlock *block); /* NULL is fine; the last one unmaps */
const char *ram_block_id(const RamBlock *block);
uint8_t *ram_block_host(const RamBlock *block);
uint64_t ram_block_size(const RamBlock *block);
bool ram_block_is_writable(const RamBlock *block); /* by this process */
unsigned ram_block_abilities(const RamBlock *block); /* RamAbility bits */
/* For another process, so all of its pages are there; -1: none. */
int ram_block_fd(const RamBlock *block, uint64_t *offset);
/* The block at a host address; NULL: not guest RAM. */
RamBlock *ram_block_find_host(const void *host, uint64_t *offset);
/* Gives [offset, +length), whole pages of the backing, back to the host; it reads as zero, and counts as
 * written.  Negative errno if the backing cannot. */
int ram_block_discard(RamBlock *block, uint64_t offset, uint64_t length);
/* Shows a private copy of the file's pages there in place of the block's, which are lost, and counts as a write.  The
 * file must not change meanwhile.  -ENOTSUP: this backing cannot (shared, read-only, huge pages, bound to NUMA
 * nodes). */
int ram_block_overlay(RamBlock *block, uint64_t offset, uint64_t length, int fd, uint64_t file_offset);
#define RAM_HUGE_PAGE (UINT64_C(2) << 20)
/* Makes a range zero that may be so already: what is not there need not come for that, and what was preallocated
 * stays.  `sparse`: there is little around it (in the same RAM_HUGE_PAGE) that deserves a huge page. */
void ram_block_clear(RamBlock *block, uint64_t offset, uint64_t length, bool sparse);
/* Whether the kernel may make huge pages of it; true: as its backing has it. Negative errno. */
int ram_block_set_huge(RamBlock *block, bool huge);
/* Whether its pages may be missing until they are touched (vmm/ram-fill.h): shared, and nobody else's. */
bool ram_block_can_fill(const RamBlock *block);
/* Another process will ask for its descriptor: it is not filled, since that would have to wait.  Any thread. */
void ram_block_will_share(RamBlock *block);
/* ram-fill.c: they are, or, with NULL, not any more. */
void ram_block_set_fill(RamBlock *block, struct RamFillPart *part);
typedef void (*RamBlockFn)(RamBlock *block, void *opaque);
void ram_block_each(RamBlockFn fn, void *opaque);

/* ---- writers: who changes guest memory from the host says so afterwards, with ram_dirty_set() ---- */
/* Told of every such write, on the writer's thread, which may hold locks: it takes none that ranks below LOCK_RAM. */
typedef struct RamWriteHook {
    void (*written)(struct RamWriteHook *hook, RamBlock *block, uint64_t offset, uint64_t length);
} RamWriteHook;
/* One hook a block, NULL: none any more.  A thread may still be in the old one: free it through epoch_retire(). */
void ram_set_write_hook(RamBlock *block, RamWriteHook *hook);
/* Whether anybody wants to know: what a fast path asks before it calls ram_dirty_set(). */
bool ram_is_watched(const RamBlock *block);

/* ---- dirty bits: any thread; bounds are checked ---- */
void ram_dirty_enable(RamBlock *block, DirtyClient client); /* allocates the bitmap, all set */
void ram_dirty_disable(RamBlock *block, DirtyClient client);
unsigned ram_dirty_clients(const RamBlock *block); /* bits of those enabled */
/* After a write: tells every enabled client, and the hook. */
void ram_dirty_set(RamBlock *block, uint64_t offset, uint64_t length);
/* The bits only: for accelerators, whose own writes these are. */
void ram_dirty_mark(RamBlock *block, uint64_t offset, uint64_t length);
/* Whether any page of the range is dirty. */
bool ram_dirty_test(const RamBlock *block, DirtyClient client, uint64_t offset, uint64_t length);
/* Tests and clears one page. */
bool ram_dirty_take(RamBlock *block, DirtyClient client, uint64_t offset);
/* How many pages are dirty. */
uint64_t ram_dirty_count(const RamBlock *block, DirtyClient client);
/* Clears the next run of dirty pages, `most` at most, from page `from` on.  Returns its length, 0: there is none. */
uint64_t ram_dirty_take_run(RamBlock *block, DirtyClient client, uint64_t from, uint64_t most, uint64_t *ret_first);
/* Or's a bitmap as KVM gives it (bit 0 of word 0 is the page at offset) into every enabled client's. */
void ram_dirty_or(RamBlock *block, uint64_t offset, const uint64_t *bitmap, uint64_t pages);
