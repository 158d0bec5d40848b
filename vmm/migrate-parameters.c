/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What migrations are told by query-migrate-parameters and migrate-set-parameters.  Names and defaults are QEMU 7.2's
 * (qapi/migration.json); here are those that have an effect.
 *
 * What is set counts at once for a migration that is under way, but for its channels and their compression; a guest
 * that stands still already waits for no limit.  Main thread; the migration's reads.
 */
#include "vmm/error.h"
#include "vmm/migrate-internal.h"

static const FieldEnum compression_enum = {
#ifdef HAVE_ZSTD
    "MultiFDCompression", (const char *const[]) { "none", "zlib", "zstd", NULL }
#else
    "MultiFDCompression", (const char *const[]) { "none", "zlib", NULL }
#endif
};

typedef struct Parameters {
    bool has_bandwidth, has_downtime, has_channels, has_compression, has_zlib, has_zstd;
    bool has_trigger, has_initial, has_increment, has_tailslow, has_max;
    bool has_announce_initial, has_announce_max, has_announce_rounds, has_announce_step;
    MigrateParameters p;
} Parameters;
#define HAS(M) FIELD_HAS(Parameters, M)

static const FieldStruct parameters_struct = {
    .name = "MigrationParameters", .size = sizeof(Parameters),
    .fields = (const Field[]) {
        F_UINT("announce-initial", Parameters, p.announce.initial, 0, HAS(has_announce_initial), .max = 100 * 1000,
               .help = "ms from the first round in which NICs are announced to the second"),
        F_UINT("announce-max", Parameters, p.announce.max, 0, HAS(has_announce_max), .max = 100 * 1000,
               .help = "ms between rounds, at most"),
        F_UINT("announce-rounds", Parameters, p.announce.rounds, 0, HAS(has_announce_rounds), .max = 1000,
               .help = "How often NICs are announced where the domain has arrived"),
        F_UINT("announce-step", Parameters, p.announce.step, 1, HAS(has_announce_step), .min = 1, .max = 10 * 1000,
               .help = "ms by which each round comes later"),
        F_UINT("throttle-trigger-threshold", Parameters, p.throttle.trigger, 0, HAS(has_trigger), .min = 1, .max = 100,
               .help = "Percent of what goes out that the guest may change, with auto-converge"),
        F_UINT("cpu-throttle-initial", Parameters, p.throttle.initial, 0, HAS(has_initial), .min = 1, .max = 99,
               .help = "Percent of the time that a guest which changes more is kept from running"),
        F_UINT("cpu-throttle-increment", Parameters, p.throttle.increment, 0, HAS(has_increment), .min = 1, .max = 99,
               .help = "Percent more, each time that was not enough"),
        F_BOOL("cpu-throttle-tailslow", Parameters, p.throttle.tailslow, false, HAS(has_tailslow),
               .help = "Make that less where less is enough"),
        F_UINT("max-cpu-throttle", Parameters, p.throttle.max, 0, HAS(has_max), .min = 1, .max = 99,
               .help = "Percent at most"),
        F_UINT("max-bandwidth", Parameters, p.max_bandwidth, 0, HAS(has_bandwidth), .help = "Bytes a second; 0: any"),
        F_UINT("downtime-limit", Parameters, p.downtime_limit, 0, HAS(has_downtime), .max = 2000 * 1000,
               .help = "ms that the guest may stand still"),
        F_UINT("multifd-channels", Parameters, p.multifd_channels, 0, HAS(has_channels), .min = 1,
               .max = MIGRATE_CHANNELS, .help = "Connections for memory, with capability multifd"),
        F_ENUM("multifd-compression", Parameters, p.compression, &compression_enum, 0, HAS(has_compression),
               .help = "How these compress it"),
        F_UINT("multifd-zlib-level", Parameters, p.zlib_level, 0, HAS(has_zlib), .max = 9,
               .help = "0: not at all, 1: fast, to 9: small"),
#ifdef HAVE_ZSTD
        F_UINT("multifd-zstd-level", Parameters, p.zstd_level, 0, HAS(has_zstd), .max = 20,
               .help = "1: fast, to 20: small; 0: what zstd takes by itself"),
#endif
        FIELD_END
    },
};

