/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System instructions: control and debug registers, descriptor table registers, TLB and cache
 * control, MSRs, CPUID, time stamps, HLT, fences, RSM.  SDM 2A-2C by mnemonic; SDM 3-18.2 for
 * debug registers.
 *
 * Almost all are for CPL 0 only, which virtual-8086 mode never is.  There are no caches and no
 * store buffers but the host's, so WBINVD and its like do nothing, and fences are the host's.
 *
 * Left out, so #UD: MONITOR, MWAIT, VMX and SVM but for KVM's hypercalls, GETSEC, ENCLS, PCONFIG.
 */
#include "vmm/x86/soft/decode.h"
#include "vmm/x86/soft/system.h"

#define KVM_HC_VAPIC_POLL_IRQ 1
#define KVM_ENOSYS 1000
#define KVM_EPERM  1
#define MSW_BITS   UINT64_C(0xf) /* PE, MP, EM, TS */

static _Noreturn void general_protection(SoftCpu *cpu)
{
    soft_raise_error(cpu, VECTOR_GP, 0);
}

static void need_cpl0(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    if (UNLIKELY(cpu->cpl)) {
        general_protection(cpu);
    }
}

/* User-mode instruction prevention: SGDT, SIDT, SMSW. */
static void check_umip(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    if (UNLIKELY(cpu->cpl && cpu->cr4 & CR4_UMIP)) {
        general_protection(cpu);
    }
}

/* Moves to and from control and debug registers have 64 bits in 64-bit code, else 32. */
static uint64_t get_word(const SoftCpu *cpu, uint16_t offset)
{
    return soft_in_64bit_code(cpu) ? SOFT_REG(cpu, uint64_t, offset) : SOFT_REG(cpu, uint32_t, offset);
}

static void set_word(SoftCpu *cpu, uint16_t offset, uint64_t value)
{
    SOFT_REG(cpu, uint64_t, offset) = soft_in_64bit_code(cpu) ? value : (uint32_t)value;
}

static void set_pair(SoftCpu *cpu, uint64_t value)
{
    cpu->gpr[X86_RAX] = (uint32_t)value;
    cpu->gpr[X86_RDX] = value >> 32;
}

static uint64_t get_pair(const SoftCpu *cpu)
{
    return (uint32_t)cpu->gpr[X86_RAX] | cpu->gpr[X86_RDX] << 32;
}

/* ---- control registers ---- */
static uint64_t read_cr8(SoftCpu *cpu)
{
    uint64_t value;

    soft_outside_begin(cpu);
    value = cpu->hooks->cr8_read(cpu, cpu->opaque);
    soft_outside_end(cpu);
    return value;
}

static void write_cr8(SoftCpu *cpu, uint64_t value)
{
    if (value > 15) {
        general_protection(cpu);
    }
    soft_outside_begin(cpu);
    cpu->hooks->cr8_write(cpu, cpu->opaque, value);
    soft_outside_end(cpu);
    soft_update_attention(cpu);
}

static void write_cr3(SoftCpu *cpu, uint64_t value)
{
    bool keep = cpu->cr4 & CR4_PCIDE && value >> 63;

    if (cpu->cr4 & CR4_PCIDE) {
        value &= ~(UINT64_C(1) << 63);
    }
    soft_set_cr3(cpu, value, keep);
}

static const Op *op_mov_from_cr(SoftCpu *cpu, const Op *op)
{
    uint64_t value;

    need_cpl0(cpu, op);
    switch (op->src) {
    case 0: value = cpu->cr0; break;
    case 2: value = cpu->cr2; break;
    case 3: value = cpu->cr3; break;
    case 4: value = cpu->cr4; break;
    case 8: value = read_cr8(cpu); break;
    default: soft_raise(cpu, VECTOR_UD);
    }
    set_word(cpu, op->dst, value);
    SOFT_NEXT(cpu, op);
}

