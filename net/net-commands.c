/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See net/net-commands.h.  Names and members are QEMU 7.2's (qapi/net.json), but for query-nics, which
 * it does not have.
 */
#include "net/net-commands.h"

#include <string.h>

#include "net/announce.h"
#include "net/usernet.h"
#include "vmm/error.h"

/* ---- making and removing ---- */

static bool add(CommandCall *call, const void *args, void *ret, GError **error)
{
    g_autoptr(Json) none = json_new_object();

    return netdev_add(call->domain, call->arguments ? call->arguments : none, call->lenient, error);
}

typedef struct IdArgs { char *id; } IdArgs;
static const FieldStruct id_args = {
    .name = "NetdevDelArguments", .size = sizeof(IdArgs),
    .fields = (const Field[]) {
        F_STR("id", IdArgs, id, NULL, .flags = FIELD_REQUIRED, .help = "Id of the netdev"), FIELD_END
    },
};

static bool del(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const IdArgs *args = opaque;

    return netdev_del(call->domain, args->id, error);
}

typedef struct LinkArgs { char *name; bool up; } LinkArgs;
static const FieldStruct link_args = {
    .name = "SetLinkArguments", .size = sizeof(LinkArgs),
    .fields = (const Field[]) {
        F_STR("name", LinkArgs, name, NULL, .flags = FIELD_REQUIRED, .help = "Name of the NIC, or id of the netdev"),
        F_BOOL("up", LinkArgs, up, false, .flags = FIELD_REQUIRED, .help = "Whether its cable is plugged in"),
        FIELD_END
    },
};

static bool set_link(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const LinkArgs *args = opaque;

    return net_set_link(call->domain, args->name, args->up, error);
}

/* ---- query-rx-filter ---- */

static const FieldEnum rx_state_enum = { "RxState", (const char *const[]) { "normal", "none", "all", NULL } };
static const Field mac_element = FIELD_VALUE(FIELD_STR, char *, .flags = FIELD_REQUIRED);
static const Field vlan_element = FIELD_VALUE(FIELD_INT, int64_t);

typedef struct RxFilterInfo {
    char *name, *main_mac;
    bool promiscuous, broadcast, multicast_overflow, unicast_overflow;
    int multicast, unicast, vlan;
    FieldList vlan_table, unicast_table, multicast_table;
} RxFilterInfo;
static const FieldStruct rx_filter_info = {
    .name = "RxFilterInfo", .size = sizeof(RxFilterInfo),
    .fields = (const Field[]) {
        F_STR("name", RxFilterInfo, name, NULL, .flags = FIELD_REQUIRED, .help = "Name of the NIC"),
        F_BOOL("promiscuous", RxFilterInfo, promiscuous, false, .flags = FIELD_REQUIRED,
               .help = "It takes every frame"),
        F_ENUM("multicast", RxFilterInfo, multicast, &rx_state_enum, 0, .flags = FIELD_REQUIRED,
               .help = "Which multicast frames it takes"),
        F_ENUM("unicast", RxFilterInfo, unicast, &rx_state_enum, 0, .flags = FIELD_REQUIRED,
               .help = "Which unicast frames it takes"),
        F_ENUM("vlan", RxFilterInfo, vlan, &rx_state_enum, 0, .flags = FIELD_REQUIRED,
               .help = "Which VLANs it takes"),
        F_BOOL("broadcast-allowed", RxFilterInfo, broadcast, false, .flags = FIELD_REQUIRED,
               .help = "It takes broadcasts"),
        F_BOOL("multicast-overflow", RxFilterInfo, multicast_overflow, false, .flags = FIELD_REQUIRED,
               .help = "More multicast addresses than there is room for: it takes all"),
        F_BOOL("unicast-overflow", RxFilterInfo, unicast_overflow, false, .flags = FIELD_REQUIRED,
               .help = "More unicast addresses than there is room for: it takes all"),
        F_STR("main-mac", RxFilterInfo, main_mac, NULL, .flags = FIELD_REQUIRED, .help = "Its own address"),
        F_LIST("vlan-table", RxFilterInfo, vlan_table, &vlan_element, .flags = FIELD_REQUIRED, .help = "VLANs"),
        F_LIST("unicast-table", RxFilterInfo, unicast_table, &mac_element, .flags = FIELD_REQUIRED,
               .help = "Unicast addresses"),
        F_LIST("multicast-table", RxFilterInfo, multicast_table, &mac_element, .flags = FIELD_REQUIRED,
               .help = "Multicast addresses"),
        FIELD_END
    },
};
static const Field rx_filter_element = FIELD_VALUE(FIELD_STRUCT, RxFilterInfo, .of.structure = &rx_filter_info);

