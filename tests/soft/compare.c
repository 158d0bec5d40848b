/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between the two sides, less what a processor may do either way (the table
 * below), and cases as text.
 */
#include "diff.h"

#include <inttypes.h>
#include <string.h>

#define FLAGS 0x244dd5u /* all that a process sees, but RF, which depends on who looks */
#define RFLAGS_AC 0x40000u

/* ---- what may differ, mostly when an instruction faults ---- */

enum {
    MAY_WRITE = 1,   /* memory */
    MAY_ADDRESS = 2, /* where in its operand it faults */
    MAY_X87 = 4,
    MAY_VECTORS = 8,
    MAY_REGISTERS = 16,
    MAY_MXCSR = 128,
    MAY_FAULT = 32,  /* or not, or otherwise */
    MAY_OF = 64,     /* this one also of a single instruction that does not fault */
};

typedef struct Excuse {
    uint16_t mnemonic, category, extension; /* 0: any */
    unsigned may;
} Excuse;
static const Excuse excuses[] = {
    /* Has pushed before the target turns out to be no address. */
    { ZYDIS_MNEMONIC_CALL, 0, 0, MAY_WRITE | MAY_FAULT },
    /* Reads first, though the software CPU asks whether the segment may be written. */
    { ZYDIS_MNEMONIC_ARPL, 0, 0, MAY_FAULT },
    /* Copies frame pointers before its last check. */
    { ZYDIS_MNEMONIC_ENTER, 0, 0, MAY_WRITE },
    /* Microcode reads what it needs first. */
    { ZYDIS_MNEMONIC_IRET, 0, 0, MAY_FAULT },
    { ZYDIS_MNEMONIC_IRETD, 0, 0, MAY_FAULT },
    { ZYDIS_MNEMONIC_IRETQ, 0, 0, MAY_FAULT },
    { ZYDIS_MNEMONIC_FRSTOR, 0, 0, MAY_ADDRESS },
    { ZYDIS_MNEMONIC_FXRSTOR, 0, 0, MAY_ADDRESS },
    { ZYDIS_MNEMONIC_FXRSTOR64, 0, 0, MAY_ADDRESS },
    { ZYDIS_MNEMONIC_FXSAVE, 0, 0, MAY_ADDRESS },
    { ZYDIS_MNEMONIC_FXSAVE64, 0, 0, MAY_ADDRESS },
    /* Need not look at what they do not access. */
    { 0, ZYDIS_CATEGORY_XSAVE, 0, MAY_ADDRESS | MAY_FAULT },
    { 0, ZYDIS_CATEGORY_XSAVEOPT, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_FLDENV, 0, 0, MAY_ADDRESS },
    { ZYDIS_MNEMONIC_FNSTENV, 0, 0, MAY_ADDRESS },
    { ZYDIS_MNEMONIC_FNSAVE, 0, 0, MAY_ADDRESS },
    /* Stores in two pieces. */
    { ZYDIS_MNEMONIC_FBSTP, 0, 0, MAY_WRITE },
    { ZYDIS_MNEMONIC_FSTP, 0, 0, MAY_WRITE },
    /* Loads as it goes. */
    { ZYDIS_MNEMONIC_POPA, 0, 0, MAY_REGISTERS },
    { ZYDIS_MNEMONIC_POPAD, 0, 0, MAY_REGISTERS },
    /* May fault where it is not to write. */
    { ZYDIS_MNEMONIC_MASKMOVQ, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_MASKMOVDQU, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_VMASKMOVDQU, 0, 0, MAY_ADDRESS | MAY_FAULT },
    { ZYDIS_MNEMONIC_VPMASKMOVD, 0, 0, MAY_ADDRESS },
    { ZYDIS_MNEMONIC_VPMASKMOVQ, 0, 0, MAY_ADDRESS },
    { ZYDIS_MNEMONIC_VMASKMOVPS, 0, 0, MAY_ADDRESS },
    { ZYDIS_MNEMONIC_VMASKMOVPD, 0, 0, MAY_ADDRESS },
    /* Has converted before it stores. */
    { ZYDIS_MNEMONIC_VCVTPS2PH, 0, 0, MAY_MXCSR | MAY_FAULT },
    /* Has become an MMX register file before the access. */
    { 0, 0, ZYDIS_ISA_EXT_MMX, MAY_X87 },
    /* May have gathered some elements, and widened its mask. */
    { 0, ZYDIS_CATEGORY_AVX2GATHER, 0, MAY_VECTORS },
};

