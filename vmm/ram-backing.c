/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Backings of RAM blocks: anonymous memory, memfd, files; huge pages, NUMA policy,
 * preallocation.
 *
 * A mapping lies in a reservation of its own, aligned so that the kernel can use
 * huge pages, with an inaccessible page on either side: an overrun of guest memory
 * faults instead of reaching the process.
 *
 * Locking: none; the caller owns the mapping.
 */
#include "vmm/ram-backing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <numaif.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"

#define MIB               UINT64_C(0x100000)
#define RAM_SIZE_MAX      (UINT64_C(1) << 46) /* half of what a process can address */
#define ALIGN_MAX         (UINT64_C(1) << 34)
#define PREALLOC_CHUNK    (64 * MIB)
#define PREALLOC_THREADS  64

/* ---- page sizes ---- */

static uint64_t small_page(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The number after `key` in /proc/meminfo, in bytes; 0: not there. */
static uint64_t meminfo(const char *key)
{
    g_autofree uint8_t *data = NULL;
    g_autofree char *text = NULL;
    size_t length;
    const char *at;

    if (!host_read_file("/proc/meminfo", 64 * 1024, &data, &length, NULL)) {
        return 0;
    }
    text = g_strndup((const char *)data, length);
    at = strstr(text, key);
    return at ? g_ascii_strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

static uint64_t huge_page_size(const RamBacking *backing)
{
    return backing->hugetlb_size ? backing->hugetlb_size : meminfo("Hugepagesize:");
}

static uint64_t huge_pages_free(uint64_t page_size)
{
    g_autofree char *path = g_strdup_printf("/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/free_hugepages",
                                            page_size / 1024);
    g_autofree uint8_t *data = NULL;
    g_autofree char *text = NULL;
    size_t length;

    if (!host_read_file(path, 64, &data, &length, NULL)) {
        return 0;
    }
    text = g_strndup((const char *)data, length);
    return g_ascii_strtoull(text, NULL, 10);
}

/* MAP_HUGE_* and MFD_HUGE_* hold the logarithm of the size in the same bits. */
static unsigned huge_flag(uint64_t page_size)
{
    return (unsigned)g_bit_nth_msf(page_size, -1) << MAP_HUGE_SHIFT;
}

static bool no_huge_pages(const RamMapping *map, uint64_t size, const char *id, GError **error)
{
    uint64_t need = (size + map->page_size - 1) / map->page_size;

    error_set(error, "RAM '%s' needs %" PRIu64 " huge pages of %" PRIu64 " KiB, but %" PRIu64 " are free", id, need,
              map->page_size / 1024, huge_pages_free(map->page_size));
    return error_hint(error,
                      "Reserve more in /sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/nr_hugepages, or leave "
                      "huge pages out.", map->page_size / 1024);
}

static bool no_memory(int err, uint64_t size, const char *id, GError **error)
{
    error_set_errno(error, err, "RAM '%s': cannot have %" PRIu64 " MiB of memory", id, size / MIB);
    return error_hint(error, "Use a smaller size, or free memory on the host.");
}

/* ---- descriptors ---- */

static bool open_memfd(RamMapping *map, const char *id, const RamBacking *backing, GError **error)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;

    if (backing->hugetlb) {
        flags |= MFD_HUGETLB | huge_flag(map->page_size);
    }
    map->fd = host_memfd(id, flags, error);
    if (map->fd < 0) {
        return false;
    }
    if (ftruncate(map->fd, (off_t)map->size) < 0) {
        return no_memory(errno, map->size, id, error);
    }
    map->tells_holes = true;
    /* Nobody whom we hand it to can make us fault by cutting it short. */
    fcntl(map->fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    return true;
}

static int open_in_directory(const char *directory, const char *id, GError **error)
{
    g_autofree char *name = g_strdelimit(g_strdup(id), "/", '_');
    g_autofree char *path = g_strdup_printf("%s/lodge-%s-%d", directory, name, (int)getpid());
    int fd = host_open(path, O_RDWR | O_CREAT | O_EXCL, 0600, error);

    if (fd >= 0) {
        unlink(path);
    }
    return fd;
}

static int open_path(const RamBacking *backing, const char *id, GError **error)
{
    struct stat st;

    if (stat(backing->path, &st) == 0 && S_ISDIR(st.st_mode)) {
        if (backing->readonly) {
            error_set(error, "RAM '%s': '%s' is a directory and cannot be used read-only", id, backing->path);
            error_hint(error, "Name a file.");
            return -1;
        }
        return open_in_directory(backing->path, id, error);
    }
    return host_open(backing->path, backing->readonly ? O_RDONLY : O_RDWR | O_CREAT, 0600, error);
}

static bool open_file(RamMapping *map, const char *id, const RamBacking *backing, GError **error)
{
    uint64_t needed;
    struct statfs fs;
    struct stat st;

    map->fd = open_path(backing, id, error);
    if (map->fd < 0) {
        return false;
    }
    if (fstat(map->fd, &st) < 0 || fstatfs(map->fd, &fs) < 0) {
        return error_set_errno(error, errno, "RAM '%s': cannot examine '%s'", id, backing->path);
    }
    /* FUSE has not heard of what is dirty here. */
    map->tells_holes = S_ISREG(st.st_mode) && fs.f_type != FUSE_SUPER_MAGIC;
    map->page_size = MAX((uint64_t)fs.f_bsize, small_page());
    if (fs.f_type != HUGETLBFS_MAGIC) {
        map->page_size = small_page();
    }
    map->size = (map->size + map->page_size - 1) / map->page_size * map->page_size;
    if (map->file_offset % map->page_size) {
        return error_set(error, "RAM '%s': offset 0x%" PRIx64 " in '%s' is not a multiple of the page size %" PRIu64,
                         id, map->file_offset, backing->path, map->page_size);
    }
    needed = map->file_offset + map->size;
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= needed) {
        return true;
    }
    if (st.st_size > 0 || backing->readonly) {
        error_set(error, "RAM '%s': file '%s' has %" PRId64 " bytes, and %" PRIu64 " are needed", id, backing->path,
                  (int64_t)st.st_size, needed);
        return error_hint(error, "Give its size, or another file.");
    }
    if (ftruncate(map->fd, (off_t)needed) < 0) {
        return error_set_errno(error, errno, "RAM '%s': cannot make '%s' %" PRIu64 " bytes long", id, backing->path,
                               needed);
    }
    return true;
}

/* ---- mapping ---- */

static bool reserve(RamMapping *map, uint64_t align, const char *id, GError **error)
{
    uint64_t guard = small_page();
    uint64_t size = map->size + align + 2 * guard;
    uint8_t *base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t *start, *end;

    if (base == MAP_FAILED) {
        return no_memory(errno, map->size, id, error);
    }
    map->host = (uint8_t *)(((uintptr_t)base + guard + align - 1) / align * align);
    start = map->host - guard;
    end = map->host + map->size + guard;
    if (start > base) {
        munmap(base, (size_t)(start - base));
    }
    if (end < base + size) {
        munmap(end, (size_t)(base + size - end));
    }
    map->reserved = start;
    map->reserved_size = (uint64_t)(end - start);
    return true;
}

static bool place(RamMapping *map, const char *id, const RamBacking *backing, GError **error)
{
    int protection = backing->readonly ? PROT_READ : PROT_READ | PROT_WRITE;
    int flags = MAP_FIXED | (backing->shared ? MAP_SHARED : MAP_PRIVATE);

    if (map->fd < 0) {
        flags |= MAP_ANONYMOUS;
    }
    if (map->fd < 0 && backing->hugetlb) {
        flags |= MAP_HUGETLB | (int)huge_flag(map->page_size);
    }
    if (!backing->reserve) {
        flags |= MAP_NORESERVE;
    }
    if (backing->pmem) {
        flags = (flags & ~MAP_SHARED) | MAP_SHARED_VALIDATE | MAP_SYNC;
    }
    if (mmap(map->host, map->size, protection, flags, map->fd, (off_t)map->file_offset) != MAP_FAILED) {
        return true;
    }
    if (backing->pmem && errno == EOPNOTSUPP) {
        error_set(error, "RAM '%s': '%s' is not on persistent memory", id, backing->path);
        return error_hint(error, "Use a file on a DAX file system, or leave out pmem=on.");
    }
    if (map->page_size > small_page() && errno == ENOMEM) {
        return no_huge_pages(map, map->size, id, error);
    }
    if (map->page_size > small_page() && errno == EINVAL) {
        return error_set(error, "RAM '%s': this host has no huge pages of %" PRIu64 " KiB", id, map->page_size / 1024);
    }
    return no_memory(errno, map->size, id, error);
}

static bool wants_huge(const RamMapping *map, uint64_t length)
{
    return map->page_size == small_page() && length >= RAM_HUGE_PAGE;
}

/* Wishes: the kernel may know none of them. */
static void wish(const RamMapping *map, uint8_t *host, uint64_t length)
{
    if (wants_huge(map, length)) {
        madvise(host, length, MADV_HUGEPAGE);
    }
    if (map->merge) {
        madvise(host, length, MADV_MERGEABLE);
    }
    if (!map->dump) {
        madvise(host, length, MADV_DONTDUMP);
    }
}

static bool advise(RamMapping *map, const char *id, const RamBacking *backing, GError **error)
{
    wish(map, map->host, map->size);
    if (backing->policy != MPOL_DEFAULT &&
        mbind(map->host, map->size, backing->policy, backing->host_nodes, backing->max_node + 1,
              MPOL_MF_STRICT | MPOL_MF_MOVE) < 0) {
        error_set_errno(error, errno, "RAM '%s': cannot bind it to the host's NUMA nodes", id);
        return error_hint(error, "Name nodes that the host has and this process may use, or leave out host-nodes.");
    }
    return true;
}

/* ---- preallocation ---- */

typedef struct Prealloc {
    RamMapping *map;
    uint64_t next;  /* atomic: offset of the first chunk nobody took */
    int error;      /* atomic: errno */
} Prealloc;

/* For kernels before 5.14: each page is written with what it holds. */
static void touch(RamMapping *map, uint64_t offset, uint64_t length)
{
    for (uint64_t at = offset; at < offset + length; at += map->page_size) {
        __atomic_fetch_or(map->host + at, 0, __ATOMIC_RELAXED);
    }
}

static void *prealloc_thread(void *opaque)
{
    Prealloc *p = opaque;
    uint64_t chunk = MAX(PREALLOC_CHUNK, p->map->page_size);

    for (;;) {
        uint64_t offset = __atomic_fetch_add(&p->next, chunk, __ATOMIC_RELAXED);
        uint64_t length;

        if (offset >= p->map->size || __atomic_load_n(&p->error, __ATOMIC_RELAXED)) {
            return NULL;
        }
        length = MIN(chunk, p->map->size - offset);
        if (madvise(p->map->host + offset, length, p->map->readonly ? MADV_POPULATE_READ : MADV_POPULATE_WRITE) == 0) {
            continue;
        }
        if (errno != EINVAL) {
            __atomic_store_n(&p->error, errno, __ATOMIC_RELAXED);
        } else if (!p->map->readonly) {
            touch(p->map, offset, length);
        }
    }
}

static bool preallocate(RamMapping *map, const char *id, const RamBacking *backing, GError **error)
{
    unsigned threads = CLAMP(backing->prealloc_threads, 1, PREALLOC_THREADS);
    pthread_t thread[PREALLOC_THREADS];
    Prealloc p = { .map = map };
    unsigned started = 0;

    if (map->fd >= 0 && map->shared && !map->readonly) { /* its lack is an error here, SIGBUS later */
        int err = posix_fallocate(map->fd, (off_t)map->file_offset, (off_t)map->size);

        if (err == ENOSPC && map->page_size > small_page()) {
            return no_huge_pages(map, map->size, id, error);
        }
        if (err == ENOSPC || err == ENOMEM) {
            return no_memory(err, map->size, id, error);
        }
    }
    while (started < threads - 1 && pthread_create(&thread[started], NULL, prealloc_thread, &p) == 0) {
        started++;
    }
    prealloc_thread(&p);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(thread[i], NULL);
    }
    if (p.error && map->page_size > small_page()) {
        return no_huge_pages(map, map->size, id, error);
    }
    return p.error ? no_memory(p.error, map->size, id, error) : true;
}

