/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination's side of vmm/migrate-multifd.h.  A thread a channel loads what comes through it, and waits at each
 * PASS until the others have come to it as well: what belongs to an earlier round is loaded then.
 *
 * All of it is hostile.  A channel that is not one of this migration's, is there twice, or goes through the passes in
 * another order ends the migration.
 *
 * Locking: `mutex` for what threads share; a leaf.  Nobody reads or writes with it.
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/migrate-multifd.h"
#include "vmm/sandbox.h"
#include "vmm/thread.h"

typedef struct Feed {
    MultifdIn *in;
    MigrateChannel *channel;
    pthread_t thread;
    unsigned number; /* in the order they came; the source numbers them itself */
    uint32_t pass;   /* its thread's */
} Feed;

struct MultifdIn {
    MigrateRam *ram;
    MigrateChannel *first;
    unsigned channels;
    uint64_t token;
    void (*failed)(void *opaque);
    void *opaque;
    unsigned n;      /* the main thread's: that have come */
    Feed *feed;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool *seen;      /* by number */
    unsigned arrived; /* at the pass after `pass` */
    uint32_t pass;   /* that all of them have come to */
    unsigned last;   /* that have come to LAST */
    bool stop;
    GError *error;   /* the first one */
};

/* ---- a channel's thread ---- */

static bool read_feed(void *opaque, void *data, size_t length, GError **error)
{
    return migrate_channel_read(((Feed *)opaque)->channel, data, length, error);
}

static bool stopped(GError **error)
{
    return error_set(error, "the migration was cancelled");
}

static bool out_of_order(GError **error)
{
    return error_set(error, "the saved domain is damaged: its channels go through memory in different order");
}

/* mutex */
static bool must_stop(const MultifdIn *in)
{
    return in->stop || in->error || migrate_channel_cancelled(in->first);
}

static bool take_greeting(Feed *f, GError **error)
{
    MultifdIn *in = f->in;
    uint8_t greeting[MIGRATE_GREETING];
    uint32_t number;
    bool ok;

    if (!read_feed(f, greeting, sizeof(greeting), error) ||
        !migrate_greeting_read(greeting, in->token, &number, error)) {
        return false;
    }
    pthread_mutex_lock(&in->mutex);
    ok = number < in->channels && !in->seen[number];
    if (ok) {
        in->seen[number] = true;
    }
    pthread_mutex_unlock(&in->mutex);
    return ok || error_set(error, "the saved domain is damaged: there is no channel %u, or there are two", number);
}

/* Until every channel has come so far. */
static bool take_pass(Feed *f, MigrateLoader *l, const MigrateRecord *r, GError **error)
{
    MultifdIn *in = f->in;
    bool ok, done;

    if (!migrate_loader_payload(l, r, 4, error)) {
        return false;
    }
    if (r->length != 4 || get32(l->buffer) != f->pass + 1) {
        return out_of_order(error);
    }
    f->pass++;
    pthread_mutex_lock(&in->mutex);
    ok = !in->last;
    if (++in->arrived == in->channels) {
        in->arrived = 0;
        in->pass++;
        pthread_cond_broadcast(&in->cond);
    }
    while (ok && in->pass < f->pass && !must_stop(in)) {
        pthread_cond_wait(&in->cond, &in->mutex);
    }
    done = in->pass >= f->pass;
    pthread_mutex_unlock(&in->mutex);
    return (ok || out_of_order(error)) && (done || stopped(error));
}

/* All of them have come to the last PASS before one can come here. */
static bool take_last(Feed *f, MigrateLoader *l, const MigrateRecord *r, GError **error)
{
    MultifdIn *in = f->in;
    bool ok;

    if (!migrate_loader_payload(l, r, 0, error)) {
        return false;
    }
    pthread_mutex_lock(&in->mutex);
    ok = !in->arrived;
    in->last += ok;
    pthread_cond_broadcast(&in->cond);
    pthread_mutex_unlock(&in->mutex);
    return ok || out_of_order(error);
}

