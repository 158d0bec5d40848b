/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is where in guest-physical memory, as vCPUs see it; flags of RAM pages; the
 * dirty log; and what is to be done when somebody else writes to RAM.
 *
 * A listener a space (normal, system management mode) makes a SoftMap of each new view: whole
 * pages of RAM, ROM and ROM devices that read as memory.  Everything else, partial
 * pages too, vCPUs reach through vmm/memory.h as devices.  A map that differs is published,
 * every vCPU flushes its TLBs, and the old one is freed.
 *
 * Per RAM block (SoftRam) there are a byte of flags and a SoftCodePage for each of its pages.
 * They live from the first map that shows the block to the last.
 *
 * Dirty logging: a page with PAGE_CLEAN has no write entry in any TLB; a store to it
 * clears the flag, and by that the page is dirty.  A round of the log makes those pages
 * CLEAN again, lets every vCPU give up its write entries, and then sets the client's bits: a
 * store is either before that, and seen by the client, or finds the page CLEAN.
 *
 * Locking: listeners run under LOCK_MAPPING, which makes them one at a time.  The list of blocks
 * (vm->rams) is read without a lock: inside (it is replaced under REQUEST_FLUSH), or on
 * threads that epochs know (it is freed by epoch_retire()).
 */
#include <string.h>
#include <sys/mman.h>

#include "vmm/epoch.h"
#include "vmm/log.h"
#include "vmm/x86/soft/mmu.h"

/* First, so that the hook is the SoftRam. */
typedef struct SoftRam {
    RamWriteHook hook;
    SoftVm *vm;
    RamBlock *block; /* referenced */
    uint8_t *host;
    uint64_t pages;
    uint8_t *flags;      /* a byte a page; atomic */
    SoftCodePage *code;  /* one a page */
    void *memory;        /* of both */
    uint64_t bytes;
    bool shown;          /* while it is decided which blocks are left */
} SoftRam;

typedef struct SoftRams { unsigned n; SoftRam *ram[]; } SoftRams; /* by host address */

typedef struct SoftMapListener {
    MemoryListener l;
    SoftVm *vm;
    unsigned space;
    GArray *ranges; /* SoftRange, being collected */
} SoftMapListener;

/* ---- blocks ---- */

static SoftRam *ram_at(const SoftRams *rams, const void *host)
{
    for (unsigned i = 0; rams && i < rams->n; i++) { /* a few */
        if ((uint64_t)((const uint8_t *)host - rams->ram[i]->host) < rams->ram[i]->pages * PAGE_SIZE) {
            return rams->ram[i];
        }
    }
    return NULL;
}

static SoftRam *ram_of(const SoftVm *vm, const void *host)
{
    return ram_at(__atomic_load_n(&vm->rams, __ATOMIC_ACQUIRE), host);
}

static uint64_t page_in(const SoftRam *ram, const void *host)
{
    return (uint64_t)((const uint8_t *)host - ram->host) / PAGE_SIZE;
}

uint8_t *soft_page_flags(SoftVm *vm, const void *host)
{
    const SoftRam *ram = ram_of(vm, host);

    return ram ? &ram->flags[page_in(ram, host)] : NULL;
}

SoftCodePage *soft_code_page(SoftVm *vm, const void *host)
{
    const SoftRam *ram = ram_of(vm, host);

    return ram ? &ram->code[page_in(ram, host)] : NULL;
}

/* Who has written looks for the mark, who makes blocks marks the page and then compares the bytes: of the two one sees
 * the other. */
static void written(RamWriteHook *hook, RamBlock *block, uint64_t offset, uint64_t length)
{
    SoftRam *ram = (SoftRam *)hook;
    uint64_t end = offset + length, next;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (; offset < end; offset = next) {
        next = MIN(end, (offset & PAGE_MASK) + PAGE_SIZE);
        if (G_UNLIKELY(__atomic_load_n(&ram->flags[offset / PAGE_SIZE], __ATOMIC_SEQ_CST) & PAGE_CODE)) {
            soft_code_written(ram->vm, NULL, ram->host + offset, next - offset);
        }
    }
}

