/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines and MSI doorbells.
 *
 * A line carries a level from one source to one sink.  irq_set() in a device hook
 * records the level; it is delivered as an effect, after the device's lock is
 * dropped, under the line's own lock, and always with the newest level: of two
 * threads that race, the later delivery wins with the right value.  Pulses are
 * counted, so none is lost.
 *
 * An MSI is a doorbell, never "DMA to MMIO": a route is prepared, set, committed
 * in batches, then notified from any thread, or by the kernel through its irqfd.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/locks.h"

typedef void (*IrqSink)(void *opaque, unsigned n, bool level);

typedef struct IrqLine IrqLine;

/* Where several lines become one: `target` has the level that newest() computes from its sources. */
typedef struct IrqJoin {
    IrqLine *target;
    bool (*newest)(const struct IrqJoin *join);
} IrqJoin;

struct IrqLine {
    IrqSink sink; /* NULL: not connected */
    void *opaque;
    unsigned n;
    Lock lock;              /* LOCK_IRQ_LINE: delivery */
    bool level;             /* newest, atomic; of a join's target: not used */
    bool delivered;         /* written under lock, atomic */
    bool resync;            /* atomic: deliver even if it seems unchanged */
    bool fell;              /* atomic: has been low since the last delivery */
    unsigned pulses;        /* atomic */
    IrqJoin *from;          /* this line is a join's target; NULL: it has a source of its own */
    IrqJoin *into;          /* this line is a source of a join; NULL: it has a sink */
    unsigned *high;         /* atomic: how many of the join's sources are high; NULL: not counted */
};

void irq_line_init(IrqLine *line, IrqSink sink, void *opaque, unsigned n);
void irq_line_finish(IrqLine *line);
void irq_set(IrqLine *line, bool level); /* NULL: not connected */
void irq_pulse(IrqLine *line);           /* one rising edge more; the level stays */
bool irq_level(const IrqLine *line);
/* After a restore: delivers the level to the sink even if it seems unchanged. */
void irq_resync(IrqLine *line);

/* Several sources on one line, wired or (shared PCI INTx, SCI).  The target has no source of its own.
 * Main thread, but for what is done with the sources. */
typedef struct IrqShare IrqShare;
IrqShare *irq_share_new(IrqLine *target);
void irq_share_free(IrqShare *share);
IrqLine *irq_share_add(IrqShare *share); /* a source; freed by irq_share_remove */
void irq_share_remove(IrqShare *share, IrqLine *source);

typedef struct MsiMessage { uint64_t address; uint32_t data; } MsiMessage;

/*
 * The domain's interrupt fabric: how interrupts reach its vCPUs.  The accelerator makes it
 * (vmm/accel.h) by embedding IrqFabric first in its own struct and giving the operations;
 * MsiRoute likewise.
 */
typedef struct IrqFabric IrqFabric;
typedef struct MsiRoute MsiRoute;

typedef struct IrqFabricOps {
    void (*send)(IrqFabric *fabric, MsiMessage message);
    MsiRoute *(*route_new)(IrqFabric *fabric, GError **error); /* masked, no message; route->fabric is set by irq.c */
    void (*route_free)(MsiRoute *route);
    void (*route_set)(MsiRoute *route, MsiMessage message, bool masked);
    void (*routes_commit)(IrqFabric *fabric);
    void (*route_notify)(MsiRoute *route);
    bool (*route_take_pending)(MsiRoute *route);
    int (*route_fd)(MsiRoute *route, GError **error);
    int (*route_bell)(MsiRoute *route); /* NULL: none rings */
    /* The chips that the accelerator holds itself (irqchip whole); NULL: it holds none. */
    void (*gsi_set)(IrqFabric *fabric, unsigned gsi, bool level);
    /* NULL: refused. */
    bool (*gsi_irqfd)(IrqFabric *fabric, unsigned gsi, int eventfd, int resample, bool attach, GError **error);
    /* Split irqchip: what pin `pin` of our IOAPIC sends now, so that the accelerator knows whose EOIs
     * to hand out and where an irqfd leads; takes effect at once.  NULL: does not matter. */
    void (*pin_set)(IrqFabric *fabric, unsigned pin, MsiMessage message, bool masked);
    /* The HPET replaces the chip of its own that drives `gsi` (0: PIT), or gives it back.  NULL: has none. */
    void (*gsi_override)(IrqFabric *fabric, unsigned gsi, bool on);
} IrqFabricOps;

