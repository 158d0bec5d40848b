/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/net-commands.c and the languages of backends, as a QMP client and a command line see them. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/netdev-options.h"
#include "net/user.h"
#include "tests/unit/monitor/monitor-rig.h"
#include "vmm/error.h"

#define ERROR(TEXT) "{\"error\": {\"class\": \"GenericError\", \"desc\": \"" TEXT "..."
#define OK          "{\"return\": {}}"

static void ask(void **state, const char *request, const char *expected)
{
    monitor_rig_ask(*state, request, expected);
}

static void refused(void **state, const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *said = NULL;

    assert_false(netdev_add_text(((MonitorRig *)*state)->domain, text, &error));
    said = error_text(error);
    if (!strstr(said, expected)) {
        fail_msg("'%s' is not in '%s'", expected, said);
    }
}

static void accepted(void **state, const char *text)
{
    g_autoptr(GError) error = NULL;

    netdev_add_text(((MonitorRig *)*state)->domain, text, &error);
    if (error) {
        fail_msg("%s: %s", text, error->message);
    }
}

static void test_tables_have_no_mistakes(void **state)
{
    g_autofree char *mistakes = field_struct_check(&netdev_options);

    if (mistakes) {
        fail_msg("%s", mistakes);
    }
}

static void test_netdevs_come_and_go(void **state)
{
    ask(state, "{\"execute\": \"netdev_add\", \"arguments\": {\"type\": \"user\", \"id\": \"n0\", \"restrict\": true, "
               "\"dnssearch\": [{\"str\": \"a.org\"}, {\"str\": \"b.org\"}]}}", OK);
    ask(state, "{\"execute\": \"netdev_add\", \"arguments\": {\"type\": \"user\", \"id\": \"n0\"}}",
        ERROR("Duplicate netdev id 'n0'"));
    ask(state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"info network\"}}",
        "{\"return\": \"n0: index=0,type=user,net=10.0.2.0,restrict=on\\r\\n\"}");
    ask(state, "{\"execute\": \"netdev_del\", \"arguments\": {\"id\": \"n0\"}}", OK);
    ask(state, "{\"execute\": \"netdev_del\", \"arguments\": {\"id\": \"n0\"}}",
        "{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"netdev 'n0' does not exist\"}}");
}

static void test_bad_arguments_are_named(void **state)
{
    ask(state, "{\"execute\": \"netdev_add\", \"arguments\": {\"type\": \"user\", \"id\": \"n\", \"hostfdw\": []}}",
        ERROR("Parameter 'hostfdw' is unknown. Did you mean 'hostfwd'?"));
    ask(state, "{\"execute\": \"netdev_add\", \"arguments\": {\"type\": \"usr\", \"id\": \"n\"}}",
        ERROR("Parameter 'type' does not accept 'usr'"));
    ask(state, "{\"execute\": \"netdev_add\", \"arguments\": {\"type\": \"user\"}}",
        ERROR("Parameter 'id' is missing"));
    ask(state, "{\"execute\": \"set_link\", \"arguments\": {\"name\": \"x\", \"up\": true}}",
        "{\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"Device 'x' not found\"}}");
    ask(state, "{\"execute\": \"query-rx-filter\", \"arguments\": {\"name\": \"x\"}}",
        ERROR("invalid net client name: x"));
    ask(state, "{\"execute\": \"query-rx-filter\"}", "{\"return\": []}");
    ask(state, "{\"execute\": \"query-nics\"}", "{\"return\": []}");
    ask(state, "{\"execute\": \"announce-self\", \"arguments\": {\"initial\": 1, \"max\": 1, \"rounds\": 1001, "
               "\"step\": 1}}", ERROR("Parameter 'rounds'"));
    ask(state, "{\"execute\": \"announce-self\", \"arguments\": {\"initial\": 1, \"max\": 1, \"rounds\": 2, "
               "\"step\": 1, \"interfaces\": [\"x\"], \"id\": \"a\"}}", OK);
    ask(state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": "
               "\"announce_self x,y a\"}}", "{\"return\": \"\"}");
}

/* Of 127.0.0.77, which hardly anybody uses, so it stays free. */
static unsigned free_port(int type)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr = { htonl(0x7f00004d) } };
    socklen_t length = sizeof(name);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&name, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &length), 0);
    close(fd);
    return ntohs(name.sin_port);
}

