/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data accesses: across pages, to devices, ROM and nothing, aligned or not, in place or by
 * a copy, and what stores to pages with decoded code or a dirty log leave behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>

#include <cmocka.h>

#include "mmu-rig.h"
#include "vmm/epoch.h"

#define LINEAR UINT64_C(0x40000000)
#define PTE(n) (TABLES + 0x3000 + (n) * 8)

/* From LINEAR: two pages of RAM that are apart, the device, RAM, not present, RAM, present but nothing physical. */
enum { RAM0, RAM1, DEVICE, RAM3, ABSENT, RAM5, NOWHERE };
#define AT(page) (LINEAR + (page) * UINT64_C(0x1000))
#define FRAME0   FRAME
#define FRAME1   (FRAME + 0x10000)
#define FRAME3   (FRAME + 0x20000)
#define FRAME5   (FRAME + 0x30000)

static int setup(void **state)
{
    SoftRig *rig = mmu_rig_new();

    rig->cpu->phys_bits = 40;
    mmu_put64(rig, TABLES, (TABLES + 0x1000) | P | W | U);
    mmu_put64(rig, TABLES + 0x1008, (TABLES + 0x2000) | P | W | U);
    mmu_put64(rig, TABLES + 0x2000, (TABLES + 0x3000) | P | W | U);
    mmu_put64(rig, PTE(RAM0), FRAME0 | P | W | U);
    mmu_put64(rig, PTE(RAM1), FRAME1 | P | W | U);
    mmu_put64(rig, PTE(DEVICE), RIG_DEVICE | P | W | U);
    mmu_put64(rig, PTE(RAM3), FRAME3 | P | W | U);
    mmu_put64(rig, PTE(RAM5), FRAME5 | P | W | U);
    mmu_put64(rig, PTE(NOWHERE), UINT64_C(0x8000000000) | P | W | U);
    rig->cpu->cr3 = TABLES;
    mmu_changed(rig);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    mmu_rig_free(*state);
    return 0;
}

static void forget(SoftRig *rig)
{
    rig->reads = rig->writes = 0;
}

/* ---- across pages ---- */

static void test_a_load_across_pages_takes_bytes_of_both(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    memcpy(rig->host + FRAME0 + 0xffd, "\x11\x22\x33", 3);
    memcpy(rig->host + FRAME1, "\x44\x55\x66\x77\x88", 5);
    assert_null(mmu_load(rig, AT(RAM1) - 3, 8, 0, &value));
    assert_int_equal(value, 0x8877665544332211);
    assert_null(mmu_load(rig, AT(RAM1) - 1, 2, 0, &value));
    assert_int_equal(value, 0x4433);
}

static void test_a_store_across_pages_puts_bytes_into_both(void **state)
{
    SoftRig *rig = *state;

    assert_null(mmu_store(rig, AT(RAM1) - 1, 4, 0x44332211, 0));
    assert_int_equal(rig->host[FRAME0 + 0xffe], 0);
    assert_int_equal(rig->host[FRAME0 + 0xfff], 0x11);
    assert_memory_equal(rig->host + FRAME1, "\x22\x33\x44\x00", 4);
    assert_int_equal(mmu_get64(rig, PTE(RAM0)) & D, D);
    assert_int_equal(mmu_get64(rig, PTE(RAM1)) & D, D);
}

static void test_a_fault_on_the_second_page_leaves_the_first_alone(void **state)
{
    SoftRig *rig = *state;
    const SoftEvent *e = mmu_store(rig, AT(ABSENT) - 4, 8, UINT64_MAX, 0);

    assert_non_null(e);
    assert_int_equal(e->vector, VECTOR_PF);
    assert_int_equal(e->error, FAULT_W);
    assert_int_equal(e->cr2, AT(ABSENT));
    assert_int_equal(mmu_get64(rig, FRAME3 + 0xff8), 0);
}

