/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's files: opening, whole files, descriptor sets, locks on images.
 * Descriptors that were passed are in host-passed.c, sockets in host-socket.c, the background process in host-daemon.c.
 *
 * The descriptor sets are filled by the main thread and read by any: `mutex`.
 */
#include "vmm/host.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host-internal.h"
#include "vmm/sandbox.h"

#define FDSET_PREFIX "/dev/fdset/"

typedef struct FdsetEntry {
    unsigned set;
    int fd;
    char *opaque;
    bool of_client; /* it was given while there was one */
    bool opened; /* some of its set was */
} FdsetEntry;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static GArray *fdset_entries; /* FdsetEntry; under mutex; NULL: none were given */
static unsigned clients;      /* of monitors; main thread */

/* ---- descriptor sets ---- */

bool host_fdset_add(unsigned set, int fd, const char *opaque, GError **error)
{
    FdsetEntry entry = { set, fd, g_strdup(opaque), clients > 0, false };

    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        g_free(entry.opaque);
        return error_set_errno(error, errno, "file descriptor %d cannot be added to set %u", fd, set);
    }
    pthread_mutex_lock(&mutex);
    if (!fdset_entries) {
        fdset_entries = g_array_new(FALSE, FALSE, sizeof(FdsetEntry));
    }
    g_array_append_val(fdset_entries, entry);
    pthread_mutex_unlock(&mutex);
    return true;
}

void host_fdset_each(HostFdFn fn, void *opaque)
{
    for (unsigned i = 0; fdset_entries && i < fdset_entries->len; i++) {
        const FdsetEntry *e = &g_array_index(fdset_entries, FdsetEntry, i);

        fn(e->set, e->fd, e->opaque, opaque);
    }
}

static bool has_set(unsigned set)
{
    for (unsigned i = 0; fdset_entries && i < fdset_entries->len; i++) {
        if (g_array_index(fdset_entries, FdsetEntry, i).set == set) {
            return true;
        }
    }
    return false;
}

unsigned host_fdset_next(void)
{
    unsigned set = 0;

    while (has_set(set)) {
        set++;
    }
    return set;
}

static void remove_entry(unsigned i)
{
    const FdsetEntry *e = &g_array_index(fdset_entries, FdsetEntry, i);

    close(e->fd);
    g_free(e->opaque);
    g_array_remove_index(fdset_entries, i);
}

void host_fdset_client_came(void)
{
    clients++;
}

void host_fdset_client_left(bool tidy)
{
    if (--clients || !tidy) {
        return;
    }
    pthread_mutex_lock(&mutex);
    for (unsigned i = fdset_entries ? fdset_entries->len : 0; i > 0; i--) {
        const FdsetEntry *e = &g_array_index(fdset_entries, FdsetEntry, i - 1);

        if (e->of_client && !e->opened) {
            remove_entry(i - 1);
        }
    }
    pthread_mutex_unlock(&mutex);
}

bool host_fdset_remove(unsigned set, int fd, GError **error)
{
    bool found = false;

    pthread_mutex_lock(&mutex);
    for (unsigned i = fdset_entries ? fdset_entries->len : 0; i > 0; i--) {
        const FdsetEntry *e = &g_array_index(fdset_entries, FdsetEntry, i - 1);

        if (e->set == set && (fd < 0 || e->fd == fd)) {
            remove_entry(i - 1);
            found = true;
        }
    }
    pthread_mutex_unlock(&mutex);
    if (found) {
        return true;
    }
    return fd < 0 ? error_set(error, "there is no descriptor set %u", set)
                  : error_set(error, "there is no descriptor %d in set %u", fd, set);
}

void host_fdsets_free(void)
{
    for (unsigned i = 0; fdset_entries && i < fdset_entries->len; i++) {
        const FdsetEntry *e = &g_array_index(fdset_entries, FdsetEntry, i);

        close(e->fd);
        g_free(e->opaque);
    }
    g_clear_pointer(&fdset_entries, g_array_unref);
}

/* -1: no such set; -2: none of its descriptors serves this mode.  One of just this mode comes first. */
static int find_in_set(unsigned set, int mode)
{
    int found = -1;

    for (unsigned i = 0; fdset_entries && i < fdset_entries->len; i++) {
        const FdsetEntry *e = &g_array_index(fdset_entries, FdsetEntry, i);
        int flags = e->set == set ? fcntl(e->fd, F_GETFL) : -1;

        if (e->set == set && flags >= 0 && (flags & O_ACCMODE) == mode) {
            return e->fd;
        }
        if (e->set == set && found < 0) {
            found = flags >= 0 && (flags & O_ACCMODE) == O_RDWR ? e->fd : -2;
        }
    }
    return found;
}

static void mark_opened(unsigned set)
{
    for (unsigned i = 0; i < fdset_entries->len; i++) {
        FdsetEntry *e = &g_array_index(fdset_entries, FdsetEntry, i);

        e->opened |= e->set == set;
    }
}

static const char *mode_name(int mode)
{
    return mode == O_RDONLY ? "reading" : mode == O_WRONLY ? "writing" : "reading and writing";
}

