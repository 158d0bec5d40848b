/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XSAVE, XSAVEOPT, XSAVEC, XRSTOR and XGETBV (SDM 1-13.6 to 13.10, 2C): between guest memory
 * and cpu->xsave, which has the standard form and x87, SSE and AVX at most.
 *
 * XSAVEOPT uses the init optimization and not the modified one, which it may do.  AVX is the
 * only component outside of the legacy region, so it lies at the same place in the compacted
 * form.  XSAVES and XRSTORS are absent.
 */
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/vm.h"

typedef enum Kind { KIND_XSAVE, KIND_XSAVEOPT, KIND_XSAVEC } Kind;

/* The requested-feature bitmap. */
static uint64_t rfbm(const SoftCpu *cpu)
{
    return ((cpu->gpr[X86_RDX] << 32) | (uint32_t)cpu->gpr[X86_RAX]) & cpu->xcr0;
}

static uint64_t area(SoftCpu *cpu, const Op *op)
{
    uint64_t linear = soft_ea(cpu, op);

    soft_sync(cpu, op);
    if (!(cpu->cr4 & CR4_OSXSAVE)) {
        soft_raise(cpu, VECTOR_UD);
    }
    if (cpu->cr0 & CR0_TS) {
        soft_raise(cpu, VECTOR_NM);
    }
    if (linear & 63) {
        soft_raise_error(cpu, soft_misaligned_vector(op, linear), 0);
    }
    return linear;
}

static unsigned area_bytes(uint64_t features)
{
    return features & XFEATURE_AVX ? XS_END : XS_AVX;
}

/* Registers 8-15 exist in 64-bit code only. */
static unsigned vector_bytes(const SoftCpu *cpu)
{
    return soft_in_64bit_code(cpu) ? 16 * 16 : 8 * 16;
}

/* XINUSE of cpu->xsave as XSAVEC and XGETBV see it, with MXCSR as a part of SSE; for XSAVE and XSAVEOPT it is not. */
static uint64_t in_use(SoftCpu *cpu)
{
    return *fp_u64(cpu->xsave, XS_BV) | (*fp_u32(cpu->xsave, FX_MXCSR) != MXCSR_INIT ? XFEATURE_SSE : 0);
}

/* ---- saving ---- */

static void put_x87(SoftCpu *cpu, bool used, bool wide, uint8_t *to)
{
    if (!used) {
        soft_zero(to, FX_MXCSR);
        soft_zero(to + FX_ST, FX_XMM - FX_ST);
        *fp_u16(to, FX_FCW) = FCW_INIT;
        return;
    }
    soft_copy(to, cpu->xsave, FX_MXCSR);
    soft_fp_put_pointers(to, soft_fp_saved_pointers(cpu, cpu->xsave, soft_fp_image_pointers(cpu->xsave)));
    soft_copy(to + FX_ST, cpu->xsave + FX_ST, FX_XMM - FX_ST);
    if (!wide) {
        *fp_u32(to, FX_FIP + 4) = 0;
        *fp_u32(to, FX_FDP + 4) = 0;
    }
}

static void put_vectors(SoftCpu *cpu, bool used, unsigned offset, uint8_t *to)
{
    if (used) {
        soft_copy(to + offset, cpu->xsave + offset, vector_bytes(cpu));
    } else {
        soft_zero(to + offset, vector_bytes(cpu));
    }
}

/* used: what of cpu->xsave is not initial; written: what goes to memory. */
static void put_components(SoftCpu *cpu, uint64_t used, uint64_t written, bool wide, uint8_t *to)
{
    if (written & XFEATURE_X87) {
        put_x87(cpu, used & XFEATURE_X87, wide, to);
    }
    if (written & XFEATURE_SSE) {
        put_vectors(cpu, *fp_u64(cpu->xsave, XS_BV) & XFEATURE_SSE, FX_XMM, to);
    }
    if (written & XFEATURE_AVX) {
        put_vectors(cpu, used & XFEATURE_AVX, XS_AVX, to);
    }
}

