/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of the 82540EM (SDM chapter 13) and the 82574L (DS chapter 10): what is storage is a row with a field, what
 * does something has hooks.  Registers of parts that are not modelled (wake-up, manageability, PCIe error counters,
 * flash) keep what is written to them, which is what their drivers look for; those that are not here read as zero.
 *
 * Left out: time stamps of frames (TSYNC...).
 *
 * Locking: the device's lock is held.
 */
#include "hw/net/e1000.h"

#define BOTH  BANK_ANY
#define NEW   BANK(CHIP_82574)
#define OLD   BANK(CHIP_82540)
#define ALL32 UINT32_MAX

static unsigned chip_of(const Device *dev)
{
    return ((const E1000 *)dev)->model->chip;
}

/* ---- control ---- */

static void ctrl_wrote(Device *dev, uint64_t old)
{
    E1000 *e = e1000(dev);

    if (e->ctrl & CTRL_PHY_RST) {
        e->ctrl &= ~CTRL_PHY_RST;
        e1000_phy_reset(e);
    }
    if (e->ctrl & CTRL_RST) {
        e1000_reset_by_guest(e);
    }
}

static uint64_t status_read(Device *dev)
{
    return e1000_status(e1000(dev));
}

static void ctrl_ext_wrote(Device *dev, uint64_t old)
{
    E1000 *e = e1000(dev);

    if (e->ctrl_ext & CTRL_EXT_EE_RST) {
        e->ctrl_ext &= ~CTRL_EXT_EE_RST;
        e1000_load_address(e);
    }
}

static uint64_t eecd_read(Device *dev)
{
    return e1000_eecd(e1000(dev));
}

static void eecd_write(Device *dev, uint64_t value)
{
    e1000_eecd_write(e1000(dev), (uint32_t)value);
}

static void eerd_write(Device *dev, uint64_t value)
{
    e1000_eerd_write(e1000(dev), (uint32_t)value);
}

static void eewr_write(Device *dev, uint64_t value)
{
    e1000_eewr_write(e1000(dev), (uint32_t)value);
}

static void mdic_write(Device *dev, uint64_t value)
{
    e1000_mdio(e1000(dev), (uint32_t)value);
}

static uint64_t eemngctl_read(Device *dev)
{
    return EEMNGCTL_CFG_DONE;
}

/* Who reads it free has it. */
static void swsm_read_done(Device *dev)
{
    e1000(dev)->swsm |= SWSM_SMBI;
}

/* ---- interrupts ---- */

static uint64_t icr_read(Device *dev)
{
    return e1000_read_icr(e1000(dev));
}

static void icr_write(Device *dev, uint64_t value)
{
    e1000_write_icr(e1000(dev), (uint32_t)value);
}

static void ics_write(Device *dev, uint64_t value)
{
    E1000 *e = e1000(dev);

    e1000_raise(e, (uint32_t)value & e->model->causes);
}

static void ims_write(Device *dev, uint64_t value)
{
    E1000 *e = e1000(dev);

    e->ims |= (uint32_t)value & e->model->causes;
    e1000_update_irq(e);
}

static void imc_write(Device *dev, uint64_t value)
{
    e1000_clear_ims(e1000(dev), (uint32_t)value);
}

static void irq_wrote(Device *dev, uint64_t old)
{
    e1000_update_irq(e1000(dev));
}

/* ---- filters and rings ---- */

static void rctl_wrote(Device *dev, uint64_t old)
{
    E1000 *e = e1000(dev);

    if ((e->rctl ^ old) & RCTL_FILTER) {
        net_filter_changed(&e->nic);
    }
    e1000_ring_doorbell(e); /* there may be room now, or nobody who wants frames */
}

/* WRITABLE: of the n-th. */
#define FILTER_WRITE(NAME, ARRAY, WRITABLE) \
    static void NAME##_write(Device *dev, unsigned n, uint64_t value) \
    { \
        E1000 *e = e1000(dev); \
        uint32_t old = e->ARRAY[n]; \
\
        e->ARRAY[n] = (uint32_t)value & (WRITABLE); \
        if (old != e->ARRAY[n]) { \
            net_filter_changed(&e->nic); \
        } \
    }
FILTER_WRITE(mta, mta, ALL32)
FILTER_WRITE(vfta, vfta, ALL32)
FILTER_WRITE(ra, ra, n % 2 ? RAH_WRITABLE : ALL32)

