/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A flattened device tree (Devicetree Specification 0.4) of a microvm, by libfdt, for
 * kernels without ACPI and for dumpdtb=.  x86 bindings: Linux' devicetree/bindings/x86.
 * Main thread.
 */
#pragma once

#include "vmm/machine.h"

#define FDT_MAX 65536

typedef struct FdtDevice {
    const char *name, *compatible; /* "virtio_mmio", "virtio,mmio" */
    uint64_t address, size;        /* size 0: no address; in ports: `ports` */
    bool ports;
    int gsi;                       /* -1: none */
    bool level;
} FdtDevice;

typedef struct FdtFacts {
    const Machine *machine;
    uint64_t below_4g, above_4g;
    uint32_t lapic_address, ioapic_address;
    const FdtDevice *devices;
    unsigned n_devices;
    const char *stdout_path; /* NULL: none */
    const char *bootargs;    /* NULL: none */
} FdtFacts;

/* NULL: more than the FDT_MAX bytes a device tree may have. */
GByteArray *fdt_build(const FdtFacts *facts, GError **error);
