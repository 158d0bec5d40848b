/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The integer instructions, compared with the host's own: random sequences of a few of them,
 * in 64-bit and in 32-bit code, on random registers, flags and memory, at page boundaries,
 * beyond the end of memory and on a page that cannot be written.  Registers, all arithmetic
 * flags, memory, and the exception with its place must be equal; and every handler that
 * decoding could choose must have been.
 */
#include "native.h"
#include "soft-rig.h"

#include <inttypes.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/x86/soft/decode-int.h"

#define WINDOW   UINT64_C(0x3fe000) /* two pages; the next is not there */
#define WINDOW_BYTES 0x2000
#define READONLY UINT64_C(0x600000) /* one page */
#define CODE_BYTES 0x2000
#define TABLES   UINT64_C(0x30000)
#define CODE_MAX 96

typedef struct Fixture {
    SoftRig *rig;
    uint8_t *window, *readonly, *code; /* the native ones */
    GHashTable *seen;                  /* handlers */
    uint64_t random;
} Fixture;

typedef struct Code {
    Fixture *f;
    bool is_64;
    bool aligned; /* every address is a multiple of 16: LOCK may be used */
    uint8_t bytes[CODE_MAX];
    unsigned n;
} Code;

/* ---- random things ---- */

static uint64_t random64(Fixture *f)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random * UINT64_C(0x2545f4914f6cdd1d);
}

static unsigned below(Fixture *f, unsigned n)
{
    return (unsigned)((random64(f) >> 32) % n);
}

static uint64_t operand(Fixture *f)
{
    static const uint64_t values[] = { 0, 1, UINT64_MAX, 0x80, 0x7f, 0x8000, 0x7fff, 0x80000000, 0x7fffffff, INT64_MAX,
                                       UINT64_C(1) << 63, 0xff, 0xffff, 0xffffffff, 0x99, 0x9a };

    switch (below(f, 4)) {
    case 0:
        return values[below(f, G_N_ELEMENTS(values))];
    case 1:
        return random64(f) >> below(f, 64);
    case 2:
        return (uint64_t)((int64_t)random64(f) >> below(f, 64));
    default:
        return random64(f);
    }
}

/* ---- encoding ---- */

static void put(Code *c, unsigned n, uint64_t value)
{
    memcpy(c->bytes + c->n, &value, n);
    c->n += n;
}

/* The registers that addresses are made of are no operands, nor is the stack pointer. */
static unsigned base_register(const Code *c)
{
    return c->is_64 ? 8 : 6;
}

static unsigned index_register(const Code *c)
{
    return c->is_64 ? 9 : 7;
}

static unsigned pick_register(Code *c)
{
    unsigned r;

    do {
        r = below(c->f, c->is_64 ? 16 : 8);
    } while (r == 4 || r == base_register(c) || r == index_register(c));
    return r;
}

typedef struct Shape {
    unsigned bits;      /* of the operand: 8 to 64 */
    unsigned map;       /* 0: one byte, 1: 0F, 2: 0F 38 */
    unsigned prefix;    /* F2, F3, or none */
    bool lock;
    bool memory_only, register_only;
    unsigned memory_bits; /* of the memory operand, 0: as bits */
    bool plain_address; /* no form that is not to be had twice, like FS and GS */
} Shape;

static unsigned operand_bits(Code *c, bool bytes)
{
    static const unsigned sizes[] = { 16, 32, 64, 8 };
    unsigned n = bytes ? 4 : 3, i;

    do {
        i = below(c->f, n);
    } while (sizes[i] == 64 && !c->is_64);
    return sizes[i];
}

/* Prefixes and opcode; rex: R, X and B. */
static void put_opcode(Code *c, const Shape *s, unsigned opcode, unsigned rex, bool segment, bool address)
{
    if (s->lock) {
        put(c, 1, 0xf0);
    }
    if (segment) {
        put(c, 1, c->is_64 ? 0x65 : 0x26);
    }
    if (address) {
        put(c, 1, 0x67);
    }
    if (s->bits == 16) {
        put(c, 1, 0x66);
    }
    if (s->prefix) {
        put(c, 1, s->prefix);
    }
    rex |= s->bits == 64 ? 8 : 0;
    if (c->is_64 && (rex || below(c->f, 3) == 0)) {
        put(c, 1, 0x40 | rex);
    }
    if (s->map) {
        put(c, 1, 0x0f);
    }
    if (s->map == 2) {
        put(c, 1, 0x38);
    }
    put(c, 1, opcode);
}

static int displacement(Code *c, int limit)
{
    int d = (int)below(c->f, (unsigned)limit) - limit / 2;

    return c->aligned ? d & ~15 : d;
}

