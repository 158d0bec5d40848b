/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains that go and come back: save, restore, inspect, migrate, domjobinfo.  A saved file (vmm/migrate-format.h,
 * mapped) holds the definition that its domain had, so that it can be started from it alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/launch.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"
#include "vmm/migrate-ram.h"
#include "vmm/state.h"

#define LOOK_MS 50
#define END_PATIENCE_MS 15000
#define MIB     1048576.0

/* ---- following a migration ---- */

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = 1;
}

static void show_progress(const Cmd *cmd, const char *what, const Json *info)
{
    const Json *ram = reply_member(info, "ram", JSON_OBJECT);
    int64_t total, left;

    if (!cmd->quiet && isatty(STDERR_FILENO) && ram && reply_int(ram, "total", &total) &&
        reply_int(ram, "remaining", &left) && total > 0) {
        fprintf(stderr, "\r%s: [%3d %%]", what, (int)(100 - CLAMP(left, 0, total) * 100 / total));
    }
}

static bool run_with(Client *client, const char *command, Json *arguments, GError **error)
{
    g_autoptr(Json) done = client_run(client, command, arguments, error);

    return done != NULL;
}

/* Until it has ended; an interrupt gives it up. */
static bool follow(const Cmd *cmd, const char *what, Client *client, GError **error)
{
    bool cancelled = false;

    for (;;) {
        g_autoptr(Json) info = client_run(client, "query-migrate", NULL, error);
        const char *status = reply_text(info, "status");
        const char *said = reply_text(info, "error-desc");
        g_autofree char *why = clean_text(said ? said : "", "");

        if (!info) {
            return false;
        }
        show_progress(cmd, what, info);
        if (status && g_str_equal(status, "completed")) {
            if (!cmd->quiet && isatty(STDERR_FILENO)) {
                fputc('\n', stderr);
            }
            return true;
        }
        if (!status || g_str_equal(status, "failed") || g_str_equal(status, "cancelled")) {
            return error_set(error, "%s", *why ? why : "it has ended without a word");
        }
        if (interrupted && !cancelled) {
            cancelled = true;
            if (!client_do(client, "migrate_cancel", error)) {
                return false;
            }
        }
        g_usleep(LOOK_MS * 1000);
    }
}

static bool send_to(const Cmd *cmd, const char *what, Client *client, const char *uri, const char *definition,
                    GError **error)
{
    Json *parameters = json_new_object(), *arguments = json_new_object();

    json_object_put_member(parameters, "max-bandwidth", json_new_int(0));
    json_object_put_member(arguments, "uri", json_new_string(uri));
    if (definition) {
        json_object_put_member(arguments, "definition", json_new_string(definition));
    }
    signal(SIGINT, interrupt);
    signal(SIGTERM, interrupt);
    if (!run_with(client, "migrate-set-parameters", parameters, error)) {
        json_unref(arguments);
        return false;
    }
    return run_with(client, "migrate", arguments, error) && follow(cmd, what, client, error);
}

/* Its process has nothing more to do; returns when it has gone, which it may have before it could answer. */
static bool end(Client *client, GError **error)
{
    int process = (int)syscall(SYS_pidfd_open, client_pid(client), 0);
    struct pollfd gone = { process, POLLIN, 0 };
    bool ok;

    client_do(client, "quit", NULL);
    ok = process < 0 || poll(&gone, 1, END_PATIENCE_MS) > 0;
    if (process >= 0) {
        close(process);
    }
    return ok || error_set(error, "its process does not end");
}

/* ---- save ---- */

