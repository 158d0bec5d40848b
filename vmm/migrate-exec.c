/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exec:COMMAND, a domain that moves through a command of the shell: `exec:gzip -c > f`, and back.  The stream is what
 * the command reads, or writes; there is no way for answers.
 *
 * Out: the migration is complete when the command has ended well, so what it could not write is no loss.  While it
 * works on what it has, nobody knows more; a command that takes longer than SOON may itself be the destination (ssh
 * HOST lodge -incoming ...), so when that ends badly the domain does not go on here by itself.  One that ends badly
 * before is no place, as a full disk is none, and the domain goes on: so a destination behind a command has not the
 * promise that unix: and tcp: give, that never both ends run.
 *
 * The command is started on the main thread; what follows is the migration's thread's.
 */
#include <fcntl.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/migrate-internal.h"

#define PIPE_SIZE  (1 << 20) /* fewer changes between the two */
#define SOON_MS    10000
#define REASON_MS  1000 /* until it says why a pipe ends */

bool migrate_command_start(Migration *m, bool reads, GError **error)
{
    int fd;

    m->command = host_command_start(m->uri.command, reads, &fd, error);
    if (!m->command) {
        return false;
    }
    (void)fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE);
    if (!migrate_channel_adopt(m->channel, fd, error)) {
        close(fd);
        return false;
    }
    return true;
}

bool migrate_command_finish(Migration *m, GError **error)
{
    int cancel = migrate_channel_cancel_fd(m->channel);

    if (!m->command) {
        return true;
    }
    migrate_channel_close(m->channel);
    if (!host_command_wait(m->command, cancel, SOON_MS) && !migrate_channel_cancelled(m->channel)) {
        log_info("the command of the migration has taken everything, and goes on");
        m->uncertain = true;
        host_command_wait(m->command, cancel, -1);
    }
    if (migrate_channel_cancelled(m->channel)) {
        m->uncertain = false; /* by who knows */
        return error_set(error, "the migration was cancelled");
    }
    return host_command_result(m->command, error);
}

void migrate_command_explain(Migration *m, GError **error)
{
    g_autoptr(GError) reason = NULL;

    if (!m->command || m->uncertain || migrate_channel_cancelled(m->channel)) {
        return;
    }
    migrate_channel_close(m->channel);
    if (host_command_wait(m->command, migrate_channel_cancel_fd(m->channel), REASON_MS) &&
        !host_command_result(m->command, &reason)) {
        g_clear_error(error);
        g_propagate_error(error, g_steal_pointer(&reason));
    }
}
