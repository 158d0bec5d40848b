/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The q35 board's addresses: the chips, the machine and its ACPI tables read them
 * here.
 */
#pragma once

#include "vmm/machine.h"

extern const MachineClass q35_machine_class;

#define Q35_ECAM_BASE    UINT64_C(0xb0000000)
#define Q35_ECAM_SIZE    UINT64_C(0x10000000) /* 256 buses */
#define Q35_IOAPIC_BASE  0xfec00000u
#define Q35_HPET_BASE    0xfed00000u
#define Q35_LAPIC_BASE   0xfee00000u
/* 32-bit PCI memory: behind ECAM, below the chips. */
#define Q35_MEM32_END    UINT64_C(0xfec00000)
/* Ports handed to PCI: above everything on the board. */
#define Q35_IO_BASE      0x1000u
#define Q35_IO_END       0x10000u

#define Q35_LPC_DEVFN    0xf8 /* 1f.0 */
#define Q35_PMBASE       0x600
#define Q35_PCI_HOTPLUG  0xcc0 /* hw/acpi/pci-hotplug.c */
#define Q35_CPU_HOTPLUG  0xcd8 /* hw/acpi/cpu-hotplug.c */
#define Q35_GPE0_LENGTH  16   /* status and enable, ICH9 13.8.3 */
#define Q35_SCI          9
#define Q35_SMI_CMD      0xb2
#define Q35_ACPI_ENABLE  2
#define Q35_ACPI_DISABLE 3
#define Q35_RESET_PORT   0xcf9
#define Q35_RESET_VALUE  0x0f
/* SLP_TYP of the sleep states */
#define Q35_S5_TYPE      0
#define Q35_S3_TYPE      1
#define Q35_S4_TYPE      2
/* PIRQA to PIRQH in APIC mode */
#define Q35_PIRQS        8
#define Q35_PIRQ_GSI     16
