/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device classes by name, -device and device_add, device_del, and their help.
 *
 * Main thread.
 */
#include "vmm/device.h"

#include <string.h>

#include "vmm/cpu-bus.h"
#include "vmm/device-internal.h"
#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/json.h"

static const DeviceClass *const no_classes[] = { NULL };
/* Set once by device_classes_set(), before anything else; constant afterwards. */
static const DeviceClass *const *all_classes = no_classes;

/* ---- classes ---- */

void device_classes_set(const DeviceClass *const *classes)
{
    all_classes = classes;
}

void device_class_each(DeviceClassFn fn, void *opaque)
{
    for (const DeviceClass *const *class = all_classes; *class; class++) {
        fn(*class, opaque);
    }
}

bool device_class_is(const DeviceClass *class, const DeviceClass *base)
{
    while (class && class != base) {
        class = class->base;
    }
    return class != NULL;
}

static bool class_has_alias(const DeviceClass *class, const char *name)
{
    return class->aliases && g_strv_contains(class->aliases, name);
}

static void add_class_names(const DeviceClass *class, void *opaque)
{
    GPtrArray *names = opaque;

    if (!class->abstract && !class->board_only) {
        g_ptr_array_add(names, (void *)class->name);
        for (const char *const *alias = class->aliases; alias && *alias; alias++) {
            g_ptr_array_add(names, (void *)*alias);
        }
    }
}

const DeviceClass *device_class_find(const char *driver, GError **error)
{
    g_autoptr(GPtrArray) names = NULL;
    const char *nearest;

    for (const DeviceClass *const *class = all_classes; *class; class++) {
        if (strcmp((*class)->name, driver) == 0) {
            return *class;
        }
    }
    for (const DeviceClass *const *class = all_classes; *class; class++) {
        if (class_has_alias(*class, driver)) {
            return *class;
        }
    }
    names = g_ptr_array_new();
    device_class_each(add_class_names, names);
    g_ptr_array_add(names, NULL);
    nearest = error_nearest(driver, (const char *const *)names->pdata);
    error_set(error, "'%s' is not a valid device model name", driver);
    if (nearest) {
        error_hint(error, "Did you mean '%s'?", nearest);
    } else {
        error_hint(error, "Use -device help to list them.");
    }
    return NULL;
}

static bool has_bus(Domain *domain, const DeviceClass *class)
{
    for (unsigned i = 0; i < domain->buses->len; i++) {
        if (((Bus *)g_ptr_array_index(domain->buses, i))->class == class->bus) {
            return true;
        }
    }
    return !class->bus;
}

/* The types of CPUs have one class.  An alias that several classes share ("virtio-blk") means the one this machine
 * has a bus for. */
static const DeviceClass *resolve_driver(Domain *domain, const char *driver, GError **error)
{
    const DeviceClass *found = cpu_device_class_find(driver);

    if (found) {
        return cpu_bus_check_type(domain, driver, error) ? found : NULL;
    }
    found = device_class_find(driver, error);
    if (!found || !class_has_alias(found, driver) || has_bus(domain, found)) {
        return found;
    }
    for (const DeviceClass *const *class = all_classes; *class; class++) {
        if (class_has_alias(*class, driver) && has_bus(domain, *class)) {
            return *class;
        }
    }
    return found;
}

/* ---- device_add ---- */

static const char *text_member(const Json *options, const char *name, GError **error)
{
    const Json *value = json_object_get_member(options, name);

    if (value && json_type_of(value) != JSON_STRING) {
        error_set(error, "Parameter '%s' expects a string", name);
        return NULL;
    }
    return value ? json_get_string(value) : NULL;
}

static bool bus_not_found(Domain *domain, const char *name, GError **error)
{
    g_autofree char **names = (char **)g_hash_table_get_keys_as_array(domain_table(domain, TABLE_BUSES), NULL);
    const char *nearest = error_nearest(name, (const char *const *)names);

    error_set(error, "Bus '%s' not found", name);
    return nearest ? error_hint(error, "Did you mean '%s'?", nearest) : false;
}

static bool choose_bus(Domain *domain, const DeviceClass *class, const char *name, Bus **ret, GError **error)
{
    Bus *bus = NULL;

    if (name) {
        bus = bus_find(domain, name);
        if (!bus) {
            return bus_not_found(domain, name, error);
        }
        if (!class->bus) {
            return error_set(error, "Device '%s' plugs into no bus, so bus='%s' does not fit", class->name, name);
        }
        if (bus->class != class->bus) {
            return error_set(error, "Device '%s' can't go on %s bus '%s', it needs a %s bus", class->name,
                             bus->class->name, name, class->bus->name);
        }
        if (bus->full) {
            return error_set(error, "Bus '%s' is full", name);
        }
    } else if (class->bus) {
        bus = bus_default(domain, class, error);
        if (!bus) {
            return false;
        }
    }
    if (domain->complete && (!class->hotpluggable || !bus)) {
        return error_set(error, "Device '%s' does not support hotplugging", class->name);
    }
    if (domain->complete && !bus->hotplug) {
        error_set(error, "Bus '%s' does not support hotplugging", bus->name);
        return error_hint(error, "Start the domain with a pcie-root-port and name it with bus=.");
    }
    *ret = bus;
    return true;
}

typedef struct OptionPass {
    Device *dev;
    GError **error;
} OptionPass;

static bool set_option(const char *name, Json *value, void *opaque)
{
    const OptionPass *pass = opaque;

    if (strcmp(name, "driver") == 0 || strcmp(name, "id") == 0 || strcmp(name, "bus") == 0) {
        return true;
    }
    return device_set(pass->dev, name, value, pass->error);
}

