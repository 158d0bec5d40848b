/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The threads of a running domain's process: its virtual CPUs, its I/O threads, and the others ("emulator").  What the
 * domain says of them is checked against its process.
 */
#pragma once

#include <glib.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

#include "tools/lodgectl/domains.h"

typedef struct Thread {
    char *label; /* "0", or the id of an I/O thread */
    pid_t tid;
} Thread;

typedef struct Threads {
    pid_t pid;
    GArray *vcpus, *iothreads; /* Thread */
} Threads;

Threads *threads_new(const Dom *dom, GError **error);
void threads_free(Threads *threads);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Threads, threads_free)
const Thread *threads_find(const GArray *list, const char *label); /* NULL: none */
/* Those of the process that are neither; pid_t, the caller's. */
GArray *threads_others(const Threads *threads);
GArray *threads_all(const Threads *threads);

/* "0-3,^2,7", or "r": all. */
bool cpus_parse(const char *text, cpu_set_t *ret, GError **error);
char *cpus_format(const cpu_set_t *set);
/* The affinity of a thread as such a text, the caller's; "-" if it has ended. */
char *thread_affinity(pid_t tid);
bool thread_pin(pid_t tid, const cpu_set_t *set, GError **error);
