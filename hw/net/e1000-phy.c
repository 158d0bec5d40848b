/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PHY behind MDIC and the link (IEEE 802.3 clauses 22, 28 and 40; SDM 13.4.7 and 13.4.8; DS 10.2.2.7 and 10.2.8):
 * Marvell's 88E1000 in the 82540EM and 88E1149 (BM) in the 82574L, as far as drivers look at them.
 *
 *   no link --cable, negotiation on--> negotiating (10 ms) --> link, LSC
 *   link    --cable out, power down, restart--> no link, LSC
 *
 * The partner can do everything, so the outcome is 1000 Mbit/s, full duplex, flow control both ways, whatever the
 * driver advertises.  Pages but the first read as zero.
 *
 * Locking: the device's lock is held.
 */
#include "hw/net/e1000.h"

#include <string.h>

#define PHY_ADDRESS     1
#define NEGOTIATION_NS  (10 * NS_PER_MS)
/* 10 and 100 Mbit/s in both duplexes, extended status, preamble suppression, negotiation */
#define STATUS_ABILITIES 0x7949
#define ADVERTISE_ALL    0x0de1 /* with pause in both directions */
#define PARTNER_ALL      0xcde1 /* the same, acknowledged, next page */
#define EXPANSION        0x000f
#define PARTNER_1000T    0x3c00 /* both receivers work, and it can do 1000 Mbit/s */
#define EXT_STATUS       0x3000
#define SPEC_LINKED      0xac00 /* 1000 Mbit/s, full duplex, resolved, link */
#define INT_LINK_CHANGED 0x0c00

/* Pages of the 82574's have the same first 16 registers, those of IEEE 802.3; of the others only page 0's are here. */
static bool is_there(const E1000 *e, unsigned n)
{
    return !e1000_is_82574(e) || !e->phy[PHY_PAGE_SELECT] || n <= PHY_EXT_STATUS || n == PHY_PAGE_SELECT;
}

/* ---- link ---- */

static void set_link(E1000 *e, bool link)
{
    if (e->link != link) {
        e->link = link;
        e->phy[PHY_INT_STATUS] |= INT_LINK_CHANGED;
        e1000_raise(e, ICR_LSC);
    }
}

static bool may_have_link(const E1000 *e)
{
    return net_nic_link_up(&e->nic) && !(e->phy[PHY_CTRL] & PHY_CTRL_POWER);
}

/* With negotiation or, its speed forced, at once. */
static void bring_up(E1000 *e)
{
    if (!may_have_link(e)) {
        e1000_set_due(e, DUE_LINK, INT64_MAX);
        set_link(e, false);
    } else if (e->phy[PHY_CTRL] & PHY_CTRL_AUTONEG) {
        set_link(e, false);
        e1000_set_due(e, DUE_LINK, e1000_now(e) + NEGOTIATION_NS);
    } else {
        set_link(e, true);
    }
}

void e1000_link_negotiated(E1000 *e)
{
    set_link(e, may_have_link(e));
}

void e1000_cable_changed(E1000 *e)
{
    bool comes = may_have_link(e);

    if (comes != (e->link || e->due[DUE_LINK] != INT64_MAX)) {
        bring_up(e);
    }
}

/* What it finds when it has power: a cable of long ago. */
void e1000_phy_reset(E1000 *e)
{
    static const uint16_t reset[PHY_REGISTERS] = {
        [PHY_CTRL] = 0x1140, [PHY_ID1] = 0x0141, [PHY_ADVERTISE] = ADVERTISE_ALL, [PHY_NEXT_PAGE] = 0x2001,
        [PHY_1000T_CTRL] = 0x0e00, [PHY_EXT_STATUS] = EXT_STATUS, [PHY_SPEC_CTRL] = 0x0360,
        [PHY_EXT_SPEC_CTRL] = 0x0d60,
    };

    memcpy(e->phy, reset, sizeof(e->phy));
    e->phy[PHY_ID2] = e->model->phy_id2;
    e1000_set_due(e, DUE_LINK, INT64_MAX);
    e->link = may_have_link(e);
}

uint32_t e1000_status(const E1000 *e)
{
    uint32_t status = STATUS_FD | STATUS_SPEED_1000 | STATUS_ASDV_1000 | (e->link ? STATUS_LU : 0);

    return status | (e1000_is_82574(e) && !(e->ctrl & CTRL_GIO_MASTER_DIS) ? STATUS_GIO_MASTER_EN : 0);
}

/* ---- registers ---- */

static uint16_t phy_read(E1000 *e, unsigned n)
{
    uint16_t value = e->phy[n];

    if (!is_there(e, n)) {
        return 0;
    }
    switch (n) {
    case PHY_STATUS:
        return STATUS_ABILITIES | (e->link ? PHY_STATUS_LINK | PHY_STATUS_DONE : 0);
    case PHY_PARTNER:
        return e->link ? PARTNER_ALL : 0;
    case PHY_EXPANSION:
        return e->link ? EXPANSION : 0;
    case PHY_1000T_STATUS:
        return e->link ? PARTNER_1000T : 0;
    case PHY_SPEC_STATUS:
        return e->link ? SPEC_LINKED : 0;
    case PHY_INT_STATUS:
        e->phy[n] = 0;
        return value;
    default:
        return value;
    }
}

static void phy_write(E1000 *e, unsigned n, uint16_t value)
{
    uint16_t old = e->phy[n];

    if (!is_there(e, n)) {
        return;
    }
    switch (n) {
    case PHY_STATUS:
    case PHY_ID1:
    case PHY_ID2:
    case PHY_PARTNER:
    case PHY_EXPANSION:
    case PHY_PARTNER_PAGE:
    case PHY_1000T_STATUS:
    case PHY_EXT_STATUS:
    case PHY_SPEC_STATUS:
    case PHY_INT_STATUS:
    case PHY_RX_ERRORS:
        return;
    case PHY_CTRL:
        e->phy[n] = value & (uint16_t)~(PHY_CTRL_RESET | PHY_CTRL_RESTART);
        if (value & (PHY_CTRL_RESET | PHY_CTRL_RESTART) || (old ^ value) & (PHY_CTRL_POWER | PHY_CTRL_AUTONEG)) {
            bring_up(e);
        }
        return;
    default:
        e->phy[n] = value;
    }
}

void e1000_mdio(E1000 *e, uint32_t command)
{
    unsigned n = command >> 16 & (PHY_REGISTERS - 1), address = command >> 21 & 31;

    e->mdic = (command & ~MDIC_ERROR) | MDIC_READY;
    if (address != PHY_ADDRESS) {
        e->mdic |= MDIC_ERROR;
    } else if ((command & MDIC_OP) == MDIC_OP_READ) {
        e->mdic = (e->mdic & ~MDIC_DATA) | phy_read(e, n);
    } else if ((command & MDIC_OP) == MDIC_OP_WRITE) {
        phy_write(e, n, (uint16_t)command);
    } else {
        e->mdic |= MDIC_ERROR;
    }
    if (command & MDIC_INT) {
        e1000_raise(e, ICR_MDAC);
    }
}
