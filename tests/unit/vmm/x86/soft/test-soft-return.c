/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Near returns of 64-bit code (exec-branch.c): they lead where the stack says, whatever calls noted of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/vm.h"

#define FUNCTION (RIG_CODE + 0x1000) /* on a page of its own */
#define CALLER   UINT64_C(0x400000)  /* a page of 4 KiB: CALLER_PTE says where it is */
#define ONE      UINT64_C(0x300000)
#define OTHER    UINT64_C(0x301000)
#define PT       UINT64_C(0x30000)
#define PRESENT  7 /* and writable, user */

#define PUT(rig, address, ...)                                      \
    do {                                                            \
        static const uint8_t bytes_[] = { __VA_ARGS__ };            \
                                                                    \
        memcpy((rig)->host + (address), bytes_, sizeof(bytes_));    \
    } while (0)

static void put64(SoftRig *rig, uint64_t gpa, uint64_t value)
{
    memcpy(rig->host + gpa, &value, sizeof(value));
}

/* Until UD2. */
static void run_from(SoftRig *rig, uint64_t rip)
{
    rig->cpu->rip = rip;
    rig->cpu->gpr[X86_RSP] = RIG_STACK;
    rig->cpu->gpr[X86_RAX] = rig->cpu->gpr[X86_RBX] = 0;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_UD);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK);
}

static void test_a_return_needs_no_place_in_the_jump_cache(void **state)
{
    SoftRig *rig = *state;
    uint64_t lookups;

    /* mov ecx, 1000; 1: call FUNCTION; dec ecx; jnz 1b; ud2 */
    PUT(rig, RIG_CODE, 0xb9, 0xe8, 0x03, 0, 0, 0xe8, 0xf6, 0x0f, 0, 0, 0xff, 0xc9, 0x75, 0xf7, 0x0f, 0x0b);
    PUT(rig, FUNCTION, 0xff, 0xc0, 0xc3); /* inc eax; ret */
    for (unsigned i = 0; i < 2; i++) {
        run_from(rig, RIG_CODE);
        assert_int_equal(rig->cpu->gpr[X86_RAX], 1000);
    }
    for (unsigned i = 0; i < JUMP_CACHE; i++) {
        rig->cpu->jumps[i].tag = UINT64_MAX;
    }
    lookups = rig->cpu->count[COUNT_LOOKUPS];
    run_from(rig, RIG_CODE);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 1000);
    /* The first block and the function. */
    assert_int_equal(rig->cpu->count[COUNT_LOOKUPS] - lookups, 2);
}

static void test_returns_of_a_deep_recursion_find_their_ways(void **state)
{
    SoftRig *rig = *state;

    /* mov ecx, 1000; call FUNCTION; ud2 */
    PUT(rig, RIG_CODE, 0xb9, 0xe8, 0x03, 0, 0, 0xe8, 0xf6, 0x0f, 0, 0, 0x0f, 0x0b);
    /* dec ecx; jz 2f; call FUNCTION; inc eax; 2: ret */
    PUT(rig, FUNCTION, 0xff, 0xc9, 0x74, 0x07, 0xe8, 0xf7, 0xff, 0xff, 0xff, 0xff, 0xc0, 0xc3);
    for (unsigned i = 0; i < 3; i++) {
        run_from(rig, RIG_CODE);
        assert_int_equal(rig->cpu->gpr[X86_RAX], 999);
    }
}

static void test_a_return_may_go_elsewhere(void **state)
{
    SoftRig *rig = *state;

    /* mov ecx, 100; 1: lea rdx, [rip + 7]; call FUNCTION; inc eax; inc ebx; dec ecx; jnz 1b; ud2 */
    PUT(rig, RIG_CODE, 0xb9, 100, 0, 0, 0, 0x48, 0x8d, 0x15, 7, 0, 0, 0, 0xe8, 0xef, 0x0f, 0, 0, 0xff, 0xc0, 0xff, 0xc3,
        0xff, 0xc9, 0x75, 0xec, 0x0f, 0x0b);
    PUT(rig, FUNCTION, 0x48, 0x89, 0x14, 0x24, 0xc3); /* mov [rsp], rdx; ret */
    run_from(rig, RIG_CODE);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0);
    assert_int_equal(rig->cpu->gpr[X86_RBX], 100);
}

