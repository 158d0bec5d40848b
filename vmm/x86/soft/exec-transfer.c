/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that transfer control between segments, levels and tasks: far CALL, JMP and
 * RET, IRET, INT n, INT3, INT1, INTO, SYSCALL and SYSENTER (SDM 2A, 2B).
 *
 * Software interrupts are events (interrupt.c), as exceptions are.
 */
#include "vmm/x86/soft/decode.h"
#include "vmm/x86/soft/transfer.h"

/* ---- far CALL, JMP, RET ---- */

static const Op *far_transfer(SoftCpu *cpu, const Op *op, SoftTransfer kind)
{
    unsigned size = soft_far_offset_size(cpu, op);
    uint64_t offset, linear;
    uint16_t selector;

    soft_sync(cpu, op);
    if (op->flags & OP_MEM) {
        linear = soft_ea(cpu, op);
        offset = soft_load(cpu, linear, size, soft_op_access(op));
        selector = (uint16_t)soft_load(cpu, linear + size, 2, soft_op_access(op));
    } else {
        offset = (uint32_t)op->imm;
        selector = (uint16_t)(op->imm >> 32);
    }
    soft_far_transfer(cpu, selector, offset, size, kind);
    return soft_goto(cpu, cpu->rip);
}

static const Op *op_jmp_far(SoftCpu *cpu, const Op *op)
{
    return far_transfer(cpu, op, TRANSFER_JUMP);
}

static const Op *op_call_far(SoftCpu *cpu, const Op *op)
{
    return far_transfer(cpu, op, TRANSFER_CALL);
}

static const Op *op_ret_far(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    soft_far_return(cpu, op->size, (uint16_t)op->imm);
    return soft_goto(cpu, cpu->rip);
}

/* ---- interrupts ---- */

static const Op *op_iret(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    soft_iret(cpu, op->size);
    return soft_goto(cpu, cpu->rip);
}

static _Noreturn void raise_software_interrupt(SoftCpu *cpu, unsigned vector)
{
    SoftEvent event = { .kind = EVENT_SOFTWARE_INT, .vector = (uint8_t)vector };

    soft_raise_event(cpu, &event);
}

static const Op *op_int(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    if (cpu->mode & MODE_VM86 && soft_int_in_v86(cpu, (uint8_t)op->imm)) {
        return soft_goto(cpu, cpu->rip);
    }
    raise_software_interrupt(cpu, (uint8_t)op->imm);
}

static const Op *op_int3(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    raise_software_interrupt(cpu, VECTOR_BP);
}

static const Op *op_into(SoftCpu *cpu, const Op *op)
{
    if (!(cpu->cc & CC_OF)) {
        SOFT_NEXT(cpu, op);
    }
    soft_sync(cpu, op);
    raise_software_interrupt(cpu, VECTOR_OF);
}

static const Op *op_int1(SoftCpu *cpu, const Op *op)
{
    SoftEvent event = { .kind = EVENT_ICEBP, .vector = VECTOR_DB };

    soft_sync(cpu, op);
    soft_raise_event(cpu, &event);
}

/* CALL, JMP and RET are the far ones. */
const SoftInstr soft_transfer_instructions[] = {
    { ZYDIS_MNEMONIC_CALL, op_call_far, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_JMP, op_jmp_far, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_RET, op_ret_far, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_IRET, op_iret, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_IRETD, op_iret, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_IRETQ, op_iret, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_INT, op_int, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_INT3, op_int3, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_INT1, op_int1, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_INTO, op_into, INSTR_NO_64, 0, 0 },
    { ZYDIS_MNEMONIC_SYSCALL, soft_op_syscall, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_SYSRET, soft_op_sysret, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_SYSENTER, soft_op_sysenter, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_SYSEXIT, soft_op_sysexit, INSTR_ENDS, 0, 0 },
    { 0 },
};
