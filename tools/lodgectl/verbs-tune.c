/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a running domain gets of the host: vcpupin, emulatorpin, iothreadpin (the affinity of its threads), setmem (the
 * balloon).  Affinity is set from outside (sched_setaffinity(2)), so it lasts as long as the thread.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/process.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

/* ---- lists of CPUs ---- */

/* "0-3,^2,7", or "r": all. */
static bool parse_cpus(const char *text, cpu_set_t *ret, GError **error)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);

    CPU_ZERO(ret);
    for (char **item = items; *item; item++) {
        const char *p = *item + (**item == '^');
        g_auto(GStrv) ends = g_strsplit(p, "-", 2);
        guint64 first = 0, last = CPU_SETSIZE - 1;

        if (!g_str_equal(p, "r") &&
            (!g_ascii_string_to_unsigned(ends[0], 10, 0, CPU_SETSIZE - 1, &first, NULL) ||
             !g_ascii_string_to_unsigned(ends[1] ? ends[1] : ends[0], 10, first, CPU_SETSIZE - 1, &last, NULL))) {
            error_set(error, "'%s' is no list of CPUs", text);
            return error_hint(error, "For example: 0-3,^2,7.");
        }
        for (guint64 cpu = first; cpu <= last; cpu++) {
            if (**item == '^') {
                CPU_CLR(cpu, ret);
            } else {
                CPU_SET(cpu, ret);
            }
        }
    }
    return CPU_COUNT(ret) > 0 || error_set(error, "'%s' leaves no CPU", text);
}

static char *format_cpus(const cpu_set_t *set)
{
    GString *text = g_string_new(NULL);

    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int last = cpu;

        if (!CPU_ISSET(cpu, set)) {
            continue;
        }
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set)) {
            last++;
        }
        g_string_append_printf(text, last > cpu ? "%s%d-%d" : "%s%d", text->len ? "," : "", cpu, last);
        cpu = last;
    }
    return g_string_free(text, FALSE);
}

/* ---- threads ---- */

typedef struct Threads {
    Client *client;
    Json *cpus, *iothreads;
} Threads;

static void threads_clear(Threads *t)
{
    g_clear_pointer(&t->client, client_free);
    g_clear_pointer(&t->cpus, json_unref);
    g_clear_pointer(&t->iothreads, json_unref);
}

static bool threads_get(const Cmd *cmd, Threads *ret, GError **error)
{
    *ret = (Threads) { .client = cmd_connect(cmd, NULL, error) };
    ret->cpus = ret->client ? client_run(ret->client, "query-cpus-fast", NULL, error) : NULL;
    ret->iothreads = ret->cpus ? client_run(ret->client, "query-iothreads", NULL, error) : NULL;
    if (!ret->iothreads) {
        threads_clear(ret);
        return false;
    }
    return true;
}

/* A thread that a reply names; only one of the domain's own process counts.  0: it is none. */
static pid_t thread_of(const Threads *t, const Json *item)
{
    int64_t tid = 0;
    ProcessTimes times;

    return reply_int(item, "thread-id", &tid) && tid > 0 && tid <= G_MAXINT &&
           process_times(client_pid(t->client), (pid_t)tid, &times) ? (pid_t)tid : 0;
}

static bool pin(pid_t tid, const cpu_set_t *set, GError **error)
{
    return sched_setaffinity(tid, sizeof(*set), set) == 0 ||
           error_set_errno(error, errno, "Cannot set the affinity of thread %d", tid);
}

static char *affinity_of(pid_t tid)
{
    cpu_set_t set;

    return sched_getaffinity(tid, sizeof(set), &set) == 0 ? format_cpus(&set) : g_strdup("-");
}

/* ---- vcpupin, iothreadpin ---- */

/* What a row is called: its number, or its id. */
static char *label_of(const Json *item, const char *member)
{
    int64_t n;

    return reply_int(item, member, &n) ? g_strdup_printf("%" G_GINT64_FORMAT, n)
         : g_strdup(reply_text(item, member) ? reply_text(item, member) : "-");
}

static void show_pins(const Threads *t, const Json *list, const char *member, const char *heading)
{
    Table *table = table_new(2, heading, "CPU Affinity");

    for (size_t i = 0; i < reply_length(list); i++) {
        const Json *item = json_array_get(list, i);
        pid_t tid = thread_of(t, item);
        g_autofree char *label = label_of(item, member);
        g_autofree char *affinity = tid ? affinity_of(tid) : g_strdup("-");

        table_row(table, label, affinity);
    }
    table_print(table);
}

static bool pin_one(const Threads *t, const Json *list, const char *member, const char *which, const char *cpus,
                    GError **error)
{
    cpu_set_t set;

    if (!parse_cpus(cpus, &set, error)) {
        return false;
    }
    for (size_t i = 0; i < reply_length(list); i++) {
        const Json *item = json_array_get(list, i);
        g_autofree char *label = label_of(item, member);
        pid_t tid = thread_of(t, item);

        if (tid && g_str_equal(label, which)) {
            return pin(tid, &set, error) && puts("") >= 0;
        }
    }
    return error_set(error, "The domain has no '%s' to be pinned", which);
}

static bool show_or_pin(const Threads *t, const Json *list, const char *member, const char *heading, const char *which,
                        const char *cpus, GError **error)
{
    if (cpus && which) {
        return pin_one(t, list, member, which, cpus, error);
    }
    if (which) {
        return error_set(error, "The list of CPUs is missing");
    }
    show_pins(t, list, member, heading);
    return true;
}

