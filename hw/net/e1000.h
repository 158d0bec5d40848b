/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel's gigabit Ethernet controllers, between the files of the model:
 *
 *   e1000.c         the two devices: what differs, properties, life
 *   e1000-regs.c    the registers
 *   e1000-state.c   saved state
 *   e1000-irq.c     causes, masks, throttling, delays; MSI-X
 *   e1000-tx.c      transmit rings; e1000-offload.c: what a descriptor asks of its frame
 *   e1000-rx.c      receive rings; e1000-parse.c: what a received frame is
 *   e1000-stats.c   counters; e1000-filter.c: which frames are for the guest
 *   e1000-phy.c     PHY, link; e1000-nvm.c: EEPROM; e1000-clock.c: the clock of the newer one
 *
 * All of it is guarded by the device's lock, which each loop's entry takes by itself (e1000-tx.c, e1000-rx.c), since
 * net/ knows no device.  Frames leave with the lock dropped: what takes one may answer with another before it returns.
 */
#pragma once

#include "hw/net/e1000-bits.h"
#include "hw/pci/pci.h"
#include "net/net.h"
#include "vmm/domain.h"

#define E1000_QUEUES     2 /* of each kind at most */
#define E1000_VECTORS    5
#define E1000_ADDRESSES  16
#define E1000_NVM_WORDS  64
#define E1000_DESCRIPTOR_BYTES 16
#define E1000_FRAME_DESCRIPTORS 256 /* of one frame; drivers use some tens */
#define E1000_VLAN_BYTES 4
#define E1000_FCS_BYTES  4
#define E1000_FRAME_MIN  60 /* without FCS; shorter ones are padded */

/* Bank numbers of the register table */
typedef enum E1000Chip { CHIP_82540, CHIP_82574 } E1000Chip;

typedef struct E1000Model {
    E1000Chip chip;
    PciInfo info;
    unsigned queues;
    uint32_t causes; /* bits of ICR there are */
    uint16_t phy_id2;
    uint16_t nvm[E1000_NVM_WORDS]; /* 0: not said; the address and the checksum are filled in */
} E1000Model;

/* A context descriptor (SDM 3.3.6). */
typedef struct E1000Context {
    uint32_t ip, tu; /* xxCSS, xxCSO, xxCSE */
    uint32_t command, status;
} E1000Context;

typedef struct E1000TxRing {
    uint32_t tdbal, tdbah, tdlen, tdh, tdt, txdctl, tarc;
    E1000Context context[2]; /* 82540: for checksums, for segments; 82574: the first */
    bool skipping;           /* the rest of a frame that was given up */
} E1000TxRing;

typedef struct E1000RxRing {
    uint32_t rdbal, rdbah, rdlen, rdh, rdt, rxdctl;
} E1000RxRing;

/* What happens later, each at most once at a time. */
enum {
    DUE_ITR, /* then one for each EITR */
    DUE_RDTR = DUE_ITR + 1 + E1000_VECTORS, DUE_RADV, DUE_TIDV, DUE_TADV, DUE_LINK, DUES
};

typedef struct E1000 {
    PciDevice pci; /* first */
    /* Configuration */
    NetNic nic; /* its MAC address and backend are properties */
    int32_t bootindex;
    uint16_t subsys_ven, subsys; /* e1000e */
    /* Set by realize */
    const E1000Model *model;
    MemoryRegion mmio, io, flash, msix;
    Timer *timer;
    int doorbell; /* eventfd: there is work for the loop */
    LoopEvent *event;
    /* Guest state: registers by their name in the data sheet, set by reset */
    uint32_t ctrl, eecd, eerd, ctrl_ext, fla, mdic, fcal, fcah, fct, vet, icr, itr, ims, eiac, iam, ivar;
    uint32_t eitr[E1000_VECTORS];
    uint32_t rctl, fcttv, txcw, tctl, tctl_ext, tipg, ait, ledctl, extcnf_ctrl, extcnf_size, poemb, pba, pbs, eewr;
    uint32_t fcrtl, fcrth, psrctl, rdtr, radv, rsrpd, raid, tidv, tadv, tspmt;
    uint32_t rxcsum, rlpml, rfctl, mta[128], ra[2 * E1000_ADDRESSES], vfta[128];
    uint32_t wuc, wufc, wus, mrqc, manc, ipav, ip4at[8], ip6at[4], wupl, wupm[32], fflt[8], ffmt[256], ffvt[256];
    uint32_t gcr, gscl[4], swsm, gcr2, reta[32], rssrk[10], rssim, rssir, ioaddr;
    uint32_t timinca, systimh;
    uint32_t stat[STATS];
    E1000TxRing tx[E1000_QUEUES];
    E1000RxRing rx[E1000_QUEUES];
    /* Guest state that no register shows */
    uint16_t phy[PHY_REGISTERS];
    bool link; /* the PHY's */
    uint16_t nvm[E1000_NVM_WORDS]; /* survives resets */
    uint32_t nvm_in, nvm_out;      /* bits that came over the wire since CS rose, and that go out */
    uint8_t nvm_bits;              /* how many came */
    bool nvm_writable;
    uint64_t systim;               /* the clock at guest time systim_since */
    int64_t systim_since;
    bool asserted;                 /* INTx or MSI: the interrupt was made */
    uint32_t msix_sent;            /* causes whose message was sent and that are still there */
    uint32_t delayed_rx, delayed_tx; /* causes that wait for DUE_RDTR, DUE_TIDV */
    int64_t due[DUES];             /* guest time; INT64_MAX: not */
    int64_t throttled_until[1 + E1000_VECTORS];
    /* Derived */
    bool running;      /* no pause */
    bool work_due;     /* the doorbell has rung */
    bool transmitting; /* the loop goes through the transmit rings, and looks again before it ends */
    bool rx_waits;     /* a frame found no room */
    unsigned generation; /* counts what makes a frame under way void */
    uint8_t *tx_frame;   /* one being put together, behind room for a VLAN tag */
    uint8_t *rx_frame;   /* one in several pieces, flat */
    uint32_t tx_seen[E1000_FRAME_DESCRIPTORS][2]; /* lower and upper part of its descriptors */
} E1000;

