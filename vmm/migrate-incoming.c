/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destination of a migration, and restoring from a file: the domain is realized
 * and reset, then loaded.  Nothing of it runs before everything is there and has
 * proved good; what goes wrong ends the process with status 1, as who started it expects.
 *
 * The thread reads; the main thread accepts the connection, applies the devices' state
 * and lets the domain go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/migrate-internal.h"
#include "vmm/state-format.h"
#include "vmm/timer.h"

#define FATE_MS 2000 /* a process that ends closes its descriptors one by one */

/* ---- the thread ---- */

static bool answer(Migration *m, MigrateType type, const char *text, GError **error)
{
    return !m->header.return_path ||
           migrate_send_record(m->channel, type, text, MIN(strlen(text), (size_t)MIGRATE_TEXT_MAX), error);
}

static bool step_active(Migration *m, GError **error)
{
    m->active_ns = clock_ns(clock_realtime);
    migrate_set_status(m->control, MIGRATE_ACTIVE);
    return true;
}

/* All of it is there, and is applied: what is wrong with it is found before anything is overwritten. */
static bool step_load(Migration *m, GError **error)
{
    return state_load(domain_state(m->domain), m->state->data, m->state->len, error);
}

static bool fits(Migration *m, const MigrateHeader *theirs, GError **error)
{
    return migrate_domain_fits(m->domain, theirs, &m->header, error) && migrate_ram_arrange(m->ram, theirs, error);
}

