/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The field language: one table describes a C struct to the outside world.
 *
 * From a FieldStruct come: parsing of key=value text and of JSON into the C
 * struct, argument checking (unknown, missing, ill-typed, out of range: one
 * error that names the field and the nearest name that exists), writing it back
 * as JSON, `help`, and introspection (query-qmp-schema, device-list-properties).
 * It has everything that QMP needs: optional members, lists, nested structs,
 * enums, tagged unions, alternates, int64 and uint64 kept apart, features.
 *
 * How a value lies in C:
 *   FIELD_BOOL      bool
 *   FIELD_INT/UINT  intN_t / uintN_t, N = 8 * width
 *   FIELD_SIZE      uint64_t, bytes; text may end in K M G T P E (powers of 1024)
 *   FIELD_NUMBER    double
 *   FIELD_STR       char *, owned by the struct; NULL: absent
 *   FIELD_ENUM      int, index into FieldEnum.values
 *   FIELD_STRUCT    the struct itself; with FIELD_POINTER a pointer to it, owned, NULL: absent
 *   FIELD_LIST      FieldList of `element` values
 *   FIELD_ALTERNATE FieldAlternate
 *   FIELD_ANY       Json *, owned; NULL: absent
 *   FIELD_NULL      nothing
 *   FIELD_CODED     as the codec says; the text form is a string or an integer
 * Presence: a required field is always there; an optional one has a default, or
 * a `has` bool beside it (FIELD_HAS), or a NULL that means absent.
 *
 * Any thread; tables are const.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/json.h"

typedef struct Field Field;
typedef struct FieldStruct FieldStruct;

typedef enum FieldType {
    FIELD_END_OF_TABLE,
    FIELD_BOOL,
    FIELD_INT,
    FIELD_UINT,
    FIELD_SIZE,
    FIELD_NUMBER,
    FIELD_STR,
    FIELD_ENUM,
    FIELD_STRUCT,
    FIELD_LIST,
    FIELD_ALTERNATE,
    FIELD_ANY,
    FIELD_NULL,
    FIELD_CODED,
} FieldType;

typedef enum FieldFlags {
    FIELD_REQUIRED = 1 << 0,
    FIELD_POINTER  = 1 << 1, /* FIELD_STRUCT: stored as an owned pointer */
    FIELD_SECRET   = 1 << 2, /* never printed or logged */
    FIELD_READONLY = 1 << 3, /* listed, cannot be set */
    FIELD_RUNTIME  = 1 << 4, /* may be set while the device runs */
    FIELD_HIDDEN   = 1 << 5, /* accepted, not listed by help */
    FIELD_DEPRECATED = 1 << 6,
    FIELD_WRAPS    = 1 << 7, /* FIELD_UINT: a negative number is what it is modulo 2^64 */
} FieldFlags;

typedef struct FieldEnum {
    const char *name;
    const char *const *values; /* index is the C value; NULL ends */
} FieldEnum;

/* A textual or numeric form of its own: MAC address, PCI address, UUID, CPU list. */
typedef struct FieldCodec {
    const char *name;     /* what errors and help call it: "MAC address" */
    const char *example;  /* "52:54:00:12:34:56" */
    size_t size;
    bool accepts_int;     /* a JSON integer is passed as its decimal text */
    bool (*parse)(const char *text, void *value, GError **error);
    char *(*format)(const void *value); /* caller frees */
    void (*clear)(void *value);         /* NULL: nothing owned */
} FieldCodec;

/* Branches of an alternate are told apart by the type of the JSON value. */
typedef struct FieldAlternateDesc {
    const char *name;
    const Field *null_branch, *bool_branch, *int_branch, *string_branch, *array_branch, *object_branch;
} FieldAlternateDesc;

typedef struct FieldAlternate {
    const Field *branch; /* which; NULL: absent */
    void *value;         /* owned, laid out as the branch says */
} FieldAlternate;

typedef struct FieldList {
    void *items; /* n elements, each as large as the element field says; owned */
    size_t n;
} FieldList;
/* The I-th of LIST as a TYPE lvalue. */
#define FIELD_LIST_AT(LIST, TYPE, I) (((TYPE *)(LIST).items)[I])

