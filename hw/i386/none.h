/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine none, for hw/devices.c. */
#pragma once

#include "vmm/machine.h"

extern const MachineClass none_machine_class;
