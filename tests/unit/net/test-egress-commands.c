/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/egress-policy.c and egress-commands.c, as the clients of monitors see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/devices.h"
#include "net/net.h"
#include "tests/unit/monitor/monitor-rig.h"
#include "vmm/object.h"

#define OK          "{\"return\": {}}"
#define ERROR(TEXT) "{\"error\": {\"class\": \"GenericError\", \"desc\": \"" TEXT "..."
#define ADD(MEMBERS)                                                                                                   \
    "{\"execute\": \"object-add\", \"arguments\": {\"qom-type\": \"egress-policy\", \"id\": \"p\"" MEMBERS "}}"
#define RULES(COMMAND, VERDICT, RULES) "{\"execute\": \"egress-rule-" COMMAND "\", \"arguments\": {\"id\": \"p\", " \
                                       "\"verdict\": \"" VERDICT "\", \"rules\": [" RULES "]}}"
#define LINE(TEXT) "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"" TEXT "\"}}"

static int setup(void **state)
{
    devices_register();
    return monitor_rig_negotiated(state);
}

static int teardown(void **state)
{
    net_remove_all(((MonitorRig *)*state)->domain);
    objects_free(((MonitorRig *)*state)->domain);
    return monitor_rig_teardown(state);
}

static void ask(void **state, const char *request, const char *expected)
{
    monitor_rig_ask(*state, request, expected);
}

static void test_rules_come_and_go(void **state)
{
    ask(state, ADD(", \"allow\": [\"example.org:443\"]"), OK);
    ask(state, RULES("add", "deny", "\"192.0.2.0/24\", \"tcp:*:25\""), OK);
    ask(state, RULES("add", "allow", "\"10.0.0.0/8\", \"1.2.3\""),
        ERROR("p: '1.2.3' is no address, network or name. Write [tcp:|udp:|icmp:]WHERE[:PORTS]"));
    ask(state, RULES("remove", "deny", "\"192.0.2.0/24\""), OK);
    ask(state, RULES("remove", "deny", "\"192.0.2.0/24\""),
        ERROR("p: there is no rule deny=192.0.2.0/24. query-egress"));
    ask(state, "{\"execute\": \"query-egress\"}",
        "{\"return\": [{\"id\": \"p\", \"default\": \"deny\", \"rules\": [{\"rule\": \"tcp:*:25\", \"verdict\": "
        "\"deny\", "
        "\"hits\": 0}, {\"rule\": \"example.org:443\", \"verdict\": \"allow\", \"hits\": 0}], \"allowed\": 0, "
        "\"denied\": 0, "
        "\"bytes\": 0, \"quota-used-up\": false, \"addresses\": 0, \"connections\": []}]}");
}

static void test_people_change_rules(void **state)
{
    ask(state, ADD(""), OK);
    ask(state, LINE("egress_add p allow *.debian.org:80+443"), "{\"return\": \"\"}");
    ask(state, LINE("info egress"), "{\"return\": \"p: default=deny, 0 allowed, 0 denied, 0 bytes\\r\\n  allow "
                                    "*.debian.org:80+443 (0 times)\\r\\n\"}");
    ask(state, LINE("egress_remove p allow *.debian.org:80+443"), "{\"return\": \"\"}");
    ask(state, LINE("egress_add p maybe x"), "{\"return\": \"Error: A policy, allow or deny, and a rule are wanted...");
    ask(state, LINE("egress_add q allow x.org"), "{\"return\": \"Error: There is no object 'q'...");
}

