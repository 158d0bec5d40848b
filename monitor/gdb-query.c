/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb server's general queries (q Q) and threads (H T): "Debugging with GDB", appendix
 * "GDB Remote Serial Protocol", sections "General Query Packets" and "Packets".
 *
 * qqemu.PhyMemMode and Qqemu.PhyMemMode are QEMU's: addresses are guest-physical.
 */
#include <string.h>

#include "monitor/gdb-internal.h"

#define LINE_MAX_BYTES 1024          /* of a monitor command */
#define OUTPUT_PIECE   (GDB_PACKET_MAX / 2 - 1)

/* ---- threads ---- */

/* "g" for registers and memory, "c" for the older `s` and `c`. */
void gdb_set_thread(GdbServer *s, const char *args, size_t length)
{
    char what = *args;
    uint64_t thread;
    unsigned *which = what == 'c' ? &s->stepped : &s->current;

    args += length > 0;
    if ((what != 'c' && what != 'g') || !gdb_parse_thread(&args, &thread) || *args) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    if (thread != GDB_THREAD_ANY && thread != GDB_THREAD_ALL) {
        if (!gdb_vcpu(s, (unsigned)thread - 1)) {
            gdb_reply(s, GDB_EINVAL);
            return;
        }
        *which = (unsigned)thread - 1;
    }
    gdb_reply_ok(s);
}

void gdb_is_alive(GdbServer *s, const char *args, size_t length)
{
    uint64_t thread;
    bool alive = gdb_parse_hex(&args, &thread) && !*args && thread && thread <= UINT32_MAX &&
                 gdb_vcpu(s, (unsigned)thread - 1);

    gdb_reply(s, alive ? "OK" : GDB_EINVAL);
}

static void current_thread(GdbServer *s, const char *args, size_t length)
{
    g_autofree char *reply = g_strdup_printf("QC%x", s->current + 1);

    gdb_reply(s, reply);
}

/* As many as a packet holds; the rest comes with the next question. */
static void next_threads(GdbServer *s, const char *args, size_t length)
{
    g_autoptr(GString) out = g_string_new("m");

    for (; s->listed < domain_vcpus(s->domain) && out->len < GDB_PACKET_MAX - 16; s->listed++) {
        g_string_append_printf(out, "%s%x", out->len > 1 ? "," : "", domain_vcpu(s->domain, s->listed)->index + 1);
    }
    gdb_reply(s, out->len > 1 ? out->str : "l");
}

static void first_threads(GdbServer *s, const char *args, size_t length)
{
    s->listed = 0;
    next_threads(s, args, length);
}

static void thread_info(GdbServer *s, const char *args, size_t length)
{
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *text = NULL;
    Vcpu *vcpu = NULL;
    uint64_t thread;

    if (gdb_parse_hex(&args, &thread) && !*args && thread && thread <= UINT32_MAX) {
        vcpu = gdb_vcpu(s, (unsigned)thread - 1);
    }
    if (!vcpu || !vcpu_fetch(vcpu, NULL)) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    text = g_strdup_printf("CPU#%u [%s]", vcpu->index, vcpu->cpu.run_state == X86_RUNNABLE ? "running" : "halted");
    gdb_append_bytes(out, text, strlen(text));
    gdb_reply(s, out->str);
}

/* ---- what we are ---- */

static void supported(GdbServer *s, const char *args, size_t length)
{
    g_auto(GStrv) features = g_strsplit(args, ";", -1);
    g_autofree char *reply = g_strdup_printf(
        "PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+", GDB_PACKET_MAX);

    s->swbreak = g_strv_contains((const char *const *)features, "swbreak+");
    s->hwbreak = g_strv_contains((const char *const *)features, "hwbreak+");
    gdb_reply(s, reply);
}

/* A guest was there before the debugger, which therefore leaves it alone when it quits. */
static void attached(GdbServer *s, const char *args, size_t length)
{
    gdb_reply(s, "1");
}

static void read_target_xml(GdbServer *s, const char *args, size_t length)
{
    size_t total = strlen(s->target_xml);
    g_autoptr(GString) out = g_string_new(NULL);
    uint64_t offset, wanted;

    if (!gdb_parse_hex(&args, &offset) || !gdb_parse_char(&args, ',') || !gdb_parse_hex(&args, &wanted) || *args ||
        offset > total) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    wanted = MIN(wanted, GDB_PACKET_MAX / 2);
    g_string_append_c(out, total - offset > wanted ? 'm' : 'l');
    g_string_append_len(out, s->target_xml + offset, (gssize)MIN(wanted, total - offset));
    gdb_reply(s, out->str);
}

/* ---- physical addresses ---- */

static void get_physical(GdbServer *s, const char *args, size_t length)
{
    gdb_reply(s, s->physical ? "1" : "0");
}

static void set_physical(GdbServer *s, const char *args, size_t length)
{
    uint64_t on;

    if (!gdb_parse_hex(&args, &on) || *args || on > 1) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    s->physical = on;
    gdb_reply_ok(s);
}

/* ---- monitor commands ---- */

/* In pieces that fit a packet; the last packet says that this was all. */
static void send_output(GdbServer *s, const GString *output)
{
    for (size_t at = 0; at < output->len; at += OUTPUT_PIECE) {
        g_autoptr(GString) piece = g_string_new("O");

        gdb_append_bytes(piece, output->str + at, MIN(OUTPUT_PIECE, output->len - at));
        gdb_reply(s, piece->str);
    }
    gdb_reply_ok(s);
}

static void monitor_command(GdbServer *s, const char *args, size_t length)
{
    char line[LINE_MAX_BYTES + 1];
    size_t n = length / 2;
    g_autoptr(GString) out = g_string_new(NULL);

    if (length % 2 || n > LINE_MAX_BYTES || !gdb_parse_bytes(&args, (uint8_t *)line, n) || *args) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    line[n] = '\0';
    if (strlen(line) != n || !g_utf8_validate(line, -1, NULL)) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    hmp_say(&s->session, line, out);
    send_output(s, out);
}

/* ---- the tables ---- */

static const GdbCommand queries[] = {
    { "Attached", attached, true },
    { "C", current_thread, true },
    { "fThreadInfo", first_threads, true },
    { "qemu.PhyMemMode", get_physical, true },
    { "Rcmd,", monitor_command, false },
    { "sThreadInfo", next_threads, true },
    { "Supported:", supported, false },
    { "Supported", supported, true },
    { "ThreadExtraInfo,", thread_info, false },
    { "Xfer:features:read:target.xml:", read_target_xml, false },
    { NULL },
};

static const GdbCommand settings[] = {
    { "qemu.PhyMemMode:", set_physical, false },
    { NULL },
};

void gdb_query(GdbServer *s, const char *args, size_t length)
{
    if (!gdb_dispatch(s, queries, args, length)) {
        gdb_reply(s, g_str_has_prefix(args, "Xfer:features:read:") ? "E00" : "");
    }
}

void gdb_set(GdbServer *s, const char *args, size_t length)
{
    if (!gdb_dispatch(s, settings, args, length)) {
        gdb_reply(s, "");
    }
}
