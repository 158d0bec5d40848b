/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/definitions.h.
 *
 * Who writes holds CONFIG/domains/.lock, so of two that define the same name or UUID the second sees the first.
 * Readers take no lock: rename(2) shows them the old file or the new one.
 */
#include "tools/lodgectl/definitions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/command-line.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/tuning.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/registry.h"

#define DEFINITION_MAX (1u << 20) /* what -readconfig takes */
#define SUFFIX ".conf"
#define LOCK_PATIENCE_MS 5000

/* ---- where ---- */

static char *folder(const char *kind)
{
    g_autofree char *config = registry_config();

    return config ? g_build_filename(config, kind, NULL) : NULL;
}

static char *file_in(const char *kind, const char *name)
{
    g_autofree char *at = folder(kind);
    g_autofree char *file = g_strconcat(name, SUFFIX, NULL);

    return at ? g_build_filename(at, file, NULL) : NULL;
}

char *definition_path(const char *name)
{
    return file_in("domains", name);
}

static bool is_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/');
}

bool definition_exists(const char *name)
{
    g_autofree char *path = definition_path(name);

    return is_name(name) && path && g_file_test(path, G_FILE_TEST_EXISTS);
}

bool definition_autostarts(const char *name)
{
    g_autofree char *path = file_in("autostart", name);

    return path && g_file_test(path, G_FILE_TEST_IS_SYMLINK) && definition_exists(name);
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *definitions_list(void)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *at = folder("domains");
    g_autoptr(GDir) dir = at ? g_dir_open(at, 0, NULL) : NULL;
    const char *file;

    while (dir && (file = g_dir_read_name(dir))) {
        if (*file != '.' && g_str_has_suffix(file, SUFFIX) && strlen(file) > strlen(SUFFIX)) {
            g_ptr_array_add(names, g_strndup(file, strlen(file) - strlen(SUFFIX)));
        }
    }
    g_ptr_array_sort(names, by_name);
    return names;
}

/* ---- reading ---- */

static bool read_text(const char *path, char **ret, GError **error)
{
    g_autofree uint8_t *data = NULL;
    size_t length;

    if (!host_read_file(path, DEFINITION_MAX, &data, &length, error)) {
        return false;
    }
    if (memchr(data, '\0', length)) {
        return error_set(error, "'%s' is no text", path);
    }
    *ret = g_strndup((const char *)data, length);
    return true;
}

char *definition_read(const char *name, GError **error)
{
    g_autofree char *path = definition_path(name);
    char *text = NULL;

    return read_text(path, &text, error) ? text : NULL;
}

/* The parser knows a file by its path, as that of an option; people know it by another. */
static void rename_in_error(GError **error, const char *path, const char *from)
{
    g_autofree char *option = g_strdup_printf("-readconfig %s: ", path);

    if (error && *error) {
        g_autoptr(GString) message = g_string_new((*error)->message);

        g_string_replace(message, option, "", 1);
        g_string_replace(message, path, from, 0);
        g_free((*error)->message);
        (*error)->message = g_strdup(message->str);
    }
}

bool definition_parse(const char *path, Options *ret, GError **error)
{
    char *argv[] = { (char *)"lodge", (char *)"-readconfig", (char *)path, NULL };
    GError *wrong = NULL;
    bool ok = options_parse(3, argv, option_languages, ret, &wrong);

    if (!ok) {
        rename_in_error(&wrong, path, path);
        g_propagate_error(error, wrong);
    }
    return ok;
}

bool definition_load(const char *name, Options *ret, GError **error)
{
    g_autofree char *path = definition_path(name);

    return definition_parse(path, ret, error);
}

char *options_uuid(const Options *o)
{
    const uint8_t *u = o->uuid;

    if (!o->has_uuid) {
        return NULL;
    }
    return g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2],
                           u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

char *definition_uuid(const char *name)
{
    Options options;
    char *uuid;

    if (!definition_load(name, &options, NULL)) {
        return NULL;
    }
    uuid = options_uuid(&options);
    options_clear(&options);
    return uuid;
}

/* ---- files that are whole ---- */

#define TEMPORARY      ".new-"
#define TEMPORARY_LIFE 3600 /* s: no writer is at it for so long */

/* What writers that were killed have left. */
static void remove_abandoned(void)
{
    g_autofree char *at = folder("domains");
    g_autoptr(GDir) dir = at ? g_dir_open(at, 0, NULL) : NULL;
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_str_has_prefix(name, TEMPORARY) ? g_build_filename(at, name, NULL) : NULL;
        struct stat st;

        if (path && lstat(path, &st) == 0 && time(NULL) - st.st_mtime > TEMPORARY_LIFE) {
            unlink(path);
        }
    }
}

