/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines about what the software CPU does (-d in_asm,int,cpu,exec):
 *
 *     in_asm  the instructions of a block, once, before it is first entered
 *     exec    each entry of a block
 *     cpu     the registers then
 *     int     each event that is delivered
 *
 * While any of it is on, blocks are neither linked nor remembered (block.c), so every entry is
 * seen.  A vCPU's number is its place among those of the VM.
 */
#include "vmm/x86/soft/trace.h"

#include <Zydis/Zydis.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "vmm/x86/soft/vm.h"

#define LINE 256

static __attribute__((format(printf, 2, 3))) void line(const SoftVm *vm, const char *format, ...)
{
    char text[LINE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    vm->trace_line(text);
}

static unsigned number(const SoftCpu *cpu)
{
    SoftVm *vm = cpu->vm;
    unsigned i = 0;

    pthread_mutex_lock(&vm->cpus_lock);
    while (i < vm->n_cpus && vm->cpus[i] != cpu) {
        i++;
    }
    pthread_mutex_unlock(&vm->cpus_lock);
    return i;
}

static uint64_t linear_ip(const SoftCpu *cpu)
{
    return soft_in_64bit_code(cpu) ? cpu->rip : (uint32_t)(cpu->segment[X86_CS].base + cpu->rip);
}

/* ---- in_asm ---- */

static void init_decoder(ZydisDecoder *decoder, uint32_t mode)
{
    static const ZydisMachineMode machine[] = { [MODE_CODE16] = ZYDIS_MACHINE_MODE_LEGACY_16,
                                                [MODE_CODE32] = ZYDIS_MACHINE_MODE_LEGACY_32,
                                                [MODE_CODE64] = ZYDIS_MACHINE_MODE_LONG_64 };
    static const ZydisStackWidth stack[] = { [MODE_CODE16] = ZYDIS_STACK_WIDTH_16,
                                             [MODE_CODE32] = ZYDIS_STACK_WIDTH_32,
                                             [MODE_CODE64] = ZYDIS_STACK_WIDTH_64 };

    ZydisDecoderInit(decoder, machine[mode & MODE_CODE], stack[mode & MODE_CODE]);
}

static void trace_bytes(const SoftVm *vm, uint64_t address, const uint8_t *bytes, unsigned length, const char *text)
{
    char hex[3 * ZYDIS_MAX_INSTRUCTION_LENGTH + 1];

    for (unsigned i = 0; i < length; i++) {
        snprintf(hex + 3 * i, 4, "%02x ", bytes[i]);
    }
    line(vm, "  %016" PRIx64 "  %-45s%s", address, hex, text);
}

/* The bytes may have changed since they were decoded; then this shows the new ones. */
static void trace_code(const SoftCpu *cpu, const Block *block, uint32_t mode)
{
    uint8_t bytes[PAGE_SIZE + ZYDIS_MAX_INSTRUCTION_LENGTH];
    unsigned page = PAGE_SIZE - (unsigned)((uintptr_t)block->code & (PAGE_SIZE - 1));
    unsigned size = soft_block_length(block), first = MIN(size, page);
    ZydisDecoder decoder;
    ZydisFormatter formatter;

    line(cpu->vm, "cpu %u: block at %016" PRIx64 ", %u instructions", number(cpu), linear_ip(cpu), block->count);
    if (!block->code) {
        line(cpu->vm, "  not in RAM");
        return;
    }
    soft_copy(bytes, block->code, first);
    if (block->code2) {
        soft_copy(bytes + first, block->code2, size - first);
    }
    init_decoder(&decoder, mode);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    for (unsigned at = 0; at < size;) {
        ZydisDecodedInstruction insn;
        ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
        char text[128] = "(bad)";
        unsigned length = 1;

        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes + at, size - at, &insn, operands))) {
            length = insn.length;
            ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, text, sizeof(text),
                                            cpu->rip + at, ZYAN_NULL);
        }
        trace_bytes(cpu->vm, linear_ip(cpu) + at, bytes + at, length, text);
        at += length;
    }
}

/* ---- cpu ---- */

static void trace_segment(const SoftVm *vm, const char *name, const X86Segment *s)
{
    line(vm, "  %s=%04x %016" PRIx64 " %08x %05x", name, s->selector, s->base, s->limit, s->attributes);
}