static FieldList macs_of(const GArray *macs)
{
    FieldList list = { .items = g_new0(char *, macs->len + 1), .n = macs->len };

    for (unsigned i = 0; i < macs->len; i++) {
        FIELD_LIST_AT(list, char *, i) = net_mac_codec.format(macs->data + (size_t)i * NET_MAC_BYTES);
    }
    return list;
}

static FieldList vlans_of(const GArray *vlans)
{
    FieldList list = { .items = g_new0(int64_t, vlans->len + 1), .n = vlans->len };

    for (unsigned i = 0; i < vlans->len; i++) {
        FIELD_LIST_AT(list, int64_t, i) = g_array_index(vlans, uint16_t, i);
    }
    return list;
}

static NetRxFilter look_at_filter(NetNic *nic)
{
    NetRxFilter f = {
        .unicasts = g_array_new(FALSE, FALSE, NET_MAC_BYTES), .multicasts = g_array_new(FALSE, FALSE, NET_MAC_BYTES),
        .vlans = g_array_new(FALSE, FALSE, sizeof(uint16_t)),
    };

    nic->ops->look_at_filter(nic, &f);
    return f;
}

static void free_filter(NetRxFilter *f)
{
    g_array_unref(f->unicasts);
    g_array_unref(f->multicasts);
    g_array_unref(f->vlans);
}

/* The guest may have changed it. */
static char *current_mac(NetNic *nic)
{
    NetRxFilter f;
    char *mac;

    if (!nic->ops->look_at_filter) {
        return net_mac_codec.format(nic->mac);
    }
    f = look_at_filter(nic);
    mac = net_mac_codec.format(f.mac);
    free_filter(&f);
    return mac;
}

typedef struct FilterQuery { const char *name; FieldList *list; bool found; } FilterQuery;

static bool add_filter(NetNic *nic, void *opaque)
{
    FilterQuery *q = opaque;
    NetRxFilter f;

    if (q->name && strcmp(q->name, nic->name) != 0) {
        return true;
    }
    q->found = true;
    if (!nic->ops->look_at_filter) {
        return true;
    }
    f = look_at_filter(nic);
    __atomic_store_n(&nic->filter_told, false, __ATOMIC_SEQ_CST);
    q->list->items = g_renew(RxFilterInfo, q->list->items, q->list->n + 1);
    FIELD_LIST_AT(*q->list, RxFilterInfo, q->list->n++) = (RxFilterInfo) {
        .name = g_strdup(nic->name), .main_mac = net_mac_codec.format(f.mac), .promiscuous = f.promiscuous,
        .broadcast = f.broadcast, .multicast_overflow = f.multicast_overflow, .unicast_overflow = f.unicast_overflow,
        .multicast = f.multicast, .unicast = f.unicast, .vlan = f.vlan, .vlan_table = vlans_of(f.vlans),
        .unicast_table = macs_of(f.unicasts), .multicast_table = macs_of(f.multicasts),
    };
    free_filter(&f);
    return true;
}

typedef struct FilterArgs { char *name; } FilterArgs;
static const FieldStruct filter_args = {
    .name = "QueryRxFilterArguments", .size = sizeof(FilterArgs),
    .fields = (const Field[]) { F_STR("name", FilterArgs, name, NULL, .help = "Only this NIC"), FIELD_END },
};

