/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object tree for people.
 */
#pragma once

#include "monitor/hmp.h"

bool hmp_qom_list(HmpCall *call, GError **error);
bool hmp_qom_get(HmpCall *call, GError **error);
bool hmp_qom_set(HmpCall *call, GError **error);
void hmp_complete_qom_path(HmpSession *session, const char *begin, GPtrArray *words);
void hmp_complete_qom_property(HmpSession *session, const char *begin, GPtrArray *words); /* behind a path */
