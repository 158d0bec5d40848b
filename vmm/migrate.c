/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control of migrations: status and events, the thread of the one that is under
 * way, its steps on the main thread, URIs.
 *
 * A step is posted to the main loop, and the thread waits for it.  When the domain ends
 * first, the main thread says so to the step itself, which outlives the migration, since
 * the loop still has it.
 *
 * Locking: Migration.mutex is a leaf, as is a step's.
 */
#include "vmm/migrate.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/migrate-internal.h"
#include "vmm/sandbox.h"
#include "vmm/thread.h"
#include "vmm/timer.h"

#define BANDWIDTH_DEFAULT (UINT64_C(128) << 20) /* as QEMU's users expect */
#define DOWNTIME_DEFAULT  300

const FieldEnum migrate_status_enum = {
    "MigrationStatus", (const char *const[]) { "none", "setup", "cancelling", "cancelled", "active", "pre-switchover",
                                               "device", "completed", "failed", NULL }
};

/* ---- events ---- */

typedef struct StatusData { int status; } StatusData;
static const FieldStruct status_data = {
    .name = "MigrationData", .size = sizeof(StatusData),
    .fields = (const Field[]) {
        F_ENUM("status", StatusData, status, &migrate_status_enum, 0, .flags = FIELD_REQUIRED, .help = "Its status"),
        FIELD_END
    },
};
const EventType event_migration = { "MIGRATION", &status_data, .help = "A migration has got further" };

typedef struct PassData { int64_t pass; } PassData;
static const FieldStruct pass_data = {
    .name = "MigrationPassData", .size = sizeof(PassData),
    .fields = (const Field[]) {
        F_INT("pass", PassData, pass, 0, .flags = FIELD_REQUIRED, .help = "Its number, from 1 on"),
        FIELD_END
    },
};
const EventType event_migration_pass = { "MIGRATION_PASS", &pass_data, .help = "Another round through memory begins" };

static void tell_waiters(struct MigrateControl *control)
{
    for (unsigned i = 0; i < control->waiters->len; i++) {
        loop_batch(domain_loop(control->domain), control->waiters->pdata[i]);
    }
    g_ptr_array_set_size(control->waiters, 0);
}

void migrate_set_status(struct MigrateControl *control, MigrateStatus status)
{
    __atomic_store_n(&control->status, status, __ATOMIC_RELEASE);
    if (control->capability[MIGRATE_EVENTS]) {
        event_emit(control->domain, &event_migration, &(StatusData) { (int)status });
    }
    if (!migration_under_way(control)) { /* so this is the main thread */
        tell_waiters(control);
    }
}

MigrateStatus migrate_status(const struct MigrateControl *control)
{
    return __atomic_load_n(&control->status, __ATOMIC_ACQUIRE);
}

/* ---- steps ---- */

typedef struct Step {
    Migration *m;
    MigrateStepFn fn;
    unsigned refs; /* atomic: the thread's, and the post's */
    bool done, ok, abandoned;
    LoopBatch later; /* it came within a wait (loop_defer()) */
    GError *error;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
} Step;

