/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other programs.  They get this process' standard streams and environment, and no other descriptor but one
 * that is meant for them.
 */
#include "vmm/host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/sandbox.h"

#define SAID_MAX 1024 /* bytes of what a program says that are kept */

static bool may_run(const char *program, GError **error)
{
    if (sandbox_entered() && !sandbox_permits_spawn()) {
        error_set(error, "'%s' cannot be started from the sandbox", program);
        return error_hint(error, "Use -sandbox on,spawn=allow.");
    }
    return true;
}

/* The signals that end this process are blocked in it, and must not be there.  fd keeps its number and err becomes
 * standard error; each -1: none. */
static int start(const char *const *argv, int fd, int err, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    int failure;

    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_init(&actions);
    if (fd >= 0) {
        posix_spawn_file_actions_adddup2(&actions, fd, fd); /* there it is not close-on-exec */
    }
    if (err >= 0) {
        posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
    }
    failure = posix_spawn(ret_pid, argv[0], &actions, &attr, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return failure;
}

static bool wait_for(pid_t pid, const char *program, GError **error)
{
    int status;
    pid_t got;

    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return error_set_errno(error, errno, "cannot wait for '%s'", program);
    }
    if (WIFSIGNALED(status)) {
        return error_set(error, "'%s' ended by signal %d", program, WTERMSIG(status));
    }
    return WEXITSTATUS(status) == 0 || error_set(error, "'%s' failed with status %d", program, WEXITSTATUS(status));
}

bool host_run(const char *const *argv, GError **error)
{
    pid_t pid;
    int err;

    if (!may_run(argv[0], error)) {
        return false;
    }
    err = start(argv, -1, -1, &pid);
    return err ? error_set_errno(error, err, "cannot start '%s'", argv[0]) : wait_for(pid, argv[0], error);
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

bool host_run_with(const char *const *argv, int fd, char **ret_said, GError **error)
{
    int ends[2], err;
    pid_t pid;

    *ret_said = NULL;
    if (!may_run(argv[0], error)) {
        return false;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return error_set_errno(error, errno, "cannot make a pipe");
    }
    err = start(argv, fd, ends[1], &pid);
    close(ends[1]);
    *ret_said = err ? NULL : read_said(ends[0]);
    close(ends[0]);
    return err ? error_set_errno(error, err, "cannot start '%s'", argv[0]) : wait_for(pid, argv[0], error);
}
