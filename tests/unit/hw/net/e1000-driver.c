/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See e1000-driver.h.
 */
#include "e1000-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/net.h"
#include "net/offload.h"

static int wire; /* what the setup of a rig leaves */

static void with_wire(Domain *domain)
{
    g_autofree char *text = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    wire = pair[0];
    text = g_strdup_printf("dgram,id=n,local.type=fd,local.str=%d", pair[1]);
    assert_true(netdev_add_text(domain, text, NULL));
}

static Rig *make_rig(const char *model)
{
    g_autofree char *options = g_strconcat(model, NIC_OPTIONS, NULL);

    return rig_new_with(options, with_wire);
}

void nic_init(Nic *n, const char *model)
{
    bool newer = strcmp(model, "e1000e") == 0;

    *n = (Nic) { .rig = make_rig(model) };
    n->wire = wire;
    rig_config_write(n->rig, NIC_DEVFN, 0x10, (uint32_t)NIC_MMIO, 4);
    rig_config_write(n->rig, NIC_DEVFN, newer ? 0x18 : 0x14, NIC_IO, 4);
    if (newer) {
        rig_config_write(n->rig, NIC_DEVFN, 0x1c, (uint32_t)NIC_MSIX, 4);
    }
    rig_config_write(n->rig, NIC_DEVFN, 4, 7, 2); /* ports, memory, bus master */
}

void nic_finish(Nic *n)
{
    rig_free(n->rig);
    close(n->wire);
}

static int setup(void **state, const char *model)
{
    *state = g_new0(Nic, 1);
    nic_init(*state, model);
    return 0;
}

int nic_setup_e1000(void **state)
{
    return setup(state, "e1000");
}

int nic_setup_e1000e(void **state)
{
    return setup(state, "e1000e");
}

int nic_teardown(void **state)
{
    nic_finish(*state);
    g_free(*state);
    return 0;
}

void nic_move(Nic *n, const char *model)
{
    g_autoptr(GByteArray) saved = NULL;
    g_autofree uint8_t *memory = NULL;
    g_autofree char *failure = NULL;

    device_pause(n->rig->dev);
    saved = rig_save(n->rig);
    memory = g_memdup2(rig_ram(n->rig, 0), RIG_RAM);
    nic_finish(n);
    n->rig = make_rig(model);
    n->wire = wire;
    device_pause(n->rig->dev);
    memcpy(rig_ram(n->rig, 0), memory, RIG_RAM);
    failure = rig_load(n->rig, saved);
    if (failure) {
        fail_msg("%s", failure);
    }
    device_resume(n->rig->dev);
    nic_settle(n);
}

/* A doorbell is an eventfd, which the loop's engine may see a little later. */
void nic_settle(Nic *n)
{
    for (unsigned quiet = 0; quiet < 5; quiet++) {
        while (loop_run_once(domain_loop(n->rig->domain), false)) {
        }
        g_usleep(20);
    }
}

/* ---- registers ---- */

uint32_t nic_get(Nic *n, uint32_t at)
{
    return (uint32_t)rig_read(n->rig, NIC_MMIO + at, 4);
}

void nic_put(Nic *n, uint32_t at, uint32_t value)
{
    rig_write(n->rig, NIC_MMIO + at, value, 4);
}

uint16_t nic_phy(Nic *n, unsigned reg)
{
    nic_put(n, R_MDIC, MDIC_OP_READ | 1u << 21 | reg << 16);
    return (uint16_t)nic_get(n, R_MDIC);
}

void nic_set_phy(Nic *n, unsigned reg, uint16_t value)
{
    nic_put(n, R_MDIC, MDIC_OP_WRITE | 1u << 21 | reg << 16 | value);
}

/* ---- rings ---- */

uint8_t *nic_ram(Nic *n, uint64_t address)
{
    return rig_ram(n->rig, address);
}