static const Op *op_mov_to_cr(SoftCpu *cpu, const Op *op)
{
    uint64_t value = get_word(cpu, op->src);

    need_cpl0(cpu, op);
    switch (op->dst) {
    case 0: soft_write_cr0(cpu, value); break;
    case 2: cpu->cr2 = value; break;
    case 3: write_cr3(cpu, value); break;
    case 4: soft_write_cr4(cpu, value); break;
    case 8: write_cr8(cpu, value); break;
    default: soft_raise(cpu, VECTOR_UD);
    }
    return soft_end(cpu, op);
}

static const Op *op_clts(SoftCpu *cpu, const Op *op)
{
    need_cpl0(cpu, op);
    cpu->cr0 &= ~CR0_TS;
    soft_update_mode(cpu);
    return soft_end(cpu, op);
}

/* PE can be set by it, not cleared. */
static const Op *op_lmsw(SoftCpu *cpu, const Op *op)
{
    uint64_t value;

    need_cpl0(cpu, op);
    value = op->flags & OP_MEM ? soft_ld16(cpu, op, soft_ea(cpu, op)) : SOFT_REG(cpu, uint16_t, op->dst);
    soft_write_cr0(cpu, (cpu->cr0 & ~(MSW_BITS & ~CR0_PE)) | (value & MSW_BITS));
    return soft_end(cpu, op);
}

static const Op *op_smsw(SoftCpu *cpu, const Op *op)
{
    check_umip(cpu, op);
    if (op->flags & OP_MEM) {
        soft_st16(cpu, op, soft_ea(cpu, op), (uint16_t)cpu->cr0);
    } else if (op->size == 2) {
        SOFT_REG(cpu, uint16_t, op->dst) = (uint16_t)cpu->cr0;
    } else {
        SOFT_REG(cpu, uint64_t, op->dst) = cpu->cr0; /* 32 bits at most are set */
    }
    SOFT_NEXT(cpu, op);
}

/* ---- debug registers ---- */
/* DR4 and DR5 are DR6 and DR7, unless CR4.DE makes them nothing. */
static unsigned debug_register(SoftCpu *cpu, const Op *op, unsigned number)
{
    need_cpl0(cpu, op);
    if (number > 7 || (cpu->cr4 & CR4_DE && (number == 4 || number == 5))) {
        soft_raise(cpu, VECTOR_UD);
    }
    if (cpu->dr7 & DR7_GD) {
        const SoftEvent event = { .kind = EVENT_FAULT, .vector = VECTOR_DB, .dr6 = DR6_BD };

        soft_raise_event(cpu, &event);
    }
    return number == 4 || number == 5 ? number + 2 : number;
}

static const Op *op_mov_from_dr(SoftCpu *cpu, const Op *op)
{
    unsigned number = debug_register(cpu, op, op->src);

    set_word(cpu, op->dst, number == 6 ? cpu->dr6 : number == 7 ? cpu->dr7 : cpu->dr[number]);
    SOFT_NEXT(cpu, op);
}

static const Op *op_mov_to_dr(SoftCpu *cpu, const Op *op)
{
    unsigned number = debug_register(cpu, op, op->dst);
    uint64_t value = get_word(cpu, op->src), armed = cpu->dr7;

    if (number >= 6 && value >> 32) {
        general_protection(cpu);
    }
    if (number == 6) {
        cpu->dr6 = (value & DR6_WRITABLE) | DR6_FIXED;
    } else if (number == 7) {
        cpu->dr7 = (value & DR7_WRITABLE) | DR7_FIXED;
    } else {
        cpu->dr[number] = value;
    }
    if ((armed | cpu->dr7) & DR7_ENABLES) {
        soft_tlb_flush(cpu); /* pages that are watched have no entries */
    }
    soft_update_mode(cpu);
    return soft_end(cpu, op);
}

/* ---- descriptor table registers ---- */
/* With an operand size of 16 bits the base is stored whole all the same, but only 24 bits of it are loaded. */
static const Op *store_table(SoftCpu *cpu, const Op *op, const X86Table *table)
{
    unsigned base_size = soft_in_64bit_code(cpu) ? 8 : 4, access = soft_op_access(op);
    uint64_t linear = soft_ea(cpu, op);

    check_umip(cpu, op);
    soft_probe(cpu, linear, 2 + base_size, ACCESS_WRITE | access);
    soft_store(cpu, linear, 2, table->limit, access);
    soft_store(cpu, linear + 2, base_size, table->base, access);
    SOFT_NEXT(cpu, op);
}

