/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signals that end the process: blocked everywhere, read from a signalfd(2) on the
 * main loop.  One that comes before the loop runs waits there.
 *
 * Locking: none; main thread.
 */
#include "vmm/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/log.h"

struct Signals {
    Domain *domain;
    int fd;
    LoopFd *watch;
};

static sigset_t ending_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    return set;
}

void signals_block(void)
{
    sigset_t set = ending_signals();

    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN); /* a peer that goes away is an error of its write */
}

static void signal_came(int fd, LoopEvents events, void *opaque)
{
    Signals *s = opaque;
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) == sizeof(info)) {
        /* 0: the terminal's, or that of a process which our namespace does not have */
        g_autofree char *from = info.ssi_pid ? g_strdup_printf(" of process %u", info.ssi_pid) : g_strdup("");

        log_info("ending, as signal %u (%s)%s asks for", info.ssi_signo, g_strsignal((int)info.ssi_signo), from);
        domain_request_shutdown(s->domain, REASON_HOST_SIGNAL);
    }
}

Signals *signals_attach(Domain *domain, GError **error)
{
    sigset_t set = ending_signals();
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    Signals *s;

    if (fd < 0) {
        error_set_errno(error, errno, "Cannot watch for signals");
        return NULL;
    }
    s = g_new(Signals, 1);
    *s = (Signals){ .domain = domain, .fd = fd };
    s->watch = loop_add_fd(domain_loop(domain), fd, LOOP_READ, signal_came, s);
    return s;
}

void signals_detach(Signals *signals)
{
    if (signals) {
        loop_remove_fd(signals->watch);
        close(signals->fd);
        g_free(signals);
    }
}
