/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The TELNET protocol (RFC 854, RFC 855) with the options that a terminal needs: BINARY (RFC 856), ECHO (RFC 857) and
 * SUPPRESS-GO-AHEAD (RFC 858).  Bytes in, bytes out; it knows no socket.
 *
 * Locking: the caller's.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TELNET_OPTIONS 4 /* those that may be agreed on are below that */
#define TELNET_ENCODED_MAX(LENGTH) (2 * (LENGTH) + 1)

typedef struct Telnet {
    bool server;
    uint8_t us[TELNET_OPTIONS], peer[TELNET_OPTIONS]; /* who does what: OptionState */
    uint8_t state, verb;                              /* of the stream that comes */
    bool got_cr;                                      /* it ended with the first half of a line's end */
    bool sent_cr;                                     /* likewise what went */
} Telnet;

/* A connection begins: *offers is what to send first. */
void telnet_start(Telnet *t, bool server, GByteArray *offers);
/* What goes to the peer; returns the bytes written to out, at most TELNET_ENCODED_MAX(length). */
size_t telnet_encode(Telnet *t, const uint8_t *data, size_t length, uint8_t *out);

typedef struct TelnetInput {
    size_t used;   /* of the bytes that came */
    size_t length; /* of what they mean */
    bool is_break; /* the peer sends a break, behind that */
} TelnetInput;
/* What came from the peer, as far as the next break; out may be data.  What is to be answered is appended to answer. */
TelnetInput telnet_decode(Telnet *t, const uint8_t *data, size_t length, uint8_t *out, GByteArray *answer);
/* The command that lets the peer see a break. */
extern const uint8_t telnet_break[2];