static const Op *load_table(SoftCpu *cpu, const Op *op, X86Table *table)
{
    uint64_t linear = soft_ea(cpu, op), base;
    uint16_t limit;

    need_cpl0(cpu, op);
    limit = (uint16_t)soft_load(cpu, linear, 2, soft_op_access(op));
    base = soft_load(cpu, linear + 2, soft_in_64bit_code(cpu) ? 8 : 4, soft_op_access(op));
    if (!soft_in_64bit_code(cpu)) {
        base &= op->size == 2 ? 0xffffff : UINT32_MAX;
    } else if (!soft_is_canonical(base)) {
        general_protection(cpu);
    }
    table->base = base;
    table->limit = limit;
    SOFT_NEXT(cpu, op);
}

static const Op *op_sgdt(SoftCpu *cpu, const Op *op)
{
    return store_table(cpu, op, &cpu->gdt);
}

static const Op *op_sidt(SoftCpu *cpu, const Op *op)
{
    return store_table(cpu, op, &cpu->idt);
}

static const Op *op_lgdt(SoftCpu *cpu, const Op *op)
{
    return load_table(cpu, op, &cpu->gdt);
}

static const Op *op_lidt(SoftCpu *cpu, const Op *op)
{
    return load_table(cpu, op, &cpu->idt);
}

/* ---- TLB ---- */
static const Op *op_invlpg(SoftCpu *cpu, const Op *op)
{
    uint64_t linear = soft_ea(cpu, op);

    need_cpl0(cpu, op);
    soft_tlb_flush_page(cpu, linear); /* of an address that is not canonical there are no entries */
    return soft_end(cpu, op);
}

static const Op *op_invpcid(SoftCpu *cpu, const Op *op)
{
    uint64_t type = get_word(cpu, op->dst), linear = soft_ea(cpu, op), pcid, address;

    need_cpl0(cpu, op);
    if (type > 3) {
        general_protection(cpu);
    }
    pcid = soft_load(cpu, linear, 8, soft_op_access(op));
    address = soft_load(cpu, linear + 8, 8, soft_op_access(op));
    if (pcid >> 12 || (type < 2 && pcid && !(cpu->cr4 & CR4_PCIDE)) || (type == 0 && !soft_is_canonical(address))) {
        general_protection(cpu);
    }
    soft_invpcid(cpu, (unsigned)type, pcid, address);
    return soft_end(cpu, op);
}

/* ---- caches and order ---- */
static const Op *op_wbinvd(SoftCpu *cpu, const Op *op)
{
    need_cpl0(cpu, op);
    SOFT_NEXT(cpu, op);
}

/* Faults as a load of one byte does. */
static const Op *op_clflush(SoftCpu *cpu, const Op *op)
{
    uint64_t linear = soft_ea(cpu, op);

    if (!soft_tlb_read(cpu, linear, 1)) {
        soft_sync(cpu, op);
        soft_probe(cpu, linear, 1, ACCESS_READ | soft_op_access(op));
    }
    SOFT_NEXT(cpu, op);
}

static const Op *op_mfence(SoftCpu *cpu, const Op *op)
{
    __asm__ volatile("mfence" : : : "memory");
    SOFT_NEXT(cpu, op);
}

static const Op *op_lfence(SoftCpu *cpu, const Op *op)
{
    __asm__ volatile("lfence" : : : "memory");
    SOFT_NEXT(cpu, op);
}

static const Op *op_sfence(SoftCpu *cpu, const Op *op)
{
    __asm__ volatile("sfence" : : : "memory");
    SOFT_NEXT(cpu, op);
}

/* ---- MSRs, XCR0, CPUID, time ---- */
static const Op *op_rdmsr(SoftCpu *cpu, const Op *op)
{
    uint64_t value = 0;

    need_cpl0(cpu, op);
    if (!soft_msr_read(cpu, (uint32_t)cpu->gpr[X86_RCX], &value)) {
        general_protection(cpu);
    }
    set_pair(cpu, value);
    SOFT_NEXT(cpu, op);
}

