/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm/x86/lapic: local APICs and their bus, with CPUs that only note what they are told.
 * Facts: SDM volume 3, chapter 11.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "vmm/epoch.h"
#include "vmm/error.h"
#include "vmm/x86/lapic.h"

#define CPUS 4
#define KHZ  2000000u

enum { ID = 0x20, VERSION = 0x30, TPR = 0x80, PPR = 0xa0, EOI = 0xb0, LDR = 0xd0, DFR = 0xe0, SVR = 0xf0, ISR = 0x100,
       TMR = 0x180, IRR = 0x200, ESR = 0x280, ICR = 0x300, ICR2 = 0x310, TIMER = 0x320, LINT0 = 0x350, ERROR_LVT = 0x370,
       TMICT = 0x380, TMCCT = 0x390, TDCR = 0x3e0 };
enum { BASE = 0x1b, DEADLINE = 0x6e0, X2 = 0x800 };

#define XAPIC  UINT64_C(0xfee00800)
#define X2APIC UINT64_C(0xfee00c00)

typedef struct Cpu {
    Lapic *apic;
    unsigned interrupts; /* atomic */
    unsigned nmis, smis, inits, sipis;
    uint8_t sipi;
    uint64_t page;
    uint64_t tsc_extra;
} Cpu;

typedef struct Rig {
    Loop *loop;
    Clock *clock;
    LapicBus *bus;
    Cpu cpu[CPUS];
    unsigned pic_acknowledged;
    int pic_vector;
    uint8_t eoi[8];
    unsigned eois;
} Rig;

static Rig *rig;

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

static int pic_acknowledge(void *opaque)
{
    Rig *r = opaque;

    r->pic_acknowledged++;
    return r->pic_vector;
}

/* The state after a reset, in the given mode; software enabled. */
static void power_on(unsigned n, uint64_t base)
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

static int setup(void **state)
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

static int teardown(void **state)
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

static Lapic *apic(unsigned n)
{
    return rig->cpu[n].apic;
}

/* Whether it was told that there is something; forgets it, as a CPU does before it acknowledges. */
static bool told(unsigned n)
{
    return __atomic_exchange_n(&rig->cpu[n].interrupts, 0, __ATOMIC_SEQ_CST);
}

static void send(uint64_t address, uint32_t data)
{
    MsiMessage m = { address, data };

    assert_true(lapic_bus_send(rig->bus, m));
}

static void send_fixed(unsigned n, uint8_t vector)
{
    send(0xfee00000 | n << 12, vector);
}

static uint64_t msr(unsigned n, uint32_t index)
{
    uint64_t value = 0;

    assert_int_equal(lapic_msr_read(apic(n), index, &value), LAPIC_MSR_OK);
    return value;
}

static void set_msr(unsigned n, uint32_t index, uint64_t value)
{
    assert_int_equal(lapic_msr_write(apic(n), index, value), LAPIC_MSR_OK);
}

/* ---- vectors ---- */

static void test_an_interrupt_is_requested_served_and_ended(void **state)
{
    send_fixed(0, 0x41);
    assert_true(told(0));
    assert_int_equal(lapic_read(apic(0), IRR + 0x20), 2);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    assert_int_equal(lapic_read(apic(0), IRR + 0x20), 0);
    assert_int_equal(lapic_read(apic(0), ISR + 0x20), 2);
    assert_int_equal(lapic_read(apic(0), PPR), 0x40);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(lapic_read(apic(0), ISR + 0x20), 0);
    assert_int_equal(lapic_read(apic(0), PPR), 0);
    assert_false(told(0));
    assert_int_equal(rig->eois, 0); /* an edge has no EOI message */
}

static void test_higher_class_first_and_the_rest_after_its_end(void **state)
{
    send_fixed(0, 0x31);
    send_fixed(0, 0x52);
    send_fixed(0, 0x35);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x52);
    told(0);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    lapic_write(apic(0), EOI, 0);
    assert_true(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), 0x35);
    told(0);
    assert_int_equal(lapic_acknowledge(apic(0)), -1); /* 0x31 is of the same class */
    send_fixed(0, 0x60);
    assert_true(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), 0x60); /* nests */
    assert_int_equal(lapic_read(apic(0), PPR), 0x60);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(lapic_read(apic(0), PPR), 0x30);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x31);
}

