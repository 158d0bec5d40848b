/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far transfers of control: JMP, CALL and RET to code segments and through call gates,
 * IRET, SYSCALL and SYSENTER, in every mode but virtual-8086 (test-soft-v86.c) and but for
 * task switches (test-soft-task.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"
#include "vmm/x86/soft/vm.h"

#define TARGET 0x8120 /* a HLT, within reach of 16 bits */
#define NOT_PRESENT(descriptor) ((descriptor) & ~(UINT64_C(0x80) << 40))
#define CODE64_DB 0x00ef9b000000ffff /* L and D */

static int setup(void **state)
{
    *state = soft_rig_new();
    return 0;
}

static int teardown(void **state)
{
    soft_rig_free(*state);
    return 0;
}

static void assert_at(const SoftRig *rig, unsigned cs, uint64_t rip, unsigned cpl)
{
    assert_int_equal(rig->cpu->segment[X86_CS].selector, cs);
    assert_int_equal(rig->cpu->rip, rip);
    assert_int_equal(rig->cpu->cpl, cpl);
}

static void put_words(SoftRig *rig, uint64_t gpa, unsigned size, const uint64_t *word, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rig_write(rig, gpa + i * size, size, word[i]);
    }
}
#define put_stack(rig, size, ...)                                                                                     \
    put_words(rig, (rig)->cpu->gpr[X86_RSP], size, (const uint64_t[]){ __VA_ARGS__ },                                 \
              sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8)

/* ---- direct far JMP and CALL ---- */

#define FAR(opcode, selector, offset) \
    opcode, (offset)&0xff, (offset) >> 8 & 0xff, (offset) >> 16 & 0xff, (offset) >> 24 & 0xff, (selector)&0xff, (selector) >> 8
#define JMP_FAR(selector, offset) FAR(0xea, selector, offset)
#define CALL_FAR(selector, offset) FAR(0x9a, selector, offset)

static void test_a_far_jump_loads_cs_with_the_cpl_as_rpl(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_USER_CODE32, 0x00cffa000000ffff); /* not accessed */
    rig_code(rig, JMP_FAR(SEL_USER_CODE32, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig_gdt_entry(rig, SEL_USER_CODE32), 0x00cffb000000ffff);
}

static void test_a_far_call_pushes_cs_and_ip(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_code(rig, CALL_FAR(SEL_CODE32, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 8);
    assert_int_equal(rig_read(rig, RIG_STACK - 4, 4), SEL_CODE32);
    assert_int_equal(rig_read(rig, RIG_STACK - 8, 4), RIG_CODE + 7);
}

static void test_a_far_call_of_16_bits_pushes_words(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_code(rig, 0x66, 0x9a, 0x20, 0x81, SEL_CODE32, 0);
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 4);
    assert_int_equal(rig_read(rig, RIG_STACK - 4, 4), SEL_CODE32 << 16 | ((RIG_CODE + 6) & 0xffff));
}

static void test_a_far_jump_to_conforming_code_keeps_the_cpl(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_code(rig, JMP_FAR(SEL_CONFORMING, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_CONFORMING | 3, TARGET, 3);
}

static void far_jump_faults(SoftRig *rig, unsigned selector, unsigned vector)
{
    rig_code(rig, JMP_FAR(selector, TARGET));
    assert_faults(rig, vector, selector & SELECTOR_MASK);
    rig_code(rig, CALL_FAR(selector, TARGET));
    assert_faults(rig, vector, selector & SELECTOR_MASK);
}

static void test_a_far_transfer_checks_the_code_segment(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    far_jump_faults(rig, 0, VECTOR_GP);
    far_jump_faults(rig, 0x100, VECTOR_GP);              /* beyond the GDT */
    far_jump_faults(rig, SEL_USER_DATA | 3, VECTOR_GP);  /* data */
    far_jump_faults(rig, SEL_CODE32, VECTOR_GP);         /* more privileged */
    transfer_rig_enter_32(rig, 0);
    far_jump_faults(rig, SEL_CODE32 | 1, VECTOR_GP);     /* RPL above CPL */
    far_jump_faults(rig, SEL_USER_CODE32, VECTOR_GP);    /* less privileged */
    rig_gdt(rig, SEL_FREE, 0x00cfff000000ffff);
    far_jump_faults(rig, SEL_FREE, VECTOR_GP);           /* conforming, less privileged */
    rig_gdt(rig, SEL_FREE, NOT_PRESENT(0x00cf9b000000ffff));
    far_jump_faults(rig, SEL_FREE, VECTOR_NP);
}

static void test_a_far_transfer_checks_the_limit_of_the_target(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x00409b000000811f); /* the last byte is before TARGET */
    rig_code(rig, CALL_FAR(SEL_FREE, TARGET));
    assert_faults(rig, VECTOR_GP, 0);
    rig_gdt(rig, SEL_FREE, 0x00409b0000008120);
    rig_step(rig);
    assert_at(rig, SEL_FREE, TARGET, 0);
}

