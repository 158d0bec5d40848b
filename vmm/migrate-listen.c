/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a domain that moves here is waited for: unix: and tcp:.  The first that comes is its source; but who only asks
 * whether it could go on here (the header's `check`) gets an answer, and another one may come.
 *
 * Main thread.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/migrate-internal.h"

void migrate_incoming_unlisten(struct MigrateControl *control)
{
    g_clear_pointer(&control->listener, loop_remove_fd);
    if (control->listen_fd >= 0) {
        close(control->listen_fd);
        control->listen_fd = -1;
    }
    if (control->listen_path && control->listen_path[0] != '@') {
        unlink(control->listen_path);
    }
    g_clear_pointer(&control->listen_path, g_free);
}

/* The first that comes is the source; nobody else is heard before it has said whether there is more. */
static void on_connection(int fd, LoopEvents events, void *opaque)
{
    struct MigrateControl *control = opaque;
    Migration *m = control->migration;
    g_autoptr(GError) error = NULL;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (client < 0) {
        return;
    }
    g_clear_pointer(&control->listener, loop_remove_fd);
    if (m->started) { /* by who asked: its thread has nothing left to do */
        pthread_join(m->thread, NULL);
        m->started = false;
    }
    if (!migrate_channel_adopt(m->channel, client, &error) || !migrate_incoming_start(m, false, &error)) {
        migrate_incoming_failed(m, error);
    }
}

bool migrate_listen(Migration *m, GError **error)
{
    struct MigrateControl *control = m->control;
    const MigrateUri *uri = &m->uri;
    int fd = uri->unix_socket ? host_listen_unix(uri->path, error)
                              : host_listen_tcp(uri->host, uri->port, true, true, error);

    if (fd < 0) {
        return false;
    }
    control->listen_fd = fd;
    control->listen_path = uri->unix_socket ? g_strdup(uri->path) : NULL;
    control->listener = loop_add_fd(domain_loop(control->domain), fd, LOOP_READ, on_connection, control);
    return true;
}

void migrate_listen_again(Migration *m)
{
    struct MigrateControl *control = m->control;

    migration_close(m);
    migrate_channel_free(m->channel);
    m->channel = migrate_channel_new();
    m->asked = false;
    control->listener =
        loop_add_fd(domain_loop(control->domain), control->listen_fd, LOOP_READ, on_connection, control);
}