static void test_a_fault_on_the_first_page_comes_first(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    mmu_put64(rig, PTE(RAM5), 0);
    assert_int_equal(mmu_load(rig, AT(ABSENT) + 0xffc, 8, 0, &value)->cr2, AT(ABSENT) + 0xffc);
    mmu_put64(rig, PTE(ABSENT), FRAME0 | P | W);
    assert_int_equal(mmu_load(rig, AT(ABSENT) + 0xffc, 8, 0, &value)->cr2, AT(RAM5));
}

static void test_an_access_at_the_top_of_32_bits_wraps(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    soft_rig_enter_32(rig);
    rig->cpu->efer = 0;
    mmu_changed(rig);
    mmu_put64(rig, 0, 0xaabbccdd);
    assert_null(mmu_load(rig, UINT64_C(0xfffffffe), 4, 0, &value));
    assert_int_equal(value, 0xccddffff); /* nothing is below 4 GiB */
}

static void test_a_fault_beyond_the_top_of_32_bits_is_at_0(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    soft_rig_enter_32(rig);
    rig->cpu->efer = 0;
    rig->cpu->cr0 |= CR0_PG;
    rig->cpu->cr4 = CR4_PSE;
    rig->cpu->cr3 = TABLES;
    mmu_put32(rig, TABLES, 0);
    mmu_put32(rig, TABLES + 1023 * 4, FRAME | P | PS);
    mmu_changed(rig);
    assert_int_equal(mmu_load(rig, UINT64_C(0xfffffffe), 4, 0, &value)->vector, VECTOR_PF);
    assert_int_equal(rig->cpu->event.cr2, 0);
}

static void test_an_access_into_what_is_not_canonical_is_general_protection(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    mmu_put64(rig, TABLES + 255 * 8, (TABLES + 0x4000) | P | W | U);
    mmu_put64(rig, TABLES + 0x4000 + 511 * 8, (TABLES + 0x5000) | P | W | U);
    mmu_put64(rig, TABLES + 0x5000 + 511 * 8, FRAME | P | W | U | PS);
    assert_null(mmu_load(rig, UINT64_C(0x7ffffffffff8), 8, 0, &value));
    assert_int_equal(mmu_load(rig, UINT64_C(0x7ffffffffffc), 8, 0, &value)->vector, VECTOR_GP);
}

/* ---- devices ---- */

static void test_a_device_sees_the_size_of_the_access(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    rig->device_value = UINT64_C(0x8877665544332211);
    for (unsigned size = 1; size <= 8; size *= 2) {
        forget(rig);
        assert_null(mmu_load(rig, AT(DEVICE) + 8 * size, size, 0, &value));
        assert_int_equal(rig->reads, 1);
        assert_int_equal(rig->last_offset, 8 * size);
        assert_int_equal(rig->last_size, size);
        assert_int_equal(value, size == 8 ? rig->device_value : rig->device_value & ((UINT64_C(1) << 8 * size) - 1));
        assert_null(mmu_store(rig, AT(DEVICE) + 16 * size, size, UINT64_C(0x1111111111111111) * size, 0));
        assert_int_equal(rig->writes, 1);
        assert_int_equal(rig->last_offset, 16 * size);
        assert_int_equal(rig->last_size, size);
    }
    assert_int_equal(rig->cpu->count[COUNT_MMIO], 8);
}

static void test_an_access_half_on_a_device_is_split_at_the_page(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    rig->device_value = 0xbbaa;
    memcpy(rig->host + FRAME1 + 0xffe, "\x11\x22", 2);
    assert_null(mmu_load(rig, AT(DEVICE) - 2, 4, 0, &value));
    assert_int_equal(value, 0xbbaa2211);
    assert_int_equal(rig->reads, 1);
    assert_int_equal(rig->last_size, 2);
    assert_null(mmu_store(rig, AT(DEVICE) - 2, 4, 0x66554433, 0));
    assert_int_equal(rig->writes, 1);
    assert_int_equal(rig->last_value, 0x6655);
    assert_memory_equal(rig->host + FRAME1 + 0xffe, "\x33\x44", 2);
}

