/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/devices.h.
 */
#include "tools/lodgectl/devices.h"

#include <string.h>

#include "tools/lodgectl/reply.h"
#include "vmm/error.h"

static Json *ask(Client *client, const char *command, const char *path, const char *property, GError **error)
{
    Json *arguments = json_new_object();

    json_object_put_member(arguments, "path", json_new_string(path));
    if (property) {
        json_object_put_member(arguments, "property", json_new_string(property));
    }
    return client_run(client, command, arguments, error);
}

/* "child<virtio-net-pci>"; the caller's, NULL: it is no child. */
static char *child_class(const char *type)
{
    size_t length = type ? strlen(type) : 0;

    return length > 7 && g_str_has_prefix(type, "child<") ? g_strndup(type + 6, length - 7) : NULL;
}

bool live_devices_each(Client *client, void (*fn)(Client *client, const LiveDevice *device, void *opaque), void *opaque,
                       GError **error)
{
    static const char *const folders[] = { "/machine/peripheral", "/machine/peripheral-anon" };

    for (size_t k = 0; k < G_N_ELEMENTS(folders); k++) {
        g_autoptr(GError) wrong = NULL;
        g_autoptr(Json) children = ask(client, "qom-list", folders[k], NULL, &wrong);

        if (wrong && !g_str_equal(error_class_name(wrong), "DeviceNotFound")) { /* an empty folder may be none */
            g_propagate_error(error, g_steal_pointer(&wrong));
            return false;
        }
        for (size_t i = 0; i < reply_length(children); i++) {
            const char *name = reply_text(json_array_get(children, i), "name");
            g_autofree char *model = child_class(reply_text(json_array_get(children, i), "type"));
            g_autofree char *path = g_strdup_printf("%s/%s", folders[k], name ? name : "");

            if (name && model) {
                fn(client, &(LiveDevice) { path, k == 0 ? name : NULL, model }, opaque);
            }
        }
    }
    return true;
}

static bool is_listed(const Json *list, const char *name)
{
    for (size_t i = 0; i < reply_length(list); i++) {
        const char *text = reply_text(json_array_get(list, i), "name");

        if (text && g_str_equal(text, name)) {
            return true;
        }
    }
    return false;
}

bool live_device_has(Client *client, const LiveDevice *device, const char *const *names)
{
    g_autoptr(Json) list = ask(client, "qom-list", device->path, NULL, NULL);

    for (; list && *names; names++) {
        if (!is_listed(list, *names)) {
            return false;
        }
    }
    return list != NULL;
}

char *live_device_text(Client *client, const LiveDevice *device, const char *property)
{
    g_autoptr(Json) value = ask(client, "qom-get", device->path, property, NULL);

    return value && json_type_of(value) == JSON_STRING ? g_strdup(json_get_string(value)) : NULL;
}
