/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost by another process: the vhost-user protocol, front end's side (QEMU, docs/interop/vhost-user.rst).  A message
 * is a header (request, flags, size) and its payload, with descriptors beside it; who owes an answer sends one of the
 * same request.  It works in guest memory that it maps by those descriptors.
 *
 * Protocol features used: MQ, LOG_SHMFD, RARP, REPLY_ACK, CONFIGURE_MEM_SLOTS.  Not used: requests of the back end,
 * IOTLB (there is no vIOMMU), config space, in-flight records (a NIC's frames may be lost), status.
 *
 * A back end that dies, hangs or answers nonsense is dead from then on, which fails everything at once; nothing waits
 * for one message and its answer longer than ANSWER_MS in all, however slowly they come.
 *
 * Locking: the device's `lock` is held over each exchange.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/vhost.h"

#define ANSWER_MS     5000
#define FDS_MAX       8
#define TABLE_REGIONS 8   /* of SET_MEM_TABLE */
#define SLOTS_MAX     509 /* that we would use, if it has so many */

typedef enum Request {
    GET_FEATURES = 1, SET_FEATURES = 2, SET_OWNER = 3, SET_MEM_TABLE = 5, SET_LOG_BASE = 6, SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9, SET_VRING_BASE = 10, GET_VRING_BASE = 11, SET_VRING_KICK = 12, SET_VRING_CALL = 13,
    GET_PROTOCOL_FEATURES = 15, SET_PROTOCOL_FEATURES = 16, GET_QUEUE_NUM = 17, SET_VRING_ENABLE = 18, SEND_RARP = 19,
    GET_MAX_MEM_SLOTS = 36, ADD_MEM_REG = 37, REM_MEM_REG = 38,
} Request;

enum { FLAG_VERSION = 1, FLAG_REPLY = 1 << 2, FLAG_NEED_REPLY = 1 << 3 };
enum { PROTOCOL_MQ = 1 << 0, PROTOCOL_LOG_SHMFD = 1 << 1, PROTOCOL_RARP = 1 << 2, PROTOCOL_REPLY_ACK = 1 << 3,
       PROTOCOL_MEM_SLOTS = 1 << 15 };
#define PROTOCOLS (PROTOCOL_MQ | PROTOCOL_LOG_SHMFD | PROTOCOL_RARP | PROTOCOL_REPLY_ACK | PROTOCOL_MEM_SLOTS)
#define NO_DESCRIPTOR (UINT64_C(1) << 8) /* comes with the message */
#define F_PROTOCOL_FEATURES (UINT64_C(1) << 30)

typedef struct Header { uint32_t request, flags, size; } Header;
typedef struct RingState { uint32_t index, num; } RingState;
typedef struct RingAddresses { uint32_t index, flags; uint64_t desc, used, avail, log; } RingAddresses;
typedef struct Region { uint64_t address, size, user_address, offset; } Region;
typedef struct Table { uint32_t n, padding; Region region[TABLE_REGIONS]; } Table;
typedef struct OneRegion { uint64_t padding; Region region; } OneRegion;
typedef struct LogBase { uint64_t size, offset; } LogBase;

typedef union Payload {
    uint64_t number;
    RingState state;
    RingAddresses addresses;
    Table table;
    OneRegion one;
    LogBase log;
    uint8_t mac[8];
} Payload;

typedef struct Message {
    Header header;
    Payload payload;
} Message;

struct VhostUser {
    VhostDevice device; /* first */
    int fd;             /* -1: it has gone */
    int64_t deadline;   /* g_get_monotonic_time(): of the message under way and its answer */
    uint64_t protocol;
    unsigned needed;    /* queues, of the netdev */
    unsigned queues, slots;
    GArray *sent;       /* Region: with slots, what it has mapped */
    unsigned used;      /* the first rings, that the guest uses; atomic: others write it */
    bool enabled[VHOST_RINGS_MAX];
    bool disturbed;     /* a ring was stopped while others ran on */
};

static VhostUser *vhost_user(VhostDevice *d)
{
    return (VhostUser *)d;
}

/* ---- messages ---- */

/* Whoever watches the socket sees its end. */
static bool lose(VhostUser *u, GError **error, const char *why)
{
    shutdown(u->fd, SHUT_RDWR);
    u->fd = -1;
    return error_set(error, "the vhost-user back end %s", why);
}

static bool wait_to(VhostUser *u, short events)
{
    struct pollfd p = { .fd = u->fd, .events = events };
    int64_t left;
    int n;

    do {
        left = u->deadline - g_get_monotonic_time();
        n = left > 0 ? poll(&p, 1, (int)(left / 1000) + 1) : 0;
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

static bool send_message(VhostUser *u, Message *m, const int *fds, unsigned n, GError **error)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control = { 0 };
    struct iovec iov[] = { { &m->header, sizeof(m->header) }, { &m->payload, m->header.size } };
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
    ssize_t sent;

    if (u->fd < 0) {
        return error_set(error, "there is no vhost-user back end");
    }
    if (n) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(n * sizeof(int));
        control.header = (struct cmsghdr) { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
                                            .cmsg_len = CMSG_LEN(n * sizeof(int)) };
        memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
    }
    u->deadline = g_get_monotonic_time() + ANSWER_MS * INT64_C(1000);
    do {
        sent = sendmsg(u->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && (errno == EINTR || (errno == EAGAIN && wait_to(u, POLLOUT))));
    return sent == (ssize_t)(iov[0].iov_len + iov[1].iov_len) || lose(u, error, "has gone, or takes nothing");
}

static bool read_all(VhostUser *u, void *data, size_t length)
{
    uint8_t *p = data;

    while (length) {
        ssize_t n = recv(u->fd, p, length, MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EINTR && !(errno == EAGAIN && wait_to(u, POLLIN)))) {
            return false;
        }
        p += MAX(n, 0);
        length -= (size_t)MAX(n, 0);
    }
    return true;
}

/* `size` bytes of payload, or what fits: some are longer than they were. */
static bool take_answer(VhostUser *u, Request request, Message *m, uint32_t size, GError **error)
{
    if (!read_all(u, &m->header, sizeof(m->header))) {
        return lose(u, error, "does not answer");
    }
    if (m->header.request != (uint32_t)request || !(m->header.flags & FLAG_REPLY) || m->header.size < size ||
        m->header.size > sizeof(m->payload) || !read_all(u, &m->payload, m->header.size)) {
        return lose(u, error, "answers nonsense");
    }
    return true;
}

static Message message(Request request, uint32_t size)
{
    return (Message) { .header = { request, FLAG_VERSION, size } };
}

/* One that needs no answer; one is asked for where that is possible, so that what follows finds it done. */
static bool tell(VhostUser *u, Message *m, const int *fds, unsigned n, GError **error)
{
    Request request = m->header.request;

    m->header.flags |= u->protocol & PROTOCOL_REPLY_ACK ? FLAG_NEED_REPLY : 0;
    if (!send_message(u, m, fds, n, error)) {
        return false;
    }
    if (!(u->protocol & PROTOCOL_REPLY_ACK)) {
        return true;
    }
    return take_answer(u, request, m, sizeof(uint64_t), error) &&
           (m->payload.number == 0 || error_set(error, "the vhost-user back end refuses request %d", request));
}

static bool tell_number(VhostUser *u, Request request, uint64_t number, GError **error)
{
    Message m = message(request, sizeof(number));

    m.payload.number = number;
    return tell(u, &m, NULL, 0, error);
}

static bool ask_number(VhostUser *u, Request request, uint64_t *ret, GError **error)
{
    Message m = message(request, 0);

    if (!send_message(u, &m, NULL, 0, error) || !take_answer(u, request, &m, sizeof(uint64_t), error)) {
        return false;
    }
    *ret = m.payload.number;
    return true;
}

/* ---- memory ---- */

static Region region_of(const VhostRegion *r, int *ret_fd)
{
    uint64_t offset;

    *ret_fd = ram_block_fd(r->block, &offset);
    return (Region) { r->address, r->size, (uintptr_t)(ram_block_host(r->block) + r->offset), offset + r->offset };
}

static bool tell_region(VhostUser *u, Request request, const Region *r, int fd, GError **error)
{
    Message m = message(request, sizeof(OneRegion));

    m.payload.one.region = *r;
    return tell(u, &m, &fd, fd >= 0 ? 1 : 0, error);
}

static bool is_among(const Region *r, const Region *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (memcmp(r, &list[i], sizeof(*r)) == 0) {
            return true;
        }
    }
    return false;
}

