/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/hmp-memory.h.  A format is /COUNT FORMAT SIZE, as gdb's: x (hexadecimal) d u o c i (instructions), and b h w g for
 * 1, 2, 4 and 8 bytes.  Registers are vCPU 0's.
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

typedef struct Format {
    unsigned count, size;
    char kind;
} Format;

/* ---- what is typed ---- */

static bool parse_format(const char **text, Format *f, GError **error)
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

static bool read_register(const char *name, uint64_t *ret, void *opaque, GError **error)
{
    static const char *const gprs[X86_GPRS] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                                "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };
    Vcpu *vcpu = opaque;
    const X86Cpu *cpu = &vcpu->cpu;

    if (!vcpu_fetch(vcpu, error)) {
        return false;
    }
    for (unsigned i = 0; i < X86_GPRS; i++) {
        if (g_str_equal(name, gprs[i])) {
            *ret = cpu->gpr[i];
            return true;
        }
        if (i < 8 && name[0] == 'e' && g_str_equal(name + 1, gprs[i] + 1)) {
            *ret = (uint32_t)cpu->gpr[i];
            return true;
        }
    }
    if (g_str_equal(name, "rip") || g_str_equal(name, "pc") || g_str_equal(name, "eip")) {
        *ret = name[0] == 'e' ? (uint32_t)cpu->rip : cpu->rip;
        return true;
    }
    if (g_str_equal(name, "rflags") || g_str_equal(name, "eflags")) {
        *ret = cpu->rflags;
        return true;
    }
    if (name[0] == 'c' && name[1] == 'r' && name[2] && !name[3] && strchr("0234", name[2])) {
        *ret = name[2] == '0' ? cpu->cr0 : name[2] == '2' ? cpu->cr2 : name[2] == '3' ? cpu->cr3 : cpu->cr4;
        return true;
    }
    return error_set(error, "there is no register '$%s'", name);
}

/* An expression and nothing behind it. */
static bool parse_value(HmpCall *call, const char *text, uint64_t *ret, GError **error)
{
    Vcpu *vcpu = domain_vcpu(call->domain, 0);

    if (!expression_parse(&text, vcpu ? read_register : NULL, vcpu, ret, error)) {
        return false;
    }
    text += strspn(text, " \t");
    return !*text || error_set(error, "'%s' does not belong to the expression", text);
}

/* ---- what is shown ---- */

static void print_value(uint64_t value, const Format *f, GString *out)
{
    unsigned bits = f->size * 8;
    int64_t number = bits == 64 ? (int64_t)value : (int64_t)(value << (64 - bits)) >> (64 - bits);

    switch (f->kind) {
    case 'd':
        g_string_append_printf(out, "%" PRId64, number);
        break;
    case 'u':
        g_string_append_printf(out, "%" PRIu64, value);
        break;
    case 'o':
        g_string_append_printf(out, "0%" PRIo64, value);
        break;
    case 'c':
        g_string_append_printf(out, g_ascii_isprint((gchar)value) ? "'%c'" : "'\\x%02x'", (int)(value & 0xff));
        break;
    default:
        g_string_append_printf(out, "0x%0*" PRIx64, (int)f->size * 2, value);
        break;
    }
}

static uint64_t read_memory(HmpCall *call, bool physical, uint64_t address, void *buffer, uint64_t length)
{
    if (physical) {
        return memory_read(domain_memory(call->domain), address, buffer, length) == MEMORY_OK ? length : 0;
    }
    return vcpu_read(domain_vcpu(call->domain, 0), address, buffer, length);
}

static bool cannot_read(uint64_t address, GError **error)
{
    return error_set(error, "Cannot access memory at 0x%016" PRIx64, address);
}

static bool show_values(HmpCall *call, const Format *f, bool physical, uint64_t address, GError **error)
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
        print_value(value, f, call->out);
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

static bool show_instructions(HmpCall *call, const Format *f, bool physical, uint64_t address, GError **error)
{
    Vcpu *vcpu = domain_vcpu(call->domain, 0);
    ZydisDecoder decoder;
    ZydisFormatter formatter;

    if (!vcpu || !vcpu_fetch(vcpu, error)) {
        return vcpu ? false : error_set(error, "this machine has no CPU");
    }
    init_decoder(&vcpu->cpu, &decoder);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
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
        g_string_append_printf(call->out, "0x%016" PRIx64 ":  %s\n", address, text);
        address += insn.length;
    }
    return true;
}

static bool show_memory(HmpCall *call, bool physical, GError **error)
{
    Format f = { 1, 4, 'x' };
    const char *text = call->rest;
    uint64_t address;

    if (!parse_format(&text, &f, error) || !parse_value(call, text, &address, error)) {
        return false;
    }
    if (!physical && !domain_vcpu(call->domain, 0)) {
        return error_set(error, "this machine has no CPU");
    }
    f.size = f.kind == 'c' ? 1 : f.size;
    return f.kind == 'i' ? show_instructions(call, &f, physical, address, error)
                         : show_values(call, &f, physical, address, error);
}

/* ---- commands: the vCPUs stand still meanwhile ---- */

static bool print_expression(HmpCall *call, GError **error)
{
    Format f = { 1, 8, 'x' };
    const char *text = call->rest;
    uint64_t value;

    if (!parse_format(&text, &f, error) || !parse_value(call, text, &value, error)) {
        return false;
    }
    if (f.kind == 'x') {
        g_string_append_printf(call->out, "0x%" PRIx64, value);
    } else {
        print_value(value, &f, call->out);
    }
    g_string_append_c(call->out, '\n');
    return true;
}

static bool translate(HmpCall *call, GError **error)
{
    Vcpu *vcpu = domain_vcpu(call->domain, 0);
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
