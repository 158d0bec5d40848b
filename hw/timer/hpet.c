/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * High precision event timers (IA-PC HPET specification 1.0a, October 2004).
 *
 * The main counter is computed from the domain's clock at 100 MHz.  Each comparator
 * knows the tick of its next match (on a line that never wraps); one host timer
 * waits for the nearest that anyone would notice.  The others catch up when a
 * register is accessed, so a comparator that the guest left running costs nothing.
 *
 * Interrupts: to the I/O APIC pins in "intcap" (wired or with what else is there), to
 * interrupts 0 and 8 in place of the PIT and the RTC (legacy replacement, 2.3.5), or
 * as messages ("msi=on", 2.3.9.2.2).
 *
 * A comparator that the counter has just passed (LATE_TICKS) matches at once: on a
 * real chip the write would have been in time.  Matches closer than MIN_WAIT_NS
 * interrupt once.
 *
 * Locking: the framework's.
 */
#include "hw/timer/hpet.h"

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/irq.h"

#define TIMERS_MIN   3
#define TIMERS_MAX   32
#define TICK_NS      (HPET_PERIOD_FS / 1000000)
#define MIN_WAIT_NS  (50 * INT64_C(1000))
#define LATE_TICKS   (UINT64_C(1000000000) / TICK_NS)
#define NEVER        UINT64_MAX

/* 2.3.3 "Memory Map" */
#define HPET_ID      0x000
#define HPET_CONFIG  0x010
#define HPET_STATUS  0x020
#define HPET_COUNTER 0x0f0
#define HPET_TIMERS  0x100
#define TN_STRIDE    0x20
#define TN_CONFIG    0x00
#define TN_COMPARE   0x08
#define TN_FSB       0x10

/* 2.3.4, 2.3.5 */
#define ID_REVISION    0x01
#define ID_TIMERS_SHIFT 8
#define ID_64BIT       (UINT64_C(1) << 13)
#define ID_LEGACY      (UINT64_C(1) << 15)
#define ID_VENDOR      (UINT64_C(0x8086) << 16)
#define CONFIG_ENABLE  UINT64_C(0x1)
#define CONFIG_LEGACY  UINT64_C(0x2)

/* 2.3.8 */
#define TN_LEVEL       (UINT64_C(1) << 1)
#define TN_ENABLE      (UINT64_C(1) << 2)
#define TN_PERIODIC    (UINT64_C(1) << 3)
#define TN_CAN_PERIODIC (UINT64_C(1) << 4)
#define TN_64BIT       (UINT64_C(1) << 5)
#define TN_SET_VALUE   (UINT64_C(1) << 6)
#define TN_32BIT       (UINT64_C(1) << 8)
#define TN_ROUTE_SHIFT 9
#define TN_ROUTE       (UINT64_C(0x1f) << TN_ROUTE_SHIFT)
#define TN_FSB_ENABLE  (UINT64_C(1) << 14)
#define TN_CAN_FSB     (UINT64_C(1) << 15)
#define TN_ROUTES_SHIFT 32
#define TN_WRITABLE    (TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_SET_VALUE | TN_32BIT | TN_ROUTE | TN_FSB_ENABLE)

typedef struct HpetTimer {
    uint64_t config, compare, period, fsb;
    uint64_t due; /* tick of the next match; NEVER: none before the counter wraps */
} HpetTimer;

typedef struct Hpet {
    Device dev;
    /* Configuration */
    uint64_t base;
    uint32_t timers, intcap;
    bool msi;
    /* Guest state */
    uint64_t config, status;
    uint64_t counter;   /* at started_ns while it runs, else what it holds */
    int64_t started_ns;
    HpetTimer timer[TIMERS_MAX];
    /* Derived */
    MemoryRegion region;
    Timer *host;
    IrqLine *pin[IRQ_GSIS], *legacy[2];
} Hpet;

static const unsigned legacy_gsi[2] = { 0, 8 };

static Hpet *hpet(Device *dev)
{
    return (Hpet *)dev;
}

