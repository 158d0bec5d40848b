/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i8042: keyboard controller of the PC/AT with a PS/2 keyboard and mouse on it
 * (IBM PS/2 Hardware Interface Technical Reference, keyboard and auxiliary device
 * controller).  The devices themselves are in ps2.c.
 *
 * The controller has one output buffer for two devices; what they send waits in a
 * queue of its own each.
 *
 * Not modelled: password commands, the A20 gate (always open; its bit is kept).
 *
 * Locking: the bus holds the device's lock around the hooks.
 */
#include <string.h>

#include "hw/acpi/aml.h"
#include "hw/input/ps2.h"
#include "hw/isa/isa.h"
#include "vmm/domain.h"
#include "vmm/error.h"

#define PORT_DATA 0x60
#define PORT_COMMAND 0x64
#define KEYBOARD_IRQ 1
#define MOUSE_IRQ 12

enum {
    STATUS_OBF = 1 << 0, STATUS_SYSTEM = 1 << 2, STATUS_COMMAND = 1 << 3, STATUS_UNLOCKED = 1 << 4,
    STATUS_MOUSE_OBF = 1 << 5,
};
enum {
    MODE_KBD_INT = 1 << 0, MODE_MOUSE_INT = 1 << 1, MODE_SYSTEM = 1 << 2, MODE_DISABLE_KBD = 1 << 4,
    MODE_DISABLE_MOUSE = 1 << 5, MODE_TRANSLATE = 1 << 6,
};
enum { OUTPUT_NO_RESET = 1 << 0, OUTPUT_A20 = 1 << 1, OUTPUT_OBF = 1 << 4, OUTPUT_MOUSE_OBF = 1 << 5 };

/* Controller commands: port 64h */
enum {
    CMD_READ_MODE = 0x20, CMD_WRITE_MODE = 0x60, CMD_DISABLE_MOUSE = 0xa7, CMD_ENABLE_MOUSE = 0xa8,
    CMD_TEST_MOUSE = 0xa9, CMD_SELF_TEST = 0xaa, CMD_TEST_KBD = 0xab, CMD_DISABLE_KBD = 0xad, CMD_ENABLE_KBD = 0xae,
    CMD_READ_INPUT = 0xc0,
    CMD_READ_OUTPUT = 0xd0, CMD_WRITE_OUTPUT = 0xd1, CMD_WRITE_KBD_OBUF = 0xd2, CMD_WRITE_MOUSE_OBUF = 0xd3,
    CMD_WRITE_MOUSE = 0xd4, CMD_PULSE = 0xf0, CMD_RESET = 0xfe,
};

typedef struct I8042 {
    Device dev;
    IrqLine *kbd_irq, *mouse_irq;
    MemoryRegion data_port, command_port;
    /* Guest state */
    uint8_t mode, output_port, command; /* command: whose parameter comes next on port 60h; 0: none */
    bool last_was_command;
    uint8_t data;                       /* the output buffer */
    uint8_t source;                     /* of it: enum Source */
    Ps2Queue own;                       /* the controller's answers */
    Ps2 kbd, mouse;
} I8042;

enum Source { SOURCE_NONE, SOURCE_OWN, SOURCE_KBD, SOURCE_MOUSE };

static I8042 *i8042(Device *dev)
{
    return (I8042 *)dev;
}

/* ---- the output buffer ---- */
static void update_irqs(I8042 *k)
{
    bool mouse = k->source == SOURCE_MOUSE, full = k->source != SOURCE_NONE;

    irq_set(k->kbd_irq, full && !mouse && (k->mode & MODE_KBD_INT));
    irq_set(k->mouse_irq, full && mouse && (k->mode & MODE_MOUSE_INT));
}

/* Keyboard scan set 2 to 1 is for key codes; replies to commands pass as they are. */
static void fill_output(I8042 *k)
{
    if (k->source != SOURCE_NONE) {
        return;
    }
    if (k->own.n) {
        k->source = SOURCE_OWN;
        k->data = ps2_queue_take(&k->own);
    } else if (k->kbd.queue.n && !(k->mode & MODE_DISABLE_KBD)) {
        k->source = SOURCE_KBD;
        k->data = ps2_queue_take(&k->kbd.queue);
        k->kbd.last = k->data;
    } else if (k->mouse.queue.n && !(k->mode & MODE_DISABLE_MOUSE)) {
        k->source = SOURCE_MOUSE;
        k->data = ps2_queue_take(&k->mouse.queue);
        k->mouse.last = k->data;
    }
    update_irqs(k);
}

