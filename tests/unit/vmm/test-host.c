/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/host*.c: files, descriptor sets, locks, sockets, and the process in the background. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/error.h"
#include "vmm/host.h"

typedef struct Rig {
    char *folder, *path;
} Rig;

static int setup(void **state)
{
    Rig *r = g_new0(Rig, 1);

    r->folder = g_dir_make_tmp("lodge-host-XXXXXX", NULL);
    r->path = g_build_filename(r->folder, "x", NULL);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    Rig *r = *state;
    g_autofree char *remove = g_strdup_printf("rm -rf %s", r->folder);

    host_cleanup();
    g_spawn_command_line_sync(remove, NULL, NULL, NULL, NULL);
    g_free(r->folder);
    g_free(r->path);
    g_free(r);
    return 0;
}

/* ---- files ---- */

static void test_missing_file_is_named(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;

    assert_int_equal(host_open(r->path, O_RDONLY, 0, &error), -1);
    assert_non_null(strstr(error->message, r->path));
    assert_non_null(strstr(error->message, "No such file"));
}

static void test_opened_descriptor_is_close_on_exec(void **state)
{
    Rig *r = *state;
    int fd = host_open(r->path, O_RDWR | O_CREAT, 0600, NULL);

    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);
}

static void test_written_file_is_read_back(void **state)
{
    Rig *r = *state;
    uint8_t *data = NULL;
    size_t length = 0;

    assert_true(host_write_file(r->path, "hello", 5, 0600, NULL));
    assert_true(host_read_file(r->path, 5, &data, &length, NULL));
    assert_int_equal(length, 5);
    assert_memory_equal(data, "hello", 5);
    g_free(data);
}

static void test_empty_file_is_read(void **state)
{
    Rig *r = *state;
    uint8_t *data = NULL;
    size_t length = 1;

    assert_true(host_write_file(r->path, "", 0, 0600, NULL));
    assert_true(host_read_file(r->path, 5, &data, &length, NULL));
    assert_int_equal(length, 0);
    g_free(data);
}

static void test_file_without_a_size_is_read(void **state)
{
    uint8_t *data = NULL;
    size_t length = 0;

    assert_true(host_read_file("/proc/self/status", 1 << 20, &data, &length, NULL));
    assert_true(length > 100);
    g_free(data);
}

static void test_file_beyond_the_bound_is_refused(void **state)
{
    Rig *r = *state;
    uint8_t *data = NULL;
    size_t length = 7;
    g_autoptr(GError) error = NULL;

    assert_true(host_write_file(r->path, "hello", 5, 0600, NULL));
    assert_false(host_read_file(r->path, 4, &data, &length, &error));
    assert_non_null(strstr(error->message, "larger than 4 bytes"));
    assert_null(data);
    assert_int_equal(length, 7);
}

static void test_folder_is_no_file(void **state)
{
    Rig *r = *state;
    uint8_t *data = NULL;
    size_t length;
    g_autoptr(GError) error = NULL;

    assert_false(host_read_file(r->folder, 100, &data, &length, &error));
    assert_non_null(strstr(error->message, "is a directory"));
}

/* ---- descriptor sets ---- */

static void test_descriptor_set_opens_by_mode(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;
    int fd, given;

    assert_true(host_write_file(r->path, "set", 3, 0600, NULL));
    given = open(r->path, O_RDONLY);
    assert_true(host_fdset_add(7, given, NULL, NULL));
    fd = host_open("/dev/fdset/7", O_RDONLY, 0, NULL);
    assert_true(fd >= 0 && fd != given);
    close(fd);
    assert_int_equal(host_open("/dev/fdset/7", O_RDWR, 0, &error), -1);
    assert_non_null(strstr(error->message, "reading and writing"));
}

static void test_descriptor_for_both_ways_serves_a_reader_if_there_is_no_other(void **state)
{
    int both = open("/dev/null", O_RDWR), fd;

    assert_true(host_fdset_add(8, both, NULL, NULL));
    fd = host_open("/dev/fdset/8", O_RDONLY, 0, NULL);
    assert_true(fd >= 0);
    close(fd);
    assert_true(host_fdset_add(8, open("/dev/null", O_RDONLY), NULL, NULL));
    fd = host_open("/dev/fdset/8", O_RDONLY, 0, NULL);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    close(fd);
}

static void test_missing_descriptor_set_says_how_to_pass_it(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_int_equal(host_open("/dev/fdset/9", O_RDONLY, 0, &error), -1);
    assert_non_null(strstr(error_get_hint(error), "-add-fd"));
}

static void test_descriptor_set_that_is_no_number_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_int_equal(host_open("/dev/fdset/x", O_RDONLY, 0, &error), -1);
    assert_non_null(strstr(error->message, "by number"));
}

static void count_entry(unsigned set, int fd, const char *text, void *opaque)
{
    if (set == 3 && g_str_equal(text, "why")) {
        ++*(int *)opaque;
    }
}

