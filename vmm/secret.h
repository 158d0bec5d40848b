/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * secret: -object secret,id=ID,data=...|file=... keeps a password or key for who
 * refers to it by its id.  It is never shown or logged, nor part of a core dump.
 * Main thread.
 */
#pragma once

#include "vmm/object.h"

extern const ObjectClass secret_class;

/* What it is; borrowed.  NULL: there is no secret of that name. */
GBytes *secret_find(Domain *domain, const char *id, GError **error);
