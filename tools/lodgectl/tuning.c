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

/* ---- at a hot plug ---- */

static bool is_one_of(const GPtrArray *labels, const char *label)
{
    for (guint i = 0; i < labels->len; i++) {
        if (g_str_equal(labels->pdata[i], label)) {
            return true;
        }
    }
    return false;
}

static void add_affinity(cpu_set_t *place, pid_t tid)
{
    cpu_set_t set;

    if (sched_getaffinity(tid, sizeof(set), &set) == 0) {
        CPU_OR(place, place, &set);
    }
}

/* Wherever a thread of the domain may run, but for these vCPUs. */
static cpu_set_t usual_place(const Threads *t, const GPtrArray *labels)
{
    g_autoptr(GArray) others = threads_others(t);
    cpu_set_t place;

    CPU_ZERO(&place);
    for (guint i = 0; i < t->vcpus->len; i++) {
        const Thread *vcpu = &g_array_index(t->vcpus, Thread, i);

        if (!is_one_of(labels, vcpu->label)) {
            add_affinity(&place, vcpu->tid);
        }
    }
    for (guint i = 0; i < others->len; i++) {
        add_affinity(&place, g_array_index(others, pid_t, i));
    }
    return place;
}

void tuning_apply_to_new_vcpus(const Dom *dom, const GPtrArray *labels)
{
    g_autoptr(GKeyFile) file = tuning_read(dom->name, NULL);
    g_autoptr(Threads) t = threads_new(dom, NULL);
    cpu_set_t place;

    if (!t) {
        return; /* it has just ended */
    }
    place = usual_place(t, labels);
    for (guint i = 0; i < labels->len; i++) {
        const char *label = labels->pdata[i];
        g_autofree char *cpus = g_key_file_get_string(file, TUNING_VCPUS, label, NULL);
        const Thread *vcpu = threads_find(t->vcpus, label);
        g_autoptr(GError) wrong = NULL;

        if (vcpu && !(cpus ? pin_by(t, TUNING_VCPUS, label, cpus, &wrong) : thread_pin(vcpu->tid, &place, &wrong))) {
            complain(dom->name, TUNING_VCPUS, label, wrong);
        }
    }
}
