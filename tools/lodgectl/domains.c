/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/domains.h.
 */
#include "tools/lodgectl/domains.h"

#include <string.h>

#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/managed.h"
#include "vmm/error.h"

/* ---- the list ---- */

static Dom *new_dom(const char *name, RegistryEntry *entry)
{
    Dom *dom = g_new0(Dom, 1);

    dom->name = g_strdup(name);
    dom->entry = entry;
    dom->active = entry && entry->alive;
    dom->persistent = definition_exists(name);
    dom->autostart = dom->persistent && definition_autostarts(name);
    return dom;
}

void dom_free(Dom *dom)
{
    if (dom) {
        registry_entry_free(dom->entry);
        g_free(dom->name);
        g_free(dom->uuid);
        g_free(dom);
    }
}

static GPtrArray *running(void)
{
    g_autofree char *root = registry_root();

    return registry_list(root);
}

/* The entry of that name moves to the caller; NULL: none. */
static RegistryEntry *take_entry(GPtrArray *entries, const char *name)
{
    for (guint i = 0; i < entries->len; i++) {
        if (g_str_equal(((RegistryEntry *)entries->pdata[i])->name, name)) {
            return g_ptr_array_steal_index(entries, i);
        }
    }
    return NULL;
}

GPtrArray *domains_list(void)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)dom_free);
    g_autoptr(GPtrArray) entries = running();
    g_autoptr(GPtrArray) defined = definitions_list();

    for (guint i = 0; i < entries->len;) {
        RegistryEntry *entry = entries->pdata[i];

        if (entry->alive) {
            g_ptr_array_steal_index(entries, i);
            g_ptr_array_add(all, new_dom(entry->name, entry));
        } else {
            i++;
        }
    }
    for (guint i = 0; i < defined->len; i++) {
        const char *name = defined->pdata[i];
        bool listed = false;

        for (guint k = 0; k < all->len && !listed; k++) {
            listed = g_str_equal(((Dom *)all->pdata[k])->name, name);
        }
        if (!listed) {
            g_ptr_array_add(all, new_dom(name, take_entry(entries, name)));
        }
    }
    return all;
}

const char *dom_uuid(Dom *dom)
{
    if (!dom->uuid && dom->active) {
        dom->uuid = g_strdup(dom->entry->uuid);
    }
    if (!dom->uuid && dom->persistent) {
        dom->uuid = definition_uuid(dom->name);
    }
    return dom->uuid;
}

static bool is_meant(Dom *dom, const char *text, unsigned way)
{
    guint64 id = 0;

    switch (way) {
    case 0:
        return dom->active && g_ascii_string_to_unsigned(text, 10, 1, G_MAXINT, &id, NULL) && dom->entry->id == id;
    case 1:
        return g_uuid_string_is_valid(text) && dom_uuid(dom) && g_ascii_strcasecmp(dom_uuid(dom), text) == 0;
    default:
        return g_str_equal(dom->name, text);
    }
}

/* An id is before a name, as virsh has it. */
Dom *domains_find(const char *text, GError **error)
{
    g_autoptr(GPtrArray) all = domains_list();

    for (unsigned way = 0; way < 3; way++) {
        for (guint i = 0; i < all->len; i++) {
            if (is_meant(all->pdata[i], text, way)) {
                return g_ptr_array_steal_index(all, i);
            }
        }
    }
    error_set(error, "Failed to get domain '%s': there is none of that name, id or UUID", text);
    error_hint(error, "See lodgectl list --all.");
    return NULL;
}

Dom *domains_named(const char *name)
{
    g_autoptr(GPtrArray) all = domains_list();

    for (guint i = 0; i < all->len; i++) {
        if (g_str_equal(((Dom *)all->pdata[i])->name, name)) {
            return g_ptr_array_steal_index(all, i);
        }
    }
    return NULL;
}

/* ---- of a command ---- */

