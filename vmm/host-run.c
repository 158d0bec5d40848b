/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Other programs.  They get this process' standard streams and environment, and no other descriptor.
 */
#include "vmm/host.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/sandbox.h"

static bool may_run(const char *program, GError **error)
{
    if (sandbox_entered() && !sandbox_permits_spawn()) {
        error_set(error, "'%s' cannot be started from the sandbox", program);
        return error_hint(error, "Use -sandbox on,spawn=allow.");
    }
    return true;
}

/* The signals that end this process are blocked in it, and must not be there. */
static int start(const char *const *argv, pid_t *ret_pid)
{
    posix_spawnattr_t attr;
    sigset_t none;
    int err;

    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
    err = posix_spawn(ret_pid, argv[0], NULL, &attr, (char *const *)argv, environ);
    posix_spawnattr_destroy(&attr);
    return err;
}

bool host_run(const char *const *argv, GError **error)
{
    pid_t pid, got;
    int err, status;

    if (!may_run(argv[0], error)) {
        return false;
    }
    err = start(argv, &pid);
    if (err) {
        return error_set_errno(error, err, "cannot start '%s'", argv[0]);
    }
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return error_set_errno(error, errno, "cannot wait for '%s'", argv[0]);
    }
    if (WIFSIGNALED(status)) {
        return error_set(error, "'%s' ended by signal %d", argv[0], WTERMSIG(status));
    }
    return WEXITSTATUS(status) == 0 || error_set(error, "'%s' failed with status %d", argv[0], WEXITSTATUS(status));
}
