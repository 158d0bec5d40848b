/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What TLBs keep and what they must drop: each test changes tables behind their back, and
 * tells old from new by what is read.  SDM volume 3, 4.10.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "mmu-rig.h"

#define LINEAR UINT64_C(0x40000000)
#define OTHER  (FRAME + 0x200000)
#define PDE    (TABLES + 0x2000)
#define PTES   (TABLES + 0x3000)

/* Pages 0 and 1 from LINEAR, and a second address space at TABLES + 0x8000 that shows OTHER there. */
static int setup(void **state)
{
    SoftRig *rig = mmu_rig_new();

    for (unsigned space = 0; space < 2; space++) {
        uint64_t base = TABLES + space * 0x8000;

        mmu_put64(rig, base, (base + 0x1000) | P | W | U);
        mmu_put64(rig, base + 0x1000 + 8, (base + 0x2000) | P | W | U);
        mmu_put64(rig, base + 0x2000, (base + 0x3000) | P | W | U);
        mmu_put64(rig, base + 0x3000, (space ? OTHER : FRAME) | P | W | U);
        mmu_put64(rig, base + 0x3008, (FRAME + 0x1000) | P | W | U);
    }
    for (unsigned page = 0; page < 1024; page++) {
        mmu_put64(rig, FRAME + page * 0x1000, 0x1000 + page);
    }
    mmu_put64(rig, OTHER, 0x2000);
    rig->cpu->cr3 = TABLES;
    rig->cpu->cpl = 3;
    mmu_changed(rig);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    mmu_rig_free(*state);
    return 0;
}

static uint64_t read_at(SoftRig *rig, uint64_t linear)
{
    uint64_t value = 0;

    assert_null(mmu_load(rig, linear, 8, 0, &value));
    return value;
}

static void supervisor(SoftRig *rig)
{
    rig->cpu->cpl = 0;
    soft_update_mode(rig->cpu);
}

static void pcids_on(SoftRig *rig)
{
    rig->cpu->cr4 |= CR4_PCIDE;
    mmu_changed(rig);
}

static void test_translations_are_kept(void **state)
{
    SoftRig *rig = *state;

    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    mmu_put64(rig, PTES, OTHER | P | W | U);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    soft_tlb_flush(rig->cpu);
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
}

static void test_invlpg_drops_the_page_for_loads_stores_and_code(void **state)
{
    SoftRig *rig = *state;
    const uint8_t *code;

    assert_null(mmu_store(rig, LINEAR, 8, 0x1000, 0));
    assert_null(mmu_fetch(rig, LINEAR, &code));
    assert_ptr_equal(code, rig->host + FRAME);
    mmu_put64(rig, PTES, OTHER | P | W | U);
    soft_tlb_flush_page(rig->cpu, LINEAR + 0xfff);
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
    assert_null(mmu_store(rig, LINEAR, 8, 0x3000, 0));
    assert_int_equal(mmu_get64(rig, OTHER), 0x3000);
    assert_null(mmu_fetch(rig, LINEAR, &code));
    assert_ptr_equal(code, rig->host + OTHER);
}

static void test_invlpg_leaves_other_pages(void **state)
{
    SoftRig *rig = *state;

    assert_int_equal(read_at(rig, LINEAR + 0x1000), 0x1001);
    mmu_put64(rig, PTES + 8, OTHER | P | W | U);
    soft_tlb_flush_page(rig->cpu, LINEAR);
    assert_int_equal(read_at(rig, LINEAR + 0x1000), 0x1001);
}

static void test_invlpg_anywhere_in_a_2_mib_page_drops_all_of_it(void **state)
{
    SoftRig *rig = *state;

    mmu_put64(rig, PDE, FRAME | P | W | U | PS);
    soft_tlb_flush(rig->cpu);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_int_equal(read_at(rig, LINEAR + 0x1ff000), 0x11ff);
    mmu_put64(rig, PDE, OTHER | P | W | U | PS);
    soft_tlb_flush_page(rig->cpu, LINEAR + 0x7654);
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
    assert_int_equal(read_at(rig, LINEAR + 0x1ff000), mmu_get64(rig, OTHER + 0x1ff000));
}

