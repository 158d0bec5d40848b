/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vector and x87 instructions where more is involved than registers and a page of RAM:
 * exceptions, modes, devices, code, several pages, masks, gathers, and a full store of stubs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "vector-rig.h"
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/stub.h"
#include "vmm/x86/soft/vm.h"

/* The signal handler must be installed within the test: cmocka has its own. */
static SoftRig *rig_64(void)
{
    SoftRig *rig = soft_rig_new();

    soft_rig_enter_64(rig, 0);
    soft_fp_image(rig->cpu);
    return rig;
}

#define RUN(rig, ...) run(rig, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
static int run(SoftRig *rig, const uint8_t *bytes, unsigned n)
{
    static const uint8_t hlt = 0xf4;
    bool real = !(rig->cpu->mode & MODE_PROTECTED);
    uint8_t *code = rig->host + (real ? 0x10000 : RIG_CODE);
    SoftExit why;

    memcpy(code, bytes, n);
    memcpy(code + n, &hlt, 1);
    soft_code_written(rig->vm, NULL, code, n + 1);
    rig->cpu->rip = real ? 0 : RIG_CODE;
    rig->cpu->halted = false;
    why = soft_rig_run(rig);
    return why == SOFT_EXIT_HALTED ? -1 : why == SOFT_EXIT_EXCEPTION ? rig->cpu->exception.vector : -2 - (int)why;
}

static void *xmm(SoftRig *rig, unsigned n)
{
    return soft_fp_image(rig->cpu) + FX_XMM + 16 * n;
}

static void set_doubles(SoftRig *rig, unsigned n, double low, double high)
{
    const double values[] = { low, high };

    memcpy(xmm(rig, n), values, sizeof(values));
}

static void assert_doubles(SoftRig *rig, unsigned n, double low, double high)
{
    const double values[] = { low, high };

    assert_memory_equal(xmm(rig, n), values, sizeof(values));
}

/* ---- exceptions ---- */

static void test_an_unmasked_division_by_zero_raises_xm_before_the_result(void **state)
{
    SoftRig *rig = rig_64();

    set_doubles(rig, 0, 1, 2);
    set_doubles(rig, 1, 0, 4);
    *fp_u32(rig->cpu->xsave, FX_MXCSR) = 0x1d80;
    rig->cpu->gpr[X86_RBX] = 77;
    assert_int_equal(RUN(rig, 0x90, 0x66, 0x0f, 0x5e, 0xc1), VECTOR_XM); /* nop; divpd xmm0, xmm1 */
    assert_int_equal(rig->cpu->rip, RIG_CODE + 1);
    assert_int_equal(rig->cpu->gpr[X86_RBX], 77);
    assert_doubles(rig, 0, 1, 2);
    assert_int_equal(*fp_u32(soft_fp_image(rig->cpu), FX_MXCSR), 0x1d84);
    soft_rig_free(rig);
}

static void test_without_osxmmexcpt_it_is_ud(void **state)
{
    SoftRig *rig = rig_64();

    rig->cpu->cr4 &= ~CR4_OSXMMEXCPT;
    *fp_u32(rig->cpu->xsave, FX_MXCSR) = 0x1d80;
    set_doubles(rig, 0, 1, 2);
    assert_int_equal(RUN(rig, 0x66, 0x0f, 0x5e, 0xc1), VECTOR_UD);
    soft_rig_free(rig);
}

/* fldz; fld1; fdiv st0, st1 with ZM clear */
#define DIVIDE_BY_ZERO 0xd9, 0xee, 0xd9, 0xe8, 0xd8, 0xf1

static void test_the_next_waiting_instruction_raises_mf(void **state)
{
    SoftRig *rig = rig_64();

    *fp_u16(rig->cpu->xsave, FX_FCW) = 0x37b;
    assert_int_equal(RUN(rig, DIVIDE_BY_ZERO, 0xdf, 0xe0, 0xd9, 0xe8), VECTOR_MF); /* ...; fnstsw ax; fld1 */
    assert_int_equal(rig->cpu->rip, RIG_CODE + 8);
    assert_int_equal(rig->cpu->gpr[X86_RAX] & 0xffff, 0xb084);
    soft_rig_free(rig);
}

static void test_wait_takes_a_pending_exception(void **state)
{
    SoftRig *rig = rig_64();

    *fp_u16(rig->cpu->xsave, FX_FCW) = 0x37b;
    assert_int_equal(RUN(rig, DIVIDE_BY_ZERO, 0x9b), VECTOR_MF);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 6);
    soft_rig_free(rig);
}