static const Op *op_wrmsr(SoftCpu *cpu, const Op *op)
{
    need_cpl0(cpu, op);
    if (!soft_msr_write(cpu, (uint32_t)cpu->gpr[X86_RCX], get_pair(cpu))) {
        general_protection(cpu);
    }
    return soft_end(cpu, op);
}

static const Op *op_xsetbv(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    if (!(cpu->cr4 & CR4_OSXSAVE)) {
        soft_raise(cpu, VECTOR_UD);
    }
    if (cpu->cpl || (uint32_t)cpu->gpr[X86_RCX]) {
        general_protection(cpu);
    }
    soft_write_xcr0(cpu, get_pair(cpu));
    return soft_end(cpu, op);
}

static const Op *op_cpuid(SoftCpu *cpu, const Op *op)
{
    uint32_t r[4];

    soft_sync(cpu, op);
    if (cpu->cpl && cpu->misc_features & MISC_FEATURE_CPUID_FAULT) {
        general_protection(cpu);
    }
    soft_cpuid_execute(cpu, (uint32_t)cpu->gpr[X86_RAX], (uint32_t)cpu->gpr[X86_RCX], r);
    cpu->gpr[X86_RAX] = r[0];
    cpu->gpr[X86_RBX] = r[1];
    cpu->gpr[X86_RCX] = r[2];
    cpu->gpr[X86_RDX] = r[3];
    SOFT_NEXT(cpu, op);
}

static void check_tsd(SoftCpu *cpu, const Op *op)
{
    if (UNLIKELY(cpu->cpl && cpu->cr4 & CR4_TSD)) {
        soft_sync(cpu, op);
        general_protection(cpu);
    }
}

/* Both end their block: instructions are counted by the block, and time may be a count of them. */
static const Op *op_rdtsc(SoftCpu *cpu, const Op *op)
{
    check_tsd(cpu, op);
    set_pair(cpu, soft_cpu_tsc(cpu));
    return soft_goto(cpu, cpu->rip + op->ip + op->length);
}

/* Unlike RDTSC it waits for what is before it (SDM 2B RDTSCP): a time that is read under a lock is not from before the
 * lock was taken. */
static const Op *op_rdtscp(SoftCpu *cpu, const Op *op)
{
    check_tsd(cpu, op);
    __asm__ volatile("lfence" : : : "memory");
    set_pair(cpu, soft_cpu_tsc(cpu));
    cpu->gpr[X86_RCX] = (uint32_t)cpu->tsc_aux;
    return soft_goto(cpu, cpu->rip + op->ip + op->length);
}

static const Op *op_rdpid(SoftCpu *cpu, const Op *op)
{
    SOFT_REG(cpu, uint64_t, op->dst) = (uint32_t)cpu->tsc_aux;
    SOFT_NEXT(cpu, op);
}

/* There are no counters, so no index is valid. */
static const Op *op_rdpmc(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    general_protection(cpu);
}

/* ---- HLT, hypercalls, RSM ---- */
static const Op *op_hlt(SoftCpu *cpu, const Op *op)
{
    need_cpl0(cpu, op);
    cpu->halted = true;
    soft_update_attention(cpu);
    return soft_end(cpu, op);
}

/* KVM's, Linux Documentation/virt/kvm/x86/hypercalls.rst. */
static uint64_t hypercall(SoftCpu *cpu)
{
    static const uint8_t registers[4] = { X86_RBX, X86_RCX, X86_RDX, X86_RSI };
    uint64_t number = get_word(cpu, offsetof(SoftCpu, gpr[X86_RAX])), arguments[4], result;

    if (cpu->cpl) {
        return (uint64_t)-KVM_EPERM;
    }
    if (number == KVM_HC_VAPIC_POLL_IRQ) {
        return 0;
    }
    if (!cpu->hooks->hypercall) {
        return (uint64_t)-KVM_ENOSYS;
    }
    for (unsigned i = 0; i < 4; i++) {
        arguments[i] = get_word(cpu, (uint16_t)(offsetof(SoftCpu, gpr) + 8 * registers[i]));
    }
    soft_outside_begin(cpu);
    result = cpu->hooks->hypercall(cpu, cpu->opaque, number, arguments, soft_in_64bit_code(cpu) ? 64 : 32);
    soft_outside_end(cpu);
    soft_update_attention(cpu);
    return result;
}

