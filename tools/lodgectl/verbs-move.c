/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains that move while they run: migrate, domjobinfo, domjobabort.
 */
#include <stdio.h>

#include "tools/lodgectl/ask.h"
#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/follow.h"
#include "tools/lodgectl/launch.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/remote.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

#define ABORT_LOOK_MS 20
#define ABORT_LOOKS   500
#define MIB 1048576.0

/* ---- migrate ---- */

/* One that waits with -incoming. */
static bool move_to_lodge(const Cmd *cmd, const Dom *dom, Client *client, GError **error)
{
    static const char *const others[] = { "persistent", "undefinesource", "suspend" };
    const char *uri = cmd_text(cmd, "desturi");
    const FollowOptions options = { .bandwidth = cmd_number(cmd, "bandwidth", 0), .several = true };

    for (size_t i = 0; i < G_N_ELEMENTS(others); i++) {
        if (cmd_flag(cmd, others[i])) {
            error_set(error, "--%s needs a lodgectl at the destination, and '%s' is a lodge", others[i], uri);
            return error_hint(error, "Write ssh://HOST.");
        }
    }
    if (cmd_flag(cmd, "check")) {
        if (!ask_destination(client, uri, error)) {
            g_prefix_error(error, "Domain '%s' could not move: ", dom->name);
            return false;
        }
        say(cmd, "Domain '%s' could move to %s", dom->name, uri);
        return true;
    }
    if (!follow_begin(client, uri, &options, error) ||
        !follow_to_end(cmd, "Migration", client, error)) {
        g_prefix_error(error, "Failed to move domain '%s': ", dom->name);
        return false;
    }
    if (!follow_end(client, error)) {
        return false;
    }
    say(cmd, "Domain '%s' moved to %s", dom->name, uri);
    return true;
}

static bool undefine_source(const Dom *dom, GError **error)
{
    if (!dom->persistent) {
        return true;
    }
    if (!definition_remove(dom->name, error)) {
        return false;
    }
    if (dom->autostart) {
        launch_tell_systemd(dom->name, false);
    }
    return true;
}

static bool migrate(const Cmd *cmd, GError **error)
{
    const char *uri = cmd_text(cmd, "desturi");
    bool checks = cmd_flag(cmd, "check");
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);

    if (!client) {
        return false;
    }
    if (!remote_is_host(uri)) {
        return move_to_lodge(cmd, dom, client, error);
    }
    if (!remote_migrate(cmd, dom, client, error)) {
        g_prefix_error(error, checks ? "Domain '%s' could not move: " : "Failed to move domain '%s': ", dom->name);
        return false;
    }
    say(cmd, checks ? "Domain '%s' could move to %s" : "Domain '%s' moved to %s", dom->name, uri);
    return checks || !cmd_flag(cmd, "undefinesource") || undefine_source(dom, error);
}

/* ---- domjobinfo, domjobabort ---- */

static void number_line(const Json *object, const char *member, const char *title, double divisor, const char *unit)
{
    int64_t value;

    if (reply_int(object, member, &value)) {
        printf("%-19s%.*f %s\n", title, divisor > 1 ? 3 : 0, (double)value / divisor, unit);
    }
}

static bool domjobinfo(const Cmd *cmd, GError **error)
{
    g_autoptr(Client) client = cmd_connect(cmd, NULL, error);
    g_autoptr(Json) info = client ? client_run(client, "query-migrate", NULL, error) : NULL;
    g_autofree char *status = NULL;
    const Json *ram;

    if (!info) {
        return false;
    }
    status = clean_text(reply_text(info, "status") ? reply_text(info, "status") : "none", "");
    ram = reply_member(info, "ram", JSON_OBJECT);
    printf("%-19s%s\n", "Job status:", status);
    number_line(info, "total-time", "Time elapsed:", 1, "ms");
    number_line(info, "downtime", "Total downtime:", 1, "ms");
    number_line(info, "expected-downtime", "Expected downtime:", 1, "ms");
    number_line(ram, "transferred", "Data processed:", MIB, "MiB");
    number_line(ram, "remaining", "Memory remaining:", MIB, "MiB");
    number_line(ram, "total", "Memory total:", MIB, "MiB");
    number_line(ram, "dirty-pages-rate", "Dirty rate:", 1, "pages/s");
    number_line(ram, "dirty-sync-count", "Iteration:", 1, "");
    number_line(ram, "duplicate", "Constant pages:", 1, "");
    number_line(ram, "normal", "Normal pages:", 1, "");
    return true;
}

/* The caller's; NULL: error is set. */
static char *job_status(Client *client, GError **error)
{
    g_autoptr(Json) info = client_run(client, "query-migrate", NULL, error);
    const char *status = reply_text(info, "status");

    return info ? g_strdup(status ? status : "none") : NULL;
}

static bool is_over(const char *status)
{
    return g_str_equal(status, "none") || g_str_equal(status, "completed") || g_str_equal(status, "failed") ||
           g_str_equal(status, "cancelled");
}

static bool domjobabort(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);
    g_autofree char *status = client ? job_status(client, error) : NULL;

    if (!status) {
        return false;
    }
    if (is_over(status)) {
        return error_set(error, "Domain '%s' is not being saved or moved", dom->name);
    }
    if (!client_do(client, "migrate_cancel", error)) {
        return false;
    }
    for (unsigned i = 0; i < ABORT_LOOKS && !is_over(status); i++) {
        g_usleep(ABORT_LOOK_MS * 1000);
        g_free(status);
        status = job_status(client, error);
        if (!status) {
            return false;
        }
    }
    return g_str_equal(status, "cancelled") || g_str_equal(status, "failed") ||
           error_set(error, "It was too late: the migration of domain '%s' is %s", dom->name,
                     g_str_equal(status, "completed") ? "completed" : "about to be");
}

const Verb move_verbs[] = {
    { "migrate", ARGS(ARG_DOMAIN(OF_ACTIVE), { "desturi", ARG_TEXT, true, OF_ANY,
                                               "ssh://[USER@]HOST[:PORT]; or of a lodge, unix:PATH, tcp:HOST:PORT" },
                      { "check", ARG_FLAG, .help = "Only say whether it could go on there, or why not" },
                      { "live", ARG_FLAG, .help = "Let it run meanwhile: that is how it always is" },
                      { "persistent", ARG_FLAG, .help = "Define it there" },
                      { "undefinesource", ARG_FLAG, .help = "Undefine it here" },
                      { "suspend", ARG_FLAG, .help = "Do not let it run there yet" },
                      { "bandwidth", ARG_NUMBER, .help = "MiB a second, at most" }), migrate,
      "Move a running domain to another host",
      "ssh starts lodgectl there, as the user that it logs in as, and everything goes through that connection. The "
      "domain starts there by its definition here, and needs its images at the same paths. Its guest runs on here "
      "until all but the last is there, and whatever goes wrong, it never runs on both. With unix: or tcp: it moves to "
      "a lodge that was started with the same options and -incoming. An interrupt gives it up." },
    { "domjobinfo", ARGS(ARG_DOMAIN(OF_ACTIVE)), domjobinfo, "Tell how far a migration is" },
    { "domjobabort", ARGS(ARG_DOMAIN(OF_ACTIVE)), domjobabort, "Give up saving or moving a domain, which runs on" },
    { NULL },
};
