/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which domains there are, and what they are called: list, dominfo, domid, domname, domuuid, domstate.
 */
#include <stdio.h>
#include <string.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/managed.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/process.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

/* ---- list ---- */

static const Arg list_args[] = {
    { "all", ARG_FLAG, .help = "Those that run, and those that do not" },
    { "inactive", ARG_FLAG, .help = "Only those that do not run" },
    { "transient", ARG_FLAG, .help = "Only those that are not defined" },
    { "persistent", ARG_FLAG, .help = "Only those that are defined" },
    { "autostart", ARG_FLAG, .help = "Only those that start with the host" },
    { "no-autostart", ARG_FLAG, .help = "Only those that do not start with the host" },
    { "state-running", ARG_FLAG, .help = "Only those in state running" },
    { "state-paused", ARG_FLAG, .help = "Only those in state paused" },
    { "state-shutoff", ARG_FLAG, .help = "Only those in state shut off" },
    { "state-other", ARG_FLAG, .help = "Only those in other states" },
    { "with-managed-save", ARG_FLAG, .help = "Only those that managedsave has saved" },
    { "without-managed-save", ARG_FLAG, .help = "Only those that it has not" },
    { "managed-save", ARG_FLAG, .help = "Say \"saved\" of those that it has saved" },
    { "name", ARG_FLAG, .help = "Print names only" },
    { "uuid", ARG_FLAG, .help = "Print UUIDs only" },
    { "id", ARG_FLAG, .help = "Print ids only" },
    { "table", ARG_FLAG, .help = "Print a table, as without any of these" },
    { "json", ARG_FLAG, .help = "Print a JSON array" },
    { NULL, ARG_END },
};

static bool wants_state(const Cmd *cmd)
{
    return cmd_flag(cmd, "state-running") || cmd_flag(cmd, "state-paused") || cmd_flag(cmd, "state-shutoff") ||
           cmd_flag(cmd, "state-other");
}

/* Of two opposites, both or none let everything through. */
static bool passes(const Cmd *cmd, const char *yes, const char *no, bool value)
{
    bool y = cmd_flag(cmd, yes), n = cmd_flag(cmd, no);

    return y == n || (value ? y : n);
}

static bool passes_activity(const Cmd *cmd, const Dom *dom)
{
    if (cmd_flag(cmd, "all")) {
        return true;
    }
    if (cmd_flag(cmd, "inactive") || (cmd_flag(cmd, "state-shutoff") && !dom->active)) {
        return !dom->active;
    }
    return dom->active;
}

static bool passes_state(const Cmd *cmd, const DomState *s)
{
    const char *flag = s->number == 1 ? "state-running" : s->number == 3 ? "state-paused"
                     : s->number == 5 ? "state-shutoff" : "state-other";

    return !wants_state(cmd) || cmd_flag(cmd, flag);
}

static void write_json(JsonWriter *w, Dom *dom, const DomState *s)
{
    const char *uuid = dom_uuid(dom);

    json_write_begin_object(w, NULL);
    if (dom->active) {
        json_write_int(w, "id", dom->entry->id);
    } else {
        json_write_null(w, "id");
    }
    json_write_string(w, "name", dom->name);
    if (uuid) {
        json_write_string(w, "uuid", uuid);
    } else {
        json_write_null(w, "uuid");
    }
    json_write_string(w, "state", s->state);
    json_write_string(w, "reason", s->reason);
    json_write_bool(w, "persistent", dom->persistent);
    json_write_bool(w, "autostart", dom->autostart);
    if (dom->active) {
        json_write_int(w, "pid", dom->entry->pid);
    }
    json_write_end_object(w);
}

static char *id_text(const Dom *dom)
{
    return dom->active ? g_strdup_printf("%u", dom->entry->id) : g_strdup("-");
}

/* Prints columns as they are asked for, without headings. */
static void list_plain(const Cmd *cmd, Dom *dom)
{
    g_autoptr(GString) line = g_string_new(NULL);
    g_autofree char *id = id_text(dom), *clean = NULL;
    const char *uuid = cmd_flag(cmd, "uuid") ? dom_uuid(dom) : NULL;

    if (cmd_flag(cmd, "id")) {
        g_string_append(line, id);
    }
    if (cmd_flag(cmd, "uuid")) {
        g_string_append_printf(line, "%s%s", line->len ? " " : "", uuid ? uuid : "-");
    }
    if (cmd_flag(cmd, "name")) {
        g_string_append_printf(line, "%s%s", line->len ? " " : "", dom->name);
    }
    clean = clean_text(line->str, "");
    puts(clean);
}

typedef enum Form { FORM_TABLE, FORM_PLAIN, FORM_JSON } Form;

static bool is_listed(const Cmd *cmd, const Dom *dom)
{
    return passes_activity(cmd, dom) && passes(cmd, "persistent", "transient", dom->persistent) &&
           passes(cmd, "autostart", "no-autostart", dom->autostart) &&
           passes(cmd, "with-managed-save", "without-managed-save", managed_exists(dom->name));
}

