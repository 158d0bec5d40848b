/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI of PC boards with PCI (q35): the DSDT around the fixed tables.  The board
 * gives the facts it is built from; ISA devices add their own objects by the aml
 * hook of their class.  Main thread.
 */
#pragma once

#include "hw/acpi/tables.h"
#include "vmm/machine.h"

#define PC_PIRQS 8

typedef struct PcAcpi {
    const Machine *machine;
    uint64_t below_4g, above_4g;
    /* Power management */
    uint16_t pm_base;
    uint8_t gpe0_length, sci;
    uint16_t smi_command;  /* 0: always in ACPI mode */
    uint8_t acpi_enable, acpi_disable;
    uint8_t s3_type, s4_type, s5_type; /* SLP_TYP values */
    bool s3, s4;               /* whether there are these */
    uint16_t reset_port;
    uint8_t reset_value;
    /* Interrupts */
    uint32_t ioapic_address, lapic_address, hpet_address; /* hpet 0: absent */
    uint8_t century;
    bool pic, pit, i8042;
    /* PCI */
    uint64_t ecam;
    uint8_t last_bus;
    uint64_t mem32_first, mem32_last, mem64_first, mem64_last; /* mem64_last 0: none */
    uint8_t lpc_devfn;     /* the ISA bridge; PIRQ registers at config 0x60-0x63 and 0x68-0x6b */
    unsigned (*pirq)(unsigned slot, unsigned pin); /* 0..7: PIRQA-PIRQH of INTA + pin of a slot of bus 0 */
    uint16_t hotplug_base; /* ports of PCI hot plug by ACPI; 0: none, the kernel controls that of PCI Express itself */
    uint8_t hotplug_ports;
    uint16_t cpu_hotplug_base; /* ports of CPU hot plug; 0: none */
    uint32_t pirq_gsi;     /* GSI of PIRQA in APIC mode, the others follow */
} PcAcpi;

bool pc_acpi_build(const PcAcpi *pc, AcpiTables *ret, GError **error);
