/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pc-testdev: what kvm-unit-tests (x86) expect of a PC beside isa-debug-exit.
 *
 *     port 0xe0, 4 bytes       remembers what was written, at every size
 *     port 0xe4                a page was written by other means: nothing is cached here
 *     port 0x2000 + n          level of GSI n
 *     0xff000000, 64 KiB       MMIO that remembers, at every size and alignment
 *
 * Locking: the bus holds the device's lock around the hooks.
 */
#include <string.h>

#include "hw/isa/isa.h"
#include "vmm/bytes.h"
#include "vmm/domain.h"

#define SCRATCH_PORT   0xe0
#define FLUSH_PORT     0xe4
#define LINES_PORT     0x2000
#define IOMEM_ADDRESS  0xff000000u
#define IOMEM_SIZE     0x10000u

typedef struct PcTestdev {
    Device dev;
    MemoryRegion scratch_port, flush_port, line_ports, iomem;
    IrqLine *line[IRQ_GSIS];
    uint32_t scratch;
    uint8_t memory[IOMEM_SIZE];
} PcTestdev;

static PcTestdev *testdev(Device *dev)
{
    return (PcTestdev *)dev;
}

static uint64_t scratch_read(void *opaque, uint64_t offset, unsigned size)
{
    return testdev(opaque)->scratch >> (8 * offset);
}

static void scratch_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    uint32_t mask = (uint32_t)(UINT64_MAX >> (64 - 8 * size)) << (8 * offset);
    PcTestdev *t = opaque;

    t->scratch = (t->scratch & ~mask) | ((uint32_t)value << (8 * offset) & mask);
}

static uint64_t nothing_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void nothing_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static void line_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    irq_set(testdev(opaque)->line[offset], value != 0);
}

static uint64_t iomem_read(void *opaque, uint64_t offset, unsigned size)
{
    uint8_t bytes[8] = { 0 };

    memcpy(bytes, testdev(opaque)->memory + offset, size);
    return get64(bytes);
}

static void iomem_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    put64(bytes, value);
    memcpy(testdev(opaque)->memory + offset, bytes, size);
}

static const MemoryOps scratch_ops = { .read = scratch_read, .write = scratch_write, .unaligned = true };
static const MemoryOps flush_ops = { .read = nothing_read, .write = nothing_write, .unaligned = true };
static const MemoryOps line_ops = { .read = nothing_read, .write = line_write, .max = 1 };
static const MemoryOps iomem_ops = { .read = iomem_read, .write = iomem_write, .unaligned = true };

static void testdev_unrealize(Device *dev)
{
    PcTestdev *t = testdev(dev);

    memory_remove(&t->iomem);
    for (unsigned i = 0; i < IRQ_GSIS; i++) {
        gsi_remove_source(t->line[i]);
        t->line[i] = NULL;
    }
}

static bool testdev_realize(Device *dev, GError **error)
{
    PcTestdev *t = testdev(dev);

    device_init_io(dev, &t->scratch_port, "testdev-scratch", &scratch_ops, 4);
    device_init_io(dev, &t->flush_port, "testdev-flush", &flush_ops, 4);
    device_init_io(dev, &t->line_ports, "testdev-lines", &line_ops, IRQ_GSIS);
    device_init_io(dev, &t->iomem, "testdev-iomem", &iomem_ops, IOMEM_SIZE);
    if (!isa_map_ports(dev, &t->scratch_port, SCRATCH_PORT, error) ||
        !isa_map_ports(dev, &t->flush_port, FLUSH_PORT, error) ||
        !isa_map_ports(dev, &t->line_ports, LINES_PORT, error)) {
        return false;
    }
    for (unsigned i = 0; i < IRQ_GSIS; i++) {
        t->line[i] = gsi_add_source(domain_irqs(dev->domain), i);
    }
    return memory_add(domain_memory_root(dev->domain), IOMEM_ADDRESS, &t->iomem, 1);
}

static void testdev_reset(Device *dev)
{
    PcTestdev *t = testdev(dev);

    t->scratch = 0;
    memset(t->memory, 0, sizeof(t->memory));
    for (unsigned i = 0; i < IRQ_GSIS; i++) {
        irq_set(t->line[i], false);
    }
}

static const Property testdev_props[] = { PROP_END };

static const StateDesc testdev_state = {
    .name = "pc-testdev", .version = 1,
    .fields = (const StateField[]) { STATE_U32(PcTestdev, scratch), STATE_BYTES(PcTestdev, memory), STATE_END },
};

const DeviceClass pc_testdev_class = {
    .name = "pc-testdev",
    .desc = "Ports and memory for kvm-unit-tests",
    .category = "Misc",
    .bus = &isa_bus_class,
    .size = sizeof(PcTestdev),
    .props = testdev_props,
    .state = &testdev_state,
    .realize = testdev_realize,
    .unrealize = testdev_unrealize,
    .reset = testdev_reset,
};
