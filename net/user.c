/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The `user` backend: a network of the domain's own behind the sockets of this process, by libslirp
 * (4.7): DHCP, name server, TFTP, IPv4 and IPv6 with router advertisements, forwards.
 *
 * libslirp wants to be polled: it lists descriptors (fill), and is told what happened to them (poll).
 * Here that is done when something may have changed: a frame came from the guest, a descriptor is
 * ready, time is over.  One LoopBatch does both, once a round of the loop, however much came.
 *
 *   frames of a round -> slirp_input()  \
 *   descriptors ready -> noted           > batch: slirp_pollfds_poll(), slirp_pollfds_fill()
 *   timeout           -> noted          /
 *
 * It takes large TCP segments from the guest as they are (their checksum is completed), so a guest
 * saves the work of cutting.  What it has for the guest is known to be right, and said to be; small
 * segments that come together are put together (net/coalesce.h).
 *
 * Bounded: frames that the guest has no room for, WAITING_FRAMES of them; then they are lost, as on a
 * wire.  Main loop only.  Time is the guest's: connections do not time out while it is stopped.
 */
#include <string.h>

#include "net/user.h"
#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/iov.h"
#include "vmm/sandbox.h"
#include "vmm/timer.h"

#define WAITING_FRAMES 1024

typedef struct NetUserWatch {
    NetUser *user;
    LoopFd *lfd;
    LoopEvents wanted;
    int revents;    /* SLIRP_POLL_* */
    unsigned round; /* of the last fill that listed it */
} NetUserWatch;

static NetUser *net_user(NetBackend *b)
{
    return (NetUser *)b;
}

void net_user_changed(NetUser *u)
{
    loop_batch(u->loop, &u->batch);
}

/* ---- descriptors ---- */

static void watch_free(gpointer data)
{
    NetUserWatch *w = data;

    loop_remove_fd(w->lfd);
    g_free(w);
}

static void descriptor_ready(int fd, LoopEvents events, void *opaque)
{
    NetUserWatch *w = opaque;

    w->revents |= (events & LOOP_READ ? SLIRP_POLL_IN : 0) | (events & LOOP_WRITE ? SLIRP_POLL_OUT : 0) |
                  (events & LOOP_HANGUP ? SLIRP_POLL_HUP : 0);
    /* Level-triggered: quiet until slirp has looked at it. */
    loop_fd_set_events(w->lfd, 0);
    w->wanted = 0;
    w->user->happened = true;
    net_user_changed(w->user);
}

static int add_poll(int fd, int events, void *opaque)
{
    NetUser *u = opaque;
    LoopEvents wanted = (events & (SLIRP_POLL_IN | SLIRP_POLL_PRI) ? LOOP_READ : 0) |
                        (events & SLIRP_POLL_OUT ? LOOP_WRITE : 0);
    NetUserWatch *w = g_hash_table_lookup(u->watches, GINT_TO_POINTER(fd));

    if (!w) {
        w = g_new0(NetUserWatch, 1);
        w->user = u;
        w->lfd = loop_add_fd(u->loop, fd, wanted, descriptor_ready, w);
        w->wanted = wanted;
        g_hash_table_insert(u->watches, GINT_TO_POINTER(fd), w);
    } else if (w->wanted != wanted) {
        loop_fd_set_events(w->lfd, wanted);
        w->wanted = wanted;
    }
    w->round = u->round;
    g_array_append_val(u->polled, fd);
    return (int)u->polled->len - 1;
}

static int get_revents(int index, void *opaque)
{
    NetUser *u = opaque;
    NetUserWatch *w = g_hash_table_lookup(u->watches, GINT_TO_POINTER(g_array_index(u->polled, int, index)));
    int revents = w ? w->revents : 0;

    if (w) {
        w->revents = 0;
    }
    return revents;
}

/* It may be one that it has just connected to a guestfwd's program. */
static void register_poll_fd(int fd, void *opaque)
{
    NetUser *u = opaque;

    for (unsigned i = 0; i < u->commands->len; i++) {
        net_guest_command_accept(u->commands->pdata[i]);
    }
}

/* It is about to be closed, and its number to be another's. */
static void unregister_poll_fd(int fd, void *opaque)
{
    g_hash_table_remove(((NetUser *)opaque)->watches, GINT_TO_POINTER(fd));
}

