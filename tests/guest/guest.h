/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bare-metal test guest: what its files share.
 *
 * It is entered by PVH, goes to long mode with the first 4 GiB mapped one to one,
 * runs every test of its table, says "ok NAME" or "FAIL NAME: why" on the debug
 * console (port 0x402) or else on the first serial port, and ends through
 * isa-debug-exit (port 0xf4): 0x10 all well, 0x11 something failed.
 *
 * Ring 0 keeps to instructions that a KVM which emulates ring 0 knows: integers
 * only, no INT3, no INT n, no SYSCALL.  Work is done in ring 3.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPUS_MAX 16

#define SELECTOR_CODE      0x08
#define SELECTOR_DATA      0x10
#define SELECTOR_USER_DATA 0x1b
#define SELECTOR_USER_CODE 0x23
#define SELECTOR_TSS       0x28

enum { VECTOR_DE = 0, VECTOR_UD = 6, VECTOR_GP = 13, VECTOR_PF = 14, VECTOR_PIC = 0x20, VECTOR_TIMER = 0x40,
       VECTOR_IOAPIC = 0x41, VECTOR_SELF = 0x42, VECTOR_PING = 0x43, VECTOR_MSIX = 0x44, VECTOR_SPURIOUS = 0xff };

/* As entry.S pushes it. */
typedef struct Frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
} Frame;

/* ---- entry.S ---- */
extern uint64_t page_directory_pointers[512], page_map[512];
extern const uint8_t ap_trampoline[], ap_trampoline_end[];
extern uint64_t ap_stack;
extern const uint64_t trap_entries[256];
void load_tables(void *gdt, uint16_t gdt_limit, void *idt, uint16_t idt_limit);
/* Runs fn in ring 3 until it executes UD2; returns what it left in RAX. */
uint64_t user_run(uint64_t (*fn)(uint64_t), uint64_t argument);
/* The way back, for the trap handler. */
void user_leave(uint64_t value) __attribute__((noreturn));
/* Executes fn; an exception in it returns its vector, else -1. */
int catch_trap(void (*fn)(void));
void catch_resume(void) __attribute__((noreturn));

/* ---- console.c ---- */
void console_init(void);
void print(const char *text);
void print_hex(uint64_t value);
void guest_exit(bool good) __attribute__((noreturn));
/* Fails the running test; returns false. */
bool failed(const char *why, uint64_t value);

/* ---- trap.c ---- */
typedef struct Trap {
    int vector;
    uint64_t error, rip, cr2;
} Trap;
extern volatile Trap last_trap;
extern volatile uint32_t interrupts[256]; /* how often each came, to any processor */
extern volatile uint32_t pings[CPUS_MAX];  /* VECTOR_PING, by APIC id */
extern volatile bool catching;
void trap_init(void);
void trap_init_cpu(unsigned cpu);
void trap(Frame *frame);
/* Sleeps until interrupt `vector` has come `count` times in all. */
void wait_interrupt(unsigned vector, uint32_t count);

/* ---- apic.c ---- */
uint32_t lapic_read(unsigned reg);
void lapic_write(unsigned reg, uint32_t value);
void lapic_enable(void);
void lapic_eoi(void);
uint32_t lapic_id(void);
void lapic_ipi(uint32_t id, uint32_t command);
uint32_t ioapic_read(unsigned reg);
void ioapic_write(unsigned reg, uint32_t value);
void pic_init(uint16_t mask);
void pic_eoi(unsigned irq);
void pit_start(uint16_t count);
void pit_stop(void);

/* ---- the tests ---- */
typedef struct Test {
    const char *name;
    bool (*run)(void);
} Test;
extern const Test cpu_tests[], irq_tests[], smp_tests[], pci_tests[], memory_tests[]; /* name NULL ends */
extern unsigned cpus_wanted; /* "cpus=N" of the command line */
void ap_main(void);

/* ---- the processor ---- */
static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}
static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint64_t read_msr(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return low | (uint64_t)high << 32;
}
static inline void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}
static inline uint64_t read_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return low | (uint64_t)high << 32;
}
static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t reg[4])
{
    __asm__ volatile("cpuid" : "=a"(reg[0]), "=b"(reg[1]), "=c"(reg[2]), "=d"(reg[3]) : "a"(leaf), "c"(subleaf));
}
static inline void interrupts_on(void)
{
    __asm__ volatile("sti" : : : "memory");
}
static inline void interrupts_off(void)
{
    __asm__ volatile("cli" : : : "memory");
}
static inline uint32_t mmio_read(uint64_t address)
{
    return *(volatile uint32_t *)address;
}
static inline void mmio_write(uint64_t address, uint32_t value)
{
    *(volatile uint32_t *)address = value;
}
