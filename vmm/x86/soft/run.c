/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run loop of a software vCPU: events at instruction boundaries in the order of
 * SDM 3-6.9 table 6-2, then blocks until one leaves.
 *
 * Blocks run chained (op.h) and come back here when `attention` is set, when the next one
 * is not in the jump cache, or when an instruction changed what decoding depends on.
 * Exceptions come by longjmp, from any depth.
 */
#include <string.h>

#include "vmm/x86/soft/op.h"
#include "vmm/x86/soft/trace.h"
#include "vmm/x86/soft/translate.h"
#include "vmm/x86/soft/vm.h"

enum { JUMP_EVENT = 1, JUMP_LEAVE, JUMP_ANEW };

/* ---- leaving the present instruction ---- */

/* How many instructions of the block are not before the present one.  Some have two ops; a NOP may have none, and is
 * seen as a gap. */
static unsigned rest_of_block(const SoftCpu *cpu)
{
    const Block *block = cpu->block;
    uint64_t present = (cpu->ip - cpu->rip) & cpu->ip_mask;
    unsigned end = 0, rest = 0;

    for (unsigned i = 0; block && i < block->ops; i++) {
        const Op *op = &block->op[i];

        if (op->ip < end) {
            continue;
        }
        rest += (op->ip > end && end >= present) + (op->length && op->ip >= present);
        end = op->ip + op->length;
    }
    return rest;
}

/* The present instruction has not been executed, and none after it. */
static void uncount(SoftCpu *cpu)
{
    cpu->instructions -= rest_of_block(cpu);
    cpu->block = NULL;
}

uint64_t soft_cpu_count(const SoftCpu *cpu)
{
    return cpu->instructions - rest_of_block(cpu);
}

/* The address sanitizer's longjmp() uses vector registers. */
static _Noreturn void jump(SoftCpu *cpu, int why)
{
#ifdef SOFT_SANITIZED
    soft_fp_leave(cpu);
#endif
    longjmp(cpu->jump, why);
}

void soft_raise_event(SoftCpu *cpu, const SoftEvent *event)
{
    cpu->event = *event;
    if (event->kind == EVENT_FAULT) {
        uncount(cpu);
    }
    jump(cpu, JUMP_EVENT);
}

void soft_raise(SoftCpu *cpu, unsigned vector)
{
    SoftEvent event = { .kind = EVENT_FAULT, .vector = (uint8_t)vector };

    soft_raise_event(cpu, &event);
}

void soft_raise_error(SoftCpu *cpu, unsigned vector, uint32_t error)
{
    SoftEvent event = { .kind = EVENT_FAULT, .vector = (uint8_t)vector, .has_error = true, .error = error };

    soft_raise_event(cpu, &event);
}

void soft_begin_anew(SoftCpu *cpu)
{
    uncount(cpu);
    cpu->rip = cpu->ip;
    jump(cpu, JUMP_ANEW);
}

void soft_leave(SoftCpu *cpu, SoftExit why)
{
    cpu->exit = why;
    jump(cpu, JUMP_LEAVE);
}

/* ---- common handlers ---- */

const Op *soft_leave_before(SoftCpu *cpu, unsigned at)
{
    cpu->ip = cpu->next_ip = (cpu->rip + at) & cpu->ip_mask;
    uncount(cpu);
    cpu->rip = cpu->ip;
    return NULL;
}

/* NOPs may have no op: those before this one may be what has changed. */
const Op *soft_op_leave(SoftCpu *cpu, const Op *op)
{
    unsigned end = op > cpu->block->op ? op[-1].ip + op[-1].length : 0;

    return soft_leave_before(cpu, MIN(end, op->ip));
}

const Op *soft_op_raise(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    if (op->imm == VECTOR_GP) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    soft_raise(cpu, (unsigned)op->imm);
}

const Op *soft_op_goto(SoftCpu *cpu, const Op *op)
{
    return soft_goto(cpu, cpu->rip + (uint64_t)op->imm);
}

