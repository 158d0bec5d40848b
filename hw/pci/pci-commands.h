/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI functions, for monitor clients.
 */
#pragma once

#include "vmm/command.h"

extern const Command pci_commands[];
