/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map: regions, their tree, transactions, address spaces, listeners,
 * dirty logging.  memory-view.c flattens a tree into a view; memory-access.c uses it.
 *
 * Locking: one lock, LOCK_MAPPING, guards every region's place and flags, the list
 * of address spaces and their listeners.  The outermost memory_begin() takes it;
 * the outermost memory_commit() computes the views, publishes those that changed,
 * tells the listeners, and drops it.  Old views go to epoch_retire() after that.
 */
#include "vmm/memory-view.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/epoch.h"

static struct {
    Lock lock;
    GPtrArray *spaces; /* AddressSpace */
    bool changed;      /* since the outermost begin */
    unsigned hints;    /* slots of the last-hit cache handed out */
} map = { .lock = { PTHREAD_MUTEX_INITIALIZER, LOCK_MAPPING, "memory map" } };

static __thread unsigned depth;  /* of this thread's transactions */
static __thread bool committing; /* listeners are being called */

bool memory_in_transaction(void)
{
    return depth > 0;
}

/* ---- regions ---- */

static void region_init(MemoryRegion *mr, const char *name, MemoryKind kind, uint64_t size)
{
    memset(mr, 0, sizeof(*mr));
    mr->name = name;
    mr->kind = kind;
    mr->size = size;
    mr->enabled = true;
}

void memory_region_init(MemoryRegion *mr, const char *name, uint64_t size)
{
    region_init(mr, name, MEMORY_CONTAINER, size);
}

static void region_init_memory(MemoryRegion *mr, const char *name, MemoryKind kind, RamBlock *ram, uint64_t offset,
                               uint64_t size)
{
    g_assert(offset <= ram_block_size(ram) && size <= ram_block_size(ram) - offset);
    region_init(mr, name, kind, size);
    mr->ram = ram_block_ref(ram);
    mr->ram_offset = offset;
}

void memory_region_init_ram(MemoryRegion *mr, const char *name, RamBlock *ram, uint64_t offset, uint64_t size)
{
    region_init_memory(mr, name, MEMORY_RAM, ram, offset, size);
}

void memory_region_init_rom(MemoryRegion *mr, const char *name, RamBlock *ram, uint64_t offset, uint64_t size)
{
    region_init_memory(mr, name, MEMORY_ROM, ram, offset, size);
    mr->readonly = true;
}

void memory_region_init_rom_device(MemoryRegion *mr, const char *name, RamBlock *ram, const MemoryOps *ops,
                                   void *opaque, Lock *lock)
{
    region_init_memory(mr, name, MEMORY_ROM_DEVICE, ram, 0, ram_block_size(ram));
    mr->ops = ops;
    mr->opaque = opaque;
    mr->lock = lock;
    mr->romd = true;
}

void memory_region_init_io(MemoryRegion *mr, const char *name, uint64_t size, const MemoryOps *ops, void *opaque,
                           Lock *lock)
{
    region_init(mr, name, MEMORY_MMIO, size);
    mr->ops = ops;
    mr->opaque = opaque;
    mr->lock = lock;
}

void memory_region_init_alias(MemoryRegion *mr, const char *name, MemoryRegion *target, uint64_t offset, uint64_t size)
{
    region_init(mr, name, MEMORY_ALIAS, size);
    mr->alias = target;
    mr->alias_offset = offset;
}

void memory_region_init_translated(MemoryRegion *mr, const char *name, uint64_t size, MemoryTranslateFn fn,
                                   void *opaque)
{
    region_init(mr, name, MEMORY_TRANSLATED, size);
    mr->translate = fn;
    mr->opaque = opaque;
}

void memory_region_finish(MemoryRegion *mr)
{
    g_assert(!mr->parent && (!mr->children || mr->children->len == 0));
    g_clear_pointer(&mr->children, g_ptr_array_unref);
    g_clear_pointer(&mr->doorbells, g_array_unref);
    g_clear_pointer(&mr->ram, ram_block_unref);
}

/* ---- transactions ---- */

void memory_begin(void)
{
    g_assert(!committing);
    if (depth++ == 0) {
        lock_acquire(&map.lock);
    }
}

static void listeners_begin(GPtrArray *listeners)
{
    for (unsigned i = 0; i < listeners->len; i++) {
        MemoryListener *l = listeners->pdata[i];

        if (l->begin) {
            l->begin(l);
        }
    }
}

static void listeners_commit(GPtrArray *listeners)
{
    for (unsigned i = 0; i < listeners->len; i++) {
        MemoryListener *l = listeners->pdata[i];

        if (l->commit) {
            l->commit(l);
        }
    }
}

