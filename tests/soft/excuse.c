/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may differ: where the manuals leave it to the processor, or where it is in nobody's
 * interest to be the same (each row says what).  Almost all of it is about instructions that
 * fault: in which order they find what is wrong, and how much they have done by then.
 */
#include "diff.h"

typedef struct Excuse {
    uint16_t mnemonic, category, extension; /* 0: any */
    unsigned may;
} Excuse;
static const Excuse excuses[] = {
    /* Has pushed before the target turns out to be no address. */
    { ZYDIS_MNEMONIC_CALL, 0, 0, MAY_WRITE | MAY_FAULT },
    /* Copies frame pointers before its last check. */
    { ZYDIS_MNEMONIC_ENTER, 0, 0, MAY_WRITE },
    /* Has pushed some before the one that may not be. */
    { ZYDIS_MNEMONIC_PUSHA, 0, 0, MAY_WRITE },
    { ZYDIS_MNEMONIC_PUSHAD, 0, 0, MAY_WRITE },
    /* Microcode reads what it needs first. */
    { ZYDIS_MNEMONIC_IRET, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_IRETD, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_IRETQ, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_RET, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_POP, 0, 0, MAY_FAULT },
    { ZYDIS_MNEMONIC_BOUND, 0, 0, MAY_FAULT },
    { ZYDIS_MNEMONIC_LDS, 0, 0, MAY_FAULT },
    { ZYDIS_MNEMONIC_LES, 0, 0, MAY_FAULT },
    { ZYDIS_MNEMONIC_LFS, 0, 0, MAY_FAULT },
    { ZYDIS_MNEMONIC_LGS, 0, 0, MAY_FAULT },
    { ZYDIS_MNEMONIC_LSS, 0, 0, MAY_FAULT },
    /* Large operands may be touched anywhere first, and not at all where nothing of them is needed. */
    { ZYDIS_MNEMONIC_FLDENV, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_FNSTENV, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_FNSAVE, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_FRSTOR, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_FXSAVE, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_FXSAVE64, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_FXRSTOR, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_FXRSTOR64, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { 0, ZYDIS_CATEGORY_XSAVE, 0, MAY_ADDRESS | MAY_FAULT | MAY_PASS },
    { 0, ZYDIS_CATEGORY_XSAVEOPT, 0, MAY_ADDRESS | MAY_FAULT | MAY_PASS },
    /* Stores in two pieces. */
    { ZYDIS_MNEMONIC_FBSTP, 0, 0, MAY_WRITE },
    { ZYDIS_MNEMONIC_FSTP, 0, 0, MAY_WRITE },
    /* Loads as it goes. */
    { ZYDIS_MNEMONIC_POPA, 0, 0, MAY_REGISTERS },
    { ZYDIS_MNEMONIC_POPAD, 0, 0, MAY_REGISTERS },
    /* May fault where it is not to write. */
    { ZYDIS_MNEMONIC_MASKMOVQ, 0, 0, MAY_ADDRESS | MAY_PASS },
    { ZYDIS_MNEMONIC_MASKMOVDQU, 0, 0, MAY_ADDRESS | MAY_PASS },
    { ZYDIS_MNEMONIC_VMASKMOVDQU, 0, 0, MAY_ADDRESS | MAY_PASS },
    /* Limits are of enabled elements only, which the software CPU does not ask. */
    { ZYDIS_MNEMONIC_VPMASKMOVD, 0, 0, MAY_ADDRESS | MAY_LIMIT },
    { ZYDIS_MNEMONIC_VPMASKMOVQ, 0, 0, MAY_ADDRESS | MAY_LIMIT },
    { ZYDIS_MNEMONIC_VMASKMOVPS, 0, 0, MAY_ADDRESS | MAY_LIMIT },
    { ZYDIS_MNEMONIC_VMASKMOVPD, 0, 0, MAY_ADDRESS | MAY_LIMIT },
    /* Asks for no alignment, though SDM 2A (exceptions of type 11) lets it. */
    { ZYDIS_MNEMONIC_VCVTPH2PS, 0, 0, MAY_PASS },
    /* Likewise, and has converted before it stores. */
    { ZYDIS_MNEMONIC_VCVTPS2PH, 0, 0, MAY_MXCSR | MAY_FAULT | MAY_PASS },
    /* Has become an MMX register file before the access. */
    { 0, 0, ZYDIS_ISA_EXT_MMX, MAY_X87 },
    /* May have gathered some elements, and widened its mask. */
    { 0, ZYDIS_CATEGORY_AVX2GATHER, 0, MAY_VECTORS },
};

/* What AMD's processors do in other ways than Intel's, which the software CPU took for its own. */
static const Excuse excuses_on_amd[] = {
    /* Touches where its frame will end before it copies. */
    { ZYDIS_MNEMONIC_ENTER, 0, 0, MAY_FAULT },
    /* Keep the flags of what they have done before they fault. */
    { ZYDIS_MNEMONIC_CMPSB, 0, 0, MAY_FLAGS },
    { ZYDIS_MNEMONIC_CMPSW, 0, 0, MAY_FLAGS },
    { ZYDIS_MNEMONIC_CMPSD, 0, 0, MAY_FLAGS },
    { ZYDIS_MNEMONIC_CMPSQ, 0, 0, MAY_FLAGS },
    { ZYDIS_MNEMONIC_SCASB, 0, 0, MAY_FLAGS },
    { ZYDIS_MNEMONIC_SCASW, 0, 0, MAY_FLAGS },
    { ZYDIS_MNEMONIC_SCASD, 0, 0, MAY_FLAGS },
    { ZYDIS_MNEMONIC_SCASQ, 0, 0, MAY_FLAGS },
    /* Ask for no alignment. */
    { 0, 0, ZYDIS_ISA_EXT_SHA, MAY_PASS },
    /* Find other things wrong with what is on the stack. */
    { ZYDIS_MNEMONIC_IRET, 0, 0, MAY_ERROR },
    { ZYDIS_MNEMONIC_IRETD, 0, 0, MAY_ERROR },
    { ZYDIS_MNEMONIC_IRETQ, 0, 0, MAY_ERROR },
};

/* The instruction that a side stopped at, unless it went through to INT3. */
static bool stopped_at(const Generator *g, const Case *c, const Result *r, ZydisDecodedInstruction *ret)
{
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t at = r->out.rip - c->in.rip;

    return r->vector != 3 && at < c->code_length &&
           decode(g, c->mode, c->code + at, c->code_length - (unsigned)at, ret, operands);
}

static unsigned excused_by(const Excuse *list, unsigned n, const ZydisDecodedInstruction *insn)
{
    unsigned may = 0;

    for (unsigned i = 0; i < n; i++) {
        const Excuse *e = &list[i];

        if ((!e->mnemonic || e->mnemonic == insn->mnemonic) && (!e->category || e->category == insn->meta.category) &&
            (!e->extension || e->extension == insn->meta.isa_ext)) {
            may |= e->may;
        }
    }
    return may;
}

static unsigned excused(const ZydisDecodedInstruction *insn)
{
    return excused_by(excuses, G_N_ELEMENTS(excuses), insn) |
           (native_is_intel() ? 0 : excused_by(excuses_on_amd, G_N_ELEMENTS(excuses_on_amd), insn));
}

/* OF is undefined after a rotation by more than one, and not the same by the immediate as by CL. */
static bool is_rotation(const Generator *g, const Case *c)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    return c->instructions == 1 && decode(g, c->mode, c->code, c->code_length, &insn, operands) &&
           (insn.mnemonic == ZYDIS_MNEMONIC_ROL || insn.mnemonic == ZYDIS_MNEMONIC_ROR) && insn.raw.imm[0].size;
}

