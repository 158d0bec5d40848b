/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved state, for monitor clients.
 */
#pragma once

#include "vmm/command.h"

extern const Command state_commands[];
