/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP client at the other end of a socket.
 */
#include "monitor-rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/net.h"
#include "vmm/epoch.h"

#define PATIENCE_MS 10000

static bool round_of_the_loop(MonitorRig *r)
{
    return loop_run_once(domain_loop(r->domain), false);
}

static void read_some(MonitorRig *r)
{
    char bytes[65536];
    ssize_t n = recv(r->client, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n > 0) {
        g_string_append_len(r->heard, bytes, n);
    }
}

void monitor_rig_connect(MonitorRig *r)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    g_strlcpy(address.sun_path, r->path, sizeof(address.sun_path));
    r->client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(r->client, (struct sockaddr *)&address, sizeof(address)), 0);
}

void monitor_rig_disconnect(MonitorRig *r)
{
    close(r->client);
    r->client = -1;
    g_string_truncate(r->heard, 0);
    assert_true(monitor_rig_is_silent(r));
}

MonitorRig *monitor_rig_new(Domain *domain)
{
    MonitorRig *r = g_new0(MonitorRig, 1);
    g_autofree char *options = NULL;
    Chardev *chr;

    r->domain = domain;
    r->folder = g_dir_make_tmp("lodge-monitor-XXXXXX", NULL);
    r->path = g_build_filename(r->folder, "qmp", NULL);
    r->heard = g_string_new(NULL);
    options = g_strdup_printf("socket,id=mon,path=%s,server=on,wait=off", r->path);
    chr = chardev_add_text(r->domain, options, NULL);
    assert_non_null(chr);
    r->qmp = qmp_new(r->domain, chr, false, NULL);
    assert_non_null(r->qmp);
    monitor_rig_connect(r);
    return r;
}

int monitor_rig_setup(void **state)
{
    *state = monitor_rig_new(domain_new("test", NULL));
    return 0;
}

int monitor_rig_negotiated(void **state)
{
    MonitorRig *r;

    monitor_rig_setup(state);
    r = *state;
    monitor_rig_ask(r, "", "{\"QMP\": ...");
    monitor_rig_ask(r, "{\"execute\": \"qmp_capabilities\"}", "{\"return\": {}}");
    return 0;
}

void monitor_rig_free(MonitorRig *r)
{
    if (r->client >= 0) {
        close(r->client);
    }
    qmp_free(r->qmp);
    net_remove_all(r->domain);
    chardev_remove_all(r->domain);
    unlink(r->path);
    rmdir(r->folder);
    g_string_free(r->heard, TRUE);
    g_free(r->folder);
    g_free(r->path);
    g_free(r);
}

int monitor_rig_teardown(void **state)
{
    Domain *domain = ((MonitorRig *)*state)->domain;

    monitor_rig_free(*state);
    domain_free(domain);
    epoch_synchronize();
    return 0;
}

static ssize_t send_piece(MonitorRig *r, const char *bytes, size_t length, int fd)
{
    union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control = { 0 };
    struct iovec iov = { (void *)(uintptr_t)bytes, length };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof(control.room);
        control.header = (struct cmsghdr) { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
                                            .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
    }
    return sendmsg(r->client, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void monitor_rig_send(MonitorRig *r, const char *bytes, size_t length, int fd)
{
    for (size_t at = 0; at < length;) {
        ssize_t n = send_piece(r, bytes + at, length - at, at ? -1 : fd);

        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            round_of_the_loop(r);
            read_some(r);
        } else {
            at += (size_t)n;
        }
    }
}

char *monitor_rig_line(MonitorRig *r)
{
    for (unsigned i = 0; i < PATIENCE_MS * 10; i++) {
        char *end = strstr(r->heard->str, "\r\n");

        if (end) {
            char *line = g_strndup(r->heard->str, (gsize)(end - r->heard->str));

            g_string_erase(r->heard, 0, end + 2 - r->heard->str);
            return line;
        }
        if (!round_of_the_loop(r)) {
            g_usleep(100);
        }
        read_some(r);
    }
    fail_msg("no line comes; so far: '%s'", r->heard->str);
    return NULL;
}

bool monitor_rig_is_silent(MonitorRig *r)
{
    for (unsigned quiet = 0; quiet < 20; quiet++) {
        while (round_of_the_loop(r)) {
            quiet = 0;
        }
        g_usleep(500);
    }
    if (r->client >= 0) {
        read_some(r);
    }
    return r->heard->len == 0;
}

void monitor_rig_ask(MonitorRig *r, const char *request, const char *expected)
{
    size_t length = strlen(expected);
    g_autofree char *line = NULL;

    monitor_rig_send(r, request, strlen(request), -1);
    line = monitor_rig_line(r);
    if (g_str_has_suffix(expected, "...") && strncmp(line, expected, length - 3) == 0) {
        return;
    }
    assert_string_equal(line, expected);
}
