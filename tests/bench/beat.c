/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest does while it is moved and timed: beat FILL WRITE SET MASK
 *
 * Fills FILL MiB with noise, of whose bytes the bits of MASK stay: with ff it does not compress, with 0f to a half.  Then
 * it says "@@b MONOTONIC CHANGED" every five milliseconds, in nanoseconds and in pages, and changes at most WRITE pages a
 * second, here and there in the first SET MiB of them.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BEAT_NS  5000000
#define ROUND_NS 10000000
#define PAGE     4096u
#define MIB      (1u << 20)

static uint64_t state = 88172645463325252u;

static uint64_t random64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

typedef struct Writer {
    uint8_t *memory;
    uint64_t rate, pages;
    uint64_t changed; /* atomic */
} Writer;

static void *write_on(void *opaque)
{
    Writer *w = opaque;
    struct timespec round = { .tv_nsec = ROUND_NS };

    for (uint64_t n = 0;; n++) {
        for (uint64_t i = 0; i < w->rate * (ROUND_NS / 1000000) / 1000; i++) {
            *(uint64_t *)(void *)(w->memory + random64() % w->pages * PAGE) = n;
            __atomic_fetch_add(&w->changed, 1, __ATOMIC_RELAXED);
        }
        nanosleep(&round, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    size_t fill = argc > 1 ? strtoul(argv[1], NULL, 0) * MIB : 0;
    Writer writer = { malloc(fill + PAGE), argc > 2 ? strtoul(argv[2], NULL, 0) : 0,
                      argc > 3 ? strtoul(argv[3], NULL, 0) * (MIB / PAGE) : 1, 0 };
    uint64_t mask = (argc > 4 ? strtoul(argv[4], NULL, 16) & 0xff : 0xff) * UINT64_C(0x0101010101010101);
    pthread_t thread;

    if (!writer.memory || writer.pages * PAGE > fill + PAGE) {
        return 1;
    }
    for (size_t at = 0; at < fill; at += sizeof(uint64_t)) {
        *(uint64_t *)(void *)(writer.memory + at) = random64() & mask;
    }
    if (writer.rate && pthread_create(&thread, NULL, write_on, &writer)) {
        return 1;
    }
    for (;;) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        printf("@@b %" PRId64 " %" PRIu64 "\n", now.tv_sec * INT64_C(1000000000) + now.tv_nsec,
               __atomic_load_n(&writer.changed, __ATOMIC_RELAXED));
        fflush(stdout);
        nanosleep(&(struct timespec) { .tv_nsec = BEAT_NS }, NULL);
    }
}
