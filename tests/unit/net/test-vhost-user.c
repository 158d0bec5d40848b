/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC whose queues another process serves (tests/tools/vhost-user-backend.c), as a driver sees it; at the other end
 * of that process' wire is the test.
 */
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtqueue-ring.h"
#include "net/announce.h"
#include "tests/unit/hw/virtio/virtio-guest.h"
#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/migrate-internal.h"

#define DEVICE  "virtio-net-pci,netdev=n,addr=5,mac=52:54:00:00:00:07"
#define RX      0
#define TX      1
#define BUFFERS 0x20000
#define FRAMES  0x40000
#define HEADER  12
#define STATUS  (UINT64_C(1) << VIRTIO_NET_F_STATUS)
#define PACKED  (UINT64_C(1) << VIRTIO_F_RING_PACKED)
#define FRAME   200

typedef struct Guest {
    VirtioGuest g;
    DriverQueue rx, tx;
    unsigned sent;
} Guest;

static int wire = -1;
static pid_t backend;
static char *path;
static const char *backend_option; /* NULL: none */
static const char *netdev; /* what -netdev says */

/* ---- the other process ---- */

static void start_backend(void)
{
    g_autofree char *to = NULL;
    int pair[2];

    if (wire >= 0) {
        close(wire);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    wire = pair[0];
    to = g_strdup_printf("fd:%d", pair[1]);
    backend = fork();
    if (backend == 0) {
        close(wire);
        signal(SIGALRM, SIG_DFL);
        alarm(60);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execl(BACKEND, "vhost-user-backend", path, to, backend_option, NULL);
        _exit(127);
    }
    close(pair[1]);
}

static void kill_backend(void)
{
    kill(backend, SIGKILL);
    waitpid(backend, NULL, 0);
    backend = 0;
}

static void wait_until(Domain *domain, bool (*true_now)(Domain *domain))
{
    for (unsigned i = 0; i < 20000 && !true_now(domain); i++) {
        loop_run_once(domain_loop(domain), false);
        g_usleep(500);
    }
    assert_true(true_now(domain));
}

static bool is_connected(Domain *domain)
{
    return chardev_connected(chardev_find(domain, "c", NULL));
}

/* The backend's process has ended by itself. */
static bool has_left(Domain *domain)
{
    if (backend && waitpid(backend, NULL, WNOHANG) == backend) {
        backend = 0;
    }
    return backend == 0;
}

static bool has_link(Domain *domain)
{
    return !netdev_find(domain, "n", NULL)->no_peer;
}

static bool has_no_link(Domain *domain)
{
    return !has_link(domain);
}

static void with_backend(Domain *domain)
{
    g_autofree char *text = g_strdup_printf("socket,id=c,path=%s,server=on,wait=off", path);
    g_autoptr(GError) error = NULL;

    assert_non_null(chardev_add_text(domain, text, NULL));
    if (backend) {
        kill_backend();
    }
    start_backend();
    wait_until(domain, is_connected);
    if (!netdev_add_text(domain, netdev, &error)) {
        fail_msg("%s", error->message);
    }
}

/* ---- rigs ---- */

static int setup(void **state)
{
    *state = g_new0(Guest, 1);
    path = g_strdup_printf("/tmp/lodge-vhost-user-%d", getpid());
    backend_option = NULL;
    netdev = "vhost-user,id=n,chardev=c";
    return 0;
}

static int teardown(void **state)
{
    Guest *t = *state;

    if (t->g.rig) {
        rig_free(t->g.rig);
    }
    if (backend) {
        kill_backend();
    }
    if (wire >= 0) {
        close(wire);
        wire = -1;
    }
    unlink(path);
    g_clear_pointer(&path, g_free);
    g_free(t);
    return 0;
}

static void start(Guest *t, const char *device, uint64_t features)
{
    guest_init(&t->g, rig_new_shared(device, with_backend));
    assert_true(guest_negotiate(&t->g, features));
    guest_add_queue(&t->g, RX, &t->rx, 16);
    guest_add_queue(&t->g, TX, &t->tx, 16);
    guest_driver_ok(&t->g);
}

/* ---- frames ---- */

static void make_frame(uint8_t *frame, unsigned n)
{
    memset(frame, 0xff, 6);
    memset(frame + 6, 0x52, 6);
    frame[12] = 0x88;
    frame[13] = 0xb5;
    for (unsigned i = 14; i < FRAME; i++) {
        frame[i] = (uint8_t)(i * 7 + n);
    }
}

static void send_frame(Guest *t)
{
    const DriverBuffer buffers[] = { { FRAMES, HEADER, false }, { FRAMES + HEADER, FRAME, false } };

    memset(rig_ram(t->g.rig, FRAMES), 0, HEADER);
    make_frame(rig_ram(t->g.rig, FRAMES + HEADER), ++t->sent);
    driver_add(&t->tx, buffers, 2);
    guest_kick(&t->g, TX);
}

static void goes_out(Guest *t)
{
    uint8_t frame[FRAME], got[2048];
    ssize_t n = -1;
    uint32_t length;
    uint16_t id;

    send_frame(t);
    for (unsigned i = 0; i < 20000 && n < 0; i++) {
        n = recv(wire, got, sizeof(got), MSG_DONTWAIT);
        guest_run(&t->g);
        g_usleep(100);
    }
    make_frame(frame, t->sent);
    assert_int_equal(n, FRAME);
    assert_memory_equal(got, frame, FRAME);
    guest_wait(&t->g, &t->tx, &id, &length);
}

static void comes_in(Guest *t)
{
    const DriverBuffer buffer = { BUFFERS, 2048, true };
    uint8_t frame[FRAME];
    uint32_t length;
    uint16_t id;

    driver_add(&t->rx, &buffer, 1);
    guest_kick(&t->g, RX);
    make_frame(frame, 99);
    assert_int_equal(send(wire, frame, FRAME, 0), FRAME);
    guest_wait(&t->g, &t->rx, &id, &length);
    assert_int_equal(length, HEADER + FRAME);
    assert_memory_equal(rig_ram(t->g.rig, BUFFERS + HEADER), frame, FRAME);
}

static void goes_both_ways(Guest *t)
{
    for (unsigned i = 0; i < 20; i++) { /* more than a ring */
        goes_out(t);
        comes_in(t);
    }
}

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
    for (unsigned i = 0; i < 1000 && recv(wire, &(char) { 0 }, 1, MSG_DONTWAIT) < 0; i++) {
        guest_run(&t->g);
        g_usleep(500);
    }
    guest_wait(&t->g, &t->tx, &(uint16_t) { 0 }, &(uint32_t) { 0 });
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
    guest_wait(&t->g, &t->tx, &(uint16_t) { 0 }, &(uint32_t) { 0 });
    assert_int_equal(recv(wire, &(char) { 0 }, 1, MSG_DONTWAIT), 1);
    goes_both_ways(t);
}

