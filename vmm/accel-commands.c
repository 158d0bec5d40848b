/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-kvm, query-stats, query-stats-schemas.  Names and members are QEMU 7.2's (qapi/misc-target.json,
 * qapi/stats.json).  A provider is an accelerator: "kvm" gives the kernel's statistics and our counters of exits,
 * "tcg", which QEMU does not have, those of the software CPU.
 */
#include "vmm/accel-commands.h"

#include <string.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/vcpu-commands.h"

typedef struct KvmInfo { bool enabled, present; } KvmInfo;
static const FieldStruct kvm_info = {
    .name = "KvmInfo", .size = sizeof(KvmInfo),
    .fields = (const Field[]) {
        F_BOOL("enabled", KvmInfo, enabled, false, .flags = FIELD_REQUIRED, .help = "Whether it runs this guest"),
        F_BOOL("present", KvmInfo, present, false, .flags = FIELD_REQUIRED, .help = "Whether it is built in"),
        FIELD_END
    },
};

static bool runs_on(Domain *domain, const char *accel)
{
    return domain_accel(domain) && strcmp(domain_accel(domain)->class->name, accel) == 0;
}

static bool query_kvm(CommandCall *call, const void *args, void *opaque, GError **error)
{
    KvmInfo *ret = opaque;

    ret->enabled = runs_on(call->domain, "kvm");
    for (unsigned i = 0; accel_classes[i]; i++) {
        ret->present = ret->present || strcmp(accel_classes[i]->name, "kvm") == 0;
    }
    return true;
}

/* ---- arguments of query-stats ---- */

typedef enum StatsTarget { TARGET_VM, TARGET_VCPU } StatsTarget;
static const FieldEnum target_enum = { "StatsTarget", (const char *const[]) { "vm", "vcpu", NULL } };
typedef enum StatsProvider { PROVIDER_KVM, PROVIDER_TCG, PROVIDERS } StatsProvider;
static const char *const providers[] = { "kvm", "tcg", NULL };
static const FieldEnum provider_enum = { "StatsProvider", providers };
static const Field string_element = FIELD_VALUE(FIELD_STR, char *, .flags = FIELD_REQUIRED);

typedef struct StatsRequest { int provider; bool has_names; FieldList names; } StatsRequest;
static const FieldStruct stats_request = {
    .name = "StatsRequest", .size = sizeof(StatsRequest),
    .fields = (const Field[]) {
        F_ENUM("provider", StatsRequest, provider, &provider_enum, 0, .flags = FIELD_REQUIRED, .help = "Whose"),
        F_LIST("names", StatsRequest, names, &string_element, FIELD_HAS(StatsRequest, has_names),
               .help = "Which (default: all)"),
        FIELD_END
    },
};
static const Field stats_request_element = FIELD_VALUE(FIELD_STRUCT, StatsRequest, .of.structure = &stats_request);

typedef struct StatsVcpus { bool has_vcpus; FieldList vcpus; } StatsVcpus;
static const FieldStruct stats_vcpus = {
    .name = "StatsVCPUFilter", .size = sizeof(StatsVcpus),
    .fields = (const Field[]) {
        F_LIST("vcpus", StatsVcpus, vcpus, &string_element, FIELD_HAS(StatsVcpus, has_vcpus),
               .help = "QOM paths of the vCPUs (default: all)"),
        FIELD_END
    },
};

typedef struct StatsFilter { int target; bool has_providers; FieldList providers; StatsVcpus *vcpus; } StatsFilter;
static const FieldStruct stats_filter = {
    .name = "StatsFilter", .size = sizeof(StatsFilter),
    .fields = (const Field[]) {
        F_ENUM("target", StatsFilter, target, &target_enum, 0, .flags = FIELD_REQUIRED, .help = "Of what"),
        F_LIST("providers", StatsFilter, providers, &stats_request_element, FIELD_HAS(StatsFilter, has_providers),
               .help = "Whose, and which (default: all)"),
        FIELD_END
    },
    .tag = "target", .variant_offset = offsetof(StatsFilter, vcpus),
    .cases = (const FieldCase[]) { { "vm", NULL }, { "vcpu", &stats_vcpus }, { 0 } },
};

