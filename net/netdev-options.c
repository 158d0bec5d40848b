/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The language of backends, one for -netdev and netdev_add: a union by `type`.  Names and meanings
 * are QEMU 7.2's (qapi/net.json).  As text, a key that lists something is repeated
 * (hostfwd=A,hostfwd=B).
 *
 * Main thread.
 */
#include "net/netdev-options.h"

#include <string.h>

#include "vmm/error.h"
#include "vmm/json.h"

/* ---- one struct a backend ---- */

static const FieldStruct string_struct = FIELD_TABLE(
    "String", NetString, "A text", F_STR("str", NetString, str, NULL, .flags = FIELD_REQUIRED, .help = "The text"));
static const Field string_element = FIELD_VALUE(FIELD_STRUCT, NetString, .of.structure = &string_struct);

static const FieldStruct user_options = FIELD_TABLE(
    "NetdevUserOptions", NetUserOptions, "A network of the domain's own, which reaches out as this process does",
    F_STR("hostname", NetUserOptions, hostname, NULL, .help = "Name of the guest that DHCP tells"),
    F_BOOL("restrict", NetUserOptions, restricted, false, .help = "Let the guest reach nothing but what is forwarded"),
    F_BOOL("ipv4", NetUserOptions, ipv4, true, FIELD_HAS(NetUserOptions, has_ipv4), .help = "IPv4 (default: on)"),
    F_BOOL("ipv6", NetUserOptions, ipv6, true, FIELD_HAS(NetUserOptions, has_ipv6), .help = "IPv6 (default: on)"),
    F_STR("net", NetUserOptions, net, NULL, .help = "The network, ADDRESS[/BITS] (default: 10.0.2.0/24)"),
    F_STR("ip", NetUserOptions, ip, NULL, .flags = FIELD_HIDDEN, .help = "Older name of net"),
    F_STR("host", NetUserOptions, host, NULL, .help = "Its gateway, which is the host (default: the 2nd address)"),
    F_STR("tftp", NetUserOptions, tftp, NULL, .help = "Folder that a TFTP server offers"),
    F_STR("bootfile", NetUserOptions, bootfile, NULL, .help = "File that DHCP tells to boot"),
    F_STR("dhcpstart", NetUserOptions, dhcpstart, NULL, .help = "First address that DHCP gives (default: the 15th)"),
    F_STR("dns", NetUserOptions, dns, NULL,
          .help = "Its name server, which asks the host's (default: the 3rd address)"),
    F_LIST("dnssearch", NetUserOptions, dnssearch, &string_element,
           .help = "Domain to look names up in; more than once"),
    F_STR("domainname", NetUserOptions, domainname, NULL, .help = "Domain that DHCP tells"),
    F_STR("ipv6-net", NetUserOptions, ipv6_net, NULL, .help = "The IPv6 network, ADDRESS[/BITS] (default: fec0::/64)"),
    F_STR("ipv6-prefix", NetUserOptions, ipv6_prefix, NULL, .help = "The same without its length"),
    F_INT("ipv6-prefixlen", NetUserOptions, ipv6_prefixlen, 64, FIELD_HAS(NetUserOptions, has_ipv6_prefixlen),
          .min = 1, .max = 126, .help = "Its length in bits"),
    F_STR("ipv6-host", NetUserOptions, ipv6_host, NULL, .help = "Its IPv6 gateway (default: the 2nd address)"),
    F_STR("ipv6-dns", NetUserOptions, ipv6_dns, NULL, .help = "Its IPv6 name server (default: the 3rd address)"),
    F_LIST("hostfwd", NetUserOptions, hostfwd, &string_element,
           .help = "[tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT: forward to the guest; more than once"),
    F_LIST("guestfwd", NetUserOptions, guestfwd, &string_element,
           .help = "[tcp]:ADDR:PORT-CHARDEV: forward what the guest sends there; PORT-cmd:PROGRAM: start one for each "
                   "connection; more than once"),
    F_STR("tftp-server-name", NetUserOptions, tftp_server_name, NULL,
          .help = "Name of the TFTP server that DHCP tells"),
    F_STR("smb", NetUserOptions, smb, NULL, .flags = FIELD_HIDDEN, .help = "Refused: there is no file server here"),
    F_STR("smbserver", NetUserOptions, smbserver, NULL, .flags = FIELD_HIDDEN, .help = "Refused, as smb is"),
    F_STR("egress", NetUserOptions, egress, NULL,
          .help = "Id of an -object egress-policy, which says what the guest may reach (default: everything)"));

