/* SPDX-License-Identifier: GPL-2.0-or-later */
/* monitor/gdb-*.c: a client on a socket, two vCPUs that run nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "monitor/gdb.h"
#include "tests/unit/rig.h"
#include "vmm/chardev.h"
#include "vmm/domain-internal.h"
#include "vmm/host.h"

typedef struct Fixture {
    Rig *rig;
    FakeAccel *fake;
    char *folder, *path;
    int fd;
} Fixture;

/* ---- the client ---- */

static Loop *loop_of(Fixture *f)
{
    return domain_loop(f->rig->domain);
}

static void settle(Fixture *f)
{
    while (loop_run_once(loop_of(f), false)) {
    }
}

static void connect_client(Fixture *f)
{
    f->fd = host_connect_unix(f->path, NULL);
    assert_true(f->fd >= 0);
    settle(f);
}

static void disconnect_client(Fixture *f)
{
    close(f->fd);
    f->fd = -1;
    settle(f);
}

static void say(Fixture *f, const char *packet)
{
    g_autofree char *framed = NULL;
    unsigned sum = 0;

    for (const char *p = packet; *p; p++) {
        sum += (uint8_t)*p;
    }
    framed = g_strdup_printf("+$%s#%02x", packet, sum & 0xff);
    assert_int_equal(send(f->fd, framed, strlen(framed), MSG_NOSIGNAL), strlen(framed));
}

/* What came, without acknowledgements and frames; waits for something. */
static char *hear(Fixture *f)
{
    g_autoptr(GString) raw = g_string_new(NULL);
    char byte;

    while (!(raw->len > 3 && raw->str[raw->len - 3] == '#')) {
        if (recv(f->fd, &byte, 1, MSG_DONTWAIT) == 1) {
            if (raw->len || byte == '$') {
                g_string_append_c(raw, byte);
            }
        } else {
            loop_run_once(loop_of(f), true);
        }
    }
    return g_strndup(raw->str + 1, raw->len - 4);
}

static void assert_asked(Fixture *f, const char *packet, const char *reply)
{
    g_autofree char *got = NULL;

    say(f, packet);
    got = hear(f);
    assert_string_equal(got, reply);
}

static void assert_heard(Fixture *f, const char *reply)
{
    g_autofree char *got = hear(f);

    assert_string_equal(got, reply);
}

static void wait_inside(Fixture *f, unsigned n)
{
    pthread_mutex_lock(&f->fake->mutex);
    while (f->fake->inside != n) {
        pthread_cond_wait(&f->fake->cond, &f->fake->mutex);
    }
    pthread_mutex_unlock(&f->fake->mutex);
}

/* Resumes, which has no reply. */
static void resume(Fixture *f, const char *packet, unsigned vcpus)
{
    say(f, packet);
    while (!domain_is_running(f->rig->domain)) {
        loop_run_once(loop_of(f), true);
    }
    wait_inside(f, vcpus);
}

static Vcpu *vcpu(Fixture *f, unsigned n)
{
    return domain_vcpu(f->rig->domain, n);
}

/* ---- the fixture ---- */

static int setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    g_autofree char *device = NULL;

    f->rig = rig_new_cpus("2,maxcpus=3");
    assert_true(machine_finalize(f->rig->machine, NULL)); /* starts their threads */
    f->fake = fake_accel(f->rig->domain);
    f->folder = g_dir_make_tmp("gdb-XXXXXX", NULL);
    f->path = g_build_filename(f->folder, "socket", NULL);
    device = g_strdup_printf("unix:%s,server=on,wait=off", f->path);
    assert_true(gdb_server_open(f->rig->domain, device, NULL));
    connect_client(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    if (f->fd >= 0) {
        close(f->fd);
    }
    domain_stop(f->rig->domain, RUN_STATE_PAUSED);
    gdb_server_finish(f->rig->domain);
    rig_free(f->rig);
    rmdir(f->folder);
    g_free(f->folder);
    g_free(f->path);
    g_free(f);
    return 0;
}

/* ---- what the server is ---- */

