/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/x86/cpu-print.h.  Flags and attributes: SDM 1-3.4.3, 3-3.4.5; the XSAVE image: SDM 1-13.4.1.
 */
#include "vmm/x86/cpu-print.h"

#include <inttypes.h>
#include <string.h>

#define CR0_PE  1u
#define EFER_LMA (1u << 10)
#define FLAG_VM (1u << 17)

static void print_gprs(const X86Cpu *cpu, GString *out)
{
    static const struct { const char *name; uint8_t n; } order[] = {
        { "RAX", X86_RAX }, { "RBX", X86_RBX }, { "RCX", X86_RCX }, { "RDX", X86_RDX },
        { "RSI", X86_RSI }, { "RDI", X86_RDI }, { "RBP", X86_RBP }, { "RSP", X86_RSP },
        { "R8 ", X86_R8 },  { "R9 ", X86_R9 },  { "R10", X86_R10 }, { "R11", X86_R11 },
        { "R12", X86_R12 }, { "R13", X86_R13 }, { "R14", X86_R14 }, { "R15", X86_R15 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        g_string_append_printf(out, "%s=%016" PRIx64 "%c", order[i].name, cpu->gpr[order[i].n],
                               i % 4 == 3 ? '\n' : ' ');
    }
}

/* Outside of 64-bit mode there are no more. */
static void print_narrow_gprs(const X86Cpu *cpu, GString *out)
{
    static const struct { const char *name; uint8_t n; } order[] = {
        { "EAX", X86_RAX }, { "EBX", X86_RBX }, { "ECX", X86_RCX }, { "EDX", X86_RDX },
        { "ESI", X86_RSI }, { "EDI", X86_RDI }, { "EBP", X86_RBP }, { "ESP", X86_RSP },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        g_string_append_printf(out, "%s=%08x%c", order[i].name, (uint32_t)cpu->gpr[order[i].n],
                               i % 4 == 3 ? '\n' : ' ');
    }
}

static void print_flags(const X86Cpu *cpu, GString *out)
{
    static const struct { char name; uint8_t bit; } flags[] = {
        { 'D', 10 }, { 'O', 11 }, { 'S', 7 }, { 'Z', 6 }, { 'A', 4 }, { 'P', 2 }, { 'C', 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        g_string_append_c(out, cpu->rflags >> flags[i].bit & 1 ? flags[i].name : '-');
    }
}

static unsigned privilege(const X86Cpu *cpu)
{
    return cpu->rflags & FLAG_VM ? 3 : cpu->cr0 & CR0_PE ? cpu->segment[X86_SS].attributes >> 5 & 3 : 0;
}

static const char *code_kind(const X86Cpu *cpu, uint32_t attributes)
{
    return cpu->efer & EFER_LMA && attributes & 1u << 13 ? "CS64" : attributes & 1u << 14 ? "CS32" : "CS16";
}

/* What the type says: R-- is readable code, RW- data that may be written, and so on. */
static void print_type(const X86Cpu *cpu, uint32_t attributes, GString *out)
{
    static const char *const systems[16] = {
        "Reserved", "TSS16-avl", "LDT", "TSS16-busy", "CallGate16", "TaskGate", "IntGate16", "TrapGate16",
        "Reserved", "TSS64-avl", "Reserved", "TSS64-busy", "CallGate64", "Reserved", "IntGate64", "TrapGate64",
    };

    g_string_append_printf(out, " DPL=%u ", attributes >> 5 & 3);
    if (!(attributes & 0x10)) {
        g_string_append(out, systems[attributes & 15]);
    } else if (attributes & 8) {
        g_string_append_printf(out, "%s [%c%c%c]", code_kind(cpu, attributes), attributes & 4 ? 'C' : '-',
                               attributes & 2 ? 'R' : '-', attributes & 1 ? 'A' : '-');
    } else {
        g_string_append_printf(out, "%s [%c%c%c]", attributes & 1u << 14 ? "DS  " : "DS16", attributes & 4 ? 'E' : '-',
                               attributes & 2 ? 'W' : '-', attributes & 1 ? 'A' : '-');
    }
}

static bool is_wide(const X86Cpu *cpu)
{
    return cpu->efer & EFER_LMA && cpu->segment[X86_CS].attributes & 1u << 13;
}

/* Digits of an address: long mode has long ones. */
static int address_digits(const X86Cpu *cpu)
{
    return cpu->efer & EFER_LMA ? 16 : 8;
}

static void print_segment(const X86Cpu *cpu, const char *name, const X86Segment *s, GString *out)
{
    g_string_append_printf(out, "%s=%04x %0*" PRIx64 " %08x %08x", name, s->selector, address_digits(cpu), s->base,
                           s->limit, (s->attributes & ~X86_SEG_UNUSABLE) << 8);
    if (cpu->cr0 & CR0_PE && !(s->attributes & X86_SEG_UNUSABLE) && s->attributes & 0x80) {
        print_type(cpu, s->attributes, out);
    }
    g_string_append_c(out, '\n');
}

void x86_cpu_print(const X86Cpu *cpu, GString *out)
{
    static const char *const names[X86_SEGMENTS] = { "ES ", "CS ", "SS ", "DS ", "FS ", "GS " };

    bool wide = is_wide(cpu);
    int digits = address_digits(cpu);

    if (wide) {
        print_gprs(cpu, out);
        g_string_append_printf(out, "RIP=%016" PRIx64 " RFL=%08" PRIx64 " [", cpu->rip, cpu->rflags);
    } else {
        print_narrow_gprs(cpu, out);
        g_string_append_printf(out, "EIP=%08x EFL=%08" PRIx64 " [", (uint32_t)cpu->rip, cpu->rflags);
    }
    print_flags(cpu, out);
    g_string_append_printf(out, "] CPL=%u II=%u A20=1 SMM=%u HLT=%u\n", privilege(cpu), cpu->interrupt_shadow != 0,
                           cpu->smm, cpu->run_state != X86_RUNNABLE);
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        print_segment(cpu, names[i], &cpu->segment[i], out);
    }
    print_segment(cpu, "LDT", &cpu->ldt, out);
    print_segment(cpu, "TR ", &cpu->tr, out);
    g_string_append_printf(out, "GDT=     %0*" PRIx64 " %08x\nIDT=     %0*" PRIx64 " %08x\n", digits, cpu->gdt.base,
                           cpu->gdt.limit, digits, cpu->idt.base, cpu->idt.limit);
    g_string_append_printf(out, "CR0=%08" PRIx64 " CR2=%0*" PRIx64 " CR3=%0*" PRIx64 " CR4=%08" PRIx64 "\n", cpu->cr0,
                           digits, cpu->cr2, digits, cpu->cr3, cpu->cr4);
    for (unsigned i = 0; i < G_N_ELEMENTS(cpu->dr); i++) {
        g_string_append_printf(out, "DR%u=%016" PRIx64 " ", i, cpu->dr[i]);
    }
    g_string_append_printf(out, "\nDR6=%016" PRIx64 " DR7=%016" PRIx64 "\nEFER=%016" PRIx64 "\n", cpu->dr6, cpu->dr7,
                           cpu->efer);
}

static uint64_t load64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

/* The x87 tag word is abridged there: a bit says that the register is in use. */
static void print_x87(const uint8_t *fx, GString *out)
{
    uint16_t control, status;
    uint32_t mxcsr;

    memcpy(&control, fx, sizeof(control));
    memcpy(&status, fx + 2, sizeof(status));
    memcpy(&mxcsr, fx + 24, sizeof(mxcsr));
    g_string_append_printf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n", control, status & ~0x3800u,
                           status >> 11 & 7, fx[4], mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *st = fx + 32 + 16 * i;
        uint16_t exponent;

        memcpy(&exponent, st + 8, sizeof(exponent));
        g_string_append_printf(out, "FPR%u=%016" PRIx64 " %04x%c", i, load64(st), exponent, i % 2 ? '\n' : ' ');
    }
}

void x86_cpu_print_vector(const X86Cpu *cpu, GString *out)
{
    bool wide = is_wide(cpu);

    print_x87(cpu->xsave, out);
    for (unsigned i = 0; i < (wide ? 16 : 8); i++) {
        const uint8_t *xmm = cpu->xsave + 160 + 16 * i;

        g_string_append_printf(out, "XMM%02u=%016" PRIx64 " %016" PRIx64 "%c", i, load64(xmm + 8), load64(xmm),
                               i % 2 ? '\n' : ' ');
    }
}
