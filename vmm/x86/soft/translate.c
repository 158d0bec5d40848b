/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of translated code (translate.h).
 *
 * It is mapped twice, to write and to run, near the program, so that a call reaches its
 * functions.  Each region of blocks has one of code, which is filled and emptied with it
 * (code-store.c): code is only ever added, but for what links change (translate.h).  Before a
 * region is filled again, when no vCPU knows its blocks any more, every thread of this process
 * serializes (SDM 3-9.1.3, by membarrier(2)): no processor still has what was there.
 */
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/x86/soft/stub.h"
#include "vmm/x86/soft/translate.h"

#define NEAR_STEP      (UINT64_C(16) << 20)
#define NEAR_STEPS     48 /* on either side: code reaches the program and the stubs, 2 GiB at most */
#define ROUTINES_BYTES 4096u
#define NATIVE_BYTES   (UINT64_C(1) << 30) /* at most: all of it is to be near */
#define CODE_ALIGN     8
_Static_assert(sizeof(TranslationHead) % CODE_ALIGN == 0 && TRANSLATION_LINKED % CODE_ALIGN == 0,
               "eight bytes of a block are replaced at once");

/* ---- placing ---- */

/* One of NEAR_STEPS places on that side of the program. */
static void *map_beside(uintptr_t program, bool above, uint64_t bytes, int protection, int fd)
{
    for (uintptr_t i = 1; i <= NEAR_STEPS; i++) {
        uintptr_t at = above ? program + i * NEAR_STEP : program - i * NEAR_STEP - bytes;
        void *p = at > NEAR_STEP && (above || at < program)
                      ? mmap((void *)at, bytes, protection, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0)
                      : MAP_FAILED;

        if (p != MAP_FAILED) {
            return p;
        }
    }
    return MAP_FAILED;
}

/* Below, where the heap does not grow to. */
void *soft_map_near(uint64_t bytes, int protection, int fd)
{
    uintptr_t program = (uintptr_t)soft_op_leave & ~(uintptr_t)(NEAR_STEP - 1);
    void *p = map_beside(program, false, bytes, protection, fd);

    p = p == MAP_FAILED ? map_beside(program, true, bytes, protection, fd) : p;
    return p == MAP_FAILED ? mmap(NULL, bytes, protection, MAP_SHARED, fd, 0) : p;
}

static bool map(SoftTranslator *t)
{
    int fd = memfd_create("lodge-code", MFD_CLOEXEC);

    if (fd >= 0 && ftruncate(fd, (off_t)t->bytes) == 0) {
        t->write = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
        t->run = soft_map_near(t->bytes, PROT_READ | PROT_EXEC, fd);
    }
    if (fd >= 0) {
        close(fd);
    }
    return t->write != MAP_FAILED && t->run != MAP_FAILED;
}

static bool membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0) == 0;
}

static void unmap(SoftTranslator *t)
{
    if (t->write != MAP_FAILED) {
        munmap(t->write, t->bytes);
    }
    if (t->run != MAP_FAILED) {
        munmap(t->run, t->bytes);
    }
    g_free(t);
}

void soft_translator_init(SoftVm *vm)
{
    SoftTranslator *t = g_new0(SoftTranslator, 1);
    SoftCode *code = vm->code;
    uint64_t part = MIN(code->bytes, NATIVE_BYTES) / CODE_REGIONS & PAGE_MASK;
    Emit e;

    t->bytes = ROUTINES_BYTES + CODE_REGIONS * part;
    t->write = t->run = MAP_FAILED;
    if (!membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) || !map(t)) {
        unmap(t);
        return;
    }
    e = (Emit) { t->write, t->run - t->write };
    translate_collect_shapes();
    if (!translate_routines(&e, &t->routines) ||
        !soft_signals_add((uintptr_t)t->run, (uintptr_t)t->run + t->bytes, false, NULL)) {
        unmap(t);
        return;
    }
    g_assert(e.next <= t->write + ROUTINES_BYTES);
    for (unsigned i = 0; i < CODE_REGIONS; i++) {
        CodeRegion *region = &code->region[i];

        region->native = region->native_next = t->write + ROUTINES_BYTES + i * part;
        region->native_end = region->native + part;
    }
    vm->translator = t;
}

