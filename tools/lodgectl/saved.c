/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/saved.h.
 */
#include "tools/lodgectl/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/follow.h"
#include "tools/lodgectl/launch.h"
#include "tools/lodgectl/managed.h"
#include "vmm/error.h"
#include "vmm/field.h"
#include "vmm/registry.h"
#include "vmm/state-format.h"

#define CHECK_TIMEOUT_MS 10000

/* ---- reading ---- */

static bool read_fd(void *opaque, void *data, size_t length, GError **error)
{
    uint8_t *p = data;

    while (length) {
        ssize_t n = read(*(int *)opaque, p, length);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return n ? error_set_errno(error, errno, "cannot read it")
                     : error_set(error, "the saved domain is cut off");
        }
        p += MAX(n, 0);
        length -= (size_t)MAX(n, 0);
    }
    return true;
}

bool saved_open(const char *path, MigrateHeader *ret, int *ret_fd, GError **error)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return error_set_errno(error, errno, "Cannot open '%s'", path);
    }
    if (!migrate_take_header(read_fd, &fd, ret, error)) {
        close(fd);
        return error_subject(error, path);
    }
    if (fstat(fd, &st) < 0 ||
        (ret->layout == MIGRATE_MAPPED && !migrate_check_mapped(ret, (uint64_t)st.st_size, error))) {
        migrate_header_clear(ret);
        close(fd);
        return error_subject(error, path);
    }
    *ret_fd = fd;
    return true;
}

uint8_t *saved_state(const MigrateHeader *header, int fd, GError **error)
{
    g_autofree uint8_t *data = NULL;

    if (header->layout != MIGRATE_MAPPED) {
        error_set(error, "the devices' state can be seen in files with the mapped layout only");
        return NULL;
    }
    data = g_malloc(MAX(header->state_length, 1));
    if (pread(fd, data, header->state_length, (off_t)header->state_offset) != (ssize_t)header->state_length ||
        state_crc32c(data, header->state_length) != header->checksum) {
        error_set(error, "the saved domain is damaged: the devices' state has a wrong checksum");
        return NULL;
    }
    return g_steal_pointer(&data);
}

Json *saved_header_json(const MigrateHeader *header)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    field_struct_write(&migrate_header, header, w, NULL);
    text = json_writer_finish(w);
    return json_parse(text, strlen(text), NULL);
}

/* ---- starting ---- */

bool saved_launch_by(const char *name, const char *definition, const char *incoming, bool paused, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("lodge-restore-XXXXXX.conf", &path, NULL);
    bool ok;

    if (fd < 0) {
        return error_set_errno(error, errno, "Cannot make a file in '%s'", g_get_tmp_dir());
    }
    close(fd);
    ok = g_file_set_contents(path, definition, -1, NULL) ? launch_incoming(name, path, incoming, paused, error)
                                                         : error_set(error, "Cannot write '%s'", path);
    unlink(path);
    return ok;
}

bool saved_restore(const MigrateHeader *header, const char *path, bool paused, GError **error)
{
    g_autofree char *quoted = keyval_quote(path);
    g_autofree char *incoming = g_strconcat("file:", quoted, NULL);

    if (!header->name || !header->definition) {
        error_set(error, "'%s' holds no definition", path);
        return error_hint(error, "Start lodge with the options it was saved with, and -incoming file:%s.", path);
    }
    return saved_launch_by(header->name, header->definition, incoming, paused, error);
}

/* The file goes when the domain is there, which has its memory in it, and is the only one to have it from then on. */
static bool launch_managed(const char *name, const char *path, bool paused, GError **error)
{
    MigrateHeader header;
    bool ok;
    int fd;

    if (!saved_open(path, &header, &fd, error)) {
        return false;
    }
    close(fd);
    ok = header.name && strcmp(header.name, name) != 0
             ? error_set(error, "'%s' is the saved domain '%s'", path, header.name)
             : saved_restore(&header, path, paused, error);
    migrate_header_clear(&header);
    return ok && managed_remove(name, error);
}

bool saved_launch(const char *name, bool paused, GError **error)
{
    g_autofree char *path = managed_path(name, NULL);

    if (!path || access(path, F_OK) < 0) {
        return launch(name, paused, error);
    }
    if (launch_managed(name, path, paused, error)) {
        return true;
    }
    return error_hint(error, "'%s' is kept; lodgectl start --force-boot removes it and starts anew.", path);
}

/* ---- a trial ---- */

