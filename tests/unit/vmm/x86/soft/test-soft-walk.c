/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page walker, one access at a time with empty TLBs: every paging mode, rights, error
 * codes, reserved bits, accessed and dirty flags.  SDM volume 3, chapter 4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <sys/time.h>

#include <cmocka.h>

#include "mmu-rig.h"

#define LINEAR UINT64_C(0x0000123456789abc)

static int setup(void **state)
{
    *state = mmu_rig_new();
    return 0;
}

static int teardown(void **state)
{
    mmu_rig_free(*state);
    return 0;
}

/* ---- 4-level tables for LINEAR, all rights, one table a page from TABLES ---- */

static uint64_t entry_at(unsigned level) /* 4: PML4E ... 1: PTE */
{
    return TABLES + (4 - level) * 0x1000 + (LINEAR >> (3 + 9 * level) & 511) * 8;
}

static void map_4level(SoftRig *rig, unsigned leaf, uint64_t frame)
{
    for (unsigned level = 4; level > leaf; level--) {
        mmu_put64(rig, entry_at(level), (TABLES + (5 - level) * 0x1000) | P | W | U);
    }
    mmu_put64(rig, entry_at(leaf), frame | P | W | U | (leaf > 1 ? PS : 0));
    rig->cpu->cr3 = TABLES;
    mmu_changed(rig);
}

static void assert_fault(SoftRig *rig, const SoftEvent *e, uint32_t error)
{
    assert_non_null(e);
    assert_int_equal(e->vector, VECTOR_PF);
    assert_true(e->has_error);
    assert_int_equal(e->error, error);
}

static void test_4_kib_page_is_found_through_four_levels(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    map_4level(rig, 1, FRAME);
    mmu_put64(rig, FRAME + 0xabc, 0x1122334455667788);
    assert_null(mmu_load(rig, LINEAR, 8, 0, &value));
    assert_int_equal(value, 0x1122334455667788);
}

static void test_2_mib_page_is_found_through_three(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    map_4level(rig, 2, FRAME);
    mmu_put64(rig, FRAME + (LINEAR & 0x1fffff), 42);
    assert_null(mmu_load(rig, LINEAR, 8, 0, &value));
    assert_int_equal(value, 42);
}

static void test_1_gib_page_is_found_through_two(void **state)
{
    SoftRig *rig = *state;
    uint64_t gpa;

    map_4level(rig, 3, UINT64_C(0x40000000));
    assert_true(soft_cpu_translate(rig->cpu, LINEAR, &gpa));
    assert_int_equal(gpa, 0x40000000 + (LINEAR & 0x3fffffff));
}

static void test_1_gib_page_is_reserved_without_the_feature(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    map_4level(rig, 3, UINT64_C(0x40000000));
    rig->cpu->feature[FEATURE_GIGABYTE_PAGES >> 5] &= ~(1u << (FEATURE_GIGABYTE_PAGES & 31));
    assert_fault(rig, mmu_load(rig, LINEAR, 8, 0, &value), FAULT_P | FAULT_RSVD);
}

static void test_entry_that_is_not_present_faults_without_p(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    for (unsigned level = 1; level <= 4; level++) {
        map_4level(rig, 1, FRAME);
        mmu_put64(rig, entry_at(level), ~UINT64_C(1)); /* nothing else in it matters */
        mmu_changed(rig);
        assert_fault(rig, mmu_load(rig, LINEAR, 8, 0, &value), 0);
        assert_fault(rig, mmu_store(rig, LINEAR, 8, 0, 0), FAULT_W);
        assert_int_equal(rig->cpu->event.cr2, LINEAR);
    }
}

