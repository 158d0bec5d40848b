/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Short forms: -nic (a backend and a NIC in one), -net (NICs and backends that all meet at hub 0), as
 * QEMU's users type them.
 *
 *   -nic user,model=virtio-net-pci,mac=...,hostfwd=...    netdev nicN, a device on it
 *   -net nic,model=,macaddr=,netdev=,id=,addr=,vectors=   hub port hub0portN, a device on it
 *   -net user,...                                         netdev netN, hub port hub0portN on it
 *
 * Both are read twice: for the backend, and when the machine is there for the device.  Main thread.
 */
#include <string.h>

#include "net/netdev-options.h"
#include "vmm/error.h"
#include "vmm/json.h"
#include "vmm/machine.h"

/* What is the device's, not the backend's. */
static const char *const nic_keys[] = { "addr", "mac", "macaddr", "model", "vectors", NULL };

static const char *text_of(const Json *json, const char *name)
{
    const Json *value = json_object_get_member(json, name);

    return value && json_type_of(value) == JSON_STRING ? json_get_string(value) : NULL;
}

/* Of -net. */
static bool is_nic(const Json *json)
{
    return g_strcmp0(text_of(json, "type"), "nic") == 0;
}

static void put(Json *json, const char *name, const char *value)
{
    if (value) {
        json_object_put_member(json, name, json_new_string(value));
    }
}

/* ---- devices ---- */

static bool plug(Domain *domain, const Json *from, const char *netdev, GError **error)
{
    g_autoptr(Json) options = json_new_object();
    bool pci = domain_machine(domain)->class->has_pci;
    const char *model = text_of(from, "model");

    if (!model || g_str_equal(model, "virtio")) {
        model = pci ? "virtio-net-pci" : "virtio-net-device";
    }
    put(options, "driver", model);
    put(options, "id", is_nic(from) ? text_of(from, "id") : NULL); /* -nic's is the backend's */
    put(options, "netdev", netdev);
    put(options, "mac", text_of(from, "mac") ? text_of(from, "mac") : text_of(from, "macaddr"));
    put(options, "addr", text_of(from, "addr"));
    put(options, "vectors", text_of(from, "vectors"));
    return device_add(domain, options, error) != NULL;
}

/* ---- help ---- */

static void add_model(const DeviceClass *class, void *opaque)
{
    if (!class->abstract && !class->board_only && g_strcmp0(class->category, "Network") == 0) {
        g_string_append_printf(opaque, "  %s\n", class->name);
    }
}

bool nic_help(const char *type, GString *out, GError **error)
{
    g_string_append(out, "Models (model=MODEL; -device MODEL,help lists their properties):\n");
    device_class_each(add_model, out);
    return !type || g_str_equal(type, "nic") || g_str_equal(type, "none") || netdev_help(type, out, error);
}

/* ---- backends ---- */

static bool copy_member(const char *name, Json *value, void *into)
{
    if (!g_strv_contains(nic_keys, name)) {
        json_object_put_member(into, name, json_ref(value));
    }
    return true;
}

static bool add_backend(Domain *domain, const Json *from, const char *id, GError **error)
{
    g_autoptr(Json) options = json_new_object();

    json_object_each(from, copy_member, options);
    put(options, "id", id);
    return netdev_add(domain, options, true, error);
}

/* ---- -nic ---- */

static char *nic_netdev(const Json *json, unsigned n)
{
    return text_of(json, "id") ? g_strdup(text_of(json, "id")) : g_strdup_printf("nic%u", n);
}

/* Each -nic is read twice: for its backend, and, once there are buses, for its device. */
static bool read_nic(Domain *domain, unsigned n, const char *text,
                     bool (*fn)(Domain *domain, const Json *nic, const char *netdev, GError **error), GError **error)
{
    g_autoptr(Json) json = NULL;
    g_autofree char *id = NULL;

    if (g_str_equal(text, "none")) {
        return true;
    }
    json = netdev_json_from_text(text, error);
    id = json ? nic_netdev(json, n) : NULL;
    return json && fn(domain, json, id, error);
}

bool net_add_nic(Domain *domain, unsigned n, const char *text, GError **error)
{
    return read_nic(domain, n, text, add_backend, error);
}

bool net_plug_nic(Domain *domain, unsigned n, const char *text, GError **error)
{
    return read_nic(domain, n, text, plug, error);
}

/* ---- -net ---- */

static bool check_nic_key(const char *name, Json *value, void *opaque)
{
    GError **error = opaque;

    return g_strv_contains(nic_keys, name) || g_str_equal(name, "type") || g_str_equal(name, "netdev") ||
           g_str_equal(name, "id") ||
           error_set(error, "Parameter '%s' is unknown", name);
}

static bool add_port(Domain *domain, unsigned n, char *netdev, GError **error)
{
    g_autofree char *id = g_strdup_printf("hub0port%u", n);
    const NetHubOptions options = { .hub = 0, .netdev = netdev };

    return netdev_create(domain, id, &net_hubport_class, &options, error) != NULL;
}

bool net_add_net(Domain *domain, unsigned n, const char *text, GError **error)
{
    g_autoptr(Json) json = NULL;
    g_autofree char *id = NULL;

    if (g_str_equal(text, "none")) {
        return true;
    }
    json = netdev_json_from_text(text, error);
    if (!json) {
        return false;
    }
    if (is_nic(json)) {
        return json_object_each(json, check_nic_key, error) &&
               (text_of(json, "netdev") || add_port(domain, n, NULL, error));
    }
    id = text_of(json, "id") ? g_strdup(text_of(json, "id")) : g_strdup_printf("net%u", n);
    return add_backend(domain, json, id, error) && add_port(domain, n, id, error);
}

bool net_plug_net(Domain *domain, unsigned n, const char *text, GError **error)
{
    g_autoptr(Json) json = NULL;
    g_autofree char *port = g_strdup_printf("hub0port%u", n);

    if (g_str_equal(text, "none")) {
        return true;
    }
    json = netdev_json_from_text(text, error);
    if (!json || !is_nic(json)) {
        return json != NULL;
    }
    return plug(domain, json, text_of(json, "netdev") ? text_of(json, "netdev") : port, error);
}