static void answer(I8042 *k, uint8_t byte)
{
    ps2_queue_put(&k->own, byte);
}

/* ---- port 60h ---- */
/* The line from the device is slow: its next byte is a new edge of the interrupt. */
static void next_byte(Device *dev)
{
    fill_output(i8042(dev));
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
    I8042 *k = opaque;

    k->source = SOURCE_NONE;
    update_irqs(k);
    if (k->own.n || k->kbd.queue.n || k->mouse.queue.n) {
        device_post(&k->dev, next_byte);
    }
    return k->data; /* stays to be read again while nothing follows it */
}

static void output_port_write(I8042 *k, uint8_t value)
{
    k->output_port = (uint8_t)(value | OUTPUT_NO_RESET) & (OUTPUT_NO_RESET | OUTPUT_A20);
    if (!(value & OUTPUT_NO_RESET)) {
        domain_request_reset(k->dev.domain, REASON_GUEST_RESET);
    }
}

static void parameter_write(I8042 *k, uint8_t value)
{
    uint8_t command = k->command;

    k->command = 0;
    switch (command) {
    case CMD_WRITE_MODE:
        k->mode = value & 0x77;
        break;
    case CMD_WRITE_OUTPUT:
        output_port_write(k, value);
        break;
    case CMD_WRITE_KBD_OBUF:
        ps2_queue_put(&k->kbd.queue, value);
        break;
    case CMD_WRITE_MOUSE_OBUF:
        ps2_queue_put(&k->mouse.queue, value);
        break;
    case CMD_WRITE_MOUSE:
        k->mode &= ~MODE_DISABLE_MOUSE;
        ps2_mouse_command(&k->mouse, value);
        break;
    }
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8042 *k = opaque;

    k->last_was_command = false;
    if (k->command) {
        parameter_write(k, (uint8_t)value);
    } else {
        k->mode &= ~MODE_DISABLE_KBD; /* a byte for the keyboard lifts its clock */
        ps2_keyboard_command(&k->kbd, (uint8_t)value);
    }
    fill_output(k);
}

/* ---- port 64h ---- */
static uint64_t status_read(void *opaque, uint64_t offset, unsigned size)
{
    const I8042 *k = opaque;

    return STATUS_UNLOCKED | (k->mode & MODE_SYSTEM ? STATUS_SYSTEM : 0) | (k->last_was_command ? STATUS_COMMAND : 0) |
           (k->source == SOURCE_MOUSE ? STATUS_OBF | STATUS_MOUSE_OBF : k->source ? STATUS_OBF : 0);
}

static void self_test(I8042 *k)
{
    k->mode |= MODE_SYSTEM;
    ps2_queue_clear(&k->own);
    k->source = SOURCE_NONE;
    answer(k, 0x55);
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    I8042 *k = opaque;

    k->last_was_command = true;
    k->command = 0;
    switch (value) {
    case CMD_READ_MODE:
        answer(k, k->mode);
        break;
    case CMD_WRITE_MODE:
    case CMD_WRITE_OUTPUT:
    case CMD_WRITE_KBD_OBUF:
    case CMD_WRITE_MOUSE_OBUF:
    case CMD_WRITE_MOUSE:
        k->command = (uint8_t)value;
        break;
    case CMD_DISABLE_MOUSE:
        k->mode |= MODE_DISABLE_MOUSE;
        break;
    case CMD_ENABLE_MOUSE:
        k->mode &= ~MODE_DISABLE_MOUSE;
        break;
    case CMD_DISABLE_KBD:
        k->mode |= MODE_DISABLE_KBD;
        break;
    case CMD_ENABLE_KBD:
        k->mode &= ~MODE_DISABLE_KBD;
        break;
    case CMD_TEST_MOUSE:
    case CMD_TEST_KBD:
        answer(k, 0);
        break;
    case CMD_SELF_TEST:
        self_test(k);
        break;
    case CMD_READ_INPUT:
        answer(k, 0x80); /* not locked */
        break;
    case CMD_READ_OUTPUT:
        answer(k, k->output_port | (k->source == SOURCE_MOUSE ? OUTPUT_MOUSE_OBF : k->source ? OUTPUT_OBF : 0));
        break;
    default:
        /* F0h to FFh pulse output lines that are 0 in the command; line 0 is the CPU's reset. */
        if (value >= CMD_PULSE && !(value & OUTPUT_NO_RESET)) {
            domain_request_reset(k->dev.domain, REASON_GUEST_RESET);
        } else if (value < CMD_PULSE) {
            guest_error("i8042", "command %#x does not exist", (unsigned)value);
        }
        break;
    }
    fill_output(k);
}