static bool vcpupin(const Cmd *cmd, GError **error)
{
    Threads t;
    bool ok = threads_get(cmd, &t, error) && show_or_pin(&t, t.cpus, "cpu-index", "VCPU", cmd_text(cmd, "vcpu"),
                                                         cmd_text(cmd, "cpulist"), error);

    threads_clear(&t);
    return ok;
}

static bool iothreadpin(const Cmd *cmd, GError **error)
{
    Threads t;
    bool ok = threads_get(cmd, &t, error) && show_or_pin(&t, t.iothreads, "id", "IOThread", cmd_text(cmd, "iothread"),
                                                         cmd_text(cmd, "cpulist"), error);

    threads_clear(&t);
    return ok;
}

/* ---- emulatorpin: every other thread ---- */

static bool is_in(const Threads *t, const Json *list, pid_t tid)
{
    for (size_t i = 0; i < reply_length(list); i++) {
        if (thread_of(t, json_array_get(list, i)) == tid) {
            return true;
        }
    }
    return false;
}

static bool pin_others(const Threads *t, const cpu_set_t *set, GError **error)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", client_pid(t->client));
    g_autoptr(GDir) dir = g_dir_open(path, 0, error);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        pid_t tid = (pid_t)g_ascii_strtoull(name, NULL, 10);
        g_autoptr(GError) wrong = NULL;

        if (!is_in(t, t->cpus, tid) && !is_in(t, t->iothreads, tid) && !pin(tid, set, &wrong) &&
            tid == client_pid(t->client)) { /* another may have ended */
            g_propagate_error(error, g_steal_pointer(&wrong));
            return false;
        }
    }
    return dir != NULL;
}

static bool emulatorpin(const Cmd *cmd, GError **error)
{
    const char *cpus = cmd_text(cmd, "cpulist");
    cpu_set_t set;
    Threads t;
    bool ok;

    if ((cpus && !parse_cpus(cpus, &set, error)) || !threads_get(cmd, &t, error)) {
        return false;
    }
    if (cpus) {
        ok = pin_others(&t, &set, error) && puts("") >= 0;
    } else {
        g_autofree char *affinity = affinity_of(client_pid(t.client));
        Table *table = table_new(2, "emulator", "CPU Affinity");

        table_row(table, "*", affinity);
        table_print(table);
        ok = true;
    }
    threads_clear(&t);
    return ok;
}

/* ---- setmem ---- */

/* KiB, unless it has a suffix. */
static bool parse_size(const char *text, int64_t *ret_bytes, GError **error)
{
    static const char suffixes[] = "KMGT";
    size_t digits = strspn(text, "0123456789");
    g_autofree char *number = g_strndup(text, digits);
    const char *suffix = text[digits] ? strchr(suffixes, g_ascii_toupper(text[digits])) : suffixes;
    guint64 n = 0;
    unsigned shift;

    if (text[digits] && (g_str_equal(text + digits, "b") || g_str_equal(text + digits, "bytes"))) {
        shift = 0;
    } else if (suffix && (!text[digits] || !text[digits + 1] || g_ascii_strcasecmp(text + digits + 1, "iB") == 0)) {
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    } else {
        return error_set(error, "'%s' is no size", text);
    }
    if (!g_ascii_string_to_unsigned(number, 10, 1, (guint64)G_MAXINT64 >> shift, &n, NULL)) {
        return error_set(error, "'%s' is no size", text);
    }
    *ret_bytes = (int64_t)(n << shift);
    return true;
}

static bool setmem(const Cmd *cmd, GError **error)
{
    g_autoptr(Client) client = NULL;
    g_autoptr(Json) done = NULL;
    Json *arguments;
    int64_t bytes = 0;

    if (!parse_size(cmd_text(cmd, "size"), &bytes, error)) {
        return false;
    }
    client = cmd_connect(cmd, NULL, error);
    if (!client) {
        return false;
    }
    arguments = json_new_object();
    json_object_put_member(arguments, "value", json_new_int(bytes));
    done = client_run(client, "balloon", arguments, error);
    return done && puts("") >= 0;
}

#define CPULIST { "cpulist", ARG_TEXT, .help = "CPUs of the host, as 0-3,^2,7, or r for all; not given: show" }
const Verb tune_verbs[] = {
    { "vcpupin", ARGS(ARG_DOMAIN(OF_ACTIVE), { "vcpu", ARG_TEXT, .help = "Number of the virtual CPU" }, CPULIST),
      vcpupin, "Show or say on which CPUs of the host a virtual CPU runs" },
    { "emulatorpin", ARGS(ARG_DOMAIN(OF_ACTIVE), CPULIST), emulatorpin,
      "Show or say on which CPUs of the host the other threads of a domain run" },
    { "iothreadpin", ARGS(ARG_DOMAIN(OF_ACTIVE), { "iothread", ARG_TEXT, .help = "Id of the I/O thread" }, CPULIST),
      iothreadpin, "Show or say on which CPUs of the host an I/O thread runs" },
    { "setmem", ARGS(ARG_DOMAIN(OF_ACTIVE), { "size", ARG_TEXT, true, .help = "KiB, or with a suffix: 512M" }), setmem,
      "Ask the guest to give back memory, down to that size", "It needs a balloon, and takes the guest some time." },
    { NULL },
};
