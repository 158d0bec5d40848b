/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The launcher: a small process that starts other programs for this one, which itself may start none once it is in its
 * sandbox.  It is forked before there are threads and guest memory, holds no descriptor but its socket, and ends with
 * the process that forked it.  Where the sandbox is to have none (spawn=deny) a script of the start forks it when it is
 * needed, maybe with memory of the guest, and it has gone before the guest runs.
 *
 *   this process  --request: directory, arguments; descriptors 0, 1, 2 and a status socket-->  launcher
 *                 <-----------------status socket: errno of the start, then what waitpid() said--
 *
 * A command of the shell is a process group of its own, which the terminal does not reach.  When its status socket is
 * closed before it has ended, nobody wants it any more: the group gets SIGTERM.  A script of ours runs to its end.  The
 * launcher reaps what it starts.
 *
 * One thread, in both processes: here the main thread.  The socket and the launcher's pid are the process' (file-scope
 * state).
 */
#include "vmm/host-launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/error.h"

#define REQUEST_MAX 65536
#define REQUEST_FDS 4 /* 0, 1, 2, status */
#define LAUNCHER_FD 3
#define STREAMS     3
#define HOST_GIVEN  '+' /* of a stream; else it is /dev/null */
#define HOST_GROUP  'g' /* after these: a process group of its own */
#define HOST_MARKS  (STREAMS + 1)
#define DROP_PRIVILEGES '!'   /* such a message asks for no program */

static struct {
    int fd;         /* valid while pid is set */
    pid_t pid;      /* 0: there is none */
    bool forbidden, unprivileged;
} launcher;

/* ---- the launcher ---- */

typedef struct Child {
    pid_t pid;
    bool group;
    int status; /* socket; -1: nobody waits any more */
} Child;

static void tell(int fd, int value)
{
    (void)!send(fd, &value, sizeof(value), MSG_NOSIGNAL);
}

/* The signals that end this program are blocked in it, and must not be there; SIGPIPE may have been ignored. */
static int spawn(char **argv, const char *directory, const char *marks, const int fds[STREAMS], pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, pipe;
    short group = marks[STREAMS] == HOST_GROUP ? POSIX_SPAWN_SETPGROUP : 0;
    int err;

    sigemptyset(&none);
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &pipe);
    posix_spawnattr_setpgroup(&attr, 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, directory);
    for (int i = 0; i < STREAMS; i++) {
        if (marks[i] == HOST_GIVEN) {
            posix_spawn_file_actions_adddup2(&actions, fds[i], i);
        } /* else the launcher's, which is /dev/null */
    }
    err = posix_spawn(ret_pid, argv[0], &actions, &attr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return err;
}

/* Its strings: marks, the directory, the arguments. */
static void serve(GArray *children, char *text, size_t length, const int fds[REQUEST_FDS])
{
    const char *directory = text + HOST_MARKS + 1;
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    Child child = { .group = text[STREAMS] == HOST_GROUP, .status = fds[STREAMS] };
    int err;

    for (char *p = text + HOST_MARKS + 1 + strlen(directory) + 1; p < text + length; p += strlen(p) + 1) {
        g_ptr_array_add(argv, p);
    }
    g_ptr_array_add(argv, NULL);
    err = spawn((char **)argv->pdata, directory, text, fds, &child.pid);
    tell(child.status, err);
    if (err) {
        close(child.status);
    } else {
        g_array_append_val(children, child);
    }
}

static bool is_drop_request(const char *text, ssize_t n)
{
    return n == 1 && *text == DROP_PRIVILEGES;
}

/* False: the program is gone. */
static bool take_request(GArray *children)
{
    static char text[REQUEST_MAX + 1];
    union { struct cmsghdr head; char space[CMSG_SPACE(REQUEST_FDS * sizeof(int))]; } control;
    struct iovec iov = { text, REQUEST_MAX };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    ssize_t n = recvmsg(LAUNCHER_FD, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    int fds[REQUEST_FDS];

    if (is_drop_request(text, n)) {
        return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    }
    if (n <= 0 || !c || c->cmsg_len != CMSG_LEN(sizeof(fds))) {
        return n < 0 && errno == EINTR;
    }
    memcpy(fds, CMSG_DATA(c), sizeof(fds));
    text[n] = '\0';
    serve(children, text, (size_t)n, fds);
    for (int i = 0; i < STREAMS; i++) {
        close(fds[i]);
    }
    return true;
}

static void reap(GArray *children, int signals)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    (void)!read(signals, &info, sizeof(info));
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (guint i = 0; i < children->len; i++) {
            Child *child = &g_array_index(children, Child, i);

            if (child->pid == pid) {
                if (child->status >= 0) {
                    tell(child->status, status);
                    close(child->status);
                }
                g_array_remove_index_fast(children, i);
                break;
            }
        }
    }
}

static void give_up(Child *child)
{
    if (child->group) {
        kill(-child->pid, SIGTERM);
    }
    close(child->status);
    child->status = -1;
}

