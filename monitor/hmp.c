/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions of the human monitor, and human-monitor-command.
 */
#include "monitor/hmp.h"

#include <string.h>

#include "monitor/line-editor.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/migrate.h"

#define PROMPT    "(lodge) "
#define OUT_PAUSE (64u << 10)

struct Hmp {
    HmpSession session;
    Chardev *chr;
    LineEditor *editor;
    GString *out;
    LoopBatch later; /* a command that took its time is over */
    GString *typed;  /* meanwhile: read all the same, so that a peer that goes is noticed */
    bool open, focused; /* focused: what is typed is ours, so the prompt is shown */
};

/* ---- output ---- */

static void flush(Hmp *hmp)
{
    size_t taken = chardev_write(hmp->chr, (const uint8_t *)hmp->out->str, hmp->out->len);

    g_string_erase(hmp->out, 0, (gssize)taken);
    if (hmp->out->len) {
        chardev_want_write(hmp->chr);
    }
}

static void on_writable(void *opaque)
{
    Hmp *hmp = opaque;

    flush(hmp);
    if (hmp->out->len < OUT_PAUSE && !chardev_end_lost(hmp->chr)) {
        chardev_accept_input(hmp->chr);
    }
}

static void show(const char *text, void *opaque)
{
    Hmp *hmp = opaque;

    g_string_append(hmp->out, text);
}

/* A terminal in raw mode wants CR before LF. */
static void show_text(Hmp *hmp, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\n') {
            g_string_append_c(hmp->out, '\r');
        }
        g_string_append_c(hmp->out, *p);
    }
}

/* ---- lines ---- */

static bool on_line(const char *line, void *opaque)
{
    Hmp *hmp = opaque;
    g_autoptr(GString) out = g_string_new(NULL);

    hmp_say(&hmp->session, line, out);
    show_text(hmp, out->str);
    return !hmp->session.end;
}

static void complete(const char *before, GPtrArray *words, void *opaque)
{
    hmp_complete(&((Hmp *)opaque)->session, before, words);
}

static size_t can_receive(void *opaque)
{
    const Hmp *hmp = opaque;

    return hmp->open && hmp->out->len < OUT_PAUSE ? LINE_MAX_BYTES - MIN(hmp->typed->len, LINE_MAX_BYTES) : 0;
}

static void on_receive(void *opaque, const uint8_t *data, size_t length)
{
    Hmp *hmp = opaque;
    size_t taken = line_editor_type(hmp->editor, data, length);

    g_string_append_len(hmp->typed, (const char *)data + taken, (gssize)(length - taken));
    flush(hmp);
    chardev_end_lost(hmp->chr); /* the lines behind these are nobody's any more */
}

static void on_later(void *opaque)
{
    Hmp *hmp = opaque;
    g_autoptr(GString) out = g_string_new(NULL), typed = NULL;
    g_autoptr(GError) error = NULL;

    if (loop_defer(domain_loop(hmp->session.domain), &hmp->later)) {
        return;
    }
    if (!hmp->session.end(&hmp->session, &error)) {
        hmp_say_error(error, out);
        show_text(hmp, out->str);
    }
    hmp->session.end = NULL;
    line_editor_go_on(hmp->editor);
    if (hmp->focused) {
        line_editor_prompt(hmp->editor);
    }
    typed = g_steal_pointer(&hmp->typed);
    hmp->typed = g_string_new(NULL);
    on_receive(hmp, (const uint8_t *)typed->str, typed->len);
    chardev_accept_input(hmp->chr);
}

/* The command itself goes on. */
static void forget_later(Hmp *hmp)
{
    if (hmp->session.end) {
        migrate_wait_cancel(hmp->session.domain, &hmp->later);
    }
    hmp->session.end = NULL;
    g_string_truncate(hmp->typed, 0);
}

static void greet(Hmp *hmp)
{
    show("Lodge " LODGE_VERSION " monitor - type 'help' for more information\r\n", hmp);
    if (!hmp->session.end) {
        line_editor_prompt(hmp->editor);
    }
    flush(hmp);
}

