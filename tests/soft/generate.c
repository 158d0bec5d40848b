/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random instructions: prefixes, opcode maps and operand bytes are drawn, and Zydis tells
 * what is an instruction.  Then registers are set so that memory operands mostly lead
 * somewhere, and branches are bent to lead forward inside the case.
 */
#include "diff.h"

#include <string.h>

/* ---- what is not run ---- */

/* These would leave the process, tell of this host, or are emulated by its kernel. */
static const ZydisMnemonic excluded[] = {
    ZYDIS_MNEMONIC_SYSCALL, ZYDIS_MNEMONIC_SYSENTER, ZYDIS_MNEMONIC_INT, ZYDIS_MNEMONIC_INT1, ZYDIS_MNEMONIC_CPUID,
    ZYDIS_MNEMONIC_RDTSC, ZYDIS_MNEMONIC_RDTSCP, ZYDIS_MNEMONIC_RDPMC, ZYDIS_MNEMONIC_RDPID, ZYDIS_MNEMONIC_RDRAND,
    ZYDIS_MNEMONIC_RDSEED, ZYDIS_MNEMONIC_XGETBV, ZYDIS_MNEMONIC_SGDT, ZYDIS_MNEMONIC_SIDT, ZYDIS_MNEMONIC_SLDT,
    ZYDIS_MNEMONIC_SMSW, ZYDIS_MNEMONIC_STR, ZYDIS_MNEMONIC_VMCALL, ZYDIS_MNEMONIC_VMMCALL,
};

static bool has_rep(const ZydisDecodedInstruction *insn)
{
    for (unsigned i = 0; i < insn->raw.prefix_count; i++) {
        if (insn->raw.prefixes[i].value == 0xf2 || insn->raw.prefixes[i].value == 0xf3) {
            return true;
        }
    }
    return false;
}

/* What AMD's processors do in ways of their own. */
static bool is_amds_own(CaseMode mode, const ZydisDecodedInstruction *insn)
{
    switch (insn->mnemonic) {
    /* Undefined flags that the software CPU cannot ask for: 64-bit code does not have these. */
    case ZYDIS_MNEMONIC_AAA:
    case ZYDIS_MNEMONIC_AAS:
    case ZYDIS_MNEMONIC_DAA:
    case ZYDIS_MNEMONIC_DAS:
        return true;
    /* It is an XCHG then. */
    case ZYDIS_MNEMONIC_PAUSE:
        return insn->raw.rex.B;
    /* REP is taken for the condition. */
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
        return has_rep(insn);
    /* Undefined with VEX.W outside of 64-bit code. */
    case ZYDIS_MNEMONIC_VPINSRD:
    case ZYDIS_MNEMONIC_VPEXTRD:
        return mode != CASE_64 && insn->raw.vex.W;
    /* Loads 32 bits even for 16. */
    case ZYDIS_MNEMONIC_MOVSXD:
        return insn->operand_width == 16;
    /* A far pointer has 32 bits, but 64 are pushed. */
    case ZYDIS_MNEMONIC_CALL:
        return insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR && insn->raw.rex.W;
    /* #UD or #GP, as EFER.SVME says. */
    default:
        return insn->meta.isa_ext == ZYDIS_ISA_EXT_SVM;
    }
}

static bool is_excluded(const Generator *g, CaseMode mode, const ZydisDecodedInstruction *insn)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(excluded); i++) {
        if (insn->mnemonic == excluded[i]) {
            return true;
        }
    }
    return !(g->isa[insn->meta.isa_set / 64] >> (insn->meta.isa_set % 64) & 1) ||
           (insn->mnemonic == ZYDIS_MNEMONIC_SERIALIZE && !native_has_serialize()) ||
           (!native_is_intel() && is_amds_own(mode, insn));
}

static bool is_wanted(const Generator *g, const ZydisDecodedInstruction *insn)
{
    const char *name = ZydisMnemonicGetString(insn->mnemonic), *at = g->only;
    size_t n = strlen(name);

    while (at) {
        if (!strncmp(at, name, n) && (at[n] == ',' || !at[n])) {
            return true;
        }
        at = strchr(at, ',');
        at += at != NULL;
    }
    return !g->only;
}

/* ---- bytes ---- */