static SoftRam *ram_new(SoftVm *vm, RamBlock *block)
{
    uint64_t pages = ram_block_size(block) / PAGE_SIZE;
    uint64_t flags = (pages + PAGE_SIZE - 1) & PAGE_MASK;
    uint64_t bytes = flags + pages * sizeof(SoftCodePage);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SoftRam *ram;

    if (memory == MAP_FAILED) {
        log_warning("cannot reserve %" G_GUINT64_FORMAT " bytes for the pages of '%s': they will be slow", bytes,
                    ram_block_id(block));
        return NULL;
    }
    ram = g_new(SoftRam, 1);
    *ram = (SoftRam) {
        .hook = { written },
        .vm = vm,
        .block = ram_block_ref(block),
        .host = ram_block_host(block),
        .pages = pages,
        .flags = memory,
        .code = (SoftCodePage *)((uint8_t *)memory + flags),
        .memory = memory,
        .bytes = bytes,
    };
    ram_set_write_hook(block, &ram->hook);
    return ram;
}

static void ram_free(void *opaque)
{
    SoftRam *ram = opaque;

    munmap(ram->memory, ram->bytes);
    ram_block_unref(ram->block);
    g_free(ram);
}

/* The list with one more, or without those that are not shown. */
static SoftRams *rams_new(const SoftRams *old, SoftRam *more)
{
    SoftRams *rams = g_malloc0(sizeof(*rams) + ((old ? old->n : 0) + 1) * sizeof(rams->ram[0]));
    unsigned n = 0;

    for (unsigned i = 0; old && i < old->n; i++) {
        if (more && more->host < old->ram[i]->host) {
            rams->ram[n++] = more;
            more = NULL;
        }
        if (old->ram[i]->shown) {
            rams->ram[n++] = old->ram[i];
        }
    }
    if (more) {
        rams->ram[n++] = more;
    }
    rams->n = n;
    return rams;
}

static void rams_publish(SoftVm *vm, SoftRams *rams)
{
    SoftRams *old = vm->rams;

    __atomic_store_n(&vm->rams, rams, __ATOMIC_SEQ_CST);
    soft_broadcast(vm, NULL, REQUEST_FLUSH);
    if (old) {
        epoch_retire(g_free, old);
    }
}

/* The block's tables, made if they are not there; NULL: they cannot be. */
static SoftRam *ram_need(SoftVm *vm, RamBlock *block)
{
    SoftRam *ram = ram_of(vm, ram_block_host(block));

    if (!ram) {
        ram = ram_new(vm, block);
        if (ram) {
            ram->shown = true;
            rams_publish(vm, rams_new(vm->rams, ram));
        }
    }
    return ram;
}

static void mark_shown(SoftVm *vm, const SoftMap *map)
{
    for (unsigned i = 0; map && i < map->n; i++) {
        ram_of(vm, map->range[i].host)->shown = true;
    }
}

/* No vCPU can reach a block that no map shows.  One that was making a block of code of it holds vm->lock; when it has
 * let go of it, no other can begin. */
static void forget(SoftVm *vm, SoftRam *ram)
{
    pthread_mutex_lock(&vm->lock);
    pthread_mutex_unlock(&vm->lock);
    soft_code_written(vm, NULL, ram->host, ram->pages * PAGE_SIZE);
    ram_set_write_hook(ram->block, NULL);
}

static void forget_gone(SoftVm *vm)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new();

    for (unsigned i = 0; vm->rams && i < vm->rams->n; i++) {
        vm->rams->ram[i]->shown = false;
    }
    mark_shown(vm, vm->map[0]);
    mark_shown(vm, vm->map[1]);
    for (unsigned i = 0; vm->rams && i < vm->rams->n; i++) {
        if (!vm->rams->ram[i]->shown) {
            g_ptr_array_add(gone, vm->rams->ram[i]);
            forget(vm, vm->rams->ram[i]);
        }
    }
    if (gone->len) {
        rams_publish(vm, rams_new(vm->rams, NULL));
        for (unsigned i = 0; i < gone->len; i++) {
            epoch_retire(ram_free, gone->pdata[i]);
        }
    }
}

/* ---- the dirty log ---- */

#define CLEAN_8 (UINT64_C(0x0101010101010101) * PAGE_CLEAN)

