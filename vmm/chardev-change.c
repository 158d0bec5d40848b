/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another backend for a chardev that is in use.  The new one is opened first; then the device's link and its front end
 * move to it, and the device hears that its old peer has gone.
 *
 * Left out: muxes and what is below them; front ends that are no devices (monitors, the gdb server).
 *
 * Locking: main thread; the front end's lock while the link is replaced, so that a vCPU writes to one or the other.
 */
#include "vmm/chardev-internal.h"
#include "vmm/device-internal.h"
#include "vmm/error.h"

typedef struct User {
    Chardev *chr;
    Device *dev;
    void **slot; /* of the device's link; NULL: not found */
} User;

static bool match_property(const Property *property, void *opaque)
{
    User *user = opaque;
    void *base;

    if (property->link == &chardev_link && device_property(user->dev, property->field.name, &base)) {
        void **slot = (void **)((char *)base + property->field.offset);

        user->slot = *slot == user->chr ? slot : user->slot;
    }
    return !user->slot;
}

static bool match_device(Device *dev, void *opaque)
{
    User *user = opaque;

    user->dev = dev;
    device_class_properties(dev->class, match_property, user);
    return !user->slot;
}

static bool find_user(Chardev *chr, User *ret, GError **error)
{
    *ret = (User) { .chr = chr };
    if (chr->class->below) {
        return error_set(error, "chardev '%s' is a mux, which cannot be changed", chr->id);
    }
    if (chr->users || chr->attached) {
        device_each(chr->domain, match_device, ret);
    }
    if (chr->users > 1 || (!ret->slot && (chr->users || chr->attached))) {
        return error_set(error, "chardev '%s' is used by what cannot change it: a mux, a monitor or an object",
                         chr->id);
    }
    return true;
}

static void move(Chardev *from, Chardev *to, void **slot)
{
    ChardevFrontend fe = from->fe;
    bool attached = from->attached, open = from->frontend_open;

    if (from->announced) {
        chardev_event(from, CHARDEV_CLOSED);
    }
    if (fe.lock) {
        lock_acquire(fe.lock);
    }
    *slot = to;
    if (attached) {
        chardev_detach(from, fe.opaque);
        chardev_attach(to, &fe, NULL); /* nobody else has it yet */
        to->frontend_open = open;
    }
    if (fe.lock) {
        lock_release(fe.lock);
    }
    from->users--;
    to->users++;
}

Chardev *chardev_change(Domain *domain, const Json *options, GError **error)
{
    GHashTable *table = domain_table(domain, TABLE_CHARDEVS);
    const Json *id = json_object_get_member(options, "id");
    Chardev *old, *chr;
    User user;

    if (!id || json_type_of(id) != JSON_STRING) {
        return chardev_add(domain, options, error); /* which says what is wrong */
    }
    old = chardev_find(domain, json_get_string(id), error);
    if (!old || !find_user(old, &user, error)) {
        return NULL;
    }
    g_hash_table_remove(table, old->id);
    chr = chardev_add(domain, options, error);
    if (!chr) {
        g_hash_table_insert(table, g_strdup(old->id), old);
        return NULL;
    }
    if (user.slot) {
        move(old, chr, user.slot);
    }
    chardev_destroy(old); /* which takes what has its id out of the table */
    g_hash_table_insert(table, g_strdup(chr->id), chr);
    return chr;
}
