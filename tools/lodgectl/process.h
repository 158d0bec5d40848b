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
    /* Of a thread; 0: the kernel does not count them */
    uint64_t delay_ns;           /* ready, and another ran */
    uint64_t wait_ns;            /* the same as its scheduler has it, where that is asked to (sched_schedstats) */
} ProcessTimes;

/* tid 0: of the whole process. */
bool process_times(pid_t pid, pid_t tid, ProcessTimes *ret);
bool process_rss(pid_t pid, uint64_t *ret_bytes);
/* Is it that process, or one that it, or what it has started, has started? */
bool process_belongs_to(pid_t pid, pid_t first);
