/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's control socket: QMP for several clients at once, each with a session and a chardev of its own while it is
 * connected.  It belongs to the registry (vmm/registry.h); lodgectl is its client.  Main thread.
 */
#pragma once

#include "vmm/domain.h"

typedef struct Control Control;

Control *control_new(Domain *domain, int listener); /* takes the listening socket */
void control_free(Control *control); /* NULL is fine */
