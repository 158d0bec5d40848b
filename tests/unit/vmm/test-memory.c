/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map: what a tree of regions looks like from an address space, what an
 * access does there, and what listeners hear.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/epoch.h"
#include "vmm/memory.h"

#define PAGE UINT64_C(0x1000)

/* What one test works with: a space of 2^64 bytes, RAM to place in it, a device that records. */
typedef struct Fixture {
    MemoryRegion root;
    AddressSpace *as;
    RamBlock *ram;
    MemoryRegion low, io;
    GString *calls;    /* of the device and the listener */
    uint64_t answer;   /* what the device reads as */
} Fixture;

static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    Fixture *f = opaque;

    g_string_append_printf(f->calls, "r%u@%x ", size, (unsigned)offset);
    return f->answer;
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Fixture *f = opaque;

    g_string_append_printf(f->calls, "w%u@%x=%" G_GINT64_MODIFIER "x ", size, (unsigned)offset, value);
}

static const MemoryOps any_ops = { .read = io_read, .write = io_write };
static const MemoryOps dword_ops = { .read = io_read, .write = io_write, .min = 4, .max = 4 };
static const MemoryOps bytewise_ops = { .read = io_read, .write = io_write, .impl_max = 1 };
static const MemoryOps wide_ops = { .read = io_read, .write = io_write, .impl_min = 4, .unaligned = true };

static int setup(void **state)
{
    const RamBacking backing = { .kind = RAM_ANONYMOUS };
    Fixture *f = g_new0(Fixture, 1);

    epoch_thread_begin();
    memory_region_init(&f->root, "root", UINT64_MAX);
    f->as = address_space_new("memory", &f->root, false);
    f->ram = ram_block_new("ram", 16 * PAGE, &backing, NULL);
    f->calls = g_string_new(NULL);
    memory_region_init_ram(&f->low, "low", f->ram, 0, 16 * PAGE);
    memory_region_init_io(&f->io, "io", PAGE, &any_ops, f, NULL);
    *state = f;
    return f->ram ? 0 : -1;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    memory_remove(&f->low);
    memory_remove(&f->io);
    address_space_free(f->as);
    epoch_synchronize();
    memory_region_finish(&f->low);
    memory_region_finish(&f->io);
    memory_region_finish(&f->root);
    ram_block_unref(f->ram);
    g_string_free(f->calls, true);
    g_free(f);
    epoch_thread_end();
    return 0;
}

static const char *calls(Fixture *f)
{
    static char text[512];

    g_strlcpy(text, f->calls->str, sizeof(text));
    g_string_truncate(f->calls, 0);
    return text;
}

static bool append_range(const MemoryRange *r, void *opaque)
{
    g_string_append_printf(opaque, "%s:%" G_GINT64_MODIFIER "x+%" G_GINT64_MODIFIER "x@%" G_GINT64_MODIFIER "x%s%s ",
                           r->region->name, r->address, r->size, r->offset, r->readonly ? "/ro" : "",
                           r->romd ? "/romd" : "");
    return true;
}

static const char *ranges(Fixture *f)
{
    memory_each_range(f->as, append_range, f->calls);
    return calls(f);
}

/* ---- views ---- */

static void test_empty_space_reads_as_ones(void **state)
{
    Fixture *f = *state;
    uint64_t value = 0;
    uint8_t buffer[5] = { 0 };

    assert_int_equal(memory_load(f->as, 0x1234, 4, &value), MEMORY_UNASSIGNED);
    assert_int_equal(value, 0xffffffff);
    assert_int_equal(memory_read(f->as, UINT64_MAX - 4, buffer, 5), MEMORY_UNASSIGNED);
    assert_memory_equal(buffer, "\xff\xff\xff\xff\xff", 5);
    assert_int_equal(memory_store(f->as, 0x1234, 4, 0), MEMORY_UNASSIGNED);
}

static void test_higher_priority_hides_and_splits_lower(void **state)
{
    Fixture *f = *state;

    memory_add(&f->root, 0, &f->low, 0);
    memory_add(&f->root, 4 * PAGE, &f->io, 1);
    assert_string_equal(ranges(f), "low:0+4000@0 io:4000+1000@0 low:5000+b000@5000 ");
    memory_remove(&f->io);
    assert_string_equal(ranges(f), "low:0+10000@0 ");
}