static void remove_folder(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *entry = g_build_filename(path, name, NULL);

        if (unlink(entry) < 0 && errno == EISDIR) {
            remove_folder(entry);
        }
    }
    rmdir(path);
}

static bool compare(const char *name, const char *folder, const Json *header, GError **error)
{
    g_autofree char *socket = g_build_filename(folder, name, REGISTRY_CONTROL, NULL);
    g_autoptr(Client) client = client_open(name, socket, CHECK_TIMEOUT_MS, error);
    g_autoptr(Json) fits = NULL;
    Json *arguments;

    if (!client) {
        follow_kill(name);
        return false;
    }
    arguments = json_new_object();
    json_object_put_member(arguments, "header", json_ref((Json *)header));
    fits = client_run(client, "x-migrate-check", arguments, error);
    if (!follow_end(client, NULL)) {
        follow_kill(name);
    }
    return fits != NULL;
}

/* What a trial has in place of a group that reaches out of the machine; the guest would see the same one. */
static const struct { const char *group, *instead; } out_of_machine[] = {
    { "chardev", "  backend = \"null\"" }, /* a file would be emptied, a socket taken */
    { "netdev", "  type = \"user\"" },     /* a port would be taken, a script run */
    { "mon", NULL },
    { "overcommit", NULL },                /* its memory is never used */
};

/* Objects that no device refers to: a capture would be emptied, a log be made; or their place is beside such a one. */
static const char *const outer_objects[] = { "filter-", "egress-policy" };

/* Where memory comes from, whom it is shared with, and how much of it is taken at once.  A trial loads kernel and ROMs
 * into its memory, which must not be what the domain has, and the host may not have all of it twice. */
static const char *const memory_keys[] = {
    "mem-path", "offset", "align", "share", "discard-data", "pmem", "readonly", "hugetlb", "hugetlbsize", "prealloc",
    "prealloc-threads", "reserve",
};

static bool is_group(const char *line, const char *group)
{
    size_t n = strlen(group);

    return line[0] == '[' && strncmp(line + 1, group, n) == 0 && (line[n + 1] == ']' || line[n + 1] == ' ');
}

static bool has_key(const char *line, const char *key)
{
    size_t n = strlen(key);

    return strncmp(line, key, n) == 0 && line[n + strspn(line + n, " \t")] == '=';
}

/* The key's line, and its value with what is behind; NULL: the group has none.  The last one counts. */
static const char *find_key(const GPtrArray *group, const char *key, const char **ret_value)
{
    const char *found = NULL;

    for (guint i = 0; i < group->len; i++) {
        found = has_key(group->pdata[i], key) ? group->pdata[i] : found;
    }
    if (ret_value && found) {
        const char *value = strchr(found, '=') + 1;

        *ret_value = value + strspn(value, " \t\"");
    }
    return found;
}

static bool reaches_out(const GPtrArray *group)
{
    const char *type;

    for (size_t i = 0; find_key(group, "qom-type", &type) && i < G_N_ELEMENTS(outer_objects); i++) {
        if (g_str_has_prefix(type, outer_objects[i])) {
            return true;
        }
    }
    return false;
}

static bool is_memory(const GPtrArray *group)
{
    const char *type;

    return find_key(group, "qom-type", &type) && g_str_has_prefix(type, "memory-backend-");
}

static bool is_of_memory(const char *line)
{
    bool is = has_key(line, "qom-type");

    for (size_t i = 0; i < G_N_ELEMENTS(memory_keys); i++) {
        is = is || has_key(line, memory_keys[i]);
    }
    return is;
}

static void write_object(GString *out, const GPtrArray *group)
{
    bool memory = is_memory(group);

    for (guint i = 0; !reaches_out(group) && i < group->len; i++) {
        const char *line = group->pdata[i];

        if (!memory || !is_of_memory(line)) {
            g_string_append_printf(out, "%s\n", line);
        }
        if (memory && i == 0) {
            g_string_append(out, "  qom-type = \"memory-backend-ram\"\n  reserve = \"off\"\n");
        }
    }
}

/* One that several devices share stays so. */
static const char *sharing(const GPtrArray *group)
{
    const char *line = find_key(group, "mux", NULL), *backend;

    if (line) {
        return line;
    }
    return find_key(group, "backend", &backend) && g_str_has_prefix(backend, "mux\"") ? "mux = \"on\"" : "";
}

