/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/process.h.
 */
#include "tools/lodgectl/process.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* To the nanosecond, where stat(5) counts ticks.  0: not known. */
static uint64_t exact_time(pid_t pid, pid_t tid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/schedstat", pid, tid);
    g_autofree char *text = NULL;
    struct timespec t;
    clockid_t clock;

    if (!tid) {
        return clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0
                   ? (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec : 0;
    }
    return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoull(text, NULL, 10) : 0;
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
    ret->total_ns = exact_time(pid, tid);
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
