/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -cpu: from its text to a model that the accelerator can give.  Main thread.
 *
 * Features are collected in this order: the model's; the paravirtual ones; +f, f=on;
 * -f, f=off.  What the accelerator cannot give is then taken out, and said.
 */
#include "vmm/x86/cpu-model-priv.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/x86/cpu-models.h"

#define HOST_LEAVES_MAX   512
#define NAMED_PHYS_BITS   40
#define MSR_UCODE_REV     0x8b
#define MSR_PLATFORM_INFO 0xce
#define MSR_ARCH_CAPS     0x10a
#define MSR_PERF_CAPS     0x345
#define UCODE_REV_INTEL   UINT64_C(0x100000000)
#define UCODE_REV_AMD     UINT64_C(0x01000065)

/* Given to every model, as far as the accelerator has them. */
#define KVM_DEFAULTS "kvmclock-old kvmclock-new kvm-nopiodelay kvm-asyncpf kvm-asyncpf-int kvm-steal-time kvm-pv-eoi " \
                     "kvmclock-stable-bit"
/* Of those what every accelerator has on every host: the stable bit needs an invariant TSC. */
#define PORTABLE_DEFAULTS "kvmclock-old kvmclock-new"
/* Of `host` and `max` too only when asked for: they tell of the board, keep a guest on this host, or (nested
 * virtualization) are not part of the saved state. */
#define ONLY_WHEN_ASKED "monitor acpi ds tm pbe dtes64 est tm2 xtpr smx vmx svm invtsc core-capability"

/* Properties beside the features. */
typedef struct CpuOptions {
    bool check, enforce, kvm, has_migratable, migratable, l3_cache;
    int pmu, host_phys_bits, host_cache_info; /* OnOffAuto */
    bool has_family, has_model, has_stepping, has_level, has_xlevel, has_phys_bits;
    uint32_t family, model, stepping, level, xlevel, phys_bits, host_phys_bits_limit;
    char *vendor, *model_id;
    uint64_t tsc_frequency;
} CpuOptions;

const FieldStruct cpu_options = {
    .name = "CpuOptions", .size = sizeof(CpuOptions), .help = "Options of -cpu MODEL, beside features",
    .fields = (const Field[]) {
        F_BOOL("check", CpuOptions, check, true, .help = "warn of features that cannot be given"),
        F_BOOL("enforce", CpuOptions, enforce, false, .help = "refuse to start without them"),
        F_BOOL("kvm", CpuOptions, kvm, true, .help = "show KVM's signature and its paravirtual features"),
        F_BOOL("migratable", CpuOptions, migratable, true, FIELD_HAS(CpuOptions, has_migratable),
               .help = "host, max: leave out what cannot be moved; when not given, invtsc stays if this accelerator "
                       "moves a domain only to hosts with such a TSC"),
        F_ENUM("pmu", CpuOptions, pmu, &field_on_off_auto, ON_OFF_AUTO_AUTO,
               .help = "performance counters (auto: host, max)"),
        F_ENUM("host-phys-bits", CpuOptions, host_phys_bits, &field_on_off_auto, ON_OFF_AUTO_AUTO,
               .help = "the host's width of physical addresses (auto: host, max)"),
        F_UINT("host-phys-bits-limit", CpuOptions, host_phys_bits_limit, 0, .help = "at most so many; 0: any"),
        F_UINT("phys-bits", CpuOptions, phys_bits, 0, FIELD_HAS(CpuOptions, has_phys_bits), .min = 32, .max = 52,
               .help = "width of physical addresses"),
        F_ENUM("host-cache-info", CpuOptions, host_cache_info, &field_on_off_auto, ON_OFF_AUTO_AUTO,
               .help = "the host's caches in CPUID (auto: off)"),
        F_BOOL("l3-cache", CpuOptions, l3_cache, true, .help = "show a level 3 cache shared by a socket"),
        F_UINT("level", CpuOptions, level, 0, FIELD_HAS(CpuOptions, has_level), .max = 0x20,
               .help = "highest basic CPUID leaf"),
        F_UINT("xlevel", CpuOptions, xlevel, 0, FIELD_HAS(CpuOptions, has_xlevel), .min = 0x80000000, .max = 0x80000021,
               .help = "highest extended CPUID leaf"),
        F_STR("vendor", CpuOptions, vendor, NULL, .help = "vendor, 12 letters"),
        F_UINT("family", CpuOptions, family, 0, FIELD_HAS(CpuOptions, has_family), .min = 0, .max = 0x10e,
               .help = "family of the signature"),
        F_UINT("model", CpuOptions, model, 0, FIELD_HAS(CpuOptions, has_model), .min = 0, .max = 0xff,
               .help = "model of the signature"),
        F_UINT("stepping", CpuOptions, stepping, 0, FIELD_HAS(CpuOptions, has_stepping), .min = 0, .max = 15,
               .help = "stepping of the signature"),
        F_STR("model-id", CpuOptions, model_id, NULL, .help = "name of the processor, at most 48 letters"),
        F_UINT("tsc-frequency", CpuOptions, tsc_frequency, 0, .min = 0, .max = INT64_C(4000000000000),
               .help = "TSC frequency in Hz"),
        FIELD_END
    },
};

