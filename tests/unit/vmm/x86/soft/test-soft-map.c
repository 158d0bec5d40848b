/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map as vCPUs see it: RAM that moves, partial pages, ROM; the dirty log; and
 * writes by others than the CPU.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <sched.h>

#include <cmocka.h>

#include "mmu-rig.h"
#include "vmm/epoch.h"

#define PAGE   UINT64_C(0x1000)
#define EXTRA  UINT64_C(0x20000000) /* where tests place more memory */

/* Physical addresses are used as they are: 32-bit mode without paging. */
static int setup(void **state)
{
    SoftRig *rig = mmu_rig_new();

    soft_rig_enter_32(rig);
    rig->cpu->efer = 0;
    mmu_changed(rig);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    mmu_rig_free(*state);
    return 0;
}

static RamBlock *block_new(const char *id, uint64_t size)
{
    const RamBacking backing = { .kind = RAM_ANONYMOUS };

    return ram_block_new(id, size, &backing, NULL);
}

static uint64_t read_at(SoftRig *rig, uint64_t address)
{
    uint64_t value = 0;

    assert_null(mmu_load(rig, address, 8, 0, &value));
    return value;
}

/* A change of the map, as a device makes it: the vCPU is outside. */
static void map(SoftRig *rig, uint64_t address, MemoryRegion *mr, int priority)
{
    soft_outside_begin(rig->cpu);
    memory_add(&rig->root, address, mr, priority);
    soft_outside_end(rig->cpu);
}

static void unmap(SoftRig *rig, MemoryRegion *mr)
{
    soft_outside_begin(rig->cpu);
    memory_remove(mr);
    soft_outside_end(rig->cpu);
}

/* Out of the map, and out of every old view of it. */
static void region_end(SoftRig *rig, MemoryRegion *mr)
{
    soft_outside_begin(rig->cpu);
    memory_remove(mr);
    epoch_synchronize();
    memory_region_finish(mr);
    soft_outside_end(rig->cpu);
}

/* ---- maps ---- */

static void test_ram_that_moves_is_found_at_its_new_place(void **state)
{
    SoftRig *rig = *state;
    MemoryRegion mr;

    memory_region_init_alias(&mr, "window", &rig->ram, FRAME, 2 * PAGE);
    mmu_put64(rig, FRAME + PAGE, 1);
    map(rig, EXTRA, &mr, 0);
    assert_int_equal(read_at(rig, EXTRA + PAGE), 1);
    soft_outside_begin(rig->cpu);
    memory_set_address(&mr, EXTRA + PAGE);
    soft_outside_end(rig->cpu);
    assert_int_equal(read_at(rig, EXTRA + PAGE), 0);
    assert_int_equal(read_at(rig, EXTRA + 2 * PAGE), 1);
    assert_int_equal(read_at(rig, EXTRA), UINT64_MAX);
    region_end(rig, &mr);
}

static void test_a_device_over_ram_is_seen_at_once(void **state)
{
    SoftRig *rig = *state;

    mmu_put64(rig, FRAME, 1);
    assert_int_equal(read_at(rig, FRAME), 1);
    rig->device_value = 2;
    soft_outside_begin(rig->cpu);
    memory_remove(&rig->device);
    memory_add(&rig->root, FRAME, &rig->device, 1);
    soft_outside_end(rig->cpu);
    assert_int_equal(read_at(rig, FRAME), 2);
    unmap(rig, &rig->device);
    assert_int_equal(read_at(rig, FRAME), 1);
}

static void test_devices_that_move_flush_nothing(void **state)
{
    SoftRig *rig = *state;
    uint64_t requests = rig->cpu->count[COUNT_REQUESTS];

    soft_outside_begin(rig->cpu);
    memory_set_address(&rig->device, RIG_DEVICE + 0x100000);
    soft_outside_end(rig->cpu);
    assert_int_equal(rig->cpu->count[COUNT_REQUESTS], requests);
}

