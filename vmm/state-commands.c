/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-migrate-capabilities, migrate-set-capabilities (QEMU 7.2, qapi/migration.json): what a migration can do, of
 * which there is none yet.  The commands are there because libvirt starts no domain before it has set the capability
 * `events`.  That one is always on: who listens hears of what happens.
 */
#include "vmm/state-commands.h"

#include "vmm/error.h"

static const FieldEnum capability_enum = { "MigrationCapability", (const char *const[]) { "events", NULL } };
typedef struct CapabilityStatus { int capability; bool state; } CapabilityStatus;
static const FieldStruct capability_status = {
    .name = "MigrationCapabilityStatus", .size = sizeof(CapabilityStatus),
    .fields = (const Field[]) {
        F_ENUM("capability", CapabilityStatus, capability, &capability_enum, 0, .flags = FIELD_REQUIRED,
               .help = "The capability"),
        F_BOOL("state", CapabilityStatus, state, false, .flags = FIELD_REQUIRED, .help = "Whether it is enabled"),
        FIELD_END
    },
};
static const Field capability_element = FIELD_VALUE(FIELD_STRUCT, CapabilityStatus, .of.structure = &capability_status);

static bool query_migrate_capabilities(CommandCall *call, const void *args, void *ret, GError **error)
{
    FieldList *list = ret;

    list->n = 1;
    list->items = g_new0(CapabilityStatus, 1);
    FIELD_LIST_AT(*list, CapabilityStatus, 0).state = true;
    return true;
}

typedef struct SetCapabilities { FieldList capabilities; } SetCapabilities;
static const FieldStruct set_capabilities_args = {
    .name = "MigrateSetCapabilitiesArguments", .size = sizeof(SetCapabilities),
    .fields = (const Field[]) {
        F_LIST("capabilities", SetCapabilities, capabilities, &capability_element, .flags = FIELD_REQUIRED,
               .help = "Which to change"),
        FIELD_END
    },
};

static bool migrate_set_capabilities(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const SetCapabilities *args = opaque;

    for (size_t i = 0; i < args->capabilities.n; i++) {
        if (!FIELD_LIST_AT(args->capabilities, CapabilityStatus, i).state) {
            return error_set(error, "Capability 'events' cannot be disabled: who listens hears of what happens");
        }
    }
    return true;
}

const Command state_commands[] = {
    { "query-migrate-capabilities", query_migrate_capabilities, NULL, COMMAND_RETURNS_LIST(&capability_element),
      .help = "List what a migration can do; there is none yet" },
    { "migrate-set-capabilities", migrate_set_capabilities, &set_capabilities_args,
      .help = "Choose what a migration is to do; there is none yet" },
    COMMAND_END
};