static bool query_parameters(CommandCall *call, const void *args, void *ret, GError **error)
{
    *(Parameters *)ret = (Parameters) {
        true, true, true, true, true, true, true, true, true, true, true, true, true, true, true,
        migrate_control(call->domain)->parameters
    };
    return true;
}

/* What was given, over what there is. */
static MigrateParameters merge(const MigrateParameters *old, const Parameters *args)
{
    const MigrateParameters *p = &args->p;

    return (MigrateParameters) {
        .max_bandwidth = args->has_bandwidth ? p->max_bandwidth : old->max_bandwidth,
        .downtime_limit = args->has_downtime ? p->downtime_limit : old->downtime_limit,
        .multifd_channels = args->has_channels ? p->multifd_channels : old->multifd_channels,
        .compression = args->has_compression ? p->compression : old->compression,
        .zlib_level = args->has_zlib ? p->zlib_level : old->zlib_level,
        .zstd_level = args->has_zstd ? p->zstd_level : old->zstd_level,
        .throttle = {
            .trigger = args->has_trigger ? p->throttle.trigger : old->throttle.trigger,
            .initial = args->has_initial ? p->throttle.initial : old->throttle.initial,
            .increment = args->has_increment ? p->throttle.increment : old->throttle.increment,
            .tailslow = args->has_tailslow ? p->throttle.tailslow : old->throttle.tailslow,
            .max = args->has_max ? p->throttle.max : old->throttle.max,
        },
        .announce = {
            .initial = args->has_announce_initial ? p->announce.initial : old->announce.initial,
            .max = args->has_announce_max ? p->announce.max : old->announce.max,
            .rounds = args->has_announce_rounds ? p->announce.rounds : old->announce.rounds,
            .step = args->has_announce_step ? p->announce.step : old->announce.step,
        },
    };
}

/* The migration's thread reads each for itself. */
static void put(MigrateParameters *to, const MigrateParameters *from)
{
    __atomic_store_n(&to->max_bandwidth, from->max_bandwidth, __ATOMIC_RELAXED);
    __atomic_store_n(&to->downtime_limit, from->downtime_limit, __ATOMIC_RELAXED);
    __atomic_store_n(&to->throttle.trigger, from->throttle.trigger, __ATOMIC_RELAXED);
    __atomic_store_n(&to->throttle.initial, from->throttle.initial, __ATOMIC_RELAXED);
    __atomic_store_n(&to->throttle.increment, from->throttle.increment, __ATOMIC_RELAXED);
    __atomic_store_n(&to->throttle.tailslow, from->throttle.tailslow, __ATOMIC_RELAXED);
    __atomic_store_n(&to->throttle.max, from->throttle.max, __ATOMIC_RELAXED);
    to->announce = from->announce;
    to->multifd_channels = from->multifd_channels;
    to->compression = from->compression;
    to->zlib_level = from->zlib_level;
    to->zstd_level = from->zstd_level;
}

static bool set_parameters(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    struct MigrateControl *control = migrate_control(call->domain);
    const Parameters *args = opaque;
    MigrateParameters p = merge(&control->parameters, args);
    Migration *m = control->migration;

    if (p.throttle.max < p.throttle.initial) {
        return error_set(error, "Parameter 'max-cpu-throttle' expects an integer from cpu-throttle-initial (%u) to 99",
                         p.throttle.initial);
    }
    put(&control->parameters, &p);
    if (m && args->has_bandwidth && !m->stopped && migrate_status(control) == MIGRATE_ACTIVE) {
        migrate_channel_set_limit(m->channel, p.max_bandwidth);
    }
    return true;
}

const Command migrate_parameter_commands[] = {
    { "query-migrate-parameters", query_parameters, NULL, COMMAND_RETURNS(Parameters, &parameters_struct),
      .help = "Tell how migrations are done" },
    { "migrate-set-parameters", set_parameters, &parameters_struct, .help = "Say how migrations are done" },
    COMMAND_END
};
