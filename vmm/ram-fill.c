/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/ram-fill.h; userfaultfd(2), ioctl_userfaultfd(2).  Both kinds of fault are asked for, those of the kernel
 * too, since it reads and writes guest memory for devices and for KVM.
 *
 * A fault takes its neighbours along.  Where the file has a hole a page is zero, and needs no room there either.
 */
#include "vmm/ram-fill.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/log.h"
#include "vmm/sandbox.h"
#include "vmm/thread.h"

#define AT_ONCE  32u /* pages */
#define MESSAGES 16

struct RamFillPart {
    RamFill *fill;
    RamBlock *block;
    uint8_t *host;
    uint64_t offset, pages; /* offset: in the file */
    uint64_t *missing; /* bits, under the mutex: pages that come from the file */
    uint64_t next;     /* the thread's: no page before it is missing */
};

struct RamFill {
    int fault, file, stop; /* stop: an eventfd */
    uint8_t *buffer;       /* the thread's: AT_ONCE pages */
    GPtrArray *parts;
    pthread_t thread;
    bool started;
    bool all, quit;        /* atomic: what the thread is told */
    unsigned awaited;      /* atomic: how many want the mutex before the thread has it again */
    pthread_mutex_t mutex;
    pthread_cond_t turn;   /* awaited is 0 */
    pthread_cond_t cond;   /* complete */
    bool complete;
};

int ram_fill_open(void)
{
    struct uffdio_api api = { .api = UFFD_API };
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), device, err;

    if (fd < 0 && errno == EPERM && (device = host_open("/dev/userfaultfd", O_RDWR, 0, NULL)) >= 0) {
        fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
        close(device);
    }
    if (fd < 0) {
        return -errno;
    }
    if (ioctl(fd, UFFDIO_API, &api) < 0 || !(api.features & UFFD_FEATURE_MISSING_SHMEM)) {
        err = api.features ? ENOTSUP : errno;
        close(fd);
        return -err;
    }
    return fd;
}

RamFill *ram_fill_new(int userfault, int file)
{
    RamFill *fill = g_new0(RamFill, 1);

    fill->fault = userfault;
    fill->file = fcntl(file, F_DUPFD_CLOEXEC, 0);
    fill->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fill->buffer = g_malloc(AT_ONCE * GUEST_PAGE_SIZE);
    fill->parts = g_ptr_array_new();
    pthread_mutex_init(&fill->mutex, NULL);
    pthread_cond_init(&fill->turn, NULL);
    pthread_cond_init(&fill->cond, NULL);
    if (fill->file < 0 || fill->stop < 0) {
        g_clear_pointer(&fill, ram_fill_free);
    }
    return fill;
}

/* ---- the mutex ---- */

static bool is_set(const bool *told)
{
    return __atomic_load_n(told, __ATOMIC_SEQ_CST);
}

static bool is_awaited(const RamFill *fill)
{
    return __atomic_load_n(&fill->awaited, __ATOMIC_SEQ_CST) > 0;
}

/* A mutex goes to whoever comes first, which would always be the thread: it lets go for a moment only. */
static void lock_before_thread(RamFill *fill)
{
    __atomic_fetch_add(&fill->awaited, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&fill->mutex);
    if (__atomic_sub_fetch(&fill->awaited, 1, __ATOMIC_SEQ_CST) == 0) {
        pthread_cond_signal(&fill->turn);
    }
}

static void lock_as_thread(RamFill *fill)
{
    pthread_mutex_lock(&fill->mutex);
    while (is_awaited(fill)) {
        pthread_cond_wait(&fill->turn, &fill->mutex);
    }
}

/* ---- pages ---- */

static bool is_missing(const RamFillPart *part, uint64_t page)
{
    return part->missing[page / 64] >> page % 64 & 1;
}

static void set_there(RamFillPart *part, uint64_t page)
{
    part->missing[page / 64] &= ~(UINT64_C(1) << page % 64);
}

G_NORETURN static void give_up(const GError *error)
{
    chardev_restore_terminal();
    log_error(error);
    _exit(EXIT_FAILURE);
}