struct Field {
    const char *name;
    FieldType type;
    uint32_t width; /* sizeof the C member */
    uint16_t flags;
    uint32_t offset;
    uint32_t has_offset; /* of a bool, plus 1; 0: none */
    union {
        bool b;
        int64_t i;
        uint64_t u;
        double d;
        const char *s;
    } def;               /* used when absent, unless FIELD_REQUIRED or has_offset; a codec's is text (s);
                          * a 0 below `min` means "not given" */
    int64_t min, max;    /* both 0: the type's own range; unsigned bounds when FIELD_UINT or FIELD_SIZE */
    union {
        const FieldEnum *enumeration;
        const FieldStruct *structure;
        const Field *element; /* FIELD_LIST; its offset is 0 */
        const FieldAlternateDesc *alternate;
        const FieldCodec *codec;
    } of;
    const char *const *features; /* NULL-terminated; NULL: none */
    const char *help;            /* one line, without a full stop; "(default: ...)" in it replaces ours */
};

typedef struct FieldCase {
    const char *value;             /* of the tag */
    const FieldStruct *structure;  /* its members; NULL: none */
} FieldCase;

struct FieldStruct {
    const char *name; /* "BlockdevOptionsFile": introspection, documentation */
    size_t size;
    const FieldStruct *base; /* its members come first; shares offset 0 */
    const Field *fields;
    /* A tagged union: `tag` names an enum member of this struct or of its base; the
     * chosen case's struct is allocated and hung at variant_offset (void *). */
    const char *tag;
    const FieldCase *cases; /* value NULL ends */
    uint32_t variant_offset;
    const char *const *features;
    const char *help;
};

/* ---- rows ---- */
#define FIELD_END { .type = FIELD_END_OF_TABLE }
/* A table without more than its fields. */
#define FIELD_TABLE(NAME, T, HELP, ...)                                                                                \
    { .name = NAME, .size = sizeof(T), .help = HELP, .fields = (const Field[]) { __VA_ARGS__, FIELD_END } }
