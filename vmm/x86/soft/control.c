/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CR0, CR4, EFER and XCR0: what may be written to them (SDM 3-2.5, 3-2.6, 3-10.8.5 for the
 * way into and out of IA-32e mode, APM 2-3.1) and what follows from it: the mode, PDPTEs of PAE
 * paging (SDM 3-4.4.1), flushes (SDM 3-4.10.4.1).
 *
 * Caches are not modelled: CR0.CD and CR0.NW only hold their value.
 */
#include "vmm/x86/soft/system.h"
#include "vmm/x86/soft/vm.h"

#define CR0_BITS (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
/* Changes after which what linear addresses mean, or who may use them, is different. */
#define CR0_FLUSHES (CR0_PG | CR0_WP | CR0_PE)
#define CR4_FLUSHES (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP)
#define CR0_PDPTES (CR0_PG | CR0_CD | CR0_NW)
#define CR4_PDPTES (CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP)

#define TYPE_TSS16      1u
#define TYPE_TSS16_BUSY 3u

static _Noreturn void refuse(SoftCpu *cpu)
{
    soft_raise_error(cpu, VECTOR_GP, 0);
}

/* ---- what CPUID allows ---- */
uint64_t soft_cr4_bits(const SoftCpu *cpu)
{
    static const struct { uint64_t bits; unsigned feature; } rows[] = {
        { CR4_VME | CR4_PVI, FEATURE_VME }, { CR4_TSD, FEATURE_TSC }, { CR4_DE, FEATURE_DE }, { CR4_PSE, FEATURE_PSE },
        { CR4_PAE, FEATURE_PAE }, { CR4_MCE, FEATURE_MCE }, { CR4_PGE, FEATURE_PGE }, { CR4_PCE, FEATURE_ALWAYS },
        { CR4_OSFXSR, FEATURE_FXSR }, { CR4_OSXMMEXCPT, FEATURE_SSE }, { CR4_UMIP, FEATURE_UMIP },
        { CR4_FSGSBASE, FEATURE_FSGSBASE }, { CR4_PCIDE, FEATURE_PCID }, { CR4_OSXSAVE, FEATURE_XSAVE },
        { CR4_SMEP, FEATURE_SMEP }, { CR4_SMAP, FEATURE_SMAP },
    };
    uint64_t bits = 0;

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bits |= soft_offers(cpu, rows[i].feature) ? rows[i].bits : 0;
    }
    return bits;
}

uint64_t soft_efer_bits(const SoftCpu *cpu)
{
    uint64_t bits = 0;

    bits |= soft_offers(cpu, FEATURE_SYSCALL) ? EFER_SCE : 0;
    bits |= soft_offers(cpu, FEATURE_LM) ? EFER_LME | EFER_LMA : 0;
    bits |= soft_offers(cpu, FEATURE_NX) ? EFER_NXE : 0;
    bits |= soft_offers(cpu, FEATURE_AUTO_IBRS) ? EFER_AUTO_IBRS : 0;
    return bits;
}

uint64_t soft_xcr0_bits(const SoftCpu *cpu)
{
    const X86Cpuid *c = soft_cpuid(cpu, 0xd, 0);

    return XCR0_X87 | (c && soft_offers(cpu, FEATURE_XSAVE) ? c->eax & (XCR0_SSE | XCR0_AVX) : 0);
}

/* ---- PAE paging ---- */
bool soft_pdptes_valid(const SoftCpu *cpu, const uint64_t pdpte[4])
{
    uint64_t reserved = ~((UINT64_C(1) << cpu->phys_bits) - 1) | 0x1e6;

    for (unsigned i = 0; i < 4; i++) {
        if (pdpte[i] & 1 && pdpte[i] & reserved) {
            return false;
        }
    }
    return true;
}

bool soft_read_pdptes(const SoftCpu *cpu, uint64_t cr3, uint64_t ret[4])
{
    uint64_t gpa = cr3 & UINT64_C(0xffffffe0); /* the table is aligned to its 32 bytes: all of it is in one page */
    const SoftRange *range = soft_map_find(cpu, gpa);
    const volatile uint64_t *table;

    if (!range) {
        return false;
    }
    table = (const volatile uint64_t *)(range->host + (gpa - range->first));
    for (unsigned i = 0; i < 4; i++) {
        ret[i] = table[i];
    }
    return soft_pdptes_valid(cpu, ret);
}

static void read_pdptes(SoftCpu *cpu, uint64_t ret[4])
{
    if (!soft_read_pdptes(cpu, cpu->cr3, ret)) {
        refuse(cpu);
    }
}

static void set_pdptes(SoftCpu *cpu, const uint64_t pdpte[4])
{
    for (unsigned i = 0; i < 4; i++) {
        cpu->pdptr[i] = pdpte[i];
    }
}

/* ---- CR0 ---- */
static bool cr0_consistent(uint64_t cr0)
{
    return !(cr0 >> 32) && !(cr0 & CR0_PG && !(cr0 & CR0_PE)) && !(cr0 & CR0_NW && !(cr0 & CR0_CD));
}

/* SDM 3-10.8.5: a TSS of 16 bits cannot be the task register's in IA-32e mode. */
static bool tss_is_16(const SoftCpu *cpu)
{
    unsigned type = cpu->tr.attributes & SEG_TYPE;

    return type == TYPE_TSS16 || type == TYPE_TSS16_BUSY;
}

