/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From block to block (translate.h): generated programs of functions that jump, call, return, write into
 * each other, and change the mode and the TLB in between, in pages of their own and of others.  What comes
 * out of them, and how many instructions it took, is the same whether they are interpreted or translated,
 * and whatever another thread does to the vCPU and its blocks meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/epoch.h"
#include "vmm/x86/soft/block.h"

#define FUNCTIONS 24
#define PIECES    5
#define PROGRAMS  16
#define ROUNDS    2000
#define TABLE     (RIG_DATA - 0x1000) /* of the functions' addresses */
#define OTHER_STACK (RIG_STACK + 0x10000)

/* Bits of a program's number: it writes into code, changes the mode, invalidates pages. */
enum { WRITES = 1, MODES = 2, INVALIDATES = 4 };

typedef struct Program {
    SoftRig *rig;
    uint64_t seed;
    uint64_t at[FUNCTIONS]; /* each begins with ADD RAX, imm32 */
    unsigned does;          /* WRITES, ... */
    uint8_t *next;
} Program;

static unsigned draw(Program *p, unsigned n)
{
    p->seed = p->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(p->seed >> 33) % n;
}

/* ---- programs ---- */

static void put(Program *p, const void *bytes, unsigned n)
{
    memcpy(p->next, bytes, n);
    p->next += n;
}
#define PUT(p, ...) put(p, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void put32(Program *p, uint64_t value)
{
    put(p, &(uint32_t){ (uint32_t)value }, 4);
}

static void put_to(Program *p, uint8_t opcode, uint64_t to)
{
    PUT(p, opcode);
    put32(p, to - ((uint64_t)(p->next - p->rig->host) + 4));
}

/* Functions call later ones only: so there is an end. */
static unsigned later(Program *p, unsigned f)
{
    return f + 1 + draw(p, FUNCTIONS - f - 1);
}

static void put_call(Program *p, unsigned f)
{
    switch (draw(p, 4)) {
    case 0: /* mov edx, imm32; call rdx */
        PUT(p, 0xba);
        put32(p, p->at[later(p, f)]);
        PUT(p, 0xff, 0xd2);
        break;
    case 1: /* call [disp32] */
        PUT(p, 0xff, 0x14, 0x25);
        put32(p, TABLE + 8 * later(p, f));
        break;
    default:
        put_to(p, 0xe8, p->at[later(p, f)]);
        break;
    }
}

static void put_piece(Program *p, unsigned f)
{
    static const uint8_t needs[] = { [4] = MODES, [5] = INVALIDATES, [6] = WRITES, [9] = 0 };
    unsigned kind = draw(p, G_N_ELEMENTS(needs));

    if (needs[kind] & ~p->does) {
        return;
    }
    switch (kind) {
    case 0: /* ror rax, imm8; xor rbx, rax */
        PUT(p, 0x48, 0xc1, 0xc8, (uint8_t)draw(p, 64), 0x48, 0x31, 0xc3);
        break;
    case 1: /* test al, imm8; jnz 1f; add rbx, imm32; 1: */
        PUT(p, 0xa8, (uint8_t)(1 << draw(p, 8)), 0x75, 7, 0x48, 0x81, 0xc3);
        put32(p, draw(p, 1u << 31));
        break;
    case 2: /* jmp 1f; int3; 1: push rax; pop rdx */
        PUT(p, 0xeb, 1, 0xcc, 0x50, 0x5a);
        break;
    case 3: /* mov ecx, imm32; 1: add rbx, rax; dec ecx; jnz 1b */
        PUT(p, 0xb9);
        put32(p, 1 + draw(p, 4));
        PUT(p, 0x48, 0x01, 0xc3, 0xff, 0xc9, 0x75, 0xf9);
        break;
    case 4: /* mov rdx, cr0; xor rdx, TS; mov cr0, rdx */
        PUT(p, 0x0f, 0x20, 0xc2, 0x48, 0x83, 0xf2, 8, 0x0f, 0x22, 0xc2);
        break;
    case 5: /* invlpg [disp32] */
        PUT(p, 0x0f, 0x01, 0x3c, 0x25);
        put32(p, p->at[draw(p, FUNCTIONS)]);
        break;
    case 6: /* mov [disp32], eax */
        PUT(p, 0x89, 0x04, 0x25);
        put32(p, p->at[draw(p, FUNCTIONS)] + 2);
        break;
    default:
        if (f < FUNCTIONS - 1) {
            put_call(p, f);
        }
        break;
    }
}

/* Three on a page, the last of which may cross into another. */
static uint64_t place(Program *p, unsigned f)
{
    static const unsigned from[3] = { 0x100, 0x800, 0xf00 };

    return RIG_DATA + f % (FUNCTIONS / 3) * 0x2000 + from[f / (FUNCTIONS / 3)] + draw(p, 0x100);
}

static void put_function(Program *p, unsigned f)
{
    p->next = p->rig->host + p->at[f];
    PUT(p, 0x48, 0x05); /* add rax, imm32 */
    put32(p, draw(p, 1u << 31));
    for (unsigned i = 0; i < PIECES; i++) {
        put_piece(p, f);
    }
    if (f < FUNCTIONS - 1 && draw(p, 8) == 0) {
        put_to(p, 0xe9, p->at[later(p, f)]); /* jmp */
    } else {
        PUT(p, 0xc3); /* ret */
    }
}

