/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest with a driver for Intel's gigabit controllers, in a rig whose NIC ends at a datagram socket: one datagram a
 * frame.
 */
#pragma once

#include "hw/net/e1000-bits.h"
#include "tests/unit/rig.h"

#define NIC_DEVFN   (5 << 3)
#define NIC_OPTIONS ",netdev=n,addr=5,mac=52:54:00:00:00:07"
#define NIC_MMIO    UINT64_C(0xe0000000)
#define NIC_MSIX    UINT64_C(0xe0080000)
#define NIC_IO      0xc000
#define NIC_GSI     16
#define TX_RING_AT  0x10000
#define RX_RING_AT  0x20000
#define TX_DATA_AT  0x40000
#define RX_DATA_AT  0x200000
#define RING_ENTRIES 16
#define RX_BUFFER   2048

enum {
    R_CTRL = 0x0000,
    R_STATUS = 0x0008,
    R_EECD = 0x0010,
    R_EERD = 0x0014,
    R_CTRL_EXT = 0x0018,
    R_MDIC = 0x0020,
    R_ICR = 0x00c0,
    R_ITR = 0x00c4,
    R_ICS = 0x00c8,
    R_IMS = 0x00d0,
    R_IMC = 0x00d8,
    R_EIAC = 0x00dc,
    R_IAM = 0x00e0,
    R_IVAR = 0x00e4,
    R_EITR = 0x00e8,
    R_RCTL = 0x0100,
    R_TCTL = 0x0400,
    R_EEWR = 0x102c,
    R_PSRCTL = 0x2170,
    R_RDBAL = 0x2800,
    R_RDLEN = 0x2808,
    R_RDH = 0x2810,
    R_RDT = 0x2818,
    R_RDTR = 0x2820,
    R_RADV = 0x282c,
    R_TDBAL = 0x3800,
    R_TDLEN = 0x3808,
    R_TDH = 0x3810,
    R_TDT = 0x3818,
    R_TIDV = 0x3820,
    R_GPRC = 0x4074,
    R_GPTC = 0x4080,
    R_GOTCL = 0x4090,
    R_RXCSUM = 0x5000,
    R_RFCTL = 0x5008,
    R_MTA = 0x5200,
    R_RA = 0x5400,
    R_VFTA = 0x5600,
    R_MRQC = 0x5818,
    R_RETA = 0x5c00,
    R_RSSRK = 0x5c80,
    R_SYSTIML = 0xb600,
    R_TIMINCA = 0xb608,
};

typedef struct Nic {
    Rig *rig;
    int wire; /* the other end */
    uint32_t tx_tail;
} Nic;

/* model: "e1000", "e1000e".  Its BARs are mapped, its rings empty, nothing is switched on. */
void nic_init(Nic *n, const char *model);
void nic_finish(Nic *n);
/* The same for cmocka: *state is a Nic. */
int nic_setup_e1000(void **state);
int nic_setup_e1000e(void **state);
int nic_teardown(void **state);
/* Pauses it, and goes on in another domain with a cable of its own. */
void nic_move(Nic *n, const char *model);

void nic_settle(Nic *n); /* until nothing more happens */
uint32_t nic_get(Nic *n, uint32_t at);
void nic_put(Nic *n, uint32_t at, uint32_t value);
uint16_t nic_phy(Nic *n, unsigned reg);
void nic_set_phy(Nic *n, unsigned reg, uint16_t value);

/* Rings, and buffers in every receive descriptor but one; rctl: bits beside EN and BAM. */
void nic_start(Nic *n, uint32_t rctl);
uint8_t *nic_ram(Nic *n, uint64_t address);
/* The next transmit descriptor; it goes with nic_kick(). */
void nic_describe(Nic *n, uint64_t address, uint32_t lower, uint32_t upper);
void nic_kick(Nic *n);
/* A frame in one legacy descriptor, and the doorbell. */
void nic_send(Nic *n, const uint8_t *frame, size_t length);
/* Bytes of the next frame on the wire, -1: none. */
ssize_t nic_wire_take(Nic *n, uint8_t *frame, size_t room);
void nic_wire_put(Nic *n, const uint8_t *frame, size_t length);
/* Receive descriptor n of 16 bytes, and its buffer. */
uint8_t *nic_rx(Nic *n, unsigned at);
uint8_t *nic_rx_buffer(Nic *n, unsigned at);

/* to: six bytes; the rest is a pattern, of an experimental ethertype. */
void make_frame(uint8_t *frame, const char *to, size_t length);
/* TCP over IPv4 with right checksums. */
void make_tcp(uint8_t *frame, const char *to, size_t length);
#define OURS      "\x52\x54\x00\x00\x00\x07"
#define OTHERS    "\x52\x54\x00\x00\x00\x08"
#define BROADCAST "\xff\xff\xff\xff\xff\xff"
