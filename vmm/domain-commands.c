/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-name, query-uuid, query-target.  Names and members are QEMU 7.2's (qapi/misc.json, qapi/machine.json).
 * x-query-actions is our own: who changes an action for a while must know what to put back.
 */
#include "vmm/domain-commands.h"

#include "vmm/domain.h"

typedef struct NameInfo { char *name; } NameInfo;
static const FieldStruct name_info = {
    .name = "NameInfo", .size = sizeof(NameInfo),
    .fields = (const Field[]) { F_STR("name", NameInfo, name, NULL, .help = "The name, if it has one"), FIELD_END },
};

static bool query_name(CommandCall *call, const void *args, void *ret, GError **error)
{
    ((NameInfo *)ret)->name = g_strdup(domain_name(call->domain));
    return true;
}

typedef struct UuidInfo { char *uuid; } UuidInfo;
static const FieldStruct uuid_info = {
    .name = "UuidInfo", .size = sizeof(UuidInfo),
    .fields = (const Field[]) {
        F_STR("UUID", UuidInfo, uuid, NULL, .flags = FIELD_REQUIRED, .help = "The UUID; all zero if none was given"),
        FIELD_END
    },
};

/* RFC 4122, section 3. */
static bool query_uuid(CommandCall *call, const void *args, void *ret, GError **error)
{
    static const uint8_t none[16];
    bool given;
    const uint8_t *uuid = domain_uuid(call->domain, &given), *u = given ? uuid : none;

    ((UuidInfo *)ret)->uuid = g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                                              u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
                                              u[12], u[13], u[14], u[15]);
    return true;
}

const FieldEnum sys_emu_target_enum = { "SysEmuTarget", (const char *const[]) { "x86_64", NULL } };
typedef struct TargetInfo { int arch; } TargetInfo;
static const FieldStruct target_info = {
    .name = "TargetInfo", .size = sizeof(TargetInfo),
    .fields = (const Field[]) {
        F_ENUM("arch", TargetInfo, arch, &sys_emu_target_enum, 0, .flags = FIELD_REQUIRED,
               .help = "The guest's architecture"),
        FIELD_END
    },
};

static bool query_target(CommandCall *call, const void *args, void *ret, GError **error)
{
    return true; /* there is one */
}

static bool query_actions(CommandCall *call, const void *args, void *ret, GError **error)
{
    *(Actions *)ret = *domain_actions(call->domain);
    return true;
}

const Command domain_commands[] = {
    { "query-name", query_name, NULL, COMMAND_RETURNS(NameInfo, &name_info), .flags = COMMAND_OOB,
      .help = "Tell the domain's name" },
    { "query-uuid", query_uuid, NULL, COMMAND_RETURNS(UuidInfo, &uuid_info), .flags = COMMAND_OOB,
      .help = "Tell the domain's UUID" },
    { "query-target", query_target, NULL, COMMAND_RETURNS(TargetInfo, &target_info), .flags = COMMAND_OOB,
      .help = "Tell the guest's architecture" },
    { "x-query-actions", query_actions, NULL, COMMAND_RETURNS(Actions, &action_options),
      .help = "Tell what set-action has set" },
    COMMAND_END
};
