/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task switches: what is saved and loaded, busy bits, links, and exceptions before and
 * after the new task is there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transfer-rig.h"

#define NEW_IP   0x8200 /* a HLT */
#define NEW_SP   UINT64_C(0x60000)
#define BUSY     (UINT64_C(2) << 40)

enum { TSS_LINK = 0, TSS_CR3 = 28, TSS_EIP = 32, TSS_EFLAGS = 36, TSS_EAX = 40, TSS_ESP = 56, TSS_EDI = 68, TSS_ES = 72,
       TSS_CS = 76, TSS_SS = 80, TSS_DS = 84, TSS_FS = 88, TSS_GS = 92, TSS_LDT = 96, TSS_TRAP = 100 };

static int setup(void **state)
{
    SoftRig *rig = soft_rig_new();

    transfer_rig_enter_32(rig, 0);
    memset(rig->host + RIG_TSS2, 0, 0x1000);
    rig_write(rig, RIG_TSS2 + TSS_EIP, 4, NEW_IP);
    rig_write(rig, RIG_TSS2 + TSS_EFLAGS, 4, EFLAGS_FIXED | EFLAGS_CF);
    for (unsigned i = 0; i < 8; i++) {
        rig_write(rig, RIG_TSS2 + TSS_EAX + i * 4, 4, 0x1000 + i);
    }
    rig_write(rig, RIG_TSS2 + TSS_ESP, 4, NEW_SP);
    rig_write(rig, RIG_TSS2 + TSS_CS, 2, SEL_CODE32);
    rig_write(rig, RIG_TSS2 + TSS_SS, 2, SEL_DATA);
    rig_write(rig, RIG_TSS2 + TSS_DS, 2, SEL_DATA);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    soft_rig_free(*state);
    return 0;
}

static unsigned type_of(const SoftRig *rig, unsigned selector)
{
    return rig_gdt_entry(rig, selector) >> 40 & 15;
}

static void test_a_jump_to_a_tss_saves_the_old_task_and_loads_the_new(void **state)
{
    SoftRig *rig = *state;

    soft_set_rflags(rig->cpu, EFLAGS_FIXED | EFLAGS_IF | EFLAGS_ZF);
    for (unsigned i = 0; i < 8; i++) {
        rig->cpu->gpr[i] = 0x70000000 + i;
    }
    rig_code(rig, JMP_FAR(SEL_TSS2, 0));
    rig_step(rig);
    assert_int_equal(rig_read(rig, RIG_TSS + TSS_EIP, 4), RIG_CODE + 7);
    assert_int_equal(rig_read(rig, RIG_TSS + TSS_EFLAGS, 4), EFLAGS_FIXED | EFLAGS_IF | EFLAGS_ZF);
    assert_int_equal(rig_read(rig, RIG_TSS + TSS_EAX, 4), 0x70000000);
    assert_int_equal(rig_read(rig, RIG_TSS + TSS_EDI, 4), 0x70000007);
    assert_int_equal(rig_read(rig, RIG_TSS + TSS_CS, 2), SEL_CODE32);
    assert_int_equal(rig_read(rig, RIG_TSS + TSS_GS, 2), SEL_DATA);
    assert_int_equal(rig->cpu->rip, NEW_IP);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_CF);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0x1000);
    assert_int_equal(rig->cpu->gpr[X86_RDI], 0x1007);
    assert_int_equal(rig->cpu->gpr[X86_RSP], NEW_SP);
    assert_int_equal(rig->cpu->segment[X86_DS].selector, SEL_DATA);
    assert_true(rig->cpu->segment[X86_ES].attributes & X86_SEG_UNUSABLE);
    assert_int_equal(rig->cpu->tr.selector, SEL_TSS2);
    assert_true(rig->cpu->cr0 & CR0_TS);
}

static void test_a_jump_moves_the_busy_bit(void **state)
{
    SoftRig *rig = *state;

    rig_code(rig, JMP_FAR(SEL_TSS2, 0));
    rig_step(rig);
    assert_int_equal(type_of(rig, SEL_TSS), SYSTEM_TSS32);
    assert_int_equal(type_of(rig, SEL_TSS2), SYSTEM_TSS32_BUSY);
    assert_int_equal(rig_read(rig, RIG_TSS2 + TSS_LINK, 2), 0);
}

