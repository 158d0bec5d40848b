/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA: what a device reaches, what it is refused, and what a mapping holds on to.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/dma.h"
#include "vmm/epoch.h"

#define PAGE UINT64_C(0x1000)

/* RAM at 0 and at 0x100000 (two parts of one block), ROM at 0x200000, a device at 0x300000. */
typedef struct Fixture {
    MemoryRegion root, low, high, rom, io;
    AddressSpace *as;
    RamBlock *ram;
    DmaSpace dma;
} Fixture;

static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    fail_msg("DMA reached a device");
    return 0;
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    fail_msg("DMA reached a device");
}

static const MemoryOps io_ops = { .read = io_read, .write = io_write };

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    epoch_thread_begin();
    f->ram = ram_block_new("ram", 16 * PAGE, &(RamBacking) { .kind = RAM_ANONYMOUS }, NULL);
    memory_region_init(&f->root, "root", UINT64_MAX);
    memory_region_init_ram(&f->low, "low", f->ram, 0, 4 * PAGE);
    memory_region_init_ram(&f->high, "high", f->ram, 4 * PAGE, 4 * PAGE);
    memory_region_init_rom(&f->rom, "rom", f->ram, 8 * PAGE, PAGE);
    memory_region_init_io(&f->io, "io", PAGE, &io_ops, f, NULL);
    f->as = address_space_new("memory", &f->root, false);
    memory_add(&f->root, 0, &f->low, 0);
    memory_add(&f->root, 0x100000, &f->high, 0);
    memory_add(&f->root, 0x200000, &f->rom, 0);
    memory_add(&f->root, 0x300000, &f->io, 0);
    dma_space_init(&f->dma, f->as);
    dma_space_set_enabled(&f->dma, true);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    memory_remove(&f->low);
    memory_remove(&f->high);
    memory_remove(&f->rom);
    memory_remove(&f->io);
    address_space_free(f->as);
    epoch_synchronize();
    memory_region_finish(&f->low);
    memory_region_finish(&f->high);
    memory_region_finish(&f->rom);
    memory_region_finish(&f->io);
    memory_region_finish(&f->root);
    ram_block_unref(f->ram);
    g_free(f);
    epoch_thread_end();
    return 0;
}

static void test_what_is_written_is_read(void **state)
{
    Fixture *f = *state;
    char buffer[4] = "";

    assert_int_equal(dma_write(&f->dma, 0x0fff, "abc", 4), 0);
    assert_int_equal(dma_read(&f->dma, 0x0fff, buffer, 4), 0);
    assert_string_equal(buffer, "abc");
    assert_int_equal(dma_read(&f->dma, 0x5000, buffer, 0), 0);
}

static void test_without_bus_mastering_nothing_is_reached(void **state)
{
    Fixture *f = *state;
    char c = 'x';
    DmaMapping m;

    dma_space_set_enabled(&f->dma, false);
    assert_int_equal(dma_read(&f->dma, 0, &c, 1), -EFAULT);
    assert_int_equal(dma_write(&f->dma, 0, &c, 1), -EFAULT);
    assert_false(dma_map(&f->dma, 0, 1, DMA_FROM_GUEST, &m));
    assert_int_equal(ram_block_host(f->ram)[0], 0);
}

static void test_range_that_leaves_ram_fails(void **state)
{
    Fixture *f = *state;
    char buffer[8] = "";

    assert_int_equal(dma_read(&f->dma, 4 * PAGE - 4, buffer, 8), -EFAULT);
    assert_int_equal(dma_read(&f->dma, UINT64_MAX - 1, buffer, 8), -EFAULT);
    assert_int_equal(dma_write(&f->dma, 0x500000, buffer, 1), -EFAULT);
}

static void test_dma_never_reaches_a_device(void **state)
{
    Fixture *f = *state;
    char buffer[8] = "";

    assert_int_equal(dma_read(&f->dma, 0x300000, buffer, 8), -EFAULT);
    assert_int_equal(dma_write(&f->dma, 0x300000, buffer, 8), -EFAULT);
}

static void test_rom_can_be_read_only(void **state)
{
    Fixture *f = *state;
    char c = 'x';

    ram_block_host(f->ram)[8 * PAGE] = 'r';
    assert_int_equal(dma_read(&f->dma, 0x200000, &c, 1), 0);
    assert_int_equal(c, 'r');
    assert_int_equal(dma_write(&f->dma, 0x200000, &c, 1), -EFAULT);
}

