/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The source of a migration: memory goes out while the guest runs, pass after pass, until
 * what is left takes less time than the guest may stand still; then it stops, and the
 * rest and the devices' state follow.
 *
 * Until the destination has said RUNNING the source can go on.  It does, by itself,
 * unless nobody can tell whether the destination runs: a connection that breaks between
 * GO and RUNNING, but for one that is known to end in the destination (vmm/migrate-lifeline.h).
 * Then it waits in state postmigrate for who knows.
 *
 * The thread does all of it, but for steps that begin with "step_".
 */
#include <string.h>
#include <unistd.h>

#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/migrate-internal.h"
#include "vmm/state-format.h"
#include "vmm/timer.h"

#define PASSES_MORE 8   /* at most so many to make the stop shorter than it must be */
#define PASSES_STOPPED 8
#define PAGES_FEW   256 /* that are not worth another pass */
#define SETTLED     (UINT64_C(4) << 20) /* bytes for which a disk needs no time */
#define REASON_MS   1000 /* until a destination that closes has said why */
#define FATE_MS     10000 /* until a destination that cannot answer runs, or has ended */

static int64_t now_ns(void)
{
    return clock_ns(clock_realtime);
}

static void set_time(int64_t *field, int64_t ns)
{
    __atomic_store_n(field, ns, __ATOMIC_RELAXED);
}

