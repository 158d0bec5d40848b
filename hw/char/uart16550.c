/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-serial: PC16550D serial port on the ISA bus (National Semiconductor data sheet
 * TL/C/8652, "DS" below).
 *
 * The line has no speed: a byte written to THR is gone when the host took it, and
 * received bytes below the trigger level count as timed out at once.  Where the
 * host takes nothing for a while, bytes wait in the transmit FIFO and THRE stays
 * clear; the vCPU never waits.
 *
 * Not modelled: line errors but break and overrun, DMA modes, the OUT2 gate of PC
 * adapter cards, modem lines of the host (CTS, DSR and DCD are always on).
 *
 * Locking: the bus and the chardev hold the device's lock around every hook.
 */
#include <string.h>

#include "hw/acpi/aml.h"
#include "hw/isa/isa.h"
#include "vmm/chardev.h"
#include "vmm/error.h"

#define PORTS 8
#define FIFO_DEPTH 16
#define COM_PORTS 4

/* DS, "Registers" */
enum { IER_RDA = 1 << 0, IER_THRE = 1 << 1, IER_RLS = 1 << 2, IER_MS = 1 << 3 };
enum {
    IIR_MS = 0x00, IIR_NONE = 0x01, IIR_THRE = 0x02, IIR_RDA = 0x04, IIR_RLS = 0x06, IIR_TIMEOUT = 0x0c,
    IIR_FIFOS = 0xc0,
};
enum { FCR_ENABLE = 1 << 0, FCR_CLEAR_RX = 1 << 1, FCR_CLEAR_TX = 1 << 2, FCR_TRIGGER = 3 << 6 };
enum { LCR_BREAK = 1 << 6, LCR_DLAB = 1 << 7 };
enum { MCR_DTR = 1 << 0, MCR_RTS = 1 << 1, MCR_OUT1 = 1 << 2, MCR_OUT2 = 1 << 3, MCR_LOOP = 1 << 4 };
enum { LSR_DR = 1 << 0, LSR_OE = 1 << 1, LSR_BI = 1 << 4, LSR_THRE = 1 << 5, LSR_TEMT = 1 << 6 };
enum {
    MSR_DCTS = 1 << 0, MSR_DDSR = 1 << 1, MSR_TERI = 1 << 2, MSR_DDCD = 1 << 3,
    MSR_CTS = 1 << 4, MSR_DSR = 1 << 5, MSR_RI = 1 << 6, MSR_DCD = 1 << 7,
};
#define MSR_DELTAS 0x0f
#define MSR_LINES  0xf0

typedef struct Uart {
    Device dev;
    /* Configuration */
    Chardev *chr; /* NULL: nobody listens */
    int32_t index, iobase, irq_number; /* -1: as the next COM port has it */
    IrqLine *irq;
    MemoryRegion ports;
    /* Guest state */
    uint8_t ier, fcr, lcr, mcr, lsr, msr, scr, dll, dlm;
    bool thre_pending;
    uint8_t rx[FIFO_DEPTH], tx[FIFO_DEPTH];
    uint32_t rx_count, tx_count;
    /* Derived: recomputed by update(), never saved. */
    uint8_t iir;
} Uart;

static Uart *uart(Device *dev)
{
    return (Uart *)dev;
}

/* ---- interrupts: DS, "Interrupt Identification Register", in falling priority ---- */
static unsigned trigger_level(const Uart *u)
{
    static const uint8_t level[] = { 1, 4, 8, 14 };

    return u->fcr & FCR_ENABLE ? level[(u->fcr & FCR_TRIGGER) >> 6] : 1;
}

static void update(Uart *u)
{
    if ((u->ier & IER_RLS) && (u->lsr & (LSR_OE | LSR_BI))) {
        u->iir = IIR_RLS;
    } else if ((u->ier & IER_RDA) && u->rx_count) {
        u->iir = u->rx_count >= trigger_level(u) ? IIR_RDA : IIR_TIMEOUT;
    } else if ((u->ier & IER_THRE) && u->thre_pending) {
        u->iir = IIR_THRE;
    } else if ((u->ier & IER_MS) && (u->msr & MSR_DELTAS)) {
        u->iir = IIR_MS;
    } else {
        u->iir = IIR_NONE;
    }
    irq_set(u->irq, u->iir != IIR_NONE);
}

/* ---- receiver ---- */
static unsigned rx_depth(const Uart *u)
{
    return u->fcr & FCR_ENABLE ? FIFO_DEPTH : 1;
}

