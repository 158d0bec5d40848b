/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/process.h.
 */
#include "tools/lodgectl/process.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GENERATIONS_MAX 16 /* pids are used again: there may be a circle */

/* To the nanosecond, where stat(5) counts ticks.  0: not known. */
static uint64_t exact_time(pid_t pid)
{
    struct timespec t;
    clockid_t clock;

    return clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0
               ? (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec : 0;
}

static char *read_of_task(pid_t pid, pid_t tid, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/%s", pid, tid, name);
    char *text;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* A line of /proc/PID/task/TID/sched: its name (with what older kernels have in front), a colon, ms. */
static uint64_t scheduler_wait(const char *sched)
{
    const char *line = sched ? strstr(sched, "wait_sum") : NULL, *colon = line ? strchr(line, ':') : NULL;

    return colon ? (uint64_t)(g_ascii_strtod(colon + 1, NULL) * 1e6) : 0;
}

static void look_at_task(pid_t pid, pid_t tid, ProcessTimes *ret)
{
    g_autofree char *schedstat = read_of_task(pid, tid, "schedstat"), *sched = read_of_task(pid, tid, "sched");
    unsigned long long ran, delayed;

    if (schedstat && sscanf(schedstat, "%llu %llu", &ran, &delayed) == 2) {
        ret->total_ns = ran;
        ret->delay_ns = delayed;
    }
    ret->wait_ns = scheduler_wait(sched);
}

bool process_times(pid_t pid, pid_t tid, ProcessTimes *ret)
{
    g_autofree char *path = tid ? g_strdup_printf("/proc/%d/task/%d/stat", pid, tid)
                                : g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    unsigned long long user, system;
    const char *p;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return false;
    }
    p = strrchr(text, ')'); /* the name, field 2, may hold anything */
    if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %*u %*u "
                            "%*d %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %d",
                     &user, &system, &ret->cpu) != 3) {
        return false;
    }
    ret->user_ns = user * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    ret->system_ns = system * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    ret->total_ns = tid ? 0 : exact_time(pid);
    ret->delay_ns = ret->wait_ns = 0;
    if (tid) {
        look_at_task(pid, tid, ret);
    }
    if (!ret->total_ns) {
        ret->total_ns = ret->user_ns + ret->system_ns;
    }
    return true;
}

bool process_rss(pid_t pid, uint64_t *ret_bytes)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/statm", pid);
    g_autofree char *text = NULL;
    unsigned long long pages;

    if (!g_file_get_contents(path, &text, NULL, NULL) || sscanf(text, "%*u %llu", &pages) != 1) {
        return false;
    }
    *ret_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

/* 0: it has none, or has ended. */
static pid_t parent_of(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", pid);
    g_autofree char *text = NULL;
    const char *p = g_file_get_contents(path, &text, NULL, NULL) ? strrchr(text, ')') : NULL;
    int parent;

    return p && sscanf(p + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

bool process_belongs_to(pid_t pid, pid_t first)
{
    for (unsigned i = 0; i < GENERATIONS_MAX && pid > 1 && pid != first; i++) {
        pid = parent_of(pid);
    }
    return pid == first;
}