static void test_lower_priority_shows_only_in_gaps(void **state)
{
    Fixture *f = *state;

    memory_add(&f->root, 15 * PAGE, &f->low, 0);
    memory_add(&f->root, 15 * PAGE - 0x800, &f->io, -1);
    assert_string_equal(ranges(f), "io:e800+800@0 low:f000+10000@0 ");
}

static void test_last_added_wins_among_equals(void **state)
{
    Fixture *f = *state;

    memory_add(&f->root, 0, &f->low, 0);
    memory_add(&f->root, 0, &f->io, 0);
    assert_string_equal(ranges(f), "io:0+1000@0 low:1000+f000@1000 ");
}

static void test_child_is_cut_to_its_container(void **state)
{
    Fixture *f = *state;
    MemoryRegion box;

    memory_region_init(&box, "box", 2 * PAGE);
    memory_add(&box, PAGE, &f->low, 0);
    memory_add(&f->root, 0x100000, &box, 0);
    assert_string_equal(ranges(f), "low:101000+1000@0 ");
    memory_remove(&f->low);
    memory_remove(&box);
    memory_region_finish(&box);
}

static void test_disabled_region_is_absent(void **state)
{
    Fixture *f = *state;

    memory_add(&f->root, 0, &f->low, 0);
    memory_set_enabled(&f->low, false);
    assert_string_equal(ranges(f), "");
    memory_set_enabled(&f->low, true);
    assert_string_equal(ranges(f), "low:0+10000@0 ");
}

static void test_moving_a_region_moves_its_range(void **state)
{
    Fixture *f = *state;

    memory_add(&f->root, 0, &f->io, 0);
    memory_set_address(&f->io, UINT64_MAX - PAGE + 1);
    assert_string_equal(ranges(f), "io:fffffffffffff000+1000@0 ");
}

static void test_alias_of_an_alias_shows_the_target(void **state)
{
    Fixture *f = *state;
    MemoryRegion inner, outer;

    memory_region_init_alias(&inner, "inner", &f->low, 2 * PAGE, 8 * PAGE);
    memory_region_init_alias(&outer, "outer", &inner, PAGE, 2 * PAGE);
    memory_add(&f->root, 0x40000, &outer, 0);
    assert_string_equal(ranges(f), "low:40000+2000@3000 ");
    memory_set_alias_offset(&outer, 7 * PAGE);
    assert_string_equal(ranges(f), "low:40000+1000@9000 ");
    memory_remove(&outer);
    memory_region_finish(&outer);
    memory_region_finish(&inner);
}

static void test_neighbouring_aliases_of_one_region_join(void **state)
{
    Fixture *f = *state;
    MemoryRegion a, b;

    memory_region_init_alias(&a, "a", &f->low, 0, 2 * PAGE);
    memory_region_init_alias(&b, "b", &f->low, 2 * PAGE, 2 * PAGE);
    memory_add(&f->root, 0, &a, 0);
    memory_add(&f->root, 2 * PAGE, &b, 0);
    assert_string_equal(ranges(f), "low:0+4000@0 ");
    memory_set_readonly(&b, true);
    assert_string_equal(ranges(f), "low:0+2000@0 low:2000+2000@2000/ro ");
    memory_remove(&a);
    memory_remove(&b);
    memory_region_finish(&a);
    memory_region_finish(&b);
}

static void test_cycle_is_refused(void **state)
{
    Fixture *f = *state;
    MemoryRegion box, back;

    memory_region_init(&box, "box", PAGE);
    memory_region_init_alias(&back, "back", &box, 0, PAGE);
    assert_false(memory_add(&box, 0, &box, 0));
    assert_false(memory_add(&box, 0, &back, 0));
    assert_false(memory_is_mapped(&back));
    assert_true(memory_add(&f->root, 0, &back, 0));
    memory_remove(&back);
    memory_region_finish(&back);
    memory_region_finish(&box);
}

