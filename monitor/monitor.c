/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/monitor.h.
 */
#include "monitor/monitor.h"

#include "monitor/control.h"
#include "monitor/gdb.h"
#include "monitor/hmp.h"
#include "monitor/qmp.h"
#include "vmm/error.h"

enum { MODE_READLINE, MODE_CONTROL };
static const FieldEnum mode_enum = { "MonitorMode", (const char *const[]) { "readline", "control", NULL } };

typedef struct MonitorOptions { char *id, *chardev; int mode; bool pretty; } MonitorOptions;
const FieldStruct monitor_options = {
    .name = "MonitorOptions", .size = sizeof(MonitorOptions),
    .fields = (const Field[]) {
        F_STR("chardev", MonitorOptions, chardev, NULL, .flags = FIELD_REQUIRED,
              .help = "The chardev that it talks on"),
        F_ENUM("mode", MonitorOptions, mode, &mode_enum, MODE_READLINE, .help = "For people, or for programs (QMP)"),
        F_BOOL("pretty", MonitorOptions, pretty, false, .help = "Break and indent what is sent"),
        F_STR("id", MonitorOptions, id, NULL, .help = "A name for it"),
        FIELD_END
    },
};

struct Monitors {
    Domain *domain;
    GPtrArray *qmp; /* Qmp, owned */
    GPtrArray *hmp; /* Hmp, owned */
    Control *control; /* NULL: there is none */
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

static bool add_hmp(Monitors *m, Chardev *chr, GError **error)
{
    Hmp *hmp = hmp_new(m->domain, chr, error);

    if (hmp) {
        g_ptr_array_add(m->hmp, hmp);
    }
    return hmp != NULL;
}

static bool add(Monitors *m, const char *text, GError **error)
{
    MonitorOptions o;
    Chardev *chr;
    bool ok;

    if (!field_struct_parse_text(&monitor_options, text, "chardev", &o, error)) {
        return false;
    }
    chr = chardev_find(m->domain, o.chardev, error);
    if (chr && o.pretty && o.mode == MODE_READLINE) {
        ok = error_set(error, "'pretty' is for mode=control");
    } else {
        ok = chr && (o.mode == MODE_READLINE ? add_hmp(m, chr, error) : add_qmp(m, chr, o.pretty, error));
    }
    field_struct_clear(&monitor_options, &o);
    return ok;
}

typedef enum Kind { KIND_QMP, KIND_QMP_PRETTY, KIND_HMP } Kind;

static bool add_short(Monitors *m, const char *text, Kind kind, GError **error)
{
    g_autofree char *id = g_strdup_printf("compat_monitor%u", m->unnamed++);
    Chardev *chr;

    if (!chardev_add_short(m->domain, id, text, &chr, error)) {
        return false;
    }
    return !chr || (kind == KIND_HMP ? add_hmp(m, chr, error) : add_qmp(m, chr, kind == KIND_QMP_PRETTY, error));
}

static bool add_list(Monitors *m, const char *option, const GPtrArray *texts, Kind kind, GError **error)
{
    for (guint i = 0; i < texts->len; i++) {
        if (!add_short(m, texts->pdata[i], kind, error)) {
            return error_subject(error, option);
        }
    }
    return true;
}

static bool collect_shared(Chardev *chr, void *opaque)
{
    if (chardev_wants_monitor(chr)) {
        g_ptr_array_add(opaque, chr);
    }
    return true;
}

/* "mon:" in front of -serial: the human monitor is behind Ctrl-A c. */
static bool add_behind_serials(Monitors *m, GError **error)
{
    g_autoptr(GPtrArray) chardevs = g_ptr_array_new();

    chardev_each(m->domain, collect_shared, chardevs);
    for (guint i = 0; i < chardevs->len; i++) {
        if (!add_hmp(m, chardevs->pdata[i], error)) {
            return false;
        }
    }
    return true;
}

static bool add_all(Monitors *m, const Options *options, GError **error)
{
    if (!add_behind_serials(m, error) ||
        !add_list(m, "-monitor", options->hmp, KIND_HMP, error) ||
        !add_list(m, "-qmp", options->qmp, KIND_QMP, error) ||
        !add_list(m, "-qmp-pretty", options->qmp_pretty, KIND_QMP_PRETTY, error)) {
        return false;
    }
    for (guint i = 0; i < options->monitors->len; i++) {
        if (!add(m, options->monitors->pdata[i], error)) {
            return error_subject(error, "-mon");
        }
    }
    return true;
}

static bool add_gdb(Monitors *m, const char *device, GError **error)
{
    return !device || gdb_server_open(m->domain, device, error) || error_subject(error, "-gdb");
}

Monitors *monitors_new(Domain *domain, const Options *options, GError **error)
{
    Monitors *m = g_new0(Monitors, 1);

    m->domain = domain;
    m->hmp = g_ptr_array_new_with_free_func((GDestroyNotify)hmp_free);
    m->qmp = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_free);
    if (!add_all(m, options, error) || !add_gdb(m, options->gdb, error)) {
        g_clear_pointer(&m, monitors_free);
    }
    return m;
}

void monitors_serve(Monitors *m, int listener)
{
    m->control = control_new(m->domain, listener);
}

void monitors_free(Monitors *m)
{
    if (m) {
        control_free(m->control);
        gdb_server_finish(m->domain);
        g_ptr_array_unref(m->qmp);
        g_ptr_array_unref(m->hmp);
        g_free(m);
    }
}
