/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb server: a debugger of the guest, by GDB's remote serial protocol on a character
 * device.  vCPUs are its threads.
 *
 * While a client is connected it decides when the guest runs: it finds it stopped, and
 * what it stops stays so until it says otherwise, or goes; then its breakpoints go, and
 * the guest runs on, if it ran when the client came or has run since.
 *
 * Main thread.
 */
#pragma once

#include <glib.h>

#include "vmm/domain.h"

typedef struct GdbServer GdbServer;

/* device: as after -gdb: "tcp::1234" (a server on the host itself), "unix:PATH,server=on,wait=off", "stdio",
 * "chardev:ID" ...  "none": *ret is NULL.  The machine is built. */
bool gdb_server_new(Domain *domain, const char *device, GdbServer **ret, GError **error);
/* Before the chardevs and the vCPUs go; NULL is fine. */
void gdb_server_free(GdbServer *s);

/* Carries out one line of "monitor LINE" and appends what it says.  Without one there is only "help". */
typedef void (*GdbMonitorFn)(Domain *domain, const char *line, GString *out, void *opaque);
void gdb_server_set_monitor(GdbServer *s, GdbMonitorFn monitor, void *opaque);
