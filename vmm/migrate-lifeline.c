/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/migrate-lifeline.h.  What a source passes is hostile: it is used if it is a
 * unix socket, and never waited for without bound.
 */
#include "vmm/migrate-lifeline.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/timer.h"

#define TAKEN 'T'

struct MigrateLifeline {
    int fd;
    int other; /* source, until it is passed; -1 */
    char word; /* of the other end */
};

#define WORD_SOURCE      'A' /* GAVE_UP */
#define WORD_DESTINATION 'R' /* RUNS */

static MigrateLifeline *lifeline_on(int fd, int other, char word)
{
    MigrateLifeline *lifeline = g_new(MigrateLifeline, 1);

    *lifeline = (MigrateLifeline) { fd, other, word };
    return lifeline;
}

MigrateLifeline *migrate_lifeline_new(void)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        return NULL;
    }
    return lifeline_on(fds[0], fds[1], WORD_DESTINATION);
}

void migrate_lifeline_free(MigrateLifeline *lifeline)
{
    if (lifeline) {
        close(lifeline->fd);
        if (lifeline->other >= 0) {
            close(lifeline->other);
        }
        g_free(lifeline);
    }
}

void migrate_lifeline_pass(MigrateLifeline *lifeline, MigrateChannel *channel)
{
    migrate_channel_attach(channel, lifeline->other);
    lifeline->other = -1;
}

bool migrate_lifeline_is_taken(MigrateLifeline *lifeline)
{
    char word;

    return recv(lifeline->fd, &word, 1, MSG_DONTWAIT) == 1 && word == TAKEN;
}

static bool send_word(const MigrateLifeline *lifeline, char word)
{
    return send(lifeline->fd, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

MigrateLifeline *migrate_lifeline_take(MigrateChannel *channel)
{
    int fd = migrate_channel_detach(channel), domain = 0;
    socklen_t length = sizeof(domain);
    MigrateLifeline *lifeline;

    if (fd < 0) {
        return NULL;
    }
    lifeline = lifeline_on(fd, -1, WORD_SOURCE);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 || domain != AF_UNIX ||
        !send_word(lifeline, TAKEN)) {
        g_clear_pointer(&lifeline, migrate_lifeline_free);
    }
    return lifeline;
}

void migrate_lifeline_say(MigrateLifeline *lifeline)
{
    if (lifeline) {
        send_word(lifeline, lifeline->word == WORD_SOURCE ? WORD_DESTINATION : WORD_SOURCE);
    }
}

MigrateFate migrate_lifeline_fate(MigrateLifeline *lifeline, MigrateChannel *channel, int ms)
{
    int64_t end = clock_ns(clock_realtime) + ms * NS_PER_MS;

    while (lifeline) {
        int64_t left = (end - clock_ns(clock_realtime)) / NS_PER_MS;
        struct pollfd fds[2] = { { lifeline->fd, POLLIN, 0 }, { migrate_channel_cancel_fd(channel), POLLIN, 0 } };
        char word;
        ssize_t n;

        if (left <= 0 || (poll(fds, 2, (int)left) < 0 && errno != EINTR) || migrate_channel_cancelled(channel)) {
            break;
        }
        n = recv(lifeline->fd, &word, 1, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno == ECONNRESET)) {
            return MIGRATE_FATE_DEAD;
        }
        if (n == 1 && word == lifeline->word) {
            return MIGRATE_FATE_SPOKEN;
        }
    }
    return MIGRATE_FATE_UNKNOWN;
}
