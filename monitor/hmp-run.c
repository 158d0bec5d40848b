/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line of the human monitor: which command, which arguments, what is said.
 */
#include "monitor/hmp.h"

#include <inttypes.h>
#include <string.h>

#include "monitor/command-line.h"
#include "monitor/commands.h"
#include "monitor/hmp-complete.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/options.h"

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

bool hmp_split(const char *text, int *ret_n, char ***ret_words)
{
    g_autoptr(GString) plain = g_string_new(NULL);
    char quote = 0;

    for (const char *p = text; *p; p++) {
        if (*p == '\\' && quote != '\'' && p[1]) {
            g_string_append_c(plain, *p++);
        } else if (quote ? *p == quote : *p == '\'' || *p == '"') {
            quote = quote ? 0 : *p;
        } else if (*p == '#' && !quote) {
            g_string_append_c(plain, '\\');
        }
        g_string_append_c(plain, *p);
    }
    return g_shell_parse_argv(plain->str, ret_n, ret_words, NULL);
}

/* Words in the order of the fields; the last one must not be too many. */
static Json *by_position(const FieldStruct *desc, const char *rest, GError **error)
{
    g_auto(GStrv) words = NULL;
    Json *json = json_new_object();
    int n = 0;

    if (rest[0] && !hmp_split(rest, &n, &words)) {
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

bool hmp_call_qmp(HmpCall *hmp, const char *name, Json *arguments, Json **ret_reply, GError **error)
{
    const Command *command = command_find(name, error);
    CommandCall call = { .domain = hmp->domain, .arguments = arguments, .fds = hmp->session->fds, .lenient = true };
    JsonWriter *w = json_writer_new(false);
    g_autoptr(Json) reply = NULL;
    g_autofree char *text = NULL;
    bool ok;

    json_write_begin_object(w, NULL);
    ok = command && command_run(command, &call, w, "return", error);
    json_write_end_object(w);
    text = json_writer_finish(w);
    json_unref(arguments);
    if (ok && ret_reply) {
        reply = json_parse(text, strlen(text), NULL);
        *ret_reply = json_ref(json_object_get_member(reply, "return"));
    }
    return ok;
}

void hmp_put_number(Json *arguments, const char *name, uint64_t value)
{
    g_autofree char *text = g_strdup_printf("%" PRIu64, value);

    json_object_put_member(arguments, name, json_new_string(text));
}

static bool run_qmp(const HmpCommand *c, HmpCall *hmp, GError **error)
{
    const Command *command = command_find(c->command, error);
    g_autoptr(Json) reply = NULL;
    Json *arguments = NULL;

    if (command) {
        arguments = c->implied ? keyval_parse(hmp->rest, c->implied, error)
                               : by_position(command->args, hmp->rest, error);
    }
    if (!arguments || !hmp_call_qmp(hmp, c->command, arguments, c->print ? &reply : NULL, error)) {
        return false;
    }
    if (c->print) {
        c->print(reply, hmp->out);
    }
    return true;
}

/* "help" or "WHAT,help", as on the command line.  *ret_what is owned; NULL: of everything. */
static bool asks_for_help(const char *rest, char **ret_what)
{
    g_auto(GStrv) parts = g_strsplit(rest, ",", 2);
    const char *last = parts[0] && parts[1] ? parts[1] : parts[0];

    if (!last || (!g_str_equal(last, "help") && !g_str_equal(last, "?"))) {
        return false;
    }
    *ret_what = last == parts[0] ? NULL : g_strdup(parts[0]);
    return true;
}

/* By the option's help, which floors above the core may have. */
static bool explain(const char *option, const char *what, GString *out, GError **error)
{
    const OptionLanguage *upper = option_languages;

    while (upper->option && !g_str_equal(upper->option, option)) {
        upper++;
    }
    return upper->option ? upper->help(what, out, error) : option_find(option)->topic(what, out, error);
}

/* What reads its own arguments finds some where there must be some, and none where it takes none. */
static bool check_any(const HmpCommand *c, const char *rest, GError **error)
{
    if (rest[0] && !c->params) {
        return error_set(error, "'%s' is one argument too many", rest);
    }
    if (!rest[0] && c->params && c->params[0] != '[') {
        error_set(error, "an argument is missing");
        return error_hint(error, "Write %s %s.", c->name, c->params);
    }
    return true;
}

static bool run_command(const HmpCommand *c, HmpCall *call, GError **error)
{
    g_autofree char *what = NULL;

    if (c->option && asks_for_help(call->rest, &what)) {
        return explain(c->option, what, call->out, error);
    }
    return c->run ? check_any(c, call->rest, error) && c->run(call, error) : run_qmp(c, call, error);
}

char *hmp_first_word(const char *line, const char **rest)
{
    size_t n;

    line += strspn(line, " \t");
    n = strcspn(line, " \t");
    *rest = line + n + strspn(line + n, " \t");
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
    g_autofree char *usage = g_strdup_printf("%s%s%s%s%s%s", prefix, c->name, c->alias ? "|" : "",
                                             c->alias ? c->alias : "", c->params ? " " : "",
                                             c->params ? c->params : "");

    g_string_append_printf(out, "%-35s %s\n", usage, help_of(c));
}

static void help_table(const HmpCommand *table, const char *prefix, GString *out)
{
    for (const HmpCommand *c = table; c->name; c++) {
        help_line(c, prefix, out);
    }
}

static bool help_info(const char *topic, GString *out, GError **error)
{
    const HmpCommand *one = find(hmp_info_topics, topic);

    if (!topic[0]) {
        help_table(hmp_info_topics, "info ", out);
    } else if (one) {
        help_line(one, "info ", out);
    } else {
        return unknown(hmp_info_topics, "topic", topic, error);
    }
    return true;
}

static bool help(HmpCall *call, GError **error)
{
    const char *rest;
    g_autofree char *name = hmp_first_word(call->rest, &rest);
    const HmpCommand *one = name[0] ? find_command(name) : NULL;

    if (g_str_equal(name, "info")) {
        return help_info(rest, call->out, error);
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
    g_autofree char *name = hmp_first_word(call->rest, &rest);
    const HmpCommand *c = find(hmp_info_topics, name);
    HmpCall topic = *call;

    if (!name[0]) {
        help_table(hmp_info_topics, "info ", call->out);
        return true;
    }
    topic.rest = rest;
    return c ? run_command(c, &topic, error) : unknown(hmp_info_topics, "topic", name, error);
}

/* ---- which vCPU ---- */

Vcpu *hmp_vcpu(const HmpSession *session, GError **error)
{
    Vcpu *vcpu = domain_find_vcpu(session->domain, session->cpu);

    if (!vcpu && domain_vcpus(session->domain)) {
        vcpu = domain_vcpu(session->domain, 0);
    }
    if (!vcpu) {
        error_set(error, "this machine has no CPU");
    }
    return vcpu;
}

/* ---- a line ---- */

bool hmp_run(HmpSession *session, const char *line, GString *out, GError **error)
{
    HmpCall call = { session, session->domain, NULL, out };
    g_autofree char *name = hmp_first_word(line, &call.rest);
    char *slash = name[0] ? strchr(name + 1, '/') : NULL;
    const HmpCommand *c;

    if (!name[0]) {
        return true;
    }
    if (slash) { /* x/4i: the format needs no blank before it */
        call.rest = strstr(line, name) + (slash - name);
        *slash = '\0';
    }
    c = find_command(name);
    return c ? run_command(c, &call, error) : unknown(hmp_commands, "command", name, error);
}

void hmp_say_error(const GError *error, GString *out)
{
    g_autofree char *text = error_text(error);

    g_string_append_printf(out, "Error: %s\n", text);
}

void hmp_say(HmpSession *session, const char *line, GString *out)
{
    g_autoptr(GError) error = NULL;

    if (!hmp_run(session, line, out, &error)) {
        hmp_say_error(error, out);
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

static void complete_arguments(const HmpCommand *c, HmpSession *session, const char *rest, GPtrArray *words)
{
    const Command *command = c->command && !c->implied ? command_find(c->command, NULL) : NULL;
    unsigned known = words->len, place = 0;
    const Field *field;

    if (c->complete) {
        c->complete(session, rest, words);
    }
    hmp_complete_place(c, rest, words);
    for (const char *p = rest; (p = strchr(p, ' ')); p += strspn(p, " ")) {
        place++;
    }
    field = command && words->len == known ? field_at(command->args, &place) : NULL;
    if (field) {
        hmp_complete_field(field, "", strrchr(rest, ' ') ? strrchr(rest, ' ') + 1 : rest, words);
    }
}

/* Of a command, or of "info TOPIC". */
static void complete_help(const char *rest, GPtrArray *words)
{
    const char *topic;
    g_autofree char *name = hmp_first_word(rest, &topic);

    if (!strchr(rest, ' ')) {
        add_names(inner_commands, rest, words);
        add_names(hmp_commands, rest, words);
    } else if (g_str_equal(name, "info") && !strchr(topic, ' ')) {
        add_names(hmp_info_topics, topic, words);
    }
}

static void complete_topic(HmpSession *session, const char *rest, GPtrArray *words)
{
    const char *arguments;
    g_autofree char *name = hmp_first_word(rest, &arguments);
    const HmpCommand *topic = find(hmp_info_topics, name);

    if (!strchr(rest, ' ')) {
        add_names(hmp_info_topics, rest, words);
    } else if (topic) {
        complete_arguments(topic, session, arguments, words);
    }
}

void hmp_complete(HmpSession *session, const char *before, GPtrArray *words)
{
    const char *rest;
    g_autofree char *name = hmp_first_word(before, &rest);
    bool first = !strchr(before + strspn(before, " \t"), ' ');
    const HmpCommand *c = find_command(name);

    if (first) {
        add_names(inner_commands, name, words);
        add_names(hmp_commands, name, words);
    } else if (c && c->run == help) {
        complete_help(rest, words);
    } else if (c && c->run == info) {
        complete_topic(session, rest, words);
    } else if (c) {
        complete_arguments(c, session, rest, words);
    }
}
