/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions of guest instructions that run natively: the host's processor traps (#DE, #MF,
 * #XM, and as a safety net #UD and #GP), the kernel makes a signal of it, and the handler
 * lets the thread go on in soft_stub_fault() with the vector, in the state that the stub, or
 * translated code, was in.  Vector registers, MXCSR and FSW among them, are the guest's again
 * when it returns.
 *
 * Signal handlers are the process's, so what they need is a file-scope variable: the address
 * ranges of stubs, changed under a lock and read without.  Other traps go to whoever handled
 * them before.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "vmm/error.h"
#include "vmm/x86/soft/stub.h"

#define RANGES 128

/* called: its instructions run as in a function that was just called, the return address on top of the stack. */
typedef struct Range { uintptr_t first, end; bool called; } Range; /* end: atomic, 0 when free */

static const int signals[] = { SIGFPE, SIGILL, SIGSEGV };
static Range ranges[RANGES];
static struct sigaction previous[G_N_ELEMENTS(signals)];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for changes of all these */

static const Range *find(uintptr_t address)
{
    for (unsigned i = 0; i < RANGES; i++) {
        uintptr_t end = __atomic_load_n(&ranges[i].end, __ATOMIC_ACQUIRE);

        if (address < end && address >= ranges[i].first) {
            return &ranges[i];
        }
    }
    return NULL;
}

static bool is_guest_exception(int trap)
{
    return trap == VECTOR_DE || trap == VECTOR_UD || trap == VECTOR_GP || trap == VECTOR_MF || trap == VECTOR_XM;
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
    const struct sigaction *old = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        old = signals[i] == signal ? &previous[i] : old;
    }
    if (old->sa_flags & SA_SIGINFO) {
        old->sa_sigaction(signal, info, context);
    } else if (old->sa_handler == SIG_DFL || (old->sa_handler == SIG_IGN && info->si_code > 0)) {
        /* On return the instruction traps again, or what was sent is sent again, and ends the process. */
        sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
        if (info->si_code <= 0) {
            raise(signal);
        }
    } else if (old->sa_handler != SIG_IGN) {
        old->sa_handler(signal);
    }
}

static void handle(int signal, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;

    const Range *range = find((uintptr_t)r[REG_RIP]);

    if (info->si_code > 0 && is_guest_exception((int)r[REG_TRAPNO]) && range) {
        /* rdi and rsi are arguments already; it does not return, but expects the stack as after a call. */
        r[REG_RSP] -= range->called ? 0 : 8;
        r[REG_RDX] = r[REG_TRAPNO];
        r[REG_RIP] = (greg_t)(uintptr_t)soft_stub_fault;
        return;
    }
    pass_on(signal, info, context);
}

/* lock.  Unless it is in place. */
static bool install(unsigned i, GError **error)
{
    struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK }, old;

    if (sigaction(signals[i], NULL, &old) == 0) {
        if (old.sa_flags & SA_SIGINFO && old.sa_sigaction == handle) {
            return true;
        }
        previous[i] = old;
        if (sigaction(signals[i], &action, NULL) == 0) {
            return true;
        }
    }
    return error_set(error, "cannot handle signal %d for the software CPU: %s", signals[i], strerror(errno));
}

static bool add(uintptr_t first, uintptr_t end, bool called, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        if (!install(i, error)) {
            return false;
        }
    }
    for (unsigned i = 0; i < RANGES; i++) {
        if (!ranges[i].end) {
            ranges[i].first = first;
            ranges[i].called = called;
            __atomic_store_n(&ranges[i].end, end, __ATOMIC_RELEASE);
            return true;
        }
    }
    return error_set(error, "cannot run more than %d domains on the software CPU in one process", RANGES / 2);
}

bool soft_signals_add(uintptr_t first, uintptr_t end, bool called, GError **error)
{
    bool done;

    pthread_mutex_lock(&lock);
    done = add(first, end, called, error);
    pthread_mutex_unlock(&lock);
    return done;
}

void soft_signals_remove(uintptr_t first)
{
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < RANGES; i++) {
        if (ranges[i].first == first) {
            __atomic_store_n(&ranges[i].end, 0, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&lock);
}

/* A trap whose signal is blocked would end the process. */
void soft_cpu_begin(SoftCpu *cpu)
{
    sigset_t set;

    sigemptyset(&set);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaddset(&set, signals[i]);
    }
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