/* A lock over the end of a cache line takes longer than we wait, where kernel or hypervisor slow it down. */
static bool is_split_lock(const Result *native, const ZydisDecodedInstruction *insn)
{
    return native->vector == VECTOR_HUNG &&
           (insn->attributes & ZYDIS_ATTRIB_HAS_LOCK || insn->mnemonic == ZYDIS_MNEMONIC_XCHG);
}

/* What has an unmasked x87 exception to report (there may be one) does not store; the software CPU has looked at the place already. */
static bool is_refused_store(const Result *soft, const ZydisDecodedInstruction *insn)
{
    return (soft->out.fx[0] & 0x3f) != 0x3f && soft->vector >= 12 && soft->vector != 16 &&
           (insn->meta.isa_ext == ZYDIS_ISA_EXT_X87 || insn->mnemonic == ZYDIS_MNEMONIC_FISTTP);
}

static bool is_limit(const Case *c, const Result *soft)
{
    return c->mode != CASE_64 && (soft->vector == 12 || soft->vector == 13);
}

/* Both stopped at the same instruction, with different exceptions: alignment may be #AC or #GP (SDM 2A FXSAVE), and limits
 * of segments are what the software CPU asks about before anything else. */
static bool is_other_order(const Case *c, const Result *native, const Result *soft, unsigned may)
{
    return (native->vector == 17 && soft->vector == 13) || may & MAY_FAULT ||
           (is_limit(c, soft) && (native->vector == 13 || native->vector == 16));
}

