/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random numbers, and the state that a case begins with: values that are likely to matter
 * (boundaries, special floating point numbers, pointers near the ends of pages) rather than
 * evenly distributed ones.
 */
#include "diff.h"

#include <string.h>

/* ---- random numbers ---- */

uint64_t mix(uint64_t seed, uint64_t n)
{
    uint64_t z = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void rng_seed(Rng *r, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        r->s[i] = mix(seed, i);
    }
}

uint64_t rng_next(Rng *r)
{
    uint64_t *s = r->s, result = s[1] * 5, t = s[1] << 17;

    result = (result << 7 | result >> 57) * 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

unsigned rng_below(Rng *r, unsigned n)
{
    return (unsigned)((rng_next(r) >> 32) * n >> 32);
}

bool rng_percent(Rng *r, unsigned percent)
{
    return rng_below(r, 100) < percent;
}

/* ---- segments ---- */

const Segment ldt[LDT_SEGMENTS] = {
    [LDT_CODE16] = { CODE_BASE, CODE_SIZE - 1, .code = true },
    [LDT_CODE32] = { CODE_BASE, CODE_SIZE - 1, .code = true, .wide = true },
    [LDT_DATA16] = { DATA_BASE, 2 * PAGE - 1 },
    [LDT_DATA32] = { DATA_BASE + 16, 6 * PAGE + 5, .wide = true },
    [LDT_DOWN16] = { DATA_BASE, 0x7ff, .down = true },
    [LDT_DOWN32] = { DATA_BASE, 0xfff, .down = true, .wide = true },
    [LDT_READONLY] = { DATA_BASE, 4 * PAGE - 1, .readonly = true, .wide = true },
    [LDT_ABSENT] = { DATA_BASE, UINT16_MAX, .absent = true },
};

uint32_t selector_base(uint16_t selector)
{
    return selector & 4 && selector >> 3 < LDT_SEGMENTS ? ldt[selector >> 3].base : 0;
}

static uint16_t data_selector(Rng *r)
{
    static const uint16_t selectors[] = {
        SELECTOR_DATA,           LDT_SELECTOR(LDT_DATA16),   LDT_SELECTOR(LDT_DATA32), LDT_SELECTOR(LDT_DOWN16),
        LDT_SELECTOR(LDT_DOWN32), LDT_SELECTOR(LDT_READONLY), LDT_SELECTOR(LDT_CODE32), 0,
    };

    return selectors[rng_below(r, rng_percent(r, 80) ? 5 : 8)];
}

/* Which segments there are; the stack's is one that can be used. */
static void random_segments(Rng *r, Case *c)
{
    static const uint16_t stacks[] = { SELECTOR_DATA, LDT_SELECTOR(LDT_DATA16), LDT_SELECTOR(LDT_DATA32),
                                       LDT_SELECTOR(LDT_DOWN16) };
    State *s = &c->in;
    bool local = c->mode == CASE_16 || (c->mode == CASE_32 && rng_percent(r, 50));

    s->cs = c->mode == CASE_64   ? SELECTOR_CODE64
            : c->mode == CASE_16 ? LDT_SELECTOR(LDT_CODE16)
            : local              ? LDT_SELECTOR(LDT_CODE32)
                                 : SELECTOR_CODE32;
    s->ss = local ? stacks[rng_below(r, G_N_ELEMENTS(stacks))] : SELECTOR_DATA;
    s->ds = local ? data_selector(r) : SELECTOR_DATA;
    s->es = local ? data_selector(r) : SELECTOR_DATA;
    s->fs = local ? data_selector(r) : 0;
    s->gs = local ? data_selector(r) : 0;
    s->fs_base = c->mode == CASE_64 ? random_address(r, 8) & ~UINT64_C(0xfff) : selector_base(s->fs);
    s->gs_base = c->mode == CASE_64 ? random_address(r, 8) : selector_base(s->gs);
}

/* ---- integers and addresses ---- */

uint64_t random_value(Rng *r)
{
    static const uint64_t special[] = {
        0,
        1,
        2,
        0x7f,
        0x80,
        0xff,
        0x100,
        0x7fff,
        0x8000,
        0xffff,
        0x10000,
        0x7fffffff,
        0x80000000,
        0xffffffff,
        0x100000000,
        0x7fffffffffffffff,
        0x8000000000000000,
        0xffffffffffffffff,
        0xfffffffffffffffe,
        0x5555555555555555,
        0xaaaaaaaaaaaaaaaa,
        0xffffffff80000000,
        0x0000800000000000,
        0xffff800000000000,
        0x00007fffffffffff,
    };

    switch (rng_below(r, 8)) {
    case 0:
    case 1:
        return special[rng_below(r, G_N_ELEMENTS(special))];
    case 2:
        return rng_below(r, 64);
    case 3:
        return (uint64_t)(int64_t)(int32_t)rng_next(r);
    case 4:
        return UINT64_C(1) << rng_below(r, 64);
    case 5:
        return random_address(r, 8);
    default:
        return rng_next(r);
    }
}

uint64_t random_address(Rng *r, unsigned size)
{
    static const uint8_t writable[] = { 0, 1, 3, 5 };
    unsigned page = rng_percent(r, 85) ? writable[rng_below(r, 4)] : rng_below(r, DATA_PAGES);
    unsigned offset;

    switch (rng_below(r, 8)) {
    case 0: /* over the end */
        offset = PAGE - rng_below(r, size + 1);
        break;
    case 1: /* just before it */
        offset = PAGE - size - rng_below(r, 3);
        break;
    case 2:
        offset = rng_below(r, PAGE);
        break;
    default:
        offset = rng_below(r, PAGE / 64) * 64;
        break;
    }
    return DATA_BASE + page * PAGE + offset;
}

/* ---- data ---- */

static const uint64_t doubles[] = {
    0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000,
    0xfff0000000000000, 0x7ff8000000000000, 0xfff8000000000001, 0x7ff0000000000001, 0xfff4000000000000,
    0x0000000000000001, 0x800fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff, 0xffefffffffffffff,
    0x4330000000000001, 0x41dfffffffe00000, 0xc1e0000000200000, 0x43e0000000000000, 0x3fd5555555555555,
    0x4000000000000000, 0x3fe0000000000000, 0x1fff000000000000, 0x5fefffffffffffff,
};
static const uint32_t floats[] = {
    0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001,
    0x7f800001, 0xffa00000, 0x00000001, 0x807fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x4b000001,
    0x4effffff, 0xcf000000, 0x5f000000, 0x3eaaaaab, 0x40000000, 0x3f000000, 0x1fff0000, 0x5f7fffff,
};
static const struct {
    uint64_t mantissa;
    uint16_t exponent;
} extended[] = {
    {0, 0},
    {0, 0x8000},
    {0x8000000000000000, 0x3fff},
    {0x8000000000000000, 0xbfff},
    {0x8000000000000000, 0x7fff},
    {0x8000000000000000, 0xffff},
    {0xc000000000000000, 0x7fff},
    {0xc000000000000000, 0xffff},
    {0x8000000000000001, 0x7fff},
    {1, 0},
    {0x7fffffffffffffff, 0x8000},
    {0x8000000000000000, 0},
    {0x8000000000000000, 1},
    {0xffffffffffffffff, 0x7ffe},
    {0x4000000000000000, 0x3fff},
    {0, 0x7fff},
    {0x7fffffffffffffff, 0x7fff},
    {0x8000000000000000, 0x403e},
    {0xffffffffffffffff, 0x403d},
    {0xaaaaaaaaaaaaaaab, 0x3ffd},
    {0xc90fdaa22168c235, 0x4000},
    {0xb504f333f9de6484, 0x3ffe},
    {0x8000000000000000, 0x3fc0},
    {0xfffffffffffff800, 0x43fe},
};

static void put_extended(Rng *r, uint8_t *to)
{
    unsigned i = rng_below(r, G_N_ELEMENTS(extended) + 6);
    uint64_t mantissa = i < G_N_ELEMENTS(extended) ? extended[i].mantissa : rng_next(r) | UINT64_C(1) << 63;
    uint16_t exponent = i < G_N_ELEMENTS(extended) ? extended[i].exponent : (uint16_t)(0x3fff - 70 + rng_below(r, 140));

    exponent |= rng_percent(r, 50) ? 0x8000 : 0;
    memcpy(to, &mantissa, 8);
    memcpy(to + 8, &exponent, 2);
}

/* 16 bytes of one kind. */
static void put_vector(Rng *r, uint8_t *to, unsigned kind)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t v = rng_next(r);

        if (kind == 1) {
            v = (v & UINT64_C(0x800fffffffffffff)) | (uint64_t)(1023 - 40 + rng_below(r, 80)) << 52;
            v = rng_percent(r, 75) ? doubles[rng_below(r, G_N_ELEMENTS(doubles))] : v;
        } else if (kind == 2) {
            v = 0;
            for (unsigned j = 0; j < 64; j += 32) {
                uint32_t f = (uint32_t)rng_next(r);

                f = rng_percent(r, 75) ? floats[rng_below(r, G_N_ELEMENTS(floats))]
                                       : (f & 0x807fffff) | (127 - 20 + rng_below(r, 40)) << 23;
                v |= (uint64_t)f << j;
            }
        } else if (kind == 3) {
            v = random_value(r);
        } else if (kind == 4) {
            v &= UINT64_C(0x0f0f0f0f0f0f0f0f);
        }
        memcpy(to + 8 * i, &v, 8);
    }
}

