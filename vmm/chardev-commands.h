/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor commands that make, look at and remove chardevs.
 */
#pragma once

#include "vmm/command.h"

extern const Command chardev_commands[];
