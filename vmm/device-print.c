/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of buses, devices and their properties as text for people.
 */
#include "vmm/device-internal.h"
#include "vmm/domain-internal.h"

typedef struct Printing {
    Device *dev;
    unsigned indent;
    GString *out;
} Printing;

static void print_bus(const Bus *bus, unsigned indent, GString *out);

static bool print_property(const Property *property, void *opaque)
{
    const Printing *p = opaque;
    const char *name = property->field.name;
    void *base;
    g_autofree char *text = NULL;

    if (property->field.flags & (FIELD_HIDDEN | FIELD_SECRET)) {
        return true;
    }
    if (g_str_equal(name, "addr") && p->dev->bus && p->dev->bus->class->address) {
        text = p->dev->bus->class->address(p->dev); /* the one it got, when it asked for none */
    } else if (property->link) {
        text = g_strdup(g_hash_table_lookup(p->dev->given, name));
    } else if (device_property(p->dev, name, &base)) {
        text = field_format(&property->field, base);
    }
    g_string_append_printf(p->out, "%*s%s = %s\n", (int)p->indent, "", name, text ? text : "\"\"");
    return true;
}

static void print_device(Device *dev, unsigned indent, GString *out)
{
    Printing properties = { dev, indent + 2, out };

    g_string_append_printf(out, "%*sdev: %s, id \"%s\"\n", (int)indent, "", dev->class->name, dev->id ? dev->id : "");
    device_class_properties(dev->class, print_property, &properties);
    for (guint i = 0; i < dev->buses->len; i++) {
        print_bus(dev->buses->pdata[i], indent + 2, out);
    }
}

static void print_bus(const Bus *bus, unsigned indent, GString *out)
{
    g_string_append_printf(out, "%*sbus: %s\n%*stype %s\n", (int)indent, "", bus->name, (int)indent + 2, "",
                           bus->class->name);
    for (guint i = 0; i < bus->children->len; i++) {
        print_device(bus->children->pdata[i], indent + 2, out);
    }
}

void device_dump_tree(Domain *domain, GString *out)
{
    for (guint i = 0; i < domain->devices->len; i++) {
        Device *dev = domain->devices->pdata[i];

        if (!dev->bus && !dev->parent) {
            print_device(dev, 0, out);
        }
    }
    for (guint i = 0; i < domain->buses->len; i++) {
        const Bus *bus = domain->buses->pdata[i];

        if (!bus->parent) {
            print_bus(bus, 0, out);
        }
    }
}
