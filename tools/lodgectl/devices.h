/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The devices of a domain that runs, as QMP's object tree has them: those that were asked for, by an option or later.
 */
#pragma once

#include "tools/lodgectl/client.h"
#include "vmm/json.h"

typedef struct LiveDevice { const char *path, *id, *model; } LiveDevice; /* id NULL: it has none */

/* Each of them, in the order in which they came. */
bool live_devices_each(Client *client, void (*fn)(Client *client, const LiveDevice *device, void *opaque), void *opaque,
                       GError **error);
/* Whether it has properties of all these names; NULL ends them. */
bool live_device_has(Client *client, const LiveDevice *device, const char *const *names);
/* The caller's; NULL: it has none, or it is no text. */
char *live_device_text(Client *client, const LiveDevice *device, const char *property);
