/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI: configuration by ports, BARs, and an MSI-X interrupt from a virtio-rng, if
 * there is one (Virtio 1.2, 4.1): one buffer goes through its queue.
 */
#include "guest.h"

#define VIRTIO_RNG   0x10441af4
#define CAP_VENDOR   0x09
#define CAP_MSIX     0x11
#define QUEUE_SIZE   4
#define BUFFER_BYTES 32

typedef struct Function {
    uint32_t slot;
    uint64_t common, notify; /* addresses of the structures, 0: none */
    uint32_t notify_multiplier;
    uint32_t msix;           /* offset of the capability, 0: none */
} Function;

static uint32_t config_read(uint32_t slot, uint32_t offset)
{
    out32(0xcf8, 0x80000000 | slot << 11 | (offset & 0xfc));
    return in32(0xcfc);
}

static void config_write(uint32_t slot, uint32_t offset, uint32_t value)
{
    out32(0xcf8, 0x80000000 | slot << 11 | (offset & 0xfc));
    out32(0xcfc, value);
}

static uint8_t config_byte(uint32_t slot, uint32_t offset)
{
    return (uint8_t)(config_read(slot, offset) >> 8 * (offset & 3));
}

static bool has_pci(void)
{
    return (uint16_t)config_read(0, 0) != 0xffff;
}

static bool test_host_bridge_has_its_class(void)
{
    uint32_t class = config_read(0, 8) >> 16;

    return !has_pci() || class == 0x0600 || failed("class", class);
}

static bool test_absent_function_reads_as_ones(void)
{
    uint32_t id = config_read(17, 0);

    return id == UINT32_MAX || failed("function 17.0 reads", id);
}

static uint32_t find_virtio_rng(void)
{
    for (uint32_t slot = 1; slot < 32; slot++) {
        if (config_read(slot, 0) == VIRTIO_RNG) {
            return slot;
        }
    }
    return 0;
}

/* One to one, 2 MiB; addresses of one GiB above 4 GiB are enough for one function. */
static void map_high(uint64_t address)
{
    static uint64_t directory[512] __attribute__((aligned(4096)));

    if (address >> 32) {
        page_directory_pointers[address >> 30] = (uint64_t)directory | 7;
        directory[address >> 21 & 511] = (address & ~UINT64_C(0x1fffff)) | 0x87;
    }
}

static uint64_t bar_address(uint32_t slot, unsigned bar)
{
    uint32_t low = config_read(slot, 0x10 + 4 * bar);
    uint64_t high = (low & 6) == 4 ? config_read(slot, 0x14 + 4 * bar) : 0;

    map_high(high << 32 | (low & ~15u));
    return high << 32 | (low & ~15u);
}

static bool test_bar_tells_its_size(void)
{
    uint32_t slot = find_virtio_rng(), old, size;
    unsigned bar = 0;

    if (!slot) {
        return true;
    }
    while (bar < 6 && !(old = config_read(slot, 0x10 + 4 * bar))) {
        bar++;
    }
    if (bar == 6) {
        return failed("no BAR in slot", slot);
    }
    config_write(slot, 0x10 + 4 * bar, UINT32_MAX);
    size = ~(config_read(slot, 0x10 + 4 * bar) & ~15u) + 1;
    config_write(slot, 0x10 + 4 * bar, old);
    return (size >= 16 && !(size & (size - 1))) || failed("size", size);
}

static void find_structures(Function *f)
{
    for (uint32_t cap = config_byte(f->slot, 0x34); cap; cap = config_byte(f->slot, cap + 1)) {
        uint8_t type = config_byte(f->slot, cap + 3);
        uint64_t address;

        if (config_byte(f->slot, cap) == CAP_MSIX) {
            f->msix = cap;
        }
        if (config_byte(f->slot, cap) != CAP_VENDOR || type > 2) {
            continue;
        }
        address = bar_address(f->slot, config_byte(f->slot, cap + 4)) + config_read(f->slot, cap + 8);
        if (type == 1) {
            f->common = address;
        } else if (type == 2) {
            f->notify = address;
            f->notify_multiplier = config_read(f->slot, cap + 16);
        }
    }
}

