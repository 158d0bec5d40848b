/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of a `user` network: from options, with QEMU's defaults, to what libslirp takes.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "net/user.h"
#include "vmm/error.h"

#define DEFAULT_NET "10.0.2.0/24"
#define HOST_OFFSET 2 /* of the gateway within the network */
#define DNS_OFFSET  3
#define DHCP_OFFSET 15
#define MASK_MIN    0xff000000u
#define MASK_MAX    0xfffffff0u
#define DHCP_NAME_MAX 255
#define IPV6_BITS     64
#define IPV6_BITS_MIN 1
#define IPV6_BITS_MAX 126

/* ---- IPv4 ---- */

static bool parse_ipv4(const char *name, const char *text, struct in_addr *ret, GError **error)
{
    return inet_pton(AF_INET, text, ret) == 1 || error_set(error, "%s='%s' is no IPv4 address", name, text);
}

/* "10.0.2.0/24", "10.0.2.0/255.255.255.0", "10.0.2.0" (by its class, as it used to be). */
static bool parse_net(const char *text, struct in_addr *ret_net, struct in_addr *ret_mask, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 2);
    uint32_t net, mask;

    if (!parse_ipv4("net", parts[0] ? parts[0] : "", ret_net, error)) {
        return false;
    }
    net = ntohl(ret_net->s_addr);
    if (!parts[1]) {
        mask = net < 0x80000000u ? 0xff000000u : net < 0xc0000000u ? 0xfff00000u : 0xffffff00u;
    } else if (strchr(parts[1], '.')) {
        if (!parse_ipv4("net", parts[1], ret_mask, error)) {
            return false;
        }
        mask = ntohl(ret_mask->s_addr);
    } else {
        guint64 bits;

        if (!g_ascii_string_to_unsigned(parts[1], 10, 4, 32, &bits, NULL)) {
            return error_set(error, "net='%s' has no length of 4 to 32 bits", text);
        }
        mask = (uint32_t)(UINT64_C(0xffffffff) << (32 - bits));
    }
    ret_mask->s_addr = htonl(mask);
    ret_net->s_addr = htonl(net & mask);
    return true;
}

/* An address of the network: the given one, or the default. */
static bool choose_ipv4(const SlirpConfig *c, const char *name, const char *text, uint32_t offset, struct in_addr *ret,
                        GError **error)
{
    if (!text) {
        ret->s_addr = c->vnetwork.s_addr | htonl(offset);
        return true;
    }
    if (!parse_ipv4(name, text, ret, error)) {
        return false;
    }
    if ((ret->s_addr & c->vnetmask.s_addr) != c->vnetwork.s_addr) {
        return error_set(error, "%s='%s' lies outside the network", name, text);
    }
    return true;
}

static bool configure_ipv4(const NetUserOptions *o, SlirpConfig *c, GError **error)
{
    const char *net = o->net ? o->net : o->ip ? o->ip : DEFAULT_NET;
    uint32_t mask, host;

    if (!parse_net(net, &c->vnetwork, &c->vnetmask, error) ||
        !choose_ipv4(c, "host", o->host, HOST_OFFSET, &c->vhost, error) ||
        !choose_ipv4(c, "dhcpstart", o->dhcpstart, DHCP_OFFSET, &c->vdhcp_start, error) ||
        !choose_ipv4(c, "dns", o->dns, DNS_OFFSET, &c->vnameserver, error)) {
        return false;
    }
    mask = ntohl(c->vnetmask.s_addr);
    if (mask < MASK_MIN || mask > 0xfffffffcu || (!o->dhcpstart && mask > MASK_MAX)) {
        error_set(error, "net='%s' is too large or too small", net);
        return error_hint(error, "Use 8 to 28 bits, or up to 30 with host=, dns= and dhcpstart=.");
    }
    host = c->vhost.s_addr;
    if (host == c->vnameserver.s_addr || host == c->vdhcp_start.s_addr ||
        c->vdhcp_start.s_addr == c->vnameserver.s_addr) {
        return error_set(error, "host, dns and dhcpstart are not three different addresses");
    }
    return true;
}

/* ---- IPv6 ---- */

static bool parse_ipv6(const char *name, const char *text, struct in6_addr *ret, GError **error)
{
    return inet_pton(AF_INET6, text, ret) == 1 || error_set(error, "%s='%s' is no IPv6 address", name, text);
}

static bool in_prefix(const SlirpConfig *c, const struct in6_addr *a)
{
    unsigned bytes = c->vprefix_len / 8, bits = c->vprefix_len % 8;
    uint8_t mask = bits ? (uint8_t)(0xff << (8 - bits)) : 0;

    return memcmp(a, &c->vprefix_addr6, bytes) == 0 &&
           ((a->s6_addr[bytes] ^ c->vprefix_addr6.s6_addr[bytes]) & mask) == 0;
}

static bool choose_ipv6(const SlirpConfig *c, const char *name, const char *text, uint8_t offset, struct in6_addr *ret,
                        GError **error)
{
    if (!text) {
        *ret = c->vprefix_addr6;
        ret->s6_addr[15] |= offset;
        return true;
    }
    if (!parse_ipv6(name, text, ret, error)) {
        return false;
    }
    return in_prefix(c, ret) || error_set(error, "%s='%s' lies outside the network", name, text);
}

