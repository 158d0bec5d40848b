/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The EEPROM: 64 words with the MAC address and a checksum (SDM 5.6; DS 6), read through EERD on both, and written by
 *   82540EM   Microwire by hand, bits of EECD (SDM 5.3.1): READ, WRITE, EWEN, EWDS; a 93C46
 *   82574L    EEWR
 * What a guest writes there survives its resets and is saved with it.  The SPI wires of the 82574's are not modelled:
 * drivers use the registers.  Nor is a flash: its BAR reads as erased.
 *
 * Locking: the device's lock is held.
 */
#include "hw/net/e1000.h"

#include <string.h>

#define CHECKSUM_AT    0x3f
#define CHECKSUM       0xbaba /* of all words (SDM 5.6.35) */
#define COMMAND_BITS   9      /* start, opcode of two, address of six */
#define DATA_BITS      16
#define OPCODE(C)      ((C) >> 6 & 3)
#define ADDRESS(C)     ((C) & 63)
enum { OP_EXTENDED, OP_WRITE, OP_READ, OP_ERASE };
enum { EXTENDED_EWDS, EXTENDED_WRALL, EXTENDED_ERAL, EXTENDED_EWEN };
#define EECD_WIRES     (EECD_SK | EECD_CS | EECD_DI | EECD_REQ)

void e1000_nvm_init(E1000 *e)
{
    uint16_t sum = 0;

    memcpy(e->nvm, e->model->nvm, sizeof(e->nvm));
    for (unsigned i = 0; i < NET_MAC_BYTES / 2; i++) {
        e->nvm[i] = pci_get16(e->nic.mac + 2 * i);
    }
    for (unsigned i = 0; i < CHECKSUM_AT; i++) {
        sum += e->nvm[i];
    }
    e->nvm[CHECKSUM_AT] = (uint16_t)(CHECKSUM - sum);
}

void e1000_load_address(E1000 *e)
{
    e->ra[0] = e->nvm[0] | (uint32_t)e->nvm[1] << 16;
    e->ra[1] = e->nvm[2] | RAH_AV;
}

/* ---- by registers ---- */

void e1000_eerd_write(E1000 *e, uint32_t value)
{
    bool newer = e1000_is_82574(e);
    unsigned at = value >> (newer ? 2 : 8) & (newer ? 0x3fff : 0xff);
    uint32_t done = newer ? 1u << 1 : 1u << 4;

    e->eerd = value & 0xffff & ~(EERD_START | done);
    if (value & EERD_START) {
        e->eerd |= done | (uint32_t)(at < E1000_NVM_WORDS ? e->nvm[at] : 0xffff) << 16;
    }
}

void e1000_eewr_write(E1000 *e, uint32_t value)
{
    unsigned at = value >> 2 & 0x3fff;

    if (value & EERD_START && at < E1000_NVM_WORDS) {
        e->nvm[at] = (uint16_t)(value >> 16);
    }
    e->eewr = (value & ~EERD_START) | 1u << 1;
}

/* ---- Microwire ---- */

uint32_t e1000_eecd(const E1000 *e)
{
    uint32_t value = (e->eecd & EECD_WIRES) | EECD_PRES | (e->eecd & EECD_REQ ? EECD_GNT : 0);

    if (e1000_is_82574(e)) {
        return value | EECD_AUTO_RD;
    }
    /* Between commands the wire says that nothing is being written. */
    return value | (e->nvm_bits < COMMAND_BITS || e->nvm_out & 1u << DATA_BITS ? EECD_DO : 0);
}

static void obey(E1000 *e)
{
    unsigned at = ADDRESS(e->nvm_in);

    e->nvm_out = 0;
    switch (OPCODE(e->nvm_in)) {
    case OP_READ: /* a zero goes first */
        e->nvm_out = e->nvm[at];
        break;
    case OP_ERASE:
        if (e->nvm_writable) {
            e->nvm[at] = 0xffff;
        }
        break;
    case OP_EXTENDED:
        if (at >> 4 == EXTENDED_EWEN || at >> 4 == EXTENDED_EWDS) {
            e->nvm_writable = at >> 4 == EXTENDED_EWEN;
        }
        break;
    }
}

/* A bit comes; one goes out. */
static void clock_rises(E1000 *e, bool bit)
{
    uint32_t command;

    if (e->nvm_bits < COMMAND_BITS) {
        if (!e->nvm_bits && !bit) {
            return; /* before the start bit */
        }
        e->nvm_in = e->nvm_in << 1 | bit;
        if (++e->nvm_bits == COMMAND_BITS) {
            obey(e);
        }
        return;
    }
    e->nvm_out <<= 1;
    if (e->nvm_bits == COMMAND_BITS + DATA_BITS) {
        return;
    }
    e->nvm_in = e->nvm_in << 1 | bit;
    if (++e->nvm_bits < COMMAND_BITS + DATA_BITS) {
        return;
    }
    command = e->nvm_in >> DATA_BITS;
    if (OPCODE(command) == OP_WRITE && e->nvm_writable) {
        e->nvm[ADDRESS(command)] = (uint16_t)e->nvm_in;
    }
}

void e1000_eecd_write(E1000 *e, uint32_t value)
{
    uint32_t old = e->eecd;

    e->eecd = value & EECD_WIRES;
    if (e1000_is_82574(e)) {
        return;
    }
    if (!(value & EECD_CS)) {
        e->nvm_bits = 0;
        e->nvm_in = e->nvm_out = 0;
    } else if (value & EECD_SK && !(old & EECD_SK)) {
        clock_rises(e, value & EECD_DI);
    }
}
