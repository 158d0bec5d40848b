/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb server's connection and its table of commands: "Debugging with GDB", appendix
 * "GDB Remote Serial Protocol", section "Packets".
 *
 * Not there: extended mode, non-stop mode, files of the target, several processes,
 * tracing.  An unknown packet has an empty reply.
 *
 * What is kept for a client that does not read is bounded: no input is taken while
 * output waits, and what is taken at once makes few packets.
 *
 * Locking: none; main thread.
 */
#include <string.h>

#include "monitor/gdb-internal.h"
#include "vmm/error.h"
#include "vmm/machine.h"

#define INPUT_MAX 512 /* bytes taken at once */

/* ---- output ---- */

static void flush(GdbServer *s)
{
    size_t n = chardev_write(s->chr, s->out->data, s->out->len);

    g_byte_array_remove_range(s->out, 0, (guint)n);
    if (s->out->len) {
        chardev_want_write(s->chr);
    }
}

static void wire_send(void *opaque, const uint8_t *data, size_t length)
{
    GdbServer *s = opaque;

    g_byte_array_append(s->out, data, (guint)length);
    flush(s);
}

void gdb_reply(GdbServer *s, const char *text)
{
    gdb_wire_send_text(&s->wire, text);
}

void gdb_reply_ok(GdbServer *s)
{
    gdb_reply(s, "OK");
}

/* ---- threads ---- */

Vcpu *gdb_vcpu(GdbServer *s, unsigned index)
{
    return domain_find_vcpu(s->domain, index);
}

Vcpu *gdb_current(GdbServer *s)
{
    Vcpu *vcpu = gdb_vcpu(s, s->current);

    return vcpu && vcpu_fetch(vcpu, NULL) ? vcpu : NULL;
}

bool gdb_parse_thread(const char **text, uint64_t *ret)
{
    if (g_str_has_prefix(*text, "-1")) {
        *text += 2;
        *ret = GDB_THREAD_ALL;
        return true;
    }
    return gdb_parse_hex(text, ret) && *ret <= UINT32_MAX;
}

/* ---- commands ---- */

static void no_ack_mode(GdbServer *s, const char *args, size_t length)
{
    gdb_reply_ok(s);
    s->wire.acknowledge = false;
}

static void must_reply_empty(GdbServer *s, const char *args, size_t length)
{
    gdb_reply(s, "");
}

static const GdbCommand commands[] = {
    { "?", gdb_why, true },
    { "c", gdb_continue, false },
    { "C", gdb_continue_signal, false },
    { "D", gdb_detach, true },
    { "g", gdb_read_registers, true },
    { "G", gdb_write_registers, false },
    { "H", gdb_set_thread, false },
    { "k", gdb_kill, true },
    { "m", gdb_read_memory, false },
    { "M", gdb_write_memory, false },
    { "p", gdb_read_register, false },
    { "P", gdb_write_register, false },
    { "QStartNoAckMode", no_ack_mode, true },
    { "Q", gdb_set, false },
    { "q", gdb_query, false },
    { "s", gdb_step, false },
    { "S", gdb_step_signal, false },
    { "T", gdb_is_alive, false },
    { "vCont?", gdb_cont_actions, true },
    { "vCont;", gdb_cont, false },
    { "vKill;", gdb_kill_process, false },
    { "vMustReplyEmpty", must_reply_empty, true },
    { "X", gdb_write_binary, false },
    { "z", gdb_remove, false },
    { "Z", gdb_insert, false },
    { NULL },
};

bool gdb_dispatch(GdbServer *s, const GdbCommand *table, const char *data, size_t length)
{
    for (const GdbCommand *c = table; c->name; c++) {
        size_t n = strlen(c->name);

        if (length >= n && !memcmp(data, c->name, n) && (!c->exact || length == n)) {
            c->fn(s, data + n, length - n);
            return true;
        }
    }
    return false;
}

static void wire_packet(void *opaque, const char *data, size_t length)
{
    GdbServer *s = opaque;

    s->busy = true;
    gdb_run_quiet(s);
    if (!gdb_dispatch(s, commands, data, length)) {
        gdb_reply(s, "");
    }
    s->busy = false;
}

static void wire_interrupt(void *opaque)
{
    gdb_run_interrupt(opaque);
}

static const GdbWireOps wire_ops = { .packet = wire_packet, .interrupt = wire_interrupt, .send = wire_send };

/* ---- the character device ---- */

void gdb_clear_connection(GdbServer *s)
{
    Vcpu *first = domain_vcpu(s->domain, 0);

    gdb_wire_reset(&s->wire);
    g_byte_array_set_size(s->out, 0);
    s->current = s->stepped = first ? first->index : 0;
    s->listed = 0;
    s->swbreak = s->hwbreak = s->physical = false;
}

static size_t fe_can_receive(void *opaque)
{
    GdbServer *s = opaque;

    return s->out->len ? 0 : INPUT_MAX;
}

static void open_connection(GdbServer *s)
{
    if (!s->connected) {
        s->connected = true;
        gdb_run_attach(s);
    }
}

