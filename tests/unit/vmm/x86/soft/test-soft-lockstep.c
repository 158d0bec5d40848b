/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole blocks against single instructions, compared as they go; and the comparer itself,
 * which must find a difference where there is one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "lockstep.h"
#include "vmm/x86/soft/cpu.h"

/* Fills 4 KiB by xorshift, sorts it, sums it up, patches its own loop, calls itself, pushes and pops, and uses x87, SSE
 * and strings. */
__asm__(".pushsection .rodata\n"
        "lockstep_guest:\n"
        "   mov $0x200000, %edi\n   mov $1024, %ecx\n   mov $12345, %eax\n"
        "1: mov %eax, %edx\n   shl $13, %edx\n   xor %edx, %eax\n   mov %eax, %edx\n   shr $17, %edx\n   xor %edx, %eax\n"
        "   mov %eax, %edx\n   shl $5, %edx\n   xor %edx, %eax\n   stosl\n   loop 1b\n"
        "   mov $1023, %r8d\n" /* bubble sort, as many rounds as there are */
        "2: mov $0x200000, %esi\n   mov %r8d, %ecx\n"
        "3: mov (%rsi), %eax\n   cmp 4(%rsi), %eax\n   jbe 4f\n   xchg 4(%rsi), %eax\n   mov %eax, (%rsi)\n"
        "4: add $4, %esi\n   dec %ecx\n   jnz 3b\n   dec %r8d\n   cmp $1000, %r8d\n   jne 2b\n"
        "   mov $20, %edi\n   call fib\n   mov %rax, 0x202000\n"
        "   cvtsi2sd %rax, %xmm0\n   sqrtsd %xmm0, %xmm1\n   movsd %xmm1, 0x202008\n"
        "   fldpi\n   fsqrt\n   fstpl 0x202010\n"
        "   mov $0x200000, %esi\n   mov $0x203000, %edi\n   mov $512, %ecx\n   rep movsq\n"
        "   mov $100, %ecx\n"
        "5: mov %cl, 7f-lockstep_guest+0x100001\n   jmp 7f\n"
        "7: mov $0, %al\n   add %al, 0x202018\n   loop 5b\n"
        "   mov %rsp, %rbp\n   mov $16, %ecx\n" /* runs of PUSH and POP, also where they cross into another page */
        "9: lea 0x205000(,%rcx,8), %rsp\n"
        "   push %rax\n   push %rcx\n   push %rdx\n   push %rsi\n   push %rdi\n   push %r8\n   push %rbp\n"
        "   push %rsp\n   push %r8\n   push %rcx\n"
        "   pop %r9\n   pop %r10\n   pop %r11\n   pop %rbp\n   pop %rdi\n   pop %r8\n   pop %rdx\n   pop %rsi\n"
        "   pop %rcx\n   pop %rax\n   add %r9, %r8\n   add %r11, %rax\n   loop 9b\n   mov %rbp, %rsp\n"
        "   ud2\n"
        "fib: cmp $2, %edi\n   jb 8f\n   push %rdi\n   dec %edi\n   call fib\n   pop %rdi\n   push %rax\n   sub $2, %edi\n"
        "   call fib\n   pop %rdx\n   add %rdx, %rax\n   ret\n"
        "8: mov %edi, %eax\n   ret\n"
        "lockstep_guest_end:\n"
        ".popsection\n");
extern const uint8_t lockstep_guest[], lockstep_guest_end[];

static SoftRig *rig_with_guest(void)
{
    SoftRig *rig = soft_rig_new();

    soft_vm_set_deterministic(rig->vm, 1);
    soft_cpu_set_tsc(rig->cpu, 0);
    soft_rig_enter_64(rig, 0);
    soft_rig_code(rig, lockstep_guest, (unsigned)(lockstep_guest_end - lockstep_guest));
    return rig;
}

typedef struct Pair {
    LockstepEngine blocks, single;
} Pair;

static int setup(void **state)
{
    Pair *p = g_new0(Pair, 1);

    p->blocks = (LockstepEngine){ "blocks", rig_with_guest(), lockstep_by_blocks };
    p->single = (LockstepEngine){ "single instructions", rig_with_guest(), lockstep_by_instructions };
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    Pair *p = *state;

    soft_rig_free(p->single.rig);
    soft_rig_free(p->blocks.rig);
    g_free(p);
    return 0;
}

static void test_blocks_do_what_single_instructions_do(void **state)
{
    Pair *p = *state;
    g_autofree char *report = NULL;

    if (!lockstep_run(&p->blocks, &p->single, 1000000, 4999, &report)) {
        fail_msg("%s", report);
    }
    /* It came to its end, with the right answer. */
    assert_int_equal(soft_cpu_exception(p->blocks.rig->cpu)->vector, VECTOR_UD);
    assert_int_equal(*(uint64_t *)(p->blocks.rig->host + 0x202000), 6765);
}

/* As by blocks, but R15 changes as soon as the 513th word has been stored: the tenth of eleven instructions of its round,
 * after the first three. */
static SoftExit wrong(SoftRig *rig, uint64_t n)
{
    SoftExit why = lockstep_by_blocks(rig, n);

    if (rig->cpu->gpr[X86_RDI] > 0x200800) {
        rig->cpu->gpr[X86_R15] = 1;
    }
    return why;
}

static void test_a_difference_is_named_with_its_instruction(void **state)
{
    Pair *p = *state;
    g_autofree char *report = NULL;

    p->blocks.advance = wrong;
    assert_false(lockstep_run(&p->blocks, &p->single, 1000000, 997, &report));
    assert_non_null(strstr(report, "instruction 5645,"));
    assert_non_null(strstr(report, "gpr[15]: 0x1 and 0\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_blocks_do_what_single_instructions_do, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_difference_is_named_with_its_instruction, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