/* reg: a register, or the opcode's extension.  After it come `immediate` more bytes. */
static void put_memory(Code *c, const Shape *s, unsigned opcode, unsigned reg, unsigned immediate)
{
    unsigned kind = below(c->f, c->is_64 ? 8 : 6), base = base_register(c), index = index_register(c);
    unsigned rex = (reg >> 3) << 2 | (base >> 3), r = (reg & 7) << 3;
    bool segment = !s->plain_address && below(c->f, 8) == 0, address = kind == 7;

    if ((kind == 4 || kind == 6) && c->aligned) {
        kind = 5; /* a lock over two cache lines may cost the host's kernel's patience */
    }
    switch (kind) {
    case 0: /* an address of the instruction's own */
        put_opcode(c, s, opcode, rex & ~1u, segment, false);
        put(c, 1, c->is_64 ? r | 4 : r | 5);
        if (c->is_64) {
            put(c, 1, 0x25);
        }
        put(c, 4, WINDOW + 0xf80 + (c->aligned ? below(c->f, 16) * 16 : below(c->f, 256)));
        break;
    case 1:
        put_opcode(c, s, opcode, rex, segment, false);
        put(c, 1, 0x80 | r | (base & 7));
        put(c, 4, (uint32_t)displacement(c, 512));
        break;
    case 2:
    case 3:
        put_opcode(c, s, opcode, rex | (index >> 3) << 1, segment, false);
        put(c, 1, 0x44 | r);
        put(c, 1, below(c->f, 4) << 6 | (index & 7) << 3 | (base & 7));
        put(c, 1, (uint8_t)displacement(c, 128));
        break;
    case 4: /* relative to the stack pointer */
        put_opcode(c, s, opcode, rex & ~1u, segment, false);
        put(c, 1, 0x44 | r);
        put(c, 1, 0x24);
        put(c, 1, (uint8_t)displacement(c, 128));
        break;
    case 6: /* relative to RIP: code runs at different places of its first page */
        put_opcode(c, s, opcode, rex & ~1u, segment, false);
        put(c, 1, r | 5);
        put(c, 4, WINDOW + 0xf80 - RIG_CODE - c->n - 4 - immediate - below(c->f, 2) * 0x7c0);
        break;
    default:
        put_opcode(c, s, opcode, rex, segment, address);
        put(c, 1, 0x40 | r | (base & 7));
        put(c, 1, (uint8_t)displacement(c, 128));
        break;
    }
}

static void put_modrm(Code *c, const Shape *s, unsigned opcode, unsigned reg, unsigned immediate)
{
    unsigned rm = pick_register(c);

    if (s->memory_only || (!s->register_only && below(c->f, 2))) {
        put_memory(c, s, opcode, reg, immediate);
        return;
    }
    put_opcode(c, s, opcode, (reg >> 3) << 2 | rm >> 3, false, false);
    put(c, 1, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

static unsigned immediate_bytes(unsigned bits)
{
    return bits == 8 ? 1 : bits == 16 ? 2 : 4;
}

/* ---- instructions ---- */

typedef void Emit(Code *c);

static bool may_lock(Code *c, Shape *s)
{
    s->lock = c->aligned && below(c->f, 4) == 0;
    s->memory_only |= s->lock;
    return s->lock;
}

static void emit_alu(Code *c)
{
    unsigned alu = below(c->f, 8), form = below(c->f, 5);
    Shape s = { .bits = operand_bits(c, true) };
    unsigned wide = s.bits != 8, n = immediate_bytes(s.bits);

    switch (form) {
    case 0:
        if (alu != 7) {
            may_lock(c, &s);
        }
        put_modrm(c, &s, alu << 3 | wide, pick_register(c), 0);
        break;
    case 1:
        put_modrm(c, &s, alu << 3 | 2 | wide, pick_register(c), 0);
        break;
    case 2:
        put_opcode(c, &s, alu << 3 | 4 | wide, 0, false, false);
        put(c, n, operand(c->f));
        break;
    case 3:
        if (alu != 7) {
            may_lock(c, &s);
        }
        put_modrm(c, &s, 0x80 | wide, alu, n);
        put(c, n, operand(c->f));
        break;
    default:
        put_modrm(c, &s, wide ? 0x83 : 0x80, alu, 1);
        put(c, 1, operand(c->f));
        break;
    }
}

/* Flags that nobody sees. */
static void emit_killed(Code *c)
{
    unsigned r = pick_register(c);
    Shape s = { .bits = operand_bits(c, true) };

    put_modrm(c, &s, below(c->f, 7) << 3 | 2 | (s.bits != 8), r, 0);
    put(c, 2, 0xc039); /* CMP EAX, EAX */
}

static void emit_test(Code *c)
{
    Shape s = { .bits = operand_bits(c, true) };
    unsigned wide = s.bits != 8, n = immediate_bytes(s.bits);

    switch (below(c->f, 3)) {
    case 0:
        put_modrm(c, &s, 0x84 | wide, pick_register(c), 0);
        break;
    case 1:
        put_opcode(c, &s, 0xa8 | wide, 0, false, false);
        put(c, n, operand(c->f));
        break;
    default:
        put_modrm(c, &s, 0xf6 | wide, below(c->f, 2), n);
        put(c, n, operand(c->f));
        break;
    }
}

/* INC, DEC, NOT, NEG. */
static void emit_unary(Code *c)
{
    Shape s = { .bits = operand_bits(c, true) };
    unsigned which = below(c->f, 4);

    may_lock(c, &s);
    put_modrm(c, &s, (which < 2 ? 0xfe : 0xf6) | (s.bits != 8), which, 0);
}

static void emit_short_inc(Code *c)
{
    Shape s = { .bits = below(c->f, 2) ? 16 : 32 };

    if (!c->is_64) {
        put_opcode(c, &s, 0x40 | below(c->f, 2) << 3 | pick_register(c), 0, false, false);
    }
}

/* MUL, IMUL, DIV, IDIV; sometimes of what can be divided. */
static void emit_mul(Code *c)
{
    Shape s = { .bits = operand_bits(c, true) };
    unsigned which = 4 + below(c->f, 4);

    if (which >= 6 && below(c->f, 2)) {
        Shape widen = { .bits = s.bits == 8 ? 16 : s.bits };

        put_opcode(c, &widen, s.bits == 8 ? 0x98 : 0x99, 0, false, false);
    }
    put_modrm(c, &s, 0xf6 | (s.bits != 8), which, 0);
}

static void emit_imul(Code *c)
{
    Shape s = { .bits = operand_bits(c, false) };
    unsigned n = immediate_bytes(s.bits);

    switch (below(c->f, 3)) {
    case 0:
        s.map = 1;
        put_modrm(c, &s, 0xaf, pick_register(c), 0);
        break;
    case 1:
        put_modrm(c, &s, 0x69, pick_register(c), n);
        put(c, n, operand(c->f));
        break;
    default:
        put_modrm(c, &s, 0x6b, pick_register(c), 1);
        put(c, 1, operand(c->f));
        break;
    }
}

static void emit_shift(Code *c)
{
    Shape s = { .bits = operand_bits(c, true) };
    unsigned wide = s.bits != 8, which = below(c->f, 8);

    switch (below(c->f, 3)) {
    case 0:
        put_modrm(c, &s, 0xc0 | wide, which, 1);
        put(c, 1, below(c->f, 8) ? below(c->f, 70) : operand(c->f));
        break;
    case 1:
        put_modrm(c, &s, 0xd0 | wide, which, 0);
        break;
    default:
        put_modrm(c, &s, 0xd2 | wide, which, 0);
        break;
    }
}

static void emit_double_shift(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .map = 1 };
    unsigned opcode = 0xa4 | below(c->f, 2) | below(c->f, 2) << 3;

    put_modrm(c, &s, opcode, pick_register(c), !(opcode & 1));
    if (!(opcode & 1)) {
        put(c, 1, operand(c->f));
    }
}

static void emit_bit(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .map = 1 };
    unsigned which = below(c->f, 4);

    if (which) {
        may_lock(c, &s);
    }
    if (below(c->f, 2)) {
        put_modrm(c, &s, 0xba, 4 + which, 1);
        put(c, 1, operand(c->f));
    } else {
        s.register_only = !s.memory_only;
        put_modrm(c, &s, 0xa3 | which << 3, s.memory_only ? index_register(c) : pick_register(c), 0);
    }
}