static void test_invlpg_anywhere_in_a_1_gib_page_drops_all_of_it(void **state)
{
    SoftRig *rig = *state;

    mmu_put64(rig, TABLES + 0x1008, P | W | U | PS);
    soft_tlb_flush(rig->cpu);
    assert_int_equal(read_at(rig, LINEAR + FRAME), 0x1000);
    mmu_put64(rig, TABLES + 0x1008, PDE | P | W | U);
    mmu_put64(rig, PDE + (FRAME >> 21) * 8, OTHER | P | W | U | PS);
    soft_tlb_flush_page(rig->cpu, LINEAR + 0x3ffff000);
    assert_int_equal(read_at(rig, LINEAR + FRAME), 0x2000);
}

static void test_invlpg_in_the_upper_half_of_a_4_mib_page_drops_the_lower(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_32(rig);
    rig->cpu->efer = 0;
    rig->cpu->cr0 |= CR0_PG;
    rig->cpu->cr4 = CR4_PSE;
    rig->cpu->cr3 = TABLES;
    mmu_put32(rig, TABLES + (LINEAR >> 22) * 4, FRAME | P | W | U | PS);
    mmu_changed(rig);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    mmu_put32(rig, TABLES + (LINEAR >> 22) * 4, P | W | U | PS);
    soft_tlb_flush_page(rig->cpu, LINEAR + 0x300000);
    assert_int_equal(read_at(rig, LINEAR), mmu_get64(rig, 0));
}

/* ---- CR3 ---- */

static void test_cr3_drops_what_is_not_global(void **state)
{
    SoftRig *rig = *state;

    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        rig->cpu->cpl = (uint8_t)cpl;
        mmu_changed(rig);
        assert_int_equal(read_at(rig, LINEAR), 0x1000);
        assert_null(mmu_cr3(rig, TABLES + 0x8000, false));
        assert_int_equal(read_at(rig, LINEAR), 0x2000);
        assert_null(mmu_cr3(rig, TABLES, false));
        assert_int_equal(read_at(rig, LINEAR), 0x1000);
    }
}

static void test_cr3_drops_stores_and_code_of_the_supervisor(void **state)
{
    SoftRig *rig = *state;
    const uint8_t *code;

    supervisor(rig);
    assert_null(mmu_store(rig, LINEAR, 8, 0x1000, 0));
    assert_null(mmu_fetch(rig, LINEAR, &code));
    assert_null(mmu_cr3(rig, TABLES + 0x8000, false));
    assert_null(mmu_store(rig, LINEAR, 8, 0x7777, 0));
    assert_int_equal(mmu_get64(rig, FRAME), 0x1000);
    assert_int_equal(mmu_get64(rig, OTHER), 0x7777);
    assert_null(mmu_fetch(rig, LINEAR, &code));
    assert_ptr_equal(code, rig->host + OTHER);
}

static void test_global_pages_of_the_supervisor_outlive_cr3(void **state)
{
    SoftRig *rig = *state;
    uint64_t walks;

    supervisor(rig);
    mmu_put64(rig, PTES, FRAME | P | W | G);
    soft_tlb_flush(rig->cpu);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    walks = rig->cpu->count[COUNT_WALKS];
    assert_null(mmu_cr3(rig, TABLES, false));
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_int_equal(rig->cpu->count[COUNT_WALKS], walks);
}

static void test_global_is_nothing_without_pge(void **state)
{
    SoftRig *rig = *state;

    supervisor(rig);
    rig->cpu->cr4 &= ~CR4_PGE;
    mmu_put64(rig, PTES, FRAME | P | W | G);
    mmu_changed(rig);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_null(mmu_cr3(rig, TABLES + 0x8000, false));
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
}

static void test_invlpg_drops_global_pages(void **state)
{
    SoftRig *rig = *state;

    supervisor(rig);
    mmu_put64(rig, PTES, FRAME | P | W | G);
    soft_tlb_flush(rig->cpu);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    mmu_put64(rig, PTES, OTHER | P | W | G);
    soft_tlb_flush_page(rig->cpu, LINEAR);
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
}

static void test_bits_beyond_the_width_of_addresses_are_refused(void **state)
{
    SoftRig *rig = *state;
    const SoftEvent *e;

    rig->cpu->phys_bits = 40;
    e = mmu_cr3(rig, UINT64_C(1) << 40 | TABLES, false);
    assert_non_null(e);
    assert_int_equal(e->vector, VECTOR_GP);
    assert_int_equal(rig->cpu->cr3, TABLES);
}

