/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire of GDB's remote serial protocol: packets with checksums and
 * acknowledgement over a byte stream, and the numbers and bytes in their text.  Knows
 * no command and no stream.  One thread.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET_MAX 16384 /* bytes of a packet's content, as we announce it */

typedef struct GdbWireOps {
    /* A whole packet, without escapes and with a NUL behind it (binary data may hold more of them). */
    void (*packet)(void *opaque, const char *data, size_t length);
    void (*interrupt)(void *opaque);                               /* 0x03 between packets */
    void (*send)(void *opaque, const uint8_t *data, size_t length); /* takes it all */
} GdbWireOps;

typedef enum GdbWireState { WIRE_IDLE, WIRE_DATA, WIRE_ESCAPE, WIRE_SUM_HIGH, WIRE_SUM_LOW } GdbWireState;

typedef struct GdbWire {
    const GdbWireOps *ops;
    void *opaque;
    GdbWireState state;
    bool acknowledge;    /* QStartNoAckMode was not sent yet */
    bool waits;          /* `last` is not acknowledged yet */
    bool too_long;       /* the packet is read to its end, and refused */
    uint8_t sum, expected;
    size_t length;
    char data[GDB_PACKET_MAX + 1];
    GByteArray *last;    /* as it was sent */
} GdbWire;

void gdb_wire_init(GdbWire *wire, const GdbWireOps *ops, void *opaque);
void gdb_wire_finish(GdbWire *wire);
void gdb_wire_reset(GdbWire *wire); /* another client */
void gdb_wire_receive(GdbWire *wire, const uint8_t *data, size_t length);
/* Sends a packet; what must be escaped in it is. */
void gdb_wire_send(GdbWire *wire, const void *data, size_t length);
void gdb_wire_send_text(GdbWire *wire, const char *text);

/* ---- content ---- */
/* A hexadecimal number, 1 to 16 digits; *text moves behind it. */
bool gdb_parse_hex(const char **text, uint64_t *ret);
/* Two digits a byte, exactly `length` bytes; *text moves behind them. */
bool gdb_parse_bytes(const char **text, uint8_t *ret, size_t length);
/* The character c; *text moves behind it. */
bool gdb_parse_char(const char **text, char c);
void gdb_append_bytes(GString *out, const void *data, size_t length);
