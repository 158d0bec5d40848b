/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The field language: introspection as QMP's query-qmp-schema shows it (QEMU QMP
 * Reference Manual, "QMP introspection", SchemaInfo).
 *
 * Types are entities in one list and refer to each other by name.  Names of
 * structs, enums and alternates are numbers in order of first use, as clients must
 * not rely on them; those of built-in types and of their arrays are their own.
 *
 * Locking: none.
 */
#include <string.h>

#include "vmm/field-internal.h"

typedef enum EntityKind { ENTITY_STRUCT, ENTITY_ENUM, ENTITY_ALTERNATE, ENTITY_ARRAY, ENTITY_BUILTIN } EntityKind;

typedef struct Entity {
    EntityKind kind;
    const void *desc; /* table; ENTITY_ARRAY: unused */
    char *name;
    char *element;    /* ENTITY_ARRAY: name of the type */
    const char *json_type; /* ENTITY_BUILTIN */
} Entity;

typedef struct Root {
    char *name;
    const FieldStruct *arg;
    const Field *ret;
    bool is_event, allow_oob;
    const char *const *features;
} Root;

struct FieldSchema {
    GPtrArray *roots;    /* Root */
    GPtrArray *entities; /* Entity, grows while it is written */
    GHashTable *by_desc; /* table to Entity */
    GHashTable *by_name; /* name to Entity: arrays, built-ins */
};

/* Commands without arguments or results, cases without members. */
static const FieldStruct empty_struct = { .name = "q_empty", .size = 0 };

static void entity_free(gpointer p)
{
    Entity *e = p;

    g_free(e->name);
    g_free(e->element);
    g_free(e);
}

static void root_free(gpointer p)
{
    Root *root = p;

    g_free(root->name);
    g_free(root);
}

FieldSchema *field_schema_new(void)
{
    FieldSchema *s = g_new0(FieldSchema, 1);

    s->roots = g_ptr_array_new_with_free_func(root_free);
    s->entities = g_ptr_array_new_with_free_func(entity_free);
    s->by_desc = g_hash_table_new(NULL, NULL);
    s->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    return s;
}

void field_schema_free(FieldSchema *s)
{
    if (s) {
        g_ptr_array_unref(s->roots);
        g_ptr_array_unref(s->entities);
        g_hash_table_unref(s->by_desc);
        g_hash_table_unref(s->by_name);
        g_free(s);
    }
}

void field_schema_add_command(FieldSchema *s, const char *name, const FieldStruct *arg, const Field *ret,
                              bool allow_oob, const char *const *features)
{
    Root *root = g_new0(Root, 1);

    *root = (Root){ .name = g_strdup(name), .arg = arg, .ret = ret, .allow_oob = allow_oob, .features = features };
    g_ptr_array_add(s->roots, root);
}

void field_schema_add_event(FieldSchema *s, const char *name, const FieldStruct *arg)
{
    Root *root = g_new0(Root, 1);

    *root = (Root){ .name = g_strdup(name), .arg = arg, .is_event = true };
    g_ptr_array_add(s->roots, root);
}

/* ---- names; asking for one makes the entity ---- */

static const char *desc_name(FieldSchema *s, EntityKind kind, const void *desc)
{
    Entity *e = g_hash_table_lookup(s->by_desc, desc);

    if (!e) {
        e = g_new0(Entity, 1);
        e->kind = kind;
        e->desc = desc;
        e->name = g_strdup_printf("%u", g_hash_table_size(s->by_desc));
        g_ptr_array_add(s->entities, e);
        g_hash_table_insert(s->by_desc, (gpointer)desc, e);
    }
    return e->name;
}

static const char *builtin_name(FieldSchema *s, const char *name, const char *json_type)
{
    if (!g_hash_table_contains(s->by_name, name)) {
        Entity *e = g_new0(Entity, 1);

        e->kind = ENTITY_BUILTIN;
        e->name = g_strdup(name);
        e->json_type = json_type;
        g_ptr_array_add(s->entities, e);
        g_hash_table_insert(s->by_name, e->name, e);
    }
    return name;
}

