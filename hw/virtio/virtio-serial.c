/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-serial: the console device of Virtio 1.2 section 5.3 with many ports, as a
 * bus that ports plug into.  Not offered: the console's size, emergency writes.
 *
 *   queue 0, 1       port 0: to the driver, from it
 *   queue 2, 3       control messages: to the driver, from it
 *   queue 2n+2, 2n+3 port n
 *
 * Locking: queues are the main loop's, as are the chardevs.  A driver that starts looks through the ports on its own
 * thread: their list changes under the transport's lock, and a port is in it only while it is whole.
 */
#include <linux/virtio_ids.h>
#include <string.h>

#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtio-serial.h"
#include "vmm/domain.h"
#include "vmm/error.h"

#define PORTS_MAX               511
#define DATA_QUEUE_SIZE         128
#define CONTROL_QUEUE_SIZE      32
#define CONTROL_IN              2
#define CONTROL_OUT             3
#define PENDING_MAX             (64 << 10) /* bytes of messages the driver gave no buffers for */
#define PCI_CLASS_COMMUNICATION 0x0780

struct VirtioSerial {
    Virtio virtio;
    VirtioSerialBus bus;
    /* Configuration */
    uint32_t max_ports;
    VirtioSerialPort **port; /* max_ports of them; NULL: none there */
    /* Guest state */
    bool driver_ready;
    GByteArray *pending;     /* messages to the driver: length (2 bytes) and bytes, each */
};

static VirtioSerial *virtio_serial(Virtio *v)
{
    return (VirtioSerial *)v;
}

bool virtio_serial_has_multiport(const VirtioSerial *serial)
{
    return virtio_has(&serial->virtio, VIRTIO_CONSOLE_F_MULTIPORT);
}

static unsigned port_queue(uint32_t nr)
{
    return nr ? 2 * nr + 2 : 0;
}

static VirtioSerialPort *port_of_queue(const VirtioSerial *s, unsigned index)
{
    return s->port[index < 2 ? 0 : index / 2 - 1];
}

/* ---- messages to the driver ---- */

static void send_pending(VirtioSerial *s)
{
    Virtqueue *vq = s->virtio.queue[CONTROL_IN];
    VirtqueueChain *c;

    while (s->pending->len >= 2 && (c = virtqueue_pop(vq, sizeof(*c)))) {
        const uint8_t *data = s->pending->data;
        unsigned length = MIN(data[0] | (unsigned)data[1] << 8, s->pending->len - 2);

        virtqueue_push(vq, c, iov_from_buffer(c->in, c->ins, 0, data + 2, length));
        g_byte_array_remove_range(s->pending, 0, length + 2);
    }
    virtqueue_notify(vq);
}

static void send_message(VirtioSerial *s, uint32_t nr, uint16_t event, uint16_t value, const char *text)
{
    const struct virtio_console_control message = { GUINT32_TO_LE(nr), GUINT16_TO_LE(event), GUINT16_TO_LE(value) };
    size_t extra = text ? strlen(text) + 1 : 0, length = sizeof(message) + extra;
    const uint8_t head[2] = { (uint8_t)length, (uint8_t)(length >> 8) };

    if (!virtio_serial_has_multiport(s) || !s->driver_ready) {
        return;
    }
    if (s->pending->len + length + 2 > PENDING_MAX) {
        guest_error(device_name(&s->virtio.dev), "the driver gives no buffers for control messages: one is lost");
        return;
    }
    g_byte_array_append(s->pending, head, sizeof(head));
    g_byte_array_append(s->pending, (const uint8_t *)&message, sizeof(message));
    g_byte_array_append(s->pending, (const uint8_t *)text, (guint)extra);
    send_pending(s);
}

void virtio_serial_tell(VirtioSerialPort *port, uint16_t event, uint16_t value, const char *text)
{
    send_message(port->serial, port->nr, event, value, text);
}

/* ---- messages from the driver, 5.3.6.2 ---- */

