/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers: "Debugging with GDB", appendix "Target Descriptions", section "i386
 * Features": core, sse, avx and segments by GDB's names, and what belongs to the system
 * (control registers) in a feature of our own.
 *
 * The description is that of a 64-bit processor in every mode, since GDB cannot change
 * it; outside of 64-bit code the general registers have 32 bits.
 *
 * A selector is changed only where it is all of the segment (real mode): a debugger that
 * writes one does not mean to load a descriptor.  Other values are held against what the
 * accelerator takes before they stay.
 */
#include "monitor/gdb-registers.h"

#include <string.h>

#include "vmm/bytes.h"
#include "vmm/domain.h"
#include "vmm/machine.h"
#include "vmm/x86/cpu-model.h"

#define CR0_PE   (UINT64_C(1) << 0)
#define EFER_LMA (UINT64_C(1) << 10)
#define SEG_L    (1u << 13)

#define MSR_KERNEL_GS_BASE 0xc0000102
#define LEAF1_ECX_AVX      (1u << 28)

/* ---- the table ---- */

typedef enum RegisterKind {
    KIND_GPR, KIND_RIP, KIND_RFLAGS, KIND_SELECTOR, KIND_BASE, KIND_KERNEL_GS, KIND_CONTROL, KIND_EFER,
    KIND_X87, KIND_SSE, KIND_AVX, /* at an offset of the XSAVE area */
    KIND_TAGS,
} RegisterKind;

typedef struct Register {
    const char *name;
    const char *type;
    uint8_t bytes;
    uint8_t kind;
    uint16_t index; /* number, or offset */
    uint8_t held;   /* bytes of the XSAVE area, 0: as many as `bytes` */
} Register;

/* Legacy region and AVX component of the XSAVE area, SDM 1-13.4. */
enum { XS_FCW = 0, XS_FSW = 2, XS_FTW = 4, XS_FOP = 6, XS_FIP = 8, XS_FCS = 12, XS_FDP = 16, XS_FDS = 20, XS_MXCSR = 24,
       XS_ST = 32, XS_XMM = 160, XS_BV = 512, XS_YMMH = 576, XS_END = 832 };

#define GPR(NAME, TYPE, N)      { NAME, TYPE, 8, KIND_GPR, N, 0 }
#define SELECTOR(NAME, N)       { NAME, "int32", 4, KIND_SELECTOR, N, 0 }
#define ST(N)                   { "st" #N, "i387_ext", 10, KIND_X87, XS_ST + 16 * N, 0 }
#define X87(NAME, OFFSET, HELD) { NAME, "int", 4, KIND_X87, OFFSET, HELD }
#define XMM(N)                  { "xmm" #N, "vec128", 16, KIND_SSE, XS_XMM + 16 * N, 0 }
#define YMMH(N)                 { "ymm" #N "h", "uint128", 16, KIND_AVX, XS_YMMH + 16 * N, 0 }

static const Register core_registers[] = {
    GPR("rax", "int64", X86_RAX), GPR("rbx", "int64", X86_RBX), GPR("rcx", "int64", X86_RCX),
    GPR("rdx", "int64", X86_RDX), GPR("rsi", "int64", X86_RSI), GPR("rdi", "int64", X86_RDI),
    GPR("rbp", "data_ptr", X86_RBP), GPR("rsp", "data_ptr", X86_RSP), GPR("r8", "int64", X86_R8),
    GPR("r9", "int64", X86_R9), GPR("r10", "int64", X86_R10), GPR("r11", "int64", X86_R11),
    GPR("r12", "int64", X86_R12), GPR("r13", "int64", X86_R13), GPR("r14", "int64", X86_R14),
    GPR("r15", "int64", X86_R15),
    { "rip", "code_ptr", 8, KIND_RIP, 0, 0 },
    { "eflags", "i386_eflags", 4, KIND_RFLAGS, 0, 0 },
    SELECTOR("cs", X86_CS), SELECTOR("ss", X86_SS), SELECTOR("ds", X86_DS), SELECTOR("es", X86_ES),
    SELECTOR("fs", X86_FS), SELECTOR("gs", X86_GS),
    ST(0), ST(1), ST(2), ST(3), ST(4), ST(5), ST(6), ST(7),
    X87("fctrl", XS_FCW, 2), X87("fstat", XS_FSW, 2),
    { "ftag", "int", 4, KIND_TAGS, 0, 0 },
    X87("fiseg", XS_FCS, 2), X87("fioff", XS_FIP, 4), X87("foseg", XS_FDS, 2), X87("fooff", XS_FDP, 4),
    X87("fop", XS_FOP, 2),
};

