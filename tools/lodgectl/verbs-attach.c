/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hot plug: attach-device, detach-device.  What is attached is written as in a definition: [object], [blockdev],
 * [device].
 */
#include <string.h>

#include "block/block.h"
#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/domains.h"
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
    return added->len || error_set(error, "There is nothing to attach: neither [object] nor [blockdev] nor [device]");
}

static bool attach_device(const Cmd *cmd, GError **error)
{
    g_autoptr(Client) client = NULL;
    Options options;
    bool ok;

    if (!definition_parse(cmd_text(cmd, "file"), &options, error)) {
        return false;
    }
    if (options.chardevs->len || options.drives->len) {
        error_set(error, "A [%s] cannot be attached", options.drives->len ? "drive" : "chardev");
        error_hint(error, "Use [blockdev] for a disk, and lodgectl qmp with chardev-add for a character device.");
        options_clear(&options);
        return false;
    }
    client = cmd_connect(cmd, NULL, error);
    ok = client && add_all(client, &options, error);
    options_clear(&options);
    if (ok) {
        say(cmd, "Device attached successfully");
    }
    return ok;
}

/* ---- detach ---- */

static bool detach_device(const Cmd *cmd, GError **error)
{
    g_autoptr(Client) client = cmd_connect(cmd, NULL, error);

    if (!client || !unplug_device(client, cmd_text(cmd, "id"), cmd_number(cmd, "timeout", UNPLUG_PATIENCE_S), error)) {
        return false;
    }
    say(cmd, "Device detached successfully");
    return true;
}

const Verb attach_verbs[] = {
    { "attach-device", ARGS(ARG_DOMAIN(OF_ACTIVE), { "file", ARG_TEXT, true, OF_ANY,
                            "A file with [object], [blockdev] and [device] as in a definition" }),
      attach_device, "Plug a device into a running domain",
      "All of the file, or nothing. A definition is not changed." },
    { "detach-device", ARGS(ARG_DOMAIN(OF_ACTIVE), { "id", ARG_TEXT, true, OF_ANY, "The id of the device" },
                            { "timeout", ARG_NUMBER, .help = "Seconds for the guest to let go of it (20)" }),
      detach_device, "Ask the guest to let go of a device, and take it out" },
    { NULL },
};