static void stop_unlisted(gpointer key, gpointer value, gpointer opaque)
{
    NetUserWatch *w = value;

    if (w->round != w->user->round && w->wanted) {
        loop_fd_set_events(w->lfd, 0);
        w->wanted = 0;
    }
}

static void hand_on_coalesced(NetUser *u);

static void send_resets(NetUser *u)
{
    GByteArray *frame;

    while ((frame = g_queue_pop_head(&u->resets))) {
        slirp_input(u->slirp, frame->data, (int)frame->len);
        g_byte_array_unref(frame);
    }
}

static void run_slirp(void *opaque)
{
    NetUser *u = opaque;
    uint32_t timeout_ms = UINT32_MAX;

    send_resets(u);
    if (u->happened) {
        u->happened = false;
        slirp_pollfds_poll(u->slirp, 0, get_revents, u);
    }
    hand_on_coalesced(u);
    u->round++;
    g_array_set_size(u->polled, 0);
    slirp_pollfds_fill(u->slirp, &timeout_ms, add_poll, u);
    g_hash_table_foreach(u->watches, stop_unlisted, NULL);
    if (timeout_ms != UINT32_MAX) {
        timer_mod(u->timeout, clock_ns(domain_clock(u->backend.domain)) + timeout_ms * NS_PER_MS);
    } else {
        timer_del(u->timeout);
    }
    net_user_poll_guestfwds(u);
}

static void time_is_over(void *opaque)
{
    NetUser *u = opaque;

    u->happened = true;
    net_user_changed(u);
}

/* ---- frames ---- */

/* A frame that waits for the guest: its header, then its bytes. */
static void wait_for_room(NetUser *u, const NetPacket *packet)
{
    GByteArray *copy;

    if (u->waiting.length == WAITING_FRAMES) {
        net_drop_received(u->queue);
        return;
    }
    copy = g_byte_array_sized_new((guint)(sizeof(packet->header) + packet->length));
    g_byte_array_append(copy, (const uint8_t *)&packet->header, sizeof(packet->header));
    g_byte_array_append(copy, packet->iov[0].iov_base, (guint)packet->length);
    g_queue_push_tail(&u->waiting, copy);
}

static void hand_on(NetUser *u, const NetPacket *packet)
{
    if (!g_queue_is_empty(&u->waiting) || !net_receive(&u->backend, u->queue, packet)) {
        wait_for_room(u, packet);
    }
}

static void hand_on_coalesced(NetUser *u)
{
    struct iovec iov;
    NetPacket packet;

    if (u->queue && net_coalesced(&u->coalescer, &iov, &packet)) {
        hand_on(u, &packet);
    }
}

/* What is put together goes when nothing more comes at once: at the end of run_slirp() or user_send(). */
static ssize_t send_packet(const void *data, size_t length, void *opaque)
{
    NetUser *u = opaque;
    struct iovec iov = { (void *)data, length };
    const NetPacket packet = { .header = { .flags = VIRTIO_NET_HDR_F_DATA_VALID }, .iov = &iov, .n = 1,
                               .length = length };
    unsigned takes;

    if (!u->queue || (u->egress && !net_egress_receive(u->egress, data, length))) {
        return (ssize_t)length;
    }
    net_user_note_frame(u, data, length, false);
    takes = __atomic_load_n(&u->queue->nic->offloads, __ATOMIC_RELAXED);
    if (!net_coalesce(&u->coalescer, data, length, takes)) {
        hand_on_coalesced(u);
        if (!net_coalesce(&u->coalescer, data, length, takes)) {
            hand_on(u, &packet);
        }
    }
    net_user_changed(u);
    return (ssize_t)length;
}

static void user_receive_ready(NetBackend *b, NetQueue *q)
{
    NetUser *u = net_user(b);

    while (!g_queue_is_empty(&u->waiting)) {
        GByteArray *frame = g_queue_peek_head(&u->waiting);
        struct iovec iov = { frame->data + sizeof(struct virtio_net_hdr), frame->len - sizeof(struct virtio_net_hdr) };
        NetPacket packet = { .iov = &iov, .n = 1, .length = iov.iov_len };

        memcpy(&packet.header, frame->data, sizeof(packet.header));
        if (!net_receive(b, q, &packet)) {
            return;
        }
        g_queue_pop_head(&u->waiting);
        g_byte_array_unref(frame);
    }
}

