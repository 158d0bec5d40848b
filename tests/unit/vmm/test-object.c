/* SPDX-License-Identifier: GPL-2.0-or-later */
/* User-created objects in a domain without a machine. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/domain.h"
#include "vmm/error.h"
#include "vmm/memory-backend.h"
#include "vmm/rng.h"

static int setup(void **state)
{
    *state = domain_new(NULL, NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    objects_free(*state);
    domain_free(*state);
    return 0;
}

static Object *add(Domain *domain, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = keyval_parse(text, "qom-type", NULL);
    Object *obj = object_add(domain, json, &error);

    if (!obj) {
        fail_msg("%s", error->message);
    }
    return obj;
}

static void assert_refused(Domain *domain, const char *text, const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = keyval_parse(text, "qom-type", NULL);
    g_autofree char *message = NULL;

    assert_null(object_add(domain, json, &error));
    message = error_text(error);
    assert_string_equal(message, expected);
}

/* ---- creation and removal ---- */

static void test_tables_have_no_mistakes(void **state)
{
    for (size_t i = 0; object_classes[i]; i++) {
        g_autofree char *mistakes = field_struct_check(object_classes[i]->props);

        if (mistakes) {
            fail_msg("%s", mistakes);
        }
    }
}

static void test_unknown_type_names_the_nearest(void **state)
{
    assert_refused(*state, "iothraed,id=t", "There is no object type 'iothraed'. Did you mean 'iothread'?");
}

static void test_an_object_needs_type_and_id(void **state)
{
    assert_refused(*state, "iothread", "An object needs an id. Write -object TYPE,id=NAME.");
    assert_refused(*state, "id=x", "An object needs a type. Write -object TYPE,id=NAME.");
}

static void test_unknown_property_names_the_object(void **state)
{
    assert_refused(*state, "iothread,id=t0,nonsense=1", "t0: Parameter 'nonsense' is unknown. "
                    "There is: poll-max-ns, poll-grow, poll-shrink.");
    assert_refused(*state, "iothread,id=t0,pol-max-ns=1",
                   "t0: Parameter 'pol-max-ns' is unknown. Did you mean 'poll-max-ns'?");
}

static void test_a_removed_id_can_be_used_again(void **state)
{
    add(*state, "rng-builtin,id=r");
    assert_true(object_del(*state, "r", NULL));
    add(*state, "rng-builtin,id=r");
}

static void test_an_object_in_use_stays(void **state)
{
    g_autoptr(GError) error = NULL;

    add(*state, "rng-builtin,id=r")->users++;
    assert_false(object_del(*state, "r", &error));
    assert_string_equal(error->message, "Object 'r' is in use");
}

static void test_finding_checks_the_class(void **state)
{
    g_autoptr(GError) error = NULL;

    add(*state, "rng-builtin,id=r");
    assert_null(object_find(*state, "r", &iothread_class, &error));
    assert_string_equal(error->message, "Object 'r' is not an iothread but an rng-builtin");
}

/* ---- iothread ---- */

static void note_thread(void *opaque)
{
    *(pthread_t *)opaque = pthread_self();
}

static void test_iothread_runs_its_loop(void **state)
{
    IoThread *t = (IoThread *)add(*state, "iothread,id=t0,poll-max-ns=0");
    pthread_t thread = pthread_self();

    loop_call(iothread_loop(t), note_thread, &thread);
    assert_false(pthread_equal(thread, pthread_self()));
}

static void test_iothread_polling_can_be_changed(void **state)
{
    Object *obj = add(*state, "iothread,id=t0");
    g_autoptr(Json) value = json_new_int(500);
    uint64_t max, grow, shrink;

    assert_true(object_set(obj, "poll-max-ns", value, NULL));
    loop_get_poll(iothread_loop((IoThread *)obj), &max, &grow, &shrink);
    assert_int_equal(max, 500);
}

static void test_only_runtime_properties_change(void **state)
{
    Object *obj = add(*state, "memory-backend-ram,id=m,size=1M");
    g_autoptr(Json) value = json_new_int(500);
    g_autoptr(GError) error = NULL;

    assert_false(object_set(obj, "size", value, &error));
    assert_string_equal(error->message, "m: Property 'size' cannot be changed any more");
}