/* Bit i of the result: bit PAGE_CLEAN of byte i. */
static unsigned gather(uint64_t flags)
{
    return (unsigned)(((flags & CLEAN_8) / PAGE_CLEAN * UINT64_C(0x0102040810204080)) >> 56);
}

/* Makes the pages CLEAN; bits of `dirty` say which were not.  False: all were. */
static bool make_clean(SoftRam *ram, uint64_t first, uint64_t pages, uint64_t *dirty)
{
    bool any = false;

    for (uint64_t i = 0; i < pages;) {
        uint8_t *flags = &ram->flags[first + i];
        bool eight = pages - i >= 8 && (uintptr_t)flags % 8 == 0;
        unsigned bits, n = eight ? 8 : 1;

        if (eight && (__atomic_load_n((uint64_t *)flags, __ATOMIC_SEQ_CST) & CLEAN_8) == CLEAN_8) {
            bits = 0; /* most are, and their line stays shared */
        } else if (eight) {
            bits = gather(~__atomic_fetch_or((uint64_t *)flags, CLEAN_8, __ATOMIC_SEQ_CST));
        } else {
            bits = !(__atomic_fetch_or(flags, PAGE_CLEAN, __ATOMIC_SEQ_CST) & PAGE_CLEAN);
        }
        for (unsigned b = 0; bits && b < n; b++) {
            dirty[(i + b) / 64] |= (uint64_t)(bits >> b & 1) << ((i + b) % 64);
        }
        any |= bits != 0;
        i += n;
    }
    return any;
}

/* Whole pages of a range that its block has too; false: none. */
static bool whole_pages(const MemoryRange *range, SoftRange *ret)
{
    const MemoryRegion *mr = range->region;
    uint64_t first = (range->address + PAGE_SIZE - 1) & PAGE_MASK;
    uint64_t skipped = first - range->address;
    uint64_t last = (range->address + range->size - 1) | (PAGE_SIZE - 1);

    if (!mr->ram || (mr->kind == MEMORY_ROM_DEVICE && !range->romd) || range->size <= skipped) {
        return false;
    }
    if (last != range->address + range->size - 1) { /* the last page is not whole */
        if (last - first < PAGE_SIZE) {
            return false;
        }
        last -= PAGE_SIZE;
    }
    *ret = (SoftRange) {
        .first = first,
        .last = last,
        .ram = mr->ram,
        .ram_offset = mr->ram_offset + range->offset + skipped,
        .readonly = range->readonly || mr->kind == MEMORY_ROM_DEVICE,
    };
    ret->host = ram_block_host(mr->ram) + ret->ram_offset;
    return ret->ram_offset % PAGE_SIZE == 0 && last > first;
}

static void sync_range(SoftVm *vm, const SoftRange *r)
{
    uint64_t pages = (r->last - r->first + 1) / PAGE_SIZE;
    g_autofree uint64_t *dirty = NULL;
    SoftRam *ram = ram_of(vm, r->host);

    if (!ram || !ram_dirty_clients(r->ram)) {
        return;
    }
    dirty = g_new0(uint64_t, (pages + 63) / 64);
    if (make_clean(ram, r->ram_offset / PAGE_SIZE, pages, dirty)) {
        soft_broadcast(vm, NULL, REQUEST_REVOKE);
        ram_dirty_or(r->ram, r->ram_offset, dirty, pages);
    }
}

static void log_sync(MemoryListener *l, const MemoryRange *range)
{
    SoftMapListener *listener = (SoftMapListener *)l;
    SoftRange r;

    if (whole_pages(range, &r)) {
        sync_range(listener->vm, &r);
    }
}

static void log_stop(MemoryListener *l, const MemoryRange *range)
{
    SoftMapListener *listener = (SoftMapListener *)l;
    SoftRam *ram;
    SoftRange r;

    if (!whole_pages(range, &r) || !(ram = ram_of(listener->vm, r.host))) {
        return;
    }
    for (uint64_t i = 0; i < (r.last - r.first + 1) / PAGE_SIZE; i++) {
        __atomic_fetch_and(&ram->flags[r.ram_offset / PAGE_SIZE + i], (uint8_t)~PAGE_CLEAN, __ATOMIC_SEQ_CST);
    }
}

/* ---- maps ---- */

const SoftRange *soft_map_find(const SoftCpu *cpu, uint64_t gpa)
{
    return soft_range(cpu, gpa);
}

