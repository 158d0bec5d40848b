/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See net/egress-rule.h.
 */
#include "net/egress-rule.h"

#include <arpa/inet.h>
#include <string.h>

#include "vmm/error.h"

/* ---- parsing ---- */

static uint8_t take_protocol(const char **text)
{
    static const struct { const char *prefix; uint8_t protocol; } protocols[] = {
        { "tcp:", EGRESS_TCP }, { "udp:", EGRESS_UDP }, { "icmp:", EGRESS_ICMP },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(protocols); i++) {
        if (g_str_has_prefix(*text, protocols[i].prefix)) {
            *text += strlen(protocols[i].prefix);
            return protocols[i].protocol;
        }
    }
    return 0;
}

static bool parse_port(const char *text, uint16_t *ret)
{
    guint64 port;

    if (!g_ascii_string_to_unsigned(text, 10, 1, UINT16_MAX, &port, NULL)) {
        return false;
    }
    *ret = (uint16_t)port;
    return true;
}

static bool parse_ports(EgressRule *rule, const char *text, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(text, "+", -1);

    for (unsigned i = 0; parts[i]; i++) {
        char *to = strchr(parts[i], '-');
        EgressRange *r = &rule->range[rule->ranges++];

        if (to) {
            *to++ = '\0';
        }
        if (!parse_port(parts[i], &r->from) || !parse_port(to ? to : parts[i], &r->to) || r->from > r->to) {
            return error_set(error, "'%s' is no list of ports such as 80+443+8000-8010", text);
        }
        if (rule->ranges == EGRESS_RANGES_MAX && parts[i + 1]) {
            return error_set(error, "a rule has at most %d ranges of ports", EGRESS_RANGES_MAX);
        }
    }
    return rule->ranges > 0 || error_set(error, "ports are missing behind the colon");
}

/* ADDRESS or ADDRESS/BITS; false: it is none. */
static bool parse_prefix(EgressRule *rule, const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 2);
    unsigned most, mapped_bits = 0;
    struct in6_addr six;
    struct in_addr four;
    guint64 bits;

    if (parts[0] && inet_pton(AF_INET, parts[0], &four) == 1) {
        rule->prefix = egress_address4(four.s_addr);
        mapped_bits = 96;
    } else if (parts[0] && inet_pton(AF_INET6, parts[0], &six) == 1) {
        rule->prefix = egress_address6(&six);
    } else {
        return false;
    }
    most = 128 - mapped_bits;
    bits = most;
    if (parts[1] && !g_ascii_string_to_unsigned(parts[1], 10, 0, most, &bits, NULL)) {
        return false;
    }
    rule->where = EGRESS_PREFIX;
    rule->bits = mapped_bits + (unsigned)bits;
    return true;
}

bool egress_name_is_good(const char *name)
{
    size_t label = 0;

    for (const char *p = name; *p; p++) {
        if (*p == '.') {
            if (!label) {
                return false;
            }
            label = 0;
        } else if (!g_ascii_isalnum(*p) && *p != '-' && *p != '_') {
            return false;
        } else if (++label > 63) {
            return false;
        }
    }
    return label && strlen(name) <= EGRESS_NAME_MAX;
}

static bool parse_where(EgressRule *rule, const char *text, GError **error)
{
    g_autofree char *name = g_ascii_strdown(text, -1);

    if (g_str_equal(name, "*")) {
        rule->where = EGRESS_ANY;
        return true;
    }
    if (g_str_equal(name, "host")) {
        rule->where = EGRESS_HOST;
        return true;
    }
    if (parse_prefix(rule, name)) {
        return true;
    }
    rule->where = g_str_has_prefix(name, "*.") ? EGRESS_BELOW : EGRESS_NAME;
    rule->name = g_strdup(name + (rule->where == EGRESS_BELOW ? 2 : 0));
    /* What has digits and dots only was to be an address. */
    return (egress_name_is_good(rule->name) && strspn(rule->name, "0123456789.") < strlen(rule->name)) ||
           error_set(error, "'%s' is no address, network or name", text);
}

/* Splits WHERE[:PORTS]; IPv6 has colons of its own. */
static bool split(const char *text, char **ret_where, char **ret_ports)
{
    const char *close = text[0] == '[' ? strchr(text, ']') : NULL, *colon = strchr(text, ':');

    if (close) {
        *ret_where = g_strndup(text + 1, (size_t)(close - text - 1));
        *ret_ports = close[1] == ':' ? g_strdup(close + 2) : NULL;
        return close[1] == ':' || close[1] == '\0';
    }
    if (!colon || strchr(colon + 1, ':')) {
        *ret_where = g_strdup(text);
        *ret_ports = NULL;
    } else {
        *ret_where = g_strndup(text, (size_t)(colon - text));
        *ret_ports = g_strdup(colon + 1);
    }
    return true;
}

EgressRule *egress_rule_parse(const char *text, bool deny, GError **error)
{
    EgressRule *rule = g_new0(EgressRule, 1);
    g_autofree char *where = NULL, *ports = NULL;
    const char *rest = text;
    bool ok;

    rule->text = g_strdup(text);
    rule->deny = deny;
    rule->protocol = take_protocol(&rest);
    ok = split(rest, &where, &ports) ? parse_where(rule, where, error)
                                     : error_set(error, "'%s' is no address in brackets", rest);
    ok = ok && (!ports || parse_ports(rule, ports, error));
    if (ok && ports && rule->protocol == EGRESS_ICMP) {
        ok = error_set(error, "icmp has no ports");
    }
    if (ok) {
        return rule;
    }
    error_hint(error, "Write [tcp:|udp:|icmp:]WHERE[:PORTS], such as *.debian.org:80+443, 192.0.2.0/24 or host:3128.");
    egress_rule_free(rule);
    return NULL;
}

void egress_rule_free(EgressRule *rule)
{
    g_free(rule->text);
    g_free(rule->name);
    g_free(rule);
}

/* ---- matching ---- */

bool egress_rule_names(const EgressRule *rule, const char *name)
{
    size_t length, tail;

    if (rule->where == EGRESS_NAME) {
        return strcmp(rule->name, name) == 0;
    }
    if (rule->where != EGRESS_BELOW) {
        return false;
    }
    length = strlen(name);
    tail = strlen(rule->name);
    return length > tail + 1 && name[length - tail - 1] == '.' && strcmp(name + length - tail, rule->name) == 0;
}

static bool has_port(const EgressRule *rule, const EgressTarget *t)
{
    if (!rule->ranges) {
        return true;
    }
    for (unsigned i = 0; i < rule->ranges; i++) {
        if (t->protocol != EGRESS_ICMP && t->port >= rule->range[i].from && t->port <= rule->range[i].to) {
            return true;
        }
    }
    return false;
}

bool egress_rule_matches(const EgressRule *rule, const EgressTarget *t, const char **ret_name)
{
    *ret_name = NULL;
    if ((rule->protocol && rule->protocol != t->protocol) || !has_port(rule, t) ||
        t->host != (rule->where == EGRESS_HOST)) {
        return false;
    }
    switch (rule->where) {
    case EGRESS_ANY:
    case EGRESS_HOST:
        return true;
    case EGRESS_PREFIX:
        return egress_is_ipv4(&t->address) == egress_is_ipv4(&rule->prefix) &&
               egress_in(&t->address, &rule->prefix, rule->bits);
    case EGRESS_NAME:
    case EGRESS_BELOW:
        for (const char *const *name = t->names; *name; name++) {
            if (egress_rule_names(rule, *name)) {
                *ret_name = *name;
                return true;
            }
        }
    }
    return false;
}
