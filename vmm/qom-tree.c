/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree of objects.  See vmm/qom.h.  A look at it collects the paths of everything
 * there is; what lies directly below a path are its children.
 */
#include <string.h>

#include "vmm/device-internal.h"
#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/object.h"
#include "vmm/qom.h"
#include "vmm/vcpu-commands.h"
#include "vmm/x86/cpu-model-commands.h"

typedef enum NodeKind { NODE_CONTAINER, NODE_MACHINE, NODE_VCPU, NODE_DEVICE, NODE_OBJECT } NodeKind;

typedef struct Node {
    NodeKind kind;
    char *path;
    union {
        Machine *machine;
        Vcpu *vcpu;
        Device *dev;
        Object *obj;
    };
} Node;

/* ---- collecting ---- */

static void clear_node(gpointer node)
{
    g_free(((Node *)node)->path);
}

static void add_node(GArray *nodes, Node node)
{
    g_array_append_val(nodes, node);
}

static bool add_device(Device *dev, void *nodes)
{
    if (dev->class != &cpu_device_class) { /* it is a vCPU */
        add_node(nodes, (Node) { NODE_DEVICE, g_strdup(dev->path), .dev = dev });
    }
    return true;
}

static bool add_object(Object *obj, void *nodes)
{
    add_node(nodes, (Node) { NODE_OBJECT, g_strconcat("/objects/", obj->id, NULL), .obj = obj });
    return true;
}

static GArray *collect(Domain *domain)
{
    static const char *const containers[] = {
        "/", "/objects", "/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached",
    };
    GArray *nodes = g_array_new(FALSE, FALSE, sizeof(Node));

    g_array_set_clear_func(nodes, clear_node);
    for (size_t i = 0; i < G_N_ELEMENTS(containers); i++) {
        add_node(nodes, (Node) { NODE_CONTAINER, g_strdup(containers[i]), .dev = NULL });
    }
    if (domain_machine(domain)) {
        add_node(nodes, (Node) { NODE_MACHINE, g_strdup("/machine"), .machine = domain_machine(domain) });
    }
    for (unsigned i = 0; i < domain_vcpus(domain); i++) {
        add_node(nodes, (Node) { NODE_VCPU, vcpu_path(domain_vcpu(domain, i)), .vcpu = domain_vcpu(domain, i) });
    }
    device_each(domain, add_device, nodes);
    object_each(domain, add_object, nodes);
    return nodes;
}

/* ---- finding ---- */

static bool ends_with_path(const char *path, const char *end)
{
    size_t a = strlen(path), b = strlen(end);

    return b < a && path[a - b - 1] == '/' && strcmp(path + a - b, end) == 0;
}

