/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two 8259A interrupt controllers in cascade, as in a PC (Intel 8259A data sheet,
 * order number 231468-003, "DS"; edge/level registers of the 82378 SIO, "ELCR").
 *
 *   0x20, 0x21  master: command, data      0x4d0  its ELCR
 *   0xa0, 0xa1  slave, on input 2          0x4d1  its ELCR
 *
 * Left out: 8080 mode, single and buffered mode, ICW1.LTIM (ELCR decides), ICW3
 * (the cascade is wired).  An edge stays latched when its input drops before the
 * acknowledgement, so pulses count; the real chip answers that with IR7.
 *
 * Locking: LOCK_INTC guards both chips.  The framework takes it around registers;
 * inputs and the acknowledgement take it here.
 */
#include "hw/intc/i8259.h"

#include "hw/intc/irqchip.h"
#include "hw/isa/isa.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/x86/chips.h"

#define CASCADE 2

/* DS "Initialization Command Words" and "Operation Command Words" */
#define ICW1       0x10
#define ICW1_SNGL  0x02
#define ICW1_IC4   0x01
#define ICW4_SFNM  0x10
#define ICW4_AEOI  0x02
#define ICW4_UPM   0x01
#define OCW3       0x08
#define OCW3_ESMM  0x40
#define OCW3_SMM   0x20
#define OCW3_P     0x04
#define OCW3_RR    0x02
#define OCW3_RIS   0x01

typedef enum Ocw2 {
    OCW2_ROTATE_AEOI_CLEAR,
    OCW2_EOI,
    OCW2_NOP,
    OCW2_SPECIFIC_EOI,
    OCW2_ROTATE_AEOI_SET,
    OCW2_ROTATE_EOI,
    OCW2_SET_PRIORITY,
    OCW2_ROTATE_SPECIFIC_EOI,
} Ocw2;

enum { MASTER, SLAVE, CHIPS };

static const uint8_t elcr_writable[CHIPS] = { 0xf8, 0xde }; /* timer, keyboard, cascade, RTC, FPU are edges */

typedef struct I8259 {
    Device dev;
    /* Guest state */
    I8259State chip[CHIPS];
    /* Derived */
    bool output;
    MemoryRegion ports[CHIPS], elcr;
} I8259;

static I8259 *i8259(Device *dev)
{
    return (I8259 *)dev;
}

/* ---- priorities: DS "Priority Resolver" ---- */

/* How far the most urgent bit is from the highest priority; 8: none is set. */
static unsigned rank_of(const I8259State *s, uint8_t bits)
{
    unsigned rank = 0;

    while (rank < 8 && !(bits & (1u << ((s->highest + rank) & 7)))) {
        rank++;
    }
    return rank;
}

/* The input to be served now; -1: none. */
static int pending(const I8259State *s, bool master)
{
    unsigned wanted = rank_of(s, s->irr & (uint8_t)~s->imr);
    uint8_t blocking = s->isr;

    if (s->special_mask) {
        blocking &= (uint8_t)~s->imr;
    }
    if (s->special_fully_nested && master) { /* the slave may interrupt its own service */
        blocking &= (uint8_t)~(1u << CASCADE);
    }
    return wanted < rank_of(s, blocking) ? (int)((s->highest + wanted) & 7) : -1;
}

static void set_input(I8259State *s, unsigned n, bool level)
{
    uint8_t bit = (uint8_t)(1u << n);

    if (s->elcr & bit) {
        s->irr = level ? s->irr | bit : s->irr & (uint8_t)~bit;
    } else if (level && !(s->inputs & bit)) {
        s->irr |= bit;
    }
    s->inputs = level ? s->inputs | bit : s->inputs & (uint8_t)~bit;
}

static void update(I8259 *p)
{
    Accel *accel = domain_accel(p->dev.domain);
    bool output;

    if (irqchip_in_accel(p->dev.domain)) {
        return;
    }
    set_input(&p->chip[MASTER], CASCADE, pending(&p->chip[SLAVE], false) >= 0);
    output = pending(&p->chip[MASTER], true) >= 0;
    if (output != p->output) {
        p->output = output;
        if (accel && accel->class->set_extint) {
            accel->class->set_extint(accel, output, i8259_acknowledge, p);
        }
    }
}

