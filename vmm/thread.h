/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads of this process.  Signals that are sent are the main thread's; those that a
 * thread causes itself (a fault, an abort, a violation of the sandbox) stay open, for
 * the handlers that put the terminal back and say what happened.  Any thread.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

/* pthread_create() with the signals of a thread of ours. */
int thread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *opaque), void *opaque);

/* futex(2): sleeps while *word is `value`, at most until a time of CLOCK_MONOTONIC (ns; INT64_MAX: for ever).  May
 * return for no reason: the caller looks again. */
void thread_wait_while(const unsigned *word, unsigned value, int64_t until_ns);
/* Wakes all who wait like that; *word has changed. */
void thread_wake_all(const unsigned *word);