static const Register sse_registers[] = {
    XMM(0), XMM(1), XMM(2), XMM(3), XMM(4), XMM(5), XMM(6), XMM(7), XMM(8), XMM(9), XMM(10), XMM(11), XMM(12), XMM(13),
    XMM(14), XMM(15),
    { "mxcsr", "i386_mxcsr", 4, KIND_SSE, XS_MXCSR, 0 },
};

static const Register segment_registers[] = {
    { "fs_base", "int", 8, KIND_BASE, X86_FS, 0 },
    { "gs_base", "int", 8, KIND_BASE, X86_GS, 0 },
};

static const Register system_registers[] = {
    { "k_gs_base", "int64", 8, KIND_KERNEL_GS, 0, 0 },
    { "cr0", "cr0", 8, KIND_CONTROL, 0, 0 },
    { "cr2", "int64", 8, KIND_CONTROL, 2, 0 },
    { "cr3", "int64", 8, KIND_CONTROL, 3, 0 },
    { "cr4", "cr4", 8, KIND_CONTROL, 4, 0 },
    { "cr8", "int64", 8, KIND_CONTROL, 8, 0 },
    { "efer", "efer", 8, KIND_EFER, 0, 0 },
};

static const Register avx_registers[] = {
    YMMH(0), YMMH(1), YMMH(2), YMMH(3), YMMH(4), YMMH(5), YMMH(6), YMMH(7), YMMH(8), YMMH(9), YMMH(10), YMMH(11),
    YMMH(12), YMMH(13), YMMH(14), YMMH(15),
};

/* Bits by name, 0 to 63; NULL: reserved. */
typedef struct Flags {
    const char *type;
    unsigned bytes;
    const char *bit[64];
} Flags;

static const Flags core_flags[] = {
    { "i386_eflags", 4, { [0] = "CF", [1] = "", [2] = "PF", [4] = "AF", [6] = "ZF", [7] = "SF", [8] = "TF", [9] = "IF",
                          [10] = "DF", [11] = "OF", [14] = "NT", [16] = "RF", [17] = "VM", [18] = "AC", [19] = "VIF",
                          [20] = "VIP", [21] = "ID" } },
    { NULL },
};

static const Flags sse_flags[] = {
    { "i386_mxcsr", 4, { [0] = "IE", [1] = "DE", [2] = "ZE", [3] = "OE", [4] = "UE", [5] = "PE", [6] = "DAZ",
                         [7] = "IM", [8] = "DM", [9] = "ZM", [10] = "OM", [11] = "UM", [12] = "PM", [15] = "FZ" } },
    { NULL },
};

static const Flags system_flags[] = {
    { "cr0", 8, { [0] = "PE", [1] = "MP", [2] = "EM", [3] = "TS", [4] = "ET", [5] = "NE", [16] = "WP", [18] = "AM",
                  [29] = "NW", [30] = "CD", [31] = "PG" } },
    { "cr4", 8, { [0] = "VME", [1] = "PVI", [2] = "TSD", [3] = "DE", [4] = "PSE", [5] = "PAE", [6] = "MCE", [7] = "PGE",
                  [8] = "PCE", [9] = "OSFXSR", [10] = "OSXMMEXCPT", [11] = "UMIP", [12] = "LA57", [13] = "VMXE",
                  [14] = "SMXE", [16] = "FSGSBASE", [17] = "PCIDE", [18] = "OSXSAVE", [20] = "SMEP", [21] = "SMAP",
                  [22] = "PKE", [23] = "CET", [24] = "PKS" } },
    { "efer", 8, { [0] = "SCE", [8] = "LME", [10] = "LMA", [11] = "NXE", [12] = "SVME", [13] = "LMSLE", [14] = "FFXSR",
                   [15] = "TCE" } },
    { NULL },
};

