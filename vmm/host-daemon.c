/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process and its surroundings: standard streams, -daemonize and -pidfile.  Main
 * thread; daemonize comes before any other thread, loop or accelerator exists, since
 * fork() copies none of them.
 */
#include "vmm/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host-internal.h"
#include "vmm/host-launcher.h"

static int ready_fd = -1;   /* the waiting parent's pipe; -1: not daemonizing */
static char *pidfile;       /* absolute; NULL: none */
static int pidfile_fd = -1; /* keeps the lock */
static pid_t pidfile_owner;

/* The parent: it ends when the child is ready, or as the child ended. */
static void wait_for_child(int fd, pid_t child)
{
    char byte;
    ssize_t n;
    int status;

    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1) {
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            _exit(1);
        }
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

bool host_daemonize(GError **error)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return error_set_errno(error, errno, "cannot go to the background");
    }
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        int err = errno;

        close(fds[0]);
        close(fds[1]);
        return error_set_errno(error, err, "cannot go to the background");
    }
    if (pid > 0) {
        close(fds[1]);
        wait_for_child(fds[0], pid);
    }
    close(fds[0]);
    ready_fd = fds[1];
    setsid();
    return true;
}

void host_daemonize_done(int log_fd)
{
    int null;
    ssize_t n;

    if (ready_fd < 0) {
        return;
    }
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(log_fd >= 0 ? log_fd : null, STDERR_FILENO); /* libraries, and what aborts, write there */
        if (null > STDERR_FILENO) {
            close(null);
        }
    }
    n = chdir("/"); /* a daemon should not pin the directory it was started in; it may */
    do {
        n = write(ready_fd, "", 1);
    } while (n < 0 && errno == EINTR);
    close(ready_fd);
    ready_fd = -1;
}

/* The lock is on the file that has the name: one that is being removed is tried again. */
static int open_pidfile(const char *path, GError **error)
{
    for (;;) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        struct stat opened, named;
        char text[32] = "";
        int fd = host_open(path, O_RDWR | O_CREAT, 0644, error);

        if (fd < 0) {
            return -1;
        }
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
            int err = errno;

            if ((err == EAGAIN || err == EACCES) && pread(fd, text, sizeof(text) - 1, 0) > 0) {
                error_set(error, "the pid file '%s' belongs to process %s, which runs", path, g_strstrip(text));
                error_hint(error, "Choose another -pidfile.");
            } else {
                error_set_errno(error, err, "cannot lock the pid file '%s'", path);
            }
            close(fd);
            return -1;
        }
        if (fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino
            && opened.st_dev == named.st_dev) {
            return fd;
        }
        close(fd);
    }
}

bool host_write_pidfile(const char *path, GError **error)
{
    g_autofree char *text = g_strdup_printf("%d\n", getpid());
    int fd = open_pidfile(path, error);

    if (fd < 0) {
        return false;
    }
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text)) {
        int err = errno;

        close(fd);
        return error_set_errno(error, err, "cannot write the pid file '%s'", path);
    }
    pidfile = g_canonicalize_filename(path, NULL);
    pidfile_fd = fd;
    pidfile_owner = getpid();
    return true;
}

void host_cleanup(void)
{
    if (pidfile && pidfile_owner == getpid()) {
        unlink(pidfile);
    }
    g_clear_pointer(&pidfile, g_free);
    if (pidfile_fd >= 0) {
        close(pidfile_fd);
        pidfile_fd = -1;
    }
    host_fdsets_free();
    host_launcher_stop();
}