static int open_from_set(const char *path, int flags, GError **error)
{
    guint64 set;
    int fd;

    if (!g_ascii_string_to_unsigned(path + strlen(FDSET_PREFIX), 10, 0, G_MAXUINT, &set, NULL)) {
        error_set(error, "'%s' does not name a descriptor set by number", path);
        return -1;
    }
    pthread_mutex_lock(&mutex);
    fd = find_in_set(set, flags & O_ACCMODE);
    if (fd >= 0) {
        mark_opened((unsigned)set);
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            error_set_errno(error, errno, "cannot duplicate the descriptor of '%s'", path);
        }
    } else if (fd == -1) {
        error_set(error, "there is no descriptor set '%s'", path);
        error_hint(error, "Pass descriptors with -add-fd fd=N,set=%" G_GUINT64_FORMAT ".", set);
    } else {
        error_set(error, "descriptor set '%s' has no descriptor open for %s", path, mode_name(flags & O_ACCMODE));
    }
    pthread_mutex_unlock(&mutex);
    return fd < 0 ? -1 : fd;
}

/* ---- files ---- */

static void hint_for(GError **error, int err, int flags)
{
    switch (err) {
    case ENOENT:
        error_hint(error, flags & O_CREAT ? "Make its folder first, or check the path." : "Check the path.");
        break;
    case EACCES:
    case EPERM:
        error_hint(error, "Check that this user may open it for %s.", mode_name(flags & O_ACCMODE));
        break;
    case EROFS:
        error_hint(error, "Its file system is read-only.");
        break;
    case EMFILE:
        error_hint(error, "Raise the limit on open files (ulimit -n).");
        break;
    case ETXTBSY:
        error_hint(error, "It is a program that is running.");
        break;
    default:
        break;
    }
}

/* O_NOCTTY: a daemon leads its session, and must not get a terminal by opening one. */
int host_open(const char *path, int flags, mode_t mode, GError **error)
{
    int fd;

    if (g_str_has_prefix(path, FDSET_PREFIX)) {
        return open_from_set(path, flags, error);
    }
    if (!sandbox_check_opening(path, error)) {
        errno = EPERM;
        return -1;
    }
    do {
        fd = open(path, flags | O_CLOEXEC | O_NOCTTY, mode);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        int err = errno;

        error_set_errno(error, err, "cannot open '%s'", path);
        hint_for(error, err, flags);
    }
    return fd;
}

bool host_read_file(const char *path, uint64_t max, uint8_t **ret_data, size_t *ret_length, GError **error)
{
    int fd = host_open(path, O_RDONLY, 0, error);
    g_autofree uint8_t *data = NULL;
    struct stat st;
    size_t length = 0, size;
    ssize_t n = 1;
    bool ok = false;

    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &st) < 0) {
        error_set_errno(error, errno, "cannot look at '%s'", path);
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        error_set(error, "'%s' is a directory, a file is needed", path);
        goto out;
    }
    /* Pipes and /proc have no size: there the buffer grows as they give.  One byte over says "too big". */
    size = S_ISREG(st.st_mode) && st.st_size > 0 ? (uint64_t)st.st_size + 1 : 65536;
    size = MIN(size, max + 1);
    data = g_try_malloc(size);
    while (data && n > 0 && length <= max) {
        if (length == size) {
            size = MIN(2 * size, max + 1);
            data = g_try_realloc(data, size);
            continue;
        }
        n = read(fd, data + length, size - length);
        if (n < 0 && errno == EINTR) {
            n = 1;
        } else if (n > 0) {
            length += n;
        }
    }
    if (!data) {
        error_set(error, "there is no memory for '%s'", path);
    } else if (n < 0) {
        error_set_errno(error, errno, "cannot read '%s'", path);
    } else if (length > max) {
        error_set(error, "'%s' is larger than %" G_GUINT64_FORMAT " bytes", path, max);
    } else {
        *ret_data = g_steal_pointer(&data);
        *ret_length = length;
        ok = true;
    }
out:
    close(fd);
    return ok;
}

int host_write_all(int fd, const void *data, size_t length)
{
    const char *at = data;

    while (length) {
        ssize_t n = write(fd, at, length);

        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        at += MAX(n, 0);
        length -= (size_t)MAX(n, 0);
    }
    return 0;
}

bool host_write_file(const char *path, const void *data, size_t length, mode_t mode, GError **error)
{
    int fd = host_open(path, O_WRONLY | O_CREAT | O_TRUNC, mode, error);
    int err;

    if (fd < 0) {
        return false;
    }
    err = host_write_all(fd, data, length);
    if (close(fd) < 0 && !err) {
        err = errno;
    }
    return !err || error_set_errno(error, err, "cannot write '%s'", path);
}

int host_memfd(const char *name, unsigned flags, GError **error)
{
    int fd = memfd_create(name, flags | MFD_CLOEXEC);

    if (fd < 0) {
        error_set_errno(error, errno, "cannot make a memory file for '%s'", name);
    }
    return fd;
}
