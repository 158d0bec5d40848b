/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 32-bit program without a C library: x87 arithmetic, 64-bit arithmetic in halves, segments, system calls by INT 80h.
 */
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;

static uint64_t state = 88172645463325252ULL;

static int system_call(int number, int a, const void *b, int c)
{
    int result;

    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

static void show(const char *name, uint64_t value)
{
    char line[64];
    int n = 0;

    while (*name) {
        line[n++] = *name++;
    }
    for (int shift = 60; shift >= 0; shift -= 4) {
        line[n++] = "0123456789abcdef"[value >> shift & 15];
    }
    line[n++] = '\n';
    system_call(4, 1, line, n);
}

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint64_t mix(uint64_t hash, const void *data, int size)
{
    const unsigned char *p = data;

    while (size--) {
        hash = (hash ^ *p++) * 0x100000001b3;
    }
    return hash;
}

#define UNARY(op, x) ({ long double r_ = (x); __asm__(op : "+t"(r_)); r_; })

static uint64_t x87(void)
{
    uint64_t hash = 0;

    for (int i = 0; i < 20000; i++) {
        long double x = (long double)(long long)draw() / (1LL << 50), y = (long double)(draw() >> 1) / (1LL << 62);
        long double r[] = { UNARY("fsin", x), UNARY("fcos", y), UNARY("fsqrt", y), UNARY("f2xm1", y - 0.5L),
                            UNARY("frndint", x), UNARY("fabs", x), UNARY("fchs", y), x / y, x * y - x, (float)x,
                            (double)y, (int)y, (long long)x, (short)y };
        for (unsigned k = 0; k < sizeof(r) / sizeof(r[0]); k++) {
            hash = mix(hash, &r[k], 10);
        }
        double d = (double)x;
        unsigned char packed[10];
        __asm__ volatile("fldt %1; fbstp %0" : "=m"(packed) : "m"(x));
        hash = mix(mix(hash, packed, 10), &d, 8);
    }
    return hash;
}

static uint64_t integers(void)
{
    uint64_t hash = 0;

    for (int i = 0; i < 20000; i++) {
        uint32_t a = (uint32_t)draw(), b = (uint32_t)draw(), c = 0, d = 0;
        uint64_t q = draw();
        c = (a << (b & 31)) | (a >> (-b & 31));
        __asm__("aaa; adc %1, %0" : "+a"(a) : "r"(b) : "cc");
        __asm__("das; daa; setc %b0" : "+a"(d) : : "cc");
        __asm__("aad; aam" : "+a"(b) : : "cc");
        q = q * 1000003 + (q >> 7) - ((uint64_t)a << 20);
        q ^= (uint64_t)__builtin_bswap32(a) * b;
        hash = mix(mix(mix(hash, &q, 8), &c, 4), &b, 2) + (a & 0xffff) + (uint32_t)__builtin_clz(c | 1);
    }
    return hash;
}

void _start(void)
{
    unsigned short cs, ds;

    show("x87      ", x87());
    show("integers ", integers());
    __asm__("mov %%cs, %0; mov %%ds, %1" : "=r"(cs), "=r"(ds));
    show("segments ", (uint64_t)cs << 16 | ds);
    system_call(1, 0, 0, 0);
}