static void test_wait_passes_when_nothing_is_unmasked(void **state)
{
    SoftRig *rig = rig_64();

    assert_int_equal(RUN(rig, 0xdb, 0xe3, DIVIDE_BY_ZERO, 0x9b), -1); /* fninit; ...; fwait */
    soft_rig_free(rig);
}

static void ferr_and_kick(SoftCpu *cpu, void *opaque)
{
    ((SoftRig *)opaque)->ferrs++;
    soft_signal(cpu, SOFT_KICK);
}

static void test_without_ne_it_asserts_ferr_and_waits(void **state)
{
    SoftRig *rig = rig_64();
    SoftHooks hooks = *rig->cpu->hooks;

    hooks.ferr = ferr_and_kick;
    rig->cpu->hooks = &hooks;
    rig->cpu->cr0 &= ~CR0_NE;
    *fp_u16(rig->cpu->xsave, FX_FCW) = 0x37b;
    assert_int_equal(RUN(rig, DIVIDE_BY_ZERO, 0xd9, 0xe8), -2 - (int)SOFT_EXIT_KICKED);
    assert_int_equal(rig->ferrs, 1);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 6);
    *fp_u16(soft_fp_image(rig->cpu), FX_FSW) &= 0x7f00; /* as the interrupt's handler by FNCLEX */
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);
    assert_int_equal(rig->ferrs, 1);
    soft_rig_free(rig);
}

/* ---- modes ---- */

static void test_instructions_that_name_no_vector_register_are_gated_too(void **state)
{
    SoftRig *rig = rig_64();

    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig->cpu->cr0 |= CR0_TS;
    soft_update_mode(rig->cpu);
    assert_int_equal(RUN(rig, 0xf2, 0x0f, 0x2c, 0x03), VECTOR_NM); /* cvttsd2si eax, [rbx] */
    assert_int_equal(RUN(rig, 0xc5, 0xf8, 0x77), VECTOR_NM);       /* vzeroupper */
    assert_int_equal(RUN(rig, 0x0f, 0x77), VECTOR_NM);             /* emms */
    assert_int_equal(RUN(rig, 0x0f, 0xae, 0x1b), VECTOR_NM);       /* stmxcsr [rbx] */
    assert_int_equal(RUN(rig, 0xd9, 0xd0), VECTOR_NM);             /* fnop */
    assert_int_equal(RUN(rig, 0xc4, 0xe2, 0xf0, 0xf2, 0xc1), -1);  /* andn rax, rcx, rcx */
    soft_rig_free(rig);
}

static void test_32_bit_code_computes_with_its_registers(void **state)
{
    SoftRig *rig = soft_rig_new();

    soft_rig_enter_32(rig);
    soft_fp_image(rig->cpu);
    rig->cpu->gpr[X86_RBX] = 0xffff1234;
    rig->cpu->gpr[X86_RCX] = 0x80000000;
    assert_int_equal(RUN(rig, 0x66, 0x0f, 0x6e, 0xeb,         /* movd xmm5, ebx */
                         0x66, 0x0f, 0x3a, 0x16, 0xec, 0x00,  /* pextrd esp, xmm5, 0 */
                         0xf2, 0x0f, 0x2a, 0xf9,              /* cvtsi2sd xmm7, ecx */
                         0x66, 0x0f, 0x50, 0xff,              /* movmskpd edi, xmm7 */
                         0xf2, 0x0f, 0x38, 0xf0, 0xf7),       /* crc32 esi, bh */
                     -1);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0xffff1234);
    assert_doubles(rig, 7, -2147483648.0, 0);
    assert_int_equal(rig->cpu->gpr[X86_RDI], 1);
    soft_rig_free(rig);
}

