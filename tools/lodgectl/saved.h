/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains that start where they were: from a saved file (vmm/migrate-format.h, mapped), which holds the definition that
 * its domain had, or from what another host tells of one.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "tools/lodgectl/domains.h"
#include "vmm/json.h"
#include "vmm/migrate-ram.h"

/* What the file says of itself, and the descriptor, which is the caller's.  It is whole, as far as its length says. */
bool saved_open(const char *path, MigrateHeader *ret, int *ret_fd, GError **error);
/* The state of its devices, the caller's; its checksum is right.  NULL: error is set. */
uint8_t *saved_state(const MigrateHeader *header, int fd, GError **error);

/* Starts the domain from the file, where it was. */
bool saved_restore(const MigrateHeader *header, const char *path, bool paused, GError **error);
/* Starts a defined domain: from its managed save, which is gone then, or anew. */
bool saved_launch(const char *name, bool paused, GError **error);
/* Starts a domain that goes on from there, by the text of a definition. */
bool saved_launch_by(const char *name, const char *definition, const char *incoming, bool paused, GError **error);

/* Whether what the header tells of could go on on this host, by that definition: lodge makes the machine and compares,
 * and ends.  Nobody else sees that machine.  It writes to no image, its memory is its own, wherever that of the domain
 * comes from, and its character devices and NICs lead nowhere: that these could be had here is not tried. */
bool saved_check(const char *name, const char *definition, const Json *header, GError **error);
Json *saved_header_json(const MigrateHeader *header); /* the caller's */

/* By which a running domain can go on: its definition as it is now, or, if that has become another machine, the one
 * that it was started by.  certain: also where there is but one, it is tried.  The caller's; NULL: error is set. */
char *saved_definition(const Dom *dom, Client *client, bool certain, GError **error);