static void test_a_far_call_that_cannot_push_changes_nothing(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    transfer_rig_page_32(rig);
    rig->cpu->gpr[X86_RSP] = RIG_HOLE + 4;
    rig_code(rig, CALL_FAR(SEL_CODE32, TARGET));
    assert_faults(rig, VECTOR_PF, 2);
    rig->cpu->segment[X86_SS].limit = 0xfff;
    rig->cpu->gpr[X86_RSP] = 4;
    soft_update_mode(rig->cpu);
    assert_faults(rig, VECTOR_SS, 0);
}

static void test_a_far_jump_through_memory_reads_offset_then_selector(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_write(rig, RIG_DATA, 4, TARGET);
    rig_write(rig, RIG_DATA + 4, 2, SEL_CODE32);
    rig_code(rig, 0xff, 0x2d, 0x00, 0x00, 0x20, 0x00); /* jmp far [RIG_DATA] */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
}

static void test_a_far_jump_leaves_64_bit_code_for_compatibility_mode(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_write(rig, RIG_DATA, 8, 0x1234567800000000 | TARGET);
    rig_write(rig, RIG_DATA + 8, 2, SEL_CODE32);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_code(rig, 0x48, 0xff, 0x2b); /* jmp far m16:64 [rbx]: 32 bits of the offset count */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->mode & MODE_CODE, MODE_CODE32);
}

static void test_a_far_call_from_64_bit_code_pushes_quadwords_with_rex_w(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_write(rig, RIG_DATA, 8, TARGET);
    rig_write(rig, RIG_DATA + 8, 2, SEL_CODE64);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_code(rig, 0x48, 0xff, 0x1b); /* call far m16:64 [rbx] */
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 16);
    assert_int_equal(rig_read(rig, RIG_STACK - 8, 8), SEL_CODE64);
    assert_int_equal(rig_read(rig, RIG_STACK - 16, 8), RIG_CODE + 3);
}

static void test_compatibility_mode_jumps_to_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 0);
    rig_code(rig, JMP_FAR(SEL_CODE64, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->mode & MODE_CODE, MODE_CODE64);
}

static void test_long_mode_refuses_code_with_l_and_d_and_targets_that_are_not_canonical(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig_gdt(rig, SEL_FREE, CODE64_DB);
    rig->cpu->gpr[X86_RBX] = RIG_DATA;
    rig_write(rig, RIG_DATA, 8, TARGET);
    rig_write(rig, RIG_DATA + 8, 2, SEL_FREE);
    rig_code(rig, 0x48, 0xff, 0x1b);
    assert_faults(rig, VECTOR_GP, SEL_FREE);
    rig_write(rig, RIG_DATA, 8, 0x0000800000000000);
    rig_write(rig, RIG_DATA + 8, 2, SEL_CODE64);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_in_real_mode_a_far_call_loads_paragraphs(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    rig_code(rig, 0x9a, 0x10, 0x00, 0x00, 0x20); /* call 0x2000:0x10 */
    rig_step(rig);
    assert_at(rig, 0x2000, 0x10, 0);
    assert_int_equal(rig->cpu->segment[X86_CS].base, 0x20000);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x7ffc);
    assert_int_equal(rig_read(rig, 0x7ffc, 4), 0x10000005);
}

static void test_in_real_mode_an_offset_of_32_bits_is_checked(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    rig_code(rig, 0x66, FAR(0xea, 0x2000, 0x10000));
    assert_faults(rig, VECTOR_GP, 0);
}

/* ---- call gates ---- */

static void test_a_call_gate_to_the_same_level_keeps_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE32, TARGET));
    rig_code(rig, CALL_FAR(SEL_FREE, 0x12345678)); /* the offset does not count */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 8);
    assert_int_equal(rig_read(rig, RIG_STACK - 4, 4), SEL_CODE32);
    assert_int_equal(rig_read(rig, RIG_STACK - 8, 4), RIG_CODE + 7);
}

static void test_a_call_gate_inwards_switches_stacks_and_copies_parameters(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET) | UINT64_C(2) << 32);
    put_stack(rig, 4, 0x11111111, 0x22222222);
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_DATA);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 24);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 4, 4), SEL_USER_DATA | 3);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 8, 4), RIG_STACK);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 12, 4), 0x22222222);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 16, 4), 0x11111111);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 20, 4), SEL_USER_CODE32 | 3);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 24, 4), RIG_CODE + 7);
}

