/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The protocols `file` (regular files) and `host_device` (block devices).  Options
 * as QEMU's BlockdevOptionsFile; persistent reservations (pr-manager) are not
 * there.  aio=io_uring is what the loop does if it may; native (Linux AIO in QEMU)
 * means the same here and as there needs cache.direct=on; threads takes each
 * request to a worker.
 *
 * Locking: none on the data path; what is learnt while running is atomic.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "block/file-lock.h"
#include "block/node.h"
#include "vmm/coroutine.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/iov.h"

typedef enum FileAio { FILE_AIO_THREADS, FILE_AIO_NATIVE, FILE_AIO_IO_URING } FileAio;

typedef struct FileOptions {
    char *filename;
    int locking; /* OnOffAuto */
    bool has_aio;
    int aio;
} FileOptions;

typedef struct File {
    int fd;
    bool device, locking, threads;
    int64_t length;
    FileLocks locks;
    /* Learnt from the file system; atomic */
    bool no_zero_range, no_punch;
    int flush_error; /* a failed flush says that pages were dropped: no later one can promise them */
} File;

/* ---- open ---- */

static int open_file(BlockNode *node, const char *path, GError **error)
{
    int flags = node->direct ? O_DIRECT : 0;
    int fd;

    if (!node->read_only) {
        fd = host_open(path, flags | O_RDWR, 0, node->auto_read_only ? NULL : error);
        if (fd >= 0 || !node->auto_read_only) {
            return fd;
        }
    }
    fd = host_open(path, flags | O_RDONLY, 0, error);
    if (fd >= 0) {
        node->read_only = true;
    }
    return fd;
}

static bool check_kind(const BlockNode *node, File *file, const char *path, GError **error)
{
    struct stat st;

    if (fstat(file->fd, &st) < 0) {
        return error_set_errno(error, errno, "cannot examine '%s'", path);
    }
    if (node->driver == &block_host_device ? !S_ISBLK(st.st_mode) : !S_ISREG(st.st_mode)) {
        error_set(error, "'%s' is no %s", path, node->driver == &block_host_device ? "block device" : "regular file");
        return S_ISBLK(st.st_mode) ? error_hint(error, "Use driver=host_device for it.")
                                   : S_ISREG(st.st_mode) ? error_hint(error, "Use driver=file for it.") : false;
    }
    file->device = S_ISBLK(st.st_mode);
    file->length = st.st_size;
    if (file->device) {
        uint64_t bytes;

        if (ioctl(file->fd, BLKGETSIZE64, &bytes) < 0) {
            return error_set_errno(error, errno, "cannot get the size of '%s'", path);
        }
        file->length = (int64_t)bytes;
    }
    return true;
}

/* The smallest read that O_DIRECT takes, where nobody tells. */
static uint32_t probe_alignment(int fd)
{
    uint32_t found = 4096;
    void *buffer;

    if (posix_memalign(&buffer, 4096, 4096)) {
        return found;
    }
    for (uint32_t bytes = 512; bytes < 4096; bytes *= 2) {
        if (pread(fd, buffer, bytes, 0) >= 0) {
            found = bytes;
            break;
        }
    }
    free(buffer);
    return found;
}

static bool find_limits(BlockNode *node, const File *file, const char *path, GError **error)
{
    int sector = 1;

    if (file->device && ioctl(file->fd, BLKSSZGET, &sector) < 0) {
        return error_set_errno(error, errno, "cannot get the block size of '%s'", path);
    }
    node->limits.discard_alignment = (uint32_t)sector;
    node->limits.zeroes_alignment = (uint32_t)sector;
    if (node->direct) {
        struct statx stx;

        node->limits.memory_alignment = 4096;
        if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && stx.stx_mask & STATX_DIOALIGN &&
            stx.stx_dio_offset_align) {
            node->limits.request_alignment = stx.stx_dio_offset_align;
            node->limits.memory_alignment = stx.stx_dio_mem_align;
        } else {
            node->limits.request_alignment = file->device ? (uint32_t)sector : probe_alignment(file->fd);
        }
    }
    return true;
}

static bool choose_aio(BlockNode *node, File *file, const FileOptions *o, GError **error)
{
    if (!o->has_aio) {
        return true;
    }
    if (o->aio == FILE_AIO_NATIVE && !node->direct) {
        error_set(error, "aio=native needs cache.direct=on");
        return error_hint(error, "Add cache.direct=on (cache=none with -drive), or use aio=threads.");
    }
    if (o->aio == FILE_AIO_IO_URING && loop_engine(domain_loop(node->domain)) != LOOP_ENGINE_IO_URING) {
        error_set(error, "aio=io_uring cannot be had: this host forbids io_uring");
        return error_hint(error, "Use aio=threads, or leave aio out.");
    }
    file->threads = o->aio == FILE_AIO_THREADS;
    return true;
}

