/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/unplug.h.
 */
#include "tools/lodgectl/unplug.h"

#include "tools/lodgectl/reply.h"
#include "vmm/error.h"

#define STEP_MS 200

/* true: it is gone, or *error says why it stays. */
static bool is_decided(const Json *event, const char *id, GError **error)
{
    const char *name = reply_text(event, "event");
    const Json *data = reply_member(event, "data", JSON_OBJECT);

    if (!name || (g_strcmp0(reply_text(data, "device"), id) != 0 && g_strcmp0(reply_text(data, "path"), id) != 0)) {
        return false;
    }
    if (g_str_equal(name, "DEVICE_UNPLUG_GUEST_ERROR")) {
        error_set(error, "The guest does not let go of device '%s'", id);
        return true;
    }
    return g_str_equal(name, "DEVICE_DELETED");
}

static bool wait_until_gone(Client *client, const char *id, uint32_t seconds, GError **error)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t)seconds * G_USEC_PER_SEC;
    g_autoptr(GError) refused = NULL;

    while (g_get_monotonic_time() < deadline) {
        g_autoptr(Json) event = NULL;

        if (!client_event(client, STEP_MS, &event, error)) {
            return false;
        }
        if (is_decided(event, id, &refused)) {
            if (refused) {
                g_propagate_error(error, g_steal_pointer(&refused));
                return false;
            }
            return true;
        }
    }
    error_set(error, "The guest has not let go of device '%s' within %u s", id, seconds);
    return error_hint(error, "It may still do so; lodgectl event tells.");
}

bool unplug_device(Client *client, const char *id, uint32_t seconds, GError **error)
{
    Json *arguments = json_new_object();
    g_autoptr(Json) done = NULL;

    json_object_put_member(arguments, "id", json_new_string(id));
    done = client_run(client, "device_del", arguments, error);
    return done && wait_until_gone(client, id, seconds, error);
}
