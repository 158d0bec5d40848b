/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saved state: a table per device, a self-describing stream of sections.
 *
 * Every section carries its path, its description (field names and types, once)
 * and a checksum (CRC-32C), so a stream of another shape is refused by one clear
 * error before anything is overwritten: loading parses and checks everything into
 * scratch copies first, then applies it.  Fields are only ever appended, under a
 * new version; optional groups are subsections, sent only when needed().
 *
 * State reflects the device being modelled, not how we implement it.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/locks.h"

typedef enum StateType {
    STATE_TYPE_END,
    STATE_TYPE_BOOL,
    STATE_TYPE_U8,
    STATE_TYPE_U16,
    STATE_TYPE_U32,
    STATE_TYPE_U64,
    STATE_TYPE_I32,
    STATE_TYPE_I64,
    STATE_TYPE_BYTES,  /* fixed length */
    STATE_TYPE_BLOB,   /* GByteArray *: variable length, at most `count` bytes */
    STATE_TYPE_STRUCT, /* nested table */
} StateType;

typedef struct StateDesc StateDesc;
typedef struct StateField {
    const char *name;
    StateType type;
    uint32_t offset;
    uint32_t count;          /* elements of an array; 1 */
    uint32_t count_offset;   /* of a uint32_t that says how many of them are in use; 0: all */
    uint32_t stride;         /* bytes between elements */
    uint8_t since;           /* version that appended it; 0 means 1 */
    const StateDesc *nested;
    uint64_t max;            /* load refuses more; 0: any */
} StateField;

struct StateDesc {
    const char *name;
    const char *unmigratable; /* the reason; NULL: it can be saved */
    unsigned version;
    const StateField *fields;
    /* In this order around the table; struct_ points at the described struct. */
    bool (*save)(void *struct_, GError **error);    /* prepare: bring fields up to date */
    bool (*check)(const void *struct_, GError **error); /* of a loaded scratch copy: refuse nonsense */
    bool (*loaded)(void *struct_, GError **error);  /* recompute what is derived */
    bool (*needed)(const void *struct_);            /* subsections */
    const StateDesc *const *subsections;           /* NULL-terminated */
};

/* What DeviceClass.state must be: a table, this one, or a table with only `unmigratable` set (the
 * reason, which saving fails with).  There is no default. */
extern const StateDesc state_none; /* the device has no guest state */

#define STATE_ROW(T, M, TYPE, ...) \
    { .name = #M, .type = TYPE, .offset = offsetof(T, M), .count = 1, .stride = sizeof(((T *)0)->M), __VA_ARGS__ }
#define STATE_BOOL(T, M) STATE_ROW(T, M, STATE_TYPE_BOOL)
#define STATE_U8(T, M)   STATE_ROW(T, M, STATE_TYPE_U8)
#define STATE_U16(T, M)  STATE_ROW(T, M, STATE_TYPE_U16)
#define STATE_U32(T, M)  STATE_ROW(T, M, STATE_TYPE_U32)
#define STATE_U64(T, M)  STATE_ROW(T, M, STATE_TYPE_U64)
#define STATE_I32(T, M)  STATE_ROW(T, M, STATE_TYPE_I32)
#define STATE_I64(T, M)  STATE_ROW(T, M, STATE_TYPE_I64)
#define STATE_BYTES(T, M) \
    { .name = #M, .type = STATE_TYPE_BYTES, .offset = offsetof(T, M), .count = sizeof(((T *)0)->M), .stride = 1 }
#define STATE_ARRAY(T, M, TYPE) \
    { .name = #M, .type = TYPE, .offset = offsetof(T, M), .count = G_N_ELEMENTS(((T *)0)->M), \
      .stride = sizeof(((T *)0)->M[0]) }
#define STATE_STRUCT(T, M, DESC) STATE_ROW(T, M, STATE_TYPE_STRUCT, .nested = DESC)
#define STATE_STRUCTS(T, M, DESC) \
    { .name = #M, .type = STATE_TYPE_STRUCT, .offset = offsetof(T, M), .count = G_N_ELEMENTS(((T *)0)->M), \
      .stride = sizeof(((T *)0)->M[0]), .nested = DESC }
#define STATE_BLOB(T, M, MAX) \
    { .name = #M, .type = STATE_TYPE_BLOB, .offset = offsetof(T, M), .count = MAX, .stride = 1 }
#define STATE_END { .type = STATE_TYPE_END }

/* ---- sections and streams ---- */
/* One item to be saved: a path ("/machine/peripheral/net0"), a table, a struct. */
typedef struct StateItem {
    char *path; /* owned by the list */
    const StateDesc *desc;
    void *struct_;
    size_t size; /* of *struct_: what check() may look at in a scratch copy */
    Lock *lock;  /* held around save() and loaded(); NULL: none */
} StateItem;
typedef struct StateList StateList; /* in order of registration */
/* Sections below this path describe the host's side, which may be another after a restore: a stream may lack them, and
 * who has none of that path passes over them. */
#define STATE_OPTIONAL "/netdevs/"
bool state_is_optional(const char *path);

StateList *state_list_new(void);
void state_list_free(StateList *list);
void state_list_add(StateList *list, const char *path, const StateDesc *desc, void *struct_, size_t size, Lock *lock);
void state_list_remove(StateList *list, void *struct_); /* all its items */

/* Appends every item's section to out.  The domain is paused and quiet. */
bool state_save(StateList *list, GByteArray *out, GError **error);
/* Checks the whole stream against the list (paths, shapes, checksums, bounds), then applies it. */
bool state_load(StateList *list, const uint8_t *data, size_t length, GError **error);
/* What a stream holds, as text: `inspect`. */
bool state_describe(const uint8_t *data, size_t length, GString *out, GError **error);
