/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The microvm machine, for hw/devices.c. */
#pragma once

#include "vmm/machine.h"

extern const MachineClass microvm_machine_class;