static int64_t now_ns(const Hpet *h)
{
    return clock_ns(domain_clock(h->dev.domain));
}

static bool running(const Hpet *h)
{
    return h->config & CONFIG_ENABLE;
}

static uint64_t counter(const Hpet *h)
{
    return running(h) ? h->counter + (uint64_t)(now_ns(h) - h->started_ns) / TICK_NS : h->counter;
}

/* ---- interrupts ---- */

/* The GSI that feeds an I/O APIC pin: the timer's is on pin 2 (vmm/irq.h). */
static unsigned gsi_of(unsigned pin)
{
    return pin == 2 ? 0 : pin;
}

static bool replaces(const Hpet *h, unsigned n)
{
    return (h->config & CONFIG_LEGACY) && n < G_N_ELEMENTS(legacy_gsi);
}

/* Where timer n's interrupt goes; NULL: to nothing that exists. */
static IrqLine *line_of(const Hpet *h, unsigned n)
{
    unsigned route = (unsigned)((h->timer[n].config & TN_ROUTE) >> TN_ROUTE_SHIFT);

    if (replaces(h, n)) {
        return h->legacy[n];
    }
    return route < IRQ_GSIS && (h->intcap & (1u << route)) ? h->pin[gsi_of(route)] : NULL;
}

static bool sends_message(const Hpet *h, unsigned n)
{
    return h->msi && (h->timer[n].config & TN_FSB_ENABLE);
}

static bool asserts(const Hpet *h, unsigned n)
{
    return (h->status & (UINT64_C(1) << n)) && (h->timer[n].config & TN_LEVEL) && (h->timer[n].config & TN_ENABLE) &&
           !sends_message(h, n);
}

/* Level-triggered timers that share a line are wired or. */
static void update_lines(Hpet *h)
{
    for (unsigned pin = 0; pin < IRQ_GSIS; pin++) {
        bool level = false;

        for (unsigned n = 0; n < h->timers; n++) {
            level = level || (asserts(h, n) && line_of(h, n) == h->pin[pin]);
        }
        irq_set(h->pin[pin], level);
    }
    for (unsigned n = 0; n < G_N_ELEMENTS(legacy_gsi); n++) {
        irq_set(h->legacy[n], asserts(h, n) && replaces(h, n));
    }
}

static void matched(Hpet *h, unsigned n)
{
    const HpetTimer *t = &h->timer[n];

    if (t->config & TN_LEVEL) {
        h->status |= UINT64_C(1) << n;
        update_lines(h);
    }
    if (!(t->config & TN_ENABLE)) {
        return;
    }
    if (sends_message(h, n)) {
        msi_send(domain_irqs(h->dev.domain), (MsiMessage) { t->fsb >> 32, (uint32_t)t->fsb });
    } else if (!(t->config & TN_LEVEL)) {
        irq_pulse(line_of(h, n));
    }
}

/* ---- comparators ---- */

static uint64_t width_mask(const HpetTimer *t)
{
    return t->config & TN_32BIT ? UINT32_MAX : UINT64_MAX;
}

/* After the counter or the width changed. */
static void schedule(Hpet *h, HpetTimer *t)
{
    uint64_t now = counter(h), ahead = (t->compare - now) & width_mask(t);

    t->due = ahead > UINT64_MAX - 1 - now ? NEVER : now + ahead;
}

/* After the comparator was written. */
static void schedule_written(Hpet *h, HpetTimer *t)
{
    uint64_t now = counter(h);

    if (((now - t->compare) & width_mask(t)) <= LATE_TICKS) {
        t->due = now;
    } else {
        schedule(h, t);
    }
}

/* The match at t->due has happened. */
static void advance(HpetTimer *t, uint64_t now)
{
    uint64_t step = t->config & TN_PERIODIC ? t->period & width_mask(t) : 0;

    if (step) {
        uint64_t missed = now > t->due ? (now - t->due) / step : 0;

        t->due += step * (missed + 1);
        t->compare = (t->compare + step * (missed + 1)) & width_mask(t);
    } else {
        t->due = t->config & TN_32BIT ? t->due + (UINT64_C(1) << 32) : NEVER;
    }
}

