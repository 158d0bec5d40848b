/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i6300esb: the watchdog timer of Intel's 6300ESB I/O Controller Hub (datasheet, order number 300641, chapter
 * "Watchdog Timer (D29:F4)"), which Linux and libvirt know.
 *
 *   enabled --preload 1 is over--> stage 2 --preload 2 is over--> it fires, and is disabled
 *      ^--------- reload ------------|
 *
 * What firing does, -action watchdog= says (vmm/runstate.h).  That it did is seen in WDT_TIMEOUT after the reset.
 *
 *   config 60h  WDT_CONFIG: bit 5 output off, 2 fast (1 us, else 1 ms), 1:0 what the first stage does
 *          68h  WDT_LOCK: bit 2 only the second stage counts, 1 enabled, 0 locked until a reset
 *   BAR 0  00h, 04h preload 1 and 2 (20 bits); 08h interrupt status; 0ch reload (bit 8), WDT_TIMEOUT (9)
 *
 * Writing to the first three takes 80h and 86h, written to 0ch before.  Left out: the interrupt and the SMI of the
 * first stage, which this board has no wire for: only its status is seen; and the output of the free-running mode
 * goes up and never down, so the mode begins anew.
 *
 * Locking: the framework's.
 */
#include "hw/pci/pci.h"
#include "vmm/domain.h"
#include "vmm/reg.h"
#include "vmm/runstate.h"

#define CONFIG            0x60
#define CONFIG_OUTPUT_OFF 0x20
#define CONFIG_FAST       0x04
#define CONFIG_WRITABLE   0x27
#define LOCK              0x68
#define LOCK_FREE         0x04
#define LOCK_ENABLE       0x02
#define LOCK_LOCKED       0x01

#define PRELOAD_BITS      0xfffff
#define GISR_FIRST        0x01
#define RELOAD_RELOAD     0x100
#define RELOAD_TIMEOUT    0x200
#define UNLOCK_1          0x80
#define UNLOCK_2          0x86

#define BAR_BYTES 16
#define PCI_HZ    33000000
#define SHIFT     15 /* of the PCI clock: 1 ms */
#define SHIFT_FAST 5 /* 1 us */

typedef struct I6300Esb {
    PciDevice pci; /* first */
    /* Guest state */
    uint32_t preload[2];
    uint32_t gisr;
    uint8_t lock;       /* WDT_LOCK as it holds, whatever was written */
    uint8_t unlocked;   /* how many bytes of the sequence have come */
    uint8_t stage;      /* that is being counted; 0: none */
    bool timed_out;     /* outlives a reset */
    int64_t deadline_ns;
    /* Derived */
    MemoryRegion mmio;
    Timer *timer;
} I6300Esb;

static I6300Esb *i6300esb(Device *dev)
{
    return (I6300Esb *)dev;
}

/* ---- counting ---- */

static void stop(I6300Esb *w)
{
    w->stage = 0;
    timer_del(w->timer);
}

static void count(I6300Esb *w, uint8_t stage, int64_t from_ns)
{
    unsigned shift = w->pci.config[CONFIG] & CONFIG_FAST ? SHIFT_FAST : SHIFT;
    uint64_t clocks = (uint64_t)w->preload[stage - 1] << shift;

    w->stage = stage;
    w->deadline_ns = from_ns + (int64_t)(clocks * 1000 / (PCI_HZ / 1000000));
    timer_mod(w->timer, w->deadline_ns);
}

static void begin(I6300Esb *w)
{
    count(w, w->lock & LOCK_FREE ? 2 : 1, clock_ns(domain_clock(w->pci.dev.domain)));
}

static void fire(I6300Esb *w)
{
    stop(w);
    if (w->lock & LOCK_FREE) {
        begin(w);
    } else {
        w->lock = w->pci.config[LOCK] = w->lock & (uint8_t)~LOCK_ENABLE;
    }
    if (!(w->pci.config[CONFIG] & CONFIG_OUTPUT_OFF)) {
        w->timed_out = true;
        domain_request_watchdog(w->pci.dev.domain);
    }
}

static void time_is_over(Device *dev)
{
    I6300Esb *w = i6300esb(dev);

    if (w->stage == 1) {
        w->gisr |= GISR_FIRST;
        count(w, 2, w->deadline_ns);
    } else if (w->stage == 2) {
        fire(w);
    }
}

/* ---- registers ---- */

static bool take_key(I6300Esb *w)
{
    bool unlocked = w->unlocked == 2;

    w->unlocked = 0;
    return unlocked;
}

static void preload_write(Device *dev, unsigned n, uint64_t value)
{
    I6300Esb *w = i6300esb(dev);

    if (take_key(w)) {
        w->preload[n] = value & PRELOAD_BITS;
    }
}