static void test_a_forward_is_removed_by_its_port(void **state)
{
    unsigned port = free_port(SOCK_STREAM);
    g_autofree char *netdev = g_strdup_printf("user,id=m,hostfwd=tcp:127.0.0.77:%u-:22", port);
    g_autofree char *request = g_strdup_printf("{\"execute\": \"human-monitor-command\", \"arguments\": "
                                               "{\"command-line\": \"hostfwd_remove m tcp:127.0.0.77:%u\"}}", port);
    g_autofree char *reply = g_strdup_printf("{\"return\": \"host forwarding rule for tcp:127.0.0.77:%u removed"
                                             "\\r\\n\"}", port);

    accepted(state, netdev);
    ask(state, request, reply);
}

static void test_forwards_come_and_go(void **state)
{
    MonitorRig *r = *state;

    accepted(state, "user,id=n,hostfwd=tcp:127.0.0.1:0-:22,hostfwd=udp:127.0.0.1:0-10.0.2.15:53");
    ask(state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": "
               "\"hostfwd_add tcp:127.0.0.1:0-:80\"}}", "{\"return\": \"\"}");
    ask(state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": "
               "\"hostfwd_add n nonsense\"}}", "{\"return\": \"Error: 'nonsense' is no host forwarding rule...");
    ask(state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": "
               "\"hostfwd_remove tcp:127.0.0.1:1\"}}",
        "{\"return\": \"Error: host forwarding rule for 'tcp:127.0.0.1:1' not found...");
    ask(state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": "
               "\"hostfwd_remove\"}}", "{\"return\": \"Error: A rule is wanted. Write...");
    ask(state, "{\"execute\": \"x-query-usernet\"}", "{\"return\": {\"human-readable-text\": \"n:\\n...");
    assert_true(netdev_del(r->domain, "n", NULL));
    ask(state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": "
               "\"hostfwd_add tcp::1-:1\"}}", "{\"return\": \"Error: there is no user network...");
}

static void test_a_forward_is_known_by_the_hosts_address_and_real_port(void **state)
{
    const EgressForward *one;
    NetUser *u;
    g_autofree char *first = NULL, *second = NULL, *again = NULL;

    accepted(state, "user,id=n,hostfwd=tcp:127.0.0.1:0-:80");
    u = (NetUser *)netdev_find(((MonitorRig *)*state)->domain, "n", NULL);
    one = &g_array_index(u->opened, EgressForward, 0);
    assert_int_not_equal(one->host_port, 0);
    first = g_strdup_printf("tcp:127.0.0.1:%u", one->host_port);
    second = g_strdup_printf("tcp:127.0.0.2:%u", one->host_port);
    again = g_strdup_printf("%s-:81", second);
    assert_true(net_user_add_hostfwd(u, again, NULL));
    assert_true(net_user_remove_hostfwd(u, second, NULL));
    assert_int_equal(u->opened->len, 1);
    assert_int_equal(g_array_index(u->opened, EgressForward, 0).port, 80);
    assert_true(net_user_remove_hostfwd(u, first, NULL));
    assert_int_equal(u->opened->len, 0);
}

