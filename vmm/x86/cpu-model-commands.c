/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-cpu-definitions, query-cpu-model-expansion.  Names and members are QEMU 7.2's (qapi/machine-target.json).
 * A model is what this accelerator can give of it: what it cannot is in unavailable-features.
 *
 * An expansion of type `static` is the model "base" and all that has to be added to it, `full` the model itself with
 * all that it has; both, given to -cpu, make the same processor.  Who does not say `migratable` gets what any host may
 * be given: clients make models for other hosts of it, and compare with migratable=off to see what must not be in them.
 */
#include "vmm/x86/cpu-model-commands.h"

#include <string.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/x86/cpu-model-priv.h"

#define UNAVAILABLE "unavailable-features"

char *cpu_model_type_name(const char *model)
{
    return g_strconcat(model, "-x86_64-cpu", NULL);
}

const char *cpu_model_name(const CpuModel *model)
{
    return model->name;
}

/* ---- features and properties ---- */

typedef void (*FeatureFn)(const char *name, bool set, void *opaque);

static void each_feature(const CpuFeatures *f, FeatureFn fn, void *opaque)
{
    for (unsigned w = 0; w < CPU_WORDS; w++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            if (cpu_words[w].names[bit]) {
                fn(cpu_words[w].names[bit], cpu_has(f, w, bit), opaque);
            }
        }
    }
}

typedef struct PropertyPass { CpuPropertyFn fn; void *opaque; } PropertyPass;

static void pass_feature(const char *name, bool set, void *opaque)
{
    const PropertyPass *pass = opaque;

    pass->fn(name, "bool", "A feature", pass->opaque);
}

void cpu_model_each_property(CpuPropertyFn fn, void *opaque)
{
    static const CpuFeatures none;
    PropertyPass pass = { fn, opaque };

    each_feature(&none, pass_feature, &pass);
    for (const Field *f = cpu_options.fields; f->type != FIELD_END_OF_TABLE; f++) {
        g_autofree char *type = field_type_text(f);

        fn(f->name, f->type == FIELD_ENUM ? f->of.enumeration->name : type, f->help, opaque);
    }
    fn(UNAVAILABLE, "strList", "Features that it should have and that cannot be given", opaque);
}

static void add_if_set(const char *name, bool set, void *array)
{
    if (set) {
        json_array_put(array, json_new_string(name));
    }
}

/* What tells the processor, beside its features. */
static Json *identity(const CpuModel *m, const char *name)
{
    const struct { const char *name; int64_t value; } numbers[] = {
        { "family", m->family }, { "model", m->model }, { "stepping", m->stepping },
        { "level", m->level }, { "xlevel", m->xlevel }, { "phys-bits", m->phys_bits },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (strcmp(numbers[i].name, name) == 0) {
            return json_new_int(numbers[i].value);
        }
    }
    return strcmp(name, "vendor") == 0 ? json_new_string(m->vendor)
         : strcmp(name, "model-id") == 0 ? json_new_string(m->model_id) : NULL;
}

Json *cpu_model_property(const CpuModel *model, const char *name)
{
    CpuFeatures bits;
    Json *missing;

    if (strcmp(name, UNAVAILABLE) == 0) {
        missing = json_new_array();
        each_feature(&model->missing, add_if_set, missing);
        return missing;
    }
    return cpu_feature_find(name, &bits) ? json_new_bool(cpu_model_feature(model, name)) : identity(model, name);
}

/* ---- query-cpu-definitions ---- */

