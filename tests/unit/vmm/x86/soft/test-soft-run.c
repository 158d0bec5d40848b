/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run loop and the code store: chains of blocks, code that changes under them, room
 * that runs out, kicks, and several vCPUs at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/epoch.h"
#include "vmm/x86/soft/vm.h"

static void assert_ends_in(SoftRig *rig, unsigned vector)
{
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, vector);
}

static void test_a_loop_runs_to_its_end_and_counts_its_instructions(void **state)
{
    /* mov ecx, 1000; 1: dec ecx; jnz 1b; ud2 */
    static const uint8_t code[] = { 0xb9, 0xe8, 0x03, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 0);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 9);
    assert_int_equal(rig->cpu->instructions, 2001);
}

static void test_a_store_into_the_running_block_counts_at_once(void **state)
{
    /* mov byte [rip + 1], 0x22 (over the 0x11); mov al, 0x11; ud2 */
    static const uint8_t code[] = { 0xc6, 0x05, 0x01, 0, 0, 0, 0x22, 0xb0, 0x11, 0x0f, 0x0b };
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RAX] & 0xff, 0x22);
    assert_int_equal(rig->cpu->instructions, 2);
}

static void test_a_write_by_a_device_replaces_what_was_decoded(void **state)
{
    static const uint8_t code[] = { 0xb0, 0x11, 0x0f, 0x0b }; /* mov al, 0x11; ud2 */
    const uint8_t other = 0x33;
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    assert_ends_in(rig, VECTOR_UD);
    memory_write(rig->memory, RIG_CODE + 1, &other, 1);
    rig->cpu->rip = RIG_CODE;
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RAX] & 0xff, 0x33);
}

static void test_an_instruction_may_cross_a_page(void **state)
{
    static const uint8_t code[] = { 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 0x0f, 0x0b }; /* mov rax, imm64; ud2 */
    const uint64_t start = RIG_CODE + 0x1000 - 3;
    SoftRig *rig = *state;

    memcpy(rig->host + start, code, sizeof(code));
    rig->cpu->rip = start;
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RAX], UINT64_C(0x0807060504030201));
    /* The part on the second page changes. */
    rig->host[RIG_CODE + 0x1000 + 6] = 9;
    soft_code_written(rig->vm, NULL, rig->host + RIG_CODE + 0x1006, 1);
    rig->cpu->rip = start;
    assert_ends_in(rig, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RAX], UINT64_C(0x0907060504030201));
}

static void test_the_limit_ends_after_that_many_instructions(void **state)
{
    static const uint8_t code[] = { 0xff, 0xc0, 0xeb, 0xfc }; /* 1: inc eax; jmp 1b */
    SoftRig *rig = *state;

    soft_rig_code(rig, code, sizeof(code));
    soft_cpu_limit(rig->cpu, 1001);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_KICKED);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 501);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 2);
}

static void *kick_later(void *opaque)
{
    usleep(20000);
    soft_signal(opaque, SOFT_KICK);
    return NULL;
}

static void test_a_kick_ends_an_endless_loop(void **state)
{
    static const uint8_t code[] = { 0xeb, 0xfe };
    SoftRig *rig = *state;
    pthread_t thread;

    soft_rig_code(rig, code, sizeof(code));
    assert_int_equal(pthread_create(&thread, NULL, kick_later, rig->cpu), 0);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_KICKED);
    pthread_join(thread, NULL);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
}

/* More code than the store holds: each page of 8 MiB has a block, and all are run twice. */
static void test_room_for_code_is_made_by_dropping_the_oldest(void **state)
{
    /* add eax, 1; 62 times nop; jmp to the next page's start */
    uint8_t page[128];
    SoftRig *rig = *state;
    const uint64_t pages = 2048, end = RIG_DATA + pages * 0x1000;

    memset(page, 0x90, sizeof(page));
    memcpy(page, "\x83\xc0\x01", 3);
    for (uint64_t i = 0; i < pages; i++) {
        const int32_t delta = 0x1000 - 70;

        page[65] = 0xe9;
        memcpy(page + 66, &delta, 4);
        memcpy(rig->host + RIG_DATA + i * 0x1000, page, sizeof(page));
    }
    memcpy(rig->host + end, "\x0f\x0b", 2);
    for (unsigned round = 1; round <= 16; round++) {
        rig->cpu->rip = RIG_DATA;
        assert_ends_in(rig, VECTOR_UD);
        assert_int_equal(rig->cpu->gpr[X86_RAX], round * pages);
        /* The whole of it is written over with the same, so each round decodes anew. */
        soft_code_written(rig->vm, NULL, rig->host + RIG_DATA, pages * 0x1000);
    }
}

typedef struct Other { SoftRig *rig; SoftCpu *cpu; uint64_t rip; } Other;

static void *run_other(void *opaque)
{
    Other *other = opaque;

    epoch_thread_begin();
    soft_cpu_begin(other->cpu);
    soft_cpu_trap(other->cpu, true);
    assert_int_equal(soft_run(other->cpu), SOFT_EXIT_EXCEPTION);
    epoch_thread_end();
    return NULL;
}

static void run_beside(SoftRig *rig, Other *other)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_other, other), 0);
    assert_ends_in(rig, VECTOR_UD);
    epoch_offline();
    pthread_join(thread, NULL);
    epoch_online();
    soft_cpu_free(other->cpu);
}

