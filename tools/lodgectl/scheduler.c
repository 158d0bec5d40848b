/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/scheduler.h.
 *
 * cpu_shares is cgroup v2's cpu.weight, 1 to 10000, as libvirt has it there.  A nice value stands for the weight that
 * Linux gives it (kernel/sched/core.c, sched_prio_to_weight: each step is a factor of 1.25, and nice 0 is 100), so what
 * is set is rounded to the nearest, and what is shown is what holds.  Where tasks are grouped by session
 * (sched(7), "The autogroup feature"), the nice value of the group counts among domains; it is set, too.
 */
#include "tools/lodgectl/scheduler.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools/lodgectl/cgroup.h"
#include "vmm/error.h"

#define SHARES_MAX    10000
#define PERIOD_MIN_US 1000
#define PERIOD_MAX_US 1000000
#define PERIOD_US     100000 /* the kernel's, where nothing was set */
#define QUOTA_MIN_US  1000
#define NICE_MIN      (-20)
#define NICE_MAX      19
#define STEP          1.25

enum { SHARES, PERIOD, QUOTA };
typedef enum Part { PART_WHOLE, PART_VCPUS, PART_EMULATOR, PART_IOTHREADS } Part;

static const struct Parameter { const char *name; int kind; Part part; } parameters[] = {
    { "cpu_shares", SHARES, PART_WHOLE },
    { "vcpu_period", PERIOD, PART_VCPUS },
    { "vcpu_quota", QUOTA, PART_VCPUS },
    { "emulator_period", PERIOD, PART_EMULATOR },
    { "emulator_quota", QUOTA, PART_EMULATOR },
    { "global_period", PERIOD, PART_WHOLE },
    { "global_quota", QUOTA, PART_WHOLE },
    { "iothread_period", PERIOD, PART_IOTHREADS },
    { "iothread_quota", QUOTA, PART_IOTHREADS },
};
const char *const sched_names[] = { "cpu_shares", "vcpu_period", "vcpu_quota", "emulator_period", "emulator_quota",
                                    "global_period", "global_quota", "iothread_period", "iothread_quota", NULL };

static const struct Parameter *find_parameter(const char *name, GError **error)
{
    const char *near = error_nearest(name, sched_names);

    for (size_t i = 0; i < G_N_ELEMENTS(parameters); i++) {
        if (g_str_equal(parameters[i].name, name)) {
            return &parameters[i];
        }
    }
    error_set(error, "There is no scheduler parameter '%s'", name);
    if (near) {
        error_hint(error, "Did you mean '%s'?", near);
    } else {
        error_hint(error, "lodgectl schedinfo DOMAIN shows them.");
    }
    return NULL;
}

/* A quota that is negative is none. */
static bool parse_value(const struct Parameter *p, const char *text, gint64 *ret, GError **error)
{
    static const struct { gint64 min, max; } bounds[] = {
        [SHARES] = { 1, SHARES_MAX }, [PERIOD] = { PERIOD_MIN_US, PERIOD_MAX_US }, [QUOTA] = { QUOTA_MIN_US, G_MAXINT64 },
    };
    bool number = g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, ret, NULL);

    if (number && p->kind == QUOTA && *ret < 0) {
        return true;
    }
    if (number && *ret >= bounds[p->kind].min && *ret <= bounds[p->kind].max) {
        return true;
    }
    return p->kind == QUOTA
               ? error_set(error, "'%s' of %s is no time of at least %d us, nor -1, which is no limit", text, p->name,
                           QUOTA_MIN_US)
               : error_set(error, "'%s' of %s is no number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, text,
                           p->name, bounds[p->kind].min, bounds[p->kind].max);
}

bool sched_check(const char *name, const char *value, GError **error)
{
    const struct Parameter *p = find_parameter(name, error);
    gint64 n;

    return p && parse_value(p, value, &n, error);
}

/* ---- nice ---- */

static int weight_of_nice(int nice)
{
    double weight = 100;

    for (int i = 0; i < ABS(nice); i++) {
        weight = nice < 0 ? weight * STEP : weight / STEP;
    }
    return MAX((int)(weight + 0.5), 1);
}

static int nice_of_weight(gint64 weight)
{
    int nearest = NICE_MIN;

    for (int nice = NICE_MIN; nice <= NICE_MAX; nice++) {
        if (ABS(weight_of_nice(nice) - weight) < ABS(weight_of_nice(nearest) - weight)) {
            nearest = nice;
        }
    }
    return nearest;
}

/* Where there is no grouping, there is no file, and nothing to be done. */
static void set_autogroup(pid_t pid, int nice)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/autogroup", pid);
    FILE *f = fopen(path, "we");

    if (f) {
        fprintf(f, "%d", nice);
        fclose(f);
    }
}

static bool set_nice(const Threads *t, gint64 shares, GError **error)
{
    g_autoptr(GArray) tids = threads_all(t);
    int nice = nice_of_weight(shares);

    for (guint i = 0; i < tids->len; i++) {
        if (setpriority(PRIO_PROCESS, (id_t)g_array_index(tids, pid_t, i), nice) < 0 && errno != ESRCH) {
            error_set_errno(error, errno, "Cannot set the nice value %d", nice);
            return error_hint(error, "Without privileges shares can only be lowered, unless RLIMIT_NICE allows more.");
        }
    }
    set_autogroup(t->pid, nice);
    return true;
}

