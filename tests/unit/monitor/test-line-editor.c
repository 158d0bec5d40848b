/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/line-editor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct Screen {
    LineEditor *editor;
    GString *shown, *lines; /* lines: each ends in LF */
} Screen;

static void show(const char *text, void *opaque)
{
    g_string_append(((Screen *)opaque)->shown, text);
}

static bool line(const char *text, void *opaque)
{
    g_string_append_printf(((Screen *)opaque)->lines, "%s\n", text);
    return !g_str_equal(text, "wait");
}

static void complete(const char *before, GPtrArray *words, void *opaque)
{
    static const char *const all[] = { "cont", "continue", "quit" };
    const char *space = strrchr(before, ' '), *word = space ? space + 1 : before;

    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        if (g_str_has_prefix(all[i], word)) {
            g_ptr_array_add(words, g_strdup(all[i]));
        }
    }
}

static int setup(void **state)
{
    static const LineEditorHost host = { show, line, complete };
    Screen *s = g_new0(Screen, 1);

    s->shown = g_string_new(NULL);
    s->lines = g_string_new(NULL);
    s->editor = line_editor_new("> ", &host, s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    Screen *s = *state;

    line_editor_free(s->editor);
    g_string_free(s->shown, TRUE);
    g_string_free(s->lines, TRUE);
    g_free(s);
    return 0;
}

/* Types, and compares the lines that were entered since the last time. */
static void assert_lines(Screen *s, const char *keys, const char *expected)
{
    g_string_truncate(s->lines, 0);
    line_editor_type(s->editor, (const uint8_t *)keys, strlen(keys));
    assert_string_equal(s->lines->str, expected);
}

static void test_enter_is_any_line_end(void **state)
{
    assert_lines(*state, "a\rb\nc\r\nd\r", "a\nb\nc\nd\n");
}

static void test_keys_move_and_delete(void **state)
{
    assert_lines(*state, "bcd\001a\005e\r", "abcde\n");
    assert_lines(*state, "axb\002\010c\r", "acb\n");
    assert_lines(*state, "abc\033[D\033[D\033[3~\r", "ac\n");
    assert_lines(*state, "abc\033[H\004\r", "bc\n");
    assert_lines(*state, "one two  \027x\r", "one x\n");
    assert_lines(*state, "abc\002\013\r", "ab\n");
    assert_lines(*state, "abc\002\025\r", "c\n");
    assert_lines(*state, "\177\010\002\004\006\r", "\n");
}

static void test_characters_are_not_cut(void **state)
{
    assert_lines(*state, "a\303\244b\002\177c\r", "acb\n");
    assert_lines(*state, "\303\244\033[D\004x\r", "x\n");
}

static void test_history_comes_back(void **state)
{
    assert_lines(*state, "one\rtwo\rtwo\r", "one\ntwo\ntwo\n");
    assert_lines(*state, "\033[A\033[A!\r", "one!\n");
    assert_lines(*state, "new\020\016\r", "new\n");
    assert_lines(*state, "\016\016\020\020\020\020\020\020\r", "one\n");
}

static void test_tab_completes(void **state)
{
    Screen *s = *state;

    assert_lines(s, "q\t\r", "quit \n");
    assert_lines(s, "help c\t\r", "help cont\n");
    g_string_truncate(s->shown, 0);
    assert_lines(s, "cont\t\r", "cont\n");
    assert_non_null(strstr(s->shown->str, "\r\ncont      continue\r\n"));
    assert_lines(s, "x\t\r", "x\n");
}

static void test_a_line_has_an_end(void **state)
{
    Screen *s = *state;
    g_autofree char *typed = g_strnfill(LINE_MAX_BYTES + 100, 'x');
    g_autofree char *kept = g_strnfill(LINE_MAX_BYTES, 'x');
    g_autofree char *expected = g_strconcat(kept, "\n", NULL);

    line_editor_type(s->editor, (const uint8_t *)typed, strlen(typed));
    assert_lines(s, "\r", expected);
}

static void test_unknown_sequences_are_swallowed(void **state)
{
    assert_lines(*state, "a\033[15~\033Pb\033[1;5Cc\r", "abc\n");
}

static void test_a_line_may_take_its_time(void **state)
{
    Screen *s = *state;
    const char *typed = "wait\r\nquit\r";

    assert_int_equal(line_editor_type(s->editor, (const uint8_t *)typed, strlen(typed)), strlen("wait\r"));
    assert_true(g_str_has_suffix(s->shown->str, "wait\033[K\r\n"));
    assert_int_equal(line_editor_type(s->editor, (const uint8_t *)"x", 1), 0);
    line_editor_go_on(s->editor);
    line_editor_prompt(s->editor);
    assert_true(g_str_has_suffix(s->shown->str, "\r\n\r> \033[K"));
    assert_lines(s, typed + strlen("wait\r"), "quit\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_enter_is_any_line_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_move_and_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_characters_are_not_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_history_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tab_completes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_line_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_sequences_are_swallowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_line_may_take_its_time, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
