/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8254 programmable interval timer (Intel data sheet, order number 231164-005,
 * "DS") and the part of port 0x61 that belongs to it.
 *
 *   0x40-0x42  counters 0-2     counter 0: interrupt 0; counter 2: speaker
 *   0x43       control word
 *   0x61       bit 0 gate of counter 2, 1 speaker, 4 refresh toggle, 5 output of counter 2
 *
 * Counts are computed from the domain's clock.  Interrupt 0 is an edge, so in the
 * periodic modes the line stays high and pulses where the output would rise.
 *
 * Left out: a new count takes effect at once, also in modes 2 and 3 (DS: at the end
 * of the cycle); a low gate holds the output but does not freeze the count of
 * modes 0 and 4; memory refresh by counter 1.  Periods shorter than MIN_PERIOD_NS
 * interrupt that often only.
 *
 * Locking: the framework's.
 */
#include "hw/timer/i8254.h"

#include "hw/intc/irqchip.h"
#include "hw/isa/isa.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/x86/chips.h"

#define CHANNELS       3
#define MIN_PERIOD_NS  (50 * INT64_C(1000))
#define REFRESH_NS     15085 /* counter 1 toggles bit 4 of port 0x61 */

/* DS "Control Word Format" and "Read-Back Command" */
#define CW_BCD            0x01
#define CW_READ_BACK      3
#define CW_LATCH          0
#define READ_BACK_NO_COUNT  0x20
#define READ_BACK_NO_STATUS 0x10
#define STATUS_OUT        0x80
#define STATUS_NULL_COUNT 0x40

enum { ACCESS_LSB = 1, ACCESS_MSB = 2, ACCESS_WORD = 3, ACCESS_WORD_MSB = 4 };

/* Port 0x61 */
#define P61_GATE2    0x01
#define P61_SPEAKER  0x02
#define P61_REFRESH  0x10
#define P61_OUT2     0x20

typedef struct I8254 {
    Device dev;
    /* Guest state */
    I8254State s;
    /* Derived */
    MemoryRegion ports, port61;
    IrqLine *irq;
    Timer *timer; /* of counter 0 */
} I8254;

static I8254 *i8254(Device *dev)
{
    return (I8254 *)dev;
}

static int64_t now_ns(const I8254 *p)
{
    return clock_ns(domain_clock(p->dev.domain));
}

static uint64_t ticks_of(int64_t ns)
{
    return ns <= 0 ? 0 : (uint64_t)((unsigned __int128)ns * I8254_HZ / NS_PER_SEC);
}

/* When tick n has happened: rounded up. */
static int64_t ns_of(uint64_t ticks)
{
    return (int64_t)(((unsigned __int128)ticks * NS_PER_SEC + I8254_HZ - 1) / I8254_HZ);
}

/* ---- counting: DS "Mode Definitions" ---- */

static bool loaded(const I8254Channel *c)
{
    return c->count != 0;
}

static uint64_t elapsed(const I8254 *p, const I8254Channel *c)
{
    return ticks_of(now_ns(p) - c->loaded_ns);
}

static uint16_t to_bcd(uint32_t value)
{
    return (uint16_t)(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12);
}

static uint32_t from_bcd(uint16_t value)
{
    return (value & 15) + (value >> 4 & 15) * 10u + (value >> 8 & 15) * 100u + (value >> 12) * 1000u;
}

/* What the counting element holds, as it is read. */
static uint16_t current_count(const I8254 *p, const I8254Channel *c)
{
    uint32_t modulus = c->bcd ? 10000 : 65536;
    uint64_t d = elapsed(p, c);
    uint64_t value;

    if (!loaded(c)) {
        return 0;
    }
    switch (c->mode) {
    case 2:
        value = c->count - d % c->count;
        break;
    case 3: /* counts down by two, twice a period */
        value = c->count - 2 * d % c->count;
        break;
    default: /* goes on below 0 */
        value = c->count + modulus - d % modulus;
        break;
    }
    value %= modulus;
    return c->bcd ? to_bcd((uint32_t)value) : (uint16_t)value;
}

