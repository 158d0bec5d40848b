/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tools/lodgectl/verb.c: what follows a verb; and that the table of verbs is well-formed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tools/lodgectl/verb.h"

static const Verb sample = { "sample", ARGS(ARG_DOMAIN(OF_DOMAIN), { "all", ARG_FLAG, .help = "All" },
                                            { "seconds", ARG_NUMBER, .help = "Time" },
                                            { "type", ARG_TEXT, .help = "Type" }), NULL, "Sample", NULL };
static const Verb with_rest = { "rest", ARGS(ARG_DOMAIN(OF_DOMAIN), { "type", ARG_TEXT, .help = "Type" },
                                             { "words", ARG_REST, true, .help = "Words" }), NULL, "Rest", NULL };
#define WORDS(...) ((char *[]) { __VA_ARGS__, NULL })

static void refused(const Verb *verb, char **words, const char *says)
{
    g_autoptr(GError) error = NULL;
    Cmd cmd;

    assert_false(cmd_parse(verb, words, &cmd, &error));
    assert_non_null(strstr(error->message, says));
}

static void test_words_fill_texts_in_order(void **state)
{
    char x[] = "x", all[] = "--all", t[] = "t";
    Cmd cmd;

    assert_true(cmd_parse(&sample, WORDS(x, all, t), &cmd, NULL));
    assert_string_equal(cmd_text(&cmd, "domain"), "x");
    assert_string_equal(cmd_text(&cmd, "type"), "t");
    assert_true(cmd_flag(&cmd, "all"));
    assert_int_equal(cmd_number(&cmd, "seconds", 5), 5);
    cmd_clear(&cmd);
}

static void test_options_by_name(void **state)
{
    char a[] = "--seconds", n[] = "7", b[] = "--domain=y=z";
    Cmd cmd;

    assert_true(cmd_parse(&sample, WORDS(a, n, b), &cmd, NULL));
    assert_int_equal(cmd_number(&cmd, "seconds", 5), 7);
    assert_string_equal(cmd_text(&cmd, "domain"), "y=z");
    assert_false(cmd_flag(&cmd, "all"));
    cmd_clear(&cmd);
}

static void test_two_dashes_end_options(void **state)
{
    char end[] = "--", name[] = "--all";
    Cmd cmd;

    assert_true(cmd_parse(&sample, WORDS(end, name), &cmd, NULL));
    assert_string_equal(cmd_text(&cmd, "domain"), "--all");
    cmd_clear(&cmd);
}

static void test_rest_is_taken_as_it_is(void **state)
{
    char x[] = "x", option[] = "--type=t", first[] = "info", flag[] = "--all";
    Cmd cmd;

    assert_true(cmd_parse(&with_rest, WORDS(x, option, first, flag), &cmd, NULL));
    assert_string_equal(cmd_text(&cmd, "type"), "t");
    assert_string_equal(cmd.rest[0], "info");
    assert_string_equal(cmd.rest[1], "--all");
    assert_null(cmd.rest[2]);
    cmd_clear(&cmd);
}

static void test_mistakes(void **state)
{
    char x[] = "x", y[] = "y", z[] = "z", al[] = "--al", all[] = "--all=1", seconds[] = "--seconds", minus[] = "-1",
         twice[] = "--domain=x", big[] = "--seconds=4294967296";

    refused(&sample, WORDS(NULL), "needs a domain");
    refused(&sample, WORDS(x, y, z), "one word too many");
    refused(&sample, WORDS(x, al), "no option '--al'");
    refused(&sample, WORDS(x, all), "takes no value");
    refused(&sample, WORDS(x, seconds), "needs a value");
    refused(&sample, WORDS(x, seconds, minus), "no number");
    refused(&sample, WORDS(x, big), "no number");
    refused(&sample, WORDS(twice, twice), "given twice");
    refused(&with_rest, WORDS(x), "needs a words");
}

static void check_args(const Verb *v)
{
    bool optional = false;

    for (const Arg *a = v->args; a->kind != ARG_END; a++) {
        assert_non_null(a->help);
        assert_false(g_str_has_suffix(a->help, "."));
        if (a->kind == ARG_TEXT) { /* by position, what may be left out comes last */
            assert_false(optional && a->required);
            optional = optional || !a->required;
        }
        assert_true(a->kind != ARG_REST || a[1].kind == ARG_END);
        for (const Arg *b = v->args; b != a; b++) {
            assert_string_not_equal(a->name, b->name);
        }
    }
}

static void test_table_is_well_formed(void **state)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

    for (const VerbSection *s = verb_sections; s->title; s++) {
        for (const Verb *v = s->verbs; v->name; v++) {
            assert_true(g_hash_table_add(names, (gpointer)v->name));
            assert_ptr_equal(verb_find(v->name, NULL), v);
            assert_non_null(v->run);
            assert_non_null(v->help);
            assert_true(!v->more || g_str_has_suffix(v->more, "."));
            check_args(v);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_fill_texts_in_order),
        cmocka_unit_test(test_options_by_name),
        cmocka_unit_test(test_two_dashes_end_options),
        cmocka_unit_test(test_rest_is_taken_as_it_is),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_table_is_well_formed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