static void test_many_address_spaces_never_mix(void **state)
{
    SoftRig *rig = *state;

    for (unsigned i = 0; i < 3 * ASIDS; i++) {
        assert_null(mmu_cr3(rig, TABLES + (i & 1) * 0x8000, false));
        assert_int_equal(read_at(rig, LINEAR), i & 1 ? 0x2000 : 0x1000);
    }
}

static void test_a_number_that_is_used_again_finds_nothing_old(void **state)
{
    SoftRig *rig = *state;
    uint64_t asid = rig->cpu->tlbs[TLB_USER].asid, tag = rig->cpu->jump_tag;

    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    mmu_put64(rig, PTES, OTHER | P | W | U);
    do {
        assert_null(mmu_cr3(rig, TABLES, false));
    } while (rig->cpu->tlbs[TLB_USER].asid != asid);
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
    assert_int_not_equal(rig->cpu->jump_tag, tag);
}

/* ---- PCIDs ---- */

static void test_a_kept_pcid_comes_back_with_its_translations(void **state)
{
    SoftRig *rig = *state;
    uint64_t walks;

    pcids_on(rig);
    assert_null(mmu_cr3(rig, TABLES | 1, false));
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_null(mmu_cr3(rig, (TABLES + 0x8000) | 2, false));
    assert_int_equal(read_at(rig, LINEAR + 0x1000), 0x1001);
    walks = rig->cpu->count[COUNT_WALKS];
    assert_null(mmu_cr3(rig, TABLES | 1, true));
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_int_equal(rig->cpu->count[COUNT_WALKS], walks);
    assert_null(mmu_cr3(rig, (TABLES + 0x8000) | 2, true));
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
}

static void test_a_pcid_that_is_not_kept_comes_back_empty(void **state)
{
    SoftRig *rig = *state;

    pcids_on(rig);
    assert_null(mmu_cr3(rig, TABLES | 1, false));
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_null(mmu_cr3(rig, (TABLES + 0x8000) | 2, false));
    mmu_put64(rig, PTES, OTHER | P | W | U);
    assert_null(mmu_cr3(rig, TABLES | 1, false));
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
}

static void test_invlpg_reaches_other_address_spaces_too(void **state)
{
    SoftRig *rig = *state;

    pcids_on(rig);
    mmu_put64(rig, PTES, FRAME | P | W | U | G);
    assert_null(mmu_cr3(rig, TABLES | 1, false));
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_null(mmu_cr3(rig, (TABLES + 0x8000) | 2, false));
    mmu_put64(rig, PTES, OTHER | P | W | U);
    soft_tlb_flush_page(rig->cpu, LINEAR);
    assert_null(mmu_cr3(rig, TABLES | 1, true));
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
}

static void test_invpcid_of_a_page_drops_it_there(void **state)
{
    SoftRig *rig = *state;

    pcids_on(rig);
    assert_null(mmu_cr3(rig, TABLES | 1, false));
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_null(mmu_cr3(rig, (TABLES + 0x8000) | 2, false));
    mmu_put64(rig, PTES, OTHER | P | W | U);
    soft_invpcid(rig->cpu, 0, 1, LINEAR);
    assert_null(mmu_cr3(rig, TABLES | 1, true));
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
}

static void test_invpcid_of_another_pcid_drops_all_of_it(void **state)
{
    SoftRig *rig = *state;

    pcids_on(rig);
    assert_null(mmu_cr3(rig, TABLES | 1, false));
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_null(mmu_cr3(rig, (TABLES + 0x8000) | 2, false));
    assert_int_equal(read_at(rig, LINEAR + 0x1000), 0x1001);
    mmu_put64(rig, PTES, OTHER | P | W | U);
    mmu_put64(rig, TABLES + 0xb008, OTHER | P | W | U);
    soft_invpcid(rig->cpu, 1, 1, 0);
    assert_int_equal(read_at(rig, LINEAR + 0x1000), 0x1001);
    assert_null(mmu_cr3(rig, TABLES | 1, true));
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
}

static void test_invpcid_of_the_present_pcid_drops_all_of_it(void **state)
{
    SoftRig *rig = *state;

    pcids_on(rig);
    assert_null(mmu_cr3(rig, TABLES | 1, false));
    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        rig->cpu->cpl = (uint8_t)cpl;
        soft_update_mode(rig->cpu);
        mmu_put64(rig, PTES, FRAME | P | W | U);
        assert_int_equal(read_at(rig, LINEAR), 0x1000);
        mmu_put64(rig, PTES, OTHER | P | W | U);
        soft_invpcid(rig->cpu, 1, 1, 0);
        assert_int_equal(read_at(rig, LINEAR), 0x2000);
    }
}

