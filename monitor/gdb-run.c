/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb server's run control (? c C s S vCont D k, 0x03) and its stop replies:
 * "Debugging with GDB", appendix "GDB Remote Serial Protocol", sections "Packets", "Stop
 * Reply Packets", "Interrupts".
 *
 *     c, s, vCont -> vCPUs are armed or held -> domain_cont()
 *     a vCPU stops -> domain_request_debug() -> gdb_run_observe() -> T05thread:...
 *
 * Several vCPUs may stop at once; one is told of.  Another that came to a breakpoint will do so
 * again, since its instruction was not executed; one that is past a watchpoint keeps its
 * news until the client lets it run.
 *
 * Signals are GDB's numbers, and say why the guest stands still; it cannot be sent any.
 */
#include <string.h>

#include "monitor/gdb-internal.h"
#include "vmm/error.h"
#include "vmm/log.h"

typedef enum Action { ACTION_HOLD, ACTION_CONTINUE, ACTION_STEP } Action;

/* GDB's include/gdb/signals.def. */
enum { SIGNAL_INT = 2, SIGNAL_QUIT = 3, SIGNAL_TRAP = 5, SIGNAL_ABRT = 6, SIGNAL_ALRM = 14, SIGNAL_STOP = 17,
       SIGNAL_XCPU = 24, SIGNAL_UNKNOWN = 143 };

/* ---- stop replies ---- */

static unsigned signal_of(RunState state)
{
    switch (state) {
    case RUN_STATE_DEBUG:
        return SIGNAL_TRAP;
    case RUN_STATE_PAUSED:
        return SIGNAL_INT;
    case RUN_STATE_SHUTDOWN:
        return SIGNAL_QUIT;
    case RUN_STATE_IO_ERROR:
        return SIGNAL_STOP;
    case RUN_STATE_WATCHDOG:
        return SIGNAL_ALRM;
    case RUN_STATE_INTERNAL_ERROR:
        return SIGNAL_ABRT;
    case RUN_STATE_FINISH_MIGRATE:
        return SIGNAL_XCPU;
    default:
        return SIGNAL_UNKNOWN;
    }
}

/* GDB passes over a breakpoint that is not where it knows one: in code whose segment has a base the address and RIP
 * differ, and a mere trap is what it stops at. */
static bool is_at(Vcpu *vcpu, const VcpuStop *stop)
{
    return vcpu_fetch(vcpu, NULL) && vcpu->cpu.rip == stop->address;
}

static void append_reason(GdbServer *s, GString *out, Vcpu *vcpu, const VcpuStop *stop)
{
    static const char *const watches[] = {
        [ACCEL_WATCH_WRITE] = "watch", [ACCEL_WATCH_READ] = "rwatch", [ACCEL_WATCH_ACCESS] = "awatch",
    };

    if (stop->step) {
        return;
    }
    switch (stop->kind) {
    case ACCEL_BREAK_SOFTWARE:
        g_string_append(out, s->swbreak && is_at(vcpu, stop) ? "swbreak:;" : "");
        break;
    case ACCEL_BREAK_HARDWARE:
        g_string_append(out, s->hwbreak && is_at(vcpu, stop) ? "hwbreak:;" : "");
        break;
    default:
        g_string_append_printf(out, "%s:%" G_GINT64_MODIFIER "x;", watches[stop->kind], stop->address);
        break;
    }
}

/* vcpu: which one stopped; NULL: all did, and the client is shown the one that it ran. */
static void report(GdbServer *s, unsigned signal, Vcpu *vcpu, const VcpuStop *stop)
{
    g_autoptr(GString) out = g_string_new(NULL);

    if (!vcpu) {
        vcpu = gdb_vcpu(s, s->stepped);
    }
    s->current = s->stepped = vcpu ? vcpu->index : 0; /* unplugged: the first never is */
    g_string_append_printf(out, "T%02xthread:%x;", signal, s->current + 1);
    if (stop) {
        append_reason(s, out, vcpu, stop);
    }
    s->awaits_stop = false;
    gdb_reply(s, out->str);
}

