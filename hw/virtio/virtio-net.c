/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net: a NIC, Virtio 1.2 section 5.1.  Properties as QEMU's; not offered: UDP fragmentation
 * (UFO), hash reports and RSS, coalescing, standby.
 *
 * Every offload is offered whatever stands behind the NIC: what a backend does not take, net/ does.
 *
 * Locking: config hooks under the transport's lock; frames in virtio-net-queue.c; filters and what the
 * driver switches in virtio-net-control.c.
 */
#include <linux/virtio_ids.h>
#include <string.h>

#include "hw/virtio/virtio-net.h"
#include "hw/virtio/virtio-pci.h"
#include "vmm/bytes.h"
#include "vmm/domain.h"
#include "vmm/epoch.h"
#include "vmm/error.h"

#define PCI_CLASS_NETWORK 0x0200
#define CONFIG_SIZE       (offsetof(struct virtio_net_config, duplex) + 1)
#define QUEUE_SIZE_MIN    256
#define QUEUE_SIZE_MAX    1024
#define CONTROL_SIZE      64
#define MTU_MIN           68 /* RFC 791 */
#define SPEED_UNKNOWN     (-1)
#define DUPLEX_UNKNOWN    0xff

enum { DUPLEX_AUTO, DUPLEX_HALF, DUPLEX_FULL };
enum { TX_BH };
static const FieldEnum tx_enum = { "VirtioNetTx", (const char *const[]) { "bh", NULL } };
static const FieldEnum duplex_enum = { "Duplex", (const char *const[]) { "unknown", "half", "full", NULL } };

/* ---- features and config space ---- */

static uint64_t net_features(Virtio *v)
{
    const VirtioNet *n = virtio_net(v);
    uint64_t bits = VIRTIO_BIT(VIRTIO_NET_F_MAC);

    for (unsigned i = 0; i < G_N_ELEMENTS(n->offered); i++) {
        bits |= n->offered[i] ? VIRTIO_BIT(i) : 0;
    }
    bits |= n->host_mtu ? VIRTIO_BIT(VIRTIO_NET_F_MTU) : 0;
    bits |= n->speed != SPEED_UNKNOWN || n->duplex != DUPLEX_AUTO ? VIRTIO_BIT(VIRTIO_NET_F_SPEED_DUPLEX) : 0;
    if (n->pairs == 1) {
        bits &= ~VIRTIO_BIT(VIRTIO_NET_F_MQ);
    }
    if (!(bits & VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ))) { /* 5.1.3.1: these need it */
        bits &= ~(VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
                  VIRTIO_BIT(VIRTIO_NET_F_CTRL_VLAN) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |
                  VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
                  VIRTIO_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
    }
    return bits;
}

static void net_set_driver_features(Virtio *v, uint64_t bits)
{
    virtio_net_apply_offloads(virtio_net(v));
}

static void net_config_read(Virtio *v, uint8_t *config)
{
    static const uint8_t duplex[] = { [DUPLEX_AUTO] = DUPLEX_UNKNOWN, [DUPLEX_HALF] = 0, [DUPLEX_FULL] = 1 };
    const VirtioNet *n = virtio_net(v);
    unsigned status = net_nic_link_up(&n->nic) ? VIRTIO_NET_S_LINK_UP : 0;
    unsigned announce = __atomic_load_n(&n->announce, __ATOMIC_RELAXED) ? VIRTIO_NET_S_ANNOUNCE : 0;
    struct virtio_net_config c = {
        .status = GUINT16_TO_LE((uint16_t)(status | announce)),
        .max_virtqueue_pairs = GUINT16_TO_LE((uint16_t)n->pairs),
        .mtu = GUINT16_TO_LE(n->host_mtu),
        .speed = GUINT32_TO_LE((uint32_t)n->speed),
        .duplex = duplex[n->duplex],
    };

    memcpy(c.mac, __atomic_load_n(&n->published, __ATOMIC_ACQUIRE)->mac, sizeof(c.mac));
    memcpy(config, &c, CONFIG_SIZE);
}

/* ---- queues ---- */

static void net_queue_ready(Virtio *v, Virtqueue *vq)
{
    VirtioNet *n = virtio_net(v);

    if (virtio_net_is_control(n, vq)) {
        virtio_net_control_ready(n, vq);
    } else if (virtqueue_index(vq) >= 2 * n->pairs) {
        return; /* the control queue of a driver that uses another one */
    } else if (virtqueue_index(vq) % 2) {
        virtio_net_tx_ready(n, vq);
    } else {
        virtio_net_rx_ready(n, vq);
    }
}