static unsigned put_prefixes(Rng *r, const Case *c, uint8_t *to)
{
    static const uint8_t prefixes[] = { 0x66, 0x66, 0xf2, 0xf3, 0xf2, 0xf3, 0x67, 0x67, 0xf0, 0xf0,
                                        0x64, 0x65, 0x2e, 0x36, 0x3e, 0x26 };
    unsigned n = 0;

    while (n < 3 && rng_percent(r, n ? 15 : 40)) {
        uint8_t prefix = prefixes[rng_below(r, sizeof(prefixes))];

        if ((prefix != 0x64 && prefix != 0x65) || (native_has_fsgsbase() && (prefix == 0x64 ? c->in.fs : c->in.gs)) ||
            c->mode == CASE_64) {
            to[n++] = prefix;
        }
    }
    return n;
}

static unsigned put_rex(Rng *r, CaseMode mode, uint8_t *to)
{
    if (mode != CASE_64 || rng_percent(r, 40)) {
        return 0;
    }
    *to = (uint8_t)(0x40 | rng_below(r, 16));
    return 1;
}

static unsigned put_legacy(Rng *r, const Case *c, uint8_t *to)
{
    static const uint8_t mandatory[] = { 0, 0x66, 0xf2, 0xf3 };
    unsigned map = rng_below(r, 100), n = put_prefixes(r, c, to);
    uint8_t prefix = map >= 40 ? mandatory[rng_below(r, 4)] : 0;

    if (prefix) {
        to[n++] = prefix;
    }
    n += put_rex(r, c->mode, to + n);
    if (map >= 40) {
        to[n++] = 0x0f;
    }
    if (map >= 80) {
        to[n++] = map < 92 ? 0x38 : 0x3a;
    }
    to[n++] = (uint8_t)rng_next(r);
    return n;
}

static unsigned put_vex(Rng *r, uint8_t *to)
{
    unsigned map = rng_below(r, 10), n = 0;
    uint8_t last = (uint8_t)rng_next(r);

    if (rng_percent(r, 70)) {
        last |= 0x78; /* vvvv that many instructions do not have */
        last ^= rng_percent(r, 50) ? (uint8_t)(rng_below(r, 16) << 3) : 0;
    }
    if (map < 3) {
        to[n++] = 0xc5;
        to[n++] = last;
    } else {
        to[n++] = 0xc4;
        to[n++] = (uint8_t)((rng_next(r) & 0xe0) | (map < 5 ? 1 : map < 8 ? 2 : 3));
        to[n++] = last;
    }
    to[n++] = (uint8_t)rng_next(r);
    return n;
}

static unsigned draw_bytes(Rng *r, const Case *c, uint8_t *to)
{
    unsigned n = rng_percent(r, 22) ? put_vex(r, to) : put_legacy(r, c, to);

    while (n < 15) {
        to[n++] = (uint8_t)rng_next(r);
    }
    return n;
}

bool decode(const Generator *g, CaseMode mode, const uint8_t *bytes, unsigned n, ZydisDecodedInstruction *insn,
            ZydisDecodedOperand *operands)
{
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&g->decoder[mode], bytes, n, insn, operands));
}

/* ---- operands ---- */

typedef struct Draft {
    const Generator *g;
    Rng *r;
    Case *c;
    bool used[16];    /* registers that an address depends on */
    bool written[16]; /* registers that an instruction before may have changed */
    unsigned start[INSTRUCTIONS_MAX + 1];
    struct { unsigned at, size; } branch[INSTRUCTIONS_MAX]; /* displacement to fill in; size 0: none */
} Draft;

static unsigned gpr_number(ZydisRegister reg)
{
    ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

    return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15 ? (unsigned)(whole - ZYDIS_REGISTER_RAX) : 16;
}

static uint64_t segment_base(const Case *c, ZydisRegister segment)
{
    const State *s = &c->in;

    switch (segment) {
    case ZYDIS_REGISTER_FS:
        return s->fs_base;
    case ZYDIS_REGISTER_GS:
        return s->gs_base;
    case ZYDIS_REGISTER_SS:
        return selector_base(s->ss);
    case ZYDIS_REGISTER_DS:
        return selector_base(s->ds);
    case ZYDIS_REGISTER_ES:
        return selector_base(s->es);
    case ZYDIS_REGISTER_CS:
        return selector_base(s->cs);
    default:
        return 0;
    }
}

static void set_disp(Draft *d, uint8_t *bytes, const ZydisDecodedInstruction *insn, uint64_t value)
{
    for (unsigned i = 0; i < insn->raw.disp.size / 8; i++) {
        bytes[insn->raw.disp.offset + i] = (uint8_t)(value >> (8 * i));
    }
}

