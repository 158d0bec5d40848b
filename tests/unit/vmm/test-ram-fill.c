/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vmm/ram-fill.c: shared memory that comes from a file as it is touched, by whomever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/ram-fill.h"

#define PAGES 1000u
#define SIZE  (PAGES * GUEST_PAGE_SIZE)
#define AT    UINT64_C(0x10000) /* in the file */

/* A page says its number in each word; every fifth is a hole. */
static uint32_t word_of(unsigned page)
{
    return page % 5 == 2 ? 0 : page + 1;
}

static int saved_file(unsigned pages)
{
    char path[] = "/tmp/lodge-test-fill-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(ftruncate(fd, (off_t)(AT + pages * GUEST_PAGE_SIZE)), 0);
    for (unsigned page = 0; page < pages; page++) {
        uint32_t words[GUEST_PAGE_SIZE / 4];

        for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
            words[i] = word_of(page);
        }
        if (words[0]) {
            assert_int_equal(pwrite(fd, words, sizeof(words), (off_t)(AT + page * GUEST_PAGE_SIZE)), sizeof(words));
        }
    }
    return fd;
}

typedef struct Filled {
    RamFill *fill;
    RamBlock *block;
    uint8_t *host;
    int file, memfd;
} Filled;

/* What is there at first is lost. */
static Filled filled_with(RamBackingKind kind, unsigned pages)
{
    RamBacking backing = { .kind = kind, .shared = true, .reserve = true, .dump = true };
    int userfault = ram_fill_open();
    Filled f = { .block = ram_block_new("ram", pages * GUEST_PAGE_SIZE, &backing, NULL) };

    if (userfault == -EPERM || userfault == -ENOSYS) {
        ram_block_unref(f.block);
        skip();
    }
    assert_true(userfault >= 0);
    f.host = ram_block_host(f.block);
    f.memfd = ram_block_fd(f.block, NULL); /* later that would wait */
    memset(f.host, 0xff, pages * GUEST_PAGE_SIZE);
    f.file = saved_file(pages);
    f.fill = ram_fill_new(userfault, f.file);
    assert_non_null(f.fill);
    assert_int_equal(ram_fill_start(f.fill), 0);
    assert_int_equal(ram_fill_add(f.fill, f.block, AT), 0);
    return f;
}

static Filled filled(RamBackingKind kind)
{
    return filled_with(kind, PAGES);
}

static void done(Filled *f)
{
    ram_fill_free(f->fill);
    ram_block_unref(f->block);
    close(f->file);
}

static void assert_page(const uint8_t *host, unsigned page, uint32_t word)
{
    const uint32_t *words = (const uint32_t *)(const void *)(host + page * GUEST_PAGE_SIZE);

    for (unsigned i = 0; i < GUEST_PAGE_SIZE / 4; i++) {
        assert_int_equal(words[i], word);
    }
}

