/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/dump.h.  A dump owns references on the RAM it writes and a copy of the registers, so its thread needs nothing
 * of the domain.
 */
#include "vmm/dump.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/sandbox.h"
#include "vmm/thread.h"

/* Under way from the thread to the main loop; dump NULL: it is gone. */
typedef struct Message {
    Dump *dump;
    LoopBatch later; /* it came within a wait (loop_defer()) */
} Message;

struct Dump {
    DumpOptions options;
    GArray *ranges;
    GByteArray *notes;
    unsigned vcpus;
    uint64_t total, written; /* written: atomic */
    bool cancelled;          /* atomic */
    bool waits;              /* it is written to a reader, not to a disk */
    /* Of a thread of its own. */
    bool started;
    pthread_t thread;
    Loop *loop;
    Message *message; /* NULL: was delivered */
    GError *error; /* its thread's until it is joined */
    void (*done)(const GError *error, void *opaque);
    void *opaque;
};

/* ---- what is dumped ---- */

/* Pages that are whole. */
static bool collect(const MemoryRange *range, void *opaque)
{
    Dump *dump = opaque;
    uint64_t begin = MAX(range->address, dump->options.begin);
    uint64_t limit = dump->options.length ? dump->options.begin + dump->options.length : UINT64_MAX;
    uint64_t end = MIN(range->address + range->size, limit);
    DumpRange r;

    if (range->region->kind != MEMORY_RAM || range->readonly || begin >= end) {
        return true;
    }
    r = (DumpRange) { begin, end - begin,
                      ram_block_host(range->region->ram) + range->region->ram_offset + range->offset +
                          (begin - range->address),
                      ram_block_ref(range->region->ram) };
    g_array_append_val(dump->ranges, r);
    dump->total += r.length;
    return true;
}

static bool collect_vcpus(Dump *dump, Domain *domain, GError **error)
{
    dump->vcpus = domain_vcpus(domain);
    for (unsigned i = 0; i < dump->vcpus; i++) {
        Vcpu *vcpu = domain_vcpu(domain, i);

        if (!vcpu_fetch(vcpu, error)) {
            return false;
        }
        dump_add_notes(dump->notes, &vcpu->cpu, vcpu->index);
    }
    return true;
}

static bool has_reader(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

Dump *dump_new(Domain *domain, const DumpOptions *options, GError **error)
{
    Dump *dump = g_new0(Dump, 1);

    dump->options = *options;
    dump->options.fd = -1;
    dump->waits = has_reader(options->fd);
    dump->loop = domain_loop(domain);
    dump->ranges = g_array_new(FALSE, FALSE, sizeof(DumpRange));
    dump->notes = g_byte_array_new();
    memory_each_range(domain_memory(domain), collect, dump);
    if (!dump->total) {
        error_set(error, "there is no memory to dump there");
    } else if (collect_vcpus(dump, domain, error)) {
        dump->options.fd = options->fd;
        return dump;
    }
    dump_free(dump);
    return NULL;
}

void dump_free(Dump *dump)
{
    if (!dump) {
        return;
    }
    __atomic_store_n(&dump->cancelled, true, __ATOMIC_RELAXED);
    if (dump->started) {
        pthread_join(dump->thread, NULL);
    }
    if (dump->message) {
        dump->message->dump = NULL;
    }
    for (guint i = 0; i < dump->ranges->len; i++) {
        ram_block_unref(g_array_index(dump->ranges, DumpRange, i).block);
    }
    g_array_unref(dump->ranges);
    g_byte_array_unref(dump->notes);
    g_clear_error(&dump->error);
    if (dump->options.fd >= 0) {
        close(dump->options.fd);
    }
    g_free(dump);
}

uint64_t dump_total(const Dump *dump)
{
    return dump->total;
}

uint64_t dump_written(const Dump *dump)
{
    return __atomic_load_n(&dump->written, __ATOMIC_RELAXED);
}

/* ---- writing it ---- */

const GArray *dump_ranges(const Dump *dump)
{
    return dump->ranges;
}

const GByteArray *dump_notes(const Dump *dump)
{
    return dump->notes;
}

unsigned dump_vcpus(const Dump *dump)
{
    return dump->vcpus;
}

void dump_progress(Dump *dump, uint64_t bytes)
{
    __atomic_fetch_add(&dump->written, bytes, __ATOMIC_RELAXED);
}

/* How long a dump that was cancelled may wait for its reader. */
#define PATIENCE_MS 50

static bool is_cancelled(const Dump *dump)
{
    return __atomic_load_n(&dump->cancelled, __ATOMIC_RELAXED);
}

/* A pipe's or a socket's reader may never read, and the dump's thread is to end nevertheless: they get what they take
 * without a wait, which is PIPE_BUF bytes after poll() (pipe(7)).  -errno, 0: written or cancelled. */
static int write_patiently(Dump *dump, const uint8_t *data, size_t length)
{
    struct pollfd p = { .fd = dump->options.fd, .events = POLLOUT };
    int err = 0;

    while (length && !err && !is_cancelled(dump)) {
        int n = poll(&p, 1, PATIENCE_MS);

        if (n > 0) {
            size_t piece = MIN(length, PIPE_BUF);

            err = host_write_all(p.fd, data, piece);
            data += piece;
            length -= piece;
        }
    }
    return err;
}

bool dump_write(Dump *dump, const void *data, size_t length, GError **error)
{
    int err = dump->waits ? write_patiently(dump, data, length) : host_write_all(dump->options.fd, data, length);

    if (is_cancelled(dump)) {
        return error_set(error, "the dump was cancelled");
    }
    return !err || error_set_errno(error, err, "cannot write the dump");
}

/* What the last write() kept back, a full disk of NFS for one, comes out when it is closed. */
static bool finish(Dump *dump, GError **error)
{
    int fd = dump->options.fd;

    dump->options.fd = -1;
    return close(fd) == 0 || error_set_errno(error, errno, "cannot write the dump");
}

bool dump_run(Dump *dump, GError **error)
{
    bool (*const write_format[DUMP_FORMATS])(Dump *dump, GError **error) = {
        [DUMP_ELF] = dump_write_elf, [DUMP_KDUMP_ZLIB] = dump_write_kdump,
    };

    return write_format[dump->options.format](dump, error) && finish(dump, error);
}

static void tell(void *opaque)
{
    Message *message = opaque;
    Dump *dump = message->dump;

    if (dump && loop_defer(dump->loop, &message->later)) {
        return;
    }
    g_free(message);
    if (dump) {
        dump->message = NULL;
        dump->done(dump->error, dump->opaque);
    }
}

static void *run_thread(void *opaque)
{
    Dump *dump = opaque;

    if (sandbox_enter(SANDBOX_WORKER, &dump->error)) {
        dump_run(dump, &dump->error);
    }
    loop_post(dump->loop, tell, dump->message);
    return NULL;
}

bool dump_start(Dump *dump, void (*done)(const GError *error, void *opaque), void *opaque, GError **error)
{
    int err;

    dump->done = done;
    dump->opaque = opaque;
    dump->message = g_new0(Message, 1);
    *dump->message = (Message) { dump, { .fn = tell, .opaque = dump->message } };
    err = thread_create(&dump->thread, NULL, run_thread, dump);
    if (err) {
        g_clear_pointer(&dump->message, g_free);
        return error_set_errno(error, err, "cannot start a thread for the dump");
    }
    dump->started = true;
    return true;
}
