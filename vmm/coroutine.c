/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Coroutines: see vmm/coroutine.h for the contract; what they wait for is in coroutine-wait.c.
 *
 * A switch saves what the System V x86-64 ABI lets a callee keep (rbx, rbp,
 * r12-r15, the control words of SSE and x87) on the old stack and takes the same
 * off the new one.  Stacks are mapped with a guard page below and kept in a pool
 * of the thread; all state here is the thread's.
 */
#include "vmm/coroutine.h"

#include <glib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/coroutine-internal.h"
#include "vmm/locks.h"
#include "vmm/loop-internal.h"

#define STACK_BYTES (256 * 1024) /* address space: pages come as they are touched */
#define GUARD_BYTES 4096
#define POOL_MAX    64   /* idle stacks a thread keeps */
#define LIVE_MAX    4096 /* a thread's coroutines; more wait for one to end */

typedef struct Pending {
    CoroutineFn fn;
    void *opaque;
} Pending;

/* A thread's. */
typedef struct Pool {
    Coroutine *idle;
    unsigned n_idle, live;
    GQueue pending; /* Pending: beyond LIVE_MAX */
    LoopBatch start_pending;
} Pool;

static __thread Coroutine *current;
static __thread Pool *pool;

/* ---- sanitizers ---- */

#if defined(__has_feature)
#define HAS_FEATURE(F) __has_feature(F)
#else
#define HAS_FEATURE(F) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

static void asan_leave(void **save, const void *bottom, size_t size)
{
    __sanitizer_start_switch_fiber(save, bottom, size);
}

static void asan_arrive(void *saved, const void **ret_bottom, size_t *ret_size)
{
    __sanitizer_finish_switch_fiber(saved, ret_bottom, ret_size);
}

