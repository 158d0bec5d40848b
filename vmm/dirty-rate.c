/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/dirty-rate.h.  Names and members are QEMU 7.2's (qapi/migration.json).  A thread of its own, "dirty-rate",
 * looks at the memory twice, calc-time seconds apart:
 *
 *   page-sampling   pages chosen by chance, whose checksums differ the second time; the guest is not disturbed
 *   dirty-bitmap    the dirty log, on for that time: exact, and the guest pays for it
 *
 * Mode dirty-ring is not there.  Locking: `mutex`, a leaf, for the end; what is measured is the thread's until it has
 * ended.
 */
#include "vmm/dirty-rate.h"

#include <pthread.h>

#include "vmm/accel.h"
#include "vmm/domain-internal.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/memory.h"
#include "vmm/migrate-ram.h"
#include "vmm/sandbox.h"
#include "vmm/state-format.h"
#include "vmm/thread.h"
#include "vmm/timer.h"

#define SAMPLES_DEFAULT 512 /* of a GiB */
#define SAMPLES_LEAST   64  /* of all, where there is little memory */
#define PAGES_OF_GIB    (UINT64_C(1) << 18)
#define PAGES_OF_MIB    256

typedef enum DirtyRateStatus { RATE_UNSTARTED, RATE_MEASURING, RATE_MEASURED } DirtyRateStatus;
static const FieldEnum status_enum = { "DirtyRateStatus",
                                       (const char *const[]) { "unstarted", "measuring", "measured", NULL } };
typedef enum DirtyRateMode { RATE_SAMPLING, RATE_BITMAP } DirtyRateMode;
static const FieldEnum mode_enum = { "DirtyRateMeasureMode",
                                     (const char *const[]) { "page-sampling", "dirty-bitmap", NULL } };

typedef struct Sample { unsigned block; uint64_t page; uint32_t checksum; } Sample;

typedef struct DirtyRate {
    /* Constant while the thread runs. */
    DirtyRateMode mode;
    int64_t seconds, samples, started;
    MigrateRam *ram;
    pthread_t thread;
    /* The thread's. */
    int64_t pages_per_second;
    unsigned status; /* atomic */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool quit;
} DirtyRate;

/* ---- the thread ---- */

/* Whether nobody has ended it; *ret: how long it was. */
static bool wait_seconds(DirtyRate *d, double *ret)
{
    int64_t from = clock_ns(clock_realtime), until = from + d->seconds * NS_PER_SEC;
    struct timespec ts = { until / NS_PER_SEC, until % NS_PER_SEC };
    bool quit;

    pthread_mutex_lock(&d->mutex);
    while (!d->quit && clock_ns(clock_realtime) < until) {
        pthread_cond_clockwait(&d->cond, &d->mutex, CLOCK_MONOTONIC, &ts);
    }
    quit = d->quit;
    pthread_mutex_unlock(&d->mutex);
    *ret = (double)(clock_ns(clock_realtime) - from) / NS_PER_SEC;
    return !quit;
}

static uint32_t checksum_of(const DirtyRate *d, const Sample *s)
{
    return state_crc32c(ram_block_host(d->ram->block[s->block].block) + s->page * GUEST_PAGE_SIZE, GUEST_PAGE_SIZE);
}

static Sample choose(const DirtyRate *d, GRand *chance)
{
    uint64_t page = ((uint64_t)g_rand_int(chance) << 32 | g_rand_int(chance)) % d->ram->pages;
    Sample s = { 0, page, 0 };

    while (s.page >= d->ram->block[s.block].pages) {
        s.page -= d->ram->block[s.block++].pages;
    }
    s.checksum = checksum_of(d, &s);
    return s;
}

