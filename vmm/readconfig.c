/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -readconfig: INI text as QEMU reads it.
 *
 *     # comment
 *     [group "id"]          or [group]
 *       key = "value"       # comment
 *
 * A value ends at the quote behind which nothing but a comment follows, so there may be quotes in it, which QEMU (up
 * to 7.2) wrote but did not read; no character has a meaning of its own there.  What is no such line is an error;
 * QEMU passes over some.
 *
 * A group is one use of the option whose row names it; the id becomes its id key,
 * or, for -object and -device, theirs.  Keys with dots reach into objects.
 *
 * Bounds: CONFIG_MAX bytes.  Locking: none; main thread.
 */
#include <string.h>

#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/options-internal.h"

#define CONFIG_MAX UINT64_C(1048576)

typedef struct Reader {
    Options *options;
    const char *path;
    unsigned line;
    const Option *option; /* of the group we are in; NULL: before the first */
    GString *text;        /* its keys so far, as key=value text */
} Reader;

static bool fail_line(const Reader *r, GError **error, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
static bool fail_line(const Reader *r, GError **error, const char *fmt, ...)
{
    g_autofree char *why = NULL;
    va_list ap;

    va_start(ap, fmt);
    why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return error_set(error, "%s:%u: %s", r->path, r->line, why);
}

static void append_key(Reader *r, const char *key, const char *value)
{
    g_string_append_printf(r->text, "%s%s=", r->text->len ? "," : "", key);
    for (; *value; value++) {
        g_string_append(r->text, *value == ',' ? ",," : (char[]){ *value, '\0' });
    }
}

static bool end_group(Reader *r, GError **error)
{
    g_autofree char *place = NULL;

    if (!r->option || options_apply(r->options, r->option, r->text->str, error)) {
        return true;
    }
    place = g_strdup_printf("%s: [%s]", r->path, r->option->group);
    return error_subject(error, place);
}

static bool unknown_group(const Reader *r, const char *group, GError **error)
{
    g_autoptr(GPtrArray) groups = g_ptr_array_new();
    const char *nearest;

    for (const Option *o = option_table; o->name; o++) {
        if (o->group) {
            g_ptr_array_add(groups, (char *)o->group);
        }
    }
    g_ptr_array_add(groups, NULL);
    fail_line(r, error, "there is no group '%s'", group);
    nearest = error_nearest(group, (const char *const *)groups->pdata);
    return nearest ? error_hint(error, "Did you mean '%s'?", nearest) : false;
}

static bool begin_group(Reader *r, const char *group, const char *id, GError **error)
{
    r->option = NULL;
    for (const Option *o = option_table; o->name; o++) {
        if (o->group && strcmp(o->group, group) == 0) {
            r->option = o;
        }
    }
    if (!r->option) {
        return unknown_group(r, group, error);
    }
    g_string_truncate(r->text, 0);
    if (id) {
        append_key(r, "id", id);
    }
    return true;
}

const char *options_config_end(const char *line, char closing)
{
    for (const char *p = strchr(line, closing); p; p = strchr(p + 1, closing)) {
        size_t blanks = strspn(p + 1, " \t\r\n");

        if (!p[1 + blanks] || (blanks && p[1 + blanks] == '#')) {
            return p;
        }
    }
    return NULL;
}

/* "text", which may be followed by a comment if it ends with the line; NULL: it is not in quotes. */
static char *unquote(char *text)
{
    char *end;

    if (text[0] != '"') {
        return NULL;
    }
    end = (char *)options_config_end(text + 1, '"');
    if (end) {
        *end = '\0';
    }
    return end ? text + 1 : NULL;
}

/* [group] or [group "id"] */
static bool read_heading(Reader *r, char *line, GError **error)
{
    char *end = (char *)options_config_end(line, ']'), *space, *id = NULL;

    if (!end) {
        return fail_line(r, error, "a group does not end in ']'");
    }
    *end = '\0';
    line++;
    space = strchr(line, ' ');
    if (space) {
        *space = '\0';
        id = unquote(g_strstrip(space + 1));
        if (!id || !*id) {
            return fail_line(r, error, "the id of a group stands in double quotes");
        }
    }
    return end_group(r, error) && begin_group(r, line, id, error);
}

/* key = "value" */
static bool read_key(Reader *r, char *line, GError **error)
{
    char *equals = strchr(line, '='), *value;

    if (!equals) {
        return fail_line(r, error, "this is neither [group] nor key = \"value\"");
    }
    if (!r->option) {
        return fail_line(r, error, "a key stands before the first [group]");
    }
    *equals = '\0';
    g_strchomp(line);
    value = unquote(g_strstrip(equals + 1));
    if (!value) {
        return fail_line(r, error, "the value of '%s' stands in double quotes", line);
    }
    if (line[strcspn(line, ",=")]) {
        return fail_line(r, error, "'%s' is no key", line);
    }
    append_key(r, line, value);
    return true;
}

bool options_read_config_text(Options *options, const char *path, const char *text, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GString) group = g_string_new(NULL);
    Reader r = { .options = options, .path = path, .text = group };

    for (char **line = lines; *line; line++) {
        char *p = g_strstrip(*line);

        r.line++;
        if (*p == '\0' || *p == '#') {
            continue;
        }
        if (*p == '[' ? !read_heading(&r, p, error) : !read_key(&r, p, error)) {
            return false;
        }
    }
    return end_group(&r, error);
}

bool options_read_config(Options *options, const char *path, GError **error)
{
    g_autofree uint8_t *data = NULL;
    g_autofree char *text = NULL;
    size_t length;

    if (!host_read_file(path, CONFIG_MAX, &data, &length, error)) {
        return false;
    }
    if (memchr(data, '\0', length)) {
        return error_set(error, "'%s' is no text", path);
    }
    text = g_strndup((const char *)data, length);
    return options_read_config_text(options, path, text, error);
}
