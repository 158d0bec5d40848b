/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host: every opening of a path, connecting, executing and loading goes
 * through here, so that policy (sandbox, descriptor sets, what to say when it is
 * refused) has one home.  Descriptors come back close-on-exec.  Main thread unless
 * said otherwise.  Descriptor sets, pid file and daemon are the process' (file-scope
 * state in host.c and host-daemon.c).
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* open(2); "/dev/fdset/N" is looked up in the descriptor sets (-add-fd).  -1 and error: names the
 * path and says what to do (missing, permission, directory).  Any thread. */
int host_open(const char *path, int flags, mode_t mode, GError **error);
/* Whole file, at most max bytes. */
bool host_read_file(const char *path, uint64_t max, uint8_t **ret_data, size_t *ret_length, GError **error);
bool host_write_file(const char *path, const void *data, size_t length, mode_t mode, GError **error);
/* Sockets: any thread; they may block.  A path "@NAME" is in the abstract namespace. */
int host_listen_unix(const char *path, GError **error);  /* 0600; replaces a dead socket */
int host_connect_unix(const char *path, GError **error);
int host_listen_tcp(const char *host, const char *port, bool ipv4, bool ipv6, GError **error);
int host_connect_tcp(const char *host, const char *port, bool ipv4, bool ipv6, GError **error);
int host_memfd(const char *name, unsigned flags, GError **error);
/* An inherited descriptor by number: must be open. */
int host_inherited_fd(const char *text, GError **error);

bool host_fdset_add(unsigned set, int fd, const char *opaque, GError **error);
typedef void (*HostFdFn)(unsigned set, int fd, const char *opaque_text, void *opaque);
void host_fdset_each(HostFdFn fn, void *opaque);

/* -daemonize: forks; the parent waits and exits with the child's status.  Returns in the child.
 * Before any thread, loop or accelerator exists. */
bool host_daemonize(GError **error);
void host_daemonize_done(void); /* the child is ready: parent exits 0; stdio goes to /dev/null */
bool host_write_pidfile(const char *path, GError **error); /* locked, removed at exit */
void host_cleanup(void);
