/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/net/vhost-user-rig.h"
#include "vmm/chardev.h"


int wire = -1;
pid_t backend;
static char *path;
const char *backend_option, *netdev;

/* ---- the other process ---- */

void start_backend(void)
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

void kill_backend(void)
{
    kill(backend, SIGKILL);
    waitpid(backend, NULL, 0);
    backend = 0;
}

void wait_until(Domain *domain, bool (*true_now)(Domain *domain))
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
bool has_left(Domain *domain)
{
    if (backend && waitpid(backend, NULL, WNOHANG) == backend) {
        backend = 0;
    }
    return backend == 0;
}

bool has_link(Domain *domain)
{
    return !netdev_find(domain, "n", NULL)->no_peer;
}

bool has_no_link(Domain *domain)
{
    return !has_link(domain);
}

void with_backend(Domain *domain)
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

int vhost_user_setup(void **state)
{
    *state = g_new0(Guest, 1);
    path = g_strdup_printf("/tmp/lodge-vhost-user-%d", getpid());
    backend_option = NULL;
    netdev = "vhost-user,id=n,chardev=c";
    return 0;
}

int vhost_user_teardown(void **state)
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

void start(Guest *t, const char *device, uint64_t features)
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

void send_frame(Guest *t)
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

void comes_in(Guest *t)
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

void goes_both_ways(Guest *t)
{
    for (unsigned i = 0; i < 20; i++) { /* more than a ring */
        goes_out(t);
        comes_in(t);
    }
}
