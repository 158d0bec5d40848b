/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The integer instructions, compared with the host's own: random sequences of a few of them,
 * in 64-bit and in 32-bit code, on random registers, flags and memory, at page boundaries,
 * beyond the end of memory and on a page that cannot be written.  Registers, all arithmetic
 * flags, memory, and the exception with its place must be equal; and every handler that
 * decoding could choose must have been.
 */
#include "int-code.h"
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

#define WINDOW_BYTES 0x2000
#define READONLY UINT64_C(0x600000) /* one page */
#define CODE_BYTES 0x2000
#define TABLES   UINT64_C(0x30000)

typedef struct Fixture {
    SoftRig *rig;
    uint8_t *window, *readonly, *code; /* the native ones */
    GHashTable *seen;                  /* handlers */
    bool both_bounds;                  /* the host reads both bounds of BOUND before it compares */
    bool wide_movsxd;                  /* and four bytes of memory for MOVSXD to 16 bits */
    Random random;
} Fixture;

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
        uint64_t value = random_operand(&f->random);

        memcpy(native + i, &value, 8);
    }
    memcpy(f->rig->host + gpa, native, bytes);
}

static void choose_state(Fixture *f, const Code *c, NativeState *s)
{
    static const uint64_t bases[] = { WINDOW + 0x1000, WINDOW + 0x1000, WINDOW + 0x800, WINDOW + 0x800, WINDOW + 0x800,
                                      WINDOW + 0x2000, READONLY + 0x200 };
    uint64_t base;

    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = random_operand(&f->random);
    }
    base = bases[random_below(&f->random, G_N_ELEMENTS(bases))];
    s->gpr[code_base_register(c)] = base + random_below(&f->random, 64) - 32;
    s->gpr[code_index_register(c)] = (uint64_t)(int64_t)((int)random_below(&f->random, 64) - 32);
    s->gpr[4] = bases[random_below(&f->random, 5)] + random_below(&f->random, 64) - 32;
    if (c->aligned) {
        s->gpr[code_base_register(c)] &= ~UINT64_C(15);
        s->gpr[code_index_register(c)] &= ~UINT64_C(15);
        s->gpr[4] &= ~UINT64_C(15);
    }
    if (!c->is_64) {
        for (unsigned i = 0; i < 16; i++) {
            s->gpr[i] = i < 8 ? (uint32_t)s->gpr[i] : 0;
        }
    }
    s->rflags = random_next(&f->random) & EFLAGS_ARITHMETIC;
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

/* To a register of 16 bits: 66 63, with REX or without, but not REX.W. */
static bool is_short_movsxd(const uint8_t *bytes)
{
    bool is_16 = false;

    while (*bytes == 0x66 || *bytes == 0x65 || *bytes == 0x67) {
        is_16 |= *bytes++ == 0x66;
    }
    bytes += *bytes >> 3 == 8;
    return is_16 && *bytes == 0x63;
}

/* The guest read only what the instruction needs, so it went on: from here the two have nothing in common. */
static bool host_read_beyond(Fixture *f, const Code *c, const NativeState *before, const NativeState *native)
{
    uint64_t at = native->rip - before->rip;

    if (!f->wide_movsxd || native->vector != VECTOR_PF || f->rig->cpu->rip == native->rip || at >= c->n ||
        !is_short_movsxd(c->bytes + at)) {
        return false;
    }
    memcpy(f->rig->host + WINDOW, f->window, WINDOW_BYTES);
    return true;
}

static void compare(Fixture *f, const Code *c, const NativeState *before, const NativeState *native, SoftExit why)
{
    SoftCpu *cpu = f->rig->cpu;
    int vector = why == SOFT_EXIT_EXCEPTION ? soft_cpu_exception(cpu)->vector : -1;
    uint64_t end = before->rip + c->n;
    unsigned n = c->is_64 ? 16 : 8;

    if (f->both_bounds && native->vector == VECTOR_PF && vector == VECTOR_BR) {
        vector = VECTOR_PF;
    }
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
    /* In the other third of cases into the next page. */
    unsigned start = random_below(&f->random, 3) ? 0 : 0x1000 - random_below(&f->random, c->n + 1);
    SoftExit why;

    choose_state(f, c, &before);
    before.rip = RIG_CODE + start;
    place_code(f, c, start);
    memcpy(cpu->gpr, before.gpr, sizeof(before.gpr));
    cpu->rip = before.rip;
    cpu->halted = false;
    soft_set_rflags(cpu, before.rflags | EFLAGS_FIXED);
    if (random_below(&f->random, 4) == 0) {
        soft_tlb_flush(cpu);
    }
    soft_update_mode(cpu);
    native = before;
    native_run(&native, !c->is_64);
    why = soft_rig_run(f->rig);
    if (!host_read_beyond(f, c, &before, &native)) {
        compare(f, c, &before, &native, why);
    }
    note_handlers(f, c, start);
}

