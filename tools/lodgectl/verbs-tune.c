/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a running domain gets of the host's memory: setmem (the balloon).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/lodgectl/domains.h"
#include "tools/lodgectl/reply.h"
#include "tools/lodgectl/verbs.h"
#include "vmm/error.h"

/* KiB, unless it has a suffix. */
static bool parse_size(const char *text, int64_t *ret_bytes, GError **error)
{
    static const char suffixes[] = "KMGT";
    size_t digits = strspn(text, "0123456789");
    g_autofree char *number = g_strndup(text, digits);
    const char *suffix = text[digits] ? strchr(suffixes, g_ascii_toupper(text[digits])) : suffixes;
    guint64 n = 0;
    unsigned shift;

    if (text[digits] && (g_str_equal(text + digits, "b") || g_str_equal(text + digits, "bytes"))) {
        shift = 0;
    } else if (suffix && (!text[digits] || !text[digits + 1] || g_ascii_strcasecmp(text + digits + 1, "iB") == 0)) {
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    } else {
        return error_set(error, "'%s' is no size", text);
    }
    if (!g_ascii_string_to_unsigned(number, 10, 1, (guint64)G_MAXINT64 >> shift, &n, NULL)) {
        return error_set(error, "'%s' is no size", text);
    }
    *ret_bytes = (int64_t)(n << shift);
    return true;
}

/* A balloon cannot give more than there is, and a domain would take it for all. */
static bool check_maximum(Client *client, int64_t bytes, GError **error)
{
    g_autoptr(Json) sizes = client_run(client, "query-memory-size-summary", NULL, error);
    int64_t base = G_MAXINT64, plugged = 0;

    if (!sizes) {
        return false;
    }
    reply_int(sizes, "base-memory", &base);
    reply_int(sizes, "plugged-memory", &plugged);
    if (bytes <= base || bytes - base <= plugged) {
        return true;
    }
    return error_set(error, "The domain has a memory of %" PRId64 " KiB, which a balloon cannot make greater", base >> 10);
}

static bool setmem(const Cmd *cmd, GError **error)
{
    g_autoptr(Client) client = NULL;
    g_autoptr(Json) done = NULL;
    Json *arguments;
    int64_t bytes = 0;

    if (!parse_size(cmd_text(cmd, "size"), &bytes, error)) {
        return false;
    }
    client = cmd_connect(cmd, NULL, error);
    if (!client || !check_maximum(client, bytes, error)) {
        return false;
    }
    arguments = json_new_object();
    json_object_put_member(arguments, "value", json_new_int(bytes));
    done = client_run(client, "balloon", arguments, error);
    return done && puts("") >= 0;
}

const Verb tune_verbs[] = {
    { "setmem", ARGS(ARG_DOMAIN(OF_ACTIVE), { "size", ARG_TEXT, true, .help = "KiB, or with a suffix: 512M" }), setmem,
      "Ask the guest to give back memory, down to that size", "It needs a balloon, and takes the guest some time." },
    { NULL },
};