/* { "data": { ... } } around a struct, at the same place in memory: branches of unions that are not flat. */
#define FIELD_DATA(VARIABLE, NAME, T, TABLE_OF, HELP)                                                                  \
    typedef struct VARIABLE##_data { T data; } VARIABLE##_data;                                                        \
    static const FieldStruct VARIABLE = FIELD_TABLE(                                                                   \
        NAME, VARIABLE##_data, HELP,                                                                                   \
        F_STRUCT("data", VARIABLE##_data, data, &TABLE_OF, .flags = FIELD_REQUIRED, .help = HELP))
#define FIELD_AT(NAME, KIND, T, M, ...) \
    { .name = NAME, .type = KIND, .offset = offsetof(T, M), .width = sizeof(((T *)0)->M), __VA_ARGS__ }
#define F_BOOL(NAME, T, M, DEF, ...) FIELD_AT(NAME, FIELD_BOOL, T, M, .def.b = DEF, __VA_ARGS__)
#define F_INT(NAME, T, M, DEF, ...)  FIELD_AT(NAME, FIELD_INT, T, M, .def.i = DEF, __VA_ARGS__)
#define F_UINT(NAME, T, M, DEF, ...) FIELD_AT(NAME, FIELD_UINT, T, M, .def.u = DEF, __VA_ARGS__)
#define F_SIZE(NAME, T, M, DEF, ...) FIELD_AT(NAME, FIELD_SIZE, T, M, .def.u = DEF, __VA_ARGS__)
#define F_STR(NAME, T, M, DEF, ...)  FIELD_AT(NAME, FIELD_STR, T, M, .def.s = DEF, __VA_ARGS__)
#define F_ENUM(NAME, T, M, E, DEF, ...) FIELD_AT(NAME, FIELD_ENUM, T, M, .of.enumeration = E, .def.i = DEF, __VA_ARGS__)
#define F_STRUCT(NAME, T, M, S, ...) FIELD_AT(NAME, FIELD_STRUCT, T, M, .of.structure = S, __VA_ARGS__)
#define F_LIST(NAME, T, M, ELEMENT, ...) FIELD_AT(NAME, FIELD_LIST, T, M, .of.element = ELEMENT, __VA_ARGS__)
#define F_ALTERNATE(NAME, T, M, A, ...) FIELD_AT(NAME, FIELD_ALTERNATE, T, M, .of.alternate = A, __VA_ARGS__)
#define F_CODED(NAME, T, M, C, ...) FIELD_AT(NAME, FIELD_CODED, T, M, .of.codec = C, __VA_ARGS__)
#define FIELD_HAS(T, M) .has_offset = offsetof(T, M) + 1
/* A value that is no struct member: an element of a list, a branch of an alternate, what a
 * command returns.  CTYPE is how it lies in C. */
#define FIELD_VALUE(KIND, CTYPE, ...) { .type = KIND, .width = sizeof(CTYPE), __VA_ARGS__ }

extern const FieldEnum field_on_off_auto; /* auto, on, off in this order */
typedef enum OnOffAuto { ON_OFF_AUTO_AUTO, ON_OFF_AUTO_ON, ON_OFF_AUTO_OFF } OnOffAuto;

/* ---- values ---- */
typedef enum FieldParseFlags {
    FIELD_STRICT  = 0,
    /* "on"/"off"/"yes"/"no" for bool, numbers and sizes as strings, numbers where a string is
     * wanted: command line and -device JSON, whose senders mix them. */
    FIELD_LENIENT = 1 << 0,
} FieldParseFlags;

/* Sets every field of *value to its default or to absent (value is raw memory). */
void field_struct_init(const FieldStruct *desc, void *value);
/* Frees what *value owns and makes everything absent.  Also fit for zeroed memory. */
void field_struct_clear(const FieldStruct *desc, void *value);
/* init + set from object.  On failure *value owns nothing. */
bool field_struct_parse(const FieldStruct *desc, const Json *object, FieldParseFlags flags, void *value,
                        GError **error);
/* text is "value-of-implied-key,key=value,nested.key=value,list.0=x" (",," is a comma) or a
 * JSON object when it begins with '{'.  implied may be NULL. */
bool field_struct_parse_text(const FieldStruct *desc, const char *text, const char *implied, void *value,
                             GError **error);
void field_struct_write(const FieldStruct *desc, const void *value, JsonWriter *w, const char *name);
void field_struct_help(const FieldStruct *desc, const char *title, GString *out);
/* Lists mistakes of the table itself (offsets, names, missing help); for tests. NULL: none. */
char *field_struct_check(const FieldStruct *desc);

/* One field of a struct at base. */
const Field *field_find(const Field *fields, const char *name); /* NULL: none */
const Field *field_struct_find(const FieldStruct *desc, const char *name); /* bases included */
void field_init(const Field *field, void *base);
bool field_parse(const Field *field, const Json *value, FieldParseFlags flags, void *base, GError **error);
bool field_parse_text(const Field *field, const char *text, void *base, GError **error);
void field_write(const Field *field, const void *base, JsonWriter *w);
char *field_format(const Field *field, const void *base); /* text form; caller frees */
void field_clear(const Field *field, void *base);
void field_help(const Field *field, GString *out); /* one line: "  name=<type>  - help (default: x)" */
char *field_type_text(const Field *field);         /* "uint32", "size", "str", "on|off|auto" */
/* "Parameter 'x' is unknown" with the nearest of fields; returns false. */
bool field_unknown(GError **error, const char *name, const FieldStruct *desc);

/* key=value text to a JSON object of strings (nested by dots; "key" alone is "key=on"), or a JSON
 * object as it is when text begins with '{'. */
Json *keyval_parse(const char *text, const char *implied, GError **error);
/* A value for such text, its commas doubled; the caller's. */
char *keyval_quote(const char *value);
/* Is text a question: an item "help" or "?", KEY=?, or "help" for the implied key or `asks` (NULL: none).  *ret_subject
 * is the value of the implied key ("virtio-blk-pci,help"), *ret_key the key asked about ("format=?");
 * NULL: none.  The caller frees both. */
bool keyval_wants_help(const char *text, const char *implied, const char *asks, char **ret_subject, char **ret_key);
/* "1.5G", "512M", "0x100": bytes; a bare number is multiplied by unit. */
bool size_parse(const char *text, uint64_t unit, uint64_t *ret, GError **error);

/* ---- introspection ---- */
/* Collects the types reachable from what is added and writes query-qmp-schema's array. */
typedef struct FieldSchema FieldSchema;
FieldSchema *field_schema_new(void);
/* arg NULL: takes none; ret NULL: returns {}. */
void field_schema_add_command(FieldSchema *s, const char *name, const FieldStruct *arg, const Field *ret,
                              bool allow_oob, const char *const *features);
void field_schema_add_event(FieldSchema *s, const char *name, const FieldStruct *arg);
void field_schema_write(FieldSchema *s, JsonWriter *w, const char *name);
void field_schema_free(FieldSchema *s);