/* Of the instruction that a side stopped at. */
static unsigned excused(const Generator *g, const Case *c, const Result *r)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t at = r->out.rip - c->in.rip;
    unsigned may = 0;

    if (r->vector == 3 || at >= c->code_length ||
        !decode(g, c->mode, c->code + at, c->code_length - (unsigned)at, &insn, operands)) {
        return 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(excuses); i++) {
        const Excuse *e = &excuses[i];

        if ((!e->mnemonic || e->mnemonic == insn.mnemonic) && (!e->category || e->category == insn.meta.category) &&
            (!e->extension || e->extension == insn.meta.isa_ext)) {
            may |= e->may;
        }
    }
    return may;
}

/* OF is undefined after a rotation by more than one, and not the same by the immediate as by CL. */
static bool is_rotation(const Generator *g, const Case *c)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    return c->instructions == 1 && decode(g, c->mode, c->code, c->code_length, &insn, operands) &&
           (insn.mnemonic == ZYDIS_MNEMONIC_ROL || insn.mnemonic == ZYDIS_MNEMONIC_ROR) && insn.raw.imm[0].size;
}

/* What has an unmasked exception to report does not store; the software CPU has looked at the place already. */
static bool is_refused_store(const Generator *g, const Case *c, const Result *native, const Result *soft)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t at = soft->out.rip - c->in.rip;

    return native->out.fx[2] & 0x80 && soft->vector >= 12 && soft->vector != 16 && at < c->code_length &&
           decode(g, c->mode, c->code + at, c->code_length - (unsigned)at, &insn, operands) &&
           (insn.meta.isa_ext == ZYDIS_ISA_EXT_X87 || insn.mnemonic == ZYDIS_MNEMONIC_FISTTP);
}

/* What must be aligned to 16 bytes or more is #GP or #AC, as the processor likes (SDM 2A FXSAVE). */
static bool is_misaligned(const Result *native, const Result *soft)
{
    return native->vector == 17 && soft->vector == 13 && native->out.rip == soft->out.rip;
}

/* Whether CS may be written is asked before the stack is read, and whatever else there is. */
static bool is_code_store(const Generator *g, const Case *c, const Result *soft)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t at = soft->out.rip - c->in.rip;

    return c->mode == CASE_32 && soft->vector == 13 && at < c->code_length &&
           decode(g, c->mode, c->code + at, c->code_length - (unsigned)at, &insn, operands) &&
           insn.attributes & ZYDIS_ATTRIB_HAS_SEGMENT_CS;
}

/* Kernels slow down who locks over the end of a cache line, by more than we wait. */
static bool is_split_lock(const Generator *g, const Case *c, const Result *native)
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t at = native->out.rip - c->in.rip;

    return native->vector == VECTOR_HUNG && at < c->code_length &&
           decode(g, c->mode, c->code + at, c->code_length - (unsigned)at, &insn, operands) &&
           (insn.attributes & ZYDIS_ATTRIB_HAS_LOCK || insn.mnemonic == ZYDIS_MNEMONIC_XCHG);
}

/* ---- differences ---- */

typedef struct Difference {
    const Case *c;
    GString *text;
    unsigned may;
    unsigned n;
} Difference;

static __attribute__((format(printf, 2, 3))) void differ(Difference *d, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_string_append(d->text, "  ");
    g_string_append_vprintf(d->text, format, args);
    g_string_append_c(d->text, '\n');
    va_end(args);
    d->n++;
}

static void hex(GString *text, const uint8_t *bytes, unsigned n)
{
    while (n--) {
        g_string_append_printf(text, "%02x", bytes[n]);
    }
}

static void compare_bytes(Difference *d, const char *name, unsigned number, const uint8_t *native, const uint8_t *soft,
                          unsigned n)
{
    if (memcmp(native, soft, n)) {
        g_string_append_printf(d->text, "  %s%u native ", name, number);
        hex(d->text, native, n);
        g_string_append(d->text, " soft ");
        hex(d->text, soft, n);
        g_string_append_c(d->text, '\n');
        d->n++;
    }
}

