/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far transfers of control and the delivery of events.  Private to exec-transfer.c,
 * transfer-*.c, interrupt*.c and task.c.
 *
 * Each of these functions either raises an exception and has changed no register, or has
 * changed all of them: cpu->rip is where execution goes on, and the mode is updated.  A task
 * switch may raise in the new task (task.c).
 */
#pragma once

#include "vmm/x86/soft/descriptor.h"

typedef enum SoftTransfer { TRANSFER_JUMP, TRANSFER_CALL, TRANSFER_RETURN, TRANSFER_EVENT } SoftTransfer;

/* ---- transfer-far.c: far JMP and CALL; size is the operand size ---- */
void soft_far_transfer(SoftCpu *cpu, uint16_t selector, uint64_t offset, unsigned size, SoftTransfer kind);

/* ---- transfer-gate.c ---- */
/* Through the system descriptor that a far JMP or CALL found: call gate, task gate, TSS. */
void soft_gate_transfer(SoftCpu *cpu, SoftDescriptor *gate, SoftTransfer kind);
/* The code segment that a gate names, for a transfer to CPL or more privilege, SDM 3-5.8.4, 3-6.12.1. */
void soft_read_gate_target(SoftCpu *cpu, uint16_t selector, SoftDescriptor *ret);
/* A stack pointer out of the TSS: SS:ESP of a level in protected mode (checked: #TS, #SS), RSPn in long mode. */
uint64_t soft_inner_stack(SoftCpu *cpu, unsigned level, SoftDescriptor *ret_ss);
uint64_t soft_tss_pointer64(SoftCpu *cpu, unsigned offset); /* of RSP0 ... IST7 */
enum { TSS64_RSP0 = 4, TSS64_IST1 = 36 };

/* ---- transfer-return.c, transfer-iret.c ---- */
void soft_far_return(SoftCpu *cpu, unsigned size, unsigned release);
void soft_iret(SoftCpu *cpu, unsigned size);
/* A code segment to return to (RETF, IRET): its RPL is the CPL or more. */
void soft_read_return_target(SoftCpu *cpu, uint16_t selector, SoftDescriptor *ret);
/* SS of a return outwards (or of IRET in 64-bit code).  False: null, as 64-bit code may have it. */
bool soft_read_return_stack(SoftCpu *cpu, uint16_t selector, const SoftDescriptor *code, SoftDescriptor *ret);
void soft_commit_return_stack(SoftCpu *cpu, const SoftDescriptor *ss, uint16_t selector, uint64_t sp);

/* ---- transfer-v86.c: virtual-8086 mode, SDM 3-20 ---- */
void soft_iret_from_v86(SoftCpu *cpu, unsigned size);
void soft_iret_to_v86(SoftCpu *cpu, uint32_t ip, uint16_t cs, uint32_t flags);
/* INT n: true if it was one for the program's own vectors and is done (CR4.VME), else it goes through the IDT. */
bool soft_int_in_v86(SoftCpu *cpu, unsigned vector);

/* ---- transfer-syscall.c ---- */
OpFn soft_op_syscall, soft_op_sysret, soft_op_sysenter, soft_op_sysexit;

/* ---- interrupt-*.c: cpu->delivering ---- */
void soft_deliver_real(SoftCpu *cpu);
void soft_deliver_protected(SoftCpu *cpu);
void soft_deliver_long(SoftCpu *cpu);
uint64_t soft_event_return_ip(const SoftCpu *cpu);
uint64_t soft_event_flags(const SoftCpu *cpu); /* the image to push */
uint32_t soft_event_idt_error(const SoftCpu *cpu); /* of a fault that the gate causes */

/* ---- task.c ---- */
/* The TSS is available and present, but else unchecked.  Event: cpu->delivering is what causes it. */
void soft_task_switch(SoftCpu *cpu, const SoftDescriptor *tss, SoftTransfer kind);
/* What a JMP, CALL or gate names: checked. */
void soft_read_available_tss(SoftCpu *cpu, uint16_t selector, SoftDescriptor *ret);
void soft_task_return(SoftCpu *cpu); /* IRET with NT */
