/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clocks and timers.
 *
 *   clock_realtime   CLOCK_MONOTONIC of the host, ns: always runs
 *   clock_host       CLOCK_REALTIME of the host, ns since the epoch: may jump
 *   Domain's virtual clock: ns of guest time; stands still while the domain is
 *   paused; saved with it.  Machines hand it to their devices.
 *
 * A timer belongs to one loop, whose thread calls it.  timer_mod() and timer_del()
 * may be called from any thread; after timer_del() from the loop's thread, or from
 * a thread that holds the timer's lock, it does not run any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/locks.h"
#include "vmm/loop.h"

typedef struct Clock Clock;
extern Clock *const clock_realtime;
extern Clock *const clock_host;

Clock *clock_new_virtual(void); /* starts stopped at 0 */
void clock_free(Clock *clock);
int64_t clock_ns(const Clock *clock); /* any thread, never goes back (virtual, realtime) */
void clock_start(Clock *clock);       /* virtual; main thread */
void clock_stop(Clock *clock);
bool clock_running(const Clock *clock);
/* When a virtual clock shows `ns`, by clock_realtime, if nobody stops it; INT64_MAX: it stands, or somebody counts
 * it. */
int64_t clock_when(const Clock *clock, int64_t ns);
void clock_set(Clock *clock, int64_t ns); /* virtual and stopped: restore */
/* A virtual clock that somebody else counts (-icount): its time is what now() says, its timers run between
 * clock_allow() and clock_hold().  Main thread, before it has timers.  NULL: the counter goes, no vCPU is left. */
typedef struct ClockCounter {
    int64_t (*now)(void *opaque);          /* any thread */
    void (*set)(void *opaque, int64_t ns); /* main thread, stopped */
    void (*earlier)(void *opaque);         /* any thread, locks held: a timer is due before all others of its loop */
    void (*ran)(void *opaque);             /* a loop's thread: timers, or what was due, have run */
} ClockCounter;
void clock_set_counter(Clock *clock, const ClockCounter *counter, void *opaque);
bool clock_is_counted(const Clock *clock); /* runs are to be the same each time */
void clock_allow(Clock *clock, int64_t ns); /* any thread, no lock held: loops run the timers that are due then */
void clock_hold(Clock *clock);              /* no timer begins to run; after clock_next_deadline() has seen none due */
/* The same; of all loops.  INT64_MAX: none; INT64_MIN: a timer is running, or clock_due_begin() was called. */
int64_t clock_next_deadline(Clock *clock);
/* Something that is not a timer is due now, until it is done.  Any thread, locks held; any clock. */
void clock_due_begin(Clock *clock);
void clock_due_end(Clock *clock);
/* Tests: a virtual clock that moves only by clock_set(), running timers that fall due. */
void clock_set_manual(Clock *clock);

typedef struct Timer Timer;
Timer *timer_new(Loop *loop, Clock *clock, void (*fn)(void *opaque), void *opaque);
/* The lock is taken around fn, and the timer then looked at again: who holds the lock and deletes
 * or moves the timer can be sure.  It lives until an epoch after timer_free(). */
Timer *timer_new_locked(Loop *loop, Clock *clock, Lock *lock, void (*fn)(void *opaque), void *opaque);
void timer_free(Timer *timer); /* deletes it first, loop thread or lock held; NULL is fine */
void timer_mod(Timer *timer, int64_t deadline_ns); /* absolute on its clock */
void timer_del(Timer *timer);
bool timer_pending(const Timer *timer);
int64_t timer_deadline(const Timer *timer); /* INT64_MAX: not armed */

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS  INT64_C(1000000)
