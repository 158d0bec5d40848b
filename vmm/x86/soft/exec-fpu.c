/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that load and store the x87 environment and control registers: FNSTENV,
 * FNSAVE, FLDENV, FRSTOR (SDM 1-8.1.10), FXSAVE, FXRSTOR (SDM 1-10.5), LDMXCSR, WAIT, and
 * FNINIT, which sets the x87 pointers.  The XSAVE family is in exec-xsave.c; everything else
 * of x87, MMX, SSE and AVX is native (stub.h).
 *
 * Images are made and taken apart in buffers of our own: guest memory may change at any
 * moment, and must not see pointers of the host's (fpu.c).  FCS and FDS are zero, as on
 * processors that deprecate them (CPUID.7.EBX[13]).
 */
#include "vmm/x86/soft/decode.h"
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/vm.h"

/* ---- the x87 environment ---- */

/* As FNSTENV writes it in 32-bit protected mode, SDM 1 figure 8-9. */
typedef struct Env { uint32_t fcw, fsw, ftw, fip, fcs_fop, fdp, fds; } Env;
_Static_assert(sizeof(Env) == 28, "as the processor writes it");

#define FNSAVE_REGISTERS 80

static bool is_real_format(const SoftCpu *cpu)
{
    return !(cpu->mode & MODE_PROTECTED);
}

static unsigned env_bytes(const Op *op)
{
    return op->size == 2 ? sizeof(Env) / 2 : sizeof(Env);
}

static X87Pointers env_pointers(SoftCpu *cpu)
{
    X87Pointers p = soft_fp_pointers(cpu);

    if (cpu->x87_ip != X87_IP_NONE && is_real_format(cpu)) {
        p.fip += cpu->seg_base[X86_CS]; /* linear */
    }
    return p;
}

/* SDM 1 figures 8-9 to 8-12. */
static void put_env(const SoftCpu *cpu, const Op *op, const Env *env, X87Pointers p, uint8_t *to)
{
    uint32_t fip = (uint32_t)p.fip, fdp = (uint32_t)p.fdp;
    uint32_t *w = (uint32_t *)to;
    uint16_t *h = (uint16_t *)to;
    bool real = is_real_format(cpu);

    if (op->size == 2) {
        h[0] = (uint16_t)env->fcw;
        h[1] = (uint16_t)env->fsw;
        h[2] = (uint16_t)env->ftw;
        h[3] = (uint16_t)fip;
        h[4] = real ? (uint16_t)((fip >> 16 & 0xf) << 12 | p.fop) : 0;
        h[5] = (uint16_t)fdp;
        h[6] = real ? (uint16_t)((fdp >> 16 & 0xf) << 12) : 0;
        return;
    }
    w[0] = env->fcw;
    w[1] = env->fsw;
    w[2] = env->ftw;
    w[3] = real ? 0xffff0000 | (fip & 0xffff) : fip;
    w[4] = real ? (fip >> 16) << 12 | p.fop : (uint32_t)p.fop << 16;
    w[5] = real ? 0xffff0000 | (fdp & 0xffff) : fdp;
    w[6] = real ? (fdp >> 16) << 12 : 0xffff0000;
}

static Env get_env(const SoftCpu *cpu, const Op *op, const uint8_t *from)
{
    const uint32_t *w = (const uint32_t *)from;
    const uint16_t *h = (const uint16_t *)from;
    bool real = is_real_format(cpu);
    X87Pointers p;

    if (op->size == 2) {
        p.fip = h[3] | (real ? (uint32_t)(h[4] >> 12) << 16 : 0);
        p.fdp = h[5] | (real ? (uint32_t)(h[6] >> 12) << 16 : 0);
        p.fop = real ? h[4] & 0x7ff : 0;
        return (Env){ h[0], h[1], h[2], (uint32_t)p.fip, (uint32_t)p.fop << 16, (uint32_t)p.fdp, 0 };
    }
    p.fip = real ? (w[3] & 0xffff) | (w[4] >> 12 & 0xffff) << 16 : w[3];
    p.fdp = real ? (w[5] & 0xffff) | (w[6] >> 12 & 0xffff) << 16 : w[5];
    p.fop = (real ? w[4] : w[4] >> 16) & 0x7ff;
    return (Env){ (uint16_t)w[0], (uint16_t)w[1], (uint16_t)w[2], (uint32_t)p.fip, (uint32_t)p.fop << 16,
                  (uint32_t)p.fdp, 0 };
}

