/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of the MC146818's time (DS table 3) and its alarm (DS "Alarm Bytes": the two
 * top bits set match any value).
 */
#include "hw/timer/mc146818-time.h"

#include "hw/timer/mc146818.h"

#define DAY_SECONDS   INT64_C(86400)
#define HOUR_PM       0x80
#define ALARM_ANY     0xc0
#define DAYS_TO_1970  719468 /* from 0000-03-01, proleptic Gregorian */

static uint8_t encode(unsigned value, RtcForm form)
{
    return (uint8_t)(form.binary ? value : value / 10 << 4 | value % 10);
}

static unsigned decode(uint8_t byte, RtcForm form)
{
    return form.binary ? byte : (byte >> 4) * 10u + (byte & 15);
}

static uint8_t encode_hour(unsigned hour, RtcForm form)
{
    if (form.hours24) {
        return encode(hour, form);
    }
    return (uint8_t)(encode(hour % 12 ? hour % 12 : 12, form) | (hour >= 12 ? HOUR_PM : 0));
}

static unsigned decode_hour(uint8_t byte, RtcForm form)
{
    if (form.hours24) {
        return decode(byte, form);
    }
    return decode(byte & (uint8_t)~HOUR_PM, form) % 12 + (byte & HOUR_PM ? 12 : 0);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Years begin in March, so that the leap day is the last. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    int64_t y = year - (month <= 2), era = floor_div(y, 400), of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - DAYS_TO_1970;
}

static void date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t z = days + DAYS_TO_1970, era = floor_div(z, 146097), of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;

    *day = (unsigned)(of_year - (153 * m + 2) / 5 + 1);
    *month = (unsigned)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

void rtc_time_to_bytes(int64_t seconds, RtcForm form, uint8_t *cmos)
{
    int64_t days = floor_div(seconds, DAY_SECONDS), year;
    unsigned rest = (unsigned)(seconds - days * DAY_SECONDS), month, day;

    date_of(days, &year, &month, &day);
    cmos[RTC_SECONDS] = encode(rest % 60, form);
    cmos[RTC_MINUTES] = encode(rest / 60 % 60, form);
    cmos[RTC_HOURS] = encode_hour(rest / 3600, form);
    cmos[RTC_WEEKDAY] = encode((unsigned)(days - floor_div(days + 4, 7) * 7 + 4) + 1, form); /* Sunday is 1 */
    cmos[RTC_DAY] = encode(day, form);
    cmos[RTC_MONTH] = encode(month, form);
    cmos[RTC_YEAR] = encode((unsigned)(year - floor_div(year, 100) * 100), form);
    cmos[RTC_CENTURY] = encode((unsigned)(floor_div(year, 100) & 0x7f), form);
}

int64_t rtc_time_from_bytes(const uint8_t *cmos, RtcForm form)
{
    int64_t year = decode(cmos[RTC_CENTURY], form) * 100 + decode(cmos[RTC_YEAR], form);
    unsigned month = decode(cmos[RTC_MONTH], form);

    month = month < 1 ? 1 : month > 12 ? 12 : month;
    return days_of(year, month, decode(cmos[RTC_DAY], form)) * DAY_SECONDS + decode_hour(cmos[RTC_HOURS], form) * 3600 +
           decode(cmos[RTC_MINUTES], form) * 60 + decode(cmos[RTC_SECONDS], form);
}

static bool matches(uint8_t byte, unsigned value, unsigned wanted)
{
    return (byte & ALARM_ANY) == ALARM_ANY || value == wanted;
}

int64_t rtc_alarm_after(const uint8_t *cmos, RtcForm form, int64_t after)
{
    int64_t at = after + 1, last = after + DAY_SECONDS;
    unsigned hour = decode_hour(cmos[RTC_HOURS_ALARM], form);
    unsigned minute = decode(cmos[RTC_MINUTES_ALARM], form);
    unsigned second = decode(cmos[RTC_SECONDS_ALARM], form);

    while (at <= last) { /* skips whole hours and minutes: at most 24 + 60 + 60 steps */
        unsigned rest = (unsigned)(at - floor_div(at, DAY_SECONDS) * DAY_SECONDS);

        if (!matches(cmos[RTC_HOURS_ALARM], rest / 3600, hour)) {
            at += 3600 - rest % 3600;
        } else if (!matches(cmos[RTC_MINUTES_ALARM], rest / 60 % 60, minute)) {
            at += 60 - rest % 60;
        } else if (!matches(cmos[RTC_SECONDS_ALARM], rest % 60, second)) {
            at++;
        } else {
            return at;
        }
    }
    return INT64_MAX;
}

/* ---- RTC_CHANGE (QEMU 7.2, qapi/misc-target.json) ---- */

typedef struct RtcChange { int64_t offset; char *path; } RtcChange;
static const FieldStruct rtc_change = {
    .name = "RtcChangeData", .size = sizeof(RtcChange),
    .fields = (const Field[]) {
        F_INT("offset", RtcChange, offset, 0, .flags = FIELD_REQUIRED, .help = "Seconds from what -rtc asked for"),
        F_STR("qom-path", RtcChange, path, NULL, .flags = FIELD_REQUIRED, .help = "The clock"),
        FIELD_END
    },
};
const EventType event_rtc_change = { "RTC_CHANGE", &rtc_change, .interval_ms = 1000,
                                     .help = "The guest has set its clock" };

void rtc_time_changed(Device *dev, int64_t seconds)
{
    event_emit(dev->domain, &event_rtc_change, &(RtcChange) { seconds, dev->path });
}
