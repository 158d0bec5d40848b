/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control registers, EFER and XCR0: what may be written to them, and that it counts at once.
 */
#include "system-rig.h"

/* ---- CR0 ---- */
static void assert_cr0_refused(SoftRig *rig, uint64_t value)
{
    uint64_t before;

    soft_rig_enter_64(rig, 0);
    before = rig->cpu->cr0;
    rig->cpu->RAX = value;
    assert_fault(rig, RUN(rig, 0x0f, 0x22, 0xc0), VECTOR_GP);
    assert_int_equal(rig->cpu->cr0, before);
}

static void cr0_refuses_what_excludes_itself(void **state)
{
    assert_cr0_refused(*state, CR0_PE | CR0_PG | CR0_NW);
    assert_cr0_refused(*state, CR0_PG);
    assert_cr0_refused(*state, CR0_PE | CR0_PG | UINT64_C(1) << 32);
    assert_cr0_refused(*state, CR0_PE); /* paging cannot go in 64-bit code */
}

static void cr0_ignores_its_reserved_bits(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = 0x9ffaffe3; /* all but NW, CD, AM and what is below */
    assert_int_equal(RUN(rig, 0x0f, 0x22, 0xc0), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->cr0, CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_PG);
}

static void clts_and_lmsw_change_their_bits(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = CR0_TS | CR0_EM;
    assert_int_equal(RUN(rig, 0x0f, 0x01, 0xf0), SOFT_EXIT_HALTED); /* lmsw ax: PE stays */
    assert_int_equal(rig->cpu->cr0 & 0xf, CR0_PE | CR0_TS | CR0_EM);
    soft_rig_enter_64(rig, 0);
    rig->cpu->cr0 |= CR0_TS;
    assert_int_equal(RUN(rig, 0x0f, 0x06), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->cr0 & CR0_TS, 0);
}

static void smsw_stores_by_operand_size(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = rig->cpu->RBX = rig->cpu->RCX = UINT64_MAX;
    rig->cpu->RDX = RIG_DATA;
    memset(rig->host + RIG_DATA, 0xff, 8);
    assert_int_equal(RUN(rig, 0x66, 0x0f, 0x01, 0xe0, 0x0f, 0x01, 0xe3, 0x48, 0x0f, 0x01, 0xe1, 0x0f, 0x01, 0x22),
                     SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->RAX, 0xffffffffffff0033);
    assert_int_equal(rig->cpu->RBX, 0x80010033);
    assert_int_equal(rig->cpu->RCX, 0x80010033);
    assert_int_equal(*(uint64_t *)(rig->host + RIG_DATA), 0xffffffffffff0033);
}

/* ---- CR3, CR4, CR8 ---- */
static void assert_cr4_refused(SoftRig *rig, uint64_t set, uint64_t clear)
{
    uint64_t before;

    soft_rig_enter_64(rig, 0);
    before = rig->cpu->cr4;
    rig->cpu->RAX = (before | set) & ~clear;
    assert_fault(rig, RUN(rig, 0x0f, 0x22, 0xe0), VECTOR_GP);
    assert_int_equal(rig->cpu->cr4, before);
}

static void cr4_refuses_what_is_not_offered(void **state)
{
    assert_cr4_refused(*state, 1 << 12, 0); /* LA57 */
    assert_cr4_refused(*state, 1 << 13, 0); /* VMXE */
    assert_cr4_refused(*state, 1 << 22, 0); /* PKE */
    assert_cr4_refused(*state, 1 << 23, 0); /* CET */
    assert_cr4_refused(*state, UINT64_C(1) << 40, 0);
    assert_cr4_refused(*state, 0, CR4_PAE); /* in long mode */
    clear_cpuid(*state, 7, 0, 1 << 2, 0, 1 << 7 | 1 << 20);
    assert_cr4_refused(*state, CR4_SMEP, 0);
    assert_cr4_refused(*state, CR4_SMAP, 0);
    assert_cr4_refused(*state, CR4_UMIP, 0);
}

static void pcide_needs_long_mode_and_pcid_0(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->cr3 |= 8;
    rig->cpu->RAX = rig->cpu->cr4 | CR4_PCIDE;
    assert_fault(rig, RUN(rig, 0x0f, 0x22, 0xe0), VECTOR_GP);
    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = rig->cpu->cr4 | CR4_PCIDE;
    assert_int_equal(RUN(rig, 0x0f, 0x22, 0xe0), SOFT_EXIT_HALTED);
    soft_rig_enter_32(rig);
    rig->cpu->efer = 0;
    rig->cpu->RAX = rig->cpu->cr4 | CR4_PCIDE;
    assert_fault(rig, RUN(rig, 0x0f, 0x22, 0xe0), VECTOR_GP);
}

