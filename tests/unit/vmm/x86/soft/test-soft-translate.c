/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translated blocks (translate.h): that they are what runs, where they are left and for whom,
 * and the memory they are in.  What their instructions compute is soft-int's and soft-diff's to compare.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/translate.h"

#define PUT(rig, address, ...)                                      \
    do {                                                            \
        static const uint8_t bytes_[] = { __VA_ARGS__ };            \
                                                                    \
        memcpy((rig)->host + (address), bytes_, sizeof(bytes_));    \
    } while (0)

static void run_from(SoftRig *rig, uint64_t rip)
{
    rig->cpu->rip = rip;
    rig->cpu->gpr[X86_RSP] = RIG_STACK;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_UD);
}

static uint64_t translated(const SoftRig *rig)
{
    return rig->vm->translator ? rig->vm->translator->translated : 0;
}

/* The handler of a block's first op is the code. */
static bool is_code(const SoftRig *rig, const Block *block)
{
    const SoftTranslator *t = rig->vm->translator;
    uintptr_t at = (uintptr_t)block->op[0].fn;

    return at >= (uintptr_t)t->run && at < (uintptr_t)t->run + t->bytes;
}

static Block *block_at(const SoftRig *rig, uint64_t rip)
{
    const JumpEntry *entry = soft_jump_entry(rig->cpu, rip);

    assert_int_equal(entry->tag, rip ^ rig->cpu->jump_tag);
    return entry->block;
}

/* ---- that they run ---- */

static void test_blocks_become_code(void **state)
{
    SoftRig *rig = *state;
    uint64_t before;

    /* mov eax, 5; 1: dec eax; jnz 1b; ud2 */
    PUT(rig, RIG_CODE, 0xb8, 5, 0, 0, 0, 0xff, 0xc8, 0x75, 0xfc, 0x0f, 0x0b);
    run_from(rig, RIG_CODE);
    assert_true(is_code(rig, block_at(rig, RIG_CODE)));
    assert_int_equal(translated(rig), 3);
    before = rig->cpu->count[COUNT_LOOKUPS];
    run_from(rig, RIG_CODE);
    assert_int_equal(rig->cpu->count[COUNT_LOOKUPS] - before, 1); /* the rest is linked */
}

static void test_without_a_translator_blocks_are_interpreted(void **unused)
{
    SoftRig *rig = soft_rig_new_with(0, false);

    soft_rig_enter_64(rig, 0);
    PUT(rig, RIG_CODE, 0xb8, 5, 0, 0, 0, 0xff, 0xc8, 0x75, 0xfc, 0x0f, 0x0b);
    run_from(rig, RIG_CODE);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0);
    assert_int_equal(translated(rig), 0);
    soft_rig_free(rig);
}

static void test_no_page_is_writable_and_executable(void **state)
{
    SoftRig *rig = *state;
    const SoftTranslator *t = rig->vm->translator;
    g_autofree char *maps = NULL, *write = g_strdup_printf("%lx-", (unsigned long)(uintptr_t)t->write);
    g_autofree char *run = g_strdup_printf("%lx-", (unsigned long)(uintptr_t)t->run);

    assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    assert_non_null(strstr(maps, write));
    assert_non_null(strstr(maps, run));
    assert_memory_equal(strchr(strstr(maps, write), ' '), " rw-s", 5);
    assert_memory_equal(strchr(strstr(maps, run), ' '), " r-xs", 5);
}

/* ---- leaving ---- */

static void test_a_store_into_the_own_block_counts_at_the_next_instruction(void **state)
{
    SoftRig *rig = *state;

    for (unsigned i = 0; i < 3; i++) {
        /* lea rbx, [rip + 2]; mov byte [rbx + 1], 7; 1: mov al, 1; ud2, where rbx is 1b */
        PUT(rig, RIG_CODE, 0x48, 0x8d, 0x1d, 4, 0, 0, 0, 0xc6, 0x43, 1, 7, 0xb0, 1, 0x0f, 0x0b);
        soft_code_written(rig->vm, NULL, rig->host + RIG_CODE, 16);
        run_from(rig, RIG_CODE);
        assert_int_equal(rig->cpu->gpr[X86_RAX] & 0xff, 7);
    }
}

