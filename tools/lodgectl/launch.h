/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a defined domain: lodge in the background, from its definition.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Returns when it runs (paused: when it could).  What failed is said in lodge's own words. */
bool launch(const char *name, bool paused, GError **error);
/* The same from the file `definition`; it goes on from what comes from there (-incoming). */
bool launch_incoming(const char *name, const char *definition, const char *incoming, bool paused, GError **error);
/* Where systemd runs the host, its unit of that domain is enabled or disabled; a warning if that fails. */
void launch_tell_systemd(const char *name, bool on);