static void test_a_call_links_the_tasks_and_iret_goes_back(void **state)
{
    SoftRig *rig = *state;

    rig_write(rig, RIG_HANDLERS + NEW_IP - 0x8000, 1, 0xcf); /* iret */
    rig->cpu->gpr[X86_RBX] = 77;
    rig_code(rig, CALL_FAR(SEL_TSS2, 0));
    rig_step(rig);
    assert_int_equal(type_of(rig, SEL_TSS), SYSTEM_TSS32_BUSY);
    assert_int_equal(type_of(rig, SEL_TSS2), SYSTEM_TSS32_BUSY);
    assert_int_equal(rig_read(rig, RIG_TSS2 + TSS_LINK, 2), SEL_TSS);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED | EFLAGS_CF | EFLAGS_NT);
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, RIG_CODE + 7);
    assert_int_equal(rig->cpu->gpr[X86_RBX], 77);
    assert_int_equal(rig->cpu->tr.selector, SEL_TSS);
    assert_int_equal(type_of(rig, SEL_TSS), SYSTEM_TSS32_BUSY);
    assert_int_equal(type_of(rig, SEL_TSS2), SYSTEM_TSS32);
    assert_int_equal(rig_read(rig, RIG_TSS2 + TSS_EFLAGS, 4), EFLAGS_FIXED | EFLAGS_CF); /* NT is clear */
    assert_int_equal(rig_read(rig, RIG_TSS2 + TSS_EIP, 4), NEW_IP + 1);
    assert_int_equal(soft_get_rflags(rig->cpu), EFLAGS_FIXED);
}

static void test_a_task_gate_names_the_tss(void **state)
{
    SoftRig *rig = *state;

    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_TASK_GATE, 0, SEL_TSS2, 0));
    rig_code(rig, JMP_FAR(SEL_FREE, 0));
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, NEW_IP);
    assert_int_equal(rig->cpu->tr.selector, SEL_TSS2);
}

static void test_an_exception_through_a_task_gate_pushes_its_error_code_there(void **state)
{
    SoftRig *rig = *state;

    rig_idt32(rig, VECTOR_GP, rig_gate(SYSTEM_TASK_GATE, 0, SEL_TSS2, 0));
    rig->cpu->gpr[X86_RAX] = SEL_TSS;
    rig_code(rig, 0x8e, 0xd8); /* mov ds, eax */
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, NEW_IP);
    assert_int_equal(rig->cpu->gpr[X86_RSP], NEW_SP - 4);
    assert_int_equal(rig_read(rig, NEW_SP - 4, 4), SEL_TSS);
    assert_int_equal(rig_read(rig, RIG_TSS + TSS_EIP, 4), RIG_CODE);
    assert_int_equal(rig_read(rig, RIG_TSS + TSS_EFLAGS, 4), EFLAGS_FIXED | EFLAGS_RF);
    assert_int_equal(rig_read(rig, RIG_TSS2 + TSS_LINK, 2), SEL_TSS);
    assert_true(rig->cpu->eflags & EFLAGS_NT);
}

static void test_a_16_bit_tss_holds_halves(void **state)
{
    SoftRig *rig = *state;

    rig_gdt(rig, SEL_FREE, rig_system(SYSTEM_TSS16, RIG_TSS2, 0x2b));
    memset(rig->host + RIG_TSS2, 0, 0x100);
    rig_write(rig, RIG_TSS2 + 14, 2, NEW_IP);
    rig_write(rig, RIG_TSS2 + 16, 2, EFLAGS_FIXED);
    rig_write(rig, RIG_TSS2 + 18, 2, 0x1234);     /* AX */
    rig_write(rig, RIG_TSS2 + 36, 2, SEL_CODE32); /* CS */
    rig_write(rig, RIG_TSS2 + 38, 2, SEL_DATA);   /* SS */
    rig_code(rig, CALL_FAR(SEL_FREE, 0));
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, NEW_IP);
    assert_int_equal(rig->cpu->gpr[X86_RAX], 0xffff1234);
    assert_int_equal(rig->cpu->segment[X86_FS].selector, 0);
    assert_int_equal(type_of(rig, SEL_FREE), SYSTEM_TSS16_BUSY);
    assert_int_equal(rig_read(rig, RIG_TSS2, 2), SEL_TSS);
    rig_code(rig, JMP_FAR(SEL_TSS2, 0)); /* and it is saved into */
    rig_write(rig, RIG_TSS2 + 0x800 + TSS_EIP, 4, NEW_IP);
    rig_write(rig, RIG_TSS2 + 0x800 + TSS_CS, 2, SEL_CODE32);
    rig_write(rig, RIG_TSS2 + 0x800 + TSS_SS, 2, SEL_DATA);
    rig_gdt(rig, SEL_TSS2, rig_system(SYSTEM_TSS32, RIG_TSS2 + 0x800, 0x67));
    rig->cpu->rip = RIG_CODE;
    rig->cpu->gpr[X86_RAX] = 0x55557777;
    rig_step(rig);
    assert_int_equal(rig->cpu->tr.selector, SEL_TSS2);
    assert_int_equal(rig_read(rig, RIG_TSS2 + 14, 2), (RIG_CODE + 7) & 0xffff);
    assert_int_equal(rig_read(rig, RIG_TSS2 + 18, 2), 0x7777);
    assert_int_equal(rig_read(rig, RIG_TSS2 + 36, 2), SEL_CODE32);
}

