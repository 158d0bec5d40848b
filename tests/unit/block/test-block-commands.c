/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Block nodes as a QMP client makes, sees and removes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/block.h"
#include "tests/unit/monitor/monitor-rig.h"

#define IMAGE "/var/tmp/lodge-test-block-commands.img"
#define RUN(COMMAND, ARGUMENTS) "{\"execute\": \"" COMMAND "\", \"arguments\": " ARGUMENTS "}"
#define ADD_STORAGE \
    RUN("blockdev-add", "{\"driver\": \"file\", \"filename\": \"" IMAGE "\", \"node-name\": \"storage\", " \
                        "\"auto-read-only\": true, \"discard\": \"unmap\"}")
#define ADD_FORMAT \
    RUN("blockdev-add", "{\"node-name\": \"format\", \"read-only\": false, \"driver\": \"raw\", \"file\": \"storage\"}")
#define DEL(NODE) RUN("blockdev-del", "{\"node-name\": \"" NODE "\"}")
#define DONE "{\"return\": {}}"
#define ERROR(TEXT) "{\"error\": {\"class\": \"GenericError\", \"desc\": \"" TEXT "\"}}"

static int setup(void **state)
{
    g_autofree char *zeroes = g_malloc0(65536);

    assert_true(g_file_set_contents(IMAGE, zeroes, 65536, NULL));
    return monitor_rig_negotiated(state);
}

static int teardown(void **state)
{
    block_close_all(((MonitorRig *)*state)->domain);
    unlink(IMAGE);
    return monitor_rig_teardown(state);
}

static void test_nodes_come_and_go_in_order(void **state)
{
    monitor_rig_ask(*state, ADD_STORAGE, DONE);
    monitor_rig_ask(*state, ADD_FORMAT, DONE);
    monitor_rig_ask(*state, DEL("storage"),
                    ERROR("block node 'storage' is in use: 'format' lies over it. Remove that one first."));
    monitor_rig_ask(*state, DEL("format"), DONE);
    monitor_rig_ask(*state, DEL("storage"), DONE);
    monitor_rig_ask(*state, DEL("storage"), ERROR("there is no block node 'storage'"));
}

static void test_mistakes_leave_nothing_behind(void **state)
{
    monitor_rig_ask(*state, ADD_FORMAT, "{\"error\": {\"class\": \"DeviceNotFound\", ...");
    monitor_rig_ask(*state, RUN("blockdev-add", "{\"driver\": \"file\", \"filename\": \"" IMAGE "\"}"),
                    ERROR("Parameter 'node-name' is missing: nothing could use the node"));
    monitor_rig_ask(*state, RUN("blockdev-add", "{\"driver\": \"fiel\", \"node-name\": \"x\"}"),
                    "{\"error\": {\"class\": \"GenericError\", ...");
    monitor_rig_ask(*state, "{\"execute\": \"query-named-block-nodes\"}", "{\"return\": []}");
}

static void test_nodes_are_described(void **state)
{
    monitor_rig_ask(*state, ADD_STORAGE, DONE);
    monitor_rig_ask(*state, ADD_FORMAT, DONE);
    monitor_rig_ask(*state, RUN("query-named-block-nodes", "{\"flat\": true}"),
                    "{\"return\": [{\"file\": \"" IMAGE "\", \"node-name\": \"format\", \"ro\": false, \"drv\": \"raw\", "
                    "\"backing_file_depth\": 0, \"encrypted\": false, \"detect_zeroes\": \"off\", \"bps\": 0, "
                    "\"bps_rd\": 0, \"bps_wr\": 0, \"iops\": 0, \"iops_rd\": 0, \"iops_wr\": 0, "
                    "\"image\": {\"filename\": \"" IMAGE "\", \"format\": \"raw\", \"dirty-flag\": false, "
                    "\"actual-size\": 65536, \"virtual-size\": 65536}, "
                    "\"cache\": {\"writeback\": true, \"direct\": false, \"no-flush\": false}, \"write_threshold\": 0}, "
                    "{\"file\": \"" IMAGE "\", \"node-name\": \"storage\", ...");
    monitor_rig_ask(*state, "{\"execute\": \"query-block\"}", "{\"return\": []}");
}

static void test_a_drive_without_a_device_is_a_disk(void **state)
{
    MonitorRig *r = *state;

    assert_true(drive_add(r->domain, "file=" IMAGE ",format=raw,if=none,id=hd", NULL));
    monitor_rig_ask(r, "{\"execute\": \"query-block\"}",
                    "{\"return\": [{\"device\": \"hd\", \"locked\": false, \"removable\": false, \"inserted\": "
                    "{\"file\": \"" IMAGE "\", ...");
    monitor_rig_ask(r, "{\"execute\": \"query-blockstats\"}",
                    "{\"return\": [{\"device\": \"hd\", \"node-name\": \"#block...");
}

static void test_statistics_of_nodes_name_what_is_below(void **state)
{
    MonitorRig *r = *state;
    const char *query = RUN("query-blockstats", "{\"query-nodes\": true}");
    g_autofree char *line = NULL;

    monitor_rig_ask(r, ADD_STORAGE, DONE);
    monitor_rig_ask(r, ADD_FORMAT, DONE);
    monitor_rig_send(r, query, strlen(query), -1);
    line = monitor_rig_line(r);
    assert_true(g_str_has_prefix(line, "{\"return\": [{\"node-name\": \"format\", \"stats\": {\"rd_bytes\": 0, "));
    assert_non_null(strstr(line, "\"parent\": {\"node-name\": \"storage\", \"stats\": {"));
}

static void test_there_are_no_jobs(void **state)
{
    monitor_rig_ask(*state, "{\"execute\": \"query-jobs\"}", "{\"return\": []}");
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nodes_come_and_go_in_order),
        TEST(test_mistakes_leave_nothing_behind),
        TEST(test_nodes_are_described),
        TEST(test_a_drive_without_a_device_is_a_disk),
        TEST(test_statistics_of_nodes_name_what_is_below),
        TEST(test_there_are_no_jobs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
