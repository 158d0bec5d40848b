/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts and exceptions in long mode (SDM 3-6.14): 64-bit gates of 16 bytes, stacks
 * aligned to 16 bytes, the interrupt stack table.
 *
 * This is the way of every page fault and timer tick: straight, with the frame in one piece
 * where the TLB knows the stack.
 */
#include "vmm/x86/soft/transfer.h"

enum { FRAME_WORDS = 6 }; /* SS, RSP, RFLAGS, CS, RIP, error code */

static void read_gate(SoftCpu *cpu, SoftDescriptor *gate)
{
    const SoftEvent *e = &cpu->delivering;
    uint64_t linear = cpu->idt.base + e->vector * 16u;
    unsigned type;

    if (e->vector * 16u + 15 > cpu->idt.limit) {
        soft_raise_error(cpu, VECTOR_GP, soft_event_idt_error(cpu));
    }
    gate->low = soft_load_system64(cpu, linear);
    gate->high = soft_load_system64(cpu, linear + 8);
    type = gate->low >> 40 & 0x1f;
    if ((type != SYSTEM_INTERRUPT_GATE32 && type != SYSTEM_TRAP_GATE32) ||
        (e->kind == EVENT_SOFTWARE_INT && descriptor_dpl(gate) < cpu->cpl)) {
        soft_raise_error(cpu, VECTOR_GP, soft_event_idt_error(cpu));
    }
    if (!descriptor_is_present(gate)) {
        soft_raise_error(cpu, VECTOR_NP, soft_event_idt_error(cpu));
    }
}

static uint64_t choose_stack(SoftCpu *cpu, const SoftDescriptor *gate, unsigned cpl)
{
    unsigned ist = gate->low >> 32 & 7;
    uint64_t sp = cpu->gpr[X86_RSP];

    if (ist) {
        sp = soft_tss_pointer64(cpu, TSS64_IST1 + (ist - 1) * 8);
    } else if (cpl != cpu->cpl) {
        sp = soft_tss_pointer64(cpu, TSS64_RSP0 + cpl * 8);
    }
    return sp & ~UINT64_C(15);
}

/* Returns the stack pointer below the frame. */
static uint64_t push_frame(SoftCpu *cpu, uint64_t sp, unsigned cpl)
{
    const SoftEvent *e = &cpu->delivering;
    const uint64_t word[FRAME_WORDS] = { cpu->segment[X86_SS].selector, cpu->gpr[X86_RSP], soft_event_flags(cpu),
                                         cpu->segment[X86_CS].selector, soft_event_return_ip(cpu), e->error };
    unsigned n = FRAME_WORDS - !e->has_error;
    bool inwards = cpl != cpu->cpl;
    const TlbSet *tlb = inwards ? &cpu->tlbs[TLB_SUPERVISOR] : cpu->tlb;
    uint64_t bottom = sp - n * 8;
    const TlbEntry *entry = &tlb->write[bottom >> 12 & (TLB_SIZE - 1)];

    if (LIKELY(entry->tag == (((sp - 1) & PAGE_MASK) | tlb->asid))) {
        volatile uint64_t *p = (volatile uint64_t *)(sp + entry->addend);

        for (unsigned i = 0; i < n; i++) {
            *--p = word[i];
        }
    } else {
        for (unsigned i = 0; i < n; i++) {
            soft_store(cpu, sp - (i + 1) * 8, 8, word[i],
                       ACCESS_WRITE | ACCESS_STACK | (inwards ? ACCESS_SYSTEM : 0));
        }
    }
    return bottom;
}

void soft_deliver_long(SoftCpu *cpu)
{
    SoftDescriptor gate, code;
    uint64_t target, sp;
    unsigned cpl;

    read_gate(cpu, &gate);
    soft_read_gate_target(cpu, gate_selector(&gate), &code);
    cpl = descriptor_is_conforming(&code) ? cpu->cpl : descriptor_dpl(&code);
    target = gate_offset(&gate) | gate.high << 32;
    sp = choose_stack(cpu, &gate, cpl);
    soft_check_code_target(cpu, &code, target);
    sp = push_frame(cpu, sp, cpl);
    soft_mark_accessed(cpu, &code);
    if (cpl != cpu->cpl) {
        soft_set_null(cpu, X86_SS, (uint16_t)cpl);
    }
    cpu->gpr[X86_RSP] = sp;
    soft_commit_code(cpu, &code, cpl, target);
    cpu->eflags &= ~(uint32_t)(EFLAGS_TF | EFLAGS_NT | EFLAGS_RF |
                               (descriptor_type(&gate) == SYSTEM_INTERRUPT_GATE32 ? EFLAGS_IF : 0));
    soft_update_mode(cpu);
}