static void assert_hung_up(Fixture *f)
{
    char byte;

    settle(f);
    assert_int_equal(recv(f->fd, &byte, 1, MSG_DONTWAIT), 0);
    disconnect_client(f);
}

static void test_none_is_no_server(void **state)
{
    Fixture *f = *state;

    resume(f, "c", 2);
    assert_int_equal(send(f->fd, "\x03", 1, MSG_NOSIGNAL), 1);
    assert_heard(f, "T02thread:1;");
    assert_true(gdb_server_open(f->rig->domain, "none", NULL));
    assert_null(domain_gdb_server(f->rig->domain));
    assert_hung_up(f);
    assert_true(domain_is_running(f->rig->domain));
    assert_null(chardev_find(f->rig->domain, "gdb", NULL));
    assert_true(gdb_server_open(f->rig->domain, "none", NULL));
}

static void test_a_server_takes_the_place_of_another(void **state)
{
    Fixture *f = *state;
    g_autofree char *device = g_strdup_printf("unix:%s-2,server=on,wait=off", f->path);

    assert_asked(f, "Z0,1000,1", "OK");
    assert_true(gdb_server_open(f->rig->domain, device, NULL));
    assert_hung_up(f);
    assert_int_equal(host_connect_unix(f->path, NULL), -1);
    g_free(f->path);
    f->path = g_strndup(device + strlen("unix:"), strcspn(device, ",") - strlen("unix:"));
    connect_client(f);
    assert_asked(f, "?", "T05thread:1;");
}

static void test_what_cannot_be_opened_leaves_the_former_server(void **state)
{
    Fixture *f = *state;
    GError *error = NULL;

    assert_false(gdb_server_open(f->rig->domain, "unix:/nonexistent/x,server=on,wait=off", &error));
    assert_non_null(error);
    g_clear_error(&error);
    assert_false(gdb_server_open(f->rig->domain, "chardev:gdb", &error)); /* it has that one */
    assert_non_null(error);
    g_clear_error(&error);
    assert_asked(f, "qC", "QC1");
}

/* gdbserver none */
static void test_the_server_does_not_go_while_it_carries_out_a_command(void **state)
{
    Fixture *f = *state;
    g_autofree char *said = NULL;

    say(f, "qRcmd,676462736572766572206e6f6e65");
    said = hear(f);
    assert_int_equal(strncmp(said, "O4572726f723a20", 15), 0); /* "Error: " */
    assert_heard(f, "OK");
    assert_asked(f, "qC", "QC1");
}

static void test_features_are_offered(void **state)
{
    Fixture *f = *state;

    assert_asked(f, "qSupported:swbreak+;hwbreak+",
                 "PacketSize=4000;QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+");
    assert_asked(f, "vMustReplyEmpty", "");
    assert_asked(f, "vUnheardOf", "");
    assert_asked(f, "QUnheardOf:1", "");
    assert_asked(f, "qAttached", "1");
    assert_asked(f, "vCont?", "vCont;c;C;s;S");
}

static void test_description_comes_in_pieces(void **state)
{
    Fixture *f = *state;

    assert_asked(f, "qXfer:features:read:target.xml:0,10", "m<?xml version=\"1");
    assert_asked(f, "qXfer:features:read:target.xml:fffff,10", "E22");
    assert_asked(f, "qXfer:features:read:other.xml:0,10", "E00");
}

static void test_vcpus_are_threads(void **state)
{
    Fixture *f = *state;

    vcpu(f, 1)->cpu.run_state = X86_HALTED;
    assert_asked(f, "qfThreadInfo", "m1,2");
    assert_asked(f, "qsThreadInfo", "l");
    assert_asked(f, "Hg2", "OK");
    assert_asked(f, "qC", "QC2");
    assert_asked(f, "Hg3", "E22");
    assert_asked(f, "Hx1", "E22");
    assert_asked(f, "T2", "OK");
    assert_asked(f, "T0", "E22");
    assert_asked(f, "T3", "E22");
    assert_asked(f, "qThreadExtraInfo,2", "4350552331205b68616c7465645d"); /* CPU#1 [halted] */
}

static void ignore_cpu(void *opaque, const Vcpu *vcpu)
{
}

