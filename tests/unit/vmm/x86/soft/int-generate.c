/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instructions of the random integer code: a function for each family, which picks one with its operands.  What one
 * needs in order to do more than fault, such as a counter that ends or an address to return to, comes before it.
 */
#include "int-code.h"

#include "soft-rig.h"

/* ---- instructions ---- */

typedef void Emit(Code *c);

static unsigned immediate_bytes(unsigned bits)
{
    return bits == 8 ? 1 : bits == 16 ? 2 : 4;
}

static bool may_lock(Code *c, Shape *s)
{
    s->lock = c->aligned && random_below(c->random, 4) == 0;
    s->memory_only |= s->lock;
    return s->lock;
}

static void emit_alu(Code *c)
{
    unsigned alu = random_below(c->random, 8), form = random_below(c->random, 5);
    Shape s = { .bits = code_operand_bits(c, true) };
    unsigned wide = s.bits != 8, n = immediate_bytes(s.bits);

    switch (form) {
    case 0:
        if (alu != 7) {
            may_lock(c, &s);
        }
        code_put_modrm(c, &s, alu << 3 | wide, code_pick_register(c), 0);
        break;
    case 1:
        code_put_modrm(c, &s, alu << 3 | 2 | wide, code_pick_register(c), 0);
        break;
    case 2:
        code_put_opcode(c, &s, alu << 3 | 4 | wide, 0, false, false);
        code_put(c, n, random_operand(c->random));
        break;
    case 3:
        if (alu != 7) {
            may_lock(c, &s);
        }
        code_put_modrm(c, &s, 0x80 | wide, alu, n);
        code_put(c, n, random_operand(c->random));
        break;
    default:
        code_put_modrm(c, &s, wide ? 0x83 : 0x80, alu, 1);
        code_put(c, 1, random_operand(c->random));
        break;
    }
}

/* Flags that nobody sees. */
static void emit_killed(Code *c)
{
    unsigned r = code_pick_register(c);
    Shape s = { .bits = code_operand_bits(c, true) };

    code_put_modrm(c, &s, random_below(c->random, 7) << 3 | 2 | (s.bits != 8), r, 0);
    code_put(c, 2, 0xc039); /* CMP EAX, EAX */
}

static void emit_test(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, true) };
    unsigned wide = s.bits != 8, n = immediate_bytes(s.bits);

    switch (random_below(c->random, 3)) {
    case 0:
        code_put_modrm(c, &s, 0x84 | wide, code_pick_register(c), 0);
        break;
    case 1:
        code_put_opcode(c, &s, 0xa8 | wide, 0, false, false);
        code_put(c, n, random_operand(c->random));
        break;
    default:
        code_put_modrm(c, &s, 0xf6 | wide, random_below(c->random, 2), n);
        code_put(c, n, random_operand(c->random));
        break;
    }
}

/* INC, DEC, NOT, NEG. */
static void emit_unary(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, true) };
    unsigned which = random_below(c->random, 4);

    may_lock(c, &s);
    code_put_modrm(c, &s, (which < 2 ? 0xfe : 0xf6) | (s.bits != 8), which, 0);
}

static void emit_short_inc(Code *c)
{
    Shape s = { .bits = random_below(c->random, 2) ? 16 : 32 };

    if (!c->is_64) {
        code_put_opcode(c, &s, 0x40 | random_below(c->random, 2) << 3 | code_pick_register(c), 0, false, false);
    }
}

/* MUL, IMUL, DIV, IDIV; sometimes of what can be divided. */
static void emit_mul(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, true) };
    unsigned which = 4 + random_below(c->random, 4);

    if (which >= 6 && random_below(c->random, 2)) {
        Shape widen = { .bits = s.bits == 8 ? 16 : s.bits };

        code_put_opcode(c, &widen, s.bits == 8 ? 0x98 : 0x99, 0, false, false);
    }
    code_put_modrm(c, &s, 0xf6 | (s.bits != 8), which, 0);
}

