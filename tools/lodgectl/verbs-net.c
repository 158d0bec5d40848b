/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's network interfaces: domiflist.  Of one that runs, they are the devices in QMP's object tree that have a
 * netdev and a MAC address; of another, those of its definition.
 */
#include <stdio.h>
#include <string.h>

#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

static void add_nic(Table *table, const char *id, const char *source, const char *model, const char *mac)
{
    table_row(table, id ? id : "-", source ? source : "-", model ? model : "-", mac ? mac : "-");
}

/* ---- one that runs ---- */

static Json *ask(Client *client, const char *command, const char *path, const char *property, GError **error)
{
    Json *arguments = json_new_object();

    json_object_put_member(arguments, "path", json_new_string(path));
    if (property) {
        json_object_put_member(arguments, "property", json_new_string(property));
    }
    return client_run(client, command, arguments, error);
}

static bool has_property(const Json *list, const char *name)
{
    for (size_t i = 0; i < reply_length(list); i++) {
        const char *text = reply_text(json_array_get(list, i), "name");

        if (text && g_str_equal(text, name)) {
            return true;
        }
    }
    return false;
}

/* "child<virtio-net-pci>"; the caller's, NULL: it is no child. */
static char *child_class(const char *type)
{
    size_t length = type ? strlen(type) : 0;

    return length > 7 && g_str_has_prefix(type, "child<") ? g_strndup(type + 6, length - 7) : NULL;
}

static void look_at(Client *client, const char *folder, const Json *child, Table *table)
{
    const char *name = reply_text(child, "name");
    g_autofree char *model = child_class(reply_text(child, "type"));
    g_autofree char *path = g_strdup_printf("%s/%s", folder, name ? name : "");
    g_autoptr(Json) properties = model && name ? ask(client, "qom-list", path, NULL, NULL) : NULL;
    g_autoptr(Json) mac = NULL, netdev = NULL;

    if (!has_property(properties, "mac") || !has_property(properties, "netdev")) {
        return;
    }
    mac = ask(client, "qom-get", path, "mac", NULL);
    netdev = ask(client, "qom-get", path, "netdev", NULL);
    add_nic(table, g_str_has_suffix(folder, "anon") ? NULL : name,
            netdev && json_type_of(netdev) == JSON_STRING ? json_get_string(netdev) : NULL, model,
            mac && json_type_of(mac) == JSON_STRING ? json_get_string(mac) : NULL);
}

static bool list_live(const Dom *dom, Table *table, GError **error)
{
    static const char *const folders[] = { "/machine/peripheral", "/machine/peripheral-anon" };
    g_autoptr(Client) client = dom_connect(dom, DOM_TIMEOUT_MS, error);

    for (size_t k = 0; client && k < G_N_ELEMENTS(folders); k++) {
        g_autoptr(GError) wrong = NULL;
        g_autoptr(Json) children = ask(client, "qom-list", folders[k], NULL, &wrong);

        if (wrong && !g_str_equal(error_class_name(wrong), "DeviceNotFound")) { /* an empty folder may be none */
            g_propagate_error(error, g_steal_pointer(&wrong));
            return false;
        }
        for (size_t i = 0; i < reply_length(children); i++) {
            look_at(client, folders[k], json_array_get(children, i), table);
        }
    }
    return client != NULL;
}

/* ---- one that does not ---- */

static bool list_defined(const Dom *dom, Table *table, GError **error)
{
    Options options;

    if (!definition_load(dom->name, &options, error)) {
        return false;
    }
    for (guint i = 0; i < options.devices->len; i++) {
        g_autoptr(Json) json = keyval_parse(options.devices->pdata[i], "driver", NULL);

        if (reply_text(json, "netdev")) {
            add_nic(table, reply_text(json, "id"), reply_text(json, "netdev"), reply_text(json, "driver"),
                    reply_text(json, "mac"));
        }
    }
    options_clear(&options);
    return true;
}

static bool domiflist(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    Table *table;
    bool ok;

    if (!dom) {
        return false;
    }
    table = table_new(4, "Interface", "Source", "Model", "MAC");
    ok = dom->active ? list_live(dom, table, error) : list_defined(dom, table, error);
    if (ok) {
        table_print(table);
    } else {
        table_free(table);
    }
    return ok;
}

const Verb net_verbs[] = {
    { "domiflist", ARGS(ARG_DOMAIN(OF_DOMAIN)), domiflist, "List the network interfaces",
      "Interface is the id of the device, Source that of its netdev." },
    { NULL },
};
