/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's IDT, GDT and TSS per processor, and what traps do: interrupts are
 * counted; an exception inside catch_trap() returns from it; UD2 in ring 3 ends
 * user_run(); any other exception ends the guest.
 */
#include "guest.h"

typedef struct __attribute__((packed)) Gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
} Gate;

typedef struct __attribute__((packed)) Tss {
    uint32_t reserved;
    uint64_t rsp[3], reserved2, ist[7], reserved3;
    uint16_t reserved4, io_map;
} Tss;

volatile Trap last_trap;
volatile uint32_t interrupts[256];
volatile uint32_t pings[CPUS_MAX];
volatile bool catching;

static Gate idt[256] __attribute__((aligned(16)));
static uint64_t gdts[CPUS_MAX][8] __attribute__((aligned(16)));
static Tss tss[CPUS_MAX] __attribute__((aligned(16)));
static uint8_t trap_stacks[CPUS_MAX][8192] __attribute__((aligned(16)));

static const uint64_t gdt_template[5] = {
    0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff,
};

void trap_init(void)
{
    for (unsigned i = 0; i < 256; i++) {
        idt[i] = (Gate) {
            .offset_low = (uint16_t)trap_entries[i], .selector = SELECTOR_CODE, .type = 0x8e,
            .offset_middle = (uint16_t)(trap_entries[i] >> 16), .offset_high = (uint32_t)(trap_entries[i] >> 32),
        };
    }
    trap_init_cpu(0);
}

void trap_init_cpu(unsigned cpu)
{
    uint64_t base = (uint64_t)&tss[cpu];

    for (unsigned i = 0; i < 5; i++) {
        gdts[cpu][i] = gdt_template[i];
    }
    gdts[cpu][5] = (sizeof(Tss) - 1) | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 | (base >> 24 & 0xff) << 56;
    gdts[cpu][6] = base >> 32;
    tss[cpu].rsp[0] = (uint64_t)trap_stacks[cpu] + sizeof(trap_stacks[cpu]);
    tss[cpu].io_map = sizeof(Tss);
    load_tables(gdts[cpu], 7 * 8 - 1, idt, sizeof(idt) - 1);
}

static void acknowledge(unsigned vector)
{
    if (vector >= VECTOR_PIC && vector < VECTOR_PIC + 16) {
        pic_eoi(vector - VECTOR_PIC);
    } else if (vector != VECTOR_SPURIOUS) {
        lapic_eoi();
    }
}

void trap(Frame *frame)
{
    if (frame->vector >= 32) {
        __atomic_fetch_add(&interrupts[frame->vector], 1, __ATOMIC_SEQ_CST);
        if (frame->vector == VECTOR_PING) {
            __atomic_fetch_add(&pings[lapic_id() % CPUS_MAX], 1, __ATOMIC_SEQ_CST);
        }
        acknowledge((unsigned)frame->vector);
        return;
    }
    last_trap.vector = (int)frame->vector;
    last_trap.error = frame->error;
    last_trap.rip = frame->rip;
    __asm__ volatile("mov %%cr2, %0" : "=r"(last_trap.cr2));
    if ((frame->cs & 3) == 3 && frame->vector == VECTOR_UD) {
        user_leave(frame->rax);
    }
    if (catching) {
        catching = false;
        catch_resume();
    }
    print("guest: unexpected exception ");
    print_hex(frame->vector);
    print(" error ");
    print_hex(frame->error);
    print(" rip ");
    print_hex(frame->rip);
    print(" cr2 ");
    print_hex(last_trap.cr2);
    print("\n");
    guest_exit(false);
}

void wait_interrupt(unsigned vector, uint32_t count)
{
    interrupts_off();
    while (__atomic_load_n(&interrupts[vector], __ATOMIC_SEQ_CST) < count) {
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
}
