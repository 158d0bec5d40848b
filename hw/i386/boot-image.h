/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the formats of kernels tell the loader (hw/i386/boot.c).  Pure functions over
 * an open file: nothing is loaded here.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum KernelEntry {
    KERNEL_ENTRY_LINUX64, /* long mode, RSI: zero page */
    KERNEL_ENTRY_LINUX32, /* protected mode, ESI: zero page */
    KERNEL_ENTRY_PVH,     /* protected mode, EBX: hvm_start_info */
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

/* pread(2) of exactly length bytes; an early end of the file is -ENODATA. */
int kernel_image_read(int fd, void *buffer, uint64_t length, uint64_t offset);
