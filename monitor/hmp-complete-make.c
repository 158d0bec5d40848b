/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Completion of what is to be made: "TYPE,key=value,k".  Types, keys and values are those of the tables that read them.
 * A word is the line so far, with one key or one value more.
 */
#include <string.h>

#include "monitor/hmp-complete.h"
#include "net/net.h"
#include "vmm/chardev.h"
#include "vmm/device.h"
#include "vmm/object.h"

typedef struct Making {
    const char *begin;
    GPtrArray *words;
    char *type; /* owned; NULL: it is still being typed */
    char *kept; /* owned: what stays of begin, up to its last comma, or up to its last '=' */
    char *key;  /* owned: whose value is typed; NULL: the key is */
} Making;

static Making making_new(const char *begin, GPtrArray *words)
{
    const char *comma = strchr(begin, ','), *last = strrchr(begin, ','), *equals = last ? strchr(last, '=') : NULL;
    const char *from = equals ? equals + 1 : last ? last + 1 : begin;

    return (Making) {
        .begin = begin, .words = words,
        .type = comma ? g_strndup(begin, (gsize)(comma - begin)) : NULL,
        .kept = g_strndup(begin, (gsize)(from - begin)),
        .key = equals ? g_strndup(last + 1, (gsize)(equals - last - 1)) : NULL,
    };
}

static void making_clear(Making *m)
{
    g_free(m->type);
    g_free(m->kept);
    g_free(m->key);
}

static void add_type(const Making *m, const char *name)
{
    if (!m->type && g_str_has_prefix(name, m->begin)) {
        g_ptr_array_add(m->words, g_strdup(name));
    }
}

static void add_key(const Making *m, const char *name)
{
    g_autofree char *word = g_strdup_printf("%s%s=", m->kept, name);

    if (m->type && !m->key && g_str_has_prefix(word, m->begin)) {
        g_ptr_array_add(m->words, g_steal_pointer(&word));
    }
}

static void add_fields(const Making *m, const FieldStruct *desc, const char *prefix);

static void add_field(const Making *m, const Field *f, const char *prefix)
{
    g_autofree char *name = g_strconcat(prefix, f->name, NULL), *inner = g_strconcat(name, ".", NULL);

    if (f->flags & FIELD_HIDDEN) {
        return;
    }
    if (f->type == FIELD_STRUCT) {
        add_fields(m, f->of.structure, inner);
    } else if (m->key && g_str_equal(m->key, name)) {
        hmp_complete_field(f, m->kept, m->begin, m->words);
    } else {
        add_key(m, name);
    }
}

/* Of a union, those of the case that is typed; inside of another (an address), those of all. */
static void add_fields(const Making *m, const FieldStruct *desc, const char *prefix)
{
    if (desc->base) {
        add_fields(m, desc->base, prefix);
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        if (prefix[0] || g_strcmp0(f->name, desc->tag) != 0) {
            add_field(m, f, prefix);
        }
    }
    for (const FieldCase *c = desc->cases; c && c->value; c++) {
        if (c->structure && (prefix[0] || g_strcmp0(c->value, m->type) == 0)) {
            add_fields(m, c->structure, prefix);
        }
    }
}

static void complete_union(const FieldStruct *desc, const char *begin, GPtrArray *words)
{
    Making m = making_new(begin, words);

    for (const FieldCase *c = desc->cases; c->value; c++) {
        add_type(&m, c->value);
    }
    add_fields(&m, desc, "");
    making_clear(&m);
}

void hmp_complete_new_netdev(HmpSession *session, const char *begin, GPtrArray *words)
{
    complete_union(&netdev_options, begin, words);
}

void hmp_complete_new_chardev(HmpSession *session, const char *begin, GPtrArray *words)
{
    complete_union(&chardev_text_options, begin, words);
}

void hmp_complete_new_object(HmpSession *session, const char *begin, GPtrArray *words)
{
    Making m = making_new(begin, words);

    add_key(&m, "id");
    for (const ObjectClass *const *c = object_classes; *c; c++) {
        add_type(&m, (*c)->name);
        if (g_strcmp0((*c)->name, m.type) == 0) {
            add_fields(&m, (*c)->props, "");
        }
    }
    making_clear(&m);
}

/* ---- devices ---- */

static void add_driver(const DeviceClass *class, void *opaque)
{
    if (!class->abstract && !class->board_only) {
        add_type(opaque, class->name);
    }
}

static bool add_property(const Property *p, void *opaque)
{
    add_field(opaque, &p->field, "");
    return true;
}

void hmp_complete_new_device(HmpSession *session, const char *begin, GPtrArray *words)
{
    Making m = making_new(begin, words);
    const DeviceClass *class = m.type ? device_class_find(m.type, NULL) : NULL;

    device_class_each(add_driver, &m);
    add_key(&m, "id");
    add_key(&m, "bus");
    if (class) {
        device_class_properties(class, add_property, &m);
    }
    if (class && class->backend) {
        device_class_properties(class->backend, add_property, &m);
    }
    making_clear(&m);
}