/* ---- migration ---- */

static void writes_are_logged(Guest *t)
{
    RamBlock *block = ram_block_find_host(rig_ram(t->g.rig, 0), &(uint64_t) { 0 });
    uint64_t ring_pages;

    goes_both_ways(t);
    memory_log_start(block, DIRTY_MIGRATION);
    while (ram_dirty_take_run(block, DIRTY_MIGRATION, 0, UINT64_MAX, &ring_pages)) { }
    comes_in(t);
    memory_log_sync(block);
    assert_true(ram_dirty_test(block, DIRTY_MIGRATION, BUFFERS, 1));
    assert_false(ram_dirty_test(block, DIRTY_MIGRATION, 0x80000, 1));
    assert_true(ram_dirty_test(block, DIRTY_MIGRATION, t->rx.packed ? t->rx.desc : t->rx.used, 1));
    memory_log_stop(block, DIRTY_MIGRATION);
    goes_both_ways(t);
}

static void test_writes_are_logged_while_the_domain_moves(void **state)
{
    start(*state, DEVICE, STATUS);
    writes_are_logged(*state);
}

static void test_writes_to_packed_rings_are_logged(void **state)
{
    start(*state, DEVICE ",packed=on", STATUS | PACKED);
    writes_are_logged(*state);
}

/* Whatever the peer logged is not looked at here. */
static void rings_count_as_written(Guest *t)
{
    RamBlock *block = ram_block_find_host(rig_ram(t->g.rig, 0), &(uint64_t) { 0 });
    uint64_t page;

    goes_both_ways(t);
    memory_log_start(block, DIRTY_MIGRATION);
    while (ram_dirty_take_run(block, DIRTY_MIGRATION, 0, UINT64_MAX, &page)) { }
    comes_in(t);
    device_pause(t->g.rig->dev);
    device_pause(t->g.rig->dev->backend);
    assert_true(ram_dirty_test(block, DIRTY_MIGRATION, t->rx.packed ? t->rx.desc : t->rx.used, 1));
    assert_false(ram_dirty_test(block, DIRTY_MIGRATION, BUFFERS, 1));
    device_resume(t->g.rig->dev->backend);
    device_resume(t->g.rig->dev);
    memory_log_stop(block, DIRTY_MIGRATION);
    goes_both_ways(t);
}