static const char *type_name(FieldSchema *s, const Field *field);

static const char *array_name(FieldSchema *s, const Field *element)
{
    const char *inner = type_name(s, element);
    g_autofree char *name = g_strdup_printf("[%s]", inner);
    Entity *e = g_hash_table_lookup(s->by_name, name);

    if (!e) {
        e = g_new0(Entity, 1);
        e->kind = ENTITY_ARRAY;
        e->name = g_steal_pointer(&name);
        e->element = g_strdup(inner);
        g_ptr_array_add(s->entities, e);
        g_hash_table_insert(s->by_name, e->name, e);
    }
    return e->name;
}

static const char *struct_name(FieldSchema *s, const FieldStruct *desc)
{
    return desc_name(s, ENTITY_STRUCT, desc ? desc : &empty_struct);
}

static const char *type_name(FieldSchema *s, const Field *field)
{
    switch (field->type) {
    case FIELD_BOOL:
        return builtin_name(s, "bool", "boolean");
    case FIELD_INT:
    case FIELD_UINT:
    case FIELD_SIZE:
        return builtin_name(s, "int", "int");
    case FIELD_NUMBER:
        return builtin_name(s, "number", "number");
    case FIELD_STR:
    case FIELD_CODED:
        return builtin_name(s, "str", "string");
    case FIELD_ENUM:
        return desc_name(s, ENTITY_ENUM, field->of.enumeration);
    case FIELD_STRUCT:
        return struct_name(s, field->of.structure);
    case FIELD_LIST:
        return array_name(s, field->of.element);
    case FIELD_ALTERNATE:
        return desc_name(s, ENTITY_ALTERNATE, field->of.alternate);
    case FIELD_NULL:
        return builtin_name(s, "null", "null");
    case FIELD_ANY:
    case FIELD_END_OF_TABLE:
        break;
    }
    return builtin_name(s, "any", "value");
}

/* ---- writing ---- */

static void write_features(JsonWriter *w, const char *const *features, bool deprecated)
{
    if (!deprecated && (!features || !*features)) {
        return;
    }
    json_write_begin_array(w, "features");
    for (; features && *features; features++) {
        if (!deprecated || strcmp(*features, "deprecated") != 0) {
            json_write_string(w, NULL, *features);
        }
    }
    if (deprecated) {
        json_write_string(w, NULL, "deprecated");
    }
    json_write_end_array(w);
}

static void write_members(FieldSchema *s, const FieldStruct *desc, JsonWriter *w)
{
    if (desc->base) {
        write_members(s, desc->base, w);
    }
    for (const Field *f = desc->fields; f && f->type != FIELD_END_OF_TABLE; f++) {
        if (f->flags & FIELD_HIDDEN) {
            continue;
        }
        json_write_begin_object(w, NULL);
        json_write_string(w, "name", f->name);
        if (!(f->flags & FIELD_REQUIRED)) {
            json_write_null(w, "default");
        }
        json_write_string(w, "type", type_name(s, f));
        write_features(w, f->features, f->flags & FIELD_DEPRECATED);
        json_write_end_object(w);
    }
}

/* The struct of the chain that holds the cases; NULL: no union. */
static const FieldStruct *union_part(const FieldStruct *desc)
{
    while (desc && !desc->tag) {
        desc = desc->base;
    }
    return desc;
}

