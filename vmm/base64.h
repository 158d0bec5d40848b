/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Base64 text (RFC 4648, section 4) from users, checked: GLib's decoder passes over what is no base64.  Any thread.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

/* The bytes, the caller's; white space is passed over.  NULL: error. */
uint8_t *base64_decode(const char *text, size_t *ret_length, GError **error);