static bool query_rx_filter(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const FilterArgs *args = opaque;
    FilterQuery q = { .name = args->name, .list = ret };

    net_nic_each(call->domain, add_filter, &q);
    if (args->name && !q.found) {
        return error_set(error, "invalid net client name: %s", args->name);
    }
    if (args->name && !q.list->n) {
        return error_set(error, "net client(%s) doesn't support rx-filter querying", args->name);
    }
    return true;
}

typedef struct FilterChanged { char *name, *path; } FilterChanged;
static const FieldStruct filter_changed = {
    .name = "NicRxFilterChanged", .size = sizeof(FilterChanged),
    .fields = (const Field[]) {
        F_STR("name", FilterChanged, name, NULL, .help = "Name of the NIC"),
        F_STR("path", FilterChanged, path, NULL, .flags = FIELD_REQUIRED, .help = "Its path"),
        FIELD_END
    },
};
const EventType event_nic_rx_filter_changed = {
    .name = "NIC_RX_FILTER_CHANGED", .data = &filter_changed,
    .help = "The guest has changed which frames a NIC takes; once until query-rx-filter",
};

void net_filter_changed(NetNic *nic)
{
    if (!__atomic_exchange_n(&nic->filter_told, true, __ATOMIC_SEQ_CST)) {
        event_emit(nic->domain, &event_nic_rx_filter_changed,
                   &(FilterChanged) { .name = nic->name, .path = (char *)nic->path });
    }
}

/* ---- announce-self ---- */

static const Field name_element = FIELD_VALUE(FIELD_STR, char *, .flags = FIELD_REQUIRED);
typedef struct AnnounceArgs {
    NetAnnounce p;
    char *id;
    FieldList interfaces;
    bool has_interfaces;
} AnnounceArgs;
static const FieldStruct announce_args = {
    .name = "AnnounceParameters", .size = sizeof(AnnounceArgs),
    .fields = (const Field[]) {
        F_UINT("initial", AnnounceArgs, p.initial, 0, .flags = FIELD_REQUIRED, .max = 100 * 1000,
               .help = "ms from the first round to the second"),
        F_UINT("max", AnnounceArgs, p.max, 0, .flags = FIELD_REQUIRED, .max = 100 * 1000,
               .help = "ms between rounds, at most"),
        F_UINT("rounds", AnnounceArgs, p.rounds, 0, .flags = FIELD_REQUIRED, .max = 1000,
               .help = "How often they are announced; 0: those of this id no more"),
        F_UINT("step", AnnounceArgs, p.step, 0, .flags = FIELD_REQUIRED, .max = 10 * 1000,
               .help = "ms by which each round comes later"),
        F_LIST("interfaces", AnnounceArgs, interfaces, &name_element, FIELD_HAS(AnnounceArgs, has_interfaces),
               .help = "Names of the NICs (default: all)"),
        F_STR("id", AnnounceArgs, id, NULL, .help = "Ends an announcement of the same id that is under way"),
        FIELD_END
    },
};

static bool announce_self(CommandCall *call, const void *opaque, void *ret, GError **error)
{
    const AnnounceArgs *args = opaque;
    NetAnnounce p = args->p;
    g_autofree char **names = g_new0(char *, args->interfaces.n + 1);

    for (size_t i = 0; i < args->interfaces.n; i++) {
        names[i] = FIELD_LIST_AT(args->interfaces, char *, i);
    }
    p.interfaces = args->has_interfaces ? names : NULL;
    net_announce_self(call->domain, args->id ? args->id : "", &p);
    return true;
}

/* ---- streams ---- */

