/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets: objects (-object secret) that hold passwords and keys, so that no other option needs to.  Main thread.
 */
#pragma once

#include "vmm/object.h"

extern const ObjectClass secret_class;
extern const FieldStruct secret_props;

/* Its bytes, which stay the object's.  NULL: there is no such secret. */
const uint8_t *secret_find(Domain *domain, const char *id, size_t *ret_length, GError **error);
