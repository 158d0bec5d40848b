/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a monitor can do, told by the tables: query-commands, query-qmp-schema.
 */
#pragma once

#include "vmm/command.h"

extern const Command introspect_commands[];
