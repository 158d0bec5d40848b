/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Register tables: the rows of a data sheet.
 *
 * A row with a field is storage: its reset value, the bits a guest write may
 * change, the bits a written one clears.  A row with hooks is computed.  One
 * table serves reads, writes, reset, the -d trace and the conformance test.
 * Offsets that no row covers read as the bank's `absent` value (all ones unless
 * said otherwise) and writes to them are dropped.  Accesses wider than a row span
 * the neighbouring rows, narrower ones are cut out of it; hooks see whole
 * registers (a partial write is merged with the field's present value).
 *
 * Called with the device lock held.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Device Device;

#define BANK_ANY     0
#define BANK(N)      (1u << (N))

typedef struct Reg {
    const char *name;    /* the document's spelling */
    uint32_t at;         /* byte offset */
    uint32_t banks;      /* BANK_ANY, or BANK() bits */
    uint8_t size;        /* 1, 2, 4, 8 */
    bool has_field;
    uint32_t field;      /* offset in the device struct */
    uint64_t reset;
    uint64_t writable;   /* bits that a write changes */
    uint64_t w1c;        /* bits that a written 1 clears */
    uint64_t (*read)(Device *dev);                   /* NULL: the field */
    void (*write)(Device *dev, uint64_t value);      /* instead of storing */
    void (*wrote)(Device *dev, uint64_t old);        /* after storing */
    void (*read_done)(Device *dev);                  /* side effect of reading, after it */
    /* Arrays of equal registers: `count` of them, `stride` apart, hooks get the index. */
    uint32_t count, stride, field_stride;
    uint64_t (*read_n)(Device *dev, unsigned n);
    void (*write_n)(Device *dev, unsigned n, uint64_t value);
} Reg;

#define REG_FIELD(T, M) .has_field = true, .field = offsetof(T, M), .size = sizeof(((T *)0)->M)
/* An array of registers, a field's element each; .stride when they lie apart. */
#define REG_ARRAY(T, M) .has_field = true, .field = offsetof(T, M), .size = sizeof(((T *)0)->M[0]), \
                        .count = sizeof(((T *)0)->M) / sizeof(((T *)0)->M[0])

typedef struct RegBank {
    const Reg *regs;
    size_t n;
    unsigned (*bank)(const Device *dev); /* current bank number; NULL: 0 */
    uint64_t absent;                     /* what nothing reads as; 0 means all ones unless absent_is_zero */
    bool absent_is_zero;
} RegBank;
#define REG_BANK(TABLE) { .regs = (TABLE), .n = sizeof(TABLE) / sizeof((TABLE)[0]) }

uint64_t reg_read(Device *dev, const RegBank *bank, uint64_t offset, unsigned size);
void reg_write(Device *dev, const RegBank *bank, uint64_t offset, uint64_t value, unsigned size);
void reg_reset(Device *dev, const RegBank *bank);
