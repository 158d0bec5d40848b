/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other side of `migrate ssh://` (tools/lodgectl/link.h): migrate-receive, on standard input and output.
 */
#include <unistd.h>

#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/follow.h"
#include "tools/lodgectl/link.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/saved.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"
#include "vmm/host.h"

#define LOOK_MS  10
#define ARRIVAL_MS 10000 /* of a domain of which everything was sent */

typedef struct Arrival {
    Link link;
    const char *name, *definition;
    const Json *header;
    bool check, persistent;
    Dom *dom;       /* NULL: it was not started */
    Client *client;
    bool may_run;   /* it was told to, and nobody has heard that it does not */
} Arrival;

static bool flag(const Json *object, const char *name)
{
    const Json *value = reply_member(object, name, JSON_BOOL);

    return value && json_get_bool(value);
}

static bool read_request(Arrival *a, const Json *request, GError **error)
{
    a->name = reply_text(request, "name");
    a->definition = reply_text(request, "definition");
    a->header = reply_member(request, "header", JSON_OBJECT);
    a->check = flag(request, "check");
    a->persistent = flag(request, "persistent");
    return (a->name && a->definition && a->header) ||
           error_set(error, "What the other host says is not lodgectl's");
}

/* It waits for the stream, which comes through us, and runs when it is told to. */
static bool start(Arrival *a, GError **error)
{
    g_autofree char *path = link_make_place(error);
    g_autofree char *uri = g_strconcat("unix:", path, NULL);

    if (!path) {
        return false;
    }
    if (saved_launch_by(a->name, a->definition, uri, true, error)) {
        a->dom = domains_named(a->name); /* a name may be another domain's id */
        a->client = a->dom ? dom_connect(a->dom, DOM_TIMEOUT_MS, error)
                           : (error_set(error, "Domain '%s' has ended at once", a->name), NULL);
        a->link.stream = a->client ? host_connect_unix(path, error) : -1;
        if (!a->client) {
            follow_kill(a->name);
        }
    }
    link_remove_place(path);
    return a->link.stream >= 0;
}

/* Until it is told whether the domain is to run. */
static bool take_stream(Arrival *a, bool *ret_run, GError **error)
{
    g_autoptr(Json) order = link_receive(&a->link, error);

    *ret_run = order && flag(order, "run");
    return order != NULL;
}

static bool has_arrived(Arrival *a, GError **error)
{
    for (unsigned i = 0; i < ARRIVAL_MS / LOOK_MS; i++) {
        g_autoptr(Json) info = client_run(a->client, "query-migrate", NULL, error);
        const char *status = reply_text(info, "status");

        if (!info || (status && g_str_equal(status, "completed"))) {
            return info != NULL;
        }
        g_usleep(LOOK_MS * 1000);
    }
    return error_set(error, "Domain '%s' has not arrived", a->name);
}

/* A domain that does not answer in time may go on later: only an answer is certain. */
static bool let_run(Arrival *a, GError **error)
{
    g_autoptr(Json) reply = client_request(a->client, "{\"execute\": \"cont\"}", error);
    const Json *wrong = reply_member(reply, "error", JSON_OBJECT);
    const char *why = reply_text(wrong, "desc");

    if (reply_member(reply, "return", JSON_OBJECT)) {
        return true;
    }
    a->may_run = !wrong;
    return reply ? error_set(error, "Domain '%s': %s", a->name, why ? why : "it does not go on") : false;
}

static void define(const Arrival *a)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *name = definition_write(a->definition, a->name, &error);

    if (!name) {
        say_warning("Domain '%s' runs, but is not defined: %s", a->name, error->message);
    }
}

static bool take_in(Arrival *a, GError **error)
{
    bool run;

    if (!start(a, error) || !link_send(&a->link, json_new_object(), error) || !take_stream(a, &run, error) ||
        !has_arrived(a, error) || (run && !let_run(a, error))) {
        return false;
    }
    if (a->persistent) {
        define(a);
    }
    link_send(&a->link, json_new_object(), NULL); /* whoever hears it: it is here */
    return true;
}

/* The other side takes an error for certain, and goes on by itself.  So it hears nothing if the domain may run here,
 * where it then stays, and nothing while it is here. */
static void give_up(Arrival *a, const GError *why)
{
    if (!a->may_run && (!a->client || follow_end(a->client, NULL))) {
        link_send_error(&a->link, why);
    }
}

static bool receive(const Cmd *cmd, GError **error)
{
    Arrival a = { .link = { STDIN_FILENO, STDOUT_FILENO, -1, false } };
    g_autoptr(Json) request = link_receive(&a.link, error);
    g_autoptr(GError) why = NULL;
    bool ok;

    if (!request) {
        return false;
    }
    follow_catch_interrupts(); /* they are for the other side, which then hangs up */
    ok = read_request(&a, request, &why);
    if (ok && a.check) {
        ok = saved_check(a.name, a.definition, a.header, &why) && link_send(&a.link, json_new_object(), &why);
    } else if (ok) {
        ok = take_in(&a, &why);
    }
    if (!ok) {
        give_up(&a, why);
    }
    if (a.link.stream >= 0) {
        close(a.link.stream);
    }
    client_free(a.client);
    dom_free(a.dom);
    return ok;
}

const Verb receive_verbs[] = {
    { "migrate-receive", NO_ARGS, receive, "Take in a domain from another host's lodgectl",
      "migrate ssh://HOST starts it there. It talks to the other one on standard input and output." },
    { NULL },
};