/* The one that stopped, of those that ran. */
static Vcpu *find_stopped(GdbServer *s, VcpuStop *ret)
{
    for (unsigned i = 0; i < domain_vcpus(s->domain); i++) {
        Vcpu *vcpu = domain_vcpu(s->domain, i);

        if (!vcpu->held && vcpu_take_stop(vcpu, ret)) {
            return vcpu;
        }
    }
    return NULL;
}

/* Steps and holds are for one resumption. */
static void disarm(GdbServer *s)
{
    for (unsigned i = 0; i < domain_vcpus(s->domain); i++) {
        Vcpu *vcpu = domain_vcpu(s->domain, i);

        vcpu_hold(vcpu, false);
        if (s->stepping && !gdb_arm(s, vcpu, false, NULL)) {
            log_warning("gdb: vCPU %u lost its breakpoints", vcpu->index);
        }
    }
    s->stepping = false;
}

/* Nobody is there to be told. */
static void run_on(void *domain)
{
    if (domain_run_state(domain) == RUN_STATE_DEBUG) {
        domain_cont(domain, NULL);
    }
}

static void stopped(GdbServer *s)
{
    RunState state = domain_run_state(s->domain);
    VcpuStop stop;
    Vcpu *vcpu;

    if (state == RUN_STATE_SAVE_VM || state == RUN_STATE_RESTORE_VM) {
        return; /* it goes on by itself */
    }
    if (state == RUN_STATE_DEBUG && !s->connected) {
        loop_post(domain_loop(s->domain), run_on, s->domain);
        return;
    }
    vcpu = s->connected ? find_stopped(s, &stop) : NULL;
    s->paused |= state == RUN_STATE_DEBUG;
    disarm(s);
    if (s->connected && s->awaits_stop) {
        report(s, vcpu ? SIGNAL_TRAP : signal_of(state), vcpu, vcpu ? &stop : NULL);
    }
}

static void ended(GdbServer *s)
{
    g_autofree char *reply = g_strdup_printf("W%02x", domain_exit_status(s->domain) & 0xff);

    if (s->connected && s->awaits_stop) {
        s->awaits_stop = false;
        gdb_reply(s, reply);
    }
}

void gdb_run_observe(Domain *domain, RunEvent event, RequestReason reason, void *server)
{
    GdbServer *s = server;

    if (event == RUN_EVENT_STOP) {
        stopped(s);
    } else if (event == RUN_EVENT_RESUME) {
        s->paused = false;
    } else if (event == RUN_EVENT_EXIT) {
        ended(s);
    }
}

/* One that comes has the breakpoints of the others; the client learns of it when it asks for threads. */
void gdb_run_plugged(Vcpu *vcpu, bool came, void *server)
{
    GdbServer *s = server;

    if (came && s->breakpoints->len && !gdb_arm(s, vcpu, false, NULL)) {
        log_warning("gdb: vCPU %u goes without breakpoints", vcpu->index);
    }
    s->listed = 0; /* a list that is being told begins anew */
}

void gdb_why(GdbServer *s, const char *args, size_t length)
{
    gdb_remove_breakpoints(s); /* a client that asks this knows of none */
    report(s, SIGNAL_TRAP, NULL, NULL);
}

/* ---- resuming ---- */

/* What a vCPU saw before it was held, and nobody has heard of. */
static bool report_old_watch(GdbServer *s, Vcpu *vcpu)
{
    VcpuStop stop;

    if (!vcpu_take_stop(vcpu, &stop) || stop.step || stop.kind < ACCEL_WATCH_WRITE) {
        return false;
    }
    for (unsigned i = 0; i < s->breakpoints->len; i++) {
        const AccelBreakpoint *b = &g_array_index(s->breakpoints, AccelBreakpoint, i);

        if (b->kind == stop.kind && b->address == stop.address) {
            report(s, SIGNAL_TRAP, vcpu, &stop);
            return true;
        }
    }
    return false;
}

