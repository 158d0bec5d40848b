/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers: one table (SDM 4-2.1, APM 2 appendix A).  What is not in it is asked of
 * the hooks (local APIC, kvmclock), and else raises #GP.
 *
 * The same rows are the saved form (X86Cpu.msr), by the indexes that KVM saves; an MSR that is not
 * listed there is zero.  What an MSR is after power-on tells x86_msr_reset_value().
 *
 * MTRRs and PAT hold what is written, checked, and have no effect: there are no caches.  Speculation
 * controls likewise.  Machine checks do not happen; their banks are what software puts there.  The
 * AMD rows without a field are those that Linux reads or writes without asking whether they are there.
 */
#include "vmm/x86/soft/system.h"
#include "vmm/x86/soft/vm.h"

#include <inttypes.h>

#include "vmm/error.h"

enum {
    MSR_SAVED = 1,      /* part of X86Cpu.msr */
    MSR_READ_ONLY = 2,
    MSR_WRITE_ONLY = 4,
    MSR_CANONICAL = 8,  /* a linear address */
    MSR_LOW = 16,       /* WRMSR ignores bits 63:32 */
    MSR_LOW_AMD = 32,   /* ... of AMD's */
};

typedef struct MsrRow {
    uint32_t first, last;
    const char *name;
    unsigned feature;    /* of CPUID, without which it is not there */
    unsigned flags;
    uint16_t offset;     /* of a uint64_t[last - first + 1] in SoftCpu; 0: none */
    uint64_t mask;       /* bits that may be set */
    bool (*valid)(const SoftCpu *cpu, uint32_t index, uint64_t value); /* beyond that; NULL: nothing */
    /* By an instruction, instead of the field; set() may raise.  Without either an MSR reads as zero and forgets. */
    uint64_t (*get)(const SoftCpu *cpu);
    void (*set)(SoftCpu *cpu, uint64_t value);
} MsrRow;

#define ANY      UINT64_MAX
#define LOW32    UINT64_C(0xffffffff)
#define FIELD(f) offsetof(SoftCpu, f)

/* ---- values ---- */
#define MTRR_VALID_BIT  (UINT64_C(1) << 11)
#define MTRR_CAP        0x508 /* eight variable ranges, fixed ranges, write combining */
#define SPEC_IBRS       (UINT64_C(1) << 0)
#define SPEC_STIBP      (UINT64_C(1) << 1)
#define SPEC_SSBD       (UINT64_C(1) << 2)
#define SPEC_PSFD       (UINT64_C(1) << 7)
#define SPEC_BHI_DIS_S  (UINT64_C(1) << 10)
#define HWCR_STATUS_WRITE (UINT64_C(1) << 18)
#define HWCR_TSC_FREQ   (UINT64_C(1) << 24)
#define HWCR_IGNORED    UINT64_C(0x148) /* TLB cache, flush filter, IGNNE */

/* Fast strings, thermal control, counters, no branch trace, no PEBS, SpeedStep, MONITOR, CPUID limit, xTPR, XD. */
#define MISC_ENABLE_BITS (UINT64_C(1) << 34 | 0xd51889)

/* Memory types, SDM 3-12.3 table 12-2: UC, WC, WT, WP, WB. */
static bool mtrr_type(uint64_t type)
{
    return type < 8 && (0x73 >> type & 1);
}

static bool valid_types(uint64_t value, unsigned types)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t type = value >> 8 * i & 0xff;

        if (type > 7 || !(types >> type & 1)) {
            return false;
        }
    }
    return true;
}

static bool valid_pat(const SoftCpu *cpu, uint32_t index, uint64_t value)
{
    return valid_types(value, 0xf3); /* the types of MTRRs and UC- */
}

static bool valid_mtrr_fixed(const SoftCpu *cpu, uint32_t index, uint64_t value)
{
    return valid_types(value, 0x73);
}

static bool valid_mtrr_default(const SoftCpu *cpu, uint32_t index, uint64_t value)
{
    return mtrr_type(value & 0xff);
}

