/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people are shown of a machine: info, x, ports, the object tree, completion. */
#include "tests/unit/monitor/machine-rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "monitor/hmp.h"
#include "vmm/domain.h"

static HmpSession session_of(void **state)
{
    return (HmpSession) { .domain = ((MachineRig *)*state)->monitor->domain };
}

/* The caller's. */
static char *said(HmpSession *session, const char *line)
{
    GString *out = g_string_new(NULL);

    hmp_say(session, line, out);
    return g_string_free(out, FALSE);
}

static void assert_has(HmpSession *session, const char *line, const char *part)
{
    g_autofree char *text = said(session, line);

    if (!strstr(text, part)) {
        fail_msg("'%s' says '%s', which lacks '%s'", line, text, part);
    }
}

static void assert_said(HmpSession *session, const char *line, const char *expected)
{
    g_autofree char *text = said(session, line);

    assert_string_equal(text, expected);
}

static void test_a_session_is_about_one_vcpu(void **state)
{
    HmpSession session = session_of(state);

    assert_has(&session, "info cpus", "* CPU #0: ");
    assert_has(&session, "info registers", "\nCPU#0\n");
    assert_said(&session, "cpu 1", "");
    assert_has(&session, "info cpus", "  CPU #0: ");
    assert_has(&session, "info cpus", "* CPU #1: ");
    assert_has(&session, "info registers", "\nCPU#1\n");
    assert_has(&session, "info lapic", "dumping local APIC state for CPU 1 \n");
    assert_said(&session, "cpu 2", "Error: invalid CPU index\n");
    assert_has(&session, "info cpus", "* CPU #1: ");
}

static void test_gdb_is_waited_for_on_demand(void **state)
{
    HmpSession session = session_of(state);

    assert_said(&session, "gdbserver null", "Waiting for gdb connection on device 'null'\n");
    assert_has(&session, "info chardev", "gdb: filename=null\n");
    assert_has(&session, "gdbserver nonsense", "Error: ");
    assert_non_null(domain_gdb_server(session.domain));
    assert_said(&session, "gdbserver none", "Disabled gdbserver\n");
    assert_null(domain_gdb_server(session.domain));
}

static void test_programs_choose_a_vcpu_by_its_index(void **state)
{
    g_autofree char *answer = machine_rig_answer(state, "{\"execute\": \"human-monitor-command\", \"arguments\": "
                                                        "{\"command-line\": \"info cpus\", \"cpu-index\": 1}}");

    assert_non_null(strstr(answer, "* CPU #1: "));
    machine_rig_ask(state, "{\"execute\": \"human-monitor-command\", \"arguments\": "
                           "{\"command-line\": \"info cpus\", \"cpu-index\": 2}}",
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Parameter 'cpu-index' expects a CPU number\"}}");
}

static void test_the_board_is_shown(void **state)
{
    HmpSession session = session_of(state);

    assert_has(&session, "info irq", "IRQ statistics for gsi:\n");
    assert_has(&session, "info pci", "    Class 0255: PCI device 1af4:1044\n");
    assert_has(&session, "info qtree", "addr = 05.0\n");
    assert_has(&session, "info mtree", ": io\n");
    assert_has(&session, "info mtree -f", " AS \"io\", root: io\n");
    assert_has(&session, "info mtree -x", "Error: '-x' is no option of info mtree\n");
}

static void test_memory_and_ports_are_reached(void **state)
{
    HmpSession session = session_of(state);
    const uint8_t bytes[] = { 1, 2, 3, 0xff };

    assert_int_equal(memory_write(domain_memory(session.domain), 0x1000, bytes, sizeof(bytes)), MEMORY_OK);
    assert_said(&session, "xp/4xb 0x1000", "0000000000001000: 0x01 0x02 0x03 0xff\n");
    assert_said(&session, "x /1dw 0x1000", "0000000000001000:  -16580095\n");
    assert_said(&session, "xp/4db 0x1000", "0000000000001000:   1   2   3  -1\n");
    assert_said(&session, "xp/2uh 0x1000", "0000000000001000:   513 65283\n");
    assert_said(&session, "xp/2ob 0x1003", "0000000000001003: 0377   0\n");
    assert_said(&session, "xp/1dg 0x1008", "0000000000001008:                    0\n");
    assert_said(&session, "sum 0x1000 4", "08449\n");
    assert_has(&session, "gpa2hva 0x1000", "Host virtual address for 0x1000 (");
    assert_said(&session, "gpa2hva 0x300000000000", "Error: No memory is mapped at address 0x300000000000\n");
    assert_said(&session, "o /b 0x70 0x8f", "");
    assert_said(&session, "i /b 0xffff", "portb[0xffff] = 0xff\n");
    assert_said(&session, "i 0xffff", "Error: ports are from 0 to 0xffff\n");
    assert_said(&session, "p/d 3*-2", "-6\n");
    assert_said(&session, "print 0", "0\n");
    assert_said(&session, "p/o 0", "0\n");
    assert_said(&session, "p/c 0x27", "'\\''\n");
    assert_said(&session, "p/c 10", "'\\n'\n");
    assert_said(&session, "p/c 200", "'\\xc8'\n");
    assert_said(&session, "info mem", "PG disabled\n");
    assert_said(&session, "info tlb", "PG disabled\n");
}

