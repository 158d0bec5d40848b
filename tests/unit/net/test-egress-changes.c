/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/egress*.c: rules that change while the guest runs, and quotas. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net/egress-talk.h"
#include "vmm/host.h"

/* ---- changes ---- */

static void test_a_rule_withdrawn_cuts_its_connections(void **state)
{
    EgressPacket p;

    with("allow=192.0.2.7:443,allow=198.51.100.1");
    assert_true(syn(OUT, 443));
    assert_true(answer_segment(OUT, 443, EGRESS_SYN | EGRESS_ACK, 500, 101, 0));
    assert_true(segment(OUT, 443, 101, 501, 10));
    assert_true(answer_segment(OUT, 443, EGRESS_ACK, 501, 111, 100));
    assert_true(syn("198.51.100.1", 80));
    change(false, false, "192.0.2.7:443");
    assert_true(reset_told());
    egress_parse(rig->to_guest, rig->guest_bytes, &p);
    assert_int_equal(p.seq, 601); /* where the guest waits */
    assert_int_equal(p.source_port, 443);
    assert_true(is_reset(rig->to_network, rig->network_bytes));
    egress_parse(rig->to_network, rig->network_bytes, &p);
    assert_int_equal(p.seq, 111);
    assert_int_equal(p.destination_port, 443);
    assert_false(segment(OUT, 443, 111, 601, 10));
    assert_true(reset_told());
    assert_true(segment("198.51.100.1", 80, 101, 1, 0));
    audited("\"verdict\": \"cut\"");
}

static void test_a_cut_does_not_believe_the_guest(void **state)
{
    EgressPacket p;

    with("allow=192.0.2.7");
    assert_true(syn(OUT, 443));
    assert_true(answer_segment(OUT, 443, EGRESS_SYN | EGRESS_ACK, 500, 101, 0));
    assert_true(segment(OUT, 443, 0x60000000, 501, 10)); /* outside of every window */
    change(false, false, "192.0.2.7");
    egress_parse(rig->to_network, rig->network_bytes, &p);
    assert_true(p.flags & EGRESS_RST);
    assert_int_equal(p.seq, 101);
}

static void test_a_rule_added_is_in_force_at_once(void **state)
{
    with("allow=198.51.100.1");
    assert_false(syn(OUT, 443));
    change(false, true, "192.0.2.7");
    assert_true(syn(OUT, 443));
    change(true, true, "192.0.2.7:443");
    assert_true(reset_told());
    assert_false(syn(OUT, 443));
    assert_true(syn(OUT, 80));
}

static void test_lists_are_replaced_as_a_whole(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) good = json_parse("[\"198.51.100.1\"]", 16, NULL), bad = json_parse("[\"1.2\"]", 7, NULL);
    Object *policy;

    with("allow=192.0.2.7");
    policy = object_find(rig->domain, "p", NULL, NULL);
    assert_false(object_set(policy, "allow", bad, &error));
    assert_non_null(strstr(error->message, "1.2"));
    assert_true(syn(OUT, 80));
    assert_true(object_set(policy, "allow", good, NULL));
    assert_false(syn(OUT, 80));
    assert_true(syn("198.51.100.1", 80));
}

static void test_a_policy_in_use_stays(void **state)
{
    with("default=deny");
    assert_false(object_del(rig->domain, "p", NULL));
    assert_false(egress_rules_change(rig->domain, "p", false, false, "192.0.2.7", NULL));
}

/* ---- quotas ---- */

static void test_connections_are_bounded(void **state)
{
    with("allow=*,max-connections=2");
    assert_true(syn(OUT, 1));
    assert_true(syn(OUT, 2));
    assert_false(syn(OUT, 3));
    assert_true(reset_told());
    audited("\"rule\": \"max-connections\"");
    assert_true(answer_segment(OUT, 1, EGRESS_RST | EGRESS_ACK, 1, 101, 0));
    assert_true(syn(OUT, 3));
}

static void test_new_connections_a_second_are_bounded(void **state)
{
    unsigned through = 0;

    with("allow=*,max-rate=10");
    for (unsigned i = 1; i <= 100; i++) {
        through += syn(OUT, i);
    }
    assert_int_equal(through, 10);
    egress_rig_at(rig, 500);
    for (unsigned i = 101; i <= 200; i++) {
        through += syn(OUT, i);
    }
    assert_int_equal(through, 15);
}

static void test_a_quota_used_up_cuts_everything(void **state)
{
    g_autoptr(Json) more = json_new_int(1000000);

    with("allow=*,allow=example.org,quota-bytes=3000");
    assert_true(syn(OUT, 80));
    assert_true(answer_segment(OUT, 80, EGRESS_SYN | EGRESS_ACK, 500, 101, 0));
    segment(OUT, 80, 101, 501, 1400);
    segment(OUT, 80, 1501, 501, 1400);
    segment(OUT, 80, 2901, 501, 1400);
    assert_true(reset_told());
    assert_false(syn(OUT, 81));
    assert_false(ask("example.org"));
    audited("\"rule\": \"quota-bytes\"");
    assert_true(object_set(object_find(rig->domain, "p", NULL, NULL), "quota-bytes", more, NULL));
    assert_true(syn(OUT, 81));
}

static void test_questions_and_answers_count(void **state)
{
    unsigned asked = 0;

    with("allow=*,allow=*.example.org,quota-bytes=3000");
    assert_true(syn(OUT, 80)); /* 40 bytes */
    for (unsigned i = 0; i < 100; i++) {
        asked += ask("a.example.org"); /* 59 */
    }
    assert_int_equal(asked, 51);
    audited("\"verdict\": \"cut\"");
    assert_false(syn(OUT, 81));
}

static void test_a_flood_does_not_fill_the_log(void **state)
{
    g_autofree char *log = NULL;
    gsize length;

    with("default=deny");
    for (unsigned i = 0; i < 20000; i++) {
        assert_false(syn(OUT, 1 + i % 60000));
    }
    assert_true(g_file_get_contents(rig->audit, &log, &length, NULL));
    assert_true(length < 4000 * 200);
}

static void test_a_log_that_nobody_read_says_how_much_is_missing(void **state)
{
    g_autofree char *read_here = g_malloc0(4096);
    int fd;

    with("default=deny,audit-chardev=log");
    assert_false(syn(OUT, 80));
    assert_false(syn(OUT, 81));
    fd = host_connect_unix(rig->audit, NULL);
    assert_true(fd >= 0);
    egress_rig_at(rig, 1);
    assert_false(syn(OUT, 82));
    egress_rig_at(rig, 2);
    assert_true(recv(fd, read_here, 4095, MSG_DONTWAIT) > 0);
    assert_non_null(strstr(read_here, ":82\""));
    assert_non_null(strstr(read_here, "\"left-out\": 2}"));
    close(fd);
}

#define TEST(NAME) cmocka_unit_test_teardown(test_##NAME, egress_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_rule_withdrawn_cuts_its_connections),
        TEST(a_cut_does_not_believe_the_guest),
        TEST(a_rule_added_is_in_force_at_once),
        TEST(lists_are_replaced_as_a_whole),
        TEST(a_policy_in_use_stays),
        TEST(connections_are_bounded),
        TEST(new_connections_a_second_are_bounded),
        TEST(a_quota_used_up_cuts_everything),
        TEST(questions_and_answers_count),
        TEST(a_flood_does_not_fill_the_log),
        TEST(a_log_that_nobody_read_says_how_much_is_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
