/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Introspection ("Client JSON Protocol introspection", docs/devel/qapi-code-gen.rst of QEMU 7.2): what is listed
 * exists, and what exists is listed.
 */
#include "monitor/introspect.h"

#include <string.h>

#include "monitor/commands.h"

typedef struct CommandInfo { char *name; } CommandInfo;
static const FieldStruct command_info = {
    .name = "CommandInfo", .size = sizeof(CommandInfo),
    .fields = (const Field[]) {
        F_STR("name", CommandInfo, name, NULL, .flags = FIELD_REQUIRED, .help = "The command's name"), FIELD_END
    },
};
static const Field command_info_element = FIELD_VALUE(FIELD_STRUCT, CommandInfo, .of.structure = &command_info);
static const Field schema_value = FIELD_VALUE(FIELD_ANY, Json *, .flags = FIELD_REQUIRED);

static void add_info(const Command *command, void *opaque)
{
    CommandInfo info = { g_strdup(command->name) };

    g_array_append_val((GArray *)opaque, info);
}

static bool query_commands(CommandCall *call, const void *args, void *ret, GError **error)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(CommandInfo));
    FieldList *list = ret;

    command_each(add_info, all);
    list->n = all->len;
    list->items = g_array_free(all, FALSE);
    return true;
}

static void add_command(const Command *command, void *opaque)
{
    field_schema_add_command(opaque, command->name, command->args, command->ret, command->flags & COMMAND_OOB,
                             command->features);
}

static Json *make_schema(GError **error)
{
    FieldSchema *schema = field_schema_new();
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;

    command_each(add_command, schema);
    for (const EventType *const *type = event_types; *type; type++) {
        field_schema_add_event(schema, (*type)->name, (*type)->data);
    }
    field_schema_write(schema, w, NULL);
    field_schema_free(schema);
    text = json_writer_finish(w);
    return json_parse(text, strlen(text), error);
}

/* The tables are constant, and clients ask often: it is made once. */
static bool query_qmp_schema(CommandCall *call, const void *args, void *ret, GError **error)
{
    static Json *schema;

    if (!schema) {
        schema = make_schema(error);
    }
    *(Json **)ret = schema ? json_ref(schema) : NULL;
    return schema != NULL;
}

const Command introspect_commands[] = {
    { "query-commands", query_commands, NULL, COMMAND_RETURNS_LIST(&command_info_element),
      .flags = COMMAND_OOB, .help = "List the commands" },
    { "query-qmp-schema", query_qmp_schema, NULL, &schema_value,
      .help = "Describe commands, events and their types" },
    COMMAND_END
};