/* The source has given up, or has gone: one that lives says so before it goes. */
static bool wait_for_go(Migration *m, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_autofree char *text = NULL;
    MigrateType type;

    if (!m->header.return_path) {
        return true;
    }
    if (!migrate_take_answer(migration_read, m, &type, &text, &reason)) {
        if (migrate_channel_ended(m->channel) &&
            migrate_lifeline_fate(m->lifeline, m->channel, FATE_MS) == MIGRATE_FATE_DEAD) {
            log_warning("the source has died after it had sent everything: the domain runs here");
            m->header.return_path = false;
            return true;
        }
        g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    return type == MIGRATE_GO || error_set(error, "the source has given up: %s", text);
}

static bool load_inline(Migration *m, GError **error)
{
    MigrateEnd end;

    if (!migrate_take_records(m->ram, migration_read, m->in ? migrate_wait_channels : NULL, m, &end, error)) {
        return false;
    }
    m->state = end.state;
    m->run_state = end.run_state;
    return migration_on_main(m, step_load, error);
}

static bool work_inline(Migration *m, GError **error)
{
    MigrateHeader theirs = { 0 };
    bool ok;

    if (!migrate_take_header(migration_read, m, &theirs, error)) {
        return false;
    }
    m->header.return_path = theirs.return_path;
    m->asked = theirs.check && m->control->listen_fd >= 0;
    m->lifeline = migrate_lifeline_take(m->channel);
    ok = theirs.layout == MIGRATE_INLINE
             ? fits(m, &theirs, error)
             : error_set(error, "the saved domain has the mapped layout: name it as file:PATH");
    ok = ok && (m->asked || migrate_accept_channels(m, &theirs, error));
    migrate_header_clear(&theirs);
    return ok && answer(m, MIGRATE_HELLO, "", error) &&
           (m->asked || (migration_on_main(m, step_active, error) && load_inline(m, error)));
}

/* The images may be somebody else's still, so this comes before the source hears that it is rid of the domain. */
static bool step_activate(Migration *m, GError **error)
{
    return migrate_storage_activate(m->control, error);
}

/* A source that has said GO goes on only if it knows that this end has died, or by its user's word.  So the domain runs
 * here, whether that is heard or not. */
static bool say_running(Migration *m, GError **error)
{
    g_autoptr(GError) reason = NULL;

    migrate_lifeline_say(m->lifeline);
    if (answer(m, MIGRATE_RUNNING, "", &reason)) {
        return true;
    }
    if (!migrate_channel_cancelled(m->channel)) {
        log_warning("the source does not hear that it has handed over the domain: it runs here");
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

/* Says why not, whatever stands in the pipe; the source may be gone. */
static bool work_channel(Migration *m, GError **error)
{
    if (!work_inline(m, error)) {
        multifd_in_explain(m->in, error);
        if (migrate_channel_ended(m->channel)) { /* else what it brings is wrong, and its end is our doing */
            migrate_command_explain(m, error);
        }
        answer(m, MIGRATE_REFUSED, (*error)->message, NULL);
        if (m->asked) {
            g_clear_error(error);
        }
        return m->asked;
    }
    if (m->asked) {
        return true;
    }
    if (!answer(m, MIGRATE_LOADED, "", error) || !wait_for_go(m, error)) {
        return false;
    }
    if (!migration_on_main(m, step_activate, error)) {
        answer(m, MIGRATE_REFUSED, (*error)->message, NULL);
        return false;
    }
    return say_running(m, error);
}

/* ---- files ---- */

static bool read_file(void *opaque, void *data, size_t length, GError **error)
{
    const Migration *m = opaque;
    uint8_t *p = data;

    while (length) {
        ssize_t n = read(m->file, p, length);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return n ? error_set_errno(error, errno, "cannot read '%s'", m->uri.path)
                     : error_set(error, "the saved domain is cut off");
        }
        p += MAX(n, 0);
        length -= (size_t)MAX(n, 0);
    }
    return true;
}

/* Before there is a block that needs it: the main thread may look at memory at any time.  Where there is none, all is
 * read. */
static void start_fill(struct MigrateControl *control, int file)
{
    int rc;

    control->fill = ram_fill_new(control->userfault, file);
    rc = control->fill ? ram_fill_start(control->fill) : -EMFILE;
    if (rc < 0) {
        g_clear_pointer(&control->fill, ram_fill_free);
    }
    control->userfault = rc < 0 ? rc : -ENOSYS; /* it is the fill's */
}

static bool map_memory(Migration *m, GError **error)
{
    struct MigrateControl *control = m->control;
    MigrateMapped mapped;

    if (control->userfault >= 0 && m->uri.lazy != MIGRATE_LAZY_OFF) {
        start_fill(control, m->file);
    }
    if (!migrate_ram_map(m->ram, m->file, m->uri.lazy, control->fill, &mapped, error)) {
        return false;
    }
    if (mapped.filled && m->uri.lazy == MIGRATE_LAZY_PREFAULT) {
        ram_fill_all(control->fill);
    }
    if (mapped.filled) {
        log_info("%" G_GUINT64_FORMAT " MiB of memory are shared, and come by userfaultfd", mapped.filled >> 20);
    } else {
        g_clear_pointer(&control->fill, ram_fill_free);
    }
    if (mapped.read && m->uri.lazy != MIGRATE_LAZY_OFF) {
        bool denied = control->userfault == -EPERM || control->userfault == -EACCES;

        log_info("%" G_GUINT64_FORMAT " MiB of memory were read at once: they are shared, or of a special kind%s",
                 mapped.read >> 20, denied ? ", and this user may not use userfaultfd" : "");
    }
    return true;
}

static bool load_mapped(Migration *m, const MigrateHeader *theirs, GError **error)
{
    struct stat st;

    if (fstat(m->file, &st) < 0) {
        return error_set_errno(error, errno, "cannot examine '%s'", m->uri.path);
    }
    if (!migrate_check_mapped(theirs, (uint64_t)st.st_size, error)) {
        return false;
    }
    m->state = g_byte_array_new();
    g_byte_array_set_size(m->state, (unsigned)theirs->state_length);
    if (pread(m->file, m->state->data, m->state->len, (off_t)theirs->state_offset) != (ssize_t)m->state->len ||
        state_crc32c(m->state->data, m->state->len) != theirs->checksum) {
        return error_set(error, "the saved domain is damaged: the devices' state has a wrong checksum");
    }
    m->run_state = g_strdup(theirs->run_state);
    return map_memory(m, error) && migration_on_main(m, step_load, error);
}

/* Whoever saves to it sees that it is in use; the mapping keeps the lock. */
static void lock_shared(int fd)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

    fcntl(fd, F_OFD_SETLK, &lock);
}

static bool work_file(Migration *m, GError **error)
{
    MigrateHeader theirs = { 0 };
    MigrateEnd end;
    bool ok;

    if (!migrate_take_header(read_file, m, &theirs, error) || !fits(m, &theirs, error) ||
        !migration_on_main(m, step_active, error)) {
        ok = false;
    } else if (theirs.layout == MIGRATE_MAPPED) {
        lock_shared(m->file);
        ok = load_mapped(m, &theirs, error);
    } else {
        ok = migrate_take_records(m->ram, read_file, NULL, m, &end, error);
        if (ok) {
            m->state = end.state;
            m->run_state = end.run_state;
            ok = migration_on_main(m, step_load, error);
        }
    }
    migrate_header_clear(&theirs);
    return ok || error_subject(error, m->uri.path);
}

/* ---- the end: main thread ---- */

/* The state that it was saved in, as far as there is something to go on with. */
static RunState state_to_be(const Migration *m)
{
    int state = 0;

    while (run_state_enum.values[state] && strcmp(run_state_enum.values[state], m->run_state) != 0) {
        state++;
    }
    switch (state) {
    case RUN_STATE_RUNNING:
        return m->control->run ? RUN_STATE_RUNNING : RUN_STATE_PAUSED;
    case RUN_STATE_SUSPENDED:
    case RUN_STATE_SHUTDOWN:
    case RUN_STATE_GUEST_PANICKED:
        return (RunState)state;
    case RUN_STATE_PRELAUNCH:
    case RUN_STATE_PAUSED:
        return m->control->cont ? RUN_STATE_RUNNING : (RunState)state;
    default:
        return RUN_STATE_PAUSED;
    }
}

static void be_ready(struct MigrateControl *control)
{
    if (control->ready) {
        control->ready();
        control->ready = NULL;
    }
}

static void close_userfault(struct MigrateControl *control)
{
    if (control->userfault >= 0) {
        close(control->userfault);
        control->userfault = -ENOSYS;
    }
}

static bool succeeded(Migration *m, GError **error)
{
    RunState state;

    if (m->asked) {
        migrate_listen_again(m);
        return true;
    }
    state = state_to_be(m);
    if (!migrate_storage_activate(m->control, error)) { /* of a file: */
        return false;
    }
    __atomic_store_n(&m->end_ns, clock_ns(clock_realtime), __ATOMIC_RELAXED);
    m->control->incoming = false;
    close_userfault(m->control);
    migration_close(m);
    g_clear_pointer(&m->command, host_command_free);
    run_control_set_state(m->domain, state == RUN_STATE_RUNNING ? RUN_STATE_PAUSED : state);
    if (state == RUN_STATE_RUNNING && !domain_cont(m->domain, error)) {
        return false;
    }
    migrate_set_status(m->control, MIGRATE_COMPLETED);
    be_ready(m->control);
    return true;
}

void migrate_incoming_failed(Migration *m, GError *error)
{
    log_error(error);
    migrate_set_status(m->control, MIGRATE_FAILED);
    domain_quit(m->domain, EXIT_FAILURE);
}

bool migrate_incoming_start(Migration *m, bool file, GError **error)
{
    m->work = file ? work_file : work_channel;
    m->succeeded = succeeded;
    m->failed = migrate_incoming_failed;
    migrate_header_clear(&m->header); /* devices may have come while it waited */
    migrate_header_collect(m->domain, &m->header);
    migrate_ram_describe(m->ram, MIGRATE_ALIGN, &m->header);
    return migration_start(m, error);
}

static void note_fillable(RamBlock *block, void *opaque)
{
    *(bool *)opaque |= ram_block_can_fill(block);
}

void migrate_prepare_incoming(Domain *domain, const char *uri, bool locked)
{
    bool file = g_str_has_prefix(uri, "file:") || strcmp(uri, "defer") == 0, fillable = false;

    ram_block_each(note_fillable, &fillable);
    if (file && fillable && !locked) {
        migrate_control(domain)->userfault = ram_fill_open();
    }
}

bool migrate_incoming_set_run(Domain *domain, bool run)
{
    struct MigrateControl *control = domain->migration;

    if (!control || !control->incoming) {
        return false;
    }
    control->run = control->cont = run;
    return true;
}

/* ---- the beginning: main thread ---- */

static bool begin(Migration *m, GError **error)
{
    int fd = m->uri.fd;

    if (m->uri.kind == MIGRATE_TO_FILE) {
        m->file = host_open(m->uri.path, O_RDONLY, 0, error);
        return m->file >= 0 && migrate_incoming_start(m, true, error);
    }
    if (m->uri.command) {
        return migrate_command_start(m, false, error) && migrate_incoming_start(m, false, error);
    }
    if (fd < 0) {
        return migrate_listen(m, error);
    }
    if (!migrate_channel_adopt(m->channel, fd, error)) {
        return false;
    }
    m->uri.fd = -1; /* the channel's */
    return migrate_incoming_start(m, false, error);
}

bool migrate_incoming_begin(Domain *domain, MigrateUri *uri, GError **error)
{
    Migration *m = migration_new(domain, uri);

    if (!begin(m, error)) {
        migrate_set_status(m->control, MIGRATE_NONE); /* nothing has come: there may be another try */
        return false;
    }
    return true;
}

bool migrate_incoming(Domain *domain, const char *text, bool run, void (*ready)(void), GError **error)
{
    struct MigrateControl *control = migrate_control(domain);
    MigrateUri uri;

    control->incoming = true;
    control->run = run;
    control->ready = ready;
    run_control_set_state(domain, RUN_STATE_INMIGRATE);
    if (strcmp(text, "defer") != 0 &&
        (!migrate_uri_parse(text, true, &uri, error) || !migrate_incoming_begin(domain, &uri, error))) {
        return error_subject(error, "-incoming");
    }
    if (!g_str_has_prefix(text, "file:")) {
        be_ready(control);
    }
    return true;
}
