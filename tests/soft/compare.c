/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What differs between the two sides, and cases as text.
 */
#include "diff.h"

#include <inttypes.h>
#include <string.h>

#define FLAGS 0x244dd5u /* all that a process sees, but RF, which depends on who looks */

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
    if (native->vector >= 10 && native->vector <= 14 && !(d->may & MAY_ERROR)) {
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
    uint64_t mask = d->c->mode == CASE_64 ? UINT64_MAX : UINT32_MAX;
    uint64_t flags = d->may & MAY_FLAGS ? FLAGS & ~0x8d5u : d->may & MAY_OF ? FLAGS & ~0x800u : FLAGS;

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
    Difference d = { .c = c, .text = ret_text, .may = may_differ(g, c, native, soft) };

    if (d.may & MAY_ALL) {
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
    g_string_append_printf(text, "  rip %016" PRIx64 " rflags %06" PRIx64, s->rip, s->rflags);
    g_string_append_printf(text, " fs base %" PRIx64 " gs base %" PRIx64 "\n", s->fs_base, s->gs_base);
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
    g_string_append_printf(text, "%s-bit code, data %u, cs %02x ss %02x ds %02x es %02x fs %02x gs %02x\n",
                           c->mode == CASE_64 ? "64" : c->mode == CASE_32 ? "32" : "16", c->fill, c->in.cs, c->in.ss,
                           c->in.ds, c->in.es, c->in.fs, c->in.gs);
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