static const MemoryOps data_ops = { .read = data_read, .write = data_write, .min = 1, .max = 1 };
static const MemoryOps command_ops = { .read = status_read, .write = command_write, .min = 1, .max = 1 };

/* ---- lifecycle ---- */
static void i8042_unrealize(Device *dev)
{
    I8042 *k = i8042(dev);

    isa_disconnect_irq(dev, KEYBOARD_IRQ, g_steal_pointer(&k->kbd_irq));
    isa_disconnect_irq(dev, MOUSE_IRQ, g_steal_pointer(&k->mouse_irq));
}

static bool i8042_realize(Device *dev, GError **error)
{
    I8042 *k = i8042(dev);

    device_init_io(dev, &k->data_port, "i8042-data", &data_ops, 1);
    device_init_io(dev, &k->command_port, "i8042-cmd", &command_ops, 1);
    if (!isa_map_ports(dev, &k->data_port, PORT_DATA, error) ||
        !isa_map_ports(dev, &k->command_port, PORT_COMMAND, error)) {
        return false;
    }
    k->kbd_irq = isa_connect_irq(dev, KEYBOARD_IRQ, error);
    k->mouse_irq = isa_connect_irq(dev, MOUSE_IRQ, error);
    return true;
}

static void i8042_reset(Device *dev)
{
    I8042 *k = i8042(dev);

    k->mode = MODE_KBD_INT | MODE_MOUSE_INT;
    k->output_port = OUTPUT_NO_RESET | OUTPUT_A20;
    k->command = k->data = 0;
    k->last_was_command = false;
    k->source = SOURCE_NONE;
    ps2_queue_clear(&k->own);
    memset(&k->kbd, 0, sizeof(k->kbd));
    memset(&k->mouse, 0, sizeof(k->mouse));
    ps2_keyboard_defaults(&k->kbd);
    ps2_mouse_defaults(&k->mouse);
    update_irqs(k);
}

static bool i8042_loaded(void *struct_, GError **error)
{
    fill_output(struct_);
    update_irqs(struct_);
    return true;
}

static const StateDesc i8042_state = {
    .name = "i8042",
    .version = 1,
    .loaded = i8042_loaded,
    .fields = (const StateField[]) {
        STATE_U8(I8042, mode),
        STATE_U8(I8042, output_port),
        STATE_U8(I8042, command),
        STATE_BOOL(I8042, last_was_command),
        STATE_U8(I8042, data),
        STATE_ROW(I8042, source, STATE_TYPE_U8, .max = SOURCE_MOUSE),
        STATE_STRUCT(I8042, own, &ps2_queue_state),
        STATE_STRUCT(I8042, kbd, &ps2_state),
        STATE_STRUCT(I8042, mouse, &ps2_state),
        STATE_END,
    },
};

static void write_device(Aml *aml, const char *name, const char *hid, uint8_t irq, bool ports)
{
    aml_begin_device(aml, name);
    aml_name_eisa(aml, "_HID", hid);
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    if (ports) {
        aml_res_io(aml, PORT_DATA, PORT_DATA, 1, 1);
        aml_res_io(aml, PORT_COMMAND, PORT_COMMAND, 1, 1);
    }
    aml_res_irq(aml, irq);
    aml_end(aml);
    aml_end(aml);
}

static void i8042_aml(Device *dev, Aml *aml)
{
    write_device(aml, "KBD", "PNP0303", KEYBOARD_IRQ, true);
    write_device(aml, "MOU", "PNP0F13", MOUSE_IRQ, false);
}

const DeviceClass i8042_class = {
    .name = "i8042",
    .desc = "Keyboard controller with PS/2 keyboard and mouse",
    .category = "Input",
    .bus = &isa_bus_class,
    .size = sizeof(I8042),
    .board_only = true,
    .state = &i8042_state,
    .realize = i8042_realize,
    .unrealize = i8042_unrealize,
    .reset = i8042_reset,
    .aml = i8042_aml,
};
