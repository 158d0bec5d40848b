/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One line of transcript for a probe: everything the architecture defines of how it ended.
 *
 *     NAME.MODE.RING[settings]: HOW ip cs flags ss:sp | handler | registers, segments ... | memory that changed
 *
 * HOW is "end" where the probe ran to its last instruction, else the exception with its error code.  Of registers,
 * system registers and memory a line shows those that are not as they were at the start.
 */
#include "modes.h"

#define PUSHED   14 /* dwords, by catch.S */
#define NO_ERROR UINT64_MAX

/* What the processor and catch.S left, in one form for every width. */
typedef struct Outcome {
    unsigned width, vector;
    bool has_error, outer;
    uint64_t error, ip, cs, flags, sp, ss;
    uint64_t regs[16];
    uint16_t segs[4]; /* es ds fs gs */
    uint32_t handler_flags;
    uint64_t entry_sp;
    uint32_t window, window_end; /* the stack memory that is told in other words */
} Outcome;

const Watch watches[] = {
    {"gdt", GDT, 0x100, GDT},
    {"ldt", LDT, 0x40, LDT},
    {"tss", TSS, 0xb0, TSS},
    {"tss2", TSS2, 0x68, TSS2},
    {"tss16", TSS16, 0x2c, TSS16},
    {"stack0", STACK0 - 0x100, 0x140, STACK0},
    {"inner0", INNER0 - 0xc0, 0xc0, INNER0},
    {"inner1", INNER1 - 0x80, 0x80, INNER1},
    {"ist1", IST1 - 0x100, 0x100, IST1},
    {"task", TASK2 - 0xc0, 0x100, TASK2},
    {"data", DATA, 0x100, DATA},
    {"stack3", STACK3 - 0x100, 0x140, STACK3},
    {"page", PAGE, 0x40, PAGE},
    {"pd32", PD_32, 0x40, PD_32},
    {"pt32", PT_32, 0x40, PT_32},
    {"pdpte", PDPT_PAE, 0x20, PDPT_PAE},
    {"pd", PD_PAE, 0x80, PD_PAE},
    {"pt", PT_PAE, 0x80, PT_PAE},
    {"pml4", PML4, 0x10, PML4},
    {"pdpt", PDPT, 0x80, PDPT},
    {NULL, 0, 0, 0},
};

static const char *const mode_names[] = {
    "real", "unreal", "v86", "p16", "c16", "p32", "pse", "pae", "c32", "l64",
};

static uint32_t snapshot[1024];

/* ---- words ---- */
static void hex(uint64_t value)
{
    char text[17];
    unsigned at = 0;

    for (int shift = 60; shift >= 0; shift -= 4) {
        unsigned digit = value >> shift & 15;

        if (digit || at || !shift) {
            text[at++] = "0123456789abcdef"[digit];
        }
    }
    text[at] = 0;
    print(text);
}

static void field(const char *name, uint64_t value)
{
    print(" ");
    print(name);
    print("=");
    hex(value);
}

static void place(const char *name, uint32_t offset)
{
    print(" ");
    print(name);
    print((int32_t)offset < 0 ? "-" : "+");
    hex((int32_t)offset < 0 ? -offset : offset);
}

void report_name(const Probe *probe, const unsigned *pick)
{
    static const char ring[2] = "0";
    char ring_name[2] = {(char)(ring[0] + probe->ring), 0};
    bool first = true;

    print(probe->name);
    print(".");
    print(mode_names[probe->mode]);
    print(".");
    print(ring_name);
    for (const ProbeSet *set = probe->sets; set != probe->sets_end; set = next_set(set), pick++) {
        if (set->count > 1) {
            print(first ? "[" : ",");
            hex(set->value[*pick]);
            first = false;
        }
    }
    print(first ? ":" : "]:");
}

void report_snapshot(void)
{
    unsigned at = 0;

    for (const Watch *w = watches; w->name; w++) {
        for (uint32_t i = 0; i < w->size; i += 4) {
            snapshot[at++] = *at32(w->base + i);
        }
    }
}

