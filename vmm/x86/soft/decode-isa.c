/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this guest may use: instruction sets by its CPUID (SDM 2A "CPUID", APM 3 appendix D),
 * vector and x87 registers by CR0, CR4 and XCR0 (SDM 3-2.5, SDM 3-14.3, SDM 2A section 2.4).
 *
 * A set that is not in the tables is offered to nobody.
 */
#include "vmm/x86/soft/decode-int.h"

/* ---- CPUID ---- */

enum { EAX, EBX, ECX, EDX };

/* Every row of a set must hold; leaf 0: always there.  LONGMODE and CMPXCHG16B need 64-bit code anyway. */
typedef struct IsaRow { uint16_t set; uint32_t leaf; uint8_t subleaf, reg, bit; } IsaRow;
#define ALWAYS(set)                    { ZYDIS_ISA_SET_##set, 0, 0, 0, 0 }
#define WITH(set, leaf, sub, reg, bit) { ZYDIS_ISA_SET_##set, leaf, sub, reg, bit }
static const IsaRow isa_rows[] = {
    ALWAYS(I86), ALWAYS(I186), ALWAYS(I286PROTECTED), ALWAYS(I286REAL), ALWAYS(I386), ALWAYS(I486), ALWAYS(I486REAL),
    ALWAYS(PENTIUMREAL), ALWAYS(PPRO), ALWAYS(FAT_NOP), ALWAYS(LONGMODE), ALWAYS(PAUSE), ALWAYS(PREFETCH_NOP),
    ALWAYS(PREFETCHWT1), ALWAYS(SSE_PREFETCH), ALWAYS(RDPMC), ALWAYS(LAHF),
    WITH(X87, 1, 0, EDX, 0),
    WITH(CMOV, 1, 0, EDX, 15),
    WITH(FCMOV, 1, 0, EDX, 0), WITH(FCMOV, 1, 0, EDX, 15),
    WITH(CLFSH, 1, 0, EDX, 19),
    WITH(PENTIUMMMX, 1, 0, EDX, 23),
    WITH(FXSAVE, 1, 0, EDX, 24),
    WITH(FXSAVE64, 1, 0, EDX, 24),
    WITH(SSE, 1, 0, EDX, 25),
    WITH(SSEMXCSR, 1, 0, EDX, 25),
    WITH(SSE2, 1, 0, EDX, 26),
    WITH(SSE2MMX, 1, 0, EDX, 26),
    WITH(SSE3, 1, 0, ECX, 0),
    WITH(SSE3X87, 1, 0, ECX, 0),
    WITH(PCLMULQDQ, 1, 0, ECX, 1),
    WITH(MONITOR, 1, 0, ECX, 3),
    WITH(SSSE3, 1, 0, ECX, 9),
    WITH(SSSE3MMX, 1, 0, ECX, 9),
    WITH(FMA, 1, 0, ECX, 12),
    WITH(CMPXCHG16B, 1, 0, ECX, 13),
    WITH(SSE4, 1, 0, ECX, 19),
    WITH(SSE42, 1, 0, ECX, 20),
    WITH(MOVBE, 1, 0, ECX, 22),
    WITH(POPCNT, 1, 0, ECX, 23),
    WITH(AES, 1, 0, ECX, 25),
    WITH(XSAVE, 1, 0, ECX, 26),
    WITH(AVX, 1, 0, ECX, 28),
    WITH(AVXAES, 1, 0, ECX, 25), WITH(AVXAES, 1, 0, ECX, 28),
    WITH(F16C, 1, 0, ECX, 29),
    WITH(RDRAND, 1, 0, ECX, 30),
    WITH(RDWRFSGS, 7, 0, EBX, 0),
    WITH(BMI1, 7, 0, EBX, 3),
    WITH(AVX2, 7, 0, EBX, 5),
    WITH(AVX2GATHER, 7, 0, EBX, 5),
    WITH(BMI2, 7, 0, EBX, 8),
    WITH(INVPCID, 7, 0, EBX, 10),
    WITH(RDSEED, 7, 0, EBX, 18),
    WITH(ADOX_ADCX, 7, 0, EBX, 19),
    WITH(SMAP, 7, 0, EBX, 20),
    WITH(CLFLUSHOPT, 7, 0, EBX, 23),
    WITH(CLWB, 7, 0, EBX, 24),
    WITH(SHA, 7, 0, EBX, 29),
    WITH(GFNI, 7, 0, ECX, 8),
    WITH(AVX_GFNI, 7, 0, ECX, 8), WITH(AVX_GFNI, 1, 0, ECX, 28),
    WITH(VAES, 7, 0, ECX, 9),
    WITH(VPCLMULQDQ, 7, 0, ECX, 10),
    WITH(RDPID, 7, 0, ECX, 22),
    WITH(MOVDIR, 7, 0, ECX, 27), WITH(MOVDIR, 7, 0, ECX, 28),
    WITH(SERIALIZE, 7, 0, EDX, 14),
    WITH(AVX_VNNI, 7, 1, EAX, 4),
    WITH(XSAVEOPT, 0xd, 1, EAX, 0),
    WITH(XSAVEC, 0xd, 1, EAX, 1),
    WITH(XSAVES, 0xd, 1, EAX, 3),
    WITH(LZCNT, 0x80000001, 0, ECX, 5),
    WITH(SSE4A, 0x80000001, 0, ECX, 6),
    WITH(RDTSCP, 0x80000001, 0, EDX, 27),
    /* VMCALL and VMMCALL, of all, are there under KVM's signature; none of the others has a handler. */
    WITH(VTX, 0x40000000, 0, EBX, 0), WITH(SVM, 0x40000000, 0, EBX, 0),
};

