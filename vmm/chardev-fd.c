/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chardevs on descriptors: what stdio, file, pipe, pty and socket have in common,
 * and the two that need nothing else, file and pipe.
 *
 * Input is watched only while the front end has room; output only while some is
 * waiting.  Descriptors that could block are non-blocking.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "vmm/chardev-internal.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

static ssize_t plain_read(ChardevFd *c, uint8_t *data, size_t length)
{
    return read(c->in, data, length);
}

static ssize_t plain_write(ChardevFd *c, const uint8_t *data, size_t length)
{
    return write(c->out, data, length);
}

/* ---- input ---- */

static void watch_input(ChardevFd *c, bool on)
{
    LoopEvents output = c->in_watch == c->out_watch && c->output_on ? LOOP_WRITE : 0;

    c->input_on = on;
    if (c->in_watch) {
        loop_fd_set_events(c->in_watch, (on ? LOOP_READ : 0) | output);
    }
}

/* Also what the front end has no room for yet. */
static bool has_output(ChardevFd *c)
{
    return chardev_output_pending(&c->chr) || __atomic_load_n(&c->chr.wants_write, __ATOMIC_SEQ_CST);
}

static void end_when_sent(ChardevFd *c)
{
    if (has_output(c)) {
        chardev_fd_watch_output(&c->chr, true);
    } else {
        c->hung_up(c);
    }
}

static void readable(ChardevFd *c)
{
    uint8_t data[CHARDEV_INPUT_MAX];
    size_t room = chardev_input_room(&c->chr);
    ssize_t n;

    if (!room) {
        watch_input(c, false);
        return;
    }
    n = c->receive(c, data, room);
    if (n > 0) {
        chardev_input(&c->chr, data, n);
    } else if (n == 0 && c->half_closes) {
        watch_input(c, false);
        c->ended = true;
        end_when_sent(c);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        watch_input(c, false);
        c->hung_up(c);
    }
}

static void ready(int fd, LoopEvents events, void *opaque)
{
    ChardevFd *c = opaque;

    if (events & LOOP_WRITE) {
        chardev_output_ready(&c->chr);
    }
    if (c->ended && c->in_watch) {
        if (events & LOOP_HANGUP) {
            c->hung_up(c);
        } else {
            end_when_sent(c);
        }
        return;
    }
    if ((events & LOOP_READ) && c->in_watch && fd == c->in) {
        readable(c);
    }
}

void chardev_fd_resume_input(Chardev *chr)
{
    ChardevFd *c = (ChardevFd *)chr;

    if (c->in_watch && c->chr.connected && !c->ended) {
        watch_input(c, true);
    }
}

/* ---- output ---- */

ssize_t chardev_fd_write(Chardev *chr, const uint8_t *data, size_t length)
{
    ChardevFd *c = (ChardevFd *)chr;
    size_t done = 0;

    while (done < length) {
        ssize_t n = c->out < 0 ? -1 : c->send(c, data + done, length - done);

        if (n >= 0) {
            done += n;
        } else if (c->out < 0 || (errno != EAGAIN && errno != EINTR)) {
            return -1;
        } else if (errno == EAGAIN) {
            break;
        }
    }
    return done;
}

void chardev_fd_watch_output(Chardev *chr, bool on)
{
    ChardevFd *c = (ChardevFd *)chr;
    LoopEvents input = c->in_watch == c->out_watch && c->input_on ? LOOP_READ : 0;

    c->output_on = on;
    if (c->out_watch) {
        loop_fd_set_events(c->out_watch, (on ? LOOP_WRITE : 0) | input);
    }
}

int chardev_fd_output_fd(const Chardev *chr)
{
    return ((const ChardevFd *)chr)->out;
}

/* ---- opening and closing ---- */

static void ignore_hang_up(ChardevFd *c)
{
}

