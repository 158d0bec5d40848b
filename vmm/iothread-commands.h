/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iothreads, for monitor clients.
 */
#pragma once

#include "vmm/command.h"

extern const Command iothread_commands[];