static uint64_t bytes_there(const Filled *f)
{
    struct stat st;

    assert_int_equal(fstat(f->memfd, &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

static void check_all(RamBackingKind kind)
{
    Filled f = filled(kind);

    for (unsigned i = 0; i < PAGES; i++) {
        unsigned page = i * 617 % PAGES;

        assert_page(f.host, page, word_of(page));
    }
    done(&f);
}

static void test_each_page_is_as_in_the_file(void **state)
{
    check_all(RAM_MEMFD);
    check_all(RAM_ANONYMOUS);
}

static void test_the_kernel_finds_them_too(void **state)
{
    Filled f = filled(RAM_MEMFD);
    uint32_t word;
    int pipes[2];

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(write(pipes[1], f.host + 600 * GUEST_PAGE_SIZE, 4), 4);
    assert_int_equal(read(pipes[0], &word, 4), 4);
    assert_int_equal(word, word_of(600));
    assert_int_equal(write(pipes[1], "word", 4), 4);
    assert_int_equal(read(pipes[0], f.host + 701 * GUEST_PAGE_SIZE, 4), 4);
    assert_memory_equal(f.host + 701 * GUEST_PAGE_SIZE, "word", 4);
    assert_int_equal(f.host[701 * GUEST_PAGE_SIZE + 4], word_of(701) & 0xff);
    close(pipes[0]);
    close(pipes[1]);
    done(&f);
}

typedef struct Toucher {
    pthread_t thread;
    uint8_t *host;
    unsigned first, wrong;
} Toucher;

static void *touch(void *opaque)
{
    Toucher *t = opaque;

    for (unsigned i = 0; i < PAGES; i++) {
        unsigned page = (t->first + i * 331) % PAGES;

        t->wrong += __atomic_fetch_add((uint32_t *)(void *)(t->host + page * GUEST_PAGE_SIZE), 0, __ATOMIC_SEQ_CST) !=
                    word_of(page);
    }
    return NULL;
}

static void test_many_may_touch_them_at_once(void **state)
{
    for (unsigned round = 0; round < 20; round++) {
        Filled f = filled(RAM_MEMFD);
        Toucher toucher[4];

        if (round % 2) {
            ram_fill_all(f.fill);
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(toucher); i++) {
            toucher[i] = (Toucher) { .host = f.host, .first = round * 7 + i / 2 * 500 };
            assert_int_equal(pthread_create(&toucher[i].thread, NULL, touch, &toucher[i]), 0);
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(toucher); i++) {
            pthread_join(toucher[i].thread, NULL);
            assert_int_equal(toucher[i].wrong, 0);
        }
        done(&f);
    }
}

static void test_who_gets_the_descriptor_finds_everything_and_holes_stay_holes(void **state)
{
    Filled f = filled(RAM_MEMFD);
    uint32_t *other;

    other = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, ram_block_fd(f.block, NULL), 0);
    assert_true(other != MAP_FAILED);
    assert_true(bytes_there(&f) < SIZE); /* before anybody looks */
    for (unsigned page = 0; page < PAGES; page++) {
        assert_page((uint8_t *)other, page, word_of(page));
    }
    munmap(other, SIZE);
    done(&f);
}

static void test_what_was_given_back_does_not_come_again(void **state)
{
    Filled f = filled(RAM_MEMFD);

    assert_page(f.host, 100, word_of(100));
    assert_int_equal(ram_block_discard(f.block, 100 * GUEST_PAGE_SIZE, 50 * GUEST_PAGE_SIZE), 0);
    for (unsigned page = 100; page < 150; page++) {
        assert_page(f.host, page, 0);
    }
    assert_page(f.host, 99, word_of(99));
    assert_page(f.host, 150, word_of(150));
    done(&f);
}

static Filled coming(void)
{
    Filled f = filled_with(RAM_MEMFD, 8 * PAGES);

    ram_fill_all(f.fill);
    while (bytes_there(&f) == 0) {
        sched_yield();
    }
    return f;
}

/* How many pages come while one is given back. */
static uint64_t come_meanwhile(Filled *f)
{
    uint64_t before = bytes_there(f);

    assert_int_equal(ram_block_discard(f->block, 7 * SIZE, GUEST_PAGE_SIZE), 0);
    return (bytes_there(f) - before) / GUEST_PAGE_SIZE;
}

/* It waits for those that are being read, not for hundreds: but where a busy host interrupts it. */
static void test_who_gives_pages_back_does_not_wait_for_all_of_them(void **state)
{
    unsigned few = 0;

    for (unsigned i = 0; i < 40; i++) {
        Filled f = coming();

        few += come_meanwhile(&f) < 200;
        done(&f);
    }
    assert_true(few >= 32);
}

/* A busy host may have brought them before that began, though hardly ten times. */
static void test_the_end_does_not_wait_for_all_of_them(void **state)
{
    bool before = false;

    for (unsigned tries = 0; tries < 10 && !before; tries++) {
        Filled f = coming();

        g_clear_pointer(&f.fill, ram_fill_free);
        before = bytes_there(&f) < 4 * SIZE;
        done(&f);
    }
    assert_true(before);
}

static void test_a_block_may_come_while_another_is_touched(void **state)
{
    RamBacking backing = { .kind = RAM_MEMFD, .shared = true, .reserve = true, .dump = true };
    RamBlock *second = ram_block_new("second", SIZE, &backing, NULL);
    RamBlock *late = ram_block_new("late", SIZE, &backing, NULL);
    Filled f = filled(RAM_MEMFD);

    assert_page(f.host, 3, word_of(3));
    assert_int_equal(ram_fill_add(f.fill, second, AT), 0);
    assert_page(ram_block_host(second), 4, word_of(4));
    assert_page(f.host, 5, word_of(5));
    ram_block_fd(f.block, NULL); /* all is there */
    assert_int_equal(ram_fill_add(f.fill, late, AT), -EBUSY);
    assert_page(ram_block_host(late), 4, 0);
    assert_page(ram_block_host(second), 900, word_of(900));
    done(&f);
    ram_block_unref(second);
    ram_block_unref(late);
}

static void test_what_another_process_will_ask_for_is_not_filled(void **state)
{
    RamBacking backing = { .kind = RAM_MEMFD, .shared = true, .reserve = true, .dump = true };
    RamBlock *block = ram_block_new("ram", SIZE, &backing, NULL);

    assert_true(ram_block_can_fill(block));
    ram_block_will_share(block);
    assert_false(ram_block_can_fill(block));
    ram_block_unref(block);
}

static void test_a_page_that_cannot_be_read_ends_the_process_with_a_sentence(void **state)
{
    Filled f = filled(RAM_MEMFD);
    int said[2], status;
    char text[1000] = "";
    pid_t pid;

    done(&f);
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) { /* userfaultfd is of the process that opened it */
        dup2(said[1], STDERR_FILENO);
        f = filled(RAM_MEMFD);
        if (ftruncate(f.file, AT + 5 * GUEST_PAGE_SIZE) < 0) {
            _exit(2);
        }
        _exit(f.host[900 * GUEST_PAGE_SIZE] ? 3 : 4);
    }
    close(said[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
    assert_true(read(said[0], text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "its memory 'ram' cannot be read any more at 0x38"));
    close(said[0]);
}

static void test_a_file_that_others_may_have_open_is_not_filled(void **state)
{
    RamBacking backing = { .kind = RAM_FILE, .shared = true, .reserve = true, .dump = true, .path = "/tmp" };
    RamBlock *block = ram_block_new("ram", SIZE, &backing, NULL);

    assert_non_null(block);
    assert_false(ram_block_can_fill(block));
    ram_block_unref(block);
}

static void test_clearing_leaves_what_is_not_there_away(void **state)
{
    RamBacking backing = { .kind = RAM_MEMFD, .shared = true, .reserve = true, .dump = true };
    Filled f = { .block = ram_block_new("ram", SIZE, &backing, NULL) };

    f.host = ram_block_host(f.block);
    f.memfd = ram_block_fd(f.block, NULL);
    memset(f.host + 5 * GUEST_PAGE_SIZE, 0xaa, GUEST_PAGE_SIZE);
    memset(f.host + 7 * GUEST_PAGE_SIZE, 0xaa, GUEST_PAGE_SIZE);
    ram_block_clear(f.block, 0, 7 * GUEST_PAGE_SIZE, true);
    assert_int_equal(bytes_there(&f), 2 * GUEST_PAGE_SIZE);
    assert_page(f.host, 5, 0);
    assert_page(f.host, 7, 0xaaaaaaaa);
    ram_block_unref(f.block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_page_is_as_in_the_file),
        cmocka_unit_test(test_the_kernel_finds_them_too),
        cmocka_unit_test(test_many_may_touch_them_at_once),
        cmocka_unit_test(test_who_gets_the_descriptor_finds_everything_and_holes_stay_holes),
        cmocka_unit_test(test_what_was_given_back_does_not_come_again),
        cmocka_unit_test(test_who_gives_pages_back_does_not_wait_for_all_of_them),
        cmocka_unit_test(test_the_end_does_not_wait_for_all_of_them),
        cmocka_unit_test(test_a_block_may_come_while_another_is_touched),
        cmocka_unit_test(test_what_another_process_will_ask_for_is_not_filled),
        cmocka_unit_test(test_a_page_that_cannot_be_read_ends_the_process_with_a_sentence),
        cmocka_unit_test(test_a_file_that_others_may_have_open_is_not_filled),
        cmocka_unit_test(test_clearing_leaves_what_is_not_there_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