static void test_region_of_whole_space_behaves(void **state)
{
    Fixture *f = *state;
    MemoryRegion all;
    uint64_t value;

    memory_region_init_io(&all, "all", UINT64_MAX, &any_ops, f, NULL);
    memory_add(&f->root, 0, &all, -10);
    memory_add(&f->root, 0, &f->io, 0);
    assert_string_equal(ranges(f), "io:0+1000@0 all:1000+fffffffffffff000@1000 ");
    memory_load(f->as, UINT64_MAX, 1, &value);
    assert_string_equal(calls(f), "r1@ffffffff ");
    memory_remove(&f->io);
    assert_string_equal(ranges(f), "all:0+ffffffffffffffff@0 ");
    memory_remove(&all);
    memory_region_finish(&all);
}

static void test_transaction_publishes_once(void **state)
{
    Fixture *f = *state;

    memory_begin();
    memory_add(&f->root, 0, &f->low, 0);
    memory_begin();
    memory_add(&f->root, 0, &f->io, 1);
    memory_commit();
    assert_string_equal(ranges(f), "");
    memory_commit();
    assert_string_equal(ranges(f), "io:0+1000@0 low:1000+f000@1000 ");
}

static void test_lookup_names_the_range(void **state)
{
    Fixture *f = *state;
    MemoryRange r;

    memory_add(&f->root, PAGE, &f->low, 0);
    assert_false(memory_lookup(f->as, PAGE - 1, &r));
    assert_true(memory_lookup(f->as, 3 * PAGE, &r));
    assert_ptr_equal(r.region, &f->low);
    assert_int_equal(r.address, PAGE);
    assert_int_equal(r.size, 16 * PAGE);
    assert_int_equal(r.offset, 0);
}

/* ---- memory ---- */

static void test_ram_keeps_what_is_written(void **state)
{
    Fixture *f = *state;
    uint8_t buffer[3] = { 0 };
    uint64_t value;

    memory_add(&f->root, 0x1000, &f->low, 0);
    assert_int_equal(memory_write(f->as, 0x1ffe, "abc", 3), MEMORY_OK);
    assert_int_equal(memory_read(f->as, 0x1ffe, buffer, 3), MEMORY_OK);
    assert_memory_equal(buffer, "abc", 3);
    assert_int_equal(memory_store(f->as, 0x1101, 8, UINT64_C(0x1122334455667788)), MEMORY_OK);
    assert_int_equal(memory_load(f->as, 0x1105, 2, &value), MEMORY_OK);
    assert_int_equal(value, 0x3344);
}

static void test_load_across_two_ranges_takes_bytes_of_both(void **state)
{
    Fixture *f = *state;
    uint64_t value;

    memory_add(&f->root, 0, &f->low, 0);
    memory_store(f->as, 16 * PAGE - 2, 2, 0x1234);
    assert_int_equal(memory_load(f->as, 16 * PAGE - 2, 4, &value), MEMORY_UNASSIGNED);
    assert_int_equal(value, 0xffff1234);
}

static void test_rom_ignores_writes(void **state)
{
    Fixture *f = *state;
    MemoryRegion rom;
    uint64_t value;

    ram_block_host(f->ram)[0] = 0x55;
    memory_region_init_rom(&rom, "rom", f->ram, 0, PAGE);
    memory_add(&f->root, 0, &rom, 0);
    assert_int_equal(memory_store(f->as, 0, 1, 0xaa), MEMORY_OK);
    assert_int_equal(memory_write(f->as, 0, "zz", 2), MEMORY_OK);
    assert_int_equal(memory_load(f->as, 0, 1, &value), MEMORY_OK);
    assert_int_equal(value, 0x55);
    assert_null(memory_ram_pointer(f->as, 0, &(uint64_t) { 1 }, true));
    assert_non_null(memory_ram_pointer(f->as, 0, &(uint64_t) { 1 }, false));
    memory_remove(&rom);
    epoch_synchronize();
    memory_region_finish(&rom);
}

