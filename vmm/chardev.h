/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices: byte streams from a device or a monitor to the host (stdio,
 * file, pipe, pty, sockets, null, ringbuf).  One front end at a time, unless a mux
 * stands between.  Callbacks come on the main loop, with the front end's lock (a
 * device's) held when it has one.
 *
 * Input: the backend asks can_receive() and hands at most that many bytes.
 * Output: chardev_write() takes what fits and never blocks; the front end asks to
 * be called back when there is room.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/device.h"
#include "vmm/field.h"

typedef struct Chardev Chardev;
typedef enum ChardevEvent {
    CHARDEV_OPENED, CHARDEV_CLOSED, CHARDEV_BREAK, CHARDEV_MUX_IN, CHARDEV_MUX_OUT
} ChardevEvent;

typedef struct ChardevFrontend {
    Lock *lock; /* taken around the callbacks; NULL: none */
    size_t (*can_receive)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *data, size_t length);
    void (*event)(void *opaque, ChardevEvent event);
    void (*writable)(void *opaque); /* once, after chardev_want_write() */
    void *opaque;
    bool background; /* on a mux: leaves the focus to another front end, if there is one */
    bool commands;   /* what is received may reshape the domain: nothing is while somebody waits (loop_defer()) */
} ChardevFrontend;

/* ---- main thread ---- */
extern const FieldStruct chardev_options; /* chardev-add: { "id", "backend": { "type", "data" } } */
Chardev *chardev_add(Domain *domain, const Json *options, GError **error);
/* chardev-change: another backend under the same id, to which the device that uses it moves.  On failure nothing
 * changes. */
Chardev *chardev_change(Domain *domain, const Json *options, GError **error);
/* -chardev text: "socket,id=x,path=...,server=on,wait=off" */
Chardev *chardev_add_text(Domain *domain, const char *text, GError **error);
/* The short form of -serial, -monitor, ...: "stdio", "mon:stdio", "pty", "unix:/p,server", "file:x",
 * "none" (*ret is NULL). */
bool chardev_add_short(Domain *domain, const char *id, const char *text, Chardev **ret, GError **error);
bool chardev_remove(Domain *domain, const char *id, GError **error);
void chardev_remove_all(Domain *domain); /* the domain's end: no device is left */
/* Before that, of a domain that does not start: who is connected, or waits to be, sees the end of it when the
 * process ends, not when its chardev is removed.  libvirt asks then whether the process is gone, and only if it is
 * reads why. */
void chardev_keep_connections(Domain *domain);
/* Before the end, while what writes is still there: the hosts of all get a second in all to take what waits for them.
 * What they have not taken by then is lost, with a warning.  Returns at once where nothing waits. */
void chardev_flush_all(Domain *domain);
/* Puts the terminal back as it was before stdio was opened; async-signal-safe. */
void chardev_restore_terminal(void);
Chardev *chardev_find(Domain *domain, const char *id, GError **error);
typedef bool (*ChardevFn)(Chardev *chr, void *opaque);
bool chardev_each(Domain *domain, ChardevFn fn, void *opaque); /* by id */
const char *chardev_id(const Chardev *chr);
char *chardev_filename(const Chardev *chr); /* "pty:/dev/pts/3"; caller frees */
bool chardev_frontend_open(const Chardev *chr);
bool chardev_is_mux(const Chardev *chr);
bool chardev_wants_monitor(const Chardev *chr); /* "mon:" stood in front of its short form */
extern const FieldStruct chardev_text_options; /* -chardev */
void chardev_help(GString *out);
bool chardev_backend_help(const char *backend, GString *out, GError **error);
extern const LinkClass chardev_link;

/* Attaches a front end; an opened backend reports CHARDEV_OPENED.  false: in use. */
bool chardev_attach(Chardev *chr, const ChardevFrontend *fe, GError **error);
void chardev_detach(Chardev *chr, void *opaque);
void chardev_set_frontend_open(Chardev *chr, bool open); /* the guest opened its port */

/* ---- thread of the front end's device ---- */
/* Bytes taken; less than length: full.  While no peer is connected all are taken, and lost, as on a
 * line with nothing plugged in. */
size_t chardev_write(Chardev *chr, const uint8_t *data, size_t length);
void chardev_want_write(Chardev *chr);   /* calls writable() when there is room */
void chardev_accept_input(Chardev *chr); /* can_receive() may have grown */
bool chardev_connected(const Chardev *chr);
/* Hangs up on a peer that was found to be gone when something was written to it, with all that it sent and nobody read.
 * false: it may still be there.  Main thread. */
bool chardev_end_lost(Chardev *chr);
void chardev_send_break(Chardev *chr);
/* For a front end that speaks for itself, with descriptors: the socket of the peer, non-blocking and borrowed until
 * CHARDEV_CLOSED.  Its can_receive() says 0.  -1: there is no peer, or the chardev is no local socket. */
int chardev_borrow_socket(Chardev *chr);
void chardev_hang_up(Chardev *chr); /* main thread: the peer of that socket has gone, or is to go */
/* Descriptors received with the bytes just handed to receive() (sockets); taken by the caller. -1: none. */
int chardev_take_fd(Chardev *chr);