static void assert_saves(HmpSession *session, const char *command, const char *folder, const char *file)
{
    g_autofree char *path = g_build_filename(folder, file, NULL);
    g_autofree char *line = g_strdup_printf(command, path);
    g_autofree char *bytes = NULL;
    gsize length = 0;

    assert_said(session, line, "");
    assert_true(g_file_get_contents(path, &bytes, &length, NULL));
    assert_int_equal(length, 32);
    assert_int_equal(unlink(path), 0);
}

static void test_memory_is_saved_to_any_file(void **state)
{
    HmpSession session = session_of(state);
    g_autofree char *folder = g_dir_make_tmp("lodge-hmp-XXXXXX", NULL);

    assert_saves(&session, "pmemsave 0x1000 64/2 %s", folder, "plain");
    assert_saves(&session, "pmemsave 0x1000 64 /2 \"%s\"", folder, "with blanks");
    assert_saves(&session, "memsave 0 32 %s ", folder, "plain");
    machine_rig_ask(state, "{\"execute\": \"memsave\", \"arguments\": {\"val\": -2130706432, \"size\": 16, "
                           "\"filename\": \"/dev/null\"}}",
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"there is no memory for all of "
                    "0xffffffff81000000 ...");
    machine_rig_ask(state, "{\"execute\": \"pmemsave\", \"arguments\": {\"val\": -1, \"size\": 16, "
                           "\"filename\": \"/dev/null\"}}",
                    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Parameter 'val' expects a number ...");
    assert_said(&session, "pmemsave 0 32", "Error: pmemsave needs the name of a file\n");
    assert_said(&session, "pmemsave 0 32 \"x", "Error: the quotation of the file's name does not end\n");
    assert_said(&session, "pmemsave 0 /x", "Error: a number is expected at the end\n");
    assert_has(&session, "dump-guest-memory \"/nowhere at all/x\"", "'/nowhere at all/x'");
    assert_said(&session, "dump-guest-memory \"/x", "Error: dump-guest-memory needs the name of a file\n");
    assert_int_equal(rmdir(folder), 0);
}

static void test_what_can_be_added_is_explained(void **state)
{
    HmpSession session = session_of(state);

    assert_has(&session, "device_add help", "virtio-rng-pci");
    assert_has(&session, "device_add virtio-rng-pci,help", "max-bytes");
    assert_has(&session, "device_add virtio-rgn-pci,help", "Did you mean 'virtio-rng-pci'?");
    assert_has(&session, "object_add rng-random,help", "filename");
    assert_has(&session, "chardev-add help", "socket");
    assert_has(&session, "netdev_add help", "vhost-user");
    assert_has(&session, "netdev_add user,help", "hostfwd");
    assert_has(&session, "netdev_add usr,help", "Did you mean 'user'?");
}

static void test_the_object_tree_is_walked(void **state)
{
    HmpSession session = session_of(state);

    assert_has(&session, "info qom-tree", "\n    /rng0 (virtio-rng-pci)\n      /virtio-backend (virtio-rng-device)\n");
    assert_has(&session, "qom-list /machine/peripheral", "rng0 (child<virtio-rng-pci>)\n");
    assert_said(&session, "qom-get /machine/peripheral/rng0 type", "\"virtio-rng-pci\"\n");
    assert_has(&session, "qom-get /nowhere type", "Error: ");
}

static void assert_completes(HmpSession *session, const char *before, const char *word)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    hmp_complete(session, before, words);
    for (unsigned i = 0; i < words->len; i++) {
        if (g_str_equal(words->pdata[i], word)) {
            return;
        }
    }
    fail_msg("'%s' is not completed to '%s'", before, word);
}

static void assert_completes_none(HmpSession *session, const char *before)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    hmp_complete(session, before, words);
    assert_int_equal(words->len, 0);
}

