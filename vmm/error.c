/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors: an extended GError (GLib 2.68) that also carries its subject and a hint.
 *
 * Locking: none.  The rate limit of guest_error() is kept per thread, so a guest
 * that misbehaves on one vCPU takes no lock and cannot silence another thread.
 */
#include "vmm/error.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "vmm/log.h"

typedef GError LodgeError;

typedef struct LodgeErrorPrivate {
    char *subject;
    char *hint;
} LodgeErrorPrivate;

static void lodge_error_private_init(LodgeErrorPrivate *priv)
{
    priv->subject = NULL;
    priv->hint = NULL;
}

static void lodge_error_private_copy(const LodgeErrorPrivate *from, LodgeErrorPrivate *to)
{
    to->subject = g_strdup(from->subject);
    to->hint = g_strdup(from->hint);
}

static void lodge_error_private_clear(LodgeErrorPrivate *priv)
{
    g_free(priv->subject);
    g_free(priv->hint);
}

G_DEFINE_EXTENDED_ERROR(LodgeError, lodge_error)

static bool set_literal(GError **error, ErrorClass class, const char *message)
{
    g_set_error_literal(error, LODGE_ERROR, (int)class, message);
    return false;
}

bool error_set(GError **error, const char *fmt, ...)
{
    g_autofree char *message = NULL;
    va_list ap;

    va_start(ap, fmt);
    message = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return set_literal(error, ERROR_GENERIC, message);
}

bool error_set_class(GError **error, ErrorClass class, const char *fmt, ...)
{
    g_autofree char *message = NULL;
    va_list ap;

    va_start(ap, fmt);
    message = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return set_literal(error, class, message);
}

bool error_set_errno(GError **error, int err, const char *fmt, ...)
{
    g_autofree char *what = NULL;
    g_autofree char *message = NULL;
    va_list ap;

    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    message = g_strdup_printf("%s: %s", what, g_strerror(err < 0 ? -err : err));
    return set_literal(error, ERROR_GENERIC, message);
}

/* The private part of *error.  An error of another domain (GLib's own) becomes one of ours
 * first.  NULL: the caller wants no error. */
static LodgeErrorPrivate *own(GError **error)
{
    if (!error || !*error) {
        return NULL;
    }
    if ((*error)->domain != LODGE_ERROR) {
        GError *ours = g_error_new_literal(LODGE_ERROR, ERROR_GENERIC, (*error)->message);

        g_error_free(*error);
        *error = ours;
    }
    return lodge_error_get_private(*error);
}

bool error_subject(GError **error, const char *subject)
{
    LodgeErrorPrivate *priv = own(error);

    if (priv && !priv->subject) {
        priv->subject = g_strdup(subject);
        g_prefix_error(error, "%s: ", subject);
    }
    return false;
}

bool error_hint(GError **error, const char *fmt, ...)
{
    LodgeErrorPrivate *priv = own(error);
    va_list ap;

    /* The first hint comes from nearest to the cause: it stays. */
    if (priv && !priv->hint) {
        va_start(ap, fmt);
        priv->hint = g_strdup_vprintf(fmt, ap);
        va_end(ap);
    }
    return false;
}

const char *error_get_subject(const GError *error)
{
    return error->domain == LODGE_ERROR ? lodge_error_get_private(error)->subject : NULL;
}

const char *error_get_hint(const GError *error)
{
    return error->domain == LODGE_ERROR ? lodge_error_get_private(error)->hint : NULL;
}

