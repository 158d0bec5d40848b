/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics of frames (SDM 13.7; DS 10.2.7): how many good ones went each way, by size and kind, their bytes with FCS.
 *
 * Locking: the device's lock is held.
 */
#include "hw/net/e1000.h"

typedef struct Direction { uint16_t by_size, good, broadcast, multicast, good_bytes, all, all_bytes; } Direction;

static const Direction received = {
    STAT_PRC64, STAT_GPRC, STAT_BPRC, STAT_MPRC, STAT_GORC, STAT_TPR, STAT_TOR,
};
static const Direction sent = {
    STAT_PTC64, STAT_GPTC, STAT_BPTC, STAT_MPTC, STAT_GOTC, STAT_TPT, STAT_TOT,
};

/* Two registers make one counter. */
static void add_wide(E1000 *e, unsigned low, uint64_t n)
{
    uint64_t sum = (e->stat[low] | (uint64_t)e->stat[low + 1] << 32) + n;

    e->stat[low] = (uint32_t)sum;
    e->stat[low + 1] = (uint32_t)(sum >> 32);
}

static void count(E1000 *e, const Direction *d, const uint8_t *head, uint32_t frames, uint64_t bytes)
{
    static const uint16_t up_to[] = { 64, 127, 255, 511, 1023, UINT16_MAX };
    unsigned size = 0;

    while (size + 1 < G_N_ELEMENTS(up_to) && bytes / frames > up_to[size]) {
        size++;
    }
    e->stat[d->by_size + size] += frames;
    e->stat[d->good] += frames;
    e->stat[d->all] += frames;
    if (head[0] & 1) {
        e->stat[head[0] == 0xff ? d->broadcast : d->multicast] += frames;
    }
    add_wide(e, d->good_bytes, bytes);
    add_wide(e, d->all_bytes, bytes);
}

void e1000_count_received(E1000 *e, const uint8_t *frame, size_t length)
{
    count(e, &received, frame, 1, MAX(length, E1000_FRAME_MIN) + E1000_FCS_BYTES);
}

/* What is to be cut counts as the frames that it becomes. */
void e1000_count_sent(E1000 *e, const NetPacket *packet)
{
    const struct virtio_net_hdr *h = &packet->header;
    size_t payload = packet->length - MIN(packet->length, h->hdr_len);
    uint32_t frames = h->gso_size ? (uint32_t)MAX((payload + h->gso_size - 1) / h->gso_size, 1) : 1;

    e->stat[STAT_TSCTC] += h->gso_size != 0;
    count(e, &sent, packet->iov[0].iov_base, frames,
          packet->length + (frames - 1) * (uint64_t)h->hdr_len + frames * E1000_FCS_BYTES);
}