/* ---- memory ---- */

static void test_memory_has_the_size_asked_for(void **state)
{
    MemoryBackend *mb;

    add(*state, "memory-backend-ram,id=m,size=2M");
    mb = memory_backend_claim(*state, "m", NULL);
    assert_int_equal(ram_block_size(memory_backend_ram(mb)), 2 << 20);
    memory_backend_release(mb);
}

static void test_memory_has_one_user(void **state)
{
    g_autoptr(GError) error = NULL;
    MemoryBackend *mb;

    add(*state, "memory-backend-ram,id=m,size=1M");
    mb = memory_backend_claim(*state, "m", NULL);
    assert_null(memory_backend_claim(*state, "m", &error));
    assert_string_equal(error->message, "Memory backend 'm' is in use already");
    memory_backend_release(mb);
    g_clear_error(&error);
    mb = memory_backend_claim(*state, "m", NULL);
    assert_non_null(mb);
    memory_backend_release(mb);
}

static unsigned abilities(Domain *domain, const char *id)
{
    return ram_block_abilities(memory_backend_ram((MemoryBackend *)object_find(domain, id, NULL, NULL)));
}

static void test_shared_memory_has_a_descriptor(void **state)
{
    add(*state, "memory-backend-memfd,id=a,size=1M");
    add(*state, "memory-backend-ram,id=b,size=1M,share=on");
    add(*state, "memory-backend-ram,id=c,size=1M");
    assert_true(abilities(*state, "a") & RAM_CAN_SHARE);
    assert_true(abilities(*state, "b") & RAM_CAN_SHARE);
    assert_false(abilities(*state, "c") & RAM_CAN_SHARE);
}

static void test_memory_in_a_file(void **state)
{
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    int fd = g_file_open_tmp("lodge-ram-XXXXXX", &path, NULL);
    char buffer[2] = { 0 };
    Object *obj;

    text = g_strdup_printf("memory-backend-file,id=m,size=1M,share=on,mem-path=%s", path);
    obj = add(*state, text);
    memcpy(ram_block_host(memory_backend_ram((MemoryBackend *)obj)), "hi", 2);
    assert_int_equal(pread(fd, buffer, 2, 0), 2);
    assert_memory_equal(buffer, "hi", 2);
    close(fd);
    unlink(path);
}

static void test_memory_policies_need_nodes_and_nodes_a_policy(void **state)
{
    assert_refused(*state, "memory-backend-ram,id=m,size=1M,policy=bind",
                   "m: policy is 'bind', but host-nodes is missing. Add host-nodes=0, or leave policy out.");
    assert_refused(*state, "memory-backend-ram,id=m,size=1M,host-nodes=0",
                   "m: host-nodes is given, but policy is 'default', which uses none. "
                   "Add policy=bind, preferred or interleave.");
}

static void test_huge_page_size_needs_huge_pages(void **state)
{
    assert_refused(*state, "memory-backend-memfd,id=m,size=2M,hugetlbsize=2M",
                   "m: hugetlbsize is given, but hugetlb is off. Add hugetlb=on.");
}

static void test_persistent_memory_is_checked(void **state)
{
    assert_refused(*state, "memory-backend-file,id=m,size=1M,mem-path=/dev/shm,pmem=on",
                   "m: RAM 'm': persistent memory must be a shared file. Use share=on, or leave out pmem=on.");
}

static void test_claiming_what_is_no_memory(void **state)
{
    g_autoptr(GError) error = NULL;

    add(*state, "rng-builtin,id=r");
    assert_null(memory_backend_claim(*state, "r", &error));
    assert_string_equal(error->message, "Object 'r' is not a memory backend but an rng-builtin");
}

/* ---- random bytes ---- */

typedef struct Answer {
    unsigned calls;
    size_t length;
    uint8_t data[RNG_REQUEST_MAX];
} Answer;

static void done(void *opaque, const uint8_t *data, size_t length)
{
    Answer *a = opaque;

    a->calls++;
    a->length = length;
    memcpy(a->data, data, length);
}