static void test_descriptor_sets_are_listed(void **state)
{
    int n = 0;

    assert_true(host_fdset_add(3, open("/dev/null", O_RDONLY), "why", NULL));
    host_fdset_each(count_entry, &n);
    assert_int_equal(n, 1);
}

/* What it gave and nobody opened: no other client knows of it. */
static void test_the_last_client_takes_its_descriptors_along(void **state)
{
    int n = 0, fd;

    host_fdset_each(count_entry, &n);
    host_fdset_client_came();
    host_fdset_client_came();
    assert_true(host_fdset_add(40, open("/dev/null", O_RDONLY), NULL, NULL));
    assert_true(host_fdset_add(41, open("/dev/null", O_RDONLY), NULL, NULL));
    fd = host_open("/dev/fdset/41", O_RDONLY, 0, NULL);
    assert_true(fd >= 0);
    close(fd);
    host_fdset_client_left(true);
    host_fdset_client_came();
    host_fdset_client_left(false);
    assert_true(host_fdset_remove(40, -1, NULL));
    assert_true(host_fdset_add(40, open("/dev/null", O_RDONLY), NULL, NULL));
    host_fdset_client_left(true);
    assert_false(host_fdset_remove(40, -1, NULL));
    assert_true(host_fdset_remove(41, -1, NULL));
    n = -n;
    host_fdset_each(count_entry, &n);
    assert_int_equal(n, 0);
}

static void test_closed_descriptor_is_not_inherited(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_int_equal(host_passed_fd("987", &error), -1);
    assert_non_null(strstr(error->message, "987"));
    g_clear_error(&error);
    assert_int_equal(host_passed_fd("1x", &error), -1);
    assert_non_null(strstr(error->message, "'1x'"));
}

/* What is open by then, and that alone, was passed. */
static void test_what_the_process_opened_itself_was_not_passed(void **state)
{
    int before = open("/dev/null", O_RDONLY), own, fds[2];
    g_autofree char *passed = g_strdup_printf("%d", before), *not_passed = NULL;
    g_autoptr(GError) error = NULL;

    host_inherit();
    own = open("/dev/null", O_RDONLY);
    not_passed = g_strdup_printf("%d", own);
    assert_int_equal(host_passed_fd(not_passed, &error), -1);
    assert_non_null(strstr(error->message, "not passed"));
    assert_int_equal(host_passed_fd(passed, NULL), before);
    close(own);
    close(before);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(dup2(fds[0], before), before); /* another file by that number */
    assert_int_equal(host_passed_fd(passed, NULL), -1);
    close(fds[0]);
    close(fds[1]);
    close(before);
}

/* ---- sockets ---- */

static void test_too_long_a_socket_name_is_refused(void **state)
{
    g_autofree char *name = g_strnfill(200, 'x');
    g_autoptr(GError) error = NULL;

    assert_int_equal(host_listen_unix(name, &error), -1);
    assert_non_null(strstr(error->message, "longer than"));
}

static void test_file_is_not_replaced_by_a_socket(void **state)
{
    Rig *r = *state;
    g_autoptr(GError) error = NULL;

    assert_true(host_write_file(r->path, "mine", 4, 0600, NULL));
    assert_int_equal(host_listen_unix(r->path, &error), -1);
    assert_true(g_file_test(r->path, G_FILE_TEST_IS_REGULAR));
}

static void test_refused_connection_is_named(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_int_equal(host_connect_tcp("127.0.0.1", "1", true, true, &error), -1);
    assert_non_null(strstr(error->message, "127.0.0.1:1"));
}

/* The backlog of 0 has room for one. */
static void test_peer_that_never_accepts_is_not_waited_for(void **state)
{
    const Rig *r = *state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    g_autoptr(GError) error = NULL;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), first;

    g_strlcpy(address.sun_path, r->path, sizeof(address.sun_path));
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 0), 0);
    first = host_connect_unix(r->path, NULL);
    assert_true(first >= 0);
    alarm(25); /* ends the test, should it wait for ever */
    assert_int_equal(host_connect_unix(r->path, &error), -1);
    alarm(0);
    assert_non_null(strstr(error->message, r->path));
    close(first);
    close(listener);
}

static void test_port_that_cannot_be_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_int_equal(host_listen_tcp("127.0.0.1", "65536", true, true, &error), -1);
    assert_non_null(strstr(error->message, "65536"));
}

static void test_unknown_host_is_named(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_int_equal(host_connect_tcp("no-such-host.invalid", "1", true, true, &error), -1);
    assert_non_null(strstr(error->message, "no-such-host.invalid"));
}

/* ---- programs ---- */

static void test_program_that_ends_well_has_done_so(void **state)
{
    assert_true(host_run((const char *const[]) { "/bin/sh", "-c", "exit 0", NULL }, NULL));
}

static void test_program_that_fails_is_named_with_its_status(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_false(host_run((const char *const[]) { "/bin/sh", "-c", "exit 3", NULL }, &error));
    assert_string_equal(error->message, "'/bin/sh' failed with status 3");
}

static void test_program_that_is_not_there_is_named(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_false(host_run((const char *const[]) { "/no/such/program", NULL }, &error));
    assert_string_equal(error->message, "cannot start '/no/such/program': No such file or directory");
}

