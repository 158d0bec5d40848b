/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both sides of the registry share: its small files.
 */
#pragma once

#include "vmm/registry.h"

/* A small file's line, or a link's text; NULL: there is none.  The caller's. */
char *registry_read_line(int folder, const char *name);
char *registry_read_link(int folder, const char *name);
/* Asks who holds it; taking it would look like a domain to one that starts just now. */
bool registry_lock_is_held(int lock_fd);
void registry_format_uuid(const uint8_t uuid[16], char ret[37]);