static void test_what_is_to_be_made_is_completed(void **state)
{
    HmpSession session = session_of(state);

    assert_completes(&session, "device_add virtio-rn", "virtio-rng-pci");
    assert_completes(&session, "device_add virtio-rng-pci,id=x,max", "virtio-rng-pci,id=x,max-bytes=");
    assert_completes(&session, "device_add virtio-rng-pci,packed=", "virtio-rng-pci,packed=on");
    assert_completes(&session, "object_add rng-r", "rng-random");
    assert_completes(&session, "object_add rng-random,id=x,fi", "rng-random,id=x,filename=");
    assert_completes(&session, "object_add memory-backend-ram,policy=b", "memory-backend-ram,policy=bind");
    assert_completes(&session, "chardev-add so", "socket");
    assert_completes(&session, "chardev-add socket,id=x,server=of", "socket,id=x,server=off");
    assert_completes(&session, "netdev_add us", "user");
    assert_completes(&session, "netdev_add user,id=x,host", "user,id=x,hostfwd=");
    assert_completes(&session, "netdev_add user,restrict=", "user,restrict=off");
    assert_completes(&session, "netdev_add stream,addr.ty", "stream,addr.type=");
    assert_completes(&session, "netdev_add stream,addr.type=u", "stream,addr.type=unix");
    assert_completes_none(&session, "netdev_add user,ifn");
    assert_completes_none(&session, "netdev_add nothing,if");
    assert_completes_none(&session, "netdev_add user,id=");
}

static void test_values_are_completed(void **state)
{
    HmpSession session = session_of(state);

    assert_completes(&session, "set_link net0 ", "on");
    assert_completes(&session, "set_link net0 of", "off");
    assert_completes_none(&session, "set_link net0 on ");
    assert_completes(&session, "migrate_set_capability multifd o", "off");
    assert_completes(&session, "migrate_set_parameter multifd-c", "multifd-compression");
    assert_completes(&session, "migrate_set_parameter multifd-compression z", "zlib");
    assert_completes(&session, "migrate_set_parameter cpu-throttle-tailslow ", "on");
    assert_completes_none(&session, "migrate_set_parameter max-bandwidth ");
    assert_completes(&session, "migrate_continue ", "pre-switchover");
    assert_completes(&session, "migrate -", "-d");
    assert_completes_none(&session, "migrate -d ");
    assert_completes(&session, "watchdog_action pa", "pause");
    assert_completes(&session, "egress_add policy d", "deny");
    assert_completes(&session, "info stats v", "vcpu");
    assert_completes(&session, "info mtree -f -", "-D");
    assert_completes(&session, "info registers ", "1");
    assert_completes(&session, "info lapic ", "0");
    assert_completes(&session, "cpu ", "1");
}

static void test_what_exists_is_completed(void **state)
{
    HmpSession session = session_of(state);

    assert_completes(&session, "device_del rn", "rng0");
    assert_said(&session, "netdev_add user,id=uplink", "");
    assert_said(&session, "netdev_add hubport,id=upper,hubid=0", "");
    assert_completes(&session, "netdev_del up", "uplink");
    assert_completes(&session, "set_link upp", "upper");
    assert_completes(&session, "hostfwd_add upl", "uplink");
    assert_completes_none(&session, "hostfwd_add upp");
    assert_said(&session, "object_add egress-policy,id=policy", "");
    assert_said(&session, "object_add rng-builtin,id=pool", "");
    assert_completes(&session, "egress_remove po", "policy");
    assert_completes_none(&session, "egress_remove poo");
    assert_completes(&session, "object_del poo", "pool");
    assert_completes(&session, "qom-list /machine/peri", "/machine/peripheral");
    assert_completes(&session, "qom-get /machine ty", "type");
    assert_completes(&session, "info mt", "mtree");
    assert_completes(&session, "help info mt", "mtree");
    assert_completes(&session, "? inf", "info");
    assert_completes_none(&session, "help info mtree ");
    assert_completes_none(&session, "nothing ");
}

int main(void)
{
#define TEST(F) cmocka_unit_test_setup_teardown(F, machine_rig_setup, machine_rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_session_is_about_one_vcpu), TEST(test_gdb_is_waited_for_on_demand),
        TEST(test_a_session_is_about_one_vcpu), TEST(test_programs_choose_a_vcpu_by_its_index),
        TEST(test_the_board_is_shown),             TEST(test_memory_and_ports_are_reached),
        TEST(test_memory_is_saved_to_any_file), TEST(test_what_can_be_added_is_explained),
        TEST(test_the_object_tree_is_walked),   TEST(test_what_exists_is_completed),
        TEST(test_what_is_to_be_made_is_completed), TEST(test_values_are_completed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
