/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor commands on egress policies; they are Lodge's own.  Main thread.
 */
#include <string.h>

#include "net/egress-internal.h"
#include "vmm/error.h"

/* ---- changing rules ---- */

static const FieldEnum verdict_enum = { "EgressVerdict", (const char *const[]) { "allow", "deny", NULL } };
static const Field rule_element = FIELD_VALUE(FIELD_STR, char *, .flags = FIELD_REQUIRED);

typedef struct RuleArgs { char *id; int verdict; FieldList rules; } RuleArgs;
static const FieldStruct rule_args = {
    .name = "EgressRuleArguments", .size = sizeof(RuleArgs),
    .fields = (const Field[]) {
        F_STR("id", RuleArgs, id, NULL, .flags = FIELD_REQUIRED, .help = "Id of the policy"),
        F_ENUM("verdict", RuleArgs, verdict, &verdict_enum, 0, .flags = FIELD_REQUIRED, .help = "What the rules say"),
        F_LIST("rules", RuleArgs, rules, &rule_element, .flags = FIELD_REQUIRED, .help = "The rules"),
        FIELD_END
    },
};

static bool change(CommandCall *call, const RuleArgs *args, bool add, GError **error)
{
    EgressPolicy *policy = egress_policy_find(call->domain, args->id, error);

    return policy && egress_policy_change(policy, args->verdict != 0, add, &args->rules, error);
}

static bool rule_add(CommandCall *call, const void *args, void *ret, GError **error)
{
    return change(call, args, true, error);
}

static bool rule_remove(CommandCall *call, const void *args, void *ret, GError **error)
{
    return change(call, args, false, error);
}

bool egress_rules_change(Domain *domain, const char *id, bool deny, bool add, const char *rule, GError **error)
{
    EgressPolicy *policy = egress_policy_find(domain, id, error);
    const FieldList one = { .items = &rule, .n = 1 };

    return policy && egress_policy_change(policy, deny, add, &one, error);
}

/* ---- query-egress ---- */

typedef struct RuleInfo { char *rule; int verdict; uint64_t hits; } RuleInfo;
static const FieldStruct rule_info = {
    .name = "EgressRuleInfo", .size = sizeof(RuleInfo),
    .fields = (const Field[]) {
        F_STR("rule", RuleInfo, rule, NULL, .flags = FIELD_REQUIRED, .help = "The rule"),
        F_ENUM("verdict", RuleInfo, verdict, &verdict_enum, 0, .flags = FIELD_REQUIRED, .help = "What it says"),
        F_UINT("hits", RuleInfo, hits, 0, .flags = FIELD_REQUIRED, .help = "Decisions that it has made"),
        FIELD_END
    },
};
static const Field rule_info_element = FIELD_VALUE(FIELD_STRUCT, RuleInfo, .of.structure = &rule_info);

typedef struct ConnectionInfo {
    char *netdev, *protocol, *guest, *remote, *name, *rule;
    uint16_t guest_port, remote_port;
    bool inward;
    uint64_t sent, received;
} ConnectionInfo;
static const FieldStruct connection_info = {
    .name = "EgressConnectionInfo", .size = sizeof(ConnectionInfo),
    .fields = (const Field[]) {
        F_STR("netdev", ConnectionInfo, netdev, NULL, .flags = FIELD_REQUIRED, .help = "Id of the user network"),
        F_STR("protocol", ConnectionInfo, protocol, NULL, .flags = FIELD_REQUIRED, .help = "tcp, udp or icmp"),
        F_STR("guest", ConnectionInfo, guest, NULL, .flags = FIELD_REQUIRED, .help = "Address of the guest"),
        F_UINT("guest-port", ConnectionInfo, guest_port, 0, .flags = FIELD_REQUIRED, .help = "Its port"),
        F_STR("remote", ConnectionInfo, remote, NULL, .flags = FIELD_REQUIRED, .help = "Address of the other side"),
        F_UINT("remote-port", ConnectionInfo, remote_port, 0, .flags = FIELD_REQUIRED, .help = "Its port"),
        F_BOOL("inward", ConnectionInfo, inward, false, .flags = FIELD_REQUIRED, .help = "A hostfwd has let it in"),
        F_STR("name", ConnectionInfo, name, NULL, .help = "Name by which it was allowed"),
        F_STR("rule", ConnectionInfo, rule, NULL, .flags = FIELD_REQUIRED, .help = "What allowed it"),
        F_UINT("sent", ConnectionInfo, sent, 0, .flags = FIELD_REQUIRED, .help = "Bytes from the guest"),
        F_UINT("received", ConnectionInfo, received, 0, .flags = FIELD_REQUIRED, .help = "Bytes for the guest"),
        FIELD_END
    },
};
static const Field connection_element = FIELD_VALUE(FIELD_STRUCT, ConnectionInfo, .of.structure = &connection_info);