static void ignore_new_cpu(void *opaque, const Vcpu *vcpu, bool hot)
{
}

static void test_vcpus_that_come_and_go_are_threads(void **state)
{
    static const CpuHotplugOps ops = { .came = ignore_new_cpu, .ask = ignore_cpu, .went = ignore_cpu };
    g_autoptr(Json) options = keyval_parse("qemu64-x86_64-cpu,apic-id=2", "driver", NULL);
    Fixture *f = *state;
    CpuBus *cpus = &f->rig->machine->cpus;

    cpu_bus_set_controller(cpus, &ops, NULL);
    assert_asked(f, "Z0,1000,1", "OK");
    f->fake->armed_count = 0;
    assert_non_null(device_add(f->rig->domain, options, NULL));
    assert_int_equal(f->fake->armed_count, 1); /* it stops there, too */
    assert_asked(f, "qfThreadInfo", "m1,2,3");
    assert_asked(f, "Hg3", "OK");
    resume(f, "c", 3);
    cpu_bus_remove(cpus, 2);
    wait_inside(f, 2);
    domain_stop(f->rig->domain, RUN_STATE_PAUSED);
    assert_heard(f, "T02thread:1;");
    assert_asked(f, "T3", "E22");
    assert_asked(f, "Hg3", "E22");
    assert_asked(f, "qfThreadInfo", "m1,2");
    cpu_bus_set_controller(cpus, NULL, NULL);
}

static void test_monitor_commands_are_the_human_monitors(void **state)
{
    Fixture *f = *state;

    /* info status: "VM status: paused (prelaunch)\n" */
    assert_asked(f, "qRcmd,696e666f20737461747573",
                 "O564d207374617475733a2070617573656420287072656c61756e6368290a");
    assert_heard(f, "OK");
    assert_asked(f, "qRcmd,6", "E22");
    assert_asked(f, "qRcmd,00", "E22");
}

/* Descriptors and terminals are open from the start. */
static void test_what_is_said_before_the_chardev_opens_counts(void **state)
{
    Fixture *f = *state;
    g_autofree char *chardev = NULL;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    chardev = g_strdup_printf("socket,id=open,fd=%d", fds[1]);
    disconnect_client(f);
    f->fd = fds[0];
    say(f, "Z0,1000,1");
    assert_non_null(chardev_add_text(f->rig->domain, chardev, NULL));
    loop_run_once(loop_of(f), false); /* the bytes are there, and seen */
    assert_true(gdb_server_open(f->rig->domain, "chardev:open", NULL));
    assert_heard(f, "OK");
    settle(f);
    assert_int_equal(f->fake->armed_count, 1);
}

/* ---- registers and memory ---- */

static void test_registers_are_the_current_vcpus(void **state)
{
    Fixture *f = *state;

    vcpu(f, 0)->cpu.gpr[X86_RBX] = 0x11223344;
    vcpu(f, 1)->cpu.gpr[X86_RBX] = 0x55667788;
    assert_asked(f, "p1", "4433221100000000");
    assert_asked(f, "Hg2", "OK");
    assert_asked(f, "p1", "8877665500000000");
    assert_asked(f, "P1=0100000000000000", "OK");
    assert_int_equal(vcpu(f, 1)->cpu.gpr[X86_RBX], 1);
    assert_asked(f, "P1=01", "E22");
    assert_asked(f, "p1000", "E22");
}

static void test_all_registers_can_be_written_back(void **state)
{
    Fixture *f = *state;
    g_autofree char *all = NULL, *back = NULL;

    say(f, "g");
    all = hear(f);
    all[1] = '7'; /* RAX */
    back = g_strconcat("G", all, NULL);
    assert_asked(f, back, "OK");
    assert_int_equal(vcpu(f, 0)->cpu.gpr[X86_RAX] & 0xff, (unsigned)g_ascii_xdigit_value(all[0]) << 4 | 7);
    assert_asked(f, "Gzz", "E22");
}

