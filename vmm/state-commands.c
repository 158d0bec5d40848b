/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-migrate-capabilities (QEMU 7.2, qapi/migration.json): no migration yet, hence no capability.  The command is
 * there because management tools ask it before they ask what commands there are, and give up without an answer.
 */
#include "vmm/state-commands.h"

typedef struct CapabilityStatus { char *capability; bool state; } CapabilityStatus;
static const FieldStruct capability_status = {
    .name = "MigrationCapabilityStatus", .size = sizeof(CapabilityStatus),
    .fields = (const Field[]) {
        F_STR("capability", CapabilityStatus, capability, NULL, .flags = FIELD_REQUIRED, .help = "The capability"),
        F_BOOL("state", CapabilityStatus, state, false, .flags = FIELD_REQUIRED, .help = "Whether it is enabled"),
        FIELD_END
    },
};
static const Field capability_element = FIELD_VALUE(FIELD_STRUCT, CapabilityStatus, .of.structure = &capability_status);

static bool query_migrate_capabilities(CommandCall *call, const void *args, void *ret, GError **error)
{
    return true;
}

const Command state_commands[] = {
    { "query-migrate-capabilities", query_migrate_capabilities, NULL, COMMAND_RETURNS_LIST(&capability_element),
      .help = "List what a migration can do: nothing, there is none yet" },
    COMMAND_END
};