static void test_nothing_reads_as_ones_and_takes_stores(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    assert_null(mmu_load(rig, AT(NOWHERE), 4, 0, &value));
    assert_int_equal(value, 0xffffffff);
    assert_null(mmu_store(rig, AT(NOWHERE), 8, 0, 0));
    assert_null(mmu_load(rig, AT(NOWHERE), 8, 0, &value));
    assert_int_equal(value, UINT64_MAX);
}

static void test_a_device_is_no_place_for_code(void **state)
{
    SoftRig *rig = *state;
    const uint8_t *code = rig->host;
    uint64_t value;

    assert_null(mmu_fetch(rig, AT(DEVICE), &code));
    assert_null(code);
    rig->device_value = 0x90;
    assert_null(mmu_load(rig, AT(DEVICE) + 3, 1, ACCESS_EXEC, &value));
    assert_int_equal(value, 0x90);
}

static void test_the_apic_page_hides_ram_and_is_read_by_registers(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    rig->cpu->apic_page = FRAME5;
    mmu_put64(rig, FRAME5 + 0x20, 1);
    assert_null(mmu_load(rig, AT(RAM5) + 0x20, 4, 0, &value));
    assert_int_equal(value, 0xa0000020);
    assert_null(mmu_load(rig, AT(RAM5) + 0x20, 8, 0, &value));
    assert_int_equal(value, 0xa0000020);
    assert_null(mmu_load(rig, AT(RAM5) + 0x23, 1, 0, &value));
    assert_int_equal(value, 0xa0);
    assert_null(mmu_load(rig, AT(RAM5) + 0x28, 4, 0, &value));
    assert_int_equal(value, 0);
    assert_null(mmu_store(rig, AT(RAM5) + 0x80, 4, 0x77, 0));
    assert_int_equal(rig->last_offset, 0x80);
    assert_int_equal(rig->last_value, 0x77);
    assert_null(mmu_store(rig, AT(RAM5) + 0x84, 4, 0, 0));
    assert_null(mmu_store(rig, AT(RAM5) + 0x90, 1, 0, 0));
    assert_int_equal(rig->last_offset, 0x80);
    assert_int_equal(mmu_get64(rig, FRAME5 + 0x80), 0);
}

/* ---- alignment ---- */

static void check_alignment(SoftRig *rig)
{
    rig->cpu->cpl = 3;
    rig->cpu->cr0 |= CR0_AM;
    rig->cpu->eflags |= EFLAGS_AC;
    mmu_changed(rig);
}

static void test_misaligned_accesses_of_the_user_are_caught(void **state)
{
    SoftRig *rig = *state;
    const SoftEvent *e;
    uint64_t value;

    check_alignment(rig);
    assert_null(mmu_load(rig, AT(RAM0) + 4, 4, 0, &value));
    e = mmu_load(rig, AT(RAM0) + 2, 4, 0, &value);
    assert_non_null(e);
    assert_int_equal(e->vector, VECTOR_AC);
    assert_true(e->has_error);
    assert_int_equal(e->error, 0);
    assert_int_equal(mmu_store(rig, AT(RAM0) + 4, 8, 0, 0)->vector, VECTOR_AC);
    assert_null(mmu_store(rig, AT(RAM0) + 2, 2, 0, 0));
    assert_null(mmu_load(rig, AT(RAM0) + 1, 4, ACCESS_SYSTEM, &value));
}

static void test_misalignment_comes_before_a_page_fault_and_after_canonical_form(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    check_alignment(rig);
    assert_int_equal(mmu_load(rig, AT(ABSENT) + 1, 4, 0, &value)->vector, VECTOR_AC);
    assert_int_equal(mmu_load(rig, UINT64_C(0x800000000001), 4, 0, &value)->vector, VECTOR_GP);
}

static void test_vectors_and_images_are_aligned_by_their_own_rules(void **state)
{
    SoftRig *rig = *state;
    const void *at;

    check_alignment(rig);
    assert_null(mmu_read_begin(rig, AT(RAM0) + 1, 16, &at));
    assert_null(mmu_read_begin(rig, AT(RAM0) + 1, 32, &at));
    assert_int_equal(mmu_read_begin(rig, AT(RAM0) + 4, 10, &at)->vector, VECTOR_AC);
    assert_int_equal(mmu_read_begin(rig, AT(RAM0) + 2, 108, &at)->vector, VECTOR_AC);
    assert_null(mmu_read_begin(rig, AT(RAM0) + 2, 94, &at));
}