static void test_write_marks_pages_dirty(void **state)
{
    Fixture *f = *state;

    ram_dirty_enable(f->ram, DIRTY_MIGRATION);
    ram_dirty_take(f->ram, DIRTY_MIGRATION, 5 * PAGE);
    assert_int_equal(dma_write(&f->dma, 0x101000, "x", 1), 0);
    assert_true(ram_dirty_take(f->ram, DIRTY_MIGRATION, 5 * PAGE));
}

static void test_mapping_is_cut_to_what_is_contiguous(void **state)
{
    Fixture *f = *state;
    DmaMapping m;

    assert_true(dma_map(&f->dma, 3 * PAGE, UINT64_MAX, DMA_FROM_GUEST, &m));
    assert_int_equal(m.length, PAGE);
    assert_ptr_equal(m.host, ram_block_host(f->ram) + 3 * PAGE);
    dma_unmap(&m, 0);
    assert_null(m.block);
    dma_unmap(&m, 0);
    assert_false(dma_map(&f->dma, 0, 0, DMA_FROM_GUEST, &m));
}

static void test_unmapping_marks_what_was_written(void **state)
{
    Fixture *f = *state;
    DmaMapping m;

    assert_true(dma_map(&f->dma, 0, 3 * PAGE, DMA_TO_GUEST, &m));
    ram_dirty_enable(f->ram, DIRTY_MIGRATION);
    ram_dirty_take(f->ram, DIRTY_MIGRATION, 0);
    ram_dirty_take(f->ram, DIRTY_MIGRATION, PAGE);
    ram_dirty_take(f->ram, DIRTY_MIGRATION, 2 * PAGE);
    dma_unmap(&m, PAGE + 1);
    assert_true(ram_dirty_take(f->ram, DIRTY_MIGRATION, 0));
    assert_true(ram_dirty_take(f->ram, DIRTY_MIGRATION, PAGE));
    assert_false(ram_dirty_take(f->ram, DIRTY_MIGRATION, 2 * PAGE));
}

static void test_mapping_outlives_the_region(void **state)
{
    Fixture *f = *state;
    RamBlock *extra = ram_block_new("extra", PAGE, &(RamBacking) { .kind = RAM_ANONYMOUS }, NULL);
    MemoryRegion mr;
    DmaMapping m;

    memory_region_init_ram(&mr, "extra", extra, 0, PAGE);
    memory_add(&f->root, 0x800000, &mr, 0);
    assert_true(dma_map(&f->dma, 0x800000, PAGE, DMA_TO_GUEST, &m));
    memory_remove(&mr);
    epoch_synchronize();
    memory_region_finish(&mr);
    ram_block_unref(extra);
    memset(m.host, 0x77, PAGE); /* still there */
    dma_unmap(&m, PAGE);
}

static MemoryTranslation swap_pages(void *opaque, uint64_t address, MemoryPermission wanted)
{
    Fixture *f = opaque;

    return (MemoryTranslation) { (address & ~(PAGE - 1)) ^ PAGE, PAGE - 1, MEMORY_READ, f->as };
}

static void test_iommu_translates_every_page_and_checks_permission(void **state)
{
    Fixture *f = *state;
    char buffer[4] = "";

    memcpy(ram_block_host(f->ram) + 2 * PAGE - 2, "ab", 2);
    memcpy(ram_block_host(f->ram), "cd", 2);
    f->dma.translate = swap_pages;
    f->dma.opaque = f;
    assert_int_equal(dma_read(&f->dma, PAGE - 2, buffer, 4), 0);
    assert_memory_equal(buffer, "abcd", 4);
    assert_int_equal(dma_write(&f->dma, 0, "x", 1), -EFAULT);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_written_is_read),
        TEST(test_without_bus_mastering_nothing_is_reached),
        TEST(test_range_that_leaves_ram_fails),
        TEST(test_dma_never_reaches_a_device),
        TEST(test_rom_can_be_read_only),
        TEST(test_write_marks_pages_dirty),
        TEST(test_mapping_is_cut_to_what_is_contiguous),
        TEST(test_unmapping_marks_what_was_written),
        TEST(test_mapping_outlives_the_region),
        TEST(test_iommu_translates_every_page_and_checks_permission),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
