/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See egress-rig.h. */
#include "tests/unit/net/egress-rig.h"

#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "hw/devices.h"
#include "vmm/bytes.h"
#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/timer.h"

static void to_guest(void *opaque, const uint8_t *frame, size_t length)
{
    EgressRig *r = opaque;

    g_assert(length <= sizeof(r->to_guest));
    memcpy(r->to_guest, frame, length);
    r->guest_bytes = length;
}

static void to_network(void *opaque, const uint8_t *frame, size_t length)
{
    EgressRig *r = opaque;

    memcpy(r->to_network, frame, length);
    r->network_bytes = length;
}

static EgressAddress address(const char *text)
{
    uint8_t bytes[16];

    if (inet_pton(AF_INET, text, bytes) == 1) {
        uint32_t four;

        memcpy(&four, bytes, sizeof(four));
        return egress_address4(four);
    }
    g_assert(inet_pton(AF_INET6, text, bytes) == 1);
    return egress_address6(bytes);
}

/* Where the log goes: a file; or, if the policy names it, a chardev that listens. */
static char *log_option(EgressRig *r, const char *policy)
{
    g_autofree char *chardev = g_strdup_printf("socket,id=log,path=%s,server=on,wait=off", r->audit);

    if (!strstr(policy, "audit-chardev=log")) {
        return g_strdup_printf(",audit=%s", r->audit);
    }
    g_assert(chardev_add_text(r->domain, chardev, NULL));
    return g_strdup("");
}

EgressRig *egress_rig_new(const char *policy)
{
    EgressRig *r = g_new0(EgressRig, 1);
    g_autofree char *text = NULL, *log = NULL;
    g_autoptr(Json) json = NULL;
    g_autoptr(GError) error = NULL;
    EgressPlace place;

    devices_register();
    r->domain = domain_new(NULL, NULL);
    clock_set_manual(domain_clock(r->domain));
    egress_rig_at(r, 0);
    r->folder = g_dir_make_tmp("lodge-egress-XXXXXX", NULL);
    r->audit = g_build_filename(r->folder, "audit", NULL);
    log = log_option(r, policy);
    text = g_strdup_printf("egress-policy,id=p%s,%s", log, policy);
    json = keyval_parse(text, "qom-type", &error);
    if (!json || !object_add(r->domain, json, &error)) {
        g_error("%s: %s", text, error->message);
    }
    r->forwards = g_array_new(FALSE, FALSE, sizeof(EgressForward));
    place = (EgressPlace) {
        .id = "n", .ipv4 = true, .ipv6 = true, .network4 = address("10.0.2.0"), .bits4 = 96 + 24,
        .gateway4 = address(GATEWAY), .dns4 = address(SERVER), .network6 = address("fec0::"), .bits6 = 64,
        .gateway6 = address("fec0::2"), .dns6 = address("fec0::3"), .forwards = r->forwards, .to_guest = to_guest,
        .to_network = to_network, .opaque = r,
    };
    r->egress = net_egress_new(r->domain, "p", &place, &error);
    g_assert_no_error(error);
    return r;
}

void egress_rig_free(EgressRig *r)
{
    net_egress_free(r->egress);
    objects_free(r->domain);
    chardev_remove_all(r->domain);
    domain_free(r->domain);
    g_array_unref(r->forwards);
    unlink(r->audit);
    g_rmdir(r->folder);
    g_free(r->audit);
    g_free(r->folder);
    g_free(r);
}

void egress_rig_at(EgressRig *r, int64_t ms)
{
    clock_set(domain_clock(r->domain), 1000 * NS_PER_SEC + ms * NS_PER_MS);
    while (loop_run_once(domain_loop(r->domain), false)) {
    }
}

/* ---- frames ---- */

