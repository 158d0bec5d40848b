/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a compiler makes of C: floating point of all widths, vectors, jumps, code that changes, threads, processes.
 *
 *     programs FACTOR
 */
#define _GNU_SOURCE
#include <complex.h>
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int factor;
static uint64_t state = 88172645463325252ULL;

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *p = data;

    while (size--) {
        hash = (hash ^ *p++) * 0x100000001b3;
    }
    return hash;
}

/* Floating point */

static void long_doubles(void)
{
    uint64_t hash = 0;
    long double sum = 0, product = 1;

    for (int i = 1; i < 3000 * factor; i++) {
        long double x = (long double)(int64_t)draw() / (1LL << 40), y = (long double)draw() / (1LL << 60);
        long double r[] = { sinl(x), cosl(y), expl(y), logl(y), sqrtl(y), atan2l(x, y), fmodl(x, y), remainderl(x, y),
                            powl(y, 0.3L), floorl(x), rintl(x), scalbnl(y, i % 70 - 35), tanl(y), x * y, x / y, x - y,
                            (double)x, (float)y, (int64_t)x, (int)y, expm1l(y), log2l(y), cbrtl(x), hypotl(x, y) };
        for (unsigned k = 0; k < COUNT(r); k++) {
            hash = mix(hash, &r[k], 10);
        }
        sum += 1 / (x * x + y);
        product *= 1 + y / i / i;
    }
    printf("long double %016" PRIx64 " %.25Lg %.25Lg %La\n", hash, sum, product, sum);
}

static void one_rounding(const char *name, int mode)
{
    volatile double a = 1, b = 3, big = DBL_MAX, small = DBL_MIN;
    volatile float f = 1e30f, g = 16777217;
    volatile long double l = 1.0L, m = 3.0L;

    fesetround(mode);
    feclearexcept(FE_ALL_EXCEPT);
    double q = a / b, over = big * 2, under = small / b, near = rint(-2.5), parsed = strtod("0.1", NULL);
    float s = (float)(a / b), t = f * f, u = g + 1;
    long double r = l / m, v = -l / m;
    int raised = fetestexcept(FE_ALL_EXCEPT);
    long asked[] = { lrint(2.5), lrint(-3.5), llrintl(0.5L), lrintf(1.5f) };
    fesetround(FE_TONEAREST);
    printf("%s %a %a %a %a %a %a %a %a %La %La %x %ld %ld %ld %ld\n", name, q, over, under, near, parsed, (double)s,
           (double)t, (double)u, r, v, raised, asked[0], asked[1], asked[2], asked[3]);
}

static void floating_point(void)
{
    static const struct { const char *name; int mode; } modes[] = {
        { "nearest", FE_TONEAREST }, { "down", FE_DOWNWARD }, { "up", FE_UPWARD }, { "zero", FE_TOWARDZERO } };
    uint64_t hash = 0;

    for (unsigned i = 0; i < COUNT(modes); i++) {
        one_rounding(modes[i].name, modes[i].mode);
    }
    for (int i = 0; i < 20000 * factor; i++) {
        uint64_t bits = draw();
        double x, y = (int32_t)draw() / 65536.0;
        memcpy(&x, &bits, 8);
        double r[] = { x + y, x * y, x / y, y / x, x - y, sqrt(x), (float)x, fmin(x, y), nearbyint(y), y * y + y,
                       (int64_t)y, (int)y, (double)(uint64_t)fabs(y), (double)bits, (float)bits, (int16_t)y };
        for (unsigned k = 0; k < COUNT(r); k++) {
            /* Which NaN comes of two is the compiler's choice of operand order. */
            double d = isnan(r[k]) ? 0 : r[k];
            hash = mix(hash, &d, 8);
        }
    }
    double complex z = 0.3 + 0.4 * I, w = 1;
    for (int i = 0; i < 100; i++) {
        w = w * z / (1 + z) + csqrt(z * i);
    }
    printf("double %016" PRIx64 " %a %a\n", hash, creal(w), cimag(w));
}

/* Vectors */

typedef int8_t v32i8 __attribute__((vector_size(32)));
typedef int16_t v16i16 __attribute__((vector_size(32)));
typedef int32_t v8i32 __attribute__((vector_size(32)));
typedef uint64_t v4u64 __attribute__((vector_size(32)));
typedef float v8f __attribute__((vector_size(32)));
typedef double v4d __attribute__((vector_size(32)));

static void fill(void *vector)
{
    for (unsigned k = 0; k < 4; k++) {
        uint64_t bits = draw();
        memcpy((char *)vector + 8 * k, &bits, 8);
    }
}