static void rx_put(Uart *u, uint8_t byte)
{
    if (u->rx_count >= rx_depth(u)) {
        u->lsr |= LSR_OE;
        if (u->fcr & FCR_ENABLE) {
            return; /* the FIFO keeps what it has */
        }
        u->rx_count = 0;
    }
    u->rx[u->rx_count++] = byte;
    u->lsr |= LSR_DR;
}

static uint64_t rbr_read(Device *dev)
{
    Uart *u = uart(dev);
    uint8_t byte = u->rx[0];

    if (!u->rx_count) {
        return 0;
    }
    memmove(u->rx, u->rx + 1, --u->rx_count);
    if (!u->rx_count) {
        u->lsr &= ~LSR_DR;
        u->rx[0] = 0;
    }
    if (u->chr && !(u->mcr & MCR_LOOP)) {
        chardev_accept_input(u->chr);
    }
    update(u);
    return byte;
}

static size_t uart_can_receive(void *opaque)
{
    Uart *u = opaque;

    return u->mcr & MCR_LOOP ? 0 : rx_depth(u) - MIN(u->rx_count, rx_depth(u));
}

static void uart_receive(void *opaque, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        rx_put(opaque, data[i]);
    }
    update(opaque);
}

static void uart_event(void *opaque, ChardevEvent event)
{
    Uart *u = opaque;

    if (event == CHARDEV_BREAK && !(u->mcr & MCR_LOOP)) {
        rx_put(u, 0);
        u->lsr |= LSR_BI;
        update(u);
    }
}

/* ---- transmitter ---- */
static unsigned tx_depth(const Uart *u)
{
    return u->fcr & FCR_ENABLE ? FIFO_DEPTH : 1;
}

/* Hands the host what it takes; an emptied FIFO is an event. */
static void transmit(Uart *u)
{
    size_t taken = u->tx_count;

    if (u->chr && u->tx_count) {
        taken = chardev_write(u->chr, u->tx, u->tx_count);
    }
    memmove(u->tx, u->tx + taken, u->tx_count - taken);
    u->tx_count -= (uint32_t)taken;
    memset(u->tx + u->tx_count, 0, taken);
    if (u->tx_count) {
        chardev_want_write(u->chr);
    } else if (!(u->lsr & LSR_THRE)) {
        u->lsr |= LSR_THRE | LSR_TEMT;
        u->thre_pending = true;
    }
}

static void uart_writable(void *opaque)
{
    transmit(opaque);
    update(opaque);
}

static void thr_write(Device *dev, uint64_t value)
{
    Uart *u = uart(dev);

    u->thre_pending = false;
    u->lsr &= ~(LSR_THRE | LSR_TEMT);
    if (u->mcr & MCR_LOOP) { /* DS, "Modem Control Register": the transmitter feeds the receiver */
        rx_put(u, (uint8_t)value);
        u->lsr |= LSR_THRE | LSR_TEMT;
        u->thre_pending = true;
    } else {
        if (u->tx_count >= tx_depth(u)) { /* written although THRE was clear: the newest byte is replaced */
            u->tx_count = tx_depth(u) - 1;
        }
        u->tx[u->tx_count++] = (uint8_t)value;
        transmit(u);
    }
    update(u);
}

/* ---- control ---- */
static void ier_wrote(Device *dev, uint64_t old)
{
    Uart *u = uart(dev);

    if ((u->ier & IER_THRE) && !(old & IER_THRE) && (u->lsr & LSR_THRE)) {
        u->thre_pending = true; /* enabling it while THR is empty interrupts at once */
    }
    update(u);
}

static uint64_t iir_read(Device *dev)
{
    Uart *u = uart(dev);
    uint8_t iir = u->iir;

    if (iir == IIR_THRE) { /* reading it is the acknowledgement */
        u->thre_pending = false;
        update(u);
    }
    return iir | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static void fcr_write(Device *dev, uint64_t value)
{
    Uart *u = uart(dev);
    bool toggled = (value ^ u->fcr) & FCR_ENABLE;

    if (toggled || (value & FCR_CLEAR_RX)) {
        u->rx_count = 0;
        memset(u->rx, 0, sizeof(u->rx));
        u->lsr &= ~(LSR_DR | LSR_BI);
    }
    if (toggled || (value & FCR_CLEAR_TX)) {
        u->tx_count = 0;
        memset(u->tx, 0, sizeof(u->tx));
        u->thre_pending = u->thre_pending || !(u->lsr & LSR_THRE);
        u->lsr |= LSR_THRE | LSR_TEMT;
    }
    u->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_TRIGGER) : 0;
    if (u->chr) {
        chardev_accept_input(u->chr);
    }
    update(u);
}

