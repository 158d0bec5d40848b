/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports of virtio-serial: virtserialport, a byte stream with a name, and
 * virtconsole, one that the driver makes a terminal of (Virtio 1.2, 5.3.6).
 *
 * Output stops when the chardev is full and goes on when it has room; input is
 * taken as far as the driver has buffers, and only while it has the port open.
 *
 * Locking: the main loop, for queues and chardevs alike; chardev callbacks hold the
 * port's lock besides.
 */
#include "hw/virtio/virtio-serial.h"
#include "vmm/error.h"

#define PIECE      4096
#define SAVED_MAX  (1 << 20) /* of two saved chains */
#define PER_ROUND  128       /* chains, before others on the loop get their turn */

typedef struct PortChange { char *id; bool open; } PortChange;
static const FieldStruct port_change = {
    .name = "VserportChange", .size = sizeof(PortChange),
    .fields = (const Field[]) {
        F_STR("id", PortChange, id, NULL, .flags = FIELD_REQUIRED, .help = "Id of the port's device"),
        F_BOOL("open", PortChange, open, false, .flags = FIELD_REQUIRED, .help = "Whether the guest has it open"),
        FIELD_END
    },
};
const EventType event_vserport_change = {
    "VSERPORT_CHANGE", &port_change, .interval_ms = 1000, .key = "id", .help = "The guest opened or closed a port"
};

static VirtioSerialPort *serial_port(Device *dev)
{
    return (VirtioSerialPort *)dev;
}

bool virtio_serial_port_is_console(const VirtioSerialPort *port)
{
    return ((const VirtioSerialPortClass *)port->dev.class)->console;
}

/* ---- from the guest ---- */

/* Hands on what is left of the chain; false: the chardev is full. */
static bool send_output(VirtioSerialPort *port)
{
    const VirtqueueChain *c = port->output;
    uint8_t piece[PIECE];

    while (port->chr && port->sent < c->out_bytes) {
        size_t length = iov_to_buffer(c->out, c->outs, port->sent, piece, sizeof(piece));
        size_t taken = chardev_write(port->chr, piece, length);

        port->sent += (uint32_t)taken;
        if (taken < length) {
            chardev_want_write(port->chr);
            return false;
        }
    }
    return true;
}

void virtio_serial_port_output(VirtioSerialPort *port)
{
    unsigned left = PER_ROUND;

    while (left && virtqueue_running(port->out)) {
        if (!port->output) {
            port->output = virtqueue_pop(port->out, sizeof(VirtqueueChain));
            port->sent = 0;
            if (!port->output) {
                break;
            }
            virtqueue_hold(port->out, port->output, true);
        }
        if (!send_output(port)) {
            break;
        }
        virtqueue_push(port->out, g_steal_pointer(&port->output), 0);
        left--;
    }
    virtqueue_notify(port->out);
    if (!left) {
        virtqueue_kick(port->out);
    }
}

static void port_writable(void *opaque)
{
    virtio_serial_port_output(opaque);
}

/* ---- to the guest ---- */

static VirtqueueChain *next_input(VirtioSerialPort *port)
{
    while (!port->input && (port->input = virtqueue_pop(port->in, sizeof(VirtqueueChain)))) {
        if (port->input->in_bytes) {
            virtqueue_hold(port->in, port->input, true);
        } else {
            virtqueue_push(port->in, g_steal_pointer(&port->input), 0);
        }
    }
    return port->input;
}

static size_t port_can_receive(void *opaque)
{
    VirtioSerialPort *port = opaque;
    const VirtqueueChain *c;

    if (!virtqueue_running(port->in) || (virtio_serial_has_multiport(port->serial) && !port->guest_open)) {
        return 0;
    }
    c = next_input(port);
    return c ? c->in_bytes : 0;
}

static void port_receive(void *opaque, const uint8_t *data, size_t length)
{
    VirtioSerialPort *port = opaque;

    while (length && next_input(port)) {
        VirtqueueChain *c = g_steal_pointer(&port->input);
        size_t bytes = iov_from_buffer(c->in, c->ins, 0, data, length);

        virtqueue_push(port->in, c, bytes);
        data += bytes;
        length -= bytes;
    }
    virtqueue_notify_soon(port->in);
}

void virtio_serial_port_input(VirtioSerialPort *port)
{
    if (port->chr) {
        chardev_accept_input(port->chr);
    }
}

/* ---- open and closed ---- */

static void port_event(void *opaque, ChardevEvent event)
{
    VirtioSerialPort *port = opaque;

    if (event != CHARDEV_OPENED && event != CHARDEV_CLOSED) {
        return;
    }
    port->host_open = event == CHARDEV_OPENED;
    if (!virtio_serial_port_is_console(port)) { /* a console is always there */
        virtio_serial_tell(port, VIRTIO_CONSOLE_PORT_OPEN, port->host_open, NULL);
    }
}

/* A console takes output whether the driver opened it or not. */
static void show_open(VirtioSerialPort *port)
{
    if (port->chr) {
        chardev_set_frontend_open(port->chr, port->guest_open || virtio_serial_port_is_console(port));
    }
}

