/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forwards of a `user` network: hostfwd (a port of the host that leads to the guest) and guestfwd (an
 * address of the network that leads to a chardev, or by user-command.c to programs).  The language of rules is QEMU's.
 *
 * Main loop.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "net/user.h"
#include "vmm/error.h"

#define CHOICES_MAX 8

/* ---- rules ---- */

/* What stands before `separator`; *text moves behind it.  NULL: there is none. */
static char *take(const char **text, char separator)
{
    const char *end = strchr(*text, separator);
    char *part = end ? g_strndup(*text, (size_t)(end - *text)) : NULL;

    *text = end ? end + 1 : *text;
    return part;
}

/* Nothing is 0: some port. */
static bool parse_port(const char *text, int *ret)
{
    guint64 port = 0;
    bool ok = text && (!*text || g_ascii_string_to_unsigned(text, 10, 0, UINT16_MAX, &port, NULL));

    *ret = (int)port;
    return ok;
}

static bool parse_address(const char *text, struct in_addr *ret)
{
    ret->s_addr = INADDR_ANY;
    return text && (!*text || inet_pton(AF_INET, text, ret) == 1);
}

static bool parse_protocol(const char *text, bool udp_too, bool *ret_udp)
{
    *ret_udp = text && udp_too && g_str_equal(text, "udp");
    return text && (*ret_udp || !*text || g_str_equal(text, "tcp"));
}

typedef struct HostForward {
    bool udp;
    struct in_addr host, guest;
    int host_port, guest_port;
} HostForward;

/* Which part of a rule is none; NULL: one is missing, or all are well. */
static char *wrong_part(const char *protocol, bool udp_too, const char *address, const char *port)
{
    struct in_addr ignored;
    bool udp;
    int number;

    if (!protocol || !address || !port) {
        return NULL;
    }
    return !parse_protocol(protocol, udp_too, &udp) ? g_strdup_printf("'%s' is no protocol", protocol)
         : !parse_address(address, &ignored)        ? g_strdup_printf("'%s' is no IPv4 address", address)
         : !parse_port(port, &number)               ? g_strdup_printf("'%s' is no port", port)
                                                    : NULL;
}

/* whole: with the guest's end. */
static bool parse_hostfwd(const char *rule, bool whole, HostForward *ret, GError **error)
{
    const char *rest = rule;
    g_autofree char *protocol = take(&rest, ':'), *host = take(&rest, ':');
    g_autofree char *host_port = whole ? take(&rest, '-') : g_strdup(rest), *guest = whole ? take(&rest, ':') : NULL;
    g_autofree char *wrong = NULL;

    if (parse_protocol(protocol, true, &ret->udp) && parse_address(host, &ret->host) &&
        parse_port(host_port, &ret->host_port) &&
        (!whole || (parse_address(guest, &ret->guest) && parse_port(rest, &ret->guest_port) && ret->guest_port))) {
        return true;
    }
    wrong = wrong_part(protocol, true, host, host_port);
    if (!wrong && guest && host_port) {
        wrong = wrong_part("", false, guest, rest);
        wrong = wrong ? wrong : g_strdup_printf("'%s' is no port of the guest", rest);
    }
    error_set(error, "'%s' is no host forwarding rule%s%s", rule, wrong ? ": " : "", wrong ? wrong : "");
    return error_hint(error, whole ? "Write [tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT, such as tcp::2222-:22."
                                   : "Write [tcp|udp]:[HOSTADDR]:HOSTPORT, such as tcp::2222.");
}

/* ---- what is open, for an egress policy ---- */

static void note_hostfwd(NetUser *u, const HostForward *f)
{
    const EgressForward opened = { .udp = f->udp, .inward = true, .port = (uint16_t)f->guest_port,
                                   .host = egress_address4(f->host.s_addr), .host_port = (uint16_t)f->host_port };

    g_array_append_val(u->opened, opened);
}

static void forget_hostfwd(NetUser *u, const HostForward *f)
{
    const EgressAddress host = egress_address4(f->host.s_addr);

    for (unsigned i = 0; i < u->opened->len; i++) {
        const EgressForward *one = &g_array_index(u->opened, EgressForward, i);

        if (one->inward && one->udp == f->udp && one->host_port == f->host_port && egress_same(&one->host, &host)) {
            g_array_remove_index(u->opened, i);
            return;
        }
    }
}

