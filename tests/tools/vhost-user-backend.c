/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vhost-user back end for tests: serves a NIC's rings, split or packed, and moves frames between them and a wire: a
 * TAP interface, or a datagram socket.  Written from the vhost-user specification and Virtio 1.2 (2.7, 2.8), and from
 * nothing that lodge is made of.
 *
 *   vhost-user-backend SOCKET|FD:N tap:NAME|fd:N [protocol=MASK] [features=MASK]
 *
 * It connects to SOCKET, or listens there if nobody does (then it serves one front end after another).  Says on
 * standard output what it is asked for.  As with DPDK, where one ring that stops ends the device, which begins anew with
 * the others, a stop forgets what is enabled, and enabling what is enabled says nothing.  As with Open vSwitch, rings
 * that it hears of after the first two run are not served.  Not there: indirect descriptors, event indices, merged
 * buffers, offloads.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define QUEUES      8 /* rings */
#define REGIONS     32
#define HEADER      12
#define FRAME_MAX   2048
#define PAGE        4096

enum { F_MQ = 22, F_LOG_ALL = 26, F_PROTOCOL = 30, F_VERSION_1 = 32, F_PACKED = 34 };
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_AVAIL = 1 << 7, DESC_USED = 1 << 15 };
enum { P_REPLY_ACK = 1 << 3, P_SLOTS = 1 << 15 };

typedef struct Region { uint64_t gpa, size, user, offset; } Region;
typedef struct Mapped { Region r; uint8_t *host, *map; size_t mapped; } Mapped;
typedef struct Desc { uint64_t address; uint32_t length; uint16_t low, high; } Desc; /* flags, next; or id, flags */

typedef struct Ring {
    uint32_t num;
    uint64_t desc_user, avail_user, used_user, log_address;
    bool logged, enabled, served;
    int kick, call;
    uint16_t avail, used;
    bool avail_wrap, used_wrap;
} Ring;

typedef struct Message {
    uint32_t request, flags, size;
    union {
        uint64_t number;
        struct { uint32_t index, num; } state;
        struct { uint32_t index, flags; uint64_t desc, used, avail, log; } address;
        struct { uint32_t n, padding; Region r[8]; } table;
        struct { uint64_t padding; Region r; } one;
        struct { uint64_t size, offset; } log;
        uint8_t bytes[512];
    } p;
} __attribute__((packed, aligned(4))) Message;

static Mapped mapped[REGIONS];
static unsigned n_mapped;
static Ring ring[QUEUES];
static unsigned named, counted; /* rings that it has heard of; so many there were when the first two ran */
static uint64_t features = 1ull << F_VERSION_1 | 1ull << F_PROTOCOL | 1ull << F_LOG_ALL | 1ull << F_PACKED | 1ull << F_MQ;
static uint64_t protocols = 0x800f, accepted, protocol;
static uint8_t *log_map;
static uint64_t log_size;
static int wire = -1;

/* ---- memory ---- */

static void *at_user(uint64_t user)
{
    for (unsigned i = 0; i < n_mapped; i++) {
        if (user - mapped[i].r.user < mapped[i].r.size) {
            return mapped[i].host + (user - mapped[i].r.user);
        }
    }
    return NULL;
}

static void *at_guest(uint64_t gpa, uint64_t length)
{
    for (unsigned i = 0; i < n_mapped; i++) {
        if (gpa - mapped[i].r.gpa < mapped[i].r.size && length <= mapped[i].r.size - (gpa - mapped[i].r.gpa)) {
            return mapped[i].host + (gpa - mapped[i].r.gpa);
        }
    }
    fprintf(stderr, "no memory at 0x%llx\n", (unsigned long long)gpa);
    exit(3);
}

static void log_write(uint64_t gpa, uint64_t length)
{
    if (!log_map || !(accepted & 1ull << F_LOG_ALL)) {
        return;
    }
    for (uint64_t page = gpa / PAGE; page <= (gpa + length - 1) / PAGE; page++) {
        if (page / 8 < log_size) {
            __atomic_fetch_or(&log_map[page / 8], (uint8_t)(1 << page % 8), __ATOMIC_SEQ_CST);
        }
    }
}

static void add_region(Region r, int fd)
{
    Mapped *m = &mapped[n_mapped++];

    m->r = r;
    m->mapped = r.size + r.offset;
    m->map = mmap(NULL, m->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (m->map == MAP_FAILED) {
        perror("mmap");
        exit(3);
    }
    m->host = m->map + r.offset;
    close(fd);
}

static void remove_region(unsigned i)
{
    munmap(mapped[i].map, mapped[i].mapped);
    mapped[i] = mapped[--n_mapped];
}

/* ---- rings ---- */

static uint16_t load16(const void *p)
{
    return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE);
}