static bool save(const Cmd *cmd, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(cmd_text(cmd, "file"), NULL);
    g_autofree char *aside = g_strconcat(path, ".part", NULL), *uri = g_strconcat("file:", aside, NULL);
    g_autofree char *definition = NULL;
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);

    if (!client) {
        return false;
    }
    if (!dom->persistent) {
        return error_set(error, "Domain '%s' is transient: it has no definition to be restored by", dom->name);
    }
    definition = definition_read(dom->name, error);
    if (!definition || !send_to(cmd, "Save", client, uri, definition, error)) {
        g_prefix_error(error, "Failed to save domain '%s': ", dom->name);
        return false;
    }
    if (rename(aside, path) < 0) {
        error_set_errno(error, errno, "Cannot rename '%s'", aside);
        return error_hint(error, "The domain is saved in that file, and is paused.");
    }
    if (!end(client, error)) {
        return false;
    }
    say(cmd, "Domain '%s' saved to %s", dom->name, path);
    return true;
}

/* ---- restore, inspect ---- */

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

/* With the descriptor, which is the caller's. */
static bool read_header(const char *path, MigrateHeader *ret, int *ret_fd, GError **error)
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

static bool restore_by(const Cmd *cmd, const MigrateHeader *header, const char *path, GError **error)
{
    g_autofree char *definition = NULL;
    int fd = g_file_open_tmp("lodge-restore-XXXXXX.conf", &definition, NULL);
    bool ok;

    if (fd < 0) {
        return error_set_errno(error, errno, "Cannot make a file in '%s'", g_get_tmp_dir());
    }
    close(fd);
    ok = g_file_set_contents(definition, header->definition, -1, NULL)
             ? launch_restored(header->name, definition, path, cmd_flag(cmd, "paused"), error)
             : error_set(error, "Cannot write '%s'", definition);
    unlink(definition);
    return ok;
}

static bool restore(const Cmd *cmd, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(cmd_text(cmd, "file"), NULL);
    MigrateHeader header;
    bool ok;
    int fd;

    if (!read_header(path, &header, &fd, error)) {
        return false;
    }
    close(fd);
    if (!header.name || !header.definition) {
        error_set(error, "'%s' holds no definition", path);
        error_hint(error, "Start lodge with the options it was saved with, and -incoming file:%s.", path);
        ok = false;
    } else {
        ok = restore_by(cmd, &header, path, error);
    }
    if (ok) {
        g_autofree char *name = clean_text(header.name, "");

        say(cmd, "Domain '%s' restored from %s", name, path);
    }
    migrate_header_clear(&header);
    return ok;
}

static void line(const char *title, const char *text)
{
    g_autofree char *clean = clean_text(text ? text : "-", "");

    printf("%-16s%s\n", title, clean);
}

static bool describe_state(const MigrateHeader *header, int fd, GError **error)
{
    g_autofree uint8_t *data = g_malloc(MAX(header->state_length, 1));
    g_autoptr(GString) text = g_string_new(NULL);

    if (header->layout != MIGRATE_MAPPED) {
        return error_set(error, "The devices' state can be shown of files with the mapped layout only");
    }
    if (pread(fd, data, header->state_length, (off_t)header->state_offset) != (ssize_t)header->state_length) {
        return error_set(error, "Cannot read the devices' state");
    }
    if (!state_describe(data, header->state_length, text, error)) {
        return false;
    }
    fputs(text->str, stdout);
    return true;
}

static void describe_header(const MigrateHeader *header)
{
    uint64_t memory = 0;

    for (size_t i = 0; i < header->ram.n; i++) {
        memory += FIELD_LIST_AT(header->ram, MigrateBlockInfo, i).size;
    }
    line("Name:", header->name);
    line("Saved by:", header->program);
    line("State:", header->run_state);
    line("Machine:", header->machine);
    line("Accelerator:", header->accelerator);
    line("CPU model:", header->cpu);
    printf("%-16s%u\n", "CPUs:", header->cpus);
    printf("%-16s%.1f MiB in %zu blocks\n", "Memory:", (double)memory / MIB, header->ram.n);
    line("Layout:", header->layout == MIGRATE_MAPPED ? "mapped" : "inline");
    for (size_t i = 0; i < header->devices.n; i++) {
        const MigrateDeviceInfo *d = &FIELD_LIST_AT(header->devices, MigrateDeviceInfo, i);
        g_autofree char *path = clean_text(d->path, ""), *state = clean_text(d->state, "");

        printf("%-16s%s (%s version %u)\n", i ? "" : "Devices:", path, state, d->version);
    }
}

