/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/cgroup.h.
 */
#include "tools/lodgectl/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tools/lodgectl/process.h"
#include "vmm/error.h"

#define SCOPE_PREFIX "lodge-"
#define SCOPE_SUFFIX ".scope"

struct Cgroup {
    char *folder; /* of the whole; it may not be there yet */
    pid_t pid;
};

/* ---- files ---- */

static char *read_in(const char *folder, const char *file)
{
    g_autofree char *path = g_build_filename(folder, file, NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_strchomp(text) : NULL;
}

static bool write_in(const char *folder, const char *file, const char *text, GError **error)
{
    g_autofree char *path = g_build_filename(folder, file, NULL);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int err = errno;

    if (fd >= 0) {
        close(fd);
    }
    return ok || error_set_errno(error, err, "Cannot write '%s' to '%s'", text, path);
}

static bool has_word(const char *text, const char *word)
{
    g_auto(GStrv) words = g_strsplit_set(text ? text : "", " \n", -1);

    return g_strv_contains((const char *const *)words, word);
}

/* ---- finding ---- */

/* Where version 2 is mounted, the caller's; NULL: nowhere. */
static char *find_mount(void)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL)) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) words = g_strsplit(*line, " ", -1);

        if (strstr(*line, " - cgroup2 ") && g_strv_length(words) > 4) {
            return g_strcompress(words[4]); /* spaces are written as \040 */
        }
    }
    return NULL;
}

static char *find_process(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cgroup", pid);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, "0::/")) {
            return g_strdup(*line + strlen("0::"));
        }
    }
    return NULL;
}

/* systemd marks what it has delegated; others go by whose it is. */
static bool is_delegated(const char *folder, bool all_is_ours)
{
    char mark[2] = "";
    struct stat st;

    if (all_is_ours || getxattr(folder, "user.delegate", mark, 1) == 1 ||
        getxattr(folder, "trusted.delegate", mark, 1) == 1) {
        return all_is_ours || mark[0] == '1';
    }
    return geteuid() != 0 && stat(folder, &st) == 0 && st.st_uid == geteuid();
}

/* Is it there, and nobody but it and what it has started, such as its launcher?  We may be, who start it in a unit. */
static bool is_alone(const char *folder, pid_t pid)
{
    g_autofree char *text = read_in(folder, "cgroup.procs");
    g_auto(GStrv) procs = g_strsplit(text ? text : "", "\n", -1);
    bool there = false;

    for (char **one = procs; *one; one++) {
        pid_t other = (pid_t)g_ascii_strtoll(*one, NULL, 10);

        if (other != getpid() && !process_belongs_to(other, pid)) {
            return false;
        }
        there = there || other == pid;
    }
    return there;
}

/* Can groups below it have shares?  A group with processes of its own cannot be divided, but for the root. */
static bool can_divide(const char *folder, const char *mount)
{
    g_autofree char *enabled = read_in(folder, "cgroup.subtree_control");
    g_autofree char *procs = read_in(folder, "cgroup.procs");

    return has_word(enabled, "cpu") || (procs && !*procs) || g_str_equal(folder, mount);
}

static char *scope_name(pid_t pid)
{
    return g_strdup_printf(SCOPE_PREFIX "%d" SCOPE_SUFFIX, pid);
}

/* The group that we have made before; the main thread may be in a part of it. */
static char *own_scope(const char *mount, const char *process, pid_t pid)
{
    g_autofree char *scope = scope_name(pid);
    g_auto(GStrv) names = g_strsplit(process, "/", -1);
    guint n = g_strv_length(names);

    for (guint i = n; i > 0 && i + 2 > n; i--) {
        if (g_str_equal(names[i - 1], scope)) {
            g_autofree char *path = NULL;

            g_clear_pointer(&names[i], g_free); /* what follows is a part */
            path = g_strjoinv("/", names);
            return g_build_filename(mount, path, NULL);
        }
    }
    return NULL;
}

/* The caller's; NULL: *error. */
static char *choose_folder(const char *mount, const char *process, pid_t pid, bool all_is_ours, GError **error)
{
    g_autofree char *folder = g_build_filename(mount, process, NULL);
    g_autofree char *controllers = read_in(mount, "cgroup.controllers");
    g_autofree char *scope = scope_name(pid);

    if (!has_word(controllers, "cpu")) {
        error_set(error, "cgroup v2 has no cpu controller on this host");
        return NULL;
    }
    g_strchomp(folder);
    while (strlen(folder) > 1 && folder[strlen(folder) - 1] == '/') {
        folder[strlen(folder) - 1] = '\0';
    }
    for (;;) {
        g_autofree char *here = read_in(folder, "cgroup.controllers");
        bool usable = is_delegated(folder, all_is_ours) && has_word(here, "cpu") && access(folder, W_OK) == 0;

        if (usable && is_alone(folder, pid) && !g_str_equal(folder, mount)) {
            return g_steal_pointer(&folder);
        }
        if (usable && can_divide(folder, mount)) {
            return g_build_filename(folder, scope, NULL);
        }
        if (strlen(folder) <= strlen(mount)) {
            error_set(error, "no group of cgroup v2 that holds the domain is delegated to this user with the cpu "
                             "controller");
            return NULL;
        }
        *strrchr(folder, '/') = '\0';
    }
}

