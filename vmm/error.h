/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors of the host and of the user: one GError domain whose codes are the QMP
 * error classes, extended by a subject (the object concerned) and a hint (the
 * way out).  One sentence: what was tried, on what, why it failed.
 *
 * Three kinds of failure are kept apart:
 *   - host, user, stream, monitor client: GError, last parameter, and a false or
 *     NULL return.  Detect or report, never both.
 *   - an I/O completed badly: negative errno in the completion.
 *   - the guest misbehaved: what the hardware would do, and guest_error().
 *
 * Any thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum ErrorClass {
    ERROR_GENERIC,
    ERROR_COMMAND_NOT_FOUND,
    ERROR_DEVICE_NOT_FOUND,
    ERROR_DEVICE_NOT_ACTIVE,
    ERROR_KVM_MISSING_CAP,
} ErrorClass;

#define LODGE_ERROR (lodge_error_quark())
GQuark lodge_error_quark(void);

/* Sets *error (if error is not NULL) to a new error.  The message is one clause
 * without a full stop.  Each returns false, so that a failing function can end
 * in `return error_set(...)`. */
bool error_set(GError **error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
bool error_set_class(GError **error, ErrorClass class, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
/* Appends ": " and strerror(err); err may be positive or negative. */
bool error_set_errno(GError **error, int err, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

/* Puts "SUBJECT: " before the message once, and records it. */
bool error_subject(GError **error, const char *subject);
/* Adds the way out, a whole sentence ("Use ... instead.").  Returns false. */
bool error_hint(GError **error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

const char *error_get_subject(const GError *error); /* NULL: none; owned by the error */
const char *error_get_hint(const GError *error);    /* NULL: none; owned by the error */
const char *error_class_name(const GError *error);  /* "GenericError", ... as on the wire */
/* "message. Hint": what a terminal shows.  Caller frees. */
char *error_text(const GError *error);

/* The candidate nearest to word (Damerau-Levenshtein, case ignored), or NULL if
 * none is near enough to be what was meant.  candidates ends in NULL. */
const char *error_nearest(const char *word, const char *const *candidates);

/* The guest broke a rule of SUBJECT's specification.  Logged under -d
 * guest_errors, at most a few a second for one call site; never fatal. */
void guest_error(const char *subject, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