/* libslirp keeps a packet for a guest whose address it does not know, and looks at it again only when it is told what
 * became of its descriptors. */
static bool tells_an_address(const uint8_t *frame, size_t length)
{
    unsigned type = length > 20 ? get_be16(frame + 12) : 0;

    return type == 0x0806 /* ARP */ || (type == 0x86dd && frame[20] == IPPROTO_ICMPV6);
}

static NetSent user_send(NetBackend *b, NetQueue *q, const NetPacket *packet)
{
    NetUser *u = net_user(b);
    uint8_t *flat = packet->iov[0].iov_base;

    /* What the policy has looked at is what libslirp gets: the guest may write to its own. */
    if (packet->n > 1 || u->egress) {
        flat = u->flat;
        iov_to_buffer(packet->iov, packet->n, 0, flat, packet->length);
    }
    if (!u->egress || net_egress_send(u->egress, flat, packet->length)) {
        net_user_note_frame(u, flat, packet->length, true);
        slirp_input(u->slirp, flat, (int)packet->length);
        u->happened |= tells_an_address(flat, packet->length);
    }
    hand_on_coalesced(u);
    net_user_changed(u);
    return NET_SENT;
}

/* ---- frames that are not slirp's ---- */

void net_user_tell_guest(NetUser *u, const uint8_t *frame, size_t length)
{
    struct iovec iov = { (void *)frame, length };
    const NetPacket packet = { .header = { .flags = VIRTIO_NET_HDR_F_DATA_VALID }, .iov = &iov, .n = 1,
                               .length = length };

    hand_on_coalesced(u);
    if (u->queue) {
        hand_on(u, &packet);
    }
}

static void egress_to_guest(void *opaque, const uint8_t *frame, size_t length)
{
    net_user_tell_guest(opaque, frame, length);
}

/* The policy may be asked in the middle of what slirp does with the same connection: later. */
static void egress_to_network(void *opaque, const uint8_t *frame, size_t length)
{
    NetUser *u = opaque;
    GByteArray *copy = g_byte_array_sized_new((guint)length);

    g_byte_array_append(copy, frame, (guint)length);
    g_queue_push_tail(&u->resets, copy);
    net_user_changed(u);
}

static bool use_policy(NetUser *u, const char *policy, const SlirpConfig *config, GError **error)
{
    EgressPlace place = net_user_place(u, config);

    place.to_guest = egress_to_guest;
    place.to_network = egress_to_network;
    place.opaque = u;
    u->egress = net_egress_new(u->backend.domain, policy, &place, error);
    return u->egress != NULL;
}

/* ---- the NIC ---- */

static void user_attach(NetBackend *b, NetQueue *q)
{
    net_user(b)->queue = q;
}

static void drop_waiting(NetUser *u)
{
    GByteArray *frame;

    while ((frame = g_queue_pop_head(&u->waiting))) {
        g_byte_array_unref(frame);
    }
}

static void user_detach(NetBackend *b, NetQueue *q)
{
    drop_waiting(net_user(b));
    net_user(b)->coalescer.length = 0;
    net_user(b)->queue = NULL;
}

/* ---- time, and what else slirp asks for ---- */

typedef struct UserTimer { NetUser *user; SlirpTimerId id; void *opaque; Timer *timer; } UserTimer;

static void run_timer(void *opaque)
{
    UserTimer *t = opaque;

    slirp_handle_timer(t->user->slirp, t->id, t->opaque);
    net_user_changed(t->user);
}

static void *timer_new_opaque(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    NetUser *u = opaque;
    UserTimer *t = g_new(UserTimer, 1);

    *t = (UserTimer) { u, id, cb_opaque, timer_new(u->loop, domain_clock(u->backend.domain), run_timer, t) };
    return t;
}

static void slirp_timer_free(void *timer, void *opaque)
{
    UserTimer *t = timer;

    timer_free(t->timer);
    g_free(t);
}

static void slirp_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    timer_mod(((UserTimer *)timer)->timer, expire_ms * NS_PER_MS);
}

static int64_t get_clock(void *opaque)
{
    return clock_ns(domain_clock(((NetUser *)opaque)->backend.domain));
}

