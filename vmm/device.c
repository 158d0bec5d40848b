/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lifecycle of devices.
 *
 *     device_new() --device_realize()--> realized --device_unrealize()--> --device_free()
 *
 * Leaving a running domain, in this order: the queues are paused; the device leaves
 * its bus and the memory view; every vCPU and loop passes a point where it holds no
 * reference to either (epoch_synchronize()); what is plugged into it and its backend
 * leave likewise; the unrealize hooks run, so that no register hook can meet a
 * half-dead device; the memory is freed through the epoch, once posted calls under
 * way have seen that it is unrealized.
 *
 * Topology functions: main thread, no lock held.
 */
#include "vmm/device.h"

#include <string.h>

#include "vmm/device-commands.h"
#include "vmm/device-internal.h"
#include "vmm/domain-internal.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/migrate.h"

/* ---- allocation ---- */

Device *device_new(Domain *domain, const DeviceClass *class, const char *id)
{
    Device *dev = g_malloc0(class->size);

    dev->class = class;
    dev->domain = domain;
    dev->id = g_strdup(id);
    dev->loop = domain_loop(domain);
    dev->lock = &dev->own_lock;
    dev->references = 1;
    dev->buses = g_ptr_array_new();
    dev->regions = g_ptr_array_new();
    dev->given = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    lock_init(&dev->own_lock, class->interrupt_controller ? LOCK_INTC : LOCK_DEVICE, class->name);
    if (class->backend) {
        dev->backend = device_new(domain, class->backend, NULL);
        dev->backend->parent = dev;
        dev->backend->lock = dev->lock;
        dev->references++; /* the backend's, which uses its lock */
    }
    device_props_init(dev);
    return dev;
}

static bool is_backend(const Device *dev)
{
    return dev->lock != &dev->own_lock;
}