static void test_task_priority_holds_back_and_lets_go(void **state)
{
    lapic_write(apic(0), TPR, 0x5f);
    send_fixed(0, 0x5e);
    told(0);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    assert_int_equal(lapic_cr8(apic(0)), 5);
    lapic_set_cr8(apic(0), 4);
    assert_true(told(0));
    assert_int_equal(lapic_read(apic(0), TPR), 0x40);
    assert_int_equal(lapic_read(apic(0), PPR), 0x40);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x5e);
}

static void test_level_interrupts_end_on_the_bus(void **state)
{
    send(0xfee00000, 0x8041);
    assert_int_equal(lapic_read(apic(0), TMR + 0x20), 2);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(rig->eois, 1);
    assert_int_equal(rig->eoi[0], 0x41);
    send(0xfee00000, 0x41); /* the same vector, an edge now */
    assert_int_equal(lapic_read(apic(0), TMR + 0x20), 0);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    lapic_write(apic(0), EOI, 0);
    assert_int_equal(rig->eois, 1);
    lapic_write(apic(0), EOI, 0); /* nothing is in service */
    assert_int_equal(rig->eois, 1);
}

static void test_software_disabled_takes_no_vectors_but_nmi_and_init(void **state)
{
    lapic_write(apic(0), LINT0, 0x700);
    lapic_write(apic(0), SVR, 0xff);
    send_fixed(0, 0x41);
    assert_false(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    assert_int_equal(lapic_read(apic(0), LINT0), 0x10700); /* masked with the others */
    lapic_write(apic(0), LINT0, 0x700);
    assert_int_equal(lapic_read(apic(0), LINT0), 0x10700);
    send(0xfee00000, 0x400);
    send(0xfee00000, 0x200);
    send(0xfee00000, 0x500);
    assert_int_equal(rig->cpu[0].nmis, 1);
    assert_int_equal(rig->cpu[0].smis, 1);
    assert_int_equal(rig->cpu[0].inits, 1);
}

static void test_vectors_of_exceptions_are_errors(void **state)
{
    lapic_write(apic(0), ERROR_LVT, 0xfe);
    send_fixed(0, 15);
    assert_int_equal(lapic_acknowledge(apic(0)), 0xfe);
    assert_int_equal(lapic_read(apic(0), ESR), 0); /* latched by a write */
    lapic_write(apic(0), ESR, 0);
    assert_int_equal(lapic_read(apic(0), ESR), 0x40);
    lapic_write(apic(0), ICR, 0x40000 | 3); /* to itself */
    lapic_read(apic(0), 0x40);              /* reserved */
    lapic_write(apic(0), ESR, 0);
    assert_int_equal(lapic_read(apic(0), ESR), 0xa0);
    lapic_write(apic(0), ESR, 0);
    assert_int_equal(lapic_read(apic(0), ESR), 0);
}

/* ---- destinations ---- */

static unsigned told_mask(void)
{
    unsigned mask = 0;

    for (unsigned n = 0; n < CPUS; n++) {
        mask |= told(n) << n;
    }
    return mask;
}

static void test_physical_destinations(void **state)
{
    send_fixed(2, 0x41);
    assert_int_equal(told_mask(), 1 << 2);
    send_fixed(0xff, 0x42);
    assert_int_equal(told_mask(), 0xf);
    assert_false(lapic_bus_send(rig->bus, (MsiMessage) { 0xfee00000 | 9 << 12, 0x41 }));
    assert_false(lapic_bus_send(rig->bus, (MsiMessage) { 0xfed00000, 0x41 }));
}

static void test_flat_and_cluster_logical_destinations(void **state)
{
    for (unsigned n = 0; n < CPUS; n++) {
        lapic_write(apic(n), LDR, 1u << (24 + n));
    }
    send(0xfee00004 | 0x5 << 12, 0x41);
    assert_int_equal(told_mask(), 5);
    for (unsigned n = 0; n < CPUS; n++) {
        lapic_write(apic(n), DFR, 0x0fffffff);
        lapic_write(apic(n), LDR, (n / 2 << 4 | 1u << n % 2) << 24);
    }
    send(0xfee00004 | 0x13 << 12, 0x42);
    assert_int_equal(told_mask(), 0xc);
    send(0xfee00004 | 0x02 << 12, 0x43);
    assert_int_equal(told_mask(), 2);
}

static void test_lowest_priority_goes_to_one(void **state)
{
    unsigned seen = 0;

    lapic_write(apic(0), TPR, 0x20);
    lapic_write(apic(2), TPR, 0x30);
    for (unsigned i = 0; i < 4; i++) {
        unsigned mask;

        send(0xfee00008 | 0xff << 12, 0x141);
        mask = told_mask();
        assert_true(mask == 2 || mask == 8);
        seen |= mask;
    }
    assert_int_equal(seen, 2 | 8); /* in turn */
    lapic_write(apic(1), SVR, 0xff);
    lapic_write(apic(3), TPR, 0xf0);
    send(0xfee00000 | 0xff << 12, 0x142);
    assert_int_equal(told_mask(), 1);
}

static void test_ipis_by_shorthand(void **state)
{
    lapic_write(apic(1), ICR, 0x40041);
    assert_int_equal(told_mask(), 2);
    lapic_write(apic(1), ICR, 0x80042);
    assert_int_equal(told_mask(), 0xf);
    lapic_write(apic(1), ICR, 0xc0043);
    assert_int_equal(told_mask(), 0xd);
    lapic_write(apic(1), ICR2, 0x03000000);
    lapic_write(apic(1), ICR, 0x44);
    assert_int_equal(told_mask(), 8);
    assert_int_equal(lapic_read(apic(1), ICR), 0x44);
    assert_int_equal(lapic_read(apic(1), ICR2), 0x03000000);
}

static void test_start_up(void **state)
{
    lapic_write(apic(0), ICR, 0xc4500);
    lapic_write(apic(0), ICR, 0xc8500); /* de-assert */
    lapic_write(apic(0), ICR2, 0x02000000);
    lapic_write(apic(0), ICR, 0x69f);
    assert_int_equal(rig->cpu[0].inits, 0);
    assert_int_equal(rig->cpu[1].inits, 1);
    assert_int_equal(rig->cpu[2].inits, 1);
    assert_int_equal(rig->cpu[2].sipis, 1);
    assert_int_equal(rig->cpu[2].sipi, 0x9f);
    assert_int_equal(rig->cpu[1].sipis, 0);
}

static void test_init_resets_all_but_the_id(void **state)
{
    lapic_write(apic(2), TPR, 0x20);
    lapic_write(apic(2), LDR, 0x01000000);
    lapic_write(apic(2), TIMER, 0x20041);
    lapic_write(apic(2), TMICT, 1000);
    send_fixed(2, 0x41);
    lapic_init(apic(2));
    assert_int_equal(lapic_read(apic(2), ID), 0x02000000);
    assert_int_equal(lapic_read(apic(2), TPR), 0);
    assert_int_equal(lapic_read(apic(2), SVR), 0xff);
    assert_int_equal(lapic_read(apic(2), LDR), 0);
    assert_int_equal(lapic_read(apic(2), DFR), 0xffffffff);
    assert_int_equal(lapic_read(apic(2), TIMER), 0x10000);
    assert_int_equal(lapic_read(apic(2), TMICT), 0);
    assert_int_equal(lapic_read(apic(2), IRR + 0x20), 0);
}

/* ---- x2APIC ---- */

static void test_modes_change_only_as_the_manual_draws_them(void **state)
{
    uint64_t value;

    assert_int_equal(rig->cpu[0].page, 0xfee00000);
    assert_int_equal(lapic_msr_write(apic(0), BASE, 0xfee00400), LAPIC_MSR_GP); /* x2APIC without EN */
    assert_int_equal(lapic_msr_read(apic(0), X2 + 2, &value), LAPIC_MSR_GP);
    set_msr(0, BASE, X2APIC | 0x100);
    assert_int_equal(rig->cpu[0].page, UINT64_MAX);
    assert_int_equal(lapic_msr_write(apic(0), BASE, XAPIC | 0x100), LAPIC_MSR_GP); /* back only through disabled */
    set_msr(0, BASE, 0xfee00100);
    assert_int_equal(lapic_msr_write(apic(0), BASE, X2APIC | 0x100), LAPIC_MSR_GP);
    set_msr(0, BASE, 0xfed00900);
    assert_int_equal(rig->cpu[0].page, 0xfed00000);
    lapic_write(apic(0), ID, 0x07000000);
    assert_int_equal(lapic_read(apic(0), ID), 0x07000000);
    set_msr(0, BASE, 0xfed00100);
    set_msr(0, BASE, 0xfed00900);
    assert_int_equal(lapic_read(apic(0), ID), 0); /* as after a reset */
    assert_int_equal(lapic_msr_write(apic(0), BASE, XAPIC | 1), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(0), BASE, XAPIC | UINT64_C(1) << 40), LAPIC_MSR_GP);
    assert_int_equal(msr(0, BASE), 0xfed00900);
    assert_int_equal(lapic_msr_read(apic(0), 0x10, &value), LAPIC_MSR_OTHER);
}

