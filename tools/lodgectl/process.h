/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Linux knows of a domain's process (proc(5)).
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct ProcessTimes {
    uint64_t total_ns;           /* exact */
    uint64_t user_ns, system_ns; /* in ticks of the host */
    int cpu;                     /* on which it ran last */
} ProcessTimes;

/* tid 0: of the whole process. */
bool process_times(pid_t pid, pid_t tid, ProcessTimes *ret);
bool process_rss(pid_t pid, uint64_t *ret_bytes);