/* BT ... with a bit some kilobytes from the operand: not farther, since there may be other memory of this process. */
static void emit_near_bit(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .map = 1, .memory_only = true }, mov = { .bits = c->is_64 ? 64 : 32 };
    unsigned which = below(c->f, 4);

    put_opcode(c, &mov, 0xc7, 0, false, false); /* MOV rDX */
    put(c, 1, 0xc2);
    put(c, 4, below(c->f, 40000) - 20000);

    if (which) {
        may_lock(c, &s);
    }
    put_modrm(c, &s, 0xa3 | which << 3, below(c->f, 2) ? X86_RDX : index_register(c), 0);
}

static void emit_scan(Code *c)
{
    static const struct { unsigned opcode, prefix; } scans[] = {
        { 0xbc, 0 }, { 0xbd, 0 }, { 0xbc, 0xf3 }, { 0xbd, 0xf3 }, { 0xb8, 0xf3 },
    };
    unsigned which = below(c->f, G_N_ELEMENTS(scans));
    Shape s = { .bits = operand_bits(c, false), .map = 1, .prefix = scans[which].prefix };

    put_modrm(c, &s, scans[which].opcode, pick_register(c), 0);
}

/* With memory it is locked, asked or not. */
static void emit_xchg(Code *c)
{
    Shape s = { .bits = operand_bits(c, true), .register_only = !c->aligned };

    if (below(c->f, 3) == 0) {
        unsigned r = pick_register(c);

        s.bits = operand_bits(c, false);
        put_opcode(c, &s, 0x90 | (r & 7), r >> 3, false, false);
    } else {
        put_modrm(c, &s, 0x86 | (s.bits != 8), pick_register(c), 0);
    }
}

static void emit_xadd(Code *c)
{
    Shape s = { .bits = operand_bits(c, true), .map = 1 };

    may_lock(c, &s);
    put_modrm(c, &s, 0xc0 | (s.bits != 8), pick_register(c), 0);
}

