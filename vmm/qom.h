/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The objects of a domain as one tree, and their types, as QMP clients know them
 * (QEMU's object model, "QOM").  Nothing of it is kept: types come from the lists of
 * device, object, machine and accelerator classes and of CPU models; the tree from
 * what the domain has.
 *
 *     /machine                    the machine: its options
 *     /machine/cpu[N]             vCPUs of -smp: their features; others are where their id puts them
 *     /machine/peripheral/ID      devices of the user's; a virtio-X-pci has a child virtio-backend
 *     /machine/unattached/device[N], /machine/rtc ...   those without an id, and the board's
 *     /objects/ID                 -object
 *
 * Main thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "vmm/command.h"

extern const Command qom_commands[];

/* ---- types: qom-types.c ---- */
typedef struct QomType {
    const char *name, *parent; /* parent NULL: none */
    bool abstract;             /* there is no object of just this type */
} QomType;
typedef void (*QomTypeFn)(const QomType *type, void *opaque);
void qom_types_each(QomTypeFn fn, void *opaque); /* the names live as long as the call */

/* Laid out as qom_property_info says; owned by who has it. */
typedef struct QomProperty {
    char *name, *type, *description;
    Json *default_value;
} QomProperty;
extern const FieldStruct qom_property_info;

/* Appends the properties of a type; DeviceNotFound: there is no such type (or, devices_only, no such device). */
bool qom_type_properties(const char *type, bool devices_only, GArray *properties, GError **error);
void qom_add_property(GArray *properties, const char *name, const char *type, const char *description);
/* Rows of the field language as properties. */
void qom_add_field(GArray *properties, const Field *field);
void qom_add_fields(GArray *properties, const FieldStruct *desc);

/* ---- the tree: qom-tree.c ---- */
/* path: from the root, or the end of one ("disk0/virtio-backend") that there is only once. */
bool qom_list(Domain *domain, const char *path, GArray *properties, GError **error);
Json *qom_get(Domain *domain, const char *path, const char *property, GError **error);
/* Only what may change while it is in use. */
bool qom_set(Domain *domain, const char *path, const char *property, const Json *value, GError **error);
