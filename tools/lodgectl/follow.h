/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sending a running domain somewhere, and following how far it is.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "tools/lodgectl/client.h"
#include "tools/lodgectl/verb.h"

/* SIGINT and SIGTERM give up what is under way, from now on. */
void follow_catch_interrupts(void);
bool follow_interrupted(void);

typedef struct FollowOptions {
    const char *definition; /* to be kept with it; NULL: none */
    uint32_t bandwidth;     /* MiB a second; 0: any */
    bool several;           /* through as many connections as other clients have chosen (multifd) */
} FollowOptions;
/* Begins a migration to that URI, in which nobody waits for another client. */
bool follow_begin(Client *client, const char *uri, const FollowOptions *options, GError **error);
/* Where it is: on a terminal a bar on standard error, which `what` names.  *ret_done: it has gone; false: it failed. */
bool follow_look(const Cmd *cmd, const char *what, Client *client, bool *ret_done, GError **error);
/* Until it has gone; an interrupt gives it up. */
bool follow_to_end(const Cmd *cmd, const char *what, Client *client, GError **error);
/* Its process has nothing more to do; returns when it has gone, which it may have before it could answer. */
bool follow_end(Client *client, GError **error);
/* Ends the process of a domain that nobody is connected to, if there is one of that name; by force if it does not. */
void follow_kill(const char *name);
