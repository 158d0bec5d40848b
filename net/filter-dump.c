/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter-dump: writes the frames of a netdev to a file that tcpdump and others read (libpcap's format 2.4, link type
 * Ethernet; draft-ietf-opsawg-pcap).  Times are the host's clock.  A frame whose checksum or segmentation is left to
 * the receiver is written as it is, as on any interface with offloads.
 *
 * Records are written whole or not at all.  When the file cannot take more (a full disk), that is said once and the
 * dump ends there; the guest's traffic goes on.  Setting `status` to on begins anew behind what is there.  The file may
 * be a pipe: records that a slow reader leaves no room for are left out, and counted; of one that went in part (above
 * PIPE_BUF) the rest goes before any other.
 *
 * Locking: `lock`, around what is written; frames come from several loops.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/filter.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/iov.h"
#include "vmm/log.h"
#include "vmm/timer.h"

#define PCAP_MAGIC    0xa1b2c3d4u /* microseconds */
#define PCAP_ETHERNET 1

typedef struct PcapHeader {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, accuracy, snaplen, linktype;
} PcapHeader;

typedef struct PcapRecord { uint32_t seconds, micros, kept, length; } PcapRecord;

typedef struct FilterDump {
    NetFilter filter; /* first */
    /* Configuration */
    char *file;
    uint64_t maxlen;
    /* Derived */
    Lock lock;       /* LOCK_LEAF */
    uint8_t *record; /* one, with its header */
    size_t written, whole; /* bytes of it; less than whole: the rest waits for a pipe's room */
    int fd;
    bool is_file;    /* can be cut */
    off_t end;       /* of the last whole record */
    bool failed;
    uint64_t left_out;
} FilterDump;

static FilterDump *filter_dump(NetFilter *f)
{
    return (FilterDump *)f;
}

static void fail(FilterDump *d, int err)
{
    d->failed = true;
    if (d->is_file) {
        d->written = d->whole = 0;
        if (ftruncate(d->fd, d->end) == 0) {
            lseek(d->fd, d->end, SEEK_SET);
        }
    }
    log_warning("%s: '%s' takes no more frames: %s; the network goes on without", d->filter.object.id, d->file,
                g_strerror(err));
}

static void leave_out(FilterDump *d)
{
    if (d->left_out++ == 0) {
        log_warning("%s: who reads '%s' is too slow: frames are left out", d->filter.object.id, d->file);
    }
}

/* What is left of the record; false: some still is. */
static bool put_rest(FilterDump *d)
{
    ssize_t n = 0;

    if (d->written < d->whole) {
        do {
            n = write(d->fd, d->record + d->written, d->whole - d->written);
        } while (n < 0 && errno == EINTR);
    }
    if (n > 0) {
        d->written += (size_t)n;
    }
    if (n < 0 && errno != EAGAIN) {
        fail(d, errno);
    } else if (d->is_file && d->written < d->whole) {
        fail(d, ENOSPC);
    }
    return !d->failed && d->written == d->whole;
}

static void put(FilterDump *d, size_t length)
{
    d->written = 0;
    d->whole = length;
    if (put_rest(d)) {
        d->end += (off_t)length;
    } else if (!d->written) {
        d->whole = 0;
        if (!d->failed) {
            leave_out(d);
        }
    }
}

static int64_t dump_pass(NetFilter *f, NetWay way, const NetPacket *packet)
{
    FilterDump *d = filter_dump(f);
    int64_t now = clock_ns(clock_host) / 1000;
    uint32_t kept = (uint32_t)MIN(packet->length, d->maxlen);
    const PcapRecord header = { (uint32_t)(now / 1000000), (uint32_t)(now % 1000000), kept, (uint32_t)packet->length };

    lock_acquire(&d->lock);
    if (!d->failed && put_rest(d)) {
        memcpy(d->record, &header, sizeof(header));
        iov_to_buffer(packet->iov, packet->n, 0, d->record + sizeof(header), kept);
        put(d, sizeof(header) + kept);
    } else if (!d->failed) {
        leave_out(d);
    }
    lock_release(&d->lock);
    return 0;
}

static bool write_header(FilterDump *d, GError **error)
{
    const PcapHeader header = { PCAP_MAGIC, 2, 4, 0, 0, (uint32_t)d->maxlen, PCAP_ETHERNET };
    int err = host_write_all(d->fd, &header, sizeof(header));

    d->end = sizeof(header);
    return err == 0 || error_set_errno(error, err, "cannot write to '%s'", d->file);
}

static bool dump_open(NetFilter *f, GError **error)
{
    FilterDump *d = filter_dump(f);
    struct stat st;

    /* Where nobody reads a pipe that is an error, not a wait. */
    d->fd = host_open(d->file, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0644, error);
    if (d->fd < 0) {
        return false;
    }
    d->is_file = fstat(d->fd, &st) == 0 && S_ISREG(st.st_mode);
    if (!write_header(d, error)) {
        close(d->fd);
        return false;
    }
    lock_init(&d->lock, LOCK_LEAF, "filter-dump");
    d->record = g_malloc(sizeof(PcapRecord) + MIN(d->maxlen, NET_FRAME_MAX));
    return true;
}

static void dump_close(NetFilter *f)
{
    FilterDump *d = filter_dump(f);

    if (!d->failed) {
        put_rest(d);
    }
    if (d->left_out) {
        log_warning("%s: %" G_GUINT64_FORMAT " frames were left out of '%s'", f->object.id, d->left_out, d->file);
    }
    close(d->fd);
    g_free(d->record);
    lock_finish(&d->lock);
}

static void dump_set(NetFilter *f)
{
    filter_dump(f)->failed &= !net_filter_is_on(f);
}

static const FieldStruct filter_dump_props = {
    .name = "FilterDumpProperties",
    .size = sizeof(FilterDump),
    .base = &net_filter_props,
    .fields = (const Field[]){F_STR("file", FilterDump, file, NULL, .flags = FIELD_REQUIRED,
                                    .help = "File to write (it is emptied), or a pipe"),
                              F_SIZE("maxlen", FilterDump, maxlen, 65536, .min = 1, .max = UINT32_MAX,
                                     .help = "Bytes of each frame that are kept"),
                              FIELD_END},
};

const NetFilterClass filter_dump_class = {
    .object = {
        .name = "filter-dump",
        .desc = "Writes a netdev's frames to a file for tcpdump (pcap)",
        .size = sizeof(FilterDump),
        .props = &filter_dump_props,
        .create = net_filter_create,
        .destroy = net_filter_destroy,
        .changed = net_filter_property_set,
        .late = true,
    },
    .open = dump_open,
    .close = dump_close,
    .pass = dump_pass,
    .set = dump_set,
};
