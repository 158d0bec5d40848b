/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerator and its statistics, for monitor clients.
 */
#pragma once

#include "vmm/command.h"

extern const Command accel_commands[];