static bool lists_name(const FieldList *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (g_str_equal(FIELD_LIST_AT(*names, char *, i), name)) {
            return true;
        }
    }
    return false;
}

/* The accelerator of this domain as a provider; false: it is none. */
static bool own_provider(Domain *domain, int *ret)
{
    for (*ret = 0; *ret < PROVIDERS; (*ret)++) {
        if (runs_on(domain, providers[*ret])) {
            return true;
        }
    }
    return false;
}

static bool wants(const StatsFilter *filter, int provider, const char *name)
{
    for (size_t i = 0; i < filter->providers.n; i++) {
        const StatsRequest *r = &FIELD_LIST_AT(filter->providers, StatsRequest, i);

        if (r->provider == provider && (!r->has_names || lists_name(&r->names, name))) {
            return true;
        }
    }
    return !filter->has_providers;
}

/* ---- what query-stats returns ---- */

static const Field count_element = FIELD_VALUE(FIELD_UINT, uint64_t, .flags = FIELD_REQUIRED);
static const Field value_int = FIELD_VALUE(FIELD_UINT, uint64_t, .flags = FIELD_REQUIRED);
static const Field value_bool = FIELD_VALUE(FIELD_BOOL, bool, .flags = FIELD_REQUIRED);
static const Field value_list = FIELD_VALUE(FIELD_LIST, FieldList, .of.element = &count_element,
                                            .flags = FIELD_REQUIRED);
static const FieldAlternateDesc stats_value = {
    .name = "StatsValue", .int_branch = &value_int, .bool_branch = &value_bool, .array_branch = &value_list,
};

typedef struct Stats { char *name; FieldAlternate value; } Stats;
static const FieldStruct stats_desc = {
    .name = "Stats", .size = sizeof(Stats),
    .fields = (const Field[]) {
        F_STR("name", Stats, name, NULL, .flags = FIELD_REQUIRED, .help = "Its name"),
        F_ALTERNATE("value", Stats, value, &stats_value, .flags = FIELD_REQUIRED,
                    .help = "A number, yes or no, or the counts of a histogram"),
        FIELD_END
    },
};
static const Field stats_element = FIELD_VALUE(FIELD_STRUCT, Stats, .of.structure = &stats_desc);

typedef struct StatsResult { int provider; char *qom_path; FieldList stats; } StatsResult;
static const FieldStruct stats_result = {
    .name = "StatsResult", .size = sizeof(StatsResult),
    .fields = (const Field[]) {
        F_ENUM("provider", StatsResult, provider, &provider_enum, 0, .flags = FIELD_REQUIRED, .help = "Whose they are"),
        F_STR("qom-path", StatsResult, qom_path, NULL, .help = "The vCPU they are of"),
        F_LIST("stats", StatsResult, stats, &stats_element, .flags = FIELD_REQUIRED, .help = "The values"),
        FIELD_END
    },
};
static const Field stats_result_element = FIELD_VALUE(FIELD_STRUCT, StatsResult, .of.structure = &stats_result);

typedef struct Collect { const StatsFilter *filter; int provider; GArray *stats; } Collect;

static FieldAlternate value_of(const AccelStat *stat)
{
    FieldAlternate v = { 0 };

    if (stat->kind == ACCEL_STAT_LINEAR_HISTOGRAM || stat->kind == ACCEL_STAT_LOG2_HISTOGRAM) {
        v.branch = &value_list;
        v.value = g_new(FieldList, 1);
        *(FieldList *)v.value = (FieldList) { g_memdup2(stat->values, stat->n * sizeof(uint64_t)), stat->n };
    } else if (stat->unit == ACCEL_STAT_BOOLEAN) {
        v.branch = &value_bool;
        v.value = g_new(bool, 1);
        *(bool *)v.value = stat->values[0] != 0;
    } else {
        v.branch = &value_int;
        v.value = g_memdup2(stat->values, sizeof(uint64_t));
    }
    return v;
}