static void test_a_push_into_the_own_block_counts_at_the_next_instruction(void **state)
{
    SoftRig *rig = *state;

    for (unsigned i = 0; i < 3; i++) {
        /* lea rsp, [rip + 24 + 2]; mov rax, "mov al, 7; nops"; push rax; push rax; push rax; 1: mov al, 1; ... nops; ud2 */
        PUT(rig, RIG_CODE, 0x48, 0x8d, 0x25, 0x25, 0, 0, 0,
            0x48, 0xb8, 0xb0, 7, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x50, 0x50, 0x50,
            0xb0, 1, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90,
            0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x0f, 0x0b);
        soft_code_written(rig->vm, NULL, rig->host + RIG_CODE, 64);
        run_from(rig, RIG_CODE);
        assert_int_equal(rig->cpu->gpr[X86_RAX] & 0xff, 7);
    }
}

/* XADD has no template: its handler is called. */
static void test_a_handler_that_stores_into_the_own_block_is_followed(void **state)
{
    SoftRig *rig = *state;

    for (unsigned i = 0; i < 3; i++) {
        /* lea rbx, [rip + 6]; mov cl, 6; xadd [rbx + 1], cl; 1: mov al, 1; ud2 */
        PUT(rig, RIG_CODE, 0x48, 0x8d, 0x1d, 6, 0, 0, 0, 0xb1, 6, 0x0f, 0xc0, 0x4b, 1, 0xb0, 1, 0x0f, 0x0b);
        soft_code_written(rig->vm, NULL, rig->host + RIG_CODE, 32);
        run_from(rig, RIG_CODE);
        assert_int_equal(rig->cpu->gpr[X86_RAX] & 0xff, 7);
    }
}

/* Flags that an op left in the host's are not lost when its operand takes the slow path. */
static void test_flags_survive_a_miss(void **state)
{
    SoftRig *rig = *state;

    /* add qword [rbx], -1; sete al; setb cl; ud2 */
    PUT(rig, RIG_CODE, 0x48, 0x83, 0x03, 0xff, 0x0f, 0x94, 0xc0, 0x0f, 0x92, 0xc1, 0x0f, 0x0b);
    for (unsigned i = 0; i < 4; i++) {
        uint64_t at = RIG_DATA + (i < 2 ? 0 : 0xffc); /* twice in a page, twice across two */

        memset(rig->host + at, 0, 8);
        rig->host[at] = 1;
        rig->cpu->gpr[X86_RBX] = at;
        rig->cpu->gpr[X86_RAX] = rig->cpu->gpr[X86_RCX] = 0;
        run_from(rig, RIG_CODE);
        assert_int_equal(rig->cpu->gpr[X86_RAX], 1);
        assert_int_equal(rig->cpu->gpr[X86_RCX], 1);
    }
}

static void test_a_loop_is_left_when_something_wants_attention(void **state)
{
    SoftRig *rig = *state;

    PUT(rig, RIG_CODE, 0xeb, 0xfe); /* jmp itself */
    rig->cpu->rip = RIG_CODE;
    soft_cpu_limit(rig->cpu, 1000);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_KICKED);
    soft_cpu_limit(rig->cpu, 0);
    soft_signal(rig->cpu, SOFT_KICK);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_KICKED);
    assert_int_equal(rig->cpu->rip, RIG_CODE);
}

/* 2^31 - 1 bytes from its end: more than that from the block's start. */
static void test_a_branch_leads_as_far_as_it_says(void **state)
{
    static const struct { uint8_t length, bytes[12]; } codes[] = {
        { 5, { 0xe9, 0xff, 0xff, 0xff, 0x7f } },                         /* jmp */
        { 7, { 0x50, 0x58, 0xe8, 0xff, 0xff, 0xff, 0x7f } },             /* push rax; pop rax; call */
        { 8, { 0x31, 0xc0, 0x0f, 0x84, 0xff, 0xff, 0xff, 0x7f } },       /* xor eax, eax; jz */
    };
    SoftRig *rig = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++) {
        uint64_t at = RIG_CODE + 0x100 * i;

        memcpy(rig->host + at, codes[i].bytes, codes[i].length);
        rig->cpu->rip = at;
        assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
        assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_PF);
        assert_int_equal(soft_cpu_exception(rig->cpu)->address, at + codes[i].length + INT32_MAX);
    }
}

