/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/egress*.c: what a guest behind a policy can reach, and what it tries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "net/egress-rule.h"
#include "net/offload.h"
#include "tests/unit/net/egress-talk.h"

/* ---- rules ---- */

static void refused(const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;

    assert_null(egress_rule_parse(text, false, &error));
    if (!strstr(error->message, expected)) {
        fail_msg("'%s' is not in '%s'", expected, error->message);
    }
}

static void test_rules_that_are_none_are_refused(void **state)
{
    refused("", "is no address, network or name");
    refused("1.2.3", "is no address, network or name");
    refused("1.2.3.4/33", "is no address, network or name");
    refused("exa mple.org", "is no address, network or name");
    refused("*.", "is no address, network or name");
    refused("a.*.org", "is no address, network or name");
    refused("example.org:0", "is no list of ports");
    refused("example.org:70000", "is no list of ports");
    refused("example.org:9-1", "is no list of ports");
    refused("example.org:", "ports are missing");
    refused("icmp:1.2.3.4:5", "icmp has no ports");
    refused("[2001:db8::1", "is no address");
    refused("*:1+2+3+4+5+6+7+8+9+10+11+12+13+14+15+16+17", "at most 16 ranges");
}

static bool matches(const char *rule, const char *address, bool host, uint8_t protocol, unsigned port, const char *name)
{
    EgressRule *r = egress_rule_parse(rule, false, NULL);
    uint8_t frame[256];
    const char *names[] = { name, NULL }, *by;
    EgressPacket p;
    bool yes;

    frame_udp(frame, strchr(address, ':') ? "::2" : GUEST, 1, address, 1, "", 0);
    egress_parse(frame, 256, &p);
    assert_non_null(r);
    yes = egress_rule_matches(r, &(EgressTarget) { p.destination, host, protocol, (uint16_t)port, names }, &by);
    egress_rule_free(r);
    return yes;
}

static void test_rules_match_what_they_say(void **state)
{
    assert_true(matches("*", OUT, false, EGRESS_TCP, 1, NULL));
    assert_true(matches("*", OUT6, false, EGRESS_ICMP, 0, NULL));
    assert_false(matches("*", "127.0.0.1", true, EGRESS_TCP, 1, NULL));
    assert_true(matches("host:22", GATEWAY, true, EGRESS_TCP, 22, NULL));
    assert_false(matches("host:22", OUT, false, EGRESS_TCP, 22, NULL));
    assert_true(matches("192.0.2.0/24:80+443", OUT, false, EGRESS_TCP, 443, NULL));
    assert_false(matches("192.0.2.0/24:80+443", OUT, false, EGRESS_TCP, 442, NULL));
    assert_false(matches("192.0.2.0/24:80+443", OUT, false, EGRESS_ICMP, 0, NULL));
    assert_false(matches("192.0.3.0/24", OUT, false, EGRESS_TCP, 80, NULL));
    assert_true(matches("::/0", OUT6, false, EGRESS_TCP, 80, NULL));
    assert_false(matches("::/0", OUT, false, EGRESS_TCP, 80, NULL));
    assert_true(matches("0.0.0.0/0", OUT, false, EGRESS_TCP, 80, NULL));
    assert_false(matches("0.0.0.0/0", OUT6, false, EGRESS_TCP, 80, NULL));
    assert_true(matches("2001:db8::/32", OUT6, false, EGRESS_UDP, 1, NULL));
    assert_true(matches("[2001:db8::7]:53", OUT6, false, EGRESS_UDP, 53, NULL));
    assert_true(matches("tcp:192.0.2.7:8000-8010", OUT, false, EGRESS_TCP, 8005, NULL));
    assert_false(matches("tcp:192.0.2.7:8000-8010", OUT, false, EGRESS_UDP, 8005, NULL));
    assert_true(matches("Example.ORG:443", OUT, false, EGRESS_TCP, 443, "example.org"));
    assert_false(matches("example.org", OUT, false, EGRESS_TCP, 443, "notexample.org"));
    assert_true(matches("*.example.org", OUT, false, EGRESS_TCP, 443, "a.b.example.org"));
    assert_false(matches("*.example.org", OUT, false, EGRESS_TCP, 443, "example.org"));
    assert_false(matches("*.example.org", OUT, false, EGRESS_TCP, 443, "badexample.org"));
}