static void trace_registers(const SoftCpu *cpu)
{
    static const char *const gpr[X86_GPRS] = { "RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                               "R8 ", "R9 ", "R10", "R11", "R12", "R13", "R14", "R15" };
    static const char *const seg[X86_SEGMENTS] = { "ES ", "CS ", "SS ", "DS ", "FS ", "GS " };
    const SoftVm *vm = cpu->vm;

    for (unsigned i = 0; i < X86_GPRS; i += 4) {
        line(vm, "  %s=%016" PRIx64 " %s=%016" PRIx64 " %s=%016" PRIx64 " %s=%016" PRIx64, gpr[i], cpu->gpr[i],
             gpr[i + 1], cpu->gpr[i + 1], gpr[i + 2], cpu->gpr[i + 2], gpr[i + 3], cpu->gpr[i + 3]);
    }
    line(vm, "  RIP=%016" PRIx64 " RFL=%08" PRIx64 " CPL=%u SMM=%u shadow=%u", cpu->rip, soft_get_rflags(cpu), cpu->cpl,
         cpu->in_smm, cpu->shadow);
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        trace_segment(vm, seg[i], &cpu->segment[i]);
    }
    trace_segment(vm, "LDT", &cpu->ldt);
    trace_segment(vm, "TR ", &cpu->tr);
    line(vm, "  GDT=     %016" PRIx64 " %08x", cpu->gdt.base, cpu->gdt.limit);
    line(vm, "  IDT=     %016" PRIx64 " %08x", cpu->idt.base, cpu->idt.limit);
    line(vm, "  CR0=%08" PRIx64 " CR2=%016" PRIx64 " CR3=%016" PRIx64 " CR4=%08" PRIx64 " EFER=%04" PRIx64, cpu->cr0,
         cpu->cr2, cpu->cr3, cpu->cr4, cpu->efer);
}

void soft_trace_block(SoftCpu *cpu, Block *block)
{
    const SoftVm *vm = cpu->vm;
    uint32_t mode = cpu->mode;

    soft_outside_begin(cpu);
    if (vm->trace & SOFT_TRACE_ASM &&
        (!(__atomic_fetch_or(&block->length, BLOCK_SHOWN, __ATOMIC_RELAXED) & BLOCK_SHOWN) || !block->code)) {
        trace_code(cpu, block, mode);
    }
    if (vm->trace & SOFT_TRACE_EXEC) {
        line(vm, "cpu %u: enter %016" PRIx64 " mode %04x after %" PRIu64 " instructions", number(cpu), linear_ip(cpu),
             mode, cpu->instructions);
    }
    if (vm->trace & SOFT_TRACE_CPU) {
        line(vm, "cpu %u:", number(cpu));
        trace_registers(cpu);
    }
    soft_outside_end(cpu);
}

/* ---- int ---- */

void soft_trace_event(SoftCpu *cpu)
{
    static const char *const kinds[] = { [EVENT_NONE] = "none", [EVENT_FAULT] = "fault", [EVENT_TRAP] = "trap",
                                         [EVENT_SOFTWARE_INT] = "INT", [EVENT_EXTERNAL] = "interrupt",
                                         [EVENT_NMI] = "NMI", [EVENT_ICEBP] = "INT1" };
    static const char *const names[] = { "DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "9", "TS",
                                         "NP", "SS", "GP", "PF", "15", "MF", "AC", "MC", "XM" };
    const SoftEvent *e = &cpu->event;
    const SoftVm *vm = cpu->vm;
    bool exception = e->kind == EVENT_FAULT || e->kind == EVENT_TRAP;
    uint64_t ip = e->kind == EVENT_FAULT ? cpu->ip : cpu->next_ip;

    if (!(vm->trace & SOFT_TRACE_INT)) {
        return;
    }
    soft_outside_begin(cpu);
    line(vm,
         "cpu %u: %s %02x%s%s error %08x cpl %u ip %04x:%016" PRIx64 " sp %04x:%016" PRIx64 " flags %08" PRIx64
         "%s%016" PRIx64,
         number(cpu), kinds[e->kind], e->vector, exception && e->vector < G_N_ELEMENTS(names) ? " #" : "",
         exception && e->vector < G_N_ELEMENTS(names) ? names[e->vector] : "", e->has_error ? e->error : 0, cpu->cpl,
         cpu->segment[X86_CS].selector, ip, cpu->segment[X86_SS].selector, cpu->gpr[X86_RSP], soft_get_rflags(cpu),
         exception && e->vector == VECTOR_PF ? " address " : " rax ",
         exception && e->vector == VECTOR_PF ? e->cr2 : cpu->gpr[X86_RAX]);
    soft_outside_end(cpu);
}
