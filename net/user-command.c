/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guestfwd=...-cmd: of a `user` network: a program for each connection of the guest, with it as standard input, output
 * and error.  libslirp would start it in this process, which its sandbox forbids; so it connects to a socket of ours,
 * and the launcher (vmm/host-launcher.h) starts the program on what comes in there.
 *
 *   guest: SYN -> libslirp -> socket -> accepted here -> launcher: the program
 *
 * The socket's name is gone as soon as it is made: libslirp knows it by a descriptor.  libslirp's connect() would wait
 * for ever if many came before this end took one, so it does at once, when libslirp tells of a new descriptor.  A
 * guest may connect as often as it likes: where so many programs run, one more is hung up on.  What runs when the
 * network goes is ended.
 *
 * Main loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/user.h"
#include "vmm/error.h"
#include "vmm/host-launcher.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/sandbox.h"

#define PROGRAMS_MAX 32

typedef struct Program {
    NetGuestCommand *command;
    int status; /* of the launcher's: readable at its end, and closing it ends it */
    LoopFd *watch;
} Program;

struct NetGuestCommand {
    NetUser *user;
    char **argv;
    int listener, place; /* place: how libslirp finds it */
    GPtrArray *programs; /* Program */
    bool complained;
};

/* ---- programs ---- */

static void complain(NetGuestCommand *c, const char *why)
{
    if (!c->complained) {
        c->complained = true;
        log_warning("%s: guestfwd: %s", c->user->backend.id, why);
    }
}

static void program_free(gpointer data)
{
    Program *p = data;

    loop_remove_fd(p->watch);
    close(p->status);
    g_free(p);
}

static void program_ended(int fd, LoopEvents events, void *opaque)
{
    Program *p = opaque;

    g_ptr_array_remove_fast(p->command->programs, p);
}

static void start_program(NetGuestCommand *c, int connection)
{
    const int streams[3] = { connection, connection, connection };
    g_autoptr(GError) error = NULL;
    int status = host_launcher_ready(&error) ? host_launch((const char *const *)c->argv, true, streams, &error) : -1;
    Program *p;

    if (status < 0) {
        complain(c, error->message);
        return;
    }
    p = g_new(Program, 1);
    *p = (Program) { c, status, loop_add_fd(c->user->loop, status, LOOP_READ, program_ended, p) };
    g_ptr_array_add(c->programs, p);
}

void net_guest_command_accept(NetGuestCommand *c)
{
    int connection;

    while ((connection = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (c->programs->len < PROGRAMS_MAX) {
            start_program(c, connection);
        } else {
            complain(c, "as many programs run as may: the guest's next connection is refused");
        }
        close(connection);
    }
}

/* ---- the forward ---- */

static bool parse_command(const char *text, char ***ret_argv, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_auto(GStrv) argv = NULL;
    char *path;

    if (!g_shell_parse_argv(text, NULL, &argv, &reason)) {
        return error_set(error, "guestfwd's '%s' is no command: %s", text, reason->message);
    }
    path = g_find_program_in_path(argv[0]);
    if (!path) {
        error_set(error, "guestfwd leads to no program: there is no '%s'", argv[0]);
        return error_hint(error, "Write cmd:PROGRAM ARGUMENTS; for what a shell does, cmd:/bin/sh -c '...'.");
    }
    g_free(argv[0]);
    argv[0] = path;
    *ret_argv = g_steal_pointer(&argv);
    return true;
}

static bool listen_without_name(NetGuestCommand *c, GError **error)
{
    g_autofree char *path = g_strdup_printf("%s/lodge-%d-%08x%08x", g_get_tmp_dir(), getpid(), g_random_int(),
                                            g_random_int());

    c->listener = host_listen_unix(path, error);
    if (c->listener >= 0) {
        c->place = host_open(path, O_PATH, 0, error);
        unlink(path);
        fcntl(c->listener, F_SETFL, fcntl(c->listener, F_GETFL) | O_NONBLOCK);
    }
    return c->place >= 0;
}

void net_guest_command_free(NetGuestCommand *c)
{
    if (!c) {
        return;
    }
    g_ptr_array_unref(c->programs);
    if (c->place >= 0) {
        close(c->place);
    }
    if (c->listener >= 0) {
        close(c->listener);
    }
    g_strfreev(c->argv);
    g_free(c);
}

NetGuestCommand *net_guest_command_new(NetUser *u, const char *text, struct in_addr address, int port, GError **error)
{
    g_autofree char *name = NULL;
    NetGuestCommand *c;

    if (!sandbox_permits_launcher()) {
        error_set(error, "guestfwd=...-cmd: starts programs, which the sandbox does not allow");
        error_hint(error, "Leave spawn=deny out of -sandbox, or name a server of the host's instead: "
                          "guestfwd=...-tcp:HOST:PORT.");
        return NULL;
    }
    c = g_new(NetGuestCommand, 1);
    *c = (NetGuestCommand) { .user = u, .listener = -1, .place = -1,
                             .programs = g_ptr_array_new_with_free_func(program_free) };
    if (parse_command(text, &c->argv, error) && listen_without_name(c, error)) {
        name = g_strdup_printf("/proc/self/fd/%d", c->place);
        if (slirp_add_unix(u->slirp, name, &address, port) == 0) {
            return c;
        }
        net_user_no_place(address, port, error);
    }
    net_guest_command_free(c);
    return NULL;
}
