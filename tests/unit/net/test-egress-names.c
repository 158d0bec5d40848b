/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/egress-names.c, egress-answer.c: names in rules, questions and answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/net/egress-talk.h"

/* ---- names ---- */

static void test_a_name_allows_the_addresses_that_it_stands_for(void **state)
{
    with("allow=example.org:443");
    assert_false(syn(OUT, 443));
    resolve("Example.org", 300, OUT);
    assert_true(syn(OUT, 443));
    assert_false(syn(OUT, 80));
    assert_false(syn("192.0.2.8", 443));
    audited("\"name\": \"example.org\", \"rule\": \"example.org:443\"}");
    audited("\"verdict\": \"answer\", \"protocol\": \"dns\"");
}

static void test_an_address_is_forgotten_with_its_time_and_its_connections_live(void **state)
{
    with("allow=example.org");
    resolve("example.org", 120, OUT);
    assert_true(syn(OUT, 443));
    assert_true(answer_segment(OUT, 443, EGRESS_SYN | EGRESS_ACK, 500, 101, 0));
    egress_rig_at(rig, 121 * 1000);
    assert_false(syn(OUT, 80));
    assert_true(segment(OUT, 443, 101, 501, 10));
    resolve("example.org", 120, OUT);
    assert_true(syn(OUT, 80));
}

static void test_other_names_are_not_asked_for(void **state)
{
    with("allow=*.example.org,deny=bad.example.org");
    assert_true(ask("a.example.org"));
    assert_false(ask("example.org"));
    assert_int_equal(rig->to_guest[14 + 20 + 8 + 3] & 15, 3); /* no such name */
    assert_int_equal(rig->to_guest[14 + 20 + 8 + 1], 7);      /* its id */
    assert_false(ask("bad.example.org"));
    assert_false(ask("c2VjcmV0.attacker.net"));
    audited("\"verdict\": \"deny\", \"protocol\": \"dns\"");
    audited("\"name\": \"c2vjcmv0.attacker.net\"");
}

static void test_nothing_but_options_is_behind_a_question(void **state)
{
    static const uint8_t opt[11] = { [2] = 41, 0x04, 0xd0 }, option[] = { 0, 10, 0, 4, 'd', 'a', 't', 'a' };
    uint8_t dns[512], frame[2048];
    size_t length, at;

    with("allow=example.org");
    at = dns_question(dns, 7, "example.org", 1);
    dns[at] = 'x';
    assert_false(guest(frame, frame_udp(frame, GUEST, 5353, SERVER, 53, dns, at + 1)));
    dns[11] = 1; /* an additional record */
    assert_false(guest(frame, frame_udp(frame, GUEST, 5353, SERVER, 53, dns, at)));
    memcpy(dns + at, opt, sizeof(opt));
    length = at + sizeof(opt);
    assert_true(guest(frame, frame_udp(frame, GUEST, 5353, SERVER, 53, dns, length)));
    memcpy(dns + length, option, sizeof(option));
    assert_false(guest(frame, frame_udp(frame, GUEST, 5353, SERVER, 53, dns, length + sizeof(option))));
    dns[length - 1] = sizeof(option);
    assert_true(guest(frame, frame_udp(frame, GUEST, 5353, SERVER, 53, dns, length + sizeof(option))));
    dns[at + 2] = 16; /* a text */
    assert_false(guest(frame, frame_udp(frame, GUEST, 5353, SERVER, 53, dns, length + sizeof(option))));
}

static void test_any_name_may_be_asked_for_where_that_is_said(void **state)
{
    with("dns=any,allow=192.0.2.7");
    assert_true(ask("attacker.net"));
    assert_true(told("attacker.net", 60, (const char *const[]) { "203.0.113.1", NULL }));
    assert_false(syn("203.0.113.1", 80));
    assert_true(syn(SERVER, 53));
}

static void test_names_lead_over_others(void **state)
{
    with("allow=www.example.org");
    assert_true(ask("www.example.org"));
    assert_true(told("www.example.org", 60, (const char *const[]) { "=cdn.example.net", OUT, "198.51.100.4", NULL }));
    assert_true(syn(OUT, 443));
    assert_true(syn("198.51.100.4", 443));
}

static void test_answers_to_nobody_teach_nothing(void **state)
{
    uint8_t dns[512], frame[2048];
    size_t length;

    with("allow=example.org,allow=*.example.org");
    assert_false(told("example.org", 60, (const char *const[]) { OUT, NULL }));
    assert_true(ask("a.example.org"));
    assert_false(told("b.example.org", 60, (const char *const[]) { OUT, NULL }));
    /* The right answer, from elsewhere. */
    length = dns_answer(dns, 7, "a.example.org", 1, 60, (const char *const[]) { OUT, NULL });
    assert_false(net_egress_receive(rig->egress, frame, frame_udp(frame, OUT, 53, GUEST, 5353, dns, length)));
    assert_false(syn(OUT, 443));
}

static void test_names_are_printable_and_rules_find_them(void **state)
{
    g_autoptr(GString) info = g_string_new(NULL);

    with("default=allow,allow=*.example.org,deny=*.example.net");
    resolve("a\033[2J.example.org", 60, OUT);
    assert_true(syn(OUT, 443));
    egress_info(rig->domain, info);
    assert_non_null(strstr(info->str, " a?[2j.example.org (*.example.org)"));
    resolve("a\033.example.net", 60, "192.0.2.8");
    assert_false(syn("192.0.2.8", 443));
}

static void test_a_name_never_stands_for_this_host(void **state)
{
    with("allow=example.org");
    resolve("example.org", 60, "127.0.0.1");
    assert_false(syn("127.0.0.1", 80));
    resolve("example.org", 60, GATEWAY);
    assert_false(syn(GATEWAY, 80));
    resolve("example.org", 60, "169.254.169.254");
    assert_false(syn("169.254.169.254", 80));
    change(true, true, "10.0.0.0/8");
    resolve("example.org", 60, "10.1.2.3");
    assert_false(syn("10.1.2.3", 80));
}

#define TEST(NAME) cmocka_unit_test_teardown(test_##NAME, egress_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_allows_the_addresses_that_it_stands_for),
        TEST(an_address_is_forgotten_with_its_time_and_its_connections_live),
        TEST(other_names_are_not_asked_for),
        TEST(nothing_but_options_is_behind_a_question),
        TEST(any_name_may_be_asked_for_where_that_is_said),
        TEST(names_lead_over_others),
        TEST(answers_to_nobody_teach_nothing),
        TEST(names_are_printable_and_rules_find_them),
        TEST(a_name_never_stands_for_this_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
