/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's identity, for monitor clients.
 */
#pragma once

#include "vmm/command.h"

extern const Command domain_commands[];
extern const FieldEnum sys_emu_target_enum; /* architectures of guests */