static void gisr_write(Device *dev, uint64_t value)
{
    I6300Esb *w = i6300esb(dev);

    if (take_key(w)) {
        w->gisr &= ~(uint32_t)value;
    }
}

static uint64_t reload_read(Device *dev)
{
    return i6300esb(dev)->timed_out ? RELOAD_TIMEOUT : 0;
}

static void reload_write(Device *dev, uint64_t value)
{
    I6300Esb *w = i6300esb(dev);

    if (w->unlocked == 2) {
        w->unlocked = 0;
        w->timed_out &= !(value & RELOAD_TIMEOUT);
        if (value & RELOAD_RELOAD && w->lock & LOCK_ENABLE) {
            begin(w);
        }
    } else if (w->unlocked == 1) {
        w->unlocked = value == UNLOCK_2 ? 2 : 0;
    } else {
        w->unlocked = value == UNLOCK_1;
    }
}

static const Reg regs[] = {
    { "PRELOAD", 0x00, REG_ARRAY(I6300Esb, preload), .stride = 4, .reset = PRELOAD_BITS, .writable = PRELOAD_BITS,
      .write_n = preload_write },
    { "GISR", 0x08, REG_FIELD(I6300Esb, gisr), .writable = GISR_FIRST, .write = gisr_write },
    { "RELOAD", 0x0c, .size = 2, .writable = 0xffff, .read = reload_read, .write = reload_write },
};
static const RegBank bank = { .regs = regs, .n = G_N_ELEMENTS(regs), .absent_is_zero = true };

/* Also after a load, which brings both as they were. */
static void config_wrote(PciDevice *pci, unsigned offset, unsigned size)
{
    I6300Esb *w = (I6300Esb *)pci;
    uint8_t was = w->lock;

    if (offset > LOCK || offset + size <= LOCK || w->pci.config[LOCK] == was) {
        return;
    }
    if (was & LOCK_LOCKED) {
        w->pci.config[LOCK] = was;
        return;
    }
    w->lock = w->pci.config[LOCK];
    if (!(w->lock & LOCK_ENABLE)) {
        stop(w);
    } else if (!(was & LOCK_ENABLE)) {
        begin(w);
    }
}

/* ---- the device ---- */

static bool loaded(void *struct_, GError **error)
{
    I6300Esb *w = struct_;

    if (w->stage) {
        timer_mod(w->timer, w->deadline_ns);
    } else {
        timer_del(w->timer);
    }
    return true;
}

static const StateDesc state = {
    .name = "i6300esb", .version = 1, .loaded = loaded,
    .fields = (const StateField[]) {
        STATE_ARRAY(I6300Esb, preload, STATE_TYPE_U32), STATE_U32(I6300Esb, gisr), STATE_U8(I6300Esb, lock),
        STATE_ROW(I6300Esb, unlocked, STATE_TYPE_U8, .max = 2), STATE_ROW(I6300Esb, stage, STATE_TYPE_U8, .max = 2),
        STATE_BOOL(I6300Esb, timed_out), STATE_I64(I6300Esb, deadline_ns), STATE_END
    },
};

static bool realize(Device *dev, GError **error)
{
    I6300Esb *w = i6300esb(dev);

    pci_set_info(&w->pci, &(PciInfo) { .vendor = 0x8086, .device = 0x25ab, .class_code = 0x0880 });
    w->pci.wmask[CONFIG] = CONFIG_WRITABLE;
    w->pci.wmask[LOCK] = LOCK_FREE | LOCK_ENABLE | LOCK_LOCKED;
    w->pci.config_wrote = config_wrote;
    device_init_regs(dev, &w->mmio, "i6300esb", &bank, BAR_BYTES);
    pci_set_bar(&w->pci, 0, PCI_BAR_MEM32, &w->mmio);
    w->timer = device_timer_new(dev, domain_clock(dev->domain), time_is_over);
    return true;
}

static void unrealize(Device *dev)
{
    timer_free(g_steal_pointer(&i6300esb(dev)->timer));
}

static void reset(Device *dev)
{
    I6300Esb *w = i6300esb(dev);

    reg_reset(dev, &bank);
    w->lock = 0;
    w->unlocked = 0;
    w->deadline_ns = 0;
    stop(w);
}

const DeviceClass i6300esb_class = {
    .name = "i6300esb",
    .desc = "Intel 6300ESB watchdog timer",
    .category = "Misc",
    .base = &pci_device_class,
    .bus = &pci_bus_class,
    .size = sizeof(I6300Esb),
    .state = &state,
    .hotpluggable = true,
    .realize = realize,
    .unrealize = unrealize,
    .reset = reset,
};