static const Flags no_flags[] = { { NULL } };

/* How a vector register may be looked at. */
static const char vector_types[] =
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/><vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
    "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
    "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
    "<field name=\"uint128\" type=\"uint128\"/></union>";

typedef struct Feature {
    const char *name;
    const char *types;
    const Flags *flags;
    const Register *registers;
    unsigned n;
} Feature;

/* AVX is the last: a CPU model may lack it. */
static const Feature features[] = {
    { "org.gnu.gdb.i386.core", "", core_flags, core_registers, G_N_ELEMENTS(core_registers) },
    { "org.gnu.gdb.i386.sse", vector_types, sse_flags, sse_registers, G_N_ELEMENTS(sse_registers) },
    { "org.gnu.gdb.i386.segments", "", no_flags, segment_registers, G_N_ELEMENTS(segment_registers) },
    { "lodge.x86.system", "", system_flags, system_registers, G_N_ELEMENTS(system_registers) },
    { "org.gnu.gdb.i386.avx", "", no_flags, avx_registers, G_N_ELEMENTS(avx_registers) },
};

static bool has_avx(const Vcpu *vcpu)
{
    const Machine *machine = domain_machine(vcpu->domain);
    g_autofree X86Cpuid *cpuid = g_new0(X86Cpuid, X86_CPUID_MAX);
    unsigned n = cpu_model_cpuid(vcpu->model, &machine->topology, vcpu->apic_id, cpuid, X86_CPUID_MAX);

    for (unsigned i = 0; i < n; i++) {
        if (cpuid[i].leaf == 1) {
            return cpuid[i].ecx & LEAF1_ECX_AVX;
        }
    }
    return false;
}

void gdb_registers_init(GdbRegisterSet *set, const Vcpu *vcpu)
{
    *set = (GdbRegisterSet) { .features = G_N_ELEMENTS(features) - !has_avx(vcpu) };
    for (unsigned i = 0; i < set->features; i++) {
        set->count += features[i].n;
    }
}

static const Register *find(unsigned n)
{
    unsigned i = 0;

    for (; n >= features[i].n; i++) {
        n -= features[i].n;
    }
    return &features[i].registers[n];
}

unsigned gdb_register_size(unsigned n)
{
    return find(n)->bytes;
}

/* ---- target.xml ---- */

static void describe_flags(GString *out, const Flags *f)
{
    g_string_append_printf(out, "<flags id=\"%s\" size=\"%u\">", f->type, f->bytes);
    for (unsigned i = 0; i < 64; i++) {
        if (f->bit[i]) {
            g_string_append_printf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", f->bit[i], i, i);
        }
    }
    g_string_append(out, "</flags>");
}

static const char *group_of(const Register *r)
{
    switch (r->kind) {
    case KIND_X87:
    case KIND_TAGS:
        return "float";
    case KIND_SSE:
    case KIND_AVX:
        return "vector";
    default:
        return "general";
    }
}

static void describe_feature(GString *out, const Feature *f)
{
    g_string_append_printf(out, "<feature name=\"%s\">%s", f->name, f->types);
    for (const Flags *flags = f->flags; flags->type; flags++) {
        describe_flags(out, flags);
    }
    for (unsigned i = 0; i < f->n; i++) {
        const Register *r = &f->registers[i];

        g_string_append_printf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\" group=\"%s\"/>", r->name,
                               8u * r->bytes, r->type, group_of(r));
    }
    g_string_append(out, "</feature>");
}

