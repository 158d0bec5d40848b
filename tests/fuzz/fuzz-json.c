/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON text: what is accepted can be written, and read again as the same text.
 */
#include <string.h>

#include "vmm/error.h"
#include "vmm/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *written(const Json *json)
{
    JsonWriter *w = json_writer_new(false);

    json_write_value(w, NULL, json);
    return json_writer_finish(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = json_parse((const char *)data, size, &error);
    g_autoptr(Json) again = NULL;
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;

    if (!json) {
        g_assert(error && error->message[0]);
        return 0;
    }
    first = written(json);
    again = json_parse(first, strlen(first), NULL);
    g_assert(again);
    second = written(again);
    g_assert(strcmp(first, second) == 0);
    return 0;
}
