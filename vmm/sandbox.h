/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox: seccomp filters by thread role (libseccomp).  On by default: narrow on
 * vCPU and I/O threads, wider on the main thread and the workers.
 *
 *   -sandbox on|off|strict[,obsolete=allow|deny][,elevateprivileges=allow|deny]
 *            [,spawn=allow|deny][,resourcecontrol=allow|deny]
 *
 * strict: nothing is opened or connected any more, passed descriptors only.  Every
 * other key is `deny` unless it is said.  Where nothing is said of `spawn`, and it is not
 * strict, this process starts no programs, but its launcher does; spawn=deny: that neither.
 *
 * A thread inherits the filters of the thread that starts it, so a role can only
 * get narrower on the way down.  The configuration is the process' (file-scope state
 * in sandbox.c), constant after sandbox_configure().
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "vmm/field.h"

typedef enum SandboxRole { SANDBOX_MAIN, SANDBOX_VCPU, SANDBOX_IO, SANDBOX_WORKER, SANDBOX_ROLES } SandboxRole;
extern const FieldStruct sandbox_options;

/* false in a build with a sanitizer, whose runtime makes system calls of its own: nothing is entered. */
bool sandbox_available(void);
/* Parses -sandbox (NULL: the defaults) and compiles the filters.  Once, after daemonizing and before
 * threads.  Until then sandbox_enter() does nothing. */
bool sandbox_configure(const char *text, GError **error);
/* Enters on the calling thread, for good.  A violation ends the process with a line on standard
 * error that names the system call. */
bool sandbox_enter(SandboxRole role, GError **error);
/* Whether this process may open, connect and listen once it runs; start other programs.  For what would only be seen
 * as a violation, and then end the process. */
bool sandbox_entered(void); /* the main thread is in it: from now on it is so */
bool sandbox_permits_opening(void);
/* false, and why: it has begun, and opening `what` would end the process. */
bool sandbox_check_opening(const char *what, GError **error);
bool sandbox_permits_launcher(void);   /* through the launcher (vmm/host-launcher.h) */
bool sandbox_permits_privileges(void); /* that what is started gains some */
