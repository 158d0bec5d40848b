/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a `user` network goes with a domain that is saved or moves: the addresses that DHCP has leased (libslirp's
 * own state), and which TCP connections there are.
 *
 * The sockets stay behind, so these connections are over.  libslirp resets one of which it knows nothing, but only when
 * the guest sends; who waits for the other side would wait for ever.  So after a restore the guest gets a SYN for each:
 * it answers with what it has (RFC 5961, section 4), to nobody's surprise, and is told that the connection is gone.
 *
 * libslirp writes the connections of guestfwd in front of the rest, whose length is always the same.  Only that rest is
 * saved, so no stream makes libslirp read a socket's buffers.  The section is optional (vmm/state.h): a network of
 * another kind may stand behind the NIC afterwards.
 *
 * Main loop.
 */
#include <errno.h>
#include <string.h>

#include "net/user.h"
#include "vmm/bytes.h"
#include "vmm/error.h"
#include "vmm/state.h"

#define CONNECTIONS_MAX 512 /* as they fit into the frames that wait for a guest */
#define SLIRP_STATE_MAX 4096
#define IP4_HEAD_BYTES  54 /* Ethernet, IP, TCP */
#define HEAD_BYTES      74 /* ... of IPv6 */
#define IP4_FLAGS_AT    47 /* TCP's */
#define IP6_FLAGS_AT    67
#define ENDS            (EGRESS_SYN | EGRESS_FIN | EGRESS_RST)

/* As it is saved; whole bytes, no padding. */
typedef struct Connection {
    uint8_t guest[16], remote[16];
    uint8_t guest_port[2], remote_port[2];
    uint8_t mac_guest[6], mac_network[6];
    uint8_t fins;
} Connection;

#define KEY_BYTES offsetof(Connection, mac_guest)

struct NetUserSaved {
    NetUser *user;
    /* Saved */
    uint32_t version;
    GByteArray *slirp, *connections;
    /* Derived */
    size_t slirp_bytes;
    GHashTable *open; /* Connection to itself */
};

/* ---- connections ---- */

static guint connection_hash(gconstpointer key)
{
    return egress_hash(EGRESS_HASH, key, KEY_BYTES);
}

static gboolean connection_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, KEY_BYTES) == 0;
}

/* head: its headers. */
static Connection connection_of(const uint8_t *head, bool ipv6, bool from_guest)
{
    const uint8_t *from = head + (ipv6 ? 22 : 26), *to = from + (ipv6 ? 16 : 4), *ports = to + (ipv6 ? 16 : 4);
    EgressAddress address[2];
    uint32_t four[2];
    Connection c = { .fins = 0 };

    memcpy(four, from, sizeof(four));
    address[0] = ipv6 ? egress_address6(from) : egress_address4(four[0]);
    address[1] = ipv6 ? egress_address6(to) : egress_address4(four[1]);
    memcpy(c.guest, address[!from_guest].bytes, sizeof(c.guest));
    memcpy(c.remote, address[from_guest].bytes, sizeof(c.remote));
    memcpy(c.guest_port, ports + (from_guest ? 0 : 2), sizeof(c.guest_port));
    memcpy(c.remote_port, ports + (from_guest ? 2 : 0), sizeof(c.remote_port));
    memcpy(c.mac_guest, head + (from_guest ? 6 : 0), sizeof(c.mac_guest));
    memcpy(c.mac_network, head + (from_guest ? 0 : 6), sizeof(c.mac_network));
    return c;
}

static void remove_any(GHashTable *open)
{
    GHashTableIter iter;

    g_hash_table_iter_init(&iter, open);
    if (g_hash_table_iter_next(&iter, NULL, NULL)) {
        g_hash_table_iter_remove(&iter);
    }
}

/* IPv6 packets may have IPv4 addresses in them. */
static bool has_one_family(const Connection *c)
{
    EgressAddress guest = egress_address6(c->guest), remote = egress_address6(c->remote);

    return egress_is_ipv4(&guest) == egress_is_ipv4(&remote);
}

static void note_segment(NetUserSaved *s, const uint8_t *head, bool ipv6, uint8_t flags, bool from_guest)
{
    Connection c = connection_of(head, ipv6, from_guest), *known = g_hash_table_lookup(s->open, &c);

    if (flags & EGRESS_SYN && !known && has_one_family(&c)) {
        if (g_hash_table_size(s->open) == CONNECTIONS_MAX) {
            remove_any(s->open);
        }
        g_hash_table_add(s->open, g_memdup2(&c, sizeof(c)));
    } else if (known && flags & EGRESS_FIN) {
        known->fins |= from_guest ? 1 : 2;
    }
    if (known && (flags & EGRESS_RST || known->fins == 3)) {
        g_hash_table_remove(s->open, known);
    }
}

/* Most frames are of no interest, which a few looks tell.  Those of the guest may change meanwhile: the copy is what
 * counts. */
void net_user_note_frame(NetUser *u, const uint8_t *frame, size_t length, bool from_guest)
{
    uint8_t head[HEAD_BYTES], flags;
    bool ipv6;

    if (!u->saved || length < IP4_HEAD_BYTES ||
        (!(frame[IP4_FLAGS_AT] & ENDS) && (length < HEAD_BYTES || !(frame[IP6_FLAGS_AT] & ENDS)))) {
        return;
    }
    memset(head, 0, sizeof(head));
    memcpy(head, frame, MIN(length, sizeof(head)));
    ipv6 = head[12] == 0x86 && head[13] == 0xdd && head[20] == EGRESS_TCP && length >= HEAD_BYTES;
    if (!ipv6 && !(head[12] == 0x08 && head[13] == 0x00 && head[14] == 0x45 && head[23] == EGRESS_TCP)) {
        return;
    }
    flags = head[ipv6 ? IP6_FLAGS_AT : IP4_FLAGS_AT];
    if (flags & ENDS) {
        note_segment(u->saved, head, ipv6, flags, from_guest);
    }
}

