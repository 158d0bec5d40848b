/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object egress-policy: its rules, quotas and log.  Rules change by its properties (qom-set: a whole list), or one
 * by one (net/egress-commands.c); connections that are still allowed do not notice.
 *
 * Main loop.
 */
#include <string.h>

#include "net/egress-internal.h"
#include "vmm/error.h"
#include "vmm/host.h"

#define FILE_MAX (1 << 20)

/* ---- rules ---- */

static bool parse_list(GPtrArray *rules, const FieldList *list, bool deny, GError **error)
{
    for (unsigned i = 0; i < list->n; i++) {
        EgressRule *rule = egress_rule_parse(FIELD_LIST_AT(*list, char *, i), deny, error);

        if (!rule) {
            return false;
        }
        g_ptr_array_add(rules, rule);
    }
    return rules->len <= EGRESS_RULES_MAX || error_set(error, "a policy has at most %d rules", EGRESS_RULES_MAX);
}

static GPtrArray *make_rules(const FieldList *deny, const FieldList *allow, GError **error)
{
    GPtrArray *rules = g_ptr_array_new_with_free_func((GDestroyNotify)egress_rule_free);

    if (parse_list(rules, deny, true, error) && parse_list(rules, allow, false, error)) {
        return rules;
    }
    g_ptr_array_unref(rules);
    return NULL;
}

static void keep_hits(GPtrArray *rules, const GPtrArray *before)
{
    for (unsigned i = 0; i < rules->len; i++) {
        EgressRule *rule = rules->pdata[i];

        for (unsigned j = 0; before && j < before->len; j++) {
            const EgressRule *old = before->pdata[j];

            if (old->deny == rule->deny && strcmp(old->text, rule->text) == 0) {
                rule->hits = old->hits;
                break;
            }
        }
    }
}

static void clear_list(FieldList *list)
{
    for (unsigned i = 0; i < list->n; i++) {
        g_free(FIELD_LIST_AT(*list, char *, i));
    }
    g_free(list->items);
    *list = (FieldList) { 0 };
}

static void append(FieldList *list, const char *text)
{
    list->items = g_renew(char *, list->items, list->n + 1);
    FIELD_LIST_AT(*list, char *, list->n++) = g_strdup(text);
}

static void copy_list(FieldList *to, const FieldList *from)
{
    for (unsigned i = 0; i < from->n; i++) {
        append(to, FIELD_LIST_AT(*from, char *, i));
    }
}

/* The properties say what is in force. */
static void show_rules(EgressPolicy *policy)
{
    clear_list(&policy->allow);
    clear_list(&policy->deny);
    for (unsigned i = 0; i < policy->rules->len; i++) {
        const EgressRule *rule = policy->rules->pdata[i];

        append(rule->deny ? &policy->deny : &policy->allow, rule->text);
    }
}

static void use_rules(EgressPolicy *policy, GPtrArray *rules)
{
    keep_hits(rules, policy->rules);
    g_clear_pointer(&policy->rules, g_ptr_array_unref);
    policy->rules = rules;
    show_rules(policy);
}

static void review(EgressPolicy *policy)
{
    policy->used_up = policy->quota_bytes && policy->bytes >= policy->quota_bytes;
    for (unsigned i = 0; i < policy->networks->len; i++) {
        egress_review(policy->networks->pdata[i]);
    }
}

void egress_policy_count(EgressPolicy *policy, size_t bytes)
{
    policy->bytes += bytes;
    if (policy->quota_bytes && !policy->used_up && policy->bytes >= policy->quota_bytes) {
        review(policy);
    }
}

/* ---- changes ---- */

static bool remove_text(FieldList *list, const char *text)
{
    for (unsigned i = 0; i < list->n; i++) {
        if (strcmp(FIELD_LIST_AT(*list, char *, i), text) == 0) {
            g_free(FIELD_LIST_AT(*list, char *, i));
            memmove(&FIELD_LIST_AT(*list, char *, i), &FIELD_LIST_AT(*list, char *, i + 1),
                    (list->n - i - 1) * sizeof(char *));
            list->n--;
            return true;
        }
    }
    return false;
}

static bool apply(FieldList *list, bool deny, bool add, const FieldList *change, GError **error)
{
    for (unsigned i = 0; i < change->n; i++) {
        const char *text = FIELD_LIST_AT(*change, char *, i);

        if (add) {
            append(list, text);
        } else if (!remove_text(list, text)) {
            error_set(error, "there is no rule %s=%s", deny ? "deny" : "allow", text);
            return error_hint(error, "query-egress lists them.");
        }
    }
    return true;
}

bool egress_policy_change(EgressPolicy *policy, bool deny, bool add, const FieldList *change, GError **error)
{
    FieldList lists[2] = { { 0 }, { 0 } }; /* allow, deny */
    GPtrArray *rules = NULL;

    copy_list(&lists[0], &policy->allow);
    copy_list(&lists[1], &policy->deny);
    if (apply(&lists[deny], deny, add, change, error)) {
        rules = make_rules(&lists[1], &lists[0], error);
    }
    clear_list(&lists[0]);
    clear_list(&lists[1]);
    if (!rules) {
        return error_subject(error, policy->object.id);
    }
    use_rules(policy, rules);
    review(policy);
    return true;
}

static bool policy_changed(Object *obj, const char *name, GError **error)
{
    EgressPolicy *policy = (EgressPolicy *)obj;

    if (g_str_equal(name, "allow") || g_str_equal(name, "deny")) {
        GPtrArray *rules = make_rules(&policy->deny, &policy->allow, error);

        if (!rules) {
            show_rules(policy);
            return false;
        }
        use_rules(policy, rules);
    }
    review(policy);
    return true;
}