static void emit_imul(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false) };
    unsigned n = immediate_bytes(s.bits);

    switch (random_below(c->random, 3)) {
    case 0:
        s.map = 1;
        code_put_modrm(c, &s, 0xaf, code_pick_register(c), 0);
        break;
    case 1:
        code_put_modrm(c, &s, 0x69, code_pick_register(c), n);
        code_put(c, n, random_operand(c->random));
        break;
    default:
        code_put_modrm(c, &s, 0x6b, code_pick_register(c), 1);
        code_put(c, 1, random_operand(c->random));
        break;
    }
}

static void emit_shift(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, true) };
    unsigned wide = s.bits != 8, which = random_below(c->random, 8);

    switch (random_below(c->random, 3)) {
    case 0:
        code_put_modrm(c, &s, 0xc0 | wide, which, 1);
        code_put(c, 1, random_below(c->random, 8) ? random_below(c->random, 70) : random_operand(c->random));
        break;
    case 1:
        code_put_modrm(c, &s, 0xd0 | wide, which, 0);
        break;
    default:
        code_put_modrm(c, &s, 0xd2 | wide, which, 0);
        break;
    }
}

static void emit_double_shift(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .map = 1 };
    unsigned opcode = 0xa4 | random_below(c->random, 2) | random_below(c->random, 2) << 3;

    code_put_modrm(c, &s, opcode, code_pick_register(c), !(opcode & 1));
    if (!(opcode & 1)) {
        code_put(c, 1, random_operand(c->random));
    }
}

static void emit_bit(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .map = 1 };
    unsigned which = random_below(c->random, 4);

    if (which) {
        may_lock(c, &s);
    }
    if (random_below(c->random, 2)) {
        code_put_modrm(c, &s, 0xba, 4 + which, 1);
        code_put(c, 1, random_operand(c->random));
    } else {
        s.register_only = !s.memory_only;
        code_put_modrm(c, &s, 0xa3 | which << 3, s.memory_only ? code_index_register(c) : code_pick_register(c), 0);
    }
}

/* BT ... with a bit some kilobytes from the operand: not farther, since there may be other memory of this process. */
static void emit_near_bit(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .map = 1, .memory_only = true };
    Shape mov = { .bits = c->is_64 ? 64 : 32 };
    unsigned which = random_below(c->random, 4);

    code_put_opcode(c, &mov, 0xc7, 0, false, false); /* MOV rDX */
    code_put(c, 1, 0xc2);
    code_put(c, 4, random_below(c->random, 40000) - 20000);

    if (which) {
        may_lock(c, &s);
    }
    code_put_modrm(c, &s, 0xa3 | which << 3, random_below(c->random, 2) ? X86_RDX : code_index_register(c), 0);
}

static void emit_scan(Code *c)
{
    static const struct { unsigned opcode, prefix; } scans[] = {
        { 0xbc, 0 }, { 0xbd, 0 }, { 0xbc, 0xf3 }, { 0xbd, 0xf3 }, { 0xb8, 0xf3 },
    };
    unsigned which = random_below(c->random, G_N_ELEMENTS(scans));
    Shape s = { .bits = code_operand_bits(c, false), .map = 1, .prefix = scans[which].prefix };

    code_put_modrm(c, &s, scans[which].opcode, code_pick_register(c), 0);
}

/* With memory it is locked, asked or not. */
static void emit_xchg(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, true), .register_only = !c->aligned };

    if (random_below(c->random, 3) == 0) {
        unsigned r = code_pick_register(c);

        s.bits = code_operand_bits(c, false);
        code_put_opcode(c, &s, 0x90 | (r & 7), r >> 3, false, false);
    } else {
        code_put_modrm(c, &s, 0x86 | (s.bits != 8), code_pick_register(c), 0);
    }
}

static void emit_xadd(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, true), .map = 1 };

    may_lock(c, &s);
    code_put_modrm(c, &s, 0xc0 | (s.bits != 8), code_pick_register(c), 0);
}

static void emit_cmpxchg(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, true), .map = 1 };

    may_lock(c, &s);
    code_put_modrm(c, &s, 0xb0 | (s.bits != 8), code_pick_register(c), 0);
}

