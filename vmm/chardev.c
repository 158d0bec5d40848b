/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chardev core: the table of a domain's chardevs, front ends and the way of input;
 * that of output is in chardev-output.c.  vmm/chardev-internal.h draws it.
 */
#include "vmm/chardev.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/chardev-internal.h"
#include "vmm/error.h"
#include "vmm/host.h"

/* ---- work that other threads leave to the main loop ---- */

void chardev_lock_front(Chardev *chr)
{
    if (chr->fe.lock) {
        lock_acquire(chr->fe.lock);
    }
}

void chardev_unlock_front(Chardev *chr)
{
    if (chr->fe.lock) {
        lock_release(chr->fe.lock);
    }
}

static void chardev_free(Chardev *chr)
{
    loop_batch_cancel(domain_loop(chr->domain), &chr->commands);
    if (chr->log_fd >= 0) {
        close(chr->log_fd);
    }
    lock_finish(&chr->lock);
    g_free(chr->out);
    g_free(chr->id);
    g_free(chr);
}

static void tell_front_end(Chardev *chr, ChardevEvent event)
{
    if (chr->attached && chr->fe.event) {
        chardev_lock_front(chr);
        chr->fe.event(chr->fe.opaque, event);
        chardev_unlock_front(chr);
    }
}

static void do_work(void *opaque)
{
    Chardev *chr = opaque;
    unsigned work = __atomic_exchange_n(&chr->work, 0, __ATOMIC_SEQ_CST);

    if (chr->removed) {
        chardev_free(chr);
        return;
    }
    if ((work & CHARDEV_WORK_OPENED) && chardev_connected(chr) && !chr->announced) {
        chr->announced = true;
        tell_front_end(chr, CHARDEV_OPENED);
    }
    if ((work & CHARDEV_WORK_OUTPUT) && chardev_output_pending(chr)) {
        chr->class->watch_output(chr, true);
    }
    if ((work & CHARDEV_WORK_INPUT) && chr->class->resume_input) {
        chr->class->resume_input(chr);
    }
    if (work & CHARDEV_WORK_WRITABLE) {
        chardev_tell_writable(chr);
    }
}

/* One post at a time is under way; what comes meanwhile joins it.  Any thread. */
void chardev_leave_work(Chardev *chr, ChardevWork work)
{
    if (!__atomic_fetch_or(&chr->work, work, __ATOMIC_SEQ_CST)) {
        loop_post(domain_loop(chr->domain), do_work, chr);
    }
}

/* ---- the table ---- */

static void commands_may_come(void *opaque)
{
    chardev_accept_input(opaque);
}

static bool open_log(Chardev *chr, const ChardevCommonOptions *options, GError **error)
{
    if (options->logfile) {
        chr->log_fd = host_open(
            options->logfile, O_WRONLY | O_CREAT | (options->logappend ? O_APPEND : O_TRUNC), 0600, error);
    }
    return !options->logfile || chr->log_fd >= 0;
}

Chardev *chardev_create(Domain *domain, const char *id, const ChardevClass *class, const void *options, GError **error)
{
    Chardev *chr;

    if (!domain_check_id(domain, TABLE_CHARDEVS, id, "chardev", error)) {
        return NULL;
    }
    chr = g_malloc0(class->size);
    chr->class = class;
    chr->domain = domain;
    chr->id = g_strdup(id);
    chr->log_fd = -1;
    lock_init(&chr->lock, LOCK_LEAF, "chardev");
    chr->commands = (LoopBatch) { .fn = commands_may_come, .opaque = chr };
    if (!open_log(chr, options, error) || !class->open(chr, options, error)) {
        error_subject(error, id);
        chardev_free(chr);
        return NULL;
    }
    g_hash_table_insert(domain_table(domain, TABLE_CHARDEVS), g_strdup(id), chr);
    return chr;
}