static void put_mxcsr(SoftCpu *cpu, uint8_t *to)
{
    *fp_u32(to, FX_MXCSR) = *fp_u32(cpu->xsave, FX_MXCSR);
    *fp_u32(to, FX_MXCSR_MASK) = cpu->vm->mxcsr_mask;
}

static void save(SoftCpu *cpu, const Op *op, Kind kind, bool wide)
{
    uint64_t linear = area(cpu, op), features = rfbm(cpu), used, written;
    uint8_t *to = soft_write_begin(cpu, linear, area_bytes(features), soft_op_access(op), true, false);

    soft_fp_sync(cpu);
    used = (kind == KIND_XSAVEC ? in_use(cpu) : *fp_u64(cpu->xsave, XS_BV)) & features;
    written = kind == KIND_XSAVE ? features : used;
    put_components(cpu, used, written, wide, to);
    if (kind == KIND_XSAVEC ? written & XFEATURE_SSE : features & (XFEATURE_SSE | XFEATURE_AVX)) {
        put_mxcsr(cpu, to);
    }
    if (kind == KIND_XSAVEC) {
        *fp_u64(to, XS_BV) = used;
        *fp_u64(to, XS_COMP_BV) = features | XCOMP_BV_COMPACT;
    } else {
        *fp_u64(to, XS_BV) = (*fp_u64(to, XS_BV) & ~features) | used;
    }
    soft_write_end(cpu);
}

/* ---- restoring ---- */

/* #GP(0), SDM 1-13.8. */
static bool is_valid(const SoftCpu *cpu, const uint8_t *from)
{
    const uint64_t *header = (const uint64_t *)(from + XS_HEADER);
    uint64_t bv = header[0], comp = header[1], rest = 0;
    bool compact = comp & XCOMP_BV_COMPACT;

    for (unsigned i = 2; i < (compact ? 8 : 3); i++) {
        rest |= header[i];
    }
    if (compact) {
        comp &= ~XCOMP_BV_COMPACT;
        return !rest && !(comp & ~cpu->xcr0) && !(bv & ~comp);
    }
    return !rest && !comp && !(bv & ~cpu->xcr0);
}

static void get_x87(SoftCpu *cpu, const uint8_t *from)
{
    soft_copy(cpu->xsave, from, FX_MXCSR);
    soft_copy(cpu->xsave + FX_ST, from + FX_ST, FX_XMM - FX_ST);
}

/* Outside of 64-bit code registers 8-15 stay as they are, initialized or not. */
static void get_vectors(SoftCpu *cpu, const uint8_t *from, uint64_t feature, bool saved, unsigned offset)
{
    uint64_t *bv = fp_u64(cpu->xsave, XS_BV);

    if (saved) {
        soft_copy(cpu->xsave + offset, from + offset, vector_bytes(cpu));
        *bv |= feature;
    } else if (soft_in_64bit_code(cpu)) {
        *bv &= ~feature;
    } else {
        soft_zero(cpu->xsave + offset, vector_bytes(cpu));
    }
}

/* Reads what of the area is needed, checks it, and returns the features that it has saved; mxcsr: what to load, NULL:
 * the instruction does not.  The standard form always has MXCSR, in the compacted one it is a part of SSE. */