static bool arm_for(GdbServer *s, const Action *actions)
{
    bool ok = true;

    for (unsigned i = 0; i < domain_vcpus(s->domain); i++) {
        Vcpu *vcpu = domain_vcpu(s->domain, i);

        vcpu_hold(vcpu, actions[i] == ACTION_HOLD);
        if (actions[i] == ACTION_STEP) {
            s->stepping = true;
            ok &= gdb_arm(s, vcpu, true, NULL);
        }
    }
    return ok;
}

/* actions: one a vCPU, in the domain's order. */
static void resume(GdbServer *s, const Action *actions)
{
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i < domain_vcpus(s->domain); i++) {
        if (actions[i] != ACTION_HOLD && report_old_watch(s, domain_vcpu(s->domain, i))) {
            return;
        }
    }
    s->awaits_stop = true;
    s->resume_on_close = true;
    if (!arm_for(s, actions) || !domain_cont(s->domain, &error)) {
        s->awaits_stop = false;
        disarm(s);
        if (error) {
            log_error(error);
        }
        gdb_reply(s, GDB_EINVAL);
    }
}

/* The older packets: all run, and one of them may step. */
static void resume_all(GdbServer *s, bool step)
{
    unsigned n = domain_vcpus(s->domain);
    g_autofree Action *actions = g_new0(Action, n);

    for (unsigned i = 0; i < n; i++) {
        bool stepped = step && domain_vcpu(s->domain, i)->index == s->stepped;

        actions[i] = stepped ? ACTION_STEP : ACTION_CONTINUE;
    }
    resume(s, actions);
}

/* [ADDRESS] to go on at. */
static bool set_address(GdbServer *s, const char *args)
{
    Vcpu *vcpu = gdb_vcpu(s, s->stepped);
    uint64_t address;

    if (!*args) {
        return true;
    }
    if (!vcpu || !gdb_parse_hex(&args, &address) || *args || !vcpu_fetch(vcpu, NULL)) {
        return false;
    }
    vcpu->cpu.rip = address;
    vcpu_set_dirty(vcpu);
    return true;
}

static void resume_at(GdbServer *s, const char *args, bool step)
{
    if (set_address(s, args)) {
        resume_all(s, step);
    } else {
        gdb_reply(s, GDB_EINVAL);
    }
}

void gdb_continue(GdbServer *s, const char *args, size_t length)
{
    resume_at(s, args, false);
}

void gdb_step(GdbServer *s, const char *args, size_t length)
{
    resume_at(s, args, true);
}

/* SIGNAL[;ADDRESS]: the signal is for programs. */
static void resume_signal(GdbServer *s, const char *args, bool step)
{
    uint64_t signal;

    if (!gdb_parse_hex(&args, &signal) || (*args && !gdb_parse_char(&args, ';'))) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    resume_at(s, args, step);
}

void gdb_continue_signal(GdbServer *s, const char *args, size_t length)
{
    resume_signal(s, args, false);
}

void gdb_step_signal(GdbServer *s, const char *args, size_t length)
{
    resume_signal(s, args, true);
}

/* ---- vCont ---- */

void gdb_cont_actions(GdbServer *s, const char *args, size_t length)
{
    gdb_reply(s, "vCont;c;C;s;S");
}

static bool parse_action(const char **text, Action *ret, uint64_t *ret_thread)
{
    char what = **text;
    uint64_t signal;

    *text += what != '\0';
    if (!what || !strchr("cCsS", what) || (g_ascii_isupper(what) && !gdb_parse_hex(text, &signal))) {
        return false;
    }
    *ret = g_ascii_tolower(what) == 's' ? ACTION_STEP : ACTION_CONTINUE;
    *ret_thread = GDB_THREAD_ALL;
    return !gdb_parse_char(text, ':') || gdb_parse_thread(text, ret_thread);
}

