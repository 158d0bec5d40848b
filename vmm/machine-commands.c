/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-machines, query-current-machine, query-memory-size-summary.  Names and members are QEMU 7.2's
 * (qapi/machine.json).
 */
#include "vmm/machine-commands.h"

#include "vmm/machine.h"
#include "vmm/x86/cpu-model-commands.h"

typedef struct MachineInfo {
    char *name, *alias;
    bool has_default, is_default;
    int64_t cpu_max;
    bool hotpluggable_cpus, numa_mem, deprecated;
    char *cpu_type, *ram_id;
} MachineInfo;
static const FieldStruct machine_info = {
    .name = "MachineInfo", .size = sizeof(MachineInfo),
    .fields = (const Field[]) {
        F_STR("name", MachineInfo, name, NULL, .flags = FIELD_REQUIRED, .help = "As -machine takes it"),
        F_STR("alias", MachineInfo, alias, NULL, .help = "Another name, of the newest of its kind"),
        F_BOOL("is-default", MachineInfo, is_default, false, FIELD_HAS(MachineInfo, has_default),
               .help = "Taken where none is named"),
        F_INT("cpu-max", MachineInfo, cpu_max, 0, .flags = FIELD_REQUIRED, .help = "CPUs it can have"),
        F_BOOL("hotpluggable-cpus", MachineInfo, hotpluggable_cpus, false, .flags = FIELD_REQUIRED,
               .help = "Whether CPUs can come and go while it runs"),
        F_BOOL("numa-mem-supported", MachineInfo, numa_mem, false, .flags = FIELD_REQUIRED,
               .help = "Whether -numa node takes mem="),
        F_BOOL("deprecated", MachineInfo, deprecated, false, .flags = FIELD_REQUIRED, .help = "Whether it will go"),
        F_STR("default-cpu-type", MachineInfo, cpu_type, NULL, .help = "CPU type where none is named"),
        F_STR("default-ram-id", MachineInfo, ram_id, NULL, .help = "Name of its RAM block"),
        FIELD_END
    },
};
static const Field machine_info_element = FIELD_VALUE(FIELD_STRUCT, MachineInfo, .of.structure = &machine_info);

static void add_info(const MachineClass *class, void *list)
{
    MachineInfo info = {
        .name = g_strdup(class->name), .alias = g_strdup(class->alias), .has_default = class->is_default,
        .is_default = class->is_default, .cpu_max = class->max_cpus, .deprecated = class->deprecated,
        .hotpluggable_cpus = class->cpus_changed != NULL,
        .numa_mem = class->default_ram != 0, .ram_id = g_strdup(class->default_ram_id),
        .cpu_type = class->default_ram ? cpu_model_type_name(class->default_cpu) : NULL,
    };

    g_array_append_val((GArray *)list, info);
}

static bool query_machines(CommandCall *call, const void *args, void *ret, GError **error)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(MachineInfo));
    FieldList *list = ret;

    machine_class_each(add_info, all);
    list->n = all->len;
    list->items = g_array_free(all, FALSE);
    return true;
}

typedef struct CurrentMachine { bool wakeup; } CurrentMachine;
static const FieldStruct current_machine = {
    .name = "CurrentMachineParams", .size = sizeof(CurrentMachine),
    .fields = (const Field[]) {
        F_BOOL("wakeup-suspend-support", CurrentMachine, wakeup, false, .flags = FIELD_REQUIRED,
               .help = "Whether it can sleep (ACPI S3) and be woken"),
        FIELD_END
    },
};

static bool query_current_machine(CommandCall *call, const void *args, void *ret, GError **error)
{
    ((CurrentMachine *)ret)->wakeup = machine_can_sleep(call->domain);
    return true;
}

typedef struct MemoryInfo { uint64_t base; } MemoryInfo;
static const FieldStruct memory_info = {
    .name = "MemoryInfo", .size = sizeof(MemoryInfo),
    .fields = (const Field[]) {
        F_SIZE("base-memory", MemoryInfo, base, 0, .flags = FIELD_REQUIRED, .help = "RAM at start, bytes"), FIELD_END
    },
};

static bool query_memory_size_summary(CommandCall *call, const void *args, void *ret, GError **error)
{
    const Machine *machine = domain_machine(call->domain);

    ((MemoryInfo *)ret)->base = machine ? machine->ram_size : 0;
    return true;
}

const Command machine_commands[] = {
    { "query-machines", query_machines, NULL, COMMAND_RETURNS_LIST(&machine_info_element),
      .help = "List the machines" },
    { "query-current-machine", query_current_machine, NULL, COMMAND_RETURNS(CurrentMachine, &current_machine),
      .help = "Tell what this machine can do" },
    { "query-memory-size-summary", query_memory_size_summary, NULL, COMMAND_RETURNS(MemoryInfo, &memory_info),
      .help = "Tell how much RAM there is" },
    COMMAND_END
};
