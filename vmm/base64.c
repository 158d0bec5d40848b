/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See vmm/base64.h. */
#include "vmm/base64.h"

#include <string.h>

#include "vmm/error.h"

uint8_t *base64_decode(const char *text, size_t *ret_length, GError **error)
{
    size_t digits = 0, fill = 0;

    for (const char *p = text; *p; p++) {
        if (*p == '=') {
            fill++;
        } else if (g_ascii_isalnum(*p) || *p == '+' || *p == '/') {
            if (fill) {
                error_set(error, "the base64 text goes on after its end");
                return NULL;
            }
            digits++;
        } else if (!g_ascii_isspace(*p)) {
            error_set(error, "'%c' is no base64 digit", g_ascii_isprint(*p) ? *p : '?');
            return NULL;
        }
    }
    if ((digits + fill) % 4 || fill > 2) {
        error_set(error, "the base64 text is incomplete");
        return NULL;
    }
    return digits ? g_base64_decode(text, ret_length) : (*ret_length = 0, g_malloc0(1));
}