/* ---- the mode ---- */

static bool is_flat_data(const X86Segment *s)
{
    /* Writable data that grows up: type 001x, SDM 3-3.4.5.1. */
    return s->base == 0 && s->limit == UINT32_MAX && !(s->attributes & X86_SEG_UNUSABLE) &&
           (s->attributes & (SEG_P | SEG_S | 0xe)) == (SEG_P | SEG_S | 2);
}

static uint32_t code_mode(SoftCpu *cpu)
{
    const X86Segment *cs = &cpu->segment[X86_CS];
    uint32_t mode = 0;

    if (cpu->efer & EFER_LMA && cs->attributes & SEG_L) {
        cpu->ip_mask = UINT64_MAX;
        return MODE_CODE64 | MODE_PROTECTED | MODE_FLAT | MODE_CS_FLAT;
    }
    mode = cs->attributes & SEG_DB ? MODE_CODE32 : MODE_CODE16;
    cpu->ip_mask = mode == MODE_CODE32 || cs->limit > 0xffff ? UINT32_MAX : 0xffff;
    mode |= cpu->segment[X86_SS].attributes & SEG_DB ? MODE_STACK32 : 0;
    mode |= cpu->cr0 & CR0_PE && !(cpu->eflags & EFLAGS_VM) ? MODE_PROTECTED : 0;
    mode |= cpu->cr0 & CR0_PE && cpu->eflags & EFLAGS_VM ? MODE_VM86 : 0;
    mode |= cs->base == 0 && cs->limit == UINT32_MAX ? MODE_CS_FLAT : 0;
    if (mode & MODE_PROTECTED && is_flat_data(&cpu->segment[X86_ES]) && is_flat_data(&cpu->segment[X86_SS]) &&
        is_flat_data(&cpu->segment[X86_DS])) {
        mode |= MODE_FLAT;
    }
    return mode;
}

static uint32_t fpu_mode(const SoftCpu *cpu)
{
    uint32_t mode = 0;

    mode |= cpu->cr0 & (CR0_EM | CR0_TS) ? MODE_NO_FPU : 0;
    mode |= (cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS) ? MODE_NO_WAIT : 0;
    mode |= cpu->cr0 & CR0_EM ? MODE_EM : 0;
    mode |= cpu->cr0 & CR0_TS ? MODE_TS : 0;
    mode |= cpu->cr0 & CR0_EM || !(cpu->cr4 & CR4_OSFXSR) ? MODE_NO_SSE : 0;
    mode |= !(cpu->cr4 & CR4_OSXSAVE) || (cpu->xcr0 & 6) != 6 ? MODE_NO_AVX : 0;
    return mode;
}

static void choose_tlb(SoftCpu *cpu)
{
    bool user = cpu->cpl == 3;
    bool ac = cpu->eflags & EFLAGS_AC;

    cpu->tlb_index = user ? TLB_USER : cpu->cr4 & CR4_SMAP && ac ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR;
    cpu->tlb = &cpu->tlbs[user && ac && cpu->cr0 & CR0_AM ? TLB_NONE : cpu->tlb_index];
    cpu->jump_tag = cpu->jump_tags[user];
}

void soft_update_mode(SoftCpu *cpu)
{
    uint32_t mode = code_mode(cpu) | fpu_mode(cpu);

    mode |= cpu->cpl == 3 ? MODE_USER : 0;
    mode |= cpu->eflags & EFLAGS_TF || cpu->step || soft_debug_single(cpu) ? MODE_SINGLE : 0;
    cpu->mode = mode;
    cpu->linear_mask = cpu->efer & EFER_LMA ? UINT64_MAX : UINT32_MAX;
    for (unsigned s = 0; s < X86_SEGMENTS; s++) {
        cpu->seg_base[s] = cpu->segment[s].base;
    }
    choose_tlb(cpu);
    soft_update_attention(cpu);
}