/* In the folder of definitions, which is made.  Returns its path, the caller's. */
static char *write_temporary(const char *text, GError **error)
{
    g_autofree char *at = folder("domains");
    g_autofree char *path = at ? g_build_filename(at, TEMPORARY "XXXXXX", NULL) : NULL;
    size_t length = strlen(text);
    int fd, err = 0;

    if (!at) {
        error_set(error, "There is no folder for definitions: neither XDG_CONFIG_HOME nor HOME is set");
        return NULL;
    }
    if (g_mkdir_with_parents(at, 0700) < 0) {
        error_set_errno(error, errno, "Cannot make the folder '%s'", at);
        return NULL;
    }
    fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        error_set_errno(error, errno, "Cannot write a file in '%s'", at);
        return NULL;
    }
    while (length && !err) {
        ssize_t n = write(fd, text, length);

        if (n > 0) {
            text += n;
            length -= (size_t)n;
        } else if (n == 0 || errno != EINTR) {
            err = n == 0 ? ENOSPC : errno;
        }
    }
    err = !err && fsync(fd) < 0 ? errno : err;
    close(fd);
    if (err) {
        unlink(path);
        error_set_errno(error, err, "Cannot write a file in '%s'", at);
        return NULL;
    }
    return g_steal_pointer(&path);
}

