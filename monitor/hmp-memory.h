/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at memory: x, xp, print, gva2gpa.
 */
#pragma once

#include "monitor/hmp.h"

bool hmp_x(HmpCall *call, GError **error);
bool hmp_xp(HmpCall *call, GError **error);
bool hmp_print(HmpCall *call, GError **error);
bool hmp_gva2gpa(HmpCall *call, GError **error);
