/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store of native stubs (stub.h), and where to find the stub of an instruction.
 *
 * The store's memory is mapped twice: code is written through `write` and runs at `run`, so
 * no page is ever both writable and executable.  Stubs only ever get added, at addresses
 * where nothing has run before, until soft_stubs_reset().
 *
 * Under vm->lock.
 */
#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/x86/soft/fpu.h"
#include "vmm/x86/soft/stub.h"
#include "vmm/x86/soft/translate.h"
#include "vmm/x86/soft/vm.h"

#define STORE_BYTES (16u << 20)
#define STUB_ALIGN  16
#define TABLE_MIN   1024

typedef struct StubKey { uint64_t code[2], rest; } StubKey;
typedef struct StubEntry { StubKey key; uint32_t offset; } StubEntry; /* offset 0: free */

struct SoftStubs {
    uint8_t *write, *run;
    uint32_t used;
    uint32_t entries, size; /* of the table; size is a power of two */
    StubEntry *table;
    uint64_t resets;
};

/* ---- the host ---- */

static void ask_host(SoftVm *vm)
{
    _Alignas(16) uint8_t fx[FX_BYTES];
    unsigned a, b, c, d;
    uint32_t low, high;

    __asm__ volatile("fxsave64 %0" : "=m"(fx));
    vm->mxcsr_mask = *fp_u32(fx, FX_MXCSR_MASK) ? *fp_u32(fx, FX_MXCSR_MASK) : 0xffbf;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    vm->host_xcr0 = (uint64_t)high << 32 | low;
    __cpuid_count(0xd, 1, a, b, c, d);
    vm->xsaveopt = a & 1;
    vm->host_keeps_pointers = soft_fp_host_keeps_pointers();
}

static bool host_can(GError **error)
{
    unsigned a, b, c, d;

    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_SSE4_2)) {
        error_set(error, "cannot run guests on the software CPU: the host's processor has no XSAVE or no SSE4.2");
        return false;
    }
    return true;
}

/* ---- making and freeing ---- */

static bool map_store(struct SoftStubs *s, GError **error)
{
    int fd = memfd_create("lodge-stubs", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, STORE_BYTES) < 0) {
        error_set(error, "cannot make memory for native code of the software CPU: %s", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    s->write = mmap(NULL, STORE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    s->run = soft_map_near(STORE_BYTES, PROT_READ | PROT_EXEC, fd);
    if (s->write == MAP_FAILED || s->run == MAP_FAILED) {
        error_set(error,
                  "cannot map native code of the software CPU: %s; does a security policy forbid executable memory?",
                  strerror(errno));
    }
    close(fd);
    return s->write != MAP_FAILED && s->run != MAP_FAILED;
}

static void clear(struct SoftStubs *s)
{
    g_free(s->table);
    s->table = g_new0(StubEntry, TABLE_MIN);
    s->size = TABLE_MIN;
    s->entries = 0;
    s->used = soft_stub_common(s->write);
}

bool soft_stubs_init(SoftVm *vm, GError **error)
{
    struct SoftStubs *s = g_new0(struct SoftStubs, 1);

    s->write = s->run = MAP_FAILED;
    vm->stubs = s;
    if (!host_can(error) || !map_store(s, error) ||
        !soft_signals_add((uintptr_t)s->run, (uintptr_t)s->run + STORE_BYTES, true, error)) {
        soft_stubs_finish(vm);
        return false;
    }
    ask_host(vm);
    clear(s);
    return true;
}

void soft_stubs_finish(SoftVm *vm)
{
    struct SoftStubs *s = vm->stubs;

    if (!s) {
        return;
    }
    if (s->run != MAP_FAILED) {
        soft_signals_remove((uintptr_t)s->run);
        munmap(s->run, STORE_BYTES);
    }
    if (s->write != MAP_FAILED) {
        munmap(s->write, STORE_BYTES);
    }
    g_free(s->table);
    g_free(s);
    vm->stubs = NULL;
}

/* Taking the pages away interrupts every processor that runs a thread of this process, which also makes them forget
 * instructions fetched from here. */
void soft_stubs_reset(SoftVm *vm)
{
    struct SoftStubs *s = vm->stubs;

    madvise(s->write, STORE_BYTES, MADV_REMOVE);
    clear(s);
    s->resets++;
    vm->stubs_full = false;
}

/* ---- finding ---- */

/* The code, and what it does not tell: which guest registers are in those that it names. */
static StubKey key_of(const StubForm *form)
{
    StubKey key = { .rest = form->length };

    for (unsigned i = 0; i < form->registers; i++) {
        key.rest = key.rest << 8 | (unsigned)form->reg[i].guest << 4 | form->reg[i].host;
    }
    soft_copy(key.code, form->code, sizeof(key.code));
    return key;
}

static StubEntry *find(const struct SoftStubs *s, const StubKey *key)
{
    uint64_t hash = key->code[0] * UINT64_C(0x9e3779b97f4a7c15);

    hash = (hash ^ hash >> 32 ^ key->code[1] ^ key->rest) * UINT64_C(0xbf58476d1ce4e5b9);
    for (uint64_t i = hash >> 32;; i++) {
        StubEntry *e = &s->table[i & (s->size - 1)];

        if (!e->offset ||
            (e->key.code[0] == key->code[0] && e->key.code[1] == key->code[1] && e->key.rest == key->rest)) {
            return e;
        }
    }
}

static void grow(struct SoftStubs *s)
{
    StubEntry *old = s->table;
    uint32_t n = s->size;

    s->size = 2 * n;
    s->table = g_new0(StubEntry, s->size);
    for (uint32_t i = 0; i < n; i++) {
        if (old[i].offset) {
            StubEntry *e = find(s, &old[i].key);

            e->key = old[i].key;
            e->offset = old[i].offset;
        }
    }
    g_free(old);
}

static void *code_at(const struct SoftStubs *s, uint32_t offset)
{
    return s->run + offset;
}

void *soft_stub_find(SoftVm *vm, const StubForm *form)
{
    const StubKey key = key_of(form);
    const StubEntry *e = find(vm->stubs, &key);

    return e->offset ? code_at(vm->stubs, e->offset) : NULL;
}

void *soft_stub_add(SoftVm *vm, const StubForm *form)
{
    struct SoftStubs *s = vm->stubs;
    const StubKey key = key_of(form);
    uint32_t offset = (s->used + STUB_ALIGN - 1) & ~(uint32_t)(STUB_ALIGN - 1);
    StubEntry *e;

    if (offset + STUB_BYTES_MAX > STORE_BYTES) {
        vm->stubs_full = true;
        return NULL;
    }
    if (s->entries >= s->size / 2) {
        grow(s);
    }
    s->used = offset + soft_stub_code(s->write + offset, -(int32_t)offset, form);
    e = find(s, &key);
    e->key = key;
    e->offset = offset;
    s->entries++;
    return code_at(s, offset);
}

void soft_stubs_counters(const SoftVm *vm, SoftCounterFn fn, void *opaque)
{
    fn("stubs", vm->stubs->entries, opaque);
    fn("stub-bytes", vm->stubs->used, opaque);
    fn("stub-resets", vm->stubs->resets, opaque);
}