bool cmd_scope(const Cmd *cmd, const Dom *dom, Scope *ret, GError **error)
{
    bool live = cmd_flag(cmd, "live"), config = cmd_flag(cmd, "config"), both = cmd_flag(cmd, "persistent");

    if (cmd_flag(cmd, "current") && (live || config || both)) {
        return error_set(error, "--current goes with neither --live nor --config nor --persistent");
    }
    if (both) {
        live = live || dom->active;
        config = true;
    } else if (!live && !config) {
        live = dom->active;
        config = !dom->active;
    }
    if (live && !dom->active) {
        return error_set(error, "Domain '%s' is not running", dom->name);
    }
    if (config && !dom->persistent) {
        error_set(error, "Domain '%s' is transient: it has no definition", dom->name);
        return error_hint(error, "lodgectl define gives it one.");
    }
    *ret = (Scope) { live, config };
    return true;
}

Dom *cmd_domain(const Cmd *cmd, GError **error)
{
    return domains_find(cmd_text(cmd, "domain"), error);
}

Client *dom_connect(const Dom *dom, unsigned timeout_ms, GError **error)
{
    g_autofree char *path = NULL;

    if (!dom->active) {
        error_set(error, "Domain '%s' is not running", dom->name);
        error_hint(error, "lodgectl start lets it run.");
        return NULL;
    }
    path = g_build_filename(dom->entry->folder, REGISTRY_CONTROL, NULL);
    return client_open(dom->name, path, timeout_ms, error);
}

Client *cmd_connect(const Cmd *cmd, Dom **ret, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    Client *client = dom ? dom_connect(dom, DOM_TIMEOUT_MS, error) : NULL;

    if (client && ret) {
        *ret = g_steal_pointer(&dom);
    }
    return client;
}

/* ---- states ---- */

/* QMP's status, and what virsh calls it (virDomainState and its reasons). */
static const struct { const char *status; DomState state; } states[] = {
    { "running", { "running", "booted", 1, 1 } },
    { "paused", { "paused", "user", 3, 1 } },
    { "prelaunch", { "paused", "starting up", 3, 11 } },
    { "debug", { "paused", "user", 3, 1 } },
    { "inmigrate", { "paused", "migrating", 3, 2 } },
    { "postmigrate", { "paused", "migrating", 3, 2 } },
    { "finish-migrate", { "paused", "migrating", 3, 2 } },
    { "restore-vm", { "paused", "starting up", 3, 11 } },
    { "save-vm", { "paused", "saving", 3, 3 } },
    { "io-error", { "paused", "I/O error", 3, 5 } },
    { "internal-error", { "paused", "unknown", 3, 0 } },
    { "watchdog", { "paused", "watchdog", 3, 6 } },
    { "colo", { "paused", "unknown", 3, 0 } },
    { "shutdown", { "in shutdown", "user", 4, 1 } },
    { "suspended", { "pmsuspended", "unknown", 7, 0 } },
    { "guest-panicked", { "crashed", "panicked", 6, 1 } },
};
static const DomState silent = { "no state", "unknown", 0, 0 }; /* it does not answer */
static const DomState off = { "shut off", "unknown", 5, 0 };
static const DomState saved = { "shut off", "saved", 5, 5 };
static const DomState killed = { "shut off", "crashed", 5, 3 };

DomState dom_state_by(Client *client)
{
    g_autoptr(Json) info = client_run(client, "query-status", NULL, NULL);
    const Json *status = info && json_type_of(info) == JSON_OBJECT ? json_object_get_member(info, "status") : NULL;

    for (size_t i = 0; status && json_type_of(status) == JSON_STRING && i < G_N_ELEMENTS(states); i++) {
        if (g_str_equal(states[i].status, json_get_string(status))) {
            return states[i].state;
        }
    }
    return silent;
}

DomState dom_state(const Dom *dom)
{
    g_autoptr(Client) client = NULL;
    g_autofree char *root = registry_root();

    if (!dom->active) {
        return dom->entry ? killed : managed_exists(dom->name) ? saved : off;
    }
    client = dom_connect(dom, DOM_STATE_TIMEOUT_MS, NULL);
    if (client) {
        return dom_state_by(client);
    }
    /* It may have ended just now. */
    return registry_is_alive(root, dom->name) ? silent : off;
}
