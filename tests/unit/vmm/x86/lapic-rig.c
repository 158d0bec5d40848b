/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See lapic-rig.h. */
#include "tests/unit/vmm/x86/lapic-rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm/epoch.h"

Rig *rig;

static void interrupt(void *cpu)
{
    __atomic_store_n(&((Cpu *)cpu)->interrupts, 1, __ATOMIC_SEQ_CST);
}

static void nmi(void *cpu)
{
    ((Cpu *)cpu)->nmis++;
}

static void smi(void *cpu)
{
    ((Cpu *)cpu)->smis++;
}

static void init(void *cpu)
{
    ((Cpu *)cpu)->inits++;
}

static void sipi(void *cpu, uint8_t vector)
{
    ((Cpu *)cpu)->sipis++;
    ((Cpu *)cpu)->sipi = vector;
}

static uint64_t tsc(void *cpu)
{
    return (uint64_t)clock_ns(rig->clock) * (KHZ / 1000000) + ((Cpu *)cpu)->tsc_extra;
}

static void moved(void *cpu, uint64_t gpa)
{
    ((Cpu *)cpu)->page = gpa;
}

static const LapicOps ops = {
    .interrupt = interrupt, .nmi = nmi, .smi = smi, .init = init, .sipi = sipi, .tsc = tsc, .moved = moved,
};

static void eoi(void *opaque, uint8_t vector)
{
    Rig *r = opaque;

    r->eoi[r->eois++ % G_N_ELEMENTS(r->eoi)] = vector;
}

int pic_acknowledge(void *opaque)
{
    Rig *r = opaque;

    r->pic_acknowledged++;
    return r->pic_vector;
}

void power_on(unsigned n, uint64_t base)
{
    static X86Cpu state;

    x86_cpu_reset(&state, n, n == 0, 0);
    state.apic_base = base | (n == 0 ? 0x100 : 0);
    assert_true(lapic_load(rig->cpu[n].apic, &state, NULL));
    if (base == XAPIC) {
        lapic_write(rig->cpu[n].apic, SVR, 0x1ff);
    } else {
        assert_int_equal(lapic_msr_write(rig->cpu[n].apic, X2 + 0xf, 0x1ff), LAPIC_MSR_OK);
    }
    rig->cpu[n].interrupts = 0;
}

int lapic_rig_setup(void **state)
{
    static const LapicFeatures features = { .x2apic = true, .tsc_deadline = true, .phys_bits = 40, .tsc_khz = KHZ };

    rig = g_new0(Rig, 1);
    rig->loop = loop_new("test", LOOP_ENGINE_AUTO, NULL);
    rig->clock = clock_new_virtual();
    clock_set_manual(rig->clock);
    clock_set(rig->clock, 1000000);
    rig->bus = lapic_bus_new(rig->loop, rig->clock, &ops);
    lapic_bus_set_eoi(rig->bus, eoi, rig);
    for (unsigned n = 0; n < CPUS; n++) {
        rig->cpu[n].apic = lapic_new(rig->bus, n, n == 0, &rig->cpu[n]);
        lapic_set_features(rig->cpu[n].apic, &features);
        power_on(n, XAPIC);
    }
    return 0;
}

int lapic_rig_teardown(void **state)
{
    for (unsigned n = 0; n < CPUS; n++) {
        lapic_free(rig->cpu[n].apic);
    }
    epoch_synchronize();
    lapic_bus_free(rig->bus);
    loop_free(rig->loop);
    clock_free(rig->clock);
    g_free(rig);
    return 0;
}

Lapic *apic(unsigned n)
{
    return rig->cpu[n].apic;
}

uint64_t rig_tsc(unsigned n)
{
    return tsc(&rig->cpu[n]);
}

bool told(unsigned n)
{
    return __atomic_exchange_n(&rig->cpu[n].interrupts, 0, __ATOMIC_SEQ_CST);
}

void send(uint64_t address, uint32_t data)
{
    MsiMessage m = { address, data };

    assert_true(lapic_bus_send(rig->bus, m));
}

void send_fixed(unsigned n, uint8_t vector)
{
    send(0xfee00000 | n << 12, vector);
}

uint64_t msr(unsigned n, uint32_t index)
{
    uint64_t value = 0;

    assert_int_equal(lapic_msr_read(apic(n), index, &value), LAPIC_MSR_OK);
    return value;
}

void set_msr(unsigned n, uint32_t index, uint64_t value)
{
    assert_int_equal(lapic_msr_write(apic(n), index, value), LAPIC_MSR_OK);
}