/* Whoever has touched the page waits for it, and images are as they would be after a power cut. */
G_NORETURN static void unreadable(const RamFillPart *part, uint64_t page, int err)
{
    GError *error = NULL;

    error_set(&error, "the domain ends, as without power: its memory '%s' cannot be read any more at 0x%" PRIx64
              " from the file that it was saved to: %s", ram_block_id(part->block), page * GUEST_PAGE_SIZE,
              err ? g_strerror(err) : "that was cut off");
    give_up(error);
}

G_NORETURN static void no_room(const RamFillPart *part, uint64_t page, int err)
{
    GError *error = NULL;

    error_set(&error, "the domain ends, as without power: there is no room for its memory '%s' at 0x%" PRIx64 ": %s",
              ram_block_id(part->block), page * GUEST_PAGE_SIZE, g_strerror(err));
    give_up(error);
}

static void wake(const RamFillPart *part, uint64_t page)
{
    struct uffdio_range range = { (uintptr_t)(part->host + page * GUEST_PAGE_SIZE), GUEST_PAGE_SIZE };

    ioctl(part->fill->fault, UFFDIO_WAKE, &range);
}

static void read_pages(const RamFillPart *part, uint64_t page, uint64_t n)
{
    uint8_t *at = part->fill->buffer;
    size_t left = n * GUEST_PAGE_SIZE;
    off_t offset = (off_t)(part->offset + page * GUEST_PAGE_SIZE);

    while (left) {
        ssize_t got = pread(part->fill->file, at, left, offset);

        if (got == 0 || (got < 0 && errno != EINTR)) {
            unreadable(part, page, got ? errno : 0);
        }
        if (got > 0) {
            at += got;
            offset += got;
            left -= (size_t)got;
        }
    }
}

/* The n pages, AT_ONCE at most, all of them missing. */
static void copy(RamFillPart *part, uint64_t page, uint64_t n)
{
    uint64_t first = page, end = page + n;

    read_pages(part, page, n);
    while (page < end) {
        struct uffdio_copy request = {
            .dst = (uintptr_t)(part->host + page * GUEST_PAGE_SIZE),
            .src = (uintptr_t)(part->fill->buffer + (page - first) * GUEST_PAGE_SIZE),
            .len = (end - page) * GUEST_PAGE_SIZE,
        };
        uint64_t done = 0;
        int err = ioctl(part->fill->fault, UFFDIO_COPY, &request) < 0 ? errno : 0;

        if (!err || request.copy > 0) {
            done = (uint64_t)request.copy / GUEST_PAGE_SIZE;
        } else if (err == EEXIST) {
            wake(part, page);
            done = 1;
        } else if (err != EAGAIN) {
            no_room(part, page, err);
        }
        for (uint64_t i = 0; i < done; i++) {
            set_there(part, page++);
        }
    }
}

static void put_zero(RamFillPart *part, uint64_t page)
{
    struct uffdio_zeropage request = {
        .range = { (uintptr_t)(part->host + page * GUEST_PAGE_SIZE), GUEST_PAGE_SIZE },
    };

    while (ioctl(part->fill->fault, UFFDIO_ZEROPAGE, &request) < 0) {
        if (errno == EEXIST) {
            wake(part, page);
            return;
        }
        if (errno != EAGAIN) {
            no_room(part, page, errno);
        }
    }
}

/* Where the file has something next, as a page; a file system that cannot tell has it everywhere. */
static uint64_t next_data(const RamFillPart *part, uint64_t page)
{
    off_t at = lseek(part->fill->file, (off_t)(part->offset + page * GUEST_PAGE_SIZE), SEEK_DATA);
    struct stat st;

    if (at < 0 && errno == ENXIO) {
        if (fstat(part->fill->file, &st) < 0 || (uint64_t)st.st_size < part->offset + part->pages * GUEST_PAGE_SIZE) {
            unreadable(part, page, 0);
        }
        return part->pages;
    }
    if (at < 0) {
        return page;
    }
    return MIN(((uint64_t)at - part->offset) / GUEST_PAGE_SIZE, part->pages);
}

/* What is missing of up to n pages from `page` on; holes stay holes. */
static void bring(RamFillPart *part, uint64_t page, uint64_t n)
{
    uint64_t end = MIN(page + n, part->pages);

    while (page < end) {
        uint64_t from = page, data;

        while (page < end && is_missing(part, page)) {
            page++;
        }
        if (page == from) {
            page++;
            continue;
        }
        data = MIN(next_data(part, from), page);
        for (uint64_t hole = from; hole < data; hole++) {
            set_there(part, hole);
        }
        copy(part, data, page - data);
    }
}

