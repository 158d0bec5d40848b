/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clocks (clock.c) and timers (timer.c) share: a clock knows the loops that have timers
 * on it, and wakes them when it starts, stops or is set.
 *
 * The lock order is: a timer's own lock (a device's), clock mutex, timer mutex.
 */
#pragma once

#include <pthread.h>

#include "vmm/timer.h"

typedef enum ClockKind { CLOCK_KIND_REALTIME, CLOCK_KIND_HOST, CLOCK_KIND_VIRTUAL } ClockKind;

struct Clock {
    ClockKind kind;
    pthread_mutex_t mutex; /* writers, and the list of loops */
    GPtrArray *loops;      /* LoopTimers with a heap on it */
    /* Virtual.  Atomics under a sequence count: odd while they change. */
    unsigned sequence;
    bool ticking;
    int64_t value; /* ticking: to be added to CLOCK_MONOTONIC; else the time itself */
    bool manual;   /* never ticks, but its timers run */
    const ClockCounter *counter; /* NULL: none */
    void *counter_opaque;
    int64_t allowed; /* atomic: its timers may run up to then */
    unsigned due;    /* atomic: clock_due_begin() without its end */
};

typedef struct TimerHeap {
    Clock *clock;
    GPtrArray *timers; /* a binary heap by deadline */
    bool firing;       /* the loop is calling those that are due */
} TimerHeap;

struct LoopTimers {
    Loop *loop;
    pthread_mutex_t mutex;
    GPtrArray *heaps; /* TimerHeap; one a clock */
    int64_t alarm_ns; /* to which the loop's alarm is set; INT64_MAX: it is not */
};

/* The earliest deadline of the loop's timers on that clock.  INT64_MAX: none; INT64_MIN: one is running. */
int64_t loop_timers_deadline(LoopTimers *timers, Clock *clock);
/* Runs the timer with that deadline, on the loop's thread. */
void loop_timers_fire_first(LoopTimers *timers, Clock *clock);