static void test_a_patch_changes_rom_too(void **state)
{
    Fixture *f = *state;
    MemoryRegion rom;

    memory_region_init_rom(&rom, "rom", f->ram, PAGE, PAGE);
    memory_add(&f->root, 0, &f->low, 0);
    memory_add(&f->root, PAGE, &rom, 1);
    memory_add(&f->root, 2 * PAGE, &f->io, 1);
    memory_log_start(f->ram, DIRTY_MIGRATION);
    while (ram_dirty_take(f->ram, DIRTY_MIGRATION, PAGE)) {
    }
    assert_int_equal(memory_patch(f->as, PAGE - 2, "abcd", 4), MEMORY_OK);
    assert_memory_equal(ram_block_host(f->ram) + PAGE - 2, "abcd", 4);
    assert_true(ram_dirty_take(f->ram, DIRTY_MIGRATION, PAGE));
    assert_int_equal(memory_patch(f->as, 2 * PAGE, "a", 1), MEMORY_OK);
    assert_string_equal(calls(f), "w1@0=61 ");
    assert_int_equal(memory_patch(f->as, 64 * PAGE, "a", 1), MEMORY_UNASSIGNED);
    memory_remove(&rom);
    epoch_synchronize();
    memory_region_finish(&rom);
}

static void test_rom_device_reads_memory_and_writes_to_the_device(void **state)
{
    Fixture *f = *state;
    MemoryRegion flash;
    uint64_t value;

    ram_block_host(f->ram)[0] = 0x55;
    f->answer = 0x80;
    memory_region_init_rom_device(&flash, "flash", f->ram, &any_ops, f, NULL);
    memory_add(&f->root, 0, &flash, 0);
    memory_load(f->as, 0, 1, &value);
    assert_int_equal(value, 0x55);
    memory_store(f->as, 0, 1, 0x40);
    assert_string_equal(calls(f), "w1@0=40 ");
    memory_set_romd(&flash, false);
    memory_load(f->as, 0, 1, &value);
    assert_int_equal(value, 0x80);
    assert_string_equal(calls(f), "r1@0 ");
    memory_remove(&flash);
    epoch_synchronize();
    memory_region_finish(&flash);
}

static void test_ram_pointer_is_cut_to_what_is_contiguous(void **state)
{
    Fixture *f = *state;
    uint64_t length = 4 * PAGE;

    memory_add(&f->root, 0, &f->low, 0);
    memory_add(&f->root, 2 * PAGE, &f->io, 1);
    assert_ptr_equal(memory_ram_pointer(f->as, PAGE, &length, true), ram_block_host(f->ram) + PAGE);
    assert_int_equal(length, PAGE);
    assert_null(memory_ram_pointer(f->as, 2 * PAGE, &length, true));
}

static void test_writes_mark_pages_dirty(void **state)
{
    Fixture *f = *state;

    memory_add(&f->root, 0, &f->low, 0);
    memory_log_start(f->ram, DIRTY_MIGRATION);
    assert_true(ram_dirty_take(f->ram, DIRTY_MIGRATION, 3 * PAGE));
    assert_true(ram_dirty_take(f->ram, DIRTY_MIGRATION, 4 * PAGE));
    memory_store(f->as, 3 * PAGE, 1, 1);
    assert_true(ram_dirty_test(f->ram, DIRTY_MIGRATION, 3 * PAGE, 1));
    assert_false(ram_dirty_test(f->ram, DIRTY_MIGRATION, 4 * PAGE, PAGE));
    memory_write(f->as, 4 * PAGE - 1, "xy", 2);
    assert_true(ram_dirty_test(f->ram, DIRTY_MIGRATION, 4 * PAGE, PAGE));
    memory_log_stop(f->ram, DIRTY_MIGRATION);
}

/* ---- handlers ---- */

static void test_wide_access_is_split_for_the_handlers(void **state)
{
    Fixture *f = *state;
    MemoryRegion bytes;
    uint64_t value;

    f->answer = 0xab;
    memory_region_init_io(&bytes, "bytes", 16, &bytewise_ops, f, NULL);
    memory_add(&f->root, 0, &bytes, 0);
    memory_load(f->as, 4, 4, &value);
    assert_int_equal(value, 0xabababab);
    assert_string_equal(calls(f), "r1@4 r1@5 r1@6 r1@7 ");
    memory_store(f->as, 2, 2, 0x1234);
    assert_string_equal(calls(f), "w1@2=34 w1@3=12 ");
    memory_remove(&bytes);
    memory_region_finish(&bytes);
}