/* ---- the thread ---- */

static RamFillPart *part_at(const RamFill *fill, uint64_t address)
{
    for (unsigned i = 0; i < fill->parts->len; i++) {
        RamFillPart *part = g_ptr_array_index(fill->parts, i);

        if (address - (uintptr_t)part->host < part->pages * GUEST_PAGE_SIZE) {
            return part;
        }
    }
    return NULL;
}

static void answer(RamFill *fill, uint64_t address)
{
    RamFillPart *part = part_at(fill, address);
    uint64_t page;

    if (!part) {
        return;
    }
    page = (address - (uintptr_t)part->host) / GUEST_PAGE_SIZE;
    if (is_missing(part, page)) {
        bring(part, page / AT_ONCE * AT_ONCE, AT_ONCE);
    }
    put_zero(part, page); /* where there is no page now */
}

/* Those that come now; who waits for the mutex need not wait for all that may come. */
static void answer_faults(RamFill *fill)
{
    struct uffd_msg message[MESSAGES];
    ssize_t n;

    while (!is_awaited(fill) && (n = read(fill->fault, message, sizeof(message))) > 0) {
        for (size_t i = 0; i < (size_t)n / sizeof(message[0]); i++) {
            if (message[i].event == UFFD_EVENT_PAGEFAULT) {
                answer(fill, message[i].arg.pagefault.address);
            }
        }
    }
}

/* Some of what nobody has asked for.  false: nothing is missing. */
static bool bring_some(RamFill *fill)
{
    for (unsigned i = 0; i < fill->parts->len; i++) {
        RamFillPart *part = g_ptr_array_index(fill->parts, i);

        if (part->next < part->pages) {
            uint64_t data = MAX(next_data(part, part->next), part->next);

            while (part->next < data) {
                set_there(part, part->next++);
            }
            bring(part, part->next, AT_ONCE);
            part->next = MIN(part->next + AT_ONCE, part->pages);
            return true;
        }
    }
    return false;
}

/* UFFDIO_UNREGISTER wakes who waits, but since faults take the lock of their mapping only (Linux 6.4), one may begin to
 * wait right after that. */
static void end_faults(const RamFill *fill, struct uffdio_range *range)
{
    ioctl(fill->fault, UFFDIO_UNREGISTER, range);
    ioctl(fill->fault, UFFDIO_WAKE, range);
}

/* Missing pages are zero from here on, as what is missing is in holes, or was given back. */
static void end(RamFill *fill)
{
    for (unsigned i = 0; i < fill->parts->len; i++) {
        RamFillPart *part = g_ptr_array_index(fill->parts, i);
        struct uffdio_range range = { (uintptr_t)part->host, part->pages * GUEST_PAGE_SIZE };

        end_faults(fill, &range);
        ram_block_set_huge(part->block, true);
    }
    fill->complete = true;
    pthread_cond_broadcast(&fill->cond);
}

static void *run(void *opaque)
{
    RamFill *fill = opaque;
    g_autoptr(GError) error = NULL;
    bool complete = false;

    pthread_setname_np(pthread_self(), "memory-fill");
    if (!sandbox_enter(SANDBOX_WORKER, &error)) {
        give_up(error); /* memory would never come */
    }
    while (!complete && !is_set(&fill->quit)) {
        struct pollfd fds[2] = { { fill->fault, POLLIN, 0 }, { fill->stop, POLLIN, 0 } };
        eventfd_t rung;

        poll(fds, 2, is_set(&fill->all) ? 0 : -1);
        eventfd_read(fill->stop, &rung);
        lock_as_thread(fill);
        answer_faults(fill);
        if (is_set(&fill->all) && !bring_some(fill)) {
            end(fill);
        }
        complete = fill->complete;
        pthread_mutex_unlock(&fill->mutex);
    }
    return NULL;
}

/* ---- life ---- */

static void part_free(RamFillPart *part)
{
    ram_block_set_fill(part->block, NULL);
    ram_block_unref(part->block);
    g_free(part->missing);
    g_free(part);
}

