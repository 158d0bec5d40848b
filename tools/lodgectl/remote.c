/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/remote.h.  lodge sends the domain to a socket of ours, and we pass it on to ssh: nothing has to be
 * open between the hosts but ssh, which says who may do this and keeps others from listening.
 */
#include "tools/lodgectl/remote.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/lodgectl/ask.h"
#include "tools/lodgectl/follow.h"
#include "tools/lodgectl/link.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/saved.h"
#include "vmm/error.h"
#include "vmm/host.h"

#define SCHEME "ssh://"
#define CONNECT_MS 10000
#define GO_ON_MS   10000
#define ANSWER_MS  30000 /* longer than the other one gives it to arrive */
#define LOOK_MS 50

bool remote_is_host(const char *uri)
{
    return g_str_has_prefix(uri, SCHEME);
}

/* ---- ssh ---- */

typedef struct Remote {
    Link link;
    GPid pid;
} Remote;

/* An interrupt is for us, who end in order. */
static void ignore_interrupts(gpointer opaque)
{
    signal(SIGINT, SIG_IGN);
}

static bool start_ssh(const char *uri, Remote *ret, GError **error)
{
    const char *program = g_getenv("LODGE_SSH"), *at;
    g_autofree char *host = g_strdup(uri + strlen(SCHEME)), *user = NULL;
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(GError) failed = NULL;
    char *port;

    at = strrchr(host, '@');
    if (at) {
        user = g_strndup(host, (gsize)(at - host));
        memmove(host, at + 1, strlen(at + 1) + 1);
    }
    port = strrchr(host, ':');
    if (port && !strchr(port, ']')) {
        *port++ = '\0';
    } else {
        port = NULL;
    }
    if (!*host || *host == '-' || strchr(host, '/')) {
        error_set(error, "'%s' names no host", uri);
        return error_hint(error, "Write ssh://HOST, ssh://USER@HOST or ssh://USER@HOST:PORT.");
    }
    g_ptr_array_add(argv, (gpointer)(program && *program ? program : "ssh"));
    if (port) {
        g_ptr_array_add(argv, (gpointer)"-p");
        g_ptr_array_add(argv, port);
    }
    if (user) {
        g_ptr_array_add(argv, (gpointer)"-l");
        g_ptr_array_add(argv, user);
    }
    for (const char *const *word = (const char *const[]) { host, "lodgectl", "migrate-receive", NULL }; *word; word++) {
        g_ptr_array_add(argv, (gpointer)*word);
    }
    g_ptr_array_add(argv, NULL);
    *ret = (Remote) { .link.stream = -1 };
    if (!g_spawn_async_with_pipes(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD,
                                  ignore_interrupts, NULL, &ret->pid, &ret->link.out, &ret->link.in, NULL, &failed)) {
        return error_set(error, "Cannot reach '%s': %s", uri, failed->message);
    }
    return true;
}

