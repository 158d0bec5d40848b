/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random integer code for test-soft-int.c: what it is made of (int-encode.c), and the instructions (int-generate.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define WINDOW   UINT64_C(0x3fe000) /* two pages; the next is not there */
#define CODE_MAX 96

typedef struct Random {
    uint64_t state;
} Random;

typedef struct Code {
    Random *random;
    bool is_64;
    bool aligned; /* every address is a multiple of 16: LOCK may be used */
    /* Of DAA, DAS, AAA, AAS (bits 0 to 3): what follows gives the flags that it leaves undefined (SDM 2A) a value. */
    unsigned settle;
    uint8_t bytes[CODE_MAX];
    unsigned n;
} Code;

typedef struct Shape {
    unsigned bits;      /* of the operand: 8 to 64 */
    unsigned map;       /* 0: one byte, 1: 0F, 2: 0F 38 */
    unsigned prefix;    /* F2, F3, or none */
    bool lock;
    bool memory_only, register_only;
    unsigned memory_bits; /* of the memory operand, 0: as bits */
    bool plain_address; /* no form that is not to be had twice, like FS and GS */
} Shape;

/* ---- int-encode.c ---- */
uint64_t random_next(Random *r);
unsigned random_below(Random *r, unsigned n);
/* One that is interesting as often as not. */
uint64_t random_operand(Random *r);

void code_put(Code *c, unsigned n, uint64_t value);
/* The registers that addresses are made of are no operands, nor is the stack pointer. */
unsigned code_base_register(const Code *c);
unsigned code_index_register(const Code *c);
unsigned code_pick_register(Code *c);
unsigned code_operand_bits(Code *c, bool bytes);
/* Prefixes and opcode; rex: R, X and B. */
void code_put_opcode(Code *c, const Shape *s, unsigned opcode, unsigned rex, bool segment, bool address);
/* reg: a register, or the opcode's extension.  After it come `immediate` more bytes. */
void code_put_modrm(Code *c, const Shape *s, unsigned opcode, unsigned reg, unsigned immediate);

/* ---- int-generate.c ---- */
/* Appends `n` instructions, some with others that make them useful. */
void code_generate(Code *c, unsigned n);
