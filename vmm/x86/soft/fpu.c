/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's x87, SSE and AVX registers between the host's processor and SoftCpu.xsave.
 *
 * While `fp_loaded` they are in the host's registers, MXCSR and x87 control word included;
 * otherwise the host's have their initial values, as C code expects, and the guest's are in
 * cpu->xsave in the standard form of XSAVE, as far as the host has them (SDM 1-13.4).
 *
 * The host's x87 pointers are of little use: of instructions that ran natively they are
 * addresses of stubs and of host memory, and AMD's processors save them only with an unmasked
 * exception pending (APM 2-11.4.4), so each switch of threads may lose them.  So the guest's
 * are kept beside: the instruction pointer of what ran natively, without a data pointer and an
 * opcode (which today's processors keep for unmasked exceptions only; not modelled), or what
 * the guest loaded itself; a host that keeps those is asked for them, as it may cut addresses.
 * Every image that leaves the registers gets these.
 *
 * Everything here runs on the CPU's thread.
 */
#include "vmm/x86/soft/fpu.h"

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

/* ---- x87 pointers ---- */

X87Pointers soft_fp_image_pointers(uint8_t *image)
{
    return (X87Pointers){ *fp_u64(image, FX_FIP), *fp_u64(image, FX_FDP), *fp_u16(image, FX_FOP) & 0x7ff };
}

void soft_fp_put_pointers(uint8_t *image, X87Pointers pointers)
{
    *fp_u16(image, FX_FOP) = pointers.fop;
    *fp_u64(image, FX_FIP) = pointers.fip;
    *fp_u64(image, FX_FDP) = pointers.fdp;
}

static X87Pointers host_pointers(void)
{
    _Alignas(16) uint8_t fx[FX_BYTES];

    __asm__ volatile("fxsave64 %0" : "=m"(fx));
    return soft_fp_image_pointers(fx);
}

X87Pointers soft_fp_pointers(SoftCpu *cpu)
{
    if (cpu->x87_ip != X87_IP_NONE) {
        return (X87Pointers){ .fip = cpu->x87_ip };
    }
    return cpu->vm->host_keeps_pointers ? host_pointers() : soft_fp_image_pointers(cpu->xsave);
}

bool soft_fp_host_keeps_pointers(void)
{
    _Alignas(16) uint8_t fx[FX_BYTES];
    X87Pointers pointers;

    soft_zero(fx, sizeof(fx));
    *fp_u16(fx, FX_FCW) = FCW_INIT;
    *fp_u32(fx, FX_MXCSR) = MXCSR_INIT;
    soft_fp_put_pointers(fx, (X87Pointers){ 0x1234, 0x5678, 0 });
    __asm__ volatile("fxrstor64 %0" : : "m"(fx));
    pointers = host_pointers();
    xrstor(&host_state);
    return pointers.fip == 0x1234 && pointers.fdp == 0x5678;
}

void soft_fp_set_pointers(SoftCpu *cpu, X87Pointers pointers)
{
    soft_fp_put_pointers(cpu->xsave, pointers);
    cpu->x87_ip = X87_IP_NONE;
}

X87Pointers soft_fp_saved_pointers(const SoftCpu *cpu, uint8_t *image, X87Pointers pointers)
{
    /* APM 2-11.4.4.  Zeroes are of processors with XSAVEERPTR; earlier ones of AMD's left memory as it was. */
    return cpu->vm->intel || *fp_u16(image, FX_FSW) & FSW_ES ? pointers : (X87Pointers){ 0 };
}

/* ---- all of it ---- */

void soft_fp_load_from(SoftCpu *cpu, uint8_t *image)
{
    bool used = *fp_u64(image, XS_BV) & XFEATURE_X87;

    xrstor(image);
    soft_fp_set_pointers(cpu, used ? soft_fp_image_pointers(image) : (X87Pointers){ 0 });
    cpu->fp_loaded = true;
}

void soft_fp_load(SoftCpu *cpu)
{
    soft_fp_load_from(cpu, cpu->xsave);
}

/* Writes out what the image only calls initial. */
static void use_x87(uint8_t *image)
{
    soft_zero(image, FX_MXCSR);
    soft_zero(image + FX_ST, FX_XMM - FX_ST);
    *fp_u16(image, FX_FCW) = FCW_INIT;
    *fp_u64(image, XS_BV) |= XFEATURE_X87;
}

void soft_fp_sync(SoftCpu *cpu)
{
    if (cpu->fp_loaded && cpu->x87_ip == X87_IP_NONE && cpu->vm->host_keeps_pointers) {
        xsave(cpu, cpu->xsave);
    } else if (cpu->fp_loaded) {
        X87Pointers pointers = soft_fp_pointers(cpu);

        xsave(cpu, cpu->xsave);
        if (!(*fp_u64(cpu->xsave, XS_BV) & XFEATURE_X87) && (pointers.fip || pointers.fdp || pointers.fop)) {
            use_x87(cpu->xsave);
        }
        soft_fp_put_pointers(cpu->xsave, pointers);
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
        use_x87(image);
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

void soft_fp_error(SoftCpu *cpu)
{
    if (cpu->cr0 & CR0_NE) {
        soft_raise(cpu, VECTOR_MF);
    }
    /* SDM 1-8.7.2: the processor asserts FERR# and stops before this instruction until an interrupt comes.  It is tried
     * again at each boundary; IGNNE# is not modelled. */
    soft_outside_begin(cpu);
    cpu->hooks->ferr(cpu, cpu->opaque);
    soft_outside_end(cpu);
    soft_begin_anew(cpu);
}
