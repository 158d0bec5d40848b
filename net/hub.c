/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `hubport` backend: a port of a hub within this process.  What comes in at one port goes out at
 * all others.  A port has a NIC, or (netdev=) another backend in the place of one.
 *
 *   NIC -> port A's send() --+--> port B's NIC
 *                            +--> port C's netdev, by port C's own NetNic
 *
 * A port without room loses the frame: a hub has no memory and stops nobody.  It takes no offloads.
 *
 * Main loop only.
 */
#include <string.h>

#include "net/netdev-options.h"
#include "vmm/error.h"

typedef struct HubPort {
    NetBackend backend; /* first */
    int32_t hub;
    NetQueue *queue;    /* of the NIC at this port; NULL: none */
    NetNic uplink;      /* what stands for a NIC towards another backend; its backend is NULL: none */
} HubPort;

static HubPort *hub_port(NetBackend *b)
{
    return (HubPort *)b;
}

static HubPort *of_uplink(NetNic *nic)
{
    return (HubPort *)((char *)nic - offsetof(HubPort, uplink));
}

/* ---- frames ---- */

static void leave(HubPort *port, const NetPacket *packet)
{
    if (port->uplink.backend) {
        net_send(&port->uplink, 0, packet);
    } else if (port->queue && !net_receive(&port->backend, port->queue, packet)) {
        net_drop_received(port->queue);
    }
}

static void enter(HubPort *from, const NetPacket *packet)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, domain_table(from->backend.domain, TABLE_NETDEVS));
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        HubPort *port = value;

        if (port->backend.class == &net_hubport_class && port->hub == from->hub && port != from) {
            leave(port, packet);
        }
    }
}

static NetSent hub_send(NetBackend *b, NetQueue *q, const NetPacket *packet)
{
    enter(hub_port(b), packet);
    return NET_SENT;
}

static void hub_receive_ready(NetBackend *b, NetQueue *q)
{
}

static void hub_attach(NetBackend *b, NetQueue *q)
{
    hub_port(b)->queue = q;
}

static void hub_detach(NetBackend *b, NetQueue *q)
{
    hub_port(b)->queue = NULL;
}

/* ---- the other backend: here we are the NIC ---- */

static bool uplink_receive(NetNic *nic, unsigned queue, const NetPacket *packet)
{
    NetPacket plain = *packet;

    /* It was asked for no offloads: the header can only say that a checksum is right. */
    memset(&plain.header, 0, sizeof(plain.header));
    enter(of_uplink(nic), &plain);
    return true;
}

static void uplink_send_ready(NetNic *nic, unsigned queue)
{
}

static void uplink_link_changed(NetNic *nic)
{
}

static const NetNicOps uplink_ops = {
    .receive = uplink_receive, .send_ready = uplink_send_ready, .link_changed = uplink_link_changed,
};

/* ---- life ---- */

static bool hub_open(NetBackend *b, const void *opaque, GError **error)
{
    const NetHubOptions *o = opaque;
    HubPort *port = hub_port(b);
    Loop *loop = domain_loop(b->domain);

    port->hub = o->hub;
    if (o->netdev) {
        port->uplink = (NetNic) { .ops = &uplink_ops, .id = b->id,
                                  .backend = netdev_find(b->domain, o->netdev, error) };
        if (!port->uplink.backend || !net_nic_realize(&port->uplink, b->domain, &loop, 1, error)) {
            return false;
        }
        port->uplink.backend->references++;
        b->needs_no_nic = true;
    }
    b->info = g_strdup_printf("hubid=%d%s%s", o->hub, o->netdev ? ",netdev=" : "", o->netdev ? o->netdev : "");
    return true;
}

static void hub_close(NetBackend *b)
{
    HubPort *port = hub_port(b);

    if (port->uplink.backend) {
        net_nic_unrealize(&port->uplink);
        netdev_unref(g_steal_pointer(&port->uplink.backend));
    }
}

const NetClass net_hubport_class = {
    .name = "hubport",
    .size = sizeof(HubPort),
    .open = hub_open,
    .close = hub_close,
    .attach = hub_attach,
    .detach = hub_detach,
    .send = hub_send,
    .receive_ready = hub_receive_ready,
    .main_loop_only = true,
};