/* ---- operands of any size ---- */

static void test_an_operand_in_one_page_is_used_in_place(void **state)
{
    SoftRig *rig = *state;
    const void *from;
    void *to;

    assert_null(mmu_read_begin(rig, AT(RAM0) + 0x10, 32, &from));
    assert_ptr_equal(from, rig->host + FRAME0 + 0x10);
    assert_null(mmu_write_begin(rig, AT(RAM0) + 0xff0, 16, false, false, &to));
    assert_ptr_equal(to, rig->host + FRAME0 + 0xff0);
    soft_write_end(rig->cpu);
}

static void test_an_operand_across_pages_is_copied(void **state)
{
    SoftRig *rig = *state;
    const void *from;

    memset(rig->host + FRAME0 + 0xf00, 0x11, 0x100);
    memset(rig->host + FRAME1, 0x22, 0x300);
    assert_null(mmu_read_begin(rig, AT(RAM0) + 0xf00, 0x340, &from));
    assert_int_equal(((const uint8_t *)from)[0xff], 0x11);
    assert_int_equal(((const uint8_t *)from)[0x100], 0x22);
    assert_int_equal(((const uint8_t *)from)[0x33f], 0x22);
}

static void test_a_write_across_pages_is_made_at_its_end(void **state)
{
    SoftRig *rig = *state;
    void *to;

    memset(rig->host + FRAME0 + 0xff8, 0x11, 8);
    memset(rig->host + FRAME1, 0x22, 8);
    assert_null(mmu_write_begin(rig, AT(RAM0) + 0xff8, 16, true, false, &to));
    assert_memory_equal(to, "\x11\x11\x11\x11\x11\x11\x11\x11\x22\x22\x22\x22\x22\x22\x22\x22", 16);
    memset(to, 0x33, 15);
    assert_int_equal(rig->host[FRAME0 + 0xff8], 0x11);
    soft_write_end(rig->cpu);
    assert_int_equal(rig->host[FRAME0 + 0xfff], 0x33);
    assert_int_equal(rig->host[FRAME1 + 6], 0x33);
    assert_int_equal(rig->host[FRAME1 + 7], 0x22);
}

static void test_a_write_that_faults_on_its_second_page_writes_nothing(void **state)
{
    SoftRig *rig = *state;
    void *to;

    assert_int_equal(mmu_write_begin(rig, AT(RAM3) + 0xff8, 16, true, true, &to)->cr2, AT(ABSENT));
    assert_int_equal(mmu_get64(rig, FRAME3 + 0xff8), 0);
}

static void test_a_wide_write_to_a_device_is_made_of_eights(void **state)
{
    SoftRig *rig = *state;
    void *to;

    rig->device_value = 0x5555;
    assert_null(mmu_write_begin(rig, AT(DEVICE) + 0x40, 16, true, false, &to));
    assert_int_equal(*(uint64_t *)to, 0x5555);
    assert_int_equal(rig->reads, 2);
    memset(to, 0x77, 16);
    soft_write_end(rig->cpu);
    assert_int_equal(rig->writes, 2);
    assert_int_equal(rig->last_size, 8);
    assert_int_equal(rig->last_offset, 0x48);
    assert_int_equal(rig->last_value, 0x7777777777777777);
}

static void test_a_write_half_on_a_device_reaches_both(void **state)
{
    SoftRig *rig = *state;
    void *to;

    rig->device_value = 0xdd;
    rig->host[FRAME1 + 0xfff] = 0xcc;
    assert_null(mmu_write_begin(rig, AT(DEVICE) - 1, 2, true, true, &to));
    assert_memory_equal(to, "\xcc\xdd", 2);
    memcpy(to, "\x12\x34", 2);
    soft_write_end(rig->cpu);
    assert_int_equal(rig->host[FRAME1 + 0xfff], 0x12);
    assert_int_equal(rig->last_value, 0x34);
}

