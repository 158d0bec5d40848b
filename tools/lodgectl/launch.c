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
#include "tools/lodgectl/domain-log.h"
#include "tools/lodgectl/print.h"
#include "tools/lodgectl/tuning.h"
#include "vmm/error.h"
#include "vmm/field.h"
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

/* incoming: what it goes on from; NULL: it boots.  log NULL: there is none. */
static GPtrArray *command_line(const char *name, const char *definition, const char *incoming, const Options *o,
                               bool paused, const char *log)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *root = registry_root();
    g_autofree char *quoted = keyval_quote(name);

    g_ptr_array_add(argv, find_lodge());
    g_ptr_array_add(argv, g_strdup("-readconfig"));
    g_ptr_array_add(argv, g_strdup(definition));
    g_ptr_array_add(argv, g_strdup("-name"));
    g_ptr_array_add(argv, g_strdup_printf("guest=%s", quoted));
    g_ptr_array_add(argv, g_strdup("-daemonize"));
    if (paused) {
        g_ptr_array_add(argv, g_strdup("-S"));
    }
    if (log) {
        g_ptr_array_add(argv, g_strdup("-D"));
        g_ptr_array_add(argv, g_strdup(log));
        g_ptr_array_add(argv, g_strdup("-msg"));
        g_ptr_array_add(argv, g_strdup("timestamp=on"));
    }
    if (needs_console(o)) {
        g_autofree char *path = g_build_filename(root, name, REGISTRY_CONSOLE, NULL);
        g_autofree char *quoted_path = keyval_quote(path);

        g_ptr_array_add(argv, g_strdup("-serial"));
        g_ptr_array_add(argv, g_strdup_printf("unix:%s,server=on,wait=off", quoted_path));
    }
    if (incoming) {
        g_ptr_array_add(argv, g_strdup("-incoming"));
        g_ptr_array_add(argv, g_strdup(incoming));
    }
    g_ptr_array_add(argv, NULL);
    return argv;
}

/* ---- running it ---- */

/* What a line says, without the time and the program's name. */
static const char *words_of(char *line)
{
    static const char program[] = "lodge: ";
    const char *at = strstr(g_strstrip(line), program), *space = strchr(line, ' ');

    return at && (at == line || at == space + 1) ? at + strlen(program) : line;
}

/* The last line that says something. */
static char *last_words(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *last = "it does not say why";

    for (char **line = lines; *line; line++) {
        const char *words = words_of(*line);

        last = *words ? words : last;
    }
    return g_strdup(last);
}

static void repeat_warnings(const char *text)
{
    static const char prefix[] = "warning: ";
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++) {
        const char *words = words_of(*line);

        if (g_str_has_prefix(words, prefix)) {
            say_warning("%s", words + strlen(prefix));
        }
    }
}

/* Lodge runs a domain unlisted where it must; one that lodgectl starts must be listed. */
static void require_listing(gpointer opaque)
{
    g_setenv(REGISTRY_REQUIRED, "1", TRUE);
}

/* true: it runs, in the background.  *ret_said: what it wrote to standard error, the caller's; NULL: it was not run. */
static bool run(const char *name, GPtrArray *argv, char **ret_said, GError **error)
{
    g_autoptr(GError) failed = NULL;
    int status;

    *ret_said = NULL;
    if (!g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL,
                      require_listing, NULL, NULL, ret_said, &status, &failed)) {
        return error_set(error, "Failed to start domain '%s': %s", name, failed->message);
    }
    return g_spawn_check_wait_status(status, NULL);
}

/* What it said on standard error, and then to its log. */
static char *all_words(const char *said, const char *log)
{
    g_autofree char *logged = NULL;

    if (log) {
        g_file_get_contents(log, &logged, NULL, NULL);
    }
    return g_strconcat(said ? said : "", logged ? logged : "", NULL);
}

/* What it was started by may change, and it runs on.  A domain that has ended already has no folder. */
static void keep_definition(const char *name, const char *definition)
{
    g_autofree char *root = registry_root(), *text = NULL;
    g_autofree char *path = g_build_filename(root, name, REGISTRY_DEFINITION, NULL);

    if (g_file_get_contents(definition, &text, NULL, NULL)) {
        g_file_set_contents(path, text, -1, NULL);
    }
}

static bool start(const char *name, const char *definition, const char *incoming, const Options *options,
                  bool paused, GError **error)
{
    g_autofree char *said = NULL, *log = NULL, *words = NULL, *root = registry_root();
    g_autoptr(GError) no_log = NULL;
    g_autoptr(GPtrArray) argv = NULL;
    bool ok;

    log = domain_log_begin(&no_log);
    argv = command_line(name, definition, incoming, options, paused, log);
    ok = run(name, argv, &said, error);
    words = all_words(said, log);
    if (log && (ok || !registry_is_alive(root, name))) { /* not when it ran already */
        domain_log_keep(name, log);
    } else if (log) {
        unlink(log);
    }
    if (!ok) {
        g_autofree char *why = last_words(words);

        return said ? error_set(error, "Failed to start domain '%s': %s", name, why) : false;
    }
    if (no_log) {
        say_warning("Domain '%s' has no log: %s", name, no_log->message);
    }
    repeat_warnings(words);
    keep_definition(name, definition);
    tuning_apply(name);
    return true;
}

bool launch(const char *name, bool paused, GError **error)
{
    g_autofree char *path = definition_path(name);
    Options options;
    bool ok;

    if (!definition_load(name, &options, error)) {
        return error_subject(error, "Failed to start the domain");
    }
    ok = start(name, path, NULL, &options, paused, error);
    options_clear(&options);
    return ok;
}

bool launch_incoming(const char *name, const char *definition, const char *incoming, bool paused, GError **error)
{
    Options options;
    bool ok;

    if (!definition_parse(definition, &options, error)) {
        return error_subject(error, name);
    }
    ok = start(name, definition, incoming, &options, paused, error);
    options_clear(&options);
    return ok;
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