typedef struct StreamEvent { char *id; SocketAddress addr; } StreamEvent;
static const FieldStruct stream_connected = {
    .name = "NetdevStreamConnected", .size = sizeof(StreamEvent),
    .fields = (const Field[]) {
        F_STR("netdev-id", StreamEvent, id, NULL, .flags = FIELD_REQUIRED, .help = "Id of the netdev"),
        F_STRUCT("addr", StreamEvent, addr, &socket_address_struct, .flags = FIELD_REQUIRED, .help = "Its address"),
        FIELD_END
    },
};
const EventType event_netdev_stream_connected = {
    .name = "NETDEV_STREAM_CONNECTED", .data = &stream_connected, .help = "The peer of a stream netdev came",
};
static const FieldStruct stream_disconnected = {
    .name = "NetdevStreamDisconnected", .size = sizeof(StreamEvent),
    .fields = (const Field[]) {
        F_STR("netdev-id", StreamEvent, id, NULL, .flags = FIELD_REQUIRED, .help = "Id of the netdev"), FIELD_END
    },
};
const EventType event_netdev_stream_disconnected = {
    .name = "NETDEV_STREAM_DISCONNECTED", .data = &stream_disconnected, .help = "The peer of a stream netdev went",
};

void net_stream_connected(NetBackend *b, const SocketAddress *address)
{
    event_emit(b->domain, &event_netdev_stream_connected, &(StreamEvent) { .id = b->id, .addr = *address });
}

void net_stream_disconnected(NetBackend *b)
{
    event_emit(b->domain, &event_netdev_stream_disconnected, &(StreamEvent) { .id = b->id });
}

/* ---- query-nics ---- */

typedef struct CountersInfo { uint64_t packets, bytes, dropped, errors; } CountersInfo;
static const FieldStruct counters_info = {
    .name = "NicCounters", .size = sizeof(CountersInfo),
    .fields = (const Field[]) {
        F_UINT("packets", CountersInfo, packets, 0, .flags = FIELD_REQUIRED, .help = "Frames"),
        F_UINT("bytes", CountersInfo, bytes, 0, .flags = FIELD_REQUIRED, .help = "Bytes in them"),
        F_UINT("dropped", CountersInfo, dropped, 0, .flags = FIELD_REQUIRED,
               .help = "Frames lost for want of room, or of a link"),
        F_UINT("errors", CountersInfo, errors, 0, .flags = FIELD_REQUIRED, .help = "Frames that were none"),
        FIELD_END
    },
};
typedef struct QueueInfo { CountersInfo sent, received; } QueueInfo;
static const FieldStruct queue_info = {
    .name = "NicQueueInfo", .size = sizeof(QueueInfo),
    .fields = (const Field[]) {
        F_STRUCT("sent", QueueInfo, sent, &counters_info, .flags = FIELD_REQUIRED, .help = "By the guest"),
        F_STRUCT("received", QueueInfo, received, &counters_info, .flags = FIELD_REQUIRED, .help = "By the guest"),
        FIELD_END
    },
};
static const Field queue_element = FIELD_VALUE(FIELD_STRUCT, QueueInfo, .of.structure = &queue_info);

typedef struct NicInfo { char *name, *model, *mac, *netdev; bool link; FieldList queues; } NicInfo;
static const FieldStruct nic_info = {
    .name = "NicInfo", .size = sizeof(NicInfo),
    .fields = (const Field[]) {
        F_STR("name", NicInfo, name, NULL, .flags = FIELD_REQUIRED, .help = "Its name, for set_link"),
        F_STR("model", NicInfo, model, NULL, .flags = FIELD_REQUIRED, .help = "Kind of device"),
        F_STR("mac", NicInfo, mac, NULL, .flags = FIELD_REQUIRED, .help = "Its address"),
        F_STR("netdev", NicInfo, netdev, NULL, .help = "What stands behind it"),
        F_BOOL("link", NicInfo, link, false, .flags = FIELD_REQUIRED, .help = "Whether its link is up"),
        F_LIST("queues", NicInfo, queues, &queue_element, .flags = FIELD_REQUIRED, .help = "Its queues, in order"),
        FIELD_END
    },
};
static const Field nic_element = FIELD_VALUE(FIELD_STRUCT, NicInfo, .of.structure = &nic_info);