static bool output(const I8254 *p, const I8254Channel *c)
{
    uint64_t d = elapsed(p, c);

    if (!loaded(c)) {
        return c->mode != 0;
    }
    switch (c->mode) {
    case 0:
    case 1:
        return d >= c->count;
    case 2:
        return !c->gate || d % c->count != c->count - 1;
    case 3:
        return !c->gate || d % c->count < (c->count + 1) / 2;
    default:
        return d != c->count;
    }
}

/* ---- interrupt 0 ---- */

/* The tick at or after `from` where counter 0's output rises; UINT64_MAX: never. */
static uint64_t next_rise(const I8254Channel *c, uint64_t from)
{
    if (!loaded(c)) {
        return UINT64_MAX;
    }
    switch (c->mode) {
    case 0:
        return from <= c->count ? c->count : UINT64_MAX;
    case 2:
    case 3:
        return MAX((from + c->count - 1) / c->count, 1) * c->count;
    case 4:
        return from <= c->count + 1 ? c->count + 1 : UINT64_MAX;
    default: /* 1 and 5 wait for a gate that counter 0 does not have */
        return UINT64_MAX;
    }
}

static void arm(I8254 *p, int64_t not_before)
{
    const I8254Channel *c = &p->s.channel[0];
    uint64_t tick = next_rise(c, elapsed(p, c) + 1);

    if (tick == UINT64_MAX) {
        timer_del(p->timer);
    } else {
        timer_mod(p->timer, MAX(c->loaded_ns + ns_of(tick), not_before));
    }
}

static void expired(Device *dev)
{
    I8254 *p = i8254(dev);

    if (p->s.channel[0].mode == 0) {
        irq_set(p->irq, true);
    } else {
        irq_pulse(p->irq);
    }
    arm(p, now_ns(p) + MIN_PERIOD_NS);
}

/* After counter 0 was programmed or loaded. */
static void restart(I8254 *p)
{
    irq_set(p->irq, p->s.channel[0].mode == 0 ? output(p, &p->s.channel[0]) : true);
    arm(p, 0);
}

/* ---- counters ---- */

static void load_count(I8254 *p, I8254Channel *c, uint16_t value)
{
    c->count = c->bcd ? from_bcd(value) : value;
    if (c->count == 0) {
        c->count = c->bcd ? 10000 : 65536;
    }
    c->loaded_ns = now_ns(p);
    if (c == &p->s.channel[0]) {
        restart(p);
    }
}

static void write_counter(I8254 *p, I8254Channel *c, uint8_t value)
{
    switch (c->write_state) {
    case ACCESS_LSB:
        load_count(p, c, value);
        break;
    case ACCESS_MSB:
        load_count(p, c, (uint16_t)(value << 8));
        break;
    case ACCESS_WORD:
        c->write_latch = value;
        c->write_state = ACCESS_WORD_MSB;
        break;
    case ACCESS_WORD_MSB:
        c->write_state = ACCESS_WORD;
        load_count(p, c, (uint16_t)(value << 8 | c->write_latch));
        break;
    }
}

static uint8_t read_latched(I8254Channel *c)
{
    switch (c->count_latched) {
    case ACCESS_MSB:
    case ACCESS_WORD_MSB:
        c->count_latched = 0;
        return (uint8_t)(c->latched_count >> 8);
    case ACCESS_WORD:
        c->count_latched = ACCESS_WORD_MSB;
        return (uint8_t)c->latched_count;
    default:
        c->count_latched = 0;
        return (uint8_t)c->latched_count;
    }
}

static uint8_t read_counter(I8254 *p, I8254Channel *c)
{
    uint16_t count;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->count_latched) {
        return read_latched(c);
    }
    count = current_count(p, c);
    switch (c->read_state) {
    case ACCESS_MSB:
        return (uint8_t)(count >> 8);
    case ACCESS_WORD:
        c->read_state = ACCESS_WORD_MSB;
        return (uint8_t)count;
    case ACCESS_WORD_MSB:
        c->read_state = ACCESS_WORD;
        return (uint8_t)(count >> 8);
    default:
        return (uint8_t)count;
    }
}