X86Cpuid cpu_model_host_leaf(const CpuModel *model, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < model->host_leaves; i++) {
        const X86Cpuid *c = &model->host[i];

        if (c->leaf == leaf && (!c->indexed || c->subleaf == subleaf)) {
            return *c;
        }
    }
    return (X86Cpuid) { .leaf = leaf, .subleaf = subleaf };
}

static uint32_t cpuid_register(const X86Cpuid *c, CpuRegister reg)
{
    return reg == REGISTER_EAX ? c->eax : reg == REGISTER_EBX ? c->ebx : reg == REGISTER_ECX ? c->ecx : c->edx;
}

/* What this accelerator gives at most; bits without a name are never given. */
static void host_features(const CpuModel *m, CpuFeatures *ret)
{
    for (unsigned w = 0; w < CPU_WORDS; w++) {
        const CpuWordInfo *info = &cpu_words[w];
        X86Cpuid c = cpu_model_host_leaf(m, info->leaf, info->subleaf);
        uint32_t named = 0, given = cpuid_register(&c, info->reg);

        if (!info->leaf) {
            given = (uint32_t)(m->accel->class->supported_msr_features(m->accel, info->msr) >> info->shift);
        }
        for (unsigned bit = 0; bit < 32; bit++) {
            named |= info->names[bit] ? 1u << bit : 0;
        }
        ret->word[w] = named & given;
    }
}

/* ---- names ---- */
static const CpuModelDef *def_find(const char *name)
{
    for (const CpuModelDef *d = cpu_model_defs; d->name; d++) {
        if (!strcmp(d->name, name)) {
            return d;
        }
    }
    return NULL;
}

static void add_model_name(const char *name, const char *desc, void *names)
{
    g_ptr_array_add(names, (gpointer)name);
}

static bool unknown_model(const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *nearest;

    cpu_models_each(add_model_name, names);
    g_ptr_array_add(names, NULL);
    nearest = error_nearest(name, (const char *const *)names->pdata);
    error_set(error, "there is no CPU model '%s'", name);
    return nearest ? error_hint(error, "Did you mean '%s'?", nearest) : error_hint(error, "'-cpu help' lists them.");
}

static bool unknown_option(const char *name, GError **error)
{
    g_autofree const char **features = cpu_feature_names();
    const char *nearest = error_nearest(name, features);
    g_autoptr(GPtrArray) options = g_ptr_array_new();

    for (const Field *f = cpu_options.fields; f->type != FIELD_END_OF_TABLE; f++) {
        g_ptr_array_add(options, (gpointer)f->name);
    }
    g_ptr_array_add(options, NULL);
    nearest = nearest ? nearest : error_nearest(name, (const char *const *)options->pdata);
    error_set(error, "-cpu: there is no feature or option '%s'", name);
    return nearest ? error_hint(error, "Did you mean '%s'?", nearest) : error_hint(error, "'-cpu help' lists them.");
}

/* ---- the text ---- */
static bool add_option(const char *item, CpuFeatures *on, CpuFeatures *off, CpuOptions *options, GError **error)
{
    const char *equals = strchr(item, '=');
    g_autofree char *name = equals ? g_strndup(item, equals - item) : g_strdup(item);
    const char *value = equals ? equals + 1 : "on";
    const Field *field;
    CpuFeatures bits;
    bool yes;

    g_strdelimit(name, "_", '-');
    field = field_struct_find(&cpu_options, strcmp(name, "tsc-freq") ? name : "tsc-frequency"); /* an old spelling */
    if (field) {
        return field_parse_text(field, value, options, error) || error_subject(error, "-cpu");
    }
    if (!cpu_feature_find(name, &bits)) {
        return unknown_option(name, error);
    }
    yes = !strcmp(value, "on") || !strcmp(value, "yes") || !strcmp(value, "true");
    if (!yes && strcmp(value, "off") && strcmp(value, "no") && strcmp(value, "false")) {
        return error_set(error, "-cpu: '%s' is on or off, not '%s'", name, value);
    }
    for (unsigned w = 0; w < CPU_WORDS; w++) {
        on->word[w] = yes ? on->word[w] | bits.word[w] : on->word[w] & ~bits.word[w];
        off->word[w] = yes ? off->word[w] & ~bits.word[w] : off->word[w] | bits.word[w];
    }
    return true;
}

