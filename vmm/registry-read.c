/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader's side of the registry (vmm/registry.h): where it is, and what is in it.  A reader takes no
 * lock, so an entry may go while it is read; then it reads as dead, or not at all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/registry-internal.h"

#define READ_TRIES 8

/* ---- where ---- */

static char *place(const char *variable, const char *of_root, const char *xdg, const char *fallback)
{
    const char *given = g_getenv(variable), *base;

    if (given && *given) {
        return g_strdup(given);
    }
    if (geteuid() == 0) {
        return g_strdup(of_root);
    }
    base = g_getenv(xdg);
    if (!base || !g_path_is_absolute(base)) {
        base = fallback;
    }
    return base ? g_build_filename(base, "lodge", NULL) : NULL;
}

/* A service or a `su` has no XDG_RUNTIME_DIR, though the folder that logging in makes is there; where logging in makes
 * none (containers) it is the cache, as for GLib. */
char *registry_root(void)
{
    g_autofree char *usual = g_strdup_printf("/run/user/%u", geteuid());

    return place("LODGE_RUNTIME_DIR", "/run/lodge", "XDG_RUNTIME_DIR",
                 g_file_test(usual, G_FILE_TEST_IS_DIR) ? usual : g_get_user_cache_dir());
}

char *registry_config(void)
{
    const char *home = g_get_home_dir();
    g_autofree char *usual = home ? g_build_filename(home, ".config", NULL) : NULL;

    return place("LODGE_CONFIG_DIR", "/etc/lodge", "XDG_CONFIG_HOME", usual);
}

char *registry_logs(void)
{
    const char *home = g_get_home_dir(), *config = g_getenv("LODGE_CONFIG_DIR");
    g_autofree char *usual = home ? g_build_filename(home, ".local", "state", NULL) : NULL;

    if (config && *config && !g_getenv("LODGE_LOG_DIR")) {
        return g_build_filename(config, "log", NULL);
    }
    return place("LODGE_LOG_DIR", "/var/log/lodge", "XDG_STATE_HOME", usual);
}

char *registry_saves(void)
{
    const char *home = g_get_home_dir();
    g_autofree char *usual = home ? g_build_filename(home, ".local", "state", NULL) : NULL;
    g_autofree char *folder = place("LODGE_CONFIG_DIR", "/var/lib/lodge", "XDG_STATE_HOME", usual);

    return folder ? g_build_filename(folder, "save", NULL) : NULL;
}

bool registry_check_name(const char *name, GError **error)
{
    g_autofree char *root = registry_root();
    g_autofree char *path = g_build_filename(root, name, REGISTRY_CONTROL, NULL);

    if (!*name) {
        return error_set(error, "an empty name is none");
    }
    if (*name == '.' || strchr(name, '/')) {
        return error_set(error, "a name does not begin with '.' and has no '/'");
    }
    for (const char *p = name; *p; p++) {
        if (g_ascii_iscntrl(*p)) {
            return error_set(error, "a name has no control characters");
        }
    }
    if (!g_utf8_validate(name, -1, NULL)) {
        return error_set(error, "a name is UTF-8");
    }
    if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return error_set(error, "the name is too long: '%s' would be the path of its socket", path);
    }
    return true;
}

/* ---- small files ---- */

char *registry_read_line(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char text[128];
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

    if (fd >= 0) {
        close(fd);
    }
    if (n <= 0) {
        return NULL;
    }
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return g_utf8_validate(text, -1, NULL) ? g_strdup(text) : NULL;
}

char *registry_read_link(int folder, const char *name)
{
    char text[256];
    ssize_t n = readlinkat(folder, name, text, sizeof(text) - 1);

    return n > 0 ? g_strndup(text, (size_t)n) : NULL;
}

void registry_format_uuid(const uint8_t uuid[16], char ret[37])
{
    char *p = ret;

    for (unsigned i = 0; i < 16; i++) {
        p += sprintf(p, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
    }
}

/* ---- entries ---- */

bool registry_lock_is_held(int lock_fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    return fcntl(lock_fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool lock_is_held(int folder)
{
    int fd = openat(folder, "lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool held = fd >= 0 && registry_lock_is_held(fd);

    if (fd >= 0) {
        close(fd);
    }
    return held;
}

static int open_entry(const char *root, const char *name)
{
    g_autofree char *path = g_build_filename(root, name, NULL);

    return *name == '.' || strchr(name, '/') ? -1
         : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

bool registry_is_alive(const char *root, const char *name)
{
    int fd = open_entry(root, name);
    bool alive = fd >= 0 && lock_is_held(fd);

    if (fd >= 0) {
        close(fd);
    }
    return alive;
}

static unsigned read_number(int folder, const char *name)
{
    g_autofree char *text = registry_read_line(folder, name);
    guint64 n = 0;

    return text && g_ascii_string_to_unsigned(text, 10, 1, G_MAXINT, &n, NULL) ? (unsigned)n : 0;
}

static void read_entry(int folder, RegistryEntry *e)
{
    bool held = lock_is_held(folder);

    e->id = read_number(folder, "id");
    e->pid = (pid_t)read_number(folder, "pid");
    g_free(e->uuid);
    e->uuid = registry_read_line(folder, "uuid");
    e->alive = held && e->id && e->pid; /* one that has no id yet is being made */
}

/* As it was at one moment: between two looks that agree.  It may be taken over in between, and over again. */
RegistryEntry *registry_read(const char *root, const char *name)
{
    int fd = open_entry(root, name);
    RegistryEntry *e;

    if (fd < 0) {
        return NULL;
    }
    e = g_new0(RegistryEntry, 1);
    e->name = g_strdup(name);
    e->folder = g_build_filename(root, name, NULL);
    for (unsigned tries = 0; tries < READ_TRIES; tries++) {
        read_entry(fd, e);
        if (lock_is_held(fd) == e->alive && read_number(fd, "id") == e->id) {
            break;
        }
    }
    close(fd);
    return e;
}

void registry_entry_free(RegistryEntry *entry)
{
    if (entry) {
        g_free(entry->name);
        g_free(entry->folder);
        g_free(entry->uuid);
        g_free(entry);
    }
}

static int by_id(gconstpointer a, gconstpointer b)
{
    const RegistryEntry *x = *(RegistryEntry *const *)a, *y = *(RegistryEntry *const *)b;

    return (x->id > y->id) - (x->id < y->id);
}

GPtrArray *registry_list(const char *root)
{
    GPtrArray *entries = g_ptr_array_new_with_free_func((GDestroyNotify)registry_entry_free);
    DIR *dir = opendir(root);
    struct dirent *d;

    while (dir && (d = readdir(dir))) {
        RegistryEntry *entry = registry_read(root, d->d_name);

        if (entry) {
            g_ptr_array_add(entries, entry);
        }
    }
    if (dir) {
        closedir(dir);
    }
    g_ptr_array_sort(entries, by_id);
    return entries;
}