static void latch_count(I8254 *p, I8254Channel *c)
{
    if (!c->count_latched) { /* DS: a second latch is ignored */
        c->latched_count = current_count(p, c);
        c->count_latched = c->access;
    }
}

static void latch_status(I8254 *p, I8254Channel *c)
{
    if (!c->status_latched) {
        c->status = (uint8_t)((output(p, c) ? STATUS_OUT : 0) | (loaded(c) ? 0 : STATUS_NULL_COUNT) | c->access << 4 |
                              c->mode << 1 | c->bcd);
        c->status_latched = true;
    }
}

static void read_back(I8254 *p, uint8_t value)
{
    for (unsigned i = 0; i < CHANNELS; i++) {
        if (!(value & (2u << i))) {
            continue;
        }
        if (!(value & READ_BACK_NO_COUNT)) {
            latch_count(p, &p->s.channel[i]);
        }
        if (!(value & READ_BACK_NO_STATUS)) {
            latch_status(p, &p->s.channel[i]);
        }
    }
}

static void write_control(I8254 *p, uint8_t value)
{
    unsigned select = value >> 6, access = value >> 4 & 3;
    I8254Channel *c;

    if (select == CW_READ_BACK) {
        read_back(p, value);
        return;
    }
    c = &p->s.channel[select];
    if (access == CW_LATCH) {
        latch_count(p, c);
        return;
    }
    c->access = c->read_state = c->write_state = (uint8_t)access;
    c->mode = value >> 1 & 7;
    c->mode -= c->mode > 5 ? 4 : 0; /* DS: bit 2 of modes 2 and 3 does not matter */
    c->bcd = value & CW_BCD;
    c->count = 0; /* nothing counts until it is loaded */
    c->count_latched = 0;
    c->status_latched = false;
    if (select == 0) {
        restart(p);
    }
}

static uint64_t pit_read(void *opaque, uint64_t offset, unsigned size)
{
    I8254 *p = opaque;

    return offset < CHANNELS ? read_counter(p, &p->s.channel[offset]) : 0xff; /* the control word cannot be read */
}

static void pit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8254 *p = opaque;

    if (offset < CHANNELS) {
        write_counter(p, &p->s.channel[offset], (uint8_t)value);
    } else {
        write_control(p, (uint8_t)value);
    }
}

/* DS "Gate": a rising edge starts modes 1 and 5, and starts modes 2 and 3 again. */
static void set_gate(I8254 *p, I8254Channel *c, bool gate)
{
    if (gate && !c->gate && c->mode != 0 && c->mode != 4) {
        c->loaded_ns = now_ns(p);
    }
    c->gate = gate;
}

static uint64_t port61_read(void *opaque, uint64_t offset, unsigned size)
{
    I8254 *p = opaque;
    const I8254Channel *c = &p->s.channel[2];

    return (c->gate ? P61_GATE2 : 0) | (p->s.speaker ? P61_SPEAKER : 0) |
           (now_ns(p) / REFRESH_NS % 2 ? P61_REFRESH : 0) | (output(p, c) ? P61_OUT2 : 0);
}

static void port61_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8254 *p = opaque;

    p->s.speaker = value & P61_SPEAKER;
    set_gate(p, &p->s.channel[2], value & P61_GATE2);
}

static const MemoryOps pit_ops = { .read = pit_read, .write = pit_write, .impl_max = 1, .unaligned = true };
static const MemoryOps port61_ops = { .read = port61_read, .write = port61_write, .max = 1 };

/* ---- state ---- */

static const StateDesc channel_state = {
    .name = "i8254-channel", .version = 1,
    .fields = (const StateField[]) {
        STATE_ROW(I8254Channel, count, STATE_TYPE_U32, .max = 65536),
        STATE_U16(I8254Channel, latched_count),
        STATE_ROW(I8254Channel, count_latched, STATE_TYPE_U8, .max = ACCESS_WORD_MSB),
        STATE_U8(I8254Channel, status), STATE_U8(I8254Channel, write_latch),
        STATE_BOOL(I8254Channel, status_latched),
        STATE_ROW(I8254Channel, read_state, STATE_TYPE_U8, .max = ACCESS_WORD_MSB),
        STATE_ROW(I8254Channel, write_state, STATE_TYPE_U8, .max = ACCESS_WORD_MSB),
        STATE_ROW(I8254Channel, access, STATE_TYPE_U8, .max = ACCESS_WORD),
        STATE_ROW(I8254Channel, mode, STATE_TYPE_U8, .max = 5),
        STATE_BOOL(I8254Channel, bcd), STATE_BOOL(I8254Channel, gate), STATE_I64(I8254Channel, loaded_ns),
        STATE_END
    },
};