static bool is_set(const SoftVm *vm, unsigned set)
{
    return vm->isa[set / 64] >> (set % 64) & 1;
}

static void learn_isa(const SoftCpu *cpu, SoftVm *vm)
{
    uint64_t missing[G_N_ELEMENTS(vm->isa)];

    _Static_assert(ZYDIS_ISA_SET_MAX_VALUE < 64 * G_N_ELEMENTS(vm->isa), "a bit for each instruction set");
    for (unsigned i = 0; i < G_N_ELEMENTS(vm->isa); i++) {
        vm->isa[i] = missing[i] = 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(isa_rows); i++) {
        const IsaRow *row = &isa_rows[i];
        bool has = row->leaf == 0 || soft_has(cpu, row->leaf, row->subleaf, row->reg, row->bit);

        *(has ? &vm->isa[row->set / 64] : &missing[row->set / 64]) |= UINT64_C(1) << (row->set % 64);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(vm->isa); i++) {
        vm->isa[i] &= ~missing[i];
    }
    /* SYSCALL and SYSRET outside of 64-bit code are AMD's. */
    if (!vm->intel) {
        vm->isa[ZYDIS_ISA_SET_AMD / 64] |= UINT64_C(1) << (ZYDIS_ISA_SET_AMD % 64);
    }
    vm->isa_known = true;
}

bool decode_is_offered(const Decode *x)
{
    const SoftCpu *cpu = x->d->cpu;
    unsigned set = x->z.meta.isa_set;

    if (set == ZYDIS_ISA_SET_LAHF && decode_code(x) == MODE_CODE64) {
        return soft_has(cpu, 0x80000001, 0, ECX, 0);
    }
    return is_set(cpu->vm, set);
}

/* ---- Zydis ---- */