static bool check_class(const DeviceClass *class, GError **error)
{
    if (class->abstract || class->board_only) {
        error_set(error, "Device '%s' cannot be added, it is %s", class->name,
                  class->abstract ? "only a base of others" : "part of a machine");
        return error_hint(error, "Use -device help to list those that can.");
    }
    return true;
}

Device *device_add(Domain *domain, const Json *options, GError **error)
{
    g_autoptr(GError) bad = NULL;
    const char *driver = text_member(options, "driver", &bad);
    const char *id = bad ? NULL : text_member(options, "id", &bad);
    const char *bus_name = bad ? NULL : text_member(options, "bus", &bad);
    const DeviceClass *class;
    Bus *bus = NULL;
    Device *dev;

    if (bad) {
        g_propagate_error(error, g_steal_pointer(&bad));
        return NULL;
    }
    if (!driver) {
        error_set(error, "Parameter 'driver' is missing");
        return NULL;
    }
    class = resolve_driver(domain, driver, error);
    if (!class || !check_class(class, error) || (id && !domain_check_id(domain, TABLE_DEVICES, id, "device", error)) ||
        !choose_bus(domain, class, bus_name, &bus, error)) {
        return NULL;
    }
    dev = device_new(domain, class, id);
    if (!id) {
        g_autofree char *path = g_strdup_printf("/machine/peripheral-anon/device[%u]", domain->next_anonymous++);

        device_set_path(dev, path);
    }
    if (!json_object_each(options, set_option, &(OptionPass){ dev, error }) || !device_realize(dev, bus, error)) {
        device_free(dev);
        return NULL;
    }
    return dev;
}

bool device_del(Domain *domain, const char *id, GError **error)
{
    Device *dev = device_find(domain, id);
    bool pending;

    if (!dev) {
        return error_set_class(error, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", id);
    }
    if (dev->unplug_pending &&
        (!dev->unplug_until_ns || clock_ns(domain_clock(domain)) < dev->unplug_until_ns)) {
        return error_set(error, "Device '%s' is already in the process of unplug", id);
    }
    if (!dev->class->hotpluggable || !dev->bus) {
        return error_set(error, "Device '%s' does not support hotplugging", id);
    }
    if (!dev->bus->hotplug) {
        return error_set(error, "Bus '%s' does not support hotplugging", dev->bus->name);
    }
    if (!dev->bus->class->unplug) {
        device_free(dev);
        return true;
    }
    pending = dev->unplug_pending;
    dev->unplug_pending = true; /* before: it may be gone when unplug() returns */
    if (!dev->bus->class->unplug(dev->bus, dev, error)) {
        dev->unplug_pending = pending;
        return false;
    }
    return true;
}

static bool find_pending(Device *dev, void *opaque)
{
    *(Device **)opaque = dev->unplug_pending ? dev : NULL;
    return !dev->unplug_pending;
}

/* One may take others with it. */
void device_complete_unplugs(Domain *domain)
{
    Device *dev = NULL;

    while (!device_each(domain, find_pending, &dev)) {
        device_free(dev);
    }
}

/* ---- help ---- */

static bool add_visible(const Property *p, void *rows)
{
    if (!(p->field.flags & FIELD_HIDDEN)) {
        g_ptr_array_add(rows, (void *)p);
    }
    return true;
}

static int compare_rows(const void *a, const void *b)
{
    const Property *const *pa = a, *const *pb = b;

    return strcmp((*pa)->field.name, (*pb)->field.name);
}

void device_class_help(const DeviceClass *class, GString *out)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new();

    device_class_properties(class, add_visible, rows);
    if (class->backend) {
        device_class_properties(class->backend, add_visible, rows);
    }
    g_ptr_array_sort(rows, compare_rows);
    g_string_append_printf(out, "%s options%s\n", class->name, rows->len ? ":" : ": none");
    for (unsigned i = 0; i < rows->len; i++) {
        const Property *p = g_ptr_array_index(rows, i);

        if (p->link) {
            g_string_append_printf(out, "  %s=<%s>  - %s\n", p->field.name, p->link->kind,
                                   p->field.help ? p->field.help : "Its id");
        } else {
            field_help(&p->field, out);
        }
    }
}

static void help_line(const DeviceClass *class, GString *out)
{
    g_string_append_printf(out, "name \"%s\"", class->name);
    if (class->bus) {
        g_string_append_printf(out, ", bus %s", class->bus->name);
    }
    for (const char *const *alias = class->aliases; alias && *alias; alias++) {
        g_string_append_printf(out, ", alias \"%s\"", *alias);
    }
    g_string_append_printf(out, ", desc \"%s\"\n", class->desc);
}

static const char *class_category(const DeviceClass *class)
{
    while (class && !class->category) {
        class = class->base;
    }
    return class ? class->category : "Misc";
}

static int compare_classes(const void *a, const void *b)
{
    const DeviceClass *const *ca = a, *const *cb = b;
    int by_category = strcmp(class_category(*ca), class_category(*cb));

    return by_category ? by_category : strcmp((*ca)->name, (*cb)->name);
}

void device_classes_help(GString *out)
{
    g_autoptr(GPtrArray) classes = g_ptr_array_new();
    const char *category = "";

    for (const DeviceClass *const *class = all_classes; *class; class++) {
        if (!(*class)->abstract && !(*class)->board_only) {
            g_ptr_array_add(classes, (void *)*class);
        }
    }
    g_ptr_array_sort(classes, compare_classes);
    for (unsigned i = 0; i < classes->len; i++) {
        const DeviceClass *class = g_ptr_array_index(classes, i);

        if (strcmp(category, class_category(class)) != 0) {
            g_string_append_printf(out, "%s%s devices:\n", *category ? "\n" : "", class_category(class));
            category = class_category(class);
        }
        help_line(class, out);
    }
}