static void driver_is_ready(VirtioSerial *s, bool ready)
{
    s->driver_ready = ready;
    for (uint32_t nr = 0; nr < s->max_ports && ready; nr++) {
        if (s->port[nr]) {
            send_message(s, nr, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
        }
    }
}

static void port_is_ready(VirtioSerialPort *port)
{
    bool console = virtio_serial_port_is_console(port);

    if (console) {
        virtio_serial_tell(port, VIRTIO_CONSOLE_CONSOLE_PORT, 1, NULL);
    }
    if (port->name) {
        virtio_serial_tell(port, VIRTIO_CONSOLE_PORT_NAME, 1, port->name);
    }
    if (port->host_open || console) {
        virtio_serial_tell(port, VIRTIO_CONSOLE_PORT_OPEN, 1, NULL);
    }
}

static void take_message(VirtioSerial *s, const struct virtio_console_control *message)
{
    uint32_t nr = GUINT32_FROM_LE(message->id);
    uint16_t value = GUINT16_FROM_LE(message->value);
    VirtioSerialPort *port = nr < s->max_ports ? s->port[nr] : NULL;

    if (GUINT16_FROM_LE(message->event) == VIRTIO_CONSOLE_DEVICE_READY) {
        driver_is_ready(s, value);
        return;
    }
    if (!port) {
        guest_error(device_name(&s->virtio.dev), "a control message names port %u, which is not there", nr);
        return;
    }
    switch (GUINT16_FROM_LE(message->event)) {
    case VIRTIO_CONSOLE_PORT_READY:
        if (value) {
            s->driver_ready = true; /* after a sleep Linux resets the device, and tells of its ports only */
            port_is_ready(port);
        }
        break;
    case VIRTIO_CONSOLE_PORT_OPEN:
        virtio_serial_port_set_open(port, value);
        break;
    }
}

static void take_messages(VirtioSerial *s)
{
    Virtqueue *vq = s->virtio.queue[CONTROL_OUT];
    VirtqueueChain *c;

    while ((c = virtqueue_pop(vq, sizeof(*c)))) {
        struct virtio_console_control message;
        bool whole = iov_to_buffer(c->out, c->outs, 0, &message, sizeof(message)) == sizeof(message);

        virtqueue_push(vq, c, 0);
        if (whole) {
            take_message(s, &message);
        }
    }
    virtqueue_notify(vq);
}

static void discard_output(Virtqueue *vq)
{
    VirtqueueChain *c;

    while ((c = virtqueue_pop(vq, sizeof(*c)))) {
        virtqueue_push(vq, c, 0);
    }
    virtqueue_notify(vq);
}

static void serial_queue_ready(Virtio *v, Virtqueue *vq)
{
    VirtioSerial *s = virtio_serial(v);
    unsigned index = virtqueue_index(vq);
    VirtioSerialPort *port;

    if (index == CONTROL_IN) {
        send_pending(s);
        return;
    }
    if (index == CONTROL_OUT) {
        take_messages(s);
        return;
    }
    port = port_of_queue(s, index);
    if (port && index % 2 == 0) {
        virtio_serial_port_input(port);
    } else if (port) {
        virtio_serial_port_output(port);
    } else if (index % 2) {
        discard_output(vq);
    }
}

static void serial_drop_queue(Virtio *v, Virtqueue *vq)
{
    VirtioSerial *s = virtio_serial(v);
    unsigned index = virtqueue_index(vq);
    VirtioSerialPort *port = index == CONTROL_IN || index == CONTROL_OUT ? NULL : port_of_queue(s, index);

    if (port) {
        virtio_serial_port_drop(port, vq);
    }
}

static bool serial_start(Virtio *v, GError **error)
{
    VirtioSerial *s = virtio_serial(v);

    for (uint32_t nr = 0; nr < s->max_ports; nr++) {
        if (s->port[nr] && !virtio_serial_port_start(s->port[nr], error)) {
            return false;
        }
    }
    return true;
}

static void serial_reset(Virtio *v)
{
    VirtioSerial *s = virtio_serial(v);

    s->driver_ready = false;
    g_byte_array_set_size(s->pending, 0);
    for (uint32_t nr = 0; nr < s->max_ports; nr++) {
        if (s->port[nr]) {
            virtio_serial_port_set_open(s->port[nr], false);
            g_byte_array_set_size(s->port[nr]->saved, 0);
        }
    }
}

static uint64_t serial_features(Virtio *v)
{
    return VIRTIO_BIT(VIRTIO_CONSOLE_F_MULTIPORT);
}

static void serial_config_read(Virtio *v, uint8_t *config)
{
    const struct virtio_console_config c = { .max_nr_ports = GUINT32_TO_LE(virtio_serial(v)->max_ports) };

    memcpy(config, &c, sizeof(c));
}

/* ---- the bus ---- */

static bool choose_number(const VirtioSerial *s, VirtioSerialPort *port, GError **error)
{
    /* Port 0 is what a driver without multiport sees: a console's, unless asked for. */
    uint32_t first = virtio_serial_port_is_console(port) ? 0 : 1;

    if (port->nr == VIRTIO_SERIAL_NR_AUTO) {
        for (port->nr = first; port->nr < s->max_ports && s->port[port->nr]; port->nr++) {
        }
        if (port->nr >= s->max_ports) {
            port->nr = VIRTIO_SERIAL_NR_AUTO;
            error_set(error, "bus '%s' has no free port", s->bus.bus.name);
            return error_hint(error, "Give its device a greater max_ports=, at most %u.", PORTS_MAX);
        }
        return true;
    }
    if (port->nr >= s->max_ports) {
        return error_set(error, "port number %u is too great: bus '%s' has ports 0 to %u", port->nr, s->bus.bus.name,
                         s->max_ports - 1);
    }
    return !s->port[port->nr] || error_set(error, "port number %u is taken on bus '%s'", port->nr, s->bus.bus.name);
}

static bool name_is_free(const VirtioSerial *s, const VirtioSerialPort *port, GError **error)
{
    for (uint32_t nr = 0; nr < s->max_ports && port->name; nr++) {
        if (s->port[nr] && g_strcmp0(s->port[nr]->name, port->name) == 0) {
            return error_set(error, "bus '%s' has a port named '%s' already", s->bus.bus.name, port->name);
        }
    }
    return true;
}

static bool bus_attach(Bus *bus, Device *dev, GError **error)
{
    VirtioSerial *s = ((VirtioSerialBus *)bus)->serial;
    VirtioSerialPort *port = (VirtioSerialPort *)dev;

    if (!choose_number(s, port, error) || !name_is_free(s, port, error)) {
        return false;
    }
    port->serial = s;
    port->in = s->virtio.queue[port_queue(port->nr)];
    port->out = s->virtio.queue[port_queue(port->nr) + 1];
    return true;
}

static void set_port(VirtioSerial *s, uint32_t nr, VirtioSerialPort *port)
{
    Lock *lock = s->virtio.transport->dev->lock;

    lock_acquire(lock);
    s->port[nr] = port;
    lock_release(lock);
}

/* Until it was plugged, nobody else could take its number. */
static void bus_detach(Bus *bus, Device *dev)
{
    VirtioSerialPort *port = (VirtioSerialPort *)dev;

    set_port(port->serial, port->nr, NULL);
}

static void bus_plugged(Bus *bus, Device *dev)
{
    VirtioSerialPort *port = (VirtioSerialPort *)dev;

    set_port(port->serial, port->nr, port);
    virtio_serial_tell(port, VIRTIO_CONSOLE_PORT_ADD, 1, NULL);
}

static char *bus_address(Device *dev)
{
    return g_strdup_printf("%u", ((VirtioSerialPort *)dev)->nr);
}

const BusClass virtio_serial_bus_class = {
    .name = "virtio-serial-bus",
    .missing = "Put a -device virtio-serial before it.",
    .size = sizeof(VirtioSerialBus),
    .attach = bus_attach,
    .detach = bus_detach,
    .plugged = bus_plugged,
    .address = bus_address,
};

/* ---- life ---- */

static char *bus_name(Device *dev)
{
    const Device *named = dev->parent && !dev->id ? dev->parent : dev;

    if (named->id) {
        return g_strdup_printf("%s.0", named->id);
    }
    for (unsigned n = 0;; n++) {
        g_autofree char *name = g_strdup_printf("virtio-serial-bus.%u", n);

        if (!bus_find(dev->domain, name)) {
            return g_steal_pointer(&name);
        }
    }
}

static void release(VirtioSerial *s)
{
    virtio_remove_queues(&s->virtio);
    g_clear_pointer(&s->port, g_free);
    g_clear_pointer(&s->pending, g_byte_array_unref);
}

static bool serial_realize(Device *dev, GError **error)
{
    VirtioSerial *s = virtio_serial((Virtio *)dev);
    g_autofree char *name = bus_name(dev);

    s->port = g_new0(VirtioSerialPort *, s->max_ports);
    s->pending = g_byte_array_new();
    for (unsigned i = 0; i < 2 * (s->max_ports + 1); i++) {
        bool control = i == CONTROL_IN || i == CONTROL_OUT;

        if (!virtio_add_queue(&s->virtio, control ? CONTROL_QUEUE_SIZE : DATA_QUEUE_SIZE, NULL, error)) {
            release(s);
            return false;
        }
    }
    s->bus.serial = s;
    bus_init(&s->bus.bus, &virtio_serial_bus_class, dev->domain, dev, name);
    s->bus.bus.hotplug = true;
    return true;
}

static void serial_unrealize(Device *dev)
{
    VirtioSerial *s = virtio_serial((Virtio *)dev);

    bus_finish(&s->bus.bus);
    release(s);
}

static bool serial_check(const void *opaque, GError **error)
{
    const VirtioSerial *s = opaque;

    return !s->pending || s->pending->len <= PENDING_MAX || error_set(error, "too many saved control messages");
}

static const StateDesc serial_state = {
    .name = "virtio-serial",
    .version = 1,
    .check = serial_check,
    .fields = (const StateField[]) {
        STATE_BOOL(VirtioSerial, driver_ready),
        STATE_BLOB(VirtioSerial, pending, PENDING_MAX),
        STATE_END
    },
};

static const Property serial_props[] = {
    PROP_UINT("max_ports", VirtioSerial, max_ports, 31, .min = 1, .max = PORTS_MAX, .help = "Ports there can be"),
    PROP_END
};

static const char *const serial_pci_aliases[] = { "virtio-serial", "virtio-serial-pci-non-transitional", NULL };
static const char *const serial_aliases[] = { "virtio-serial", NULL };

const VirtioClass virtio_serial_class = {
    .device = {
        .name = "virtio-serial-device",
        .desc = "Virtio console with ports",
        .aliases = serial_aliases,
        .category = "Input",
        .base = &virtio_device_class,
        .size = sizeof(VirtioSerial),
        .bus = &virtio_bus_class,
        .props = serial_props,
        .state = &serial_state,
        .realize = serial_realize,
        .unrealize = serial_unrealize,
    },
    .id = VIRTIO_ID_CONSOLE,
    .pci_class = PCI_CLASS_COMMUNICATION,
    .config_size = sizeof(struct virtio_console_config),
    .features = serial_features,
    .config_read = serial_config_read,
    .queue_ready = serial_queue_ready,
    .start = serial_start,
    .drop_queue = serial_drop_queue,
    .reset = serial_reset,
};

const DeviceClass virtio_serial_pci_class = {
    VIRTIO_PCI_CLASS(virtio_serial_class),
    .name = "virtio-serial-pci",
    .desc = "Virtio console with ports on PCI",
    .aliases = serial_pci_aliases,
    .category = "Input",
};