void soft_translator_finish(SoftVm *vm)
{
    if (vm->translator) {
        soft_signals_remove((uintptr_t)vm->translator->run);
        unmap(vm->translator);
        vm->translator = NULL;
    }
}

/* ---- room ---- */

bool soft_translator_has_room(const SoftVm *vm, const CodeRegion *region, unsigned ops)
{
    return !vm->translator || (uint64_t)(region->native_end - region->native_next) >= TRANSLATION_BYTES(ops);
}

void soft_translator_empty(SoftVm *vm, CodeRegion *region)
{
    if (vm->translator && region->native_next != region->native) {
        madvise(region->native, (size_t)(region->native_end - region->native), MADV_REMOVE); /* not if it is locked */
        membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE);
        __atomic_store_n(&region->native_next, region->native, __ATOMIC_RELAXED);
    }
}

/* ---- links ---- */

/* The handler that its first op has been given, as it is written; NULL: it has not. */
static uint8_t *translation_of(const SoftTranslator *t, const Block *block)
{
    uintptr_t at = (uintptr_t)__atomic_load_n(&block->op[0].fn, __ATOMIC_RELAXED) - (uintptr_t)t->run;

    return at < t->bytes ? t->write + at : NULL;
}

const void *soft_translation(const SoftVm *vm, const Block *block)
{
    const SoftTranslator *t = vm->translator;
    const uint8_t *code = t ? translation_of(t, block) : NULL;

    return code ? code + TRANSLATION_LINKED + (t->run - t->write) : t ? t->routines.look : NULL;
}

void soft_translator_link(SoftVm *vm, const Block *from, unsigned slot)
{
    const SoftTranslator *t = vm->translator;
    uint8_t *code = t ? translation_of(t, from) : NULL;
    const uint8_t *to = code && from->link[slot] ? translation_of(t, from->link[slot]) : NULL;
    uint32_t link = code ? ((const TranslationHead *)code - 1)->link[slot] : 0;

    if (link) {
        int32_t distance = to ? (int32_t)(to + TRANSLATION_LINKED - (code + link)) : 0;

        __atomic_store_n((int32_t *)(code + link) - 1, distance, __ATOMIC_RELEASE);
    }
}

void soft_translator_drop(SoftVm *vm, const Block *block)
{
    const SoftTranslator *t = vm->translator;
    uint8_t *code = t ? translation_of(t, block) : NULL;
    uint64_t jump;
    Emit e = { (uint8_t *)&jump, 0 };

    if (code) {
        e.to_run = code + TRANSLATION_LINKED + (t->run - t->write) - e.next;
        emit_branch(&e, 0xe9, t->routines.look);
        EMIT(&e, 0xcc, 0xcc, 0xcc);
        __atomic_store_n((uint64_t *)(code + TRANSLATION_LINKED), jump, __ATOMIC_RELEASE);
    }
}

/* ---- translating ---- */

OpFn *soft_translate(SoftVm *vm, CodeRegion *region, const Block *block)
{
    SoftTranslator *all = vm->translator;
    Translation *t;
    uint8_t *start = region->native_next;
    uint64_t length;

    if (!all || vm->code->decode.mode & MODE_SINGLE) {
        return NULL;
    }
    t = &all->translation;
    t->e = (Emit) { start, all->run - all->write };
    t->routines = &all->routines;
    t->d = &vm->code->decode;
    t->block = block;
    translate_block(t);
    if (t->far) {
        return NULL;
    }
    length = ((uint64_t)(t->e.next - start) + CODE_ALIGN - 1) & ~(uint64_t)(CODE_ALIGN - 1);
    __atomic_store_n(&region->native_next, start + length, __ATOMIC_RELAXED);
    all->translated++;
    return (OpFn *)(uintptr_t)(start + sizeof(TranslationHead) + t->e.to_run);
}