static bool choose_locking(File *file, const FileOptions *o, GError **error)
{
    bool supported = file_locks_supported(file->fd);

    if (o->locking == ON_OFF_AUTO_ON && !supported) {
        error_set(error, "'%s' cannot be locked here", o->filename);
        return error_hint(error, "Say locking=off if nothing else uses it.");
    }
    file->locking = o->locking != ON_OFF_AUTO_OFF && supported;
    return true;
}

static bool file_open(BlockNode *node, const void *options, GError **error)
{
    const FileOptions *o = options;
    File *file = node->state;

    file->fd = open_file(node, o->filename, error);
    if (file->fd < 0) {
        return false;
    }
    if (!check_kind(node, file, o->filename, error) || !choose_aio(node, file, o, error) ||
        !choose_locking(file, o, error) || !find_limits(node, file, o->filename, error)) {
        close(file->fd);
        return false;
    }
    node->filename = g_strdup(o->filename);
    return true;
}

static void file_close(BlockNode *node)
{
    close(((File *)node->state)->fd); /* its locks go with it */
}

static int64_t file_length(BlockNode *node)
{
    return ((File *)node->state)->length;
}

static int64_t file_allocated(BlockNode *node)
{
    struct stat st;

    return fstat(((File *)node->state)->fd, &st) < 0 ? -errno : st.st_blocks * 512;
}

static bool file_lock(BlockNode *node, unsigned used, unsigned unshared, GError **error)
{
    File *file = node->state;

    return !file->locking || file_locks_update(&file->locks, file->fd, node->filename, used, unshared, error);
}

/* ---- I/O ---- */

static int run_on_worker(void *opaque)
{
    const LoopIo *io = opaque;
    ssize_t n = -1;

    switch (io->op) {
    case LOOP_IO_READV:
        n = preadv2(io->fd, io->iov, io->niov, (off_t)io->offset, io->flags);
        break;
    case LOOP_IO_WRITEV:
        n = pwritev2(io->fd, io->iov, io->niov, (off_t)io->offset, io->flags);
        break;
    case LOOP_IO_FDATASYNC:
        n = fdatasync(io->fd);
        break;
    case LOOP_IO_FALLOCATE:
        n = fallocate(io->fd, io->flags, (off_t)io->offset, (off_t)io->length);
        break;
    case LOOP_IO_CALL:
        g_assert_not_reached();
    }
    return n < 0 ? -errno : (int)n;
}

static int run_once(const File *file, LoopIo *io)
{
    return file->threads ? co_call(loop_current(), run_on_worker, io) : co_io(loop_current(), io);
}

/* EAGAIN: a file system that could not go on without waiting. */
static int run(const File *file, LoopIo *io)
{
    int ret;

    do {
        ret = run_once(file, io);
    } while (ret == -EINTR || ret == -EAGAIN);
    return ret;
}

/* The whole transfer; a short one goes on where it stopped. */
static int run_all(const File *file, LoopIo *io, uint64_t bytes)
{
    const struct iovec *iov = io->iov;
    g_autofree struct iovec *rest = NULL;
    unsigned n = (unsigned)io->niov;
    uint64_t start = io->offset, done = 0;

    for (;;) {
        int ret = run(file, io);

        if (ret < 0) {
            return ret;
        }
        done += (uint64_t)ret;
        if (done >= bytes) {
            return 0;
        }
        if (ret == 0) {
            if (io->op == LOOP_IO_WRITEV) {
                return -ENOSPC;
            }
            iov_fill(iov, n, done, 0, bytes - done); /* the end of the file */
            return 0;
        }
        if (!rest && !(rest = g_try_new(struct iovec, n))) {
            return -ENOMEM;
        }
        io->niov = (int)iov_slice(iov, n, done, bytes - done, rest);
        io->iov = rest;
        io->offset = start + done;
    }
}

static int file_co_preadv(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov)
{
    const File *file = node->state;
    LoopIo io = { .op = LOOP_IO_READV, .fd = file->fd, .iov = iov, .niov = (int)niov, .offset = offset };

    return run_all(file, &io, bytes);
}

