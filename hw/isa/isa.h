/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ISA bus: ports and interrupts 0 to 15 of a PC.  Its devices decode the
 * addresses they are configured with; the bus checks that no two claim the same.
 * Main thread, but for the lines.
 */
#pragma once

#include "vmm/device.h"
#include "vmm/irq.h"

#define ISA_IRQS 16
#define ISA_SERIAL_PORTS 4 /* COM1 to COM4 */

typedef struct IsaBus {
    Bus bus;
    MemoryRegion *ports;
    IrqShare *irq[ISA_IRQS]; /* made when first used */
} IsaBus;

extern const BusClass isa_bus_class;

void isa_bus_init(IsaBus *bus, Domain *domain, Device *parent, const char *name, MemoryRegion *ports);
void isa_bus_finish(IsaBus *bus);

/* A source on interrupt `irq` (there is no 2), which others may share. */
IrqLine *isa_bus_connect(IsaBus *bus, unsigned irq);
void isa_bus_disconnect(IsaBus *bus, unsigned irq, IrqLine *line); /* NULL is fine */

/* ---- for devices on the bus: realize and unrealize ---- */
/* A source on interrupt `irq`, which devices may share; NULL: there is none of that number. */
IrqLine *isa_connect_irq(Device *dev, unsigned irq, GError **error);
void isa_disconnect_irq(Device *dev, unsigned irq, IrqLine *line); /* NULL is fine */
/* Maps a region registered with device_init_regs() or device_init_io(), which takes it out again. */
bool isa_map_ports(Device *dev, MemoryRegion *mr, uint32_t port, GError **error);
