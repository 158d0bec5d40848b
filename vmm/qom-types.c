/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Types of objects, and their properties.  See vmm/qom.h.
 */
#include <string.h>

#include "vmm/accel.h"
#include "vmm/device-internal.h"
#include "vmm/error.h"
#include "vmm/machine.h"
#include "vmm/object.h"
#include "vmm/qom.h"
#include "vmm/x86/cpu-model-commands.h"

/* ---- the list ---- */

typedef struct TypePass { QomTypeFn fn; void *opaque; GHashTable *seen; } TypePass;

static void emit(TypePass *pass, const char *name, const char *parent, bool abstract)
{
    pass->fn(&(QomType) { name, parent, abstract }, pass->opaque);
}

/* Bases are in no list of their own; another name is a type that adds nothing. */
static void emit_device(const DeviceClass *class, void *opaque)
{
    TypePass *pass = opaque;

    if (!g_hash_table_add(pass->seen, (gpointer)class)) {
        return;
    }
    emit(pass, class->name, class->base ? class->base->name : "device", class->abstract);
    for (const char *const *alias = class->aliases; alias && *alias; alias++) {
        if (device_class_find(*alias, NULL) == class) {
            emit(pass, *alias, class->name, false);
        }
    }
    if (class->base) {
        emit_device(class->base, pass);
    }
}

static void emit_machine(const MachineClass *class, void *opaque)
{
    g_autofree char *name = g_strconcat(class->name, "-machine", NULL);

    emit(opaque, name, "machine", false);
}

static void emit_cpu(const char *model, const char *desc, void *opaque)
{
    g_autofree char *name = cpu_model_type_name(model);

    emit(opaque, name, "x86_64-cpu", false);
}

void qom_types_each(QomTypeFn fn, void *opaque)
{
    static const QomType roots[] = {
        { "object", NULL, true }, { "container", "object", false }, { "accel", "object", true },
        { "machine", "object", true }, { "device", "object", true }, { "x86_64-cpu", "device", true },
    };
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    TypePass pass = { fn, opaque, seen };

    for (size_t i = 0; i < G_N_ELEMENTS(roots); i++) {
        fn(&roots[i], opaque);
    }
    for (size_t i = 0; accel_classes[i]; i++) {
        emit(&pass, accel_classes[i]->type_name, "accel", false);
    }
    for (size_t i = 0; object_classes[i]; i++) {
        emit(&pass, object_classes[i]->name, "object", false);
    }
    device_class_each(emit_device, &pass);
    machine_class_each(emit_machine, &pass);
    cpu_models_each(emit_cpu, &pass);
}

/* ---- properties ---- */

const FieldStruct qom_property_info = {
    .name = "ObjectPropertyInfo", .size = sizeof(QomProperty),
    .fields = (const Field[]) {
        F_STR("name", QomProperty, name, NULL, .flags = FIELD_REQUIRED, .help = "Its name"),
        F_STR("type", QomProperty, type, NULL, .flags = FIELD_REQUIRED,
              .help = "Type of its value; child<TYPE>: an object below this one"),
        F_STR("description", QomProperty, description, NULL, .help = "What it does"),
        FIELD_AT("default-value", FIELD_ANY, QomProperty, default_value, .help = "Value if it is not given"),
        FIELD_END
    },
};

void qom_add_property(GArray *properties, const char *name, const char *type, const char *description)
{
    QomProperty p = { g_strdup(name), g_strdup(type), g_strdup(description), NULL };

    g_array_append_val(properties, p);
}

static char *type_text(const Field *f)
{
    return f->type == FIELD_ENUM ? g_strdup(f->of.enumeration->name)
         : f->type == FIELD_CODED ? g_strdup("str") : field_type_text(f);
}

/* The value of a field that nobody has set; NULL: none. */
static Json *default_of(const Field *f)
{
    g_autofree void *value = NULL;
    g_autofree char *text = NULL;
    g_autoptr(Json) object = NULL;
    Json *member;
    JsonWriter *w;

    if (f->flags & FIELD_REQUIRED) {
        return NULL;
    }
    value = g_malloc0(MAX((size_t)f->offset + f->width, (size_t)f->has_offset) + 1);
    field_init(f, value);
    w = json_writer_new(false);
    json_write_begin_object(w, NULL);
    field_write(f, value, w);
    json_write_end_object(w);
    field_clear(f, value);
    text = json_writer_finish(w);
    object = json_parse(text, strlen(text), NULL);
    member = object ? json_object_get_member(object, f->name) : NULL;
    return member ? json_ref(member) : NULL;
}

