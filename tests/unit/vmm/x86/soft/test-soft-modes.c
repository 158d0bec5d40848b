/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that goes through every mode and back: real, protected with 32 bits, compatibility,
 * 64 bits, compatibility, protected with 32 and 16 bits, real.  It leaves a note in each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "soft-rig.h"
#include "vmm/x86/soft/system.h"

#define PROGRAM UINT64_C(0x40000) /* CS 0x4000 in real mode */
#define NOTES   UINT64_C(0x5000)

extern const uint8_t modes_program[], modes_end[];

/* Notes: words at 0x5000. */
__asm__(
    ".pushsection .rodata\n"
    ".set BASE, 0x40000\n"
    ".globl modes_program, modes_end\n"
    ".hidden modes_program, modes_end\n"
    ".code16\n"
    "modes_program:\n"
    "    cli\n"
    "    xorw %ax, %ax\n"
    "    movw %ax, %ds\n"
    "    movw $0x1111, 0x5000\n"
    "    lgdtl %cs:(modes_gdtr - modes_program)\n"
    "    movl %cr0, %eax\n"
    "    orb $1, %al\n"
    "    movl %eax, %cr0\n"
    "    ljmpl $0x18, $(modes_32 - modes_program + BASE)\n"
    ".code32\n"
    "modes_32:\n"
    "    movl $0x20, %eax\n"
    "    movl %eax, %ds\n"
    "    movl %eax, %es\n"
    "    movl %eax, %ss\n"
    "    movl $0x22222222, 0x5004\n"
    "    movl %cr4, %eax\n"
    "    orl $0x20, %eax\n"
    "    movl %eax, %cr4\n"
    "    movl $0x10000, %eax\n" /* RIG_PML4 */
    "    movl %eax, %cr3\n"
    "    movl $0xc0000080, %ecx\n"
    "    rdmsr\n"
    "    orl $0x100, %eax\n"
    "    wrmsr\n"
    "    movl %cr0, %eax\n"
    "    orl $0x80000000, %eax\n"
    "    movl %eax, %cr0\n"
    "    rdmsr\n"
    "    movl %eax, 0x5008\n" /* LME and LMA: compatibility mode */
    "    ljmpl $0x08, $(modes_64 - modes_program + BASE)\n"
    ".code64\n"
    "modes_64:\n"
    "    movq $-1, %r15\n"
    "    movq %r15, 0x5010\n"
    "    leaq modes_far(%rip), %rax\n"
    "    ljmpl *(%rax)\n"
    ".code32\n"
    "modes_compat:\n"
    "    movl $0x33333333, 0x5018\n"
    "    movl %cr0, %eax\n"
    "    andl $0x7fffffff, %eax\n"
    "    movl %eax, %cr0\n"
    "    movl $0xc0000080, %ecx\n"
    "    rdmsr\n"
    "    movl %eax, 0x501c\n" /* LME alone */
    "    andl $~0x100, %eax\n"
    "    wrmsr\n"
    "    xorl %eax, %eax\n"
    "    movl %eax, %cr4\n"
    "    ljmpl $0x28, $(modes_16 - modes_program)\n"
    ".code16\n"
    "modes_16:\n"
    "    movw $0x30, %ax\n"
    "    movw %ax, %ds\n"
    "    movw %ax, %es\n"
    "    movw %ax, %ss\n"
    "    movw $0x4444, 0x5020\n"
    "    movl %cr0, %eax\n"
    "    andb $0xfe, %al\n"
    "    movl %eax, %cr0\n"
    "    ljmpw $0x4000, $(modes_real - modes_program)\n"
    "modes_real:\n"
    "    movw $0x500, %ax\n"
    "    movw %ax, %ds\n"
    "    movw $0x5555, 0x24\n"
    "    hlt\n"
    ".balign 8\n"
    "modes_far:\n"
    "    .long modes_compat - modes_program + BASE\n"
    "    .word 0x18\n"
    ".balign 8\n"
    "modes_gdt:\n"
    "    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00cf93000000ffff\n"
    "    .quad 0x00009b040000ffff, 0x000093000000ffff\n" /* 0x28: 16 bits, base 0x40000; 0x30 */
    "modes_gdtr:\n"
    "    .word modes_gdtr - modes_gdt - 1\n"
    "    .long modes_gdt - modes_program + BASE\n"
    "modes_end:\n"
    ".code64\n"
    ".popsection\n");

