/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qom-list-types, qom-list-properties, device-list-properties, qom-list, qom-get, qom-set.  Names and members are
 * QEMU 7.2's (qapi/qom.json, qapi/qdev.json).
 */
#include <string.h>

#include "vmm/error.h"
#include "vmm/qom.h"

/* ---- types ---- */

typedef struct ListTypesArgs { char *implements; bool abstract; } ListTypesArgs;
static const FieldStruct list_types_args = {
    .name = "QomListTypesArguments", .size = sizeof(ListTypesArgs),
    .fields = (const Field[]) {
        F_STR("implements", ListTypesArgs, implements, NULL, .help = "Only this one and what is derived from it"),
        F_BOOL("abstract", ListTypesArgs, abstract, false, .help = "Those too of which there are no objects"),
        FIELD_END
    },
};

typedef struct TypeInfo { char *name; bool abstract; char *parent; } TypeInfo;
static const FieldStruct type_info = {
    .name = "ObjectTypeInfo", .size = sizeof(TypeInfo),
    .fields = (const Field[]) {
        F_STR("name", TypeInfo, name, NULL, .flags = FIELD_REQUIRED, .help = "Its name"),
        F_BOOL("abstract", TypeInfo, abstract, false, .help = "Whether there are no objects of just this type"),
        F_STR("parent", TypeInfo, parent, NULL, .help = "What it is derived from"),
        FIELD_END
    },
};
static const Field type_info_element = FIELD_VALUE(FIELD_STRUCT, TypeInfo, .of.structure = &type_info);

static void collect_type(const QomType *type, void *list)
{
    TypeInfo info = { g_strdup(type->name), type->abstract, g_strdup(type->parent) };

    g_array_append_val((GArray *)list, info);
}

static void free_type(gpointer info)
{
    g_free(((TypeInfo *)info)->name);
    g_free(((TypeInfo *)info)->parent);
}

static bool derives(const TypeInfo *type, const char *from, GHashTable *parents)
{
    const char *name = type->name;

    while (name && strcmp(name, from) != 0) {
        name = g_hash_table_lookup(parents, name);
    }
    return name != NULL;
}

static bool qom_list_types(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const ListTypesArgs *args = opaque;
    GArray *all = g_array_new(FALSE, FALSE, sizeof(TypeInfo)), *chosen = g_array_new(FALSE, FALSE, sizeof(TypeInfo));
    g_autoptr(GHashTable) parents = g_hash_table_new(g_str_hash, g_str_equal);
    FieldList *list = ret;

    g_array_set_clear_func(all, free_type);
    qom_types_each(collect_type, all);
    for (unsigned i = 0; i < all->len; i++) {
        const TypeInfo *type = &g_array_index(all, TypeInfo, i);

        g_hash_table_insert(parents, type->name, type->parent);
    }
    for (unsigned i = 0; i < all->len; i++) {
        const TypeInfo *type = &g_array_index(all, TypeInfo, i);
        TypeInfo copy;

        if ((!type->abstract || args->abstract) && (!args->implements || derives(type, args->implements, parents))) {
            copy = (TypeInfo) { g_strdup(type->name), type->abstract, g_strdup(type->parent) };
            g_array_append_val(chosen, copy);
        }
    }
    g_array_unref(all);
    list->n = chosen->len;
    list->items = g_array_free(chosen, FALSE);
    return true;
}

/* ---- properties of types ---- */

static const Field property_element = FIELD_VALUE(FIELD_STRUCT, QomProperty, .of.structure = &qom_property_info);

typedef struct TypeArgs { char *type; } TypeArgs;
static const FieldStruct type_args = {
    .name = "QomTypeArguments", .size = sizeof(TypeArgs),
    .fields = (const Field[]) {
        F_STR("typename", TypeArgs, type, NULL, .flags = FIELD_REQUIRED, .help = "The type"), FIELD_END
    },
};

static bool finish_list(GArray *properties, bool ok, FieldList *list)
{
    list->n = properties->len;
    list->items = g_array_free(properties, FALSE);
    return ok;
}

static bool qom_list_properties(CommandCall *call, const void *args, void *ret, GError **error)
{
    GArray *properties = g_array_new(FALSE, FALSE, sizeof(QomProperty));

    return finish_list(properties, qom_type_properties(((const TypeArgs *)args)->type, false, properties, error), ret);
}

static bool device_list_properties(CommandCall *call, const void *args, void *ret, GError **error)
{
    GArray *properties = g_array_new(FALSE, FALSE, sizeof(QomProperty));

    return finish_list(properties, qom_type_properties(((const TypeArgs *)args)->type, true, properties, error), ret);
}

/* ---- objects ---- */

typedef struct PathArgs { char *path; } PathArgs;
static const FieldStruct path_args = {
    .name = "QomListArguments", .size = sizeof(PathArgs),
    .fields = (const Field[]) {
        F_STR("path", PathArgs, path, NULL, .flags = FIELD_REQUIRED, .help = "Path of the object"), FIELD_END
    },
};

static bool list_object(CommandCall *call, const void *args, void *ret, GError **error)
{
    GArray *properties = g_array_new(FALSE, FALSE, sizeof(QomProperty));

    return finish_list(properties, qom_list(call->domain, ((const PathArgs *)args)->path, properties, error), ret);
}

typedef struct GetArgs { char *path, *property; } GetArgs;
static const FieldStruct get_args = {
    .name = "QomGetArguments", .size = sizeof(GetArgs),
    .fields = (const Field[]) {
        F_STR("path", GetArgs, path, NULL, .flags = FIELD_REQUIRED, .help = "Path of the object"),
        F_STR("property", GetArgs, property, NULL, .flags = FIELD_REQUIRED, .help = "The property"),
        FIELD_END
    },
};
static const Field any_value = FIELD_VALUE(FIELD_ANY, Json *, .flags = FIELD_REQUIRED);

static bool get_property(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const GetArgs *args = opaque;

    *(Json **)ret = qom_get(call->domain, args->path, args->property, error);
    return *(Json **)ret != NULL;
}

typedef struct SetArgs { char *path, *property; Json *value; } SetArgs;
static const FieldStruct set_args = {
    .name = "QomSetArguments", .size = sizeof(SetArgs),
    .fields = (const Field[]) {
        F_STR("path", SetArgs, path, NULL, .flags = FIELD_REQUIRED, .help = "Path of the object"),
        F_STR("property", SetArgs, property, NULL, .flags = FIELD_REQUIRED, .help = "The property"),
        FIELD_AT("value", FIELD_ANY, SetArgs, value, .flags = FIELD_REQUIRED, .help = "Its new value"),
        FIELD_END
    },
};

static bool set_property(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const SetArgs *args = opaque;

    return qom_set(call->domain, args->path, args->property, args->value, error);
}

const Command qom_commands[] = {
    { "qom-list-types", qom_list_types, &list_types_args, COMMAND_RETURNS_LIST(&type_info_element),
      .help = "List the types of objects" },
    { "qom-list-properties", qom_list_properties, &type_args, COMMAND_RETURNS_LIST(&property_element),
      .help = "List the properties of a type" },
    { "device-list-properties", device_list_properties, &type_args, COMMAND_RETURNS_LIST(&property_element),
      .help = "List the properties of a kind of device" },
    { "qom-list", list_object, &path_args, COMMAND_RETURNS_LIST(&property_element),
      .help = "List the properties of an object, and the objects below it" },
    { "qom-get", get_property, &get_args, &any_value, .help = "Read a property of an object" },
    { "qom-set", set_property, &set_args, .help = "Change a property of an object that is in use" },
    COMMAND_END
};
