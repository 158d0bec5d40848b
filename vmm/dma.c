/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA: device accesses to guest RAM, through the device's bus-master bit and its
 * vIOMMU.
 *
 * Locking: none.  The caller is online (vmm/epoch.h) while a function runs; what it
 * keeps beyond that is a mapping, which holds a reference on its block.
 */
#include "vmm/dma.h"

#include <errno.h>
#include <string.h>

#include "vmm/memory-view.h"

void dma_space_init(DmaSpace *dma, AddressSpace *space)
{
    *dma = (DmaSpace) { .space = space };
}

void dma_space_set_enabled(DmaSpace *dma, bool enabled)
{
    __atomic_store_n(&dma->enabled, enabled, __ATOMIC_SEQ_CST);
}

/* Where the device's address leads; *length is cut to what is contiguous. */
static bool translate(const DmaSpace *dma, uint64_t address, MemoryPermission wanted, AddressSpace **space,
                      uint64_t *target, uint64_t *length)
{
    MemoryTranslation t;

    *space = dma->space;
    *target = address;
    if (!dma->translate) {
        return true;
    }
    t = dma->translate(dma->opaque, address, wanted);
    if ((t.permission & wanted) != wanted || !t.space) {
        return false;
    }
    *space = t.space;
    *target = (t.target & ~t.mask) | (address & t.mask);
    *length = MIN(*length - 1, t.mask - (address & t.mask)) + 1;
    return true;
}

/* RAM for a prefix of the range, not empty.  The block is not referenced for the caller. */
static bool resolve(const DmaSpace *dma, uint64_t address, uint64_t length, DmaDirection direction, DmaMapping *ret)
{
    bool write = direction == DMA_TO_GUEST;
    AddressSpace *space;
    const ViewRange *r;
    uint64_t target;

    if (!__atomic_load_n(&dma->enabled, __ATOMIC_ACQUIRE) || length == 0 ||
        !translate(dma, address, write ? MEMORY_WRITE : MEMORY_READ, &space, &target, &length)) {
        return false;
    }
    r = view_find(address_space_view(space), target);
    if (!r || !r->ram || (write ? r->readonly || r->region->kind == MEMORY_ROM_DEVICE
                                : r->region->kind == MEMORY_ROM_DEVICE && !r->romd)) {
        return false;
    }
    *ret = (DmaMapping) {
        .block = r->ram,
        .offset = r->ram_offset + (target - r->first),
        .length = MIN(length - 1, r->last - target) + 1,
        .host = r->host + (target - r->first),
        .direction = direction,
    };
    return true;
}

int dma_read(DmaSpace *dma, uint64_t address, void *buffer, uint64_t length)
{
    uint8_t *to = buffer;
    DmaMapping m;

    if (length && address + (length - 1) < address) {
        return -EFAULT;
    }
    for (; length; length -= m.length, address += m.length, to += m.length) {
        if (!resolve(dma, address, length, DMA_FROM_GUEST, &m)) {
            return -EFAULT;
        }
        memcpy(to, m.host, m.length);
    }
    return 0;
}

int dma_write(DmaSpace *dma, uint64_t address, const void *buffer, uint64_t length)
{
    const uint8_t *from = buffer;
    DmaMapping m;

    if (length && address + (length - 1) < address) {
        return -EFAULT;
    }
    for (; length; length -= m.length, address += m.length, from += m.length) {
        if (!resolve(dma, address, length, DMA_TO_GUEST, &m)) {
            return -EFAULT;
        }
        memcpy(m.host, from, m.length);
        ram_dirty_set(m.block, m.offset, m.length);
    }
    return 0;
}

bool dma_map(DmaSpace *dma, uint64_t address, uint64_t length, DmaDirection direction, DmaMapping *ret)
{
    DmaMapping m;

    if (!resolve(dma, address, length, direction, &m)) {
        return false;
    }
    ram_block_ref(m.block);
    *ret = m;
    return true;
}

void dma_unmap(DmaMapping *mapping, uint64_t written)
{
    if (mapping->block) {
        if (mapping->direction == DMA_TO_GUEST) {
            ram_dirty_set(mapping->block, mapping->offset, MIN(written, mapping->length));
        }
        ram_block_unref(mapping->block);
    }
    *mapping = (DmaMapping) { 0 };
}
