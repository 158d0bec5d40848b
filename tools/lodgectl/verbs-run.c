/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running and ending: start, run, shutdown, reboot, reset, destroy, suspend, resume.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/lodgectl/console.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/managed.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/saved.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

#define END_PATIENCE_MS  15000 /* of a domain that was told to end, before it is killed */
#define KILL_PATIENCE_MS 5000
#define REBOOT_PATIENCE_S 120
#define STEP_MS 100

/* ---- starting ---- */

static Dom *startable(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);

    if (dom && dom->active) {
        error_set(error, "Domain '%s' is already active", dom->name);
        return NULL;
    }
    return g_steal_pointer(&dom);
}

/* The domain has accepted us by then: what was ready before the first request is seen when the second is answered. */
static bool wait_until_attached(Client *client, GError **error)
{
    return client_do(client, "query-status", error) && client_do(client, "query-status", error);
}

/* The console is there before the first instruction, so nothing of it is lost. */
static bool start_with_console(const Cmd *cmd, const char *name, bool paused, GError **error)
{
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = NULL;
    Console *console;

    if (!console_check_terminal(error) || !saved_launch(name, true, error)) {
        return false;
    }
    say(cmd, "Domain '%s' started", name);
    dom = domains_named(name);
    client = dom ? dom_connect(dom, DOM_TIMEOUT_MS, error) : NULL;
    console = client ? console_open(dom, NULL, error) : NULL;
    if (!dom) {
        return error_set(error, "Domain '%s' has ended already", name);
    }
    if (!console) {
        if (client && !paused) { /* it runs all the same */
            client_do(client, "cont", NULL);
        }
        return false;
    }
    if (!wait_until_attached(client, error) || (!paused && !client_do(client, "cont", error))) {
        console_free(console);
        return false;
    }
    return console_run(cmd, console, error);
}

static bool start(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = startable(cmd, error);
    bool paused = dom && cmd_flag(cmd, "paused");

    if (!dom || (cmd_flag(cmd, "force-boot") && !managed_remove(dom->name, error))) {
        return false;
    }
    if (cmd_flag(cmd, "console")) {
        return start_with_console(cmd, dom->name, paused, error);
    }
    if (!saved_launch(dom->name, paused, error)) {
        return false;
    }
    say(cmd, "Domain '%s' started", dom->name);
    return true;
}

static bool run(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = startable(cmd, error);

    return dom && start_with_console(cmd, dom->name, false, error);
}

/* ---- one command ---- */

static bool tell(const Cmd *cmd, const char *command, const char *said, GError **error)
{
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);

    if (!client || !client_do(client, command, error)) {
        return false;
    }
    say(cmd, "Domain '%s' %s", dom->name, said);
    return true;
}

static bool suspend(const Cmd *cmd, GError **error)
{
    return tell(cmd, "stop", "suspended", error);
}

static bool resume(const Cmd *cmd, GError **error)
{
    return tell(cmd, "cont", "resumed", error);
}

static bool reset(const Cmd *cmd, GError **error)
{
    return tell(cmd, "system_reset", "was reset", error);
}

/* ---- ending ---- */

/* Does the very domain that was looked up still run? */
static bool still_runs(const Dom *dom)
{
    g_autofree char *root = registry_root();
    g_autoptr(RegistryEntry) now = registry_read(root, dom->name);

    return now && now->alive && now->id == dom->entry->id && now->pid == dom->entry->pid;
}

static bool wait_for_end(int pidfd, unsigned ms)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    int n;

    do {
        n = poll(&p, 1, (int)MIN(ms, (unsigned)G_MAXINT));
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* A descriptor of the domain's process.  That it runs is seen after it is open, so no other has the number by then. */
static int open_process(const Dom *dom, GError **error)
{
    int fd = (int)syscall(SYS_pidfd_open, dom->entry->pid, 0);

    if (fd >= 0 && still_runs(dom)) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    error_set(error, "Domain '%s' is not running", dom->name);
    return -1;
}

static bool send_signal(const Dom *dom, int pidfd, int number, GError **error)
{
    return syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0) == 0 || errno == ESRCH ||
           error_set_errno(error, errno, "Cannot end domain '%s'", dom->name);
}

static bool end(const Dom *dom, int pidfd, bool graceful, GError **error)
{
    if (!send_signal(dom, pidfd, SIGTERM, error)) {
        return false;
    }
    if (wait_for_end(pidfd, END_PATIENCE_MS)) {
        return true;
    }
    if (graceful) {
        error_set(error, "Domain '%s' has not ended within %u s", dom->name, END_PATIENCE_MS / 1000);
        return error_hint(error, "Without --graceful it is killed.");
    }
    return send_signal(dom, pidfd, SIGKILL, error) &&
           (wait_for_end(pidfd, KILL_PATIENCE_MS) || error_set(error, "Domain '%s' does not end", dom->name));
}

static bool destroy(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    int pidfd;
    bool ok;

    if (!dom) {
        return false;
    }
    if (!dom->active) {
        return error_set(error, "Domain '%s' is not running", dom->name);
    }
    pidfd = open_process(dom, error);
    ok = pidfd >= 0 && end(dom, pidfd, cmd_flag(cmd, "graceful"), error);
    if (pidfd >= 0) {
        close(pidfd);
    }
    if (ok) {
        say(cmd, "Domain '%s' destroyed", dom->name);
    }
    return ok;
}

