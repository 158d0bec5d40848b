/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb server's input: any bytes, and packets with a right checksum around any
 * content, which come further.
 *
 * The input is pieces: a byte of length, whose highest bit says that the piece is a
 * packet's content, then as many bytes.  Checked: nothing outside of what it may touch is
 * touched (sanitizers), and the server still answers afterwards.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/gdb.h"
#include "tests/unit/rig.h"
#include "vmm/chardev.h"

typedef struct Target {
    Rig *rig;
    int fd;
} Target;

/* A server on one end of a pair of sockets; made once. */
static void target_setup(Target *t)
{
    g_autofree char *chardev = NULL;
    int fds[2];

    t->rig = rig_new_cpus("2");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) {
        abort();
    }
    t->fd = fds[0];
    chardev = g_strdup_printf("socket,id=client,fd=%d", fds[1]);
    if (!machine_finalize(t->rig->machine, NULL) || !chardev_add_text(t->rig->domain, chardev, NULL) ||
        !gdb_server_open(t->rig->domain, "chardev:client", NULL)) {
        abort();
    }
}

static void settle(Target *t)
{
    while (loop_run_once(domain_loop(t->rig->domain), false)) {
    }
}

static void say(Target *t, const void *data, size_t length)
{
    if (send(t->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        abort();
    }
    settle(t);
}

/* Everything that the server has said. */
static size_t drain(Target *t)
{
    char buffer[65536];
    size_t total = 0;
    ssize_t n;

    while ((n = recv(t->fd, buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
        total += (size_t)n;
        settle(t);
    }
    return total;
}

static void say_packet(Target *t, const uint8_t *data, size_t length)
{
    g_autoptr(GString) packet = g_string_new("$");
    uint8_t sum = 0;

    if (length && (*data == 'k' || (length > 5 && !memcmp(data, "vKill", 5)))) {
        return; /* then there would be no guest any more */
    }
    g_string_append_len(packet, (const char *)data, (gssize)length);
    for (size_t i = 0; i < length; i++) {
        sum += data[i];
    }
    g_string_append_printf(packet, "#%02x", sum);
    say(t, packet->str, packet->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static Target t;

    if (!t.rig) {
        target_setup(&t);
    }
    while (length) {
        bool packet = *data & 0x80;
        size_t n = MIN((size_t)(*data & 0x7f), length - 1);

        if (packet) {
            say_packet(&t, data + 1, n);
        } else {
            say(&t, data + 1, n);
        }
        drain(&t);
        data += n + 1;
        length -= n + 1;
    }
    say(&t, "#00", 3); /* ends what may have begun */
    drain(&t);
    say(&t, "$?#3f", 5);
    if (!drain(&t)) {
        abort();
    }
    return 0;
}