static CountersInfo look(const NetCounters *c)
{
    return (CountersInfo) {
        .packets = __atomic_load_n(&c->packets, __ATOMIC_RELAXED),
        .bytes = __atomic_load_n(&c->bytes, __ATOMIC_RELAXED),
        .dropped = __atomic_load_n(&c->dropped, __ATOMIC_RELAXED),
        .errors = __atomic_load_n(&c->errors, __ATOMIC_RELAXED),
    };
}

static bool add_nic(NetNic *nic, void *opaque)
{
    FieldList *list = opaque;
    NicInfo info = { .name = g_strdup(nic->name), .model = g_strdup(nic->model), .mac = net_mac_codec.format(nic->mac),
                     .netdev = nic->linked ? g_strdup(nic->backend->id) : NULL, .link = net_nic_link_up(nic),
                     .queues = { g_new0(QueueInfo, nic->queues), nic->queues } };

    for (unsigned i = 0; i < nic->queues; i++) {
        FIELD_LIST_AT(info.queues, QueueInfo, i) =
            (QueueInfo) { look(&nic->queue[i].sent), look(&nic->queue[i].received) };
    }
    list->items = g_renew(NicInfo, list->items, list->n + 1);
    FIELD_LIST_AT(*list, NicInfo, list->n++) = info;
    return true;
}

static bool query_nics(CommandCall *call, const void *args, void *ret, GError **error)
{
    net_nic_each(call->domain, add_nic, ret);
    return true;
}

/* ---- info network, info usernet ---- */

static void describe_backend(const NetBackend *b, GString *out)
{
    g_string_append_printf(out, "%s: index=0,type=%s%s%s\n", b->id, b->class->name, b->info ? "," : "",
                           b->info ? b->info : "");
}

static bool describe_nic(NetNic *nic, void *opaque)
{
    g_autofree char *mac = current_mac(nic);
    GString *out = opaque;

    g_string_append_printf(out, "%s: index=0,type=nic,model=%s,macaddr=%s%s\n", nic->name, nic->model, mac,
                           nic->linked && !net_is_up(nic) ? ",link=down" : "");
    if (nic->linked) {
        g_string_append(out, " \\ ");
        describe_backend(nic->backend, out);
    }
    return true;
}

static bool describe_free(NetBackend *b, void *opaque)
{
    if (!b->nic || !b->nic->model) {
        describe_backend(b, opaque);
    }
    return true;
}

void net_info(Domain *domain, GString *out)
{
    net_nic_each(domain, describe_nic, out);
    netdev_each(domain, describe_free, out);
}

typedef struct TextReturn { char *text; } TextReturn;
static const FieldStruct text_return = {
    .name = "HumanReadableText", .size = sizeof(TextReturn),
    .fields = (const Field[]) {
        F_STR("human-readable-text", TextReturn, text, NULL, .flags = FIELD_REQUIRED, .help = "The text"), FIELD_END
    },
};

static bool query_usernet(CommandCall *call, const void *args, void *opaque, GError **error)
{
    GString *out = g_string_new(NULL);
    TextReturn *ret = opaque;

    net_usernet_info(call->domain, out);
    ret->text = g_string_free(out, FALSE);
    return true;
}

const Command net_commands[] = {
    { "netdev_add", add, &netdev_options, .flags = COMMAND_UNCHECKED, .help = "Add a network backend" },
    { "netdev_del", del, &id_args, .help = "Remove a network backend; a NIC at it stays, without a link" },
    { "set_link", set_link, &link_args, .help = "Plug in or pull the cable of a NIC" },
    { "announce-self", announce_self, &announce_args, .help = "Tell switches and neighbours where the NICs are" },
    { "query-rx-filter", query_rx_filter, &filter_args, COMMAND_RETURNS_LIST(&rx_filter_element),
      .help = "Show which frames NICs take" },
    { "query-nics", query_nics, NULL, COMMAND_RETURNS_LIST(&nic_element),
      .help = "List the NICs, with what went over them" },
    { "x-query-usernet", query_usernet, NULL, COMMAND_RETURNS(TextReturn, &text_return),
      .help = "Show the connections of user networks" },
    COMMAND_END
};
