/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-command-line-options (QEMU 7.2, qapi/misc.json), from the table of options and their languages.  An option is
 * listed by the name of its group, as QEMU does: "smp-opts" is -smp.
 */
#include "monitor/command-line.h"

#include <string.h>

#include "block/block.h"
#include "hw/i386/smbios.h"
#include "monitor/monitor.h"
#include "net/net.h"
#include "vmm/error.h"
#include "vmm/machine.h"

const OptionLanguage option_languages[] = {
    { "drive", &drive_options, NULL },
    { "blockdev", &blockdev_options, NULL },
    { "netdev", &netdev_options, netdev_help },
    { "nic", NULL, nic_help },
    { "net", NULL, nic_help },
    { "mon", &monitor_options, NULL },
    { "smbios", &smbios_options, NULL },
    { NULL },
};

typedef enum ParameterType { PARAMETER_STRING, PARAMETER_BOOLEAN, PARAMETER_NUMBER, PARAMETER_SIZE } ParameterType;
static const FieldEnum parameter_type_enum = {
    "CommandLineParameterType", (const char *const[]) { "string", "boolean", "number", "size", NULL }
};

typedef struct Parameter { char *name; int type; char *help; } Parameter;
static const FieldStruct parameter_info = {
    .name = "CommandLineParameterInfo", .size = sizeof(Parameter),
    .fields = (const Field[]) {
        F_STR("name", Parameter, name, NULL, .flags = FIELD_REQUIRED, .help = "The key"),
        F_ENUM("type", Parameter, type, &parameter_type_enum, 0, .flags = FIELD_REQUIRED, .help = "Type of its value"),
        F_STR("help", Parameter, help, NULL, .help = "What it does"),
        FIELD_END
    },
};
static const Field parameter_element = FIELD_VALUE(FIELD_STRUCT, Parameter, .of.structure = &parameter_info);

typedef struct OptionInfo { char *option; FieldList parameters; } OptionInfo;
static const FieldStruct option_info = {
    .name = "CommandLineOptionInfo", .size = sizeof(OptionInfo),
    .fields = (const Field[]) {
        F_STR("option", OptionInfo, option, NULL, .flags = FIELD_REQUIRED, .help = "The option, by its group"),
        F_LIST("parameters", OptionInfo, parameters, &parameter_element, .flags = FIELD_REQUIRED,
               .help = "Its keys; none where they depend on the first one"),
        FIELD_END
    },
};
static const Field option_info_element = FIELD_VALUE(FIELD_STRUCT, OptionInfo, .of.structure = &option_info);

typedef struct OptionArgs { char *option; } OptionArgs;
static const FieldStruct option_args = {
    .name = "CommandLineOptionsArguments", .size = sizeof(OptionArgs),
    .fields = (const Field[]) { F_STR("option", OptionArgs, option, NULL, .help = "Only this one"), FIELD_END },
};

static ParameterType parameter_type(const Field *f)
{
    switch (f->type) {
    case FIELD_BOOL:
        return PARAMETER_BOOLEAN;
    case FIELD_INT:
    case FIELD_UINT:
    case FIELD_NUMBER:
        return PARAMETER_NUMBER;
    case FIELD_SIZE:
        return PARAMETER_SIZE;
    default:
        return PARAMETER_STRING;
    }
}

static bool has_parameter(const GArray *parameters, const char *name)
{
    for (unsigned i = 0; i < parameters->len; i++) {
        if (strcmp(g_array_index(parameters, Parameter, i).name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_parameters(GArray *parameters, const FieldStruct *desc)
{
    if (desc->base) {
        add_parameters(parameters, desc->base);
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        Parameter p;

        if (!(f->flags & FIELD_HIDDEN) && !has_parameter(parameters, f->name)) {
            p = (Parameter) { g_strdup(f->name), (int)parameter_type(f), g_strdup(f->help) };
            g_array_append_val(parameters, p);
        }
    }
    for (const FieldCase *c = desc->cases; c && c->value; c++) {
        if (c->structure) {
            add_parameters(parameters, c->structure);
        }
    }
}

static const FieldStruct *language_of(const Option *o)
{
    for (const OptionLanguage *l = option_languages; l->option; l++) {
        if (strcmp(l->option, o->name) == 0) {
            return l->language;
        }
    }
    return o->language;
}

static OptionInfo describe(const Option *o)
{
    GArray *parameters = g_array_new(FALSE, FALSE, sizeof(Parameter));
    const FieldStruct *language = language_of(o);
    OptionInfo info = { .option = g_strdup(o->group) };

    if (strcmp(o->group, "machine") == 0) {
        /* What every machine has, as in QEMU 7.2: where libvirt 9.0 sees hpet it refuses a domain that wants one. */
        add_parameters(parameters, &machine_options);
    } else if (language) {
        add_parameters(parameters, language);
    }
    info.parameters.n = parameters->len;
    info.parameters.items = g_array_free(parameters, FALSE);
    return info;
}

static bool query_command_line_options(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const OptionArgs *args = opaque;
    GArray *all = g_array_new(FALSE, FALSE, sizeof(OptionInfo));
    FieldList *list = ret;
    OptionInfo info;

    for (const Option *o = option_table; o->name; o++) {
        if (o->group && (!args->option || strcmp(o->group, args->option) == 0)) {
            info = describe(o);
            g_array_append_val(all, info);
        }
    }
    list->n = all->len;
    list->items = g_array_free(all, FALSE);
    return list->n || error_set(error, "invalid option name: %s", args->option);
}

const Command command_line_commands[] = {
    { "query-command-line-options", query_command_line_options, &option_args,
      COMMAND_RETURNS_LIST(&option_info_element), .help = "List the options of the command line" },
    COMMAND_END
};
