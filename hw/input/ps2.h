/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The two devices on an i8042 (ps2.c).  Locking: the controller's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/state.h"

#define PS2_QUEUE_DEPTH 16

/* Bytes on their way to the guest. */
typedef struct Ps2Queue {
    uint8_t byte[PS2_QUEUE_DEPTH];
    uint32_t n;
} Ps2Queue;

/* A keyboard or a mouse: what it was told. */
typedef struct Ps2 {
    Ps2Queue queue;
    uint8_t command;     /* whose parameter comes next; 0: none */
    uint8_t last;        /* sent, for DEV_RESEND */
    bool enabled;
    uint8_t scan_set, rate, leds;                      /* keyboard */
    uint8_t resolution, scaling, remote, wrap;          /* mouse */
} Ps2;

extern const StateDesc ps2_queue_state, ps2_state;

void ps2_queue_put(Ps2Queue *q, uint8_t byte); /* dropped when it is full */
uint8_t ps2_queue_take(Ps2Queue *q);           /* of one that is not empty */
void ps2_queue_clear(Ps2Queue *q);

void ps2_keyboard_defaults(Ps2 *d);
void ps2_mouse_defaults(Ps2 *d);
/* A byte that the host sends: a command or its parameter. */
void ps2_keyboard_command(Ps2 *d, uint8_t value);
void ps2_mouse_command(Ps2 *d, uint8_t value);
