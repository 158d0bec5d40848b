/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "native-vector.h"

#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

/* Below 2 GiB, so that code names addresses without any register. */
#define SHARED UINT64_C(0x10000000)
#define CODE   UINT64_C(0x10010000)
#define BYTES  UINT64_C(0x10000)
#define FLAGS  UINT64_C(0x8d5)

typedef struct Shared {
    VectorState before, after;
    uint64_t host_rsp, fault_exit;
    int vector;
} Shared;

typedef struct Put { uint8_t *at; } Put;

static const int signals[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS };
static struct sigaction others[G_N_ELEMENTS(signals)];
static void *alternate;

static Shared *shared(void)
{
    return (Shared *)SHARED;
}

static void put(Put *c, const void *bytes, unsigned n)
{
    memcpy(c->at, bytes, n);
    c->at += n;
}
#define PUT(c, ...) put(c, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void put_address(Put *c, const void *address)
{
    uint32_t low = (uint32_t)(uintptr_t)address;

    put(c, &low, sizeof(low));
}

/* Between a register and [address]: 8b loads, 89 stores. */
static void put_move(Put *c, unsigned opcode, unsigned reg, const void *address)
{
    PUT(c, (uint8_t)(0x48 | reg >> 3 << 2), (uint8_t)opcode, (uint8_t)(0x04 | (reg & 7) << 3), 0x25);
    put_address(c, address);
}

static void put_entry(Put *c)
{
    Shared *s = shared();

    PUT(c, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push rbx, rbp, r12 ... r15 */
    put_move(c, 0x89, X86_RSP, &s->host_rsp);
    PUT(c, 0xb8, 7, 0, 0, 0, 0x31, 0xd2, 0x48, 0x0f, 0xae, 0x2c, 0x25); /* mov eax, 7; xor edx, edx; xrstor64 */
    put_address(c, s->before.xsave);
    PUT(c, 0xff, 0x34, 0x25); /* push [rflags]; popfq */
    put_address(c, &s->before.rflags);
    PUT(c, 0x9d);
    for (unsigned i = 0; i < X86_GPRS; i++) {
        put_move(c, 0x8b, i, &s->before.gpr[i]);
    }
}

static void put_exit(Put *c)
{
    Shared *s = shared();

    put_move(c, 0x8b, X86_RSP, &s->host_rsp);
    PUT(c, 0x9c, 0x8f, 0x04, 0x25); /* pushfq; pop [rflags] */
    put_address(c, &s->after.rflags);
    PUT(c, 0xb8, 7, 0, 0, 0, 0x31, 0xd2, 0x48, 0x0f, 0xae, 0x24, 0x25); /* mov eax, 7; xor edx, edx; xsave64 */
    put_address(c, s->after.xsave);
    PUT(c, 0xfc, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3); /* cld; pop r15 ... rbx; ret */
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        if (signals[i] == signal && others[i].sa_flags & SA_SIGINFO) {
            others[i].sa_sigaction(signal, info, context); /* the software CPU's own */
        } else if (signals[i] == signal) {
            sigaction(signal, &others[i], NULL); /* and again */
        }
    }
}

static void handle(int signal, siginfo_t *info, void *context)
{
    static const int order[] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;

    if ((uint64_t)r[REG_RIP] - CODE >= BYTES) {
        pass_on(signal, info, context);
        return;
    }
    for (unsigned i = 0; i < X86_GPRS; i++) {
        shared()->after.gpr[i] = (uint64_t)r[order[i]];
    }
    shared()->vector = (int)r[REG_TRAPNO];
    r[REG_RIP] = (greg_t)shared()->fault_exit;
}

static void map(uint64_t address, uint64_t size, int protection)
{
    void *at = mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    g_assert(at == (void *)address);
}

static void unmap(void)
{
    munmap((void *)SHARED, BYTES);
    munmap((void *)CODE, BYTES);
    munmap((void *)NATIVE_DATA, PAGE_SIZE);
}

void native_vector_begin(void)
{
    struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    stack_t stack = { .ss_size = 1 << 16 };

    unmap(); /* a test that failed has not */
    map(SHARED, BYTES, PROT_READ | PROT_WRITE);
    map(CODE, BYTES, PROT_READ | PROT_WRITE | PROT_EXEC);
    map(NATIVE_DATA, PAGE_SIZE, PROT_READ | PROT_WRITE);
    alternate = stack.ss_sp = g_malloc(stack.ss_size);
    sigaltstack(&stack, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaction(signals[i], &action, &others[i]);
    }
}

void native_vector_end(void)
{
    stack_t stack = { .ss_flags = SS_DISABLE };

    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaction(signals[i], &others[i], NULL);
    }
    sigaltstack(&stack, NULL);
    g_free(alternate);
    unmap();
}

uint32_t native_mxcsr_mask(void)
{
    _Alignas(16) uint8_t image[512] = { 0 };
    uint32_t mask;

    __asm__ volatile("fxsave64 %0" : "=m"(image));
    memcpy(&mask, image + 28, sizeof(mask));
    return mask ? mask : 0xffbf; /* SDM 1-11.6.6 */
}

bool native_has_x87_selectors(void)
{
    uint32_t env[7] = { 0x37f, 0, 0xffff, 0, 0x1234, 0, 0x1234 };

    __asm__ volatile("fldenv %0\n\tfnstenv %0\n\tfninit" : "+m"(env));
    return env[4] & 0xffff || env[6] & 0xffff;
}

int native_vector_run(const uint8_t *bytes, unsigned n, const VectorState *before, VectorState *ret_after)
{
    const uint32_t mxcsr = 0x1f80;
    Shared *s = shared();
    Put c = { (uint8_t *)CODE };

    s->before = s->after = *before;
    s->before.rflags = (before->rflags & FLAGS) | 0x202;
    s->vector = -1;
    put_entry(&c);
    put(&c, bytes, n);
    for (unsigned i = 0; i < X86_GPRS; i++) {
        put_move(&c, 0x89, i, &s->after.gpr[i]);
    }
    put_exit(&c);
    s->fault_exit = (uintptr_t)c.at;
    put_exit(&c);
    ((void (*)(void))(uintptr_t)CODE)();
    __asm__ volatile("fninit\n\tldmxcsr %0\n\tvzeroupper" : : "m"(mxcsr));
    *ret_after = s->after;
    ret_after->rflags &= FLAGS;
    return s->vector;
}
