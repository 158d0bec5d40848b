/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a RAM block's host memory is made; inside vmm/ram.c.
 */
#pragma once

#include "vmm/ram.h"

typedef struct RamMapping {
    uint8_t *host;
    uint64_t size, page_size;
    void *reserved;          /* with a guard page on either side */
    uint64_t reserved_size;
    int fd;                  /* -1: anonymous */
    uint64_t file_offset;
    bool shared, readonly, discard_data;
    bool merge, dump, bound;  /* as the backing says; bound: to NUMA nodes of the host */
    bool named, preallocated; /* named: it is a file that others may open */
    bool overlaid;            /* parts of it show another file */
    bool tells_holes;         /* the host knows which of its pages are there */
} RamMapping;

bool ram_mapping_new(RamMapping *ret, const char *id, uint64_t size, const RamBacking *backing, GError **error);
void ram_mapping_free(RamMapping *map);
int ram_mapping_set_huge(const RamMapping *map, bool huge);
int ram_mapping_overlay(RamMapping *map, uint64_t offset, uint64_t length, int fd, uint64_t file_offset);
void ram_mapping_clear(const RamMapping *map, uint64_t offset, uint64_t length, bool sparse);
int ram_mapping_discard(RamMapping *map, uint64_t offset, uint64_t length);