/* The elements of a vector of indices become small. */
static void settle_vector_index(Draft *d, ZydisRegister index)
{
    unsigned n = (unsigned)(ZydisRegisterGetId(index)) & 15, element = rng_percent(d->r, 50) ? 4 : 8;

    for (unsigned i = 0; i < 16; i += element) {
        int64_t low = (int)rng_below(d->r, 256) - 128, high = (int)rng_below(d->r, 256) - 128;

        memcpy(d->c->in.fx + 160 + 16 * n + i, &low, element);
        memcpy(d->c->in.ymm_high + 16 * n + i, &high, element);
    }
}

/* A locked access over the end of a cache line stops the whole machine, and hypervisors slow down who does that. */
static bool is_locked(const ZydisDecodedInstruction *insn)
{
    return insn->attributes & ZYDIS_ATTRIB_HAS_LOCK || insn->mnemonic == ZYDIS_MNEMONIC_XCHG;
}

static void set_base(Draft *d, unsigned base, const ZydisDecodedInstruction *insn, uint64_t value)
{
    bool truncated = d->c->mode != CASE_64 || (insn->address_width == 32 && rng_percent(d->r, 90));

    value = insn->address_width == 16 && rng_percent(d->r, 80) ? value & 0xffff : value;
    d->c->in.gpr[base] = truncated ? (uint32_t)value : value;
}

/* Makes an operand lead to an address of interest.  False: its registers are not known any more. */
static bool settle_memory(Draft *d, uint8_t *bytes, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *o)
{
    Case *c = d->c;
    unsigned size = MIN(MAX(o->size / 8, 1), 512), base = gpr_number(o->mem.base), index = gpr_number(o->mem.index);
    uint64_t target = random_address(d->r, size), rest = 0;
    bool wide = insn->raw.disp.size >= MIN(insn->address_width, 32);

    target &= is_locked(insn) || (size >= 16 && rng_percent(d->r, 50)) ? -(uint64_t)MIN(size, 64) : UINT64_MAX;
    target -= segment_base(c, o->mem.segment);
    if (o->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
        settle_vector_index(d, o->mem.index);
    } else if (index < 16) {
        if (d->written[index]) {
            return false;
        }
        if (!d->used[index] && rng_percent(d->r, 50)) {
            c->in.gpr[index] = rng_below(d->r, 256);
        }
        rest = c->in.gpr[index] * MAX(o->mem.scale, 1);
        d->used[index] = true;
    }
    if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP) {
        set_disp(d, bytes, insn, target - (CODE_BASE + c->code_offset + c->code_length + insn->length));
        return true;
    }
    if (o->mem.base == ZYDIS_REGISTER_NONE) {
        set_disp(d, bytes, insn, target - rest);
        return wide;
    }
    if (base >= 16 || d->written[base]) {
        return false;
    }
    if (!d->used[base]) {
        set_base(d, base, insn, target - rest - (o->mem.disp.has_displacement ? (uint64_t)o->mem.disp.value : 0));
    } else if (wide) {
        set_disp(d, bytes, insn, target - rest - c->in.gpr[base]);
    } else if (is_locked(insn)) {
        return false;
    }
    d->used[base] = true;
    return true;
}

static bool is_used_as(const ZydisDecodedOperand *o, unsigned reg, ZydisOperandActions actions)
{
    return o->type == ZYDIS_OPERAND_TYPE_REGISTER && gpr_number(o->reg.value) == reg && o->actions & actions;
}

static bool is_xsave(const ZydisDecodedInstruction *insn)
{
    return insn->meta.category == ZYDIS_CATEGORY_XSAVE || insn->meta.category == ZYDIS_CATEGORY_XSAVEOPT;
}

static bool is_free(const Draft *d, unsigned reg)
{
    return !d->used[reg] && !d->written[reg];
}