static void test_memory_is_read_and_written(void **state)
{
    Fixture *f = *state;

    memcpy(rig_ram(f->rig, 0x1ffe), "abcd", 4);
    assert_asked(f, "m1ffe,4", "61626364");
    assert_asked(f, "M1fff,2:5859", "OK");
    assert_asked(f, "X2001,1:Z", "OK");
    assert_memory_equal(rig_ram(f->rig, 0x1ffe), "aXYZ", 4);
    assert_asked(f, "m1000000,4", "E14"); /* behind RAM */
    assert_asked(f, "mfffffe,4", "0000"); /* its last bytes */
    assert_asked(f, "M1fff,2:58", "E22");
    assert_asked(f, "X2001,2:Z", "E22");
    assert_asked(f, "m1ffe", "E22");
    assert_asked(f, "m1ffe,11112222333344445", "E22");
}

static void test_physical_addresses_go_round_the_page_tables(void **state)
{
    Fixture *f = *state;

    memcpy(rig_ram(f->rig, 0x3000), "abcd", 4);
    vcpu(f, 0)->cpu.cr0 |= UINT64_C(1) << 31; /* tables of zeros: nothing is mapped */
    assert_asked(f, "m3000,4", "E14");
    assert_asked(f, "qqemu.PhyMemMode", "0");
    assert_asked(f, "Qqemu.PhyMemMode:1", "OK");
    assert_asked(f, "qqemu.PhyMemMode", "1");
    assert_asked(f, "m3000,4", "61626364");
    assert_asked(f, "Qqemu.PhyMemMode:2", "E22");
}

/* ---- breakpoints ---- */

static void test_breakpoints_are_armed_and_taken_out(void **state)
{
    Fixture *f = *state;

    assert_asked(f, "Z0,1000,1", "OK");
    assert_asked(f, "Z2,2000,4", "OK");
    assert_asked(f, "Z2,2000,4", "OK");
    assert_int_equal(f->fake->armed_count, 2);
    assert_int_equal(f->fake->armed[1].kind, ACCEL_WATCH_WRITE);
    assert_int_equal(f->fake->armed[1].length, 4);
    assert_asked(f, "z0,1000,1", "OK");
    assert_int_equal(f->fake->armed_count, 1);
    assert_asked(f, "Z5,1000,1", "E22");
    assert_asked(f, "Z2,1000,0", "E22");
    assert_asked(f, "Z2,ffffffffffffffff,2", "E22");
    assert_asked(f, "Z0,1000", "E22");
}

static void test_a_refused_breakpoint_is_an_error(void **state)
{
    Fixture *f = *state;

    f->fake->fail_breakpoints = true;
    assert_asked(f, "Z1,1000,1", "E22");
    f->fake->fail_breakpoints = false;
    assert_asked(f, "Z1,2000,1", "OK");
    assert_int_equal(f->fake->armed_count, 1);
}

static void test_their_number_is_bounded(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < 1024; i++) {
        g_autofree char *packet = g_strdup_printf("Z0,%x,1", i);

        assert_asked(f, packet, "OK");
    }
    assert_asked(f, "Z0,1000,1", "E22");
}

/* ---- running ---- */

static void stop_one(Fixture *f, VcpuStop stop)
{
    f->fake->next_stop = stop;
    fake_accel_exit(f->rig->domain, VCPU_EXIT_DEBUG);
}

static void test_a_breakpoint_stops_all_and_names_the_thread(void **state)
{
    Fixture *f = *state;

    assert_asked(f, "qSupported:swbreak+",
                 "PacketSize=4000;QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+");
    vcpu(f, 1)->cpu.rip = 0x1000;
    resume(f, "vCont;c:2", 1);
    stop_one(f, (VcpuStop) { .kind = ACCEL_BREAK_SOFTWARE, .address = 0x1000 });
    assert_heard(f, "T05thread:2;swbreak:;");
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_DEBUG);
    assert_asked(f, "qC", "QC2");
    resume(f, "c", 2);
}

