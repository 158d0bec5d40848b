/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS tables (DMTF DSP0134 3.4.0): what -smbios says, with defaults from the
 * machine.  Types 0 (only if asked for), 1, 2 (likewise), 3, 4, 11 (likewise), 16,
 * 17, 19, 32, 127.  Both entry points, 2.8 and 3.0.  Main thread.
 */
#pragma once

#include "vmm/field.h"
#include "vmm/machine.h"

extern const FieldStruct smbios_options; /* -smbios type=N,key=value */

/* The bytes to put at `address` (16-byte aligned, within 0xf0000-0xfffff for guests that scan);
 * machine->smbios holds the option texts.  NULL: an option is wrong, or more than `room` bytes. */
GByteArray *smbios_build(const Machine *machine, uint64_t below_4g, uint64_t above_4g, uint64_t address, size_t room,
                         GError **error);