static void run_loop(Domain *domain, const Answer *until)
{
    for (int i = 0; i < 100 && until->calls == 0; i++) {
        loop_run_once(domain_loop(domain), true);
    }
}

static void test_builtin_answers_later(void **state)
{
    Rng *rng = (Rng *)add(*state, "rng-builtin,id=r");
    Answer a = { 0 };

    rng_request(rng, 64, done, &a);
    assert_int_equal(a.calls, 0);
    run_loop(*state, &a);
    assert_int_equal(a.length, 64);
}

static void test_requests_are_answered_in_order(void **state)
{
    Rng *rng = (Rng *)add(*state, "rng-builtin,id=r");
    Answer a = { 0 }, b = { 0 };

    rng_request(rng, 8, done, &a);
    rng_request(rng, 16, done, &b);
    run_loop(*state, &b);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.length, 8);
    assert_int_equal(b.length, 16);
}

static void test_a_cancelled_request_is_not_answered(void **state)
{
    Rng *rng = (Rng *)add(*state, "rng-builtin,id=r");
    Answer a = { 0 }, b = { 0 };

    rng_request(rng, 8, done, &a);
    rng_cancel(rng, &a);
    rng_request(rng, 8, done, &b);
    run_loop(*state, &b);
    assert_int_equal(a.calls, 0);
    assert_int_equal(b.calls, 1);
}

static void test_a_source_may_go_with_requests_pending(void **state)
{
    Rng *rng = (Rng *)add(*state, "rng-builtin,id=r");
    Answer a = { 0 };

    rng_request(rng, 8, done, &a);
    assert_true(object_del(*state, "r", NULL));
    loop_run_once(domain_loop(*state), false);
    assert_int_equal(a.calls, 0);
}

static void test_too_much_is_cut(void **state)
{
    Rng *rng = (Rng *)add(*state, "rng-builtin,id=r");
    Answer a = { 0 };

    rng_request(rng, 1 << 20, done, &a);
    run_loop(*state, &a);
    assert_int_equal(a.length, RNG_REQUEST_MAX);
}

static void test_random_reads_its_file(void **state)
{
    Rng *rng = (Rng *)add(*state, "rng-random,id=r,filename=/dev/zero");
    uint8_t zeroes[32] = { 0 };
    Answer a = { .data = { 1 } };

    rng_request(rng, 32, done, &a);
    run_loop(*state, &a);
    assert_int_equal(a.length, 32);
    assert_memory_equal(a.data, zeroes, 32);
}

static void test_random_names_a_missing_file(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Json) json = keyval_parse("rng-random,id=r,filename=/nonexistent/hwrng", "qom-type", NULL);

    assert_null(object_add(*state, json, &error));
    assert_non_null(strstr(error->message, "/nonexistent/hwrng"));
    assert_non_null(strstr(error->message, "r: "));
}

#define TEST(F) cmocka_unit_test_setup_teardown(F, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_have_no_mistakes),
        TEST(test_unknown_type_names_the_nearest),
        TEST(test_an_object_needs_type_and_id),
        TEST(test_unknown_property_names_the_object),
        TEST(test_a_removed_id_can_be_used_again),
        TEST(test_an_object_in_use_stays),
        TEST(test_finding_checks_the_class),
        TEST(test_iothread_runs_its_loop),
        TEST(test_iothread_polling_can_be_changed),
        TEST(test_only_runtime_properties_change),
        TEST(test_memory_has_the_size_asked_for),
        TEST(test_memory_has_one_user),
        TEST(test_shared_memory_has_a_descriptor),
        TEST(test_memory_in_a_file),
        TEST(test_memory_policies_need_nodes_and_nodes_a_policy),
        TEST(test_huge_page_size_needs_huge_pages),
        TEST(test_persistent_memory_is_checked),
        TEST(test_claiming_what_is_no_memory),
        TEST(test_builtin_answers_later),
        TEST(test_requests_are_answered_in_order),
        TEST(test_a_cancelled_request_is_not_answered),
        TEST(test_a_source_may_go_with_requests_pending),
        TEST(test_too_much_is_cut),
        TEST(test_random_reads_its_file),
        TEST(test_random_names_a_missing_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