static void test_x2apic_registers(void **state)
{
    uint64_t value;

    power_on(3, X2APIC);
    assert_int_equal(msr(3, X2 + 2), 3);
    assert_int_equal(msr(3, X2 + 0xd), 8);
    set_msr(3, X2 + 8, 0x20);
    assert_int_equal(msr(3, X2 + 8), 0x20);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 8, 0x120), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 0xb, 1), LAPIC_MSR_GP); /* EOI takes 0 */
    assert_int_equal(lapic_msr_read(apic(3), X2 + 0xb, &value), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_read(apic(3), X2 + 0xe, &value), LAPIC_MSR_GP);  /* DFR */
    assert_int_equal(lapic_msr_read(apic(3), X2 + 0x31, &value), LAPIC_MSR_GP); /* ICR2 */
    assert_int_equal(lapic_msr_write(apic(3), X2 + 2, 3), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 0xd, 8), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 0x30, UINT64_C(1) << 20), LAPIC_MSR_GP);
    assert_int_equal(lapic_msr_write(apic(3), X2 + 0x38, UINT64_C(1) << 32), LAPIC_MSR_GP);
    set_msr(3, X2 + 0x3f, 0x41);
    assert_int_equal(lapic_acknowledge(apic(3)), 0x41);
    set_msr(3, X2 + 0xb, 0);
    assert_int_equal(lapic_acknowledge(apic(3)), -1);
}