static void test_a_call_gate_of_16_bits_pushes_words(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE16, 3, SEL_CODE32, 0x12340000 | TARGET) | UINT64_C(1) << 32);
    put_stack(rig, 2, 0x1111);
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 10);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 4, 4), (SEL_USER_DATA | 3) << 16 | (RIG_STACK & 0xffff));
    assert_int_equal(rig_read(rig, RIG_STACK0 - 6, 2), 0x1111);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 10, 4), (SEL_USER_CODE32 | 3) << 16 | ((RIG_CODE + 7) & 0xffff));
}

static void test_a_call_gate_to_level_1_takes_its_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32_1, TARGET));
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    rig_step(rig);
    assert_at(rig, SEL_CODE32_1 | 1, TARGET, 1);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_DATA_1 | 1);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK1 - 16);
}

static void test_a_call_gate_to_conforming_code_keeps_level_and_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CONFORMING, TARGET));
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    rig_step(rig);
    assert_at(rig, SEL_CONFORMING | 3, TARGET, 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK - 8);
}

static void test_a_jump_through_a_gate_cannot_go_inwards(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET));
    rig_code(rig, JMP_FAR(SEL_FREE, 0));
    assert_faults(rig, VECTOR_GP, SEL_CODE32);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_USER_CODE32, TARGET));
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
}

static void gate_faults(SoftRig *rig, uint64_t gate, unsigned vector, unsigned error)
{
    rig_gdt(rig, SEL_FREE, gate);
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    assert_faults(rig, vector, error);
}

static void test_a_call_gate_checks_itself_and_its_target(void **state)
{
    SoftRig *rig = *state;
    const uint64_t good = rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET);

    transfer_rig_enter_32(rig, 3);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 2, SEL_CODE32, TARGET), VECTOR_GP, SEL_FREE); /* DPL below CPL */
    gate_faults(rig, NOT_PRESENT(good), VECTOR_NP, SEL_FREE);
    gate_faults(rig, rig_gate(SYSTEM_INTERRUPT_GATE32, 3, SEL_CODE32, TARGET), VECTOR_GP, SEL_FREE);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, 0, TARGET), VECTOR_GP, 0);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, 0x100, TARGET), VECTOR_GP, 0x100);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_DATA, TARGET), VECTOR_GP, SEL_DATA);
    rig_gdt(rig, SEL_FREE2, NOT_PRESENT(0x00cf9b000000ffff));
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_FREE2, TARGET), VECTOR_NP, SEL_FREE2);
    rig_gdt(rig, SEL_FREE2, 0x00409b000000811f); /* limit */
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_FREE2, TARGET), VECTOR_GP, 0);
    transfer_rig_enter_32(rig, 0);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_USER_CODE32, TARGET), VECTOR_GP, SEL_USER_CODE32);
}

static void test_a_call_gate_inwards_checks_the_new_stack(void **state)
{
    SoftRig *rig = *state;
    const uint64_t gate = rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET);

    transfer_rig_enter_32(rig, 3);
    rig->cpu->tr.limit = 8; /* SS0 is beyond */
    gate_faults(rig, gate, VECTOR_TS, SEL_TSS);
    rig->cpu->tr.limit = 0x67;
    rig_write(rig, RIG_TSS + 8, 2, 0);
    gate_faults(rig, gate, VECTOR_TS, 0);
    rig_write(rig, RIG_TSS + 8, 2, SEL_DATA | 1); /* RPL */
    gate_faults(rig, gate, VECTOR_TS, SEL_DATA);
    rig_write(rig, RIG_TSS + 8, 2, SEL_USER_DATA); /* DPL */
    gate_faults(rig, gate, VECTOR_TS, SEL_USER_DATA);
    rig_write(rig, RIG_TSS + 8, 2, SEL_CODE32);
    gate_faults(rig, gate, VECTOR_TS, SEL_CODE32);
    rig_gdt(rig, SEL_FREE2, NOT_PRESENT(0x00cf93000000ffff));
    rig_write(rig, RIG_TSS + 8, 2, SEL_FREE2);
    gate_faults(rig, gate, VECTOR_SS, SEL_FREE2);
    rig_gdt(rig, SEL_FREE2, 0x0040930000000fff);
    rig_write(rig, RIG_TSS + 4, 4, 0x1004); /* beyond its limit */
    gate_faults(rig, gate, VECTOR_SS, SEL_FREE2);
}

static void test_a_16_bit_tss_has_stacks_too(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->tr.attributes = SEG_P | SYSTEM_TSS16_BUSY;
    rig_write(rig, RIG_TSS + 2, 2, 0x7000);
    rig_write(rig, RIG_TSS + 4, 2, SEL_DATA);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE32, TARGET));
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    rig_step(rig);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x7000 - 16);
}