static int file_co_pwritev(BlockNode *node, uint64_t offset, uint64_t bytes, const struct iovec *iov, unsigned niov,
                           unsigned flags)
{
    const File *file = node->state;
    bool durable = flags & BLOCK_FUA && !node->no_flush;
    LoopIo io = { .op = LOOP_IO_WRITEV, .fd = file->fd, .iov = iov, .niov = (int)niov, .offset = offset,
                  .flags = durable ? RWF_DSYNC : 0 };

    return run_all(file, &io, bytes);
}

static int file_co_flush(BlockNode *node)
{
    File *file = node->state;
    LoopIo io = { .op = LOOP_IO_FDATASYNC, .fd = file->fd };
    int ret = __atomic_load_n(&file->flush_error, __ATOMIC_RELAXED);

    if (ret < 0) {
        return ret;
    }
    ret = run(file, &io);
    if (ret < 0 && !node->direct) {
        __atomic_store_n(&file->flush_error, ret, __ATOMIC_RELAXED);
    }
    return ret;
}

static int file_fallocate(const File *file, int mode, uint64_t offset, uint64_t bytes, bool *unsupported)
{
    LoopIo io = { .op = LOOP_IO_FALLOCATE, .fd = file->fd, .flags = mode | FALLOC_FL_KEEP_SIZE, .offset = offset,
                  .length = bytes };
    int ret;

    if (__atomic_load_n(unsupported, __ATOMIC_RELAXED)) {
        return -ENOTSUP;
    }
    ret = run(file, &io);
    if (ret == -EOPNOTSUPP || ret == -ENOSYS || ret == -ENODEV) {
        __atomic_store_n(unsupported, true, __ATOMIC_RELAXED);
        ret = -ENOTSUP;
    }
    return ret;
}

typedef struct DeviceDiscard { int fd; uint64_t range[2]; } DeviceDiscard;

static int discard_on_worker(void *opaque)
{
    DeviceDiscard *d = opaque;

    return ioctl(d->fd, BLKDISCARD, d->range) < 0 ? -errno : 0;
}

static int file_co_discard(BlockNode *node, uint64_t offset, uint64_t bytes)
{
    File *file = node->state;
    DeviceDiscard d = { file->fd, { offset, bytes } };
    int ret;

    if (!file->device) {
        return file_fallocate(file, FALLOC_FL_PUNCH_HOLE, offset, bytes, &file->no_punch);
    }
    ret = co_call(loop_current(), discard_on_worker, &d);
    return ret == -EOPNOTSUPP || ret == -ENOTTY ? -ENOTSUP : ret;
}

static int file_co_pwrite_zeroes(BlockNode *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
    File *file = node->state;

    if (flags & BLOCK_MAY_UNMAP) {
        int ret = file_fallocate(file, FALLOC_FL_PUNCH_HOLE, offset, bytes, &file->no_punch);

        if (ret != -ENOTSUP) {
            return ret;
        }
    }
    return file_fallocate(file, FALLOC_FL_ZERO_RANGE, offset, bytes, &file->no_zero_range);
}

/* ---- options ---- */

static const char *const aio_names[] = { "threads", "native", "io_uring", NULL };
static const FieldEnum aio_enum = { "BlockdevAioOptions", aio_names };

static const Field file_fields[] = {
    F_STR("filename", FileOptions, filename, NULL, .flags = FIELD_REQUIRED, .help = "Path of the file or device"),
    F_ENUM("locking", FileOptions, locking, &field_on_off_auto, ON_OFF_AUTO_AUTO,
           .help = "Keep other processes from it; auto: where it can be locked"),
    F_ENUM("aio", FileOptions, aio, &aio_enum, 0, FIELD_HAS(FileOptions, has_aio),
           .help = "How requests reach the kernel; without it the best way there is"),
    FIELD_END
};

const FieldStruct block_file_options = {
    .name = "BlockdevOptionsFile",
    .size = sizeof(FileOptions),
    .fields = file_fields,
};

#define FILE_FUNCTIONS \
    .size = sizeof(File), .open = file_open, .close = file_close, .co_preadv = file_co_preadv, \
    .co_pwritev = file_co_pwritev, .co_flush = file_co_flush, .co_discard = file_co_discard, \
    .co_pwrite_zeroes = file_co_pwrite_zeroes, .length = file_length, .allocated = file_allocated, .lock = file_lock

const BlockDriver block_file = { .name = "file", FILE_FUNCTIONS };
const BlockDriver block_host_device = { .name = "host_device", FILE_FUNCTIONS };
