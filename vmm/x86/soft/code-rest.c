/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code store of a guest that has nothing to do.
 *
 * A CPU that wakes from HLT a few times a second finds nothing of it in the host's caches, and
 * a few thousand instructions of its kernel then cost what it takes to fetch their blocks, from all over a store
 * that was filled by booting.  So when all vCPUs have rested for a while, the store is tidied: its blocks are
 * dropped, region by region, one at each halt.  Those that are still needed are decoded anew and come to lie
 * together, in the order of their use; the host gets the memory of the rest.  A vCPU that wakes from a longer sleep
 * fetches its tables ahead, and a small store of blocks that are interpreted, many lines at a time, before it would
 * miss them one by one.
 *
 * Time is the host's TSC, whatever its frequency: what is done here changes nothing that the guest can see.
 *
 * Locking: vm->lock, but for what soft_code_rest() and soft_code_wake() look at first, which is atomic.
 */
#include <sys/mman.h>
#include <x86intrin.h>

#include "vmm/x86/soft/translate.h"

#define REST_TICKS        (UINT64_C(16) << 30) /* a look that often: some seconds */
#define REST_INSTRUCTIONS (UINT64_C(4) << 20)  /* fewer of them in between, by all vCPUs, are rest */
#define TIDY_BYTES        (UINT64_C(1) << 20)  /* less is not worth tidying */
#define TIDY_GROWTH       4                    /* nor is what has not grown that much since */
#define AHEAD_BYTES       (UINT64_C(1) << 20)   /* more than that may displace itself from the cache */
#define SLEEP_TICKS       (UINT64_C(1) << 20)  /* after less, caches are still warm */
#define CACHE_LINE        64

static uint64_t used_bytes(const SoftCode *code)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < CODE_REGIONS; i++) {
        bytes += (uint64_t)(code->region[i].next - code->region[i].start);
    }
    return bytes;
}

/* Regions that vCPUs know no block of any more. */
static void give_back(SoftVm *vm)
{
    for (unsigned i = 0; i < CODE_REGIONS; i++) {
        CodeRegion *region = &vm->code->region[i];

        if (region->touched && i != vm->code->current && region->next == region->start &&
            soft_code_forgotten(vm, region->dropped_at)) {
            soft_translator_empty(vm, region);
            region->touched = madvise(region->start, (size_t)(region->end - region->start), MADV_DONTNEED) < 0;
        }
    }
}

