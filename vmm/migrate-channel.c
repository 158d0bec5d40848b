/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/migrate-channel.h.  The descriptor does not block; who waits polls it together
 * with an eventfd that cancel() rings.  A regular file is always ready.
 */
#include "vmm/migrate-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/timer.h"

#define SLICE_NS (20 * NS_PER_MS) /* within which the limit holds */
#define SAY_MS   1000 /* until the last word has a place among what nobody has read yet */
#define GATHERED (16u << 10) /* of what is short: fewer calls, and fewer turns of both ends */
#define ROOM     (2 << 20) /* in a local socket: for some records, so that both ends seldom wait for each other */

struct MigrateChannel {
    MigrateChannel *first; /* whose cancel and cancelled are meant: itself, or another */
    int fd, cancel; /* cancel: an eventfd */
    int flags;      /* of the descriptor as it came */
    bool socket, unix_socket, ended;
    int passed;     /* a descriptor that goes with the next write, or came with the first read; -1 */
    bool may_come;  /* one may still come */
    bool cancelled;     /* atomic */
    uint64_t written;   /* atomic */
    uint64_t limit;     /* atomic */
    int64_t slice_from; /* the running slice, and what was written in it */
    uint64_t in_slice;
    size_t later_n;     /* what the next write() takes along */
    size_t ahead_at, ahead_n; /* what was read before it was asked for; a socket has nothing behind the stream */
    uint8_t later[GATHERED], ahead[GATHERED];
};

MigrateChannel *migrate_channel_new(void)
{
    MigrateChannel *channel = g_new0(MigrateChannel, 1);

    channel->first = channel;
    channel->fd = channel->passed = -1;
    channel->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (channel->cancel < 0) {
        g_error("cannot make an eventfd: %s", g_strerror(errno));
    }
    return channel;
}

MigrateChannel *migrate_channel_new_beside(MigrateChannel *first)
{
    MigrateChannel *channel = g_new0(MigrateChannel, 1);

    channel->first = first;
    channel->fd = channel->cancel = channel->passed = -1;
    return channel;
}

/* As far as the host allows it. */
static void make_room(int fd)
{
    const int room = ROOM;

    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    }
}

bool migrate_channel_adopt(MigrateChannel *channel, int fd, GError **error)
{
    int domain = 0, flags = fcntl(fd, F_GETFL);
    socklen_t length = sizeof(domain);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return error_set_errno(error, errno, "cannot use descriptor %d for a migration", fd);
    }
    channel->fd = fd;
    channel->flags = flags;
    channel->socket = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0;
    channel->unix_socket = channel->socket && domain == AF_UNIX;
    channel->may_come = channel->unix_socket && channel->first == channel;
    if (channel->unix_socket) {
        make_room(fd);
    }
    return true;
}

void migrate_channel_close(MigrateChannel *channel)
{
    if (channel->fd >= 0) {
        fcntl(channel->fd, F_SETFL, channel->flags); /* others may share what it describes */
        close(channel->fd);
        channel->fd = -1;
    }
}

static void drop_passed(MigrateChannel *channel)
{
    if (channel->passed >= 0) {
        close(channel->passed);
        channel->passed = -1;
    }
}

void migrate_channel_free(MigrateChannel *channel)
{
    if (channel) {
        migrate_channel_close(channel);
        drop_passed(channel);
        if (channel->cancel >= 0) {
            close(channel->cancel);
        }
        g_free(channel);
    }
}

void migrate_channel_shutdown(MigrateChannel *channel)
{
    shutdown(channel->fd, SHUT_RDWR);
}

bool migrate_channel_is_socket(const MigrateChannel *channel)
{
    return channel->socket;
}

bool migrate_channel_is_unix(const MigrateChannel *channel)
{
    return channel->unix_socket;
}

bool migrate_channel_ended(const MigrateChannel *channel)
{
    return channel->ended;
}

uint64_t migrate_channel_written(const MigrateChannel *channel)
{
    return __atomic_load_n(&channel->written, __ATOMIC_RELAXED);
}

void migrate_channel_set_limit(MigrateChannel *channel, uint64_t limit)
{
    __atomic_store_n(&channel->limit, limit, __ATOMIC_RELAXED);
}

void migrate_channel_cancel(MigrateChannel *channel)
{
    __atomic_store_n(&channel->first->cancelled, true, __ATOMIC_SEQ_CST);
    eventfd_write(channel->first->cancel, 1);
}

