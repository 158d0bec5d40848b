/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The prefix, header and record headers of a container (vmm/migrate-format.h), and
 * the comparison of a header with the domain that is to be restored.  What is read
 * is hostile.
 *
 * Locking: none.  A header is its owner's; collecting one is for the main thread.
 */
#include "vmm/migrate-format.h"

#include <string.h>

#include "vmm/bytes.h"
#include "vmm/device.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/state-format.h"
#include "vmm/x86/cpu-features.h"

#define MIB (UINT64_C(1) << 20)

static const FieldEnum layout_enum = { "MigrateLayout", (const char *const[]) { "inline", "mapped", NULL } };
static const FieldEnum register_enum = { "CpuRegister", (const char *const[]) { "eax", "ebx", "ecx", "edx", NULL } };

static const FieldStruct features_struct = {
    .name = "MigrateFeatures", .size = sizeof(MigrateFeatures),
    .fields = (const Field[]) {
        F_UINT("leaf", MigrateFeatures, leaf, 0, .flags = FIELD_REQUIRED, .help = "CPUID leaf"),
        F_UINT("subleaf", MigrateFeatures, subleaf, 0, .help = "CPUID subleaf"),
        F_ENUM("register", MigrateFeatures, reg, &register_enum, 0, .flags = FIELD_REQUIRED, .help = "CPUID register"),
        F_UINT("bits", MigrateFeatures, bits, 0, .flags = FIELD_REQUIRED, .help = "What the guest sees there"),
        FIELD_END
    },
};
static const FieldStruct block_struct = {
    .name = "MigrateBlock", .size = sizeof(MigrateBlockInfo),
    .fields = (const Field[]) {
        F_STR("id", MigrateBlockInfo, id, NULL, .flags = FIELD_REQUIRED, .help = "Its name"),
        F_SIZE("size", MigrateBlockInfo, size, 0, .flags = FIELD_REQUIRED, .help = "Bytes"),
        F_SIZE("offset", MigrateBlockInfo, offset, 0, .help = "Where it lies in the file (mapped)"),
        FIELD_END
    },
};
static const FieldStruct device_struct = {
    .name = "MigrateDevice", .size = sizeof(MigrateDeviceInfo),
    .fields = (const Field[]) {
        F_STR("path", MigrateDeviceInfo, path, NULL, .flags = FIELD_REQUIRED, .help = "Where it is"),
        F_STR("state", MigrateDeviceInfo, state, NULL, .flags = FIELD_REQUIRED, .help = "Name of its table of state"),
        F_UINT("version", MigrateDeviceInfo, version, 1, .flags = FIELD_REQUIRED, .help = "Version of that table"),
        F_STR("at", MigrateDeviceInfo, at, NULL, .help = "Where the guest finds it: its bus, and its address there"),
        FIELD_END
    },
};
static const Field features_element = FIELD_VALUE(FIELD_STRUCT, MigrateFeatures, .of.structure = &features_struct);
static const Field block_element = FIELD_VALUE(FIELD_STRUCT, MigrateBlockInfo, .of.structure = &block_struct);
static const Field device_element = FIELD_VALUE(FIELD_STRUCT, MigrateDeviceInfo, .of.structure = &device_struct);

const FieldStruct migrate_header = {
    .name = "MigrateHeader", .size = sizeof(MigrateHeader),
    .fields = (const Field[]) {
        F_STR("program", MigrateHeader, program, NULL, .flags = FIELD_REQUIRED, .help = "What wrote it"),
        F_STR("name", MigrateHeader, name, NULL, .help = "The domain"),
        F_STR("machine", MigrateHeader, machine, NULL, .flags = FIELD_REQUIRED, .help = "Machine type and version"),
        F_STR("accelerator", MigrateHeader, accelerator, NULL, .flags = FIELD_REQUIRED, .help = "What ran it"),
        F_STR("cpu", MigrateHeader, cpu, NULL, .help = "CPU model as it was asked for"),
        F_UINT("cpus", MigrateHeader, cpus, 0, .flags = FIELD_REQUIRED, .help = "Number of CPUs"),
        F_LIST("features", MigrateHeader, features, &features_element, .help = "CPUID, as far as it names features"),
        F_UINT("tsc-khz", MigrateHeader, tsc_khz, 0, .help = "Frequency of the CPUs' TSC"),
        F_LIST("ram", MigrateHeader, ram, &block_element, .help = "Blocks of memory"),
        F_LIST("devices", MigrateHeader, devices, &device_element, .help = "Whose state is in it"),
        F_ENUM("layout", MigrateHeader, layout, &layout_enum, 0, .flags = FIELD_REQUIRED, .help = "How RAM lies in it"),
        F_BOOL("return-path", MigrateHeader, return_path, false, .help = "Whether the source waits for answers"),
        F_UINT("channels", MigrateHeader, channels, 0, .max = MIGRATE_CHANNELS,
               .help = "How many more connections there are"),
        F_UINT("token", MigrateHeader, token, 0, .help = "What these begin with"),
        F_BOOL("check", MigrateHeader, check, false, FIELD_HAS(MigrateHeader, has_check),
               .help = "Whether this only asks if the domain could go on there"),
        F_STR("definition", MigrateHeader, definition, NULL, .help = "A -readconfig file that starts the domain"),
        F_STR("run-state", MigrateHeader, run_state, NULL, .help = "State of the domain (mapped)"),
        F_SIZE("state-offset", MigrateHeader, state_offset, 0, .help = "Where the sections lie (mapped)"),
        F_SIZE("state-length", MigrateHeader, state_length, 0, .help = "Bytes of them (mapped)"),
        F_UINT("state-checksum", MigrateHeader, checksum, 0, .help = "Their CRC-32C (mapped)"),
        FIELD_END
    },
};