/* +f and -f come after every f=on and f=off, wherever they stand. */
static bool parse_items(char **items, CpuFeatures *on, CpuFeatures *off, CpuOptions *options, GError **error)
{
    for (unsigned i = 0; items[i]; i++) {
        if (items[i][0] != '+' && items[i][0] != '-' && !add_option(items[i], on, off, options, error)) {
            return false;
        }
    }
    for (unsigned i = 0; items[i]; i++) {
        g_autofree char *item = NULL;
        CpuFeatures bits;

        if (items[i][0] != '+' && items[i][0] != '-') {
            continue;
        }
        if (!cpu_feature_find(items[i] + 1, &bits)) {
            return unknown_option(items[i] + 1, error);
        }
        item = g_strdup_printf("%s=%s", items[i] + 1, items[i][0] == '+' ? "on" : "off");
        if (!add_option(item, on, off, options, error)) {
            return false;
        }
    }
    return true;
}

/* ---- the model's own ---- */
static void copy_text(char *to, size_t size, const char *from)
{
    memset(to, 0, size);
    memcpy(to, from, MIN(strlen(from), size - 1));
}

static void take_def(CpuModel *m, const CpuModelDef *d)
{
    CpuFeatures without = { 0 };

    if (d->base) {
        take_def(m, d->base);
    }
    if (d->vendor) {
        copy_text(m->vendor, sizeof(m->vendor), d->vendor);
    }
    m->family = d->family ? d->family : m->family;
    m->model = d->model ? d->model : m->model;
    m->stepping = d->stepping ? d->stepping % CPU_STEPPING_0 : m->stepping;
    m->level = d->level ? d->level : m->level;
    m->xlevel = d->xlevel ? d->xlevel : m->xlevel;
    copy_text(m->model_id, sizeof(m->model_id), d->model_id);
    if (d->features) {
        cpu_features_add(&m->features, d->features);
    }
    if (d->without) {
        cpu_features_add(&without, d->without);
        cpu_features_remove(&m->features, &without);
    }
}

static void take_host(CpuModel *m, const CpuFeatures *host, bool migratable)
{
    X86Cpuid c0 = cpu_model_host_leaf(m, 0, 0), c1 = cpu_model_host_leaf(m, 1, 0);
    X86Cpuid x0 = cpu_model_host_leaf(m, 0x80000000, 0);
    CpuFeatures removed = { 0 };
    char id[49] = { 0 };

    memcpy(m->vendor, &c0.ebx, 4);
    memcpy(m->vendor + 4, &c0.edx, 4);
    memcpy(m->vendor + 8, &c0.ecx, 4);
    m->family = (c1.eax >> 8 & 15) + ((c1.eax >> 8 & 15) == 15 ? c1.eax >> 20 & 0xff : 0);
    m->model = (c1.eax >> 4 & 15) | (c1.eax >> 12 & 0xf0);
    m->stepping = c1.eax & 15;
    m->level = MIN(c0.eax, 0x1f);
    m->xlevel = CLAMP(x0.eax, 0x80000008, 0x80000021);
    for (unsigned i = 0; i < 3; i++) {
        X86Cpuid c = cpu_model_host_leaf(m, 0x80000002 + i, 0);

        memcpy(id + 16 * i, &c.eax, 16);
    }
    copy_text(m->model_id, sizeof(m->model_id), id[0] ? id : "Lodge virtual CPU");
    m->features = *host;
    cpu_features_add(&removed, ONLY_WHEN_ASKED);
    if (!migratable) {
        CpuFeatures invtsc;

        cpu_feature_find("invtsc", &invtsc);
        cpu_features_remove(&removed, &invtsc);
    }
    cpu_features_remove(&m->features, &removed);
}