static bool inspect(const Cmd *cmd, GError **error)
{
    MigrateHeader header;
    bool ok = true;
    int fd;

    if (!read_header(cmd_text(cmd, "file"), &header, &fd, error)) {
        return false;
    }
    if (cmd_flag(cmd, "state")) {
        ok = describe_state(&header, fd, error);
    } else if (cmd_flag(cmd, "definition")) {
        g_autofree char *text = clean_text(header.definition ? header.definition : "", "\n\t");

        fputs(text, stdout);
    } else {
        describe_header(&header);
    }
    close(fd);
    migrate_header_clear(&header);
    return ok;
}

/* ---- migrate, domjobinfo ---- */

static bool migrate(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);

    if (!client) {
        return false;
    }
    if (!send_to(cmd, "Migration", client, cmd_text(cmd, "uri"), NULL, error)) {
        g_prefix_error(error, "Failed to move domain '%s': ", dom->name);
        return false;
    }
    return end(client, error);
}

static void number_line(const Json *object, const char *member, const char *title, double divisor, const char *unit)
{
    int64_t value;

    if (reply_int(object, member, &value)) {
        printf("%-18s%.*f %s\n", title, divisor > 1 ? 3 : 0, (double)value / divisor, unit);
    }
}

static bool domjobinfo(const Cmd *cmd, GError **error)
{
    g_autoptr(Client) client = cmd_connect(cmd, NULL, error);
    g_autoptr(Json) info = client ? client_run(client, "query-migrate", NULL, error) : NULL;
    g_autofree char *status = NULL;
    const Json *ram;

    if (!info) {
        return false;
    }
    status = clean_text(reply_text(info, "status") ? reply_text(info, "status") : "none", "");
    ram = reply_member(info, "ram", JSON_OBJECT);
    printf("%-18s%s\n", "Job status:", status);
    number_line(info, "total-time", "Time elapsed:", 1, "ms");
    number_line(info, "downtime", "Total downtime:", 1, "ms");
    number_line(info, "expected-downtime", "Expected downtime:", 1, "ms");
    number_line(ram, "transferred", "Data processed:", MIB, "MiB");
    number_line(ram, "remaining", "Memory remaining:", MIB, "MiB");
    number_line(ram, "total", "Memory total:", MIB, "MiB");
    number_line(ram, "dirty-pages-rate", "Dirty rate:", 1, "pages/s");
    number_line(ram, "dirty-sync-count", "Iteration:", 1, "");
    number_line(ram, "duplicate", "Constant pages:", 1, "");
    number_line(ram, "normal", "Normal pages:", 1, "");
    return true;
}

const Verb move_verbs[] = {
    { "save", ARGS(ARG_DOMAIN(OF_ACTIVE), { "file", ARG_TEXT, true, OF_FILE, "Where to" }), save,
      "Save a running domain to a file, and end it", "An interrupt gives it up, and the domain runs on." },
    { "restore", ARGS({ "file", ARG_TEXT, true, OF_FILE, "The saved domain" },
                      { "paused", ARG_FLAG, .help = "Do not let it run yet" }), restore,
      "Start a domain where it was saved", "The file is its memory from then on: nobody may change it while it runs." },
    { "inspect", ARGS({ "file", ARG_TEXT, true, OF_FILE, "The saved domain" },
                      { "definition", ARG_FLAG, .help = "Print its definition" },
                      { "state", ARG_FLAG, .help = "Print the state of its devices" }), inspect,
      "Tell what a saved domain is" },
    { "migrate", ARGS(ARG_DOMAIN(OF_ACTIVE), { "uri", ARG_TEXT, true, OF_ANY, "unix:PATH or tcp:HOST:PORT" }), migrate,
      "Move a running domain to a lodge that was started with -incoming", "An interrupt gives it up." },
    { "domjobinfo", ARGS(ARG_DOMAIN(OF_ACTIVE)), domjobinfo, "Tell how far a migration is" },
    { NULL },
};
