/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving a domain to another host, where ssh starts lodgectl (tools/lodgectl/link.h).
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "tools/lodgectl/client.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/verb.h"

/* "ssh://[USER@]HOST[:PORT]" */
bool remote_is_host(const char *uri);
/* cmd is migrate's, and client a connection to dom.  When it has moved, its process here has ended. */
bool remote_migrate(const Cmd *cmd, Dom *dom, Client *client, GError **error);