/* The queue, 2.7: descriptor table, available ring, used ring. */
static struct {
    struct { uint64_t address; uint32_t length; uint16_t flags, next; } descriptor[QUEUE_SIZE];
} table __attribute__((aligned(16)));
static volatile struct { uint16_t flags, index, ring[QUEUE_SIZE], event; } available;
static volatile struct { uint16_t flags, index; struct { uint32_t id, length; } ring[QUEUE_SIZE]; } used
    __attribute__((aligned(4)));
static uint8_t buffer[BUFFER_BYTES];

static void write8(uint64_t address, uint8_t value)
{
    *(volatile uint8_t *)address = value;
}

static void write16(uint64_t address, uint16_t value)
{
    *(volatile uint16_t *)address = value;
}

static uint16_t read16(uint64_t address)
{
    return *(volatile uint16_t *)address;
}

static void write_address(uint64_t at, const volatile void *value)
{
    mmio_write(at, (uint32_t)(uintptr_t)value);
    mmio_write(at + 4, 0);
}

/* 3.1.1: the steps of initialization; features: VERSION_1 alone.  false: the device refused them. */
static bool start_device(const Function *f)
{
    write8(f->common + 20, 0);
    write8(f->common + 20, 3);
    mmio_write(f->common + 8, 0);
    mmio_write(f->common + 12, 0);
    mmio_write(f->common + 8, 1);
    mmio_write(f->common + 12, 1);
    write8(f->common + 20, 11);
    if (!(*(volatile uint8_t *)(f->common + 20) & 8)) {
        return false;
    }
    write16(f->common + 22, 0);
    write16(f->common + 24, QUEUE_SIZE);
    write16(f->common + 26, 0); /* MSI-X vector 0 */
    write_address(f->common + 32, &table);
    write_address(f->common + 40, &available);
    write_address(f->common + 48, &used);
    write16(f->common + 28, 1);
    write8(f->common + 20, 15);
    return true;
}

static void set_msix(const Function *f)
{
    uint32_t where = config_read(f->slot, f->msix + 4);
    uint64_t entry = bar_address(f->slot, where & 7) + (where & ~7u);

    config_write(f->slot, f->msix, config_read(f->slot, f->msix) | 0x80000000);
    mmio_write(entry, 0xfee00000 | lapic_id() << 12);
    mmio_write(entry + 4, 0);
    mmio_write(entry + 8, VECTOR_MSIX);
    mmio_write(entry + 12, 0);
}

static bool test_virtio_rng_interrupts_by_msix(void)
{
    Function f = { .slot = find_virtio_rng() };
    uint32_t before = interrupts[VECTOR_MSIX];
    unsigned zeroes = 0;

    if (!f.slot) {
        return true;
    }
    config_write(f.slot, 4, config_read(f.slot, 4) | 6); /* memory, bus master */
    find_structures(&f);
    if (!f.common || !f.notify || !f.msix) {
        return failed("structures are missing in slot", f.slot);
    }
    set_msix(&f);
    if (!start_device(&f)) {
        return failed("features were refused, status", *(volatile uint8_t *)(f.common + 20));
    }
    table.descriptor[0].address = (uint64_t)buffer;
    table.descriptor[0].length = BUFFER_BYTES;
    table.descriptor[0].flags = 2; /* the device writes */
    available.ring[0] = 0;
    available.index = 1;
    write16(f.notify + (uint64_t)read16(f.common + 30) * f.notify_multiplier, 0);
    wait_interrupt(VECTOR_MSIX, before + 1);
    if (used.index != 1 || used.ring[0].length == 0) {
        return failed("used index", used.index);
    }
    for (unsigned i = 0; i < BUFFER_BYTES; i++) {
        zeroes += buffer[i] == 0;
    }
    return zeroes < BUFFER_BYTES || failed("zero bytes", zeroes);
}

const Test pci_tests[] = {
    { "pci: the host bridge has its class", test_host_bridge_has_its_class },
    { "pci: an absent function reads as ones", test_absent_function_reads_as_ones },
    { "pci: a BAR tells its size", test_bar_tells_its_size },
    { "virtio-rng: interrupts by MSI-X", test_virtio_rng_interrupts_by_msix },
    { NULL, NULL },
};