static void measure_samples(DirtyRate *d)
{
    uint64_t n = CLAMP(d->ram->pages * (uint64_t)d->samples / PAGES_OF_GIB, SAMPLES_LEAST, d->ram->pages);
    g_autofree Sample *sample = g_new(Sample, n);
    GRand *chance = g_rand_new_with_seed((guint32)clock_ns(clock_realtime)); /* nothing is opened for that */
    uint64_t changed = 0;
    double seconds;

    for (uint64_t i = 0; i < n; i++) {
        sample[i] = choose(d, chance);
    }
    g_rand_free(chance);
    if (wait_seconds(d, &seconds)) {
        for (uint64_t i = 0; i < n; i++) {
            changed += checksum_of(d, &sample[i]) != sample[i].checksum;
        }
        d->pages_per_second = (int64_t)((double)d->ram->pages * (double)changed / (double)n / seconds);
    }
}

static uint64_t take_all(RamBlock *block)
{
    uint64_t pages = 0, next = 0, first, n;

    memory_log_sync(block);
    while ((n = ram_dirty_take_run(block, DIRTY_RATE, next, UINT64_MAX, &first))) {
        pages += n;
        next = first + n;
    }
    return pages;
}

static void measure_log(DirtyRate *d)
{
    uint64_t changed = 0;
    double seconds;

    for (unsigned i = 0; i < d->ram->n; i++) {
        memory_log_start(d->ram->block[i].block, DIRTY_RATE);
        take_all(d->ram->block[i].block); /* at first everything is dirty */
    }
    if (wait_seconds(d, &seconds)) {
        for (unsigned i = 0; i < d->ram->n; i++) {
            changed += take_all(d->ram->block[i].block);
        }
        d->pages_per_second = (int64_t)((double)changed / seconds);
    }
    for (unsigned i = 0; i < d->ram->n; i++) {
        memory_log_stop(d->ram->block[i].block, DIRTY_RATE);
    }
}

static void *work(void *opaque)
{
    DirtyRate *d = opaque;
    g_autoptr(GError) error = NULL;

    pthread_setname_np(pthread_self(), "dirty-rate");
    if (!sandbox_enter(SANDBOX_WORKER, &error)) {
        log_error(error);
    } else if (d->ram->pages && d->mode == RATE_SAMPLING) {
        measure_samples(d);
    } else if (d->ram->pages) {
        measure_log(d);
    }
    __atomic_store_n(&d->status, RATE_MEASURED, __ATOMIC_RELEASE);
    return NULL;
}

/* ---- main thread ---- */

void dirty_rate_free(DirtyRate *d)
{
    if (!d) {
        return;
    }
    pthread_mutex_lock(&d->mutex);
    d->quit = true;
    pthread_cond_broadcast(&d->cond);
    pthread_mutex_unlock(&d->mutex);
    pthread_join(d->thread, NULL);
    migrate_ram_free(d->ram);
    pthread_mutex_destroy(&d->mutex);
    pthread_cond_destroy(&d->cond);
    g_free(d);
}

static DirtyRateStatus status_of(const DirtyRate *d)
{
    return d ? (DirtyRateStatus)__atomic_load_n(&d->status, __ATOMIC_ACQUIRE) : RATE_UNSTARTED;
}

typedef struct CalcArgs { int64_t seconds, samples; int mode; bool has_samples; } CalcArgs;
static const FieldStruct calc_args = {
    .name = "CalcDirtyRateArguments", .size = sizeof(CalcArgs),
    .fields = (const Field[]) {
        F_INT("calc-time", CalcArgs, seconds, 0, .flags = FIELD_REQUIRED, .min = 1, .max = 60,
              .help = "Seconds that it takes"),
        F_INT("sample-pages", CalcArgs, samples, SAMPLES_DEFAULT, FIELD_HAS(CalcArgs, has_samples), .min = 128,
              .max = 16384, .help = "Pages of a GiB that are looked at, with page-sampling (512)"),
        F_ENUM("mode", CalcArgs, mode, &mode_enum, RATE_SAMPLING, .help = "How it is measured"),
        FIELD_END
    },
};