static void test_narrow_read_is_cut_out_of_a_wide_one(void **state)
{
    Fixture *f = *state;
    MemoryRegion wide;
    uint64_t value;

    f->answer = 0x44332211;
    memory_region_init_io(&wide, "wide", 16, &wide_ops, f, NULL);
    memory_add(&f->root, 0, &wide, 0);
    memory_load(f->as, 6, 1, &value);
    assert_int_equal(value, 0x33);
    assert_string_equal(calls(f), "r4@4 ");
    memory_load(f->as, 3, 2, &value);
    assert_int_equal(value, 0x1144);
    assert_string_equal(calls(f), "r4@0 r4@4 ");
    memory_store(f->as, 6, 1, 0x99);
    assert_string_equal(calls(f), "w1@6=99 ");
    memory_remove(&wide);
    memory_region_finish(&wide);
}

static void test_forbidden_size_reads_ones_and_writes_nothing(void **state)
{
    Fixture *f = *state;
    MemoryRegion dwords;
    uint64_t value;

    memory_region_init_io(&dwords, "dwords", 16, &dword_ops, f, NULL);
    memory_add(&f->root, 0, &dwords, 0);
    assert_int_equal(memory_load(f->as, 0, 1, &value), MEMORY_ACCESS_ERROR);
    assert_int_equal(value, 0xff);
    assert_int_equal(memory_load(f->as, 0, 8, &value), MEMORY_ACCESS_ERROR);
    assert_true(value == UINT64_MAX);
    assert_int_equal(memory_load(f->as, 2, 4, &value), MEMORY_ACCESS_ERROR);
    assert_int_equal(memory_store(f->as, 0, 2, 1), MEMORY_ACCESS_ERROR);
    assert_string_equal(calls(f), "");
    memory_remove(&dwords);
    memory_region_finish(&dwords);
}

static void test_buffer_is_made_of_the_widest_aligned_accesses(void **state)
{
    Fixture *f = *state;
    uint8_t buffer[11];

    memory_add(&f->root, 0, &f->io, 0);
    memory_read(f->as, 1, buffer, sizeof(buffer));
    assert_string_equal(calls(f), "r1@1 r2@2 r4@4 r4@8 ");
}

static void test_region_lock_is_held_around_handlers(void **state)
{
    Fixture *f = *state;
    MemoryRegion locked;
    uint64_t value;
    Lock lock;

    lock_init(&lock, LOCK_DEVICE, "device");
    memory_region_init_io(&locked, "locked", 16, &bytewise_ops, f, &lock);
    memory_add(&f->root, 0, &locked, 0);
    memory_load(f->as, 0, 4, &value);
    assert_string_equal(calls(f), "r1@0 r1@1 r1@2 r1@3 ");
    assert_int_equal(pthread_mutex_trylock(&lock.mutex), 0);
    pthread_mutex_unlock(&lock.mutex);
    memory_remove(&locked);
    memory_region_finish(&locked);
    lock_finish(&lock);
}

/* ---- translated regions ---- */

static MemoryTranslation translate_to_page_5(void *opaque, uint64_t address, MemoryPermission wanted)
{
    Fixture *f = opaque;

    g_string_append_printf(f->calls, "t%x ", (unsigned)address);
    return (MemoryTranslation) { 5 * PAGE, PAGE - 1, address < 2 * PAGE ? MEMORY_READ : MEMORY_NONE, f->as };
}

static void test_translated_region_goes_where_the_hook_says(void **state)
{
    Fixture *f = *state;
    MemoryRegion iommu;
    uint8_t buffer[4] = { 0 };
    uint64_t value;

    memory_region_init_translated(&iommu, "iommu", 16 * PAGE, translate_to_page_5, f);
    memory_add(&f->root, 0, &f->low, 0);
    memory_add(&f->root, 0x100000, &iommu, 0);
    memory_store(f->as, 5 * PAGE + 0x10, 2, 0xbeef);
    assert_int_equal(memory_load(f->as, 0x100010, 2, &value), MEMORY_OK);
    assert_int_equal(value, 0xbeef);
    assert_int_equal(memory_store(f->as, 0x100010, 2, 1), MEMORY_ACCESS_ERROR);
    assert_int_equal(memory_load(f->as, 0x102000, 2, &value), MEMORY_ACCESS_ERROR);
    g_string_truncate(f->calls, 0);
    assert_int_equal(memory_read(f->as, 0x100ffe, buffer, 4), MEMORY_OK);
    assert_string_equal(calls(f), "tffe t1000 ");
    memory_remove(&iommu);
    memory_region_finish(&iommu);
}

