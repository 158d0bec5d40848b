/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/net/egress-talk.h"

EgressRig *rig;

void with(const char *policy)
{
    rig = egress_rig_new(policy);
}

int egress_teardown(void **state)
{
    if (rig) {
        egress_rig_free(rig);
        rig = NULL;
    }
    return 0;
}

/* ---- what the guest and the network send; true: it was handed on ---- */

bool guest(const uint8_t *frame, size_t length)
{
    rig->guest_bytes = rig->network_bytes = 0;
    return net_egress_send(rig->egress, frame, length);
}

bool syn_from(const char *from, const char *to, unsigned port)
{
    uint8_t frame[2048];

    return guest(frame, frame_tcp(frame, from, 40000, to, port, EGRESS_SYN, 100, 0, 0));
}

bool syn(const char *to, unsigned port)
{
    return syn_from(strchr(to, ':') ? "fec0::15" : GUEST, to, port);
}

bool segment(const char *to, unsigned port, uint32_t seq, uint32_t ack, size_t payload)
{
    uint8_t frame[2048];

    return guest(frame, frame_tcp(frame, GUEST, 40000, to, port, EGRESS_ACK, seq, ack, payload));
}

bool datagram(const char *to, unsigned port)
{
    uint8_t frame[2048];

    return guest(frame, frame_udp(frame, strchr(to, ':') ? "fec0::15" : GUEST, 5000, to, port, "x", 1));
}

bool ping(const char *to)
{
    uint8_t frame[2048];

    return guest(frame, frame_echo(frame, strchr(to, ':') ? "fec0::15" : GUEST, to, true, 77));
}

bool answer_segment(const char *from, unsigned port, unsigned flags, uint32_t seq, uint32_t ack, size_t payload)
{
    uint8_t frame[2048];

    return net_egress_receive(rig->egress, frame, frame_tcp(frame, from, port, GUEST, 40000, flags, seq, ack, payload));
}

bool answer_datagram(const char *from, unsigned port, unsigned guest_port)
{
    uint8_t frame[2048];

    return net_egress_receive(rig->egress, frame, frame_udp(frame, from, port, GUEST, guest_port, "x", 1));
}

bool ask(const char *name)
{
    uint8_t dns[512], frame[2048];

    return guest(frame, frame_udp(frame, GUEST, 5353, SERVER, 53, dns, dns_question(dns, 7, name, 1)));
}

bool told(const char *name, unsigned ttl, const char *const *records)
{
    uint8_t dns[1024], frame[2048];

    return net_egress_receive(
        rig->egress, frame, frame_udp(frame, SERVER, 53, GUEST, 5353, dns, dns_answer(dns, 7, name, 1, ttl, records)));
}

void resolve(const char *name, unsigned ttl, const char *address)
{
    assert_true(ask(name));
    assert_true(told(name, ttl, (const char *const[]) { address, NULL }));
}

void change(bool deny, bool add, const char *rule)
{
    g_autoptr(GError) error = NULL;

    if (!egress_rules_change(rig->domain, "p", deny, add, rule, &error)) {
        fail_msg("%s", error->message);
    }
}

bool reset_told(void)
{
    return is_reset(rig->to_guest, rig->guest_bytes);
}

bool prohibition_told(void)
{
    return is_prohibited(rig->to_guest, rig->guest_bytes);
}

void audited(const char *text)
{
    g_autofree char *log = NULL;

    assert_true(g_file_get_contents(rig->audit, &log, NULL, NULL));
    if (!strstr(log, text)) {
        fail_msg("'%s' is not in the log:\n%s", text, log);
    }
}
