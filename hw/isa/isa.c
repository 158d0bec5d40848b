/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ISA bus: who uses which ports and interrupts.  Several devices may share an
 * interrupt, as COM1 and COM3 do; the line is high while one of them is.
 */
#include "hw/isa/isa.h"

#include "vmm/domain.h"
#include "vmm/error.h"

const BusClass isa_bus_class = {
    .name = "ISA",
    .size = sizeof(IsaBus),
};

void isa_bus_init(IsaBus *bus, Domain *domain, Device *parent, const char *name, MemoryRegion *ports)
{
    bus_init(&bus->bus, &isa_bus_class, domain, parent, name);
    bus->ports = ports;
}

void isa_bus_finish(IsaBus *bus)
{
    bus_finish(&bus->bus);
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        g_clear_pointer(&bus->irq[i], irq_share_free);
    }
}

IrqLine *isa_bus_connect(IsaBus *bus, unsigned irq)
{
    if (!bus->irq[irq]) {
        bus->irq[irq] = irq_share_new(gsi_line(domain_irqs(bus->bus.domain), irq));
    }
    return irq_share_add(bus->irq[irq]);
}

void isa_bus_disconnect(IsaBus *bus, unsigned irq, IrqLine *line)
{
    if (line) {
        irq_share_remove(bus->irq[irq], line);
    }
}

IrqLine *isa_connect_irq(Device *dev, unsigned irq, GError **error)
{
    /* Input 2 of the first PIC is where the second one sits. */
    if (irq >= ISA_IRQS || irq == 2) {
        error_set(error, "'%s' cannot use interrupt %u: ISA has 0 to 15, without 2", device_name(dev), irq);
        return NULL;
    }
    return isa_bus_connect((IsaBus *)dev->bus, irq);
}

void isa_disconnect_irq(Device *dev, unsigned irq, IrqLine *line)
{
    isa_bus_disconnect((IsaBus *)dev->bus, irq, line);
}

typedef struct PortSearch {
    MemoryRegion *self;
    uint32_t first, last;
    Device *found;
} PortSearch;

static bool ports_overlap(const MemoryRegion *mr, const PortSearch *s)
{
    return mr != s->self && memory_is_mapped(mr) && mr->address <= s->last && s->first <= mr->address + mr->size - 1;
}

static Device *find_conflict(IsaBus *bus, PortSearch *s)
{
    for (guint i = 0; i < bus->bus.children->len; i++) {
        Device *dev = g_ptr_array_index(bus->bus.children, i);

        for (guint j = 0; j < dev->regions->len; j++) {
            MemoryRegion *mr = g_ptr_array_index(dev->regions, j);

            if (mr->parent == bus->ports && ports_overlap(mr, s)) {
                return dev;
            }
        }
    }
    return NULL;
}

bool isa_map_ports(Device *dev, MemoryRegion *mr, uint32_t port, GError **error)
{
    IsaBus *bus = (IsaBus *)dev->bus;
    PortSearch s = { .self = mr, .first = port, .last = port + (uint32_t)mr->size - 1 };
    Device *other = find_conflict(bus, &s);

    if (s.last > 0xffff || s.last < port) {
        return error_set(error, "'%s' cannot use ports %#x to %#x: there are 65536", device_name(dev), port, s.last);
    }
    if (other) {
        error_set(error, "'%s' cannot use ports %#x to %#x: '%s' does", device_name(dev), port, s.last,
                  device_name(other));
        return error_hint(error, "Set iobase= to another address.");
    }
    memory_add(bus->ports, port, mr, 0);
    return true;
}
