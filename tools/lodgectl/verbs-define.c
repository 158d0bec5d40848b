/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Definitions of persistent domains: define, undefine, edit, dumpconfig, autostart.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/launch.h"
#include "tools/lodgectl/managed.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/saved.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"
#include "vmm/host.h"

#define DEFINITION_MAX (1u << 20)

static Dom *defined_domain(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);

    if (dom && !dom->persistent) {
        error_set(error, "Domain '%s' is transient: it has no definition", dom->name);
        return NULL;
    }
    return g_steal_pointer(&dom);
}

/* ---- define ---- */

static bool read_whole(const char *path, char **ret, GError **error)
{
    g_autofree uint8_t *data = NULL;
    size_t length;

    if (!host_read_file(g_str_equal(path, "-") ? "/dev/stdin" : path, DEFINITION_MAX, &data, &length, error)) {
        return false;
    }
    if (memchr(data, '\0', length)) {
        return error_set(error, "'%s' is no text", path);
    }
    *ret = g_strndup((const char *)data, length);
    return true;
}

static bool define(const Cmd *cmd, GError **error)
{
    const char *file = cmd_text(cmd, "file");
    g_autofree char *text = NULL, *name = NULL;

    if (!read_whole(file, &text, error)) {
        return false;
    }
    name = definition_write(text, file, error);
    if (name) {
        say(cmd, "Domain '%s' defined from %s", name, file);
    }
    return name != NULL;
}

static bool undefine(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = defined_domain(cmd, error);

    if (!dom) {
        return false;
    }
    if (managed_exists(dom->name) && !cmd_flag(cmd, "managed-save")) {
        error_set(error, "Domain '%s' has a managed save, which could not be started any more", dom->name);
        return error_hint(error, "lodgectl undefine --managed-save removes it too.");
    }
    if (!managed_remove(dom->name, error) || !definition_remove(dom->name, error)) {
        return false;
    }
    if (dom->autostart) {
        launch_tell_systemd(dom->name, false);
    }
    say(cmd, "Domain '%s' has been undefined", dom->name);
    return true;
}

static bool dumpconfig(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = defined_domain(cmd, error);
    g_autofree char *text = dom ? definition_read(dom->name, error) : NULL;

    if (text) {
        fputs(text, stdout);
    }
    return text != NULL;
}

/* ---- edit ---- */

/* Runs the editor on the file and reads what it has left. */
static bool run_editor(const char *path, char **ret, GError **error)
{
    const char *visual = g_getenv("VISUAL"), *plain = g_getenv("EDITOR");
    const char *editor = visual && *visual ? visual : plain && *plain ? plain : "vi"; /* an empty one is none */
    g_autofree char *script = g_strdup_printf("%s \"$1\"", editor); /* it may have arguments of its own */
    char *argv[] = { (char *)"sh", (char *)"-c", script, (char *)"sh", (char *)path, NULL };
    int status = 0;

    if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL, NULL, NULL,
                      &status, error)) {
        return false;
    }
    if (!g_spawn_check_wait_status(status, NULL)) {
        return error_set(error, "The editor '%s' failed", editor);
    }
    return read_whole(path, ret, error);
}

static bool ask_again(const GError *wrong)
{
    char answer[16] = "";

    say_error(wrong);
    if (!isatty(STDIN_FILENO)) {
        return false;
    }
    printf("Failed. Try again? [y,n]: ");
    fflush(stdout);
    return fgets(answer, sizeof(answer), stdin) && g_ascii_tolower(answer[0]) == 'y';
}

/* An editor that lost everything, or one that was left in a hurry: a definition of nothing is not meant. */
static bool replace(const Dom *dom, const char *before, const char *text, const char *path, GError **error)
{
    return text[strspn(text, " \t\r\n")] ? definition_replace(dom->name, before, text, path, error)
                                          : error_set(error, "'%s' is empty", path);
}