static void test_16_bit_code_may_be_as_wide(void **state)
{
    SoftRig *rig = soft_rig_new();
    const double three = 3;

    soft_rig_enter_16(rig);
    rig->cpu->cr4 |= CR4_OSFXSR;
    soft_update_mode(rig->cpu);
    soft_fp_image(rig->cpu);
    memcpy(rig->host + 0x2000, &three, sizeof(three));
    rig->cpu->gpr[X86_RBX] = 0x2000;
    rig->cpu->gpr[X86_RCX] = 0x12340080;
    assert_int_equal(RUN(rig, 0xdd, 0x07,                     /* fld qword [bx] */
                         0xdb, 0x5f, 0x10,                    /* fistp dword [bx + 16] */
                         0x66, 0x0f, 0x6e, 0xc9,              /* movd xmm1, ecx */
                         0x66, 0x0f, 0x7e, 0xca,              /* movd edx, xmm1 */
                         0xf3, 0x0f, 0xb8, 0xc1,              /* popcnt ax, cx */
                         0x66, 0xf3, 0x0f, 0xb8, 0xf1,        /* popcnt esi, ecx */
                         0x0f, 0x50, 0xf9),                   /* movmskps edi, xmm1 */
                     -1);
    assert_int_equal(*(uint32_t *)(rig->host + 0x2010), 3);
    assert_int_equal(rig->cpu->gpr[X86_RDX], 0x12340080);
    assert_int_equal(rig->cpu->gpr[X86_RAX] & 0xffff, 1);
    assert_int_equal(rig->cpu->gpr[X86_RSI], 6);
    assert_int_equal(rig->cpu->gpr[X86_RDI], 0);
    assert_int_equal(RUN(rig, 0xc5, 0xf8, 0x57, 0xc0), VECTOR_UD); /* no VEX in real mode */
    soft_rig_free(rig);
}

static void test_hints_and_disabled_elements_are_not_checked_against_segments(void **state)
{
    SoftRig *rig = soft_rig_new();

    soft_rig_enter_32(rig);
    rig->cpu->cr4 |= CR4_OSXSAVE;
    rig->cpu->xcr0 = 7;
    rig->cpu->segment[X86_DS].limit = 0xfff;
    soft_update_mode(rig->cpu);
    soft_fp_image(rig->cpu);
    memset(xmm(rig, 1), 0xff, 4);
    memset(xmm(rig, 2), 0xfe, 4); /* -0x1010102 */
    memcpy(rig->host + 0x100, "abcd", 4);
    rig->cpu->gpr[X86_RBX] = 0x1010102 + 0x100;
    assert_int_equal(RUN(rig, 0x0f, 0x18, 0x0b), -1); /* prefetcht0 [ebx] */
    /* vpgatherdd xmm0, [ebx + xmm2], xmm1 */
    assert_int_equal(RUN(rig, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x13), -1);
    assert_memory_equal(xmm(rig, 0), "abcd\0\0\0", 8);
    memset(xmm(rig, 1), 0xff, 8);
    assert_int_equal(RUN(rig, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x13), VECTOR_GP);
    soft_rig_free(rig);
}

/* ---- memory that is not a piece of RAM ---- */

static void test_operands_may_lie_on_two_pages(void **state)
{
    SoftRig *rig = rig_64();
    uint8_t *memory = rig->host + RIG_DATA + PAGE_SIZE - 8;

    for (unsigned i = 0; i < 32; i++) {
        memory[i] = (uint8_t)i;
    }
    rig->cpu->gpr[X86_RBX] = RIG_DATA + PAGE_SIZE - 8;
    assert_int_equal(RUN(rig, 0xc5, 0xfe, 0x6f, 0x03, 0x0f, 0x11, 0x43, 0xe0),
                     -1); /* vmovdqu ymm0, [rbx]; movups [rbx-32], xmm0 */
    assert_memory_equal(memory - 32, memory, 16);
    assert_int_equal(RUN(rig, 0x0f, 0x10, 0x43, 0xff, 0x0f, 0x11, 0x03),
                     -1); /* movups xmm0, [rbx - 1]; movups [rbx], xmm0 */
    assert_int_equal(memory[1], 0);
    assert_int_equal(memory[15], 14);
    assert_int_equal(memory[16], 16);
    soft_rig_free(rig);
}

static void test_operands_may_be_a_devices_registers(void **state)
{
    SoftRig *rig = soft_rig_new();

    soft_rig_enter_32(rig);
    soft_fp_image(rig->cpu);
    rig->device_value = 0x55;
    rig->cpu->gpr[X86_RBX] = RIG_DEVICE;
    assert_int_equal(RUN(rig, 0x66, 0x0f, 0x6e, 0x03, 0x66, 0x0f, 0x7e, 0x43, 0x04),
                     -1); /* movd xmm0, [ebx]; movd [ebx + 4], xmm0 */
    assert_int_equal(rig->reads, 1);
    assert_int_equal(rig->last_offset, 4);
    assert_int_equal(rig->last_value, 0x55);
    soft_rig_free(rig);
}

static void test_a_store_over_the_running_block_counts_at_once(void **state)
{
    SoftRig *rig = rig_64();

    memset(xmm(rig, 0), 0x90, 16);
    rig->cpu->gpr[X86_RBX] = RIG_CODE + 3;
    assert_int_equal(RUN(rig, 0x0f, 0x11, 0x03, /* movups [rbx], xmm0 */
                         0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f, 0x0b, 0x0f,
                         0x0b),
                     -1);
    soft_rig_free(rig);
}