static void test_a_task_brings_its_page_tables_and_its_ldt(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_page_32(rig);
    memcpy(rig->host + RIG_PML4 + 0x1000, rig->host + RIG_PML4, 0x1000);
    rig_write(rig, RIG_LDT + 8, 8, 0x00cf93000000ffff);
    rig_write(rig, RIG_TSS2 + TSS_CR3, 4, RIG_PML4 + 0x1000);
    rig_write(rig, RIG_TSS2 + TSS_LDT, 2, SEL_LDT);
    rig_write(rig, RIG_TSS2 + TSS_ES, 2, 8 | SELECTOR_TI);
    rig_code(rig, JMP_FAR(SEL_TSS2, 0));
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, NEW_IP);
    assert_int_equal(rig->cpu->cr3, RIG_PML4 + 0x1000);
    assert_int_equal(rig->cpu->ldt.base, RIG_LDT);
    assert_int_equal(rig->cpu->segment[X86_ES].limit, UINT32_MAX);
}

static void test_a_task_may_be_of_level_3(void **state)
{
    SoftRig *rig = *state;

    rig_write(rig, RIG_TSS2 + TSS_CS, 2, SEL_USER_CODE32 | 3);
    rig_write(rig, RIG_TSS2 + TSS_SS, 2, SEL_USER_DATA | 3);
    rig_write(rig, RIG_TSS2 + TSS_DS, 2, SEL_USER_DATA | 3);
    rig_code(rig, JMP_FAR(SEL_TSS2, 0));
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, NEW_IP);
    assert_int_equal(rig->cpu->cpl, 3);
    assert_true(rig->cpu->mode & MODE_USER);
}

static void test_a_task_may_be_one_of_virtual_8086_mode(void **state)
{
    SoftRig *rig = *state;

    rig_write(rig, RIG_TSS2 + TSS_EFLAGS, 4, EFLAGS_FIXED | EFLAGS_VM);
    rig_write(rig, RIG_TSS2 + TSS_CS, 2, 0x1000);
    rig_write(rig, RIG_TSS2 + TSS_SS, 2, 0x2000);
    rig_write(rig, RIG_TSS2 + TSS_DS, 2, 0x3000);
    rig_write(rig, RIG_TSS2 + TSS_EIP, 4, 0x10);
    rig_code(rig, JMP_FAR(SEL_TSS2, 0));
    rig_step(rig);
    assert_int_equal(rig->cpu->rip, 0x10);
    assert_int_equal(rig->cpu->cpl, 3);
    assert_true(rig->cpu->mode & MODE_VM86);
    assert_int_equal(rig->cpu->segment[X86_DS].base, 0x30000);
    assert_int_equal(rig->cpu->segment[X86_SS].limit, 0xffff);
}

static void test_a_user_may_switch_to_a_task_of_dpl_3_over_pages_of_the_supervisor(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_enter_32(rig, 3);
    transfer_rig_page_32(rig);
    transfer_rig_split(rig);
    rig_write(rig, RIG_TSS2 + TSS_CR3, 4, RIG_PML4);
    rig_gdt(rig, SEL_TSS2, rig_system(SYSTEM_TSS32, RIG_TSS2, 0x67) | UINT64_C(0x60) << 40);
    memcpy(rig->host + RIG_USER, (const uint8_t[]){ JMP_FAR(SEL_TSS2 | 3, 0) }, 7);
    rig_step(rig);
    assert_at(rig, SEL_CODE32, NEW_IP, 0);
    assert_int_equal(rig_read(rig, RIG_TSS + TSS_EIP, 4), RIG_USER + 7);
}

