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
int host_write_all(int fd, const void *data, size_t length); /* 0 or a negative errno.  Any thread. */
bool host_write_file(const char *path, const void *data, size_t length, mode_t mode, GError **error);
/* Sockets: any thread; they may block.  A path "@NAME" is in the abstract namespace. */
int host_listen_unix(const char *path, GError **error);  /* 0600; replaces a dead socket */
int host_connect_unix(const char *path, GError **error);
int host_listen_tcp(const char *host, const char *port, bool ipv4, bool ipv6, GError **error);
int host_connect_tcp(const char *host, const char *port, bool ipv4, bool ipv6, GError **error);
/* Runs a program to its end; false: it could not be started, or failed.  Refused where -sandbox forbids to start
 * programs. */
bool host_run(const char *const *argv, GError **error);
/* The same, with input as its standard input; what it says on standard error is *ret_said, as one line (the caller's;
 * NULL: it was not started). */
bool host_run_with(const char *const *argv, int input, char **ret_said, GError **error);
/* A command of the shell that reads from *ret_fd, or writes to it (the caller's, a pipe).  NULL: error.  Main
 * thread. */
typedef struct HostCommand HostCommand;
HostCommand *host_command_start(const char *text, bool reads, int *ret_fd, GError **error);
/* Waits until it has ended, cancel_fd (-1: none) can be read, or time is over (-1: never).  Whether it has ended.  Any
 * thread, as below. */
bool host_command_wait(const HostCommand *command, int cancel_fd, int timeout_ms);
/* When it has ended: whether all went well. */
bool host_command_result(HostCommand *command, GError **error);
void host_command_free(HostCommand *command); /* ends it, if it has not; NULL is fine */
int host_memfd(const char *name, unsigned flags, GError **error);
/* A descriptor that was passed, the caller's then: inherited, by number, and open; or by the name that a monitor client
 * gave it (getfd). */
int host_passed_fd(const char *text, GError **error);
/* The names: char * to descriptor (GINT_TO_POINTER).  The monitor sets it around each command of the client whose
 * they are; NULL: none. */
void host_set_named_fds(GHashTable *names);

bool host_fdset_add(unsigned set, int fd, const char *opaque, GError **error);
typedef void (*HostFdFn)(unsigned set, int fd, const char *opaque_text, void *opaque);
void host_fdset_each(HostFdFn fn, void *opaque);
unsigned host_fdset_next(void); /* the lowest number that no set has */
/* Monitor clients come and go, main thread.  With the last one, if `tidy`, goes what clients put into sets and nobody
 * has opened: nobody else knows of it. */
void host_fdset_client_came(void);
void host_fdset_client_left(bool tidy);
/* Closes that descriptor of the set, or all of them (fd < 0).  What was opened from them stays open. */
bool host_fdset_remove(unsigned set, int fd, GError **error);

/* Before anything is opened: from then on host_passed_fd() knows what is inherited.  Standard streams that this process
 * was started without become /dev/null, so no other descriptor is taken for one. */
void host_inherit(void);
/* -daemonize: forks; the parent waits and exits with the child's status.  Returns in the child.
 * Before any thread, loop or accelerator exists. */
bool host_daemonize(GError **error);
/* The child is ready: the parent exits 0; stdio goes to /dev/null, standard error to log_fd if that is one. */
void host_daemonize_done(int log_fd);
bool host_write_pidfile(const char *path, GError **error); /* locked, removed at exit */
void host_cleanup(void);
