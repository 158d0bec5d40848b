/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a domain could move, asked without trying.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "tools/lodgectl/client.h"

/* Whether it could at all; the first reason why not. */
bool ask_may_move(Client *client, GError **error);
/* Whether it could go on in the lodge that waits for it at unix:PATH or tcp:HOST:PORT, and goes on to wait. */
bool ask_destination(Client *client, const char *uri, GError **error);
