/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O APIC (Intel 82093AA data sheet, order number 290566-001, "DS"), with the
 * EOI register of version 0x20 (ICH9 data sheet 13.5).
 *
 * A pin's message leaves as an MSI (SDM volume 3, 11.11), which the accelerator
 * delivers; it is also told what each pin would send, so that it can hand out the
 * EOIs of level-triggered vectors.
 *
 * Left out: the arbitration bus (its ID reads as the APIC ID), delivery status (a
 * message is never held), the polarity bit (it is stored: lines carry "asserted").
 *
 * Locking: LOCK_INTC.  The framework takes it around registers; pins and EOIs take
 * it here.
 */
#include "hw/intc/ioapic.h"

#include "hw/intc/irqchip.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/x86/chips.h"

/* DS 3.1 */
#define IOREGSEL  0x00
#define IOWIN     0x10
#define IOEOI     0x40

/* DS 3.2 */
#define IOAPICID   0x00
#define IOAPICVER  0x01
#define IOAPICARB  0x02
#define IOREDTBL   0x10
#define ID_SHIFT   24
#define ID_MASK    0x0f
#define VERSION    (0x20 | (IOAPIC_PINS - 1) << 16)

/* DS 3.2.4 */
#define RTE_VECTOR      UINT64_C(0xff)
#define RTE_MODE_SHIFT  8
#define RTE_MODE        UINT64_C(0x700)
#define RTE_LOGICAL     (UINT64_C(1) << 11)
#define RTE_REMOTE_IRR  (UINT64_C(1) << 14)
#define RTE_LOW         (UINT64_C(1) << 13)
#define RTE_LEVEL       (UINT64_C(1) << 15)
#define RTE_MASKED      (UINT64_C(1) << 16)
#define RTE_DEST_SHIFT  56
#define RTE_WRITABLE    UINT64_C(0xff0000000001afff)

enum { MODE_FIXED, MODE_LOWEST, MODE_SMI, MODE_NMI = 4, MODE_INIT, MODE_EXTINT = 7 };

/* SDM volume 3, 11.11 */
#define MSI_ADDRESS      UINT64_C(0xfee00000)
#define MSI_DEST_SHIFT   12
#define MSI_HINT         (1u << 3)
#define MSI_LOGICAL      (1u << 2)
#define MSI_ASSERT       (1u << 14)
#define MSI_LEVEL        (1u << 15)

typedef struct Ioapic {
    Device dev;
    /* Configuration */
    uint64_t base;
    /* Guest state */
    IoapicState s;
    /* Derived */
    MemoryRegion region;
} Ioapic;

static Ioapic *ioapic(Device *dev)
{
    return (Ioapic *)dev;
}

/* ---- pins ---- */

static unsigned mode_of(uint64_t rte)
{
    return (unsigned)((rte & RTE_MODE) >> RTE_MODE_SHIFT);
}

/* SMI, NMI, INIT and ExtINT are edges whatever the trigger bit says (DS 3.2.4). */
static bool is_level(uint64_t rte)
{
    return (rte & RTE_LEVEL) && (mode_of(rte) == MODE_FIXED || mode_of(rte) == MODE_LOWEST);
}

static MsiMessage message_of(uint64_t rte)
{
    MsiMessage m = {
        .address = MSI_ADDRESS | (rte >> RTE_DEST_SHIFT) << MSI_DEST_SHIFT,
        .data = (uint32_t)(rte & (RTE_VECTOR | RTE_MODE)) | MSI_ASSERT,
    };

    if (rte & RTE_LOGICAL) {
        m.address |= MSI_LOGICAL;
    }
    if (mode_of(rte) == MODE_LOWEST) {
        m.address |= MSI_HINT;
    }
    if (is_level(rte)) {
        m.data |= MSI_LEVEL;
    }
    return m;
}

/* Sends what the pin has to send, if it may. */
static void service(Ioapic *io, unsigned pin)
{
    uint64_t rte = io->s.redirection[pin];
    uint32_t bit = UINT32_C(1) << pin;

    if (!(io->s.irr & bit) || (rte & RTE_MASKED) || (is_level(rte) && (rte & RTE_REMOTE_IRR))) {
        return;
    }
    if (is_level(rte)) {
        io->s.redirection[pin] |= RTE_REMOTE_IRR;
    } else {
        io->s.irr &= ~bit;
    }
    msi_send(domain_irqs(io->dev.domain), message_of(rte));
}

static void tell_accel(Ioapic *io, unsigned pin)
{
    uint64_t rte = io->s.redirection[pin];

    irq_pin_set(domain_irqs(io->dev.domain), pin, message_of(rte), rte & RTE_MASKED);
}

void ioapic_set_input(void *opaque, unsigned pin, bool level)
{
    Ioapic *io = opaque;
    uint32_t bit = UINT32_C(1) << pin;

    lock_acquire(io->dev.lock);
    if (is_level(io->s.redirection[pin])) {
        io->s.irr = level ? io->s.irr | bit : io->s.irr & ~bit;
    } else if (level && !(io->s.inputs & bit) && !(io->s.redirection[pin] & RTE_MASKED)) {
        io->s.irr |= bit; /* DS 3.2.4: an edge at a masked pin is lost */
    }
    io->s.inputs = level ? io->s.inputs | bit : io->s.inputs & ~bit;
    service(io, pin);
    lock_release(io->dev.lock);
}

