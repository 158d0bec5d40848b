/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software CPU's interrupt fabric: messages go straight to the local APICs.
 *
 * A route's message and mask change together, under its lock, so a notification from
 * another thread sends the old message or the new one.  A route's descriptor is
 * watched by the main loop, which is where it is added and removed; a masked route
 * keeps what was rung as its pending bit.
 *
 * Left out: GSIs from descriptors (gsi_irqfd), which nobody asks for without a kernel
 * that raises them.
 *
 * Locking: route->lock (LOCK_LEAF) guards the route's fields.
 */
#include "vmm/accel-soft.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vmm/log.h"

typedef struct SoftFabric {
    IrqFabric fabric; /* first */
    SoftAccel *soft;
} SoftFabric;

typedef struct SoftRoute {
    MsiRoute route; /* first */
    Lock lock;
    MsiMessage message;
    bool masked, pending;
    bool posted;      /* route_watch() is under way, and frees what is freed meanwhile */
    bool freed;
    int fd;           /* -1: none */
    LoopEvent *event; /* main loop */
} SoftRoute;

static SoftRoute *route_of(MsiRoute *route)
{
    return (SoftRoute *)route;
}

static SoftAccel *soft_of_fabric(IrqFabric *fabric)
{
    return ((SoftFabric *)fabric)->soft;
}

static void fabric_send(IrqFabric *fabric, MsiMessage message)
{
    if (!lapic_bus_send(soft_of_fabric(fabric)->bus, message)) {
        guest_error("msi", "no local APIC takes the message %#" PRIx64 ", %#" PRIx32, message.address, message.data);
    }
}

static MsiRoute *fabric_route_new(IrqFabric *fabric, GError **error)
{
    SoftRoute *r = g_new0(SoftRoute, 1);

    lock_init(&r->lock, LOCK_LEAF, "interrupt route");
    r->masked = true;
    r->fd = -1;
    return &r->route;
}

static void route_destroy(void *opaque)
{
    SoftRoute *r = opaque;

    if (r->event) {
        loop_remove_event(r->event);
    }
    if (r->fd >= 0) {
        close(r->fd);
    }
    lock_finish(&r->lock);
    g_free(r);
}

static void route_go(void *opaque)
{
    SoftRoute *r = opaque;

    r->freed = true;
    if (!r->posted) {
        route_destroy(r);
    }
}

/* On the loop that may be watching its descriptor, or is about to. */
static void fabric_route_free(MsiRoute *route)
{
    SoftRoute *r = route_of(route);

    if (r->fd < 0) {
        route_destroy(r);
    } else {
        loop_call(domain_loop(soft_of_fabric(route->fabric)->accel.domain), route_go, r);
    }
}

/* Takes effect at once: nobody can tell, for no one may rely on the old message after this. */
static void fabric_route_set(MsiRoute *route, MsiMessage message, bool masked)
{
    SoftRoute *r = route_of(route);

    lock_acquire(&r->lock);
    r->message = message;
    r->masked = masked;
    lock_release(&r->lock);
}

static void fabric_routes_commit(IrqFabric *fabric)
{
}

static void fabric_route_notify(MsiRoute *route)
{
    SoftRoute *r = route_of(route);
    MsiMessage message;
    bool masked;

    lock_acquire(&r->lock);
    message = r->message;
    masked = r->masked;
    r->pending |= masked;
    lock_release(&r->lock);
    if (!masked) {
        fabric_send(route->fabric, message);
    }
}

static bool fabric_route_take_pending(MsiRoute *route)
{
    SoftRoute *r = route_of(route);
    bool pending;

    lock_acquire(&r->lock);
    pending = r->pending;
    r->pending = false;
    lock_release(&r->lock);
    return pending;
}

static void route_rung(void *opaque)
{
    fabric_route_notify(opaque);
}

static void route_watch(void *opaque)
{
    SoftRoute *r = opaque;

    r->posted = false;
    if (r->freed) {
        route_destroy(r);
        return;
    }
    r->event = loop_add_event(domain_loop(soft_of_fabric(r->route.fabric)->accel.domain), r->fd, route_rung, NULL, r);
}

static int fabric_route_fd(MsiRoute *route, GError **error)
{
    SoftRoute *r = route_of(route);
    bool made = false;

    lock_acquire(&r->lock);
    if (r->fd < 0) {
        r->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        r->posted = made = r->fd >= 0;
        if (!made) {
            error_set_errno(error, errno, "cannot make an eventfd for an interrupt");
        }
    }
    lock_release(&r->lock);
    if (made) {
        loop_post(domain_loop(soft_of_fabric(route->fabric)->accel.domain), route_watch, r);
    }
    return r->fd;
}

static const IrqFabricOps soft_ops = {
    .send = fabric_send, .route_new = fabric_route_new, .route_free = fabric_route_free,
    .route_set = fabric_route_set, .routes_commit = fabric_routes_commit, .route_notify = fabric_route_notify,
    .route_take_pending = fabric_route_take_pending, .route_fd = fabric_route_fd,
};

void soft_fabric_create(SoftAccel *soft)
{
    SoftFabric *f = g_new0(SoftFabric, 1);

    f->soft = soft;
    irq_fabric_init(&f->fabric, &soft_ops);
    soft->fabric = &f->fabric;
}

void soft_fabric_free(SoftAccel *soft)
{
    irq_fabric_finish(soft->fabric);
    g_free(soft->fabric);
}
