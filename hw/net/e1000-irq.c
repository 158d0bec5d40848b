/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts (SDM 3.2.7, 3.4.3 and 13.4.17 on; DS 7.4): causes collect in ICR, IMS lets them through.
 *
 *   descriptor done -> [RDTR, RADV; TIDV, TADV] -> ICR & IMS -> [ITR] -> INTx, or an MSI at its rise
 *                                                            -> [EITR n] -> MSI-X vector n by IVAR, then auto clear
 *
 * A throttle is the least time between two interrupts: a cause that comes within it waits for its end.  INTx falls at
 * once when nothing is left.  One timer serves all of these, and the link's negotiation: due[] says when what happens.
 *
 * Locking: the device's lock is held.
 */
#include "hw/net/e1000.h"

#define ITR_NS    256  /* unit of ITR, EITR */
#define DELAY_NS  1024 /* of RDTR, RADV, TIDV, TADV */
#define IVAR_VALID 8u
#define IVAR_BITS  4

static uint32_t pending(const E1000 *e)
{
    return e->icr & e->ims;
}

/* ---- time ---- */

void e1000_arm(E1000 *e)
{
    int64_t first = INT64_MAX;

    for (unsigned i = 0; i < DUES; i++) {
        first = MIN(first, e->due[i]);
    }
    if (first == INT64_MAX) {
        timer_del(e->timer);
    } else if (first != timer_deadline(e->timer)) {
        timer_mod(e->timer, first);
    }
}

void e1000_set_due(E1000 *e, unsigned which, int64_t when)
{
    if (e->due[which] != when) {
        e->due[which] = when;
        e1000_arm(e);
    }
}

/* Is this throttle open?  It closes; or its end is waited for. */
static bool may_interrupt(E1000 *e, unsigned which, uint32_t interval)
{
    int64_t now = e1000_now(e);

    if (now < e->throttled_until[which]) {
        e1000_set_due(e, DUE_ITR + which, e->throttled_until[which]);
        return false;
    }
    e->throttled_until[which] = now + (int64_t)interval * ITR_NS;
    return true;
}

/* ---- ways out ---- */

static void update_msix(E1000 *e)
{
    e->msix_sent &= pending(e);
    for (unsigned n = 0; n < E1000_VECTORS; n++) {
        uint32_t cause = ICR_RXQ0 << n, how = e->ivar >> (IVAR_BITS * n), vector = how & (IVAR_VALID - 1);

        if (!(pending(e) & ~e->msix_sent & cause) || !(how & IVAR_VALID) || vector >= E1000_VECTORS ||
            !may_interrupt(e, 1 + vector, e->eitr[vector])) {
            continue;
        }
        e->stat[STAT_IAC]++;
        pci_msix_notify(&e->pci, vector);
        e->msix_sent |= cause;
        if (e->eiac & cause) { /* DS 7.4.5: the message is the acknowledgement */
            e->icr &= ~cause;
            e->ims &= e->ctrl_ext & CTRL_EXT_IAME ? ~0u : ~cause;
        }
        if (e->ctrl_ext & CTRL_EXT_EIAME) {
            e->ims &= ~(e->iam & cause);
        }
        e->msix_sent &= pending(e);
    }
}

static void update_line(E1000 *e)
{
    bool wanted = pending(e) != 0;

    if (wanted && !e->asserted) {
        if (!may_interrupt(e, 0, e->itr)) {
            return;
        }
        e->stat[STAT_IAC]++;
        pci_msi_notify(&e->pci, 0); /* if it is on */
    }
    e->asserted = wanted;
    pci_set_intx(&e->pci, wanted && !pci_msi_enabled(&e->pci));
}

void e1000_update_irq(E1000 *e)
{
    if (pci_msix_enabled(&e->pci)) {
        e->asserted = false;
        pci_set_intx(&e->pci, false);
        update_msix(e);
    } else {
        update_line(e);
    }
}

/* ---- causes ---- */

