/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libslirp tells GLib's log (domain "Slirp") becomes lines of ours.  A guest may be able to cause them, so the
 * process writes LINES_MAX of them at most, and says when it has; less than warnings is left to GLib.
 *
 * Main thread: that is where libslirp runs.
 */
#include <string.h>

#include "net/user.h"
#include "vmm/log.h"

#define LINES_MAX 100

static void slirp_says(const char *domain, GLogLevelFlags level, const char *message, void *opaque)
{
    static unsigned lines;

    if (lines == LINES_MAX) {
        return;
    }
    log_warning("user network: %.*s", (int)strcspn(message, "\n"), message);
    if (++lines == LINES_MAX) {
        log_warning("user network: %u lines were written, more are left out", LINES_MAX);
    }
}

void net_user_hear_slirp(void)
{
    static unsigned handler;

    if (!handler) {
        handler = g_log_set_handler("Slirp", G_LOG_LEVEL_WARNING | G_LOG_LEVEL_CRITICAL, slirp_says, NULL);
    }
}