/* Code that runs on to 2^47 ends there: the jump cache must not take that address for the one with all bits above set,
 * whatever the tag was that this was noted with. */
static void test_code_ends_where_addresses_do(void **state)
{
    const uint64_t high = UINT64_C(0xffff800000000000);
    SoftRig *rig = *state;
    const JumpEntry *entry = soft_jump_entry(rig->cpu, high);
    uint64_t *tables = (uint64_t *)(rig->host + RIG_PML4), other;

    tables[256] = tables[0];                          /* high is physical 0 */
    tables[255] = (RIG_PML4 + 0x3000) | 7;
    tables[3 * 512 + 511] = (RIG_PML4 + 0x4000) | 7;
    tables[4 * 512 + 511] = RIG_DATA | 0x87;          /* the 2 MiB below 2^47 */
    PUT(rig, 0, 0x0f, 0x0b);                          /* ud2 */
    memset(rig->host + RIG_DATA + 0x1ffffe, 0x90, 2); /* nop; nop */
    for (unsigned i = 0; i < 0x7000; i++) {
        soft_tlb_flush(rig->cpu);
    }
    run_from(rig, high);
    assert_int_equal(entry->tag, high ^ rig->cpu->jump_tag);
    other = rig->cpu->jump_tag ^ UINT64_C(0xffff000000000000);
    while (rig->cpu->jump_tag != other && entry->tag != UINT64_MAX) {
        soft_tlb_flush(rig->cpu);
    }
    rig->cpu->rip = UINT64_C(0x00007ffffffffffe);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_GP);
    assert_int_equal(rig->cpu->rip, UINT64_C(0x0000800000000000));
}

/* ---- links ---- */

/* Where the block's code goes on by that link. */
static const uint8_t *leads_to(const SoftRig *rig, const Block *block, unsigned link)
{
    const uint8_t *code = (const uint8_t *)(uintptr_t)block->op[0].fn;
    uint32_t end = ((const TranslationHead *)(const void *)code - 1)->link[link];
    int32_t distance;

    assert_true(is_code(rig, block) && end);
    memcpy(&distance, code + end - 4, 4);
    return code + end + distance;
}

static void test_code_leads_where_its_block_does(void **state)
{
    SoftRig *rig = *state;
    Block *from, *to;

    /* mov eax, 1; jmp 1f; nop; 1: add eax, 2; ud2 */
    PUT(rig, RIG_CODE, 0xb8, 1, 0, 0, 0, 0xeb, 1, 0x90, 0x83, 0xc0, 2, 0x0f, 0x0b);
    run_from(rig, RIG_CODE);
    from = block_at(rig, RIG_CODE);
    to = block_at(rig, RIG_CODE + 8);
    assert_ptr_equal(leads_to(rig, from, 0), soft_translation(rig->vm, to));
    rig->host[RIG_CODE + 10] = 6;
    soft_code_written(rig->vm, NULL, rig->host + RIG_CODE + 10, 1);
    assert_ptr_not_equal(leads_to(rig, from, 0), soft_translation(rig->vm, to));
    run_from(rig, RIG_CODE);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 7);
    assert_ptr_equal(leads_to(rig, from, 0), soft_translation(rig->vm, block_at(rig, RIG_CODE + 8)));
}

/* Code at RIG_CODE and RIG_DATA (rdi), of which one writes ecx, counted down, into a MOV AL of the other, and what
 * follows adds it up. */
static void check_sum_of_what_is_written(SoftRig *rig)
{
    rig->cpu->gpr[X86_RAX] = rig->cpu->gpr[X86_RBX] = 0;
    rig->cpu->gpr[X86_RCX] = 100;
    rig->cpu->gpr[X86_RDI] = RIG_DATA;
    rig->cpu->gpr[X86_RSI] = RIG_CODE;
    run_from(rig, RIG_CODE);
    assert_int_equal(rig->cpu->gpr[X86_RBX], 99 * 100 / 2);
}