static void collect(const AccelStat *stat, void *opaque)
{
    Collect *c = opaque;
    Stats s;

    if (wants(c->filter, c->provider, stat->name)) {
        s = (Stats) { g_strdup(stat->name), value_of(stat) };
        g_array_append_val(c->stats, s);
    }
}

/* vcpu NULL: of the VM.  Nothing wanted, nothing added. */
static void add_result(Domain *domain, const StatsFilter *filter, int provider, Vcpu *vcpu, GArray *results)
{
    Accel *accel = domain_accel(domain);
    Collect c = { filter, provider, g_array_new(FALSE, FALSE, sizeof(Stats)) };
    StatsResult result = { .provider = provider };

    accel->class->stats(accel, vcpu, collect, &c);
    result.stats.n = c.stats->len;
    result.stats.items = g_array_free(c.stats, FALSE);
    if (result.stats.n) {
        result.qom_path = vcpu ? vcpu_path(vcpu) : NULL;
        g_array_append_val(results, result);
    } else {
        g_free(result.stats.items);
    }
}

static bool query_stats(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const StatsFilter *filter = opaque;
    GArray *results = g_array_new(FALSE, FALSE, sizeof(StatsResult));
    FieldList *list = ret;
    int provider;
    bool any = own_provider(call->domain, &provider) && domain_accel(call->domain)->class->stats;

    if (any && filter->target == TARGET_VM) {
        add_result(call->domain, filter, provider, NULL, results);
    }
    for (unsigned i = 0; any && filter->target == TARGET_VCPU && i < domain_vcpus(call->domain); i++) {
        Vcpu *vcpu = domain_vcpu(call->domain, i);
        g_autofree char *path = vcpu_path(vcpu);

        if (!filter->vcpus || !filter->vcpus->has_vcpus || lists_name(&filter->vcpus->vcpus, path)) {
            add_result(call->domain, filter, provider, vcpu, results);
        }
    }
    list->n = results->len;
    list->items = g_array_free(results, FALSE);
    return true;
}

/* ---- query-stats-schemas ---- */

typedef struct SchemasArgs { int provider; bool has_provider; } SchemasArgs;
static const FieldStruct schemas_args = {
    .name = "StatsSchemasArguments", .size = sizeof(SchemasArgs),
    .fields = (const Field[]) {
        F_ENUM("provider", SchemasArgs, provider, &provider_enum, 0, FIELD_HAS(SchemasArgs, has_provider),
               .help = "Whose (default: all)"),
        FIELD_END
    },
};

static const FieldEnum type_enum = {
    "StatsType",
    (const char *const[]) { [ACCEL_STAT_CUMULATIVE] = "cumulative", [ACCEL_STAT_INSTANT] = "instant",
                            [ACCEL_STAT_PEAK] = "peak", [ACCEL_STAT_LINEAR_HISTOGRAM] = "linear-histogram",
                            [ACCEL_STAT_LOG2_HISTOGRAM] = "log2-histogram", NULL }
};
static const FieldEnum unit_enum = { /* ACCEL_STAT_BYTES is the first */
    "StatsUnit", (const char *const[]) { "bytes", "seconds", "cycles", "boolean", NULL }
};

typedef struct SchemaValue {
    char *name;
    int type, unit;
    int32_t exponent;
    int8_t base;
    uint32_t bucket_size;
    bool has_unit, has_base, has_bucket_size;
} SchemaValue;
static const FieldStruct schema_value = {
    .name = "StatsSchemaValue", .size = sizeof(SchemaValue),
    .fields = (const Field[]) {
        F_STR("name", SchemaValue, name, NULL, .flags = FIELD_REQUIRED, .help = "Its name"),
        F_ENUM("type", SchemaValue, type, &type_enum, 0, .flags = FIELD_REQUIRED, .help = "How it changes"),
        F_ENUM("unit", SchemaValue, unit, &unit_enum, 0, FIELD_HAS(SchemaValue, has_unit), .help = "Its unit"),
        F_INT("base", SchemaValue, base, 0, FIELD_HAS(SchemaValue, has_base),
              .help = "The unit is multiplied by this to the power of exponent"),
        F_INT("exponent", SchemaValue, exponent, 0, .flags = FIELD_REQUIRED, .help = "That exponent"),
        F_UINT("bucket-size", SchemaValue, bucket_size, 0, FIELD_HAS(SchemaValue, has_bucket_size),
               .help = "Width of a bucket of a linear histogram"),
        FIELD_END
    },
};
static const Field schema_value_element = FIELD_VALUE(FIELD_STRUCT, SchemaValue, .of.structure = &schema_value);

