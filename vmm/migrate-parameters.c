/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What migrations are told by query-migrate-parameters and migrate-set-parameters.  Names and defaults are QEMU 7.2's
 * (qapi/migration.json); here are those that have an effect.
 *
 * What is set counts at once for a migration that is under way, but for its channels and their compression; a guest
 * that stands still already waits for no limit.  Main thread; the migration's reads.
 */
#include <string.h>

#include "vmm/error.h"
#include "vmm/migrate-internal.h"

static const FieldEnum compression_enum = {
#ifdef HAVE_ZSTD
    "MultiFDCompression", (const char *const[]) { "none", "zlib", "zstd", NULL }
#else
    "MultiFDCompression", (const char *const[]) { "none", "zlib", NULL }
#endif
};

/* As the commands have it: with what is there of it. */
typedef struct Parameters {
    MigrateParameters p;
    bool has[sizeof(MigrateParameters)]; /* by the offset of the member */
} Parameters;
#define PARAMETER(KIND, NAME, M, ...)                                                                                  \
    FIELD_AT(NAME, KIND, Parameters, p.M, FIELD_HAS(Parameters, has[offsetof(MigrateParameters, M)]), __VA_ARGS__)

static const FieldStruct parameters_struct = {
    .name = "MigrationParameters", .size = sizeof(Parameters),
    .fields = (const Field[]) {
        PARAMETER(FIELD_UINT, "announce-initial", announce.initial, .max = 100 * 1000,
                  .help = "ms from the first round in which NICs are announced to the second"),
        PARAMETER(FIELD_UINT, "announce-max", announce.max, .max = 100 * 1000, .help = "ms between rounds, at most"),
        PARAMETER(FIELD_UINT, "announce-rounds", announce.rounds, .max = 1000,
                  .help = "How often NICs are announced where the domain has arrived"),
        PARAMETER(FIELD_UINT, "announce-step", announce.step, .min = 1, .max = 10 * 1000,
                  .help = "ms by which each round comes later"),
        PARAMETER(FIELD_UINT, "throttle-trigger-threshold", throttle.trigger, .min = 1, .max = 100,
                  .help = "Percent of what goes out that the guest may change, with auto-converge"),
        PARAMETER(FIELD_UINT, "cpu-throttle-initial", throttle.initial, .min = 1, .max = 99,
                  .help = "Percent of the time that a guest which changes more is kept from running"),
        PARAMETER(FIELD_UINT, "cpu-throttle-increment", throttle.increment, .min = 1, .max = 99,
                  .help = "Percent more, each time that was not enough"),
        PARAMETER(FIELD_BOOL, "cpu-throttle-tailslow", throttle.tailslow,
                  .help = "Make that less where less is enough"),
        PARAMETER(FIELD_UINT, "max-cpu-throttle", throttle.max, .min = 1, .max = 99, .help = "Percent at most"),
        PARAMETER(FIELD_UINT, "max-bandwidth", max_bandwidth, .help = "Bytes a second; 0: any"),
        PARAMETER(FIELD_UINT, "downtime-limit", downtime_limit, .max = 2000 * 1000,
                  .help = "ms that the guest may stand still"),
        PARAMETER(FIELD_UINT, "multifd-channels", multifd_channels, .min = 1, .max = MIGRATE_CHANNELS,
                  .help = "Connections for memory, with capability multifd"),
        PARAMETER(FIELD_ENUM, "multifd-compression", compression, .of.enumeration = &compression_enum,
                  .help = "How these compress it"),
        PARAMETER(FIELD_UINT, "multifd-zlib-level", zlib_level, .max = 9,
                  .help = "0: not at all, 1: fast, to 9: small"),
#ifdef HAVE_ZSTD
        PARAMETER(FIELD_UINT, "multifd-zstd-level", zstd_level, .max = 20,
                  .help = "1: fast, to 20: small; 0: what zstd takes by itself"),
#endif
        FIELD_END
    },
};

static bool query_parameters(CommandCall *call, const void *args, void *ret, GError **error)
{
    Parameters *parameters = ret;

    parameters->p = migrate_control(call->domain)->parameters;
    memset(parameters->has, true, sizeof(parameters->has));
    return true;
}

/* The migration's thread reads each for itself. */
static void put_value(void *to, const void *from, uint32_t width)
{
    switch (width) {
    case sizeof(uint8_t): /* and bool */
        __atomic_store_n((uint8_t *)to, *(const uint8_t *)from, __ATOMIC_RELAXED);
        break;
    case sizeof(int):
        __atomic_store_n((int *)to, *(const int *)from, __ATOMIC_RELAXED);
        break;
    default:
        g_assert(width == sizeof(uint64_t));
        __atomic_store_n((uint64_t *)to, *(const uint64_t *)from, __ATOMIC_RELAXED);
    }
}

/* What is absent keeps its value. */
static void put(MigrateParameters *to, const Parameters *args)
{
    for (const Field *f = parameters_struct.fields; f->type != FIELD_END_OF_TABLE; f++) {
        if (args->has[f->offset]) {
            put_value((uint8_t *)to + f->offset, (const uint8_t *)&args->p + f->offset, f->width);
        }
    }
}

static bool set_parameters(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    struct MigrateControl *control = migrate_control(call->domain);
    const Parameters *args = opaque;
    MigrateParameters p = control->parameters;
    Migration *m = control->migration;

    put(&p, args);
    if (p.throttle.max < p.throttle.initial) {
        return error_set(error, "Parameter 'max-cpu-throttle' expects an integer from cpu-throttle-initial (%u) to 99",
                         p.throttle.initial);
    }
    put(&control->parameters, args);
    if (m && !m->stopped && migrate_status(control) == MIGRATE_ACTIVE) {
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