static void emit_cmpxchg_pair(Code *c)
{
    Shape s = { .bits = c->is_64 && random_below(c->random, 2) ? 64 : 32, .map = 1, .memory_only = true };

    may_lock(c, &s);
    code_put_modrm(c, &s, 0xc7, 1, 0);
}

static void emit_mov(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, true) };
    unsigned wide = s.bits != 8, n = immediate_bytes(s.bits), r = code_pick_register(c);

    switch (random_below(c->random, 5)) {
    case 0:
        code_put_modrm(c, &s, 0x88 | wide, r, 0);
        break;
    case 1:
        code_put_modrm(c, &s, 0x8a | wide, r, 0);
        break;
    case 2:
        code_put_modrm(c, &s, 0xc6 | wide, 0, n);
        code_put(c, n, random_operand(c->random));
        break;
    case 3:
        code_put_opcode(c, &s, 0xb0 | wide << 3 | (r & 7), r >> 3, false, false);
        code_put(c, s.bits / 8, random_operand(c->random));
        break;
    default:
        code_put_opcode(c, &s, 0xa0 | wide | random_below(c->random, 2) << 1, 0, false, false);
        code_put(c, c->is_64 ? 8 : 4, WINDOW + 0xff0 + random_below(c->random, 16));
        break;
    }
}

static void emit_movbe(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .map = 2, .memory_only = true };

    code_put_modrm(c, &s, 0xf0 | random_below(c->random, 2), code_pick_register(c), 0);
}

static void emit_movnti(Code *c)
{
    Shape s = { .bits = c->is_64 && random_below(c->random, 2) ? 64 : 32, .map = 1, .memory_only = true };

    code_put_modrm(c, &s, 0xc3, code_pick_register(c), 0);
}

/* MOVZX, MOVSX, MOVSXD. */
static void emit_extend(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .map = 1 };

    if (c->is_64 && random_below(c->random, 4) == 0) {
        s.map = 0;
        code_put_modrm(c, &s, 0x63, code_pick_register(c), 0);
    } else {
        code_put_modrm(c, &s, 0xb6 | random_below(c->random, 2) << 3 | random_below(c->random, 2),
                       code_pick_register(c), 0);
    }
}

static void emit_lea(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .memory_only = true };

    code_put_modrm(c, &s, 0x8d, code_pick_register(c), 0);
}

static void emit_setcc(Code *c)
{
    Shape s = { .bits = 8, .map = 1 };

    code_put_modrm(c, &s, 0x90 | random_below(c->random, 16), 0, 0);
}

static void emit_cmov(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .map = 1 };

    code_put_modrm(c, &s, 0x40 | random_below(c->random, 16), code_pick_register(c), 0);
}

static void emit_bswap(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .map = 1 };
    unsigned r = code_pick_register(c);

    code_put_opcode(c, &s, 0xc8 | (r & 7), r >> 3, false, false);
}

/* After DAA and DAS OF is undefined, after AAA and AAS also SF, ZF and PF: clears them, by way of EDX, no address. */
static void put_settled(Code *c, unsigned opcode)
{
    code_put(c, 2, 0xc289); /* MOV EDX, EAX */
    code_put(c, 1, 0x9f);   /* LAHF */
    code_put(c, 3, opcode < 0x37 ? 0xd5e480 : 0x11e480); /* AND AH, the flags that are defined */
    code_put(c, 1, 0x9e);   /* SAHF */
    code_put(c, 2, 0xd089); /* MOV EAX, EDX */
}