#define IRQ_GSIS 24

typedef struct GsiSink { IrqSink sink; void *opaque; unsigned n; } GsiSink;
typedef struct Gsi {
    IrqJoin join;       /* of line and override into out; first */
    IrqLine line, override, out;
    IrqFabric *fabric;
    unsigned high;      /* atomic: added sources that are high */
    bool overridden;    /* atomic */
    uint64_t raised;    /* atomic: rising edges that were delivered */
    GArray *sinks;      /* GsiSink; main thread, before the guest runs */
} Gsi;

struct IrqFabric {
    const IrqFabricOps *ops;
    Gsi gsi[IRQ_GSIS];
};

struct MsiRoute {
    IrqFabric *fabric;
};

void irq_fabric_init(IrqFabric *fabric, const IrqFabricOps *ops);
void irq_fabric_finish(IrqFabric *fabric);

/* Sends one message without a route: rare paths (IOAPIC, HPET). Any thread. */
void msi_send(IrqFabric *fabric, MsiMessage message);
MsiRoute *msi_route_new(IrqFabric *fabric, GError **error);
void msi_route_free(MsiRoute *route); /* NULL is fine */
void msi_route_set(MsiRoute *route, MsiMessage message, bool masked); /* takes effect at the next commit */
void msi_routes_commit(IrqFabric *fabric);
/* Sends its message; masked: remembers it as pending. */
void msi_route_notify(MsiRoute *route);
bool msi_route_take_pending(MsiRoute *route);
/* An eventfd that does the same from any process or kernel driver; made on first use, owned by the route. */
int msi_route_fd(MsiRoute *route, GError **error);
/* That eventfd for a loop to ring (loop_ring()); made on first use, too.  -1: there is none, or the route is masked. */
int msi_route_bell(MsiRoute *route);

/*
 * GSI n of the machine.  GSI 0 is the timer: input 0 of the PIC and pin 2 of the IOAPIC, as the
 * MADT's override says; there is no GSI 2; every other one below 16 is ISA interrupt n (PIC input
 * and IOAPIC pin n), 16 to 23 are IOAPIC pins.  The line is for one user, who may share it out by
 * IrqShare; added sources are wired or with it.
 */
IrqLine *gsi_line(IrqFabric *fabric, unsigned gsi);
IrqLine *gsi_add_source(IrqFabric *fabric, unsigned gsi); /* main thread */
void gsi_remove_source(IrqLine *source);                  /* main thread; NULL is fine */
/* resample: an eventfd rung at EOI, or -1. */
bool gsi_irqfd(IrqFabric *fabric, unsigned gsi, int eventfd, int resample, bool attach, GError **error);
/* An interrupt controller takes an input; main thread, before the guest runs. */
void gsi_connect(IrqFabric *fabric, unsigned gsi, IrqSink sink, void *opaque, unsigned n);
void gsi_disconnect(IrqFabric *fabric, unsigned gsi, IrqSink sink, void *opaque);
/* HPET legacy replacement: a line that replaces all the others while `on`. */
IrqLine *gsi_override_line(IrqFabric *fabric, unsigned gsi);
void gsi_override(IrqFabric *fabric, unsigned gsi, bool on);
bool gsi_overridden(const IrqFabric *fabric, unsigned gsi);
/* How often it rose, as far as that went through here (an irqfd does not). */
uint64_t gsi_raised(const IrqFabric *fabric, unsigned gsi);
/* What our IOAPIC's pin sends now (split irqchip). */
void irq_pin_set(IrqFabric *fabric, unsigned pin, MsiMessage message, bool masked);