static const Node *find(const GArray *nodes, const char *path, GError **error)
{
    bool slash = g_str_has_suffix(path, "/") && path[1]; /* at the end, which changes nothing */
    g_autofree char *plain = g_strndup(path, strlen(path) - slash);
    const Node *found = NULL;

    for (unsigned i = 0; i < nodes->len; i++) {
        const Node *node = &g_array_index(nodes, Node, i);

        if (plain[0] == '/' ? strcmp(node->path, plain) != 0 : !ends_with_path(node->path, plain)) {
            continue;
        }
        if (found) {
            error_set(error, "Path '%s' is ambiguous", path);
            error_hint(error, "Give all of it, such as '%s'.", found->path);
            return NULL;
        }
        found = node;
    }
    if (!found) {
        error_set_class(error, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", path);
    }
    return found;
}

/* The name of node below parent; NULL: it is not directly there. */
static const char *child_name(const char *parent, const Node *node)
{
    size_t length = strcmp(parent, "/") == 0 ? 0 : strlen(parent);

    if (strncmp(node->path, parent, length) != 0 || node->path[length] != '/' || !node->path[length + 1]) {
        return NULL;
    }
    return strchr(node->path + length + 1, '/') ? NULL : node->path + length + 1;
}

static char *type_of(const Node *node)
{
    switch (node->kind) {
    case NODE_MACHINE:
        return g_strconcat(node->machine->class->name, "-machine", NULL);
    case NODE_VCPU:
        return cpu_model_type_name(cpu_model_name(node->vcpu->model));
    case NODE_DEVICE:
        return g_strdup(node->dev->class->name);
    case NODE_OBJECT:
        return g_strdup(node->obj->class->name);
    case NODE_CONTAINER:
        break;
    }
    return g_strdup("container");
}

/* ---- listing ---- */

static bool list_device_property(const Property *p, void *properties)
{
    g_autofree char *type = NULL;

    if (!(p->field.flags & FIELD_HIDDEN)) {
        type = p->link ? g_strdup("str") : field_type_text(&p->field);
        qom_add_property(properties, p->field.name, type, p->field.help);
    }
    return true;
}

static const char *const device_facts[] = { "realized", "hotplugged", "hotpluggable", NULL };

static bool device_fact(const Device *dev, const char *name)
{
    return strcmp(name, "realized") == 0 ? dev->realized
         : strcmp(name, "hotplugged") == 0 ? dev->hotplugged : dev->class->hotpluggable;
}

static void list_device(const Device *dev, GArray *properties)
{
    for (const char *const *fact = device_facts; *fact; fact++) {
        qom_add_property(properties, *fact, "bool", NULL);
    }
    device_class_properties(dev->class, list_device_property, properties);
    if (dev->class->backend) {
        device_class_properties(dev->class->backend, list_device_property, properties);
    }
}

typedef struct CpuPass { const CpuModel *model; GArray *properties; } CpuPass;

/* Of what -cpu takes, what there is to read once it runs. */
static void list_cpu_property(const char *name, const char *type, const char *help, void *opaque)
{
    CpuPass *pass = opaque;
    g_autoptr(Json) value = cpu_model_property(pass->model, name);

    if (value) {
        qom_add_property(pass->properties, name, type, help);
    }
}

static void list_own(const Node *node, GArray *properties)
{
    CpuPass pass = { node->kind == NODE_VCPU ? node->vcpu->model : NULL, properties };

    switch (node->kind) {
    case NODE_MACHINE:
        qom_add_fields(properties, node->machine->class->options);
        break;
    case NODE_VCPU:
        cpu_model_each_property(list_cpu_property, &pass);
        if (node->vcpu->dev) {
            list_device(node->vcpu->dev, properties);
        }
        break;
    case NODE_DEVICE:
        list_device(node->dev, properties);
        break;
    case NODE_OBJECT:
        qom_add_fields(properties, node->obj->class->props);
        break;
    case NODE_CONTAINER:
        break;
    }
}

bool qom_list(Domain *domain, const char *path, GArray *properties, GError **error)
{
    g_autoptr(GArray) nodes = collect(domain);
    const Node *node = find(nodes, path, error);

    if (!node) {
        return false;
    }
    qom_add_property(properties, "type", "string", NULL);
    list_own(node, properties);
    for (unsigned i = 0; i < nodes->len; i++) {
        const Node *child = &g_array_index(nodes, Node, i);
        const char *name = child_name(node->path, child);
        g_autofree char *type = name ? type_of(child) : NULL;
        g_autofree char *wrapped = name ? g_strdup_printf("child<%s>", type) : NULL;

        if (name) {
            qom_add_property(properties, name, wrapped, NULL);
        }
    }
    return true;
}

/* ---- reading ---- */

/* What is absent reads as an empty text, or as null. */
static Json *field_value(const Field *field, const void *base)
{
    JsonWriter *w = json_writer_new(false);
    g_autofree char *text = NULL;
    g_autoptr(Json) object = NULL;
    Json *member;

    json_write_begin_object(w, NULL);
    field_write(field, base, w);
    json_write_end_object(w);
    text = json_writer_finish(w);
    object = json_parse(text, strlen(text), NULL);
    member = object ? json_object_get_member(object, field->name) : NULL;
    return member ? json_ref(member) : field->type == FIELD_STR ? json_new_string("") : json_new_null();
}

static Json *get_from_fields(const FieldStruct *desc, const void *base, const char *name)
{
    const Field *field = field_struct_find(desc, name);

    return field ? field_value(field, base) : NULL;
}

static Json *get_from_device(Device *dev, const char *name)
{
    const Property *p;
    const char *id;
    void *base;
    Json *value;

    if (g_strv_contains(device_facts, name)) {
        return json_new_bool(device_fact(dev, name));
    }
    p = device_property(dev, name, &base);
    if (!p) {
        return NULL;
    }
    if (p->link) {
        id = g_hash_table_lookup(((Device *)base)->given, p->field.name);
        return json_new_string(id ? id : "");
    }
    lock_acquire(dev->lock);
    value = field_value(&p->field, base);
    lock_release(dev->lock);
    return value;
}

static Json *get_own(const Node *node, const char *name)
{
    Json *value;

    switch (node->kind) {
    case NODE_MACHINE:
        return get_from_fields(node->machine->class->options, node->machine->options, name);
    case NODE_VCPU:
        value = cpu_model_property(node->vcpu->model, name);
        return value || !node->vcpu->dev ? value : get_from_device(node->vcpu->dev, name);
    case NODE_DEVICE:
        return get_from_device(node->dev, name);
    case NODE_OBJECT:
        return get_from_fields(node->obj->class->props, node->obj, name);
    case NODE_CONTAINER:
        break;
    }
    return NULL;
}

/* A child's value is its path. */
static Json *get_child(const GArray *nodes, const Node *node, const char *name)
{
    for (unsigned i = 0; i < nodes->len; i++) {
        const Node *child = &g_array_index(nodes, Node, i);

        if (g_strcmp0(child_name(node->path, child), name) == 0) {
            return json_new_string(child->path);
        }
    }
    return NULL;
}

Json *qom_get(Domain *domain, const char *path, const char *property, GError **error)
{
    g_autoptr(GArray) nodes = collect(domain);
    const Node *node = find(nodes, path, error);
    g_autofree char *type = node ? type_of(node) : NULL;
    Json *value;

    if (!node) {
        return NULL;
    }
    if (strcmp(property, "type") == 0) {
        return json_new_string(type);
    }
    value = get_own(node, property);
    value = value ? value : get_child(nodes, node, property);
    if (!value) {
        error_set(error, "Property '%s.%s' not found", type, property);
        error_hint(error, "qom-list shows what there is.");
    }
    return value;
}

/* ---- writing ---- */

bool qom_set(Domain *domain, const char *path, const char *property, const Json *value, GError **error)
{
    g_autoptr(GArray) nodes = collect(domain);
    const Node *node = find(nodes, path, error);
    g_autoptr(Json) present = NULL;

    if (!node) {
        return false;
    }
    present = strcmp(property, "type") ? get_own(node, property) : NULL;
    if (present && node->kind == NODE_DEVICE && !g_strv_contains(device_facts, property)) {
        return device_set(node->dev, property, value, error);
    }
    if (present && node->kind == NODE_OBJECT) {
        return object_set(node->obj, property, value, error);
    }
    g_clear_pointer(&present, json_unref);
    present = qom_get(domain, path, property, error); /* the error for what is not there is its */
    return present && error_set(error, "Property '%s' of '%s' cannot be changed", property, node->path);
}