static const FieldStruct hub_options = FIELD_TABLE(
    "NetdevHubPortOptions", NetHubOptions, "A port of a hub in this process",
    F_INT("hubid", NetHubOptions, hub, 0, .flags = FIELD_REQUIRED, .min = 0, .max = INT32_MAX, .help = "Which hub"),
    F_STR("netdev", NetHubOptions, netdev, NULL, .help = "Another netdev, to be connected to it in place of a device"));

static const FieldStruct tap_options = FIELD_TABLE("NetdevTapOptions", NetTapOptions, "A TAP interface of the host",
    F_STR("ifname", NetTapOptions, ifname, NULL, .help = "Its name; without it the host chooses one"),
    F_STR("fd", NetTapOptions, fd, NULL, .help = "Descriptor of an open one: inherited, or by its name from getfd"),
    F_STR("fds", NetTapOptions, fds, NULL, .help = "Descriptors of its queues, A:B and on"),
    F_STR("script", NetTapOptions, script, NULL,
          .help = "Program that sets it up, or no (default: /etc/qemu-ifup, if there is one)"),
    F_STR("downscript", NetTapOptions, downscript, NULL,
          .help = "Program that takes it down, or no (default: /etc/qemu-ifdown, if there is one)"),
    F_SIZE("sndbuf", NetTapOptions, sndbuf, 0, .help = "Bytes that may wait to be sent; 0: as many as may be"),
    F_BOOL("vnet_hdr", NetTapOptions, vnet_hdr, true, FIELD_HAS(NetTapOptions, has_vnet_hdr),
           .help = "Leave checksums and segmentation to the host (default: on)"),
    F_UINT("queues", NetTapOptions, queues, 1, FIELD_HAS(NetTapOptions, has_queues), .min = 1, .max = 128,
           .help = "Queues that it is made with (default: 1)"),
    F_STR("br", NetTapOptions, br, NULL, .help = "Bridge that a helper program puts it into (default: br0)"),
    F_STR("helper", NetTapOptions, helper, NULL, .help = "That program (default: qemu-bridge-helper)"),
    F_BOOL("vhost", NetTapOptions, vhost, false, FIELD_HAS(NetTapOptions, has_vhost),
           .help = "Let the host's kernel serve the queues (vhost-net), if it can"),
    F_STR("vhostfd", NetTapOptions, vhostfd, NULL, .help = "Descriptor of an open /dev/vhost-net"),
    F_STR("vhostfds", NetTapOptions, vhostfds, NULL, .help = "One for each queue, A:B and on"),
    F_BOOL("vhostforce", NetTapOptions, vhostforce, false, .help = "Refuse to go on if the kernel cannot serve them"));

static const FieldStruct bridge_options = FIELD_TABLE("NetdevBridgeOptions", NetBridgeOptions,
    "A TAP interface at a bridge, made by a helper program that may",
    F_STR("br", NetBridgeOptions, br, NULL, .help = "The bridge (default: br0)"),
    F_STR("helper", NetBridgeOptions, helper, NULL, .help = "The program (default: qemu-bridge-helper)"));