/* A chardev that was open before it had a front end may bring bytes before it says so. */
static void fe_receive(void *opaque, const uint8_t *data, size_t length)
{
    GdbServer *s = opaque;

    open_connection(s);
    gdb_wire_receive(&s->wire, data, length);
}

static void fe_writable(void *opaque)
{
    GdbServer *s = opaque;

    flush(s);
    if (!s->out->len) {
        chardev_accept_input(s->chr);
    }
}

static void close_connection(GdbServer *s)
{
    if (s->connected) {
        s->connected = false;
        gdb_run_detach(s);
    }
    gdb_clear_connection(s);
}

static void fe_event(void *opaque, ChardevEvent event)
{
    GdbServer *s = opaque;

    if (event == CHARDEV_OPENED) {
        open_connection(s);
    } else if (event == CHARDEV_CLOSED) {
        close_connection(s);
    } else if (event == CHARDEV_BREAK && s->connected) {
        gdb_run_interrupt(s);
    }
}

/* ---- the server ---- */

/* A TCP address is a server's, for this host alone unless it names another address; what the user says comes after. */
static char *complete(const char *device)
{
    size_t address = strcspn(device, ",");

    if (!g_str_has_prefix(device, "tcp:") || !strchr(device + 4, ':')) {
        return g_strdup(device);
    }
    return g_strdup_printf("tcp:%s%.*s,server=on,wait=off,nodelay=on%s", device[4] == ':' ? "127.0.0.1" : "",
                           (int)address - 4, device + 4, device + address);
}

static GdbServer *server_on(Domain *domain, Chardev *chr)
{
    GdbServer *s = g_new0(GdbServer, 1);

    s->domain = domain;
    s->chr = chr;
    s->session = (HmpSession) { .domain = domain };
    s->out = g_byte_array_new();
    s->breakpoints = g_array_new(FALSE, FALSE, sizeof(AccelBreakpoint));
    gdb_wire_init(&s->wire, &wire_ops, s);
    gdb_registers_init(&s->registers, domain_vcpu(domain, 0));
    s->target_xml = gdb_registers_describe(&s->registers);
    gdb_clear_connection(s);
    domain_observe(domain, gdb_run_observe, s);
    cpu_bus_observe(&domain_machine(domain)->cpus, gdb_run_plugged, s);
    return s;
}

static void server_free(GdbServer *s)
{
    domain_unobserve(s->domain, gdb_run_observe, s);
    cpu_bus_unobserve(&domain_machine(s->domain)->cpus, gdb_run_plugged, s);
    gdb_remove_breakpoints(s);
    chardev_detach(s->chr, s);
    gdb_wire_finish(&s->wire);
    g_byte_array_unref(s->out);
    g_array_unref(s->breakpoints);
    g_free(s->target_xml);
    g_free(s);
}

/* The former one's has such a name, too.  *ret_own: it was made, and is not one of the user's. */
static bool add_chardev(Domain *domain, const char *device, Chardev **ret, bool *ret_own, GError **error)
{
    g_autofree char *text = complete(device), *id = g_strdup("gdb");

    for (unsigned n = 2; g_hash_table_contains(domain_table(domain, TABLE_CHARDEVS), id); n++) {
        g_free(id);
        id = g_strdup_printf("gdb-%u", n);
    }
    *ret = NULL;
    if (!chardev_add_short(domain, id, text, ret, error)) {
        return false;
    }
    *ret_own = *ret && g_str_equal(chardev_id(*ret), id);
    return true;
}

static GdbServer *server_new(Domain *domain, Chardev *chr, bool own, GError **error)
{
    GdbServer *s;

    if (!domain_vcpus(domain)) {
        error_set(error, "machine without CPUs: there is nothing to debug");
        return NULL;
    }
    s = server_on(domain, chr);
    s->owns_chardev = own;
    if (!chardev_attach(chr,
                        &(ChardevFrontend) { .can_receive = fe_can_receive, .receive = fe_receive, .event = fe_event,
                                             .writable = fe_writable, .opaque = s, .commands = true },
                        error)) {
        g_clear_pointer(&s, server_free);
    }
    return s;
}

static void server_close(GdbServer *s)
{
    Domain *domain = s->domain;
    Chardev *own = s->owns_chardev ? s->chr : NULL;

    close_connection(s);
    server_free(s);
    if (own) {
        chardev_remove(domain, chardev_id(own), NULL);
    }
}

bool gdb_server_open(Domain *domain, const char *device, GError **error)
{
    GdbServer *former = domain_gdb_server(domain), *s = NULL;
    Chardev *chr;
    bool own;

    if (former && former->busy) {
        error_set(error, "the gdb server waits for the end of gdb's own command");
        return error_hint(error, "Say it to another monitor.");
    }
    if (!add_chardev(domain, device, &chr, &own, error)) {
        return false;
    }
    if (chr && !(s = server_new(domain, chr, own, error))) {
        if (own) {
            chardev_remove(domain, chardev_id(chr), NULL);
        }
        return false;
    }
    domain_set_gdb_server(domain, s);
    if (former) {
        server_close(former);
    }
    return true;
}

void gdb_server_finish(Domain *domain)
{
    GdbServer *s = domain_gdb_server(domain);

    if (s) {
        domain_set_gdb_server(domain, NULL);
        server_free(s);
    }
}