static void emit_cmpxchg(Code *c)
{
    Shape s = { .bits = operand_bits(c, true), .map = 1 };

    may_lock(c, &s);
    put_modrm(c, &s, 0xb0 | (s.bits != 8), pick_register(c), 0);
}

static void emit_cmpxchg_pair(Code *c)
{
    Shape s = { .bits = c->is_64 && below(c->f, 2) ? 64 : 32, .map = 1, .memory_only = true };

    may_lock(c, &s);
    put_modrm(c, &s, 0xc7, 1, 0);
}

static void emit_mov(Code *c)
{
    Shape s = { .bits = operand_bits(c, true) };
    unsigned wide = s.bits != 8, n = immediate_bytes(s.bits), r = pick_register(c);

    switch (below(c->f, 5)) {
    case 0:
        put_modrm(c, &s, 0x88 | wide, r, 0);
        break;
    case 1:
        put_modrm(c, &s, 0x8a | wide, r, 0);
        break;
    case 2:
        put_modrm(c, &s, 0xc6 | wide, 0, n);
        put(c, n, operand(c->f));
        break;
    case 3:
        put_opcode(c, &s, 0xb0 | wide << 3 | (r & 7), r >> 3, false, false);
        put(c, s.bits / 8, operand(c->f));
        break;
    default:
        put_opcode(c, &s, 0xa0 | wide | below(c->f, 2) << 1, 0, false, false);
        put(c, c->is_64 ? 8 : 4, WINDOW + 0xff0 + below(c->f, 16));
        break;
    }
}

static void emit_movbe(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .map = 2, .memory_only = true };

    put_modrm(c, &s, 0xf0 | below(c->f, 2), pick_register(c), 0);
}

static void emit_movnti(Code *c)
{
    Shape s = { .bits = c->is_64 && below(c->f, 2) ? 64 : 32, .map = 1, .memory_only = true };

    put_modrm(c, &s, 0xc3, pick_register(c), 0);
}

/* MOVZX, MOVSX, MOVSXD. */
static void emit_extend(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .map = 1 };

    if (c->is_64 && below(c->f, 4) == 0) {
        s.map = 0;
        put_modrm(c, &s, 0x63, pick_register(c), 0);
    } else {
        put_modrm(c, &s, 0xb6 | below(c->f, 2) << 3 | below(c->f, 2), pick_register(c), 0);
    }
}

static void emit_lea(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .memory_only = true };

    put_modrm(c, &s, 0x8d, pick_register(c), 0);
}

static void emit_setcc(Code *c)
{
    Shape s = { .bits = 8, .map = 1 };

    put_modrm(c, &s, 0x90 | below(c->f, 16), 0, 0);
}

static void emit_cmov(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .map = 1 };

    put_modrm(c, &s, 0x40 | below(c->f, 16), pick_register(c), 0);
}

static void emit_bswap(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .map = 1 };
    unsigned r = pick_register(c);

    put_opcode(c, &s, 0xc8 | (r & 7), r >> 3, false, false);
}

/* Without operands: CBW, CWD, LAHF, SAHF, CMC, CLC, STC, NOP, and those of 32-bit code only. */
static void emit_simple(Code *c)
{
    static const uint8_t both[] = { 0x98, 0x99, 0x9e, 0x9f, 0xf5, 0xf8, 0xf9, 0x90 };
    static const uint8_t legacy[] = { 0x27, 0x2f, 0x37, 0x3f, 0xd4, 0xd5, 0xd6 };
    Shape s = { .bits = operand_bits(c, false) };
    unsigned opcode = both[below(c->f, G_N_ELEMENTS(both))];

    if (!c->is_64 && below(c->f, 2)) {
        opcode = legacy[below(c->f, G_N_ELEMENTS(legacy))];
    }
    put_opcode(c, &s, opcode, 0, false, false);
    if (opcode == 0xd4 || opcode == 0xd5) {
        put(c, 1, below(c->f, 2) ? 10 : below(c->f, 256));
    }
}

static void emit_pause(Code *c)
{
    Shape s = { .bits = 32, .prefix = 0xf3 };

    put_opcode(c, &s, 0x90, 0, false, false);
}

/* Hints: wide NOPs, PREFETCH, ENDBR64. */
static void emit_hint(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .map = 1 };

    switch (below(c->f, 3)) {
    case 0:
        put_modrm(c, &s, 0x1f, 0, 0);
        break;
    case 1:
        s.memory_only = true;
        put_modrm(c, &s, 0x18, below(c->f, 4), 0);
        break;
    default:
        put(c, 4, 0xfa1e0ff3);
        break;
    }
}

static void emit_push(Code *c)
{
    Shape s = { .bits = below(c->f, 4) == 0 ? 16 : 32 };
    unsigned r = below(c->f, 4) == 0 ? 4 : pick_register(c);

    switch (below(c->f, 4)) {
    case 0:
    case 1:
        put_opcode(c, &s, 0x50 | (r & 7), r >> 3, false, false);
        break;
    case 2:
        put_opcode(c, &s, 0x68, 0, false, false);
        put(c, immediate_bytes(s.bits), operand(c->f));
        break;
    default:
        s.memory_only = true;
        put_modrm(c, &s, 0xff, 6, 0);
        break;
    }
}