static void test_the_t_bit_traps_before_the_first_instruction(void **state)
{
    SoftRig *rig = *state;

    rig_write(rig, RIG_TSS2 + TSS_TRAP, 2, 1);
    rig_code(rig, JMP_FAR(SEL_TSS2, 0));
    rig_step(rig);
    assert_int_equal(rig_handler(rig), VECTOR_DB);
    assert_int_equal(rig->cpu->tr.selector, SEL_TSS2);
    assert_int_equal(rig_read(rig, NEW_SP - 12, 4), NEW_IP);
    assert_true(rig->cpu->dr6 & 1 << 15);
}

static void test_a_task_switch_clears_local_breakpoints(void **state)
{
    SoftRig *rig = *state;

    rig->cpu->dr[0] = rig->cpu->dr[1] = 0x12345678;
    rig->cpu->dr7 = 0x400 | 1 | 8;
    soft_update_mode(rig->cpu);
    rig_code(rig, JMP_FAR(SEL_TSS2, 0));
    rig_step(rig);
    assert_int_equal(rig->cpu->dr7, 0x400 | 8);
}

/* ---- before the switch: exceptions of the old task ---- */

static void jump_faults(SoftRig *rig, unsigned selector, unsigned vector, unsigned error)
{
    rig_code(rig, JMP_FAR(selector, 0));
    assert_faults(rig, vector, error);
}

static void test_a_switch_checks_the_tss(void **state)
{
    SoftRig *rig = *state;

    jump_faults(rig, SEL_TSS, VECTOR_GP, SEL_TSS); /* busy */
    rig_gdt(rig, SEL_FREE, NOT_PRESENT(rig_system(SYSTEM_TSS32, RIG_TSS2, 0x67)));
    jump_faults(rig, SEL_FREE, VECTOR_NP, SEL_FREE);
    rig_gdt(rig, SEL_FREE, rig_system(SYSTEM_TSS32, RIG_TSS2, 0x66));
    jump_faults(rig, SEL_FREE, VECTOR_TS, SEL_FREE);
    rig_gdt(rig, SEL_FREE, rig_system(SYSTEM_TSS16, RIG_TSS2, 0x2a));
    jump_faults(rig, SEL_FREE, VECTOR_TS, SEL_FREE);
    jump_faults(rig, SEL_TSS2 | 1, VECTOR_GP, SEL_TSS2); /* RPL above DPL */
}

static void test_a_task_gate_checks_itself_and_its_tss(void **state)
{
    SoftRig *rig = *state;

    rig_gdt(rig, SEL_FREE, NOT_PRESENT(rig_gate(SYSTEM_TASK_GATE, 0, SEL_TSS2, 0)));
    jump_faults(rig, SEL_FREE, VECTOR_NP, SEL_FREE);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_TASK_GATE, 0, SEL_TSS2 | SELECTOR_TI, 0));
    jump_faults(rig, SEL_FREE, VECTOR_GP, SEL_TSS2 | SELECTOR_TI);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_TASK_GATE, 0, SEL_TSS, 0));
    jump_faults(rig, SEL_FREE, VECTOR_GP, SEL_TSS);
    rig_gdt(rig, SEL_FREE, rig_gate(SYSTEM_TASK_GATE, 0, SEL_DATA, 0));
    jump_faults(rig, SEL_FREE, VECTOR_GP, SEL_DATA);
}

static void test_a_tss_that_is_not_mapped_leaves_the_old_task(void **state)
{
    SoftRig *rig = *state;

    transfer_rig_page_32(rig);
    rig_write(rig, RIG_HOLE - 0x20 + TSS_EIP, 4, NEW_IP);
    rig_gdt(rig, SEL_FREE, rig_system(SYSTEM_TSS32, RIG_HOLE - 0x40, 0x67)); /* its second half is in the hole */
    jump_faults(rig, SEL_FREE, VECTOR_PF, 0);
    assert_int_equal(type_of(rig, SEL_TSS), SYSTEM_TSS32_BUSY);
    assert_int_equal(type_of(rig, SEL_FREE), SYSTEM_TSS32);
    rig->cpu->tr.base = RIG_HOLE - 0x40; /* so is where the old task would go */
    jump_faults(rig, SEL_TSS2, VECTOR_PF, 2);
    assert_int_equal(type_of(rig, SEL_TSS2), SYSTEM_TSS32);
}

