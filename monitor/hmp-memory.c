/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/hmp-memory.h.  A format is /COUNT FORMAT SIZE, as gdb's: x (hexadecimal) d u o c i (instructions), and
 * b h w g for 1, 2, 4 and 8 bytes.  Registers and virtual addresses are those of the session's vCPU.
 */
#include "monitor/hmp-memory.h"

#include <inttypes.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "monitor/expression.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/vcpu-memory.h"

#define COUNT_MAX      65536
#define INSTRUCTION_MAX 15

/* ---- what is typed ---- */

bool hmp_parse_format(const char **text, HmpFormat *f, GError **error)
{
    const char *p = *text + strspn(*text, " \t");

    if (*p != '/') {
        return true;
    }
    p++;
    if (g_ascii_isdigit(*p)) {
        char *end;
        guint64 count = g_ascii_strtoull(p, &end, 10);

        if (count == 0 || count > COUNT_MAX) {
            return error_set(error, "the count must be from 1 to %u", COUNT_MAX);
        }
        f->count = (unsigned)count;
        p = end;
    }
    for (; *p && *p != ' ' && *p != '\t'; p++) {
        const char *size = strchr("bhwg", *p);

        if (size) {
            f->size = 1u << (size - strchr("bhwg", 'b'));
        } else if (strchr("xduoci", *p)) {
            f->kind = *p;
        } else {
            error_set(error, "'%c' is no format", *p);
            return error_hint(error, "A format is x, d, u, o, c or i, a size b, h, w or g.");
        }
    }
    *text = p;
    return true;
}

static bool find_register(const X86Cpu *cpu, const char *name, uint64_t *ret)
{
    const struct { const char *name; uint64_t value; } others[] = {
        { "rip", cpu->rip },       { "eip", (uint32_t)cpu->rip },
        { "rflags", cpu->rflags }, { "eflags", cpu->rflags },
        { "pc", cpu->rip + cpu->segment[X86_CS].base }, /* as an address: for x */
        { "cr0", cpu->cr0 },       { "cr2", cpu->cr2 },
        { "cr3", cpu->cr3 },       { "cr4", cpu->cr4 },
        { "es", cpu->segment[X86_ES].selector }, { "cs", cpu->segment[X86_CS].selector },
        { "ss", cpu->segment[X86_SS].selector }, { "ds", cpu->segment[X86_DS].selector },
        { "fs", cpu->segment[X86_FS].selector }, { "gs", cpu->segment[X86_GS].selector },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        if (g_str_equal(name, others[i].name)) {
            *ret = others[i].value;
            return true;
        }
    }
    return false;
}

static bool read_register(const char *name, uint64_t *ret, void *opaque, GError **error)
{
    static const char *const gprs[X86_GPRS] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                                "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
    Vcpu *vcpu = opaque;

    if (!vcpu_fetch(vcpu, error)) {
        return false;
    }
    for (unsigned i = 0; i < X86_GPRS; i++) {
        bool narrow = i < 8 && name[0] == 'e' && g_str_equal(name + 1, gprs[i] + 1);

        if (narrow || g_str_equal(name, gprs[i])) {
            *ret = narrow ? (uint32_t)vcpu->cpu.gpr[i] : vcpu->cpu.gpr[i];
            return true;
        }
    }
    return find_register(&vcpu->cpu, name, ret) || error_set(error, "there is no register '$%s'", name);
}

bool hmp_parse_value(HmpCall *call, const char **text, uint64_t *ret, GError **error)
{
    Vcpu *vcpu = hmp_vcpu(call->session, NULL);

    return expression_parse(text, vcpu ? read_register : NULL, vcpu, ret, error);
}

/* An expression and nothing behind it. */
static bool parse_value(HmpCall *call, const char *text, uint64_t *ret, GError **error)
{
    if (!hmp_parse_value(call, &text, ret, error)) {
        return false;
    }
    text += strspn(text, " \t");
    return !*text || error_set(error, "'%s' does not belong to the expression", text);
}

/* ---- what is shown ---- */

static void print_character(char c, GString *out)
{
    const char *plain = c == '\'' ? "\\'" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : NULL;

    if (plain) {
        g_string_append_printf(out, "'%s'", plain);
    } else {
        g_string_append_printf(out, g_ascii_isprint(c) ? "'%c'" : "'\\x%02x'", (uint8_t)c);
    }
}

/* in_column: as wide as the largest of the size would be. */
static void print_value(uint64_t value, const HmpFormat *f, bool in_column, GString *out)
{
    int decimal = in_column ? (int)(f->size * 8 * 10 + 32) / 33 : 0, octal = in_column ? (int)(f->size * 8 + 2) / 3 : 0;
    unsigned bits = f->size * 8;
    int64_t number = bits == 64 ? (int64_t)value : (int64_t)(value << (64 - bits)) >> (64 - bits);

    switch (f->kind) {
    case 'd':
        g_string_append_printf(out, "%*" PRId64, decimal, number);
        break;
    case 'u':
        g_string_append_printf(out, "%*" PRIu64, decimal, value);
        break;
    case 'o':
        g_string_append_printf(out, "%#*" PRIo64, octal, value);
        break;
    case 'c':
        print_character((char)value, out);
        break;
    default: /* x */
        g_string_append_printf(out, "0x%0*" PRIx64, (int)f->size * 2, value);
        break;
    }
}