void chardev_fd_open(ChardevFd *c, int in, int out)
{
    Loop *loop = domain_loop(c->chr.domain);

    c->receive = c->receive ? c->receive : plain_read;
    c->send = c->send ? c->send : plain_write;
    c->hung_up = c->hung_up ? c->hung_up : ignore_hang_up;
    lock_acquire(&c->chr.lock);
    c->in = in;
    c->out = out;
    lock_release(&c->chr.lock);
    c->in_watch = in >= 0 ? loop_add_fd(loop, in, LOOP_READ, ready, c) : NULL;
    c->out_watch = out < 0 ? NULL : out == in ? c->in_watch : loop_add_fd(loop, out, 0, ready, c);
    c->input_on = in >= 0;
    c->ended = false;
    c->output_on = false;
}

/* The descriptors go under the lock: a vCPU may be in the middle of a write. */
void chardev_fd_close(ChardevFd *c)
{
    int in = c->in, out = c->out;

    if (c->out_watch != c->in_watch) {
        loop_remove_fd(c->out_watch);
    }
    loop_remove_fd(c->in_watch);
    c->in_watch = NULL;
    c->out_watch = NULL;
    lock_acquire(&c->chr.lock);
    c->in = -1;
    c->out = -1;
    lock_release(&c->chr.lock);
    if (out >= 0 && out != in) {
        close(out);
    }
    if (in >= 0) {
        close(in);
    }
}

static void fd_close(Chardev *chr)
{
    chardev_output_ready(chr); /* as far as the host takes it now: chardev_flush_all() waits */
    chardev_fd_close((ChardevFd *)chr);
}

/* ---- file ---- */

static bool file_open(Chardev *chr, const void *opaque, GError **error)
{
    const ChardevFileOptions *options = opaque;
    int in = -1;
    int out = host_open(options->path, O_WRONLY | O_CREAT | (options->append ? O_APPEND : O_TRUNC), 0666, error);

    if (out < 0) {
        return false;
    }
    if (options->input_path) {
        in = host_open(options->input_path, O_RDONLY | O_NONBLOCK, 0, error);
        if (in < 0) {
            close(out);
            return false;
        }
    }
    chardev_fd_open((ChardevFd *)chr, in, out);
    chr->connected = true;
    return true;
}

const ChardevClass chardev_file_class = {
    .name = "file",
    .size = sizeof(ChardevFd),
    .open = file_open,
    .close = fd_close,
    .write = chardev_fd_write,
    .watch_output = chardev_fd_watch_output,
    .resume_input = chardev_fd_resume_input,
    .output_fd = chardev_fd_output_fd,
};

/* ---- pipe: PATH.in and PATH.out, or PATH both ways ---- */

/* Opened for both directions, so that neither opening nor a peer that leaves ends the stream. */
static int open_fifo(const char *path, GError **error)
{
    return host_open(path, O_RDWR | O_NONBLOCK, 0, error);
}

static bool pipe_open(Chardev *chr, const void *opaque, GError **error)
{
    const ChardevPathOptions *options = opaque;
    g_autofree char *in_path = g_strconcat(options->path, ".in", NULL);
    g_autofree char *out_path = g_strconcat(options->path, ".out", NULL);
    int in = open_fifo(in_path, NULL), out = open_fifo(out_path, NULL);

    if (in < 0 || out < 0) {
        if (in >= 0) {
            close(in);
        }
        if (out >= 0) {
            close(out);
        }
        in = out = open_fifo(options->path, error);
        if (in < 0) {
            return error_hint(error, "Make the pipes first: mkfifo %s %s", in_path, out_path);
        }
    }
    chardev_fd_open((ChardevFd *)chr, in, out);
    chr->connected = true;
    return true;
}

const ChardevClass chardev_pipe_class = {
    .name = "pipe",
    .size = sizeof(ChardevFd),
    .open = pipe_open,
    .close = fd_close,
    .write = chardev_fd_write,
    .watch_output = chardev_fd_watch_output,
    .resume_input = chardev_fd_resume_input,
    .output_fd = chardev_fd_output_fd,
};