static void test_a_64_bit_call_gate_pushes_quadwords_and_leaves_ss_null(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_CALL_GATE32, 3, SEL_CODE64, TARGET));
    rig_gdt(rig, SEL_FREE2, 0);
    rig_code(rig, CALL_FAR(SEL_FREE | 3, 0));
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 0);
    assert_true(rig->cpu->segment[X86_SS].attributes & X86_SEG_UNUSABLE);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0 - 32);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 8, 8), SEL_USER_DATA | 3);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 16, 8), RIG_STACK);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 24, 8), SEL_USER_CODE32 | 3);
    assert_int_equal(rig_read(rig, RIG_STACK0 - 32, 8), RIG_CODE + 7);
}

static void test_a_64_bit_call_gate_checks_its_upper_half_and_its_target(void **state)
{
    SoftRig *rig = *state;
    const uint64_t gate = rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE64, TARGET);

    transfer_rig_enter_compatibility(rig, 0);
    rig_gdt(rig, SEL_FREE2, UINT64_C(1) << 40);
    gate_faults(rig, gate, VECTOR_GP, SEL_FREE);
    rig_gdt(rig, SEL_FREE2, 0x8000); /* target not canonical */
    gate_faults(rig, gate, VECTOR_GP, 0);
    rig_gdt(rig, SEL_FREE2, 0);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE32, 0, SEL_CODE32, TARGET), VECTOR_GP, SEL_CODE32);
    gate_faults(rig, rig_gate(SYSTEM_CALL_GATE16, 0, SEL_CODE64, TARGET), VECTOR_GP, SEL_FREE);
    gate_faults(rig, rig_gate(SYSTEM_TASK_GATE, 0, SEL_TSS2, 0), VECTOR_GP, SEL_FREE);
    gate_faults(rig, rig_system(SYSTEM_TSS32, RIG_TSS2, 0x67), VECTOR_GP, SEL_FREE);
}

/* ---- far RET ---- */

static void test_a_far_return_to_the_same_level_releases_its_bytes(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    put_stack(rig, 4, TARGET, SEL_CODE32);
    rig_code(rig, 0xca, 0x10, 0x00); /* retf 16 */
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK + 24);
}

static void test_a_far_return_outwards_takes_the_stack_and_drops_segments(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->segment[X86_ES] = (X86Segment){ SEL_USER_DATA | 3, 0xc0f3, UINT32_MAX, 0 };
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, 0, 0, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xca, 0x08, 0x00); /* retf 8 */
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_USER_DATA | 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA + 8);
    assert_int_equal(rig->cpu->segment[X86_ES].selector, SEL_USER_DATA | 3);
    assert_int_equal(rig->cpu->segment[X86_DS].selector, 0);
    assert_true(rig->cpu->segment[X86_DS].attributes & X86_SEG_UNUSABLE);
}

static void test_a_return_to_a_16_bit_stack_keeps_the_upper_half_of_esp(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x0000f3000000ffff); /* B clear */
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, 0x55551234, SEL_FREE | 3);
    rig_code(rig, 0xcb);
    rig_step(rig);
    assert_int_equal(rig->cpu->gpr[X86_RSP], (RIG_STACK & 0xffff0000) | 0x1234);
}

static void return_faults(SoftRig *rig, unsigned selector, unsigned vector)
{
    put_stack(rig, 4, TARGET, selector, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xcb);
    assert_faults(rig, vector, selector & SELECTOR_MASK);
    put_stack(rig, 4, TARGET, selector, 2, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xcf); /* iret */
    assert_faults(rig, vector, selector & SELECTOR_MASK);
}

static void test_a_return_checks_the_code_segment(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    return_faults(rig, 0, VECTOR_GP);
    return_faults(rig, 0x100, VECTOR_GP);
    return_faults(rig, SEL_DATA, VECTOR_GP);
    return_faults(rig, SEL_CODE32 | 3, VECTOR_GP);      /* DPL is not RPL */
    rig_gdt(rig, SEL_FREE, 0x00cfff000000ffff);         /* conforming of level 3, RPL 0 */
    return_faults(rig, SEL_FREE, VECTOR_GP);
    rig_gdt(rig, SEL_FREE, NOT_PRESENT(0x00cf9b000000ffff));
    return_faults(rig, SEL_FREE, VECTOR_NP);
    transfer_rig_enter_32(rig, 3);
    return_faults(rig, SEL_CODE32, VECTOR_GP);          /* inwards */
}