static void arm(Hpet *h, int64_t not_before)
{
    uint64_t nearest = NEVER, now = counter(h);

    for (unsigned n = 0; n < h->timers; n++) {
        if (h->timer[n].config & (TN_ENABLE | TN_LEVEL)) {
            nearest = MIN(nearest, h->timer[n].due);
        }
    }
    if (!running(h) || nearest == NEVER || (nearest > now && nearest - now > (uint64_t)INT64_MAX / 4 / TICK_NS)) {
        timer_del(h->host);
    } else {
        timer_mod(h->host, MAX(h->started_ns + (int64_t)((nearest - h->counter) * TICK_NS), not_before));
    }
}

static void catch_up(Hpet *h)
{
    uint64_t now = counter(h);

    for (unsigned n = 0; running(h) && n < h->timers; n++) {
        HpetTimer *t = &h->timer[n];

        if (t->due <= now) {
            advance(t, now);
            matched(h, n);
        }
    }
}

static void expired(Device *dev)
{
    Hpet *h = hpet(dev);

    catch_up(h);
    arm(h, now_ns(h) + MIN_WAIT_NS);
}

static void restart(Hpet *h)
{
    for (unsigned n = 0; n < h->timers; n++) {
        schedule(h, &h->timer[n]);
    }
    arm(h, 0);
}

/* ---- registers ---- */

static uint64_t id(const Hpet *h)
{
    return ID_REVISION | (uint64_t)(h->timers - 1) << ID_TIMERS_SHIFT | ID_64BIT | ID_LEGACY | ID_VENDOR |
           (uint64_t)HPET_PERIOD_FS << 32;
}

static uint64_t timer_capabilities(const Hpet *h)
{
    return TN_CAN_PERIODIC | TN_64BIT | (h->msi ? TN_CAN_FSB : 0) | (uint64_t)h->intcap << TN_ROUTES_SHIFT;
}

static uint64_t read_timer(const Hpet *h, unsigned n, unsigned reg)
{
    const HpetTimer *t = &h->timer[n];

    switch (reg) {
    case TN_CONFIG:
        return t->config | timer_capabilities(h);
    case TN_COMPARE:
        return t->compare & width_mask(t);
    case TN_FSB:
        return t->fsb;
    default:
        return 0;
    }
}

static uint64_t read_register(const Hpet *h, unsigned reg)
{
    if (reg >= HPET_TIMERS && (reg - HPET_TIMERS) / TN_STRIDE < h->timers) {
        return read_timer(h, (reg - HPET_TIMERS) / TN_STRIDE, reg % TN_STRIDE);
    }
    switch (reg) {
    case HPET_ID:
        return id(h);
    case HPET_CONFIG:
        return h->config;
    case HPET_STATUS:
        return h->status;
    case HPET_COUNTER:
        return counter(h);
    default:
        return 0;
    }
}

static uint64_t merge(uint64_t old, uint64_t value, uint64_t mask)
{
    return (old & ~mask) | (value & mask);
}

static void write_config(Hpet *h, uint64_t value)
{
    IrqFabric *irqs = domain_irqs(h->dev.domain);
    uint64_t changed;

    value &= CONFIG_ENABLE | CONFIG_LEGACY;
    changed = h->config ^ value;
    if (changed & CONFIG_ENABLE) {
        h->counter = counter(h);
        h->started_ns = now_ns(h);
    }
    h->config = value;
    if (changed & CONFIG_LEGACY) {
        update_lines(h);
        for (unsigned n = 0; n < G_N_ELEMENTS(legacy_gsi); n++) {
            gsi_override(irqs, legacy_gsi[n], value & CONFIG_LEGACY);
        }
    }
    if (changed & CONFIG_ENABLE) {
        restart(h);
    }
}

