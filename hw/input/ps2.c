/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 keyboard and mouse (IBM PS/2 Hardware Interface Technical Reference, keyboard
 * and mouse: command sets), as they answer the controller.
 *
 * Nobody types here: the devices answer commands, identify themselves and keep their
 * settings, so that firmware and kernels find what they expect.
 *
 * Not modelled: key presses and motion, the scan codes of key sets 1 and 3.
 *
 * Locking: the controller's.
 */
#include "hw/input/ps2.h"

#include <string.h>

enum {
    DEV_SET_LEDS = 0xed, DEV_ECHO = 0xee, DEV_SCAN_SET = 0xf0, DEV_GET_ID = 0xf2, DEV_SET_RATE = 0xf3,
    DEV_ENABLE = 0xf4, DEV_DISABLE = 0xf5, DEV_DEFAULTS = 0xf6, DEV_RESEND = 0xfe, DEV_RESET = 0xff,
    MOUSE_SCALE11 = 0xe6, MOUSE_SCALE21 = 0xe7, MOUSE_RESOLUTION = 0xe8, MOUSE_GET_STATUS = 0xe9, MOUSE_STREAM = 0xea,
    MOUSE_POLL = 0xeb, MOUSE_RESET_WRAP = 0xec, MOUSE_WRAP = 0xee, MOUSE_REMOTE = 0xf0,
};
enum { REPLY_ACK = 0xfa, REPLY_RESEND = 0xfe, REPLY_TEST_PASSED = 0xaa };

/* ---- queues ---- */
void ps2_queue_put(Ps2Queue *q, uint8_t byte)
{
    if (q->n < PS2_QUEUE_DEPTH) {
        q->byte[q->n++] = byte;
    }
}

uint8_t ps2_queue_take(Ps2Queue *q)
{
    uint8_t byte = q->byte[0];

    memmove(q->byte, q->byte + 1, --q->n);
    q->byte[q->n] = 0;
    return byte;
}

void ps2_queue_clear(Ps2Queue *q)
{
    memset(q, 0, sizeof(*q));
}

/* ---- keyboard ---- */
void ps2_keyboard_defaults(Ps2 *d)
{
    d->scan_set = 2;
    d->rate = 0x2b;
    d->enabled = true;
}

static void kbd_parameter(Ps2 *d, uint8_t value)
{
    uint8_t command = d->command;

    d->command = 0;
    ps2_queue_put(&d->queue, REPLY_ACK);
    switch (command) {
    case DEV_SET_LEDS:
        d->leds = value & 7;
        break;
    case DEV_SET_RATE:
        d->rate = value & 0x7f;
        break;
    case DEV_SCAN_SET:
        if (value == 0) {
            ps2_queue_put(&d->queue, d->scan_set);
        } else if (value <= 3) {
            d->scan_set = value;
        }
        break;
    }
}

void ps2_keyboard_command(Ps2 *d, uint8_t value)
{
    if (d->command && value < 0x80) {
        kbd_parameter(d, value);
        return;
    }
    d->command = 0;
    switch (value) {
    case DEV_SET_LEDS:
    case DEV_SCAN_SET:
    case DEV_SET_RATE:
        d->command = value;
        ps2_queue_put(&d->queue, REPLY_ACK);
        break;
    case DEV_ECHO:
        ps2_queue_put(&d->queue, DEV_ECHO);
        break;
    case DEV_GET_ID:
        ps2_queue_put(&d->queue, REPLY_ACK);
        ps2_queue_put(&d->queue, 0xab);
        ps2_queue_put(&d->queue, 0x83); /* MF2 */
        break;
    case DEV_ENABLE:
    case DEV_DISABLE:
    case DEV_DEFAULTS:
    case DEV_RESET:
        ps2_queue_clear(&d->queue);
        if (value != DEV_ENABLE) {
            ps2_keyboard_defaults(d);
        }
        d->enabled = value != DEV_DISABLE;
        ps2_queue_put(&d->queue, REPLY_ACK);
        if (value == DEV_RESET) {
            ps2_queue_put(&d->queue, REPLY_TEST_PASSED);
        }
        break;
    case DEV_RESEND:
        ps2_queue_put(&d->queue, d->last);
        break;
    default:
        ps2_queue_put(&d->queue, REPLY_RESEND);
        break;
    }
}