static uint64_t read_area(SoftCpu *cpu, const Op *op, uint64_t features, uint8_t *from, const uint32_t **ret_mxcsr)
{
    uint64_t linear = area(cpu, op), saved;
    bool compact;

    soft_copy(from, soft_read_begin(cpu, linear, XS_AVX, soft_op_access(op)), XS_AVX);
    if (!is_valid(cpu, from)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    saved = *fp_u64(from, XS_BV) & features;
    compact = *fp_u64(from, XS_COMP_BV) & XCOMP_BV_COMPACT;
    if (saved & XFEATURE_AVX) {
        soft_copy(from + XS_AVX, soft_read_begin(cpu, linear + XS_AVX, XS_END - XS_AVX, soft_op_access(op)),
                  XS_END - XS_AVX);
    }
    if (compact && !(saved & XFEATURE_SSE)) {
        *fp_u32(from, FX_MXCSR) = MXCSR_INIT;
    }
    *ret_mxcsr = features & (compact ? XFEATURE_SSE : XFEATURE_SSE | XFEATURE_AVX) ? fp_u32(from, FX_MXCSR) : NULL;
    if (*ret_mxcsr && **ret_mxcsr & ~cpu->vm->mxcsr_mask) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    return saved;
}

/* Some of the state stays as it is: what is read replaces the rest of cpu->xsave. */
static void restore_parts(SoftCpu *cpu, uint64_t features, uint64_t saved, const uint8_t *from, const uint32_t *mxcsr)
{
    uint64_t *bv = fp_u64(soft_fp_image(cpu), XS_BV);

    if (features & saved & XFEATURE_X87) {
        get_x87(cpu, from);
    } else if (features & XFEATURE_X87) {
        *bv &= ~(uint64_t)XFEATURE_X87;
    }
    if (features & XFEATURE_SSE) {
        get_vectors(cpu, from, XFEATURE_SSE, saved & XFEATURE_SSE, FX_XMM);
    }
    if (features & XFEATURE_AVX) {
        get_vectors(cpu, from, XFEATURE_AVX, saved & XFEATURE_AVX, XS_AVX);
    }
    if (mxcsr) {
        *fp_u32(cpu->xsave, FX_MXCSR) = *mxcsr;
    }
    soft_fp_load(cpu);
}

static void restore(SoftCpu *cpu, const Op *op, bool wide)
{
    _Alignas(64) uint8_t from[XS_END];
    uint64_t features = rfbm(cpu), saved;
    const uint32_t *mxcsr;

    saved = read_area(cpu, op, features, from, &mxcsr);
    if (!wide) {
        *fp_u32(from, FX_FIP + 4) = 0;
        *fp_u32(from, FX_FDP + 4) = 0;
    }
    if (features != (cpu->vm->host_xcr0 & XFEATURES) || !soft_in_64bit_code(cpu)) {
        restore_parts(cpu, features, saved, from, mxcsr);
        return;
    }
    *fp_u64(from, XS_BV) = saved;
    *fp_u64(from, XS_COMP_BV) = 0;
    soft_fp_load_from(cpu, from);
}

/* ---- handlers ---- */

#define SAVE(name, kind, wide)                     \
    const Op *name(SoftCpu *cpu, const Op *op)     \
    {                                              \
        save(cpu, op, kind, wide);                 \
        SOFT_NEXT(cpu, op);                        \
    }
SAVE(soft_op_xsave, KIND_XSAVE, false)
SAVE(soft_op_xsave64, KIND_XSAVE, true)
SAVE(soft_op_xsaveopt, KIND_XSAVEOPT, false)
SAVE(soft_op_xsaveopt64, KIND_XSAVEOPT, true)
SAVE(soft_op_xsavec, KIND_XSAVEC, false)
SAVE(soft_op_xsavec64, KIND_XSAVEC, true)

const Op *soft_op_xrstor(SoftCpu *cpu, const Op *op)
{
    restore(cpu, op, false);
    SOFT_NEXT(cpu, op);
}

const Op *soft_op_xrstor64(SoftCpu *cpu, const Op *op)
{
    restore(cpu, op, true);
    SOFT_NEXT(cpu, op);
}

const Op *soft_op_xgetbv(SoftCpu *cpu, const Op *op)
{
    uint32_t index = (uint32_t)cpu->gpr[X86_RCX];
    uint64_t value = cpu->xcr0;

    soft_sync(cpu, op);
    if (!(cpu->cr4 & CR4_OSXSAVE)) {
        soft_raise(cpu, VECTOR_UD);
    }
    if (index == 1 && soft_has(cpu, 0xd, 1, 0, 2)) {
        soft_fp_sync(cpu);
        value &= in_use(cpu);
    } else if (index != 0) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    cpu->gpr[X86_RAX] = (uint32_t)value;
    cpu->gpr[X86_RDX] = value >> 32;
    SOFT_NEXT(cpu, op);
}