void chardev_destroy(Chardev *chr)
{
    g_hash_table_remove(domain_table(chr->domain, TABLE_CHARDEVS), chr->id);
    chr->class->close(chr);
    chr->removed = true;
    if (!__atomic_load_n(&chr->work, __ATOMIC_SEQ_CST)) {
        chardev_free(chr);
    }
}

bool chardev_remove(Domain *domain, const char *id, GError **error)
{
    Chardev *chr = chardev_find(domain, id, error);

    if (!chr) {
        return false;
    }
    if (chr->attached || chr->users) {
        error_set(error, "chardev '%s' is in use", id);
        return error_hint(error, "Remove the device that uses it first.");
    }
    chardev_destroy(chr);
    return true;
}

void chardev_keep_connections(Domain *domain)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, domain_table(domain, TABLE_CHARDEVS));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Chardev *chr = value;

        if (chr->class->keep) {
            chr->class->keep(chr);
        }
    }
}

void chardev_remove_all(Domain *domain)
{
    GHashTable *table = domain_table(domain, TABLE_CHARDEVS);
    bool found = true;

    /* A mux holds what is below it: whatever nobody holds goes, until none is left. */
    while (found) {
        GHashTableIter iter;
        gpointer value;

        found = false;
        g_hash_table_iter_init(&iter, table);
        while (!found && g_hash_table_iter_next(&iter, NULL, &value)) {
            Chardev *chr = value;

            if (!chr->users) {
                chardev_destroy(chr);
                found = true;
            }
        }
    }
}

Chardev *chardev_find(Domain *domain, const char *id, GError **error)
{
    Chardev *chr = g_hash_table_lookup(domain_table(domain, TABLE_CHARDEVS), id);
    g_autofree const char **ids = NULL;
    const char *nearest;

    if (chr) {
        return chr;
    }
    error_set(error, "chardev '%s' does not exist", id);
    ids = (const char **)g_hash_table_get_keys_as_array(domain_table(domain, TABLE_CHARDEVS), NULL);
    nearest = error_nearest(id, ids);
    if (nearest) {
        error_hint(error, "Did you mean '%s'?", nearest);
    }
    return NULL;
}

bool chardev_each(Domain *domain, ChardevFn fn, void *opaque)
{
    GHashTable *table = domain_table(domain, TABLE_CHARDEVS);
    g_autoptr(GList) ids = g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp);

    for (GList *l = ids; l; l = l->next) {
        if (!fn(g_hash_table_lookup(table, l->data), opaque)) {
            return false;
        }
    }
    return true;
}

const char *chardev_id(const Chardev *chr)
{
    return chr->id;
}

char *chardev_filename(const Chardev *chr)
{
    return chr->class->filename ? chr->class->filename(chr) : g_strdup(chr->class->name);
}

bool chardev_frontend_open(const Chardev *chr)
{
    return chr->frontend_open;
}

bool chardev_is_mux(const Chardev *chr)
{
    return chr->class->below != NULL;
}

bool chardev_wants_monitor(const Chardev *chr)
{
    return chr->wants_monitor;
}

void chardev_set_frontend_open(Chardev *chr, bool open)
{
    chr->frontend_open = open;
}

static bool link_attach(Device *dev, const char *id, void **slot, GError **error)
{
    Chardev *chr = chardev_find(dev->domain, id, error);

    if (!chr) {
        return false;
    }
    chr->users++;
    *slot = chr;
    return true;
}

static void link_detach(Device *dev, void **slot)
{
    ((Chardev *)*slot)->users--;
    *slot = NULL;
}

const LinkClass chardev_link = { .kind = "chardev", .attach = link_attach, .detach = link_detach };

/* ---- front ends ---- */

bool chardev_attach(Chardev *chr, const ChardevFrontend *fe, GError **error)
{
    if (chr->class->attach) {
        return chr->class->attach(chr, fe, error);
    }
    if (chr->attached) {
        error_set(error, "chardev '%s' is in use", chr->id);
        return error_hint(error, "Give each device a chardev of its own, or share one with mux=on.");
    }
    chr->fe = *fe;
    chr->attached = true;
    chr->announced = false;
    chr->frontend_open = true;
    chardev_leave_work(chr, CHARDEV_WORK_OPENED | CHARDEV_WORK_INPUT);
    return true;
}