static void emit_pop(Code *c)
{
    Shape s = { .bits = below(c->f, 4) == 0 ? 16 : 32 };
    unsigned r = pick_register(c);

    if (below(c->f, 3)) {
        put_opcode(c, &s, 0x58 | (r & 7), r >> 3, false, false);
    } else {
        s.memory_only = true;
        put_modrm(c, &s, 0x8f, 0, 0);
    }
}

static void emit_push_pop_all(Code *c)
{
    Shape s = { .bits = below(c->f, 2) ? 16 : 32 };

    if (!c->is_64) {
        put_opcode(c, &s, 0x60, 0, false, false);
        if (below(c->f, 2)) {
            put_opcode(c, &s, 0x61, 0, false, false);
        }
    }
}

/* ENTER, and LEAVE with a frame pointer that is one. */
static void emit_frame(Code *c)
{
    Shape s = { .bits = below(c->f, 4) == 0 ? 16 : 32 };

    put(c, 1, c->is_64 ? 0x48 : 0x90);
    put(c, 2, 0xe589); /* MOV rBP, rSP */
    put_opcode(c, &s, 0xc8, 0, false, false);
    put(c, 2, below(c->f, 64));
    put(c, 1, below(c->f, 2) ? 0 : below(c->f, 6));
    if (below(c->f, 2)) {
        put_opcode(c, &s, 0xc9, 0, false, false);
    }
}

/* XLAT on the window; AL and rBX are left as they are otherwise. */
static void emit_xlat(Code *c)
{
    Shape s = { .bits = 32 };

    put(c, 1, 0xbb);
    put(c, 4, WINDOW + below(c->f, 0x1f00));
    put_opcode(c, &s, 0xd7, 0, below(c->f, 4) == 0, below(c->f, 4) == 0 && c->is_64);
}

static void emit_bound(Code *c)
{
    Shape s = { .bits = operand_bits(c, false), .memory_only = true };

    if (!c->is_64) {
        put_modrm(c, &s, 0x62, pick_register(c), 0);
    }
}

/* ---- branches: over one instruction of five bytes ---- */

static void put_skipped(Code *c)
{
    put(c, 1, 0xb8); /* MOV EAX */
    put(c, 4, operand(c->f));
}

static void emit_jcc(Code *c)
{
    unsigned cond = below(c->f, 16);

    switch (below(c->f, 4)) {
    case 0:
        emit_test(c);
        break;
    case 1:
        emit_alu(c);
        break;
    default: /* CMP, of which there are many */ {
        Shape s = { .bits = operand_bits(c, true) };

        if (below(c->f, 2)) {
            put_modrm(c, &s, 0x38 | below(c->f, 2) << 1 | (s.bits != 8), pick_register(c), 0);
        } else {
            put_modrm(c, &s, s.bits == 8 ? 0x80 : 0x83, 7, 1);
            put(c, 1, operand(c->f));
        }
        break;
    }
    }
    if (below(c->f, 2)) {
        put(c, 2, 0x0500 | 0x70 | cond);
    } else {
        put(c, 2, 0x800f | cond << 8);
        put(c, 4, 5);
    }
    put_skipped(c);
}

/* LOOPNE, LOOPE, LOOP, JrCXZ; with a counter that ends sometimes. */
static void emit_loop(Code *c)
{
    if (below(c->f, 2)) {
        put(c, 1, 0xb9);
        put(c, 4, below(c->f, 3));
    }
    if (below(c->f, 3) == 0) {
        put(c, 1, 0x67);
    }
    put(c, 2, 0x0500 | 0xe0 | below(c->f, 4));
    put_skipped(c);
}

static void emit_jmp(Code *c)
{
    if (below(c->f, 2)) {
        put(c, 2, 0x05eb);
    } else {
        put(c, 1, 0xe9);
        put(c, 4, 5);
    }
    put_skipped(c);
}

/* CALL, and a stack that remembers it. */
static void emit_call(Code *c)
{
    put(c, 1, 0xe8);
    put(c, 4, 5);
    put_skipped(c);
}

/* The address behind the next `distance` bytes into a register, or the top of the stack as well. */
static void put_address(Code *c, unsigned distance, bool push)
{
    unsigned n = push ? 1 : 0;

    if (c->is_64) {
        put(c, 3, 0x158d48); /* LEA RDX, [RIP+x] */
        put(c, 4, n + distance);
    } else {
        put(c, 1, 0xe8); /* CALL the next; POP EDX; ADD EDX, x */
        put(c, 4, 0);
        put(c, 1, 0x5a);
        put(c, 2, 0xc283);
        put(c, 1, 4 + n + distance);
    }
    if (push) {
        put(c, 1, 0x52);
    }
}

static void emit_ret(Code *c)
{
    if (below(c->f, 2)) {
        put_address(c, 1 + 5, true);
        put(c, 1, 0xc3);
    } else {
        put_address(c, 3 + 5, true);
        put(c, 1, 0xc2);
        put(c, 2, below(c->f, 3) * 8);
    }
    put_skipped(c);
}