static void asan_forget(void *stack)
{
    ASAN_UNPOISON_MEMORY_REGION((uint8_t *)stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
}
#else
static void asan_leave(void **save, const void *bottom, size_t size)
{
}

static void asan_arrive(void *saved, const void **ret_bottom, size_t *ret_size)
{
}

static void asan_forget(void *stack)
{
}
#endif

#if defined(__SANITIZE_THREAD__) || HAS_FEATURE(thread_sanitizer)
#include <sanitizer/tsan_interface.h>

static void *tsan_new(void)
{
    return __tsan_create_fiber(0);
}

static void tsan_free(void *fiber)
{
    __tsan_destroy_fiber(fiber);
}

static void *tsan_self(void)
{
    return __tsan_get_current_fiber();
}

static void tsan_switch(void *fiber)
{
    __tsan_switch_to_fiber(fiber, 0);
}
#else
static void *tsan_new(void)
{
    return NULL;
}

static void tsan_free(void *fiber)
{
}

static void *tsan_self(void)
{
    return NULL;
}

static void tsan_switch(void *fiber)
{
}
#endif

/* ---- the switch ---- */

/* Saves the caller's context on its stack, its stack pointer in *save, and continues at load. */
void coroutine_switch(void **save, void *load) __attribute__((visibility("hidden")));
__asm__(".text\n"
        ".p2align 4\n"
        ".globl coroutine_switch\n"
        ".hidden coroutine_switch\n"
        ".type coroutine_switch, @function\n"
        "coroutine_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    subq $8, %rsp\n"
        "    stmxcsr (%rsp)\n"
        "    fnstcw 4(%rsp)\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    ldmxcsr (%rsp)\n"
        "    fldcw 4(%rsp)\n"
        "    addq $8, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size coroutine_switch, . - coroutine_switch\n");

/* What coroutine_switch() takes off a stack, lowest address first. */
typedef struct Frame {
    uint32_t mxcsr;
    uint16_t fpu_control, unused;
    uint64_t r15, r14, r13, r12, rbx, rbp;
    void (*entry)(void);
    uint64_t caller; /* 0: backtraces end here */
} Frame;

static void leave(Coroutine *co)
{
    asan_leave(co->finished ? NULL : &co->notes.fake_stack, co->notes.caller_bottom, co->notes.caller_size);
    tsan_switch(co->notes.caller_fiber);
    coroutine_switch(&co->sp, co->caller_sp);
}

static void arrive(Coroutine *co)
{
    asan_arrive(co->notes.fake_stack, &co->notes.caller_bottom, &co->notes.caller_size);
}

static void coroutine_main(void)
{
    Coroutine *co = current;

    arrive(co);
    co->fn(co->opaque);
    co->finished = true;
    leave(co);
    g_assert_not_reached();
}

/* The ABI wants rsp + 8 to be a multiple of 16 at a function's entry: rsp is then at `caller`. */
static void prepare_stack(Coroutine *co)
{
    Frame *frame = (Frame *)(co->stack + STACK_BYTES) - 1;

    G_STATIC_ASSERT(STACK_BYTES % 16 == 0 && sizeof(Frame) - offsetof(Frame, caller) == 8);
    *frame = (Frame) { .mxcsr = 0x1f80, .fpu_control = 0x37f, .entry = coroutine_main };
    co->sp = frame;
}

/* ---- stacks ---- */

static void coroutine_free(Coroutine *co)
{
    asan_forget(co->stack);
    munmap(co->stack, STACK_BYTES);
    tsan_free(co->notes.fiber);
    g_free(co);
}

static void pool_free(gpointer data)
{
    Pool *p = data;

    while (p->idle) {
        Coroutine *co = p->idle;

        p->idle = co->next;
        coroutine_free(co);
    }
    g_free(p);
    pool = NULL;
}

static GPrivate pool_owner = G_PRIVATE_INIT(pool_free);

static void start_pending(void *opaque);

static Pool *own_pool(void)
{
    if (!pool) {
        pool = g_new0(Pool, 1);
        pool->start_pending = (LoopBatch) { .fn = start_pending };
        g_private_set(&pool_owner, pool);
    }
    return pool;
}

/* NULL: no memory. */
static Coroutine *coroutine_new(void)
{
    Coroutine *co;
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (stack == MAP_FAILED) {
        return NULL;
    }
    if (mprotect(stack, GUARD_BYTES, PROT_NONE) < 0) {
        munmap(stack, STACK_BYTES);
        return NULL;
    }
    co = g_new0(Coroutine, 1);
    co->stack = stack;
    co->notes.fiber = tsan_new();
    return co;
}

static Coroutine *take(Pool *p)
{
    Coroutine *co = p->idle;

    if (!co) {
        return coroutine_new();
    }
    p->idle = co->next;
    p->n_idle--;
    return co;
}

static void give_back(Pool *p, Coroutine *co)
{
    p->live--;
    if (p->n_idle < POOL_MAX) {
        co->next = p->idle;
        p->idle = co;
        p->n_idle++;
    } else {
        coroutine_free(co);
    }
    if (p->pending.length && loop_current()) {
        loop_batch(loop_current(), &p->start_pending);
    }
}

/* ---- running ---- */

/* Runs it until it yields or ends. */
static void enter(void *opaque)
{
    Coroutine *co = opaque;
    void *fake_stack = NULL;

    co->caller = current;
    current = co;
    co->notes.caller_fiber = tsan_self();
    asan_leave(&fake_stack, co->stack + GUARD_BYTES, STACK_BYTES - GUARD_BYTES);
    tsan_switch(co->notes.fiber);
    coroutine_switch(&co->caller_sp, co->sp);
    asan_arrive(fake_stack, NULL, NULL);
    current = co->caller;
    if (co->finished) {
        give_back(pool, co);
    }
}

/* False: no stack to be had now, but one will be given back. */
static bool try_start(Pool *p, CoroutineFn fn, void *opaque)
{
    Coroutine *co = p->live < LIVE_MAX ? take(p) : NULL;

    if (!co) {
        if (!p->live) {
            g_error("no memory for the stack of a coroutine");
        }
        return false;
    }
    p->live++;
    co->fn = fn;
    co->opaque = opaque;
    co->loop = loop_current();
    co->batch = (LoopBatch) { .fn = enter, .opaque = co };
    co->finished = false;
    co->notes.fake_stack = NULL;
    prepare_stack(co);
    enter(co);
    return true;
}

static void start_pending(void *opaque)
{
    Pending *next;

    while ((next = g_queue_peek_head(&pool->pending)) && try_start(pool, next->fn, next->opaque)) {
        g_free(g_queue_pop_head(&pool->pending));
    }
}

void coroutine_start(CoroutineFn fn, void *opaque)
{
    Pool *p = own_pool();

    lock_assert_none_held();
    if (p->pending.length || !try_start(p, fn, opaque)) {
        Pending *late = g_new(Pending, 1);

        *late = (Pending) { fn, opaque };
        g_queue_push_tail(&p->pending, late);
    }
}

Coroutine *coroutine_self(void)
{
    return current;
}

bool coroutine_running(void)
{
    return current != NULL;
}

void coroutine_yield(void)
{
    Coroutine *co = current;

    g_assert(co);
    lock_assert_none_held();
    leave(co);
    arrive(co);
}

void coroutine_wake(Coroutine *co)
{
    if (co->loop != loop_current()) {
        loop_post(co->loop, enter, co);
    } else if (current && co->loop) {
        loop_batch(co->loop, &co->batch);
    } else {
        enter(co);
    }
}
