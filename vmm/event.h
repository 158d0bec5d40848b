/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: what happens to a domain, for whoever watches it.  A type is declared beside the
 * subsystem in which it happens, and listed in monitor/commands.c for introspection.
 *
 *     event_emit(domain, &event_balloon_change, &(BalloonChange){ .actual = bytes });
 */
#pragma once

#include <stdint.h>

#include "vmm/field.h"

typedef struct Domain Domain;

typedef struct EventType {
    const char *name;
    const FieldStruct *data; /* NULL: none */
    /* Of those that follow one another faster, the first goes out at once and the last when this time is over;
     * 0: all do.  `key`, a string member of data, tells apart what is not the same (NULL: nothing). */
    unsigned interval_ms;
    const char *key;
    const char *help;
} EventType;

/* An event has happened.  Any thread, any lock: it reaches the listeners on the main thread, after unlock, in the
 * order of one thread's calls, with the time of this call. */
void event_emit(Domain *domain, const EventType *type, const void *data);

/* ---- for the monitor: main thread ---- */
typedef struct Event {
    const EventType *type;
    Json *data;         /* NULL: none */
    int64_t time_us;    /* since 1970 */
} Event;
typedef void (*EventFn)(const Event *event, void *opaque);
void event_listen(Domain *domain, EventFn fn, void *opaque);
void event_unlisten(Domain *domain, EventFn fn, void *opaque);