static void test_rings_that_come_back_count_as_written(void **state)
{
    start(*state, DEVICE, STATUS);
    rings_count_as_written(*state);
}

static void test_packed_rings_that_come_back_count_as_written(void **state)
{
    start(*state, DEVICE ",packed=on", STATUS | PACKED);
    rings_count_as_written(*state);
}

static void test_a_peer_without_log_keeps_the_domain_here(void **state)
{
    g_autoptr(GPtrArray) reasons = NULL;
    Guest *t = *state;

    backend_option = "protocol=0x1";
    start(t, DEVICE, STATUS);
    reasons = migrate_blocked_reasons(t->g.rig->domain);
    assert_int_equal(reasons->len, 1);
    assert_non_null(strstr(reasons->pdata[0], "cannot tell which memory it writes"));
}

/* Such a domain does not migrate, but this may come of a peer that hangs, too. */
static void test_what_is_not_logged_counts_as_written(void **state)
{
    RamBlock *block;
    uint64_t page;
    Guest *t = *state;

    backend_option = "protocol=0x1";
    start(t, DEVICE, STATUS);
    goes_both_ways(t);
    block = ram_block_find_host(rig_ram(t->g.rig, 0), &(uint64_t) { 0 });
    memory_log_start(block, DIRTY_MIGRATION);
    for (unsigned i = 0; i < 2; i++) {
        while (ram_dirty_take_run(block, DIRTY_MIGRATION, 0, UINT64_MAX, &page)) { }
        memory_log_sync(block);
        assert_true(ram_dirty_test(block, DIRTY_MIGRATION, BUFFERS, 1));
        assert_true(ram_dirty_test(block, DIRTY_MIGRATION, RIG_RAM - 1, 1));
    }
    memory_log_stop(block, DIRTY_MIGRATION);
    goes_both_ways(t);
}

/* ---- announcements, refusals ---- */

static void test_announcements_go_to_the_peer(void **state)
{
    const NetAnnounce p = { .rounds = 1 };
    Guest *t = *state;

    start(t, DEVICE, STATUS);
    net_announce_self(t->g.rig->domain, "", &p);
    assert_true(has_link(t->g.rig->domain));
    goes_both_ways(t);
}

static void test_unshared_memory_is_refused_in_a_sentence(void **state)
{
    g_autofree char *said = NULL;
    Guest *t = *state;

    t->g.rig = rig_new_with(NULL, with_backend);
    said = rig_try_add(t->g.rig, DEVICE);
    assert_non_null(strstr(said, "needs guest memory that another process can map"));
    assert_non_null(strstr(said, "memory-backend-memfd"));
}

static void refused(Domain *domain, const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL;

    assert_false(netdev_add_text(domain, text, &error));
    said = error_text(error);
    if (!strstr(said, expected)) {
        fail_msg("'%s' is not in '%s'", expected, said);
    }
}

static void test_peers_that_will_not_do_are_refused(void **state)
{
    Guest *t = *state;
    Domain *domain;

    t->g.rig = rig_new_shared(NULL, with_backend);
    domain = t->g.rig->domain;
    refused(domain, "vhost-user,id=m,chardev=c", "in use");
    assert_true(netdev_del(domain, "n", NULL));
    refused(domain, "vhost-user,id=m,chardev=x", "'x'");
    kill_backend();
    assert_non_null(chardev_add_text(domain, "null,id=z", NULL));
    refused(domain, "vhost-user,id=m,chardev=z", "no local socket");
}

static void test_a_peer_with_too_few_queues_is_refused(void **state)
{
    Guest *t = *state;

    backend_option = "protocol=0";
    t->g.rig = rig_new_shared(NULL, with_backend);
    assert_true(netdev_del(t->g.rig->domain, "n", NULL));
    refused(t->g.rig->domain, "vhost-user,id=m,chardev=c,queues=4", "queues, not 4");
}

static void test_a_peer_that_comes_back_with_too_few_queues_is_refused(void **state)
{
    Guest *t = *state;

    netdev = "vhost-user,id=n,chardev=c,queues=2";
    guest_init(&t->g, rig_new_shared(DEVICE, with_backend));
    kill_backend();
    wait_until(t->g.rig->domain, has_no_link);
    backend_option = "protocol=0x800e";
    start_backend();
    wait_until(t->g.rig->domain, has_left);
    assert_true(has_no_link(t->g.rig->domain));
    backend_option = NULL;
    start_backend();
    wait_until(t->g.rig->domain, has_link);
    assert_true(guest_negotiate(&t->g, STATUS));
    guest_add_queue(&t->g, RX, &t->rx, 16);
    guest_add_queue(&t->g, TX, &t->tx, 16);
    guest_driver_ok(&t->g);
    goes_both_ways(t);
}