static void test_command_reads_what_is_written_and_tells_its_end(void **state)
{
    int fd;
    HostCommand *command = host_command_start("read line; test \"$line\" = hello", true, &fd, NULL);

    assert_non_null(command);
    assert_false(host_command_wait(command, -1, 0));
    assert_int_equal(host_write_all(fd, "hello\n", 6), 0);
    close(fd);
    assert_true(host_command_wait(command, -1, -1));
    assert_true(host_command_result(command, NULL));
    host_command_free(command);
}

static void test_command_that_nobody_wants_any_more_is_ended(void **state)
{
    char byte;
    int fd;

    host_command_free(host_command_start("sleep 1000", false, &fd, NULL));
    assert_int_equal(read(fd, &byte, 1), 0); /* its end of the pipe is closed */
    close(fd);
}

/* ---- the process ---- */

static int status_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* What lodge does: goes to the background, then is ready, or fails before. */
static void daemon_that(const char *path, bool gets_ready)
{
    if (!host_daemonize(NULL)) {
        _exit(98);
    }
    if (!gets_ready) {
        _exit(3);
    }
    host_write_pidfile(path, NULL);
    host_daemonize_done(-1);
    usleep(200000);
    host_cleanup();
    _exit(0);
}

static void test_parent_ends_when_the_daemon_is_ready(void **state)
{
    Rig *r = *state;
    g_autofree char *text = NULL;
    pid_t pid = fork();

    if (pid == 0) {
        daemon_that(r->path, true);
    }
    assert_int_equal(status_of(pid), 0);
    assert_true(g_file_get_contents(r->path, &text, NULL, NULL));
    assert_int_not_equal(atoi(text), pid);
    for (int i = 0; i < 200 && g_file_test(r->path, G_FILE_TEST_EXISTS); i++) {
        usleep(10000);
    }
    assert_false(g_file_test(r->path, G_FILE_TEST_EXISTS));
}

static void test_parent_ends_as_a_daemon_that_fails(void **state)
{
    Rig *r = *state;
    pid_t pid = fork();

    if (pid == 0) {
        daemon_that(r->path, false);
    }
    assert_int_equal(status_of(pid), 3);
}

static void test_pid_file_of_a_running_process_is_refused(void **state)
{
    Rig *r = *state;
    g_autofree char *own = g_strdup_printf("process %d", getpid());
    g_autoptr(GError) error = NULL;
    pid_t pid;

    assert_true(host_write_pidfile(r->path, NULL));
    pid = fork();
    if (pid == 0) {
        _exit(host_write_pidfile(r->path, &error) || !strstr(error->message, own));
    }
    assert_int_equal(status_of(pid), 0);
}

static void test_pid_file_of_a_dead_process_is_replaced(void **state)
{
    Rig *r = *state;
    g_autofree char *text = NULL, *own = g_strdup_printf("%d\n", getpid());

    assert_true(host_write_file(r->path, "999999\n", 7, 0644, NULL));
    assert_true(host_write_pidfile(r->path, NULL));
    assert_true(g_file_get_contents(r->path, &text, NULL, NULL));
    assert_string_equal(text, own);
}

#define ROW(TEST) cmocka_unit_test_setup_teardown(TEST, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_missing_file_is_named),
        ROW(test_opened_descriptor_is_close_on_exec),
        ROW(test_written_file_is_read_back),
        ROW(test_empty_file_is_read),
        ROW(test_file_without_a_size_is_read),
        ROW(test_file_beyond_the_bound_is_refused),
        ROW(test_folder_is_no_file),
        ROW(test_descriptor_set_opens_by_mode),
        ROW(test_descriptor_for_both_ways_serves_a_reader_if_there_is_no_other),
        ROW(test_missing_descriptor_set_says_how_to_pass_it),
        ROW(test_descriptor_set_that_is_no_number_is_refused),
        ROW(test_descriptor_sets_are_listed),
        ROW(test_the_last_client_takes_its_descriptors_along),
        ROW(test_closed_descriptor_is_not_inherited),
        ROW(test_what_the_process_opened_itself_was_not_passed),
        ROW(test_too_long_a_socket_name_is_refused),
        ROW(test_file_is_not_replaced_by_a_socket),
        ROW(test_refused_connection_is_named),
        ROW(test_peer_that_never_accepts_is_not_waited_for),
        ROW(test_port_that_cannot_be_is_refused),
        ROW(test_unknown_host_is_named),
        ROW(test_program_that_ends_well_has_done_so),
        ROW(test_program_that_fails_is_named_with_its_status),
        ROW(test_program_that_is_not_there_is_named),
        ROW(test_command_reads_what_is_written_and_tells_its_end),
        ROW(test_command_that_nobody_wants_any_more_is_ended),
        ROW(test_parent_ends_when_the_daemon_is_ready),
        ROW(test_parent_ends_as_a_daemon_that_fails),
        ROW(test_pid_file_of_a_running_process_is_refused),
        ROW(test_pid_file_of_a_dead_process_is_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
