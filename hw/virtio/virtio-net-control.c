/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control queue of virtio-net (Virtio 1.2, 5.1.6.5): receive modes, MAC and VLAN tables, its own
 * address, announcements, how many queue pairs are used, offloads.  And the filter that these make.
 *
 * Locking: the control queue's loop.  Receiving queues and registers read what is published.
 */
#include <string.h>

#include "hw/virtio/virtio-net.h"
#include "vmm/bytes.h"
#include "vmm/epoch.h"
#include "vmm/error.h"

#define ETHERTYPE_VLAN 0x8100
#define VLAN_ID_MASK   0x0fff
#define PER_ROUND      64

/* ---- the filter ---- */

void virtio_net_publish_filter(VirtioNet *n)
{
    NetFilter *old = __atomic_exchange_n(&n->published, g_memdup2(&n->filter, sizeof(n->filter)), __ATOMIC_ACQ_REL);

    if (old) {
        epoch_retire(g_free, old);
    }
}

static bool in_table(const uint8_t *table, uint32_t n, const uint8_t *mac)
{
    for (uint32_t i = 0; i < n; i++) {
        if (memcmp(table + (size_t)i * NET_MAC_BYTES, mac, NET_MAC_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

static bool takes_multicast(const NetFilter *f, const uint8_t *mac)
{
    static const uint8_t broadcast[NET_MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    if (memcmp(mac, broadcast, NET_MAC_BYTES) == 0) {
        return !f->no_broadcast;
    }
    return !f->no_multicast &&
           (f->all_multicast || f->multicast_overflow || in_table(f->multicast, f->multicasts, mac));
}

bool virtio_net_takes(const VirtioNet *n, const uint8_t *head)
{
    const NetFilter *f = __atomic_load_n(&n->published, __ATOMIC_ACQUIRE);

    if (f->promiscuous) {
        return true;
    }
    if (get_be16(head + 12) == ETHERTYPE_VLAN && virtio_has(&n->virtio, VIRTIO_NET_F_CTRL_VLAN)) {
        unsigned vlan = get_be16(head + 14) & VLAN_ID_MASK;

        if (!(f->vlan[vlan / 8] & 1 << vlan % 8)) {
            return false;
        }
    }
    if (head[0] & 1) {
        return takes_multicast(f, head);
    }
    return !f->no_unicast && (f->all_unicast || f->unicast_overflow ||
                              memcmp(head, f->mac, NET_MAC_BYTES) == 0 || in_table(f->unicast, f->unicasts, head));
}

static NetRxState state_of(bool none, bool all)
{
    return none ? NET_RX_NONE : all ? NET_RX_ALL : NET_RX_NORMAL;
}

/* Main thread: the control queue may be at it on another loop, so it is the published one. */
void virtio_net_look_at_filter(NetNic *nic, NetRxFilter *ret)
{
    const VirtioNet *n = (const VirtioNet *)((char *)nic - offsetof(VirtioNet, nic));
    const NetFilter *f = __atomic_load_n(&n->published, __ATOMIC_ACQUIRE);
    unsigned vlans = 0;

    ret->promiscuous = f->promiscuous;
    ret->broadcast = !f->no_broadcast;
    ret->unicast_overflow = f->unicast_overflow;
    ret->multicast_overflow = f->multicast_overflow;
    ret->unicast = state_of(f->no_unicast, f->all_unicast);
    ret->multicast = state_of(f->no_multicast, f->all_multicast);
    memcpy(ret->mac, f->mac, NET_MAC_BYTES);
    g_array_append_vals(ret->unicasts, f->unicast, f->unicasts);
    g_array_append_vals(ret->multicasts, f->multicast, f->multicasts);
    for (uint16_t vlan = 0; vlan < NET_VLANS; vlan++) {
        vlans += f->vlan[vlan / 8] >> vlan % 8 & 1;
    }
    ret->vlan = !virtio_has(&n->virtio, VIRTIO_NET_F_CTRL_VLAN) ? NET_RX_ALL : vlans ? NET_RX_NORMAL : NET_RX_NONE;
    for (uint16_t vlan = 0; vlan < NET_VLANS && ret->vlan == NET_RX_NORMAL; vlan++) {
        if (f->vlan[vlan / 8] & 1 << vlan % 8) {
            g_array_append_val(ret->vlans, vlan);
        }
    }
}

/* ---- commands: false is VIRTIO_NET_ERR ---- */

/* `length` bytes of the command's data. */
static bool take(const VirtqueueChain *c, uint64_t *at, void *data, uint64_t length)
{
    bool there = iov_to_buffer(c->out, c->outs, *at, data, length) == length;

    *at += length;
    return there;
}

static bool set_rx_mode(VirtioNet *n, uint8_t command, const VirtqueueChain *c, uint64_t at)
{
    bool extra = virtio_has(&n->virtio, VIRTIO_NET_F_CTRL_RX_EXTRA);
    bool *const modes[] = {
        [VIRTIO_NET_CTRL_RX_PROMISC] = &n->filter.promiscuous,
        [VIRTIO_NET_CTRL_RX_ALLMULTI] = &n->filter.all_multicast,
        [VIRTIO_NET_CTRL_RX_ALLUNI] = &n->filter.all_unicast,
        [VIRTIO_NET_CTRL_RX_NOMULTI] = &n->filter.no_multicast,
        [VIRTIO_NET_CTRL_RX_NOUNI] = &n->filter.no_unicast,
        [VIRTIO_NET_CTRL_RX_NOBCAST] = &n->filter.no_broadcast,
    };
    uint8_t on;

    if (!virtio_has(&n->virtio, VIRTIO_NET_F_CTRL_RX) || command >= G_N_ELEMENTS(modes) ||
        (command > VIRTIO_NET_CTRL_RX_ALLMULTI && !extra) || !take(c, &at, &on, sizeof(on))) {
        return false;
    }
    *modes[command] = on;
    return true;
}

/* le32 entries, then so many addresses. */
static bool take_table(const VirtqueueChain *c, uint64_t *at, uint8_t *table, uint32_t *ret_n, bool *ret_overflow)
{
    uint8_t count[4];
    uint32_t entries;

    if (!take(c, at, count, sizeof(count))) {
        return false;
    }
    entries = get32(count);
    *ret_overflow = entries > NET_MACS_MAX;
    *ret_n = *ret_overflow ? 0 : entries;
    if (*ret_overflow) {
        *at += (uint64_t)entries * NET_MAC_BYTES;
        return *at <= c->out_bytes;
    }
    return take(c, at, table, (uint64_t)entries * NET_MAC_BYTES);
}

static bool set_mac(VirtioNet *n, uint8_t command, const VirtqueueChain *c, uint64_t at)
{
    NetFilter f = n->filter;

    if (command == VIRTIO_NET_CTRL_MAC_ADDR_SET && virtio_has(&n->virtio, VIRTIO_NET_F_CTRL_MAC_ADDR)) {
        if (!take(c, &at, f.mac, NET_MAC_BYTES)) {
            return false;
        }
        n->filter = f;
        return true;
    }
    if (command != VIRTIO_NET_CTRL_MAC_TABLE_SET || !virtio_has(&n->virtio, VIRTIO_NET_F_CTRL_RX) ||
        !take_table(c, &at, f.unicast, &f.unicasts, &f.unicast_overflow) ||
        !take_table(c, &at, f.multicast, &f.multicasts, &f.multicast_overflow)) {
        return false;
    }
    n->filter = f;
    return true;
}

static bool set_vlan(VirtioNet *n, uint8_t command, const VirtqueueChain *c, uint64_t at)
{
    uint8_t id[2];
    uint16_t vlan;

    if (!virtio_has(&n->virtio, VIRTIO_NET_F_CTRL_VLAN) || command > VIRTIO_NET_CTRL_VLAN_DEL ||
        !take(c, &at, id, sizeof(id)) || (vlan = get16(id)) >= NET_VLANS) {
        return false;
    }
    if (command == VIRTIO_NET_CTRL_VLAN_ADD) {
        n->filter.vlan[vlan / 8] |= (uint8_t)(1 << vlan % 8);
    } else {
        n->filter.vlan[vlan / 8] &= (uint8_t)~(1 << vlan % 8);
    }
    return true;
}

/* 5.1.6.5.4.  Main thread. */
void virtio_net_announce(NetNic *nic, uint8_t mac[NET_MAC_BYTES])
{
    VirtioNet *n = (VirtioNet *)((char *)nic - offsetof(VirtioNet, nic));
    Virtio *v = &n->virtio;

    memcpy(mac, __atomic_load_n(&n->published, __ATOMIC_ACQUIRE)->mac, NET_MAC_BYTES);
    if (__atomic_load_n(&v->status, __ATOMIC_RELAXED) & VIRTIO_S_DRIVER_OK &&
        virtio_has(v, VIRTIO_NET_F_GUEST_ANNOUNCE) && virtio_has(v, VIRTIO_NET_F_CTRL_VQ)) {
        __atomic_store_n(&n->announce, true, __ATOMIC_RELAXED);
        virtio_config_changed(v);
    }
}

static bool acknowledge(VirtioNet *n, uint8_t command)
{
    if (!virtio_has(&n->virtio, VIRTIO_NET_F_GUEST_ANNOUNCE) || command != VIRTIO_NET_CTRL_ANNOUNCE_ACK) {
        return false;
    }
    return __atomic_exchange_n(&n->announce, false, __ATOMIC_RELAXED);
}

static bool set_pairs(VirtioNet *n, uint8_t command, const VirtqueueChain *c, uint64_t at)
{
    uint8_t data[2];
    uint16_t pairs, before = n->current_pairs;

    if (!virtio_has(&n->virtio, VIRTIO_NET_F_MQ) || command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
        !take(c, &at, data, sizeof(data)) || (pairs = get16(data)) < 1 || pairs > n->pairs) {
        return false;
    }
    __atomic_store_n(&n->current_pairs, pairs, __ATOMIC_RELAXED);
    net_set_queues(&n->nic, pairs);
    if (net_has_unused(&n->nic)) {
        net_use_queues(&n->nic);
        return true;
    }
    for (unsigned i = 2u * MIN(before, pairs); i < 2u * MAX(before, pairs); i++) {
        virtio_serve_anew_soon(n->virtio.queue[i]); /* by whom, hangs on whether it is used */
    }
    return true;
}

void virtio_net_apply_offloads(VirtioNet *n)
{
    uint64_t bits = virtio_net_offloads(n);

    net_set_offloads(&n->nic, (bits & VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) ? NET_CSUM : 0) |
                                  (bits & VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) ? NET_TSO4 : 0) |
                                  (bits & VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) ? NET_TSO6 : 0) |
                                  (bits & VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN) ? NET_ECN : 0));
}

static bool set_offloads(VirtioNet *n, uint8_t command, const VirtqueueChain *c, uint64_t at)
{
    uint8_t data[8];
    uint64_t bits, all = n->virtio.driver_features & NET_GUEST_OFFLOADS;

    if (!virtio_has(&n->virtio, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) || command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
        !take(c, &at, data, sizeof(data))) {
        return false;
    }
    bits = get64(data);
    if (bits & ~all) {
        return false;
    }
    __atomic_store_n(&n->offloads_off, all & ~bits, __ATOMIC_RELAXED);
    virtio_net_apply_offloads(n);
    return true;
}

static bool obey(VirtioNet *n, const VirtqueueChain *c)
{
    struct virtio_net_ctrl_hdr header;
    uint64_t at = 0;

    if (!take(c, &at, &header, sizeof(header))) {
        return false;
    }
    switch (header.class) {
    case VIRTIO_NET_CTRL_RX:
        return set_rx_mode(n, header.cmd, c, at);
    case VIRTIO_NET_CTRL_MAC:
        return set_mac(n, header.cmd, c, at);
    case VIRTIO_NET_CTRL_VLAN:
        return set_vlan(n, header.cmd, c, at);
    case VIRTIO_NET_CTRL_ANNOUNCE:
        return acknowledge(n, header.cmd);
    case VIRTIO_NET_CTRL_MQ:
        return set_pairs(n, header.cmd, c, at);
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        return set_offloads(n, header.cmd, c, at);
    default:
        return false;
    }
}

static void obey_and_publish(VirtioNet *n, VirtqueueChain *c)
{
    NetFilter before = n->filter;
    uint8_t ack = obey(n, c) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;

    if (memcmp(&before, &n->filter, sizeof(before)) != 0) {
        virtio_net_publish_filter(n);
        net_filter_changed(&n->nic);
    }
    iov_from_buffer(c->in, c->ins, 0, &ack, sizeof(ack));
}

void virtio_net_control_ready(VirtioNet *n, Virtqueue *vq)
{
    unsigned left = PER_ROUND;
    VirtqueueChain *c;

    while (left && (c = virtqueue_pop(vq, sizeof(*c)))) {
        if (c->in_bytes < 1) {
            virtio_set_broken(&n->virtio, "queue %u: a command without room for its answer", virtqueue_index(vq));
            virtqueue_detach(vq, c);
            return;
        }
        obey_and_publish(n, c);
        virtqueue_push(vq, c, sizeof(virtio_net_ctrl_ack));
        virtqueue_notify_soon(vq);
        left--;
    }
    if (!left) {
        virtqueue_kick(vq);
    }
}
