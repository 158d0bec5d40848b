/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's side: a child process that runs cases natively.
 *
 * The child lives in one signal handler.  Each case ends in a signal (INT3 at the latest):
 * the handler saves the interrupted context as the result, puts memory and the next case's
 * registers into place of it, and returns into the next case.  So a case costs one signal,
 * and every register, the vector state and the flags come and go through the kernel's
 * signal frame.
 *
 * While a case's registers are loaded nothing of the C library's may be used: FS, which leads to
 * its thread-local storage, is the case's.  Only futex and sigreturn are allowed by
 * seccomp, should a case get astray.
 */
#include "diff.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "vmm/timer.h"

enum { IDLE, GO };
#define STACK_BYTES (256u << 10)
#define HUNG_MS     60
#define TICK_US     20000

typedef struct Shared {
    int state;                /* futex: the parent makes it GO, the child IDLE */
    unsigned count, current;  /* current: UINT32_MAX between batches */
    bool fsgsbase;
    uint8_t fill[FILLS][DATA_BYTES];
    Case cases[BATCH];
    Result results[BATCH];
} Shared;

struct Native {
    Shared *shared;
    int memory; /* memfd: code, then data pages */
    pid_t child;
    GArray *mapped; /* of the child; a new one forks from the same parent, and has the same */
};

/* ---- the child ---- */

typedef struct Segments { uint16_t ds, es, fs, gs; uint64_t fs_base, gs_base; } Segments;

/* A signal handler has no other way to its data. */
static struct Child {
    Shared *shared;
    uint8_t *code;            /* writable view of the code pages */
    unsigned code_offset, code_length; /* what is there */
    uint64_t fs_base;         /* of the C library */
    unsigned ticked;          /* the case at the last tick */
    unsigned ticks;
    bool started;             /* the present signal ends a case */
} child;

static bool fsgsbase(void)
{
    return getauxval(AT_HWCAP2) & 2;
}

bool native_has_fsgsbase(void)
{
    return fsgsbase();
}

/* Asked for each instruction; CPUID would leave a guest each time. */
bool native_is_intel(void)
{
    static unsigned vendor;
    unsigned eax, ecx, edx;

    if (!vendor) {
        __cpuid(0, eax, vendor, ecx, edx);
    }
    return vendor == signature_INTEL_ebx;
}

bool native_has_serialize(void)
{
    unsigned eax, ebx, ecx, edx;

    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && edx & bit_SERIALIZE;
}

static inline void copy(void *to, const void *from, uint64_t n)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

static inline void fill(void *to, uint8_t value, uint64_t n)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
}

static inline long raw_futex(int *word, int op, int value)
{
    register long r10 __asm__("r10") = 0;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_futex), "D"(word), "S"(op), "d"(value), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static inline void read_segments(Segments *s)
{
    __asm__ volatile("mov %%ds, %0" : "=r"(s->ds));
    __asm__ volatile("mov %%es, %0" : "=r"(s->es));
    __asm__ volatile("mov %%fs, %0" : "=r"(s->fs));
    __asm__ volatile("mov %%gs, %0" : "=r"(s->gs));
    if (child.shared->fsgsbase) {
        __asm__ volatile("rdfsbase %0" : "=r"(s->fs_base));
        __asm__ volatile("rdgsbase %0" : "=r"(s->gs_base));
    }
}

static inline void write_segments(const Segments *s)
{
    __asm__ volatile("mov %0, %%ds" : : "r"(s->ds));
    __asm__ volatile("mov %0, %%es" : : "r"(s->es));
    if (child.shared->fsgsbase) {
        __asm__ volatile("mov %0, %%fs" : : "r"(s->fs));
        __asm__ volatile("mov %0, %%gs" : : "r"(s->gs));
        __asm__ volatile("wrfsbase %0" : : "r"(s->fs_base));
        __asm__ volatile("wrgsbase %0" : : "r"(s->gs_base));
    }
}