static uint64_t net_impossible(Virtio *v)
{
    return net_nic_impossible(&virtio_net(v)->nic);
}

/* Pairs that the driver does not use stay here, where nothing is done about them, or do nothing there. */
static bool net_start_outside(Virtio *v, Virtqueue *vq, const VhostRing *ring, uint64_t features)
{
    VirtioNet *n = virtio_net(v);
    unsigned pairs = virtio_has(v, VIRTIO_NET_F_MQ) && net_has_unused(&n->nic)
                         ? n->pairs
                         : __atomic_load_n(&n->current_pairs, __ATOMIC_RELAXED);

    return virtqueue_index(vq) / 2 < pairs && !virtio_net_is_control(n, vq) && net_start_ring(&n->nic, ring, features);
}

static bool net_stop_outside(Virtio *v, Virtqueue *vq, uint32_t *ret_base)
{
    return net_stop_ring(&virtio_net(v)->nic, virtqueue_index(vq), ret_base);
}

static void net_reset(Virtio *v)
{
    VirtioNet *n = virtio_net(v);

    n->filter = (NetFilter) { .promiscuous = true }; /* for drivers that have no control queue */
    memcpy(n->filter.mac, n->nic.mac, NET_MAC_BYTES);
    virtio_net_publish_filter(n);
    __atomic_store_n(&n->offloads_off, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&n->current_pairs, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&n->announce, false, __ATOMIC_RELAXED);
    virtio_net_apply_offloads(n);
    net_set_queues(&n->nic, 1);
}

/* ---- saved state ---- */

static bool net_check(const void *opaque, GError **error)
{
    const VirtioNet *n = opaque;

    if (n->filter.unicasts > NET_MACS_MAX || n->filter.multicasts > NET_MACS_MAX) {
        return error_set(error, "its table of addresses has more than %d", NET_MACS_MAX);
    }
    if (n->current_pairs < 1 || n->current_pairs > n->pairs) {
        return error_set(error, "its guest uses %u queue pairs, and this NIC has %u", n->current_pairs, n->pairs);
    }
    if (n->offloads_off & ~NET_GUEST_OFFLOADS) {
        return error_set(error, "its guest uses offloads that no guest has");
    }
    return true;
}

static bool net_loaded(void *opaque, GError **error)
{
    VirtioNet *n = opaque;

    virtio_net_publish_filter(n);
    virtio_net_apply_offloads(n);
    net_set_queues(&n->nic, n->current_pairs);
    net_nic_loaded(&n->nic);
    return true;
}

static const StateDesc net_state = {
    .name = "virtio-net",
    .version = 1,
    .check = net_check,
    .loaded = net_loaded,
    .fields = (const StateField[]) {
        STATE_BYTES(VirtioNet, filter.mac),
        STATE_BOOL(VirtioNet, filter.promiscuous),
        STATE_BOOL(VirtioNet, filter.all_multicast),
        STATE_BOOL(VirtioNet, filter.all_unicast),
        STATE_BOOL(VirtioNet, filter.no_multicast),
        STATE_BOOL(VirtioNet, filter.no_unicast),
        STATE_BOOL(VirtioNet, filter.no_broadcast),
        STATE_BOOL(VirtioNet, filter.unicast_overflow),
        STATE_BOOL(VirtioNet, filter.multicast_overflow),
        STATE_U32(VirtioNet, filter.unicasts),
        STATE_U32(VirtioNet, filter.multicasts),
        STATE_BYTES(VirtioNet, filter.unicast),
        STATE_BYTES(VirtioNet, filter.multicast),
        STATE_BYTES(VirtioNet, filter.vlan),
        STATE_U64(VirtioNet, offloads_off),
        STATE_U16(VirtioNet, current_pairs),
        STATE_END
    },
};

/* ---- realize ---- */

static bool is_power_of_two(uint32_t x)
{
    return x && !(x & (x - 1));
}