/* ---- collecting ---- */

static uint32_t register_of(const X86Cpuid *leaf, CpuRegister reg)
{
    const uint32_t value[] = {
        [REGISTER_EAX] = leaf->eax, [REGISTER_EBX] = leaf->ebx, [REGISTER_ECX] = leaf->ecx, [REGISTER_EDX] = leaf->edx,
    };

    return value[reg];
}

static void collect_features(const Machine *machine, MigrateHeader *ret)
{
    g_autofree X86Cpuid *cpuid = g_new0(X86Cpuid, X86_CPUID_MAX);
    unsigned leaves = cpu_model_cpuid(machine->cpu_model, &machine->topology, 0, cpuid, X86_CPUID_MAX);

    ret->features.items = g_new0(MigrateFeatures, CPU_WORDS);
    for (unsigned w = 0; w < CPU_WORDS; w++) {
        const CpuWordInfo *info = &cpu_words[w];

        for (unsigned i = 0; info->leaf && i < leaves; i++) {
            if (cpuid[i].leaf == info->leaf && (!cpuid[i].indexed || cpuid[i].subleaf == info->subleaf)) {
                FIELD_LIST_AT(ret->features, MigrateFeatures, ret->features.n++) =
                    (MigrateFeatures) { info->leaf, info->subleaf, (int)info->reg, register_of(&cpuid[i], info->reg) };
                break;
            }
        }
    }
}

/* The caller's; NULL: its bus has no addresses, or it is no device. */
static char *place_of(Domain *domain, const char *path)
{
    Device *dev = device_find(domain, path);
    g_autofree char *address = dev && dev->bus && dev->bus->class->address ? dev->bus->class->address(dev) : NULL;

    return address ? g_strconcat(dev->bus->name, "/", address, NULL) : NULL;
}

static void collect_devices(Domain *domain, MigrateHeader *ret)
{
    const StateList *list = domain_state(domain);

    ret->devices.items = g_new0(MigrateDeviceInfo, list->items->len);
    for (unsigned i = 0; i < list->items->len; i++) {
        const StateItem *item = g_ptr_array_index(list->items, i);

        FIELD_LIST_AT(ret->devices, MigrateDeviceInfo, ret->devices.n++) =
            (MigrateDeviceInfo) { g_strdup(item->path), g_strdup(item->desc->name ? item->desc->name : "none"),
                                  item->desc->version, place_of(domain, item->path) };
    }
}

static bool has_tsc(Domain *domain)
{
    return domain_vcpus(domain) && domain_accel(domain)->class->tsc_khz;
}

void migrate_header_collect(Domain *domain, MigrateHeader *ret)
{
    const Machine *machine = domain_machine(domain);

    field_struct_init(&migrate_header, ret);
    ret->program = g_strdup("lodge " LODGE_VERSION);
    ret->name = g_strdup(domain_name(domain));
    ret->machine = g_strdup(machine ? machine->class->name : "none");
    ret->accelerator = g_strdup(domain_accel(domain) ? domain_accel(domain)->class->name : "none");
    ret->cpu = g_strdup(!machine ? NULL : machine->cpu_type ? machine->cpu_type : machine->class->default_cpu);
    ret->cpus = domain_vcpus(domain);
    if (machine && machine->cpu_model) {
        collect_features(machine, ret);
    }
    if (has_tsc(domain)) {
        ret->tsc_khz = domain_accel(domain)->class->tsc_khz(domain_vcpu(domain, 0));
    }
    collect_devices(domain, ret);
}

