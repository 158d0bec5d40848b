/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See vmm/telnet.h.
 *
 * A server offers to echo, so that the client sends each key at once and shows nothing itself, and asks for eight bits
 * both ways, as QEMU does.  A client agrees to the same.  What is refused stays as RFC 854 has it at first: then a
 * line's end is CR LF and a carriage return CR NUL.  Every request is answered once, and only where it changes
 * something, so that two ends cannot answer each other for ever ("General Considerations" of RFC 854).
 *
 * Of the commands, BRK is a break.  The others are for an operating system at this end (IP, AO, AYT, EC, EL) or say
 * nothing here (NOP, GA, and the data mark, which is kept in line), and are dropped, as are subnegotiations.
 */
#include "vmm/telnet.h"

/* RFC 854, "TELNET Command Structure" */
enum { SE = 240, BRK = 243, SB = 250, WILL = 251, WONT = 252, DO = 253, DONT = 254, IAC = 255 };
enum { OPTION_BINARY = 0, OPTION_ECHO = 1, OPTION_SGA = 3 };
enum { NUL = 0, LF = 10, CR = 13 };

const uint8_t telnet_break[2] = { IAC, BRK };

typedef enum OptionState { OPTION_NO, OPTION_ASKED, OPTION_YES } OptionState;
typedef enum StreamState { STREAM_DATA, STREAM_IAC, STREAM_OPTION, STREAM_SUB, STREAM_SUB_IAC } StreamState;

/* ---- options ---- */

static void say(GByteArray *out, uint8_t verb, uint8_t option)
{
    g_byte_array_append(out, (const uint8_t[]) { IAC, verb, option }, 3);
}

static void offer(Telnet *t, uint8_t option, GByteArray *out)
{
    t->us[option] = OPTION_ASKED;
    say(out, WILL, option);
}

static void ask(Telnet *t, uint8_t option, GByteArray *out)
{
    t->peer[option] = OPTION_ASKED;
    say(out, DO, option);
}

void telnet_start(Telnet *t, bool server, GByteArray *offers)
{
    *t = (Telnet) { .server = server };
    if (server) {
        offer(t, OPTION_ECHO, offers);
    }
    offer(t, OPTION_SGA, offers);
    offer(t, OPTION_BINARY, offers);
    ask(t, OPTION_BINARY, offers);
}

/* Only who serves echoes. */
static bool may_be(const Telnet *t, uint8_t option, bool by_us)
{
    return option == OPTION_BINARY || option == OPTION_SGA || (option == OPTION_ECHO && by_us == t->server);
}

/* One side's option: the peer said that it is to be or will be (`on`), or not. */
static void negotiate(const Telnet *t, uint8_t *states, uint8_t option, bool on, GByteArray *answer)
{
    bool ours = states == t->us;
    uint8_t yes = ours ? WILL : DO, no = ours ? WONT : DONT;
    bool wanted = on && may_be(t, option, ours);
    OptionState old = option < TELNET_OPTIONS ? states[option] : OPTION_NO;

    if (option < TELNET_OPTIONS) {
        states[option] = wanted ? OPTION_YES : OPTION_NO;
    }
    if (old == OPTION_NO && on) {
        say(answer, wanted ? yes : no, option);
    } else if (old == OPTION_YES && !on) {
        say(answer, no, option);
    }
}

static void handle_option(Telnet *t, uint8_t option, GByteArray *answer)
{
    switch (t->verb) {
    case DO:
    case DONT:
        negotiate(t, t->us, option, t->verb == DO, answer);
        break;
    default:
        negotiate(t, t->peer, option, t->verb == WILL, answer);
        break;
    }
}

/* ---- out ---- */

size_t telnet_encode(Telnet *t, const uint8_t *data, size_t length, uint8_t *out)
{
    bool text = t->us[OPTION_BINARY] != OPTION_YES;
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        if (text && t->sent_cr && data[i] != LF) {
            out[n++] = NUL;
        }
        t->sent_cr = text && data[i] == CR;
        if (data[i] == IAC) {
            out[n++] = IAC;
        }
        out[n++] = data[i];
    }
    return n;
}

/* ---- in ---- */

/* The end of a line is the key that ends it. */
static bool is_second_half(Telnet *t, uint8_t byte)
{
    bool second = t->got_cr && (byte == NUL || byte == LF);

    t->got_cr = byte == CR && t->peer[OPTION_BINARY] != OPTION_YES;
    return second;
}

/* Returns the next state, which is that after a command where it is none that goes on. */
static StreamState begin_command(Telnet *t, uint8_t byte)
{
    switch (byte) {
    case WILL:
    case WONT:
    case DO:
    case DONT:
        t->verb = byte;
        return STREAM_OPTION;
    case SB:
        return STREAM_SUB;
    default:
        return STREAM_DATA;
    }
}

TelnetInput telnet_decode(Telnet *t, const uint8_t *data, size_t length, uint8_t *out, GByteArray *answer)
{
    TelnetInput in = { 0 };

    while (in.used < length && !in.is_break) {
        uint8_t byte = data[in.used++];

        switch (t->state) {
        case STREAM_DATA:
            if (byte == IAC) {
                t->state = STREAM_IAC;
            } else if (!is_second_half(t, byte)) {
                out[in.length++] = byte;
            }
            break;
        case STREAM_IAC:
            t->state = begin_command(t, byte);
            in.is_break = byte == BRK;
            if (byte == IAC) {
                t->got_cr = false;
                out[in.length++] = IAC;
            }
            break;
        case STREAM_OPTION:
            t->state = STREAM_DATA;
            handle_option(t, byte, answer);
            break;
        case STREAM_SUB:
            t->state = byte == IAC ? STREAM_SUB_IAC : STREAM_SUB;
            break;
        case STREAM_SUB_IAC:
            t->state = byte == SE ? STREAM_DATA : STREAM_SUB;
            break;
        }
    }
    return in;
}