static MemoryTranslation translate_to_itself(void *opaque, uint64_t address, MemoryPermission wanted)
{
    Fixture *f = opaque;

    return (MemoryTranslation) { 0x100000, PAGE - 1, MEMORY_READ_WRITE, f->as };
}

static void test_translation_loop_ends(void **state)
{
    Fixture *f = *state;
    MemoryRegion iommu;
    uint64_t value;

    memory_region_init_translated(&iommu, "iommu", PAGE, translate_to_itself, f);
    memory_add(&f->root, 0x100000, &iommu, 0);
    assert_int_equal(memory_load(f->as, 0x100010, 2, &value), MEMORY_ACCESS_ERROR);
    assert_int_equal(memory_write(f->as, 0x100010, "abcd", 4), MEMORY_ACCESS_ERROR);
    memory_remove(&iommu);
    memory_region_finish(&iommu);
}

/* ---- doorbells ---- */

static uint64_t rings(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void test_doorbell_takes_the_matching_write(void **state)
{
    Fixture *f = *state;
    int fd = eventfd(0, EFD_NONBLOCK);
    MemoryDoorbell bell = { .offset = 0x10, .size = 2, .match = true, .data = 3, .eventfd = fd };

    memory_add(&f->root, 0, &f->io, 0);
    memory_add_doorbell(&f->io, &bell);
    memory_store(f->as, 0x10, 2, 3);
    memory_write(f->as, 0x10, "\3\0", 2);
    assert_string_equal(calls(f), "");
    assert_int_equal(rings(fd), 2);
    memory_store(f->as, 0x10, 2, 4);
    memory_store(f->as, 0x10, 4, 3);
    memory_store(f->as, 0x12, 2, 3);
    assert_string_equal(calls(f), "w2@10=4 w4@10=3 w2@12=3 ");
    assert_int_equal(rings(fd), 0);
    memory_remove_doorbell(&f->io, &bell);
    memory_store(f->as, 0x10, 2, 3);
    assert_string_equal(calls(f), "w2@10=3 ");
    close(fd);
}

static void test_doorbell_without_size_takes_any_write(void **state)
{
    Fixture *f = *state;
    int fd = eventfd(0, EFD_NONBLOCK);
    MemoryDoorbell bell = { .offset = 0x10, .eventfd = fd };

    memory_add(&f->root, 0, &f->io, 0);
    memory_add_doorbell(&f->io, &bell);
    memory_store(f->as, 0x10, 1, 77);
    memory_store(f->as, 0x10, 4, 78);
    assert_int_equal(rings(fd), 2);
    memory_remove_doorbell(&f->io, &bell);
    close(fd);
}

/* ---- listeners ---- */

typedef struct Recorder {
    MemoryListener l; /* first */
    Fixture *f;
} Recorder;

static void record(MemoryListener *l, char what, const MemoryRange *r)
{
    g_string_append_printf(((Recorder *)l)->f->calls, "%s%c%s:%x+%x ", l->name, what, r->region->name,
                           (unsigned)r->address, (unsigned)r->size);
}

static void on_begin(MemoryListener *l)
{
    g_string_append_printf(((Recorder *)l)->f->calls, "%s( ", l->name);
}

static void on_commit(MemoryListener *l)
{
    g_string_append_printf(((Recorder *)l)->f->calls, "%s) ", l->name);
}

static void on_add(MemoryListener *l, const MemoryRange *r)
{
    record(l, '+', r);
}

static void on_remove(MemoryListener *l, const MemoryRange *r)
{
    record(l, '-', r);
}

static void on_keep(MemoryListener *l, const MemoryRange *r)
{
    record(l, '=', r);
}

static void on_log_start(MemoryListener *l, const MemoryRange *r)
{
    record(l, 'L', r);
}

static void on_log_stop(MemoryListener *l, const MemoryRange *r)
{
    record(l, 'S', r);
}

static void on_log_sync(MemoryListener *l, const MemoryRange *r)
{
    record(l, 'Y', r);
}

static void on_bell_add(MemoryListener *l, uint64_t address, const MemoryDoorbell *d)
{
    g_string_append_printf(((Recorder *)l)->f->calls, "%s!%x=%x ", l->name, (unsigned)address, (unsigned)d->data);
}

static void on_bell_remove(MemoryListener *l, uint64_t address, const MemoryDoorbell *d)
{
    g_string_append_printf(((Recorder *)l)->f->calls, "%s?%x=%x ", l->name, (unsigned)address, (unsigned)d->data);
}

static Recorder recorder(Fixture *f, const char *name, int priority)
{
    return (Recorder) {
        .l = { .name = name, .priority = priority, .begin = on_begin, .add = on_add, .remove = on_remove,
               .keep = on_keep, .doorbell_add = on_bell_add, .doorbell_remove = on_bell_remove, .commit = on_commit,
               .log_start = on_log_start, .log_stop = on_log_stop, .log_sync = on_log_sync },
        .f = f,
    };
}

static void test_listener_hears_the_present_view_first(void **state)
{
    Fixture *f = *state;
    Recorder a = recorder(f, "a", 0);

    memory_add(&f->root, 0, &f->io, 0);
    memory_listener_add(&a.l, f->as);
    assert_string_equal(calls(f), "a( a+io:0+1000 a) ");
    memory_listener_remove(&a.l);
    memory_remove(&f->io);
    assert_string_equal(calls(f), "");
}

static void test_listener_hears_only_what_changed(void **state)
{
    Fixture *f = *state;
    Recorder a = recorder(f, "a", 0);

    memory_listener_add(&a.l, f->as);
    memory_add(&f->root, 0x20000, &f->low, 0);
    calls(f);
    memory_add(&f->root, 0, &f->io, 0);
    assert_string_equal(calls(f), "a( a+io:0+1000 a=low:20000+10000 a) ");
    memory_set_address(&f->io, PAGE);
    assert_string_equal(calls(f), "a( a-io:0+1000 a+io:1000+1000 a=low:20000+10000 a) ");
    memory_begin();
    memory_set_address(&f->io, 0);
    memory_set_address(&f->io, PAGE);
    memory_commit();
    assert_string_equal(calls(f), "");
    memory_listener_remove(&a.l);
}

static void test_removals_go_down_the_priorities_and_additions_up(void **state)
{
    Fixture *f = *state;
    Recorder a = recorder(f, "a", 1), b = recorder(f, "b", 2);

    memory_listener_add(&b.l, f->as);
    memory_listener_add(&a.l, f->as);
    memory_add(&f->root, 0, &f->io, 0);
    calls(f);
    memory_set_address(&f->io, PAGE);
    assert_string_equal(calls(f), "a( b( b-io:0+1000 a-io:0+1000 a+io:1000+1000 b+io:1000+1000 a) b) ");
    memory_listener_remove(&a.l);
    memory_listener_remove(&b.l);
}

static void test_listener_hears_doorbells_where_they_are_seen(void **state)
{
    Fixture *f = *state;
    Recorder a = recorder(f, "a", 0);
    MemoryDoorbell bell = { .offset = 0x10, .size = 2, .match = true, .data = 7, .eventfd = 0 };

    memory_add_doorbell(&f->io, &bell);
    memory_listener_add(&a.l, f->as);
    memory_add(&f->root, PAGE, &f->io, 0);
    assert_string_equal(calls(f), "a( a) a( a+io:1000+1000 a!1010=7 a) ");
    memory_set_address(&f->io, 2 * PAGE);
    assert_string_equal(calls(f), "a( a?1010=7 a-io:1000+1000 a+io:2000+1000 a!2010=7 a) ");
    memory_remove_doorbell(&f->io, &bell);
    assert_string_equal(calls(f), "a( a?2010=7 a=io:2000+1000 a) ");
    memory_listener_remove(&a.l);
}

static void test_readonly_change_replaces_the_range(void **state)
{
    Fixture *f = *state;
    Recorder a = recorder(f, "a", 0);

    memory_add(&f->root, 0, &f->low, 0);
    memory_listener_add(&a.l, f->as);
    calls(f);
    memory_set_readonly(&f->low, true);
    assert_string_equal(calls(f), "a( a-low:0+10000 a+low:0+10000 a) ");
    memory_listener_remove(&a.l);
}

static void test_logging_reaches_listeners_once_for_all_clients(void **state)
{
    Fixture *f = *state;
    Recorder a = recorder(f, "a", 0);

    memory_add(&f->root, 0, &f->low, 0);
    memory_listener_add(&a.l, f->as);
    calls(f);
    memory_log_start(f->ram, DIRTY_MIGRATION);
    assert_string_equal(calls(f), "aLlow:0+10000 ");
    memory_log_start(f->ram, DIRTY_DISPLAY);
    assert_string_equal(calls(f), "");
    memory_log_sync(f->ram);
    assert_string_equal(calls(f), "aYlow:0+10000 ");
    memory_set_address(&f->low, PAGE);
    assert_string_equal(calls(f), "a( aYlow:0+10000 a-low:0+10000 a+low:1000+10000 aLlow:1000+10000 a) ");
    memory_log_stop(f->ram, DIRTY_MIGRATION);
    assert_string_equal(calls(f), "");
    memory_log_stop(f->ram, DIRTY_DISPLAY);
    assert_string_equal(calls(f), "aSlow:1000+10000 ");
    memory_listener_remove(&a.l);
}

/* ---- dump ---- */

static void test_dump_shows_the_tree(void **state)
{
    Fixture *f = *state;

    memory_add(&f->root, 0x1000, &f->io, 3);
    memory_set_enabled(&f->io, false);
    memory_dump_tree(&f->as, 1, true, f->calls);
    assert_string_equal(calls(f), "address-space: memory\n"
                                  "  0000000000000000-ffffffffffffffff (prio 0, i/o): root\n"
                                  "    0000000000001000-0000000000001fff (prio 3, i/o): io [disabled]\n\n");
    memory_dump_tree(&f->as, 1, false, f->calls);
    assert_string_equal(calls(f), "address-space: memory\n  0000000000000000-ffffffffffffffff (prio 0, i/o): root\n\n");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_empty_space_reads_as_ones),
        TEST(test_higher_priority_hides_and_splits_lower),
        TEST(test_lower_priority_shows_only_in_gaps),
        TEST(test_last_added_wins_among_equals),
        TEST(test_child_is_cut_to_its_container),
        TEST(test_disabled_region_is_absent),
        TEST(test_moving_a_region_moves_its_range),
        TEST(test_alias_of_an_alias_shows_the_target),
        TEST(test_neighbouring_aliases_of_one_region_join),
        TEST(test_cycle_is_refused),
        TEST(test_region_of_whole_space_behaves),
        TEST(test_transaction_publishes_once),
        TEST(test_lookup_names_the_range),
        TEST(test_ram_keeps_what_is_written),
        TEST(test_load_across_two_ranges_takes_bytes_of_both),
        TEST(test_rom_ignores_writes),
        TEST(test_a_patch_changes_rom_too),
        TEST(test_rom_device_reads_memory_and_writes_to_the_device),
        TEST(test_ram_pointer_is_cut_to_what_is_contiguous),
        TEST(test_writes_mark_pages_dirty),
        TEST(test_wide_access_is_split_for_the_handlers),
        TEST(test_narrow_read_is_cut_out_of_a_wide_one),
        TEST(test_forbidden_size_reads_ones_and_writes_nothing),
        TEST(test_buffer_is_made_of_the_widest_aligned_accesses),
        TEST(test_region_lock_is_held_around_handlers),
        TEST(test_translated_region_goes_where_the_hook_says),
        TEST(test_translation_loop_ends),
        TEST(test_doorbell_takes_the_matching_write),
        TEST(test_doorbell_without_size_takes_any_write),
        TEST(test_listener_hears_the_present_view_first),
        TEST(test_listener_hears_only_what_changed),
        TEST(test_removals_go_down_the_priorities_and_additions_up),
        TEST(test_listener_hears_doorbells_where_they_are_seen),
        TEST(test_readonly_change_replaces_the_range),
        TEST(test_logging_reaches_listeners_once_for_all_clients),
        TEST(test_dump_shows_the_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