/* ADDRESS[/BITS]; or its two parts in options of their own. */
static bool parse_prefix(const NetUserOptions *o, SlirpConfig *c, GError **error)
{
    g_auto(GStrv) parts = o->ipv6_net ? g_strsplit(o->ipv6_net, "/", 2) : NULL;
    guint64 bits = o->has_ipv6_prefixlen ? (guint64)o->ipv6_prefixlen : IPV6_BITS;

    if (o->ipv6_net && (o->ipv6_prefix || o->has_ipv6_prefixlen)) {
        return error_set(error, "ipv6-net says all that ipv6-prefix and ipv6-prefixlen do: leave these out");
    }
    if (parts && parts[0] && parts[1] &&
        !g_ascii_string_to_unsigned(parts[1], 10, IPV6_BITS_MIN, IPV6_BITS_MAX, &bits, NULL)) {
        return error_set(error, "ipv6-net='%s' has no length of %d to %d bits", o->ipv6_net, IPV6_BITS_MIN,
                         IPV6_BITS_MAX);
    }
    c->vprefix_len = (uint8_t)bits;
    if (parts) {
        return parse_ipv6("ipv6-net", parts[0] ? parts[0] : "", &c->vprefix_addr6, error);
    }
    return parse_ipv6("ipv6-prefix", o->ipv6_prefix ? o->ipv6_prefix : "fec0::", &c->vprefix_addr6, error);
}

static bool configure_ipv6(const NetUserOptions *o, SlirpConfig *c, GError **error)
{
    if (!parse_prefix(o, c, error) ||
        !choose_ipv6(c, "ipv6-host", o->ipv6_host, HOST_OFFSET, &c->vhost6, error) ||
        !choose_ipv6(c, "ipv6-dns", o->ipv6_dns, DNS_OFFSET, &c->vnameserver6, error)) {
        return false;
    }
    if (memcmp(&c->vhost6, &c->vnameserver6, sizeof(c->vhost6)) == 0) {
        return error_set(error, "ipv6-host and ipv6-dns are the same address");
    }
    return true;
}

/* ---- all of it ---- */

/* DHCP has one byte for the length of a text. */
static bool check_name(const char *name, const char *text, GError **error)
{
    return !text || strlen(text) <= DHCP_NAME_MAX ||
           error_set(error, "%s is longer than %d bytes", name, DHCP_NAME_MAX);
}

/* libslirp looks at it when the guest asks. */
static bool check_folder(const char *path, GError **error)
{
    if (path && (!g_file_test(path, G_FILE_TEST_IS_DIR) || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)) {
        error_set(error, "tftp='%s' is no folder that this user can see", path);
        return error_hint(error, "Check the path, and that the user who runs lodge may enter it.");
    }
    return true;
}

static bool choose_families(const NetUserOptions *o, SlirpConfig *c, GError **error)
{
    c->in_enabled = o->has_ipv4 ? o->ipv4 : !(o->has_ipv6 && o->ipv6);
    c->in6_enabled = o->has_ipv6 ? o->ipv6 : !(o->has_ipv4 && o->ipv4);
    if (!c->in_enabled && !c->in6_enabled) {
        return error_set(error, "ipv4 and ipv6 are both off");
    }
    return true;
}

static char **list_of(const FieldList *list)
{
    char **texts = list->n ? g_new0(char *, list->n + 1) : NULL;

    for (unsigned i = 0; i < list->n; i++) {
        texts[i] = g_strdup(FIELD_LIST_AT(*list, NetString, i).str);
    }
    return texts;
}

bool net_user_configure(const NetUserOptions *o, SlirpConfig *ret, char ***ret_dnssearch, GError **error)
{
    *ret = (SlirpConfig) {
        .version = 1,
        .restricted = o->restricted,
        .vhostname = o->hostname,
        .tftp_server_name = o->tftp_server_name,
        .tftp_path = o->tftp,
        .bootfile = o->bootfile,
        .vdomainname = o->domainname,
    };
    if (o->smb || o->smbserver) {
        error_set(error, "smb= is not offered: lodge starts no file server");
        return error_hint(error, "Run one on the host, which the guest finds at %s; or offer files by tftp=.",
                          o->host ? o->host : "the network's gateway");
    }
    if (!choose_families(o, ret, error) || !configure_ipv4(o, ret, error) || !configure_ipv6(o, ret, error) ||
        !check_name("hostname", o->hostname, error) || !check_name("domainname", o->domainname, error) ||
        !check_name("tftp-server-name", o->tftp_server_name, error) || !check_name("bootfile", o->bootfile, error) ||
        !check_folder(o->tftp, error)) {
        return false;
    }
    *ret_dnssearch = list_of(&o->dnssearch);
    ret->vdnssearch = (const char **)*ret_dnssearch;
    return true;
}

EgressPlace net_user_place(const NetUser *u, const SlirpConfig *c)
{
    return (EgressPlace) {
        .id = u->backend.id, .ipv4 = c->in_enabled, .ipv6 = c->in6_enabled, .tftp = c->tftp_path != NULL,
        .network4 = egress_address4(c->vnetwork.s_addr), .gateway4 = egress_address4(c->vhost.s_addr),
        .dns4 = egress_address4(c->vnameserver.s_addr),
        .bits4 = 96 + (unsigned)__builtin_popcount(c->vnetmask.s_addr),
        .network6 = egress_address6(&c->vprefix_addr6), .gateway6 = egress_address6(&c->vhost6),
        .dns6 = egress_address6(&c->vnameserver6), .bits6 = c->vprefix_len, .forwards = u->opened,
    };
}
