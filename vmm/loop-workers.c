/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A loop's worker threads: they make the system calls that would block it.
 *
 * Workers start on demand, up to WORKERS_MAX, and leave after WORKER_IDLE_S without
 * work.  The mutex protects the queue and the counts; what is done goes back on a
 * lock-free stack of the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "vmm/loop-internal.h"
#include "vmm/thread.h"

#define WORKERS_MAX   16
#define WORKER_IDLE_S 10

struct LoopWorkers {
    Loop *loop;
    pthread_mutex_t mutex;
    pthread_cond_t work, left;
    LoopIo *first, **tail;
    unsigned threads, idle;
    bool quitting;
};

static int worker_do(LoopIo *io)
{
    ssize_t n;

    do {
        switch (io->op) {
        case LOOP_IO_READV:
            n = preadv2(io->fd, io->iov, io->niov, io->offset, io->flags);
            break;
        case LOOP_IO_WRITEV:
            n = pwritev2(io->fd, io->iov, io->niov, io->offset, io->flags);
            break;
        case LOOP_IO_FDATASYNC:
            n = fdatasync(io->fd);
            break;
        case LOOP_IO_FALLOCATE:
            n = fallocate(io->fd, io->flags, io->offset, io->length);
            break;
        default:
            return io->call(io->opaque);
        }
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (int)n;
}

static void hand_back(LoopIo *io)
{
    Loop *loop = io->loop;

    io->next = __atomic_load_n(&loop->worker_done, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&loop->worker_done, &io->next, io, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
    loop_wake(loop);
}

/* Mutex held.  False: nothing came in time. */
static bool wait_for_work(LoopWorkers *workers)
{
    struct timespec until;
    int err = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WORKER_IDLE_S;
    workers->idle++;
    while (!workers->first && !workers->quitting && err != ETIMEDOUT) {
        err = pthread_cond_timedwait(&workers->work, &workers->mutex, &until);
    }
    workers->idle--;
    return workers->first != NULL;
}

static void *worker_main(void *opaque)
{
    LoopWorkers *workers = opaque;

    pthread_setname_np(pthread_self(), "worker");
    loop_enter_sandbox(SANDBOX_WORKER);
    pthread_mutex_lock(&workers->mutex);
    while (workers->first || (!workers->quitting && wait_for_work(workers))) {
        LoopIo *io = workers->first;

        workers->first = io->next;
        if (!workers->first) {
            workers->tail = &workers->first;
        }
        pthread_mutex_unlock(&workers->mutex);
        io->result = worker_do(io);
        hand_back(io);
        pthread_mutex_lock(&workers->mutex);
    }
    workers->threads--;
    pthread_cond_signal(&workers->left);
    pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

/* Mutex held.  False: there is none, and none could be started. */
static bool start_worker(LoopWorkers *workers)
{
    pthread_attr_t attr;
    pthread_t thread;
    int err;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    err = thread_create(&thread, &attr, worker_main, workers);
    pthread_attr_destroy(&attr);
    workers->threads += !err;
    return workers->threads > 0;
}

static LoopWorkers *workers_new(Loop *loop)
{
    LoopWorkers *workers = g_new0(LoopWorkers, 1);

    workers->loop = loop;
    workers->tail = &workers->first;
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_cond_init(&workers->work, NULL);
    pthread_cond_init(&workers->left, NULL);
    return workers;
}

void loop_workers_submit(Loop *loop, LoopIo *io)
{
    LoopWorkers *workers;
    bool alone = false;

    if (!loop->workers) {
        loop->workers = workers_new(loop);
    }
    workers = loop->workers;
    io->next = NULL;
    pthread_mutex_lock(&workers->mutex);
    if (!workers->idle && workers->threads < WORKERS_MAX) {
        alone = !start_worker(workers);
    }
    if (!alone) {
        *workers->tail = io;
        workers->tail = &io->next;
        pthread_cond_signal(&workers->work);
    }
    pthread_mutex_unlock(&workers->mutex);
    if (alone) { /* no thread to be had: slow is better than never */
        loop_io_finished(io, worker_do(io));
    }
}

void loop_workers_collect(Loop *loop)
{
    LoopIo *list, *oldest = NULL;

    if (!__atomic_load_n(&loop->worker_done, __ATOMIC_ACQUIRE)) {
        return;
    }
    list = __atomic_exchange_n(&loop->worker_done, NULL, __ATOMIC_SEQ_CST);
    while (list) {
        LoopIo *next = list->next;

        list->next = oldest;
        oldest = list;
        list = next;
    }
    while (oldest) {
        LoopIo *io = oldest;

        oldest = io->next;
        loop_io_finished(io, io->result);
    }
}

void loop_workers_free(LoopWorkers *workers)
{
    pthread_mutex_lock(&workers->mutex);
    workers->quitting = true;
    pthread_cond_broadcast(&workers->work);
    while (workers->threads) {
        pthread_cond_wait(&workers->left, &workers->mutex);
    }
    pthread_mutex_unlock(&workers->mutex);
    pthread_cond_destroy(&workers->work);
    pthread_cond_destroy(&workers->left);
    pthread_mutex_destroy(&workers->mutex);
    g_free(workers);
}