static void test_iret_checks_the_link(void **state)
{
    SoftRig *rig = *state;

    rig->cpu->eflags |= EFLAGS_NT;
    rig_code(rig, 0xcf);
    rig_write(rig, RIG_TSS + TSS_LINK, 2, SEL_TSS2); /* not busy */
    assert_faults(rig, VECTOR_TS, SEL_TSS2);
    rig_write(rig, RIG_TSS + TSS_LINK, 2, SEL_TSS2 | SELECTOR_TI);
    assert_faults(rig, VECTOR_TS, SEL_TSS2 | SELECTOR_TI);
    rig_write(rig, RIG_TSS + TSS_LINK, 2, 0x100);
    assert_faults(rig, VECTOR_TS, 0x100);
    rig_gdt(rig, SEL_TSS2, NOT_PRESENT(rig_system(SYSTEM_TSS32_BUSY, RIG_TSS2, 0x67)));
    rig_write(rig, RIG_TSS + TSS_LINK, 2, SEL_TSS2);
    assert_faults(rig, VECTOR_NP, SEL_TSS2);
}

/* ---- after the switch: exceptions of the new task ---- */

/* The handler is a task of its own, so that it needs nothing of the broken one. */
static void switch_raises(SoftRig *rig, unsigned vector, unsigned error)
{
    const uint64_t tss = RIG_TSS2 + 0x800;

    rig_write(rig, tss + TSS_EIP, 4, RIG_HANDLERS + vector * 16);
    rig_write(rig, tss + TSS_ESP, 4, RIG_STACK1);
    rig_write(rig, tss + TSS_CS, 2, SEL_CODE32);
    rig_write(rig, tss + TSS_SS, 2, SEL_DATA);
    rig_gdt(rig, SEL_FREE3, rig_system(SYSTEM_TSS32, tss, 0x67));
    rig_gdt(rig, SEL_TSS2, rig_system(SYSTEM_TSS32, RIG_TSS2, 0x67));
    rig_idt32(rig, vector, rig_gate(SYSTEM_TASK_GATE, 0, SEL_FREE3, 0));
    rig_code(rig, JMP_FAR(SEL_TSS2, 0));
    rig_step(rig);
    assert_int_equal(rig_handler(rig), vector);
    assert_int_equal(rig_read(rig, RIG_STACK1 - 4, 4), error);
    assert_int_equal(rig_read(rig, tss + TSS_LINK, 2), SEL_TSS2);
    assert_int_equal(rig_read(rig, RIG_TSS2 + TSS_EIP, 4), NEW_IP);
}

static void test_a_bad_ldt_is_an_invalid_tss(void **state)
{
    rig_write(*state, RIG_TSS2 + TSS_LDT, 2, SEL_DATA);
    switch_raises(*state, VECTOR_TS, SEL_DATA);
}

static void test_an_ldt_that_is_not_present_is_an_invalid_tss(void **state)
{
    rig_gdt(*state, SEL_LDT, NOT_PRESENT(rig_system(SYSTEM_LDT, RIG_LDT, 0xff)));
    rig_write(*state, RIG_TSS2 + TSS_LDT, 2, SEL_LDT);
    switch_raises(*state, VECTOR_TS, SEL_LDT);
}

static void test_an_ldt_within_an_ldt_is_an_invalid_tss(void **state)
{
    rig_write(*state, RIG_TSS2 + TSS_LDT, 2, SEL_LDT | SELECTOR_TI);
    switch_raises(*state, VECTOR_TS, SEL_LDT | SELECTOR_TI);
}

static void test_a_bad_code_segment_is_an_invalid_tss(void **state)
{
    rig_write(*state, RIG_TSS2 + TSS_CS, 2, SEL_DATA);
    switch_raises(*state, VECTOR_TS, SEL_DATA);
}

static void test_a_null_code_segment_is_an_invalid_tss(void **state)
{
    rig_write(*state, RIG_TSS2 + TSS_CS, 2, 0);
    switch_raises(*state, VECTOR_TS, 0);
}