static void device_unref(void *opaque)
{
    Device *dev = opaque;

    if (__atomic_sub_fetch(&dev->references, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    for (unsigned i = 0; i < dev->regions->len; i++) {
        memory_region_finish(g_ptr_array_index(dev->regions, i));
    }
    device_props_clear(dev);
    g_slist_free_full(dev->thunks, g_free);
    g_hash_table_unref(dev->given);
    g_ptr_array_unref(dev->regions);
    g_ptr_array_unref(dev->buses);
    lock_finish(&dev->own_lock);
    if (is_backend(dev)) {
        device_unref(dev->parent);
    }
    g_free(dev->path);
    g_free(dev->id);
    g_free(dev);
}

void device_free(Device *dev)
{
    if (!dev) {
        return;
    }
    device_unrealize(dev);
    if (dev->backend) {
        device_free(g_steal_pointer(&dev->backend));
    }
    epoch_retire(device_unref, dev);
}

/* ---- realize ---- */

static const char *bus_name(const Bus *bus)
{
    return bus ? bus->name : "none";
}

static bool attach_to_bus(Device *dev, Bus *bus, GError **error)
{
    const BusClass *wanted = dev->class->bus;

    if (!wanted != !bus || (bus && bus->class != wanted)) {
        return error_set(error, "Device '%s' plugs into a bus of type %s, not into '%s'", device_name(dev),
                         wanted ? wanted->name : "none", bus_name(bus));
    }
    dev->bus = bus;
    if (!bus) {
        return true;
    }
    if (bus->class->attach && !bus->class->attach(bus, dev, error)) {
        dev->bus = NULL;
        return false;
    }
    if (!is_backend(dev)) {
        dev->parent = bus->parent;
    }
    g_ptr_array_add(bus->children, dev);
    return true;
}

static void detach_from_bus(Device *dev)
{
    if (dev->bus && g_ptr_array_remove(dev->bus->children, dev) && dev->bus->class->detach) {
        dev->bus->class->detach(dev->bus, dev);
    }
}

static void choose_path(Device *dev)
{
    if (dev->path) {
        return;
    }
    if (is_backend(dev)) {
        dev->path = g_strconcat(dev->parent->path, "/virtio-backend", NULL);
    } else if (dev->id) {
        dev->path = g_strconcat("/machine/peripheral/", dev->id, NULL);
    } else {
        dev->path = g_strdup_printf("/machine/unattached/device[%u]", domain_next_number(dev->domain));
    }
}

void device_set_path(Device *dev, const char *path)
{
    g_assert(!dev->realized);
    g_free(dev->path);
    dev->path = g_strdup(path);
}

static void unrealize_hooks(Device *dev, const DeviceClass *class)
{
    for (; class; class = class->base) {
        if (class->unrealize) {
            class->unrealize(dev);
        }
    }
}

/* Base first; if one fails, those before it are undone. */
static bool realize_hooks(Device *dev, const DeviceClass *class, GError **error)
{
    if (class->base && !realize_hooks(dev, class->base, error)) {
        return false;
    }
    if (class->realize && !class->realize(dev, error)) {
        unrealize_hooks(dev, class->base);
        return false;
    }
    return true;
}

static void unmap_regions(Device *dev)
{
    memory_begin();
    for (unsigned i = 0; i < dev->regions->len; i++) {
        memory_remove(g_ptr_array_index(dev->regions, i));
    }
    memory_commit();
}

/* What realize and unrealize let go of alike. */
static void release(Device *dev)
{
    g_assert(dev->buses->len == 0); /* unrealize finishes its buses */
    device_props_detach(dev);
    dev->bus = NULL;
}

/* A section for each class that has state, base first: what a derived class' loaded() looks at is there. */
static void add_state(Device *dev, const DeviceClass *class)
{
    g_autofree char *path = NULL;

    if (class->base) {
        add_state(dev, class->base);
    }
    if (class == dev->class && class->state) {
        state_list_add(domain_state(dev->domain), dev->path, class->state, dev, dev->class->size, dev->lock);
    } else if (class->state && class->state != &state_none) {
        path = g_strconcat(dev->path, "/", class->state->name, NULL);
        state_list_add(domain_state(dev->domain), path, class->state, dev, dev->class->size, dev->lock);
    }
}

static bool may_come(const Device *dev, GError **error)
{
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        if (class->state && !migrate_may_add(dev->domain, class->state, error)) {
            return error_subject(error, device_name(dev));
        }
    }
    return true;
}

bool device_realize(Device *dev, Bus *bus, GError **error)
{
    g_assert(!dev->realized && !dev->class->abstract);
    choose_path(dev);
    if (!may_come(dev, error) || !device_props_attach(dev, error)) {
        return false;
    }
    if (!attach_to_bus(dev, bus, error)) {
        device_props_detach(dev);
        return false;
    }
    if (!realize_hooks(dev, dev->class, error)) {
        unmap_regions(dev);
        detach_from_bus(dev);
        release(dev);
        return error_subject(error, device_name(dev));
    }
    dev->realized = true;
    dev->hotplugged = dev->domain->complete;
    g_ptr_array_add(dev->domain->devices, dev);
    if (dev->id) {
        g_hash_table_insert(domain_table(dev->domain, TABLE_DEVICES), g_strdup(dev->id), dev);
    }
    add_state(dev, dev->class);
    if (dev->hotplugged) {
        device_reset(dev); /* cold start is realize + reset, also when it starts late */
        if (dev->domain->run.quiet) {
            device_pause(dev);
        }
    }
    if (bus && bus->class->plugged) {
        bus->class->plugged(bus, dev);
    }
    return true;
}

/* Nobody finds the device any more, and when this returns nobody is inside of it. */
static void unpublish(Device *dev)
{
    g_ptr_array_remove(dev->domain->devices, dev);
    if (dev->id) {
        g_hash_table_remove(domain_table(dev->domain, TABLE_DEVICES), dev->id);
    }
    state_list_remove(domain_state(dev->domain), dev);
    detach_from_bus(dev);
    unmap_regions(dev);
    epoch_synchronize();
}

void device_unrealize(Device *dev)
{
    if (!dev->realized) {
        return;
    }
    if (dev->backend) {
        device_pause(dev->backend);
    }
    device_pause(dev);
    unpublish(dev);
    for (unsigned i = dev->buses->len; i > 0; i--) {
        bus_clear(g_ptr_array_index(dev->buses, i - 1));
    }
    if (dev->backend) {
        device_unrealize(dev->backend);
    }
    lock_acquire(dev->lock);
    dev->realized = false; /* posted calls see it under the lock */
    lock_release(dev->lock);
    unrealize_hooks(dev, dev->class);
    release(dev);
    dev->paused = false;
    /* Of a composite that was not whole yet nobody has heard. */
    if (dev->domain->complete && (!is_backend(dev) || dev->parent->realized)) {
        device_emit_deleted(dev);
    }
}

/* ---- reset, pause, resume ---- */

static void reset_hooks(Device *dev, const DeviceClass *class)
{
    if (class->base) {
        reset_hooks(dev, class->base);
    }
    if (class->reset) {
        class->reset(dev);
    }
}

static void reset_regs(Device *dev, const DeviceClass *class)
{
    if (class->base) {
        reset_regs(dev, class->base);
    }
    reg_reset(dev, &class->regs);
}

void device_reset(Device *dev)
{
    log_if(LOG_RESET, "reset of %s", dev->path);
    lock_acquire(dev->lock);
    dev->unplug_pending = false; /* of what stays although it was asked for: the guest forgot */
    reset_regs(dev, dev->class);
    reset_hooks(dev, dev->class);
    lock_release(dev->lock);
}

void device_pause(Device *dev)
{
    if (dev->paused) {
        return;
    }
    dev->paused = true;
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        if (class->pause) {
            class->pause(dev);
        }
    }
}