static void test_a_partial_page_is_reached_as_a_device(void **state)
{
    SoftRig *rig = *state;
    const uint8_t *code;
    MemoryRegion mr;

    memory_region_init_alias(&mr, "window", &rig->ram, FRAME, PAGE + 0x800);
    map(rig, EXTRA, &mr, 0);
    mmu_put64(rig, FRAME + PAGE + 0x7f8, 5);
    assert_int_equal(read_at(rig, EXTRA + PAGE + 0x7f8), 5);
    assert_int_equal(rig->cpu->count[COUNT_MMIO], 1);
    assert_int_equal(read_at(rig, EXTRA + PAGE + 0x800), UINT64_MAX);
    assert_null(mmu_store(rig, EXTRA + PAGE, 4, 6, 0));
    assert_int_equal(mmu_get64(rig, FRAME + PAGE), 6);
    assert_null(mmu_fetch(rig, EXTRA + PAGE, &code));
    assert_null(code);
    assert_int_equal(read_at(rig, EXTRA), 0);
    assert_int_equal(rig->cpu->count[COUNT_MMIO], 3);
    region_end(rig, &mr);
}

static void test_ram_at_an_odd_offset_is_reached_as_a_device(void **state)
{
    SoftRig *rig = *state;
    MemoryRegion mr;

    memory_region_init_alias(&mr, "window", &rig->ram, FRAME + 0x800, PAGE);
    map(rig, EXTRA, &mr, 0);
    mmu_put64(rig, FRAME + 0x810, 5);
    assert_int_equal(read_at(rig, EXTRA + 0x10), 5);
    assert_int_equal(rig->cpu->count[COUNT_MMIO], 1);
    region_end(rig, &mr);
}

static void test_rom_is_read_in_place_and_keeps_its_bytes(void **state)
{
    SoftRig *rig = *state;
    RamBlock *block = block_new("rom", 2 * PAGE);
    const uint8_t *code;
    MemoryRegion mr;
    void *to;

    ram_block_host(block)[PAGE] = 0x90;
    memory_region_init_rom(&mr, "rom", block, 0, 2 * PAGE);
    map(rig, EXTRA, &mr, 0);
    assert_null(mmu_fetch(rig, EXTRA + PAGE, &code));
    assert_ptr_equal(code, ram_block_host(block) + PAGE);
    assert_int_equal(read_at(rig, EXTRA + PAGE), 0x90);
    assert_null(mmu_store(rig, EXTRA + PAGE, 8, 0, 0));
    assert_null(mmu_write_begin(rig, EXTRA + PAGE - 4, 8, true, true, &to));
    assert_int_equal(((uint8_t *)to)[4], 0x90);
    memset(to, 0, 8);
    soft_write_end(rig->cpu);
    assert_int_equal(read_at(rig, EXTRA + PAGE), 0x90);
    region_end(rig, &mr);
    ram_block_unref(block);
}

static uint64_t flash_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0xf1a5;
}

static void flash_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    *(uint64_t *)opaque = value;
}

static void test_a_rom_device_takes_stores_itself(void **state)
{
    static const MemoryOps ops = { .read = flash_read, .write = flash_write };
    SoftRig *rig = *state;
    RamBlock *block = block_new("flash", PAGE);
    uint64_t command = 0;
    MemoryRegion mr;

    memory_region_init_rom_device(&mr, "flash", block, &ops, &command, NULL);
    map(rig, EXTRA, &mr, 0);
    ram_block_host(block)[0] = 7;
    assert_int_equal(read_at(rig, EXTRA), 7);
    assert_null(mmu_store(rig, EXTRA, 2, 0x70, 0));
    assert_int_equal(command, 0x70);
    soft_outside_begin(rig->cpu);
    memory_set_romd(&mr, false);
    soft_outside_end(rig->cpu);
    assert_int_equal(read_at(rig, EXTRA), 0xf1a5);
    region_end(rig, &mr);
    ram_block_unref(block);
}

static void test_memory_that_is_taken_out_is_let_go(void **state)
{
    SoftRig *rig = *state;
    RamBlock *block = block_new("dimm", PAGE);
    MemoryRegion mr;

    memory_region_init_ram(&mr, "dimm", block, 0, PAGE);
    map(rig, EXTRA, &mr, 0);
    assert_true(ram_is_watched(block));
    assert_null(mmu_store(rig, EXTRA, 8, 1, 0));
    unmap(rig, &mr);
    assert_int_equal(read_at(rig, EXTRA), UINT64_MAX);
    assert_false(ram_is_watched(block));
    assert_null(soft_page_flags(rig->vm, ram_block_host(block)));
    region_end(rig, &mr);
    ram_block_unref(block);
    block = block_new("dimm", PAGE); /* the last reference is gone, so its name is free */
    assert_non_null(block);
    ram_block_unref(block);
}