/* ---- cgroup v2 ---- */

/* "max 100000", or "50000 100000". */
static void split_max(const char *text, gint64 *ret_quota, gint64 *ret_period)
{
    g_auto(GStrv) words = g_strsplit(text ? text : "", " ", 2);

    *ret_quota = -1;
    *ret_period = PERIOD_US;
    if (words[0] && words[1]) {
        if (!g_str_equal(words[0], "max")) {
            g_ascii_string_to_signed(words[0], 10, 0, G_MAXINT64, ret_quota, NULL);
        }
        g_ascii_string_to_signed(words[1], 10, 0, G_MAXINT64, ret_period, NULL);
    }
}

/* The groups of threads of that kind: char *, and beside it GArray of pid_t; the caller's. */
static void parts_of(const Threads *t, Part part, GPtrArray *names, GPtrArray *tids)
{
    const GArray *list = part == PART_VCPUS ? t->vcpus : t->iothreads;

    if (part == PART_EMULATOR) {
        g_ptr_array_add(names, g_strdup("emulator"));
        g_ptr_array_add(tids, threads_others(t));
        return;
    }
    for (guint i = 0; i < list->len; i++) {
        const Thread *thread = &g_array_index(list, Thread, i);
        GArray *one = g_array_new(FALSE, FALSE, sizeof(pid_t));

        g_array_append_val(one, thread->tid);
        g_ptr_array_add(names, g_strconcat(part == PART_VCPUS ? "vcpu" : "iothread-", thread->label, NULL));
        g_ptr_array_add(tids, one);
    }
}

static char *new_max(const struct Parameter *p, const char *before, gint64 value)
{
    gint64 quota, period;

    split_max(before, &quota, &period);
    if (p->kind == QUOTA) {
        quota = value;
    } else {
        period = value;
    }
    return quota < 0 ? g_strdup_printf("max %" G_GINT64_FORMAT, period)
                     : g_strdup_printf("%" G_GINT64_FORMAT " %" G_GINT64_FORMAT, quota, period);
}

static bool set_parts(const Threads *t, Cgroup *c, const struct Parameter *p, gint64 value, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) tids = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    parts_of(t, p->part, names, tids);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *before = cgroup_get(c, names->pdata[i], "cpu.max");
        g_autofree char *max = new_max(p, before, value);

        if (!cgroup_set_part(c, names->pdata[i], tids->pdata[i], "cpu.max", max, error)) {
            return false;
        }
    }
    return true;
}

static bool set_cgroup(const Threads *t, Cgroup *c, const struct Parameter *p, gint64 value, GError **error)
{
    g_autofree char *text = NULL, *before = NULL;

    if (p->part != PART_WHOLE) {
        return set_parts(t, c, p, value, error);
    }
    if (p->kind == SHARES) {
        text = g_strdup_printf("%" G_GINT64_FORMAT, value);
        return cgroup_set(c, "cpu.weight", text, error);
    }
    before = cgroup_get(c, NULL, "cpu.max");
    text = new_max(p, before, value);
    return cgroup_set(c, "cpu.max", text, error);
}

static char *get_cgroup(const Threads *t, const Cgroup *c, const struct Parameter *p)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) tids = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    g_autofree char *text = NULL;
    gint64 quota, period;

    if (p->kind == SHARES) {
        text = cgroup_get(c, NULL, "cpu.weight");
        return text ? g_steal_pointer(&text) : g_strdup("100");
    }
    if (p->part != PART_WHOLE) {
        parts_of(t, p->part, names, tids);
    }
    text = p->part == PART_WHOLE ? cgroup_get(c, NULL, "cpu.max")
         : names->len ? cgroup_get(c, names->pdata[0], "cpu.max") : NULL;
    split_max(text, &quota, &period);
    return g_strdup_printf("%" G_GINT64_FORMAT, p->kind == QUOTA ? quota : period);
}

/* ---- both ---- */

char *sched_means(const Threads *t)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(Cgroup) c = cgroup_open(t->pid, &why);

    return c ? g_strdup_printf("cgroup v2, %s", cgroup_folder(c)) : g_strdup_printf("nice, as %s", why->message);
}

char *sched_get(const Threads *t, const char *name)
{
    const struct Parameter *p = find_parameter(name, NULL);
    g_autoptr(Cgroup) c = cgroup_open(t->pid, NULL);
    int nice;

    if (!p || c) {
        return p ? get_cgroup(t, c, p) : NULL;
    }
    errno = 0;
    nice = getpriority(PRIO_PROCESS, (id_t)t->pid);
    return p->kind == SHARES && !errno ? g_strdup_printf("%d", weight_of_nice(nice)) : NULL;
}

bool sched_set(const Threads *t, const char *name, const char *value, GError **error)
{
    const struct Parameter *p = find_parameter(name, error);
    g_autoptr(GError) why = NULL;
    g_autoptr(Cgroup) c = NULL;
    gint64 n;

    if (!p || !parse_value(p, value, &n, error)) {
        return false;
    }
    c = cgroup_open(t->pid, &why);
    if (c) {
        return set_cgroup(t, c, p, n, error);
    }
    if (p->kind == SHARES) {
        return set_nice(t, n, error);
    }
    error_set(error, "%s needs cgroup v2, and %s", name, why->message);
    return error_hint(error, "systemctl start lodge@NAME starts a domain in a group of its own; cpu_shares can be set "
                             "without.");
}
