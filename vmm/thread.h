/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads of this process.  Signals that are sent are the main thread's; those that a
 * thread causes itself (a fault, an abort, a violation of the sandbox) stay open, for
 * the handlers that put the terminal back and say what happened.  Any thread.
 */
#pragma once

#include <pthread.h>

/* pthread_create() with the signals of a thread of ours. */
int thread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *opaque), void *opaque);