static void test_every_reserved_bit_faults(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    rig->cpu->phys_bits = 40;
    for (unsigned leaf = 1; leaf <= 3; leaf++) {
        for (unsigned level = leaf; level <= 4; level++) {
            uint64_t reserved = UINT64_C(0x000fff0000000000);

            reserved |= level == 4 ? PS : 0;
            reserved |= level == leaf && level == 2 ? 0x1fe000 : level == leaf && level == 3 ? 0x3fffe000 : 0;
            for (unsigned bit = 0; bit < 64; bit++) {
                map_4level(rig, leaf, 0);
                if (bit < 6 || mmu_get64(rig, entry_at(level)) >> bit & 1 || (bit == 7 && level < 4) ||
                    (bit >= 12 && bit < 40 && !(reserved >> bit & 1))) {
                    continue; /* P, W, U, A; an address; another form */
                }
                mmu_put64(rig, entry_at(level), mmu_get64(rig, entry_at(level)) | UINT64_C(1) << bit);
                mmu_changed(rig);
                if (reserved >> bit & 1) {
                    assert_fault(rig, mmu_load(rig, LINEAR, 8, 0, &value), FAULT_P | FAULT_RSVD);
                } else if (bit != 8 || rig->vm->intel) {
                    assert_null(mmu_load(rig, LINEAR, 8, 0, &value));
                }
            }
        }
    }
}

static void test_xd_is_reserved_without_nxe(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    map_4level(rig, 1, FRAME | XD);
    assert_null(mmu_load(rig, LINEAR, 8, 0, &value));
    rig->cpu->efer &= ~EFER_NXE;
    mmu_changed(rig);
    assert_fault(rig, mmu_load(rig, LINEAR, 8, 0, &value), FAULT_P | FAULT_RSVD);
}

/* ---- rights: every combination, against the words of SDM 3-4.6 ---- */

typedef struct Rights {
    unsigned upper, lower; /* W, U, and 1 for XD, of the PML4E and the leaf */
    bool user, system, wp, smep, smap, ac, write, exec;
} Rights;

static bool expected(const Rights *r)
{
    bool u = r->upper & r->lower & U, w = r->upper & r->lower & W, xd = (r->upper | r->lower) & 1;
    bool supervisor = !r->user || r->system;

    if (r->exec) {
        return supervisor ? !xd && !(u && r->smep) : u && !xd;
    }
    if (!supervisor) {
        return u && (w || !r->write);
    }
    if (u && r->smap && (r->system || !r->ac)) {
        return false;
    }
    return !r->write || w || !r->wp;
}

static uint64_t bits_of(unsigned rights)
{
    return P | (rights & (W | U)) | (rights & 1 ? XD : 0);
}

static void check_rights(SoftRig *rig, unsigned leaf, const Rights *r)
{
    SoftCpu *cpu = rig->cpu;
    unsigned access = r->system ? ACCESS_SYSTEM : 0;
    const SoftEvent *e;
    const uint8_t *code;
    uint64_t value;

    mmu_put64(rig, entry_at(4), (TABLES + 0x1000) | bits_of(r->upper));
    mmu_put64(rig, entry_at(leaf), bits_of(r->lower) | (leaf == 3 ? 0 : FRAME) | (leaf > 1 ? PS : 0));
    cpu->cpl = r->user ? 3 : 0;
    cpu->cr0 = CR0_PE | CR0_PG | (r->wp ? CR0_WP : 0);
    cpu->cr4 = CR4_PAE | (r->smep ? CR4_SMEP : 0) | (r->smap ? CR4_SMAP : 0);
    cpu->eflags = EFLAGS_FIXED | (r->ac ? EFLAGS_AC : 0);
    mmu_changed(rig);
    e = r->exec ? mmu_fetch(rig, LINEAR, &code) : r->write ? mmu_store(rig, LINEAR, 1, 0, access) :
        mmu_load(rig, LINEAR, 1, access, &value);
    if (expected(r)) {
        assert_null(e);
    } else {
        assert_fault(rig, e, FAULT_P | (r->write ? FAULT_W : 0) | (r->user && !r->system ? FAULT_U : 0) |
                     (r->exec ? FAULT_I : 0));
    }
}

static void test_rights_are_those_of_the_manual(void **state)
{
    SoftRig *rig = *state;

    for (unsigned leaf = 1; leaf <= 3; leaf++) {
        map_4level(rig, leaf, leaf == 3 ? 0 : FRAME);
        for (unsigned i = 0; i < 64 * 32 * 6; i++) {
            unsigned kind = i % 6, mode = i / 6 % 32, rights = i / (6 * 32);
            Rights r = {
                .upper = (rights & 1) | (rights & 6), .lower = (rights >> 3 & 1) | (rights >> 3 & 6),
                .user = mode & 1, .wp = mode & 2, .smep = mode & 4, .smap = mode & 8, .ac = mode & 16,
                .system = kind == 3 || kind == 4, .write = kind == 1 || kind == 4, .exec = kind == 2,
            };

            if (kind != 5) {
                check_rights(rig, leaf, &r);
            }
        }
    }
}

