/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports, sums, addresses of the host, memory into files: i, o, sum, gpa2hva, memsave, pmemsave, dump-guest-memory.
 */
#include <inttypes.h>
#include <string.h>

#include "monitor/hmp-memory.h"
#include "vmm/domain.h"
#include "vmm/error.h"

#define SUM_MAX (UINT64_C(1) << 30) /* bytes: vCPUs stand still meanwhile */
#define PIECE   4096

/* Expressions, separated by blanks.  *text becomes what follows them. */
static bool parse_values(HmpCall *call, const char **text, uint64_t *values, unsigned n, GError **error)
{
    bool ran = vcpus_freeze(call->domain), ok = true;

    for (unsigned i = 0; ok && i < n; i++) {
        ok = hmp_parse_value(call, text, &values[i], error);
    }
    vcpus_thaw(call->domain, ran);
    *text += strspn(*text, " \t");
    return ok;
}

static bool parse_only(HmpCall *call, const char *text, uint64_t *values, unsigned n, GError **error)
{
    return parse_values(call, &text, values, n, error) &&
           (!*text || error_set(error, "'%s' does not belong to the expression", text));
}

/* ---- ports ---- */

static const char suffixes[] = { [1] = 'b', [2] = 'w', [4] = 'l' };

static bool check_port(const HmpFormat *f, uint64_t port, GError **error)
{
    if (f->size == 8) {
        return error_set(error, "a port has 1, 2 or 4 bytes: /b, /h or /w");
    }
    return port + f->size <= 0x10000 || error_set(error, "ports are from 0 to 0xffff");
}

bool hmp_in(HmpCall *call, GError **error)
{
    HmpFormat f = { 1, 4, 'x' };
    const char *text = call->rest;
    uint64_t port, value = 0;

    if (!hmp_parse_format(&text, &f, error) || !parse_only(call, text, &port, 1, error) ||
        !check_port(&f, port, error)) {
        return false;
    }
    if (memory_load(domain_ports(call->domain), port, f.size, &value) != MEMORY_OK) {
        value = UINT64_MAX >> (64 - 8 * f.size); /* as the guest would see it */
    }
    g_string_append_printf(call->out, "port%c[0x%04x] = 0x%0*" PRIx64 "\n", suffixes[f.size], (unsigned)port,
                           (int)f.size * 2, value);
    return true;
}

bool hmp_out(HmpCall *call, GError **error)
{
    HmpFormat f = { 1, 4, 'x' };
    const char *text = call->rest;
    uint64_t values[2];

    if (!hmp_parse_format(&text, &f, error) || !parse_only(call, text, values, 2, error) ||
        !check_port(&f, values[0], error)) {
        return false;
    }
    memory_store(domain_ports(call->domain), values[0], f.size, values[1]);
    return true;
}

/* ---- physical memory ---- */

/* The checksum of BSD's sum(1). */
static bool sum_frozen(HmpCall *call, uint64_t address, uint64_t size, uint16_t *ret, GError **error)
{
    uint8_t piece[PIECE];
    unsigned sum = 0;

    for (uint64_t at = 0; at < size; at += PIECE) {
        uint64_t length = MIN(PIECE, size - at);

        if (memory_read(domain_memory(call->domain), address + at, piece, length) != MEMORY_OK) {
            return error_set(error, "Cannot access memory at 0x%016" PRIx64, address + at);
        }
        for (uint64_t i = 0; i < length; i++) {
            sum = ((sum >> 1 | sum << 15) + piece[i]) & 0xffff;
        }
    }
    *ret = (uint16_t)sum;
    return true;
}

bool hmp_sum(HmpCall *call, GError **error)
{
    uint64_t values[2];
    uint16_t sum = 0;
    bool ran, ok;

    if (!parse_only(call, call->rest, values, 2, error)) {
        return false;
    }
    if (values[1] > SUM_MAX) {
        return error_set(error, "at most 1 GiB can be summed up at once");
    }
    ran = vcpus_freeze(call->domain);
    ok = sum_frozen(call, values[0], values[1], &sum, error);
    vcpus_thaw(call->domain, ran);
    if (ok) {
        g_string_append_printf(call->out, "%05u\n", sum);
    }
    return ok;
}

