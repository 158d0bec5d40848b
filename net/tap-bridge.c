/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's bridge helper: a small program, setuid root, that makes a TAP interface, puts it into a bridge that
 * /etc/qemu/bridge.conf allows, and passes its descriptor back over a socket.  So who may not make interfaces gets
 * one.  What it says when it fails becomes our error, with what to do about it.
 *
 *   helper [--use-vnet] --fd=0 --br=NAME
 *
 * Main thread; it waits for the helper.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/tap.h"
#include "vmm/error.h"
#include "vmm/host.h"
#include "vmm/sandbox.h"

#define ITS_SOCKET "--fd=0" /* standard input */

static const char *const helpers[] = { "/usr/lib/qemu/qemu-bridge-helper", "/usr/libexec/qemu-bridge-helper", NULL };

/* Where nobody may look, it is taken for there. */
static bool is_there(const char *path)
{
    return !sandbox_check_opening(path, NULL) || access(path, F_OK) == 0;
}

static const char *choose_helper(void)
{
    for (unsigned i = 0; helpers[i]; i++) {
        if (is_there(helpers[i])) {
            return helpers[i];
        }
    }
    return helpers[0];
}

/* A helper of one word is a path; more are a command for the shell, as QEMU has it. */
static GStrv make_command(const char *helper, const char *bridge, bool vnet_hdr)
{
    g_autofree char *br = g_strdup_printf("--br=%s", bridge);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();

    if (strpbrk(helper, " \t")) {
        g_autofree char *quoted = g_shell_quote(br);

        g_ptr_array_add(argv, g_strdup("/bin/sh"));
        g_ptr_array_add(argv, g_strdup("-c"));
        g_ptr_array_add(argv, g_strdup_printf("%s %s%s %s", helper, vnet_hdr ? "--use-vnet " : "", ITS_SOCKET, quoted));
    } else {
        g_ptr_array_add(argv, g_strdup(helper));
        if (vnet_hdr) {
            g_ptr_array_add(argv, g_strdup("--use-vnet"));
        }
        g_ptr_array_add(argv, g_strdup(ITS_SOCKET));
        g_ptr_array_add(argv, g_steal_pointer(&br));
    }
    g_ptr_array_add(argv, NULL);
    return (GStrv)g_ptr_array_steal(argv, NULL);
}

static bool is_setuid_root(const char *path)
{
    struct stat st;

    return !sandbox_check_opening(path, NULL) || (stat(path, &st) == 0 && st.st_uid == 0 && st.st_mode & S_ISUID);
}

/* What helps, by what it said. */
static bool give_hint(const char *helper, const char *bridge, const char *said, GError **error)
{
    if (!is_there(helper) && !strpbrk(helper, " \t")) {
        return error_hint(error, "Install qemu-system-common, or name another by helper=.");
    }
    if (strstr(said, "acl file")) {
        return error_hint(error, "Put the line 'allow %s' into /etc/qemu/bridge.conf, which it must be able to read.",
                          bridge);
    }
    if (strstr(said, "No such device")) {
        return error_hint(error, "Make the bridge first (ip link add %s type bridge).", bridge);
    }
    if (geteuid() != 0 && !strpbrk(helper, " \t") && !is_setuid_root(helper)) {
        return error_hint(error, "It must be setuid root (chmod u+s %s).", helper);
    }
    return false;
}

static int receive_descriptor(int socket)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec iov = { &byte, sizeof(byte) };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                              .msg_controllen = sizeof(control) };
    struct cmsghdr *cmsg;
    int fd = -1;

    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) > 0) {
        cmsg = CMSG_FIRSTHDR(&message);
        if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
            cmsg->cmsg_len == CMSG_LEN(sizeof(int))) {
            memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
        }
    }
    return fd;
}

static int run(const char *helper, const char *bridge, bool vnet_hdr, const int pair[2], GError **error)
{
    g_auto(GStrv) argv = make_command(helper, bridge, vnet_hdr);
    g_autofree char *said = NULL;
    g_autoptr(GError) reason = NULL;
    int fd = -1;

    if (host_run_with((const char *const *)argv, pair[1], &said, &reason)) {
        fd = receive_descriptor(pair[0]);
        if (fd < 0) {
            error_set(error, "'%s' passed no interface at bridge '%s'", helper, bridge);
        }
        return fd;
    }
    error_set(error, "no interface at bridge '%s': %s%s%s", bridge, reason->message, said && *said ? ": " : "",
              said ? said : "");
    if (!give_hint(helper, bridge, said ? said : "", error) && error_get_hint(reason)) {
        error_hint(error, "%s", error_get_hint(reason));
    }
    return -1;
}

int tap_run_helper(const char *helper, const char *bridge, bool vnet_hdr, GError **error)
{
    int pair[2], fd;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        error_set_errno(error, errno, "no socket for the bridge helper");
        return -1;
    }
    fd = run(helper ? helper : choose_helper(), bridge ? bridge : TAP_BRIDGE, vnet_hdr, pair, error);
    close(pair[0]);
    close(pair[1]);
    return fd;
}
