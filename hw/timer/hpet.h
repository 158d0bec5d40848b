/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "hpet": the high precision event timer.
 */
#pragma once

#include "vmm/device.h"

#define HPET_ADDRESS   UINT64_C(0xfed00000)
#define HPET_WINDOW    0x400
#define HPET_PERIOD_FS 10000000 /* 100 MHz */

extern const DeviceClass hpet_class;
