/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets: "Debugging with GDB", appendix "GDB Remote Serial Protocol", sections
 * "Overview", "Packet Acknowledgment", "Interrupts".
 *
 *     $ content # XX     XX: sum of the content's bytes as they are on the wire, mod 256
 *     }                  escapes the next byte, which is XORed with 0x20
 *     + -                acknowledge, ask again
 *
 * A '$' always begins a packet, so whatever came before, the next packet is understood.
 * Run-length encoding is for replies, which do without it.
 *
 * Locking: none.
 */
#include "monitor/gdb-packet.h"

#include <string.h>

#define INTERRUPT 0x03
#define ESCAPE    '}'
#define FLIP      0x20

static const char digits[] = "0123456789abcdef";

void gdb_wire_init(GdbWire *wire, const GdbWireOps *ops, void *opaque)
{
    wire->ops = ops;
    wire->opaque = opaque;
    wire->last = g_byte_array_new();
    gdb_wire_reset(wire);
}

void gdb_wire_finish(GdbWire *wire)
{
    g_clear_pointer(&wire->last, g_byte_array_unref);
}

void gdb_wire_reset(GdbWire *wire)
{
    wire->state = WIRE_IDLE;
    wire->acknowledge = true;
    wire->waits = false;
    g_byte_array_set_size(wire->last, 0);
}

/* ---- sending ---- */

static bool must_be_escaped(uint8_t byte)
{
    return byte == '#' || byte == '$' || byte == ESCAPE || byte == '*';
}

static void frame(GByteArray *out, const uint8_t *data, size_t length)
{
    uint8_t sum = 0, *p;

    g_byte_array_set_size(out, (guint)(2 * length + 4)); /* at most */
    p = out->data;
    *p++ = '$';
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = data[i];

        if (must_be_escaped(byte)) {
            sum += *p++ = ESCAPE;
            byte ^= FLIP;
        }
        sum += *p++ = byte;
    }
    *p++ = '#';
    *p++ = (uint8_t)digits[sum >> 4];
    *p++ = (uint8_t)digits[sum & 15];
    g_byte_array_set_size(out, (guint)(p - out->data));
}

void gdb_wire_send(GdbWire *wire, const void *data, size_t length)
{
    frame(wire->last, data, length);
    wire->waits = wire->acknowledge;
    wire->ops->send(wire->opaque, wire->last->data, wire->last->len);
}

void gdb_wire_send_text(GdbWire *wire, const char *text)
{
    gdb_wire_send(wire, text, strlen(text));
}

/* ---- receiving ---- */

static void begin(GdbWire *wire)
{
    wire->state = WIRE_DATA;
    wire->length = 0;
    wire->sum = 0;
    wire->too_long = false;
    wire->waits = false; /* who asks anew has our answer */
}

static void keep(GdbWire *wire, uint8_t byte)
{
    if (wire->length == GDB_PACKET_MAX) {
        wire->too_long = true;
    } else {
        wire->data[wire->length++] = (char)byte;
    }
}

static void answer(GdbWire *wire, char byte)
{
    if (wire->acknowledge) {
        wire->ops->send(wire->opaque, (const uint8_t *)&byte, 1);
    }
}

static void end(GdbWire *wire, int digit)
{
    wire->state = WIRE_IDLE;
    if (digit < 0 || wire->sum != (wire->expected | digit)) {
        answer(wire, '-');
        if (!wire->acknowledge) {
            gdb_wire_send_text(wire, "E22");
        }
        return;
    }
    answer(wire, '+');
    if (wire->too_long) {
        gdb_wire_send_text(wire, "E22");
        return;
    }
    wire->data[wire->length] = '\0';
    wire->ops->packet(wire->opaque, wire->data, wire->length);
}

static void idle_byte(GdbWire *wire, uint8_t byte)
{
    switch (byte) {
    case '+':
        wire->waits = false;
        break;
    case '-':
        if (wire->waits) {
            wire->ops->send(wire->opaque, wire->last->data, wire->last->len);
        }
        break;
    case INTERRUPT:
        wire->ops->interrupt(wire->opaque);
        break;
    default: /* noise of a line */
        break;
    }
}

static void data_byte(GdbWire *wire, uint8_t byte)
{
    if (byte == '#') {
        wire->state = WIRE_SUM_HIGH;
        return;
    }
    wire->sum += byte;
    if (byte == ESCAPE) {
        wire->state = WIRE_ESCAPE;
    } else {
        keep(wire, byte);
    }
}

static void receive_byte(GdbWire *wire, uint8_t byte)
{
    int digit = g_ascii_xdigit_value((char)byte);

    if (byte == '$') {
        begin(wire);
        return;
    }
    switch (wire->state) {
    case WIRE_IDLE:
        idle_byte(wire, byte);
        break;
    case WIRE_DATA:
        data_byte(wire, byte);
        break;
    case WIRE_ESCAPE:
        wire->sum += byte;
        keep(wire, byte ^ FLIP);
        wire->state = WIRE_DATA;
        break;
    case WIRE_SUM_HIGH:
        if (digit < 0) {
            end(wire, -1);
        } else {
            wire->expected = (uint8_t)(digit << 4);
            wire->state = WIRE_SUM_LOW;
        }
        break;
    case WIRE_SUM_LOW:
        end(wire, digit);
        break;
    }
}

void gdb_wire_receive(GdbWire *wire, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        receive_byte(wire, data[i]);
    }
}

/* ---- content ---- */

bool gdb_parse_hex(const char **text, uint64_t *ret)
{
    const char *p = *text;
    uint64_t value = 0;
    unsigned n = 0;

    for (; g_ascii_isxdigit(*p); p++, n++) {
        if (n == 16) {
            return false;
        }
        value = value << 4 | (uint64_t)g_ascii_xdigit_value(*p);
    }
    if (n) {
        *ret = value;
        *text = p;
    }
    return n > 0;
}

bool gdb_parse_bytes(const char **text, uint8_t *ret, size_t length)
{
    const char *p = *text;

    for (size_t i = 0; i < length; i++, p += 2) {
        int high = g_ascii_xdigit_value(p[0]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(p[1]);

        if (low < 0) {
            return false;
        }
        ret[i] = (uint8_t)(high << 4 | low);
    }
    *text = p;
    return true;
}

bool gdb_parse_char(const char **text, char c)
{
    bool found = **text == c;

    *text += found;
    return found;
}

void gdb_append_bytes(GString *out, const void *data, size_t length)
{
    size_t at = out->len;

    g_string_set_size(out, at + 2 * length);
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = ((const uint8_t *)data)[i];

        out->str[at++] = digits[byte >> 4];
        out->str[at++] = digits[byte & 15];
    }
}
