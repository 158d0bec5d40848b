/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved state of Intel's gigabit controllers: the registers by their names, and what no register shows.
 */
#include "hw/net/e1000.h"

#include "vmm/error.h"

static const StateDesc context_state = {
    .name = "e1000-context",
    .version = 1,
    .fields = (const StateField[]) {
        STATE_U32(E1000Context, ip),
        STATE_U32(E1000Context, tu),
        STATE_U32(E1000Context, command),
        STATE_U32(E1000Context, status),
        STATE_END
    },
};

static const StateDesc tx_ring_state = {
    .name = "e1000-tx",
    .version = 1,
    .fields = (const StateField[]) {
        STATE_U32(E1000TxRing, tdbal),
        STATE_U32(E1000TxRing, tdbah),
        STATE_U32(E1000TxRing, tdlen),
        STATE_U32(E1000TxRing, tdh),
        STATE_U32(E1000TxRing, tdt),
        STATE_U32(E1000TxRing, txdctl),
        STATE_U32(E1000TxRing, tarc),
        STATE_STRUCTS(E1000TxRing, context, &context_state),
        STATE_BOOL(E1000TxRing, skipping),
        STATE_END
    },
};

static const StateDesc rx_ring_state = {
    .name = "e1000-rx",
    .version = 1,
    .fields = (const StateField[]) {
        STATE_U32(E1000RxRing, rdbal),
        STATE_U32(E1000RxRing, rdbah),
        STATE_U32(E1000RxRing, rdlen),
        STATE_U32(E1000RxRing, rdh),
        STATE_U32(E1000RxRing, rdt),
        STATE_U32(E1000RxRing, rxdctl),
        STATE_END
    },
};

static bool check(const void *struct_, GError **error)
{
    const E1000 *e = struct_;

    if ((e->icr | e->ims) & ~e->model->causes) {
        return error_set(error, "it has interrupt causes that the controller does not have");
    }
    return true;
}

/* The cable is this domain's: it may be in or out here, whatever it was there. */
static bool loaded(void *struct_, GError **error)
{
    E1000 *e = struct_;

    e->generation++;
    e->systim_since = MIN(e->systim_since, e1000_now(e));
    e1000_cable_changed(e);
    e1000_update_irq(e);
    e1000_arm(e);
    net_nic_loaded(&e->nic);
    return true;
}

#define REGISTER(M)  STATE_U32(E1000, M)
#define REGISTERS(M) STATE_ARRAY(E1000, M, STATE_TYPE_U32)

const StateDesc e1000_state = {
    .name = "e1000",
    .version = 1,
    .check = check,
    .loaded = loaded,
    .fields = (const StateField[]) {
        REGISTER(ctrl),
        REGISTER(eecd),
        REGISTER(eerd),
        REGISTER(ctrl_ext),
        REGISTER(fla),
        REGISTER(mdic),
        REGISTER(fcal),
        REGISTER(fcah),
        REGISTER(fct),
        REGISTER(vet),
        REGISTER(icr),
        REGISTER(itr),
        REGISTER(ims),
        REGISTER(eiac),
        REGISTER(iam),
        REGISTER(ivar),
        REGISTERS(eitr),
        REGISTER(rctl),
        REGISTER(fcttv),
        REGISTER(txcw),
        REGISTER(tctl),
        REGISTER(tctl_ext),
        REGISTER(tipg),
        REGISTER(ait),
        REGISTER(ledctl),
        REGISTER(extcnf_ctrl),
        REGISTER(extcnf_size),
        REGISTER(poemb),
        REGISTER(pba),
        REGISTER(pbs),
        REGISTER(eewr),
        REGISTER(fcrtl),
        REGISTER(fcrth),
        REGISTER(psrctl),
        REGISTER(rdtr),
        REGISTER(radv),
        REGISTER(rsrpd),
        REGISTER(raid),
        REGISTER(tidv),
        REGISTER(tadv),
        REGISTER(tspmt),
        REGISTER(rxcsum),
        REGISTER(rlpml),
        REGISTER(rfctl),
        REGISTERS(mta),
        REGISTERS(ra),
        REGISTERS(vfta),
        REGISTER(wuc),
        REGISTER(wufc),
        REGISTER(wus),
        REGISTER(mrqc),
        REGISTER(manc),
        REGISTER(ipav),
        REGISTERS(ip4at),
        REGISTERS(ip6at),
        REGISTER(wupl),
        REGISTERS(wupm),
        REGISTERS(fflt),
        REGISTERS(ffmt),
        REGISTERS(ffvt),
        REGISTER(gcr),
        REGISTERS(gscl),
        REGISTER(swsm),
        REGISTER(gcr2),
        REGISTERS(reta),
        REGISTERS(rssrk),
        REGISTER(rssim),
        REGISTER(rssir),
        REGISTER(ioaddr),
        REGISTER(timinca),
        REGISTER(systimh),
        STATE_U64(E1000, systim),
        STATE_I64(E1000, systim_since),
        REGISTERS(stat),
        STATE_STRUCTS(E1000, tx, &tx_ring_state),
        STATE_STRUCTS(E1000, rx, &rx_ring_state),
        STATE_ARRAY(E1000, phy, STATE_TYPE_U16),
        STATE_BOOL(E1000, link),
        STATE_ARRAY(E1000, nvm, STATE_TYPE_U16),
        STATE_U32(E1000, nvm_in),
        STATE_U32(E1000, nvm_out),
        STATE_U8(E1000, nvm_bits),
        STATE_BOOL(E1000, nvm_writable),
        STATE_BOOL(E1000, asserted),
        STATE_U32(E1000, msix_sent),
        STATE_U32(E1000, delayed_rx),
        STATE_U32(E1000, delayed_tx),
        STATE_ARRAY(E1000, due, STATE_TYPE_I64),
        STATE_ARRAY(E1000, throttled_until, STATE_TYPE_I64),
        STATE_END
    },
};