void i8259_set_input(void *opaque, unsigned n, bool level)
{
    I8259 *p = opaque;

    lock_acquire(p->dev.lock);
    set_input(&p->chip[n / 8], n % 8, level);
    update(p);
    lock_release(p->dev.lock);
}

/* ---- acknowledgement: DS "Interrupt Sequence" ---- */

static void take(I8259State *s, unsigned n)
{
    uint8_t bit = (uint8_t)(1u << n);

    if (!s->auto_eoi) {
        s->isr |= bit;
    } else if (s->rotate_on_auto_eoi) {
        s->highest = (uint8_t)((n + 1) & 7);
    }
    if (!(s->elcr & bit)) {
        s->irr &= (uint8_t)~bit;
    }
}

/* Takes what is pending; 7 when it went away (DS: "default IR7"). */
static unsigned take_pending(I8259State *s, bool master)
{
    int n = pending(s, master);

    if (n < 0) {
        return 7;
    }
    take(s, (unsigned)n);
    return (unsigned)n;
}

static int acknowledge(I8259 *p)
{
    I8259State *master = &p->chip[MASTER], *slave = &p->chip[SLAVE];
    unsigned n = take_pending(master, true);

    if (n == CASCADE) {
        n = slave->vector_base + take_pending(slave, false);
        set_input(master, CASCADE, false); /* the slave's INT drops before it rises for the next one */
    } else {
        n += master->vector_base;
    }
    update(p);
    return (int)(n & 0xff);
}

int i8259_acknowledge(void *opaque)
{
    I8259 *p = opaque;
    int vector;

    lock_acquire(p->dev.lock);
    vector = acknowledge(p);
    lock_release(p->dev.lock);
    return vector;
}

/* ---- registers ---- */

static void write_icw1(I8259 *p, I8259State *s, uint8_t value)
{
    if (value & ICW1_SNGL) {
        guest_error(device_name(&p->dev), "single mode is not wired in a PC");
    }
    s->imr = s->isr = 0;
    s->irr = s->inputs & s->elcr; /* an edge must come again */
    s->highest = 0;
    s->read_isr = s->poll = s->special_mask = false;
    s->auto_eoi = s->rotate_on_auto_eoi = s->special_fully_nested = false;
    s->icw4_needed = value & ICW1_IC4;
    s->init_step = 1;
}

static void end_of_interrupt(I8259State *s, unsigned n, bool rotate)
{
    s->isr &= (uint8_t)~(1u << n);
    if (rotate) {
        s->highest = (uint8_t)((n + 1) & 7);
    }
}

static void write_ocw2(I8259State *s, uint8_t value)
{
    unsigned rank = rank_of(s, s->special_mask ? s->isr & (uint8_t)~s->imr : s->isr);
    unsigned n = value & 7;

    switch ((Ocw2)(value >> 5)) {
    case OCW2_ROTATE_AEOI_CLEAR:
        s->rotate_on_auto_eoi = false;
        break;
    case OCW2_ROTATE_AEOI_SET:
        s->rotate_on_auto_eoi = true;
        break;
    case OCW2_EOI:
    case OCW2_ROTATE_EOI:
        if (rank < 8) {
            end_of_interrupt(s, (s->highest + rank) & 7, value >> 5 == OCW2_ROTATE_EOI);
        }
        break;
    case OCW2_SPECIFIC_EOI:
        end_of_interrupt(s, n, false);
        break;
    case OCW2_ROTATE_SPECIFIC_EOI:
        end_of_interrupt(s, n, true);
        break;
    case OCW2_SET_PRIORITY: /* names the lowest */
        s->highest = (uint8_t)((n + 1) & 7);
        break;
    case OCW2_NOP:
        break;
    }
}

static void write_ocw3(I8259State *s, uint8_t value)
{
    if (value & OCW3_P) {
        s->poll = true;
    }
    if (value & OCW3_RR) {
        s->read_isr = value & OCW3_RIS;
    }
    if (value & OCW3_ESMM) {
        s->special_mask = value & OCW3_SMM;
    }
}

