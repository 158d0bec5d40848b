/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line as a whole, the languages of the floors above the core included; and, for clients, a description.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/options.h"

extern const OptionLanguage option_languages[]; /* option NULL ends */
extern const Command command_line_commands[];