void e1000_raise(E1000 *e, uint32_t causes)
{
    if (e1000_is_82574(e)) {
        causes |= causes & ICR_OTHER_CAUSES ? ICR_OTHER : 0;
    }
    e->icr |= causes & e->model->causes;
    e1000_update_irq(e);
}

void e1000_clear_ims(E1000 *e, uint32_t causes)
{
    e->ims &= ~causes;
    e1000_update_irq(e);
}

/* The 82540's clears at each read (SDM 13.4.17); the 82574's only what was let through or if nothing is, DS 7.4.3. */
uint32_t e1000_read_icr(E1000 *e)
{
    bool asserted = e1000_is_82574(e) && pending(e);
    uint32_t value = e->icr | (asserted ? ICR_ASSERTED : 0);

    if (asserted || !e->ims || !e1000_is_82574(e)) {
        e->icr = 0;
        if (asserted && e->ctrl_ext & CTRL_EXT_IAME) {
            e->ims &= ~e->iam;
        }
        e1000_update_irq(e);
    }
    return value;
}

void e1000_write_icr(E1000 *e, uint32_t causes)
{
    if (e1000_is_82574(e) && pending(e) && e->ctrl_ext & CTRL_EXT_IAME) {
        e->ims &= ~e->iam;
    }
    e->icr &= ~causes;
    e1000_update_irq(e);
}

/* ---- delays: one from the newest frame on, one from the oldest ---- */

static void delay(E1000 *e, unsigned newest, uint32_t newest_delay, unsigned oldest, uint32_t oldest_delay)
{
    int64_t now = e1000_now(e);

    e->due[newest] = now + (int64_t)newest_delay * DELAY_NS;
    if (oldest_delay && e->due[oldest] == INT64_MAX) {
        e->due[oldest] = now + (int64_t)oldest_delay * DELAY_NS;
    }
    e1000_arm(e);
}

static void flush(E1000 *e, uint32_t *delayed, unsigned newest, unsigned oldest)
{
    uint32_t causes = *delayed;

    *delayed = 0;
    e1000_set_due(e, newest, INT64_MAX);
    e1000_set_due(e, oldest, INT64_MAX);
    if (causes) {
        e1000_raise(e, causes);
    }
}

void e1000_flush_rx(E1000 *e)
{
    flush(e, &e->delayed_rx, DUE_RDTR, DUE_RADV);
}

static void flush_tx(E1000 *e)
{
    flush(e, &e->delayed_tx, DUE_TIDV, DUE_TADV);
}

void e1000_raise_rx(E1000 *e, uint32_t causes)
{
    e->delayed_rx |= causes;
    if (e->rdtr) {
        delay(e, DUE_RDTR, e->rdtr, DUE_RADV, e->radv);
    } else {
        e1000_flush_rx(e);
    }
}

void e1000_raise_tx(E1000 *e, uint32_t causes, bool delayed)
{
    e->delayed_tx |= causes;
    if (delayed && e->tidv) {
        delay(e, DUE_TIDV, e->tidv, DUE_TADV, e->tadv);
    } else {
        flush_tx(e);
    }
}

static bool is_over(E1000 *e, unsigned which, int64_t now)
{
    if (e->due[which] > now) {
        return false;
    }
    e->due[which] = INT64_MAX;
    return true;
}

void e1000_time_has_come(Device *dev)
{
    E1000 *e = e1000(dev);
    int64_t now = e1000_now(e);
    bool update = false;

    for (unsigned i = 0; i <= E1000_VECTORS; i++) {
        update |= is_over(e, DUE_ITR + i, now);
    }
    if (is_over(e, DUE_RDTR, now) || is_over(e, DUE_RADV, now)) {
        e1000_flush_rx(e);
    }
    if (is_over(e, DUE_TIDV, now) || is_over(e, DUE_TADV, now)) {
        flush_tx(e);
    }
    if (is_over(e, DUE_LINK, now)) {
        e1000_link_negotiated(e);
    }
    if (update) {
        e1000_update_irq(e);
    }
    e1000_arm(e);
}