static void test_a_breakpoint_that_the_server_does_not_live_to_see_stops_nothing(void **state)
{
    Fixture *f = *state;

    resume(f, "c", 2);
    stop_one(f, (VcpuStop) { .kind = ACCEL_BREAK_SOFTWARE, .address = 0x1000 });
    wait_inside(f, 1);
    while (!vcpu(f, 0)->stopped && !vcpu(f, 1)->stopped) {
        g_usleep(100);
    }
    fake_accel_wait_parked(vcpu(f, vcpu(f, 0)->stopped ? 0 : 1)); /* it has asked for the pause */
    assert_true(gdb_server_open(f->rig->domain, "none", NULL));
    settle(f);
    assert_true(domain_is_running(f->rig->domain));
    wait_inside(f, 2);
}

static void test_a_breakpoint_in_a_segment_with_a_base_is_a_trap(void **state)
{
    Fixture *f = *state;

    assert_asked(f, "qSupported:hwbreak+",
                 "PacketSize=4000;QStartNoAckMode+;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+");
    vcpu(f, 1)->cpu.rip = 0;
    resume(f, "vCont;c:2", 1);
    stop_one(f, (VcpuStop) { .kind = ACCEL_BREAK_HARDWARE, .address = 0x8000 });
    assert_heard(f, "T05thread:2;");
}

static void test_a_watchpoint_tells_its_address(void **state)
{
    Fixture *f = *state;

    resume(f, "vCont;c:1", 1);
    stop_one(f, (VcpuStop) { .kind = ACCEL_WATCH_ACCESS, .address = 0xffffffff82000010 });
    assert_heard(f, "T05thread:1;awatch:ffffffff82000010;");
}

static void test_a_step_is_of_one_thread(void **state)
{
    Fixture *f = *state;

    resume(f, "vCont;s:2", 1);
    assert_int_equal(f->fake->steps, 1u << 1);
    stop_one(f, (VcpuStop) { .step = true });
    assert_heard(f, "T05thread:2;");
    assert_int_equal(f->fake->steps, 0);
    resume(f, "vCont;s:1;c", 2);
    assert_int_equal(f->fake->steps, 1u << 0);
}

static void test_news_of_a_watchpoint_waits_for_its_thread(void **state)
{
    Fixture *f = *state;
    Vcpu *second = vcpu(f, 1);

    assert_asked(f, "Z2,2000,4", "OK");
    /* It stopped while another stop was told of. */
    second->stop = (VcpuStop) { .kind = ACCEL_WATCH_WRITE, .address = 0x2000 };
    second->stopped = true;
    resume(f, "vCont;s:1", 1);
    stop_one(f, (VcpuStop) { .step = true });
    assert_heard(f, "T05thread:1;");
    assert_asked(f, "vCont;c", "T05thread:2;watch:2000;");
    resume(f, "vCont;c", 2);
}

static void test_an_interrupt_stops_the_guest(void **state)
{
    Fixture *f = *state;

    resume(f, "vCont;c", 2);
    assert_int_equal(send(f->fd, "\x03", 1, MSG_NOSIGNAL), 1);
    assert_heard(f, "T02thread:1;");
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_PAUSED);
}

static void test_an_interrupt_outlasts_a_dump(void **state)
{
    Fixture *f = *state;

    resume(f, "vCont;c", 2);
    domain_freeze(f->rig->domain);
    assert_int_equal(send(f->fd, "\x03", 1, MSG_NOSIGNAL), 1);
    assert_heard(f, "T02thread:1;");
    domain_thaw(f->rig->domain);
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_PAUSED);
}

static void test_why_it_stands_still_is_a_signal(void **state)
{
    Fixture *f = *state;

    resume(f, "c", 2);
    fake_accel_exit(f->rig->domain, VCPU_EXIT_FAILED);
    assert_heard(f, "T06thread:1;");
    assert_asked(f, "c", "E22"); /* and it cannot go on */
}

static void test_a_packet_finds_a_guest_that_another_resumed_stopped(void **state)
{
    Fixture *f = *state;

    assert_true(domain_cont(f->rig->domain, NULL));
    wait_inside(f, 2);
    assert_asked(f, "qC", "QC1");
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_PAUSED);
}

static void test_the_end_is_told(void **state)
{
    Fixture *f = *state;

    resume(f, "c", 2);
    domain_quit(f->rig->domain, 3);
    domain_main(f->rig->domain);
    assert_heard(f, "W03");
}

