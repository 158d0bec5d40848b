/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's registers: the xAPIC page (SDM volume 3, 11.4.1), x2APIC's MSRs
 * (11.12.1), IA32_APIC_BASE (11.4.4, 11.12.5) and IA32_TSC_DEADLINE (11.5.4.1).
 *
 * An xAPIC ignores reserved bits and latches an error for reserved registers; an x2APIC
 * answers both with #GP.
 *
 * Left out: LVT CMCI; CPUID's APIC bit, which stays set while the APIC is globally
 * disabled.
 *
 * Locking: the CPU's thread.
 */
#include "vmm/x86/lapic-priv.h"

#define MSR_APIC_BASE    0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC_FIRST 0x800
#define MSR_X2APIC_LAST  0x83f

#define ICR_STATUS       (1u << 12)
#define ICR_RESERVED     (UINT64_C(0xfff32000))

static void store(uint32_t *field, uint32_t value)
{
    __atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* ---- reading ---- */

static uint32_t vectors(const VectorSet *set, unsigned offset)
{
    unsigned n = offset >> 4 & 7;

    return (uint32_t)(__atomic_load_n(&set->word[n / 2], __ATOMIC_SEQ_CST) >> (n % 2 ? 32 : 0));
}

/* What both have; false: no such register, or it cannot be read. */
static bool read_register(Lapic *apic, unsigned offset, uint32_t *ret)
{
    switch (offset) {
    case APIC_ID:
        *ret = lapic_is_x2(apic) ? apic->id : apic->xapic_id << 24;
        return true;
    case APIC_VERSION:
        *ret = apic->version;
        return true;
    case APIC_TPR:
        *ret = apic->tpr;
        return true;
    case APIC_PPR:
        *ret = lapic_priority(apic);
        return true;
    case APIC_LDR:
        *ret = apic->ldr;
        return true;
    case APIC_SVR:
        *ret = apic->svr;
        return true;
    case APIC_ISR ... APIC_ISR + 0x70:
        *ret = vectors(&apic->isr, offset);
        return true;
    case APIC_TMR ... APIC_TMR + 0x70:
        *ret = vectors(&apic->tmr, offset);
        return true;
    case APIC_IRR ... APIC_IRR + 0x70:
        *ret = vectors(&apic->irr, offset);
        return true;
    case APIC_ESR:
        *ret = apic->esr;
        return true;
    case APIC_ICR:
        *ret = apic->icr;
        return true;
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        *ret = *lapic_lvt(apic, offset);
        return true;
    case APIC_TMICT:
        *ret = apic->initial_count;
        return true;
    case APIC_TMCCT:
        *ret = lapic_timer_count(apic);
        return true;
    case APIC_TDCR:
        *ret = apic->divide;
        return true;
    default:
        return false;
    }
}

uint32_t lapic_read(Lapic *apic, unsigned offset)
{
    uint32_t value = 0;

    if ((offset & 15) || lapic_is_x2(apic) || !lapic_is_on(apic)) {
        return 0;
    }
    switch (offset) {
    case APIC_DFR:
        return apic->dfr;
    case APIC_ICR2:
        return apic->icr2;
    case APIC_APR: /* P6 only, and here for who reads the whole page */
    case APIC_RRD:
    case APIC_EOI:
        return 0;
    default:
        if (!read_register(apic, offset, &value)) {
            lapic_raise_error(apic, ERROR_REGISTER);
        }
        return value;
    }
}

/* ---- writing ---- */

static uint32_t lvt_writable(const Lapic *apic, unsigned offset)
{
    switch (offset) {
    case APIC_LVT_TIMER:
        return LVT_VECTOR | LVT_MASKED | (apic->features.tsc_deadline ? 3u : 1u) << LVT_TIMER_SHIFT;
    case APIC_LVT_LINT0:
    case APIC_LVT_LINT1:
        return LVT_VECTOR | 7u << LVT_MODE_SHIFT | 1u << 13 | LVT_LEVEL | LVT_MASKED;
    case APIC_LVT_ERROR:
        return LVT_VECTOR | LVT_MASKED;
    default:
        return LVT_VECTOR | 7u << LVT_MODE_SHIFT | LVT_MASKED;
    }
}

static uint32_t svr_writable(const Lapic *apic)
{
    return LVT_VECTOR | SVR_ENABLED | SVR_FOCUS_OFF | (apic->version & VERSION_NO_BROADCAST ? SVR_NO_BROADCAST : 0);
}

static void write_lvt(Lapic *apic, unsigned offset, uint32_t value)
{
    value &= lvt_writable(apic, offset);
    if (!(apic->svr & SVR_ENABLED)) {
        value |= LVT_MASKED;
    }
    if (offset == APIC_LVT_TIMER) {
        lapic_timer_set_lvt(apic, value);
    } else {
        __atomic_store_n(lapic_lvt(apic, offset), value, __ATOMIC_SEQ_CST);
    }
}

/* SDM 3-11.4.7.2: what is software disabled has every entry of the LVT masked. */
static void write_svr(Lapic *apic, uint32_t value)
{
    store(&apic->svr, value & svr_writable(apic));
    for (unsigned at = APIC_LVT_TIMER; !(value & SVR_ENABLED) && at <= APIC_LVT_ERROR; at += 0x10) {
        write_lvt(apic, at, *lapic_lvt(apic, at));
    }
}

/* What both have, reserved bits ignored; false: no such register, or it cannot be written. */
static bool write_register(Lapic *apic, unsigned offset, uint32_t value)
{
    switch (offset) {
    case APIC_TPR:
        lapic_set_tpr(apic, value);
        return true;
    case APIC_EOI:
        lapic_end_of_interrupt(apic);
        return true;
    case APIC_SVR:
        write_svr(apic, value);
        return true;
    case APIC_ESR:
        apic->esr = __atomic_exchange_n(&apic->errors, 0, __ATOMIC_SEQ_CST);
        return true;
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        write_lvt(apic, offset, value);
        return true;
    case APIC_TMICT:
        lapic_timer_set_initial(apic, value);
        return true;
    case APIC_TDCR:
        lapic_timer_set_divide(apic, value);
        return true;
    default:
        return false;
    }
}

void lapic_write(Lapic *apic, unsigned offset, uint32_t value)
{
    if ((offset & 15) || lapic_is_x2(apic) || !lapic_is_on(apic)) {
        return;
    }
    switch (offset) {
    case APIC_ID:
        store(&apic->xapic_id, value >> 24);
        break;
    case APIC_LDR:
        store(&apic->ldr, value & 0xff000000);
        break;
    case APIC_DFR:
        store(&apic->dfr, value | 0x0fffffff);
        break;
    case APIC_ICR:
        apic->icr = value & ~ICR_STATUS;
        lapic_send_icr(apic, (uint64_t)apic->icr2 << 32 | apic->icr);
        break;
    case APIC_ICR2:
        apic->icr2 = value & 0xff000000;
        break;
    case APIC_VERSION: /* read-only ones are no errors */
    case APIC_APR:
    case APIC_PPR:
    case APIC_RRD:
    case APIC_ISR ... APIC_IRR + 0x70:
    case APIC_TMCCT:
        break;
    default:
        if (!write_register(apic, offset, value)) {
            lapic_raise_error(apic, ERROR_REGISTER);
        }
        break;
    }
}

/* ---- x2APIC ---- */

static LapicMsr read_x2apic(Lapic *apic, unsigned offset, uint64_t *ret)
{
    uint32_t value;

    if (!lapic_is_x2(apic) || !read_register(apic, offset, &value)) {
        return LAPIC_MSR_GP;
    }
    *ret = value;
    if (offset == APIC_ICR) {
        *ret |= (uint64_t)apic->icr2 << 32;
    }
    return LAPIC_MSR_OK;
}

static uint64_t x2apic_reserved(const Lapic *apic, unsigned offset)
{
    switch (offset) {
    case APIC_EOI:
    case APIC_ESR:
        return UINT64_MAX; /* take 0 only */
    case APIC_TPR:
    case APIC_SELF_IPI:
        return ~UINT64_C(0xff);
    case APIC_SVR:
        return ~(uint64_t)svr_writable(apic);
    case APIC_LVT_TIMER ... APIC_LVT_ERROR:
        return ~(uint64_t)(lvt_writable(apic, offset) | ICR_STATUS | LVT_REMOTE_IRR);
    case APIC_TDCR:
        return ~UINT64_C(0xb);
    case APIC_ICR:
        return ICR_RESERVED;
    default:
        return ~UINT64_C(0xffffffff);
    }
}

static LapicMsr write_x2apic(Lapic *apic, unsigned offset, uint64_t value)
{
    if (!lapic_is_x2(apic) || (value & x2apic_reserved(apic, offset))) {
        return LAPIC_MSR_GP;
    }
    switch (offset) {
    case APIC_ICR:
        apic->icr = (uint32_t)value & ~ICR_STATUS;
        apic->icr2 = (uint32_t)(value >> 32);
        lapic_send_icr(apic, value);
        return LAPIC_MSR_OK;
    case APIC_SELF_IPI:
        if (value < 16) {
            lapic_raise_error(apic, ERROR_SENT_VECTOR);
        } else {
            lapic_accept(apic, DELIVER_FIXED, (uint8_t)value, false);
        }
        return LAPIC_MSR_OK;
    default:
        return write_register(apic, offset, (uint32_t)value) ? LAPIC_MSR_OK : LAPIC_MSR_GP;
    }
}

/* ---- IA32_APIC_BASE: SDM 3-11.12.5, figure 11-27 ---- */

static LapicMsr write_base(Lapic *apic, uint64_t value)
{
    uint64_t address = ((UINT64_C(1) << apic->features.phys_bits) - 1) & ~UINT64_C(0xfff);
    uint64_t modes = BASE_ENABLED | (apic->features.x2apic ? BASE_X2APIC : 0);
    uint64_t from = apic->base & (BASE_ENABLED | BASE_X2APIC), to = value & (BASE_ENABLED | BASE_X2APIC);

    if ((value & ~(address | modes | BASE_BSP)) || to == BASE_X2APIC || (from > BASE_ENABLED && to == BASE_ENABLED) ||
        (!from && to > BASE_ENABLED)) {
        return LAPIC_MSR_GP;
    }
    if (!from && to) { /* as after a reset, SDM 3-11.4.3 */
        lapic_reset_registers(apic);
        store(&apic->xapic_id, apic->id & 0xff);
    }
    if (from == BASE_ENABLED && to > BASE_ENABLED) {
        apic->icr2 = 0;
        store(&apic->ldr, lapic_x2apic_ldr(apic->id));
    }
    __atomic_store_n(&apic->base, value, __ATOMIC_SEQ_CST);
    lapic_tell_page(apic);
    return LAPIC_MSR_OK;
}

/* ---- MSRs ---- */

LapicMsr lapic_msr_read(Lapic *apic, uint32_t index, uint64_t *ret_value)
{
    switch (index) {
    case MSR_APIC_BASE:
        *ret_value = apic->base;
        return LAPIC_MSR_OK;
    case MSR_TSC_DEADLINE:
        *ret_value = lapic_timer_deadline(apic);
        return apic->features.tsc_deadline ? LAPIC_MSR_OK : LAPIC_MSR_GP;
    case MSR_X2APIC_FIRST ... MSR_X2APIC_LAST:
        return read_x2apic(apic, (index - MSR_X2APIC_FIRST) << 4, ret_value);
    default:
        return LAPIC_MSR_OTHER;
    }
}

LapicMsr lapic_msr_write(Lapic *apic, uint32_t index, uint64_t value)
{
    switch (index) {
    case MSR_APIC_BASE:
        return write_base(apic, value);
    case MSR_TSC_DEADLINE:
        if (!apic->features.tsc_deadline) {
            return LAPIC_MSR_GP;
        }
        lapic_timer_set_deadline(apic, value);
        return LAPIC_MSR_OK;
    case MSR_X2APIC_FIRST ... MSR_X2APIC_LAST:
        return write_x2apic(apic, (index - MSR_X2APIC_FIRST) << 4, value);
    default:
        return LAPIC_MSR_OTHER;
    }
}
