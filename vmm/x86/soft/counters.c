/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters by name, for query-stats and info.  Any thread: words that their owners write and
 * nobody resets; a reader may see them a little apart from each other.
 */
#include "vmm/x86/soft/translate.h"

static const char *const names[COUNTERS] = {
    [COUNT_BLOCKS] = "blocks_decoded", [COUNT_LOOKUPS] = "block_lookups", [COUNT_TLB_FILLS] = "tlb_fills",
    [COUNT_WALKS] = "page_walks", [COUNT_MMIO] = "mmio", [COUNT_PIO] = "pio", [COUNT_EXCEPTIONS] = "exceptions",
    [COUNT_INTERRUPTS] = "interrupts", [COUNT_HALTS] = "halts", [COUNT_EXCLUSIVE] = "exclusive_sections",
    [COUNT_REQUESTS] = "requests_served",
};

static uint64_t look(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void soft_cpu_counters(const SoftCpu *cpu, SoftCounterFn fn, void *opaque)
{
    fn("instructions", look(&cpu->instructions), opaque);
    for (unsigned i = 0; i < COUNTERS; i++) {
        if (names[i]) {
            fn(names[i], look(&cpu->count[i]), opaque);
        }
    }
    fn("smis", look(&cpu->smi_count), opaque);
}

void soft_vm_counters(const SoftVm *vm, SoftCounterFn fn, void *opaque)
{
    const SoftCode *code = vm->code;

    fn("blocks_made", look(&code->made), opaque);
    fn("blocks_dropped", look(&code->dropped), opaque);
    fn("blocks_dropped_by_writes", look(&code->drops_by_writes), opaque);
    fn("code_regions_reused", look(&code->regions_reused), opaque);
    fn("code_bytes", code->bytes, opaque);
    fn("blocks_translated", vm->translator ? look(&vm->translator->translated) : 0, opaque);
}
