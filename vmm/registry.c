/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/registry.h.  This is the domain's side; registry-read.c is the reader's.
 *
 * Whoever makes or removes an entry holds ROOT/.lock, so of two starters one is first, and a
 * domain that ends never removes what its successor has made.  The lock is held for some
 * system calls only; who cannot get it in LOCK_PATIENCE_MS goes on unlisted, or leaves a dead
 * entry behind.
 */
#include "vmm/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/registry-internal.h"

#define LOCK_PATIENCE_MS 2000
#define UUID_PREFIX ".uuid-"

struct Registry {
    char *name;
    char *uuid_link; /* NULL: none */
    char *trouble;   /* what the host said; NULL: errno has it */
    int root_fd, root_lock_fd, fd, lock_fd, listener;
};

/* Whatever may be in an entry, `lock` last. */
static const char *const entry_files[] = {
    REGISTRY_CONTROL, REGISTRY_CONSOLE, REGISTRY_CONSOLE_LOCK, REGISTRY_DEFINITION, "uuid", "id", "pid", "lock"
};

/* ---- locks ---- */

static int lock_file(int fd, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? errno : 0;
}

static int lock_root(int fd)
{
    int err = lock_file(fd, F_WRLCK);

    for (unsigned ms = 0; (err == EAGAIN || err == EACCES) && ms < LOCK_PATIENCE_MS; ms++) {
        g_usleep(1000);
        err = lock_file(fd, F_WRLCK);
    }
    return err;
}

/* ---- small files ---- */

static bool write_line(int folder, const char *name, const char *text)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    g_autofree char *line = g_strconcat(text, "\n", NULL);
    size_t length = strlen(line);
    bool ok = fd >= 0 && write(fd, line, length) == (ssize_t)length;

    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static bool write_number(int folder, const char *name, unsigned n)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", n);
    return write_line(folder, name, text);
}

/* ---- opening ---- */

/* Ours, and nobody else writes there; errno says what it is otherwise. */
static bool is_private(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return false;
    }
    errno = EPERM;
    return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* A folder of ours, made if need be.  -1: errno. */