static const Op *op_vmcall(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    if (!soft_offers(cpu, FEATURE_KVM_CALLS)) {
        soft_raise(cpu, VECTOR_UD);
    }
    set_word(cpu, offsetof(SoftCpu, gpr[X86_RAX]), hypercall(cpu));
    return soft_goto(cpu, cpu->rip + op->ip + op->length);
}

static const Op *op_rsm(SoftCpu *cpu, const Op *op)
{
    soft_sync(cpu, op);
    if (!cpu->in_smm) {
        soft_raise(cpu, VECTOR_UD);
    }
    soft_leave_smm(cpu);
    return NULL;
}

const SoftInstr soft_system_instructions[] = {
    { ZYDIS_MNEMONIC_MOV, op_mov_to_cr, INSTR_ENDS, ZYDIS_REGCLASS_CONTROL, 0 },
    { ZYDIS_MNEMONIC_MOV, op_mov_from_cr, 0, 0, ZYDIS_REGCLASS_CONTROL },
    { ZYDIS_MNEMONIC_MOV, op_mov_to_dr, INSTR_ENDS, ZYDIS_REGCLASS_DEBUG, 0 },
    { ZYDIS_MNEMONIC_MOV, op_mov_from_dr, 0, 0, ZYDIS_REGCLASS_DEBUG },
    { ZYDIS_MNEMONIC_CLTS, op_clts, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_LMSW, op_lmsw, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_SMSW, op_smsw, 0, 0, 0 },
    { ZYDIS_MNEMONIC_SGDT, op_sgdt, 0, 0, 0 },
    { ZYDIS_MNEMONIC_SIDT, op_sidt, 0, 0, 0 },
    { ZYDIS_MNEMONIC_LGDT, op_lgdt, 0, 0, 0 },
    { ZYDIS_MNEMONIC_LIDT, op_lidt, 0, 0, 0 },
    { ZYDIS_MNEMONIC_INVLPG, op_invlpg, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_INVPCID, op_invpcid, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_WBINVD, op_wbinvd, 0, 0, 0 },
    { ZYDIS_MNEMONIC_INVD, op_wbinvd, 0, 0, 0 },
    { ZYDIS_MNEMONIC_CLFLUSH, op_clflush, 0, 0, 0 },
    { ZYDIS_MNEMONIC_CLFLUSHOPT, op_clflush, 0, 0, 0 },
    { ZYDIS_MNEMONIC_CLWB, op_clflush, 0, 0, 0 },
    { ZYDIS_MNEMONIC_MFENCE, op_mfence, 0, 0, 0 },
    { ZYDIS_MNEMONIC_LFENCE, op_lfence, 0, 0, 0 },
    { ZYDIS_MNEMONIC_SFENCE, op_sfence, 0, 0, 0 },
    { ZYDIS_MNEMONIC_SERIALIZE, op_mfence, 0, 0, 0 },
    { ZYDIS_MNEMONIC_RDMSR, op_rdmsr, 0, 0, 0 },
    { ZYDIS_MNEMONIC_WRMSR, op_wrmsr, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_XSETBV, op_xsetbv, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_CPUID, op_cpuid, 0, 0, 0 },
    { ZYDIS_MNEMONIC_RDTSC, op_rdtsc, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_RDTSCP, op_rdtscp, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_RDPID, op_rdpid, 0, 0, 0 },
    { ZYDIS_MNEMONIC_RDPMC, op_rdpmc, 0, 0, 0 },
    { ZYDIS_MNEMONIC_HLT, op_hlt, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_VMCALL, op_vmcall, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_VMMCALL, op_vmcall, INSTR_ENDS, 0, 0 },
    { ZYDIS_MNEMONIC_RSM, op_rsm, INSTR_ENDS, 0, 0 },
    { 0 },
};
