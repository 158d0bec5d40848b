/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MAC addresses as people write them.
 */
#include <stdio.h>
#include <string.h>

#include "net/net.h"
#include "vmm/error.h"

static bool mac_parse(const char *text, void *value, GError **error)
{
    uint8_t *mac = value;
    char end;

    if (strlen(text) != 17 || sscanf(text, "%hhx%*1[:-]%hhx%*1[:-]%hhx%*1[:-]%hhx%*1[:-]%hhx%*1[:-]%hhx%c", &mac[0],
                                     &mac[1], &mac[2], &mac[3], &mac[4], &mac[5], &end) != NET_MAC_BYTES) {
        return error_set(error, "'%s' is no MAC address", text);
    }
    if (mac[0] & 1) {
        error_set(error, "'%s' is a group address, not that of a NIC", text);
        return error_hint(error, "The first byte of a NIC's address is even, as in 52:54:00:12:34:56.");
    }
    return true;
}

static char *mac_format(const void *value)
{
    const uint8_t *mac = value;

    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

const FieldCodec net_mac_codec = {
    .name = "MAC address", .example = "52:54:00:12:34:56", .size = NET_MAC_BYTES, .parse = mac_parse,
    .format = mac_format,
};