static int open_folder(int at, const char *path, bool *ret_made)
{
    int err, fd;

    *ret_made = mkdirat(at, path, 0700) == 0;
    if (!*ret_made && errno != EEXIST) {
        return -1;
    }
    fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && !is_private(fd)) {
        err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static bool open_root(Registry *r, const char *root)
{
    g_autofree char *above = g_path_get_dirname(root);
    int err;
    bool made;

    g_mkdir_with_parents(above, 0700); /* a cache that nobody has used yet */
    r->root_fd = open_folder(AT_FDCWD, root, &made);
    if (r->root_fd < 0) {
        return false;
    }
    r->root_lock_fd = openat(r->root_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (r->root_lock_fd < 0) {
        return false;
    }
    err = lock_root(r->root_lock_fd);
    errno = err;
    return !err;
}

/* ---- ids ---- */

/* Ids count up, as long as the file that counts them is not lost. */
static unsigned next_id(Registry *r, const char *root)
{
    char text[16] = "";
    guint64 last = 0;
    unsigned id = 1;

    if (pread(r->root_lock_fd, text, sizeof(text) - 1, 0) <= 0 ||
        !g_ascii_string_to_unsigned(g_strstrip(text), 10, 1, G_MAXINT - 1, &last, NULL)) {
        g_autoptr(GPtrArray) entries = registry_list(root);

        for (guint i = 0; i < entries->len; i++) {
            last = MAX(last, ((RegistryEntry *)entries->pdata[i])->id);
        }
    }
    id += (unsigned)last;
    snprintf(text, sizeof(text), "%10u\n", id); /* always as long: what is full cannot cut it */
    return pwrite(r->root_lock_fd, text, strlen(text), 0) == (ssize_t)strlen(text) ? id : 0;
}

/* ---- entries ---- */

static bool name_is_taken(const Registry *r, GError **error)
{
    g_autofree char *pid = registry_read_line(r->fd, "pid");

    error_set(error, "A domain named '%s' runs already%s%s%s", r->name, pid ? " (process " : "", pid ? pid : "",
              pid ? ")" : "");
    return error_hint(error, "Choose another -name.");
}

/* What a killed domain of this name has left. */
static void clear_dead(Registry *r)
{
    g_autofree char *uuid = registry_read_line(r->fd, "uuid");

    if (uuid && g_uuid_string_is_valid(uuid)) {
        g_autofree char *link = g_strconcat(UUID_PREFIX, uuid, NULL);
        g_autofree char *owner = registry_read_link(r->root_fd, link);

        if (owner && g_str_equal(owner, r->name)) {
            unlinkat(r->root_fd, link, 0);
        }
    }
    for (size_t i = 0; i + 1 < G_N_ELEMENTS(entry_files); i++) {
        unlinkat(r->fd, entry_files[i], 0);
    }
}

/* errno 0: error is set. */
static bool open_entry(Registry *r, GError **error)
{
    bool made;
    int err;

    r->fd = open_folder(r->root_fd, r->name, &made);
    if (r->fd < 0) {
        return false;
    }
    r->lock_fd = openat(r->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (r->lock_fd < 0) {
        return false;
    }
    if (registry_lock_is_held(r->lock_fd)) {
        close(r->lock_fd);
        r->lock_fd = -1;
        name_is_taken(r, error);
        errno = 0;
        return false;
    }
    /* Nobody else takes it, as .lock is held; and no reader sees it held beside what a dead domain has said. */
    if (!made) {
        clear_dead(r);
    }
    err = lock_file(r->lock_fd, F_WRLCK);
    errno = err;
    return !err;
}

/* errno 0: error is set. */
static bool claim_uuid(Registry *r, const char *root, const uint8_t *uuid, GError **error)
{
    char text[37];
    g_autofree char *link = NULL, *owner = NULL;

    if (!uuid) {
        return true;
    }
    registry_format_uuid(uuid, text);
    link = g_strconcat(UUID_PREFIX, text, NULL);
    if (symlinkat(r->name, r->root_fd, link) < 0) {
        if (errno != EEXIST) {
            return false;
        }
        owner = registry_read_link(r->root_fd, link);
        if (owner && !g_str_equal(owner, r->name) && registry_is_alive(root, owner)) {
            error_set(error, "The running domain '%s' has the UUID %s already", owner, text);
            error_hint(error, "Choose another -uuid.");
            errno = 0;
            return false;
        }
        unlinkat(r->root_fd, link, 0);
        if (symlinkat(r->name, r->root_fd, link) < 0) {
            return false;
        }
    }
    r->uuid_link = g_steal_pointer(&link);
    return write_line(r->fd, "uuid", text);
}

static bool fill_entry(Registry *r, const char *root, const uint8_t *uuid, GError **error)
{
    g_autofree char *path = g_build_filename(root, r->name, REGISTRY_CONTROL, NULL);
    g_autoptr(GError) why = NULL;
    unsigned id;

    errno = EIO; /* of a write that was short */
    if (!claim_uuid(r, root, uuid, error)) {
        return false;
    }
    id = next_id(r, root);
    if (!id || !write_number(r->fd, "id", id) || !write_number(r->fd, "pid", (unsigned)getpid())) {
        return false;
    }
    r->listener = host_listen_unix(path, &why);
    r->trouble = r->listener < 0 ? g_strdup(why->message) : NULL;
    return r->listener >= 0;
}

static Registry *new_registry(const char *name)
{
    Registry *r = g_new(Registry, 1);

    *r = (Registry) { .name = g_strdup(name), .root_fd = -1, .root_lock_fd = -1, .fd = -1, .lock_fd = -1,
                      .listener = -1 };
    return r;
}

static void free_registry(Registry *r)
{
    const int fds[] = { r->listener, r->lock_fd, r->fd, r->root_lock_fd, r->root_fd };

    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    g_free(r->uuid_link);
    g_free(r->trouble);
    g_free(r->name);
    g_free(r);
}

/* .lock is held.  One that is another's is not empty, and stays. */
static void remove_entry(Registry *r)
{
    if (r->uuid_link) {
        unlinkat(r->root_fd, r->uuid_link, 0);
    }
    for (size_t i = 0; r->lock_fd >= 0 && i < G_N_ELEMENTS(entry_files); i++) {
        unlinkat(r->fd, entry_files[i], 0);
    }
    unlinkat(r->root_fd, r->name, AT_REMOVEDIR);
}

static bool stay_unlisted(const char *name, const char *why, char **ret_why, GError **error)
{
    if (g_getenv(REGISTRY_REQUIRED)) {
        return error_set(error, "Domain '%s' cannot be listed: %s", name, why);
    }
    *ret_why = g_strdup(why);
    return true;
}

bool registry_enter(const char *name, const uint8_t *uuid, Registry **ret, char **ret_why, GError **error)
{
    g_autofree char *root = registry_root();
    g_autoptr(GError) taken = NULL;
    g_autoptr(GError) unfit = NULL;
    g_autofree char *why = NULL;
    Registry *r;

    *ret = NULL;
    *ret_why = NULL;
    if (!registry_check_name(name, &unfit)) {
        return stay_unlisted(name, unfit->message, ret_why, error);
    }
    r = new_registry(name);
    if (open_root(r, root) && open_entry(r, &taken) && fill_entry(r, root, uuid, &taken)) {
        lock_file(r->root_lock_fd, F_UNLCK);
        *ret = r;
        return true;
    }
    why = g_strdup_printf("cannot make its entry in '%s': %s", root, r->trouble ? r->trouble : g_strerror(errno));
    if (r->fd >= 0) {
        remove_entry(r);
    }
    free_registry(r);
    if (taken) {
        g_propagate_error(error, g_steal_pointer(&taken));
        return false;
    }
    return stay_unlisted(name, why, ret_why, error);
}

int registry_take_listener(Registry *r)
{
    int fd = r->listener;

    r->listener = -1;
    return fd;
}

void registry_leave(Registry *r)
{
    if (!r) {
        return;
    }
    if (lock_root(r->root_lock_fd) == 0) {
        remove_entry(r);
    }
    free_registry(r);
}