static void return_outwards_faults(SoftRig *rig, unsigned ss, unsigned vector)
{
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, RIG_DATA, ss);
    rig_code(rig, 0xcb);
    assert_faults(rig, vector, ss & SELECTOR_MASK);
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, 2, RIG_DATA, ss);
    rig_code(rig, 0xcf);
    assert_faults(rig, vector, ss & SELECTOR_MASK);
}

static void test_a_return_outwards_checks_the_stack_segment(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    return_outwards_faults(rig, 0, VECTOR_GP);
    return_outwards_faults(rig, 3, VECTOR_GP);
    return_outwards_faults(rig, 0x103, VECTOR_GP);
    return_outwards_faults(rig, SEL_USER_DATA | 2, VECTOR_GP);
    return_outwards_faults(rig, SEL_DATA | 3, VECTOR_GP);
    return_outwards_faults(rig, SEL_USER_CODE32 | 3, VECTOR_GP);
    rig_gdt(rig, SEL_FREE, NOT_PRESENT(0x00cff3000000ffff));
    return_outwards_faults(rig, SEL_FREE | 3, VECTOR_SS);
}

static void test_a_return_whose_stack_is_not_there_changes_nothing(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    transfer_rig_page_32(rig);
    rig->cpu->gpr[X86_RSP] = RIG_HOLE - 8;
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3); /* SS:ESP would be in the hole */
    rig_code(rig, 0xcb);
    assert_faults(rig, VECTOR_PF, 0);
    assert_int_equal(soft_cpu_exception(rig->cpu)->address, RIG_HOLE);
}

static void test_in_real_mode_a_far_return_loads_paragraphs(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    put_stack(rig, 2, 0x10, 0x2000);
    rig_code(rig, 0xca, 0x02, 0x00);
    rig_step(rig);
    assert_at(rig, 0x2000, 0x10, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x8006);
}

/* ---- IRET ---- */

#define ALL_FLAGS 0x003fffff

static void test_iret_in_real_mode_loads_all_but_vm_vif_and_vip(void **state)
{
    SoftRig *rig = *state;

    soft_rig_enter_16(rig);
    put_stack(rig, 4, 0x10, 0x2000, ALL_FLAGS & ~EFLAGS_TF);
    rig_code(rig, 0x66, 0xcf);
    rig_step(rig);
    assert_at(rig, 0x2000, 0x10, 0);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x00247ed7); /* AC, ID; RF is for breakpoints only */
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x800c);
}

static void test_iret_to_the_same_level_loads_what_the_cpl_allows(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, ALL_FLAGS & ~EFLAGS_TF);
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x00244cd7); /* not IF, IOPL, VM, VIF, VIP */
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK + 12);
}

static void test_iret_of_16_bits_leaves_the_upper_flags(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_ID);
    put_stack(rig, 2, TARGET, SEL_CODE32, 0x3202);
    rig_code(rig, 0x66, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_ID | 0x3202);
}

static void test_iret_outwards_takes_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    put_stack(rig, 4, TARGET, SEL_USER_CODE32 | 3, 0x3202, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x3202);
    assert_int_equal(rig->cpu->segment[X86_DS].selector, 0);
}

static void test_iret_checks_the_target_before_anything_changes(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig_gdt(rig, SEL_FREE, 0x0040fb000000811f);
    put_stack(rig, 4, TARGET, SEL_FREE | 3, 0x3202, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0xcf);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_iretq_always_takes_the_stack(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x202, 0x1234567890, SEL_DATA);
    rig_code(rig, 0x48, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x1234567890);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_DATA);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x202);
}

static void test_iretq_to_a_user_keeps_the_bases_of_null_segments(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->segment[X86_FS] = (X86Segment){ 3, X86_SEG_UNUSABLE, 0, 0x123456789000 };
    put_stack(rig, 8, TARGET, SEL_USER_CODE64 | 3, 0x202, RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0x48, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE64 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_FS].selector, 0);
    assert_int_equal(rig->cpu->segment[X86_FS].base, 0x123456789000);
    assert_int_equal(rig->cpu->segment[X86_DS].selector, 0);
}

static void test_iretq_goes_to_compatibility_mode(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 8, 0x100000000 | TARGET, SEL_USER_CODE32 | 3, 0x202, 0x1100000000 | RIG_DATA, SEL_USER_DATA | 3);
    rig_code(rig, 0x48, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA);
    assert_int_equal(rig->cpu->mode & MODE_CODE, MODE_CODE32);
}