static void set_number(uint64_t *field, uint64_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static bool mapped(const Migration *m)
{
    return m->header.layout == MIGRATE_MAPPED;
}

/* ---- the channel ---- */

static bool open_channel(Migration *m, GError **error)
{
    int fd = -1;

    if (!m->uri.unix_socket && !m->uri.port) {
        return true; /* it is open */
    }
    fd = migrate_uri_connect(&m->uri, error);
    if (fd < 0) {
        return false;
    }
    if (!migrate_channel_adopt(m->channel, fd, error)) {
        close(fd);
        return false;
    }
    return true;
}

static bool refused(const char *text, GError **error)
{
    return error_set(error, "the destination refuses: %s", text);
}

static bool expect(Migration *m, MigrateType wanted, GError **error)
{
    g_autofree char *text = NULL;
    MigrateType type;

    if (!migrate_take_answer(migration_read, m, &type, &text, error)) {
        return error_subject(error, "destination");
    }
    if (type == MIGRATE_REFUSED) {
        m->refused = true;
        return refused(text, error);
    }
    return type == wanted ||
           error_set(error, "the destination answers with record %u where %u is expected", type, wanted);
}

static bool greet(Migration *m, GError **error)
{
    g_autoptr(GByteArray) header = NULL;

    if (mapped(m)) {
        return true;
    }
    m->header.return_path = migrate_channel_is_socket(m->channel) && m->control->capability[MIGRATE_RETURN_PATH];
    header = migrate_header_write(&m->header);
    if (m->lifeline && m->header.return_path && migrate_channel_is_unix(m->channel)) {
        migrate_lifeline_pass(m->lifeline, m->channel);
    }
    if (!migrate_channel_write(m->channel, header->data, header->len, NULL, 0, error) ||
        (m->header.return_path && !expect(m, MIGRATE_HELLO, error))) {
        return false;
    }
    if (m->lifeline && !migrate_lifeline_is_taken(m->lifeline)) {
        g_clear_pointer(&m->lifeline, migrate_lifeline_free);
    }
    return migrate_connect_channels(m, error);
}

/* ---- memory ---- */

static uint64_t max_bandwidth(const Migration *m)
{
    return __atomic_load_n(&m->control->parameters.max_bandwidth, __ATOMIC_RELAXED);
}

static bool send_pass(Migration *m, GError **error)
{
    uint64_t before = migrate_channel_written(m->channel), bytes;
    int64_t began = now_ns(), took;
    uint8_t number[4];
    bool ok;

    migrate_channel_set_limit(m->channel, m->stopped ? 0 : max_bandwidth(m));
    set_number(&m->passes, m->passes + 1);
    if (m->control->capability[MIGRATE_EVENTS]) {
        event_emit(m->domain, &event_migration_pass, &(int64_t) { (int64_t)m->passes });
    }
    put32(number, (uint32_t)m->passes);
    ok = mapped(m) ? migrate_ram_store(m->ram, m->file, m->passes == 1, m->channel, error)
                   : migrate_send_record(m->channel, MIGRATE_PASS, number, sizeof(number), error) &&
                         (m->out ? multifd_out_pass(m->out, error) : migrate_ram_send(m->ram, m->channel, error));
    if (m->out) {
        set_number(&m->multifd_bytes, multifd_out_written(m->out));
    }
    took = MAX(now_ns() - began, 1000);
    bytes = migrate_channel_written(m->channel) - before;
    if (bytes > 64 * GUEST_PAGE_SIZE || !m->bandwidth) { /* fewer say nothing about how fast it goes */
        set_number(&m->bandwidth, (uint64_t)((double)bytes * NS_PER_SEC / (double)took));
    }
    return ok;
}

/* Whether to stop the guest with so many pages left, or to go through memory once more. */
static bool little_is_left(Migration *m, uint64_t dirty, uint64_t before, unsigned *passes_below)
{
    uint64_t limit_ms = __atomic_load_n(&m->control->parameters.downtime_limit, __ATOMIC_RELAXED);
    uint64_t expected = dirty * GUEST_PAGE_SIZE * 1000 / MAX(m->bandwidth, 1);

    set_number(&m->expected_ms, expected);
    if (expected > limit_ms) {
        *passes_below = 0;
        return false;
    }
    return dirty <= PAGES_FEW || (*passes_below)++ >= PASSES_MORE || dirty > before / 2;
}

/* A step that tells of a new stage must not hide that it is given up. */
static bool goes_on(const Migration *m, GError **error)
{
    return !migrate_channel_cancelled(m->channel) || error_set(error, "the migration was cancelled");
}

static bool step_active(Migration *m, GError **error)
{
    if (!goes_on(m, error)) {
        return false;
    }
    set_time(&m->active_ns, now_ns());
    migrate_set_status(m->control, MIGRATE_ACTIVE);
    return true;
}

/* Until little is left of what is dirty now, and becomes so. */
static bool copy_rounds(Migration *m, uint64_t before, GError **error)
{
    int64_t synced = now_ns();
    unsigned below = 0;
    uint64_t dirty;

    while (domain_is_running(m->domain)) {
        uint64_t sent = migrate_channel_written(m->channel);
        int64_t now;

        if (!send_pass(m, error)) {
            return false;
        }
        dirty = migrate_ram_sync(m->ram);
        now = now_ns();
        set_number(&m->dirty_rate, (uint64_t)((double)dirty * NS_PER_SEC / (double)MAX(now - synced, 1)));
        synced = now;
        if (little_is_left(m, dirty, before, &below)) {
            break;
        }
        if (!migrate_converge(m, dirty * GUEST_PAGE_SIZE, migrate_channel_written(m->channel) - sent, error)) {
            return false;
        }
        before = dirty;
    }
    set_number(&m->precopy_bytes, migrate_channel_written(m->channel));
    return true;
}

/* The guest changes much while a slow disk takes its memory, and little while it takes that. */
static bool settle_file(Migration *m, GError **error)
{
    uint64_t before;

    if (!migrate_file_sync(m, error)) {
        return false;
    }
    before = migrate_channel_written(m->channel);
    return copy_rounds(m, migrate_ram_sync(m->ram), error) &&
           (migrate_channel_written(m->channel) - before < SETTLED || migrate_file_sync(m, error));
}

static bool copy_live(Migration *m, GError **error)
{
    uint64_t dirty;

    migrate_ram_log_start(m->ram);
    dirty = migrate_ram_sync(m->ram);
    return migration_on_main(m, step_active, error) && copy_rounds(m, dirty, error) &&
           (!mapped(m) || settle_file(m, error));
}

/* ---- the stop ---- */

/* What the guest asked for last happens here, before memory is looked at. */
static bool step_stop(Migration *m, GError **error)
{
    vcpus_throttle(m->domain, 0);
    domain_carry_out_requests(m->domain);
    m->before = domain_run_state(m->domain);
    set_time(&m->stop_ns, now_ns());
    if (!domain_stop(m->domain, RUN_STATE_FINISH_MIGRATE)) {
        run_control_set_state(m->domain, RUN_STATE_FINISH_MIGRATE);
    }
    domain_carry_out_requests(m->domain);
    if (domain_run_state(m->domain) != RUN_STATE_FINISH_MIGRATE) { /* it has shut down, say */
        m->before = domain_run_state(m->domain);
        run_control_set_state(m->domain, RUN_STATE_FINISH_MIGRATE);
    }
    m->stopped = true;
    /* Should it go on here, then in time. */
    m->domain->run.time.restored |= m->before == RUN_STATE_RUNNING || m->before == RUN_STATE_SUSPENDED;
    if (!goes_on(m, error)) {
        return false;
    }
    if (m->control->capability[MIGRATE_PAUSE]) {
        migrate_set_status(m->control, MIGRATE_PRE_SWITCHOVER);
    }
    return !m->domain->run.quit || error_set(error, "the domain ends");
}

void migrate_outgoing_pause(Domain *domain)
{
    Migration *m = domain->migration ? domain->migration->migration : NULL;

    if (m && m->stopped && m->before == RUN_STATE_RUNNING) {
        m->before = RUN_STATE_PAUSED;
    }
}

static bool step_device(Migration *m, GError **error)
{
    if (!goes_on(m, error)) {
        return false;
    }
    migrate_set_status(m->control, MIGRATE_DEVICE);
    return true;
}

/* Saving may write to memory (a device's rings), and so may what other threads' requests made the main thread do. */
static bool step_save(Migration *m, GError **error)
{
    g_autoptr(GByteArray) state = g_byte_array_new();

    if (!migrate_header_holds(&m->header, m->domain, error) || !migrate_storage_inactivate(m->control, error) ||
        !state_save(domain_state(m->domain), state, error)) {
        return false;
    }
    g_clear_pointer(&m->state, g_byte_array_unref);
    m->state = g_steal_pointer(&state);
    g_free(m->run_state);
    m->run_state = g_strdup(run_state_enum.values[m->before]);
    return true;
}

static bool send_rest(Migration *m, GError **error)
{
    migrate_ram_sync(m->ram);
    for (unsigned i = 0; i < PASSES_STOPPED; i++) {
        if (!send_pass(m, error) || !migration_on_main(m, step_save, error)) {
            return false;
        }
        if (!migrate_ram_sync(m->ram)) {
            return true;
        }
    }
    return error_set(error, "memory changes though the domain stands still");
}

static bool step_commit(Migration *m, GError **error)
{
    m->committed = goes_on(m, error);
    return m->committed;
}

/* A destination that cannot answer runs when it has read END: nobody can cancel from then on.  A command's end is its
 * answer. */
static bool send_end(Migration *m, GError **error)
{
    bool ok;

    if (!m->header.return_path && !m->command && !migration_on_main(m, step_commit, error)) {
        return false;
    }
    ok = migrate_send_end(m->ram, m->channel, m->run_state, error);
    m->sent_all = ok || migrate_channel_cancelled(m->channel); /* what is cancelled may have gone out */
    return ok;
}

/* It was told to go on, and has not answered. */
static bool runs_all_the_same(Migration *m, GError **error)
{
    MigrateFate fate = m->refused ? MIGRATE_FATE_DEAD : migrate_lifeline_fate(m->lifeline, m->channel, FATE_MS);

    m->uncertain = fate == MIGRATE_FATE_UNKNOWN;
    if (fate == MIGRATE_FATE_SPOKEN) {
        g_clear_error(error);
    }
    return fate == MIGRATE_FATE_SPOKEN;
}

static bool hand_over(Migration *m, GError **error)
{
    if ((m->out && !multifd_out_finish(m->out, error)) || !migrate_send_state(m->channel, m->state, error) ||
        !send_end(m, error)) {
        return false;
    }
    if (!m->header.return_path) {
        return !m->command || (migrate_command_finish(m, error) && migration_on_main(m, step_commit, error));
    }
    if (!expect(m, MIGRATE_LOADED, error) || !migration_on_main(m, step_commit, error)) {
        return false;
    }
    return (migrate_send_record(m->channel, MIGRATE_GO, NULL, 0, error) && expect(m, MIGRATE_RUNNING, error)) ||
           runs_all_the_same(m, error);
}

/* An image that cannot be flushed is said when it is handed over. */
static bool step_flush(Migration *m, GError **error)
{
    if (m->control->storage && !domain_storage_is_inactive(m->domain)) {
        m->control->storage->flush(m->domain, NULL);
    }
    return goes_on(m, error);
}

static bool switch_over(Migration *m, GError **error)
{
    if (!migration_on_main(m, step_flush, error) || !migration_on_main(m, step_stop, error)) {
        return false;
    }
    if (m->control->capability[MIGRATE_PAUSE] &&
        (!migration_wait_continue(m, error) || !migration_on_main(m, step_device, error))) {
        return false;
    }
    return send_rest(m, error) &&
           (mapped(m) ? migrate_file_finish(m, error) && migration_on_main(m, step_commit, error) : hand_over(m, error));
}

/* ---- the thread ---- */

/* The destination waits for a word: a channel that just closes could be a source that has died. */
static void say_no(Migration *m, const GError *error)
{
    uint8_t record[MIGRATE_RECORD + MIGRATE_TEXT_MAX];
    size_t length = MIN(strlen(error->message), (size_t)MIGRATE_TEXT_MAX);

    if (m->uncertain) {
        return;
    }
    migrate_lifeline_say(m->lifeline);
    if (m->sent_all && m->header.return_path) {
        memcpy(record + MIGRATE_RECORD, error->message, length);
        migrate_record_write(record, MIGRATE_ABORT, (uint32_t)length, state_crc32c(record + MIGRATE_RECORD, length));
        migrate_channel_say(m->channel, record, MIGRATE_RECORD + length);
    }
}

/* Who writes to a destination that has closed learns nothing; it may have said why before. */
static void hear_refusal(Migration *m, GError **error)
{
    g_autofree char *text = NULL;
    MigrateType type;

    if (m->header.return_path && !m->sent_all && migrate_channel_is_readable(m->channel, REASON_MS) &&
        migrate_take_answer(migration_read, m, &type, &text, NULL) && type == MIGRATE_REFUSED) {
        g_clear_error(error);
        refused(text, error);
    }
}

static bool work(Migration *m, GError **error)
{
    bool ok = open_channel(m, error) && greet(m, error) && copy_live(m, error) && switch_over(m, error);

    g_clear_pointer(&m->out, multifd_out_free);
    migrate_ram_log_stop(m->ram);
    if (!ok) {
        hear_refusal(m, error);
        say_no(m, *error);
        migrate_command_explain(m, error);
    }
    return ok;
}

static bool succeeded(Migration *m, GError **error)
{
    set_time(&m->end_ns, now_ns());
    migration_close(m);
    run_control_set_state(m->domain, RUN_STATE_POSTMIGRATE);
    migrate_set_status(m->control, MIGRATE_COMPLETED);
    return true;
}

static void go_on(Migration *m)
{
    g_autoptr(GError) error = NULL;

    if (!m->stopped || domain_run_state(m->domain) != RUN_STATE_FINISH_MIGRATE) {
        return;
    }
    if (!migrate_storage_activate(m->control, &error)) {
        log_error(error);
        run_control_set_state(m->domain, RUN_STATE_IO_ERROR);
        return;
    }
    if (m->before != RUN_STATE_RUNNING) {
        run_control_set_state(m->domain, m->before);
        return;
    }
    run_control_set_state(m->domain, RUN_STATE_PAUSED);
    if (!domain_cont(m->domain, &error)) {
        log_error(error);
    }
}

static void failed(Migration *m, GError *error)
{
    bool cancelled = migrate_status(m->control) == MIGRATE_CANCELLING;

    vcpus_throttle(m->domain, 0);
    g_clear_pointer(&m->command, host_command_free);
    if (m->created) {
        unlink(m->uri.path);
    }
    if (m->uncertain) {
        log_warning("nobody knows whether the domain runs at its destination: %s", error->message);
        run_control_set_state(m->domain, RUN_STATE_POSTMIGRATE);
    } else {
        go_on(m);
    }
    if (!cancelled) {
        log_error(error);
    }
    migrate_set_status(m->control, cancelled ? MIGRATE_CANCELLED : MIGRATE_FAILED);
}

bool migrate_outgoing_begin(Domain *domain, MigrateUri *uri, const char *definition, GError **error)
{
    Migration *m = migration_new(domain, uri);
    bool ok;

    m->work = work;
    m->succeeded = succeeded;
    m->failed = failed;
    m->header.layout = m->uri.kind == MIGRATE_TO_FILE ? MIGRATE_MAPPED : MIGRATE_INLINE;
    m->header.definition = g_strdup(definition);
    m->expected_ms = m->control->parameters.downtime_limit; /* until more is known */
    migrate_ram_describe(m->ram, MIGRATE_ALIGN, &m->header);
    m->lifeline = m->uri.kind == MIGRATE_TO_FILE ? NULL : migrate_lifeline_new();
    ok = migrate_prepare_multifd(m, error) && (m->uri.kind != MIGRATE_TO_FILE || migrate_file_open(m, error)) &&
         (!m->uri.command || migrate_command_start(m, true, error)) &&
         (m->uri.fd < 0 || migrate_channel_adopt(m->channel, m->uri.fd, error));
    if (ok) {
        m->uri.fd = -1; /* the channel's */
        ok = migration_start(m, error);
    }
    if (!ok) {
        if (m->created) {
            unlink(m->uri.path);
        }
        g_free(m->control->error);
        m->control->error = g_strdup(*error ? (*error)->message : "");
        migrate_set_status(m->control, MIGRATE_FAILED);
    }
    return ok;
}