/* Registers with a meaning of their own. */
static void settle_special(Draft *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands)
{
    uint64_t *gpr = d->c->in.gpr;
    Rng *r = d->r;

    switch (insn->meta.category) {
    case ZYDIS_CATEGORY_STRINGOP:
        if (is_free(d, 1) &&
            insn->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) {
            gpr[1] = rng_percent(r, 90) ? rng_below(r, rng_percent(r, 50) ? 40 : 1200) : gpr[1];
            gpr[1] |= insn->address_width == 32 && d->c->mode == CASE_64 && rng_percent(r, 50) ? rng_next(r) << 32 : 0;
            d->used[1] = true;
        }
        break;
    default:
        break;
    }
    if (is_xsave(insn)) {
        gpr[0] = (gpr[0] & ~UINT64_C(0xffffffff)) | rng_below(r, 8); /* the host has more to save than the guest */
        gpr[2] &= ~UINT64_C(0xffffffff);
    }
    if ((insn->mnemonic == ZYDIS_MNEMONIC_DIV || insn->mnemonic == ZYDIS_MNEMONIC_IDIV) && is_free(d, 2) &&
        rng_percent(r, 60)) {
        gpr[2] = rng_percent(r, 50) ? rng_below(r, 16) : -(uint64_t)rng_below(r, 2);
    }
    if ((insn->mnemonic == ZYDIS_MNEMONIC_CMPXCHG || insn->mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B ||
         insn->mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B) && rng_percent(r, 60) &&
        operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY && gpr_number(operands[0].mem.base) < 16) {
        const ZydisDecodedOperandMem *m = &operands[0].mem;
        uint64_t index = gpr_number(m->index) < 16 ? gpr[gpr_number(m->index)] * MAX(m->scale, 1) : 0;
        uint64_t at = gpr[gpr_number(m->base)] + index + (uint64_t)m->disp.value + segment_base(d->c, m->segment);
        unsigned offset = data_offset(at);

        if (offset + 16 <= DATA_BYTES && is_free(d, 0) && is_free(d, 2)) {
            const uint8_t *data = data_fill(d->c->fill) + offset;

            memcpy(&gpr[0], data, 8);
            memcpy(&gpr[2], insn->mnemonic == ZYDIS_MNEMONIC_CMPXCHG16B ? data + 8 : data + 4, 8);
            gpr[0] = insn->mnemonic == ZYDIS_MNEMONIC_CMPXCHG8B ? (uint32_t)gpr[0] : gpr[0];
        }
    }
}

static void mark_written(Draft *d, const ZydisDecodedInstruction *insn, const ZydisDecodedOperand *operands)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        for (unsigned reg = 0; reg < 16; reg++) {
            if (is_used_as(&operands[i], reg, ZYDIS_OPERAND_ACTION_MASK_WRITE)) {
                d->written[reg] = true;
            }
        }
    }
    if (insn->meta.category == ZYDIS_CATEGORY_STRINGOP) { /* and what its operands do not say */
        d->written[1] = d->written[6] = d->written[7] = true;
    }
}

/* Far pointers lead behind the code, by selectors that may do. */
static void settle_far(Draft *d, uint8_t *bytes, const ZydisDecodedInstruction *insn)
{
    static const uint16_t selectors[] = { SELECTOR_CODE32, SELECTOR_CODE64, LDT_SELECTOR(LDT_CODE16),
                                          LDT_SELECTOR(LDT_CODE32), SELECTOR_DATA, LDT_SELECTOR(LDT_ABSENT), 0x10, 0x40,
                                          0, 0x53 };
    uint16_t selector = selectors[rng_below(d->r, G_N_ELEMENTS(selectors))];
    uint64_t offset;

    if (selector == SELECTOR_CODE64 && insn->mnemonic == ZYDIS_MNEMONIC_CALL) {
        selector = SELECTOR_CODE32; /* pushes as 64-bit code would, on Intel's */
    }
    offset = CODE_BASE - selector_base(selector) + d->c->code_offset + CODE_MAX;

    memcpy(bytes + insn->raw.imm[0].offset, &offset, insn->raw.imm[0].size / 8);
    memcpy(bytes + insn->raw.imm[1].offset, &selector, sizeof(selector));
}

/* False: take another instruction. */
static bool settle(Draft *d, unsigned n, uint8_t *bytes, const ZydisDecodedInstruction *insn,
                   const ZydisDecodedOperand *operands)
{
    for (unsigned i = 0; i < insn->operand_count; i++) {
        if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY && operands[i].mem.type != ZYDIS_MEMOP_TYPE_AGEN &&
            !settle_memory(d, bytes, insn, &operands[i]) &&
            (is_locked(insn) || (d->c->instructions > 1 && rng_percent(d->r, 90)))) {
            return false;
        }
    }
    if (is_xsave(insn) && (d->c->instructions > 1 || !is_free(d, 0) || !is_free(d, 2))) {
        return false;
    }
    settle_special(d, insn, operands);
    if (insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR && insn->raw.imm[1].size) {
        settle_far(d, bytes, insn);
    }
    if (d->c->instructions > 1 && (insn->mnemonic == ZYDIS_MNEMONIC_ROL || insn->mnemonic == ZYDIS_MNEMONIC_ROR) &&
        insn->raw.imm[0].size) {
        bytes[insn->raw.imm[0].offset] &= 0xc1; /* by more than one: OF is undefined, and what follows would see it */
    }
    d->branch[n].size = 0;
    if (insn->raw.imm[0].is_relative) {
        d->branch[n].at = d->c->code_length + insn->raw.imm[0].offset;
        d->branch[n].size = insn->raw.imm[0].size / 8;
    }
    mark_written(d, insn, operands);
    return true;
}

