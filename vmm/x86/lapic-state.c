/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's life: creation, reset (SDM volume 3, 11.4.7) and saved form
 * (X86Cpu.lapic: the register page of an xAPIC, but for the ID, which is the whole
 * one in bits 31-0).
 *
 * A loaded page is hostile: what a register cannot hold is left out.
 *
 * Locking: main thread; lapic_init() is called by the CPU's thread.
 */
#include "vmm/x86/lapic-priv.h"

#include <inttypes.h>
#include <string.h>

#include "vmm/epoch.h"
#include "vmm/error.h"

#define MSR_TSC_DEADLINE 0x6e0
#define VERSION          0x00050014u /* version 0x14, six entries in the LVT */
#define LVTS             6

uint32_t lapic_x2apic_ldr(uint32_t id)
{
    return (id >> 4) << 16 | 1u << (id & 15);
}

void lapic_tell_page(Lapic *apic)
{
    bool page = (apic->base & (BASE_ENABLED | BASE_X2APIC)) == BASE_ENABLED;

    apic->bus->ops->moved(apic->cpu, page ? apic->base & ~UINT64_C(0xfff) : UINT64_MAX);
}

static void clear_vectors(VectorSet *set)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(set->word); i++) {
        __atomic_store_n(&set->word[i], 0, __ATOMIC_SEQ_CST);
    }
}

/* All but the IDs, the version and IA32_APIC_BASE. */
void lapic_reset_registers(Lapic *apic)
{
    apic->tpr = apic->icr = apic->icr2 = apic->esr = 0;
    __atomic_store_n(&apic->errors, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&apic->extint_message, false, __ATOMIC_SEQ_CST);
    apic->ldr = lapic_is_x2(apic) ? lapic_x2apic_ldr(apic->id) : 0;
    apic->dfr = UINT32_MAX;
    apic->svr = 0xff;
    clear_vectors(&apic->isr);
    clear_vectors(&apic->tmr);
    clear_vectors(&apic->irr);
    for (unsigned i = 0; i < LVTS; i++) {
        __atomic_store_n(&apic->lvt[i], LVT_MASKED, __ATOMIC_SEQ_CST);
    }
    lapic_timer_restore(apic, 0, 0, 0, 0);
}

void lapic_init(Lapic *apic)
{
    lapic_reset_registers(apic);
}

Lapic *lapic_new(LapicBus *bus, uint32_t id, bool bsp, void *cpu)
{
    Lapic *apic = g_new0(Lapic, 1);

    apic->bus = bus;
    apic->cpu = cpu;
    apic->id = id;
    apic->xapic_id = id & 0xff;
    apic->bsp = bsp;
    apic->version = VERSION;
    apic->features = (LapicFeatures) { .phys_bits = 36, .tsc_khz = 1000000 };
    lapic_timer_init(apic);
    lapic_reset_registers(apic);
    lapic_bus_add(bus, apic);
    return apic;
}

static void apic_free(void *opaque)
{
    Lapic *apic = opaque;

    lock_finish(&apic->lock);
    g_free(apic);
}

void lapic_free(Lapic *apic)
{
    if (apic) {
        lapic_bus_remove(apic->bus, apic);
        lapic_timer_finish(apic);
        epoch_retire(apic_free, apic); /* others may be sending */
    }
}

void lapic_set_features(Lapic *apic, const LapicFeatures *features)
{
    apic->features = *features;
}

/* ---- saved form ---- */

static uint32_t get32(const uint8_t *page, unsigned offset)
{
    uint32_t value;

    memcpy(&value, page + offset, sizeof(value)); /* x86 hosts only: little endian */
    return value;
}

static void put32(uint8_t *page, unsigned offset, uint32_t value)
{
    memcpy(page + offset, &value, sizeof(value));
}

static void load_vectors(VectorSet *set, const uint8_t *page, unsigned offset)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(set->word); i++) {
        uint64_t low = get32(page, offset + 0x20 * i), high = get32(page, offset + 0x20 * i + 0x10);

        __atomic_store_n(&set->word[i], high << 32 | low, __ATOMIC_SEQ_CST);
    }
}

static void save_vectors(const VectorSet *set, uint8_t *page, unsigned offset)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(set->word); i++) {
        uint64_t word = __atomic_load_n(&set->word[i], __ATOMIC_SEQ_CST);

        put32(page, offset + 0x20 * i, (uint32_t)word);
        put32(page, offset + 0x20 * i + 0x10, (uint32_t)(word >> 32));
    }
}

