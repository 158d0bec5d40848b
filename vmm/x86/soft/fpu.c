/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's x87, SSE and AVX registers between the host's processor and SoftCpu.xsave.
 *
 * While `fp_loaded` they are in the host's registers, MXCSR and x87 control word included;
 * otherwise the host's have their initial values, as C code expects, and the guest's are in
 * cpu->xsave in the standard form of XSAVE, as far as the host has them (SDM 1-13.4).
 *
 * The x87 pointers of instructions that ran natively are addresses of stubs and of host
 * memory.  They never leave the registers: an image gets the guest's instruction pointer
 * instead of a stub's, and no data pointer and opcode (which today's processors keep for
 * unmasked exceptions only; not modelled).  Pointers that the guest loaded itself are kept.
 *
 * Everything here runs on the CPU's thread.
 */
#include "vmm/x86/soft/fpu.h"

#include "vmm/x86/soft/stub.h"
#include "vmm/x86/soft/vm.h"

/* What the host's registers are outside of guest code: all in their initial configuration. */
static const struct {
    _Alignas(64) uint16_t fcw;
    uint16_t rest[11];
    uint32_t mxcsr, mxcsr_mask;
    uint8_t registers[XS_END - 32];
} host_state = { .fcw = FCW_INIT, .mxcsr = MXCSR_INIT };
_Static_assert(offsetof(__typeof__(host_state), mxcsr) == FX_MXCSR, "as XRSTOR reads it");

static void xrstor(const void *image)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(image), "a"(XFEATURES), "d"(0) : "memory");
}

static void xsave(const SoftCpu *cpu, uint8_t *image)
{
    /* Both leave parts unwritten that they could also have written: components in their initial configuration, and such
     * as were not changed since the image was loaded. */
    if (cpu->vm->xsaveopt) {
        __asm__ volatile("xsaveopt64 (%0)" : : "r"(image), "a"(XFEATURES), "d"(0) : "memory");
    } else {
        __asm__ volatile("xsave64 (%0)" : : "r"(image), "a"(XFEATURES), "d"(0) : "memory");
    }
}

void soft_fp_load_from(SoftCpu *cpu, const uint8_t *image)
{
    xrstor(image);
    cpu->fp_loaded = true;
}

void soft_fp_load(SoftCpu *cpu)
{
    soft_fp_load_from(cpu, cpu->xsave);
}

bool soft_fp_scrub(const SoftCpu *cpu, uint8_t *image)
{
    bool native = soft_stubs_contain(cpu->vm, *fp_u64(image, FX_FIP));

    if (native) {
        *fp_u16(image, FX_FOP) = 0;
        *fp_u64(image, FX_FIP) = cpu->x87_ip;
        *fp_u64(image, FX_FDP) = 0;
    }
    return native;
}

void soft_fp_sync(SoftCpu *cpu)
{
    if (cpu->fp_loaded) {
        xsave(cpu, cpu->xsave);
        soft_fp_scrub(cpu, cpu->xsave);
    }
}

void soft_fp_save(SoftCpu *cpu)
{
    soft_fp_sync(cpu);
    xrstor(&host_state);
    cpu->fp_loaded = false;
}

void soft_fp_replace(SoftCpu *cpu)
{
    if (cpu->fp_loaded) {
        xrstor(&host_state);
        cpu->fp_loaded = false;
    }
}

uint8_t *soft_fp_image(SoftCpu *cpu)
{
    uint8_t *image = cpu->xsave;
    uint64_t *bv = fp_u64(image, XS_BV);

    soft_fp_leave(cpu);
    if (!(*bv & XFEATURE_X87)) {
        soft_zero(image, FX_MXCSR);
        soft_zero(image + FX_ST, FX_XMM - FX_ST);
        *fp_u16(image, FX_FCW) = FCW_INIT;
    }
    if (!(*bv & XFEATURE_SSE)) {
        soft_zero(image + FX_XMM, FX_END - FX_XMM);
    }
    if (!(*bv & XFEATURE_AVX) && cpu->vm->host_xcr0 & XFEATURE_AVX) {
        soft_zero(image + XS_AVX, XS_END - XS_AVX);
    }
    *bv = cpu->vm->host_xcr0 & XFEATURES;
    return image;
}

/* Power-on.  SDM 3-9.1.1 table 9-1 differs in FCW and the tags, but software executes FNINIT first. */
void soft_fp_init(SoftCpu *cpu)
{
    uint8_t *image = cpu->xsave;

    soft_fp_replace(cpu);
    soft_zero(image, sizeof(cpu->xsave));
    *fp_u16(image, FX_FCW) = FCW_INIT;
    *fp_u32(image, FX_MXCSR) = MXCSR_INIT;
    *fp_u32(image, FX_MXCSR_MASK) = cpu->vm->mxcsr_mask;
}

/* XRSTOR must not fault on it. */
bool soft_fp_valid(const SoftVm *vm, const uint8_t *image)
{
    const uint64_t *header = (const uint64_t *)(image + XS_HEADER);

    for (unsigned i = 1; i < 8; i++) {
        if (header[i]) {
            return false;
        }
    }
    return !(header[0] & ~(vm->host_xcr0 & XFEATURES)) && !(*(const uint32_t *)(image + FX_MXCSR) & ~vm->mxcsr_mask);
}

bool soft_fp_pending(SoftCpu *cpu)
{
    uint16_t fsw;

    soft_fp_enter(cpu);
    __asm__ volatile("fnstsw %0" : "=m"(fsw));
    return fsw & FSW_ES;
}

const Op *soft_fp_error(SoftCpu *cpu, const Op *op)
{
    if (cpu->cr0 & CR0_NE) {
        soft_raise(cpu, VECTOR_MF);
    }
    /* SDM 1-8.7.2: the processor asserts FERR# and stops before this instruction until an interrupt comes.  It is tried
     * again at each boundary; IGNNE# is not modelled. */
    soft_outside_begin(cpu);
    cpu->hooks->ferr(cpu, cpu->opaque);
    soft_outside_end(cpu);
    return soft_op_leave(cpu, op);
}
