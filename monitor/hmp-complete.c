/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/hmp-complete.h.
 */
#include "monitor/hmp-complete.h"

#include <string.h>

#include "monitor/hmp-info.h"
#include "net/backend.h"
#include "vmm/chardev.h"
#include "vmm/device.h"
#include "vmm/object.h"
#include "vmm/qom.h"
#include "vmm/runstate.h"

typedef struct Search {
    const char *begin;
    GPtrArray *words;
} Search;

static void add(const Search *s, const char *word)
{
    if (g_str_has_prefix(word, s->begin)) {
        g_ptr_array_add(s->words, g_strdup(word));
    }
}

/* ---- ids ---- */

static bool add_device(Device *dev, void *opaque)
{
    if (dev->id) {
        add(opaque, dev->id);
    }
    return true;
}

void hmp_complete_device(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    device_each(session->domain, add_device, &s);
}

static bool add_object(Object *object, void *opaque)
{
    add(opaque, object->id);
    return true;
}

void hmp_complete_object(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    object_each(session->domain, add_object, &s);
}

static bool add_chardev(Chardev *chr, void *opaque)
{
    add(opaque, chardev_id(chr));
    return true;
}

void hmp_complete_chardev(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    chardev_each(session->domain, add_chardev, &s);
}

static bool add_netdev(NetBackend *b, void *opaque)
{
    add(opaque, b->id);
    return true;
}

void hmp_complete_netdev(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    netdev_each(session->domain, add_netdev, &s);
}

static bool add_nic(NetNic *nic, void *opaque)
{
    add(opaque, nic->name);
    return true;
}

void hmp_complete_link(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    net_nic_each(session->domain, add_nic, &s);
    netdev_each(session->domain, add_netdev, &s);
}

/* ---- names that are there anyway ---- */

void hmp_complete_watchdog(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    for (const char *const *action = watchdog_action_enum.values; *action; action++) {
        add(&s, *action);
    }
}

/* ---- what commands list ---- */

static Json *reply_of(HmpSession *session, const char *command)
{
    HmpCall call = { .session = session, .domain = session->domain };
    Json *reply = NULL;

    hmp_call_qmp(&call, command, json_new_object(), &reply, NULL);
    return reply;
}

void hmp_complete_new_chardev(HmpSession *session, const char *begin, GPtrArray *words)
{
    g_autoptr(Json) reply = reply_of(session, "query-chardev-backends");
    Search s = { begin, words };

    for (size_t i = 0; reply && i < json_array_length(reply); i++) {
        add(&s, hmp_text_of(json_array_get(reply, i), "name"));
    }
}

void hmp_complete_capability(HmpSession *session, const char *begin, GPtrArray *words)
{
    g_autoptr(Json) reply = reply_of(session, "query-migrate-capabilities");
    Search s = { begin, words };

    for (size_t i = 0; reply && i < json_array_length(reply); i++) {
        add(&s, hmp_text_of(json_array_get(reply, i), "capability"));
    }
}

static bool add_name(const char *name, Json *value, void *opaque)
{
    add(opaque, name);
    return true;
}

void hmp_complete_parameter(HmpSession *session, const char *begin, GPtrArray *words)
{
    g_autoptr(Json) reply = reply_of(session, "query-migrate-parameters");
    Search s = { begin, words };

    if (reply) {
        json_object_each(reply, add_name, &s);
    }
}

/* ---- what is to be made: the line so far, with one key more ---- */

typedef struct KeySearch {
    Search s;
    size_t kept; /* bytes of begin up to its last comma */
} KeySearch;

static void add_key(const KeySearch *k, const char *name)
{
    g_autofree char *word = g_strdup_printf("%.*s%s=", (int)k->kept, k->s.begin, name);

    add(&k->s, word);
}

/* Splits "NAME,key=value,k" at its commas.  NULL: there is none yet. */
static char *name_of(const char *begin, size_t *kept)
{
    const char *comma = strchr(begin, ','), *last = strrchr(begin, ',');

    *kept = last ? (size_t)(last + 1 - begin) : 0;
    return comma ? g_strndup(begin, (gsize)(comma - begin)) : NULL;
}

static void add_keys(const KeySearch *k, const char *type)
{
    GArray *properties = g_array_new(FALSE, FALSE, sizeof(QomProperty));

    qom_type_properties(type, false, properties, NULL);
    for (unsigned i = 0; i < properties->len; i++) {
        QomProperty *p = &g_array_index(properties, QomProperty, i);

        add_key(k, p->name);
        field_struct_clear(&qom_property_info, p);
    }
    g_array_unref(properties);
}

static void add_driver(const DeviceClass *class, void *opaque)
{
    if (!class->abstract && !class->board_only) {
        add(opaque, class->name);
    }
}

void hmp_complete_new_device(HmpSession *session, const char *begin, GPtrArray *words)
{
    KeySearch k = { .s = { begin, words } };
    g_autofree char *driver = name_of(begin, &k.kept);

    if (!driver) {
        device_class_each(add_driver, &k.s);
    } else {
        add_key(&k, "id");
        add_key(&k, "bus");
        add_keys(&k, driver);
    }
}

void hmp_complete_new_object(HmpSession *session, const char *begin, GPtrArray *words)
{
    KeySearch k = { .s = { begin, words } };
    g_autofree char *type = name_of(begin, &k.kept);

    for (const ObjectClass *const *c = object_classes; !type && *c; c++) {
        add(&k.s, (*c)->name);
    }
    if (type) {
        add_key(&k, "id");
        add_keys(&k, type);
    }
}