int migrate_channel_cancel_fd(const MigrateChannel *channel)
{
    return channel->first->cancel;
}

bool migrate_channel_cancelled(const MigrateChannel *channel)
{
    return __atomic_load_n(&channel->first->cancelled, __ATOMIC_SEQ_CST);
}

static bool was_cancelled(GError **error)
{
    return error_set(error, "the migration was cancelled");
}

static bool wait_for(MigrateChannel *channel, short events, GError **error)
{
    struct pollfd fds[2] = { { channel->fd, events, 0 }, { channel->first->cancel, POLLIN, 0 } };

    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR) {
            return error_set_errno(error, errno, "cannot wait for the migration's other end");
        }
    }
    return !migrate_channel_cancelled(channel) || was_cancelled(error);
}

/* Sleeps when this slice's share is written. */
static bool keep_limit(MigrateChannel *channel, GError **error)
{
    uint64_t limit = __atomic_load_n(&channel->limit, __ATOMIC_RELAXED);
    int64_t now = clock_ns(clock_realtime);
    int64_t due;

    if (!limit) {
        return true;
    }
    due = channel->slice_from + (int64_t)((double)channel->in_slice * NS_PER_SEC / (double)limit);
    if (due - now > SLICE_NS) {
        struct pollfd fd = { channel->first->cancel, POLLIN, 0 };
        int64_t left = due - now - SLICE_NS / 2;
        struct timespec ts = { left / NS_PER_SEC, left % NS_PER_SEC };

        ppoll(&fd, 1, &ts, NULL);
    } else if (now - due > SLICE_NS) { /* what was not used is lost */
        channel->slice_from = now;
        channel->in_slice = 0;
    }
    return !migrate_channel_cancelled(channel) || was_cancelled(error);
}

static void account(MigrateChannel *channel, uint64_t bytes)
{
    channel->in_slice += bytes;
    __atomic_fetch_add(&channel->written, bytes, __ATOMIC_RELAXED);
}

typedef union Ancillary {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
} Ancillary;

static ssize_t write_some(MigrateChannel *channel, const struct iovec *iov, int n)
{
    struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
    Ancillary ancillary = { 0 };
    ssize_t written;

    if (!channel->socket) {
        return writev(channel->fd, iov, n);
    }
    if (channel->passed >= 0) {
        message.msg_control = &ancillary;
        message.msg_controllen = sizeof(ancillary);
        ancillary.align = (struct cmsghdr) { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
        memcpy(CMSG_DATA(&ancillary.align), &channel->passed, sizeof(int));
    }
    written = sendmsg(channel->fd, &message, MSG_NOSIGNAL);
    if (written < 0 && channel->passed >= 0 && errno != EAGAIN && errno != EINTR && errno != EPIPE) {
        drop_passed(channel); /* too many are on their way, or it may not go there: so it does without */
        message.msg_control = NULL;
        message.msg_controllen = 0;
        written = sendmsg(channel->fd, &message, MSG_NOSIGNAL);
    }
    if (written > 0) {
        drop_passed(channel);
    }
    return written;
}

bool migrate_channel_write(MigrateChannel *channel, const void *head, size_t head_length, const void *data,
                           size_t length, GError **error)
{
    struct iovec iov[] = {
        { channel->later, channel->later_n }, { (void *)head, head_length }, { (void *)data, length }
    };
    uint64_t all = channel->later_n + head_length + length;

    channel->may_come = false; /* who writes first is the source, and nobody has descriptors for it */
    if (!keep_limit(channel, error)) {
        return false;
    }
    for (uint64_t left = all; left;) {
        ssize_t n = write_some(channel, iov, G_N_ELEMENTS(iov));

        if (n < 0 && errno == EAGAIN) {
            if (!wait_for(channel, POLLOUT, error)) {
                return false;
            }
            continue;
        }
        if (n < 0 && errno != EINTR) {
            return error_set_errno(error, errno, "cannot write to the migration's other end");
        }
        left -= (uint64_t)MAX(n, 0);
        for (unsigned i = 0; i < G_N_ELEMENTS(iov) && n > 0; i++) {
            size_t part = MIN((size_t)n, iov[i].iov_len);

            if (part) { /* nothing has no address to go on from */
                iov[i].iov_base = (uint8_t *)iov[i].iov_base + part;
                iov[i].iov_len -= part;
                n -= (ssize_t)part;
            }
        }
    }
    channel->later_n = 0;
    account(channel, all);
    return !migrate_channel_cancelled(channel) || was_cancelled(error);
}

bool migrate_channel_write_later(MigrateChannel *channel, const void *data, size_t length, GError **error)
{
    if (channel->later_n + length > sizeof(channel->later) &&
        !migrate_channel_write(channel, NULL, 0, NULL, 0, error)) {
        return false;
    }
    memcpy(channel->later + channel->later_n, data, length);
    channel->later_n += length;
    return !migrate_channel_cancelled(channel) || was_cancelled(error);
}

bool migrate_channel_pace(MigrateChannel *channel, uint64_t bytes, GError **error)
{
    account(channel, bytes);
    return keep_limit(channel, error);
}

void migrate_channel_say(MigrateChannel *channel, const void *data, size_t length)
{
    struct iovec iov = { (void *)data, length };
    struct pollfd fd = { channel->fd, POLLOUT, 0 };

    poll(&fd, 1, SAY_MS);
    (void)!write_some(channel, &iov, 1);
}

bool migrate_channel_is_readable(MigrateChannel *channel, int timeout_ms)
{
    struct pollfd fds[2] = { { channel->fd, POLLIN, 0 }, { channel->first->cancel, POLLIN, 0 } };

    return (channel->ahead_n || poll(fds, 2, timeout_ms) > 0) && !migrate_channel_cancelled(channel);
}

/* The room may be enough for two; the first one is meant. */
static void take_passed(MigrateChannel *channel, struct msghdr *message)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        size_t n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
                                                                             : 0;

        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (channel->passed < 0) {
                channel->passed = fd;
            } else {
                close(fd);
            }
        }
    }
}