static void test_fetch_is_told_only_with_nxe_or_smep(void **state)
{
    SoftRig *rig = *state;
    const uint8_t *code;

    map_4level(rig, 1, FRAME);
    mmu_put64(rig, entry_at(1), 0);
    rig->cpu->efer &= ~EFER_NXE;
    mmu_changed(rig);
    assert_fault(rig, mmu_fetch(rig, LINEAR, &code), 0);
    rig->cpu->cr4 |= CR4_SMEP;
    mmu_changed(rig);
    assert_fault(rig, mmu_fetch(rig, LINEAR, &code), FAULT_I);
    rig->cpu->cr4 &= ~CR4_SMEP;
    rig->cpu->efer |= EFER_NXE;
    mmu_changed(rig);
    assert_fault(rig, mmu_fetch(rig, LINEAR, &code), FAULT_I);
}

static void test_address_that_is_not_canonical_is_no_page_fault(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    assert_int_equal(mmu_load(rig, UINT64_C(0x800000000000), 1, 0, &value)->vector, VECTOR_GP);
    assert_int_equal(mmu_store(rig, UINT64_C(0xffff7fffffffffff), 1, 0, ACCESS_STACK)->vector, VECTOR_SS);
    assert_int_equal(rig->cpu->event.error, 0);
    assert_true(rig->cpu->event.has_error);
}

/* ---- accessed and dirty ---- */

static void test_a_load_marks_every_level_accessed_and_none_dirty(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    map_4level(rig, 1, FRAME);
    assert_null(mmu_load(rig, LINEAR, 1, 0, &value));
    for (unsigned level = 1; level <= 4; level++) {
        assert_int_equal(mmu_get64(rig, entry_at(level)) & (A | D), A);
    }
}

static void test_a_store_marks_the_last_level_dirty(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    map_4level(rig, 1, FRAME);
    assert_null(mmu_load(rig, LINEAR, 1, 0, &value));
    assert_null(mmu_store(rig, LINEAR, 1, 0, 0));
    assert_int_equal(mmu_get64(rig, entry_at(1)) & (A | D), A | D);
    assert_int_equal(mmu_get64(rig, entry_at(2)) & (A | D), A);
}

static void test_a_fault_marks_nothing(void **state)
{
    SoftRig *rig = *state;

    map_4level(rig, 1, FRAME);
    mmu_put64(rig, entry_at(1), FRAME | P | U);
    mmu_changed(rig);
    assert_fault(rig, mmu_store(rig, LINEAR, 1, 0, 0), FAULT_P | FAULT_W);
    for (unsigned level = 1; level <= 4; level++) {
        assert_int_equal(mmu_get64(rig, entry_at(level)) & (A | D), 0);
    }
}

static void test_translation_for_a_debugger_marks_nothing(void **state)
{
    SoftRig *rig = *state;
    uint64_t gpa;

    map_4level(rig, 1, FRAME);
    soft_outside_begin(rig->cpu);
    assert_true(soft_cpu_translate(rig->cpu, LINEAR, &gpa));
    soft_outside_end(rig->cpu);
    assert_int_equal(gpa, FRAME + 0xabc);
    assert_int_equal(mmu_get64(rig, entry_at(4)) & (A | D), 0);
    assert_int_equal(mmu_get64(rig, entry_at(1)) & (A | D), 0);
}

/* An entry's bit for software is changed, as by another processor, between any two instructions of a walk. */
static uint64_t *entry_to_change;
static volatile unsigned changes;

static void change(int signal)
{
    *entry_to_change ^= UINT64_C(1) << 9;
    changes++;
}