static void step_unref(Step *step)
{
    if (__atomic_sub_fetch(&step->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        g_clear_error(&step->error);
        pthread_mutex_destroy(&step->mutex);
        pthread_cond_destroy(&step->cond);
        g_free(step);
    }
}

static void step_end(Step *step, bool done)
{
    pthread_mutex_lock(&step->mutex);
    step->done |= done;
    step->abandoned |= !done;
    pthread_cond_broadcast(&step->cond);
    pthread_mutex_unlock(&step->mutex);
}

/* Abandoned by the main thread only, so it cannot be meanwhile. */
static void run_step(void *opaque)
{
    Step *step = opaque;

    if (!step->abandoned && loop_defer(domain_loop(step->m->domain), &step->later)) {
        return;
    }
    if (!step->abandoned) {
        step->ok = step->fn(step->m, &step->error);
        step_end(step, true);
    }
    step_unref(step);
}

static Step *step_new(Migration *m, MigrateStepFn fn)
{
    Step *step = g_new0(Step, 1);

    step->m = m;
    step->fn = fn;
    step->later = (LoopBatch) { .fn = run_step, .opaque = step };
    step->refs = 2;
    pthread_mutex_init(&step->mutex, NULL);
    pthread_cond_init(&step->cond, NULL);
    return step;
}

static bool ending(GError **error)
{
    return error_set(error, "the domain ends");
}

bool migration_on_main(Migration *m, MigrateStepFn fn, GError **error)
{
    Step *step = step_new(m, fn);
    bool ok, quit;

    pthread_mutex_lock(&m->mutex);
    quit = m->quit;
    m->step = quit ? NULL : step;
    pthread_mutex_unlock(&m->mutex);
    if (quit) {
        step_unref(step);
        step_unref(step);
        return ending(error);
    }
    loop_post(domain_loop(m->domain), run_step, step);
    pthread_mutex_lock(&step->mutex);
    while (!step->done && !step->abandoned) {
        pthread_cond_wait(&step->cond, &step->mutex);
    }
    ok = step->done && step->ok;
    pthread_mutex_unlock(&step->mutex);
    pthread_mutex_lock(&m->mutex);
    m->step = NULL;
    pthread_mutex_unlock(&m->mutex);
    if (!ok && step->error) {
        g_propagate_error(error, g_steal_pointer(&step->error));
    } else if (!ok) {
        ending(error);
    }
    step_unref(step);
    return ok;
}

bool migration_wait_continue(Migration *m, GError **error)
{
    bool ok;

    pthread_mutex_lock(&m->mutex);
    while (!m->cont && !m->quit && !migrate_channel_cancelled(m->channel)) {
        pthread_cond_wait(&m->cond, &m->mutex);
    }
    ok = m->cont;
    m->cont = false;
    pthread_mutex_unlock(&m->mutex);
    return ok || error_set(error, "the migration was cancelled");
}

bool migration_read(void *migration, void *data, size_t length, GError **error)
{
    return migrate_channel_read(((Migration *)migration)->channel, data, length, error);
}

/* ---- the thread ---- */

static bool fail_step(Migration *m, GError **error)
{
    struct MigrateControl *control = m->control;

    m->end_ns = clock_ns(clock_realtime);
    migration_close(m);
    g_free(control->error);
    control->error = error_text(m->failure);
    m->failed(m, m->failure);
    return true;
}

static void *run_thread(void *opaque)
{
    Migration *m = opaque;

    pthread_setname_np(pthread_self(), "migration");
    if (!sandbox_enter(SANDBOX_WORKER, &m->failure) || !m->work(m, &m->failure) ||
        !migration_on_main(m, m->succeeded, &m->failure)) {
        migration_on_main(m, fail_step, NULL);
    }
    return NULL;
}

Migration *migration_new(Domain *domain, MigrateUri *uri)
{
    struct MigrateControl *control = migrate_control(domain);
    Migration *m = g_new0(Migration, 1);

    migrate_stop(domain);
    m->control = control;
    m->domain = domain;
    m->uri = *uri;
    *uri = (MigrateUri) { .fd = -1 };
    m->file = -1;
    m->channel = migrate_channel_new();
    m->begin_ns = clock_ns(clock_realtime);
    pthread_mutex_init(&m->mutex, NULL);
    pthread_cond_init(&m->cond, NULL);
    migrate_header_collect(domain, &m->header);
    m->ram = migrate_ram_new();
    g_clear_pointer(&control->error, g_free);
    control->migration = m;
    migrate_set_status(control, MIGRATE_SETUP);
    return m;
}

bool migration_start(Migration *m, GError **error)
{
    int err = thread_create(&m->thread, NULL, run_thread, m);

    if (err) {
        return error_set_errno(error, err, "cannot start a thread for the migration");
    }
    m->started = true;
    return true;
}

bool migration_under_way(const struct MigrateControl *control)
{
    switch (migrate_status(control)) {
    case MIGRATE_NONE:
    case MIGRATE_CANCELLED:
    case MIGRATE_COMPLETED:
    case MIGRATE_FAILED:
        return false;
    default:
        return true;
    }
}

void migration_cancel(Migration *m)
{
    migrate_channel_cancel(m->channel);
    pthread_mutex_lock(&m->mutex);
    pthread_cond_broadcast(&m->cond);
    if (m->in) {
        multifd_in_cancel(m->in);
    }
    pthread_mutex_unlock(&m->mutex);
}

void migration_close(Migration *m)
{
    if (m->in) {
        migrate_incoming_unlisten(m->control); /* that adds channels to it */
    }
    g_clear_pointer(&m->in, multifd_in_free);
    migrate_channel_close(m->channel);
    g_clear_pointer(&m->lifeline, migrate_lifeline_free);
    if (m->file >= 0) {
        close(m->file);
        m->file = -1;
    }
}

static void migration_free(Migration *m)
{
    pthread_mutex_lock(&m->mutex);
    m->quit = true;
    if (m->step) {
        step_end(m->step, false);
    }
    pthread_mutex_unlock(&m->mutex);
    if (m->started) {
        migration_cancel(m);
        pthread_join(m->thread, NULL);
    }
    if (vcpus_throttled(m->domain)) {
        vcpus_throttle(m->domain, 0);
    }
    migration_close(m);
    host_command_free(m->command);
    migrate_channel_free(m->channel);
    migrate_ram_free(m->ram);
    migrate_header_clear(&m->header);
    g_clear_pointer(&m->state, g_byte_array_unref);
    g_clear_error(&m->failure);
    g_free(m->run_state);
    migrate_uri_clear(&m->uri);
    pthread_mutex_destroy(&m->mutex);
    pthread_cond_destroy(&m->cond);
    g_free(m);
}

/* ---- the control ---- */

struct MigrateControl *migrate_control(Domain *domain)
{
    struct MigrateControl *control = domain->migration;

    if (!control) {
        control = domain->migration = g_new0(struct MigrateControl, 1);
        control->domain = domain;
        control->parameters = (MigrateParameters) {
            .max_bandwidth = BANDWIDTH_DEFAULT, .downtime_limit = DOWNTIME_DEFAULT,
            .multifd_channels = 2, .zlib_level = 1, .zstd_level = 1,
            .throttle = { .initial = 20, .increment = 10, .max = 99, .trigger = 50 },
            .announce = { .initial = 50, .max = 550, .rounds = 5, .step = 100 },
        };
        control->capability[MIGRATE_EVENTS] = true;
        control->capability[MIGRATE_RETURN_PATH] = true;
        control->waiters = g_ptr_array_new();
        control->listen_fd = -1;
        control->userfault = -ENOSYS;
    }
    return control;
}

MigrateAnnounce migrate_announce(Domain *domain)
{
    return migrate_control(domain)->parameters.announce;
}

void migrate_set_storage(Domain *domain, const MigrateStorage *storage)
{
    migrate_control(domain)->storage = storage;
}

bool migrate_storage_inactivate(struct MigrateControl *control, GError **error)
{
    return !control->storage || domain_storage_is_inactive(control->domain) ||
           control->storage->inactivate(control->domain, error);
}

bool migrate_storage_activate(struct MigrateControl *control, GError **error)
{
    return !control->storage || !domain_storage_is_inactive(control->domain) ||
           control->storage->activate(control->domain, error);
}

bool migrate_keeps_devices(const Domain *domain)
{
    const struct MigrateControl *control = domain->migration;

    return control && migration_under_way(control) && !(control->incoming && migrate_status(control) == MIGRATE_SETUP);
}

void migrate_wait(Domain *domain, LoopBatch *batch)
{
    struct MigrateControl *control = migrate_control(domain);

    if (migration_under_way(control)) {
        g_ptr_array_add(control->waiters, batch);
    } else {
        loop_batch(domain_loop(domain), batch);
    }
}

void migrate_wait_cancel(Domain *domain, LoopBatch *batch)
{
    g_ptr_array_remove(migrate_control(domain)->waiters, batch);
    loop_batch_cancel(domain_loop(domain), batch);
}

const char *migrate_failure(const Domain *domain)
{
    const struct MigrateControl *control = domain->migration;

    switch (control ? migrate_status(control) : MIGRATE_NONE) {
    case MIGRATE_FAILED:
        return control->error;
    case MIGRATE_CANCELLED:
        return "the migration was cancelled";
    default:
        return NULL;
    }
}

void migrate_stop(Domain *domain)
{
    if (domain->migration) {
        g_clear_pointer(&domain->migration->migration, migration_free);
    }
}

void migrate_control_free(struct MigrateControl *control)
{
    if (control) {
        migrate_incoming_unlisten(control);
        g_clear_pointer(&control->migration, migration_free);
        ram_fill_free(control->fill);
        if (control->userfault >= 0) {
            close(control->userfault);
        }
        g_ptr_array_unref(control->waiters);
        g_free(control->error);
        g_free(control);
    }
}

/* ---- URIs ---- */

void migrate_uri_clear(MigrateUri *uri)
{
    if (uri->fd >= 0) {
        close(uri->fd);
    }
    g_free(uri->path);
    g_free(uri->command);
    g_free(uri->host);
    g_free(uri->port);
    *uri = (MigrateUri) { .fd = -1 };
}

/* "HOST:PORT", "[HOST]:PORT" */
static bool parse_tcp(const char *text, MigrateUri *uri, GError **error)
{
    const char *colon = strrchr(text, ':');

    if (!colon || !colon[1]) {
        error_set(error, "'tcp:%s' names no port", text);
        return error_hint(error, "Write tcp:HOST:PORT.");
    }
    uri->port = g_strdup(colon + 1);
    if (text[0] == '[' && colon > text && colon[-1] == ']') {
        uri->host = g_strndup(text + 1, (gsize)(colon - text) - 2);
    } else {
        uri->host = g_strndup(text, (gsize)(colon - text));
    }
    return true;
}

static const FieldEnum lazy_enum = { "MigrateLazy", (const char *const[]) { "on", "off", "prefault", NULL } };

typedef struct FileUri { char *path; int lazy; } FileUri;
static const FieldStruct file_uri = {
    .name = "MigrateFile", .size = sizeof(FileUri),
    .fields = (const Field[]) {
        F_STR("path", FileUri, path, NULL, .flags = FIELD_REQUIRED, .help = "The file"),
        F_ENUM("lazy", FileUri, lazy, &lazy_enum, MIGRATE_LAZY_ON, .help = "Whether memory is read as it is used"),
        FIELD_END
    },
};

static bool parse_file(const char *text, bool incoming, MigrateUri *uri, GError **error)
{
    FileUri file = { 0 };

    uri->kind = MIGRATE_TO_FILE;
    if (!incoming) {
        uri->path = g_strdup(text);
        return *text || error_set(error, "'file:' names no file");
    }
    if (!field_struct_parse_text(&file_uri, text, "path", &file, error)) {
        return false;
    }
    uri->path = g_steal_pointer(&file.path);
    uri->lazy = file.lazy;
    return true;
}

bool migrate_uri_parse(const char *text, bool incoming, MigrateUri *ret, GError **error)
{
    *ret = (MigrateUri) { .fd = -1 };
    if (g_str_has_prefix(text, "unix:") && text[5]) {
        ret->unix_socket = true;
        ret->path = g_strdup(text + strlen("unix:"));
        return true;
    }
    if (g_str_has_prefix(text, "fd:")) {
        ret->fd = host_passed_fd(text + strlen("fd:"), error);
        return ret->fd >= 0;
    }
    if (g_str_has_prefix(text, "tcp:")) {
        return parse_tcp(text + strlen("tcp:"), ret, error);
    }
    if (g_str_has_prefix(text, "file:")) {
        return parse_file(text + strlen("file:"), incoming, ret, error);
    }
    if (g_str_has_prefix(text, "exec:")) {
        ret->command = g_strdup(text + strlen("exec:"));
        if (!*ret->command) {
            migrate_uri_clear(ret);
            return error_set(error, "'exec:' names no command");
        }
        return true;
    }
    error_set(error, "'%s' is no place that a domain can move %s", text, incoming ? "from" : "to");
    return error_hint(error, "Use unix:PATH, tcp:HOST:PORT, fd:NAME, exec:COMMAND or file:PATH.");
}
