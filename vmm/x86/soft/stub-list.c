/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instructions run natively.
 *
 * The list is by instruction set and kind, and stub-form.c refuses what touches more than
 * general, vector and x87 registers, arithmetic flags and one memory operand; so nothing runs
 * natively that reads or changes more than the guest's own state.  EVEX, XOP and 3DNow! are
 * absent.  What of the list a guest has is decided by its CPUID, decode.c.
 */
#include "vmm/x86/soft/stub.h"

static bool is_native_set(ZydisISASet set)
{
    switch (set) {
    case ZYDIS_ISA_SET_I86:
    case ZYDIS_ISA_SET_I186:
    case ZYDIS_ISA_SET_I386:
    case ZYDIS_ISA_SET_I486:
    case ZYDIS_ISA_SET_I486REAL:
    case ZYDIS_ISA_SET_PENTIUMREAL:
    case ZYDIS_ISA_SET_LONGMODE:
    case ZYDIS_ISA_SET_LAHF:
    case ZYDIS_ISA_SET_CMOV:
    case ZYDIS_ISA_SET_PPRO:
    case ZYDIS_ISA_SET_PAUSE:
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_FCMOV:
    case ZYDIS_ISA_SET_PENTIUMMMX:
    case ZYDIS_ISA_SET_SSE:
    case ZYDIS_ISA_SET_SSEMXCSR:
    case ZYDIS_ISA_SET_SSE_PREFETCH:
    case ZYDIS_ISA_SET_PREFETCH_NOP:
    case ZYDIS_ISA_SET_PREFETCHWT1:
    case ZYDIS_ISA_SET_FAT_NOP:
    case ZYDIS_ISA_SET_CET:
    case ZYDIS_ISA_SET_CLDEMOTE:
    case ZYDIS_ISA_SET_SSE2:
    case ZYDIS_ISA_SET_SSE2MMX:
    case ZYDIS_ISA_SET_SSE3:
    case ZYDIS_ISA_SET_SSE3X87:
    case ZYDIS_ISA_SET_SSSE3:
    case ZYDIS_ISA_SET_SSSE3MMX:
    case ZYDIS_ISA_SET_SSE4:
    case ZYDIS_ISA_SET_SSE42:
    case ZYDIS_ISA_SET_SSE4A:
    case ZYDIS_ISA_SET_AES:
    case ZYDIS_ISA_SET_PCLMULQDQ:
    case ZYDIS_ISA_SET_SHA:
    case ZYDIS_ISA_SET_GFNI:
    case ZYDIS_ISA_SET_AVX:
    case ZYDIS_ISA_SET_AVX2:
    case ZYDIS_ISA_SET_AVX2GATHER:
    case ZYDIS_ISA_SET_AVXAES:
    case ZYDIS_ISA_SET_AVX_GFNI:
    case ZYDIS_ISA_SET_AVX_VNNI:
    case ZYDIS_ISA_SET_VAES:
    case ZYDIS_ISA_SET_VPCLMULQDQ:
    case ZYDIS_ISA_SET_FMA:
    case ZYDIS_ISA_SET_F16C:
    case ZYDIS_ISA_SET_BMI1:
    case ZYDIS_ISA_SET_BMI2:
    case ZYDIS_ISA_SET_LZCNT:
    case ZYDIS_ISA_SET_POPCNT:
    case ZYDIS_ISA_SET_MOVBE:
    case ZYDIS_ISA_SET_ADOX_ADCX:
    case ZYDIS_ISA_SET_RDRAND:
    case ZYDIS_ISA_SET_RDSEED:
    case ZYDIS_ISA_SET_CLFSH:
    case ZYDIS_ISA_SET_CLFLUSHOPT:
    case ZYDIS_ISA_SET_CLWB:
    case ZYDIS_ISA_SET_MOVDIR:
        return true;
    default:
        return false;
    }
}

static bool is_native_kind(const ZydisDecodedInstruction *insn)
{
    switch (insn->meta.category) {
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_DECIMAL:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_IO:
    case ZYDIS_CATEGORY_IOSTRINGOP:
    case ZYDIS_CATEGORY_POP:
    case ZYDIS_CATEGORY_PUSH:
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_SEGOP:
    case ZYDIS_CATEGORY_STRINGOP:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_SYSTEM:
    case ZYDIS_CATEGORY_UNCOND_BR:
        return false;
    case ZYDIS_CATEGORY_MISC:
        switch (insn->mnemonic) {
        case ZYDIS_MNEMONIC_CLFLUSH:
        case ZYDIS_MNEMONIC_LFENCE:
        case ZYDIS_MNEMONIC_MFENCE:
        case ZYDIS_MNEMONIC_PAUSE:
        case ZYDIS_MNEMONIC_SFENCE:
            return true;
        default:
            return false;
        }
    default:
        break;
    }
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_FNSAVE: /* and others that exec-fpu.c has: their images are larger than an operand */
    case ZYDIS_MNEMONIC_FRSTOR:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FWAIT:
    case ZYDIS_MNEMONIC_LDMXCSR:
    case ZYDIS_MNEMONIC_VLDMXCSR:
    case ZYDIS_MNEMONIC_MOVDIR64B: /* a second memory operand in a register */
    case ZYDIS_MNEMONIC_LEA:
        return false;
    default:
        return true;
    }
}

