/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The domain's memory balloon: at most one device provides it.  Commands balloon and
 * query-balloon, event BALLOON_CHANGE.
 *
 * Sizes are those of the guest's memory in bytes: all of RAM less what is in the
 * balloon.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/event.h"

/* What a device provides.  Main thread, no lock held. */
typedef struct BalloonClass {
    void (*set_target)(void *opaque, uint64_t bytes); /* > 0, at most the machine's RAM */
    uint64_t (*actual)(void *opaque);
} BalloonClass;

/* realize: false if the domain has one already. */
bool balloon_attach(Domain *domain, const BalloonClass *class, void *opaque, GError **error);
void balloon_detach(Domain *domain, void *opaque);
void balloon_changed(Domain *domain, uint64_t actual); /* any thread, any lock: the guest moved */

extern const Command balloon_commands[];
extern const EventType event_balloon_change;
