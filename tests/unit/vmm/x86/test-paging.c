/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/x86/paging.c: each form of page tables, in RAM that a test fills. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/bytes.h"
#include "vmm/epoch.h"
#include "vmm/x86/paging.h"

#define RAM_SIZE 0x10000
#define CR0_PG   (UINT64_C(1) << 31)
#define CR4_PSE  0x10
#define CR4_PAE  0x20
#define CR4_LA57 0x1000
#define EFER_LMA 0x400
#define PRESENT  1
#define LARGE    0x80

typedef struct Fixture {
    MemoryRegion root, low;
    AddressSpace *as;
    RamBlock *ram;
    X86Cpu cpu;
} Fixture;

static int setup(void **state)
{
    const RamBacking backing = { .kind = RAM_ANONYMOUS };
    Fixture *f = g_new0(Fixture, 1);

    epoch_thread_begin();
    memory_region_init(&f->root, "root", UINT64_MAX);
    f->as = address_space_new("memory", &f->root, false);
    f->ram = ram_block_new("ram", RAM_SIZE, &backing, NULL);
    memory_region_init_ram(&f->low, "low", f->ram, 0, RAM_SIZE);
    memory_add(&f->root, 0, &f->low, 0);
    f->cpu.cr0 = CR0_PG;
    f->cpu.cr3 = 0x1000;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    memory_remove(&f->low);
    memory_region_finish(&f->low);
    address_space_free(f->as);
    memory_region_finish(&f->root);
    ram_block_unref(f->ram);
    epoch_thread_end();
    g_free(f);
    return 0;
}

static void entry64(Fixture *f, uint64_t table, unsigned n, uint64_t value)
{
    put64(ram_block_host(f->ram) + table + 8 * n, value);
}

static void entry32(Fixture *f, uint64_t table, unsigned n, uint32_t value)
{
    put32(ram_block_host(f->ram) + table + 4 * n, value);
}

static void assert_at(Fixture *f, uint64_t linear, uint64_t wanted)
{
    uint64_t gpa = ~wanted;

    assert_true(x86_translate(&f->cpu, f->as, linear, &gpa));
    assert_int_equal(gpa, wanted);
}

static void assert_nowhere(Fixture *f, uint64_t linear)
{
    uint64_t gpa = 1;

    assert_false(x86_translate(&f->cpu, f->as, linear, &gpa));
    assert_int_equal(gpa, 1);
}

static void test_without_paging_addresses_have_32_bits(void **state)
{
    Fixture *f = *state;

    f->cpu.cr0 = 0;
    assert_at(f, 0x1234567812345678, 0x12345678);
}

static void test_4_levels(void **state)
{
    Fixture *f = *state;

    f->cpu.cr4 = CR4_PAE;
    f->cpu.efer = EFER_LMA;
    entry64(f, 0x1000, 511, 0x2000 | PRESENT);
    entry64(f, 0x2000, 510, 0x3000 | PRESENT);
    entry64(f, 0x2000, 511, 0x4c0000000 | PRESENT | LARGE);
    entry64(f, 0x3000, 8, 0x4000 | PRESENT);
    entry64(f, 0x3000, 9, 0x800a00000 | PRESENT | LARGE | 0x1000 /* PAT */);
    entry64(f, 0x4000, 1, UINT64_C(0x8000000000055000) | PRESENT);
    assert_at(f, 0xffffffff81001234, 0x55234);
    assert_at(f, 0xffffffff81234567, 0x800a34567);
    assert_at(f, 0xffffffffc1234567, 0x4c1234567);
    assert_nowhere(f, 0xffffffff81002000); /* no entry */
    assert_nowhere(f, 0x0000ffff81001234); /* not canonical */
    assert_nowhere(f, 0);
}

static void test_5_levels(void **state)
{
    Fixture *f = *state;

    f->cpu.cr4 = CR4_PAE | CR4_LA57;
    f->cpu.efer = EFER_LMA;
    entry64(f, 0x1000, 256, 0x2000 | PRESENT);
    entry64(f, 0x2000, 0, 0x3000 | PRESENT);
    entry64(f, 0x3000, 0, 0x40000000 | PRESENT | LARGE);
    assert_at(f, 0xff00000000000042, 0x40000042);
    assert_nowhere(f, 0x0100000000000042);
}

static void test_pae_goes_by_its_registers_or_by_memory(void **state)
{
    Fixture *f = *state;

    f->cpu.cr3 = 0x1020;
    f->cpu.cr4 = CR4_PAE;
    entry64(f, 0x1020, 3, 0x2000 | PRESENT);
    entry64(f, 0x2000, 1, 0x100000000 | PRESENT | LARGE);
    entry64(f, 0x3000, 1, 0x4000 | PRESENT);
    entry64(f, 0x4000, 0, 0x7000 | PRESENT);
    assert_at(f, 0xc0201234, 0x100001234);
    f->cpu.pdptrs_valid = true;
    f->cpu.pdptr[3] = 0x3000 | PRESENT;
    assert_at(f, 0xc0200234, 0x7234);
    assert_nowhere(f, 0x00200234);
}