static bool set_text_options(CpuModel *m, const CpuOptions *o, GError **error)
{
    if (o->vendor) {
        if (strlen(o->vendor) != 12) {
            return error_set(error, "-cpu: 'vendor' has 12 letters, which '%s' has not", o->vendor);
        }
        copy_text(m->vendor, sizeof(m->vendor), o->vendor);
    }
    if (o->model_id) {
        if (strlen(o->model_id) > 48) {
            return error_set(error, "-cpu: 'model-id' has at most 48 letters, '%s' has more", o->model_id);
        }
        copy_text(m->model_id, sizeof(m->model_id), o->model_id);
    }
    m->family = o->has_family ? o->family : m->family;
    m->model = o->has_model ? o->model : m->model;
    m->stepping = o->has_stepping ? o->stepping : m->stepping;
    m->level = o->has_level ? o->level : m->level;
    m->xlevel = o->has_xlevel ? o->xlevel : m->xlevel;
    m->level_given = o->has_level;
    m->xlevel_given = o->has_xlevel;
    return true;
}

static bool set_phys_bits(CpuModel *m, const CpuOptions *o, bool is_host, GError **error)
{
    unsigned host = cpu_model_host_leaf(m, 0x80000008, 0).eax & 0xff;
    bool use_host = o->host_phys_bits == ON_OFF_AUTO_AUTO ? is_host : o->host_phys_bits == ON_OFF_AUTO_ON;

    host = host ? host : 36;
    if (o->has_phys_bits && o->phys_bits > host) {
        error_set(error, "-cpu: 'phys-bits' is %" PRIu32 ", this host has %u", o->phys_bits, host);
        return error_hint(error, "Use phys-bits=%u or less.", host);
    }
    m->phys_bits = o->has_phys_bits ? o->phys_bits : use_host ? host : MIN(host, NAMED_PHYS_BITS);
    if (!o->has_phys_bits && use_host && o->host_phys_bits_limit) {
        m->phys_bits = MIN(m->phys_bits, MAX(o->host_phys_bits_limit, 32));
    }
    return true;
}

static bool filter(CpuModel *m, const CpuFeatures *host, const CpuOptions *o, GError **error)
{
    CpuFeatures missing = m->features;
    g_autoptr(GString) names = g_string_new(NULL);

    cpu_features_remove(&missing, host);
    m->missing = missing;
    if (!cpu_features_any(&missing)) {
        return true;
    }
    cpu_features_print(&missing, names);
    if (o->enforce) {
        error_set(error, "-cpu %s: %s cannot give: %s", m->name, m->accel->class->name, names->str);
        return error_hint(error, "Choose another model, take them out with -FEATURE, or leave 'enforce' out.");
    }
    if (o->check) {
        log_warning("-cpu %s: %s cannot give, and the guest goes without: %s", m->name, m->accel->class->name,
                    names->str);
    }
    cpu_features_remove(&m->features, &missing);
    return true;
}

static void add_paravirtual(CpuModel *m, const CpuModelDef *def, const CpuFeatures *host)
{
    CpuFeatures defaults = { 0 };

    cpu_features_add(&defaults, def->portable ? PORTABLE_DEFAULTS : KVM_DEFAULTS);
    m->features.word[WORD_KVM] |= defaults.word[WORD_KVM] & host->word[WORD_KVM];
}

static bool build(CpuModel *m, char **items, GError **error)
{
    bool is_host = !strcmp(m->name, "host") || !strcmp(m->name, "max");
    const CpuModelDef *def = def_find(m->name);
    CpuFeatures host = { 0 }, on = { 0 }, off = { 0 };
    CpuOptions o;
    bool ok = false;

    if (!is_host && !def) {
        return unknown_model(m->name, error);
    }
    field_struct_init(&cpu_options, &o);
    host_features(m, &host);
    if (!parse_items(items, &on, &off, &o, error)) {
        goto out;
    }
    if (is_host) {
        take_host(m, &host, o.has_migratable ? o.migratable : !m->accel->class->tsc_frequency_kept);
    } else {
        take_def(m, def);
        if (!def->bare) {
            cpu_features_add(&m->features, "hypervisor x2apic tsc-deadline arat");
            add_paravirtual(m, def, &host);
        }
        m->features.word[WORD_1_ECX] &= host.word[WORD_1_ECX] | ~(1u << 31 | 1u << 24 | 1u << 21);
        m->features.word[WORD_6_EAX] &= host.word[WORD_6_EAX];
    }
    for (unsigned w = 0; w < CPU_WORDS; w++) {
        m->features.word[w] = (m->features.word[w] | on.word[w]) & ~off.word[w];
    }
    m->kvm = o.kvm;
    if (!o.kvm) {
        m->features.word[WORD_KVM] = 0;
    }
    m->pmu = o.pmu == ON_OFF_AUTO_AUTO ? is_host : o.pmu == ON_OFF_AUTO_ON;
    m->l3_cache = o.l3_cache;
    m->host_cache = o.host_cache_info == ON_OFF_AUTO_ON;
    m->tsc_khz = (uint32_t)(o.tsc_frequency / 1000);
    ok = set_text_options(m, &o, error) && set_phys_bits(m, &o, is_host, error) && filter(m, &host, &o, error);
    cpu_features_drop_orphans(&m->features);
out:
    field_struct_clear(&cpu_options, &o);
    return ok;
}

