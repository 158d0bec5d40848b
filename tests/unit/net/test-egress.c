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
#include "tests/unit/net/egress-rig.h"
#include "vmm/error.h"

#define OUT  "192.0.2.7"
#define OUT6 "2001:db8::7"

static EgressRig *rig; /* of the test that runs */

static void with(const char *policy)
{
    rig = egress_rig_new(policy);
}

static int teardown(void **state)
{
    if (rig) {
        egress_rig_free(rig);
        rig = NULL;
    }
    return 0;
}

/* ---- what the guest and the network send; true: it was handed on ---- */

static bool guest(const uint8_t *frame, size_t length)
{
    rig->guest_bytes = rig->network_bytes = 0;
    return net_egress_send(rig->egress, frame, length);
}

static bool syn_from(const char *from, const char *to, unsigned port)
{
    uint8_t frame[2048];

    return guest(frame, frame_tcp(frame, from, 40000, to, port, EGRESS_SYN, 100, 0, 0));
}

static bool syn(const char *to, unsigned port)
{
    return syn_from(strchr(to, ':') ? "fec0::15" : GUEST, to, port);
}

static bool segment(const char *to, unsigned port, uint32_t seq, uint32_t ack, size_t payload)
{
    uint8_t frame[2048];

    return guest(frame, frame_tcp(frame, GUEST, 40000, to, port, EGRESS_ACK, seq, ack, payload));
}

static bool datagram(const char *to, unsigned port)
{
    uint8_t frame[2048];

    return guest(frame, frame_udp(frame, strchr(to, ':') ? "fec0::15" : GUEST, 5000, to, port, "x", 1));
}

static bool ping(const char *to)
{
    uint8_t frame[2048];

    return guest(frame, frame_echo(frame, strchr(to, ':') ? "fec0::15" : GUEST, to, true, 77));
}

static bool answer_segment(const char *from, unsigned port, unsigned flags, uint32_t seq, uint32_t ack, size_t payload)
{
    uint8_t frame[2048];

    return net_egress_receive(rig->egress, frame, frame_tcp(frame, from, port, GUEST, 40000, flags, seq, ack, payload));
}

static bool answer_datagram(const char *from, unsigned port, unsigned guest_port)
{
    uint8_t frame[2048];

    return net_egress_receive(rig->egress, frame, frame_udp(frame, from, port, GUEST, guest_port, "x", 1));
}

static bool ask(const char *name)
{
    uint8_t dns[512], frame[2048];

    return guest(frame, frame_udp(frame, GUEST, 5353, SERVER, 53, dns, dns_question(dns, 7, name, 1)));
}

static bool told(const char *name, unsigned ttl, const char *const *records)
{
    uint8_t dns[1024], frame[2048];

    return net_egress_receive(
        rig->egress, frame, frame_udp(frame, SERVER, 53, GUEST, 5353, dns, dns_answer(dns, 7, name, 1, ttl, records)));
}

static void resolve(const char *name, unsigned ttl, const char *address)
{
    assert_true(ask(name));
    assert_true(told(name, ttl, (const char *const[]) { address, NULL }));
}

static void change(bool deny, bool add, const char *rule)
{
    g_autoptr(GError) error = NULL;

    if (!egress_rules_change(rig->domain, "p", deny, add, rule, &error)) {
        fail_msg("%s", error->message);
    }
}

static bool reset_told(void)
{
    return is_reset(rig->to_guest, rig->guest_bytes);
}

static bool prohibition_told(void)
{
    return is_prohibited(rig->to_guest, rig->guest_bytes);
}

static void audited(const char *text)
{
    g_autofree char *log = NULL;

    assert_true(g_file_get_contents(rig->audit, &log, NULL, NULL));
    if (!strstr(log, text)) {
        fail_msg("'%s' is not in the log:\n%s", text, log);
    }
}

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

#define TEST(NAME) cmocka_unit_test_teardown(test_##NAME, teardown)

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
        TEST(a_name_allows_the_addresses_that_it_stands_for),
        TEST(an_address_is_forgotten_with_its_time_and_its_connections_live),
        TEST(other_names_are_not_asked_for),
        TEST(nothing_but_options_is_behind_a_question),
        TEST(any_name_may_be_asked_for_where_that_is_said),
        TEST(names_lead_over_others),
        TEST(answers_to_nobody_teach_nothing),
        TEST(names_are_printable_and_rules_find_them),
        TEST(a_name_never_stands_for_this_host),
        TEST(other_name_servers_are_like_any_address),
        TEST(packets_in_odd_forms_are_refused),
        TEST(ipv4_within_ipv6_is_refused),
        TEST(senders_are_of_the_network),
        TEST(groups_are_not_answered),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