/* ---- life ---- */

static bool check(const char *id, uint64_t size, const RamBacking *backing, GError **error)
{
    if (size == 0 || size > RAM_SIZE_MAX) {
        return error_set(error, "RAM '%s' cannot have %" PRIu64 " bytes: the size must be from 1 to %" PRIu64, id, size,
                         RAM_SIZE_MAX);
    }
    if (backing->align && ((backing->align & (backing->align - 1)) || backing->align > ALIGN_MAX)) {
        return error_set(error, "RAM '%s': alignment %" PRIu64 " is not a power of two up to %" PRIu64, id,
                         backing->align, ALIGN_MAX);
    }
    if (backing->file_offset > RAM_SIZE_MAX) {
        return error_set(error, "RAM '%s': offset 0x%" PRIx64 " is too large", id, backing->file_offset);
    }
    if (backing->readonly && backing->kind != RAM_FILE) {
        return error_set(error, "RAM '%s' is read-only but has no file", id);
    }
    if (backing->pmem && !(backing->kind == RAM_FILE && backing->shared)) {
        error_set(error, "RAM '%s': persistent memory must be a shared file", id);
        return error_hint(error, "Use share=on, or leave out pmem=on.");
    }
    if (backing->hugetlb) {
        uint64_t page = huge_page_size(backing);

        if (page < small_page() || (page & (page - 1))) {
            return error_set(error, "RAM '%s': this host has no huge pages of %" PRIu64 " KiB", id, page / 1024);
        }
    }
    return true;
}

