/* SPDX-License-Identifier: GPL-2.0-or-later */
/* net/net.c: who stands alone at the start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/net.h"
#include "tests/unit/rig.h"
#include "vmm/log.h"

static void assert_warns(Domain *domain, const char *expected)
{
    g_autofree char *path = NULL, *text = NULL;
    int fd = g_file_open_tmp("lodge-log-XXXXXX", &path, NULL);

    assert_true(fd >= 0);
    close(fd);
    assert_true(log_configure(path, NULL, false, NULL));
    net_warn_unlinked(domain);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    unlink(path);
    assert_string_equal(text, expected);
}

static int setup(void **state)
{
    *state = rig_new_cpus("1");
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static void test_what_is_linked_is_not_named(void **state)
{
    Rig *r = *state;

    assert_true(netdev_add_text(r->domain, "user,id=n", NULL));
    assert_null(rig_try_add(r, "virtio-net-pci,netdev=n"));
    assert_warns(r->domain, "");
}

static void test_a_netdev_and_a_nic_alone_are_named(void **state)
{
    Rig *r = *state;

    assert_true(netdev_add_text(r->domain, "user,id=n", NULL));
    assert_null(rig_try_add(r, "e1000"));
    assert_null(rig_try_add(r, "virtio-net-pci,id=x"));
    assert_warns(r->domain, "lodge: warning: netdev 'n' has no NIC: nothing is sent or received through it\n"
                            "lodge: warning: NIC 'e1000.0' has no netdev: the guest finds its cable pulled\n"
                            "lodge: warning: NIC 'x' has no netdev: the guest finds its cable pulled\n");
}

static void test_a_hub_port_stands_in_the_place_of_a_nic(void **state)
{
    Rig *r = *state;

    assert_true(netdev_add_text(r->domain, "user,id=n", NULL));
    assert_true(netdev_add_text(r->domain, "hubport,id=h,hubid=0,netdev=n", NULL));
    assert_warns(r->domain, "");
}

int main(void)
{
#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_is_linked_is_not_named), TEST(test_a_netdev_and_a_nic_alone_are_named),
        TEST(test_a_hub_port_stands_in_the_place_of_a_nic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