static void guest_did_wrong(const char *message, void *opaque)
{
    guest_error(((NetUser *)opaque)->backend.id, "%s", message);
}

static void notify(void *opaque)
{
    net_user_changed(opaque);
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_did_wrong,
    .clock_get_ns = get_clock,
    .timer_free = slirp_timer_free,
    .timer_mod = slirp_timer_mod,
    .register_poll_fd = register_poll_fd,
    .unregister_poll_fd = unregister_poll_fd,
    .notify = notify,
    .timer_new_opaque = timer_new_opaque,
};

/* ---- life ---- */

static void user_close(NetBackend *b)
{
    NetUser *u = net_user(b);

    net_user_forget_state(u);
    net_egress_free(g_steal_pointer(&u->egress));
    net_user_remove_guestfwds(u);
    slirp_cleanup(u->slirp); /* it lets go of its descriptors and timers */
    loop_batch_cancel(u->loop, &u->batch);
    timer_free(u->timeout);
    drop_waiting(u);
    g_queue_clear_full(&u->resets, (GDestroyNotify)g_byte_array_unref);
    g_hash_table_unref(u->watches);
    g_array_unref(u->polled);
    g_ptr_array_unref(u->forwards);
    g_ptr_array_unref(u->commands);
    g_array_unref(u->opened);
    g_strfreev(u->dnssearch);
    g_free(u->flat);
    g_free(u->coalescer.frame);
}

static bool add_forwards(NetUser *u, const NetUserOptions *o, GError **error)
{
    for (unsigned i = 0; i < o->hostfwd.n; i++) {
        if (!net_user_add_hostfwd(u, FIELD_LIST_AT(o->hostfwd, NetString, i).str, error)) {
            return false;
        }
    }
    for (unsigned i = 0; i < o->guestfwd.n; i++) {
        if (!net_user_add_guestfwd(u, FIELD_LIST_AT(o->guestfwd, NetString, i).str, error)) {
            return false;
        }
    }
    return true;
}

static bool user_open(NetBackend *b, const void *opaque, GError **error)
{
    const NetUserOptions *o = opaque;
    NetUser *u = net_user(b);
    char net[INET_ADDRSTRLEN];
    SlirpConfig config;

    if (!sandbox_permits_opening()) {
        error_set(error, "a user network opens sockets, which -sandbox strict does not allow");
        return error_hint(error, "Use -sandbox on, or a netdev on a passed descriptor.");
    }
    if (!net_user_configure(o, &config, &u->dnssearch, error)) {
        return false;
    }
    config.version = SLIRP_CONFIG_VERSION_MAX;
    u->loop = domain_loop(b->domain);
    u->batch = (LoopBatch) { .fn = run_slirp, .opaque = u };
    u->watches = g_hash_table_new_full(NULL, NULL, NULL, watch_free);
    u->polled = g_array_new(FALSE, FALSE, sizeof(int));
    u->timeout = timer_new(u->loop, domain_clock(b->domain), time_is_over, u);
    u->ipv4 = config.in_enabled;
    u->forwards = g_ptr_array_new();
    u->commands = g_ptr_array_new_with_free_func((GDestroyNotify)net_guest_command_free);
    u->opened = g_array_new(FALSE, FALSE, sizeof(EgressForward));
    u->flat = g_malloc(NET_FRAME_MAX);
    u->coalescer.frame = g_malloc(NET_FRAME_MAX);
    net_user_hear_slirp();
    u->slirp = slirp_new(&config, &callbacks, u);
    if ((o->egress && !use_policy(u, o->egress, &config, error)) || !add_forwards(u, o, error)) {
        user_close(b);
        return false;
    }
    inet_ntop(AF_INET, &config.vnetwork, net, sizeof(net));
    b->info = g_strdup_printf("net=%s,restrict=%s%s%s", net, o->restricted ? "on" : "off", o->egress ? ",egress=" : "",
                              o->egress ? o->egress : "");
    net_user_save_state(u);
    net_user_changed(u);
    return true;
}

const NetClass net_user_class = {
    .name = "user",
    .size = sizeof(NetUser),
    .offloads = NET_TSO4 | NET_TSO6 | NET_ECN,
    .open = user_open,
    .close = user_close,
    .attach = user_attach,
    .detach = user_detach,
    .send = user_send,
    .receive_ready = user_receive_ready,
    .main_loop_only = true,
};
