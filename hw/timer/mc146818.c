/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MC146818A real-time clock (Motorola data sheet ADI856R2, "DS"), with the century
 * in byte 0x32 and 128 bytes, as in a PC.
 *
 *   0x70  address (bit 7: NMI mask, not ours)     0x71  data
 *
 * While it runs, the time is a distance from a clock (-rtc clock=); while SET or a
 * divider reset holds it, it is the ten bytes.  Nothing ticks without being asked:
 * the flags that passed unseen are computed when register C is read, and the timer
 * runs for enabled interrupts only.
 *
 * Left out: daylight saving (DSE), the square wave pin, divider stages other than
 * 32 kHz and reset, the 2 ms of an update after UIP's 244 us of warning.
 *
 * driftfix=slew: periodic interrupts that found the last one unserved, or that came
 * late, are made up for at twice the rate.
 *
 * Locking: the framework's.
 */
#include "hw/timer/mc146818.h"

#include <inttypes.h>

#include "hw/acpi/aml.h"
#include "hw/isa/isa.h"
#include "hw/timer/mc146818-time.h"
#include "vmm/error.h"
#include "vmm/irq.h"
#include "vmm/machine.h"

#define RTC_PORT   0x70
#define RTC_IRQ    8
#define CMOS_SIZE  128
#define CRYSTAL_HZ 32768

/* DS "Registers" */
enum { RTC_A = 0x0a, RTC_B, RTC_C, RTC_D, NVRAM };
#define A_UIP  0x80
#define A_DV   0x70
#define A_RS   0x0f
#define B_SET  0x80
#define B_PIE  0x40
#define B_AIE  0x20
#define B_UIE  0x10
#define B_SQWE 0x08
#define B_DM   0x04
#define B_24H  0x02
#define C_IRQF 0x80
#define C_PF   0x40
#define C_AF   0x20
#define C_UF   0x10
#define D_VRT  0x80
#define DV_RUN   0x20 /* 32 kHz crystal */
#define DV_RESET 0x60 /* and 0x70 */

#define UIP_NS        (244 * INT64_C(1000)) /* DS figure 14: from UIP to the update */
#define WAIT_MAX_NS   (60 * NS_PER_SEC)     /* the host's clock may jump: look again */
#define LOST_MAX      100000u
#define FAR_MAX_S     (INT64_C(1) << 40)    /* 34,000 years: the century's byte ends before */

/* Of a time that the bytes can tell: 64 bits end in 2262. */
typedef __int128 WideNs;

typedef struct Mc146818 {
    Device dev;
    /* Guest state */
    uint8_t cmos[CMOS_SIZE];
    uint8_t index;
    uint8_t flags;         /* register C, IRQF computed */
    int64_t saved_offset_ns, saved_offset_s; /* offset_ns as it is saved: their sum; the second is mostly 0 */
    int64_t fraction_ns;   /* of the second, while it is held */
    int64_t seen_ns;       /* seen_s as it is saved, unless that is too much */
    int64_t seen_s;        /* updates and alarms up to this time are in flags */
    int64_t periodic_ns;   /* periodic ticks up to this instant (virtual clock) are in flags */
    uint32_t lost;         /* driftfix: ticks to make up for */
    /* Derived */
    WideNs offset_ns;      /* of the time from the clock, while it runs */
    WideNs start_offset_ns; /* as -rtc asked */
    bool far, far_loaded;  /* saved as a far time; that was loaded now */
    bool slew;
    bool alarm;            /* the flag is set and enabled */
    Device *alarm_listener; /* NULL: none */
    void (*alarm_fn)(Device *listener);
    Clock *clock;
    Timer *timer;
    IrqLine *irq;
    MemoryRegion ports;
} Mc146818;

static Mc146818 *mc146818(Device *dev)
{
    return (Mc146818 *)dev;
}

/* ---- time ---- */

static int64_t virtual_ns(const Mc146818 *r)
{
    return clock_ns(domain_clock(r->dev.domain));
}

static bool held(const Mc146818 *r)
{
    return (r->cmos[RTC_B] & B_SET) || (r->cmos[RTC_A] & A_DV) != DV_RUN;
}

static WideNs time_ns(const Mc146818 *r)
{
    return clock_ns(r->clock) + r->offset_ns;
}

