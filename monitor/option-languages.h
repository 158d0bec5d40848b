/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The languages of those options that belong to the floors above the core, for options_parse().
 */
#pragma once

#include "vmm/options.h"

extern const OptionLanguage option_languages[]; /* option NULL ends */