static void test_system_management_mode_has_a_map_of_its_own(void **state)
{
    SoftRig *rig = *state;
    RamBlock *block = block_new("smram", PAGE);
    MemoryRegion root, low, smram;
    AddressSpace *smm;

    memory_region_init(&root, "smm", UINT64_MAX);
    memory_region_init_alias(&low, "memory", &rig->root, 0, UINT64_MAX);
    memory_region_init_ram(&smram, "smram", block, 0, PAGE);
    memory_add(&root, 0, &low, 0);
    memory_add(&root, FRAME, &smram, 1);
    smm = address_space_new("smm", &root, false);
    soft_outside_begin(rig->cpu);
    soft_vm_set_smm(rig->vm, smm);
    soft_outside_end(rig->cpu);
    mmu_put64(rig, FRAME, 1);
    ram_block_host(block)[0] = 2;
    assert_int_equal(read_at(rig, FRAME), 1);
    rig->cpu->in_smm = true;
    mmu_changed(rig);
    assert_int_equal(read_at(rig, FRAME), 2);
    rig->device_value = 3;
    assert_int_equal(read_at(rig, RIG_DEVICE), 3);
    rig->cpu->in_smm = false;
    mmu_changed(rig);
    assert_int_equal(read_at(rig, FRAME), 1);

    soft_outside_begin(rig->cpu);
    soft_cpu_free(rig->cpu);
    soft_vm_free(rig->vm);
    memory_remove(&low);
    memory_remove(&smram);
    address_space_free(smm);
    epoch_synchronize();
    memory_region_finish(&low);
    memory_region_finish(&smram);
    memory_region_finish(&root);
    ram_block_unref(block);
    rig->vm = soft_vm_new(rig->memory, rig->port_space, 0, true, NULL);
    rig->cpu = soft_cpu_new(rig->vm, NULL, rig, NULL);
    soft_outside_end(rig->cpu);
}

/* ---- the dirty log ---- */

static void log_start(SoftRig *rig, DirtyClient client)
{
    soft_outside_begin(rig->cpu);
    memory_log_start(rig->block, client);
    soft_outside_end(rig->cpu);
}

static void log_sync(SoftRig *rig)
{
    soft_outside_begin(rig->cpu);
    memory_log_sync(rig->block);
    soft_outside_end(rig->cpu);
}

static unsigned take_all(SoftRig *rig, DirtyClient client)
{
    unsigned n = 0;

    for (uint64_t at = 0; at < RIG_RAM; at += PAGE) {
        n += ram_dirty_take(rig->block, client, at);
    }
    return n;
}

static void test_each_round_reports_the_pages_stored_to_since(void **state)
{
    SoftRig *rig = *state;

    assert_null(mmu_store(rig, FRAME, 8, 1, 0)); /* a write entry from before */
    log_start(rig, DIRTY_MIGRATION);
    assert_int_equal(take_all(rig, DIRTY_MIGRATION), RIG_RAM / PAGE);
    log_sync(rig);
    assert_int_equal(take_all(rig, DIRTY_MIGRATION), 0);
    for (unsigned round = 0; round < 3; round++) {
        assert_null(mmu_store(rig, FRAME + 8, 8, 1, 0));
        assert_null(mmu_store(rig, FRAME + 16, 8, 1, 0));
        assert_null(mmu_store(rig, FRAME + (9 + round) * PAGE - 2, 4, 1, 0));
        log_sync(rig);
        assert_true(ram_dirty_take(rig->block, DIRTY_MIGRATION, FRAME));
        assert_true(ram_dirty_take(rig->block, DIRTY_MIGRATION, FRAME + (8 + round) * PAGE));
        assert_true(ram_dirty_take(rig->block, DIRTY_MIGRATION, FRAME + (9 + round) * PAGE));
        assert_int_equal(take_all(rig, DIRTY_MIGRATION), 0);
    }
    log_sync(rig);
    assert_int_equal(take_all(rig, DIRTY_MIGRATION), 0);
}