static void write_counter(Hpet *h, uint64_t value, uint64_t mask)
{
    if (running(h)) {
        guest_error(device_name(&h->dev), "the main counter is written while it runs");
    }
    h->counter = merge(counter(h), value, mask);
    h->started_ns = now_ns(h);
    restart(h);
}

/* 2.3.9.2.2: in periodic mode a write sets the period; with VAL_SET the next match too, once. */
static void write_compare(HpetTimer *t, uint64_t value, uint64_t mask)
{
    if (!(t->config & TN_PERIODIC) || (t->config & TN_SET_VALUE)) {
        t->compare = merge(t->compare, value, mask) & width_mask(t);
    }
    if (t->config & TN_PERIODIC) {
        t->period = merge(t->period, value, mask) & width_mask(t);
    }
    t->config &= ~TN_SET_VALUE;
}

static void write_timer(Hpet *h, unsigned n, unsigned reg, uint64_t value, uint64_t mask)
{
    HpetTimer *t = &h->timer[n];
    uint64_t old = t->config;

    switch (reg) {
    case TN_CONFIG:
        t->config = merge(old, value, mask & TN_WRITABLE & (h->msi ? UINT64_MAX : ~TN_FSB_ENABLE));
        if ((old ^ t->config) & TN_32BIT) {
            t->compare &= width_mask(t);
            t->period &= width_mask(t);
        }
        update_lines(h);
        if ((old ^ t->config) & (TN_32BIT | TN_PERIODIC)) {
            schedule(h, t);
        }
        break;
    case TN_COMPARE:
        write_compare(t, value, mask);
        if (!(old & TN_PERIODIC) || (old & TN_SET_VALUE)) {
            schedule_written(h, t);
        }
        break;
    case TN_FSB:
        t->fsb = merge(t->fsb, value, mask);
        break;
    }
    arm(h, 0);
}

static void write_register(Hpet *h, unsigned reg, uint64_t value, uint64_t mask)
{
    if (reg >= HPET_TIMERS && (reg - HPET_TIMERS) / TN_STRIDE < h->timers) {
        write_timer(h, (reg - HPET_TIMERS) / TN_STRIDE, reg % TN_STRIDE, value, mask);
        return;
    }
    switch (reg) {
    case HPET_CONFIG:
        write_config(h, merge(h->config, value, mask));
        break;
    case HPET_STATUS: /* write 1 to clear */
        h->status &= ~(value & mask);
        update_lines(h);
        break;
    case HPET_COUNTER:
        write_counter(h, value, mask);
        break;
    default:
        guest_error(device_name(&h->dev), "write to reserved or read-only offset 0x%x", reg);
        break;
    }
}

static uint64_t hpet_read(void *opaque, uint64_t offset, unsigned size)
{
    catch_up(opaque);
    return read_register(opaque, (unsigned)offset & ~7u) >> (8 * (offset & 7));
}

static void hpet_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned shift = 8 * (unsigned)(offset & 7);

    catch_up(opaque);
    write_register(opaque, (unsigned)offset & ~7u, value << shift, (size == 8 ? UINT64_MAX : UINT32_MAX) << shift);
}

static const MemoryOps hpet_ops = { .read = hpet_read, .write = hpet_write, .min = 4, .max = 8 }; /* 2.3.2 */

/* ---- state ---- */

static bool hpet_loaded(void *opaque, GError **error)
{
    Hpet *h = opaque;

    update_lines(h);
    for (unsigned n = 0; n < G_N_ELEMENTS(legacy_gsi); n++) {
        gsi_override(domain_irqs(h->dev.domain), legacy_gsi[n], h->config & CONFIG_LEGACY);
    }
    arm(h, 0);
    return true;
}

static const StateDesc timer_state = {
    .name = "hpet-timer", .version = 1,
    .fields = (const StateField[]) {
        STATE_ROW(HpetTimer, config, STATE_TYPE_U64, .max = TN_WRITABLE), STATE_U64(HpetTimer, compare),
        STATE_U64(HpetTimer, period), STATE_U64(HpetTimer, fsb), STATE_U64(HpetTimer, due), STATE_END
    },
};

