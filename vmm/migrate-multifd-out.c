/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source's side of vmm/migrate-multifd.h.  The migration's thread takes dirty pages from the log and gives them, in
 * jobs of some runs, to whichever thread has nothing to do; that looks which are zero, compresses, and writes.
 *
 * Order: a pass ends when every thread has written what it has, and the next begins with a PASS on every channel, at
 * which the destination waits; so of two contents of a page the later one stays.
 *
 * Locking: `mutex` for what threads share; a leaf.
 */
#include <pthread.h>

#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/migrate-multifd.h"
#include "vmm/thread.h"

#define JOB_RUNS  64
#define JOB_PAGES 128

typedef struct Run { unsigned block; uint64_t page, n; } Run;
typedef struct Job {
    unsigned n;
    uint64_t pages;
    Run run[JOB_RUNS];
} Job;

typedef struct Worker {
    MultifdOut *out;
    unsigned index;
    pthread_t thread;
    MigrateSender sender;
    MigrateChannel *channel;
    /* mutex */
    bool busy;      /* with job */
    uint32_t begun; /* the pass that its channel is in */
    bool done;      /* it ends, well or not */
    Job job;
} Worker;

struct MultifdOut {
    MigrateRam *ram;
    MigrateChannel *first;
    MultifdOptions options;
    unsigned n;
    Worker *worker;
    Job job;                  /* that is being filled */
    uint64_t accounted;
    pthread_mutex_t mutex;
    pthread_cond_t work, idle; /* for the threads; for the migration's */
    uint32_t pass;
    bool last, stop;
    GError *error;            /* the first one */
};

/* ---- a channel's thread ---- */

static bool send_greeting(Worker *w, GError **error)
{
    uint8_t greeting[MIGRATE_GREETING];

    migrate_greeting_write(greeting, w->out->options.token, w->index);
    return migrate_channel_write(w->channel, greeting, sizeof(greeting), NULL, 0, error);
}

static bool send_job(Worker *w, GError **error)
{
    for (unsigned i = 0; i < w->job.n; i++) {
        const Run *r = &w->job.run[i];

        if (!migrate_sender_run(&w->sender, r->block, r->page, r->n, error)) {
            return false;
        }
    }
    return true;
}

static bool send_pass(Worker *w, uint32_t pass, GError **error)
{
    uint8_t number[4];

    put32(number, pass);
    return migrate_send_record(w->channel, MIGRATE_PASS, number, sizeof(number), error);
}

/* mutex; what there is to do next is done without it. */
static bool work_once(Worker *w, GError **error)
{
    MultifdOut *out = w->out;
    uint32_t pass = out->pass;
    bool ok;

    if (w->begun != pass) {
        pthread_mutex_unlock(&out->mutex);
        ok = send_pass(w, pass, error);
        pthread_mutex_lock(&out->mutex);
        w->begun = pass;
    } else if (w->busy) {
        pthread_mutex_unlock(&out->mutex);
        ok = send_job(w, error);
        pthread_mutex_lock(&out->mutex);
        w->busy = false;
    } else {
        pthread_mutex_unlock(&out->mutex);
        ok = migrate_send_record(w->channel, MIGRATE_LAST, NULL, 0, error);
        pthread_mutex_lock(&out->mutex);
        w->done = true;
    }
    pthread_cond_signal(&out->idle);
    return ok;
}

static void *work(void *opaque)
{
    Worker *w = opaque;
    MultifdOut *out = w->out;
    GError *error = NULL;
    char name[16];
    bool ok;

    g_snprintf(name, sizeof(name), "multifd %u", w->index);
    pthread_setname_np(pthread_self(), name);
    ok = send_greeting(w, &error);
    pthread_mutex_lock(&out->mutex);
    while (ok && !w->done && !out->stop) {
        if (w->begun == out->pass && !w->busy && !out->last) {
            pthread_cond_wait(&out->work, &out->mutex);
        } else {
            ok = work_once(w, &error);
        }
    }
    w->done = true;
    if (error && !out->error) {
        out->error = g_steal_pointer(&error);
    }
    pthread_cond_signal(&out->idle);
    pthread_mutex_unlock(&out->mutex);
    g_clear_error(&error);
    return NULL;
}

/* ---- the migration's thread ---- */

MultifdOut *multifd_out_new(MigrateRam *ram, MigrateChannel *first, const MultifdOptions *options)
{
    MultifdOut *out = g_new0(MultifdOut, 1);

    out->ram = ram;
    out->first = first;
    out->options = *options;
    out->worker = g_new0(Worker, options->channels);
    pthread_mutex_init(&out->mutex, NULL);
    pthread_cond_init(&out->work, NULL);
    pthread_cond_init(&out->idle, NULL);
    return out;
}

