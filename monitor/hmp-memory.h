/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Looking at memory, and reaching into it: x, xp, print, gva2gpa (hmp-memory.c); the others (hmp-access.c).
 */
#pragma once

#include "monitor/hmp.h"

typedef struct HmpFormat {
    unsigned count, size; /* size: bytes */
    char kind;            /* x d u o c i */
} HmpFormat;
/* "/4xg" and what follows; without it *f stays. */
bool hmp_parse_format(const char **text, HmpFormat *f, GError **error);
/* An expression (monitor/expression.h) over the session's vCPU, which is frozen if it names registers. */
bool hmp_parse_value(HmpCall *call, const char **text, uint64_t *ret, GError **error);

bool hmp_x(HmpCall *call, GError **error);
bool hmp_xp(HmpCall *call, GError **error);
bool hmp_print(HmpCall *call, GError **error);
bool hmp_gva2gpa(HmpCall *call, GError **error);

bool hmp_sum(HmpCall *call, GError **error);
bool hmp_in(HmpCall *call, GError **error);
bool hmp_out(HmpCall *call, GError **error);
bool hmp_gpa2hva(HmpCall *call, GError **error);
bool hmp_memsave(HmpCall *call, GError **error);
bool hmp_pmemsave(HmpCall *call, GError **error);
bool hmp_dump_guest_memory(HmpCall *call, GError **error);