static void test_iretq_may_load_a_null_ss_below_level_3_only(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 8, TARGET, SEL_USER_CODE64 | 3, 0x202, RIG_DATA, 3);
    rig_code(rig, 0x48, 0xcf);
    assert_faults(rig, VECTOR_GP, 0);
    put_stack(rig, 8, TARGET, SEL_CODE32, 0x202, RIG_DATA, 0);
    assert_faults(rig, VECTOR_GP, 0);
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x202, RIG_DATA, 0);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
}

static void test_iretq_refuses_targets_that_are_not_canonical_and_nested_tasks(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 8, 0x0000800000000000, SEL_CODE64, 0x202, RIG_DATA, SEL_DATA);
    rig_code(rig, 0x48, 0xcf);
    assert_faults(rig, VECTOR_GP, 0);
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_NT);
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x202, RIG_DATA, SEL_DATA);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_iretq_over_a_page_that_is_not_there_changes_nothing(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->gpr[X86_RSP] = RIG_HOLE - 32;
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x202, RIG_DATA);
    rig_code(rig, 0x48, 0xcf);
    assert_faults(rig, VECTOR_PF, 0);
    assert_int_equal(soft_cpu_exception(rig->cpu)->address, RIG_HOLE);
}

static void test_iret_in_64_bit_code_without_rex_w_pops_doublewords(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    put_stack(rig, 4, TARGET, SEL_CODE64, 0x202, RIG_DATA, SEL_DATA);
    rig_code(rig, 0xcf);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA);
}

static void test_iret_unmasks_nmis_even_if_it_faults(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->nmi_masked = true;
    put_stack(rig, 8, TARGET, SEL_DATA, 0x202, RIG_DATA, SEL_DATA);
    rig_code(rig, 0x48, 0xcf);
    assert_faults(rig, VECTOR_GP, SEL_DATA);
    assert_false(rig->cpu->nmi_masked);
}

static void test_iret_loads_rf_where_there_are_breakpoints(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->dr[0] = TARGET;
    rig->cpu->dr7 = 0x401;
    soft_update_mode(rig->cpu);
    put_stack(rig, 8, TARGET, SEL_CODE64, 0x10202, RIG_DATA, SEL_DATA);
    rig_code(rig, 0x48, 0xcf);
    soft_cpu_trap(rig->cpu, true);
    assert_int_equal(soft_run(rig->cpu), SOFT_EXIT_HALTED); /* at TARGET, without #DB */
    assert_int_equal(rig->cpu->rip, TARGET + 1);
}

/* ---- SYSCALL, SYSRET ---- */

static void set_syscall(SoftRig *rig)
{
    rig->cpu->star = (uint64_t)(SEL_USER_CODE32 | 3) << 48 | (uint64_t)SEL_CODE64 << 32;
    rig->cpu->lstar = TARGET;
    rig->cpu->fmask = EFLAGS_IF | EFLAGS_DF;
}

static void test_syscall_saves_rip_and_flags_and_loads_flat_segments(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    set_syscall(rig);
    soft_set_rflags(rig->cpu, 0x3602); /* DF, IF, IOPL */
    rig_code(rig, 0x0f, 0x05);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RCX], RIG_CODE + 2);
    assert_int_equal(rig->cpu->gpr[X86_R11], 0x3602);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x3002);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_DATA);
    assert_int_equal(rig->cpu->segment[X86_SS].attributes, 0xc093);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xa09b);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK);
}

static void test_sysret_returns_to_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    set_syscall(rig);
    rig->cpu->gpr[X86_RCX] = 0x7ff000;
    rig->cpu->gpr[X86_R11] = 0x13246;
    rig_code(rig, 0x48, 0x0f, 0x07);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE64 | 3, 0x7ff000, 3);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x3246);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_USER_DATA | 3);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xa0fb);
    assert_int_equal(rig->cpu->segment[X86_SS].attributes, 0xc0f3);
}

static void test_sysret_without_rex_w_returns_to_compatibility_mode(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    set_syscall(rig);
    rig->cpu->gpr[X86_RCX] = 0x1234567800000000 | TARGET;
    rig->cpu->gpr[X86_R11] = 0x202;
    rig_code(rig, 0x0f, 0x07);
    rig_step(rig);
    assert_at(rig, SEL_USER_CODE32 | 3, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xc0fb);
}

static void test_sysret_checks_level_and_rcx(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    set_syscall(rig);
    rig->cpu->vm->intel = true;
    rig->cpu->gpr[X86_RCX] = 0x0000800000000000;
    rig_code(rig, 0x48, 0x0f, 0x07);
    assert_faults(rig, VECTOR_GP, 0);
    transfer_rig_enter_64(rig, 3);
    rig->cpu->gpr[X86_RCX] = TARGET;
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_syscall_wants_sce_and_on_intel_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    set_syscall(rig);
    rig->cpu->efer &= ~EFER_SCE;
    rig_code(rig, 0x0f, 0x05);
    assert_faults(rig, VECTOR_UD, 0);
    transfer_rig_enter_compatibility(rig, 3);
    rig->cpu->vm->intel = true;
    assert_faults(rig, VECTOR_UD, 0);
}