static RtcForm form(const Mc146818 *r)
{
    return (RtcForm) { .binary = r->cmos[RTC_B] & B_DM, .hours24 = r->cmos[RTC_B] & B_24H };
}

static int64_t floor_second(WideNs ns)
{
    return (int64_t)(ns / NS_PER_SEC) - (ns % NS_PER_SEC < 0);
}

static int64_t time_s(const Mc146818 *r)
{
    return floor_second(time_ns(r));
}

static int64_t rest_of_second(WideNs ns)
{
    return (int64_t)(ns - (WideNs)floor_second(ns) * NS_PER_SEC);
}

/* Puts the running time into the bytes. */
static void refresh_bytes(Mc146818 *r)
{
    if (!held(r)) {
        rtc_time_to_bytes(time_s(r), form(r), r->cmos);
    }
}

/* From now on the bytes count; the phase within the second goes on after. */
static void hold(Mc146818 *r)
{
    WideNs now = time_ns(r);

    rtc_time_to_bytes(floor_second(now), form(r), r->cmos);
    r->fraction_ns = rest_of_second(now);
}

static void release(Mc146818 *r)
{
    int64_t seconds = rtc_time_from_bytes(r->cmos, form(r));

    r->offset_ns = (WideNs)seconds * NS_PER_SEC + r->fraction_ns - clock_ns(r->clock);
    r->seen_s = time_s(r);
    rtc_time_changed(&r->dev, floor_second(r->offset_ns - r->start_offset_ns + NS_PER_SEC / 2));
}

/* ---- flags ---- */

static int64_t period_ticks(const Mc146818 *r)
{
    unsigned rs = r->cmos[RTC_A] & A_RS;

    if (rs == 0 || (r->cmos[RTC_A] & A_DV) != DV_RUN) {
        return 0;
    }
    return INT64_C(1) << (rs <= 2 ? rs + 6 : rs - 1); /* DS table 5 */
}

static int64_t ticks_at(int64_t ns)
{
    return (int64_t)((__int128)ns * CRYSTAL_HZ / NS_PER_SEC);
}

static int64_t ns_at(int64_t ticks)
{
    return (int64_t)(((__int128)ticks * NS_PER_SEC + CRYSTAL_HZ - 1) / CRYSTAL_HZ);
}

static uint8_t enabled_flags(const Mc146818 *r)
{
    return r->flags & r->cmos[RTC_B] & (C_PF | C_AF | C_UF);
}

static void update_line(Mc146818 *r)
{
    bool alarm = enabled_flags(r) & C_AF;

    irq_set(r->irq, enabled_flags(r) != 0);
    if (alarm && !r->alarm && r->alarm_listener) {
        device_post(r->alarm_listener, r->alarm_fn);
    }
    r->alarm = alarm;
}

/* Periodic ticks since periodic_ns; each that finds PF unserved is lost, or kept for later. */
static void catch_up_periodic(Mc146818 *r)
{
    int64_t period = period_ticks(r), now = virtual_ns(r);
    int64_t passed = period ? ticks_at(now) / period - ticks_at(r->periodic_ns) / period : 0;

    r->periodic_ns = now;
    if (passed <= 0) {
        return;
    }
    if (r->slew && (r->cmos[RTC_B] & B_PIE)) {
        int64_t unserved = passed - ((r->flags & C_PF) ? 0 : 1);

        r->lost = (uint32_t)MIN(r->lost + unserved, LOST_MAX);
    }
    r->flags |= C_PF;
}

static void catch_up_time(Mc146818 *r)
{
    int64_t from = r->seen_s, to;

    if (held(r)) {
        return;
    }
    r->seen_s = to = time_s(r);
    if (to > from) {
        r->flags |= C_UF;
        if (rtc_alarm_after(r->cmos, form(r), from) <= to) {
            r->flags |= C_AF;
        }
    }
}

/* The next moment, on the virtual clock, when an enabled interrupt can come. */
static int64_t next_event_ns(const Mc146818 *r)
{
    int64_t now = virtual_ns(r), next = INT64_MAX;
    int64_t period = period_ticks(r);

    if ((r->cmos[RTC_B] & B_PIE) && period) {
        int64_t step = r->lost ? period / 2 : period;

        next = ns_at((ticks_at(r->periodic_ns) / step + 1) * step);
    }
    if (!held(r) && (r->cmos[RTC_B] & (B_UIE | B_AIE))) {
        int64_t target = r->cmos[RTC_B] & B_UIE ? r->seen_s + 1 : rtc_alarm_after(r->cmos, form(r), r->seen_s);
        WideNs wait = (WideNs)target * NS_PER_SEC - time_ns(r);

        next = MIN(next, now + (int64_t)CLAMP(wait, 0, WAIT_MAX_NS));
    }
    return next;
}

