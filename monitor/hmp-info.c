/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/hmp-info.h.
 */
#include "monitor/hmp-info.h"

#include <inttypes.h>

#include "vmm/device.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/x86/cpu-print.h"

bool hmp_info_mtree(HmpCall *call, GError **error)
{
    memory_dump_tree(domain_memory(call->domain), call->out);
    memory_dump_tree(domain_ports(call->domain), call->out);
    return true;
}

bool hmp_info_qtree(HmpCall *call, GError **error)
{
    device_dump_tree(call->domain, call->out);
    return true;
}

static bool print_registers(Vcpu *vcpu, GString *out, GError **error)
{
    if (!vcpu_fetch(vcpu, error)) {
        return false;
    }
    g_string_append_printf(out, "\nCPU#%u\n", vcpu->index);
    x86_cpu_print(&vcpu->cpu, out);
    x86_cpu_print_vector(&vcpu->cpu, out);
    return true;
}

/* only NULL: all */
static bool print_stopped(Domain *domain, Vcpu *only, GString *out, GError **error)
{
    bool ran = vcpus_freeze(domain), ok = true;

    for (unsigned i = 0; ok && i < domain_vcpus(domain); i++) {
        ok = (only && only != domain_vcpu(domain, i)) || print_registers(domain_vcpu(domain, i), out, error);
    }
    vcpus_thaw(domain, ran);
    return ok;
}

bool hmp_info_registers(HmpCall *call, GError **error)
{
    unsigned n = domain_vcpus(call->domain);
    guint64 index = 0;
    Vcpu *vcpu;

    if (g_str_equal(call->rest, "-a") && n) {
        return print_stopped(call->domain, NULL, call->out, error);
    }
    if (call->rest[0] && !g_ascii_string_to_unsigned(call->rest, 10, 0, G_MAXUINT, &index, NULL)) {
        return error_set(error, "'%s' is not the number of a vCPU", call->rest);
    }
    vcpu = domain_find_vcpu(call->domain, (unsigned)index);
    return vcpu ? print_stopped(call->domain, vcpu, call->out, error)
                : error_set(error, "there is no vCPU %" PRIu64 "; this domain has %u", index, n);
}
