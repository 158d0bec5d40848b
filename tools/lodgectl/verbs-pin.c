/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * On which CPUs of the host threads of a domain run: vcpupin, emulatorpin, iothreadpin.  Affinity is set from outside
 * (sched_setaffinity(2)), so it lasts as long as the thread; what holds from the next start on is kept by tuning.h.
 */
#include <stdio.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/domain-threads.h"
#include "tools/lodgectl/tuning.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

/* The three verbs in one: what is pinned, and what its key is called. */
typedef struct Kind { const char *group, *arg, *heading; } Kind;
static const Kind vcpu_kind = { TUNING_VCPUS, "vcpu", "VCPU" };
static const Kind iothread_kind = { TUNING_IOTHREADS, "iothread", "IOThread" };
static const Kind emulator_kind = { TUNING_EMULATOR, NULL, "emulator" };

/* ---- showing ---- */

static void show_config(const Kind *kind, GKeyFile *file)
{
    g_auto(GStrv) keys = g_key_file_get_keys(file, kind->group, NULL, NULL);
    Table *table = table_new(2, kind->heading, "CPU Affinity");

    for (char **key = keys; key && *key; key++) {
        g_autofree char *cpus = g_key_file_get_string(file, kind->group, *key, NULL);

        table_row(table, *key, cpus ? cpus : "-");
    }
    table_print(table);
}

static void show_live(const Kind *kind, const Threads *t)
{
    const GArray *list = kind == &vcpu_kind ? t->vcpus : t->iothreads;
    Table *table = table_new(2, kind->heading, "CPU Affinity");

    for (guint i = 0; kind != &emulator_kind && i < list->len; i++) {
        const Thread *thread = &g_array_index(list, Thread, i);
        g_autofree char *cpus = thread_affinity(thread->tid);

        table_row(table, thread->label, cpus);
    }
    if (kind == &emulator_kind) {
        g_autofree char *cpus = thread_affinity(t->pid);

        table_row(table, "*", cpus);
    }
    table_print(table);
}

static bool show(const Kind *kind, const Dom *dom, const Scope *scope, GError **error)
{
    g_autoptr(GError) wrong = NULL;
    g_autoptr(GKeyFile) file = scope->config ? tuning_read(dom->name, &wrong) : NULL;
    g_autoptr(Threads) t = scope->live ? threads_new(dom, error) : NULL;

    if (wrong) {
        g_propagate_error(error, g_steal_pointer(&wrong));
        return false;
    }
    if (scope->live && !t) {
        return false;
    }
    if (t) {
        show_live(kind, t);
    }
    if (file) {
        show_config(kind, file);
    }
    return true;
}

/* ---- pinning ---- */

static bool pin_others(const Threads *t, const cpu_set_t *set, GError **error)
{
    g_autoptr(GArray) tids = threads_others(t);

    for (guint i = 0; i < tids->len; i++) {
        pid_t tid = g_array_index(tids, pid_t, i);
        g_autoptr(GError) wrong = NULL;

        if (!thread_pin(tid, set, &wrong) && tid == t->pid) { /* another may have ended */
            g_propagate_error(error, g_steal_pointer(&wrong));
            return false;
        }
    }
    return true;
}

static bool pin_live(const Kind *kind, const Dom *dom, const char *which, const cpu_set_t *set, GError **error)
{
    g_autoptr(Threads) t = threads_new(dom, error);
    const Thread *thread;

    if (!t) {
        return false;
    }
    if (kind == &emulator_kind) {
        return pin_others(t, set, error);
    }
    thread = threads_find(kind == &vcpu_kind ? t->vcpus : t->iothreads, which);
    if (!thread) {
        error_set(error, "Domain '%s' has no %s '%s' to be pinned", dom->name, kind->heading, which);
        return error_hint(error, "lodgectl %s DOMAIN shows those it has.", kind->group);
    }
    return thread_pin(thread->tid, set, error);
}

/* A key of the file cannot be anything; of a definition we do not know how many CPUs it will have. */
static bool check_which(const Kind *kind, const char *which, GError **error)
{
    guint64 n;

    if (kind == &vcpu_kind && !g_ascii_string_to_unsigned(which, 10, 0, CPU_SETSIZE - 1, &n, NULL)) {
        return error_set(error, "'%s' is no number of a virtual CPU", which);
    }
    return kind == &vcpu_kind || kind == &emulator_kind ||
           (*which && !which[strspn(which, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._")]) ||
           error_set(error, "'%s' is no id of an I/O thread", which);
}

static bool pin(const Cmd *cmd, const Kind *kind, GError **error)
{
    const char *which = kind->arg ? cmd_text(cmd, kind->arg) : "*", *cpus = cmd_text(cmd, "cpulist");
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    g_autofree char *text = NULL;
    cpu_set_t set;
    Scope scope;

    if (!dom || !cmd_scope(cmd, dom, &scope, error)) {
        return false;
    }
    if (!cpus) {
        return (!kind->arg || !which) ? show(kind, dom, &scope, error) : error_set(error, "The list of CPUs is missing");
    }
    if (!which) {
        return error_set(error, "--cpulist is there, and --%s is missing", kind->arg);
    }
    if (!cpus_parse(cpus, &set, error) || !check_which(kind, which, error)) {
        return false;
    }
    text = cpus_format(&set);
    return (!scope.live || pin_live(kind, dom, which, &set, error)) &&
           (!scope.config || tuning_set(dom->name, kind->group, which, g_str_equal(cpus, "r") ? NULL : text, error)) &&
           puts("") >= 0;
}

static bool vcpupin(const Cmd *cmd, GError **error)
{
    return pin(cmd, &vcpu_kind, error);
}

static bool iothreadpin(const Cmd *cmd, GError **error)
{
    return pin(cmd, &iothread_kind, error);
}

static bool emulatorpin(const Cmd *cmd, GError **error)
{
    return pin(cmd, &emulator_kind, error);
}

#define CPULIST { "cpulist", ARG_TEXT, .help = "CPUs of the host, as 0-3,^2,7, or r for all; not given: show" }
const Verb pin_verbs[] = {
    { "vcpupin", ARGS(ARG_DOMAIN(OF_DOMAIN), { "vcpu", ARG_TEXT, .help = "Number of the virtual CPU" }, CPULIST,
                      SCOPE_ARGS),
      vcpupin, "Show or say on which CPUs of the host a virtual CPU runs" },
    { "emulatorpin", ARGS(ARG_DOMAIN(OF_DOMAIN), CPULIST, SCOPE_ARGS), emulatorpin,
      "Show or say on which CPUs of the host the other threads of a domain run" },
    { "iothreadpin", ARGS(ARG_DOMAIN(OF_DOMAIN), { "iothread", ARG_TEXT, .help = "Id of the I/O thread" }, CPULIST,
                          SCOPE_ARGS),
      iothreadpin, "Show or say on which CPUs of the host an I/O thread runs" },
    { NULL },
};
