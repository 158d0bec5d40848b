/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * schedinfo: which share of the host's CPUs a domain gets (scheduler.h).
 */
#include <stdio.h>
#include <string.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/scheduler.h"
#include "tools/lodgectl/tuning.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

static void print_value(const char *name, const char *value)
{
    g_autofree char *clean = clean_text(value, "");

    printf("%-15s: %s\n", name, clean);
}

static void show_live(const Threads *t)
{
    g_autofree char *means = sched_means(t);

    print_value("Scheduler", "posix");
    print_value("Means", means);
    for (size_t i = 0; sched_names[i]; i++) {
        g_autofree char *value = sched_get(t, sched_names[i]);

        if (value) {
            print_value(sched_names[i], value);
        }
    }
    puts("");
}

static bool show_config(const Dom *dom, GError **error)
{
    g_autoptr(GError) wrong = NULL;
    g_autoptr(GKeyFile) file = tuning_read(dom->name, &wrong);

    if (wrong) {
        g_propagate_error(error, g_steal_pointer(&wrong));
        return false;
    }
    print_value("Scheduler", "posix");
    for (size_t i = 0; sched_names[i]; i++) {
        g_autofree char *value = g_key_file_get_string(file, TUNING_SCHED, sched_names[i], NULL);

        print_value(sched_names[i], value ? value : "not set");
    }
    puts("");
    return true;
}

/* "cpu_shares=200" in two; the caller's. */
static char **split(const char *word, GError **error)
{
    char **pair = g_strsplit(word, "=", 2);

    if (g_strv_length(pair) == 2 && sched_check(pair[0], pair[1], error)) {
        return pair;
    }
    if (g_strv_length(pair) != 2) {
        error_set(error, "'%s' is no PARAMETER=VALUE", word);
    }
    g_strfreev(pair);
    return NULL;
}

/* All are looked at before the first is set. */
static bool set_all(const Cmd *cmd, const Dom *dom, const Scope *scope, const Threads *t, GError **error)
{
    g_autoptr(GPtrArray) pairs = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);

    for (guint i = 0; i < cmd->list->len; i++) {
        char **pair = split(cmd->list->pdata[i], error);

        if (!pair) {
            return false;
        }
        g_ptr_array_add(pairs, pair);
    }
    for (guint i = 0; i < pairs->len; i++) {
        char **pair = pairs->pdata[i];

        if ((t && !sched_set(t, pair[0], pair[1], error)) ||
            (scope->config && !tuning_set(dom->name, TUNING_SCHED, pair[0], pair[1], error))) {
            return false;
        }
    }
    return true;
}

static bool schedinfo(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    g_autoptr(Threads) t = NULL;
    Scope scope;

    if (!dom || !cmd_scope(cmd, dom, &scope, error)) {
        return false;
    }
    t = scope.live ? threads_new(dom, error) : NULL;
    if ((scope.live && !t) || !set_all(cmd, dom, &scope, t, error)) {
        return false;
    }
    if (t) {
        show_live(t);
        return true;
    }
    return show_config(dom, error);
}

const Verb sched_verbs[] = {
    { "schedinfo", ARGS(ARG_DOMAIN(OF_DOMAIN), { "set", ARG_LIST, .help = "PARAMETER=VALUE; not given: show" },
                        SCOPE_ARGS),
      schedinfo, "Show or say which share of the host's CPUs a domain gets",
      "cpu_shares is a weight from 1 to 10000 (100 where nothing was set); the periods and quotas of virtual CPUs, I/O "
      "threads, the other threads (emulator) and the whole (global) are in us, and a quota of -1 is no limit. They are "
      "set through a group of cgroup v2 where one is delegated, as to the unit lodge@NAME; elsewhere cpu_shares alone, "
      "through nice values, to the nearest of them. \"Means\" says which. A virtual CPU that is plugged later is among "
      "the other threads until something is set again." },
    { NULL },
};
