/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line of the human monitor: which command, which arguments, what is said.
 */
#include "monitor/hmp.h"

#include <string.h>

#include "monitor/commands.h"
#include "vmm/error.h"

static bool help(HmpCall *call, GError **error);
static bool info(HmpCall *call, GError **error);

/* Those that know the tables. */
static const HmpCommand inner_commands[] = {
    { "help", "?", .run = help, .params = "[COMMAND]", .help = "List the commands, or say what one does" },
    { "info", .run = info, .params = "[TOPIC]", .help = "Show something of the domain" },
    { NULL }
};

static const HmpCommand *find(const HmpCommand *table, const char *name)
{
    for (const HmpCommand *c = table; c->name; c++) {
        if (g_str_equal(c->name, name) || (c->alias && g_str_equal(c->alias, name))) {
            return c;
        }
    }
    return NULL;
}

static const HmpCommand *find_command(const char *name)
{
    const HmpCommand *c = find(inner_commands, name);

    return c ? c : find(hmp_commands, name);
}

static const char *nearest(const HmpCommand *table, const char *name)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    for (const HmpCommand *c = table; c->name; c++) {
        g_ptr_array_add(names, (gpointer)c->name);
    }
    g_ptr_array_add(names, NULL);
    return error_nearest(name, (const char *const *)names->pdata);
}

static bool unknown(const HmpCommand *table, const char *what, const char *name, GError **error)
{
    const char *near = nearest(table, name);

    error_set(error, "unknown %s: '%s'", what, name);
    return near ? error_hint(error, "Did you mean '%s'?", near)
                : error_hint(error, "'%s' lists them.", table == hmp_commands ? "help" : "info");
}

/* ---- arguments ---- */

/* The field at that place, those of bases first; NULL: there are not so many.  *n becomes what is left. */
static const Field *field_at(const FieldStruct *desc, unsigned *n)
{
    const Field *found = desc && desc->base ? field_at(desc->base, n) : NULL;

    for (const Field *f = desc ? desc->fields : NULL; !found && f && f->type != FIELD_END_OF_TABLE; f++) {
        if (!(*n)--) {
            found = f;
        }
    }
    return found;
}

/* Words in the order of the fields; the last one must not be too many. */
static Json *by_position(const FieldStruct *desc, const char *rest, GError **error)
{
    g_auto(GStrv) words = NULL;
    Json *json = json_new_object();
    int n = 0;

    if (rest[0] && !g_shell_parse_argv(rest, &n, &words, NULL)) {
        error_set(error, "a quotation in '%s' does not end", rest);
        g_clear_pointer(&json, json_unref);
    }
    for (int i = 0; json && i < n; i++) {
        unsigned place = (unsigned)i;
        const Field *field = field_at(desc, &place);

        if (!field) {
            error_set(error, "'%s' is one argument too many", words[i]);
            g_clear_pointer(&json, json_unref);
            break;
        }
        json_object_put_member(json, field->name, json_new_string(words[i]));
    }
    return json;
}

static bool run_qmp(const HmpCommand *c, HmpCall *hmp, GError **error)
{
    const Command *command = command_find(c->command, error);
    CommandCall call = { .domain = hmp->domain, .fds = hmp->fds, .lenient = true };
    JsonWriter *w = json_writer_new(false);
    g_autoptr(Json) arguments = NULL, reply = NULL;
    g_autofree char *text = NULL;
    bool ok;

    if (command) {
        arguments = c->implied ? keyval_parse(hmp->rest, c->implied, error) : by_position(command->args, hmp->rest, error);
        call.arguments = arguments;
    }
    json_write_begin_object(w, NULL);
    ok = arguments && command_run(command, &call, w, "return", error);
    json_write_end_object(w);
    text = json_writer_finish(w);
    if (ok && c->print) {
        reply = json_parse(text, strlen(text), NULL);
        c->print(json_object_get_member(reply, "return"), hmp->out);
    }
    return ok;
}