static void test_nonsense_is_refused(void **state)
{
    Fixture *f = *state;

    assert_asked(f, "vCont;x", "E22");
    assert_asked(f, "vCont;c:3", "E22");
    assert_asked(f, "vCont;c:", "E22");
    assert_asked(f, "vCont;c;", "E22");
    assert_asked(f, "vCont;C", "E22");
    assert_asked(f, "cxyz", "E22");
    assert_asked(f, "S", "E22");
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_PRELAUNCH);
}

/* ---- clients come and go ---- */

static void test_a_client_that_vanishes_leaves_nothing_behind(void **state)
{
    Fixture *f = *state;

    assert_asked(f, "Z0,1000,1", "OK");
    resume(f, "vCont;c:1", 1);
    disconnect_client(f);
    assert_int_equal(f->fake->armed_count, 0);
    assert_true(domain_is_running(f->rig->domain));
    wait_inside(f, 2);
}

static void test_a_guest_that_ran_runs_on_after_its_client(void **state)
{
    Fixture *f = *state;

    resume(f, "c", 2);
    disconnect_client(f);
    connect_client(f);
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_PAUSED);
    assert_asked(f, "?", "T05thread:1;");
    disconnect_client(f);
    assert_true(domain_is_running(f->rig->domain));
}

static void test_a_guest_that_never_ran_does_not_start_by_itself(void **state)
{
    Fixture *f = *state;

    disconnect_client(f);
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_PRELAUNCH);
}

static void test_a_guest_that_was_reset_at_its_breakpoint_runs_on_after_its_client(void **state)
{
    Fixture *f = *state;

    resume(f, "vCont;c:1", 1);
    stop_one(f, (VcpuStop) { .kind = ACCEL_BREAK_SOFTWARE, .address = 0x1000 });
    assert_heard(f, "T05thread:1;");
    domain_request_reset(f->rig->domain, REASON_HOST_QMP_RESET);
    settle(f);
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_PRELAUNCH);
    disconnect_client(f);
    assert_true(domain_is_running(f->rig->domain));
}

static void test_what_is_dumped_when_a_client_comes_stands_still_until_it_goes(void **state)
{
    Fixture *f = *state;

    disconnect_client(f);
    assert_true(domain_cont(f->rig->domain, NULL));
    domain_freeze(f->rig->domain);
    connect_client(f);
    domain_thaw(f->rig->domain);
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_PAUSED);
    disconnect_client(f);
    assert_true(domain_is_running(f->rig->domain));
}

static void test_a_guest_that_is_dumped_when_its_client_goes_runs_on_after_that(void **state)
{
    Fixture *f = *state;

    resume(f, "c", 2);
    assert_int_equal(send(f->fd, "\x03", 1, MSG_NOSIGNAL), 1);
    assert_heard(f, "T02thread:1;");
    domain_freeze(f->rig->domain);
    disconnect_client(f);
    assert_false(domain_is_running(f->rig->domain));
    domain_thaw(f->rig->domain);
    assert_true(domain_is_running(f->rig->domain));
}

static void test_what_has_moved_does_not_run_on_after_its_client(void **state)
{
    Fixture *f = *state;

    resume(f, "c", 2);
    assert_int_equal(send(f->fd, "\x03", 1, MSG_NOSIGNAL), 1);
    assert_heard(f, "T02thread:1;");
    run_control_set_state(f->rig->domain, RUN_STATE_POSTMIGRATE);
    assert_asked(f, "D", "OK");
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_POSTMIGRATE);
    disconnect_client(f);
    assert_int_equal(domain_run_state(f->rig->domain), RUN_STATE_POSTMIGRATE);
}

static void test_who_looks_at_a_guest_that_moves_does_not_stop_it_there(void **state)
{
    Fixture *f = *state;

    resume(f, "c", 2);
    run_control_finish_migrate(f->rig->domain);
    assert_heard(f, "T18thread:1;");
    assert_asked(f, "qC", "QC1");
    assert_int_equal(f->rig->domain->run.next, RUN_STATE_RUNNING);
    disconnect_client(f);
    connect_client(f);
    assert_int_equal(f->rig->domain->run.next, RUN_STATE_RUNNING);
}