static void test_invpcid_of_all_drops_global_pages_or_not(void **state)
{
    SoftRig *rig = *state;
    uint64_t walks;

    supervisor(rig);
    mmu_put64(rig, PTES, FRAME | P | W | G);
    pcids_on(rig);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_int_equal(read_at(rig, LINEAR + 0x1000), 0x1001);
    walks = rig->cpu->count[COUNT_WALKS];
    mmu_put64(rig, PTES + 8, OTHER | P | W);
    soft_invpcid(rig->cpu, 3, 0, 0);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_int_equal(rig->cpu->count[COUNT_WALKS], walks);
    assert_int_equal(read_at(rig, LINEAR + 0x1000), 0x2000);
    mmu_put64(rig, PTES, OTHER | P | W | G);
    soft_invpcid(rig->cpu, 2, 0, 0);
    assert_int_equal(read_at(rig, LINEAR), 0x2000);
}

static void test_invpcid_of_all_reaches_pcids_that_are_kept(void **state)
{
    SoftRig *rig = *state;

    pcids_on(rig);
    for (unsigned type = 2; type <= 3; type++) {
        mmu_put64(rig, PTES, FRAME | P | W | U);
        assert_null(mmu_cr3(rig, TABLES | 1, false));
        assert_int_equal(read_at(rig, LINEAR), 0x1000);
        assert_null(mmu_cr3(rig, (TABLES + 0x8000) | 2, false));
        mmu_put64(rig, PTES, OTHER | P | W | U);
        soft_invpcid(rig->cpu, type, 0, 0);
        assert_null(mmu_cr3(rig, TABLES | 1, true));
        assert_int_equal(read_at(rig, LINEAR), 0x2000);
    }
}

/* ---- rights are part of the set ---- */

static void test_what_the_supervisor_touched_is_not_the_users(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    supervisor(rig);
    mmu_put64(rig, PTES, FRAME | P | W);
    soft_tlb_flush(rig->cpu);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    rig->cpu->cpl = 3;
    soft_update_mode(rig->cpu);
    assert_int_equal(mmu_load(rig, LINEAR, 8, 0, &value)->error, FAULT_P | FAULT_U);
    assert_null(mmu_load(rig, LINEAR, 8, ACCESS_SYSTEM, &value));
}

static void test_user_pages_are_the_supervisors_only_with_ac(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    rig->cpu->cpl = 0;
    rig->cpu->cr4 |= CR4_SMAP;
    rig->cpu->eflags |= EFLAGS_AC;
    mmu_changed(rig);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    rig->cpu->eflags &= ~(uint32_t)EFLAGS_AC;
    soft_update_mode(rig->cpu);
    assert_int_equal(mmu_load(rig, LINEAR, 8, 0, &value)->error, FAULT_P);
    rig->cpu->eflags |= EFLAGS_AC;
    soft_update_mode(rig->cpu);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_int_equal(mmu_load(rig, LINEAR, 8, ACCESS_SYSTEM, &value)->error, FAULT_P);
}

static void test_a_load_of_a_clean_page_does_not_let_stores_by(void **state)
{
    SoftRig *rig = *state;

    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_int_equal(mmu_get64(rig, PTES) & D, 0);
    assert_null(mmu_store(rig, LINEAR, 8, 1, 0));
    assert_int_equal(mmu_get64(rig, PTES) & D, D);
}

static void test_a_load_of_a_read_only_page_does_not_let_stores_by(void **state)
{
    SoftRig *rig = *state;

    mmu_put64(rig, PTES, FRAME | P | U | D);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    assert_int_equal(mmu_store(rig, LINEAR, 8, 1, 0)->error, FAULT_P | FAULT_U | FAULT_W);
}

static void test_a_store_after_a_load_of_a_dirty_page_needs_no_walk(void **state)
{
    SoftRig *rig = *state;
    uint64_t walks;

    mmu_put64(rig, PTES, FRAME | P | W | U | A | D);
    assert_int_equal(read_at(rig, LINEAR), 0x1000);
    walks = rig->cpu->count[COUNT_WALKS];
    assert_null(mmu_store(rig, LINEAR, 8, 1, 0));
    assert_int_equal(mmu_get64(rig, FRAME), 1);
    assert_int_equal(rig->cpu->count[COUNT_WALKS], walks);
}

