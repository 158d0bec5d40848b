/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines: from a class' tables and the user's options to a board with RAM, vCPUs
 * and devices.
 *
 *   machine_new()      options at their defaults
 *   machine_build()    NUMA and RAM, accelerator set up, CPU model, vCPUs, the class' build
 *   (-device ...)
 *   machine_finalize() firmware tables, vCPU threads (parked), devices paused, first reset
 *   machine_reset()    devices in the order they were realized, buses, vCPUs, then the class'
 *                      reset (which decides what is RAM), then ROM contents
 *   machine_wakeup()   the same hardware after ACPI S3, then the class' wakeup; RAM stays
 *   machine_free()     devices, last realized first, vCPUs among them; the board; RAM
 *
 * Main thread.
 */
#include "vmm/machine.h"

#include <string.h>

#include "vmm/domain-internal.h"
#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/log.h"

typedef struct Rom {
    char *name;
    uint64_t address;
    GBytes *data;
} Rom;

static const MachineClass *const no_classes[] = { NULL };
/* Set once by machine_classes_set(), before anything else; constant afterwards. */
static const MachineClass *const *all_classes = no_classes;

/* ---- classes ---- */

void machine_classes_set(const MachineClass *const *classes)
{
    all_classes = classes;
}

void machine_class_each(MachineClassFn fn, void *opaque)
{
    for (const MachineClass *const *class = all_classes; *class; class++) {
        fn(*class, opaque);
    }
}

const MachineClass *machine_class_find(const char *name, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *nearest;

    for (const MachineClass *const *class = all_classes; *class; class++) {
        if (strcmp((*class)->name, name) == 0 || g_strcmp0((*class)->alias, name) == 0) {
            return *class;
        }
        g_ptr_array_add(names, (void *)(*class)->name);
        if ((*class)->alias) {
            g_ptr_array_add(names, (void *)(*class)->alias);
        }
    }
    g_ptr_array_add(names, NULL);
    nearest = error_nearest(name, (const char *const *)names->pdata);
    error_set(error, "unsupported machine type '%s'", name);
    if (nearest) {
        error_hint(error, "Did you mean '%s'?", nearest);
    } else {
        error_hint(error, "Use -machine help to list those that exist.");
    }
    return NULL;
}

void machines_help(GString *out)
{
    g_string_append(out, "Supported machines are:\n");
    for (const MachineClass *const *class = all_classes; *class; class++) {
        if ((*class)->alias) {
            g_string_append_printf(out, "%-20s %s (alias of %s)\n", (*class)->alias, (*class)->desc, (*class)->name);
        }
        g_string_append_printf(out, "%-20s %s%s%s\n", (*class)->name, (*class)->desc,
                               (*class)->is_default ? " (default)" : "", (*class)->deprecated ? " (deprecated)" : "");
    }
}

/* ---- options ---- */

static void rom_free(void *opaque)
{
    Rom *rom = opaque;

    g_bytes_unref(rom->data);
    g_free(rom->name);
    g_free(rom);
}

Machine *machine_new(Domain *domain, const MachineClass *class)
{
    Machine *machine = g_new0(Machine, 1);

    machine->class = class;
    machine->domain = domain;
    machine->options = g_malloc0(class->options->size);
    field_struct_init(class->options, machine->options);
    machine->numa = g_array_new(FALSE, TRUE, sizeof(NumaNode));
    machine->distances = g_array_new(FALSE, FALSE, sizeof(NumaDistance));
    machine->smbios = g_ptr_array_new_with_free_func(g_free);
    machine->ram_parts = g_ptr_array_new();
    machine->roms = g_ptr_array_new_with_free_func(rom_free);
    domain_set_machine(domain, machine);
    return machine;
}

/* '_' in keys becomes '-'; values stay as they are. */
static char *normalize_keys(const char *text)
{
    char *copy = g_strdup(text);
    bool in_key = true;

    for (char *p = copy; *p; p++) {
        if (*p == ',') {
            in_key = true;
        } else if (*p == '=') {
            in_key = false;
        } else if (*p == '_' && in_key) {
            *p = '-';
        }
    }
    return copy;
}

bool machine_set_options(Machine *machine, const char *text, GError **error)
{
    g_autofree char *keys = normalize_keys(text);

    field_struct_clear(machine->class->options, machine->options);
    if (!field_struct_parse_text(machine->class->options, keys, NULL, machine->options, error)) {
        field_struct_init(machine->class->options, machine->options);
        return error_subject(error, machine->class->name);
    }
    return true;
}