static void write_variants(FieldSchema *s, const FieldStruct *desc, JsonWriter *w)
{
    const FieldStruct *part = union_part(desc);
    const Field *tag;

    if (!part) {
        return;
    }
    tag = field_struct_find(part, part->tag);
    json_write_string(w, "tag", part->tag);
    json_write_begin_array(w, "variants");
    for (const char *const *value = tag->of.enumeration->values; *value; value++) {
        const FieldStruct *members = NULL;

        for (const FieldCase *c = part->cases; c->value; c++) {
            if (strcmp(c->value, *value) == 0) {
                members = c->structure;
            }
        }
        json_write_begin_object(w, NULL);
        json_write_string(w, "case", *value);
        json_write_string(w, "type", struct_name(s, members));
        json_write_end_object(w);
    }
    json_write_end_array(w);
}

static void write_struct(FieldSchema *s, const FieldStruct *desc, JsonWriter *w)
{
    json_write_begin_array(w, "members");
    write_members(s, desc, w);
    json_write_end_array(w);
    write_variants(s, desc, w);
    write_features(w, desc->features, false);
    json_write_string(w, "meta-type", "object");
}

static void write_enum(const FieldEnum *e, JsonWriter *w)
{
    json_write_begin_array(w, "members");
    for (const char *const *value = e->values; *value; value++) {
        json_write_begin_object(w, NULL);
        json_write_string(w, "name", *value);
        json_write_end_object(w);
    }
    json_write_end_array(w);
    json_write_begin_array(w, "values");
    for (const char *const *value = e->values; *value; value++) {
        json_write_string(w, NULL, *value);
    }
    json_write_end_array(w);
    json_write_string(w, "meta-type", "enum");
}

static void write_alternate(FieldSchema *s, const FieldAlternateDesc *a, JsonWriter *w)
{
    const Field *const branches[] = { a->null_branch,   a->bool_branch,  a->int_branch,
                                      a->string_branch, a->array_branch, a->object_branch };

    json_write_begin_array(w, "members");
    for (size_t i = 0; i < G_N_ELEMENTS(branches); i++) {
        if (branches[i]) {
            json_write_begin_object(w, NULL);
            json_write_string(w, "type", type_name(s, branches[i]));
            json_write_end_object(w);
        }
    }
    json_write_end_array(w);
    json_write_string(w, "meta-type", "alternate");
}

static void write_entity(FieldSchema *s, const Entity *e, JsonWriter *w)
{
    json_write_begin_object(w, NULL);
    json_write_string(w, "name", e->name);
    switch (e->kind) {
    case ENTITY_STRUCT:
        write_struct(s, e->desc, w);
        break;
    case ENTITY_ENUM:
        write_enum(e->desc, w);
        break;
    case ENTITY_ALTERNATE:
        write_alternate(s, e->desc, w);
        break;
    case ENTITY_ARRAY:
        json_write_string(w, "element-type", e->element);
        json_write_string(w, "meta-type", "array");
        break;
    case ENTITY_BUILTIN:
        json_write_string(w, "json-type", e->json_type);
        json_write_string(w, "meta-type", "builtin");
        break;
    }
    json_write_end_object(w);
}

static void write_root(FieldSchema *s, const Root *root, JsonWriter *w)
{
    json_write_begin_object(w, NULL);
    json_write_string(w, "name", root->name);
    json_write_string(w, "arg-type", struct_name(s, root->arg));
    if (root->is_event) {
        json_write_string(w, "meta-type", "event");
    } else {
        json_write_string(w, "ret-type", root->ret ? type_name(s, root->ret) : struct_name(s, NULL));
        if (root->allow_oob) {
            json_write_bool(w, "allow-oob", true);
        }
        write_features(w, root->features, false);
        json_write_string(w, "meta-type", "command");
    }
    json_write_end_object(w);
}

void field_schema_write(FieldSchema *s, JsonWriter *w, const char *name)
{
    json_write_begin_array(w, name);
    for (guint i = 0; i < s->roots->len; i++) {
        write_root(s, s->roots->pdata[i], w);
    }
    for (guint i = 0; i < s->entities->len; i++) { /* writing one may add others behind it */
        write_entity(s, s->entities->pdata[i], w);
    }
    json_write_end_array(w);
}