/* Even: base and type; odd: mask and valid bit. */
static bool valid_mtrr_variable(const SoftCpu *cpu, uint32_t index, uint64_t value)
{
    uint64_t address = ((UINT64_C(1) << cpu->phys_bits) - 1) & PAGE_MASK;

    if (index & 1) {
        return !(value & ~(address | MTRR_VALID_BIT));
    }
    return !(value & ~(address | 0xff)) && mtrr_type(value & 0xff);
}

static bool valid_spec_ctrl(const SoftCpu *cpu, uint32_t index, uint64_t value)
{
    uint64_t bits = 0;

    bits |= soft_offers(cpu, FEATURE_IBRS) ? SPEC_IBRS : 0;
    bits |= soft_offers(cpu, FEATURE_STIBP) ? SPEC_STIBP : 0;
    bits |= soft_offers(cpu, FEATURE_SSBD) ? SPEC_SSBD : 0;
    bits |= soft_offers(cpu, FEATURE_PSFD) ? SPEC_PSFD : 0;
    bits |= soft_offers(cpu, FEATURE_BHI_CTRL) ? SPEC_BHI_DIS_S : 0;
    return !(value & ~bits);
}

/* MCi_CTL is a mask of what is reported, all or none here. */
static bool valid_mcg_ctl(const SoftCpu *cpu, uint32_t index, uint64_t value)
{
    return value == 0 || value == UINT64_MAX;
}

/* Linux leaves GART errors (bit 10) out on old AMD processors. */
static bool valid_mce_bank(const SoftCpu *cpu, uint32_t index, uint64_t value)
{
    return index & 3 || value == 0 || (value | 1 << 10) == UINT64_MAX;
}

static bool valid_misc_features(const SoftCpu *cpu, uint32_t index, uint64_t value)
{
    return !value || cpu->platform_info >> 31 & 1;
}

/* ---- those that are kept elsewhere, or have consequences ---- */
static uint64_t get_tsc(const SoftCpu *cpu)
{
    return soft_cpu_tsc(cpu);
}

/* SDM 3-18.17.3: each tells the other of the difference. */
static void set_tsc(SoftCpu *cpu, uint64_t value)
{
    cpu->tsc_adjust += value - soft_cpu_tsc(cpu);
    soft_cpu_set_tsc(cpu, value);
}

static void set_tsc_adjust(SoftCpu *cpu, uint64_t value)
{
    cpu->tsc_offset += value - cpu->tsc_adjust;
    cpu->tsc_adjust = value;
}

static uint64_t get_efer(const SoftCpu *cpu)
{
    return cpu->efer;
}

static uint64_t get_fs_base(const SoftCpu *cpu)
{
    return cpu->segment[X86_FS].base;
}

static void set_fs_base(SoftCpu *cpu, uint64_t value)
{
    cpu->segment[X86_FS].base = cpu->seg_base[X86_FS] = value;
}

static uint64_t get_gs_base(const SoftCpu *cpu)
{
    return cpu->segment[X86_GS].base;
}

static void set_gs_base(SoftCpu *cpu, uint64_t value)
{
    cpu->segment[X86_GS].base = cpu->seg_base[X86_GS] = value;
}

static uint64_t get_mtrr_cap(const SoftCpu *cpu)
{
    return MTRR_CAP;
}

static uint64_t get_mcg_cap(const SoftCpu *cpu)
{
    return soft_supported_msr_feature(0x179);
}

static uint64_t get_arch_capabilities(const SoftCpu *cpu)
{
    return cpu->arch_capabilities;
}

static uint64_t get_platform_info(const SoftCpu *cpu)
{
    return cpu->platform_info;
}

static uint64_t get_microcode(const SoftCpu *cpu)
{
    return cpu->microcode;
}

static void set_nothing(SoftCpu *cpu, uint64_t value)
{
}

/* Branch records and traps at branches are not made; as with KVM asking for them has no effect. */
static void set_debugctl(SoftCpu *cpu, uint64_t value)
{
    cpu->debugctl = 0;
}

/* Only the CPU itself, in system management mode, reads where it is; SDM 3-33.11. */
static uint64_t get_smbase(const SoftCpu *cpu)
{
    return cpu->smbase;
}