/* ---- connections ---- */

static void test_what_no_rule_allows_is_refused_at_once(void **state)
{
    with("allow=192.0.2.0/24:443");
    assert_true(syn(OUT, 443));
    assert_false(syn(OUT, 80));
    assert_true(reset_told());
    assert_false(datagram(OUT, 53));
    assert_true(prohibition_told());
    assert_false(ping(OUT));
    assert_true(prohibition_told());
    assert_false(syn(OUT6, 443));
    assert_true(reset_told());
    assert_false(datagram(OUT6, 443));
    assert_true(prohibition_told());
    audited("\"verdict\": \"deny\", \"protocol\": \"tcp\", \"source\": \"10.0.2.15:40000\", "
            "\"destination\": \"192.0.2.7:80\", \"rule\": \"default\"}");
    audited("\"destination\": \"[2001:db8::7]:443\"");
}

static void test_answers_have_good_checksums(void **state)
{
    const uint8_t *ip = NULL;
    uint8_t pseudo[4] = { 0, 6, 0, 20 };
    uint32_t sum;

    with("default=deny");
    assert_false(syn(OUT, 80));
    ip = rig->to_guest + 14;
    assert_int_equal(rig->guest_bytes, 14 + 40);
    assert_int_equal(net_sum_end(net_sum(ip, 20, 0)), 0);
    sum = net_sum(ip + 12, 8, net_sum(pseudo, 4, 0));
    assert_int_equal(net_sum_end(net_sum(ip + 20, 20, sum)), 0);
    assert_int_equal(ip[33], EGRESS_RST | EGRESS_ACK);
    assert_memory_equal(ip + 28, "\0\0\0\x65", 4); /* acknowledges the SYN at 100 */
    assert_false(datagram(OUT, 80));
    assert_int_equal(net_sum_end(net_sum(rig->to_guest + 34, rig->guest_bytes - 34, 0)), 0);
}

static void test_answers_come_only_to_what_was_asked(void **state)
{
    with("allow=192.0.2.7");
    assert_false(answer_datagram(OUT, 123, 5000));
    assert_true(datagram(OUT, 123));
    assert_true(answer_datagram(OUT, 123, 5000));
    assert_false(answer_datagram("192.0.2.8", 123, 5000));
    assert_false(answer_datagram(OUT, 124, 5000));
    egress_rig_at(rig, 301 * 1000);
    assert_false(answer_datagram(OUT, 123, 5000));
}

static void test_deny_wins_and_default_allow_lets_the_rest_through(void **state)
{
    with("default=allow,deny=192.0.2.0/24,allow=192.0.2.7");
    assert_false(syn(OUT, 80));
    assert_true(syn("198.51.100.1", 80));
    assert_true(syn(GATEWAY, 80));
    change(true, true, "host:80");
    assert_false(syn(GATEWAY, 80));
    assert_true(syn(GATEWAY, 81));
}

static void test_the_host_is_reached_by_its_own_rules_only(void **state)
{
    with("allow=*,allow=0.0.0.0/0,allow=10.0.0.0/8,allow=127.0.0.0/8,allow=host:8080");
    assert_true(syn(OUT, 22));
    assert_false(syn(GATEWAY, 22));
    assert_false(syn("10.0.2.77", 22));
    assert_false(syn("127.0.0.1", 22));
    assert_false(syn("0.0.0.0", 22));
    assert_false(syn("255.255.255.255", 22));
    assert_false(syn("fec0::2", 22));
    assert_false(syn("::1", 22));
    assert_false(syn("fe80::2", 22));
    assert_true(syn(GATEWAY, 8080));
    assert_true(syn("10.0.2.77", 8080));
    assert_false(syn(SERVER, 8080)); /* that is the real name server */
}

static void test_the_networks_own_works(void **state)
{
    uint8_t frame[2048] = { [12] = 0x08, 0x06 };

    with("default=deny");
    assert_true(guest(frame, 60));
    assert_true(guest(frame, frame_udp(frame, "0.0.0.0", 68, "255.255.255.255", 67, "x", 1)));
    assert_true(net_egress_receive(rig->egress, frame, frame_udp(frame, GATEWAY, 67, "255.255.255.255", 68, "x", 1)));
    assert_true(ping(GATEWAY));
    assert_true(ping("fec0::3"));
    assert_true(net_egress_receive(rig->egress, frame, frame_echo(frame, GATEWAY, GUEST, false, 77)));
    assert_false(datagram(GATEWAY, 69)); /* no tftp= */
    assert_false(datagram(GATEWAY, 67)); /* from another port than a DHCP client's */
}

