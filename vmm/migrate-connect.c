/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections of a migration with several of them (vmm/migrate-multifd.h): the source makes them when the
 * destination has answered, or, without a return path, at once; the destination goes on to listen when the header has
 * said how many there will be.
 *
 * Functions named "step_" and what they register run on the main thread, others on the migration's.
 */
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/migrate-internal.h"

/* ---- the source ---- */

int migrate_uri_connect(const MigrateUri *uri, GError **error)
{
    return uri->unix_socket ? host_connect_unix(uri->path, error)
                            : host_connect_tcp(uri->host, uri->port, true, true, error);
}

bool migrate_prepare_multifd(Migration *m, GError **error)
{
    const MigrateParameters *p = &m->control->parameters;

    if (!m->control->capability[MIGRATE_MULTIFD]) {
        return true;
    }
    if (!m->uri.unix_socket && !m->uri.port) {
        error_set(error, "capability 'multifd' needs several connections, so a domain can move to unix: and tcp: only");
        return error_hint(error, "Switch it off (migrate-set-capabilities).");
    }
    m->header.channels = p->multifd_channels;
    if (getrandom(&m->header.token, sizeof(m->header.token), 0) != sizeof(m->header.token)) {
        return error_set(error, "there are no random numbers");
    }
    m->multifd_options = (MultifdOptions) {
        p->multifd_channels, m->header.token, (MigrateCompression)p->compression,
        p->compression == MIGRATE_COMPRESS_ZSTD ? p->zstd_level : p->zlib_level,
    };
    return true;
}

bool migrate_connect_channels(Migration *m, GError **error)
{
    if (!m->header.channels) {
        return true;
    }
    m->out = multifd_out_new(m->ram, m->channel, &m->multifd_options);
    for (unsigned i = 0; i < m->header.channels; i++) {
        int fd;

        if (migrate_channel_cancelled(m->channel)) {
            return error_set(error, "the migration was cancelled");
        }
        fd = migrate_uri_connect(&m->uri, error);
        if (fd < 0 || !multifd_out_add(m->out, fd, error)) {
            return false;
        }
    }
    return true;
}

/* ---- the destination ---- */

static void on_channel(int fd, LoopEvents events, void *opaque)
{
    Migration *m = opaque;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (client >= 0 && !multifd_in_add(m->in, client)) {
        migrate_incoming_unlisten(m->control);
    }
}

static bool step_hear_channels(Migration *m, GError **error)
{
    struct MigrateControl *control = m->control;

    if (!m->in) {
        migrate_incoming_unlisten(control);
        return true;
    }
    if (control->listen_fd < 0) {
        return error_set(error, "the source uses several connections, and there is but this one");
    }
    control->listener = loop_add_fd(domain_loop(m->domain), control->listen_fd, LOOP_READ, on_channel, m);
    return true;
}

static void channel_failed(void *opaque)
{
    migrate_channel_cancel(((Migration *)opaque)->channel);
}

bool migrate_accept_channels(Migration *m, const MigrateHeader *theirs, GError **error)
{
    MultifdIn *in = !theirs->channels ? NULL : multifd_in_new(m->ram, m->channel, theirs->channels, theirs->token,
                                                              channel_failed, m);

    pthread_mutex_lock(&m->mutex); /* who cancels looks at it */
    m->in = in;
    pthread_mutex_unlock(&m->mutex);
    return migration_on_main(m, step_hear_channels, error);
}

bool migrate_wait_channels(void *migration, GError **error)
{
    return multifd_in_wait(((Migration *)migration)->in, error);
}