/* Returns the view that readers may still hold, or NULL if nothing changed. */
static View *space_update(AddressSpace *as)
{
    View *old = as->view;
    View *new = view_new(as->root);

    if (view_equal(old, new)) {
        view_free(new);
        return NULL;
    }
    listeners_begin(as->listeners);
    view_removed(as->listeners, old, new);
    __atomic_store_n(&as->view, new, __ATOMIC_RELEASE);
    view_added(as->listeners, old, new);
    listeners_commit(as->listeners);
    return old;
}

void memory_commit(void)
{
    g_autoptr(GPtrArray) retired = NULL;

    g_assert(depth > 0 && !committing);
    if (depth > 1) {
        depth--;
        return;
    }
    if (map.changed && map.spaces) {
        map.changed = false;
        committing = true;
        for (unsigned i = 0; i < map.spaces->len; i++) {
            View *old = space_update(map.spaces->pdata[i]);

            if (old) {
                retired = retired ? retired : g_ptr_array_new();
                g_ptr_array_add(retired, old);
            }
        }
        committing = false;
    }
    depth = 0;
    lock_release(&map.lock);
    for (unsigned i = 0; retired && i < retired->len; i++) {
        epoch_retire(view_free, retired->pdata[i]);
    }
}

/* ---- the tree ---- */

/* Depth first through children and aliases; `seen` keeps shared parts from being walked twice. */
static bool region_reaches(MemoryRegion *from, const MemoryRegion *what, GHashTable *seen)
{
    if (from == what) {
        return true;
    }
    if (!g_hash_table_add(seen, from)) {
        return false;
    }
    if (from->alias && region_reaches(from->alias, what, seen)) {
        return true;
    }
    for (unsigned i = 0; from->children && i < from->children->len; i++) {
        if (region_reaches(from->children->pdata[i], what, seen)) {
            return true;
        }
    }
    return false;
}

static bool would_cycle(const MemoryRegion *container, MemoryRegion *mr)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

    return region_reaches(mr, container, seen);
}

bool memory_add(MemoryRegion *container, uint64_t address, MemoryRegion *mr, int priority)
{
    bool added = false;

    g_assert(container->kind != MEMORY_ALIAS);
    memory_begin();
    g_assert(!mr->parent);
    if (!would_cycle(container, mr)) {
        unsigned i = 0;

        if (!container->children) {
            container->children = g_ptr_array_new();
        }
        while (i < container->children->len &&
               ((const MemoryRegion *)container->children->pdata[i])->priority > priority) {
            i++;
        }
        mr->parent = container;
        mr->address = address;
        mr->priority = priority;
        g_ptr_array_insert(container->children, (int)i, mr);
        map.changed = true;
        added = true;
    }
    memory_commit();
    return added;
}

void memory_remove(MemoryRegion *mr)
{
    memory_begin();
    if (mr->parent) {
        g_ptr_array_remove(mr->parent->children, mr);
        mr->parent = NULL;
        map.changed = true;
    }
    memory_commit();
}

void memory_set_address(MemoryRegion *mr, uint64_t address)
{
    memory_begin();
    map.changed |= mr->address != address;
    mr->address = address;
    memory_commit();
}

void memory_set_enabled(MemoryRegion *mr, bool enabled)
{
    memory_begin();
    map.changed |= mr->enabled != enabled;
    mr->enabled = enabled;
    memory_commit();
}

void memory_set_readonly(MemoryRegion *mr, bool readonly)
{
    memory_begin();
    map.changed |= mr->readonly != readonly;
    mr->readonly = readonly;
    memory_commit();
}

void memory_set_romd(MemoryRegion *mr, bool romd)
{
    g_assert(mr->kind == MEMORY_ROM_DEVICE);
    memory_begin();
    map.changed |= mr->romd != romd;
    mr->romd = romd;
    memory_commit();
}

void memory_set_alias_offset(MemoryRegion *mr, uint64_t offset)
{
    g_assert(mr->kind == MEMORY_ALIAS);
    memory_begin();
    map.changed |= mr->alias_offset != offset;
    mr->alias_offset = offset;
    memory_commit();
}

static bool doorbell_equal(const MemoryDoorbell *a, const MemoryDoorbell *b)
{
    return a->offset == b->offset && a->size == b->size && a->match == b->match && a->eventfd == b->eventfd &&
           (!a->match || a->data == b->data);
}

void memory_add_doorbell(MemoryRegion *mr, const MemoryDoorbell *doorbell)
{
    memory_begin();
    if (!mr->doorbells) {
        mr->doorbells = g_array_new(false, false, sizeof(MemoryDoorbell));
    }
    g_array_append_val(mr->doorbells, *doorbell);
    map.changed = true;
    memory_commit();
}

