/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the mapped layout of a container (vmm/migrate-format.h): a file that becomes the memory of the restored
 * domain, or is read into it.  Its header is hostile; the file must not change meanwhile.
 *
 * The migration's thread.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/migrate-ram.h"

#define CHUNK (UINT64_C(64) << 20)

static bool damaged(GError **error, const char *what)
{
    return error_set(error, "the saved domain is damaged: %s", what);
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
            return error_set(error, "the saved domain is cut off: memory '%s' ends behind the file", b->id);
        }
        lowest = b->offset + b->size;
    }
    if (header->state_offset < lowest || header->state_offset > file_size || header->state_length > MIGRATE_STATE_MAX ||
        header->state_length > file_size - header->state_offset) {
        return error_set(error, "the saved domain is cut off: the devices' state ends behind the file");
    }
    return true;
}

static bool read_block(const MigrateBlock *b, int fd, GError **error)
{
    uint8_t *host = ram_block_host(b->block);
    uint64_t size = b->pages * GUEST_PAGE_SIZE;

    for (uint64_t at = 0; at < size;) {
        ssize_t n = pread(fd, host + at, MIN(size - at, CHUNK), (off_t)(b->offset + at));

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return error_set_errno(error, n ? errno : EIO, "cannot read memory '%s' of the saved domain", b->id);
        }
        at += n > 0 ? (uint64_t)n : 0;
    }
    ram_dirty_set(b->block, 0, size);
    return true;
}

bool migrate_ram_map(MigrateRam *ram, int fd, MigrateLazy lazy, uint64_t *ret_read, GError **error)
{
    *ret_read = 0;
    for (unsigned i = 0; i < ram->n; i++) {
        const MigrateBlock *b = &ram->block[i];
        uint64_t size = b->pages * GUEST_PAGE_SIZE;
        int rc = lazy == MIGRATE_LAZY_OFF ? -ENOTSUP : ram_block_overlay(b->block, 0, size, fd, b->offset);

        if (rc < 0 && rc != -ENOTSUP) {
            return error_set_errno(error, rc, "cannot map memory '%s' of the saved domain", b->id);
        }
        if (rc < 0) {
            if (!read_block(b, fd, error)) {
                return false;
            }
            *ret_read += size;
        } else if (lazy == MIGRATE_LAZY_PREFAULT) {
            madvise(ram_block_host(b->block), size, MADV_WILLNEED);
        }
    }
    return true;
}
