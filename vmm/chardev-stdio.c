/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process' terminal as a chardev: standard input and output.
 *
 * A terminal is raw while the chardev exists, and is put back when that is closed,
 * when the process exits, and when it crashes.  The state needed for this is the
 * process' own, hence file-scope: `terminal`.  Signals see it only while `raw`.
 *
 * Descriptors are opened anew where that works, so that O_NONBLOCK does not fall on
 * the shell's, nor on standard error.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/chardev-internal.h"
#include "vmm/error.h"
#include "vmm/sandbox.h"

static struct {
    bool used; /* there is a stdio chardev */
    volatile sig_atomic_t raw;
    struct termios before, while_raw;
    struct sigaction crash[NSIG];
} terminal;

static const int crash_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGQUIT };

/* ---- the terminal's mode ---- */

/* Async-signal-safe. */
void chardev_restore_terminal(void)
{
    if (terminal.raw) {
        terminal.raw = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.before);
    }
}

static void crashed(int sig, siginfo_t *info, void *context)
{
    chardev_restore_terminal();
    sigaction(sig, &terminal.crash[sig], NULL);
    if (info->si_code <= 0) {
        raise(sig); /* sent, not caused: it would not happen again by itself */
    }
}

/* A shell that had stopped us has set its own mode. */
static void continued(int sig)
{
    if (terminal.raw) {
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.while_raw);
    }
}

static void catch_signals(void)
{
    struct sigaction crash = { .sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };
    struct sigaction cont = { .sa_handler = continued, .sa_flags = SA_RESTART };

    for (unsigned i = 0; i < G_N_ELEMENTS(crash_signals); i++) {
        sigaction(crash_signals[i], &crash, &terminal.crash[crash_signals[i]]);
    }
    sigaction(SIGCONT, &cont, NULL);
    atexit(chardev_restore_terminal);
}

/* Output keeps its post-processing: our own messages end in a bare newline. */
static void set_raw(bool signals)
{
    static bool caught;
    struct termios mode;

    if (tcgetattr(STDIN_FILENO, &terminal.before) < 0) {
        return; /* not a terminal */
    }
    if (!caught) {
        catch_signals();
        caught = true;
    }
    mode = terminal.before;
    mode.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    mode.c_oflag |= OPOST;
    mode.c_lflag &= ~(ECHO | ECHONL | ICANON | IEXTEN);
    mode.c_cflag &= ~(CSIZE | PARENB);
    mode.c_cflag |= CS8;
    mode.c_cc[VMIN] = 1;
    mode.c_cc[VTIME] = 0;
    if (!signals) {
        mode.c_lflag &= ~ISIG;
    }
    terminal.while_raw = mode;
    terminal.raw = 1;
    tcsetattr(STDIN_FILENO, TCSANOW, &mode);
}

/* ---- the chardev ---- */

/* A regular file has no use for O_NONBLOCK, and opened anew it would be written from its start. */
static int own_descriptor(int fd, int mode)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    struct stat st;
    int own = -1;

    if (fstat(fd, &st) < 0) {
        return -1;
    }
    if ((S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)) && sandbox_check_opening(path, NULL)) {
        own = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    return own >= 0 ? own : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* Where the descriptor is still the shell's, it may block: ask first, and write little.  A pipe that
 * is ready takes PIPE_BUF bytes, and a terminal a few. */
#define CAUTIOUS_BYTES 128

static ssize_t cautious_send(ChardevFd *c, const uint8_t *data, size_t length)
{
    struct pollfd p = { .fd = c->out, .events = POLLOUT };

    if (poll(&p, 1, 0) <= 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(c->out, data, MIN(length, CAUTIOUS_BYTES));
}

static bool may_block(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static bool stdio_open(Chardev *chr, const void *opaque, GError **error)
{
    const ChardevStdioOptions *options = opaque;
    ChardevFd *c = (ChardevFd *)chr;
    int in, out;

    if (terminal.used) {
        error_set(error, "standard input and output are in use by another chardev");
        return error_hint(error, "Share them with -chardev stdio,id=ID,mux=on.");
    }
    in = own_descriptor(STDIN_FILENO, O_RDONLY);
    out = own_descriptor(STDOUT_FILENO, O_WRONLY);
    if (in < 0 || out < 0) {
        int err = errno;

        if (in >= 0) {
            close(in);
        }
        if (out >= 0) {
            close(out);
        }
        return error_set_errno(error, err, "cannot use standard input and output");
    }
    terminal.used = true;
    set_raw(options->signal);
    c->send = may_block(out) ? cautious_send : NULL;
    chardev_fd_open(c, in, out);
    chr->connected = true;
    return true;
}

static void stdio_close(Chardev *chr)
{
    chardev_output_ready(chr);
    chardev_fd_close((ChardevFd *)chr);
    chardev_restore_terminal();
    terminal.used = false;
}

const ChardevClass chardev_stdio_class = {
    .name = "stdio",
    .size = sizeof(ChardevFd),
    .open = stdio_open,
    .close = stdio_close,
    .write = chardev_fd_write,
    .watch_output = chardev_fd_watch_output,
    .resume_input = chardev_fd_resume_input,
    .output_fd = chardev_fd_output_fd,
};