void memory_remove_doorbell(MemoryRegion *mr, const MemoryDoorbell *doorbell)
{
    memory_begin();
    for (unsigned i = 0; mr->doorbells && i < mr->doorbells->len; i++) {
        if (doorbell_equal(&g_array_index(mr->doorbells, MemoryDoorbell, i), doorbell)) {
            g_array_remove_index(mr->doorbells, i);
            map.changed = true;
            break;
        }
    }
    memory_commit();
}

bool memory_is_mapped(const MemoryRegion *mr)
{
    return mr->parent != NULL;
}

/* ---- address spaces ---- */

AddressSpace *address_space_new(const char *name, MemoryRegion *root, bool ports)
{
    AddressSpace *as = g_new0(AddressSpace, 1);

    as->name = g_strdup(name);
    as->root = root;
    as->ports = ports;
    as->listeners = g_ptr_array_new();
    memory_begin();
    if (!map.spaces) {
        map.spaces = g_ptr_array_new();
    }
    as->hint = map.hints++;
    as->view = view_new(root);
    g_ptr_array_add(map.spaces, as);
    memory_commit();
    return as;
}

static void space_free(void *opaque)
{
    AddressSpace *as = opaque;

    view_free(as->view);
    g_ptr_array_unref(as->listeners);
    g_free(as->name);
    g_free(as);
}

void address_space_free(AddressSpace *as)
{
    if (!as) {
        return;
    }
    memory_begin();
    g_assert(as->listeners->len == 0);
    g_ptr_array_remove(map.spaces, as);
    if (map.spaces->len == 0) {
        g_clear_pointer(&map.spaces, g_ptr_array_unref);
    }
    memory_commit();
    epoch_retire(space_free, as);
}

bool address_space_is_ports(const AddressSpace *as)
{
    return as->ports;
}

/* ---- listeners ---- */

void memory_listener_add(MemoryListener *l, AddressSpace *as)
{
    const View nothing = { 0 };
    g_autoptr(GPtrArray) self = g_ptr_array_new();
    unsigned i = 0;

    memory_begin();
    l->space = as;
    committing = true;
    g_ptr_array_add(self, l);
    listeners_begin(self);
    view_added(self, &nothing, as->view);
    listeners_commit(self);
    committing = false;
    while (i < as->listeners->len && ((const MemoryListener *)as->listeners->pdata[i])->priority <= l->priority) {
        i++;
    }
    g_ptr_array_insert(as->listeners, (int)i, l);
    memory_commit();
}

void memory_listener_remove(MemoryListener *l)
{
    memory_begin();
    g_ptr_array_remove(l->space->listeners, l);
    l->space = NULL;
    memory_commit();
}

/* ---- dirty logging ---- */

typedef void (*LogFn)(MemoryListener *l, const MemoryRange *range);

static LogFn log_start_fn(const MemoryListener *l)
{
    return l->log_start;
}

static LogFn log_stop_fn(const MemoryListener *l)
{
    return l->log_stop;
}

static LogFn log_sync_fn(const MemoryListener *l)
{
    return l->log_sync;
}

/* For every range that shows the block, in every space, to every listener. */
static void each_listener_range(const RamBlock *block, LogFn (*hook)(const MemoryListener *l))
{
    for (unsigned s = 0; map.spaces && s < map.spaces->len; s++) {
        const AddressSpace *as = map.spaces->pdata[s];

        for (unsigned r = 0; r < as->view->n_ranges; r++) {
            if (as->view->ranges[r].ram != block) {
                continue;
            }
            for (unsigned i = 0; i < as->listeners->len; i++) {
                MemoryListener *l = as->listeners->pdata[i];
                MemoryRange range = view_range_export(&as->view->ranges[r]);

                if (hook(l)) {
                    hook(l)(l, &range);
                }
            }
        }
    }
}

void memory_log_start(RamBlock *block, DirtyClient client)
{
    bool first;

    memory_begin();
    first = !ram_dirty_clients(block);
    ram_dirty_enable(block, client);
    if (first) {
        each_listener_range(block, log_start_fn);
    }
    memory_commit();
}

void memory_log_stop(RamBlock *block, DirtyClient client)
{
    memory_begin();
    if (ram_dirty_clients(block) & (1u << client)) {
        ram_dirty_disable(block, client);
        if (!ram_dirty_clients(block)) {
            each_listener_range(block, log_stop_fn);
        }
    }
    memory_commit();
}

void memory_log_sync(RamBlock *block)
{
    memory_begin();
    each_listener_range(block, log_sync_fn);
    memory_commit();
}