static uint64_t all_instructions(SoftVm *vm)
{
    uint64_t sum = 0;

    pthread_mutex_lock(&vm->cpus_lock);
    for (unsigned i = 0; i < vm->n_cpus; i++) {
        sum += __atomic_load_n(&vm->cpus[i]->instructions, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&vm->cpus_lock);
    return sum;
}

/* Blocks are made in the region that is empty anyway, and the others are to be emptied. */
static void begin_tidying(SoftVm *vm)
{
    SoftCode *code = vm->code;
    unsigned next = (code->current + 1) % CODE_REGIONS;

    if (!code->resetting && soft_code_forgotten(vm, code->region[next].dropped_at)) {
        __atomic_store_n(&code->current, next, __ATOMIC_RELAXED);
        code->region[next].touched = true;
        soft_translator_empty(vm, &code->region[next]);
        __atomic_store_n(&code->rest.left, CODE_REGIONS - 1, __ATOMIC_RELAXED);
        code->rest.tidied = true;
        __atomic_store_n(&code->rest.n_handlers, 0, __ATOMIC_RELAXED);
        soft_zero(code->rest.seen, sizeof(code->rest.seen));
    }
}

/* A guest whose every look finds much more than the last tidying left is not that much at rest. */
static void look(SoftVm *vm)
{
    SoftRest *rest = &vm->code->rest;
    uint64_t instructions = all_instructions(vm), used = used_bytes(vm->code);
    bool rested = instructions - rest->instructions < REST_INSTRUCTIONS;

    rest->instructions = instructions;
    if (rest->tidied) {
        rest->tidied = false;
        __atomic_store_n(&rest->enough, MAX(TIDY_GROWTH * used, TIDY_BYTES), __ATOMIC_RELAXED);
    }
    give_back(vm);
    if (rested && used > MAX(rest->enough, TIDY_BYTES)) {
        begin_tidying(vm);
    }
}

/* The farthest one first.  The next, which must be empty when the present one is full, is emptied then if its turn has
 * not come. */
static void tidy_more(SoftVm *vm)
{
    SoftCode *code = vm->code;
    CodeRegion *region = &code->region[(code->current + code->rest.left) % CODE_REGIONS];

    __atomic_store_n(&code->rest.left, code->rest.left - 1, __ATOMIC_RELAXED);
    if (region->next != region->start) {
        soft_region_empty(vm, region);
    }
}

void soft_code_rest(SoftCpu *cpu)
{
    SoftRest *rest = &cpu->vm->code->rest;
    uint64_t now = __rdtsc();

    cpu->halted_at = now;
    if (LIKELY(!__atomic_load_n(&rest->left, __ATOMIC_RELAXED) &&
               now - __atomic_load_n(&rest->looked_at, __ATOMIC_RELAXED) < REST_TICKS)) {
        return;
    }
    soft_vm_lock(cpu);
    if (rest->left) {
        tidy_more(cpu->vm);
    } else {
        __atomic_store_n(&rest->looked_at, now, __ATOMIC_RELAXED);
        look(cpu->vm);
    }
    soft_vm_unlock(cpu);
}

void soft_code_made(SoftVm *vm, const Block *block)
{
    SoftRest *rest = &vm->code->rest;

    for (unsigned i = 0; i < block->ops && rest->n_handlers < REST_HANDLERS; i++) {
        OpFn *fn = block->op[i].fn;
        uint64_t hash = (uintptr_t)fn * UINT64_C(0x9e3779b97f4a7c15) >> (64 - REST_SEEN_BITS);

        if (rest->seen[hash / 64] >> hash % 64 & 1) {
            continue;
        }
        rest->seen[hash / 64] |= UINT64_C(1) << hash % 64;
        if (!vm->translator || !translate_find_shape(fn)) { /* else there is code in its place */
            __atomic_store_n(&rest->handlers[rest->n_handlers], fn, __ATOMIC_RELAXED);
            __atomic_store_n(&rest->n_handlers, rest->n_handlers + 1, __ATOMIC_RELAXED);
        }
    }
}

/* As data: that brings them, and where their pages are, half the way. */
static void fetch_handlers_ahead(const SoftRest *rest)
{
    unsigned n = __atomic_load_n(&rest->n_handlers, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < n; i++) {
        const uint8_t *at = (const uint8_t *)(uintptr_t)__atomic_load_n(&rest->handlers[i], __ATOMIC_RELAXED);

        __builtin_prefetch(at, 0, 2);
        __builtin_prefetch(at + CACHE_LINE, 0, 2);
    }
}

static void fetch_ahead(const void *from, uint64_t bytes)
{
    for (uint64_t at = 0; at < bytes; at += CACHE_LINE) {
        __builtin_prefetch((const uint8_t *)from + at, 0, 2);
    }
}

void soft_code_wake(SoftCpu *cpu)
{
    const SoftCode *code = cpu->vm->code;
    const CodeRegion *region = &code->region[__atomic_load_n(&code->current, __ATOMIC_RELAXED)];
    uint64_t bytes = (uint64_t)(__atomic_load_n(&region->next, __ATOMIC_RELAXED) - region->start);

    if (__rdtsc() - cpu->halted_at > SLEEP_TICKS && __atomic_load_n(&code->rest.enough, __ATOMIC_RELAXED) &&
        bytes <= AHEAD_BYTES) {
        if (!cpu->vm->translator) { /* of code as instructions that is half the way only, and not worth it */
            fetch_ahead(region->start, bytes);
        }
        fetch_handlers_ahead(&code->rest);
        fetch_ahead(cpu->tlb, sizeof(*cpu->tlb));
        fetch_ahead(cpu->jumps, JUMP_CACHE * sizeof(*cpu->jumps));
    }
}
