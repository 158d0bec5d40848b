/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A local APIC's registers as text, from their saved form: the same whoever holds them (vmm/x86/cpu-print.h).
 */
#include <inttypes.h>
#include <string.h>

#include "vmm/x86/cpu-print.h"
#include "vmm/x86/lapic-priv.h"

static uint32_t get(const X86Cpu *cpu, unsigned offset)
{
    uint32_t value;

    memcpy(&value, cpu->lapic + offset, sizeof(value));
    return value;
}

static void print_lvt(const X86Cpu *cpu, const char *name, unsigned offset, GString *out)
{
    static const char *const modes[] = { "Fixed", "LowPri", "SMI", "...", "NMI", "INIT", "SIPI", "ExtINT" };
    static const char *const timers[] = { "one-shot", "periodic", "tsc-deadline", "..." };
    uint32_t lvt = get(cpu, offset);
    unsigned mode = lvt >> LVT_MODE_SHIFT & 7;

    g_string_append_printf(out, "%s\t 0x%08x %s %-5s %-6s %-7s %-12s %-6s", name, lvt,
                           lvt & 1u << 13 ? "active-lo" : "active-hi", lvt & LVT_LEVEL ? "level" : "edge",
                           lvt & LVT_MASKED ? "masked" : "", lvt & 1u << 12 ? "pending" : "",
                           offset == APIC_LVT_TIMER ? timers[lvt >> LVT_TIMER_SHIFT & 3] : "", modes[mode]);
    if (mode == DELIVER_FIXED) {
        g_string_append_printf(out, " (vec %u)", lvt & LVT_VECTOR);
    }
    g_string_append_c(out, '\n');
}

/* SDM 3-11.5.4: 0 is a half, 7 is one. */
static unsigned divider(uint32_t dcr)
{
    unsigned n = (dcr & 3) | (dcr >> 1 & 4);

    return n == 7 ? 1 : 2u << n;
}

static void print_icr(const X86Cpu *cpu, GString *out)
{
    static const char *const shorthands[] = { "no-shorthand", "self", "all-self", "all" };
    uint32_t icr = get(cpu, APIC_ICR), icr2 = get(cpu, APIC_ICR2);
    bool logical = icr & 1u << 11;

    g_string_append_printf(out, "ICR\t 0x%08x %s %s %s %s\nICR2\t 0x%08x", icr, logical ? "logical" : "physical",
                           icr & LVT_LEVEL ? "level" : "edge", icr & 1u << 14 ? "assert" : "de-assert",
                           shorthands[icr >> 18 & 3], icr2);
    if (!(icr >> 18 & 3)) {
        uint32_t to = cpu->apic_base & BASE_X2APIC ? icr2 : icr2 >> 24;

        g_string_append_printf(out, logical ? " mask 0x%x (logical ID)" : " cpu %u (%sAPIC ID)", to,
                               cpu->apic_base & BASE_X2APIC ? "X2" : "");
    }
    g_string_append_c(out, '\n');
}

static void print_vectors(const X86Cpu *cpu, const char *name, unsigned offset, GString *out)
{
    bool any = false;

    g_string_append_printf(out, "%s\t", name);
    for (unsigned v = 0; v < 256; v++) {
        unsigned word = v / 32 * 0x10;
        uint32_t bit = UINT32_C(1) << v % 32;

        if (get(cpu, offset + word) & bit) {
            g_string_append_printf(out, " %u%s", v, get(cpu, APIC_TMR + word) & bit ? "(level)" : "");
            any = true;
        }
    }
    g_string_append(out, any ? "\n" : " (none)\n");
}

void x86_cpu_print_lapic(const X86Cpu *cpu, GString *out)
{
    static const struct { const char *name; unsigned offset; } lvts[] = {
        { "LVT0", APIC_LVT_LINT0 },  { "LVT1", APIC_LVT_LINT1 },      { "LVTPC", APIC_LVT_PERF },
        { "LVTERR", APIC_LVT_ERROR }, { "LVTTHMR", APIC_LVT_THERMAL }, { "LVTT", APIC_LVT_TIMER },
    };
    uint32_t svr = get(cpu, APIC_SVR);

    for (unsigned i = 0; i < G_N_ELEMENTS(lvts); i++) {
        print_lvt(cpu, lvts[i].name, lvts[i].offset, out);
    }
    g_string_append_printf(out, "Timer\t DCR=0x%x (divide by %u) initial_count = %u current_count = %u\n",
                           get(cpu, APIC_TDCR), divider(get(cpu, APIC_TDCR)), get(cpu, APIC_TMICT),
                           get(cpu, APIC_TMCCT));
    g_string_append_printf(out, "SPIV\t 0x%08x APIC %s, focus=%s, spurious vec %u\n", svr,
                           svr & SVR_ENABLED ? "enabled" : "disabled", svr & SVR_FOCUS_OFF ? "on" : "off",
                           svr & LVT_VECTOR);
    print_icr(cpu, out);
    g_string_append_printf(out, "ESR\t 0x%08x\n", get(cpu, APIC_ESR));
    print_vectors(cpu, "ISR", APIC_ISR, out);
    print_vectors(cpu, "IRR", APIC_IRR, out);
    g_string_append_printf(out, "\nAPR 0x%02x TPR 0x%02x DFR 0x%02x LDR 0x%02x PPR 0x%02x\n", get(cpu, APIC_APR),
                           get(cpu, APIC_TPR), get(cpu, APIC_DFR) >> 28, get(cpu, APIC_LDR) >> 24, get(cpu, APIC_PPR));
}