void nic_start(Nic *n, uint32_t rctl)
{
    for (unsigned i = 0; i < RING_ENTRIES; i++) {
        pci_set32(nic_ram(n, RX_RING_AT + 16 * i), RX_DATA_AT + i * RX_BUFFER);
    }
    nic_put(n, R_RDBAL, RX_RING_AT);
    nic_put(n, R_RDLEN, RING_ENTRIES * 16);
    nic_put(n, R_RDT, RING_ENTRIES - 1);
    nic_put(n, R_TDBAL, TX_RING_AT);
    nic_put(n, R_TDLEN, RING_ENTRIES * 16);
    nic_put(n, R_RCTL, RCTL_EN | RCTL_BAM | rctl);
    nic_put(n, R_TCTL, TCTL_EN | TCTL_PSP);
    nic_settle(n);
}

void nic_describe(Nic *n, uint64_t address, uint32_t lower, uint32_t upper)
{
    uint8_t *d = nic_ram(n, TX_RING_AT + 16 * n->tx_tail);

    pci_set32(d, (uint32_t)address);
    pci_set32(d + 4, (uint32_t)(address >> 32));
    pci_set32(d + 8, lower);
    pci_set32(d + 12, upper);
    n->tx_tail = (n->tx_tail + 1) % RING_ENTRIES;
}

void nic_kick(Nic *n)
{
    nic_put(n, R_TDT, n->tx_tail);
    nic_settle(n);
}

void nic_send(Nic *n, const uint8_t *frame, size_t length)
{
    memcpy(nic_ram(n, TX_DATA_AT), frame, length);
    nic_describe(n, TX_DATA_AT, TXD_EOP | TXD_RS | (uint32_t)length, 0);
    nic_kick(n);
}

ssize_t nic_wire_take(Nic *n, uint8_t *frame, size_t room)
{
    return recv(n->wire, frame, room, MSG_DONTWAIT);
}

void nic_wire_put(Nic *n, const uint8_t *frame, size_t length)
{
    assert_int_equal(send(n->wire, frame, length, 0), length);
    nic_settle(n);
}

uint8_t *nic_rx(Nic *n, unsigned at)
{
    return nic_ram(n, RX_RING_AT + 16 * at);
}

uint8_t *nic_rx_buffer(Nic *n, unsigned at)
{
    return nic_ram(n, RX_DATA_AT + at * RX_BUFFER);
}

/* ---- frames ---- */

void make_frame(uint8_t *frame, const char *to, size_t length)
{
    memset(frame, 0, MIN(length, 14));
    memcpy(frame, to, 6);
    memcpy(frame + 6, OTHERS, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5; /* for experiments */
    for (size_t i = 14; i < length; i++) {
        frame[i] = (uint8_t)(i * 3);
    }
}

static void put_sum(uint8_t *at, uint32_t sum)
{
    uint16_t end = net_sum_end(sum);

    memcpy(at, &end, sizeof(end));
}

void make_tcp(uint8_t *frame, const char *to, size_t length)
{
    uint16_t total = (uint16_t)(length - 14), tcp = (uint16_t)(length - 34);
    const uint8_t ip[] = { 0x45, 0, (uint8_t)(total >> 8), (uint8_t)total, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1,
                           10, 0, 0, 2 };
    const uint8_t pseudo[] = { 10, 0, 0, 1, 10, 0, 0, 2, 0, 6, (uint8_t)(tcp >> 8), (uint8_t)tcp };

    make_frame(frame, to, length);
    frame[12] = 8;
    frame[13] = 0;
    memcpy(frame + 14, ip, sizeof(ip));
    put_sum(frame + 24, net_sum(frame + 14, 20, 0));
    frame[34 + 12] = 5 << 4;
    frame[34 + 13] = 0x18; /* PSH, ACK */
    memset(frame + 50, 0, 2);
    put_sum(frame + 50, net_sum(frame + 34, tcp, net_sum(pseudo, sizeof(pseudo), 0)));
}