bool hmp_gpa2hva(HmpCall *call, GError **error)
{
    uint64_t address, length = 1;
    MemoryRange range;
    const void *host;

    if (!parse_only(call, call->rest, &address, 1, error)) {
        return false;
    }
    host = memory_ram_pointer(domain_memory(call->domain), address, &length, false);
    if (!host || !memory_lookup(domain_memory(call->domain), address, &range)) {
        return error_set(error, "No memory is mapped at address 0x%" PRIx64, address);
    }
    g_string_append_printf(call->out, "Host virtual address for 0x%" PRIx64 " (%s) is %p\n", address,
                           range.region->name, host);
    return true;
}

/* ---- into files ---- */

/* The last word is the file, or what is in quotation marks.  It is cut off before the expressions are read, which would
 * take the '/' of a path for a division. */
static bool split_off_file(char *text, char **ret_file, GError **error)
{
    char *at = strchr(text, '"');

    if (!at) {
        at = g_strchomp(text) + strlen(text);
        while (at > text && !g_ascii_isspace(at[-1])) {
            at--;
        }
        *ret_file = g_strdup(at);
    } else {
        *ret_file = g_shell_unquote(at, NULL);
    }
    *at = '\0';
    return *ret_file || error_set(error, "the quotation of the file's name does not end");
}

static bool save(HmpCall *call, const char *command, bool is_virtual, GError **error)
{
    g_autofree char *text = g_strdup(call->rest), *file = NULL;
    uint64_t values[2];
    Json *arguments;

    if (parse_only(call, call->rest, values, 2, NULL)) {
        return error_set(error, "%s needs the name of a file", command);
    }
    if (!split_off_file(text, &file, error) || !parse_only(call, text, values, 2, error)) {
        return false;
    }
    arguments = json_new_object();
    hmp_put_number(arguments, "val", values[0]);
    hmp_put_number(arguments, "size", values[1]);
    json_object_put_member(arguments, "filename", json_new_string(file));
    if (is_virtual) {
        hmp_put_number(arguments, "cpu-index", call->session->cpu);
    }
    return hmp_call_qmp(call, command, arguments, NULL, error);
}

bool hmp_memsave(HmpCall *call, GError **error)
{
    return save(call, "memsave", true, error);
}

bool hmp_pmemsave(HmpCall *call, GError **error)
{
    return save(call, "pmemsave", false, error);
}

/* A name at the beginning, in quotation marks or one word.  NULL: the quotation does not end. */
static char *first_name(const char **text)
{
    const char *end = **text == '"' ? strchr(*text + 1, '"') : NULL;
    g_autofree char *quoted = NULL;

    if (**text != '"') {
        return hmp_first_word(*text, text);
    }
    if (!end) {
        return NULL;
    }
    quoted = g_strndup(*text + 1, (gsize)(end - *text - 1));
    *text = end + 1 + strspn(end + 1, " \t");
    return g_steal_pointer(&quoted);
}

/* [-p] [-d] [-z] FILE [BEGIN LENGTH] */
bool hmp_dump_guest_memory(HmpCall *call, GError **error)
{
    const char *text = call->rest;
    Json *arguments = json_new_object();
    g_autofree char *file = NULL, *protocol = NULL;
    uint64_t range[2];
    bool ok = true;

    json_object_put_member(arguments, "paging", json_new_bool(false));
    for (; ok && *text == '-'; text += strspn(text, " \t")) {
        g_autofree char *option = hmp_first_word(text, &text);

        if (g_str_equal(option, "-p") || g_str_equal(option, "-d")) {
            json_object_put_member(arguments, option[1] == 'p' ? "paging" : "detach", json_new_bool(true));
        } else if (g_str_equal(option, "-z")) {
            json_object_put_member(arguments, "format", json_new_string("kdump-zlib"));
        } else {
            ok = error_set(error, "'%s' is no option of dump-guest-memory", option);
        }
    }
    file = first_name(&text);
    protocol = g_strconcat("file:", file, NULL);
    json_object_put_member(arguments, "protocol", json_new_string(protocol));
    if (ok && (!file || !file[0])) {
        ok = error_set(error, "dump-guest-memory needs the name of a file");
    }
    if (ok && *text) {
        ok = parse_only(call, text, range, 2, error);
        hmp_put_number(arguments, "begin", ok ? range[0] : 0);
        hmp_put_number(arguments, "length", ok ? range[1] : 0);
    }
    if (!ok) {
        json_unref(arguments);
        return false;
    }
    return hmp_call_qmp(call, "dump-guest-memory", arguments, NULL, error);
}