bool ram_mapping_new(RamMapping *ret, const char *id, uint64_t size, const RamBacking *backing, GError **error)
{
    RamMapping map = {
        .page_size = small_page(),
        .fd = -1,
        .file_offset = backing->kind == RAM_FILE ? backing->file_offset : 0,
        .shared = backing->shared,
        .readonly = backing->readonly,
        .discard_data = backing->discard_data,
        .merge = backing->merge,
        .dump = backing->dump,
        .bound = backing->policy != MPOL_DEFAULT,
        .named = backing->kind == RAM_FILE,
        .preallocated = backing->prealloc,
    };
    uint64_t align;

    if (!check(id, size, backing, error)) {
        return false;
    }
    if (backing->hugetlb && backing->kind != RAM_FILE) {
        map.page_size = huge_page_size(backing);
    }
    map.size = (size + map.page_size - 1) / map.page_size * map.page_size;
    if ((backing->kind == RAM_MEMFD && !open_memfd(&map, id, backing, error)) ||
        (backing->kind == RAM_FILE && !open_file(&map, id, backing, error))) {
        ram_mapping_free(&map);
        return false;
    }
    align = MAX(map.size >= RAM_HUGE_PAGE ? RAM_HUGE_PAGE : map.page_size, MAX(map.page_size, backing->align));
    if (!reserve(&map, align, id, error) || !place(&map, id, backing, error) || !advise(&map, id, backing, error) ||
        (backing->prealloc && !preallocate(&map, id, backing, error))) {
        map.discard_data = false;
        ram_mapping_free(&map);
        return false;
    }
    *ret = map;
    return true;
}

