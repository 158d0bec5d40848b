/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "isa-pit": the interval timer of a PC and its speaker gate.
 */
#pragma once

#include "vmm/device.h"

#define I8254_HZ 1193182

extern const DeviceClass i8254_class;