/* What does nothing without its feature is a NOP to Zydis, too; TZCNT and LZCNT are BSF and BSR. */
void decode_init(Decode *x)
{
    SoftVm *vm = x->d->cpu->vm;
    unsigned code = x->d->mode & MODE_CODE;

    if (!vm->isa_known) {
        learn_isa(x->d->cpu, vm);
    }
    ZydisDecoderInit(&x->decoder,
                     code == MODE_CODE64   ? ZYDIS_MACHINE_MODE_LONG_64
                     : code == MODE_CODE32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                           : ZYDIS_MACHINE_MODE_LEGACY_16,
                     code == MODE_CODE64               ? ZYDIS_STACK_WIDTH_64
                     : x->d->mode & MODE_STACK32       ? ZYDIS_STACK_WIDTH_32
                                                       : ZYDIS_STACK_WIDTH_16);
    ZydisDecoderEnableMode(&x->decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(&x->decoder, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
    ZydisDecoderEnableMode(&x->decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    ZydisDecoderEnableMode(&x->decoder, ZYDIS_DECODER_MODE_AMD_BRANCHES, !vm->intel);
    ZydisDecoderEnableMode(&x->decoder, ZYDIS_DECODER_MODE_LZCNT, is_set(vm, ZYDIS_ISA_SET_LZCNT));
    ZydisDecoderEnableMode(&x->decoder, ZYDIS_DECODER_MODE_TZCNT, is_set(vm, ZYDIS_ISA_SET_BMI1));
}

/* ---- vector and x87 registers ---- */

typedef enum FpClass { FP_NONE, FP_X87, FP_WAIT, FP_MMX, FP_SSE, FP_AVX, FP_XSAVE } FpClass;

static bool has_class(const Decode *x, ZydisRegisterClass c)
{
    for (unsigned i = 0; i < x->z.operand_count_visible; i++) {
        if (x->o[i].type == ZYDIS_OPERAND_TYPE_REGISTER && ZydisRegisterGetClass(x->o[i].reg.value) == c) {
            return true;
        }
    }
    return false;
}

static FpClass by_operands(const Decode *x)
{
    return has_class(x, ZYDIS_REGCLASS_XMM) ? FP_SSE : has_class(x, ZYDIS_REGCLASS_MMX) ? FP_MMX : FP_NONE;
}

static FpClass class_of(const Decode *x)
{
    switch (x->z.mnemonic) {
    case ZYDIS_MNEMONIC_FWAIT:
        return FP_WAIT;
    case ZYDIS_MNEMONIC_EMMS:
        return FP_MMX;
    case ZYDIS_MNEMONIC_XGETBV:
    case ZYDIS_MNEMONIC_XSETBV:
        return FP_NONE;
    default:
        break;
    }
    if (x->z.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX) {
        return x->z.meta.isa_ext == ZYDIS_ISA_EXT_BMI1 || x->z.meta.isa_ext == ZYDIS_ISA_EXT_BMI2 ? FP_NONE : FP_AVX;
    }
    switch (x->z.meta.isa_set) {
    case ZYDIS_ISA_SET_FXSAVE:
    case ZYDIS_ISA_SET_FXSAVE64:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_SSE3X87:
    case ZYDIS_ISA_SET_X87:
        return FP_X87;
    case ZYDIS_ISA_SET_SSEMXCSR:
        return FP_SSE;
    case ZYDIS_ISA_SET_XSAVE:
    case ZYDIS_ISA_SET_XSAVEOPT:
    case ZYDIS_ISA_SET_XSAVEC:
    case ZYDIS_ISA_SET_XSAVES:
        return FP_XSAVE;
    default:
        return x->z.meta.isa_ext == ZYDIS_ISA_EXT_X87 ? FP_X87 : by_operands(x);
    }
}

int decode_fp_exception(const Decode *x, bool *ret_fp)
{
    uint32_t mode = x->d->mode;
    FpClass class = class_of(x);

    *ret_fp = class != FP_NONE;
    switch (class) {
    case FP_X87:
        return mode & MODE_NO_FPU ? VECTOR_NM : -1;
    case FP_WAIT:
        return mode & MODE_NO_WAIT ? VECTOR_NM : -1;
    case FP_MMX:
        return mode & MODE_EM ? VECTOR_UD : mode & MODE_TS ? VECTOR_NM : -1;
    case FP_SSE:
        return mode & MODE_NO_SSE ? VECTOR_UD : mode & MODE_TS ? VECTOR_NM : -1;
    case FP_AVX:
        return mode & MODE_NO_AVX ? VECTOR_UD : mode & MODE_TS ? VECTOR_NM : -1;
    default:
        /* The XSAVE family looks at CR4.OSXSAVE before CR0.TS: exec-fpu.c. */
        return -1;
    }
}