void migrate_header_clear(MigrateHeader *header)
{
    field_struct_clear(&migrate_header, header);
}

/* ---- the wire ---- */

GByteArray *migrate_header_write(const MigrateHeader *header)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;
    uint8_t prefix[MIGRATE_PREFIX];
    GByteArray *out = g_byte_array_new();
    uint32_t length;

    field_struct_write(&migrate_header, header, w, NULL);
    text = json_writer_finish(w);
    length = (uint32_t)strlen(text);
    memcpy(prefix, MIGRATE_MAGIC, 8);
    put32(prefix + 8, MIGRATE_VERSION);
    put32(prefix + 12, length);
    put32(prefix + 16, state_crc32c((const uint8_t *)text, length));
    put32(prefix + 20, state_crc32c(prefix, 20));
    g_byte_array_append(out, prefix, sizeof(prefix));
    g_byte_array_append(out, (const uint8_t *)text, length);
    return out;
}

bool migrate_prefix_read(const uint8_t prefix[MIGRATE_PREFIX], uint32_t *ret_length, uint32_t *ret_checksum,
                         GError **error)
{
    if (memcmp(prefix, MIGRATE_MAGIC, 8) != 0) {
        return error_set(error, "this is no saved domain, or it was not saved to its end");
    }
    if (get32(prefix + 20) != state_crc32c(prefix, 20)) {
        return error_set(error, "the saved domain is damaged: its first bytes have a wrong checksum");
    }
    if (get32(prefix + 8) != MIGRATE_VERSION) {
        error_set(error, "the saved domain has format version %u, and this program knows version %d", get32(prefix + 8),
                  MIGRATE_VERSION);
        return error_hint(error, "Use the version of Lodge that saved it, or a later one.");
    }
    if (get32(prefix + 12) > MIGRATE_HEADER_MAX) {
        return error_set(error, "the header of the saved domain is longer than %u bytes", MIGRATE_HEADER_MAX);
    }
    *ret_length = get32(prefix + 12);
    *ret_checksum = get32(prefix + 16);
    return true;
}

bool migrate_header_read(const uint8_t *data, uint32_t length, uint32_t checksum, MigrateHeader *ret, GError **error)
{
    g_autoptr(Json) json = NULL;

    if (state_crc32c(data, length) != checksum) {
        return error_set(error, "the saved domain is damaged: its header has a wrong checksum");
    }
    json = json_parse((const char *)data, length, error);
    if (!json || !field_struct_parse(&migrate_header, json, FIELD_STRICT, ret, error)) {
        error_subject(error, "header of the saved domain");
        return error_hint(error, "Use the version of Lodge that saved it, or a later one.");
    }
    return true;
}

void migrate_greeting_write(uint8_t out[MIGRATE_GREETING], uint64_t token, uint32_t number)
{
    memcpy(out, MIGRATE_CHANNEL_MAGIC, 8);
    put64(out + 8, token);
    put32(out + 16, number);
    put32(out + 20, state_crc32c(out, 20));
}

bool migrate_greeting_read(const uint8_t in[MIGRATE_GREETING], uint64_t token, uint32_t *ret_number, GError **error)
{
    *ret_number = get32(in + 16);
    return (memcmp(in, MIGRATE_CHANNEL_MAGIC, 8) == 0 && get64(in + 8) == token &&
            get32(in + 20) == state_crc32c(in, 20)) ||
           error_set(error, "somebody else has connected: this is no channel of the migration");
}

void migrate_record_write(uint8_t out[MIGRATE_RECORD], MigrateType type, uint32_t length, uint32_t checksum)
{
    put32(out, type);
    put32(out + 4, length);
    put32(out + 8, checksum);
    put32(out + 12, state_crc32c(out, 12));
}

bool migrate_record_read(const uint8_t in[MIGRATE_RECORD], MigrateRecord *ret, GError **error)
{
    *ret = (MigrateRecord) { get32(in), get32(in + 4), get32(in + 8) };
    return get32(in + 12) == state_crc32c(in, 12) ||
           error_set(error, "the saved domain is damaged: a record's header has a wrong checksum");
}

/* ---- comparing ---- */

