/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lodgectl: finds the verb and runs it.
 */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/lodgectl/print.h"
#include "tools/lodgectl/user.h"
#include "tools/lodgectl/verb.h"
#include "vmm/error.h"

static bool help(char **words, GError **error)
{
    g_autoptr(GString) out = g_string_new(NULL);
    const Verb *verb = *words ? verb_find(*words, error) : NULL;

    if (*words && !verb) {
        return false;
    }
    if (verb) {
        help_verb(verb, out);
    } else {
        help_all(out);
    }
    fputs(out->str, stdout);
    return true;
}

static bool run(char **words, bool quiet, GError **error)
{
    const Verb *verb;
    Cmd cmd;
    bool ok;

    if (g_str_equal(words[0], "help")) {
        return help(words + 1, error);
    }
    verb = verb_find(words[0], error);
    if (!verb) {
        return false;
    }
    if (words[1] && (g_str_equal(words[1], "--help") || g_str_equal(words[1], "-h"))) {
        return help(words, error);
    }
    if (!cmd_parse(verb, words + 1, &cmd, error)) {
        return false;
    }
    cmd.quiet = quiet;
    ok = verb->run(&cmd, error);
    cmd_clear(&cmd);
    return ok;
}

static void print_version(GString *out)
{
    g_string_append(out, "lodgectl version " LODGE_VERSION "\n");
}

/* Help and the like: prints it, and ends.  false: name is none of these. */
static bool print_instead(const char *name)
{
    static const struct { const char *name, *alias; void (*make)(GString *out); } prints[] = {
        { "--help", "-h", help_all }, { "--version", "-v", print_version }, { "--man", "--man", help_man },
        { "--completion", "--completion", help_completion },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(prints); i++) {
        if (g_str_equal(name, prints[i].name) || g_str_equal(name, prints[i].alias)) {
            g_autoptr(GString) out = g_string_new(NULL);

            prints[i].make(out);
            fputs(out->str, stdout);
            return true;
        }
    }
    return false;
}

/* Options before the verb; *words: what follows them.  *ret_done: there is nothing more to be done. */
static bool read_options(char ***words, bool *ret_quiet, bool *ret_done, GError **error)
{
    for (; **words && (**words)[0] == '-'; ++*words) {
        const char *name = **words;

        if (print_instead(name)) {
            *ret_done = true;
            return true;
        }
        if (g_str_equal(name, "-q") || g_str_equal(name, "--quiet")) {
            *ret_quiet = true;
        } else if (g_str_equal(name, "--user") && !(*words)[1]) {
            return error_set(error, "--user needs the name of a user");
        } else if (g_str_equal(name, "--user")) {
            if (!user_become(*++*words, error)) {
                return false;
            }
        } else {
            error_set(error, "There is no option '%s'", name);
            return error_hint(error, "See lodgectl --help; options of a command follow it.");
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    bool quiet = false, done = false, ok;
    char **words = argv + 1;

    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN);
    ok = read_options(&words, &quiet, &done, &error);
    if (ok && !done && !*words) {
        error_set(&error, "A command is missing");
        ok = error_hint(&error, "See lodgectl help.");
    } else if (ok && !done) {
        ok = run(words, quiet, &error);
    }
    if (error) {
        say_error(error);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) { /* a full disk, or nobody reads any more */
        ok = false;
    }
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