static void write_data(I8259 *p, I8259State *s, uint8_t value)
{
    switch (s->init_step) {
    case 1: /* ICW2 */
        s->vector_base = value & 0xf8;
        s->init_step = 2;
        break;
    case 2: /* ICW3 */
        s->init_step = s->icw4_needed ? 3 : 0;
        break;
    case 3: /* ICW4 */
        if (!(value & ICW4_UPM)) {
            guest_error(device_name(&p->dev), "8080 mode is not wired in a PC");
        }
        s->special_fully_nested = value & ICW4_SFNM;
        s->auto_eoi = value & ICW4_AEOI;
        s->init_step = 0;
        break;
    default:
        s->imr = value;
        break;
    }
}

static void write_port(I8259 *p, I8259State *s, uint64_t offset, uint8_t value)
{
    if (offset) {
        write_data(p, s, value);
    } else if (value & ICW1) {
        write_icw1(p, s, value);
    } else if (value & OCW3) {
        write_ocw3(s, value);
    } else {
        write_ocw2(s, value);
    }
    update(p);
}

/* DS "Poll Command": the read is the acknowledgement. */
static uint8_t read_poll(I8259 *p, I8259State *s)
{
    bool master = s == &p->chip[MASTER];
    int n = pending(s, master);

    s->poll = false;
    if (n < 0) {
        return 0;
    }
    take(s, (unsigned)n);
    if (!master) {
        set_input(&p->chip[MASTER], CASCADE, false);
    }
    update(p);
    return (uint8_t)(0x80 | n);
}

static uint8_t read_port(I8259 *p, I8259State *s, uint64_t offset)
{
    if (s->poll) {
        return read_poll(p, s);
    }
    if (offset) {
        return s->imr;
    }
    return s->read_isr ? s->isr : s->irr;
}

static uint64_t master_read(void *opaque, uint64_t offset, unsigned size)
{
    I8259 *p = opaque;

    return read_port(p, &p->chip[MASTER], offset);
}

static void master_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8259 *p = opaque;

    write_port(p, &p->chip[MASTER], offset, (uint8_t)value);
}

static uint64_t slave_read(void *opaque, uint64_t offset, unsigned size)
{
    I8259 *p = opaque;

    return read_port(p, &p->chip[SLAVE], offset);
}

static void slave_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8259 *p = opaque;

    write_port(p, &p->chip[SLAVE], offset, (uint8_t)value);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    const I8259 *p = opaque;

    return p->chip[offset].elcr;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8259 *p = opaque;
    I8259State *s = &p->chip[offset];

    s->elcr = (uint8_t)value & elcr_writable[offset];
    s->irr = (s->irr & (uint8_t)~s->elcr) | (s->inputs & s->elcr);
    update(p);
}

static const MemoryOps port_ops[CHIPS] = {
    { .read = master_read, .write = master_write, .impl_max = 1, .unaligned = true },
    { .read = slave_read, .write = slave_write, .impl_max = 1, .unaligned = true },
};
static const MemoryOps elcr_ops = { .read = elcr_read, .write = elcr_write, .impl_max = 1, .unaligned = true };

/* ---- state ---- */

static const StateDesc chip_state = {
    .name = "i8259-chip", .version = 1,
    .fields = (const StateField[]) {
        STATE_U8(I8259State, irr), STATE_U8(I8259State, imr), STATE_U8(I8259State, isr),
        STATE_U8(I8259State, inputs),
        STATE_ROW(I8259State, highest, STATE_TYPE_U8, .max = 7),
        STATE_U8(I8259State, vector_base),
        STATE_ROW(I8259State, init_step, STATE_TYPE_U8, .max = 3),
        STATE_U8(I8259State, elcr),
        STATE_BOOL(I8259State, icw4_needed), STATE_BOOL(I8259State, read_isr), STATE_BOOL(I8259State, poll),
        STATE_BOOL(I8259State, special_mask), STATE_BOOL(I8259State, auto_eoi),
        STATE_BOOL(I8259State, rotate_on_auto_eoi), STATE_BOOL(I8259State, special_fully_nested),
        STATE_END
    },
};

