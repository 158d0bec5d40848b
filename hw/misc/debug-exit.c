/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-debug-exit: a write of V ends the process with status (V << 1) | 1, so that
 * test guests can report.  The status is always odd: 0 stays what it is for a guest
 * that powered off.
 *
 * Locking: the bus holds the device's lock around the hooks; leaving is the main
 * thread's business and is posted there.
 */
#include "hw/isa/isa.h"
#include "vmm/domain.h"

typedef struct DebugExit {
    Device dev;
    uint16_t iobase, iosize;
    MemoryRegion port;
    int status; /* derived: what to leave with */
} DebugExit;

static DebugExit *debug_exit(Device *dev)
{
    return (DebugExit *)dev;
}

static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void leave(Device *dev)
{
    domain_quit(dev->domain, debug_exit(dev)->status);
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    debug_exit(opaque)->status = (int)((value << 1) | 1) & 0xff;
    device_post(opaque, leave);
}

static const MemoryOps debug_exit_ops = { .read = debug_exit_read, .write = debug_exit_write, .min = 1, .max = 4 };

static bool debug_exit_realize(Device *dev, GError **error)
{
    DebugExit *d = debug_exit(dev);

    device_init_io(dev, &d->port, "debug-exit", &debug_exit_ops, d->iosize);
    return isa_map_ports(dev, &d->port, d->iobase, error);
}

static const Property debug_exit_props[] = {
    PROP_UINT("iobase", DebugExit, iobase, 0x501, .help = "First port"),
    PROP_UINT("iosize", DebugExit, iosize, 2, .min = 1, .max = 4, .help = "How many ports"),
    PROP_END,
};

const DeviceClass isa_debug_exit_class = {
    .name = "isa-debug-exit",
    .desc = "Port that ends the domain with an exit status",
    .category = "Misc",
    .bus = &isa_bus_class,
    .size = sizeof(DebugExit),
    .props = debug_exit_props,
    .state = &state_none,
    .realize = debug_exit_realize,
};
