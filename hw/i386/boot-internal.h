/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What booting (hw/i386/boot.c) and waking (hw/i386/boot-wake.c) share.  Main thread. */
#pragma once

#include <stdint.h>

typedef struct Domain Domain;

/* Page tables that map the first 4 GiB onto themselves in pages of 2 MiB, to be at guest address `address`. */
#define X86_IDENTITY_MAP_SIZE (6 * 4096)
void x86_boot_identity_map(uint8_t *p, uint64_t address);
void x86_boot_enable_mtrrs(Domain *domain);
