/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor commands that make and remove objects.
 */
#pragma once

#include "vmm/command.h"
#include "vmm/object.h"

extern const Command object_commands[];
/* "qom-type", "id", and the properties of the type. */
extern const FieldStruct object_options;
void object_options_add(size_t n, const ObjectClass *class); /* the n-th class */