static bool shutdown_domain(const Cmd *cmd, GError **error)
{
    uint32_t seconds = cmd_number(cmd, "wait", 0);
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);
    int pidfd;
    bool ended;

    if (!client) {
        return false;
    }
    pidfd = open_process(dom, error);
    if (pidfd < 0) {
        return false;
    }
    if (!client_do(client, "system_powerdown", error)) {
        close(pidfd);
        return false;
    }
    g_clear_pointer(&client, client_free); /* what happens next would only fill the socket */
    ended = !seconds || wait_for_end(pidfd, MIN(seconds, G_MAXINT / 1000) * 1000);
    close(pidfd);
    if (!ended) {
        return error_set(error, "Domain '%s' has not shut down within %u s", dom->name, seconds);
    }
    say(cmd, seconds ? "Domain '%s' has shut down" : "Domain '%s' is being shutdown", dom->name);
    return true;
}

/* ---- reboot ---- */

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = 1;
}

static bool set_shutdown_action(Client *client, const char *action, GError **error)
{
    Json *arguments = json_new_object();
    g_autoptr(Json) done = NULL;

    json_object_put_member(arguments, "shutdown", json_new_string(action));
    done = client_run(client, "set-action", arguments, error);
    return done != NULL;
}

/* The guest is off (*ret_reset false), or has reset itself. */
static bool wait_for_guest(const Dom *dom, Client *client, uint32_t seconds, bool *ret_reset, GError **error)
{
    int64_t deadline = g_get_monotonic_time() + (int64_t)seconds * G_USEC_PER_SEC;

    while (!interrupted && g_get_monotonic_time() < deadline) {
        g_autoptr(Json) event = NULL;
        const char *name;

        if (!client_event(client, STEP_MS, &event, error)) {
            return false;
        }
        name = reply_text(event, "event");
        *ret_reset = name && g_str_equal(name, "RESET");
        if (name && (*ret_reset || g_str_equal(name, "SHUTDOWN"))) {
            return true;
        }
    }
    if (interrupted) {
        return error_set(error, "Interrupted; the guest of domain '%s' may still shut down", dom->name);
    }
    error_set(error, "The guest of domain '%s' has not shut down within %u s", dom->name, seconds);
    return error_hint(error, "It may not listen to the power button; lodgectl reset asks nobody.");
}

/* What a shutdown does now (-no-shutdown: "pause").  The caller's. */
static char *shutdown_action(Client *client)
{
    g_autoptr(Json) actions = client_run(client, "x-query-actions", NULL, NULL);
    const char *action = reply_text(actions, "shutdown");

    return g_strdup(action ? action : "poweroff");
}

/* The power button, and a reset in place of power off: every guest knows the one, and no agent is needed. */
static bool reboot_by(const Cmd *cmd, const Dom *dom, Client *client, GError **error)
{
    g_autofree char *before = shutdown_action(client);
    bool was_reset = false, ok;

    if (!set_shutdown_action(client, "pause", error)) {
        return false;
    }
    ok = client_do(client, "system_powerdown", error) &&
         wait_for_guest(dom, client, cmd_number(cmd, "timeout", REBOOT_PATIENCE_S), &was_reset, error) &&
         (was_reset || (client_do(client, "system_reset", error) && client_do(client, "cont", error)));
    if (!set_shutdown_action(client, before, ok ? error : NULL)) {
        return false;
    }
    return ok;
}

static bool reboot_domain(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);

    if (!client) {
        return false;
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    if (!reboot_by(cmd, dom, client, error)) {
        return false;
    }
    say(cmd, "Domain '%s' is being rebooted", dom->name);
    return true;
}

const Verb run_verbs[] = {
    { "start", ARGS(ARG_DOMAIN(OF_INACTIVE), { "console", ARG_FLAG, .help = "Attach to its console" },
                    { "paused", ARG_FLAG, .help = "Do not let it run yet" },
                    { "force-boot", ARG_FLAG, .help = "Forget what managedsave saved, and start anew" }),
      start, "Start a defined domain",
      "It goes on where managedsave saved it, if it did. One whose definition has no serial port gets one, for "
      "`lodgectl console`." },
    { "run", ARGS(ARG_DOMAIN(OF_INACTIVE)), run, "Start a defined domain and attach to its console" },
    { "shutdown", ARGS(ARG_DOMAIN(OF_ACTIVE), { "wait", ARG_NUMBER, .help = "Wait for its end, at most so long (s)" }),
      shutdown_domain, "Ask a guest to shut down", "Its power button is pressed; what follows is the guest's matter." },
    { "reboot", ARGS(ARG_DOMAIN(OF_ACTIVE), { "timeout", ARG_NUMBER, .help = "Seconds for it to shut down (120)" }),
      reboot_domain, "Let a guest shut down and start again",
      "Its power button is pressed, and when it is off the machine is reset. lodgectl waits for that." },
    { "reset", ARGS(ARG_DOMAIN(OF_ACTIVE)), reset, "Reset a machine at once, as its button would" },
    { "destroy", ARGS(ARG_DOMAIN(OF_ACTIVE), { "graceful", ARG_FLAG, .help = "Never kill it" }), destroy,
      "End a domain at once, without asking the guest",
      "Its process is asked to end in order, and killed if it has not ended after 15 seconds." },
    { "suspend", ARGS(ARG_DOMAIN(OF_ACTIVE)), suspend, "Stop a domain's CPUs" },
    { "resume", ARGS(ARG_DOMAIN(OF_ACTIVE)), resume, "Let a domain's CPUs go on" },
    { NULL },
};
