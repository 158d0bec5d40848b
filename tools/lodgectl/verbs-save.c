/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains that go and come back: save, restore, inspect, managedsave, managedsave-remove.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/follow.h"
#include "tools/lodgectl/managed.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/saved.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"
#include "vmm/state.h"

#define MIB 1048576.0

/* ---- save ---- */

/* What is there is replaced, which only a file may be. */
static bool may_be_replaced(const char *path, GError **error)
{
    struct stat st;

    return stat(path, &st) < 0 || S_ISREG(st.st_mode) || error_set(error, "'%s' is there, and is no regular file", path);
}

/* The file has its name when all of it is there. */
static bool save_to(const Cmd *cmd, const Dom *dom, Client *client, const char *path, GError **error)
{
    g_autofree char *aside = g_strconcat(path, ".part", NULL), *uri = g_strconcat("file:", aside, NULL);
    g_autofree char *definition = NULL;

    definition = saved_definition(dom, client, true, error);
    if (!definition) {
        g_prefix_error(error, follow_interrupted() ? "Failed to save domain '%s': "
                                                   : "Domain '%s' could not be restored, and is not saved: ",
                       dom->name);
        return false;
    }
    if (!follow_begin(client, uri, &(FollowOptions) { .definition = definition }, error) ||
        !follow_to_end(cmd, "Save", client, error)) {
        g_prefix_error(error, "Failed to save domain '%s': ", dom->name);
        return false;
    }
    if (rename(aside, path) < 0) {
        error_set_errno(error, errno, "Cannot rename '%s'", aside);
        return error_hint(error, "The domain is saved in that file, and is paused.");
    }
    return follow_end(client, error);
}

static bool save(const Cmd *cmd, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(cmd_text(cmd, "file"), NULL);
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);

    if (!client || !may_be_replaced(path, error) || !save_to(cmd, dom, client, path, error)) {
        return false;
    }
    say(cmd, "Domain '%s' saved to %s", dom->name, path);
    return true;
}

static bool managedsave(const Cmd *cmd, GError **error)
{
    g_autofree char *path = NULL;
    g_autoptr(Dom) dom = NULL;
    g_autoptr(Client) client = cmd_connect(cmd, &dom, error);

    if (client && !dom->persistent) {
        return error_set(error, "Domain '%s' is transient: start would not find it", dom->name);
    }
    path = client ? managed_path(dom->name, error) : NULL;
    if (!path || !managed_prepare(error) || !save_to(cmd, dom, client, path, error)) {
        return false;
    }
    say(cmd, "Domain '%s' state saved by lodgectl", dom->name);
    return true;
}

static bool managedsave_remove(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);

    if (!dom) {
        return false;
    }
    if (!managed_exists(dom->name)) {
        say(cmd, "Domain '%s' has no managed save image; removal skipped", dom->name);
        return true;
    }
    if (!managed_remove(dom->name, error)) {
        return false;
    }
    say(cmd, "Removed managedsave image for domain '%s'", dom->name);
    return true;
}

/* ---- restore ---- */

static bool check(const MigrateHeader *header, const char *path, int fd, GError **error)
{
    g_autoptr(Json) json = saved_header_json(header);
    g_autofree uint8_t *state = saved_state(header, fd, error);

    if (!state) {
        return error_subject(error, path);
    }
    return saved_check(header->name, header->definition, json, error);
}

static bool restore(const Cmd *cmd, GError **error)
{
    g_autofree char *path = g_canonicalize_filename(cmd_text(cmd, "file"), NULL), *name = NULL;
    bool checks = cmd_flag(cmd, "check"), ok;
    MigrateHeader header;
    int fd;

    if (!saved_open(path, &header, &fd, error)) {
        return false;
    }
    ok = checks && header.name && header.definition ? check(&header, path, fd, error)
                                                    : saved_restore(&header, path, cmd_flag(cmd, "paused"), error);
    close(fd);
    name = clean_text(header.name ? header.name : "", "");
    migrate_header_clear(&header);
    if (ok && checks) {
        say(cmd, "Domain '%s' could be restored from %s", name, path);
    } else if (ok) {
        say(cmd, "Domain '%s' restored from %s", name, path);
    }
    return ok;
}

/* ---- inspect ---- */

static void line(const char *title, const char *text)
{
    g_autofree char *clean = clean_text(text ? text : "-", "");

    printf("%-16s%s\n", title, clean);
}

static bool describe_state(const MigrateHeader *header, int fd, GError **error)
{
    g_autofree uint8_t *data = saved_state(header, fd, error);
    g_autoptr(GString) text = g_string_new(NULL);

    if (!data || !state_describe(data, header->state_length, text, error)) {
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

    if (!saved_open(cmd_text(cmd, "file"), &header, &fd, error)) {
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

const Verb save_verbs[] = {
    { "save", ARGS(ARG_DOMAIN(OF_ACTIVE), { "file", ARG_TEXT, true, OF_FILE, "Where to" }), save,
      "Save a running domain to a file, and end it",
      "First it is made sure that it can be restored: by its definition, or by the one that it was started by, if it "
      "has become another since. What was plugged in and is in neither has to be unplugged before. An interrupt gives "
      "it up, and the domain runs on." },
    { "restore", ARGS({ "file", ARG_TEXT, true, OF_FILE, "The saved domain" },
                      { "paused", ARG_FLAG, .help = "Do not let it run yet" },
                      { "check", ARG_FLAG, .help = "Only say whether it could be, or why not" }), restore,
      "Start a domain where it was saved",
      "The file is its memory from then on: nobody may change it while it runs. --check looks for damage, lets lodge "
      "make the machine, compares machine, CPU features, memory, devices and versions, and ends; memory, which has no "
      "checksum, is not read." },
    { "managedsave", ARGS(ARG_DOMAIN(OF_ACTIVE)), managedsave,
      "Save a running domain, so that its next start goes on from there, and end it",
      "It starts by the definition that it had. An interrupt gives it up, and the domain runs on." },
    { "managedsave-remove", ARGS(ARG_DOMAIN(OF_INACTIVE)), managedsave_remove,
      "Forget what managedsave saved, so that the domain starts anew" },
    { "inspect", ARGS({ "file", ARG_TEXT, true, OF_FILE, "The saved domain" },
                      { "definition", ARG_FLAG, .help = "Print its definition" },
                      { "state", ARG_FLAG, .help = "Print the state of its devices" }), inspect,
      "Tell what a saved domain is" },
    { NULL },
};
