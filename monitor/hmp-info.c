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

static bool print_range(Domain *domain, unsigned first, unsigned last, GString *out, GError **error)
{
    bool ran = vcpus_freeze(domain), ok = true;

    for (unsigned i = first; ok && i <= last; i++) {
        ok = print_registers(domain_vcpu(domain, i), out, error);
    }
    vcpus_thaw(domain, ran);
    return ok;
}

bool hmp_info_registers(HmpCall *call, GError **error)
{
    unsigned n = domain_vcpus(call->domain);
    guint64 index = 0;

    if (g_str_equal(call->rest, "-a") && n) {
        return print_range(call->domain, 0, n - 1, call->out, error);
    }
    if (call->rest[0] && !g_ascii_string_to_unsigned(call->rest, 10, 0, G_MAXUINT, &index, NULL)) {
        return error_set(error, "'%s' is not the number of a vCPU", call->rest);
    }
    if (index >= n) {
        return error_set(error, "there is no vCPU %" PRIu64 "; this domain has %u", index, n);
    }
    return print_range(call->domain, (unsigned)index, (unsigned)index, call->out, error);
}
