/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that come and go: attach-device, detach-device, in the running domain, its definition, or both.  What is
 * attached is written as in a definition: [object], [blockdev], [device].  In a definition the text itself is changed.
 */
#include <string.h>

#include "block/block.h"
#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/groups.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/unplug.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

/* ---- attach ---- */

/* In the order in which they need one another. */
static const struct Kind {
    const char *group, *implied, *add, *del, *id; /* id: the member that names it; del takes it as del_id */
    const char *del_id;
    const FieldStruct *types; /* NULL: the command takes every value as text */
} kinds[] = {
    { "object", "qom-type", "object-add", "object-del", "id", "id" },
    { "blockdev", "driver", "blockdev-add", "blockdev-del", "node-name", "node-name", &blockdev_options },
    { "device", "driver", "device_add", "device_del", "id", "id" },
};

enum { DEVICE = 2 }; /* of kinds */

static const GPtrArray *texts_of(const Options *o, size_t kind)
{
    const GPtrArray *const all[G_N_ELEMENTS(kinds)] = { o->objects, o->blockdevs, o->devices };

    return all[kind];
}

typedef struct Added { const struct Kind *kind; char *id; } Added;

static void added_free(gpointer opaque)
{
    g_free(((Added *)opaque)->id);
    g_free(opaque);
}

/* QMP tells numbers and booleans from strings, a definition does not; the command's own table says which they are.  The
 * caller's. */
static Json *with_types(const Json *json, const FieldStruct *desc, GError **error)
{
    g_autofree void *value = g_malloc0(desc->size);
    g_autofree char *text = NULL;
    JsonWriter *w;

    if (!field_struct_parse(desc, json, FIELD_LENIENT, value, error)) {
        return NULL;
    }
    w = json_writer_new(false);
    field_struct_write(desc, value, w, NULL);
    text = json_writer_finish(w);
    field_struct_clear(desc, value);
    return json_parse(text, strlen(text), error);
}

static bool add_one(Client *client, const struct Kind *kind, const char *text, GPtrArray *added, GError **error)
{
    g_autoptr(Json) json = keyval_parse(text, kind->implied, error);
    g_autofree char *id = NULL;
    g_autoptr(Json) done = NULL;
    Added *a;

    if (!json) {
        return false;
    }
    id = g_strdup(reply_text(json, kind->id));
    if (kind->types) {
        g_autoptr(Json) typed = with_types(json, kind->types, error);

        if (!typed) {
            return error_subject(error, kind->group);
        }
        json_unref(json);
        json = g_steal_pointer(&typed);
    }
    done = client_run(client, kind->add, g_steal_pointer(&json), error);
    if (!done) {
        return false;
    }
    a = g_new(Added, 1);
    *a = (Added) { kind, g_steal_pointer(&id) };
    g_ptr_array_add(added, a);
    return true;
}

/* The newest goes first. */
static void take_back(Client *client, GPtrArray *added)
{
    for (guint i = added->len; i > 0; i--) {
        const Added *a = added->pdata[i - 1];

        if (a->id) {
            Json *arguments = json_new_object();
            g_autoptr(Json) done = NULL;

            json_object_put_member(arguments, a->kind->del_id, json_new_string(a->id));
            done = client_run(client, a->kind->del, arguments, NULL);
        }
    }
}

static bool add_all(Client *client, const Options *options, GError **error)
{
    g_autoptr(GPtrArray) added = g_ptr_array_new_with_free_func(added_free);

    for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
        const GPtrArray *texts = texts_of(options, k);

        for (guint i = 0; i < texts->len; i++) {
            if (!add_one(client, &kinds[k], texts->pdata[i], added, error)) {
                take_back(client, added);
                return false;
            }
        }
    }
    return true;
}

/* ---- definitions ---- */