static bool fits_ram(const MigrateHeader *theirs, const MigrateHeader *ours, GError **error)
{
    for (size_t i = 0; i < theirs->ram.n; i++) {
        const MigrateBlockInfo *b = &FIELD_LIST_AT(theirs->ram, MigrateBlockInfo, i);
        const MigrateBlockInfo *mine = NULL;

        for (size_t k = 0; k < ours->ram.n && !mine; k++) {
            const MigrateBlockInfo *other = &FIELD_LIST_AT(ours->ram, MigrateBlockInfo, k);

            mine = strcmp(other->id, b->id) == 0 ? other : NULL;
        }
        if (!mine) {
            return error_set(error, "it has memory '%s', which this domain does not have", b->id);
        }
        if (mine->size != b->size) {
            return error_set(error,
                             "its memory '%s' has %" G_GUINT64_FORMAT " MiB, that of this domain %" G_GUINT64_FORMAT
                             " MiB", b->id, b->size / MIB, mine->size / MIB);
        }
    }
    return theirs->ram.n == ours->ram.n || error_set(error, "it has %zu blocks of memory, this domain has %zu",
                                                     theirs->ram.n, ours->ram.n);
}

/* Which word of vmm/x86/cpu-features.h; CPU_WORDS: none that we know. */
static CpuWord word_of(const MigrateFeatures *f)
{
    unsigned w = 0;

    while (w < CPU_WORDS && !(cpu_words[w].leaf == f->leaf && cpu_words[w].subleaf == f->subleaf &&
                              (int)cpu_words[w].reg == f->reg && f->leaf)) {
        w++;
    }
    return w;
}

static bool fits_features(const MigrateHeader *theirs, const MigrateHeader *ours, GError **error)
{
    g_autoptr(GString) names = g_string_new(NULL);
    MigrateFeatures odd = { 0 }; /* those of one register, for want of names */
    CpuFeatures missing = { 0 };

    for (size_t i = 0; i < theirs->features.n; i++) {
        const MigrateFeatures *f = &FIELD_LIST_AT(theirs->features, MigrateFeatures, i);
        CpuWord word = word_of(f);
        uint32_t mine = 0;

        for (size_t k = 0; k < ours->features.n; k++) {
            const MigrateFeatures *o = &FIELD_LIST_AT(ours->features, MigrateFeatures, k);

            mine |= o->leaf == f->leaf && o->subleaf == f->subleaf && o->reg == f->reg ? o->bits : 0;
        }
        if (word < CPU_WORDS) {
            missing.word[word] |= f->bits & ~mine;
        }
        if (f->bits & ~mine) {
            odd = (MigrateFeatures) { f->leaf, f->subleaf, f->reg, f->bits & ~mine };
        }
    }
    if (!odd.bits) {
        return true;
    }
    cpu_features_print(&missing, names);
    if (!names->len) {
        g_string_append_printf(names, "bits 0x%x of %s in CPUID leaf 0x%x, subleaf %u", odd.bits,
                               register_enum.values[odd.reg], odd.leaf, odd.subleaf);
    }
    error_set(error, "its CPU has features that this one ('%s', accelerator '%s') has not: %s", ours->cpu,
              ours->accelerator, names->str);
    return error_hint(error, "Run both with the same -cpu; '%s' is what it had.", theirs->cpu ? theirs->cpu : "");
}

static const MigrateDeviceInfo *find_device(const MigrateHeader *header, const char *path)
{
    for (size_t i = 0; i < header->devices.n; i++) {
        const MigrateDeviceInfo *d = &FIELD_LIST_AT(header->devices, MigrateDeviceInfo, i);

        if (strcmp(d->path, path) == 0) {
            return d;
        }
    }
    return NULL;
}

static bool has_kind(const MigrateHeader *header, const char *state)
{
    for (size_t i = 0; i < header->devices.n; i++) {
        if (strcmp(FIELD_LIST_AT(header->devices, MigrateDeviceInfo, i).state, state) == 0) {
            return true;
        }
    }
    return false;
}

/* Where devices have numbers, which are others' where there is one more or less before them. */
static bool is_counted(const MigrateDeviceInfo *d)
{
    return g_str_has_prefix(d->path, "/machine/unattached/") || g_str_has_prefix(d->path, "/machine/peripheral-anon/");
}

static bool is_lacking(const MigrateHeader *lacks, const MigrateDeviceInfo *d)
{
    return !state_is_optional(d->path) &&
           (!find_device(lacks, d->path) || (is_counted(d) && !has_kind(lacks, d->state)));
}

