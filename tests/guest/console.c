/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output of the guest: a debug console that is there reads as 0xe9; else COM1.
 */
#include "guest.h"

#define DEBUGCON   0x402
#define COM1       0x3f8
#define COM1_LSR   (COM1 + 5)
#define DEBUG_EXIT 0xf4

static bool debugcon;

void console_init(void)
{
    debugcon = in8(DEBUGCON) == 0xe9;
}

static void put(char c)
{
    if (debugcon) {
        out8(DEBUGCON, (uint8_t)c);
        return;
    }
    while (!(in8(COM1_LSR) & 0x20)) {
    }
    out8(COM1, (uint8_t)c);
}

void print(const char *text)
{
    while (*text) {
        put(*text++);
    }
}

void print_hex(uint64_t value)
{
    char text[19] = "0x";
    unsigned at = 2;

    for (int shift = 60; shift >= 0; shift -= 4) {
        unsigned digit = value >> shift & 15;

        if (digit || at > 2 || !shift) {
            text[at++] = "0123456789abcdef"[digit];
        }
    }
    text[at] = 0;
    print(text);
}

bool failed(const char *why, uint64_t value)
{
    print("  ");
    print(why);
    print(" ");
    print_hex(value);
    print("\n");
    return false;
}

void guest_exit(bool good)
{
    print(good ? "guest: all well\n" : "guest: FAILED\n");
    out32(DEBUG_EXIT, good ? 0x10 : 0x11);
    for (;;) {
        interrupts_off();
        __asm__ volatile("hlt");
    }
}