/* AMD's processors check the alignment of vectors, too (APM 2-8.2.18). */
static bool is_checked_vector(const Result *native, const ZydisDecodedInstruction *insn)
{
    return native->vector == 17 && !native_is_intel() && insn->meta.isa_ext != ZYDIS_ISA_EXT_BASE &&
           insn->meta.isa_ext != ZYDIS_ISA_EXT_X87 && insn->meta.isa_ext != ZYDIS_ISA_EXT_MMX;
}

/* An operand that goes over the end of a flat segment, or of the canonical addresses, is beyond it for AMD's processors,
 * where others find no page, or no alignment, first. */
static bool is_over_the_end(const Case *c, const Result *native, const Result *soft)
{
    return !native_is_intel() && (native->vector == 12 || native->vector == 13) &&
           (soft->vector == 14 || soft->vector == 17) && native->out.rip == soft->out.rip;
}

/* Whether CS may be written, too. */
static bool is_code_store(const Case *c, const Result *soft, const ZydisDecodedInstruction *insn)
{
    return is_limit(c, soft) && insn->attributes & ZYDIS_ATTRIB_HAS_SEGMENT_CS;
}

unsigned may_differ(const Generator *g, const Case *c, const Result *native, const Result *soft)
{
    ZydisDecodedInstruction by_native, by_soft;
    bool native_stopped = stopped_at(g, c, native, &by_native), soft_stopped = stopped_at(g, c, soft, &by_soft);
    unsigned native_may = native_stopped ? excused(&by_native) : 0, soft_may = soft_stopped ? excused(&by_soft) : 0;
    bool same = native->out.rip == soft->out.rip && native->vector != 3;
    unsigned may = native_may | soft_may | (is_rotation(g, c) ? MAY_OF : 0);

    if ((native_stopped && (is_split_lock(native, &by_native) || is_checked_vector(native, &by_native))) ||
        is_over_the_end(c, native, soft) ||
        (soft_stopped && is_refused_store(soft, &by_soft)) ||
        (soft_stopped && (same || soft_may & MAY_LIMIT) && is_code_store(c, soft, &by_soft)) ||
        (soft_may & MAY_LIMIT && is_limit(c, soft)) ||
        (may & MAY_PASS && (native->vector != soft->vector || native->out.rip != soft->out.rip)) ||
        (same && native->vector != soft->vector && is_other_order(c, native, soft, may))) {
        return MAY_ALL;
    }
    return may;
}
