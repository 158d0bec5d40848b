/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug exceptions (SDM 3-18): the guest's breakpoints in DR0-DR7, its single step, and
 * what a debugger outside asks for, which ends soft_run() instead.
 *
 * While anything of that is on, MODE_SINGLE makes the run loop look before and after each
 * instruction.  Data breakpoints keep their pages out of the TLB, so mmu.c asks about each
 * access to them.
 *
 * A debugger's breakpoints on execution ask for MODE_SINGLE on their pages only: who branches
 * to another page comes by the run loop, or by the jump cache, which knows no block of such a
 * page in another mode.  An instruction that is about to access what it watches begins anew with
 * MODE_SINGLE, so that nothing follows it.  An access that cannot begin anew, of the delivery of an
 * event, tells at the next boundary.
 *
 *     before: traps that had to wait; breakpoints on execution (faults; not with RF); RF is used up
 *     after:  single step, by TF when the instruction began; data and port breakpoints (traps)
 *
 * Neither comes in the shadow of MOV SS and POP SS: data breakpoints of these wait for the next
 * instruction.  General detect (DR7.GD) is with MOV DR, the T bit of a TSS with task switches.
 */
#include "vmm/x86/soft/cpu.h"

enum { DR_EXECUTE, DR_WRITE, DR_PORT, DR_ACCESS };

static bool dr_enabled(const SoftCpu *cpu, unsigned n)
{
    return cpu->dr7 >> (2 * n) & 3;
}

static unsigned dr_type(const SoftCpu *cpu, unsigned n)
{
    return cpu->dr7 >> (16 + 4 * n) & 3;
}

static unsigned dr_length(const SoftCpu *cpu, unsigned n)
{
    static const uint8_t lengths[4] = { 1, 2, 8, 4 };

    return lengths[cpu->dr7 >> (18 + 4 * n) & 3];
}

/* The address is that of its naturally aligned range. */
static uint64_t dr_first(const SoftCpu *cpu, unsigned n, uint64_t mask)
{
    return cpu->dr[n] & mask & ~(uint64_t)(dr_length(cpu, n) - 1);
}

/* [a, a + a_size) and [b, b + b_size), sizes not 0, none beyond 2^64. */
static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

/* ---- execution ---- */

static uint64_t code_address(const SoftCpu *cpu)
{
    return soft_in_64bit_code(cpu) ? cpu->rip : (uint32_t)(cpu->segment[X86_CS].base + cpu->rip);
}

static uint64_t execution_hits(const SoftCpu *cpu, uint64_t linear)
{
    uint64_t hits = 0;

    for (unsigned n = 0; n < 4; n++) {
        if (dr_enabled(cpu, n) && dr_type(cpu, n) == DR_EXECUTE && (cpu->dr[n] & cpu->linear_mask) == linear) {
            hits |= UINT64_C(1) << n;
        }
    }
    return hits;
}

static bool debugger_stops_at(SoftCpu *cpu, uint64_t linear)
{
    for (unsigned i = 0; i < cpu->watches; i++) {
        const SoftWatch *w = &cpu->watch[i];

        if (w->execute && linear - w->address < w->length) {
            cpu->debug_hit = (int)i;
            return true;
        }
    }
    return false;
}

void soft_debug_page(SoftCpu *cpu)
{
    uint64_t page = code_address(cpu) & PAGE_MASK;
    bool here = false;

    if (UNLIKELY(cpu->watch_hit)) {
        cpu->debug_hit = (int)cpu->watch_hit - 1;
        cpu->watch_hit = 0;
        soft_leave(cpu, SOFT_EXIT_DEBUG);
    }
    for (unsigned i = 0; i < cpu->watches && !here; i++) {
        here = cpu->watch[i].execute && overlap(page, PAGE_SIZE, cpu->watch[i].address, cpu->watch[i].length);
    }
    if (here != cpu->on_break_page) {
        cpu->on_break_page = here;
        soft_update_mode(cpu);
    }
}

static _Noreturn void raise_debug(SoftCpu *cpu, SoftEventKind kind, uint64_t dr6)
{
    SoftEvent event = { .kind = (uint8_t)kind, .vector = VECTOR_DB, .dr6 = dr6 };

    cpu->ip = cpu->next_ip = cpu->rip;
    soft_raise_event(cpu, &event);
}

static _Noreturn void take_traps(SoftCpu *cpu)
{
    uint64_t dr6 = cpu->debug_pending;

    cpu->debug_pending = 0;
    raise_debug(cpu, EVENT_TRAP, dr6);
}

void soft_debug_before(SoftCpu *cpu)
{
    bool blocked = cpu->shadow && !cpu->shadow_sti;
    uint64_t linear = code_address(cpu), hits;
    bool passes = cpu->step || (cpu->passes && cpu->pass == linear); /* a step is how a debugger gets over it */

    cpu->passes = false;
    if (!blocked) {
        if (cpu->debug_pending) {
            take_traps(cpu);
        }
        if (!passes && debugger_stops_at(cpu, linear)) {
            soft_leave(cpu, SOFT_EXIT_DEBUG);
        }
        hits = cpu->eflags & EFLAGS_RF ? 0 : execution_hits(cpu, linear);
        if (hits) {
            raise_debug(cpu, EVENT_FAULT, hits);
        }
    }
    cpu->began_eflags = cpu->eflags & (EFLAGS_TF | EFLAGS_RF);
    cpu->began_count = cpu->instructions;
    cpu->debug_hits = 0;
    cpu->watch_hit = 0;
    cpu->eflags &= ~(uint32_t)EFLAGS_RF;
}

/* ---- data and ports ---- */