/* Where the transport's header goes. */
static uint8_t *headers(uint8_t *frame, const char *from, const char *to, uint8_t protocol, size_t length)
{
    static const uint8_t macs[12] = { 0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
    uint8_t *ip = frame + 14;

    memset(frame, 0, 14 + 40 + length);
    memcpy(frame, macs, sizeof(macs));
    if (strchr(from, ':')) {
        put_be16(frame + 12, 0x86dd);
        ip[0] = 0x60;
        put_be16(ip + 4, (uint16_t)length);
        ip[6] = protocol == EGRESS_ICMP ? EGRESS_ICMPV6 : protocol;
        g_assert(inet_pton(AF_INET6, from, ip + 8) == 1 && inet_pton(AF_INET6, to, ip + 24) == 1);
        return ip + 40;
    }
    put_be16(frame + 12, 0x0800);
    ip[0] = 0x45;
    put_be16(ip + 2, (uint16_t)(20 + length));
    ip[8] = 64;
    ip[9] = protocol;
    g_assert(inet_pton(AF_INET, from, ip + 12) == 1 && inet_pton(AF_INET, to, ip + 16) == 1);
    return ip + 20;
}

size_t frame_tcp(uint8_t *frame, const char *from, unsigned from_port, const char *to, unsigned to_port, unsigned flags,
                 uint32_t seq, uint32_t ack, size_t payload)
{
    uint8_t *tcp = headers(frame, from, to, EGRESS_TCP, 20 + payload);

    put_be16(tcp, from_port);
    put_be16(tcp + 2, to_port);
    put_be32(tcp + 4, seq);
    put_be32(tcp + 8, ack);
    tcp[12] = 0x50;
    tcp[13] = (uint8_t)flags;
    return (size_t)(tcp - frame) + 20 + payload;
}

size_t frame_udp(uint8_t *frame, const char *from, unsigned from_port, const char *to, unsigned to_port,
                 const void *payload, size_t length)
{
    uint8_t *udp = headers(frame, from, to, EGRESS_UDP, 8 + length);

    put_be16(udp, from_port);
    put_be16(udp + 2, to_port);
    put_be16(udp + 4, (uint16_t)(8 + length));
    memcpy(udp + 8, payload, length);
    return (size_t)(udp - frame) + 8 + length;
}

size_t frame_echo(uint8_t *frame, const char *from, const char *to, bool request, unsigned id)
{
    uint8_t *icmp = headers(frame, from, to, EGRESS_ICMP, 8);

    icmp[0] = strchr(from, ':') ? (request ? 128 : 129) : request ? 8 : 0;
    put_be16(icmp + 4, id);
    return (size_t)(icmp - frame) + 8;
}

static size_t put_name(uint8_t *p, const char *name)
{
    g_auto(GStrv) labels = g_strsplit(name, ".", -1);
    size_t n = 0;

    for (unsigned i = 0; labels[i]; i++) {
        p[n++] = (uint8_t)strlen(labels[i]);
        memcpy(p + n, labels[i], strlen(labels[i]));
        n += strlen(labels[i]);
    }
    p[n++] = 0;
    return n;
}

size_t dns_question(uint8_t *dns, unsigned id, const char *name, unsigned type)
{
    size_t n = 12;

    memset(dns, 0, n);
    put_be16(dns, id);
    dns[2] = 1;
    put_be16(dns + 4, 1);
    n += put_name(dns + n, name);
    put_be16(dns + n, type);
    put_be16(dns + n + 2, 1);
    return n + 4;
}

size_t dns_answer(uint8_t *dns, unsigned id, const char *name, unsigned type, unsigned ttl, const char *const *records)
{
    size_t n = dns_question(dns, id, name, type), owner = 12;
    unsigned count = 0;

    dns[2] = 0x81;
    for (; *records; records++, count++) {
        size_t length_at;

        put_be16(dns + n, (uint16_t)(0xc000 | owner));
        put_be16(dns + n + 2, (*records)[0] == '=' ? 5 : strchr(*records, ':') ? 28 : 1);
        put_be16(dns + n + 4, 1);
        put_be32(dns + n + 6, ttl);
        length_at = n + 10;
        n += 12;
        if ((*records)[0] == '=') {
            owner = n;
            n += put_name(dns + n, *records + 1);
        } else {
            bool six = strchr(*records, ':') != NULL;

            g_assert(inet_pton(six ? AF_INET6 : AF_INET, *records, dns + n) == 1);
            n += six ? 16 : 4;
        }
        put_be16(dns + length_at, (uint16_t)(n - length_at - 2));
    }
    put_be16(dns + 6, count);
    return n;
}

bool is_reset(const uint8_t *frame, size_t length)
{
    EgressPacket p;

    egress_parse(frame, length, &p);
    return length && p.kind == EGRESS_FLOW && p.protocol == EGRESS_TCP && p.flags & EGRESS_RST;
}

bool is_prohibited(const uint8_t *frame, size_t length)
{
    if (length < 14 + 28) {
        return false;
    }
    return frame[12] == 8 ? frame[23] == 1 && frame[34] == 3 && frame[35] == 13
                          : frame[20] == 58 && frame[54] == 1 && frame[55] == 1;
}