static void collect_begin(MemoryListener *l)
{
    SoftMapListener *listener = (SoftMapListener *)l;

    g_array_set_size(listener->ranges, 0);
}

static void collect(MemoryListener *l, const MemoryRange *range)
{
    SoftMapListener *listener = (SoftMapListener *)l;
    SoftRange r;
    SoftRam *ram;

    if (!whole_pages(range, &r) || !(ram = ram_need(listener->vm, r.ram))) {
        return;
    }
    r.flags = ram->flags + r.ram_offset / PAGE_SIZE;
    if (listener->ranges->len) {
        SoftRange *before = &g_array_index(listener->ranges, SoftRange, listener->ranges->len - 1);

        if (before->last + 1 == r.first && before->flags + (r.first - before->first) / PAGE_SIZE == r.flags &&
            before->ram == r.ram && before->readonly == r.readonly) {
            before->last = r.last;
            return;
        }
    }
    g_array_append_val(listener->ranges, r);
}

static bool range_equal(const SoftRange *a, const SoftRange *b)
{
    return a->first == b->first && a->last == b->last && a->host == b->host && a->flags == b->flags &&
           a->readonly == b->readonly;
}

static bool map_equal(const SoftMap *map, const GArray *ranges)
{
    bool equal = map && map->n == ranges->len;

    for (unsigned i = 0; equal && i < ranges->len; i++) {
        equal = range_equal(&map->range[i], &g_array_index(ranges, SoftRange, i));
    }
    return equal;
}

/* Devices that move are no matter of TLBs, so most commits change nothing here.  What vCPUs wrote through the old map
 * between the sync of a removed range and now is in no client's bits yet. */
static void collect_commit(MemoryListener *l)
{
    SoftMapListener *listener = (SoftMapListener *)l;
    SoftVm *vm = listener->vm;
    SoftMap *old = vm->map[listener->space], *map;

    if (map_equal(old, listener->ranges)) {
        return;
    }
    map = g_malloc0(sizeof(*map) + listener->ranges->len * sizeof(map->range[0]));
    map->n = listener->ranges->len;
    if (map->n) { /* an empty array has no data */
        memcpy(map->range, listener->ranges->data, map->n * sizeof(map->range[0]));
    }
    __atomic_store_n(&vm->map[listener->space], map, __ATOMIC_SEQ_CST);
    soft_broadcast(vm, NULL, REQUEST_FLUSH);
    for (unsigned i = 0; old && i < old->n; i++) {
        sync_range(vm, &old->range[i]);
    }
    forget_gone(vm);
    g_free(old);
}

static bool listen(SoftVm *vm, unsigned space, AddressSpace *as)
{
    SoftMapListener *listener = g_new(SoftMapListener, 1);

    *listener = (SoftMapListener) {
        .l = {
            .name = "software CPU",
            .begin = collect_begin,
            .add = collect,
            .keep = collect,
            .commit = collect_commit,
            .log_start = log_sync, /* what is not known to be clean, is dirty */
            .log_stop = log_stop,
            .log_sync = log_sync,
        },
        .vm = vm,
        .space = space,
        .ranges = g_array_new(false, false, sizeof(SoftRange)),
    };
    vm->listener[space] = listener;
    memory_listener_add(&listener->l, as);
    return vm->map[space] != NULL;
}

bool soft_map_init(SoftVm *vm, GError **error)
{
    return listen(vm, 0, vm->memory);
}

bool soft_map_set_smm(SoftVm *vm)
{
    return listen(vm, 1, vm->smm);
}

/* No vCPU is left, and no device writes. */
void soft_map_finish(SoftVm *vm)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(vm->listener); i++) {
        if (vm->listener[i]) {
            memory_listener_remove(&vm->listener[i]->l);
            g_array_unref(vm->listener[i]->ranges);
            g_clear_pointer(&vm->listener[i], g_free);
        }
        g_clear_pointer(&vm->map[i], g_free);
    }
    for (unsigned i = 0; vm->rams && i < vm->rams->n; i++) {
        ram_set_write_hook(vm->rams->ram[i]->block, NULL);
        ram_free(vm->rams->ram[i]);
    }
    g_clear_pointer(&vm->rams, g_free);
}
