/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What monitors may ask of `user` backends.  Main thread.
 */
#pragma once

#include "net/net.h"

/* id NULL: the only one there is. */
bool net_hostfwd_add(Domain *domain, const char *id, const char *rule, GError **error);
bool net_hostfwd_remove(Domain *domain, const char *id, const char *rule, GError **error);
/* Connections of each, as a table for people. */
void net_usernet_info(Domain *domain, GString *out);
