/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * key=value text and JSON read by the hardest tables.  What is accepted is written
 * as JSON, and that, read strictly, gives the same.  The first byte chooses the table.
 */
#include <string.h>

#include "tests/unit/vmm/qmp-tables.h"
#include "vmm/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *written(const FieldStruct *desc, const void *value)
{
    JsonWriter *w = json_writer_new(false);

    field_struct_write(desc, value, w, NULL);
    return json_writer_finish(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const FieldStruct *desc;
        const char *implied;
    } tables[] = { { &blockdev_table, "driver" }, { &netdev_table, "type" }, { &chardev_add_table, NULL } };
    union {
        Blockdev blockdev;
        Netdev netdev;
        ChardevAdd chardev;
    } first, second;
    g_autofree char *text = NULL;
    g_autofree char *a = NULL;
    g_autofree char *b = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = NULL;
    const FieldStruct *desc;

    if (size == 0) {
        return 0;
    }
    text = g_strndup((const char *)data + 1, size - 1);
    desc = tables[data[0] % G_N_ELEMENTS(tables)].desc;
    if (!field_struct_parse_text(desc, text, tables[data[0] % G_N_ELEMENTS(tables)].implied, &first, &error)) {
        g_assert(error && error->message[0]);
        return 0;
    }
    a = written(desc, &first);
    json = json_parse(a, strlen(a), NULL);
    g_assert(json && field_struct_parse(desc, json, FIELD_STRICT, &second, NULL));
    b = written(desc, &second);
    g_assert(strcmp(a, b) == 0);
    field_struct_clear(desc, &first);
    field_struct_clear(desc, &second);
    return 0;
}
