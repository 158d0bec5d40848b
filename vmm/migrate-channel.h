/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A descriptor that a domain moves through: a socket, a pipe, a file read or written
 * from where it stands.  Reading and writing wait, on one thread, which is not the
 * main one; any thread may cancel, which ends every wait and makes what follows fail.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct MigrateChannel MigrateChannel;

/* Without a descriptor yet: it can be cancelled, and keeps pace. */
MigrateChannel *migrate_channel_new(void);
/* One more of the same migration: who cancels the first cancels it.  The first outlives it. */
MigrateChannel *migrate_channel_new_beside(MigrateChannel *first);
bool migrate_channel_adopt(MigrateChannel *channel, int fd, GError **error); /* takes fd, on success */
void migrate_channel_close(MigrateChannel *channel); /* what it has counted stays */
void migrate_channel_free(MigrateChannel *channel); /* closes; NULL is fine */
bool migrate_channel_is_socket(const MigrateChannel *channel);
bool migrate_channel_is_unix(const MigrateChannel *channel); /* a socket that passes descriptors */
/* Ends reading and writing, of whatever thread, with an error; a socket.  Any thread. */
void migrate_channel_shutdown(MigrateChannel *channel);
/* All of it, or an error. */
bool migrate_channel_write(MigrateChannel *channel, const void *head, size_t head_length, const void *data,
                           size_t length, GError **error);
/* The same, but it may go out with what is written next: for what is short, and nobody waits for. */
bool migrate_channel_write_later(MigrateChannel *channel, const void *data, size_t length, GError **error);
/* The next write takes a descriptor along, which is the channel's from now on; a unix socket. */
void migrate_channel_attach(MigrateChannel *channel, int fd);
/* What came along with what has been read so far, the caller's; -1: none.  None is taken from now on. */
int migrate_channel_detach(MigrateChannel *channel);
/* For who writes to the descriptor by itself: so many bytes are written. */
bool migrate_channel_pace(MigrateChannel *channel, uint64_t bytes, GError **error);
/* Tries once, even when cancelled: the last words. */
void migrate_channel_say(MigrateChannel *channel, const void *data, size_t length);
/* Whether read() has something to say within that time; false when it is cancelled. */
bool migrate_channel_is_readable(MigrateChannel *channel, int timeout_ms);
/* A socket may be read ahead of that: nothing else comes through it. */
bool migrate_channel_read(MigrateChannel *channel, void *data, size_t length, GError **error);
/* Whether the last read() failed because the other end has closed, all that it wrote being read. */
bool migrate_channel_ended(const MigrateChannel *channel);
uint64_t migrate_channel_written(const MigrateChannel *channel); /* bytes; any thread */
/* Bytes a second for write(); 0: as fast as it goes.  Any thread. */
void migrate_channel_set_limit(MigrateChannel *channel, uint64_t limit);
void migrate_channel_cancel(MigrateChannel *channel); /* any thread */
int migrate_channel_cancel_fd(const MigrateChannel *channel); /* can be read when it is cancelled; for poll() */
bool migrate_channel_cancelled(const MigrateChannel *channel);
