/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU's registers as GDB sees them.  One table says which there are, in which order
 * they go over the wire, and how GDB shows them.  Main thread, vCPUs parked.
 */
#pragma once

#include "vmm/vcpu.h"

#define GDB_REGISTER_MAX 16 /* bytes of the longest */

/* What a domain's vCPUs have; constant. */
typedef struct GdbRegisterSet {
    unsigned features; /* of the table's */
    unsigned count;    /* of registers, numbered from 0 */
} GdbRegisterSet;

void gdb_registers_init(GdbRegisterSet *set, const Vcpu *vcpu);
/* The target description, target.xml. */
char *gdb_registers_describe(const GdbRegisterSet *set);
/* n is below the set's count. */
unsigned gdb_register_size(unsigned n); /* bytes */
/* Of a vCPU whose state was fetched; little endian, as many bytes as it has. */
void gdb_register_read(const Vcpu *vcpu, unsigned n, uint8_t *ret);
/* False: it cannot have this value, and keeps the one it had. */
bool gdb_register_write(Vcpu *vcpu, unsigned n, const uint8_t *value);
