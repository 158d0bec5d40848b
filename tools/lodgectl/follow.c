/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/follow.h.
 */
#include "tools/lodgectl/follow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "vmm/error.h"
#include "vmm/registry.h"

#define LOOK_MS 50
#define END_PATIENCE_MS 15000
#define KILL_PATIENCE_MS 5000
#define BAR 30
#define MIB 1048576.0

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = 1;
}

void follow_catch_interrupts(void)
{
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
}

bool follow_interrupted(void)
{
    return interrupted;
}

static bool run_with(Client *client, const char *command, Json *arguments, GError **error)
{
    g_autoptr(Json) done = client_run(client, command, arguments, error);

    return done != NULL;
}

static void put_off(Json *list, const char *capability)
{
    Json *status = json_new_object();

    json_object_put_member(status, "capability", json_new_string(capability));
    json_object_put_member(status, "state", json_new_bool(false));
    json_array_put(list, status);
}

/* Refused while something else is under way, which goes on as it is. */
static bool choose_capabilities(Client *client, bool several, GError **error)
{
    Json *arguments = json_new_object(), *list = json_new_array();

    put_off(list, "pause-before-switchover");
    if (!several) {
        put_off(list, "multifd");
    }
    json_object_put_member(arguments, "capabilities", list);
    return run_with(client, "migrate-set-capabilities", arguments, error);
}

bool follow_begin(Client *client, const char *uri, const FollowOptions *options, GError **error)
{
    Json *parameters, *arguments;

    follow_catch_interrupts();
    if (!choose_capabilities(client, options->several, error)) {
        return false;
    }
    parameters = json_new_object();
    json_object_put_member(parameters, "max-bandwidth", json_new_int((int64_t)options->bandwidth << 20));
    if (!run_with(client, "migrate-set-parameters", parameters, error)) {
        return false;
    }
    arguments = json_new_object();
    json_object_put_member(arguments, "uri", json_new_string(uri));
    if (options->definition) {
        json_object_put_member(arguments, "definition", json_new_string(options->definition));
    }
    return run_with(client, "migrate", arguments, error);
}

/* ---- how far it is ---- */

static bool has_bar(const Cmd *cmd)
{
    return !cmd->quiet && isatty(STDERR_FILENO);
}

/* "Save: [##########                    ]  33 %, 120.0 MiB/s" */
static void show(const char *what, const Json *info)
{
    const Json *ram = reply_member(info, "ram", JSON_OBJECT);
    int64_t total, left, sent = 0, ms = 0;
    int percent, filled;

    if (!ram || !reply_int(ram, "total", &total) || !reply_int(ram, "remaining", &left) || total <= 0) {
        return;
    }
    reply_int(ram, "transferred", &sent);
    reply_int(info, "total-time", &ms);
    percent = 100 - (int)(CLAMP(left, 0, total) / (total / 100.0));
    filled = percent * BAR / 100;
    fprintf(stderr, "\r%s: [%.*s%*s] %3d %%, %.1f MiB/s ", what, filled, "##############################", BAR - filled,
            "", percent, (double)sent / MIB * 1000 / (double)MAX(ms, 1));
}

bool follow_look(const Cmd *cmd, const char *what, Client *client, bool *ret_done, GError **error)
{
    g_autoptr(Json) info = client_run(client, "query-migrate", NULL, error);
    const char *status = reply_text(info, "status"), *said = reply_text(info, "error-desc");
    g_autofree char *why = clean_text(said ? said : "", "");
    bool over, cancelled;

    if (!info) {
        return false;
    }
    *ret_done = status && g_str_equal(status, "completed");
    cancelled = status && g_str_equal(status, "cancelled");
    over = *ret_done || cancelled || !status || g_str_equal(status, "failed");
    if (has_bar(cmd)) {
        if (*ret_done || !over) {
            show(what, info); /* else nothing remains, since it was given up */
        }
        fputs(over ? "\n" : "", stderr);
    }
    return *ret_done || !over ||
           error_set(error, "%s", cancelled ? "it was given up" : *why ? why : "it has ended without a word");
}

bool follow_to_end(const Cmd *cmd, const char *what, Client *client, GError **error)
{
    bool done = false, cancelled = false;

    for (;;) {
        if (!follow_look(cmd, what, client, &done, error)) {
            return false;
        }
        if (done) {
            return true;
        }
        if (interrupted && !cancelled) {
            cancelled = true;
            if (!client_do(client, "migrate_cancel", error)) {
                return false;
            }
        }
        g_usleep(LOOK_MS * 1000);
    }
}

static bool has_gone(int process, int ms)
{
    int64_t end = g_get_monotonic_time() + (int64_t)ms * 1000, left = ms;
    struct pollfd gone = { process, POLLIN, 0 };
    int n;

    do {
        n = poll(&gone, 1, (int)MAX(left, 0));
        left = (end - g_get_monotonic_time()) / 1000;
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

bool follow_end(Client *client, GError **error)
{
    int process = (int)syscall(SYS_pidfd_open, client_pid(client), 0);
    bool ok = process < 0 && errno == ESRCH;

    client_do(client, "quit", NULL);
    ok = ok || (process >= 0 && has_gone(process, END_PATIENCE_MS));
    if (process >= 0) {
        close(process);
    }
    return ok || error_set(error, "its process does not end");
}

void follow_kill(const char *name)
{
    g_autofree char *root = registry_root();
    g_autoptr(RegistryEntry) entry = registry_read(root, name);
    int process = entry && entry->alive ? (int)syscall(SYS_pidfd_open, entry->pid, 0) : -1;

    if (process < 0) {
        return;
    }
    if (registry_is_alive(root, name)) { /* still: no other process has the number */
        syscall(SYS_pidfd_send_signal, process, SIGTERM, NULL, 0);
        if (!has_gone(process, KILL_PATIENCE_MS)) {
            syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
            has_gone(process, KILL_PATIENCE_MS);
        }
    }
    close(process);
}
