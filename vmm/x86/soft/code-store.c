/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Room for decoded blocks, and dropping them: because their bytes were written, or
 * because room is needed.
 *
 * The arena is a ring of regions.  Blocks are made in the current one; the one after it
 * is empty, its blocks dropped in time, so that every vCPU has forgotten
 * them by the time it becomes the current one.  (While a guest at rest is tidied, code-rest.c, it may
 * still be full, and is emptied when it is needed.)
 */
#include <string.h>
#include <sys/mman.h>

#include "vmm/error.h"
#include "vmm/x86/soft/translate.h"

#define BYTES_DEFAULT (UINT64_C(32) << 20)
#define BYTES_MIN     (UINT64_C(1) << 20)

/* ---- forgetting ---- */

/* Tells every vCPU to forget what is dead; returns the generation that they reach by it. */
static uint32_t next_generation(SoftVm *vm)
{
    uint32_t generation = __atomic_add_fetch(&vm->code_generation, 1, __ATOMIC_SEQ_CST);

    pthread_mutex_lock(&vm->cpus_lock);
    for (unsigned i = 0; i < vm->n_cpus; i++) {
        __atomic_store_n(&vm->cpus[i]->attention, 1, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&vm->cpus_lock);
    return generation;
}

/* A vCPU that does not run sees the newest generation before it enters a block. */
bool soft_code_forgotten(SoftVm *vm, uint32_t generation)
{
    bool all = true;

    pthread_mutex_lock(&vm->cpus_lock);
    for (unsigned i = 0; i < vm->n_cpus; i++) {
        const SoftCpu *cpu = vm->cpus[i];

        all &= !__atomic_load_n(&cpu->running, __ATOMIC_SEQ_CST) ||
               (int32_t)(__atomic_load_n(&cpu->code_generation, __ATOMIC_SEQ_CST) - generation) >= 0;
    }
    pthread_mutex_unlock(&vm->cpus_lock);
    return all;
}

/* ---- lists ---- */

static void unhash(SoftCode *code, Block *block)
{
    BlockRef *at = &code->hash[soft_block_hash(block->code, block->mode)];
    BlockRef me = soft_block_ref(code, block);

    while (*at != me) {
        at = &soft_block_at(code, *at)->hash_next;
    }
    __atomic_store_n(at, block->hash_next, __ATOMIC_RELEASE);
}

static void leave_page(SoftVm *vm, Block *block, unsigned n)
{
    const uint8_t *host = n ? block->code2 : block->code;
    SoftCodePage *page = soft_code_page(vm, host);
    BlockRef *at = &page->blocks;
    BlockRef me = soft_block_ref(vm->code, block);

    /* A block that is on two pages uses its second link for its second one. */
    while (*at != me) {
        Block *other = soft_block_at(vm->code, *at);

        at = &other->page_next[other->code2 && ((uintptr_t)other->code2 ^ (uintptr_t)host) < PAGE_SIZE];
    }
    *at = block->page_next[n];
    if (!page->blocks) {
        for (unsigned i = 0; i < G_N_ELEMENTS(page->chunks); i++) {
            __atomic_store_n(&page->chunks[i], 0, __ATOMIC_SEQ_CST);
        }
        __atomic_fetch_and(soft_page_flags(vm, host), (uint8_t)~PAGE_CODE, __ATOMIC_SEQ_CST);
    }
}

static void unlink_outgoing(SoftVm *vm, Block *block, unsigned slot)
{
    const SoftCode *code = vm->code;
    Block *to = block->link[slot];
    BlockRef me = soft_block_ref(code, block) << 1 | slot;
    BlockRef *at;

    if (!to) {
        return;
    }
    for (at = &to->in; *at != me; at = &soft_block_at(code, *at >> 1)->in_next[*at & 1]) {
    }
    *at = block->in_next[slot];
    __atomic_store_n(&block->link[slot], NULL, __ATOMIC_RELEASE);
    soft_translator_link(vm, block, slot);
}

static void unlink_incoming(SoftVm *vm, Block *block)
{
    while (block->in) {
        Block *from = soft_block_at(vm->code, block->in >> 1);
        unsigned slot = block->in & 1;

        block->in = from->in_next[slot];
        __atomic_store_n(&from->link[slot], NULL, __ATOMIC_RELEASE);
        soft_translator_link(vm, from, slot);
    }
}

void soft_block_drop(SoftVm *vm, Block *block)
{
    if (block->mode == (uint32_t)MODE_DEAD) {
        return;
    }
    unhash(vm->code, block);
    leave_page(vm, block, 0);
    if (block->code2) {
        leave_page(vm, block, 1);
    }
    unlink_outgoing(vm, block, 0);
    unlink_outgoing(vm, block, 1);
    unlink_incoming(vm, block);
    soft_translator_drop(vm, block);
    __atomic_store_n(&block->mode, (uint32_t)MODE_DEAD, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < block->ops; i++) {
        __atomic_store_n(&block->op[i].fn, soft_op_leave, __ATOMIC_RELEASE);
    }
    vm->code->dropped++;
}

/* ---- room ---- */

static uint64_t block_bytes(unsigned ops)
{
    return sizeof(Block) + ops * sizeof(Op);
}

void soft_region_empty(SoftVm *vm, CodeRegion *region)
{
    for (uint8_t *at = region->start; at < region->next;) {
        Block *block = (Block *)at;

        at += block_bytes(block->ops);
        soft_block_drop(vm, block);
    }
    __atomic_store_n(&region->next, region->start, __ATOMIC_RELAXED);
    region->dropped_at = next_generation(vm);
}

bool soft_code_ready(SoftVm *vm)
{
    SoftCode *code = vm->code;

    if (!code->resetting) {
        return true;
    }
    if (!soft_code_forgotten(vm, code->region[0].dropped_at)) {
        return false;
    }
    soft_stubs_reset(vm);
    for (unsigned i = 0; i < CODE_REGIONS; i++) {
        soft_translator_empty(vm, &code->region[i]);
    }
    vm->stubs_full = false;
    code->resetting = false;
    return true;
}

Block *soft_block_alloc(SoftVm *vm, unsigned n)
{
    SoftCode *code = vm->code;
    CodeRegion *region = &code->region[code->current];
    uint64_t bytes = block_bytes(n);
    Block *block;

    if ((uint64_t)(region->end - region->next) < bytes || !soft_translator_has_room(vm, region, n)) {
        unsigned next = (code->current + 1) % CODE_REGIONS;

        if (code->region[next].next != code->region[next].start) { /* tidying has not come to it yet */
            soft_region_empty(vm, &code->region[next]);
        }
        if (!soft_code_forgotten(vm, code->region[next].dropped_at)) {
            return NULL;
        }
        __atomic_store_n(&code->current, next, __ATOMIC_RELAXED);
        code->regions_reused++;
        region = &code->region[next];
        region->touched = true;
        soft_translator_empty(vm, region);
        soft_region_empty(vm, &code->region[(next + 1) % CODE_REGIONS]);
        return NULL; /* that may have unmarked the pages of the very block that is being made */
    }
    block = (Block *)region->next;
    __atomic_store_n(&region->next, region->next + bytes, __ATOMIC_RELAXED);
    soft_zero(block, sizeof(*block));
    block->ops = (uint8_t)n;
    code->made++;
    return block;
}

void soft_code_reset(SoftVm *vm)
{
    SoftCode *code = vm->code;

    code->resetting = true;
    for (unsigned i = CODE_REGIONS; i-- > 0;) { /* the first one last: its generation is the newest */
        soft_region_empty(vm, &code->region[i]);
    }
}

/* ---- writes ---- */

void soft_code_drop_range(SoftVm *vm, const uint8_t *host, uint64_t size)
{
    SoftCodePage *page = soft_code_page(vm, host);
    const uint8_t *start = (const uint8_t *)((uintptr_t)host & PAGE_MASK);
    Block *next;

    for (Block *block = soft_block_at(vm->code, page->blocks); block; block = next) {
        bool second = block->code2 && (uintptr_t)block->code2 - (uintptr_t)start < PAGE_SIZE;
        const uint8_t *from = second ? block->code2 : block->code;
        uint64_t first_length = PAGE_SIZE - ((uintptr_t)block->code & (PAGE_SIZE - 1));
        uint64_t all = soft_block_length(block);
        uint64_t length = !block->code2 ? all : second ? all - first_length : first_length;

        next = soft_block_at(vm->code, block->page_next[second]);
        if (from < host + size && host < from + length) {
            soft_block_drop(vm, block);
            vm->code->drops_by_writes++;
        }
    }
}

static bool touches_code(SoftVm *vm, const uint8_t *host, uint64_t size)
{
    const SoftCodePage *page = soft_code_page(vm, host);
    unsigned first = (unsigned)((uintptr_t)host & (PAGE_SIZE - 1)) / CODE_CHUNK;
    unsigned last = (unsigned)(((uintptr_t)host + size - 1) & (PAGE_SIZE - 1)) / CODE_CHUNK;

    for (unsigned i = first; i <= last; i++) {
        if (__atomic_load_n(&page->chunks[i / 64], __ATOMIC_SEQ_CST) >> (i % 64) & 1) {
            return true;
        }
    }
    return false;
}

/* The bytes are written, then the chunks are looked at; who decodes marks the chunks, then compares the bytes once more
 * (block.c).  Of the two one sees the other. */
void soft_code_written(SoftVm *vm, SoftCpu *cpu, const void *where, uint64_t size)
{
    const uint8_t *host = where;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    while (size) {
        uint64_t piece = MIN(size, PAGE_SIZE - ((uintptr_t)host & (PAGE_SIZE - 1)));
        const uint8_t *flags = soft_page_flags(vm, host);

        if (flags && __atomic_load_n(flags, __ATOMIC_SEQ_CST) & PAGE_CODE && touches_code(vm, host, piece)) {
            if (cpu) {
                soft_vm_lock(cpu);
            } else {
                pthread_mutex_lock(&vm->lock);
            }
            soft_code_drop_range(vm, host, piece);
            if (cpu) {
                soft_vm_unlock(cpu);
            } else {
                pthread_mutex_unlock(&vm->lock);
            }
        }
        host += piece;
        size -= piece;
    }
}

/* ---- the store ---- */

bool soft_code_init(SoftVm *vm, uint64_t bytes, bool translate, GError **error)
{
    SoftCode *code = g_new0(SoftCode, 1);
    uint64_t part;

    code->bytes = CLAMP(bytes ? bytes : BYTES_DEFAULT, BYTES_MIN, CODE_BYTES_MAX);
    part = code->bytes / CODE_REGIONS & PAGE_MASK;
    code->arena = mmap(NULL, code->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (code->arena == MAP_FAILED) {
        g_free(code);
        return error_set_errno(error, errno, "cannot reserve %" G_GUINT64_FORMAT " MiB for decoded code", bytes >> 20);
    }
    madvise(code->arena, code->bytes, MADV_HUGEPAGE); /* a wish */
    for (unsigned i = 0; i < CODE_REGIONS; i++) {
        uint8_t *start = code->arena + i * part;

        code->region[i] = (CodeRegion) { .start = start, .next = start, .end = start + part, .touched = i == 0 };
    }
    vm->code = code;
    if (translate) {
        soft_translator_init(vm);
    }
    return true;
}

void soft_code_finish(SoftVm *vm)
{
    soft_translator_finish(vm);
    if (vm->code) {
        munmap(vm->code->arena, vm->code->bytes);
        g_free(vm->code);
        vm->code = NULL;
    }
}