bool multifd_out_add(MultifdOut *out, int fd, GError **error)
{
    Worker *w = &out->worker[out->n];
    int err;

    w->out = out;
    w->index = out->n;
    w->channel = migrate_channel_new_beside(out->first);
    if (!migrate_channel_adopt(w->channel, fd, error)) {
        migrate_channel_free(w->channel);
        return false;
    }
    migrate_sender_init(&w->sender, out->ram, w->channel, out->options.method, out->options.level);
    err = thread_create(&w->thread, NULL, work, w);
    if (err) {
        migrate_sender_finish(&w->sender);
        migrate_channel_free(w->channel); /* and fd */
        return error_set_errno(error, err, "cannot start a thread for the migration");
    }
    out->n++;
    return true;
}

/* mutex.  Which thread can take a job; NULL: none yet. */
static Worker *find_idle(const MultifdOut *out)
{
    for (unsigned i = 0; i < out->n; i++) {
        if (!out->worker[i].busy && !out->worker[i].done) {
            return &out->worker[i];
        }
    }
    return NULL;
}

static bool take_error(const MultifdOut *out, GError **error)
{
    if (out->error) {
        g_propagate_error(error, g_error_copy(out->error));
    }
    return !out->error;
}

/* What all of them have written, for the pace and the count. */
static bool account(MultifdOut *out, GError **error)
{
    uint64_t written = 0, more;

    for (unsigned i = 0; i < out->n; i++) {
        written += migrate_channel_written(out->worker[i].channel);
    }
    more = written - out->accounted;
    out->accounted = written;
    return migrate_channel_pace(out->first, more, error);
}

static bool give_job(MultifdOut *out, GError **error)
{
    Worker *w = NULL;
    bool ok;

    if (!out->job.n) {
        return true;
    }
    pthread_mutex_lock(&out->mutex);
    while (!out->error && !(w = find_idle(out))) {
        pthread_cond_wait(&out->idle, &out->mutex);
    }
    ok = take_error(out, error);
    if (ok) {
        w->job = out->job;
        w->busy = true;
        pthread_cond_broadcast(&out->work);
    }
    pthread_mutex_unlock(&out->mutex);
    out->job.n = 0;
    out->job.pages = 0;
    return ok && account(out, error);
}

static bool add_run(void *opaque, unsigned block, uint64_t page, uint64_t n, GError **error)
{
    MultifdOut *out = opaque;

    out->job.run[out->job.n++] = (Run) { block, page, n };
    out->job.pages += n;
    return (out->job.n < JOB_RUNS && out->job.pages < JOB_PAGES) || give_job(out, error);
}

/* mutex */
static bool settled(const MultifdOut *out)
{
    for (unsigned i = 0; i < out->n; i++) {
        const Worker *w = &out->worker[i];

        if (!w->done && (out->last || w->busy || w->begun != out->pass)) {
            return false;
        }
    }
    return true;
}

static bool wait_settled(MultifdOut *out, GError **error)
{
    bool ok;

    pthread_mutex_lock(&out->mutex);
    while (!out->error && !settled(out)) {
        pthread_cond_wait(&out->idle, &out->mutex);
    }
    ok = take_error(out, error);
    pthread_mutex_unlock(&out->mutex);
    return ok && account(out, error);
}

bool multifd_out_pass(MultifdOut *out, GError **error)
{
    pthread_mutex_lock(&out->mutex);
    out->pass++;
    pthread_cond_broadcast(&out->work);
    pthread_mutex_unlock(&out->mutex);
    return migrate_ram_each_dirty(out->ram, add_run, out, error) && give_job(out, error) && wait_settled(out, error);
}

uint64_t multifd_out_written(const MultifdOut *out)
{
    return out->accounted;
}

bool multifd_out_finish(MultifdOut *out, GError **error)
{
    pthread_mutex_lock(&out->mutex);
    out->last = true;
    pthread_cond_broadcast(&out->work);
    pthread_mutex_unlock(&out->mutex);
    return wait_settled(out, error);
}

void multifd_out_free(MultifdOut *out)
{
    bool broken;

    if (!out) {
        return;
    }
    pthread_mutex_lock(&out->mutex);
    out->stop = true;
    broken = out->error || !out->last || !settled(out);
    pthread_cond_broadcast(&out->work);
    pthread_mutex_unlock(&out->mutex);
    for (unsigned i = 0; i < out->n; i++) {
        Worker *w = &out->worker[i];

        if (broken) {
            migrate_channel_shutdown(w->channel);
        }
        pthread_join(w->thread, NULL);
        migrate_sender_finish(&w->sender);
        migrate_channel_free(w->channel);
    }
    g_clear_error(&out->error);
    pthread_mutex_destroy(&out->mutex);
    pthread_cond_destroy(&out->work);
    pthread_cond_destroy(&out->idle);
    g_free(out->worker);
    g_free(out);
}