/* Both also do what the guest's instruction does to the registers: mask all exceptions, or FNINIT. */
static void store_env(SoftCpu *cpu, const Op *op, bool registers)
{
    unsigned bytes = env_bytes(op);
    uint8_t area[sizeof(Env) + FNSAVE_REGISTERS], *to;
    X87Pointers p;

    soft_sync(cpu, op);
    to = soft_write_begin(cpu, soft_ea(cpu, op), bytes + (registers ? FNSAVE_REGISTERS : 0), soft_op_access(op), false,
                          false);
    soft_fp_enter(cpu);
    p = env_pointers(cpu);
    if (registers) {
        __asm__ volatile("fnsave %0" : "=m"(area));
        soft_fp_set_pointers(cpu, (X87Pointers){ 0 });
        soft_copy(to + bytes, area + sizeof(Env), FNSAVE_REGISTERS);
    } else {
        __asm__ volatile("fnstenv %0" : "=m"(area));
    }
    put_env(cpu, op, (const Env *)area, p, to);
    soft_write_end(cpu);
}

static const Op *op_fnstenv(SoftCpu *cpu, const Op *op)
{
    store_env(cpu, op, false);
    SOFT_NEXT(cpu, op);
}

static const Op *op_fnsave(SoftCpu *cpu, const Op *op)
{
    store_env(cpu, op, true);
    SOFT_NEXT(cpu, op);
}

/* False: an exception was pending. */
static bool load_env(SoftCpu *cpu, const Op *op, bool registers)
{
    unsigned bytes = env_bytes(op), all = bytes + (registers ? FNSAVE_REGISTERS : 0);
    uint8_t area[sizeof(Env) + FNSAVE_REGISTERS];
    Env env;

    soft_sync(cpu, op);
    if (soft_fp_pending(cpu)) {
        return false;
    }
    soft_copy(area, soft_read_begin(cpu, soft_ea(cpu, op), all, soft_op_access(op)), all);
    soft_fp_enter(cpu);
    env = get_env(cpu, op, area);
    if (registers) {
        uint8_t native[sizeof(Env) + FNSAVE_REGISTERS];

        soft_copy(native, &env, sizeof(env));
        soft_copy(native + sizeof(env), area + bytes, FNSAVE_REGISTERS);
        __asm__ volatile("frstor %0" : : "m"(native));
    } else {
        __asm__ volatile("fldenv %0" : : "m"(env));
    }
    soft_fp_set_pointers(cpu, (X87Pointers){ env.fip, env.fdp, (uint16_t)(env.fcs_fop >> 16) });
    return true;
}

static const Op *op_fldenv(SoftCpu *cpu, const Op *op)
{
    if (!load_env(cpu, op, false)) {
        soft_fp_error(cpu);
    }
    SOFT_NEXT(cpu, op);
}

static const Op *op_frstor(SoftCpu *cpu, const Op *op)
{
    if (!load_env(cpu, op, true)) {
        soft_fp_error(cpu);
    }
    SOFT_NEXT(cpu, op);
}

/* ---- FNINIT, WAIT, LDMXCSR ---- */

static const Op *op_fninit(SoftCpu *cpu, const Op *op)
{
    soft_fp_enter(cpu);
    __asm__ volatile("fninit");
    soft_fp_set_pointers(cpu, (X87Pointers){ 0 });
    SOFT_NEXT(cpu, op);
}

static const Op *op_wait(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(soft_fp_pending(cpu))) {
        soft_sync(cpu, op);
        soft_fp_error(cpu);
    }
    SOFT_NEXT(cpu, op);
}

static void load_mxcsr(SoftCpu *cpu, uint32_t value)
{
    soft_fp_enter(cpu);
    __asm__ volatile("ldmxcsr %0" : : "m"(value));
}