static void close_once(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* The other lodgectl sees that, and ends what it has of the domain. */
static void hang_up(Remote *remote)
{
    close_once(&remote->link.stream);
    close_once(&remote->link.out);
}

static void end_ssh(Remote *remote)
{
    hang_up(remote);
    close_once(&remote->link.in);
    waitpid(remote->pid, NULL, 0);
}

/* ---- what it is ---- */

static bool has_state(Client *client, const char *state)
{
    g_autoptr(Json) info = client_run(client, "query-status", NULL, NULL);
    const char *status = reply_text(info, "status");

    return status && g_str_equal(status, state);
}

static Json *describe(const Cmd *cmd, Dom *dom, Client *client, GError **error)
{
    g_autofree char *definition = NULL;
    g_autoptr(Json) header = NULL;
    Json *json;

    definition = ask_may_move(client, error) ? saved_definition(dom, client, false, error) : NULL;
    header = definition ? client_run(client, "x-query-migrate-header", NULL, error) : NULL;
    if (!header) {
        return NULL;
    }
    json = json_new_object();
    json_object_put_member(json, "name", json_new_string(dom->name));
    json_object_put_member(json, "definition", json_new_string(definition));
    json_object_put_member(json, "header", json_ref(header));
    json_object_put_member(json, "check", json_new_bool(cmd_flag(cmd, "check")));
    json_object_put_member(json, "persistent", json_new_bool(cmd_flag(cmd, "persistent")));
    return json;
}

/* ---- sending it ---- */

/* lodge connects to us.  *ret_begun: it has begun, even if that comes to nothing. */
static bool begin(const Cmd *cmd, Remote *remote, Client *client, bool *ret_begun, GError **error)
{
    g_autofree char *path = link_make_place(error);
    g_autofree char *uri = g_strconcat("unix:", path, NULL);
    const FollowOptions options = { .bandwidth = cmd_number(cmd, "bandwidth", 0) };
    struct pollfd p = { -1, POLLIN, 0 };

    *ret_begun = false;
    if (!path) {
        return false;
    }
    p.fd = host_listen_unix(path, error);
    *ret_begun = p.fd >= 0 && follow_begin(client, uri, &options, error);
    if (*ret_begun) {
        remote->link.stream = poll(&p, 1, CONNECT_MS) > 0 ? accept(p.fd, NULL, NULL) : -1;
        if (remote->link.stream < 0) {
            error_set(error, "lodge does not connect");
        }
    }
    if (p.fd >= 0) {
        close(p.fd);
    }
    link_remove_place(path);
    return remote->link.stream >= 0;
}

static bool says_yes(const Json *reply, GError **error)
{
    const char *no = reply_text(reply, "error");
    g_autofree char *why = clean_text(no ? no : "", "");

    return !no || error_set(error, "%s", why);
}

/* Until all of it is there.  What the other lodgectl says before it is asked is why not. */
static bool send_all(const Cmd *cmd, Remote *remote, Client *client, GError **error)
{
    bool done = false, cancelled = false;

    while (!done) {
        g_autoptr(Json) said = NULL;

        if (!link_relay(&remote->link, client_fd(client), LOOK_MS, &said, error)) {
            return false;
        }
        if (said && !says_yes(said, error)) {
            return false;
        }
        if (follow_interrupted() && !cancelled) {
            cancelled = true;
            client_do(client, "migrate_cancel", NULL);
        }
        if (!follow_look(cmd, "Migration", client, &done, error)) {
            return false;
        }
    }
    return !cancelled || error_set(error, "it was given up"); /* lodge was done, but it does not run there yet */
}

/* *ret_uncertain: it was told to go on there, and nobody knows whether it does. */
static bool let_go_on(Remote *remote, bool run, bool *ret_uncertain, GError **error)
{
    Json *json = json_new_object();
    g_autoptr(Json) reply = NULL;

    *ret_uncertain = false;
    json_object_put_member(json, "run", json_new_bool(run));
    if (!link_send(&remote->link, json, error)) {
        return false;
    }
    if (!link_relay(&remote->link, -1, ANSWER_MS, &reply, error) || !reply) {
        *ret_uncertain = true;
        return false;
    }
    return says_yes(reply, error); /* if it says no, that is certain */
}

/* Whether it needs no more: after a migration that has failed lodge goes on by itself, but where it cannot know whether
 * the domain runs at its destination.  Who was to order that knows. */
static bool is_back(Client *client, const char *status, bool was_running)
{
    bool failed = g_str_equal(status, "cancelled") || g_str_equal(status, "failed");

    if (failed && !has_state(client, "postmigrate")) {
        return true;
    }
    return (failed || g_str_equal(status, "completed")) && (!was_running || client_do(client, "cont", NULL));
}

/* Until the domain runs again: its images may still be open there for a moment. */
static void go_on_here(Client *client, bool was_running)
{
    int64_t end;

    client_do(client, "migrate_cancel", NULL);
    end = g_get_monotonic_time() + GO_ON_MS * 1000;
    do {
        g_autoptr(Json) info = client_run(client, "query-migrate", NULL, NULL);
        const char *status = reply_text(info, "status");

        if (info && (!status || is_back(client, status, was_running))) {
            return; /* without a status it has never begun */
        }
        g_usleep(LOOK_MS * 1000);
    } while (g_get_monotonic_time() < end);
    say_warning("the domain does not go on here: see lodgectl domstate, and lodgectl resume");
}

static bool move(const Cmd *cmd, Dom *dom, Client *client, Remote *remote, GError **error)
{
    bool running = has_state(client, "running"), begun, uncertain = false, ok;

    ok = begin(cmd, remote, client, &begun, error) && send_all(cmd, remote, client, error) &&
         let_go_on(remote, running && !cmd_flag(cmd, "suspend"), &uncertain, error);
    if (uncertain) {
        g_clear_error(error);
        error_set(error, "Nobody knows whether domain '%s' runs there: the connection broke when it was to go on",
                  dom->name);
        return error_hint(error, "If it does, lodgectl destroy it here; if not, lodgectl resume it here.");
    }
    if (!ok) {
        hang_up(remote);
        if (begun) { /* else it may be somebody else who moves or saves it */
            go_on_here(client, running);
        }
    }
    return ok && follow_end(client, error);
}

/* Who hangs up before it has heard everything may have said why. */
static Json *request(Remote *remote, Json *what, GError **error)
{
    bool sent = link_send(&remote->link, what, NULL);
    Json *reply = link_receive(&remote->link, error);

    if (!sent && reply) {
        error_set(error, "The other host did not hear what it was asked");
        g_clear_pointer(&reply, json_unref);
    }
    return reply;
}

bool remote_migrate(const Cmd *cmd, Dom *dom, Client *client, GError **error)
{
    const char *uri = cmd_text(cmd, "desturi");
    Json *what = describe(cmd, dom, client, error);
    g_autoptr(Json) ready = NULL;
    Remote remote;
    bool ok;

    if (!what || !start_ssh(uri, &remote, error)) {
        json_unref(what);
        return false;
    }
    ready = request(&remote, what, error);
    ok = ready && (cmd_flag(cmd, "check") || move(cmd, dom, client, &remote, error));
    end_ssh(&remote);
    return ok;
}