static void test_dhcp_goes_to_its_servers_only(void **state)
{
    uint8_t frame[2048];

    with("default=deny");
    assert_true(guest(frame, frame_udp(frame, GUEST, 68, GATEWAY, 67, "x", 1)));
    assert_true(guest(frame, frame_udp(frame, "fe80::15", 546, "ff02::1:2", 547, "x", 1)));
    assert_false(guest(frame, frame_udp(frame, GUEST, 68, "224.0.0.1", 67, "x", 1)));
    assert_false(guest(frame, frame_udp(frame, "fe80::15", 546, "ff05::1", 547, "x", 1)));
    assert_false(guest(frame, frame_udp(frame, "fe80::15", 546, "ff05::1:3", 547, "x", 1)));
    audited("\"destination\": \"224.0.0.1:67\", \"rule\": \"multicast\"");
}

static void test_forwards_are_allowed_by_being_there(void **state)
{
    const EgressForward forwards[] = { { .inward = true, .port = 40000 }, { .udp = true, .inward = true, .port = 5000 },
                                       { .port = 25, .address = { { [10] = 0xff, 0xff, 10, 0, 2, 100 } } } };

    with("default=deny");
    assert_false(answer_segment("198.51.100.1", 999, EGRESS_SYN, 1, 0, 0));
    g_array_append_vals(rig->forwards, forwards, G_N_ELEMENTS(forwards));
    assert_true(answer_segment("198.51.100.1", 999, EGRESS_SYN, 1, 0, 0));
    assert_true(segment("198.51.100.1", 999, 1, 2, 10));
    assert_true(answer_datagram("198.51.100.1", 999, 5000));
    assert_true(datagram("198.51.100.1", 999));
    assert_false(answer_datagram("198.51.100.1", 999, 5001));
    assert_true(syn("10.0.2.100", 25));
    assert_false(syn("10.0.2.100", 26));
    change(false, true, "198.51.100.9");
    change(false, false, "198.51.100.9"); /* looks at every connection: these stay */
    assert_true(segment("198.51.100.1", 999, 11, 2, 10));
}

static void test_an_end_is_an_end(void **state)
{
    with("allow=192.0.2.7:443");
    assert_true(syn(OUT, 443));
    assert_true(answer_segment(OUT, 443, EGRESS_SYN | EGRESS_ACK, 500, 101, 0));
    assert_true(segment(OUT, 443, 101, 501, 1000));
    assert_true(answer_segment(OUT, 443, EGRESS_RST, 501, 1101, 0));
    audited("\"verdict\": \"closed\", \"protocol\": \"tcp\", \"source\": \"10.0.2.15:40000\", "
            "\"destination\": \"192.0.2.7:443\", \"rule\": \"192.0.2.7:443\", \"sent\": 1080, \"received\": 80");
    assert_false(answer_segment(OUT, 443, EGRESS_ACK, 501, 1101, 5));
}

static bool reset_from_guest(unsigned port, uint32_t seq)
{
    uint8_t frame[256];

    return guest(frame, frame_tcp(frame, GUEST, 40000, OUT, port, EGRESS_RST, seq, 0, 0));
}

static void test_a_reset_with_a_wrong_number_ends_it_for_the_network_too(void **state)
{
    EgressPacket p;

    with("allow=*");
    assert_true(syn(OUT, 443));
    assert_true(answer_segment(OUT, 443, EGRESS_SYN | EGRESS_ACK, 500, 101, 0));
    assert_true(reset_from_guest(443, 0x70000000));
    assert_true(is_reset(rig->to_network, rig->network_bytes));
    egress_parse(rig->to_network, rig->network_bytes, &p);
    assert_int_equal(p.seq, 101); /* where libslirp waits */
    assert_int_equal(p.destination_port, 443);
    assert_false(answer_segment(OUT, 443, EGRESS_ACK, 501, 101, 5));
}

