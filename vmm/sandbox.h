/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sandbox: seccomp filters by thread role (libseccomp).  Default on: narrow on
 * vCPU and I/O threads, wider on the main thread.  -sandbox on|off,obsolete=,
 * elevateprivileges=,spawn=,resourcecontrol=; strict: passed descriptors only.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "vmm/field.h"

typedef enum SandboxRole { SANDBOX_MAIN, SANDBOX_VCPU, SANDBOX_IO, SANDBOX_WORKER } SandboxRole;
extern const FieldStruct sandbox_options;
/* Parses -sandbox; NULL: defaults.  Once, before threads. */
bool sandbox_configure(const char *text, GError **error);
/* Enters on the calling thread.  A violation kills the process with a line in the log that names
 * the system call. */
bool sandbox_enter(SandboxRole role, GError **error);