static void check_paging_change(SoftCpu *cpu, bool on)
{
    if (on && cpu->efer & EFER_LME) {
        if (!(cpu->cr4 & CR4_PAE) || cpu->segment[X86_CS].attributes & SEG_L || tss_is_16(cpu)) {
            refuse(cpu);
        }
    } else if (!on && (cpu->cr4 & CR4_PCIDE || soft_in_64bit_code(cpu))) {
        refuse(cpu);
    }
}

void soft_write_cr0(SoftCpu *cpu, uint64_t value)
{
    uint64_t changed, efer = cpu->efer & ~EFER_LMA, pdpte[4];
    bool load;

    if (!cr0_consistent(value)) {
        refuse(cpu);
    }
    value = (value & CR0_BITS) | CR0_ET;
    changed = value ^ cpu->cr0;
    if (changed & CR0_PG) {
        check_paging_change(cpu, value & CR0_PG);
    }
    if (value & CR0_PG && efer & EFER_LME) {
        efer |= EFER_LMA;
    }
    load = changed & CR0_PDPTES && soft_is_pae(value, cpu->cr4, efer);
    if (load) {
        read_pdptes(cpu, pdpte);
    }

    cpu->cr0 = value;
    cpu->efer = efer;
    if (load) {
        set_pdptes(cpu, pdpte);
    }
    if (load || changed & CR0_FLUSHES) {
        soft_tlb_flush(cpu);
    }
    soft_update_mode(cpu);
}

/* ---- CR4 ---- */
void soft_write_cr4(SoftCpu *cpu, uint64_t value)
{
    uint64_t changed = value ^ cpu->cr4, pdpte[4];
    bool long_mode = cpu->efer & EFER_LMA, load;

    if (value & ~soft_cr4_bits(cpu) || (long_mode && !(value & CR4_PAE))) {
        refuse(cpu);
    }
    if (changed & value & CR4_PCIDE && (!long_mode || cpu->cr3 & 0xfff)) {
        refuse(cpu);
    }
    load = changed & CR4_PDPTES && soft_is_pae(cpu->cr0, value, cpu->efer);
    if (load) {
        read_pdptes(cpu, pdpte);
    }

    cpu->cr4 = value;
    if (load) {
        set_pdptes(cpu, pdpte);
    }
    if (load || changed & CR4_FLUSHES) {
        soft_tlb_flush(cpu);
    }
    soft_update_mode(cpu);
}

/* ---- EFER: LMA is the processor's and not written ---- */
void soft_write_efer(SoftCpu *cpu, uint64_t value)
{
    uint64_t changed;

    if (value & ~(soft_efer_bits(cpu) | EFER_LMA)) {
        refuse(cpu);
    }
    value = (value & ~EFER_LMA) | (cpu->efer & EFER_LMA);
    changed = value ^ cpu->efer;
    if (changed & EFER_LME && cpu->cr0 & CR0_PG) {
        refuse(cpu);
    }
    cpu->efer = value;
    if (changed & EFER_NXE) {
        soft_tlb_flush(cpu);
    }
    soft_update_mode(cpu);
}

/* ---- XCR0, SDM 1-13.3 ---- */
void soft_write_xcr0(SoftCpu *cpu, uint64_t value)
{
    if (value & ~soft_xcr0_bits(cpu) || !(value & XCR0_X87) || (value & XCR0_AVX && !(value & XCR0_SSE))) {
        refuse(cpu);
    }
    cpu->xcr0 = value;
    soft_update_mode(cpu);
}

/* ---- all of them at once ---- */
static const char *long_mode_problem(const SoftCpu *cpu, const SoftControl *c)
{
    uint64_t reserved = ~((UINT64_C(1) << cpu->phys_bits) - 1);

    if (!(c->cr4 & CR4_PAE)) {
        return "EFER.LMA is set without CR4.PAE";
    }
    if (c->cr3 & reserved) {
        return "CR3 has bits beyond the width of physical addresses";
    }
    if (c->rflags & EFLAGS_VM) {
        return "virtual-8086 mode is on in long mode";
    }
    if ((c->cs_attributes & (SEG_L | SEG_DB)) == (SEG_L | SEG_DB)) {
        return "CS has both L and D";
    }
    return NULL;
}

const char *soft_control_problem(const SoftCpu *cpu, const SoftControl *c)
{
    if (!cr0_consistent(c->cr0)) {
        return "CR0 has bits that exclude each other";
    }
    if (c->cr4 & ~soft_cr4_bits(cpu)) {
        return "CR4 has bits that the CPU model does not offer";
    }
    if (c->efer & ~soft_efer_bits(cpu)) {
        return "EFER has bits that the CPU model does not offer";
    }
    if (!!(c->efer & EFER_LMA) != (c->efer & EFER_LME && c->cr0 & CR0_PG)) {
        return "EFER.LMA contradicts EFER.LME and CR0.PG";
    }
    if (c->rflags & EFLAGS_VM && !(c->cr0 & CR0_PE)) {
        return "virtual-8086 mode is on in real mode";
    }
    if (c->efer & EFER_LMA) {
        return long_mode_problem(cpu, c);
    }
    return c->cr4 & CR4_PCIDE ? "CR4.PCIDE is set outside of long mode" : NULL;
}