/* Whether the loop has anything to do before the next block. */
static bool wants_attention(const SoftCpu *cpu)
{
    uint32_t pending = __atomic_load_n(&cpu->pending, __ATOMIC_SEQ_CST);

    return cpu->mode & MODE_SINGLE || cpu->shadow || cpu->limit || cpu->halted || cpu->wait_sipi ||
           __atomic_load_n(&cpu->requests, __ATOMIC_SEQ_CST) ||
           pending & (SOFT_KICK | SOFT_INIT | SOFT_SMI) || (pending & SOFT_NMI && !cpu->nmi_masked) ||
           (pending & SOFT_INTERRUPT && cpu->eflags & EFLAGS_IF) ||
           cpu->code_generation != __atomic_load_n(&cpu->vm->code_generation, __ATOMIC_SEQ_CST);
}

/* Another thread first says what it wants, then sets `attention`; so clearing it before looking loses nothing. */
void soft_update_attention(SoftCpu *cpu)
{
    __atomic_store_n(&cpu->attention, 0, __ATOMIC_SEQ_CST);
    if (wants_attention(cpu)) {
        __atomic_store_n(&cpu->attention, 1, __ATOMIC_SEQ_CST);
    }
}

/* ---- events from outside ---- */

/* A second NMI before the first is taken: a processor that looks after each instruction would have begun the first,
 * and kept the other until its IRET. */
#define SIGNAL_NMI_AGAIN (1u << 31)

