/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt controllers and the interval timer, as the guest drives them: local APIC
 * (SDM 3-11), IOAPIC (82093AA), PIC (8259A), PIT (8254).
 */
#include "guest.h"

#define LAPIC_BASE  0xfee00000
#define IOAPIC_BASE 0xfec00000

uint32_t lapic_read(unsigned reg)
{
    return mmio_read(LAPIC_BASE + reg);
}

void lapic_write(unsigned reg, uint32_t value)
{
    mmio_write(LAPIC_BASE + reg, value);
}

void lapic_enable(void)
{
    lapic_write(0xf0, 0x100 | VECTOR_SPURIOUS);
}

void lapic_eoi(void)
{
    lapic_write(0xb0, 0);
}

uint32_t lapic_id(void)
{
    return lapic_read(0x20) >> 24;
}

void lapic_ipi(uint32_t id, uint32_t command)
{
    lapic_write(0x310, id << 24);
    lapic_write(0x300, command);
}

uint32_t ioapic_read(unsigned reg)
{
    mmio_write(IOAPIC_BASE, reg);
    return mmio_read(IOAPIC_BASE + 0x10);
}

void ioapic_write(unsigned reg, uint32_t value)
{
    mmio_write(IOAPIC_BASE, reg);
    mmio_write(IOAPIC_BASE + 0x10, value);
}

void pic_init(uint16_t mask)
{
    out8(0x20, 0x11);
    out8(0xa0, 0x11);
    out8(0x21, VECTOR_PIC);
    out8(0xa1, VECTOR_PIC + 8);
    out8(0x21, 4);
    out8(0xa1, 2);
    out8(0x21, 1);
    out8(0xa1, 1);
    out8(0x21, (uint8_t)mask);
    out8(0xa1, (uint8_t)(mask >> 8));
}

void pic_eoi(unsigned irq)
{
    if (irq >= 8) {
        out8(0xa0, 0x20);
    }
    out8(0x20, 0x20);
}

void pit_start(uint16_t count)
{
    out8(0x43, 0x34); /* channel 0, both bytes, rate generator */
    out8(0x40, (uint8_t)count);
    out8(0x40, (uint8_t)(count >> 8));
}

void pit_stop(void)
{
    out8(0x43, 0x30); /* mode 0 without a count: no more edges */
}