void chardev_detach(Chardev *chr, void *opaque)
{
    if (chr->class->detach) {
        chr->class->detach(chr, opaque);
    } else if (chr->attached && chr->fe.opaque == opaque) {
        chr->attached = false;
        chr->frontend_open = false;
        chr->wants_write = false;
        chr->fe = (ChardevFrontend) { 0 };
    }
}

void chardev_event(Chardev *chr, ChardevEvent event)
{
    if (event == CHARDEV_OPENED || event == CHARDEV_CLOSED) {
        __atomic_store_n(&chr->connected, event == CHARDEV_OPENED, __ATOMIC_SEQ_CST);
        __atomic_store_n(&chr->lost, false, __ATOMIC_SEQ_CST);
        chr->announced = event == CHARDEV_OPENED && chr->attached;
    }
    tell_front_end(chr, event);
}

bool chardev_connected(const Chardev *chr)
{
    if (chr->class->below) {
        return chardev_connected(chr->class->below((Chardev *)chr));
    }
    return __atomic_load_n(&chr->connected, __ATOMIC_SEQ_CST);
}

bool chardev_end_lost(Chardev *chr)
{
    if (!chr->class->hang_up || !chardev_connected(chr) || !__atomic_load_n(&chr->lost, __ATOMIC_SEQ_CST)) {
        return false;
    }
    chr->class->hang_up(chr);
    return true;
}

/* ---- input ---- */

size_t chardev_front_room(Chardev *chr, const ChardevFrontend *fe)
{
    if (fe->commands && loop_defer(domain_loop(chr->domain), &chr->commands)) {
        return 0;
    }
    return fe->can_receive ? fe->can_receive(fe->opaque) : CHARDEV_INPUT_MAX;
}

/* The flag goes up before the question: who makes room after the answer finds it up. */
size_t chardev_input_room(Chardev *chr)
{
    size_t room = 0;

    __atomic_store_n(&chr->input_blocked, true, __ATOMIC_SEQ_CST);
    if (chr->attached && chr->fe.receive) {
        chardev_lock_front(chr);
        room = chardev_front_room(chr, &chr->fe);
        chardev_unlock_front(chr);
    }
    if (room) {
        __atomic_store_n(&chr->input_blocked, false, __ATOMIC_SEQ_CST);
    }
    return MIN(room, CHARDEV_INPUT_MAX);
}

void chardev_input(Chardev *chr, const uint8_t *data, size_t length)
{
    if (chr->attached && chr->fe.receive) {
        chardev_lock_front(chr);
        chr->fe.receive(chr->fe.opaque, data, length);
        chardev_unlock_front(chr);
    }
}

void chardev_accept_input(Chardev *chr)
{
    Chardev *below = chr->class->below ? chr->class->below(chr) : NULL;

    if (below) {
        chardev_leave_work(chr, CHARDEV_WORK_INPUT); /* what the mux itself holds comes first */
    } else if (__atomic_load_n(&chr->input_blocked, __ATOMIC_SEQ_CST)
        && __atomic_exchange_n(&chr->input_blocked, false, __ATOMIC_SEQ_CST)) {
        chardev_leave_work(chr, CHARDEV_WORK_INPUT);
    }
}

int chardev_take_fd(Chardev *chr)
{
    if (chr->class->below) {
        return chardev_take_fd(chr->class->below(chr));
    }
    return chr->class->take_fd ? chr->class->take_fd(chr) : -1;
}

int chardev_borrow_socket(Chardev *chr)
{
    return chr->class->borrow_socket ? chr->class->borrow_socket(chr) : -1;
}

void chardev_hang_up(Chardev *chr)
{
    if (chr->class->hang_up) {
        chr->class->hang_up(chr);
    }
}
