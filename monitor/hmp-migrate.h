/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands of people about moving the domain; see monitor/hmp.h. */
#pragma once

#include "monitor/hmp.h"

bool hmp_migrate(HmpCall *call, GError **error);
bool hmp_migrate_set_capability(HmpCall *call, GError **error);
bool hmp_migrate_set_parameter(HmpCall *call, GError **error);
bool hmp_calc_dirty_rate(HmpCall *call, GError **error);
void hmp_print_migrate(const Json *reply, GString *out);
void hmp_print_capabilities(const Json *reply, GString *out);
void hmp_print_parameters(const Json *reply, GString *out);
void hmp_print_dirty_rate(const Json *reply, GString *out);