bool hmp_call_qmp(HmpCall *call, const char *command, const char *arguments, GError **error)
{
    const HmpCommand c = { .command = command, .implied = "" };
    HmpCall inner = *call;

    inner.rest = arguments;
    return run_qmp(&c, &inner, error);
}

static bool run_command(const HmpCommand *c, HmpCall *call, GError **error)
{
    return c->run ? c->run(call, error) : run_qmp(c, call, error);
}

/* Splits the first word off. */
static char *first_word(const char *line, const char **ret_rest)
{
    size_t n;

    line += strspn(line, " \t");
    n = strcspn(line, " \t");
    *ret_rest = line + n + strspn(line + n, " \t");
    return g_strndup(line, n);
}

/* ---- help and info ---- */

static const char *help_of(const HmpCommand *c)
{
    const Command *command = c->help ? NULL : command_find(c->command, NULL);

    return command ? command->help : c->help ? c->help : "";
}

static void help_line(const HmpCommand *c, const char *prefix, GString *out)
{
    g_autofree char *usage = g_strdup_printf("%s%s%s%s%s%s", prefix, c->name, c->alias ? "|" : "", c->alias ? c->alias : "",
                                             c->params ? " " : "", c->params ? c->params : "");

    g_string_append_printf(out, "%-35s %s\n", usage, help_of(c));
}

static void help_table(const HmpCommand *table, const char *prefix, GString *out)
{
    for (const HmpCommand *c = table; c->name; c++) {
        help_line(c, prefix, out);
    }
}

static bool help(HmpCall *call, GError **error)
{
    const char *rest;
    g_autofree char *name = first_word(call->rest, &rest);
    const HmpCommand *one = name[0] ? find_command(name) : NULL;

    if (g_str_equal(name, "info")) {
        help_table(hmp_info_topics, "info ", call->out);
    } else if (one) {
        help_line(one, "", call->out);
    } else if (name[0]) {
        return unknown(hmp_commands, "command", name, error);
    } else {
        help_table(inner_commands, "", call->out);
        help_table(hmp_commands, "", call->out);
    }
    return true;
}

static bool info(HmpCall *call, GError **error)
{
    const char *rest;
    g_autofree char *name = first_word(call->rest, &rest);
    const HmpCommand *c = find(hmp_info_topics, name);
    HmpCall topic = *call;

    if (!name[0]) {
        help_table(hmp_info_topics, "info ", call->out);
        return true;
    }
    topic.rest = rest;
    return c ? run_command(c, &topic, error) : unknown(hmp_info_topics, "topic", name, error);
}

bool hmp_run(Domain *domain, CommandFds *fds, const char *line, GString *out, GError **error)
{
    HmpCall call = { domain, fds, NULL, out };
    g_autofree char *name = first_word(line, &call.rest);
    const HmpCommand *c;

    if (!name[0]) {
        return true;
    }
    c = find_command(name);
    return c ? run_command(c, &call, error) : unknown(hmp_commands, "command", name, error);
}

void hmp_say(Domain *domain, CommandFds *fds, const char *line, GString *out)
{
    g_autoptr(GError) error = NULL;

    if (!hmp_run(domain, fds, line, out, &error)) {
        g_autofree char *text = error_text(error);

        g_string_append_printf(out, "Error: %s\n", text);
    }
}

static void add_names(const HmpCommand *table, const char *begin, GPtrArray *words)
{
    for (const HmpCommand *c = table; c->name; c++) {
        if (g_str_has_prefix(c->name, begin)) {
            g_ptr_array_add(words, g_strdup(c->name));
        }
    }
}

void hmp_complete(Domain *domain, const char *before, GPtrArray *words)
{
    const char *rest;
    g_autofree char *name = first_word(before, &rest);
    bool first = !strchr(before + strspn(before, " \t"), ' ');

    if (first || (g_str_equal(name, "help") && !strchr(rest, ' '))) {
        add_names(inner_commands, first ? name : rest, words);
        add_names(hmp_commands, first ? name : rest, words);
    } else if (g_str_equal(name, "info") && !strchr(rest, ' ')) {
        add_names(hmp_info_topics, rest, words);
    }
}