static void cr3_refuses_bits_beyond_physical_addresses(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = RIG_PML4 | UINT64_C(1) << rig->cpu->phys_bits;
    assert_fault(rig, RUN(rig, 0x0f, 0x22, 0xd8), VECTOR_GP);
    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = RIG_PML4 | UINT64_C(1) << 63; /* means something only with PCIDE */
    assert_fault(rig, RUN(rig, 0x0f, 0x22, 0xd8), VECTOR_GP);
    soft_rig_enter_64(rig, 0);
    rig->cpu->cr4 |= CR4_PCIDE;
    rig->cpu->RAX = RIG_PML4 | UINT64_C(1) << 63;
    assert_int_equal(RUN(rig, 0x0f, 0x22, 0xd8), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->cr3, RIG_PML4);
}

static void cr8_is_the_local_apics(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = 9;
    assert_int_equal(RUN(rig, 0x44, 0x0f, 0x22, 0xc0, 0x44, 0x0f, 0x20, 0xc3), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cr8, 9);
    assert_int_equal(rig->cpu->RBX, 9);
    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = 16;
    assert_fault(rig, RUN(rig, 0x44, 0x0f, 0x22, 0xc0), VECTOR_GP);
}

/* ---- PAE paging ---- */
#define PDPT (RIG_DATA + 0x20)

static void enter_pae(SoftRig *rig, uint64_t first)
{
    soft_rig_enter_32(rig);
    rig->cpu->efer = 0;
    rig->cpu->cr4 |= CR4_PAE;
    rig->cpu->cr3 = PDPT;
    memset(rig->host + PDPT, 0, 32);
    memcpy(rig->host + PDPT, &first, 8);
    memcpy(rig->host + RIG_DATA + 0x1000, rig->host + RIG_PML4 + 0x2000, 64); /* a page directory: 2 MiB pages */
    for (uint64_t i = 0; i < RIG_RAM >> 21; i++) {
        uint64_t pde = i << 21 | 0x87;

        memcpy(rig->host + RIG_DATA + 0x1000 + 8 * i, &pde, 8);
    }
    rig->cpu->RAX = rig->cpu->cr0 | CR0_PG;
}

static void paging_with_pae_loads_the_directory_pointers(void **state)
{
    SoftRig *rig = *state;

    enter_pae(rig, (RIG_DATA + 0x1000) | 1);
    assert_int_equal(RUN(rig, 0x0f, 0x22, 0xc0), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->pdptr[0], (RIG_DATA + 0x1000) | 1);
    assert_true(rig->cpu->cr0 & CR0_PG);
    assert_int_equal(rig->cpu->efer & EFER_LMA, 0);
}

static void paging_with_pae_refuses_reserved_bits_in_them(void **state)
{
    SoftRig *rig = *state;

    enter_pae(rig, (RIG_DATA + 0x1000) | 3);
    assert_fault(rig, RUN(rig, 0x0f, 0x22, 0xc0), VECTOR_GP);
    assert_int_equal(rig->cpu->cr0 & CR0_PG, 0);
    enter_pae(rig, (RIG_DATA + 0x1000) | 1);
    rig->cpu->cr3 = RIG_DEVICE; /* is no memory */
    assert_fault(rig, RUN(rig, 0x0f, 0x22, 0xc0), VECTOR_GP);
}

/* ---- EFER, XCR0 ---- */
static void assert_efer_refused(SoftRig *rig, uint64_t value)
{
    uint64_t before;

    soft_rig_enter_64(rig, 0);
    before = rig->cpu->efer;
    rig->cpu->RCX = 0xc0000080;
    rig->cpu->RAX = (uint32_t)value;
    rig->cpu->RDX = value >> 32;
    assert_fault(rig, RUN(rig, 0x0f, 0x30), VECTOR_GP);
    assert_int_equal(rig->cpu->efer, before);
}

static void efer_refuses_reserved_bits_and_a_change_of_lme(void **state)
{
    assert_efer_refused(*state, EFER_SCE | EFER_LMA); /* LME goes while paging is on */
    assert_efer_refused(*state, EFER_LME | 1 << 1);
    assert_efer_refused(*state, EFER_LME | 1 << 12);  /* SVME */
    assert_efer_refused(*state, EFER_LME | UINT64_C(1) << 32);
}

static void lma_is_not_written(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RCX = 0xc0000080;
    rig->cpu->RAX = EFER_LME;
    rig->cpu->RDX = 0;
    assert_int_equal(RUN(rig, 0x0f, 0x30), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->efer, EFER_LME | EFER_LMA);
}