/* Without operands: CBW, CWD, LAHF, SAHF, CMC, CLC, STC, NOP, and those of 32-bit code only. */
static void emit_simple(Code *c)
{
    static const uint8_t both[] = { 0x98, 0x99, 0x9e, 0x9f, 0xf5, 0xf8, 0xf9, 0x90 };
    static const uint8_t legacy[] = { 0x27, 0x2f, 0x37, 0x3f, 0xd4, 0xd5, 0xd6 };
    Shape s = { .bits = code_operand_bits(c, false) };
    unsigned opcode = both[random_below(c->random, G_N_ELEMENTS(both))];

    if (!c->is_64 && random_below(c->random, 2)) {
        opcode = legacy[random_below(c->random, G_N_ELEMENTS(legacy))];
    }
    code_put_opcode(c, &s, opcode, 0, false, false);
    if (opcode == 0xd4 || opcode == 0xd5) {
        code_put(c, 1, random_below(c->random, 2) ? 10 : random_below(c->random, 256));
    }
    if (opcode < 0x40 && c->settle >> (opcode >> 3 & 3) & 1) {
        put_settled(c, opcode);
    }
}

static void emit_pause(Code *c)
{
    Shape s = { .bits = 32, .prefix = 0xf3 };

    code_put_opcode(c, &s, 0x90, 0, false, false);
}

/* Hints: wide NOPs, PREFETCH, ENDBR64. */
static void emit_hint(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .map = 1 };

    switch (random_below(c->random, 3)) {
    case 0:
        code_put_modrm(c, &s, 0x1f, 0, 0);
        break;
    case 1:
        s.memory_only = true;
        code_put_modrm(c, &s, 0x18, random_below(c->random, 4), 0);
        break;
    default:
        code_put(c, 4, 0xfa1e0ff3);
        break;
    }
}

static void emit_push(Code *c)
{
    Shape s = { .bits = random_below(c->random, 4) == 0 ? 16 : 32 };
    unsigned r = random_below(c->random, 4) == 0 ? 4 : code_pick_register(c);

    switch (random_below(c->random, 4)) {
    case 0:
    case 1:
        code_put_opcode(c, &s, 0x50 | (r & 7), r >> 3, false, false);
        break;
    case 2:
        code_put_opcode(c, &s, 0x68, 0, false, false);
        code_put(c, immediate_bytes(s.bits), random_operand(c->random));
        break;
    default:
        s.memory_only = true;
        code_put_modrm(c, &s, 0xff, 6, 0);
        break;
    }
}

static void emit_pop(Code *c)
{
    Shape s = { .bits = random_below(c->random, 4) == 0 ? 16 : 32 };
    unsigned r = code_pick_register(c);

    if (random_below(c->random, 3)) {
        code_put_opcode(c, &s, 0x58 | (r & 7), r >> 3, false, false);
    } else {
        s.memory_only = true;
        code_put_modrm(c, &s, 0x8f, 0, 0);
    }
}

static void emit_push_pop_all(Code *c)
{
    Shape s = { .bits = random_below(c->random, 2) ? 16 : 32 };

    if (!c->is_64) {
        code_put_opcode(c, &s, 0x60, 0, false, false);
        if (random_below(c->random, 2)) {
            code_put_opcode(c, &s, 0x61, 0, false, false);
        }
    }
}

/* ENTER, and LEAVE with a frame pointer that is one. */
static void emit_frame(Code *c)
{
    Shape s = { .bits = random_below(c->random, 4) == 0 ? 16 : 32 };

    code_put(c, 1, c->is_64 ? 0x48 : 0x90);
    code_put(c, 2, 0xe589); /* MOV rBP, rSP */
    code_put_opcode(c, &s, 0xc8, 0, false, false);
    code_put(c, 2, random_below(c->random, 64));
    code_put(c, 1, random_below(c->random, 2) ? 0 : random_below(c->random, 6));
    if (random_below(c->random, 2)) {
        code_put_opcode(c, &s, 0xc9, 0, false, false);
    }
}

/* XLAT on the window; AL and rBX are left as they are otherwise. */
static void emit_xlat(Code *c)
{
    Shape s = { .bits = 32 };

    code_put(c, 1, 0xbb);
    code_put(c, 4, WINDOW + random_below(c->random, 0x1f00));
    code_put_opcode(c, &s, 0xd7, 0, random_below(c->random, 4) == 0, random_below(c->random, 4) == 0 && c->is_64);
}

