/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/vhost*.c, net/vhost-user.c: rings that another process serves, and how they come back. */
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtqueue-ring.h"
#include "tests/unit/net/vhost-user-rig.h"

static void test_split_rings_are_served(void **state)
{
    start(*state, DEVICE, STATUS);
    goes_both_ways(*state);
}

static void test_packed_rings_are_served(void **state)
{
    start(*state, DEVICE ",packed=on", STATUS | PACKED);
    goes_both_ways(*state);
}

static void test_a_peer_without_slots_and_answers_will_do(void **state)
{
    backend_option = "protocol=0";
    start(*state, DEVICE, STATUS);
    goes_both_ways(*state);
}

static void test_what_the_peer_cannot_is_not_offered(void **state)
{
    Guest *t = *state;
    uint64_t offered;

    start(t, DEVICE ",packed=on", STATUS);
    offered = guest_offered(&t->g);
    assert_true(offered & PACKED);
    assert_false(offered & (UINT64_C(1) << VIRTIO_NET_F_CSUM | UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF |
                            UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX));
    assert_true(offered & UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ);
}

/* ---- stops ---- */

/* Its peer uses a chain before it sends the frame. */
static void wait_for_frame(Guest *t, DriverQueue *tx)
{
    ssize_t n = -1;

    for (unsigned i = 0; i < 20000 && n < 0; i++) {
        guest_run(&t->g);
        n = recv(wire, &(char) { 0 }, 1, MSG_DONTWAIT);
        g_usleep(100);
    }
    assert_int_equal(n, 1);
    guest_wait(&t->g, tx, &(uint16_t) { 0 }, &(uint32_t) { 0 });
}