/* Each region for itself: only what is new, after what has gone. */
static bool tell_changes(VhostUser *u, const VhostRegion *regions, unsigned n, GError **error)
{
    g_autofree Region *now = g_new0(Region, n + 1);
    g_autofree int *fds = g_new0(int, n + 1);

    for (unsigned i = 0; i < n; i++) {
        now[i] = region_of(&regions[i], &fds[i]);
    }
    for (unsigned i = u->sent->len; i > 0; i--) {
        Region old = g_array_index(u->sent, Region, i - 1);

        if (!is_among(&old, now, n)) {
            g_array_remove_index_fast(u->sent, i - 1);
            if (!tell_region(u, REM_MEM_REG, &old, -1, error)) {
                return false;
            }
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (!is_among(&now[i], (const Region *)u->sent->data, u->sent->len)) {
            if (!tell_region(u, ADD_MEM_REG, &now[i], fds[i], error)) {
                return false;
            }
            g_array_append_val(u->sent, now[i]);
        }
    }
    return true;
}

static bool user_set_table(VhostDevice *d, const VhostRegion *regions, unsigned n, GError **error)
{
    VhostUser *u = vhost_user(d);
    Message m = message(SET_MEM_TABLE, (uint32_t)(offsetof(Table, region) + n * sizeof(Region)));
    int fds[TABLE_REGIONS];

    if (n > (u->protocol & PROTOCOL_MEM_SLOTS ? u->slots : TABLE_REGIONS)) {
        return error_set(error, "the vhost-user back end takes no %u pieces of memory", n);
    }
    if (!n) {
        return error_set(error, "there is no memory that another process can map");
    }
    if (u->protocol & PROTOCOL_MEM_SLOTS) {
        return tell_changes(u, regions, n, error);
    }
    m.payload.table.n = n;
    for (unsigned i = 0; i < n; i++) {
        m.payload.table.region[i] = region_of(&regions[i], &fds[i]);
    }
    return tell(u, &m, fds, n, error);
}

/* With LOG_SHMFD there is an answer, whose payload says nothing. */
static bool user_set_log(VhostDevice *d, GError **error)
{
    VhostUser *u = vhost_user(d);
    Message m = message(SET_LOG_BASE, sizeof(LogBase));

    if (!(u->protocol & PROTOCOL_LOG_SHMFD)) {
        return error_set(error, "the vhost-user back end cannot tell what it writes");
    }
    m.payload.log = (LogBase) { d->log.bytes, 0 };
    return send_message(u, &m, &d->log.fd, 1, error) && take_answer(u, SET_LOG_BASE, &m, 0, error);
}

/* ---- rings ---- */

static bool user_set_features(VhostDevice *d, uint64_t features, GError **error)
{
    return tell_number(vhost_user(d), SET_FEATURES, features | (d->features & F_PROTOCOL_FEATURES), error);
}

static bool user_set_addresses(VhostDevice *d, const VhostRing *ring, bool logged, GError **error)
{
    Message m = message(SET_VRING_ADDR, sizeof(RingAddresses));

    m.payload.addresses = (RingAddresses) { ring->index, logged, (uintptr_t)ring->desc, (uintptr_t)ring->used,
                                            (uintptr_t)ring->avail, ring->used_address };
    return tell(vhost_user(d), &m, NULL, 0, error);
}

static bool tell_state(VhostUser *u, Request request, unsigned ring, uint32_t number, GError **error)
{
    Message m = message(request, sizeof(RingState));

    m.payload.state = (RingState) { ring, number };
    return tell(u, &m, NULL, 0, error);
}

static bool tell_event(VhostUser *u, Request request, unsigned ring, int fd, GError **error)
{
    Message m = message(request, sizeof(uint64_t));

    m.payload.number = ring;
    return tell(u, &m, &fd, 1, error);
}

static bool enable(VhostUser *u, unsigned ring, bool on, GError **error)
{
    u->enabled[ring] = on;
    return !(u->device.features & F_PROTOCOL_FEATURES) || tell_state(u, SET_VRING_ENABLE, ring, on, error);
}

static bool is_used(const VhostUser *u, unsigned ring)
{
    return ring < __atomic_load_n(&u->used, __ATOMIC_RELAXED);
}

/* DPDK takes a ring that stops for the end of the device, begins anew with those that run on, and has forgotten that
 * they are enabled. */
static bool enable_others_again(VhostUser *u, GError **error)
{
    bool due = u->disturbed && u->device.running;

    u->disturbed = false;
    for (unsigned i = 0; due && i < VHOST_RINGS_MAX; i++) {
        if (u->device.runs[i] && u->enabled[i] && !(enable(u, i, false, error) && enable(u, i, true, error))) {
            return false;
        }
    }
    return true;
}

/* Open vSwitch counts the rings when the first two are there, and serves no others: it hears of all of them before, by
 * a message that says nothing else (as QEMU sends one for each). */
static bool name_all_rings(VhostUser *u, GError **error)
{
    for (unsigned i = 0; i < 2 * u->needed; i++) {
        if (!tell_number(u, SET_VRING_CALL, i | NO_DESCRIPTOR, error)) {
            return false;
        }
    }
    return true;
}

static bool user_start_ring(VhostDevice *d, const VhostRing *ring, bool logged, GError **error)
{
    VhostUser *u = vhost_user(d);
    unsigned n = ring->index;

    u->enabled[n] = false;
    if (!d->running && u->needed > 1 && !name_all_rings(u, error)) {
        return false;
    }
    return tell_state(u, SET_VRING_NUM, n, ring->size, error) && tell_state(u, SET_VRING_BASE, n, ring->base, error) &&
           user_set_addresses(d, ring, logged, error) && tell_event(u, SET_VRING_CALL, n, ring->call, error) &&
           tell_event(u, SET_VRING_KICK, n, ring->kick, error) && (!is_used(u, n) || enable(u, n, true, error)) &&
           enable_others_again(u, error);
}

static bool user_stop_ring(VhostDevice *d, const VhostRing *ring, uint32_t *ret_base)
{
    VhostUser *u = vhost_user(d);
    Message m = message(GET_VRING_BASE, sizeof(RingState));
    g_autoptr(GError) error = NULL;

    m.payload.state.index = ring->index;
    if (!enable(u, ring->index, false, &error) || !send_message(u, &m, NULL, 0, &error) ||
        !take_answer(u, GET_VRING_BASE, &m, sizeof(RingState), &error)) {
        log_if(LOG_VIRTIO, "vhost-user: ring %u: %s", ring->index, error->message);
        return false;
    }
    u->disturbed = true;
    *ret_base = m.payload.state.num;
    return m.payload.state.index == ring->index;
}

static const VhostOps user_ops = {
    .shared = true,
    .set_features = user_set_features,
    .set_table = user_set_table,
    .set_log = user_set_log,
    .set_addresses = user_set_addresses,
    .start_ring = user_start_ring,
    .stop_ring = user_stop_ring,
};

/* ---- coming and going ---- */

static bool agree_on_protocol(VhostUser *u, GError **error)
{
    uint64_t offered, number;

    if (!ask_number(u, GET_PROTOCOL_FEATURES, &offered, error) ||
        !tell_number(u, SET_PROTOCOL_FEATURES, offered & PROTOCOLS, error)) {
        return false;
    }
    u->protocol = offered & PROTOCOLS;
    if (u->protocol & PROTOCOL_MQ) {
        if (!ask_number(u, GET_QUEUE_NUM, &number, error)) {
            return false;
        }
        u->queues = (unsigned)MIN(number, VHOST_RINGS_MAX);
    }
    if (u->protocol & PROTOCOL_MEM_SLOTS) {
        if (!ask_number(u, GET_MAX_MEM_SLOTS, &number, error)) {
            return false;
        }
        u->slots = (unsigned)MIN(number, SLOTS_MAX);
    }
    return true;
}

static bool shake_hands(VhostUser *u, uint64_t *ret_features, GError **error)
{
    Message owner = message(SET_OWNER, 0);

    u->protocol = 0;
    u->queues = u->slots = 0;
    g_array_set_size(u->sent, 0);
    return ask_number(u, GET_FEATURES, ret_features, error) &&
           (!(*ret_features & F_PROTOCOL_FEATURES) || agree_on_protocol(u, error)) &&
           tell(u, &owner, NULL, 0, error);
}

static bool has_queues(const VhostUser *u, GError **error)
{
    return u->needed <= 1 || u->queues >= u->needed ||
           error_set(error, "the vhost-user back end has %u queues, not %u", MAX(u->queues, 1), u->needed);
}

bool vhost_user_connect(VhostUser *u, int fd, GError **error)
{
    VhostDevice *d = &u->device;
    uint64_t features, before = d->features;
    uint64_t protocol = u->protocol;
    unsigned queues = u->queues, slots = u->slots;
    bool ok;

    lock_acquire(&d->lock);
    u->fd = fd;
    ok = shake_hands(u, &features, error) && has_queues(u, error);
    if (ok && (before & ~features || protocol & PROTOCOL_LOG_SHMFD & ~u->protocol)) {
        error_set(error, "the vhost-user back end that came has less features than the one before");
        ok = false;
    }
    if (!ok) {
        u->fd = -1;
        u->protocol = protocol;
        u->queues = queues;
        u->slots = slots;
    }
    lock_release(&d->lock);
    return ok;
}

void vhost_user_disconnect(VhostUser *u)
{
    lock_acquire(&u->device.lock);
    u->fd = -1;
    lock_release(&u->device.lock);
}

VhostUser *vhost_user_new(Domain *domain, unsigned queues, int fd, GError **error)
{
    VhostUser *u = g_new0(VhostUser, 1);

    u->fd = fd;
    u->needed = queues;
    u->used = 2;
    u->sent = g_array_new(FALSE, FALSE, sizeof(Region));
    vhost_device_init(&u->device, &user_ops, domain);
    if (shake_hands(u, &u->device.features, error) && has_queues(u, error)) {
        return u;
    }
    vhost_user_free(u);
    return NULL;
}

void vhost_user_free(VhostUser *u)
{
    if (u) {
        vhost_device_finish(&u->device);
        g_array_unref(u->sent);
        g_free(u);
    }
}

VhostDevice *vhost_user_device(VhostUser *u)
{
    return &u->device;
}

bool vhost_user_logs(const VhostUser *u)
{
    return u->device.features & UINT64_C(1) << VHOST_F_LOGS && u->protocol & PROTOCOL_LOG_SHMFD;
}

void vhost_user_set_used(VhostUser *u, unsigned rings)
{
    __atomic_store_n(&u->used, rings, __ATOMIC_RELAXED);
}

void vhost_user_enable_used(VhostUser *u)
{
    g_autoptr(GError) error = NULL;
    bool ok = true;

    lock_acquire(&u->device.lock);
    for (unsigned i = 0; ok && i < VHOST_RINGS_MAX; i++) {
        ok = !u->device.runs[i] || u->enabled[i] == is_used(u, i) || enable(u, i, is_used(u, i), &error);
    }
    lock_release(&u->device.lock);
    if (!ok) {
        log_warning("vhost-user: the queues that the guest uses: %s", error->message);
    }
}

bool vhost_user_is_alive(VhostUser *u)
{
    bool alive;
    char byte;

    lock_acquire(&u->device.lock);
    alive = u->fd >= 0 && recv(u->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
    lock_release(&u->device.lock);
    return alive;
}

void vhost_user_announce(VhostUser *u, const uint8_t mac[6])
{
    Message m = message(SEND_RARP, sizeof(uint64_t));
    g_autoptr(GError) error = NULL;

    memcpy(m.payload.mac, mac, 6);
    lock_acquire(&u->device.lock);
    if (u->fd >= 0 && u->protocol & PROTOCOL_RARP && !tell(u, &m, NULL, 0, &error)) {
        log_warning("vhost-user: no announcement: %s", error->message);
    }
    lock_release(&u->device.lock);
}