static void test_a_second_client_hears_of_pages_that_were_dirty_before(void **state)
{
    SoftRig *rig = *state;

    log_start(rig, DIRTY_MIGRATION);
    take_all(rig, DIRTY_MIGRATION);
    assert_null(mmu_store(rig, FRAME, 8, 1, 0));
    log_start(rig, DIRTY_DISPLAY);
    assert_int_equal(take_all(rig, DIRTY_DISPLAY), RIG_RAM / PAGE);
    assert_null(mmu_store(rig, FRAME, 8, 2, 0));
    log_sync(rig);
    assert_true(ram_dirty_take(rig->block, DIRTY_DISPLAY, FRAME));
    assert_true(ram_dirty_take(rig->block, DIRTY_MIGRATION, FRAME));
}

static void test_stores_through_a_second_window_are_logged_once_for_the_block(void **state)
{
    SoftRig *rig = *state;
    MemoryRegion mr;

    memory_region_init_alias(&mr, "window", &rig->ram, FRAME, 2 * PAGE);
    log_start(rig, DIRTY_MIGRATION);
    take_all(rig, DIRTY_MIGRATION);
    assert_null(mmu_store(rig, FRAME + PAGE, 8, 1, 0));
    map(rig, EXTRA, &mr, 0); /* must not make that page clean unreported */
    assert_null(mmu_store(rig, EXTRA, 8, 1, 0));
    log_sync(rig);
    assert_int_equal(take_all(rig, DIRTY_MIGRATION), 2);
    region_end(rig, &mr);
}

static void test_what_was_stored_before_memory_left_the_map_is_reported(void **state)
{
    SoftRig *rig = *state;

    log_start(rig, DIRTY_MIGRATION);
    take_all(rig, DIRTY_MIGRATION);
    assert_null(mmu_store(rig, FRAME, 8, 1, 0));
    unmap(rig, &rig->ram);
    assert_true(ram_dirty_take(rig->block, DIRTY_MIGRATION, FRAME));
    assert_int_equal(take_all(rig, DIRTY_MIGRATION), 0);
}

/* Another vCPU's, in the time between the sync of a range that goes and the end of its being used. */
typedef struct LateStore {
    MemoryListener l;
    uint8_t *flags;
} LateStore;

static void store_late(MemoryListener *l, const MemoryRange *range)
{
    *((LateStore *)l)->flags &= (uint8_t)~PAGE_CLEAN;
}

static void test_a_store_while_memory_leaves_the_map_is_reported(void **state)
{
    SoftRig *rig = *state;
    LateStore late = { { .priority = -1, .remove = store_late }, soft_page_flags(rig->vm, rig->host + FRAME) };

    log_start(rig, DIRTY_MIGRATION);
    take_all(rig, DIRTY_MIGRATION);
    soft_outside_begin(rig->cpu);
    memory_listener_add(&late.l, rig->memory);
    memory_remove(&rig->ram);
    memory_listener_remove(&late.l);
    soft_outside_end(rig->cpu);
    assert_true(ram_dirty_take(rig->block, DIRTY_MIGRATION, FRAME));
}

static void test_nothing_is_clean_when_logging_has_stopped(void **state)
{
    SoftRig *rig = *state;

    log_start(rig, DIRTY_MIGRATION);
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + FRAME), PAGE_CLEAN);
    soft_outside_begin(rig->cpu);
    memory_log_stop(rig->block, DIRTY_MIGRATION);
    soft_outside_end(rig->cpu);
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + FRAME), 0);
}

/* A copy that follows the log while the vCPU stores ends up equal, as in a migration. */
typedef struct Writer {
    SoftRig *rig;
    bool stop; /* atomic */
} Writer;

#define BUSY 64 /* pages that are stored to */