static const FieldStruct vhost_user_options = FIELD_TABLE("NetdevVhostUserOptions", NetVhostUserOptions,
    "Another process that serves the queues (vhost-user): a switch, passt",
    F_STR("chardev", NetVhostUserOptions, chardev, NULL, .flags = FIELD_REQUIRED, .help = "Socket to it"),
    F_BOOL("vhostforce", NetVhostUserOptions, vhostforce, false, .help = "Says nothing: there is no other way"),
    F_UINT("queues", NetVhostUserOptions, queues, 1, FIELD_HAS(NetVhostUserOptions, has_queues), .min = 1, .max = 128,
           .help = "Queues (default: 1)"));

static const FieldStruct stream_options = FIELD_TABLE("NetdevStreamOptions", NetStreamOptions,
    "A stream socket, to another virtual machine, passt or a switch",
    F_STRUCT("addr", NetStreamOptions, addr, &socket_address_struct, .flags = FIELD_REQUIRED, .help = "Its address"),
    F_BOOL("server", NetStreamOptions, server, false, .help = "Listen instead of connecting"),
    F_UINT("reconnect", NetStreamOptions, reconnect, 0, .help = "Seconds between attempts to connect; 0: one attempt"));

static const FieldStruct dgram_options = FIELD_TABLE("NetdevDgramOptions", NetDgramOptions,
    "A datagram socket, to another virtual machine or a switch",
    F_STRUCT("local", NetDgramOptions, local, &socket_address_struct, .flags = FIELD_POINTER,
             .help = "Its own address, or a descriptor; with a group: the interface's, and the port has no effect"),
    F_STRUCT("remote", NetDgramOptions, remote, &socket_address_struct, .flags = FIELD_POINTER,
             .help = "Where it sends to; a multicast group of IPv4: the group it is in"));

static const FieldStruct socket_options = FIELD_TABLE("NetdevSocketOptions", NetSocketOptions,
    "A socket in the older spelling: stream and dgram say more",
    F_STR("fd", NetSocketOptions, fd, NULL, .help = "Descriptor of a connected stream socket"),
    F_STR("listen", NetSocketOptions, listen, NULL, .help = "[HOST]:PORT to listen on"),
    F_STR("connect", NetSocketOptions, connect, NULL, .help = "HOST:PORT to connect to"),
    F_STR("mcast", NetSocketOptions, mcast, NULL, .help = "GROUP:PORT of a multicast group to be in"),
    F_STR("udp", NetSocketOptions, udp, NULL, .help = "HOST:PORT to send datagrams to"),
    F_STR("localaddr", NetSocketOptions, localaddr, NULL,
          .help = "HOST:PORT to receive datagrams at; with mcast, address of the interface"));

/* ---- the union ---- */

typedef enum Backend {
    BACKEND_BRIDGE, BACKEND_DGRAM, BACKEND_HUBPORT, BACKEND_SOCKET, BACKEND_STREAM, BACKEND_TAP, BACKEND_USER,
    BACKEND_VHOST_USER
} Backend;
static const FieldEnum backend_enum = {
    "NetClientDriver",
    (const char *const[]) { "bridge", "dgram", "hubport", "socket", "stream", "tap", "user", "vhost-user", NULL }
};
static const NetClass *const classes[] = {
    [BACKEND_BRIDGE] = &net_bridge_class,   [BACKEND_DGRAM] = &net_dgram_class,
    [BACKEND_HUBPORT] = &net_hubport_class, [BACKEND_SOCKET] = &net_socket_class,
    [BACKEND_STREAM] = &net_stream_class,   [BACKEND_TAP] = &net_tap_class,
    [BACKEND_USER] = &net_user_class,       [BACKEND_VHOST_USER] = &net_vhost_user_class,
};

typedef struct NetdevOptions {
    char *id;
    int type;
    void *options;
} NetdevOptions;

