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

typedef struct IrqLine {
    IrqSink sink; /* NULL: not connected */
    void *opaque;
    unsigned n;
    Lock lock;              /* LOCK_IRQ_LINE: delivery */
    bool level;             /* newest, atomic */
    bool delivered;         /* under lock */
    unsigned pulses;        /* atomic */
} IrqLine;

void irq_line_init(IrqLine *line, IrqSink sink, void *opaque, unsigned n);
void irq_line_finish(IrqLine *line);
void irq_set(IrqLine *line, bool level); /* NULL: not connected */
void irq_pulse(IrqLine *line);           /* low, high, low: one edge */
bool irq_level(const IrqLine *line);
/* After a restore: delivers the level to the sink even if it seems unchanged. */
void irq_resync(IrqLine *line);

/* Several sources on one line, wired or (shared PCI INTx, SCI). */
typedef struct IrqShare IrqShare;
IrqShare *irq_share_new(IrqLine *target);
void irq_share_free(IrqShare *share);
IrqLine *irq_share_add(IrqShare *share); /* a source; freed by irq_share_remove */
void irq_share_remove(IrqShare *share, IrqLine *source);

typedef struct MsiMessage { uint64_t address; uint32_t data; } MsiMessage;

/* The domain's interrupt fabric; made with the accelerator, see vmm/accel.h. */
typedef struct IrqFabric IrqFabric;
typedef struct MsiRoute MsiRoute;
/* Sends one message without a route: rare paths (IOAPIC, HPET). Any thread. */
void msi_send(IrqFabric *fabric, MsiMessage message);
MsiRoute *msi_route_new(IrqFabric *fabric, GError **error);
void msi_route_free(MsiRoute *route);
void msi_route_set(MsiRoute *route, MsiMessage message, bool masked); /* takes effect at the next commit */
void msi_routes_commit(IrqFabric *fabric);
/* Sends its message; masked: remembers it as pending. */
void msi_route_notify(MsiRoute *route);
bool msi_route_take_pending(MsiRoute *route);
/* An eventfd that does the same from any process or kernel driver; made on first use, owned by the route. */
int msi_route_fd(MsiRoute *route, GError **error);

/* GSI n of the machine (0..23: IOAPIC pins).  resample: an eventfd rung at EOI, or -1. */
IrqLine *gsi_line(IrqFabric *fabric, unsigned gsi);
bool gsi_irqfd(IrqFabric *fabric, unsigned gsi, int eventfd, int resample, bool attach, GError **error);