static void test_on_amd_syscall_from_compatibility_mode_goes_to_cstar(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    set_syscall(rig);
    rig->cpu->cstar = 0x8130;
    rig->cpu->vm->intel = false;
    rig_code(rig, 0x0f, 0x05);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, 0x8130, 0);
}

static void test_sysret_to_a_program_that_steps_traps_at_once(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    set_syscall(rig);
    rig->cpu->gpr[X86_RCX] = TARGET;
    rig->cpu->gpr[X86_R11] = EFLAGS_FIXED | EFLAGS_TF;
    rig_code(rig, 0x48, 0x0f, 0x07);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_EXCEPTION);
    assert_int_equal(soft_cpu_exception(rig->cpu)->vector, VECTOR_DB);
    assert_at(rig, SEL_USER_CODE64 | 3, TARGET, 3);
}

static void test_syscall_that_masks_tf_does_not_trap(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 3);
    set_syscall(rig);
    rig->cpu->fmask = EFLAGS_TF;
    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_TF);
    rig_code(rig, 0x0f, 0x05);
    assert_int_equal(soft_rig_run(rig), SOFT_EXIT_HALTED); /* at TARGET */
    assert_int_equal(rig->cpu->gpr[X86_R11], EFLAGS_FIXED | EFLAGS_TF);
}

/* ---- SYSENTER, SYSEXIT ---- */

static void test_sysenter_goes_to_its_msrs(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->sysenter_cs = SEL_CODE32;
    rig->cpu->sysenter_eip = TARGET;
    rig->cpu->sysenter_esp = RIG_STACK0;
    soft_set_rflags(rig->cpu, 0x3202);
    rig_code(rig, 0x0f, 0x34);
    rig_step(rig);
    assert_at(rig, SEL_CODE32, TARGET, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_STACK0);
    assert_int_equal(soft_get_rflags(rig->cpu), 0x3002);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xc09b);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, SEL_USER_CODE32);
}

static void test_sysenter_in_long_mode_enters_64_bit_code(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_compatibility(rig, 3);
    rig->cpu->vm->intel = true;
    rig->cpu->sysenter_cs = SEL_CODE64;
    rig->cpu->sysenter_eip = 0xffff800000001000;
    rig->cpu->sysenter_esp = 0xffff800000002000;
    rig_code(rig, 0x0f, 0x34);
    rig_step(rig);
    assert_at(rig, SEL_CODE64, 0xffff800000001000, 0);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0xffff800000002000);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xa09b);
}

static void test_sysenter_wants_a_selector_and_protected_mode(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->sysenter_cs = 3;
    rig_code(rig, 0x0f, 0x34);
    assert_faults(rig, VECTOR_GP, 0);
    soft_rig_enter_16(rig);
    rig->cpu->sysenter_cs = SEL_CODE32;
    rig_code(rig, 0x0f, 0x34);
    assert_faults(rig, VECTOR_GP, 0);
}

static void test_sysexit_returns_to_level_3(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 0);
    rig->cpu->sysenter_cs = 0x100;
    rig->cpu->gpr[X86_RDX] = TARGET;
    rig->cpu->gpr[X86_RCX] = RIG_DATA;
    rig_code(rig, 0x0f, 0x35);
    rig_step(rig);
    assert_at(rig, 0x113, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 0x11b);
    assert_int_equal(rig->cpu->gpr[X86_RSP], RIG_DATA);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xc0fb);
}

static void test_sysexit_of_64_bits_checks_its_registers(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_64(rig, 0);
    rig->cpu->vm->intel = true;
    rig->cpu->sysenter_cs = 0x100;
    rig->cpu->gpr[X86_RDX] = TARGET;
    rig->cpu->gpr[X86_RCX] = 0x0000800000000000;
    rig_code(rig, 0x48, 0x0f, 0x35);
    assert_faults(rig, VECTOR_GP, 0);
    rig->cpu->gpr[X86_RCX] = 0x7fffffffffff;
    rig_step(rig);
    assert_at(rig, 0x123, TARGET, 3);
    assert_int_equal(rig->cpu->segment[X86_SS].selector, 0x12b);
    assert_int_equal(rig->cpu->segment[X86_CS].attributes, 0xa0fb);
    assert_int_equal(rig->cpu->gpr[X86_RSP], 0x7fffffffffff);
}