CpuModel *cpu_model_new(const char *text, Accel *accel, GError **error)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    CpuModel *m = g_new0(CpuModel, 1);

    m->accel = accel;
    m->name = g_strdup(items[0] ? items[0] : "");
    m->host = g_new0(X86Cpuid, HOST_LEAVES_MAX);
    m->host_leaves = accel->class->supported_cpuid(accel, m->host, HOST_LEAVES_MAX);
    if (!build(m, items[0] ? items + 1 : items, error)) {
        cpu_model_free(m);
        return NULL;
    }
    return m;
}

void cpu_model_free(CpuModel *model)
{
    if (model) {
        g_free(model->host);
        g_free(model->name);
        g_free(model);
    }
}

bool cpu_model_feature(const CpuModel *model, const char *name)
{
    CpuFeatures bits;

    if (!cpu_feature_find(name, &bits)) {
        return false;
    }
    cpu_features_remove(&bits, &model->features);
    return !cpu_features_any(&bits);
}

/* SDM 2A, CPUID figure 3-6. */
uint32_t cpu_model_signature(const CpuModel *model)
{
    unsigned family = MIN(model->family, 15), extended = model->family - family;

    return extended << 20 | (model->model >> 4) << 16 | family << 8 | (model->model & 15) << 4 | model->stepping;
}

unsigned cpu_model_phys_bits(const CpuModel *model)
{
    return model->phys_bits;
}

uint32_t cpu_model_tsc_khz(const CpuModel *model)
{
    return model->tsc_khz;
}

uint64_t cpu_model_feature_msr(const CpuModel *model, uint32_t msr)
{
    uint64_t host = model->accel->class->supported_msr_features(model->accel, msr);

    switch (msr) {
    case MSR_ARCH_CAPS:
        return (uint64_t)model->features.word[WORD_ARCH_CAPABILITIES_HIGH] << 32 |
               model->features.word[WORD_ARCH_CAPABILITIES];
    case MSR_UCODE_REV:
        if (strcmp(model->name, "host") && strcmp(model->name, "max")) {
            return strcmp(model->vendor, "AuthenticAMD") ? UCODE_REV_INTEL : UCODE_REV_AMD;
        }
        return host;
    case MSR_PERF_CAPS:
        return model->pmu && cpu_model_feature(model, "pdcm") ? host : 0;
    default:
        return host;
    }
}

void cpu_models_each(CpuModelFn fn, void *opaque)
{
    fn("host", "this host's processor, as far as the accelerator gives it", opaque);
    fn("max", "every feature the accelerator can give", opaque);
    for (const CpuModelDef *d = cpu_model_defs; d->name; d++) {
        fn(d->name, d->model_id, opaque);
    }
}

static void help_model(const char *name, const char *desc, void *out)
{
    g_string_append_printf(out, "  %-26s %s\n", name, desc);
}

void cpu_models_help(GString *out)
{
    g_autofree const char **names = cpu_feature_names();
    unsigned column = 0;

    g_string_append(out, "CPU models:\n");
    cpu_models_each(help_model, out);
    g_string_append(out, "\nFeatures (+NAME, -NAME, NAME=on|off):\n");
    for (unsigned i = 0; names[i]; i++) {
        if (column + strlen(names[i]) > 100) {
            g_string_append_c(out, '\n');
            column = 0;
        }
        g_string_append_printf(out, "  %s", names[i]);
        column += strlen(names[i]) + 2;
    }
    g_string_append_c(out, '\n');
    field_struct_help(&cpu_options, "\nOptions", out);
}