static void pause_and_go_on(Guest *t)
{
    goes_both_ways(t);
    device_pause(t->g.rig->dev);
    device_pause(t->g.rig->dev->backend);
    send_frame(t); /* waits */
    g_usleep(20000);
    assert_int_equal(recv(wire, &(char) { 0 }, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    device_resume(t->g.rig->dev->backend);
    device_resume(t->g.rig->dev);
    wait_for_frame(t, &t->tx);
    goes_both_ways(t);
}

static void test_a_pause_stops_them_where_they_stand(void **state)
{
    start(*state, DEVICE, STATUS);
    pause_and_go_on(*state);
}

static void test_a_pause_stops_packed_rings_where_they_stand(void **state)
{
    start(*state, DEVICE ",packed=on", STATUS | PACKED);
    pause_and_go_on(*state);
}

static void test_a_pulled_cable_takes_the_rings_back(void **state)
{
    Guest *t = *state;

    start(t, DEVICE, STATUS);
    goes_both_ways(t);
    assert_true(net_set_link(t->g.rig->domain, "n", false, NULL));
    send_frame(t); /* lost, but used */
    guest_wait(&t->g, &t->tx, &(uint16_t) { 0 }, &(uint32_t) { 0 });
    assert_true(net_set_link(t->g.rig->domain, "n", true, NULL));
    goes_both_ways(t);
}

static void test_a_reset_takes_the_rings_back(void **state)
{
    Guest *t = *state;

    start(t, DEVICE, STATUS);
    goes_both_ways(t);
    guest_reset(&t->g);
    assert_true(guest_negotiate(&t->g, STATUS));
    guest_add_queue(&t->g, RX, &t->rx, 16);
    guest_add_queue(&t->g, TX, &t->tx, 16);
    guest_driver_ok(&t->g);
    goes_both_ways(t);
}

static void test_a_removed_netdev_leaves_the_guest_running(void **state)
{
    Guest *t = *state;

    start(t, DEVICE, STATUS);
    goes_both_ways(t);
    assert_true(netdev_del(t->g.rig->domain, "n", NULL));
    send_frame(t);
    guest_wait(&t->g, &t->tx, &(uint16_t) { 0 }, &(uint32_t) { 0 });
}

static void test_a_peer_that_dies_is_a_pulled_cable_and_another_takes_over(void **state)
{
    Guest *t = *state;

    start(t, DEVICE, STATUS);
    goes_both_ways(t);
    kill_backend();
    wait_until(t->g.rig->domain, has_no_link);
    send_frame(t);
    guest_wait(&t->g, &t->tx, &(uint16_t) { 0 }, &(uint32_t) { 0 });
    start_backend();
    wait_until(t->g.rig->domain, has_link);
    goes_both_ways(t);
}

static void test_a_peer_that_dies_with_packed_rings_breaks_the_device_only(void **state)
{
    Guest *t = *state;

    start(t, DEVICE ",packed=on", STATUS | PACKED);
    goes_both_ways(t);
    kill_backend();
    wait_until(t->g.rig->domain, has_no_link);
    assert_true(guest_status(&t->g) & VIRTIO_CONFIG_S_NEEDS_RESET);
    start_backend();
    wait_until(t->g.rig->domain, has_link);
    guest_reset(&t->g);
    assert_true(guest_negotiate(&t->g, STATUS | PACKED));
    guest_add_queue(&t->g, RX, &t->rx, 16);
    guest_add_queue(&t->g, TX, &t->tx, 16);
    guest_driver_ok(&t->g);
    goes_both_ways(t);
}

static Virtqueue *queue_of(Guest *t, unsigned n)
{
    return virtio_queue(((const VirtioPci *)t->g.rig->dev)->transport.virtio, n);
}

static void test_a_reset_finds_rings_that_are_to_be_served_anew(void **state)
{
    Guest *t = *state;
    Virtqueue *vq;

    start(t, DEVICE, STATUS);
    goes_both_ways(t);
    vq = queue_of(t, RX);
    rig_write(t->g.rig, t->g.common + VIRTIO_PCI_COMMON_Q_SELECT, RX, 2);
    rig_write(t->g.rig, t->g.common + VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
    guest_write_status(&t->g, 0);
    assert_true(vq->outside);
    assert_int_equal(vq->setup.used, 0);
    assert_int_equal(vq->used_address, t->rx.used);
    assert_int_equal(vq->features, t->g.features);
    virtio_serve_anew(vq);
    assert_false(vq->outside || vq->event);
    guest_wait_reset(&t->g);
    assert_true(guest_negotiate(&t->g, STATUS));
    guest_add_queue(&t->g, RX, &t->rx, 16);
    guest_add_queue(&t->g, TX, &t->tx, 16);
    guest_driver_ok(&t->g);
    goes_both_ways(t);
}

static void test_a_vector_that_is_written_again_and_again_is_posted_once(void **state)
{
    Guest *t = *state;

    start(t, DEVICE, STATUS);
    goes_both_ways(t);
    rig_write(t->g.rig, t->g.common + VIRTIO_PCI_COMMON_Q_SELECT, TX, 2);
    for (unsigned i = 0; i < 100; i++) {
        rig_write(t->g.rig, t->g.common + VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
        rig_write(t->g.rig, t->g.common + VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
    }
    assert_int_equal(queue_of(t, TX)->references, 3); /* the device's, run, anew */
    goes_both_ways(t);
    assert_int_equal(queue_of(t, TX)->references, 1);
    rig_write(t->g.rig, t->g.common + VIRTIO_PCI_COMMON_Q_MSIX, 0, 2);
    assert_int_equal(queue_of(t, TX)->references, 2);
    goes_both_ways(t);
}

/* ---- several pairs of queues ---- */

#define CONTROL 4
#define COMMAND 0x50000

static void use_pairs(Guest *t, DriverQueue *control, uint8_t pairs)
{
    const DriverBuffer buffers[] = { { COMMAND, 4, false }, { COMMAND + 0x1000, 1, true } };
    const uint8_t command[] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, pairs, 0 };

    memcpy(rig_ram(t->g.rig, COMMAND), command, sizeof(command));
    driver_add(control, buffers, 2);
    guest_kick(&t->g, CONTROL);
    guest_wait(&t->g, control, &(uint16_t) { 0 }, &(uint32_t) { 0 });
    assert_int_equal(*(const uint8_t *)rig_ram(t->g.rig, COMMAND + 0x1000), VIRTIO_NET_OK);
}

static void send_by_second_pair(Guest *t, DriverQueue *tx)
{
    const DriverBuffer buffer = { FRAMES, HEADER + FRAME, false };

    driver_add(tx, &buffer, 1);
    guest_kick(&t->g, TX + 2);
}

static void test_pairs_come_into_use_and_out_of_it_while_others_run(void **state)
{
    Guest *t = *state;
    DriverQueue rx, tx, control;

    netdev = "vhost-user,id=n,chardev=c,queues=2";
    guest_init(&t->g, rig_new_shared(DEVICE ",mq=on", with_backend));
    assert_true(guest_negotiate(&t->g, STATUS | UINT64_C(1) << VIRTIO_NET_F_MQ | UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ));
    guest_add_queue(&t->g, RX, &t->rx, 16);
    guest_add_queue(&t->g, TX, &t->tx, 16);
    guest_add_queue(&t->g, RX + 2, &rx, 16);
    guest_add_queue(&t->g, TX + 2, &tx, 16);
    guest_add_queue(&t->g, CONTROL, &control, 16);
    guest_driver_ok(&t->g);
    goes_both_ways(t);
    for (unsigned i = 0; i < 3; i++) {
        use_pairs(t, &control, 2);
        send_by_second_pair(t, &tx);
        wait_for_frame(t, &tx);
        use_pairs(t, &control, 1);
        goes_both_ways(t);
    }
    send_by_second_pair(t, &tx);
    goes_both_ways(t);
    assert_false(driver_take_used(&tx, &(uint16_t) { 0 }, &(uint32_t) { 0 }));
}

static void test_a_device_that_may_not_master_the_bus_takes_the_rings_back(void **state)
{
    Guest *t = *state;
    uint32_t command;

    start(t, DEVICE, STATUS);
    goes_both_ways(t);
    command = rig_config_read(t->g.rig, GUEST_DEVFN, PCI_COMMAND, 2);
    rig_config_write(t->g.rig, GUEST_DEVFN, PCI_COMMAND, command & ~(uint32_t)PCI_COMMAND_MASTER, 2);
    rig_settle(t->g.rig);
    assert_false(queue_of(t, TX)->outside);
    send_frame(t); /* waits */
    for (unsigned i = 0; i < 200; i++) {
        guest_run(&t->g);
    }
    assert_int_equal(recv(wire, &(char) { 0 }, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    assert_false(driver_take_used(&t->tx, &(uint16_t) { 0 }, &(uint32_t) { 0 }));
    rig_config_write(t->g.rig, GUEST_DEVFN, PCI_COMMAND, command, 2);
    rig_settle(t->g.rig);
    assert_true(queue_of(t, TX)->outside);
    wait_for_frame(t, &t->tx);
    goes_both_ways(t);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, vhost_user_setup, vhost_user_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(split_rings_are_served),
        TEST(packed_rings_are_served),
        TEST(a_peer_without_slots_and_answers_will_do),
        TEST(what_the_peer_cannot_is_not_offered),
        TEST(a_pause_stops_them_where_they_stand),
        TEST(a_pause_stops_packed_rings_where_they_stand),
        TEST(a_pulled_cable_takes_the_rings_back),
        TEST(a_reset_takes_the_rings_back),
        TEST(a_removed_netdev_leaves_the_guest_running),
        TEST(a_peer_that_dies_is_a_pulled_cable_and_another_takes_over),
        TEST(a_peer_that_dies_with_packed_rings_breaks_the_device_only),
        TEST(a_reset_finds_rings_that_are_to_be_served_anew),
        TEST(a_vector_that_is_written_again_and_again_is_posted_once),
        TEST(pairs_come_into_use_and_out_of_it_while_others_run),
        TEST(a_device_that_may_not_master_the_bus_takes_the_rings_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
