/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multicast groups of IPv4 as a segment of Ethernet that has any number of members.
 *
 * Main thread.
 */
#pragma once

#include <glib.h>
#include <netinet/in.h>
#include <stdbool.h>

typedef struct NetGroup {
    int in;                 /* hears what anybody sends to the group, us too */
    int out;                /* connected to it */
    struct sockaddr_in own; /* what `out` sends from */
} NetGroup;

/* Whether this is the address of such a group. */
bool net_group_is(const char *host);
/* interface: an address of the host, by which the group is reached; NULL: as routes say. */
bool net_group_open(const char *host, const char *port, const char *interface, NetGroup *ret, GError **error);
