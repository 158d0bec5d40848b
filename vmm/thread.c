/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads of this process: see vmm/thread.h.  Locking: none. */
#include "vmm/thread.h"

#include <glib.h>
#include <signal.h>

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