static void test_addresses_of_a_user_network_must_fit(void **state)
{
    refused(state, "user,id=n,net=10.0.2.0/33", "no length of 4 to 32 bits");
    refused(state, "user,id=n,net=10.0.2.0/31", "too large or too small");
    refused(state, "user,id=n,host=10.0.3.2", "host='10.0.3.2' lies outside the network");
    refused(state, "user,id=n,dns=10.0.2.2", "not three different addresses");
    refused(state, "user,id=n,ipv4=off,ipv6=off", "ipv4 and ipv6 are both off");
    refused(state, "user,id=n,ipv6-prefix=fec1::,ipv6-host=fec0::2", "lies outside the network");
    refused(state, "user,id=n,hostfwd=sctp::1-:1", "no host forwarding rule");
    refused(state, "user,id=n,hostfwd=tcp::1-:0", "no host forwarding rule");
    refused(state, "user,id=n,hostfwd=tcp::70000-:1", "no host forwarding rule: '70000' is no port.");
    refused(state, "user,id=n,hostfwd=tcp:here:1-:1", "no host forwarding rule: 'here' is no IPv4 address.");
    refused(state, "user,id=n,hostfwd=tcp::1-there:1", "no host forwarding rule: 'there' is no IPv4 address.");
    refused(state, "user,id=n,hostfwd=tcp::1-:x", "no host forwarding rule: 'x' is no port.");
    refused(state, "user,id=n,hostfwd=tcp::1-:", "no host forwarding rule: '' is no port of the guest.");
    refused(state, "user,id=n,ipv4=off,hostfwd=tcp::0-:1", "hostfwd and guestfwd are IPv4's, which is off");
    refused(state, "user,id=n,ipv4=off,guestfwd=tcp:10.0.2.100:80-null", "are IPv4's, which is off");
    refused(state, "user,id=n,tftp=/nonexistent", "tftp='/nonexistent' is no folder");
    refused(state, "user,id=n,tftp=/etc/passwd", "tftp='/etc/passwd' is no folder");
    refused(state, "user,id=n,guestfwd=tcp:10.0.2.100:80", "no guest forwarding rule");
    refused(state, "user,id=n,guestfwd=tcp:10.9.9.9:80-null", "n: guestfwd's 10.9.9.9:80 is taken, or lies outside");
    refused(state, "user,id=n,guestfwd=tcp:10.9.9.9:80-cmd:true", "n: guestfwd's 10.9.9.9:80 is taken, or lies");
    refused(state, "user,id=n,guestfwd=tcp:10.0.2.100:80-cmd:/nonexistent/x y", "there is no '/nonexistent/x'");
    refused(state, "user,id=n,guestfwd=tcp:10.0.2.100:80-cmd:'x", "is no command: ");
    accepted(state, "user,id=o,guestfwd=tcp:10.0.2.100:80-cmd:sh -c true,guestfwd=tcp:10.0.2.100:81-cmd:true");
    refused(state, "user,id=1n", "is no netdev id");
    accepted(state, "user,id=n,net=192.168.7.0/28,dhcpstart=192.168.7.9,guestfwd=tcp:192.168.7.11:80-null");
    accepted(state, "user,id=m,net=172.16.0.0/255.255.0.0,hostname=guest,tftp=/tmp,bootfile=x,domainname=d.org");
}

