/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices, buses, and their lifecycle.
 *
 *   device_new()      allocates, sets every property to its default        (main thread)
 *   device_set()      properties: -device, -global, compat rows
 *   device_realize()  resolves links, plugs into the bus, calls realize: base class first.
 *                     It acquires, may fail, and then leaves nothing behind.
 *   device_reset()    complete and cannot fail: reg_reset() of the class' registers, then
 *                     reset hooks, base class first.  Cold start is realize + reset;
 *                     a restore is realize + reset + load.
 *   pause / resume    pause returns when the device's queues are quiet; the device produces
 *                     nothing more but accepts (and holds) new work
 *   device_unrealize() mirror of realize, derived class first; then device_free() through the epoch
 *
 * A device has one control loop and one lock.  The framework takes the lock around
 * register hooks, timers (device_timer_new), chardev callbacks and control calls;
 * device code has no lock calls.  A data queue belongs to one loop and takes none.
 *
 * Adding a device: its .c, a line in hw/devices.c, a line in hw/meson.build, its test.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/field.h"
#include "vmm/locks.h"
#include "vmm/loop.h"
#include "vmm/memory.h"
#include "vmm/reg.h"
#include "vmm/state.h"
#include "vmm/timer.h"

typedef struct Domain Domain;
typedef struct Device Device;
typedef struct DeviceClass DeviceClass;
typedef struct Bus Bus;
typedef struct BusClass BusClass;
struct Aml;

/* A property whose value is the id of something else; the slot holds a pointer to it from
 * realize to unrealize. */
typedef struct LinkClass {
    const char *kind; /* "chardev", "iothread", "block node": for errors and help */
    bool (*attach)(Device *dev, const char *id, void **slot, GError **error);
    void (*detach)(Device *dev, void **slot);
} LinkClass;

typedef struct Property {
    Field field;
    const LinkClass *link;
    /* After a FIELD_RUNTIME property was set on a realized device, lock held. */
    void (*changed)(Device *dev);
} Property;

#define PROP_BOOL(NAME, T, M, DEF, ...) { .field = F_BOOL(NAME, T, M, DEF, __VA_ARGS__) }
#define PROP_INT(NAME, T, M, DEF, ...)  { .field = F_INT(NAME, T, M, DEF, __VA_ARGS__) }
#define PROP_UINT(NAME, T, M, DEF, ...) { .field = F_UINT(NAME, T, M, DEF, __VA_ARGS__) }
#define PROP_SIZE(NAME, T, M, DEF, ...) { .field = F_SIZE(NAME, T, M, DEF, __VA_ARGS__) }
#define PROP_STR(NAME, T, M, DEF, ...)  { .field = F_STR(NAME, T, M, DEF, __VA_ARGS__) }
#define PROP_ENUM(NAME, T, M, E, DEF, ...) { .field = F_ENUM(NAME, T, M, E, DEF, __VA_ARGS__) }
#define PROP_CODED(NAME, T, M, C, ...)  { .field = F_CODED(NAME, T, M, C, __VA_ARGS__) }
#define PROP_LIST(NAME, T, M, E, ...)   { .field = F_LIST(NAME, T, M, E, __VA_ARGS__) }
#define PROP_LINK(NAME, T, M, LINK, ...) \
    { .field = FIELD_AT(NAME, FIELD_STR, T, M, __VA_ARGS__), .link = LINK }
#define PROP_END { .field = FIELD_END }

struct DeviceClass {
    const char *name; /* what users type: "isa-serial" */
    const char *desc; /* one line, no full stop */
    const char *const *aliases; /* NULL-terminated; other names users type */
    const char *category;       /* help groups: "Storage", "Network", "Input", "Bridge", "Misc", "CPU" */
    const DeviceClass *base;    /* embedded first in the struct; its hooks run too */
    size_t size;
    const BusClass *bus;        /* what it plugs into; NULL: none */
    const Property *props;      /* PROP_END ends; base's are added */
    /* NULL in a concrete class: its state is saved with something else.  Base's is saved too, in a section of its
     * own. */
    const StateDesc *state;
    RegBank regs;
    bool abstract;              /* a base only */
    bool board_only;            /* not for -device: part of a machine */
    bool hotpluggable;
    bool interrupt_controller;  /* its lock has rank LOCK_INTC: lines are delivered into it */
    /* A composite: `backend` is created as child "virtio-backend"; properties this class does not
     * know are its.  This class' realize realizes it, on the bus this device provides; the
     * framework unrealizes and frees it.  The two share one lock. */
    const DeviceClass *backend;
    bool (*realize)(Device *dev, GError **error);
    /* Nothing reaches the device any more: it is off its bus (dev->bus still names it) and out of
     * the memory view, its queues are paused.  Also called when a derived class' realize failed. */
    void (*unrealize)(Device *dev);
    void (*reset)(Device *dev);  /* lock held */
    void (*pause)(Device *dev);  /* NULL: has no queue of its own; no lock held: it may wait */
    void (*resume)(Device *dev);
    /* What `info pic` shows of an interrupt controller; lock held.  NULL: it is none. */
    bool (*print)(Device *dev, GString *out, GError **error);
    /* Writes the device's own object into the ACPI namespace (hw/acpi/aml.h); NULL: it has none. */
    void (*aml)(Device *dev, struct Aml *aml);
};

