/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What programs are told of their faults: signal, code, address, trap, error code; and single steps.
 */
#define _GNU_SOURCE
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static sigjmp_buf back;
static volatile int steps;
static const char steps_source[8];

static void caught(int number, siginfo_t *info, void *context)
{
    /* The kernel leaves AC as it was, and the C library is not made for it. */
    __asm__ volatile("pushfq; andl $~0x40000, (%%rsp); popfq" ::: "cc", "memory");
    const long long *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    int at_instruction = (long long)info->si_addr == registers[REG_RIP];

    printf(" signal %d code %d address %s trap %lld error %llx flags %llx\n", number, info->si_code,
           at_instruction ? "is rip" : info->si_addr == NULL ? "0" : "data", registers[REG_TRAPNO],
           registers[REG_ERR], registers[REG_EFL] & 0x44000);
    if (!at_instruction && info->si_addr) {
        printf(" offset %llx cr2 %d\n", (unsigned long long)info->si_addr & 0xfff,
               (long long)info->si_addr == registers[REG_CR2]);
    }
    siglongjmp(back, 1);
}

static void stepped(int number, siginfo_t *info, void *context)
{
    steps++;
}

#define TRY(name, ...)                  \
    do {                                \
        printf("%s\n", name);           \
        if (!sigsetjmp(back, 1)) {      \
            __VA_ARGS__;                \
            printf(" nothing\n");       \
        }                               \
    } while (0)

static void handle(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

    sigaction(number, &action, NULL);
}

static void arithmetic_signals(void)
{
    volatile int zero = 0, least = INT32_MIN, minus = -1, r = 0;
    volatile long long_zero = 0;
    volatile double dz = 0, one = 1, big = 1e308, tiny = 1e-308;
    volatile long double lz = 0, lone = 1;

    (void)r;
    TRY("divide by zero", r = 5 / zero);
    TRY("remainder by zero", r = (int)(5L % long_zero));
    TRY("quotient too large", r = least / minus);
    feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
    TRY("SSE divide", one = one / dz);
    feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
    TRY("SSE invalid", one = dz / dz);
    feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW);
    TRY("SSE overflow", one = big * big);
    fedisableexcept(FE_ALL_EXCEPT);
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_UNDERFLOW);
    TRY("SSE underflow", one = tiny * tiny);
    fedisableexcept(FE_ALL_EXCEPT);
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_DIVBYZERO);
    TRY("x87 divide", lone = lone / lz; __asm__ volatile("fwait"));
    fedisableexcept(FE_ALL_EXCEPT);
    feclearexcept(FE_ALL_EXCEPT);
}

static void memory_signals(void)
{
    char *page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile char *p = page;
    static const unsigned char ret = 0xc3;

    page[4096] = 1;
    memcpy(page + 8192, &ret, 1);
    mprotect(page + 4096, 4096, PROT_READ);
    munmap(page, 4096);
    TRY("read unmapped", (void)p[0x123]);
    TRY("write unmapped", p[0xfff] = 1);
    TRY("write read-only", p[4096 + 0x45] = 1);
    TRY("read over the edge", (void)*(volatile uint64_t *)(p + 4096 - 3));
    TRY("write over the edge", *(volatile uint64_t *)(p + 8192 - 3) = 1);
    TRY("locked, read-only", __atomic_fetch_add((int *)(page + 4096 + 8), 1, __ATOMIC_SEQ_CST));
    TRY("string, read-only", __asm__ volatile("rep stosb" :: "D"(page + 4096), "c"(9), "a"(0) : "memory"));
    TRY("call to data", ((void (*)(void))(uintptr_t)(page + 8192))());
    TRY("read not canonical", (void)*(volatile char *)0x8000000000000000);
    TRY("jump not canonical", __asm__ volatile("push %0; ret" :: "r"(0x1000000000000000)));
    TRY("kernel's memory", (void)*(volatile char *)0xffffffff81000000);
    munmap(page + 4096, 8192);
}

static void other_signals(void)
{
    long answer = 20;                   /* first the number of getpid */

    TRY("ud2", __asm__ volatile("ud2"));
    TRY("int3", __asm__ volatile("int3"));
    TRY("int 0x30", __asm__ volatile("int $0x30"));
    TRY("hlt", __asm__ volatile("hlt"));
    TRY("cli", __asm__ volatile("cli"));
    TRY("in", __asm__ volatile("in $0x80, %%al" ::: "eax"));
    TRY("mov to cr0", __asm__ volatile("mov %0, %%cr0" :: "r"(0L)));
    TRY("rdmsr", __asm__ volatile("rdmsr" :: "c"(0x10) : "eax", "edx"));
    TRY("movaps", __asm__ volatile("movaps 1(%%rsp), %%xmm0" ::: "xmm0"));
    TRY("ldmxcsr", { unsigned m = 0xffff0000; __asm__ volatile("ldmxcsr %0" :: "m"(m)); });
    TRY("alignment", __asm__ volatile("pushfq; orl $0x40000, (%%rsp); popfq; mov 1(%%rsp), %%eax"
                                      ::: "eax", "cc", "memory"));
    __asm__ volatile("pushfq; andl $~0x40000, (%%rsp); popfq" ::: "cc", "memory");
    TRY("mov to ss", __asm__ volatile("mov %0, %%ss" :: "r"(0x33)));
    TRY("int 0x80", __asm__ volatile("int $0x80" : "+a"(answer) :: "memory"); printf(" %d", answer == getpid()));
    handle(SIGTRAP, stepped);
    steps = 0;
    __asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; mov $5, %%ecx; 1: nop; loop 1b; mov $3, %%ecx; rep lodsb;"
                     "pushfq; andl $~0x100, (%%rsp); popfq"
                     :: "S"(steps_source) : "rcx", "rax", "cc", "memory");
    printf("steps %d\n", steps);
}

int main(void)
{
    static const int numbers[] = { SIGFPE, SIGSEGV, SIGBUS, SIGILL, SIGTRAP };

    for (unsigned i = 0; i < COUNT(numbers); i++) {
        handle(numbers[i], caught);
    }
    arithmetic_signals();
    memory_signals();
    other_signals();
    return 0;
}