static void arm(Mc146818 *r)
{
    int64_t next = next_event_ns(r);

    if (next == INT64_MAX) {
        timer_del(r->timer);
    } else {
        timer_mod(r->timer, next);
    }
}

static void catch_up(Mc146818 *r)
{
    catch_up_periodic(r);
    catch_up_time(r);
}

static void expired(Device *dev)
{
    Mc146818 *r = mc146818(dev);

    catch_up(r);
    if (r->lost && !(r->flags & C_PF)) { /* between two ticks, and the last one was served */
        r->lost--;
        r->flags |= C_PF;
    }
    update_line(r);
    arm(r);
}

/* ---- registers ---- */

static void write_a(Mc146818 *r, uint8_t value)
{
    bool was_held = held(r);

    if (!was_held && (value & A_DV) != DV_RUN) {
        hold(r);
    }
    if ((value & A_DV) == DV_RUN && (r->cmos[RTC_A] & DV_RESET) == DV_RESET) {
        r->fraction_ns = NS_PER_SEC / 2; /* DS: the first update comes half a second after the reset ends */
    }
    if ((r->cmos[RTC_A] ^ value) & A_RS) {
        r->lost = 0;
        r->periodic_ns = virtual_ns(r);
    }
    r->cmos[RTC_A] = value & (uint8_t)~A_UIP;
    if (was_held && !held(r)) {
        release(r);
    }
}

static void write_b(Mc146818 *r, uint8_t value)
{
    bool was_held = held(r);

    if (value & B_SET) {
        value &= (uint8_t)~B_UIE;
        if (!was_held) {
            hold(r);
        }
    }
    if ((value & B_PIE) && !(r->cmos[RTC_B] & B_PIE)) {
        r->lost = 0;
    }
    r->cmos[RTC_B] = value;
    if (was_held && !held(r)) {
        release(r);
    }
}

static bool is_time(unsigned index)
{
    return index == RTC_CENTURY || (index <= RTC_YEAR && index != RTC_SECONDS_ALARM && index != RTC_MINUTES_ALARM &&
                                    index != RTC_HOURS_ALARM);
}

/* Setting a running clock is allowed (DS warns of torn updates; there are none here). */
static void write_time(Mc146818 *r, unsigned index, uint8_t value)
{
    if (held(r)) {
        r->cmos[index] = value;
        return;
    }
    hold(r);
    r->cmos[index] = value;
    release(r);
}

static void write_data(Mc146818 *r, uint8_t value)
{
    unsigned index = r->index;

    catch_up(r);
    switch (index) {
    case RTC_A:
        write_a(r, value);
        break;
    case RTC_B:
        write_b(r, value);
        break;
    case RTC_C:
    case RTC_D: /* read-only */
        break;
    default:
        if (is_time(index)) {
            write_time(r, index, value);
        } else {
            r->cmos[index] = value;
        }
        break;
    }
    update_line(r);
    arm(r);
}

static uint8_t read_c(Mc146818 *r)
{
    uint8_t value;

    catch_up(r);
    value = r->flags | (enabled_flags(r) ? C_IRQF : 0);
    r->flags = 0;
    update_line(r);
    arm(r);
    return value;
}

static bool updating(const Mc146818 *r)
{
    return !held(r) && rest_of_second(time_ns(r)) >= NS_PER_SEC - UIP_NS;
}

static uint8_t read_data(Mc146818 *r)
{
    switch (r->index) {
    case RTC_A:
        return r->cmos[RTC_A] | (updating(r) ? A_UIP : 0);
    case RTC_C:
        return read_c(r);
    case RTC_D:
        return D_VRT;
    default:
        if (is_time(r->index)) {
            refresh_bytes(r);
        }
        return r->cmos[r->index];
    }
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
    return offset ? read_data(opaque) : 0xff; /* the address cannot be read */
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Mc146818 *r = opaque;

    if (offset) {
        write_data(r, (uint8_t)value);
    } else {
        r->index = value & (CMOS_SIZE - 1);
    }
}