static void test_probes_check_every_page_and_change_no_byte(void **state)
{
    SoftRig *rig = *state;

    assert_null(mmu_probe(rig, AT(RAM0) + 0xf00, 0x1000, ACCESS_WRITE));
    assert_int_equal(mmu_get64(rig, PTE(RAM1)) & (A | D), A | D);
    assert_int_equal(mmu_probe(rig, AT(RAM0), 0x5000, 0)->cr2, AT(ABSENT));
    assert_int_equal(rig->reads + rig->writes, 0);
    mmu_put64(rig, PTE(RAM1), FRAME1 | P | U);
    soft_tlb_flush(rig->cpu);
    assert_int_equal(mmu_probe(rig, AT(RAM0) + 0xfff, 2, ACCESS_WRITE)->error, FAULT_P | FAULT_W);
    assert_null(mmu_probe(rig, AT(RAM0) + 0xfff, 2, 0));
}

/* ---- locked, across pages ---- */

typedef struct Adder {
    SoftRig *rig;
    SoftCpu *cpu;
} Adder;

static void add_locked(SoftCpu *cpu, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t *at = soft_write_begin(cpu, AT(RAM1) - 3, 8, 0, true, true);

        *at += 1;
        soft_write_end(cpu);
        if (__atomic_load_n(&cpu->requests, __ATOMIC_SEQ_CST)) { /* as at the end of a block */
            soft_outside_begin(cpu);
            soft_outside_end(cpu);
        }
    }
}

static void *adder(void *opaque)
{
    Adder *a = opaque;

    epoch_thread_begin();
    soft_cpu_begin(a->cpu);
    soft_outside_end(a->cpu);
    add_locked(a->cpu, 2000);
    soft_outside_begin(a->cpu);
    epoch_thread_end();
    return NULL;
}

static void test_locked_additions_across_pages_are_all_made(void **state)
{
    SoftRig *rig = *state;
    Adder a = { rig, soft_cpu_new(rig->vm, rig->cpu->hooks, rig, NULL) };
    pthread_t thread;
    uint64_t value;

    a.cpu->cr0 = rig->cpu->cr0;
    a.cpu->cr3 = rig->cpu->cr3;
    a.cpu->cr4 = rig->cpu->cr4;
    a.cpu->efer = rig->cpu->efer;
    soft_update_mode(a.cpu);
    assert_int_equal(pthread_create(&thread, NULL, adder, &a), 0);
    add_locked(rig->cpu, 2000);
    soft_outside_begin(rig->cpu);
    pthread_join(thread, NULL);
    soft_outside_end(rig->cpu);
    assert_null(mmu_load(rig, AT(RAM1) - 3, 8, 0, &value));
    assert_int_equal(value, 4000);
    assert_int_equal(rig->cpu->count[COUNT_EXCLUSIVE], 2000);
    soft_cpu_free(a.cpu);
}

static void test_a_locked_access_in_one_page_stops_nobody(void **state)
{
    SoftRig *rig = *state;
    void *to;

    assert_null(mmu_write_begin(rig, AT(RAM0) + 3, 8, true, true, &to));
    assert_ptr_equal(to, rig->host + FRAME0 + 3);
    soft_write_end(rig->cpu);
    assert_int_equal(rig->cpu->count[COUNT_EXCLUSIVE], 0);
}

/* ---- flags of pages ---- */

static bool has_write_entry(const SoftRig *rig, uint64_t linear)
{
    const TlbSet *tlb = &rig->cpu->tlbs[TLB_SUPERVISOR];

    return tlb->write[linear >> 12 & (TLB_SIZE - 1)].tag == ((linear & PAGE_MASK) | tlb->asid);
}

static void test_stores_to_code_pages_are_looked_at_each_time(void **state)
{
    SoftRig *rig = *state;

    *soft_page_flags(rig->vm, rig->host + FRAME0) = PAGE_CODE;
    assert_null(mmu_store(rig, AT(RAM0), 8, 1, 0));
    assert_false(has_write_entry(rig, AT(RAM0)));
    assert_null(mmu_store(rig, AT(RAM0), 8, 2, 0));
    assert_false(has_write_entry(rig, AT(RAM0)));
    assert_int_equal(mmu_get64(rig, FRAME0), 2);
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + FRAME0), PAGE_CODE);
}