static void test_a_return_to_code_that_was_overwritten_runs_the_new(void **state)
{
    SoftRig *rig = *state;

    PUT(rig, RIG_CODE, 0xe8, 0xfb, 0x0f, 0, 0, 0xb3, 0, 0x0f, 0x0b); /* call FUNCTION; mov bl, 0; ud2 */
    PUT(rig, FUNCTION, 0x88, 0x17, 0xc3);                           /* mov [rdi], dl; ret */
    rig->cpu->gpr[X86_RDI] = RIG_CODE + 6;
    for (unsigned i = 1; i < 6; i++) {
        rig->cpu->gpr[X86_RDX] = i;
        run_from(rig, RIG_CODE);
        assert_int_equal(rig->cpu->gpr[X86_RBX], i);
    }
}

/* Where an interrupt comes while a return is to be linked, its handler must not become what the call returns to. */
static void test_an_interrupt_at_a_return_leads_no_later_one_astray(void **state)
{
    enum { VECTOR = 0x40, PLAIN = 0x50, WITH_STI = 0x60, HANDLER = 0x80 };
    SoftRig *rig = *state;
    const uint64_t gate = RIG_DATA + VECTOR * 16;

    /* call PLAIN; call 1f; inc ebx; ud2 ... 1: jmp rdx */
    PUT(rig, RIG_CODE, 0xe8, 0x4b, 0, 0, 0, 0xe8, 0x36, 0, 0, 0, 0xff, 0xc3, 0x0f, 0x0b);
    PUT(rig, RIG_CODE + 0x40, 0xff, 0xe2);
    PUT(rig, RIG_CODE + PLAIN, 0xc3);                      /* ret */
    PUT(rig, RIG_CODE + WITH_STI, 0xfb, 0xc3);             /* sti; ret */
    PUT(rig, RIG_CODE + HANDLER, 0xff, 0xc0, 0x48, 0xcf);  /* inc eax; iretq */
    put64(rig, gate, ((RIG_CODE + HANDLER) & 0xffff) | (uint64_t)rig->cpu->segment[X86_CS].selector << 16 |
                         UINT64_C(0x8e00) << 32 | (RIG_CODE + HANDLER) >> 16 << 48);
    put64(rig, gate + 8, 0);
    rig->cpu->idt = (X86Table){ .base = RIG_DATA, .limit = 0xfff };
    for (unsigned i = 0; i < 3; i++) {
        bool comes = i == 0;

        rig->cpu->eflags &= ~(uint32_t)EFLAGS_IF;
        rig->cpu->gpr[X86_RDX] = RIG_CODE + (comes ? WITH_STI : PLAIN);
        rig->next_vector = VECTOR;
        if (comes) {
            soft_signal(rig->cpu, SOFT_INTERRUPT);
        }
        run_from(rig, RIG_CODE);
        assert_int_equal(rig->cpu->gpr[X86_RAX], comes);
        assert_int_equal(rig->cpu->gpr[X86_RBX], 1);
    }
}

/* ---- the caller's page goes while the function runs ---- */

/* Two pages that differ in what is done after the call. */
static void put_callers(SoftRig *rig)
{
    /* mov [r8], eax; push rax; pop rax; call RIG_CODE; mov ebx, 1; ud2 */
    PUT(rig, ONE, 0x41, 0x89, 0x00, 0x50, 0x58, 0xe8, 0xf6, 0xff, 0xcf, 0xff, 0xbb, 1, 0, 0, 0, 0x0f, 0x0b);
    PUT(rig, OTHER, 0x41, 0x89, 0x00, 0x50, 0x58, 0xe8, 0xf6, 0xff, 0xcf, 0xff, 0xbb, 2, 0, 0, 0, 0x0f, 0x0b);
    put64(rig, RIG_PML4 + 0x2000 + CALLER / (2 << 20) * 8, PT | PRESENT);
    put64(rig, PT, ONE | PRESENT);
    soft_tlb_flush(rig->cpu);
    rig->cpu->gpr[X86_R8] = RIG_DATA;
}

