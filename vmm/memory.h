/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest-physical memory and port space.
 *
 * A tree of regions says what is where; an address space is a tree's root.  Each
 * change ends in a transaction's commit, which computes a view (an immutable
 * sorted array of ranges), publishes it and tells the listeners, synchronously on
 * the thread that made the change, under one leaf lock (LOCK_MAPPING); no device
 * is called.  Readers use the current view without locks; old views are reclaimed
 * by epochs.
 *
 * Regions are owned by whoever embeds them and outlive their place in the tree:
 * take a region out, commit, then finish and free through epoch_retire().  The same
 * holds for a doorbell's eventfd, which a late dispatch may still ring.
 *
 * The map is one per process (memory.c holds its lock and its list of spaces).
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/locks.h"
#include "vmm/ram.h"

typedef struct MemoryRegion MemoryRegion;
typedef struct AddressSpace AddressSpace;
typedef struct MemoryListener MemoryListener;

/* Handlers of an MMIO or port region.  `size` is 1, 2, 4 or 8 and lies within [impl_min,
 * impl_max]: wider accesses are split, narrower ones widened (aligned read; a write narrower
 * than impl_min is handed as it is).  Sizes outside [min, max], and unaligned accesses unless
 * `unaligned`, read as all ones and write nothing.  Called with the region's lock held. */
typedef struct MemoryOps {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    uint8_t min, max;           /* 0: 1 and 8 (4 in port space) */
    uint8_t impl_min, impl_max; /* 0: as min and max */
    bool unaligned;
} MemoryOps;

typedef enum MemoryKind {
    MEMORY_CONTAINER,
    MEMORY_RAM,
    MEMORY_ROM,
    MEMORY_ROM_DEVICE, /* reads as RAM while romd mode is on, else and for writes as MMIO */
    MEMORY_MMIO,       /* port regions too */
    MEMORY_ALIAS,
    MEMORY_TRANSLATED, /* behind a vIOMMU: each access asks translate() */
} MemoryKind;

typedef enum MemoryPermission {
    MEMORY_NONE = 0,
    MEMORY_READ = 1,
    MEMORY_WRITE = 2,
    MEMORY_READ_WRITE = 3,
} MemoryPermission;

typedef struct MemoryTranslation {
    uint64_t target, mask; /* mask: size of the page minus 1 */
    MemoryPermission permission;
    AddressSpace *space;
} MemoryTranslation;
typedef MemoryTranslation (*MemoryTranslateFn)(void *opaque, uint64_t address, MemoryPermission wanted);

/* An ioeventfd: a write of `size` bytes (0: any size) to the offset, of `data` if match, rings fd. */
typedef struct MemoryDoorbell {
    uint64_t offset;
    unsigned size;
    bool match;
    uint64_t data;
    int eventfd;
} MemoryDoorbell;

struct MemoryRegion {
    const char *name;
    MemoryKind kind;
    uint64_t size; /* bytes; UINT64_MAX stands for 2^64 */
    bool enabled, readonly, romd, nonvolatile;
    bool coalesced;         /* MMIO: writes may be queued by the accelerator */
    RamBlock *ram;          /* RAM, ROM, ROM_DEVICE: referenced */
    uint64_t ram_offset;
    const MemoryOps *ops;
    void *opaque;
    Lock *lock;             /* taken around ops; NULL: the handlers lock by themselves */
    MemoryTranslateFn translate;
    /* place in the tree; LOCK_MAPPING */
    MemoryRegion *parent, *alias;
    uint64_t address, alias_offset;
    int priority;           /* higher hides lower */
    GPtrArray *children;    /* by falling priority */
    GArray *doorbells;      /* MemoryDoorbell */
};

/* ---- set up and take down; the region must not be in a tree ---- */
void memory_region_init(MemoryRegion *mr, const char *name, uint64_t size); /* container */
void memory_region_init_ram(MemoryRegion *mr, const char *name, RamBlock *ram, uint64_t offset, uint64_t size);
void memory_region_init_rom(MemoryRegion *mr, const char *name, RamBlock *ram, uint64_t offset, uint64_t size);
void memory_region_init_rom_device(MemoryRegion *mr, const char *name, RamBlock *ram, const MemoryOps *ops,
                                   void *opaque, Lock *lock);
void memory_region_init_io(MemoryRegion *mr, const char *name, uint64_t size, const MemoryOps *ops, void *opaque,
                           Lock *lock);
void memory_region_init_alias(MemoryRegion *mr, const char *name, MemoryRegion *target, uint64_t offset, uint64_t size);
void memory_region_init_translated(MemoryRegion *mr, const char *name, uint64_t size, MemoryTranslateFn fn,
                                   void *opaque);
void memory_region_finish(MemoryRegion *mr);

/* ---- mapping: any thread; each is a transaction of its own unless inside one ---- */
void memory_begin(void); /* takes LOCK_MAPPING, nests */
void memory_commit(void);
/* Among equal priorities the last one added hides the others.  False: refused, since mr (or what it
 * aliases) contains the container. */
