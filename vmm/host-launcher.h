/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that starts other programs for this one (vmm/host-launcher.c); for vmm/host-run.c and the start.  Main
 * thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

bool host_launcher_start(GError **error);
/* What it starts from now on may gain no privileges (by a setuid bit, say); a launcher started later, neither. */
void host_launcher_drop_privileges(void);
void host_launcher_stop(void); /* if it runs; ends what it has started */
void host_launcher_forbid(void); /* and nobody starts another */
/* Whether it runs; starts it, where nobody has: for a script of the start, a test. */
bool host_launcher_ready(GError **error);
/* Starts a program, by its path, with these three as its standard streams (-1: /dev/null).  Returns a descriptor that
 * can be read, as an int, when it has ended: the status of waitpid(2).  group: it is a process group of its own, and
 * closing the descriptor before that ends it.  -1: error. */
int host_launch(const char *const *argv, bool group, const int fds[3], GError **error);