/* The jump cache still knows it, and code goes there without a look at the block. */
static void test_code_that_was_written_is_not_entered(void **state)
{
    SoftRig *rig = *state;

    /* 1: dec ecx; js 2f; mov [rdi + 1], cl; jmp rdi; 2: ud2 */
    PUT(rig, RIG_CODE, 0xff, 0xc9, 0x78, 5, 0x88, 0x4f, 1, 0xff, 0xe7, 0x0f, 0x0b);
    /* rdi: mov al, ...; add ebx, eax; jmp rsi, which is 1b */
    PUT(rig, RIG_DATA, 0xb0, 0, 0x01, 0xc3, 0xff, 0xe6);
    check_sum_of_what_is_written(rig);
}

/* A function that writes where it will return to. */
static void test_a_return_finds_what_was_written(void **state)
{
    SoftRig *rig = *state;

    /* 1: dec ecx; js 3f; call rdi; 2: mov al, ...; add ebx, eax; jmp 1b; 3: ud2 */
    PUT(rig, RIG_CODE, 0xff, 0xc9, 0x78, 8, 0xff, 0xd7, 0xb0, 0, 0x01, 0xc3, 0xeb, 0xf4, 0x0f, 0x0b);
    /* rdi: mov [rsi + 7], cl; ret */
    PUT(rig, RIG_DATA, 0x88, 0x4e, 7, 0xc3);
    check_sum_of_what_is_written(rig);
}

/* Code of another mode is another block's: here SSE instructions raise #NM once CR0.TS is set. */
static void test_code_of_another_mode_is_not_entered(void **state)
{
    static const struct { uint8_t length, bytes[8]; } codes[] = {
        { 5, { 0x0f, 0x22, 0xc0, 0xff, 0xe6 } }, /* mov cr0, rax; jmp rsi */
        { 4, { 0x0f, 0x22, 0xc0, 0xc3 } },       /* mov cr0, rax; ret */
    };
    SoftRig *rig = *state;
    uint64_t cr0 = rig->cpu->cr0;

    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++) {
        uint64_t at = RIG_CODE + 0x100 * i;

        /* call rdi; 1: movaps xmm0, xmm0; ud2 */
        PUT(rig, at, 0xff, 0xd7, 0x0f, 0x28, 0xc0, 0x0f, 0x0b);
        memcpy(rig->host + RIG_DATA + 0x100 * i, codes[i].bytes, codes[i].length);
        rig->cpu->gpr[X86_RDI] = RIG_DATA + 0x100 * i;
        rig->cpu->gpr[X86_RSI] = at + 2;
        rig->cpu->gpr[X86_RAX] = cr0;
        for (unsigned k = 0; k < 3; k++) {
            run_from(rig, at);
        }
        rig->cpu->gpr[X86_RAX] = cr0 | CR0_TS;
        rig->cpu->rip = at;
        rig->cpu->gpr[X86_RSP] = RIG_STACK;
        assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
        assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_NM);
        soft_write_cr0(rig->cpu, cr0);
    }
}

/* ---- memory ---- */

#define FUNCTIONS 6000
#define FUNCTION_BYTES 64

/* More code than there is room for, again and again: regions are emptied, and their code goes with them. */
static void test_code_that_does_not_fit_runs_all_the_same(void **unused)
{
    SoftRig *rig = soft_rig_new_with(1, true); /* the least there is */

    soft_rig_enter_64(rig, 0);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        uint8_t *at = rig->host + RIG_DATA + i * FUNCTION_BYTES;

        memset(at, 0x90, FUNCTION_BYTES);
        for (unsigned k = 0; k < 6; k++) {
            memcpy(at + 7 * k, "\x48\x81\xc0\x01\x00\x00\x00", 7); /* add rax, 1 */
        }
    }
    memcpy(rig->host + RIG_DATA + FUNCTIONS * FUNCTION_BYTES, "\x0f\x0b", 2);
    for (unsigned round = 1; round <= 4; round++) {
        rig->cpu->gpr[X86_RAX] = 0;
        run_from(rig, RIG_DATA);
        assert_int_equal(rig->cpu->gpr[X86_RAX], 6 * FUNCTIONS);
    }
    assert_true(rig->vm->code->regions_reused > 8);
    assert_int_equal(translated(rig), rig->vm->code->made);
    for (unsigned i = 0; i < CODE_REGIONS; i++) {
        const CodeRegion *region = &rig->vm->code->region[i];

        assert_true(region->native_next >= region->native && region->native_next <= region->native_end);
    }
    soft_rig_free(rig);
}