/* ---- what was caught ---- */
static bool pushes_error(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static void read_long(Outcome *o)
{
    static const uint8_t segs[4] = {0, 3, 4, 5};
    uint32_t at = CAP_STACK;

    o->vector = *at8(CAP_VECTOR);
    o->entry_sp = *at64(CAP_SP);
    for (unsigned i = 0; i < 16; i++) {
        o->regs[i] = *at64(CAP_REGS + 8 * i);
    }
    for (unsigned i = 0; i < 4; i++) {
        o->segs[i] = *at16(CAP_SEGS + 4U * segs[i]);
    }
    o->handler_flags = *at32(CAP_FLAGS);
    o->has_error = pushes_error(o->vector);
    if (o->has_error) {
        o->error = *at64(at);
        at += 8;
    }
    o->ip = *at64(at);
    o->cs = *at64(at + 8);
    o->flags = *at64(at + 16);
    o->sp = *at64(at + 24);
    o->ss = *at64(at + 32);
    o->outer = true;
    o->window = (uint32_t)o->entry_sp;
    o->window_end = o->window + (at - CAP_STACK) + 40;
}

static uint32_t frame_word(uint32_t *at, unsigned bytes)
{
    uint32_t value = bytes == 2 ? *at16(*at) : *at32(*at);

    *at += bytes;
    return value;
}

static void read_legacy(Outcome *o)
{
    unsigned bytes = o->width == 32 ? 4 : 2;
    uint32_t at = CAP_STACK + 4 * PUSHED, base = o->width == 8 ? (uint32_t)*at16(CAP_SS) << 4 : 0;
    bool small = o->width == 8 || *at16(CAP_SS) >= SS16_0;

    o->vector = *at8(CAP_STACK + 4 * (PUSHED - 1));
    for (unsigned i = 0; i < 8; i++) {
        o->regs[i] = *at32(CAP_STACK + 4 * (12 - i));
    }
    for (unsigned i = 0; i < 4; i++) {
        o->segs[i] = *at16(CAP_STACK + 4 * (i < 1 ? 2 : i < 2 ? 3 : i < 3 ? 1 : 0));
    }
    o->handler_flags = *at32(CAP_STACK + 16);
    o->entry_sp = *at64(CAP_SP) + 4 * PUSHED;
    o->window = base + (uint32_t)(small ? *at16(CAP_SP) : *at32(CAP_SP));
    o->has_error = o->width != 8 && pushes_error(o->vector);
    if (o->has_error) {
        o->error = frame_word(&at, bytes);
    }
    o->ip = frame_word(&at, bytes);
    o->cs = frame_word(&at, bytes);
    o->flags = frame_word(&at, bytes);
    o->outer = o->width != 8 && ((o->cs & 3) > (*at8(CAP_CS) & 3U) || o->flags & F_VM);
    if (o->outer) {
        o->sp = frame_word(&at, bytes);
        o->ss = frame_word(&at, bytes) & 0xffff;
    } else {
        o->sp = o->entry_sp + (at - CAP_STACK - 4 * PUSHED);
        o->ss = *at16(CAP_SS);
    }
    if (o->flags & F_VM && bytes == 4) {
        for (unsigned i = 0; i < 4; i++) {
            o->segs[i] = (uint16_t)frame_word(&at, 4);
        }
    }
    o->window_end = o->window + (at - CAP_STACK);
}

/* ---- a line ---- */
static void report_event(const Probe *probe, const Outcome *o)
{
    static const char *const names[] = {
        "#DE", "#DB", "nmi", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "v9",
        "#TS", "#NP", "#SS", "#GP", "#PF", "v15", "#MF", "#AC", "#MC", "#XM",
    };
    uint64_t length = (uint64_t)(probe->end - probe->code), offset = o->ip - CODE;

    print(" ");
    if (o->vector == 6 && offset == length) {
        print("end");
    } else if (o->vector < sizeof(names) / sizeof(names[0])) {
        print(names[o->vector]);
    } else {
        print("v");
        hex(o->vector);
    }
    if (o->has_error) {
        print("(");
        hex(o->error);
        print(")");
    }
    if (offset <= length) {
        print(" +");
        hex(offset);
    } else {
        print(o->ip == LAND ? " land" : " ip=");
        if (o->ip != LAND) {
            hex(o->ip);
        }
    }
    field("cs", o->cs & 0xffff);
    field("fl", o->flags & ~(uint64_t)F_RF);
    if (o->flags & F_RF) {
        print(" rf");
    }
    field("ss", o->ss);
    print(":");
    hex(o->sp);
}

static void report_handler(const Outcome *o)
{
    const char *width = o->width == 64 ? " h64" : o->width == 32 ? " h32" : o->width == 16 ? " h16" : " hreal";
    bool found = false;

    print(width);
    print("@");
    hex(*at16(CAP_SS));
    for (const Watch *w = watches; w->name && !found; w++) {
        if (o->entry_sp >= w->base && o->entry_sp < w->base + w->size) {
            place(w->name, (uint32_t)o->entry_sp - w->zero);
            found = true;
        }
    }
    if (!found) {
        field("sp", o->entry_sp);
    }
    field("cs", *at16(CAP_CS));
    field("fl", o->handler_flags & 0x3fffff);
}

static void report_registers(const Probe *probe, const Outcome *o)
{
    static const char *const reg[] = {"ax", "cx", "dx",  "bx",  "sp",  "bp",  "si",  "di",
                                      "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const seg[] = {"es", "ds", "fs", "gs"};
    static const uint8_t seg_index[] = {0, 3, 4, 5};
    unsigned count = probe->mode >= FIRST_64_BIT ? 16 : 8;

    for (unsigned i = 0; i < count; i++) {
        if (i != 4 && o->regs[i] != *at64(ENV_REGS + 8 * i)) {
            field(reg[i], o->regs[i]);
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        uint32_t start = *at32(ENV_FLAGS) & F_VM ? *at32(ENV_FRAME + 20 + 4 * i) : *at32(ENV_ES + 4U * seg_index[i]);

        if (o->segs[i] != start) {
            field(seg[i], o->segs[i]);
        }
    }
}

static void report_system(const Outcome *o)
{
    static const char *const base[] = {"fsbase", "gsbase", "kgsbase"};
    uint64_t dr6;

    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    if (o->vector == 14 || *at64(CAP_CR2)) {
        field("cr2", *at64(CAP_CR2));
    }
    if (o->vector == 1 || dr6 != 0xffff0ff0) {
        field("dr6", dr6);
    }
    if (*at32(CAP_CR0) != *at32(ENV_CR0)) {
        field("cr0", *at32(CAP_CR0));
    }
    if (*at64(CAP_CR3) != *at32(ENV_CR3)) {
        field("cr3", *at64(CAP_CR3));
    }
    if (*at32(CAP_CR4) != *at32(ENV_CR4)) {
        field("cr4", *at32(CAP_CR4));
    }
    if (o->width >= 32) {
        if (*at16(CAP_TR) != *at32(ENV_TR)) {
            field("tr", *at16(CAP_TR));
        }
        if (*at16(CAP_LDTR) != *at32(ENV_LDTR)) {
            field("ldtr", *at16(CAP_LDTR));
        }
    }
    for (unsigned i = 0; i < 3 && o->width == 64; i++) {
        if (*at64(CAP_BASES + 8 * i) != *at64(ENV_FSBASE + 8 * i)) {
            field(base[i], *at64(CAP_BASES + 8 * i));
        }
    }
}

static void report_memory(const Outcome *o)
{
    unsigned at = 0;

    for (const Watch *w = watches; w->name; w++) {
        for (uint32_t i = 0; i < w->size; i += 4, at++) {
            uint32_t address = w->base + i, now = *at32(address);

            if (now != snapshot[at] && (address + 4 <= o->window || address >= o->window_end)) {
                place(w->name, address - w->zero);
                print("=");
                hex(now);
            }
        }
    }
}

void report_outcome(const Probe *probe)
{
    Outcome o = {.width = *at8(CAP_WIDTH)};

    if (o.width == 64) {
        read_long(&o);
    } else {
        read_legacy(&o);
    }
    if (o.width >= 32 && *at16(CAP_TR) == TR16) { /* the upper halves of a 16-bit task's registers are undefined */
        for (unsigned i = 0; i < 8; i++) {
            o.regs[i] &= 0xffff;
        }
        o.sp &= 0xffff;
        o.entry_sp &= 0xffff;
    }
    report_event(probe, &o);
    print(" |");
    report_handler(&o);
    print(" |");
    report_registers(probe, &o);
    report_system(&o);
    print(" |");
    report_memory(&o);
    print("\n");
}
