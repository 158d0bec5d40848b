/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other processors: INIT, SIPI, IPIs both ways, atomic counting.
 */
#include "guest.h"

#define TRAMPOLINE    0x8000
#define INIT_ASSERT   0x4500
#define STARTUP       (0x4600 | TRAMPOLINE >> 12)
#define TO_ALL_OTHERS 0xc0000
#define ROUNDS        20
#define COUNTS        500

static uint8_t ap_stacks[CPUS_MAX][8192] __attribute__((aligned(16)));
static volatile uint32_t started, counting, counted; /* written by several processors, atomically */
static volatile uint32_t ids[CPUS_MAX];

/* Each processor is started alone, so ap_stack is its own until it has said so. */
void ap_main(void)
{
    uint32_t n = started + 1;

    trap_init_cpu(n);
    lapic_enable();
    ids[n] = lapic_id();
    __atomic_store_n(&started, n, __ATOMIC_SEQ_CST);
    for (uint32_t pinged = 0;; pinged++) {
        interrupts_off();
        while (__atomic_load_n(&pings[ids[n]], __ATOMIC_SEQ_CST) == pinged) {
            __asm__ volatile("sti; hlt; cli" : : : "memory");
        }
        if (__atomic_load_n(&counting, __ATOMIC_SEQ_CST)) {
            for (unsigned i = 0; i < COUNTS; i++) {
                __atomic_fetch_add(&counted, 1, __ATOMIC_SEQ_CST);
            }
        }
        lapic_ipi(0, VECTOR_SELF | 0x4000);
    }
}

/* Long on a slow host, and ends early. */
static bool wait_for(volatile uint32_t *value, uint32_t wanted)
{
    for (unsigned i = 0; i < 2000000; i++) {
        if (__atomic_load_n(value, __ATOMIC_SEQ_CST) == wanted) {
            return true;
        }
        __asm__ volatile("pause");
    }
    return false;
}

static bool test_other_processors_start(void)
{
    volatile uint8_t *to = (volatile uint8_t *)TRAMPOLINE;

    if (cpus_wanted > CPUS_MAX) {
        return failed("cpus", cpus_wanted);
    }
    for (unsigned i = 0; i < (unsigned)(ap_trampoline_end - ap_trampoline); i++) {
        to[i] = ap_trampoline[i];
    }
    for (unsigned n = 1; n < cpus_wanted; n++) {
        ap_stack = (uint64_t)ap_stacks[n] + sizeof(ap_stacks[n]);
        lapic_ipi(n, INIT_ASSERT);
        lapic_ipi(n, STARTUP);
        if (!wait_for(&started, n)) {
            return failed("did not start: APIC id", n);
        }
        if (ids[n] != n) {
            return failed("its APIC id is", ids[n]);
        }
    }
    return true;
}

static bool test_ipis_go_both_ways(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 1; n < cpus_wanted; n++) {
            uint32_t before = interrupts[VECTOR_SELF];

            lapic_ipi(n, VECTOR_PING | 0x4000);
            wait_interrupt(VECTOR_SELF, before + 1);
        }
    }
    return true;
}

static bool test_locked_additions_add_up(void)
{
    uint32_t wanted = (cpus_wanted - 1) * COUNTS;

    if (cpus_wanted == 1) {
        return true;
    }
    __atomic_store_n(&counting, 1, __ATOMIC_SEQ_CST);
    lapic_write(0x300, VECTOR_PING | TO_ALL_OTHERS | 0x4000);
    interrupts_on();
    wait_for(&counted, wanted);
    interrupts_off();
    return counted == wanted || failed("count", counted);
}

const Test smp_tests[] = {
    { "smp: the other processors start", test_other_processors_start },
    { "smp: IPIs go both ways", test_ipis_go_both_ways },
    { "smp: locked additions add up", test_locked_additions_add_up },
    { NULL, NULL },
};
