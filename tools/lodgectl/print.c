/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/print.h.
 */
#include "tools/lodgectl/print.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/error.h"

#define COLUMN_MIN 8 /* characters that are left of a column that is cut */

/* ---- sentences ---- */

char *clean_text(const char *text, const char *keep)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_new(NULL);

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (g_unichar_iscntrl(c) && !(c < 128 && strchr(keep, (int)c))) {
            g_string_append_c(out, '?');
        } else {
            g_string_append_unichar(out, c);
        }
    }
    return g_string_free(out, FALSE);
}

void say(const Cmd *cmd, const char *fmt, ...)
{
    g_autofree char *text = NULL, *clean = NULL;
    va_list ap;

    if (cmd->quiet) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    clean = clean_text(text, "\n");
    printf("%s\n\n", clean);
}

void say_error(const GError *error)
{
    g_autofree char *text = error_text(error);
    g_autofree char *clean = clean_text(text, "");

    fflush(stdout);
    fprintf(stderr, "error: %s\n", clean);
}

void say_warning(const char *fmt, ...)
{
    g_autofree char *text = NULL, *clean = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    clean = clean_text(text, "");
    fflush(stdout);
    fprintf(stderr, "warning: %s\n", clean);
}

/* ---- tables ---- */

struct Table {
    unsigned columns;
    size_t *widths;
    GPtrArray *cells; /* char *, row after row; the headings first */
};

static void add_row(Table *t, va_list ap)
{
    for (unsigned i = 0; i < t->columns; i++) {
        char *text = clean_text(va_arg(ap, const char *), "");

        t->widths[i] = MAX(t->widths[i], (size_t)g_utf8_strlen(text, -1));
        g_ptr_array_add(t->cells, text);
    }
}

Table *table_new(unsigned columns, ...)
{
    Table *t = g_new0(Table, 1);
    va_list ap;

    t->columns = columns;
    t->widths = g_new0(size_t, columns);
    t->cells = g_ptr_array_new_with_free_func(g_free);
    va_start(ap, columns);
    add_row(t, ap);
    va_end(ap);
    return t;
}

void table_row(Table *t, ...)
{
    va_list ap;

    va_start(ap, t);
    add_row(t, ap);
    va_end(ap);
}

static void print_row(const Table *t, guint row)
{
    g_autoptr(GString) line = g_string_new(NULL);

    for (unsigned i = 0; i < t->columns; i++) {
        const char *cell = t->cells->pdata[row * t->columns + i];
        size_t pad = t->widths[i] - (size_t)g_utf8_strlen(cell, -1);

        g_string_append_printf(line, " %s%*s", cell, (int)pad + 2, "");
    }
    puts(g_strchomp(line->str));
}

static size_t width_of(const Table *t)
{
    size_t width = 0;

    for (unsigned i = 0; i < t->columns; i++) {
        width += t->widths[i] + 3;
    }
    return width;
}

void table_free(Table *t)
{
    g_ptr_array_unref(t->cells);
    g_free(t->widths);
    g_free(t);
}

void table_print_narrow(Table *t, unsigned column)
{
    struct winsize size = { 0 };
    size_t width = width_of(t), over, keep;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && width > size.ws_col) {
        over = width - size.ws_col;
        keep = t->widths[column] > over + COLUMN_MIN ? t->widths[column] - over : COLUMN_MIN;
        for (guint i = column; i < t->cells->len; i += t->columns) {
            char *cell = t->cells->pdata[i];

            if ((size_t)g_utf8_strlen(cell, -1) > keep) {
                g_autofree char *part = g_utf8_substring(cell, 0, (glong)keep - 1);

                t->cells->pdata[i] = g_strconcat(part, "~", NULL);
                g_free(cell);
            }
        }
        t->widths[column] = MIN(t->widths[column], keep);
    }
    table_print(t);
}

void table_print(Table *t)
{
    size_t width = width_of(t);

    for (guint row = 0; row < t->cells->len / t->columns; row++) {
        print_row(t, row);
        if (row == 0) {
            g_autofree char *dashes = g_strnfill(width, '-');

            puts(dashes);
        }
    }
    puts("");
    table_free(t);
}

void print_json(JsonWriter *w)
{
    g_autofree char *text = json_writer_finish(w);

    puts(text);
}