static void test_the_code_of_a_large_store_is_near_too(void **unused)
{
    SoftRig *rig = soft_rig_new_with(UINT64_C(6) << 30, true);

    soft_rig_enter_64(rig, 0);
    PUT(rig, RIG_CODE, 0x0f, 0xa2, 0x0f, 0x0b); /* cpuid, by a call; ud2 */
    run_from(rig, RIG_CODE);
    assert_int_equal(translated(rig), rig->vm->code->made);
    assert_true(rig->vm->translator->bytes <= UINT64_C(2) << 30);
    soft_rig_free(rig);
}

/* The bound by which room is kept holds for what makes the most code. */
static void test_no_block_needs_more_room_than_is_kept(void **state)
{
    static const struct { uint8_t length, bytes[12]; } ops[] = {
        { 12, { 0x48, 0x81, 0x84, 0xd3, 0, 1, 0, 0, 0, 1, 0, 0 } }, /* add qword [rbx + rdx * 8 + 256], 256 */
        { 8, { 0x48, 0xf7, 0x9c, 0xd3, 0, 1, 0, 0 } },              /* neg qword [rbx + rdx * 8 + 256] */
        { 1, { 0x50 } },                                           /* push rax */
        { 1, { 0x58 } },                                           /* pop rax */
        { 4, { 0x0f, 0xc1, 0x04, 0x24 } },                         /* xadd [rsp], eax */
        { 4, { 0xf3, 0x0f, 0x6f, 0x03 } },                         /* movdqu xmm0, [rbx] */
    };
    SoftRig *rig = *state;

    for (unsigned k = 0; k < G_N_ELEMENTS(ops); k++) {
        uint8_t *at = rig->host + RIG_CODE + k * 0x1000;
        const CodeRegion *region = &rig->vm->code->region[0];
        const uint8_t *before = region->native_next;
        const uint64_t end = RIG_DATA + 0x1000 * (k + 1);

        for (unsigned i = 0; i < BLOCK_INSTRUCTIONS - 1; i++, at += ops[k].length) {
            memcpy(at, ops[k].bytes, ops[k].length);
        }
        memcpy(at, "\xff\x94\xd3\x00\x04\x00\x00", 7); /* call [rbx + rdx * 8 + 1024] */
        memcpy(rig->host + RIG_DATA + 1024, &end, sizeof(end));
        memcpy(rig->host + end, "\x0f\x0b", 2);
        rig->cpu->gpr[X86_RBX] = RIG_DATA;
        rig->cpu->gpr[X86_RDX] = 0;
        rig->cpu->rip = RIG_CODE + k * 0x1000;
        rig->cpu->gpr[X86_RSP] = RIG_STACK;
        soft_rig_run(rig);
        assert_int_equal(translated(rig), 2 * (k + 1));
        assert_true((uint64_t)(region->native_next - before) <= TRANSLATION_BYTES(BLOCK_INSTRUCTIONS) / 2);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, soft_rig_setup_64, soft_rig_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_blocks_become_code),
        cmocka_unit_test(test_without_a_translator_blocks_are_interpreted),
        TEST(test_no_page_is_writable_and_executable),
        TEST(test_a_store_into_the_own_block_counts_at_the_next_instruction),
        TEST(test_a_push_into_the_own_block_counts_at_the_next_instruction),
        TEST(test_a_handler_that_stores_into_the_own_block_is_followed),
        TEST(test_flags_survive_a_miss),
        TEST(test_a_loop_is_left_when_something_wants_attention),
        TEST(test_a_branch_leads_as_far_as_it_says),
        TEST(test_code_ends_where_addresses_do),
        TEST(test_code_leads_where_its_block_does),
        TEST(test_code_that_was_written_is_not_entered),
        TEST(test_a_return_finds_what_was_written),
        TEST(test_code_of_another_mode_is_not_entered),
        cmocka_unit_test(test_code_that_does_not_fit_runs_all_the_same),
        cmocka_unit_test(test_the_code_of_a_large_store_is_near_too),
        TEST(test_no_block_needs_more_room_than_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
