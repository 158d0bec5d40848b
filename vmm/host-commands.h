/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that monitor clients pass: getfd, closefd, add-fd, remove-fd, query-fdsets.
 */
#pragma once

#include "vmm/command.h"

extern const Command host_commands[];
