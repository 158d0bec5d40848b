/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file:PATH as a place that a domain is saved to, in the mapped layout (vmm/migrate-format.h); vmm/migrate-mapped.c
 * reads it.  It is opened on the main thread; the end is the migration's thread's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/migrate-internal.h"
#include "vmm/state-format.h"

#define HEADER_ROOM (64 << 10) /* few are longer */

static bool lock_file(int fd, const char *path, GError **error)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    if (fcntl(fd, F_OFD_SETLK, &lock) < 0 && (errno == EAGAIN || errno == EACCES)) {
        error_set(error, "'%s' is the memory of a domain that runs", path);
        return error_hint(error, "Save to another file.");
    }
    return true;
}

/* Where the header will be.  It has its place on the disk with everything else, so that to write it last is but to
 * write it; and until then it is none. */
static bool make_room(int fd, const char *path, GError **error)
{
    g_autofree uint8_t *zeros = g_malloc0(HEADER_ROOM);
    ssize_t n = ftruncate(fd, 0) < 0 ? -1 : pwrite(fd, zeros, HEADER_ROOM, 0);

    return n == HEADER_ROOM || error_set_errno(error, n < 0 ? errno : ENOSPC, "cannot write '%s'", path);
}

/* What was there stays until it is known that it may be overwritten. */
bool migrate_file_open(Migration *m, GError **error)
{
    struct stat st;
    int fd = host_open(m->uri.path, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);

    m->created = fd >= 0;
    if (fd < 0) {
        fd = host_open(m->uri.path, O_RDWR, 0600, error);
    }
    if (fd < 0) {
        return false;
    }
    m->file = fd;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        error_set(error, "'%s' is no regular file", m->uri.path);
        return error_hint(error, "Use fd: for pipes and devices.");
    }
    return lock_file(fd, m->uri.path, error) && make_room(fd, m->uri.path, error);
}

/* Contents only: what the file system knows of the file comes at the end, once. */
bool migrate_file_sync(Migration *m, GError **error)
{
    const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

    return sync_file_range(m->file, 0, 0, all) == 0 || error_set_errno(error, errno, "cannot write '%s'", m->uri.path);
}

/* Prefix and header come when everything else is on the disk. */
bool migrate_file_finish(Migration *m, GError **error)
{
    const MigrateBlock *last = m->ram->n ? &m->ram->block[m->ram->n - 1] : NULL;
    uint64_t end = last ? last->offset + last->pages * GUEST_PAGE_SIZE : MIGRATE_ALIGN;
    g_autoptr(GByteArray) header = NULL;

    m->header.state_offset = end;
    m->header.state_length = m->state->len;
    m->header.checksum = state_crc32c(m->state->data, m->state->len);
    m->header.run_state = g_strdup(m->run_state);
    header = migrate_header_write(&m->header);
    if (header->len > MIGRATE_ALIGN) {
        return error_set(error, "the list of devices is too long for '%s'", m->uri.path);
    }
    if (pwrite(m->file, m->state->data, m->state->len, (off_t)end) != (ssize_t)m->state->len ||
        fdatasync(m->file) < 0 || pwrite(m->file, header->data, header->len, 0) != (ssize_t)header->len ||
        fdatasync(m->file) < 0) {
        return error_set_errno(error, errno, "cannot write '%s'", m->uri.path);
    }
    return true;
}