static void wait_and_serve(GArray *children, int signals)
{
    bool more = true;

    while (more) {
        g_autofree struct pollfd *fds = g_new0(struct pollfd, children->len + 2);
        guint n = children->len;

        fds[0] = (struct pollfd) { LAUNCHER_FD, POLLIN, 0 };
        fds[1] = (struct pollfd) { signals, POLLIN, 0 };
        for (guint i = 0; i < n; i++) {
            fds[i + 2] = (struct pollfd) { g_array_index(children, Child, i).status, 0, 0 };
        }
        if (poll(fds, n + 2, -1) < 0) {
            continue;
        }
        for (guint i = 0; i < n; i++) {
            if (fds[i + 2].revents) {
                give_up(&g_array_index(children, Child, i));
            }
        }
        if (fds[1].revents) {
            reap(children, signals);
        }
        more = !fds[0].revents || take_request(children);
    }
    for (guint i = 0; i < children->len; i++) {
        if (g_array_index(children, Child, i).status >= 0) {
            give_up(&g_array_index(children, Child, i));
        }
    }
}

/* Nothing of the program that forked it stays open: who waits for its end waits for that alone. */
static G_NORETURN void be_launcher(int fd)
{
    GArray *children = g_array_new(FALSE, FALSE, sizeof(Child));
    int null = open("/dev/null", O_RDWR);
    sigset_t all, child;

    for (int i = 0; i < STREAMS; i++) {
        dup2(null, i);
    }
    if (fd != LAUNCHER_FD) {
        dup2(fd, LAUNCHER_FD);
    }
    close_range(LAUNCHER_FD + 1, ~0u, 0);
    fcntl(LAUNCHER_FD, F_SETFD, FD_CLOEXEC);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    prctl(PR_SET_NAME, "lodge-launcher");
    (void)!chdir("/");
    wait_and_serve(children, signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
    _exit(0);
}

/* ---- this process ---- */

bool host_launcher_start(GError **error)
{
    int fds[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
        return error_set_errno(error, errno, "cannot make the launcher's socket");
    }
    pid = fork();
    if (pid == 0) {
        be_launcher(fds[1]);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return error_set_errno(error, errno, "cannot start the launcher");
    }
    launcher.fd = fds[0];
    launcher.pid = pid;
    if (launcher.unprivileged) {
        host_launcher_drop_privileges();
    }
    return true;
}

/* One that does not hear it has ended. */
void host_launcher_drop_privileges(void)
{
    launcher.unprivileged = true;
    if (launcher.pid) {
        (void)!send(launcher.fd, &(char) { DROP_PRIVILEGES }, 1, MSG_NOSIGNAL);
    }
}

void host_launcher_stop(void)
{
    if (launcher.pid) {
        close(launcher.fd);
        while (waitpid(launcher.pid, NULL, 0) < 0 && errno == EINTR) {
        }
        launcher.pid = 0;
    }
}

void host_launcher_forbid(void)
{
    host_launcher_stop();
    launcher.forbidden = true;
}

bool host_launcher_ready(GError **error)
{
    if (launcher.forbidden) {
        error_set(error, "the sandbox forbids to start programs");
        return error_hint(error, "Leave spawn=deny out of -sandbox, or give it spawn=allow if it is strict.");
    }
    return launcher.pid || host_launcher_start(error);
}

static bool send_request(const char *const *argv, bool group, const int fds[REQUEST_FDS], GError **error)
{
    union { struct cmsghdr head; char space[CMSG_SPACE(REQUEST_FDS * sizeof(int))]; } control = { 0 };
    g_autofree char *directory = g_get_current_dir();
    g_autoptr(GByteArray) text = g_byte_array_new();
    char marks[HOST_MARKS + 1] = "";
    int passed[REQUEST_FDS];
    struct iovec iov;
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                              .msg_controllen = sizeof(control) };

    for (int i = 0; i < REQUEST_FDS; i++) { /* where none is given any will do */
        passed[i] = fds[i] >= 0 ? fds[i] : fds[STREAMS];
        marks[i] = i == STREAMS && group ? HOST_GROUP : i < STREAMS && fds[i] >= 0 ? HOST_GIVEN : '-';
    }
    g_byte_array_append(text, (const uint8_t *)marks, sizeof(marks));
    g_byte_array_append(text, (const uint8_t *)directory, (guint)strlen(directory) + 1);
    for (; *argv; argv++) {
        g_byte_array_append(text, (const uint8_t *)*argv, (guint)strlen(*argv) + 1);
    }
    if (text->len > REQUEST_MAX) {
        return error_set(error, "it is longer than %d bytes", REQUEST_MAX);
    }
    control.head = (struct cmsghdr) { CMSG_LEN(REQUEST_FDS * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
    memcpy(CMSG_DATA(&control.head), passed, sizeof(passed));
    iov = (struct iovec) { text->data, text->len };
    if (sendmsg(launcher.fd, &message, MSG_NOSIGNAL) < 0) {
        error_set_errno(error, errno, "the launcher does not answer");
        return error_hint(error, "Somebody may have ended it; it is the child of this process.");
    }
    return true;
}

int host_launch(const char *const *argv, bool group, const int fds[3], GError **error)
{
    int status[2], err = EIO;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, status) < 0) {
        error_set_errno(error, errno, "cannot start '%s'", argv[0]);
        return -1;
    }
    if (!send_request(argv, group, (const int[REQUEST_FDS]) { fds[0], fds[1], fds[2], status[1] }, error)) {
        close(status[0]);
        close(status[1]);
        g_prefix_error(error, "cannot start '%s': ", argv[0]);
        return -1;
    }
    close(status[1]);
    while (recv(status[0], &err, sizeof(err), MSG_WAITALL) < 0 && errno == EINTR) {
    }
    if (err) {
        close(status[0]);
        error_set_errno(error, err, "cannot start '%s'", argv[0]);
        return -1;
    }
    return status[0];
}