static void test_a_code_segment_of_another_level_is_an_invalid_tss(void **state)
{
    rig_write(*state, RIG_TSS2 + TSS_CS, 2, SEL_CODE32 | 3);
    switch_raises(*state, VECTOR_TS, SEL_CODE32);
}

static void test_a_code_segment_that_is_not_present_faults_as_such(void **state)
{
    rig_gdt(*state, SEL_FREE, NOT_PRESENT(0x00cf9b000000ffff));
    rig_write(*state, RIG_TSS2 + TSS_CS, 2, SEL_FREE);
    switch_raises(*state, VECTOR_NP, SEL_FREE);
}

static void test_a_stack_of_another_level_is_an_invalid_tss(void **state)
{
    rig_write(*state, RIG_TSS2 + TSS_SS, 2, SEL_USER_DATA | 3);
    switch_raises(*state, VECTOR_TS, SEL_USER_DATA);
}

static void test_a_stack_that_is_not_present_is_a_stack_fault(void **state)
{
    rig_gdt(*state, SEL_FREE, NOT_PRESENT(0x00cf93000000ffff));
    rig_write(*state, RIG_TSS2 + TSS_SS, 2, SEL_FREE);
    switch_raises(*state, VECTOR_SS, SEL_FREE);
}

static void test_a_bad_data_segment_is_an_invalid_tss(void **state)
{
    rig_write(*state, RIG_TSS2 + TSS_GS, 2, SEL_TSS);
    switch_raises(*state, VECTOR_TS, SEL_TSS);
}

static void test_a_data_segment_that_is_not_present_faults_as_such(void **state)
{
    rig_gdt(*state, SEL_FREE, NOT_PRESENT(0x00cf93000000ffff));
    rig_write(*state, RIG_TSS2 + TSS_ES, 2, SEL_FREE);
    switch_raises(*state, VECTOR_NP, SEL_FREE);
}

static void test_an_instruction_pointer_beyond_the_limit_is_a_fault_of_the_new_task(void **state)
{
    rig_gdt(*state, SEL_FREE, 0x00409b0000000fff);
    rig_write(*state, RIG_TSS2 + TSS_CS, 2, SEL_FREE);
    switch_raises(*state, VECTOR_GP, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_jump_to_a_tss_saves_the_old_task_and_loads_the_new),
        TEST(test_a_jump_moves_the_busy_bit),
        TEST(test_a_call_links_the_tasks_and_iret_goes_back),
        TEST(test_a_task_gate_names_the_tss),
        TEST(test_an_exception_through_a_task_gate_pushes_its_error_code_there),
        TEST(test_a_16_bit_tss_holds_halves),
        TEST(test_a_task_brings_its_page_tables_and_its_ldt),
        TEST(test_a_task_may_be_of_level_3),
        TEST(test_a_task_may_be_one_of_virtual_8086_mode),
        TEST(test_a_user_may_switch_to_a_task_of_dpl_3_over_pages_of_the_supervisor),
        TEST(test_the_t_bit_traps_before_the_first_instruction),
        TEST(test_a_task_switch_clears_local_breakpoints),
        TEST(test_a_switch_checks_the_tss),
        TEST(test_a_task_gate_checks_itself_and_its_tss),
        TEST(test_a_tss_that_is_not_mapped_leaves_the_old_task),
        TEST(test_iret_checks_the_link),
        TEST(test_a_bad_ldt_is_an_invalid_tss),
        TEST(test_an_ldt_that_is_not_present_is_an_invalid_tss),
        TEST(test_an_ldt_within_an_ldt_is_an_invalid_tss),
        TEST(test_a_bad_code_segment_is_an_invalid_tss),
        TEST(test_a_null_code_segment_is_an_invalid_tss),
        TEST(test_a_code_segment_of_another_level_is_an_invalid_tss),
        TEST(test_a_code_segment_that_is_not_present_faults_as_such),
        TEST(test_a_stack_of_another_level_is_an_invalid_tss),
        TEST(test_a_stack_that_is_not_present_is_a_stack_fault),
        TEST(test_a_bad_data_segment_is_an_invalid_tss),
        TEST(test_a_data_segment_that_is_not_present_faults_as_such),
        TEST(test_an_instruction_pointer_beyond_the_limit_is_a_fault_of_the_new_task),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