static void compare_word(Difference *d, const char *name, uint64_t native, uint64_t soft)
{
    if (native != soft) {
        differ(d, "%s native %" PRIx64 " soft %" PRIx64, name, native, soft);
    }
}

static const char *const gpr_names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                           "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

static bool is_ours(uint64_t address)
{
    return address - CODE_BASE < CODE_SIZE || address - DATA_BASE < DATA_PAGES * PAGE;
}

static void compare_exception(Difference *d, const Result *native, const Result *soft)
{
    uint32_t mask = UINT32_MAX;

    compare_word(d, "vector", native->vector, soft->vector);
    if (native->vector != soft->vector) {
        return;
    }
    if (native->vector == 14) {
        if (d->may & MAY_ADDRESS) {
            return;
        }
        compare_word(d, "address", native->address, soft->address);
        /* The child has more pages than the guest, and of the upper half Linux says that all are present. */
        mask = is_ours(native->address) ? UINT32_MAX : ~1u;
    }
    if (native->vector >= 10 && native->vector <= 14) {
        compare_word(d, "error", native->error & mask, soft->error & mask);
    }
}

static uint64_t word(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    memcpy(&v, p, n);
    return v;
}

static void compare_x87(Difference *d, const State *native, const State *soft)
{
    compare_word(d, "fcw", word(native->fx, 2), word(soft->fx, 2));
    compare_word(d, "fsw", word(native->fx + 2, 2), word(soft->fx + 2, 2));
    compare_word(d, "ftw", native->fx[4], soft->fx[4]);
    for (unsigned i = 0; i < 8; i++) {
        compare_bytes(d, "st", i, native->fx + 32 + 16 * i, soft->fx + 32 + 16 * i, 10);
    }
}

/* In 32-bit code the upper eight do not take part, but they do in the software CPU's VZEROALL. */
static void compare_vectors(Difference *d, const State *native, const State *soft)
{
    unsigned n = d->c->mode == CASE_64 ? 16 : 8;

    for (unsigned i = 0; i < n; i++) {
        compare_bytes(d, "xmm", i, native->fx + 160 + 16 * i, soft->fx + 160 + 16 * i, 16);
    }
    for (unsigned i = 0; i < n; i++) {
        compare_bytes(d, "ymm high ", i, native->ymm_high + 16 * i, soft->ymm_high + 16 * i, 16);
    }
}

/* Entering the kernel and leaving it clears null selectors. */
static uint16_t selector(uint16_t s)
{
    return s < 4 ? 0 : s;
}

static void compare_state(Difference *d, const State *native, const State *soft)
{
    uint64_t mask = d->c->mode == CASE_32 ? UINT32_MAX : UINT64_MAX;
    uint64_t flags = d->may & MAY_OF ? FLAGS & ~0x800u : FLAGS;

    for (unsigned i = 0; i < 16 && !(d->may & MAY_REGISTERS); i++) {
        compare_word(d, gpr_names[i], native->gpr[i] & mask, soft->gpr[i] & mask);
    }
    compare_word(d, "rip", native->rip, soft->rip);
    compare_word(d, "rflags", native->rflags & flags, soft->rflags & flags);
    compare_word(d, "cs", native->cs, soft->cs);
    compare_word(d, "ss", native->ss, soft->ss);
    compare_word(d, "ds", selector(native->ds), selector(soft->ds));
    compare_word(d, "es", selector(native->es), selector(soft->es));
    compare_word(d, "fs", selector(native->fs), selector(soft->fs));
    compare_word(d, "gs", selector(native->gs), selector(soft->gs));
    if (native_has_fsgsbase()) {
        compare_word(d, "fs base", native->fs_base, soft->fs_base);
        compare_word(d, "gs base", native->gs_base, soft->gs_base);
    }
    if (!(d->may & MAY_MXCSR)) {
        compare_word(d, "mxcsr", word(native->fx + 24, 4), word(soft->fx + 24, 4));
    }
    if (!(d->may & MAY_X87)) {
        compare_x87(d, native, soft);
    }
    if (!(d->may & MAY_VECTORS)) {
        compare_vectors(d, native, soft);
    }
}