static const Op *op_ldmxcsr(SoftCpu *cpu, const Op *op)
{
    uint32_t value = soft_ld32(cpu, op, soft_ea(cpu, op));

    if (UNLIKELY(value & ~cpu->vm->mxcsr_mask)) {
        soft_sync(cpu, op);
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    load_mxcsr(cpu, value);
    SOFT_NEXT(cpu, op);
}

/* ---- FXSAVE, FXRSTOR ---- */

/* XMM8-XMM15 exist in 64-bit code only. */
static unsigned fx_bytes(const SoftCpu *cpu)
{
    return soft_in_64bit_code(cpu) ? FX_END : FX_END - 8 * 16;
}

/* The form without REX.W has FCS and FDS in the upper halves. */
static void narrow_pointers(uint8_t *image)
{
    *fp_u32(image, FX_FIP + 4) = 0;
    *fp_u32(image, FX_FDP + 4) = 0;
}

static uint64_t fx_address(SoftCpu *cpu, const Op *op)
{
    uint64_t linear = soft_ea(cpu, op);

    soft_sync(cpu, op);
    if (linear & 15) {
        soft_raise_error(cpu, soft_misaligned_vector(op, linear), 0);
    }
    return linear;
}

static void fxsave(SoftCpu *cpu, const Op *op, bool wide)
{
    uint64_t linear = fx_address(cpu, op);
    _Alignas(16) uint8_t fx[FX_BYTES], *to;

    soft_probe(cpu, linear, FX_BYTES, ACCESS_WRITE | soft_op_access(op));
    to = soft_write_begin(cpu, linear, fx_bytes(cpu), soft_op_access(op), false, false);
    soft_fp_enter(cpu);
    __asm__ volatile("fxsave64 %0" : "=m"(fx));
    soft_fp_put_pointers(fx, soft_fp_saved_pointers(cpu, fx, soft_fp_pointers(cpu)));
    if (!wide) {
        narrow_pointers(fx);
    }
    soft_copy(to, fx, fx_bytes(cpu));
    soft_write_end(cpu);
}

static void fxrstor(SoftCpu *cpu, const Op *op, bool wide)
{
    uint64_t linear = fx_address(cpu, op);
    unsigned bytes = fx_bytes(cpu);
    _Alignas(16) uint8_t fx[FX_BYTES], image[FX_BYTES];

    soft_copy(image, soft_read_begin(cpu, linear, FX_BYTES, soft_op_access(op)), FX_BYTES);
    if (*fp_u32(image, FX_MXCSR) & ~cpu->vm->mxcsr_mask) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    if (!wide) {
        narrow_pointers(image);
    }
    soft_fp_enter(cpu);
    __asm__ volatile("fxsave64 %0" : "=m"(fx));
    soft_copy(fx, image, bytes);
    __asm__ volatile("fxrstor64 %0" : : "m"(fx));
    soft_fp_set_pointers(cpu, soft_fp_image_pointers(image));
}

static const Op *op_fxsave(SoftCpu *cpu, const Op *op)
{
    fxsave(cpu, op, false);
    SOFT_NEXT(cpu, op);
}

static const Op *op_fxsave64(SoftCpu *cpu, const Op *op)
{
    fxsave(cpu, op, true);
    SOFT_NEXT(cpu, op);
}

static const Op *op_fxrstor(SoftCpu *cpu, const Op *op)
{
    fxrstor(cpu, op, false);
    SOFT_NEXT(cpu, op);
}

static const Op *op_fxrstor64(SoftCpu *cpu, const Op *op)
{
    fxrstor(cpu, op, true);
    SOFT_NEXT(cpu, op);
}

const SoftInstr soft_fpu_instructions[] = {
    { ZYDIS_MNEMONIC_FNINIT, op_fninit, INSTR_FP },
    { ZYDIS_MNEMONIC_FNSTENV, op_fnstenv, INSTR_FP },
    { ZYDIS_MNEMONIC_FNSAVE, op_fnsave, INSTR_FP },
    { ZYDIS_MNEMONIC_FLDENV, op_fldenv, INSTR_FP },
    { ZYDIS_MNEMONIC_FRSTOR, op_frstor, INSTR_FP },
    { ZYDIS_MNEMONIC_FWAIT, op_wait, INSTR_FP },
    { ZYDIS_MNEMONIC_LDMXCSR, op_ldmxcsr, INSTR_FP },
    { ZYDIS_MNEMONIC_VLDMXCSR, op_ldmxcsr, INSTR_FP },
    { ZYDIS_MNEMONIC_FXSAVE, op_fxsave, INSTR_FP },
    { ZYDIS_MNEMONIC_FXSAVE64, op_fxsave64, INSTR_NO_LEGACY | INSTR_FP },
    { ZYDIS_MNEMONIC_FXRSTOR, op_fxrstor, INSTR_FP },
    { ZYDIS_MNEMONIC_FXRSTOR64, op_fxrstor64, INSTR_NO_LEGACY | INSTR_FP },
    { ZYDIS_MNEMONIC_XSAVE, soft_op_xsave, 0 },
    { ZYDIS_MNEMONIC_XSAVE64, soft_op_xsave64, INSTR_NO_LEGACY },
    { ZYDIS_MNEMONIC_XSAVEOPT, soft_op_xsaveopt, 0 },
    { ZYDIS_MNEMONIC_XSAVEOPT64, soft_op_xsaveopt64, INSTR_NO_LEGACY },
    { ZYDIS_MNEMONIC_XSAVEC, soft_op_xsavec, 0 },
    { ZYDIS_MNEMONIC_XSAVEC64, soft_op_xsavec64, INSTR_NO_LEGACY },
    { ZYDIS_MNEMONIC_XRSTOR, soft_op_xrstor, 0 },
    { ZYDIS_MNEMONIC_XRSTOR64, soft_op_xrstor64, INSTR_NO_LEGACY },
    { ZYDIS_MNEMONIC_XGETBV, soft_op_xgetbv, 0 },
    { 0 },
};
