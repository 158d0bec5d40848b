/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/hmp-complete.h.
 */
#include "monitor/hmp-complete.h"

#include <string.h>

#include "monitor/commands.h"
#include "monitor/hmp-info.h"
#include "net/backend.h"
#include "net/egress.h"
#include "net/netdev-options.h"
#include "vmm/chardev.h"
#include "vmm/device.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/object.h"

typedef struct Search {
    const char *begin;
    GPtrArray *words;
} Search;

static void add(const Search *s, const char *word)
{
    if (g_str_has_prefix(word, s->begin)) {
        g_ptr_array_add(s->words, g_strdup(word));
    }
}

void hmp_complete_field(const Field *field, const char *before, const char *begin, GPtrArray *words)
{
    static const char *const flags[] = { "on", "off", NULL };
    const char *const *values = field->type == FIELD_ENUM ? field->of.enumeration->values
                              : field->type == FIELD_BOOL ? flags : NULL;
    Search s = { begin, words };

    for (; values && *values; values++) {
        g_autofree char *word = g_strconcat(before, *values, NULL);

        add(&s, word);
    }
}

/* ---- ids ---- */

static bool add_device(Device *dev, void *opaque)
{
    if (dev->id) {
        add(opaque, dev->id);
    }
    return true;
}

void hmp_complete_device(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    device_each(session->domain, add_device, &s);
}

static bool add_object(Object *object, void *opaque)
{
    add(opaque, object->id);
    return true;
}

void hmp_complete_object(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    object_each(session->domain, add_object, &s);
}

static bool add_chardev(Chardev *chr, void *opaque)
{
    add(opaque, chardev_id(chr));
    return true;
}

void hmp_complete_chardev(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    chardev_each(session->domain, add_chardev, &s);
}

static bool add_netdev(NetBackend *b, void *opaque)
{
    add(opaque, b->id);
    return true;
}

void hmp_complete_netdev(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    netdev_each(session->domain, add_netdev, &s);
}

static bool add_nic(NetNic *nic, void *opaque)
{
    add(opaque, nic->name);
    return true;
}

void hmp_complete_link(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    net_nic_each(session->domain, add_nic, &s);
    netdev_each(session->domain, add_netdev, &s);
}

/* Those so far, and one more. */
void hmp_complete_nics(HmpSession *session, const char *begin, GPtrArray *words)
{
    const char *comma = strrchr(begin, ',');
    size_t kept = comma ? (size_t)(comma + 1 - begin) : 0;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    Search s = { begin + kept, names };

    net_nic_each(session->domain, add_nic, &s);
    for (unsigned i = 0; i < names->len; i++) {
        g_ptr_array_add(words, g_strdup_printf("%.*s%s", (int)kept, begin, (const char *)names->pdata[i]));
    }
}

static bool add_user_netdev(NetBackend *b, void *opaque)
{
    return b->class != &net_user_class || add_netdev(b, opaque);
}

void hmp_complete_user_netdev(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    netdev_each(session->domain, add_user_netdev, &s);
}

static bool add_policy(Object *object, void *opaque)
{
    return object->class != &egress_policy_class || add_object(object, opaque);
}

void hmp_complete_policy(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    object_each(session->domain, add_policy, &s);
}

void hmp_complete_vcpu(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    for (unsigned i = 0; i < domain_vcpus(session->domain); i++) {
        g_autofree char *index = g_strdup_printf("%u", domain_vcpu(session->domain, i)->index);

        add(&s, index);
    }
}

void hmp_complete_apic(HmpSession *session, const char *begin, GPtrArray *words)
{
    Search s = { begin, words };

    for (unsigned i = 0; i < domain_vcpus(session->domain); i++) {
        g_autofree char *id = g_strdup_printf("%u", domain_vcpu(session->domain, i)->apic_id);

        add(&s, id);
    }
}

/* ---- what commands list ---- */

static Json *reply_of(HmpSession *session, const char *command)
{
    HmpCall call = { .session = session, .domain = session->domain };
    Json *reply = NULL;

    hmp_call_qmp(&call, command, json_new_object(), &reply, NULL);
    return reply;
}

void hmp_complete_capability(HmpSession *session, const char *begin, GPtrArray *words)
{
    g_autoptr(Json) reply = reply_of(session, "query-migrate-capabilities");
    Search s = { begin, words };

    for (size_t i = 0; reply && i < json_array_length(reply); i++) {
        add(&s, hmp_text_of(json_array_get(reply, i), "capability"));
    }
}

static bool add_name(const char *name, Json *value, void *opaque)
{
    add(opaque, name);
    return true;
}

/* The value, too, where the table has a list of them. */
void hmp_complete_parameter(HmpSession *session, const char *begin, GPtrArray *words)
{
    const char *value;
    g_autofree char *name = hmp_first_word(begin, &value);
    g_autoptr(Json) reply = reply_of(session, "query-migrate-parameters");
    const Field *field = field_struct_find(command_find("migrate-set-parameters", NULL)->args, name);
    Search s = { begin, words };

    if (!strchr(begin, ' ')) {
        json_object_each(reply, add_name, &s);
    } else if (field) {
        hmp_complete_field(field, "", value, words);
    }
}

/* A disk or, behind -n, a block node. */
void hmp_complete_block(HmpSession *session, const char *begin, GPtrArray *words)
{
    bool nodes = g_str_has_prefix(begin, "-n ") || strstr(begin, " -n ");
    const char *space = strrchr(begin, ' ');
    g_autoptr(Json) reply = reply_of(session, nodes ? "query-named-block-nodes" : "query-block");
    Search s = { space ? space + 1 : begin, words };

    for (size_t i = 0; reply && i < json_array_length(reply); i++) {
        const char *name = hmp_text_of(json_array_get(reply, i), nodes ? "node-name" : "device");

        if (name[0]) {
            add(&s, name);
        }
    }
}

/* ---- what the help says ---- */

static bool is_option(const char *param)
{
    return param[0] == '-' || g_str_has_prefix(param, "[-");
}

/* "-d" of "[-d]", "on" and "off" of "on|off"; nothing of "NAME". */
static void add_literals(const char *param, const Search *s)
{
    g_autofree char *bare = g_strndup(param + (param[0] == '['), strcspn(param + (param[0] == '['), "]"));
    g_auto(GStrv) words = g_strsplit(bare, "|", -1);

    for (char **word = words; *word; word++) {
        if (strspn(*word, "abcdefghijklmnopqrstuvwxyz-") == strlen(*word) || is_option(*word)) {
            add(s, *word);
        }
    }
}

void hmp_complete_place(const HmpCommand *c, const char *begin, GPtrArray *words)
{
    g_auto(GStrv) typed = g_strsplit_set(begin, " \t", -1), params = g_strsplit(c->params ? c->params : "", " ", -1);
    unsigned n = g_strv_length(typed), place = 0;
    Search s = { n ? typed[n - 1] : "", words };
    bool option = is_option(s.begin);

    for (unsigned i = 0; i + 1 < n; i++) {
        place += typed[i][0] && !is_option(typed[i]);
    }
    for (char **param = params; *param; param++) {
        if (is_option(*param) ? option : !option && !place--) {
            add_literals(*param, &s);
        }
    }
}