static void list_as(const Cmd *cmd, GPtrArray *all, Form form)
{
    Table *table = form == FORM_TABLE ? table_new(3, "Id", "Name", "State") : NULL;
    JsonWriter *w = form == FORM_JSON ? json_writer_new(true) : NULL;

    if (w) {
        json_write_begin_array(w, NULL);
    }
    for (guint i = 0; i < all->len; i++) {
        Dom *dom = all->pdata[i];
        g_autofree char *id = id_text(dom);
        DomState state = { "", "", 0, 0 };

        if (!is_listed(cmd, dom)) {
            continue;
        }
        if (form != FORM_PLAIN || wants_state(cmd)) {
            state = dom_state(dom);
        }
        if (!passes_state(cmd, &state)) {
            continue;
        }
        if (table) {
            bool saved = cmd_flag(cmd, "managed-save") && !dom->active && managed_exists(dom->name);

            table_row(table, id, dom->name, saved ? "saved" : state.state);
        } else if (w) {
            write_json(w, dom, &state);
        } else {
            list_plain(cmd, dom);
        }
    }
    if (table) {
        table_print(table);
    } else if (w) {
        json_write_end_array(w);
        print_json(w);
    }
}

static bool list(const Cmd *cmd, GError **error)
{
    bool plain = cmd_flag(cmd, "name") || cmd_flag(cmd, "uuid") || cmd_flag(cmd, "id");
    g_autoptr(GPtrArray) all = NULL;

    if (plain + cmd_flag(cmd, "table") + cmd_flag(cmd, "json") > 1) {
        return error_set(error, "--table is one form, --json another, and --name, --uuid, --id a third");
    }
    all = domains_list();
    list_as(cmd, all, plain ? FORM_PLAIN : cmd_flag(cmd, "json") ? FORM_JSON : FORM_TABLE);
    return true;
}

/* ---- names ---- */

static bool domid(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    g_autofree char *id = dom ? id_text(dom) : NULL;

    if (dom) {
        printf("%s\n\n", id);
    }
    return dom != NULL;
}

static bool domname(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    g_autofree char *clean = dom ? clean_text(dom->name, "") : NULL;

    if (dom) {
        printf("%s\n\n", clean);
    }
    return dom != NULL;
}

static bool domuuid(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);

    if (!dom) {
        return false;
    }
    if (!dom_uuid(dom)) {
        error_set(error, "Domain '%s' has no UUID", dom->name);
        return error_hint(error, "It was started without -uuid.");
    }
    printf("%s\n\n", dom_uuid(dom));
    return true;
}

static bool domstate(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    DomState state;

    if (!dom) {
        return false;
    }
    state = dom_state(dom);
    if (cmd_flag(cmd, "reason")) {
        printf("%s (%s)\n\n", state.state, state.reason);
    } else {
        printf("%s\n\n", state.state);
    }
    return true;
}

/* ---- dominfo ---- */

static void print_size(const char *label, const Json *reply, const char *member)
{
    int64_t bytes;

    if (reply_int(reply, member, &bytes)) {
        printf("%-15s %" G_GINT64_FORMAT " KiB\n", label, bytes / 1024);
    }
}

static void print_running(const Dom *dom, Client *client)
{
    g_autoptr(Json) cpus = client_run(client, "query-cpus-fast", NULL, NULL);
    g_autoptr(Json) memory = client_run(client, "query-memory-size-summary", NULL, NULL);
    g_autoptr(Json) balloon = client_run(client, "query-balloon", NULL, NULL);
    ProcessTimes times;

    if (cpus) {
        printf("%-15s %zu\n", "CPU(s):", reply_length(cpus));
    }
    if (process_times(client_pid(client), 0, &times)) {
        printf("%-15s %.1fs\n", "CPU time:", (double)times.total_ns / 1e9);
    }
    print_size("Max memory:", memory, "base-memory");
    print_size("Used memory:", balloon ? balloon : memory, balloon ? "actual" : "base-memory");
}

static bool dominfo(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    g_autoptr(Client) client = NULL;
    g_autofree char *id = NULL, *name = NULL;

    if (!dom) {
        return false;
    }
    id = id_text(dom);
    name = clean_text(dom->name, "");
    client = dom->active ? dom_connect(dom, DOM_TIMEOUT_MS, NULL) : NULL;
    printf("%-15s %s\n", "Id:", id);
    printf("%-15s %s\n", "Name:", name);
    printf("%-15s %s\n", "UUID:", dom_uuid(dom) ? dom_uuid(dom) : "-");
    printf("%-15s %s\n", "OS Type:", "hvm");
    printf("%-15s %s\n", "State:", client ? dom_state_by(client).state : dom_state(dom).state);
    if (client) {
        print_running(dom, client);
    }
    printf("%-15s %s\n", "Persistent:", dom->persistent ? "yes" : "no");
    printf("%-15s %s\n", "Autostart:", dom->autostart ? "enable" : "disable");
    printf("%-15s %s\n\n", "Managed save:", managed_exists(dom->name) ? "yes" : "no");
    return true;
}

const Verb list_verbs[] = {
    { "list", list_args, list, "List domains",
      "Without options, those that run. A domain that does not answer within a second has \"no state\"." },
    { "dominfo", ARGS(ARG_DOMAIN(OF_DOMAIN)), dominfo, "Tell the main facts of a domain" },
    { "domid", ARGS(ARG_DOMAIN(OF_DOMAIN)), domid, "Tell the id of a domain" },
    { "domname", ARGS(ARG_DOMAIN(OF_DOMAIN)), domname, "Tell the name of a domain" },
    { "domuuid", ARGS(ARG_DOMAIN(OF_DOMAIN)), domuuid, "Tell the UUID of a domain" },
    { "domstate", ARGS(ARG_DOMAIN(OF_DOMAIN), { "reason", ARG_FLAG, .help = "Say also why it is in that state" }),
      domstate, "Tell the state of a domain", "A domain that was killed is \"shut off (crashed)\"." },
    { NULL },
};
