/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/sandbox.c: each test enters in a child, which a violation kills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/loop.h"
#include "vmm/sandbox.h"

typedef struct Outcome {
    int signal, status;
    char text[512]; /* of standard error */
} Outcome;

/* Configures, enters as role and runs fn in a child. */
static Outcome run(const char *text, SandboxRole role, int (*fn)(void))
{
    Outcome o = { 0 };
    int fds[2], status;
    size_t n = 0;
    ssize_t got;
    pid_t pid;

    if (!sandbox_available()) {
        skip();
    }
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        if (!sandbox_configure(text, NULL) || !sandbox_enter(role, NULL)) {
            _exit(99);
        }
        _exit(fn());
    }
    close(fds[1]);
    while ((got = read(fds[0], o.text + n, sizeof(o.text) - 1 - n)) > 0) {
        n += got;
    }
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    o.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    o.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return o;
}

static int open_a_file(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0;
}

static int make_a_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int execute(void)
{
    execl("/bin/true", "true", NULL);
    return 1;
}

static int signal_another(void)
{
    return kill(1, 0) < 0;
}

static int signal_itself(void)
{
    return kill(getpid(), 0) < 0;
}

static int map_executable(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int map_data(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int set_limit(void)
{
    struct {
        uint64_t now, max;
    } limit = { 64, 64 };

    return syscall(SYS_prlimit64, 0, 7, &limit, NULL) < 0;
}

static void *nothing(void *opaque)
{
    return opaque;
}

static int start_a_thread(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL);
}

static int start_a_process(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        _exit(0);
    }
    return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

static void finish(void *opaque)
{
    *(int *)opaque = 1;
}

static int five(void *opaque)
{
    return 5;
}

static void five_came(LoopIo *io, int result)
{
    *(int *)io->iov = result;
}

/* A loop of its own with a worker, all started inside the main role. */
static int run_loops(void)
{
    Loop *here = loop_new("here", LOOP_ENGINE_AUTO, NULL), *other = loop_new("other", LOOP_ENGINE_AUTO, NULL);
    int called = 0, result = 0;
    LoopIo io = { .op = LOOP_IO_CALL, .call = five, .done = five_came, .iov = (void *)&result };

    if (!here || !other || !loop_thread_start(other, NULL)) {
        return 1;
    }
    loop_call(other, finish, &called);
    loop_submit(here, &io);
    while (!result) {
        loop_run_once(here, true);
    }
    loop_thread_join(other);
    loop_free(other);
    loop_free(here);
    return !(called && result == 5);
}

static void test_violation_names_the_call_and_kills(void **state)
{
    Outcome o = run(NULL, SANDBOX_VCPU, open_a_file);

    assert_int_equal(o.signal, SIGSYS);
    assert_non_null(strstr(o.text, "call openat (257)"));
}

static void test_vcpu_makes_no_socket(void **state)
{
    assert_int_equal(run(NULL, SANDBOX_VCPU, make_a_socket).signal, SIGSYS);
}

static void test_io_thread_opens_nothing(void **state)
{
    assert_int_equal(run(NULL, SANDBOX_IO, open_a_file).signal, SIGSYS);
}

static void test_io_thread_maps_data_but_nothing_executable(void **state)
{
    assert_int_equal(run(NULL, SANDBOX_IO, map_data).status, 0);
    assert_int_equal(run(NULL, SANDBOX_IO, map_executable).signal, SIGSYS);
}

static void test_main_thread_opens_files(void **state)
{
    assert_int_equal(run(NULL, SANDBOX_MAIN, open_a_file).status, 0);
}

static void test_strict_opens_nothing_on_any_thread(void **state)
{
    assert_int_equal(run("strict", SANDBOX_MAIN, open_a_file).signal, SIGSYS);
    assert_int_equal(run("strict", SANDBOX_MAIN, make_a_socket).signal, SIGSYS);
}

static void test_no_program_is_started_unless_spawn_is_allowed(void **state)
{
    assert_int_equal(run("on", SANDBOX_MAIN, execute).signal, SIGSYS);
    assert_int_equal(run("on", SANDBOX_MAIN, start_a_process).signal, SIGSYS);
    assert_int_equal(run("on,spawn=allow", SANDBOX_MAIN, execute).status, 0);
    assert_int_equal(run("on,spawn=allow", SANDBOX_MAIN, start_a_process).status, 0);
}

static void test_signals_go_to_this_process_only(void **state)
{
    assert_int_equal(run(NULL, SANDBOX_MAIN, signal_itself).status, 0);
    assert_int_equal(run(NULL, SANDBOX_MAIN, signal_another).signal, SIGSYS);
}

static void test_limits_are_set_only_if_resourcecontrol_is_allowed(void **state)
{
    assert_int_equal(run(NULL, SANDBOX_MAIN, set_limit).signal, SIGSYS);
}

/* 64 pieces of 64 KiB, in an arena of their own, then all given back. */
static void *allocate_and_free(void *opaque)
{
    void *piece[64];

    if (!sandbox_enter(SANDBOX_IO, NULL)) {
        return NULL;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(piece); i++) {
        piece[i] = malloc(65536);
        memset(piece[i], 1, 65536);
    }
    for (unsigned i = G_N_ELEMENTS(piece); i-- > 0;) {
        free(piece[i]);
    }
    return opaque;
}

/* Twelve at a time: more than there are arenas. */
static int allocate_on_many_threads(void)
{
    pthread_t thread[12];
    int failed = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(thread); i++) {
        failed |= pthread_create(&thread[i], NULL, allocate_and_free, &failed);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(thread); i++) {
        void *result = NULL;

        failed |= pthread_join(thread[i], &result) || !result;
    }
    return failed;
}

