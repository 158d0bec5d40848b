/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/process.h.
 */
#include "tools/lodgectl/process.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %*u %*u %*d "
                            "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %d",
                     &user, &system, &ret->cpu) != 3) {
        return false;
    }
    ret->user_ns = user * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    ret->system_ns = system * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
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