static void test_32_bit_paging_and_its_large_pages(void **state)
{
    Fixture *f = *state;

    entry32(f, 0x1000, 768, 0x2000 | PRESENT);
    entry32(f, 0x1000, 769, 0x00c02000 | PRESENT | LARGE); /* bits 20-13: 36-bit address 0x100c00000 */
    entry32(f, 0x2000, 1, 0x9000 | PRESENT);
    assert_at(f, 0xc0001abc, 0x9abc);
    assert_nowhere(f, 0xc0002000);
    f->cpu.cr4 = CR4_PSE;
    assert_at(f, 0xc0412345, 0x100c12345);
}

static void test_tables_outside_of_memory_map_nothing(void **state)
{
    Fixture *f = *state;

    f->cpu.cr4 = CR4_PAE;
    f->cpu.efer = EFER_LMA;
    f->cpu.cr3 = 0x7ffffffff000;
    assert_nowhere(f, 0);
}

/* ---- every page ---- */

typedef struct Pages {
    GString *text; /* "linear>gpa+size rights\n" of each */
    unsigned left;
} Pages;

static bool add_page(const X86Mapping *m, void *opaque)
{
    Pages *p = opaque;

    g_string_append_printf(p->text, "%" PRIx64 ">%" PRIx64 "+%" PRIx64 " %s%s\n", m->linear, m->gpa, m->size,
                           m->user ? "u" : "", m->writable ? "w" : "");
    return --p->left > 0;
}

static void assert_pages(Fixture *f, const char *wanted)
{
    Pages p = { g_string_new(NULL), 100 };

    assert_true(x86_paging_each(&f->cpu, f->as, 100, add_page, &p));
    assert_string_equal(p.text->str, wanted);
    g_string_free(p.text, TRUE);
}

#define WRITABLE 2
#define USER     4

static void test_each_page_of_4_levels_has_the_rights_of_all_levels(void **state)
{
    Fixture *f = *state;

    f->cpu.cr4 = CR4_PAE;
    f->cpu.efer = EFER_LMA;
    entry64(f, 0x1000, 0, 0x2000 | PRESENT | WRITABLE);
    entry64(f, 0x2000, 1, 0x40000000 | PRESENT | LARGE | WRITABLE | USER);
    entry64(f, 0x1000, 511, 0x3000 | PRESENT | WRITABLE | USER);
    entry64(f, 0x3000, 511, 0x4000 | PRESENT | USER);
    entry64(f, 0x4000, 0, 0x600000 | PRESENT | LARGE | WRITABLE | USER);
    entry64(f, 0x4000, 1, 0x5000 | PRESENT | WRITABLE | USER);
    entry64(f, 0x5000, 511, 0x7000 | PRESENT | WRITABLE | USER);
    assert_pages(f, "40000000>40000000+40000000 w\n"
                    "ffffffffc0000000>600000+200000 u\n"
                    "ffffffffc03ff000>7000+1000 u\n");
}

static void test_each_page_of_32_bit_and_pae_paging(void **state)
{
    Fixture *f = *state;

    f->cpu.cr4 = CR4_PSE;
    entry32(f, 0x1000, 768, 0x2000 | PRESENT | WRITABLE);
    entry32(f, 0x1000, 769, 0x00c02000 | PRESENT | LARGE | USER);
    entry32(f, 0x2000, 1, 0x9000 | PRESENT | WRITABLE | USER);
    assert_pages(f, "c0001000>9000+1000 w\nc0400000>100c00000+400000 u\n");
    f->cpu.cr4 = CR4_PAE;
    f->cpu.pdptrs_valid = true;
    f->cpu.pdptr[3] = 0x3000 | PRESENT;
    entry64(f, 0x3000, 2, 0x800000 | PRESENT | LARGE | WRITABLE);
    assert_pages(f, "c0400000>800000+200000 w\n");
}

/* Tables that name themselves map 2^36 pages. */
static void test_the_walk_is_bounded(void **state)
{
    Fixture *f = *state;
    Pages p = { g_string_new(NULL), 1000000 };

    f->cpu.cr4 = CR4_PAE;
    f->cpu.efer = EFER_LMA;
    for (unsigned i = 0; i < 512; i++) {
        entry64(f, 0x1000, i, 0x1000 | PRESENT);
    }
    assert_false(x86_paging_each(&f->cpu, f->as, 10, add_page, &p));
    assert_int_equal(p.left, 1000000 - 7 * 512); /* of ten tables the first three are not of the last level */
    p.left = 5;
    assert_false(x86_paging_each(&f->cpu, f->as, 100, add_page, &p));
    assert_int_equal(p.left, 0);
    g_string_free(p.text, TRUE);
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_paging_addresses_have_32_bits),
        TEST(test_4_levels),
        TEST(test_5_levels),
        TEST(test_pae_goes_by_its_registers_or_by_memory),
        TEST(test_32_bit_paging_and_its_large_pages),
        TEST(test_tables_outside_of_memory_map_nothing),
        TEST(test_each_page_of_4_levels_has_the_rights_of_all_levels),
        TEST(test_each_page_of_32_bit_and_pae_paging),
        TEST(test_the_walk_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