/* The first action that is about a vCPU is its. */
static void apply_action(GdbServer *s, Action action, uint64_t thread, Action *actions)
{
    bool one = thread == GDB_THREAD_ANY;

    for (unsigned i = 0; i < domain_vcpus(s->domain); i++) {
        bool meant = thread == GDB_THREAD_ALL ||
                     domain_vcpu(s->domain, i)->index + 1 == (one ? s->stepped + 1 : thread);

        if (meant && actions[i] == ACTION_HOLD) {
            actions[i] = action;
        }
    }
}

void gdb_cont(GdbServer *s, const char *args, size_t length)
{
    unsigned n = domain_vcpus(s->domain);
    g_autofree Action *actions = g_new0(Action, n);
    bool ok, any = false;

    do {
        uint64_t thread = 0;
        Action action = ACTION_HOLD;

        ok = parse_action(&args, &action, &thread);
        if (ok) {
            apply_action(s, action, thread, actions);
        }
    } while (ok && gdb_parse_char(&args, ';'));
    for (unsigned i = 0; i < n; i++) {
        any |= actions[i] != ACTION_HOLD;
    }
    if (!ok || *args || !any) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    resume(s, actions);
}

/* ---- stopping ---- */

/* True if the guest ran.  One whose last state goes out is left alone: it is to run at its destination. */
static bool pause_guest(GdbServer *s)
{
    bool stopped = domain_run_state(s->domain) != RUN_STATE_FINISH_MIGRATE && domain_stop(s->domain, RUN_STATE_PAUSED);

    s->paused |= stopped;
    return stopped;
}

void gdb_run_quiet(GdbServer *s)
{
    bool awaits_stop = s->awaits_stop;

    s->awaits_stop = false; /* if it runs, somebody else has let it, or the client does not wait */
    s->awaits_stop = !pause_guest(s) && awaits_stop;
}

/* A guest that sleeps (ACPI S3) has stopped already, and stays so. */
void gdb_run_interrupt(GdbServer *s)
{
    if (!pause_guest(s) && s->awaits_stop) {
        report(s, SIGNAL_INT, NULL, NULL);
    }
}

/* ---- clients come and go ---- */

void gdb_run_attach(GdbServer *s)
{
    s->awaits_stop = false;
    s->paused = false;
    s->resume_on_close = domain_is_to_run(s->domain);
    pause_guest(s);
}

/* Takes out what it left in the guest, which may run meanwhile. */
static void clean_up(GdbServer *s)
{
    bool running = domain_is_running(s->domain);

    if (running) {
        vcpus_park(s->domain);
    }
    gdb_remove_breakpoints(s);
    disarm(s);
    for (unsigned i = 0; i < domain_vcpus(s->domain); i++) {
        vcpu_take_stop(domain_vcpu(s->domain, i), NULL);
    }
    if (running) {
        vcpus_unpark(s->domain);
    }
}

/* Nobody looks at it any more.  What has moved meanwhile runs elsewhere. */
static bool let_go(GdbServer *s, GError **error)
{
    return domain_run_state(s->domain) == RUN_STATE_POSTMIGRATE || domain_cont(s->domain, error);
}

void gdb_run_detach(GdbServer *s)
{
    s->awaits_stop = false;
    clean_up(s);
    if (s->resume_on_close && s->paused) {
        let_go(s, NULL);
    }
    s->resume_on_close = false;
}

/* To detach is to let it run, even what was never started. */
void gdb_detach(GdbServer *s, const char *args, size_t length)
{
    g_autoptr(GError) error = NULL;

    clean_up(s);
    gdb_reply_ok(s);
    if (!let_go(s, &error)) {
        log_error(error);
    }
    s->resume_on_close = true;
}

static void quit(GdbServer *s)
{
    log_info("ended by the debugger");
    domain_request_shutdown(s->domain, REASON_HOST_UI);
}

void gdb_kill(GdbServer *s, const char *args, size_t length)
{
    quit(s);
}

void gdb_kill_process(GdbServer *s, const char *args, size_t length)
{
    gdb_reply_ok(s);
    quit(s);
}