char *gdb_registers_describe(const GdbRegisterSet *set)
{
    GString *out = g_string_new("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
                                "<target version=\"1.0\"><architecture>i386:x86-64</architecture>");

    for (unsigned i = 0; i < set->features; i++) {
        describe_feature(out, &features[i]);
    }
    g_string_append(out, "</target>");
    return g_string_free(out, FALSE);
}

/* ---- the XSAVE area ---- */

static uint64_t component_of(const Register *r)
{
    return r->kind == KIND_SSE ? 2 : r->kind == KIND_AVX ? 4 : 1;
}

/* A component that is not marked has its initial values, whatever the area holds, SDM 1-13.6. */
static void initialize(X86Cpu *cpu, uint64_t component)
{
    uint64_t bv = get64(cpu->xsave + XS_BV);

    if (bv & component) {
        return;
    }
    if (component == 1) {
        memset(cpu->xsave, 0, XS_MXCSR);
        memset(cpu->xsave + XS_ST, 0, XS_XMM - XS_ST);
        put16(cpu->xsave + XS_FCW, 0x37f);
    } else if (component == 2) {
        memset(cpu->xsave + XS_XMM, 0, 16 * 16);
        if (!(bv & 4)) {
            put32(cpu->xsave + XS_MXCSR, 0x1f80);
        }
    } else {
        memset(cpu->xsave + XS_YMMH, 0, XS_END - XS_YMMH);
    }
    put64(cpu->xsave + XS_BV, bv | component);
}

/* The x87 tag word as FSTENV stores it, from FXSAVE's bit a register, SDM 1-10.5.1 table 10-2. */
static uint16_t tag_word(const uint8_t *xsave)
{
    unsigned top = get16(xsave + XS_FSW) >> 11 & 7;
    uint16_t tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *st = xsave + XS_ST + 16 * ((i - top) & 7);
        uint64_t mantissa = get64(st);
        unsigned exponent = get16(st + 8) & 0x7fff;
        unsigned tag = 0;

        if (!(xsave[XS_FTW] >> i & 1)) {
            tag = 3;
        } else if (exponent == 0 && mantissa == 0) {
            tag = 1;
        } else if (exponent == 0x7fff || !(mantissa >> 63)) {
            tag = 2;
        }
        tags |= (uint16_t)(tag << (2 * i));
    }
    return tags;
}

static void set_tag_word(uint8_t *xsave, uint16_t tags)
{
    xsave[XS_FTW] = 0;
    for (unsigned i = 0; i < 8; i++) {
        xsave[XS_FTW] |= (uint8_t)(((tags >> (2 * i) & 3) != 3) << i);
    }
}

/* ---- reading ---- */

static bool in_64bit_code(const X86Cpu *cpu)
{
    return cpu->efer & EFER_LMA && cpu->segment[X86_CS].attributes & SEG_L;
}

static uint64_t *control(X86Cpu *cpu, unsigned n)
{
    return n == 0 ? &cpu->cr0 : n == 2 ? &cpu->cr2 : n == 3 ? &cpu->cr3 : n == 4 ? &cpu->cr4 : &cpu->cr8;
}

static uint64_t read_number(X86Cpu *cpu, const Register *r)
{
    bool wide = in_64bit_code(cpu);
    uint64_t *msr = r->kind == KIND_KERNEL_GS ? x86_cpu_msr(cpu, MSR_KERNEL_GS_BASE) : NULL;

    switch (r->kind) {
    case KIND_GPR:
        return wide ? cpu->gpr[r->index] : r->index < X86_R8 ? (uint32_t)cpu->gpr[r->index] : 0;
    case KIND_RIP:
        return wide ? cpu->rip : (uint32_t)cpu->rip;
    case KIND_RFLAGS:
        return cpu->rflags;
    case KIND_SELECTOR:
        return cpu->segment[r->index].selector;
    case KIND_BASE:
        return cpu->segment[r->index].base;
    case KIND_KERNEL_GS:
        return msr ? *msr : 0;
    case KIND_CONTROL:
        return *control(cpu, r->index);
    case KIND_EFER:
        return cpu->efer;
    case KIND_TAGS:
        initialize(cpu, 1);
        return tag_word(cpu->xsave);
    default:
        return 0;
    }
}