static void test_memory_comes_and_goes_on_many_io_threads(void **state)
{
    Outcome o = run(NULL, SANDBOX_MAIN, allocate_on_many_threads);

    assert_string_equal(o.text, "");
    assert_int_equal(o.status, 0);
}

static void test_threads_start_in_every_role_that_starts_some(void **state)
{
    assert_int_equal(run(NULL, SANDBOX_MAIN, start_a_thread).status, 0);
    assert_int_equal(run(NULL, SANDBOX_IO, start_a_thread).status, 0);
}

static void test_loops_and_workers_run_inside(void **state)
{
    assert_int_equal(run(NULL, SANDBOX_MAIN, run_loops).status, 0);
}

static void test_loops_and_workers_run_inside_on_epoll(void **state)
{
    g_setenv("LODGE_LOOP", "epoll", true);
    assert_int_equal(run(NULL, SANDBOX_MAIN, run_loops).status, 0);
    g_unsetenv("LODGE_LOOP");
}

static void test_off_permits_everything(void **state)
{
    assert_int_equal(run("off", SANDBOX_VCPU, open_a_file).status, 0);
}

static void test_unknown_option_is_named(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_false(sandbox_configure("on,spwan=deny", &error));
    assert_non_null(strstr(error->message, "spwan"));
}

static void test_table_has_no_mistakes(void **state)
{
    g_autofree char *mistakes = field_struct_check(&sandbox_options);

    assert_null(mistakes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_violation_names_the_call_and_kills),
        cmocka_unit_test(test_vcpu_makes_no_socket),
        cmocka_unit_test(test_io_thread_opens_nothing),
        cmocka_unit_test(test_io_thread_maps_data_but_nothing_executable),
        cmocka_unit_test(test_main_thread_opens_files),
        cmocka_unit_test(test_strict_opens_nothing_on_any_thread),
        cmocka_unit_test(test_no_program_is_started_unless_spawn_is_allowed),
        cmocka_unit_test(test_signals_go_to_this_process_only),
        cmocka_unit_test(test_limits_are_set_only_if_resourcecontrol_is_allowed),
        cmocka_unit_test(test_threads_start_in_every_role_that_starts_some),
        cmocka_unit_test(test_memory_comes_and_goes_on_many_io_threads),
        cmocka_unit_test(test_loops_and_workers_run_inside),
        cmocka_unit_test(test_loops_and_workers_run_inside_on_epoll),
        cmocka_unit_test(test_off_permits_everything),
        cmocka_unit_test(test_unknown_option_is_named),
        cmocka_unit_test(test_table_has_no_mistakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
