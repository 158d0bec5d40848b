/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/hmp-info.h.
 */
#include "monitor/hmp-info.h"

#include <inttypes.h>

#include "monitor/hmp-memory.h"
#include "vmm/device.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/x86/cpu-print.h"

/* [-f] [-D] */
bool hmp_info_mtree(HmpCall *call, GError **error)
{
    AddressSpace *spaces[] = { domain_memory(call->domain), domain_ports(call->domain) };
    g_auto(GStrv) words = g_strsplit_set(call->rest, " \t", -1);
    bool flat = false, disabled = false;

    for (char **word = words; *word; word++) {
        if (g_str_equal(*word, "-f")) {
            flat = true;
        } else if (g_str_equal(*word, "-D")) {
            disabled = true;
        } else if (**word) {
            return error_set(error, "'%s' is no option of info mtree", *word);
        }
    }
    for (unsigned i = 0; flat && i < G_N_ELEMENTS(spaces); i++) {
        g_string_append_printf(call->out, "FlatView #%u\n", i);
        memory_dump_view(spaces[i], call->out);
    }
    if (!flat) {
        memory_dump_tree(spaces, G_N_ELEMENTS(spaces), disabled, call->out);
    }
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

/* one NULL: of all. */
static bool print_frozen(Domain *domain, Vcpu *one, GString *out, GError **error)
{
    bool ran = vcpus_freeze(domain), ok = true;

    for (unsigned i = 0; !one && ok && i < domain_vcpus(domain); i++) {
        ok = print_registers(domain_vcpu(domain, i), out, error);
    }
    if (one) {
        ok = print_registers(one, out, error);
    }
    vcpus_thaw(domain, ran);
    return ok;
}

bool hmp_info_registers(HmpCall *call, GError **error)
{
    guint64 index;
    Vcpu *vcpu;

    if (g_str_equal(call->rest, "-a") && domain_vcpus(call->domain)) {
        return print_frozen(call->domain, NULL, call->out, error);
    }
    if (!call->rest[0]) {
        vcpu = hmp_vcpu(call->session, error);
    } else if (!g_ascii_string_to_unsigned(call->rest, 10, 0, G_MAXUINT, &index, NULL)) {
        return error_set(error, "'%s' is not the number of a vCPU", call->rest);
    } else {
        vcpu = domain_find_vcpu(call->domain, (unsigned)index);
        if (!vcpu) {
            error_set(error, "there is no vCPU %" PRIu64 "; this domain has %u", index, domain_vcpus(call->domain));
        }
    }
    return vcpu && print_frozen(call->domain, vcpu, call->out, error);
}

/* ---- vCPUs ---- */

bool hmp_cpu(HmpCall *call, GError **error)
{
    const char *text = call->rest;
    uint64_t index;

    if (!hmp_parse_value(call, &text, &index, error)) {
        return false;
    }
    if (*text || index > G_MAXUINT || !domain_find_vcpu(call->domain, (unsigned)index)) {
        return error_set(error, "invalid CPU index");
    }
    call->session->cpu = (unsigned)index;
    return true;
}

/* The star marks the one that commands for one vCPU are about. */
bool hmp_info_cpus(HmpCall *call, GError **error)
{
    const Vcpu *current = domain_vcpus(call->domain) ? hmp_vcpu(call->session, NULL) : NULL;

    for (unsigned i = 0; i < domain_vcpus(call->domain); i++) {
        const Vcpu *vcpu = domain_vcpu(call->domain, i);

        g_string_append_printf(call->out, "%c CPU #%u: thread_id=%d\n", vcpu == current ? '*' : ' ', vcpu->index,
                               vcpu->tid);
    }
    return true;
}

bool hmp_info_numa(HmpCall *call, GError **error)
{
    const Machine *machine = domain_machine(call->domain);
    unsigned nodes = machine ? machine->numa->len : 0;

    g_string_append_printf(call->out, "%u nodes\n", nodes);
    for (unsigned n = 0; n < nodes; n++) {
        const NumaNode *node = &g_array_index(machine->numa, NumaNode, n);

        g_string_append_printf(call->out, "node %u cpus:", n);
        for (unsigned i = 0; i < domain_vcpus(call->domain); i++) {
            const Vcpu *vcpu = domain_vcpu(call->domain, i);

            if (vcpu->node == (int)n) {
                g_string_append_printf(call->out, " %u", vcpu->index);
            }
        }
        g_string_append_printf(call->out, "\nnode %u size: %" PRIu64 " MB\nnode %u plugged: 0 MB\n", n,
                               node->memory >> 20, n);
    }
    return true;
}

/* ---- the accelerator, the session ---- */

static void print_stat(const AccelStat *stat, void *opaque)
{
    if (stat->n == 1) { /* histograms are for query-stats */
        g_string_append_printf(opaque, "%s: %" PRIu64 "\n", stat->name, stat->values[0]);
    }
}

/* The software CPU's counters: of code, which the vCPUs share, then of each vCPU. */
bool hmp_info_jit(HmpCall *call, GError **error)
{
    Accel *accel = domain_accel(call->domain);

    if (!accel || !g_str_equal(accel->class->name, "tcg")) {
        return error_set(error, "JIT information is only available with accel=tcg");
    }
    accel->class->stats(accel, NULL, print_stat, call->out);
    for (unsigned i = 0; i < domain_vcpus(call->domain); i++) {
        Vcpu *vcpu = domain_vcpu(call->domain, i);

        g_string_append_printf(call->out, "\nCPU#%u\n", vcpu->index);
        accel->class->stats(accel, vcpu, print_stat, call->out);
    }
    return true;
}

bool hmp_info_history(HmpCall *call, GError **error)
{
    for (unsigned i = 0; call->session->history && i < call->session->history->len; i++) {
        g_string_append_printf(call->out, "%u: '%s'\n", i, (const char *)call->session->history->pdata[i]);
    }
    return true;
}