/* ---- a file of rules ---- */

typedef struct FileRules { FieldList allow, deny; } FileRules;
static const Field rule_element = FIELD_VALUE(FIELD_STR, char *, .flags = FIELD_REQUIRED);
static const FieldStruct file_rules = {
    .name = "EgressPolicyFile", .size = sizeof(FileRules),
    .fields = (const Field[]) {
        F_LIST("allow", FileRules, allow, &rule_element, .help = "What is allowed"),
        F_LIST("deny", FileRules, deny, &rule_element, .help = "What is denied"), FIELD_END
    },
};

static bool read_file(EgressPolicy *policy, GError **error)
{
    g_autofree uint8_t *data = NULL;
    g_autoptr(Json) json = NULL;
    FileRules rules;
    size_t length;
    bool ok;

    if (!policy->file) {
        return true;
    }
    if (!host_read_file(policy->file, FILE_MAX, &data, &length, error)) {
        return false;
    }
    json = json_parse((const char *)data, length, error);
    ok = json && (json_type_of(json) == JSON_OBJECT || error_set(error, "it is no object with allow and deny")) &&
         field_struct_parse(&file_rules, json, FIELD_STRICT, &rules, error);
    if (!ok) {
        return error_subject(error, policy->file);
    }
    copy_list(&policy->allow, &rules.allow);
    copy_list(&policy->deny, &rules.deny);
    field_struct_clear(&file_rules, &rules);
    return true;
}

/* ---- the object ---- */

static bool policy_create(Object *obj, GError **error)
{
    EgressPolicy *policy = (EgressPolicy *)obj;
    GPtrArray *rules = read_file(policy, error) ? make_rules(&policy->deny, &policy->allow, error) : NULL;

    if (!rules) {
        return false;
    }
    if (!egress_audit_open(policy, error)) {
        g_ptr_array_unref(rules);
        return false;
    }
    use_rules(policy, rules);
    policy->networks = g_ptr_array_new();
    return true;
}

static void policy_destroy(Object *obj)
{
    EgressPolicy *policy = (EgressPolicy *)obj;

    egress_audit_close(policy);
    g_ptr_array_unref(policy->networks);
    g_ptr_array_unref(policy->rules);
}

EgressPolicy *egress_policy_find(Domain *domain, const char *id, GError **error)
{
    return (EgressPolicy *)object_find(domain, id, &egress_policy_class, error);
}

typedef struct EachPolicy { bool (*fn)(EgressPolicy *policy, void *opaque); void *opaque; } EachPolicy;

static bool if_policy(Object *obj, void *opaque)
{
    EachPolicy *each = opaque;

    return obj->class != &egress_policy_class || each->fn((EgressPolicy *)obj, each->opaque);
}

bool egress_policy_each(Domain *domain, bool (*fn)(EgressPolicy *policy, void *opaque), void *opaque)
{
    return object_each(domain, if_policy, &(EachPolicy) { fn, opaque });
}

const FieldEnum egress_default_enum = { "EgressDefault", (const char *const[]) { "deny", "allow", NULL } };
static const FieldEnum dns_enum = { "EgressDns", (const char *const[]) { "auto", "names", "any", "off", NULL } };

const FieldStruct egress_policy_props = {
    .name = "EgressPolicyProperties",
    .size = sizeof(EgressPolicy),
    .fields =
        (const Field[]){
            F_ENUM("default", EgressPolicy, otherwise, &egress_default_enum, EGRESS_DENY, .flags = FIELD_RUNTIME,
                   .help = "What becomes of what no rule is about"),
            F_LIST("allow", EgressPolicy, allow, &rule_element, .flags = FIELD_RUNTIME,
                   .help = "[tcp:|udp:|icmp:]WHERE[:PORTS] to let through: an address, a network, a name, *.NAME, *, "
                           "host; more than once"),
            F_LIST("deny", EgressPolicy, deny, &rule_element, .flags = FIELD_RUNTIME,
                   .help = "The same, to refuse: it wins over allow; more than once"),
            F_STR("file", EgressPolicy, file, NULL,
                  .help = "JSON file with more rules: {\"allow\": [...], \"deny\": [...]}"),
            F_ENUM("dns", EgressPolicy, dns, &dns_enum, EGRESS_DNS_AUTO, .flags = FIELD_RUNTIME,
                   .help = "Names that may be asked for: those that rules allow (names), any, none (off); auto: names, "
                           "or any if default=allow"),
            F_SIZE("quota-bytes", EgressPolicy, quota_bytes, 0, .flags = FIELD_RUNTIME,
                   .help = "Bytes of packets, both ways, after which everything is cut; 0: any number"),
            F_UINT("max-connections", EgressPolicy, max_connections, 4096, .flags = FIELD_RUNTIME, .min = 1,
                   .max = 65536, .help = "Connections at a time"),
            F_UINT("max-rate", EgressPolicy, max_rate, 0, .flags = FIELD_RUNTIME, .max = 1000000,
                   .help = "New connections a second; 0: any number"),
            F_STR("audit", EgressPolicy, audit_file, NULL, .help = "File for a line of JSON for each decision"),
            F_STR("audit-chardev", EgressPolicy, audit_chardev, NULL, .help = "Id of a chardev for these lines"),
            FIELD_END},
};

const ObjectClass egress_policy_class = {
    .name = "egress-policy",
    .desc = "What a guest may reach through a user network (-netdev user,egress=ID)",
    .size = sizeof(EgressPolicy),
    .props = &egress_policy_props,
    .create = policy_create,
    .destroy = policy_destroy,
    .changed = policy_changed,
};
