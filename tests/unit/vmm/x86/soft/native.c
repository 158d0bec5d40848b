/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "native.h"

#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

/* Everything that the code leaves to its end is at a fixed address, since no register is free there. */
#define CONTEXT 0x80000
#define BRIDGE  0x81000 /* 32-bit code leaves through here */
#define USER_CS 0x33    /* Linux' 64-bit and 32-bit code segments */
#define USER32_CS 0x23
#define FLAGS_MASK UINT64_C(0xcd5)

struct __attribute__((packed)) Far32 { uint32_t offset; uint16_t selector; };
typedef struct Context {
    uint64_t gpr[16], rflags, host_stack, target, exit;
    struct Far32 far_target;
    uint8_t vector, running;
    uint64_t fault_rip;
} Context;
_Static_assert(offsetof(Context, far_target) == 0xa0, "the assembly below knows");
#define context ((volatile Context *)CONTEXT)

enum { SIGNALS = 5 };
static const int signals[SIGNALS] = { SIGFPE, SIGSEGV, SIGILL, SIGBUS, SIGTRAP };
/* What other code of this process has installed. */
static struct sigaction others[SIGNALS];
static void *alternate;

void native_enter(void);
void native_enter_compatibility(void);
void native_exit(void);
void native_fault_exit(void);

#define REGISTERS(X)                                                                                              \
    X("0x80000", "rax") X("0x80008", "rcx") X("0x80010", "rdx") X("0x80018", "rbx") X("0x80028", "rbp")           \
    X("0x80030", "rsi") X("0x80038", "rdi") X("0x80040", "r8") X("0x80048", "r9") X("0x80050", "r10")             \
    X("0x80058", "r11") X("0x80060", "r12") X("0x80068", "r13") X("0x80070", "r14") X("0x80078", "r15")           \
    X("0x80020", "rsp")
#define LOAD(at, r) "mov " at ", %" r "\n\t"
#define SAVE(at, r) "mov %" r ", " at "\n\t"
#define PUSH "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\tmov %rsp, 0x80088\n\t" \
             "push 0x80080\n\tpopfq\n\t"
#define POP  "mov 0x80088, %rsp\n\tcld\n\tpop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\tret\n"
__asm__(".text\n"
        "native_enter:\n\t" PUSH REGISTERS(LOAD) "jmp *0x80090\n"
        /* 64-bit processes have null selectors in DS and ES. */
        "native_enter_compatibility:\n\tmov $0x2b, %eax\n\tmov %eax, %ds\n\tmov %eax, %es\n\t"
        PUSH REGISTERS(LOAD) "ljmp *0x800a0\n"
        "native_exit:\n\t" REGISTERS(SAVE) "mov 0x80088, %rsp\n\tpushfq\n\tpop 0x80080\n"
        "native_fault_exit:\n\t" POP);

static void handle(int signal, siginfo_t *info, void *data)
{
    static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                   REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    greg_t *gregs = ((ucontext_t *)data)->uc_mcontext.gregs;

    if (!context->running) {
        for (unsigned i = 0; i < SIGNALS; i++) {
            if (signals[i] == signal) {
                sigaction(signal, &others[i], NULL); /* and again */
            }
        }
        return;
    }
    for (unsigned i = 0; i < 16; i++) {
        context->gpr[i] = (uint64_t)gregs[order[i]];
    }
    context->rflags = (uint64_t)gregs[REG_EFL];
    context->fault_rip = (uint64_t)gregs[REG_RIP];
    context->vector = (uint8_t)gregs[REG_TRAPNO];
    gregs[REG_RIP] = (greg_t)(uintptr_t)native_fault_exit;
    gregs[REG_CSGSFS] = (gregs[REG_CSGSFS] & ~(greg_t)0xffff) | USER_CS;
}

void *native_map(uint64_t address, uint64_t size, bool writable)
{
    void *at = mmap((void *)(uintptr_t)address, size, PROT_READ | PROT_WRITE | PROT_EXEC,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    g_assert(at == (void *)(uintptr_t)address);
    if (!writable) {
        g_assert(mprotect(at, size, PROT_READ) == 0);
    }
    return at;
}

void native_unmap(uint64_t address, uint64_t size)
{
    munmap((void *)(uintptr_t)address, size);
}

/* JMP [address] */
static void jump_through(uint8_t *to, uint32_t address)
{
    const uint8_t code[] = { 0xff, 0x24, 0x25 };

    memcpy(to, code, sizeof(code));
    memcpy(to + sizeof(code), &address, sizeof(address));
}

void native_begin(void)
{
    struct sigaction action = { .sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    stack_t stack = { .ss_size = 1 << 16 };

    /* A test that failed has not ended it. */
    native_unmap(BRIDGE, 0x1000);
    native_unmap(CONTEXT, 0x1000);
    native_map(CONTEXT, 0x1000, true);
    jump_through(native_map(BRIDGE, 0x1000, true), CONTEXT + offsetof(Context, exit));
    context->exit = (uintptr_t)native_exit;
    alternate = stack.ss_sp = g_malloc(stack.ss_size);
    sigaltstack(&stack, NULL);
    for (unsigned i = 0; i < SIGNALS; i++) {
        sigaction(signals[i], &action, &others[i]);
    }
}

void native_end(void)
{
    stack_t stack = { .ss_flags = SS_DISABLE };

    for (unsigned i = 0; i < SIGNALS; i++) {
        sigaction(signals[i], &others[i], NULL);
    }
    sigaltstack(&stack, NULL);
    g_free(alternate);
    native_unmap(BRIDGE, 0x1000);
    native_unmap(CONTEXT, 0x1000);
}

void native_exit_code(uint8_t *to, bool compatibility)
{
    const uint32_t offset = BRIDGE;
    const uint16_t selector = USER_CS;

    if (!compatibility) {
        jump_through(to, CONTEXT + offsetof(Context, exit));
        return;
    }
    to[0] = 0xea;
    memcpy(to + 1, &offset, sizeof(offset));
    memcpy(to + 5, &selector, sizeof(selector));
}

void native_run(NativeState *state, bool compatibility)
{
    for (unsigned i = 0; i < 16; i++) {
        context->gpr[i] = state->gpr[i];
    }
    context->rflags = (state->rflags & FLAGS_MASK) | 0x202;
    context->target = state->rip;
    context->far_target.offset = (uint32_t)state->rip;
    context->far_target.selector = USER32_CS;
    context->vector = 0xff;
    context->running = 1;
    if (compatibility) {
        native_enter_compatibility();
    } else {
        native_enter();
    }
    context->running = 0;
    for (unsigned i = 0; i < 16; i++) {
        state->gpr[i] = context->gpr[i];
    }
    state->rflags = context->rflags;
    state->vector = context->vector == 0xff ? -1 : context->vector;
    if (state->vector >= 0) {
        state->rip = context->fault_rip;
    }
}

bool native_has_compatibility(void)
{
    const uint64_t at = 0x90000;
    NativeState state = { .rip = at };
    uint8_t *code = native_map(at, 0x1000, true);

    code[0] = 0x40; /* INC EAX, or REX */
    native_exit_code(code + 1, true);
    native_run(&state, true);
    native_unmap(at, 0x1000);
    return state.vector < 0 && state.gpr[0] == 1;
}