static void test_sysexit_is_for_level_0(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    rig->cpu->sysenter_cs = 0x100;
    rig_code(rig, 0x0f, 0x35);
    assert_faults(rig, VECTOR_GP, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_far_jump_loads_cs_with_the_cpl_as_rpl),
        TEST(test_a_far_call_pushes_cs_and_ip),
        TEST(test_a_far_call_of_16_bits_pushes_words),
        TEST(test_a_far_jump_to_conforming_code_keeps_the_cpl),
        TEST(test_a_far_transfer_checks_the_code_segment),
        TEST(test_a_far_transfer_checks_the_limit_of_the_target),
        TEST(test_a_far_call_that_cannot_push_changes_nothing),
        TEST(test_a_far_jump_through_memory_reads_offset_then_selector),
        TEST(test_a_far_jump_leaves_64_bit_code_for_compatibility_mode),
        TEST(test_a_far_call_from_64_bit_code_pushes_quadwords_with_rex_w),
        TEST(test_compatibility_mode_jumps_to_64_bit_code),
        TEST(test_long_mode_refuses_code_with_l_and_d_and_targets_that_are_not_canonical),
        TEST(test_in_real_mode_a_far_call_loads_paragraphs),
        TEST(test_in_real_mode_an_offset_of_32_bits_is_checked),
        TEST(test_a_call_gate_to_the_same_level_keeps_the_stack),
        TEST(test_a_call_gate_inwards_switches_stacks_and_copies_parameters),
        TEST(test_a_call_gate_of_16_bits_pushes_words),
        TEST(test_a_call_gate_to_level_1_takes_its_stack),
        TEST(test_a_call_gate_to_conforming_code_keeps_level_and_stack),
        TEST(test_a_jump_through_a_gate_cannot_go_inwards),
        TEST(test_a_call_gate_checks_itself_and_its_target),
        TEST(test_a_call_gate_inwards_checks_the_new_stack),
        TEST(test_a_16_bit_tss_has_stacks_too),
        TEST(test_a_64_bit_call_gate_pushes_quadwords_and_leaves_ss_null),
        TEST(test_a_64_bit_call_gate_checks_its_upper_half_and_its_target),
        TEST(test_a_far_return_to_the_same_level_releases_its_bytes),
        TEST(test_a_far_return_outwards_takes_the_stack_and_drops_segments),
        TEST(test_a_return_to_a_16_bit_stack_keeps_the_upper_half_of_esp),
        TEST(test_a_return_checks_the_code_segment),
        TEST(test_a_return_outwards_checks_the_stack_segment),
        TEST(test_a_return_whose_stack_is_not_there_changes_nothing),
        TEST(test_in_real_mode_a_far_return_loads_paragraphs),
        TEST(test_iret_in_real_mode_loads_all_but_vm_vif_and_vip),
        TEST(test_iret_to_the_same_level_loads_what_the_cpl_allows),
        TEST(test_iret_of_16_bits_leaves_the_upper_flags),
        TEST(test_iret_outwards_takes_the_stack),
        TEST(test_iret_checks_the_target_before_anything_changes),
        TEST(test_iretq_always_takes_the_stack),
        TEST(test_iretq_to_a_user_keeps_the_bases_of_null_segments),
        TEST(test_iretq_goes_to_compatibility_mode),
        TEST(test_iretq_may_load_a_null_ss_below_level_3_only),
        TEST(test_iretq_refuses_targets_that_are_not_canonical_and_nested_tasks),
        TEST(test_iretq_over_a_page_that_is_not_there_changes_nothing),
        TEST(test_iret_in_64_bit_code_without_rex_w_pops_doublewords),
        TEST(test_iret_unmasks_nmis_even_if_it_faults),
        TEST(test_iret_loads_rf_where_there_are_breakpoints),
        TEST(test_syscall_saves_rip_and_flags_and_loads_flat_segments),
        TEST(test_sysret_returns_to_64_bit_code),
        TEST(test_sysret_without_rex_w_returns_to_compatibility_mode),
        TEST(test_sysret_checks_level_and_rcx),
        TEST(test_syscall_wants_sce_and_on_intel_64_bit_code),
        TEST(test_on_amd_syscall_from_compatibility_mode_goes_to_cstar),
        TEST(test_sysret_to_a_program_that_steps_traps_at_once),
        TEST(test_syscall_that_masks_tf_does_not_trap),
        TEST(test_sysenter_goes_to_its_msrs),
        TEST(test_sysenter_in_long_mode_enters_64_bit_code),
        TEST(test_sysenter_wants_a_selector_and_protected_mode),
        TEST(test_sysexit_returns_to_level_3),
        TEST(test_sysexit_of_64_bits_checks_its_registers),
        TEST(test_sysexit_is_for_level_0),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