typedef struct PolicyInfo {
    char *id;
    int otherwise;
    uint64_t allowed, denied, bytes;
    uint32_t names;
    bool used_up;
    FieldList rules, connections;
} PolicyInfo;
static const FieldStruct policy_info = {
    .name = "EgressPolicyInfo",
    .size = sizeof(PolicyInfo),
    .fields =
        (const Field[]){
            F_STR("id", PolicyInfo, id, NULL, .flags = FIELD_REQUIRED, .help = "Id of the policy"),
            F_ENUM("default", PolicyInfo, otherwise, &egress_default_enum, 0, .flags = FIELD_REQUIRED,
                   .help = "What becomes of what no rule is about"),
            F_LIST("rules", PolicyInfo, rules, &rule_info_element, .flags = FIELD_REQUIRED,
                   .help = "Its rules, in the order in which they are asked"),
            F_UINT("allowed", PolicyInfo, allowed, 0, .flags = FIELD_REQUIRED, .help = "Connections that were allowed"),
            F_UINT("denied", PolicyInfo, denied, 0, .flags = FIELD_REQUIRED,
                   .help = "Packets and questions that were refused"),
            F_UINT("bytes", PolicyInfo, bytes, 0, .flags = FIELD_REQUIRED, .help = "Bytes that have passed, both ways"),
            F_BOOL("quota-used-up", PolicyInfo, used_up, false, .flags = FIELD_REQUIRED,
                   .help = "quota-bytes has passed: nothing is allowed any more"),
            F_UINT("addresses", PolicyInfo, names, 0, .flags = FIELD_REQUIRED,
                   .help = "Addresses that are known by name now"),
            F_LIST("connections", PolicyInfo, connections, &connection_element, .flags = FIELD_REQUIRED,
                   .help = "Connections that there are"),
            FIELD_END},
};
static const Field policy_element = FIELD_VALUE(FIELD_STRUCT, PolicyInfo, .of.structure = &policy_info);

static FieldList rules_of(const EgressPolicy *policy)
{
    FieldList list = { g_new0(RuleInfo, policy->rules->len + 1), policy->rules->len };

    for (unsigned i = 0; i < list.n; i++) {
        const EgressRule *rule = policy->rules->pdata[i];

        FIELD_LIST_AT(list, RuleInfo, i) = (RuleInfo) { g_strdup(rule->text), rule->deny, rule->hits };
    }
    return list;
}

static ConnectionInfo look_at(const NetEgress *e, const EgressFlow *f)
{
    char guest[EGRESS_ADDRESS_TEXT], remote[EGRESS_ADDRESS_TEXT];

    return (ConnectionInfo) {
        .netdev = g_strdup(e->id), .protocol = g_strdup(egress_protocol_name(f->protocol)),
        .guest = g_strdup(egress_address_text(&f->guest, guest)), .guest_port = f->guest_port,
        .remote = g_strdup(egress_address_text(&f->remote, remote)), .remote_port = f->remote_port, .inward = f->inward,
        .name = g_strdup(f->name), .rule = g_strdup(f->rule), .sent = f->sent, .received = f->received,
    };
}

