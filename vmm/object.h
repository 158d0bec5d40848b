/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * User-created objects (-object, object-add): iothreads, memory backends, random
 * sources, secrets, and what the floors above add.  A class is a table; the list of
 * classes is explicit.  Main thread.
 */
#pragma once

#include "vmm/device.h"
#include "vmm/field.h"

typedef struct Object Object;
typedef struct ObjectClass {
    const char *name; /* "iothread" */
    const char *desc;
    size_t size;      /* struct with Object first */
    const FieldStruct *props;
    bool (*create)(Object *obj, GError **error); /* on failure it leaves nothing behind */
    void (*destroy)(Object *obj);
    /* After a FIELD_RUNTIME property was set. */
    bool (*changed)(Object *obj, const char *name, GError **error);
    /* When the command line's are made: early, before chardevs and block nodes, which may need them; else after
     * chardevs; late, after networks, which they name. */
    bool early, late;
} ObjectClass;

struct Object {
    const ObjectClass *class;
    Domain *domain;
    char *id;
    unsigned users; /* links to it; object-del refuses while there are any */
};

#define OBJECT_CLASSES_MAX 64
/* NULL-terminated; constant after object_classes_add(), which the floors above call once, before anything else. */
extern const ObjectClass *object_classes[OBJECT_CLASSES_MAX + 1];
void object_classes_add(const ObjectClass *const *classes);
const ObjectClass *object_class_find(const char *name, GError **error);
Object *object_add(Domain *domain, const Json *options, GError **error); /* "qom-type", "id", properties */
bool object_del(Domain *domain, const char *id, GError **error);
void objects_free(Domain *domain); /* all of them, at the end: nothing uses one any more */
/* Sets a FIELD_RUNTIME property. */
bool object_set(Object *obj, const char *name, const Json *value, GError **error);
/* GenericError "... is not an X" when the class differs. */
Object *object_find(Domain *domain, const char *id, const ObjectClass *class, GError **error);
typedef bool (*ObjectFn)(Object *obj, void *opaque);
bool object_each(Domain *domain, ObjectFn fn, void *opaque);
void object_classes_help(GString *out);
void object_class_help(const ObjectClass *class, GString *out);
/* Attach/detach for PROP_LINK slots: find, count the user. */
bool object_link_attach(Device *dev, const char *id, const ObjectClass *class, void **slot, GError **error);
void object_link_detach(Device *dev, void **slot);

/* iothread: a loop on a thread of its own. */
typedef struct IoThread IoThread;
extern const ObjectClass iothread_class;
extern const FieldStruct iothread_props;
extern const LinkClass iothread_link;
Loop *iothread_loop(IoThread *thread);
