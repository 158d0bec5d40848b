/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding the block of decoded code for where a vCPU is, and making it.
 *
 * A block's key is the host address of its first byte and the mode: the same code seen at
 * two linear or physical addresses is one block, since its addresses are relative to its
 * start.  Blocks stay on one page, but for one instruction that crosses into another.
 *
 * Making one while others write: the page is marked PAGE_CODE and every vCPU gives up its
 * write entries for it; the bytes are copied and decoded; the pieces they lie in are marked;
 * and only if the bytes are then still the same, the block is published.  A store that comes
 * later finds the mark (soft_code_written()), so a block is never older than its bytes.
 */
#include <inttypes.h>

#include "vmm/x86/soft/translate.h"

#define BLOCK_BYTES_MAX (BLOCK_INSTRUCTIONS * 15)

/* What a block is to be made of. */
typedef struct Source {
    const uint8_t *code, *code2; /* code2: of the next page, if the instruction crosses */
    uint64_t linear;
    uint32_t mode;
} Source;

/* ---- finding ---- */

/* Where to fetch from; what cannot be fetched raises. */
static uint64_t fetch_address(SoftCpu *cpu, uint32_t *mode)
{
    const X86Segment *cs = &cpu->segment[X86_CS];

    if (soft_in_64bit_code(cpu)) {
        if (!soft_is_canonical(cpu->rip)) {
            soft_raise_error(cpu, VECTOR_GP, 0);
        }
        return cpu->rip;
    }
    if (cpu->rip > cs->limit) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    if (cs->limit - cpu->rip < BLOCK_BYTES_MAX) {
        *mode |= MODE_SINGLE; /* each instruction is to be held against the limit */
    }
    return (uint32_t)(cs->base + cpu->rip);
}

static uint64_t next_page(SoftCpu *cpu, uint64_t linear)
{
    linear = (linear & PAGE_MASK) + PAGE_SIZE;
    return soft_in_64bit_code(cpu) ? linear : (uint32_t)linear;
}

static Block *find(SoftCpu *cpu, const Source *s)
{
    const SoftCode *code = cpu->vm->code;
    Block *block = soft_block_next(code, &code->hash[soft_block_hash(s->code, s->mode)]);

    while (block && (block->code != s->code || block->mode != s->mode || block->code2 != s->code2)) {
        block = soft_block_next(code, &block->hash_next);
    }
    return block;
}

/* Whether the instruction there is known to cross into the next page; then any block of it tells. */
static bool known_to_cross(SoftCpu *cpu, const Source *s)
{
    const SoftCode *code = cpu->vm->code;
    const Block *block = soft_block_next(code, &code->hash[soft_block_hash(s->code, s->mode)]);

    while (block && (block->code != s->code || block->mode != s->mode)) {
        block = soft_block_next(code, &block->hash_next);
    }
    return block && block->code2;
}

/* ---- making ---- */

/* From here on every store to the page looks for code in it. */
static void claim_page(SoftCpu *cpu, const uint8_t *host)
{
    SoftVm *vm = cpu->vm;

    if (!(__atomic_fetch_or(soft_page_flags(vm, host), PAGE_CODE, __ATOMIC_SEQ_CST) & PAGE_CODE)) {
        soft_tlb_revoke(cpu, (const void *)((uintptr_t)host & PAGE_MASK));
        soft_broadcast(vm, cpu, REQUEST_REVOKE);
    }
}

static void mark_chunks(SoftVm *vm, const uint8_t *host, unsigned length)
{
    SoftCodePage *page = soft_code_page(vm, host);
    unsigned first = (unsigned)((uintptr_t)host & (PAGE_SIZE - 1)) / CODE_CHUNK;
    unsigned last = (unsigned)(((uintptr_t)host + length - 1) & (PAGE_SIZE - 1)) / CODE_CHUNK;

    for (unsigned i = first; length && i <= last; i++) {
        __atomic_fetch_or(&page->chunks[i / 64], UINT64_C(1) << (i % 64), __ATOMIC_SEQ_CST);
    }
}

static bool same(const uint8_t *a, const uint8_t *b, unsigned n)
{
    while (n && *a == *b) {
        a++, b++, n--;
    }
    return !n;
}

/* Bytes of the source up to the end of its page, and of what follows on the next. */
static unsigned copy_source(const Source *s, uint8_t *to)
{
    unsigned n = MIN(PAGE_SIZE - (unsigned)((uintptr_t)s->code & (PAGE_SIZE - 1)), (unsigned)BLOCK_BYTES_MAX);

    soft_copy(to, s->code, n);
    if (s->code2) {
        soft_copy(to + n, s->code2, 15);
    }
    return n;
}

