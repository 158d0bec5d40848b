/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vector-rig.h"

#include <string.h>

#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/vm.h"

#define ARITHMETIC ((uint64_t)EFLAGS_ARITHMETIC)

/* ---- running ---- */

SoftRig *vector_rig_new(void)
{
    SoftRig *rig = soft_rig_new();

    soft_rig_enter_64(rig, 0);
    memset(rig->host + RIG_PML4 + 0x2000 + 8 * ((NATIVE_DATA >> 21) + 1), 0, 8);
    native_vector_begin();
    return rig;
}

void vector_rig_free(SoftRig *rig)
{
    native_vector_end();
    soft_rig_free(rig);
}

static void put_state(SoftCpu *cpu, const VectorState *state)
{
    memcpy(cpu->gpr, state->gpr, sizeof(cpu->gpr));
    soft_fp_replace(cpu);
    memcpy(cpu->xsave, state->xsave, sizeof(cpu->xsave));
    soft_set_rflags(cpu, (state->rflags & ARITHMETIC) | EFLAGS_FIXED);
    cpu->rip = RIG_CODE;
    cpu->halted = false;
    soft_update_mode(cpu);
}

int vector_run(SoftRig *rig, const uint8_t *bytes, unsigned n, const VectorState *before, VectorState *ret_after)
{
    SoftCpu *cpu = rig->cpu;
    SoftExit why;

    memcpy(rig->host + RIG_CODE, bytes, n);
    rig->host[RIG_CODE + n] = 0xf4;
    soft_code_written(rig->vm, NULL, rig->host + RIG_CODE, 32);
    put_state(cpu, before);
    why = soft_rig_run(rig);
    soft_fp_leave(cpu);
    memcpy(ret_after->gpr, cpu->gpr, sizeof(cpu->gpr));
    memcpy(ret_after->xsave, cpu->xsave, sizeof(cpu->xsave));
    ret_after->rflags = soft_get_rflags(cpu) & ARITHMETIC;
    return why == SOFT_EXIT_HALTED ? -1 : cpu->exception.vector;
}

/* ---- states ---- */

uint64_t vector_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed * UINT64_C(0x2545f4914f6cdd1d);
}

void vector_fill_register(uint64_t *seed, uint8_t *to)
{
    static const float singles[] = { 0, 1, -1, 0.5f, 3e38f, 1e-40f, -1e-40f, 1.5f, -2.5f, 65536.0f };
    static const double doubles[] = { 0, 1.25, -1, 1e-310, 1e300, 65536.5, -0.75, 2147483648.0 };
    unsigned kind = vector_random(seed) % 4;

    for (unsigned i = 0; i < 16; i += 8) {
        uint64_t word = vector_random(seed);

        if (kind == 0) {
            memcpy(to + i, &singles[word % G_N_ELEMENTS(singles)], 4);
            memcpy(to + i + 4, &singles[word >> 32 & 7], 4);
        } else if (kind == 1) {
            memcpy(to + i, &doubles[word % G_N_ELEMENTS(doubles)], 8);
        } else {
            memcpy(to + i, &word, 8);
        }
    }
}

static void fill_x87(uint64_t *seed, uint8_t *image, bool unmasked)
{
    uint64_t word = vector_random(seed);
    unsigned flags = unmasked && word >> 60 == 0 ? word >> 8 & 0x3f : 0;

    *fp_u16(image, FX_FCW) = unmasked ? 0x340 | (word & 0xc3f) : FCW_INIT;
    *fp_u16(image, FX_FSW) = (word >> 16 & 0x7f00) | flags;
    if (flags & ~(unsigned)*fp_u16(image, FX_FCW)) {
        *fp_u16(image, FX_FSW) |= 0x8000 | FSW_ES;
    }
    image[FX_FTW] = (uint8_t)(unmasked ? word >> 32 : UINT64_C(0xff) >> (word >> 32 & 7));
    for (unsigned i = 0; i < 8; i++) {
        uint64_t mantissa = vector_random(seed), exponent = vector_random(seed);

        *fp_u64(image, FX_ST + 16 * i) = exponent >> 60 ? mantissa | UINT64_C(1) << 63 : UINT64_C(1) << 63;
        *fp_u16(image, FX_ST + 16 * i + 8) =
            exponent & 7 ? 0x3fff - 40 + (exponent >> 8) % 80 + (exponent & 0x8000) : exponent >> 16 & 0xffff;
    }
}

void vector_fill(uint64_t *seed, VectorState *state, unsigned kind)
{
    uint8_t *image = state->xsave;

    memset(state, 0, sizeof(*state));
    for (unsigned i = 0; i < X86_GPRS; i++) {
        uint64_t word = vector_random(seed);

        state->gpr[i] = word % 4 == 0 ? word >> 32 & 0xff : word % 4 == 1 ? word >> 32 : word;
    }
    state->rflags = vector_random(seed) & ARITHMETIC;
    fill_x87(seed, image, kind & 1);
    *fp_u32(image, FX_MXCSR) = kind & 2 ? vector_random(seed) & 0xffc0 : MXCSR_INIT | (vector_random(seed) & 0xe040);
    *fp_u32(image, FX_MXCSR_MASK) = native_mxcsr_mask();
    for (unsigned i = 0; i < 16; i++) {
        vector_fill_register(seed, image + FX_XMM + 16 * i);
        vector_fill_register(seed, image + XS_AVX + 16 * i);
    }
    *fp_u64(image, XS_BV) = XFEATURES;
}

/* ---- comparing ---- */

/* Initial components as they are, and without the x87 pointers. */
static void canonical(uint8_t *image)
{
    uint64_t bv = *fp_u64(image, XS_BV);

    if (!(bv & XFEATURE_X87)) {
        memset(image, 0, FX_MXCSR);
        memset(image + FX_ST, 0, FX_XMM - FX_ST);
        *fp_u16(image, FX_FCW) = FCW_INIT;
    }
    if (!(bv & XFEATURE_SSE)) {
        memset(image + FX_XMM, 0, FX_END - FX_XMM);
    }
    if (!(bv & XFEATURE_AVX)) {
        memset(image + XS_AVX, 0, XS_END - XS_AVX);
    }
    memset(image + FX_FOP, 0, FX_MXCSR - FX_FOP);
    memset(image + FX_END, 0, XS_AVX - FX_END);
}

/* (Processors enter MMX mode before a page fault of the operand.) */
const char *vector_difference(int native_vector, VectorState *native, int vector, VectorState *guest)
{
    canonical(native->xsave);
    canonical(guest->xsave);
    return native_vector != vector                                               ? "vector"
           : memcmp(native->gpr, guest->gpr, sizeof(native->gpr))                ? "general registers"
           : native_vector < 0 && native->rflags != guest->rflags                ? "flags"
           : vector != VECTOR_PF && memcmp(native->xsave, guest->xsave, FX_XMM)  ? "x87, MXCSR"
           : memcmp(native->xsave + FX_XMM, guest->xsave + FX_XMM, XS_END - FX_XMM) ? "vector registers"
                                                                                 : NULL;
}
