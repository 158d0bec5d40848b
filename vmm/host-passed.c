/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that were passed: inherited, which options and commands name by number, or given to a monitor (getfd).
 *
 * A number counts only as long as it is the file that the process was started with: a monitor's client who is wrong
 * about one would else get hold of what is the process's own, the socket of another client for one.
 *
 * Locking: none; main thread.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"

typedef struct Inherited {
    int fd;
    dev_t dev;
    ino_t ino;
} Inherited;

static GArray *inherited;     /* NULL: not known, and any number will do */
static GHashTable *named_fds; /* the monitor client's whose command runs */

/* ---- inherited ---- */

static void take_stock(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;

    if (!dir) {
        return;
    }
    inherited = g_array_new(FALSE, FALSE, sizeof(Inherited));
    while ((entry = readdir(dir))) {
        int fd = atoi(entry->d_name);
        struct stat st;

        if (g_ascii_isdigit(entry->d_name[0]) && fd != dirfd(dir) && fstat(fd, &st) == 0) {
            g_array_append_val(inherited, ((Inherited) { fd, st.st_dev, st.st_ino }));
        }
    }
    closedir(dir);
}

static void fill_standard_streams(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR); /* the lowest that is free */
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

void host_inherit(void)
{
    take_stock();
    fill_standard_streams();
}

static bool is_inherited(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return false;
    }
    for (guint i = 0; inherited && i < inherited->len; i++) {
        const Inherited *of = &g_array_index(inherited, Inherited, i);

        if (of->fd == fd) {
            return of->dev == st.st_dev && of->ino == st.st_ino;
        }
    }
    return !inherited;
}

/* ---- given by name ---- */

void host_set_named_fds(GHashTable *names)
{
    named_fds = names;
}

/* What the table owns becomes the caller's. */
static int take_named_fd(const char *name, GError **error)
{
    gpointer key, fd;

    if (!named_fds || !g_hash_table_steal_extended(named_fds, name, &key, &fd)) {
        error_set(error, "'%s' is neither the number nor the name of a file descriptor", name);
        error_hint(error, "A monitor client gives a name by getfd, and uses it in the same session.");
        return -1;
    }
    g_free(key);
    return GPOINTER_TO_INT(fd);
}

int host_passed_fd(const char *text, GError **error)
{
    guint64 fd;

    if (!g_ascii_isdigit(text[0])) {
        return take_named_fd(text, error);
    }
    if (!g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT, &fd, NULL)) {
        error_set(error, "'%s' is not the number of a file descriptor", text);
        return -1;
    }
    if (!is_inherited((int)fd)) {
        error_set(error, "file descriptor %s is not open, or was not passed to lodge", text);
        error_hint(error, "It must be open, and inherited, when lodge is started; a monitor client gives one by getfd.");
        return -1;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return fd;
}
