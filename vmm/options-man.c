/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manual page lodge(1), from the same tables as -help.
 *
 * Locking: none; main thread.
 */
#include "vmm/machine.h"
#include "vmm/options-internal.h"

/* Roff takes a backslash and a leading dot or quote for its own.  A line may end behind a bar, of which long arguments
 * have many. */
static void man_text(GString *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\') {
            g_string_append(out, "\\e");
        } else if (*p == '-') {
            g_string_append(out, "\\-");
        } else if (*p == '|') {
            g_string_append(out, "|\\:");
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

static void add_machine_keys(const MachineClass *class, void *opaque)
{
    g_autofree char *title = g_strdup_printf("\n-machine %s options", class->name);

    field_struct_help(class->options, title, opaque);
}

/* What "-X help" lists, as it stands; of machines "-machine NAME,help", too. */
static void man_topic(GString *out, const Option *o)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (o->topic(NULL, text, NULL)) {
        if (o->topic == topic_machine) {
            machine_class_each(add_machine_keys, text);
        }
        g_string_append(out, ".RS\n.nf\n");
        man_text(out, text->str);
        g_string_append(out, ".fi\n.RE\n");
    }
}

static void man_option(GString *out, const Option *o, const OptionLanguage *languages)
{
    const FieldStruct *language = option_language(o, languages);

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
    if (language) {
        man_fields(out, language, "");
    } else if (o->topic) {
        man_topic(out, o);
    }
}

void options_man(GString *out, const OptionLanguage *languages)
{
    g_string_append(out,
        ".\\\" Made from the table of options by lodge --man.\n"
        ".TH LODGE 1 \"\" \"lodge " LODGE_VERSION "\" \"User Commands\"\n"
        ".SH NAME\nlodge \\- virtual machine monitor\n"
        ".SH SYNOPSIS\n.B lodge\n[\\fIOPTION\\fR...] [\\fIDISK.IMG\\fR]\n"
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
                man_option(out, o, languages);
            }
        }
    }
    g_string_append(out,
        ".TP\n.B \\-\\-man\nPrint this page.\n"
        ".SH FILES\n"
        ".TP\n.I $XDG_RUNTIME_DIR/lodge/NAME, /run/lodge/NAME\n"
        "What lodgectl finds a running domain that has a name by; the second is root's. Where the variable is not set\n"
        "it is /run/user/UID, and where that is not there, $XDG_CACHE_HOME or ~/.cache.\n"
        ".SH ENVIRONMENT\n"
        ".TP\n.B LODGE_RUNTIME_DIR\nTakes the place of the folder above NAME.\n"
        ".TP\n.B LODGE_LOOP\nio_uring or epoll: how event loops wait, instead of the first that the host has.\n"
        ".SH EXIT STATUS\n"
        "0 after the guest or the user has ended it, 1 when it could not start or could not go on, or when the guest\n"
        "panicked and -action panic=exit-failure was said; an isa-debug-exit device ends it with what the guest says.\n"
        ".SH SIGNALS\nSIGINT, SIGTERM and SIGHUP end the process in order.\n"
        ".SH EXAMPLES\n.nf\n"
        "lodge \\-m 1G \\-kernel vmlinuz \\-initrd initrd.img disk.img\n"
        "lodge \\-M microvm \\-m 512M \\-kernel vmlinux \\-append console=ttyS0 \\-nographic\n.fi\n"
        ".SH SEE ALSO\n.BR lodgectl (1)\n");
}