/* ---- revoking ---- */

static bool has_write_entry(const SoftRig *rig, uint64_t linear)
{
    const TlbSet *tlb = &rig->cpu->tlbs[TLB_USER];

    return tlb->write[linear >> 12 & (TLB_SIZE - 1)].tag == ((linear & PAGE_MASK) | tlb->asid);
}

static void test_revoking_takes_write_entries_and_leaves_the_rest(void **state)
{
    SoftRig *rig = *state;
    uint64_t walks;

    assert_null(mmu_store(rig, LINEAR, 8, 1, 0));
    assert_true(has_write_entry(rig, LINEAR));
    soft_tlb_revoke(rig->cpu, rig->host + FRAME);
    assert_false(has_write_entry(rig, LINEAR));
    walks = rig->cpu->count[COUNT_WALKS];
    assert_int_equal(read_at(rig, LINEAR), 1);
    assert_null(mmu_store(rig, LINEAR, 8, 2, 0));
    assert_true(has_write_entry(rig, LINEAR));
    assert_int_equal(rig->cpu->count[COUNT_WALKS], walks);
    soft_tlb_revoke(rig->cpu, NULL);
    assert_false(has_write_entry(rig, LINEAR));
}

/* ---- the jump cache: what it holds is found as long as the tag is the same ---- */

static void test_invlpg_flushes_jumps_only_where_code_was(void **state)
{
    SoftRig *rig = *state;
    uint64_t tag;
    const uint8_t *code;

    assert_null(mmu_fetch(rig, LINEAR, &code));
    assert_int_equal(read_at(rig, LINEAR + 0x1000), 0x1001);
    tag = rig->cpu->jump_tag;
    soft_tlb_flush_page(rig->cpu, LINEAR + 0x1000);
    assert_int_equal(rig->cpu->jump_tag, tag);
    soft_tlb_flush_page(rig->cpu, LINEAR);
    assert_int_not_equal(rig->cpu->jump_tag, tag);
}

static void test_jumps_of_the_user_come_back_with_a_kept_pcid(void **state)
{
    SoftRig *rig = *state;
    uint64_t one, two;
    const uint8_t *code;

    pcids_on(rig);
    assert_null(mmu_cr3(rig, TABLES | 1, false));
    assert_null(mmu_fetch(rig, LINEAR, &code));
    one = rig->cpu->jump_tag;
    assert_null(mmu_cr3(rig, (TABLES + 0x8000) | 2, false));
    two = rig->cpu->jump_tag;
    assert_int_not_equal(one, two);
    assert_null(mmu_cr3(rig, TABLES | 1, true));
    assert_int_equal(rig->cpu->jump_tag, one);
    soft_tlb_flush_page(rig->cpu, LINEAR); /* in any address space */
    assert_null(mmu_cr3(rig, (TABLES + 0x8000) | 2, true));
    assert_int_not_equal(rig->cpu->jump_tag, two);
}

static void test_jumps_of_the_supervisor_stay_while_its_code_is_global(void **state)
{
    SoftRig *rig = *state;
    const uint8_t *code;
    uint64_t tag;

    supervisor(rig);
    mmu_put64(rig, PTES, FRAME | P | W | G);
    soft_tlb_flush(rig->cpu);
    tag = rig->cpu->jump_tag;
    assert_null(mmu_fetch(rig, LINEAR, &code));
    assert_null(mmu_cr3(rig, TABLES, false));
    assert_int_equal(rig->cpu->jump_tag, tag);
    assert_null(mmu_fetch(rig, LINEAR + 0x1000, &code));
    assert_null(mmu_cr3(rig, TABLES, false));
    assert_int_not_equal(rig->cpu->jump_tag, tag);
}

static void test_local_code_found_in_the_tlb_counts_for_the_next_cr3(void **state)
{
    SoftRig *rig = *state;
    const uint8_t *code;
    uint64_t tag;

    supervisor(rig);
    mmu_put64(rig, PTES + 8, FRAME | P | W | G);
    soft_tlb_flush(rig->cpu);
    assert_null(mmu_fetch(rig, LINEAR, &code));
    assert_null(mmu_fetch(rig, LINEAR + 0x1000, &code));
    soft_tlb_flush_page(rig->cpu, LINEAR + 0x1000);
    assert_null(mmu_fetch(rig, LINEAR, &code));
    tag = rig->cpu->jump_tag;
    assert_null(mmu_cr3(rig, TABLES, false));
    assert_int_not_equal(rig->cpu->jump_tag, tag);
}

