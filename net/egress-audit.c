/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The egress policy's log: a line of JSON for each decision, and one at the end of each connection, to a file (at its
 * end) or a chardev.
 *
 *     {"time": "2026-01-31T12:00:00.000001Z", "netdev": "n", "verdict": "deny", "protocol": "tcp",
 *      "source": "10.0.2.15:40000", "destination": "192.0.2.7:25", "name": "mail.example.org", "rule": "default"}
 *     ... "verdict": "closed" (or "cut", "expired"), ... "sent": 512, "received": 8192, "milliseconds": 1500}
 *     ... "protocol": "dns", "name": "example.org", "verdict": "allow" | "deny" | "answer", "addresses": 2}
 *
 * Bounded: a guest cannot make it longer than LINES_A_SECOND; what is left out is counted, and the next line says how
 * many (left-out).  The file grows without bound otherwise: whoever wants it rotated uses a chardev.  What cannot be
 * written is said once, and decides nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "net/egress-internal.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"

#define LINES_A_SECOND 200
#define LINES_AHEAD    2000
#define WAITING_MAX    (1 << 20) /* bytes for a chardev */

const char *egress_protocol_name(uint8_t protocol)
{
    return protocol == EGRESS_TCP ? "tcp" : protocol == EGRESS_UDP ? "udp" : "icmp";
}

/* ---- where it goes ---- */

static void flush(void *opaque)
{
    EgressAudit *a = opaque;
    size_t n = chardev_write(a->chr, (const uint8_t *)a->waiting->str, a->waiting->len);

    g_string_erase(a->waiting, 0, (gssize)n);
    if (a->waiting->len) {
        chardev_want_write(a->chr);
    }
}

static size_t takes_nothing(void *opaque)
{
    return 0;
}

static void receive_nothing(void *opaque, const uint8_t *data, size_t length)
{
}

static void no_event(void *opaque, ChardevEvent event)
{
}

static bool open_chardev(EgressPolicy *policy, GError **error)
{
    EgressAudit *a = &policy->audit;
    const ChardevFrontend front = { .can_receive = takes_nothing, .receive = receive_nothing, .event = no_event,
                                    .writable = flush, .opaque = a };

    a->chr = chardev_find(policy->object.domain, policy->audit_chardev, error);
    if (!a->chr || !chardev_attach(a->chr, &front, error)) {
        a->chr = NULL;
        return false;
    }
    a->waiting = g_string_new(NULL);
    return true;
}

bool egress_audit_open(EgressPolicy *policy, GError **error)
{
    policy->audit.fd = -1;
    if (policy->audit_file && policy->audit_chardev) {
        return error_set(error, "audit and audit-chardev are both given");
    }
    if (policy->audit_chardev) {
        return open_chardev(policy, error);
    }
    if (policy->audit_file) {
        policy->audit.fd = host_open(policy->audit_file, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK, 0600, error);
        return policy->audit.fd >= 0;
    }
    return true;
}

void egress_audit_close(EgressPolicy *policy)
{
    EgressAudit *a = &policy->audit;

    if (a->fd >= 0) {
        close(a->fd);
    }
    if (a->chr) {
        chardev_detach(a->chr, a);
        g_string_free(a->waiting, TRUE);
    }
}

/* Said once, until a line is written again. */
static bool note_failure(EgressPolicy *policy, const char *log, const char *why)
{
    if (why && !policy->audit.failed) {
        log_warning("%s: the audit log '%s' lacks lines: %s", policy->object.id, log, why);
    }
    policy->audit.failed = why != NULL;
    return !why;
}

/* A chardev with nobody at its other end takes everything, and it is lost. */
static bool write_to_chardev(EgressPolicy *policy, const char *line, size_t length)
{
    EgressAudit *a = &policy->audit;

    if (!note_failure(policy, policy->audit_chardev, chardev_connected(a->chr) ? NULL : "nobody is connected") ||
        a->waiting->len + length > WAITING_MAX) {
        return false;
    }
    g_string_append_len(a->waiting, line, (gssize)length);
    flush(a);
    return true;
}

/* false: it is left out. */
static bool write_line(EgressPolicy *policy, const char *line, size_t length)
{
    int err;

    if (policy->audit.chr) {
        return write_to_chardev(policy, line, length);
    }
    err = host_write_all(policy->audit.fd, line, length);
    return note_failure(policy, policy->audit_file, err ? g_strerror(-err) : NULL);
}

/* ---- lines ---- */

static bool has_room(EgressAudit *a)
{
    int64_t now = clock_ns(clock_realtime), step = NS_PER_SEC / LINES_A_SECOND;

    if (a->free_at > now + LINES_AHEAD * step) {
        return false;
    }
    a->free_at = MAX(a->free_at, now) + step;
    return true;
}

static void put_time(JsonWriter *w)
{
    int64_t us = clock_ns(clock_host) / 1000;
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);
    g_autofree char *seconds = g_date_time_format(time, "%Y-%m-%dT%H:%M:%S");
    g_autofree char *text = g_strdup_printf("%s.%06dZ", seconds, (int)(us % G_USEC_PER_SEC));

    json_write_string(w, "time", text);
}

static void put_address(JsonWriter *w, const char *member, const EgressAddress *a, uint16_t port, bool has_port)
{
    char text[EGRESS_ADDRESS_TEXT];
    bool brackets = has_port && !egress_is_ipv4(a);
    g_autofree char *whole = NULL;

    egress_address_text(a, text);
    whole =
        has_port ? g_strdup_printf("%s%s%s:%u", brackets ? "[" : "", text, brackets ? "]" : "", port) : g_strdup(text);
    json_write_string(w, member, whole);
}

static void put_end(JsonWriter *w, const EgressEntry *e)
{
    if (e->flow) {
        json_write_uint(w, "sent", e->flow->sent);
        json_write_uint(w, "received", e->flow->received);
        json_write_int(w, "milliseconds", (egress_now(e->egress) - e->flow->started) / NS_PER_MS);
    }
    if (e->addresses) {
        json_write_uint(w, "addresses", e->addresses);
    }
}

static char *line_of(const EgressEntry *e, uint64_t left_out)
{
    JsonWriter *w = json_writer_new(false);
    bool ports = e->protocol == EGRESS_TCP || e->protocol == EGRESS_UDP;

    json_write_begin_object(w, NULL);
    put_time(w);
    json_write_string(w, "netdev", e->egress->id);
    json_write_string(w, "verdict", e->verdict);
    json_write_string(w, "protocol", e->what ? e->what : egress_protocol_name(e->protocol));
    put_address(w, "source", e->source, e->source_port, ports);
    put_address(w, "destination", e->destination, e->destination_port, ports);
    if (e->name) {
        json_write_string(w, "name", e->name);
    }
    if (e->rule) {
        json_write_string(w, "rule", e->rule);
    }
    put_end(w, e);
    if (left_out) {
        json_write_uint(w, "left-out", left_out);
    }
    json_write_end_object(w);
    return json_writer_finish(w);
}

void egress_audit(const EgressEntry *e)
{
    EgressPolicy *policy = e->egress->policy;
    EgressAudit *a = &policy->audit;
    g_autofree char *text = NULL, *line = NULL;
    uint64_t left_out = a->left_out;

    if (a->fd < 0 && !a->chr) {
        return;
    }
    a->left_out++; /* until it is taken */
    if (has_room(a)) {
        text = line_of(e, left_out);
        line = g_strconcat(text, "\n", NULL);
        a->left_out = write_line(policy, line, strlen(line)) ? 0 : a->left_out;
    }
}