static ssize_t read_some(MigrateChannel *channel, void *data, size_t length)
{
    struct iovec iov = { data, length };
    Ancillary ancillary;
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ancillary, .msg_controllen = sizeof(ancillary),
    };
    ssize_t n;

    if (!channel->may_come) {
        return read(channel->fd, data, length);
    }
    n = recvmsg(channel->fd, &message, MSG_CMSG_CLOEXEC);
    if (n >= 0) {
        take_passed(channel, &message);
    }
    return n;
}

void migrate_channel_attach(MigrateChannel *channel, int fd)
{
    channel->passed = fd;
}

int migrate_channel_detach(MigrateChannel *channel)
{
    int fd = channel->passed;

    channel->passed = -1;
    channel->may_come = false;
    return fd;
}

static size_t take_ahead(MigrateChannel *channel, void *data, size_t length)
{
    size_t n = MIN(length, channel->ahead_n);

    memcpy(data, channel->ahead + channel->ahead_at, n);
    channel->ahead_at += n;
    channel->ahead_n -= n;
    return n;
}

/* What is short comes with what is behind it. */
static ssize_t read_more(MigrateChannel *channel, void *data, size_t length)
{
    ssize_t n;

    if (channel->ahead_n) {
        return (ssize_t)take_ahead(channel, data, length);
    }
    if (!channel->socket || length >= sizeof(channel->ahead)) {
        return read_some(channel, data, length);
    }
    n = read_some(channel, channel->ahead, sizeof(channel->ahead));
    if (n <= 0) {
        return n;
    }
    channel->ahead_at = 0;
    channel->ahead_n = (size_t)n;
    return (ssize_t)take_ahead(channel, data, length);
}

bool migrate_channel_read(MigrateChannel *channel, void *data, size_t length, GError **error)
{
    uint8_t *p = data;

    while (length) {
        ssize_t n = read_more(channel, p, length);

        if (n < 0 && errno == EAGAIN) {
            if (!wait_for(channel, POLLIN, error)) {
                return false;
            }
            continue;
        }
        if (n == 0 || (n < 0 && errno == ECONNRESET && channel->unix_socket)) { /* reset: it has not read all of ours */
            channel->ended = true;
            return error_set(error, channel->socket ? "the other end of the migration has closed the channel too early"
                                                    : "the saved domain is cut off");
        }
        if (n < 0 && errno != EINTR) {
            return error_set_errno(error, errno, "cannot read from the migration's other end");
        }
        if (n > 0) {
            p += n;
            length -= (size_t)n;
        }
    }
    return !migrate_channel_cancelled(channel) || was_cancelled(error);
}