static const int gpr_index[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                   REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

/* The XSAVE image of a signal frame, SDM 1-13.4. */
static uint64_t *frame_features(uint8_t *frame)
{
    return (uint64_t *)(frame + 512);
}

static void save_vectors(State *s, uint8_t *frame)
{
    uint64_t features = *frame_features(frame);

    copy(s->fx, frame, 416);
    if (!(features & 1)) {
        fill(s->fx, 0, 24);
        fill(s->fx + 32, 0, 128);
        s->fx[0] = 0x7f;
        s->fx[1] = 0x03;
    }
    if (!(features & 2)) {
        fill(s->fx + 160, 0, 256);
    }
    copy(s->ymm_high, frame + 576, 256);
    if (!(features & 4)) {
        fill(s->ymm_high, 0, 256);
    }
}

static void load_vectors(const State *s, uint8_t *frame)
{
    uint32_t mask = *(uint32_t *)(frame + 28);

    copy(frame, s->fx, 416);
    *(uint32_t *)(frame + 28) = mask;
    copy(frame + 576, s->ymm_high, 256);
    *frame_features(frame) |= 7;
}

static void save_data(uint8_t *to)
{
    for (unsigned page = 0; page < DATA_PAGES; page++) {
        if (page_kinds[page] != PAGE_NONE) {
            copy(to, (const uint8_t *)DATA_BASE + page * PAGE, PAGE);
            to += PAGE;
        }
    }
}

static void load_data(const uint8_t *from)
{
    for (unsigned page = 0; page < DATA_PAGES; page++) {
        if (page_kinds[page] == PAGE_RW) {
            copy((uint8_t *)DATA_BASE + page * PAGE, from, PAGE);
        }
        from += page_kinds[page] == PAGE_NONE ? 0 : PAGE;
    }
}

static void save_result(ucontext_t *uc, const Segments *segments, bool hung)
{
    const greg_t *g = uc->uc_mcontext.gregs;
    Result *r = &child.shared->results[child.shared->current];
    State *s = &r->out;

    r->vector = hung ? VECTOR_HUNG : (uint32_t)g[REG_TRAPNO];
    r->error = (uint32_t)g[REG_ERR];
    r->address = r->vector == 14 ? (uint64_t)g[REG_CR2] : 0;
    for (unsigned i = 0; i < 16; i++) {
        s->gpr[i] = (uint64_t)g[gpr_index[i]];
    }
    s->rip = (uint64_t)g[REG_RIP];
    s->rflags = (uint64_t)g[REG_EFL];
    s->cs = (uint16_t)g[REG_CSGSFS];
    s->ss = (uint16_t)(g[REG_CSGSFS] >> 48);
    s->ds = segments->ds;
    s->es = segments->es;
    s->fs = segments->fs;
    s->gs = segments->gs;
    s->fs_base = segments->fs_base;
    s->gs_base = segments->gs_base;
    save_vectors(s, (uint8_t *)uc->uc_mcontext.fpregs);
    save_data(r->data);
}

static void load_case(ucontext_t *uc, Segments *segments)
{
    const Case *c = &child.shared->cases[child.shared->current];
    greg_t *g = uc->uc_mcontext.gregs;
    const State *s = &c->in;

    fill(child.code + child.code_offset, 0xcc, child.code_length);
    copy(child.code + c->code_offset, c->code, c->code_length);
    child.code_offset = c->code_offset;
    child.code_length = c->code_length;
    load_data(child.shared->fill[c->fill]);
    for (unsigned i = 0; i < 16; i++) {
        g[gpr_index[i]] = (greg_t)s->gpr[i];
    }
    g[REG_RIP] = (greg_t)s->rip;
    g[REG_EFL] = (greg_t)s->rflags;
    g[REG_CSGSFS] = (greg_t)((uint64_t)s->cs | (uint64_t)s->ss << 48);
    uc->uc_flags |= 2 | 4; /* UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS */
    *segments = (Segments){ s->ds, s->es, s->fs, s->gs, s->fs_base, s->gs_base };
    load_vectors(s, (uint8_t *)uc->uc_mcontext.fpregs);
}

static void next_case(void)
{
    Shared *shared = child.shared;

    if (shared->current + 1 < shared->count) {
        shared->current++;
        return;
    }
    shared->current = UINT32_MAX;
    __atomic_store_n(&shared->state, IDLE, __ATOMIC_SEQ_CST);
    raw_futex(&shared->state, FUTEX_WAKE, 1);
    while (__atomic_load_n(&shared->state, __ATOMIC_SEQ_CST) != GO) {
        raw_futex(&shared->state, FUTEX_WAIT, IDLE);
    }
    shared->current = 0;
}

/* Whether the present case has run for long; a tick otherwise disturbs nothing. */
static bool is_hung(void)
{
    if (child.ticked != child.shared->current) {
        child.ticked = child.shared->current;
        child.ticks = 0;
    }
    return ++child.ticks > HUNG_MS * 1000 / TICK_US;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    Segments segments = { 0 };
    uint64_t keep = 0;
    bool hung = false;

    /* AC, NT and ID may be the case's. */
    __asm__ volatile("pushfq; andq $~0x244000, (%%rsp); popfq" : : : "memory", "cc");
    read_segments(&segments);
    if (child.shared->fsgsbase) {
        __asm__ volatile("wrfsbase %0" : : "r"(child.fs_base));
    }
    if (number == SIGVTALRM) {
        hung = is_hung();
        keep = hung ? 0 : (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] & 0x204000;
    }
    if (number != SIGVTALRM || hung) {
        if (child.started) {
            save_result(context, &segments, hung);
        }
        child.started = true;
        next_case();
        load_case(context, &segments);
        child.ticked = UINT32_MAX;
    }
    write_segments(&segments);
    /* A case that goes on: NT and ID do not come back from the signal frame, but from here. */
    __asm__ volatile("pushfq; orq %0, (%%rsp); popfq" : : "r"(keep) : "memory", "cc");
}

static void allow_only_what_is_needed(void)
{
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { G_N_ELEMENTS(filter), filter };

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

static void *map(uint64_t at, uint64_t size, int protection, int fd, uint64_t offset)
{
    void *p = mmap((void *)at, size, protection, MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0) | MAP_POPULATE, fd,
                   (off_t)offset);

    if (p == MAP_FAILED) {
        perror("mmap");
        _exit(1);
    }
    return p;
}

static void map_memory(int fd)
{
    static const int protection[] = { [PAGE_RO] = PROT_READ, [PAGE_RW] = PROT_READ | PROT_WRITE };
    uint64_t offset = CODE_SIZE;

    child.code = map(0, CODE_SIZE, PROT_READ | PROT_WRITE, fd, 0);
    map(CODE_BASE, CODE_SIZE, PROT_READ | PROT_EXEC, fd, 0);
    memset(child.code, 0xcc, CODE_SIZE);
    for (unsigned page = 0; page < DATA_PAGES; page++) {
        if (page_kinds[page] != PAGE_NONE) {
            map(DATA_BASE + page * PAGE, PAGE, protection[page_kinds[page]], fd, offset);
            offset += PAGE;
        }
    }
}

static void make_ldt(void)
{
    for (unsigned i = 0; i < LDT_SEGMENTS; i++) {
        const Segment *s = &ldt[i];
        struct user_desc d = { .entry_number = i, .base_addr = s->base, .limit = s->limit, .seg_32bit = s->wide,
                               .contents = s->code ? MODIFY_LDT_CONTENTS_CODE :
                                           s->down ? MODIFY_LDT_CONTENTS_STACK : MODIFY_LDT_CONTENTS_DATA,
                               .read_exec_only = s->readonly, .seg_not_present = s->absent, .useable = true };

        int error = (int)syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)); /* not by way of errno */

        if (error) {
            fprintf(stderr, "modify_ldt, entry %u: %s\n", i, strerror(-error));
            _exit(1);
        }
    }
}

