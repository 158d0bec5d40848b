/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power management of the ICH9 (data sheet 316972, 13.8; ACPI 6.4, 4.8.3): PM1
 * event and control blocks, PM timer, GPE0.
 *
 * The PM timer is the guest's clock at 3.579545 MHz, cut to 24 bits; a host timer
 * runs only while its overflow interrupts.
 *
 * Sleep types (Q35_S3_TYPE ...) are ours, told by the DSDT:
 *
 *   S3   domain_request_suspend(); the power button, an enabled alarm of the RTC, an
 *        enabled overflow of the timer, or system_wakeup end it.  The status registers have
 *        a supply of their own: the reset of a wake-up keeps them and adds WAK_STS
 *   S4   the same as S5, but SUSPEND_DISK is told: what the guest saved is on its disk
 *   S5   soft off
 *
 * Not modelled: S1, SMIs (their registers read 0 and take nothing), the TCO watchdog,
 * general purpose events as wake events.
 *
 * Locking: the lock of the LPC bridge.
 */
#include "hw/acpi/ich9-pm.h"

#include "hw/i386/q35.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/runstate-commands.h"

/* Offsets */
enum { PM1_STS_EN = 0x00, PM1_CNT = 0x04, PM1_TMR = 0x08, GPE0_STS = 0x20, GPE0_EN = 0x28 };

enum {
    STS_TMROF = 1 << 0, STS_BM = 1 << 4, STS_GBL = 1 << 5, STS_PWRBTN = 1 << 8, STS_RTC = 1 << 10,
    STS_PCIEXP_WAKE = 1 << 14, STS_WAK = 1 << 15,
};
#define STS_W1C (STS_TMROF | STS_BM | STS_GBL | STS_PWRBTN | STS_RTC | STS_PCIEXP_WAKE | STS_WAK)
#define EN_WRITABLE (STS_TMROF | STS_GBL | STS_PWRBTN | STS_RTC | STS_PCIEXP_WAKE)
enum { CNT_SCI_EN = 1 << 0, CNT_BM_RLD = 1 << 1, CNT_GBL_RLS = 1 << 2, CNT_SLP_TYP = 7 << 10, CNT_SLP_EN = 1 << 13 };
#define CNT_WRITABLE (CNT_SCI_EN | CNT_BM_RLD | CNT_SLP_TYP)

#define TMR_HZ 3579545
#define TMR_BITS 24
#define TMR_MASK ((INT64_C(1) << TMR_BITS) - 1)

/* ---- the timer ---- */
static int64_t tmr_count(const Ich9Pm *pm)
{
    return (int64_t)((__int128)clock_ns(domain_clock(pm->dev->domain)) * TMR_HZ / NS_PER_SEC);
}

/* TMROF is set each time the highest bit toggles. */
static void tmr_catch_up(Ich9Pm *pm)
{
    int64_t half = tmr_count(pm) >> (TMR_BITS - 1);

    if (half != pm->tmr_half) {
        pm->tmr_half = half;
        pm->pm1_sts |= STS_TMROF;
    }
}

static void tmr_arm(Ich9Pm *pm)
{
    if ((pm->pm1_en & STS_TMROF) && !(pm->pm1_sts & STS_TMROF)) {
        __int128 next = (__int128)(pm->tmr_half + 1) << (TMR_BITS - 1);

        timer_mod(pm->timer, (int64_t)(next * NS_PER_SEC / TMR_HZ) + 1);
    } else {
        timer_del(pm->timer);
    }
}

/* ---- events ---- */

/* 13.8.3.1: the power button needs no enable bit to wake. */
static bool is_wake_event(const Ich9Pm *pm)
{
    return (pm->pm1_sts & (pm->pm1_en | STS_PWRBTN)) & (STS_TMROF | STS_RTC | STS_PWRBTN);
}

static void update(Ich9Pm *pm)
{
    Domain *domain = pm->dev->domain;
    bool event = (pm->pm1_sts & pm->pm1_en & EN_WRITABLE) || (pm->gpe0_sts & pm->gpe0_en);

    tmr_arm(pm);
    irq_set(pm->sci, event && (pm->pm1_cnt & CNT_SCI_EN));
    if (is_wake_event(pm) && domain_run_state(domain) == RUN_STATE_SUSPENDED) {
        domain_request_wakeup(domain);
    }
}

void ich9_pm_tick(Ich9Pm *pm)
{
    tmr_catch_up(pm);
    update(pm);
}

void ich9_pm_power_button(Ich9Pm *pm)
{
    pm->pm1_sts |= STS_PWRBTN;
    update(pm);
}

void ich9_pm_rtc_alarm(Ich9Pm *pm)
{
    pm->pm1_sts |= STS_RTC;
    update(pm);
}

void ich9_pm_slept(Ich9Pm *pm)
{
    update(pm);
}

void ich9_pm_raise_gpe(Ich9Pm *pm, unsigned event)
{
    pm->gpe0_sts |= UINT64_C(1) << event;
    update(pm);
}

void ich9_pm_set_acpi(Ich9Pm *pm, bool enable)
{
    pm->pm1_cnt = (uint16_t)(enable ? pm->pm1_cnt | CNT_SCI_EN : pm->pm1_cnt & ~CNT_SCI_EN);
    update(pm);
}

