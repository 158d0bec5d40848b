/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pvpanic: by which a guest tells that it panicked (QEMU's docs/specs/pvpanic,
 * Linux' drivers/misc/pvpanic).  One port: reading gives the events it takes, writing
 * reports one.
 *
 * Locking: the bus holds the device's lock around the hooks.
 */
#include "hw/acpi/aml.h"
#include "hw/isa/isa.h"
#include "vmm/domain.h"
#include "vmm/error.h"

enum { EVENT_PANICKED = 1 << 0, EVENT_CRASHLOADED = 1 << 1 };

typedef struct PvPanic {
    Device dev;
    uint16_t ioport;
    uint8_t events; /* that it takes */
    MemoryRegion port;
} PvPanic;

static PvPanic *pvpanic(Device *dev)
{
    return (PvPanic *)dev;
}

static uint64_t pvpanic_read(void *opaque, uint64_t offset, unsigned size)
{
    return pvpanic(opaque)->events;
}

static void pvpanic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PvPanic *p = opaque;

    if (value & p->events & EVENT_PANICKED) {
        domain_request_panic(p->dev.domain, PANIC_PANICKED);
    } else if (value & p->events & EVENT_CRASHLOADED) {
        domain_request_panic(p->dev.domain, PANIC_CRASHLOADED);
    } else {
        guest_error("pvpanic", "event %#x is none that was offered (%#x)", (unsigned)value, p->events);
    }
}

static const MemoryOps pvpanic_ops = { .read = pvpanic_read, .write = pvpanic_write, .min = 1, .max = 1 };

static bool pvpanic_realize(Device *dev, GError **error)
{
    PvPanic *p = pvpanic(dev);

    device_init_io(dev, &p->port, "pvpanic", &pvpanic_ops, 1);
    return isa_map_ports(dev, &p->port, p->ioport, error);
}

static void pvpanic_aml(Device *dev, Aml *aml)
{
    PvPanic *p = pvpanic(dev);

    aml_begin_device(aml, "PEVT");
    aml_name_string(aml, "_HID", "QEMU0001");
    aml_name_int(aml, "_STA", 0xf);
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_res_io(aml, p->ioport, p->ioport, 1, 1);
    aml_end(aml);
    aml_end(aml);
}

static const Property pvpanic_props[] = {
    PROP_UINT("ioport", PvPanic, ioport, 0x505, .help = "The port"),
    PROP_UINT("events", PvPanic, events, EVENT_PANICKED | EVENT_CRASHLOADED, .max = 3,
              .help = "Events it takes: 1 panicked, 2 crash kernel loaded"),
    PROP_END,
};

const DeviceClass pvpanic_class = {
    .name = "pvpanic",
    .desc = "Panic notifier",
    .category = "Misc",
    .bus = &isa_bus_class,
    .size = sizeof(PvPanic),
    .props = pvpanic_props,
    .state = &state_none,
    .realize = pvpanic_realize,
    .aml = pvpanic_aml,
};