static bool is_packed(void)
{
    return accepted & 1ull << F_PACKED;
}

static bool runs(const Ring *r)
{
    return r - ring < (long)counted && r->kick >= 0 && r->served && r->num && at_user(r->desc_user);
}

static bool has_chain(const Ring *r)
{
    if (is_packed()) {
        const Desc *d = (const Desc *)at_user(r->desc_user) + r->avail;
        uint16_t flags = load16(&d->high);

        return !!(flags & DESC_AVAIL) == r->avail_wrap && !!(flags & DESC_USED) != r->avail_wrap;
    }
    return load16((uint8_t *)at_user(r->avail_user) + 2) != r->avail;
}

/* Moves bytes between the next chain and data; out: from the guest.  Bytes moved, or the bytes of the chain. */
static size_t move_chain(Ring *r, uint8_t *data, size_t length, bool out)
{
    Desc *table = at_user(r->desc_user);
    uint16_t *avail = at_user(r->avail_user), head = 0, id = 0, at, n = 0;
    uint8_t *used = at_user(r->used_user);
    size_t done = 0;
    bool more = true;

    at = is_packed() ? r->avail : (head = avail[2 + r->avail % r->num]);
    for (uint16_t flags; more; n++) {
        Desc *d = &table[at];
        size_t bytes = d->length;

        flags = is_packed() ? d->high : d->low;
        id = d->low;
        bytes = bytes < length - done ? bytes : length - done;
        if (out && !(flags & DESC_WRITE)) {
            memcpy(data + done, at_guest(d->address, d->length), bytes);
            done += bytes;
        } else if (!out && flags & DESC_WRITE) {
            memcpy(at_guest(d->address, d->length), data + done, bytes);
            log_write(d->address, bytes ? bytes : 1);
            done += bytes;
        }
        more = flags & DESC_NEXT;
        at = is_packed() ? (uint16_t)((at + 1) % r->num) : d->high;
    }
    if (is_packed()) {
        Desc *d = &table[r->used];

        d->length = out ? 0 : (uint32_t)done;
        d->low = id;
        __atomic_store_n(&d->high, (uint16_t)(r->used_wrap ? DESC_AVAIL | DESC_USED : 0), __ATOMIC_RELEASE);
        if (r->logged) { /* the descriptors are its used area, too */
            for (unsigned i = 0; i < n_mapped; i++) {
                if (r->desc_user - mapped[i].r.user < mapped[i].r.size) {
                    log_write(mapped[i].r.gpa + (r->desc_user - mapped[i].r.user), r->num * sizeof(Desc));
                }
            }
        }
        r->avail_wrap ^= r->avail + n >= (int)r->num;
        r->avail = (uint16_t)((r->avail + n) % r->num);
        r->used_wrap ^= r->used + n >= (int)r->num;
        r->used = (uint16_t)((r->used + n) % r->num);
    } else {
        uint32_t *element = (uint32_t *)(used + 4) + 2 * (r->used % r->num);

        element[0] = head;
        element[1] = out ? 0 : (uint32_t)done;
        r->avail++;
        r->used++;
        __atomic_store_n((uint16_t *)(used + 2), r->used, __ATOMIC_RELEASE);
        if (r->logged) {
            log_write(r->log_address, 4 + r->num * 8);
        }
    }
    return done;
}

static void call(const Ring *r)
{
    uint64_t one = 1;

    if (r->call >= 0 && write(r->call, &one, sizeof(one)) < 0) {
        perror("call");
    }
}

static void from_guest(Ring *r)
{
    uint8_t frame[HEADER + FRAME_MAX];
    bool any = false;

    while (runs(r) && has_chain(r)) {
        size_t n = move_chain(r, frame, sizeof(frame), true);

        if (n > HEADER && write(wire, frame + HEADER, n - HEADER) < 0 && errno != EAGAIN && errno != EIO) {
            perror("wire");
        }
        any = true;
    }
    if (any) {
        call(r);
    }
}

/* Which ring a frame goes to: what belongs together (addresses and ports of IPv4) to one. */
static Ring *receiver_of(const uint8_t *frame, ssize_t n)
{
    unsigned running = 0, sum = 0, i = 0;

    for (unsigned q = 0; q < QUEUES; q += 2) {
        running += runs(&ring[q]);
    }
    for (unsigned at = 26; at < 38 && at < n; at++) {
        sum = sum * 31 + frame[at];
    }
    for (unsigned left = running ? sum % running : 0; running; i += 2) {
        if (runs(&ring[i]) && left-- == 0) {
            return &ring[i];
        }
    }
    return NULL;
}