static void on_chardev_event(void *opaque, ChardevEvent event)
{
    Hmp *hmp = opaque;

    switch (event) {
    case CHARDEV_OPENED:
        hmp->open = true;
        if (hmp->focused) {
            greet(hmp);
            chardev_accept_input(hmp->chr);
        }
        break;
    case CHARDEV_CLOSED:
        hmp->open = false;
        g_string_truncate(hmp->out, 0);
        forget_later(hmp);
        line_editor_reset(hmp->editor);
        break;
    case CHARDEV_MUX_IN:
        hmp->focused = true;
        if (hmp->open) {
            show("\r\n", hmp);
            greet(hmp);
            chardev_accept_input(hmp->chr);
        }
        break;
    case CHARDEV_MUX_OUT:
        hmp->focused = false;
        show("\r\n", hmp);
        flush(hmp);
        break;
    case CHARDEV_BREAK:
        break;
    }
}

Hmp *hmp_new(Domain *domain, Chardev *chr, GError **error)
{
    static const LineEditorHost host = { show, on_line, complete };
    Hmp *hmp = g_new0(Hmp, 1);
    ChardevFrontend front = { .can_receive = can_receive, .receive = on_receive, .event = on_chardev_event,
                              .writable = on_writable, .opaque = hmp, .background = true, .commands = true };

    hmp->chr = chr;
    hmp->focused = !chardev_is_mux(chr);
    hmp->out = g_string_new(NULL);
    hmp->typed = g_string_new(NULL);
    hmp->later = (LoopBatch) { .fn = on_later, .opaque = hmp };
    hmp->editor = line_editor_new(PROMPT, &host, hmp);
    hmp->session = (HmpSession) { .domain = domain, .history = line_editor_history(hmp->editor),
                                    .later = &hmp->later };
    if (!chardev_attach(chr, &front, error)) {
        hmp->chr = NULL;
        hmp_free(hmp);
        return NULL;
    }
    return hmp;
}

void hmp_free(Hmp *hmp)
{
    if (!hmp) {
        return;
    }
    if (hmp->chr) {
        chardev_detach(hmp->chr, hmp);
    }
    forget_later(hmp);
    line_editor_free(hmp->editor);
    g_string_free(hmp->typed, TRUE);
    g_string_free(hmp->out, TRUE);
    g_free(hmp);
}

/* ---- human-monitor-command ---- */

typedef struct LineArgs { char *line; bool has_cpu; int64_t cpu; } LineArgs;
static const FieldStruct line_args = {
    .name = "HumanMonitorCommandArguments", .size = sizeof(LineArgs),
    .fields = (const Field[]) {
        F_STR("command-line", LineArgs, line, NULL, .flags = FIELD_REQUIRED, .help = "What a person would type"),
        F_INT("cpu-index", LineArgs, cpu, 0, FIELD_HAS(LineArgs, has_cpu), .help = "The vCPU that the line is about"),
        FIELD_END
    },
};
static const Field text_value = FIELD_VALUE(FIELD_STR, char *, .flags = FIELD_REQUIRED);

/* What goes wrong is part of the text, as on a terminal, and lines end with CR LF: QEMU's clients look for both. */
static bool human_monitor_command(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const LineArgs *args = opaque;
    HmpSession session = { .domain = call->domain, .fds = call->fds };
    g_autoptr(GString) out = g_string_new(NULL);

    if (args->has_cpu) {
        if (args->cpu < 0 || args->cpu > G_MAXUINT || !domain_find_vcpu(call->domain, (unsigned)args->cpu)) {
            return error_set(error, "Parameter 'cpu-index' expects a CPU number");
        }
        session.cpu = (unsigned)args->cpu;
    }
    hmp_say(&session, args->line, out);
    g_string_replace(out, "\n", "\r\n", 0);
    *(char **)ret = g_strdup(out->str);
    return true;
}

const Command hmp_qmp_commands[] = {
    { "human-monitor-command", human_monitor_command, &line_args, &text_value,
      .help = "Run a line of the human monitor" },
    COMMAND_END
};
