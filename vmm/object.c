/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User-created objects: the explicit list of classes, creation and removal, links.
 *
 * Locking: none; main thread.  The list is the process', constant after object_classes_add().
 */
#include "vmm/object.h"

#include <string.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/memory-backend.h"
#include "vmm/object-commands.h"
#include "vmm/rng.h"
#include "vmm/secret.h"

const ObjectClass *object_classes[OBJECT_CLASSES_MAX + 1] = {
    &iothread_class,
    &memory_backend_file_class,
    &memory_backend_memfd_class,
    &memory_backend_ram_class,
    &rng_builtin_class.object,
    &rng_egd_class.object,
    &rng_random_class.object,
    &secret_class,
    NULL,
};

static bool is_listed(const ObjectClass *class, size_t *ret_n)
{
    for (*ret_n = 0; object_classes[*ret_n]; ++*ret_n) {
        if (object_classes[*ret_n] == class) {
            return true;
        }
    }
    return false;
}

void object_classes_add(const ObjectClass *const *classes)
{
    size_t n;

    for (; *classes; classes++) {
        if (!is_listed(*classes, &n)) {
            g_assert(n < OBJECT_CLASSES_MAX);
            object_classes[n] = *classes;
            object_options_add(n, *classes);
        }
    }
}

const ObjectClass *object_class_find(const char *name, GError **error)
{
    const char *names[G_N_ELEMENTS(object_classes)] = { NULL };
    const char *nearest;

    for (size_t i = 0; object_classes[i]; i++) {
        if (strcmp(object_classes[i]->name, name) == 0) {
            return object_classes[i];
        }
        names[i] = object_classes[i]->name;
    }
    error_set(error, "There is no object type '%s'", name);
    nearest = error_nearest(name, names);
    if (nearest) {
        error_hint(error, "Did you mean '%s'?", nearest);
    } else {
        error_hint(error, "See -object help.");
    }
    return NULL;
}

/* ---- creation and removal ---- */

typedef struct Split {
    Json *properties; /* all members but these two */
    const char *type, *id;
} Split;

static bool split_member(const char *name, Json *value, void *opaque)
{
    Split *s = opaque;

    if (strcmp(name, "qom-type") == 0 && json_type_of(value) == JSON_STRING) {
        s->type = json_get_string(value);
    } else if (strcmp(name, "id") == 0 && json_type_of(value) == JSON_STRING) {
        s->id = json_get_string(value);
    } else {
        json_object_put_member(s->properties, name, json_ref(value));
    }
    return true;
}

static Object *create(Domain *domain, const ObjectClass *class, const char *id, const Json *properties, GError **error)
{
    Object *obj = g_malloc0(class->size);

    if (!field_struct_parse(class->props, properties, FIELD_LENIENT, obj, error)) {
        g_free(obj);
        return NULL;
    }
    obj->class = class;
    obj->domain = domain;
    obj->id = g_strdup(id);
    if (!class->create(obj, error)) {
        field_struct_clear(class->props, obj);
        g_free(obj->id);
        g_free(obj);
        return NULL;
    }
    return obj;
}

Object *object_add(Domain *domain, const Json *options, GError **error)
{
    g_autoptr(Json) properties = json_new_object();
    Split s = { .properties = properties };
    const ObjectClass *class;
    Object *obj;

    json_object_each(options, split_member, &s);
    if (!s.type || !s.id) {
        error_set(error, "An object needs %s", s.type ? "an id" : "a type");
        error_hint(error, "Write -object TYPE,id=NAME.");
        return NULL;
    }
    class = object_class_find(s.type, error);
    if (!class || !domain_check_id(domain, TABLE_OBJECTS, s.id, "object", error)) {
        return NULL;
    }
    obj = create(domain, class, s.id, properties, error);
    if (!obj) {
        error_subject(error, s.id);
        return NULL;
    }
    g_hash_table_insert(domain_table(domain, TABLE_OBJECTS), g_strdup(s.id), obj);
    return obj;
}