static void test_a_reset_that_nobody_hears_frees_no_connection(void **state)
{
    with("allow=*,max-connections=1");
    assert_true(syn(OUT, 1));
    assert_true(reset_from_guest(1, 101)); /* libslirp connects, and takes none */
    assert_false(syn(OUT, 2));
    assert_true(answer_segment(OUT, 1, EGRESS_SYN | EGRESS_ACK, 500, 101, 0));
    assert_true(reset_from_guest(1, 101));
    assert_true(syn(OUT, 2));
}

/* ---- what a guest tries ---- */

static void test_other_name_servers_are_like_any_address(void **state)
{
    with("allow=example.org");
    assert_false(datagram("8.8.8.8", 53));
    assert_false(syn(SERVER, 53)); /* nobody reads along */
    assert_false(datagram(SERVER, 54));
}

static void test_packets_in_odd_forms_are_refused(void **state)
{
    uint8_t frame[2048];
    size_t length;

    with("default=allow");
    length = frame_tcp(frame, GUEST, 1, OUT, 80, EGRESS_SYN, 1, 0, 0);
    frame[20] = 0x20; /* more fragments */
    assert_false(guest(frame, length));
    assert_true(prohibition_told());
    frame[20] = 0;
    frame[21] = 1; /* a later one: no answer */
    assert_false(guest(frame, length));
    assert_int_equal(rig->guest_bytes, 0);
    frame[21] = 0;
    frame[14] = 0x46; /* options */
    assert_false(guest(frame, length));
    frame[14] = 0x45;
    frame[17] = 200; /* longer than the frame */
    assert_false(guest(frame, length));
    frame[17] = 40;
    assert_true(guest(frame, length));
    frame[46] = 0x40; /* a TCP header of 16 bytes */
    assert_false(guest(frame, length));
    frame[23] = 47; /* GRE */
    assert_false(guest(frame, length));
    memcpy(frame + 12, "\x81\x00", 2); /* a VLAN tag */
    assert_false(guest(frame, length));
    length = frame_udp(frame, "fec0::15", 1, OUT6, 80, "x", 1);
    frame[20] = 44; /* IPv6: a fragment */
    assert_false(guest(frame, length));
    frame[20] = 43; /* a routing header */
    assert_false(guest(frame, length));
    audited("\"rule\": \"fragment\"");
    audited("\"rule\": \"options\"");
    audited("\"rule\": \"protocol\"");
}

static void test_ipv4_within_ipv6_is_refused(void **state)
{
    with("default=allow");
    assert_true(syn(OUT6, 80));
    assert_false(syn("::ffff:127.0.0.1", 80));
    assert_false(syn("::ffff:192.0.2.7", 80));
    assert_false(syn("::127.0.0.1", 80));
    audited("\"rule\": \"mapped-address\"");
}

static void test_senders_are_of_the_network(void **state)
{
    with("default=allow");
    assert_false(syn_from("198.51.100.1", OUT, 80));
    assert_false(syn_from(GATEWAY, OUT, 80));
    assert_false(syn_from(SERVER, OUT, 80));
    assert_true(syn_from("10.0.2.99", OUT, 80));
    audited("\"rule\": \"source\"");
}

static void test_groups_are_not_answered(void **state)
{
    with("default=deny");
    assert_false(datagram("224.0.0.251", 5353));
    assert_int_equal(rig->guest_bytes, 0);
    assert_false(datagram("ff02::fb", 5353));
    assert_int_equal(rig->guest_bytes, 0);
}

#define TEST(NAME) cmocka_unit_test_teardown(test_##NAME, egress_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rules_that_are_none_are_refused),
        TEST(rules_match_what_they_say),
        TEST(what_no_rule_allows_is_refused_at_once),
        TEST(answers_have_good_checksums),
        TEST(answers_come_only_to_what_was_asked),
        TEST(deny_wins_and_default_allow_lets_the_rest_through),
        TEST(the_host_is_reached_by_its_own_rules_only),
        TEST(the_networks_own_works),
        TEST(dhcp_goes_to_its_servers_only),
        TEST(forwards_are_allowed_by_being_there),
        TEST(an_end_is_an_end),
        TEST(a_reset_with_a_wrong_number_ends_it_for_the_network_too),
        TEST(a_reset_that_nobody_hears_frees_no_connection),
        TEST(other_name_servers_are_like_any_address),
        TEST(packets_in_odd_forms_are_refused),
        TEST(ipv4_within_ipv6_is_refused),
        TEST(senders_are_of_the_network),
        TEST(groups_are_not_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
