/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Properties of devices: rows of the field language, bound to the device's struct.
 *
 * A value comes from, the later winning: the class' default, the machine version's
 * compat rows, -global, and what the user gave for this device.  Within compat rows
 * and -global a base class comes before the class itself.
 *
 * A link is a property whose text is an id: it is remembered in dev->given and
 * resolved at realize, so that its slot holds a pointer only while realized.
 *
 * Main thread.
 */
#include "vmm/device.h"

#include <string.h>

#include "vmm/device-internal.h"
#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/json.h"
#include "vmm/log.h"
#include "vmm/machine.h"

bool device_class_properties(const DeviceClass *class, PropertyFn fn, void *opaque)
{
    if (class->base && !device_class_properties(class->base, fn, opaque)) {
        return false;
    }
    for (const Property *p = class->props; p && p->field.type != FIELD_END_OF_TABLE; p++) {
        if (!fn(p, opaque)) {
            return false;
        }
    }
    return true;
}

/* The class' own row hides its base's of the same name. */
static const Property *own_property(const DeviceClass *class, const char *name)
{
    for (; class; class = class->base) {
        for (const Property *p = class->props; p && p->field.type != FIELD_END_OF_TABLE; p++) {
            if (strcmp(p->field.name, name) == 0) {
                return p;
            }
        }
    }
    return NULL;
}

const Property *device_class_property(const DeviceClass *class, const char *name)
{
    const Property *p = own_property(class, name);

    return p || !class->backend ? p : device_class_property(class->backend, name);
}

const Property *device_property(Device *dev, const char *name, void **ret_base)
{
    const Property *p = own_property(dev->class, name);

    if (!p && dev->backend) {
        return device_property(dev->backend, name, ret_base);
    }
    if (p && ret_base) {
        *ret_base = dev;
    }
    return p;
}

/* ---- errors ---- */

static bool add_name(const Property *p, void *names)
{
    if (!(p->field.flags & FIELD_HIDDEN)) {
        g_ptr_array_add(names, (void *)p->field.name);
    }
    return true;
}

static bool unknown_property(GError **error, const DeviceClass *class, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *nearest;

    device_class_properties(class, add_name, names);
    if (class->backend) {
        device_class_properties(class->backend, add_name, names);
    }
    g_ptr_array_add(names, NULL);
    nearest = error_nearest(name, (const char *const *)names->pdata);
    error_set(error, "Property '%s.%s' not found", class->name, name);
    if (nearest) {
        return error_hint(error, "Did you mean '%s'?", nearest);
    }
    return error_hint(error, "Use -device %s,help to list its properties.", class->name);
}

/* ---- setting ---- */

static Device *property_owner(Device *dev, const char *name)
{
    while (dev->backend && !own_property(dev->class, name)) {
        dev = dev->backend;
    }
    return dev;
}

static bool check_settable(const Device *dev, const Property *p, GError **error)
{
    if (p->field.flags & FIELD_READONLY) {
        return error_set(error, "Property '%s.%s' is read-only", dev->class->name, p->field.name);
    }
    if (dev->realized && !(p->field.flags & FIELD_RUNTIME)) {
        return error_set(error, "Property '%s' of device '%s' cannot be changed any more once the device is in use",
                         p->field.name, device_name(dev));
    }
    return true;
}

static bool set_link(Device *dev, const Property *p, const Json *value, GError **error)
{
    if (json_type_of(value) != JSON_STRING) {
        return error_set(error, "Property '%s.%s' expects the id of a %s", dev->class->name, p->field.name,
                         p->link->kind);
    }
    g_hash_table_insert(dev->given, (void *)p->field.name, g_strdup(json_get_string(value)));
    return true;
}

bool device_set(Device *dev, const char *name, const Json *value, GError **error)
{
    const Property *p = device_property(dev, name, NULL);
    bool ok;

    if (!p) {
        return unknown_property(error, dev->class, name);
    }
    dev = property_owner(dev, name);
    if (!check_settable(dev, p, error)) {
        return false;
    }
    if (p->link) {
        return set_link(dev, p, value, error);
    }
    if (dev->realized) {
        lock_acquire(dev->lock);
    }
    ok = field_parse(&p->field, value, FIELD_LENIENT, dev, error);
    if (ok && dev->realized && p->changed) {
        p->changed(dev);
    }
    if (dev->realized) {
        lock_release(dev->lock);
    }
    if (!ok) {
        return error_subject(error, dev->class->name);
    }
    g_hash_table_insert(dev->given, (void *)p->field.name, NULL);
    return true;
}

bool device_set_text(Device *dev, const char *name, const char *text, GError **error)
{
    g_autoptr(Json) value = json_new_string(text);

    return device_set(dev, name, value, error);
}

