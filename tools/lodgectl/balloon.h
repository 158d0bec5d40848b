/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest tells of its memory through the balloon, if it was asked to: statistics by virsh's names, sizes in KiB.
 */
#pragma once

#include "tools/lodgectl/client.h"

/* name is dommemstat's, key domstats'. */
typedef void (*BalloonStatFn)(const char *name, const char *key, int64_t value, void *opaque);
/* Nothing, where there is no balloon or the guest has told nothing. */
void balloon_each_stat(Client *client, BalloonStatFn fn, void *opaque);
/* How often the guest is asked; 0: never. */
bool balloon_set_period(Client *client, uint32_t seconds, GError **error);