/* Linux says in the limit of a segment (__CPUNODE_SEG) on which processor it is: the child stays on one. */
static unsigned processor, node;

unsigned native_processor(void)
{
    return node << 12 | processor;
}

static void stay_on_processor(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof(set), &set)) {
        g_error("cannot stay on processor %u: %s", processor, strerror(errno));
    }
}

static _Noreturn void child_main(Native *n)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGVTALRM };
    const struct itimerval timer = { { 0, TICK_US }, { 0, TICK_US } };
    stack_t stack = { .ss_size = STACK_BYTES };
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    stay_on_processor();
    child = (struct Child){ .shared = n->shared, .ticked = UINT32_MAX };
    n->shared->fsgsbase = fsgsbase();
    map_memory(n->memory);
    make_ldt();
    stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&stack, NULL);
    sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        sigaction(signals[i], &action, NULL);
    }
    if (n->shared->fsgsbase) {
        __asm__ volatile("rdfsbase %0" : "=r"(child.fs_base));
    }
    setitimer(ITIMER_VIRTUAL, &timer, NULL);
    allow_only_what_is_needed();
    __asm__ volatile("int3");
    _exit(1);
}

/* ---- the parent ---- */

static void spawn(Native *n)
{
    n->child = fork();
    if (n->child == 0) {
        child_main(n);
    }
    if (n->child < 0) {
        g_error("fork: %s", strerror(errno));
    }
}

