/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a domain could go on here, asked before anything of it comes.  Commands of our own: one tells what a
 * container of this domain would say of it, the other compares that of another with this domain, as the destination
 * of a migration does before it takes the first byte of memory.
 *
 * Main thread.
 */
#include "vmm/error.h"
#include "vmm/migrate-internal.h"

static void describe(Domain *domain, MigrateHeader *ret)
{
    MigrateRam *ram = migrate_ram_new();

    migrate_header_collect(domain, ret);
    migrate_ram_describe(ram, MIGRATE_ALIGN, ret);
    migrate_ram_free(ram);
}

static bool query_header(CommandCall *call, const void *args, void *ret, GError **error)
{
    describe(call->domain, ret);
    return true;
}

typedef struct CheckArgs { MigrateHeader *header; } CheckArgs;
static const FieldStruct check_args = {
    .name = "MigrateCheckArguments", .size = sizeof(CheckArgs),
    .fields = (const Field[]) {
        F_STRUCT("header", CheckArgs, header, &migrate_header, .flags = FIELD_POINTER | FIELD_REQUIRED,
                 .help = "What x-query-migrate-header says there, or the header of a saved domain"),
        FIELD_END
    },
};

static bool check(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const CheckArgs *args = opaque;
    MigrateHeader ours = { 0 };
    bool fits;

    describe(call->domain, &ours);
    fits = migrate_domain_fits(call->domain, args->header, &ours, error);
    migrate_header_clear(&ours);
    return fits;
}

const Command migrate_check_commands[] = {
    { "x-query-migrate-header", query_header, NULL, COMMAND_RETURNS(MigrateHeader, &migrate_header),
      .help = "Tell what a saved file or a migration would say of this domain" },
    { "x-migrate-check", check, &check_args, .help = "Tell whether that domain could go on as this one, or why not" },
    COMMAND_END
};