static SoftExit xsetbv(SoftRig *rig, uint64_t index, uint64_t value)
{
    soft_rig_enter_64(rig, 0);
    rig->cpu->RCX = index;
    rig->cpu->RAX = (uint32_t)value;
    rig->cpu->RDX = value >> 32;
    return RUN(rig, 0x0f, 0x01, 0xd1);
}

static void xsetbv_takes_only_what_goes_together(void **state)
{
    SoftRig *rig = *state;

    assert_fault(rig, xsetbv(rig, 0, 0), VECTOR_GP);
    assert_fault(rig, xsetbv(rig, 0, 6), VECTOR_GP);
    assert_fault(rig, xsetbv(rig, 0, 5), VECTOR_GP);
    assert_fault(rig, xsetbv(rig, 0, 0x207), VECTOR_GP);
    assert_fault(rig, xsetbv(rig, 0, UINT64_C(1) << 32 | 3), VECTOR_GP);
    assert_fault(rig, xsetbv(rig, 1, 3), VECTOR_GP);
    assert_int_equal(xsetbv(rig, 0, 3), SOFT_EXIT_HALTED);
    assert_int_equal(rig->cpu->xcr0, 3);
    soft_rig_enter_64(rig, 0);
    rig->cpu->cr4 &= ~CR4_OSXSAVE;
    assert_fault(rig, RUN(rig, 0x0f, 0x01, 0xd1), VECTOR_UD);
}

/* ---- what changes counts at once ---- */
/* A page of 2 MiB, its entry's flags as given, in place of RIG_DATA's. */
static void map_data(SoftRig *rig, uint64_t flags)
{
    uint64_t pde = RIG_DATA | flags;

    memcpy(rig->host + RIG_PML4 + 0x2000 + 8 * (RIG_DATA >> 21), &pde, 8);
    soft_tlb_flush(rig->cpu);
}

static void assert_page_fault_at(SoftRig *rig, SoftExit exit, unsigned offset, unsigned error)
{
    assert_int_equal(exit, SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_PF);
    assert_int_equal(soft_cpu_exception(rig->cpu)->error, error);
    assert_int_equal(rig->cpu->rip, RIG_CODE + offset);
}

static void write_protection_is_seen_at_once(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    map_data(rig, 0x81); /* read-only */
    rig->cpu->cr0 &= ~CR0_WP;
    rig->cpu->RAX = RIG_DATA;
    rig->cpu->RBX = rig->cpu->cr0 | CR0_WP;
    /* mov [rax], cl; mov cr0, rbx; mov [rax], cl */
    assert_page_fault_at(rig, RUN(rig, 0x88, 0x08, 0x0f, 0x22, 0xc3, 0x88, 0x08), 5, 3);
}

static void smap_is_seen_at_once(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    rig->cpu->RAX = RIG_DATA; /* a user's page, as all of the rig's */
    rig->cpu->RBX = rig->cpu->cr4 | CR4_SMAP;
    /* mov cl, [rax]; mov cr4, rbx; mov cl, [rax] */
    assert_page_fault_at(rig, RUN(rig, 0x8a, 0x08, 0x0f, 0x22, 0xe3, 0x8a, 0x08), 5, 1);
}

static void no_execute_is_a_reserved_bit_at_once(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_64(rig, 0);
    map_data(rig, UINT64_C(1) << 63 | 0x87);
    rig->cpu->gpr[X86_RSI] = RIG_DATA;
    rig->cpu->RCX = 0xc0000080;
    rig->cpu->RAX = EFER_LME;
    rig->cpu->RDX = 0;
    /* mov bl, [rsi]; wrmsr; mov bl, [rsi] */
    assert_page_fault_at(rig, RUN(rig, 0x8a, 0x1e, 0x0f, 0x30, 0x8a, 0x1e), 4, 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(cr0_refuses_what_excludes_itself),
        TEST(cr0_ignores_its_reserved_bits),
        TEST(clts_and_lmsw_change_their_bits),
        TEST(smsw_stores_by_operand_size),
        TEST(cr4_refuses_what_is_not_offered),
        TEST(pcide_needs_long_mode_and_pcid_0),
        TEST(cr3_refuses_bits_beyond_physical_addresses),
        TEST(cr8_is_the_local_apics),
        TEST(paging_with_pae_loads_the_directory_pointers),
        TEST(paging_with_pae_refuses_reserved_bits_in_them),
        TEST(efer_refuses_reserved_bits_and_a_change_of_lme),
        TEST(lma_is_not_written),
        TEST(xsetbv_takes_only_what_goes_together),
        TEST(write_protection_is_seen_at_once),
        TEST(smap_is_seen_at_once),
        TEST(no_execute_is_a_reserved_bit_at_once),
    };

    return cmocka_run_group_tests_name("soft-control", tests, NULL, NULL);
}