typedef struct Schema { int provider, target; FieldList stats; } Schema;
static const FieldStruct schema_desc = {
    .name = "StatsSchema", .size = sizeof(Schema),
    .fields = (const Field[]) {
        F_ENUM("provider", Schema, provider, &provider_enum, 0, .flags = FIELD_REQUIRED, .help = "Whose they are"),
        F_ENUM("target", Schema, target, &target_enum, 0, .flags = FIELD_REQUIRED, .help = "Of what"),
        F_LIST("stats", Schema, stats, &schema_value_element, .flags = FIELD_REQUIRED, .help = "The statistics"),
        FIELD_END
    },
};
static const Field schema_element = FIELD_VALUE(FIELD_STRUCT, Schema, .of.structure = &schema_desc);

static void describe(const AccelStat *stat, void *values)
{
    SchemaValue v = {
        .name = g_strdup(stat->name), .type = (int)stat->kind, .exponent = stat->exponent,
        .has_unit = stat->unit != ACCEL_STAT_NO_UNIT, .unit = (int)stat->unit - (int)ACCEL_STAT_BYTES,
        .has_base = stat->exponent != 0, .base = (int8_t)stat->base,
        .has_bucket_size = stat->kind == ACCEL_STAT_LINEAR_HISTOGRAM, .bucket_size = stat->bucket_size,
    };

    g_array_append_val((GArray *)values, v);
}

/* A vCPU has the statistics of every other one. */
static void add_schema(Domain *domain, int provider, StatsTarget target, GArray *schemas)
{
    Accel *accel = domain_accel(domain);
    GArray *values = g_array_new(FALSE, FALSE, sizeof(SchemaValue));
    Schema schema = { .provider = provider, .target = (int)target };

    if (target == TARGET_VM || domain_vcpus(domain)) {
        accel->class->stats(accel, target == TARGET_VM ? NULL : domain_vcpu(domain, 0), describe, values);
    }
    schema.stats.n = values->len;
    schema.stats.items = g_array_free(values, FALSE);
    if (schema.stats.n) {
        g_array_append_val(schemas, schema);
    } else {
        g_free(schema.stats.items);
    }
}

static bool query_stats_schemas(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const SchemasArgs *args = opaque;
    GArray *schemas = g_array_new(FALSE, FALSE, sizeof(Schema));
    FieldList *list = ret;
    int provider;

    if (own_provider(call->domain, &provider) && domain_accel(call->domain)->class->stats &&
        (!args->has_provider || args->provider == provider)) {
        add_schema(call->domain, provider, TARGET_VM, schemas);
        add_schema(call->domain, provider, TARGET_VCPU, schemas);
    }
    list->n = schemas->len;
    list->items = g_array_free(schemas, FALSE);
    return true;
}

const Command accel_commands[] = {
    { "query-kvm", query_kvm, NULL, COMMAND_RETURNS(KvmInfo, &kvm_info), .flags = COMMAND_OOB,
      .help = "Tell whether KVM runs the guest" },
    { "query-stats", query_stats, &stats_filter, COMMAND_RETURNS_LIST(&stats_result_element),
      .help = "Read statistics of the VM or of its vCPUs" },
    { "query-stats-schemas", query_stats_schemas, &schemas_args, COMMAND_RETURNS_LIST(&schema_element),
      .help = "Describe the statistics" },
    COMMAND_END
};
