/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-debugcon: a port whose bytes go to the host, as Bochs and its successors have
 * it at e9h.  Reading gives the port's own number (or `readback`), by which a guest
 * finds it.
 *
 * Bytes that the host does not take at once are lost, as without a listener: a
 * debug console has no way to tell the guest to wait.
 *
 * Locking: the bus holds the device's lock around the hooks.
 */
#include "hw/isa/isa.h"
#include "vmm/chardev.h"

typedef struct DebugCon {
    Device dev;
    Chardev *chr;
    uint16_t iobase;
    uint32_t readback;
    MemoryRegion port;
} DebugCon;

static DebugCon *debugcon(Device *dev)
{
    return (DebugCon *)dev;
}

static uint64_t debugcon_read(void *opaque, uint64_t offset, unsigned size)
{
    return debugcon(opaque)->readback;
}

static void debugcon_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    uint8_t byte = (uint8_t)value;

    chardev_write(debugcon(opaque)->chr, &byte, 1);
}

static const MemoryOps debugcon_ops = { .read = debugcon_read, .write = debugcon_write, .min = 1, .max = 1 };

static bool debugcon_realize(Device *dev, GError **error)
{
    DebugCon *d = debugcon(dev);
    const ChardevFrontend fe = { .lock = dev->lock, .opaque = d };

    device_init_io(dev, &d->port, "debugcon", &debugcon_ops, 1);
    return isa_map_ports(dev, &d->port, d->iobase, error) && chardev_attach(d->chr, &fe, error);
}

static void debugcon_unrealize(Device *dev)
{
    chardev_detach(debugcon(dev)->chr, dev);
}

static const Property debugcon_props[] = {
    PROP_UINT("iobase", DebugCon, iobase, 0xe9, .help = "The port"),
    PROP_UINT("readback", DebugCon, readback, 0xe9, .max = 0xff, .help = "What it reads as"),
    PROP_LINK("chardev", DebugCon, chr, &chardev_link, .flags = FIELD_REQUIRED, .help = "Where the bytes go"),
    PROP_END,
};

const DeviceClass isa_debugcon_class = {
    .name = "isa-debugcon",
    .desc = "Debug console port",
    .category = "Misc",
    .bus = &isa_bus_class,
    .size = sizeof(DebugCon),
    .props = debugcon_props,
    .state = &state_none,
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
};
