/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hw/i386/boot-wake.c: where the boot processor goes after a sleep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hw/acpi/tables.h"
#include "hw/i386/boot.h"
#include "tests/unit/rig.h"
#include "vmm/bytes.h"

#define FACS         0xe0000
#define PAM0         0x90
#define PAGE_PRESENT 1u
#define LARGE_PAGE   0x80u

static int setup(void **state)
{
    Rig *r = *state = rig_new_cpus("2");
    uint8_t *facs;

    assert_null(rig_try_add(r, "mch,addr=00.0"));
    for (unsigned i = 0; i < 7; i++) {
        rig_config_write(r, 0, PAM0 + i, 0x33, 1); /* the segments up to 1 MiB are RAM */
    }
    facs = rig_ram(r, FACS);
    memset(facs, 0, FACS_SIZE);
    memcpy(facs, "FACS", 4);
    put32(facs + FACS_LENGTH, FACS_SIZE);
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static const X86Cpu *wake(Rig *r, uint32_t vector, uint64_t x_vector, uint32_t flags)
{
    uint8_t *facs = rig_ram(r, FACS);

    put32(facs + FACS_WAKING_VECTOR, vector);
    put64(facs + FACS_X_WAKING_VECTOR, x_vector);
    put32(facs + FACS_OSPM_FLAGS, flags);
    assert_true(x86_boot_wake(r->domain, FACS, NULL));
    return &domain_vcpu(r->domain, 0)->cpu;
}

static void assert_refused(Rig *r, uint32_t vector, uint64_t x_vector, const char *why)
{
    g_autoptr(GError) error = NULL;

    put32((uint8_t *)rig_ram(r, FACS) + FACS_WAKING_VECTOR, vector);
    put64((uint8_t *)rig_ram(r, FACS) + FACS_X_WAKING_VECTOR, x_vector);
    assert_false(x86_boot_wake(r->domain, FACS, &error));
    assert_non_null(strstr(error->message, why));
    assert_int_equal(domain_vcpu(r->domain, 0)->cpu.rip, 0xfff0);
}

static void test_the_vector_is_entered_in_real_mode(void **state)
{
    const X86Cpu *cpu = wake(*state, 0x9a123, 0, 0);

    assert_int_equal(cpu->segment[X86_CS].selector, 0x9a12);
    assert_int_equal(cpu->segment[X86_CS].base, 0x9a120);
    assert_int_equal(cpu->segment[X86_CS].limit, 0xffff);
    assert_int_equal(cpu->rip, 3);
    assert_int_equal(cpu->cr0 & 0x80000001, 0);
    assert_int_equal(cpu->rflags, 2);
    assert_true(domain_vcpu(((Rig *)*state)->domain, 0)->dirty);
}

static void test_the_wide_vector_goes_first_in_protected_mode(void **state)
{
    const X86Cpu *cpu = wake(*state, 0x9a123, 0x123456, 0);

    assert_int_equal(cpu->rip, 0x123456);
    assert_int_equal(cpu->segment[X86_CS].base, 0);
    assert_int_equal(cpu->segment[X86_CS].limit, UINT32_MAX);
    assert_int_equal(cpu->segment[X86_SS].limit, UINT32_MAX);
    assert_int_equal(cpu->cr0 & 0x80000001, 1);
    assert_int_equal(cpu->efer, 0);
}

/* The tables are read as the processor reads them. */
static uint64_t mapped(Rig *r, const X86Cpu *cpu, uint64_t address)
{
    uint64_t table = cpu->cr3, entry;

    for (unsigned shift = 39; shift >= 30; shift -= 9) {
        entry = get64((uint8_t *)rig_ram(r, table) + 8 * (address >> shift & 511));
        assert_true(entry & PAGE_PRESENT);
        table = entry & ~UINT64_C(0xfff);
    }
    entry = get64((uint8_t *)rig_ram(r, table) + 8 * (address >> 21 & 511));
    assert_true((entry & PAGE_PRESENT) && (entry & LARGE_PAGE));
    return (entry & ~UINT64_C(0x1fffff)) | (address & 0x1fffff);
}

static void test_the_guest_may_ask_for_64_bit_mode(void **state)
{
    Rig *r = *state;
    const X86Cpu *cpu = wake(r, 0, 0x123456, FACS_OSPM_64BIT_WAKE);

    assert_int_equal(cpu->rip, 0x123456);
    assert_int_equal(cpu->efer, 0x500);
    assert_int_equal(cpu->cr0 & 0x80000001, 0x80000001);
    assert_int_equal(cpu->segment[X86_CS].attributes, 0xa09b);
    assert_int_equal(mapped(r, cpu, 0x123456), 0x123456);
    assert_int_equal(mapped(r, cpu, 0xfee00020), 0xfee00020);
    assert_int_equal(get64((uint8_t *)rig_ram(r, cpu->gdt.base) + cpu->segment[X86_CS].selector) >> 53 & 1, 1);
}

static void test_the_tables_that_it_needs_count_as_written(void **state)
{
    Rig *r = *state;
    uint64_t first, offset;
    RamBlock *ram = ram_block_find_host(rig_ram(r, 0), &offset);
    const X86Cpu *cpu;

    ram_dirty_enable(ram, DIRTY_MIGRATION);
    while (ram_dirty_take_run(ram, DIRTY_MIGRATION, 0, UINT64_MAX, &first)) {
    }
    cpu = wake(r, 0, 0x123456, FACS_OSPM_64BIT_WAKE);
    assert_true(ram_dirty_test(ram, DIRTY_MIGRATION, cpu->cr3, 1));
    assert_true(ram_dirty_test(ram, DIRTY_MIGRATION, cpu->gdt.base, 1));
}

static void test_no_vector_is_refused(void **state)
{
    assert_refused(*state, 0, 0, "the guest, which is reset: the guest left no waking vector");
}

static void test_a_vector_that_is_not_in_ram_is_refused(void **state)
{
    assert_refused(*state, 0, RIG_RAM, "waking vector 0x1000000 is not in RAM");
    assert_refused(*state, 0, UINT64_MAX, "waking vector 0xffffffffffffffff is not in RAM");
}

static void test_a_vector_that_real_mode_does_not_reach_is_refused(void **state)
{
    assert_refused(*state, 0x100000, 0, "waking vector 0x100000 is above what is reached there");
}

static void test_without_a_facs_there_is_no_vector(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_false(x86_boot_wake(((Rig *)*state)->domain, 0, &error));
    assert_non_null(strstr(error->message, "there are no ACPI tables"));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_vector_is_entered_in_real_mode),
        TEST(test_the_wide_vector_goes_first_in_protected_mode),
        TEST(test_the_guest_may_ask_for_64_bit_mode),
        TEST(test_the_tables_that_it_needs_count_as_written),
        TEST(test_no_vector_is_refused),
        TEST(test_a_vector_that_is_not_in_ram_is_refused),
        TEST(test_a_vector_that_real_mode_does_not_reach_is_refused),
        TEST(test_without_a_facs_there_is_no_vector),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