static void resume_hooks(Device *dev, const DeviceClass *class)
{
    if (class->base) {
        resume_hooks(dev, class->base);
    }
    if (class->resume) {
        class->resume(dev);
    }
}

void device_resume(Device *dev)
{
    if (dev->paused) {
        dev->paused = false;
        resume_hooks(dev, dev->class);
    }
}

/* ---- looking ---- */

const char *device_name(const Device *dev)
{
    if (is_backend(dev)) {
        return device_name(dev->parent);
    }
    return dev->id ? dev->id : dev->class->name;
}

Device *device_find(Domain *domain, const char *id)
{
    if (id[0] != '/') {
        return g_hash_table_lookup(domain_table(domain, TABLE_DEVICES), id);
    }
    for (unsigned i = 0; i < domain->devices->len; i++) {
        Device *dev = g_ptr_array_index(domain->devices, i);

        if (strcmp(dev->path, id) == 0) {
            return dev;
        }
    }
    return NULL;
}

bool device_each(Domain *domain, DeviceFn fn, void *opaque)
{
    for (unsigned i = 0; i < domain->devices->len; i++) {
        if (!fn(g_ptr_array_index(domain->devices, i), opaque)) {
            return false;
        }
    }
    return true;
}

/* ---- for device code ---- */

/* Contexts that regions and timers call back with live as long as the device. */
typedef struct RegsThunk {
    Device *dev;
    const RegBank *bank;
} RegsThunk;

static uint64_t regs_read(void *opaque, uint64_t offset, unsigned size)
{
    const RegsThunk *t = opaque;

    return reg_read(t->dev, t->bank, offset, size);
}

static void regs_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    const RegsThunk *t = opaque;

    reg_write(t->dev, t->bank, offset, value, size);
}

static const MemoryOps regs_ops = { .read = regs_read, .write = regs_write, .unaligned = true };

static void add_region(Device *dev, MemoryRegion *mr)
{
    if (!g_ptr_array_find(dev->regions, mr, NULL)) {
        g_ptr_array_add(dev->regions, mr);
    }
}

void device_init_regs(Device *dev, MemoryRegion *mr, const char *name, const RegBank *bank, uint64_t size)
{
    RegsThunk *t = g_new(RegsThunk, 1);

    t->dev = dev;
    t->bank = bank;
    dev->thunks = g_slist_prepend(dev->thunks, t);
    memory_region_init_io(mr, name, size, &regs_ops, t, dev->lock);
    add_region(dev, mr);
}

void device_init_io(Device *dev, MemoryRegion *mr, const char *name, const MemoryOps *ops, uint64_t size)
{
    memory_region_init_io(mr, name, size, ops, dev, dev->lock);
    add_region(dev, mr);
}

typedef struct Thunk {
    Device *dev;
    void (*fn)(Device *dev);
} Thunk;

static Thunk *thunk_new(Device *dev, void (*fn)(Device *dev))
{
    Thunk *t = g_new(Thunk, 1);

    t->dev = dev;
    t->fn = fn;
    return t;
}

static void call_timer(void *opaque)
{
    const Thunk *t = opaque;

    t->fn(t->dev);
}

Timer *device_timer_new(Device *dev, Clock *clock, void (*fn)(Device *dev))
{
    Thunk *t = thunk_new(dev, fn);

    dev->thunks = g_slist_prepend(dev->thunks, t);
    return timer_new_locked(dev->loop, clock, dev->lock, call_timer, t);
}

static void call_post(void *opaque)
{
    Thunk *t = opaque;

    lock_acquire(t->dev->lock);
    if (t->dev->realized) {
        t->fn(t->dev);
    }
    lock_release(t->dev->lock);
    clock_due_end(domain_clock(t->dev->domain));
    device_unref(t->dev);
    g_free(t);
}

void device_post(Device *dev, void (*fn)(Device *dev))
{
    clock_due_begin(domain_clock(dev->domain));
    __atomic_fetch_add(&dev->references, 1, __ATOMIC_RELAXED);
    loop_post(dev->loop, call_post, thunk_new(dev, fn));
}
