/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a person types about NICs and networks.
 */
#include "monitor/hmp-net.h"

#include "net/announce.h"
#include "net/egress.h"
#include "net/net-commands.h"
#include "net/usernet.h"
#include "vmm/error.h"

/* The text of -netdev. */
bool hmp_netdev_add(HmpCall *call, GError **error)
{
    return netdev_add_text(call->domain, call->rest, error);
}

bool hmp_set_link(HmpCall *call, GError **error)
{
    g_auto(GStrv) words = g_strsplit(call->rest, " ", 2);
    const char *state = words[0] && words[1] ? g_strstrip(words[1]) : "";
    bool on = g_str_equal(state, "on");

    if (!on && !g_str_equal(state, "off")) {
        error_set(error, "The state of the link is missing, or neither 'on' nor 'off'");
        return error_hint(error, "Write set_link NAME on|off.");
    }
    return net_set_link(call->domain, words[0], on, error);
}

/* With the times that migrations have. */
bool hmp_announce_self(HmpCall *call, GError **error)
{
    g_auto(GStrv) words = g_strsplit(call->rest, " ", 2);
    g_auto(GStrv) interfaces = words[0] ? g_strsplit(words[0], ",", -1) : NULL;
    NetAnnounce parameters = net_announce_parameters(call->domain);

    parameters.interfaces = interfaces;
    net_announce_self(call->domain, words[0] && words[1] ? g_strstrip(words[1]) : "", &parameters);
    return true;
}

/* One word, or two of which the first is a netdev. */
static bool hmp_hostfwd(HmpCall *call, bool (*change)(Domain *, const char *, const char *, GError **), GError **error)
{
    g_auto(GStrv) words = g_strsplit(call->rest, " ", 2);
    bool named = words[0] && words[1];

    if (!words[0]) {
        error_set(error, "A rule is wanted");
        return error_hint(error, "Write hostfwd_add [NETDEV] tcp::2222-:22, hostfwd_remove [NETDEV] tcp::2222.");
    }
    return change(call->domain, named ? words[0] : NULL, named ? g_strstrip(words[1]) : call->rest, error);
}

bool hmp_hostfwd_add(HmpCall *call, GError **error)
{
    return hmp_hostfwd(call, net_hostfwd_add, error);
}

bool hmp_hostfwd_remove(HmpCall *call, GError **error)
{
    const char *rule = strrchr(call->rest, ' ');

    if (!hmp_hostfwd(call, net_hostfwd_remove, error)) {
        return false;
    }
    g_string_append_printf(call->out, "host forwarding rule for %s removed\n", rule ? rule + 1 : call->rest);
    return true;
}

static bool hmp_egress(HmpCall *call, bool add, GError **error)
{
    g_auto(GStrv) words = g_strsplit(call->rest, " ", 3);
    bool whole = g_strv_length(words) == 3, deny = whole && g_str_equal(words[1], "deny");

    if (!whole || (!deny && !g_str_equal(words[1], "allow"))) {
        error_set(error, "A policy, allow or deny, and a rule are wanted");
        return error_hint(error, "Write egress_%s POLICY allow|deny RULE.", add ? "add" : "remove");
    }
    return egress_rules_change(call->domain, words[0], deny, add, g_strstrip(words[2]), error);
}

bool hmp_egress_add(HmpCall *call, GError **error)
{
    return hmp_egress(call, true, error);
}

bool hmp_egress_remove(HmpCall *call, GError **error)
{
    return hmp_egress(call, false, error);
}

bool hmp_info_egress(HmpCall *call, GError **error)
{
    egress_info(call->domain, call->out);
    return true;
}

bool hmp_info_network(HmpCall *call, GError **error)
{
    net_info(call->domain, call->out);
    return true;
}

bool hmp_info_usernet(HmpCall *call, GError **error)
{
    net_usernet_info(call->domain, call->out);
    return true;
}