/* How little it says of what is lacking: a part of a device says less than that, unless that has no state, and a number
 * little of a kind that is there. */
#define VAGUE 1000u
static unsigned vagueness(const MigrateHeader *lacks, const MigrateDeviceInfo *d)
{
    unsigned n = strcmp(d->state, "none") == 0 ? 4 * VAGUE : 0;

    if (is_counted(d) && has_kind(lacks, d->state)) {
        n += g_str_has_prefix(d->path, "/machine/unattached/") ? 2 * VAGUE : VAGUE;
    }
    for (const char *p = d->path; *p; p++) {
        n += *p == '/';
    }
    return n;
}

/* What one has and the other lacks; NULL: there is nothing. */
static const MigrateDeviceInfo *find_lacking(const MigrateHeader *has, const MigrateHeader *lacks, bool *ret_vague)
{
    const MigrateDeviceInfo *found = NULL;
    unsigned least = G_MAXUINT;

    for (size_t i = 0; i < has->devices.n; i++) {
        const MigrateDeviceInfo *d = &FIELD_LIST_AT(has->devices, MigrateDeviceInfo, i);
        unsigned n = vagueness(lacks, d);

        if (n < least && is_lacking(lacks, d)) {
            found = d;
            least = n;
        }
    }
    *ret_vague = found && least >= VAGUE;
    return found;
}

static bool has_more(const MigrateDeviceInfo *d, GError **error)
{
    return error_set(error, "it has '%s' (%s), which this domain does not have", d->path, d->state);
}

static bool has_less(const MigrateDeviceInfo *d, GError **error)
{
    return error_set(error, "this domain has '%s' (%s), which it does not have", d->path, d->state);
}

static bool fits_devices(const MigrateHeader *theirs, const MigrateHeader *ours, GError **error)
{
    bool more_is_vague, less_is_vague;
    const MigrateDeviceInfo *more = find_lacking(theirs, ours, &more_is_vague);
    const MigrateDeviceInfo *less = find_lacking(ours, theirs, &less_is_vague);

    if (more && !more_is_vague) {
        return has_more(more, error);
    }
    if (less && !less_is_vague) {
        return has_less(less, error);
    }
    for (size_t i = 0; i < theirs->devices.n; i++) {
        const MigrateDeviceInfo *d = &FIELD_LIST_AT(theirs->devices, MigrateDeviceInfo, i);
        const MigrateDeviceInfo *mine = find_device(ours, d->path);

        if (!mine) { /* optional */
            continue;
        }
        if (strcmp(mine->state, d->state) != 0) {
            return error_set(error, "'%s' is '%s' there, and '%s' in this domain", d->path, d->state, mine->state);
        }
        if (d->at && mine->at && strcmp(mine->at, d->at) != 0) { /* what was saved may not say */
            return error_set(error, "'%s' is at %s there, and at %s in this domain", d->path, d->at, mine->at);
        }
        if (d->version > mine->version) {
            error_set(error, "the state of '%s' has version %u, and this program knows versions up to %u", d->path,
                      d->version, mine->version);
            return error_hint(error, "Use the version of Lodge that saved it, or a later one.");
        }
    }
    return more ? has_more(more, error) : !less || has_less(less, error);
}

bool migrate_header_holds(const MigrateHeader *header, Domain *domain, GError **error)
{
    MigrateHeader now = { 0 };
    bool ok;

    collect_devices(domain, &now);
    ok = fits_devices(header, &now, error) ||
         error_subject(error, "a device has come or gone since the migration began");
    migrate_header_clear(&now);
    return ok;
}

bool migrate_header_fits(const MigrateHeader *theirs, const MigrateHeader *ours, GError **error)
{
    if (strcmp(theirs->machine, ours->machine) != 0) {
        error_set(error, "its machine is '%s', that of this domain '%s'", theirs->machine, ours->machine);
        return error_hint(error, "Start this domain with -machine %s.", theirs->machine);
    }
    if (theirs->cpus != ours->cpus) {
        return error_set(error, "it has %u CPUs, this domain %u", theirs->cpus, ours->cpus);
    }
    return fits_ram(theirs, ours, error) && fits_features(theirs, ours, error) && fits_devices(theirs, ours, error);
}

bool migrate_domain_fits(Domain *domain, const MigrateHeader *theirs, const MigrateHeader *ours, GError **error)
{
    return migrate_header_fits(theirs, ours, error) &&
           (!has_tsc(domain) || domain_accel(domain)->class->tsc_fits(domain_vcpu(domain, 0), theirs->tsc_khz, error));
}
