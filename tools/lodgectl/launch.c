/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tools/lodgectl/launch.h.
 *
 * A definition without a serial port gets one, on a unix socket in the domain's folder of the registry, so that there
 * is a console; machine `none` has no place for it.
 */
#include "tools/lodgectl/launch.h"

#include <string.h>
#include <unistd.h>

#include "tools/lodgectl/definitions.h"
#include "tools/lodgectl/print.h"
#include "vmm/error.h"
#include "vmm/registry.h"

/* ---- the command line ---- */

/* $LODGE, else the one beside us, else that of the path. */
static char *find_lodge(void)
{
    const char *given = g_getenv("LODGE");
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *at = self ? g_path_get_dirname(self) : NULL;
    g_autofree char *beside = at ? g_build_filename(at, "lodge", NULL) : NULL;

    if (given && *given) {
        return g_strdup(given);
    }
    return g_strdup(beside && g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE) ? beside : "lodge");
}

static bool any_has(const GPtrArray *texts, const char *part)
{
    for (guint i = 0; i < texts->len; i++) {
        if (strstr(texts->pdata[i], part)) {
            return true;
        }
    }
    return false;
}

static bool needs_console(const Options *o)
{
    return !o->serials->len && !any_has(o->devices, "isa-serial") && !any_has(o->devices, "virtconsole") &&
           !any_has(o->machine, "isa-serial=off") && !(o->machine_type && g_str_equal(o->machine_type, "none"));
}

/* A comma inside a value is written as two. */
static char *quote(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    return g_strjoinv(",,", parts);
}

static GPtrArray *command_line(const char *name, const char *definition, const Options *o, bool paused)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *root = registry_root();
    g_autofree char *quoted = quote(name);

    g_ptr_array_add(argv, find_lodge());
    g_ptr_array_add(argv, g_strdup("-readconfig"));
    g_ptr_array_add(argv, g_strdup(definition));
    g_ptr_array_add(argv, g_strdup("-name"));
    g_ptr_array_add(argv, g_strdup_printf("guest=%s", quoted));
    g_ptr_array_add(argv, g_strdup("-daemonize"));
    if (paused) {
        g_ptr_array_add(argv, g_strdup("-S"));
    }
    if (root && needs_console(o)) {
        g_autofree char *path = g_build_filename(root, name, REGISTRY_CONSOLE, NULL);
        g_autofree char *quoted_path = quote(path);

        g_ptr_array_add(argv, g_strdup("-serial"));
        g_ptr_array_add(argv, g_strdup_printf("unix:%s,server=on,wait=off", quoted_path));
    }
    return argv;
}

/* ---- running it ---- */

/* The last line that says something, without the program's name. */
static char *last_words(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *last = "it does not say why";

    for (char **line = lines; *line; line++) {
        if (*g_strstrip(*line)) {
            last = g_str_has_prefix(*line, "lodge: ") ? *line + strlen("lodge: ") : *line;
        }
    }
    return g_strdup(last);
}

static void repeat_warnings(const char *text)
{
    static const char prefix[] = "lodge: warning: ";
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, prefix)) {
            say_warning("%s", *line + strlen(prefix));
        }
    }
}

/* Lodge runs a domain unlisted where it must; one that lodgectl starts must be listed. */
static void require_listing(gpointer opaque)
{
    g_setenv(REGISTRY_REQUIRED, "1", TRUE);
}

/* argv gets its end here. */
static bool spawn(const char *name, GPtrArray *argv, GError **error)
{
    g_autofree char *said = NULL, *why = NULL;
    GError *failed = NULL;
    int status;

    g_ptr_array_add(argv, NULL);
    if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL,
                      require_listing, NULL, NULL, &said, &status, &failed)) {
        error_set(error, "Failed to start domain '%s': %s", name, failed->message);
        g_error_free(failed);
        return false;
    }
    if (!g_spawn_check_wait_status(status, NULL)) {
        why = last_words(said);
        return error_set(error, "Failed to start domain '%s': %s", name, why);
    }
    repeat_warnings(said);
    return true;
}

bool launch(const char *name, bool paused, GError **error)
{
    g_autofree char *path = definition_path(name);
    g_autoptr(GPtrArray) argv = NULL;
    Options options;

    if (!definition_load(name, &options, error)) {
        return error_subject(error, "Failed to start the domain");
    }
    argv = command_line(name, path, &options, paused);
    options_clear(&options);
    return spawn(name, argv, error);
}

bool launch_restored(const char *name, const char *definition, const char *saved, bool paused, GError **error)
{
    g_autofree char *quoted = quote(saved);
    g_autoptr(GPtrArray) argv = NULL;
    Options options;

    if (!definition_parse(definition, &options, error)) {
        return error_subject(error, saved);
    }
    argv = command_line(name, definition, &options, paused);
    options_clear(&options);
    g_ptr_array_add(argv, g_strdup("-incoming"));
    g_ptr_array_add(argv, g_strdup_printf("file:%s", quoted));
    return spawn(name, argv, error);
}

/* ---- systemd ---- */

/* Others would have to be escaped, and the unit could not find the domain by them. */
static bool is_instance_name(const char *name)
{
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.") == strlen(name);
}

void launch_tell_systemd(const char *name, bool on)
{
    g_autofree char *unit = g_strdup_printf("lodge@%s.service", name);
    g_autofree char *said = NULL, *why = NULL;
    const char *argv[5] = { "systemctl" };
    unsigned n = 1;
    int status = 0;

    if (!g_file_test("/run/systemd/system", G_FILE_TEST_IS_DIR) || g_getenv("LODGE_CONFIG_DIR")) {
        return;
    }
    if (!is_instance_name(name)) {
        if (on) {
            say_warning("systemd cannot start domain '%s', as its name has unusual characters; "
                        "lodgectl autostart --run can", name);
        }
        return;
    }
    if (geteuid() != 0) {
        argv[n++] = "--user";
    }
    argv[n++] = on ? "enable" : "disable";
    argv[n++] = unit;
    if (!g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL,
                      &said, &status, NULL) || !g_spawn_check_wait_status(status, NULL)) {
        why = last_words(said ? said : "");
        say_warning("systemd does not %s %s: %s", on ? "enable" : "disable", unit, why);
    }
}
