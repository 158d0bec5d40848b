/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/tuning.h.
 */
#include "tools/lodgectl/tuning.h"

#include <errno.h>
#include <unistd.h>

#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/scheduler.h"
#include "tools/lodgectl/domain-threads.h"
#include "vmm/error.h"

/* ---- the file ---- */

static char *path_of(const char *name)
{
    g_autofree char *config = registry_config();
    g_autofree char *file = g_strconcat(name, ".conf", NULL);

    return config ? g_build_filename(config, "tuning", file, NULL) : NULL;
}

GKeyFile *tuning_read(const char *name, GError **error)
{
    GKeyFile *file = g_key_file_new();
    g_autofree char *path = path_of(name);
    g_autoptr(GError) wrong = NULL;

    if (path && !g_key_file_load_from_file(file, path, G_KEY_FILE_KEEP_COMMENTS, &wrong) &&
        !g_error_matches(wrong, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        error_set(error, "Cannot read '%s': %s", path, wrong->message);
    }
    return file;
}

/* The lock is held. */
static bool set_locked(const char *name, const char *group, const char *key, const char *value, GError **error)
{
    g_autofree char *path = path_of(name);
    g_autofree char *at = g_path_get_dirname(path);
    g_autoptr(GError) wrong = NULL;
    g_autoptr(GKeyFile) file = tuning_read(name, &wrong);

    if (wrong) {
        g_propagate_error(error, g_steal_pointer(&wrong));
        return false;
    }
    if (value) {
        g_key_file_set_string(file, group, key, value);
    } else {
        g_key_file_remove_key(file, group, key, NULL);
    }
    if (g_mkdir_with_parents(at, 0700) < 0) {
        return error_set_errno(error, errno, "Cannot make the folder '%s'", at);
    }
    return g_key_file_save_to_file(file, path, &wrong) ||
           error_set(error, "Cannot write '%s': %s", path, wrong->message);
}

bool tuning_set(const char *name, const char *group, const char *key, const char *value, GError **error)
{
    int lock = definitions_lock(error);
    bool ok;

    if (lock < 0) {
        return false;
    }
    ok = definition_exists(name) ? set_locked(name, group, key, value, error)
                                 : error_set(error, "Domain '%s' is transient: it has no definition", name);
    close(lock);
    return ok;
}

void tuning_remove(const char *name)
{
    g_autofree char *path = path_of(name);

    if (path) {
        unlink(path);
    }
}

/* ---- at a start ---- */

static void complain(const char *name, const char *group, const char *key, const GError *wrong)
{
    say_warning("Domain '%s' runs without its %s %s: %s", name, group, key, wrong->message);
}

static bool pin_all(const GArray *tids, const cpu_set_t *set, GError **error)
{
    for (guint i = 0; i < tids->len; i++) {
        if (!thread_pin(g_array_index(tids, pid_t, i), set, error)) {
            return false;
        }
    }
    return true;
}

static bool pin_by(const Threads *t, const char *group, const char *key, const char *cpus, GError **error)
{
    bool emulator = g_str_equal(group, TUNING_EMULATOR);
    const Thread *one = emulator ? NULL : threads_find(g_str_equal(group, TUNING_VCPUS) ? t->vcpus : t->iothreads, key);
    g_autoptr(GArray) others = emulator ? threads_others(t) : NULL;
    cpu_set_t set;

    if (!cpus_parse(cpus, &set, error)) {
        return false;
    }
    if (emulator) {
        return pin_all(others, &set, error);
    }
    return one ? thread_pin(one->tid, &set, error) : error_set(error, "it has no such thread");
}

static void apply_group(const char *name, GKeyFile *file, const Threads *t, const char *group)
{
    g_auto(GStrv) keys = g_key_file_get_keys(file, group, NULL, NULL);
    bool sched = g_str_equal(group, TUNING_SCHED);

    for (char **key = keys; key && *key; key++) {
        g_autofree char *value = g_key_file_get_string(file, group, *key, NULL);
        g_autoptr(GError) wrong = NULL;

        if (!value || !(sched ? sched_set(t, *key, value, &wrong) : pin_by(t, group, *key, value, &wrong))) {
            complain(name, group, *key, wrong);
        }
    }
}

void tuning_apply(const char *name)
{
    static const char *const groups[] = { TUNING_EMULATOR, TUNING_VCPUS, TUNING_IOTHREADS, TUNING_SCHED };
    g_autoptr(GError) wrong = NULL;
    g_autoptr(GKeyFile) file = tuning_read(name, &wrong);
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Threads) t = NULL;

    if (wrong) {
        complain(name, "tuning", "", wrong);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(groups); i++) {
        if (!g_key_file_has_group(file, groups[i])) {
            continue;
        }
        if (!t) {
            dom = domains_named(name);
            t = dom ? threads_new(dom, &wrong) : NULL;
        }
        if (t) {
            apply_group(name, file, t, groups[i]);
        }
    }
    if (wrong) {
        complain(name, "tuning", "", wrong);
    }
}
