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

/* The domain's server (domain_gdb_server()) from now on; a former one goes, as if its client had gone.  On failure it
 * stays.  device: as after -gdb: "tcp::1234" (a server on the host itself), "unix:PATH,server=on,wait=off", "stdio",
 * "chardev:ID" ...  "none": there is no server any more.  The machine is built. */
bool gdb_server_open(Domain *domain, const char *device, GError **error);
/* At the domain's end, before the chardevs and the vCPUs go; without one, nothing. */
void gdb_server_finish(Domain *domain);
