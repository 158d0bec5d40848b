/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor: paging, exceptions, port I/O, MSRs, CPUID, ring 3.
 */
#include "guest.h"

#define ALIAS        (UINT64_C(1) << 39) /* second entry of the page map */
#define NON_CANONICAL (UINT64_C(1) << 60)
#define UNMAPPED     (UINT64_C(5) << 39)

static int caught(void (*fn)(void))
{
    int vector;

    catching = true;
    vector = catch_trap(fn);
    catching = false;
    return vector;
}

static bool test_alias_shows_the_same_memory(void)
{
    static volatile uint64_t word;
    volatile uint64_t *alias = (volatile uint64_t *)(ALIAS + (uint64_t)&word);

    page_map[1] = (uint64_t)page_directory_pointers | 7;
    *alias = 0x1122334455667788;
    if (word != 0x1122334455667788) {
        return failed("one to one address reads", word);
    }
    word = 42;
    return *alias == 42 || failed("alias reads", *alias);
}

static void execute_ud2(void)
{
    __asm__ volatile("ud2");
}

static bool test_invalid_opcode(void)
{
    int vector = caught(execute_ud2);

    return vector == VECTOR_UD || failed("vector", (uint64_t)vector);
}

static void divide_by_zero(void)
{
    __asm__ volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; mov $1, %%eax; div %%ecx" : : : "eax", "ecx", "edx");
}

static bool test_divide_error(void)
{
    int vector = caught(divide_by_zero);

    return vector == VECTOR_DE || failed("vector", (uint64_t)vector);
}

static void write_unmapped(void)
{
    *(volatile uint32_t *)(UNMAPPED + 0x123) = 1;
}

static bool test_page_fault_tells_address_and_cause(void)
{
    int vector = caught(write_unmapped);

    if (vector != VECTOR_PF) {
        return failed("vector", (uint64_t)vector);
    }
    if (last_trap.cr2 != UNMAPPED + 0x123) {
        return failed("cr2", last_trap.cr2);
    }
    return last_trap.error == 2 || failed("error code", last_trap.error);
}

static void read_non_canonical(void)
{
    *(volatile uint32_t *)NON_CANONICAL;
}

static bool test_general_protection(void)
{
    int vector = caught(read_non_canonical);

    return vector == VECTOR_GP || failed("vector", (uint64_t)vector);
}

static void write_unknown_msr(void)
{
    write_msr(0x5ffffff0, 1);
}

static bool test_unknown_msr_is_general_protection(void)
{
    int vector = caught(write_unknown_msr);

    return vector == VECTOR_GP || failed("vector", (uint64_t)vector);
}

static bool test_ports_keep_what_is_written(void)
{
    uint8_t read;

    out8(0x21, 0xa5);
    read = in8(0x21);
    out8(0x21, 0xff);
    return read == 0xa5 || failed("PIC mask reads", read);
}

static bool test_string_output(void)
{
    static const char text[] = "  rep outsb\n";
    const char *at = text;
    uint64_t count = sizeof(text) - 1;

    if (in8(0x402) == 0xe9) {
        __asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(0x402) : "memory");
        return count == 0 || failed("left over", count);
    }
    return true;
}

static bool test_absent_port_reads_as_ones(void)
{
    uint32_t value = in32(0xa08);

    return value == UINT32_MAX || failed("port", value);
}

static bool test_msr_keeps_what_is_written(void)
{
    write_msr(0xc0000082, 0xffff800000001000); /* LSTAR */
    return read_msr(0xc0000082) == 0xffff800000001000 || failed("LSTAR", read_msr(0xc0000082));
}

static bool test_cpuid_shows_a_hypervisor(void)
{
    uint32_t reg[4];

    cpuid(1, 0, reg);
    return reg[2] >> 31 || failed("leaf 1 ecx", reg[2]);
}

static bool test_time_stamp_counter_rises(void)
{
    uint64_t before = read_tsc(), after = read_tsc();

    return after > before || failed("difference", after - before);
}

/* ---- ring 3 ---- */
static uint64_t read_code_segment(uint64_t argument)
{
    uint64_t cs;

    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    return cs + argument;
}

static bool test_ring_3_runs(void)
{
    uint64_t value = user_run(read_code_segment, 0x1000);

    /* Not which selector: a KVM that runs ring 3 as a process of the host shows the host's. */
    return (value & ~UINT64_C(0xfc)) == 0x1003 || failed("0x1000 + cs", value);
}

static uint64_t add_up(uint64_t n)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        sum = sum * 3 + (i ^ sum >> 7);
    }
    return sum;
}

static bool test_ring_3_computes(void)
{
    uint64_t once = user_run(add_up, 20000000), twice = user_run(add_up, 20000000);

    return (once && once == twice) || failed("sum", once);
}

static uint64_t multiply_vectors(uint64_t n)
{
    static const double start[2] __attribute__((aligned(16))) = { 1.0, 2.0 };
    static const double factor[2] __attribute__((aligned(16))) = { 2.0, 3.0 };
    static double result[2] __attribute__((aligned(16)));

    __asm__ volatile("movapd %1, %%xmm0\n movapd %2, %%xmm1\n"
                     "1: mulpd %%xmm1, %%xmm0\n dec %3\n jnz 1b\n movapd %%xmm0, %0"
                     : "=m"(result) : "m"(start), "m"(factor), "r"(n) : "memory", "cc");
    return *(uint64_t *)&result[1];
}

static bool test_ring_3_uses_vectors(void)
{
    uint64_t bits = user_run(multiply_vectors, 10);

    return bits == 0x40fcd52000000000 || failed("2 * 3^10 as a double", bits); /* 118098.0 */
}

static uint64_t halt_in_ring_3(uint64_t argument)
{
    __asm__ volatile("hlt");
    return argument;
}

static void halt_in_user(void)
{
    user_run(halt_in_ring_3, 0);
}

static bool test_ring_3_may_not_halt(void)
{
    int vector = caught(halt_in_user);

    return vector == VECTOR_GP || failed("vector", (uint64_t)vector);
}

const Test cpu_tests[] = {
    { "paging: an alias shows the same memory", test_alias_shows_the_same_memory },
    { "exception: invalid opcode", test_invalid_opcode },
    { "exception: divide error", test_divide_error },
    { "exception: page fault tells address and cause", test_page_fault_tells_address_and_cause },
    { "exception: general protection", test_general_protection },
    { "exception: unknown MSR", test_unknown_msr_is_general_protection },
    { "port: keeps what is written", test_ports_keep_what_is_written },
    { "port: string output", test_string_output },
    { "port: absent one reads as ones", test_absent_port_reads_as_ones },
    { "msr: keeps what is written", test_msr_keeps_what_is_written },
    { "cpuid: shows a hypervisor", test_cpuid_shows_a_hypervisor },
    { "tsc: rises", test_time_stamp_counter_rises },
    { "ring 3: runs", test_ring_3_runs },
    { "ring 3: computes", test_ring_3_computes },
    { "ring 3: uses vectors", test_ring_3_uses_vectors },
    { "ring 3: may not halt", test_ring_3_may_not_halt },
    { NULL, NULL },
};