static void signal_nmi(SoftCpu *cpu)
{
    uint32_t before = __atomic_load_n(&cpu->pending, __ATOMIC_SEQ_CST), after;

    do {
        after = before & SOFT_NMI && !cpu->nmi_masked ? before | SIGNAL_NMI_AGAIN : before | SOFT_NMI;
    } while (!__atomic_compare_exchange_n(&cpu->pending, &before, after, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

static void take_nmi(SoftCpu *cpu)
{
    uint32_t before = __atomic_load_n(&cpu->pending, __ATOMIC_SEQ_CST), after;

    do {
        after = before & ~(before & SIGNAL_NMI_AGAIN ? SIGNAL_NMI_AGAIN : (uint32_t)SOFT_NMI);
    } while (!__atomic_compare_exchange_n(&cpu->pending, &before, after, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
}

void soft_signal(SoftCpu *cpu, unsigned signals)
{
    if (UNLIKELY(signals & SOFT_NMI)) {
        signal_nmi(cpu);
    }
    __atomic_fetch_or(&cpu->pending, signals & ~(unsigned)SOFT_NMI, __ATOMIC_SEQ_CST);
    __atomic_store_n(&cpu->attention, 1, __ATOMIC_SEQ_CST);
}

void soft_unsignal(SoftCpu *cpu, unsigned signals)
{
    signals |= signals & SOFT_NMI ? SIGNAL_NMI_AGAIN : 0;
    __atomic_fetch_and(&cpu->pending, ~signals, __ATOMIC_SEQ_CST);
}

void soft_cpu_sipi(SoftCpu *cpu, uint8_t vector)
{
    __atomic_store_n(&cpu->sipi_vector, vector, __ATOMIC_SEQ_CST);
    soft_signal(cpu, SOFT_SIPI);
}

static bool take(SoftCpu *cpu, unsigned signal)
{
    return __atomic_fetch_and(&cpu->pending, ~signal, __ATOMIC_SEQ_CST) & signal;
}

/* An event at the boundary before cpu->rip. */
static void deliver_at_boundary(SoftCpu *cpu, SoftEventKind kind, unsigned vector)
{
    cpu->halted = false;
    cpu->ip = cpu->next_ip = cpu->rip;
    cpu->block = NULL;
    cpu->linked_from = NULL; /* what comes next is not where that branch led */
    cpu->event = (SoftEvent){ .kind = (uint8_t)kind, .vector = (uint8_t)vector };
    soft_deliver(cpu);
}

static void take_init(SoftCpu *cpu)
{
    soft_outside_begin(cpu);
    cpu->hooks->init(cpu, cpu->opaque);
    soft_outside_end(cpu);
    soft_cpu_init_state(cpu, false);
}

/* SDM 3-8.4.4.2: the vector is the page that the processor starts at. */
static void take_sipi(SoftCpu *cpu)
{
    uint8_t vector = __atomic_load_n(&cpu->sipi_vector, __ATOMIC_SEQ_CST);
    X86Segment *cs = &cpu->segment[X86_CS];

    cpu->wait_sipi = false;
    cpu->linked_from = NULL;
    cs->selector = (uint16_t)(vector << 8);
    cs->base = (uint64_t)vector << 12;
    cpu->rip = 0;
    soft_update_mode(cpu);
}

static void take_interrupt(SoftCpu *cpu)
{
    int vector;

    take(cpu, SOFT_INTERRUPT);
    soft_outside_begin(cpu);
    vector = cpu->hooks->acknowledge(cpu, cpu->opaque);
    soft_outside_end(cpu);
    if (vector >= 0) {
        cpu->count[COUNT_INTERRUPTS]++;
        deliver_at_boundary(cpu, EVENT_EXTERNAL, (unsigned)vector);
    }
}

/* What is pending, most important first.  False: leave soft_run() with cpu->exit. */
static bool attend(SoftCpu *cpu)
{
    uint32_t pending = __atomic_load_n(&cpu->pending, __ATOMIC_SEQ_CST);
    bool held = cpu->step && !cpu->halted; /* a debugger's step is of the program, not into a handler */

    if (__atomic_load_n(&cpu->requests, __ATOMIC_SEQ_CST)) {
        soft_outside_begin(cpu);
        soft_outside_end(cpu);
    }
    if (pending & SOFT_KICK || (cpu->limit && cpu->instructions >= cpu->limit)) {
        take(cpu, SOFT_KICK);
        cpu->exit = SOFT_EXIT_KICKED;
        return false;
    }
    if (pending & SOFT_INIT && !cpu->in_smm && take(cpu, SOFT_INIT)) {
        take_init(cpu);
    }
    if (pending & SOFT_SIPI && take(cpu, SOFT_SIPI) && cpu->wait_sipi) {
        take_sipi(cpu);
    }
    if (cpu->wait_sipi || cpu->shutdown) {
        cpu->exit = cpu->shutdown ? SOFT_EXIT_TRIPLE_FAULT : SOFT_EXIT_HALTED;
        return false;
    }
    if (held) {
        pending = 0;
    }
    if (pending & SOFT_SMI && !cpu->in_smm && take(cpu, SOFT_SMI) && cpu->vm->smm) {
        soft_enter_smm(cpu);
    } else if (pending & SOFT_NMI && !cpu->nmi_masked && !cpu->shadow) {
        take_nmi(cpu);
        deliver_at_boundary(cpu, EVENT_NMI, VECTOR_NMI);
    } else if (pending & SOFT_INTERRUPT && cpu->eflags & EFLAGS_IF && !cpu->shadow) {
        take_interrupt(cpu);
    }
    if (cpu->halted) {
        /* What came in the meantime is seen by the next soft_run(). */
        cpu->count[COUNT_HALTS]++;
        soft_code_rest(cpu);
        cpu->exit = SOFT_EXIT_HALTED;
        return false;
    }
    soft_update_attention(cpu);
    return true;
}

/* ---- running ---- */

/* Blocks of a former generation are forgotten before any is entered again; then block.c may reuse their memory. */
static void see_generation(SoftCpu *cpu)
{
    uint32_t generation = __atomic_load_n(&cpu->vm->code_generation, __ATOMIC_SEQ_CST);

    if (UNLIKELY(cpu->code_generation != generation)) {
        soft_jumps_forget(cpu);
        cpu->linked_from = NULL;
        cpu->block = NULL;
        __atomic_store_n(&cpu->code_generation, generation, __ATOMIC_SEQ_CST);
    }
}

static void run_block(SoftCpu *cpu)
{
    const SoftTranslator *translator = cpu->vm->translator;
    Block *block = soft_lookup(cpu);
    const Op *op;

    if (UNLIKELY(!block)) {
        return; /* nothing was run yet */
    }
    cpu->linked_from = NULL; /* it is made, or is not to be; set again only by what ends this block */
    if (UNLIKELY(cpu->vm->trace)) {
        soft_trace_block(cpu, block);
    }
    cpu->shadow = cpu->shadow_sti = false;
    for (op = soft_enter(cpu, block); op;) {
        op = translator ? translator->routines.enter(cpu, op) : op->fn(cpu, op);
    }
    cpu->block = NULL;
}

/* One instruction between two looks at everything: of an interrupt shadow, a step, or with breakpoints. */
static void run_single(SoftCpu *cpu)
{
    bool debug = cpu->mode & MODE_SINGLE;

    cpu->ip = cpu->next_ip = cpu->rip;
    if (debug) {
        soft_debug_before(cpu);
    }
    run_block(cpu);
    if (debug) {
        soft_debug_after(cpu);
    }
    soft_update_attention(cpu);
}

static void run_loop(SoftCpu *cpu)
{
    for (;;) {
        see_generation(cpu);
        if (UNLIKELY(__atomic_load_n(&cpu->attention, __ATOMIC_RELAXED)) && !attend(cpu)) {
            return;
        }
        if (UNLIKELY(cpu->watches)) {
            soft_debug_page(cpu);
        }
        if (UNLIKELY(cpu->shadow || cpu->mode & MODE_SINGLE)) {
            run_single(cpu);
        } else {
            run_block(cpu);
        }
    }
}

/* After longjmp(JUMP_EVENT).  False: leave. */
static bool handle_event(SoftCpu *cpu)
{
    const SoftEvent *e = &cpu->event;

    cpu->block = NULL;
    cpu->linked_from = NULL;
    cpu->shadow = cpu->shadow_sti = false;
    cpu->count[COUNT_EXCEPTIONS]++;
    if (cpu->trap) {
        cpu->exception = (SoftException){ e->vector, e->has_error, e->error, e->cr2 };
        cpu->rip = e->kind == EVENT_FAULT ? cpu->ip : cpu->next_ip;
        cpu->in_delivery = false;
        cpu->exit = SOFT_EXIT_EXCEPTION;
        return false;
    }
    soft_deliver(cpu);
    if (UNLIKELY(soft_debug_event(cpu))) {
        cpu->exit = SOFT_EXIT_DEBUG;
        return false;
    }
    return true;
}

/* What a loaded state was in the middle of. */
static void deliver_loaded(SoftCpu *cpu)
{
    if (UNLIKELY(cpu->event_waits)) {
        cpu->event_waits = false;
        cpu->ip = cpu->next_ip = cpu->rip;
        soft_deliver(cpu);
    }
}

SoftExit soft_run(SoftCpu *cpu)
{
    __atomic_store_n(&cpu->running, 1, __ATOMIC_SEQ_CST);
    soft_outside_end(cpu);
    if (cpu->halted) {
        soft_code_wake(cpu);
    }
    soft_update_attention(cpu);
    switch (_setjmp(cpu->jump)) {
    case JUMP_EVENT:
        if (!handle_event(cpu)) {
            break;
        }
        /* fall through */
    case JUMP_ANEW:
        cpu->linked_from = NULL;
        /* fall through */
    case 0:
        deliver_loaded(cpu);
        run_loop(cpu);
        break;
    default: /* JUMP_LEAVE */
        break;
    }
    cpu->block = NULL;
    cpu->linked_from = NULL;
    soft_outside_begin(cpu);
    __atomic_store_n(&cpu->running, 0, __ATOMIC_SEQ_CST);
    return cpu->exit;
}

void soft_cpu_limit(SoftCpu *cpu, uint64_t instructions)
{
    cpu->limit = instructions ? cpu->instructions + instructions : 0;
}
