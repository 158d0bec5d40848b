/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA: how a device reaches guest memory.  Every device has its own DmaSpace,
 * which knows its bus-master bit and its vIOMMU.  DMA goes to RAM; what lands on
 * MMIO fails instead of re-entering a device.  Any registered thread; data-path
 * functions take no lock.
 *
 * A mapping holds a reference on its block, so it survives a change of the view.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "vmm/memory.h"

typedef struct DmaSpace {
    AddressSpace *space;
    bool enabled;          /* PCI COMMAND.BME; written with atomics */
    MemoryTranslateFn translate; /* NULL: addresses are guest-physical */
    void *opaque;
} DmaSpace;

typedef enum DmaDirection { DMA_FROM_GUEST, DMA_TO_GUEST } DmaDirection; /* the device reads; the device writes */

void dma_space_init(DmaSpace *dma, AddressSpace *space);
void dma_space_set_enabled(DmaSpace *dma, bool enabled);
/* 0, or -EFAULT when part of the range is no RAM the device may reach (nothing beyond it is touched). */
int dma_read(DmaSpace *dma, uint64_t address, void *buffer, uint64_t length);
int dma_write(DmaSpace *dma, uint64_t address, const void *buffer, uint64_t length);

typedef struct DmaMapping {
    RamBlock *block; /* NULL: nothing mapped */
    uint64_t offset;
    uint64_t length;
    void *host;
    DmaDirection direction;
} DmaMapping;
/* Maps a prefix of the range (ret->length <= length, > 0); false: no RAM there. */
bool dma_map(DmaSpace *dma, uint64_t address, uint64_t length, DmaDirection direction, DmaMapping *ret);
/* written: how many bytes the device wrote, marked dirty.  Clears the mapping. */
void dma_unmap(DmaMapping *mapping, uint64_t written);
