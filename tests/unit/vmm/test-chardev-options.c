/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/chardev-options.c: JSON, short forms, help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib.h>
#include <string.h>

#include "chardev-rig.h"
#include "vmm/chardev-internal.h"
#include "vmm/error.h"

static Chardev *add_json(Rig *r, const char *text, GError **error)
{
    g_autoptr(Json) json = json_parse(text, strlen(text), error);

    assert_non_null(json);
    return chardev_add(r->domain, json, error);
}

static void test_chardev_add_makes_a_socket(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("{\"id\": \"c\", \"backend\": {\"type\": \"socket\", \"data\": "
                                            "{\"addr\": {\"type\": \"unix\", \"data\": {\"path\": \"%s\"}}}}}", r->path);
    g_autofree char *name = NULL, *expected = g_strdup_printf("disconnected:unix:%s,server=on", r->path);
    Chardev *chr = add_json(r, text, NULL);

    assert_non_null(chr);
    name = chardev_filename(chr);
    assert_string_equal(name, expected);
}

static void test_chardev_add_makes_a_file_and_a_pty(void **state)
{
    Rig *r = *state;
    g_autofree char *text = g_strdup_printf("{\"id\": \"f\", \"backend\": {\"type\": \"file\", \"data\": "
                                            "{\"out\": \"%s\"}}}", r->path);

    assert_non_null(add_json(r, text, NULL));
    assert_non_null(add_json(r, "{\"id\": \"p\", \"backend\": {\"type\": \"pty\", \"data\": {}}}", NULL));
}

static void test_chardev_add_names_what_is_wrong(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;

    assert_null(add_json(r, "{\"id\": \"c\", \"backend\": {\"type\": \"file\", \"data\": "
                              "{\"out\": \"/x\", \"path\": \"/x\"}}}", &error));
    assert_non_null(strstr(error->message, "path"));
}

static char *refusal_of_socket_option(Rig *r, const char *option)
{
    g_autofree char *text = g_strdup_printf("{\"id\": \"c\", \"backend\": {\"type\": \"socket\", \"data\": {\"addr\": "
                                            "{\"type\": \"unix\", \"data\": {\"path\": \"%s\"}}, \"%s\": true}}}",
                                            r->path, option);
    g_autoptr(GError) error = NULL;

    assert_null(add_json(r, text, &error));
    return g_strdup(error->message);
}

static void test_protocols_that_are_not_there_are_refused_by_name(void **state)
{
    Rig *r = *state;
    g_autofree char *websocket = refusal_of_socket_option(r, "websocket");
    g_autofree char *tn3270 = refusal_of_socket_option(r, "tn3270");
    g_autofree char *flat = rig_error(r, "socket,id=c,path=/x,websocket=on");

    assert_non_null(strstr(websocket, "websocket' is unknown"));
    assert_non_null(strstr(tn3270, "tn3270' is unknown"));
    assert_non_null(strstr(flat, "'websocket'"));
}

static void test_table_has_no_mistakes(void **state)
{
    g_autofree char *mistakes = field_struct_check(&chardev_options);

    assert_null(mistakes);
}

static void test_help_lists_backends_with_their_options(void **state)
{
    GString *help = g_string_new(NULL);

    chardev_help(help);
    assert_non_null(strstr(help->str, "ringbuf"));
    assert_true(chardev_backend_help("file", help, NULL));
    assert_non_null(strstr(help->str, "input-path"));
    assert_true(chardev_backend_help("socket", help, NULL));
    assert_null(strstr(help->str, "nowait"));
    g_string_free(help, TRUE);
}

static void check_short(Rig *r, const char *text, const char *filename)
{
    Chardev *chr = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GError) error = NULL;

    if (!chardev_add_short(r->domain, "s", text, &chr, &error)) {
        fail_msg("%s: %s", text, error->message);
    }
    name = chardev_filename(chr);
    assert_string_equal(name, filename);
    chardev_remove_all(r->domain);
}

static void test_short_forms(void **state)
{
    Rig *r = *state;
    g_autofree char *file = g_strdup_printf("file:%s,x", r->path), *odd = g_strconcat(r->path, ",x", NULL);
    g_autofree char *local = g_strdup_printf("unix:%s,server,nowait", r->path);
    g_autofree char *local_name = g_strdup_printf("disconnected:unix:%s,server=on", r->path);
    Chardev *chr = (Chardev *)r;

    check_short(r, "null", "null");
    check_short(r, "mon:null", "null");
    check_short(r, file, "file");
    assert_true(g_file_test(odd, G_FILE_TEST_EXISTS));
    check_short(r, local, local_name);
    check_short(r, "tcp:127.0.0.1:47114,server=on,wait=off", "disconnected:tcp:127.0.0.1:47114,server=on");
    check_short(r, "telnet:127.0.0.1:47114,server=on,wait=off", "disconnected:telnet:127.0.0.1:47114,server=on");
    check_short(r, "tcp::47114,server=on,wait=off", "disconnected:tcp::47114,server=on");
    check_short(r, "tcp:[::1]:47114,server=on,wait=off", "disconnected:tcp:::1:47114,server=on");
    assert_true(chardev_add_short(r->domain, "s", "none", &chr, NULL));
    assert_null(chr);
}

static void test_short_form_that_is_none_is_refused_with_the_list(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;
    Chardev *chr;

    assert_false(chardev_add_short(r->domain, "s", "websocket:localhost:1", &chr, &error));
    assert_non_null(strstr(error->message, "websocket:"));
    assert_non_null(strstr(error_get_hint(error), "unix:"));
}

#define ROW(TEST) cmocka_unit_test_setup_teardown(TEST, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_chardev_add_makes_a_socket),
        ROW(test_chardev_add_makes_a_file_and_a_pty),
        ROW(test_chardev_add_names_what_is_wrong),
        ROW(test_protocols_that_are_not_there_are_refused_by_name),
        cmocka_unit_test(test_table_has_no_mistakes),
        cmocka_unit_test(test_help_lists_backends_with_their_options),
        ROW(test_short_forms),
        ROW(test_short_form_that_is_none_is_refused_with_the_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
