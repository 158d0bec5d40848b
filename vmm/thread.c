/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads of this process: see vmm/thread.h.  Locking: none. */
#include "vmm/thread.h"

#include <glib.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/timer.h"

static const int caused_signals[] = { SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP };

int thread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *opaque), void *opaque)
{
    sigset_t blocked, before;
    int err;

    sigfillset(&blocked);
    for (unsigned i = 0; i < G_N_ELEMENTS(caused_signals); i++) {
        sigdelset(&blocked, caused_signals[i]);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    err = pthread_create(ret, attr, fn, opaque);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

void thread_wait_while(const unsigned *word, unsigned value, int64_t until_ns)
{
    struct timespec until = { .tv_sec = until_ns / NS_PER_SEC, .tv_nsec = until_ns % NS_PER_SEC };

    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, until_ns == INT64_MAX ? NULL : &until, NULL,
            FUTEX_BITSET_MATCH_ANY);
}

void thread_wake_all(const unsigned *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