static bool push(I8259 *p, GError **error)
{
    const Domain *domain = p->dev.domain;

    if (!irqchip_in_accel(domain)) {
        update(p);
        return true;
    }
    return irqchip_set(domain, ACCEL_PIC_MASTER, &p->chip[MASTER], error) &&
           irqchip_set(domain, ACCEL_PIC_SLAVE, &p->chip[SLAVE], error);
}

static bool i8259_save(void *opaque, GError **error)
{
    I8259 *p = opaque;
    const Domain *domain = p->dev.domain;

    return !irqchip_in_accel(domain) || (irqchip_get(domain, ACCEL_PIC_MASTER, &p->chip[MASTER], error) &&
                                         irqchip_get(domain, ACCEL_PIC_SLAVE, &p->chip[SLAVE], error));
}

static bool i8259_loaded(void *opaque, GError **error)
{
    return push(opaque, error);
}

static const StateDesc i8259_state = {
    .name = "i8259", .version = 1, .save = i8259_save, .loaded = i8259_loaded,
    .fields = (const StateField[]) { STATE_STRUCTS(I8259, chip, &chip_state), STATE_END },
};

/* ---- for people ---- */

static bool i8259_print(Device *dev, GString *out, GError **error)
{
    const I8259 *p = i8259(dev);

    if (!i8259_save(dev, error)) { /* fetches what the accelerator holds */
        return false;
    }
    for (unsigned i = CHIPS; i-- > 0;) {
        const I8259State *s = &p->chip[i];

        g_string_append_printf(out, "pic%u: irr=%02x imr=%02x isr=%02x hprio=%u irq_base=%02x rr_sel=%u elcr=%02x "
                               "fnm=%u\n", i, s->irr, s->imr, s->isr, s->highest, s->vector_base, s->read_isr, s->elcr,
                               s->special_fully_nested);
    }
    return true;
}

/* ---- life ---- */

/* Inputs are the world's: they keep their levels. */
/* What the chips do before ICW1 is nowhere defined; here they mask everything, as firmware would leave them: a guest
 * that is booted without any, and enables interrupts first, takes no tick of the timer by a vector that nobody gave. */
static void i8259_reset(Device *dev)
{
    I8259 *p = i8259(dev);
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i < CHIPS; i++) {
        p->chip[i] = (I8259State) { .inputs = p->chip[i].inputs, .imr = 0xff };
    }
    if (!push(p, &error)) {
        log_error(error);
    }
}

static bool i8259_realize(Device *dev, GError **error)
{
    I8259 *p = i8259(dev);
    IrqFabric *irqs = domain_irqs(dev->domain);

    if (irqchip_in_accel(dev->domain)) {
        return true;
    }
    device_init_io(dev, &p->ports[MASTER], "pic", &port_ops[MASTER], 2);
    device_init_io(dev, &p->ports[SLAVE], "pic2", &port_ops[SLAVE], 2);
    device_init_io(dev, &p->elcr, "elcr", &elcr_ops, CHIPS);
    if (!isa_map_ports(dev, &p->ports[MASTER], 0x20, error) || !isa_map_ports(dev, &p->ports[SLAVE], 0xa0, error) ||
        !isa_map_ports(dev, &p->elcr, 0x4d0, error)) {
        return false;
    }
    for (unsigned n = 0; n < 16; n++) {
        if (n != CASCADE) {
            gsi_connect(irqs, n, i8259_set_input, p, n);
        }
    }
    return true;
}

static void i8259_unrealize(Device *dev)
{
    IrqFabric *irqs = domain_irqs(dev->domain);

    for (unsigned n = 0; n < 16; n++) {
        gsi_disconnect(irqs, n, i8259_set_input, dev);
    }
}

static const Property i8259_props[] = { PROP_END };

const DeviceClass i8259_class = {
    .name = "isa-i8259", .desc = "Pair of 8259A interrupt controllers", .category = "Misc",
    .size = sizeof(I8259), .bus = &isa_bus_class, .props = i8259_props, .state = &i8259_state,
    .board_only = true, .interrupt_controller = true,
    .realize = i8259_realize, .unrealize = i8259_unrealize, .reset = i8259_reset,
    .print = i8259_print,
};