static void to_guest(void)
{
    uint8_t frame[HEADER + FRAME_MAX] = { 0 };
    bool any[QUEUES] = { false };

    for (unsigned i = 0; i < 64; i++) {
        ssize_t n = read(wire, frame + HEADER, FRAME_MAX);
        Ring *r;

        if (n <= 0) {
            break;
        }
        r = receiver_of(frame + HEADER, n);
        if (r && has_chain(r)) {
            frame[10] = 1; /* num_buffers */
            move_chain(r, frame, HEADER + (size_t)n, false);
            any[r - ring] = true;
        }
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        if (any[i]) {
            call(&ring[i]);
        }
    }
}

/* ---- requests ---- */

static void set_event(int *slot, const Message *m, int fd)
{
    if (*slot >= 0) {
        close(*slot);
    }
    *slot = m->p.number & 1 << 8 ? -1 : fd;
}

static void set_table(const Message *m, const int *fds)
{
    while (n_mapped) {
        remove_region(n_mapped - 1);
    }
    for (unsigned i = 0; i < m->p.table.n && i < 8; i++) {
        add_region(m->p.table.r[i], fds[i]);
    }
}

static void set_base(Ring *r, uint32_t base)
{
    r->avail = is_packed() ? base & 0x7fff : (uint16_t)base;
    r->avail_wrap = base & 0x8000;
    r->used = base >> 16 & 0x7fff;
    r->used_wrap = base >> 31;
}

static uint32_t take_base(Ring *r)
{
    uint32_t avail = r->avail | (r->avail_wrap ? 0x8000u : 0), used = r->used | (r->used_wrap ? 0x8000u : 0);

    if (r->kick >= 0) {
        close(r->kick);
    }
    r->kick = -1;
    for (unsigned i = 0; i < QUEUES; i++) {
        ring[i].served = false;
    }
    return is_packed() ? avail | used << 16 : r->avail;
}

static void set_log(const Message *m, int fd)
{
    if (log_map) {
        munmap(log_map, log_size);
    }
    log_size = m->p.log.size;
    log_map = mmap(NULL, log_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)m->p.log.offset);
    close(fd);
    printf("log\n");
}

static bool set_address(const Message *m)
{
    Ring *r = &ring[m->p.address.index];

    r->desc_user = m->p.address.desc;
    r->avail_user = m->p.address.avail;
    r->used_user = m->p.address.used;
    r->log_address = m->p.address.log;
    r->logged = m->p.address.flags & 1;
    if (!at_user(r->desc_user)) {
        return false;
    }
    if (!is_packed()) {
        r->used = load16((uint8_t *)at_user(r->used_user) + 2);
    }
    return true;
}

/* Whether an answer with a payload of its own is due; *ret_bad: it is refused. */
static bool obey(Message *m, int *fds, bool *ret_bad)
{
    Ring *r = &ring[m->p.number & 0xff & (QUEUES - 1)];

    switch (m->request) {
    case 1: m->p.number = features; return true;
    case 2: accepted = m->p.number; return false;
    case 3: printf("owner\n"); return false;
    case 5: set_table(m, fds); return false;
    case 6: set_log(m, fds[0]); m->size = 0; return true;
    case 8: r->num = m->p.state.num; return false;
    case 9: *ret_bad = !set_address(m); return false;
    case 10: set_base(r, m->p.state.num); return false;
    case 11: m->p.state.num = take_base(r); printf("stop %u\n", m->p.state.index); return true;
    case 12: set_event(&r->kick, m, fds[0]); return false;
    case 13: set_event(&r->call, m, fds[0]); return false;
    case 15: m->p.number = protocols; return true;
    case 16: protocol = m->p.number; return false;
    case 17: m->p.number = QUEUES / 2; return true;
    case 18:
        r->served = r->enabled != m->p.state.num ? m->p.state.num : r->served;
        r->enabled = m->p.state.num;
        printf("ring %u %s\n", m->p.state.index, r->enabled ? "on" : "off");
        return false;
    case 19: printf("rarp %02x:%02x:%02x:%02x:%02x:%02x\n", m->p.bytes[0], m->p.bytes[1], m->p.bytes[2], m->p.bytes[3],
                    m->p.bytes[4], m->p.bytes[5]); return false;
    case 36: m->p.number = REGIONS; return true;
    case 37: add_region(m->p.one.r, fds[0]); printf("slot\n"); return false;
    case 38:
        for (unsigned i = 0; i < n_mapped; i++) {
            if (mapped[i].r.gpa == m->p.one.r.gpa && mapped[i].r.size == m->p.one.r.size) {
                remove_region(i);
                return false;
            }
        }
        *ret_bad = true;
        return false;
    default: *ret_bad = true; return false;
    }
}