static void test_tags_of_jumps_are_never_used_twice_without_emptying_the_cache(void **state)
{
    SoftRig *rig = *state;
    JumpEntry *entry = &rig->cpu->jumps[5];

    for (unsigned cpl = 0; cpl <= 3; cpl += 3) {
        uint64_t tag;

        rig->cpu->cpl = (uint8_t)cpl;
        mmu_changed(rig);
        tag = rig->cpu->jump_tag;
        entry->tag = LINEAR ^ tag;
        do {
            soft_tlb_flush(rig->cpu);
        } while (rig->cpu->jump_tag != tag && entry->tag != UINT64_MAX);
        assert_int_equal(entry->tag, UINT64_MAX);
    }
}

static void test_code_found_in_the_tlb_counts_for_the_next_invlpg(void **state)
{
    SoftRig *rig = *state;
    uint32_t flushes;
    const uint8_t *code;

    assert_null(mmu_fetch(rig, LINEAR + 0x1000, &code));
    assert_null(mmu_fetch(rig, LINEAR, &code));
    soft_tlb_flush_page(rig->cpu, LINEAR); /* forgets what jumps there were; the other page is still in the TLB */
    assert_null(mmu_fetch(rig, LINEAR + 0x1000, &code));
    flushes = rig->cpu->flushes;
    soft_tlb_flush_page(rig->cpu, LINEAR + 0x1000);
    assert_int_not_equal(rig->cpu->flushes, flushes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_translations_are_kept),
        TEST(test_invlpg_drops_the_page_for_loads_stores_and_code),
        TEST(test_invlpg_leaves_other_pages),
        TEST(test_invlpg_anywhere_in_a_2_mib_page_drops_all_of_it),
        TEST(test_invlpg_anywhere_in_a_1_gib_page_drops_all_of_it),
        TEST(test_invlpg_in_the_upper_half_of_a_4_mib_page_drops_the_lower),
        TEST(test_cr3_drops_what_is_not_global),
        TEST(test_cr3_drops_stores_and_code_of_the_supervisor),
        TEST(test_global_pages_of_the_supervisor_outlive_cr3),
        TEST(test_global_is_nothing_without_pge),
        TEST(test_invlpg_drops_global_pages),
        TEST(test_bits_beyond_the_width_of_addresses_are_refused),
        TEST(test_many_address_spaces_never_mix),
        TEST(test_a_number_that_is_used_again_finds_nothing_old),
        TEST(test_a_kept_pcid_comes_back_with_its_translations),
        TEST(test_a_pcid_that_is_not_kept_comes_back_empty),
        TEST(test_invlpg_reaches_other_address_spaces_too),
        TEST(test_invpcid_of_a_page_drops_it_there),
        TEST(test_invpcid_of_another_pcid_drops_all_of_it),
        TEST(test_invpcid_of_the_present_pcid_drops_all_of_it),
        TEST(test_invpcid_of_all_drops_global_pages_or_not),
        TEST(test_invpcid_of_all_reaches_pcids_that_are_kept),
        TEST(test_what_the_supervisor_touched_is_not_the_users),
        TEST(test_user_pages_are_the_supervisors_only_with_ac),
        TEST(test_a_load_of_a_clean_page_does_not_let_stores_by),
        TEST(test_a_load_of_a_read_only_page_does_not_let_stores_by),
        TEST(test_a_store_after_a_load_of_a_dirty_page_needs_no_walk),
        TEST(test_revoking_takes_write_entries_and_leaves_the_rest),
        TEST(test_invlpg_flushes_jumps_only_where_code_was),
        TEST(test_jumps_of_the_user_come_back_with_a_kept_pcid),
        TEST(test_jumps_of_the_supervisor_stay_while_its_code_is_global),
        TEST(test_local_code_found_in_the_tlb_counts_for_the_next_cr3),
        TEST(test_tags_of_jumps_are_never_used_twice_without_emptying_the_cache),
        TEST(test_code_found_in_the_tlb_counts_for_the_next_invlpg),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
