/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP session on a character device: greeting, negotiation, requests, replies, events, as the "QEMU Machine Protocol
 * Specification" has them (docs/interop/qmp-spec.txt of QEMU 7.2).  Main thread.
 *
 *     no client --opened: greeting--> negotiating --qmp_capabilities--> commands and events
 *         ^------------------------------closed------------------------------'
 *
 * Each line that we send ends in CR LF.  Requests are answered in order.  A client that reads no replies is not read
 * from, and one that reads no events loses them in the end; a guest never waits for either.
 */
#pragma once

#include "vmm/chardev.h"
#include "vmm/command.h"

typedef struct Qmp Qmp;

extern const Command qmp_commands[]; /* qmp_capabilities, query-version */

Qmp *qmp_new(Domain *domain, Chardev *chr, bool pretty, GError **error);
void qmp_free(Qmp *qmp);
/* fn is called when a client has left; it does not free the session or the chardev at once. */
void qmp_on_close(Qmp *qmp, void (*fn)(void *opaque), void *opaque);
