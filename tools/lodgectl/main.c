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
#include "tools/lodgectl/verb.h"
#include "vmm/error.h"

static int print(void (*make)(GString *out))
{
    g_autoptr(GString) out = g_string_new(NULL);

    make(out);
    fputs(out->str, stdout);
    return EXIT_SUCCESS;
}

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

/* Options before the verb.  true: *ret_status is all there is to do. */
static bool read_options(char ***words, bool *ret_quiet, int *ret_status, GError **error)
{
    static const struct { const char *name, *alias; void (*make)(GString *out); } prints[] = {
        { "--help", "-h", help_all }, { "--version", "-v", print_version }, { "--man", "--man", help_man },
        { "--completion", "--completion", help_completion },
    };

    for (; **words && (**words)[0] == '-'; ++*words) {
        for (size_t i = 0; i < G_N_ELEMENTS(prints); i++) {
            if (g_str_equal(**words, prints[i].name) || g_str_equal(**words, prints[i].alias)) {
                *ret_status = print(prints[i].make);
                return true;
            }
        }
        if (!g_str_equal(**words, "-q") && !g_str_equal(**words, "--quiet")) {
            error_set(error, "There is no option '%s'", **words);
            error_hint(error, "See lodgectl --help.");
            *ret_status = EXIT_FAILURE;
            return true;
        }
        *ret_quiet = true;
    }
    return false;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    int status = EXIT_SUCCESS;
    bool quiet = false;
    char **words = argv + 1;

    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN);
    if (!read_options(&words, &quiet, &status, &error)) {
        if (!*words) {
            error_set(&error, "A command is missing");
            error_hint(&error, "See lodgectl help.");
        } else {
            status = run(words, quiet, &error) ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    }
    if (error) {
        say_error(error);
        status = EXIT_FAILURE;
    }
    if (fflush(stdout) != 0 || ferror(stdout)) { /* a full disk, or nobody reads any more */
        status = EXIT_FAILURE;
    }
    return status;
}
