/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The differential test of the software CPU: generated cases run on this host's processor
 * and on the software CPU, and everything that a program can see is compared: registers,
 * flags, x87, SSE and AVX state, memory, the exception and its address.
 *
 *     generate.c, state.c   a case from a seed: code, registers, memory
 *     native.c              the host: a child process that goes from signal to signal
 *     mapped.c              what that process has in memory besides
 *     engine.c              the software CPU: CPL 3 with page tables that show the same memory
 *     compare.c, excuse.c   what differs, and what may
 *     diff.c                the command
 *
 * A case's code ends in INT3, and so does everywhere else in its code pages.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <glib.h>
#include <Zydis/Zydis.h>

/* ---- memory: the same linear addresses on both sides ---- */
#define PAGE      4096u
#define CODE_BASE UINT64_C(0x10000000) /* executable, readable; nothing after it */
#define CODE_SIZE (2 * PAGE)
#define DATA_BASE UINT64_C(0x20000000) /* nothing before and after it */
#define DATA_PAGES 8

typedef enum { PAGE_NONE, PAGE_RO, PAGE_RW } PageKind;
static const PageKind page_kinds[DATA_PAGES] = { PAGE_RW,   PAGE_RW, PAGE_RO, PAGE_RW,
                                                 PAGE_NONE, PAGE_RW, PAGE_RO, PAGE_NONE };

/* Pages that are there, in order, one after the other: of this the test sets and compares what is writable. */
#define DATA_PRESENT 6
#define DATA_BYTES   (DATA_PRESENT * PAGE)

/* ---- segments: the local descriptor table of both sides ---- */
typedef struct Segment { uint32_t base, limit; bool code, down, wide, readonly, absent; } Segment;
enum { LDT_CODE16, LDT_CODE32, LDT_DATA16, LDT_DATA32, LDT_DOWN16, LDT_DOWN32, LDT_READONLY, LDT_ABSENT, LDT_SEGMENTS };
#define LDT_SELECTOR(n) ((uint16_t)((n) << 3 | 7))
extern const Segment ldt[LDT_SEGMENTS];
/* What Linux has in its GDT. */
enum { SELECTOR_CODE32 = 0x23, SELECTOR_DATA = 0x2b, SELECTOR_CODE64 = 0x33 };
uint32_t selector_base(uint16_t selector);

/* ---- a case: 64-bit code, or 32- or 16-bit code in compatibility mode ---- */
typedef enum { CASE_64, CASE_32, CASE_16, CASE_MODES } CaseMode;

typedef struct State {
    uint64_t gpr[16]; /* in the order of encodings */
    uint64_t rip, rflags, fs_base, gs_base;
    uint16_t cs, ss, ds, es, fs, gs;
    _Alignas(16) uint8_t fx[512]; /* FXSAVE64 form; nothing in the unused parts */
    uint8_t ymm_high[256];
} State;

#define CODE_MAX 320
#define INSTRUCTIONS_MAX 20

typedef struct Case {
    uint64_t seed;
    CaseMode mode;
    unsigned instructions, fill; /* which of the fills the data pages have */
    unsigned code_offset, code_length;
    uint8_t code[CODE_MAX];
    State in;
} Case;

enum { VECTOR_NONE = 0x100, VECTOR_HUNG, VECTOR_LOST /* the child died */ };

typedef struct Result {
    uint32_t vector, error;
    uint64_t address; /* of #PF */
    State out;
    uint8_t data[DATA_BYTES];
} Result;

/* ---- random numbers: xoshiro256**, the same everywhere ---- */
typedef struct Rng { uint64_t s[4]; } Rng;
void rng_seed(Rng *r, uint64_t seed);
uint64_t rng_next(Rng *r);
unsigned rng_below(Rng *r, unsigned n);
bool rng_percent(Rng *r, unsigned percent);
uint64_t mix(uint64_t seed, uint64_t n);

/* ---- generate.c ---- */
typedef struct Generator {
    ZydisDecoder decoder[CASE_MODES];
    uint64_t isa[8];         /* bit map of ZydisISASet that is tested */
    const char *only;        /* mnemonics, separated by commas; NULL: all */
} Generator;
void generator_init(Generator *g);
void generate(const Generator *g, uint64_t seed, unsigned min_instructions, unsigned max_instructions, bool only64,
              Case *ret);
bool decode(const Generator *g, CaseMode mode, const uint8_t *bytes, unsigned n, ZydisDecodedInstruction *insn,
            ZydisDecodedOperand *operands);

/* ---- state.c ---- */
#define FILLS 8
const uint8_t *data_fill(unsigned fill); /* DATA_BYTES */
unsigned data_offset(uint64_t linear);   /* into these; DATA_BYTES: not there */
uint64_t random_value(Rng *r);
uint64_t random_address(Rng *r, unsigned size);
void random_state(Rng *r, Case *c);

/* ---- native.c ---- */
#define BATCH 64
typedef struct Native Native;
Native *native_new(void);
void native_free(Native *n);
Case *native_case(Native *n, unsigned i);
void native_start(Native *n, unsigned count);
void native_wait(Native *n); /* for all of them; a case that kills the child has VECTOR_LOST */
const Result *native_result(Native *n, unsigned i);
bool native_has_fsgsbase(void);
bool native_is_intel(void);
bool native_has_serialize(void);
unsigned native_processor(void); /* what the limit of GDT entry 15 is there; after native_new() */
bool native_has_there(const Native *n, uint64_t address); /* something of its own, which is no case's memory */

/* ---- mapped.c ---- */
GArray *mapped_read(pid_t process); /* the caller's to free */
bool mapped_reaches(const GArray *ranges, uint64_t address);

/* ---- engine.c ---- */
typedef struct Engine Engine;
Engine *engine_new(void);
void engine_free(Engine *e);
void engine_isa(Engine *e, uint64_t ret_isa[8]);
void engine_run(Engine *e, const Case *c, Result *ret);

/* ---- excuse.c ---- */
enum {
    MAY_WRITE = 1 << 0,     /* memory */
    MAY_ADDRESS = 1 << 1,   /* where in its operand it faults */
    MAY_X87 = 1 << 2,
    MAY_VECTORS = 1 << 3,
    MAY_REGISTERS = 1 << 4,
    MAY_MXCSR = 1 << 5,
    MAY_OF = 1 << 6,
    MAY_FAULT = 1 << 7,     /* with another exception */
    MAY_PASS = 1 << 8,      /* or not fault at all */
    MAY_LIMIT = 1 << 9,     /* the software CPU asks more of the segment */
    MAY_FLAGS = 1 << 10,    /* the arithmetic ones */
    MAY_ERROR = 1 << 11,    /* another error code */
    MAY_ALL = 1 << 12,
};
unsigned may_differ(const Generator *g, const Case *c, const Result *native, const Result *soft);

/* ---- compare.c ---- */
/* Returns how many things differ; each is a line of text. */
unsigned compare(const Generator *g, const Case *c, const Result *native, const Result *soft, GString *ret_text);
void describe_case(const Generator *g, const Case *c, GString *text);
void describe_state(const State *s, GString *text);
