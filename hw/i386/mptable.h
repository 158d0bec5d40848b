/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MultiProcessor Specification 1.4 tables, for machines with acpi=off: without them
 * a kernel finds neither its other processors nor the IOAPIC.  Main thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* One PCI interrupt: pin `pin` (0: INTA) of `slot` on bus 0 is IOAPIC input `gsi`. */
typedef struct MpPciIrq { uint8_t slot, pin, gsi; } MpPciIrq;

typedef struct MpFacts {
    const uint32_t *apic_ids;
    unsigned cpus;
    uint32_t signature, feature_flags; /* CPUID leaf 1, EAX and EDX */
    uint32_t lapic_address, ioapic_address;
    uint8_t ioapic_id;
    bool pit;        /* IRQ 0 at input 2 */
    bool pci;
    uint32_t level_irqs; /* ISA IRQs that are level triggered, bit per IRQ */
    const MpPciIrq *pci_irqs;
    unsigned n_pci_irqs;
} MpFacts;

/* The bytes to put at `address` (16-byte aligned, within 0xf0000-0xfffff).  NULL: more than `room`
 * bytes or more CPUs than 8-bit APIC ids can name. */
GByteArray *mptable_build(const MpFacts *facts, uint64_t address, size_t room, GError **error);