static bool calc_dirty_rate(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const CalcArgs *args = opaque;
    Domain *domain = call->domain;
    const Accel *accel = domain->accel;
    DirtyRate *d;
    int err;

    if (status_of(domain->dirty_rate) == RATE_MEASURING) {
        return error_set(error, "the dirty rate is already being measured.");
    }
    if (args->mode == RATE_BITMAP && accel && accel->class->dirty_log && !accel->class->dirty_log(domain->accel)) {
        return error_set(error, "mode dirty-bitmap: accelerator '%s' cannot tell here which memory the guest changes",
                         accel->class->name);
    }
    if (args->has_samples && args->mode != RATE_SAMPLING) {
        return error_set(error, "sample-pages is used only in page-sampling mode");
    }
    g_clear_pointer(&domain->dirty_rate, dirty_rate_free);
    d = g_new0(DirtyRate, 1);
    d->mode = (DirtyRateMode)args->mode;
    d->seconds = args->seconds;
    d->samples = args->has_samples ? args->samples : SAMPLES_DEFAULT;
    d->started = clock_ns(clock_realtime) / NS_PER_SEC;
    d->status = RATE_MEASURING;
    d->ram = migrate_ram_new();
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->cond, NULL);
    err = thread_create(&d->thread, NULL, work, d);
    if (err) {
        migrate_ram_free(d->ram);
        g_free(d);
        return error_set_errno(error, err, "cannot start a thread for the measurement");
    }
    domain->dirty_rate = d;
    return true;
}

typedef struct DirtyRateInfo {
    int64_t rate, start, seconds, samples;
    bool has_rate;
    int status, mode;
} DirtyRateInfo;
static const FieldStruct dirty_rate_info = {
    .name = "DirtyRateInfo", .size = sizeof(DirtyRateInfo),
    .fields = (const Field[]) {
        F_INT("dirty-rate", DirtyRateInfo, rate, 0, FIELD_HAS(DirtyRateInfo, has_rate), .help = "MiB a second"),
        F_ENUM("status", DirtyRateInfo, status, &status_enum, 0, .flags = FIELD_REQUIRED, .help = "How far it is"),
        F_INT("start-time", DirtyRateInfo, start, 0, .flags = FIELD_REQUIRED, .help = "Seconds, by the host's clock"),
        F_INT("calc-time", DirtyRateInfo, seconds, 0, .flags = FIELD_REQUIRED, .help = "Seconds that it takes"),
        F_INT("sample-pages", DirtyRateInfo, samples, 0, .flags = FIELD_REQUIRED, .help = "Pages of a GiB"),
        F_ENUM("mode", DirtyRateInfo, mode, &mode_enum, 0, .flags = FIELD_REQUIRED, .help = "How it is measured"),
        FIELD_END
    },
};

static bool query_dirty_rate(CommandCall *call, const void *args, void *ret, GError **error)
{
    const DirtyRate *d = call->domain->dirty_rate;
    DirtyRateInfo *info = ret;

    info->status = (int)status_of(d);
    if (d) {
        info->has_rate = info->status == RATE_MEASURED;
        info->rate = info->has_rate ? (d->pages_per_second + PAGES_OF_MIB / 2) / PAGES_OF_MIB : 0;
        info->start = d->started;
        info->seconds = d->seconds;
        info->samples = d->mode == RATE_SAMPLING ? d->samples : 0;
        info->mode = (int)d->mode;
    }
    return true;
}

const Command dirty_rate_commands[] = {
    { "calc-dirty-rate", calc_dirty_rate, &calc_args, .help = "Measure how fast the guest changes its memory" },
    { "query-dirty-rate", query_dirty_rate, NULL, COMMAND_RETURNS(DirtyRateInfo, &dirty_rate_info),
      .help = "Tell what the last measurement found" },
    COMMAND_END
};