/* Decodes stable bytes into vm->code->decode. */
static void decode(SoftCpu *cpu, const Source *s)
{
    SoftVm *vm = cpu->vm;
    SoftDecode *d = &vm->code->decode;
    uint8_t bytes[BLOCK_BYTES_MAX + 15];
    unsigned n, first;

    do {
        n = copy_source(s, bytes);
        d->cpu = cpu;
        d->bytes = bytes;
        d->available = s->code2 ? MIN(n + 15, 15u) : n;
        d->crossing = s->code2 != NULL;
        d->mode = s->mode;
        d->page_offset = (unsigned)(s->linear & (PAGE_SIZE - 1));
        d->crosses = false;
        d->length = d->count = d->n = 0;
        if (!soft_decode(d) || vm->stubs_full) {
            return;
        }
        first = MIN(d->length, n);
        mark_chunks(vm, s->code, first);
        if (s->code2) {
            mark_chunks(vm, s->code2, d->length - first);
        }
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    } while (!same(bytes, s->code, first) || (s->code2 && !same(bytes + n, s->code2, d->length - first)));
}

static void enter_page(SoftVm *vm, Block *block, unsigned n)
{
    SoftCodePage *page = soft_code_page(vm, n ? block->code2 : block->code);

    block->page_next[n] = page->blocks;
    page->blocks = soft_block_ref(vm->code, block);
}

static Block *publish(SoftVm *vm, const Source *s)
{
    const SoftDecode *d = &vm->code->decode;
    Block *block = soft_block_alloc(vm, d->n);
    OpFn *native;
    BlockRef *head = &vm->code->hash[soft_block_hash(s->code, s->mode)];

    if (!block) {
        return NULL;
    }
    block->mode = s->mode;
    block->length = (uint16_t)d->length;
    block->count = (uint8_t)d->count;
    block->code = s->code;
    block->code2 = s->code2;
    soft_copy(block->op, d->op, d->n * sizeof(Op));
    soft_code_made(vm, block);
    native = soft_translate(vm, &vm->code->region[vm->code->current], block);
    if (native) {
        block->op[0].fn = native;
    }
    enter_page(vm, block, 0);
    if (s->code2) {
        enter_page(vm, block, 1);
    }
    block->hash_next = *head;
    __atomic_store_n(head, soft_block_ref(vm->code, block), __ATOMIC_RELEASE);
    return block;
}

/* NULL: try again from the top of the run loop, or with *ret_crosses. */
static Block *make(SoftCpu *cpu, const Source *s, bool *ret_crosses)
{
    SoftVm *vm = cpu->vm;
    Block *block = NULL;

    soft_vm_lock(cpu);
    /* Outside, the memory map may have changed: then the host addresses are void. */
    if (soft_code_ready(vm) && !(__atomic_load_n(&cpu->requests, __ATOMIC_SEQ_CST) & REQUEST_FLUSH)) {
        block = find(cpu, s);
        if (!block) {
            claim_page(cpu, s->code);
            if (s->code2) {
                claim_page(cpu, s->code2);
            }
            decode(cpu, s);
            if (vm->stubs_full) {
                soft_code_reset(vm);
            } else if (vm->code->decode.crosses) {
                *ret_crosses = true;
            } else {
                block = publish(vm, s);
                cpu->count[COUNT_BLOCKS]++;
            }
        }
    }
    soft_vm_unlock(cpu);
    return block;
}

/* ---- code that is not in RAM ---- */

/* One instruction, made for this once. */
static Block *make_from_device(SoftCpu *cpu, uint64_t linear, uint32_t mode)
{
    SoftVm *vm = cpu->vm;
    SoftDecode *d = &vm->code->decode;
    uint8_t bytes[15];
    bool done = false;

    if (!cpu->scratch) {
        soft_outside_begin(cpu);
        cpu->scratch = g_malloc0(sizeof(Block) + BLOCK_OPS * sizeof(Op));
        soft_outside_end(cpu);
    }
    for (unsigned n = 0; !done; n++) {
        bytes[n] = (uint8_t)soft_load(cpu, linear + n, 1, ACCESS_EXEC);
        soft_vm_lock(cpu);
        d->cpu = cpu;
        d->bytes = bytes;
        d->available = n + 1;
        d->crossing = n + 1 == sizeof(bytes);
        d->mode = mode | MODE_SINGLE;
        d->page_offset = (unsigned)(linear & (PAGE_SIZE - 1));
        d->crosses = false;
        d->length = d->count = d->n = 0;
        done = (soft_code_ready(vm) && soft_decode(d) && !vm->stubs_full) || d->crossing;
        if (vm->stubs_full) {
            soft_code_reset(vm);
        }
        if (done) {
            Block *block = cpu->scratch;

            block->mode = MODE_DEAD; /* of nobody's cache */
            block->length = (uint16_t)d->length;
            block->count = (uint8_t)d->count;
            block->ops = (uint8_t)d->n;
            block->code = NULL;
            soft_copy(block->op, d->op, d->n * sizeof(Op));
        }
        soft_vm_unlock(cpu);
    }
    return cpu->scratch->ops ? cpu->scratch : NULL;
}