static void test_the_first_store_to_a_clean_page_makes_it_dirty(void **state)
{
    SoftRig *rig = *state;

    *soft_page_flags(rig->vm, rig->host + FRAME0) = PAGE_CLEAN;
    assert_null(mmu_store(rig, AT(RAM0), 8, 1, 0));
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + FRAME0), 0);
    assert_null(mmu_store(rig, AT(RAM0), 8, 2, 0));
    assert_true(has_write_entry(rig, AT(RAM0)));
}

static void test_a_write_in_place_or_across_makes_its_pages_dirty(void **state)
{
    SoftRig *rig = *state;
    void *to;

    *soft_page_flags(rig->vm, rig->host + FRAME0) = PAGE_CLEAN;
    *soft_page_flags(rig->vm, rig->host + FRAME1) = PAGE_CLEAN;
    assert_null(mmu_write_begin(rig, AT(RAM0), 16, false, false, &to));
    soft_write_end(rig->cpu);
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + FRAME0), 0);
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + FRAME1), PAGE_CLEAN);
    *soft_page_flags(rig->vm, rig->host + FRAME0) = PAGE_CLEAN;
    soft_tlb_revoke(rig->cpu, NULL);
    assert_null(mmu_write_begin(rig, AT(RAM1) - 8, 16, false, true, &to));
    soft_write_end(rig->cpu);
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + FRAME0), 0);
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + FRAME1), 0);
}

static void test_marking_a_page_table_makes_it_dirty(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    *soft_page_flags(rig->vm, rig->host + TABLES + 0x3000) = PAGE_CLEAN;
    assert_null(mmu_load(rig, AT(RAM0), 8, 0, &value));
    assert_int_equal(*soft_page_flags(rig->vm, rig->host + TABLES + 0x3000), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_load_across_pages_takes_bytes_of_both),
        TEST(test_a_store_across_pages_puts_bytes_into_both),
        TEST(test_a_fault_on_the_second_page_leaves_the_first_alone),
        TEST(test_a_fault_on_the_first_page_comes_first),
        TEST(test_an_access_at_the_top_of_32_bits_wraps),
        TEST(test_a_fault_beyond_the_top_of_32_bits_is_at_0),
        TEST(test_an_access_into_what_is_not_canonical_is_general_protection),
        TEST(test_a_device_sees_the_size_of_the_access),
        TEST(test_an_access_half_on_a_device_is_split_at_the_page),
        TEST(test_nothing_reads_as_ones_and_takes_stores),
        TEST(test_a_device_is_no_place_for_code),
        TEST(test_the_apic_page_hides_ram_and_is_read_by_registers),
        TEST(test_misaligned_accesses_of_the_user_are_caught),
        TEST(test_misalignment_comes_before_a_page_fault_and_after_canonical_form),
        TEST(test_vectors_and_images_are_aligned_by_their_own_rules),
        TEST(test_an_operand_in_one_page_is_used_in_place),
        TEST(test_an_operand_across_pages_is_copied),
        TEST(test_a_write_across_pages_is_made_at_its_end),
        TEST(test_a_write_that_faults_on_its_second_page_writes_nothing),
        TEST(test_a_wide_write_to_a_device_is_made_of_eights),
        TEST(test_a_write_half_on_a_device_reaches_both),
        TEST(test_probes_check_every_page_and_change_no_byte),
        TEST(test_locked_additions_across_pages_are_all_made),
        TEST(test_a_locked_access_in_one_page_stops_nobody),
        TEST(test_stores_to_code_pages_are_looked_at_each_time),
        TEST(test_the_first_store_to_a_clean_page_makes_it_dirty),
        TEST(test_a_write_in_place_or_across_makes_its_pages_dirty),
        TEST(test_marking_a_page_table_makes_it_dirty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