static void lcr_wrote(Device *dev, uint64_t old)
{
    Uart *u = uart(dev);

    if ((u->lcr & LCR_BREAK) && !(old & LCR_BREAK) && u->chr && !(u->mcr & MCR_LOOP)) {
        chardev_send_break(u->chr);
    }
}

/* What the modem status lines show: the other end, which is always there, or our own outputs. */
static uint8_t modem_lines(const Uart *u)
{
    if (!(u->mcr & MCR_LOOP)) {
        return MSR_CTS | MSR_DSR | MSR_DCD;
    }
    return (uint8_t)((u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
                     (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void mcr_wrote(Device *dev, uint64_t old)
{
    Uart *u = uart(dev);
    uint8_t lines = modem_lines(u), changed = lines ^ (u->msr & MSR_LINES);
    uint8_t deltas = u->msr & MSR_DELTAS;

    /* TERI is the trailing edge of RI alone. */
    deltas |= (changed & (MSR_CTS | MSR_DSR | MSR_DCD)) >> 4 | (changed & ~lines & MSR_RI ? MSR_TERI : 0);
    u->msr = lines | deltas;
    if (u->chr && (old & MCR_LOOP) && !(u->mcr & MCR_LOOP)) {
        chardev_accept_input(u->chr);
    }
    update(u);
}

static void lsr_read_done(Device *dev)
{
    Uart *u = uart(dev);

    u->lsr &= ~(LSR_OE | LSR_BI);
    update(u);
}

static void msr_read_done(Device *dev)
{
    Uart *u = uart(dev);

    u->msr &= ~MSR_DELTAS;
    update(u);
}

/* DS, "Summary of Registers"; bank 1 is LCR.DLAB set. */
static unsigned uart_bank(const Device *dev)
{
    return ((const Uart *)dev)->lcr & LCR_DLAB ? 1 : 0;
}

static const Reg uart_regs[] = {
    { "RBR", 0, BANK(0),  .size = 1, .read = rbr_read },
    { "THR", 0, BANK(0),  .size = 1, .write = thr_write },
    { "DLL", 0, BANK(1),  REG_FIELD(Uart, dll), .reset = 0x0c, .writable = 0xff },
    { "IER", 1, BANK(0),  REG_FIELD(Uart, ier), .writable = 0x0f, .wrote = ier_wrote },
    { "DLM", 1, BANK(1),  REG_FIELD(Uart, dlm), .writable = 0xff },
    { "IIR", 2, BANK_ANY, .size = 1, .read = iir_read },
    { "FCR", 2, BANK_ANY, .size = 1, .write = fcr_write },
    { "LCR", 3, BANK_ANY, REG_FIELD(Uart, lcr), .writable = 0xff, .wrote = lcr_wrote },
    { "MCR", 4, BANK_ANY, REG_FIELD(Uart, mcr), .reset = MCR_OUT2, .writable = 0x1f, .wrote = mcr_wrote },
    { "LSR", 5, BANK_ANY, REG_FIELD(Uart, lsr), .reset = LSR_THRE | LSR_TEMT, .read_done = lsr_read_done },
    { "MSR", 6, BANK_ANY, REG_FIELD(Uart, msr), .reset = MSR_CTS | MSR_DSR | MSR_DCD, .read_done = msr_read_done },
    { "SCR", 7, BANK_ANY, REG_FIELD(Uart, scr), .writable = 0xff },
};

/* ---- lifecycle ---- */
typedef struct IndexSearch {
    const Device *self;
    uint32_t used;
} IndexSearch;

static bool note_index(Device *dev, void *opaque)
{
    IndexSearch *s = opaque;

    if (dev->class == s->self->class && dev != s->self && uart(dev)->index < COM_PORTS) {
        s->used |= 1u << uart(dev)->index;
    }
    return true;
}

/* COM1 to COM4: the first that no other port has. */
static bool choose_com(Uart *u, GError **error)
{
    static const uint16_t base[COM_PORTS] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };
    static const uint8_t irq[COM_PORTS] = { 4, 3, 4, 3 };
    IndexSearch s = { .self = &u->dev };

    if (u->index < 0) {
        device_each(u->dev.domain, note_index, &s);
        u->index = __builtin_ctz(~s.used);
    }
    if (u->index >= COM_PORTS && (u->iobase < 0 || u->irq_number < 0)) {
        error_set(error, "a PC has %d serial ports with addresses of their own, this would be number %d", COM_PORTS,
                  u->index + 1);
        return error_hint(error, "Give it iobase= and irq=.");
    }
    u->iobase = u->iobase < 0 ? base[u->index] : u->iobase;
    u->irq_number = u->irq_number < 0 ? irq[u->index] : u->irq_number;
    return true;
}

static void uart_unrealize(Device *dev)
{
    Uart *u = uart(dev);

    if (u->chr) {
        chardev_detach(u->chr, u);
    }
    isa_disconnect_irq(dev, (unsigned)u->irq_number, g_steal_pointer(&u->irq));
}

static bool uart_realize(Device *dev, GError **error)
{
    Uart *u = uart(dev);
    ChardevFrontend fe = {
        .lock = dev->lock,
        .can_receive = uart_can_receive,
        .receive = uart_receive,
        .event = uart_event,
        .writable = uart_writable,
        .opaque = u,
    };

    if (!choose_com(u, error)) {
        return false;
    }
    device_init_regs(dev, &u->ports, "serial", &dev->class->regs, PORTS);
    u->irq = isa_connect_irq(dev, (unsigned)u->irq_number, error);
    if (!u->irq) {
        return false;
    }
    if (!isa_map_ports(dev, &u->ports, (uint32_t)u->iobase, error) || (u->chr && !chardev_attach(u->chr, &fe, error))) {
        isa_disconnect_irq(dev, (unsigned)u->irq_number, g_steal_pointer(&u->irq));
        return false;
    }
    return true;
}

static void uart_reset(Device *dev)
{
    Uart *u = uart(dev);

    u->fcr = 0;
    u->thre_pending = false;
    u->rx_count = u->tx_count = 0;
    memset(u->rx, 0, sizeof(u->rx));
    memset(u->tx, 0, sizeof(u->tx));
    update(u);
    if (u->chr) {
        chardev_accept_input(u->chr);
    }
}

static bool uart_loaded(void *struct_, GError **error)
{
    Uart *u = struct_;

    update(u);
    if (u->chr) {
        chardev_accept_input(u->chr);
        if (u->tx_count) {
            chardev_want_write(u->chr);
        }
    }
    return true;
}

static const StateDesc uart_state = {
    .name = "uart16550",
    .version = 1,
    .loaded = uart_loaded,
    .fields = (const StateField[]) {
        STATE_U8(Uart, ier),
        STATE_U8(Uart, fcr),
        STATE_U8(Uart, lcr),
        STATE_U8(Uart, mcr),
        STATE_U8(Uart, lsr),
        STATE_U8(Uart, msr),
        STATE_U8(Uart, scr),
        STATE_U8(Uart, dll),
        STATE_U8(Uart, dlm),
        STATE_BOOL(Uart, thre_pending),
        STATE_BYTES(Uart, rx),
        STATE_BYTES(Uart, tx),
        STATE_ROW(Uart, rx_count, STATE_TYPE_U32, .max = FIFO_DEPTH),
        STATE_ROW(Uart, tx_count, STATE_TYPE_U32, .max = FIFO_DEPTH),
        STATE_END,
    },
};

static void uart_aml(Device *dev, Aml *aml)
{
    Uart *u = uart(dev);
    g_autofree char *name = g_strdup_printf("COM%X", (unsigned)u->index + 1);

    if (u->index >= 15) {
        return;
    }
    aml_begin_device(aml, name);
    aml_name_eisa(aml, "_HID", "PNP0501");
    aml_name_int(aml, "_UID", (uint64_t)u->index + 1);
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_res_io(aml, (uint16_t)u->iobase, (uint16_t)u->iobase, 8, PORTS);
    aml_res_irq(aml, (uint8_t)u->irq_number);
    aml_end(aml);
    aml_end(aml);
}

static const Property uart_props[] = {
    PROP_INT("index", Uart, index, -1, .min = -1, .max = 31, .help = "Which COM port it is, from 0 on; -1: the next"),
    PROP_INT("iobase", Uart, iobase, -1, .min = -1, .max = 0xfff8, .help = "First port; -1: that of the COM port"),
    PROP_INT("irq", Uart, irq_number, -1, .min = -1, .max = 15, .help = "Interrupt; -1: that of the COM port"),
    PROP_LINK("chardev", Uart, chr, &chardev_link, .help = "Where the bytes go and come from"),
    PROP_END,
};

const DeviceClass isa_serial_class = {
    .name = "isa-serial",
    .desc = "16550A serial port",
    .category = "Input",
    .bus = &isa_bus_class,
    .size = sizeof(Uart),
    .props = uart_props,
    .state = &uart_state,
    .regs = { .regs = uart_regs, .n = G_N_ELEMENTS(uart_regs), .bank = uart_bank },
    .realize = uart_realize,
    .unrealize = uart_unrealize,
    .reset = uart_reset,
    .aml = uart_aml,
};