static void count_resumes(Domain *domain, RunEvent event, RequestReason reason, void *resumes)
{
    *(unsigned *)resumes += event == RUN_EVENT_RESUME;
}

static void test_a_stop_that_nobody_waits_for_ends_by_itself(void **state)
{
    Fixture *f = *state;
    unsigned resumes = 0;

    resume(f, "vCont;c:1", 1);
    disconnect_client(f);
    wait_inside(f, 2);
    domain_observe(f->rig->domain, count_resumes, &resumes);
    stop_one(f, (VcpuStop) { .kind = ACCEL_BREAK_SOFTWARE, .address = 0x1000 });
    while (!resumes) {
        loop_run_once(loop_of(f), true);
    }
    domain_unobserve(f->rig->domain, count_resumes, &resumes);
    assert_true(domain_is_running(f->rig->domain));
    wait_inside(f, 2);
}

static void test_detaching_lets_the_guest_run(void **state)
{
    Fixture *f = *state;

    assert_asked(f, "Z0,1000,1", "OK");
    assert_asked(f, "D", "OK");
    assert_true(domain_is_running(f->rig->domain));
    assert_int_equal(f->fake->armed_count, 0);
}

static void test_killing_ends_the_domain(void **state)
{
    Fixture *f = *state;

    say(f, "k");
    assert_int_equal(domain_main(f->rig->domain), 0);
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_none_is_no_server),
        TEST(test_a_server_takes_the_place_of_another),
        TEST(test_what_cannot_be_opened_leaves_the_former_server),
        TEST(test_the_server_does_not_go_while_it_carries_out_a_command),
        TEST(test_features_are_offered),
        TEST(test_description_comes_in_pieces),
        TEST(test_vcpus_are_threads),
        TEST(test_vcpus_that_come_and_go_are_threads),
        TEST(test_monitor_commands_are_the_human_monitors),
        TEST(test_what_is_said_before_the_chardev_opens_counts),
        TEST(test_registers_are_the_current_vcpus),
        TEST(test_all_registers_can_be_written_back),
        TEST(test_memory_is_read_and_written),
        TEST(test_physical_addresses_go_round_the_page_tables),
        TEST(test_breakpoints_are_armed_and_taken_out),
        TEST(test_a_refused_breakpoint_is_an_error),
        TEST(test_their_number_is_bounded),
        TEST(test_a_breakpoint_stops_all_and_names_the_thread),
        TEST(test_a_breakpoint_that_the_server_does_not_live_to_see_stops_nothing),
        TEST(test_a_breakpoint_in_a_segment_with_a_base_is_a_trap),
        TEST(test_a_watchpoint_tells_its_address),
        TEST(test_a_step_is_of_one_thread),
        TEST(test_news_of_a_watchpoint_waits_for_its_thread),
        TEST(test_an_interrupt_stops_the_guest),
        TEST(test_an_interrupt_outlasts_a_dump),
        TEST(test_why_it_stands_still_is_a_signal),
        TEST(test_a_packet_finds_a_guest_that_another_resumed_stopped),
        TEST(test_the_end_is_told),
        TEST(test_nonsense_is_refused),
        TEST(test_a_client_that_vanishes_leaves_nothing_behind),
        TEST(test_a_guest_that_ran_runs_on_after_its_client),
        TEST(test_a_guest_that_never_ran_does_not_start_by_itself),
        TEST(test_a_guest_that_was_reset_at_its_breakpoint_runs_on_after_its_client),
        TEST(test_what_is_dumped_when_a_client_comes_stands_still_until_it_goes),
        TEST(test_a_guest_that_is_dumped_when_its_client_goes_runs_on_after_that),
        TEST(test_what_has_moved_does_not_run_on_after_its_client),
        TEST(test_who_looks_at_a_guest_that_moves_does_not_stop_it_there),
        TEST(test_a_stop_that_nobody_waits_for_ends_by_itself),
        TEST(test_detaching_lets_the_guest_run),
        TEST(test_killing_ends_the_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