static void test_a_folder_that_may_not_be_entered_is_refused(void **state)
{
    g_autofree char *folder = g_strdup("/tmp/tftp-XXXXXX");
    g_autofree char *text = NULL;
    uid_t who = geteuid();

    assert_non_null(g_mkdtemp_full(folder, 0));
    text = g_strdup_printf("user,id=n,tftp=%s", folder);
    assert_int_equal(who ? 0 : seteuid(65534), 0); /* nothing is closed to root */
    refused(state, text, "that this user can see. Check the path, and that the user who runs lodge may enter it.");
    assert_int_equal(seteuid(who), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_sockets_say_what_they_lack(void **state)
{
    refused(state, "socket,id=n", "one of fd, listen, connect");
    refused(state, "socket,id=n,udp=127.0.0.1:1", "udp and localaddr go together");
    refused(state, "socket,id=n,listen=here", "has no port");
    refused(state, "stream,id=n,addr.type=unix,addr.path=/nonexistent/x", "/nonexistent/x");
    refused(state, "stream,id=n,addr.type=unix,addr.path=/x,server=on,reconnect=1", "reconnect is for clients");
    refused(state, "dgram,id=n", "'local' is missing");
    refused(state, "dgram,id=n,local.type=unix,local.path=/tmp/x", "'remote' is missing");
    refused(state, "socket,id=n,mcast=10.0.0.1:1234", "'10.0.0.1' is no multicast group");
    refused(state, "socket,id=n,mcast=230.0.0.1", "is not GROUP:PORT");
    refused(state, "socket,id=n,mcast=230.0.0.1:70000", "'70000' is no port");
    refused(state, "socket,id=n,mcast=230.0.0.1:1,udp=127.0.0.1:1", "mcast goes with localaddr only");
    refused(state, "socket,id=n,mcast=230.0.0.1:1,localaddr=here", "'here' is no IPv4 address");
    refused(state, "socket,id=n,mcast=230.0.0.1:1,localaddr=192.0.2.1", "cannot join the multicast group");
    refused(state, "socket,id=n,udp=230.0.0.1:1,localaddr=127.0.0.1:0", "'230.0.0.1' leads to a multicast group");
    refused(state, "stream,id=n,addr.type=fd,addr.str=0", "no stream socket");
}

#define GROUP "dgram,id=n,remote.type=inet,remote.host=239.7.7.8,remote.port="

static void test_a_multicast_group_is_a_remote_of_dgram(void **state)
{
    unsigned port = free_port(SOCK_DGRAM);
    g_autofree char *netdev = g_strdup_printf(GROUP "%u,local.type=inet,local.host=127.0.0.1,local.port=1", port);
    g_autofree char *reply = g_strdup_printf("{\"return\": \"n: index=0,type=dgram,group=239.7.7.8:%u\\r\\n\"}", port);

    accepted(state, netdev);
    ask(state, "{\"execute\": \"human-monitor-command\", \"arguments\": {\"command-line\": \"info network\"}}", reply);
    assert_true(netdev_del(((MonitorRig *)*state)->domain, "n", NULL));
    refused(state, GROUP "0", "'0' is no port");
    refused(state, GROUP "1,remote.ipv4=off", "'239.7.7.8' is a group of IPv4");
    refused(state, GROUP "1,local.type=inet,local.host=127.0.0.1,local.port=0,local.ipv6=on", "is a group of IPv4");
    refused(state, GROUP "1,local.type=inet,local.host=here,local.port=0", "'here' is no IPv4 address");
    refused(state, GROUP "1,local.type=unix,local.path=/x", "different kinds");
}

static void test_an_ipv6_network_is_one_option_or_two(void **state)
{
    accepted(state, "user,id=a,ipv6-net=fd00:1::/80,ipv6-host=fd00:1::9");
    accepted(state, "user,id=b,ipv6-net=fd00::,ipv6-dns=fd00::4");
    accepted(state, "user,id=c,ipv6-prefix=fd00::,ipv6-prefixlen=48,ipv6-host=fd00:0:0:9::1");
    refused(state, "user,id=n,ipv6-net=fd00:1::/80,ipv6-host=fd00:1:0:0:1::9", "lies outside the network");
    refused(state, "user,id=n,ipv6-host=fe00::9", "lies outside the network");
    refused(state, "user,id=n,ipv6-net=fd00::/127", "no length of 1 to 126 bits");
    refused(state, "user,id=n,ipv6-net=/64", "ipv6-net='' is no IPv6 address");
    refused(state, "user,id=n,ipv6-net=", "ipv6-net='' is no IPv6 address");
    refused(state, "user,id=n,ipv6-net=fd00::/64,ipv6-prefixlen=64", "leave these out");
}

static void test_what_a_user_network_has_not_is_said(void **state)
{
    refused(state, "user,id=n,smb=/tmp", "starts no file server. Run one on the host");
    refused(state, "user,id=n,smbserver=10.0.2.4", "starts no file server");
    refused(state, "user,id=n,net=", "net='' is no IPv4 address");
    refused(state, "user,id=n,guestfwd=tcp:10.0.2.100:-null", "no guest forwarding rule");
    accepted(state, "user,id=n,hostfwd=tcp:127.0.0.1:-:80"); /* a port of the host's choice */
}

static void test_taps_say_what_is_wrong(void **state)
{
    refused(state, "tap,id=n,fd=0", "no TAP interface");
    refused(state, "tap,id=n,fd=0,ifname=x", "made here");
    refused(state, "tap,id=n,ifname=a-name-that-is-too-long", "longer than 15 bytes");
    refused(state, "tap,id=n,queues=0", "queues");
}

static void test_hub_ports_stand_in_for_a_nic(void **state)
{
    MonitorRig *r = *state;

    accepted(state, "user,id=n");
    accepted(state, "hubport,id=p,hubid=0,netdev=n");
    refused(state, "hubport,id=q,hubid=0,netdev=n", "netdev 'n' is in use by 'p'");
    refused(state, "hubport,id=q,hubid=0,netdev=x", "netdev 'x' does not exist");
    assert_true(netdev_del(r->domain, "n", NULL)); /* the port stays, and leads nowhere */
    assert_true(netdev_del(r->domain, "p", NULL));
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, monitor_rig_negotiated, monitor_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tables_have_no_mistakes),
        TEST(netdevs_come_and_go),
        TEST(bad_arguments_are_named),
        TEST(a_forward_is_removed_by_its_port),
        TEST(forwards_come_and_go),
        TEST(a_forward_is_known_by_the_hosts_address_and_real_port),
        TEST(addresses_of_a_user_network_must_fit),
        TEST(an_ipv6_network_is_one_option_or_two),
        TEST(what_a_user_network_has_not_is_said),
        TEST(a_folder_that_may_not_be_entered_is_refused),
        TEST(sockets_say_what_they_lack),
        TEST(a_multicast_group_is_a_remote_of_dgram),
        TEST(taps_say_what_is_wrong),
        TEST(hub_ports_stand_in_for_a_nic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
