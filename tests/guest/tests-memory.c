/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory: written and summed up in ring 3, at the speed of the host.
 */
#include "guest.h"

#define START  UINT64_C(0x1000000) /* 16 MiB, above this guest */
#define LENGTH UINT64_C(0x2000000)

static uint64_t fill(uint64_t seed)
{
    for (volatile uint64_t *p = (uint64_t *)START; p < (uint64_t *)(START + LENGTH); p++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        *p = seed;
    }
    return seed;
}

/* How many words differ from what fill() wrote. */
static uint64_t compare(uint64_t seed)
{
    uint64_t wrong = 0;

    for (volatile uint64_t *p = (uint64_t *)START; p < (uint64_t *)(START + LENGTH); p++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        wrong += *p != seed;
    }
    return wrong;
}

static bool test_keeps_what_is_written(void)
{
    uint64_t wrong;

    user_run(fill, 1);
    wrong = user_run(compare, 1);
    if (wrong) {
        return failed("words that differ", wrong);
    }
    user_run(fill, 2);
    wrong = user_run(compare, 2);
    return !wrong || failed("words that differ after a second fill", wrong);
}

static uint64_t count_zeroes(uint64_t at)
{
    uint64_t zeroes = 0;

    for (uint64_t i = 0; i < 512; i++) {
        zeroes += ((volatile uint64_t *)at)[i] == 0;
    }
    return zeroes;
}

static bool test_fresh_memory_is_zero(void)
{
    uint64_t zeroes = user_run(count_zeroes, START + LENGTH + 0x100000);

    return zeroes == 512 || failed("zero words", zeroes);
}

static bool test_absent_memory_reads_as_ones(void)
{
    uint32_t value = mmio_read(0xd0000000);

    return value == UINT32_MAX || failed("0xd0000000 reads", value);
}

const Test memory_tests[] = {
    { "memory: keeps what is written", test_keeps_what_is_written },
    { "memory: fresh memory is zero", test_fresh_memory_is_zero },
    { "memory: absent memory reads as ones", test_absent_memory_reads_as_ones },
    { NULL, NULL },
};
