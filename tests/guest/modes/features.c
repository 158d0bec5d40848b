/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this processor has, as far as probes ask (the NEED_ constants).
 */
#include "modes.h"

static bool features[32];

void features_init(void)
{
    uint32_t basic[4], one[4], seven[4], extended[4];
    bool amd;

    cpuid(0, 0, basic);
    cpuid(1, 0, one);
    cpuid(7, 0, seven);
    cpuid(0x80000001, 0, extended);
    amd = basic[1] == 0x68747541; /* "Auth" */
    features[NEED_NOTHING] = true;
    features[NEED_SMEP] = seven[1] >> 7 & 1;
    features[NEED_SMAP] = seven[1] >> 20 & 1;
    features[NEED_UMIP] = seven[2] >> 2 & 1;
    features[NEED_PCID] = one[2] >> 17 & 1;
    features[NEED_INVPCID] = seven[1] >> 10 & 1;
    features[NEED_FSGSBASE] = seven[1] & 1;
    features[NEED_1G] = extended[3] >> 26 & 1;
    features[NEED_SYSCALL32] = amd;
    features[NEED_SYSENTER] = one[3] >> 11 & 1;
    features[NEED_SYSENTER64] = !amd && features[NEED_SYSENTER];
    features[NEED_RDTSCP] = extended[3] >> 27 & 1;
    features[NEED_INTEL] = !amd;
    features[NEED_AMD] = amd;
    features[NEED_VME] = one[3] >> 1 & 1;
}

bool have_feature(unsigned need)
{
    return features[need];
}
