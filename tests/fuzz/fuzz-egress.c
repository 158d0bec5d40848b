/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The egress policy between a guest and a network that send anything: the input is a list of frames both ways, whole
 * ones that are bent a little and bytes without a form, of time that passes, of rules that come and go.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "net/egress-rule.h"
#include "tests/fuzz/input.h"
#include "tests/unit/net/egress-rig.h"

static const char *const addresses[] = { GUEST,   GATEWAY,     SERVER,    "192.0.2.7", "192.0.2.8", "127.0.0.1",
                                         "fec0::15", "fec0::2", "fec0::3", "2001:db8::7", "::ffff:1.2.3.4", "ff02::1" };
static const char *const names[] = { "example.org", "a.example.org", "example.net" };
static const char *const rules[] = {"192.0.2.0/24", "*.example.org:80+443", "example.org", "*",
                                    "host:80",      "udp:2001:db8::/32"};

static size_t make_dns(Input *in, bool answer, uint8_t *dns)
{
    const char *name = names[take(in) % G_N_ELEMENTS(names)];
    unsigned shape = take(in);
    const char *records[] = { shape & 1 ? "=example.net" : "192.0.2.7", shape & 2 ? "192.0.2.8" : "2001:db8::7", NULL };

    return answer ? dns_answer(dns, 1 + shape % 4, name, shape & 8 ? 1 : 28, shape, records)
                  : dns_question(dns, 1 + shape % 4, name, shape & 8 ? 1 : 28);
}

/* A frame as one of the two would send it. */
static size_t make_frame(Input *in, bool from_guest, uint8_t *frame)
{
    unsigned which = take(in), kind = take(in), shift = which % 12 < 6 ? 0 : 6;
    const char *other = addresses[which % 12], *guest = addresses[shift], *server = addresses[shift + 2];
    uint8_t dns[1024];
    size_t length;

    switch (kind % 4) {
    case 0:
        length = make_dns(in, !from_guest, dns);
        return from_guest ? frame_udp(frame, guest, 5000, server, 53, dns, length)
                          : frame_udp(frame, server, 53, guest, 5000, dns, length);
    case 1:
        return from_guest ? frame_udp(frame, guest, 5000, other, kind, "x", 1)
                          : frame_udp(frame, other, kind, guest, 5000, "x", 1);
    case 2:
        return frame_echo(frame, from_guest ? guest : other, from_guest ? other : guest, from_guest, kind);
    default:
        return from_guest ? frame_tcp(frame, guest, 1000, other, 80, take(in), take16(in), take16(in), kind)
                          : frame_tcp(frame, other, 80, guest, 1000, take(in), take16(in), take16(in), kind);
    }
}

static void send_frame(EgressRig *r, Input *in, bool from_guest)
{
    uint8_t frame[4096] = { 0 };
    unsigned bends = take(in) % 4, cut;
    size_t length;

    if (bends == 3) {
        length = take(in) % 128;
        for (size_t i = 0; i < length; i++) {
            frame[i] = (uint8_t)take(in);
        }
    } else {
        length = make_frame(in, from_guest, frame);
        while (bends--) {
            frame[take16(in) % length] = (uint8_t)take(in);
        }
        cut = take(in);
        length -= cut % 8 || cut > length ? 0 : cut;
    }
    /* On the heap, as long as it is: a sanitizer sees a read behind its end. */
    uint8_t *exact = memcpy(g_malloc(length + !length), frame, length);

    if (from_guest) {
        net_egress_send(r->egress, exact, length);
    } else {
        net_egress_receive(r->egress, exact, length);
    }
    g_free(exact);
}

static void parse_rule(Input *in)
{
    char text[64] = { 0 };
    unsigned length = take(in) % sizeof(text);
    EgressRule *rule;

    for (unsigned i = 0; i + 1 < length; i++) {
        text[i] = (char)take(in);
    }
    rule = egress_rule_parse(text, false, NULL);
    if (rule) {
        egress_rule_free(rule);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    Input in = { data, length };
    EgressRig *r = egress_rig_new("allow=example.org,max-connections=64,quota-bytes=1M");
    const EgressForward forward = { .inward = true, .port = 1000 };
    int64_t ms = 0;

    g_array_append_val(r->forwards, forward);
    for (unsigned n = 0; in.length && n < 1000; n++) {
        unsigned what = take(&in);

        switch (what % 8) {
        case 0:
            egress_rig_at(r, ms += 100 * take16(&in));
            break;
        case 1:
            egress_rules_change(r->domain, "p", what & 8, what & 16, rules[(what >> 5) % G_N_ELEMENTS(rules)], NULL);
            break;
        case 2:
            parse_rule(&in);
            break;
        default:
            send_frame(r, &in, what & 8);
        }
    }
    egress_rig_free(r);
    return 0;
}