static inline E1000 *e1000(Device *dev)
{
    return (E1000 *)dev;
}
static inline bool e1000_is_82574(const E1000 *e)
{
    return e->model->chip == CHIP_82574;
}
static inline int64_t e1000_now(const E1000 *e)
{
    return clock_ns(domain_clock(e->pci.dev.domain));
}

/* Unless said otherwise: any thread, lock held. */
/* e1000.c */
extern const E1000Model e1000_82540em, e1000_82574l;
void e1000_reset_by_guest(E1000 *e); /* CTRL.RST */
void e1000_ring_doorbell(E1000 *e);  /* work() follows, on the loop */

/* e1000-regs.c */
extern const RegBank e1000_regs;
extern const MemoryOps e1000_io_ops;

/* e1000-state.c */
extern const StateDesc e1000_state;

/* e1000-irq.c */
void e1000_raise(E1000 *e, uint32_t causes);
void e1000_update_irq(E1000 *e); /* after a change of causes, masks, throttles, or of how interrupts go */
void e1000_raise_rx(E1000 *e, uint32_t causes); /* as RDTR and RADV delay it */
void e1000_raise_tx(E1000 *e, uint32_t causes, bool delay); /* TIDV, TADV */
void e1000_flush_rx(E1000 *e);
uint32_t e1000_read_icr(E1000 *e);
void e1000_write_icr(E1000 *e, uint32_t causes);
void e1000_clear_ims(E1000 *e, uint32_t causes);
void e1000_set_due(E1000 *e, unsigned which, int64_t when); /* INT64_MAX: not any more */
void e1000_arm(E1000 *e);                                   /* the timer, as due[] says */
void e1000_time_has_come(Device *dev);

/* e1000-tx.c: the loop, no lock held */
void e1000_transmit(E1000 *e);

/* e1000-offload.c: what is there to do to a frame of `length` bytes before it goes */
typedef struct E1000Frame {
    size_t length;
    uint32_t options;   /* POPTS of its first data descriptor, and TXD_TSE */
    uint16_t tag;       /* VLAN */
    bool tagged, legacy_sum;
    uint8_t css, cso;   /* legacy: where to sum, where to put it */
} E1000Frame;
/* false: it cannot be done.  Else where the frame begins, in tx_frame; ret_header: what is left to the receiver. */
uint8_t *e1000_finish_frame(E1000 *e, const E1000TxRing *q, E1000Frame *f, struct virtio_net_hdr *ret_header);

/* e1000-rx.c */
bool e1000_nic_receive(NetNic *nic, unsigned queue, const NetPacket *packet); /* the loop, no lock held */
bool e1000_receive_frame(E1000 *e, const uint8_t *frame, size_t length, bool checked); /* checked: its sums are right */
bool e1000_has_room(const E1000 *e); /* a frame of usual size finds some */

/* e1000-parse.c */
typedef struct E1000Packet {
    const uint8_t *frame;
    size_t length;      /* of the frame */
    size_t l3, l4, payload, end; /* offsets; l4 0: none that is understood */
    uint8_t protocol;
    bool ipv4, ipv6, fragment;
} E1000Packet;
void e1000_parse(const uint8_t *frame, size_t length, E1000Packet *ret);
bool e1000_ip_sum_is_right(const E1000Packet *p);
bool e1000_l4_has_sum(const E1000Packet *p);
bool e1000_l4_sum_is_right(const E1000Packet *p);
/* Hash of DS 7.1.8.1 and its type as a descriptor tells; false: of no kind that MRQC asks for. */
bool e1000_rss(const E1000 *e, const E1000Packet *p, uint32_t *ret_hash, uint8_t *ret_type);

/* e1000-stats.c */
void e1000_count_received(E1000 *e, const uint8_t *frame, size_t length);
void e1000_count_sent(E1000 *e, const NetPacket *packet);

/* e1000-filter.c */
typedef enum E1000Match { MATCH_NONE, MATCH_HASH, MATCH_EXACT } E1000Match;
E1000Match e1000_filter(const E1000 *e, const uint8_t *frame);
void e1000_look_at_filter(NetNic *nic, NetRxFilter *ret);

/* e1000-phy.c */
void e1000_phy_reset(E1000 *e);
void e1000_mdio(E1000 *e, uint32_t command);
void e1000_link_negotiated(E1000 *e);
void e1000_cable_changed(E1000 *e);
uint32_t e1000_status(const E1000 *e);

/* e1000-clock.c */
void e1000_timinca_write(E1000 *e, uint32_t value);
uint32_t e1000_systiml(E1000 *e);
void e1000_systim_write(E1000 *e, uint32_t value, bool high);

/* e1000-nvm.c */
void e1000_nvm_init(E1000 *e);
void e1000_load_address(E1000 *e); /* into RAL0, RAH0 */
void e1000_eecd_write(E1000 *e, uint32_t value);
uint32_t e1000_eecd(const E1000 *e);
void e1000_eerd_write(E1000 *e, uint32_t value);
void e1000_eewr_write(E1000 *e, uint32_t value);
