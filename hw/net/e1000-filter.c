/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which frames are for the guest (SDM 3.2.1; DS 7.1.1): exact addresses, a hash table of multicast ones, VLANs; and the
 * same as others want to know it (query-rx-filter).
 *
 * Locking: the device's lock is held, but for what the main thread looks at, which takes it.
 */
#include "hw/net/e1000.h"

#include <string.h>

#include "vmm/bytes.h"

#define ETHERTYPE_AT 12
#define VLAN_ID_MASK 0xfff
#define VLANS        4096
#define HASH_BITS    0xfff

static bool is_broadcast(const uint8_t *mac)
{
    static const uint8_t broadcast[NET_MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    return memcmp(mac, broadcast, NET_MAC_BYTES) == 0;
}

static void get_address(const E1000 *e, unsigned n, uint8_t *mac)
{
    pci_set32(mac, e->ra[2 * n]);
    pci_set16(mac + 4, (uint16_t)e->ra[2 * n + 1]);
}

static bool has_address(const E1000 *e, unsigned n)
{
    return e->ra[2 * n + 1] & RAH_AV;
}

static bool is_exact(const E1000 *e, const uint8_t *mac)
{
    uint32_t low = pci_get32(mac);
    uint16_t high = pci_get16(mac + 4);

    for (unsigned i = 0; i < E1000_ADDRESSES; i++) {
        if (e->ra[2 * i] == low && (uint16_t)e->ra[2 * i + 1] == high && has_address(e, i)) {
            return true;
        }
    }
    return false;
}

/* RCTL.MO chooses twelve of the last sixteen bits. */
static bool is_in_hash(const E1000 *e, const uint8_t *mac)
{
    static const uint8_t shift[] = { 4, 3, 2, 0 };
    unsigned hash = (unsigned)pci_get16(mac + 4) >> shift[e->rctl >> 12 & 3] & HASH_BITS;

    return e->mta[hash / 32] >> (hash % 32) & 1;
}

static bool vlan_passes(const E1000 *e, const uint8_t *frame)
{
    unsigned id;

    if (!(e->rctl & RCTL_VFE) || get_be16(frame + ETHERTYPE_AT) != (uint16_t)e->vet) {
        return true;
    }
    id = get_be16(frame + ETHERTYPE_AT + 2) & VLAN_ID_MASK;
    return e->vfta[id / 32] >> (id % 32) & 1;
}

/* frame: 16 bytes of one at least. */
E1000Match e1000_filter(const E1000 *e, const uint8_t *frame)
{
    bool group = frame[0] & 1;

    if (!vlan_passes(e, frame)) {
        return MATCH_NONE;
    }
    if ((!group && e->rctl & RCTL_UPE) || (group && e->rctl & RCTL_MPE) ||
        (e->rctl & RCTL_BAM && is_broadcast(frame)) || is_exact(e, frame)) {
        return MATCH_EXACT;
    }
    return group && is_in_hash(e, frame) ? MATCH_HASH : MATCH_NONE;
}

/* ---- query-rx-filter ---- */

static void list_addresses(const E1000 *e, NetRxFilter *ret)
{
    for (unsigned i = 0; i < E1000_ADDRESSES; i++) {
        uint8_t mac[NET_MAC_BYTES];

        if (!has_address(e, i)) {
            continue;
        }
        get_address(e, i, mac);
        if (mac[0] & 1) {
            g_array_append_vals(ret->multicasts, mac, 1);
        } else if (i) {
            g_array_append_vals(ret->unicasts, mac, 1);
        }
    }
}

static bool uses_hash(const E1000 *e)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(e->mta); i++) {
        if (e->mta[i]) {
            return true;
        }
    }
    return false;
}

/* A hash names no addresses, so that table counts as one that has overflowed. */
void e1000_look_at_filter(NetNic *nic, NetRxFilter *ret)
{
    E1000 *e = (E1000 *)((char *)nic - offsetof(E1000, nic));

    lock_acquire(e->pci.dev.lock);
    ret->promiscuous = e->rctl & RCTL_UPE;
    ret->broadcast = e->rctl & RCTL_BAM;
    ret->unicast = ret->promiscuous ? NET_RX_ALL : NET_RX_NORMAL;
    ret->multicast = e->rctl & RCTL_MPE ? NET_RX_ALL : NET_RX_NORMAL;
    ret->multicast_overflow = uses_hash(e);
    ret->vlan = e->rctl & RCTL_VFE ? NET_RX_NORMAL : NET_RX_ALL;
    get_address(e, 0, ret->mac);
    list_addresses(e, ret);
    for (unsigned id = 0; ret->vlan == NET_RX_NORMAL && id < VLANS; id++) {
        if (e->vfta[id / 32] >> (id % 32) & 1) {
            uint16_t vlan = (uint16_t)id;

            g_array_append_val(ret->vlans, vlan);
        }
    }
    lock_release(e->pci.dev.lock);
}