static void answer(int fd, Message *m, bool own, bool bad)
{
    if (!own && !(m->flags & 8 && protocol & P_REPLY_ACK)) {
        return;
    }
    if (!own) {
        m->p.number = bad;
    }
    m->size = own && m->request == 6 ? 0 : own && m->request == 11 ? 8 : 8;
    m->flags = 1 | 4;
    if (send(fd, m, 12 + m->size, MSG_NOSIGNAL) < 0) {
        perror("answer");
    }
}

/* false: the front end has gone. */
static bool serve_request(int fd)
{
    char control[CMSG_SPACE(8 * sizeof(int))];
    Message m;
    struct iovec iov = { &m, 12 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    int fds[8] = { -1, -1, -1, -1, -1, -1, -1, -1 };
    bool bad = false;

    if (recvmsg(fd, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC) != 12 || m.size > sizeof(m.p) ||
        (m.size && recv(fd, &m.p, m.size, MSG_WAITALL) != (ssize_t)m.size)) {
        return false;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    }
    if (m.request >= 8 && m.request <= 13 && (m.p.number & 0xff) < QUEUES && (m.p.number & 0xff) >= named) {
        named = (m.p.number & 0xff) + 1;
    }
    answer(fd, &m, obey(&m, fds, &bad), bad);
    if (!counted && ring[0].kick >= 0 && ring[1].kick >= 0) {
        counted = named;
    }
    fflush(stdout);
    return true;
}

static void forget(void)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        ring[i] = (Ring) { .kick = -1, .call = -1, .avail_wrap = true, .used_wrap = true };
    }
    while (n_mapped) {
        remove_region(n_mapped - 1);
    }
    accepted = protocol = 0;
    named = counted = 0;
}

static void serve(int fd)
{
    forget();
    for (;;) {
        struct pollfd p[2 + QUEUES] = { { fd, POLLIN, 0 }, { wire, POLLIN, 0 } };

        for (unsigned i = 0; i < QUEUES; i++) {
            p[2 + i] = (struct pollfd) { i % 2 && runs(&ring[i]) ? ring[i].kick : -1, POLLIN, 0 };
        }
        if (poll(p, 2 + QUEUES, -1) < 0) {
            return;
        }
        if (p[0].revents && !serve_request(fd)) {
            return;
        }
        if (p[1].revents & (POLLHUP | POLLERR) && !(p[1].revents & POLLIN)) {
            return;
        }
        if (p[1].revents) {
            to_guest();
        }
        for (unsigned i = 1; i < QUEUES; i += 2) {
            uint64_t count;

            if (p[2 + i].revents && ring[i].kick >= 0 && read(ring[i].kick, &count, sizeof(count)) > 0) {
                from_guest(&ring[i]);
            }
        }
    }
}

/* ---- start ---- */

static int open_wire(const char *text)
{
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    int fd;

    if (strncmp(text, "fd:", 3) == 0) {
        fd = atoi(text + 3);
    } else {
        fd = open("/dev/net/tun", O_RDWR);
        strncpy(request.ifr_name, text + 4, IFNAMSIZ - 1);
        if (ioctl(fd, TUNSETIFF, &request) < 0) {
            perror("tap");
            exit(2);
        }
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (argc < 3) {
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    wire = open_wire(argv[2]);
    for (int i = 3; i < argc; i++) {
        if (strncmp(argv[i], "protocol=", 9) == 0) {
            protocols = strtoull(argv[i] + 9, NULL, 0);
        } else if (strncmp(argv[i], "features=", 9) == 0) {
            features = strtoull(argv[i] + 9, NULL, 0);
        }
    }
    if (strncmp(argv[1], "FD:", 3) == 0) {
        serve(atoi(argv[1] + 3));
        return 0;
    }
    strncpy(address.sun_path, argv[1], sizeof(address.sun_path) - 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        serve(fd);
        return 0;
    }
    unlink(argv[1]);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0) {
        perror(argv[1]);
        return 2;
    }
    for (;;) {
        int peer = accept(fd, NULL, NULL);

        if (peer < 0) {
            return 1;
        }
        serve(peer);
        close(peer);
    }
}
