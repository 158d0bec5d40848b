/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/domain-threads.h.
 */
#include "tools/lodgectl/domain-threads.h"

#include <errno.h>

#include "tools/lodgectl/process.h"
#include "tools/lodgectl/reply.h"
#include "vmm/error.h"

/* ---- lists of CPUs ---- */

bool cpus_parse(const char *text, cpu_set_t *ret, GError **error)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);

    CPU_ZERO(ret);
    for (char **item = items; *item; item++) {
        const char *p = *item + (**item == '^');
        g_auto(GStrv) ends = g_strsplit(p, "-", 2);
        guint64 first = 0, last = CPU_SETSIZE - 1;

        if (!g_str_equal(p, "r") &&
            (!ends[0] || !g_ascii_string_to_unsigned(ends[0], 10, 0, CPU_SETSIZE - 1, &first, NULL) ||
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

char *cpus_format(const cpu_set_t *set)
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

char *thread_affinity(pid_t tid)
{
    cpu_set_t set;

    return sched_getaffinity(tid, sizeof(set), &set) == 0 ? cpus_format(&set) : g_strdup("-");
}

bool thread_pin(pid_t tid, const cpu_set_t *set, GError **error)
{
    g_autofree char *cpus = NULL;

    if (sched_setaffinity(tid, sizeof(*set), set) == 0) {
        return true;
    }
    if (errno != EINVAL) {
        return error_set_errno(error, errno, "Cannot set the affinity of thread %d", tid);
    }
    cpus = thread_affinity(0);
    error_set(error, "None of these CPUs is there for the domain");
    return error_hint(error, "lodgectl itself may use CPU %s.", cpus);
}

/* ---- threads ---- */

static void thread_clear(gpointer opaque)
{
    g_free(((Thread *)opaque)->label);
}

/* Of a reply; what is no thread of the process is left out.  member: what names it. */
static GArray *read_list(pid_t pid, const Json *list, const char *member)
{
    GArray *threads = g_array_new(FALSE, FALSE, sizeof(Thread));

    g_array_set_clear_func(threads, thread_clear);
    for (size_t i = 0; i < reply_length(list); i++) {
        const Json *item = json_array_get(list, i);
        int64_t tid = 0, n;
        ProcessTimes times;
        Thread t;

        if (!reply_int(item, "thread-id", &tid) || tid <= 0 || tid > G_MAXINT ||
            !process_times(pid, (pid_t)tid, &times)) {
            continue;
        }
        t.tid = (pid_t)tid;
        t.label = reply_int(item, member, &n) ? g_strdup_printf("%" G_GINT64_FORMAT, n)
                : g_strdup(reply_text(item, member) ? reply_text(item, member) : "-");
        g_array_append_val(threads, t);
    }
    return threads;
}

Threads *threads_new(const Dom *dom, GError **error)
{
    g_autoptr(Client) client = dom_connect(dom, DOM_TIMEOUT_MS, error);
    g_autoptr(Json) cpus = client ? client_run(client, "query-cpus-fast", NULL, error) : NULL;
    g_autoptr(Json) iothreads = cpus ? client_run(client, "query-iothreads", NULL, error) : NULL;
    Threads *t;

    if (!iothreads) {
        return NULL;
    }
    t = g_new(Threads, 1);
    t->pid = client_pid(client);
    t->vcpus = read_list(t->pid, cpus, "cpu-index");
    t->iothreads = read_list(t->pid, iothreads, "id");
    return t;
}

void threads_free(Threads *t)
{
    if (t) {
        g_array_unref(t->vcpus);
        g_array_unref(t->iothreads);
        g_free(t);
    }
}

const Thread *threads_find(const GArray *list, const char *label)
{
    for (guint i = 0; i < list->len; i++) {
        const Thread *t = &g_array_index(list, Thread, i);

        if (g_str_equal(t->label, label)) {
            return t;
        }
    }
    return NULL;
}

static bool has_tid(const GArray *list, pid_t tid)
{
    for (guint i = 0; i < list->len; i++) {
        if (g_array_index(list, Thread, i).tid == tid) {
            return true;
        }
    }
    return false;
}

static GArray *collect(const Threads *t, bool all)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", t->pid);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    GArray *tids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        pid_t tid = (pid_t)g_ascii_strtoull(name, NULL, 10);

        if (all || (!has_tid(t->vcpus, tid) && !has_tid(t->iothreads, tid))) {
            g_array_append_val(tids, tid);
        }
    }
    return tids;
}

GArray *threads_others(const Threads *t)
{
    return collect(t, false);
}

GArray *threads_all(const Threads *t)
{
    return collect(t, true);
}
