/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts and exceptions in real mode (SDM 3-20.1.4): through four-byte vectors at
 * IDTR.base; no error code is pushed.
 */
#include "vmm/x86/soft/transfer.h"

void soft_deliver_real(SoftCpu *cpu)
{
    unsigned offset = cpu->delivering.vector * 4u;
    uint64_t entry;
    SoftFrame f;

    if (offset + 3 > cpu->idt.limit) {
        soft_raise_error(cpu, VECTOR_GP, soft_event_idt_error(cpu));
    }
    entry = soft_load(cpu, (cpu->idt.base + offset) & cpu->linear_mask, 4, ACCESS_SYSTEM);
    soft_frame_present(cpu, &f);
    soft_frame_check(cpu, &f, 3, 2);
    soft_frame_push(cpu, &f, soft_event_flags(cpu), 2);
    soft_frame_push(cpu, &f, cpu->segment[X86_CS].selector, 2);
    soft_frame_push(cpu, &f, soft_event_return_ip(cpu), 2);
    soft_frame_commit(cpu, &f);
    soft_set_paragraph(cpu, X86_CS, (uint16_t)(entry >> 16));
    cpu->rip = entry & 0xffff;
    cpu->eflags &= ~(uint32_t)(EFLAGS_IF | EFLAGS_TF | EFLAGS_AC | EFLAGS_RF);
    soft_update_mode(cpu);
}