static bool is_in_xsave(const Register *r)
{
    return r->kind == KIND_X87 || r->kind == KIND_SSE || r->kind == KIND_AVX;
}

static void read_register(X86Cpu *cpu, const Register *r, uint8_t *ret)
{
    uint8_t number[8];

    if (is_in_xsave(r)) {
        unsigned held = r->held ? r->held : r->bytes;

        initialize(cpu, component_of(r));
        memset(ret, 0, r->bytes);
        memcpy(ret, cpu->xsave + r->index, held);
        return;
    }
    put64(number, read_number(cpu, r));
    memcpy(ret, number, r->bytes);
}

void gdb_register_read(const Vcpu *vcpu, unsigned n, uint8_t *ret)
{
    /* Marking a component that has its initial values as such changes nothing that is seen. */
    read_register((X86Cpu *)&vcpu->cpu, find(n), ret);
}

/* ---- writing ---- */

static bool write_number(X86Cpu *cpu, const Register *r, uint64_t value)
{
    bool wide = in_64bit_code(cpu);

    switch (r->kind) {
    case KIND_GPR:
        cpu->gpr[r->index] = wide ? value : (uint32_t)value;
        return wide || r->index < X86_R8;
    case KIND_RIP:
        cpu->rip = wide ? value : (uint32_t)value;
        return true;
    case KIND_RFLAGS:
        cpu->rflags = value;
        return true;
    case KIND_SELECTOR:
        cpu->segment[r->index].selector = (uint16_t)value;
        cpu->segment[r->index].base = (value & 0xffff) << 4;
        return !(cpu->cr0 & CR0_PE) && value <= 0xffff;
    case KIND_BASE:
        cpu->segment[r->index].base = value;
        return true;
    case KIND_KERNEL_GS:
        return x86_cpu_set_msr(cpu, MSR_KERNEL_GS_BASE, value);
    case KIND_CONTROL:
        *control(cpu, r->index) = value;
        return true;
    case KIND_EFER:
        cpu->efer = value;
        return true;
    case KIND_TAGS:
        initialize(cpu, 1);
        set_tag_word(cpu->xsave, (uint16_t)value);
        return value <= UINT16_MAX;
    default:
        return false;
    }
}

static bool write_register(X86Cpu *cpu, const Register *r, const uint8_t *value)
{
    uint8_t number[8] = { 0 };

    if (is_in_xsave(r)) {
        unsigned held = r->held ? r->held : r->bytes;

        for (unsigned i = held; i < r->bytes; i++) {
            if (value[i]) {
                return false;
            }
        }
        initialize(cpu, component_of(r));
        memcpy(cpu->xsave + r->index, value, held);
        return true;
    }
    memcpy(number, value, r->bytes);
    return write_number(cpu, r, get64(number));
}

/* General registers take any value; the rest is for the accelerator to judge, now and not when it runs. */
static bool is_taken(Vcpu *vcpu, const Register *r)
{
    return r->kind == KIND_GPR || domain_accel(vcpu->domain)->class->store(vcpu, vcpu->full, NULL);
}

bool gdb_register_write(Vcpu *vcpu, unsigned n, const uint8_t *value)
{
    const Register *r = find(n);
    uint8_t now[GDB_REGISTER_MAX];
    g_autofree X86Cpu *before = NULL;

    read_register(&vcpu->cpu, r, now);
    if (!memcmp(now, value, r->bytes)) {
        return true;
    }
    before = g_memdup2(&vcpu->cpu, sizeof(X86Cpu));
    vcpu_set_dirty(vcpu);
    if (write_register(&vcpu->cpu, r, value) && is_taken(vcpu, r)) {
        return true;
    }
    vcpu->cpu = *before;
    is_taken(vcpu, r);
    return false;
}