static void test_properties_show_and_replace_the_rules(void **state)
{
    ask(state, ADD(""), OK);
    ask(state, RULES("add", "allow", "\"example.org\""), OK);
    ask(state, "{\"execute\": \"qom-get\", \"arguments\": {\"path\": \"/objects/p\", \"property\": \"allow\"}}",
        "{\"return\": [\"example.org\"]}");
    ask(state, "{\"execute\": \"qom-set\", \"arguments\": {\"path\": \"/objects/p\", \"property\": \"allow\", "
               "\"value\": [\"192.0.2.7\"]}}", OK);
    ask(state, "{\"execute\": \"qom-set\", \"arguments\": {\"path\": \"/objects/p\", \"property\": \"allow\", "
               "\"value\": [\"192.0.2.300\"]}}", ERROR("p: '192.0.2.300'"));
    ask(state, "{\"execute\": \"qom-get\", \"arguments\": {\"path\": \"/objects/p\", \"property\": \"allow\"}}",
        "{\"return\": [\"192.0.2.7\"]}");
    ask(state, "{\"execute\": \"qom-set\", \"arguments\": {\"path\": \"/objects/p\", \"property\": \"default\", "
               "\"value\": \"allow\"}}", OK);
}

static void test_a_network_holds_its_policy(void **state)
{
    Domain *domain = ((MonitorRig *)*state)->domain;

    ask(state, "{\"execute\": \"netdev_add\", \"arguments\": {\"type\": \"user\", \"id\": \"n\", \"egress\": \"p\"}}",
        ERROR("n: There is no object 'p'. Add -object egress-policy,id=p."));
    ask(state, ADD(""), OK);
    ask(state, "{\"execute\": \"netdev_add\", \"arguments\": {\"type\": \"user\", \"id\": \"n\", \"egress\": \"p\"}}",
        OK);
    ask(state, LINE("info network"), "{\"return\": \"n: index=0,type=user,net=10.0.2.0,restrict=off,egress=p\\r\\n\"}");
    ask(state, "{\"execute\": \"object-del\", \"arguments\": {\"id\": \"p\"}}", ERROR("Object 'p' is in use"));
    assert_true(netdev_del(domain, "n", NULL));
    ask(state, "{\"execute\": \"object-del\", \"arguments\": {\"id\": \"p\"}}", OK);
}

static void test_rules_stand_in_a_file(void **state)
{
    MonitorRig *r = *state;
    g_autofree char *path = g_build_filename(r->folder, "rules", NULL);
    g_autofree char *text = g_strdup_printf(ADD(", \"file\": \"%s\", \"deny\": [\"192.0.2.1\"]"), path);
    g_autofree char *wrong = g_strdup_printf("{\"error\": {\"class\": \"GenericError\", \"desc\": \"%s: Parameter "
                                             "'alow' is unknown. Did you mean 'allow'?\"}}", path);

    assert_true(g_file_set_contents(path, "{\"alow\": []}", -1, NULL));
    ask(state, text, wrong);
    assert_true(g_file_set_contents(path, "{\"allow\": [\"example.org\"], \"deny\": [\"192.0.2.2\"]}", -1, NULL));
    ask(state, text, OK);
    ask(state, "{\"execute\": \"qom-get\", \"arguments\": {\"path\": \"/objects/p\", \"property\": \"deny\"}}",
        "{\"return\": [\"192.0.2.1\", \"192.0.2.2\"]}");
    unlink(path);
}

static void test_mistakes_are_told(void **state)
{
    ask(state, ADD(", \"allow\": [\"example.org:x\"]"), ERROR("p: 'x' is no list of ports"));
    ask(state, ADD(", \"max-connections\": 0"), ERROR("p: "));
    ask(state, ADD(", \"audit\": \"/nonexistent/log\""), ERROR("p: "));
    ask(state, ADD(", \"audit-chardev\": \"none\""),
        "{\"error\": {\"class\": \"GenericError\", \"desc\": \"p: chardev 'none' does not exist...");
    ask(state, ADD(", \"audit\": \"/dev/null\", \"audit-chardev\": \"c\""),
        ERROR("p: audit and audit-chardev are both given"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rules_come_and_go),
        TEST(people_change_rules),
        TEST(properties_show_and_replace_the_rules),
        TEST(a_network_holds_its_policy),
        TEST(rules_stand_in_a_file),
        TEST(mistakes_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
