/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer expressions as people type them: numbers (decimal, 0x, 0 octal, 'c'), $registers, + - * / % & | ^ ~ and
 * parentheses, C's precedence, 64 bits.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A register by its name without the dollar; false: there is none of that name, and error is set. */
typedef bool (*ExpressionRegisterFn)(const char *name, uint64_t *ret, void *opaque, GError **error);

/* *text moves behind the expression, which ends where it cannot go on. */
bool expression_parse(const char **text, ExpressionRegisterFn reg, void *opaque, uint64_t *ret, GError **error);