static bool check_options(const VirtioNet *n, GError **error)
{
    if (!is_power_of_two(n->rx_queue_size) || !is_power_of_two(n->tx_queue_size)) {
        return error_set(error, "rx_queue_size and tx_queue_size are powers of two from %d to %d", QUEUE_SIZE_MIN,
                         QUEUE_SIZE_MAX);
    }
    if (n->offered[VIRTIO_NET_F_GUEST_UFO] || n->offered[VIRTIO_NET_F_HOST_UFO]) {
        error_set(error, "guest_ufo and host_ufo can only be off: UDP is not cut here");
        return error_hint(error, "Leave them out.");
    }
    if (n->host_mtu && n->host_mtu < MTU_MIN) {
        return error_set(error, "host_mtu is 0 or at least %d", MTU_MIN);
    }
    return true;
}

static void release(VirtioNet *n)
{
    net_nic_unrealize(&n->nic);
    virtio_remove_queues(&n->virtio);
    if (n->published) {
        epoch_retire(g_free, g_steal_pointer(&n->published));
    }
}

static bool add_queues(VirtioNet *n, Loop *loop, GError **error)
{
    for (unsigned i = 0; i < n->pairs; i++) {
        Virtqueue *rx = virtio_add_queue(&n->virtio, n->rx_queue_size, loop, error);

        if (!rx || !virtio_add_queue(&n->virtio, n->tx_queue_size, loop, error)) {
            return false;
        }
        virtqueue_set_unpolled(rx);
    }
    return !n->offered[VIRTIO_NET_F_CTRL_VQ] ||
           virtio_add_queue(&n->virtio, CONTROL_SIZE, NULL, error);
}

/* Behind a transport that is made with it, that is what users know. */
static void name_nic(VirtioNet *n)
{
    const Device *dev = &n->virtio.dev, *known = dev->parent && dev->parent->backend == dev ? dev->parent : dev;

    n->nic.ops = &virtio_net_nic_ops;
    n->nic.model = known->class->name;
    n->nic.id = known->id;
    n->nic.path = dev->path;
}

static bool net_realize(Device *dev, GError **error)
{
    VirtioNet *n = virtio_net((Virtio *)dev);
    Loop *loops[NET_PAIRS_MAX];

    if (!check_options(n, error)) {
        return false;
    }
    n->pairs = n->offered[VIRTIO_NET_F_MQ] ? CLAMP(net_nic_backend_queues(&n->nic), 1, NET_PAIRS_MAX) : 1;
    for (unsigned i = 0; i < n->pairs; i++) {
        loops[i] = n->iothread ? iothread_loop(n->iothread) : NULL;
    }
    n->current_pairs = 1;
    virtio_net_publish_filter(n);
    name_nic(n);
    /* Frames come from the moment it is linked: the queues are there, and do not run. */
    if (!add_queues(n, loops[0], error) || !net_nic_realize(&n->nic, dev->domain, loops, n->pairs, error)) {
        release(n);
        return false;
    }
    net_reset(&n->virtio);
    return true;
}

static void net_unrealize(Device *dev)
{
    release(virtio_net((Virtio *)dev));
}

/* ---- properties ---- */

#define OFFER(NAME, BIT, ON, HELP) PROP_BOOL(NAME, VirtioNet, offered[BIT], ON, .help = HELP)