static uint64_t read_memory(HmpCall *call, bool physical, uint64_t address, void *buffer, uint64_t length)
{
    if (physical) {
        return memory_read(domain_memory(call->domain), address, buffer, length) == MEMORY_OK ? length : 0;
    }
    return vcpu_read(hmp_vcpu(call->session, NULL), address, buffer, length);
}

static bool cannot_read(uint64_t address, GError **error)
{
    return error_set(error, "Cannot access memory at 0x%016" PRIx64, address);
}

static bool show_values(HmpCall *call, const HmpFormat *f, bool physical, uint64_t address, GError **error)
{
    unsigned a_line = (f->size == 1 ? 8 : 16) / f->size;

    for (unsigned i = 0; i < f->count; i++, address += f->size) {
        uint64_t value = 0;

        if (read_memory(call, physical, address, &value, f->size) != f->size) {
            return cannot_read(address, error);
        }
        if (i % a_line == 0) {
            g_string_append_printf(call->out, "%s%016" PRIx64 ":", i ? "\n" : "", address);
        }
        g_string_append_c(call->out, ' ');
        print_value(value, f, true, call->out);
    }
    g_string_append_c(call->out, '\n');
    return true;
}

/* By what the vCPU's code segment says. */
static void init_decoder(const X86Cpu *cpu, ZydisDecoder *decoder)
{
    uint32_t attributes = cpu->segment[X86_CS].attributes;

    if (cpu->efer & 1u << 10 && attributes & 1u << 13) {
        ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    } else if (attributes & 1u << 14) {
        ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    } else {
        ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    }
}

static bool show_instructions(HmpCall *call, const HmpFormat *f, bool physical, uint64_t address, GError **error)
{
    Vcpu *vcpu = hmp_vcpu(call->session, error);
    ZydisDecoder decoder;
    ZydisFormatter formatter;

    if (!vcpu || !vcpu_fetch(vcpu, error)) {
        return false;
    }
    init_decoder(&vcpu->cpu, &decoder);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
    for (unsigned i = 0; i < f->count; i++) {
        ZydisDecodedInstruction insn;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        uint8_t bytes[INSTRUCTION_MAX];
        char text[128] = "(bad)";
        uint64_t n = 0;

        while (n < sizeof(bytes) && read_memory(call, physical, address + n, bytes + n, 1)) {
            n++;
        }
        if (!n) {
            return cannot_read(address, error);
        }
        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &insn, operands))) {
            ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, text, sizeof(text),
                                            address, NULL);
        } else {
            insn.length = 1;
        }
        g_string_append_printf(call->out, "0x%08" PRIx64 ": ", address);
        for (unsigned n = 0; n < MAX(insn.length, 8); n++) {
            g_string_append_printf(call->out, n < insn.length ? " %02x" : "   ", bytes[n]);
        }
        g_string_append_printf(call->out, "  %s\n", text);
        address += insn.length;
    }
    return true;
}

static bool show_memory(HmpCall *call, bool physical, GError **error)
{
    HmpFormat f = { 1, 4, 'x' };
    const char *text = call->rest;
    uint64_t address;

    if (!hmp_parse_format(&text, &f, error) || !parse_value(call, text, &address, error)) {
        return false;
    }
    if (!physical && !hmp_vcpu(call->session, error)) {
        return false;
    }
    f.size = f.kind == 'c' ? 1 : f.size;
    return f.kind == 'i' ? show_instructions(call, &f, physical, address, error)
                         : show_values(call, &f, physical, address, error);
}

/* ---- commands: the vCPUs stand still meanwhile ---- */

static bool print_expression(HmpCall *call, GError **error)
{
    HmpFormat f = { 1, 8, 'x' };
    const char *text = call->rest;
    uint64_t value;

    if (!hmp_parse_format(&text, &f, error) || !parse_value(call, text, &value, error)) {
        return false;
    }
    if (f.kind == 'x') {
        g_string_append_printf(call->out, "%#" PRIx64, value);
    } else {
        print_value(value, &f, false, call->out);
    }
    g_string_append_c(call->out, '\n');
    return true;
}

static bool translate(HmpCall *call, GError **error)
{
    Vcpu *vcpu = hmp_vcpu(call->session, NULL);
    uint64_t linear, gpa;

    if (!parse_value(call, call->rest, &linear, error)) {
        return false;
    }
    if (!vcpu || !vcpu_translate(vcpu, linear, &gpa)) {
        g_string_append(call->out, "Unmapped\n");
    } else {
        g_string_append_printf(call->out, "gpa: 0x%" PRIx64 "\n", gpa);
    }
    return true;
}

static bool show_virtual(HmpCall *call, GError **error)
{
    return show_memory(call, false, error);
}

static bool show_physical(HmpCall *call, GError **error)
{
    return show_memory(call, true, error);
}

static bool held(HmpCall *call, bool (*fn)(HmpCall *call, GError **error), GError **error)
{
    bool ran = vcpus_freeze(call->domain), ok = fn(call, error);

    vcpus_thaw(call->domain, ran);
    return ok;
}

bool hmp_x(HmpCall *call, GError **error)
{
    return held(call, show_virtual, error);
}

bool hmp_xp(HmpCall *call, GError **error)
{
    return held(call, show_physical, error);
}

bool hmp_print(HmpCall *call, GError **error)
{
    return held(call, print_expression, error);
}

bool hmp_gva2gpa(HmpCall *call, GError **error)
{
    return held(call, translate, error);
}