/* The id of what the text of an option says; the caller's. */
static char *id_in(const char *text, const struct Kind *kind)
{
    g_autoptr(Json) json = keyval_parse(text, kind->implied, NULL);

    return g_strdup(reply_text(json, kind->id));
}

static bool check_unique(const Options *options, GError **error)
{
    for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        const GPtrArray *texts = texts_of(options, k);

        for (guint i = 0; i < texts->len; i++) {
            char *id = id_in(texts->pdata[i], &kinds[k]);

            if (id && g_hash_table_contains(seen, id)) {
                error_set(error, "The definition has a %s '%s' already", kinds[k].group, id);
                g_free(id);
                return false;
            }
            if (id) {
                g_hash_table_add(seen, id);
            }
        }
    }
    return true;
}

/* What the definition is to become; *ret_before: what it is.  Both are the caller's. */
static char *joined_definition(const Dom *dom, const char *file, char **ret_before, GError **error)
{
    g_autofree char *more = NULL, *text = NULL;
    Options options;
    bool ok;

    *ret_before = definition_read(dom->name, error);
    if (!*ret_before || !g_file_get_contents(file, &more, NULL, error)) {
        return NULL;
    }
    text = groups_join(*ret_before, more);
    if (!definition_parse_text(text, file, &options, error)) {
        return NULL;
    }
    ok = check_unique(&options, error);
    options_clear(&options);
    return ok ? g_steal_pointer(&text) : NULL;
}

/* ---- attach-device ---- */

static bool check_attachable(const Options *o, const Scope *scope, GError **error)
{
    if (scope->live && (o->chardevs->len || o->drives->len)) {
        error_set(error, "A [%s] cannot be attached to a running domain", o->drives->len ? "drive" : "chardev");
        return error_hint(error, "Use [blockdev] for a disk, and lodgectl qmp with chardev-add for a character device.");
    }
    return o->objects->len || o->blockdevs->len || o->devices->len || (!scope->live && o->chardevs->len) ||
           error_set(error, "There is nothing to attach: neither [object] nor [blockdev] nor [device]");
}

static bool attach_live(const Dom *dom, const Options *options, GError **error)
{
    g_autoptr(Client) client = dom_connect(dom, DOM_TIMEOUT_MS, error);

    return client && add_all(client, options, error);
}

/* The definition is changed last, as the guest can refuse; whether it can be, is looked at first. */
static bool attach_to(const Dom *dom, const Scope *scope, const char *file, const Options *options, GError **error)
{
    g_autofree char *before = NULL;
    g_autofree char *text = scope->config ? joined_definition(dom, file, &before, error) : NULL;

    return (!scope->config || text) && (!scope->live || attach_live(dom, options, error)) &&
           (!scope->config || definition_replace(dom->name, before, text, file, error));
}

static bool attach_device(const Cmd *cmd, GError **error)
{
    const char *file = cmd_text(cmd, "file");
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    Options options;
    Scope scope;
    bool ok;

    if (!dom || !cmd_scope(cmd, dom, &scope, error) || !definition_parse(file, &options, error)) {
        return false;
    }
    ok = check_attachable(&options, &scope, error) && attach_to(dom, &scope, file, &options, error);
    options_clear(&options);
    if (ok) {
        say(cmd, "Device attached successfully");
    }
    return ok;
}

/* ---- detach ---- */

static bool delete_one(Client *client, const struct Kind *kind, const char *id, uint32_t seconds, GError **error)
{
    Json *arguments;
    g_autoptr(Json) done = NULL;

    if (kind == &kinds[DEVICE]) {
        return unplug_device(client, id, seconds, error);
    }
    arguments = json_new_object();
    json_object_put_member(arguments, kind->del_id, json_new_string(id));
    done = client_run(client, kind->del, arguments, error);
    return done != NULL;
}