static const Property net_props[] = {
    PROP_LINK("netdev", VirtioNet, nic.backend, &netdev_link, .help = "Backend; without it no cable is plugged in"),
    PROP_CODED("mac", VirtioNet, nic.mac, &net_mac_codec, .def.s = "00:00:00:00:00:00",
               .help = "Address; without it 52:54:00:12:34:56 and on"),
    PROP_LINK("iothread", VirtioNet, iothread, &iothread_link, .help = "Thread that serves the queues of frames"),
    OFFER("csum", VIRTIO_NET_F_CSUM, true, "Offer to complete checksums"),
    OFFER("guest_csum", VIRTIO_NET_F_GUEST_CSUM, true, "Let the driver take frames without checksum"),
    OFFER("guest_tso4", VIRTIO_NET_F_GUEST_TSO4, true, "Let the driver take large TCP segments, IPv4"),
    OFFER("guest_tso6", VIRTIO_NET_F_GUEST_TSO6, true, "Let the driver take large TCP segments, IPv6"),
    OFFER("guest_ecn", VIRTIO_NET_F_GUEST_ECN, true, "Let the driver take large TCP segments with ECN"),
    OFFER("host_tso4", VIRTIO_NET_F_HOST_TSO4, true, "Offer to cut TCP segments, IPv4"),
    OFFER("host_tso6", VIRTIO_NET_F_HOST_TSO6, true, "Offer to cut TCP segments, IPv6"),
    OFFER("host_ecn", VIRTIO_NET_F_HOST_ECN, true, "Offer to cut TCP segments with ECN"),
    PROP_BOOL("gso", VirtioNet, gso, true, .help = "Says nothing: Virtio 1 has host_tso4 and on in its place"),
    OFFER("guest_ufo", VIRTIO_NET_F_GUEST_UFO, false, "Only off is possible: UDP is not cut here"),
    OFFER("host_ufo", VIRTIO_NET_F_HOST_UFO, false, "Only off is possible: UDP is not cut here"),
    OFFER("mrg_rxbuf", VIRTIO_NET_F_MRG_RXBUF, true, "Offer to put a frame into several buffers"),
    OFFER("status", VIRTIO_NET_F_STATUS, true, "Offer the state of the link"),
    OFFER("ctrl_vq", VIRTIO_NET_F_CTRL_VQ, true, "Offer the control queue"),
    OFFER("ctrl_rx", VIRTIO_NET_F_CTRL_RX, true, "Offer receive modes"),
    OFFER("ctrl_rx_extra", VIRTIO_NET_F_CTRL_RX_EXTRA, true, "Offer more receive modes"),
    OFFER("ctrl_vlan", VIRTIO_NET_F_CTRL_VLAN, true, "Offer to filter VLANs"),
    OFFER("ctrl_mac_addr", VIRTIO_NET_F_CTRL_MAC_ADDR, true, "Let the driver change the address"),
    OFFER("ctrl_guest_offloads", VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, true, "Let the driver switch offloads"),
    OFFER("guest_announce", VIRTIO_NET_F_GUEST_ANNOUNCE, true, "Let the driver announce itself after a migration"),
    OFFER("mq", VIRTIO_NET_F_MQ, false, "As many pairs of queues as the backend has"),
    PROP_UINT("rx_queue_size", VirtioNet, rx_queue_size, 256, .min = QUEUE_SIZE_MIN, .max = QUEUE_SIZE_MAX,
              .help = "Entries of a receive queue"),
    PROP_UINT("tx_queue_size", VirtioNet, tx_queue_size, 256, .min = QUEUE_SIZE_MIN, .max = QUEUE_SIZE_MAX,
              .help = "Entries of a transmit queue"),
    PROP_ENUM("tx", VirtioNet, tx, &tx_enum, TX_BH, .help = "When frames are sent: as soon as the loop comes to it"),
    PROP_UINT("host_mtu", VirtioNet, host_mtu, 0, .help = "MTU that the driver is told; 0: it is not"),
    PROP_INT("speed", VirtioNet, speed, SPEED_UNKNOWN, .min = SPEED_UNKNOWN, .max = INT32_MAX,
             .help = "Speed that the driver is told, Mbit/s; -1: unknown"),
    PROP_ENUM("duplex", VirtioNet, duplex, &duplex_enum, DUPLEX_AUTO, .help = "Duplex that the driver is told"),
    PROP_INT("bootindex", VirtioNet, bootindex, -1,
             .help = "Place in firmware's boot order, -1: none; no effect with -kernel, which boots without firmware"),
    PROP_END
};

static const char *const net_pci_aliases[] = { "virtio-net", "virtio-net-pci-non-transitional", NULL };
static const char *const net_aliases[] = { "virtio-net", NULL };

const VirtioClass virtio_net_class = {
    .device = {
        .name = "virtio-net-device",
        .desc = "Virtio NIC",
        .aliases = net_aliases,
        .category = "Network",
        .base = &virtio_device_class,
        .size = sizeof(VirtioNet),
        .bus = &virtio_bus_class,
        .props = net_props,
        .state = &net_state,
        .realize = net_realize,
        .unrealize = net_unrealize,
    },
    .id = VIRTIO_ID_NET,
    .pci_class = PCI_CLASS_NETWORK,
    .config_size = CONFIG_SIZE,
    .features = net_features,
    .set_features = net_set_driver_features,
    .config_read = net_config_read,
    .impossible = net_impossible,
    .start_outside = net_start_outside,
    .stop_outside = net_stop_outside,
    .queue_ready = net_queue_ready,
    .reset = net_reset,
};

const DeviceClass virtio_net_pci_class = {
    VIRTIO_PCI_CLASS(virtio_net_class),
    .name = "virtio-net-pci",
    .desc = "Virtio NIC on PCI",
    .aliases = net_pci_aliases,
    .category = "Network",
};
