/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loops of instructions that a software CPU runs natively or in bulk: vectors, x87, strings.
 * Runs in a guest; prints nanoseconds per round of each loop, and a digest of what it
 * computed.  Built static by bench-instructions.py.
 */
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define N 1024

static float f[N], g[N];
static double d[N], e[N];
static int32_t a[N], b[N];
static uint8_t from[65536], to[65536];

static double sse_floats(void)
{
    __m128 sum = _mm_setzero_ps();

    for (int i = 0; i < N; i += 4) {
        sum = _mm_add_ps(sum, _mm_mul_ps(_mm_loadu_ps(f + i), _mm_loadu_ps(g + i)));
        _mm_storeu_ps(g + i, _mm_min_ps(_mm_sub_ps(_mm_loadu_ps(g + i), _mm_set1_ps(0.25f)), sum));
    }
    return _mm_cvtss_f32(sum);
}

static double sse_scalars(void)
{
    double sum = 0;

    for (int i = 1; i < N; i++) {
        sum += d[i] * e[i] - d[i - 1] / 3.0;
    }
    return sum;
}

static double sse_integers(void)
{
    __m128i sum = _mm_setzero_si128();

    for (int i = 0; i < N; i += 4) {
        __m128i x = _mm_loadu_si128((__m128i *)(a + i)), y = _mm_loadu_si128((__m128i *)(b + i));

        sum = _mm_xor_si128(_mm_add_epi32(sum, _mm_madd_epi16(x, y)), _mm_shuffle_epi32(_mm_cmpgt_epi8(x, y), 0x1b));
    }
    return _mm_cvtsi128_si32(sum);
}

__attribute__((target("avx2,fma"))) static double avx_fma(void)
{
    __m256d sum = _mm256_setzero_pd();

    for (int i = 0; i < N; i += 4) {
        sum = _mm256_fmadd_pd(_mm256_loadu_pd(d + i), _mm256_loadu_pd(e + i), sum);
    }
    return _mm256_cvtsd_f64(sum);
}

__attribute__((target("aes"))) static double aes(void)
{
    __m128i x = _mm_loadu_si128((__m128i *)a);

    for (int i = 0; i < N; i += 4) {
        x = _mm_aesenc_si128(x, _mm_loadu_si128((__m128i *)(b + i)));
    }
    return _mm_cvtsi128_si32(x);
}

__attribute__((target("pclmul"))) static double pclmul(void)
{
    __m128i x = _mm_loadu_si128((__m128i *)a);

    for (int i = 0; i < N; i += 4) {
        x = _mm_xor_si128(_mm_clmulepi64_si128(x, _mm_loadu_si128((__m128i *)(b + i)), 0x10), x);
    }
    return _mm_cvtsi128_si32(x);
}

static double x87_arithmetic(void)
{
    long double sum = 1;

    for (int i = 0; i < N; i++) {
        sum = sum * 0.999L + (long double)d[i] / 3;
    }
    return (double)sum;
}

static double x87_functions(void)
{
    double sum = 0;

    for (int i = 0; i < 64; i++) {
        double x = d[i];

        __asm__("fsin" : "+t"(x));
        sum += x;
    }
    return sum;
}

static double copy_64k(void)
{
    void *s = from, *t = to;
    size_t n = sizeof(to);

    __asm__ volatile("rep movsb" : "+S"(s), "+D"(t), "+c"(n) : : "memory");
    return to[77];
}

static double copy_32(void)
{
    for (int i = 0; i < N; i++) {
        void *s = from + i, *t = to + i;
        size_t n = 32;

        __asm__ volatile("rep movsb" : "+S"(s), "+D"(t), "+c"(n) : : "memory");
    }
    return to[99];
}

static double fill_4k(void)
{
    void *t = to;
    size_t n = 512;

    __asm__ volatile("rep stosq" : "+D"(t), "+c"(n) : "a"(0x0102030405060708) : "memory");
    return to[5];
}

static double search(void)
{
    void *s = from;
    size_t n = 4096;

    __asm__ volatile("repne scasb" : "+D"(s), "+c"(n) : "a"(255) : "cc", "memory");
    return (double)n;
}

static double compare(void)
{
    void *s = from, *t = from + 16 * 251; /* they are equal */
    size_t n = 4096;

    __asm__ volatile("repe cmpsb" : "+S"(s), "+D"(t), "+c"(n) : : "cc", "memory");
    return (double)n;
}

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int main(void)
{
    const struct { const char *name; double (*run)(void); int missing; } loops[] = {
        { "sse-floats", sse_floats }, { "sse-scalars", sse_scalars }, { "sse-integers", sse_integers },
        { "avx-fma", avx_fma, !__builtin_cpu_supports("fma") }, { "aes", aes, !__builtin_cpu_supports("aes") },
        { "pclmul", pclmul, !__builtin_cpu_supports("pclmul") },
        { "x87-arithmetic", x87_arithmetic }, { "x87-functions", x87_functions },
        { "copy-64k", copy_64k }, { "copy-32", copy_32 }, { "fill-4k", fill_4k }, { "search", search },
        { "compare", compare },
    };

    for (int i = 0; i < N; i++) {
        f[i] = g[i] = (float)i / 7;
        d[i] = e[i] = (double)i / 11;
        a[i] = b[i] = (int32_t)((uint32_t)i * 0x01234567u);
    }
    for (unsigned i = 0; i < sizeof(from); i++) {
        from[i] = (uint8_t)(i % 251);
    }
    for (unsigned i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
        uint64_t began = now(), ended;
        unsigned rounds = 0;
        double first;

        if (loops[i].missing) {
            continue;
        }
        first = loops[i].run(); /* before its data change */
        do {
            for (unsigned k = 0; k < 10; k++, rounds++) {
                loops[i].run();
            }
            ended = now();
        } while (ended - began < 300000000);
        printf("@@ %s %.0f %.17g\n", loops[i].name, (double)(ended - began) / rounds, first);
        fflush(stdout);
    }
    return 0;
}