static void ask_guest(NetUser *u, const Connection *c)
{
    uint8_t frame[EGRESS_ANSWER_MAX];
    EgressSegment s = {
        .mac_from = c->mac_network, .mac_to = c->mac_guest, .from_port = get_be16(c->remote_port),
        .to_port = get_be16(c->guest_port), .flags = EGRESS_SYN,
    };

    memcpy(s.from.bytes, c->remote, sizeof(c->remote));
    memcpy(s.to.bytes, c->guest, sizeof(c->guest));
    net_user_tell_guest(u, frame, egress_make_segment(&s, frame));
}

/* ---- saving ---- */

static ssize_t write_slirp(const void *data, size_t length, void *opaque)
{
    g_byte_array_append(opaque, data, (guint)length);
    return (ssize_t)length;
}

static bool user_save(void *opaque, GError **error)
{
    NetUserSaved *s = opaque;
    g_autoptr(GByteArray) all = g_byte_array_new();
    GHashTableIter iter;
    gpointer key;

    slirp_state_save(s->user->slirp, write_slirp, all);
    g_byte_array_set_size(s->slirp, 0);
    g_byte_array_append(s->slirp, all->data + all->len - s->slirp_bytes, (guint)s->slirp_bytes);
    g_byte_array_set_size(s->connections, 0);
    g_hash_table_iter_init(&iter, s->open);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        g_byte_array_append(s->connections, key, sizeof(Connection));
    }
    return true;
}

/* ---- restoring ---- */

static bool user_check(const void *opaque, GError **error)
{
    const NetUserSaved *s = opaque;

    if (s->connections->len % sizeof(Connection)) {
        return error_set(error, "the list of connections has a wrong length");
    }
    for (size_t at = 0; at < s->connections->len; at += sizeof(Connection)) {
        Connection c;

        memcpy(&c, s->connections->data + at, sizeof(c));
        if (!has_one_family(&c)) {
            return error_set(error, "a connection is between addresses of different families");
        }
    }
    return true;
}

typedef struct Reader { const uint8_t *data; size_t left; } Reader;

static ssize_t read_slirp(void *buffer, size_t length, void *opaque)
{
    Reader *r = opaque;
    size_t n = MIN(length, r->left);

    memset(buffer, 0, length);
    memcpy(buffer, r->data, n);
    r->data += n;
    r->left -= n;
    return (ssize_t)length;
}

/* Of another version of libslirp: leases are given anew when the guest asks. */
static bool is_ours(const NetUserSaved *s)
{
    return (int)s->version == slirp_state_version() && s->slirp->len == s->slirp_bytes && s->slirp->data[0] == 0;
}

static bool user_loaded(void *opaque, GError **error)
{
    NetUserSaved *s = opaque;
    Reader r = { s->slirp->data, s->slirp->len };

    if (is_ours(s) && slirp_state_load(s->user->slirp, (int)s->version, read_slirp, &r) < 0) {
        return error_set(error, "libslirp does not take its own state");
    }
    s->version = (uint32_t)slirp_state_version();
    if (s->user->egress) {
        net_egress_reset(s->user->egress);
    }
    g_hash_table_remove_all(s->open);
    for (size_t at = 0; at < s->connections->len; at += sizeof(Connection)) {
        Connection c;

        memcpy(&c, s->connections->data + at, sizeof(c));
        ask_guest(s->user, &c);
    }
    return true;
}

static const StateDesc user_state = {
    .name = "user-network",
    .version = 1,
    .save = user_save,
    .check = user_check,
    .loaded = user_loaded,
    .fields = (const StateField[]) {
        STATE_U32(NetUserSaved, version),
        STATE_BLOB(NetUserSaved, slirp, SLIRP_STATE_MAX),
        STATE_BLOB(NetUserSaved, connections, CONNECTIONS_MAX * sizeof(Connection)),
        STATE_END
    },
};

/* ---- life ---- */

void net_user_save_state(NetUser *u)
{
    NetUserSaved *s = g_new0(NetUserSaved, 1);
    g_autofree char *path = g_strconcat(STATE_OPTIONAL, u->backend.id, NULL);

    s->user = u;
    s->version = (uint32_t)slirp_state_version();
    s->slirp = g_byte_array_new();
    s->connections = g_byte_array_new();
    s->open = g_hash_table_new_full(connection_hash, connection_equal, g_free, NULL);
    slirp_state_save(u->slirp, write_slirp, s->slirp);
    s->slirp_bytes = s->slirp->len;
    u->saved = s;
    state_list_add(domain_state(u->backend.domain), path, &user_state, s, sizeof(*s), NULL);
}

void net_user_forget_state(NetUser *u)
{
    NetUserSaved *s = g_steal_pointer(&u->saved);

    if (s) {
        state_list_remove(domain_state(u->backend.domain), s);
        g_hash_table_unref(s->open);
        g_byte_array_unref(s->connections);
        g_byte_array_unref(s->slirp);
        g_free(s);
    }
}