void ram_mapping_free(RamMapping *map)
{
    if (map->discard_data && map->fd >= 0 && map->shared && !map->readonly) {
        fallocate(map->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)map->file_offset, (off_t)map->size);
    }
    if (map->reserved) {
        munmap(map->reserved, map->reserved_size);
    }
    if (map->fd >= 0) {
        close(map->fd);
    }
}

static int map_zeroes(const RamMapping *map, uint64_t offset, uint64_t length)
{
    uint8_t *host = map->host + offset;

    if (mmap(host, length, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
        return -errno;
    }
    wish(map, host, length);
    return 0;
}

/* A kernel that does not know the wish (EINVAL) makes none. */
int ram_mapping_set_huge(const RamMapping *map, bool huge)
{
    if (!wants_huge(map, map->size) || madvise(map->host, map->size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0) {
        return 0;
    }
    return errno == EINVAL ? 0 : -errno;
}

int ram_mapping_overlay(RamMapping *map, uint64_t offset, uint64_t length, int fd, uint64_t file_offset)
{
    uint8_t *host = map->host + offset;

    if (map->shared || map->readonly || map->bound || map->page_size > small_page()) {
        return -ENOTSUP;
    }
    if ((offset | length | file_offset) % small_page() || offset > map->size || length > map->size - offset) {
        return -EINVAL;
    }
    if (mmap(host, length, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE, fd, (off_t)file_offset) ==
        MAP_FAILED) {
        return -errno;
    }
    map->overlaid = true;
    wish(map, host, length);
    return 0;
}

static void clear_pages(uint8_t *host, uint64_t length)
{
    for (uint64_t at = 0; at < length; at += GUEST_PAGE_SIZE) {
        uint8_t *page = host + at;
        uint64_t n = MIN(length - at, GUEST_PAGE_SIZE);

        if (page[0] || memcmp(page, page + 1, n - 1) != 0) {
            memset(page, 0, n);
        }
    }
}

/* Where the next page is that is there: to look at one that is not would make it.  `end`: there is none. */
static uint64_t next_page(const RamMapping *map, uint64_t offset, uint64_t end)
{
    off_t at = (off_t)(map->file_offset + offset), data = lseek(map->fd, at, SEEK_DATA);

    if (data < at) { /* else it cannot tell */
        return data < 0 && errno == ENXIO ? end : offset;
    }
    return MIN(((uint64_t)data - map->file_offset) / GUEST_PAGE_SIZE * GUEST_PAGE_SIZE, end);
}

static void clear(const RamMapping *map, uint64_t offset, uint64_t end)
{
    if (!map->tells_holes || !map->shared || map->preallocated) { /* copies of our own are not the file's */
        clear_pages(map->host + offset, end - offset);
        return;
    }
    while ((offset = next_page(map, offset, end)) < end) {
        uint64_t n = MIN(GUEST_PAGE_SIZE, end - offset);

        clear_pages(map->host + offset, n);
        offset += n;
    }
}

#define DROP_LEAST (16 * GUEST_PAGE_SIZE)

/* Memory that is locked says no. */
static bool drop_pages(const RamMapping *map, uint64_t offset, uint64_t length)
{
    return map->fd < 0 && !map->shared && !map->preallocated && !map->overlaid && map->page_size == small_page() &&
           length >= DROP_LEAST && madvise(map->host + offset, length, MADV_DONTNEED) == 0;
}

/* To look at a page that is not there costs more than to have none; but a huge page is not to be broken up for that. */
void ram_mapping_clear(const RamMapping *map, uint64_t offset, uint64_t length, bool sparse)
{
    uint64_t end = offset + length, from = offset, to = end;

    if (!sparse) {
        from = (offset + RAM_HUGE_PAGE - 1) / RAM_HUGE_PAGE * RAM_HUGE_PAGE;
        to = end / RAM_HUGE_PAGE * RAM_HUGE_PAGE;
    }
    if (from < to && drop_pages(map, from, to - from)) {
        clear(map, offset, from);
        offset = to;
    }
    clear(map, offset, end);
}

int ram_mapping_discard(RamMapping *map, uint64_t offset, uint64_t length)
{
    if (offset % map->page_size || length % map->page_size || offset > map->size || length > map->size - offset) {
        return -EINVAL;
    }
    if (map->readonly) {
        return -EROFS;
    }
    if (map->fd >= 0 && map->shared) {
        return fallocate(map->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(map->file_offset + offset),
                         (off_t)length) < 0 ? -errno : 0;
    }
    if (map->fd >= 0 || map->overlaid) { /* dropping our copy would show the file again */
        return map->page_size > small_page() ? -ENOTSUP : map_zeroes(map, offset, length);
    }
    /* Shared anonymous memory outlives MADV_DONTNEED in the page cache. */
    return madvise(map->host + offset, length, map->shared ? MADV_REMOVE : MADV_DONTNEED) < 0 ? -errno : 0;
}