static void put16(uint8_t *to, uint16_t v)
{
    memcpy(to, &v, 2);
}

static void random_x87(Rng *r, uint8_t *fx)
{
    uint16_t fcw = 0x0040, fsw = 0;

    fcw |= rng_percent(r, 75) ? 0x3f : rng_below(r, 64);
    fcw |= (uint16_t)(rng_below(r, 4) << 10 | rng_below(r, 4) << 8 | (rng_percent(r, 10) ? 0x1000 : 0));
    if (rng_percent(r, 50)) {
        fcw = 0x037f;
    }
    fsw |= (uint16_t)(rng_below(r, 8) << 11);
    fsw |= rng_percent(r, 40) ? rng_next(r) & 0x4700 : 0;
    fsw |= rng_percent(r, 20) ? rng_below(r, 128) : 0;
    if (fsw & ~fcw & 0x3f) {
        fsw |= rng_percent(r, 20) ? 0x8080 : 0; /* a pending exception */
        fsw &= fsw & 0x80 ? 0xffff : (uint16_t)(~0x3f | fcw);
    }
    put16(fx, fcw);
    put16(fx + 2, fsw);
    fx[4] = rng_percent(r, 50) ? 0xff : rng_percent(r, 50) ? 0 : (uint8_t)rng_next(r);
    for (unsigned i = 0; i < 8; i++) {
        put_extended(r, fx + 32 + 16 * i);
    }
}