const FieldStruct netdev_options = {
    .name = "Netdev", .size = sizeof(NetdevOptions), .help = "The host's end of a NIC",
    .fields = (const Field[]) {
        F_STR("id", NetdevOptions, id, NULL, .flags = FIELD_REQUIRED, .help = "Its id"),
        F_ENUM("type", NetdevOptions, type, &backend_enum, 0, .flags = FIELD_REQUIRED, .help = "Kind of backend"),
        FIELD_END,
    },
    .tag = "type",
    .cases = (const FieldCase[]) {
        { "bridge", &bridge_options }, { "dgram", &dgram_options }, { "hubport", &hub_options },
        { "socket", &socket_options }, { "stream", &stream_options }, { "tap", &tap_options },
        { "user", &user_options }, { "vhost-user", &vhost_user_options }, { NULL, NULL },
    },
    .variant_offset = offsetof(NetdevOptions, options),
};

/* ---- making one ---- */

/* The older spelling means either kind of socket. */
static const NetClass *class_of(const NetdevOptions *o)
{
    const NetSocketOptions *socket = o->options;

    if (o->type == BACKEND_SOCKET && (socket->udp || socket->mcast || socket->localaddr)) {
        return &net_socket_dgram_class;
    }
    return classes[o->type];
}

bool netdev_add(Domain *domain, const Json *json, bool lenient, GError **error)
{
    NetdevOptions o;
    bool ok;

    if (!field_struct_parse(&netdev_options, json, lenient ? FIELD_LENIENT : FIELD_STRICT, &o, error)) {
        return false;
    }
    ok = netdev_create(domain, o.id, class_of(&o), o.options, error) != NULL;
    field_struct_clear(&netdev_options, &o);
    return ok;
}

static Json *wrap(const char *text)
{
    Json *object = json_new_object();

    json_object_put_member(object, "str", json_new_string(text));
    return object;
}

/* A text, or several of them, becomes what QMP has. */
static Json *wrap_all(const Json *value)
{
    Json *list = json_new_array();

    if (json_type_of(value) == JSON_STRING) {
        json_array_put(list, wrap(json_get_string(value)));
    }
    for (size_t i = 0; json_type_of(value) == JSON_ARRAY && i < json_array_length(value); i++) {
        const Json *one = json_array_get(value, i);

        json_array_put(list, json_type_of(one) == JSON_STRING ? wrap(json_get_string(one)) : json_ref((Json *)one));
    }
    return list;
}

Json *netdev_json_from_text(const char *text, GError **error)
{
    static const char *const lists[] = { "dnssearch", "guestfwd", "hostfwd" };
    Json *json = keyval_parse(text, "type", error);

    for (unsigned i = 0; json && text[0] != '{' && i < G_N_ELEMENTS(lists); i++) {
        const Json *value = json_object_get_member(json, lists[i]);

        if (value) {
            json_object_put_member(json, lists[i], wrap_all(value));
        }
    }
    return json;
}

bool netdev_add_text(Domain *domain, const char *text, GError **error)
{
    g_autoptr(Json) json = netdev_json_from_text(text, error);

    return json && netdev_add(domain, json, true, error);
}

static void types_help(GString *out)
{
    g_string_append(out, "Network backends (-netdev TYPE,id=ID,...; -netdev TYPE,help lists the options):\n");
    for (const FieldCase *c = netdev_options.cases; c->value; c++) {
        g_string_append_printf(out, "  %-10s %s\n", c->value, c->structure->help);
    }
}

bool netdev_help(const char *type, GString *out, GError **error)
{
    const char *nearest;

    if (!type) {
        types_help(out);
        return true;
    }
    for (const FieldCase *c = netdev_options.cases; c->value; c++) {
        if (g_str_equal(c->value, type)) {
            g_autofree char *title = g_strdup_printf("%s options", type);

            field_struct_help(c->structure, title, out);
            return true;
        }
    }
    error_set(error, "There is no network backend '%s'", type);
    nearest = error_nearest(type, backend_enum.values);
    return nearest ? error_hint(error, "Did you mean '%s'?", nearest) : error_hint(error, "See -netdev help.");
}
