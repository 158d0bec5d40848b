/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's network interfaces: domiflist.  Of one that runs, they are the devices in QMP's object tree that have a
 * netdev and a MAC address; of another, those of its definition.
 */
#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/devices.h"
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

static void look_at(Client *client, const LiveDevice *device, void *table)
{
    static const char *const members[] = { "mac", "netdev", NULL };
    g_autofree char *mac = NULL, *netdev = NULL;

    if (live_device_has(client, device, members)) {
        mac = live_device_text(client, device, "mac");
        netdev = live_device_text(client, device, "netdev");
        add_nic(table, device->id, netdev, device->model, mac);
    }
}

static bool list_live(const Dom *dom, Table *table, GError **error)
{
    g_autoptr(Client) client = dom_connect(dom, DOM_TIMEOUT_MS, error);

    return client && live_devices_each(client, look_at, table, error);
}

/* ---- one that does not ---- */

/* -device: each that has a netdev. */
static void add_devices(const Options *options, Table *table)
{
    for (guint i = 0; i < options->devices->len; i++) {
        g_autoptr(Json) json = keyval_parse(options->devices->pdata[i], "driver", NULL);

        if (reply_text(json, "netdev")) {
            add_nic(table, reply_text(json, "id"), reply_text(json, "netdev"), reply_text(json, "driver"),
                    reply_text(json, "mac"));
        }
    }
}

/* -nic, and -net nic: NICs whose backend has no name before they are made. */
static void add_nics(const GPtrArray *texts, bool is_net, Table *table)
{
    for (guint i = 0; i < texts->len; i++) {
        g_autoptr(Json) json = keyval_parse(texts->pdata[i], "type", NULL);
        const char *type = reply_text(json, "type");

        if (type && g_str_equal(type, "nic") == is_net && !g_str_equal(type, "none")) {
            add_nic(table, NULL, reply_text(json, is_net ? "netdev" : "id"), reply_text(json, "model"),
                    reply_text(json, is_net ? "macaddr" : "mac"));
        }
    }
}

static bool list_defined(const Dom *dom, Table *table, GError **error)
{
    Options options;

    if (!definition_load(dom->name, &options, error)) {
        return false;
    }
    add_devices(&options, table);
    add_nics(options.nics, false, table);
    add_nics(options.nets, true, table);
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