static void emit_indirect(Code *c)
{
    unsigned call = below(c->f, 2);

    if (below(c->f, 2)) {
        put_address(c, 2 + 5, false);
        put(c, 2, call ? 0xd2ff : 0xe2ff); /* CALL, JMP rDX */
    } else {
        put_address(c, 3 + 5, true);
        put(c, 3, call ? 0x2414ff : 0x2424ff); /* CALL, JMP [rSP] */
    }
    put_skipped(c);
}

static Emit *const emitters[] = {
    emit_alu,  emit_alu,    emit_killed,  emit_test,    emit_unary,   emit_short_inc,    emit_mul,     emit_imul,
    emit_shift, emit_shift, emit_double_shift, emit_bit, emit_near_bit, emit_scan,       emit_xchg,    emit_xadd,
    emit_cmpxchg, emit_cmpxchg_pair, emit_mov, emit_mov, emit_movbe,  emit_movnti,       emit_extend,  emit_lea,
    emit_setcc, emit_cmov,  emit_bswap,   emit_simple,  emit_pause,   emit_hint,         emit_push,    emit_pop,
    emit_push_pop_all, emit_frame, emit_xlat, emit_bound, emit_jcc,   emit_jcc,          emit_jcc,     emit_jcc,
    emit_loop, emit_jmp,    emit_call,    emit_ret,     emit_indirect,
};

/* ---- a guest with the native memory ---- */

static void put64(SoftRig *rig, uint64_t at, uint64_t value)
{
    memcpy(rig->host + at, &value, sizeof(value));
}

/* The same few pages as natively, and the page of code, in PAE's form of tables: an entry is 8 bytes in both modes. */
static void map_pages(SoftRig *rig, bool is_64)
{
    const uint64_t pdpt = TABLES + 0x1000, pd = TABLES + 0x2000, pt = TABLES + 0x3000, present = is_64 ? 7 : 1;

    memset(rig->host + TABLES, 0, 0x7000);
    put64(rig, TABLES, pdpt | 7);
    put64(rig, pdpt, pd | present);
    for (unsigned i = 0; i < 4; i++) {
        put64(rig, pd + 8 * i, (pt + 0x1000 * i) | 7);
    }
    for (uint64_t at = RIG_CODE; at < RIG_CODE + CODE_BYTES; at += 0x1000) {
        put64(rig, pt + (at >> 12 & 511) * 8, at | 7);
    }
    for (uint64_t at = WINDOW; at < WINDOW + WINDOW_BYTES; at += 0x1000) {
        put64(rig, pt + 0x1000 + (at >> 12 & 511) * 8, at | 7);
    }
    put64(rig, pt + 0x3000 + (READONLY >> 12 & 511) * 8, READONLY | 5);
    rig->cpu->cr3 = is_64 ? TABLES : pdpt;
}

static void enter_mode(Fixture *f, bool is_64)
{
    SoftCpu *cpu = f->rig->cpu;

    if (is_64) {
        soft_rig_enter_64(f->rig, 0);
    } else {
        soft_rig_enter_32(f->rig);
        cpu->efer = 0;
        cpu->cr0 |= CR0_PG | CR0_WP;
        cpu->cr4 |= CR4_PAE;
    }
    map_pages(f->rig, is_64);
    if (!is_64) {
        for (unsigned i = 0; i < 4; i++) {
            cpu->pdptr[i] = i ? 0 : (TABLES + 0x2000) | 1;
        }
    }
    soft_tlb_flush(cpu);
    soft_update_mode(cpu);
}

/* ---- one comparison ---- */

static const char *hex(const Code *c)
{
    static char text[CODE_MAX * 3 + 1];

    for (unsigned i = 0; i < c->n; i++) {
        sprintf(text + 3 * i, "%02x ", c->bytes[i]);
    }
    return text;
}

static void note_handlers(Fixture *f, const Code *c, unsigned start)
{
    SoftDecode *d = g_new0(SoftDecode, 1);

    for (unsigned at = 0; at < c->n; at += d->length) {
        d->cpu = f->rig->cpu;
        d->bytes = c->bytes + at;
        d->available = MIN(c->n - at, 0x1000 - ((start + at) & 0xfff));
        d->mode = f->rig->cpu->mode;
        d->page_offset = (start + at) & 0xfff;
        d->crossing = false;
        if (!soft_decode(d)) {
            d->crossing = true;
            d->available = MIN(c->n - at, 15);
            soft_decode(d);
        }
        for (unsigned i = 0; i < d->n; i++) {
            g_hash_table_add(f->seen, (void *)(uintptr_t)d->op[i].fn);
        }
    }
    g_free(d);
}

static void fill(Fixture *f, uint8_t *native, uint64_t gpa, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i += 8) {
        uint64_t value = operand(f);

        memcpy(native + i, &value, 8);
    }
    memcpy(f->rig->host + gpa, native, bytes);
}

