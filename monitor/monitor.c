/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/monitor.h.
 */
#include "monitor/monitor.h"

#include "monitor/qmp.h"
#include "vmm/error.h"

enum { MODE_READLINE, MODE_CONTROL };
static const FieldEnum mode_enum = { "MonitorMode", (const char *const[]) { "readline", "control", NULL } };

typedef struct MonitorOptions { char *id, *chardev; int mode; bool pretty; } MonitorOptions;
const FieldStruct monitor_options = {
    .name = "MonitorOptions", .size = sizeof(MonitorOptions),
    .fields = (const Field[]) {
        F_STR("chardev", MonitorOptions, chardev, NULL, .flags = FIELD_REQUIRED, .help = "The chardev that it talks on"),
        F_ENUM("mode", MonitorOptions, mode, &mode_enum, MODE_READLINE, .help = "For people, or for programs (QMP)"),
        F_BOOL("pretty", MonitorOptions, pretty, false, .help = "Break and indent what is sent"),
        F_STR("id", MonitorOptions, id, NULL, .help = "A name for it"),
        FIELD_END
    },
};

struct Monitors {
    Domain *domain;
    GPtrArray *qmp; /* Qmp, owned */
    unsigned unnamed;
};

static bool add_qmp(Monitors *m, Chardev *chr, bool pretty, GError **error)
{
    Qmp *qmp = qmp_new(m->domain, chr, pretty, error);

    if (qmp) {
        g_ptr_array_add(m->qmp, qmp);
    }
    return qmp != NULL;
}

static bool add(Monitors *m, const char *text, GError **error)
{
    MonitorOptions o;
    Chardev *chr;
    bool ok;

    if (!field_struct_parse_text(&monitor_options, text, "chardev", &o, error)) {
        return false;
    }
    if (o.mode == MODE_READLINE) {
        error_set(error, "There is no monitor for people yet");
        ok = error_hint(error, "Use mode=control.");
    } else {
        chr = chardev_find(m->domain, o.chardev, error);
        ok = chr && add_qmp(m, chr, o.pretty, error);
    }
    field_struct_clear(&monitor_options, &o);
    return ok;
}

static bool add_short(Monitors *m, const char *text, bool pretty, GError **error)
{
    g_autofree char *id = g_strdup_printf("compat_monitor%u", m->unnamed++);
    Chardev *chr;

    return chardev_add_short(m->domain, id, text, &chr, error) && (!chr || add_qmp(m, chr, pretty, error));
}

static bool add_all(Monitors *m, const Options *options, GError **error)
{
    for (guint i = 0; i < options->qmp->len; i++) {
        if (!add_short(m, options->qmp->pdata[i], false, error)) {
            return error_subject(error, "-qmp");
        }
    }
    for (guint i = 0; i < options->qmp_pretty->len; i++) {
        if (!add_short(m, options->qmp_pretty->pdata[i], true, error)) {
            return error_subject(error, "-qmp-pretty");
        }
    }
    for (guint i = 0; i < options->monitors->len; i++) {
        if (!add(m, options->monitors->pdata[i], error)) {
            return error_subject(error, "-mon");
        }
    }
    return true;
}

Monitors *monitors_new(Domain *domain, const Options *options, GError **error)
{
    Monitors *m = g_new0(Monitors, 1);

    m->domain = domain;
    m->qmp = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_free);
    if (!add_all(m, options, error)) {
        g_clear_pointer(&m, monitors_free);
    }
    return m;
}

void monitors_free(Monitors *m)
{
    if (m) {
        g_ptr_array_unref(m->qmp);
        g_free(m);
    }
}
