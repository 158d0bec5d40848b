/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watches the clocks of a guest that moves: looks at them each millisecond, and says ten times a second
 * "@@t MONOTONIC RAW REALTIME BACK", in nanoseconds, BACK being how often one of them, or the TSC, went back.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define SAY_NS 100000000

static int64_t now(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

int main(void)
{
    int64_t mono = 0, raw = 0, real = 0, said = 0;
    uint64_t tsc = 0;
    unsigned back = 0;

    for (;;) {
        uint64_t tsc_then = tsc;
        int64_t mono_then = mono, raw_then = raw, real_then = real;

        tsc = __rdtsc();
        mono = now(CLOCK_MONOTONIC);
        raw = now(CLOCK_MONOTONIC_RAW);
        real = now(CLOCK_REALTIME);
        back += (tsc < tsc_then) + (mono < mono_then) + (raw < raw_then) + (real < real_then);
        if (mono - said >= SAY_NS) {
            char line[128];
            int length = snprintf(line, sizeof(line), "@@t %" PRId64 " %" PRId64 " %" PRId64 " %u\n", mono, raw, real,
                                  back);

            said = mono;
            if (write(1, line, (size_t)length) < 0) {
                return 1;
            }
        }
        nanosleep(&(struct timespec) { .tv_nsec = 1000000 }, NULL);
    }
}
