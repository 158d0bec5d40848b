/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/vhost-user.c, net/vhost-user.c: the log of writes, announcements, and peers that will not do. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/announce.h"
#include "vmm/chardev.h"
#include "vmm/error.h"
#include "vmm/migrate-internal.h"
#include "vmm/runstate.h"
#include "tests/unit/net/vhost-user-rig.h"

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

static void test_a_nic_whose_rings_it_cannot_serve_is_refused(void **state)
{
    g_autofree char *said = NULL;
    Guest *t = *state;

    t->g.rig = rig_new_shared(NULL, with_backend);
    said = rig_try_add(t->g.rig, "e1000,netdev=n");
    assert_non_null(said);
    assert_non_null(strstr(said, "has none for it. Use virtio-net-pci, or another netdev."));
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

static void test_a_peer_without_log_is_refused_if_the_domain_is_to_move(void **state)
{
    Guest *t = *state;
    Domain *domain;

    backend_option = "protocol=0x1";
    t->g.rig = rig_new_shared(NULL, with_backend);
    domain = t->g.rig->domain;
    migrate_set_only(domain);
    assert_false(migrate_check_only(domain, NULL));
    assert_true(netdev_del(domain, "n", NULL));
    assert_true(migrate_check_only(domain, NULL));
    refused(domain, "vhost-user,id=m,chardev=c", "m: -only-migratable forbids what keeps the domain from moving: its "
                                                 "back end cannot tell which memory it writes");
    assert_true(migrate_check_only(domain, NULL));
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
                          huge[] = { 1, 5, 0xffffffff, 0, 0 }, short_one[] = { 1, 5, 4, 0, 0 },
                          old[] = { 1, 5, 8, 0, 0 }, cut[] = { 1, 5 };
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

static void waits_when_the_end_is_asked_for(Domain *domain)
{
    g_autofree char *folder = g_dir_make_tmp("vhost-user-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "socket", NULL);
    g_autofree char *chardev = g_strdup_printf("socket,id=late,path=%s,server=on,wait=off", path);
    int64_t began = g_get_monotonic_time();

    assert_non_null(chardev_add_text(domain, chardev, NULL));
    domain_request_shutdown(domain, REASON_HOST_SIGNAL);
    refused(domain, "vhost-user,id=m,chardev=late", "nobody connected to chardev 'late' before a signal came");
    assert_true(g_get_monotonic_time() - began < 10 * G_USEC_PER_SEC);
    assert_true(chardev_remove(domain, "late", NULL));
    assert_int_equal(rmdir(folder), 0);
}

static void test_a_signal_ends_the_wait_for_a_peer(void **state)
{
    Guest *t = *state;

    t->g.rig = rig_new_shared(NULL, waits_when_the_end_is_asked_for);
}

static void test_a_chardev_in_use_stays(void **state)
{
    g_autoptr(GError) error = NULL;
    Guest *t = *state;

    start(t, DEVICE, STATUS);
    assert_false(chardev_remove(t->g.rig->domain, "c", &error));
    goes_both_ways(t);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, vhost_user_setup, vhost_user_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(writes_are_logged_while_the_domain_moves),
        TEST(writes_to_packed_rings_are_logged),
        TEST(rings_that_come_back_count_as_written),
        TEST(packed_rings_that_come_back_count_as_written),
        TEST(a_peer_without_log_keeps_the_domain_here),
        TEST(what_is_not_logged_counts_as_written),
        TEST(announcements_go_to_the_peer),
        TEST(unshared_memory_is_refused_in_a_sentence),
        TEST(peers_that_will_not_do_are_refused),
        TEST(a_peer_without_log_is_refused_if_the_domain_is_to_move),
        TEST(a_peer_with_too_few_queues_is_refused),
        TEST(a_peer_that_comes_back_with_too_few_queues_is_refused),
        TEST(peers_that_answer_nonsense_or_nothing_are_refused),
        TEST(a_peer_that_drips_is_refused),
        TEST(a_nic_whose_rings_it_cannot_serve_is_refused),
        TEST(a_signal_ends_the_wait_for_a_peer),
        TEST(a_chardev_in_use_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