const char *error_class_name(const GError *error)
{
    static const char *const names[] = {
        [ERROR_GENERIC] = "GenericError",
        [ERROR_COMMAND_NOT_FOUND] = "CommandNotFound",
        [ERROR_DEVICE_NOT_FOUND] = "DeviceNotFound",
        [ERROR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
        [ERROR_KVM_MISSING_CAP] = "KVMMissingCap",
    };

    if (error->domain != LODGE_ERROR || error->code < 0 || (size_t)error->code >= G_N_ELEMENTS(names)) {
        return names[ERROR_GENERIC];
    }
    return names[error->code];
}

char *error_text(const GError *error)
{
    const char *hint = error_get_hint(error);

    return hint ? g_strdup_printf("%s. %s", error->message, hint) : g_strdup(error->message);
}

#define NEAREST_LENGTH_MAX 64

/* Optimal string alignment: insertions, deletions, substitutions, and swaps of neighbours.
 * Both lengths are at most NEAREST_LENGTH_MAX. */
static unsigned distance(const char *a, size_t na, const char *b, size_t nb)
{
    unsigned rows[3][NEAREST_LENGTH_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= nb; j++) {
        last[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= na; i++) {
        unsigned *recycled = before;
        char ca = g_ascii_tolower(a[i - 1]);

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            char cb = g_ascii_tolower(b[j - 1]);
            unsigned best = last[j - 1] + (ca != cb);

            best = MIN(best, last[j] + 1);
            best = MIN(best, row[j - 1] + 1);
            if (i > 1 && j > 1 && ca == g_ascii_tolower(b[j - 2]) && g_ascii_tolower(a[i - 2]) == cb) {
                best = MIN(best, before[j - 2] + 1);
            }
            row[j] = best;
        }
        before = last;
        last = row;
        row = recycled;
    }
    return last[nb];
}

/* Is word the beginning of a candidate, dashes aside?  One or two letters would begin too many. */
static bool begins(const char *word, const char *candidate)
{
    if (strlen(word) < 3) {
        return false;
    }
    while (*word) {
        if (*word == '-' || *word == '_') {
            word++;
        } else if (*candidate == '-' || *candidate == '_') {
            candidate++;
        } else if (g_ascii_tolower(*word++) != g_ascii_tolower(*candidate++)) {
            return false;
        }
    }
    return true;
}

const char *error_nearest(const char *word, const char *const *candidates)
{
    const char *beginning = NULL;
    size_t length = strlen(word);
    unsigned limit = MIN((unsigned)(length + 2) / 3, 4); /* a third of it may be wrong; more letters are another word */
    const char *nearest = NULL;

    if (length > NEAREST_LENGTH_MAX) {
        return NULL;
    }
    for (; *candidates; candidates++) {
        size_t n = strlen(*candidates);
        unsigned d;

        if (n > NEAREST_LENGTH_MAX) {
            continue;
        }
        if (!beginning && begins(word, *candidates)) {
            beginning = *candidates;
        }
        d = distance(word, length, *candidates, n);
        if (d <= limit && d < MAX(length, n)) {
            nearest = *candidates;
            if (d == 0) {
                break;
            }
            limit = d - 1;
        }
    }
    return nearest ? nearest : beginning;
}

/* One call site of guest_error() is known by its format string. */
typedef struct GuestErrorSite {
    const char *fmt;
    int64_t window_us;
    unsigned lines;
} GuestErrorSite;

#define GUEST_ERROR_SITES    64
#define GUEST_ERROR_LINES    5
#define GUEST_ERROR_WINDOW_US G_USEC_PER_SEC

static __thread GuestErrorSite guest_error_sites[GUEST_ERROR_SITES];

/* May this site write another line now?  *ret_dropped: lines it was denied before this one. */
static bool guest_error_allowed(const char *fmt, unsigned *ret_dropped)
{
    GuestErrorSite *site = &guest_error_sites[((uintptr_t)fmt >> 3) % GUEST_ERROR_SITES];
    int64_t now = g_get_monotonic_time();

    *ret_dropped = 0;
    if (site->fmt != fmt || now - site->window_us >= GUEST_ERROR_WINDOW_US) {
        if (site->fmt == fmt && site->lines > GUEST_ERROR_LINES) {
            *ret_dropped = site->lines - GUEST_ERROR_LINES;
        }
        *site = (GuestErrorSite){ .fmt = fmt, .window_us = now };
    }
    return site->lines++ < GUEST_ERROR_LINES;
}

void guest_error(const char *subject, const char *fmt, ...)
{
    g_autofree char *message = NULL;
    unsigned dropped;
    va_list ap;

    if (!log_on(LOG_GUEST_ERRORS) || !guest_error_allowed(fmt, &dropped)) {
        return;
    }
    va_start(ap, fmt);
    message = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (dropped) {
        log_category(LOG_GUEST_ERRORS, "%s: %s (%u more like this)", subject, message, dropped);
    } else {
        log_category(LOG_GUEST_ERRORS, "%s: %s", subject, message);
    }
}