static void test_no_change_by_others_is_lost(void **state)
{
    const struct itimerval often = { { 0, 50 }, { 0, 50 } }, never = { { 0, 0 }, { 0, 0 } };
    SoftRig *rig = *state;

    map_4level(rig, 1, FRAME);
    entry_to_change = (uint64_t *)(rig->host + entry_at(1));
    changes = 0;
    assert_true(signal(SIGALRM, change) != SIG_ERR);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (changes < 2000) {
        __atomic_fetch_and(entry_to_change, ~(uint64_t)(A | D), __ATOMIC_SEQ_CST);
        soft_tlb_flush_page(rig->cpu, LINEAR);
        assert_null(mmu_store(rig, LINEAR, 1, 0, 0));
        assert_int_equal(__atomic_load_n(entry_to_change, __ATOMIC_SEQ_CST) & (A | D), A | D);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
    assert_int_equal(*entry_to_change >> 9 & 1, changes & 1);
}

/* ---- 32-bit paging ---- */

#define LINEAR32 UINT64_C(0xc0765432)

static void enter_32bit_paging(SoftRig *rig, uint64_t cr4)
{
    soft_rig_enter_32(rig);
    rig->cpu->efer = 0;
    rig->cpu->cr0 |= CR0_PG | CR0_WP;
    rig->cpu->cr4 = cr4;
    rig->cpu->cr3 = TABLES;
    mmu_put32(rig, TABLES + (LINEAR32 >> 22) * 4, (TABLES + 0x1000) | P | W | U);
    mmu_put32(rig, TABLES + 0x1000 + (LINEAR32 >> 12 & 1023) * 4, FRAME | P | W | U);
    mmu_changed(rig);
}

static void test_32_bit_paging_finds_a_4_kib_page(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    enter_32bit_paging(rig, 0);
    mmu_put64(rig, FRAME + 0x432, 7);
    assert_null(mmu_load(rig, LINEAR32, 4, 0, &value));
    assert_int_equal(value, 7);
    assert_null(mmu_store(rig, LINEAR32, 4, 8, 0));
    assert_int_equal(mmu_get64(rig, TABLES + 0x1000 + (LINEAR32 >> 12 & 1023) * 4) & 0xfff, P | W | U | A | D);
    assert_int_equal(mmu_get64(rig, TABLES + (LINEAR32 >> 22) * 4) & 0xfff, P | W | U | A);
}

static void test_32_bit_rights_are_of_both_levels(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    enter_32bit_paging(rig, 0);
    mmu_put32(rig, TABLES + (LINEAR32 >> 22) * 4, (TABLES + 0x1000) | P | W);
    rig->cpu->cpl = 3;
    mmu_changed(rig);
    assert_fault(rig, mmu_load(rig, LINEAR32, 4, 0, &value), FAULT_P | FAULT_U);
    mmu_put32(rig, TABLES + (LINEAR32 >> 22) * 4, (TABLES + 0x1000) | P | U);
    assert_fault(rig, mmu_store(rig, LINEAR32, 4, 0, 0), FAULT_P | FAULT_U | FAULT_W);
    assert_null(mmu_load(rig, LINEAR32, 4, 0, &value));
}

static void test_page_size_bit_counts_only_with_pse(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    enter_32bit_paging(rig, 0);
    mmu_put32(rig, TABLES + (LINEAR32 >> 22) * 4, (TABLES + 0x1000) | P | W | U | PS);
    mmu_put64(rig, FRAME + 0x432, 7);
    assert_null(mmu_load(rig, LINEAR32, 4, 0, &value));
    assert_int_equal(value, 7);
    mmu_put32(rig, TABLES + (LINEAR32 >> 22) * 4, FRAME | P | W | U | PS);
    mmu_put64(rig, FRAME + (LINEAR32 & 0x3fffff), 9);
    rig->cpu->cr4 = CR4_PSE;
    mmu_changed(rig);
    assert_null(mmu_load(rig, LINEAR32, 4, 0, &value));
    assert_int_equal(value, 9);
}

static void test_4_mib_page_reaches_40_bits(void **state)
{
    SoftRig *rig = *state;
    uint64_t value, gpa;

    enter_32bit_paging(rig, CR4_PSE);
    rig->cpu->phys_bits = 40;
    mmu_put32(rig, TABLES + (LINEAR32 >> 22) * 4, 0x00c00000 | 0xa5 << 13 | P | PS);
    assert_true(soft_cpu_translate(rig->cpu, LINEAR32, &gpa));
    assert_int_equal(gpa, UINT64_C(0xa500c00000) + (LINEAR32 & 0x3fffff));
    mmu_put32(rig, TABLES + (LINEAR32 >> 22) * 4, 1 << 21 | P | PS);
    assert_fault(rig, mmu_load(rig, LINEAR32, 4, 0, &value), FAULT_P | FAULT_RSVD);
    rig->cpu->phys_bits = 36;
    mmu_put32(rig, TABLES + (LINEAR32 >> 22) * 4, 1 << 17 | P | PS);
    assert_fault(rig, mmu_load(rig, LINEAR32, 4, 0, &value), FAULT_P | FAULT_RSVD);
    mmu_put32(rig, TABLES + (LINEAR32 >> 22) * 4, 1 << 16 | P | PS);
    assert_null(mmu_load(rig, LINEAR32, 4, 0, &value));
}

/* ---- PAE ---- */

static void enter_pae(SoftRig *rig)
{
    enter_32bit_paging(rig, CR4_PAE);
    rig->cpu->efer = EFER_NXE;
    rig->cpu->phys_bits = 40;
    mmu_put64(rig, TABLES + 0x20, 0);
    mmu_put64(rig, TABLES + 0x28, 0);
    mmu_put64(rig, TABLES + 0x30, 0);
    mmu_put64(rig, TABLES + 0x38, (TABLES + 0x1000) | P);
    mmu_put64(rig, TABLES + 0x1000 + (LINEAR32 >> 21 & 511) * 8, (TABLES + 0x2000) | P | W | U);
    mmu_put64(rig, TABLES + 0x2000 + (LINEAR32 >> 12 & 511) * 8, FRAME | P | W | U);
    mmu_changed(rig);
}

static void test_pae_pointers_are_loaded_with_cr3(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    enter_pae(rig);
    mmu_put64(rig, FRAME + 0x432, 11);
    assert_null(mmu_cr3(rig, TABLES + 0x20, false));
    assert_null(mmu_load(rig, LINEAR32, 4, 0, &value));
    assert_int_equal(value, 11);
    mmu_put64(rig, TABLES + 0x38, 0); /* too late */
    soft_tlb_flush(rig->cpu);
    assert_null(mmu_load(rig, LINEAR32, 4, 0, &value));
    assert_null(mmu_cr3(rig, TABLES + 0x20, false));
    assert_fault(rig, mmu_load(rig, LINEAR32, 4, 0, &value), 0);
}

static void test_reserved_bits_of_pae_pointers_are_general_protection(void **state)
{
    SoftRig *rig = *state;

    enter_pae(rig);
    assert_null(mmu_cr3(rig, TABLES + 0x20, false));
    for (unsigned bit = 1; bit < 64; bit++) {
        bool reserved = bit <= 2 || (bit >= 5 && bit <= 8) || bit >= 40;

        mmu_put64(rig, TABLES + 0x28, P | UINT64_C(1) << bit);
        if (reserved) {
            assert_int_equal(mmu_cr3(rig, TABLES + 0x20, false)->vector, VECTOR_GP);
            assert_int_equal(rig->cpu->pdptr[1], 0);
        }
    }
    mmu_put64(rig, TABLES + 0x28, UINT64_C(0xfffffffffffffffe)); /* not present: ignored */
    assert_null(mmu_cr3(rig, TABLES + 0x20, false));
}

static void test_pae_entries_have_more_reserved_bits(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    enter_pae(rig);
    assert_null(mmu_cr3(rig, TABLES + 0x20, false));
    for (unsigned bit = 40; bit < 63; bit++) {
        mmu_put64(rig, TABLES + 0x2000 + (LINEAR32 >> 12 & 511) * 8, FRAME | P | UINT64_C(1) << bit);
        assert_fault(rig, mmu_load(rig, LINEAR32, 4, 0, &value), FAULT_P | FAULT_RSVD);
    }
    mmu_put64(rig, TABLES + 0x2000 + (LINEAR32 >> 12 & 511) * 8, FRAME | P | XD);
    assert_null(mmu_load(rig, LINEAR32, 4, 0, &value));
}

static void test_pae_has_2_mib_pages_without_pse(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    enter_pae(rig);
    assert_null(mmu_cr3(rig, TABLES + 0x20, false));
    mmu_put64(rig, TABLES + 0x1000 + (LINEAR32 >> 21 & 511) * 8, FRAME | P | W | PS);
    mmu_put64(rig, FRAME + (LINEAR32 & 0x1fffff), 13);
    assert_null(mmu_load(rig, LINEAR32, 4, 0, &value));
    assert_int_equal(value, 13);
}

/* ---- no paging; tables in odd places ---- */

static void test_without_paging_linear_is_physical_and_wraps(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    soft_rig_enter_32(rig);
    rig->cpu->efer = 0;
    mmu_changed(rig);
    mmu_put64(rig, 0x1000, 5);
    assert_null(mmu_load(rig, UINT64_C(0x100001000), 8, 0, &value));
    assert_int_equal(value, 5);
}

static void test_tables_in_a_device_are_read_and_not_marked(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    map_4level(rig, 1, FRAME);
    mmu_put64(rig, FRAME + 0xabc, 17);
    mmu_put64(rig, entry_at(2), RIG_DEVICE | P | W | U);
    rig->device_value = FRAME | P | W | U;
    mmu_changed(rig);
    assert_null(mmu_store(rig, LINEAR, 8, 18, 0));
    assert_null(mmu_load(rig, LINEAR, 8, 0, &value));
    assert_int_equal(value, 18);
    assert_true(rig->reads > 0);
    assert_int_equal(rig->writes, 0);
}

static void test_tables_in_rom_are_used_and_not_marked(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    map_4level(rig, 1, FRAME);
    soft_outside_begin(rig->cpu);
    memory_set_readonly(&rig->ram, true);
    soft_outside_end(rig->cpu);
    assert_null(mmu_load(rig, LINEAR, 8, 0, &value));
    assert_null(mmu_store(rig, LINEAR, 8, 18, 0));
    assert_int_equal(mmu_get64(rig, entry_at(4)) & (A | D), 0);
    assert_int_equal(mmu_get64(rig, entry_at(1)) & (A | D), 0);
    assert_int_equal(mmu_get64(rig, FRAME + 0xabc), 0);
}

static void test_tables_nowhere_are_all_ones(void **state)
{
    SoftRig *rig = *state;
    uint64_t value;

    map_4level(rig, 1, FRAME);
    rig->cpu->phys_bits = 40;
    mmu_put64(rig, entry_at(2), UINT64_C(0x7000000000) | P | W | U);
    mmu_changed(rig);
    assert_fault(rig, mmu_load(rig, LINEAR, 1, 0, &value), FAULT_P | FAULT_RSVD);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_4_kib_page_is_found_through_four_levels),
        TEST(test_2_mib_page_is_found_through_three),
        TEST(test_1_gib_page_is_found_through_two),
        TEST(test_1_gib_page_is_reserved_without_the_feature),
        TEST(test_entry_that_is_not_present_faults_without_p),
        TEST(test_every_reserved_bit_faults),
        TEST(test_xd_is_reserved_without_nxe),
        TEST(test_rights_are_those_of_the_manual),
        TEST(test_fetch_is_told_only_with_nxe_or_smep),
        TEST(test_address_that_is_not_canonical_is_no_page_fault),
        TEST(test_a_load_marks_every_level_accessed_and_none_dirty),
        TEST(test_a_store_marks_the_last_level_dirty),
        TEST(test_a_fault_marks_nothing),
        TEST(test_translation_for_a_debugger_marks_nothing),
        TEST(test_no_change_by_others_is_lost),
        TEST(test_32_bit_paging_finds_a_4_kib_page),
        TEST(test_32_bit_rights_are_of_both_levels),
        TEST(test_page_size_bit_counts_only_with_pse),
        TEST(test_4_mib_page_reaches_40_bits),
        TEST(test_pae_pointers_are_loaded_with_cr3),
        TEST(test_reserved_bits_of_pae_pointers_are_general_protection),
        TEST(test_pae_entries_have_more_reserved_bits),
        TEST(test_pae_has_2_mib_pages_without_pse),
        TEST(test_without_paging_linear_is_physical_and_wraps),
        TEST(test_tables_in_a_device_are_read_and_not_marked),
        TEST(test_tables_in_rom_are_used_and_not_marked),
        TEST(test_tables_nowhere_are_all_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
