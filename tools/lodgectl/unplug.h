/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device that goes with its guest's help.
 */
#pragma once

#include "tools/lodgectl/client.h"

#define UNPLUG_PATIENCE_S 20

/* Asks for it, by its id or path, and waits until it is gone.  False: the guest keeps it, or does not answer. */
bool unplug_device(Client *client, const char *id, uint32_t seconds, GError **error);