/* ---- defaults ---- */

static bool init_property(const Property *p, void *opaque)
{
    if (!p->link) { /* its slot is NULL until realize */
        field_init(&p->field, opaque);
    }
    return true;
}

static void set_default(Device *dev, const char *property, const char *text)
{
    g_autoptr(GError) error = NULL;

    /* Checked when they were given; a board's table may still be wrong. */
    if (!device_set_text(dev, property, text, &error)) {
        log_error(error);
    }
}

static void apply_compat(Device *dev, const DeviceClass *class)
{
    const Machine *machine = domain_machine(dev->domain);
    const CompatProperty *row = machine ? machine->class->compat : NULL;

    for (; row && row->driver; row++) {
        if (strcmp(row->driver, class->name) == 0) {
            set_default(dev, row->property, row->value);
        }
    }
}

static void apply_globals(Device *dev, const DeviceClass *class)
{
    g_autofree char *prefix = g_strconcat(class->name, ".", NULL);
    GHashTableIter iter;
    void *key, *value;

    g_hash_table_iter_init(&iter, domain_table(dev->domain, TABLE_GLOBALS));
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        if (g_str_has_prefix(key, prefix)) {
            set_default(dev, (const char *)key + strlen(prefix), value);
        }
    }
}

static void apply_base_first(Device *dev, const DeviceClass *class,
                             void (*apply)(Device *dev, const DeviceClass *class))
{
    if (class->base) {
        apply_base_first(dev, class->base, apply);
    }
    apply(dev, class);
}

void device_props_init(Device *dev)
{
    device_class_properties(dev->class, init_property, dev);
    apply_base_first(dev, dev->class, apply_compat);
    apply_base_first(dev, dev->class, apply_globals);
}

static bool clear_property(const Property *p, void *opaque)
{
    if (!p->link) {
        field_clear(&p->field, opaque);
    }
    return true;
}

void device_props_clear(Device *dev)
{
    device_class_properties(dev->class, clear_property, dev);
}

bool device_global_add(Domain *domain, const char *driver, const char *property, const char *value, GError **error)
{
    const DeviceClass *class = device_class_find(driver, error);
    const Property *p;
    g_autoptr(Json) text = NULL;
    bool ok;

    if (!class) {
        return error_hint(error, "-global takes the name of a device class.");
    }
    p = device_class_property(class, property);
    if (!p) {
        return unknown_property(error, class, property);
    }
    text = json_new_string(value);
    if (!p->link) {
        size_t end = p->field.offset + p->field.width;
        g_autofree uint8_t *scratch = g_malloc0(MAX(end, (size_t)p->field.has_offset + 1));

        field_init(&p->field, scratch);
        ok = field_parse(&p->field, text, FIELD_LENIENT, scratch, error);
        field_clear(&p->field, scratch);
        if (!ok) {
            return error_subject(error, class->name);
        }
    }
    g_hash_table_replace(domain_table(domain, TABLE_GLOBALS), g_strconcat(class->name, ".", property, NULL),
                         g_strdup(value));
    return true;
}

/* ---- links ---- */

typedef struct LinkPass {
    Device *dev;
    GError **error;
} LinkPass;

static void **link_slot(Device *dev, const Property *p)
{
    return (void **)((uint8_t *)dev + p->field.offset);
}

static bool attach_link(const Property *p, void *opaque)
{
    LinkPass *pass = opaque;
    Device *dev = pass->dev;
    const char *id;

    if ((p->field.flags & FIELD_REQUIRED) && !g_hash_table_contains(dev->given, p->field.name)) {
        error_set(pass->error, "Device '%s' needs property '%s'", device_name(dev), p->field.name);
        return error_hint(pass->error, "Add %s=<%s>.", p->field.name, p->link ? p->link->kind : p->field.name);
    }
    id = p->link ? g_hash_table_lookup(dev->given, p->field.name) : NULL;
    if (!id || !*id) {
        return true;
    }
    if (!p->link->attach(dev, id, link_slot(dev, p), pass->error)) {
        *link_slot(dev, p) = NULL;
        return error_subject(pass->error, device_name(dev));
    }
    return true;
}

static bool detach_link(const Property *p, void *opaque)
{
    Device *dev = opaque;

    if (p->link && *link_slot(dev, p)) {
        p->link->detach(dev, link_slot(dev, p));
        *link_slot(dev, p) = NULL;
    }
    return true;
}

bool device_props_attach(Device *dev, GError **error)
{
    LinkPass pass = { dev, error };

    if (device_class_properties(dev->class, attach_link, &pass)) {
        return true;
    }
    device_props_detach(dev);
    return false;
}

void device_props_detach(Device *dev)
{
    device_class_properties(dev->class, detach_link, dev);
}
