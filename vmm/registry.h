/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registry of one user's running domains: a folder, and in it one for each domain that
 * has a name.  There is no daemon; files and locks say it all.
 *
 *     ROOT/                 0700; root: /run/lodge, others: $XDG_RUNTIME_DIR/lodge (registry_root())
 *         .lock             held while an entry is made or removed; its text is the last id that was given
 *         .uuid-UUID        a link to the NAME that has it
 *         NAME/             0700
 *             lock          held as long as the domain lives, whatever else the folder says
 *             pid id uuid   one line each; no uuid: it was given none
 *             control.sock  QMP, for several clients at once
 *
 * An entry whose lock nobody holds is what a killed domain left behind; the next of that name
 * takes it over.  Both locks are of the open file (F_OFD_SETLK), so they end with the process,
 * and whether one is held can be seen without taking it.
 *
 * Files that others put into NAME/ by the names below are removed with it.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define REGISTRY_CONTROL      "control.sock"
#define REGISTRY_CONSOLE      "console.sock" /* lodgectl's: the serial port of a domain that it starts */
#define REGISTRY_DEFINITION   "definition.conf" /* lodgectl's: what it started the domain by */
#define REGISTRY_CONSOLE_LOCK "console.lock" /* held by the one who is attached to it */

/* ---- where ---- */
/* The folder of runtime files, which there always is one for; the caller's.  LODGE_RUNTIME_DIR says it for any user. */
char *registry_root(void);
/* That of definitions; LODGE_CONFIG_DIR says it.  NULL: there is none, as below. */
char *registry_config(void);
/* That of the logs of domains that lodgectl starts; LODGE_LOG_DIR says it, else it is `log` in LODGE_CONFIG_DIR. */
char *registry_logs(void);
/* That of saved domains which start goes on from: `save` in LODGE_CONFIG_DIR if that is said. */
char *registry_saves(void);
/* May a domain of this name be listed?  It becomes the name of a folder. */
bool registry_check_name(const char *name, GError **error);

/* ---- the domain's side: main thread ---- */
#define REGISTRY_REQUIRED "LODGE_LISTED" /* a variable that is set: a domain that cannot be listed does not start */
typedef struct Registry Registry;
/* uuid NULL: none was given.  Makes the entry and listens.  false: the name or the UUID is taken, or the name is none.
 * Where no entry can be made the domain is unlisted: *ret is NULL, and *ret_why, the caller's, says why; or it is an
 * error, by REGISTRY_REQUIRED. */
bool registry_enter(const char *name, const uint8_t *uuid, Registry **ret, char **ret_why, GError **error);
/* The listening control socket, the caller's then. */
int registry_take_listener(Registry *registry);
void registry_leave(Registry *registry); /* NULL is fine */

/* ---- the reader's side: any thread ---- */
typedef struct RegistryEntry {
    char *name, *folder;
    char *uuid; /* NULL: none */
    unsigned id;
    pid_t pid;
    bool alive; /* false: the domain was killed */
} RegistryEntry;

/* Every entry in the order of ids, dead ones too. */
GPtrArray *registry_list(const char *root);
RegistryEntry *registry_read(const char *root, const char *name); /* NULL: there is none */
bool registry_is_alive(const char *root, const char *name);
void registry_entry_free(RegistryEntry *entry);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RegistryEntry, registry_entry_free)