static void sync_folder(const char *path)
{
    g_autofree char *at = g_path_get_dirname(path);
    int fd = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

/* The file at `from` becomes the definition. */
static bool put_in_place(const char *from, const char *name, GError **error)
{
    g_autofree char *path = definition_path(name);

    if (rename(from, path) < 0) {
        return error_set_errno(error, errno, "Cannot write '%s'", path);
    }
    sync_folder(path);
    return true;
}

int definitions_lock(GError **error)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    g_autofree char *at = folder("domains");
    g_autofree char *path = g_build_filename(at, ".lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int err = fd < 0 ? errno : 0;

    for (unsigned ms = 0; !err && fcntl(fd, F_OFD_SETLK, &lock) < 0; ms += 5) {
        err = (errno == EAGAIN || errno == EACCES) && ms < LOCK_PATIENCE_MS ? 0 : errno;
        g_usleep(5000);
    }
    if (!err) {
        return fd;
    }
    error_set_errno(error, err, "Cannot lock '%s'", path);
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

/* ---- checking ---- */

/* On success *ret_path is the file, and it is there. */
static bool check_as_file(const char *text, const char *from, char **ret_path, Options *ret, GError **error)
{
    g_autofree char *path = write_temporary(text, error);
    GError *wrong = NULL;

    if (!path) {
        return false;
    }
    if (!definition_parse(path, ret, &wrong)) {
        rename_in_error(&wrong, path, from);
        g_propagate_error(error, wrong);
        unlink(path);
        return false;
    }
    *ret_path = g_steal_pointer(&path);
    return true;
}

bool definition_parse_text(const char *text, const char *from, Options *ret, GError **error)
{
    g_autofree char *path = NULL;

    if (!check_as_file(text, from, &path, ret, error)) {
        return false;
    }
    unlink(path);
    return true;
}

static char *name_of(const Options *options, const char *from, GError **error)
{
    g_autofree char *base = g_path_get_basename(from);
    char *dot = strrchr(base, '.');
    char *name;

    if (options->name.guest) {
        name = g_strdup(options->name.guest);
    } else {
        if (dot && dot != base) {
            *dot = '\0';
        }
        name = g_strdup(base);
    }
    if (!registry_check_name(name, error)) {
        g_autofree char *subject = g_strdup_printf("%s: the name '%s'", from, name);

        error_subject(error, subject);
        g_free(name);
        return NULL;
    }
    return name;
}

/* That of the definition or of the running domain that has this name; NULL: neither has one. */
static char *present_uuid(const char *name)
{
    g_autofree char *root = registry_root();
    g_autoptr(RegistryEntry) entry = registry_read(root, name);
    char *uuid = definition_exists(name) ? definition_uuid(name) : NULL;

    return uuid || !entry || !entry->alive ? uuid : g_strdup(entry->uuid);
}

static bool check_uuid(const char *name, const char *uuid, GError **error)
{
    g_autofree char *before = present_uuid(name);
    g_autoptr(GPtrArray) all = domains_list();

    if (before && !g_str_equal(before, uuid)) {
        error_set(error, "Domain '%s' exists already, with the UUID %s", name, before);
        return error_hint(error, "Undefine it first, or use its UUID.");
    }
    for (guint i = 0; i < all->len; i++) {
        Dom *other = all->pdata[i];
        const char *theirs = g_str_equal(other->name, name) ? NULL : dom_uuid(other);

        if (theirs && g_str_equal(theirs, uuid)) {
            error_set(error, "Domain '%s' has the UUID %s already", other->name, uuid);
            return error_hint(error, "Use another in [uuid].");
        }
    }
    return true;
}

static char *with_uuid(const char *text, const char *uuid)
{
    const char *end = *text && text[strlen(text) - 1] != '\n' ? "\n" : "";

    return g_strdup_printf("%s%s\n[uuid]\n  uuid = \"%s\"\n", text, end, uuid);
}

/* The lock is held, the text is right. */
static bool write_locked(const char *text, const Options *options, const char *path, const char *name, GError **error)
{
    g_autofree char *uuid = options_uuid(options), *whole = NULL, *other = NULL;
    bool ok;

    remove_abandoned();
    if (uuid) {
        return check_uuid(name, uuid, error) && put_in_place(path, name, error);
    }
    uuid = present_uuid(name);
    if (!uuid) {
        uuid = g_uuid_string_random();
    }
    whole = with_uuid(text, uuid);
    other = write_temporary(whole, error);
    ok = other && put_in_place(other, name, error);
    if (other && !ok) {
        unlink(other);
    }
    return ok;
}

char *definition_write(const char *text, const char *from, GError **error)
{
    g_autofree char *path = NULL, *name = NULL;
    Options options;
    bool ok;
    int lock;

    if (!check_as_file(text, from, &path, &options, error)) {
        return NULL;
    }
    name = name_of(&options, from, error);
    lock = name ? definitions_lock(error) : -1;
    ok = lock >= 0 && write_locked(text, &options, path, name, error);
    if (lock >= 0) {
        close(lock);
    }
    unlink(path); /* fine if it was put in place */
    options_clear(&options);
    return ok ? g_steal_pointer(&name) : NULL;
}

/* The lock is held. */
static bool check_replaced(const char *name, const char *before, const Options *options, GError **error)
{
    g_autofree char *now = definition_read(name, error);

    if (!now) {
        return false;
    }
    if (options->name.guest && !g_str_equal(options->name.guest, name)) {
        return error_set(error, "An edit cannot rename domain '%s' to '%s'", name, options->name.guest);
    }
    return g_str_equal(now, before) ||
           error_set(error, "The definition of domain '%s' was changed meanwhile by somebody else", name);
}

bool definition_replace(const char *name, const char *before, const char *text, const char *from, GError **error)
{
    g_autofree char *path = NULL;
    Options options;
    bool ok;
    int lock;

    if (!check_as_file(text, from, &path, &options, error)) {
        return false;
    }
    lock = definitions_lock(error);
    ok = lock >= 0 && check_replaced(name, before, &options, error) && write_locked(text, &options, path, name, error);
    if (lock >= 0) {
        close(lock);
    }
    unlink(path);
    options_clear(&options);
    return ok;
}

bool definition_remove(const char *name, GError **error)
{
    g_autofree char *path = definition_path(name);
    g_autofree char *link = file_in("autostart", name);
    int lock = definitions_lock(error);
    bool ok;

    if (lock < 0) {
        return false;
    }
    ok = unlink(path) == 0 || error_set_errno(error, errno, "Cannot remove '%s'", path);
    if (ok) {
        unlink(link);
        tuning_remove(name);
        sync_folder(path);
    }
    close(lock);
    return ok;
}

bool definition_set_autostart(const char *name, bool on, GError **error)
{
    g_autofree char *path = file_in("autostart", name);
    g_autofree char *at = folder("autostart");
    g_autofree char *target = g_strdup_printf("../domains/%s" SUFFIX, name);

    if (!on) {
        return unlink(path) == 0 || errno == ENOENT || error_set_errno(error, errno, "Cannot remove '%s'", path);
    }
    if (g_mkdir_with_parents(at, 0700) < 0) {
        return error_set_errno(error, errno, "Cannot make the folder '%s'", at);
    }
    if (symlink(target, path) < 0 && errno != EEXIST) {
        return error_set_errno(error, errno, "Cannot make the link '%s'", path);
    }
    sync_folder(path);
    return true;
}