/* What was edited is not lost: it stays in the file, whose name the error tells. */
static bool edit_file(const Cmd *cmd, const Dom *dom, const char *path, const char *before, bool *ret_keep,
                      GError **error)
{
    for (;;) {
        g_autofree char *text = NULL;
        g_autoptr(GError) wrong = NULL;

        if (!run_editor(path, &text, error)) {
            return false;
        }
        if (g_str_equal(text, before)) {
            say(cmd, "Domain '%s' configuration not changed.", dom->name);
            return true;
        }
        if (replace(dom, before, text, path, &wrong)) {
            say(cmd, "Domain '%s' configuration edited.", dom->name);
            return true;
        }
        if (!ask_again(wrong)) {
            *ret_keep = true;
            return error_set(error, "The definition of domain '%s' is as it was; what was edited is in '%s'", dom->name,
                             path);
        }
    }
}

static bool edit(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = defined_domain(cmd, error);
    g_autofree char *text = dom ? definition_read(dom->name, error) : NULL;
    g_autofree char *path = NULL;
    bool keep = false, ok;
    int fd;

    if (!text) {
        return false;
    }
    fd = g_file_open_tmp("lodgectl-XXXXXX.conf", &path, error);
    if (fd < 0) {
        return false;
    }
    close(fd);
    ok = host_write_file(path, text, strlen(text), 0600, error) && edit_file(cmd, dom, path, text, &keep, error);
    if (!keep) {
        unlink(path);
    }
    return ok;
}

/* ---- autostart ---- */

/* Each that does not run yet; those after one that fails are started all the same. */
static bool run_all(const Cmd *cmd, GError **error)
{
    g_autoptr(GPtrArray) all = domains_list();
    unsigned failed = 0;

    for (guint i = 0; i < all->len; i++) {
        Dom *dom = all->pdata[i];
        g_autoptr(GError) wrong = NULL;

        if (!dom->autostart || dom->active) {
            continue;
        }
        if (saved_launch(dom->name, false, &wrong)) {
            say(cmd, "Domain '%s' started", dom->name);
        } else {
            say_error(wrong);
            failed++;
        }
    }
    return !failed || error_set(error, "%u of the domains to be started could not be", failed);
}

static bool autostart(const Cmd *cmd, GError **error)
{
    bool disable = cmd_flag(cmd, "disable");
    g_autoptr(Dom) dom = NULL;

    if (cmd_flag(cmd, "run")) {
        return cmd_text(cmd, "domain") || disable
                   ? error_set(error, "autostart --run starts all, and takes nothing else") : run_all(cmd, error);
    }
    if (!cmd_text(cmd, "domain")) {
        return error_set(error, "autostart needs a domain, or --run");
    }
    dom = defined_domain(cmd, error);
    if (!dom || !definition_set_autostart(dom->name, !disable, error)) {
        return false;
    }
    launch_tell_systemd(dom->name, !disable);
    say(cmd, disable ? "Domain '%s' unmarked as autostarted" : "Domain '%s' marked as autostarted", dom->name);
    return true;
}

const Verb define_verbs[] = {
    { "define", ARGS({ "file", ARG_TEXT, true, OF_FILE,
                       "A file as lodge reads it with -readconfig; -: standard input" }),
      define, "Make a domain persistent, or change its definition",
      "The domain is named by [name] guest, else by the file. A UUID that is missing in [uuid] is added. A transient "
      "domain of that name becomes persistent while it runs." },
    { "undefine", ARGS(ARG_DOMAIN(OF_DEFINED), { "managed-save", ARG_FLAG, .help = "Also what managedsave saved" }),
      undefine, "Remove the definition of a domain",
      "If it runs, it runs on, and is transient from then on." },
    { "edit", ARGS(ARG_DOMAIN(OF_DEFINED)), edit, "Edit the definition of a domain",
      "What is written is checked. A domain that runs sees it at its next start." },
    { "dumpconfig", ARGS(ARG_DOMAIN(OF_DEFINED)), dumpconfig, "Print the definition of a domain" },
    { "autostart", ARGS({ "domain", ARG_TEXT, false, OF_DEFINED, "Name, id or UUID of the domain" },
                        { "disable", ARG_FLAG, .help = "Do not start it with the host" },
                        { "run", ARG_FLAG, .help = "Start all that are marked and do not run" }),
      autostart, "Start a domain with the host",
      "Where systemd runs, its unit lodge@NAME.service does it; elsewhere whatever starts the host calls lodgectl "
      "autostart --run." },
    { NULL },
};
