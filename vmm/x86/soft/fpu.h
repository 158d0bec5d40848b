/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87, SSE and AVX state: the standard XSAVE form (SDM 1-13.4) that SoftCpu.xsave has,
 * and how its owners reach it.  Private to fpu.c and the handlers of such instructions.
 */
#pragma once

#include "vmm/x86/soft/op.h"

enum { XFEATURE_X87 = 1, XFEATURE_SSE = 2, XFEATURE_AVX = 4, XFEATURES = 7 };

/* Offsets.  FTW is the abridged tag word; FIP and FDP are 64 bits wide. */
enum { FX_FCW = 0, FX_FSW = 2, FX_FTW = 4, FX_FOP = 6, FX_FIP = 8, FX_FDP = 16, FX_MXCSR = 24, FX_MXCSR_MASK = 28,
       FX_ST = 32, FX_XMM = 160, FX_END = 416, FX_BYTES = 512,
       XS_HEADER = 512, XS_BV = 512, XS_COMP_BV = 520, XS_AVX = 576, XS_END = 832 };

#define FCW_INIT       0x037f
#define MXCSR_INIT     0x1f80u
#define FSW_ES         0x80 /* an unmasked exception is pending */
#define XCOMP_BV_COMPACT (UINT64_C(1) << 63)

static inline uint16_t *fp_u16(uint8_t *image, unsigned offset) { return (uint16_t *)(image + offset); }
static inline uint32_t *fp_u32(uint8_t *image, unsigned offset) { return (uint32_t *)(image + offset); }
static inline uint64_t *fp_u64(uint8_t *image, unsigned offset) { return (uint64_t *)(image + offset); }

/* The guest's x87 pointers while the registers are loaded (fpu.c): cpu->x87_ip, or, if that is X87_IP_NONE, those of
 * cpu->xsave, which are the last that the guest loaded. */
#define X87_IP_NONE UINT64_MAX
typedef struct X87Pointers { uint64_t fip, fdp; uint16_t fop; } X87Pointers;
X87Pointers soft_fp_pointers(SoftCpu *cpu);
void soft_fp_set_pointers(SoftCpu *cpu, X87Pointers pointers);
/* Outside of guest code. */
bool soft_fp_host_keeps_pointers(void);
/* The other way round, of and to an image. */
X87Pointers soft_fp_image_pointers(uint8_t *image);
void soft_fp_put_pointers(uint8_t *image, X87Pointers pointers);
/* Those that FXSAVE and the XSAVE family write; `image` has FSW. */
X87Pointers soft_fp_saved_pointers(const SoftCpu *cpu, uint8_t *image, X87Pointers pointers);
/* Copies the registers to cpu->xsave, if they are loaded, and leaves them there. */
void soft_fp_sync(SoftCpu *cpu);
/* Puts them away, and writes out what cpu->xsave only calls initial, so that cpu->xsave may be read and written. */
uint8_t *soft_fp_image(SoftCpu *cpu);
/* Of an operand that is not aligned as it must be: a bad address on the stack is that first. */
static inline unsigned soft_misaligned_vector(const Op *op, uint64_t linear)
{
    return op->flags & OP_STACK && !soft_is_canonical(linear) ? VECTOR_SS : VECTOR_GP;
}
/* Replaces all of it by an image in the standard form that soft_fp_valid() would take; 64-aligned. */
void soft_fp_load_from(SoftCpu *cpu, uint8_t *image);
/* Forgets what the registers are: cpu->xsave has been written. */
void soft_fp_replace(SoftCpu *cpu);
/* FSW.ES. */
bool soft_fp_pending(SoftCpu *cpu);
/* An x87 exception is pending and this instruction waits for it: #MF, or FERR# and it is tried again.  Synced. */
_Noreturn void soft_fp_error(SoftCpu *cpu);

/* exec-xsave.c, for the table of exec-fpu.c */
OpFn soft_op_xsave, soft_op_xsave64, soft_op_xsaveopt, soft_op_xsaveopt64, soft_op_xsavec, soft_op_xsavec64;
OpFn soft_op_xrstor, soft_op_xrstor64, soft_op_xgetbv;
