/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `info pic`, `info irq`, `info lapic`: interrupt controllers, whoever holds their state.
 */
#include "monitor/hmp-info.h"

#include <inttypes.h>

#include "monitor/hmp-memory.h"
#include "vmm/device.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/x86/cpu-print.h"

typedef struct Chips {
    GString *out;
    GError **error;
} Chips;

static bool print_chip(Device *dev, void *opaque)
{
    const Chips *chips = opaque;
    bool ok;

    if (!dev->class->print) {
        return true;
    }
    lock_acquire(dev->lock);
    ok = dev->class->print(dev, chips->out, chips->error);
    lock_release(dev->lock);
    return ok;
}

bool hmp_info_pic(HmpCall *call, GError **error)
{
    Chips chips = { call->out, error };

    return device_each(call->domain, print_chip, &chips);
}

bool hmp_info_irq(HmpCall *call, GError **error)
{
    const IrqFabric *irqs = domain_irqs(call->domain);

    if (!irqs) {
        return error_set(error, "this machine has no interrupt lines");
    }
    g_string_append(call->out, "IRQ statistics for gsi:\n");
    for (unsigned n = 0; n < IRQ_GSIS; n++) {
        if (gsi_raised(irqs, n)) {
            g_string_append_printf(call->out, "%2u: %" PRIu64 "\n", n, gsi_raised(irqs, n));
        }
    }
    return true;
}

static bool print_lapic(const HmpCall *call, Vcpu *vcpu, GError **error)
{
    if (!vcpu_fetch(vcpu, error)) {
        return false;
    }
    g_string_append_printf(call->out, "dumping local APIC state for CPU %-2u\n\n", vcpu->index);
    x86_cpu_print_lapic(&vcpu->cpu, call->out);
    return true;
}

/* [APIC ID] */
static Vcpu *vcpu_of(HmpCall *call, GError **error)
{
    const char *text = call->rest;
    uint64_t id;

    if (!*text) {
        return hmp_vcpu(call->session, error);
    }
    if (!hmp_parse_value(call, &text, &id, error)) {
        return NULL;
    }
    for (unsigned i = 0; i < domain_vcpus(call->domain); i++) {
        if (domain_vcpu(call->domain, i)->apic_id == id) {
            return domain_vcpu(call->domain, i);
        }
    }
    error_set(error, "no vCPU has the APIC ID %" PRIu64, id);
    return NULL;
}

bool hmp_info_lapic(HmpCall *call, GError **error)
{
    bool ran = vcpus_freeze(call->domain), ok;
    Vcpu *vcpu = vcpu_of(call, error);

    ok = vcpu && print_lapic(call, vcpu, error);
    vcpus_thaw(call->domain, ran);
    return ok;
}