struct Device {
    const DeviceClass *class;
    Domain *domain;
    char *id;      /* users' name; NULL */
    char *path;    /* "/machine/peripheral/net0", "/machine/unattached/device[3]" */
    Bus *bus;      /* NULL: none */
    Device *parent, *backend;
    Loop *loop;    /* control loop */
    Lock *lock;    /* what guards it: own_lock, or its composite's */
    bool realized, hotplugged;
    bool unplug_pending; /* the guest was asked to let go of it */
    int64_t unplug_until_ns; /* guest time from which on it may be asked again; 0: never */
    GPtrArray *buses;   /* Bus it provides: those it embeds and gave to bus_init() */
    GPtrArray *regions; /* MemoryRegion it registered with device_init_*; finished by the framework */
    /* The framework's. */
    Lock own_lock;      /* LOCK_DEVICE, or LOCK_INTC if the class is an interrupt controller */
    GHashTable *given;  /* properties that were set: name to the id of a link, or NULL */
    GSList *thunks;     /* contexts of register banks and timers, freed with the device */
    unsigned references; /* atomic: the owner's, and one of each post under way */
    bool paused;
};

/* ---- main thread ---- */
/* Looks `driver` up in the registered classes and their aliases; DeviceNotFound with the nearest. */
const DeviceClass *device_class_find(const char *driver, GError **error);
typedef void (*DeviceClassFn)(const DeviceClass *class, void *opaque);
void device_class_each(DeviceClassFn fn, void *opaque);
/* Calls fn for the rows of `class` and its bases, base first; false: stopped. */
typedef bool (*PropertyFn)(const Property *property, void *opaque);
bool device_class_properties(const DeviceClass *class, PropertyFn fn, void *opaque);
/* hw/devices.c hands its list here once, before anything else. NULL ends it. */
void device_classes_set(const DeviceClass *const *classes);
bool device_class_is(const DeviceClass *class, const DeviceClass *base);

Device *device_new(Domain *domain, const DeviceClass *class, const char *id);
bool device_set(Device *dev, const char *name, const Json *value, GError **error);
bool device_set_text(Device *dev, const char *name, const char *text, GError **error);
/* Property and the struct it lies in (the device or its backend); NULL: none. */
const Property *device_property(Device *dev, const char *name, void **ret_base);
/* -global DRIVER.PROPERTY=VALUE: checked against the class' table, used by every device made later. */
bool device_global_add(Domain *domain, const char *driver, const char *property, const char *value, GError **error);
/* The path it will have, for devices of a board; taken before realize. */
void device_set_path(Device *dev, const char *path);
bool device_realize(Device *dev, Bus *bus, GError **error);
void device_unrealize(Device *dev);
void device_free(Device *dev); /* unrealizes if needed; memory goes through the epoch */
void device_reset(Device *dev);
void device_pause(Device *dev);
void device_resume(Device *dev);
void device_class_help(const DeviceClass *class, GString *out); /* "-device X,help" */
void device_classes_help(GString *out);                         /* "-device help" */

/* -device and device_add: options as a JSON object with "driver", "id", "bus" and properties. */
Device *device_add(Domain *domain, const Json *options, GError **error);
/* Asks the guest (DEVICE_DELETED comes later) or removes at once, as the bus does. */
bool device_del(Domain *domain, const char *id, GError **error);
/* The guest starts anew: what it was asked to let go of goes. */
void device_complete_unplugs(Domain *domain);
/* For buses: the guest was asked for the device and keeps it (DEVICE_UNPLUG_GUEST_ERROR). */
void device_unplug_refused(Device *dev);
Device *device_find(Domain *domain, const char *id); /* id or path; NULL: none */
typedef bool (*DeviceFn)(Device *dev, void *opaque); /* false: stop */
bool device_each(Domain *domain, DeviceFn fn, void *opaque);
void device_dump_tree(Domain *domain, GString *out); /* buses, devices, properties: `info qtree` */

/* ---- for device code ---- */
/* A region that dispatches to class->regs (or to ops), under the device lock; not mapped yet. */
void device_init_regs(Device *dev, MemoryRegion *mr, const char *name, const RegBank *bank, uint64_t size);
void device_init_io(Device *dev, MemoryRegion *mr, const char *name, const MemoryOps *ops, uint64_t size);
/* On the device's loop, device lock held around fn. */
Timer *device_timer_new(Device *dev, Clock *clock, void (*fn)(Device *dev));
/* Runs fn(dev) on the device's loop, lock held.  Any thread. */
void device_post(Device *dev, void (*fn)(Device *dev));
const char *device_name(const Device *dev); /* id, or the class' name: for messages */

/* ---- buses ---- */
struct BusClass {
    const char *name;    /* "PCI", "ISA", "virtio-serial-bus" */
    const char *missing; /* for users: what to do where there is no such bus, or NULL */
    size_t size;
    /* Place dev on the bus (address property, conflicts), before its realize. */
    bool (*attach)(Bus *bus, Device *dev, GError **error);
    void (*detach)(Bus *bus, Device *dev);
    /* After realize / instead of the immediate removal.  unplug false: refused, error set. */
    void (*plugged)(Bus *bus, Device *dev);
    bool (*unplug)(Bus *bus, Device *dev, GError **error);
    char *(*address)(Device *dev); /* "02.0": path component; caller frees */
    void (*reset)(Bus *bus);
};

struct Bus {
    const BusClass *class;
    char *name;     /* "pcie.0", "pci.1" */
    Device *parent; /* NULL: the machine's */
    Domain *domain;
    GPtrArray *children; /* Device, in order of plugging */
    bool hotplug;        /* devices may come and go while the domain runs */
    bool full;
};
void bus_init(Bus *bus, const BusClass *class, Domain *domain, Device *parent, const char *name);
void bus_finish(Bus *bus); /* unplugs and frees its devices, last plugged first */
Bus *bus_find(Domain *domain, const char *name);
/* The bus a class would go to when none is named; DeviceNotFound if there is none. */
Bus *bus_default(Domain *domain, const DeviceClass *class, GError **error);