/* ---- mouse ---- */
void ps2_mouse_defaults(Ps2 *d)
{
    d->rate = 100;
    d->resolution = 2;
    d->scaling = d->remote = d->wrap = 0;
    d->enabled = false;
}

static void mouse_status(Ps2 *d)
{
    ps2_queue_put(&d->queue, REPLY_ACK);
    ps2_queue_put(&d->queue, (uint8_t)(d->remote << 6 | d->enabled << 5 | d->scaling << 4));
    ps2_queue_put(&d->queue, d->resolution);
    ps2_queue_put(&d->queue, d->rate);
}

void ps2_mouse_command(Ps2 *d, uint8_t value)
{
    if (d->wrap && value != MOUSE_RESET_WRAP && value != DEV_RESET) {
        ps2_queue_put(&d->queue, value);
        return;
    }
    if (d->command == DEV_SET_RATE || d->command == MOUSE_RESOLUTION) {
        *(d->command == DEV_SET_RATE ? &d->rate : &d->resolution) = value;
        d->command = 0;
        ps2_queue_put(&d->queue, REPLY_ACK);
        return;
    }
    switch (value) {
    case DEV_SET_RATE:
    case MOUSE_RESOLUTION:
        d->command = value;
        break;
    case MOUSE_SCALE11:
    case MOUSE_SCALE21:
        d->scaling = value == MOUSE_SCALE21;
        break;
    case MOUSE_STREAM:
    case MOUSE_REMOTE:
        d->remote = value == MOUSE_REMOTE;
        break;
    case MOUSE_WRAP:
    case MOUSE_RESET_WRAP:
        d->wrap = value == MOUSE_WRAP;
        break;
    case DEV_ENABLE:
    case DEV_DISABLE:
        d->enabled = value == DEV_ENABLE;
        break;
    case MOUSE_GET_STATUS:
        mouse_status(d);
        return;
    case DEV_GET_ID:
        ps2_queue_put(&d->queue, REPLY_ACK);
        ps2_queue_put(&d->queue, 0); /* standard mouse */
        return;
    case MOUSE_POLL: /* no motion, no buttons */
        ps2_queue_put(&d->queue, REPLY_ACK);
        ps2_queue_put(&d->queue, 0x08);
        ps2_queue_put(&d->queue, 0);
        ps2_queue_put(&d->queue, 0);
        return;
    case DEV_DEFAULTS:
        ps2_mouse_defaults(d);
        break;
    case DEV_RESET:
        ps2_queue_clear(&d->queue);
        ps2_mouse_defaults(d);
        d->command = 0;
        ps2_queue_put(&d->queue, REPLY_ACK);
        ps2_queue_put(&d->queue, REPLY_TEST_PASSED);
        ps2_queue_put(&d->queue, 0);
        return;
    case DEV_RESEND:
        ps2_queue_put(&d->queue, d->last);
        return;
    default:
        ps2_queue_put(&d->queue, REPLY_RESEND);
        return;
    }
    ps2_queue_put(&d->queue, REPLY_ACK);
}

/* ---- state ---- */
const StateDesc ps2_queue_state = {
    .name = "i8042-queue",
    .version = 1,
    .fields = (const StateField[]) {
        STATE_BYTES(Ps2Queue, byte),
        STATE_ROW(Ps2Queue, n, STATE_TYPE_U32, .max = PS2_QUEUE_DEPTH),
        STATE_END,
    },
};

const StateDesc ps2_state = {
    .name = "ps2",
    .version = 1,
    .fields = (const StateField[]) {
        STATE_STRUCT(Ps2, queue, &ps2_queue_state),
        STATE_U8(Ps2, command),
        STATE_U8(Ps2, last),
        STATE_BOOL(Ps2, enabled),
        STATE_U8(Ps2, scan_set),
        STATE_U8(Ps2, rate),
        STATE_U8(Ps2, leds),
        STATE_U8(Ps2, resolution),
        STATE_U8(Ps2, scaling),
        STATE_U8(Ps2, remote),
        STATE_U8(Ps2, wrap),
        STATE_END,
    },
};