/* ---- cases ---- */

/* What mostly faults would end most sequences early; what stores addresses of x87 instructions tells of the others'. */
static bool is_short_lived(const ZydisDecodedInstruction *insn)
{
    switch (insn->mnemonic) {
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_LDS:
    case ZYDIS_MNEMONIC_LES:
    case ZYDIS_MNEMONIC_LFS:
    case ZYDIS_MNEMONIC_LGS:
    case ZYDIS_MNEMONIC_LSS:
    case ZYDIS_MNEMONIC_INT3:
    case ZYDIS_MNEMONIC_INTO:
    case ZYDIS_MNEMONIC_BOUND:
    case ZYDIS_MNEMONIC_ENTER:
    case ZYDIS_MNEMONIC_UD0:
    case ZYDIS_MNEMONIC_UD1:
    case ZYDIS_MNEMONIC_UD2:
    case ZYDIS_MNEMONIC_RSM:
    case ZYDIS_MNEMONIC_CLI:
    case ZYDIS_MNEMONIC_STI:
    case ZYDIS_MNEMONIC_RET:
        return true;
    default:
        return insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || insn->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ||
               insn->meta.category == ZYDIS_CATEGORY_IO || insn->meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
    }
}

static bool draw_instruction(Draft *d, unsigned n)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint8_t bytes[15];

    draw_bytes(d->r, d->c, bytes);
    if (!decode(d->g, d->c->mode, bytes, sizeof(bytes), &insn, operands) || !is_wanted(d->g, &insn) ||
        is_excluded(d->g, d->c->mode, &insn) ||
        (d->c->instructions > 1 && is_short_lived(&insn))) {
        return false;
    }
    d->start[n] = d->c->code_length;
    if (!settle(d, n, bytes, &insn, operands)) {
        return false;
    }
    memcpy(d->c->code + d->c->code_length, bytes, insn.length);
    d->c->code_length += insn.length;
    return true;
}

/* Direct branches lead to an instruction after them, or just behind the last. */
static void bend_branches(Draft *d)
{
    Case *c = d->c;

    d->start[c->instructions] = c->code_length;
    for (unsigned n = 0; n < c->instructions; n++) {
        unsigned to = n + 1 + rng_below(d->r, c->instructions - n);
        unsigned delta = d->start[to] - d->start[n + 1];

        for (unsigned i = 0; i < d->branch[n].size; i++) {
            c->code[d->branch[n].at + i] = (uint8_t)(delta >> (8 * i));
        }
    }
}

void generate(const Generator *g, uint64_t seed, unsigned min_instructions, unsigned max_instructions, bool only64,
              Case *ret)
{
    Rng r;
    Draft d = { .g = g, .r = &r, .c = ret };

    rng_seed(&r, seed);
    d.used[4] = true;
    memset(ret, 0, sizeof(*ret));
    ret->seed = seed;
    ret->mode = only64 || rng_percent(&r, 55) ? CASE_64 : rng_percent(&r, 55) ? CASE_32 : CASE_16;
    ret->instructions = min_instructions + rng_below(&r, max_instructions - min_instructions + 1);
    ret->code_offset = rng_percent(&r, 70) ? rng_below(&r, PAGE - CODE_MAX)
                       : rng_percent(&r, 80) ? PAGE - rng_below(&r, 20)
                                             : 16; /* 0 is where null pointers lead */
    random_state(&r, ret);
    ret->in.rip = CODE_BASE - selector_base(ret->in.cs) + ret->code_offset;
    for (unsigned n = 0; n < ret->instructions; n++) {
        while (!draw_instruction(&d, n)) {
        }
    }
    bend_branches(&d);
}

void generator_init(Generator *g)
{
    ZydisDecoderInit(&g->decoder[CASE_64], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderInit(&g->decoder[CASE_32], ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
    ZydisDecoderInit(&g->decoder[CASE_16], ZYDIS_MACHINE_MODE_LONG_COMPAT_16, ZYDIS_STACK_WIDTH_16);
    for (unsigned i = 0; i < CASE_MODES; i++) { /* to this host they are NOPs */
        ZydisDecoderEnableMode(&g->decoder[i], ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
        ZydisDecoderEnableMode(&g->decoder[i], ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
        ZydisDecoderEnableMode(&g->decoder[i], ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
    }
}