static const StateDesc registers_state = {
    .name = "i8254-registers", .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCTS(I8254State, channel, &channel_state), STATE_BOOL(I8254State, speaker),
        STATE_BOOL(I8254State, irq_disabled), STATE_END
    },
};

/* KVM gives a counter that nobody programmed a mode that there is not. */
static void normalize(I8254Channel *c)
{
    if (c->mode > 5) {
        c->mode = 5;
        c->count = 0;
    }
}

static bool i8254_save(void *opaque, GError **error)
{
    I8254 *p = opaque;

    if (irqchip_in_accel(p->dev.domain)) {
        if (!irqchip_get(p->dev.domain, ACCEL_PIT, &p->s, error)) {
            return false;
        }
        for (unsigned i = 0; i < CHANNELS; i++) {
            normalize(&p->s.channel[i]);
        }
        return true;
    }
    p->s.irq_disabled = gsi_overridden(domain_irqs(p->dev.domain), 0);
    return true;
}

static bool i8254_loaded(void *opaque, GError **error)
{
    I8254 *p = opaque;

    if (irqchip_in_accel(p->dev.domain)) {
        return irqchip_set(p->dev.domain, ACCEL_PIT, &p->s, error);
    }
    restart(p);
    return true;
}

static const StateDesc i8254_state = {
    .name = "i8254", .version = 1, .save = i8254_save, .loaded = i8254_loaded,
    .fields = (const StateField[]) { STATE_STRUCT(I8254, s, &registers_state), STATE_END },
};

/* ---- life ---- */

/* DS: undefined until programmed; mode 5 waits for a gate.  Gates 0 and 1 are tied high, 2 is port 0x61's. */
static void i8254_reset(Device *dev)
{
    I8254 *p = i8254(dev);
    g_autoptr(GError) error = NULL;

    p->s = (I8254State) { 0 };
    for (unsigned i = 0; i < CHANNELS; i++) {
        p->s.channel[i] = (I8254Channel) {
            .access = ACCESS_WORD, .read_state = ACCESS_WORD, .write_state = ACCESS_WORD, .mode = 5, .gate = i != 2,
        };
    }
    if (!i8254_loaded(p, &error)) {
        log_error(error);
    }
}

static bool i8254_realize(Device *dev, GError **error)
{
    I8254 *p = i8254(dev);

    if (irqchip_in_accel(dev->domain)) {
        return true;
    }
    device_init_io(dev, &p->ports, "pit", &pit_ops, 4);
    device_init_io(dev, &p->port61, "port61", &port61_ops, 1);
    p->irq = isa_connect_irq(dev, 0, error);
    if (!p->irq || !isa_map_ports(dev, &p->ports, 0x40, error) || !isa_map_ports(dev, &p->port61, 0x61, error)) {
        isa_disconnect_irq(dev, 0, p->irq);
        return false;
    }
    p->timer = device_timer_new(dev, domain_clock(dev->domain), expired);
    return true;
}

static void i8254_unrealize(Device *dev)
{
    I8254 *p = i8254(dev);

    timer_free(p->timer);
    isa_disconnect_irq(dev, 0, p->irq);
}

static const Property i8254_props[] = { PROP_END };

const DeviceClass i8254_class = {
    .name = "isa-pit", .desc = "8254 interval timer and speaker gate", .category = "Misc",
    .size = sizeof(I8254), .bus = &isa_bus_class, .props = i8254_props, .state = &i8254_state,
    .board_only = true,
    .realize = i8254_realize, .unrealize = i8254_unrealize, .reset = i8254_reset,
};