static uint64_t get_hwcr(const SoftCpu *cpu)
{
    return cpu->hwcr | HWCR_TSC_FREQ;
}

static void set_hwcr(SoftCpu *cpu, uint64_t value)
{
    cpu->hwcr = value & HWCR_STATUS_WRITE;
}

/* LFENCE waits, always. */
static uint64_t get_de_cfg(const SoftCpu *cpu)
{
    return 2;
}

/* ---- the table, by index ---- */
static const MsrRow rows[] = {
    { 0x10, 0x10, "TSC", FEATURE_TSC, MSR_SAVED, .mask = ANY, .get = get_tsc, .set = set_tsc },
    { 0x17, 0x17, "PLATFORM_ID", FEATURE_INTEL, MSR_READ_ONLY },
    { 0x34, 0x34, "SMI_COUNT", FEATURE_SMM, MSR_SAVED | MSR_READ_ONLY, FIELD(smi_count), LOW32 },
    { 0x3b, 0x3b, "TSC_ADJUST", FEATURE_TSC_ADJUST, MSR_SAVED, FIELD(tsc_adjust), ANY, .set = set_tsc_adjust },
    { 0x48, 0x48, "SPEC_CTRL", FEATURE_SPEC_CTRL, MSR_SAVED, FIELD(spec_ctrl), ANY, valid_spec_ctrl },
    { 0x49, 0x49, "PRED_CMD", FEATURE_IBPB, MSR_WRITE_ONLY, .mask = 1 },
    { 0x79, 0x79, "BIOS_UPDT_TRIG", FEATURE_INTEL, MSR_WRITE_ONLY, .mask = ANY },
    { 0x8b, 0x8b, "BIOS_SIGN_ID", FEATURE_ALWAYS, 0, .mask = ANY, .get = get_microcode, .set = set_nothing },
    { 0x9e, 0x9e, "SMBASE", FEATURE_SMM, MSR_SAVED | MSR_READ_ONLY, FIELD(smbase), LOW32, .get = get_smbase },
    { 0xce, 0xce, "PLATFORM_INFO", FEATURE_ALWAYS, MSR_READ_ONLY, .get = get_platform_info },
    { 0xfe, 0xfe, "MTRRCAP", FEATURE_MTRR, MSR_READ_ONLY, .get = get_mtrr_cap },
    { 0x10a, 0x10a, "ARCH_CAPABILITIES", FEATURE_ARCH_CAPABILITIES, MSR_READ_ONLY, .get = get_arch_capabilities },
    { 0x10b, 0x10b, "FLUSH_CMD", FEATURE_FLUSH_L1D, MSR_WRITE_ONLY, .mask = 1 },
    { 0x140, 0x140, "MISC_FEATURES_ENABLES", FEATURE_ALWAYS, MSR_SAVED, FIELD(misc_features), MISC_FEATURE_CPUID_FAULT,
      valid_misc_features },
    { 0x174, 0x174, "SYSENTER_CS", FEATURE_SEP, MSR_SAVED | MSR_LOW, FIELD(sysenter_cs), LOW32 },
    { 0x175, 0x175, "SYSENTER_ESP", FEATURE_SEP, MSR_SAVED | MSR_CANONICAL | MSR_LOW_AMD, FIELD(sysenter_esp),
      ANY },
    { 0x176, 0x176, "SYSENTER_EIP", FEATURE_SEP, MSR_SAVED | MSR_CANONICAL | MSR_LOW_AMD, FIELD(sysenter_eip),
      ANY },
    { 0x179, 0x179, "MCG_CAP", FEATURE_MCA, MSR_READ_ONLY, .get = get_mcg_cap },
    { 0x17a, 0x17a, "MCG_STATUS", FEATURE_MCA, MSR_SAVED, FIELD(mcg_status), 7 },
    { 0x17b, 0x17b, "MCG_CTL", FEATURE_MCA, MSR_SAVED, FIELD(mcg_ctl), ANY, valid_mcg_ctl },
    { 0x1a0, 0x1a0, "MISC_ENABLE", FEATURE_ALWAYS, MSR_SAVED, FIELD(misc_enable), MISC_ENABLE_BITS },
    { 0x1d9, 0x1d9, "DEBUGCTL", FEATURE_ALWAYS, MSR_SAVED, FIELD(debugctl), 3, .set = set_debugctl },
    { 0x200, 0x20f, "MTRR_PHYS", FEATURE_MTRR, MSR_SAVED, FIELD(mtrr_variable), ANY, valid_mtrr_variable },
    { 0x250, 0x250, "MTRR_FIX64K", FEATURE_MTRR, MSR_SAVED, FIELD(mtrr_fixed), ANY, valid_mtrr_fixed },
    { 0x258, 0x259, "MTRR_FIX16K", FEATURE_MTRR, MSR_SAVED, FIELD(mtrr_fixed[1]), ANY, valid_mtrr_fixed },
    { 0x268, 0x26f, "MTRR_FIX4K", FEATURE_MTRR, MSR_SAVED, FIELD(mtrr_fixed[3]), ANY, valid_mtrr_fixed },
    { 0x277, 0x277, "PAT", FEATURE_PAT, MSR_SAVED, FIELD(pat), ANY, valid_pat },
    { 0x2ff, 0x2ff, "MTRR_DEF_TYPE", FEATURE_MTRR, MSR_SAVED, FIELD(mtrr_def_type), 0xcff, valid_mtrr_default },
    { 0x400, 0x427, "MC", FEATURE_MCA, MSR_SAVED, FIELD(mce_banks), ANY, valid_mce_bank },
    { 0xc0000080, 0xc0000080, "EFER", FEATURE_ALWAYS, 0, .mask = ANY, .get = get_efer, .set = soft_write_efer },
    { 0xc0000081, 0xc0000081, "STAR", FEATURE_SYSCALL, MSR_SAVED, FIELD(star), ANY },
    { 0xc0000082, 0xc0000082, "LSTAR", FEATURE_LM, MSR_SAVED | MSR_CANONICAL, FIELD(lstar), ANY },
    { 0xc0000083, 0xc0000083, "CSTAR", FEATURE_LM, MSR_SAVED | MSR_CANONICAL, FIELD(cstar), ANY },
    { 0xc0000084, 0xc0000084, "FMASK", FEATURE_LM, MSR_SAVED | MSR_LOW, FIELD(fmask), LOW32 },
    { 0xc0000100, 0xc0000100, "FS_BASE", FEATURE_LM, MSR_CANONICAL, .mask = ANY, .get = get_fs_base,
      .set = set_fs_base },
    { 0xc0000101, 0xc0000101, "GS_BASE", FEATURE_LM, MSR_CANONICAL, .mask = ANY, .get = get_gs_base,
      .set = set_gs_base },
    { 0xc0000102, 0xc0000102, "KERNEL_GS_BASE", FEATURE_LM, MSR_SAVED | MSR_CANONICAL, FIELD(kernel_gs_base), ANY },
    { 0xc0000103, 0xc0000103, "TSC_AUX", FEATURE_TSC_AUX, MSR_SAVED | MSR_LOW_AMD, FIELD(tsc_aux), LOW32 },
    /* Performance counters that every AMD processor has; these count nothing, and hold nothing. */
    { 0xc0010000, 0xc0010007, "PERF", FEATURE_AMD, 0, .mask = ANY, .set = set_nothing },
    { 0xc0010010, 0xc0010010, "SYSCFG", FEATURE_AMD, 0, .mask = ANY },
    { 0xc0010015, 0xc0010015, "HWCR", FEATURE_AMD, MSR_SAVED, FIELD(hwcr),
      HWCR_STATUS_WRITE | HWCR_TSC_FREQ | HWCR_IGNORED, .get = get_hwcr, .set = set_hwcr },
    { 0xc001001f, 0xc001001f, "NB_CFG", FEATURE_AMD, 0, .mask = ANY },
    { 0xc0010020, 0xc0010020, "PATCH_LOADER", FEATURE_AMD, MSR_WRITE_ONLY, .mask = ANY },
    { 0xc0010055, 0xc0010055, "INT_PENDING", FEATURE_AMD, 0, .mask = ANY },
    { 0xc0010058, 0xc0010058, "MMIO_CFG_BASE", FEATURE_AMD, 0, .mask = ANY },
    { 0xc0010112, 0xc0010113, "SMM_ADDR", FEATURE_AMD, 0, .mask = ANY },
    { 0xc0011022, 0xc0011023, "DC_CFG", FEATURE_AMD, 0, .mask = ANY },
    { 0xc0011029, 0xc0011029, "DE_CFG", FEATURE_AMD, 0, .mask = ANY, .get = get_de_cfg, .set = set_nothing },
    { 0xc001102a, 0xc001102a, "BU_CFG2", FEATURE_AMD, 0, .mask = ANY },
    { 0xc001102c, 0xc001102c, "EX_CFG", FEATURE_AMD, 0, .mask = ANY },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* Of the hooks: kvmclock's (old and new, and the rest of KVM's), APIC base, TSC deadline, x2APIC. */