static void test_x2apic_destinations(void **state)
{
    for (unsigned n = 0; n < CPUS; n++) {
        power_on(n, X2APIC);
    }
    set_msr(0, X2 + 0x30, UINT64_C(2) << 32 | 0x41);
    assert_int_equal(told_mask(), 4);
    assert_int_equal(msr(0, X2 + 0x30), UINT64_C(2) << 32 | 0x41);
    set_msr(0, X2 + 0x30, UINT64_C(0xb) << 32 | 0x842);
    assert_int_equal(told_mask(), 0xb);
    set_msr(0, X2 + 0x30, UINT64_C(0xffffffff) << 32 | 0x43);
    assert_int_equal(told_mask(), 0xf);
    assert_false(lapic_bus_send(rig->bus, (MsiMessage) { 0xfee00000 | 0xff << 12, 0x41 })); /* number 255 */
    send(UINT64_C(0xffffff00fee00000) | 0xff << 12, 0x44);
    assert_int_equal(told_mask(), 0xf);
}

/* ---- the PIC ---- */

static void test_the_pics_interrupt_comes_through_lint0(void **state)
{
    rig->pic_vector = 0x30;
    lapic_write(apic(0), LINT0, 0x700);
    lapic_bus_set_extint(rig->bus, true, pic_acknowledge, rig);
    assert_int_equal(told_mask(), 1);
    send_fixed(0, 0x41);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    assert_true(told(0)); /* there is another */
    assert_int_equal(lapic_acknowledge(apic(0)), 0x30);
    assert_int_equal(rig->pic_acknowledged, 1);
    lapic_bus_set_extint(rig->bus, false, pic_acknowledge, rig);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    assert_int_equal(rig->pic_acknowledged, 1);
    lapic_write(apic(0), LINT0, 0x10700);
    told(0);
    lapic_bus_set_extint(rig->bus, true, pic_acknowledge, rig);
    assert_int_equal(told_mask(), 0);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
}