/* A peer that says `data` and, if `stays`, is silent then. */
static void meets(Domain *domain, const void *data, size_t length, bool stays, const char *expected)
{
    static unsigned n;
    g_autofree char *chardev = NULL, *text = NULL;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(write(pair[0], data, length), length);
    chardev = g_strdup_printf("socket,id=peer%u,fd=%d", n, pair[1]);
    text = g_strdup_printf("vhost-user,id=m,chardev=peer%u", n++);
    assert_non_null(chardev_add_text(domain, chardev, NULL));
    if (!stays) {
        close(pair[0]);
    }
    refused(domain, text, expected);
    if (stays) {
        close(pair[0]);
    }
}

static void test_peers_that_answer_nonsense_or_nothing_are_refused(void **state)
{
    static const uint32_t wrong_request[] = { 2, 5, 8, 0, 0 }, no_reply[] = { 1, 1, 8, 0, 0 },
                          huge[] = { 1, 5, 0xffffffff, 0, 0 }, short_one[] = { 1, 5, 4, 0, 0 }, old[] = { 1, 5, 8, 0, 0 },
                          cut[] = { 1, 5 };
    Guest *t = *state;
    Domain *domain;

    t->g.rig = rig_new_shared(NULL, NULL);
    domain = t->g.rig->domain;
    meets(domain, wrong_request, sizeof(wrong_request), true, "answers nonsense");
    meets(domain, no_reply, sizeof(no_reply), true, "answers nonsense");
    meets(domain, huge, sizeof(huge), true, "answers nonsense");
    meets(domain, short_one, sizeof(short_one), true, "answers nonsense");
    meets(domain, cut, sizeof(cut), false, "vhost-user back end");
    meets(domain, cut, sizeof(cut), true, "does not answer"); /* after a while */
    meets(domain, old, sizeof(old), true, "does not know Virtio 1");
}

/* An answer that would be right, a byte at a time. */
static void test_a_peer_that_drips_is_refused(void **state)
{
    static const uint32_t answer[] = { 1, 5, 8, 0, 0 };
    g_autofree char *chardev = NULL;
    Guest *t = *state;
    int64_t began;
    int pair[2];

    t->g.rig = rig_new_shared(NULL, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    chardev = g_strdup_printf("socket,id=drip,fd=%d", pair[1]);
    assert_non_null(chardev_add_text(t->g.rig->domain, chardev, NULL));
    backend = fork();
    if (backend == 0) {
        close(pair[1]);
        for (unsigned i = 0; i < sizeof(answer) && send(pair[0], (const char *)answer + i, 1, MSG_NOSIGNAL) == 1; i++) {
            sleep(1);
        }
        _exit(0);
    }
    close(pair[0]);
    began = g_get_monotonic_time();
    refused(t->g.rig->domain, "vhost-user,id=m,chardev=drip", "does not answer");
    assert_true(g_get_monotonic_time() - began < 10 * G_USEC_PER_SEC);
}

static void test_a_chardev_in_use_stays(void **state)
{
    g_autoptr(GError) error = NULL;
    Guest *t = *state;

    start(t, DEVICE, STATUS);
    assert_false(chardev_remove(t->g.rig->domain, "c", &error));
    goes_both_ways(t);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, setup, teardown)

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
        TEST(a_device_that_may_not_master_the_bus_takes_the_rings_back),
        TEST(writes_are_logged_while_the_domain_moves),
        TEST(writes_to_packed_rings_are_logged),
        TEST(rings_that_come_back_count_as_written),
        TEST(packed_rings_that_come_back_count_as_written),
        TEST(a_peer_without_log_keeps_the_domain_here),
        TEST(what_is_not_logged_counts_as_written),
        TEST(announcements_go_to_the_peer),
        TEST(unshared_memory_is_refused_in_a_sentence),
        TEST(peers_that_will_not_do_are_refused),
        TEST(a_peer_with_too_few_queues_is_refused),
        TEST(a_peer_that_comes_back_with_too_few_queues_is_refused),
        TEST(peers_that_answer_nonsense_or_nothing_are_refused),
        TEST(a_peer_that_drips_is_refused),
        TEST(a_chardev_in_use_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
