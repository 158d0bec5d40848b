/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/groups.h.
 */
#include "tools/lodgectl/groups.h"

#include <string.h>

#include "vmm/options.h"

/* A group is its heading and the lines to its last key; comments and empty lines behind that are nobody's. */
typedef struct Group {
    const char *begin, *end;
    bool right_kind, right_id;
} Group;

/* "value", and perhaps a comment */
static bool is_quoted(const char *text, const char *value)
{
    const char *end = *text == '"' ? options_config_end(text + 1, '"') : NULL;
    size_t length = strlen(value);

    return end && (size_t)(end - text - 1) == length && strncmp(text + 1, value, length) == 0;
}

/* key = "value" */
static bool line_says(const char *line, const char *key, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(line, "=", 2);

    return parts[0] && parts[1] && g_str_equal(g_strstrip(parts[0]), key) && is_quoted(g_strstrip(parts[1]), value);
}

static void begin_group(Group *g, const char *begin, const char *line, const char *kind, const char *id)
{
    const char *end = options_config_end(line, ']');
    g_autofree char *heading = g_strndup(line, end ? (size_t)(end + 1 - line) : strlen(line));
    g_autofree char *plain = g_strdup_printf("[%s]", kind);
    g_autofree char *prefix = g_strdup_printf("[%s ", kind);
    g_autofree char *quoted = g_strdup_printf("\"%s\"]", id);

    g->begin = begin;
    g->right_kind = g_str_equal(heading, plain) || g_str_has_prefix(heading, prefix);
    g->right_id = g_str_has_prefix(heading, prefix) && g_str_has_suffix(heading, quoted);
}

/* *ret: the first one; false: there is none. */
static bool find_group(const char *text, const char *kind, const char *id_key, const char *id, Group *ret)
{
    Group g = { NULL };

    for (const char *p = text; *p;) {
        const char *next = strchr(p, '\n') ? strchr(p, '\n') + 1 : p + strlen(p);
        g_autofree char *line = g_strndup(p, (size_t)(next - p));

        g_strstrip(line);
        if (*line == '[') {
            if (g.begin && g.right_kind && g.right_id) {
                break;
            }
            begin_group(&g, p, line, kind, id);
            g.end = next;
        } else if (*line && *line != '#') {
            g.right_id = g.right_id || line_says(line, id_key, id);
            g.end = next;
        }
        p = next;
    }
    *ret = g;
    return g.begin && g.right_kind && g.right_id;
}

char *groups_without(const char *text, const char *kind, const char *id_key, const char *id)
{
    GString *rest;
    Group g;

    if (!find_group(text, kind, id_key, id, &g)) {
        return NULL;
    }
    rest = g_string_new_len(text, g.begin - text);
    g_string_append(rest, g.end);
    return g_string_free(rest, FALSE);
}

char *groups_join(const char *text, const char *more)
{
    return g_strconcat(text, *text && text[strlen(text) - 1] != '\n' ? "\n" : "", more, NULL);
}
