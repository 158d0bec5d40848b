/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port input and output: IN, OUT, INS, OUTS (SDM 1-19, 2A and 2B under their names).
 *
 * Order of an access: permission (SDM 1-19.5), also of a repeated one that repeats zero
 * times; then memory, so that a page fault finds the port untouched; then the port, outside.
 * Devices may change anything meanwhile: the memory map, interrupts, even stop the machine;
 * so port instructions end their block.
 */
#include "vmm/x86/soft/exec-string.h"
#include "vmm/x86/soft/vm.h"

/* The I/O permission bit map in the TSS: SDM 1-19.5.2.  Two bytes are read whatever the port, and both must lie inside
 * the limit. */
static bool map_allows(SoftCpu *cpu, unsigned port, unsigned size)
{
    const X86Segment *tr = &cpu->tr;
    unsigned type = tr->attributes & SEG_TYPE;
    uint64_t map, bits;

    if ((type != 9 && type != 11) || tr->attributes & X86_SEG_UNUSABLE || tr->limit < 103) {
        return false; /* not the TSS of a 32- or 64-bit system */
    }
    map = soft_load(cpu, (tr->base + 102) & cpu->linear_mask, 2, ACCESS_SYSTEM) + port / 8;
    if (map + 1 > tr->limit) {
        return false;
    }
    bits = soft_load(cpu, (tr->base + map) & cpu->linear_mask, 2, ACCESS_SYSTEM);
    return !(bits >> (port % 8) & ((1u << size) - 1));
}

static void check_permission(SoftCpu *cpu, unsigned port, unsigned size)
{
    bool free_of_map = cpu->cpl <= (cpu->eflags & EFLAGS_IOPL) >> EFLAGS_IOPL_SHIFT && !(cpu->mode & MODE_VM86);

    if (!free_of_map && !map_allows(cpu, port, size)) {
        soft_raise_error(cpu, VECTOR_GP, 0);
    }
}

static uint64_t port_read(SoftCpu *cpu, unsigned port, unsigned size)
{
    uint64_t value = 0;

    cpu->count[COUNT_PIO]++;
    soft_outside_begin(cpu);
    memory_load(cpu->vm->ports, port, size, &value);
    soft_outside_end(cpu);
    soft_debug_port(cpu, port, size);
    return value;
}

static void port_write(SoftCpu *cpu, unsigned port, unsigned size, uint64_t value)
{
    value &= UINT64_MAX >> (64 - 8 * size);
    cpu->count[COUNT_PIO]++;
    soft_outside_begin(cpu);
    memory_store(cpu->vm->ports, port, size, value);
    soft_outside_end(cpu);
    soft_debug_port(cpu, port, size);
}

/* Doublewords at most: REX.W changes nothing. */
static inline unsigned port_size(const Op *op)
{
    return op->size > 4 ? 4 : op->size;
}

/* ---- IN and OUT ---- */

static const Op *in(SoftCpu *cpu, const Op *op, unsigned port)
{
    unsigned size = port_size(op);

    soft_sync(cpu, op);
    check_permission(cpu, port, size);
    string_set_rax(cpu, size, port_read(cpu, port, size));
    return soft_end(cpu, op);
}

static const Op *out(SoftCpu *cpu, const Op *op, unsigned port)
{
    unsigned size = port_size(op);

    soft_sync(cpu, op);
    check_permission(cpu, port, size);
    port_write(cpu, port, size, cpu->gpr[X86_RAX]);
    return soft_end(cpu, op);
}

const Op *soft_op_in_dx(SoftCpu *cpu, const Op *op)
{
    return in(cpu, op, (uint16_t)cpu->gpr[X86_RDX]);
}

const Op *soft_op_in_imm(SoftCpu *cpu, const Op *op)
{
    return in(cpu, op, (uint8_t)op->imm);
}

const Op *soft_op_out_dx(SoftCpu *cpu, const Op *op)
{
    return out(cpu, op, (uint16_t)cpu->gpr[X86_RDX]);
}

const Op *soft_op_out_imm(SoftCpu *cpu, const Op *op)
{
    return out(cpu, op, (uint8_t)op->imm);
}

/* ---- INS and OUTS: element by element, devices being slower than that ---- */

static void ins_element(SoftCpu *cpu, const Op *op, unsigned port, unsigned size)
{
    uint64_t to = string_destination(cpu, op, size, ACCESS_WRITE);

    soft_probe(cpu, to, size, ACCESS_WRITE);
    string_store(cpu, to, size, port_read(cpu, port, size));
    string_advance(cpu, op, X86_RDI, 1, size);
}

static void outs_element(SoftCpu *cpu, const Op *op, unsigned port, unsigned size)
{
    uint64_t from = string_source(cpu, op, size);

    port_write(cpu, port, size, string_load(cpu, from, size, string_source_access(op)));
    string_advance(cpu, op, X86_RSI, 1, size);
}

typedef void ElementFn(SoftCpu *cpu, const Op *op, unsigned port, unsigned size);

static inline const Op *port_string(SoftCpu *cpu, const Op *op, ElementFn *element)
{
    unsigned port = (uint16_t)cpu->gpr[X86_RDX], size = port_size(op);
    uint64_t count = 1;

    soft_sync(cpu, op);
    check_permission(cpu, port, size);
    if (!string_is_repeated(op)) {
        element(cpu, op, port, size);
        return soft_end(cpu, op);
    }
    soft_rep_truncate(cpu, op, false, false);
    for (count = string_get(cpu, op, X86_RCX); count; count--) {
        element(cpu, op, port, size);
        string_set(cpu, op, X86_RCX, count - 1);
        if (count > 1 && soft_rep_wanted_elsewhere(cpu)) {
            return soft_rep_leave(cpu, op);
        }
    }
    return soft_end(cpu, op);
}

const Op *soft_op_ins(SoftCpu *cpu, const Op *op)
{
    return port_string(cpu, op, ins_element);
}

const Op *soft_op_outs(SoftCpu *cpu, const Op *op)
{
    return port_string(cpu, op, outs_element);
}
