/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The domains of this user: those that run (vmm/registry.h) and those that are defined (definitions.h), as one list.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "tools/lodgectl/client.h"
#include "tools/lodgectl/verb.h"
#include "vmm/registry.h"

typedef struct Dom {
    char *name;
    RegistryEntry *entry; /* NULL: it has none; one that is not alive is what was left of a killed domain */
    bool active, persistent, autostart;
    char *uuid; /* dom_uuid() fills it in */
} Dom;

/* Active ones by id, then the others by name. */
GPtrArray *domains_list(void);
Dom *domains_find(const char *text, GError **error); /* id, UUID or name */
Dom *domains_named(const char *name); /* NULL: there is none of that name */
void dom_free(Dom *dom);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Dom, dom_free)
const char *dom_uuid(Dom *dom); /* NULL: it has none */

/* The domain that --domain names. */
Dom *cmd_domain(const Cmd *cmd, GError **error);
/* ... and a connection to it.  *ret may be NULL. */
Client *cmd_connect(const Cmd *cmd, Dom **ret, GError **error);

/* Which of both a change is for: --live, --config, --persistent (both, if it runs), --current or nothing (what there
 * is: live if it runs).  The verb has SCOPE_ARGS. */
typedef struct Scope { bool live, config; } Scope;
bool cmd_scope(const Cmd *cmd, const Dom *dom, Scope *ret, GError **error);
#define SCOPE_ARGS { "live", ARG_FLAG, .help = "Only while it runs" }, \
                   { "config", ARG_FLAG, .help = "From its next start on" }, \
                   { "persistent", ARG_FLAG, .help = "From its next start on and, if it runs, now" }, \
                   { "current", ARG_FLAG, .help = "Now if it runs, else from its next start on; as without any of these" }

Client *dom_connect(const Dom *dom, unsigned timeout_ms, GError **error);
#define DOM_TIMEOUT_MS 10000
#define DOM_STATE_TIMEOUT_MS 1000 /* where many are asked, one must not hold up the others */

/* As virsh says it.  The words are constant. */
typedef struct DomState { const char *state, *reason; int number, reason_number; } DomState;
DomState dom_state(const Dom *dom);
DomState dom_state_by(Client *client); /* what a connected one says */
