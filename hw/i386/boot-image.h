/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the formats of kernels tell the loader (hw/i386/boot.c).  Pure functions over
 * an open file: nothing is loaded here.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* ACPI 6.4 table 15.2, address range types */
typedef enum E820Type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 } E820Type;
typedef struct E820Entry { uint64_t address, size; uint32_t type; } E820Entry;

typedef enum KernelEntry {
    KERNEL_ENTRY_LINUX64, /* long mode, RSI: zero page */
    KERNEL_ENTRY_LINUX32, /* protected mode, ESI: zero page */
    KERNEL_ENTRY_PVH,     /* protected mode, EBX: hvm_start_info */
    KERNEL_ENTRY_MULTIBOOT, /* protected mode, EAX: magic, EBX: Multiboot information */
} KernelEntry;

/* A piece of the file to be read to a guest-physical address; the rest up to memory_size is zeroed. */
typedef struct KernelSegment { uint64_t file_offset, file_size, address, memory_size; } KernelSegment;
#define KERNEL_SEGMENTS_MAX 32

typedef struct KernelImage {
    KernelEntry kind;
    uint64_t entry;
    KernelSegment segment[KERNEL_SEGMENTS_MAX];
    unsigned segments;
    uint64_t end;              /* of everything the kernel needs before it knows the map */
    uint64_t initrd_max;       /* highest address of an initrd's last byte */
    uint32_t cmdline_max;      /* bytes without the terminating zero */
    uint8_t header[0x290 - 0x1f1]; /* setup header of a bzImage, as in the file; else zero */
    uint32_t header_length;
} KernelImage;

/* name is for messages.  below_4g: bytes of RAM from 0 on; a kernel that cannot be there is refused. */
bool kernel_image_probe(int fd, const char *name, uint64_t below_4g, KernelImage *ret, GError **error);
bool kernel_image_probe_bzimage(int fd, const char *name, const uint8_t *head, size_t head_length, uint64_t file_size,
                                uint64_t below_4g, KernelImage *ret, GError **error);
bool kernel_image_probe_elf(int fd, const char *name, const uint8_t *head, size_t head_length, uint64_t file_size,
                            uint64_t below_4g, KernelImage *ret, GError **error);

/* Whether there is a Multiboot header in the file's first bytes, and where. */
bool kernel_image_is_multiboot(const uint8_t *head, size_t length, size_t *ret_at);
bool kernel_image_probe_multiboot(int fd, const char *name, const uint8_t *head, size_t head_length, size_t at,
                                  uint64_t file_size, uint64_t below_4g, KernelImage *ret, GError **error);

/* What a Multiboot kernel is told; addresses are guest-physical, module_end 0: no module. */
typedef struct MultibootInfo {
    uint32_t address; /* of the page that it is written to */
    uint32_t cmdline, module_start, module_end;
    uint64_t below_4g;
    const E820Entry *e820;
    unsigned e820_entries;
} MultibootInfo;
#define MULTIBOOT_LOADER_MAGIC 0x2badb002
void multiboot_write_info(uint8_t page[4096], const MultibootInfo *info);

/* pread(2) of exactly length bytes; an early end of the file is -ENODATA. */
int kernel_image_read(int fd, void *buffer, uint64_t length, uint64_t offset);