static const MemoryOps rtc_ops = { .read = rtc_read, .write = rtc_write, .impl_max = 1, .unaligned = true };

/* ---- for the board ---- */

void mc146818_set_nvram(Device *dev, unsigned index, uint8_t value)
{
    g_assert(index >= NVRAM && index < CMOS_SIZE);
    mc146818(dev)->cmos[index] = value;
}

void mc146818_set_alarm(Device *dev, Device *listener, void (*fn)(Device *listener))
{
    mc146818(dev)->alarm_listener = listener;
    mc146818(dev)->alarm_fn = fn;
}

static void set_word(Device *dev, unsigned index, uint64_t value)
{
    value = MIN(value, 0xffff);
    mc146818_set_nvram(dev, index, (uint8_t)value);
    mc146818_set_nvram(dev, index + 1, (uint8_t)(value >> 8));
}

void mc146818_set_memory(Device *dev, uint64_t below_4g, uint64_t above_4g)
{
    const uint64_t kib = 1024, mib = 1024 * kib;
    uint64_t extended = below_4g > mib ? below_4g - mib : 0;
    uint64_t high = MIN(above_4g / (64 * kib), 0xffffff);

    set_word(dev, 0x15, 640);
    set_word(dev, 0x17, MIN(extended / kib, 0xffff));
    set_word(dev, 0x30, MIN(extended / kib, 0xffff));
    set_word(dev, 0x34, below_4g > 16 * mib ? (below_4g - 16 * mib) / (64 * kib) : 0);
    set_word(dev, 0x5b, high & 0xffff);
    mc146818_set_nvram(dev, 0x5d, (uint8_t)(high >> 16));
}

/* ---- state ---- */

/* The host's monotonic clock means nothing elsewhere: the section holds the offset from its time of day. */
static int64_t portable_bias_ns(const Mc146818 *r)
{
    return r->clock == clock_realtime ? clock_ns(clock_host) - clock_ns(clock_realtime) : 0;
}

static bool fits(WideNs ns)
{
    return ns >= INT64_MIN && ns <= INT64_MAX;
}

static bool rtc_save(void *opaque, GError **error)
{
    Mc146818 *r = opaque;
    WideNs offset = r->offset_ns - portable_bias_ns(r), seen;

    refresh_bytes(r);
    catch_up(r);
    seen = (WideNs)r->seen_s * NS_PER_SEC;
    r->far = !fits(offset) || !fits(seen);
    r->saved_offset_s = r->far ? floor_second(offset) : 0;
    r->saved_offset_ns = (int64_t)(offset - (WideNs)r->saved_offset_s * NS_PER_SEC);
    r->seen_ns = r->far ? 0 : (int64_t)seen;
    return true;
}

static bool rtc_loaded(void *opaque, GError **error)
{
    Mc146818 *r = opaque;

    if (!r->far_loaded) {
        r->saved_offset_s = 0;
        r->seen_s = floor_second(r->seen_ns);
    }
    r->far_loaded = false;
    r->offset_ns = (WideNs)r->saved_offset_s * NS_PER_SEC + r->saved_offset_ns + portable_bias_ns(r);
    r->alarm = enabled_flags(r) & C_AF; /* it was told of */
    update_line(r);
    arm(r);
    return true;
}

static bool is_second(const void *opaque, GError **error)
{
    int64_t rest = ((const Mc146818 *)opaque)->fraction_ns;

    return (rest >= 0 && rest < NS_PER_SEC) || error_set(error, "%" PRId64 " ns are no part of a second", rest);
}

/* ---- a time whose nanoseconds take more than 64 bits ---- */

static bool is_far(const void *opaque)
{
    return ((const Mc146818 *)opaque)->far;
}

static bool far_in_reach(const void *opaque, GError **error)
{
    const Mc146818 *r = opaque;

    return (ABS((WideNs)r->saved_offset_s) <= FAR_MAX_S && ABS((WideNs)r->seen_s) <= FAR_MAX_S) ||
           error_set(error, "a clock cannot tell such a year");
}

static bool note_far(void *opaque, GError **error)
{
    ((Mc146818 *)opaque)->far_loaded = true; /* before rtc_loaded() */
    return true;
}