static const Field string_element = FIELD_VALUE(FIELD_STR, char *, .flags = FIELD_REQUIRED);
typedef struct CpuDefinition {
    char *name;
    bool migration_safe, is_static, has_unavailable;
    FieldList unavailable;
    char *type;
    bool deprecated;
} CpuDefinition;
static const FieldStruct cpu_definition = {
    .name = "CpuDefinitionInfo", .size = sizeof(CpuDefinition),
    .fields = (const Field[]) {
        F_STR("name", CpuDefinition, name, NULL, .flags = FIELD_REQUIRED, .help = "As -cpu takes it"),
        F_BOOL("migration-safe", CpuDefinition, migration_safe, false, .flags = FIELD_REQUIRED,
               .help = "The same on every host that can give it"),
        F_BOOL("static", CpuDefinition, is_static, false, .flags = FIELD_REQUIRED,
               .help = "... and under every accelerator and machine"),
        F_LIST(UNAVAILABLE, CpuDefinition, unavailable, &string_element, FIELD_HAS(CpuDefinition, has_unavailable),
               .help = "What it should have and cannot be given here"),
        F_STR("typename", CpuDefinition, type, NULL, .flags = FIELD_REQUIRED, .help = "Type in the object tree"),
        F_BOOL("deprecated", CpuDefinition, deprecated, false, .flags = FIELD_REQUIRED, .help = "Whether it will go"),
        FIELD_END
    },
};
static const Field cpu_definition_element = FIELD_VALUE(FIELD_STRUCT, CpuDefinition, .of.structure = &cpu_definition);

static void collect_missing(const char *name, bool set, void *array)
{
    char *copy;

    if (set) {
        copy = g_strdup(name);
        g_array_append_val((GArray *)array, copy);
    }
}

typedef struct DefinitionPass { Accel *accel; GArray *all; } DefinitionPass;

static void add_definition(const char *name, const char *desc, void *opaque)
{
    DefinitionPass *pass = opaque;
    g_autofree char *text = g_strconcat(name, ",check=off", NULL);
    GArray *missing = g_array_new(FALSE, FALSE, sizeof(char *));
    bool portable = strcmp(name, "host") != 0 && strcmp(name, "max") != 0;
    CpuModel *model = pass->accel ? cpu_model_new(text, pass->accel, NULL) : NULL;
    CpuDefinition d = {
        .name = g_strdup(name), .type = cpu_model_type_name(name), .migration_safe = portable,
        .is_static = strcmp(name, "base") == 0, .has_unavailable = model != NULL,
    };

    if (model) {
        each_feature(&model->missing, collect_missing, missing);
        cpu_model_free(model);
    }
    d.unavailable.n = missing->len;
    d.unavailable.items = g_array_free(missing, FALSE);
    g_array_append_val(pass->all, d);
}

static bool query_cpu_definitions(CommandCall *call, const void *args, void *ret, GError **error)
{
    DefinitionPass pass = { domain_accel(call->domain), g_array_new(FALSE, FALSE, sizeof(CpuDefinition)) };
    FieldList *list = ret;

    cpu_models_each(add_definition, &pass);
    list->n = pass.all->len;
    list->items = g_array_free(pass.all, FALSE);
    return true;
}

/* ---- query-cpu-model-expansion ---- */

typedef struct ModelInfo { char *name; Json *props; } ModelInfo;
static const FieldStruct model_info = {
    .name = "CpuModelInfo", .size = sizeof(ModelInfo),
    .fields = (const Field[]) {
        F_STR("name", ModelInfo, name, NULL, .flags = FIELD_REQUIRED, .help = "The model"),
        FIELD_AT("props", FIELD_ANY, ModelInfo, props, .help = "Its features and options, an object"),
        FIELD_END
    },
};

typedef enum ExpansionType { EXPANSION_STATIC, EXPANSION_FULL } ExpansionType;
static const FieldEnum expansion_enum = { "CpuModelExpansionType", (const char *const[]) { "static", "full", NULL } };
typedef struct ExpansionArgs { int type; ModelInfo model; } ExpansionArgs;
static const FieldStruct expansion_args = {
    .name = "CpuModelExpansionArguments", .size = sizeof(ExpansionArgs),
    .fields = (const Field[]) {
        F_ENUM("type", ExpansionArgs, type, &expansion_enum, 0, .flags = FIELD_REQUIRED, .help = "How far"),
        F_STRUCT("model", ExpansionArgs, model, &model_info, .flags = FIELD_REQUIRED, .help = "What to expand"),
        FIELD_END
    },
};
typedef struct Expansion { ModelInfo model; } Expansion;
static const FieldStruct expansion_desc = {
    .name = "CpuModelExpansionInfo", .size = sizeof(Expansion),
    .fields = (const Field[]) {
        F_STRUCT("model", Expansion, model, &model_info, .flags = FIELD_REQUIRED, .help = "The expanded model"),
        FIELD_END
    },
};

