/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-cpus-fast.  Names and members are QEMU 7.2's (qapi/machine.json).
 */
#include "vmm/vcpu-commands.h"

#include "vmm/domain-commands.h"
#include "vmm/domain.h"

char *vcpu_path(const Vcpu *vcpu)
{
    return vcpu->id ? g_strconcat("/machine/peripheral/", vcpu->id, NULL)
                    : g_strdup_printf("/machine/cpu[%u]", vcpu->index);
}

typedef struct CpuInstance { bool has_node; int64_t node, socket, die, core, thread; } CpuInstance;
static const FieldStruct cpu_instance = {
    .name = "CpuInstanceProperties", .size = sizeof(CpuInstance),
    .fields = (const Field[]) {
        F_INT("node-id", CpuInstance, node, 0, FIELD_HAS(CpuInstance, has_node), .help = "NUMA node"),
        F_INT("socket-id", CpuInstance, socket, 0, .flags = FIELD_REQUIRED, .help = "Socket"),
        F_INT("die-id", CpuInstance, die, 0, .flags = FIELD_REQUIRED, .help = "Die in the socket"),
        F_INT("core-id", CpuInstance, core, 0, .flags = FIELD_REQUIRED, .help = "Core in the die"),
        F_INT("thread-id", CpuInstance, thread, 0, .flags = FIELD_REQUIRED, .help = "Thread in the core"),
        FIELD_END
    },
};

typedef struct CpuInfo { int64_t index; char *path; int64_t tid; CpuInstance props; int target; } CpuInfo;
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
            v->index, vcpu_path(v), v->tid, { v->node >= 0, v->node, v->socket, v->die, v->core, v->thread }, 0
        };
    }
    return true;
}

const Command vcpu_commands[] = {
    { "query-cpus-fast", query_cpus_fast, NULL, COMMAND_RETURNS_LIST(&cpu_info_element),
      .help = "List the vCPUs, without disturbing them" },
    COMMAND_END
};