static bool check_base(const Lapic *apic, uint64_t base, GError **error)
{
    bool x2 = base & BASE_X2APIC;

    if (x2 && (!(base & BASE_ENABLED) || !apic->features.x2apic)) {
        return error_set(error, "the local APIC of CPU %" PRIu32 " cannot be in the mode that IA32_APIC_BASE %#" PRIx64
                         " says", apic->id, base);
    }
    return true;
}

static void load_lvt(Lapic *apic, const uint8_t *page)
{
    static const uint32_t writable[LVTS] = { 0x700ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff };

    for (unsigned i = 0; i < LVTS; i++) {
        uint32_t value = get32(page, APIC_LVT_TIMER + 0x10 * i) & writable[i];

        if (i == 0 && !apic->features.tsc_deadline) {
            value &= ~(2u << LVT_TIMER_SHIFT);
        }
        __atomic_store_n(&apic->lvt[i], value, __ATOMIC_SEQ_CST);
    }
}

bool lapic_load(Lapic *apic, const X86Cpu *state, GError **error)
{
    const uint8_t *page = state->lapic;
    uint64_t deadline = 0;

    if (!check_base(apic, state->apic_base, error)) {
        return false;
    }
    for (uint32_t i = 0; i < state->msrs; i++) {
        deadline = state->msr[i].index == MSR_TSC_DEADLINE ? state->msr[i].value : deadline;
    }
    __atomic_store_n(&apic->base, state->apic_base, __ATOMIC_SEQ_CST);
    lapic_reset_registers(apic);
    apic->version = VERSION | (get32(page, APIC_VERSION) & VERSION_NO_BROADCAST);
    apic->tpr = get32(page, APIC_TPR) & 0xff;
    if (!lapic_is_x2(apic)) {
        apic->xapic_id = get32(page, APIC_ID) & 0xff;
        apic->ldr = get32(page, APIC_LDR) & 0xff000000;
        apic->dfr = get32(page, APIC_DFR) | 0x0fffffff;
    }
    apic->svr = get32(page, APIC_SVR) & (0x3ff | (apic->version & VERSION_NO_BROADCAST ? SVR_NO_BROADCAST : 0));
    apic->esr = get32(page, APIC_ESR) & 0xff;
    apic->icr = get32(page, APIC_ICR);
    apic->icr2 = get32(page, APIC_ICR2);
    load_vectors(&apic->isr, page, APIC_ISR);
    load_vectors(&apic->tmr, page, APIC_TMR);
    load_vectors(&apic->irr, page, APIC_IRR);
    load_lvt(apic, page);
    lapic_timer_restore(apic, get32(page, APIC_TMICT), get32(page, APIC_TMCCT), get32(page, APIC_TDCR), deadline);
    lapic_tell_page(apic);
    apic->bus->ops->interrupt(apic->cpu); /* what waits is in IRR */
    return true;
}

void lapic_save(Lapic *apic, X86Cpu *state)
{
    uint8_t *page = state->lapic;
    uint64_t deadline = lapic_timer_deadline(apic);

    memset(page, 0, sizeof(state->lapic));
    put32(page, APIC_ID, lapic_is_x2(apic) ? apic->id : apic->xapic_id);
    put32(page, APIC_VERSION, apic->version);
    put32(page, APIC_TPR, apic->tpr);
    put32(page, APIC_PPR, lapic_priority(apic));
    put32(page, APIC_LDR, apic->ldr);
    put32(page, APIC_DFR, apic->dfr);
    put32(page, APIC_SVR, apic->svr);
    put32(page, APIC_ESR, apic->esr);
    put32(page, APIC_ICR, apic->icr);
    put32(page, APIC_ICR2, apic->icr2);
    save_vectors(&apic->isr, page, APIC_ISR);
    save_vectors(&apic->tmr, page, APIC_TMR);
    save_vectors(&apic->irr, page, APIC_IRR);
    put32(page, APIC_LVT_CMCI, LVT_MASKED);
    for (unsigned i = 0; i < LVTS; i++) {
        put32(page, APIC_LVT_TIMER + 0x10 * i, apic->lvt[i]);
    }
    put32(page, APIC_TMICT, apic->initial_count);
    put32(page, APIC_TMCCT, lapic_timer_count(apic));
    put32(page, APIC_TDCR, apic->divide);
    state->apic_base = apic->base;
    state->cr8 = apic->tpr >> 4;
    if (deadline) {
        x86_cpu_set_msr(state, MSR_TSC_DEADLINE, deadline);
    }
}