static void rdt_wrote(Device *dev, uint64_t old)
{
    E1000 *e = e1000(dev);

    if (e->rx_waits && e1000_has_room(e)) {
        e1000_ring_doorbell(e);
    }
}

static void rdtr_wrote(Device *dev, uint64_t old)
{
    E1000 *e = e1000(dev);

    if (e->rdtr & RDTR_FPD) {
        e->rdtr &= ~RDTR_FPD;
        e1000_flush_rx(e);
    }
}

static void tx_wrote(Device *dev, uint64_t old)
{
    if (!e1000(dev)->transmitting) {
        e1000_ring_doorbell(e1000(dev));
    }
}

/* A ring that was moved is another one. */
static void tx_moved(Device *dev, uint64_t old)
{
    e1000(dev)->generation++;
    e1000_ring_doorbell(e1000(dev));
}

/* ---- clock ---- */

static void timinca_write(Device *dev, uint64_t value)
{
    e1000_timinca_write(e1000(dev), (uint32_t)value);
}

static uint64_t systiml_read(Device *dev)
{
    return e1000_systiml(e1000(dev));
}

static void systiml_write(Device *dev, uint64_t value)
{
    e1000_systim_write(e1000(dev), (uint32_t)value, false);
}

static void systimh_write(Device *dev, uint64_t value)
{
    e1000_systim_write(e1000(dev), (uint32_t)value, true);
}

/* ---- statistics: reading clears (SDM 13.7) ---- */

static uint64_t stat_read(Device *dev, unsigned n)
{
    E1000 *e = e1000(dev);
    uint32_t value = e->stat[n];
    bool low = n == STAT_GORC || n == STAT_GOTC || n == STAT_TOR || n == STAT_TOT;

    if (!low) { /* the high half, which is read next, clears both */
        bool high = n == STAT_GORC + 1 || n == STAT_GOTC + 1 || n == STAT_TOR + 1 || n == STAT_TOT + 1;

        e->stat[n] = 0;
        e->stat[n - high] = 0;
    }
    return value;
}

static void stat_write(Device *dev, unsigned n, uint64_t value)
{
}

/* ---- the table ---- */

#define STORE(NAME, AT, BANKS, M, RESET, BITS, ...) \
    { NAME, AT, BANKS, REG_FIELD(E1000, M), .reset = RESET, .writable = BITS, __VA_ARGS__ }
#define STORES(NAME, AT, BANKS, M, ...) { NAME, AT, BANKS, REG_ARRAY(E1000, M), .writable = ALL32, __VA_ARGS__ }

