/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-cpus-fast, query-hotpluggable-cpus.  Names, members and their order are QEMU 7.2's (qapi/machine.json): vCPUs
 * in the order in which they came, places from the last to the first.
 */
#include "vmm/vcpu-commands.h"

#include "vmm/domain-commands.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/x86/cpu-model-commands.h"

char *vcpu_path(const Vcpu *vcpu)
{
    return vcpu->dev ? g_strdup(vcpu->dev->path) : g_strdup_printf("/machine/cpu[%u]", vcpu->index);
}

static const FieldStruct cpu_instance = {
    .name = "CpuInstanceProperties", .size = sizeof(CpuPlace),
    .fields = (const Field[]) {
        F_INT("node-id", CpuPlace, node, 0, FIELD_HAS(CpuPlace, has_node), .help = "NUMA node"),
        F_INT("socket-id", CpuPlace, socket, 0, .flags = FIELD_REQUIRED, .help = "Socket"),
        F_INT("die-id", CpuPlace, die, 0, FIELD_HAS(CpuPlace, has_die), .help = "Die in the socket, if it has several"),
        F_INT("core-id", CpuPlace, core, 0, .flags = FIELD_REQUIRED, .help = "Core in the die"),
        F_INT("thread-id", CpuPlace, thread, 0, .flags = FIELD_REQUIRED, .help = "Thread in the core"),
        FIELD_END
    },
};

/* ---- those that are there ---- */

typedef struct CpuInfo { int64_t index; char *path; int64_t tid; CpuPlace props; int target; } CpuInfo;
static const FieldStruct cpu_info = {
    .name = "CpuInfoFast", .size = sizeof(CpuInfo),
    .fields = (const Field[]) {
        F_INT("cpu-index", CpuInfo, index, 0, .flags = FIELD_REQUIRED, .help = "Its number"),
        F_STR("qom-path", CpuInfo, path, NULL, .flags = FIELD_REQUIRED, .help = "Its path"),
        F_INT("thread-id", CpuInfo, tid, 0, .flags = FIELD_REQUIRED, .help = "The host's thread that runs it"),
        F_STRUCT("props", CpuInfo, props, &cpu_instance, .flags = FIELD_REQUIRED, .help = "Its place"),
        F_ENUM("target", CpuInfo, target, &sys_emu_target_enum, 0, .flags = FIELD_REQUIRED, .help = "Its architecture"),
        FIELD_END
    },
};
static const Field cpu_info_element = FIELD_VALUE(FIELD_STRUCT, CpuInfo, .of.structure = &cpu_info);

static bool query_cpus_fast(CommandCall *call, const void *args, void *ret, GError **error)
{
    FieldList *list = ret;

    list->n = domain_vcpus(call->domain);
    list->items = g_new0(CpuInfo, list->n);
    for (unsigned i = 0; i < list->n; i++) {
        const Vcpu *v = domain_vcpu(call->domain, i);

        FIELD_LIST_AT(*list, CpuInfo, i) = (CpuInfo) {
            v->index, vcpu_path(v), v->tid, cpu_bus_place(domain_machine(call->domain), v->index), 0
        };
    }
    return true;
}

/* ---- those that may be ---- */

typedef struct HotpluggableCpu { char *type; int64_t count; CpuPlace props; char *path; } HotpluggableCpu;
static const FieldStruct hotpluggable_cpu = {
    .name = "HotpluggableCPU", .size = sizeof(HotpluggableCpu),
    .fields = (const Field[]) {
        F_STR("type", HotpluggableCpu, type, NULL, .flags = FIELD_REQUIRED, .help = "Driver to name in device_add"),
        F_INT("vcpus-count", HotpluggableCpu, count, 0, .flags = FIELD_REQUIRED, .help = "How many vCPUs it is: one"),
        F_STRUCT("props", HotpluggableCpu, props, &cpu_instance, .flags = FIELD_REQUIRED,
                 .help = "Its place, in the words of device_add"),
        F_STR("qom-path", HotpluggableCpu, path, NULL, .help = "Its path, if it is there"),
        FIELD_END
    },
};
static const Field hotpluggable_element = FIELD_VALUE(FIELD_STRUCT, HotpluggableCpu, .of.structure = &hotpluggable_cpu);

static bool query_hotpluggable_cpus(CommandCall *call, const void *args, void *ret, GError **error)
{
    const Machine *machine = domain_machine(call->domain);
    FieldList *list = ret;

    if (!machine || !machine->class->cpus_changed) {
        error_set(error, "The feature 'query-hotpluggable-cpus' is not enabled");
        return error_hint(error, "CPUs of this machine do not come and go; those of q35 do.");
    }
    list->n = machine->topology.maxcpus;
    list->items = g_new0(HotpluggableCpu, list->n);
    for (unsigned i = 0; i < list->n; i++) {
        unsigned index = (unsigned)list->n - 1 - i;
        const Vcpu *vcpu = domain_find_vcpu(call->domain, index);

        FIELD_LIST_AT(*list, HotpluggableCpu, i) = (HotpluggableCpu) {
            cpu_model_type_name(cpu_model_name(machine->cpu_model)), 1, cpu_bus_place(machine, index),
            vcpu ? vcpu_path(vcpu) : NULL
        };
    }
    return true;
}

const Command vcpu_commands[] = {
    { "query-cpus-fast", query_cpus_fast, NULL, COMMAND_RETURNS_LIST(&cpu_info_element),
      .help = "List the vCPUs, without disturbing them" },
    { "query-hotpluggable-cpus", query_hotpluggable_cpus, NULL, COMMAND_RETURNS_LIST(&hotpluggable_element),
      .help = "List the CPUs that there may be, and which of them are there" },
    COMMAND_END
};
