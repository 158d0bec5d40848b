/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fixed ACPI tables (ACPI 6.4, chapter 5): RSDP, XSDT, FADT, FACS, MADT, MCFG,
 * HPET, SRAT, SLIT, around a DSDT that the board writes with hw/acpi/aml.h.
 *
 * A board says what it is made of in AcpiFacts; nothing here knows a board.
 * Main thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/device.h"

/* 5.2.10: offsets in the FACS, and its flags */
enum {
    FACS_LENGTH = 4, FACS_WAKING_VECTOR = 12, FACS_X_WAKING_VECTOR = 24, FACS_OSPM_FLAGS = 36, FACS_SIZE = 64,
    FACS_64BIT_WAKE_SUPPORTED = 1 << 1, FACS_OSPM_64BIT_WAKE = 1 << 0,
};

typedef struct AcpiCpu {
    uint32_t apic_id;
    bool enabled; /* false: may be plugged later */
    uint32_t node;
} AcpiCpu;

typedef struct AcpiMemory { uint64_t address, size; uint32_t node; bool hotplug; } AcpiMemory;
/* An ISA interrupt that is not GSI = IRQ, edge, high: MADT 5.2.12.5. flags as there. */
typedef struct AcpiOverride { uint8_t irq; uint32_t gsi; uint16_t flags; } AcpiOverride;
#define ACPI_LEVEL_HIGH 0xd
#define ACPI_CONFORMING 0

typedef struct AcpiFacts {
    const uint8_t *dsdt; /* AML, without header */
    size_t dsdt_length;
    const AcpiCpu *cpus;
    unsigned n_cpus;
    /* Interrupts */
    uint32_t lapic_address, ioapic_address;
    uint8_t ioapic_id;
    bool pic;            /* 8259 pair present */
    const AcpiOverride *overrides;
    unsigned n_overrides;
    /* Power management: PC style blocks, or hardware-reduced (pm_base unused then) */
    bool hw_reduced;
    uint16_t pm_base;    /* PM1a_EVT +0, PM1a_CNT +4, PM_TMR +8, GPE0 +0x20 */
    uint8_t gpe0_length; /* bytes; 0: no GPE block */
    uint8_t sci;
    uint16_t smi_command; /* 0: always in ACPI mode */
    uint8_t acpi_enable, acpi_disable;
    struct { uint8_t space; uint64_t address; uint8_t value; } reset; /* space 0: memory, 1: ports; address 0: none */
    uint64_t sleep_control, sleep_status; /* hardware-reduced, memory; 0: none */
    uint8_t century;     /* RTC index; 0: none */
    bool i8042, legacy_devices, vga;
    /* Others, 0: absent */
    uint32_t hpet_address;
    uint64_t ecam;
    uint8_t ecam_last_bus;
    const AcpiMemory *memory; /* of NUMA; NULL: no SRAT */
    unsigned n_memory;
    const uint8_t *distances; /* nodes * nodes; NULL: no SLIT */
    unsigned nodes;
} AcpiFacts;

typedef struct AcpiTables {
    GByteArray *blob; /* to be put at `address` */
    uint64_t address, rsdp;
    uint64_t facs; /* 0: none (hardware-reduced) */
} AcpiTables;

/* false: more than `room` bytes; error set. */
bool acpi_tables_build(const AcpiFacts *facts, uint64_t address, uint64_t room, AcpiTables *ret, GError **error);
void acpi_tables_clear(AcpiTables *tables);

/* The objects of all devices that have one (DeviceClass.aml), into the open scope. */
void acpi_write_devices(struct Aml *aml, Domain *domain);