static const struct { uint32_t first, last; } hooked[] = {
    { 0x11, 0x12 }, { 0x1b, 0x1b }, { 0x6e0, 0x6e0 }, { 0x800, 0x8ff }, { 0x4b564d00, 0x4b564dff },
};

static bool is_hooked(uint32_t index)
{
    for (unsigned i = 0; i < sizeof(hooked) / sizeof(hooked[0]); i++) {
        if (index >= hooked[i].first && index <= hooked[i].last) {
            return true;
        }
    }
    return false;
}

static const MsrRow *find(uint32_t index)
{
    unsigned low = 0, high = ROWS;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (index > rows[middle].last) {
            low = middle + 1;
        } else if (index < rows[middle].first) {
            high = middle;
        } else {
            return &rows[middle];
        }
    }
    return NULL;
}

static uint64_t *field_of(SoftCpu *cpu, const MsrRow *row, uint32_t index)
{
    return (uint64_t *)((uint8_t *)cpu + row->offset) + (index - row->first);
}

/* As an instruction may write it, or a state hold it. */
static bool is_valid(const SoftCpu *cpu, const MsrRow *row, uint32_t index, uint64_t value)
{
    return !(value & ~row->mask) && !(row->flags & MSR_CANONICAL && !soft_is_canonical(value)) &&
           (!row->valid || row->valid(cpu, index, value));
}

