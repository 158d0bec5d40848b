/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole e1000 or e1000e against a driver and a peer that do anything: the input is a list of descriptors, well-formed
 * to a degree, register writes, frames from the wire, resets, saves, time that passes and cables that are pulled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "e1000-driver.h"
#include "net/net.h"
#include "tests/fuzz/input.h"

#define STEPS_MAX 400

static const uint16_t registers[] = {
    R_CTRL, R_EECD, R_EERD, R_CTRL_EXT, R_MDIC, R_ICR, R_ITR, R_ICS, R_IMS, R_IMC, R_EIAC, R_IAM, R_IVAR, R_EITR,
    R_RCTL, R_TCTL, R_EEWR, R_PSRCTL, R_RDBAL, R_RDLEN, R_RDH, R_RDT, R_RDTR, R_RADV, R_TDBAL, R_TDLEN, R_TDH, R_TDT,
    R_TIDV, R_GPRC, R_RXCSUM, R_RFCTL, R_MTA, R_RA, R_VFTA, R_MRQC, R_RETA, R_RSSRK, R_RDBAL + 0x100, R_RDLEN + 0x100,
    R_RDT + 0x100, R_TDBAL + 0x100, R_TDLEN + 0x100, R_TDT + 0x100,
};

static uint32_t take32(Input *in)
{
    uint32_t low = take16(in);

    return low | (uint32_t)take16(in) << 16;
}

/* One of those that do something, or any. */
static uint32_t choose_register(Input *in)
{
    unsigned which = take(in);

    return which < 0xc0 ? registers[which % G_N_ELEMENTS(registers)] : (take32(in) & 0x1fffc);
}

static void describe_data(Nic *n, Input *in)
{
    unsigned shape = take(in);
    uint32_t length = take16(in) % 4000;
    uint64_t at = shape & 0x80 ? TX_DATA_AT : take32(in);
    uint32_t lower = (shape & 1 ? TXD_DEXT | TXD_DTYP_DATA : 0) | (shape & 2 ? TXD_EOP : 0) |
                     (shape & 4 ? TXD_TSE : 0) | (shape & 8 ? TXD_RS : 0) | (shape & 16 ? TXD_VLE : 0);

    nic_describe(n, at, lower | length, take32(in));
}

static void describe_context(Nic *n, Input *in)
{
    unsigned shape = take(in);
    uint64_t usual = 14 | 24 << 8 | 33 << 16 | UINT64_C(34) << 32 | UINT64_C(50) << 40;

    nic_describe(n, shape & 1 ? usual : take32(in) | (uint64_t)take32(in) << 32,
                 TXD_DEXT | (shape & 2 ? TXD_TSE : 0) | (shape & 4 ? TUCMD_TCP : 0) | (shape & 8 ? TUCMD_IP : 0),
                 shape & 16 ? 54 << 8 | 500 << 16 : take32(in));
}

static void use_wire(Nic *n, Input *in)
{
    uint8_t frame[4096];
    size_t length = take16(in) % sizeof(frame), changed;
    unsigned shape = take(in);
    ssize_t sent;

    while (nic_wire_take(n, frame, sizeof(frame)) > 0) {
    }
    if (shape & 1) {
        length = MAX(length, 60);
        make_tcp(frame, OURS, length);
    } else {
        make_frame(frame, shape & 2 ? OURS : BROADCAST, MAX(length, 14));
    }
    changed = take16(in);
    if (changed < length) {
        frame[changed] = (uint8_t)take(in);
    }
    sent = send(n->wire, frame, length, MSG_DONTWAIT);
    (void)sent;
}

static void step(Nic *n, Input *in, const char *model)
{
    switch (take(in) % 16) {
    case 0:
    case 1:
    case 2:
        describe_data(n, in);
        break;
    case 3:
        describe_context(n, in);
        break;
    case 4:
    case 5:
        nic_put(n, R_TDT, n->tx_tail);
        break;
    case 6:
    case 7:
        use_wire(n, in);
        break;
    case 8:
        nic_put(n, choose_register(in), take32(in));
        break;
    case 9:
        rig_write(n->rig, NIC_MMIO + choose_register(in) + take(in) % 4, take32(in), 1u << take(in) % 4);
        break;
    case 10:
        nic_get(n, choose_register(in));
        break;
    case 11:
        nic_ram(n, TX_RING_AT)[take16(in)] = (uint8_t)take(in);
        break;
    case 12:
        rig_advance(n->rig, take16(in) * INT64_C(100));
        break;
    case 13:
        net_set_link(n->rig->domain, "n", take(in) & 1, NULL);
        break;
    case 14:
        if (take(in) % 8 == 0) {
            nic_move(n, model);
        } else {
            rig_settle(n->rig);
        }
        break;
    case 15:
        if (take(in) % 8 == 0) {
            n->tx_tail = 0;
            nic_start(n, take32(in));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    Input in = { data, length };
    const char *model = take(&in) & 1 ? "e1000" : "e1000e";
    Nic n;

    nic_init(&n, model);
    nic_start(&n, take32(&in));
    for (unsigned i = 0; in.length && i < STEPS_MAX; i++) {
        step(&n, &in, model);
    }
    nic_settle(&n);
    nic_finish(&n);
    return 0;
}