static void *writer(void *opaque)
{
    Writer *w = opaque;
    SoftCpu *cpu = w->rig->cpu;
    uint64_t seed = 1;

    epoch_thread_begin();
    soft_outside_end(cpu);
    while (!__atomic_load_n(&w->stop, __ATOMIC_SEQ_CST)) {
        for (unsigned i = 0; i < 50; i++) {
            uint64_t at;
            uint64_t *host;

            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            at = FRAME + (seed >> 33) % (BUSY * 512) * 8;
            host = (uint64_t *)soft_tlb_write(cpu, at, 8); /* as the fast path does */
            if (host) {
                *(volatile uint64_t *)host = seed;
            } else {
                soft_store(cpu, at, 8, seed, 0);
            }
        }
        if (__atomic_load_n(&cpu->requests, __ATOMIC_SEQ_CST)) {
            soft_outside_begin(cpu);
            soft_outside_end(cpu);
        }
    }
    soft_outside_begin(cpu);
    epoch_thread_end();
    return NULL;
}

static void copy_dirty(SoftRig *rig, uint8_t *copy)
{
    memory_log_sync(rig->block);
    for (uint64_t page = 0; page < BUSY; page++) {
        if (ram_dirty_take(rig->block, DIRTY_MIGRATION, FRAME + page * PAGE)) {
            memcpy(copy + page * PAGE, rig->host + FRAME + page * PAGE, PAGE);
        }
    }
}

static void test_no_store_escapes_the_log(void **state)
{
    SoftRig *rig = *state;
    Writer w = { rig };
    g_autofree uint8_t *copy = g_malloc0(BUSY * PAGE);
    pthread_t thread;

    soft_outside_begin(rig->cpu);
    memory_log_start(rig->block, DIRTY_MIGRATION);
    assert_int_equal(pthread_create(&thread, NULL, writer, &w), 0);
    for (unsigned round = 0; round < 500; round++) {
        copy_dirty(rig, copy);
    }
    __atomic_store_n(&w.stop, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    copy_dirty(rig, copy);
    assert_memory_equal(copy, rig->host + FRAME, BUSY * PAGE);
    soft_outside_end(rig->cpu);
}

/* ---- writes by others ---- */

static void assert_result(SoftRig *rig, uint32_t eax)
{
    rig->cpu->rip = RIG_CODE;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_UD);
    assert_int_equal((uint32_t)rig->cpu->gpr[X86_RAX], eax);
}

static void test_code_that_a_device_overwrites_is_decoded_anew(void **state)
{
    static const uint8_t code[] = { 0xb8, 1, 0, 0, 0, 0x0f, 0x0b }; /* mov eax, 1; ud2 */
    static const uint8_t two = 2;
    SoftRig *rig = *state;

    soft_outside_begin(rig->cpu);
    soft_rig_code(rig, code, sizeof(code));
    assert_result(rig, 1);
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + RIG_CODE), PAGE_CODE);
    memory_write(rig->memory, RIG_CODE + 1, &two, 1);
    assert_result(rig, 2);
    soft_outside_end(rig->cpu);
}

