/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TELNET streams, in two pieces and in place: whatever comes, no more goes on than came, the answers are whole
 * commands, and what is encoded has its bound.
 */
#include "vmm/telnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_all(Telnet *t, uint8_t *data, size_t size, GByteArray *answer)
{
    while (size) {
        TelnetInput in = telnet_decode(t, data, size, data, answer);

        g_assert(in.used > 0 && in.used <= size && in.length <= in.used);
        data += in.used;
        size -= in.used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree uint8_t *copy = g_memdup2(data, size), *out = g_malloc(TELNET_ENCODED_MAX(size));
    g_autoptr(GByteArray) answer = g_byte_array_new();
    size_t first;
    Telnet telnet;

    if (!size) {
        return 0;
    }
    first = MIN(data[0] >> 1, size);
    telnet_start(&telnet, data[0] & 1, answer);
    g_byte_array_set_size(answer, 0);
    decode_all(&telnet, copy, first, answer);
    decode_all(&telnet, copy + first, size - first, answer);
    g_assert(answer->len % 3 == 0 && answer->len <= size);
    g_assert(telnet_encode(&telnet, data, size, out) <= TELNET_ENCODED_MAX(size));
    return 0;
}
