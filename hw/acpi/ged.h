/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the FADT of hardware-reduced machines finds hw/acpi/ged.c's registers. */
#pragma once

#include "vmm/device.h"

#define ACPI_GED_BASE        UINT64_C(0xfea00000)
#define ACPI_GED_SLEEP_CTL   0x200
#define ACPI_GED_SLEEP_STS   0x201
#define ACPI_GED_RESET       0x202
#define ACPI_GED_RESET_VALUE 0x42
#define ACPI_GED_S5_TYPE     5

extern const DeviceClass acpi_ged_class;
