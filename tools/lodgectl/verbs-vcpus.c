/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many CPUs a running domain has: setvcpus.  Places are filled from the first to the last, and emptied from the
 * last on; CPU 0 stays.  A CPU that is plugged in is called vcpuN, as libvirt calls it.
 */
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/tuning.h"
#include "tools/lodgectl/unplug.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

/* The domain lists its places from the last to the first. */
static const Json *place(const Json *places, size_t number)
{
    return json_array_get(places, reply_length(places) - 1 - number);
}

static const char *path_in(const Json *places, size_t number)
{
    return reply_text(place(places, number), "qom-path");
}

static size_t count_filled(const Json *places)
{
    size_t n = 0;

    for (size_t i = 0; i < reply_length(places); i++) {
        n += path_in(places, i) != NULL;
    }
    return n;
}

static bool copy_member(const char *name, Json *value, void *to)
{
    json_object_put_member(to, name, json_ref(value));
    return true;
}

static bool fill(Client *client, const Json *places, size_t number, GError **error)
{
    const char *type = reply_text(place(places, number), "type");
    const Json *props = reply_member(place(places, number), "props", JSON_OBJECT);
    g_autofree char *id = g_strdup_printf("vcpu%zu", number);
    g_autoptr(Json) done = NULL;
    Json *arguments;

    if (!type || !props) {
        return error_set(error, "The domain does not say what CPU %zu is", number);
    }
    arguments = json_new_object();
    json_object_put_member(arguments, "driver", json_new_string(type));
    json_object_put_member(arguments, "id", json_new_string(id));
    json_object_each((Json *)props, copy_member, arguments);
    done = client_run(client, "device_add", arguments, error);
    return done != NULL;
}

/* new: the numbers (char *) of what was filled. */
static bool change(Client *client, const Json *places, size_t wanted, uint32_t seconds, GPtrArray *new, GError **error)
{
    size_t have = count_filled(places);

    for (size_t i = 0; have < wanted; i++) {
        if (!path_in(places, i)) {
            if (!fill(client, places, i, error)) {
                return false;
            }
            g_ptr_array_add(new, g_strdup_printf("%zu", i));
            have++;
        }
    }
    for (size_t i = reply_length(places); have > wanted && i > 1; i--) {
        const char *path = path_in(places, i - 1);

        if (path) {
            if (!unplug_device(client, path, seconds, error)) {
                return false;
            }
            have--;
        }
    }
    return true;
}

static bool setvcpus(const Cmd *cmd, GError **error)
{
    const char *count = cmd_text(cmd, "count");
    guint64 wanted = 0;
    bool ok;
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);
    g_autoptr(GPtrArray) new = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(Json) places = client ? client_run(client, "query-hotpluggable-cpus", NULL, error) : NULL;

    if (!places) {
        return false;
    }
    if (!g_ascii_string_to_unsigned(count, 10, 1, UINT32_MAX, &wanted, NULL) || wanted > reply_length(places)) {
        error_set(error, "The domain can have 1 to %zu CPUs, not %s", reply_length(places), count);
        return wanted && error_hint(error, "Start it with a greater -smp maxcpus=.");
    }
    ok = change(client, places, (size_t)wanted, cmd_number(cmd, "timeout", UNPLUG_PATIENCE_S), new, error);
    if (new->len) {
        tuning_apply_to_new_vcpus(dom, new);
    }
    return ok;
}

const Verb vcpus_verbs[] = {
    { "setvcpus", ARGS(ARG_DOMAIN(OF_ACTIVE), { "count", ARG_TEXT, true, OF_ANY, "How many it is to have" },
                       { "live", ARG_FLAG, .help = "Those of the running domain, which is what it always does" },
                       { "timeout", ARG_NUMBER, .help = "Seconds for the guest to let go of each (20)" }),
      setvcpus, "Change the number of virtual CPUs",
      "The guest has to bring a new one online, and to let go of one that goes. A definition is not changed." },
    { NULL },
};