/* ---- RDMSR, WRMSR ---- */
static bool hooks_read(SoftCpu *cpu, uint32_t index, uint64_t *ret)
{
    bool known;

    soft_outside_begin(cpu);
    known = cpu->hooks->msr_read(cpu, cpu->opaque, index, ret);
    soft_outside_end(cpu);
    return known;
}

static bool hooks_write(SoftCpu *cpu, uint32_t index, uint64_t value)
{
    bool known;

    soft_outside_begin(cpu);
    known = cpu->hooks->msr_write(cpu, cpu->opaque, index, value);
    soft_outside_end(cpu);
    return known;
}

static void tell_tsc(SoftCpu *cpu)
{
    if (cpu->hooks->tsc_set) {
        soft_outside_begin(cpu);
        cpu->hooks->tsc_set(cpu, cpu->opaque);
        soft_outside_end(cpu);
    }
}

bool soft_msr_read(SoftCpu *cpu, uint32_t index, uint64_t *ret)
{
    const MsrRow *row = find(index);

    if (!row || !soft_offers(cpu, row->feature)) {
        return hooks_read(cpu, index, ret);
    }
    if (row->flags & MSR_WRITE_ONLY || (index == MSR_SMBASE && !cpu->in_smm)) {
        return false;
    }
    *ret = row->get ? row->get(cpu) : row->offset ? *field_of(cpu, row, index) : 0;
    return true;
}

/* A bank's status is cleared by software, never set, unless HWCR allows it; SDM 3-17.3.2.2, APM 2-9.3.2.1. */
static bool is_status_set(const SoftCpu *cpu, uint32_t index, uint64_t value)
{
    return index >= 0x400 && index <= 0x427 && (index & 3) == 1 && value && !(cpu->hwcr & HWCR_STATUS_WRITE);
}

