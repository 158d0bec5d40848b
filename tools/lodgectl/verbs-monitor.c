/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's monitors: qmp, hmp.
 */
#include <stdio.h>
#include <string.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

#define MONITOR_TIMEOUT_S 60

static const Arg monitor_args[] = {
    ARG_DOMAIN(OF_ACTIVE),
    { "timeout", ARG_NUMBER, .help = "Seconds to wait for an answer (60)" },
    { "pretty", ARG_FLAG, .help = "Break and indent the answer" },
    { "command", ARG_REST, true, .help = "A command and, as JSON, its arguments; or a whole request" },
    { NULL, ARG_END },
};
static const Arg hmp_args[] = {
    ARG_DOMAIN(OF_ACTIVE),
    { "timeout", ARG_NUMBER, .help = "Seconds to wait for an answer (60)" },
    { "command", ARG_REST, true, .help = "A line of the monitor for people" },
    { NULL, ARG_END },
};

static Client *connect_to(const Cmd *cmd, GError **error)
{
    uint32_t seconds = MIN(cmd_number(cmd, "timeout", MONITOR_TIMEOUT_S), G_MAXINT / 1000);
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    Client *client = dom ? dom_connect(dom, MIN(DOM_TIMEOUT_MS, seconds * 1000), error) : NULL;

    if (client) {
        client_set_timeout(client, seconds * 1000);
    }
    return client;
}

/* "NAME [ARGUMENTS]" becomes a request; a JSON object is one.  The caller's. */
static char *request_of(const char *text, GError **error)
{
    g_autofree char *name = NULL;
    g_autoptr(Json) arguments = NULL;
    const char *rest = text + strcspn(text, " \t\n");
    JsonWriter *w;

    if (*text == '{') {
        g_autoptr(Json) whole = json_parse(text, strlen(text), error);

        return whole ? g_strdup(text) : NULL;
    }
    name = g_strndup(text, (size_t)(rest - text));
    rest += strspn(rest, " \t\n");
    if (*rest) {
        arguments = json_parse(rest, strlen(rest), error);
        if (!arguments) {
            error_subject(error, "The arguments");
            error_hint(error, "They are one JSON object, such as '{\"id\": \"net0\"}'.");
            return NULL;
        }
    }
    w = json_writer_new(false);
    json_write_begin_object(w, NULL);
    json_write_string(w, "execute", name);
    if (arguments) {
        json_write_value(w, "arguments", arguments);
    }
    json_write_end_object(w);
    return json_writer_finish(w);
}

/* The reply is printed also when it is an error; then the exit status says so. */
static bool qmp(const Cmd *cmd, GError **error)
{
    g_autofree char *text = g_strjoinv(" ", cmd->rest);
    g_autofree char *request = request_of(g_strstrip(text), error);
    g_autoptr(Client) client = request ? connect_to(cmd, error) : NULL;
    g_autoptr(Json) reply = client ? client_request(client, request, error) : NULL;
    const Json *wrong = reply_member(reply, "error", JSON_OBJECT);
    JsonWriter *w;

    if (!reply) {
        return false;
    }
    w = json_writer_new(cmd_flag(cmd, "pretty"));
    json_write_value(w, NULL, reply);
    print_json(w);
    return !wrong || error_set(error, "%s", reply_text(wrong, "desc") ? reply_text(wrong, "desc") : "it failed");
}

static bool hmp(const Cmd *cmd, GError **error)
{
    g_autofree char *line = g_strjoinv(" ", cmd->rest), *clean = NULL;
    g_autoptr(GString) text = NULL;
    g_autoptr(Client) client = connect_to(cmd, error);
    g_autoptr(Json) said = NULL;
    Json *arguments;

    if (!client) {
        return false;
    }
    arguments = json_new_object();
    json_object_put_member(arguments, "command-line", json_new_string(line));
    said = client_run(client, "human-monitor-command", arguments, error);
    if (!said) {
        return false;
    }
    text = g_string_new(json_type_of(said) == JSON_STRING ? json_get_string(said) : "");
    g_string_replace(text, "\r\n", "\n", 0);
    clean = clean_text(text->str, "\n\t");
    fputs(clean, stdout);
    if (*clean && clean[strlen(clean) - 1] != '\n') {
        fputs("\n", stdout);
    }
    return true;
}

const Verb monitor_verbs[] = {
    { "qmp", monitor_args, qmp, "Run a QMP command and print the reply",
      "For example: lodgectl qmp vm query-status; lodgectl qmp vm '{\"execute\": \"stop\"}'." },
    { "hmp", hmp_args, hmp, "Run a command of the monitor for people", "For example: lodgectl hmp vm info status." },
    { NULL },
};
