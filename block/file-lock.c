/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Image locks on byte ranges (fcntl(2), F_OFD_SETLK).
 */
#include <errno.h>
#include <fcntl.h>

#include "block/block.h"
#include "block/file-lock.h"
#include "vmm/error.h"

enum { BYTE_USED = 100, BYTE_UNSHARED = 200, PERMISSIONS = 4 };

static int set_byte(int fd, short type, off_t byte)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

/* Does anybody else hold that byte? */
static bool is_held(int fd, off_t byte)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

bool file_locks_supported(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = BYTE_USED, .l_len = 1 };

    return fcntl(fd, F_OFD_GETLK, &lock) == 0;
}

static int take_all(int fd, off_t base, unsigned bits)
{
    for (unsigned i = 0; i < PERMISSIONS; i++) {
        int ret = bits & (1u << i) ? set_byte(fd, F_RDLCK, base + i) : 0;

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

static void drop_all(int fd, off_t base, unsigned bits)
{
    for (unsigned i = 0; i < PERMISSIONS; i++) {
        if (bits & (1u << i)) {
            set_byte(fd, F_UNLCK, base + i);
        }
    }
}

static bool any_held(int fd, off_t base, unsigned bits)
{
    for (unsigned i = 0; i < PERMISSIONS; i++) {
        if (bits & (1u << i) && is_held(fd, base + i)) {
            return true;
        }
    }
    return false;
}

static bool check(int fd, const char *path, unsigned used, unsigned unshared, GError **error)
{
    if (any_held(fd, BYTE_UNSHARED, used)) {
        error_set(error, "'%s' is already in use", path);
        return error_hint(error, used & BLOCK_WRITE
                                     ? "Stop whoever uses it, or work on a copy of the image."
                                     : "Stop whoever uses it, or say force-share=on to read it as it changes.");
    }
    if (any_held(fd, BYTE_USED, unshared)) {
        error_set(error, "'%s' is already open for writing", path);
        return error_hint(error, "Stop whoever writes it, or work on a copy of the image.");
    }
    return true;
}

bool file_locks_update(FileLocks *locks, int fd, const char *path, unsigned used, unsigned unshared, GError **error)
{
    unsigned new_used = used & ~locks->used, new_unshared = unshared & ~locks->unshared;
    int ret = take_all(fd, BYTE_USED, new_used);

    if (ret == 0) {
        ret = take_all(fd, BYTE_UNSHARED, new_unshared);
    }
    if (ret < 0 || !check(fd, path, new_used, new_unshared, error)) {
        drop_all(fd, BYTE_USED, new_used);
        drop_all(fd, BYTE_UNSHARED, new_unshared);
        return ret < 0 ? error_set_errno(error, ret, "cannot lock '%s'", path) : false;
    }
    drop_all(fd, BYTE_USED, locks->used & ~used);
    drop_all(fd, BYTE_UNSHARED, locks->unshared & ~unshared);
    *locks = (FileLocks) { used, unshared };
    return true;
}