Native *native_new(void)
{
    Native *n = g_new0(Native, 1);
    uint8_t data[PAGE];

    n->shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    n->memory = memfd_create("soft-diff", MFD_CLOEXEC);
    if (n->shared == MAP_FAILED || n->memory < 0 || ftruncate(n->memory, CODE_SIZE + DATA_BYTES)) {
        g_error("memory of the child: %s", strerror(errno));
    }
    for (unsigned i = 0; i < FILLS; i++) {
        memcpy(n->shared->fill[i], data_fill(i), DATA_BYTES);
    }
    for (unsigned i = 0; i < DATA_PRESENT; i++) {
        memcpy(data, data_fill(0) + i * PAGE, PAGE);
        if (pwrite(n->memory, data, PAGE, CODE_SIZE + i * PAGE) != PAGE) {
            g_error("memory of the child: %s", strerror(errno));
        }
    }
    if (getcpu(&processor, &node)) {
        g_error("getcpu: %s", strerror(errno));
    }
    n->shared->current = UINT32_MAX;
    n->shared->state = GO; /* with nothing to do: IDLE when the child is ready */
    spawn(n);
    native_wait(n);
    n->mapped = mapped_read(n->child);
    return n;
}

void native_free(Native *n)
{
    kill(n->child, SIGKILL);
    waitpid(n->child, NULL, 0);
    g_array_unref(n->mapped);
    close(n->memory);
    munmap(n->shared, sizeof(Shared));
    g_free(n);
}

bool native_has_there(const Native *n, uint64_t address)
{
    return mapped_reaches(n->mapped, address);
}

Case *native_case(Native *n, unsigned i)
{
    return &n->shared->cases[i];
}

const Result *native_result(Native *n, unsigned i)
{
    return &n->shared->results[i];
}

void native_start(Native *n, unsigned count)
{
    n->shared->count = count;
    __atomic_store_n(&n->shared->state, GO, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &n->shared->state, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* The child died in its present case: a new one does the rest. */
static void replace_child(Native *n)
{
    Shared *shared = n->shared;
    unsigned lost = shared->current;

    if (lost == UINT32_MAX) {
        g_error("the child that runs cases natively cannot start");
    }
    memset(&shared->results[lost], 0, sizeof(Result));
    shared->results[lost].vector = VECTOR_LOST;
    shared->current = lost; /* next_case() goes on after it */
    spawn(n);
}

/* Of the child; 0: it is gone. */
static int64_t computed_ns(const Native *n)
{
    struct timespec t;
    clockid_t clock;

    return !clock_getcpuclockid(n->child, &clock) && !clock_gettime(clock, &t) ? t.tv_sec * NS_PER_SEC + t.tv_nsec : 0;
}

/* A case hangs if it takes the child some seconds of a processor, which it may wait for, or if nothing helps. */
#define HANGS_NS   (5 * NS_PER_SEC)
#define PATIENCE_S 300

void native_wait(Native *n)
{
    const struct timespec second = { 1, 0 };
    unsigned seconds = 0, seen = 0;
    int64_t began = 0;

    while (__atomic_load_n(&n->shared->state, __ATOMIC_SEQ_CST) != IDLE) {
        if (syscall(SYS_futex, &n->shared->state, FUTEX_WAIT, GO, &second, NULL, 0) && errno == ETIMEDOUT) {
            if (!seconds++ || seen != n->shared->current) {
                seen = n->shared->current;
                seconds = 1;
                began = computed_ns(n);
            } else if (computed_ns(n) - began > HANGS_NS || seconds > PATIENCE_S) {
                kill(n->child, SIGKILL);
            }
        }
        if (waitpid(n->child, NULL, WNOHANG) == n->child) {
            replace_child(n);
            seconds = 0;
        }
    }
}
