/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pieces of guest memory into a file: memsave, pmemsave.
 */
#pragma once

#include "vmm/command.h"

extern const Command memory_commands[];