#define RX_RING(N, AT, BANKS) \
    STORE("RDBAL" #N, AT, BANKS, rx[N].rdbal, 0, 0xfffffff0), \
    STORE("RDBAH" #N, AT + 0x04, BANKS, rx[N].rdbah, 0, ALL32), \
    STORE("RDLEN" #N, AT + 0x08, BANKS, rx[N].rdlen, 0, 0xfff80), \
    STORE("RDH" #N, AT + 0x10, BANKS, rx[N].rdh, 0, 0xffff), \
    STORE("RDT" #N, AT + 0x18, BANKS, rx[N].rdt, 0, 0xffff, .wrote = rdt_wrote)
#define TX_RING(N, AT, BANKS) \
    STORE("TDBAL" #N, AT, BANKS, tx[N].tdbal, 0, 0xfffffff0, .wrote = tx_moved), \
    STORE("TDBAH" #N, AT + 0x04, BANKS, tx[N].tdbah, 0, ALL32, .wrote = tx_moved), \
    STORE("TDLEN" #N, AT + 0x08, BANKS, tx[N].tdlen, 0, 0xfff80, .wrote = tx_moved), \
    STORE("TDH" #N, AT + 0x10, BANKS, tx[N].tdh, 0, 0xffff, .wrote = tx_moved), \
    STORE("TDT" #N, AT + 0x18, BANKS, tx[N].tdt, 0, 0xffff, .wrote = tx_wrote)

static const Reg registers[] = {
    STORE("CTRL", 0x0000, BOTH, ctrl, CTRL_FD | CTRL_SLU | CTRL_SPEED_1000, ALL32, .wrote = ctrl_wrote),
    STORE("CTRL_DUP", 0x0004, BOTH, ctrl, CTRL_FD | CTRL_SLU | CTRL_SPEED_1000, ALL32, .wrote = ctrl_wrote),
    { "STATUS", 0x0008, BOTH, 4, .read = status_read },
    { "EECD", 0x0010, BOTH, REG_FIELD(E1000, eecd), .read = eecd_read, .write = eecd_write },
    { "EERD", 0x0014, BOTH, REG_FIELD(E1000, eerd), .write = eerd_write },
    STORE("CTRL_EXT", 0x0018, BOTH, ctrl_ext, 0, ALL32, .wrote = ctrl_ext_wrote),
    STORE("FLA", 0x001c, BOTH, fla, 0, ALL32),
    { "MDIC", 0x0020, BOTH, REG_FIELD(E1000, mdic), .reset = MDIC_READY, .write = mdic_write },
    STORE("FCAL", 0x0028, BOTH, fcal, 0, ALL32),
    STORE("FCAH", 0x002c, BOTH, fcah, 0, 0xffff),
    STORE("FCT", 0x0030, BOTH, fct, 0, 0xffff),
    STORE("VET", 0x0038, BOTH, vet, 0x8100, 0xffff),
    { "ICR", 0x00c0, BOTH, REG_FIELD(E1000, icr), .read = icr_read, .write = icr_write },
    STORE("ITR", 0x00c4, BOTH, itr, 0, 0xffff, .wrote = irq_wrote),
    { "ICS", 0x00c8, BOTH, 4, .write = ics_write },
    { "IMS", 0x00d0, BOTH, REG_FIELD(E1000, ims), .write = ims_write },
    { "IMC", 0x00d8, BOTH, 4, .write = imc_write },
    STORE("EIAC", 0x00dc, NEW, eiac, 0, 0x01f00000),
    STORE("IAM", 0x00e0, NEW, iam, 0, ALL32),
    STORE("IVAR", 0x00e4, NEW, ivar, 0, 0x800fffff, .wrote = irq_wrote),
    { "EITR", 0x00e8, NEW, REG_ARRAY(E1000, eitr), .writable = 0xffff, .wrote = irq_wrote },
    STORE("RCTL", 0x0100, BOTH, rctl, 0, ALL32, .wrote = rctl_wrote),
    STORE("FCTTV", 0x0170, BOTH, fcttv, 0, 0xffff),
    STORE("TXCW", 0x0178, BOTH, txcw, 0, ALL32),
    STORE("TCTL", 0x0400, BOTH, tctl, 0, ALL32, .wrote = tx_wrote),
    STORE("TCTL_EXT", 0x0404, NEW, tctl_ext, 0, ALL32),
    STORE("TIPG", 0x0410, BOTH, tipg, 0x00602008, 0x3fffffff),
    STORE("AIT", 0x0458, BOTH, ait, 0, 0xffff),
    STORE("LEDCTL", 0x0e00, BOTH, ledctl, 0x07061302, ALL32),
    STORE("EXTCNF_CTRL", 0x0f00, NEW, extcnf_ctrl, 0, ALL32),
    STORE("EXTCNF_SIZE", 0x0f08, NEW, extcnf_size, 0, ALL32),
    STORE("POEMB", 0x0f10, NEW, poemb, 0, ALL32),
    STORE("PBA", 0x1000, BOTH, pba, 0x00100030, ALL32),
    STORE("PBS", 0x1008, BOTH, pbs, 0, ALL32),
    { "EEMNGCTL", 0x1010, NEW, 4, .read = eemngctl_read },
    { "EEWR", 0x102c, NEW, REG_FIELD(E1000, eewr), .write = eewr_write },
    STORE("FCRTL", 0x2160, BOTH, fcrtl, 0, ALL32),
    STORE("FCRTH", 0x2168, BOTH, fcrth, 0, ALL32),
    STORE("PSRCTL", 0x2170, NEW, psrctl, 0x00040402, 0x3f3f3f7f),
    RX_RING(0, 0x2800, BOTH),
    STORE("RDTR", 0x2820, BOTH, rdtr, 0, 0x8000ffff, .wrote = rdtr_wrote),
    STORE("RXDCTL0", 0x2828, BOTH, rx[0].rxdctl, 0x00010000, ALL32),
    STORE("RADV", 0x282c, BOTH, radv, 0, 0xffff),
    RX_RING(1, 0x2900, NEW),
    STORE("RXDCTL1", 0x2928, NEW, rx[1].rxdctl, 0x00010000, ALL32),
    STORE("RSRPD", 0x2c00, BOTH, rsrpd, 0, 0xfff),
    STORE("RAID", 0x2c08, NEW, raid, 0, ALL32),
    TX_RING(0, 0x3800, BOTH),
    STORE("TIDV", 0x3820, BOTH, tidv, 0, 0xffff),
    STORE("TXDCTL0", 0x3828, BOTH, tx[0].txdctl, 0, ALL32),
    STORE("TADV", 0x382c, BOTH, tadv, 0, 0xffff),
    STORE("TSPMT", 0x3830, OLD, tspmt, 0x01000400, ALL32),
    STORE("TARC0", 0x3840, NEW, tx[0].tarc, 0x403, ALL32),
    TX_RING(1, 0x3900, NEW),
    STORE("TXDCTL1", 0x3928, NEW, tx[1].txdctl, 0, ALL32),
    STORE("TARC1", 0x3940, NEW, tx[1].tarc, 0x403, ALL32),
    { "statistics", 0x4000, BOTH, REG_ARRAY(E1000, stat), .read_n = stat_read, .write_n = stat_write },
    STORE("RXCSUM", 0x5000, BOTH, rxcsum, 0, 0xffff),
    STORE("RLPML", 0x5004, NEW, rlpml, 0, 0x3fff),
    STORE("RFCTL", 0x5008, NEW, rfctl, 0, ALL32),
    { "MTA", 0x5200, BOTH, REG_ARRAY(E1000, mta), .write_n = mta_write },
    { "RA", 0x5400, BOTH, REG_ARRAY(E1000, ra), .write_n = ra_write },
    { "VFTA", 0x5600, BOTH, REG_ARRAY(E1000, vfta), .write_n = vfta_write },
    STORE("WUC", 0x5800, BOTH, wuc, 0, ALL32),
    STORE("WUFC", 0x5808, BOTH, wufc, 0, ALL32),
    STORE("WUS", 0x5810, BOTH, wus, 0, 0, .w1c = ALL32),
    STORE("MRQC", 0x5818, NEW, mrqc, 0, ALL32),
    STORE("MANC", 0x5820, BOTH, manc, 0, ALL32),
    STORE("IPAV", 0x5838, BOTH, ipav, 0, ALL32),
    STORES("IP4AT", 0x5840, BOTH, ip4at),
    STORE("RSSIM", 0x5864, NEW, rssim, 0, ALL32),
    STORE("RSSIR", 0x5868, NEW, rssir, 0, ALL32),
    STORES("IP6AT", 0x5880, BOTH, ip6at),
    STORE("WUPL", 0x5900, BOTH, wupl, 0, 0),
    STORES("WUPM", 0x5a00, BOTH, wupm),
    STORE("GCR", 0x5b00, NEW, gcr, 0, ALL32),
    STORES("GSCL", 0x5b10, NEW, gscl),
    STORE("SWSM", 0x5b50, NEW, swsm, 0, ALL32, .read_done = swsm_read_done),
    STORE("GCR2", 0x5b64, NEW, gcr2, 0, ALL32),
    STORES("RETA", 0x5c00, NEW, reta),
    STORES("RSSRK", 0x5c80, NEW, rssrk),
    STORES("FFLT", 0x5f00, BOTH, fflt),
    STORES("FFMT", 0x9000, BOTH, ffmt),
    STORES("FFVT", 0x9800, BOTH, ffvt),
    { "SYSTIML", 0xb600, NEW, 4, .read = systiml_read, .write = systiml_write },
    { "SYSTIMH", 0xb604, NEW, REG_FIELD(E1000, systimh), .write = systimh_write },
    { "TIMINCA", 0xb608, NEW, REG_FIELD(E1000, timinca), .write = timinca_write },
};

const RegBank e1000_regs = { registers, G_N_ELEMENTS(registers), .bank = chip_of, .absent_is_zero = true };

/* ---- the I/O BAR: IOADDR, IODATA (SDM 13.4.3) ---- */

static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    E1000 *e = opaque;

    switch (offset) {
    case 0:
        return e->ioaddr;
    case 4:
        return e->ioaddr < e->mmio.size ? reg_read(&e->pci.dev, &e1000_regs, e->ioaddr, 4) : 0;
    default:
        return 0;
    }
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    E1000 *e = opaque;

    if (size != 4) {
        return; /* both are written whole */
    }
    if (offset == 0) {
        e->ioaddr = (uint32_t)value & ~3u;
    } else if (offset == 4 && e->ioaddr < e->mmio.size) {
        reg_write(&e->pci.dev, &e1000_regs, e->ioaddr, value, 4);
    }
}

const MemoryOps e1000_io_ops = { .read = io_read, .write = io_write, .impl_min = 4, .impl_max = 4 };