/*
 * The library has the flags that DAA, DAS, AAA and AAS leave undefined as Intel's processors do: of the result in AL.
 * Where the host has others they are not compared (Zen 3: of the addition to AL, with OF, or to all of AX).
 */
static unsigned flags_to_settle(Fixture *f)
{
    enum { BY_AL = EFLAGS_OF | EFLAGS_SF | EFLAGS_ZF | EFLAGS_PF };
    static const struct { uint8_t opcode; uint16_t ax; uint64_t undefined, intel; } probes[] = {
        { 0x27, 0x7f, EFLAGS_OF, 0 },
        { 0x2f, 0x80, EFLAGS_OF, 0 },
        { 0x37, 0x8000, BY_AL, EFLAGS_PF },
        { 0x3f, 0x8000, BY_AL, EFLAGS_PF },
    };
    unsigned settle = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(probes); i++) {
        NativeState state = { .rip = RIG_CODE, .gpr = { probes[i].ax }, .rflags = EFLAGS_AF };

        f->code[0] = probes[i].opcode;
        native_exit_code(f->code + 1, true);
        native_run(&state, true);
        settle |= (state.rflags & probes[i].undefined) != probes[i].intel ? 1u << i : 0;
    }
    return settle;
}

/* The index is below the lower bound, the upper one beyond memory: Zen 3 has #PF, Intel's processors #BR. */
static bool reads_both_bounds(Fixture *f)
{
    NativeState state = { .rip = RIG_CODE, .gpr = { [X86_RSI] = WINDOW + WINDOW_BYTES - 4 } };

    memset(f->window + WINDOW_BYTES - 4, 1, 4);
    memcpy(f->code, "\x62\x06", 2); /* BOUND EAX, [ESI] */
    native_exit_code(f->code + 2, true);
    native_run(&state, true);
    return state.vector == VECTOR_PF;
}

/* SDM 2B has a source of two bytes.  Behind these two there are none. */
static bool reads_beyond_short_source(Fixture *f)
{
    NativeState state = { .rip = RIG_CODE, .gpr = { [X86_RSI] = WINDOW + WINDOW_BYTES - 2 } };

    memcpy(f->code, "\x66\x63\x06", 3); /* MOVSXD AX, [RSI] */
    native_exit_code(f->code + 3, false);
    native_run(&state, false);
    return state.vector == VECTOR_PF;
}

static void run_many(Fixture *f, bool is_64, unsigned times)
{
    unsigned settle;

    enter_mode(f, is_64);
    native_begin();
    settle = is_64 ? 0 : flags_to_settle(f);
    f->both_bounds = !is_64 && reads_both_bounds(f);
    f->wide_movsxd = is_64 && reads_beyond_short_source(f);
    for (unsigned i = 0; i < times; i++) {
        Code c = { .random = &f->random, .is_64 = is_64, .aligned = random_below(&f->random, 2), .settle = settle };

        if (i % 64 == 0) {
            fill(f, f->window, WINDOW, WINDOW_BYTES);
        }
        code_generate(&c, 1 + random_below(&f->random, 3));
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
    branch_call_near32, branch_call32, branch_ret32, stack_push_r, stack_push_i, stack_push_m, stack_pop_r,
    stack_pop_m, stack_push_r64,
    stack_push_i64, stack_push_m64, stack_pop_r64, stack_push_r32, stack_push_i32, stack_pop_r32, stack_pusha,
    stack_popa, stack_enter, stack_leave, stack_leave64,
};

static unsigned missing_in_both(Fixture *f)
{
    return MISSING(single) + MISSING(int_alu) + MISSING(int_alu_lock) + MISSING(int_unary) +
           MISSING(int_unary_lock) + MISSING(int_xchg) + MISSING(int_xadd) + MISSING(int_cmpxchg) +
           MISSING(int_cmpxchg_pair) + MISSING(int_shift) +
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
    f->random.state = UINT64_C(0x9e3779b97f4a7c15);
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