typedef struct TextPass { GString *text; GError **error; } TextPass;

static bool append_property(const char *name, Json *value, void *opaque)
{
    TextPass *pass = opaque;

    g_string_append_printf(pass->text, ",%s=", name);
    switch (json_type_of(value)) {
    case JSON_BOOL:
        g_string_append(pass->text, json_get_bool(value) ? "on" : "off");
        return true;
    case JSON_INT:
        g_string_append_printf(pass->text, "%" G_GINT64_FORMAT, json_get_int(value));
        return true;
    case JSON_STRING:
        g_string_append(pass->text, json_get_string(value));
        return !strchr(json_get_string(value), ',') ||
               error_set(pass->error, "'props.%s': there can be no comma in it", name);
    default:
        return error_set(pass->error, "'props.%s' is not true, false, a number or a string but %s", name,
                         json_type_name(value));
    }
}

static CpuModel *make_model(Accel *accel, const ModelInfo *info, GError **error)
{
    g_autoptr(GString) text = g_string_new(info->name);
    TextPass pass = { text, error };

    if (strchr(info->name, ',')) {
        error_set(error, "there is no CPU model '%s'", info->name);
        return NULL;
    }
    if (info->props && json_type_of(info->props) != JSON_OBJECT) {
        error_set(error, "'props' must be an object");
        return NULL;
    }
    if (info->props && !json_object_each(info->props, append_property, &pass)) {
        return NULL;
    }
    if (!info->props || !json_object_get_member(info->props, "migratable")) {
        g_string_append(text, ",migratable=on");
    }
    g_string_append(text, ",check=off");
    return cpu_model_new(text->str, accel, error);
}

static void put_feature(const char *name, bool set, void *props)
{
    json_object_put_member(props, name, json_new_bool(set));
}

static Json *expand(const CpuModel *m, ExpansionType type)
{
    static const char *const names[] = { "vendor", "family", "model", "stepping", "model-id", "level", "xlevel",
                                         "phys-bits" };
    Json *props = json_new_object();

    each_feature(&m->features, put_feature, props);
    put_feature("kvmclock", cpu_model_feature(m, "kvmclock"), props); /* as clients know the two bits */
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        json_object_put_member(props, names[i], identity(m, names[i]));
    }
    put_feature("pmu", m->pmu, props);
    if (type == EXPANSION_FULL) {
        put_feature("kvm", m->kvm, props);
        put_feature("l3-cache", m->l3_cache, props);
        put_feature("host-cache-info", m->host_cache, props);
        json_object_put_member(props, "tsc-frequency", json_new_int(m->tsc_khz * INT64_C(1000)));
    }
    return props;
}

static bool query_cpu_model_expansion(CommandCall *call, const void *opaque, void *opaque_ret, GError **error)
{
    const ExpansionArgs *args = opaque;
    Expansion *ret = opaque_ret;
    CpuModel *model;

    if (!domain_accel(call->domain)) {
        return error_set(error, "There is no accelerator to ask");
    }
    model = make_model(domain_accel(call->domain), &args->model, error);
    if (!model) {
        return false;
    }
    ret->model.name = g_strdup(args->type == EXPANSION_STATIC ? "base" : args->model.name);
    ret->model.props = expand(model, (ExpansionType)args->type);
    cpu_model_free(model);
    return true;
}

const Command cpu_model_commands[] = {
    { "query-cpu-definitions", query_cpu_definitions, NULL, COMMAND_RETURNS_LIST(&cpu_definition_element),
      .help = "List the CPU models" },
    { "query-cpu-model-expansion", query_cpu_model_expansion, &expansion_args,
      COMMAND_RETURNS(Expansion, &expansion_desc), .help = "Tell what a CPU model consists of" },
    COMMAND_END
};