Cgroup *cgroup_open_in(const char *mount, const char *process, pid_t pid, bool all_is_ours, GError **error)
{
    char *folder;
    Cgroup *c;

    if (g_str_has_prefix(process, "/..")) {
        error_set(error, "the domain is outside of this cgroup namespace");
        return NULL;
    }
    folder = own_scope(mount, process, pid);
    if (!folder) {
        folder = choose_folder(mount, process, pid, all_is_ours, error);
    }
    if (!folder) {
        return NULL;
    }
    c = g_new(Cgroup, 1);
    *c = (Cgroup) { folder, pid };
    return c;
}

Cgroup *cgroup_open(pid_t pid, GError **error)
{
    g_autofree char *mount = find_mount();
    g_autofree char *process = mount ? find_process(pid) : NULL;
    bool no_systemd = !g_file_test("/run/systemd/system", G_FILE_TEST_IS_DIR);

    if (!process) {
        error_set(error, "cgroup v2 is not mounted");
        return NULL;
    }
    return cgroup_open_in(mount, process, pid, geteuid() == 0 && no_systemd, error);
}

void cgroup_free(Cgroup *c)
{
    if (c) {
        g_free(c->folder);
        g_free(c);
    }
}

const char *cgroup_folder(const Cgroup *c)
{
    return c->folder;
}

/* ---- values ---- */

char *cgroup_get(const Cgroup *c, const char *part, const char *file)
{
    g_autofree char *folder = g_build_filename(c->folder, part, NULL); /* part NULL ends the list */

    return read_in(folder, file);
}

/* Groups of domains that have ended: a group that has no process any more can be removed, others refuse it. */
static void remove_stale(const char *above)
{
    g_autoptr(GDir) dir = g_dir_open(above, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *scope = g_build_filename(above, name, NULL);
        g_autoptr(GDir) parts = NULL;
        const char *part;

        if (!g_str_has_prefix(name, SCOPE_PREFIX) || !g_str_has_suffix(name, SCOPE_SUFFIX)) {
            continue;
        }
        parts = g_dir_open(scope, 0, NULL);
        while (parts && (part = g_dir_read_name(parts))) {
            g_autofree char *path = g_build_filename(scope, part, NULL);

            if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
                rmdir(path);
            }
        }
        rmdir(scope);
    }
}

/* The whole: made, with the process in it. */
static bool ensure_whole(const Cgroup *c, GError **error)
{
    g_autofree char *above = g_path_get_dirname(c->folder);
    g_autofree char *pid = g_strdup_printf("%d", c->pid);
    g_autofree char *enabled = NULL;

    if (g_file_test(c->folder, G_FILE_TEST_IS_DIR)) {
        return true;
    }
    remove_stale(above);
    enabled = read_in(above, "cgroup.subtree_control");
    if (!has_word(enabled, "cpu") && !write_in(above, "cgroup.subtree_control", "+cpu", error)) {
        return false;
    }
    if (mkdir(c->folder, 0755) < 0) {
        return error_set_errno(error, errno, "Cannot make the group '%s'", c->folder);
    }
    if (!write_in(c->folder, "cgroup.procs", pid, error)) {
        rmdir(c->folder);
        return false;
    }
    return true;
}

bool cgroup_set(Cgroup *c, const char *file, const char *value, GError **error)
{
    return ensure_whole(c, error) && write_in(c->folder, file, value, error);
}

/* A group of threads; with the first of them, the whole becomes the root of a threaded tree. */
static bool ensure_part(const Cgroup *c, const char *folder, GError **error)
{
    g_autofree char *enabled = NULL;

    if (!g_file_test(folder, G_FILE_TEST_IS_DIR)) {
        if (mkdir(folder, 0755) < 0) {
            return error_set_errno(error, errno, "Cannot make the group '%s'", folder);
        }
        if (!write_in(folder, "cgroup.type", "threaded", error)) {
            rmdir(folder);
            return false;
        }
    }
    enabled = read_in(c->folder, "cgroup.subtree_control");
    return has_word(enabled, "cpu") || write_in(c->folder, "cgroup.subtree_control", "+cpu", error);
}

/* A thread may end while it is looked at. */
static bool task_exists(pid_t pid, const char *tid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%s", pid, tid);

    return g_file_test(path, G_FILE_TEST_IS_DIR);
}

bool cgroup_set_part(Cgroup *c, const char *part, const GArray *tids, const char *file, const char *value,
                     GError **error)
{
    g_autofree char *folder = g_build_filename(c->folder, part, NULL);

    if (!ensure_whole(c, error) || !ensure_part(c, folder, error) || !write_in(folder, file, value, error)) {
        return false;
    }
    for (guint i = 0; i < tids->len; i++) {
        g_autofree char *tid = g_strdup_printf("%d", g_array_index(tids, pid_t, i));
        g_autoptr(GError) wrong = NULL;

        if (!write_in(folder, "cgroup.threads", tid, &wrong) && task_exists(c->pid, tid)) {
            g_propagate_error(error, g_steal_pointer(&wrong));
            return false;
        }
    }
    return true;
}
