/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast a guest changes its memory: calc-dirty-rate and query-dirty-rate, asked before a migration.
 */
#pragma once

#include "vmm/command.h"

extern const Command dirty_rate_commands[];
