/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See monitor/expression.h.  Recursive descent, a level of precedence a row of `levels`; depth is bounded.
 */
#include "monitor/expression.h"

#include <errno.h>
#include <string.h>

#include "vmm/error.h"

#define DEPTH_MAX 32

typedef struct Parser {
    const char *at;
    unsigned depth; /* of parentheses and signs */
    ExpressionRegisterFn reg;
    void *opaque;
} Parser;

/* Weakest first. */
static const char *const levels[] = { "|", "^", "&", "+-", "*/%" };

static void skip_space(Parser *p)
{
    p->at += strspn(p->at, " \t");
}

static bool parse_level(Parser *p, unsigned level, uint64_t *ret, GError **error);

static bool parse_register(Parser *p, uint64_t *ret, GError **error)
{
    const char *begin = ++p->at;
    g_autofree char *name = NULL;

    while (g_ascii_isalnum(*p->at) || *p->at == '_') {
        p->at++;
    }
    name = g_strndup(begin, (gsize)(p->at - begin));
    return p->reg ? p->reg(name, ret, p->opaque, error) : error_set(error, "there is no register '$%s' here", name);
}

static bool parse_number(Parser *p, uint64_t *ret, GError **error)
{
    char *end;

    if (p->at[0] == '\'' && p->at[1] && p->at[2] == '\'') {
        *ret = (uint8_t)p->at[1];
        p->at += 3;
        return true;
    }
    if (!g_ascii_isdigit(*p->at)) {
        return error_set(error, *p->at ? "a number is expected at '%s'" : "a number is expected at the end", p->at);
    }
    errno = 0;
    *ret = g_ascii_strtoull(p->at, &end, 0);
    if (errno == ERANGE) {
        return error_set(error, "'%.*s' has more than 64 bits", (int)(end - p->at), p->at);
    }
    p->at = end;
    return true;
}

static bool parse_unary(Parser *p, uint64_t *ret, GError **error)
{
    bool ok;
    char c;

    skip_space(p);
    c = *p->at;
    if (c == '$') {
        return parse_register(p, ret, error);
    }
    if (!c || !strchr("-+~(", c)) {
        return parse_number(p, ret, error);
    }
    if (++p->depth > DEPTH_MAX) {
        return error_set(error, "the expression is nested too deeply");
    }
    p->at++;
    ok = c == '(' ? parse_level(p, 0, ret, error) : parse_unary(p, ret, error);
    p->depth--;
    skip_space(p);
    if (ok && c == '(' && *p->at++ != ')') {
        return error_set(error, "a ')' is missing");
    }
    *ret = !ok ? *ret : c == '-' ? -*ret : c == '~' ? ~*ret : *ret;
    return ok;
}

static bool apply(char operation, uint64_t *left, uint64_t right, GError **error)
{
    if ((operation == '/' || operation == '%') && !right) {
        return error_set(error, "a division by zero");
    }
    *left = operation == '|' ? *left | right : operation == '^' ? *left ^ right : operation == '&' ? *left & right
          : operation == '+' ? *left + right : operation == '-' ? *left - right : operation == '*' ? *left * right
          : operation == '/' ? *left / right : *left % right;
    return true;
}

static bool parse_level(Parser *p, unsigned level, uint64_t *ret, GError **error)
{
    uint64_t right;

    if (level == G_N_ELEMENTS(levels)) {
        return parse_unary(p, ret, error);
    }
    if (!parse_level(p, level + 1, ret, error)) {
        return false;
    }
    for (skip_space(p); *p->at && strchr(levels[level], *p->at); skip_space(p)) {
        char operation = *p->at++;

        if (!parse_level(p, level + 1, &right, error) || !apply(operation, ret, right, error)) {
            return false;
        }
    }
    return true;
}

bool expression_parse(const char **text, ExpressionRegisterFn reg, void *opaque, uint64_t *ret, GError **error)
{
    Parser p = { *text, 0, reg, opaque };
    uint64_t value;

    if (!parse_level(&p, 0, &value, error)) {
        return false;
    }
    *text = p.at;
    *ret = value;
    return true;
}