static uint64_t note(const SoftRig *rig, unsigned offset, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, rig->host + NOTES + offset, size);
    return value;
}

static void a_guest_passes_through_every_mode(void **state)
{
    SoftRig *rig = soft_rig_new();
    SoftCpu *cpu = rig->cpu;

    soft_rig_enter_64(rig, 0); /* for its tables */
    cpu->cr3 = cpu->cr4 = cpu->efer = 0;
    soft_rig_enter_16(rig);
    memcpy(rig->host + PROGRAM, modes_program, modes_end - modes_program);
    cpu->segment[X86_CS] = (X86Segment) { PROGRAM >> 4, 0x93, 0xffff, PROGRAM };
    soft_update_mode(cpu);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);

    assert_int_equal(note(rig, 0, 2), 0x1111);
    assert_int_equal(note(rig, 4, 4), 0x22222222);
    assert_int_equal(note(rig, 8, 4), EFER_LME | EFER_LMA);
    assert_int_equal(note(rig, 0x10, 8), UINT64_MAX);
    assert_int_equal(note(rig, 0x18, 4), 0x33333333);
    assert_int_equal(note(rig, 0x1c, 4), EFER_LME);
    assert_int_equal(note(rig, 0x20, 2), 0x4444);
    assert_int_equal(note(rig, 0x24, 2), 0x5555);
    assert_int_equal(cpu->cr0, CR0_ET);
    assert_int_equal(cpu->mode & (MODE_CODE | MODE_PROTECTED), 0);
    assert_int_equal(cpu->segment[X86_CS].base, PROGRAM);
    assert_int_equal(cpu->gpr[X86_R15], UINT64_MAX); /* legacy modes leave it alone */
    soft_rig_free(rig);
}

static void long_mode_is_refused_to_a_16_bit_task(void **state)
{
    static const uint8_t mov_cr0_eax[] = { 0x0f, 0x22, 0xc0, 0xf4 };
    SoftRig *rig = soft_rig_new();
    SoftCpu *cpu = rig->cpu;

    soft_rig_enter_64(rig, 0);
    soft_rig_enter_32(rig);
    soft_rig_code(rig, mov_cr0_eax, sizeof(mov_cr0_eax));
    cpu->efer = EFER_LME;
    cpu->cr4 |= CR4_PAE;
    cpu->tr.attributes = 0x83;
    cpu->gpr[X86_RAX] = cpu->cr0 | CR0_PG;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(cpu)->vector, VECTOR_GP);
    assert_int_equal(cpu->efer, EFER_LME);
    cpu->tr.attributes = 0x8b;
    cpu->segment[X86_CS].attributes |= SEG_L; /* nor in a segment that would be 64-bit code at once */
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(cpu)->vector, VECTOR_GP);
    cpu->segment[X86_CS].attributes &= ~SEG_L;
    cpu->cr4 &= ~CR4_PAE; /* nor without PAE */
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(cpu)->vector, VECTOR_GP);
    cpu->cr4 |= CR4_PAE;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->efer, EFER_LME | EFER_LMA);
    soft_rig_free(rig);
}

static void paging_stays_on_while_pcids_are(void **state)
{
    static const uint8_t mov_cr0_eax[] = { 0x0f, 0x22, 0xc0, 0xf4 };
    SoftRig *rig = soft_rig_new();
    SoftCpu *cpu = rig->cpu;

    soft_rig_enter_64(rig, 0);
    soft_rig_code(rig, mov_cr0_eax, sizeof(mov_cr0_eax));
    cpu->segment[X86_CS].attributes = 0xc09b; /* compatibility mode */
    cpu->cr4 |= CR4_PCIDE;
    soft_update_mode(cpu);
    cpu->gpr[X86_RAX] = cpu->cr0 & ~CR0_PG;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(cpu)->vector, VECTOR_GP);
    cpu->cr4 &= ~CR4_PCIDE;
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED);
    assert_int_equal(cpu->efer & EFER_LMA, 0);
    soft_rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_passes_through_every_mode),
        cmocka_unit_test(long_mode_is_refused_to_a_16_bit_task),
        cmocka_unit_test(paging_stays_on_while_pcids_are),
    };

    return cmocka_run_group_tests_name("soft-modes", tests, NULL, NULL);
}