/* ---- links and the jump cache ---- */

/* A block that crosses depends on where the next page is, which can change without its own. */
static bool may_link(const SoftCpu *cpu, const Block *from, const Block *to)
{
    return from && !to->code2 && !(to->mode & MODE_SINGLE) && to->mode & MODE_CS_FLAT && from->mode == to->mode &&
           ((uintptr_t)from->code ^ (uintptr_t)to->code) < PAGE_SIZE && !from->link[cpu->linked_slot];
}

static void link_blocks(SoftCpu *cpu, Block *to)
{
    const SoftCode *code = cpu->vm->code;
    Block *from = cpu->linked_from;
    unsigned slot = cpu->linked_slot;

    soft_vm_lock(cpu);
    if (from->mode != (uint32_t)MODE_DEAD && to->mode != (uint32_t)MODE_DEAD && !from->link[slot]) {
        from->in_next[slot] = to->in;
        to->in = soft_block_ref(code, from) << 1 | slot;
        __atomic_store_n(&from->link[slot], to, __ATOMIC_RELEASE);
        soft_translator_link(cpu->vm, from, slot);
    }
    soft_vm_unlock(cpu);
}

static void remember(SoftCpu *cpu, Block *block, uint64_t linear)
{
    if (cpu->vm->trace || block->mode != cpu->mode || !(block->mode & MODE_CS_FLAT)) {
        return;
    }
    /* First: linking goes outside, and then the address may mean something else. */
    *soft_jump_entry(cpu, linear) =
        (JumpEntry){ linear ^ cpu->jump_tag, block, soft_translation(cpu->vm, block), block->mode };
    if (may_link(cpu, cpu->linked_from, block)) {
        link_blocks(cpu, block);
    }
}

/* As soft_goto() does it: after an interrupt, say, it is the jump cache that is warm.  Of addresses that are not
 * canonical its tags do not tell. */
static Block *remembered(const SoftCpu *cpu, uint32_t mode)
{
    const JumpEntry *entry = soft_jump_entry(cpu, cpu->rip);

    if (entry->tag == (cpu->rip ^ cpu->jump_tag) && mode == cpu->mode && entry->block->mode == mode &&
        soft_is_canonical(cpu->rip)) {
        return entry->block;
    }
    return NULL;
}

Block *soft_lookup(SoftCpu *cpu)
{
    Source s = { .mode = soft_next_mode(cpu) };
    uint32_t flushes = cpu->flushes;
    bool crosses = false;
    Block *block = cpu->linked_from ? NULL : remembered(cpu, s.mode); /* what is to be linked goes the whole way */

    cpu->ip = cpu->next_ip = cpu->rip;
    cpu->count[COUNT_LOOKUPS]++;
    if (block) {
        return block;
    }
    s.linear = fetch_address(cpu, &s.mode);
    s.code = soft_code(cpu, s.linear);
    if (UNLIKELY(!s.code)) {
        return make_from_device(cpu, s.linear, s.mode);
    }
    if (known_to_cross(cpu, &s)) {
        s.code2 = soft_code(cpu, next_page(cpu, s.linear));
    }
    block = find(cpu, &s);
    if (!block) {
        block = make(cpu, &s, &crosses);
    }
    if (crosses && cpu->flushes == flushes) {
        s.code2 = soft_code(cpu, next_page(cpu, s.linear));
        if (!s.code2) {
            return make_from_device(cpu, s.linear, s.mode);
        }
        block = make(cpu, &s, &crosses);
    }
    if (!block || cpu->flushes != flushes) {
        return NULL;
    }
    if (cpu->rip + soft_block_length(block) - 1 > cpu->segment[X86_CS].limit && !soft_in_64bit_code(cpu)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    remember(cpu, block, s.linear);
    return cpu->flushes == flushes ? block : NULL;
}