static void vectors(void)
{
    uint64_t hash = 0;

    for (int i = 0; i < 4000 * factor; i++) {
        v32i8 b, c;
        v16i16 s, t;
        v8i32 d, e;
        v4u64 q, r;
        fill(&b), fill(&c), fill(&s), fill(&t), fill(&d), fill(&e), fill(&q), fill(&r);
        b = ((b + c) & (b > c)) | ((b - c * 3) & ~(b > c));
        s = (s * t) ^ (s >> 3) ^ (s < t);
        d = __builtin_shuffle(d * e, e) + (d << 5) - ((v8i32)q == (v8i32)r);
        q = (q * r) + (q >> 7 | r << 57) - ~q;
        v8f f = __builtin_convertvector(d >> 8, v8f), g = __builtin_convertvector(e | 1, v8f);
        f = f / g + f * g - g;
        v4d x = { d[0], d[3], d[5], d[7] };
        x = x * x / (x + 0.5) - x;
        v8i32 back = __builtin_convertvector(f / 1e9f, v8i32);
        hash = mix(hash, &b, 32), hash = mix(hash, &s, 32), hash = mix(hash, &d, 32), hash = mix(hash, &q, 32);
        hash = mix(hash, &f, 32), hash = mix(hash, &x, 32), hash = mix(hash, &back, 32);
    }
    printf("vectors %016" PRIx64 "\n", hash);
}

static void loops(void)
{
    enum { N = 1000 };
    static int32_t a[N], b[N];
    static uint8_t c[N];
    static double d[N];
    uint64_t hash = 0, bits = 0;

    for (int pass = 0; pass < 10 * factor; pass++) {
        for (int i = 0; i < N; i++) {
            a[i] = (int32_t)draw(), b[i] = (int32_t)draw() % 1000 + 1001;
        }
        for (int i = 0; i < N; i++) {
            c[i] = (uint8_t)(a[i] / b[i]) + (a[i] % b[i] > 99 ? 3 : c[N - 1 - i]);
            d[i] = a[i] * 0.25 + b[i];
        }
        for (int i = 1; i < N; i++) {
            d[i] = d[i] * 0.5 + fabs(d[i - 1]);
            bits += (unsigned)__builtin_popcountll(draw()) + (unsigned)__builtin_clz((unsigned)a[i] | 1) * 3u;
            bits ^= __builtin_bswap64((uint64_t)a[i] << (i & 31)) >> (i & 63);
            bits += (uint64_t)(((unsigned __int128)bits * (uint64_t)b[i] + a[i]) / 1000003);
        }
        hash = mix(hash, c, sizeof(c)), hash = mix(hash, d, sizeof(d));
    }
    printf("loops %016" PRIx64 " %016" PRIx64 "\n", hash, bits);
}

/* The C library's string functions, which have a version for every kind of processor */

static void strings(void)
{
    static char one[9000], two[9000];
    uint64_t hash = 0;

    for (int i = 0; i < 3000 * factor; i++) {
        size_t from = draw() % 4100, to = draw() % 4100, length = i % 3 ? draw() % 300 : draw() % 4200;
        memset(one + from, (int)(draw() % 255 + 1), length);
        one[from + length] = 0;
        memmove(one + to, one + from, length / 2 + 1);
        memcpy(two + from, one + to, length);
        two[from + length] = i % 5 ? 0 : 7;
        char *forward = memchr(one + to, 9, 5000 - to), *backward = memrchr(two, two[to], to + 1);
        size_t found[] = { strlen(one + from), strnlen(two + to, length),
                           (size_t)memcmp(one + from, two + from, length), (size_t)strcmp(one + to, two + to), strcspn(one + from, "\x11\x22"),
                           forward ? (size_t)(forward - one) : 1, backward ? (size_t)(backward - two) : 2 };
        found[2] = found[2] >> 63, found[3] = found[3] >> 63;
        hash = mix(hash, found, sizeof(found));
    }
    hash = mix(hash, one, sizeof(one));
    printf("strings %016" PRIx64 " %016" PRIx64 "\n", hash, mix(0, two, sizeof(two)));
}

/* Jumps and other contexts */

static ucontext_t main_context, other_context;
static jmp_buf jump;

static int deep(int n)
{
    if (!n) {
        longjmp(jump, 42);
    }
    return deep(n - 1) + n;
}

static void coroutine(void)
{
    long double x = 0.1L;

    for (int i = 0; i < 100; i++) {
        x = x * 3.9L * (1 - x);
        swapcontext(&other_context, &main_context);
    }
    printf("coroutine %La\n", x);
}

