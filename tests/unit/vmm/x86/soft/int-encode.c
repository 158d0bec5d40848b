/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the random integer code is encoded (SDM 2-2.1, 2-2.2): prefixes, REX, ModRM with every form of address that leads
 * into the window, at its edges and sometimes beyond.
 */
#include "int-code.h"

#include "soft-rig.h"

#include <string.h>

/* ---- random things ---- */

uint64_t random_next(Random *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state * UINT64_C(0x2545f4914f6cdd1d);
}

unsigned random_below(Random *r, unsigned n)
{
    return (unsigned)((random_next(r) >> 32) % n);
}

uint64_t random_operand(Random *r)
{
    static const uint64_t values[] = { 0, 1, UINT64_MAX, 0x80, 0x7f, 0x8000, 0x7fff, 0x80000000, 0x7fffffff, INT64_MAX,
                                       UINT64_C(1) << 63, 0xff, 0xffff, 0xffffffff, 0x99, 0x9a };

    switch (random_below(r, 4)) {
    case 0:
        return values[random_below(r, G_N_ELEMENTS(values))];
    case 1:
        return random_next(r) >> random_below(r, 64);
    case 2:
        return (uint64_t)((int64_t)random_next(r) >> random_below(r, 64));
    default:
        return random_next(r);
    }
}

/* ---- encoding ---- */

void code_put(Code *c, unsigned n, uint64_t value)
{
    memcpy(c->bytes + c->n, &value, n);
    c->n += n;
}

unsigned code_base_register(const Code *c)
{
    return c->is_64 ? 8 : 6;
}

unsigned code_index_register(const Code *c)
{
    return c->is_64 ? 9 : 7;
}

unsigned code_pick_register(Code *c)
{
    unsigned r;

    do {
        r = random_below(c->random, c->is_64 ? 16 : 8);
    } while (r == 4 || r == code_base_register(c) || r == code_index_register(c));
    return r;
}

unsigned code_operand_bits(Code *c, bool bytes)
{
    static const unsigned sizes[] = { 16, 32, 64, 8 };
    unsigned n = bytes ? 4 : 3, i;

    do {
        i = random_below(c->random, n);
    } while (sizes[i] == 64 && !c->is_64);
    return sizes[i];
}

void code_put_opcode(Code *c, const Shape *s, unsigned opcode, unsigned rex, bool segment, bool address)
{
    if (s->lock) {
        code_put(c, 1, 0xf0);
    }
    if (segment) {
        code_put(c, 1, c->is_64 ? 0x65 : 0x26);
    }
    if (address) {
        code_put(c, 1, 0x67);
    }
    if (s->bits == 16) {
        code_put(c, 1, 0x66);
    }
    if (s->prefix) {
        code_put(c, 1, s->prefix);
    }
    rex |= s->bits == 64 ? 8 : 0;
    if (c->is_64 && (rex || random_below(c->random, 3) == 0)) {
        code_put(c, 1, 0x40 | rex);
    }
    if (s->map) {
        code_put(c, 1, 0x0f);
    }
    if (s->map == 2) {
        code_put(c, 1, 0x38);
    }
    code_put(c, 1, opcode);
}

static int displacement(Code *c, int limit)
{
    int d = (int)random_below(c->random, (unsigned)limit) - limit / 2;

    return c->aligned ? d & ~15 : d;
}

static void put_memory(Code *c, const Shape *s, unsigned opcode, unsigned reg, unsigned immediate)
{
    unsigned kind = random_below(c->random, c->is_64 ? 8 : 6);
    unsigned base = code_base_register(c), index = code_index_register(c);
    unsigned rex = (reg >> 3) << 2 | (base >> 3), r = (reg & 7) << 3;
    bool segment = !s->plain_address && random_below(c->random, 8) == 0, address = kind == 7;

    if ((kind == 4 || kind == 6) && c->aligned) {
        kind = 5; /* a lock over two cache lines may cost the host's kernel's patience */
    }
    switch (kind) {
    case 0: /* an address of the instruction's own */
        code_put_opcode(c, s, opcode, rex & ~1u, segment, false);
        code_put(c, 1, c->is_64 ? r | 4 : r | 5);
        if (c->is_64) {
            code_put(c, 1, 0x25);
        }
        code_put(c, 4, WINDOW + 0xf80 + (c->aligned ? random_below(c->random, 16) * 16 : random_below(c->random, 256)));
        break;
    case 1:
        code_put_opcode(c, s, opcode, rex, segment, false);
        code_put(c, 1, 0x80 | r | (base & 7));
        code_put(c, 4, (uint32_t)displacement(c, 512));
        break;
    case 2:
    case 3:
        code_put_opcode(c, s, opcode, rex | (index >> 3) << 1, segment, false);
        code_put(c, 1, 0x44 | r);
        code_put(c, 1, random_below(c->random, 4) << 6 | (index & 7) << 3 | (base & 7));
        code_put(c, 1, (uint8_t)displacement(c, 128));
        break;
    case 4: /* relative to the stack pointer */
        code_put_opcode(c, s, opcode, rex & ~1u, segment, false);
        code_put(c, 1, 0x44 | r);
        code_put(c, 1, 0x24);
        code_put(c, 1, (uint8_t)displacement(c, 128));
        break;
    case 6: /* relative to RIP: code runs at different places of its first page */
        code_put_opcode(c, s, opcode, rex & ~1u, segment, false);
        code_put(c, 1, r | 5);
        code_put(c, 4, WINDOW + 0xf80 - RIG_CODE - c->n - 4 - immediate - random_below(c->random, 2) * 0x7c0);
        break;
    default:
        code_put_opcode(c, s, opcode, rex, segment, address);
        code_put(c, 1, 0x40 | r | (base & 7));
        code_put(c, 1, (uint8_t)displacement(c, 128));
        break;
    }
}

void code_put_modrm(Code *c, const Shape *s, unsigned opcode, unsigned reg, unsigned immediate)
{
    unsigned rm = code_pick_register(c);

    if (s->memory_only || (!s->register_only && random_below(c->random, 2))) {
        put_memory(c, s, opcode, reg, immediate);
        return;
    }
    code_put_opcode(c, s, opcode, (reg >> 3) << 2 | rm >> 3, false, false);
    code_put(c, 1, 0xc0 | (reg & 7) << 3 | (rm & 7));
}