static const StateDesc hpet_state = {
    .name = "hpet", .version = 1, .loaded = hpet_loaded,
    .fields = (const StateField[]) {
        STATE_ROW(Hpet, config, STATE_TYPE_U64, .max = CONFIG_ENABLE | CONFIG_LEGACY),
        STATE_ROW(Hpet, status, STATE_TYPE_U64, .max = UINT32_MAX),
        STATE_U64(Hpet, counter), STATE_I64(Hpet, started_ns), STATE_STRUCTS(Hpet, timer, &timer_state),
        STATE_END
    },
};

/* ---- life ---- */

static void hpet_reset(Device *dev)
{
    Hpet *h = hpet(dev);

    write_config(h, 0);
    h->counter = h->status = 0;
    h->started_ns = 0;
    for (unsigned n = 0; n < TIMERS_MAX; n++) { /* the first route that exists */
        h->timer[n] = (HpetTimer) {
            .config = (uint64_t)g_bit_nth_lsf(h->intcap, -1) << TN_ROUTE_SHIFT, .compare = UINT64_MAX, .due = NEVER,
        };
    }
    update_lines(h);
    timer_del(h->host);
}

static bool hpet_realize(Device *dev, GError **error)
{
    Hpet *h = hpet(dev);
    IrqFabric *irqs = domain_irqs(dev->domain);

    if (h->base % HPET_WINDOW) {
        return error_set(error, "'%s': base=0x%" G_GINT64_MODIFIER "x is not a multiple of 1 KiB", device_name(dev),
                         h->base);
    }
    h->intcap &= ((1u << IRQ_GSIS) - 1) & ~1u; /* the PIC's own pin 0 takes no timer */
    if (!h->intcap) {
        error_set(error, "'%s': intcap names no pin of the I/O APIC", device_name(dev));
        return error_hint(error, "Set bits 1 to 23.");
    }
    device_init_io(dev, &h->region, "hpet", &hpet_ops, HPET_WINDOW);
    memory_add(domain_memory_root(dev->domain), h->base, &h->region, 1);
    for (unsigned pin = 0; pin < IRQ_GSIS; pin++) {
        if (h->intcap & (1u << pin)) {
            h->pin[gsi_of(pin)] = gsi_add_source(irqs, gsi_of(pin));
        }
    }
    for (unsigned n = 0; n < G_N_ELEMENTS(legacy_gsi); n++) {
        h->legacy[n] = gsi_override_line(irqs, legacy_gsi[n]);
    }
    h->host = device_timer_new(dev, domain_clock(dev->domain), expired);
    return true;
}

static void hpet_unrealize(Device *dev)
{
    Hpet *h = hpet(dev);

    timer_free(h->host);
    for (unsigned n = 0; n < G_N_ELEMENTS(legacy_gsi); n++) {
        irq_set(h->legacy[n], false);
        gsi_override(domain_irqs(dev->domain), legacy_gsi[n], false);
    }
    for (unsigned gsi = 0; gsi < IRQ_GSIS; gsi++) {
        gsi_remove_source(h->pin[gsi]);
    }
}

static const Property hpet_props[] = {
    PROP_SIZE("base", Hpet, base, HPET_ADDRESS, .help = "Guest-physical address of its registers"),
    PROP_UINT("timers", Hpet, timers, TIMERS_MIN, .min = TIMERS_MIN, .max = TIMERS_MAX,
              .help = "Number of comparators"),
    PROP_UINT("hpet-intcap", Hpet, intcap, 0xff0104,
              .help = "I/O APIC pins that comparators can be routed to, a bit each"),
    PROP_BOOL("msi", Hpet, msi, false, .help = "Comparators can send messages"),
    PROP_END
};

const DeviceClass hpet_class = {
    .name = "hpet", .desc = "High precision event timer", .category = "Misc",
    .size = sizeof(Hpet), .props = hpet_props, .state = &hpet_state,
    .board_only = true,
    .realize = hpet_realize, .unrealize = hpet_unrealize, .reset = hpet_reset,
};