void virtio_serial_port_set_open(VirtioSerialPort *port, bool open)
{
    if (port->guest_open == open) {
        return;
    }
    port->guest_open = open;
    show_open(port);
    if (port->dev.id) {
        event_emit(port->dev.domain, &event_vserport_change, &(PortChange) { port->dev.id, open });
    }
    if (port->chr && open) {
        chardev_accept_input(port->chr);
    }
}

/* ---- chains that wait ---- */

void virtio_serial_port_drop(VirtioSerialPort *port, Virtqueue *vq)
{
    VirtqueueChain **chain = vq == port->in ? &port->input : &port->output;

    if (*chain) {
        virtqueue_detach(vq, g_steal_pointer(chain));
    }
}

/* Unplugged: the driver gets its buffers back. */
static void give_back(Virtqueue *vq, VirtqueueChain **chain)
{
    if (!*chain) {
        return;
    }
    if (virtqueue_running(vq)) {
        virtqueue_push(vq, g_steal_pointer(chain), 0);
        virtqueue_notify(vq);
    } else {
        virtqueue_detach(vq, g_steal_pointer(chain));
    }
}

/* Saved form: which of the two there are (bit 0: input, bit 1: output), then the chains. */
static bool port_save(void *opaque, GError **error)
{
    VirtioSerialPort *port = opaque;
    const uint8_t which = (uint8_t)((port->input ? 1 : 0) | (port->output ? 2 : 0));

    if (!virtqueue_mapped(port->in) && !virtqueue_mapped(port->out)) {
        return true; /* still as they were loaded, or none */
    }
    g_byte_array_set_size(port->saved, 0);
    g_byte_array_append(port->saved, &which, 1);
    if (port->input) {
        virtqueue_chain_save(port->input, port->saved);
    }
    if (port->output) {
        virtqueue_chain_save(port->output, port->saved);
    }
    return true;
}

static bool load_chain(Virtqueue *vq, VirtqueueChain **chain, const uint8_t **data, size_t *length, GError **error)
{
    if (!virtqueue_mapped(vq)) {
        return error_set(error, "there is a saved request of queue %u, which does not run", virtqueue_index(vq));
    }
    *chain = virtqueue_chain_load(vq, sizeof(VirtqueueChain), data, length, error);
    return *chain;
}

bool virtio_serial_port_start(VirtioSerialPort *port, GError **error)
{
    const uint8_t *data = port->saved->data;
    size_t length = port->saved->len;
    uint8_t which = length ? *data++ : 0;
    bool ok;

    length -= length > 0;
    ok = (!(which & 1) || load_chain(port->in, &port->input, &data, &length, error)) &&
         (!(which & 2) || load_chain(port->out, &port->output, &data, &length, error));
    g_byte_array_set_size(port->saved, 0);
    return ok;
}

static bool port_loaded(void *opaque, GError **error)
{
    show_open(opaque);
    return true;
}

static const StateDesc port_state = {
    .name = "virtio-serial-port",
    .version = 1,
    .save = port_save,
    .loaded = port_loaded,
    .fields = (const StateField[]) {
        STATE_BOOL(VirtioSerialPort, guest_open),
        STATE_U32(VirtioSerialPort, sent),
        STATE_BLOB(VirtioSerialPort, saved, SAVED_MAX),
        STATE_END
    },
};

/* ---- life ---- */

static bool port_realize(Device *dev, GError **error)
{
    VirtioSerialPort *port = serial_port(dev);
    const ChardevFrontend frontend = {
        .lock = dev->lock, .can_receive = port_can_receive, .receive = port_receive, .event = port_event,
        .writable = port_writable, .opaque = port,
    };

    port->saved = g_byte_array_new();
    if (port->chr && !chardev_attach(port->chr, &frontend, error)) {
        g_clear_pointer(&port->saved, g_byte_array_unref);
        return false;
    }
    port->guest_open = false;
    show_open(port);
    return true;
}

static void port_unrealize(Device *dev)
{
    VirtioSerialPort *port = serial_port(dev);

    if (port->chr) {
        chardev_detach(port->chr, port);
    }
    give_back(port->in, &port->input);
    give_back(port->out, &port->output);
    virtio_serial_tell(port, VIRTIO_CONSOLE_PORT_REMOVE, 1, NULL);
    g_clear_pointer(&port->saved, g_byte_array_unref);
}

static const Property port_props[] = {
    PROP_LINK("chardev", VirtioSerialPort, chr, &chardev_link, .help = "Where the bytes come from and go to"),
    PROP_STR("name", VirtioSerialPort, name, NULL, .help = "Name that the guest sees"),
    PROP_UINT("nr", VirtioSerialPort, nr, VIRTIO_SERIAL_NR_AUTO,
              .help = "Number of the port; without it the first free one"),
    PROP_END
};

#define PORT_DEVICE(NAME, DESC) \
    .name = NAME, .desc = DESC, .category = "Input", .size = sizeof(VirtioSerialPort), \
    .bus = &virtio_serial_bus_class, .props = port_props, .state = &port_state, .hotpluggable = true, \
    .realize = port_realize, .unrealize = port_unrealize

const VirtioSerialPortClass virtserialport_class = {
    .device = { PORT_DEVICE("virtserialport", "Port of a virtio-serial device") },
};

const VirtioSerialPortClass virtconsole_class = {
    .device = { PORT_DEVICE("virtconsole", "Console port of a virtio-serial device") },
    .console = true,
};