static void object_free(Object *obj)
{
    obj->class->destroy(obj);
    field_struct_clear(obj->class->props, obj);
    g_free(obj->id);
    g_free(obj);
}

bool object_del(Domain *domain, const char *id, GError **error)
{
    GHashTable *table = domain_table(domain, TABLE_OBJECTS);
    Object *obj = object_find(domain, id, NULL, error);

    if (!obj) {
        return false;
    }
    if (obj->users) {
        error_set(error, "Object '%s' is in use", id);
        return error_hint(error, "Remove what uses it first.");
    }
    g_hash_table_remove(table, id);
    object_free(obj);
    return true;
}

void objects_free(Domain *domain)
{
    GHashTable *table = domain_table(domain, TABLE_OBJECTS);
    GHashTableIter it;
    gpointer obj;

    g_hash_table_iter_init(&it, table);
    while (g_hash_table_iter_next(&it, NULL, &obj)) {
        g_hash_table_iter_remove(&it);
        object_free(obj);
    }
}

/* ---- finding ---- */

Object *object_find(Domain *domain, const char *id, const ObjectClass *class, GError **error)
{
    GHashTable *table = domain_table(domain, TABLE_OBJECTS);
    Object *obj = g_hash_table_lookup(table, id);

    if (!obj) {
        g_autofree const char **ids = (const char **)g_hash_table_get_keys_as_array(table, NULL);
        const char *nearest = error_nearest(id, ids);

        error_set(error, "There is no object '%s'", id);
        if (nearest) {
            error_hint(error, "Did you mean '%s'?", nearest);
        } else if (class) {
            error_hint(error, "Add -object %s,id=%s.", class->name, id);
        }
        return NULL;
    }
    if (class && obj->class != class) {
        error_set(error, "Object '%s' is not an %s but an %s", id, class->name, obj->class->name);
        return NULL;
    }
    return obj;
}

bool object_each(Domain *domain, ObjectFn fn, void *opaque)
{
    GHashTable *table = domain_table(domain, TABLE_OBJECTS);
    g_autoptr(GList) ids = g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp);

    for (GList *l = ids; l; l = l->next) {
        if (!fn(g_hash_table_lookup(table, l->data), opaque)) {
            return false;
        }
    }
    return true;
}

bool object_set(Object *obj, const char *name, const Json *value, GError **error)
{
    const Field *field = field_struct_find(obj->class->props, name);

    if (!field) {
        field_unknown(error, name, obj->class->props);
        return error_subject(error, obj->id);
    }
    if (!(field->flags & FIELD_RUNTIME)) {
        error_set(error, "Property '%s' cannot be changed any more", name);
        return error_subject(error, obj->id);
    }
    if (!field_parse(field, value, FIELD_LENIENT, obj, error) || !obj->class->changed(obj, name, error)) {
        return error_subject(error, obj->id);
    }
    return true;
}

bool object_link_attach(Device *dev, const char *id, const ObjectClass *class, void **slot, GError **error)
{
    Object *obj = object_find(dev->domain, id, class, error);

    if (obj) {
        obj->users++;
        *slot = obj;
    }
    return obj != NULL;
}

void object_link_detach(Device *dev, void **slot)
{
    Object *obj = *slot;

    if (obj) {
        obj->users--;
        *slot = NULL;
    }
}

/* ---- help ---- */

void object_classes_help(GString *out)
{
    g_string_append(out, "Objects (-object TYPE,id=NAME,...; -object TYPE,help lists the properties):\n");
    for (size_t i = 0; object_classes[i]; i++) {
        g_string_append_printf(out, "  %-22s %s\n", object_classes[i]->name, object_classes[i]->desc);
    }
}

void object_class_help(const ObjectClass *class, GString *out)
{
    g_autofree char *title = g_strdup_printf("%s options", class->name);

    field_struct_help(class->props, title, out);
}