bool memory_add(MemoryRegion *container, uint64_t address, MemoryRegion *mr, int priority);
void memory_remove(MemoryRegion *mr); /* fine if it is in no tree */
void memory_set_address(MemoryRegion *mr, uint64_t address);
void memory_set_enabled(MemoryRegion *mr, bool enabled);
void memory_set_readonly(MemoryRegion *mr, bool readonly);
void memory_set_romd(MemoryRegion *mr, bool romd);
void memory_set_alias_offset(MemoryRegion *mr, uint64_t offset);
void memory_add_doorbell(MemoryRegion *mr, const MemoryDoorbell *doorbell);
void memory_remove_doorbell(MemoryRegion *mr, const MemoryDoorbell *doorbell);
bool memory_is_mapped(const MemoryRegion *mr);

/* ---- address spaces ---- */
AddressSpace *address_space_new(const char *name, MemoryRegion *root, bool ports);
void address_space_free(AddressSpace *as); /* no listeners left */
bool address_space_is_ports(const AddressSpace *as);

/* ---- access: any registered thread (vmm/epoch.h); may take device locks, so the caller holds none ---- */
typedef enum MemoryResult { MEMORY_OK = 0, MEMORY_UNASSIGNED, MEMORY_ACCESS_ERROR } MemoryResult;
MemoryResult memory_read(AddressSpace *as, uint64_t address, void *buffer, uint64_t length);
MemoryResult memory_write(AddressSpace *as, uint64_t address, const void *buffer, uint64_t length);
/* As memory_write(), but ROM is changed, too: for debuggers. */
MemoryResult memory_patch(AddressSpace *as, uint64_t address, const void *buffer, uint64_t length);
/* One access of 1, 2, 4 or 8 bytes, little endian as x86 makes it. */
MemoryResult memory_load(AddressSpace *as, uint64_t address, unsigned size, uint64_t *value);
MemoryResult memory_store(AddressSpace *as, uint64_t address, unsigned size, uint64_t value);

/* A range of the view: what `address` hits.  Valid until the caller is quiescent. */
typedef struct MemoryRange {
    uint64_t address, size; /* in the address space; UINT64_MAX stands for 2^64 */
    MemoryRegion *region;   /* never an alias or a container */
    uint64_t offset;        /* of `address` in the region */
    bool readonly, romd;
} MemoryRange;
bool memory_lookup(AddressSpace *as, uint64_t address, MemoryRange *ret);
/* Host address of RAM at `address`, NULL if it is none; *length is cut to what is contiguous.  write: it may be written
 * while no vCPU runs, and memory_ram_written() is told afterwards. */
void *memory_ram_pointer(AddressSpace *as, uint64_t address, uint64_t *length, bool write);
void memory_ram_written(const void *host, uint64_t length);
typedef bool (*MemoryRangeFn)(const MemoryRange *range, void *opaque);
void memory_each_range(AddressSpace *as, MemoryRangeFn fn, void *opaque);
/* As text for people: the trees, with those that aliases in them show; disabled: also what is switched off. */
void memory_dump_tree(AddressSpace *const *spaces, unsigned n, bool disabled, GString *out);
void memory_dump_view(AddressSpace *as, GString *out); /* what is left when one has hidden the other */

/* ---- listeners: called on the thread that commits, LOCK_MAPPING held ----
 * A commit calls begin, every removal (of ranges and of doorbells), then every addition and keep in
 * order of addresses, then commit.  Ranges of a block that is being logged are followed by log_start
 * when added and preceded by log_sync when removed.  Hooks may be NULL. */
struct MemoryListener {
    const char *name;
    int priority; /* adds go up, removals go down */
    void (*begin)(MemoryListener *l);
    void (*add)(MemoryListener *l, const MemoryRange *range);
    void (*remove)(MemoryListener *l, const MemoryRange *range);
    void (*keep)(MemoryListener *l, const MemoryRange *range); /* unchanged */
    void (*doorbell_add)(MemoryListener *l, uint64_t address, const MemoryDoorbell *d);
    void (*doorbell_remove)(MemoryListener *l, uint64_t address, const MemoryDoorbell *d);
    void (*commit)(MemoryListener *l);
    void (*log_start)(MemoryListener *l, const MemoryRange *range);
    void (*log_stop)(MemoryListener *l, const MemoryRange *range);
    void (*log_sync)(MemoryListener *l, const MemoryRange *range); /* pulls dirty pages into the block's bitmaps */
    AddressSpace *space; /* set by memory_listener_add */
};
/* Replays the current view to it. */
void memory_listener_add(MemoryListener *l, AddressSpace *as);
void memory_listener_remove(MemoryListener *l);

/* ---- dirty logging (vmm/ram.h holds the bitmaps) ---- */
void memory_log_start(RamBlock *block, DirtyClient client); /* all spaces that show it */
void memory_log_stop(RamBlock *block, DirtyClient client);
void memory_log_sync(RamBlock *block);