static void note_guestfwd(NetUser *u, struct in_addr address, int port)
{
    const EgressForward opened = { .address = egress_address4(address.s_addr), .port = (uint16_t)port };

    g_array_append_val(u->opened, opened);
}

/* ---- hostfwd ---- */

/* A port of the host's choice that is free, or 0.  libslirp would not tell which it has got. */
static int choose_port(const HostForward *f)
{
    struct sockaddr_in where = { .sin_family = AF_INET, .sin_addr = f->host };
    socklen_t length = sizeof(where);
    int fd = socket(AF_INET, (f->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0), port = 0;

    if (fd >= 0 && bind(fd, (struct sockaddr *)&where, length) == 0 &&
        getsockname(fd, (struct sockaddr *)&where, &length) == 0) {
        port = ntohs(where.sin_port);
    }
    if (fd >= 0) {
        close(fd);
    }
    return port;
}

static bool check_ipv4(const NetUser *u, GError **error)
{
    if (!u->ipv4) {
        error_set(error, "hostfwd and guestfwd are IPv4's, which is off");
        return error_hint(error, "Say ipv4=on as well.");
    }
    return true;
}

/* Somebody else may be quicker to take a port that is chosen here. */
static bool listen_on_host(NetUser *u, HostForward *f)
{
    bool choose = f->host_port == 0, ok = false;

    for (unsigned tries = 0; !ok && tries < (choose ? CHOICES_MAX : 1); tries++) {
        f->host_port = choose ? choose_port(f) : f->host_port;
        errno = 0;
        ok = slirp_add_hostfwd(u->slirp, f->udp, f->host, f->host_port, f->guest, f->guest_port) == 0;
    }
    return ok;
}

bool net_user_add_hostfwd(NetUser *u, const char *rule, GError **error)
{
    HostForward f;
    int err;

    if (!parse_hostfwd(rule, true, &f, error) || !check_ipv4(u, error)) {
        return false;
    }
    if (!listen_on_host(u, &f)) {
        err = errno;
        error_set_errno(error, err ? err : EADDRINUSE, "cannot listen on %s port %d of the host, for '%s'",
                        f.udp ? "udp" : "tcp", f.host_port, rule);
        if (err == EACCES) {
            return error_hint(error, "Use a port from 1024 on.");
        }
        return error_hint(error, "Use another port: port 0 lets the host choose one, which info usernet shows.");
    }
    note_hostfwd(u, &f);
    net_user_changed(u);
    return true;
}

bool net_user_remove_hostfwd(NetUser *u, const char *rule, GError **error)
{
    HostForward f;

    if (!parse_hostfwd(rule, false, &f, error)) {
        return false;
    }
    if (slirp_remove_hostfwd(u->slirp, f.udp, f.host, f.host_port) < 0) {
        error_set(error, "host forwarding rule for '%s' not found", rule);
        return error_hint(error, "Use info usernet to list them.");
    }
    forget_hostfwd(u, &f);
    net_user_changed(u);
    return true;
}

/* ---- guestfwd ---- */

static size_t chardev_can_receive(void *opaque)
{
    const NetGuestForward *f = opaque;

    return slirp_socket_can_recv(f->user->slirp, f->address, f->port);
}

static void chardev_receive(void *opaque, const uint8_t *data, size_t length)
{
    const NetGuestForward *f = opaque;

    slirp_socket_recv(f->user->slirp, f->address, f->port, data, (int)length);
    net_user_changed(f->user);
}

static ssize_t guest_writes(const void *data, size_t length, void *opaque)
{
    const NetGuestForward *f = opaque;

    return (ssize_t)chardev_write(f->chr, data, length);
}

void net_user_poll_guestfwds(NetUser *u)
{
    for (unsigned i = 0; i < u->forwards->len; i++) {
        chardev_accept_input(((NetGuestForward *)u->forwards->pdata[i])->chr);
    }
}

bool net_user_no_place(struct in_addr address, int port, GError **error)
{
    return error_set(error, "guestfwd's %s:%d is taken, or lies outside the network", inet_ntoa(address), port);
}

static bool add_command(NetUser *u, const char *command, struct in_addr address, int port, GError **error)
{
    NetGuestCommand *c = net_guest_command_new(u, command, address, port, error);

    if (c) {
        g_ptr_array_add(u->commands, c);
    }
    return c != NULL;
}

static bool add_chardev(NetUser *u, const char *text, struct in_addr address, int port, GError **error)
{
    g_autofree char *id = g_strdup_printf("%s.guestfwd.tcp.%d", u->backend.id, port);
    NetGuestForward *f = g_new(NetGuestForward, 1);
    ChardevFrontend front = { .can_receive = chardev_can_receive, .receive = chardev_receive, .opaque = f };

    *f = (NetGuestForward) { .user = u, .made = !g_str_has_prefix(text, "chardev:"), .address = address, .port = port };
    if (chardev_add_short(u->backend.domain, id, text, &f->chr, error)) {
        if (!f->chr) {
            error_set(error, "guestfwd leads nowhere");
        } else if (slirp_add_guestfwd(u->slirp, guest_writes, f, &f->address, port) < 0) {
            net_user_no_place(address, port, error);
        } else if (chardev_attach(f->chr, &front, error)) {
            g_ptr_array_add(u->forwards, f);
            return true;
        } else {
            slirp_remove_guestfwd(u->slirp, f->address, port);
        }
        if (f->chr && f->made) {
            chardev_remove(u->backend.domain, chardev_id(f->chr), NULL);
        }
    }
    g_free(f);
    return false;
}

bool net_user_add_guestfwd(NetUser *u, const char *rule, GError **error)
{
    const char *rest = rule;
    g_autofree char *protocol = take(&rest, ':'), *address = take(&rest, ':'), *port_text = take(&rest, '-');
    struct in_addr where;
    bool udp, ok;
    int port;

    if (!parse_protocol(protocol, false, &udp) || !parse_address(address, &where) || !parse_port(port_text, &port) ||
        !port || !*rest) {
        error_set(error, "'%s' is no guest forwarding rule", rule);
        return error_hint(error, "Write tcp:ADDRESS:PORT-CHARDEV, such as tcp:10.0.2.100:25-tcp:127.0.0.1:25.");
    }
    if (!check_ipv4(u, error)) {
        return false;
    }
    ok = g_str_has_prefix(rest, "cmd:") ? add_command(u, rest + strlen("cmd:"), where, port, error)
                                        : add_chardev(u, rest, where, port, error);
    if (ok) {
        note_guestfwd(u, where, port);
    }
    return ok;
}

void net_user_remove_guestfwds(NetUser *u)
{
    for (unsigned i = 0; i < u->forwards->len; i++) {
        NetGuestForward *f = u->forwards->pdata[i];

        chardev_detach(f->chr, f);
        if (f->made) {
            chardev_remove(u->backend.domain, chardev_id(f->chr), NULL);
        }
        g_free(f);
    }
    g_ptr_array_set_size(u->forwards, 0);
    g_ptr_array_set_size(u->commands, 0);
}

/* ---- monitors ---- */

typedef struct Search { NetUser *found; unsigned n; } Search;

static bool is_user(NetBackend *b, void *opaque)
{
    Search *s = opaque;

    if (b->class == &net_user_class) {
        s->found = (NetUser *)b;
        s->n++;
    }
    return true;
}

static NetUser *find(Domain *domain, const char *id, GError **error)
{
    Search s = { 0 };
    NetBackend *b;

    if (!id) {
        netdev_each(domain, is_user, &s);
        if (s.n != 1) {
            error_set(error, s.n ? "there is more than one user network" : "there is no user network");
            if (s.n) {
                error_hint(error, "Name one in front of the rule; info usernet lists them.");
            }
            return NULL;
        }
        return s.found;
    }
    b = netdev_find(domain, id, error);
    if (b && b->class != &net_user_class) {
        error_set(error, "netdev '%s' is no user network but of type %s", id, b->class->name);
        b = NULL;
    }
    return (NetUser *)b;
}

bool net_hostfwd_add(Domain *domain, const char *id, const char *rule, GError **error)
{
    NetUser *u = find(domain, id, error);

    return u && net_user_add_hostfwd(u, rule, error);
}

bool net_hostfwd_remove(Domain *domain, const char *id, const char *rule, GError **error)
{
    NetUser *u = find(domain, id, error);

    return u && net_user_remove_hostfwd(u, rule, error);
}

static bool add_info(NetBackend *b, void *out)
{
    g_autofree char *connections = NULL;

    if (b->class == &net_user_class) {
        connections = slirp_connection_info(((NetUser *)b)->slirp);
        g_string_append_printf(out, "%s:\n%s", b->id, connections);
    }
    return true;
}

void net_usernet_info(Domain *domain, GString *out)
{
    netdev_each(domain, add_info, out);
}