static const StateDesc far_state = {
    .name = "far", .version = 1, .needed = is_far, .check = far_in_reach, .loaded = note_far,
    .fields = (const StateField[]) {
        STATE_I64(Mc146818, saved_offset_s), STATE_I64(Mc146818, seen_s), STATE_END
    },
};

static const StateDesc rtc_state = {
    .name = "mc146818rtc", .version = 1, .save = rtc_save, .check = is_second, .loaded = rtc_loaded,
    .fields = (const StateField[]) {
        STATE_BYTES(Mc146818, cmos),
        STATE_ROW(Mc146818, index, STATE_TYPE_U8, .max = CMOS_SIZE - 1),
        STATE_U8(Mc146818, flags), STATE_I64(Mc146818, saved_offset_ns), STATE_I64(Mc146818, fraction_ns),
        STATE_I64(Mc146818, seen_ns), STATE_I64(Mc146818, periodic_ns),
        STATE_ROW(Mc146818, lost, STATE_TYPE_U32, .max = LOST_MAX),
        STATE_END
    },
    .subsections = (const StateDesc *const[]) { &far_state, NULL },
};

/* ---- life ---- */

/* DS "RESET pin": interrupts off; time and memory have their battery. */
static void rtc_reset(Device *dev)
{
    Mc146818 *r = mc146818(dev);

    r->cmos[RTC_B] &= (uint8_t)~(B_PIE | B_AIE | B_UIE | B_SQWE);
    r->flags = 0;
    r->lost = 0;
    r->index = 0;
    update_line(r);
    arm(r);
}

/* What the battery kept: running, 24 hours in BCD. */
static void power_up(Mc146818 *r)
{
    const Machine *machine = domain_machine(r->dev.domain);
    WideNs start = machine ? machine->rtc.offset_ns : 0;

    r->clock = clock_host;
    if (machine && machine->rtc.clock == RTC_CLOCK_VM) {
        r->clock = domain_clock(r->dev.domain);
    } else if (machine && machine->rtc.clock == RTC_CLOCK_RT) {
        r->clock = clock_realtime;
    }
    r->slew = machine && machine->rtc.slew;
    r->cmos[RTC_A] = DV_RUN | 6; /* 1024 Hz */
    r->cmos[RTC_B] = B_24H;
    if (!machine || machine->rtc.base != RTC_BASE_DATE) {
        start += clock_ns(clock_host);
    }
    r->start_offset_ns = r->offset_ns = start - clock_ns(r->clock);
    r->seen_s = time_s(r);
    r->periodic_ns = virtual_ns(r);
}

void mc146818_forget_lost_ticks(Device *dev)
{
    Mc146818 *r = mc146818(dev);

    lock_acquire(dev->lock);
    catch_up_periodic(r);
    r->lost = 0;
    arm(r);
    lock_release(dev->lock);
}

static bool rtc_realize(Device *dev, GError **error)
{
    Mc146818 *r = mc146818(dev);

    device_init_io(dev, &r->ports, "rtc", &rtc_ops, 2);
    if (!isa_map_ports(dev, &r->ports, RTC_PORT, error)) {
        return false;
    }
    r->irq = isa_connect_irq(dev, RTC_IRQ, error);
    if (!r->irq) {
        return false;
    }
    r->timer = device_timer_new(dev, domain_clock(dev->domain), expired);
    power_up(r);
    return true;
}

static void rtc_unrealize(Device *dev)
{
    Mc146818 *r = mc146818(dev);

    timer_free(r->timer);
    isa_disconnect_irq(dev, RTC_IRQ, r->irq);
}

static const Property rtc_props[] = { PROP_END };

static void rtc_aml(Device *dev, Aml *aml)
{
    aml_begin_device(aml, "RTC");
    aml_name_eisa(aml, "_HID", "PNP0B00");
    aml_name(aml, "_CRS");
    aml_begin_resources(aml);
    aml_res_io(aml, RTC_PORT, RTC_PORT, 1, 2);
    aml_res_irq(aml, RTC_IRQ);
    aml_end(aml);
    aml_end(aml);
}

const DeviceClass mc146818_class = {
    .name = "mc146818rtc", .desc = "MC146818 real-time clock", .category = "Misc",
    .size = sizeof(Mc146818), .bus = &isa_bus_class, .props = rtc_props, .state = &rtc_state,
    .board_only = true,
    .realize = rtc_realize, .unrealize = rtc_unrealize, .reset = rtc_reset, .aml = rtc_aml,
};