/*
 * Not every upper half that is reserved or not used (SDM 3-5.8.8, 4 table 2-2; APM 2-6.1) raises #GP: processors of
 * both vendors ignore those of SYSENTER_CS and FMASK, and AMD's, without SYSENTER in long mode, those of its addresses,
 * too.
 */
static bool ignores_upper_half(const SoftCpu *cpu, const MsrRow *row)
{
    return row->flags & MSR_LOW || (row->flags & MSR_LOW_AMD && !cpu->vm->intel);
}

bool soft_msr_write(SoftCpu *cpu, uint32_t index, uint64_t value)
{
    const MsrRow *row = find(index);

    if (!row || !soft_offers(cpu, row->feature)) {
        return hooks_write(cpu, index, value);
    }
    if (ignores_upper_half(cpu, row)) {
        value = (uint32_t)value;
    }
    if (row->flags & MSR_READ_ONLY || !is_valid(cpu, row, index, value) || is_status_set(cpu, index, value)) {
        return false;
    }
    if (row->set) {
        row->set(cpu, value);
    } else if (row->offset) {
        *field_of(cpu, row, index) = value;
    }
    if (row->set == set_tsc || row->set == set_tsc_adjust) {
        tell_tsc(cpu);
    }
    return true;
}

/* ---- as a whole ---- */
void soft_msrs_power_on(SoftCpu *cpu)
{
    for (unsigned i = 0; i < ROWS; i++) {
        for (uint32_t index = rows[i].first; rows[i].offset && index <= rows[i].last; index++) {
            *field_of(cpu, &rows[i], index) = x86_msr_reset_value(index);
        }
    }
    soft_cpu_set_tsc(cpu, 0);
}

static bool is_saved(const MsrRow *row)
{
    return row && row->flags & MSR_SAVED;
}

bool soft_msrs_check(SoftCpu *cpu, const X86Cpu *state, GError **error)
{
    for (unsigned i = 0; i < state->msrs; i++) {
        const X86Msr *m = &state->msr[i];
        const MsrRow *row = find(m->index);

        if (is_hooked(m->index) || m->value == x86_msr_reset_value(m->index) || m->value == 0) {
            continue;
        }
        if (!is_saved(row)) {
            return error_set(error, "MSR %#" PRIx32 " is %#" PRIx64 ", and the software CPU has no such MSR", m->index,
                             m->value);
        }
        if (!is_valid(cpu, row, m->index, m->value)) {
            return error_set(error, "MSR %#" PRIx32 " (%s) cannot be %#" PRIx64 " on the software CPU", m->index,
                             row->name, m->value);
        }
    }
    return true;
}

void soft_msrs_load(SoftCpu *cpu, const X86Cpu *state)
{
    soft_msrs_power_on(cpu);
    for (unsigned i = 0; i < ROWS; i++) {
        for (uint32_t index = rows[i].first; rows[i].flags & MSR_SAVED && index <= rows[i].last; index++) {
            const uint64_t *value = x86_cpu_msr((X86Cpu *)state, index); /* which it only reads */

            if (rows[i].offset) {
                *field_of(cpu, &rows[i], index) = value ? *value : 0;
            } else if (index == MSR_TSC) {
                soft_cpu_set_tsc(cpu, value ? *value : 0);
            }
        }
    }
}

/* What a state holds of others' stays there. */
static void keep_hooked(X86Cpu *state)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < state->msrs; i++) {
        if (is_hooked(state->msr[i].index)) {
            state->msr[kept++] = state->msr[i];
        }
    }
    state->msrs = kept;
}

void soft_msrs_save(SoftCpu *cpu, X86Cpu *state)
{
    keep_hooked(state);
    for (unsigned i = 0; i < ROWS; i++) {
        for (uint32_t index = rows[i].first; rows[i].flags & MSR_SAVED && index <= rows[i].last; index++) {
            uint64_t value = rows[i].offset ? *field_of(cpu, &rows[i], index) : soft_cpu_tsc(cpu);

            if (value) {
                x86_cpu_set_msr(state, index, value);
            }
        }
    }
}
