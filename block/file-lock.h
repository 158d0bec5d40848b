/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks that keep two processes from one image, on the byte ranges that QEMU and
 * its tools look at: byte 100 + n says that permission n is in use, byte 200 + n
 * that it is not shared (open file description locks, always shared ones, so that
 * many may hold and any may ask).
 *
 * Main thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct FileLocks { unsigned used, unshared; } FileLocks; /* bits that are held */

bool file_locks_supported(int fd);
/* Makes *locks what is asked for; on failure it stays as it was and the error says who is in the way. */
bool file_locks_update(FileLocks *locks, int fd, const char *path, unsigned used, unsigned unshared, GError **error);