void qom_add_field(GArray *properties, const Field *field)
{
    QomProperty p = { g_strdup(field->name), type_text(field), g_strdup(field->help), default_of(field) };

    g_array_append_val(properties, p);
}

void qom_add_fields(GArray *properties, const FieldStruct *desc)
{
    if (desc->base) {
        qom_add_fields(properties, desc->base);
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        if (!(f->flags & FIELD_HIDDEN)) {
            qom_add_field(properties, f);
        }
    }
}

static bool add_device_property(const Property *p, void *properties)
{
    g_autofree char *help = NULL;

    if (p->field.flags & FIELD_HIDDEN) {
        return true;
    }
    if (p->link) { /* its slot is a pointer, its value an id */
        help = p->field.help ? g_strdup(p->field.help) : g_strdup_printf("Id of a %s", p->link->kind);
        qom_add_property(properties, p->field.name, "str", help);
    } else {
        qom_add_field(properties, &p->field);
    }
    return true;
}

static void add_cpu_property(const char *name, const char *type, const char *help, void *properties)
{
    qom_add_property(properties, name, type, help);
}

/* What is looked for, and then whether it was found. */
typedef struct Search { const char *name; GArray *properties; bool found; } Search;

static void try_device(const DeviceClass *class, void *opaque)
{
    Search *s = opaque;

    for (; class && !s->found; class = class->base) {
        if (strcmp(class->name, s->name) == 0) {
            s->found = true;
            device_class_properties(class, add_device_property, s->properties);
            if (class->backend) {
                device_class_properties(class->backend, add_device_property, s->properties);
            }
        }
    }
}

static void try_cpu(const char *model, const char *desc, void *opaque)
{
    g_autofree char *name = cpu_model_type_name(model);
    Search *s = opaque;

    if (!s->found && strcmp(name, s->name) == 0) {
        s->found = true;
        cpu_model_each_property(add_cpu_property, s->properties);
        device_class_properties(&cpu_device_class, add_device_property, s->properties);
    }
}

static void try_machine(const MachineClass *class, void *opaque)
{
    g_autofree char *name = g_strconcat(class->name, "-machine", NULL);
    Search *s = opaque;

    if (!s->found && strcmp(name, s->name) == 0) {
        s->found = true;
        qom_add_fields(s->properties, class->options);
    }
}

/* Accelerators, and types of which nothing but the name is known. */
static void try_rest(const QomType *type, void *opaque)
{
    Search *s = opaque;

    if (s->found || strcmp(type->name, s->name) != 0) {
        return;
    }
    s->found = true;
    for (size_t i = 0; accel_classes[i]; i++) {
        if (strcmp(accel_classes[i]->type_name, s->name) == 0) {
            qom_add_fields(s->properties, accel_classes[i]->options);
        }
    }
}

bool qom_type_properties(const char *type, bool devices_only, GArray *properties, GError **error)
{
    const DeviceClass *alias = device_class_find(type, NULL);
    Search s = { alias ? alias->name : type, properties, false };

    device_class_each(try_device, &s);
    cpu_models_each(try_cpu, &s);
    if (devices_only) {
        return s.found || error_set_class(error, ERROR_DEVICE_NOT_FOUND, "Device '%s' not found", type);
    }
    machine_class_each(try_machine, &s);
    for (size_t i = 0; !s.found && object_classes[i]; i++) {
        if (strcmp(object_classes[i]->name, type) == 0) {
            s.found = true;
            qom_add_fields(properties, object_classes[i]->props);
        }
    }
    if (!s.found) {
        qom_types_each(try_rest, &s);
    }
    if (s.found) {
        qom_add_property(properties, "type", "string", NULL);
    }
    return s.found || error_set_class(error, ERROR_DEVICE_NOT_FOUND, "Class '%s' not found", type);
}
