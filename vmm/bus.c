/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buses: what devices plug into.  A bus is embedded in what provides it (a bridge,
 * a controller, the board), which initializes and finishes it.  Main thread.
 */
#include "vmm/device.h"

#include "vmm/device-internal.h"
#include "vmm/domain-internal.h"
#include "vmm/error.h"

void bus_init(Bus *bus, const BusClass *class, Domain *domain, Device *parent, const char *name)
{
    bus->class = class;
    bus->name = g_strdup(name);
    bus->parent = parent;
    bus->domain = domain;
    bus->children = g_ptr_array_new();
    g_ptr_array_add(domain->buses, bus);
    if (!bus_find(domain, name)) {
        g_hash_table_insert(domain_table(domain, TABLE_BUSES), g_strdup(name), bus);
    }
    if (parent) {
        g_ptr_array_add(parent->buses, bus);
    }
}

void bus_finish(Bus *bus)
{
    if (!bus->name) {
        return;
    }
    bus_clear(bus);
    if (bus_find(bus->domain, bus->name) == bus) {
        g_hash_table_remove(domain_table(bus->domain, TABLE_BUSES), bus->name);
    }
    g_ptr_array_remove(bus->domain->buses, bus);
    if (bus->parent) {
        g_ptr_array_remove(bus->parent->buses, bus);
    }
    g_ptr_array_unref(bus->children);
    g_clear_pointer(&bus->name, g_free);
}

void bus_clear(Bus *bus)
{
    while (bus->children->len) {
        Device *child = g_ptr_array_index(bus->children, bus->children->len - 1);

        if (child->lock != &child->own_lock) {
            device_unrealize(child); /* its composite frees it */
        } else {
            device_free(child);
        }
    }
}

Bus *bus_find(Domain *domain, const char *name)
{
    return g_hash_table_lookup(domain_table(domain, TABLE_BUSES), name);
}

Bus *bus_default(Domain *domain, const DeviceClass *class, GError **error)
{
    bool full = false;

    for (unsigned i = 0; i < domain->buses->len; i++) {
        Bus *bus = g_ptr_array_index(domain->buses, i);

        if (bus->class != class->bus) {
            continue;
        }
        if (!bus->full) {
            return bus;
        }
        full = true;
    }
    if (full) {
        error_set(error, "Every %s bus is full, there is no place for '%s'", class->bus->name, class->name);
    } else {
        error_set_class(error, ERROR_DEVICE_NOT_FOUND, "No '%s' bus found for device '%s'", class->bus->name,
                        class->name);
        if (class->bus->missing) {
            error_hint(error, "%s", class->bus->missing);
        }
    }
    return NULL;
}
