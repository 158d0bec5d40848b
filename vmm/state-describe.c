/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a saved stream holds, as text, by its own descriptions: no table and no
 * domain is needed.  The stream is hostile; time and memory are linear in its length
 * (vmm/state-format.h says why).
 */
#include "vmm/state.h"

#include "vmm/error.h"
#include "vmm/state-format.h"

#define BYTES_SHOWN 32

typedef struct Table Table;
typedef struct Row {
    char *name;
    unsigned type;
    bool counted;
    uint32_t count;
    Table *nested;
} Row;

struct Table {
    char *name;
    unsigned version;
    GArray *rows; /* Row */
};

static void table_free(Table *table)
{
    if (!table) {
        return;
    }
    for (unsigned i = 0; i < table->rows->len; i++) {
        g_free(g_array_index(table->rows, Row, i).name);
        table_free(g_array_index(table->rows, Row, i).nested);
    }
    g_array_unref(table->rows);
    g_free(table->name);
    g_free(table);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

static Table *take_table(StateReader *r, unsigned depth)
{
    Table *table = g_new0(Table, 1);
    char name[256];
    unsigned rows;

    r->short_ |= depth > STATE_DEPTH_MAX;
    state_take_string(r, name);
    table->name = g_strdup(name);
    table->version = (unsigned)state_take_uint(r, 2);
    table->rows = g_array_new(FALSE, TRUE, sizeof(Row));
    rows = (unsigned)state_take_uint(r, 2);
    for (unsigned i = 0; i < rows && !r->short_; i++) {
        Row row = { 0 };

        state_take_string(r, name);
        row.name = g_strdup(name);
        row.type = (unsigned)state_take_uint(r, 1);
        row.counted = state_take_uint(r, 1) == STATE_ROW_COUNTED;
        row.count = (uint32_t)state_take_uint(r, 4);
        r->short_ |= row.type == STATE_TYPE_END || row.type > STATE_TYPE_STRUCT || row.count == 0;
        if (row.type == STATE_TYPE_STRUCT && !r->short_) {
            row.nested = take_table(r, depth + 1);
        }
        g_array_append_val(table->rows, row);
    }
    return table;
}

static void describe_values(StateReader *r, const Table *table, unsigned depth, GString *out);

static void describe_bytes(StateReader *r, uint32_t length, GString *out)
{
    const uint8_t *bytes = state_take(r, length);

    for (uint32_t i = 0; bytes && i < MIN(length, BYTES_SHOWN); i++) {
        g_string_append_printf(out, "%02x", bytes[i]);
    }
    g_string_append_printf(out, "%s (%u bytes)\n", length > BYTES_SHOWN ? "..." : "", length);
}

static void describe_number(StateReader *r, const Row *row, GString *out)
{
    uint64_t value = state_take_uint(r, state_type_width(row->type));

    switch (row->type) {
    case STATE_TYPE_BOOL:
        g_string_append(out, value ? " true" : " false");
        break;
    case STATE_TYPE_I32:
        g_string_append_printf(out, " %d", (int32_t)value);
        break;
    case STATE_TYPE_I64:
        g_string_append_printf(out, " %" G_GINT64_FORMAT, (int64_t)value);
        break;
    default:
        g_string_append_printf(out, " 0x%" G_GINT64_MODIFIER "x", value);
    }
}

static void describe_row(StateReader *r, const Row *row, unsigned depth, GString *out)
{
    uint32_t count = row->count;

    g_string_append_printf(out, "%*s%s:", (int)depth * 2, "", row->name);
    if (row->counted || row->type == STATE_TYPE_BLOB) {
        count = (uint32_t)state_take_uint(r, 4);
    }
    if (row->type == STATE_TYPE_BYTES || row->type == STATE_TYPE_BLOB) {
        g_string_append_c(out, ' ');
        describe_bytes(r, count, out);
        return;
    }
    if (row->type != STATE_TYPE_STRUCT) {
        for (uint32_t i = 0; i < count && !r->short_; i++) {
            describe_number(r, row, out);
        }
        g_string_append_c(out, '\n');
        return;
    }
    g_string_append_printf(out, " %s version %u\n", row->nested->name, row->nested->version);
    for (uint32_t i = 0; i < count && !r->short_; i++) {
        if (row->count > 1) {
            g_string_append_printf(out, "%*s[%u]\n", (int)depth * 2 + 2, "", i);
        }
        describe_values(r, row->nested, depth + 1, out);
    }
}

static void describe_values(StateReader *r, const Table *table, unsigned depth, GString *out)
{
    unsigned subsections;

    for (unsigned i = 0; i < table->rows->len && !r->short_; i++) {
        describe_row(r, &g_array_index(table->rows, Row, i), depth, out);
    }
    subsections = (unsigned)state_take_uint(r, 1);
    r->short_ |= depth > 2 * STATE_DEPTH_MAX;
    for (unsigned i = 0; i < subsections && !r->short_; i++) {
        g_autoptr(Table) sub = take_table(r, 0);

        g_string_append_printf(out, "%*s+ %s version %u\n", (int)depth * 2, "", sub->name, sub->version);
        describe_values(r, sub, depth + 1, out);
    }
}

bool state_describe(const uint8_t *data, size_t length, GString *out, GError **error)
{
    StateReader r = { data, length, false };

    while (r.left) {
        g_autoptr(Table) table = NULL;
        StateReader body;
        char path[256];

        if (!state_take_section(&r, &body, path, error)) {
            return false;
        }
        table = take_table(&body, 0);
        g_string_append_printf(out, "%s: %s version %u\n", path, table->name, table->version);
        describe_values(&body, table, 1, out);
        if (body.short_ || body.left) {
            error_set(error, "the section is malformed");
            return error_subject(error, path);
        }
    }
    return true;
}
