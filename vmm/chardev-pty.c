/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pseudo terminal: its name is logged, whoever opens it is the peer.
 *
 * Without a peer the master only ever says "hung up", which would keep the loop
 * busy; so it is looked at once a second until somebody opens the other side, and
 * watched from then on.
 *
 * What the peer has not read yet goes with the master, other than with pipes and
 * sockets; so the domain's end waits for that, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/chardev-internal.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/sandbox.h"

#define LOOK_NS NS_PER_SEC
#define SETTLED 2 /* looks that find nothing unread: the kernel takes a moment from our side to the peer's */

typedef struct Pty {
    ChardevFd fd; /* first */
    int master;   /* while nobody is there; else it is fd's */
    char *name;
    Timer *look;
    unsigned looks_at_nothing; /* one after the other, at what the peer has not read */
} Pty;

static void look_again(Pty *pty)
{
    timer_mod(pty->look, clock_ns(clock_realtime) + LOOK_NS);
}

static void look(void *opaque)
{
    Pty *pty = opaque;
    struct pollfd p = { .fd = pty->master, .events = POLLIN };

    if (poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP)) {
        chardev_fd_open(&pty->fd, pty->master, pty->master);
        pty->master = -1;
        chardev_event(&pty->fd.chr, CHARDEV_OPENED);
    } else {
        look_again(pty);
    }
}

static void pty_hung_up(ChardevFd *c)
{
    Pty *pty = (Pty *)c;

    pty->master = fcntl(c->in, F_DUPFD_CLOEXEC, 0);
    chardev_event(&c->chr, CHARDEV_CLOSED);
    chardev_fd_close(c);
    chardev_drop_output(&c->chr);
    if (pty->master >= 0) {
        look_again(pty);
    } else {
        log_warning("%s: no descriptor is left to wait for '%s' to be opened again", c->chr.id, pty->name);
    }
}

/* A terminal that passes every byte as it is. */
static bool make_raw(const char *name)
{
    int slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios mode;
    bool ok = false;

    if (slave >= 0 && tcgetattr(slave, &mode) == 0) {
        cfmakeraw(&mode);
        ok = tcsetattr(slave, TCSAFLUSH, &mode) == 0;
    }
    if (slave >= 0) {
        close(slave);
    }
    return ok;
}

static bool pty_open(Chardev *chr, const void *options, GError **error)
{
    Pty *pty = (Pty *)chr;
    char name[64];
    int master;

    if (!sandbox_check_opening("/dev/ptmx", error)) {
        return false;
    }
    master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, name, sizeof(name))
        || !make_raw(name)) {
        int err = errno;

        if (master >= 0) {
            close(master);
        }
        return error_set_errno(error, err, "cannot make a pseudo terminal");
    }
    pty->master = master;
    pty->name = g_strdup(name);
    pty->fd.hung_up = pty_hung_up;
    pty->fd.in = pty->fd.out = -1;
    pty->look = timer_new(domain_loop(chr->domain), clock_realtime, look, pty);
    look_again(pty);
    log_info("char device redirected to %s (label %s)", name, chr->id);
    return true;
}

static void pty_close(Chardev *chr)
{
    Pty *pty = (Pty *)chr;

    chardev_output_ready(chr);
    timer_free(pty->look);
    chardev_fd_close(&pty->fd);
    if (pty->master >= 0) {
        close(pty->master);
    }
    g_free(pty->name);
}

/* 1 stands for what may still be on its way. */
static size_t pty_unread(Chardev *chr)
{
    Pty *pty = (Pty *)chr;
    struct pollfd p = { .fd = pty->fd.out };
    int peer, bytes = 0;

    if (poll(&p, 1, 0) < 0 || (p.revents & POLLHUP)) {
        return 0;
    }
    peer = ioctl(pty->fd.out, TIOCGPTPEER, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (peer < 0) {
        return 0;
    }
    if (ioctl(peer, FIONREAD, &bytes) < 0) {
        bytes = 0;
    }
    close(peer);
    pty->looks_at_nothing = bytes ? 0 : pty->looks_at_nothing + 1;
    return bytes || pty->looks_at_nothing >= SETTLED ? bytes : 1;
}

static char *pty_filename(const Chardev *chr)
{
    return g_strdup_printf("pty:%s", ((const Pty *)chr)->name);
}

const ChardevClass chardev_pty_class = {
    .name = "pty",
    .size = sizeof(Pty),
    .open = pty_open,
    .close = pty_close,
    .write = chardev_fd_write,
    .watch_output = chardev_fd_watch_output,
    .resume_input = chardev_fd_resume_input,
    .output_fd = chardev_fd_output_fd,
    .filename = pty_filename,
    .unread = pty_unread,
};