static FieldList connections_of(const EgressPolicy *policy)
{
    FieldList list = { g_new0(ConnectionInfo, policy->connections + 1), 0 };

    for (unsigned i = 0; i < policy->networks->len; i++) {
        const NetEgress *e = policy->networks->pdata[i];
        GHashTableIter iter;
        gpointer key;

        g_hash_table_iter_init(&iter, e->flows);
        while (g_hash_table_iter_next(&iter, &key, NULL)) {
            FIELD_LIST_AT(list, ConnectionInfo, list.n++) = look_at(e, key);
        }
    }
    return list;
}

static unsigned names_of(const EgressPolicy *policy)
{
    unsigned n = 0;

    for (unsigned i = 0; i < policy->networks->len; i++) {
        const NetEgress *e = policy->networks->pdata[i];

        n += egress_names_count(e->names, egress_now(e));
    }
    return n;
}

static bool add_policy(EgressPolicy *policy, void *opaque)
{
    FieldList *list = opaque;

    list->items = g_renew(PolicyInfo, list->items, list->n + 1);
    FIELD_LIST_AT(*list, PolicyInfo, list->n++) = (PolicyInfo) {
        .id = g_strdup(policy->object.id), .otherwise = policy->otherwise, .allowed = policy->allowed,
        .denied = policy->denied, .bytes = policy->bytes, .used_up = policy->used_up, .names = names_of(policy),
        .rules = rules_of(policy), .connections = connections_of(policy),
    };
    return true;
}

static bool query_egress(CommandCall *call, const void *args, void *ret, GError **error)
{
    egress_policy_each(call->domain, add_policy, ret);
    return true;
}

const Command egress_commands[] = {
    { "egress-rule-add", rule_add, &rule_args, .help = "Add rules to an egress policy" },
    { "egress-rule-remove", rule_remove, &rule_args,
      .help = "Remove rules from an egress policy; connections that are not allowed any more are cut" },
    { "query-egress", query_egress, NULL, COMMAND_RETURNS_LIST(&policy_element),
      .help = "Show egress policies, what they have decided, and the connections there are" },
    COMMAND_END
};

/* ---- info egress ---- */

static void print_flows(const NetEgress *e, GString *out)
{
    char guest[EGRESS_ADDRESS_TEXT], remote[EGRESS_ADDRESS_TEXT];
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, e->flows);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const EgressFlow *f = key;

        g_string_append_printf(out,
                               "  %s: %s %s port %u %s %s port %u%s%s (%s), %" G_GUINT64_FORMAT
                               " bytes sent, %" G_GUINT64_FORMAT " received\n",
                               e->id, egress_protocol_name(f->protocol), egress_address_text(&f->guest, guest),
                               f->guest_port, f->inward ? "from" : "to", egress_address_text(&f->remote, remote),
                               f->remote_port, f->name ? " " : "", f->name ? f->name : "", f->rule, f->sent,
                               f->received);
    }
}

static bool print_policy(EgressPolicy *policy, void *opaque)
{
    GString *out = opaque;

    g_string_append_printf(out, "%s: default=%s, %" G_GUINT64_FORMAT " allowed, %" G_GUINT64_FORMAT " denied, %"
                                G_GUINT64_FORMAT " bytes%s\n",
                           policy->object.id, policy->otherwise == EGRESS_ALLOW ? "allow" : "deny", policy->allowed,
                           policy->denied, policy->bytes, policy->used_up ? ", quota used up" : "");
    for (unsigned i = 0; i < policy->rules->len; i++) {
        const EgressRule *rule = policy->rules->pdata[i];

        g_string_append_printf(out, "  %s %s (%" G_GUINT64_FORMAT " times)\n", rule->deny ? "deny" : "allow",
                               rule->text, rule->hits);
    }
    for (unsigned i = 0; i < policy->networks->len; i++) {
        print_flows(policy->networks->pdata[i], out);
    }
    return true;
}

void egress_info(Domain *domain, GString *out)
{
    egress_policy_each(domain, print_policy, out);
}