static void enter_sleep(Ich9Pm *pm, unsigned type)
{
    Domain *domain = pm->dev->domain;

    if (type == Q35_S3_TYPE && !pm->no_s3) {
        domain_request_suspend(domain);
    } else if (type == Q35_S4_TYPE && !pm->no_s4) {
        event_emit(domain, &event_suspend_disk, NULL);
        domain_request_shutdown(domain, REASON_GUEST_SHUTDOWN);
    } else if (type == Q35_S5_TYPE) {
        domain_request_shutdown(domain, REASON_GUEST_SHUTDOWN);
    } else {
        guest_error("ich9-lpc", "sleep type %u is not among those that the ACPI tables tell of", type);
    }
}

static void control_write(Ich9Pm *pm, uint32_t value)
{
    pm->pm1_cnt = value & CNT_WRITABLE;
    if (value & CNT_SLP_EN) {
        enter_sleep(pm, (value & CNT_SLP_TYP) >> 10);
    }
}

/* ---- registers, as aligned double words ---- */
static uint32_t word_read(Ich9Pm *pm, unsigned at)
{
    switch (at) {
    case PM1_STS_EN:
        tmr_catch_up(pm);
        return pm->pm1_sts | (uint32_t)pm->pm1_en << 16;
    case PM1_CNT:
        return pm->pm1_cnt;
    case PM1_TMR:
        return (uint32_t)(tmr_count(pm) & TMR_MASK);
    case GPE0_STS:
        return (uint32_t)pm->gpe0_sts;
    case GPE0_STS + 4:
        return (uint32_t)(pm->gpe0_sts >> 32);
    case GPE0_EN:
        return (uint32_t)pm->gpe0_en;
    case GPE0_EN + 4:
        return (uint32_t)(pm->gpe0_en >> 32);
    default:
        return 0;
    }
}

/* mask: the bytes that were written. */
static void word_write(Ich9Pm *pm, unsigned at, uint32_t value, uint32_t mask)
{
    switch (at) {
    case PM1_STS_EN:
        tmr_catch_up(pm);
        pm->pm1_sts &= ~(value & mask & STS_W1C);
        pm->pm1_en = ((pm->pm1_en & ~(mask >> 16)) | (value & mask) >> 16) & EN_WRITABLE;
        break;
    case PM1_CNT:
        control_write(pm, (pm->pm1_cnt & ~mask) | (value & mask));
        break;
    case GPE0_STS:
    case GPE0_STS + 4:
        pm->gpe0_sts &= ~((uint64_t)(value & mask) << 8 * (at - GPE0_STS));
        break;
    case GPE0_EN:
    case GPE0_EN + 4:
        pm->gpe0_en &= ~((uint64_t)mask << 8 * (at - GPE0_EN));
        pm->gpe0_en |= (uint64_t)(value & mask) << 8 * (at - GPE0_EN);
        break;
    default:
        return;
    }
    update(pm);
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
{
    return word_read(opaque, (unsigned)offset & ~3u) >> 8 * (offset & 3);
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned shift = 8 * (offset & 3);

    word_write(opaque, (unsigned)offset & ~3u, (uint32_t)value << shift, (UINT32_MAX >> (32 - 8 * size)) << shift);
}

static const MemoryOps pm_ops = { .read = pm_read, .write = pm_write, .min = 1, .max = 4 };

/* ---- lifecycle ---- */
void ich9_pm_init(Ich9Pm *pm, Device *dev, IrqLine *sci, Timer *timer)
{
    pm->dev = dev;
    pm->sci = sci;
    pm->timer = timer;
    memory_region_init_io(&pm->region, "ich9-pm", ICH9_PM_SIZE, &pm_ops, pm, dev->lock);
    g_ptr_array_add(dev->regions, &pm->region);
}

/* What woke the machine; where it is nothing of ours, the power button stands for it. */
static uint16_t status_of_waking(const Ich9Pm *pm)
{
    return pm->pm1_sts | STS_WAK | (is_wake_event(pm) ? 0 : STS_PWRBTN);
}

void ich9_pm_reset(Ich9Pm *pm)
{
    bool waking = domain_is_waking(pm->dev->domain);

    pm->pm1_sts = waking ? status_of_waking(pm) : 0;
    pm->gpe0_sts = waking ? pm->gpe0_sts : 0;
    pm->pm1_en = pm->pm1_cnt = 0;
    pm->gpe0_en = 0;
    pm->tmr_half = tmr_count(pm) >> (TMR_BITS - 1);
    update(pm);
}

static bool pm_loaded(void *struct_, GError **error)
{
    update(struct_);
    return true;
}

const StateDesc ich9_pm_state = {
    .name = "ich9-pm",
    .version = 1,
    .loaded = pm_loaded,
    .fields = (const StateField[]) {
        STATE_U16(Ich9Pm, pm1_sts),
        STATE_U16(Ich9Pm, pm1_en),
        STATE_U16(Ich9Pm, pm1_cnt),
        STATE_U64(Ich9Pm, gpe0_sts),
        STATE_U64(Ich9Pm, gpe0_en),
        STATE_I64(Ich9Pm, tmr_half),
        STATE_END,
    },
};