bool machine_set_smp(Machine *machine, const char *text, GError **error)
{
    return cpu_topology_parse(text, machine->class->max_cpus, &machine->topology, error);
}

/* ---- build ---- */

static bool check_cpus(Machine *machine, GError **error)
{
    unsigned most = domain_accel(machine->domain)->class->max_vcpus(domain_accel(machine->domain));

    if (!machine->topology.cpus && !machine_set_smp(machine, "1", error)) {
        return false;
    }
    if (machine->topology.maxcpus > most) {
        error_set(error, "%u CPUs are more than the %u that accelerator '%s' can give", machine->topology.maxcpus, most,
                  domain_accel(machine->domain)->class->name);
        return error_hint(error, "Use a smaller -smp.");
    }
    return true;
}

static bool build_cpu_model(Machine *machine, GError **error)
{
    const char *type = machine->cpu_type ? machine->cpu_type : machine->class->default_cpu;

    machine->cpu_model = cpu_model_new(type, domain_accel(machine->domain), error);
    return machine->cpu_model != NULL;
}

/* A machine without memory has nothing that a CPU could run. */
static bool build_cpus(Machine *machine, GError **error)
{
    cpu_bus_init(&machine->cpus, machine);
    for (unsigned i = 0; machine->ram_size && i < machine->topology.cpus; i++) {
        if (!cpu_bus_add(&machine->cpus, i, error)) {
            return false;
        }
    }
    return true;
}

/* RAM comes before the interrupt controllers: what KVM (Linux 6.18) puts on its buses starts a grace period at its
 * leisure, and a memory slot that is set in it waits for its end, some 5 ms. */
bool machine_build(Machine *machine, GError **error)
{
    const MachineClass *class = machine->class;
    Accel *accel = domain_accel(machine->domain);

    return check_cpus(machine, error) && machine_check_numa(machine, error) && machine_build_ram(machine, error) &&
           build_cpu_model(machine, error) && (!class->map_ram || class->map_ram(machine, error)) &&
           accel->class->setup(accel, machine_common(machine)->kernel_irqchip, error) && build_cpus(machine, error) &&
           class->build(machine, error);
}

static bool choose_row_bus(Domain *domain, const BoardRow *row, const DeviceClass *class, Bus **ret, GError **error)
{
    if (!class->bus) {
        *ret = NULL;
        return true;
    }
    *ret = row->bus ? bus_find(domain, row->bus) : bus_default(domain, class, error);
    if (!*ret && row->bus) {
        return error_set(error, "%s: there is no bus '%s'", row->driver, row->bus);
    }
    return *ret != NULL;
}

static bool set_row_property(const char *name, Json *value, void *opaque)
{
    void **pass = opaque;

    return device_set(pass[0], name, value, pass[1]);
}

static bool realize_row(Machine *machine, const BoardRow *row, GError **error)
{
    const DeviceClass *class = device_class_find(row->driver, error);
    g_autoptr(Json) props = NULL;
    Device *dev;
    Bus *bus;

    if (!class || !choose_row_bus(machine->domain, row, class, &bus, error)) {
        return false;
    }
    if (row->props) {
        props = keyval_parse(row->props, NULL, error);
        if (!props) {
            return false;
        }
    }
    dev = device_new(machine->domain, class, NULL);
    if (row->id) {
        g_autofree char *path = g_strconcat("/machine/", row->id, NULL);

        device_set_path(dev, path);
    }
    if ((props && !json_object_each(props, set_row_property, (void *[]){ dev, error })) ||
        !device_realize(dev, bus, error)) {
        device_free(dev);
        return false;
    }
    return true;
}

bool machine_realize_rows(Machine *machine, GError **error)
{
    for (const BoardRow *row = machine->class->rows; row && row->driver; row++) {
        if ((!row->when || row->when(machine)) && !realize_row(machine, row, error)) {
            return false;
        }
    }
    return true;
}

bool machine_finalize(Machine *machine, GError **error)
{
    Domain *domain = machine->domain;

    if (machine->class->finalize && !machine->class->finalize(machine, error)) {
        return false;
    }
    if (domain->run.quit) { /* it was only asked to describe itself (dumpdtb=) */
        return true;
    }
    domain->complete = true;
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        if (!vcpu_start(domain_vcpu(domain, i), error)) {
            return false;
        }
    }
    run_control_ready(domain);
    machine_reset(machine);
    return true;
}

