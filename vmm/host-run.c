/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other programs, run by the launcher (vmm/host-launcher.h).  They get this process' environment and, but for what is
 * given to them, standard streams, and no other descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host-launcher.h"
#include "vmm/host.h"

#define NOT_FOUND 127 /* of a shell */
#define SAID_MAX  1024 /* bytes of what a program says that are kept */

struct HostCommand {
    char *name;
    int fd; /* tells its end */
    bool ended;
    int status;
};

static int launch(const char *const *argv, bool group, const int streams[3], GError **error)
{
    if (!host_launcher_ready(error)) {
        g_prefix_error(error, "cannot start '%s': ", argv[0]);
        return -1;
    }
    return host_launch(argv, group, streams, error);
}

static bool judge(const char *name, int status, GError **error)
{
    if (WIFSIGNALED(status)) {
        return error_set(error, "'%s' ended by signal %d", name, WTERMSIG(status));
    }
    if (WEXITSTATUS(status) == NOT_FOUND) {
        return error_set(error, "'%s' failed with status %d: there is no such program", name, NOT_FOUND);
    }
    return WEXITSTATUS(status) == 0 || error_set(error, "'%s' failed with status %d", name, WEXITSTATUS(status));
}

static bool take_status(const char *name, int fd, int *ret_status, GError **error)
{
    ssize_t n;

    do {
        n = recv(fd, ret_status, sizeof(*ret_status), MSG_WAITALL);
    } while (n < 0 && errno == EINTR);
    return n == sizeof(*ret_status) || error_set(error, "nobody knows how '%s' ended: its launcher is gone", name);
}

/* To its end; fd: launch()'s, which may have failed. */
static bool await(const char *name, int fd, GError **error)
{
    int status;
    bool ok = fd >= 0 && take_status(name, fd, &status, error) && judge(name, status, error);

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

bool host_run(const char *const *argv, GError **error)
{
    const int streams[3] = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO };

    return await(argv[0], launch(argv, false, streams, error), error);
}

/* To its end; what is beyond SAID_MAX is not kept. */
static char *read_said(int fd)
{
    GString *said = g_string_new(NULL);
    char bytes[512];
    ssize_t n;

    while ((n = read(fd, bytes, sizeof(bytes))) > 0 || (n < 0 && errno == EINTR)) {
        g_string_append_len(said, bytes, MIN(n > 0 ? n : 0, SAID_MAX - (ssize_t)said->len));
    }
    g_strstrip(g_strdelimit(said->str, "\r\n", ' '));
    return g_string_free(said, FALSE);
}

bool host_run_with(const char *const *argv, int input, char **ret_said, GError **error)
{
    int ends[2], fd;

    *ret_said = NULL;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return error_set_errno(error, errno, "cannot make a pipe");
    }
    fd = launch(argv, false, (const int[]) { input, STDOUT_FILENO, ends[1] }, error);
    close(ends[1]);
    *ret_said = fd < 0 ? NULL : read_said(ends[0]);
    close(ends[0]);
    return await(argv[0], fd, error);
}

/* ---- commands of the shell ---- */

HostCommand *host_command_start(const char *text, bool reads, int *ret_fd, GError **error)
{
    const char *argv[] = { "/bin/sh", "-c", text, NULL };
    HostCommand *command;
    int pipe[2], status;

    if (pipe2(pipe, O_CLOEXEC) < 0) {
        error_set_errno(error, errno, "cannot start '%s'", text);
        return NULL;
    }
    status = launch(argv, true, (const int[]) { reads ? pipe[0] : -1, reads ? -1 : pipe[1], STDERR_FILENO }, error);
    close(pipe[reads ? 0 : 1]);
    if (status < 0) {
        close(pipe[reads ? 1 : 0]);
        return NULL;
    }
    *ret_fd = pipe[reads ? 1 : 0];
    command = g_new(HostCommand, 1);
    *command = (HostCommand) { g_strdup(text), status, false, 0 };
    return command;
}

bool host_command_wait(const HostCommand *command, int cancel_fd, int timeout_ms)
{
    struct pollfd fds[2] = { { command->fd, POLLIN, 0 }, { cancel_fd, POLLIN, 0 } };

    if (command->ended) {
        return true;
    }
    while (poll(fds, 2, timeout_ms) < 0 && errno == EINTR) {
    }
    return fds[0].revents != 0;
}

bool host_command_result(HostCommand *command, GError **error)
{
    command->ended = command->ended || take_status(command->name, command->fd, &command->status, error);
    return command->ended && judge(command->name, command->status, error);
}

void host_command_free(HostCommand *command)
{
    if (command) {
        close(command->fd);
        g_free(command->name);
        g_free(command);
    }
}
