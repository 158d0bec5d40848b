/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts: local APIC timer and IPIs, PIC, IOAPIC, PIT.
 */
#include "guest.h"

#define IOAPIC_PIN(N)  (0x10 + 2 * (N))
#define IOAPIC_MASKED  0x10000
#define LVT_TIMER      0x320
#define LVT_LINT0      0x350
#define TSC_DEADLINE   0x6e0

static bool test_lapic_has_its_version(void)
{
    uint32_t version = lapic_read(0x30);

    return (version & 0xff) >= 0x10 || failed("version", version);
}

static bool test_lapic_timer_fires_once(void)
{
    uint32_t before = interrupts[VECTOR_TIMER];

    lapic_write(0x3e0, 0xb); /* divide by 1 */
    lapic_write(LVT_TIMER, VECTOR_TIMER);
    lapic_write(0x380, 100000);
    wait_interrupt(VECTOR_TIMER, before + 1);
    return lapic_read(0x390) == 0 || failed("count left", lapic_read(0x390));
}

static bool test_lapic_timer_repeats(void)
{
    uint32_t before = interrupts[VECTOR_TIMER];

    lapic_write(LVT_TIMER, VECTOR_TIMER | 0x20000);
    lapic_write(0x380, 1000000);
    wait_interrupt(VECTOR_TIMER, before + 3);
    lapic_write(LVT_TIMER, IOAPIC_MASKED);
    lapic_write(0x380, 0);
    return true;
}

static bool test_tsc_deadline_fires(void)
{
    uint32_t before = interrupts[VECTOR_TIMER], reg[4];

    cpuid(1, 0, reg);
    if (!(reg[2] >> 24 & 1)) {
        return true;
    }
    lapic_write(LVT_TIMER, VECTOR_TIMER | 0x40000);
    write_msr(TSC_DEADLINE, read_tsc() + 1000000);
    wait_interrupt(VECTOR_TIMER, before + 1);
    lapic_write(LVT_TIMER, IOAPIC_MASKED);
    return read_msr(TSC_DEADLINE) == 0 || failed("deadline left", read_msr(TSC_DEADLINE));
}

static bool test_self_ipi_arrives(void)
{
    uint32_t before = interrupts[VECTOR_SELF];

    lapic_write(0x300, VECTOR_SELF | 0x40000);
    wait_interrupt(VECTOR_SELF, before + 1);
    return true;
}

static bool test_interrupts_wait_while_they_are_off(void)
{
    uint32_t before = interrupts[VECTOR_SELF];

    interrupts_off();
    lapic_write(0x300, VECTOR_SELF | 0x40000);
    if (interrupts[VECTOR_SELF] != before) {
        return failed("came too early", interrupts[VECTOR_SELF]);
    }
    if (!(lapic_read(0x200 + VECTOR_SELF / 32 * 0x10) >> VECTOR_SELF % 32 & 1)) {
        return failed("not in IRR", lapic_read(0x200 + VECTOR_SELF / 32 * 0x10));
    }
    wait_interrupt(VECTOR_SELF, before + 1);
    return true;
}

static bool test_pit_through_the_pic(void)
{
    uint32_t before = interrupts[VECTOR_PIC];

    lapic_write(LVT_LINT0, 0x700); /* ExtINT */
    pic_init(0xfffe);
    pit_start(11932); /* 10 ms */
    wait_interrupt(VECTOR_PIC, before + 3);
    pit_stop();
    pic_init(0xffff);
    lapic_write(LVT_LINT0, IOAPIC_MASKED);
    return true;
}

static bool test_ioapic_has_24_pins(void)
{
    uint32_t version = ioapic_read(1);

    return (version >> 16 & 0xff) == 23 || failed("version", version);
}

static bool test_pit_through_the_ioapic(void)
{
    uint32_t before = interrupts[VECTOR_IOAPIC];

    ioapic_write(IOAPIC_PIN(2) + 1, lapic_id() << 24);
    ioapic_write(IOAPIC_PIN(2), VECTOR_IOAPIC);
    pit_start(11932);
    wait_interrupt(VECTOR_IOAPIC, before + 3);
    pit_stop();
    ioapic_write(IOAPIC_PIN(2), IOAPIC_MASKED);
    return true;
}

static bool test_pit_counts_down(void)
{
    uint16_t first, second;

    pit_start(0xffff);
    out8(0x43, 0); /* latch */
    first = in8(0x40);
    first |= (uint16_t)(in8(0x40) << 8);
    out8(0x43, 0);
    second = in8(0x40);
    second |= (uint16_t)(in8(0x40) << 8);
    pit_stop();
    return second < first || failed("second count", second);
}

const Test irq_tests[] = {
    { "lapic: has its version", test_lapic_has_its_version },
    { "lapic: timer fires once", test_lapic_timer_fires_once },
    { "lapic: timer repeats", test_lapic_timer_repeats },
    { "lapic: TSC deadline fires", test_tsc_deadline_fires },
    { "lapic: IPI to itself arrives", test_self_ipi_arrives },
    { "lapic: interrupts wait while they are off", test_interrupts_wait_while_they_are_off },
    { "pit: counts down", test_pit_counts_down },
    { "pic: PIT interrupts", test_pit_through_the_pic },
    { "ioapic: has 24 pins", test_ioapic_has_24_pins },
    { "ioapic: PIT interrupts", test_pit_through_the_ioapic },
    { NULL, NULL },
};