static void choose_state(Fixture *f, const Code *c, NativeState *s)
{
    static const uint64_t bases[] = { WINDOW + 0x1000, WINDOW + 0x1000, WINDOW + 0x800, WINDOW + 0x800, WINDOW + 0x800,
                                      WINDOW + 0x2000, READONLY + 0x200 };

    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = operand(f);
    }
    s->gpr[base_register(c)] = bases[below(f, G_N_ELEMENTS(bases))] + below(f, 64) - 32;
    s->gpr[index_register(c)] = (uint64_t)(int64_t)((int)below(f, 64) - 32);
    s->gpr[4] = bases[below(f, 5)] + below(f, 64) - 32;
    if (c->aligned) {
        s->gpr[base_register(c)] &= ~UINT64_C(15);
        s->gpr[index_register(c)] &= ~UINT64_C(15);
        s->gpr[4] &= ~UINT64_C(15);
    }
    if (!c->is_64) {
        for (unsigned i = 0; i < 16; i++) {
            s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
        }
    }
    s->rflags = random64(f) & EFLAGS_ARITHMETIC;
}

static void place_code(Fixture *f, const Code *c, unsigned start)
{
    SoftRig *rig = f->rig;

    memcpy(f->code + start, c->bytes, c->n);
    native_exit_code(f->code + start + c->n, !c->is_64);
    memcpy(rig->host + RIG_CODE + start, c->bytes, c->n);
    rig->host[RIG_CODE + start + c->n] = 0xf4; /* HLT */
    soft_code_written(rig->vm, NULL, rig->host + RIG_CODE + start, c->n + 1);
}

static void fail_with(const Code *c, const NativeState *before, const NativeState *native, const SoftCpu *cpu,
                      const char *what, ...)
{
    va_list ap;

    fprintf(stderr, "%s-bit code %s\n", c->is_64 ? "64" : "32", hex(c));
    va_start(ap, what);
    vfprintf(stderr, what, ap);
    va_end(ap);
    fprintf(stderr, "\n%-8s %-18s %-18s %-18s\n", "", "before", "native", "soft");
    for (unsigned i = 0; i < 16; i++) {
        fprintf(stderr, "gpr%-5u %#-18" PRIx64 " %#-18" PRIx64 " %#-18" PRIx64 "%s\n", i, before->gpr[i],
                native->gpr[i], cpu->gpr[i], native->gpr[i] == cpu->gpr[i] ? "" : " <");
    }
    fprintf(stderr, "flags    %#-18" PRIx64 " %#-18" PRIx64 " %#-18" PRIx64 "\n", before->rflags,
            native->rflags & EFLAGS_ARITHMETIC, soft_get_rflags(cpu) & EFLAGS_ARITHMETIC);
    fprintf(stderr, "rip      %#-18" PRIx64 " %#-18" PRIx64 " %#-18" PRIx64 "\n", before->rip, native->rip, cpu->rip);
    fail();
}

static void compare(Fixture *f, const Code *c, const NativeState *before, const NativeState *native, SoftExit why)
{
    SoftCpu *cpu = f->rig->cpu;
    int vector = why == SOFT_EXIT_EXCEPTION ? soft_cpu_exception(cpu)->vector : -1;
    uint64_t end = before->rip + c->n;
    unsigned n = c->is_64 ? 16 : 8;

    if (native->vector != vector || (vector < 0 && why != SOFT_EXIT_HALTED)) {
        fail_with(c, before, native, cpu, "exception %d natively, %d here", native->vector, vector);
    }
    if (cpu->rip != (vector < 0 ? end + 1 : native->rip)) {
        fail_with(c, before, native, cpu, "it ended elsewhere");
    }
    if ((native->rflags ^ soft_get_rflags(cpu)) & EFLAGS_ARITHMETIC) {
        fail_with(c, before, native, cpu, "flags");
    }
    for (unsigned i = 0; i < n; i++) {
        if (native->gpr[i] != (c->is_64 ? cpu->gpr[i] : (uint32_t)cpu->gpr[i])) {
            fail_with(c, before, native, cpu, "register %u", i);
        }
    }
    for (unsigned i = 0; i < WINDOW_BYTES && memcmp(f->window, f->rig->host + WINDOW, WINDOW_BYTES); i++) {
        if (f->window[i] != f->rig->host[WINDOW + i]) {
            fail_with(c, before, native, cpu, "memory at %#" PRIx64 ": %#x natively, %#x here", WINDOW + i,
                      f->window[i], f->rig->host[WINDOW + i]);
        }
    }
}

static void run_both(Fixture *f, const Code *c)
{
    SoftCpu *cpu = f->rig->cpu;
    NativeState before, native;
    unsigned start = below(f, 3) ? 0 : 0x1000 - below(f, c->n + 1); /* into the next page */
    SoftExit why;

    choose_state(f, c, &before);
    before.rip = RIG_CODE + start;
    place_code(f, c, start);
    memcpy(cpu->gpr, before.gpr, sizeof(before.gpr));
    cpu->rip = before.rip;
    cpu->halted = false;
    soft_set_rflags(cpu, before.rflags | EFLAGS_FIXED);
    if (below(f, 4) == 0) {
        soft_tlb_flush(cpu);
    }
    soft_update_mode(cpu);
    native = before;
    native_run(&native, !c->is_64);
    why = soft_rig_run(f->rig);
    compare(f, c, &before, &native, why);
    note_handlers(f, c, start);
}