static void both_run(SoftRig *rig, const uint8_t *code, unsigned n)
{
    Other other = { rig, soft_rig_second_cpu(rig), RIG_CODE };

    soft_rig_code(rig, code, n);
    run_beside(rig, &other);
}

static void test_locked_additions_of_two_vcpus_lose_nothing(void **state)
{
    /* mov ecx, 200000; 1: lock inc qword [0x200000]; dec ecx; jnz 1b; ud2 */
    static const uint8_t code[] = { 0xb9, 0x40, 0x0d, 0x03, 0, 0xf0, 0x48, 0xff, 0x04, 0x25, 0, 0, 0x20, 0,
                                    0xff, 0xc9, 0x75, 0xf3, 0x0f, 0x0b };
    SoftRig *rig = *state;
    uint64_t sum;

    both_run(rig, code, sizeof(code));
    memcpy(&sum, rig->host + RIG_DATA, 8);
    assert_int_equal(sum, 400000);
}

static void test_locked_additions_across_pages_lose_nothing(void **state)
{
    /* mov ecx, 2000; 1: lock inc qword [0x200ffc]; dec ecx; jnz 1b; ud2 */
    static const uint8_t code[] = { 0xb9, 0xd0, 0x07, 0, 0, 0xf0, 0x48, 0xff, 0x04, 0x25, 0xfc, 0x0f, 0x20, 0,
                                    0xff, 0xc9, 0x75, 0xf3, 0x0f, 0x0b };
    SoftRig *rig = *state;
    uint64_t sum;

    both_run(rig, code, sizeof(code));
    memcpy(&sum, rig->host + RIG_DATA + 0xffc, 8);
    assert_int_equal(sum, 4000);
}

/* Each vCPU changes an instruction that both execute, and then executes it: it may see its own change or the other's,
 * but never what was there before both. */
static void test_code_changed_by_another_vcpu_is_seen(void **state)
{
    /* mov ecx, 20000; 1: mov byte [rip + 2 + 1], cl; jmp +0; mov al, 0; dec ecx; jnz 1b; ud2 */
    static const uint8_t code[] = { 0xb9, 0x20, 0x4e, 0, 0, 0x88, 0x0d, 0x03, 0, 0, 0, 0xeb, 0, 0xb0, 0,
                                    0xff, 0xc9, 0x75, 0xf2, 0x0f, 0x0b };
    SoftRig *rig = *state;

    both_run(rig, code, sizeof(code));
    /* The last of all stores wrote 1. */
    assert_int_equal(rig->host[RIG_CODE + 14], 1);
    assert_int_equal(rig->cpu->gpr[X86_RCX], 0);
}

#define CHANGES 200000

/* One vCPU changes an instruction and then says so; the other, which has heard it and serializes (SDM 3-8.1.3),
 * runs none that is older, though its links led to the block. */
static void test_who_has_heard_of_a_change_of_code_runs_no_older(void **state)
{
    /* 0: mov edi, [0x200000]; xor eax, eax; cpuid; jmp 1f; 1: mov ebx, 0, aligned; cmp ebx, edi; jb 2f;
     * cmp edi, CHANGES; jne 0b; ud2; 2: int3 */
    static const uint8_t reads[] = { 0x8b, 0x3c, 0x25, 0, 0, 0x20, 0, 0x31, 0xc0, 0x0f, 0xa2, 0xeb, 2, 0x90, 0x90,
                                     0xbb, 0, 0, 0, 0, 0x39, 0xfb, 0x72, 10, 0x81, 0xff, 0x40, 0x0d, 3, 0,
                                     0x75, 0xe0, 0x0f, 0x0b, 0xcc };
    /* xor ecx, ecx; 1: inc ecx; mov [0x100010], ecx; mov [0x200000], ecx; cmp ecx, CHANGES; jne 1b; ud2 */
    static const uint8_t writes[] = { 0x31, 0xc9, 0xff, 0xc1, 0x89, 0x0c, 0x25, 0x10, 0, 0x10, 0,
                                      0x89, 0x0c, 0x25, 0, 0, 0x20, 0, 0x81, 0xf9, 0x40, 0x0d, 3, 0, 0x75, 0xe8,
                                      0x0f, 0x0b };
    SoftRig *rig = *state;
    Other other = { rig, soft_rig_second_cpu(rig), RIG_CODE + 0x10000 };

    other.cpu->rip = other.rip;
    memcpy(rig->host + other.rip, writes, sizeof(writes));
    soft_rig_code(rig, reads, sizeof(reads));
    run_beside(rig, &other);
}

#define T(name) cmocka_unit_test_setup_teardown(name, soft_rig_setup_64, soft_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_loop_runs_to_its_end_and_counts_its_instructions),
        T(test_a_store_into_the_running_block_counts_at_once),
        T(test_a_write_by_a_device_replaces_what_was_decoded),
        T(test_an_instruction_may_cross_a_page),
        T(test_the_limit_ends_after_that_many_instructions),
        T(test_a_kick_ends_an_endless_loop),
        T(test_room_for_code_is_made_by_dropping_the_oldest),
        T(test_locked_additions_of_two_vcpus_lose_nothing),
        T(test_locked_additions_across_pages_lose_nothing),
        T(test_code_changed_by_another_vcpu_is_seen),
        T(test_who_has_heard_of_a_change_of_code_runs_no_older),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