static void test_lint0_may_be_a_vector_and_a_message_may_be_extint(void **state)
{
    rig->pic_vector = 0x31;
    lapic_write(apic(0), LINT0, 0x45);
    lapic_bus_set_extint(rig->bus, true, pic_acknowledge, rig);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x45);
    assert_int_equal(rig->pic_acknowledged, 0);
    send(0xfee01000, 0x700);
    assert_int_equal(lapic_acknowledge(apic(1)), 0x31);
    assert_int_equal(lapic_acknowledge(apic(1)), -1);
}

static void test_a_disabled_apic_leaves_the_pin_to_the_first_cpu(void **state)
{
    rig->pic_vector = 0x32;
    set_msr(0, BASE, 0xfee00100);
    set_msr(1, BASE, 0xfee00000);
    lapic_bus_set_extint(rig->bus, true, pic_acknowledge, rig);
    assert_int_equal(told_mask(), 1);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x32);
    assert_false(lapic_bus_send(rig->bus, (MsiMessage) { 0xfee00000, 0x41 }));
}

/* ---- the timer: 1 GHz ---- */

static void advance(int64_t ns)
{
    clock_set(rig->clock, clock_ns(rig->clock) + ns);
}

static void test_one_shot(void **state)
{
    lapic_write(apic(0), TDCR, 0xb); /* by 1 */
    lapic_write(apic(0), TIMER, 0x41);
    lapic_write(apic(0), TMICT, 100000);
    assert_int_equal(lapic_read(apic(0), TMCCT), 100000);
    advance(40000);
    assert_int_equal(lapic_read(apic(0), TMCCT), 60000);
    assert_false(told(0));
    advance(60000);
    assert_true(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    assert_int_equal(lapic_read(apic(0), TMCCT), 0);
    assert_int_equal(lapic_read(apic(0), TMICT), 100000);
    lapic_write(apic(0), EOI, 0);
    advance(1000000);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    lapic_write(apic(0), TMICT, 100);
    lapic_write(apic(0), TMICT, 0); /* stops */
    advance(1000);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
}

static void test_divider(void **state)
{
    static const struct { uint32_t code, by; } row[] = {
        { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 }
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(row); i++) {
        lapic_write(apic(0), TDCR, row[i].code);
        lapic_write(apic(0), TMICT, 1000);
        advance(100 * row[i].by);
        assert_int_equal(lapic_read(apic(0), TMCCT), 900);
    }
}

static void test_periodic(void **state)
{
    lapic_write(apic(0), TDCR, 0xb);
    lapic_write(apic(0), TIMER, 0x20041);
    lapic_write(apic(0), TMICT, 1000000);
    for (unsigned i = 0; i < 3; i++) {
        advance(1000000);
        assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
        lapic_write(apic(0), EOI, 0);
    }
    advance(250000);
    assert_int_equal(lapic_read(apic(0), TMCCT), 750000);
    lapic_write(apic(0), TIMER, 0x30041); /* masked: counts on, unheard */
    advance(1000000);
    assert_int_equal(lapic_acknowledge(apic(0)), -1);
    assert_int_equal(lapic_read(apic(0), TMCCT), 750000);
}

static void test_tsc_deadline(void **state)
{
    uint64_t now;

    lapic_write(apic(0), TIMER, 0x40041);
    lapic_write(apic(0), TMICT, 5); /* not in this mode */
    assert_int_equal(lapic_read(apic(0), TMICT), 0);
    now = tsc(&rig->cpu[0]);
    set_msr(0, DEADLINE, now + 2000);
    assert_int_equal(msr(0, DEADLINE), now + 2000);
    advance(998);
    assert_false(told(0));
    advance(3);
    assert_true(told(0));
    assert_int_equal(msr(0, DEADLINE), 0);
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    lapic_write(apic(0), EOI, 0);
    set_msr(0, DEADLINE, now); /* past: at once */
    assert_true(told(0));
    assert_int_equal(lapic_acknowledge(apic(0)), 0x41);
    lapic_write(apic(0), EOI, 0);
    set_msr(0, DEADLINE, tsc(&rig->cpu[0]) + 2000);
    set_msr(0, DEADLINE, 0); /* disarmed */
    advance(5000);
    assert_false(told(0));
    set_msr(0, DEADLINE, tsc(&rig->cpu[0]) + 2000);
    lapic_write(apic(0), TIMER, 0x41); /* another mode forgets it */
    assert_int_equal(msr(0, DEADLINE), 0);
    set_msr(0, DEADLINE, 1);
    assert_int_equal(msr(0, DEADLINE), 0);
}

static void test_a_deadline_waits_for_a_tsc_that_went_back(void **state)
{
    lapic_write(apic(0), TIMER, 0x40041);
    rig->cpu[0].tsc_extra = 10000;
    set_msr(0, DEADLINE, tsc(&rig->cpu[0]) + 2000);
    rig->cpu[0].tsc_extra = 0;
    advance(1500);
    assert_false(told(0));
    advance(5000);
    assert_true(told(0));
}

/* ---- saved form ---- */

static void test_saved_form(void **state)
{
    static X86Cpu saved, again;
    uint32_t word;

    power_on(2, X2APIC);
    set_msr(2, X2 + 8, 0x21);
    set_msr(2, X2 + 0x32, 0x400ef);
    set_msr(2, DEADLINE, tsc(&rig->cpu[2]) + 2000000);
    set_msr(2, X2 + 0x30, UINT64_C(7) << 32 | 0x4b); /* to nobody */
    send_fixed(2, 0x71);
    assert_int_equal(lapic_acknowledge(apic(2)), 0x71);
    send(0xfee02000, 0x8065);
    lapic_save(apic(2), &saved);
    assert_int_equal(saved.apic_base, X2APIC);
    assert_int_equal(saved.cr8, 2);
    memcpy(&word, saved.lapic + ID, 4);
    assert_int_equal(word, 2);
    memcpy(&word, saved.lapic + ICR2, 4);
    assert_int_equal(word, 7);
    memcpy(&word, saved.lapic + ISR + 0x30, 4);
    assert_int_equal(word, 1 << 17);
    memcpy(&word, saved.lapic + IRR + 0x30, 4);
    assert_int_equal(word, 1 << 5);
    memcpy(&word, saved.lapic + TMR + 0x30, 4);
    assert_int_equal(word, 1 << 5);
    lapic_init(apic(2));
    assert_true(lapic_load(apic(2), &saved, NULL));
    assert_true(told(2));
    lapic_save(apic(2), &again);
    assert_memory_equal(saved.lapic, again.lapic, sizeof(saved.lapic));
    assert_int_equal(msr(2, DEADLINE), *x86_cpu_msr(&saved, DEADLINE));
    set_msr(2, X2 + 0xb, 0);
    assert_int_equal(lapic_acknowledge(apic(2)), 0x65);
    set_msr(2, X2 + 0xb, 0);
    assert_int_equal(rig->eoi[0], 0x65);
    set_msr(2, X2 + 8, 0);
    advance(1000001);
    assert_int_equal(lapic_acknowledge(apic(2)), 0xef);
}

static void test_a_count_goes_on_where_it_was_saved(void **state)
{
    static X86Cpu saved;

    lapic_write(apic(0), TDCR, 0xb);
    lapic_write(apic(0), TIMER, 0x20041);
    lapic_write(apic(0), TMICT, 1000000);
    advance(300000);
    lapic_save(apic(0), &saved);
    lapic_init(apic(0));
    advance(5000000);
    assert_true(lapic_load(apic(0), &saved, NULL));
    told(0);
    assert_int_equal(lapic_read(apic(0), TMCCT), 700000);
    advance(700000);
    assert_true(told(0));
}

static void test_hostile_states_are_refused_or_cut(void **state)
{
    static X86Cpu bad;
    GError *error = NULL;

    x86_cpu_reset(&bad, 1, false, 0);
    bad.apic_base = 0xfee00400;
    assert_false(lapic_load(apic(1), &bad, &error));
    assert_non_null(strstr(error->message, "IA32_APIC_BASE"));
    g_error_free(error);
    x86_cpu_reset(&bad, 1, false, 0);
    memset(bad.lapic, 0xff, sizeof(bad.lapic));
    assert_true(lapic_load(apic(1), &bad, NULL));
    assert_int_equal(lapic_read(apic(1), TIMER), 0x700ff);
    assert_int_equal(lapic_read(apic(1), TPR), 0xff);
    assert_int_equal(lapic_read(apic(1), TDCR), 0xb);
    lapic_write(apic(1), TPR, 0);
    assert_int_equal(lapic_acknowledge(apic(1)), -1); /* everything is in service */
    for (unsigned i = 0; i < 300; i++) {
        lapic_write(apic(1), EOI, 0);
    }
    assert_int_equal(lapic_acknowledge(apic(1)), 0xff);
}

/* ---- threads ---- */

#define SENDERS 3
#define SENT    40000

static unsigned finished; /* atomic */

static void *sender(void *opaque)
{
    unsigned n = (unsigned)(uintptr_t)opaque;

    epoch_thread_begin();
    for (unsigned i = 0; i < SENT; i++) {
        MsiMessage m = { 0xfee00000, 0x40 + n };

        lapic_bus_send(rig->bus, m);
    }
    epoch_thread_end();
    __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* A CPU that looks only when it was told, as a halted one does: what it was not told of would lie in IRR for
 * ever. */
static void test_no_interrupt_is_lost(void **state)
{
    pthread_t thread[SENDERS];
    unsigned taken[SENDERS] = { 0 };
    bool last;

    finished = 0;
    for (unsigned n = 0; n < SENDERS; n++) {
        assert_int_equal(pthread_create(&thread[n], NULL, sender, (void *)(uintptr_t)(n * 0x20)), 0);
    }
    do {
        last = __atomic_load_n(&finished, __ATOMIC_SEQ_CST) == SENDERS;
        while (told(0)) {
            int vector = lapic_acknowledge(apic(0));

            if (vector >= 0) {
                taken[(vector - 0x40) / 0x20]++;
                lapic_write(apic(0), EOI, 0);
            }
        }
    } while (!last);
    for (unsigned n = 0; n < SENDERS; n++) {
        pthread_join(thread[n], NULL);
        assert_in_range(taken[n], 1, SENT);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(lapic_read(apic(0), IRR + 0x10 * i), 0);
    }
}

#define CASE(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_an_interrupt_is_requested_served_and_ended),
        CASE(test_higher_class_first_and_the_rest_after_its_end),
        CASE(test_task_priority_holds_back_and_lets_go),
        CASE(test_level_interrupts_end_on_the_bus),
        CASE(test_software_disabled_takes_no_vectors_but_nmi_and_init),
        CASE(test_vectors_of_exceptions_are_errors),
        CASE(test_physical_destinations),
        CASE(test_flat_and_cluster_logical_destinations),
        CASE(test_lowest_priority_goes_to_one),
        CASE(test_ipis_by_shorthand),
        CASE(test_start_up),
        CASE(test_init_resets_all_but_the_id),
        CASE(test_modes_change_only_as_the_manual_draws_them),
        CASE(test_x2apic_registers),
        CASE(test_x2apic_destinations),
        CASE(test_the_pics_interrupt_comes_through_lint0),
        CASE(test_lint0_may_be_a_vector_and_a_message_may_be_extint),
        CASE(test_a_disabled_apic_leaves_the_pin_to_the_first_cpu),
        CASE(test_one_shot),
        CASE(test_divider),
        CASE(test_periodic),
        CASE(test_tsc_deadline),
        CASE(test_a_deadline_waits_for_a_tsc_that_went_back),
        CASE(test_saved_form),
        CASE(test_a_count_goes_on_where_it_was_saved),
        CASE(test_hostile_states_are_refused_or_cut),
        CASE(test_no_interrupt_is_lost),
    };

    epoch_thread_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
