/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb server's breakpoints and watchpoints (Z z): "Debugging with GDB", appendix "GDB
 * Remote Serial Protocol", section "Packets".
 *
 * Each counts for every vCPU, and is handed to all of them at once, so that GDB hears what
 * an accelerator cannot do (as more than four watchpoints on KVM) when it asks for it.  A
 * breakpoint's address is linear: in 16-bit code CS's base and the offset.
 */
#include "monitor/gdb-internal.h"

bool gdb_arm(GdbServer *s, Vcpu *vcpu, bool step, GError **error)
{
    const AccelClass *accel = domain_accel(s->domain)->class;

    return accel->set_breakpoints(vcpu, (const AccelBreakpoint *)s->breakpoints->data, s->breakpoints->len, step,
                                  error);
}

/* The current vCPU is first: by its page tables memory for a breakpoint is found. */
static bool arm_all(GdbServer *s)
{
    Vcpu *current = gdb_vcpu(s, s->current);
    bool ok = !current || gdb_arm(s, current, false, NULL);

    for (unsigned i = 0; i < domain_vcpus(s->domain) && ok; i++) {
        Vcpu *vcpu = domain_vcpu(s->domain, i);

        ok = vcpu == current || gdb_arm(s, vcpu, false, NULL);
    }
    return ok;
}

static int find(GdbServer *s, const AccelBreakpoint *b)
{
    for (unsigned i = 0; i < s->breakpoints->len; i++) {
        const AccelBreakpoint *have = &g_array_index(s->breakpoints, AccelBreakpoint, i);

        if (have->kind == b->kind && have->address == b->address && have->length == b->length) {
            return (int)i;
        }
    }
    return -1;
}

/* TYPE,ADDRESS,KIND[;...]: kind is the length; what may follow are conditions, which we did not offer. */
static bool parse(const char *args, AccelBreakpoint *ret)
{
    uint64_t type;

    if (!gdb_parse_hex(&args, &type) || type > ACCEL_WATCH_ACCESS || !gdb_parse_char(&args, ',') ||
        !gdb_parse_hex(&args, &ret->address) || !gdb_parse_char(&args, ',') || !gdb_parse_hex(&args, &ret->length) ||
        *args) {
        return false;
    }
    ret->kind = (AccelBreakKind)type; /* in the protocol's order */
    if (ret->kind == ACCEL_BREAK_SOFTWARE || ret->kind == ACCEL_BREAK_HARDWARE) {
        ret->length = 1;
    }
    return ret->length && ret->address + (ret->length - 1) >= ret->address;
}

/* Inserting one that is there changes nothing, so that a packet may be sent twice. */
void gdb_insert(GdbServer *s, const char *args, size_t length)
{
    AccelBreakpoint b;

    if (!parse(args, &b) || s->breakpoints->len == GDB_BREAKPOINTS_MAX) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    if (find(s, &b) < 0) {
        g_array_append_val(s->breakpoints, b);
        if (!arm_all(s)) {
            g_array_set_size(s->breakpoints, s->breakpoints->len - 1);
            arm_all(s);
            gdb_reply(s, GDB_EINVAL);
            return;
        }
    }
    gdb_reply_ok(s);
}

void gdb_remove(GdbServer *s, const char *args, size_t length)
{
    AccelBreakpoint b;
    int n;

    if (!parse(args, &b)) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    n = find(s, &b);
    if (n >= 0) {
        g_array_remove_index(s->breakpoints, (unsigned)n);
        arm_all(s);
    }
    gdb_reply_ok(s);
}

void gdb_remove_breakpoints(GdbServer *s)
{
    if (s->breakpoints->len) {
        g_array_set_size(s->breakpoints, 0);
        arm_all(s);
    }
}
