/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/object-commands.h.  Names and members are QEMU 7.2's (qapi/qom.json).
 */
#include "vmm/object-commands.h"

#include "vmm/memory-backend.h"
#include "vmm/object.h"
#include "vmm/rng.h"
#include "vmm/secret.h"

/* In the order of object_classes, and as constant as that. */
static const char *type_names[OBJECT_CLASSES_MAX + 1] = {
    "iothread", "memory-backend-file", "memory-backend-memfd", "memory-backend-ram", "rng-builtin", "rng-egd",
    "rng-random", "secret", NULL
};
static FieldCase type_cases[OBJECT_CLASSES_MAX + 1] = {
    { "iothread", &iothread_props },
    { "memory-backend-file", &memory_backend_file_props },
    { "memory-backend-memfd", &memory_backend_memfd_props },
    { "memory-backend-ram", &memory_backend_ram_props },
    { "rng-builtin", &rng_builtin_props },
    { "rng-egd", &rng_egd_props },
    { "rng-random", &rng_random_props },
    { "secret", &secret_props },
    { NULL, NULL },
};
static const FieldEnum type_enum = { "ObjectType", type_names };

/* What introspection shows; object_add() looks the class up and parses by the same tables. */
typedef struct ObjectOptions { int type; char *id; void *properties; } ObjectOptions;
const FieldStruct object_options = {
    .name = "ObjectOptions", .size = sizeof(ObjectOptions), .help = "An object",
    .fields = (const Field[]) {
        F_ENUM("qom-type", ObjectOptions, type, &type_enum, 0, .flags = FIELD_REQUIRED, .help = "Its type"),
        F_STR("id", ObjectOptions, id, NULL, .flags = FIELD_REQUIRED, .help = "Its id"),
        FIELD_END
    },
    .tag = "qom-type",
    .cases = type_cases,
    .variant_offset = offsetof(ObjectOptions, properties),
};

void object_options_add(size_t n, const ObjectClass *class)
{
    type_names[n] = class->name;
    type_cases[n] = (FieldCase) { class->name, class->props };
}

static bool add(CommandCall *call, const void *args, void *ret, GError **error)
{
    g_autoptr(Json) none = json_new_object();

    return object_add(call->domain, call->arguments ? call->arguments : none, error) != NULL;
}

typedef struct DelArgs { char *id; } DelArgs;
static const FieldStruct del_args = {
    .name = "ObjectDelArguments", .size = sizeof(DelArgs),
    .fields = (const Field[]) {
        F_STR("id", DelArgs, id, NULL, .flags = FIELD_REQUIRED, .help = "Id of the object"), FIELD_END
    },
};

static bool del(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const DelArgs *args = opaque;

    return object_del(call->domain, args->id, error);
}

const Command object_commands[] = {
    { "object-add", add, &object_options, .flags = COMMAND_UNCHECKED, .help = "Make an object" },
    { "object-del", del, &del_args, .help = "Remove an object that nothing uses" },
    COMMAND_END
};
