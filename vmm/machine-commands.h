/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines, for monitor clients.
 */
#pragma once

#include "vmm/command.h"

extern const Command machine_commands[];