static void contexts(void)
{
    static char stack[65536];
    volatile int jumps = 0;

    while (setjmp(jump) != 42 || jumps < 100) {
        jumps++;
        deep(jumps * 10);
    }
    getcontext(&other_context);
    other_context.uc_stack.ss_sp = stack;
    other_context.uc_stack.ss_size = sizeof(stack);
    other_context.uc_link = &main_context;
    makecontext(&other_context, coroutine, 0);
    for (int i = 0; i <= 100; i++) {
        swapcontext(&main_context, &other_context);
    }
    printf("jumps %d\n", jumps);
}

/* Code that changes */

static void changing_code(void)
{
    unsigned char *code = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *at = code + 4096 - 3;                            /* its number lies over the edge of the page */
    static const unsigned char loop[] = { 0x31, 0xc0, 0xff, 0xc0, 0x83, 0xf8, 0x05, 0x75, 0xf9, 0xc3 };
    static const unsigned char self[] = { 0xc7, 0x05, 1, 0, 0, 0, 7, 0, 0, 0, 0xb8, 1, 0, 0, 0, 0xc3 };
    uint64_t sum = 0;

    for (uint32_t i = 0; i < 500 * (uint32_t)factor; i++) {
        at[0] = 0xb8;
        memcpy(at + 1, &i, 4);
        at[5] = 0xc3;
        sum = sum * 31 + ((uint32_t (*)(void))(uintptr_t)at)();
        memcpy(code, loop, sizeof(loop));
        code[6] = (unsigned char)(i % 100 + 1);
        sum = sum * 31 + ((uint32_t (*)(void))(uintptr_t)code)();
        memcpy(code + 64, self, sizeof(self));
        sum = sum * 31 + ((uint32_t (*)(void))(uintptr_t)(code + 64))();
    }
    printf("changing code %016" PRIx64 "\n", sum);
    munmap(code, 8192);
}

/* Threads and processes */

static atomic_long added, swapped, spun;
static atomic_uchar byte_sum;
static atomic_flag spin = ATOMIC_FLAG_INIT;
static long guarded, turns;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static atomic_int turn;
static unsigned __int128 wide;
static __thread long own;

static void add_wide(void)
{
    uint64_t low = (uint64_t)wide, high = (uint64_t)(wide >> 64);
    int done;

    do {
        unsigned __int128 next = ((unsigned __int128)high << 64 | low) + (((unsigned __int128)1 << 64) + 3);
        __asm__ volatile("lock cmpxchg16b %1" : "=@ccz"(done), "+m"(wide), "+a"(low), "+d"(high)
                         : "b"((uint64_t)next), "c"((uint64_t)(next >> 64)) : "memory");
    } while (!done);
}

static void *crew(void *number)
{
    int me = (int)(intptr_t)number;

    for (int i = 0; i < 2000 * factor; i++) {
        atomic_fetch_add(&added, i);
        atomic_fetch_xor(&byte_sum, (unsigned char)i);
        long old = swapped;
        while (!atomic_compare_exchange_weak(&swapped, &old, old + 3)) {
        }
        if (i % 16 == 0) {
            while (atomic_flag_test_and_set(&spin)) {
                sched_yield();
            }
            spun = spun + 1;
            atomic_flag_clear(&spin);
        }
        add_wide();
        pthread_mutex_lock(&mutex);
        guarded += i & me;
        pthread_mutex_unlock(&mutex);
        own += i;
    }
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 4 != me) {
            pthread_cond_wait(&condition, &mutex);
        }
        turns = turns * 5 + me, turn++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    return (void *)own;
}

static void threads(void)
{
    pthread_t thread[4];
    long sum = 0;

    for (intptr_t i = 0; i < 4; i++) {
        pthread_create(&thread[i], NULL, crew, (void *)i);
    }
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(thread[i], &result);
        sum += (long)result;
    }
    printf("threads %ld %ld %ld %d %ld %ld %ld %" PRIu64 " %" PRIu64 "\n", added, swapped, spun, byte_sum, guarded,
           turns, sum, (uint64_t)(wide >> 64), (uint64_t)wide);
}

static void processes(void)
{
    int sum = 0;
    double *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double x = 0.5;

    for (int i = 0; i < 20; i++) {
        int status;
        pid_t child = fork();
        if (!child) {
            shared[i] = sin(x + i) + (double)sqrtl(i);
            _exit(i);
        }
        x += 0.25;
        waitpid(child, &status, 0);
        sum += WEXITSTATUS(status);
    }
    printf("processes %d %016" PRIx64 " %a\n", sum, mix(0, shared, 4096), x);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    factor = argc > 1 ? atoi(argv[1]) : 1;
    long_doubles();
    floating_point();
    vectors();
    loops();
    strings();
    contexts();
    changing_code();
    threads();
    processes();
    return 0;
}
