/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/domain-log.h; and domlog, which prints one.
 */
#include "tools/lodgectl/domain-log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"
#include "vmm/registry.h"

char *domain_log_path(const char *name, bool previous)
{
    g_autofree char *logs = registry_logs();
    g_autofree char *file = g_strconcat(name, previous ? ".log.1" : ".log", NULL);

    return logs ? g_build_filename(logs, file, NULL) : NULL;
}

char *domain_log_begin(GError **error)
{
    g_autofree char *logs = registry_logs();
    g_autofree char *path = logs ? g_build_filename(logs, ".start-XXXXXX", NULL) : NULL;
    int fd;

    if (!logs) {
        error_set(error, "There is no place for logs: neither XDG_STATE_HOME nor HOME is set");
        return NULL;
    }
    if (g_mkdir_with_parents(logs, 0700) < 0) {
        error_set_errno(error, errno, "Cannot make the folder '%s'", logs);
        return NULL;
    }
    fd = g_mkstemp_full(path, O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) {
        error_set_errno(error, errno, "Cannot make a log in '%s'", logs);
        return NULL;
    }
    close(fd);
    return g_steal_pointer(&path);
}

void domain_log_keep(const char *name, const char *path)
{
    g_autofree char *log = domain_log_path(name, false);
    g_autofree char *before = domain_log_path(name, true);

    if ((rename(log, before) < 0 && errno != ENOENT) || rename(path, log) < 0) {
        say_warning("The log of domain '%s' is '%s', as it cannot be renamed: %s", name, path, g_strerror(errno));
    }
}

/* ---- domlog ---- */

static bool print_file(const char *path, GError **error)
{
    FILE *in = fopen(path, "re");
    char *line = NULL;
    size_t size = 0;

    if (!in) {
        return error_set_errno(error, errno, "Cannot read '%s'", path);
    }
    while (getline(&line, &size, in) > 0) {
        g_autofree char *clean = clean_text(line, "\n\t");

        fputs(clean, stdout);
    }
    free(line);
    fclose(in);
    return true;
}

static bool domlog(const Cmd *cmd, GError **error)
{
    g_autoptr(Dom) dom = cmd_domain(cmd, error);
    g_autofree char *path = dom ? domain_log_path(dom->name, cmd_flag(cmd, "previous")) : NULL;

    if (!dom) {
        return false;
    }
    if (!path || !g_file_test(path, G_FILE_TEST_EXISTS)) {
        error_set(error, "Domain '%s' has no %slog", dom->name, cmd_flag(cmd, "previous") ? "previous " : "");
        return error_hint(error, "Only what lodgectl starts has one; a plain lodge writes to its standard error.");
    }
    return cmd_flag(cmd, "path") ? puts(path) >= 0 : print_file(path, error);
}

const Verb log_verbs[] = {
    { "domlog", ARGS(ARG_DOMAIN(OF_DEFINED), { "path", ARG_FLAG, .help = "Print the name of the file, not the log" },
                     { "previous", ARG_FLAG, .help = "That of the start before" }),
      domlog, "Print what lodge has said since a domain was started",
      "Only what lodgectl starts has a log. It stays when the domain has ended, until it is started twice again." },
    { NULL },
};