/* ---- masks ---- */

/* The page after RIG_DATA + 2 MiB is not there. */
static uint64_t end_of_memory(SoftRig *rig)
{
    memset(rig->host + RIG_PML4 + 0x2000 + 8 * ((RIG_DATA >> 21) + 1), 0, 8);
    soft_tlb_flush(rig->cpu);
    return RIG_DATA + (2 << 20);
}

static void test_masked_moves_access_enabled_elements_only(void **state)
{
    SoftRig *rig = rig_64();
    uint64_t end = end_of_memory(rig);
    uint32_t *last = (uint32_t *)(rig->host + end) - 2;
    uint32_t *mask = xmm(rig, 1);

    mask[1] = 1u << 31;
    last[0] = 10;
    last[1] = 11;
    memset(xmm(rig, 0), 0xff, 16);
    rig->cpu->gpr[X86_RBX] = end - 8;
    assert_int_equal(RUN(rig, 0xc4, 0xe2, 0x71, 0x2c, 0x03), -1); /* vmaskmovps xmm0, xmm1, [rbx] */
    assert_memory_equal(xmm(rig, 0), ((const uint32_t[]){ 0, 11, 0, 0 }), 16);
    memset(xmm(rig, 0), 0x77, 16);
    assert_int_equal(RUN(rig, 0xc4, 0xe2, 0x71, 0x2e, 0x03), -1); /* vmaskmovps [rbx], xmm1, xmm0 */
    assert_int_equal(last[0], 10);
    assert_int_equal(last[1], 0x77777777);
    mask = xmm(rig, 1);
    mask[2] = 1u << 31;
    assert_int_equal(RUN(rig, 0xc4, 0xe2, 0x71, 0x2e, 0x03), VECTOR_PF);
    assert_int_equal(rig->cpu->exception.address, end);
    soft_rig_free(rig);
}

static void test_a_gather_keeps_what_it_has_when_an_element_faults(void **state)
{
    SoftRig *rig = rig_64();
    uint64_t end = end_of_memory(rig);
    const uint32_t indices[] = { 0, 1, 1u << 19, 2 };

    for (unsigned i = 0; i < 4; i++) {
        ((uint32_t *)(rig->host + RIG_DATA))[i] = 100 + i;
    }
    memcpy(xmm(rig, 2), indices, sizeof(indices));
    memset(xmm(rig, 1), 0xff, 16);
    memset(xmm(rig, 0), 0, 16);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    assert_int_equal(RUN(rig, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x93),
                     VECTOR_PF); /* vpgatherdd xmm0, [rbx + 4 * xmm2], xmm1 */
    assert_int_equal(rig->cpu->exception.address, end);
    assert_memory_equal(xmm(rig, 0), ((const uint32_t[]){ 100, 101, 0, 0 }), 16);
    assert_memory_equal(xmm(rig, 1), ((const uint32_t[]){ 0, 0, UINT32_MAX, UINT32_MAX }), 16);
    soft_rig_free(rig);
}

static void test_a_gather_into_one_of_its_own_registers_is_ud(void **state)
{
    SoftRig *rig = rig_64();

    assert_int_equal(RUN(rig, 0xc4, 0xe2, 0x71, 0x90, 0x04, 0x83),
                     VECTOR_UD); /* vpgatherdd xmm0, [rbx + 4 * xmm0], xmm1 */
    soft_rig_free(rig);
}

/* Every gather, with random masks and indices into one page; the first pass is not in the TLB. */
static void test_gathers_give_what_the_host_gives(void **state)
{
    SoftRig *rig = vector_rig_new();
    uint64_t seed = 99;

    for (unsigned i = 0; i < 4 * 4 * 16; i++) {
        const uint8_t bytes[] = { 0xc4, 0xe2, (i & 1) << 7 | 0x69 | (i & 2) << 1, 0x90 + (i >> 2 & 3), 0x04, 0x8b };
        VectorState before, native, guest;
        const char *what;
        int vector;

        vector_fill(&seed, &before, 0);
        for (unsigned k = 0; k < 8; k++) {
            uint8_t *half = before.xsave + (k < 4 ? FX_XMM : XS_AVX) + 16; /* ymm1: indices */

            ((uint32_t *)half)[k % 4] = i >> 2 & 1 && k & 1 ? 0 : vector_random(&seed) % 512;
        }
        before.gpr[X86_RBX] = NATIVE_DATA;
        for (unsigned k = 0; k < PAGE_SIZE; k += 8) {
            *(uint64_t *)(NATIVE_DATA + k) = *(uint64_t *)(rig->host + NATIVE_DATA + k) = vector_random(&seed);
        }
        vector = native_vector_run(bytes, sizeof(bytes), &before, &native);
        what = vector_difference(vector, &native, vector_run(rig, bytes, sizeof(bytes), &before, &guest), &guest);
        if (what) {
            fail_msg("opcode %02x, W and L %u: %s", bytes[3], i & 3, what);
        }
        if (i % 3 == 0) {
            soft_tlb_flush(rig->cpu);
        }
    }
    vector_rig_free(rig);
}