static void end_of_interrupt(Ioapic *io, uint8_t vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *rte = &io->s.redirection[pin];

        if (is_level(*rte) && (*rte & RTE_REMOTE_IRR) && (*rte & RTE_VECTOR) == vector) {
            *rte &= ~RTE_REMOTE_IRR;
            service(io, pin);
        }
    }
}

void ioapic_eoi(void *opaque, uint8_t vector)
{
    Ioapic *io = opaque;

    lock_acquire(io->dev.lock);
    end_of_interrupt(io, vector);
    lock_release(io->dev.lock);
}

/* ---- registers ---- */

static uint32_t read_indirect(const Ioapic *io)
{
    uint32_t n = io->s.select - IOREDTBL;

    switch (io->s.select) {
    case IOAPICID:
    case IOAPICARB:
        return io->s.id << ID_SHIFT;
    case IOAPICVER:
        return VERSION;
    default:
        if (n / 2 < IOAPIC_PINS) {
            return (uint32_t)(io->s.redirection[n / 2] >> (n % 2 ? 32 : 0));
        }
        return UINT32_MAX;
    }
}

static void write_redirection(Ioapic *io, unsigned pin, uint64_t value, uint64_t mask)
{
    uint64_t *rte = &io->s.redirection[pin];
    uint32_t bit = UINT32_C(1) << pin;

    mask &= RTE_WRITABLE;
    *rte = (*rte & ~mask) | (value & mask);
    if (is_level(*rte)) {
        io->s.irr = (io->s.irr & ~bit) | (io->s.inputs & bit);
    } else {
        *rte &= ~RTE_REMOTE_IRR; /* how Linux frees a stuck pin of version 0x11 */
        io->s.irr &= ~bit;
    }
    tell_accel(io, pin);
    service(io, pin);
}

static void write_indirect(Ioapic *io, uint32_t value)
{
    uint32_t n = io->s.select - IOREDTBL;

    if (io->s.select == IOAPICID) {
        io->s.id = value >> ID_SHIFT & ID_MASK;
    } else if (n / 2 < IOAPIC_PINS) {
        unsigned shift = n % 2 ? 32 : 0;

        write_redirection(io, n / 2, (uint64_t)value << shift, UINT64_C(0xffffffff) << shift);
    } else {
        guest_error(device_name(&io->dev), "register 0x%02x is not writable", io->s.select);
    }
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    const Ioapic *io = opaque;

    switch (offset) {
    case IOREGSEL:
        return io->s.select;
    case IOWIN:
        return read_indirect(io);
    default:
        return 0;
    }
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Ioapic *io = opaque;

    switch (offset) {
    case IOREGSEL: /* its bits 7-0 alone count */
        io->s.select = value & 0xff;
        break;
    case IOWIN:
        if (size == 4) {
            write_indirect(io, (uint32_t)value);
        } else {
            guest_error(device_name(&io->dev), "IOWIN takes 32 bits, not %u", 8 * size);
        }
        break;
    case IOEOI:
        end_of_interrupt(io, (uint8_t)value);
        break;
    default:
        guest_error(device_name(&io->dev), "write to reserved offset 0x%x", (unsigned)offset);
        break;
    }
}

static const MemoryOps ioapic_ops = {
    .read = ioapic_read, .write = ioapic_write, .max = 4, .impl_min = 4, .impl_max = 4,
};

/* ---- state ---- */

static bool push(Ioapic *io, GError **error)
{
    if (irqchip_in_accel(io->dev.domain)) {
        return irqchip_set(io->dev.domain, ACCEL_IOAPIC, &io->s, error);
    }
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        tell_accel(io, pin);
    }
    return true;
}

static bool ioapic_save(void *opaque, GError **error)
{
    Ioapic *io = opaque;

    return !irqchip_in_accel(io->dev.domain) || irqchip_get(io->dev.domain, ACCEL_IOAPIC, &io->s, error);
}

/* What was sent before is in the LAPICs' state; what waits goes out when its cause is seen again. */
static bool ioapic_loaded(void *opaque, GError **error)
{
    return push(opaque, error);
}

static const StateDesc redirection_table = {
    .name = "ioapic-registers", .version = 1,
    .fields = (const StateField[]) {
        STATE_ROW(IoapicState, select, STATE_TYPE_U32, .max = 0xff),
        STATE_ROW(IoapicState, id, STATE_TYPE_U32, .max = ID_MASK),
        STATE_ROW(IoapicState, irr, STATE_TYPE_U32, .max = 0xffffff),
        STATE_ROW(IoapicState, inputs, STATE_TYPE_U32, .max = 0xffffff),
        STATE_ARRAY(IoapicState, redirection, STATE_TYPE_U64),
        STATE_END
    },
};