/* Nothing may come to it between the two, and the kernel may not make it whole with zeros: khugepaged does that, before
 * Linux 6.4, where only some pages are missing. */
static int make_missing(const RamFill *fill, RamBlock *block)
{
    struct uffdio_register request = {
        .range = { (uintptr_t)ram_block_host(block), ram_block_size(block) }, .mode = UFFDIO_REGISTER_MODE_MISSING,
    };
    const uint64_t needed = UINT64_C(1) << _UFFDIO_COPY | UINT64_C(1) << _UFFDIO_ZEROPAGE;
    int rc;

    if (ioctl(fill->fault, UFFDIO_REGISTER, &request) < 0) {
        return -errno;
    }
    rc = (request.ioctls & needed) == needed ? ram_block_set_huge(block, false) : -ENOTSUP;
    rc = rc ? rc : ram_block_discard(block, 0, ram_block_size(block));
    if (rc < 0) {
        end_faults(fill, &request.range);
        ram_block_set_huge(block, true);
    }
    return rc;
}

static void add_part(RamFill *fill, RamBlock *block, uint64_t offset)
{
    uint64_t pages = ram_block_size(block) / GUEST_PAGE_SIZE, words = (pages + 63) / 64;
    RamFillPart *part = g_new(RamFillPart, 1);

    *part = (RamFillPart) { fill, ram_block_ref(block), ram_block_host(block), offset, pages, g_new(uint64_t, words),
                            0 };
    memset(part->missing, 0xff, words * sizeof(uint64_t));
    g_ptr_array_add(fill->parts, part);
    ram_block_set_fill(block, part);
}

int ram_fill_add(RamFill *fill, RamBlock *block, uint64_t offset)
{
    int rc;

    if (!ram_block_can_fill(block)) {
        return -ENOTSUP;
    }
    lock_before_thread(fill); /* who touches it meanwhile waits, for the thread too */
    rc = fill->complete ? -EBUSY : make_missing(fill, block);
    if (rc == 0) {
        add_part(fill, block, offset);
    }
    pthread_mutex_unlock(&fill->mutex);
    return rc;
}

int ram_fill_start(RamFill *fill)
{
    int err = thread_create(&fill->thread, NULL, run, fill);

    fill->started = !err;
    return -err;
}

static void tell(RamFill *fill, bool *what)
{
    __atomic_store_n(what, true, __ATOMIC_SEQ_CST);
    eventfd_write(fill->stop, 1);
}

void ram_fill_all(RamFill *fill)
{
    tell(fill, &fill->all);
}

void ram_fill_free(RamFill *fill)
{
    if (!fill) {
        return;
    }
    if (fill->started) {
        tell(fill, &fill->quit);
        pthread_join(fill->thread, NULL);
    }
    close(fill->fault);
    for (unsigned i = 0; i < fill->parts->len; i++) {
        part_free(g_ptr_array_index(fill->parts, i));
    }
    g_ptr_array_unref(fill->parts);
    g_free(fill->buffer);
    if (fill->file >= 0) {
        close(fill->file);
    }
    if (fill->stop >= 0) {
        close(fill->stop);
    }
    pthread_mutex_destroy(&fill->mutex);
    pthread_cond_destroy(&fill->turn);
    pthread_cond_destroy(&fill->cond);
    g_free(fill);
}

/* ---- a block that is being filled ---- */

void ram_fill_wait(RamFillPart *part)
{
    RamFill *fill = part->fill;

    ram_fill_all(fill);
    lock_before_thread(fill);
    while (!fill->complete) {
        pthread_cond_wait(&fill->cond, &fill->mutex);
    }
    pthread_mutex_unlock(&fill->mutex);
}

int ram_fill_discard(RamFillPart *part, uint64_t offset, uint64_t length, int (*discard)(void *opaque), void *opaque)
{
    RamFill *fill = part->fill;
    uint64_t first = offset / GUEST_PAGE_SIZE, pages = length / GUEST_PAGE_SIZE;
    int rc;

    lock_before_thread(fill);
    rc = discard(opaque);
    for (uint64_t i = 0; rc == 0 && i < pages; i++) {
        set_there(part, first + i);
    }
    pthread_mutex_unlock(&fill->mutex);
    return rc;
}