static void compare_data(Difference *d, const uint8_t *native, const uint8_t *soft)
{
    unsigned present = 0, shown = 0;

    for (unsigned page = 0; page < DATA_PAGES; page++) {
        const uint8_t *a = native + present * PAGE, *b = soft + present * PAGE;

        if (page_kinds[page] == PAGE_NONE) {
            continue;
        }
        for (unsigned i = 0; i < PAGE && memcmp(a, b, PAGE); i++) {
            if (a[i] != b[i]) {
                if (shown++ < 16) {
                    differ(d, "[%" PRIx64 "] native %02x soft %02x", DATA_BASE + page * PAGE + i, a[i], b[i]);
                }
            }
        }
        present++;
    }
}

unsigned compare(const Generator *g, const Case *c, const Result *native, const Result *soft, GString *ret_text)
{
    unsigned soft_may = excused(g, c, soft);
    Difference d = { .c = c, .text = ret_text, .may = excused(g, c, native) | soft_may };

    d.may |= is_rotation(g, c) ? MAY_OF : 0;
    if ((is_code_store(g, c, soft) && native->vector != 3) || is_misaligned(native, soft) || is_split_lock(g, c, native) || is_refused_store(g, c, native, soft) ||
        soft_may & MAY_FAULT || (d.may & MAY_FAULT && native->vector != soft->vector)) {
        return 0;
    }
    compare_exception(&d, native, soft);
    if (native->vector != VECTOR_LOST && native->vector != VECTOR_HUNG) {
        compare_state(&d, &native->out, &soft->out);
        if (!(d.may & MAY_WRITE)) {
            compare_data(&d, native->data, soft->data);
        }
    }
    return d.n;
}

/* ---- text ---- */

void describe_state(const State *s, GString *text)
{
    for (unsigned i = 0; i < 16; i++) {
        g_string_append_printf(text, "  %-4s%016" PRIx64 "%s", gpr_names[i], s->gpr[i], i % 4 == 3 ? "\n" : "");
    }
    g_string_append_printf(text, "  rip %016" PRIx64 "  rflags %06" PRIx64 "  fs base %" PRIx64 "  gs base %" PRIx64 "\n",
                           s->rip, s->rflags, s->fs_base, s->gs_base);
    g_string_append_printf(text, "  fcw %04" PRIx64 " fsw %04" PRIx64 " ftw %02x mxcsr %08" PRIx64 "\n", word(s->fx, 2),
                           word(s->fx + 2, 2), s->fx[4], word(s->fx + 24, 4));
    for (unsigned i = 0; i < 8; i++) {
        g_string_append_printf(text, "  st%u ", i);
        hex(text, s->fx + 32 + 16 * i, 10);
        g_string_append(text, i % 4 == 3 ? "\n" : "");
    }
    for (unsigned i = 0; i < 16; i++) {
        g_string_append_printf(text, "  ymm%-2u ", i);
        hex(text, s->ymm_high + 16 * i, 16);
        g_string_append_c(text, '_');
        hex(text, s->fx + 160 + 16 * i, 16);
        g_string_append(text, i % 2 ? "\n" : "");
    }
}

void describe_case(const Generator *g, const Case *c, GString *text)
{
    ZydisFormatter formatter;

    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    g_string_append_printf(text, "%s code, data %u\n", c->mode == CASE_64 ? "64-bit" : "32-bit", c->fill);
    for (unsigned at = 0; at < c->code_length;) {
        ZydisDecodedInstruction insn;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        char line[128] = "(bad)";
        unsigned n = 1;

        if (decode(g, c->mode, c->code + at, c->code_length - at, &insn, operands)) {
            n = insn.length;
            ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, line, sizeof(line),
                                            c->in.rip + at, NULL);
        }
        g_string_append_printf(text, "  %" PRIx64 "  ", c->in.rip + at);
        for (unsigned i = 0; i < n; i++) {
            g_string_append_printf(text, "%02x ", c->code[at + i]);
        }
        g_string_append_printf(text, " %s\n", line);
        at += n;
    }
}
