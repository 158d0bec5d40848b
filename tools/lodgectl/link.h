/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two lodgectl that talk over a pair of descriptors (those of ssh), while a domain moves through them.
 *
 *   frame = u8 kind, u32 length (little endian), payload
 *
 *   source                                   destination (lodgectl migrate-receive)
 *     JSON {name, definition, header,     ->   starts lodge -S -incoming, or only compares (check)
 *           check, persistent}           <-   JSON {} | JSON {error}
 *     STREAM ..., END                    <->  STREAM ..., END: what lodge and lodge say to each other
 *     when all of it has gone:
 *     JSON {run}                          ->   lets it go on
 *                                        <-   JSON {} | JSON {error}: then it goes on at the source
 *
 * The domain does not run at the destination before it is told to: a connection that breaks earlier ends it there, and
 * later only the one whose answer is missing does not know.  The destination does not answer where it is not certain
 * that the domain does not run.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/json.h"

#define LINK_PAYLOAD_MAX (8u << 20)

typedef enum LinkKind { LINK_JSON = 'J', LINK_STREAM = 'S', LINK_END = 'E' } LinkKind;

typedef struct Link {
    int in, out;   /* of the other lodgectl */
    int stream;    /* of lodge; -1: there is none, or it has ended */
    bool end_sent;
} Link;

/* A path for a socket between lodge and us that nobody else can get to, the caller's.  NULL: error is set. */
char *link_make_place(GError **error);
void link_remove_place(const char *path);

/* Takes the reply object; a frame is written whole or the connection is gone. */
bool link_send(const Link *link, Json *json, GError **error);
bool link_send_error(const Link *link, const GError *what);
/* Passes on what comes from lodge and to it until `ms` have passed (-1: as long as it takes), something has come from
 * the other lodgectl for us, or `also` (-1: none) can be read.  *ret: a message, the caller's, or NULL.  false: the
 * connection is gone. */
bool link_relay(Link *link, int also, int ms, Json **ret, GError **error);
/* Waits for a message; an {error} is error. */
Json *link_receive(Link *link, GError **error);
