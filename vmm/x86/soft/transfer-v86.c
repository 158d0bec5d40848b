/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual-8086 mode (SDM 3-20): entering it by IRET, IRET and INT n inside of it, with the
 * extensions of CR4.VME (SDM 3-20.3, table 20-2): the redirection bit map of the TSS and
 * the virtual interrupt flag.
 */
#include "vmm/x86/soft/transfer.h"

#define V86_LIMIT 0xffffu
enum { TSS_IO_MAP = 102 }; /* its offset in a 32-bit TSS; the redirection bit map is the 32 bytes below */

static bool iopl_is_3(const SoftCpu *cpu)
{
    return (cpu->eflags & EFLAGS_IOPL) == EFLAGS_IOPL;
}

/* EIP, CS and EFLAGS are read and those pushed before are ESP, SS, ES, DS, FS, GS. */
void soft_iret_to_v86(SoftCpu *cpu, uint32_t ip, uint16_t cs, uint32_t flags)
{
    static const uint8_t order[] = { X86_SS, X86_ES, X86_DS, X86_FS, X86_GS };
    uint32_t sp = (uint32_t)soft_stack_read(cpu, 12, 4);
    uint16_t selector[sizeof(order)];

    for (unsigned i = 0; i < sizeof(order); i++) {
        selector[i] = (uint16_t)soft_stack_read(cpu, 16 + 4 * i, 4);
    }
    if (ip > V86_LIMIT) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    cpu->eflags |= EFLAGS_VM; /* soft_set_paragraph() looks at it */
    soft_set_paragraph(cpu, X86_CS, cs);
    for (unsigned i = 0; i < sizeof(order); i++) {
        soft_set_paragraph(cpu, order[i], selector[i]);
    }
    cpu->gpr[X86_RSP] = sp;
    cpu->cpl = 3;
    cpu->rip = ip;
    soft_set_rflags(cpu, cpu->dr7 & 0xff ? flags : flags & ~(uint32_t)EFLAGS_RF);
}

void soft_iret_from_v86(SoftCpu *cpu, unsigned size)
{
    uint32_t keep = EFLAGS_VM | EFLAGS_IOPL | EFLAGS_VIF | EFLAGS_VIP, old = (uint32_t)soft_get_rflags(cpu), image;
    bool virtual_if = !iopl_is_3(cpu);
    uint64_t offset;
    uint16_t selector;

    if (virtual_if && (!(cpu->cr4 & CR4_VME) || size != 2)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    offset = soft_stack_read(cpu, 0, size);
    selector = (uint16_t)soft_stack_read(cpu, size, size);
    image = (uint32_t)soft_stack_read(cpu, 2 * size, size);
    if (virtual_if && (image & EFLAGS_TF || (image & EFLAGS_IF && old & EFLAGS_VIP))) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    if (offset > V86_LIMIT) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    if (size == 2) {
        keep |= 0xffff0000 & ~(uint32_t)EFLAGS_RF;
    }
    if (virtual_if) {
        keep |= EFLAGS_IF;
        old = image & EFLAGS_IF ? old | EFLAGS_VIF : old & ~(uint32_t)EFLAGS_VIF;
    }
    soft_stack_move(cpu, 3 * size);
    soft_set_paragraph(cpu, X86_CS, selector);
    cpu->rip = offset;
    image &= cpu->dr7 & 0xff ? UINT32_MAX : ~(uint32_t)EFLAGS_RF;
    soft_set_rflags(cpu, (old & keep) | (image & ~keep));
}

/* Bit `vector` of the redirection bit map; what lies beyond the TSS is #GP(0). */
static bool is_redirected(SoftCpu *cpu, unsigned vector)
{
    const X86Segment *tr = &cpu->tr;
    uint32_t offset;

    if (!(tr->attributes & 8) || tr->limit < TSS_IO_MAP + 1) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    offset = (uint32_t)soft_load(cpu, (tr->base + TSS_IO_MAP) & cpu->linear_mask, 2, ACCESS_SYSTEM);
    offset = offset - 32 + vector / 8;
    if (offset > tr->limit) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    return !(soft_load(cpu, (tr->base + offset) & cpu->linear_mask, 1, ACCESS_SYSTEM) >> (vector % 8) & 1);
}

/* As in real mode, through the vectors at linear address 0, but with the user's rights. */
static void int_through_vectors(SoftCpu *cpu, unsigned vector)
{
    uint64_t entry = soft_load(cpu, vector * 4, 4, ACCESS_READ);
    uint32_t flags = (uint32_t)soft_get_rflags(cpu), cleared = EFLAGS_TF | EFLAGS_RF;
    uint32_t image = flags;
    SoftFrame f;

    if (iopl_is_3(cpu)) {
        cleared |= EFLAGS_IF;
    } else {
        cleared |= EFLAGS_VIF;
        image = (image & ~(uint32_t)EFLAGS_IF) | EFLAGS_IOPL | (flags & EFLAGS_VIF ? EFLAGS_IF : 0);
    }
    soft_frame_present(cpu, &f);
    soft_frame_check(cpu, &f, 3, 2);
    soft_frame_push(cpu, &f, image, 2);
    soft_frame_push(cpu, &f, cpu->segment[X86_CS].selector, 2);
    soft_frame_push(cpu, &f, cpu->next_ip, 2);
    soft_frame_commit(cpu, &f);
    soft_set_paragraph(cpu, X86_CS, (uint16_t)(entry >> 16));
    cpu->rip = entry & 0xffff;
    soft_set_rflags(cpu, flags & ~cleared);
}

bool soft_int_in_v86(SoftCpu *cpu, unsigned vector)
{
    if (cpu->cr4 & CR4_VME && is_redirected(cpu, vector)) {
        int_through_vectors(cpu, vector);
        return true;
    }
    if (!iopl_is_3(cpu)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
    return false;
}
