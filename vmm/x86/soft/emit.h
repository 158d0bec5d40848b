/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing x86-64 machine code: SDM 2A chapter 2, the opcodes as in its appendix A.  Private to
 * the library.  Registers are the low eight.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Emit {
    uint8_t *next;
    int64_t to_run; /* from where code is written to where it runs */
} Emit;

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

static inline void emit8(Emit *e, unsigned value)
{
    *e->next++ = (uint8_t)value;
}

static inline void emit32(Emit *e, uint32_t value)
{
    for (unsigned i = 0; i < 32; i += 8) {
        emit8(e, value >> i & 0xff);
    }
}

static inline void emit64(Emit *e, uint64_t value)
{
    emit32(e, (uint32_t)value);
    emit32(e, (uint32_t)(value >> 32));
}

static inline void emit_bytes(Emit *e, const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        emit8(e, bytes[i]);
    }
}
#define EMIT(e, ...) emit_bytes(e, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static inline bool emit_is_byte(int64_t value)
{
    return value == (int8_t)value;
}

/* Prefixes and opcode (0F xx: 0xfxx) of an operation on `size` bytes. */
static inline void emit_opcode(Emit *e, unsigned size, unsigned opcode)
{
    if (size == 2) {
        emit8(e, 0x66);
    }
    if (size == 8) {
        emit8(e, 0x48);
    }
    if (opcode >> 8) {
        emit8(e, 0x0f);
    }
    emit8(e, opcode & 0xff);
}

/* A ModRM byte and what follows, for [base + disp]; base not RSP. */
static inline void emit_modrm(Emit *e, unsigned reg, unsigned base, int32_t disp)
{
    if (!disp && base != RBP) {
        emit8(e, reg << 3 | base);
    } else if (emit_is_byte(disp)) {
        EMIT(e, (uint8_t)(0x40 | reg << 3 | base), (uint8_t)disp);
    } else {
        emit8(e, 0x80 | reg << 3 | base);
        emit32(e, (uint32_t)disp);
    }
}

/* reg, [base + disp] */
static inline void emit_mem(Emit *e, unsigned size, unsigned opcode, unsigned reg, unsigned base, int64_t disp)
{
    emit_opcode(e, size, opcode);
    emit_modrm(e, reg, base, (int32_t)disp);
}

/* reg, [rcx + rdx] */
static inline void emit_data(Emit *e, unsigned size, unsigned opcode, unsigned reg)
{
    emit_opcode(e, size, opcode);
    EMIT(e, (uint8_t)(reg << 3 | 4), RDX << 3 | RCX);
}

/* reg, rm */
static inline void emit_reg(Emit *e, unsigned size, unsigned opcode, unsigned reg, unsigned rm)
{
    emit_opcode(e, size, opcode);
    emit8(e, 0xc0 | reg << 3 | rm);
}

static inline void emit_immediate(Emit *e, unsigned size, int64_t value)
{
    if (size == 1) {
        emit8(e, value & 0xff);
    } else if (size == 2) {
        EMIT(e, (uint8_t)value, (uint8_t)(value >> 8));
    } else {
        emit32(e, (uint32_t)value);
    }
}

/* A call or jump (opcode E8, E9, 0F 8x) to where code runs. */
static inline bool emit_branch(Emit *e, unsigned opcode, const void *to)
{
    int64_t distance;

    emit_opcode(e, 4, opcode);
    distance = (int64_t)((uintptr_t)to - ((uintptr_t)e->next + 4 + (uint64_t)e->to_run));
    emit32(e, (uint32_t)distance);
    return distance == (int32_t)distance;
}

#define SHORT_JMP 0xeb
#define SHORT_JE  0x74
#define SHORT_JNE 0x75

/* A short jump whose distance is still to be told; its end. */
static inline uint8_t *emit_short(Emit *e, unsigned opcode)
{
    EMIT(e, (uint8_t)opcode, 0);
    return e->next;
}

/* The distance of a branch that ends at `end` becomes that to e->next. */
static inline void emit_here8(Emit *e, uint8_t *end)
{
    g_assert(e->next - end < 128);
    end[-1] = (uint8_t)(e->next - end);
}

static inline void emit_here32(Emit *e, uint8_t *end)
{
    uint32_t distance = (uint32_t)(e->next - end);

    for (unsigned i = 0; i < 4; i++) {
        end[(int)i - 4] = (uint8_t)(distance >> 8 * i);
    }
}