/* group: its lines, the heading first. */
static void write_harmless(GString *out, const GPtrArray *group)
{
    const char *heading = group->len ? group->pdata[0] : "";

    for (size_t i = 0; i < G_N_ELEMENTS(out_of_machine); i++) {
        if (is_group(heading, out_of_machine[i].group)) {
            if (out_of_machine[i].instead) {
                g_string_append_printf(out, "%s\n%s\n%s\n", heading, out_of_machine[i].instead, sharing(group));
            }
            return;
        }
    }
    if (is_group(heading, "object")) {
        write_object(out, group);
        return;
    }
    for (guint i = 0; i < group->len; i++) {
        g_string_append_printf(out, "%s\n", (const char *)group->pdata[i]);
    }
}

/* The definition for a trial, the caller's. */
static char *without_effects(const char *definition)
{
    g_auto(GStrv) lines = g_strsplit(definition, "\n", -1);
    g_autoptr(GPtrArray) group = g_ptr_array_new();
    g_autoptr(GString) out = g_string_new(NULL);

    for (char **l = lines; *l; l++) {
        const char *line = g_strstrip(*l);

        if (line[0] == '[') {
            write_harmless(out, group);
            g_ptr_array_set_size(group, 0);
        }
        g_ptr_array_add(group, (gpointer)line);
    }
    write_harmless(out, group);
    return g_string_free(g_steal_pointer(&out), FALSE);
}

/* An interrupt must not leave behind what it has begun, of which nobody else knows. */
static bool try_it(const char *name, const char *folder, const char *definition, const Json *header, GError **error)
{
    struct sigaction interrupt, terminate;
    g_autoptr(GError) why = NULL;
    bool ok;

    sigaction(SIGINT, NULL, &interrupt);
    sigaction(SIGTERM, NULL, &terminate);
    follow_catch_interrupts();
    ok = !follow_interrupted() && saved_launch_by(name, definition, "defer", true, &why) &&
         compare(name, folder, header, &why);
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGTERM, &terminate, NULL);
    if (follow_interrupted()) {
        return error_set(error, "it was given up");
    }
    if (!ok && why) {
        g_propagate_error(error, g_steal_pointer(&why));
    }
    return ok;
}

/* A registry of its own keeps it from the domains there are. */
bool saved_check(const char *name, const char *definition, const Json *header, GError **error)
{
    g_autofree char *folder = g_dir_make_tmp("lodge-check-XXXXXX", NULL), *harmless = without_effects(definition);
    g_autofree char *runtime = g_strdup(g_getenv("LODGE_RUNTIME_DIR")), *logs = g_strdup(g_getenv("LODGE_LOG_DIR"));
    bool ok;

    if (!folder) {
        return error_set_errno(error, errno, "Cannot make a folder in '%s'", g_get_tmp_dir());
    }
    g_setenv("LODGE_RUNTIME_DIR", folder, TRUE);
    g_setenv("LODGE_LOG_DIR", folder, TRUE);
    ok = try_it(name, folder, harmless, header, error);
    remove_folder(folder);
    g_unsetenv("LODGE_RUNTIME_DIR");
    g_unsetenv("LODGE_LOG_DIR");
    if (runtime) {
        g_setenv("LODGE_RUNTIME_DIR", runtime, TRUE);
    }
    if (logs) {
        g_setenv("LODGE_LOG_DIR", logs, TRUE);
    }
    return ok;
}

/* ---- by what a running one was made ---- */

static char *started_by(const Dom *dom)
{
    g_autofree char *path = g_build_filename(dom->entry->folder, REGISTRY_DEFINITION, NULL);
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, NULL);
    return text;
}

char *saved_definition(const Dom *dom, Client *client, bool certain, GError **error)
{
    g_autofree char *started = started_by(dom);
    g_autofree char *now = dom->persistent ? definition_read(dom->name, NULL) : NULL;
    g_autoptr(Json) header = NULL;

    if (!now && !started) {
        error_set(error, "Domain '%s' is transient: it has no definition to be started by again", dom->name);
        error_hint(error, "lodgectl define gives it one.");
        return NULL;
    }
    if (!now) {
        now = g_steal_pointer(&started);
    }
    if (started && g_str_equal(started, now)) {
        g_clear_pointer(&started, g_free);
    }
    if (!started && !certain) {
        return g_steal_pointer(&now);
    }
    header = client_run(client, "x-query-migrate-header", NULL, error);
    if (!header) {
        return NULL;
    }
    if (saved_check(dom->name, now, header, started ? NULL : error)) {
        return g_steal_pointer(&now);
    }
    return started && saved_check(dom->name, started, header, error) ? g_steal_pointer(&started) : NULL;
}
