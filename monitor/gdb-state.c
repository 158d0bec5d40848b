/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb server's registers (g G p P) and memory (m M X): "Debugging with GDB",
 * appendix "GDB Remote Serial Protocol", section "Packets".
 *
 * Memory is the current vCPU's, by its page tables, unless the client has asked for
 * guest-physical addresses (gdb-query.c).  A read that runs into what is not mapped gives what
 * comes before.
 */
#include <string.h>

#include "monitor/gdb-internal.h"
#include "vmm/vcpu-memory.h"

#define MEMORY_MAX (GDB_PACKET_MAX / 2) /* bytes of one reply */

/* ---- registers ---- */

static void append_register(GString *out, const Vcpu *vcpu, unsigned n)
{
    uint8_t value[GDB_REGISTER_MAX];

    gdb_register_read(vcpu, n, value);
    gdb_append_bytes(out, value, gdb_register_size(n));
}

void gdb_read_registers(GdbServer *s, const char *args, size_t length)
{
    Vcpu *vcpu = gdb_current(s);
    g_autoptr(GString) out = g_string_new(NULL);

    for (unsigned n = 0; vcpu && n < s->registers.count; n++) {
        append_register(out, vcpu, n);
    }
    gdb_reply(s, vcpu ? out->str : GDB_EFAULT);
}

/* All of a vCPU's registers, or the first of them. */
void gdb_write_registers(GdbServer *s, const char *args, size_t length)
{
    Vcpu *vcpu = gdb_current(s);
    uint8_t value[GDB_REGISTER_MAX];
    bool ok = vcpu != NULL;

    for (unsigned n = 0; ok && *args && n < s->registers.count; n++) {
        ok = gdb_parse_bytes(&args, value, gdb_register_size(n)) && gdb_register_write(vcpu, n, value);
    }
    gdb_reply(s, ok && !*args ? "OK" : GDB_EINVAL);
}

void gdb_read_register(GdbServer *s, const char *args, size_t length)
{
    Vcpu *vcpu = gdb_current(s);
    g_autoptr(GString) out = g_string_new(NULL);
    uint64_t n;

    if (!vcpu || !gdb_parse_hex(&args, &n) || *args || n >= s->registers.count) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    append_register(out, vcpu, (unsigned)n);
    gdb_reply(s, out->str);
}

void gdb_write_register(GdbServer *s, const char *args, size_t length)
{
    Vcpu *vcpu = gdb_current(s);
    uint8_t value[GDB_REGISTER_MAX];
    uint64_t n;
    bool ok = vcpu && gdb_parse_hex(&args, &n) && gdb_parse_char(&args, '=') && n < s->registers.count &&
              gdb_parse_bytes(&args, value, gdb_register_size((unsigned)n)) && !*args &&
              gdb_register_write(vcpu, (unsigned)n, value);

    gdb_reply(s, ok ? "OK" : GDB_EINVAL);
}

/* ---- memory ---- */

static uint64_t read_memory(GdbServer *s, uint64_t address, uint8_t *buffer, uint64_t length)
{
    Vcpu *vcpu = gdb_current(s);

    if (s->physical) {
        return memory_read(domain_memory(s->domain), address, buffer, length) == MEMORY_OK ? length : 0;
    }
    return vcpu ? vcpu_read(vcpu, address, buffer, length) : 0;
}

static bool write_memory(GdbServer *s, uint64_t address, const uint8_t *buffer, uint64_t length)
{
    Vcpu *vcpu = gdb_current(s);

    if (s->physical) {
        return memory_patch(domain_memory(s->domain), address, buffer, length) == MEMORY_OK;
    }
    return vcpu && vcpu_write(vcpu, address, buffer, length) == length;
}

static bool parse_range(const char **text, uint64_t *ret_address, uint64_t *ret_length)
{
    return gdb_parse_hex(text, ret_address) && gdb_parse_char(text, ',') && gdb_parse_hex(text, ret_length);
}

void gdb_read_memory(GdbServer *s, const char *args, size_t length)
{
    g_autoptr(GString) out = g_string_new(NULL);
    uint8_t buffer[MEMORY_MAX];
    uint64_t address, wanted, n;

    if (!parse_range(&args, &address, &wanted) || *args) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    wanted = MIN(wanted, MEMORY_MAX);
    n = read_memory(s, address, buffer, wanted);
    if (wanted && !n) {
        gdb_reply(s, GDB_EFAULT);
        return;
    }
    gdb_append_bytes(out, buffer, n);
    gdb_reply(s, out->str);
}

void gdb_write_memory(GdbServer *s, const char *args, size_t length)
{
    uint8_t buffer[MEMORY_MAX];
    uint64_t address, wanted;

    if (!parse_range(&args, &address, &wanted) || !gdb_parse_char(&args, ':') || wanted > MEMORY_MAX ||
        !gdb_parse_bytes(&args, buffer, wanted) || *args) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    gdb_reply(s, write_memory(s, address, buffer, wanted) ? "OK" : GDB_EFAULT);
}

void gdb_write_binary(GdbServer *s, const char *args, size_t length)
{
    const char *end = args + length;
    uint64_t address, wanted;

    if (!parse_range(&args, &address, &wanted) || !gdb_parse_char(&args, ':') || wanted != (uint64_t)(end - args)) {
        gdb_reply(s, GDB_EINVAL);
        return;
    }
    gdb_reply(s, write_memory(s, address, (const uint8_t *)args, wanted) ? "OK" : GDB_EFAULT);
}