static void test_maskmovdqu_honours_segment_and_address_size(void **state)
{
    SoftRig *rig = rig_64();
    uint8_t *memory = rig->host + RIG_DATA;

    memcpy(xmm(rig, 0), "0123456789abcdef", 16);
    memset(xmm(rig, 1), 0, 16);
    ((uint8_t *)xmm(rig, 1))[3] = 0x80;
    ((uint8_t *)xmm(rig, 1))[15] = 0xff;
    rig->cpu->segment[X86_FS].base = RIG_DATA - 0x1000;
    soft_update_mode(rig->cpu);
    rig->cpu->gpr[X86_RDI] = UINT64_C(0xffffffff00001000);
    assert_int_equal(RUN(rig, 0x64, 0x67, 0x66, 0x0f, 0xf7, 0xc1), -1); /* maskmovdqu fs:[edi], xmm0, xmm1 */
    assert_memory_equal(memory, ((const uint8_t[]){ 0, 0, 0, '3', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 'f' }), 16);
    assert_int_equal(memory[16], 0);
    soft_rig_free(rig);
}

/* ---- the store of stubs ---- */

static void note_resets(const char *name, uint64_t value, void *opaque)
{
    if (!strcmp(name, "stub-resets")) {
        *(uint64_t *)opaque = value;
    }
}

static void test_a_full_store_starts_anew(void **state)
{
    SoftRig *rig = rig_64();
    uint8_t code[60 * 6 + 1];
    uint64_t n = 0, resets = 0;

    /* vshufps xmm, xmm, xmm, imm: 2^20 of them. */
    for (unsigned i = 0; i < 9500; i++) {
        for (unsigned k = 0; k < 60; k++, n++) {
            const uint8_t one[] = { 0xc4, 0x41 | (n >> 8 & 1) << 5 | (~n >> 9 & 1) << 7, (n >> 10 & 15) << 3, 0xc6,
                                    0xc0 | (n >> 14 & 63), n & 0xff };

            memcpy(code + k * 6, one, sizeof(one));
        }
        assert_int_equal(run(rig, code, 60 * 6), -1);
    }
    soft_stubs_counters(rig->vm, note_resets, &resets);
    assert_true(resets > 0);
    set_doubles(rig, 0, 1, 2);
    assert_int_equal(RUN(rig, 0x66, 0x0f, 0x58, 0xc0), -1); /* addpd xmm0, xmm0 */
    assert_doubles(rig, 0, 2, 4);
    soft_rig_free(rig);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_unmasked_division_by_zero_raises_xm_before_the_result),
        cmocka_unit_test(test_without_osxmmexcpt_it_is_ud),
        cmocka_unit_test(test_the_next_waiting_instruction_raises_mf),
        cmocka_unit_test(test_wait_takes_a_pending_exception),
        cmocka_unit_test(test_wait_passes_when_nothing_is_unmasked),
        cmocka_unit_test(test_without_ne_it_asserts_ferr_and_waits),
        cmocka_unit_test(test_instructions_that_name_no_vector_register_are_gated_too),
        cmocka_unit_test(test_32_bit_code_computes_with_its_registers),
        cmocka_unit_test(test_16_bit_code_may_be_as_wide),
        cmocka_unit_test(test_hints_and_disabled_elements_are_not_checked_against_segments),
        cmocka_unit_test(test_operands_may_lie_on_two_pages),
        cmocka_unit_test(test_operands_may_be_a_devices_registers),
        cmocka_unit_test(test_a_store_over_the_running_block_counts_at_once),
        cmocka_unit_test(test_masked_moves_access_enabled_elements_only),
        cmocka_unit_test(test_a_gather_keeps_what_it_has_when_an_element_faults),
        cmocka_unit_test(test_a_gather_into_one_of_its_own_registers_is_ud),
        cmocka_unit_test(test_gathers_give_what_the_host_gives),
        cmocka_unit_test(test_maskmovdqu_honours_segment_and_address_size),
        cmocka_unit_test(test_a_full_store_starts_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
