/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP client on a unix socket.  The domain at the other end may be hung or hostile: every call ends in its time, and
 * nothing grows beyond a bound (JSON_STREAM_MAX a value, CLIENT_EVENTS_MAX events that nobody asked for yet).
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "vmm/json.h"

#define CLIENT_EVENTS_MAX 1024

typedef struct Client Client;

/* Connected and negotiated.  name is the domain's, for errors; timeout_ms is that of this and of every request. */
Client *client_open(const char *name, const char *path, unsigned timeout_ms, GError **error);
void client_free(Client *client); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_free)

int client_fd(const Client *client);
/* The process that listens there, as the kernel says. */
pid_t client_pid(const Client *client);
void client_set_timeout(Client *client, unsigned timeout_ms);

/* What the command returns, the caller's.  arguments NULL: none; taken.  The domain's errors keep their class. */
Json *client_run(Client *client, const char *command, Json *arguments, GError **error);
/* The same for a command of which only the success counts. */
bool client_do(Client *client, const char *command, GError **error);
/* A whole request as JSON text; the whole reply, also if it is an error. */
Json *client_request(Client *client, const char *text, GError **error);

/* The next event; *ret is NULL if none came in that time.  false: the domain is gone, or is no QMP server. */
bool client_event(Client *client, unsigned wait_ms, Json **ret, GError **error);