static bool detach_live(const Dom *dom, const GPtrArray *things, uint32_t seconds, GError **error)
{
    g_autoptr(Client) client = dom_connect(dom, DOM_TIMEOUT_MS, error);

    for (guint i = 0; client && i < things->len; i++) {
        const Added *thing = things->pdata[i];

        if (!delete_one(client, thing->kind, thing->id, seconds, error)) {
            return false;
        }
    }
    return client != NULL;
}

/* The definition without them; *ret_before as it is.  Both are the caller's. */
static char *reduced_definition(const Dom *dom, const GPtrArray *things, char **ret_before, GError **error)
{
    g_autofree char *text = NULL;

    *ret_before = definition_read(dom->name, error);
    text = g_strdup(*ret_before);
    for (guint i = 0; text && i < things->len; i++) {
        const Added *thing = things->pdata[i];
        char *rest = groups_without(text, thing->kind->group, thing->kind->id, thing->id);

        if (!rest) {
            error_set(error, "The definition of domain '%s' has no %s '%s'", dom->name, thing->kind->group, thing->id);
            return NULL;
        }
        g_free(text);
        text = rest;
    }
    return g_steal_pointer(&text);
}

/* What is to go, in the order in which it can: devices, block nodes, objects. */
static bool list_things(const char *what, GPtrArray *things, GError **error)
{
    Options options;
    Added *a;

    if (!strchr(what, '/') && !g_str_has_suffix(what, ".conf")) {
        a = g_new(Added, 1);
        *a = (Added) { &kinds[DEVICE], g_strdup(what) };
        g_ptr_array_add(things, a);
        return true;
    }
    if (!definition_parse(what, &options, error)) {
        return false;
    }
    for (size_t k = G_N_ELEMENTS(kinds); k > 0; k--) {
        const GPtrArray *texts = texts_of(&options, k - 1);

        for (guint i = texts->len; i > 0; i--) {
            g_autofree char *id = id_in(texts->pdata[i - 1], &kinds[k - 1]);

            if (id) {
                a = g_new(Added, 1);
                *a = (Added) { &kinds[k - 1], g_steal_pointer(&id) };
                g_ptr_array_add(things, a);
            }
        }
    }
    options_clear(&options);
    return things->len || error_set(error, "'%s' names nothing by an id", what);
}

static bool detach_device(const Cmd *cmd, GError **error)
{
    g_autoptr(GPtrArray) things = g_ptr_array_new_with_free_func(added_free);
    uint32_t seconds = cmd_number(cmd, "timeout", UNPLUG_PATIENCE_S);
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    g_autofree char *before = NULL, *text = NULL;
    Scope scope;

    if (!dom || !cmd_scope(cmd, dom, &scope, error) || !list_things(cmd_text(cmd, "device"), things, error)) {
        return false;
    }
    text = scope.config ? reduced_definition(dom, things, &before, error) : NULL;
    if ((scope.config && !text) || (scope.live && !detach_live(dom, things, seconds, error)) ||
        (scope.config && !definition_replace(dom->name, before, text, "what is left", error))) {
        return false;
    }
    say(cmd, "Device detached successfully");
    return true;
}

const Verb attach_verbs[] = {
    { "attach-device", ARGS(ARG_DOMAIN(OF_DOMAIN), { "file", ARG_TEXT, true, OF_FILE,
                            "A file with [object], [blockdev] and [device] as in a definition" }, SCOPE_ARGS),
      attach_device, "Give a domain a device", "All of the file, or nothing. A guest needs a free PCI Express root port." },
    { "detach-device", ARGS(ARG_DOMAIN(OF_DOMAIN), { "device", ARG_TEXT, true, OF_FILE,
                            "Its id, or the file it was attached by: a name with / or .conf" },
                            { "timeout", ARG_NUMBER, .help = "Seconds for the guest to let go of it (20)" }, SCOPE_ARGS),
      detach_device, "Take a device from a domain",
      "A running guest is asked to let go of it. By its id the device alone goes; by the file also what stands behind it." },
    { NULL },
};