/* What the caller did after the call, in the course of which its page became `frame`. */
static uint64_t returned_into(SoftRig *rig, uint64_t frame)
{
    rig->cpu->gpr[X86_RDX] = frame | PRESENT;
    rig->cpu->gpr[X86_RDI] = PT;
    rig->cpu->gpr[X86_RSI] = CALLER;
    run_from(rig, CALLER);
    return rig->cpu->gpr[X86_RBX];
}

static void goes_from_one_to_the_other(SoftRig *rig)
{
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(returned_into(rig, i / 4 & 1 ? OTHER : ONE), i / 4 & 1 ? 2 : 1);
    }
}

static void test_a_return_to_a_page_that_invlpg_dropped_finds_the_new_one(void **state)
{
    SoftRig *rig = *state;

    put_callers(rig);
    /* mov [rdi], rdx; invlpg [rsi]; push rax; pop rax; ret */
    PUT(rig, RIG_CODE, 0x48, 0x89, 0x17, 0x0f, 0x01, 0x3e, 0x50, 0x58, 0xc3);
    goes_from_one_to_the_other(rig);
}

static void test_a_return_to_another_address_space_finds_its_page(void **state)
{
    SoftRig *rig = *state;

    put_callers(rig);
    /* mov [rdi], rdx; mov rcx, cr3; mov cr3, rcx; push rax; pop rax; ret */
    PUT(rig, RIG_CODE, 0x48, 0x89, 0x17, 0x0f, 0x20, 0xd9, 0x0f, 0x22, 0xd9, 0x50, 0x58, 0xc3);
    goes_from_one_to_the_other(rig);
}

/* A device that puts other RAM in the place of the page it is written from. */
typedef struct Swap { SoftRig *rig; MemoryRegion device, ram; bool on; } Swap;

static uint64_t swap_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void swap_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Swap *s = opaque;

    if (s->on) {
        memory_add(&s->rig->root, ONE, &s->ram, 1);
    }
}

static void test_a_return_to_memory_that_went_before_the_call_finds_what_is_there(void **state)
{
    static const MemoryOps ops = { .read = swap_read, .write = swap_write };
    SoftRig *rig = *state;
    Swap s = { .rig = rig };
    uint64_t done;

    put_callers(rig);
    PUT(rig, RIG_CODE, 0xc3); /* ret */
    memory_region_init_io(&s.device, "swap", 0x1000, &ops, &s, NULL);
    memory_region_init_ram(&s.ram, "other", rig->block, OTHER, 0x1000);
    memory_add(&rig->root, RIG_DATA, &s.device, 1);
    for (unsigned i = 0; i < 4; i++) { /* what is noted needs the stack's page in the TLB */
        assert_int_equal(returned_into(rig, ONE), 1);
    }
    s.on = true;
    done = returned_into(rig, ONE);
    memory_remove(&s.ram);
    memory_remove(&s.device);
    memory_region_finish(&s.ram);
    memory_region_finish(&s.device);
    assert_int_equal(done, 2);
}

#define TEST(NAME) cmocka_unit_test_setup_teardown(test_##NAME, soft_rig_setup_64, soft_rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_return_needs_no_place_in_the_jump_cache),
        TEST(returns_of_a_deep_recursion_find_their_ways),
        TEST(a_return_may_go_elsewhere),
        TEST(a_return_to_code_that_was_overwritten_runs_the_new),
        TEST(an_interrupt_at_a_return_leads_no_later_one_astray),
        TEST(a_return_to_a_page_that_invlpg_dropped_finds_the_new_one),
        TEST(a_return_to_another_address_space_finds_its_page),
        TEST(a_return_to_memory_that_went_before_the_call_finds_what_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
