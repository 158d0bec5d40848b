/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses by guest-physical address to what is no whole page of RAM: devices, ROM that is
 * written to, the local APIC's register page (SDM volume 3, 11.4.1), nothing at all.
 *
 * They are made outside, since a device may take locks, change the memory map, and wait.
 */
#include "vmm/x86/soft/mmu.h"

static AddressSpace *space(const SoftCpu *cpu)
{
    return cpu->in_smm && cpu->vm->smm ? cpu->vm->smm : cpu->vm->memory;
}

/* Registers are 32 bits at multiples of 16 (SDM 3-11.4.1).  Parts of one can be read; between them is nothing. */
static uint64_t apic_load(SoftCpu *cpu, unsigned offset)
{
    unsigned lead = offset % 16;

    if (lead >= 4) {
        return 0;
    }
    return (uint64_t)cpu->hooks->apic_read(cpu, cpu->opaque, offset - lead) >> (8 * lead);
}

static uint64_t bus_load(SoftCpu *cpu, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;

    cpu->count[COUNT_MMIO]++;
    if (soft_is_apic(cpu, gpa)) {
        return apic_load(cpu, (unsigned)(gpa & (PAGE_SIZE - 1)));
    }
    memory_load(space(cpu), gpa, size, &value);
    return value;
}

static void bus_store(SoftCpu *cpu, uint64_t gpa, unsigned size, uint64_t value)
{
    unsigned offset = (unsigned)(gpa & (PAGE_SIZE - 1));

    cpu->count[COUNT_MMIO]++;
    if (!soft_is_apic(cpu, gpa)) {
        memory_store(space(cpu), gpa, size, value);
    } else if (size >= 4 && offset % 16 == 0) { /* other writes are undefined, and lost */
        cpu->hooks->apic_write(cpu, cpu->opaque, offset, (uint32_t)value);
    }
}

/* Accesses of 1, 2, 4 or 8 bytes stay one; others become aligned ones. */
static unsigned piece(uint64_t gpa, unsigned size)
{
    unsigned n = 8;

    if (size == 1 || size == 2 || size == 4 || size == 8) {
        return size;
    }
    while (n > size || gpa % n) {
        n /= 2;
    }
    return n;
}

void soft_bus_read(SoftCpu *cpu, uint64_t gpa, void *to, unsigned size)
{
    bool inside = cpu->inside;

    if (inside) {
        soft_outside_begin(cpu);
    }
    for (unsigned done = 0, n; done < size; done += n) {
        uint64_t value;

        n = piece(gpa + done, size - done);
        value = bus_load(cpu, gpa + done, n);
        soft_copy((uint8_t *)to + done, &value, n);
    }
    if (inside) {
        soft_outside_end(cpu);
    }
}

void soft_bus_write(SoftCpu *cpu, uint64_t gpa, const void *from, unsigned size)
{
    soft_outside_begin(cpu);
    for (unsigned done = 0, n; done < size; done += n) {
        uint64_t value = 0;

        n = piece(gpa + done, size - done);
        soft_copy(&value, (const uint8_t *)from + done, n);
        bus_store(cpu, gpa + done, n, value);
    }
    soft_outside_end(cpu);
}
