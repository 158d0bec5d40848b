/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the mapped layout of a container (vmm/migrate-format.h): a file that becomes the memory of the restored
 * domain, or is read into it.  Its header is hostile; the file must not change meanwhile.
 *
 * The migration's thread.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/migrate-ram.h"

#define CHUNK (UINT64_C(64) << 20)

static bool damaged(GError **error, const char *what)
{
    return error_set(error, "the saved domain is damaged: %s", what);
}

static bool cut_off(const char *id, GError **error)
{
    return error_set(error, "the saved domain is cut off: memory '%s' ends behind the file", id);
}

bool migrate_check_mapped(const MigrateHeader *header, uint64_t file_size, GError **error)
{
    uint64_t lowest = MIGRATE_ALIGN;

    if (header->layout != MIGRATE_MAPPED || !header->run_state) {
        return damaged(error, "its header does not say where things are");
    }
    for (size_t i = 0; i < header->ram.n; i++) {
        const MigrateBlockInfo *b = &FIELD_LIST_AT(header->ram, MigrateBlockInfo, i);

        if (b->offset % MIGRATE_ALIGN || b->offset < lowest) {
            return damaged(error, "two blocks of memory lie at one place");
        }
        if (b->offset > file_size || b->size > file_size - b->offset) {
            return cut_off(b->id, error);
        }
        lowest = b->offset + b->size;
    }
    if (header->state_offset < lowest || header->state_offset > file_size || header->state_length > MIGRATE_STATE_MAX ||
        header->state_length > file_size - header->state_offset) {
        return error_set(error, "the saved domain is cut off: the devices' state ends behind the file");
    }
    return true;
}

/* Where the file's next hole (SEEK_HOLE) or what lies between two (SEEK_DATA) begins, `end` at most; a file system that
 * cannot tell has no holes. */
static uint64_t next_of(int fd, uint64_t at, uint64_t end, int whence)
{
    off_t next = lseek(fd, (off_t)at, whence);

    if (next < 0) {
        return errno == ENXIO || whence == SEEK_HOLE ? end : at;
    }
    return MIN((uint64_t)next, end);
}

static bool read_at(const MigrateBlock *b, int fd, uint64_t from, uint64_t to, GError **error)
{
    while (from < to) {
        ssize_t n = pread(fd, ram_block_host(b->block) + (from - b->offset), MIN(to - from, CHUNK), (off_t)from);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return error_set_errno(error, n ? errno : EIO, "cannot read memory '%s' of the saved domain", b->id);
        }
        from += n > 0 ? (uint64_t)n : 0;
    }
    return true;
}

/* A hole is zero: what is zero here already need not be there.  So is what lies behind the end of a file that somebody
 * cuts meanwhile. */
static bool read_block(const MigrateBlock *b, int fd, GError **error)
{
    uint64_t at = b->offset, end = b->offset + b->pages * GUEST_PAGE_SIZE;
    struct stat st;

    while (at < end) {
        uint64_t data = next_of(fd, at, end, SEEK_DATA), hole = next_of(fd, data, end, SEEK_HOLE);

        ram_block_clear(b->block, at - b->offset, data - at, false);
        if (!read_at(b, fd, data, hole, error)) {
            return false;
        }
        at = hole;
    }
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < end) {
        return cut_off(b->id, error);
    }
    ram_dirty_set(b->block, 0, end - b->offset);
    return true;
}

/* The next hole of the file from `at` on that is large enough to be left out, in whole huge pages; `end`: none is. */
static uint64_t find_hole(int fd, uint64_t at, uint64_t end, uint64_t least, uint64_t *ret_end)
{
    while (at < end) {
        uint64_t hole = next_of(fd, at, end, SEEK_HOLE), data = next_of(fd, hole, end, SEEK_DATA);
        uint64_t from = (hole + RAM_HUGE_PAGE - 1) / RAM_HUGE_PAGE * RAM_HUGE_PAGE;

        *ret_end = data / RAM_HUGE_PAGE * RAM_HUGE_PAGE;
        if (from + least <= *ret_end) {
            return from;
        }
        at = data;
    }
    return *ret_end = end;
}

#define HOLES 1024 /* of a block, at most: each divides a mapping, of which the kernel has only so many */

/* Shows what the file has, but for its large holes, which are memory like any other: who reads a hole of a file fills
 * the host's cache with zeros, and who writes to one gets no huge pages. */
static int overlay(const MigrateBlock *b, int fd)
{
    uint64_t size = b->pages * GUEST_PAGE_SIZE, end = b->offset + size, hole, next;
    uint64_t first = MIN(b->offset + RAM_HUGE_PAGE, end); /* so there is a mapping, which keeps the file's lock */
    uint64_t least = MAX(size / HOLES, RAM_HUGE_PAGE);
    int rc = 0;

    for (uint64_t at = b->offset; at < end && rc == 0; at = next) {
        hole = find_hole(fd, MAX(at, first), end, least, &next);
        rc = hole > at ? ram_block_overlay(b->block, at - b->offset, hole - at, fd, at) : 0;
    }
    for (uint64_t at = first; at < end && rc == 0; at = next) {
        hole = find_hole(fd, at, end, least, &next);
        rc = hole < next ? ram_block_discard(b->block, hole - b->offset, next - hole) : 0;
    }
    return rc;
}

bool migrate_ram_map(MigrateRam *ram, int fd, MigrateLazy lazy, RamFill *fill, MigrateMapped *ret, GError **error)
{
    *ret = (MigrateMapped) { 0 };
    for (unsigned i = 0; i < ram->n; i++) {
        const MigrateBlock *b = &ram->block[i];
        uint64_t size = b->pages * GUEST_PAGE_SIZE;
        int rc = lazy == MIGRATE_LAZY_OFF ? -ENOTSUP : overlay(b, fd);

        if (rc < 0 && rc != -ENOTSUP) {
            return error_set_errno(error, rc, "cannot map memory '%s' of the saved domain", b->id);
        }
        if (rc < 0 && lazy != MIGRATE_LAZY_OFF && fill && ram_fill_add(fill, b->block, b->offset) == 0) {
            ret->filled += size;
        } else if (rc < 0) {
            if (!read_block(b, fd, error)) {
                return false;
            }
            ret->read += size;
        } else if (lazy == MIGRATE_LAZY_PREFAULT) {
            madvise(ram_block_host(b->block), size, MADV_WILLNEED);
        }
    }
    return true;
}