static void emit_bound(Code *c)
{
    Shape s = { .bits = code_operand_bits(c, false), .memory_only = true };

    if (!c->is_64) {
        code_put_modrm(c, &s, 0x62, code_pick_register(c), 0);
    }
}

/* ---- branches: over one instruction of five bytes ---- */

static void put_skipped(Code *c)
{
    code_put(c, 1, 0xb8); /* MOV EAX */
    code_put(c, 4, random_operand(c->random));
}

static void emit_jcc(Code *c)
{
    unsigned cond = random_below(c->random, 16);

    switch (random_below(c->random, 4)) {
    case 0:
        emit_test(c);
        break;
    case 1:
        emit_alu(c);
        break;
    default: /* CMP, of which there are many */ {
        Shape s = { .bits = code_operand_bits(c, true) };

        if (random_below(c->random, 2)) {
            code_put_modrm(c, &s, 0x38 | random_below(c->random, 2) << 1 | (s.bits != 8), code_pick_register(c), 0);
        } else {
            code_put_modrm(c, &s, s.bits == 8 ? 0x80 : 0x83, 7, 1);
            code_put(c, 1, random_operand(c->random));
        }
        break;
    }
    }
    if (random_below(c->random, 2)) {
        code_put(c, 2, 0x0500 | 0x70 | cond);
    } else {
        code_put(c, 2, 0x800f | cond << 8);
        code_put(c, 4, 5);
    }
    put_skipped(c);
}

/* LOOPNE, LOOPE, LOOP, JrCXZ; with a counter that ends sometimes. */
static void emit_loop(Code *c)
{
    if (random_below(c->random, 2)) {
        code_put(c, 1, 0xb9);
        code_put(c, 4, random_below(c->random, 3));
    }
    if (random_below(c->random, 3) == 0) {
        code_put(c, 1, 0x67);
    }
    code_put(c, 2, 0x0500 | 0xe0 | random_below(c->random, 4));
    put_skipped(c);
}

static void emit_jmp(Code *c)
{
    if (random_below(c->random, 2)) {
        code_put(c, 2, 0x05eb);
    } else {
        code_put(c, 1, 0xe9);
        code_put(c, 4, 5);
    }
    put_skipped(c);
}

/* CALL, and a stack that remembers it. */
static void emit_call(Code *c)
{
    code_put(c, 1, 0xe8);
    code_put(c, 4, 5);
    put_skipped(c);
}

/* The address behind the next `distance` bytes into a register, or the top of the stack as well. */
static void put_address(Code *c, unsigned distance, bool push)
{
    unsigned n = push ? 1 : 0;

    if (c->is_64) {
        code_put(c, 3, 0x158d48); /* LEA RDX, [RIP+x] */
        code_put(c, 4, n + distance);
    } else {
        code_put(c, 1, 0xe8); /* CALL the next; POP EDX; ADD EDX, x */
        code_put(c, 4, 0);
        code_put(c, 1, 0x5a);
        code_put(c, 2, 0xc283);
        code_put(c, 1, 4 + n + distance);
    }
    if (push) {
        code_put(c, 1, 0x52);
    }
}

static void emit_ret(Code *c)
{
    if (random_below(c->random, 2)) {
        put_address(c, 1 + 5, true);
        code_put(c, 1, 0xc3);
    } else {
        put_address(c, 3 + 5, true);
        code_put(c, 1, 0xc2);
        code_put(c, 2, random_below(c->random, 3) * 8);
    }
    put_skipped(c);
}

static void emit_indirect(Code *c)
{
    unsigned call = random_below(c->random, 2);

    if (random_below(c->random, 2)) {
        put_address(c, 2 + 5, false);
        code_put(c, 2, call ? 0xd2ff : 0xe2ff); /* CALL, JMP rDX */
    } else {
        put_address(c, 3 + 5, true);
        code_put(c, 3, call ? 0x2414ff : 0x2424ff); /* CALL, JMP [rSP] */
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

void code_generate(Code *c, unsigned n)
{
    while (n--) {
        emitters[random_below(c->random, G_N_ELEMENTS(emitters))](c);
    }
}
