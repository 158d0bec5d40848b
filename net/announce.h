/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Announcements of NICs (announce.c).  Main thread.
 */
#pragma once

#include "net/backend.h"

typedef struct NetAnnounce {
    uint64_t initial, max, rounds, step; /* ms, but for rounds */
    char **interfaces;                   /* names of NICs; NULL: all */
} NetAnnounce;

/* Begins at once; no rounds: ends the one of that id. */
void net_announce_self(Domain *domain, const char *id, const NetAnnounce *parameters);
NetAnnounce net_announce_parameters(Domain *domain); /* of migrations, for all NICs */
void net_announce_end(Domain *domain);               /* the domain's end */