/* ---- reset ---- */

void machine_add_rom(Machine *machine, const char *name, uint64_t address, const void *data, size_t length)
{
    Rom *rom = g_new(Rom, 1);

    rom->name = g_strdup(name);
    rom->address = address;
    rom->data = g_bytes_new(data, length);
    g_ptr_array_add(machine->roms, rom);
}

/* Into RAM and ROM alike, at what the map shows there after the board's reset. */
static void restore_rom(Machine *machine, const Rom *rom)
{
    AddressSpace *as = domain_memory(machine->domain);
    size_t left;
    const uint8_t *data = g_bytes_get_data(rom->data, &left);
    uint64_t address = rom->address;

    while (left) {
        uint64_t length = left;
        void *host = memory_ram_pointer(as, address, &length, false);

        if (!host) {
            log_warning("%s: there is no RAM at 0x%" G_GINT64_MODIFIER "x for it", rom->name, address);
            return;
        }
        memcpy(host, data, length);
        memory_ram_written(host, length);
        data += length;
        address += length;
        left -= length;
    }
}

void machine_replace_rom(Machine *machine, const char *name, const void *data, bool now)
{
    for (unsigned i = 0; i < machine->roms->len; i++) {
        Rom *rom = g_ptr_array_index(machine->roms, i);
        size_t length = g_bytes_get_size(rom->data);

        if (strcmp(rom->name, name) == 0) {
            g_bytes_unref(rom->data);
            rom->data = g_bytes_new(data, length);
            if (now) {
                restore_rom(machine, rom);
            }
        }
    }
}

static void reset_hardware(Domain *domain)
{
    for (unsigned i = 0; i < domain->devices->len; i++) {
        device_reset(g_ptr_array_index(domain->devices, i));
    }
    for (unsigned i = 0; i < domain->buses->len; i++) {
        Bus *bus = g_ptr_array_index(domain->buses, i);

        if (bus->class->reset) {
            bus->class->reset(bus);
        }
    }
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        vcpu_reset(domain_vcpu(domain, i));
    }
}

void machine_reset(Machine *machine)
{
    Domain *domain = machine->domain;

    g_assert(vcpus_parked(domain));
    device_complete_unplugs(domain);
    reset_hardware(domain);
    if (machine->class->reset) {
        machine->class->reset(machine);
    }
    for (unsigned i = 0; i < machine->roms->len; i++) {
        restore_rom(machine, g_ptr_array_index(machine->roms, i));
    }
}

bool machine_can_sleep(const Domain *domain)
{
    const Machine *machine = domain_machine(domain);

    return machine && machine->can_sleep;
}

/* Everything but RAM and what runs on a battery lost its power; the guest keeps what it was asked to let go of. */
bool machine_wakeup(Machine *machine, GError **error)
{
    Domain *domain = machine->domain;

    g_assert(vcpus_parked(domain));
    domain->run.waking = true;
    reset_hardware(domain);
    domain->run.waking = false;
    return !machine->class->wakeup || machine->class->wakeup(machine, error);
}

/* ---- the end ---- */

static void free_boot(BootOptions *boot)
{
    g_free(boot->kernel);
    g_free(boot->initrd);
    g_free(boot->append);
    g_free(boot->dtb);
    g_free(boot->bios);
}

void machine_free(Machine *machine)
{
    Domain *domain;

    if (!machine) {
        return;
    }
    domain = machine->domain;
    /* A device comes after what it is plugged into, and a composite after its backend. */
    while (domain->devices->len) {
        device_free(g_ptr_array_index(domain->devices, domain->devices->len - 1));
    }
    if (machine->class->destroy) {
        machine->class->destroy(machine);
    }
    cpu_bus_finish(&machine->cpus);
    cpu_model_free(machine->cpu_model);
    machine_free_ram(machine);
    machine_free_numa(machine);
    domain_set_machine(domain, NULL);
    g_ptr_array_unref(machine->roms);
    g_ptr_array_unref(machine->smbios);
    field_struct_clear(machine->class->options, machine->options);
    g_free(machine->options);
    g_free(machine->cpu_type);
    free_boot(&machine->boot);
    g_free(machine);
}
