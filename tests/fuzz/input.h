/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of a fuzzer's input, taken one after the other to decide what happens next. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct Input { const uint8_t *data; size_t length; } Input;

/* Nothing is left: 0. */
static inline unsigned take(Input *in)
{
    if (!in->length) {
        return 0;
    }
    in->length--;
    return *in->data++;
}

static inline unsigned take16(Input *in)
{
    unsigned low = take(in);

    return low | take(in) << 8;
}
