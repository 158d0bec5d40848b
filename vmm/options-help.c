/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: -help, "-X help" and the manual page, all from the tables.
 *
 * Locking: none; main thread.
 */
#include <string.h>

#include "vmm/accel.h"
#include "vmm/chardev.h"
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
                         "An option may begin with one dash or two. With an argument that is 'help' it explains itself;\n"
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

/* ---- the manual page ---- */

/* Roff takes a backslash and a leading dot or quote for its own. */
static void man_text(GString *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\') {
            g_string_append(out, "\\e");
        } else if (*p == '-') {
            g_string_append(out, "\\-");
        } else if ((*p == '.' || *p == '\'') && (p == text || p[-1] == '\n')) {
            g_string_append_printf(out, "\\&%c", *p);
        } else {
            g_string_append_c(out, *p);
        }
    }
}

static void man_fields(GString *out, const FieldStruct *desc, const char *prefix)
{
    if (desc->base) {
        man_fields(out, desc->base, prefix);
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        g_autofree char *type = field_type_text(f);

        if (f->flags & FIELD_HIDDEN) {
            continue;
        }
        g_string_append(out, ".RS\n.TP\n.BI ");
        man_text(out, prefix);
        man_text(out, f->name);
        g_string_append(out, "= ");
        g_string_append_c(out, '"');
        man_text(out, type);
        g_string_append(out, "\"\n");
        man_text(out, f->help);
        g_string_append(out, ".\n.RE\n");
    }
    for (const FieldCase *c = desc->cases; c && c->value; c++) {
        if (c->structure) {
            g_autofree char *inner = g_strdup_printf("%s,", c->value);

            man_fields(out, c->structure, inner);
        }
    }
}

static void man_option(GString *out, const Option *o)
{
    g_string_append(out, ".TP\n.B \\-");
    man_text(out, o->name);
    if (o->alias) {
        g_string_append(out, ", \\-");
        man_text(out, o->alias);
    }
    if (o->argument) {
        g_string_append_c(out, ' ');
        man_text(out, o->argument);
    }
    g_string_append_c(out, '\n');
    man_text(out, o->help);
    g_string_append(out, ".\n");
    if (o->language) {
        man_fields(out, o->language, "");
    }
}

void options_man(GString *out)
{
    g_string_append(out,
        ".\\\" Made from the table of options by lodge --man.\n"
        ".TH LODGE 1 \"\" \"lodge " LODGE_VERSION "\" \"User Commands\"\n"
        ".SH NAME\nlodge \\- virtual machine monitor\n"
        ".SH SYNOPSIS\n.B lodge\n[\\fIOPTION\\fR...] [\\fIDISK.IMG\\fR...]\n"
        ".SH DESCRIPTION\n"
        "Lodge runs one virtual machine in one process: an unmodified x86\\-64 guest on\n.IR /dev/kvm ,\n"
        "or on a processor in software where the host has no hardware virtualization\n"
        "(see\n.BR \\-accel ).\n"
        "Options have the names and meanings that users of QEMU know, and begin with one dash or two.\n"
        ".PP\n"
        "A disk image without an option is a raw disk, /dev/vda in the guest. It needs\n.BR \\-kernel ,\n"
        "as there is no firmware yet; the console is then the terminal, and the kernel's command line, unless\n"
        ".B \\-append\nsays otherwise, is \"console=ttyS0 root=/dev/vda\".\n"
        ".PP\n"
        "No device is added that was not asked for, but for those that make the machine, and a serial port on the\n"
        "terminal with\n.BR \\-nographic .\n"
        ".PP\n"
        "A list KEY=VALUE,... writes a comma inside a value as two, and an object as KEY.MEMBER=VALUE; it may be JSON\n"
        "instead, where that begins with a brace. The value \"help\" shows what is possible.\n");
    for (unsigned section = 0; section < SECTIONS; section++) {
        g_string_append_printf(out, ".SH %s\n", option_sections[section]);
        for (const Option *o = option_table; o->name; o++) {
            if (o->section == section) {
                man_option(out, o);
            }
        }
    }
    g_string_append(out,
        ".SH EXIT STATUS\n"
        "0 after the guest or the user has ended it, 1 when it could not start or could not go on.\n"
        ".SH SIGNALS\nSIGINT, SIGTERM and SIGHUP end the process in order.\n"
        ".SH EXAMPLES\n.nf\n"
        "lodge \\-m 1G \\-kernel vmlinuz \\-initrd initrd.img disk.img\n"
        "lodge \\-M microvm \\-m 512M \\-kernel vmlinux \\-append console=ttyS0 \\-nographic\n.fi\n");
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
    class = device_class_find(subject, error);
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