static bool is_data(const SoftCpu *cpu, unsigned n)
{
    return dr_enabled(cpu, n) && (dr_type(cpu, n) == DR_WRITE || dr_type(cpu, n) == DR_ACCESS);
}

bool soft_watched_page(const SoftCpu *cpu, uint64_t linear)
{
    linear &= PAGE_MASK;
    for (unsigned n = 0; UNLIKELY(cpu->dr7 & 0xff) && n < 4; n++) {
        if (is_data(cpu, n) && overlap(linear, PAGE_SIZE, dr_first(cpu, n, cpu->linear_mask), dr_length(cpu, n))) {
            return true;
        }
    }
    for (unsigned i = 0; i < cpu->watches; i++) {
        const SoftWatch *w = &cpu->watch[i];

        if ((w->read || w->write) && overlap(linear, PAGE_SIZE, w->address, w->length)) {
            return true;
        }
    }
    return false;
}

/* The number in cpu->watch plus 1, of what a debugger watches; 0: nothing. */
static unsigned find_watch(const SoftCpu *cpu, uint64_t linear, uint64_t size, bool write)
{
    for (unsigned i = 0; i < cpu->watches; i++) {
        const SoftWatch *w = &cpu->watch[i];

        if ((write ? w->write : w->read) && overlap(linear, size, w->address, w->length)) {
            return i + 1;
        }
    }
    return 0;
}

void soft_watch_before(SoftCpu *cpu, uint64_t linear, uint64_t size, unsigned access)
{
    if (LIKELY(cpu->watches == cpu->breaks) || !size || soft_debug_iterates(cpu) || cpu->in_delivery ||
        access & (ACCESS_EXEC | ACCESS_SYSTEM) || !find_watch(cpu, linear, size, access & ACCESS_WRITE)) {
        return;
    }
    cpu->watch_single = true;
    soft_update_mode(cpu);
    soft_begin_anew(cpu);
}

void soft_watch_access(SoftCpu *cpu, uint64_t linear, uint64_t size, unsigned access)
{
    bool write = access & ACCESS_WRITE;
    unsigned hit;

    if (access & ACCESS_EXEC || !size) {
        return;
    }
    for (unsigned n = 0; cpu->dr7 & 0xff && n < 4; n++) {
        if (is_data(cpu, n) && (write || dr_type(cpu, n) == DR_ACCESS) &&
            overlap(linear, size, dr_first(cpu, n, cpu->linear_mask), dr_length(cpu, n))) {
            cpu->debug_hits |= UINT64_C(1) << n;
        }
    }
    hit = find_watch(cpu, linear, size, write);
    if (hit) {
        cpu->watch_hit = hit;
        __atomic_store_n(&cpu->attention, 1, __ATOMIC_SEQ_CST);
    }
}

void soft_debug_port(SoftCpu *cpu, unsigned port, unsigned size)
{
    if (LIKELY(!(cpu->dr7 & 0xff)) || !(cpu->cr4 & CR4_DE)) {
        return;
    }
    for (unsigned n = 0; n < 4; n++) {
        if (dr_enabled(cpu, n) && dr_type(cpu, n) == DR_PORT &&
            overlap(port, size, dr_first(cpu, n, UINT64_MAX), dr_length(cpu, n))) {
            cpu->debug_hits |= UINT64_C(1) << n;
        }
    }
}

/* ---- after ---- */

void soft_debug_after(SoftCpu *cpu)
{
    bool blocked = cpu->shadow && !cpu->shadow_sti;

    if (cpu->instructions == cpu->began_count) {
        cpu->eflags |= cpu->began_eflags & EFLAGS_RF; /* nothing was executed after all */
        return;
    }
    cpu->debug_pending |= cpu->debug_hits | (cpu->began_eflags & EFLAGS_TF && !blocked ? DR6_BS : 0);
    cpu->debug_hits = 0;
    cpu->watch_single = false;
    soft_update_mode(cpu);
    if (cpu->watch_hit || cpu->step) {
        cpu->debug_hit = (int)cpu->watch_hit - 1;
        cpu->watch_hit = 0;
        soft_leave(cpu, SOFT_EXIT_DEBUG);
    }
    if (cpu->debug_pending && !blocked) {
        take_traps(cpu);
    }
}

bool soft_debug_single(const SoftCpu *cpu)
{
    return cpu->dr7 & 0xff || cpu->on_break_page || cpu->watch_single || cpu->debug_pending ||
           cpu->eflags & EFLAGS_RF;
}

bool soft_debug_iterates(const SoftCpu *cpu)
{
    return cpu->mode & MODE_SINGLE && (cpu->eflags & EFLAGS_TF || cpu->step || soft_debug_single(cpu));
}

bool soft_debug_event(SoftCpu *cpu)
{
    if (cpu->step) {
        cpu->debug_hit = -1;
    }
    return cpu->step;
}

void soft_cpu_set_debug(SoftCpu *cpu, const SoftWatch *list, unsigned n, bool step)
{
    cpu->watches = n;
    cpu->breaks = 0;
    cpu->watch = g_renew(SoftWatch, cpu->watch, n);
    for (unsigned i = 0; i < n; i++) {
        cpu->watch[i] = list[i];
        cpu->breaks += !list[i].read && !list[i].write;
    }
    cpu->passes = false;
    cpu->on_break_page = false; /* until the run loop has looked */
    cpu->watch_single = false;
    cpu->watch_hit = 0;
    cpu->step = step;
    soft_tlb_flush(cpu);
    soft_update_mode(cpu);
}

int soft_cpu_debug_hit(const SoftCpu *cpu)
{
    return cpu->debug_hit;
}

void soft_cpu_pass_breakpoint(SoftCpu *cpu, uint64_t linear)
{
    cpu->passes = true;
    cpu->pass = linear;
}