static void make(SoftRig *rig, uint64_t seed)
{
    Program p = { .rig = rig, .seed = seed, .does = (unsigned)seed };

    memset(rig->host + TABLE, 0, RIG_RAM / 2 - TABLE);
    for (unsigned f = 0; f < FUNCTIONS; f++) {
        p.at[f] = place(&p, f);
        memcpy(rig->host + TABLE + 8 * f, &p.at[f], 8);
    }
    for (unsigned f = 0; f < FUNCTIONS; f++) {
        put_function(&p, f);
    }
    p.next = rig->host + RIG_CODE;
    PUT(&p, 0xbe); /* mov esi, imm32; 1: call; dec esi; jnz 1b; ud2 */
    put32(&p, ROUNDS);
    put_to(&p, 0xe8, p.at[0]);
    PUT(&p, 0xff, 0xce, 0x75, 0xf7, 0x0f, 0x0b);
    soft_code_written(rig->vm, NULL, rig->host, RIG_RAM);
}

/* ---- running ---- */

static void run(SoftCpu *cpu, uint64_t stack)
{
    soft_write_cr0(cpu, cpu->cr0 & ~CR0_TS);
    memset(cpu->gpr, 0, sizeof(cpu->gpr));
    cpu->gpr[X86_RSP] = stack;
    cpu->rip = RIG_CODE;
    cpu->instructions = 0;
    soft_cpu_trap(cpu, true);
    assert_int_equal(soft_run(cpu), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(cpu)->vector, VECTOR_UD);
}

static void assert_same(const SoftCpu *a, const SoftCpu *b)
{
    for (unsigned i = 0; i < X86_GPRS; i++) {
        assert_true(i == X86_RSP || a->gpr[i] == b->gpr[i]);
    }
    assert_int_equal(a->instructions, b->instructions);
    assert_int_equal(a->cr0, b->cr0);
}

/* The machine that interpreted it. */
static SoftRig *expect(uint64_t seed)
{
    SoftRig *rig = soft_rig_new_with(0, false);

    soft_rig_enter_64(rig, 0);
    make(rig, seed);
    run(rig->cpu, RIG_STACK);
    return rig;
}

static SoftRig *translating(void)
{
    SoftRig *rig = soft_rig_new_with(1, true); /* the least store there is: code is made where other was */

    soft_rig_enter_64(rig, 0);
    rig->cpu->eflags |= EFLAGS_IF;
    soft_update_mode(rig->cpu);
    return rig;
}

static void test_translated_programs_do_what_interpreted_ones_do(void **unused)
{
    SoftRig *rig = translating();

    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        SoftRig *other = expect(seed);

        make(rig, seed);
        run(rig->cpu, RIG_STACK);
        assert_same(rig->cpu, other->cpu);
        assert_memory_equal(rig->host + TABLE, other->host + TABLE, RIG_RAM / 2 - TABLE);
        soft_rig_free(other);
    }
    assert_true(rig->vm->code->regions_reused > CODE_REGIONS);
    soft_rig_free(rig);
}

/* ---- while others interfere ---- */

typedef struct Trouble { SoftRig *rig; SoftCpu *second; bool stop; } Trouble;

static void *make_trouble(void *opaque)
{
    Trouble *t = opaque;
    SoftRig *rig = t->rig;
    Program random = { .seed = 1 };

    epoch_thread_begin();
    while (!__atomic_load_n(&t->stop, __ATOMIC_SEQ_CST)) {
        switch (draw(&random, 4)) {
        case 0:
            soft_signal(rig->cpu, SOFT_INTERRUPT); /* which there is not after all */
            break;
        case 1:
            soft_broadcast(rig->vm, NULL, REQUEST_FLUSH);
            break;
        default:
            soft_code_written(rig->vm, NULL, rig->host + RIG_DATA + draw(&random, FUNCTIONS / 3) * 0x2000,
                              1 + draw(&random, 0x2000));
            break;
        }
        epoch_offline();
        g_usleep(draw(&random, 200));
        epoch_online();
    }
    epoch_thread_end();
    return NULL;
}

static void *run_second(void *opaque)
{
    Trouble *t = opaque;

    epoch_thread_begin();
    soft_cpu_begin(t->second);
    run(t->second, OTHER_STACK);
    epoch_thread_end();
    return NULL;
}

static void join(pthread_t thread)
{
    epoch_offline();
    pthread_join(thread, NULL);
    epoch_online();
}

static void test_programs_do_so_whoever_interferes(void **unused)
{
    SoftRig *rig = translating();
    Trouble trouble = { .rig = rig, .second = soft_rig_second_cpu(rig) };
    pthread_t maker, second;

    assert_int_equal(pthread_create(&maker, NULL, make_trouble, &trouble), 0);
    for (uint64_t seed = 1; seed <= PROGRAMS; seed++) {
        bool alone = seed & WRITES; /* else what it comes to depends on which vCPU is faster */
        SoftRig *other = expect(seed);

        make(rig, seed);
        if (!alone) {
            assert_int_equal(pthread_create(&second, NULL, run_second, &trouble), 0);
        }
        run(rig->cpu, RIG_STACK);
        assert_same(rig->cpu, other->cpu);
        if (!alone) {
            join(second);
            assert_same(trouble.second, other->cpu);
        }
        soft_rig_free(other);
    }
    __atomic_store_n(&trouble.stop, true, __ATOMIC_SEQ_CST);
    join(maker);
    soft_cpu_free(trouble.second);
    assert_true(rig->vm->code->regions_reused > CODE_REGIONS);
    soft_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_translated_programs_do_what_interpreted_ones_do),
        cmocka_unit_test(test_programs_do_so_whoever_interferes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