static void run_many(Fixture *f, bool is_64, unsigned times)
{
    enter_mode(f, is_64);
    native_begin();
    for (unsigned i = 0; i < times; i++) {
        Code c = { .f = f, .is_64 = is_64, .aligned = below(f, 2) };
        unsigned n = 1 + below(f, 3);

        if (i % 64 == 0) {
            fill(f, f->window, WINDOW, WINDOW_BYTES);
        }
        for (unsigned k = 0; k < n; k++) {
            emitters[below(f, G_N_ELEMENTS(emitters))](&c);
        }
        if (c.n) {
            run_both(f, &c);
        }
    }
    native_end();
}

/* ---- which handlers there are ---- */

static unsigned count_missing(Fixture *f, const char *name, OpFn *const *table, size_t n)
{
    unsigned missing = 0;

    for (size_t i = 0; i < n; i++) {
        if (table[i] && !g_hash_table_contains(f->seen, (void *)(uintptr_t)table[i])) {
            fprintf(stderr, "handler %zu of %s was not used\n", i, name);
            missing++;
        }
    }
    return missing;
}
#define MISSING(table) count_missing(f, #table, (OpFn *const *)(table), sizeof(table) / sizeof(OpFn *))

/* Those without a table that both kinds of code have. */
static OpFn *const single[] = {
    int_op_nop, int_op_pause, int_op_lahf, int_op_sahf, int_op_clc, int_op_stc, int_op_cmc, int_op_xlat, int_op_salc,
    int_op_daa, int_op_das, int_op_aaa, int_op_aas, int_op_aam, int_op_aad, int_op_bound,
    branch_jmp_near, branch_jmp, branch_jmp_r, branch_jmp_m, branch_jmp_r64, branch_jmp_m64, branch_call_r,
    branch_call_m, branch_call_near64, branch_call64, branch_call_r64, branch_call_m64, branch_ret64,
    branch_call_near32, branch_call32, branch_ret32, stack_push_r, stack_push_i, stack_push_m, stack_pop_r, stack_pop_m, stack_push_r64,
    stack_push_i64, stack_push_m64, stack_pop_r64, stack_push_r32, stack_push_i32, stack_pop_r32, stack_pusha,
    stack_popa, stack_enter, stack_leave, stack_leave64,
};

static unsigned missing_in_both(Fixture *f)
{
    return MISSING(single) + MISSING(int_alu) + MISSING(int_alu_lock) + MISSING(int_unary) +
           MISSING(int_unary_lock) + MISSING(int_xchg) + MISSING(int_xadd) + MISSING(int_cmpxchg) + MISSING(int_cmpxchg_pair) + MISSING(int_shift) +
           MISSING(int_double) + MISSING(int_bit) + MISSING(int_bit_string) + MISSING(int_scan) + MISSING(int_mul) +
           MISSING(int_imul) + MISSING(int_mov) + MISSING(int_lea) + MISSING(int_setcc) + MISSING(int_cmovcc) +
           MISSING(int_bswap) + MISSING(int_movbe) + MISSING(int_widen) + MISSING(int_spread) + MISSING(int_fused) +
           MISSING(branch_jcc) + MISSING(branch_loop);
}

/* ---- tests ---- */

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->rig = soft_rig_new();
    f->seen = g_hash_table_new(NULL, NULL);
    f->random = UINT64_C(0x9e3779b97f4a7c15);
    f->window = native_map(WINDOW, WINDOW_BYTES, true);
    f->readonly = native_map(READONLY, 0x1000, false);
    f->code = native_map(RIG_CODE, CODE_BYTES, true);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    native_unmap(WINDOW, WINDOW_BYTES);
    native_unmap(READONLY, 0x1000);
    native_unmap(RIG_CODE, CODE_BYTES);
    g_hash_table_destroy(f->seen);
    soft_rig_free(f->rig);
    g_free(f);
    return 0;
}

static unsigned times(void)
{
    const char *n = getenv("SOFT_INT_TIMES");

    return n ? (unsigned)atoi(n) : 300000;
}

static void test_64_bit_code_computes_as_the_host_does(void **state)
{
    run_many(*state, true, times());
}

static void test_32_bit_code_computes_as_the_host_does(void **state)
{
    bool possible;

    native_begin();
    possible = native_has_compatibility();
    native_end();
    if (!possible) {
        print_message("skipped: this kernel has no 32-bit code segment\n");
        skip();
    }
    run_many(*state, false, times());
}

static void test_every_handler_was_compared(void **state)
{
    native_begin();
    if (!native_has_compatibility()) {
        native_end();
        skip(); /* nor some of them */
    }
    native_end();
    assert_int_equal(missing_in_both(*state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_64_bit_code_computes_as_the_host_does),
        cmocka_unit_test(test_32_bit_code_computes_as_the_host_does),
        cmocka_unit_test(test_every_handler_was_compared),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