static void test_code_that_is_discarded_is_decoded_anew(void **state)
{
    static const uint8_t code[] = { 0xb8, 1, 0, 0, 0, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_outside_begin(rig->cpu);
    soft_rig_code(rig, code, sizeof(code));
    assert_result(rig, 1);
    assert_int_equal(ram_block_discard(rig->block, RIG_CODE, PAGE), 0);
    rig->host[RIG_CODE + PAGE] = 0x0f; /* after 2048 of add [rax], al */
    rig->host[RIG_CODE + PAGE + 1] = 0x0b;
    rig->cpu->gpr[X86_RAX] = FRAME;
    assert_result(rig, FRAME);
    soft_outside_end(rig->cpu);
}

/* ---- while vCPUs run ---- */

static void *run(void *opaque)
{
    SoftCpu *cpu = opaque;

    epoch_thread_begin();
    soft_cpu_begin(cpu);
    while (soft_run(cpu) != SOFT_EXIT_KICKED) {
    }
    epoch_thread_end();
    return NULL;
}

static SoftCpu *twin(SoftRig *rig)
{
    SoftCpu *cpu = soft_cpu_new(rig->vm, rig->cpu->hooks, rig, NULL);
    g_autofree X86Cpu *state = g_new0(X86Cpu, 1);

    soft_cpu_set_cpuid(cpu, rig->cpu->cpuid, rig->cpu->cpuids);
    soft_cpu_save(rig->cpu, state);
    assert_true(soft_cpu_load(cpu, state, NULL));
    return cpu;
}

/* The window shows one page or the other; each addition is in one of them, whatever changes meanwhile. */
static void test_running_vcpus_lose_nothing_to_changes_of_the_map(void **state)
{
    /* 1: lock inc dword [edi]; inc ebx; jmp 1b */
    static const uint8_t code[] = { 0xf0, 0xff, 0x07, 0x43, 0xeb, 0xfa };
    SoftRig *rig = *state;
    pthread_t threads[2];
    SoftCpu *cpus[2];
    MemoryRegion mr;
    uint32_t sum, counted = 0;
    int64_t end;

    soft_outside_begin(rig->cpu);
    soft_rig_code(rig, code, sizeof(code));
    memory_region_init_alias(&mr, "window", &rig->ram, FRAME, PAGE);
    memory_add(&rig->root, EXTRA, &mr, 0);
    rig->cpu->gpr[X86_RDI] = EXTRA;
    rig->cpu->gpr[X86_RBX] = 0;
    memory_log_start(rig->block, DIRTY_MIGRATION);
    for (unsigned i = 0; i < 2; i++) {
        cpus[i] = twin(rig);
        assert_int_equal(pthread_create(&threads[i], NULL, run, cpus[i]), 0);
    }
    while (!__atomic_load_n((uint32_t *)(rig->host + FRAME), __ATOMIC_RELAXED)) {
        sched_yield();
    }
    /* On a busy machine each change waits for vCPUs that wait for a processor. */
    end = g_get_monotonic_time() + 2 * G_USEC_PER_SEC;
    for (unsigned i = 0; i < 200 && g_get_monotonic_time() < end; i++) {
        memory_set_alias_offset(&mr, FRAME + (i & 1) * PAGE);
        memory_write(rig->memory, RIG_CODE, code, sizeof(code));
        memory_log_sync(rig->block);
        epoch_quiescent();
    }
    for (unsigned i = 0; i < 2; i++) {
        soft_signal(cpus[i], SOFT_KICK);
        pthread_join(threads[i], NULL);
        counted += (uint32_t)cpus[i]->gpr[X86_RBX] + (cpus[i]->rip == RIG_CODE + 3); /* it may stop in between */
    }
    sum = (uint32_t)mmu_get64(rig, FRAME) + (uint32_t)mmu_get64(rig, FRAME + PAGE);
    assert_int_equal(sum, counted);
    assert_true(counted > 0);
    soft_cpu_free(cpus[0]);
    soft_cpu_free(cpus[1]);
    soft_outside_end(rig->cpu);
    region_end(rig, &mr);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ram_that_moves_is_found_at_its_new_place),
        TEST(test_a_device_over_ram_is_seen_at_once),
        TEST(test_devices_that_move_flush_nothing),
        TEST(test_a_partial_page_is_reached_as_a_device),
        TEST(test_ram_at_an_odd_offset_is_reached_as_a_device),
        TEST(test_rom_is_read_in_place_and_keeps_its_bytes),
        TEST(test_a_rom_device_takes_stores_itself),
        TEST(test_memory_that_is_taken_out_is_let_go),
        TEST(test_system_management_mode_has_a_map_of_its_own),
        TEST(test_each_round_reports_the_pages_stored_to_since),
        TEST(test_a_second_client_hears_of_pages_that_were_dirty_before),
        TEST(test_stores_through_a_second_window_are_logged_once_for_the_block),
        TEST(test_what_was_stored_before_memory_left_the_map_is_reported),
        TEST(test_a_store_while_memory_leaves_the_map_is_reported),
        TEST(test_nothing_is_clean_when_logging_has_stopped),
        TEST(test_no_store_escapes_the_log),
        TEST(test_code_that_a_device_overwrites_is_decoded_anew),
        TEST(test_code_that_is_discarded_is_decoded_anew),
        TEST(test_running_vcpus_lose_nothing_to_changes_of_the_map),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
