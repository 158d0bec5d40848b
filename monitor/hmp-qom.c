/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object tree for people: info qom-tree, qom-list, qom-get, qom-set (vmm/qom.h).
 */
#include "monitor/hmp-qom.h"

#include <string.h>

#include "monitor/hmp-info.h"
#include "vmm/error.h"
#include "vmm/qom.h"

#define DEPTH_MAX 16

static void clear_property(gpointer property)
{
    field_struct_clear(&qom_property_info, property);
}

static GArray *list_properties(Domain *domain, const char *path, GError **error)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(QomProperty));

    g_array_set_clear_func(list, clear_property);
    if (!qom_list(domain, path, list, error)) {
        g_clear_pointer(&list, g_array_unref);
    }
    return list;
}

/* "child<TYPE>": the type (owned); NULL: the property is no child. */
static char *child_type(const QomProperty *p)
{
    return g_str_has_prefix(p->type, "child<") ? g_strndup(p->type + 6, strlen(p->type) - 7) : NULL;
}

static char *join(const char *path, const char *name)
{
    return g_strconcat(path, g_str_has_suffix(path, "/") ? "" : "/", name, NULL);
}

/* ---- info qom-tree ---- */

static void print_children(HmpCall *call, const char *path, unsigned depth)
{
    g_autoptr(GArray) list = depth < DEPTH_MAX ? list_properties(call->domain, path, NULL) : NULL;

    for (unsigned i = 0; list && i < list->len; i++) {
        const QomProperty *p = &g_array_index(list, QomProperty, i);
        g_autofree char *type = child_type(p), *inner = join(path, p->name);

        if (type) {
            g_string_append_printf(call->out, "%*s/%s (%s)\n", (int)(2 * depth), "", p->name, type);
            print_children(call, inner, depth + 1);
        }
    }
}

bool hmp_info_qom_tree(HmpCall *call, GError **error)
{
    const char *path = call->rest[0] ? call->rest : "/machine", *name = strrchr(path, '/');
    g_autoptr(Json) type = qom_get(call->domain, path, "type", error);

    if (!type) {
        return false;
    }
    g_string_append_printf(call->out, "/%s (%s)\n", name ? name + 1 : path, json_get_string(type));
    print_children(call, path, 1);
    return true;
}

/* ---- qom-list, qom-get, qom-set ---- */

bool hmp_qom_list(HmpCall *call, GError **error)
{
    g_autoptr(GArray) list = call->rest[0] ? list_properties(call->domain, call->rest, error) : NULL;

    if (!call->rest[0]) {
        g_string_append(call->out, "/\n");
        return true;
    }
    for (unsigned i = 0; list && i < list->len; i++) {
        const QomProperty *p = &g_array_index(list, QomProperty, i);

        g_string_append_printf(call->out, "%s (%s)\n", p->name, p->type);
    }
    return list != NULL;
}

bool hmp_qom_get(HmpCall *call, GError **error)
{
    const char *rest;
    g_autofree char *path = hmp_first_word(call->rest, &rest), *text = NULL;
    g_autoptr(Json) value = qom_get(call->domain, path, rest, error);
    JsonWriter *w;

    if (!value) {
        return false;
    }
    w = json_writer_new(true);
    json_write_value(w, NULL, value);
    text = json_writer_finish(w);
    g_string_append_printf(call->out, "%s\n", text);
    return true;
}

/* VALUE is JSON, or a string without quotation marks. */
bool hmp_qom_set(HmpCall *call, GError **error)
{
    const char *rest, *value;
    g_autofree char *path = hmp_first_word(call->rest, &rest), *property = hmp_first_word(rest, &value);
    g_autoptr(Json) json = json_parse(value, strlen(value), NULL);

    if (!value[0]) {
        error_set(error, "qom-set needs a path, a property and a value");
        return false;
    }
    if (!json) {
        json = json_new_string(value);
    }
    return qom_set(call->domain, path, property, json, error);
}

/* ---- completion ---- */

static void complete_names(HmpSession *session, const char *path, const char *begin, bool children, GPtrArray *words)
{
    g_autoptr(GArray) list = list_properties(session->domain, path, NULL);

    for (unsigned i = 0; list && i < list->len; i++) {
        const QomProperty *p = &g_array_index(list, QomProperty, i);
        g_autofree char *type = child_type(p), *word = children ? join(path, p->name) : g_strdup(p->name);

        if (!type == !children && g_str_has_prefix(word, begin)) {
            g_ptr_array_add(words, g_steal_pointer(&word));
        }
    }
}

void hmp_complete_qom_path(HmpSession *session, const char *begin, GPtrArray *words)
{
    const char *slash = strrchr(begin, '/');
    g_autofree char *parent = slash && slash > begin ? g_strndup(begin, (gsize)(slash - begin)) : g_strdup("/");

    complete_names(session, parent, begin, true, words);
}

void hmp_complete_qom_property(HmpSession *session, const char *begin, GPtrArray *words)
{
    const char *rest;
    g_autofree char *path = hmp_first_word(begin, &rest);

    if (strchr(begin, ' ')) {
        complete_names(session, path, rest, false, words);
    } else {
        hmp_complete_qom_path(session, begin, words);
    }
}
