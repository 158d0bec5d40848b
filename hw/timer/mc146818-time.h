/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ten time bytes of an MC146818 and its three alarm bytes, in BCD or binary, 12
 * or 24 hours.  Pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Device Device;

enum { RTC_SECONDS, RTC_SECONDS_ALARM, RTC_MINUTES, RTC_MINUTES_ALARM, RTC_HOURS, RTC_HOURS_ALARM,
       RTC_WEEKDAY, RTC_DAY, RTC_MONTH, RTC_YEAR, RTC_CENTURY = 0x32 };

typedef struct RtcForm { bool binary, hours24; } RtcForm;

/* seconds: since 1970-01-01 00:00 of the guest's time. */
void rtc_time_to_bytes(int64_t seconds, RtcForm form, uint8_t *cmos);
int64_t rtc_time_from_bytes(const uint8_t *cmos, RtcForm form); /* out of range values carry over */
/* The first second after `after` when the alarm matches; INT64_MAX: it never does. */
int64_t rtc_alarm_after(const uint8_t *cmos, RtcForm form, int64_t after);

/* RTC_CHANGE: by so many seconds the guest's clock differs from what -rtc asked for. */
void rtc_time_changed(Device *dev, int64_t seconds);