/* Hints, and what is one without the feature that it belongs to. */
static bool does_nothing(const ZydisDecodedInstruction *insn)
{
    switch (insn->meta.category) {
    case ZYDIS_CATEGORY_NOP:
    case ZYDIS_CATEGORY_WIDENOP:
    case ZYDIS_CATEGORY_PREFETCH:
    case ZYDIS_CATEGORY_PREFETCHWT1:
    case ZYDIS_CATEGORY_CLDEMOTE:
        return true;
    default:
        break;
    }
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_ENDBR32:
    case ZYDIS_MNEMONIC_ENDBR64:
    case ZYDIS_MNEMONIC_RDSSPD:
    case ZYDIS_MNEMONIC_RDSSPQ:
        return true;
    default:
        return false;
    }
}

/* SDM 2A section 2.4: legacy 16-byte operands, and the moves that say so. */
bool soft_stub_aligned(const ZydisDecodedInstruction *insn, const StubForm *form)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_VMOVAPS:
    case ZYDIS_MNEMONIC_VMOVAPD:
    case ZYDIS_MNEMONIC_VMOVDQA:
    case ZYDIS_MNEMONIC_VMOVNTPS:
    case ZYDIS_MNEMONIC_VMOVNTPD:
    case ZYDIS_MNEMONIC_VMOVNTDQ:
    case ZYDIS_MNEMONIC_VMOVNTDQA:
        return true;
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_MASKMOVDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM:
        return false;
    default:
        return insn->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && form->bytes == 16;
    }
}

/* Locked by itself; reaching beyond its operand. */
bool soft_stub_special(const ZydisDecodedInstruction *insn, const StubForm *form)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_XCHG:
        return true;
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTS:
        return form->registers != 0;
    default:
        return false;
    }
}

bool soft_stub_uses_vectors(const ZydisDecodedInstruction *insn)
{
    switch (insn->meta.isa_set) {
    case ZYDIS_ISA_SET_X87:
    case ZYDIS_ISA_SET_PENTIUMMMX:
    case ZYDIS_ISA_SET_SSEMXCSR:
    case ZYDIS_ISA_SET_AVX:
        return true;
    default:
        return insn->meta.category == ZYDIS_CATEGORY_CONVERT &&
               (insn->meta.isa_set == ZYDIS_ISA_SET_SSE || insn->meta.isa_set == ZYDIS_ISA_SET_SSE2);
    }
}

/* SDM 1-8.7.2 and 3-12.6 (MMX). */
bool soft_stub_waits(const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(operands[i].reg.value) == ZYDIS_REGCLASS_MMX) {
            return true;
        }
    }
    return insn->meta.isa_set == ZYDIS_ISA_SET_SSE3X87 ||
           (insn->meta.isa_set == ZYDIS_ISA_SET_X87 && insn->mnemonic != ZYDIS_MNEMONIC_FNSTCW &&
            insn->mnemonic != ZYDIS_MNEMONIC_FNSTSW);
}

/* SDM 1-8.1.8: not those of control, by which processors mean these. */
bool soft_stub_sets_pointer(const ZydisDecodedInstruction *insn)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_FLDCW:
    case ZYDIS_MNEMONIC_FNCLEX:
    case ZYDIS_MNEMONIC_FNINIT:
    case ZYDIS_MNEMONIC_FNSTCW:
    case ZYDIS_MNEMONIC_FNSTSW:
        return false;
    default:
        return insn->meta.isa_set == ZYDIS_ISA_SET_X87 || insn->meta.isa_set == ZYDIS_ISA_SET_FCMOV ||
               insn->meta.isa_set == ZYDIS_ISA_SET_SSE3X87;
    }
}

bool soft_stub_allowed(const ZydisDecodedInstruction *insn, uint32_t mode, bool *ret_nothing)
{
    *ret_nothing = false;
    if (!is_native_set(insn->meta.isa_set) || !is_native_kind(insn) ||
        insn->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE ||
        insn->attributes & (ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_IS_PRIVILEGED) ||
        insn->opcode_map > ZYDIS_OPCODE_MAP_0F3A) {
        return false;
    }
    if (insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? !(mode & MODE_PROTECTED)
                                                         : insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        return false; /* VEX is #UD in real and virtual-8086 mode */
    }
    *ret_nothing = does_nothing(insn);
    return *ret_nothing || insn->meta.category != ZYDIS_CATEGORY_CET;
}
