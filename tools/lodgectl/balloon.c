/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/balloon.h.  The balloon is found by its type, since any id, or none, may be its.
 */
#include "tools/lodgectl/balloon.h"

#include "tools/lodgectl/reply.h"
#include "vmm/error.h"

static const char *const folders[] = { "/machine/peripheral", "/machine/unattached", "/machine/peripheral-anon" };

static const struct { const char *name, *key, *member; bool bytes; } stats[] = {
    { "swap_in", "balloon.swap_in", "stat-swap-in", true },
    { "swap_out", "balloon.swap_out", "stat-swap-out", true },
    { "major_fault", "balloon.major_fault", "stat-major-faults", false },
    { "minor_fault", "balloon.minor_fault", "stat-minor-faults", false },
    { "unused", "balloon.unused", "stat-free-memory", true },
    { "available", "balloon.available", "stat-total-memory", true },
    { "usable", "balloon.usable", "stat-available-memory", true },
    { "disk_caches", "balloon.disk_caches", "stat-disk-caches", true },
    { "hugetlb_pgalloc", "balloon.hugetlb_pgalloc", "stat-htlb-pgalloc", false },
    { "hugetlb_pgfail", "balloon.hugetlb_pgfail", "stat-htlb-pgfail", false },
};

static Json *list(Client *client, const char *folder)
{
    Json *arguments = json_new_object();

    json_object_put_member(arguments, "path", json_new_string(folder));
    return client_run(client, "qom-list", arguments, NULL);
}

/* Its path, the caller's; NULL: there is none. */
static char *find(Client *client)
{
    for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autoptr(Json) items = list(client, folders[i]);

        for (size_t k = 0; k < reply_length(items); k++) {
            const char *name = reply_text(json_array_get(items, k), "name");
            const char *type = reply_text(json_array_get(items, k), "type");

            if (name && type && g_str_has_prefix(type, "child<virtio-balloon")) {
                return g_strconcat(folders[i], "/", name, NULL);
            }
        }
    }
    return NULL;
}

static Json *property_of(const char *path, const char *property)
{
    Json *arguments = json_new_object();

    json_object_put_member(arguments, "path", json_new_string(path));
    json_object_put_member(arguments, "property", json_new_string(property));
    return arguments;
}

void balloon_each_stat(Client *client, BalloonStatFn fn, void *opaque)
{
    g_autofree char *path = find(client);
    g_autoptr(Json) reply = path ? client_run(client, "qom-get", property_of(path, "guest-stats"), NULL) : NULL;
    const Json *told = reply_member(reply, "stats", JSON_OBJECT);
    int64_t n;

    for (size_t i = 0; told && i < G_N_ELEMENTS(stats); i++) {
        if (reply_int(told, stats[i].member, &n) && n >= 0) { /* -1: the guest does not tell */
            fn(stats[i].name, stats[i].key, stats[i].bytes ? n / 1024 : n, opaque);
        }
    }
    if (told && reply_int(reply, "last-update", &n)) {
        fn("last_update", "balloon.last-update", n, opaque);
    }
}

bool balloon_set_period(Client *client, uint32_t seconds, GError **error)
{
    g_autofree char *path = find(client);
    g_autoptr(Json) done = NULL;
    Json *arguments;

    if (!path) {
        error_set(error, "The domain has no balloon");
        return error_hint(error, "Add one with -device virtio-balloon-pci.");
    }
    arguments = property_of(path, "guest-stats-polling-interval");
    json_object_put_member(arguments, "value", json_new_int(seconds));
    done = client_run(client, "qom-set", arguments, error);
    return done != NULL;
}