static bool take_records(Feed *f, MigrateLoader *l, GError **error)
{
    MigrateRecord r;

    for (;;) {
        if (!migrate_loader_head(l, &r, error)) {
            return false;
        }
        if (r.type == MIGRATE_LAST) {
            return take_last(f, l, &r, error);
        }
        if (r.type == MIGRATE_PASS) {
            if (!take_pass(f, l, &r, error)) {
                return false;
            }
        } else if (!f->pass) {
            return error_set(error, "the saved domain is damaged: a channel brings memory without its round");
        } else if (!migrate_load_pages(l, &r, error)) {
            return false;
        }
    }
}

static bool load(Feed *f, GError **error)
{
    MigrateLoader l;
    bool ok;

    if (!sandbox_enter(SANDBOX_WORKER, error) || !take_greeting(f, error)) {
        return false;
    }
    migrate_loader_init(&l, f->in->ram, read_feed, f);
    ok = take_records(f, &l, error);
    migrate_loader_finish(&l);
    return ok;
}

static void fail(MultifdIn *in, GError *error)
{
    bool first;

    pthread_mutex_lock(&in->mutex);
    first = !in->error;
    if (first) {
        in->error = error;
    }
    pthread_cond_broadcast(&in->cond);
    pthread_mutex_unlock(&in->mutex);
    if (first) {
        in->failed(in->opaque);
    } else {
        g_error_free(error);
    }
}

static void *work(void *opaque)
{
    Feed *f = opaque;
    GError *error = NULL;
    char name[16];

    g_snprintf(name, sizeof(name), "multifd %u", f->number);
    pthread_setname_np(pthread_self(), name);
    if (!load(f, &error)) {
        fail(f->in, error);
    }
    return NULL;
}

/* ---- others ---- */

MultifdIn *multifd_in_new(MigrateRam *ram, MigrateChannel *first, unsigned channels, uint64_t token,
                          void (*failed)(void *opaque), void *opaque)
{
    MultifdIn *in = g_new0(MultifdIn, 1);

    in->ram = ram;
    in->first = first;
    in->channels = channels;
    in->token = token;
    in->failed = failed;
    in->opaque = opaque;
    in->feed = g_new0(Feed, channels);
    in->seen = g_new0(bool, channels);
    pthread_mutex_init(&in->mutex, NULL);
    pthread_cond_init(&in->cond, NULL);
    return in;
}

bool multifd_in_add(MultifdIn *in, int fd)
{
    Feed *f = &in->feed[in->n];
    GError *error = NULL;
    int err;

    f->in = in;
    f->number = in->n;
    f->channel = migrate_channel_new_beside(in->first);
    if (!migrate_channel_adopt(f->channel, fd, &error)) {
        close(fd);
    } else if ((err = thread_create(&f->thread, NULL, work, f))) {
        error_set_errno(&error, err, "cannot start a thread for the migration");
    }
    if (error) {
        migrate_channel_free(f->channel);
        fail(in, error);
        return false;
    }
    return ++in->n < in->channels;
}

bool multifd_in_wait(MultifdIn *in, GError **error)
{
    bool ok;

    pthread_mutex_lock(&in->mutex);
    while (in->last < in->channels && !must_stop(in)) {
        pthread_cond_wait(&in->cond, &in->mutex);
    }
    ok = in->last == in->channels;
    pthread_mutex_unlock(&in->mutex);
    return ok || stopped(error);
}

void multifd_in_explain(MultifdIn *in, GError **error)
{
    if (!in) {
        return;
    }
    pthread_mutex_lock(&in->mutex);
    if (in->error) {
        g_clear_error(error);
        g_propagate_error(error, g_error_copy(in->error));
    }
    pthread_mutex_unlock(&in->mutex);
}

void multifd_in_cancel(MultifdIn *in)
{
    pthread_mutex_lock(&in->mutex);
    in->stop = true;
    pthread_cond_broadcast(&in->cond);
    pthread_mutex_unlock(&in->mutex);
}

void multifd_in_free(MultifdIn *in)
{
    if (!in) {
        return;
    }
    multifd_in_cancel(in);
    for (unsigned i = 0; i < in->n; i++) {
        migrate_channel_shutdown(in->feed[i].channel);
        pthread_join(in->feed[i].thread, NULL);
        migrate_channel_free(in->feed[i].channel);
    }
    g_clear_error(&in->error);
    g_free(in->feed);
    g_free(in->seen);
    pthread_mutex_destroy(&in->mutex);
    pthread_cond_destroy(&in->cond);
    g_free(in);
}
