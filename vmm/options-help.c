/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: -help and "-X help", from the tables.
 *
 * Locking: none; main thread.
 */
#include <string.h>

#include "vmm/accel.h"
#include "vmm/chardev.h"
#include "vmm/cpu-bus.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/machine.h"
#include "vmm/object.h"
#include "vmm/options-internal.h"

#define HELP_COLUMNS 100
#define HELP_INDENT  8

/* ---- -help ---- */

/* text in lines of HELP_COLUMNS, each indented. */
static void append_wrapped(GString *out, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    size_t column = 0;

    for (char **word = words; *word; word++) {
        if (column == 0 || column + 1 + strlen(*word) > HELP_COLUMNS) {
            g_string_append_printf(out, "%s%*s%s", column ? "\n" : "", HELP_INDENT, "", *word);
            column = HELP_INDENT + strlen(*word);
        } else {
            g_string_append_printf(out, " %s", *word);
            column += 1 + strlen(*word);
        }
    }
    g_string_append(out, ".\n");
}

void option_describe(const Option *o, GString *out)
{
    g_string_append_printf(out, "  -%s", o->name);
    if (o->alias) {
        g_string_append_printf(out, ", -%s", o->alias);
    }
    g_string_append_printf(out, "%s%s\n", o->argument ? " " : "", o->argument ? o->argument : "");
    append_wrapped(out, o->help);
}

void options_help(GString *out)
{
    g_string_append(out, "lodge " LODGE_VERSION ": a virtual machine monitor\n"
                         "Usage: lodge [OPTION...] [DISK.IMG]\n"
                         "An option may begin with one dash or two. With 'help' for its argument it explains itself;\n"
                         "a file of that name is ./help.\n");
    for (unsigned section = 0; section < SECTIONS; section++) {
        g_string_append_printf(out, "\n%s\n", option_sections[section]);
        for (const Option *o = option_table; o->name; o++) {
            if (o->section == section) {
                option_describe(o, out);
            }
        }
    }
}

/* ---- "-X help" ---- */

bool topic_machine(const char *subject, GString *out, GError **error)
{
    const MachineClass *class;
    g_autofree char *title = NULL;

    if (!subject) {
        machines_help(out);
        return true;
    }
    class = machine_class_find(subject, error);
    if (!class) {
        return false;
    }
    title = g_strdup_printf("-machine %s options", class->name);
    field_struct_help(class->options, title, out);
    return true;
}

bool topic_accel(const char *subject, GString *out, GError **error)
{
    g_autofree char *title = NULL;

    if (!subject) {
        accel_help(out);
        return true;
    }
    for (size_t i = 0; accel_classes[i]; i++) {
        if (strcmp(accel_classes[i]->name, subject) == 0) {
            title = g_strdup_printf("-accel %s options", subject);
            field_struct_help(accel_classes[i]->options, title, out);
            return true;
        }
    }
    error_set(error, "There is no accelerator '%s'", subject);
    return error_hint(error, "See -accel help.");
}

bool topic_cpu(const char *subject, GString *out, GError **error)
{
    cpu_models_help(out);
    return true;
}

bool topic_device(const char *subject, GString *out, GError **error)
{
    const DeviceClass *class;

    if (!subject) {
        device_classes_help(out);
        return true;
    }
    class = cpu_device_class_find(subject);
    class = class ? class : device_class_find(subject, error);
    if (class) {
        device_class_help(class, out);
    }
    return class != NULL;
}

bool topic_numa(const char *subject, GString *out, GError **error)
{
    machine_numa_help(out);
    return true;
}

bool topic_object(const char *subject, GString *out, GError **error)
{
    const ObjectClass *class;

    if (!subject) {
        object_classes_help(out);
        return true;
    }
    class = object_class_find(subject, error);
    if (class) {
        object_class_help(class, out);
    }
    return class != NULL;
}

bool topic_chardev(const char *subject, GString *out, GError **error)
{
    if (subject) {
        return chardev_backend_help(subject, out, error);
    }
    chardev_help(out);
    return true;
}

bool topic_log(const char *subject, GString *out, GError **error)
{
    log_help(out);
    return true;
}
