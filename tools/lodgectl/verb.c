/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/verb.h: finding a verb, and reading what follows it.
 */
#include "tools/lodgectl/verb.h"

#include <string.h>

#include "vmm/error.h"

/* ---- verbs ---- */

const Verb *verb_find(const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near;

    for (const VerbSection *s = verb_sections; s->title; s++) {
        for (const Verb *v = s->verbs; v->name; v++) {
            if (g_str_equal(v->name, name)) {
                return v;
            }
            g_ptr_array_add(names, (gpointer)v->name);
        }
    }
    g_ptr_array_add(names, NULL);
    error_set(error, "There is no command '%s'", name);
    near = error_nearest(name, (const char *const *)names->pdata);
    if (near) {
        error_hint(error, "Did you mean '%s'?", near);
    } else {
        error_hint(error, "See lodgectl help.");
    }
    return NULL;
}

/* ---- parsing ---- */

static size_t count_args(const Verb *verb)
{
    size_t n = 0;

    while (verb->args[n].kind != ARG_END) {
        n++;
    }
    return n;
}

static int find_arg(const Verb *verb, const char *name, size_t length)
{
    for (int i = 0; verb->args[i].kind != ARG_END; i++) {
        if (strlen(verb->args[i].name) == length && strncmp(verb->args[i].name, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

static bool unknown_option(const Verb *verb, const char *word, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near;

    for (const Arg *a = verb->args; a->kind != ARG_END; a++) {
        g_ptr_array_add(names, (gpointer)a->name);
    }
    g_ptr_array_add(names, NULL);
    error_set(error, "%s has no option '%s'", verb->name, word);
    near = error_nearest(word + 2, (const char *const *)names->pdata);
    return near ? error_hint(error, "Did you mean '--%s'?", near)
                : error_hint(error, "See lodgectl help %s.", verb->name);
}

static bool set_value(Cmd *cmd, int i, const char *value, GError **error)
{
    const Arg *arg = &cmd->verb->args[i];
    guint64 n;

    if (arg->kind == ARG_LIST) {
        g_ptr_array_add(cmd->list, (gpointer)value);
        cmd->values[i] = value;
        return true;
    }
    if (cmd->values[i]) {
        return error_set(error, "'%s' is given twice", arg->name);
    }
    if (arg->kind == ARG_NUMBER && !g_ascii_string_to_unsigned(value, 10, 0, UINT32_MAX, &n, NULL)) {
        return error_set(error, "'%s' of --%s is no number from 0 to %u", value, arg->name, UINT32_MAX);
    }
    cmd->values[i] = value;
    return true;
}

/* "--name", "--name=VALUE"; next is the word after it.  *ret_used: how many words were taken. */
static bool read_option(Cmd *cmd, const char *word, const char *next, int *ret_used, GError **error)
{
    size_t length = strcspn(word + 2, "=");
    const char *value = word[2 + length] ? word + 2 + length + 1 : NULL;
    int i = find_arg(cmd->verb, word + 2, length);

    *ret_used = 1;
    if (i < 0) {
        return unknown_option(cmd->verb, word, error);
    }
    if (cmd->verb->args[i].kind == ARG_FLAG) {
        if (value) {
            return error_set(error, "--%s takes no value", cmd->verb->args[i].name);
        }
        cmd->values[i] = "";
        return true;
    }
    if (!value) {
        value = next;
        *ret_used = 2;
    }
    return value ? set_value(cmd, i, value, error) : error_set(error, "%s needs a value", word);
}

/* A word by itself is for the first text that has no value yet; before a rest, only for what is required. */
static int next_positional(const Cmd *cmd)
{
    const Arg *args = cmd->verb->args;
    size_t n = count_args(cmd->verb);
    bool has_rest = n && args[n - 1].kind == ARG_REST;

    for (size_t i = 0; i < n; i++) {
        if (args[i].kind == ARG_REST || args[i].kind == ARG_LIST ||
            (args[i].kind == ARG_TEXT && !cmd->values[i] && (args[i].required || !has_rest))) {
            return (int)i;
        }
    }
    return -1;
}

/* As with virsh, an option of the verb may also come later; what else begins with dashes is the command's own. */
static bool read_rest(Cmd *cmd, char **words, bool options, GError **error)
{
    char **to = words;

    cmd->rest = words;
    while (*words) {
        int used = 1;

        if (options && g_str_equal(*words, "--")) {
            options = false;
        } else if (options && g_str_has_prefix(*words, "--") &&
                   find_arg(cmd->verb, *words + 2, strcspn(*words + 2, "=")) >= 0) {
            if (!read_option(cmd, *words, words[1], &used, error)) {
                return false;
            }
        } else {
            *to++ = *words;
        }
        words += used;
    }
    *to = NULL;
    return true;
}

static bool read_words(Cmd *cmd, char **words, GError **error)
{
    bool options = true;

    while (*words) {
        int i = next_positional(cmd), used = 1;

        if (options && g_str_equal(*words, "--")) {
            options = false;
        } else if (options && g_str_has_prefix(*words, "--")) {
            if (!read_option(cmd, *words, words[1], &used, error)) {
                return false;
            }
        } else if (i < 0) {
            error_set(error, "'%s' is one word too many", *words);
            return error_hint(error, "See lodgectl help %s.", cmd->verb->name);
        } else if (cmd->verb->args[i].kind == ARG_REST) {
            cmd->values[i] = *words;
            return read_rest(cmd, words, options, error);
        } else if (!set_value(cmd, i, *words, error)) {
            return false;
        }
        words += used;
    }
    return true;
}

static bool check_required(const Cmd *cmd, GError **error)
{
    for (int i = 0; cmd->verb->args[i].kind != ARG_END; i++) {
        if (cmd->verb->args[i].required && !cmd->values[i]) {
            error_set(error, "%s needs a %s", cmd->verb->name, cmd->verb->args[i].name);
            return error_hint(error, "See lodgectl help %s.", cmd->verb->name);
        }
    }
    return true;
}

bool cmd_parse(const Verb *verb, char **words, Cmd *ret, GError **error)
{
    *ret = (Cmd) { .verb = verb, .values = g_new0(const char *, count_args(verb) + 1),
                    .list = g_ptr_array_new() };
    if (read_words(ret, words, error) && check_required(ret, error)) {
        return true;
    }
    cmd_clear(ret);
    return false;
}

void cmd_clear(Cmd *cmd)
{
    g_clear_pointer(&cmd->values, g_free);
    g_clear_pointer(&cmd->list, g_ptr_array_unref);
}

/* ---- values ---- */

static const char *value_of(const Cmd *cmd, const char *name)
{
    int i = find_arg(cmd->verb, name, strlen(name));

    g_assert(i >= 0);
    return cmd->values[i];
}

bool cmd_flag(const Cmd *cmd, const char *name)
{
    return value_of(cmd, name) != NULL;
}

const char *cmd_text(const Cmd *cmd, const char *name)
{
    return value_of(cmd, name);
}

uint32_t cmd_number(const Cmd *cmd, const char *name, uint32_t otherwise)
{
    const char *text = value_of(cmd, name);

    return text ? (uint32_t)g_ascii_strtoull(text, NULL, 10) : otherwise;
}
