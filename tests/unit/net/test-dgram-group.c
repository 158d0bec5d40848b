/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/dgram-group.c: what a member hears that has named its interface. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/dgram-group.h"
#include "vmm/error.h"

#define GROUP "239.7.7.9"

/* Nobody has it: members of groups on this host may share theirs. */
static char *free_port(void)
{
    struct sockaddr_in name = { .sin_family = AF_INET };
    socklen_t length = sizeof(name);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&name, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    close(fd);
    return g_strdup_printf("%u", ntohs(name.sin_port));
}

static void join(const char *port, const char *interface, NetGroup *ret)
{
    g_autoptr(GError) error = NULL;

    if (!net_group_open(GROUP, port, interface, ret, &error)) {
        fail_msg("%s", error->message);
    }
}

static void leave(NetGroup *g)
{
    close(g->in);
    close(g->out);
}

/* The byte that comes next, which is on its way if it is on this host. */
static int heard(const NetGroup *g, struct sockaddr_in *ret_from)
{
    socklen_t length = sizeof(*ret_from);
    uint8_t byte;

    return recvfrom(g->in, &byte, 1, MSG_DONTWAIT, (struct sockaddr *)ret_from, &length) == 1 ? byte : -1;
}

static void test_members_hear_each_other_and_know_their_own(void **state)
{
    g_autofree char *port = free_port();
    struct sockaddr_in from = { 0 };
    NetGroup a, b;

    join(port, "127.0.0.1", &a);
    join(port, "127.0.0.1", &b);
    assert_int_equal(send(a.out, "x", 1, 0), 1);
    assert_int_equal(heard(&b, &from), 'x');
    assert_int_not_equal(from.sin_port, b.own.sin_port);
    assert_int_equal(heard(&a, &from), 'x');
    assert_int_equal(from.sin_port, a.own.sin_port);
    assert_int_equal(from.sin_addr.s_addr, a.own.sin_addr.s_addr);
    leave(&a);
    leave(&b);
}

/* The address of an interface besides the loopback, which can do multicast; NULL: there is none. */
static char *another_interface(void)
{
    const unsigned flags = IFF_UP | IFF_MULTICAST;
    char text[INET_ADDRSTRLEN], *found = NULL;
    struct ifaddrs *list;

    assert_int_equal(getifaddrs(&list), 0);
    for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & (flags | IFF_LOOPBACK)) == flags) {
            found = g_strdup(inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, text, sizeof(text)));
        }
    }
    freeifaddrs(list);
    return found;
}

static void test_what_comes_by_another_interface_is_not_heard(void **state)
{
    g_autofree char *port = free_port(), *address = another_interface();
    struct sockaddr_in from = { 0 };
    NetGroup here, there;

    if (!address) {
        skip();
    }
    join(port, "127.0.0.1", &here);
    join(port, address, &there);
    assert_int_equal(send(there.out, "x", 1, 0), 1);
    assert_int_equal(heard(&there, &from), 'x');
    assert_int_equal(heard(&here, &from), -1);
    leave(&here);
    leave(&there);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_hear_each_other_and_know_their_own),
        cmocka_unit_test(test_what_comes_by_another_interface_is_not_heard),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