static void random_mxcsr(Rng *r, uint8_t *fx)
{
    uint32_t mxcsr = 0x1f80;

    if (rng_percent(r, 50)) {
        mxcsr = (uint32_t)rng_next(r) & 0xe07f; /* rounding, FZ, DAZ, flags */
        mxcsr |= rng_percent(r, 70) ? 0x1f80 : (uint32_t)rng_next(r) & 0x1f80;
    }
    memcpy(fx + 24, &mxcsr, 4);
}

/* What XRSTOR and FXRSTOR mostly accept: SDM 1-13.4. */
static void put_xsave(Rng *r, uint8_t *to)
{
    uint64_t features = rng_below(r, 8), compact = 0;

    random_x87(r, to);
    random_mxcsr(r, to);
    for (unsigned i = 0; i < 256; i += 16) {
        put_vector(r, to + 160 + i, 0);
        put_vector(r, to + 576 + i, 0);
    }
    if (rng_percent(r, 40)) {
        compact = rng_percent(r, 10) ? rng_next(r) : UINT64_C(1) << 63 | features | rng_below(r, 8);
    }
    features = rng_percent(r, 5) ? features | 0x80 : features;
    memset(to + 512, 0, 64);
    memcpy(to + 512, &features, 8);
    memcpy(to + 520, &compact, 8);
}

const uint8_t *data_fill(unsigned fill)
{
    static uint8_t data[FILLS][DATA_BYTES];
    static bool made;
    Rng r;

    if (!made) {
        rng_seed(&r, 0x1234);
        for (unsigned f = 0; f < FILLS; f++) {
            for (unsigned i = 0; i < DATA_BYTES; i += 16) {
                if (f == 5) {
                    put_vector(&r, &data[f][i], 0);
                    put_extended(&r, &data[f][i]);
                } else if (f < 5) {
                    put_vector(&r, &data[f][i], f);
                } else if (f == 6) {
                    put_vector(&r, &data[f][i], rng_below(&r, 5));
                }
            }
            for (unsigned i = 0; f == 7 && i < DATA_BYTES; i += 1024) {
                put_xsave(&r, &data[f][i]);
            }
        }
        /* What cannot be written is the same in all. */
        for (unsigned f = 1; f < FILLS; f++) {
            memcpy(&data[f][2 * PAGE], &data[0][2 * PAGE], PAGE);
            memcpy(&data[f][5 * PAGE], &data[0][5 * PAGE], PAGE);
        }
        made = true;
    }
    return data[fill];
}

unsigned data_offset(uint64_t linear)
{
    unsigned page = (unsigned)((linear - DATA_BASE) / PAGE), present = 0;

    if (linear - DATA_BASE >= DATA_PAGES * PAGE || page_kinds[page] == PAGE_NONE) {
        return DATA_BYTES;
    }
    for (unsigned i = 0; i < page; i++) {
        present += page_kinds[i] != PAGE_NONE;
    }
    return present * PAGE + (unsigned)(linear % PAGE);
}

/* ---- registers ---- */

static void random_sse(Rng *r, State *s)
{
    random_mxcsr(r, s->fx);
    for (unsigned i = 0; i < 16; i++) {
        unsigned kind = rng_below(r, 5);

        put_vector(r, s->fx + 160 + 16 * i, kind);
        put_vector(r, s->ymm_high + 16 * i, kind);
    }
}

void random_state(Rng *r, Case *c)
{
    State *s = &c->in;

    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = random_value(r);
    }
    random_segments(r, c);
    s->gpr[4] = rng_percent(r, 90) ? DATA_BASE + PAGE + 0x800 + 8 * rng_below(r, 64) : random_address(r, 8);
    s->gpr[4] -= selector_base(s->ss);
    s->gpr[4] |= c->mode == CASE_16 && rng_percent(r, 20) ? rng_next(r) & 0xffff0000 : 0;
    for (unsigned i = 0; c->mode != CASE_64 && i < 16; i++) {
        s->gpr[i] = (uint32_t)s->gpr[i];
    }
    s->rflags = 0x202 | (rng_next(r) & 0x8d5); /* IF, as every process has it; arithmetic */
    s->rflags |= rng_percent(r, 15) ? 0x400 : 0;
    s->rflags |= rng_percent(r, 3) ? 0x40000 : 0;
    c->fill = rng_below(r, FILLS);
    random_x87(r, s->fx);
    random_sse(r, s);
}