static const StateDesc ioapic_state = {
    .name = "ioapic", .version = 1, .save = ioapic_save, .loaded = ioapic_loaded,
    .fields = (const StateField[]) { STATE_STRUCT(Ioapic, s, &redirection_table), STATE_END },
};

/* ---- for people ---- */

static void print_pin(uint64_t rte, unsigned pin, GString *out)
{
    static const char *const modes[] = { "fixed", "lowpri", "smi", "...", "nmi", "init", "...", "extint" };

    g_string_append_printf(out, "  pin %-2u 0x%016" G_GINT64_MODIFIER "x dest=%x vec=%-3u %s %-5s %-6s %-6s %s\n", pin,
                           rte, (unsigned)(rte >> RTE_DEST_SHIFT), (unsigned)(rte & RTE_VECTOR),
                           rte & RTE_LOW ? "active-lo" : "active-hi", rte & RTE_LEVEL ? "level" : "edge",
                           rte & RTE_MASKED ? "masked" : "", modes[mode_of(rte)],
                           rte & RTE_LOGICAL ? "logical" : "physical");
}

static void print_pins(const char *what, uint32_t pins, GString *out)
{
    g_string_append_printf(out, "  %-8s", what);
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        if (pins & UINT32_C(1) << pin) {
            g_string_append_printf(out, " %u", pin);
        }
    }
    g_string_append(out, pins ? "\n" : " (none)\n");
}

static bool ioapic_print(Device *dev, GString *out, GError **error)
{
    const Ioapic *io = ioapic(dev);
    uint32_t remote = 0;

    if (!ioapic_save(dev, error)) { /* fetches what the accelerator holds */
        return false;
    }
    g_string_append_printf(out, "ioapic0: ver=0x%02x id=0x%02x sel=0x%02x", VERSION & 0xff, io->s.id, io->s.select);
    if (io->s.select >= IOREDTBL) {
        g_string_append_printf(out, " (redir[%u])", (io->s.select - IOREDTBL) / 2);
    }
    g_string_append_c(out, '\n');
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t rte = io->s.redirection[pin];

        print_pin(rte, pin, out);
        remote |= rte & RTE_REMOTE_IRR ? UINT32_C(1) << pin : 0;
    }
    print_pins("IRR", io->s.irr, out);
    print_pins("Remote IRR", remote, out);
    return true;
}

/* ---- life ---- */

/* Inputs are the world's: they keep their levels. */
static void ioapic_reset(Device *dev)
{
    Ioapic *io = ioapic(dev);
    g_autoptr(GError) error = NULL;

    io->s = (IoapicState) { .base = io->base, .inputs = io->s.inputs };
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        io->s.redirection[pin] = RTE_MASKED;
    }
    if (!push(io, &error)) {
        log_error(error);
    }
}

/* The IOAPIC pin of a GSI: the timer's is 2 (vmm/irq.h). */
static unsigned pin_of(unsigned gsi)
{
    return gsi == 0 ? 2 : gsi;
}

static bool ioapic_realize(Device *dev, GError **error)
{
    Ioapic *io = ioapic(dev);
    IrqFabric *irqs = domain_irqs(dev->domain);
    Accel *accel = domain_accel(dev->domain);

    if (irqchip_in_accel(dev->domain)) {
        return true;
    }
    if (io->base % IOAPIC_WINDOW) {
        return error_set(error, "'%s': base=0x%" G_GINT64_MODIFIER "x is not a multiple of 4 KiB", device_name(dev),
                         io->base);
    }
    device_init_io(dev, &io->region, "ioapic", &ioapic_ops, IOAPIC_WINDOW);
    memory_add(domain_memory_root(dev->domain), io->base, &io->region, 1);
    for (unsigned gsi = 0; gsi < IRQ_GSIS; gsi++) {
        if (gsi != 2) {
            gsi_connect(irqs, gsi, ioapic_set_input, io, pin_of(gsi));
        }
    }
    if (accel && accel->class->set_eoi_handler) {
        accel->class->set_eoi_handler(accel, ioapic_eoi, io);
    }
    return true;
}

static void ioapic_unrealize(Device *dev)
{
    IrqFabric *irqs = domain_irqs(dev->domain);
    Accel *accel = domain_accel(dev->domain);

    if (irqchip_in_accel(dev->domain)) {
        return;
    }
    if (accel && accel->class->set_eoi_handler) {
        accel->class->set_eoi_handler(accel, NULL, NULL);
    }
    for (unsigned gsi = 0; gsi < IRQ_GSIS; gsi++) {
        gsi_disconnect(irqs, gsi, ioapic_set_input, dev);
    }
}

static const Property ioapic_props[] = {
    PROP_SIZE("base", Ioapic, base, IOAPIC_ADDRESS, .help = "Guest-physical address of its registers"),
    PROP_END
};

const DeviceClass ioapic_class = {
    .name = "ioapic", .desc = "82093AA I/O APIC", .category = "Misc",
    .size = sizeof(Ioapic), .props = ioapic_props, .state = &ioapic_state,
    .board_only = true, .interrupt_controller = true,
    .realize = ioapic_realize, .unrealize = ioapic_unrealize, .reset = ioapic_reset,
    .print = ioapic_print,
};
